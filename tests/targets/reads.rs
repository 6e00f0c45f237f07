//! Reads: they change nothing, leave nothing behind and see nothing of each other.

use super::*;
use crate::support::postgres::{Database, database};

async fn backend(target: &Target) -> Kept {
    target.value("SELECT pg_backend_pid()").await
}

async fn with_accounts() -> Database {
    let database = database().await;
    database
        .prepare(
            "CREATE TABLE accounts (id int PRIMARY KEY, name text NOT NULL);
             INSERT INTO accounts VALUES (1, 'one'), (2, 'two');
             CREATE SEQUENCE numbers;
             CREATE FUNCTION sneak() RETURNS int LANGUAGE plpgsql AS
               $$ BEGIN DELETE FROM accounts; RETURN 1; END $$",
        )
        .await;
    database
}

#[tokio::test]
async fn a_write_under_the_read_credential_is_refused_by_the_second_wall() {
    let database = with_accounts().await;
    // Once by the transaction alone, under a credential that could do anything; once by credential and transaction.
    for target in [
        Target::postgres_unguarded(&database),
        Target::postgres(&database),
    ] {
        for statement in [
            "DELETE FROM accounts",
            "UPDATE accounts SET name = 'x' RETURNING *",
            "INSERT INTO accounts VALUES (3, 'three')",
            "WITH gone AS (DELETE FROM accounts RETURNING *) SELECT * FROM gone",
            "SELECT sneak()",
            "SELECT nextval('numbers')",
            "SELECT * INTO copied FROM accounts",
            "CREATE TABLE other (id int)",
            "EXPLAIN ANALYZE DELETE FROM accounts",
            "SELECT * FROM accounts FOR UPDATE",
            "TRUNCATE accounts",
            "DROP TABLE accounts",
        ] {
            let answer = target.read(statement).await;
            let (code, message, second_wall) = refusal(answer);
            // Ownership is looked at before anything else, and says it in its own words.
            assert!(second_wall, "{statement}: {code} {message}");
        }
        assert_eq!(
            target.value("SELECT count(*) FROM accounts").await,
            number("2")
        );
    }
}

#[tokio::test]
async fn whatever_a_read_could_do_is_rolled_back() {
    let database = with_accounts().await;
    let target = Target::postgres_unguarded(&database);
    for statement in [
        "EXPLAIN ANALYZE CREATE TABLE made AS SELECT 1 AS a",
        "SELECT lo_from_bytea(4242, 'x')",
        "SET TRANSACTION READ WRITE",
        "DO $$ BEGIN PERFORM set_config('transaction_read_only', 'off', false); DELETE FROM accounts; END $$",
        "SELECT set_config('transaction_read_only', 'off', false), sneak()",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "ALTER ROLE postgres SET work_mem = '8MB'",
        "NOTIFY someone, 'hello'",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT AND CHAIN",
        "COMMIT AND CHAIN",
        "BEGIN READ WRITE",
        "SAVEPOINT s",
        "PREPARE TRANSACTION 'left'",
    ] {
        // Whether the server minds is its affair.
        let _answer = target.read(statement).await;
        assert_eq!(
            target.value("SELECT count(*) FROM accounts").await,
            number("2"),
            "{statement}"
        );
    }
    let left = target
        .value(
            "SELECT (SELECT count(*) FROM pg_class WHERE relname = 'made')
             + (SELECT count(*) FROM pg_largeobject_metadata WHERE oid = 4242)
             + (SELECT count(*) FROM pg_db_role_setting WHERE setrole = 'postgres'::regrole)",
        )
        .await;
    assert_eq!(left, number("0"));
}

#[tokio::test]
async fn a_second_statement_in_the_text_is_refused_and_neither_runs() {
    let database = with_accounts().await;
    let target = Target::postgres_unguarded(&database);
    for statement in [
        "SELECT 1; SELECT 2",
        "COMMIT; DELETE FROM accounts",
        "SELECT 1; DELETE FROM accounts; --",
        "SELECT 1 AS a$$; DELETE FROM accounts; $$",
    ] {
        for access in [Access::Read, Access::Write] {
            let (code, ..) = refusal(target.run(access, statement, vec![]).await);
            assert_eq!(code, "42601", "{statement}");
        }
    }
    assert_eq!(
        target.value("SELECT count(*) FROM accounts").await,
        number("2")
    );
    assert_eq!(target.value("SELECT 7; -- no more").await, number("7"));
    assert!(
        target
            .read(" -- nothing\n /* here */ ")
            .await
            .unwrap()
            .1
            .rows
            .is_empty()
    );
}

/// Everything of a session that a statement could leave for the next one, as one text.
const SESSION: &str = "SELECT concat_ws('|', current_user, session_user, current_setting('search_path'),
    current_setting('DateStyle'), current_setting('TimeZone'), current_setting('IntervalStyle'),
    current_setting('work_mem'), current_setting('application_name'), current_setting('client_encoding'),
    current_setting('standard_conforming_strings'), current_setting('transaction_read_only'),
    current_setting('default_transaction_read_only'), current_setting('session_replication_role'),
    coalesce(current_setting('my.own', true), ''), current_setting('statement_timeout'), current_setting('lock_timeout'),
    current_setting('lc_monetary'), current_setting('bytea_output'), current_setting('row_security'),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    (SELECT count(*) FROM pg_prepared_statements WHERE name <> ''), (SELECT count(*) FROM pg_cursors WHERE name <> ''),
    (SELECT count(*) FROM pg_listening_channels()), pg_my_temp_schema() <> 0 AND
    EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema()))";

#[tokio::test]
async fn nothing_a_statement_does_to_its_session_is_left_for_the_next_one() {
    let database = with_accounts().await;
    let target = Target::postgres_unguarded(&database);
    let fresh = Target::postgres_unguarded(&database).value(SESSION).await;
    let statements = [
        "SELECT set_config('work_mem', '7MB', false), set_config('my.own', 'x', false)",
        "SELECT set_config('search_path', 'evil', false)",
        "SELECT set_config('role', 'pg_monitor', false)",
        "SELECT set_config('TimeZone', 'Asia/Tokyo', false), set_config('DateStyle', 'German', false)",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SELECT set_config('statement_timeout', '0', false)",
        "SELECT pg_advisory_lock(1), pg_advisory_lock_shared(2), pg_try_advisory_lock(3, 4)",
        "SELECT pg_advisory_lock(1), 1/0",
        "SET work_mem = '7MB'",
        "SET my.own = 'x'",
        "SET ROLE pg_monitor",
        "SET SESSION AUTHORIZATION pg_monitor",
        "SET standard_conforming_strings = off",
        "SET client_encoding = LATIN1",
        "SET session_replication_role = replica",
        "RESET search_path",
        "LISTEN something",
        "PREPARE kept AS DELETE FROM accounts",
        "DECLARE kept CURSOR WITH HOLD FOR SELECT 1",
        "CREATE TEMP TABLE accounts (id int)",
        "SELECT 1 AS id INTO TEMP accounts",
        "DO $$ BEGIN EXECUTE 'PREPARE kept AS SELECT 1'; END $$",
        "DISCARD ALL",
        "LOAD 'plpgsql'",
    ];
    for access in [Access::Read, Access::Write] {
        for statement in statements {
            let _answer = target.run(access, statement, vec![]).await;
            for next in [Access::Read, Access::Write] {
                let fresh = match next {
                    Access::Read => fresh.clone(),
                    Access::Write => match &fresh {
                        Kept::Text(session) => {
                            text(&session.replacen("|on|on|on|", "|on|off|off|", 1))
                        }
                        other => panic!("{other:?}"),
                    },
                };
                let (_, gathered) = target.run(next, SESSION, vec![]).await.unwrap();
                assert_eq!(gathered.rows[0][0], fresh, "after {access:?} {statement}");
            }
        }
    }
}

#[tokio::test]
async fn a_plain_read_gives_its_connection_to_the_next() {
    let target = Target::postgres(&with_accounts().await);
    let first = backend(&target).await;
    target.read("SELECT * FROM accounts").await.unwrap();
    refusal(target.read("SELECT * FROM nowhere").await);
    refusal(target.read("SELECT 1/0").await);
    refusal(target.read("/* a */ SELECT 1/0").await);
    assert_eq!(backend(&target).await, first);
}

#[tokio::test]
async fn an_error_carries_code_message_detail_hint_and_context() {
    let database = with_accounts().await;
    let target = Target::postgres(&database);
    let (code, message, wall) = refusal(
        target
            .write("INSERT INTO accounts VALUES (1, 'again')")
            .await,
    );
    assert_eq!(code, "23505");
    assert!(!wall);
    assert!(
        message.contains("accounts_pkey")
            && message.contains("DETAIL: Key (id)=(1) already exists."),
        "{message}"
    );
    let (code, message, _) = refusal(target.read("SELECT nam FROM accounts").await);
    assert_eq!(code, "42703");
    assert!(message.contains("HINT: Perhaps you meant"), "{message}");
    let raised = "DO $$ BEGIN RAISE EXCEPTION 'no' USING DETAIL = 'more', HINT = 'try', ERRCODE = 'P0042'; END $$";
    let (code, message, _) = refusal(target.write(raised).await);
    assert_eq!(code, "P0042");
    assert!(
        message.contains("no\nDETAIL: more\nHINT: try\nCONTEXT: PL/pgSQL"),
        "{message}"
    );
}

#[tokio::test]
async fn notices_reach_the_sink_in_full() {
    let target = Target::postgres(&with_accounts().await);
    let (_, gathered) = target
        .write("DO $$ BEGIN RAISE NOTICE 'seen %', 1 USING HINT = 'so'; RAISE WARNING 'careful'; END $$")
        .await
        .unwrap();
    assert_eq!(gathered.notices.len(), 2);
    assert!(
        gathered.notices[0].starts_with("NOTICE: seen 1\nHINT: so"),
        "{:?}",
        gathered.notices
    );
    assert!(gathered.notices[1].starts_with("WARNING: careful"));
}

#[tokio::test]
async fn a_table_that_changes_between_two_reads_is_read_as_it_is_now() {
    let database = with_accounts().await;
    let target = Target::postgres(&database);
    let all = "SELECT * FROM accounts ORDER BY id";
    assert_eq!(target.read(all).await.unwrap().1.columns.len(), 2);
    let owner = database.owner().await;
    owner
        .batch_execute("ALTER TABLE accounts ADD secret text DEFAULT 's'")
        .await
        .unwrap();
    // A column is not shown before its origin is known.
    let (_, gathered) = target.read(all).await.unwrap();
    assert_eq!(gathered.columns.len(), 3);
    assert_eq!(
        gathered.columns[2].origin.as_ref().unwrap().column,
        "secret"
    );
    assert_eq!(gathered.rows.len(), 2);
}

#[tokio::test]
async fn text_in_another_encoding_is_refused_rather_than_misread() {
    let target = Target::postgres(&with_accounts().await);
    let answer = target
        .read("SELECT set_config('client_encoding', 'LATIN1', false), 'é'")
        .await;
    let (_, message, _) = refusal(answer);
    assert!(message.contains("UTF-8"), "{message}");
    assert_eq!(target.value("SELECT 'é'").await, text("é"));
}

#[tokio::test]
async fn a_copy_stream_is_refused_with_the_reason() {
    let database = with_accounts().await;
    let target = Target::postgres(&database);
    for (access, statement) in [
        (Access::Read, "COPY accounts TO STDOUT"),
        (Access::Write, "COPY accounts FROM STDIN"),
        (
            Access::Write,
            "COPY (DELETE FROM accounts RETURNING *) TO STDOUT",
        ),
    ] {
        let (_, message, _) = refusal(target.run(access, statement, vec![]).await);
        assert!(message.contains("COPY"), "{message}");
        assert_eq!(
            target.value("SELECT count(*) FROM accounts").await,
            number("2")
        );
    }
}
