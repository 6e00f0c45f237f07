//! What one line of an export is, by itself: intact, altered, or nothing an export has.
//!
//! Where it stands among the others is not its business.

use std::mem;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::domain::{
    id::SessionId,
    record::{
        Hash, canonical,
        canonical::{order, string},
        chain::DOMAIN,
        event_id,
        export::{Footer, HEADER, Header, MANIFEST, VERSION},
        to_canonical,
    },
};

/// An event, as far as verification knows one.
pub(super) struct Link {
    pub(super) session: SessionId,
    pub(super) seq: u64,
    pub(super) prevhash: Hash,
    pub(super) hash: Hash,
}

/// What one line of an export is.
pub(super) enum Line {
    /// The first line.
    Header(Header),
    /// The last line.
    Manifest(Box<Footer>),
    /// An event that is what was hashed.
    Event(Link),
    /// An event that is not what was hashed, with the hash it claims.
    AlteredEvent(Option<Hash>, Option<SessionId>),
    /// A header or manifest of a format this program does not know.
    Newer(u64),
    /// A header or manifest that is not what was written.
    AlteredFrame(&'static str),
    /// Nothing an export has.
    Nothing,
}

/// Reads one line, without its line feed.
pub(super) fn parse(text: &[u8]) -> Line {
    let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(text) else {
        return Line::Nothing;
    };
    match members.get("type").and_then(Value::as_str) {
        Some(HEADER) => frame(&members, text, "first line", |header: Header| {
            Line::Header(header)
        }),
        Some(MANIFEST) => frame(&members, text, "manifest", |manifest: Footer| {
            let whole = manifest
                .signed_bytes()
                .is_ok_and(|bytes| manifest.hash == Some(Hash::of(&bytes)));
            if whole {
                Line::Manifest(Box::new(manifest))
            } else {
                Line::AlteredFrame("manifest")
            }
        }),
        _ => event(members, text),
    }
}

/// A header or a manifest: all of it is known, and its bytes are its canonical form.
fn frame<T: Serialize + DeserializeOwned>(
    members: &Map<String, Value>,
    text: &[u8],
    which: &'static str,
    whole: impl FnOnce(T) -> Line,
) -> Line {
    let version = members.get("version").and_then(Value::as_u64);
    if let Some(version) = version.filter(|version| *version > VERSION) {
        let mut again = Vec::with_capacity(text.len());
        canonical(&Value::Object(members.clone()), &mut again);
        // Only what was written as it stands is of a newer format; the rest is damage.
        if again == text {
            return Line::Newer(version);
        }
    }
    let mut again = Vec::with_capacity(text.len());
    match serde_json::from_slice::<T>(text) {
        Ok(parsed)
            if version == Some(VERSION)
                && to_canonical(&parsed, &mut again).is_ok()
                && again == text =>
        {
            whole(parsed)
        }
        _ => Line::AlteredFrame(which),
    }
}

/// An event is intact if its bytes are its canonical form, its hash is that of everything else in it, and its id is
/// that of its place.
fn event(members: Map<String, Value>, text: &[u8]) -> Line {
    let mut members: Vec<(String, Value)> = members.into_iter().collect();
    members.sort_by(|(left, _), (right, _)| order(left, right));
    let member = |name: &str| {
        members
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    };
    let word = |name: &str| member(name).and_then(Value::as_str);
    let hash = word("hash").and_then(|hash| hash.parse::<Hash>().ok());
    let prevhash = word("prevhash").and_then(|hash| hash.parse::<Hash>().ok());
    let session = word("subject").and_then(|session| session.parse::<SessionId>().ok());
    let seq = member("seq").and_then(Value::as_u64);
    if hash.is_none() && prevhash.is_none() && session.is_none() {
        return Line::Nothing;
    }

    let mut again = Vec::with_capacity(text.len());
    object(&members, |_| true, &mut again);
    let mut hashed = Vec::with_capacity(text.len());
    hashed.extend_from_slice(DOMAIN);
    object(&members, |name| name != "hash", &mut hashed);
    let whole = again == text
        && hash == Some(Hash::of(&hashed))
        && word("specversion") == Some("1.0")
        && word("type").is_some();
    match (session, seq, prevhash, hash) {
        (Some(session), Some(seq), Some(prevhash), Some(hash))
            if whole && word("id") == Some(event_id(&session, seq).as_str()) =>
        {
            Line::Event(Link {
                session,
                seq,
                prevhash,
                hash,
            })
        }
        (session, _, _, hash) => Line::AlteredEvent(hash, session),
    }
}

/// The canonical form of an object with those of `members`, already in order, that are wanted.
fn object(members: &[(String, Value)], wanted: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
    let mut before = b'{';
    for (name, value) in members.iter().filter(|(name, _)| wanted(name)) {
        out.push(mem::replace(&mut before, b','));
        string(name, out);
        out.push(b':');
        canonical(value, out);
    }
    out.push(b'}');
}
