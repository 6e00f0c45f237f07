//! Time, rows, memory and connections have bounds, and whoever stops leaves nothing running.

use std::{io::Read as _, net::TcpListener, time::Instant};

use super::*;
use crate::support::postgres::{Database, database};

/// Statements other than the one that asks, which the product's connections are running.
async fn running(database: &Database) -> i64 {
    let admin = database.admin().await;
    let row = admin
        .query_one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND application_name = 'portcullis' AND state <> 'idle'",
            &[],
        )
        .await
        .unwrap();
    row.get(0)
}

async fn soon_nothing_runs(database: &Database) {
    let began = Instant::now();
    while running(database).await > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "a statement was left running"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const ENDLESS: &str = "SELECT n, repeat('x', 100) FROM generate_series(1, 10000000) n";

#[tokio::test]
async fn a_full_sink_stops_a_long_result_at_once() {
    let database = database().await;
    let target = Target::postgres(&database);
    target.read("SELECT 1").await.unwrap();
    let began = Instant::now();
    let mut sink = Gathered {
        stop_after: Some(1000),
        ..Gathered::default()
    };
    let endless = "SELECT a.n, b.n FROM generate_series(1, 1000) a(n), LATERAL (SELECT generate_series(1, 100000) n) b";
    target
        .run_into(Access::Read, endless, vec![], &mut sink)
        .await
        .unwrap();
    assert_eq!(sink.rows.len(), 1000);
    assert_eq!(sink.rows[999], vec![number("1"), number("1000")]);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    soon_nothing_runs(&database).await;
    target.read("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_result_of_a_million_rows_takes_the_memory_of_one() {
    let target = Target::postgres(&database().await);
    target.read("SELECT 1").await.unwrap();
    let before = resident_kib();
    let mut sink = Gathered {
        drop_rows: true,
        stop_after: Some(1_000_000),
        ..Gathered::default()
    };
    target
        .run_into(Access::Read, ENDLESS, vec![], &mut sink)
        .await
        .unwrap();
    assert_eq!(sink.taken, 1_000_000);
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 20 << 10, "grew by {grown} KiB");
}

#[tokio::test]
async fn a_row_beyond_all_bounds_is_refused_before_it_is_fetched() {
    let mut target = Target::postgres(&database().await);
    target.budget.bytes = 1 << 20;
    let (_, message, _) = refusal(target.read("SELECT repeat('x', 100000000)").await);
    assert!(message.contains("one row of the result"), "{message}");
    target.read("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_statement_is_cancelled_at_its_time_limit() {
    let database = database().await;
    let target = Target::postgres(&database).timeout(300);
    for access in [Access::Read, Access::Write] {
        let began = Instant::now();
        let answer = target.run(access, "SELECT pg_sleep(60)", vec![]).await;
        assert!(
            matches!(answer, Err(RunError::Cancelled { timeout: true })),
            "{answer:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(3));
        soon_nothing_runs(&database).await;
    }
}

#[tokio::test]
async fn a_statement_that_lifts_its_own_time_limit_is_cancelled_all_the_same() {
    let database = database().await;
    let target = Target::postgres(&database).timeout(300);
    for statement in [
        "SELECT set_config('statement_timeout', '0', true), pg_sleep(60)",
        "DO $$ BEGIN PERFORM set_config('statement_timeout', '0', false); PERFORM pg_sleep(60); END $$",
    ] {
        let answer = target.write(statement).await;
        assert!(
            matches!(answer, Err(RunError::Cancelled { timeout: true })),
            "{answer:?}"
        );
        soon_nothing_runs(&database).await;
    }
}

#[tokio::test]
async fn a_caller_who_leaves_stops_the_statement_at_the_server() {
    let database = database().await;
    database
        .prepare("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
        .await;
    for (access, statement) in [
        (Access::Read, "SELECT pg_sleep(60)"),
        (
            Access::Write,
            "WITH gone AS (DELETE FROM t RETURNING id) SELECT pg_sleep(60) FROM gone",
        ),
    ] {
        let target = Target::postgres(&database);
        let leave = async {
            while running(&database).await == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            target.cancel.cancel();
        };
        let (answer, ()) = tokio::join!(target.run(access, statement, vec![]), leave);
        assert!(
            matches!(answer, Err(RunError::Cancelled { timeout: false })),
            "{answer:?}"
        );
        soon_nothing_runs(&database).await;
    }
    let target = Target::postgres(&database);
    assert_eq!(target.value("SELECT count(*) FROM t").await, number("1"));
    target.cancel.cancel();
    let answer = target.write("DELETE FROM t").await;
    assert!(matches!(
        answer,
        Err(RunError::Cancelled { timeout: false })
    ));
}

#[tokio::test]
async fn an_execution_that_is_dropped_stops_the_statement_at_the_server() {
    let database = database().await;
    database
        .prepare("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
        .await;
    let target = Target::postgres(&database);
    for (access, statement) in [
        (Access::Read, "SELECT pg_sleep(60)"),
        (
            Access::Write,
            "WITH gone AS (DELETE FROM t RETURNING id) SELECT pg_sleep(60) FROM gone",
        ),
    ] {
        let seen = async {
            while running(&database).await == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answer = target.run(access, statement, vec![]) => panic!("{answer:?}"),
            () = seen => {}
        }
        soon_nothing_runs(&database).await;
    }
    assert_eq!(target.value("SELECT count(*) FROM t").await, number("1"));
}

#[tokio::test]
async fn a_statement_that_waits_for_a_lock_gives_up_at_its_time_limit() {
    let database = database().await;
    database.prepare("CREATE TABLE t (id int)").await;
    let owner = database.owner().await;
    owner.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let target = Target::postgres(&database).timeout(300);
    for access in [Access::Read, Access::Write] {
        let began = Instant::now();
        let answer = target.run(access, "SELECT * FROM t", vec![]).await;
        assert!(
            matches!(&answer, Err(RunError::Cancelled { timeout: true }))
                || matches!(&answer, Err(RunError::Refused { code: Some(code), .. }) if code == "55P03"),
            "{answer:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(3));
    }
    soon_nothing_runs(&database).await;
}

#[tokio::test]
async fn more_than_the_pool_holds_wait_and_all_are_served() {
    let database = database().await;
    let target = Target::postgres(&database);
    let many = (0..100).map(|number| {
        let target = &target;
        async move {
            target
                .value(&format!(
                    "SELECT {number} + 0 * length(pg_sleep(0.01)::text)"
                ))
                .await
        }
    });
    let answers = futures_util::future::join_all(many).await;
    for (expected, answer) in answers.iter().enumerate() {
        assert_eq!(*answer, number(&expected.to_string()));
    }
    let admin = database.admin().await;
    let row = admin
        .query_one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'portcullis'",
            &[],
        )
        .await
        .unwrap();
    assert!(row.get::<_, i64>(0) <= 16);
}

#[tokio::test]
async fn a_new_policy_keeps_the_connections_of_what_stays_and_drains_what_goes() {
    let database = database().await;
    let target = Target::postgres(&database);
    let endpoint = |access, url: String| TargetEndpoint {
        name: name(),
        kind: ConnectionKind::Postgres,
        access,
        endpoint: Endpoint::url(url),
    };
    let pid = target.value("SELECT pg_backend_pid()").await;
    let long = target.write("SELECT pg_sleep(0.5)");
    let change = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        target
            .targets
            .configure(vec![endpoint(Access::Read, database.read_url())])
            .unwrap();
        let refused = target.write("SELECT 1").await;
        assert!(
            matches!(&refused, Err(RunError::Unreachable(why)) if why.contains("no write credential"))
        );
    };
    let (finished, ()) = tokio::join!(long, change);
    finished.unwrap();
    assert_eq!(target.value("SELECT pg_backend_pid()").await, pid);
    let bad = target.targets.configure(vec![endpoint(
        Access::Read,
        "postgres://u:hunter2@h/d?sslmode=disable".into(),
    )]);
    let message = format!("{} {:?}", bad.as_ref().unwrap_err(), bad);
    assert!(
        message.contains("`db`, read credential") && !message.contains("hunter2"),
        "{message}"
    );
    assert_eq!(
        target.value("SELECT pg_backend_pid()").await,
        pid,
        "a bad policy changes nothing"
    );
    assert!(
        !format!(
            "{:?} {:?}",
            target.targets,
            endpoint(Access::Read, database.read_url())
        )
        .contains("p%2Fw")
    );
}

#[tokio::test]
async fn a_server_that_is_down_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("postgres://u:hunter2@127.0.0.1:{port}/d");
    let target = Target::of(ConnectionKind::Postgres, &url, &url);
    for access in [Access::Read, Access::Write] {
        match target.run(access, "SELECT 1", vec![]).await {
            Err(RunError::Unreachable(why)) => {
                assert!(why.contains("refused") && !why.contains("hunter2"), "{why}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let database = database().await;
    let wrong = database.read_url().replace("p%2Fw", "hunter2");
    let target = Target::of(ConnectionKind::Postgres, &wrong, &wrong);
    match target.read("SELECT 1").await {
        Err(RunError::Unreachable(why)) => {
            assert!(why.contains("28P01") && !why.contains("hunter2"), "{why}");
            assert!(!why.contains(&database.reader), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_caller_can_leave_while_a_silent_server_is_being_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://u:p@127.0.0.1:{}/d",
        listener.local_addr().unwrap().port()
    );
    let target = Target::of(ConnectionKind::Postgres, &url, &url);
    let silent = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        heard
    });
    let leave = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        target.cancel.cancel();
    };
    let (answer, ()) = tokio::join!(target.write("DELETE FROM t"), leave);
    assert!(
        matches!(answer, Err(RunError::Cancelled { timeout: false })),
        "{answer:?}"
    );
    let heard = silent.join().unwrap();
    assert!(
        !heard.windows(6).any(|part| part == b"DELETE"),
        "nothing was sent before the login"
    );
}
