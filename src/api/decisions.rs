//! Answers of approvers that come by message, whoever brings it: the Functions host or the receiver of `bus`.
//!
//! Whoever may write to the queue can write anything. What makes a message an answer is the proof that was sent with the
//! question, to those who were asked; whose answer it is, is the word of the one who asked them (the Logic App), which is
//! why such a person decides only where policy lets them by name. That a message came says nothing; of what a broker or the
//! host says about one, nothing is looked at but when the broker had it, which can make it late and nothing else.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::Api;
use crate::{
    domain::{
        id::ApprovalId,
        record::Hash,
        session::{Answer, Refusal},
    },
    gateway::{
        Answering, Delivered, GateError, Ports, measure,
        ports::{BoxError, RefusedAnswer},
    },
};

/// Waits between attempts to take an answer while something it needs is down. A message that is given back comes again at
/// once, and after ten times not at all.
const WAITS: [Duration; 8] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(20),
];

/// An answer as it is sent: `infra/approvals/decision.schema.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    approval_id: ApprovalId,
    digest: Hash,
    /// What came with the question.
    proof: String,
    decision: Decision,
    #[serde(default)]
    responder: Option<Responder>,
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Approve,
    Deny,
    /// Nobody was asked, or nobody answered.
    None,
}

/// Who answered, by the word of whoever asked them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Responder {
    /// How they were asked.
    #[serde(rename = "via")]
    _via: Via,
    /// Their Entra tenant's id, where that is known.
    tenant_id: Option<String>,
    /// Their object id there, where that is known.
    object_id: Option<String>,
    /// Their user principal name, or the address of a mailbox.
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Via {
    Teams,
    Email,
}

/// What is known of an answer that is no good.
struct NoGood {
    why: String,
    approval: Option<ApprovalId>,
    by: Option<String>,
}

impl<P: Ports> Api<P> {
    /// Takes an answer that a broker had since `enqueued`, where it says so. Returns a word on what became of it once that is
    /// for good, be it that it was set aside; an error is worth another delivery.
    pub async fn take_decision(
        &self,
        message: &[u8],
        enqueued: Option<Timestamp>,
    ) -> Result<&'static str, BoxError> {
        let mut waits = WAITS.iter();
        loop {
            let error = match self.try_decision(message, enqueued).await {
                Ok(done) => {
                    measure!("portcullis.answers", 1_u64, became = done);
                    return Ok(done);
                }
                Err(error) => error,
            };
            let Some(wait) = waits.next() else {
                measure!("portcullis.answers", 1_u64, became = "given back");
                tracing::error!(%error, "an answer could not be taken now and is given back");
                return Err(error);
            };
            tracing::warn!(%error, again_in = ?wait, "an answer cannot be taken yet");
            self.gateway.sleep(*wait).await;
        }
    }

    async fn try_decision(
        &self,
        message: &[u8],
        enqueued: Option<Timestamp>,
    ) -> Result<&'static str, BoxError> {
        match self.decide(message, enqueued).await? {
            Ok(done) => Ok(done),
            Err(NoGood { why, approval, by }) => {
                let message = Hash::of(message);
                tracing::warn!(why, %message, "an answer will never be taken and is set aside");
                let refused = RefusedAnswer {
                    why,
                    approval,
                    by,
                    message,
                };
                self.gateway.set_aside(&refused).await?;
                Ok("set aside")
            }
        }
    }

    async fn decide(
        &self,
        message: &[u8],
        enqueued: Option<Timestamp>,
    ) -> Result<Result<&'static str, NoGood>, GateError> {
        let read: Message = match serde_json::from_slice(message) {
            Ok(read) => read,
            // The parser's words could quote what it read.
            Err(error) => {
                return Ok(Err(NoGood {
                    why: format!(
                        "it is no answer (line {}, column {})",
                        error.line(),
                        error.column()
                    ),
                    approval: None,
                    by: None,
                }));
            }
        };
        let approval = read.approval_id.clone();
        let name = read.responder.as_ref().map(|person| &person.name);
        let name = name.map(|name| name.chars().take(256).collect::<String>());
        let no_good = |why: &str| NoGood {
            why: why.into(),
            approval: Some(approval.clone()),
            by: name.clone(),
        };
        let (answer, person) = match (read.decision, read.responder) {
            (Decision::Approve, Some(person)) => (Answer::Approve, person),
            (Decision::Deny, Some(person)) => (Answer::Deny, person),
            (Decision::None, None) => {
                tracing::info!(%approval, "nobody answered");
                return Ok(Ok("nobody answered"));
            }
            (Decision::None, Some(_)) => return Ok(Err(no_good("somebody gave no answer"))),
            (_, None) => return Ok(Err(no_good("nobody gave an answer"))),
        };
        // Whose answer it is has to be certain: one person with a mailbox and an account must not count as two.
        let (Some(tenant), Some(object)) = (&person.tenant_id, &person.object_id) else {
            return Ok(Err(no_good(
                "it does not say which person answered: a mailbox is none, and whoever was asked by e-mail has to decide \
                 at the gateway",
            )));
        };
        let Some(approver) = self.auth.vouched(tenant, object, &person.name) else {
            return Ok(Err(no_good(
                "whoever answered is no person of a tenant whose tokens policy takes",
            )));
        };
        let answering = Answering {
            approver,
            approval: read.approval_id,
            answer,
            digest: read.digest,
            comment: read.comment,
            enqueued,
        };
        Ok(match self.gateway.deliver(answering, &read.proof).await? {
            Delivered::Refused(why) => Err(no_good(&why)),
            Delivered::Taken => {
                tracing::info!(%approval, "an answer was taken");
                Ok("taken")
            }
            Delivered::Repeated => {
                measure!("portcullis.redeliveries", 1_u64);
                tracing::info!(%approval, "an answer was delivered again");
                Ok("taken before")
            }
            Delivered::TooLate(why) => {
                tracing::info!(%approval, %why, "an answer came too late");
                Ok(match why {
                    Refusal::Expired(_) => "expired",
                    _ => "too late",
                })
            }
        })
    }
}
