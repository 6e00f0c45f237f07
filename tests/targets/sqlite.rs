//! The same promises on a SQLite file.

use std::time::Instant;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

struct File {
    folder: TempDir,
}

impl File {
    fn with(statements: &str) -> Self {
        let file = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        file.connection().execute_batch(statements).unwrap();
        file
    }

    fn connection(&self) -> Connection {
        Connection::open(self.folder.path().join("db.sqlite")).unwrap()
    }

    fn target(&self) -> Target {
        let url = format!("sqlite:{}", self.folder.path().join("db.sqlite").display());
        Target::of(ConnectionKind::Sqlite, &url, &url)
    }

    fn count(&self) -> i64 {
        self.connection()
            .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
            .unwrap()
    }
}

fn users() -> File {
    File::with(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, score REAL, photo BLOB);
         CREATE INDEX by_email ON users (email);
         INSERT INTO users VALUES (1, 'a@b', 1.5, x'00ff'), (2, NULL, 1e300, NULL);
         CREATE VIEW people AS SELECT email AS contact, upper(email) AS shout FROM users;
         CREATE TABLE pets (owner INTEGER NOT NULL REFERENCES users(id) DEFERRABLE INITIALLY DEFERRED)",
    )
}

#[tokio::test]
async fn sqlite_values_keep_their_storage_class() {
    let file = users();
    let target = file.target();
    let (_, gathered) = target
        .read("SELECT * FROM users ORDER BY id")
        .await
        .unwrap();
    assert_eq!(
        gathered.rows,
        vec![
            vec![number("1"), text("a@b"), number("1.5"), text("\\x00ff")],
            vec![number("2"), Kept::Null, number("1e300"), Kept::Null],
        ]
    );
    assert_eq!(
        target
            .row("SELECT 9223372036854775807, -0.5, 9e999, -9e999, '', x'', CAST(x'c328' AS TEXT), 'é', 2.0")
            .await,
        vec![
            number("9223372036854775807"),
            number("-0.5"),
            text("Infinity"),
            text("-Infinity"),
            text(""),
            text("\\x"),
            text("\\xc328"),
            text("é"),
            number("2.0")
        ]
    );
    let params = vec![
        Param::Number("7".into()),
        Param::Number("1.25".into()),
        Param::Text("it's".into()),
        Param::Bool(true),
        Param::Null,
        Param::Json("[1]".into()),
    ];
    let types = "SELECT ?1, ?2, ?3, ?4, ?5, ?6, typeof(?1) || typeof(?2) || typeof(?3)";
    let (_, gathered) = target.run(Access::Read, types, params).await.unwrap();
    assert_eq!(
        gathered.rows[0],
        vec![
            number("7"),
            number("1.25"),
            text("it's"),
            number("1"),
            Kept::Null,
            text("[1]"),
            text("integerrealtext")
        ]
    );
    let (_, message, _) = refusal(
        target
            .run(Access::Write, "DELETE FROM users WHERE id = ?1", vec![])
            .await,
    );
    assert!(message.contains("1 parameters, 0 were given"), "{message}");
    assert_eq!(file.count(), 2);
}

#[tokio::test]
async fn a_sqlite_column_leads_back_to_its_table_through_aliases_joins_and_views() {
    let file = users();
    let target = file.target();
    let (_, gathered) = target
        .read("SELECT p.contact AS harmless, p.shout, u.id, 1 FROM people p JOIN users u ON u.email = p.contact")
        .await
        .unwrap();
    let origins: Vec<Option<String>> = gathered
        .columns
        .into_iter()
        .map(|column| {
            column.origin.map(|origin| {
                format!(
                    "{}.{}.{}",
                    origin.schema.unwrap(),
                    origin.relation,
                    origin.column
                )
            })
        })
        .collect();
    assert_eq!(
        origins,
        [
            Some("main.users.email".into()),
            None,
            Some("main.users.id".into()),
            None
        ]
    );
}

#[tokio::test]
async fn a_sqlite_write_under_the_read_credential_is_refused_by_the_second_wall() {
    let file = users();
    let target = file.target();
    let elsewhere = file.folder.path().join("elsewhere.sqlite");
    for statement in [
        "DELETE FROM users",
        "INSERT INTO users VALUES (3, '', 0, NULL)",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "DROP TABLE users",
        "PRAGMA user_version = 7",
        "PRAGMA writable_schema = on",
        "PRAGMA journal_mode = delete",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT s",
        "VACUUM",
        "REINDEX",
        "ANALYZE",
        &format!("VACUUM INTO '{}'", elsewhere.display()),
        &format!("ATTACH '{}' AS e", elsewhere.display()),
        "SELECT load_extension('/lib/evil.so')",
        "SELECT fts3_tokenizer('simple')",
    ] {
        let (code, message, wall) = refusal(target.read(statement).await);
        assert!(
            wall || message.contains("no such function"),
            "{statement}: {code} {message}"
        );
    }
    assert_eq!(file.count(), 2);
    assert!(!elsewhere.exists());
    target.read("PRAGMA table_info(users)").await.unwrap();
    target.read("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n").await.unwrap();
}

#[tokio::test]
async fn a_sqlite_change_is_one_transaction_that_reaches_nothing_else() {
    let file = users();
    let target = file.target();
    let (done, gathered) = target
        .write("UPDATE users SET score = 0 RETURNING id")
        .await
        .unwrap();
    assert_eq!((done.affected, gathered.rows.len()), (Some(2), 2));
    assert_eq!(
        target
            .write("CREATE TABLE other (a)")
            .await
            .unwrap()
            .0
            .affected,
        None
    );
    assert_eq!(
        target
            .write("DELETE FROM users WHERE id = 1")
            .await
            .unwrap()
            .0
            .affected,
        Some(1)
    );
    let elsewhere = file.folder.path().join("elsewhere.sqlite");
    for statement in [
        "INSERT INTO pets VALUES (99)",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "DETACH main",
        "PRAGMA foreign_keys = off",
        "PRAGMA writable_schema = on",
        "UPDATE sqlite_schema SET sql = ''",
        "INSERT INTO users VALUES (2, 'twice', 0, NULL)",
        "DELETE FROM users; DELETE FROM pets",
        &format!("ATTACH '{}' AS e", elsewhere.display()),
        &format!("VACUUM INTO '{}'", elsewhere.display()),
    ] {
        let (_, _, wall) = refusal(target.write(statement).await);
        assert!(!wall, "{statement}");
    }
    assert_eq!(file.count(), 1);
    assert!(!elsewhere.exists());
}

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

#[tokio::test]
async fn a_full_sink_the_time_limit_and_a_caller_who_leaves_all_stop_sqlite() {
    let file = users();
    let mut target = file.target();
    let mut sink = Gathered {
        stop_after: Some(10_000),
        ..Gathered::default()
    };
    let began = Instant::now();
    target
        .run_into(Access::Read, ENDLESS, vec![], &mut sink)
        .await
        .unwrap();
    assert_eq!(sink.rows.len(), 10_000);
    target.budget.timeout = Duration::from_millis(200);
    let forever =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let answer = target.read(forever).await;
    assert!(
        matches!(answer, Err(RunError::Cancelled { timeout: true })),
        "{answer:?}"
    );
    let answer = target
        .write(&forever.replace("SELECT max(i)", "INSERT INTO pets SELECT i"))
        .await;
    assert!(refused_or_timed_out(&answer), "{answer:?}");
    let answer = target
        .write("INSERT INTO pets WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
        .await;
    assert!(
        matches!(answer, Err(RunError::Cancelled { timeout: true })),
        "{answer:?}"
    );
    assert_eq!(target.value("SELECT count(*) FROM pets").await, number("0"));
    target.budget.timeout = Duration::from_secs(60);
    let leave = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        target.cancel.cancel();
    };
    let (answer, ()) = tokio::join!(target.read(forever), leave);
    assert!(
        matches!(answer, Err(RunError::Cancelled { timeout: false })),
        "{answer:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}

fn refused_or_timed_out(answer: &Answer) -> bool {
    matches!(
        answer,
        Err(RunError::Refused { .. } | RunError::Cancelled { timeout: true })
    )
}

#[tokio::test]
async fn another_writer_is_waited_for_and_then_named() {
    let file = users();
    let other = file.connection();
    other
        .execute_batch("BEGIN IMMEDIATE; DELETE FROM users")
        .unwrap();
    let mut target = file.target();
    target.budget.timeout = Duration::from_millis(300);
    let answer = target.write("DELETE FROM users").await;
    assert!(
        matches!(&answer, Err(RunError::Cancelled { timeout: true }))
            || matches!(&answer, Err(RunError::Refused { message, .. }) if message.contains("locked")),
        "{answer:?}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(file.count(), 2);
}

#[tokio::test]
async fn a_missing_sqlite_file_is_unreachable_and_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.sqlite");
    let url = path.display().to_string();
    let target = Target::of(ConnectionKind::Sqlite, &url, &url);
    for access in [Access::Read, Access::Write] {
        let answer = target.run(access, "SELECT 1", vec![]).await;
        assert!(
            matches!(answer, Err(RunError::Unreachable(_))),
            "{answer:?}"
        );
    }
    assert!(!path.exists());
    let preview = target
        .targets
        .preview(
            &name(),
            &operation("DELETE FROM t", vec![]),
            Duration::from_secs(1),
        )
        .await;
    assert_eq!(preview.estimated_rows, None);
}
