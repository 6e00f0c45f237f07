//! Who asks.
//!
//! A `Principal` exists only because a token was verified: its fields are private and [`Principal::from_verified`] is
//! its one maker, called by `auth` alone (`tests/architecture.rs` holds that), and by [`Principal::hypothetical`] beside it.

use std::{collections::BTreeSet, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What stands behind a token. Never two of these at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A person, with positive evidence of it in the token. Only humans approve by group.
    Human,
    /// A program that acts on its own judgement. Never approves anything.
    Agent,
    /// A program that is not marked as an agent, such as a release pipeline. Approves only where policy names it.
    Service,
}

impl fmt::Display for PrincipalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Agent => "agent",
            Self::Service => "service",
        })
    }
}

/// How a principal is written in policy and on record: `user:NAME` for a person, `agent:NAME` for an agent
/// (`agent:CLIENT#USER` for one with a person's token), `app:NAME` for another program. Stable for the same subject of the
/// same issuer.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct PrincipalId(Box<str>);

impl PrincipalId {
    /// The id of a subject of this kind.
    pub fn new(kind: PrincipalKind, name: &str) -> Self {
        let prefix = match kind {
            PrincipalKind::Human => "user",
            PrincipalKind::Agent => "agent",
            PrincipalKind::Service => "app",
        };
        Self(format!("{prefix}:{name}").into())
    }

    /// The id as written, prefix included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What `auth` read from a token after it had checked all of it.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// Who stands behind it.
    pub kind: PrincipalKind,
    /// `iss`: whose word this is.
    pub issuer: String,
    /// `tid`, where the issuer has tenants.
    pub tenant: Option<String>,
    /// The stable, issuer-unique subject: `oid` where there is one, otherwise `sub`.
    pub subject: String,
    /// The name policy may use: a user's `preferred_username`, an application's client id or its configured name.
    pub name: String,
    /// `azp` or `appid`: the application that holds the token.
    pub client: Option<String>,
    /// `groups`, as the issuer writes them.
    pub groups: BTreeSet<String>,
    /// `roles`: app roles.
    pub app_roles: BTreeSet<String>,
    /// For an agent: the person it acts for, from `act` or a delegated user token.
    pub acts_for: Option<String>,
}

/// Who asks, proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    id: PrincipalId,
    kind: PrincipalKind,
    issuer: String,
    tenant: Option<String>,
    subject: String,
    client: Option<String>,
    groups: BTreeSet<String>,
    app_roles: BTreeSet<String>,
    acts_for: Option<String>,
}

impl Principal {
    /// The one maker. Calling it says: this token's signature, issuer, audience and times were checked.
    pub(crate) fn from_verified(token: VerifiedToken) -> Self {
        Self {
            id: PrincipalId::new(token.kind, &token.name),
            kind: token.kind,
            issuer: token.issuer,
            tenant: token.tenant,
            subject: token.subject,
            client: token.client,
            groups: token.groups,
            app_roles: token.app_roles,
            acts_for: token.acts_for,
        }
    }

    /// A principal no token stands behind, for `portcullis policy test|explain` only: they ask what policy would say,
    /// and nothing ever runs on the answer.
    pub(crate) fn hypothetical(
        kind: PrincipalKind,
        name: &str,
        groups: BTreeSet<String>,
        app_roles: BTreeSet<String>,
    ) -> Self {
        Self::from_verified(VerifiedToken {
            kind,
            issuer: "hypothetical".into(),
            tenant: None,
            subject: name.into(),
            name: name.into(),
            client: None,
            groups,
            app_roles,
            acts_for: None,
        })
    }

    /// How policy and the record write this principal.
    pub fn id(&self) -> &PrincipalId {
        &self.id
    }

    /// Human, agent or service.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// Groups from the token.
    pub fn groups(&self) -> &BTreeSet<String> {
        &self.groups
    }

    /// App roles from the token.
    pub fn app_roles(&self) -> &BTreeSet<String> {
        &self.app_roles
    }

    /// The person behind the principal, for telling two people apart: issuer and subject, never a display name.
    pub fn person(&self) -> Person {
        Person(format!("{} {}", self.issuer, self.subject).into())
    }

    /// The principal as the record keeps it.
    pub fn described(&self) -> DescribedPrincipal {
        DescribedPrincipal {
            id: self.id.clone(),
            kind: self.kind,
            issuer: self.issuer.clone(),
            tenant: self.tenant.clone(),
            subject: self.subject.clone(),
            client: self.client.clone(),
            groups: self.groups.clone(),
            app_roles: self.app_roles.clone(),
            acts_for: self.acts_for.clone(),
        }
    }

    /// A principal as a verified record remembers it, to be judged again by today's policy. It opens no door: only
    /// `session::decide` calls it, for a request that was asked with a verified token.
    pub(in crate::domain) fn remembered(described: &DescribedPrincipal) -> Self {
        Self {
            id: described.id.clone(),
            kind: described.kind,
            issuer: described.issuer.clone(),
            tenant: described.tenant.clone(),
            subject: described.subject.clone(),
            client: described.client.clone(),
            groups: described.groups.clone(),
            app_roles: described.app_roles.clone(),
            acts_for: described.acts_for.clone(),
        }
    }
}

/// One natural person or one program, whatever they call themselves. Two approvals count twice only if these differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Person(Box<str>);

/// A principal as written into the record and shown to approvers. It proves nothing: it is a memory of who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescribedPrincipal {
    /// `user:…`, `agent:…` or `app:…`.
    pub id: PrincipalId,
    /// Human, agent or service.
    pub kind: PrincipalKind,
    /// `iss`.
    pub issuer: String,
    /// `tid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `oid` or `sub`.
    pub subject: String,
    /// `azp` or `appid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Groups at the time.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// App roles at the time.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub app_roles: BTreeSet<String>,
    /// The person an agent acted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acts_for: Option<String>,
}

impl DescribedPrincipal {
    /// The person behind it, comparable with [`Principal::person`].
    pub fn person(&self) -> Person {
        Person(format!("{} {}", self.issuer, self.subject).into())
    }
}
