//! Answers in, where no Functions host brings them: each message locked until it is settled.
//!
//! On Azure Service Bus the queue has sessions, so that the answers in one session of the record are taken in order: whoever
//! receives holds the lock on one of them, renews it for as long as an answer takes, and gives it back when nothing is left
//! there. Several are worked on at once, so that an answer that takes its time holds up those of its own session alone; what
//! goes wrong with one of them ends that one. Other brokers have queues alone: there it is one message at a time.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use fe2o3_amqp::{
    Delivery, Receiver as Link,
    link::{ReceiverAttachError, receiver::CreditMode},
    session::SessionHandle,
    types::{
        definitions::{self, ErrorCondition, Fields},
        messaging::{AmqpValue, Body, FilterSet, Modified, Source, annotations::AnnotationKey},
        primitives::{SimpleValue, Symbol, Value},
    },
};
use futures_util::{TryStreamExt, stream};
use jiff::Timestamp;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Address, BusError, DECISIONS,
    connection::{Connection, PATIENCE, REST, within},
    lock,
};
use crate::domain::trace;

/// How often a message is delivered before it is given up on.
const DELIVERIES: u32 = 10;
/// How many sessions are worked on at once: as many as `host.json` has the Functions host work on, so that what is approved
/// at once is as much in either place. Each costs a link, and a change that runs.
const SESSIONS: usize = 8;
/// How many answers of one session are taken before it is given back, so that one without an end keeps none of the others out.
const TURN: usize = 100;
/// How long the broker is asked to look for a session that has messages, before it is asked again.
const LOOKING: Duration = Duration::from_secs(30);
/// How long a session may be empty before it is given back.
const EMPTY: Duration = Duration::from_secs(1);

/// Asks for a session; without a value, for any that has messages and is nobody's.
const SESSION_FILTER: &str = "com.microsoft:session-filter";
/// How long to look for one, in milliseconds; and what it is called that there was none.
const TIMEOUT: &str = "com.microsoft:timeout";
/// Says when a message was put into the queue: Service Bus writes it, over whatever a sender has put there.
const ENQUEUED: &str = "x-opt-enqueued-time";
/// Says that a message is for the dead letters, and why.
const DEAD_LETTER: &str = "com.microsoft:dead-letter";

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// What its sender put into it.
    pub body: Bytes,
    /// Since when the broker had it, by the broker's clock, where the broker says so and nobody else can.
    pub enqueued: Option<Timestamp>,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done with.
    Complete,
    /// To be delivered again; after ten deliveries, to the dead letters for this reason.
    Abandon(String),
}

/// Takes messages from the queue of answers.
#[derive(Debug)]
pub struct Receiver {
    address: Address,
}

impl Receiver {
    /// It connects when it is run.
    pub fn new(address: Address) -> Self {
        Self { address }
    }

    /// Gives every message to `take` and settles it as `take` says, until `stop`: then it hands back what it holds. What was
    /// not settled when the connection broke, or when it was told to stop, is delivered again: `take` has to stand that.
    pub async fn run<F>(self, take: impl Fn(Incoming) -> F, stop: CancellationToken)
    where
        F: Future<Output = Settlement>,
    {
        let mut rest = REST.0;
        while !stop.is_cancelled() {
            let began = Instant::now();
            let Err(error) = self.receive(&take, &stop).await else {
                return;
            };
            if began.elapsed() > REST.1 {
                rest = REST.0;
            }
            tracing::warn!(%error, again_in = ?rest, "answers of approvers cannot be received");
            let rested = tokio::time::sleep(rest);
            stop.run_until_cancelled(rested).await;
            rest = (rest * 2).min(REST.1);
        }
    }

    /// Over one connection, until it is told to stop or the connection fails.
    async fn receive<F>(
        &self,
        take: &impl Fn(Incoming) -> F,
        stop: &CancellationToken,
    ) -> Result<(), BusError>
    where
        F: Future<Output = Settlement>,
    {
        let connecting = Box::pin(async {
            let mut connection = Connection::open(&self.address).await?;
            connection.authorize(&self.address, DECISIONS).await?;
            Ok::<_, BusError>(connection)
        });
        let mut connection = match stop.run_until_cancelled(connecting).await {
            Some(connected) => connected?,
            None => return Ok(()),
        };
        let connection = if self.address.is_service_bus() {
            let connection = Mutex::new(connection);
            self.sessions(&connection, take, stop).await?;
            connection.into_inner()
        } else {
            self.queue(&mut connection, take, stop).await?;
            connection
        };
        connection.close().await;
        Ok(())
    }

    async fn queue<F>(
        &self,
        connection: &mut Connection,
        take: &impl Fn(Incoming) -> F,
        stop: &CancellationToken,
    ) -> Result<(), BusError>
    where
        F: Future<Output = Settlement>,
    {
        let link = Link::builder()
            .name(format!("{DECISIONS}-in"))
            .source(DECISIONS)
            // One at a time: a message that waits here unseen would lose its lock.
            .credit_mode(CreditMode::Auto(1))
            .attach(&mut connection.session);
        let mut link = within("attaching", link).await?;
        tracing::info!("receiving answers of approvers");
        // For as long as it takes: a connection that is dead is noticed by its silence.
        while let Some(delivery) = stop.run_until_cancelled(link.recv()).await {
            let delivery = delivery.map_err(undelivered)?;
            // Only Service Bus keeps senders from saying when.
            let taken = taken(take, &delivery, None);
            let settlement = stop.run_until_cancelled(taken).await;
            self.settle(&link, &delivery, settlement).await?;
        }
        Ok(())
    }

    async fn sessions<F>(
        &self,
        connection: &Mutex<Connection>,
        take: &impl Fn(Incoming) -> F,
        stop: &CancellationToken,
    ) -> Result<(), BusError>
    where
        F: Future<Output = Settlement>,
    {
        tracing::info!("receiving answers of approvers");
        let found = stream::try_unfold((), async |()| {
            let next = Box::pin(self.next_session(connection));
            let next = stop.run_until_cancelled(next).await.transpose()?;
            Ok(next.map(|held| (held, ())))
        });
        // Looked for only while there is someone to work on it: a session that waits here would lose its lock.
        found
            .try_for_each_concurrent(SESSIONS, async |mut held| {
                let Held { link, session, .. } = &mut held;
                let worked = self.work(connection, link, session, take, stop);
                if let Err(error) = Box::pin(worked).await {
                    tracing::warn!(%error, "answers in one session are given back");
                }
                // Closing the link gives the session back; how it ends does not count.
                let _ = tokio::time::timeout(PATIENCE, held.link.close()).await;
                Ok(())
            })
            .await
    }

    /// The lock on a session that has messages and is nobody's, as soon as there is one.
    async fn next_session(&self, connection: &Mutex<Connection>) -> Result<Held, BusError> {
        loop {
            let (own, name) = {
                let mut connection = connection.lock().await;
                connection.authorize(&self.address, DECISIONS).await?;
                (connection.begin().await?, connection.link_name(DECISIONS))
            };
            if let Some(held) = look(own, name).await? {
                return Ok(held);
            }
        }
    }

    /// Takes what is in one session, in order.
    async fn work<F>(
        &self,
        connection: &Mutex<Connection>,
        link: &mut Link,
        session: &str,
        take: &impl Fn(Incoming) -> F,
        stop: &CancellationToken,
    ) -> Result<(), BusError>
    where
        F: Future<Output = Settlement>,
    {
        for _ in 0..TURN {
            let next = tokio::time::timeout(EMPTY, link.recv());
            let Some(Ok(delivery)) = stop.run_until_cancelled(next).await else {
                break;
            };
            let delivery = delivery.map_err(undelivered)?;
            let taken = taken(take, &delivery, enqueued_of(&delivery));
            let settlement = tokio::select! {
                settlement = stop.run_until_cancelled(taken) => settlement,
                // Someone else has the session now, or will in a moment, and the message with it.
                lost = lock::keep(connection, &self.address, session, link.name()) => {
                    return lost.map(|never| match never {});
                }
            };
            self.settle(link, &delivery, settlement).await?;
            let authorized = connection
                .lock()
                .await
                .authorize(&self.address, DECISIONS)
                .await;
            authorized?;
        }
        Ok(())
    }

    /// `None`: handed back, for someone else to take.
    async fn settle(
        &self,
        link: &Link,
        delivery: &Delivery<Body<Value>>,
        settlement: Option<Settlement>,
    ) -> Result<(), BusError> {
        let why = match settlement {
            Some(Settlement::Complete) => return within("settling", link.accept(delivery)).await,
            Some(Settlement::Abandon(why)) => why,
            None => return within("settling", link.release(delivery)).await,
        };
        let header = delivery.message().header.as_ref();
        let before = header.map_or(0, |header| header.delivery_count);
        if before + 1 >= DELIVERIES {
            return within("taking a dead letter", link.reject(delivery, dead(why))).await;
        }
        if !self.address.is_service_bus() {
            // RabbitMQ's plugin ends the session at the first `modified`.
            return within("settling", link.release(delivery)).await;
        }
        let failed = Modified {
            delivery_failed: Some(true),
            undeliverable_here: None,
            message_annotations: None,
        };
        within("settling", link.modify(delivery, failed)).await
    }
}

/// What `take` says to a message, as part of the trace that it brings.
async fn taken<F>(
    take: &impl Fn(Incoming) -> F,
    delivery: &Delivery<Body<Value>>,
    enqueued: Option<Timestamp>,
) -> Settlement
where
    F: Future<Output = Settlement>,
{
    let answer = tracing::info_span!("answer", traceparent = traceparent_of(delivery));
    let body = bytes_of(delivery.body());
    take(Incoming { body, enqueued }).instrument(answer).await
}

/// A session, locked for as long as the link is open and the lock renewed.
struct Held {
    link: Link,
    session: String,
    /// The link's own session of AMQP, which ends with it: a link that the broker closes leaves nothing behind that the next one
    /// could stumble over.
    _own: SessionHandle<()>,
}

/// The lock on a session that has messages; `None`: there is none now.
async fn look(mut own: SessionHandle<()>, name: String) -> Result<Option<Held>, BusError> {
    const DOING: &str = "giving out a session";
    let mut properties = Fields::new();
    let patience = u32::try_from(LOOKING.as_millis()).unwrap_or(u32::MAX);
    properties.insert(Symbol::from(TIMEOUT), Value::Uint(patience));
    let mut any = FilterSet::new();
    any.insert(Symbol::from(SESSION_FILTER), Value::Null);
    let mut source = Source::builder().address(DECISIONS).build();
    source.filter = Some(any);
    let link = Link::builder()
        .name(name)
        .source(source)
        .properties(properties)
        .credit_mode(CreditMode::Auto(1))
        .attach(&mut own);
    let link = match tokio::time::timeout(LOOKING + PATIENCE, link).await {
        Ok(Ok(link)) => link,
        Ok(Err(ReceiverAttachError::RemoteClosedWithError(error)))
            if error.condition == condition(TIMEOUT) =>
        {
            return Ok(None);
        }
        Ok(Err(error)) => return Err(BusError::Failed(DOING, format!("{error:?}"))),
        Err(_elapsed) => return Err(BusError::Late(DOING)),
    };
    let filters = link
        .source()
        .as_ref()
        .and_then(|source| source.filter.as_ref());
    match filters.and_then(|filters| filters.get(&Symbol::from(SESSION_FILTER))) {
        Some(Value::String(session)) => {
            let session = session.clone();
            Ok(Some(Held {
                link,
                session,
                _own: own,
            }))
        }
        _ => Err(BusError::Failed(DOING, "it did not say which".into())),
    }
}

fn condition(name: &str) -> ErrorCondition {
    ErrorCondition::Custom(Symbol::from(name))
}

/// Why a message is for the dead letters, as whoever looks there sees it.
fn dead(why: String) -> definitions::Error {
    let mut info = Fields::new();
    for (name, value) in [
        ("DeadLetterReason", "GivenUp".to_owned()),
        ("DeadLetterErrorDescription", why.clone()),
    ] {
        info.insert(Symbol::from(name), Value::String(value));
    }
    definitions::Error::new(condition(DEAD_LETTER), why, info)
}

fn undelivered(error: impl std::fmt::Debug) -> BusError {
    BusError::Failed("delivering", format!("{error:?}"))
}

/// Whose trace the message says it is part of.
fn traceparent_of(delivery: &Delivery<Body<Value>>) -> Option<&str> {
    let properties = delivery.message().application_properties.as_ref()?;
    match properties.get("traceparent")? {
        SimpleValue::String(text) => trace::traceparent(text),
        _ => None,
    }
}

/// Since when Service Bus has had the message.
fn enqueued_of(delivery: &Delivery<Body<Value>>) -> Option<Timestamp> {
    let annotations = delivery.message().message_annotations.as_ref()?;
    match annotations.0.get(&ENQUEUED as &dyn AnnotationKey)? {
        Value::Timestamp(at) => Timestamp::from_millisecond(at.milliseconds()).ok(),
        _ => None,
    }
}

/// What a sender put into the message: bytes, or text where it sent that.
fn bytes_of(body: &Body<Value>) -> Bytes {
    match body {
        Body::Data(parts) => {
            let parts: Vec<&[u8]> = parts.iter().map(|part| part.0.as_ref()).collect();
            parts.concat().into()
        }
        Body::Value(AmqpValue(Value::String(text))) => text.clone().into_bytes().into(),
        Body::Value(AmqpValue(Value::Binary(bytes))) => bytes.to_vec().into(),
        Body::Value(_) | Body::Sequence(_) | Body::Empty => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_sessions_are_worked_on_at_once_as_the_functions_host_works_on() {
        let host: serde_json::Value =
            serde_json::from_str(include_str!("../../host.json")).unwrap();
        assert_eq!(
            host["extensions"]["serviceBus"]["maxConcurrentSessions"],
            SESSIONS
        );
    }
}
