//! One batch on a SQL Server or Azure SQL database.
//!
//! The server has no read-only transaction. A read is kept from changing anything by four things instead: a credential
//! that may only read (`db_datareader`), a login that says it will only read and so may be sent to a replica, a
//! transaction that is rolled back whatever happened in it, and a look at whether that transaction was still there in
//! the end: a statement that ended it is never reported as a read. An effect runs in one transaction that ends as its
//! [`Ending`] says once its statement has succeeded.
//!
//! The caller's text travels as a parameter of `sp_executesql`, its values as typed parameters `@P1`, `@P2`, …; so the
//! batch is compiled on its own, and a transaction it leaves open or ends is an error of the server's (266). What it
//! left behind in the session is gone before the connection is lent again: the server resets the session with the next
//! request and says so, or nothing more is asked of it.
//!
//! What is measured by rows counts what triggers changed too, unless they SET NOCOUNT ON: too many rather than too few.
//!
//! INVARIANT: `COMMIT` is sent once, never after the caller left or the time was up, and from the moment it is sent a
//! lost connection means nobody knows.

use std::{
    collections::BTreeSet,
    future::Future,
    ops::ControlFlow,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        connection::{Access, Budget, Token},
        masking::ServerColumn,
        operation::{Param, SqlOperation},
        session::Preview,
    },
    gateway::ports::{Completion, Ending, ResultSink, RunError},
};

use super::unknown_reach;
use address::Address;
use login::Value;
use origins::{Described, Origins};
use session::{Lease, Pool};
use types::{Column, Shown};
use wire::{Reply, Row, ServerMessage, Transaction, Wire, WireError};

mod address;
mod catalog;
mod collation;
mod login;
mod origins;
mod overreach;
mod own;
mod session;
mod stream;
mod types;
mod wire;

/// How long the server may take to answer a request to stop.
const GRACE: Duration = Duration::from_secs(3);
/// How long it may take to stop sending a result nobody wants any more.
const STOPPING: Duration = Duration::from_millis(250);
/// Nobody waits for a lock longer than this: a statement that waits makes others wait behind it.
const LONGEST_LOCK_WAIT: Duration = Duration::from_secs(10);
/// The same for what is rolled back anyway.
const LONGEST_LOCK_WAIT_TO_ROLL_BACK: Duration = Duration::from_secs(2);
/// The most parameters a call may have, less the two that are the gateway's.
const MOST_PARAMS: usize = 2_098;

/// What the classifier takes for granted, said again after every reset, and what keeps a failure from being half done.
const SETTINGS: &str = "SET QUOTED_IDENTIFIER, ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL, XACT_ABORT ON; \
     SET NUMERIC_ROUNDABORT, IMPLICIT_TRANSACTIONS, CURSOR_CLOSE_ON_COMMIT, NOCOUNT OFF; \
     SET TRANSACTION ISOLATION LEVEL READ COMMITTED";
/// A reader is the one to give way where two wait for each other.
const READ_SETTINGS: &str = "SET DEADLOCK_PRIORITY LOW";
/// Ends every read.
const UNDO: &str = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION";

/// Refusals that say: this credential may not. 229, 230, 262, 297, 300 and 15247 name a permission, 3906 and 3908 a
/// database that cannot be written to.
const SECOND_WALL: [i32; 8] = [229, 230, 262, 297, 300, 3906, 3908, 15247];
/// Errors of the compiler: what they quote is its text, or a name in the schema. Text that was put together from rows
/// while a batch ran is compiled too, and quoted just the same.
const COMPILERS: [i32; 20] = [
    102, 105, 137, 147, 156, 170, 195, 205, 206, 207, 208, 209, 306, 402, 4104, 4121, 8117, 8120,
    8155, 8156,
];
/// The statement left another count of open transactions than it found.
const OTHER_COUNT: i32 = 266;
/// Refusals of what runs outside transactions only.
const OUTSIDE_ONLY: [i32; 4] = [226, 574, 3021, 15002];
/// Syntax errors: nothing of the batch was run.
const NOT_COMPILED: u8 = 15;

/// One endpoint: a server, a database, a credential.
pub(super) struct Mssql {
    access: Access,
    pool: Arc<Pool>,
    origins: Origins,
}

/// How a statement ended on its connection.
struct Ended {
    result: Result<Completion, Failure>,
    after: After,
}

/// What is to be done with the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// Lent again, reset first; at most its undoing is still under way.
    Keep,
    /// Closed.
    Discard,
    /// Stopped at the server and closed: something may still run.
    Abandon,
}

enum Failure {
    Server(Box<ServerMessage>),
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

type Failed = (Failure, After);

fn lost(error: WireError) -> Failed {
    (Failure::Wire(error), After::Abandon)
}

/// What watcher and worker tell each other.
#[derive(Default)]
struct Progress {
    /// The watcher: stop, and do not commit any more.
    stop: CancellationToken,
    /// The worker: from here on a lost connection means nobody knows.
    past_return: AtomicBool,
}

impl Progress {
    fn go_on(&self) -> Result<(), Failed> {
        if self.stop.is_cancelled() {
            return Err((Failure::Stopped, After::Discard));
        }
        Ok(())
    }
}

impl Mssql {
    pub(super) fn open(
        url: &str,
        token: Option<Token>,
        access: Access,
    ) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {
            access,
            pool: Pool::new(Address::parse(url, token)?, access),
            origins: Origins::default(),
        }))
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }

    /// What was told of results may hold no more.
    pub(super) fn catalog_changed(&self) {
        self.origins.forget_all();
    }

    /// The server tells the plan of a change only to who may make it, so nothing is estimated with the read credential.
    pub(super) fn preview() -> Preview {
        unknown_reach("SQL Server plans a change only for a credential that may make it")
    }

    pub(super) async fn run(
        &self,
        operation: &SqlOperation,
        budget: &Budget,
        ending: Ending,
        sink: &mut dyn ResultSink,
        cancel: &CancellationToken,
    ) -> Result<Completion, RunError> {
        let call = Call::new(operation).map_err(|message| RunError::Refused {
            code: None,
            message,
            second_wall: false,
            unread: true,
        })?;
        let mut lease = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(RunError::Cancelled { timeout: false }),
            lent = self.pool.lend() => lent.map_err(|error| RunError::Unreachable(error.to_string()))?,
        };
        let progress = Progress::default();
        let started = Instant::now();
        let work = async {
            let (result, after) = match self.access {
                Access::Read => self.read(&mut lease, &call, budget, sink, &progress).await,
                Access::Write => {
                    self.write(&mut lease, &call, budget, ending, sink, &progress)
                        .await
                }
            }
            .map_or_else(
                |(failure, after)| (Err(failure), after),
                |(completion, after)| (Ok(completion), after),
            );
            Ended { result, after }
        };
        let (ended, stopped) = watch(work, budget.timeout, cancel, &progress).await;
        match ended.as_ref().map_or(After::Abandon, |ended| ended.after) {
            After::Keep => lease.give_back(),
            After::Discard => lease.discard(),
            After::Abandon => drop(lease),
        }
        let timeout = stopped.unwrap_or(started.elapsed() >= budget.timeout);
        match ended {
            Some(ended) => ended.result.map_err(|failure| {
                self.told(failure, &call, stopped.is_some(), timeout, &progress)
            }),
            None if self.access == Access::Read => Err(RunError::Cancelled { timeout }),
            None => Err(RunError::Unknown(
                "the server did not answer the request to stop; the statement may still be running"
                    .into(),
            )),
        }
    }

    fn told(
        &self,
        failure: Failure,
        call: &Call<'_>,
        stopped: bool,
        timeout: bool,
        progress: &Progress,
    ) -> RunError {
        let refused = |code: Option<&str>, message: String| RunError::Refused {
            code: code.map(Into::into),
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
            Failure::Server(message) => {
                let denied = SECOND_WALL.contains(&message.number);
                // What it may not even read tells of no write.
                let wants_more = denied && !message.message.starts_with("The SELECT permission");
                RunError::Refused {
                    code: Some(message.code()),
                    message: message.raw(),
                    second_wall: reading && wants_more,
                    // Denials name what is there; the compiler quotes the text, which here no data was put into.
                    unread: denied
                        || COMPILERS.contains(&message.number) && is_query(call.statement),
                }
            }
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
                refused(Some("08S01"), format!("{error}; {why}"))
            }
        }
    }

    // ------------------------------------------------------------------------------------------ reads

    async fn read(
        &self,
        lease: &mut Lease,
        call: &Call<'_>,
        budget: &Budget,
        sink: &mut dyn ResultSink,
        progress: &Progress,
    ) -> Result<(Completion, After), Failed> {
        let wire = lease.wire().map_err(lost)?;
        let opening = format!(
            "{READ_SETTINGS}; {}",
            lock_timeout(budget, LONGEST_LOCK_WAIT)
        );
        begin(wire, &opening, budget, progress).await?;
        let described = self.origins.describe(wire, call).await?;
        progress.go_on()?;
        wire.send_call(&call.execute()).await.map_err(lost)?;
        let ran = consume(wire, &described, sink, Rest::Leave).await;
        if !matches!(ran, Ok(_) | Err(Failure::Server(_))) {
            return ran
                .map(|_| (Completion::default(), After::Abandon))
                .map_err(|failure| (self.forgetful(failure, call), After::Abandon));
        }
        let lasting = match &ran {
            Ok(ran) => ran.finished && wire.transaction() != Transaction::Open,
            // Its own abort is how a failed statement ends a transaction; anything else was the statement's doing.
            Err(_) => wire.transaction() == Transaction::Committed,
        };
        if lasting {
            let why = "the statement ended the transaction that would have undone it: what it did may have stayed";
            return Err((Failure::Unknown(why.into()), After::Discard));
        }
        let after = match &ran {
            Ok(Ran {
                finished: false, ..
            }) => match tokio::time::timeout(STOPPING, wire.stop()).await {
                Ok(Ok(())) => After::Keep,
                _ => After::Abandon,
            },
            Err(Failure::Server(message)) if message.ends_the_connection() => After::Discard,
            _ => After::Keep,
        };
        if after == After::Keep {
            wire.stop_on(None);
            wire.send_own(UNDO).await.map_err(lost)?;
        }
        match ran {
            Ok(_) => Ok((Completion::default(), after)),
            Err(failure) => Err((failure, after)),
        }
    }

    /// What does not fit its description is described anew the next time.
    fn forgetful(&self, failure: Failure, call: &Call<'_>) -> Failure {
        if matches!(failure, Failure::Own(_)) {
            self.origins.forget(call);
        }
        failure
    }

    // ------------------------------------------------------------------------------------------ effects

    async fn write(
        &self,
        lease: &mut Lease,
        call: &Call<'_>,
        budget: &Budget,
        ending: Ending,
        sink: &mut dyn ResultSink,
        progress: &Progress,
    ) -> Result<(Completion, After), Failed> {
        let lock_wait = match ending {
            Ending::Commit { .. } => LONGEST_LOCK_WAIT,
            Ending::RollBack => LONGEST_LOCK_WAIT_TO_ROLL_BACK,
        };
        if ending != (Ending::Commit { at_most: None }) && !can_be_undone(call.statement) {
            let why = "it may end its transaction itself or reach beyond it, so it could not be rolled back: it was not run";
            return Err((Failure::Own(why.into()), After::Keep));
        }
        let wire = lease.wire().map_err(lost)?;
        begin(wire, &lock_timeout(budget, lock_wait), budget, progress).await?;
        let described = self.origins.describe(wire, call).await?;
        progress.go_on()?;
        wire.send_call(&call.execute()).await.map_err(lost)?;
        let ran = match consume(wire, &described, sink, Rest::Await).await {
            Ok(ran) => ran,
            Err(Failure::Server(message))
                if OUTSIDE_ONLY.contains(&message.number) && is_outside_only(call.statement) =>
            {
                if ending != (Ending::Commit { at_most: None }) {
                    let why = "SQL Server runs it outside transactions only, so it could not be rolled back: it was not run";
                    return Err((Failure::Own(why.into()), After::Discard));
                }
                // The server refused before it began: this is the one case in which the statement is sent again.
                wire.send_own(UNDO).await.map_err(lost)?;
                wire.settle().await.map_err(lost)?;
                return write_outside(wire, call, sink, progress).await;
            }
            // Closing the connection rolls back just as surely as saying so.
            Err(failure @ Failure::Server(_)) => return Err((failure, After::Discard)),
            Err(failure) => return Err((self.forgetful(failure, call), After::Abandon)),
        };
        let completion = Completion {
            affected: ran.affected,
            // Of rows that triggers and foreign keys change the server does not tell.
            changed: ran.affected,
            ..Completion::default()
        };
        if wire.transaction() != Transaction::Open {
            if ending != (Ending::Commit { at_most: None }) {
                let why = "the statement ended its transaction itself, so what it did could not be rolled back";
                return Err((Failure::Unknown(why.into()), After::Discard));
            }
            // What it wanted to be lasting is.
            return Ok((completion, After::Discard));
        }
        if let Some(error) = ending.refuses(completion.changed) {
            // Closing the connection rolls back.
            return Err((Failure::NotCommitted(error), After::Discard));
        }
        if ending == Ending::RollBack {
            wire.send_own(UNDO).await.map_err(lost)?;
            return match wire.settle().await.map_err(lost)? {
                None => Ok((completion, After::Keep)),
                Some(refused) => Err((Failure::Server(refused), After::Discard)),
            };
        }
        progress.go_on()?;
        progress.past_return.store(true, Ordering::SeqCst);
        wire.stop_on(None);
        commit(wire, sink).await?;
        Ok((completion, After::Keep))
    }
}

/// Begins the transaction in which the statement is to run. Awaited: without it, an effect would stay as it is made.
async fn begin(
    wire: &mut Wire,
    settings: &str,
    budget: &Budget,
    progress: &Progress,
) -> Result<(), Failed> {
    wire.limit_tokens(longest_token(budget));
    wire.stop_on(Some(progress.stop.clone()));
    let opening = format!("{SETTINGS}; {settings}; BEGIN TRANSACTION");
    wire.send_own(&opening).await.map_err(lost)?;
    if let Some(refused) = wire.settle().await.map_err(lost)? {
        return Err((Failure::Server(refused), After::Discard));
    }
    progress.go_on()?;
    if wire.transaction() != Transaction::Open {
        return Err(lost(WireError::Protocol(
            "a transaction that was not begun",
        )));
    }
    Ok(())
}

async fn commit(wire: &mut Wire, sink: &mut dyn ResultSink) -> Result<(), Failed> {
    wire.send_own("COMMIT TRANSACTION").await.map_err(lost)?;
    let mut refused: Option<Box<ServerMessage>> = None;
    loop {
        match wire.next().await.map_err(lost)? {
            Reply::Refused(message) => {
                refused.get_or_insert(message);
            }
            Reply::Notice(notice) => sink.notice(&notice.raw_notice()),
            Reply::Ready => break,
            _ => {}
        }
    }
    let failure = match (wire.transaction(), refused) {
        (Transaction::Committed, _) => return Ok(()),
        (_, Some(message)) if message.ends_the_connection() => {
            Failure::Unknown("the server ended the connection during the commit".into())
        }
        (_, Some(message)) => Failure::Server(message),
        (Transaction::RolledBack, None) => {
            Failure::Own("the server rolled the transaction back".into())
        }
        // The count of open transactions went down by one, and not to none.
        (Transaction::Open | Transaction::None, None) => Failure::Own(
            "the statement began a transaction and did not end it, so everything was rolled back"
                .into(),
        ),
    };
    Err((failure, After::Discard))
}

/// What SQL Server refuses to do inside a transaction, such as ALTER DATABASE or BACKUP.
async fn write_outside(
    wire: &mut Wire,
    call: &Call<'_>,
    sink: &mut dyn ResultSink,
    progress: &Progress,
) -> Result<(Completion, After), Failed> {
    progress.go_on()?;
    progress.past_return.store(true, Ordering::SeqCst);
    wire.send_call(&call.execute()).await.map_err(lost)?;
    let maybe = |why: String| {
        Failure::Unknown(format!(
            "the statement cannot run in a transaction, and {why}: part of its work may remain"
        ))
    };
    match consume(wire, &Described::default(), sink, Rest::Await).await {
        Ok(ran) => {
            let completion = Completion {
                affected: ran.affected,
                changed: None,
                ..Completion::default()
            };
            Ok((completion, After::Discard))
        }
        Err(Failure::Server(message)) if message.class == NOT_COMPILED => {
            Err((Failure::Server(message), After::Discard))
        }
        Err(Failure::Server(message)) => {
            let code = message.code();
            Err((maybe(format!("failed with {code}")), After::Discard))
        }
        Err(Failure::Own(why)) => Err((maybe(why), After::Abandon)),
        Err(Failure::Stopped) => Err((maybe("was stopped".into()), After::Discard)),
        Err(failure) => Err((failure, After::Abandon)),
    }
}

/// Lets `work` run until it ends; stops it when the caller leaves or the time is up. Says how it ended, if the server
/// said so in time, and whether it was stopped, by the time (`true`) or the caller.
async fn watch(
    work: impl Future<Output = Ended>,
    limit: Duration,
    cancel: &CancellationToken,
    progress: &Progress,
) -> (Option<Ended>, Option<bool>) {
    let mut work = pin!(work);
    let timeout = tokio::select! {
        biased;
        ended = &mut work => return (Some(ended), None),
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(limit) => true,
    };
    progress.stop.cancel();
    let ended = tokio::time::timeout(GRACE, work).await.ok();
    (ended, Some(timeout))
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
    /// Rows changed, where the server counted.
    affected: Option<u64>,
    /// `false`: there are rows left.
    finished: bool,
}

/// Hands a running statement's result to the sink, up to the end of the server's answer.
async fn consume(
    wire: &mut Wire,
    described: &Described,
    sink: &mut dyn ResultSink,
    rest: Rest,
) -> Result<Ran, Failure> {
    const SECOND_RESULT: &str = "the batch gives more than one result: ask for one at a time";
    let mut reader: Option<RowReader> = None;
    let mut ran = Ran {
        affected: None,
        finished: true,
    };
    let mut failure: Option<Box<ServerMessage>> = None;
    // Whether the statement ended its transaction before anything failed: then a failure does not undo it.
    let mut ended_itself = false;
    let mut results = 0_u32;
    loop {
        let reply = match wire.next().await {
            Ok(reply) => reply,
            // A server that ends the connection says why before it hangs up.
            Err(WireError::Lost(lost)) => {
                return Err(match failure {
                    Some(message) => judged(message, ended_itself, wire),
                    None if wire.transaction() == Transaction::Open => WireError::Lost(lost).into(),
                    None => Failure::Unknown(
                        "the connection was lost after the statement ended its transaction itself"
                            .into(),
                    ),
                });
            }
            Err(error) => return Err(error.into()),
        };
        match reply {
            Reply::Columns(columns) => {
                results += 1;
                if results == 1 {
                    let columns = described.of(&columns).ok_or_else(changed)?;
                    sink.columns(&columns.0);
                    reader = Some(columns.into());
                } else if rest == Rest::Leave {
                    return Err(Failure::Own(SECOND_RESULT.into()));
                } else {
                    // It has effects, which are not to fail for what cannot be shown.
                    if results == 2 {
                        sink.notice(SECOND_RESULT);
                    }
                    reader = None;
                }
            }
            Reply::Row(row) => {
                if let Some(taker) = &mut reader
                    && taker.hand_on(&row, sink)?.is_break()
                {
                    reader = None;
                    if rest == Rest::Leave {
                        ran.finished = false;
                        return Ok(ran);
                    }
                }
            }
            Reply::Done(done) => {
                // The server does not always say what it was that failed.
                if done.failed && failure.is_none() {
                    return Err(Failure::Own(
                        "the server says that it failed, and not why".into(),
                    ));
                }
                if let (Some(rows), false) = (done.rows, done.is_query) {
                    let before = ran.affected.unwrap_or_default();
                    ran.affected = Some(before.saturating_add(rows));
                }
            }
            Reply::Refused(message) => {
                if failure.is_none() {
                    ended_itself = wire.transaction() != Transaction::Open;
                    failure = Some(message);
                }
            }
            Reply::Notice(notice) => sink.notice(&notice.raw_notice()),
            Reply::Ready => {
                return match failure {
                    // All it complains of is that the statement ended its transaction: the callers know.
                    Some(message) if message.number == OTHER_COUNT && ended_itself => Ok(ran),
                    Some(message) => Err(judged(message, ended_itself, wire)),
                    None if wire.was_stopped() && wire.transaction() == Transaction::Committed => {
                        Err(Failure::Unknown(
                            "it was stopped after it had committed a part itself".into(),
                        ))
                    }
                    None if wire.was_stopped() => Err(Failure::Stopped),
                    None => Ok(ran),
                };
            }
            Reply::LoggedIn | Reply::Referred { .. } => {}
        }
    }
}

/// A failure as what it means: where the statement has ended its transaction itself, not everything is undone by it.
fn judged(message: Box<ServerMessage>, ended_itself: bool, wire: &Wire) -> Failure {
    if ended_itself || wire.transaction() == Transaction::Committed {
        Failure::Unknown(format!(
            "the statement ended its transaction itself and failed with {}: part of its work may remain",
            message.code()
        ))
    } else {
        Failure::Server(message)
    }
}

fn changed() -> Failure {
    Failure::Own("what it reads was changed at this moment: ask again".into())
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// Turns rows into cells, one at a time.
struct RowReader {
    columns: Vec<ServerColumn>,
    layout: Arc<[Column]>,
    texts: Vec<String>,
}

impl From<(Vec<ServerColumn>, Arc<[Column]>)> for RowReader {
    fn from((columns, layout): (Vec<ServerColumn>, Arc<[Column]>)) -> Self {
        Self {
            texts: vec![String::new(); columns.len()],
            columns,
            layout,
        }
    }
}

impl RowReader {
    fn hand_on(
        &mut self,
        row: &Row,
        sink: &mut dyn ResultSink,
    ) -> Result<ControlFlow<()>, Failure> {
        let mut shown = Vec::with_capacity(self.texts.len());
        for ((value, text), (column, told)) in row
            .values(&self.layout)
            .zip(&mut self.texts)
            .zip(self.layout.iter().zip(&self.columns))
        {
            text.clear();
            shown.push(match value? {
                None => Shown::Null,
                Some(value) => column
                    .info
                    .kind
                    .write(&value, text)
                    .map_err(|_| unreadable(told))?,
            });
        }
        let cells: Vec<_> = shown
            .iter()
            .zip(&self.texts)
            .map(|(shown, text)| shown.cell(text))
            .collect();
        Ok(sink.row(&cells))
    }
}

fn unreadable(column: &ServerColumn) -> Failure {
    Failure::Own(format!(
        "column `{}` of type {} holds a value that cannot be read: cast it to nvarchar(max), or to varbinary(max) to see its bytes",
        column.name, column.type_name
    ))
}

/// What one row may have on the wire, where a letter takes two bytes.
fn longest_token(budget: &Budget) -> usize {
    usize::try_from(budget.bytes.saturating_mul(2).saturating_add(1 << 20)).unwrap_or(usize::MAX)
}

fn lock_timeout(budget: &Budget, longest: Duration) -> String {
    let wait = budget.timeout.min(longest).as_millis().max(1);
    format!("SET LOCK_TIMEOUT {wait}")
}

// ---------------------------------------------------------------------------------------------- the statement

/// What is asked of the server.
struct Call<'a> {
    statement: &'a str,
    /// `@P1 bigint, @P2 nvarchar(4000)`
    declaration: String,
    values: Vec<(String, Value<'a>)>,
}

impl<'a> Call<'a> {
    fn new(operation: &'a SqlOperation) -> Result<Self, String> {
        let params = &operation.params;
        if params.len() > MOST_PARAMS {
            return Err(format!(
                "{} parameters were given, and SQL Server takes {MOST_PARAMS}",
                params.len()
            ));
        }
        let used = placeholders(&operation.statement);
        let mut values = Vec::with_capacity(params.len());
        for (number, param) in (1..).zip(params) {
            if !used.contains(&number) {
                return Err(format!(
                    "{} parameters were given, and the statement does not use @P{number}: it takes them as @P1, @P2, …",
                    params.len()
                ));
            }
            values.push((format!("@P{number}"), value(param)?));
        }
        let declared = values
            .iter()
            .map(|(name, value)| format!("{name} {}", value.declared()));
        Ok(Self {
            statement: &operation.statement,
            declaration: declared.collect::<Vec<_>>().join(", "),
            values,
        })
    }

    fn execute(&self) -> Vec<u8> {
        login::execute(self.statement, &self.declaration, &self.values)
    }
}

/// The numbers `n` of all `@Pn` in the text, wherever they stand.
fn placeholders(statement: &str) -> BTreeSet<usize> {
    statement
        .split('@')
        .skip(1)
        .filter_map(|rest| {
            let digits = rest.strip_prefix(['p', 'P'])?;
            let end = digits
                .find(|letter: char| !letter.is_ascii_digit())
                .unwrap_or(digits.len());
            digits[..end].parse().ok()
        })
        .collect()
}

/// A parameter in the type that holds it exactly. Without one of its own, NULL is text.
fn value(param: &Param) -> Result<Value<'_>, String> {
    Ok(match param {
        Param::Null => Value::Text(None),
        Param::Bool(value) => Value::Bit(*value),
        Param::Text(text) => Value::Text(Some(text)),
        Param::Json(text) => Value::Text(Some(text)),
        Param::Number(digits) => match digits.parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => decimal(digits).ok_or_else(|| {
                format!(
                    "SQL Server has no number for the parameter {digits}: it has 38 digits at most"
                )
            })?,
        },
    })
}

fn decimal(text: &str) -> Option<Value<'static>> {
    if text.contains(['e', 'E']) {
        let number: f64 = text.parse().ok()?;
        return number.is_finite().then_some(Value::Float(number));
    }
    let digits = text.strip_prefix('-');
    let (whole, fraction) = digits
        .unwrap_or(text)
        .split_once('.')
        .unwrap_or((digits.unwrap_or(text), ""));
    let magnitude: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = u8::try_from(fraction.len()).ok()?;
    (scale <= 38 && magnitude < 10_u128.pow(38)).then_some(Value::Decimal {
        negative: digits.is_some(),
        magnitude,
        scale,
    })
}

/// The words of a statement in capitals, those in comments and texts too.
fn words(statement: &str) -> impl Iterator<Item = String> {
    statement
        .split(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '@' | '#' | '$'))
        .filter(|word| !word.is_empty())
        .map(str::to_uppercase)
}

/// Whether the batch is queries alone, in which neither a trigger, a procedure nor text put together can run.
fn is_query(statement: &str) -> bool {
    const OTHERWISE: [&str; 7] = [
        "INSERT", "UPDATE", "DELETE", "MERGE", "EXEC", "EXECUTE", "CALL",
    ];
    matches!(words(statement).next().as_deref(), Some("SELECT" | "WITH"))
        && !words(statement).any(|word| OTHERWISE.contains(&&*word))
}

/// Whether a rollback surely undoes all of it. Statements that call procedures, run text, reach other servers or speak
/// of transactions may not be.
fn can_be_undone(statement: &str) -> bool {
    const BEGINS: [&str; 10] = [
        "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "SELECT", "TRUNCATE", "CREATE", "ALTER",
        "DROP",
    ];
    const BEYOND: [&str; 14] = [
        "COMMIT",
        "ROLLBACK",
        "TRAN",
        "TRANSACTION",
        "DISTRIBUTED",
        "SAVE",
        "EXEC",
        "EXECUTE",
        "CALL",
        "OPENQUERY",
        "OPENROWSET",
        "OPENDATASOURCE",
        "SEND",
        "RECEIVE",
    ];
    words(statement)
        .next()
        .is_some_and(|first| BEGINS.contains(&&*first))
        && !words(statement).any(|word| BEYOND.contains(&&*word))
}

/// Whether the batch begins with what SQL Server runs outside transactions only. Anything else that is refused with the
/// same number may have been refused in its midst and is not sent again.
fn is_outside_only(statement: &str) -> bool {
    let mut words = words(statement);
    let (first, second) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    match &*first {
        "CREATE" | "ALTER" | "DROP" => matches!(
            &*second,
            "DATABASE" | "FULLTEXT" | "AVAILABILITY" | "ENDPOINT"
        ),
        "BACKUP" | "RESTORE" | "RECONFIGURE" | "KILL" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(statement: &str, params: Vec<Param>) -> SqlOperation {
        SqlOperation::new(statement.into(), params, None).unwrap()
    }

    #[test]
    fn a_parameter_travels_in_the_type_that_holds_it_exactly() {
        let number = |digits: &str| Param::Number(digits.into());
        for (param, declared) in [
            (Param::Null, "nvarchar(4000)"),
            (Param::Bool(true), "bit"),
            (Param::Text("x".repeat(4000)), "nvarchar(4000)"),
            (Param::Text("x".repeat(4001)), "nvarchar(max)"),
            (number("-7"), "bigint"),
            (number("9223372036854775808"), "decimal(38,0)"),
            (number("1.10"), "decimal(38,2)"),
            (
                number("-0.00000000000000000000000000000000000001"),
                "decimal(38,38)",
            ),
            (number("1e400"), ""),
            (number("1.5E3"), "float"),
            (number(&"9".repeat(39)), ""),
            (Param::Json("[1]".into()), "nvarchar(4000)"),
        ] {
            let operation = operation("SELECT @p1", vec![param.clone()]);
            match Call::new(&operation) {
                Ok(call) => assert_eq!(call.declaration, format!("@P1 {declared}"), "{param:?}"),
                Err(why) => assert!(declared.is_empty(), "{param:?}: {why}"),
            }
        }
    }

    #[test]
    fn a_parameter_nobody_uses_is_refused() {
        for (statement, given, fits) in [
            ("SELECT @P1, @P2", 2, true),
            ("SELECT @p2, @p1", 2, true),
            ("SELECT @P10", 1, false),
            ("SELECT ?", 1, false),
            ("SELECT $1", 1, false),
            ("SELECT @P1", 2, false),
        ] {
            let operation = operation(statement, vec![Param::Null; given]);
            assert_eq!(Call::new(&operation).is_ok(), fits, "{statement}");
        }
    }

    #[test]
    fn what_may_escape_a_rollback_is_known_by_its_words() {
        for statement in [
            "DELETE FROM t; COMMIT",
            "EXEC p",
            "p",
            "DECLARE @x int; EXEC(@x)",
            "INSERT INTO t EXECUTE p",
            "UPDATE t SET a = 1 ROLLBACK",
            "INSERT t SELECT * FROM OPENQUERY(s, 'DELETE')",
            "BACKUP DATABASE d TO DISK = 'x'",
            "/* */ commit",
        ] {
            assert!(!can_be_undone(statement), "{statement}");
        }
        for statement in [
            "DELETE FROM t",
            "update t set a = 1 where b in (select c from d)",
            "DROP TABLE t",
        ] {
            assert!(can_be_undone(statement), "{statement}");
        }
    }
}
