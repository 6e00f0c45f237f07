//! Where a broker is, and how to log in there.

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use percent_encoding::percent_decode_str;
use rustls::{ClientConfig, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use url::Url;
use zeroize::Zeroizing;

use crate::identity::Tokens;

/// What Azure Service Bus takes a token for.
const SERVICE_BUS: &str = "https://servicebus.azure.net/.default";

/// A broker.
///
/// `amqps://NAMESPACE.servicebus.windows.net`: an access token of this process's own identity, renewed on the connection.
/// `amqps://USER:PASSWORD@HOST`: a password, for RabbitMQ and its like.
///
/// INVARIANT: neither password nor token is printed, or sent to anyone whose certificate was not verified: `amqp://` is for
/// this machine's loopback alone, and never with a token.
pub struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    /// What the server's certificate must be for; `None`: loopback, in the clear.
    pub(super) tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    pub(super) login: Login,
}

pub(super) enum Login {
    /// SASL PLAIN.
    Password {
        user: String,
        password: Zeroizing<String>,
    },
    /// SASL ANONYMOUS, then a token for each queue (claims-based security).
    Token(Tokens),
}

/// An address that is none. Shows nothing of it: there may be a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address of the message broker {0}; it looks like amqps://NAMESPACE.servicebus.windows.net, or like \
     amqps://USER:PASSWORD@HOST for RabbitMQ"
)]
pub struct BadAddress(&'static str);

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}:{})", self.host, self.port)
    }
}

impl Address {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let url = Url::parse(text.trim()).map_err(|_| BadAddress("cannot be read"))?;
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(BadAddress("names no host"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(BadAddress("has more in it than a host"));
        }
        let login = match (url.username(), url.password()) {
            ("", None) => Login::Token(Tokens::of(SERVICE_BUS)),
            (user, Some(password)) => Login::Password {
                user: decoded(user).ok_or(BadAddress("has a user name that cannot be read"))?,
                password: decoded(password)
                    .ok_or(BadAddress("has a password that cannot be read"))?
                    .into(),
            },
            (_, None) => return Err(BadAddress("has a user without a password")),
        };
        let (tls, port) = match (url.scheme(), &login) {
            ("amqps", _) => (Some(verified(&host)?), 5671),
            ("amqp", Login::Token(_)) => {
                return Err(BadAddress("would send a token in the clear"));
            }
            ("amqp", Login::Password { .. }) if is_loopback(&host) => (None, 5672),
            ("amqp", Login::Password { .. }) => {
                return Err(BadAddress(
                    "would send a password in the clear to another machine",
                ));
            }
            _ => return Err(BadAddress("is neither amqps:// nor amqp://")),
        };
        Ok(Self {
            port: url.port().unwrap_or(port),
            host,
            tls,
            login,
        })
    }

    /// Whether it is Azure Service Bus, by the way one logs in.
    pub(super) fn is_service_bus(&self) -> bool {
        matches!(self.login, Login::Token(_))
    }

    /// What a token for `queue` is asked for.
    pub(super) fn audience(&self, queue: &str) -> String {
        format!("amqps://{}/{queue}", self.host)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback())
}

fn verified(host: &str) -> Result<(ServerName<'static>, Arc<ClientConfig>), BadAddress> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| BadAddress("has a host that no certificate can be for"))?;
    let unusable = BadAddress(
        "needs TLS, and this machine's certificate authorities cannot be loaded: install them, or set SSL_CERT_FILE",
    );
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(|_| unusable)?
        .with_no_client_auth();
    Ok((name, Arc::new(config)))
}

fn decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_password_nor_a_token_leaves_this_machine_in_the_clear() {
        for refused in [
            "amqp://bus.servicebus.windows.net",
            "amqp://localhost",
            "amqp://user:secret@rabbitmq:5672",
            "amqp://user:secret@10.0.0.1",
        ] {
            let error = Address::parse(refused).unwrap_err().to_string();
            assert!(error.contains("in the clear"), "{refused}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let local = Address::parse("amqp://user:p%40ss@127.0.0.1:5673").unwrap();
        assert_eq!(format!("{local:?}"), "Address(127.0.0.1:5673)");
        let Login::Password { user, password } = local.login else {
            panic!("a token")
        };
        assert_eq!((user.as_str(), password.as_str()), ("user", "p@ss"));
        let azure = Address::parse("amqps://bus.servicebus.windows.net").unwrap();
        assert!(azure.is_service_bus() && azure.tls.is_some());
        assert_eq!(azure.port, 5671);
        assert_eq!(
            azure.audience(super::super::REQUESTS),
            "amqps://bus.servicebus.windows.net/approval-requests"
        );
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_showing_it() {
        for wrong in [
            "",
            "bus.servicebus.windows.net",
            "sb://bus.servicebus.windows.net",
            "amqps://user@host",
            "amqps://user:secret@host/queue",
            "amqps://user:secret@host?x=secret",
            "Endpoint=sb://x;SharedAccessKey=secret",
        ] {
            let error = Address::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
