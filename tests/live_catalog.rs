//! What only the server's catalog can tell, at `serve` in front of a real PostgreSQL: agents' statements are judged by
//! what their names stand for there, at this moment.

use std::{fs, path::PathBuf, process::Output, time::Duration};

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    gateway::portcullis,
    oidc::{AUDIENCE, Provider},
    postgres::{self, Database},
    serving::{Answer, Caller, Serving, agent, person},
};

const POLICY: &str = include_str!("../examples/postgres.yaml");

const DATA: &str = r"
CREATE TABLE customers (id integer PRIMARY KEY, email text NOT NULL, town text);
INSERT INTO customers VALUES (1, 'mira.kessel@corp.example', 'Jena'), (2, 'tovar.ilk@corp.example', 'Ulm');
CREATE TABLE log (what text);
CREATE FUNCTION sly(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN DELETE FROM log; RETURN $1; END $$;
CREATE FUNCTION shout(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN upper($1); END $$;
CREATE FUNCTION swears_to_read() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM log; END $$;
CREATE VIEW innocent AS SELECT id, sly(id) AS n FROM customers;
CREATE VIEW towns AS SELECT id, town FROM customers;
CREATE OPERATOR public.<~> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4pl);
CREATE FUNCTION sly(integer, integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN sly($1); END $$;
CREATE OPERATOR public.<!> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = sly);
";

struct Guarded {
    database: Database,
    policy: PathBuf,
    folder: TempDir,
    agent: Caller,
    dana: Caller,
    _serving: Serving,
}

impl Guarded {
    async fn new(policy: &str) -> Self {
        let database = postgres::database().await;
        database.prepare(DATA).await;
        let provider = Provider::shared();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        let text = policy
            .replace(
                "https://login.microsoftonline.com/TENANT/v2.0",
                provider.issuer(),
            )
            .replace("api://portcullis", AUDIENCE);
        fs::write(&file, text).unwrap();
        let serving = Serving::start(&file, &folder.path().join("data"), &database).await;
        Self {
            database,
            policy: file,
            agent: serving.caller(&agent(provider).await),
            dana: serving.caller(&person(provider, "dana", &["db-admins"]).await),
            folder,
            _serving: serving,
        }
    }

    async fn denied(&self, sql: &str, why: &str) {
        let Answer { status, body } = self.agent.query(sql).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{sql}: {body}");
        let told = body["why"].as_str().unwrap_or_default();
        assert!(told.contains(why), "{sql}: {body}");
    }

    async fn read(&self, sql: &str) -> Value {
        let answer = self.agent.query(sql).await;
        assert_eq!(answer.body["status"], "succeeded", "{sql}: {}", answer.body);
        answer.rows().clone()
    }

    /// `policy check --connect`, with what it needs in the environment.
    fn check(&self, more: &[&str]) -> Output {
        let policy = self.policy.to_str().unwrap();
        let arguments = [&["policy", "check", policy, "--connect"], more].concat();
        portcullis(&arguments)
            .env("CRM_READ_URL", self.database.read_url())
            .env("CRM_WRITE_URL", self.database.write_url())
            .output()
            .unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("data/log")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_view_or_an_operator_hides_is_found_and_its_callers_do_not_read() {
    let guarded = Guarded::new(POLICY).await;
    guarded.denied("SELECT n FROM innocent", "sly").await;
    guarded
        .denied("SELECT id <!> 1 FROM customers", "sly")
        .await;
    guarded
        .denied("SELECT shout(town) FROM customers", "shout")
        .await;
    guarded.read("SELECT town FROM towns").await;
    guarded.read("SELECT id <~> 1 FROM customers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_policy_vouches_for_may_be_called_by_who_reads() {
    let vouching = POLICY.replace(
        "    allow: {",
        "    functions: [PUBLIC.Shout, gone]\n    allow: {",
    );
    let guarded = Guarded::new(&vouching).await;
    guarded
        .read("SELECT shout(town) FROM customers ORDER BY id")
        .await;
    guarded.denied("SELECT sly(1)", "sly").await;

    let checked = guarded.check(&["--format", "json"]);
    let found: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let told = |what: &str| {
        let found = found.as_array().unwrap().iter();
        found
            .filter(|one| one["what"].as_str().unwrap().contains(what))
            .count()
    };
    assert_eq!((told("function gone"), told("shout")), (1, 0), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_approver_let_change_is_judged_as_it_is_from_then_on() {
    let changing = POLICY.replace(
        "effect: [write, destructive], unbounded: false",
        "effect: [write, destructive, schema]",
    );
    let guarded = Guarded::new(&changing).await;
    guarded.read("SELECT town FROM towns").await;
    let change = "CREATE OR REPLACE VIEW towns AS SELECT id, town, sly(id) AS n FROM customers";
    let held = guarded.agent.query(change).await;
    assert_eq!(held.status, StatusCode::ACCEPTED, "{}", held.body);
    let id = held.body["approval"]["id"].as_str().unwrap();
    let seen = guarded.dana.get(&format!("/v1/approvals/{id}")).await.body;
    let done = guarded.dana.approve(&seen).await;
    assert_eq!(done.body["status"], "succeeded", "{}", done.body);
    let read = guarded.agent.query("SELECT n FROM towns").await;
    assert_eq!(read.status, StatusCode::ACCEPTED, "{}", read.body);
    let why = read.body["why"].as_str().unwrap();
    assert!(why.contains("sly"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_catalog_is_not_shown_nothing_is_taken_for_a_read() {
    let guarded = Guarded::new(POLICY).await;
    let admin = guarded.database.admin().await;
    admin
        .batch_execute("REVOKE SELECT ON pg_catalog.pg_proc FROM PUBLIC")
        .await
        .unwrap();
    // Another gateway, which has not seen it before.
    let policy = fs::read_to_string(&guarded.policy).unwrap();
    let data = guarded.folder.path().join("other");
    let other = Serving::start(&guarded.policy, &data, &guarded.database).await;
    assert!(policy.contains("kind: postgres"));
    let agent = other.caller(&agent(Provider::shared()).await);
    let answer = agent.query("SELECT town FROM customers").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    let why = answer.body["why"].as_str().unwrap();
    assert!(
        why.contains("42501") && why.contains("system catalog"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_credential_that_could_write_is_told_in_the_log_and_by_the_check() {
    let guarded = Guarded::new(POLICY).await;
    let reader = guarded.database.reader.clone();
    let (owner, admin) = (
        guarded.database.owner().await,
        guarded.database.admin().await,
    );
    let temporary = format!(
        "REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC",
        guarded.database.name
    );
    admin.batch_execute(&temporary).await.unwrap();
    let fine = guarded.check(&[]);
    let said = String::from_utf8(fine.stdout).unwrap();
    assert_eq!(fine.status.code(), Some(0), "{said}");
    assert!(said.contains("can read, and nothing else"), "{said}");

    let grant = format!("GRANT DELETE ON customers TO {reader}");
    owner.batch_execute(&grant).await.unwrap();
    let mend = format!("REVOKE DELETE ON TABLE public.customers FROM {reader}");
    let told = guarded.check(&[]);
    let said = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("crm: {reader} may DELETE")) && said.contains(&mend),
        "{said}"
    );
    assert!(!said.contains(postgres::PASSWORD), "{said}");

    // A new policy has its credentials asked as a new start has.
    assert!(!guarded.log().contains(&mend));
    let policy = fs::read_to_string(&guarded.policy).unwrap();
    fs::write(&guarded.policy, format!("{policy}# once more\n")).unwrap();
    for _ in 0..400 {
        if guarded.log().contains(&mend) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(guarded.log().contains(&mend), "{}", guarded.log());

    owner.batch_execute(&mend).await.unwrap();
    assert_eq!(guarded.check(&[]).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_out_of_reach_is_a_finding_of_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    fs::write(&policy, POLICY).unwrap();
    let nowhere = "postgres://reader:hunter2@127.0.0.1:1/db";
    let checked = portcullis(&["policy", "check", policy.to_str().unwrap(), "--connect"])
        .env("CRM_READ_URL", nowhere)
        .env("CRM_WRITE_URL", nowhere)
        .output()
        .unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(
        said.contains("could not be asked") && !said.contains("hunter2"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_wall_is_told_where_a_person_looks() {
    // A policy that takes a function at its word, which is not kept: what refuses then is the transaction.
    let vouching = POLICY.replace(
        "    allow: {",
        "    functions: [public.swears_to_read]\n    allow: {",
    );
    let guarded = Guarded::new(&vouching).await;
    let answer = guarded.agent.query("SELECT swears_to_read()").await;
    assert_eq!(
        answer.body["error"]["failure"], "second_wall",
        "{}",
        answer.body
    );
    let held = "The second wall held";
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert!(message.starts_with(held), "{message}");
    let session = answer.body["session_id"].as_str().unwrap();
    let shown = guarded
        .agent
        .get(&format!("/v1/sessions/{session}"))
        .await
        .body;
    let listed = shown["requests"][0]["error"]["message"].as_str().unwrap();
    assert!(listed.starts_with(held), "{shown}");
}
