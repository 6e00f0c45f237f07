//! Where a request stands: a fold over its events. An impossible history is an error, never a guess.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::{
    Action, Answer, ApprovalDecided, ApprovalRequested, DecisionRecord, Event, EventBody,
    ExecutionFailed, ExecutionFinished, ExecutionStarted, Failure, PreviewFailed, PreviewFinished,
    PreviewStarted, RequestDecided,
};

/// Where a request stands, in the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestStatus {
    /// Humans have been asked.
    PendingApproval,
    /// They have agreed, and whoever asked has not made the call again that runs it.
    Approved,
    /// It is running.
    Executing,
    /// It ran.
    Succeeded,
    /// The target said no; nothing changed.
    Failed,
    /// Policy said no.
    Denied,
    /// A human said no.
    ApprovalDenied,
    /// No human answered in time.
    ApprovalExpired,
    /// It was interrupted and may or may not have happened.
    OutcomeUnknown,
}

impl RequestStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::PendingApproval,
        Self::Approved,
        Self::Executing,
        Self::Succeeded,
        Self::Failed,
        Self::Denied,
        Self::ApprovalDenied,
        Self::ApprovalExpired,
        Self::OutcomeUnknown,
    ];

    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::PendingApproval | Self::Executing)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingApproval => "pending_approval",
            Self::Approved => "approved",
            Self::Executing => "executing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::ApprovalDenied => "approval_denied",
            Self::ApprovalExpired => "approval_expired",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

/// One request, folded.
#[derive(Clone, Debug)]
pub struct Request {
    /// What was asked and how it was judged.
    pub decided: RequestDecided,
    /// When.
    pub asked_at: Timestamp,
    /// When the latest of its events went on record, by the clock of whoever wrote it.
    pub latest: Timestamp,
    /// What humans were asked, if they were, and what they have said.
    pub approval: Option<Approval>,
    /// The exact previews its approvers asked for, in order.
    pub previews: Vec<Previewed>,
    /// How far it has come.
    pub stage: Stage,
}

/// One exact preview.
#[derive(Clone, Debug)]
pub struct Previewed {
    /// Who wanted it, and when.
    pub started: PreviewStarted,
    /// How it ended; `None`: it has not yet, or was interrupted.
    pub ended: Option<PreviewEnd>,
}

/// How an exact preview ended.
#[derive(Clone, Debug)]
pub enum PreviewEnd {
    /// With a count.
    Finished(Box<PreviewFinished>),
    /// Without.
    Failed(Box<PreviewFailed>),
}

/// What humans were asked and what they have said.
#[derive(Clone, Debug)]
pub struct Approval {
    /// The question.
    pub requested: ApprovalRequested,
    /// Whether it has left for them.
    pub published: bool,
    /// Their answers, in order.
    pub answers: Vec<ApprovalDecided>,
    /// How many rows had been counted exactly when each of them was given.
    pub counted: Vec<Option<u64>>,
}

impl Approval {
    fn asked(requested: &ApprovalRequested) -> Self {
        Self {
            requested: requested.clone(),
            published: false,
            answers: Vec::new(),
            counted: Vec::new(),
        }
    }

    fn has_a_yes(&self) -> bool {
        let mut answers = self.answers.iter();
        answers.any(|answer| answer.answer == Answer::Approve)
    }
}

/// How far a request has come.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Waiting for humans.
    Pending,
    /// Everyone needed has agreed that the same call, made again, runs once.
    Granted,
    /// Dispatched, no outcome yet.
    Executing(ExecutionStarted),
    /// It ran.
    Succeeded(Box<ExecutionFinished>),
    /// It did not, and changed nothing.
    Failed(Box<ExecutionFailed>),
    /// Policy refused it: when it was asked, or when it was to run.
    Denied(DecisionRecord),
    /// A human refused it.
    ApprovalDenied,
    /// Nobody answered in time.
    ApprovalExpired,
    /// Interrupted.
    OutcomeUnknown {
        /// What was seen.
        why: String,
    },
}

impl Request {
    /// Where it stands.
    pub fn status(&self) -> RequestStatus {
        match self.stage {
            Stage::Pending => RequestStatus::PendingApproval,
            Stage::Granted => RequestStatus::Approved,
            Stage::Executing(_) => RequestStatus::Executing,
            Stage::Succeeded(_) => RequestStatus::Succeeded,
            Stage::Failed(_) => RequestStatus::Failed,
            Stage::Denied(_) => RequestStatus::Denied,
            Stage::ApprovalDenied => RequestStatus::ApprovalDenied,
            Stage::ApprovalExpired => RequestStatus::ApprovalExpired,
            Stage::OutcomeUnknown { .. } => RequestStatus::OutcomeUnknown,
        }
    }

    /// Folds a request's own events, in order. `None`: there are none.
    pub fn fold<'a>(
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Option<Self>, BadHistory> {
        Self::fold_bodies(events.into_iter().map(|event| (event.time, &event.body)))
    }

    /// The same, of events that are only about to be chained.
    pub fn fold_bodies<'a>(
        bodies: impl IntoIterator<Item = (Timestamp, &'a EventBody)>,
    ) -> Result<Option<Self>, BadHistory> {
        let mut state = Folding::Nothing;
        for (index, (time, body)) in bodies.into_iter().enumerate() {
            let bad = BadHistory::Impossible {
                index,
                kind: body.kind(),
            };
            state = state.apply(time, body).ok_or(bad)?;
            if let Folding::Request(request) = &mut state {
                request.latest = request.latest.max(time);
            }
        }
        match state {
            Folding::Nothing => Ok(None),
            Folding::Decided(_) => Err(BadHistory::Unfinished),
            Folding::Request(request) => Ok(Some(*request)),
        }
    }
}

/// A history that no sequence of correct steps can have produced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHistory {
    /// An event that cannot follow what came before it.
    #[error("a request's event {index} (`{kind}`) cannot follow what came before it")]
    Impossible {
        /// Which of the request's own events, from 0.
        index: usize,
        /// Its type.
        kind: &'static str,
    },
    /// A decision goes on record together with what follows from it; here nothing does.
    #[error("a request was decided, and nothing followed from it")]
    Unfinished,
}

/// The fold's own states: those of a request, and the two before it is one.
enum Folding {
    Nothing,
    Decided(Box<(RequestDecided, Timestamp)>),
    Request(Box<Request>),
}

impl Folding {
    fn apply(self, time: Timestamp, body: &EventBody) -> Option<Self> {
        match self {
            Self::Nothing => match body {
                EventBody::RequestDecided(decided) => {
                    let decided = decided.as_ref().clone();
                    Some(if decided.decision.action == Action::Deny {
                        let stage = Stage::Denied(decided.decision.clone());
                        Self::request(decided, time, None, stage)
                    } else {
                        Self::Decided(Box::new((decided, time)))
                    })
                }
                _ => None,
            },
            Self::Decided(boxed) => {
                let (decided, asked_at) = *boxed;
                let action = decided.decision.action;
                match (body, action) {
                    (EventBody::ApprovalRequested(requested), Action::RequireApproval) => {
                        let approval = Approval::asked(requested);
                        Some(Self::request(
                            decided,
                            asked_at,
                            Some(approval),
                            Stage::Pending,
                        ))
                    }
                    (body, Action::Allow) => {
                        let stage = match body {
                            EventBody::ExecutionStarted(started) => {
                                Stage::Executing(started.clone())
                            }
                            body => Stage::outcome(body)?,
                        };
                        Some(Self::request(decided, asked_at, None, stage))
                    }
                    _ => None,
                }
            }
            Self::Request(mut request) => {
                request.stage = request.next(body)?;
                Some(Self::Request(request))
            }
        }
    }

    fn request(
        decided: RequestDecided,
        asked_at: Timestamp,
        approval: Option<Approval>,
        stage: Stage,
    ) -> Self {
        Self::Request(Box::new(Request {
            decided,
            asked_at,
            latest: asked_at,
            approval,
            previews: Vec::new(),
            stage,
        }))
    }
}

impl Request {
    /// What time it is for this request, where one's own clock shows `now`: a process whose clock is behind does not bring
    /// back what has expired for those who wrote its record.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        now.max(self.latest)
    }

    fn next(&mut self, body: &EventBody) -> Option<Stage> {
        match (&self.stage, body) {
            (Stage::Pending, EventBody::PreviewStarted(started)) => {
                let asked = self.approval.as_ref()?.requested.terms.question();
                let fits =
                    started.number as usize == self.previews.len() + 1 && started.question == asked;
                fits.then(|| {
                    self.previews.push(Previewed {
                        started: started.as_ref().clone(),
                        ended: None,
                    });
                    Stage::Pending
                })
            }
            // What was seen is worth recording whatever has become of the request meanwhile.
            (stage, EventBody::PreviewFinished(finished)) => {
                let stage = stage.clone();
                self.preview_ends(finished.number, PreviewEnd::Finished(finished.clone()))?;
                Some(stage)
            }
            (stage, EventBody::PreviewFailed(failed)) => {
                let stage = stage.clone();
                self.preview_ends(failed.number, PreviewEnd::Failed(failed.clone()))?;
                Some(stage)
            }
            // It would have changed more than was agreed to: the same is asked again, and earlier answers are void.
            (Stage::Failed(failed), EventBody::ApprovalRequested(again))
                if failed.failure == Failure::TooManyRows =>
            {
                let approval = self.approval.as_mut()?;
                let follows = again.terms.question() == approval.requested.terms.question() + 1;
                follows.then(|| {
                    *approval = Approval::asked(again);
                    Stage::Pending
                })
            }
            (Stage::Pending, EventBody::ApprovalPublished(_)) => {
                self.approval.as_mut()?.published = true;
                Some(Stage::Pending)
            }
            (Stage::Pending, EventBody::ApprovalDecided(answer)) => {
                let counted = self.exact_rows();
                let approval = self.approval.as_mut()?;
                let person = answer.approver.person();
                let answered_before = approval
                    .answers
                    .iter()
                    .any(|other| other.approver.person() == person);
                if answered_before || answer.digest != approval.requested.terms.digest {
                    return None;
                }
                approval.answers.push(answer.as_ref().clone());
                approval.counted.push(counted);
                Some(match answer.answer {
                    Answer::Approve => Stage::Pending,
                    Answer::Deny => Stage::ApprovalDenied,
                })
            }
            (Stage::Pending | Stage::Granted, EventBody::ApprovalExpired(_)) => {
                Some(Stage::ApprovalExpired)
            }
            (Stage::Pending | Stage::Granted, EventBody::RequestRefused(refused)) => {
                Some(Stage::Denied(refused.decision.clone()))
            }
            // Whether the quorum was reached is for `decide` with a policy at hand; that someone said yes is not.
            (Stage::Pending, EventBody::ApprovalGranted(_)) => {
                let approval = self.approval.as_ref()?;
                (approval.requested.grants && approval.has_a_yes()).then_some(Stage::Granted)
            }
            (Stage::Pending, EventBody::ExecutionStarted(started)) => {
                let approval = self.approval.as_ref()?;
                let runs = !approval.requested.grants && approval.has_a_yes();
                runs.then(|| Stage::Executing(started.clone()))
            }
            // A grant is for one execution.
            (Stage::Granted, EventBody::ExecutionStarted(started)) => {
                Some(Stage::Executing(started.clone()))
            }
            (Stage::Executing(_), EventBody::ExecutionOutcomeUnknown(unknown)) => {
                Some(Stage::OutcomeUnknown {
                    why: unknown.why.clone(),
                })
            }
            // A late result is still accepted.
            (Stage::Executing(_) | Stage::OutcomeUnknown { .. }, body) => Stage::outcome(body),
            _ => None,
        }
    }
}

impl Request {
    fn preview_ends(&mut self, number: u32, end: PreviewEnd) -> Option<()> {
        let index = (number as usize).checked_sub(1)?;
        let preview = self.previews.get_mut(index)?;
        preview.ended.is_none().then(|| preview.ended = Some(end))
    }

    /// How many rows it would change as far as its approvers have seen exactly: by the latest preview of the question
    /// they are asked now, or by the execution that made it be asked again.
    pub fn exact_rows(&self) -> Option<u64> {
        let terms = &self.approval.as_ref()?.requested.terms;
        let seen = self.previews.iter().rev().find_map(|preview| {
            let of_this = preview.started.question == terms.question();
            match &preview.ended {
                Some(PreviewEnd::Finished(finished)) if of_this => Some(finished.rows),
                _ => None,
            }
        });
        seen.or(terms.again.as_ref().map(|again| again.rows))
    }
}

impl Stage {
    fn outcome(body: &EventBody) -> Option<Self> {
        match body {
            EventBody::ExecutionFinished(finished) => Some(Self::Succeeded(finished.clone())),
            EventBody::ExecutionFailed(failed) => Some(Self::Failed(failed.clone())),
            _ => None,
        }
    }
}
