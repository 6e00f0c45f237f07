//! What time brings about: approvers that were not told, questions nobody answered, executions nobody ended.
//!
//! Safe to run anywhere, any number of times, beside everything else: each step reads the request as it stands and
//! appends after exactly that.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{
    GateError, Gateway, Ports,
    ports::{Clock, EventStore},
};
use crate::domain::{
    id::RequestId,
    session::{Due, Request, due},
};

/// How many due requests a round reads at a time.
const PER_PAGE: usize = 100;
/// How many times one round reads more; what is due beyond that waits for the next.
const PAGES: usize = 10;

impl<P: Ports> Gateway<P> {
    /// One round. Returns how many requests something was done for; failures are logged and tried again next time.
    pub async fn reconcile(&self) -> Result<usize, GateError> {
        self.measure_pending().await;
        let mut done = 0;
        let mut failed: HashSet<RequestId> = HashSet::new();
        for _ in 0..PAGES {
            // What fails stays due; it must not stand before what would not.
            let limit = PER_PAGE + failed.len();
            let requests = self.parts.store.due(self.parts.clock.now(), limit).await?;
            for request in &requests {
                if failed.contains(request) {
                    continue;
                }
                match self.settle(request).await {
                    Ok(()) => done += 1,
                    Err(error) => {
                        tracing::warn!(%request, %error, "not reconciled yet");
                        failed.insert(request.clone());
                    }
                }
            }
            if requests.len() < limit {
                break;
            }
        }
        Ok(done)
    }

    /// Rounds at intervals, until `self` is stopped.
    pub async fn keep_reconciling(self: Arc<Self>, every: Duration) {
        while !self.running.is_closed() {
            if let Err(error) = self.reconcile().await {
                tracing::warn!(%error, "reconciliation");
            }
            tokio::select! {
                () = self.parts.clock.sleep(every) => {}
                () = self.running.wait() => {}
            }
        }
    }

    /// Does what is due for one request.
    pub(super) async fn settle(&self, request: &RequestId) -> Result<(), GateError> {
        let events = self.parts.store.request(request).await?;
        let Some(folded) = Request::fold(&events)? else {
            return Ok(());
        };
        match due(&folded, self.parts.clock.now()) {
            Due::Nothing => Ok(()),
            Due::Publish(requested) => self
                .publish(&folded.decided, &requested)
                .await
                .map_err(GateError::RecordUnavailable),
            Due::Note(_) => {
                // Decided anew at each attempt: an outcome may arrive at this very moment.
                let now = self.parts.clock.now();
                let note = |request: &Request| match due(request, now) {
                    Due::Note(event) => vec![event],
                    Due::Nothing | Due::Publish(_) => Vec::new(),
                };
                self.note(request, note).await
            }
        }
    }
}
