//! Opening: who may, with which settings, and which schema.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use super::{Trouble, Why};

/// `PTCL`: says whose file it is.
const APPLICATION: i32 = 0x5054_434c;
/// The schema this program writes.
const VERSION: i32 = 1;

/// Other programs may look into the file; a short wait hides their short locks.
const PATIENCE: Duration = Duration::from_secs(2);

/// INVARIANT: events only grow. The triggers hold for every program that opens the file.
///
/// A request's row and a session's key are kept under the number of the event they began with, so that neither needs an
/// index of its own: ids are random, and every random index costs one more page in each commit.
const SCHEMA: &str = "
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    session TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    type TEXT NOT NULL,
    request TEXT,
    time INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_place ON events (session, seq);
CREATE INDEX events_by_request ON events (request) WHERE request IS NOT NULL;
CREATE TRIGGER events_never_change BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the record only grows: an event is never changed'); END;
CREATE TRIGGER events_never_go BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the record only grows: an event is never deleted'); END;

CREATE TABLE requests (
    id INTEGER PRIMARY KEY REFERENCES events (id),
    request TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    principal TEXT NOT NULL,
    connection TEXT NOT NULL,
    effect TEXT NOT NULL,
    decision TEXT NOT NULL,
    status TEXT NOT NULL,
    expires_at INTEGER,
    due_at INTEGER,
    approval INTEGER REFERENCES events (id),
    text TEXT NOT NULL
) STRICT;
CREATE INDEX requests_by_time ON requests (asked_at);
CREATE INDEX requests_by_principal ON requests (principal, asked_at);
CREATE INDEX requests_pending ON requests (asked_at) WHERE status = 'pending_approval';
CREATE INDEX requests_due ON requests (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE objects (
    name TEXT NOT NULL,
    request INTEGER NOT NULL REFERENCES requests (id),
    PRIMARY KEY (name, request)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id INTEGER PRIMARY KEY REFERENCES events (id),
    wrapped_by TEXT NOT NULL,
    wrapped TEXT NOT NULL
) STRICT;
";

/// Why a record could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{} is in use by another process: stop that gateway, or give this one a record of its own",
        path.display()
    )]
    Held {
        /// The record.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "{} was written by a newer Portcullis (schema {found}; this one knows {VERSION}): run that version, or a newer one",
        path.display()
    )]
    Newer {
        /// The record.
        path: PathBuf,
        /// Its schema.
        found: i32,
    },
    /// The system refused.
    #[error(
        "{} cannot be opened ({source}): check that its directory can be made and written by this user",
        path.display()
    )]
    System {
        /// The record.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] Trouble),
}

/// Takes the record for this process. The lock goes with the process, however it ends.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let system = |source| OpenError::System {
        path: path.into(),
        source,
    };
    if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(system)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let lock = private(Path::new(&beside)).map_err(system)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Held { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(system(source)),
    }
}

/// A file only its owner may read, made if it is not there.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The connection that writes. SQLite gives the files beside the record the permissions of the record.
pub(super) fn writer(path: &Path) -> Result<Connection, OpenError> {
    private(path).map_err(|source| OpenError::System {
        path: path.into(),
        source,
    })?;
    let trouble = |error| OpenError::Sqlite(Trouble::new(path, error));
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(trouble)?;
    migrate(&mut connection, path)?;
    settle(&connection).map_err(trouble)?;
    Ok(connection)
}

fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    compile_once(connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // An erased key is overwritten and not only forgotten.
    connection.pragma_update(None, "secure_delete", true)?;
    // Random ids scatter over the file: writing pages back less often writes each of them fewer times.
    connection.pragma_update(None, "wal_autocheckpoint", 8192)?;
    // Room for all that the most appends of one transaction change. Not more: most commits look through every page kept.
    connection.pragma_update(None, "cache_size", -8 * 1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Statements are planned without regard to the values bound to them. SQLite would look whether one is 0 or 1, and compile a
/// statement that is kept again each time it runs: what was bound to it is cleared when it is put back.
fn compile_once(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let trouble = |error| OpenError::Sqlite(Trouble::new(path, error));
    connection.busy_timeout(PATIENCE).map_err(trouble)?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(trouble)?;
    let integer = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let version = integer("user_version").map_err(trouble)?;
    let application = integer("application_id").map_err(trouble)?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(trouble)?;
    match (application, version, tables) {
        (0, 0, 0) => {
            transaction.execute_batch(SCHEMA).map_err(trouble)?;
            transaction
                .pragma_update(None, "application_id", APPLICATION)
                .map_err(trouble)?;
            transaction
                .pragma_update(None, "user_version", VERSION)
                .map_err(trouble)?;
            transaction.commit().map_err(trouble)
        }
        (APPLICATION, VERSION, _) => Ok(()),
        (APPLICATION, found, _) if found > VERSION => Err(OpenError::Newer {
            path: path.into(),
            found,
        }),
        _ => Err(OpenError::Sqlite(Trouble::because(path, Why::NotARecord))),
    }
}

/// A connection that cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenError> {
    let open = || {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(PATIENCE)?;
        compile_once(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|error| OpenError::Sqlite(Trouble::new(path, error)))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_that_is_kept_is_compiled_once_whatever_is_bound_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record.db");
        for connection in [writer(&path).unwrap(), reader(&path).unwrap()] {
            for by in ["session", "request"] {
                let sql = format!("SELECT body FROM events WHERE {by} = ?1 ORDER BY id");
                for id in ["one", "two", "three"] {
                    let mut statement = connection.prepare_cached(&sql).unwrap();
                    assert!(!statement.exists([id]).unwrap());
                    assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
                }
                let plan = format!("EXPLAIN QUERY PLAN {sql}");
                let plan: String = connection
                    .query_row(&plan, ["one"], |row| row.get("detail"))
                    .unwrap();
                assert!(plan.contains("USING INDEX events_by_"), "{plan}");
            }
        }
    }
}
