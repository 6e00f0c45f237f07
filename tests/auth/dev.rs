//! The issuer of `portcullis dev`.

use std::collections::BTreeSet;

use portcullis::auth::dev::{DevIssuer, DevIssuerError, LoopbackOnly};

use super::*;

fn dev_issuer(folder: &tempfile::TempDir) -> DevIssuer {
    let proof = LoopbackOnly::prove("127.0.0.1:8700".parse().unwrap()).unwrap();
    DevIssuer::open(folder.path(), proof).unwrap()
}

#[tokio::test]
async fn another_process_mints_with_the_key_in_the_data_folder_and_the_gateway_believes_it() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = dev_issuer(&folder);
    let authenticator = Authenticator::new(Vec::new())
        .unwrap()
        .with_local_keys(&gateway)
        .unwrap();
    let command = DevIssuer::of_running(folder.path()).unwrap();
    assert_eq!(command.issuer(), "http://127.0.0.1:8700/dev-issuer");
    let hour = Duration::from_secs(3600);
    let table = [
        (PrincipalKind::Human, "user:alice"),
        (PrincipalKind::Agent, "agent:alice"),
        (PrincipalKind::Service, "app:alice"),
    ];
    let mut persons = BTreeSet::new();
    for (kind, id) in table {
        let token = command.mint("alice", ["dba", "ops"], kind, hour).unwrap();
        let principal = verify(&authenticator, &token).await.unwrap();
        assert_eq!((principal.kind(), principal.id().as_str()), (kind, id));
        assert_eq!(principal.groups().len(), 2);
        persons.insert(principal.person());
    }
    assert_eq!(persons.len(), 3);

    // A restart of the gateway keeps its tokens, a reload of its policy too.
    let token = command
        .mint("alice", [], PrincipalKind::Human, hour)
        .unwrap();
    let restarted = dev_issuer(&folder);
    assert_eq!(restarted.jwks(), gateway.jwks());
    authenticator
        .reload(vec![Provider::shared().as_policy_issuer()])
        .unwrap();
    assert_eq!(code(&authenticator, &token).await, "let in");

    let elsewhere = tempfile::tempdir().unwrap();
    let forged = dev_issuer(&elsewhere).mint("alice", ["dba"], PrincipalKind::Human, hour);
    assert_eq!(
        code(&authenticator, &forged.unwrap()).await,
        "token_key_unknown"
    );
}

#[tokio::test]
async fn no_single_character_of_a_token_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = dev_issuer(&folder);
    let authenticator = Authenticator::new(Vec::new())
        .unwrap()
        .with_local_keys(&issuer)
        .unwrap();
    let hour = Duration::from_secs(3600);
    let token = issuer
        .mint("alice", ["dba"], PrincipalKind::Human, hour)
        .unwrap();
    assert_eq!(code(&authenticator, &token).await, "let in");
    for position in 0..token.len() {
        let original = token.as_bytes()[position];
        for replacement in [
            original ^ 1,
            original ^ 2,
            original ^ 4,
            original ^ 32,
            b'A',
            b'.',
        ] {
            if replacement == original || !replacement.is_ascii_graphic() {
                continue;
            }
            let mut changed = token.clone().into_bytes();
            changed[position] = replacement;
            let changed = String::from_utf8(changed).unwrap();
            let result = authenticator
                .verify(Some(&format!("Bearer {changed}")))
                .await;
            assert!(result.is_err(), "position {position}: {changed}");
        }
    }
}

#[tokio::test]
async fn a_local_token_is_short_lived_and_its_names_are_plain() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = dev_issuer(&folder);
    let week = Duration::from_secs(7 * 24 * 3600);
    let token = issuer.mint("bob", [], PrincipalKind::Agent, week).unwrap();
    let (_, payload, _) = parts(&token);
    let seconds = payload["exp"].as_i64().unwrap() - payload["iat"].as_i64().unwrap();
    assert_eq!(seconds, 24 * 3600);
    for name in [
        "",
        "a b",
        "a#b",
        "a\"b",
        "a\u{7f}",
        "ålice",
        &"x".repeat(65),
    ] {
        let refused = issuer.mint(name, [], PrincipalKind::Human, week);
        assert!(matches!(refused, Err(DevIssuerError::Name(_))), "{name:?}");
        let refused = issuer.mint("bob", [name], PrincipalKind::Human, week);
        assert!(matches!(refused, Err(DevIssuerError::Name(_))), "{name:?}");
    }
}

#[test]
fn there_is_no_local_issuer_beyond_loopback() {
    for address in [
        "0.0.0.0:80",
        "10.0.0.1:80",
        "[::]:80",
        "[2001:db8::1]:80",
        "127.0.0.1:0",
    ] {
        let refused = LoopbackOnly::prove(address.parse().unwrap());
        assert!(
            matches!(refused, Err(DevIssuerError::NotLoopback(_))),
            "{address}"
        );
    }
    for address in ["127.0.0.1:80", "127.3.2.1:80", "[::1]:80"] {
        assert!(
            LoopbackOnly::prove(address.parse().unwrap()).is_ok(),
            "{address}"
        );
    }
    // Nor does a file somebody altered lead there.
    let folder = tempfile::tempdir().unwrap();
    dev_issuer(&folder);
    std::fs::write(folder.path().join("dev-issuer.address"), "0.0.0.0:8700").unwrap();
    let refused = DevIssuer::of_running(folder.path());
    assert!(matches!(refused, Err(DevIssuerError::NotLoopback(_))));
}

#[cfg(unix)]
#[test]
fn the_local_key_is_its_owners_alone_or_not_used() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        DevIssuer::of_running(folder.path()),
        Err(DevIssuerError::Absent(_))
    ));
    let issuer = dev_issuer(&folder);
    let key = folder.path().join("dev-issuer.key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!format!("{issuer:?}").contains("EncodingKey"));

    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
    assert!(matches!(
        DevIssuer::of_running(folder.path()),
        Err(DevIssuerError::Exposed(_))
    ));
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&key, "not a key").unwrap();
    assert!(matches!(
        DevIssuer::of_running(folder.path()),
        Err(DevIssuerError::Damaged(_))
    ));
}
