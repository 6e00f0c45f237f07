//! Tokens that were verified a moment ago, by their SHA-256.
//!
//! INVARIANT: nothing is in here that was not verified, and an entry never outlives the token, the keys or the issuer's
//! configuration it was verified under; `Authenticator` asks all three at every hit. The size is bounded by two halves:
//! when the younger is full it becomes the older, and the older is forgotten.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, PoisonError},
};

/// SHA-256 of a token. The token itself is not kept.
pub(super) type TokenDigest = [u8; 32];

/// Remembers at most `2 * half` values.
pub(super) struct TokenCache<T> {
    half: usize,
    halves: Mutex<Halves<T>>,
}

struct Halves<T> {
    younger: HashMap<TokenDigest, T>,
    older: HashMap<TokenDigest, T>,
}

impl<T: Clone> TokenCache<T> {
    pub(super) fn new(half: usize) -> Self {
        Self {
            half,
            halves: Mutex::new(Halves {
                younger: HashMap::new(),
                older: HashMap::new(),
            }),
        }
    }

    pub(super) fn get(&self, digest: &TokenDigest) -> Option<T> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = halves.younger.get(digest) {
            return Some(value.clone());
        }
        let value = halves.older.remove(digest)?;
        self.insert_into(&mut halves, *digest, value.clone());
        Some(value)
    }

    pub(super) fn insert(&self, digest: TokenDigest, value: T) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        self.insert_into(&mut halves, digest, value);
    }

    pub(super) fn remove(&self, digest: &TokenDigest) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.younger.remove(digest);
        halves.older.remove(digest);
    }

    fn insert_into(&self, halves: &mut Halves<T>, digest: TokenDigest, value: T) {
        if halves.younger.len() >= self.half && !halves.younger.contains_key(&digest) {
            halves.older = mem::take(&mut halves.younger);
        }
        halves.younger.insert(digest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u32) -> TokenDigest {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        digest
    }

    #[test]
    fn however_many_tokens_come_the_cache_stays_bounded_and_keeps_the_ones_in_use() {
        let cache = TokenCache::new(100);
        cache.insert(digest(0), 0);
        for n in 1..10_000 {
            cache.insert(digest(n), n);
            assert_eq!(cache.get(&digest(0)), Some(0), "in use at {n}");
            assert_eq!(cache.get(&digest(n)), Some(n));
        }
        let halves = cache.halves.lock().unwrap();
        assert!(halves.younger.len() + halves.older.len() <= 200);
        drop(halves);
        assert_eq!(cache.get(&digest(1)), None);
        cache.remove(&digest(0));
        assert_eq!(cache.get(&digest(0)), None);
    }
}
