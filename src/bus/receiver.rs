//! Answers in, where no Functions host brings them: one message at a time, locked until it is settled.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use fe2o3_amqp::{
    Delivery, Receiver as Link,
    link::receiver::CreditMode,
    types::{
        definitions::{self, AmqpError},
        messaging::{AmqpValue, Body, Modified},
        primitives::{SimpleValue, Value},
    },
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Address, BusError, DECISIONS,
    connection::{Connection, REST, within},
};
use crate::domain::trace;

/// How often a message is delivered before it is given up on.
const DELIVERIES: u32 = 10;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done with.
    Complete,
    /// To be delivered again; after ten deliveries, to the dead letters for this reason.
    Abandon(String),
}

/// Takes messages from the queue of answers. On Azure Service Bus it needs a queue without sessions: those are the
/// Functions host's way.
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
    ) -> Result<std::convert::Infallible, BusError>
    where
        F: Future<Output = Settlement>,
    {
        let mut connection = Connection::open(&self.address).await?;
        let mut good_for = connection.authorize(&self.address, DECISIONS).await?;
        let link = Link::builder()
            .name(format!("{DECISIONS}-in"))
            .source(DECISIONS)
            // One at a time: a message that waits here unseen would lose its lock.
            .credit_mode(CreditMode::Auto(1))
            .attach(&mut connection.session);
        let mut link = within("attaching", link).await?;
        tracing::info!("receiving answers of approvers");
        loop {
            // For ever, where the login lasts as long as the connection.
            let renewal = tokio::time::sleep(good_for.unwrap_or(Duration::from_secs(1 << 30)));
            let delivery = tokio::select! {
                delivery = link.recv::<Body<Value>>() => delivery,
                () = renewal => {
                    good_for = connection.authorize(&self.address, DECISIONS).await?;
                    continue;
                }
            };
            let failed = |error| BusError::Failed("delivering", format!("{error:?}"));
            let delivery = delivery.map_err(failed)?;
            let answer = tracing::info_span!("answer", traceparent = traceparent_of(&delivery));
            let settlement = take(bytes_of(delivery.body())).instrument(answer).await;
            self.settle(&link, &delivery, settlement).await?;
            *settled += 1;
        }
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
            let why = definitions::Error::new(AmqpError::InternalError, why, None);
            return within("taking a dead letter", link.reject(delivery, why)).await;
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
