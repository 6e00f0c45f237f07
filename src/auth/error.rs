//! Why a caller is not let in, in words the caller can act on.
//!
//! INVARIANT: no variant holds a token or text taken from one. A message goes out in `WWW-Authenticate`, so it is plain
//! ASCII without quotes or backslashes (RFC 6750 §3).

use std::time::Duration;

use crate::gateway::ports::BoxError;

/// Why there is no `Principal`.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization` header, or one of another scheme.
    #[error("no bearer token: send Authorization: Bearer with an access token for this gateway")]
    Missing,
    /// Not a JWT this gateway can read, or a claim in it has a form it must not have.
    #[error("the token is malformed: {0}")]
    Malformed(String),
    /// Signed in a way that is not taken: `none`, a shared secret, or a key of another kind.
    #[error("the token must be signed with RS256 or ES256; nothing else is taken")]
    UnsupportedAlgorithm,
    /// The signature is not the named key's.
    #[error("the signature of the token does not hold: get a new token from the issuer")]
    BadSignature,
    /// The issuer publishes no such key.
    #[error("the token is signed with a key its issuer does not publish: get a new token")]
    UnknownKey,
    /// Nobody whose tokens policy takes.
    #[error("the issuer of the token is not one that policy names under identity.issuers")]
    WrongIssuer,
    /// Made for somebody else.
    #[error(
        "the token is for another audience: request it for the audience that policy names for its issuer"
    )]
    WrongAudience,
    /// Too late.
    #[error("the token has expired: get a new one")]
    Expired,
    /// Too early, which mostly means a wrong clock.
    #[error("the token is not valid yet: check the clocks of issuer and gateway")]
    NotYetValid,
    /// `tid` is not one that policy names.
    #[error("the tenant of the token is not one that policy names for its issuer")]
    ForbiddenTenant,
    /// `azp`/`appid` is not one that policy names.
    #[error("the client of the token is not one that policy names for its issuer")]
    ForbiddenClient,
    /// An ID token, a refresh token, a logout token: proof of a sign-in, not a right to call this gateway.
    #[error(
        "this is not an access token (it looks like {0}): request an access token with a scope of this gateway"
    )]
    NotAnAccessToken(&'static str),
    /// More groups than the issuer puts into a token. Without them nobody can say who this is, not even that it is no
    /// agent.
    #[error(
        "the token leaves its groups out because there are too many: have the issuer emit only the groups assigned to the application (Entra: groupMembershipClaims ApplicationGroup), or use app roles"
    )]
    GroupsOverage,
    /// The issuer's keys are needed and cannot be had. Nothing is wrong with the token, as far as one can tell.
    #[error("the keys of the issuer {issuer} cannot be fetched at the moment: try again shortly")]
    Unavailable {
        /// Whose keys.
        issuer: String,
        /// When trying again makes sense.
        retry_after: Duration,
        /// What went wrong, for the operator's log.
        #[source]
        source: BoxError,
    },
}

impl AuthError {
    /// Stable; programs may match on it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Malformed(_) => "token_malformed",
            Self::UnsupportedAlgorithm => "token_algorithm",
            Self::BadSignature => "token_signature",
            Self::UnknownKey => "token_key_unknown",
            Self::WrongIssuer => "token_issuer",
            Self::WrongAudience => "token_audience",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::ForbiddenTenant => "token_tenant",
            Self::ForbiddenClient => "token_client",
            Self::NotAnAccessToken(_) => "token_not_access",
            Self::GroupsOverage => "token_groups_overage",
            Self::Unavailable { .. } => "issuer_unavailable",
        }
    }

    /// The HTTP status: 503 where trying the same token again may work, otherwise 401.
    pub fn status(&self) -> u16 {
        match self {
            Self::Unavailable { .. } => 503,
            _ => 401,
        }
    }

    /// When trying again makes sense; `None`: not with this token.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The value of `WWW-Authenticate`; `None` where the token is not to blame. A caller that sent no token is told
    /// only the scheme, as RFC 6750 §3.1 has it.
    pub fn challenge(&self) -> Option<String> {
        match self {
            Self::Unavailable { .. } => None,
            Self::Missing => Some("Bearer".to_owned()),
            refused => Some(format!(
                r#"Bearer error="invalid_token", error_description="{}: {refused}""#,
                refused.code()
            )),
        }
    }

    pub(super) fn malformed(why: impl Into<String>) -> Self {
        Self::Malformed(why.into())
    }
}

/// Why these issuers cannot be trusted as configured.
#[derive(Debug, thiserror::Error)]
pub enum AuthConfigError {
    /// Keys fetched in the clear are anybody's keys.
    #[error(
        "issuer `{0}` must be an https:// address without query, fragment or password (http:// only on loopback)"
    )]
    Address(String),
    /// A token for anyone would be a token for us.
    #[error("issuer `{0}` needs at least one audience: name the audience its tokens are made for")]
    NoAudience(String),
    /// Which of the two would count?
    #[error("issuer `{0}` is listed twice: merge its audiences, tenants, clients and agents")]
    Duplicate(String),
    /// The same person would count as two, and could approve what they asked for.
    #[error(
        "issuers `{0}` and `{1}` are the same Entra tenant: one person would count as two; keep the one whose version the app registration issues (requestedAccessTokenVersion)"
    )]
    SameTenant(String, String),
    /// Keys handed over directly must be usable.
    #[error("the local keys for issuer `{0}` hold no RS256 or ES256 key with a key id")]
    NoLocalKeys(String),
}
