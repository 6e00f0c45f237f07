//! Callers that wait for a request to move. Woken at once by what this process appends; what other processes append
//! they find by looking again now and then.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::domain::id::RequestId;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    callers: Mutex<HashMap<RequestId, Arc<Notify>>>,
}

/// One caller's place; leaving it gives it up.
#[derive(Debug)]
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    request: RequestId,
    pub(super) moved: Arc<Notify>,
}

impl Waiting {
    /// Waits for `request` from now on.
    pub(super) fn join(&self, request: &RequestId) -> Place<'_> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = Arc::clone(callers.entry(request.clone()).or_default());
        Place {
            waiting: self,
            request: request.clone(),
            moved,
        }
    }

    /// Wakes everyone who waits for `request`.
    pub(super) fn wake(&self, request: &RequestId) {
        let callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(moved) = callers.get(request) {
            moved.notify_waiters();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut callers = self
            .waiting
            .callers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Two: the map's and this one.
        if Arc::strong_count(&self.moved) <= 2 {
            callers.remove(&self.request);
        }
    }
}
