//! auth: a bearer token becomes a [`Principal`], or a reason why not.
//!
//! Takes access tokens (JWT, RS256 or ES256) of the issuers that policy names. Checks every time: signature by a key the
//! issuer publishes now, `iss`, `aud`, `exp`, `nbf`, `iat`, and `tid` and client where policy names them. It refuses to
//! know what a principal may do; that is policy's.
//!
//! | file | owns |
//! |---|---|
//! | `token` | the envelope: header, algorithms, signature |
//! | `keys` | an issuer's keys: discovery, age, rotation, an issuer that is down |
//! | `claims` | is it for us, now, and an access token at all |
//! | `identity` | person, agent or program, and the name of each |
//! | `cache` | tokens verified a moment ago |
//! | [`dev`] | the issuer of a gateway on loopback |

mod cache;
mod claims;
pub mod dev;
mod error;
mod identity;
mod keys;
mod token;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::digest;
use jiff::Timestamp;

use self::{
    cache::{TokenCache, TokenDigest},
    claims::{Claims, Validity},
    keys::{IssuerKeys, Transport},
    token::Presented,
};
use crate::domain::{policy::Issuer, principal::Principal};

pub use self::{
    error::{AuthConfigError, AuthError},
    keys::{AGEING, MAX_STALENESS, MIN_REFETCH, TIME_TO_LIVE},
};

/// How many seconds a verified token is remembered at most.
const REMEMBERED_SECONDS: i64 = 300;
/// Two of these many tokens are remembered.
const HALF_OF_REMEMBERED: usize = 5_000;

type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Turns tokens into principals. One per process; policy reloads reach it through [`Authenticator::reload`].
pub struct Authenticator {
    now: Now,
    trusted: RwLock<Arc<HashMap<String, Arc<Trusted>>>>,
    /// Issuers whose keys the process itself holds; a reload does not touch them.
    local: Vec<Arc<Trusted>>,
    verified: TokenCache<Arc<Verified>>,
}

/// An issuer as policy has it, and its keys.
struct Trusted {
    issuer: Issuer,
    keys: Arc<IssuerKeys>,
}

/// A token that was verified a moment ago, and under what.
struct Verified {
    principal: Principal,
    validity: Validity,
    at_second: i64,
    by: Arc<Trusted>,
    generation: u64,
}

impl Authenticator {
    /// Takes the tokens of these issuers. Their keys are fetched when the first token asks for them, so an issuer that
    /// is down does not keep the gateway from starting.
    pub fn new(issuers: Vec<Issuer>) -> Result<Self, AuthConfigError> {
        Self::with_clock(issuers, Timestamp::now)
    }

    /// The same by another clock.
    pub fn with_clock(
        issuers: Vec<Issuer>,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, AuthConfigError> {
        let authenticator = Self {
            now: Arc::new(now),
            trusted: RwLock::default(),
            local: Vec::new(),
            verified: TokenCache::new(HALF_OF_REMEMBERED),
        };
        authenticator.reload(issuers)?;
        Ok(authenticator)
    }

    /// Also takes the tokens of this process's own issuer, now and after every reload, without fetching anything.
    /// There is no such issuer without [`dev::LoopbackOnly`].
    pub fn with_local_keys(mut self, issuer: &dev::DevIssuer) -> Result<Self, AuthConfigError> {
        let configured = issuer.as_policy_issuer();
        let keys = IssuerKeys::local(&configured.issuer, &issuer.jwks())?;
        let others = self.configured();
        self.local.push(Arc::new(Trusted {
            issuer: configured,
            keys: Arc::new(keys),
        }));
        self.reload(others)?;
        Ok(self)
    }

    /// Takes the tokens of these issuers from now on, and of no others. Keys of an issuer that stays are kept; tokens
    /// verified under a configuration that changed are verified again. On an error everything stays as it was.
    pub fn reload(&self, issuers: Vec<Issuer>) -> Result<(), AuthConfigError> {
        check(&issuers)?;
        let known = self.trusted();
        let mut trusted = HashMap::new();
        for local in &self.local {
            trusted.insert(local.issuer.issuer.clone(), Arc::clone(local));
        }
        for issuer in issuers {
            if trusted.contains_key(&issuer.issuer) {
                return Err(AuthConfigError::Duplicate(issuer.issuer));
            }
            let next = match known.get(&issuer.issuer) {
                Some(same) if same.issuer == issuer => Arc::clone(same),
                Some(changed) => Arc::new(Trusted {
                    keys: Arc::clone(&changed.keys),
                    issuer,
                }),
                None => Arc::new(Trusted {
                    keys: Arc::new(IssuerKeys::published(&issuer.issuer, self.now.clone())?),
                    issuer,
                }),
            };
            trusted.insert(next.issuer.issuer.clone(), next);
        }
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trusted);
        Ok(())
    }

    /// The issuers whose tokens are taken, in order.
    pub fn issuers(&self) -> Vec<String> {
        let mut issuers: Vec<_> = self.trusted().keys().cloned().collect();
        issuers.sort_unstable();
        issuers
    }

    /// Who sends this `Authorization` header.
    pub async fn verify(&self, authorization: Option<&str>) -> Result<Principal, AuthError> {
        let token = token::bearer(authorization)?;
        let digest = digest_of(token);
        if let Some(remembered) = self.remembered(&digest)? {
            return Ok(remembered);
        }
        let presented = Presented::parse(token)?;
        let trusted = self
            .trusted()
            .get(&presented.issuer)
            .map(Arc::clone)
            .ok_or(AuthError::WrongIssuer)?;
        let found = trusted
            .keys
            .find(&presented.key_id, presented.algorithm)
            .await?;
        let claims = Claims::new(presented.verified_by(&found.key)?);
        let now = (self.now)();
        let validity = claims.check(&trusted.issuer, presented.typed, now)?;
        let principal = Principal::from_verified(identity::identify(&claims, &trusted.issuer)?);
        let verified = Verified {
            principal: principal.clone(),
            validity,
            at_second: now.as_second(),
            by: trusted,
            generation: found.generation,
        };
        self.verified.insert(digest, Arc::new(verified));
        Ok(principal)
    }

    /// The person whom a trusted messenger saw answer: `object` of `tenant`, whom policy may call `name`. It is the person
    /// whose tokens say the same, of the one issuer of that tenant; `None`: no issuer of the policy is, or two are. The
    /// messenger's word carries no groups, so that such a person decides only what policy lets them decide by name.
    pub fn vouched(&self, tenant: &str, object: &str, name: &str) -> Option<Principal> {
        let trusted = self.trusted();
        let tenant = tenant.to_ascii_lowercase();
        let mut issuers = trusted
            .values()
            .map(|trusted| &trusted.issuer)
            .filter(|issuer| {
                let named = issuer
                    .tenants
                    .iter()
                    .any(|named| named.eq_ignore_ascii_case(&tenant));
                named || entra_tenant(&issuer.issuer).as_ref() == Some(&tenant)
            });
        let issuer = issuers.next()?;
        if issuers.next().is_some() {
            return None;
        }
        identity::vouched(issuer, &tenant, object, name).map(Principal::from_verified)
    }

    /// The principal of a token verified a moment ago, if everything it was verified under still holds.
    fn remembered(&self, digest: &TokenDigest) -> Result<Option<Principal>, AuthError> {
        let Some(verified) = self.verified.get(digest) else {
            return Ok(None);
        };
        let now = (self.now)().as_second();
        if verified.validity.is_over(now) {
            self.verified.remove(digest);
            return Err(AuthError::Expired);
        }
        let recent = (0..REMEMBERED_SECONDS).contains(&(now - verified.at_second));
        let same_keys = verified.by.keys.generation() == verified.generation;
        let same_issuer = self
            .trusted()
            .get(&verified.by.issuer.issuer)
            .is_some_and(|trusted| Arc::ptr_eq(trusted, &verified.by));
        if recent && same_keys && same_issuer {
            return Ok(Some(verified.principal.clone()));
        }
        self.verified.remove(digest);
        Ok(None)
    }

    fn trusted(&self) -> Arc<HashMap<String, Arc<Trusted>>> {
        let trusted = self.trusted.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&trusted)
    }

    /// The issuers that policy named.
    fn configured(&self) -> Vec<Issuer> {
        let is_local =
            |trusted: &&Arc<Trusted>| self.local.iter().any(|local| Arc::ptr_eq(local, trusted));
        self.trusted()
            .values()
            .filter(|trusted| !is_local(trusted))
            .map(|trusted| trusted.issuer.clone())
            .collect()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("issuers", &self.trusted().keys())
            .finish_non_exhaustive()
    }
}

/// Whether these issuers can be trusted as configured.
fn check(issuers: &[Issuer]) -> Result<(), AuthConfigError> {
    let mut tenants: HashMap<String, &str> = HashMap::new();
    let mut seen = HashMap::new();
    for issuer in issuers {
        let address = issuer.issuer.as_str();
        if Transport::of(address).is_none() {
            return Err(AuthConfigError::Address(address.to_owned()));
        }
        if issuer.audience.is_empty() || issuer.audience.iter().any(String::is_empty) {
            return Err(AuthConfigError::NoAudience(address.to_owned()));
        }
        if seen.insert(address, ()).is_some() {
            return Err(AuthConfigError::Duplicate(address.to_owned()));
        }
        if let Some(tenant) = entra_tenant(address)
            && let Some(other) = tenants.insert(tenant, address)
        {
            return Err(AuthConfigError::SameTenant(
                other.to_owned(),
                address.to_owned(),
            ));
        }
    }
    Ok(())
}

/// The tenant of an Entra issuer, of either version: both give the same people the same object ids.
fn entra_tenant(issuer: &str) -> Option<String> {
    let path = issuer
        .strip_prefix("https://sts.windows.net/")
        .or_else(|| issuer.strip_prefix("https://login.microsoftonline.com/"))?;
    let tenant = path.split('/').next()?;
    Some(tenant.to_ascii_lowercase())
}

fn digest_of(token: &str) -> TokenDigest {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    let mut bytes = TokenDigest::default();
    bytes.copy_from_slice(digest.as_ref());
    bytes
}
