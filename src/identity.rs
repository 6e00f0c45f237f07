//! Who this process is to Azure, and the access tokens it gets for that: nobody hands it a key.
//!
//! INVARIANT: no token is printed.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use azure_core::{
    credentials::{AccessToken, TokenCredential},
    time::OffsetDateTime,
};
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential,
};
use tokio::sync::Mutex;

/// How long a token may take to come. An identity endpoint is near, or not there.
const PATIENCE: Duration = Duration::from_secs(8);

/// The tokens for one service, one after another.
pub struct Tokens {
    scope: Cow<'static, str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Made when the first token is wanted: that reads the environment.
    credential: Option<Arc<dyn TokenCredential>>,
    /// The last token that came.
    last: Option<AccessToken>,
}

/// There is no token to be had. What the identity endpoint said is in the log: it is not for callers.
#[derive(Debug, thiserror::Error)]
#[error(
    "no Entra access token could be had for this connection: check the app's managed identity (AZURE_CLIENT_ID for a \
     user-assigned one), and the gateway's log"
)]
pub struct NoToken;

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.scope)
    }
}

impl Tokens {
    /// For the service of `scope`, such as `https://vault.azure.net/.default`.
    pub fn of(scope: impl Into<Cow<'static, str>>) -> Self {
        Self {
            scope: scope.into(),
            state: Mutex::default(),
        }
    }

    /// One that is good now. One caller at a time asks, and the others find what came. The credential keeps a token until
    /// five minutes before it expires; one that cannot be renewed then is used until it does.
    pub async fn current(&self) -> Result<AccessToken, NoToken> {
        let fetched = tokio::time::timeout(PATIENCE, async {
            let mut state = self.state.lock().await;
            let credential = match &state.credential {
                Some(credential) => credential.clone(),
                None => state.credential.insert(credential()?).clone(),
            };
            let scope = &*self.scope;
            let scopes = [scope];
            let renewed = tokio::time::timeout(PATIENCE / 2, credential.get_token(&scopes, None));
            match renewed.await {
                Ok(Ok(token)) => state.last = Some(token),
                Ok(Err(error)) => tracing::warn!(%error, scope, "no access token"),
                Err(_elapsed) => tracing::warn!(scope, "no access token in time"),
            }
            let now = OffsetDateTime::now_utc();
            state.last.take_if(|token| token.expires_on <= now);
            state.last.clone().ok_or(NoToken)
        });
        fetched.await.unwrap_or(Err(NoToken))
    }
}

/// Who this process is, by the environment that Azure gives it: a pod's workload identity, the tools a developer is signed
/// in with where `AZURE_TOKEN_CREDENTIALS` is `dev`, and otherwise the managed identity of the app or machine.
pub fn credential() -> Result<Arc<dyn TokenCredential>, NoToken> {
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
