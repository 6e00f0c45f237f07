//! Data made with `mariadb` in a real MariaDB, guarded by `serve` with a real identity provider and the lines of
//! `examples/mysql.yaml`.

use std::{fs, time::Duration};

use portcullis::{
    domain::policy::Endpoint,
    domain::{
        connection::{Access, Budget, ConnectionKind, ConnectionName},
        id::{RequestId, SessionId},
        masking::{Cell, ServerColumn},
        operation::{Operation, SqlOperation},
    },
    gateway::ports::{Ending, Execution, ResultSink, RunError, Targets},
    targets::{LiveTargets, TargetEndpoint},
};
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{
    mariadb::{self, Database},
    oidc::{AUDIENCE, Provider},
    serving::{Answer, Caller, Serving, agent, person},
};

const POLICY: &str = include_str!("../examples/mysql.yaml");

/// What an administrator types. Every value that must not come through is said once more in [`SECRETS`].
const DATA: &str = r"
CREATE TABLE customers (id integer PRIMARY KEY, email varchar(100) NOT NULL UNIQUE, salary integer CHECK (salary < 900000),
    town varchar(100));
INSERT INTO customers VALUES (1, 'mira.kessel@corp.example', 731902, 'Jena'), (2, 'tovar.ilk@corp.example', 264813, 'Ulm'),
    (3, 'oda.brandt@corp.example', 518377, 'Jena');
CREATE TABLE orders (id integer PRIMARY KEY, customer integer, item text, KEY (customer));
INSERT INTO orders SELECT seq, 2 + seq % 2, CONCAT('item ', seq) FROM seq_1_to_200;
CREATE VIEW directory AS SELECT id, email AS contact, CONCAT(UPPER(email), ' in ', town) AS label, salary * 2 AS twice
    FROM customers;
CREATE VIEW by_way_of AS SELECT contact AS c, label AS l, twice AS t FROM directory;
CREATE FUNCTION sly(gone integer) RETURNS integer DETERMINISTIC MODIFIES SQL DATA
    BEGIN DELETE FROM orders WHERE id = gone; RETURN gone; END;
ANALYZE TABLE orders PERSISTENT FOR ALL;
";
const SECRETS: [&str; 10] = [
    "mira",
    "kessel",
    "tovar",
    "oda.brandt",
    "731902",
    "264813",
    "518377",
    "1463804",
    "529626",
    "1036754",
];

/// The gateway with its database, an agent, and a person who may approve.
struct Guarded {
    database: Database,
    _folder: TempDir,
    agent: Caller,
    dana: Caller,
    _serving: Serving,
}

impl Guarded {
    async fn new() -> Self {
        let database = mariadb::database();
        database.prepare(DATA);
        let provider = Provider::shared();
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy.yaml");
        let text = POLICY
            .replace(
                "https://login.microsoftonline.com/TENANT/v2.0",
                provider.issuer(),
            )
            .replace("api://portcullis", AUDIENCE);
        fs::write(&policy, text).unwrap();
        let (read, write) = (database.read_url(), database.write_url());
        let urls = [("CRM_READ_URL", &*read), ("CRM_WRITE_URL", &*write)];
        let data = folder.path().join("data");
        let serving = Serving::start_in(&policy, &data, &urls).await;
        Self {
            database,
            _folder: folder,
            agent: serving.caller(&agent(provider).await),
            dana: serving.caller(&person(provider, "dana", &["db-admins"]).await),
            _serving: serving,
        }
    }

    /// Asks, and holds the answer against everything nobody may see.
    async fn ask(&self, sql: &str) -> Answer {
        let answer = self.agent.query(sql).await;
        nothing_shows(&answer.body.to_string());
        answer
    }
}

fn nothing_shows(text: &str) {
    let lower = text.to_lowercase();
    for secret in SECRETS {
        assert!(!lower.contains(secret), "`{secret}` came through: {text}");
    }
}

#[test]
fn the_policy_for_mysql_has_fifteen_lines_at_most() {
    assert!(POLICY.lines().count() <= 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_made_in_mariadb_is_masked_and_guarded_with_a_policy_of_fifteen_lines() {
    let guarded = Guarded::new().await;

    let read = guarded.ask("SELECT * FROM customers ORDER BY id").await;
    assert_eq!(read.status, StatusCode::OK, "{}", read.body);
    let rows = read.rows().as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[0][0], &rows[0][3]), (&1.into(), &"Jena".into()));
    assert!(rows[0][1].as_str().unwrap().contains('@'), "{rows:?}");

    let refused = guarded.ask("DROP TABLE orders").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(guarded.database.count("orders"), 200);

    let delete = "DELETE FROM orders WHERE customer = 3";
    let held = guarded.ask(delete).await;
    assert_eq!(held.status, StatusCode::ACCEPTED, "{}", held.body);
    let id = held.body["approval"]["id"].as_str().unwrap();
    let seen = guarded.dana.get(&format!("/v1/approvals/{id}")).await.body;
    assert_eq!(seen["preview"]["estimated_rows"], 100, "{seen}");
    assert_eq!(seen["statement"], delete, "{seen}");
    let own = guarded.agent.approve(&seen).await;
    assert_eq!(own.status, StatusCode::FORBIDDEN, "{}", own.body);
    assert_eq!(guarded.database.count("orders"), 200);

    let done = guarded.dana.approve(&seen).await;
    assert_eq!(done.body["status"], "succeeded", "{}", done.body);
    assert_eq!(guarded.database.count("orders"), 100);
    let request = held.body["request_id"].as_str().unwrap();
    let outcome = guarded.agent.get(&format!("/v1/requests/{request}")).await;
    assert_eq!(outcome.body["result"]["affected"], 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_sees_exactly_what_would_change_in_mariadb_where_it_can_be_undone() {
    let guarded = Guarded::new().await;
    let held = guarded
        .ask("DELETE FROM orders WHERE customer = 3 AND id < 21")
        .await;
    let seen = guarded.dana.preview(&held.body["approval"]).await.body;
    assert_eq!(seen["rows"], 10, "{seen}");
    assert_eq!(seen["before"]["rows"][0][2], "item 1", "{seen}");
    assert_eq!(guarded.database.count("orders"), 200);

    let held = guarded
        .ask("UPDATE customers SET town = 'Bonn' WHERE id = 1")
        .await;
    let seen = guarded.dana.preview(&held.body["approval"]).await.body;
    nothing_shows(&seen.to_string());
    assert_eq!(
        (&seen["rows"], &seen["before"]["rows"][0][3]),
        (&1.into(), &"Jena".into()),
        "{seen}"
    );

    guarded.database.prepare(
        "CREATE TABLE kept (id integer) ENGINE=MyISAM; INSERT INTO kept VALUES (1); CREATE TABLE noted (id integer);
         CREATE TRIGGER touched BEFORE DELETE ON noted FOR EACH ROW DELETE FROM kept",
    );
    for sql in [
        "DELETE FROM kept WHERE id = 1",
        "DELETE FROM noted WHERE id = 1",
    ] {
        let held = guarded.ask(sql).await;
        assert_eq!(held.status, StatusCode::ACCEPTED, "{}", held.body);
        let refused = guarded.dana.preview(&held.body["approval"]).await;
        assert_eq!(
            refused.body["type"], "urn:portcullis:problem:no-exact-preview",
            "{}",
            refused.body
        );
    }
    assert_eq!(guarded.database.count("kept"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn views_and_computed_columns_of_data_made_in_mariadb_stay_masked() {
    let guarded = Guarded::new().await;
    for sql in [
        "SELECT * FROM directory",
        "SELECT * FROM by_way_of",
        "SELECT l FROM by_way_of LIMIT 1",
        "SELECT contact FROM directory AS orders",
        "SELECT SUBSTR(email, 1, 4) AS town, salary + 0 AS id FROM customers",
        "SELECT GROUP_CONCAT(email) FROM customers",
        "SELECT REVERSE(REVERSE(email)) FROM customers",
        "SELECT HEX(email), TO_BASE64(email) FROM customers",
        "WITH x (town, id) AS (SELECT email, salary FROM customers) SELECT town, id FROM x",
        // The server itself would say that this is `orders.item`.
        "SELECT item FROM (SELECT email AS item FROM customers) AS orders",
        "WITH orders AS (SELECT email AS item FROM customers) SELECT * FROM orders",
        "SELECT town FROM customers UNION ALL SELECT email FROM customers",
        "SELECT (SELECT email FROM customers WHERE id = 1)",
        "SELECT MAX(salary), MIN(email) FROM customers",
    ] {
        let answer = guarded.ask(sql).await;
        let status = answer.body["status"].as_str().unwrap_or_default();
        assert_eq!(status, "succeeded", "{sql}: {}", answer.body);
        assert_ne!(answer.body["masked"]["cells"], 0, "{sql}: {}", answer.body);
    }
    let plain = guarded
        .ask("SELECT id, item FROM orders WHERE id = 7")
        .await;
    assert_eq!(plain.rows()[0][1], "item 7", "{}", plain.body);
    assert_eq!(plain.body["masked"]["cells"], 0, "{}", plain.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_warnings_of_mariadb_do_not_tell_masked_values() {
    let guarded = Guarded::new().await;
    for sql in [
        "SELECT id FROM customers WHERE email = 0",
        "SELECT CAST(email AS integer) FROM customers",
        "SELECT CAST(email AS date) FROM customers",
        "SELECT EXTRACTVALUE(1, CONCAT('~', email)) FROM customers",
        "SELECT salary * 99999999999999999 FROM customers",
        "SELECT JSON_EXTRACT(email, '$.a') FROM customers",
        "SELECT email REGEXP CONCAT('(', email) FROM customers",
        "SELECT contact + 0 FROM directory",
        "SELECT STR_TO_DATE(email, '%Y') FROM customers",
        "SELECT email AT TIME ZONE 'x' FROM customers",
        "SHOW WARNINGS",
    ] {
        let answer = guarded.ask(sql).await;
        let known = matches!(
            answer.status,
            StatusCode::OK | StatusCode::FORBIDDEN | StatusCode::ACCEPTED
        );
        assert!(known, "{sql}: {}", answer.body);
    }

    for sql in [
        "INSERT INTO customers (id, email) SELECT 9, email FROM customers WHERE id = 1",
        "UPDATE customers SET salary = salary * 100 WHERE id = 2",
        "UPDATE customers SET id = 1 WHERE id = 2",
        "UPDATE orders SET customer = (SELECT email FROM customers WHERE id = 1) WHERE id = 2",
    ] {
        let held = guarded.ask(sql).await;
        if held.status == StatusCode::FORBIDDEN {
            continue;
        }
        assert_eq!(held.status, StatusCode::ACCEPTED, "{sql}: {}", held.body);
        let done = guarded.dana.approve(&held.body["approval"]).await;
        nothing_shows(&done.body.to_string());
        assert_eq!(done.body["status"], "failed", "{sql}: {}", done.body);
        let request = held.body["request_id"].as_str().unwrap();
        let told = guarded.agent.get(&format!("/v1/requests/{request}")).await;
        nothing_shows(&told.body.to_string());
        assert!(
            told.body["error"]["code"].as_str().unwrap().contains('/'),
            "{}",
            told.body
        );
        let session = held.body["session_id"].as_str().unwrap();
        nothing_shows(
            &guarded
                .dana
                .text(&format!("/v1/sessions/{session}/export"))
                .await,
        );
    }
    assert_eq!(guarded.database.count("customers"), 3);
}

/// Takes what comes and keeps nothing.
struct Nothing;

impl ResultSink for Nothing {
    fn columns(&mut self, _: &[ServerColumn]) {}
    fn row(&mut self, _: &[Cell<'_>]) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }
    fn notice(&mut self, _: &str) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_mariadb_cannot_write_even_if_they_were_judged_wrongly() {
    let database = mariadb::database();
    database.prepare(DATA);
    let name: ConnectionName = "crm".parse().unwrap();
    let targets = LiveTargets::new();
    // The owner's credential in the reader's place: two walls are down, and one stands.
    for url in [database.read_url(), database.write_url()] {
        let endpoint = TargetEndpoint {
            name: name.clone(),
            kind: ConnectionKind::Mysql,
            access: Access::Read,
            endpoint: Endpoint::url(url),
        };
        targets.configure(vec![endpoint]).unwrap();
        for sql in [
            "DELETE FROM orders",
            "SELECT sly(7)",
            "CREATE TABLE mine (id integer)",
            "DROP TABLE orders",
            "BEGIN NOT ATOMIC DELETE FROM orders; END",
        ] {
            let session = SessionId::new([1; 16]);
            let execution = Execution {
                request: RequestId::new(&session, [2; 16]),
                connection: name.clone(),
                operation: Operation::Sql(SqlOperation::new(sql.into(), vec![], None).unwrap()),
                access: Access::Read,
                budget: Budget::default(),
                ending: Ending::RollBack,
            };
            let cancel = CancellationToken::new();
            let ran = targets.run(execution, &mut Nothing, &cancel).await;
            assert!(
                matches!(
                    ran,
                    Err(RunError::Refused {
                        second_wall: true,
                        ..
                    })
                ),
                "{sql}: {ran:?}"
            );
        }
    }
    assert_eq!(database.count("orders"), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_stops_its_read_at_mariadb() {
    let guarded = Guarded::new().await;
    let running = || {
        guarded.database.count(
            "information_schema.processlist WHERE id <> CONNECTION_ID() AND command = 'Execute' AND info LIKE '%AS slow%'",
        )
    };
    let until = async |count: u64| {
        for _ in 0..500 {
            if running() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("there are not {count} in time");
    };
    let asking = tokio::spawn({
        let agent = guarded.agent.clone();
        async move {
            agent
                .query(
                    "SELECT COUNT(*) AS slow FROM orders a, orders b, orders c, orders d, orders e",
                )
                .await
        }
    });
    until(1).await;
    asking.abort();
    until(0).await;
}
