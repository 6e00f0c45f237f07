//! One record in Cosmos DB (Microsoft's emulator), several processes of the built gateway on it, each with the managed identity of
//! an app (a stand-in for its endpoint), none with a folder for a record.

use std::{fs, path::PathBuf, process::Command, sync::Mutex, time::Duration};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    messages::policy,
    support::{
        cosmos::{Account, Asked, Emulator, Fault},
        gateway::{folder, word},
        identity::{self, CLIENT, Identity, Shared},
        oidc::Provider,
        serving::{Answer, Caller, HOSTED, Serving, agent, person},
    },
};

pub(crate) const TOKEN: &str = "eyJ0eXAi.token-of-the-app";

/// What the gateways share: the record, the keys, the policy and the database behind them.
pub(crate) struct Place {
    pub(crate) emulator: Emulator,
    pub(crate) account: Account,
    pub(crate) identity: Shared,
    pub(crate) endpoint: String,
    pub(crate) folder: PathBuf,
    pub(crate) agent: String,
    pub(crate) dana: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Place {
    pub(crate) async fn new() -> Self {
        let emulator = Emulator::start();
        let account = emulator.database().await;
        emulator.wants(TOKEN).await;
        let identity = Shared::new(Mutex::new(Identity {
            token: TOKEN.into(),
            lives: 3600,
            ..Identity::default()
        }));
        let provider = Provider::shared();
        Self {
            endpoint: identity::serve(&identity).await,
            emulator,
            account,
            identity,
            folder: folder(&policy()),
            agent: agent(provider).await,
            dana: person(provider, "dana", &["db-admins", "auditors"]).await,
        }
    }

    async fn gateway(&self, name: &str) -> Serving {
        let keys = self.folder.join("keys");
        let keys = [("PORTCULLIS_SEALING_KEY", keys.to_str().unwrap())];
        self.gateway_with(name, &keys).await
    }

    pub(crate) async fn gateway_with(&self, name: &str, more: &[(&str, &str)]) -> Serving {
        let environment = self.environment(name, more);
        let log = self.folder.join(name);
        Serving::start_in(&self.policy(), &log, &environment).await
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.folder.join("policy.yaml")
    }

    pub(crate) fn environment<'a>(
        &'a self,
        name: &'a str,
        more: &[(&'a str, &'a str)],
    ) -> Vec<(&'a str, &'a str)> {
        let mut environment = identity::environment(&self.endpoint).to_vec();
        environment.extend(self.account.environment());
        environment.push(("PORTCULLIS_INSTANCE", name));
        environment.extend(more);
        environment
    }

    pub(crate) fn note(&self, row: i64) -> String {
        let database = Connection::open(self.folder.join("shop.db")).unwrap();
        let sql = "SELECT note FROM customers WHERE id = ?1";
        database.query_row(sql, [row], |row| row.get(0)).unwrap()
    }

    /// What a session's export has on record, once it is verified offline.
    pub(crate) async fn verified(&self, reader: &Caller, session: &str) -> Vec<String> {
        let export = reader.text(&format!("/v1/sessions/{session}/export")).await;
        let file = self.folder.join("export.jsonl");
        fs::write(&file, &export).unwrap();
        let verified = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("verify")
            .arg(&file)
            .output()
            .unwrap();
        assert!(verified.status.success(), "{session}: {verified:?}");
        let lines = export
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter_map(|line: Value| line["type"].as_str().map(str::to_owned))
            .collect()
    }
}

pub(crate) fn change(row: i64) -> String {
    format!("UPDATE customers SET note = note || '+' WHERE id = {row}")
}

/// What became of a request, when it has ended.
pub(crate) async fn ended(caller: &Caller, held: &Value) -> Answer {
    let path = format!("/v1/requests/{}?wait=20", word(&held["request_id"]));
    let answer = caller.get(&path).await;
    assert_ne!(answer.body["status"], "executing", "{}", answer.body);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_gateway_was_asked_another_has_approved_and_runs_and_a_third_tells() {
    let place = Place::new().await;
    let mut first = place.gateway("first").await;
    let caller = first.caller(&place.agent);
    let read = caller
        .query("SELECT email FROM customers WHERE id = 7")
        .await;
    assert_eq!(read.rows().as_array().unwrap().len(), 1);
    assert!(!read.body.to_string().contains("person7@"), "{}", read.body);
    let held = caller.query(&change(4001)).await;
    assert_eq!(held.status, 202, "{}", held.body);
    first.kill();

    let mut second = place.gateway("second").await;
    let done = second
        .caller(&place.dana)
        .approve(&held.body["approval"])
        .await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(
        ended(&second.caller(&place.agent), &held.body).await.body["status"],
        "succeeded"
    );
    second.kill();

    let third = place.gateway("third").await;
    let outcome = third.caller(&place.agent);
    let outcome = ended(&outcome, &held.body).await;
    assert_eq!(outcome.body["result"]["affected"], 1, "{}", outcome.body);
    assert_eq!(place.note(4001), "before+");
    // Pseudonyms are the same at every gateway: they have one key.
    let again = third.caller(&place.agent);
    let again = again
        .query("SELECT email FROM customers WHERE id = 7")
        .await;
    assert_eq!(again.rows(), read.rows());
    let reader = third.caller(&place.dana);
    let kinds = place
        .verified(&reader, word(&held.body["session_id"]))
        .await;
    let end = [
        "execution.finished".to_owned(),
        "portcullis.manifest".into(),
    ];
    assert!(kinds.ends_with(&end), "{kinds:?}");
    let found = reader.get("/v1/sessions?q=4001").await;
    assert_eq!(
        found.body["sessions"].as_array().unwrap().len(),
        1,
        "{}",
        found.body
    );

    let asked = place.identity.lock().unwrap().asked.clone();
    assert!(!asked.is_empty());
    for asked in asked {
        assert_eq!(asked["resource"], "https://cosmos.azure.com");
        assert_eq!(asked["client_id"], CLIENT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_cosmos_db_puts_off_or_leaves_unanswered_is_on_record_once_and_runs_once() {
    let place = Place::new().await;
    let (one, other) = (place.gateway("one").await, place.gateway("other").await);
    let (agent, dana) = (one.caller(&place.agent), other.caller(&place.dana));
    let faults = [
        Fault::Throttled,
        Fault::Unavailable,
        Fault::Lost,
        Fault::Silent,
    ];
    for (row, fault) in (4101..).zip(faults) {
        place.emulator.spoils(fault, 1).await;
        let read = agent.query("SELECT id FROM customers WHERE id = 7").await;
        assert_eq!(read.rows(), &json!([[7]]), "{fault:?}");
        place.emulator.spoils(fault, 1).await;
        let held = agent.query(&change(row)).await;
        assert_eq!(held.status, 202, "{fault:?}: {}", held.body);
        // Of its decision, of its start, or of its outcome.
        place.emulator.spoils(fault, 1).await;
        let done = dana.approve(&held.body["approval"]).await;
        assert_eq!(done.status, 200, "{fault:?}: {}", done.body);
        let outcome = ended(&agent, &held.body).await;
        // Who waited too long for its start to be on record does not begin: a definite failure, of which nothing was run.
        let note = match word(&outcome.body["status"]) {
            "failed" if matches!(fault, Fault::Silent) => "before",
            status => {
                assert_eq!(status, "succeeded", "{fault:?}: {}", outcome.body);
                "before+"
            }
        };
        assert_eq!(place.note(row), note, "{fault:?}");
        let kinds = place.verified(&dana, word(&held.body["session_id"])).await;
        let started = kinds.iter().filter(|kind| *kind == "execution.started");
        assert_eq!(started.count(), 1, "{fault:?}: {kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_record_does_not_let_it_in_discloses_and_runs_nothing() {
    let place = Place::new().await;
    let gateway = place.gateway("only").await;
    let agent = gateway.caller(&place.agent);
    let held = agent.query(&change(4201)).await;
    place.emulator.wants("another").await;
    let read = agent.query("SELECT id FROM customers WHERE id = 7").await;
    assert_eq!(read.status, 503, "{}", read.body);
    assert!(!read.body.to_string().contains("rows"), "{}", read.body);
    let done = gateway
        .caller(&place.dana)
        .approve(&held.body["approval"])
        .await;
    assert_eq!(done.status, 503, "{}", done.body);
    assert_eq!(place.note(4201), "before");
    let log = fs::read_to_string(place.folder.join("only/log")).unwrap();
    assert!(!log.contains(TOKEN), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_cosmos_db_is_left_out_or_refused_and_no_outcome_is_lost() {
    let place = Place::new().await;
    let gateway = place.gateway("only").await;
    let (agent, dana) = (gateway.caller(&place.agent), gateway.caller(&place.dana));
    // Three megabytes are shown, and not kept.
    let wide = "SELECT printf('%100000d', id) AS wide FROM customers WHERE id <= 30";
    let read = agent.query(wide).await;
    assert_eq!(read.rows().as_array().unwrap().len(), 30);
    let later = ended(&agent, &read.body).await.body;
    assert_eq!(later["result"]["row_count"], 30, "{later}");
    assert!(later["result"].get("rows").is_none());
    // A change that gives as much back is on record as what it is.
    let sql = "UPDATE customers SET note = note || '+' WHERE id BETWEEN 4301 AND 4330 \
               RETURNING printf('%100000d', id) AS wide";
    let held = agent.query(sql).await;
    assert_eq!(held.status, 202, "{}", held.body);
    assert_eq!(dana.approve(&held.body["approval"]).await.status, 200);
    let outcome = ended(&agent, &held.body).await.body;
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
    assert_eq!(outcome["result"]["affected"], 30, "{outcome}");
    assert_eq!(place.note(4301), "before+");
    place.verified(&dana, word(&held.body["session_id"])).await;
    // A statement that cannot be on record does not run.
    let long = format!("{} AND '{}' <> ''", change(4331), "long ".repeat(200_000));
    let refused = agent.query(&long).await;
    assert_eq!(refused.status, 413, "{}", refused.body);
    let told = refused.body["detail"].as_str().unwrap();
    assert!(told.contains("send a shorter statement"), "{told}");
    assert_eq!(place.note(4331), "before");
    let log = fs::read_to_string(place.folder.join("only/log")).unwrap();
    assert!(
        log.contains("`record.max_result` is more than this record takes"),
        "{log}"
    );
}

/// Prints the table of infra/README.md: `cargo test --test suite charges -- --nocapture`.
#[tokio::test(flavor = "multi_thread")]
async fn the_charges_of_each_operation_are_what_the_price_list_says() {
    let place = Place::new().await;
    let keys = place.folder.join("keys");
    let settings = [
        ("PORTCULLIS_SEALING_KEY", keys.to_str().unwrap()),
        (HOSTED, "yes"),
    ];
    let gateway = place.gateway_with("only", &settings).await;
    let (agent, dana) = (gateway.caller(&place.agent), gateway.caller(&place.dana));
    // The first has to get to know the account.
    agent.query("SELECT id FROM customers WHERE id = 6").await;
    place.emulator.asked().await;
    let account = async |name: &str, most: f64| -> Vec<String> {
        // What is told and noted after the answer counts as well.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let asked = place.emulator.asked().await;
        let charge: f64 = asked.iter().map(Asked::charge).sum();
        let what: Vec<_> = asked.into_iter().map(|asked| asked.what).collect();
        println!("{name:<30}{charge:>6.1}  {}", what.join(", "));
        assert!((1.0..most).contains(&charge), "{name}: {charge}");
        what
    };
    agent
        .query("SELECT email FROM customers WHERE id = 7")
        .await
        .rows();
    let read = account("a read of one row", 40.0).await;
    assert_eq!(read, ["create keys", "batch events", "create requests"]);
    agent
        .query("SELECT * FROM customers WHERE id <= 100")
        .await
        .rows();
    assert_eq!(account("a read of 100 rows", 50.0).await, read);
    let held = agent.query(&change(4401)).await.body;
    account("a change, held", 120.0).await;
    assert_eq!(dana.approve(&held["approval"]).await.status, 200);
    account("its approval, run and outcome", 150.0).await;
    agent
        .get(&format!("/v1/requests/{}", word(&held["request_id"])))
        .await;
    account("a request fetched", 25.0).await;
    dana.get("/v1/sessions?q=4401").await;
    account("a search of four requests", 40.0).await;
    agent.sweep().await;
    account("what is due, four are new", 120.0).await;
    agent.sweep().await;
    account("what is due, nothing is new", 60.0).await;
}
