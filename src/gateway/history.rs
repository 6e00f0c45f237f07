//! Reading the record: by whoever asked, by approvers for what they are asked, and by those policy names as readers.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    ApprovalView, GateError, Gateway, Outcome, Ports, RequestView,
    ports::{Clock, Cursor, EventStore, Query, RequestStatus, RequestSummary},
    seal::Purpose,
};
use crate::domain::{
    id::{ApprovalId, RequestId, SessionId},
    policy::Policy,
    principal::{DescribedPrincipal, Principal, PrincipalKind},
    record::{self, Head},
    session::{Event, EventBody, Request, Stage},
};

/// The longest a caller may wait for a request to move: below every proxy's patience.
const LONGEST_WAIT: Duration = Duration::from_secs(50);
/// How often a waiting caller looks for what other processes have appended.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A search's result: requests by session, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Found {
    /// Sessions with at least one matching request.
    pub sessions: Vec<SessionRequests>,
    /// Pass it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The matching requests of one session.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionRequests {
    /// The session.
    pub session_id: SessionId,
    /// Those of its requests that match.
    pub requests: Vec<RequestView>,
}

/// One session.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionView {
    /// The session.
    pub session_id: SessionId,
    /// Whose it is.
    pub principal: DescribedPrincipal,
    /// When it began.
    #[schemars(with = "String")]
    pub opened_at: jiff::Timestamp,
    /// How many events it has.
    pub events: u64,
    /// The hash of its last event.
    pub head: record::Hash,
    /// Its requests, oldest first.
    pub requests: Vec<RequestView>,
}

/// Where a request stands, and since when.
#[derive(Debug)]
pub struct Standing {
    /// Its outcome so far.
    pub outcome: Outcome,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When something last happened to it.
    pub moved_at: Timestamp,
}

impl<P: Ports> Gateway<P> {
    /// A request's outcome as it stands, once it is final or `wait` is over, whichever is first.
    pub async fn request(
        &self,
        principal: &Principal,
        id: &RequestId,
        wait: Duration,
    ) -> Result<Outcome, GateError> {
        let standing = self.standing(principal, id, wait).await?;
        Ok(standing.outcome)
    }

    /// The same, with its times.
    pub async fn standing(
        &self,
        principal: &Principal,
        id: &RequestId,
        wait: Duration,
    ) -> Result<Standing, GateError> {
        let clock = &self.parts.clock;
        let until = clock.now() + wait.min(LONGEST_WAIT);
        let place = self.waiting.join(id);
        loop {
            // Registered before looking, so that nothing that moves in between is missed.
            let moved = place.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let events = self.parts.store.request(id).await?;
            let unknown = || GateError::UnknownRequest(id.clone());
            let request = Request::fold(&events)?.ok_or_else(unknown)?;
            if !self.may_see(principal, &request) {
                return Err(unknown());
            }
            let left = Duration::try_from(until - clock.now()).unwrap_or_default();
            if request.status().is_final() || left.is_zero() {
                let result = self.result_of(&request).await?;
                return Ok(Standing {
                    outcome: Outcome::of(&request, result),
                    asked_at: request.asked_at,
                    moved_at: events.last().map_or(request.asked_at, |event| event.time),
                });
            }
            tokio::select! {
                () = moved => {}
                () = clock.sleep(left.min(LOOK_AGAIN)) => {}
            }
        }
    }

    /// The masked result kept of a request, unsealed.
    pub(super) async fn result_of(
        &self,
        request: &Request,
    ) -> Result<Option<Box<RawValue>>, GateError> {
        let Stage::Succeeded(finished) = &request.stage else {
            return Ok(None);
        };
        // INVARIANT: what is kept back is opened for nobody.
        let withheld = finished.answer.as_ref().is_some_and(|one| one.withheld);
        let Some(sealed) = finished.result.as_ref().filter(|_| !withheld) else {
            return Ok(None);
        };
        let id = &request.decided.request_id;
        // An erased key is a legitimate end of a result.
        let Some(key) = self.session_key(&id.session()).await? else {
            return Ok(None);
        };
        let result = key.open(id, Purpose::Result, sealed)?;
        serde_json::from_slice(&result)
            .map(Some)
            .map_err(|error| GateError::Damaged(error.to_string()))
    }

    /// What `principal` is asked, or has asked others: approvals, newest first.
    pub async fn approvals(
        &self,
        principal: &Principal,
        pending: bool,
    ) -> Result<Vec<ApprovalView>, GateError> {
        let mut found = Vec::new();
        let mut query = Query {
            asked: true,
            status: pending.then_some(RequestStatus::PendingApproval),
            limit: 200,
            ..Query::default()
        };
        // Bounded: an approver looks at what is recent.
        for _ in 0..5 {
            let page = self.parts.store.search(&query).await?;
            for summary in &page.requests {
                if let Some(view) = self.approval_if_seen(principal, summary).await? {
                    found.push(view);
                }
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        let now = self.parts.clock.now();
        found.retain(|view| !pending || view.expires_at > now);
        Ok(found)
    }

    async fn approval_if_seen(
        &self,
        principal: &Principal,
        summary: &RequestSummary,
    ) -> Result<Option<ApprovalView>, GateError> {
        let events = self
            .parts
            .store
            .request(&summary.decided.request_id)
            .await?;
        let request = Request::fold(&events)?;
        match request.filter(|request| self.may_see(principal, request)) {
            Some(request) => self.approval_view(principal, &request).await,
            None => Ok(None),
        }
    }

    /// One approval.
    pub async fn approval(
        &self,
        principal: &Principal,
        id: &ApprovalId,
    ) -> Result<ApprovalView, GateError> {
        let events = self.parts.store.request(&id.request()).await?;
        let unknown = || GateError::UnknownApproval(id.clone());
        let request = Request::fold(&events)?
            .filter(|request| self.may_see(principal, request))
            .ok_or_else(unknown)?;
        let view = self.approval_view(principal, &request).await?;
        view.ok_or_else(unknown)
    }

    /// The approval of `request` as `principal` may see it; `None`: nobody was asked.
    pub(super) async fn approval_view(
        &self,
        principal: &Principal,
        request: &Request,
    ) -> Result<Option<ApprovalView>, GateError> {
        let may_decide = self.may_decide(principal, request);
        let previews = self.exact_previews(request, may_decide).await?;
        Ok(ApprovalView::of(request, previews))
    }

    /// Searches the record. Who may not read all of it searches their own.
    pub async fn search(
        &self,
        principal: &Principal,
        mut query: Query,
    ) -> Result<Found, GateError> {
        if !reads_all(principal, &self.policy()) {
            let own = principal.id();
            if query.principal.as_ref().is_some_and(|asked| asked != own) {
                return Err(GateError::NotAReader(own.to_string()));
            }
            query.principal = Some(own.clone());
        }
        let page = self.parts.store.search(&query).await?;
        let mut sessions: Vec<SessionRequests> = Vec::new();
        for summary in &page.requests {
            let session_id = summary.decided.request_id.session();
            let view = RequestView::new(&summary.decided, summary.asked_at, summary.status);
            match sessions
                .iter_mut()
                .find(|session| session.session_id == session_id)
            {
                Some(session) => session.requests.push(view),
                None => sessions.push(SessionRequests {
                    session_id,
                    requests: vec![view],
                }),
            }
        }
        Ok(Found {
            sessions,
            next: page.next.map(|Cursor(next)| next),
        })
    }

    /// One session with all its requests.
    pub async fn session(
        &self,
        principal: &Principal,
        id: &SessionId,
    ) -> Result<SessionView, GateError> {
        let (opened, events) = self.session_events(principal, id).await?;
        let head = events.last().map_or(Head::GENESIS, Event::head);
        let mut requests = Vec::new();
        for event in &events {
            if let EventBody::RequestDecided(decided) = &event.body {
                let own = |other: &&Event| other.body.request() == Some(&decided.request_id);
                if let Some(request) = Request::fold(events.iter().filter(own))? {
                    requests.push(RequestView::of(&request));
                }
            }
        }
        Ok(SessionView {
            session_id: id.clone(),
            principal: opened,
            opened_at: events
                .first()
                .map_or(jiff::Timestamp::UNIX_EPOCH, |event| event.time),
            events: head.seq,
            head: head.hash,
            requests,
        })
    }

    /// All events of a session, its chain verified, and whose it is.
    pub async fn session_events(
        &self,
        principal: &Principal,
        id: &SessionId,
    ) -> Result<(DescribedPrincipal, Vec<Event>), GateError> {
        let events = self.parts.store.session(id).await?;
        let unknown = || GateError::UnknownSession(id.clone());
        let Some(EventBody::SessionOpened(opened)) = events.first().map(|event| &event.body) else {
            return Err(unknown());
        };
        let opened = opened.principal.clone();
        let own = opened.id == *principal.id() && opened.person() == principal.person();
        if !own && !reads_all(principal, &self.policy()) {
            return Err(unknown());
        }
        record::verify_chain(id, &events).map_err(|error| GateError::Damaged(error.to_string()))?;
        Ok((opened, events))
    }

    /// A session as JSON Lines that `portcullis verify` checks offline, signed with the gateway's export key.
    pub async fn export(
        &self,
        principal: &Principal,
        id: &SessionId,
    ) -> Result<Vec<u8>, GateError> {
        let (_, events) = self.session_events(principal, id).await?;
        let key = &self.parts.export_key;
        let now = self.parts.clock.now();
        let damaged = |error: record::NotCanonical| GateError::Damaged(error.to_string());
        let (mut export, mut lines) =
            record::export::Export::begin(&self.parts.source, now, Some(key.fingerprint()))
                .map_err(damaged)?;
        for event in &events {
            lines.extend(export.event(event).map_err(damaged)?);
        }
        let manifest = export.end().map_err(damaged)?;
        let signature = key.sign(manifest.to_sign())?;
        lines.extend(
            manifest
                .signed(key.public_key(), &signature)
                .map_err(damaged)?,
        );
        Ok(lines)
    }

    fn may_see(&self, principal: &Principal, request: &Request) -> bool {
        let policy = self.policy();
        let asker = &request.decided.principal;
        let own = asker.id == *principal.id() && asker.person() == principal.person();
        own || self.may_decide(principal, request) || reads_all(principal, &policy)
    }

    fn may_decide(&self, principal: &Principal, request: &Request) -> bool {
        let (policy, asker) = (self.policy(), &request.decided.principal);
        request.approval.as_ref().is_some_and(|approval| {
            let terms = &approval.requested.terms;
            terms
                .eligible(&policy, asker, &principal.described())
                .is_ok()
        })
    }
}

/// Who may read the whole record: those policy names as readers, and humans who may approve something.
fn reads_all(principal: &Principal, policy: &Policy) -> bool {
    let described = principal.described();
    policy.record.readers.includes(principal)
        || (described.kind == PrincipalKind::Human
            && policy.approvers.values().any(|group| group.has(&described)))
}
