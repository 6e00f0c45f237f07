//! One statement on a PostgreSQL server.
//!
//! A read runs with the read credential inside `BEGIN READ ONLY … ROLLBACK`. The whole conversation is one flight of
//! messages, so it costs one round trip; only a statement not seen lately is described first, because what its columns
//! come from must be known before their first value is handed on (those that differ in numbers and strings alone are one
//! statement here). An effect runs in one transaction that ends as its
//! [`Ending`] says once its statement has succeeded.
//!
//! The caller's text goes through the extended protocol alone, where the server refuses a second statement. What it
//! left behind in the session is gone before the connection is lent again: a rollback undoes what a read set, its
//! advisory locks are released, and after anything but a plain read the connection is reset or closed.
//!
//! INVARIANT: `COMMIT` is sent once, never after the caller left or the time was up, and from the moment it is sent a
//! lost connection means nobody knows.

use std::{
    collections::HashMap,
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    ops::ControlFlow,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        connection::{Access, Budget, Token},
        masking::{Cell, ServerColumn},
        operation::{Param, SqlOperation},
    },
    gateway::ports::{Completion, Ending, ResultSink, RunError},
};

use address::Address;
use names::{Described, LookupError, Names};
use session::{Lease, Pool, give_back_reset};
use values::Shape;
use wire::{CancelKey, Reply, ServerMessage, TransactionStatus, Wire, WireError, cells};

pub(super) use address::Encryption;
pub(super) use values::is_json_number;

mod address;
mod catalog;
mod names;
mod overreach;
mod own;
mod preview;
mod session;
mod values;
mod wire;

/// The server stops a statement at its time limit by itself; this much later it is asked to.
const SLACK: Duration = Duration::from_millis(250);
/// How long the server may take to answer a request to cancel.
const GRACE: Duration = Duration::from_secs(3);
/// Nobody waits for a lock longer than this: a statement that waits makes others wait behind it.
const LONGEST_LOCK_WAIT: Duration = Duration::from_secs(10);
/// The same for what is rolled back anyway.
const LONGEST_LOCK_WAIT_TO_ROLL_BACK: Duration = Duration::from_secs(2);
/// How much of a result that is not wanted any more is read to keep its connection.
const WORTH_READING: usize = 256 << 10;
/// Statements remembered as described.
const MOST_KNOWN: usize = 4096;
/// Rows that this backend has changed and not reported yet: those of the transaction, and of what ran shortly before it.
/// Written so that nothing users have made can be called instead of what is meant.
const ROWS_CHANGED: &str = "SELECT pg_catalog.sum(n_tup_ins), pg_catalog.sum(n_tup_upd), pg_catalog.sum(n_tup_del), \
     pg_catalog.current_setting('track_counts') FROM pg_catalog.pg_stat_xact_user_tables";
/// Brings forward what a commit would run and check.
const AS_AT_COMMIT: &str = "SET CONSTRAINTS ALL IMMEDIATE";
/// Why no value of a result was handed on.
const UNDESCRIBED: &str = "the tables it reads were changed at this moment: ask again";
/// Ends every read. The locks are the one thing a read can take that a rollback does not give back.
const UNDO: &str = "ROLLBACK; SELECT pg_catalog.pg_advisory_unlock_all()";

/// One endpoint: a server, a database, a credential.
pub(super) struct Postgres {
    access: Access,
    pool: Arc<Pool>,
    names: Names,
    known: Mutex<HashMap<u64, Known>>,
    hasher: RandomState,
}

/// A statement that was described, and until when that may be believed.
#[derive(Clone, Copy)]
struct Known {
    until: Instant,
    params: usize,
}

/// How a statement ended on its connection.
struct Ended {
    result: Result<Completion, Failure>,
    after: After,
}

/// What is to be done with the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// Lent again; at most its undoing is still under way.
    Keep,
    /// Reset first.
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
    /// What its columns come from is not known any more, so none of their values was handed on.
    Undescribed,
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

/// What watcher and worker tell each other.
#[derive(Default)]
struct Progress {
    /// The watcher: do not commit any more.
    stopping: AtomicBool,
    /// The worker: from here on a lost connection means nobody knows.
    past_return: AtomicBool,
}

impl Postgres {
    pub(super) fn open(
        url: &str,
        token: Option<Token>,
        access: Access,
    ) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {
            access,
            pool: Pool::new(Address::parse(url, token)?, access),
            names: Names::default(),
            known: Mutex::default(),
            hasher: RandomState::new(),
        }))
    }

    pub(super) fn close(&self) {
        self.pool.close();
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
        let key = match lease.wire() {
            Ok(wire) => wire.cancel_key(),
            Err(error) => return Err(RunError::Unreachable(error.to_string())),
        };
        let stop = Stop {
            address: lease.address(),
            key,
        };
        let progress = Progress::default();
        let started = Instant::now();
        let work = async {
            match self.access {
                Access::Read => self.read(&mut lease, operation, budget, sink).await,
                Access::Write => {
                    self.write(&mut lease, operation, budget, ending, sink, &progress)
                        .await
                }
            }
        };
        let (ended, stopped) = watch(work, budget.timeout, cancel, &progress, stop).await;
        match ended.as_ref().map_or(After::Abandon, |ended| ended.after) {
            // A request to cancel may arrive late: it must not meet the next statement.
            After::Keep | After::Reset | After::Discard if stopped.is_some() => lease.discard(),
            After::Keep => lease.give_back(),
            After::Reset => give_back_reset(lease),
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
                "the server did not answer the request to cancel; the statement may still be running".into(),
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
            Failure::Undescribed => refused(None, UNDESCRIBED.into()),
            Failure::NotCommitted(error) => error,
            Failure::Server(message) if message.code == "57014" && (stopped || timeout) => {
                RunError::Cancelled { timeout }
            }
            Failure::Server(ref message) | Failure::Unread(ref message) => RunError::Refused {
                code: Some(message.code.clone()),
                message: message.raw(),
                second_wall: reading && matches!(&*message.code, "25006" | "42501"),
                unread: matches!(failure, Failure::Unread(_)),
            },
            Failure::Wire(error) if past_return => {
                RunError::Unknown(format!("{error} after the statement could take effect"))
            }
            Failure::Wire(error @ (WireError::TooLong(_) | WireError::Encoding)) => {
                refused(None, error.to_string())
            }
            Failure::Wire(error) => {
                let why = if reading {
                    "a read changes nothing"
                } else {
                    "its transaction was not committed, so nothing was changed"
                };
                refused(Some("08006"), format!("{error}; {why}"))
            }
        }
    }

    // ------------------------------------------------------------------------------------------ reads

    async fn read(
        &self,
        lease: &mut Lease,
        operation: &SqlOperation,
        budget: &Budget,
        sink: &mut dyn ResultSink,
    ) -> Ended {
        match self.try_read(lease, operation, budget, sink).await {
            Ok((completion, after)) => Ended {
                result: Ok(completion),
                after,
            },
            Err((failure, after)) => Ended {
                result: Err(failure),
                after,
            },
        }
    }

    async fn try_read(
        &self,
        lease: &mut Lease,
        operation: &SqlOperation,
        budget: &Budget,
        sink: &mut dyn ResultSink,
    ) -> Result<(Completion, After), (Failure, After)> {
        let abandon = |error: WireError| (Failure::Wire(error), After::Abandon);
        let wire = lease.wire().map_err(abandon)?;
        wire.limit_messages(longest_message(budget));
        let shape = self.shape(&operation.statement);
        if self.is_known(shape, operation.params.len()) {
            let now = Instant::now();
            match self.run_read(wire, operation, now, budget, sink).await {
                Err((Failure::Undescribed, _)) => {
                    self.known().remove(&shape);
                    if !matches!(tokio::time::timeout(SLACK, skim(wire)).await, Ok(Ok(true))) {
                        return Err((Failure::Undescribed, After::Abandon));
                    }
                    wire.settle().await.map_err(abandon)?;
                }
                ran => return ran,
            }
        }
        let described = Instant::now();
        let until = self.describe(wire, operation, sink).await?;
        let params = operation.params.len();
        self.remember(shape, Known { until, params });
        self.run_read(wire, operation, described, budget, sink)
            .await
    }

    /// Runs a read whose columns were described, or those of one like it.
    async fn run_read(
        &self,
        wire: &mut Wire,
        operation: &SqlOperation,
        described: Instant,
        budget: &Budget,
        sink: &mut dyn ResultSink,
    ) -> Result<(Completion, After), (Failure, After)> {
        let abandon = |error: WireError| (Failure::Wire(error), After::Abandon);
        let mut opening = String::from("BEGIN READ ONLY; ");
        opening.push_str(&limits(budget, LONGEST_LOCK_WAIT, "SET LOCAL"));
        wire.queue_own(&opening).map_err(abandon)?;
        wire.queue_run(&operation.statement, &[], params(operation))
            .map_err(abandon)?;
        wire.queue_own(UNDO).map_err(abandon)?;
        // The three travel together. Should the first fail, the session's default still lets nothing be written.
        wire.send().await.map_err(abandon)?;
        if let Some(refused) = answered(wire, sink).await.map_err(abandon)? {
            return Err((Failure::Server(refused), After::Abandon));
        }
        let ran = self
            .consume(wire, operation, described, sink, Rest::Leave)
            .await;
        match ran {
            Ok(Ran {
                finished: false, ..
            }) => {
                let after = match tokio::time::timeout(SLACK, skim(wire)).await {
                    Ok(Ok(true)) => After::Keep,
                    _ => After::Abandon,
                };
                Ok((Completion::default(), after))
            }
            Ok(ran) => {
                let after = if leaves_nothing(&ran.tag) {
                    After::Keep
                } else {
                    After::Discard
                };
                Ok((Completion::default(), after))
            }
            Err(failure @ Failure::Server(_)) if begins_a_query(&operation.statement) => {
                Err((failure, After::Keep))
            }
            Err(failure @ Failure::Server(_)) => Err((failure, After::Discard)),
            Err(failure) => Err((failure, After::Abandon)),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_known(&self, shape: u64, params: usize) -> bool {
        self.known()
            .get(&shape)
            .is_some_and(|known| known.params == params && Instant::now() < known.until)
    }

    fn remember(&self, shape: u64, described: Known) {
        let mut known = self.known();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(shape, described);
    }

    /// One number for all statements that differ in their numbers and strings alone: their columns come from the same
    /// places. Those that only seem to (a comment can have a quote in it) cost a second run, for what the server says of a
    /// result's columns is looked at each time.
    fn shape(&self, statement: &str) -> u64 {
        let (mut hasher, mut rest) = (self.hasher.build_hasher(), statement.as_bytes());
        let mut in_word = false;
        while let [first, after @ ..] = rest {
            let digit = first.is_ascii_digit() && !in_word;
            // Each number is as long as any other.
            if digit && after.first().is_some_and(u8::is_ascii_digit) {
                rest = after;
                continue;
            }
            hasher.write_u8(if digit { b'0' } else { *first });
            rest = match first {
                b'\'' => {
                    let end = memchr::memchr(b'\'', after).map_or(after.len(), |found| found + 1);
                    &after[end..]
                }
                b'"' => {
                    let end = memchr::memchr(b'"', after).map_or(after.len(), |found| found + 1);
                    hasher.write(&after[..end]);
                    &after[end..]
                }
                _ => after,
            };
            in_word = first.is_ascii_alphanumeric() || matches!(first, b'_' | b'$' | 0x80..);
        }
        hasher.finish()
    }

    /// Parses the statement without running it and learns what its columns are. Nothing has been run when it fails.
    async fn describe(
        &self,
        wire: &mut Wire,
        operation: &SqlOperation,
        sink: &mut dyn ResultSink,
    ) -> Result<Instant, (Failure, After)> {
        let abandon = |error: WireError| (Failure::Wire(error), After::Abandon);
        wire.queue_describe(&operation.statement, &[])
            .map_err(abandon)?;
        wire.send().await.map_err(abandon)?;
        let mut fields = Vec::new();
        let mut failure = None;
        loop {
            match wire.next().await.map_err(abandon)? {
                Reply::Parameters(count) => failure = wrong_count(operation, count),
                Reply::Columns(found) => fields = found,
                Reply::Refused(message) => failure = Some(Failure::Unread(message)),
                Reply::Notice(notice) => sink.notice(&notice.raw_notice()),
                Reply::Ready(_) => break,
                _ => {}
            }
        }
        if let Some(failure) = failure {
            return Err((failure, After::Keep));
        }
        self.names
            .learn(wire, &fields)
            .await
            .map_err(|error| (error.into(), After::Abandon))
    }

    // ------------------------------------------------------------------------------------------ effects

    async fn write(
        &self,
        lease: &mut Lease,
        operation: &SqlOperation,
        budget: &Budget,
        ending: Ending,
        sink: &mut dyn ResultSink,
        progress: &Progress,
    ) -> Ended {
        let ended = self
            .try_write(lease, operation, budget, ending, sink, progress)
            .await;
        match ended {
            Ok(completion) => Ended {
                result: Ok(completion),
                after: After::Reset,
            },
            Err((failure, after)) => Ended {
                result: Err(failure),
                after,
            },
        }
    }

    async fn try_write(
        &self,
        lease: &mut Lease,
        operation: &SqlOperation,
        budget: &Budget,
        ending: Ending,
        sink: &mut dyn ResultSink,
        progress: &Progress,
    ) -> Result<Completion, (Failure, After)> {
        let abandon = |error: WireError| (Failure::Wire(error), After::Abandon);
        let lock_wait = match ending {
            Ending::Commit { .. } => LONGEST_LOCK_WAIT,
            Ending::RollBack => LONGEST_LOCK_WAIT_TO_ROLL_BACK,
        };
        let wire = lease.wire().map_err(abandon)?;
        wire.limit_messages(longest_message(budget));
        let described = Instant::now();
        self.describe(wire, operation, sink).await?;
        if progress.stopping.load(Ordering::SeqCst) {
            return Err((Failure::Stopped, After::Discard));
        }
        // Awaited, unlike in a read: without its transaction the statement would be committed as it ends.
        let opening = format!("BEGIN; {}", limits(budget, lock_wait, "SET LOCAL"));
        wire.queue_own(&opening).map_err(abandon)?;
        if ending.counts() {
            wire.queue_own(ROWS_CHANGED).map_err(abandon)?;
        }
        wire.send().await.map_err(abandon)?;
        if let Some(refused) = answered(wire, sink).await.map_err(abandon)? {
            return Err((Failure::Server(refused), After::Discard));
        }
        let before = if ending.counts() {
            rows_changed(wire).await?
        } else {
            None
        };
        if progress.stopping.load(Ordering::SeqCst) {
            return Err((Failure::Stopped, After::Discard));
        }
        wire.queue_run(&operation.statement, &[], params(operation))
            .map_err(abandon)?;
        wire.send().await.map_err(abandon)?;
        let ran = self.consume(wire, operation, described, sink, Rest::Await);
        let ran = match ran.await {
            Ok(ran) => ran,
            Err(Failure::Server(message))
                if message.code == "25001" && wants_no_transaction(&operation.statement) =>
            {
                if ending.counts() {
                    let why = "PostgreSQL runs it outside transactions only, so it could not be rolled back: it was not run";
                    return Err((Failure::Own(why.into()), After::Discard));
                }
                // The server refused before it began: this is the one case in which the statement is sent again.
                wire.queue_own("ROLLBACK").map_err(abandon)?;
                wire.send().await.map_err(abandon)?;
                wire.settle().await.map_err(abandon)?;
                return self
                    .write_outside(wire, operation, described, budget, sink, progress)
                    .await;
            }
            // Closing the connection rolls back just as surely as saying so.
            Err(failure @ Failure::Server(_)) => return Err((failure, After::Discard)),
            Err(failure) => return Err((failure, After::Abandon)),
        };
        let mut completion = Completion {
            affected: ran.affected(),
            changed: None,
            ..Completion::default()
        };
        if ran.status == TransactionStatus::Idle {
            if ending.counts() {
                let what = "the statement ended its transaction by itself";
                return Err((Failure::Unknown(what.into()), After::Discard));
            }
            // In it nothing else had happened.
            return Ok(completion);
        }
        if ending.counts() {
            own(wire, AS_AT_COMMIT, sink).await?;
            wire.queue_own(ROWS_CHANGED).map_err(abandon)?;
            wire.send().await.map_err(abandon)?;
            let after = rows_changed(wire).await?;
            completion.changed = before
                .zip(after)
                .map(|(before, after)| after.saturating_sub(before))
                .max(completion.affected.filter(|_| after.is_some()));
        }
        if let Some(error) = ending.refuses(completion.changed) {
            // Closing the connection rolls back.
            return Err((Failure::NotCommitted(error), After::Discard));
        }
        if ending == Ending::RollBack {
            own(wire, "ROLLBACK", sink).await?;
            return Ok(completion);
        }
        if progress.stopping.load(Ordering::SeqCst) {
            return Err((Failure::Stopped, After::Discard));
        }
        progress.past_return.store(true, Ordering::SeqCst);
        wire.queue_own("COMMIT").map_err(abandon)?;
        wire.send().await.map_err(abandon)?;
        let mut outcome = Err(Failure::Unknown(
            "the server did not say that it committed".into(),
        ));
        loop {
            match wire.next().await.map_err(abandon)? {
                Reply::Complete(tag) if tag == "COMMIT" => outcome = Ok(completion.clone()),
                Reply::Complete(_) => {
                    outcome = Err(Failure::Own(
                        "the server rolled the transaction back".into(),
                    ));
                }
                // Terminated, rather than refused: it may have been committed before.
                Reply::Refused(message) if message.code.starts_with("57P") => {
                    return Err((
                        Failure::Unknown(
                            "the server ended the connection during the commit".into(),
                        ),
                        After::Discard,
                    ));
                }
                Reply::Refused(message) => outcome = Err(Failure::Server(message)),
                Reply::Notice(notice) => sink.notice(&notice.raw_notice()),
                Reply::Ready(_) => return outcome.map_err(|failure| (failure, After::Discard)),
                _ => {}
            }
        }
    }

    /// What PostgreSQL refuses to do inside a transaction, such as VACUUM or CREATE INDEX CONCURRENTLY.
    async fn write_outside(
        &self,
        wire: &mut Wire,
        operation: &SqlOperation,
        described: Instant,
        budget: &Budget,
        sink: &mut dyn ResultSink,
        progress: &Progress,
    ) -> Result<Completion, (Failure, After)> {
        let abandon = |error: WireError| (Failure::Wire(error), After::Abandon);
        if progress.stopping.load(Ordering::SeqCst) {
            return Err((Failure::Stopped, After::Discard));
        }
        wire.queue_own(&limits(budget, LONGEST_LOCK_WAIT, "SET"))
            .map_err(abandon)?;
        wire.send().await.map_err(abandon)?;
        wire.settle().await.map_err(abandon)?;
        if progress.stopping.load(Ordering::SeqCst) {
            return Err((Failure::Stopped, After::Discard));
        }
        progress.past_return.store(true, Ordering::SeqCst);
        wire.queue_run(&operation.statement, &[], params(operation))
            .map_err(abandon)?;
        wire.send().await.map_err(abandon)?;
        let ran = self.consume(wire, operation, described, sink, Rest::Await);
        match ran.await {
            Ok(ran) => Ok(Completion {
                affected: ran.affected(),
                changed: None,
                ..Completion::default()
            }),
            Err(Failure::Server(message)) if message.code.starts_with("57P") => Err((
                Failure::Unknown("the server ended the connection while the statement ran".into()),
                After::Discard,
            )),
            Err(Failure::Server(message)) if may_leave_parts(&operation.statement, &message) => {
                Err((
                    Failure::Unknown(format!(
                        "the statement cannot run in a transaction and failed with SQLSTATE {}: part of its work may \
                     remain, such as an invalid index",
                        message.code
                    )),
                    After::Discard,
                ))
            }
            Err(failure @ Failure::Server(_)) => Err((failure, After::Discard)),
            Err(Failure::Own(why)) => Err((in_doubt(&why), After::Abandon)),
            Err(Failure::Undescribed) => Err((in_doubt(UNDESCRIBED), After::Abandon)),
            Err(failure) => Err((failure, After::Abandon)),
        }
    }

    // ------------------------------------------------------------------------------------------ results

    /// Hands a running statement's result to the sink, up to the server's next `Ready`. What was known of its columns at
    /// `described` is believed.
    async fn consume(
        &self,
        wire: &mut Wire,
        operation: &SqlOperation,
        described: Instant,
        sink: &mut dyn ResultSink,
        rest: Rest,
    ) -> Result<Ran, Failure> {
        let mut reader: Option<RowReader> = None;
        let mut ran = Ran {
            tag: String::new(),
            status: TransactionStatus::Idle,
            finished: true,
        };
        let mut failure: Option<Failure> = None;
        let mut wanted = true;
        loop {
            let reply = match wire.next().await {
                Ok(reply) => reply,
                // A server that ends the connection says why before it hangs up.
                Err(WireError::Lost(lost)) => {
                    return Err(failure.unwrap_or(WireError::Lost(lost).into()));
                }
                Err(error) => return Err(error.into()),
            };
            match reply {
                Reply::Row(row) if wanted => {
                    let reader = reader
                        .as_mut()
                        .ok_or(WireError::Protocol("a row before its columns"))?;
                    if reader.hand_on(&row, sink)?.is_break() {
                        wanted = false;
                        if rest == Rest::Leave {
                            ran.finished = false;
                            return Ok(ran);
                        }
                    }
                }
                Reply::Columns(fields) => {
                    let described = self
                        .names
                        .describe(&fields, described)
                        .ok_or(Failure::Undescribed)?;
                    sink.columns(&described.columns);
                    reader = Some(RowReader::new(described));
                }
                Reply::Parameters(count) => failure = wrong_count(operation, count),
                Reply::Complete(tag) => ran.tag = tag,
                Reply::Refused(message) => {
                    failure.get_or_insert(Failure::Server(message));
                }
                Reply::Notice(notice) => sink.notice(&notice.raw_notice()),
                Reply::Copy => {
                    return Err(Failure::Own(
                        "COPY from or to the client is not possible here: use SELECT or INSERT"
                            .into(),
                    ));
                }
                Reply::Ready(status) => {
                    ran.status = status;
                    return failure.map_or(Ok(ran), Err);
                }
                Reply::Row(_) | Reply::Step | Reply::NoColumns | Reply::Empty => {}
            }
        }
    }
}

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
    key: CancelKey,
}

impl Stop {
    async fn ask(self) {
        if let Err(error) = Wire::cancel(&self.address, self.key).await {
            tracing::warn!(%error, "a statement could not be cancelled at the server");
        }
    }
}

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
    tag: String,
    status: TransactionStatus,
    /// `false`: there are rows left.
    finished: bool,
}

impl Ran {
    fn affected(&self) -> Option<u64> {
        let (command, rest) = self.tag.split_once(' ')?;
        matches!(command, "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "COPY")
            .then(|| rest.rsplit(' ').next()?.parse().ok())
            .flatten()
    }
}

/// Turns rows into cells, one at a time.
struct RowReader {
    columns: Vec<ServerColumn>,
    shapes: Vec<Shape>,
    rewritten: Vec<String>,
}

impl RowReader {
    fn new(described: Described) -> Self {
        Self {
            rewritten: vec![String::new(); described.shapes.len()],
            columns: described.columns,
            shapes: described.shapes,
        }
    }

    fn hand_on(
        &mut self,
        row: &[u8],
        sink: &mut dyn ResultSink,
    ) -> Result<ControlFlow<()>, Failure> {
        let mut texts = Vec::with_capacity(self.shapes.len());
        for cell in cells(row) {
            let text = match cell? {
                Some(bytes) => Some(std::str::from_utf8(bytes).map_err(|_| WireError::Encoding)?),
                None => None,
            };
            texts.push(text);
        }
        if texts.len() != self.shapes.len() {
            return Err(WireError::Protocol("a row that does not fit its columns").into());
        }
        for ((text, shape), (rewritten, column)) in texts
            .iter()
            .zip(&self.shapes)
            .zip(self.rewritten.iter_mut().zip(&self.columns))
        {
            if let Some(text) = text
                && !shape.is_direct()
            {
                rewritten.clear();
                shape
                    .rewrite(text, rewritten)
                    .map_err(|_| unreadable(column))?;
            }
        }
        let mut cells = Vec::with_capacity(texts.len());
        for (index, (text, shape)) in texts.iter().zip(&self.shapes).enumerate() {
            cells.push(match text {
                None => Cell::Null,
                Some(text) => {
                    let text = if shape.is_direct() {
                        text
                    } else {
                        &*self.rewritten[index]
                    };
                    shape
                        .cell(text)
                        .map_err(|_| unreadable(&self.columns[index]))?
                }
            });
        }
        Ok(sink.row(&cells))
    }
}

fn unreadable(column: &ServerColumn) -> Failure {
    Failure::Own(format!(
        "column `{}` of type {} holds a value that cannot be read: cast it to text",
        column.name, column.type_name
    ))
}

// ---------------------------------------------------------------------------------------------- the conversation

/// Awaits the answer to a statement of the gateway's own, such as what opens a transaction.
async fn answered(
    wire: &mut Wire,
    sink: &mut dyn ResultSink,
) -> Result<Option<Box<ServerMessage>>, WireError> {
    let mut refused = None;
    loop {
        match wire.next().await? {
            Reply::Refused(message) => refused = Some(message),
            Reply::Notice(notice) => sink.notice(&notice.raw_notice()),
            Reply::Ready(_) => return Ok(refused),
            _ => {}
        }
    }
}

/// Runs a statement of the gateway's own in a transaction that has succeeded so far.
async fn own(
    wire: &mut Wire,
    statement: &str,
    sink: &mut dyn ResultSink,
) -> Result<(), (Failure, After)> {
    let abandon = |error: WireError| (Failure::Wire(error), After::Abandon);
    wire.queue_own(statement).map_err(abandon)?;
    wire.send().await.map_err(abandon)?;
    match answered(wire, sink).await.map_err(abandon)? {
        Some(refused) => Err((Failure::Server(refused), After::Discard)),
        None => Ok(()),
    }
}

/// Takes the answer to [`ROWS_CHANGED`]; `None`: this server does not count.
async fn rows_changed(wire: &mut Wire) -> Result<Option<u64>, (Failure, After)> {
    let abandon = |error: WireError| (Failure::Wire(error), After::Abandon);
    let mut answer = None;
    let refused = wire.own_answer(|row| answer = Some(row));
    if let Some(refused) = refused.await.map_err(abandon)? {
        return Err((Failure::Server(refused), After::Discard));
    }
    let Some([inserted, updated, deleted, Some(counts)]) = answer.as_deref() else {
        return Ok(None);
    };
    // Without any table there is nothing to sum up.
    let count = |sum: &Option<String>| sum.as_deref().map_or(Some(0), |sum| sum.parse().ok());
    let sums = [inserted, updated, deleted].map(count);
    let all = sums
        .into_iter()
        .try_fold(0u64, |all, sum| all.checked_add(sum?));
    Ok(all.filter(|_| counts == "on"))
}

/// Reads a little further; whether that was the end of the statement.
async fn skim(wire: &mut Wire) -> Result<bool, WireError> {
    let mut read = 0;
    loop {
        match wire.next().await? {
            Reply::Ready(_) => return Ok(true),
            Reply::Row(row) => read += row.len(),
            Reply::Refused(_) | Reply::Copy => return Ok(false),
            _ => {}
        }
        if read > WORTH_READING {
            return Ok(false);
        }
    }
}

fn params(operation: &SqlOperation) -> impl Iterator<Item = Option<&str>> {
    operation.params.iter().map(Param::as_text)
}

fn in_doubt(why: &str) -> Failure {
    Failure::Unknown(format!("{why}; the statement may have taken effect"))
}

fn wrong_count(operation: &SqlOperation, wanted: usize) -> Option<Failure> {
    let given = operation.params.len();
    (given != wanted).then(|| {
        Failure::Own(format!(
            "the statement has {wanted} parameters, {given} were given: pass one value for each of $1, $2, …"
        ))
    })
}

fn longest_message(budget: &Budget) -> usize {
    usize::try_from(budget.bytes.saturating_mul(2).saturating_add(1 << 20)).unwrap_or(usize::MAX)
}

fn limits(budget: &Budget, longest_lock_wait: Duration, set: &str) -> String {
    let statement = budget.timeout.as_millis().clamp(1, 2_000_000_000);
    let lock = statement.min(longest_lock_wait.as_millis());
    format!("{set} statement_timeout = {statement}; {set} lock_timeout = {lock}")
}

/// Whether a command tag is one of a plain read, which leaves nothing in the session that a rollback does not undo.
fn leaves_nothing(tag: &str) -> bool {
    tag == "SHOW" || tag == "EXPLAIN" || tag.starts_with("SELECT ")
}

/// The words of a statement in capitals, from the first that is not in a comment.
fn words(statement: &str) -> impl Iterator<Item = String> {
    after_comments(statement)
        .split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_uppercase)
}

fn after_comments(statement: &str) -> &str {
    let mut rest = statement.trim_start();
    loop {
        if let Some(line) = rest.strip_prefix("--") {
            rest = line
                .split_once(['\n', '\r'])
                .map_or("", |(_, after)| after)
                .trim_start();
        } else if let Some(mut inside) = rest.strip_prefix("/*") {
            let mut depth = 1;
            while depth > 0 {
                let Some(at) = inside.find(['/', '*']) else {
                    return "";
                };
                let (step, change) = match inside.get(at..at + 2) {
                    Some("/*") => (2, 1),
                    Some("*/") => (2, -1),
                    _ => (1, 0),
                };
                inside = &inside[at + step..];
                depth += change;
            }
            rest = inside.trim_start();
        } else {
            return rest;
        }
    }
}

fn begins_a_query(statement: &str) -> bool {
    words(statement).next().is_some_and(|word| {
        matches!(
            &*word,
            "SELECT" | "WITH" | "VALUES" | "TABLE" | "SHOW" | "EXPLAIN"
        )
    })
}

/// Whether the statement is of a kind that PostgreSQL runs outside transactions only. Anything else that fails with the
/// same code may have failed in its midst and is not sent again.
fn wants_no_transaction(statement: &str) -> bool {
    let mut words = words(statement);
    match words.next().as_deref() {
        Some("VACUUM" | "REINDEX" | "CLUSTER" | "CREATE" | "DROP" | "ALTER") => true,
        Some("COMMIT" | "ROLLBACK") => words.next().as_deref() == Some("PREPARED"),
        _ => false,
    }
}

/// Whether a statement that failed outside a transaction may have done part of its work.
fn may_leave_parts(statement: &str, message: &ServerMessage) -> bool {
    let in_steps = words(statement)
        .any(|word| matches!(&*word, "CONCURRENTLY" | "VACUUM" | "REINDEX" | "CLUSTER"));
    // Refused for what it says, before anything was begun.
    let refused_at_once = ["0A", "22", "25", "3D", "3F", "42"]
        .iter()
        .any(|class| message.code.starts_with(class));
    in_steps && !refused_at_once
}
