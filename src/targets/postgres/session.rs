//! A session of PostgreSQL as its pool keeps it: told how everything is to be read, and told again after a reset.

use std::sync::Arc;

use super::{
    address::Address,
    wire::{ConnectError, Wire, WireError},
};
use crate::{
    domain::connection::Access,
    targets::pool::{self, SETTLING, Session},
};

pub(super) type Pool = pool::Pool<Wire>;
pub(super) type Lease = pool::Lease<Wire>;

/// What every new connection is told first. None of it is in reach of the statement that follows: it is what a reset
/// goes back to, so it is said again after one.
const SETTINGS: &str = "SET search_path = public, pg_temp; SET IntervalStyle = 'postgres'; \
     SET bytea_output = 'hex'; SET extra_float_digits = 1; SET lc_monetary = 'C'; \
     SET idle_in_transaction_session_timeout = '60s'; SET standard_conforming_strings = on; \
     SET backslash_quote = safe_encoding; SET client_min_messages = notice";
/// The same for connections that only read.
const READ_SETTINGS: &str = "SET default_transaction_read_only = on";
/// Lets the server notice by itself that this machine is gone. Servers before 14, and some systems, cannot.
const WATCH_CLIENT: &str = "SET client_connection_check_interval = '5s'";

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSession {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the server refused the session's settings (SQLSTATE {0})")]
    Settings(String),
}

impl From<WireError> for NoSession {
    fn from(error: WireError) -> Self {
        Self::Connect(ConnectError::Wire(error))
    }
}

impl Session for Wire {
    type Address = Address;
    type Refused = NoSession;
    type Error = WireError;

    async fn open(address: &Address, access: Access) -> Result<Self, NoSession> {
        let mut wire = Self::connect(address).await?;
        queue_settings(&mut wire, access)?;
        wire.send().await?;
        if let Some(refused) = wire.settle().await? {
            return Err(NoSession::Settings(refused.code));
        }
        wire.queue_own(WATCH_CLIENT)?;
        wire.send().await?;
        wire.settle().await?;
        Ok(wire)
    }

    async fn settled(&mut self) -> bool {
        matches!(self.settle().await, Ok(None)) && self.is_quiet()
    }

    /// Closing alone would not stop a statement that sends nothing.
    async fn abandon(self, address: Arc<Address>) {
        if let Err(error) = Self::cancel(&address, self.cancel_key()).await {
            tracing::warn!(%error, "an abandoned statement could not be cancelled");
        }
    }

    fn given_away() -> WireError {
        WireError::Protocol("the connection was given away")
    }
}

fn queue_settings(wire: &mut Wire, access: Access) -> Result<(), WireError> {
    wire.queue_own(SETTINGS)?;
    match access {
        Access::Read => wire.queue_own(READ_SETTINGS),
        Access::Write => Ok(()),
    }
}

/// Ends the loan of a connection whose session may have changed: the server forgets all of it first.
pub(super) fn give_back_reset(mut lease: Lease) {
    let access = lease.access();
    let queued = lease.wire().and_then(|wire| {
        wire.queue_own("DISCARD ALL")?;
        queue_settings(wire, access)?;
        wire.queue_own(WATCH_CLIENT)
    });
    if queued.is_err() || tokio::runtime::Handle::try_current().is_err() {
        return lease.discard();
    }
    tokio::spawn(async move {
        let sent = async { lease.wire()?.send().await };
        match tokio::time::timeout(SETTLING, sent).await {
            Ok(Ok(())) => lease.give_back(),
            _ => lease.discard(),
        }
    });
}
