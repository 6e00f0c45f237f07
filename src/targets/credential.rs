//! What proves to a server who we are: a password that the address holds, or an access token of Microsoft Entra ID in
//! its place, fetched when a connection is made and renewed before it expires.
//!
//! INVARIANT: no password and no token is printed, and a token is sent to nobody whose certificate was not verified:
//! whoever opens an endpoint with [`Password::token`] asks for TLS.

use std::{fmt, sync::Arc};

use super::trust::decoded;
use crate::{domain::connection::Token, identity::Tokens};

pub(super) use crate::identity::NoToken;

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
            Token::Entra => Self::Token(Tokens::of(scope)),
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
            Self::Token(tokens) => Ok(tokens.current().await?.token.secret().into()),
        }
    }
}
