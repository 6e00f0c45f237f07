//! Who stands behind a verified token: a person, an agent or another program, and what policy calls them.
//!
//! First, whose token is it? The first row that holds:
//!
//! | holder | holds when |
//! |---|---|
//! | delegate | `act` (RFC 8693): a program acts for the subject, by the issuer's word |
//! | program | `idtyp` is `app`; or without `idtyp`: `sub` is the client (`azp`, `appid`, `client_id`, `cid`), `CLIENT@clients`, or Keycloak's `service-account-CLIENT`; `gty` is client credentials; `oid` equals `sub` without scopes and personal claims |
//! | person | `idtyp` is `user`; or without `idtyp`: scopes, and a personal claim (`preferred_username`, `upn`, `unique_name`, `email`, `emails`, `name`, `given_name`, `family_name`, `auth_time`, Okta's `uid`) or an `oid` other than `sub`. Never when `sub` is the client, or when `xms_sub_fct` says that the account is an agent's |
//! | workload | no client, no scopes, nothing personal: a CI job's or a pod's identity token |
//! | unclear | everything else |
//!
//! Then, what is it to policy? The first row that holds:
//!
//! | kind | when | acts for |
//! |---|---|---|
//! | agent | the holder is a delegate | the subject |
//! | agent | Entra Agent ID says so: facet 11 (agent identity) or 13 (an agent's user account) in `xms_act_fct` or `xms_sub_fct`, or a parent of the client in `xms_par_app_azp` | the person, if the holder is one |
//! | agent | an app role, group or client of `agents` is in the token | the person, if the holder is one |
//! | human | the holder is a person | |
//! | service | the rest: doubt is a service, which approves nothing by group | |
//!
//! An issuer whose access tokens show no person (Auth0's, by default) has to be told to add one of these claims before
//! its people can approve. An application that agents use with people's tokens has to be listed under `agents.clients`:
//! nothing else in such a token tells the two apart.
//!
//! And its name, which no holder may choose to be another's:
//!
//! | holder | name |
//! |---|---|
//! | person, as human | `preferred_username`, else `upn`, else `email` where `email_verified`, else `oid`, else `sub` |
//! | program | the client id, else `sub` |
//! | workload | `sub` |
//! | person, as agent | `CLIENT#` and the person's name |
//! | delegate | the actor's `sub` or the client id, `#`, and the subject's name |
//! | unclear | `CLIENT#` and `oid` or `sub` |
//!
//! A name is printable ASCII without spaces, at most 256 bytes; a claim that is not (or that looks like an object id, of
//! which nobody may choose one) is passed over for the next, so that no two names look alike. Client ids never hold `#`,
//! and a `sub` that holds one is written `#SUB`, so a name with `#` after `agent:` or `app:` is never an application's
//! own, and two people with the same agent have two names. Two issuers share one space of names, and an issuer may let
//! people choose theirs: whoever names principals of an issuer in policy trusts the names it gives.
//!
//! Telling people apart never rests on names but on `oid` or `sub` ([`Principal::person`]). An agent with a person's
//! token has that person's, which is what keeps the person from approving what their agent asked for.
//!
//! [`Principal::person`]: crate::domain::principal::Principal::person

use std::collections::BTreeSet;

use super::{claims::Claims, error::AuthError};
use crate::domain::{
    policy::{AgentRules, Issuer},
    principal::{PrincipalId, PrincipalKind, VerifiedToken},
};

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    Delegate { actor: Option<String> },
    Program,
    Person,
    Workload,
    Unclear,
}

/// Reads who it is. Only for claims that passed [`Claims::check`].
pub(super) fn identify(claims: &Claims, issuer: &Issuer) -> Result<VerifiedToken, AuthError> {
    let client = claims.client()?.map(name_of_client).transpose()?;
    let subject = subject(claims)?;
    let groups = claims.texts("groups")?;
    let app_roles = claims.texts("roles")?;
    let holder = holder(claims, &issuer.issuer)?;
    let AgentRules {
        app_roles: agent_roles,
        groups: agent_groups,
        clients: agent_clients,
    } = &issuer.agents;
    let marked = !agent_roles.is_disjoint(&app_roles)
        || !agent_groups.is_disjoint(&groups)
        || client.as_ref().is_some_and(|id| agent_clients.contains(id))
        || (matches!(holder, Holder::Program | Holder::Workload)
            && agent_clients.contains(&subject));

    let is_agent =
        marked || claims.names_an_entra_agent()? || matches!(holder, Holder::Delegate { .. });
    let kind = match &holder {
        _ if is_agent => PrincipalKind::Agent,
        Holder::Person => PrincipalKind::Human,
        _ => PrincipalKind::Service,
    };
    let through = client.as_deref().unwrap_or_default();
    let person = name_of_person(claims, &subject);
    let (name, acts_for) = match &holder {
        Holder::Delegate { actor } => {
            let (kind, name) = match subject_of_delegation(claims)? {
                Holder::Person => (PrincipalKind::Human, &person),
                _ => (PrincipalKind::Service, &subject),
            };
            let actor = actor.as_deref().unwrap_or(through);
            (
                format!("{actor}#{name}"),
                Some(PrincipalId::new(kind, name)),
            )
        }
        Holder::Program => (
            client.clone().unwrap_or_else(|| name_of_subject(&subject)),
            None,
        ),
        Holder::Person if is_agent => (
            format!("{through}#{person}"),
            Some(PrincipalId::new(PrincipalKind::Human, &person)),
        ),
        Holder::Person => (person, None),
        Holder::Workload => (name_of_subject(&subject), None),
        Holder::Unclear => (format!("{through}#{subject}"), None),
    };
    Ok(VerifiedToken {
        kind,
        issuer: issuer.issuer.clone(),
        tenant: claims.text("tid")?.map(str::to_owned),
        subject,
        name,
        client,
        groups,
        app_roles,
        acts_for: acts_for.map(|id| id.as_str().to_owned()),
    })
}

/// A person of `tenant`, by the word of a messenger and not of a token. `None`: it names nobody whom a token could name.
pub(super) fn vouched(
    issuer: &Issuer,
    tenant: &str,
    object: &str,
    name: &str,
) -> Option<VerifiedToken> {
    // A name that only a token's holder may have, or an object id passed off as a name, would be someone else.
    let fits = !object.is_empty() && is_a_name(object) && !name.is_empty() && is_a_name(name);
    (fits && !looks_like_an_object_id(name)).then(|| VerifiedToken {
        kind: PrincipalKind::Human,
        issuer: issuer.issuer.clone(),
        tenant: Some(tenant.to_owned()),
        subject: object.to_owned(),
        name: name.to_owned(),
        client: None,
        groups: BTreeSet::new(),
        app_roles: BTreeSet::new(),
        acts_for: None,
    })
}

fn holder(claims: &Claims, issuer: &str) -> Result<Holder, AuthError> {
    if let Some(act) = claims.object("act")? {
        let ours = act.text("iss")?.is_none_or(|iss| iss == issuer);
        let actor = match act.text("client_id")? {
            Some(client) => Some(client),
            None => act.text("sub")?,
        };
        // Another issuer's actor has a name in another space of names; the client id stands in for it.
        let actor = actor.filter(|_| ours).map(name_of_client).transpose()?;
        return Ok(Holder::Delegate { actor });
    }
    subject_of_delegation(claims)
}

/// Whose token it is, or would be without the actor in it.
fn subject_of_delegation(claims: &Claims) -> Result<Holder, AuthError> {
    if claims.is_a_programs_own()? {
        return Ok(Holder::Program);
    }
    let (client, subject) = (claims.client()?, claims.text("sub")?);
    let scopes = claims.has_scopes()?;
    let shown = claims.shows_a_person()
        || (claims.has("oid") && claims.text("oid")? != subject && subject.is_some());
    Ok(match claims.text("idtyp")? {
        _ if client.is_some() && client == subject => Holder::Unclear,
        _ if claims.has_agent_facet("xms_sub_fct")? => Holder::Unclear,
        Some("user") => Holder::Person,
        Some(_) => Holder::Unclear,
        None if scopes && shown => Holder::Person,
        None if client.is_none() && !scopes && !shown && !claims.has_personal_claims() => {
            Holder::Workload
        }
        None => Holder::Unclear,
    })
}

/// `oid`, else `sub`. Entra (which alone writes `tid`) gives every caller an `oid`; a token of it without one could make
/// one person count as two.
fn subject(claims: &Claims) -> Result<String, AuthError> {
    let object = claims.text("oid")?;
    if object.is_none() && claims.has("tid") {
        return Err(AuthError::malformed("it has `tid` but no `oid`"));
    }
    let subject = match object {
        Some(object) => Some(object),
        None => claims.text("sub")?,
    };
    subject
        .filter(|subject| is_a_name(subject))
        .map(str::to_owned)
        .ok_or_else(|| AuthError::malformed("it has neither `oid` nor `sub` in plain ASCII"))
}

fn name_of_person(claims: &Claims, subject: &str) -> String {
    let verified_email = claims.is_true("email_verified").then_some("email");
    ["preferred_username", "upn"]
        .into_iter()
        .chain(verified_email)
        .filter_map(|name| claims.text(name).ok().flatten())
        .find(|name| is_a_name(name) && !looks_like_an_object_id(name))
        .unwrap_or(subject)
        .to_owned()
}

fn name_of_client(client: &str) -> Result<String, AuthError> {
    if is_a_name(client) && !client.contains('#') {
        return Ok(client.to_owned());
    }
    Err(AuthError::malformed(
        "its client id or actor is not plain ASCII, or holds a `#`",
    ))
}

/// Of a program without a client id.
fn name_of_subject(subject: &str) -> String {
    match subject.contains('#') {
        true => format!("#{subject}"),
        false => subject.to_owned(),
    }
}

fn is_a_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn looks_like_an_object_id(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn issuer() -> Issuer {
        let set = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Issuer {
            issuer: "https://issuer".to_owned(),
            audience: vec!["us".to_owned()],
            tenants: BTreeSet::new(),
            clients: BTreeSet::new(),
            agents: AgentRules {
                app_roles: set(&["Agent"]),
                groups: set(&["agents"]),
                clients: set(&["copilot"]),
            },
        }
    }

    fn identified(claims: Value) -> Result<VerifiedToken, AuthError> {
        let claims: Map<String, Value> = serde_json::from_value(claims).unwrap();
        identify(&Claims::new(claims), &issuer())
    }

    fn id(claims: Value) -> String {
        match identified(claims) {
            Ok(token) => PrincipalId::new(token.kind, &token.name)
                .as_str()
                .to_owned(),
            Err(refused) => refused.code().to_owned(),
        }
    }

    const OBJECT: &str = "b3c1a7de-0000-4000-8000-000000000001";
    const OTHER_OBJECT: &str = "b3c1a7de-0000-4000-8000-000000000002";

    #[test]
    fn who_it_is_follows_from_the_claims_as_the_tables_say() {
        let table = [
            // Entra, version 2 and 1, people.
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "pair", "azp": "web", "scp": "access", "preferred_username": "a@x.de"}),
                "user:a@x.de",
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "pair", "appid": "web", "scp": "access", "upn": "a@x.de"}),
                "user:a@x.de",
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "pair", "azp": "web", "scp": "access"}),
                &format!("user:{OBJECT}"),
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "pair", "azp": "web", "idtyp": "user", "scp": "access", "preferred_username": "a@x.de"}),
                "user:a@x.de",
            ),
            // Entra, applications.
            (
                json!({"tid": "t", "oid": OBJECT, "sub": OBJECT, "azp": "job", "roles": ["Deploy"]}),
                "app:job",
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": OBJECT, "appid": "job", "idtyp": "app"}),
                "app:job",
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": OBJECT, "azp": "job", "idtyp": "device"}),
                &format!("app:job#{OBJECT}"),
            ),
            (
                json!({"tid": "t", "sub": "pair", "azp": "web", "scp": "access", "name": "A"}),
                "token_malformed",
            ),
            // Agents: by role, group or client; with their own token or a person's.
            (
                json!({"tid": "t", "oid": OBJECT, "sub": OBJECT, "azp": "job", "roles": ["Agent"]}),
                "agent:job",
            ),
            (
                json!({"sub": "job", "client_id": "job", "groups": ["agents"]}),
                "agent:job",
            ),
            (
                json!({"sub": "copilot", "client_id": "copilot"}),
                "agent:copilot",
            ),
            (json!({"sub": "copilot"}), "agent:copilot"),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "pair", "azp": "copilot", "scp": "access", "preferred_username": "a@x.de"}),
                "agent:copilot#a@x.de",
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "pair", "azp": "web", "scp": "access", "roles": ["Agent"]}),
                &format!("agent:web#{OBJECT}"),
            ),
            (json!({"sub": "eve", "azp": "copilot"}), "agent:copilot#eve"),
            // Entra Agent ID: an agent by itself, with a person's token, and with an account of its own.
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "x", "appid": "bot", "idtyp": "app", "xms_act_fct": "3 9 11", "xms_sub_fct": "9 3 11"}),
                "agent:bot",
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "x", "azp": "bot", "idtyp": "user", "scp": "a", "upn": "a@x.de", "xms_act_fct": "9 3 11", "xms_sub_fct": "3 9"}),
                "agent:bot#a@x.de",
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "x", "azp": "bot", "idtyp": "user", "scp": "a", "upn": "bot@x.de", "xms_sub_fct": "13"}),
                &format!("agent:bot#{OBJECT}"),
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "x", "azp": "bot", "scp": "a", "upn": "a@x.de", "xms_par_app_azp": "blueprint"}),
                "agent:bot#a@x.de",
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "x", "azp": "web", "scp": "a", "upn": "a@x.de", "xms_act_fct": "9 3", "xms_sub_fct": "3 9 113"}),
                "user:a@x.de",
            ),
            (
                json!({"tid": "t", "oid": OBJECT, "sub": "x", "azp": "web", "scp": "a", "upn": "a@x.de", "xms_act_fct": 11}),
                "token_malformed",
            ),
            // RFC 9068 and RFC 8693.
            (
                json!({"sub": "job", "client_id": "job", "scope": "access"}),
                "app:job",
            ),
            (
                json!({"sub": "ann", "client_id": "web", "scope": "access", "auth_time": 1}),
                "user:ann",
            ),
            (
                json!({"sub": "ann", "client_id": "web", "scope": "access"}),
                "app:web#ann",
            ),
            (
                json!({"sub": "ann", "client_id": "web", "scope": "access", "name": "Ann", "act": {"sub": "bot"}}),
                "agent:bot#ann",
            ),
            (
                json!({"sub": "ann", "client_id": "web", "scope": "access", "name": "Ann", "act": {"sub": "bot", "iss": "https://other"}}),
                "agent:web#ann",
            ),
            (
                json!({"sub": "ann", "client_id": "web", "scope": "access", "name": "Ann", "act": {}}),
                "agent:web#ann",
            ),
            (
                json!({"sub": "ann", "client_id": "web", "scope": "access", "name": "Ann", "act": "bot"}),
                "token_malformed",
            ),
            // Keycloak, Auth0, Okta, Google, GitHub.
            (
                json!({"sub": OBJECT, "azp": "web", "scope": "openid profile", "preferred_username": "ann"}),
                "user:ann",
            ),
            (
                json!({"sub": OBJECT, "azp": "Job", "scope": "profile", "preferred_username": "service-account-job"}),
                "app:Job",
            ),
            (
                json!({"sub": "job@clients", "azp": "job", "gty": "client-credentials", "scope": "access"}),
                "app:job",
            ),
            (
                json!({"sub": "ann@x.de", "cid": "web", "scp": ["access"], "uid": "00u1"}),
                "user:ann@x.de",
            ),
            (
                json!({"sub": "0oa1", "cid": "0oa1", "scp": ["access"]}),
                "app:0oa1",
            ),
            (
                json!({"sub": "1234", "azp": "1234", "email": "sa@p.iam.gserviceaccount.com", "email_verified": true}),
                "app:1234",
            ),
            (
                json!({"sub": "repo:octo/app:ref:refs/heads/main", "repository": "octo/app"}),
                "app:repo:octo/app:ref:refs/heads/main",
            ),
            // Names nobody may borrow.
            (
                json!({"sub": "ann", "azp": "web", "scope": "a", "email": "boss@x.de"}),
                "user:ann",
            ),
            (
                json!({"sub": "ann", "azp": "web", "scope": "a", "email": "ann@x.de", "email_verified": true}),
                "user:ann@x.de",
            ),
            (
                json!({"sub": "ann", "azp": "web", "scope": "a", "preferred_username": OTHER_OBJECT}),
                "user:ann",
            ),
            (
                json!({"sub": "ann", "azp": "web", "scope": "a", "preferred_username": "b oss"}),
                "user:ann",
            ),
            (
                json!({"sub": "ann", "azp": "web", "scope": "a", "preferred_username": "b\u{430}ss"}),
                "user:ann",
            ),
            (
                json!({"sub": "ann", "azp": "web", "scope": "a", "preferred_username": "boss\n"}),
                "app:web#ann",
            ),
            (
                json!({"sub": "ann", "azp": "web", "scope": "a", "preferred_username": ["boss"]}),
                "app:web#ann",
            ),
            (
                json!({"sub": "ann", "azp": "web", "scope": "a", "name": ""}),
                "app:web#ann",
            ),
            (json!({"sub": "job", "azp": "web"}), "app:web#job"),
            (json!({"sub": "job", "scope": "access"}), "app:#job"),
            (json!({"sub": "job", "azp": "web#boss"}), "token_malformed"),
            (json!({"sub": "job", "azp": "we b"}), "token_malformed"),
            (
                json!({"sub": "ann", "azp": "web", "client_id": "job"}),
                "token_malformed",
            ),
            (json!({"sub": "ann"}), "app:ann"),
            (json!({"sub": "web#ann"}), "app:#web#ann"),
            (json!({"sub": "web#ann", "idtyp": "app"}), "app:#web#ann"),
            (json!({"name": "Ann", "scope": "a"}), "token_malformed"),
            (json!({"sub": ""}), "token_malformed"),
        ];
        for (claims, expected) in table {
            assert_eq!(id(claims.clone()), expected, "{claims}");
        }
    }

    #[test]
    fn an_agent_acts_for_the_person_whose_token_it_holds_and_keeps_that_persons_subject() {
        let ann =
            json!({"oid": OBJECT, "sub": "p", "azp": "copilot", "scp": "a", "upn": "ann@x.de"});
        let agent = identified(ann).unwrap();
        assert_eq!(agent.kind, PrincipalKind::Agent);
        assert_eq!(agent.subject, OBJECT);
        assert_eq!(agent.acts_for.as_deref(), Some("user:ann@x.de"));
        let job = json!({"sub": "job", "client_id": "job", "act": {"sub": "bot"}});
        assert_eq!(
            identified(job).unwrap().acts_for.as_deref(),
            Some("app:job")
        );
        let own_account = json!({"oid": OBJECT, "sub": "p", "azp": "bot", "scp": "a", "upn": "b@x.de", "xms_sub_fct": ["13"]});
        assert_eq!(identified(own_account).unwrap().acts_for, None);
        let own = json!({"sub": "copilot", "client_id": "copilot"});
        assert_eq!(identified(own).unwrap().acts_for, None);
    }

    /// One of the values a claim may have, or the claim is absent.
    fn maybe(
        name: &'static str,
        values: Vec<Value>,
    ) -> impl Strategy<Value = Option<(String, Value)>> {
        let some = prop::sample::select(values).prop_map(move |value| (name.to_owned(), value));
        prop::option::of(some)
    }

    fn any_claims() -> impl Strategy<Value = Map<String, Value>> {
        let subjects = vec![json!("ann"), json!("web"), json!("copilot"), json!(OBJECT)];
        let clients = vec![json!("web"), json!("copilot"), json!("ann")];
        (
            maybe("sub", subjects),
            maybe("azp", clients.clone()),
            maybe("client_id", clients),
            maybe("oid", vec![json!(OBJECT), json!(OTHER_OBJECT)]),
            maybe("idtyp", vec![json!("user"), json!("app"), json!("device")]),
            maybe(
                "scp",
                vec![json!("access"), json!(""), json!(["access"]), json!([])],
            ),
            maybe(
                "preferred_username",
                vec![
                    json!("ann"),
                    json!("web"),
                    json!("service-account-web"),
                    json!(7),
                ],
            ),
            maybe("name", vec![json!("Ann")]),
            maybe("groups", vec![json!(["dba"]), json!(["agents"])]),
            maybe("roles", vec![json!(["Approver"]), json!(["Agent"])]),
            maybe("act", vec![json!({"sub": "bot"}), json!({}), json!(null)]),
        )
            .prop_map(|(a, b, c, d, e, f, g, h, i, j, k)| {
                [a, b, c, d, e, f, g, h, i, j, k]
                    .into_iter()
                    .flatten()
                    .collect()
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn nobody_is_human_without_evidence_and_no_agent_is_anything_else(claims in any_claims()) {
            let has = |name: &str| claims.get(name).is_some_and(|value| !value.is_null());
            let is = |name: &str, value: Value| claims.get(name) == Some(&value);
            let client = claims.get("azp").or_else(|| claims.get("client_id"));
            let marked = is("groups", json!(["agents"]))
                || is("roles", json!(["Agent"]))
                || client == Some(&json!("copilot"))
                || has("act");
            let scopes = is("scp", json!("access")) || is("scp", json!(["access"]));
            let login = claims.get("preferred_username").is_some_and(Value::is_string);
            let personal = has("name")
                || login
                || (has("oid") && claims.get("oid") != claims.get("sub"));
            if let Ok(token) = identified(Value::Object(claims.clone())) {
                match token.kind {
                    PrincipalKind::Human => {
                        prop_assert!(!marked);
                        prop_assert!(is("idtyp", json!("user")) || (!has("idtyp") && scopes && personal));
                        prop_assert!(client.is_none() || client != claims.get("sub"));
                        prop_assert_eq!(token.acts_for, None);
                    }
                    // Without a client of its own, a program is listed by its subject.
                    PrincipalKind::Agent => prop_assert!(marked || token.subject == "copilot"),
                    PrincipalKind::Service => prop_assert!(!marked),
                }
                prop_assert!(token.name.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
