//! `serve` in front of SQL Server's protocol, logged in with tokens of an identity endpoint's stand-in. The server is the
//! peer of `support::tds`: what is shown here is what the gateway does with a server's answers, not that one gives them.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    identity::{self, Identity, Shared},
    oidc::{AUDIENCE, Provider},
    serving::{Answer, Caller, Serving, agent, person},
    tds::{
        INT, NVARCHAR, Peer, Script, TOKEN, Told, aborted, affected, columns, error, failed,
        finished, int, nvarchar, row, selected,
    },
};

const POLICY: &str = r#"version: 1
identity: { issuers: [{ issuer: "ISSUER", audience: "AUDIENCE", agents: { app_roles: [Agent] } }] }
approvers: { dba: { groups: [db-admins] } }
connections:
  crm: { kind: mssql, read: { url: "URL", token: entra }, write: { url: "URL", token: entra }, allow: { app_roles: [Agent] } }
rules:
  - { name: reads, when: { effect: read }, then: allow }
  - { name: changes, when: { effect: [write, destructive], unbounded: false }, then: { require_approval: dba } }
masking: { columns: [{ match: "*.customers.email", as: redact, in_predicates: allow }] }
"#;

/// Nothing by which a detector would know it.
const SECRET: &str = "mira.kessel";
const DELETE: &str = "DELETE FROM dbo.customers WHERE id = 7";

/// One result of one row.
fn one(cells: &[(&str, &[u8], Vec<u8>)]) -> Vec<u8> {
    let named: Vec<(&str, &[u8])> = cells.iter().map(|(name, info, _)| (*name, *info)).collect();
    let values: Vec<&[u8]> = cells.iter().map(|(_, _, value)| &**value).collect();
    finished([columns(&named), row(&values), selected(1)].concat())
}

fn script() -> Script {
    let mail = || nvarchar("mira.kessel");
    let told = |name, base| Told {
        name,
        base,
        view: None,
    };
    let all = "SELECT dbo.customers.* FROM dbo.customers WHERE id = 7";
    let both = one(&[("id", &INT, int(7)), ("email", &NVARCHAR, mail())]);
    let origins = vec![
        told("id", Some(["dbo", "customers", "id"])),
        told("email", Some(["dbo", "customers", "email"])),
    ];
    let quoting =
        "Conversion failed when converting the nvarchar value 'mira.kessel' to data type int.";
    let denied =
        "The DELETE permission was denied on the object 'customers', database 'crm', schema 'dbo'.";
    Script::default()
        .catalog(&[
            ("customers", &["id", "email"], None),
            (
                "directory",
                &["contact"],
                Some(
                    "CREATE VIEW dbo.directory (contact) AS SELECT LOWER(email) FROM dbo.customers",
                ),
            ),
        ])
        .answer("SELECT id, email AS harmless FROM customers", {
            one(&[("id", &INT, int(7)), ("harmless", &NVARCHAR, mail())])
        })
        .answer(
            "SELECT contact FROM dbo.directory",
            one(&[("contact", &NVARCHAR, mail())]),
        )
        .answer(
            "DBCC SHOW_STATISTICS ('dbo.customers', by_mail) WITH HISTOGRAM",
            one(&[("RANGE_HI_KEY", &NVARCHAR, mail())]),
        )
        .answer("SELECT CAST(email AS int) AS n FROM dbo.customers", {
            let tokens = [columns(&[("n", &INT)]), error(245, 16, quoting)];
            aborted(tokens.concat())
        })
        .answer("SELECT nowhere FROM dbo.customers", {
            failed(error(207, 16, "Invalid column name 'nowhere'."))
        })
        .answer(
            "SELECT id FROM dbo.customers",
            failed(error(229, 14, denied)),
        )
        .answer(all, both)
        .describe(all, origins)
        .answer(DELETE, finished(affected(1)))
}

struct Guarded {
    peer: Peer,
    identity: Shared,
    agent: Caller,
    dana: Caller,
    folder: TempDir,
    _serving: Serving,
}

impl Guarded {
    async fn new() -> Self {
        let peer = script().start();
        let identity = Arc::new(Mutex::new(Identity {
            token: TOKEN.into(),
            lives: 3600,
            ..Identity::default()
        }));
        let endpoint = identity::serve(&identity).await;
        let provider = Provider::shared();
        let text = POLICY
            .replace("ISSUER", provider.issuer())
            .replace("AUDIENCE", AUDIENCE)
            .replace("URL", &peer.url_without_user());
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy.yaml");
        fs::write(&policy, text).unwrap();
        let data = folder.path().join("data");
        let serving = Serving::start_in(&policy, &data, &identity::environment(&endpoint)).await;
        Self {
            peer,
            identity,
            agent: serving.caller(&agent(provider).await),
            dana: serving.caller(&person(provider, "dana", &["db-admins"]).await),
            folder,
            _serving: serving,
        }
    }

    async fn ask(&self, sql: &str) -> Answer {
        let answer = self.agent.query(sql).await;
        nothing_shows(&answer.body);
        answer
    }
}

fn nothing_shows(body: &Value) {
    assert!(!body.to_string().contains(SECRET), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_column_of_sql_server_stays_masked_whatever_it_is_called() {
    let guarded = Guarded::new().await;
    let answer = guarded
        .ask("SELECT id, email AS harmless FROM customers")
        .await;
    assert_eq!(answer.rows().as_array().map(Vec::len), Some(1));
    let behind_a_view = guarded.ask("SELECT contact FROM dbo.directory").await;
    assert_ne!(behind_a_view.rows()[0][0], Value::Null);
    let statistics = "DBCC SHOW_STATISTICS ('dbo.customers', by_mail) WITH HISTOGRAM";
    assert_eq!(guarded.ask(statistics).await.status, StatusCode::OK);
    let quoted = guarded
        .ask("SELECT CAST(email AS int) AS n FROM dbo.customers")
        .await;
    assert_eq!(quoted.body["error"]["code"], "Msg 245", "{}", quoted.body);
    let wrong = guarded.ask("SELECT nowhere FROM dbo.customers").await;
    let told = wrong.body["error"]["message"].to_string();
    assert!(
        told.contains("Invalid column name 'nowhere'"),
        "{}",
        wrong.body
    );

    let tokens: Vec<_> = guarded.peer.logins();
    assert!(
        tokens
            .iter()
            .all(|login| login.token.as_deref() == Some(TOKEN) && login.encrypted)
    );
    let asked = guarded.identity.lock().unwrap().asked.clone();
    assert_eq!(asked[0]["resource"], "https://database.windows.net");
    let log = fs::read_to_string(guarded.folder.path().join("data/log")).unwrap();
    assert!(!log.contains(TOKEN) && !log.contains(SECRET), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_another_database_is_not_read_unseen() {
    let guarded = Guarded::new().await;
    for elsewhere in [
        "SELECT id FROM other.dbo.customers",
        "SELECT id FROM crm..customers",
    ] {
        let answer = guarded.ask(elsewhere).await;
        assert_ne!(answer.status, StatusCode::OK, "{}", answer.body);
        let why = answer.body["why"].to_string();
        assert!(why.contains("another database"), "{}", answer.body);
        assert_eq!(guarded.peer.runs(elsewhere), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_sql_server_is_held_previewed_exactly_and_run_once() {
    let guarded = Guarded::new().await;
    let held = guarded.ask(DELETE).await;
    assert_eq!(held.status, StatusCode::ACCEPTED, "{}", held.body);
    assert_eq!(guarded.peer.runs(DELETE), 0);
    let commits = || {
        let batches = guarded.peer.batches();
        let committed = |batch: &&String| batch.contains("COMMIT TRANSACTION");
        batches.iter().filter(committed).count()
    };
    let seen = guarded.dana.preview(&held.body["approval"]).await;
    nothing_shows(&seen.body);
    assert_eq!(seen.body["rows"], 1, "{}", seen.body);
    let before = seen.body["before"]["rows"].as_array().map(Vec::len);
    assert_eq!(before, Some(1), "{}", seen.body);
    assert_eq!((guarded.peer.runs(DELETE), commits()), (1, 0));
    let done = guarded.dana.approve(&held.body["approval"]).await;
    assert_eq!(done.body["status"], "succeeded", "{}", done.body);
    assert_eq!((guarded.peer.runs(DELETE), commits()), (2, 1));
    let request = done.body["request_id"].as_str().unwrap();
    let outcome = guarded.agent.get(&format!("/v1/requests/{request}")).await;
    assert_eq!(
        outcome.body["result"]["affected"],
        json!(1),
        "{}",
        outcome.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_the_credential_is_on_record_as_the_second_wall() {
    let guarded = Guarded::new().await;
    let answer = guarded.ask("SELECT id FROM dbo.customers").await;
    assert_eq!(answer.body["error"]["code"], "Msg 229", "{}", answer.body);
    let session = answer.body["session_id"].as_str().unwrap();
    let path = format!("/v1/sessions/{session}/export");
    let export = guarded.agent.text(&path).await;
    assert!(export.contains("\"failure\":\"second_wall\""), "{export}");
}
