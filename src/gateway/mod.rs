//! THE pipeline. Every door leads to the same [`Gateway::submit`], every answer of an approver to the same
//! [`Gateway::resume`]; time comes in through [`Gateway::reconcile`], and whoever reads the record asks `history`.
//!
//! It knows no protocol, no driver and no cloud: the world is behind the four traits of [`ports`].

mod answer;
mod budget;
mod claim;
mod describe;
mod execute;
mod history;
mod joining;
mod judge;
pub mod keyring;
mod links;
mod measured;
mod outcome;
pub mod ports;
mod preview;
mod reconcile;
mod resume;
pub mod seal;
mod sessions;
mod submit;
mod waiting;

use std::{sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use crate::domain::{
    approval::NotEligible,
    connection::ConnectionName,
    id::{ApprovalId, RequestId, SessionId},
    operation::BadOperation,
    policy::Policy,
    session::{BadHistory, Refusal},
};
use budget::Rates;
use judge::Judge;
use ports::{
    AppendError, ApprovalBus, BadCursor, BoxError, Clock, EventStore, ReadError, RefusedAnswer,
    Targets,
};
use seal::{ExportKey, SealError, Sealer};
use sessions::Sessions;
use waiting::Waiting;

pub use answer::{Head, Responder, Response, answer};
pub(crate) use measured::measure;

pub use describe::{Description, Reading, RelationView};
pub use history::{Found, SessionRequests, SessionView, Standing};
pub use outcome::{
    AnswerBody, AnswerView, ApprovalBrief, ApprovalView, HeaderField, KeptAnswer, Outcome,
    RequestView, ResultBody, TargetError,
};
pub use preview::{ExactPreview, PreviewStatus, Sample, Samples};
pub use resume::{Answering, Delivered};
pub use submit::{Ask, Manner};

/// The implementations behind the ports of one gateway.
pub trait Ports: Send + Sync + 'static {
    /// The record.
    type Store: EventStore;
    /// The way to approvers.
    type Bus: ApprovalBus;
    /// The things that can be reached.
    type Targets: Targets;
    /// Time and chance.
    type Clock: Clock;
}

/// Where today's policy comes from: called once per request, so it must be cheap.
pub type PolicySource = Arc<dyn Fn() -> Arc<Policy> + Send + Sync>;

/// What a gateway is made of.
pub struct Parts<P: Ports> {
    /// The record.
    pub store: P::Store,
    /// The way to approvers.
    pub bus: P::Bus,
    /// The things that can be reached.
    pub targets: P::Targets,
    /// Time and chance.
    pub clock: P::Clock,
    /// Today's policy.
    pub policy: PolicySource,
    /// Seals statements and results.
    pub sealer: Sealer,
    /// Signs exports.
    pub export_key: ExportKey,
    /// The CloudEvents `source` of every event, such as `portcullis/eu-1`.
    pub source: String,
    /// This process among others that share a record.
    pub instance: String,
}

/// The pipeline.
pub struct Gateway<P: Ports> {
    parts: Parts<P>,
    judge: Judge,
    rates: Rates,
    sessions: Sessions,
    waiting: Waiting,
    pending: measured::Pending,
    running: TaskTracker,
}

impl<P: Ports> std::fmt::Debug for Gateway<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gateway({})", self.parts.instance)
    }
}

impl<P: Ports> Gateway<P> {
    /// Puts a gateway together.
    pub fn new(parts: Parts<P>) -> Arc<Self> {
        Arc::new(Self {
            parts,
            judge: Judge::default(),
            rates: Rates::default(),
            sessions: Sessions::default(),
            waiting: Waiting::default(),
            pending: measured::Pending::default(),
            running: TaskTracker::new(),
        })
    }

    /// Today's policy.
    pub fn policy(&self) -> Arc<Policy> {
        (self.parts.policy)()
    }

    /// The things that can be reached, for whoever configures them.
    pub fn targets(&self) -> &P::Targets {
        &self.parts.targets
    }

    /// Puts an answer that will never be taken where people look at such.
    pub async fn set_aside(&self, refused: &RefusedAnswer) -> Result<(), BoxError> {
        self.parts.bus.set_aside(refused).await
    }

    /// Returns after `duration` of the gateway's time.
    pub async fn sleep(&self, duration: Duration) {
        self.parts.clock.sleep(duration).await;
    }

    /// Takes no more work, and returns when all that was begun has ended, at most after `limit`. What has not ended by
    /// then is found by the next `reconcile`. `true`: everything ended.
    pub async fn stop(&self, limit: Duration) -> bool {
        self.running.close();
        tokio::select! {
            () = self.running.wait() => true,
            () = self.parts.clock.sleep(limit) => false,
        }
    }
}

/// Why a call got no outcome. What was refused has not reached the target.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// No such connection.
    #[error("there is no connection `{0}`; list the connections for those you may use")]
    UnknownConnection(ConnectionName),
    /// No such session.
    #[error("there is no session `{0}`; leave `Portcullis-Session` out to open one")]
    UnknownSession(SessionId),
    /// Someone else's session.
    #[error(
        "session `{0}` belongs to another principal; leave `Portcullis-Session` out to open one"
    )]
    ForeignSession(SessionId),
    /// No such request, or not for the caller to see.
    #[error("there is no request `{0}` that you may see")]
    UnknownRequest(RequestId),
    /// No such approval, or not for the caller to see.
    #[error("there is no approval `{0}` that you may see")]
    UnknownApproval(ApprovalId),
    /// Not an operation.
    #[error(transparent)]
    BadOperation(#[from] BadOperation),
    /// A page of a search that never was.
    #[error("in `after`: {0}")]
    BadCursor(BadCursor),
    /// The key was used for something else.
    #[error(
        "this Idempotency-Key was used for another operation ({0}); use a new key for a new operation"
    )]
    KeyReused(RequestId),
    /// Too many requests.
    #[error(
        "over the budget of {limit} requests per minute on `{connection}`; try again in {} s",
        retry_after.as_secs().max(1)
    )]
    RateLimited {
        /// Where.
        connection: ConnectionName,
        /// The budget.
        limit: u32,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The target could not be reached; nothing was sent. On record as failed.
    #[error("`{connection}` cannot be reached ({why}); nothing was run, try again later")]
    TargetUnreachable {
        /// The request, as recorded.
        request: RequestId,
        /// Where.
        connection: ConnectionName,
        /// What was seen, masked.
        why: String,
    },
    /// What there is at a target cannot be told now.
    #[error("what there is on `{connection}` cannot be told now ({why}); try again later")]
    NotDescribed {
        /// Where.
        connection: ConnectionName,
        /// What was seen, masked.
        why: String,
    },
    /// Someone may not decide, or not this, or not any more.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The caller may not read this part of the record.
    #[error("`{0}` may not read this; the policy's `record.readers` and its approvers may")]
    NotAReader(String),
    /// The record cannot be written or read. Nothing was run or disclosed.
    #[error("the record is unavailable, so nothing was run or disclosed; try again later")]
    RecordUnavailable(#[source] BoxError),
    /// The record takes no event of this size.
    #[error(
        "what would have to be on record of this has {bytes} bytes, and the record takes {most}; nothing was changed or \
         disclosed: send a shorter statement, or less with it"
    )]
    TooLarge {
        /// What there is to write.
        bytes: usize,
        /// What the record takes.
        most: usize,
    },
    /// It ran, but its outcome cannot be put on record now. It counts as unknown until it can.
    #[error(
        "request `{0}` was dispatched, and its outcome cannot be recorded now; do not repeat it, \
         ask for the request again later"
    )]
    OutcomeNotRecorded(RequestId),
    /// The record is not what was written.
    #[error("the record is damaged ({0}); nothing was run")]
    Damaged(String),
    /// A key or a sealed text cannot be used.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Others keep appending to the session.
    #[error("session `{0}` is too busy; try again, or use another session")]
    Busy(SessionId),
    /// The gateway is shutting down.
    #[error("the gateway is stopping; try again")]
    Stopping,
    /// A bug: it stopped in the middle. Nothing more is known than what is on record.
    #[error(
        "the gateway failed inside while handling this; look the request up before repeating it"
    )]
    Internal,
}

impl From<ReadError> for GateError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(source) => match source.downcast::<BadCursor>() {
                Ok(bad) => Self::BadCursor(*bad),
                Err(source) => Self::RecordUnavailable(source),
            },
            ReadError::Damaged(why) => Self::Damaged(why),
        }
    }
}

impl From<AppendError> for GateError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict(session) => Self::Busy(session),
            AppendError::TooLarge { bytes, most } => Self::TooLarge { bytes, most },
            AppendError::Unavailable(source) => Self::RecordUnavailable(source),
        }
    }
}

impl From<BadHistory> for GateError {
    fn from(error: BadHistory) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<NotEligible> for GateError {
    fn from(error: NotEligible) -> Self {
        Self::Refused(error.into())
    }
}
