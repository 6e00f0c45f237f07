//! Effects: in one transaction, once, and known for what they were.

use super::*;
use crate::support::postgres::{Database, database};

async fn with_accounts() -> Database {
    let database = database().await;
    database
        .prepare(
            "CREATE TABLE accounts (id int PRIMARY KEY, name text NOT NULL);
             INSERT INTO accounts SELECT n, 'name ' || n FROM generate_series(1, 100) n;
             CREATE TABLE later (id int REFERENCES accounts DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    database
}

#[tokio::test]
async fn a_change_says_how_many_rows_it_changed() {
    let target = Target::postgres(&with_accounts().await);
    for (statement, affected) in [
        (
            "INSERT INTO accounts VALUES (101, 'a'), (102, 'b')",
            Some(2),
        ),
        ("UPDATE accounts SET name = 'x' WHERE id <= 10", Some(10)),
        ("DELETE FROM accounts WHERE id = 1000", Some(0)),
        ("DELETE FROM accounts WHERE id > 90", Some(12)),
        (
            "MERGE INTO accounts a USING (VALUES (1, 'm')) v(id, name) ON a.id = v.id WHEN MATCHED THEN UPDATE SET name = v.name",
            Some(1),
        ),
        ("CREATE TABLE other (id int)", None),
        ("SELECT 1", None),
        ("TRUNCATE other", None),
    ] {
        assert_eq!(
            target.write(statement).await.unwrap().0.affected,
            affected,
            "{statement}"
        );
    }
    assert_eq!(
        target
            .value("SELECT count(*) FROM accounts WHERE name = 'x'")
            .await,
        number("9")
    );
}

#[tokio::test]
async fn rows_a_change_returns_reach_the_sink_and_a_full_sink_does_not_stop_the_change() {
    let target = Target::postgres(&with_accounts().await);
    let mut sink = Gathered {
        stop_after: Some(3),
        ..Gathered::default()
    };
    let completion = target
        .run_into(
            Access::Write,
            "UPDATE accounts SET name = 'y' RETURNING id, name",
            vec![],
            &mut sink,
        )
        .await
        .unwrap();
    assert_eq!((completion.affected, sink.rows.len()), (Some(100), 3));
    assert_eq!(
        target
            .value("SELECT count(*) FROM accounts WHERE name = 'y'")
            .await,
        number("100")
    );
}

#[tokio::test]
async fn a_change_that_fails_leaves_nothing_of_itself() {
    let target = Target::postgres(&with_accounts().await);
    let (code, ..) = refusal(target.write("UPDATE accounts SET id = id % 50").await);
    assert_eq!(code, "23505");
    let (code, ..) = refusal(target.write("INSERT INTO later VALUES (5000)").await);
    assert_eq!(
        code, "23503",
        "a constraint checked at the commit refuses as any other"
    );
    assert_eq!(
        target.value("SELECT count(*) FROM later").await,
        number("0")
    );
    let (code, _, wall) = refusal(target.write("CREATE ROLE someone").await);
    assert_eq!((&*code, wall), ("42501", false));
}

#[tokio::test]
async fn what_postgresql_runs_outside_transactions_only_is_run_there_once() {
    let target = Target::postgres(&with_accounts().await);
    target.write("VACUUM accounts").await.unwrap();
    target
        .write("-- note\nCREATE INDEX CONCURRENTLY named ON accounts (name)")
        .await
        .unwrap();
    target
        .write("REINDEX INDEX CONCURRENTLY named")
        .await
        .unwrap();
    assert_eq!(
        target
            .value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'named'::regclass")
            .await,
        Kept::Bool(true)
    );
    let (code, ..) = refusal(target.write("CREATE DATABASE nope").await);
    assert_eq!(code, "42501");
    target
        .write("UPDATE accounts SET name = 'same'")
        .await
        .unwrap();
    match target
        .write("CREATE UNIQUE INDEX CONCURRENTLY invalid ON accounts (name)")
        .await
    {
        Err(RunError::Unknown(why)) => assert!(why.contains("23505"), "{why}"),
        other => panic!("an invalid index is left, and it is not said: {other:?}"),
    }
}

#[tokio::test]
async fn a_failure_inside_a_function_is_never_run_a_second_time() {
    let database = with_accounts().await;
    database
        .prepare(
            "CREATE SEQUENCE calls;
             CREATE FUNCTION pretends() RETURNS int LANGUAGE plpgsql AS
               $$ BEGIN PERFORM nextval('calls'); RAISE EXCEPTION 'no' USING ERRCODE = '25001'; END $$",
        )
        .await;
    let target = Target::postgres(&database);
    let (code, ..) = refusal(target.write("SELECT pretends()").await);
    assert_eq!(code, "25001");
    let admin = Target::postgres_unguarded(&database);
    assert_eq!(
        admin.value("SELECT last_value FROM calls").await,
        number("1")
    );
}

#[tokio::test]
async fn a_transaction_statement_as_the_effect_ends_nothing_but_itself() {
    let target = Target::postgres(&with_accounts().await);
    for statement in [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "COMMIT AND CHAIN",
        "SAVEPOINT s",
        "END",
        "SET TRANSACTION READ ONLY",
        "SET CONSTRAINTS ALL DEFERRED",
        "LOCK TABLE accounts",
        "RELEASE s",
        "ROLLBACK TO s",
        "DISCARD ALL",
    ] {
        let _answer = target.write(statement).await;
        let changed = target
            .write("UPDATE accounts SET name = name WHERE id = 1")
            .await
            .unwrap();
        assert_eq!(changed.0.affected, Some(1), "after {statement}");
    }
    let (code, ..) = refusal(target.write("DO $$ BEGIN COMMIT; END $$").await);
    assert_eq!(code, "2D000", "a block cannot commit a part of itself");
}

#[tokio::test]
async fn a_connection_lost_before_the_commit_is_known_to_have_changed_nothing() {
    let database = with_accounts().await;
    let target = Target::postgres(&database);
    let killer = async {
        let admin = database.admin().await;
        loop {
            let killed = admin
                .query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event = 'PgSleep'",
                    &[],
                )
                .await
                .unwrap();
            if !killed.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let change =
        "WITH gone AS (DELETE FROM accounts RETURNING id) SELECT count(*), pg_sleep(60) FROM gone";
    let (answer, ()) = tokio::join!(target.write(change), killer);
    let (code, message, _) = refusal(answer);
    assert_eq!(code, "57P01", "{message}");
    assert_eq!(
        target.value("SELECT count(*) FROM accounts").await,
        number("100")
    );
}

#[tokio::test]
async fn an_idle_connection_the_server_closed_is_replaced_unnoticed() {
    let database = with_accounts().await;
    let target = Target::postgres(&database);
    target.read("SELECT 1").await.unwrap();
    let admin = database.admin().await;
    admin
        .query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'portcullis'",
            &[],
        )
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    target.read("SELECT 2").await.unwrap();
}

#[tokio::test]
async fn a_preview_estimates_and_changes_nothing() {
    let database = with_accounts().await;
    database
        .prepare("INSERT INTO accounts SELECT n, 'more' FROM generate_series(1001, 2000) n; ANALYZE accounts")
        .await;
    let target = Target::postgres(&database);
    let preview = |sql: &str, params: Vec<Param>| {
        let operation = operation(sql, params);
        let target = &target;
        async move {
            target
                .targets
                .preview(&name(), &operation, Duration::from_secs(5))
                .await
        }
    };
    for (statement, rows) in [
        ("DELETE FROM accounts", 1100),
        ("SELECT * FROM accounts", 1100),
        ("/* why */ UPDATE accounts SET name = 'x' WHERE id = 7", 1),
        ("INSERT INTO later SELECT id FROM accounts", 1100),
    ] {
        let found = preview(statement, vec![]).await;
        if statement.starts_with("INSERT") {
            // The read credential may not plan it, and there is no table to look for the rows in.
            assert!(found.note.contains("42501"), "{found:?}");
        } else {
            assert_eq!(
                found.estimated_rows,
                Some(rows),
                "{statement}: {}",
                found.note
            );
        }
    }
    let found = preview(
        "UPDATE accounts a SET name = $1 FROM later l WHERE l.id = a.id AND a.id = $2",
        vec![Param::Text("x".into()), Param::Number("3".into())],
    )
    .await;
    assert!(found.estimated_rows.is_some(), "{}", found.note);
    for statement in [
        "ANALYZE",
        "EXPLAIN ANALYZE DELETE FROM accounts",
        "ANALYZE DELETE FROM accounts",
        "(ANALYZE) DELETE FROM accounts",
        "DELETE FROM accounts; DELETE FROM later",
        "DELETE FROM nowhere WHERE secret = 'hunter2'",
        "DROP TABLE accounts",
        "DELETE FROM accounts WHERE id = $1",
    ] {
        let found = preview(statement, vec![]).await;
        assert_eq!(found.estimated_rows, None, "{statement}");
        assert!(
            !found.note.contains("nowhere") && !found.note.contains("hunter2"),
            "{}",
            found.note
        );
    }
    assert_eq!(
        target.value("SELECT count(*) FROM accounts").await,
        number("1100")
    );
    let admin = Target::postgres_unguarded(&database);
    let operation = operation(
        "INSERT INTO later SELECT id FROM accounts WHERE id <= $1",
        vec![Param::Number("50".into())],
    );
    let found = admin
        .targets
        .preview(&name(), &operation, Duration::from_secs(5))
        .await;
    assert!(
        found.estimated_rows.is_some_and(|rows| rows > 1),
        "{found:?}"
    );
    assert_eq!(
        target.value("SELECT count(*) FROM later").await,
        number("0")
    );
}
