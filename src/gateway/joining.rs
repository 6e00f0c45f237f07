//! Asking again for what is held already: the same question is not put to people twice.

use super::{
    GateError, Gateway, Outcome, Ports,
    ports::{Clock, EventStore, Query, RequestStatus},
};
use crate::domain::{
    connection::ConnectionName,
    principal::Principal,
    record::Hash,
    session::{Action, Request},
};

impl<P: Ports> Gateway<P> {
    /// The newest request of `principal` with this digest that still waits for approval. A digest covers operation,
    /// parameters, connection and principal, so what is found is the same thing asked by the same one. `grants`: it was
    /// asked by someone who makes the call again, or by someone who waits; what follows from its approval differs.
    pub(super) async fn held_alike(
        &self,
        principal: &Principal,
        connection: &ConnectionName,
        digest: Hash,
        grants: bool,
    ) -> Result<Option<Outcome>, GateError> {
        // One page: who has more than that waiting is asked about again.
        let query = Query {
            principal: Some(principal.id().clone()),
            connection: Some(connection.clone()),
            decision: Some(Action::RequireApproval),
            status: Some(RequestStatus::PendingApproval),
            limit: 200,
            ..Query::default()
        };
        let now = self.parts.clock.now();
        let page = self.parts.store.search(&query).await?;
        for summary in page.requests {
            let decided = &summary.decided;
            let own = decided.principal.person() == principal.person();
            if !own || decided.asked_digest() != digest {
                continue;
            }
            // The read model is a hint; the events say what is so.
            let events = self.parts.store.request(&decided.request_id).await?;
            if let Some(request) = Request::fold(&events)?
                && request.status() == RequestStatus::PendingApproval
                && let Some(approval) = &request.approval
                && approval.requested.grants == grants
                && approval.requested.terms.expires_at > now
            {
                return Ok(Some(Outcome::of(&request, None)));
            }
        }
        Ok(None)
    }
}
