//! Exports: the record as JSON Lines, for whoever wants to verify or search it without the gateway.
//!
//! ```text
//! {"exported_at":…,"key":…,"source":…,"type":"portcullis.export","version":1}
//! {"data":…,"hash":…,"id":…,…}                                     every event as it is stored, session by session
//! {"digest":…,"events":…,"hash":…,"sessions":[…],"signature":…,"type":"portcullis.manifest","version":1}
//! ```
//!
//! Every line is canonical JSON (RFC 8785) and ends in one line feed, so a byte that changes nothing in meaning is still
//! a change that shows.
//!
//! - `key` in the header: the fingerprint of the key the manifest will be signed with, absent when it is not signed. A
//!   signature that is taken off is missed.
//! - `digest`: SHA-256 over `portcullis-export-v1`, a zero byte, and every byte before the manifest.
//! - `sessions`: where each chain ends (`events`, `hash`, `seq`, `session`), in the order of the file. Chains alone do not
//!   show that their ends were cut off.
//! - `hash`: SHA-256 over `portcullis-manifest-v1`, a zero byte, and the manifest without `hash` and `signature`.
//! - `signature`: `algorithm` (`ES256`), `key` (SubjectPublicKeyInfo in DER, base64) and `value` (r and s, base64), over
//!   the same bytes as `hash`. A signer that takes digests signs `hash` itself.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Hash, NotCanonical, line, to_canonical};
use crate::domain::{id::SessionId, session::Event};

/// The format this program writes, and the newest it reads.
pub const VERSION: u64 = 1;

pub(super) const HEADER: &str = "portcullis.export";
pub(super) const MANIFEST: &str = "portcullis.manifest";
pub(super) const ES256: &str = "ES256";

const LINES_DOMAIN: &[u8] = b"portcullis-export-v1\0";
const MANIFEST_DOMAIN: &[u8] = b"portcullis-manifest-v1\0";

/// An export under way. It makes lines; whoever calls it writes them, in order.
pub struct Export {
    lines: digest::Context,
    events: u64,
    sessions: Vec<SessionEnd>,
}

/// Where one session's chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionEnd {
    pub(super) events: u64,
    pub(super) hash: Hash,
    pub(super) seq: u64,
    pub(super) session: SessionId,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) exported_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Hash>,
    pub(super) source: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) version: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Footer {
    pub(super) digest: Hash,
    pub(super) events: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hash: Option<Hash>,
    pub(super) sessions: Vec<SessionEnd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<Signature>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) version: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    pub(super) algorithm: String,
    pub(super) key: String,
    pub(super) value: String,
}

impl Footer {
    /// What its hash is over, and what is signed.
    pub(super) fn signed_bytes(&self) -> Result<Vec<u8>, NotCanonical> {
        let bare = Footer {
            digest: self.digest,
            events: self.events,
            hash: None,
            sessions: self.sessions.clone(),
            signature: None,
            kind: self.kind.clone(),
            version: self.version,
        };
        let mut bytes = MANIFEST_DOMAIN.to_vec();
        to_canonical(&bare, &mut bytes)?;
        Ok(bytes)
    }
}

/// The digest over an export's lines, on both sides of it.
pub(super) fn lines_digest() -> digest::Context {
    let mut lines = digest::Context::new(&digest::SHA256);
    lines.update(LINES_DOMAIN);
    lines
}

impl Export {
    /// Begins an export of what `source` recorded; returns its first line. With `key`, the fingerprint of the key it
    /// will be signed with, the export is intact only if it is.
    pub fn begin(
        source: &str,
        exported_at: Timestamp,
        key: Option<Hash>,
    ) -> Result<(Self, Vec<u8>), NotCanonical> {
        let mut export = Self {
            lines: lines_digest(),
            events: 0,
            sessions: Vec::new(),
        };
        let header = Header {
            exported_at,
            key,
            source: source.to_owned(),
            kind: HEADER.to_owned(),
            version: VERSION,
        };
        let mut bytes = Vec::new();
        to_canonical(&header, &mut bytes)?;
        let bytes = export.take(bytes);
        Ok((export, bytes))
    }

    /// The next event's line. Sessions come whole and one after the other. A chain that is broken is exported as it is:
    /// what is wrong with a record is for its verification to say.
    pub fn event(&mut self, event: &Event) -> Result<Vec<u8>, NotCanonical> {
        let bytes = line(event)?;
        self.events += 1;
        match self.sessions.last_mut() {
            Some(last) if last.session == event.subject => {
                last.events += 1;
                last.seq = event.seq;
                last.hash = event.hash;
            }
            _ => self.sessions.push(SessionEnd {
                events: 1,
                hash: event.hash,
                seq: event.seq,
                session: event.subject.clone(),
            }),
        }
        Ok(self.take(bytes))
    }

    /// Ends the export: what is left is its manifest, to be signed or not.
    pub fn end(self) -> Result<Manifest, NotCanonical> {
        let mut footer = Footer {
            digest: Hash::from_digest(&self.lines.finish()),
            events: self.events,
            hash: None,
            sessions: self.sessions,
            signature: None,
            kind: MANIFEST.to_owned(),
            version: VERSION,
        };
        let to_sign = footer.signed_bytes()?;
        footer.hash = Some(Hash::of(&to_sign));
        Ok(Manifest { footer, to_sign })
    }

    fn take(&mut self, mut line: Vec<u8>) -> Vec<u8> {
        line.push(b'\n');
        self.lines.update(&line);
        line
    }
}

/// The last line of an export, before it is signed.
pub struct Manifest {
    footer: Footer,
    to_sign: Vec<u8>,
}

impl Manifest {
    /// What an ES256 signature is made over.
    pub fn to_sign(&self) -> &[u8] {
        &self.to_sign
    }

    /// The last line of an export that began without a key.
    pub fn unsigned(self) -> Result<Vec<u8>, NotCanonical> {
        let mut line = Vec::new();
        to_canonical(&self.footer, &mut line)?;
        line.push(b'\n');
        Ok(line)
    }

    /// The last line of an export that began with the fingerprint of `public_key` (SubjectPublicKeyInfo in DER);
    /// `signature` is r and s.
    pub fn signed(mut self, public_key: &[u8], signature: &[u8]) -> Result<Vec<u8>, NotCanonical> {
        self.footer.signature = Some(Signature {
            algorithm: ES256.to_owned(),
            key: BASE64.encode(public_key),
            value: BASE64.encode(signature),
        });
        self.unsigned()
    }
}
