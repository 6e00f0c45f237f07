//! Connections of one endpoint: a bounded number, lent one execution at a time.
//!
//! INVARIANT: a connection that is dropped while something may be running on it is stopped at the server; none is lent
//! again unless whoever had it gave it back on purpose, and then the server resets its session first.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    address::Address,
    wire::{ConnectError, Reply, Wire, WireError},
};
use crate::domain::connection::Access;

/// Connections per endpoint.
const SIZE: usize = 16;
/// How long to wait for one of them.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an unused connection is kept. Azure closes them after half an hour.
const IDLE: Duration = Duration::from_secs(300);
/// How long a lent connection may take to finish cleaning up after its last use.
const SETTLING: Duration = Duration::from_secs(1);

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
    #[error(
        "names without a schema would not mean dbo's, as policy reads them: ALTER USER the user of this credential WITH DEFAULT_SCHEMA = dbo"
    )]
    DefaultSchema,
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

    /// A connection that is ready, and as if new from its first request on.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Lease, NoConnection> {
        let slot = tokio::time::timeout(PATIENCE, self.slots.clone().acquire_owned())
            .await
            .map_err(|_elapsed| NoConnection::Exhausted)?
            .map_err(|_closed| NoConnection::Closed)?;
        while let Some(mut wire) = self.take_idle() {
            wire.stop_on(None);
            let settled = tokio::time::timeout(SETTLING, wire.settle()).await;
            if matches!(settled, Ok(Ok(None))) && wire.is_quiet() {
                wire.reset_first();
                return Ok(self.lease(wire, slot));
            }
        }
        let mut wire = Wire::connect(&self.address, self.access == Access::Read).await?;
        if !uses_dbo(&mut wire).await.map_err(ConnectError::Wire)? {
            return Err(NoConnection::DefaultSchema);
        }
        Ok(self.lease(wire, slot))
    }

    /// Lends no connection any more and closes those that wait. Those on loan are closed when they come back.
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

/// Whether a name without a schema means dbo's. The server lets no session choose.
async fn uses_dbo(wire: &mut Wire) -> Result<bool, WireError> {
    wire.send_own("IF SCHEMA_NAME() <> N'dbo' SELECT 1 AS other")
        .await?;
    let mut found = true;
    loop {
        match wire.next().await? {
            Reply::Row(_) | Reply::Refused(_) => found = false,
            Reply::Ready => return Ok(found),
            _ => {}
        }
    }
}

impl Lease {
    /// The connection. From here until it is given back, dropping it stops what runs at the server.
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

    /// Closes the connection, on which nothing runs: the server rolls back what is open.
    pub(super) fn discard(mut self) {
        self.wire = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut wire) = self.wire.take()
            && self.in_use
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                match tokio::time::timeout(SETTLING, wire.abandon()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "an abandoned statement"),
                    Err(_elapsed) => {
                        tracing::warn!(
                            "the server did not say that it stopped an abandoned statement"
                        );
                    }
                }
            });
        }
    }
}
