//! Connections of one endpoint: a bounded number, lent one execution at a time.
//!
//! INVARIANT: a connection that is dropped while something may be running on it is cancelled at the server; none is lent
//! again unless whoever had it gave it back on purpose.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    address::Address,
    wire::{ConnectError, Wire, WireError},
};

/// Connections per endpoint.
pub(in crate::targets) const SIZE: usize = 16;
/// How long to wait for one of them.
pub(in crate::targets) const PATIENCE: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(300);
/// How long a lent connection may take to finish cleaning up after its last use.
const SETTLING: Duration = Duration::from_secs(1);

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

/// Which reset brings a connection back to what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// The connections of one endpoint.
pub(super) struct Pool {
    address: Arc<Address>,
    kind: Kind,
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
    #[error("the server refused the session's settings (SQLSTATE {0})")]
    Settings(String),
}

impl Pool {
    pub(super) fn new(address: Arc<Address>, kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            address,
            kind,
            idle: Mutex::default(),
            slots: Arc::new(Semaphore::new(SIZE)),
            closed: AtomicBool::new(false),
        })
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
        wire.queue_own(SETTINGS).map_err(ConnectError::Wire)?;
        if self.kind == Kind::Read {
            wire.queue_own(READ_SETTINGS).map_err(ConnectError::Wire)?;
        }
        wire.send().await.map_err(ConnectError::Wire)?;
        if let Some(refused) = wire.settle().await.map_err(ConnectError::Wire)? {
            return Err(NoConnection::Settings(refused.code));
        }
        wire.queue_own(WATCH_CLIENT).map_err(ConnectError::Wire)?;
        wire.send().await.map_err(ConnectError::Wire)?;
        wire.settle().await.map_err(ConnectError::Wire)?;
        Ok(self.lease(wire, slot))
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

    /// Ends the loan of a connection on which nothing runs but what undoes it; its answer is awaited before the next
    /// loan.
    pub(super) fn give_back(mut self) {
        if let Some(wire) = self.wire.take()
            && !self.pool.closed.load(Ordering::SeqCst)
        {
            self.pool.lock().push(Idle {
                wire,
                since: Instant::now(),
            });
        }
    }

    /// Ends the loan of a connection whose session may have changed: the server forgets all of it first.
    pub(super) fn give_back_reset(mut self) {
        let reset = self.wire.as_mut().map(|wire| {
            wire.queue_own("DISCARD ALL")?;
            wire.queue_own(SETTINGS)?;
            if self.pool.kind == Kind::Read {
                wire.queue_own(READ_SETTINGS)?;
            }
            wire.queue_own(WATCH_CLIENT)
        });
        if !matches!(reset, Some(Ok(()))) || tokio::runtime::Handle::try_current().is_err() {
            return self.discard();
        }
        tokio::spawn(async move {
            let Some(wire) = self.wire.as_mut() else {
                return;
            };
            let sent = tokio::time::timeout(SETTLING, wire.send()).await;
            match sent {
                Ok(Ok(())) => self.give_back(),
                _ => self.discard(),
            }
        });
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
    let key = wire.cancel_key();
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            if let Err(error) = Wire::cancel(&address, key).await {
                tracing::warn!(%error, "an abandoned statement could not be cancelled");
            }
            drop(wire);
        });
    }
}
