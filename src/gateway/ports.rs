//! What the pipeline needs from the world: four ports, each method with the promise its callers lean on.

use std::{
    future::{Future, ready},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::domain::{
    classify::{Effect, sql::JudgedCatalog},
    connection::{Access, Budget, ConnectionName},
    id::{ApprovalId, Entropy, RequestId, SessionId},
    masking::{Cell, Encoding, ServerColumn},
    operation::Operation,
    principal::PrincipalId,
    record::{Hash, Head},
    session::{Action, ApprovalRequested, Event, Preview, RequestDecided},
};

use super::seal::Proof;

pub use super::links::ApiUrl;

/// Any error from beyond a port.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

// ---------------------------------------------------------------------------------------------- the record

/// Events that go on record together or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The stream.
    pub session: SessionId,
    /// What the first of `events` follows.
    pub after: Head,
    /// At least one event, already chained.
    pub events: Vec<Event>,
    /// The session's wrapped key, with the batch that opens the session: kept beside the chain and not in it, so that
    /// erasing it erases the sealed text while the chain still verifies.
    pub key: Option<WrappedKey>,
}

/// A session's key, encrypted under the gateway's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Which of the gateway's keys wraps it.
    pub by: String,
    /// The wrapped key, base64.
    pub wrapped: String,
}

/// Proof that a batch is durable. Made by stores alone (`tests/architecture.rs` holds that).
#[derive(Debug)]
#[must_use]
pub struct Appended {
    head: Head,
}

impl Appended {
    /// For stores: `batch` will survive a crash of process and machine from here on.
    pub(crate) fn durable(batch: &Batch) -> Self {
        Self {
            head: batch.events.last().map_or(batch.after, Event::head),
        }
    }

    /// Where the session's chain stands now.
    pub fn head(&self) -> Head {
        self.head
    }
}

/// Why a batch is not on record.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Someone else appended first: nothing was written; read the head again and decide again.
    #[error("session `{0}` has moved on since it was read")]
    Conflict(SessionId),
    /// More than the store takes at once, whoever asks and however often. Nothing was written.
    #[error("{bytes} bytes are too many for the record, which takes {most} at once")]
    TooLarge {
        /// What there is to write.
        bytes: usize,
        /// What it takes.
        most: usize,
    },
    /// The store did not take it in time, is locked, is full or cannot be reached. It may or may not be durable.
    #[error("the record cannot be written")]
    Unavailable(#[source] BoxError),
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store cannot be reached or does not answer.
    #[error("the record cannot be read")]
    Unavailable(#[source] BoxError),
    /// What the store holds is not what it was given.
    #[error("the record is damaged: {0}")]
    Damaged(String),
}

/// The record.
pub trait EventStore: Send + Sync + 'static {
    /// Appends all of `batch` after `batch.after`, or none of it. Of two appends after the same head one wins, the
    /// other gets `Conflict`. Returning `Ok` means durable.
    fn append(&self, batch: Batch) -> impl Future<Output = Result<Appended, AppendError>> + Send;

    /// How many bytes the events of one batch may have, as JSON; `None`: as many as there are.
    fn most_bytes(&self) -> Option<usize> {
        None
    }

    /// Where the session's chain stands; `None`: no such session.
    fn head(
        &self,
        session: &SessionId,
    ) -> impl Future<Output = Result<Option<Head>, ReadError>> + Send;

    /// All events of a session in order; empty: no such session.
    fn session(
        &self,
        session: &SessionId,
    ) -> impl Future<Output = Result<Vec<Event>, ReadError>> + Send;

    /// The events of one request in order, without reading the rest of its session; empty: no such request.
    fn request(
        &self,
        request: &RequestId,
    ) -> impl Future<Output = Result<Vec<Event>, ReadError>> + Send;

    /// The session's wrapped key; `None`: no such session, or erased.
    fn key(
        &self,
        session: &SessionId,
    ) -> impl Future<Output = Result<Option<WrappedKey>, ReadError>> + Send;

    /// Forgets the session's key for good. The chain is untouched and still verifies.
    fn erase_key(
        &self,
        session: &SessionId,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Requests matching `query`, newest first.
    fn search(&self, query: &Query) -> impl Future<Output = Result<Page, ReadError>> + Send;

    /// Requests something is due for at `now`: asked but not published, waiting past their expiry, executing past
    /// their lease. A hint: whoever acts on it folds the request's events first.
    fn due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<RequestId>, ReadError>> + Send;
}

/// A search of the record. All conditions must hold; `None` or empty: any.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Who asked.
    pub principal: Option<PrincipalId>,
    /// Where.
    pub connection: Option<ConnectionName>,
    /// Highest effect.
    pub effect: Option<Effect>,
    /// Name of an object it touches.
    pub object: Option<String>,
    /// What policy said.
    pub decision: Option<Action>,
    /// Only those about which approvers were asked something.
    pub asked: bool,
    /// Where the request stands.
    pub status: Option<RequestStatus>,
    /// Asked at or after.
    pub since: Option<Timestamp>,
    /// Asked before.
    pub until: Option<Timestamp>,
    /// Text in the masked statement or the reason, case-insensitive.
    pub text: Option<String>,
    /// Where the previous page ended.
    pub after: Option<Cursor>,
    /// At most this many; stores cap it at 200.
    pub limit: usize,
}

/// A position in search results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// Text that is no cursor. Stores refuse it as `ReadError::Unavailable` with this as its source, and whoever answers the
/// caller can tell a caller's mistake from a store's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cursor: take `next` from the page before, unchanged")]
pub struct BadCursor(pub String);

/// One page of search results.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Requests, newest first.
    pub requests: Vec<RequestSummary>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Cursor>,
}

/// One request, as the read model knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestSummary {
    /// What was decided about it first.
    pub decided: RequestDecided,
    /// When.
    pub asked_at: Timestamp,
    /// What humans were asked, if they were.
    pub approval: Option<ApprovalRequested>,
    /// Where it stands.
    pub status: RequestStatus,
}

pub use crate::domain::{connection::Ending, session::RequestStatus};

// ---------------------------------------------------------------------------------------------- approvals

/// What an approver is told. The statement is its masked rendering; nothing in it is secret but the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalNotice {
    /// What was asked and how it was judged.
    pub request: RequestDecided,
    /// Who must agree, until when, to which digest, and what it would touch.
    pub approval: ApprovalRequested,
    /// What an answer that comes by message has to bring back.
    pub proof: Proof,
}

impl ApprovalNotice {
    /// Which question this is: the same whoever asks it and however often, and another when the same is asked again.
    pub fn id(&self) -> String {
        let (approval, terms) = (self.request.request_id.approval(), &self.approval.terms);
        match terms.answer {
            None => format!("{approval}:{}", terms.question()),
            Some(_) => format!("{approval}:answer"),
        }
    }
}

/// An answer that came by message and will never be taken. It repeats nothing that would help the next forger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedAnswer {
    /// Why.
    pub why: String,
    /// The question it names; `None`: it cannot be read.
    pub approval: Option<ApprovalId>,
    /// Whose answer it says it is.
    pub by: Option<String>,
    /// SHA-256 of the message.
    pub message: Hash,
}

/// Tells approvers that they are asked. What comes back arrives at `resume`, whichever way it took.
pub trait ApprovalBus: Send + Sync + 'static {
    /// Hands the notice over. May be called again for the same approval: receivers tell by its id.
    fn publish(&self, notice: &ApprovalNotice)
    -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Puts an answer that will never be taken where people look at such. May be called again for the same message.
    fn set_aside(
        &self,
        refused: &RefusedAnswer,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

// ---------------------------------------------------------------------------------------------- targets

/// One operation to run, exactly. Targets take it by value: it is made by spending a permit and cannot be reused.
#[derive(Debug)]
pub struct Execution {
    /// For the target's own log and application name.
    pub request: RequestId,
    /// Where.
    pub connection: ConnectionName,
    /// What.
    pub operation: Operation,
    /// With which credential.
    pub access: Access,
    /// How much.
    pub budget: Budget,
    /// What becomes of its transaction.
    pub ending: Ending,
}

impl Ending {
    /// Whether the target has to say all that the transaction changed before it ends.
    pub fn counts(self) -> bool {
        self != Self::Commit { at_most: None }
    }

    /// Why a transaction that changed so many rows must not be committed. For targets to ask before they commit.
    pub fn refuses(self, changed: Option<u64>) -> Option<RunError> {
        let Self::Commit {
            at_most: Some(at_most),
        } = self
        else {
            return None;
        };
        match changed {
            Some(changed) if changed <= at_most => None,
            Some(affected) => Some(RunError::TooMany { affected, at_most }),
            None => Some(RunError::Refused {
                code: None,
                message: format!(
                    "it may change at most {at_most} rows, and the target does not say how many it changed: it was \
                     rolled back"
                ),
                second_wall: false,
                unread: false,
            }),
        }
    }
}

/// Takes a result as it streams in. Called in order: columns, rows; notices at any time.
pub trait ResultSink: Send {
    /// The result's columns, before its first row.
    fn columns(&mut self, columns: &[ServerColumn]);
    /// One row. `Break`: the budget is spent, stop fetching, the statement still counts as done.
    fn row(&mut self, cells: &[Cell<'_>]) -> ControlFlow<()>;
    /// Bytes that a command printed, raw, as they come. `Break`: the budget is spent, no more are taken. Whoever asks for
    /// rows alone takes none.
    fn output(&mut self, _from: Output, _bytes: &[u8]) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
    /// What an HTTP API answers before its body, raw, once. Returns when there is room for more.
    fn head(&mut self, _head: AnswerHead) -> BoxFuture<'_, ControlFlow<()>> {
        Box::pin(ready(ControlFlow::Break(())))
    }
    /// Bytes of the body that follows, raw, as they come. `Break`: no more are taken. Returns when there is room for more.
    fn body<'s>(&'s mut self, _bytes: &'s [u8]) -> BoxFuture<'s, ControlFlow<()>> {
        Box::pin(ready(ControlFlow::Break(())))
    }
    /// A notice or warning, raw.
    fn notice(&mut self, message: &str);
}

/// What an HTTP API answers before its body.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerHead {
    /// The status, 200 to 599.
    pub status: u16,
    /// Its header fields by name in lower case, without those about the connection or the body's form. A `location` is a path
    /// below the connection's own.
    pub headers: Vec<(String, String)>,
    /// How the body is compressed.
    pub encoding: Encoding,
    /// Why it is not to be handed on; `None`: it may be.
    pub refused: Option<String>,
    /// Where its API is.
    pub api: ApiUrl,
}

/// Raw: nothing of it is printed.
impl std::fmt::Debug for AnswerHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AnswerHead({})", self.status)
    }
}

/// Where a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Its result.
    Stdout,
    /// What it says beside it.
    Stderr,
}

/// What a target says when it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Rows changed by the statement itself, as the target counts them; `None`: not said, or a read.
    pub affected: Option<u64>,
    /// Rows changed by the whole transaction: what a `WITH`, a trigger or a foreign key's action changed counts as well.
    /// Said where its [`Ending`] [counts](Ending::counts); `None`: not known.
    pub changed: Option<u64>,
    /// What a command ended with; for one that a signal ended 128 and its number. `None`: it was no command.
    pub exit_code: Option<i32>,
    /// Why what came back breaks off, raw; `None`: it is whole, as far as it was taken.
    pub cut: Option<String>,
}

/// Why an execution has no completion.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing was sent to the target: no connection, no such endpoint, pool exhausted.
    #[error("the target cannot be reached: {0}")]
    Unreachable(String),
    /// The target refused, and changed nothing.
    #[error("the target refused")]
    Refused {
        /// Its code, such as a SQLSTATE.
        code: Option<String>,
        /// Its words with detail and hint, raw: for masking only.
        message: String,
        /// Whether it was the read-only wall that refused.
        second_wall: bool,
        /// Whether it refused before it looked at any row, so that its words cannot quote one.
        unread: bool,
    },
    /// It changed more rows than its [`Ending`] allows, and was rolled back: nothing changed.
    #[error("it would change {affected} rows, and at most {at_most} were agreed to")]
    TooMany {
        /// How many it changed before it was rolled back.
        affected: u64,
        /// How many it might have.
        at_most: u64,
    },
    /// Cancelled at the time limit or because the caller left, and known to have changed nothing.
    #[error("cancelled")]
    Cancelled {
        /// The time limit, rather than the caller.
        timeout: bool,
    },
    /// Dispatched, and nobody knows: connection lost, no answer to the cancellation.
    #[error("the outcome is unknown")]
    Unknown(String),
}

/// Why it is not known what a target's catalog holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The target cannot be reached.
    #[error("the target cannot be reached: {0}")]
    Unreachable(Arc<str>),
    /// It can, and its catalog cannot be read whole.
    #[error("its catalog cannot be read: {0}")]
    Unreadable(Arc<str>),
}

/// The things that can be reached.
pub trait Targets: Send + Sync + 'static {
    /// Runs `execution` once, streaming into `sink`. Never retries. With [`Access::Read`] nothing can be changed, even
    /// by a statement that tries. With [`Access::Write`] its transaction ends as `execution.ending` says. Stops and cancels
    /// at the target when `cancel` fires or the budget's time is up.
    fn run(
        &self,
        execution: Execution,
        sink: &mut dyn ResultSink,
        cancel: &CancellationToken,
    ) -> impl Future<Output = Result<Completion, RunError>> + Send;

    /// What the operation would touch, without running it, with the read credential where it can be done with that.
    fn preview(
        &self,
        connection: &ConnectionName,
        operation: &Operation,
        limit: Duration,
    ) -> impl Future<Output = Preview> + Send;

    /// What users of the target have made there, as its read credential sees it; `None`: this kind of target has nothing
    /// of the sort. At most some seconds old, and never from before the last [`Self::catalog_changed`]. Costs the
    /// common request nothing; while the content stays the same, so does the `Arc`.
    fn catalog(
        &self,
        connection: &ConnectionName,
    ) -> impl Future<Output = Result<Option<Arc<JudgedCatalog>>, CatalogError>> + Send;

    /// Something has run that may have changed the connection's catalog.
    fn catalog_changed(&self, connection: &ConnectionName);
}

// ---------------------------------------------------------------------------------------------- time and chance

/// The two inputs a pure core cannot make: the time, and bytes no one can guess.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Sixteen fresh random bytes.
    fn entropy(&self) -> Entropy;
    /// Returns after `duration` of this clock's time.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

impl<T: Clock> Clock for Arc<T> {
    fn now(&self) -> Timestamp {
        T::now(self)
    }
    fn entropy(&self) -> Entropy {
        T::entropy(self)
    }
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        T::sleep(self, duration)
    }
}
