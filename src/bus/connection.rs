//! One AMQP connection: TLS from the first byte, login, a token for each queue, links.
//!
//! A token is put on the connection before the queue's link is attached, and again before it expires: the broker drops the
//! link of one that has. Whatever fails, the connection is thrown away and made anew by whoever needs it next.

use std::{collections::HashMap, fmt, future::Future, time::Duration};

use fe2o3_amqp::{
    Connection as AmqpConnection, Session, connection::ConnectionHandle, sasl_profile::SaslProfile,
    session::SessionHandle, types::primitives::Timestamp,
};
use fe2o3_amqp_cbs::{client::CbsClient, token::CbsToken};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::{Address, Login};
use crate::identity::NoToken;

/// How long a broker may take over any one thing.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long a broker that failed is left alone: the first time, and at most.
pub(super) const REST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// What the broker hears of idleness, so that it does not take silence for death.
const IDLE_MS: u32 = 60_000;

/// Why a message did not leave or arrive.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The broker took too long.
    #[error("the message broker took longer than {PATIENCE:?} {0}")]
    Late(&'static str),
    /// It refused, or the connection broke.
    #[error("the message broker failed {0}: {1}")]
    Failed(&'static str, String),
    /// It takes tokens, and there is none.
    #[error(transparent)]
    NoToken(#[from] NoToken),
    /// It failed a moment ago, and is left alone for a while.
    #[error("the message broker failed a moment ago; it is tried again in {0:?}")]
    Resting(Duration),
}

/// Awaits `step` for as long as a broker may take.
pub(super) async fn within<T, E: fmt::Debug>(
    doing: &'static str,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, BusError> {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(done) => done.map_err(|error| BusError::Failed(doing, format!("{error:?}"))),
        Err(_elapsed) => Err(BusError::Late(doing)),
    }
}

/// An open connection with its first session. Dropping it closes it.
pub(super) struct Connection {
    pub(super) session: SessionHandle<()>,
    /// When the token put for a queue expires, in seconds since 1970.
    put: HashMap<&'static str, i64>,
    /// How many links have been named.
    named: u64,
    connection: ConnectionHandle<()>,
}

impl Connection {
    pub(super) async fn open(address: &Address) -> Result<Self, BusError> {
        let stream = TcpStream::connect((address.host.as_str(), address.port));
        let stream = within("connecting", stream).await?;
        let _ = stream.set_nodelay(true);
        let profile = match &address.login {
            Login::Password { user, password } => SaslProfile::Plain {
                username: user.clone(),
                password: password.as_str().to_owned(),
            },
            Login::Token(_) => SaslProfile::Anonymous,
        };
        // TLS is ours, so that there is one stack with one notion of whom to trust; for the library this is plain AMQP.
        let builder = AmqpConnection::builder()
            .container_id("portcullis")
            .scheme("amqp")
            .hostname(address.host.as_str())
            .sasl_hostname(address.host.as_str())
            .sasl_profile(profile)
            .idle_time_out(IDLE_MS)
            .max_frame_size(65_536_u32);
        let mut connection = match &address.tls {
            None => within("opening", Box::pin(builder.open_with_stream(stream))).await?,
            Some((name, config)) => {
                let connector = TlsConnector::from(config.clone());
                let stream = connector.connect(name.clone(), stream);
                let stream = within("greeting over TLS", stream).await?;
                within("opening", Box::pin(builder.open_with_stream(stream))).await?
            }
        };
        let session = within("beginning", Session::begin(&mut connection)).await?;
        Ok(Self {
            session,
            put: HashMap::new(),
            named: 0,
            connection,
        })
    }

    /// Another session on it, for a link that has nothing to do with the others.
    pub(super) async fn begin(&mut self) -> Result<SessionHandle<()>, BusError> {
        within("beginning", Session::begin(&mut self.connection)).await
    }

    /// Ends it in good order, so that the broker gives what it was holding to others at once.
    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(PATIENCE, self.connection.close()).await;
    }

    /// A name for a link that no other on this connection has or had.
    pub(super) fn link_name(&mut self, what: &str) -> String {
        self.named += 1;
        format!("{what}-{}", self.named)
    }

    /// Puts a token for `queue` where the broker wants one and there is a newer one than the last. Whoever keeps a link calls
    /// it again within minutes: the identity gives out a new token five minutes before the old one expires.
    pub(super) async fn authorize(
        &mut self,
        address: &Address,
        queue: &'static str,
    ) -> Result<(), BusError> {
        let Login::Token(tokens) = &address.login else {
            return Ok(());
        };
        let token = tokens.current().await?;
        let expires = token.expires_on.unix_timestamp();
        if self.put.get(queue) != Some(&expires) {
            let mut cbs =
                within("attaching for tokens", CbsClient::attach(&mut self.session)).await?;
            let until = Timestamp::from_milliseconds(expires.saturating_mul(1000));
            let said = CbsToken::new(token.token.secret(), "jwt", Some(until));
            let put = within(
                "taking a token",
                cbs.put_token(address.audience(queue), said),
            )
            .await;
            // The answer counts; how the link ends does not.
            let _ = tokio::time::timeout(PATIENCE, cbs.close()).await;
            put?;
            self.put.insert(queue, expires);
        }
        Ok(())
    }
}
