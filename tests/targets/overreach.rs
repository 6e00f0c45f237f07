//! What a read credential could do beyond reading, found on real servers, mended as told, and found no more.

use std::collections::BTreeSet;

use portcullis::{
    domain::connection::{Access, ConnectionKind},
    gateway::ports::RunError,
    targets::Overreach,
};

use super::{Target, name};
use crate::support::{
    mariadb,
    postgres::{self, Database},
};

impl Target {
    async fn overreach(&self) -> Vec<Overreach> {
        self.targets.overreach(&name()).await.unwrap()
    }
}

/// Everything a role for reading should not have, on a database with awkward names. `{reader}` is the role, `{of}` makes
/// names of the whole server this database's own.
const TOO_MUCH: &str = r#"
ALTER ROLE {reader} CREATEDB CREATEROLE REPLICATION BYPASSRLS;
CREATE ROLE "Writers {of}"; CREATE ROLE chief_{of} SUPERUSER; GRANT chief_{of} TO "Writers {of}";
GRANT "Writers {of}" TO {reader}; GRANT pg_write_all_data, pg_signal_backend TO {reader};
CREATE SCHEMA "Sales, 2026";
CREATE TABLE "Sales, 2026"."order; DROP" (id integer, total integer);
CREATE TABLE plain (id serial, note text);
CREATE VIEW shown AS SELECT note FROM plain;
GRANT USAGE, CREATE ON SCHEMA "Sales, 2026" TO {reader};
GRANT SELECT, INSERT, TRUNCATE ON ALL TABLES IN SCHEMA "Sales, 2026" TO {reader};
GRANT SELECT ON plain, shown TO {reader};
GRANT UPDATE (note) ON plain TO PUBLIC; GRANT DELETE ON shown TO PUBLIC; GRANT TRIGGER, REFERENCES ON plain TO {reader};
GRANT UPDATE ON plain TO "Writers {of}";
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {reader};
GRANT CREATE ON SCHEMA public TO PUBLIC;
GRANT CREATE ON DATABASE {of} TO {reader};
CREATE SCHEMA own AUTHORIZATION {reader};
CREATE TABLE own."Table" (a integer); ALTER TABLE own."Table" OWNER TO {reader};
CREATE FUNCTION own.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION own.f() OWNER TO {reader};
CREATE FUNCTION "definer's"(a integer, VARIADIC b text[]) RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
CREATE FUNCTION honest(a integer) RETURNS integer LANGUAGE sql AS 'SELECT a';
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO {reader};
SELECT lo_create(4711), lo_create(4712); GRANT UPDATE ON LARGE OBJECT 4711, 4712 TO PUBLIC;
CREATE FOREIGN DATA WRAPPER wrapper; GRANT USAGE ON FOREIGN DATA WRAPPER wrapper TO PUBLIC;
CREATE SERVER "else where" FOREIGN DATA WRAPPER wrapper; GRANT USAGE ON FOREIGN SERVER "else where" TO {reader};
CREATE USER MAPPING FOR {reader} SERVER "else where"; CREATE USER MAPPING FOR PUBLIC SERVER "else where";
"#;

fn of(database: &Database, text: &str) -> String {
    text.replace("{reader}", &database.reader)
        .replace("{of}", &database.name)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_read_credential_mends_it_and_it_still_reads() {
    let database = postgres::database().await;
    let admin = database.admin().await;
    admin.batch_execute(&of(&database, TOO_MUCH)).await.unwrap();
    let target = Target::postgres(&database);

    let found = target.overreach().await;
    let told: Vec<String> = found
        .iter()
        .map(|Overreach { what, mend }| format!("{what}\n  {mend}"))
        .collect();
    let told = told
        .join("\n")
        .replace(&database.reader, "READER")
        .replace(&database.name, "DATABASE");
    insta::assert_snapshot!(told);

    for Overreach { what, mend } in &found {
        let mended = admin.batch_execute(mend).await;
        mended.unwrap_or_else(|error| panic!("{what}: {mend}: {error:?}"));
    }
    assert_eq!(target.overreach().await, []);
    for read in [
        r#"SELECT count(*) FROM "Sales, 2026"."order; DROP""#,
        "SELECT count(*) FROM plain",
        "SELECT count(*) FROM shown",
        r#"SELECT count(*) FROM own."Table""#,
        "SELECT honest(1)",
    ] {
        target.value(read).await;
    }
    // What the mending left is no more than a read credential wants, asked of the server in its own way.
    for (write, code) in [
        ("INSERT INTO plain VALUES (1)", "42501"),
        ("UPDATE plain SET note = ''", "42501"),
        ("DELETE FROM shown", "42501"),
        ("CREATE TABLE t ()", "42501"),
        ("CREATE TEMPORARY TABLE t ()", "42501"),
        ("CREATE SCHEMA s", "42501"),
        ("CREATE ROLE r", "42501"),
        ("SELECT nextval('plain_id_seq')", "42501"),
        ("SELECT lo_put(4711, 0, 'x')", "42501"),
        ("SELECT \"definer's\"(1, 'a')", "42501"),
    ] {
        let reader = database.reader().await;
        let refused = reader.batch_execute(write).await.unwrap_err();
        let said = refused.code().map(tokio_postgres::error::SqlState::code);
        assert_eq!(said, Some(code), "{write}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_rights_are_one_line() {
    let database = postgres::database().await;
    let tables: String = (0..300)
        .map(|n| format!("CREATE TABLE t{n} (a integer);"))
        .collect();
    database.prepare(&tables).await;
    let reader = &database.reader;
    database
        .prepare(&format!(
            "GRANT INSERT ON ALL TABLES IN SCHEMA public TO {reader};
             REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC",
            database.name
        ))
        .await;
    let found = Target::postgres(&database).overreach().await;
    assert_eq!(
        found,
        [Overreach {
            what: format!("{reader} may INSERT on 300 tables and views of schema public"),
            mend: format!("REVOKE INSERT ON ALL TABLES IN SCHEMA public FROM {reader}"),
        }]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_can_read_nothing_is_told_what_to_grant() {
    let database = postgres::database().await;
    let (admin, reader) = (database.admin().await, &database.reader);
    let hidden = format!(
        "CREATE SCHEMA hidden; CREATE TABLE hidden.t (a integer);
         REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC",
        database.name
    );
    admin.batch_execute(&hidden).await.unwrap();
    let target = Target::postgres(&database);
    let found = target.overreach().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].what,
        format!("{reader} can read none of the 1 tables and views")
    );
    admin.batch_execute(&found[0].mend).await.unwrap();
    assert_eq!(target.overreach().await, []);
    target.value("SELECT count(*) FROM hidden.t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_credential_for_reads_and_writes_is_told() {
    let database = postgres::database().await;
    let url = database.read_url();
    let found = Target::of(ConnectionKind::Postgres, &url, &url)
        .overreach()
        .await;
    let told = "reads and writes have the same credential";
    assert!(found.iter().any(|found| found.what == told), "{found:?}");
}

#[tokio::test]
async fn nothing_is_told_of_a_file_and_what_cannot_be_asked_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    rusqlite::Connection::open(&path).unwrap();
    let path = path.to_str().unwrap();
    let file = Target::of(ConnectionKind::Sqlite, path, path);
    assert_eq!(file.overreach().await, []);
    assert!(file.run(Access::Read, "SELECT 1", vec![]).await.is_ok());

    let nowhere = "postgres://reader:secret@127.0.0.1:1/db";
    let target = Target::of(ConnectionKind::Postgres, nowhere, nowhere);
    let asked = target.targets.overreach(&name()).await;
    assert!(matches!(asked, Err(RunError::Unreachable(_))), "{asked:?}");
}

/// The same for MariaDB. `{role}` is a role of its own.
const TOO_MUCH_IN_MARIADB: &str = r"
CREATE TABLE plain (id integer, `odd, (name` integer); CREATE DATABASE `{of}, too`; CREATE TABLE `{of}, too`.`t``s` (a integer);
CREATE PROCEDURE p() SELECT 1; CREATE FUNCTION f() RETURNS integer NO SQL RETURN 1;
CREATE ROLE {role}; CREATE ROLE {role}_chief; GRANT {role}_chief TO {role}; GRANT {role} TO {reader};
GRANT INSERT ON {of}.* TO {role}; GRANT ALL PRIVILEGES ON `{of}, too`.* TO {role}_chief;
GRANT FILE, PROCESS, SELECT ON *.* TO {reader};
GRANT UPDATE (id), SELECT (`odd, (name`), INSERT (id, `odd, (name`) ON {of}.plain TO {reader};
GRANT SELECT, DELETE ON `{of}, too`.`t``s` TO {reader} WITH GRANT OPTION;
GRANT EXECUTE ON PROCEDURE {of}.p TO {reader}; GRANT EXECUTE ON FUNCTION {of}.f TO {reader};
GRANT PROXY ON 'someone'@'localhost' TO {reader};
";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_read_credential_of_mariadb_mends_it_and_it_still_reads() {
    let database = mariadb::database();
    let target = Target::mysql(&database);
    assert_eq!(
        target.overreach().await,
        [],
        "SELECT and SHOW VIEW are what a reader should have"
    );

    let role = format!("role_of_{}", database.name);
    let of = |text: &str| {
        text.replace("{reader}", &database.reader)
            .replace("{of}", &database.name)
            .replace("{role}", &role)
    };
    database.admin(&of(TOO_MUCH_IN_MARIADB));
    let found = target.overreach().await;
    let told: Vec<String> = found
        .iter()
        .map(|Overreach { what, mend }| format!("{what}\n  {mend}"))
        .collect();
    let told = told
        .join("\n")
        .replace(&role, "ROLE")
        .replace(&database.reader, "READER")
        .replace(&database.name, "DATABASE");
    insta::assert_snapshot!(told);

    // Leaving a role mends all that it allows, once.
    let mends: BTreeSet<&str> = found.iter().map(|found| &*found.mend).collect();
    for mend in mends {
        database.admin(mend);
    }
    assert_eq!(target.overreach().await, []);
    for read in ["SELECT COUNT(*) FROM plain", "SELECT f()"] {
        target.value(read).await;
    }
    for write in [
        "INSERT INTO plain (id) VALUES (1)",
        "CALL p()",
        "SELECT COUNT(*) FROM mysql.user",
        "SET ROLE {role}",
    ] {
        let refused = mariadb::refused(&database.read_url(), &of(write));
        assert!(refused.contains("ERROR"), "{write}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrators_credential_of_mariadb_is_told_apart_from_one_that_reads() {
    let database = mariadb::database();
    database.admin(&format!(
        "GRANT ALL ON *.* TO {} WITH GRANT OPTION",
        database.reader
    ));
    let target = Target::mysql(&database);
    for Overreach { mend, .. } in target.overreach().await {
        database.admin(&mend);
    }
    assert_eq!(target.overreach().await, []);
    target.value("SELECT 1").await;
}
