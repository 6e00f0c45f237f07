//! Entra tokens in place of passwords: `serve` with a stand-in for the identity endpoint of Azure App Service, and a real
//! PostgreSQL whose roles have the token for a password.

use std::{fs, sync::Mutex, time::Duration};

use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    identity::{self, CLIENT, Identity, Shared},
    oidc::{AUDIENCE, Provider},
    postgres::{self, Database, server},
    serving::{Answer, Caller, Serving, agent},
};

const POLICY: &str = r#"version: 1
identity: { issuers: [{ issuer: "ISSUER", audience: "AUDIENCE", agents: { app_roles: [Agent] } }] }
connections:
  crm: { kind: postgres, read: { url: "URL", token: entra }, allow: { app_roles: [Agent] } }
rules: [{ name: reads, when: { effect: read }, then: allow }]
"#;

struct Passwordless {
    identity: Shared,
    database: Database,
    agent: Caller,
    folder: TempDir,
    _serving: Serving,
}

impl Passwordless {
    /// A gateway whose identity is given `token`, which is good for so many seconds and is the role's password.
    async fn new(token: &str, lives: u64) -> Self {
        let database = postgres::database().await;
        database
            .prepare("CREATE TABLE t (id integer); INSERT INTO t VALUES (7)")
            .await;
        let identity = Identity {
            token: token.into(),
            lives,
            ..Identity::default()
        };
        let identity = Shared::new(Mutex::new(identity));
        wants(&database, token).await;
        let endpoint = identity::serve(&identity).await;
        let provider = Provider::shared();
        let url = format!(
            "postgres://{}@localhost:{}/{}?sslrootcert={}",
            database.reader,
            server().port,
            database.name,
            server().authority.display()
        );
        let text = POLICY
            .replace("ISSUER", provider.issuer())
            .replace("AUDIENCE", AUDIENCE)
            .replace("URL", &url);
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy.yaml");
        fs::write(&policy, text).unwrap();
        let (policy, data) = (&policy, &folder.path().join("data"));
        let serving = Serving::start_in(policy, data, &identity::environment(&endpoint)).await;
        Self {
            identity,
            database,
            agent: serving.caller(&agent(provider).await),
            folder,
            _serving: serving,
        }
    }

    /// From now on the identity endpoint gives this.
    fn gives(&self, token: &str, lives: u64) {
        let mut identity = self.identity.lock().unwrap();
        (identity.token, identity.lives) = (token.into(), lives);
    }

    async fn wants(&self, token: &str) {
        wants(&self.database, token).await;
    }

    /// Asks, again where the question met the end of a connection that [`Self::wants`] ended.
    async fn ask(&self) -> Answer {
        let mut answer = self.agent.query("SELECT id FROM t").await;
        while answer.body["error"]["code"] == "08006" || answer.body["error"]["code"] == "57P01" {
            answer = self.agent.query("SELECT id FROM t").await;
        }
        let token = self.identity.lock().unwrap().token.clone();
        let log = fs::read_to_string(self.folder.path().join("data/log")).unwrap();
        assert!(!answer.body.to_string().contains(&token), "{}", answer.body);
        assert!(!log.contains(&token), "{log}");
        answer
    }

    fn asked(&self) -> usize {
        self.identity.lock().unwrap().asked.len()
    }
}

/// From now on the server wants this, also of whoever is logged in.
async fn wants(database: &Database, token: &str) {
    let reader = &database.reader;
    let admin = database.admin().await;
    let alter = format!("ALTER ROLE {reader} PASSWORD '{token}'");
    admin.batch_execute(&alter).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
    admin.query(end, &[reader]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_logs_in_with_one_token_of_its_identity_for_its_service() {
    let gateway = Passwordless::new("eyJ0eXAi.first-token", 3600).await;
    let asking = (0..8).map(|_| gateway.ask());
    for answer in futures_util::future::join_all(asking).await {
        assert_eq!(answer.rows(), &json!([[7]]));
    }
    let asked = gateway.identity.lock().unwrap().asked.clone();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        asked[0]["resource"],
        "https://ossrdbms-aad.database.windows.net"
    );
    assert_eq!(asked[0]["client_id"], CLIENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_before_it_expires_and_used_until_it_does() {
    let gateway = Passwordless::new("eyJ0eXAi.first-token", 3).await;
    assert_eq!(gateway.ask().await.rows(), &json!([[7]]));
    // A new token is what the next connection logs in with.
    gateway.gives("eyJ0eXAi.second-token", 10);
    gateway.wants("eyJ0eXAi.second-token").await;
    assert_eq!(gateway.ask().await.rows(), &json!([[7]]));
    assert!(gateway.asked() >= 2);
    // It cannot be renewed, but is still good.
    gateway.identity.lock().unwrap().down = true;
    gateway.wants("eyJ0eXAi.second-token").await;
    assert_eq!(gateway.ask().await.rows(), &json!([[7]]));
    // It has expired: nothing is sent to the server.
    tokio::time::sleep(Duration::from_secs(11)).await;
    gateway.wants("eyJ0eXAi.second-token").await;
    let answer = gateway.ask().await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.body
    );
    let told = answer.body.to_string();
    assert!(
        told.contains("no Entra access token could be had"),
        "{told}"
    );
    gateway.identity.lock().unwrap().down = false;
    assert_eq!(gateway.ask().await.rows(), &json!([[7]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_server_does_not_take_is_told_as_a_refused_login() {
    let gateway = Passwordless::new("eyJ0eXAi.first-token", 3600).await;
    gateway.wants("something else").await;
    let answer = gateway.ask().await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.body
    );
    assert!(answer.body.to_string().contains("28P01"), "{}", answer.body);
}
