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
             CREATE TABLE later (id int REFERENCES accounts DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE accounts (id integer PRIMARY KEY, name text NOT NULL);
             WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100)
             INSERT INTO accounts SELECT n, 'name ' || n FROM s",
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
            .change(AT_MOST_TEN, "DELETE FROM accounts WHERE id > 89")
            .await;
        let refused = matches!(
            many,
            Err(RunError::TooMany {
                affected: 11,
                at_most: 10
            })
        );
        assert!(refused, "{kind}: {many:?}");
        let left = target.value("SELECT count(*) FROM accounts");
        assert_eq!(left.await, number("100"), "{kind}");
    }
}

#[tokio::test]
async fn what_nobody_counts_is_not_committed_under_a_limit() {
    let (kind, target, _alive) = targets().await.remove(0);
    let hidden = "WITH gone AS (DELETE FROM accounts RETURNING id) SELECT count(*) FROM gone";
    let (_, message, _) = refusal(target.change(AT_MOST_TEN, hidden).await);
    assert!(message.contains("at most 10 rows"), "{kind}: {message}");
    let left = target.value("SELECT count(*) FROM accounts");
    assert_eq!(left.await, number("100"));
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
    let (_, target, _alive) = targets().await.remove(0);
    let insert = "INSERT INTO later VALUES (5000)";
    let (code, ..) = refusal(target.change(Ending::RollBack, insert).await);
    assert_eq!(code, "23503");
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
