//! Events: what the record says happened. Coarse, one document each, chained by hash within their session.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    approval::{ApprovalTerms, HeldAnswer},
    classify::{Effect, Object},
    connection::{Access, ConnectionName},
    id::{RequestId, SessionId},
    masking::{MaskedColumn, MaskedCounts},
    policy::{ApproverGroupName, RuleName},
    principal::DescribedPrincipal,
    record::{Hash, Head},
    rewrite::Rewrite,
};

/// One event as it is stored, exported and verified: CloudEvents 1.0 attributes, our `seq`, `prevhash` and `hash`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// `1.0`.
    pub specversion: String,
    /// `{session}:{seq:010}`.
    pub id: String,
    /// The gateway that wrote it.
    pub source: String,
    /// The session.
    pub subject: SessionId,
    /// When.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// 1 for the first event of a session.
    pub seq: u64,
    /// The predecessor's hash; 64 zeros for the first.
    pub prevhash: Hash,
    /// SHA-256 over everything else here.
    pub hash: Hash,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

impl Event {
    /// Where the chain stands after this event.
    pub fn head(&self) -> Head {
        Head {
            seq: self.seq,
            hash: self.hash,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum EventBody {
    /// A session began.
    #[serde(rename = "session.opened")]
    SessionOpened(SessionOpened),
    /// A request was judged.
    #[serde(rename = "request.decided")]
    RequestDecided(Box<RequestDecided>),
    /// Humans are to be asked.
    #[serde(rename = "approval.requested")]
    ApprovalRequested(Box<ApprovalRequested>),
    /// The question has left for them.
    #[serde(rename = "approval.published")]
    ApprovalPublished(RequestRef),
    /// One of them answered.
    #[serde(rename = "approval.decided")]
    ApprovalDecided(Box<ApprovalDecided>),
    /// Everyone needed has agreed, and whoever asked has to make the same call again: that runs it, once.
    #[serde(rename = "approval.granted")]
    ApprovalGranted(RequestRef),
    /// Nobody answered in time, or what was granted was not used in time.
    #[serde(rename = "approval.expired")]
    ApprovalExpired(RequestRef),
    /// An approver asked to see what it would change: it is about to be run and rolled back.
    #[serde(rename = "preview.started")]
    PreviewStarted(Box<PreviewStarted>),
    /// What it would have changed at that moment.
    #[serde(rename = "preview.finished")]
    PreviewFinished(Box<PreviewFinished>),
    /// That could not be seen.
    #[serde(rename = "preview.failed")]
    PreviewFailed(Box<PreviewFailed>),
    /// An approved request was judged again before its execution, and today's policy refuses it.
    #[serde(rename = "request.refused")]
    RequestRefused(RequestRefused),
    /// An effect is about to be dispatched. After this there is no automatic retry.
    #[serde(rename = "execution.started")]
    ExecutionStarted(ExecutionStarted),
    /// It ran.
    #[serde(rename = "execution.finished")]
    ExecutionFinished(Box<ExecutionFinished>),
    /// Everyone needed has agreed that the caller may have the answer that was kept back.
    #[serde(rename = "answer.released")]
    AnswerReleased(RequestRef),
    /// It ran into an error and changed nothing.
    #[serde(rename = "execution.failed")]
    ExecutionFailed(Box<ExecutionFailed>),
    /// It was interrupted, and may or may not have happened.
    #[serde(rename = "execution.outcome_unknown")]
    ExecutionOutcomeUnknown(OutcomeUnknown),
    /// What there is on a connection was told.
    #[serde(rename = "connection.described")]
    ConnectionDescribed(ConnectionDescribed),
    /// Nothing more will happen in the session.
    #[serde(rename = "session.closed")]
    SessionClosed(SessionClosed),
}

impl EventBody {
    /// Leaves out the largest thing that this outcome can be told without, and says what; `None`: there is nothing.
    pub fn lighten(&mut self) -> Option<&'static str> {
        /// Enough to know what went wrong.
        const MESSAGE: usize = 4096;
        let notices = match self {
            Self::ExecutionFinished(finished) => {
                if finished.result.take().is_some() {
                    return Some("its result");
                }
                &mut finished.notices
            }
            Self::ExecutionFailed(failed) => {
                if failed.message.len() > MESSAGE {
                    let end = failed.message.floor_char_boundary(MESSAGE);
                    failed.message.truncate(end);
                    failed.message.push('…');
                    return Some("the end of its message");
                }
                &mut failed.notices
            }
            _ => return None,
        };
        (!std::mem::take(notices).is_empty()).then_some("its notices")
    }

    /// Its CloudEvents type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SessionOpened(_) => "session.opened",
            Self::RequestDecided(_) => "request.decided",
            Self::ApprovalRequested(_) => "approval.requested",
            Self::ApprovalPublished(_) => "approval.published",
            Self::ApprovalDecided(_) => "approval.decided",
            Self::ApprovalGranted(_) => "approval.granted",
            Self::ApprovalExpired(_) => "approval.expired",
            Self::PreviewStarted(_) => "preview.started",
            Self::PreviewFinished(_) => "preview.finished",
            Self::PreviewFailed(_) => "preview.failed",
            Self::RequestRefused(_) => "request.refused",
            Self::ExecutionStarted(_) => "execution.started",
            Self::ExecutionFinished(_) => "execution.finished",
            Self::AnswerReleased(_) => "answer.released",
            Self::ExecutionFailed(_) => "execution.failed",
            Self::ExecutionOutcomeUnknown(_) => "execution.outcome_unknown",
            Self::ConnectionDescribed(_) => "connection.described",
            Self::SessionClosed(_) => "session.closed",
        }
    }

    /// The request it is about; `None`: the session as a whole.
    pub fn request(&self) -> Option<&RequestId> {
        match self {
            Self::SessionOpened(_) | Self::ConnectionDescribed(_) | Self::SessionClosed(_) => None,
            Self::RequestDecided(event) => Some(&event.request_id),
            Self::ApprovalRequested(event) => Some(&event.request_id),
            Self::ApprovalPublished(event)
            | Self::ApprovalGranted(event)
            | Self::ApprovalExpired(event)
            | Self::AnswerReleased(event) => Some(&event.request_id),
            Self::ApprovalDecided(event) => Some(&event.request_id),
            Self::PreviewStarted(event) => Some(&event.request_id),
            Self::PreviewFinished(event) => Some(&event.request_id),
            Self::PreviewFailed(event) => Some(&event.request_id),
            Self::RequestRefused(event) => Some(&event.request_id),
            Self::ExecutionStarted(event) => Some(&event.request_id),
            Self::ExecutionFinished(event) => Some(&event.request_id),
            Self::ExecutionFailed(event) => Some(&event.request_id),
            Self::ExecutionOutcomeUnknown(event) => Some(&event.request_id),
        }
    }
}

/// `session.opened`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionOpened {
    /// Whose session it is; nobody else may use it.
    pub principal: DescribedPrincipal,
}

/// `connection.described`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionDescribed {
    /// The connection.
    pub connection: ConnectionName,
    /// The tables and views whose columns were told, as they were shown.
    pub relations: Vec<String>,
    /// How many more were named.
    pub others: u64,
}

/// `session.closed`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionClosed {
    /// Why.
    pub reason: String,
}

/// An event that says no more than which request it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestRef {
    /// The request.
    pub request_id: RequestId,
}

/// Text only the holder of the session's key can read: AES-256-GCM, bound to its session, request and purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sealed {
    /// 96 random bits, base64.
    pub nonce: String,
    /// Ciphertext and tag, base64.
    pub ciphertext: String,
}

/// What policy said, as outcome and record show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionRecord {
    /// Allow, deny or require approval.
    pub action: Action,
    /// The rule that decided; absent when none matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleName>,
    /// The policy version it was decided under.
    pub policy: Hash,
    /// What the caller is told about a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The three things policy can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Let through.
    Allow,
    /// Refused.
    Deny,
    /// Held.
    RequireApproval,
}

/// `request.decided`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestDecided {
    /// The request.
    pub request_id: RequestId,
    /// Who asked.
    pub principal: DescribedPrincipal,
    /// Where.
    pub connection: ConnectionName,
    /// The statement as it may be shown.
    pub statement: String,
    /// Its parameters as they may be shown; `None`: NULL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Option<String>>,
    /// The operation exactly as it was asked, sealed.
    pub sealed: Sealed,
    /// Over operation, parameters, connection and principal.
    pub digest: Hash,
    /// Why the caller wants it, as it may be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its highest effect.
    pub effect: Effect,
    /// What it touches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Object>,
    /// Whether it says which rows.
    pub unbounded: bool,
    /// Why it was judged so.
    pub why: String,
    /// What policy said.
    pub decision: DecisionRecord,
    /// How the statement came to be this one, where policy rewrote what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<Rewritten>,
    /// The caller's trace, W3C `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// A statement that policy rewrote: everything else about the request is about what it became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rewritten {
    /// The rule that said so.
    pub rule: RuleName,
    /// How.
    pub into: Rewrite,
    /// The statement as it was asked, as it may be shown.
    pub asked: String,
    /// The operation exactly as it was asked, sealed.
    pub sealed: Sealed,
    /// Over that operation, its parameters, connection and principal.
    pub digest: Hash,
}

impl RequestDecided {
    /// The digest of what the caller asked, before policy rewrote it.
    pub fn asked_digest(&self) -> Hash {
        self.rewritten
            .as_ref()
            .map_or(self.digest, |rewritten| rewritten.digest)
    }
}

/// `approval.requested`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalRequested {
    /// The request.
    pub request_id: RequestId,
    /// Who must agree, how many, until when.
    pub terms: ApprovalTerms,
    /// What the approver sees of its reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// Whether an approval is a grant: whoever asked cannot wait, and makes the same call again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grants: bool,
}

/// What a statement would touch, before it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// Rows the planner expects to change; `None`: the target cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_rows: Option<u64>,
    /// How it was found, or why it could not be.
    pub note: String,
}

/// `approval.decided`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalDecided {
    /// The request.
    pub request_id: RequestId,
    /// Who answered.
    pub approver: DescribedPrincipal,
    /// The answer.
    pub answer: Answer,
    /// The digest the approver was shown and sent back.
    pub digest: Hash,
    /// The groups this approver belonged to, of those asked.
    pub groups: Vec<ApproverGroupName>,
    /// What they said, as it may be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// An approver's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Yes, exactly this.
    Approve,
    /// No.
    Deny,
}

/// `preview.started`: intent, as for any other run. It is rolled back whatever happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewStarted {
    /// The request.
    pub request_id: RequestId,
    /// Which of the request's exact previews, from 1.
    pub number: u32,
    /// Which question it was asked for, from 1.
    pub question: u32,
    /// Who wanted to see it.
    pub approver: DescribedPrincipal,
    /// The process that runs it.
    pub instance: String,
    /// When it cannot be running any more: without an end by then, it was interrupted.
    #[schemars(with = "String")]
    pub lease_until: Timestamp,
    /// The policy version it was judged under.
    pub policy: Hash,
}

/// `preview.finished`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewFinished {
    /// The request.
    pub request_id: RequestId,
    /// Which of its exact previews.
    pub number: u32,
    /// How many rows it changed before it was rolled back.
    pub rows: u64,
    /// What was masked in the samples.
    pub masked: MaskedCounts,
    /// A few rows before and after, masked and sealed; absent when policy keeps no results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Sealed>,
    /// How long the target took, in microseconds.
    pub took_us: u64,
}

/// `preview.failed`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewFailed {
    /// The request.
    pub request_id: RequestId,
    /// Which of its exact previews.
    pub number: u32,
    /// What kind of failure.
    pub failure: Failure,
    /// The target's code, such as a SQLSTATE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was seen, masked.
    pub message: String,
    /// What was masked in it.
    pub masked: MaskedCounts,
}

/// `request.refused`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestRefused {
    /// The request.
    pub request_id: RequestId,
    /// What today's policy says.
    pub decision: DecisionRecord,
}

/// `execution.started`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionStarted {
    /// The request.
    pub request_id: RequestId,
    /// The credential it gets.
    pub access: Access,
    /// The process that claimed it.
    pub instance: String,
    /// When it cannot be running any more: without an outcome by then, the outcome is unknown.
    #[schemars(with = "String")]
    pub lease_until: Timestamp,
    /// The policy version it was judged under at execution.
    pub policy: Hash,
    /// The most rows it may change: with more it is rolled back, and its approvers are asked again. Absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
}

/// `execution.finished`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionFinished {
    /// The request.
    pub request_id: RequestId,
    /// Rows in the result.
    pub row_count: u64,
    /// Rows changed, where the target says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affected: Option<u64>,
    /// Whether the budget ended the result.
    pub truncated: bool,
    /// What was masked.
    pub masked: MaskedCounts,
    /// The result's columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<MaskedColumn>,
    /// Notices from the target, masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// What a command ended with; absent for everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What an HTTP API answered; absent for everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerRecord>,
    /// The masked result, sealed: rows as a JSON array of arrays, a command's output as a JSON object of two texts, an HTTP
    /// answer as one of status, headers and body; absent when policy keeps none, it is too large, or its caller had it as
    /// it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Sealed>,
    /// How long the target took, in microseconds.
    pub took_us: u64,
}

impl ExecutionFinished {
    /// The answer that was kept from its caller and not thrown away: people may still agree that they get it.
    pub fn held_answer(&self) -> Option<HeldAnswer> {
        let answer = self.answer.as_ref().filter(|answer| answer.withheld)?;
        self.result.as_ref()?;
        Some(HeldAnswer {
            status: answer.status,
            content_type: answer.content_type.clone(),
            bytes: answer.bytes,
            sha256: answer.sha256,
            found: self.masked.clone(),
        })
    }
}

/// `execution.failed`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionFailed {
    /// The request.
    pub request_id: RequestId,
    /// What kind of failure.
    pub failure: Failure,
    /// The target's code, such as a SQLSTATE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The target's message, masked.
    pub message: String,
    /// Notices from the target, masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// What was masked in them.
    pub masked: MaskedCounts,
    /// What of an HTTP API's answer had left by then; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerRecord>,
}

/// What an HTTP API answered, as far as it left the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnswerRecord {
    /// The status.
    pub status: u16,
    /// Its `Content-Type`, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How many bytes of its body, masked.
    pub bytes: u64,
    /// Over those bytes.
    pub sha256: Hash,
    /// Whether it was kept from its caller, because something in it was masked and policy says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

/// Why an execution changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The target refused or could not do it.
    Target,
    /// The read-only transaction or role refused a write that had been judged a read: the second wall held.
    SecondWall,
    /// It changed more rows than were agreed to, and was rolled back.
    TooManyRows,
    /// It took longer than its budget and was cancelled.
    Timeout,
    /// The caller left and it was cancelled.
    Cancelled,
    /// The target could not be reached; nothing was sent.
    Unreachable,
}

/// `execution.outcome_unknown`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutcomeUnknown {
    /// The request.
    pub request_id: RequestId,
    /// What was seen, masked.
    pub why: String,
}
