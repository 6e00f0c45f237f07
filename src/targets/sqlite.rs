//! One statement on a SQLite file.
//!
//! A read has a handle opened read-only, and an authorizer that lets a statement do nothing but read. An effect has a
//! writable handle of its own, in one transaction that ends as its [`Ending`] says once its statement has succeeded;
//! neither can reach another file, load code or end that transaction. SQLite works on a thread of its own kind, which hands rows
//! over in small batches and stops as soon as nobody takes them.
//!
//! Values keep SQLite's storage class: integers and reals are numbers (an infinity is text, JSON has none), text is
//! text, a blob, or text that is not UTF-8, is `\x` and its bytes in hex.

use std::{
    fmt::Write as _,
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, OpenFlags, Statement,
    config::DbConfig,
    ffi::SQLITE_CONSTRAINT_COMMITHOOK,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
    types::{Value, ValueRef},
};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        connection::{Access, Budget},
        masking::{Cell, ServerColumn, ServerOrigin},
        operation::{Param, SqlOperation},
    },
    gateway::ports::{Completion, Ending, ResultSink, RunError},
};

use super::Overreach;

mod catalog;

/// Statements that run at the same time, per endpoint.
const SIZE: usize = 8;
/// How long to wait for one of them to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long another writer's lock is waited for.
const LONGEST_LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long a statement may take to notice that it was stopped.
const GRACE: Duration = Duration::from_secs(3);
/// SQLite asks whether to go on after this many steps of its machine.
const STEPS: i32 = 1000;
/// Rows, or bytes, handed over at a time.
const BATCH_ROWS: usize = 64;
const BATCH_BYTES: usize = 64 << 10;

/// One endpoint: a file, to read or to write.
pub(super) struct Sqlite {
    path: PathBuf,
    access: Access,
    idle: Mutex<Vec<Connection>>,
    slots: Semaphore,
    closed: AtomicBool,
}

/// What the working thread says.
enum Said {
    Columns(Vec<ServerColumn>),
    Rows(Vec<Vec<Value>>),
    Ended(Result<Completion, Failure>),
}

#[derive(Debug)]
enum Failure {
    Sqlite(rusqlite::Error),
    /// The gateway's own refusal. Nothing was changed.
    Own(String),
    /// Rolled back for what it did.
    NotCommitted(RunError),
    Unreachable(String),
    Stopped,
    /// The commit failed in a way that may have left it done.
    Unknown(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// What the working thread needs, all its own.
struct Work {
    statement: String,
    params: Vec<Param>,
    budget: Budget,
    ending: Ending,
    stopped: Arc<AtomicBool>,
    deadline: Instant,
    out: mpsc::Sender<Said>,
}

/// Stops the working thread when whoever waits for it goes away.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Sqlite {
    /// Nothing: the file is opened to be read, which nobody's rights could widen.
    pub(super) async fn overreach(&self) -> Result<Vec<Overreach>, RunError> {
        Ok(Vec::new())
    }

    /// Takes a path, with or without `sqlite:` before it. The file must exist by the time it is used.
    pub(super) fn open(url: &str, access: Access) -> Result<Arc<Self>, String> {
        let path = url
            .strip_prefix("sqlite://")
            .or_else(|| url.strip_prefix("sqlite:"))
            .unwrap_or(url);
        if path.is_empty() || path.starts_with(':') || path.starts_with("file:") {
            return Err(
                "its url must be the path of a SQLite file, such as sqlite:/data/crm.db".into(),
            );
        }
        Ok(Arc::new(Self {
            path: path.into(),
            access,
            idle: Mutex::default(),
            slots: Semaphore::new(SIZE),
            closed: AtomicBool::new(false),
        }))
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.slots.close();
        self.idle().clear();
    }

    /// Leave to use a handle.
    async fn slot(&self) -> Result<SemaphorePermit<'_>, RunError> {
        let slot = tokio::time::timeout(PATIENCE, self.slots.acquire()).await;
        slot.map_err(|_elapsed| {
            RunError::Unreachable(format!(
                "pool exhausted: all {SIZE} handles have been busy for {} s; try again",
                PATIENCE.as_secs()
            ))
        })?
        .map_err(|_closed| {
            RunError::Unreachable("the connection has been removed from the policy".into())
        })
    }

    pub(super) async fn run(
        self: &Arc<Self>,
        operation: &SqlOperation,
        budget: &Budget,
        ending: Ending,
        sink: &mut dyn ResultSink,
        cancel: &CancellationToken,
    ) -> Result<Completion, RunError> {
        let _slot = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(RunError::Cancelled { timeout: false }),
            slot = self.slot() => slot?,
        };
        let (out, mut said) = mpsc::channel(2);
        let stopped = Arc::new(AtomicBool::new(false));
        let _stop = StopOnDrop(stopped.clone());
        let work = Work {
            statement: operation.statement.clone(),
            params: operation.params.clone(),
            budget: *budget,
            ending,
            stopped: stopped.clone(),
            deadline: Instant::now() + budget.timeout,
            out,
        };
        let endpoint = self.clone();
        tokio::task::spawn_blocking(move || {
            let out = work.out.clone();
            let result = endpoint.work(&work);
            drop(work);
            // Nobody may be listening any more: then there is nobody to tell.
            let _gone = out.blocking_send(Said::Ended(result));
        });
        let mut wanted = true;
        let mut stop: Option<bool> = None;
        let limit = tokio::time::sleep(budget.timeout);
        let mut limit = std::pin::pin!(limit);
        loop {
            let next = match stop {
                None => tokio::select! {
                    biased;
                    () = cancel.cancelled() => { stop = Some(false); None }
                    () = &mut limit => { stop = Some(true); None }
                    next = said.recv() => Some(next),
                },
                Some(timeout) => match tokio::time::timeout(GRACE, said.recv()).await {
                    Ok(next) => Some(next),
                    Err(_elapsed) if self.access == Access::Read => {
                        return Err(RunError::Cancelled { timeout });
                    }
                    Err(_elapsed) => {
                        return Err(RunError::Unknown(
                            "the statement could not be stopped".into(),
                        ));
                    }
                },
            };
            match next {
                None => stopped.store(true, Ordering::SeqCst),
                Some(Some(Said::Columns(columns))) => sink.columns(&columns),
                Some(Some(Said::Rows(rows))) => {
                    if wanted && hand_on(&rows, sink).is_break() {
                        wanted = false;
                        if self.access == Access::Read {
                            // The rest is not fetched: nothing depends on it.
                            return Ok(Completion::default());
                        }
                    }
                }
                Some(Some(Said::Ended(result))) => {
                    return result.map_err(|failure| self.told(failure, stop));
                }
                Some(None) => {
                    return Err(RunError::Unknown(
                        "the working thread ended without a word".into(),
                    ));
                }
            }
        }
    }

    fn told(&self, failure: Failure, stop: Option<bool>) -> RunError {
        let own = |message: String| RunError::Refused {
            code: None,
            message,
            second_wall: false,
            unread: true,
        };
        match failure {
            // The thread watches the clock as well, and may be first.
            Failure::Stopped => RunError::Cancelled {
                timeout: stop.unwrap_or(true),
            },
            Failure::Own(message) => own(message),
            Failure::NotCommitted(error) => error,
            Failure::Unreachable(message) => RunError::Unreachable(message),
            Failure::Unknown(message) => RunError::Unknown(message),
            Failure::Sqlite(rusqlite::Error::MultipleStatement) => {
                own("there is more than one statement in the text: send one at a time".into())
            }
            Failure::Sqlite(error) => {
                use rusqlite::ErrorCode::{AuthorizationForStatementDenied, ReadOnly};
                let native = match &error {
                    rusqlite::Error::SqlInputError { error, .. } => Some(*error),
                    other => other.sqlite_error().copied(),
                };
                let message = words_of(&error);
                // A denied function has no code of its own.
                let denied = message.starts_with("not authorized")
                    || native.is_some_and(|error| {
                        matches!(error.code, AuthorizationForStatementDenied | ReadOnly)
                    });
                RunError::Refused {
                    code: native.map(|error| format!("SQLITE {}", error.extended_code)),
                    message,
                    second_wall: denied && self.access == Access::Read,
                    // The text could not be compiled.
                    unread: matches!(error, rusqlite::Error::SqlInputError { .. }),
                }
            }
        }
    }

    // ------------------------------------------------------------------------------------------ the working thread

    fn work(&self, work: &Work) -> Result<Completion, Failure> {
        let mut connection = match (self.access, self.idle().pop()) {
            (Access::Read, Some(connection)) => connection,
            _ => self
                .handle(&work.budget)
                .map_err(|error| Failure::Unreachable(unopened(&error)))?,
        };
        let stopped = work.stopped.clone();
        let deadline = work.deadline;
        connection.progress_handler(
            STEPS,
            Some(move || stopped.load(Ordering::SeqCst) || Instant::now() >= deadline),
        )?;
        let result = match self.access {
            Access::Read => run_statement(&connection, work, Rest::Leave),
            Access::Write => write(&mut connection, work),
        };
        connection.progress_handler(0, None::<fn() -> bool>)?;
        if self.access == Access::Read && !self.closed.load(Ordering::SeqCst) {
            self.idle().push(connection);
        }
        match result {
            Err(Failure::Sqlite(error))
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) =>
            {
                Err(Failure::Stopped)
            }
            other => other,
        }
    }

    fn handle(&self, budget: &Budget) -> rusqlite::Result<Connection> {
        let mode = match self.access {
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        // Without SQLITE_OPEN_URI, `?mode=` and the like in a path are a part of the name.
        let mut connection =
            Connection::open_with_flags(&self.path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(LONGEST_LOCK_WAIT.min(budget.timeout))?;
        for (setting, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
            (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        ] {
            connection.set_db_config(setting, on)?;
        }
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        let longest = budget.bytes.saturating_mul(2).saturating_add(1 << 20);
        connection.set_limit(
            Limit::SQLITE_LIMIT_LENGTH,
            i32::try_from(longest).unwrap_or(1_000_000_000),
        )?;
        // The file is not read before this: an error here names what is wrong with it.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        if self.access == Access::Read {
            connection.authorizer(Some(only_reading))?;
        }
        Ok(connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SQLite's own words name the file; where it is kept is not the caller's to know.
fn unopened(error: &rusqlite::Error) -> String {
    tracing::warn!(error = words_of(error), "a SQLite target cannot be opened");
    let code = error.sqlite_error_code();
    let code = code.map_or("unknown error".into(), |code| format!("{code:?}"));
    format!("its file cannot be opened: {code}")
}

fn write(connection: &mut Connection, work: &Work) -> Result<Completion, Failure> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let before = connection.total_changes();
    connection.authorizer(Some(only_this_file))?;
    let result = run_statement(connection, work, Rest::Await);
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    let completion = match result {
        Ok(completion) if !work.is_over() => Completion {
            changed: Some(connection.total_changes() - before),
            ..completion
        },
        // Dropping the handle rolls back.
        Ok(_) => return Err(Failure::Stopped),
        Err(failure) => return Err(failure),
    };
    if let Some(error) = work.ending.refuses(completion.changed) {
        return Err(Failure::NotCommitted(error));
    }
    if work.ending == Ending::RollBack {
        return roll_back(connection).map(|()| completion);
    }
    // Once it has begun, nothing stops it half-way.
    connection.progress_handler(0, None::<fn() -> bool>)?;
    match connection.execute_batch("COMMIT") {
        Ok(()) => Ok(completion),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure) => {
            Err(Failure::Unknown("the commit met an I/O error".into()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Undoes what has succeeded, after what its commit would have checked has been: SQLite checks deferred foreign keys
/// when it begins to commit and at no other time, and then asks whether to go on.
fn roll_back(connection: &mut Connection) -> Result<(), Failure> {
    let turn_back = || true;
    connection.commit_hook(Some(turn_back))?;
    match connection.execute_batch("COMMIT") {
        Err(error) if extended_code(&error) == Some(SQLITE_CONSTRAINT_COMMITHOOK) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(Failure::Unknown(
            "SQLite committed without asking whether to".into(),
        )),
    }
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

/// What becomes of rows nobody takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// The statement is stopped: it only reads.
    Leave,
    /// The statement is run to its end: it has effects.
    Await,
}

fn run_statement(connection: &Connection, work: &Work, rest: Rest) -> Result<Completion, Failure> {
    let mut statement = connection.prepare(&work.statement)?;
    let wanted = statement.parameter_count();
    if wanted != work.params.len() {
        return Err(Failure::Own(format!(
            "the statement has {wanted} parameters, {} were given: pass one value for each of ?1, ?2, …",
            work.params.len()
        )));
    }
    for (index, param) in work.params.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, value_of(param))?;
    }
    let columns = columns_of(&statement);
    let width = columns.len();
    let counts = !statement.readonly() && changes_rows(&work.statement);
    let mut listening = width == 0 || work.say(Said::Columns(columns));
    let mut rows = statement.raw_query();
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if !listening {
            match rest {
                Rest::Leave => return Ok(Completion::default()),
                Rest::Await => continue,
            }
        }
        let mut values = Vec::with_capacity(width);
        for index in 0..width {
            let value: Value = row.get_ref(index)?.into_owned_value();
            bytes += size_of_value(&value);
            values.push(value);
        }
        batch.push(values);
        if batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
            listening = work.say(Said::Rows(std::mem::take(&mut batch)));
            bytes = 0;
        }
    }
    drop(rows);
    if !batch.is_empty() {
        work.say(Said::Rows(batch));
    }
    Ok(Completion {
        affected: counts.then(|| connection.changes()),
        changed: None,
        ..Completion::default()
    })
}

impl Work {
    /// Hands it over; whether anyone still listens.
    fn say(&self, said: Said) -> bool {
        self.out.blocking_send(said).is_ok()
    }

    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::SeqCst) || Instant::now() >= self.deadline
    }
}

fn changes_rows(statement: &str) -> bool {
    let ddl = [
        "CREATE", "DROP", "ALTER", "REINDEX", "ANALYZE", "PRAGMA", "VACUUM",
    ];
    let first = statement
        .split(|character: char| !character.is_ascii_alphabetic())
        .find(|word| !word.is_empty());
    first.is_some_and(|word| !ddl.iter().any(|ddl| ddl.eq_ignore_ascii_case(word)))
}

fn columns_of(statement: &Statement<'_>) -> Vec<ServerColumn> {
    let declared: Vec<Option<String>> = statement
        .columns()
        .map(|column| column.decl_type().map(str::to_lowercase))
        .collect();
    statement
        .columns_with_metadata()
        .zip(declared)
        .map(|(column, declared)| ServerColumn {
            name: column.name().to_owned(),
            type_name: declared.unwrap_or_else(|| "any".into()),
            origin: match (column.table_name(), column.origin_name()) {
                (Some(table), Some(origin)) => Some(ServerOrigin {
                    schema: column.database_name().map(Into::into),
                    relation: table.to_owned(),
                    column: origin.to_owned(),
                    also: Vec::new(),
                }),
                _ => None,
            },
        })
        .collect()
}

// ---------------------------------------------------------------------------------------------- values

/// What a literal of the same text would be.
fn value_of(param: &Param) -> Value {
    match param {
        Param::Null => Value::Null,
        Param::Bool(value) => Value::Integer(i64::from(*value)),
        Param::Number(digits) => match (digits.parse::<i64>(), digits.parse::<f64>()) {
            (Ok(integer), _) => Value::Integer(integer),
            (Err(_), Ok(real)) => Value::Real(real),
            (Err(_), Err(_)) => Value::Text(digits.to_string()),
        },
        Param::Text(text) => Value::Text(text.clone()),
        Param::Json(text) => Value::Text(text.to_string()),
    }
}

/// Copies a value out of SQLite's memory; text that is not UTF-8 is kept as the bytes it is.
trait IntoOwnedValue {
    fn into_owned_value(self) -> Value;
}

impl IntoOwnedValue for ValueRef<'_> {
    fn into_owned_value(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(integer) => Value::Integer(integer),
            ValueRef::Real(real) => Value::Real(real),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Value::Text(text.to_owned()),
                Err(_) => Value::Blob(bytes.to_vec()),
            },
        }
    }
}

fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) => 8,
    }
}

fn hand_on(rows: &[Vec<Value>], sink: &mut dyn ResultSink) -> ControlFlow<()> {
    for row in rows {
        let texts: Vec<String> = row.iter().map(text_of).collect();
        let cells: Vec<Cell<'_>> = row
            .iter()
            .zip(&texts)
            .map(|(value, text)| match value {
                Value::Null => Cell::Null,
                Value::Integer(_) => Cell::Number(text),
                Value::Real(real) if real.is_finite() => Cell::Number(text),
                Value::Text(original) => Cell::Text(original),
                Value::Real(_) | Value::Blob(_) => Cell::Text(text),
            })
            .collect();
        sink.row(&cells)?;
    }
    ControlFlow::Continue(())
}

/// The text of what is not text already.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null | Value::Text(_) => String::new(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) if real.is_infinite() => {
            if *real > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        Value::Real(real) => format!("{real:?}"),
        Value::Blob(bytes) => {
            let mut hex = String::with_capacity(2 + bytes.len() * 2);
            hex.push_str("\\x");
            for byte in bytes {
                let _infallible = write!(hex, "{byte:02x}");
            }
            hex
        }
    }
}

fn words_of(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

// ---------------------------------------------------------------------------------------------- what is allowed

/// Lets a statement look at the data and at its own schema, and at nothing else.
fn only_reading(asked: AuthContext<'_>) -> Authorization {
    let allowed = match asked.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => is_harmless(function_name),
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => is_description(pragma_name, pragma_value),
        _ => false,
    };
    verdict(allowed)
}

/// Lets a statement change this file, inside the transaction it is run in, and reach nothing else.
fn only_this_file(asked: AuthContext<'_>) -> Authorization {
    let allowed = match asked.action {
        AuthAction::Unknown { .. }
        | AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. } => false,
        AuthAction::Function { function_name } => is_harmless(function_name),
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => {
            is_description(pragma_name, pragma_value)
                || ["user_version", "application_id"]
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(pragma_name))
        }
        _ => true,
    };
    verdict(allowed)
}

fn verdict(allowed: bool) -> Authorization {
    if allowed {
        Authorization::Allow
    } else {
        Authorization::Deny
    }
}

/// All functions here are SQLite's own; these two reach beyond the data.
fn is_harmless(function: &str) -> bool {
    !["load_extension", "fts3_tokenizer"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(function))
}

/// Whether a pragma describes the schema or the file, and sets nothing.
fn is_description(name: &str, value: Option<&str>) -> bool {
    let takes_a_name = [
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
    ];
    let takes_nothing = [
        "collation_list",
        "compile_options",
        "encoding",
        "freelist_count",
        "function_list",
        "page_count",
        "page_size",
        "schema_version",
        "user_version",
        "application_id",
    ];
    let is = |known: &&str| known.eq_ignore_ascii_case(name);
    takes_a_name.iter().any(is) || (value.is_none() && takes_nothing.iter().any(is))
}
