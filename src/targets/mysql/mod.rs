//! One statement on a MySQL or MariaDB server.
//!
//! A read runs with the read credential in a session that is read-only, inside `START TRANSACTION READ ONLY`, and is
//! rolled back. The transaction alone is no wall: a definition commits it and runs. The session's own setting is what
//! refuses definitions then (error 1792), on both servers; what it lets pass, such as `SET GLOBAL`, `KILL`, `FLUSH` and
//! `SELECT … INTO OUTFILE`, only the credential's missing privileges refuse. An effect runs in one transaction that ends as
//! its [`Ending`] says once its statement has succeeded.
//!
//! The caller's text is prepared, which tells its columns before anything runs, and then executed; text that cannot be
//! prepared is sent as it is. In both the server refuses a second statement. What it left behind in the session is gone
//! before the connection is lent again: the server resets it.
//!
//! INVARIANT: `COMMIT` is sent once, never after the caller left or the time was up, and from the moment it is sent a
//! lost connection means nobody knows. A statement that may commit by itself counts as a commit.

use std::{
    collections::HashMap,
    future::Future,
    hash::{BuildHasher, RandomState},
    ops::ControlFlow,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        connection::{Access, Budget, Token},
        masking::ServerColumn,
        operation::SqlOperation,
    },
    gateway::ports::{Completion, Ending, ResultSink, RunError},
};

use address::Address;
use names::LookupError;
use session::{Pool, give_back};
use values::{Kind, UnreadableOr};
use wire::{
    Done, Field, Flavour, Prepared, Reply, RowReply, ServerMessage, Wire, WireError, text_cell,
};

mod address;
mod catalog;
mod grants;
mod names;
mod overreach;
mod own;
mod preview;
mod session;
mod values;
mod wire;

/// The server stops a read at its time limit by itself; this much later any statement is stopped.
const SLACK: Duration = Duration::from_millis(250);
/// How long the server may take to stop.
const GRACE: Duration = Duration::from_secs(3);
/// Nobody waits for a lock longer than this: a statement that waits makes others wait behind it.
const LONGEST_LOCK_WAIT: Duration = Duration::from_secs(10);
/// The same for what is rolled back anyway.
const LONGEST_LOCK_WAIT_TO_ROLL_BACK: Duration = Duration::from_secs(2);
/// How much of a result that is not wanted any more is read to keep its connection.
const WORTH_READING: usize = 256 << 10;
/// How long a description is believed.
const FRESH: Duration = Duration::from_secs(15);
/// Statements remembered as described.
const MOST_KNOWN: usize = 1024;
/// Warnings of one statement that are told.
const MOST_WARNINGS: usize = 20;

/// The statement cannot be prepared.
const NOT_PREPARABLE: u16 = 1295;
/// A change could not be rolled back, because its table's engine has no transactions.
const NOT_ROLLED_BACK: &str = "1196";

/// One endpoint: a server, a database, a credential.
pub(super) struct Mysql {
    access: Access,
    pool: Arc<Pool>,
    known: Mutex<HashMap<u64, Known>>,
    hasher: RandomState,
}

/// The columns of a statement, and until when that may be believed.
#[derive(Clone)]
struct Known {
    until: Instant,
    described: Arc<Described>,
}

/// What a statement's columns are, as told before it runs.
struct Described {
    fields: Vec<Field>,
    columns: Vec<ServerColumn>,
}

/// How a statement ended on its connection.
struct Ended {
    result: Result<Completion, Failure>,
    after: After,
}

/// What is to be done with the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// Reset and lent again.
    Reset,
    /// Closed.
    Discard,
    /// Cancelled at the server and closed: something may still run.
    Abandon,
}

enum Failure {
    Server(Box<ServerMessage>),
    /// Refused while the statement was parsed.
    Unread(Box<ServerMessage>),
    Wire(WireError),
    /// The gateway's own refusal: nothing was run, or what was run is rolled back.
    Own(String),
    /// Rolled back for what it did.
    NotCommitted(RunError),
    /// Stopped before it was committed.
    Stopped,
    /// Nobody knows.
    Unknown(String),
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<LookupError> for Failure {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Wire(error) => Self::Wire(error),
            other => Self::Own(other.to_string()),
        }
    }
}

impl Failure {
    /// What becomes of a connection on which this happened.
    fn after(&self) -> After {
        match self {
            Self::Wire(_) => After::Abandon,
            Self::Server(_) | Self::Unread(_) | Self::Own(_) => After::Reset,
            Self::NotCommitted(_) | Self::Stopped | Self::Unknown(_) => After::Discard,
        }
    }
}

/// What watcher and worker tell each other.
#[derive(Default)]
struct Progress {
    /// The watcher: do not commit any more.
    stopping: AtomicBool,
    /// The worker: from here on a lost connection means nobody knows.
    past_return: AtomicBool,
}

impl Progress {
    fn go_on(&self) -> Result<(), Failure> {
        match self.stopping.load(Ordering::SeqCst) {
            true => Err(Failure::Stopped),
            false => Ok(()),
        }
    }
}

/// How the caller's text is run.
enum Ready {
    /// Prepared, and known.
    Prepared(u32, Arc<Described>),
    /// As text: it cannot be prepared.
    Text,
}

impl Mysql {
    pub(super) fn open(
        url: &str,
        token: Option<Token>,
        access: Access,
    ) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {
            access,
            pool: Pool::new(Address::parse(url, token)?, access),
            known: Mutex::default(),
            hasher: RandomState::new(),
        }))
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }

    fn database(&self) -> &str {
        &self.pool.address().database
    }

    pub(super) async fn run(
        &self,
        operation: &SqlOperation,
        budget: &Budget,
        ending: Ending,
        sink: &mut dyn ResultSink,
        cancel: &CancellationToken,
    ) -> Result<Completion, RunError> {
        let mut lease = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(RunError::Cancelled { timeout: false }),
            lent = self.pool.lend() => lent.map_err(|error| RunError::Unreachable(error.to_string()))?,
        };
        let thread = match lease.wire() {
            Ok(wire) => wire.thread(),
            Err(error) => return Err(RunError::Unreachable(error.to_string())),
        };
        let stop = Stop {
            address: lease.address(),
            thread,
        };
        let progress = Progress::default();
        let started = Instant::now();
        let work = async {
            let run = async {
                let wire = lease.wire()?;
                wire.limit_packets(longest_packet(budget));
                match self.access {
                    Access::Read => self.read(wire, operation, budget, sink).await,
                    Access::Write => {
                        self.write(wire, operation, budget, ending, sink, &progress)
                            .await
                    }
                }
            };
            match run.await {
                Ok((completion, after)) => Ended {
                    result: Ok(completion),
                    after,
                },
                Err(failure) => Ended {
                    after: failure.after(),
                    result: Err(failure),
                },
            }
        };
        let (ended, stopped) = watch(work, budget.timeout, cancel, &progress, stop).await;
        match ended.as_ref().map_or(After::Abandon, |ended| ended.after) {
            // A request to stop may arrive late: it must not meet the next statement.
            After::Reset | After::Discard if stopped.is_some() => lease.discard(),
            After::Reset => give_back(lease),
            After::Discard => lease.discard(),
            After::Abandon => drop(lease),
        }
        let timeout = stopped.unwrap_or(started.elapsed() >= budget.timeout);
        match ended {
            Some(ended) => ended
                .result
                .map_err(|failure| self.told(failure, stopped.is_some(), timeout, &progress)),
            None if self.access == Access::Read => Err(RunError::Cancelled { timeout }),
            None => Err(RunError::Unknown(
                "the server did not stop the statement when asked to; it may still be running"
                    .into(),
            )),
        }
    }

    fn told(
        &self,
        failure: Failure,
        stopped: bool,
        timeout: bool,
        progress: &Progress,
    ) -> RunError {
        let refused = |code: Option<String>, message: String| RunError::Refused {
            code,
            message,
            second_wall: false,
            unread: true,
        };
        let reading = self.access == Access::Read;
        let past_return = progress.past_return.load(Ordering::SeqCst);
        match failure {
            Failure::Unknown(what) => RunError::Unknown(what),
            _ if stopped && !past_return => RunError::Cancelled { timeout },
            Failure::Stopped => RunError::Cancelled { timeout },
            Failure::Own(message) => refused(None, message),
            Failure::NotCommitted(error) => error,
            Failure::Server(message) | Failure::Unread(message)
                if is_interruption(&message) && (stopped || timeout) =>
            {
                RunError::Cancelled { timeout }
            }
            Failure::Server(ref message) | Failure::Unread(ref message) => RunError::Refused {
                code: Some(message.code()),
                message: message.message.clone(),
                second_wall: reading && is_wall(message),
                unread: matches!(failure, Failure::Unread(_)),
            },
            Failure::Wire(error) if past_return => {
                RunError::Unknown(format!("{error} after the statement could take effect"))
            }
            Failure::Wire(error @ WireError::TooLong(_)) => refused(None, error.to_string()),
            Failure::Wire(error) => {
                let why = if reading {
                    "a read changes nothing"
                } else {
                    "its transaction was not committed, so nothing was changed"
                };
                refused(Some("08S01".into()), format!("{error}; {why}"))
            }
        }
    }

    // ------------------------------------------------------------------------------------------ reads

    async fn read(
        &self,
        wire: &mut Wire,
        operation: &SqlOperation,
        budget: &Budget,
        sink: &mut dyn ResultSink,
    ) -> Result<(Completion, After), Failure> {
        wire.queue_own(&limits(wire.flavour(), budget, LONGEST_LOCK_WAIT));
        wire.queue_own("START TRANSACTION READ ONLY");
        let ready = self.make_ready(wire, operation).await?;
        let ran = run_it(wire, &ready, operation, sink, Rest::Leave).await?;
        if !ran.finished {
            let after = match tokio::time::timeout(SLACK, skim(wire)).await {
                Ok(Ok(true)) => After::Reset,
                _ => After::Abandon,
            };
            return Ok((Completion::default(), after));
        }
        tell_warnings(wire, ran.done, sink).await?;
        Ok((Completion::default(), After::Reset))
    }

    /// Sends what is queued, and with it the statement to be parsed; learns what its columns are. Nothing of it has been
    /// run when it returns.
    async fn make_ready(
        &self,
        wire: &mut Wire,
        operation: &SqlOperation,
    ) -> Result<Ready, Failure> {
        let statement = &*operation.statement;
        wire.queue_prepare(statement);
        wire.send().await?;
        if let Some(refused) = wire.settle().await? {
            return Err(Failure::Server(refused));
        }
        let Prepared {
            id,
            params,
            columns: fields,
        } = match wire.prepared().await? {
            Ok(prepared) => prepared,
            Err(message) if message.number == NOT_PREPARABLE && operation.params.is_empty() => {
                return Ok(Ready::Text);
            }
            Err(message) => return Err(Failure::Unread(message)),
        };
        let given = operation.params.len();
        if given != params {
            return Err(Failure::Own(format!(
                "the statement has {params} parameters, {given} were given: pass one value for each `?`"
            )));
        }
        let key = self.hasher.hash_one(statement);
        if let Some(described) = self.recall(key, &fields) {
            return Ok(Ready::Prepared(id, described));
        }
        let until = Instant::now() + FRESH;
        let columns = names::describe(wire, statement, &fields).await?;
        let described = Arc::new(Described { fields, columns });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(
            key,
            Known {
                until,
                described: described.clone(),
            },
        );
        Ok(Ready::Prepared(id, described))
    }

    fn recall(&self, key: u64, fields: &[Field]) -> Option<Arc<Described>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(&key)?;
        let fresh = Instant::now() < known.until && same_columns(&known.described.fields, fields);
        fresh.then(|| known.described.clone())
    }

    // ------------------------------------------------------------------------------------------ effects

    async fn write(
        &self,
        wire: &mut Wire,
        operation: &SqlOperation,
        budget: &Budget,
        ending: Ending,
        sink: &mut dyn ResultSink,
        progress: &Progress,
    ) -> Result<(Completion, After), Failure> {
        let undoable = changes_rows(&operation.statement);
        let lock_wait = match ending {
            Ending::Commit { .. } => LONGEST_LOCK_WAIT,
            Ending::RollBack => LONGEST_LOCK_WAIT_TO_ROLL_BACK,
        };
        if ending != (Ending::Commit { at_most: None }) {
            if !undoable {
                return Err(Failure::Own(
                    "the server commits such a statement by itself, so it could not be rolled back: it was not run"
                        .into(),
                ));
            }
            only_transactional(wire, &operation.statement).await?;
        }
        wire.queue_own(&limits(wire.flavour(), budget, lock_wait));
        wire.queue_own("START TRANSACTION");
        if !undoable {
            // Says afterwards whether the statement committed.
            wire.queue_own("SAVEPOINT portcullis");
        }
        let ready = self.make_ready(wire, operation).await?;
        let before = match ending.counts() {
            true => Some(rows_changed(wire).await?),
            false => None,
        };
        progress.go_on()?;
        if !undoable {
            progress.past_return.store(true, Ordering::SeqCst);
        }
        let ran = match run_it(wire, &ready, operation, sink, Rest::Await).await {
            Ok(ran) => ran,
            Err(failure @ Failure::Server(_)) => {
                return Err(undone(wire, &operation.statement, undoable, failure).await?);
            }
            Err(Failure::Own(why)) if !undoable => {
                return Err(Failure::Unknown(format!(
                    "{why}; the statement may have taken effect"
                )));
            }
            Err(failure) => return Err(failure),
        };
        tell_warnings(wire, ran.done, sink).await?;
        let affected = undoable.then_some(ran.done.affected);
        let changed = match before {
            // Rows that were found and stayed as they are count as well.
            Some(before) => affected.max(Some(rows_changed(wire).await?.saturating_sub(before))),
            None => None,
        };
        let completion = Completion {
            affected,
            changed,
            ..Completion::default()
        };
        if !ran.done.in_transaction() {
            // The statement itself ended the transaction, in which nothing else had happened.
            return Ok((completion, After::Reset));
        }
        if let Some(error) = ending.refuses(completion.changed) {
            roll_back(wire).await?;
            return Err(Failure::NotCommitted(error));
        }
        if ending == Ending::RollBack {
            roll_back(wire).await?;
            return Ok((completion, After::Reset));
        }
        progress.go_on()?;
        progress.past_return.store(true, Ordering::SeqCst);
        wire.queue_text("COMMIT");
        wire.send().await?;
        match wire.reply().await? {
            Reply::Done(_) => Ok((completion, After::Reset)),
            // Shut down or killed, rather than refused: it may have been committed before.
            Reply::Refused(message)
                if matches!(message.number, 1053 | 1077 | 1079 | 1317 | 1927) =>
            {
                Err(Failure::Unknown(
                    "the server ended the connection during the commit".into(),
                ))
            }
            Reply::Refused(message) => Err(Failure::Server(message)),
            Reply::Columns(_) => Err(WireError::Protocol("rows nobody asked for").into()),
        }
    }
}

/// How many rows this session has changed, by statements and by what they trigger. What a foreign key changes elsewhere is
/// done inside the engine, and nowhere counted.
async fn rows_changed(wire: &mut Wire) -> Result<u64, Failure> {
    let query = "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_write', 'Handler_update', 'Handler_delete')";
    let rows = names::rows(wire, query).await?;
    let counts = rows
        .iter()
        .map(|row| row.get(1)?.as_deref()?.parse::<u64>().ok());
    let total = counts.sum::<Option<u64>>();
    total.ok_or_else(|| Failure::Own("the server does not tell how many rows it changed".into()))
}

/// What it means that a statement of an effect failed, once what can be undone is.
async fn undone(
    wire: &mut Wire,
    statement: &str,
    undoable: bool,
    failure: Failure,
) -> Result<Failure, Failure> {
    if undoable {
        roll_back(wire).await?;
        return Ok(failure);
    }
    wire.queue_own("RELEASE SAVEPOINT portcullis");
    wire.send().await?;
    let was_committed = wire.settle().await?.is_some();
    if was_committed && !is_one_definition(statement) {
        let code = match &failure {
            Failure::Server(message) => message.code(),
            _ => String::new(),
        };
        return Ok(Failure::Unknown(format!(
            "the statement commits by itself and failed with error {code}: part of its work may remain"
        )));
    }
    roll_back(wire).await?;
    Ok(failure)
}

/// Undoes what the transaction did, or says that it cannot be.
async fn roll_back(wire: &mut Wire) -> Result<(), Failure> {
    wire.queue_text("ROLLBACK");
    wire.send().await?;
    match wire.reply().await? {
        Reply::Done(done) if done.warnings == 0 => return Ok(()),
        Reply::Done(_) => {}
        Reply::Refused(message) => return Err(Failure::Server(message)),
        Reply::Columns(_) => return Err(WireError::Protocol("rows nobody asked for").into()),
    }
    let remains = warnings(wire)
        .await?
        .iter()
        .any(|warning| warning.get(1).and_then(Option::as_deref) == Some(NOT_ROLLED_BACK));
    match remains {
        true => Err(Failure::Unknown(
            "it changed a table whose engine has no transactions, and that could not be rolled back".into(),
        )),
        false => Ok(()),
    }
}

/// Refuses what could not be rolled back: a statement that names a table without transactions, or one with triggers
/// while there is such a table they could write to.
async fn only_transactional(wire: &mut Wire, statement: &str) -> Result<(), Failure> {
    let own = names::OWN_SCHEMAS;
    let query = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES t JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
         WHERE t.TABLE_TYPE = 'BASE TABLE' AND t.TABLE_SCHEMA NOT IN {own} AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES'"
    );
    let without = names::rows(wire, &query).await?;
    if without.is_empty() {
        return Ok(());
    }
    let query = format!(
        "SELECT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA NOT IN {own} \
         UNION SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA NOT IN {own}"
    );
    let through = names::rows(wire, &query).await?;
    let text = statement.to_lowercase().replace("``", "`");
    let named = |row: &Vec<Option<String>>| {
        let name = row.first().and_then(Option::as_deref).unwrap_or_default();
        names::mentions(&text, &name.to_lowercase())
    };
    if without.iter().chain(&through).any(named) {
        return Err(Failure::Own(
            "it may change a table whose engine has no transactions, which could not be rolled back: it was not run"
                .into(),
        ));
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------- results

/// What becomes of rows beyond the budget.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// The statement is stopped: it only reads.
    Leave,
    /// The statement is run to its end: it has effects.
    Await,
}

/// How a statement ran.
struct Ran {
    done: Done,
    /// `false`: there are rows left.
    finished: bool,
}

/// Runs the statement and hands its result to the sink.
async fn run_it(
    wire: &mut Wire,
    ready: &Ready,
    operation: &SqlOperation,
    sink: &mut dyn ResultSink,
    rest: Rest,
) -> Result<Ran, Failure> {
    let described = match ready {
        Ready::Prepared(id, described) => {
            wire.queue_execute(*id, &values::encode(&operation.params));
            Some(&**described).filter(|described| !described.fields.is_empty())
        }
        Ready::Text => {
            wire.queue_text(&operation.statement);
            None
        }
    };
    wire.send().await?;
    let mut is_first = true;
    let mut wanted = true;
    loop {
        let fields = match wire.reply().await? {
            Reply::Done(done) if done.more_results() => continue,
            Reply::Done(done) => {
                return Ok(Ran {
                    done,
                    finished: true,
                });
            }
            Reply::Refused(message) => return Err(Failure::Server(message)),
            Reply::Columns(fields) => fields,
        };
        let mut reader = None;
        if is_first {
            let columns = match described {
                Some(described) => described.as_executed(&fields).ok_or_else(|| {
                    Failure::Own(
                        "the tables it reads were changed at this moment: ask again".into(),
                    )
                })?,
                // A procedure's, or of a statement that cannot be prepared: the server says what they are only now.
                None => names::undescribed(&fields),
            };
            sink.columns(&columns);
            reader = Some(RowReader {
                is_binary: matches!(ready, Ready::Prepared(..)),
                kinds: Vec::with_capacity(fields.len()),
                texts: vec![String::new(); fields.len()],
                fields,
            });
        } else {
            sink.notice("Note: it gave more than one result; only the first is shown");
        }
        is_first = false;
        let done = loop {
            match wire.row().await? {
                RowReply::Row(row) => {
                    if wanted
                        && let Some(reader) = &mut reader
                        && reader.hand_on(row, sink)?.is_break()
                    {
                        wanted = false;
                        if rest == Rest::Leave {
                            return Ok(Ran {
                                done: Done::default(),
                                finished: false,
                            });
                        }
                    }
                }
                RowReply::Done(done) => break done,
                RowReply::Refused(message) => return Err(Failure::Server(message)),
            }
        };
        if !done.more_results() {
            return Ok(Ran {
                done,
                finished: true,
            });
        }
    }
}

impl Described {
    /// The columns, now that the statement runs; `None`: they are others. What is of a table while it is parsed may be of
    /// none then: a union's.
    fn as_executed(&self, fields: &[Field]) -> Option<Vec<ServerColumn>> {
        let described = self.fields.iter().zip(&self.columns);
        let columns = fields
            .iter()
            .zip(described)
            .map(|(field, (before, column))| {
                if field.is_same_column(before) {
                    Some(column.clone())
                } else if !names::is_of_a_table(field) && field.name == before.name {
                    let origin = None;
                    Some(ServerColumn {
                        origin,
                        ..column.clone()
                    })
                } else {
                    None
                }
            });
        (fields.len() == self.fields.len()).then(|| columns.collect())?
    }
}

fn same_columns(left: &[Field], right: &[Field]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(left, right)| left.is_same_column(right))
}

/// Turns rows into cells, one at a time.
struct RowReader {
    is_binary: bool,
    fields: Vec<Field>,
    kinds: Vec<Kind>,
    texts: Vec<String>,
}

impl RowReader {
    fn hand_on(
        &mut self,
        mut row: Bytes,
        sink: &mut dyn ResultSink,
    ) -> Result<ControlFlow<()>, Failure> {
        self.kinds.clear();
        let nulls = if self.is_binary {
            wire::byte(&mut row)?;
            wire::taken(&mut row, (self.fields.len() + 9) / 8)?
        } else {
            Bytes::new()
        };
        for (index, (field, text)) in self.fields.iter().zip(&mut self.texts).enumerate() {
            text.clear();
            let column = &field.column_type;
            let kind = if self.is_binary {
                match nulls[(index + 2) / 8] >> ((index + 2) % 8) & 1 {
                    1 => Ok(Kind::Null),
                    _ => column.read_binary(&mut row, text),
                }
            } else {
                match text_cell(&mut row)? {
                    None => Ok(Kind::Null),
                    Some(bytes) => column.told(&bytes, text),
                }
            };
            self.kinds.push(kind.map_err(|error| match error {
                UnreadableOr::Wire(error) => Failure::Wire(error),
                UnreadableOr::Unreadable => Failure::Own(format!(
                    "column `{}` of type {} holds a value that cannot be read: cast it to text",
                    field.name,
                    column.name()
                )),
            })?);
        }
        if !row.is_empty() {
            return Err(WireError::Protocol("a row that does not fit its columns").into());
        }
        let cells: Vec<_> = self
            .kinds
            .iter()
            .zip(&self.texts)
            .map(|(kind, text)| kind.cell(text))
            .collect();
        Ok(sink.row(&cells))
    }
}

/// Reads a little further; whether that was the end of the statement.
async fn skim(wire: &mut Wire) -> Result<bool, WireError> {
    let mut read = 0;
    loop {
        match wire.row().await? {
            RowReply::Done(done) => return Ok(!done.more_results()),
            RowReply::Row(row) => read += row.len(),
            RowReply::Refused(_) => return Ok(false),
        }
        if read > WORTH_READING {
            return Ok(false);
        }
    }
}

/// Hands on what the server has to say about a statement that succeeded.
async fn tell_warnings(
    wire: &mut Wire,
    done: Done,
    sink: &mut dyn ResultSink,
) -> Result<(), Failure> {
    if done.warnings == 0 {
        return Ok(());
    }
    for warning in warnings(wire).await? {
        if let Ok([Some(level), Some(number), Some(message)]) = <[_; 3]>::try_from(warning) {
            sink.notice(&format!("{level} {number}: {message}"));
        }
    }
    if usize::from(done.warnings) > MOST_WARNINGS {
        let more = usize::from(done.warnings) - MOST_WARNINGS;
        sink.notice(&format!("Note: {more} more warnings are not shown"));
    }
    Ok(())
}

async fn warnings(wire: &mut Wire) -> Result<Vec<Vec<Option<String>>>, Failure> {
    let told = wire
        .own_rows(&format!("SHOW WARNINGS LIMIT {MOST_WARNINGS}"))
        .await?;
    told.map_err(Failure::Server)
}

// ---------------------------------------------------------------------------------------------- stopping

/// Lets `work` run until it ends; stops it when the caller leaves or the time is up. Says how it ended, if the server
/// said so in time, and whether it was stopped, by the time (`true`) or the caller.
async fn watch(
    work: impl Future<Output = Ended>,
    limit: Duration,
    cancel: &CancellationToken,
    progress: &Progress,
    stop: Stop,
) -> (Option<Ended>, Option<bool>) {
    let mut work = pin!(work);
    let timeout = tokio::select! {
        biased;
        ended = &mut work => return (Some(ended), None),
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(limit + SLACK) => true,
    };
    progress.stopping.store(true, Ordering::SeqCst);
    tokio::spawn(stop.ask());
    let ended = tokio::time::timeout(GRACE, work).await.ok();
    (ended, Some(timeout))
}

/// How to ask the server to stop a statement.
struct Stop {
    address: Arc<Address>,
    thread: u32,
}

impl Stop {
    async fn ask(self) {
        if let Err(error) = Wire::cancel(&self.address, self.thread).await {
            tracing::warn!(%error, "a statement could not be stopped at the server");
        }
    }
}

/// Whether the statement was stopped: killed, or at the server's own time limit (MySQL's and MariaDB's number).
fn is_interruption(message: &ServerMessage) -> bool {
    matches!(message.number, 1317 | 3024 | 1969)
}

/// Whether it was refused for being no read: by the transaction (1792), a server that is read-only (1290, 1836), or a
/// privilege that the credential does not have (database, table, column, routine, administrative).
fn is_wall(message: &ServerMessage) -> bool {
    matches!(
        message.number,
        1792 | 1290 | 1836 | 1044 | 1142 | 1143 | 1227 | 1370
    )
}

// ---------------------------------------------------------------------------------------------- statements

fn longest_packet(budget: &Budget) -> usize {
    usize::try_from(budget.bytes.saturating_mul(2).saturating_add(1 << 20)).unwrap_or(usize::MAX)
}

fn limits(flavour: Flavour, budget: &Budget, longest_lock_wait: Duration) -> String {
    let time = budget
        .timeout
        .clamp(Duration::from_millis(1), Duration::from_secs(1_000_000));
    // Whole seconds, and zero would mean at once for one and for ever for the other.
    let lock = time.min(longest_lock_wait).as_secs().max(1);
    let statement = match flavour {
        Flavour::MariaDb => format!("max_statement_time = {:.3}", time.as_secs_f64()),
        Flavour::MySql => format!("max_execution_time = {}", time.as_millis()),
    };
    format!(
        "SET SESSION {statement}, SESSION lock_wait_timeout = {lock}, SESSION innodb_lock_wait_timeout = {lock}"
    )
}

/// The words of a statement in capitals; none of one that does not begin with a word: what a comment holds may run.
fn words(statement: &str) -> impl Iterator<Item = String> {
    let statement = statement.trim_start();
    let begins = statement.starts_with(|first: char| first.is_ascii_alphabetic());
    if begins { statement } else { "" }
        .split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_uppercase)
}

/// Whether the statement is of a kind that never commits by itself.
fn changes_rows(statement: &str) -> bool {
    words(statement).next().is_some_and(|word| {
        matches!(
            &*word,
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "SELECT" | "WITH" | "VALUES"
        )
    })
}

/// Whether the statement defines one thing, which succeeds or fails as a whole.
fn is_one_definition(statement: &str) -> bool {
    let mut words = words(statement);
    let (verb, what) = (words.next(), words.next());
    match (verb.as_deref(), what.as_deref()) {
        (Some("CREATE" | "ALTER"), Some("TABLE")) => true,
        (Some("CREATE" | "ALTER" | "DROP" | "TRUNCATE" | "GRANT" | "REVOKE"), _) => {
            !statement.contains(',')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_begins_with_anything_else_may_commit_by_itself() {
        for sql in [
            "UPDATE t SET a = 1",
            " insert into t values (1)",
            "WITH a AS (SELECT 1) SELECT * FROM a",
        ] {
            assert!(changes_rows(sql), "{sql}");
        }
        for sql in [
            "CALL p()",
            "/*!50000 DROP TABLE t */",
            "(SELECT 1)",
            "DROP TABLE t",
            "BEGIN NOT ATOMIC COMMIT; END",
            "",
        ] {
            assert!(!changes_rows(sql), "{sql}");
        }
    }
}
