//! Where a SQL Server is, how it is proven to be that server and as whom it is spoken to: one URL, read once.
//!
//! INVARIANT: nothing goes over a network unencrypted or to a server whose certificate was not verified. Without TLS
//! only this machine's loopback is reached, and only where the URL says `encrypt=off`.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig,
    client::Resumption,
    version::{TLS12, TLS13},
};

use crate::{
    domain::connection::Token,
    targets::{
        credential::{AZURE_SQL, Password},
        trust::{self, decoded, is_loopback},
    },
};

/// A server, a database and a credential.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    /// Empty where a token says itself whose it is.
    pub(super) user: String,
    pub(super) password: Arc<Password>,
    pub(super) database: String,
    pub(super) encryption: Encryption,
}

/// How the server is proven to be the server.
#[derive(Clone)]
pub(super) enum Encryption {
    /// Not at all: the connection never leaves this machine, which is checked again once it stands.
    LoopbackOnly,
    /// By its certificate, in a handshake carried inside TDS packets (TDS 7.4).
    Inside(Arc<ClientConfig>),
    /// By its certificate, before the first TDS packet (TDS 8.0).
    Strict(Arc<ClientConfig>),
}

/// The credential is not printed.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mssql://…@{}:{}/{}", self.host, self.port, self.database)
    }
}

impl Address {
    /// Reads `mssql://user:password@host:port/database?encrypt=…&sslrootcert=…`. No message repeats the URL. With a token
    /// there is no user in it, and the server has to prove itself, wherever it is.
    pub(super) fn parse(url: &str, token: Option<Token>) -> Result<Self, String> {
        let url = url::Url::parse(url).map_err(|error| {
            format!(
                "its url cannot be read ({error}): write mssql://user:password@host:1433/database, \
                 with special characters of the password percent-encoded"
            )
        })?;
        if !matches!(url.scheme(), "mssql" | "sqlserver") {
            return Err("its url must begin with mssql://".into());
        }
        let host = url
            .host_str()
            .map(|host| host.trim_start_matches('[').trim_end_matches(']'))
            .filter(|host| !host.is_empty())
            .ok_or("its url names no host")?
            .to_owned();
        let database = decoded(url.path().trim_start_matches('/'), "database")?;
        if database.is_empty() {
            return Err("its url names no database: write it behind the host, as in mssql://user:password@host/database".into());
        }
        let (mut encrypt, mut root) = (None, None);
        for (key, value) in url.query_pairs() {
            match &*key {
                "encrypt" => encrypt = Some(value.into_owned()),
                "sslrootcert" => root = Some(value.into_owned()),
                other => {
                    return Err(format!(
                        "its url has the parameter `{}`, which is not known: use encrypt and sslrootcert",
                        other.chars().take(40).collect::<String>()
                    ));
                }
            }
        }
        let user = decoded(url.username(), "user")?;
        let password = match (token, url.password()) {
            (Some(_), password) if password.is_some() || !user.is_empty() => {
                return Err("its url has a user or a password, and it has a token, which says itself whose it is: remove one of them".into());
            }
            (Some(token), _) => Password::token(token, AZURE_SQL),
            (None, _) if user.is_empty() => {
                return Err("its url names no user: the credential is always named".into());
            }
            (None, password) => {
                let password = decoded(password.unwrap_or_default(), "password")?;
                // The protocol counts them in 128 characters, and a server reads what is longer as cut off.
                if user.chars().count() > 128 || password.chars().count() > 128 {
                    return Err("its user and password can have 128 characters each".into());
                }
                Password::Fixed(password.into())
            }
        };
        if token.is_some() && encrypt.as_deref() == Some("off") {
            return Err("its url says encrypt=off, and a token is never sent in the clear: leave encrypt out".into());
        }
        let encryption = Encryption::choose(&host, encrypt.as_deref(), root.as_deref())?;
        Ok(Self {
            port: url.port().unwrap_or(1433),
            host,
            user,
            password: Arc::new(password),
            database,
            encryption,
        })
    }

    /// The same database on the server this one refers to. Its certificate must be for its own name.
    pub(super) fn routed(&self, host: String, port: u16) -> Self {
        Self {
            host,
            port,
            ..self.clone()
        }
    }
}

impl Encryption {
    fn choose(host: &str, mode: Option<&str>, root: Option<&str>) -> Result<Self, String> {
        trust::server_name(host)?;
        match mode {
            Some("off") if is_loopback(host) && root.is_none() => Ok(Self::LoopbackOnly),
            Some("off") => Err(format!(
                "its url says encrypt=off, but `{host}` is not this machine's loopback or sslrootcert is set: leave \
                 encrypt out, and name a private authority with sslrootcert=FILE"
            )),
            // TLS 1.3 says things after its handshake, when packets do not carry it any more.
            None | Some("on") => {
                let mut config = trust::client_config(root, &[&TLS12])?;
                // A resumed handshake ends with the client's word instead of the server's, so whether the server still
                // looks for it in a packet would be anybody's guess.
                config.resumption = Resumption::disabled();
                Ok(Self::Inside(Arc::new(config)))
            }
            Some("strict") => {
                let mut config = trust::client_config(root, &[&TLS13, &TLS12])?;
                config.alpn_protocols = vec![b"tds/8.0".to_vec()];
                Ok(Self::Strict(Arc::new(config)))
            }
            Some(_) => {
                Err("its url has an unknown encrypt: use on, strict, or off for loopback".into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_whole_and_its_credential_is_never_printed() {
        let url = "mssql://re%40der:p%2Fw%20d@localhost:6000/crm?encrypt=off";
        let address = Address::parse(url, None).unwrap();
        assert_eq!(
            (&*address.user, &*address.database, address.port),
            ("re@der", "crm", 6000)
        );
        assert!(matches!(&*address.password, Password::Fixed(password) if &**password == "p/w d"));
        assert_eq!(format!("{address:?}"), "mssql://…@localhost:6000/crm");
        let loopback = Address::parse("mssql://u@[::1]/crm?encrypt=off", None);
        assert_eq!(loopback.unwrap().host, "::1");
    }

    #[test]
    fn a_token_takes_the_place_of_user_and_password_and_is_sent_under_tls_alone() {
        let entra = |url: &str| Address::parse(url, Some(Token::Entra));
        let address = entra("mssql://localhost/crm").unwrap();
        assert!(matches!(&*address.password, Password::Token(_)));
        assert!(matches!(address.encryption, Encryption::Inside(_)));
        for url in [
            "mssql://localhost/crm?encrypt=off",
            "mssql://u:hunter2@localhost/crm",
            "mssql://:hunter2@localhost/crm",
            "mssql://u@localhost/crm",
        ] {
            let refused = entra(url).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn without_tls_only_loopback_is_reached_and_only_where_the_url_says_so() {
        let plain = |url: &str| {
            Address::parse(url, None)
                .map(|address| matches!(address.encryption, Encryption::LoopbackOnly))
        };
        assert!(plain("mssql://u:p@127.0.0.1/d?encrypt=off").unwrap());
        assert!(plain("mssql://u:p@localhost/d?encrypt=off").unwrap());
        for url in [
            "mssql://u:p@db.example.com/d?encrypt=off",
            "mssql://u:p@127.0.0.1.example.com/d?encrypt=off",
            "mssql://u:p@localhost/d?encrypt=false",
            "mssql://u:p@localhost/d?trustservercertificate=true",
            "mssql://u:p@localhost/d?sslrootcert=/nonexistent",
        ] {
            assert!(plain(url).is_err(), "{url}");
        }
        // A machine without authorities refuses, which is no plain text either.
        for url in [
            "mssql://u:p@localhost/d",
            "mssql://u:p@localhost/d?encrypt=strict",
        ] {
            assert_ne!(plain(url), Ok(true), "{url}");
        }
    }

    #[test]
    fn no_message_about_a_url_repeats_its_password() {
        for url in [
            "mssql://u:hunter2@/d",
            "mssql://u:hunter2@h",
            "postgres://u:hunter2@h/d",
            "mssql://u:hunter2@h:port/d",
            "mssql://:hunter2@h/d",
            "mssql://u:hunter2@h/d?encrypt=off",
            "mssql://u:hunter2@h/d?encrypt=hunter2",
            "u:hunter2@h",
        ] {
            let message = Address::parse(url, None).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
