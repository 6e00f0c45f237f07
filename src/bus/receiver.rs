//! Answers in, where no Functions host brings them: one message at a time, locked until it is settled.
//!
//! On Azure Service Bus the queue has sessions, so that the answers in one session of the record are taken in order: whoever
//! receives holds the lock on one of them, renews it for as long as an answer takes, and gives it back when nothing is left
//! there. Other brokers have queues alone.

use std::{convert::Infallible, future::Future, time::Duration};

use bytes::Bytes;
use fe2o3_amqp::{
    Delivery, Receiver as Link,
    link::{ReceiverAttachError, receiver::CreditMode},
    types::{
        definitions::{self, ErrorCondition, Fields},
        messaging::{AmqpValue, Body, FilterSet, Modified, Source},
        primitives::{SimpleValue, Symbol, Value},
    },
};
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
/// How long the broker is asked to look for a session that has messages, before it is asked again.
const LOOKING: Duration = Duration::from_secs(30);
/// How long a session may be empty before it is given back.
const EMPTY: Duration = Duration::from_secs(1);

/// Asks for a session; without a value, for any that has messages and is nobody's.
const SESSION_FILTER: &str = "com.microsoft:session-filter";
/// How long to look for one, in milliseconds; and what it is called that there was none.
const TIMEOUT: &str = "com.microsoft:timeout";
/// Says that a message is for the dead letters, and why.
const DEAD_LETTER: &str = "com.microsoft:dead-letter";

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

    /// Gives every message to `take`, one after another, and settles it as `take` says, until `stop`. What was not settled
    /// when the connection broke is delivered again: `take` has to stand that.
    pub async fn run<F>(self, take: impl Fn(Bytes) -> F, stop: CancellationToken)
    where
        F: Future<Output = Settlement>,
    {
        let mut rest = REST.0;
        loop {
            let mut settled = 0_u64;
            let ended = stop
                .run_until_cancelled(self.connected(&take, &mut settled))
                .await;
            let Some(error) = ended else { return };
            if settled > 0 {
                rest = REST.0;
            }
            tracing::warn!(%error, again_in = ?rest, "answers of approvers cannot be received");
            if stop
                .run_until_cancelled(tokio::time::sleep(rest))
                .await
                .is_none()
            {
                return;
            }
            rest = (rest * 2).min(REST.1);
        }
    }

    /// Until something fails.
    async fn connected<F>(&self, take: &impl Fn(Bytes) -> F, settled: &mut u64) -> BusError
    where
        F: Future<Output = Settlement>,
    {
        match self.receive(take, settled).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn receive<F>(
        &self,
        take: &impl Fn(Bytes) -> F,
        settled: &mut u64,
    ) -> Result<Infallible, BusError>
    where
        F: Future<Output = Settlement>,
    {
        let mut connection = Connection::open(&self.address).await?;
        connection.authorize(&self.address, DECISIONS).await?;
        if self.address.is_service_bus() {
            tracing::info!("receiving answers of approvers");
            loop {
                self.session(&mut connection, take, settled).await?;
            }
        }
        let link = Link::builder()
            .name(format!("{DECISIONS}-in"))
            .source(DECISIONS)
            // One at a time: a message that waits here unseen would lose its lock.
            .credit_mode(CreditMode::Auto(1))
            .attach(&mut connection.session);
        let mut link = within("attaching", link).await?;
        tracing::info!("receiving answers of approvers");
        loop {
            // For as long as it takes: a connection that is dead is noticed by its silence.
            let delivery = link.recv::<Body<Value>>().await.map_err(undelivered)?;
            let settlement = taken(take, &delivery).await;
            self.settle(&link, &delivery, settlement).await?;
            *settled += 1;
        }
    }

    /// Takes what is in one session, if there is one that has anything.
    async fn session<F>(
        &self,
        connection: &mut Connection,
        take: &impl Fn(Bytes) -> F,
        settled: &mut u64,
    ) -> Result<(), BusError>
    where
        F: Future<Output = Settlement>,
    {
        connection.authorize(&self.address, DECISIONS).await?;
        let Some((mut link, session)) = next_session(connection).await? else {
            return Ok(());
        };
        while let Ok(delivery) = tokio::time::timeout(EMPTY, link.recv::<Body<Value>>()).await {
            let delivery = delivery.map_err(undelivered)?;
            let settlement = tokio::select! {
                settlement = taken(take, &delivery) => settlement,
                // Someone else has the session now, or will in a moment, and the message with it.
                lost = lock::keep(connection, &self.address, &session, link.name()) => {
                    return lost.map(|never| match never {});
                }
            };
            self.settle(&link, &delivery, settlement).await?;
            *settled += 1;
            connection.authorize(&self.address, DECISIONS).await?;
        }
        // Closing the link gives the session back; how it ends does not count.
        let _ = tokio::time::timeout(PATIENCE, link.close()).await;
        Ok(())
    }

    async fn settle(
        &self,
        link: &Link,
        delivery: &Delivery<Body<Value>>,
        settlement: Settlement,
    ) -> Result<(), BusError> {
        let why = match settlement {
            Settlement::Complete => return within("settling", link.accept(delivery)).await,
            Settlement::Abandon(why) => why,
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
async fn taken<F>(take: &impl Fn(Bytes) -> F, delivery: &Delivery<Body<Value>>) -> Settlement
where
    F: Future<Output = Settlement>,
{
    let answer = tracing::info_span!("answer", traceparent = traceparent_of(delivery));
    take(bytes_of(delivery.body())).instrument(answer).await
}

/// The lock on a session that has messages, and which it is; `None`: there is none now.
async fn next_session(connection: &mut Connection) -> Result<Option<(Link, String)>, BusError> {
    const DOING: &str = "giving out a session";
    let mut properties = Fields::new();
    let looking = u32::try_from(LOOKING.as_millis()).unwrap_or(u32::MAX);
    properties.insert(Symbol::from(TIMEOUT), Value::Uint(looking));
    let mut any = FilterSet::new();
    any.insert(Symbol::from(SESSION_FILTER), Value::Null);
    let mut source = Source::builder().address(DECISIONS).build();
    source.filter = Some(any);
    let link = Link::builder()
        .name(connection.link_name(DECISIONS))
        .source(source)
        .properties(properties)
        .credit_mode(CreditMode::Auto(1))
        .attach(&mut connection.session);
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
            Ok(Some((link, session)))
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
