//! Connections of one endpoint: a bounded number, lent one execution at a time.
//!
//! INVARIANT: a connection that is dropped while something may be running on it is cancelled at the server; none is lent
//! again unless whoever had it gave it back on purpose, and then only as if new.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    address::Address,
    wire::{ConnectError, Wire, WireError},
};
use crate::{
    domain::connection::Access,
    targets::postgres::{PATIENCE, SIZE},
};

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(300);
/// How long a lent connection may take to finish cleaning up after its last use.
const SETTLING: Duration = Duration::from_secs(1);

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

/// The connections of one endpoint.
pub(super) struct Pool {
    address: Arc<Address>,
    access: Access,
    idle: Mutex<Vec<Idle>>,
    slots: Arc<Semaphore>,
    closed: AtomicBool,
}

struct Idle {
    wire: Wire,
    since: Instant,
}

/// A connection on loan.
pub(super) struct Lease {
    wire: Option<Wire>,
    pool: Arc<Pool>,
    in_use: bool,
    _slot: OwnedSemaphorePermit,
}

/// Why no connection is to be had. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    #[error("pool exhausted: all {SIZE} connections have been busy for {} s; try again", PATIENCE.as_secs())]
    Exhausted,
    #[error("the connection has been removed from the policy")]
    Closed,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the server refused the session's settings (error {0})")]
    Settings(String),
}

impl Pool {
    pub(super) fn new(address: Arc<Address>, access: Access) -> Arc<Self> {
        Arc::new(Self {
            address,
            access,
            idle: Mutex::default(),
            slots: Arc::new(Semaphore::new(SIZE)),
            closed: AtomicBool::new(false),
        })
    }

    /// The database of every session.
    pub(super) fn database(&self) -> &str {
        &self.address.database
    }

    /// A connection that is ready and as if new.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Lease, NoConnection> {
        let slot = tokio::time::timeout(PATIENCE, self.slots.clone().acquire_owned())
            .await
            .map_err(|_elapsed| NoConnection::Exhausted)?
            .map_err(|_closed| NoConnection::Closed)?;
        while let Some(mut wire) = self.take_idle() {
            let settled = tokio::time::timeout(SETTLING, wire.settle()).await;
            if matches!(settled, Ok(Ok(None))) && wire.is_quiet() {
                return Ok(self.lease(wire, slot));
            }
        }
        let mut wire = Wire::connect(&self.address).await?;
        self.set_up(&mut wire);
        let settled = async {
            wire.send().await?;
            wire.settle().await
        };
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        match settled.map_err(|_elapsed| ConnectError::Slow)? {
            Ok(None) => Ok(self.lease(wire, slot)),
            Ok(Some(refused)) => Err(NoConnection::Settings(refused.code())),
            Err(error) => Err(ConnectError::Wire(error).into()),
        }
    }

    fn set_up(&self, wire: &mut Wire) {
        wire.queue_own(SETTINGS);
        if self.access == Access::Read {
            wire.queue_own(READ_SETTINGS);
        }
    }

    /// Lends no more; connections on loan are closed when they come back.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.slots.close();
        self.lock().clear();
    }

    fn lease(self: &Arc<Self>, wire: Wire, slot: OwnedSemaphorePermit) -> Lease {
        Lease {
            wire: Some(wire),
            pool: self.clone(),
            in_use: false,
            _slot: slot,
        }
    }

    fn take_idle(&self) -> Option<Wire> {
        let mut idle = self.lock();
        while let Some(found) = idle.pop() {
            if found.since.elapsed() < IDLE {
                return Some(found.wire);
            }
            // The last one given back is on top: all below have been idle for longer.
            idle.clear();
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The connection. From here until it is given back, dropping it cancels at the server.
    pub(super) fn wire(&mut self) -> Result<&mut Wire, WireError> {
        self.in_use = true;
        self.wire
            .as_mut()
            .ok_or(WireError::Protocol("the connection was given away"))
    }

    /// Ends the loan of a connection on which nothing runs: the server rolls back and forgets the session first, its
    /// variables, locks, temporary tables and prepared statements. Its answer is awaited before the next loan.
    pub(super) fn give_back(mut self) {
        let Some(wire) = self.wire.as_mut() else {
            return;
        };
        wire.queue_reset();
        self.pool.set_up(wire);
        if tokio::runtime::Handle::try_current().is_err() {
            return self.discard();
        }
        // A few hundred bytes fit into the socket at once, and then the next loan finds the connection.
        let sent = futures_util::FutureExt::now_or_never(wire.send());
        if !matches!(sent, Some(Ok(()))) || self.pool.closed.load(Ordering::SeqCst) {
            return self.discard();
        }
        if let Some(wire) = self.wire.take() {
            self.pool.lock().push(Idle {
                wire,
                since: Instant::now(),
            });
        }
    }

    /// Closes the connection, on which nothing runs.
    pub(super) fn discard(mut self) {
        self.wire = None;
    }

    pub(super) fn address(&self) -> Arc<Address> {
        self.pool.address.clone()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(wire) = self.wire.take()
            && self.in_use
        {
            abandon(self.pool.address.clone(), wire);
        }
    }
}

/// Cancels what runs on the connection and closes it. Closing alone would not stop a statement that sends nothing.
fn abandon(address: Arc<Address>, wire: Wire) {
    let thread = wire.thread();
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            if let Err(error) = Wire::cancel(&address, thread).await {
                tracing::warn!(%error, "an abandoned statement could not be cancelled");
            }
            drop(wire);
        });
    }
}
