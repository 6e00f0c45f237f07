//! Who the server is, is proven, or nothing is sent to it.

use super::*;
use crate::support::postgres::{database, server};

#[tokio::test]
async fn a_server_is_believed_under_the_right_authority_and_the_right_name_only() {
    let database = database().await;
    let server = server();
    let url = |host: &str, authority: &std::path::Path| {
        let url = database.read_url().replace("127.0.0.1", host);
        format!(
            "{url}?sslmode=verify-full&sslrootcert={}",
            authority.display()
        )
    };
    let right = url("localhost", &server.authority);
    let target = Target::of(ConnectionKind::Postgres, &right, &right).timeout(1000);
    assert_eq!(
        target
            .value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .await,
        Kept::Bool(true)
    );
    let answer = target
        .read("SELECT set_config('statement_timeout', '0', true), pg_sleep(60)")
        .await;
    assert!(
        matches!(answer, Err(RunError::Cancelled { timeout: true })),
        "cancelled over TLS: {answer:?}"
    );
    for wrong in [
        url("localhost", &server.stranger),
        url("127.0.0.1", &server.authority),
    ] {
        let target = Target::of(ConnectionKind::Postgres, &wrong, &wrong);
        match target.read("SELECT 1").await {
            Err(RunError::Unreachable(why)) => assert!(why.contains("TLS failed"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    // The machine's own authorities do not know this one either.
    let unknown = format!(
        "{}?sslmode=require",
        database.read_url().replace("127.0.0.1", "localhost")
    );
    let targets = LiveTargets::new();
    let configured = targets.configure(vec![TargetEndpoint {
        name: name(),
        kind: ConnectionKind::Postgres,
        access: Access::Read,
        endpoint: Endpoint::url(unknown.clone()),
    }]);
    if configured.is_ok() {
        let target = Target::of(ConnectionKind::Postgres, &unknown, &unknown);
        assert!(matches!(
            target.read("SELECT 1").await,
            Err(RunError::Unreachable(_))
        ));
    }
}
