//! The same call made again, by a caller who could not wait for its approval.
//!
//! While approvers are asked, asking again asks nobody a second time (`joining`). Once they have agreed, the call made again
//! runs on their approval: judged anew, and started by one append after exactly what was read, which one of several claimants wins.

use std::sync::Arc;

use super::{
    GateError, Gateway, Outcome, Ports,
    execute::Caller,
    judge::Assessed,
    ports::{AppendError, Clock, EventStore, Query, RequestStatus},
    submit::Ask,
};

use crate::domain::{
    id::RequestId,
    operation::Operation,
    policy::Policy,
    record,
    session::{AfterAnswer, Claimed, Event, Refusal, claim},
};

/// What became of what was granted.
pub(super) enum Claim {
    /// It has been run now, or today's policy refuses it.
    Ran(Box<Outcome>),
    /// Nothing was.
    Nothing(Caller),
}

impl<P: Ports> Gateway<P> {
    /// Runs what is asked on an approval that was given for exactly this before, to the same principal.
    pub(super) async fn claimed(
        &self,
        ask: &Ask,
        (operation, assessed): (&Operation, &Assessed),
        policy: &Arc<Policy>,
        mut caller: Caller,
    ) -> Result<Claim, GateError> {
        let digest = operation.digest(&ask.connection, ask.principal.id());
        // One page: who has more than that granted is asked about again.
        let query = Query {
            principal: Some(ask.principal.id().clone()),
            connection: Some(ask.connection.clone()),
            status: Some(RequestStatus::Approved),
            limit: 200,
            ..Query::default()
        };
        let page = self.parts.store.search(&query).await?;
        let requests = page.requests.into_iter();
        for granted in requests.filter(|request| request.decided.digest == digest) {
            let granted = granted.decided.request_id;
            let what = (operation, assessed);
            match self.claim(ask, what, &granted, policy, caller).await? {
                Claim::Nothing(unused) => caller = unused,
                ran @ Claim::Ran(_) => return Ok(ran),
            }
        }
        Ok(Claim::Nothing(caller))
    }

    async fn claim(
        &self,
        ask: &Ask,
        (operation, assessed): (&Operation, &Assessed),
        granted: &RequestId,
        policy: &Arc<Policy>,
        caller: Caller,
    ) -> Result<Claim, GateError> {
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
                    return Ok(Claim::Nothing(caller));
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
                let outcome = self.outcome_on_record(granted, None).await?;
                return Ok(Claim::Ran(Box::new(outcome)));
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
            let outcome = self.outcome_on_record(granted, ran.result).await?;
            return Ok(Claim::Ran(Box::new(outcome)));
        }
        Err(GateError::Busy(session))
    }
}
