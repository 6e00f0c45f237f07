//! Who is let in, with real tokens of a real provider; forgeries are made of those.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dev;
mod keys;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use portcullis::{
    auth::{AuthConfigError, AuthError, Authenticator},
    domain::principal::{Principal, PrincipalKind},
};
use serde_json::{Value, json};

use crate::support::oidc::{AUDIENCE, OTHER_AUDIENCE, Provider, TENANT, object_id};

/// A clock that a test moves.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn advance(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap();
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

fn trusting(provider: &Provider) -> (Authenticator, Clock) {
    let clock = Clock::default();
    let issuers = vec![provider.as_policy_issuer()];
    let authenticator = Authenticator::with_clock(issuers, {
        let clock = clock.clone();
        move || clock.now()
    });
    (authenticator.unwrap(), clock)
}

async fn verify(authenticator: &Authenticator, token: &str) -> Result<Principal, AuthError> {
    let result = authenticator.verify(Some(&format!("Bearer {token}"))).await;
    if let Err(refused) = &result {
        assert_tells_nothing_of(refused, token);
    }
    result
}

/// Every refusal in this file passes here: it never holds a part of the token, and can be sent as a header.
fn assert_tells_nothing_of(refused: &AuthError, token: &str) {
    let mut told = format!("{refused} {refused:?} {:?}", refused.challenge());
    let mut source = std::error::Error::source(refused);
    while let Some(error) = source {
        told.push_str(&error.to_string());
        source = error.source();
    }
    for part in token.split('.').filter(|part| part.len() >= 16) {
        assert!(!told.contains(&part[..16]), "{told}");
    }
    let allowed = |c: char| c.is_ascii_graphic() || c == ' ';
    let message = refused.to_string();
    assert!(
        message.chars().all(|c| allowed(c) && c != '"' && c != '\\'),
        "{message}"
    );
}

async fn code(authenticator: &Authenticator, token: &str) -> &'static str {
    match verify(authenticator, token).await {
        Ok(_) => "let in",
        Err(refused) => refused.code(),
    }
}

/// A token's parts as JSON, to forge others of.
fn parts(token: &str) -> (Value, Value, String) {
    let mut parts = token.split('.');
    let mut json = || {
        let part = BASE64_URL_SAFE_NO_PAD
            .decode(parts.next().unwrap())
            .unwrap();
        serde_json::from_slice(&part).unwrap()
    };
    let (header, payload) = (json(), json());
    (header, payload, parts.next().unwrap().to_owned())
}

fn forged(header: &Value, payload: &Value, signature: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(payload))
}

// ------------------------------------------------------------------------------------------------ who is let in

#[tokio::test]
async fn people_agents_and_programs_are_told_apart_by_real_tokens_of_either_algorithm() {
    let provider = Provider::shared();
    let (authenticator, _) = trusting(provider);
    for algorithm in ["RS256", "ES256"] {
        let human = provider
            .entra_person("alice", "ops-console", &["db-admins"])
            .algorithm(algorithm);
        let human = verify(&authenticator, &human.token().await).await.unwrap();
        assert_eq!(human.kind(), PrincipalKind::Human);
        assert_eq!(human.id().as_str(), "user:alice@example.com");
        assert!(human.groups().contains("db-admins"));
        let described = human.described();
        assert_eq!(described.subject, object_id("alice"));
        assert_eq!(described.tenant.as_deref(), Some(TENANT));
        assert_eq!(described.client.as_deref(), Some("ops-console"));
        assert_eq!(described.issuer, provider.issuer());

        let agent = provider
            .entra_app("ai-agent", &["Agent"])
            .algorithm(algorithm);
        let agent = verify(&authenticator, &agent.token().await).await.unwrap();
        assert_eq!(agent.kind(), PrincipalKind::Agent);
        assert_eq!(agent.id().as_str(), "agent:ai-agent");
        assert!(agent.app_roles().contains("Agent"));
        assert_eq!(agent.described().acts_for, None);

        let service = provider
            .entra_app("release-pipeline", &["Deploy"])
            .algorithm(algorithm);
        let service = verify(&authenticator, &service.token().await)
            .await
            .unwrap();
        assert_eq!(service.kind(), PrincipalKind::Service);
        assert_eq!(service.id().as_str(), "app:release-pipeline");
    }
}

#[tokio::test]
async fn rfc_9068_tokens_as_the_provider_itself_writes_them_are_understood() {
    let provider = Provider::shared();
    let (authenticator, _) = trusting(provider);
    let service = provider.program("batch-job").token().await;
    let service = verify(&authenticator, &service).await.unwrap();
    assert_eq!(service.id().as_str(), "app:batch-job");

    let person = provider
        .person("bob", "ops-console")
        .claim("preferred_username", json!("bob"));
    let person = verify(&authenticator, &person.token().await).await.unwrap();
    assert_eq!(person.kind(), PrincipalKind::Human);
    assert_eq!(person.id().as_str(), "user:bob");

    // Nothing in this token shows a person.
    let unclear = provider.person("bob", "ops-console").token().await;
    let unclear = verify(&authenticator, &unclear).await.unwrap();
    assert_eq!(unclear.kind(), PrincipalKind::Service);
    assert_eq!(unclear.id().as_str(), "app:ops-console#bob");
}

#[tokio::test]
async fn an_agent_with_a_persons_token_is_an_agent_and_that_person_at_once() {
    let provider = Provider::shared();
    let mut issuer = provider.as_policy_issuer();
    issuer.agents.clients.insert("ai-agent".to_owned());
    let authenticator = Authenticator::new(vec![issuer]).unwrap();

    let alice = provider.entra_person("alice", "ops-console", &["db-admins"]);
    let alice = verify(&authenticator, &alice.token().await).await.unwrap();
    let her_agent = provider.entra_person("alice", "ai-agent", &["db-admins"]);
    let her_agent = verify(&authenticator, &her_agent.token().await)
        .await
        .unwrap();
    assert_eq!(alice.kind(), PrincipalKind::Human);
    assert_eq!(her_agent.kind(), PrincipalKind::Agent);
    assert_eq!(alice.person(), her_agent.person());
    assert_eq!(her_agent.id().as_str(), "agent:ai-agent#alice@example.com");
    let acts_for = her_agent.described().acts_for;
    assert_eq!(acts_for.as_deref(), Some("user:alice@example.com"));

    let bobs_agent = provider.entra_person("bob", "ai-agent", &[]);
    let bobs_agent = verify(&authenticator, &bobs_agent.token().await)
        .await
        .unwrap();
    assert_ne!(bobs_agent.id(), her_agent.id());
    assert_ne!(bobs_agent.person(), her_agent.person());

    let exchanged = provider
        .entra_person("alice", "ops-console", &["db-admins"])
        .claim("act", json!({"sub": "summariser"}));
    let exchanged = verify(&authenticator, &exchanged.token().await)
        .await
        .unwrap();
    assert_eq!(exchanged.kind(), PrincipalKind::Agent);
    assert_eq!(
        exchanged.id().as_str(),
        "agent:summariser#alice@example.com"
    );
    assert_eq!(exchanged.person(), alice.person());
}

// ------------------------------------------------------------------------------------------------ who is not

#[tokio::test]
async fn a_token_that_was_forged_or_altered_opens_nothing() {
    let provider = Provider::shared();
    let (authenticator, _) = trusting(provider);
    let real = provider
        .entra_person("alice", "ops-console", &["db-admins"])
        .token()
        .await;
    let es256 = provider
        .entra_person("alice", "ops-console", &[])
        .algorithm("ES256");
    let (es256_header, es256_payload, es256_signature) = parts(&es256.token().await);
    let (header, payload, signature) = parts(&real);
    let with = |value: &Value, name: &str, new: Value| {
        let mut value = value.clone();
        value[name] = new;
        value
    };
    let jwks: Value = reqwest::get(format!("{}/jwks", provider.issuer()))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let public_key = jwks["keys"][0]["n"].as_str().unwrap();

    let admin = with(&payload, "groups", json!(["everything"]));
    let mut broken_signature = signature.clone();
    let replacement = if signature.starts_with('A') { "B" } else { "A" };
    broken_signature.replace_range(0..1, replacement);
    let as_hmac = with(&header, "alg", json!("HS256"));
    let hmac = {
        let signed = forged(&as_hmac, &admin, "");
        let signed = signed.trim_end_matches('.');
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public_key.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()))
    };
    let unknown = "token_key_unknown";
    let table = [
        (
            "changed claims",
            forged(&header, &admin, &signature),
            "token_signature",
        ),
        (
            "changed signature",
            forged(&header, &payload, &broken_signature),
            "token_signature",
        ),
        (
            "no signature",
            forged(&header, &payload, ""),
            "token_signature",
        ),
        (
            "alg none",
            forged(&with(&header, "alg", json!("none")), &admin, ""),
            "token_algorithm",
        ),
        (
            "alg nOnE",
            forged(&with(&header, "alg", json!("nOnE")), &admin, ""),
            "token_algorithm",
        ),
        (
            "HMAC with the public key",
            forged(&as_hmac, &admin, &hmac),
            "token_algorithm",
        ),
        (
            "an RSA key for ES256",
            forged(&with(&header, "alg", json!("ES256")), &payload, &signature),
            unknown,
        ),
        (
            "an EC key for RS256",
            forged(
                &with(&es256_header, "alg", json!("RS256")),
                &es256_payload,
                &es256_signature,
            ),
            unknown,
        ),
        (
            "another key's id",
            forged(
                &with(&es256_header, "kid", header["kid"].clone()),
                &es256_payload,
                &es256_signature,
            ),
            unknown,
        ),
        (
            "an unknown key",
            forged(&with(&header, "kid", json!("nobody")), &payload, &signature),
            unknown,
        ),
        (
            "its own key",
            forged(
                &with(&header, "jwk", jwks["keys"][1].clone()),
                &admin,
                &signature,
            ),
            "token_signature",
        ),
        (
            "its own key's address",
            forged(
                &with(&header, "jku", json!("http://127.0.0.1:1/")),
                &admin,
                &signature,
            ),
            "token_signature",
        ),
        (
            "critical extension",
            forged(&with(&header, "crit", json!(["b64"])), &payload, &signature),
            "token_malformed",
        ),
        (
            "two parts",
            real.rsplit_once('.').unwrap().0.to_owned(),
            "token_malformed",
        ),
        ("four parts", format!("{real}.AAAA"), "token_malformed"),
        ("padding", format!("{real}=="), "token_malformed"),
        (
            "an issuer nobody named",
            forged(
                &header,
                &with(&payload, "iss", json!("https://evil.example")),
                &signature,
            ),
            "token_issuer",
        ),
        (
            "an issuer almost named",
            forged(
                &header,
                &with(&payload, "iss", json!(format!("{}/", provider.issuer()))),
                &signature,
            ),
            "token_issuer",
        ),
        (
            "a list of issuers",
            forged(
                &header,
                &with(&payload, "iss", json!([provider.issuer()])),
                &signature,
            ),
            "token_malformed",
        ),
        (
            "huge",
            format!("{real}{}", "A".repeat(16 * 1024)),
            "token_malformed",
        ),
        (
            "deeply nested",
            forged(
                &header,
                &serde_json::from_str(&format!(
                    "{{\"iss\":{}1{}}}",
                    "[".repeat(100),
                    "]".repeat(100)
                ))
                .unwrap(),
                &signature,
            ),
            "token_malformed",
        ),
    ];
    for (what, token, expected) in table {
        assert_eq!(code(&authenticator, &token).await, expected, "{what}");
    }
    assert_eq!(code(&authenticator, &real).await, "let in");
}

#[tokio::test]
async fn a_token_the_issuer_signed_but_not_for_this_is_refused_with_the_reason() {
    let provider = Provider::shared();
    let mut issuer = provider.as_policy_issuer();
    issuer.tenants.insert(TENANT.to_owned());
    issuer.clients.insert("ops-console".to_owned());
    let authenticator = Authenticator::new(vec![issuer]).unwrap();
    let now = Timestamp::now().as_second();
    let good = || provider.entra_person("alice", "ops-console", &["db-admins"]);
    let deep: Value =
        serde_json::from_str(&format!("{}1{}", "[".repeat(100), "]".repeat(100))).unwrap();
    let table = [
        (good(), "let in"),
        (
            good().claim("aud", json!(["api://first", AUDIENCE])),
            "let in",
        ),
        (good().header("typ", json!("at+jwt")), "let in"),
        (good().claim("nbf", json!(now + 20)), "let in"),
        (
            good()
                .claim("exp", json!(now - 20))
                .claim("iat", json!(now - 90)),
            "let in",
        ),
        (
            good().claim("exp", json!((now + 60) as f64 + 0.5)),
            "let in",
        ),
        (good().audience(OTHER_AUDIENCE), "token_audience"),
        (
            good().claim("aud", json!([OTHER_AUDIENCE])),
            "token_audience",
        ),
        (good().claim("aud", json!([[AUDIENCE]])), "token_malformed"),
        (
            good().claim("aud", json!({"0": AUDIENCE})),
            "token_malformed",
        ),
        (good().without("exp"), "token_malformed"),
        (good().claim("exp", json!("tomorrow")), "token_malformed"),
        (good().claim("exp", json!(1e300)), "token_malformed"),
        (good().claim("exp", json!(-1)), "token_malformed"),
        (
            good()
                .claim("exp", json!(now - 40))
                .claim("iat", json!(now - 90)),
            "token_expired",
        ),
        (good().claim("nbf", json!(now + 100)), "token_not_yet_valid"),
        (good().claim("iat", json!(now + 100)), "token_not_yet_valid"),
        (good().claim("nbf", json!(now + 4000)), "token_malformed"),
        (good().claim("nbf", json!(true)), "token_malformed"),
        (good().claim("tid", json!("another")), "token_tenant"),
        (good().without("tid"), "token_tenant"),
        (good().without("oid"), "token_malformed"),
        (good().claim("azp", json!("ai-agent")), "token_client"),
        (good().claim("appid", json!("ai-agent")), "token_malformed"),
        (good().without("azp"), "token_client"),
        (good().header("typ", json!("logout+jwt")), "token_malformed"),
        (good().claim("nonce", json!("n")), "token_not_access"),
        (good().claim("typ", json!("ID")), "token_not_access"),
        (good().claim("token_use", json!("id")), "token_not_access"),
        (good().without("scp"), "token_not_access"),
        (
            good().claim("groups", json!([["db-admins"]])),
            "token_malformed",
        ),
        (good().claim("groups", deep), "token_malformed"),
        (
            good().claim("groups", json!(["db\nadmins"])),
            "token_malformed",
        ),
        (
            good().claim("groups", json!({"0": "db-admins"})),
            "token_malformed",
        ),
        (good().claim("roles", json!([7])), "token_malformed"),
        (
            good().claim("_claim_names", json!({"groups": "src1"})),
            "token_groups_overage",
        ),
        (
            good().claim("_claim_names", json!("groups")),
            "token_malformed",
        ),
        (
            good().claim("hasgroups", json!(true)),
            "token_groups_overage",
        ),
        (
            good().claim("hasgroups", json!("true")),
            "token_groups_overage",
        ),
        (good().claim("oid", json!("a\u{202e}b")), "token_malformed"),
        (
            good().claim("oid", json!("x".repeat(300))),
            "token_malformed",
        ),
    ];
    for (row, (request, expected)) in table.into_iter().enumerate() {
        let token = request.token().await;
        let (_, payload, _) = parts(&token);
        assert_eq!(
            code(&authenticator, &token).await,
            expected,
            "row {row}: {payload}"
        );
    }
}

#[tokio::test]
async fn an_id_token_of_a_real_sign_in_is_refused_even_if_it_is_for_our_audience() {
    let provider = Provider::shared();
    let mut issuer = provider.as_policy_issuer();
    issuer.audience.push("ops-console".to_owned());
    let authenticator = Authenticator::new(vec![issuer]).unwrap();
    let tokens = provider
        .entra_person("alice", "ops-console", &[])
        .tokens()
        .await;
    assert_eq!(code(&authenticator, &tokens.access).await, "let in");
    let identity = tokens.identity.unwrap();
    assert_eq!(code(&authenticator, &identity).await, "token_not_access");
    // Without the hash it is still a token of the client for itself, or a name without a scope.
    let (header, mut payload, _) = parts(&identity);
    payload.as_object_mut().unwrap().remove("at_hash");
    payload["azp"] = json!("ops-console");
    payload["roles"] = json!(["Approver"]);
    let bare = provider.sign(header.clone(), payload.clone());
    assert_eq!(code(&authenticator, &bare).await, "token_not_access");
    payload.as_object_mut().unwrap().remove("azp");
    payload["name"] = json!("Alice");
    let named = provider.sign(header, payload);
    assert_eq!(code(&authenticator, &named).await, "token_not_access");
}

#[tokio::test]
async fn a_signed_token_with_a_critical_extension_or_without_a_key_id_is_refused() {
    let provider = Provider::shared();
    let (authenticator, _) = trusting(provider);
    let real = provider.entra_app("batch-job", &[]).token().await;
    let (header, payload, _) = parts(&real);
    let signed = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        provider.sign(header, payload.clone())
    };
    assert_eq!(code(&authenticator, &signed("x", json!(1))).await, "let in");
    let critical = signed("crit", json!(["x"]));
    assert_eq!(code(&authenticator, &critical).await, "token_malformed");
    let nested = signed("cty", json!("JWT"));
    assert_eq!(code(&authenticator, &nested).await, "token_malformed");
}

#[tokio::test]
async fn a_caller_without_a_token_is_told_what_to_send_and_a_bad_token_why() {
    let provider = Provider::shared();
    let (authenticator, _) = trusting(provider);
    let missing = authenticator.verify(None).await.unwrap_err();
    assert_eq!((missing.status(), missing.code()), (401, "token_missing"));
    assert_eq!(missing.challenge().as_deref(), Some("Bearer"));
    let basic = authenticator.verify(Some("Basic YTpi")).await.unwrap_err();
    assert_eq!(basic.code(), "token_missing");

    let other = provider.program("batch-job").audience(OTHER_AUDIENCE);
    let refused = verify(&authenticator, &other.token().await)
        .await
        .unwrap_err();
    let challenge = refused.challenge().unwrap();
    assert_eq!(refused.status(), 401);
    assert!(
        challenge.starts_with(
            r#"Bearer error="invalid_token", error_description="token_audience: the token is for"#
        ),
        "{challenge}"
    );
}

// ------------------------------------------------------------------------------------------------ time

#[tokio::test]
async fn a_token_verified_a_moment_ago_still_expires_on_time() {
    let provider = Provider::shared();
    let (authenticator, clock) = trusting(provider);
    let token = provider
        .entra_app("batch-job", &[])
        .seconds(20)
        .token()
        .await;
    assert_eq!(code(&authenticator, &token).await, "let in");
    clock.advance(Duration::from_secs(45));
    assert_eq!(
        code(&authenticator, &token).await,
        "let in",
        "within the leeway"
    );
    clock.advance(Duration::from_secs(10));
    assert_eq!(
        code(&authenticator, &token).await,
        "token_expired",
        "remembered"
    );
    assert_eq!(
        code(&authenticator, &token).await,
        "token_expired",
        "forgotten"
    );
}

// ------------------------------------------------------------------------------------------------ policy reloads

#[tokio::test]
async fn a_reload_keeps_what_did_not_change_and_forgets_what_did() {
    let provider = Provider::start();
    let (authenticator, _) = trusting(&provider);
    let issuer = provider.as_policy_issuer();
    let token = provider.entra_app("batch-job", &["Worker"]).token().await;
    let kind = async || verify(&authenticator, &token).await.unwrap().kind();
    assert_eq!(kind().await, PrincipalKind::Service);

    authenticator.reload(vec![issuer.clone()]).unwrap();
    assert_eq!(kind().await, PrincipalKind::Service);

    let mut stricter = issuer.clone();
    stricter.agents.app_roles.insert("Worker".to_owned());
    authenticator.reload(vec![stricter.clone()]).unwrap();
    assert_eq!(
        kind().await,
        PrincipalKind::Agent,
        "the remembered token is judged anew"
    );

    let mut unusable = stricter.clone();
    unusable.audience.clear();
    let refused = authenticator.reload(vec![unusable]).unwrap_err();
    assert!(matches!(refused, AuthConfigError::NoAudience(_)));
    assert_eq!(
        kind().await,
        PrincipalKind::Agent,
        "a bad reload changes nothing"
    );
    assert_eq!(provider.fetches().keys, 1, "the keys were kept all along");

    authenticator.reload(Vec::new()).unwrap();
    assert_eq!(code(&authenticator, &token).await, "token_issuer");
}

#[test]
fn issuers_that_cannot_be_trusted_as_configured_are_errors() {
    let issuer = |address: &str| {
        let mut issuer = Provider::shared().as_policy_issuer();
        address.clone_into(&mut issuer.issuer);
        issuer
    };
    let refused = |addresses: &[&str]| {
        let issuers = addresses.iter().map(|address| issuer(address)).collect();
        match Authenticator::new(issuers) {
            Ok(_) => "accepted",
            Err(AuthConfigError::Address(_)) => "address",
            Err(AuthConfigError::Duplicate(_)) => "duplicate",
            Err(AuthConfigError::SameTenant(..)) => "same tenant",
            Err(_) => "other",
        }
    };
    let (v1, v2) = (
        "https://sts.windows.net/0000-T/",
        "https://login.microsoftonline.com/0000-t/v2.0",
    );
    assert_eq!(
        refused(&[v2, "https://token.actions.githubusercontent.com"]),
        "accepted"
    );
    assert_eq!(refused(&["http://issuer.example"]), "address");
    assert_eq!(refused(&["http://10.0.0.1:8080"]), "address");
    assert_eq!(refused(&[v2, v2]), "duplicate");
    assert_eq!(refused(&[v1, v2]), "same tenant");
}

// ------------------------------------------------------------------------------------------------ cost

#[tokio::test]
async fn a_remembered_token_costs_microseconds_because_its_signature_is_not_checked_again() {
    let provider = Provider::shared();
    let (authenticator, _) = trusting(provider);
    for algorithm in ["RS256", "ES256"] {
        let token = provider
            .entra_person("alice", "ops-console", &["a", "b", "c"])
            .algorithm(algorithm)
            .token()
            .await;
        let header = format!("Bearer {token}");
        let issuers = [1, 2].map(|n| {
            let mut issuer = provider.as_policy_issuer();
            issuer.audience.resize(n, "another".to_owned());
            vec![issuer]
        });
        // Of several rounds the fastest counts: other work on the machine only adds.
        let fastest = |times: &[Duration]| *times.iter().min().unwrap();
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for round in 0..200 {
            // A changed configuration makes it verify the token in full.
            authenticator.reload(issuers[round % 2].clone()).unwrap();
            for times in [&mut first, &mut again] {
                let started = Instant::now();
                authenticator.verify(Some(&header)).await.unwrap();
                times.push(started.elapsed());
            }
        }
        let (first, again) = (fastest(&first), fastest(&again));
        println!(
            "{algorithm}, {} bytes: first {first:?}, then {again:?}",
            token.len()
        );
        assert!(again * 2 < first, "first {first:?}, then {again:?}");
        assert!(again < Duration::from_micros(50), "{again:?}");
    }
}
