//! Ways to get at masked values, and that none leads there.
//!
//! `postgres.sql` and `mariadb.sql` beside this file are lists of attempts: blocks with a title, a request a line, in one
//! database and one session. Everything that must be approved is approved, by someone who looks at nothing; conditions on
//! masked columns are allowed. What comes back, the approver's view, the export, the log and the record's file are searched
//! for the values: as they are, in pieces put together again, backwards, and in the usual encodings. The same lists
//! against the bare database show that the search would find them. `…_honest.sql` is what people ask of the same
//! tables; it comes back as the database gave it.

use std::fs;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use portcullis::domain::{
    classify::{Dialect, Effect, sql},
    masking::{ColumnRule, How, InPredicates, Masking, MaskingRules},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::support::{
    mariadb,
    oidc::{AUDIENCE, Provider},
    postgres,
    serving::{Answer, Caller, Serving, agent, person},
};

const POLICY: &str = r#"
version: 1
identity: { issuers: [{ issuer: "ISSUER", audience: "AUDIENCE", agents: { app_roles: [Agent] } }] }
approvers: { dba: { groups: [db-admins] } }
connections:
  crm:
    kind: KIND
    read: { url: "${secret:CRM_READ_URL}" }
    write: { url: "${secret:CRM_WRITE_URL}" }
    allow: { app_roles: [Agent] }
    budget: { requests_per_minute: 1000000 }
rules:
  - { name: reads, when: { effect: [read, secret] }, then: allow }
  - { name: changes, when: { effect: [write, destructive, schema] }, then: { require_approval: dba } }
masking:
  detect: []
  columns:
    - { match: "*.people.email", as: pseudonym, in_predicates: allow }
    - { match: "*.people.card", as: { keep_last: 4 }, in_predicates: allow }
    - { match: "*.*.ssn", as: redact, in_predicates: allow }
    - { match: "*.people.salary", as: "null", in_predicates: allow }
    - { match: "*.people.born", as: hash, in_predicates: allow }
    - { match: "*.people.notes", as: redact, in_predicates: allow }
    - { match: "*.people.tags", as: redact, in_predicates: allow }
    - { match: "*.people.photo", as: redact, in_predicates: allow }
"#;

/// What nobody may see, in lowercase letters and digits only, each long enough to be met nowhere else.
const SECRETS: [&str; 32] = [
    "mirakessel",
    "kesselcorp",
    "tovarilk",
    "ilkcorpexample",
    "odabrandt",
    "brandtcorp",
    "453957876362",
    "402400710393",
    "491633850608",
    "zq714093k",
    "wx620481p",
    "yt380957m",
    "kv558120j",
    "lb227364h",
    "1731902377",
    "1264813945",
    "1518377611",
    "3463804754",
    "2529627890",
    "3036755222",
    "4515093933",
    "keslerov",
    "mirabel",
    "tovarski",
    "brandtner",
    "orlander",
    "wisteria",
    "quillfern",
    "photoofbrisbane",
    "photoofcordoba",
    "19710319",
    "19641102",
];

/// The first secret that can be read out of `text`, and how.
fn revealed(text: &str) -> Option<String> {
    let squeeze = |text: &str| -> String {
        let kept = text.chars().filter(|c| c.is_ascii_alphanumeric());
        kept.map(|c| c.to_ascii_lowercase()).collect()
    };
    let plain = squeeze(text);
    let backwards: String = plain.chars().rev().collect();
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    let codes = numbers.filter_map(|number| {
        number
            .parse::<u8>()
            .ok()
            .filter(|code| (32..127).contains(code))
    });
    let from_codes = squeeze(&codes.map(char::from).collect::<String>());
    SECRETS.iter().find_map(|secret| {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        // Every character of the encoding that is the secret's alone, where it begins at any of the three offsets: eight
        // for the shortest, which random bytes do not have.
        let in_base64 = (0..3).any(|offset| {
            let padded = format!("{}{secret}", "x".repeat(offset));
            let own = (offset * 8).div_ceil(6)..padded.len() * 8 / 6;
            text.contains(&BASE64_STANDARD.encode(&padded)[own])
        });
        let how = [
            (plain.contains(secret), "as it is"),
            (backwards.contains(secret), "backwards"),
            (from_codes.contains(secret), "as character codes"),
            (plain.contains(&hex), "in hexadecimal"),
            (in_base64, "in base64"),
        ];
        let how = how
            .into_iter()
            .find_map(|(found, how)| found.then_some(how))?;
        Some(format!("`{secret}` {how}"))
    })
}

/// The blocks of a list: title and requests.
fn attempts(list: &'static str) -> Vec<(&'static str, Vec<&'static str>)> {
    list.split("\n\n")
        .map(|block| {
            let mut lines = block.lines().filter(|line| !line.is_empty());
            let title = lines.next().unwrap().trim_start_matches("-- ");
            (title, lines.collect())
        })
        .collect()
}

/// What is tried on one kind of server.
struct Siege {
    kind: &'static str,
    data: &'static str,
    attempts: &'static str,
    honest: &'static str,
}

const POSTGRES: Siege = Siege {
    kind: "postgres",
    data: include_str!("exfiltration/postgres_data.sql"),
    attempts: include_str!("exfiltration/postgres.sql"),
    honest: include_str!("exfiltration/postgres_honest.sql"),
};

const MARIADB: Siege = Siege {
    kind: "mysql",
    data: include_str!("exfiltration/mariadb_data.sql"),
    attempts: include_str!("exfiltration/mariadb.sql"),
    honest: include_str!("exfiltration/mariadb_honest.sql"),
};

/// A database with the data in it, asked without the gateway by the one who may do everything with it.
enum Bare {
    Postgres(postgres::Database, tokio_postgres::Client),
    Mariadb(mariadb::Database),
}

impl Bare {
    async fn new(siege: &Siege) -> Self {
        match siege.kind {
            "postgres" => {
                let database = postgres::database().await;
                database.prepare(siege.data).await;
                let owner = database.owner().await;
                Self::Postgres(database, owner)
            }
            _ => {
                let database = mariadb::database();
                database.prepare(siege.data);
                // So that the gateway sees its functions, and reads may call them.
                database.admin(&format!(
                    "GRANT EXECUTE ON {}.* TO {}",
                    database.name, database.reader
                ));
                Self::Mariadb(database)
            }
        }
    }

    fn urls(&self) -> (String, String) {
        match self {
            Self::Postgres(database, _) => (database.read_url(), database.write_url()),
            Self::Mariadb(database) => (database.read_url(), database.write_url()),
        }
    }

    /// The rows of a query, as the server's own text.
    async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        match self {
            Self::Postgres(_, client) => {
                let messages = client.simple_query(sql).await.unwrap();
                let rows = messages.iter().filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row),
                    _ => None,
                });
                let cells = |index, row: &SimpleQueryRow| row.get(index).map(str::to_owned);
                rows.map(|row| (0..row.len()).map(|index| cells(index, row)).collect())
                    .collect()
            }
            Self::Mariadb(database) => database.rows(sql),
        }
    }

    /// Everything the server has to say about a statement, which is rolled back where it can be.
    async fn tells(&self, sql: &str) -> String {
        match self {
            Self::Postgres(_, client) => {
                client.batch_execute("BEGIN").await.unwrap();
                let told = match client.simple_query(sql).await {
                    Ok(messages) => told_by(&messages),
                    Err(error) => format!("{:?}", error.as_db_error()),
                };
                client.batch_execute("ROLLBACK").await.unwrap();
                told
            }
            Self::Mariadb(database) => database.tells(sql),
        }
    }
}

/// The gateway before its database, an agent, and someone who approves everything.
struct Besieged {
    bare: Bare,
    folder: tempfile::TempDir,
    agent: Caller,
    dana: Caller,
    session: Option<String>,
    _serving: Serving,
}

impl Besieged {
    async fn new(siege: &Siege) -> Self {
        let bare = Bare::new(siege).await;
        let provider = Provider::shared();
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy.yaml");
        let text = POLICY
            .replace("ISSUER", provider.issuer())
            .replace("AUDIENCE", AUDIENCE)
            .replace("KIND", siege.kind);
        fs::write(&policy, text).unwrap();
        let (read, write) = bare.urls();
        let urls = [("CRM_READ_URL", &*read), ("CRM_WRITE_URL", &*write)];
        let serving = Serving::start_in(&policy, &folder.path().join("data"), &urls).await;
        Self {
            bare,
            agent: serving.caller(&agent(provider).await),
            dana: serving.caller(&person(provider, "dana", &["db-admins"]).await),
            session: None,
            _serving: serving,
            folder,
        }
    }

    /// Asks, and has approved what must be; everything anyone is told on the way, as text.
    async fn ask(&mut self, sql: &str) -> (Answer, String) {
        let session = self.session.clone();
        let headers: Vec<(&str, &str)> = session
            .iter()
            .map(|id| ("Portcullis-Session", &**id))
            .collect();
        let mut answer = self
            .agent
            .try_query(&json!({"sql": sql}), &headers)
            .await
            .unwrap();
        let mut told = answer.body.to_string();
        if let Some(session) = answer.body["session_id"].as_str() {
            self.session = Some(session.to_owned());
        }
        if answer.status == StatusCode::ACCEPTED {
            let id = answer.body["approval"]["id"].as_str().unwrap();
            let seen = self.dana.get(&format!("/v1/approvals/{id}")).await.body;
            let done = self.dana.approve(&seen).await;
            let request = answer.body["request_id"].as_str().unwrap();
            let outcome = self.agent.get(&format!("/v1/requests/{request}")).await;
            told.push_str(&format!("\n{seen}\n{}\n{}", done.body, outcome.body));
            answer = outcome;
        }
        (answer, told)
    }

    /// Everything that is kept: the export, the log, the record's files.
    async fn kept(&self) -> String {
        let session = self.session.as_deref().unwrap();
        let mut kept = self
            .dana
            .text(&format!("/v1/sessions/{session}/export"))
            .await;
        for file in fs::read_dir(self.folder.path().join("data")).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                kept.push('\n');
                kept.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap()));
            }
        }
        kept
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_to_a_masked_value_of_postgres_leads_there() {
    no_way_leads_there(&POSTGRES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_to_a_masked_value_of_mariadb_leads_there() {
    no_way_leads_there(&MARIADB).await;
}

async fn no_way_leads_there(siege: &Siege) {
    let mut besieged = Besieged::new(siege).await;
    let mut leaks = Vec::new();
    let (mut requests, mut answered) = (0, 0);
    for (title, statements) in attempts(siege.attempts) {
        let mut put_together = String::new();
        for sql in statements {
            let (answer, told) = besieged.ask(sql).await;
            requests += 1;
            answered += usize::from(answer.body["status"] == "succeeded");
            if let Some(secret) = revealed(&told) {
                leaks.push(format!("{title}: {sql}\n    {secret}: {told}"));
            }
            put_together.push_str(&answer.body["result"]["rows"].to_string());
        }
        if let Some(secret) = revealed(&put_together) {
            leaks.push(format!("{title}, put together: {secret}"));
        }
    }
    if let Some(secret) = revealed(&besieged.kept().await) {
        leaks.push(format!("what is kept: {secret}"));
    }
    assert!(
        leaks.is_empty(),
        "{} leaks:\n{}",
        leaks.len(),
        leaks.join("\n")
    );
    assert!(requests >= 150, "{requests} attempts are no siege");
    assert!(
        answered * 3 >= requests,
        "only {answered} of {requests} were answered: refusing everything hides nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_ways_lead_there_in_the_bare_postgres() {
    // COPY would need another client, and these would end the transaction each attempt is taken back with.
    ways_lead_there(&POSTGRES, &["COPY", "BEGIN", "SELECT 1;"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_ways_lead_there_in_the_bare_mariadb() {
    ways_lead_there(&MARIADB, &[]).await;
}

async fn ways_lead_there(siege: &Siege, left_out: &[&str]) {
    let bare = Bare::new(siege).await;
    let mut lead_there = 0;
    for (_, statements) in attempts(siege.attempts) {
        for sql in statements {
            let is_left_out = left_out.iter().any(|word| sql.starts_with(word));
            if !is_left_out && revealed(&bare.tells(sql).await).is_some() {
                lead_there += 1;
            }
        }
    }
    assert!(
        lead_there >= 150,
        "only {lead_there} of the ways lead anywhere"
    );
}

fn told_by(messages: &[SimpleQueryMessage]) -> String {
    let mut told = String::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            for index in 0..row.len() {
                told.push_str(row.get(index).unwrap_or_default());
                told.push(' ');
            }
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_questions_about_the_same_tables_of_postgres_come_back_untouched() {
    honest_questions_come_back_untouched(&POSTGRES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_questions_about_the_same_tables_of_mariadb_come_back_untouched() {
    honest_questions_come_back_untouched(&MARIADB).await;
}

async fn honest_questions_come_back_untouched(siege: &Siege) {
    let mut besieged = Besieged::new(siege).await;
    let mut wrong = Vec::new();
    let questions: Vec<&str> = siege.honest.lines().collect();
    for sql in &questions {
        let expected = besieged.bare.rows(sql).await;
        let (answer, _) = besieged.ask(sql).await;
        let rows = answer.body["result"]["rows"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let same = rows.len() == expected.len()
            && rows.iter().zip(&expected).all(|(row, expected)| {
                let row = row.as_array().unwrap();
                row.len() == expected.len()
                    && row
                        .iter()
                        .zip(expected)
                        .all(|(cell, text)| says(cell, text.as_deref()))
            });
        if answer.body["status"] != "succeeded" || !same {
            wrong.push(format!("{sql}\n    {}\n    {expected:?}", answer.body));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        questions.len(),
        wrong.join("\n")
    );
    assert!(questions.len() >= 60);
}

/// Whether a cell says what the server's own text says.
fn says(cell: &Value, text: Option<&str>) -> bool {
    match (cell, text) {
        (Value::Null, None) => true,
        // MySQL's times come with the `T` of ISO 8601.
        (Value::String(cell), Some(text)) => cell == text || *cell == text.replacen(' ', "T", 1),
        (Value::Bool(cell), Some(text)) => text == if *cell { "t" } else { "f" },
        (Value::Number(cell), Some(text)) => cell.as_f64() == text.parse().ok(),
        (cell, Some(text)) => serde_json::from_str::<Value>(text).is_ok_and(|text| text == *cell),
        (_, None) => false,
    }
}

fn masking(columns: &[(&str, How)]) -> Masking {
    let rule = |(pattern, how): &(&str, How)| ColumnRule {
        pattern: (*pattern).into(),
        as_: *how,
        domain: None,
        in_predicates: InPredicates::default(),
    };
    Masking::compile(MaskingRules {
        columns: columns.iter().map(rule).collect(),
        ..MaskingRules::default()
    })
    .unwrap()
}

#[test]
fn a_masked_value_can_be_put_only_where_it_stays_masked() {
    let rules = masking(&[
        ("*.customers.email", How::Pseudonym),
        ("*.archive.contact", How::Redact),
        ("*.archive.short", How::KeepLast(4)),
        ("*.*.ssn", How::Redact),
    ]);
    let stays = [
        "UPDATE customers SET town = 'Jena' WHERE id = 1",
        "UPDATE customers SET email = lower(email)",
        "INSERT INTO customers (id, email) SELECT id + 100, email FROM customers",
        "INSERT INTO archive (contact) SELECT email FROM customers",
        "CREATE TABLE archive AS SELECT email AS contact FROM customers",
        "CREATE TABLE numbers AS SELECT ssn FROM staff",
        "CREATE TABLE towns AS SELECT town FROM customers",
        "DELETE FROM customers WHERE email = 'x'",
        "ALTER TABLE customers ADD CONSTRAINT one UNIQUE (email)",
        "DROP TABLE customers",
        "CREATE VIEW contacts AS SELECT email FROM customers",
        "CREATE INDEX ON customers (lower(email))",
        "SELECT set_config('a.b', (SELECT town FROM customers LIMIT 1), false)",
    ];
    for statement in stays {
        let facts = sql::classify(Dialect::Postgres, statement);
        assert_eq!(rules.unmasked_by(&facts), None, "{statement}");
    }
    let gets_out = [
        "CREATE TABLE copy AS SELECT email FROM customers",
        "CREATE TABLE copy AS TABLE customers",
        "SELECT email AS e INTO TEMP copy FROM customers",
        "INSERT INTO archive (short) SELECT email FROM customers",
        "INSERT INTO archive SELECT email FROM customers",
        "UPDATE customers SET town = email",
        "UPDATE copy SET n = (SELECT ascii(email) FROM customers LIMIT 1)",
        "WITH kept AS (INSERT INTO copy SELECT email FROM customers) SELECT 1",
        "SELECT set_config('a.b', (SELECT email FROM customers LIMIT 1), false)",
        "SELECT pg_notify('a', email) FROM customers",
        "ALTER TABLE customers RENAME COLUMN email TO note",
        "ALTER TABLE public.customers RENAME TO folk",
        "ALTER TABLE customers SET SCHEMA other",
        "ALTER TABLE customers ADD n text GENERATED ALWAYS AS (email) STORED",
    ];
    for statement in gets_out {
        let facts = sql::classify(Dialect::Postgres, statement);
        assert!(
            rules.unmasked_by(&facts).is_some(),
            "{statement}: {facts:?}"
        );
    }
    for (dialect, statement) in [
        (Dialect::Mysql, "RENAME TABLE customers TO folk"),
        (
            Dialect::Mysql,
            "SET @a = (SELECT email FROM customers LIMIT 1)",
        ),
        (Dialect::Mssql, "EXEC sp_rename 'customers.email', 'note'"),
        (Dialect::Mssql, "UPDATE customers SET town = email"),
        (
            Dialect::Sqlite,
            "CREATE TABLE copy AS SELECT * FROM customers",
        ),
    ] {
        let facts = sql::classify(dialect, statement);
        let escapes = rules.unmasked_by(&facts).is_some() || facts.class >= Effect::Admin;
        assert!(escapes, "{statement}: {facts:?}");
    }
    let plain = sql::classify(
        Dialect::Mssql,
        "UPDATE customers SET town = 'Jena' WHERE id = 1",
    );
    assert_eq!(rules.unmasked_by(&plain), None);
}
