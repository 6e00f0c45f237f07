//! Asking again for what is held already: the same question is not put to people twice.

use super::{
    GateError, Gateway, Outcome, Ports,
    ports::{Clock, EventStore, Query, RequestStatus},
};
use crate::domain::{
    connection::ConnectionName,
    principal::Principal,
    record::Hash,
    session::{ApprovalRequested, Request},
};

/// What people are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Whether it may run. `grants`: it was asked by someone who makes the call again, or by someone who waits; what
    /// follows from an approval differs.
    Call {
        /// By someone who makes the call again.
        grants: bool,
    },
    /// It has run: whether its caller may have the answer.
    Answer,
}

impl Held {
    fn is(self, asked: &ApprovalRequested) -> bool {
        let about_answer = asked.terms.answer.is_some();
        match self {
            Self::Call { grants } => !about_answer && asked.grants == grants,
            Self::Answer => about_answer,
        }
    }
}

impl<P: Ports> Gateway<P> {
    /// The newest request of `principal` with this digest about which people are asked this. A digest covers operation,
    /// parameters, connection and principal, so what is found is the same thing asked by the same one.
    pub(super) async fn held_alike(
        &self,
        principal: &Principal,
        connection: &ConnectionName,
        digest: Hash,
        held: Held,
    ) -> Result<Option<Outcome>, GateError> {
        // One page: who has more than that waiting is asked about again.
        let query = Query {
            principal: Some(principal.id().clone()),
            connection: Some(connection.clone()),
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
                && held.is(&approval.requested)
                && approval.requested.terms.expires_at > now
            {
                return Ok(Some(Outcome::of(&request, None)));
            }
        }
        Ok(None)
    }
}
