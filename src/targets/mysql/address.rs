//! Where a MySQL or MariaDB server is and how it is proven to be that server: one URL, read once.
//!
//! INVARIANT: nothing goes over a network unencrypted or to a server whose certificate was not verified. Without TLS
//! only this machine's loopback is reached, whatever the URL says.

use std::fmt;

use crate::{
    domain::connection::Token,
    targets::{credential::Password, postgres::Encryption, trust::decoded},
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

/// The credential is not printed.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mysql://…@{}:{}/{}", self.host, self.port, self.database)
    }
}

impl Address {
    /// Reads `mysql://user:password@host:port/database?sslmode=…&sslrootcert=…`, with the meanings PostgreSQL's
    /// addresses have. No message repeats the URL.
    pub(super) fn parse(url: &str, token: Option<Token>) -> Result<Self, String> {
        let url = url::Url::parse(url).map_err(|error| {
            format!(
                "its url cannot be read ({error}): write mysql://user:password@host:3306/database, \
                 with special characters of the password percent-encoded"
            )
        })?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err("its url must begin with mysql://".into());
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
        let database = decoded(url.path().trim_start_matches('/'), "database")?;
        if database.is_empty() {
            return Err(
                "its url names no database, and unqualified names would mean nothing: write mysql://user:password@host/database"
                    .into(),
            );
        }
        let (mut mode, mut root) = (None, None);
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
            port: url.port().unwrap_or(3306),
            host,
            user,
            password,
            database,
            encryption,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_whole_and_its_credential_is_never_printed() {
        let address = Address::parse("mysql://re%40der:p%2Fw%20d@localhost/crm", None).unwrap();
        assert!(matches!(&address.password, Password::Fixed(password) if &**password == "p/w d"));
        assert_eq!(
            (&*address.user, &*address.database, address.port),
            ("re@der", "crm", 3306)
        );
        assert_eq!(format!("{address:?}"), "mysql://…@localhost:3306/crm");
    }

    #[test]
    fn a_token_takes_the_place_of_the_password_and_is_sent_under_tls_alone() {
        let entra = |url: &str| Address::parse(url, Some(Token::Entra));
        let address = entra("mysql://app@localhost/d").unwrap();
        assert!(matches!(address.password, Password::Token(_)));
        assert!(matches!(address.encryption, Encryption::Verified { .. }));
        assert!(entra("mysql://app@localhost/d?sslmode=disable").is_err());
        assert!(entra("mysql://app:hunter2@localhost/d").is_err());
    }

    #[test]
    fn without_tls_only_loopback_is_reached_and_no_message_repeats_a_password() {
        let plain = |url: &str| {
            Address::parse(url, None)
                .map(|address| matches!(address.encryption, Encryption::LoopbackOnly))
        };
        assert_eq!(plain("mysql://u:p@127.0.0.1/d"), Ok(true));
        assert_eq!(plain("mariadb://u:p@localhost/d?sslmode=disable"), Ok(true));
        for url in [
            "mysql://u:hunter2@db.example.com/d?sslmode=disable",
            "mysql://u:hunter2@127.0.0.1.example.com/d?sslmode=disable",
            "mysql://u:hunter2@localhost/d?sslmode=off",
            "mysql://u:hunter2@localhost/",
            "mysql://u:hunter2@localhost/d?local_infile=1",
            "mysql://:hunter2@h/d",
            "postgres://u:hunter2@h/d",
        ] {
            let message = Address::parse(url, None).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
