//! An issuer's public keys: where they come from, how long they are believed, and how seldom they are asked for.
//!
//! | age of the keys | a known key | an unknown key |
//! |---|---|---|
//! | under 45 min | used | fetched once, then unknown |
//! | under 1 h | used; fetched anew beside it | the same |
//! | under 24 h | fetched anew first; if the issuer does not answer, used | the same, but without an answer: unavailable |
//! | older, or none | unavailable until they are fetched | the same |
//!
//! INVARIANT: whatever callers send, an issuer is asked at most once per [`MIN_REFETCH`], by one fetch at a time; a
//! fetch that failed counts. A fetch runs as a task of its own, so a caller that hangs up does not undo this.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::DecodingKey;
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Now,
    error::{AuthConfigError, AuthError},
    token::Algorithm,
};
use crate::gateway::ports::BoxError;

/// An issuer is asked at most this often.
pub const MIN_REFETCH: Duration = Duration::from_secs(10);
/// Keys older than this are fetched anew while they are still used.
pub const AGEING: Duration = Duration::from_secs(45 * 60);
/// Keys older than this are fetched anew before they are used.
pub const TIME_TO_LIVE: Duration = Duration::from_secs(60 * 60);
/// Keys older than this are not used at all: a key withdrawn a day ago must not open anything.
pub const MAX_STALENESS: Duration = Duration::from_secs(24 * 60 * 60);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 64;

/// One key that may have signed a token, for one algorithm.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
    id: String,
    /// The public numbers, to tell whether a fetched set is the one we have.
    numbers: String,
}

/// A key that was found, and in which of the issuer's key sets.
pub(super) struct Found {
    pub(super) key: VerifyingKey,
    pub(super) generation: u64,
}

/// The usable keys of a JWKS document.
struct KeySet {
    keys: Vec<VerifyingKey>,
    generation: u64,
}

impl KeySet {
    /// Takes the keys it understands and leaves out the rest: a key of a kind not known here is no reason to refuse
    /// the others. Two keys for the same id and algorithm are both left out, because either choice could be wrong.
    /// `None`: not a JWKS document. An empty one is: its issuer has withdrawn every key.
    fn parse(jwks: &Value) -> Option<Self> {
        let listed = jwks.get("keys")?.as_array()?;
        let usable: Vec<_> = listed
            .iter()
            .take(MAX_KEYS)
            .filter_map(verifying_key)
            .collect();
        let unambiguous = |key: &&VerifyingKey| {
            let same =
                |other: &&VerifyingKey| other.id == key.id && other.algorithm == key.algorithm;
            usable.iter().filter(same).count() == 1
        };
        Some(Self {
            keys: usable.iter().filter(unambiguous).cloned().collect(),
            generation: 0,
        })
    }

    fn find(&self, id: &str, algorithm: Algorithm) -> Option<Found> {
        let wanted = |key: &&VerifyingKey| key.id == id && key.algorithm == algorithm;
        let key = self.keys.iter().find(wanted)?.clone();
        Some(Found {
            key,
            generation: self.generation,
        })
    }

    fn holds_the_same_as(&self, other: &Self) -> bool {
        let known = |key: &VerifyingKey| {
            other
                .find(&key.id, key.algorithm)
                .is_some_and(|known| known.key.numbers == key.numbers)
        };
        self.keys.len() == other.keys.len() && self.keys.iter().all(known)
    }
}

/// A JWK, as far as it can verify a signature of ours.
fn verifying_key(jwk: &Value) -> Option<VerifyingKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.get("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    if let Some(operations) = jwk.get("key_ops") {
        let operations = operations.as_array()?;
        operations.iter().find(|operation| *operation == "verify")?;
    }
    let (algorithm, key, numbers) = match text("kty")? {
        "RSA" => {
            let (n, e) = (text("n")?, text("e")?);
            // Shorter keys are refused here, so that the message is `unknown key` and not a failed signature.
            if BASE64_URL_SAFE_NO_PAD.decode(n).ok()?.len() < 256 {
                return None;
            }
            let key = DecodingKey::from_rsa_components(n, e).ok()?;
            (Algorithm::Rs256, key, format!("{n}.{e}"))
        }
        "EC" if text("crv")? == "P-256" => {
            let (x, y) = (text("x")?, text("y")?);
            let key = DecodingKey::from_ec_components(x, y).ok()?;
            (Algorithm::Es256, key, format!("{x}.{y}"))
        }
        _ => return None,
    };
    let says_otherwise = |named: &Value| {
        let named = named.as_str().and_then(Algorithm::named);
        named != Some(algorithm)
    };
    if jwk.get("alg").is_some_and(says_otherwise) {
        return None;
    }
    let id = text("kid").filter(|id| !id.is_empty())?.to_owned();
    Some(VerifyingKey {
        algorithm,
        key,
        id,
        numbers,
    })
}

/// The keys of one issuer.
pub(super) struct IssuerKeys {
    issuer: String,
    origin: Origin,
    /// Moves whenever the key set becomes another one; what was verified under an older set is verified again.
    generation: AtomicU64,
}

enum Origin {
    /// Handed over by the process itself.
    Local(KeySet),
    /// Published by the issuer.
    Published {
        transport: Transport,
        now: Now,
        state: Mutex<State>,
    },
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Timestamp)>,
    last_attempt: Option<Timestamp>,
    /// Why the last attempt failed; `None`: it did not.
    failure: Option<String>,
    /// Closes when the fetch that is under way has ended.
    in_flight: Option<watch::Receiver<()>>,
}

enum Freshness {
    Fresh,
    Ageing,
    Expired,
    Unusable,
}

impl IssuerKeys {
    /// Keys that `issuer` publishes. Nothing is fetched before the first token asks for it.
    pub(super) fn published(issuer: &str, now: Now) -> Result<Self, AuthConfigError> {
        let transport =
            Transport::of(issuer).ok_or_else(|| AuthConfigError::Address(issuer.to_owned()))?;
        let origin = Origin::Published {
            transport,
            now,
            state: Mutex::default(),
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            origin,
            generation: AtomicU64::new(0),
        })
    }

    /// Keys that are simply there.
    pub(super) fn local(issuer: &str, jwks: &Value) -> Result<Self, AuthConfigError> {
        let keys = KeySet::parse(jwks)
            .filter(|keys| !keys.keys.is_empty())
            .ok_or_else(|| AuthConfigError::NoLocalKeys(issuer.to_owned()))?;
        Ok(Self {
            issuer: issuer.to_owned(),
            origin: Origin::Local(keys),
            generation: AtomicU64::new(0),
        })
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The key of this id for this algorithm, by the table above.
    pub(super) async fn find(
        self: &Arc<Self>,
        id: &str,
        algorithm: Algorithm,
    ) -> Result<Found, AuthError> {
        let Origin::Published { now, .. } = &self.origin else {
            return self.among_local(id, algorithm);
        };
        let at = now();
        match self.usable(at) {
            (Some(keys), Freshness::Fresh) => {
                if let Some(key) = keys.find(id, algorithm) {
                    return Ok(key);
                }
                self.refetched(at).await;
            }
            (Some(keys), Freshness::Ageing) => {
                let fetch = self.begin_fetch(at);
                if let Some(key) = keys.find(id, algorithm) {
                    return Ok(key);
                }
                ended(fetch).await;
            }
            (Some(keys), _) => {
                // An issuer known to be down is asked beside the request; waiting for its silence helps nobody.
                let known_to_be_down = self.failure().is_some();
                let fetch = self.begin_fetch(at);
                if known_to_be_down && let Some(key) = keys.find(id, algorithm) {
                    return Ok(key);
                }
                ended(fetch).await;
            }
            (None, _) => self.refetched(at).await,
        }
        let found = self.usable(now()).0;
        let key = found.as_ref().and_then(|keys| keys.find(id, algorithm));
        match (key, found, self.failure()) {
            (Some(key), _, _) => Ok(key),
            (None, Some(_), None) => Err(AuthError::UnknownKey),
            (None, _, failure) => Err(AuthError::Unavailable {
                issuer: self.issuer.clone(),
                retry_after: MIN_REFETCH,
                source: failure
                    .unwrap_or_else(|| "not fetched yet".to_owned())
                    .into(),
            }),
        }
    }

    fn among_local(&self, id: &str, algorithm: Algorithm) -> Result<Found, AuthError> {
        let Origin::Local(keys) = &self.origin else {
            return Err(AuthError::UnknownKey);
        };
        keys.find(id, algorithm).ok_or(AuthError::UnknownKey)
    }

    fn usable(&self, now: Timestamp) -> (Option<Arc<KeySet>>, Freshness) {
        let Some(state) = self.state() else {
            return (None, Freshness::Unusable);
        };
        let Some((keys, fetched_at)) = &state.keys else {
            return (None, Freshness::Unusable);
        };
        let age = since(*fetched_at, now);
        let freshness = match age {
            age if age >= MAX_STALENESS => return (None, Freshness::Unusable),
            age if age >= TIME_TO_LIVE => Freshness::Expired,
            age if age >= AGEING => Freshness::Ageing,
            _ => Freshness::Fresh,
        };
        (Some(Arc::clone(keys)), freshness)
    }

    fn failure(&self) -> Option<String> {
        self.state().and_then(|state| state.failure.clone())
    }

    fn state(&self) -> Option<MutexGuard<'_, State>> {
        match &self.origin {
            Origin::Local(_) => None,
            Origin::Published { state, .. } => {
                Some(state.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    async fn refetched(self: &Arc<Self>, now: Timestamp) {
        ended(self.begin_fetch(now)).await;
    }

    /// Joins the fetch under way, or starts one if the last is long enough ago. `None`: not now.
    fn begin_fetch(self: &Arc<Self>, now: Timestamp) -> Option<watch::Receiver<()>> {
        let mut state = self.state()?;
        if let Some(under_way) = &state.in_flight
            && under_way.has_changed().is_ok()
        {
            return Some(under_way.clone());
        }
        let too_soon = |last: Timestamp| last <= now && since(last, now) < MIN_REFETCH;
        if state.last_attempt.is_some_and(too_soon) {
            return None;
        }
        let (running, ended) = watch::channel(());
        state.last_attempt = Some(now);
        state.in_flight = Some(ended.clone());
        drop(state);
        let keys = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = tokio::time::timeout(FETCH_TIMEOUT, keys.fetch())
                .await
                .unwrap_or_else(|_| Err("no answer within 5 s".into()));
            keys.take(fetched);
            drop(running);
        });
        Some(ended)
    }

    fn take(&self, fetched: Result<KeySet, BoxError>) {
        let Origin::Published { now, .. } = &self.origin else {
            return;
        };
        let at = now();
        let Some(mut state) = self.state() else {
            return;
        };
        state.in_flight = None;
        match fetched {
            Ok(mut fetched) => {
                let unchanged = state
                    .keys
                    .as_ref()
                    .is_some_and(|(known, _)| known.holds_the_same_as(&fetched));
                if !unchanged {
                    self.generation.fetch_add(1, Ordering::AcqRel);
                }
                fetched.generation = self.generation();
                tracing::debug!(
                    issuer = self.issuer,
                    keys = fetched.keys.len(),
                    "keys fetched"
                );
                state.keys = Some((Arc::new(fetched), at));
                state.failure = None;
            }
            Err(error) => {
                let why = chain(&*error);
                tracing::warn!(issuer = self.issuer, error = why, "keys cannot be fetched");
                state.failure = Some(why);
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, BoxError> {
        let Origin::Published { transport, .. } = &self.origin else {
            return Err("local keys are not fetched".into());
        };
        // Made anew for a fetch an hour: nothing to set up at start, no connection kept that may have died since.
        let http = &transport.client()?;
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        let base = self.issuer.trim_end_matches('/');
        let at = format!("{base}/.well-known/openid-configuration");
        let discovery: Discovery = serde_json::from_slice(&document(http, &at).await?)?;
        if discovery.issuer != self.issuer {
            return Err(format!(
                "the issuer calls itself `{}`: write it so in the policy",
                discovery.issuer.escape_debug()
            )
            .into());
        }
        if Transport::of_any(&discovery.jwks_uri) != Some(*transport) {
            return Err("the issuer's jwks_uri must be https".into());
        }
        let jwks: Value = serde_json::from_slice(&document(http, &discovery.jwks_uri).await?)?;
        KeySet::parse(&jwks).ok_or_else(|| "what jwks_uri answers holds no list of keys".into())
    }
}

async fn ended(fetch: Option<watch::Receiver<()>>) {
    if let Some(mut fetch) = fetch {
        // Resolves with an error when the fetch drops its end, which is the only thing it ever does with it.
        let _closed = fetch.changed().await;
    }
}

async fn document(http: &Client, url: &str) -> Result<Vec<u8>, BoxError> {
    let mut response = http.get(url).send().await?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("{url} answered {}", response.status()).into());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_DOCUMENT_BYTES {
            return Err(format!("{url} answered more than {MAX_DOCUMENT_BYTES} bytes").into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// How an issuer is reached. Chosen by its address once; its key set must be reached the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Https,
    Loopback,
}

impl Transport {
    /// How to reach an issuer; `None`: not in a way that keeps its keys its own.
    pub(super) fn of(issuer: &str) -> Option<Self> {
        let url = Url::parse(issuer).ok()?;
        let plain = url.query().is_none() && url.fragment().is_none();
        plain.then(|| Self::of_any(issuer)).flatten()
    }

    fn of_any(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let host = url.host_str()?;
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = host == "localhost"
            || literal
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        match url.scheme() {
            "https" => Some(Self::Https),
            "http" if loopback => Some(Self::Loopback),
            _ => None,
        }
    }

    fn client(self) -> Result<Client, reqwest::Error> {
        let builder = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(FETCH_TIMEOUT)
            .connect_timeout(FETCH_TIMEOUT);
        match self {
            Self::Https => builder.https_only(true),
            // The name `localhost` is pinned, and no proxy is asked, so that loopback is what it says.
            Self::Loopback => builder.no_proxy().resolve_to_addrs(
                "localhost",
                &[
                    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                    SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
                ],
            ),
        }
        .build()
    }
}

/// How long after `then` it is; zero if the clock was set back.
fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rsa(kid: &str) -> Value {
        json!({"kty": "RSA", "kid": kid, "n": "A".repeat(342), "e": "AQAB"})
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn only_keys_meant_for_these_signatures_are_taken() {
        let table = [
            (rsa("k"), 1),
            (with(rsa("k"), "use", json!("sig")), 1),
            (with(rsa("k"), "alg", json!("RS256")), 1),
            (with(rsa("k"), "key_ops", json!(["verify"])), 1),
            (with(rsa("k"), "use", json!("enc")), 0),
            (with(rsa("k"), "alg", json!("RS512")), 0),
            (with(rsa("k"), "alg", json!("ES256")), 0),
            (with(rsa("k"), "alg", json!("HS256")), 0),
            (with(rsa("k"), "alg", json!(["RS256"])), 0),
            (with(rsa("k"), "key_ops", json!(["encrypt"])), 0),
            (with(rsa("k"), "n", json!("A".repeat(171))), 0),
            (with(rsa("k"), "kid", Value::Null), 0),
            (rsa(""), 0),
            (json!({"kty": "oct", "kid": "k", "k": "AAAA"}), 0),
            (
                json!({"kty": "EC", "crv": "P-384", "kid": "k", "x": "AA", "y": "AA"}),
                0,
            ),
            (
                json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": "AA", "y": "AA"}),
                1,
            ),
            (json!("nonsense"), 0),
        ];
        for (key, usable) in table {
            let found = KeySet::parse(&json!({"keys": [key.clone()]})).unwrap();
            assert_eq!(found.keys.len(), usable, "{key}");
        }
        assert!(KeySet::parse(&json!([])).is_none());
        assert!(KeySet::parse(&json!({"keys": []})).is_some());
    }

    #[test]
    fn two_keys_of_the_same_id_and_algorithm_are_no_key_at_all() {
        let set = KeySet::parse(&json!({"keys": [rsa("a"), rsa("b"), rsa("a")]})).unwrap();
        assert!(set.find("a", Algorithm::Rs256).is_none());
        assert!(set.find("b", Algorithm::Rs256).is_some());
        assert!(set.find("b", Algorithm::Es256).is_none());
    }

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        use Transport::{Https, Loopback};
        let table = [
            ("https://login.microsoftonline.com/t/v2.0", Some(Https)),
            ("https://127.0.0.1/", Some(Https)),
            ("http://127.0.0.1:3400", Some(Loopback)),
            ("http://127.8.9.1:3400", Some(Loopback)),
            ("http://[::1]:3400", Some(Loopback)),
            ("http://localhost:3400", Some(Loopback)),
            ("http://localhost.evil.example", None),
            ("http://127.0.0.1.evil.example", None),
            ("http://10.0.0.1", None),
            ("http://0.0.0.0", None),
            ("http://issuer.example", None),
            ("https://user:pass@issuer.example", None),
            ("https://issuer.example/?tenant=a", None),
            ("https://issuer.example/#a", None),
            ("file:///etc/passwd", None),
            ("issuer.example", None),
        ];
        for (issuer, transport) in table {
            assert_eq!(Transport::of(issuer), transport, "{issuer}");
        }
    }
}
