//! How a change's transaction ends: committed, committed only up to so many rows, or rolled back whatever it did.

use super::*;
use crate::support::postgres::database;

const AT_MOST_TEN: Ending = Ending::Commit { at_most: Some(10) };

/// A hundred accounts, in a PostgreSQL database and in a SQLite file; what keeps them alive comes with each.
async fn targets() -> Vec<(&'static str, Target, Box<dyn std::any::Any>)> {
    let database = database().await;
    database
        .prepare(
            "CREATE TABLE accounts (id int PRIMARY KEY, name text NOT NULL);
             INSERT INTO accounts SELECT n, 'name ' || n FROM generate_series(1, 100) n;
             CREATE TABLE later (id int REFERENCES accounts DEFERRABLE INITIALLY DEFERRED);
             CREATE TABLE entries (account int REFERENCES accounts ON DELETE CASCADE);
             INSERT INTO entries SELECT 1 + n % 100 FROM generate_series(1, 2000) n;
             CREATE TABLE logged (id int);
             CREATE TABLE log (id int);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO log SELECT new.id FROM generate_series(1, 20); RETURN new; END $$;
             CREATE TRIGGER noted AFTER INSERT ON logged FOR EACH ROW EXECUTE FUNCTION note();
             CREATE CONSTRAINT TRIGGER noted_late AFTER UPDATE ON logged DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION note();
             INSERT INTO logged VALUES (1)",
        )
        .await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE accounts (id integer PRIMARY KEY, name text NOT NULL);
             WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100)
             INSERT INTO accounts SELECT n, 'name ' || n FROM s;
             CREATE TABLE later (id int REFERENCES accounts DEFERRABLE INITIALLY DEFERRED);
             CREATE TABLE entries (account int REFERENCES accounts ON DELETE CASCADE);
             INSERT INTO entries SELECT a.id FROM accounts a, accounts b WHERE b.id <= 20;
             CREATE TABLE logged (id int);
             CREATE TABLE log (id int);
             CREATE TRIGGER noted AFTER INSERT ON logged BEGIN
                 INSERT INTO log SELECT new.id FROM accounts WHERE id <= 20; END",
        )
        .unwrap();
    let url = format!("sqlite:{}", path.display());
    vec![
        (
            "postgres",
            Target::postgres(&database),
            Box::new(database) as _,
        ),
        (
            "sqlite",
            Target::of(ConnectionKind::Sqlite, &url, &url),
            Box::new(directory) as _,
        ),
    ]
}

#[tokio::test]
async fn what_is_rolled_back_says_what_it_would_have_done_and_leaves_nothing_of_it() {
    for (kind, target, _alive) in targets().await {
        let (completion, gathered) = target
            .change(
                Ending::RollBack,
                "UPDATE accounts SET name = 'x' WHERE id <= 40 RETURNING name",
            )
            .await
            .unwrap();
        assert_eq!(completion.affected, Some(40), "{kind}");
        assert_eq!(gathered.rows.len(), 40, "{kind}");
        assert!(
            gathered.rows.iter().all(|row| *row == [text("x")]),
            "{kind}"
        );
        let left = target.value("SELECT count(*) FROM accounts WHERE name = 'x'");
        assert_eq!(left.await, number("0"), "{kind}");
    }
}

#[tokio::test]
async fn a_change_of_more_rows_than_agreed_is_rolled_back_and_says_how_many() {
    for (kind, target, _alive) in targets().await {
        let few = target
            .change(AT_MOST_TEN, "UPDATE accounts SET name = 'x' WHERE id <= 10")
            .await;
        assert_eq!(few.unwrap().0.affected, Some(10), "{kind}");
        let many = target
            .change(AT_MOST_TEN, "UPDATE accounts SET name = 'x' WHERE id > 89")
            .await;
        let refused = matches!(
            many,
            Err(RunError::TooMany {
                affected: 11,
                at_most: 10
            })
        );
        assert!(refused, "{kind}: {many:?}");
        let left = target.value("SELECT count(*) FROM accounts WHERE name = 'x'");
        assert_eq!(left.await, number("10"), "{kind}");
    }
}

/// Whatever the statement's own count leaves out.
#[tokio::test]
async fn every_row_that_a_change_brings_about_counts_against_what_was_agreed() {
    for (kind, target, _alive) in targets().await {
        let cascading = ("DELETE FROM accounts WHERE id = 1", 21);
        let triggering = ("INSERT INTO logged VALUES (2)", 21);
        let mut hidden = vec![cascading, triggering];
        if kind == "postgres" {
            hidden.extend([
                ("UPDATE logged SET id = 3", 21),
                (
                    "WITH gone AS (DELETE FROM accounts WHERE id > 1 RETURNING id) SELECT count(*) FROM gone",
                    2079,
                ),
                (
                    "WITH gone AS (DELETE FROM accounts WHERE id > 98 RETURNING id) UPDATE accounts SET name = 'x' WHERE id = 1",
                    43,
                ),
                (
                    "DO $$ BEGIN DELETE FROM entries; UPDATE accounts SET name = 'x'; END $$",
                    2100,
                ),
            ]);
        }
        for (statement, rows) in hidden {
            let refused = target.change(AT_MOST_TEN, statement).await;
            let all = matches!(
                refused,
                Err(RunError::TooMany { affected, at_most: 10 }) if affected == rows
            );
            assert!(all, "{kind}: {statement}: {refused:?}");
            let all = Ending::Commit {
                at_most: Some(rows),
            };
            let tried = target.change(Ending::RollBack, statement).await.unwrap();
            assert_eq!(tried.0.changed, Some(rows), "{kind}: {statement}");
            let left = target.value("SELECT count(*) FROM accounts");
            assert_eq!(left.await, number("100"), "{kind}: {statement}");
            if (statement, rows) == cascading {
                let (done, _) = target.change(all, statement).await.unwrap();
                let counts = (done.affected, done.changed);
                assert_eq!(counts, (Some(1), Some(rows)), "{kind}");
                let back = "INSERT INTO accounts SELECT 1, 'back'";
                target.write(back).await.unwrap();
                let left = "INSERT INTO entries SELECT 1 FROM accounts WHERE id <= 20";
                target.write(left).await.unwrap();
            }
        }
        let left = target.value("SELECT count(*) FROM log").await;
        let before = if kind == "postgres" { "20" } else { "0" };
        assert_eq!(left, number(before), "{kind}");
    }
}

#[tokio::test]
async fn what_was_changed_before_on_the_same_connection_counts_for_nothing() {
    let (_, target, _alive) = targets().await.remove(0);
    for _ in 0..3 {
        let (done, _) = target
            .change(AT_MOST_TEN, "UPDATE accounts SET name = 'y' WHERE id <= 9")
            .await
            .unwrap();
        assert_eq!(done.changed, Some(9));
    }
}

#[tokio::test]
async fn what_nobody_counts_is_not_committed_under_a_limit() {
    let database = database().await;
    database
        .prepare("CREATE TABLE accounts AS SELECT 1 AS id")
        .await;
    let admin = database.admin().await;
    let uncounted = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_counts = off', current_database()); END $$";
    admin.batch_execute(uncounted).await.unwrap();
    let target = Target::postgres(&database);
    let delete = target.change(AT_MOST_TEN, "DELETE FROM accounts").await;
    let (_, message, _) = refusal(delete);
    assert!(message.contains("at most 10 rows"), "{message}");
    let left = target.value("SELECT count(*) FROM accounts");
    assert_eq!(left.await, number("1"));
    let tried = target.change(Ending::RollBack, "DELETE FROM accounts");
    assert_eq!(tried.await.unwrap().0.changed, None);
}

#[tokio::test]
async fn what_cannot_be_rolled_back_is_not_begun() {
    let (_, target, _alive) = targets().await.remove(0);
    for ending in [Ending::RollBack, AT_MOST_TEN] {
        let (_, message, _) = refusal(target.change(ending, "VACUUM accounts").await);
        assert!(message.contains("it was not run"), "{message}");
    }
}

#[tokio::test]
async fn a_rolled_back_change_meets_the_constraints_its_commit_would_have_met() {
    for (kind, target, _alive) in targets().await {
        let insert = "INSERT INTO later VALUES (5000)";
        let (code, ..) = refusal(target.change(Ending::RollBack, insert).await);
        let foreign_key = if kind == "postgres" {
            "23503"
        } else {
            "SQLITE 787"
        };
        assert_eq!(code, foreign_key, "{kind}");
        let insert = "INSERT INTO later VALUES (50)";
        let (done, _) = target.change(Ending::RollBack, insert).await.unwrap();
        assert_eq!(done.affected, Some(1), "{kind}");
        let left = target.value("SELECT count(*) FROM later");
        assert_eq!(left.await, number("0"), "{kind}");
    }
}

#[tokio::test]
async fn what_is_rolled_back_does_not_wait_long_for_a_lock() {
    let (_, target, _alive) = targets().await.remove(0);
    let held =
        "WITH held AS (SELECT id FROM accounts FOR UPDATE) SELECT pg_sleep(4), count(*) FROM held";
    let holding = target.change(Ending::Commit { at_most: None }, held);
    let rehearsing = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        target
            .change(Ending::RollBack, "DELETE FROM accounts")
            .await
    };
    let (held, refused) = tokio::join!(holding, rehearsing);
    held.unwrap();
    assert_eq!(refusal(refused).0, "55P03");
}
