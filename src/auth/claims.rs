//! What a signed token claims, judged: for us, now, from an allowed tenant and client, and an access token at all.
//!
//! Runs after the signature was checked, so everything here is the issuer's word; what it does not say is never
//! assumed. Who it is that stands behind the token is `identity`'s question.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{error::AuthError, token::Typed};
use crate::domain::policy::Issuer;

/// How far the clocks of issuer and gateway may be apart.
pub(super) const LEEWAY_SECONDS: i64 = 30;
const MAX_TEXT_BYTES: usize = 256;
const LAST_SECOND: i64 = 253_402_207_200;

/// The claims of one token by name. Reading one checks its form: a claim of the wrong type is an error, never absent.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, AuthError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if is_decent(text) => Ok(Some(text)),
            Some(Value::String(_)) => Err(AuthError::malformed(format!(
                "claim `{name}` is empty, longer than 256 bytes, or holds invisible characters"
            ))),
            Some(_) => Err(AuthError::malformed(format!("claim `{name}` is not text"))),
        }
    }

    /// Text or a list of texts.
    pub(super) fn texts(&self, name: &str) -> Result<BTreeSet<String>, AuthError> {
        match self.get(name) {
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Value::String(text) if is_decent(text) => Ok(text.clone()),
                    _ => Err(AuthError::malformed(format!(
                        "claim `{name}` is not a list of visible texts of at most 256 bytes"
                    ))),
                })
                .collect(),
            _ => Ok(self.text(name)?.map(str::to_owned).into_iter().collect()),
        }
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, AuthError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Self(object.clone()))),
            Some(_) => Err(AuthError::malformed(format!(
                "claim `{name}` is not an object"
            ))),
        }
    }

    /// Seconds since 1970, whole or not.
    fn date(&self, name: &str) -> Result<Option<i64>, AuthError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let seconds = value
            .as_i64()
            .or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64));
        match seconds {
            Some(seconds) if (0..=LAST_SECOND).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(AuthError::malformed(format!(
                "claim `{name}` is not a time"
            ))),
        }
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bool(truth)) => *truth,
            Some(Value::String(text)) => text == "true" || text == "1",
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
        }
    }

    /// Scopes a user granted: `scp` (Entra, Okta) or `scope` (RFC 9068). An application's own token may have them too.
    pub(super) fn has_scopes(&self) -> Result<bool, AuthError> {
        for name in ["scp", "scope"] {
            let granted = match self.get(name) {
                Some(Value::String(scopes)) => !scopes.trim().is_empty(),
                _ => !self.texts(name)?.is_empty(),
            };
            if granted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Anything only a person has, in whatever form: a login name, a name, an address, a moment of signing in.
    pub(super) fn has_personal_claims(&self) -> bool {
        PERSONAL.into_iter().any(|name| self.has(name))
    }

    /// The same as evidence: an empty name shows nobody.
    pub(super) fn shows_a_person(&self) -> bool {
        PERSONAL.into_iter().any(|name| match self.get(name) {
            Some(Value::String(text)) => is_decent(text),
            Some(Value::Number(_)) => name == "auth_time",
            Some(Value::Array(items)) => name == "emails" && !items.is_empty(),
            _ => false,
        })
    }

    /// `azp`, `appid`, `client_id` or `cid`: the application that holds the token. They must agree.
    pub(super) fn client(&self) -> Result<Option<&str>, AuthError> {
        let mut client = None;
        for name in ["azp", "appid", "client_id", "cid"] {
            match (client, self.text(name)?) {
                (Some(one), Some(another)) if one != another => {
                    return Err(AuthError::malformed(format!(
                        "claim `{name}` names another client than the claims beside it"
                    )));
                }
                (None, Some(found)) => client = Some(found),
                _ => {}
            }
        }
        Ok(client)
    }

    /// Whether Entra Agent ID says that an agent acts in this token, or is its subject.
    pub(super) fn names_an_entra_agent(&self) -> Result<bool, AuthError> {
        Ok(self.has("xms_par_app_azp")
            || self.has_agent_facet("xms_act_fct")?
            || self.has_agent_facet("xms_sub_fct")?)
    }

    /// Facets are numbers in no order with spaces between; the others say nothing about agents.
    pub(super) fn has_agent_facet(&self, name: &str) -> Result<bool, AuthError> {
        let facets = self.texts(name)?;
        let mut facets = facets.iter().flat_map(|some| some.split(' '));
        Ok(facets.any(|facet| AGENT_FACETS.contains(&facet)))
    }

    /// Whether a program got this token for itself, with its own credential and nobody's consent. The issuer says so
    /// (`idtyp`, Auth0's `gty`), or the subject is the client (RFC 9068 §2.2; Auth0 writes `CLIENT@clients`, Keycloak
    /// logs in as `service-account-CLIENT`), or it is an Entra token whose subject is the object itself, without scopes
    /// and without anything personal.
    pub(super) fn is_a_programs_own(&self) -> Result<bool, AuthError> {
        match self.text("idtyp")? {
            Some("app") => return Ok(true),
            Some(_) => return Ok(false),
            None => {}
        }
        let subject = self.text("sub")?;
        if let (Some(client), Some(subject)) = (self.client()?, subject) {
            let login = self.get("preferred_username").and_then(Value::as_str);
            if subject == client
                || subject.strip_suffix("@clients") == Some(client)
                || login == Some(&format!("service-account-{}", client.to_lowercase()))
            {
                return Ok(true);
            }
        }
        if matches!(
            self.text("gty")?,
            Some("client-credentials" | "client_credentials")
        ) {
            return Ok(true);
        }
        Ok(self.has("oid")
            && self.text("oid")? == subject
            && !self.has_scopes()?
            && !self.has_personal_claims())
    }

    /// Whether this token opens this gateway at `now`, by everything but who holds it.
    pub(super) fn check(
        &self,
        issuer: &Issuer,
        typed: Typed,
        now: Timestamp,
    ) -> Result<Validity, AuthError> {
        if self.text("iss")? != Some(&issuer.issuer) {
            return Err(AuthError::WrongIssuer);
        }
        let audience = self.texts("aud")?;
        if !issuer.audience.iter().any(|ours| audience.contains(ours)) {
            return Err(AuthError::WrongAudience);
        }
        let validity = self.times(now)?;
        let tenant = self.text("tid")?;
        if !issuer.tenants.is_empty() && !tenant.is_some_and(|tid| issuer.tenants.contains(tid)) {
            return Err(AuthError::ForbiddenTenant);
        }
        let client = self.client()?;
        if !issuer.clients.is_empty() && !client.is_some_and(|id| issuer.clients.contains(id)) {
            return Err(AuthError::ForbiddenClient);
        }
        self.is_an_access_token(typed, &audience)?;
        self.has_all_groups()?;
        Ok(validity)
    }

    fn times(&self, now: Timestamp) -> Result<Validity, AuthError> {
        let now = now.as_second();
        let expires = self
            .date("exp")?
            .ok_or_else(|| AuthError::malformed("claim `exp` is missing"))?;
        let validity = Validity { expires };
        if validity.is_over(now) {
            return Err(AuthError::Expired);
        }
        for name in ["nbf", "iat"] {
            if let Some(from) = self.date(name)? {
                if from > expires {
                    return Err(AuthError::malformed(format!(
                        "claim `{name}` is later than `exp`"
                    )));
                }
                if from > now + LEEWAY_SECONDS {
                    return Err(AuthError::NotYetValid);
                }
            }
        }
        Ok(validity)
    }

    /// An ID token proves to an application that someone signed in there; whoever runs that application holds it, and
    /// nobody meant it to open this gateway. `at+jwt` settles it. Otherwise it is told by what only ID tokens carry
    /// (`nonce`, `at_hash`, ..), by the issuer's own word (Keycloak's `typ`, Cognito's `token_use`), and by what they
    /// lack: a user's token without any scope was not granted for an API. App roles and groups prove nothing here,
    /// Entra writes them into ID tokens as well.
    fn is_an_access_token(
        &self,
        typed: Typed,
        audience: &BTreeSet<String>,
    ) -> Result<(), AuthError> {
        if typed == Typed::AccessToken {
            return Ok(());
        }
        let says_bearer = match self.text("typ")? {
            None => false,
            Some("Bearer") => true,
            Some("ID") => return Err(AuthError::NotAnAccessToken("an ID token")),
            Some(_) => return Err(AuthError::NotAnAccessToken("a token for the issuer itself")),
        };
        let says_access = match self.text("token_use")? {
            None => false,
            Some("access") => true,
            Some(_) => return Err(AuthError::NotAnAccessToken("an ID token")),
        };
        if self.has("events") {
            return Err(AuthError::NotAnAccessToken("a security event"));
        }
        if says_bearer || says_access {
            return Ok(());
        }
        if ["nonce", "at_hash", "c_hash", "s_hash"]
            .into_iter()
            .any(|name| self.has(name))
        {
            return Err(AuthError::NotAnAccessToken("an ID token"));
        }
        let for_its_own_client = self
            .client()?
            .is_some_and(|client| audience.contains(client) && audience.len() == 1);
        if !self.is_a_programs_own()?
            && !self.has("idtyp")
            && !self.has_scopes()?
            && (self.has_personal_claims() || for_its_own_client)
        {
            return Err(AuthError::NotAnAccessToken("an ID token"));
        }
        Ok(())
    }

    /// Entra moves groups out of a token that would have too many; then nobody can tell whether this is an agent.
    fn has_all_groups(&self) -> Result<(), AuthError> {
        let elsewhere = self.object("_claim_names")?;
        let moved = elsewhere.is_some_and(|names| names.has("groups") || names.has("roles"));
        if moved || self.is_true("hasgroups") {
            return Err(AuthError::GroupsOverage);
        }
        Ok(())
    }
}

/// Entra Agent ID: an agent identity, and an agent's user account.
const AGENT_FACETS: [&str; 2] = ["11", "13"];

const PERSONAL: [&str; 10] = [
    "preferred_username",
    "upn",
    "unique_name",
    "email",
    "emails",
    "name",
    "given_name",
    "family_name",
    "auth_time",
    "uid",
];

/// Until when a verified token counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    expires: i64,
}

impl Validity {
    pub(super) fn is_over(self, now_second: i64) -> bool {
        now_second >= self.expires + LEEWAY_SECONDS
    }
}

/// Text that can be shown, written down and compared by eye: not empty, not endless, nothing invisible in it.
fn is_decent(text: &str) -> bool {
    let invisible = |c: char| {
        c.is_control()
            || (c.is_whitespace() && c != ' ')
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
            || ('\u{200b}'..='\u{200f}').contains(&c)
            || ('\u{2028}'..='\u{202e}').contains(&c)
            || ('\u{2060}'..='\u{206f}').contains(&c)
            || ('\u{e0000}'..='\u{e0fff}').contains(&c)
    };
    !text.is_empty()
        && text.len() <= MAX_TEXT_BYTES
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.chars().any(invisible)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn issuer() -> Issuer {
        Issuer {
            issuer: "https://issuer".to_owned(),
            audience: vec!["us".to_owned()],
            tenants: BTreeSet::new(),
            clients: BTreeSet::new(),
            agents: Default::default(),
        }
    }

    fn code(typed: Typed, claims: Value) -> &'static str {
        let mut all = json!({"iss": "https://issuer", "aud": "us", "exp": 1000, "sub": "s"});
        if let (Value::Object(all), Value::Object(claims)) = (&mut all, claims) {
            all.extend(claims);
        }
        let claims = Claims::new(serde_json::from_value(all).unwrap());
        let now = Timestamp::from_second(900).unwrap();
        match claims.check(&issuer(), typed, now) {
            Ok(_) => "good",
            Err(refused) => refused.code(),
        }
    }

    #[test]
    fn a_token_whose_verified_issuer_is_another_is_refused_whoever_was_asked_for_the_key() {
        let issuer = json!({"iss": "https://issuer/"});
        assert_eq!(code(Typed::Unsaid, issuer), "token_issuer");
        assert_eq!(code(Typed::Unsaid, json!({"iss": null})), "token_issuer");
    }

    #[test]
    fn an_access_token_is_told_from_other_tokens_of_its_issuer() {
        use Typed::{AccessToken, Unsaid};
        let not = "token_not_access";
        let table = [
            (Unsaid, json!({"scp": "access", "name": "A"}), "good"),
            (Unsaid, json!({"scope": "access", "name": "A"}), "good"),
            (Unsaid, json!({"name": "A"}), not),
            (Unsaid, json!({"scp": "", "name": "A"}), not),
            (Unsaid, json!({"scp": " ", "name": "A"}), not),
            (Unsaid, json!({"scope": [], "email": ""}), not),
            (Unsaid, json!({"auth_time": 1}), not),
            (Unsaid, json!({"roles": ["Approver"], "name": "A"}), not),
            (AccessToken, json!({"name": "A"}), "good"),
            (AccessToken, json!({"nonce": "n"}), "good"),
            (Unsaid, json!({"scp": "access", "nonce": "n"}), not),
            (Unsaid, json!({"scp": "access", "at_hash": "h"}), not),
            (Unsaid, json!({"scp": "access", "c_hash": "h"}), not),
            (Unsaid, json!({"events": {}}), not),
            (
                Unsaid,
                json!({"typ": "Bearer", "nonce": "n", "name": "A"}),
                "good",
            ),
            (Unsaid, json!({"typ": "Refresh"}), not),
            (Unsaid, json!({"typ": "ID", "scope": "openid"}), not),
            (
                Unsaid,
                json!({"token_use": "access", "username": "a"}),
                "good",
            ),
            (Unsaid, json!({"token_use": "id"}), not),
            (Unsaid, json!({"azp": "us"}), not),
            (Unsaid, json!({"azp": "us", "roles": ["Approver"]}), not),
            (Unsaid, json!({"azp": "us", "scp": "access"}), "good"),
            (Unsaid, json!({"azp": "us", "sub": "us"}), "good"),
            (Unsaid, json!({"azp": "us", "idtyp": "app"}), "good"),
            (Unsaid, json!({"azp": "us", "oid": "s"}), "good"),
            (Unsaid, json!({"oid": "s", "name": "A"}), not),
            (Unsaid, json!({"azp": "job"}), "good"),
            (Unsaid, json!({}), "good"),
        ];
        for (typed, claims, expected) in table {
            assert_eq!(code(typed, claims.clone()), expected, "{typed:?} {claims}");
        }
    }

    #[test]
    fn groups_that_were_left_out_are_never_taken_for_none() {
        let overage = "token_groups_overage";
        let table = [
            (
                json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {}}),
                overage,
            ),
            (json!({"_claim_names": {"roles": "src1"}}), overage),
            (json!({"_claim_names": {"address": "src1"}}), "good"),
            (json!({"_claim_names": ["groups"]}), "token_malformed"),
            (json!({"hasgroups": true}), overage),
            (json!({"hasgroups": "true"}), overage),
            (json!({"hasgroups": false, "groups": []}), "good"),
        ];
        for (claims, expected) in table {
            assert_eq!(
                code(Typed::AccessToken, claims.clone()),
                expected,
                "{claims}"
            );
        }
    }
}
