//! Pseudonyms that agents send back, through `serve` and against real databases: what they are shown joins, counts,
//! finds and can be written, and tells nothing more.

use std::fs;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    oidc::{AUDIENCE, Provider},
    postgres::{self, Database},
    serving::{Answer, Caller, Serving, agent, person},
};

const POLICY: &str = r#"version: 1
identity: { issuers: [{ issuer: "ISSUER", audience: "AUDIENCE", agents: { app_roles: [Agent] } }] }
approvers: { dba: { groups: [db-admins] } }
connections:
  crm: { kind: KIND, read: { url: "READ" }, write: { url: "WRITE" }, allow: { app_roles: [Agent] } }
rules:
  - { name: reads, when: { effect: read }, then: allow }
  - { name: changes, when: { effect: write, unbounded: false }, then: allow }
  - { name: removals, when: { effect: destructive, unbounded: false }, then: { require_approval: dba } }
  - { name: views, when: { effect: schema }, then: allow }
masking:
  detect: [secrets]
  columns:
    - { match: "*.customers.email", as: pseudonym, in_predicates: allow }
    - { match: "*.customers.name", as: pseudonym, in_predicates: allow }
    - { match: "*.customers.salary", as: pseudonym, in_predicates: allow }
    - { match: "*.customers.phone", as: pseudonym, in_predicates: allow }
    - { match: "*.customers.born", as: pseudonym, in_predicates: allow }
    - { match: "*.orders.contact", as: pseudonym, domain: email, in_predicates: allow }
    - { match: "*.codes.code", as: pseudonym, domain: name, in_predicates: allow }
"#;

/// Values that hold what quoting would have to escape, and that no detector knows; too long to be met by chance in a
/// hash or in sealed text.
const DATA: &str = r"
CREATE TABLE customers (id integer PRIMARY KEY, email text UNIQUE, name text, salary numeric, phone text, born date, town text);
INSERT INTO customers VALUES
    (1, 'mira.kesselring@corp.example', 'Mira O''Kesselring\', 731902447.50, '+49 30 555000183', '1980-02-29', 'Jena'),
    (2, 'tovarilkeson@corp.example', 'Tovarilkeson', 264813905, '+49 30 555000294', '1991-07-01', 'Ulm'),
    (3, NULL, 'Oda Brandtmeyer', 518377061, NULL, NULL, 'Jena');
CREATE TABLE orders (id integer PRIMARY KEY, contact text, item text);
INSERT INTO orders VALUES (1, 'mira.kesselring@corp.example', 'chair'), (2, 'mira.kesselring@corp.example', 'desk'),
    (3, 'tovarilkeson@corp.example', 'lamp');
CREATE TABLE codes (code integer);
INSERT INTO codes VALUES (5);
CREATE TABLE notes (id integer PRIMARY KEY, email text, body text);
INSERT INTO notes VALUES (1, 'mira.kesselring@corp.example', 'called');
";
const SECRETS: [&str; 7] = [
    "kesselring",
    "tovarilkeson",
    "brandtmeyer",
    "731902447",
    "264813905",
    "555000183",
    "1980-02-29",
];

/// A gateway before a database that holds [`DATA`].
struct Guarded {
    kind: &'static str,
    agent: Caller,
    dana: Caller,
    database: Database,
    folder: TempDir,
    _serving: Serving,
}

impl Guarded {
    async fn new(kind: &'static str) -> Self {
        let database = postgres::database().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.db");
        let (read, write) = if kind == "postgres" {
            database.prepare(DATA).await;
            (
                "${secret:CRM_READ_URL}".into(),
                "${secret:CRM_WRITE_URL}".into(),
            )
        } else {
            let shop = rusqlite::Connection::open(&file).unwrap();
            shop.execute_batch(DATA).unwrap();
            let url = format!("sqlite:{}", file.display());
            (url.clone(), url)
        };
        let provider = Provider::shared();
        let text = POLICY
            .replace("ISSUER", provider.issuer())
            .replace("AUDIENCE", AUDIENCE)
            .replace("KIND", kind)
            .replace("READ", &read)
            .replace("WRITE", &write);
        let policy = folder.path().join("policy.yaml");
        fs::write(&policy, text).unwrap();
        let serving = Serving::start(&policy, &folder.path().join("data"), &database).await;
        Self {
            kind,
            agent: serving.caller(&agent(provider).await),
            dana: serving.caller(&person(provider, "dana", &["db-admins"]).await),
            database,
            folder,
            _serving: serving,
        }
    }

    /// Asks, and holds the answer and the record of it against everything nobody may see.
    async fn ask_with(&self, sql: &str, params: Value) -> Answer {
        let body = json!({"sql": sql, "params": params});
        let answer = self.agent.try_query(&body, &[]).await.unwrap();
        nothing_shows(sql, &answer.body.to_string());
        if let Some(session) = answer.body["session_id"].as_str() {
            let path = format!("/v1/sessions/{session}/export");
            nothing_shows(sql, &self.agent.text(&path).await);
        }
        answer
    }

    async fn ask(&self, sql: &str) -> Answer {
        self.ask_with(sql, json!([])).await
    }

    async fn rows(&self, sql: &str) -> Value {
        self.ask(sql).await.rows().clone()
    }

    async fn cell(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        rows[0][0].as_str().expect(sql).to_owned()
    }

    /// Asks, and expects to be refused with these words, on record.
    async fn refused(&self, sql: &str, words: &str) {
        let answer = self.ask(sql).await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{sql}: {}",
            answer.body
        );
        assert_eq!(answer.body["status"], "denied", "{sql}: {}", answer.body);
        let told = answer.body.to_string();
        assert!(told.contains(words), "{sql}: {told}");
        let request = answer.body["request_id"].as_str().unwrap();
        let recorded = self.agent.get(&format!("/v1/requests/{request}")).await;
        assert_eq!(recorded.body["status"], "denied", "{sql}");
    }

    /// What the database itself holds.
    async fn truth(&self, sql: &str) -> String {
        if self.kind == "postgres" {
            let owner = self.database.owner().await;
            owner.query_one(sql, &[]).await.unwrap().get(0)
        } else {
            let shop = rusqlite::Connection::open(self.folder.path().join("shop.db")).unwrap();
            shop.query_row(sql, [], |row| row.get(0)).unwrap()
        }
    }
}

fn nothing_shows(sql: &str, text: &str) {
    let lower = text.to_lowercase();
    for secret in SECRETS {
        assert!(
            !lower.contains(secret),
            "{sql}: `{secret}` came through: {text}"
        );
    }
}

async fn both() -> [Guarded; 2] {
    [Guarded::new("postgres").await, Guarded::new("sqlite").await]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pseudonym_sent_back_finds_the_rows_of_its_value() {
    for guarded in both().await {
        for column in ["email", "name", "salary", "phone", "born"] {
            let shown = guarded
                .cell(&format!("SELECT {column} FROM customers WHERE id = 1"))
                .await;
            for sql in [
                format!("SELECT id FROM customers WHERE {column} = '{shown}'"),
                format!("SELECT c.id FROM customers AS c WHERE '{shown}' = c.{column}"),
                format!("SELECT id FROM customers WHERE {column} IN ('{shown}') ORDER BY 1"),
                format!(
                    "SELECT id FROM customers WHERE {column} = '{}'",
                    shown.to_uppercase()
                ),
                format!("SELECT min(id) FROM customers WHERE NOT {column} <> '{shown}'"),
                format!(
                    "SELECT id FROM customers WHERE CASE {column} WHEN '{shown}' THEN 1 ELSE 0 END = 1"
                ),
                format!(
                    "WITH one AS (SELECT id, {column} FROM customers) SELECT id FROM one WHERE {column} = '{shown}'"
                ),
            ] {
                assert_eq!(
                    guarded.rows(&sql).await,
                    json!([[1]]),
                    "{} {sql}",
                    guarded.kind
                );
            }
            let sign = if guarded.kind == "postgres" {
                "$1"
            } else {
                "?1"
            };
            let sql = format!("SELECT id FROM customers WHERE {column} = {sign}");
            let answer = guarded.ask_with(&sql, json!([shown])).await;
            assert_eq!(answer.rows(), &json!([[1]]), "{} {sql}", guarded.kind);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_join_and_count_by_what_they_are_shown() {
    for guarded in both().await {
        let email = guarded
            .cell("SELECT email FROM customers WHERE id = 1")
            .await;
        let contacts = guarded.rows("SELECT contact FROM orders ORDER BY id").await;
        assert_eq!(
            (&contacts[0][0], &contacts[1][0]),
            (&json!(email), &json!(email))
        );
        assert_ne!(contacts[2][0], json!(email));
        for sql in [
            format!("SELECT count(*) FROM orders WHERE contact = '{email}'"),
            format!(
                "SELECT count(*) FROM customers AS c JOIN orders AS o ON o.contact = c.email AND c.email = '{email}'"
            ),
        ] {
            assert_eq!(guarded.rows(&sql).await, json!([[2]]), "{sql}");
        }
        let null = guarded
            .rows("SELECT email FROM customers WHERE id = 3")
            .await;
        assert_eq!(null, json!([[null]]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pseudonym_written_back_is_stored_as_its_value() {
    for guarded in both().await {
        let one = guarded
            .cell("SELECT name FROM customers WHERE id = 1")
            .await;
        let two = guarded
            .cell("SELECT email FROM customers WHERE id = 2")
            .await;
        let update = format!("UPDATE customers SET name = '{one}' WHERE email = '{two}'");
        let answer = guarded.ask(&update).await;
        assert_eq!(answer.body["result"]["affected"], 1, "{}", answer.body);
        let stored = guarded
            .truth("SELECT name FROM customers WHERE id = 2")
            .await;
        assert_eq!(stored, "Mira O'Kesselring\\");
        let insert = format!(
            "INSERT INTO customers (id, name, email) VALUES (4, '{one}', NULL), (5, 'Zed', 'z@z.example') RETURNING name"
        );
        let answer = guarded.ask(&insert).await;
        assert_eq!(answer.rows()[0][0], json!(one), "{}", answer.body);
        let stored = guarded
            .truth("SELECT name FROM customers WHERE id = 4")
            .await;
        assert_eq!(stored, "Mira O'Kesselring\\");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_see_the_pseudonym_and_the_value_is_what_runs() {
    for guarded in both().await {
        let name = guarded
            .cell("SELECT name FROM customers WHERE id = 1")
            .await;
        let delete = format!("DELETE FROM customers WHERE name = '{name}'");
        let held = guarded.ask(&delete).await;
        assert_eq!(held.status, StatusCode::ACCEPTED, "{}", held.body);
        let id = held.body["approval"]["id"].as_str().unwrap();
        let seen = guarded.dana.get(&format!("/v1/approvals/{id}")).await.body;
        nothing_shows(&delete, &seen.to_string());
        assert_eq!(seen["statement"], json!(delete));
        let done = guarded.dana.approve(&seen).await;
        nothing_shows(&delete, &done.body.to_string());
        assert_eq!(done.body["status"], "succeeded", "{}", done.body);
        let left = guarded.rows("SELECT id FROM customers ORDER BY id").await;
        assert_eq!(left, json!([[2], [3]]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pseudonym_that_cannot_be_turned_back_is_refused_before_anything_runs() {
    for guarded in both().await {
        let email = guarded
            .cell("SELECT email FROM customers WHERE id = 1")
            .await;
        let name = guarded
            .cell("SELECT name FROM customers WHERE id = 1")
            .await;
        let cut = &email[2..];
        for (sql, words) in [
            (
                format!("SELECT '{email}'"),
                "nothing can be put in its place",
            ),
            (
                format!("SELECT body, '{email}' FROM notes"),
                "nothing can be put in its place",
            ),
            (
                format!("SELECT id FROM customers WHERE email LIKE '{email}'"),
                "nothing can be put in its place",
            ),
            (
                format!("SELECT id FROM customers WHERE email > '{email}'"),
                "nothing can be put in its place",
            ),
            (
                format!("SELECT id FROM customers WHERE substr(email, 1, 3) = '{email}'"),
                "nothing can be put in its place",
            ),
            (
                format!("SELECT id FROM customers WHERE email = substr('{email}', 1, 3)"),
                "nothing can be put in its place",
            ),
            (
                format!("SELECT id FROM customers WHERE email = '{email}' || ''"),
                "nothing can be put in its place",
            ),
            (
                format!("SELECT id FROM customers -- {email}"),
                "nothing can be put in its place",
            ),
            (
                format!("SELECT id FROM customers WHERE email = '{cut}'"),
                "read it again",
            ),
            (
                format!("SELECT id FROM customers WHERE email = '{name}'"),
                "read it again",
            ),
            // The column is not masked: the rows it finds would tell the value.
            (
                format!("SELECT email FROM notes WHERE email = '{email}'"),
                "notes.email",
            ),
            (
                format!("SELECT n.email FROM notes AS n, customers AS c WHERE n.email = '{email}'"),
                "notes.email",
            ),
            (
                format!("SELECT * FROM notes, customers WHERE email = '{email}'"),
                "email",
            ),
            (
                format!("UPDATE notes SET body = '{email}' WHERE id = 1"),
                "notes.body",
            ),
            (
                format!("INSERT INTO notes (id, email) VALUES (2, '{email}')"),
                "notes.email",
            ),
            (
                format!("UPDATE customers SET name = '{email}' WHERE id = 2"),
                "read it again",
            ),
        ] {
            guarded.refused(&sql, words).await;
        }
        let stored = guarded.truth("SELECT body FROM notes WHERE id = 1").await;
        assert_eq!(stored, "called");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_beside_a_pseudonym_tells_its_value() {
    for guarded in both().await {
        let name = guarded
            .cell("SELECT name FROM customers WHERE id = 1")
            .await;
        let salary = guarded
            .cell("SELECT salary FROM customers WHERE id = 1")
            .await;
        let mut statements = vec![
            format!("SELECT id FROM customers WHERE name = '{name}' OR 1 = 1"),
            format!("SELECT name = '{name}' FROM customers"),
            format!("SELECT CASE name WHEN '{name}' THEN name || 'x' END FROM customers"),
            format!("SELECT name, upper(name) FROM customers WHERE name = '{name}'"),
            format!(
                "UPDATE customers SET name = '{name}' WHERE id = 2 RETURNING name, upper(name), length(name)"
            ),
            format!("EXPLAIN SELECT id FROM customers WHERE name = '{name}'"),
            format!("CREATE VIEW named AS SELECT id FROM customers WHERE name = '{name}'"),
            // A name that is no number, in a column of its domain that holds numbers.
            format!("SELECT code FROM codes WHERE code = '{name}'"),
            format!("INSERT INTO codes (code) VALUES ('{name}')"),
            format!("UPDATE customers SET id = 1 WHERE id = 2 AND name <> '{name}'"),
        ];
        if guarded.kind == "postgres" {
            let beside =
                |what: &str| format!("SELECT ({what}) FROM customers WHERE name = '{name}'");
            statements.extend([
                beside("SELECT current_query()"),
                beside("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()"),
                beside("SELECT string_agg(statement, '') FROM pg_prepared_statements"),
                beside("SELECT string_agg(statement, '') FROM pg_cursors"),
                format!("SELECT id FROM customers WHERE name = '{name}'::varchar(3)"),
                format!("SELECT id FROM customers WHERE name = '{name}'::integer"),
                format!("SELECT id FROM customers WHERE salary = '{salary}'::integer"),
                format!("SELECT id FROM customers WHERE id = 1 / (CASE name WHEN '{name}' THEN 0 ELSE 1 END)"),
                format!("SELECT pg_typeof('{name}')"),
                format!("DO $$ BEGIN PERFORM 1 FROM customers WHERE name = '{name}'; END $$"),
                format!("PREPARE p AS SELECT id FROM customers WHERE name = '{name}'"),
                format!("COPY (SELECT id FROM customers WHERE name = '{name}') TO STDOUT"),
                format!("EXPLAIN (ANALYZE, VERBOSE) SELECT id FROM customers WHERE name = '{name}'"),
            ]);
        }
        for sql in statements {
            // Whatever comes of it, `ask` sees that no value does.
            guarded.ask(&sql).await;
        }
        if guarded.kind == "postgres" {
            let typed = format!("SELECT code FROM codes WHERE code = '{name}'");
            let failed = guarded.ask(&typed).await;
            assert_eq!(failed.body["status"], "failed", "{}", failed.body);
            let told = failed.body["error"]["message"].to_string();
            assert!(
                told.contains("invalid input syntax for type integer"),
                "{}",
                failed.body
            );
        }
        let params = json!([name, name]);
        let signs = if guarded.kind == "postgres" {
            ["$1", "$2"]
        } else {
            ["?1", "?2"]
        };
        for sql in [
            format!(
                "SELECT {0} FROM customers WHERE name = {0} AND {1} <> ''",
                signs[0], signs[1]
            ),
            format!(
                "SELECT name FROM customers WHERE name = {} AND name || 'x' <> {}",
                signs[0], signs[1]
            ),
        ] {
            let answer = guarded.ask_with(&sql, params.clone()).await;
            assert_eq!(
                answer.status,
                StatusCode::FORBIDDEN,
                "{sql}: {}",
                answer.body
            );
        }
    }
}
