//! Where a PostgreSQL server is and how it is proven to be that server: one URL, read once.
//!
//! INVARIANT: nothing goes over a network unencrypted or to a server whose certificate was not verified. Without TLS
//! only this machine's loopback is reached, whatever the URL says.

use std::{fmt, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};

use crate::{
    domain::connection::Token,
    targets::{
        credential::Password,
        trust::{self, decoded, is_loopback},
    },
};

/// A server, a database and a credential.
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Password,
    pub(super) database: String,
    pub(super) encryption: Encryption,
}

/// How the server is proven to be the server.
pub(in crate::targets) enum Encryption {
    /// Not at all: the connection never leaves this machine, which is checked again once it stands.
    LoopbackOnly,
    /// By a certificate for its host name.
    Verified {
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    },
}

/// The credential is not printed.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "postgres://…@{}:{}/{}",
            self.host, self.port, self.database
        )
    }
}

impl Address {
    /// Reads `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…`. No message repeats the URL.
    /// With a token there is no password in it, and the server has to prove itself, wherever it is.
    pub(super) fn parse(url: &str, token: Option<Token>) -> Result<Self, String> {
        let url = url::Url::parse(url).map_err(|error| {
            format!(
                "its url cannot be read ({error}): write postgres://user:password@host:5432/database, \
                 with special characters of the password percent-encoded"
            )
        })?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err("its url must begin with postgres://".into());
        }
        let host = url
            .host_str()
            .map(|host| host.trim_start_matches('[').trim_end_matches(']'))
            .filter(|host| !host.is_empty())
            .ok_or("its url names no host")?
            .to_owned();
        let user = decoded(url.username(), "user")?;
        if user.is_empty() {
            return Err("its url names no user: the credential is always named".into());
        }
        let password = Password::of_open_source(token, url.password())?;
        let path = decoded(url.path().trim_start_matches('/'), "database")?;
        let database = if path.is_empty() { user.clone() } else { path };

        let mut mode = None;
        let mut root = None;
        for (key, value) in url.query_pairs() {
            match &*key {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => root = Some(value.into_owned()),
                other => {
                    return Err(format!(
                        "its url has the parameter `{}`, which is not known: use sslmode and sslrootcert",
                        other.chars().take(40).collect::<String>()
                    ));
                }
            }
        }
        let encryption = Encryption::choose(&host, token, mode.as_deref(), root.as_deref())?;
        Ok(Self {
            port: url.port().unwrap_or(5432),
            host,
            user,
            password,
            database,
            encryption,
        })
    }
}

impl Encryption {
    /// Every mode that asks for TLS verifies chain and host name: an unverified certificate keeps nobody out.
    pub(in crate::targets) fn choose(
        host: &str,
        token: Option<Token>,
        mode: Option<&str>,
        root: Option<&str>,
    ) -> Result<Self, String> {
        let mode = match (token, mode) {
            (Some(_), Some("disable")) => {
                return Err(
                    "its url says sslmode=disable, and a token is never sent in the clear: leave sslmode out"
                        .into(),
                );
            }
            (Some(_), None | Some("allow" | "prefer")) => Some("verify-full"),
            (_, mode) => mode,
        };
        let loopback = is_loopback(host);
        match mode {
            Some("disable") if !loopback => Err(format!(
                "its url says sslmode=disable, but `{host}` is not this machine's loopback: leave sslmode out, \
                 and name a private authority with sslrootcert=FILE"
            )),
            Some("disable") => Ok(Self::LoopbackOnly),
            None | Some("allow" | "prefer") if loopback && root.is_none() => Ok(Self::LoopbackOnly),
            None | Some("allow" | "prefer" | "require" | "verify-ca" | "verify-full") => {
                Self::verified(host, root)
            }
            Some(_) => Err(
                "its url has an unknown sslmode: use verify-full, or disable for loopback".into(),
            ),
        }
    }

    fn verified(host: &str, root: Option<&str>) -> Result<Self, String> {
        let name = trust::server_name(host)?;
        let config = trust::client_config(root, rustls::ALL_VERSIONS)?;
        Ok(Self::Verified {
            config: Arc::new(config),
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_whole_and_its_credential_is_never_printed() {
        let address =
            Address::parse("postgres://re%40der:p%2Fw%20d@localhost:6000/crm", None).unwrap();
        assert_eq!(
            (
                &*address.user,
                match &address.password {
                    Password::Fixed(password) => &**password,
                    Password::Token(_) => "a token",
                },
                &*address.database,
                address.port
            ),
            ("re@der", "p/w d", "crm", 6000)
        );
        assert_eq!(format!("{address:?}"), "postgres://…@localhost:6000/crm");
        assert_eq!(
            Address::parse("postgres://u@[::1]/", None).unwrap().host,
            "::1"
        );
    }

    #[test]
    fn without_tls_only_loopback_is_reached() {
        let plain = |url: &str| {
            Address::parse(url, None)
                .map(|address| matches!(address.encryption, Encryption::LoopbackOnly))
        };
        assert!(plain("postgres://u:p@127.0.0.1/d").unwrap());
        assert!(plain("postgres://u:p@localhost/d?sslmode=disable").unwrap());
        assert!(plain("postgres://u:p@db.example.com/d?sslmode=disable").is_err());
        assert!(plain("postgres://u:p@127.0.0.1.example.com/d?sslmode=disable").is_err());
        assert!(plain("postgres://u:p@localhost/d?sslmode=off").is_err());
        assert!(plain("postgres://u:p@localhost/d?sslmdoe=disable").is_err());
        assert!(plain("postgres://u:p@localhost/d?sslrootcert=/nonexistent").is_err());
    }

    #[test]
    fn a_token_takes_the_place_of_the_password_and_is_sent_under_tls_alone() {
        let entra = |url: &str| Address::parse(url, Some(Token::Entra));
        let under_tls = |url: &str| {
            entra(url).map(|address| matches!(address.encryption, Encryption::Verified { .. }))
        };
        assert!(under_tls("postgres://u@localhost/d?sslmode=prefer").unwrap());
        assert!(under_tls("postgres://u@localhost/d").unwrap());
        assert!(entra("postgres://u@localhost/d?sslmode=disable").is_err());
        let both = entra("postgres://u:hunter2@localhost/d").unwrap_err();
        assert!(
            both.contains("remove one") && !both.contains("hunter2"),
            "{both}"
        );
    }

    #[test]
    fn no_message_about_a_url_repeats_its_password() {
        for url in [
            "postgres://u:hunter2@/d",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://:hunter2@h/d",
            "postgres://u:hunter2@h/d?sslmode=disable",
            "u:hunter2@h",
        ] {
            let message = Address::parse(url, None).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
