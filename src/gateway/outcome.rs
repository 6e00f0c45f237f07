//! What a caller gets: the same body from every door.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::preview::ExactPreview;
use crate::domain::{
    approval::{AskedAgain, HeldAnswer},
    classify::{Effect, Object},
    connection::ConnectionName,
    id::{ApprovalId, RequestId, SessionId},
    masking::{MaskedColumn, MaskedCounts},
    policy::{ApproverGroupName, RuleName},
    principal::DescribedPrincipal,
    record::Hash,
    rewrite::Rewrite,
    session::{
        Answer, AnswerRecord, Approval, DecisionRecord, ExecutionFailed, ExecutionFinished,
        Failure, Preview, Request, RequestStatus, Stage,
    },
};

/// Outcome of a request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// The request.
    pub request_id: RequestId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// Where it stands.
    pub status: RequestStatus,
    /// Its highest effect.
    pub effect: Effect,
    /// Why it was judged so, in a sentence.
    pub why: String,
    /// What policy said.
    pub decision: DecisionRecord,
    /// What policy made of the statement, where it did: that is what everything else here is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<RewrittenBrief>,
    /// What came back, masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultBody>,
    /// What the target said against it, masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TargetError>,
    /// Notices from the target, masked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// What was masked.
    pub masked: MaskedCounts,
    /// What humans are asked, while they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalBrief>,
    /// What an API answered and is kept back: the call was made, and what humans are, or were, asked is whether this may be
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_answer: Option<HeldAnswer>,
}

/// A statement that policy rewrote.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RewrittenBrief {
    /// The rule that said so.
    pub rule: RuleName,
    /// How.
    pub into: Rewrite,
    /// What it became, as it may be shown.
    pub statement: String,
    /// What that means for the result.
    pub note: String,
}

impl RewrittenBrief {
    fn of(request: &Request) -> Option<Self> {
        let decided = &request.decided;
        let rewritten = decided.rewritten.as_ref()?;
        let note = match (rewritten.into, &request.stage) {
            (Rewrite::Limit(rows), _) => format!("at most {rows} rows are returned"),
            (Rewrite::Explain, _) => "its plan is shown, it was not run".into(),
            (Rewrite::DryRun, Stage::Succeeded(finished)) => match finished.affected {
                Some(rows) => format!("dry run: {rows} rows would change; it was rolled back"),
                None => "dry run: it was rolled back".into(),
            },
            (Rewrite::DryRun, _) => "dry run: whatever it does is rolled back".into(),
        };
        Some(Self {
            rule: rewritten.rule.clone(),
            into: rewritten.into,
            statement: decided.statement.clone(),
            note,
        })
    }
}

/// What came back.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ResultBody {
    /// Of a statement.
    Table(TableBody),
    /// Of a command.
    Command(CommandBody),
    /// Of an HTTP call.
    Answer(AnswerBody),
}

/// What a command printed, masked.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Printed {
    /// To its standard output.
    pub stdout: String,
    /// To its standard error.
    pub stderr: String,
}

impl Printed {
    pub(super) fn to_json(&self) -> String {
        serde_json::json!({"stdout": self.stdout, "stderr": self.stderr}).to_string()
    }
}

/// How a command ended, and what it printed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommandBody {
    /// What it ended with: 0 where all went well by its own account, 128 and more where a signal ended it.
    pub exit_code: i32,
    /// Absent when the record does not keep results.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub printed: Option<Printed>,
    /// Whether a budget ended the output early.
    pub truncated: bool,
}

/// What an HTTP API answered, masked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AnswerBody {
    /// What left of it, or was kept.
    #[serde(flatten)]
    pub record: AnswerRecord,
    /// Absent when the record does not keep results, or its caller had it as it came.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptAnswer>,
    /// Whether it breaks off: a budget ended it, or the API did.
    pub truncated: bool,
}

/// An answer that is wholly there, masked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptAnswer {
    /// Its header fields. `location` is a path below the connection's own.
    pub headers: Vec<HeaderField>,
    /// Its body, if that is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Its body in base64, if it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// A header field, masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderField {
    /// Its name in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl KeptAnswer {
    pub(super) fn new(headers: Vec<HeaderField>, body: Vec<u8>) -> Self {
        let (body, body_base64) = match String::from_utf8(body) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(STANDARD.encode(bytes.as_bytes()))),
        };
        Self {
            headers,
            body,
            body_base64,
        }
    }

    /// The body's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        let encoded = self.body_base64.and_then(|text| STANDARD.decode(text).ok());
        encoded.unwrap_or_else(|| self.body.unwrap_or_default().into_bytes())
    }
}

/// Rows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TableBody {
    /// Its columns.
    pub columns: Vec<MaskedColumn>,
    /// Its rows, each an array with one value per column; absent when the record does not keep results.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Vec<serde_json::Value>>>")]
    pub rows: Option<Box<RawValue>>,
    /// How many rows.
    pub row_count: u64,
    /// Rows changed, where the target says.
    pub affected: Option<u64>,
    /// Whether a budget ended the result early.
    pub truncated: bool,
}

/// What the target said against an operation.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TargetError {
    /// What kind of failure.
    pub failure: Failure,
    /// The target's code, such as a SQLSTATE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its message, masked.
    pub message: String,
}

/// What humans are asked, for the one who waits for them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ApprovalBrief {
    /// The approval.
    pub id: ApprovalId,
    /// What exactly is approved.
    pub digest: Hash,
    /// After this it is too late.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
    /// Who has to agree.
    pub from: Vec<ApproverGroupName>,
}

impl ApprovalBrief {
    fn of(request: &Request, approval: &Approval) -> Self {
        let terms = &approval.requested.terms;
        Self {
            id: request.decided.request_id.approval(),
            digest: terms.digest,
            expires_at: terms.expires_at,
            from: terms
                .from
                .iter()
                .map(|quorum| quorum.group.clone())
                .collect(),
        }
    }
}

impl Outcome {
    /// The outcome of `request` as it stands; `result` is its masked result, where there is one.
    pub fn of(request: &Request, result: Option<Box<RawValue>>) -> Self {
        let decided = &request.decided;
        let mut outcome = Self {
            request_id: decided.request_id.clone(),
            session_id: decided.request_id.session(),
            status: request.status(),
            effect: decided.effect,
            why: decided.why.clone(),
            decision: decided.decision.clone(),
            rewritten: RewrittenBrief::of(request),
            result: None,
            error: None,
            notices: Vec::new(),
            masked: MaskedCounts::default(),
            approval: None,
            held_answer: None,
        };
        match &request.stage {
            Stage::Succeeded(finished) => {
                outcome.masked = finished.masked.clone();
                outcome.notices.clone_from(&finished.notices);
                outcome.result = Some(ResultBody::of(finished, result));
            }
            Stage::Failed(failed) => {
                outcome.masked = failed.masked.clone();
                outcome.notices.clone_from(&failed.notices);
                outcome.error = Some(TargetError::of(failed));
            }
            Stage::Denied(decision) => outcome.decision = decision.clone(),
            Stage::ApprovalDenied => {
                let mut answers = request
                    .approval
                    .iter()
                    .flat_map(|approval| &approval.answers);
                let no = answers.rfind(|answer| answer.answer == Answer::Deny);
                outcome.decision.message = no.map(|answer| match &answer.comment {
                    Some(comment) => format!("{} said no: {comment}", answer.approver.id),
                    None => format!("{} said no.", answer.approver.id),
                });
            }
            Stage::OutcomeUnknown { why } => outcome.why.clone_from(why),
            Stage::Withheld(finished) => outcome.masked = finished.masked.clone(),
            Stage::Pending | Stage::Granted | Stage::Executing(_) | Stage::ApprovalExpired => {}
        }
        let approval = request.approval.as_ref();
        outcome.held_answer = approval
            .and_then(|approval| approval.requested.terms.answer.clone())
            .filter(|_| !matches!(request.stage, Stage::Succeeded(_)));
        if matches!(
            request.stage,
            Stage::Pending | Stage::Withheld(_) | Stage::Granted
        ) {
            outcome.approval = request
                .approval
                .as_ref()
                .map(|approval| ApprovalBrief::of(request, approval));
        }
        outcome
    }
}

impl ResultBody {
    /// The rows, if it is of a statement.
    pub fn table(&self) -> Option<&TableBody> {
        match self {
            Self::Table(table) => Some(table),
            Self::Command(_) | Self::Answer(_) => None,
        }
    }

    fn of(finished: &ExecutionFinished, result: Option<Box<RawValue>>) -> Self {
        if let Some(answer) = &finished.answer {
            return Self::Answer(AnswerBody {
                record: answer.clone(),
                kept: result.and_then(|result| serde_json::from_str(result.get()).ok()),
                truncated: finished.truncated,
            });
        }
        match finished.exit_code {
            Some(exit_code) => Self::Command(CommandBody {
                exit_code,
                printed: result.map(|result| {
                    // A command that printed nothing has an empty list of rows.
                    serde_json::from_str(result.get()).unwrap_or_default()
                }),
                truncated: finished.truncated,
            }),
            None => Self::Table(TableBody {
                columns: finished.columns.clone(),
                rows: result,
                row_count: finished.row_count,
                affected: finished.affected,
                truncated: finished.truncated,
            }),
        }
    }
}

impl TargetError {
    fn of(failed: &ExecutionFailed) -> Self {
        Self {
            failure: failed.failure,
            code: failed.code.clone(),
            message: failed.message.clone(),
        }
    }
}

/// One request, for lists.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestView {
    /// The request.
    pub request_id: RequestId,
    /// When it was asked.
    #[schemars(with = "String")]
    pub asked_at: Timestamp,
    /// Who asked.
    pub principal: DescribedPrincipal,
    /// Where.
    pub connection: ConnectionName,
    /// The statement, masked.
    pub statement: String,
    /// How policy rewrote it; the statement as it was asked is with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<RewrittenFrom>,
    /// Why they wanted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its highest effect.
    pub effect: Effect,
    /// What it touches.
    pub objects: Vec<Object>,
    /// What policy said.
    pub decision: DecisionRecord,
    /// Where it stands.
    pub status: RequestStatus,
    /// Why it failed, in a list of one session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TargetError>,
}

/// Where a rewritten statement comes from.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RewrittenFrom {
    /// The rule that said so.
    pub rule: RuleName,
    /// How.
    pub into: Rewrite,
    /// The statement as it was asked, masked.
    pub asked: String,
}

/// What an approver sees.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ApprovalView {
    /// The approval.
    pub id: ApprovalId,
    /// The request it is for.
    #[serde(flatten)]
    pub request: RequestView,
    /// Its parameters, masked; `null` is NULL.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Option<String>>,
    /// Whether it says which rows.
    pub unbounded: bool,
    /// Why it was judged so.
    pub why: String,
    /// What it would touch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// What exactly is approved: send it back with the decision.
    pub digest: Hash,
    /// After this it is too late.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
    /// Who has to agree, and how many of them.
    pub from: Vec<crate::domain::approval::Quorum>,
    /// How many times the rows that were shown it may change; absent: ten times, where they were counted exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_factor: Option<u32>,
    /// Why the same is asked again; absent: it is asked for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<AskedAgain>,
    /// What may be given to whoever asked, masked: the call was made already. Absent: whether it may run is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<HeldAnswer>,
    /// The exact previews that were asked for, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exact_previews: Vec<ExactPreview>,
    /// What has been said so far.
    pub answers: Vec<AnswerView>,
}

/// One answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AnswerView {
    /// Who.
    pub approver: DescribedPrincipal,
    /// What.
    pub answer: Answer,
    /// What they added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl RequestView {
    /// Of a request that is wholly at hand.
    pub(super) fn of(request: &Request) -> Self {
        let error = match &request.stage {
            Stage::Failed(failed) => Some(TargetError::of(failed)),
            _ => None,
        };
        Self {
            error,
            ..Self::new(&request.decided, request.asked_at, request.status())
        }
    }

    pub(super) fn new(
        decided: &crate::domain::session::RequestDecided,
        asked_at: Timestamp,
        status: RequestStatus,
    ) -> Self {
        Self {
            request_id: decided.request_id.clone(),
            asked_at,
            principal: decided.principal.clone(),
            connection: decided.connection.clone(),
            statement: decided.statement.clone(),
            rewritten: decided.rewritten.as_ref().map(|rewritten| RewrittenFrom {
                rule: rewritten.rule.clone(),
                into: rewritten.into,
                asked: rewritten.asked.clone(),
            }),
            reason: decided.reason.clone(),
            effect: decided.effect,
            objects: decided.objects.clone(),
            decision: decided.decision.clone(),
            status,
            error: None,
        }
    }
}

impl ApprovalView {
    /// The approval of `request`; `None`: nobody was asked.
    pub(super) fn of(request: &Request, exact_previews: Vec<ExactPreview>) -> Option<Self> {
        let approval = request.approval.as_ref()?;
        let decided = &request.decided;
        let terms = &approval.requested.terms;
        Some(Self {
            id: decided.request_id.approval(),
            request: RequestView::of(request),
            params: decided.params.clone(),
            unbounded: decided.unbounded,
            why: decided.why.clone(),
            preview: approval.requested.preview.clone(),
            digest: terms.digest,
            expires_at: terms.expires_at,
            from: terms.from.clone(),
            rows_factor: terms.rows_factor,
            again: terms.again,
            answer: terms.answer.clone(),
            exact_previews,
            answers: approval
                .answers
                .iter()
                .map(|answer| AnswerView {
                    approver: answer.approver.clone(),
                    answer: answer.answer,
                    comment: answer.comment.clone(),
                })
                .collect(),
        })
    }
}
