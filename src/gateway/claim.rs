//! The same call made again, by a caller who could not wait for its approval.
//!
//! While approvers are asked, asking again asks nobody a second time. Once they have agreed, the call made again runs on
//! their approval: judged anew, and started by one append after exactly what was read, which one of several claimants wins.

use super::{
    GateError, Gateway, Outcome, Ports,
    execute::Caller,
    judge::Assessed,
    ports::{AppendError, Clock, EventStore, Query, RequestStatus},
    submit::Ask,
};
use std::sync::Arc;

use crate::domain::{
    id::RequestId,
    operation::Operation,
    policy::Policy,
    record::{self, Hash},
    session::{AfterAnswer, Claimed, Event, Refusal, Request, claim},
};

/// How many pages of a principal's open requests are looked through; there are 200 on each.
const PAGES: usize = 5;

/// What became of the same call made before.
pub(super) enum Before {
    /// It waits for its approvers, or has been run now.
    Answered(Box<Outcome>),
    /// There is none to go by.
    Nothing(Caller),
}

impl<P: Ports> Gateway<P> {
    /// Goes by what was asked before, if it is exactly this call, by the same principal, and still open.
    pub(super) async fn asked_before(
        &self,
        ask: &Ask,
        operation: &Operation,
        assessed: &Assessed,
        policy: &Arc<Policy>,
        mut caller: Caller,
    ) -> Result<Before, GateError> {
        let digest = operation.digest(&ask.connection, ask.principal.id());
        for granted in self.open(ask, digest, RequestStatus::Approved).await? {
            match self
                .claim(ask, operation, &granted, assessed, policy, caller)
                .await?
            {
                Before::Nothing(unused) => caller = unused,
                answered @ Before::Answered(_) => return Ok(answered),
            }
        }
        for pending in self
            .open(ask, digest, RequestStatus::PendingApproval)
            .await?
        {
            let events = self.parts.store.request(&pending).await?;
            let Some(request) = Request::fold(&events)? else {
                continue;
            };
            let same = request.decided.principal.person() == ask.principal.person();
            // It may have moved since.
            if same && request.status() == RequestStatus::PendingApproval {
                return Ok(Before::Answered(Box::new(Outcome::of(&request, None))));
            }
        }
        Ok(Before::Nothing(caller))
    }

    /// The caller's requests for exactly this that wait in this status for the same call to be made again.
    async fn open(
        &self,
        ask: &Ask,
        digest: Hash,
        status: RequestStatus,
    ) -> Result<Vec<RequestId>, GateError> {
        let now = self.parts.clock.now();
        let mut query = Query {
            principal: Some(ask.principal.id().clone()),
            connection: Some(ask.connection.clone()),
            status: Some(status),
            limit: 200,
            ..Query::default()
        };
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let page = self.parts.store.search(&query).await?;
            let same = page.requests.into_iter().filter(|request| {
                let approval = request.approval.as_ref();
                let waits =
                    approval.is_some_and(|asked| asked.grants && now < asked.terms.expires_at);
                request.decided.digest == digest && waits
            });
            found.extend(same.map(|request| request.decided.request_id));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn claim(
        &self,
        ask: &Ask,
        operation: &Operation,
        granted: &RequestId,
        assessed: &Assessed,
        policy: &Arc<Policy>,
        caller: Caller,
    ) -> Result<Before, GateError> {
        let session = granted.session();
        for _ in 0..32 {
            let (request, events) = self.verified(&granted.approval()).await?;
            let key = self.session_key(&session).await?.ok_or_else(|| {
                GateError::Damaged(format!("the key of session `{session}` was erased"))
            })?;
            let next = claim(Claimed {
                request: &request,
                operation: operation.clone(),
                facts: &assessed.facts,
                policy,
                principal: &ask.principal,
                instance: &self.parts.instance,
                now: self.parts.clock.now(),
            });
            let (bodies, permit) = match next {
                // Another claimant was first, or it is too late: it is asked anew.
                Err(Refusal::Closed(_) | Refusal::Expired(_) | Refusal::OtherDigest) => {
                    return Ok(Before::Nothing(caller));
                }
                Err(refusal) => return Err(refusal.into()),
                Ok(AfterAnswer::Noted(bodies)) => (bodies, None),
                Ok(AfterAnswer::Act(bodies, permit)) => (bodies, Some(permit)),
            };
            let head = events.last().map_or(record::Head::GENESIS, Event::head);
            let on_record = match self.append(&session, head, bodies, None).await {
                Ok(on_record) => on_record,
                Err(AppendError::Conflict(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(permit) = permit else {
                let events = self.parts.store.request(granted).await?;
                let request = Request::fold(&events)?.ok_or(GateError::Internal)?;
                return Ok(Before::Answered(Box::new(Outcome::of(&request, None))));
            };
            let permit = on_record.release(*permit)?;
            let ran = self
                .run_and_record(permit, assessed, policy, &key, caller)
                .await?;
            if let Some(why) = ran.unreachable {
                return Err(GateError::TargetUnreachable {
                    request: granted.clone(),
                    connection: ask.connection.clone(),
                    why,
                });
            }
            let events = self.parts.store.request(granted).await?;
            let request = Request::fold(&events)?.ok_or(GateError::Internal)?;
            return Ok(Before::Answered(Box::new(Outcome::of(
                &request, ran.result,
            ))));
        }
        Err(GateError::Busy(session))
    }
}
