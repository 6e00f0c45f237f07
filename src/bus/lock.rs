//! The lock on a session of Service Bus, kept for as long as an answer takes: renewed by a request to the queue's `$management`
//! node, as its AMQP protocol guide has it. The token on the connection is renewed with it.

use std::{convert::Infallible, time::Duration};

use fe2o3_amqp::types::{
    messaging::{ApplicationProperties, Message},
    primitives::{OrderedMap, Value},
};
use fe2o3_amqp_management::{
    client::MgmtClient, error::Error, request::Request, response::Response,
};
use tokio::sync::Mutex;

use super::{
    Address, BusError, DECISIONS,
    connection::{Connection, within},
};

/// How long before the lock is renewed for the first time: no lock is shorter than five seconds, and most answers are
/// taken before that.
const FIRST: Duration = Duration::from_secs(2);
/// Renewals are at least and at most this far apart, whatever this machine's clock makes of the broker's: the locks of
/// `infra/modules/bus.bicep` last a minute.
const APART: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Keeps the lock on `session`, which `link` holds, until that fails.
pub(super) async fn keep(
    connection: &Mutex<Connection>,
    address: &Address,
    session: &str,
    link: &str,
) -> Result<Infallible, BusError> {
    tokio::time::sleep(FIRST).await;
    let mut client = {
        let mut connection = connection.lock().await;
        let client = MgmtClient::builder()
            .management_node_address(format!("{DECISIONS}/$management"))
            .client_node_addr(connection.link_name("lock"))
            .attach(&mut connection.session);
        within("attaching for locks", client).await?
    };
    loop {
        let authorized = connection.lock().await.authorize(address, DECISIONS).await;
        authorized?;
        let renewal = Renewal { session, link };
        let Renewed { until } = within("renewing a lock", client.call(renewal)).await?;
        let left = until - now_ms();
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        tokio::time::sleep((left / 2).clamp(APART.0, APART.1)).await;
    }
}

fn now_ms() -> i64 {
    let now = azure_core::time::OffsetDateTime::now_utc();
    i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

struct Renewal<'a> {
    session: &'a str,
    link: &'a str,
}

impl Request for Renewal<'_> {
    const OPERATION: &'static str = "com.microsoft:renew-session-lock";
    type Response = Renewed;
    type Body = OrderedMap<String, String>;

    fn encode_application_properties(&mut self) -> Option<ApplicationProperties> {
        let properties = ApplicationProperties::builder();
        Some(properties.insert("associated-link-name", self.link).build())
    }

    fn encode_body(self) -> Self::Body {
        let mut body = OrderedMap::new();
        body.insert("session-id".to_owned(), self.session.to_owned());
        body
    }
}

/// Until when, in milliseconds since 1970.
struct Renewed {
    until: i64,
}

impl Response for Renewed {
    const STATUS_CODE: u16 = 200;
    type Body = OrderedMap<String, Value>;
    type Error = Error;

    fn decode_message(message: Message<Self::Body>) -> Result<Self, Error> {
        match message.body.get("expiration") {
            Some(Value::Timestamp(until)) => Ok(Self {
                until: until.milliseconds(),
            }),
            _ => Err(Error::DecodeError(None)),
        }
    }
}
