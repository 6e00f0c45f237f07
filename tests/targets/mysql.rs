//! MySQL and MariaDB, looked at from outside and by the server's own client.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use super::*;
use crate::support::mariadb::{Database, database, server};
use portcullis::domain::masking::ServerOrigin;

fn with_accounts() -> Database {
    let database = database();
    database.prepare(
        "CREATE TABLE accounts (id int PRIMARY KEY, name varchar(20) NOT NULL);
         INSERT INTO accounts VALUES (1, 'one'), (2, 'two');",
    );
    // As its definer the function may write, whoever calls it.
    database.admin(
        "CREATE FUNCTION sneak() RETURNS int DETERMINISTIC MODIFIES SQL DATA
           BEGIN DELETE FROM accounts; RETURN 1; END",
    );
    database.admin(&format!(
        "GRANT EXECUTE ON {}.* TO {}",
        database.name, database.reader
    ));
    database
}

// ---------------------------------------------------------------------------------------------- reads

#[tokio::test]
async fn a_write_under_the_read_credential_is_refused_by_the_second_wall() {
    let database = with_accounts();
    // Once by the session alone, under a credential that could do anything; once by credential and session.
    for target in [Target::mysql_unguarded(&database), Target::mysql(&database)] {
        for statement in [
            "DELETE FROM accounts",
            "UPDATE accounts SET name = 'x'",
            "INSERT INTO accounts VALUES (3, 'three')",
            "REPLACE INTO accounts VALUES (1, 'three')",
            "SELECT sneak()",
            "CREATE TABLE other (id int)",
            "CREATE TABLE copied AS SELECT * FROM accounts",
            "ALTER TABLE accounts ADD c int",
            "TRUNCATE accounts",
            "DROP TABLE accounts",
            "CREATE VIEW seen AS SELECT 1",
            "RENAME TABLE accounts TO others",
            "CREATE USER someone",
            "GRANT ALL ON *.* TO someone IDENTIFIED BY 'x'",
            "LOCK TABLES accounts WRITE",
        ] {
            let (code, message, second_wall) = refusal(target.read(statement).await);
            assert!(second_wall, "{statement}: {code} {message}");
        }
    }
    let reader = Target::mysql(&database);
    for statement in [
        "SET GLOBAL max_connections = 10",
        "SELECT * FROM accounts INTO OUTFILE '/tmp/portcullis-never'",
        "FLUSH TABLES",
    ] {
        let answer = reader.read(statement).await;
        assert!(
            matches!(answer, Err(RunError::Refused { .. })),
            "{statement}"
        );
    }
    assert_eq!(database.count("accounts"), 2);
    assert_eq!(
        database.count("information_schema.tables WHERE table_schema = DATABASE()"),
        1
    );
}

#[tokio::test]
async fn what_a_read_says_about_transactions_ends_with_it() {
    let database = with_accounts();
    let target = Target::mysql_unguarded(&database);
    for statement in [
        "SET SESSION TRANSACTION READ WRITE",
        "SET TRANSACTION READ WRITE",
        "START TRANSACTION READ WRITE",
        "COMMIT",
        "COMMIT AND CHAIN",
        "SET SESSION autocommit = 0",
        "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
        "SET NAMES latin1",
        "XA START 'x'",
        "BEGIN NOT ATOMIC SET SESSION TRANSACTION READ WRITE; END",
    ] {
        let _answer = target.read(statement).await;
        let (_, _, second_wall) = refusal(target.read("DELETE FROM accounts").await);
        assert!(second_wall, "{statement}");
        assert_eq!(
            target.value("SELECT \"it's\\\" 'é'\"").await,
            text("it's\" 'é'")
        );
        assert_eq!(target.value("SELECT 1 || 0").await, number("1"));
    }
    assert_eq!(database.count("accounts"), 2);
}

#[tokio::test]
async fn nothing_of_a_session_reaches_the_next_statement() {
    let database = with_accounts();
    let target = Target::mysql_unguarded(&database);
    let thread = target.value("SELECT CONNECTION_ID()").await;
    for (statement, left, clean) in [
        ("SET @mine = 'left'", "SELECT @mine", Kept::Null),
        (
            "DO GET_LOCK('mine', 0)",
            "SELECT IS_USED_LOCK('mine')",
            Kept::Null,
        ),
        (
            "SET SESSION max_sort_length = 64",
            "SELECT @@max_sort_length",
            number("1024"),
        ),
        (
            "PREPARE mine FROM 'SELECT 1'",
            "SELECT COUNT(*) FROM information_schema.session_status WHERE variable_name = 'Com_x'",
            number("0"),
        ),
    ] {
        target.read(statement).await.unwrap();
        assert_eq!(target.value(left).await, clean, "{statement}");
    }
    target
        .write("CREATE TEMPORARY TABLE mine (id int)")
        .await
        .unwrap();
    let (code, _, _) = refusal(target.write("SELECT * FROM mine").await);
    assert_eq!(code, "42S02/1146");
    let (code, _, _) = refusal(target.write("EXECUTE mine").await);
    assert_eq!(code, "HY000/1243");
    assert_eq!(
        target.value("SELECT CONNECTION_ID()").await,
        thread,
        "and the connection is the same"
    );
}

#[tokio::test]
async fn a_second_statement_in_the_text_is_refused_and_neither_runs() {
    let database = with_accounts();
    let target = Target::mysql(&database);
    for sql in [
        "SELECT 1; DELETE FROM accounts",
        "DELETE FROM accounts; DELETE FROM accounts",
        "LOCK TABLES accounts READ; DELETE FROM accounts",
    ] {
        let (code, _, _) = refusal(target.write(sql).await);
        assert_eq!(code, "42000/1064", "{sql}");
    }
    assert_eq!(database.count("accounts"), 2);
}

#[tokio::test]
async fn warnings_come_as_notices() {
    let database = with_accounts();
    let target = Target::mysql(&database);
    let (_, gathered) = target
        .read("SELECT id FROM accounts WHERE name = 0 LIMIT 1")
        .await
        .unwrap();
    assert_eq!(
        gathered.notices,
        ["Warning 1292: Truncated incorrect DECIMAL value: 'one'"]
    );
}

// ---------------------------------------------------------------------------------------------- effects

#[tokio::test]
async fn an_effect_is_committed_once_and_counts_the_rows_it_found() {
    let database = with_accounts();
    let target = Target::mysql(&database);
    let affected = async |sql: &str| target.write(sql).await.unwrap().0.affected;
    assert_eq!(affected("UPDATE accounts SET name = 'one'").await, Some(2));
    assert_eq!(affected("UPDATE accounts SET name = 'one'").await, Some(2));
    assert_eq!(affected("DELETE FROM accounts WHERE id = 1").await, Some(1));
    assert_eq!(affected("CREATE TABLE more (id int)").await, None);
    assert_eq!(database.count("accounts"), 1);
    assert_eq!(database.count("more"), 0);
    let (_, gathered) = target
        .write("INSERT INTO accounts VALUES (7, 'seven') RETURNING id, name")
        .await
        .unwrap();
    assert_eq!(gathered.rows, [[number("7"), text("seven")]]);
    assert_eq!(database.count("accounts"), 2);
}

#[tokio::test]
async fn a_refused_effect_changes_nothing_and_says_why() {
    let database = with_accounts();
    let target = Target::mysql(&database);
    let (code, message, second_wall) = refusal(
        target
            .write("INSERT INTO accounts VALUES (3, 'x'), (1, 'y')")
            .await,
    );
    assert_eq!(code, "23000/1062");
    assert!(message.contains("Duplicate entry '1'") && !second_wall);
    let (code, _, _) = refusal(target.write("CREATE TABLE accounts (id int)").await);
    assert_eq!(code, "42S01/1050");
    assert_eq!(database.count("accounts"), 2);
}

#[tokio::test]
async fn what_may_have_been_done_in_part_is_unknown() {
    let database = with_accounts();
    database.prepare(
        "CREATE TABLE old (id int PRIMARY KEY) ENGINE = MyISAM;
         INSERT INTO old VALUES (5);
         CREATE PROCEDURE halves() BEGIN DELETE FROM accounts; COMMIT; INSERT INTO missing VALUES (1); END",
    );
    let target = Target::mysql(&database);
    for statement in [
        "INSERT INTO old VALUES (3), (4), (5)",
        "CALL halves()",
        "DROP TABLE old, missing",
    ] {
        let answer = target.write(statement).await;
        assert!(
            matches!(answer, Err(RunError::Unknown(_))),
            "{statement}: {answer:?}"
        );
    }
    assert_eq!(database.count("accounts"), 0);
}

#[tokio::test]
async fn an_effect_that_is_rolled_back_or_too_large_leaves_nothing() {
    let database = with_accounts();
    let target = Target::mysql(&database);
    let few = Ending::Commit { at_most: Some(1) };
    let (done, _) = target
        .change(Ending::RollBack, "DELETE FROM accounts")
        .await
        .unwrap();
    assert_eq!(done.affected, Some(2));
    let refused = target.change(few, "DELETE FROM accounts").await;
    assert!(
        matches!(
            refused,
            Err(RunError::TooMany {
                affected: 2,
                at_most: 1
            })
        ),
        "{refused:?}"
    );
    assert_eq!(database.count("accounts"), 2);
    database.prepare(
        "CREATE TABLE old (id int) ENGINE = MyISAM; INSERT INTO old VALUES (1);
         CREATE PROCEDURE empties() DELETE FROM accounts;",
    );
    for ending in [few, Ending::RollBack] {
        for statement in [
            "DROP TABLE accounts",
            "TRUNCATE accounts",
            "CALL empties()",
            "/* x */ DELETE FROM accounts",
            "DELETE FROM old",
            "DELETE accounts, old FROM accounts JOIN old",
        ] {
            let (_, message, _) = refusal(target.change(ending, statement).await);
            assert!(
                message.ends_with("it was not run"),
                "{statement}: {message}"
            );
        }
    }
    assert_eq!(database.count("accounts") + database.count("old"), 3);
    target
        .change(few, "DELETE FROM accounts WHERE id = 1")
        .await
        .unwrap();
    assert_eq!(database.count("accounts"), 1);
    // What a trigger changes counts.
    database.prepare(
        "DROP TABLE old; CREATE TABLE log (n int);
         CREATE TRIGGER noted AFTER DELETE ON accounts FOR EACH ROW INSERT INTO log SELECT seq FROM seq_1_to_5",
    );
    let delete = "DELETE FROM accounts WHERE id = 2";
    let (tried, _) = target.change(Ending::RollBack, delete).await.unwrap();
    assert_eq!((tried.affected, tried.changed), (Some(1), Some(6)));
    let refused = target.change(few, delete).await;
    assert!(
        matches!(refused, Err(RunError::TooMany { affected: 6, .. })),
        "{refused:?}"
    );
    assert_eq!(database.count("accounts") + database.count("log"), 1);
}

// ---------------------------------------------------------------------------------------------- limits

/// Statements that run and have `mark` in them.
fn running(database: &Database, mark: &str) -> u64 {
    database.count(&format!(
        "information_schema.processlist WHERE info LIKE '%{mark}%' AND id <> CONNECTION_ID() AND command <> 'Sleep'"
    ))
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not in time: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_stops_the_statement_at_the_server() {
    let database = with_accounts();
    for access in [Access::Read, Access::Write] {
        let target = Target::mysql(&database);
        let mark = format!("marked_{access:?}");
        let slow = format!("SELECT SLEEP(30) AS {mark}");
        let leave = async {
            until("it runs", || running(&database, &mark) == 1).await;
            target.cancel.cancel();
        };
        let (answer, ()) = tokio::join!(target.run(access, &slow, vec![]), leave);
        assert!(
            matches!(answer, Err(RunError::Cancelled { timeout: false }) | Ok(_)),
            "{answer:?}"
        );
        until("it is gone", || running(&database, &mark) == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_up_for_reads_effects_and_waits() {
    let database = with_accounts();
    let target = Target::mysql(&database).timeout(300);
    let began = std::time::Instant::now();
    let endless = "SELECT COUNT(*) FROM information_schema.collations a, information_schema.collations b, \
                   information_schema.collations c, information_schema.collations d";
    let answer = target.read(endless).await;
    assert!(
        matches!(answer, Err(RunError::Cancelled { timeout: true })),
        "{answer:?}"
    );
    let update = "UPDATE accounts SET name = 'z' WHERE id = 1 OR SLEEP(10)";
    let answer = target.write(update).await;
    assert!(
        matches!(answer, Err(RunError::Cancelled { timeout: true })),
        "{answer:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_eq!(database.count("accounts WHERE name = 'z'"), 0);
}

#[tokio::test]
async fn a_sink_that_has_enough_ends_a_long_result_early() {
    let database = with_accounts();
    let target = Target::mysql(&database);
    let long = "WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 100000) \
                SELECT a, REPEAT('x', 1000) FROM n";
    let mut sink = Gathered {
        stop_after: Some(10),
        ..Gathered::default()
    };
    let began = std::time::Instant::now();
    target
        .run_into(Access::Read, long, vec![], &mut sink)
        .await
        .unwrap();
    assert_eq!(sink.taken, 10);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(target.value("SELECT 1").await, number("1"));
}

#[tokio::test]
async fn one_value_larger_than_the_budget_is_refused_and_not_held() {
    let database = with_accounts();
    let mut target = Target::mysql(&database);
    target.budget.bytes = 1 << 20;
    let (_, message, _) = refusal(target.read("SELECT REPEAT('x', 5000000)").await);
    assert!(message.contains("bytes long"), "{message}");
    assert_eq!(target.value("SELECT 1").await, number("1"));
}

// ---------------------------------------------------------------------------------------------- values

const TYPES: &str = "
    a_tiny tinyint, a_tinyu tinyint unsigned, a_small smallint, a_medium mediumint, an_int int unsigned,
    a_big bigint, a_bigu bigint unsigned, a_dec decimal(30,10), a_fill int(6) zerofill, a_float float, a_double double,
    a_fixed double(10,2), a_year year, a_date date, a_time time, a_timef time(3), a_dt datetime, a_dtf datetime(6),
    a_ts timestamp(2) NULL, a_char char(5), a_varchar varchar(50), a_text text, an_enum enum('a','b c'),
    a_set set('x','y','z'), a_json json, a_bit bit(10), a_bool boolean, a_bin binary(3), a_blob blob, a_point point,
    a_uuid uuid, an_ip inet6";

#[tokio::test]
async fn every_type_is_what_the_servers_own_client_prints() {
    let database = database();
    database.prepare(&format!("CREATE TABLE kinds ({TYPES}, n int);"));
    database.prepare(
        "SET sql_mode = ''; SET time_zone = '+00:00';
         INSERT INTO kinds VALUES
         (-128, 255, -32768, -8388608, 4294967295, -9223372036854775808, 18446744073709551615,
          '-12345678901234567890.0123456789', 42, 1.5, 1e100, 3.14159, 2024, '2024-02-29', '-838:59:59', '12:00:00.125',
          '2024-02-29 23:59:59', '2024-02-29 23:59:59.000001', '2024-02-29 12:00:00.25', 'ab', 'é🦀 \\'q\\'', 'long',
          'b c', 'x,z', '{\"a\": [1, null]}', b'1010101010', true, 'ab', x'00ff10', POINT(1, 2),
          'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1', 1),
         (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -0.001, 0, 0, '0000-00-00', '00:00:00', '00:00:00', '0000-00-00 00:00:00',
          '0000-00-00 00:00:00', NULL, '', '', '', NULL, '', '[]', b'0', false, '', '', NULL, NULL, '2001:db8::', 2);
         INSERT INTO kinds (n) VALUES (3);",
    );
    let target = Target::mysql(&database);
    let names: Vec<&str> = TYPES
        .split(",\n")
        .flat_map(|line| line.split(", "))
        .filter_map(|column| column.trim().split(' ').next())
        .filter(|name| name.starts_with("a_") || name.starts_with("an_"))
        .collect();
    assert_eq!(names.len(), 32);
    for name in names {
        for n in 1..=3 {
            let sql = format!("SELECT {name} FROM kinds WHERE n = {n}");
            let (_, prepared) = target.read(&sql).await.unwrap();
            let shown = prepared.rows[0][0].clone();
            let type_name = &*prepared.columns[0].type_name;
            // Bytes have no form as text there.
            let asked = match type_name {
                "binary" | "blob" | "point" => format!("CONCAT('\\\\x', LOWER(HEX({name})))"),
                "bit" => format!("LPAD(BIN({name}), 10, '0')"),
                _ => name.to_owned(),
            };
            let mut printed = database.prepare(&format!(
                "SET time_zone = '+00:00'; SELECT {asked} FROM kinds WHERE n = {n}"
            ));
            assert_eq!(printed.pop(), Some('\n'));
            if shown == Kept::Null {
                assert_eq!(printed, "NULL", "{name}");
                continue;
            }
            let is_date = !printed.starts_with("0000");
            let expected = match type_name {
                "datetime" if is_date => text(&printed.replace(' ', "T")),
                "timestamp" => text(&format!("{}Z", printed.replace(' ', "T"))),
                "json" => json(&printed),
                "year" => number(&printed.parse::<u32>().unwrap().to_string()),
                _ if name == "a_fill" => number(printed.trim_start_matches('0')),
                name if ["int", "decimal", "float", "double"]
                    .iter()
                    .any(|kind| name.contains(kind))
                    && name != "point" =>
                {
                    number(&printed)
                }
                _ => text(&printed),
            };
            let expected = match expected {
                Kept::Number(digits) if digits.is_empty() => number("0"),
                other => other,
            };
            assert_eq!(shown, expected, "{name} {n} as {type_name}");
        }
    }
}

#[tokio::test]
async fn parameters_keep_their_kind_and_every_digit() {
    let database = database();
    let target = Target::mysql(&database);
    let (_, gathered) = target
        .run(
            Access::Read,
            "SELECT ?, ?, ?, ?, ?, ?, ? IS NULL",
            vec![
                Param::Number("18446744073709551615".into()),
                Param::Number("-7".into()),
                Param::Number("1.10000000000000000000000001".into()),
                Param::Text("é'\\ ?".into()),
                Param::Bool(true),
                Param::Json("{\"a\":1}".into()),
                Param::Null,
            ],
        )
        .await
        .unwrap();
    assert_eq!(
        gathered.rows,
        [[
            number("18446744073709551615"),
            number("-7"),
            number("1.10000000000000000000000001"),
            text("é'\\ ?"),
            number("1"),
            text("{\"a\":1}"),
            number("1"),
        ]]
    );
    let wrong = target.run(Access::Read, "SELECT ?", vec![]).await;
    let (_, message, _) = refusal(wrong);
    assert!(message.contains("1 parameters, 0 were given"), "{message}");
}

// ---------------------------------------------------------------------------------------------- origins

fn origin(origin: Option<ServerOrigin>) -> String {
    let Some(origin) = origin else {
        return "none".into();
    };
    let also = origin
        .also
        .iter()
        .map(|base| format!(" {}.{}", base.relation, base.column));
    format!(
        "{}.{}{}",
        origin.relation,
        origin.column,
        also.collect::<String>()
    )
}

#[tokio::test]
async fn a_column_is_traced_to_what_it_shows_and_no_name_made_up_is_believed() {
    let database = database();
    database.prepare(
        "CREATE TABLE customers (id int PRIMARY KEY, email varchar(50), town varchar(50));
         CREATE TABLE orders (id int, town varchar(50));
         CREATE VIEW directory AS SELECT id, email AS contact, CONCAT(email, town) AS label FROM customers;
         CREATE VIEW by_way_of AS SELECT contact AS c, label AS l, id FROM directory;
         CREATE ALGORITHM = TEMPTABLE VIEW stored AS SELECT email AS e, id FROM customers;
         CREATE VIEW united AS SELECT id AS x FROM orders UNION SELECT email FROM customers;
         CREATE VIEW every AS SELECT town AS x FROM orders UNION ALL SELECT email FROM customers;",
    );
    let target = Target::mysql(&database);
    for (sql, expected) in [
        ("SELECT email AS town FROM customers", "customers.email"),
        ("SELECT c.email FROM customers c", "customers.email"),
        ("SELECT UPPER(email) FROM customers", "none"),
        (
            "SELECT contact FROM directory",
            "directory.contact customers.email",
        ),
        (
            "SELECT contact FROM directory AS orders",
            "directory.contact customers.email",
        ),
        ("SELECT id FROM directory", "directory.id customers.id"),
        (
            "SELECT label FROM directory",
            "directory.label customers.email customers.id customers.town",
        ),
        (
            "SELECT c FROM by_way_of",
            "by_way_of.c customers.email directory.contact",
        ),
        (
            "SELECT l FROM by_way_of",
            "by_way_of.l customers.email customers.id customers.town directory.contact directory.id directory.label",
        ),
        ("SELECT e FROM stored", "stored.e customers.email"),
        ("SELECT e FROM stored AS orders", "stored.e customers.email"),
        (
            "SELECT x FROM united",
            "united.x customers.email customers.id orders.id",
        ),
        (
            "SELECT x FROM every",
            "every.x customers.email customers.town orders.town",
        ),
        (
            "SELECT town FROM orders UNION ALL SELECT email FROM customers",
            "none",
        ),
        (
            "SELECT * FROM (SELECT town FROM orders UNION ALL SELECT email FROM customers) AS orders",
            "none",
        ),
        // What the server says of these is a lie the statement made up.
        (
            "SELECT town FROM (SELECT email AS town FROM customers) AS orders",
            "none",
        ),
        (
            "WITH orders AS (SELECT email AS town FROM customers) SELECT * FROM orders",
            "none",
        ),
        (
            "SELECT town FROM /*!(SELECT email AS town FROM customers) AS*/ orders",
            "none",
        ),
        ("SELECT 1--1 + 0 AS n, town FROM orders", "none"),
        (
            "SELECT town FROM (SELECT contact AS town FROM directory) AS orders",
            "directory.* customers.email customers.id customers.town",
        ),
    ] {
        let (_, gathered) = target
            .read(sql)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let column = gathered.columns.last().unwrap();
        assert_eq!(origin(column.origin.clone()), expected, "{sql}");
    }
}

#[tokio::test]
async fn what_the_server_tells_while_parsing_and_while_running_may_differ_for_honest_queries() {
    let database = with_accounts();
    database
        .prepare("CREATE VIEW seen AS SELECT id, UPPER(name) AS loud FROM accounts ORDER BY name");
    let target = Target::mysql(&database);
    for sql in [
        "SELECT DISTINCT name FROM accounts ORDER BY name DESC",
        "SELECT name, COUNT(*) AS n FROM accounts GROUP BY name WITH ROLLUP HAVING n > 0",
        "SELECT a.name, b.* FROM accounts a LEFT JOIN accounts b ON b.id = a.id + 1 ORDER BY RAND()",
        "SELECT q.name FROM (SELECT * FROM accounts ORDER BY id LIMIT 1) q JOIN accounts USING (id)",
        "WITH RECURSIVE n AS (SELECT 1 AS a UNION SELECT a + 1 FROM n WHERE a < 3) SELECT a, name FROM n JOIN accounts ON id = a",
        "SELECT name, ROW_NUMBER() OVER (ORDER BY id), LAG(name) OVER (ORDER BY id) FROM accounts",
        "SELECT loud FROM seen WHERE id IN (SELECT id FROM accounts UNION SELECT 7)",
        "SELECT name FROM accounts WHERE id = 1 UNION SELECT loud FROM seen ORDER BY 1 LIMIT 3",
        "SELECT (SELECT name FROM accounts WHERE id = s.id) AS x FROM seen s GROUP BY s.id",
        "SELECT * FROM accounts INTERSECT SELECT * FROM seen",
        "SELECT CASE WHEN id = 1 THEN name END AS c, IFNULL(NULL, name) FROM accounts",
        "SELECT table_name FROM information_schema.tables LIMIT 1",
        "SHOW TABLES",
        "SHOW COLUMNS FROM accounts",
        "SHOW CREATE TABLE accounts",
        "SHOW VARIABLES LIKE 'sql_mode'",
        "EXPLAIN SELECT * FROM accounts",
        "DESCRIBE accounts",
        "VALUES (1, 2)",
        "TABLE accounts",
    ] {
        match target.read(sql).await {
            Ok((_, gathered)) => assert!(!gathered.columns.is_empty(), "{sql}"),
            // MySQL has statements that MariaDB has not.
            Err(RunError::Refused { code, unread, .. }) => {
                assert!(
                    unread && code.as_deref() == Some("42000/1064"),
                    "{sql}: {code:?}"
                );
            }
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_view_whose_definition_is_hidden_is_not_read() {
    let database = with_accounts();
    database.prepare("CREATE VIEW seen AS SELECT name FROM accounts");
    database.admin(&format!(
        "REVOKE SHOW VIEW ON {}.* FROM {}",
        database.name, database.reader
    ));
    let target = Target::mysql(&database);
    let (_, message, _) = refusal(target.read("SELECT name FROM seen").await);
    assert!(message.contains("GRANT SHOW VIEW"), "{message}");
    assert_eq!(
        target.value("SELECT COUNT(*) FROM accounts").await,
        number("2")
    );
}

// ---------------------------------------------------------------------------------------------- reach

#[tokio::test]
async fn the_optimizers_estimate_needs_no_right_to_write() {
    let database = with_accounts();
    database.prepare(
        "CREATE TABLE parts (id int PRIMARY KEY, account int, KEY (account));
         INSERT INTO parts SELECT seq, 1 + seq % 2 FROM seq_1_to_1000; ANALYZE TABLE parts PERSISTENT FOR ALL;",
    );
    let target = Target::mysql(&database);
    let estimate = async |sql: &str, params: Vec<Param>| {
        let preview = target
            .targets
            .preview(&name(), &operation(sql, params), Duration::from_secs(5))
            .await;
        preview.estimated_rows
    };
    assert_eq!(
        estimate("DELETE FROM parts WHERE account = 1", vec![]).await,
        Some(500)
    );
    assert_eq!(
        estimate(
            "UPDATE parts SET account = ? WHERE id = ?",
            vec![Param::Null, Param::Number("7".into())]
        )
        .await,
        Some(1)
    );
    assert_eq!(
        estimate("DELETE FROM parts WHERE account = 1 LIMIT 3", vec![]).await,
        Some(3)
    );
    assert_eq!(
        estimate("INSERT INTO parts VALUES (1, 1), (2, 2)", vec![]).await,
        Some(2)
    );
    assert_eq!(
        estimate("INSERT INTO parts SELECT id, 1 FROM accounts", vec![]).await,
        Some(2)
    );
    assert_eq!(estimate("DROP TABLE parts", vec![]).await, None);
    assert_eq!(database.count("parts"), 1000);
}

// ---------------------------------------------------------------------------------------------- the wire

#[tokio::test]
async fn tls_proves_the_server_or_there_is_no_connection() {
    let Some(folder) = &server().folder else {
        return;
    };
    let database = database();
    let url = |authority: &str, host: &str| {
        let file = folder.join(format!("{authority}.crt"));
        let url = database.read_url().replace("127.0.0.1", host);
        format!("{url}?sslmode=verify-full&sslrootcert={}", file.display())
    };
    let good = url("authority", "localhost");
    let target = Target::of(ConnectionKind::Mysql, &good, &good);
    let row = target.row("SHOW SESSION STATUS LIKE 'Ssl_version'").await;
    assert_eq!(row[1], text("TLSv1.3"));
    for bad in [url("stranger", "localhost"), url("authority", "127.0.0.1")] {
        let target = Target::of(ConnectionKind::Mysql, &bad, &bad);
        let answer = target.read("SELECT 1").await;
        assert!(
            matches!(&answer, Err(RunError::Unreachable(why)) if why.contains("TLS failed")),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let database = database();
    let wrong = database.read_url().replace("p%2Fw", "hunter2");
    let target = Target::of(ConnectionKind::Mysql, &wrong, &wrong);
    match target.read("SELECT 1").await {
        Err(RunError::Unreachable(why)) => {
            assert!(
                why.contains("28000/1045") && !why.contains("hunter2"),
                "{why}"
            );
            assert!(!why.contains(&database.reader), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

/// A server that logs anyone in and answers every command with one packet.
fn impostor(answer: &'static [u8]) -> (u16, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let send = |stream: &mut std::net::TcpStream, sequence: u8, body: &[u8]| {
            let mut packet = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
            packet[3] = sequence;
            packet.extend(body);
            stream.write_all(&packet).unwrap();
        };
        let mut greeting =
            b"\x0a8.0.0\0\x01\0\0\0abcdefgh\0\xff\xf7\x2d\x02\0\xff\xdf\x15".to_vec();
        greeting.extend([0; 10]);
        greeting.extend(b"ijklmnopqrst\0mysql_native_password\0");
        send(&mut stream, 0, &greeting);
        let mut heard = Vec::new();
        let mut part = [0; 4096];
        let mut logged_in = false;
        loop {
            let read = stream.read(&mut part).unwrap_or(0);
            if read == 0 {
                return heard;
            }
            heard.extend(&part[..read]);
            if logged_in {
                send(&mut stream, 1, answer);
            } else {
                send(&mut stream, 2, b"\0\0\0\x02\0\0\0");
                logged_in = true;
            }
        }
    });
    (port, heard)
}

#[tokio::test]
async fn a_server_that_asks_for_a_file_gets_none() {
    let (port, heard) = impostor(b"\xfb/etc/passwd");
    let url = format!("mysql://u:p@127.0.0.1:{port}/d");
    let target = Target::of(ConnectionKind::Mysql, &url, &url);
    match target.read("SELECT 1").await {
        Err(RunError::Unreachable(why)) => assert!(why.contains("asks for a file"), "{why}"),
        other => panic!("{other:?}"),
    }
    drop(target);
    let heard = heard.join().unwrap();
    // The login, a byte of capabilities among it: 0x80 would offer files.
    assert_eq!(heard[4] & 0x80, 0, "files are never offered");
    assert_eq!(heard[6] & 0x01, 0, "several statements are never offered");
    assert!(!String::from_utf8_lossy(&heard).contains("root:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_before_the_commit_changes_nothing_and_is_told_so() {
    let database = with_accounts();
    let target = Target::mysql(&database);
    let kill = async {
        let of = "information_schema.processlist WHERE info LIKE 'UPDATE accounts%SLEEP%'";
        until("it runs", || database.count(of) == 1).await;
        let id = database.admin(&format!("SELECT id FROM {of}"));
        database.admin(&format!("KILL {}", id.trim()));
    };
    let update = "UPDATE accounts SET name = 'z' WHERE id = 1 OR SLEEP(20)";
    let (answer, ()) = tokio::join!(target.write(update), kill);
    let (_, _, second_wall) = refusal(answer);
    assert!(!second_wall);
    assert_eq!(database.count("accounts WHERE name = 'z'"), 0);
}
