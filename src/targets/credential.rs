//! What proves to a server who we are: a password that the address holds, or an access token of Microsoft Entra ID in
//! its place, fetched when a connection is made and renewed before it expires.
//!
//! INVARIANT: no password and no token is printed, and a token is sent to nobody whose certificate was not verified:
//! whoever opens an endpoint with [`Password::token`] asks for TLS.

use std::{fmt, sync::Arc, time::Duration};

use azure_core::{
    credentials::{AccessToken, TokenCredential},
    time::OffsetDateTime,
};
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential,
};
use tokio::sync::Mutex;

use super::trust::decoded;
use crate::domain::connection::Token;

/// How long a token may take to come. An identity endpoint is near, or not there.
const PATIENCE: Duration = Duration::from_secs(8);

/// What Azure Database for PostgreSQL and MySQL take a token for.
const OPEN_SOURCE_DATABASES: &str = "https://ossrdbms-aad.database.windows.net/.default";

/// What Azure SQL takes a token for.
pub(super) const AZURE_SQL: &str = "https://database.windows.net/.default";

/// The password of one endpoint.
pub(super) enum Password {
    /// It never changes.
    Fixed(Arc<str>),
    /// It is whatever token is good now.
    Token(Tokens),
}

/// The tokens of one endpoint, one after another.
pub(super) struct Tokens {
    scope: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Made when the first token is wanted: that reads the environment.
    credential: Option<Arc<dyn TokenCredential>>,
    /// The last token that came.
    last: Option<AccessToken>,
}

/// There is no password to be had. What the identity endpoint said is in the log: it is not for callers.
#[derive(Debug, thiserror::Error)]
#[error(
    "no Entra access token could be had for this connection: check the app's managed identity (AZURE_CLIENT_ID for a \
     user-assigned one), and the gateway's log"
)]
pub(super) struct NoToken;

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed(_) => "Password(…)",
            Self::Token(_) => "Password(token)",
        })
    }
}

impl Password {
    /// A token for the service of `scope`.
    pub(super) fn token(token: Token, scope: &'static str) -> Self {
        match token {
            Token::Entra => Self::Token(Tokens {
                scope,
                state: Mutex::default(),
            }),
        }
    }

    /// What a url of PostgreSQL or MySQL says: its password as it is written there, or a token in its place.
    pub(super) fn of_open_source(
        token: Option<Token>,
        written: Option<&str>,
    ) -> Result<Self, String> {
        match (token, written) {
            (Some(_), Some(_)) => {
                Err("its url has a password, and it has a token: remove one of them".into())
            }
            (Some(token), None) => Ok(Self::token(token, OPEN_SOURCE_DATABASES)),
            (None, written) => {
                let password = decoded(written.unwrap_or_default(), "password")?;
                Ok(Self::Fixed(password.into()))
            }
        }
    }

    /// What to log in with now.
    pub(super) async fn current(&self) -> Result<Arc<str>, NoToken> {
        match self {
            Self::Fixed(password) => Ok(password.clone()),
            Self::Token(tokens) => tokens.current().await,
        }
    }
}

impl Tokens {
    /// One caller at a time asks, and the others find what came. The credential keeps a token until five minutes before it
    /// expires; one that cannot be renewed then is used until it does.
    async fn current(&self) -> Result<Arc<str>, NoToken> {
        let fetched = tokio::time::timeout(PATIENCE, async {
            let mut state = self.state.lock().await;
            let credential = match &state.credential {
                Some(credential) => credential.clone(),
                None => state.credential.insert(credential()?).clone(),
            };
            let scopes = [self.scope];
            let renewed = tokio::time::timeout(PATIENCE / 2, credential.get_token(&scopes, None));
            match renewed.await {
                Ok(Ok(token)) => state.last = Some(token),
                Ok(Err(error)) => tracing::warn!(%error, scope = self.scope, "no access token"),
                Err(_elapsed) => tracing::warn!(scope = self.scope, "no access token in time"),
            }
            let now = OffsetDateTime::now_utc();
            state.last.take_if(|token| token.expires_on <= now);
            let token = state.last.as_ref().ok_or(NoToken)?;
            Ok(token.token.secret().into())
        });
        fetched.await.unwrap_or(Err(NoToken))
    }
}

/// Who this process is, by the environment that Azure gives it: a pod's workload identity, the tools a developer is signed
/// in with where `AZURE_TOKEN_CREDENTIALS` is `dev`, and otherwise the managed identity of the app or machine.
fn credential() -> Result<Arc<dyn TokenCredential>, NoToken> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let made: azure_core::Result<Arc<dyn TokenCredential>> =
        if set("AZURE_FEDERATED_TOKEN_FILE").is_some() {
            WorkloadIdentityCredential::new(None).map(|made| made as _)
        } else if set("AZURE_TOKEN_CREDENTIALS").as_deref() == Some("dev") {
            DeveloperToolsCredential::new(None).map(|made| made as _)
        } else {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: set("AZURE_CLIENT_ID").map(UserAssignedId::ClientId),
                ..Default::default()
            };
            ManagedIdentityCredential::new(Some(options)).map(|made| made as _)
        };
    made.map_err(|error| {
        tracing::error!(%error, "there is no identity to ask access tokens for");
        NoToken
    })
}
