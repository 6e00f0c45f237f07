//! An approver's answer, whichever way it came, and what follows from it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::{
    ApprovalView, GateError, Gateway, Ports,
    execute::Caller,
    judge::Assessed,
    measured,
    ports::{AppendError, Clock, EventStore},
    seal::{Purpose, SessionKey},
};
use crate::domain::{
    approval::NotEligible,
    id::ApprovalId,
    masking::MaskedCounts,
    operation::{BadOperation, MAX_REASON, Operation},
    policy::Policy,
    principal::Principal,
    record::{self, Hash},
    rewrite::{Revisited, rewrite},
    session::{AfterAnswer, Answer, Answered, Event, Refusal, Request, answer},
};

/// How long an approver's call waits for what they approved to end; it goes on after that.
const SEE_IT_RUN: Duration = Duration::from_secs(20);

/// Someone's answer.
#[derive(Debug)]
pub struct Answering {
    /// Who.
    pub approver: Principal,
    /// To which question.
    pub approval: ApprovalId,
    /// Yes or no.
    pub answer: Answer,
    /// The digest of what they were shown.
    pub digest: Hash,
    /// What they add.
    pub comment: Option<String>,
    /// When a broker had it, by the broker's clock, where one brought it.
    pub enqueued: Option<Timestamp>,
}

impl Answering {
    /// What time it is for this answer, where one's own clock shows `now`. It is not earlier than when a broker had it: a
    /// process whose clock is behind takes no answer for in time that was late before it came.
    ///
    /// INVARIANT: what a broker says can make an answer late, and never in time.
    fn time(&self, now: Timestamp) -> Timestamp {
        self.enqueued.map_or(now, |enqueued| enqueued.max(now))
    }
}

/// What became of an answer that came by message. Whichever it is, the message has done what it can.
#[derive(Debug)]
pub enum Delivered {
    /// It counts, and what followed from it has ended.
    Taken,
    /// It was taken before: this is another delivery of it.
    Repeated,
    /// It is too late, or answers a question that was asked anew since; nothing follows from it.
    TooLate(Refusal),
    /// It never counts.
    Refused(String),
}

/// What someone is asked to decide on, as it stands.
pub(super) struct Considered {
    /// Folded from the session's verified chain.
    pub(super) request: Request,
    /// That chain.
    pub(super) events: Vec<Event>,
    /// Today's.
    pub(super) policy: Arc<Policy>,
    /// The session's.
    pub(super) key: Arc<SessionKey>,
    /// Unsealed.
    pub(super) operation: Operation,
    /// Judged anew.
    pub(super) assessed: Assessed,
    /// What was asked, judged and rewritten anew, where policy rewrote it.
    pub(super) asked: Option<Revisited>,
}

impl<P: Ports> Gateway<P> {
    /// Takes an answer: checks it against the verified record and today's policy, puts it on record, and runs what
    /// everyone needed has agreed to. Returns the approval as it then stands. Answering twice changes nothing.
    pub async fn resume(self: &Arc<Self>, answering: Answering) -> Result<ApprovalView, GateError> {
        let (approver, approval) = (answering.approver.clone(), answering.approval.clone());
        tokio::select! {
            done = self.begin(answering)? => done.unwrap_or(Err(GateError::Internal))?,
            () = self.parts.clock.sleep(SEE_IT_RUN) => {}
        }
        let (request, _) = self.verified(&approval).await?;
        let view = self.approval_view(&approver, &request).await?;
        view.ok_or(GateError::UnknownApproval(approval))
    }

    /// The same for an answer that came by message, whose sender nobody verified: it has to bring the question's proof.
    /// Returns when everything that follows from it has ended, so that a message is not done with before that. An error
    /// says that nobody can tell yet: it is worth another delivery.
    pub async fn deliver(
        self: &Arc<Self>,
        answering: Answering,
        proof: &str,
    ) -> Result<Delivered, GateError> {
        let (approval, digest) = (answering.approval.clone(), answering.digest);
        if !self.parts.sealer.proves(&approval, &digest, proof)? {
            return Ok(Delivered::Refused(
                "it does not bring the proof that was sent with the question".into(),
            ));
        }
        let (person, said) = (answering.approver.person(), answering.answer);
        let taken = match self.begin(answering) {
            Ok(taken) => taken.await.unwrap_or(Err(GateError::Internal)),
            Err(error) => Err(error),
        };
        let refusal = match taken {
            Ok(()) => return Ok(Delivered::Taken),
            Err(GateError::Refused(refusal)) => refusal,
            Err(error @ (GateError::BadOperation(_) | GateError::UnknownConnection(_))) => {
                return Ok(Delivered::Refused(error.to_string()));
            }
            // The question exists, or there were no proof of it: it is not for this person, or not to be seen yet.
            Err(GateError::UnknownApproval(_)) => {
                let (request, _) = self.verified(&approval).await?;
                let status = request.status().as_str();
                return Ok(Delivered::Refused(format!(
                    "whoever answered is not among those asked (the request is {status})"
                )));
            }
            Err(error) => return Err(error),
        };
        Ok(match refusal {
            Refusal::Closed(_)
            | Refusal::Expired(_)
            | Refusal::AnsweredBefore(_)
            | Refusal::OtherDigest => {
                let (request, _) = self.verified(&approval).await?;
                let mut answers = request.approval.iter().flat_map(|asked| &asked.answers);
                let before = answers.any(|other| {
                    other.approver.person() == person
                        && other.answer == said
                        && other.digest == digest
                });
                match before {
                    true => Delivered::Repeated,
                    false => Delivered::TooLate(refusal),
                }
            }
            refused => Delivered::Refused(refused.to_string()),
        })
    }

    /// What was approved runs to its end, whether or not anyone waits for it.
    fn begin(
        self: &Arc<Self>,
        answering: Answering,
    ) -> Result<JoinHandle<Result<(), GateError>>, GateError> {
        if self.running.is_closed() {
            return Err(GateError::Stopping);
        }
        if let Some(comment) = answering
            .comment
            .as_ref()
            .filter(|text| text.len() > MAX_REASON)
        {
            return Err(BadOperation::ReasonTooLong(comment.len()).into());
        }
        let gateway = Arc::clone(self);
        let work = async move { Box::pin(gateway.take(answering)).await };
        Ok(self.running.spawn(work.in_current_span()))
    }

    async fn take(self: &Arc<Self>, answering: Answering) -> Result<(), GateError> {
        let Answering {
            approver,
            approval,
            answer: said,
            digest,
            comment,
            enqueued: _,
        } = &answering;
        let session = approval.request().session();
        for _ in 0..32 {
            let Considered {
                request,
                events,
                policy,
                key,
                operation,
                assessed,
                asked,
            } = self.consider(approver, approval).await?;
            // What an approver writes may quote a value.
            let mut counts = MaskedCounts::default();
            let comment = comment.as_deref();
            let next = answer(Answered {
                request: &request,
                operation,
                facts: &assessed.facts,
                asked: asked.as_ref(),
                policy: &policy,
                approver,
                answer: *said,
                digest: *digest,
                comment: comment.map(|text| policy.masking.text(text, &mut counts).into_inner()),
                instance: &self.parts.instance,
                now: answering.time(self.parts.clock.now()),
            });
            let next = match next {
                Ok(next) => next,
                Err(refusal) => {
                    if matches!(refusal, Refusal::Expired(_)) {
                        self.settle(&request.decided.request_id).await?;
                    }
                    return Err(refusal.into());
                }
            };
            let head = events.last().map_or(record::Head::GENESIS, Event::head);
            let (bodies, permit) = match next {
                AfterAnswer::Noted(bodies) => (bodies, None),
                AfterAnswer::Act(bodies, permit) => (bodies, Some(permit)),
            };
            match self.append(&session, head, bodies, None).await {
                Ok(on_record) => {
                    if let Some(permit) = permit {
                        let permit = on_record.release(*permit)?;
                        self.run_and_record(permit, &assessed, &policy, &key, Caller::default())
                            .instrument(measured::resumed(&request.decided))
                            .await?;
                    }
                    return Ok(());
                }
                // Another answer, or another delivery of this one, was first: see what is left to decide.
                Err(AppendError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(GateError::Busy(session))
    }

    /// What `approver` is asked to decide on, judged anew; only for those who may.
    pub(super) async fn consider(
        &self,
        approver: &Principal,
        approval: &ApprovalId,
    ) -> Result<Considered, GateError> {
        let session = approval.request().session();
        let (request, events) = self.verified(approval).await?;
        let policy = self.policy();
        let described = approver.described();
        let terms = request
            .approval
            .as_ref()
            .map(|approval| &approval.requested.terms);
        let eligible =
            terms.map(|terms| terms.eligible(&policy, &request.decided.principal, &described));
        match eligible {
            // Whether an approval exists is not for everyone to know.
            None | Some(Err(NotEligible::NotAsked { .. })) => {
                return Err(GateError::UnknownApproval(approval.clone()));
            }
            Some(Err(refused)) => return Err(refused.into()),
            Some(Ok(_)) => {}
        }
        let connection = policy.connections.get(&request.decided.connection);
        let connection = connection
            .ok_or_else(|| GateError::UnknownConnection(request.decided.connection.clone()))?;
        let key = self.session_key(&session).await?.ok_or_else(|| {
            GateError::Damaged(format!("the key of session `{session}` was erased"))
        })?;
        let decided = &request.decided;
        let unsealed = |purpose, sealed| -> Result<Operation, GateError> {
            let exact = key.open(&decided.request_id, purpose, sealed)?;
            serde_json::from_slice(&exact).map_err(|error| GateError::Damaged(error.to_string()))
        };
        let operation = unsealed(Purpose::Operation, &decided.sealed)?;
        let assessed = self.assess(connection, &operation).await;
        let asked = match &decided.rewritten {
            Some(rewritten) => {
                let asked = unsealed(Purpose::Asked, &rewritten.sealed)?;
                let before = self.assess(connection, &asked).await;
                let becomes = rewrite(
                    rewritten.into,
                    connection.kind,
                    &asked,
                    &before.facts,
                    before.catalog(),
                );
                Some(Revisited {
                    asked,
                    facts: before.facts,
                    into: rewritten.into,
                    becomes,
                })
            }
            None => None,
        };
        Ok(Considered {
            request,
            events,
            policy,
            key,
            operation,
            assessed,
            asked,
        })
    }

    /// The request behind an approval, folded from its session's verified chain, and that chain.
    pub(super) async fn verified(
        &self,
        approval: &ApprovalId,
    ) -> Result<(Request, Vec<Event>), GateError> {
        let id = approval.request();
        let session = id.session();
        let events = self.parts.store.session(&session).await?;
        if events.is_empty() {
            return Err(GateError::UnknownApproval(approval.clone()));
        }
        record::verify_chain(&session, &events)
            .map_err(|error| GateError::Damaged(error.to_string()))?;
        let own = events
            .iter()
            .filter(|event| event.body.request() == Some(&id));
        let request = Request::fold(own)?;
        let request = request.ok_or_else(|| GateError::UnknownApproval(approval.clone()))?;
        Ok((request, events))
    }
}
