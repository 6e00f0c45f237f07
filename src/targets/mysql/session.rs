//! A session of MySQL or MariaDB as its pool keeps it: told how everything is to be read, and reset after each use.

use std::sync::Arc;

use super::{
    address::Address,
    wire::{ConnectError, Wire, WireError},
};
use crate::{
    domain::connection::Access,
    targets::pool::{self, PATIENCE, Session},
};

pub(super) type Pool = pool::Pool<Wire>;
pub(super) type Lease = pool::Lease<Wire>;

/// What every session is told first, and again after each reset: the text means what its judge took it to mean (double
/// quotes are text, backslashes escape, `||` is no concatenation), a value that does not fit is an error and not cut
/// off, times are UTC, a plan is a table (where it could be something else), and messages are English, so that they can be told
/// apart. `wait_timeout` lets the server notice by itself that this machine is gone.
const SETTINGS: &str = "SET NAMES utf8mb4, \
     SESSION sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
     SESSION time_zone = '+00:00', SESSION lc_messages = 'en_US', SESSION completion_type = 'NO_CHAIN', \
     SESSION autocommit = 1, SESSION wait_timeout = 600 \
     /*!80032 , SESSION explain_format = 'TRADITIONAL' */";
/// The same for connections that only read. It is what keeps definitions out: a statement that commits implicitly ends
/// the transaction it runs in, whose READ ONLY is then gone, but not the session's.
const READ_SETTINGS: &str = "SET SESSION TRANSACTION READ ONLY";

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSession {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the server refused the session's settings (error {0})")]
    Settings(String),
}

impl Session for Wire {
    type Address = Address;
    type Refused = NoSession;
    type Error = WireError;

    async fn open(address: &Address, access: Access) -> Result<Self, NoSession> {
        let mut wire = Self::connect(address).await?;
        queue_settings(&mut wire, access);
        let settled = async {
            wire.send().await?;
            wire.settle().await
        };
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        match settled.map_err(|_elapsed| ConnectError::Slow)? {
            Ok(None) => Ok(wire),
            Ok(Some(refused)) => Err(NoSession::Settings(refused.code())),
            Err(error) => Err(ConnectError::Wire(error).into()),
        }
    }

    async fn settled(&mut self) -> bool {
        matches!(self.settle().await, Ok(None)) && self.is_quiet()
    }

    /// Closing alone would not stop a statement that sends nothing.
    async fn abandon(self, address: Arc<Address>) {
        if let Err(error) = Self::cancel(&address, self.thread()).await {
            tracing::warn!(%error, "an abandoned statement could not be cancelled");
        }
    }

    fn given_away() -> WireError {
        WireError::Protocol("the connection was given away")
    }
}

fn queue_settings(wire: &mut Wire, access: Access) {
    wire.queue_own(SETTINGS);
    if access == Access::Read {
        wire.queue_own(READ_SETTINGS);
    }
}

/// Ends the loan of a connection on which nothing runs: the server rolls back and forgets the session first, its
/// variables, locks, temporary tables and prepared statements. Its answer is awaited before the next loan.
pub(super) fn give_back(mut lease: Lease) {
    let access = lease.access();
    let Ok(wire) = lease.wire() else {
        return lease.discard();
    };
    wire.queue_reset();
    queue_settings(wire, access);
    if tokio::runtime::Handle::try_current().is_err() {
        return lease.discard();
    }
    // A few hundred bytes fit into the socket at once, and then the next loan finds the connection.
    match futures_util::FutureExt::now_or_never(wire.send()) {
        Some(Ok(())) => lease.give_back(),
        _ => lease.discard(),
    }
}
