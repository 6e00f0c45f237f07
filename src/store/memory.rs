//! The record in memory, for tests and simulations: deterministic, no threads, gone with its process.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use super::{
    check,
    projection::{MAX_PAGE, Place, Standing, matches, nanoseconds},
};
use crate::{
    domain::{
        id::{RequestId, SessionId},
        record::Head,
        session::{ApprovalRequested, Event, EventBody, RequestDecided},
    },
    gateway::ports::{
        AppendError, Appended, Batch, EventStore, Page, Query, ReadError, RequestSummary,
        WrappedKey,
    },
};

/// The record in memory.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<SessionId, Session>,
    requests: HashMap<RequestId, Request>,
    order: BTreeMap<Place, RequestId>,
}

#[derive(Debug, Default)]
struct Session {
    events: Vec<Event>,
    key: Option<WrappedKey>,
}

#[derive(Debug)]
struct Request {
    decided: RequestDecided,
    asked_at: Timestamp,
    approval: Option<ApprovalRequested>,
    standing: Standing,
    place: Place,
    /// Where in its session its events are.
    events: Vec<usize>,
}

impl Memory {
    /// An empty record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every method leaves the state whole at every step, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn project(&mut self, event: &Event, index: usize) {
        let Some(id) = event.body.request() else {
            return;
        };
        if let Some(request) = self.requests.get_mut(id) {
            request.events.push(index);
            request.standing = request.standing.after(event);
            if let EventBody::ApprovalRequested(approval) = &event.body {
                request.approval = Some((**approval).clone());
            }
        } else if let EventBody::RequestDecided(decided) = &event.body {
            let place = Place {
                asked_at: nanoseconds(event.time),
                number: i64::try_from(self.order.len()).unwrap_or(i64::MAX),
            };
            self.order.insert(place, id.clone());
            let request = Request {
                decided: (**decided).clone(),
                asked_at: event.time,
                approval: None,
                standing: Standing::decided(decided),
                place,
                events: vec![index],
            };
            self.requests.insert(id.clone(), request);
        }
    }
}

impl EventStore for Memory {
    async fn append(&self, batch: Batch) -> Result<Appended, AppendError> {
        check(&batch)?;
        let mut state = self.state();
        let stands = state
            .sessions
            .get(&batch.session)
            .and_then(|session| session.events.last())
            .map_or(Head::GENESIS, Event::head);
        if stands != batch.after {
            return Err(AppendError::Conflict(batch.session));
        }
        let appended = Appended::durable(&batch);
        let first = state
            .sessions
            .get(&batch.session)
            .map_or(0, |session| session.events.len());
        for (offset, event) in batch.events.iter().enumerate() {
            state.project(event, first + offset);
        }
        let session = state.sessions.entry(batch.session).or_default();
        session.events.extend(batch.events);
        if batch.key.is_some() {
            session.key = batch.key;
        }
        Ok(appended)
    }

    async fn head(&self, session: &SessionId) -> Result<Option<Head>, ReadError> {
        let state = self.state();
        let events = state.sessions.get(session).map(|session| &session.events);
        Ok(events.and_then(|events| events.last()).map(Event::head))
    }

    async fn session(&self, session: &SessionId) -> Result<Vec<Event>, ReadError> {
        let state = self.state();
        let session = state.sessions.get(session);
        Ok(session
            .map(|session| session.events.clone())
            .unwrap_or_default())
    }

    async fn request(&self, request: &RequestId) -> Result<Vec<Event>, ReadError> {
        let state = self.state();
        let (Some(found), Some(session)) = (
            state.requests.get(request),
            state.sessions.get(&request.session()),
        ) else {
            return Ok(Vec::new());
        };
        let event = |index: &usize| session.events.get(*index).cloned();
        Ok(found.events.iter().filter_map(event).collect())
    }

    async fn key(&self, session: &SessionId) -> Result<Option<WrappedKey>, ReadError> {
        let state = self.state();
        let session = state.sessions.get(session);
        Ok(session.and_then(|session| session.key.clone()))
    }

    async fn erase_key(&self, session: &SessionId) -> Result<(), AppendError> {
        if let Some(session) = self.state().sessions.get_mut(session) {
            session.key = None;
        }
        Ok(())
    }

    async fn search(&self, query: &Query) -> Result<Page, ReadError> {
        let after = query.after.as_ref().map(Place::of).transpose();
        let after = after.map_err(|bad| ReadError::Unavailable(Box::new(bad)))?;
        let limit = query.limit.clamp(1, MAX_PAGE);
        let state = self.state();
        let mut page = Page::default();
        let mut last = None;
        for (place, id) in state.order.iter().rev() {
            let Some(request) = state.requests.get(id) else {
                continue;
            };
            if after.is_some_and(|after| *place >= after)
                || !matches(
                    query,
                    &request.decided,
                    request.asked_at,
                    request.approval.as_ref(),
                    request.standing.status,
                )
            {
                continue;
            }
            if page.requests.len() == limit {
                page.next = last.map(Place::cursor);
                break;
            }
            last = Some(*place);
            page.requests.push(RequestSummary {
                decided: request.decided.clone(),
                asked_at: request.asked_at,
                approval: request.approval.clone(),
                status: request.standing.status,
            });
        }
        Ok(page)
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RequestId>, ReadError> {
        let state = self.state();
        let mut due: Vec<_> = state
            .requests
            .iter()
            .filter_map(|(id, request)| Some((request.standing.due_at?, request.place, id)))
            .filter(|(due_at, _, _)| *due_at <= now)
            .collect();
        due.sort_unstable_by_key(|(due_at, place, _)| (*due_at, place.number));
        Ok(due
            .into_iter()
            .take(limit)
            .map(|(_, _, id)| id.clone())
            .collect())
    }
}
