//! Questions out: one long-lived connection, a link per queue, and patience with a broker that is down.

use std::{collections::HashMap, time::Duration};

use fe2o3_amqp::{
    Sender,
    types::messaging::{ApplicationProperties, Data, Header, Message, Properties},
};
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    Address, BusError, REFUSED, REQUESTS,
    connection::{Connection, PATIENCE, REST, within},
};
use crate::gateway::ports::{ApprovalBus, ApprovalNotice, BoxError, RefusedAnswer};

/// The longest statement, with its parameters, that anyone is asked about by message. Who has not read all of a statement
/// cannot agree to it; longer ones are decided where all of it is to be seen.
const READABLE: usize = 8000;

/// Azure Service Bus, or another broker that speaks AMQP 1.0.
///
/// A question carries its id as the message id, so that one that is sent twice is dropped by a queue with duplicate
/// detection, and recognised by whoever reads one without.
#[derive(Debug)]
pub struct Broker {
    address: Address,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    /// After a failure: until when the broker is left alone, and for how long the next time.
    resting: Option<(Instant, Duration)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.open.is_some() {
            "Open"
        } else {
            "Closed"
        })
    }
}

struct Open {
    senders: HashMap<&'static str, Sender>,
    connection: Connection,
}

/// What leaves.
struct Outgoing {
    queue: &'static str,
    id: String,
    subject: &'static str,
    traceparent: Option<String>,
    body: Value,
}

impl Broker {
    /// It is connected to when something is to be sent.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            state: Mutex::default(),
        }
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<(), BusError> {
        let late = |_| BusError::Late("with what was sent before");
        let mut state = timeout(PATIENCE, self.state.lock()).await.map_err(late)?;
        let state = &mut *state;
        if let Some((until, _)) = state.resting
            && let Some(left) = until.checked_duration_since(Instant::now())
        {
            return Err(BusError::Resting(left));
        }
        // A connection that was idle may be dead without anyone having noticed: it gets a second chance, a new one none.
        let idle = state.open.take();
        let sent = match idle {
            Some(open) => match open.send(&self.address, outgoing).await {
                Ok(open) => Ok(open),
                Err(error) => {
                    tracing::debug!(%error, "connecting to the message broker anew");
                    self.send_anew(outgoing).await
                }
            },
            None => self.send_anew(outgoing).await,
        };
        match sent {
            Ok(open) => {
                *state = State {
                    open: Some(open),
                    resting: None,
                };
                Ok(())
            }
            Err(error) => {
                let rest = state.resting.map_or(REST.0, |(_, rest)| rest);
                state.resting = Some((Instant::now() + rest, (rest * 2).min(REST.1)));
                Err(error)
            }
        }
    }

    async fn send_anew(&self, outgoing: &Outgoing) -> Result<Open, BusError> {
        let open = Open {
            senders: HashMap::new(),
            connection: Connection::open(&self.address).await?,
        };
        open.send(&self.address, outgoing).await
    }
}

impl Open {
    /// Sends, and gives itself back only if that went well.
    async fn send(mut self, address: &Address, outgoing: &Outgoing) -> Result<Self, BusError> {
        let queue = outgoing.queue;
        self.connection.authorize(address, queue).await?;
        let sender = match self.senders.entry(queue) {
            std::collections::hash_map::Entry::Occupied(sender) => sender.into_mut(),
            std::collections::hash_map::Entry::Vacant(none) => {
                let session = &mut self.connection.session;
                let attached = Sender::attach(session, format!("{queue}-out"), queue);
                none.insert(within("attaching", attached).await?)
            }
        };
        let outcome = within("taking a message", sender.send(message(outgoing))).await?;
        outcome
            .accepted_or("not accepted")
            .map_err(|error| BusError::Failed("taking a message", error.into()))?;
        Ok(self)
    }
}

fn message(outgoing: &Outgoing) -> Message<Data> {
    let properties = Properties::builder()
        .message_id(outgoing.id.clone())
        .subject(outgoing.subject)
        .content_type("application/json")
        .build();
    let mut more = ApplicationProperties::builder();
    if let Some(traceparent) = &outgoing.traceparent {
        // The second is what Azure's own libraries look for.
        more = more
            .insert("traceparent", traceparent.clone())
            .insert("Diagnostic-Id", traceparent.clone());
    }
    Message::builder()
        .header(Header::builder().durable(true).build())
        .properties(properties)
        .application_properties(more.build())
        .data(Data::from(outgoing.body.to_string().into_bytes()))
        .build()
}

impl ApprovalBus for Broker {
    async fn publish(&self, notice: &ApprovalNotice) -> Result<(), BoxError> {
        let outgoing = Outgoing {
            queue: REQUESTS,
            id: notice.id(),
            subject: "approval.requested",
            traceparent: notice.request.traceparent.clone(),
            body: question(notice),
        };
        Ok(self.send(&outgoing).await?)
    }

    async fn set_aside(&self, refused: &RefusedAnswer) -> Result<(), BoxError> {
        let outgoing = Outgoing {
            queue: REFUSED,
            id: refused.message.to_string(),
            subject: "approval.refused",
            traceparent: None,
            body: json!({
                "why": refused.why,
                "approval_id": refused.approval,
                "name": refused.by,
                "message": refused.message,
            }),
        };
        Ok(self.send(&outgoing).await?)
    }
}

/// What an approver is shown, and what their answer has to bring back: `infra/approvals/question.schema.json`.
fn question(notice: &ApprovalNotice) -> Value {
    let ApprovalNotice {
        request,
        approval,
        proof,
    } = notice;
    let terms = &approval.terms;
    let groups = terms
        .from
        .iter()
        .flat_map(|quorum| std::iter::repeat_n(&quorum.group, quorum.count.max(1) as usize));
    let seats: Vec<Value> = (1..)
        .zip(groups)
        .map(|(seat, group)| json!({"id": format!("{seat}"), "group": group}))
        .collect();
    let shown = request.statement.chars().count()
        + request
            .params
            .iter()
            .flatten()
            .map(String::len)
            .sum::<usize>();
    let (statement, params) = if shown <= READABLE {
        (request.statement.clone(), request.params.as_slice())
    } else {
        // Still longer than anyone is asked about, and no longer than a broker takes.
        let begins = request.statement.chars().take(READABLE);
        let begins = begins.chain(std::iter::repeat('…'));
        (begins.take(READABLE + 1).collect(), [].as_slice())
    };
    let mut why = request.why.clone();
    if let Some(rewritten) = &request.rewritten {
        why = format!(
            "{why}; policy made it of another statement, as {}",
            rewritten.into
        );
    }
    let (asks, found) = match &terms.answer {
        None => ("run", String::new()),
        Some(answer) => ("answer", answer.what()),
    };
    json!({
        "approval_id": request.request_id.approval(),
        "asks": asks,
        "found": found,
        "session_id": request.request_id.session(),
        "digest": terms.digest,
        "expires_at": terms.expires_at,
        "proof": proof.expose(),
        "seats": seats,
        "principal": request.principal.id,
        "connection": request.connection,
        "effect": request.effect,
        "why": why,
        "statement": statement,
        "params": params,
        "reach": reach(notice),
        "reason": request.reason.as_deref().unwrap_or_default(),
    })
}

/// What it would touch, in a sentence.
fn reach(notice: &ApprovalNotice) -> String {
    let ApprovalNotice {
        request, approval, ..
    } = notice;
    let objects = request.objects.iter().map(|object| object.name.as_str());
    let mut said: Vec<String> = vec![objects.collect::<Vec<_>>().join(", ")];
    if request.unbounded {
        said.push("every row".into());
    }
    if let Some(preview) = &approval.preview {
        let rows = preview
            .estimated_rows
            .map(|rows| format!("about {rows} rows"));
        said.extend(rows.into_iter().chain([preview.note.clone()]));
    }
    said.retain(|part| !part.is_empty());
    said.join("; ")
}
