//! The record: canonical bytes, a hash chain per session, and its verification.
//!
//! Every event is hashed together with its predecessor's hash, over the RFC 8785 canonical JSON of everything in it
//! but the hash itself. Numbers in events are integers, so that any language's canonical form agrees.

mod canonical;
mod chain;
pub mod export;
pub mod verify;

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

pub use canonical::{NotCanonical, canonical, to_canonical};
pub use chain::{ChainError, event_id, extend, line, verify_chain};

/// A SHA-256, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Hash([u8; 32]);

/// Text that is not a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256; one looks like `sha256:` and 64 lowercase hexadecimal digits")]
pub struct BadHash(String);

impl Hash {
    /// What the first event of a chain has as its predecessor.
    pub const GENESIS: Self = Self([0; 32]);

    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use aws_lc_rs::digest;
        Self::from_digest(&digest::digest(&digest::SHA256, bytes))
    }

    fn from_digest(digest: &aws_lc_rs::digest::Digest) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    /// A hash that was kept as its raw bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The SHA-256 of bytes that come in pieces.
#[derive(Clone)]
pub struct Hasher(aws_lc_rs::digest::Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256))
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(..)")
    }
}

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all of them.
    pub fn finish(self) -> Hash {
        Hash::from_digest(&self.0.finish())
    }
}

/// `sha256:` and 64 digits.
const WRITTEN: usize = 71;

impl Hash {
    /// The written form without an allocation: several of them are in every event.
    fn written(&self) -> [u8; WRITTEN] {
        let mut text = *b"sha256:0000000000000000000000000000000000000000000000000000000000000000";
        for (pair, byte) in text[7..].chunks_exact_mut(2).zip(self.0) {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.written()).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = self.written();
        serializer.serialize_str(std::str::from_utf8(&written).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        let bad = || BadHash(text.chars().take(100).collect());
        let hex = text
            .strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64)
            .ok_or_else(bad)?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let digit = |digit: u8| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(bad()),
            };
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

/// SHA-256 over a domain prefix, a zero byte and the canonical JSON of `value`. The prefix keeps a hash made for one
/// purpose from meaning something for another.
pub fn hash_of(domain: &str, value: &Value) -> Hash {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(domain.as_bytes());
    bytes.push(0);
    canonical(value, &mut bytes);
    Hash::of(&bytes)
}

/// Where a session's chain stands: what the next event must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last event's sequence number; 0 when there is none yet.
    pub seq: u64,
    /// The last event's hash.
    pub hash: Hash,
}

impl Head {
    /// The head of a session nothing has happened in.
    pub const GENESIS: Self = Self {
        seq: 0,
        hash: Hash::GENESIS,
    };
}
