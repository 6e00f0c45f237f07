//! People, agents and programs with real tokens of a local issuer, really verified.

#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::FutureExt;
use portcullis::{
    auth::{
        Authenticator,
        dev::{DevIssuer, LoopbackOnly},
    },
    domain::principal::{Principal, PrincipalKind},
};

/// Someone with a token, and what they are to policy.
pub(crate) struct Someone {
    pub(crate) name: &'static str,
    pub(crate) kind: PrincipalKind,
    pub(crate) groups: &'static [&'static str],
}

pub(crate) const SOMEONE: [Someone; 10] = [
    someone("bot", PrincipalKind::Agent, &["ai-agents"]),
    someone("crawler", PrincipalKind::Agent, &["ai-agents"]),
    // A human who may ask, and who could decide for others.
    someone("dan", PrincipalKind::Human, &["ai-agents", "db-admins"]),
    someone("carla", PrincipalKind::Human, &["db-admins"]),
    someone("erik", PrincipalKind::Human, &["db-admins"]),
    someone("olga", PrincipalKind::Human, &["owners", "db-admins"]),
    someone("hana", PrincipalKind::Human, &["staff"]),
    // An agent and programs in an approver's group: it helps neither.
    someone(
        "overlord",
        PrincipalKind::Agent,
        &["ai-agents", "db-admins", "owners"],
    ),
    someone("release", PrincipalKind::Service, &[]),
    someone("cron", PrincipalKind::Service, &["db-admins", "owners"]),
];

const fn someone(
    name: &'static str,
    kind: PrincipalKind,
    groups: &'static [&'static str],
) -> Someone {
    Someone { name, kind, groups }
}

struct Known {
    authenticator: Arc<Authenticator>,
    tokens: HashMap<&'static str, String>,
    principals: HashMap<&'static str, Principal>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let data = tempfile::tempdir().unwrap();
    let at = LoopbackOnly::prove("127.0.0.1:7777".parse().unwrap()).unwrap();
    let issuer = DevIssuer::open(data.path(), at).unwrap();
    let authenticator = Authenticator::new(Vec::new())
        .unwrap()
        .with_local_keys(&issuer)
        .unwrap();
    let (mut tokens, mut principals) = (HashMap::new(), HashMap::new());
    for someone in &SOMEONE {
        let day = Duration::from_secs(24 * 60 * 60);
        let groups = someone.groups.iter().copied();
        let token = issuer
            .mint(someone.name, groups, someone.kind, day)
            .unwrap();
        let bearer = format!("Bearer {token}");
        // The issuer's keys are at hand, so there is nothing to wait for.
        let verified = authenticator.verify(Some(&bearer)).now_or_never().unwrap();
        principals.insert(someone.name, verified.unwrap());
        tokens.insert(someone.name, bearer);
    }
    Known {
        authenticator: Arc::new(authenticator),
        tokens,
        principals,
    }
});

/// Who a token of theirs is.
pub(crate) fn principal(name: &str) -> Principal {
    KNOWN.principals[name].clone()
}

/// Their `Authorization` header.
pub(crate) fn authorization(name: &str) -> &'static str {
    &KNOWN.tokens[name]
}

/// What verifies it.
pub(crate) fn authenticator() -> Arc<Authenticator> {
    Arc::clone(&KNOWN.authenticator)
}
