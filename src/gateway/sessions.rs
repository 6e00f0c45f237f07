//! Where a request's events go: which session, after which head, sealed under which key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Mutex as AsyncMutex;

use super::{
    GateError, Gateway, Ports, measured,
    ports::{AppendError, Appended, Batch, Clock, EventStore, WrappedKey},
    seal::SessionKey,
};
use crate::domain::{
    connection::ConnectionName,
    id::{Entropy, RequestId, SessionId},
    principal::Principal,
    record::{self, Hash, Head, hash_of},
    session::{Event, EventBody, OnceRecorded, SessionOpened},
};

/// How many named sessions are remembered before all are forgotten; a forgotten one is read again.
const REMEMBERED: usize = 4_096;
/// How often a request is moved behind what others appended meanwhile.
const ATTEMPTS: usize = 32;

/// Sessions that callers came back to.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    named: Mutex<HashMap<SessionId, Arc<Known>>>,
}

/// What is known about a session on record.
#[derive(Debug)]
struct Known {
    owner: Owner,
    key: Option<Arc<SessionKey>>,
    /// Held while appending, so that requests of one session in this process queue instead of losing races.
    head: AsyncMutex<Head>,
}

#[derive(Debug, PartialEq, Eq)]
struct Owner(record::Hash);

impl Owner {
    fn of(principal: &crate::domain::principal::DescribedPrincipal) -> Self {
        let who = serde_json::json!([principal.id, principal.issuer, principal.subject]);
        Self(hash_of("portcullis-session-owner-v1", &who))
    }
}

/// A request's place on record.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) request: RequestId,
    pub(super) key: Arc<SessionKey>,
    stream: Stream,
    /// Whether a repeated call finds this very request again.
    pub(super) repeatable: bool,
}

#[derive(Debug)]
enum Stream {
    /// Opened together with the request.
    New {
        opened: Box<SessionOpened>,
        wrapped: WrappedKey,
    },
    Known(Arc<Known>),
}

/// Proof that events are on record, for releasing what they announced.
#[derive(Debug)]
pub(super) struct OnRecord {
    announced: Head,
    appended: Appended,
}

impl OnRecord {
    /// Releases what waited for these events.
    pub(super) fn release<T>(self, effect: OnceRecorded<T>) -> Result<T, GateError> {
        effect
            .release(self.announced, self.appended.head())
            .ok_or_else(|| {
                GateError::Damaged(
                    "the store acknowledged something other than what was appended".into(),
                )
            })
    }
}

/// What became of recording a new request.
#[derive(Debug)]
pub(super) enum Placed {
    OnRecord(OnRecord),
    /// The same call is on record already.
    Repeated,
}

impl<P: Ports> Gateway<P> {
    /// Finds the place of a new request: in the session named, or in one of its own.
    pub(super) async fn place(
        &self,
        principal: &Principal,
        connection: &ConnectionName,
        session: Option<&SessionId>,
        idempotency_key: Option<&str>,
    ) -> Result<Place, GateError> {
        let clock = &self.parts.clock;
        let repeated = idempotency_key.map(|key| {
            let who = principal.described();
            let call =
                serde_json::json!([who.id, who.issuer, who.subject, connection, session, key]);
            hash_of("portcullis-idempotency-v1", &call)
        });
        let (first, second) = match repeated {
            Some(hash) => halves(hash),
            None => (clock.entropy(), clock.entropy()),
        };
        let repeatable = repeated.is_some();
        if let Some(session) = session {
            let known = self
                .known(session)
                .await?
                .ok_or_else(|| GateError::UnknownSession(session.clone()))?;
            if known.owner != Owner::of(&principal.described()) {
                return Err(GateError::ForeignSession(session.clone()));
            }
            let key = known.key.clone().ok_or_else(|| {
                GateError::Damaged(format!("the key of session `{session}` was erased"))
            })?;
            let request = RequestId::new(session, second);
            return Ok(Place {
                request,
                key,
                stream: Stream::Known(known),
                repeatable,
            });
        }
        let session = SessionId::new(first);
        let entropy = [clock.entropy(), clock.entropy()];
        let made = self.parts.sealer.new_session_key(&session, entropy).await;
        let (key, wrapped) = made?;
        let opened = Box::new(SessionOpened {
            principal: principal.described(),
        });
        Ok(Place {
            request: RequestId::new(&session, second),
            key: Arc::new(key),
            stream: Stream::New { opened, wrapped },
            repeatable,
        })
    }

    /// Puts a new request on record, all of `bodies` or none.
    pub(super) async fn record_new(
        &self,
        place: &Place,
        bodies: Vec<EventBody>,
    ) -> Result<Placed, GateError> {
        let session = place.request.session();
        match &place.stream {
            Stream::New { opened, wrapped } => {
                let mut all = vec![EventBody::SessionOpened(opened.as_ref().clone())];
                all.extend(bodies);
                match self
                    .append(&session, Head::GENESIS, all, Some(wrapped.clone()))
                    .await
                {
                    Ok(on_record) => Ok(Placed::OnRecord(on_record)),
                    Err(AppendError::Conflict(_)) if place.repeatable => Ok(Placed::Repeated),
                    Err(error) => Err(error.into()),
                }
            }
            Stream::Known(known) => {
                let mut head = known.head.lock().await;
                for _ in 0..ATTEMPTS {
                    if place.repeatable
                        && !self.parts.store.request(&place.request).await?.is_empty()
                    {
                        return Ok(Placed::Repeated);
                    }
                    match self.append(&session, *head, bodies.clone(), None).await {
                        Ok(on_record) => {
                            *head = on_record.announced;
                            return Ok(Placed::OnRecord(on_record));
                        }
                        Err(AppendError::Conflict(_)) => {
                            *head = self
                                .parts
                                .store
                                .head(&session)
                                .await?
                                .ok_or_else(|| GateError::UnknownSession(session.clone()))?;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(GateError::Busy(session))
            }
        }
    }

    /// Chains `bodies` after `after`. Of what the record cannot take as it is the result is left out, or what else an outcome can
    /// be told without: that something ran is never too large to be put on record.
    fn chained(
        &self,
        session: &SessionId,
        after: Head,
        mut bodies: Vec<EventBody>,
    ) -> Result<Vec<Event>, AppendError> {
        let now = self.parts.clock.now();
        let extend = |bodies| {
            let events = record::extend(after, session, &self.parts.source, now, bodies);
            events.map_err(|error| AppendError::Unavailable(error.into()))
        };
        let Some(most) = self.parts.store.most_bytes() else {
            return extend(bodies);
        };
        loop {
            let events = extend(bodies.clone())?;
            let bytes = serde_json::to_vec(&events).map_or(usize::MAX, |text| text.len());
            if bytes <= most {
                return Ok(events);
            }
            match bodies.iter_mut().find_map(EventBody::lighten) {
                Some(without) => {
                    tracing::warn!(%session, bytes, most, without, "too large for the record");
                    // Nobody is asked about an answer that is not kept.
                    bodies.retain(|body| {
                        !matches!(body, EventBody::ApprovalRequested(asked) if asked.terms.answer.is_some())
                    });
                }
                None => return Err(AppendError::TooLarge { bytes, most }),
            }
        }
    }

    /// Chains `bodies` after `after` and appends them, once.
    #[tracing::instrument(level = "debug", name = "append", skip_all)]
    pub(super) async fn append(
        &self,
        session: &SessionId,
        after: Head,
        bodies: Vec<EventBody>,
        key: Option<WrappedKey>,
    ) -> Result<OnRecord, AppendError> {
        let events = self.chained(session, after, bodies)?;
        let announced = events.last().map_or(after, Event::head);
        let requests: Vec<_> = events
            .iter()
            .filter_map(|event| event.body.request().cloned())
            .collect();
        let unknown: Vec<_> = events
            .iter()
            .filter(|event| matches!(event.body, EventBody::ExecutionOutcomeUnknown(_)))
            .filter_map(|event| event.body.request().cloned())
            .collect();
        let measured = measured::of(&events);
        let batch = Batch {
            session: session.clone(),
            after,
            events,
            key,
        };
        let appended = self.parts.store.append(batch).await;
        let appended = appended.inspect_err(measured::not_appended)?;
        measured.into_iter().for_each(measured::appended);
        for request in &unknown {
            // Only a person can end this; the alert in infra/ looks for these words.
            tracing::error!(%session, %request, "execution.outcome_unknown");
        }
        for request in &requests {
            self.waiting.wake(request);
        }
        Ok(OnRecord {
            announced,
            appended,
        })
    }

    /// The key of a session on record; `None`: it was erased, or there is no such session.
    pub(super) async fn session_key(
        &self,
        session: &SessionId,
    ) -> Result<Option<Arc<SessionKey>>, GateError> {
        if let Some(known) = self.sessions.get(session) {
            return Ok(known.key.clone());
        }
        let Some(wrapped) = self.parts.store.key(session).await? else {
            return Ok(None);
        };
        let key = self.parts.sealer.unwrap(session, &wrapped).await?;
        Ok(Some(Arc::new(key)))
    }

    async fn known(&self, session: &SessionId) -> Result<Option<Arc<Known>>, GateError> {
        if let Some(known) = self.sessions.get(session) {
            return Ok(Some(known));
        }
        let events = self.parts.store.session(session).await?;
        let Some(EventBody::SessionOpened(opened)) = events.first().map(|event| &event.body) else {
            return Ok(None);
        };
        let head = record::verify_chain(session, &events)
            .map_err(|error| GateError::Damaged(error.to_string()))?;
        let known = Arc::new(Known {
            owner: Owner::of(&opened.principal),
            key: self.session_key(session).await?,
            head: AsyncMutex::new(head),
        });
        self.sessions.put(session.clone(), Arc::clone(&known));
        Ok(Some(known))
    }
}

impl Sessions {
    fn get(&self, session: &SessionId) -> Option<Arc<Known>> {
        self.named
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(session)
            .cloned()
    }

    fn put(&self, session: SessionId, known: Arc<Known>) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= REMEMBERED {
            named.clear();
        }
        named.insert(session, known);
    }
}

/// Two halves of a hash, where a repeated call must find the same ids.
fn halves(hash: Hash) -> (Entropy, Entropy) {
    let (mut first, mut second) = (Entropy::default(), Entropy::default());
    first.copy_from_slice(&hash.as_bytes()[..16]);
    second.copy_from_slice(&hash.as_bytes()[16..]);
    (first, second)
}
