//! The chain: what makes an event follow another, and what makes a history that was changed show it.
//!
//! `hash = SHA-256("portcullis-event-v1" 0x00 JCS(event without hash))`. The hashed bytes and the stored line differ in
//! one member only, so both come from one pass: `data` is the only member that sorts before `hash`.

use aws_lc_rs::digest;
use jiff::Timestamp;

use super::{Hash, Head, NotCanonical, canonical::string, to_canonical};
use crate::domain::{
    id::SessionId,
    session::{Event, EventBody},
};

/// Keeps an event's hash from meaning anything as another kind of hash.
pub(super) const DOMAIN: &[u8] = b"portcullis-event-v1\0";

/// The CloudEvents version every event names.
const SPECVERSION: &str = "1.0";

/// The id an event has at this place in its session, which is also where a store keeps it.
pub fn event_id(session: &SessionId, seq: u64) -> String {
    format!("{session}:{seq:010}")
}

/// Makes events of `bodies`, each following the one before and the first following `head`.
pub fn extend(
    head: Head,
    session: &SessionId,
    source: &str,
    time: Timestamp,
    bodies: Vec<EventBody>,
) -> Result<Vec<Event>, NotCanonical> {
    let mut scratch = Vec::with_capacity(1024);
    let mut head = head;
    let mut events = Vec::with_capacity(bodies.len());
    for body in bodies {
        let seq = head.seq + 1;
        let mut event = Event {
            specversion: SPECVERSION.to_owned(),
            id: event_id(session, seq),
            source: source.to_owned(),
            subject: session.clone(),
            time,
            seq,
            prevhash: head.hash,
            hash: Hash::GENESIS,
            body,
        };
        scratch.clear();
        event.hash = write(&event, &mut scratch, Stored::Nowhere)?;
        head = event.head();
        events.push(event);
    }
    Ok(events)
}

/// The event as it is stored and exported: canonical JSON with its hash, no line break.
pub fn line(event: &Event) -> Result<Vec<u8>, NotCanonical> {
    let mut line = Vec::with_capacity(1024);
    write(event, &mut line, Stored::WithItsHash)?;
    Ok(line)
}

/// Why events are no chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// An event is not what was hashed.
    #[error("event {seq} of `{session}` has been altered: it does not match its hash")]
    Altered {
        /// The session.
        session: SessionId,
        /// The place it claims.
        seq: u64,
    },
    /// Another number was due.
    #[error("event {expected} of `{session}` is due, and event {found} is there instead")]
    Gap {
        /// The session.
        session: SessionId,
        /// The number that was due.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// It follows an event that is not the one before it.
    #[error("event {seq} of `{session}` follows another event than the one before it")]
    Forked {
        /// The session.
        session: SessionId,
        /// Its place.
        seq: u64,
    },
    /// It belongs elsewhere.
    #[error("an event of `{found}` is among those of `{session}`")]
    Foreign {
        /// The session that was read.
        session: SessionId,
        /// The session it says it is of.
        found: SessionId,
    },
}

/// Verifies a whole session from its first event on, and returns where its chain stands.
pub fn verify_chain<'a>(
    of: &SessionId,
    events: impl IntoIterator<Item = &'a Event>,
) -> Result<Head, ChainError> {
    let mut scratch = Vec::with_capacity(1024);
    let mut head = Head::GENESIS;
    for event in events {
        let session = || of.clone();
        let seq = event.seq;
        if event.subject != *of {
            return Err(ChainError::Foreign {
                session: session(),
                found: event.subject.clone(),
            });
        }
        scratch.clear();
        let intact = write(event, &mut scratch, Stored::Nowhere)
            .is_ok_and(|hash| hash == event.hash)
            && event.id == event_id(&event.subject, seq)
            && event.specversion == SPECVERSION;
        if !intact {
            return Err(ChainError::Altered {
                session: session(),
                seq,
            });
        }
        if seq != head.seq + 1 {
            return Err(ChainError::Gap {
                session: session(),
                expected: head.seq + 1,
                found: seq,
            });
        }
        if event.prevhash != head.hash {
            return Err(ChainError::Forked {
                session: session(),
                seq,
            });
        }
        head = event.head();
    }
    Ok(head)
}

enum Stored {
    /// Only the hash is wanted.
    Nowhere,
    /// The line is wanted too, with the hash the event carries.
    WithItsHash,
}

/// Appends the event to `out` and, where the line is not wanted, returns the hash of what was appended.
fn write(event: &Event, out: &mut Vec<u8>, stored: Stored) -> Result<Hash, NotCanonical> {
    // The body is an object of `type` and `data`; only its `data` is wanted here, and it comes first of the two.
    out.extend_from_slice(b"{\"data\":");
    let kind = data(&event.body, out)?;
    out.push(b',');
    if let Stored::WithItsHash = stored {
        member("hash", &event.hash, out)?;
    }
    out.extend_from_slice(b"\"id\":");
    string(&event.id, out);
    out.push(b',');
    member("prevhash", &event.prevhash, out)?;
    member("seq", &event.seq, out)?;
    member("source", &event.source, out)?;
    member("specversion", &event.specversion, out)?;
    member("subject", event.subject.as_str(), out)?;
    member("time", &event.time, out)?;
    out.extend_from_slice(b"\"type\":");
    string(kind, out);
    out.push(b'}');
    Ok(match stored {
        Stored::WithItsHash => event.hash,
        Stored::Nowhere => {
            let mut hash = digest::Context::new(&digest::SHA256);
            hash.update(DOMAIN);
            hash.update(out);
            Hash::from_digest(&hash.finish())
        }
    })
}

fn member<T: serde::Serialize + ?Sized>(
    name: &str,
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), NotCanonical> {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    to_canonical(value, out)?;
    out.push(b',');
    Ok(())
}

/// Appends the body's `data` and returns its `type`.
fn data(body: &EventBody, out: &mut Vec<u8>) -> Result<&'static str, NotCanonical> {
    match body {
        EventBody::SessionOpened(data) => to_canonical(data, out)?,
        EventBody::RequestDecided(data) => to_canonical(data, out)?,
        EventBody::ApprovalRequested(data) => to_canonical(data, out)?,
        EventBody::ApprovalPublished(data) => to_canonical(data, out)?,
        EventBody::ApprovalDecided(data) => to_canonical(data, out)?,
        EventBody::ApprovalGranted(data) => to_canonical(data, out)?,
        EventBody::ApprovalExpired(data) => to_canonical(data, out)?,
        EventBody::AnswerReleased(data) => to_canonical(data, out)?,
        EventBody::PreviewStarted(data) => to_canonical(data, out)?,
        EventBody::PreviewFinished(data) => to_canonical(data, out)?,
        EventBody::PreviewFailed(data) => to_canonical(data, out)?,
        EventBody::RequestRefused(data) => to_canonical(data, out)?,
        EventBody::ExecutionStarted(data) => to_canonical(data, out)?,
        EventBody::ExecutionFinished(data) => to_canonical(data, out)?,
        EventBody::ExecutionFailed(data) => to_canonical(data, out)?,
        EventBody::ExecutionOutcomeUnknown(data) => to_canonical(data, out)?,
        EventBody::ConnectionDescribed(data) => to_canonical(data, out)?,
        EventBody::SessionClosed(data) => to_canonical(data, out)?,
    }
    Ok(body.kind())
}
