//! Connections of one endpoint: a bounded number, lent one execution at a time.
//!
//! INVARIANT: a connection that is dropped while something may be running on it is stopped at the server; none is lent
//! again unless whoever had it gave it back on purpose, and then only as if new.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::domain::connection::Access;

/// Connections per endpoint.
pub(super) const SIZE: usize = 16;
/// How long to wait for one of them.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long an unused connection is kept. Azure closes them after half an hour.
const IDLE: Duration = Duration::from_secs(300);
/// How long a connection may take to finish cleaning up after its last use.
pub(super) const SETTLING: Duration = Duration::from_secs(1);

/// A server's connection, as a pool keeps it.
pub(super) trait Session: Sized + Send + 'static {
    /// Where it leads.
    type Address: Send + Sync + 'static;
    /// Why one cannot be had. Nothing was sent that could have an effect.
    type Refused: fmt::Display;
    /// What goes wrong while it is used.
    type Error;

    /// A new one, told all that each is told first.
    fn open(
        address: &Self::Address,
        access: Access,
    ) -> impl Future<Output = Result<Self, Self::Refused>> + Send;

    /// Awaits what is still to come of its last use; whether it can be lent again, as if new.
    fn settled(&mut self) -> impl Future<Output = bool> + Send;

    /// Stops at the server what may be running on it.
    fn abandon(self, address: Arc<Self::Address>) -> impl Future<Output = ()> + Send;

    /// What is said to who uses it after having given it away.
    fn given_away() -> Self::Error;
}

/// The connections of one endpoint.
pub(super) struct Pool<S: Session> {
    address: Arc<S::Address>,
    access: Access,
    idle: Mutex<Vec<Idle<S>>>,
    slots: Arc<Semaphore>,
    closed: AtomicBool,
}

struct Idle<S> {
    session: S,
    since: Instant,
}

/// A connection on loan.
pub(super) struct Lease<S: Session> {
    session: Option<S>,
    pool: Arc<Pool<S>>,
    in_use: bool,
    _slot: OwnedSemaphorePermit,
}

/// Why no connection is to be had. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection<R: fmt::Display> {
    #[error("pool exhausted: all {SIZE} connections have been busy for {} s; try again", PATIENCE.as_secs())]
    Exhausted,
    #[error("the connection has been removed from the policy")]
    Closed,
    #[error("{0}")]
    Refused(R),
}

impl<S: Session> Pool<S> {
    pub(super) fn new(address: S::Address, access: Access) -> Arc<Self> {
        Arc::new(Self {
            address: Arc::new(address),
            access,
            idle: Mutex::new(Vec::new()),
            slots: Arc::new(Semaphore::new(SIZE)),
            closed: AtomicBool::new(false),
        })
    }

    pub(super) fn address(&self) -> &Arc<S::Address> {
        &self.address
    }

    /// A connection that is ready and as if new.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Lease<S>, NoConnection<S::Refused>> {
        let slot = tokio::time::timeout(PATIENCE, Arc::clone(&self.slots).acquire_owned())
            .await
            .map_err(|_elapsed| NoConnection::Exhausted)?
            .map_err(|_closed| NoConnection::Closed)?;
        while let Some(mut session) = self.take_idle() {
            if let Ok(true) = tokio::time::timeout(SETTLING, session.settled()).await {
                return Ok(self.lease(session, slot));
            }
        }
        let session = S::open(&self.address, self.access).await;
        Ok(self.lease(session.map_err(NoConnection::Refused)?, slot))
    }

    /// Lends no more and closes those that wait. Those on loan are closed when they come back.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.slots.close();
        self.lock().clear();
    }

    fn lease(self: &Arc<Self>, session: S, slot: OwnedSemaphorePermit) -> Lease<S> {
        Lease {
            session: Some(session),
            pool: Arc::clone(self),
            in_use: false,
            _slot: slot,
        }
    }

    fn take_idle(&self) -> Option<S> {
        let mut idle = self.lock();
        let found = idle.pop()?;
        if found.since.elapsed() < IDLE {
            return Some(found.session);
        }
        // The last one given back is on top: all below have been idle for longer.
        idle.clear();
        None
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle<S>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Session> Lease<S> {
    /// The connection. From here until it is given back, dropping it stops what runs at the server.
    pub(super) fn wire(&mut self) -> Result<&mut S, S::Error> {
        self.in_use = true;
        self.session.as_mut().ok_or_else(S::given_away)
    }

    /// Ends the loan of a connection on which nothing runs but what undoes its use; its answer is awaited before the next
    /// loan.
    pub(super) fn give_back(mut self) {
        if let Some(session) = self.session.take()
            && !self.pool.closed.load(Ordering::SeqCst)
        {
            self.pool.lock().push(Idle {
                session,
                since: Instant::now(),
            });
        }
    }

    /// Closes the connection, on which nothing runs: the server rolls back what is open.
    pub(super) fn discard(mut self) {
        self.session = None;
    }

    pub(super) fn address(&self) -> Arc<S::Address> {
        Arc::clone(&self.pool.address)
    }

    pub(super) fn access(&self) -> Access {
        self.pool.access
    }
}

impl<S: Session> Drop for Lease<S> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && self.in_use
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(session.abandon(self.address()));
        }
    }
}
