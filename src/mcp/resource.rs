//! Where this is from outside, and where a client gets a token for it: protected resource metadata (RFC 9728) and the
//! challenge that leads there.
//!
//! Microsoft Entra ID registers no clients by itself, so nothing here offers that: a client brings an id that was registered,
//! reads the issuer and the scopes here, and asks for a token. Entra takes the `resource` of that question only if it is,
//! to the letter, the identifier (App ID URI) of the registered application: register the address in `resource`, without
//! a slash at its end, and the scopes under it.

use axum::{
    http::{HeaderValue, header},
    response::Response,
};
use serde_json::{Value, json};
use url::Url;

use super::PATH;

/// Paths of the metadata: for the host, and for the resource at [`PATH`].
pub(super) const DOCUMENTS: [&str; 2] = [
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
];

/// Where the gateway is found from outside, and what a token for it is asked for with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    url: Url,
    /// Without a slash at its end.
    address: String,
    scopes: Vec<String>,
}

/// An address that cannot be one of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSite {
    /// Not `https://HOST` or `https://HOST:PORT`.
    #[error(
        "`{0}` must be https:// and a host, with nothing after it (http:// on loopback only), such as https://portcullis.example.com"
    )]
    Address(String),
    /// A quote or a space in a scope would end it early.
    #[error("`{0}` is no scope: use visible ASCII without quotes and backslashes")]
    Scope(String),
}

impl Site {
    /// The gateway at `address`, for which tokens with `scopes` are asked; none: the issuer knows by itself.
    pub fn new(address: &str, scopes: &[String]) -> Result<Self, BadSite> {
        let bad = || BadSite::Address(address.to_owned());
        let url = Url::parse(address).map_err(|_| bad())?;
        let plain = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.host_str().is_some_and(|host| !host.is_empty());
        if !plain || !(url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url)) {
            return Err(bad());
        }
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if let Some(bad) = scopes.iter().find(|scope| !scope.bytes().all(visible)) {
            return Err(BadSite::Scope(bad.clone()));
        }
        Ok(Self {
            address: url.as_str().trim_end_matches('/').to_owned(),
            url,
            scopes: scopes.to_vec(),
        })
    }

    /// Without a slash at its end.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Hosts that a request may name: its own; and this machine, which is what a proxy beside the gateway says, such as the
    /// Functions host.
    pub(super) fn hosts(&self) -> Vec<String> {
        let own = self.url.host_str().unwrap_or_default();
        [own, "localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .to_vec()
    }

    /// Origins whose pages may ask: its own. For a gateway on this machine, pages of this machine.
    pub(super) fn origins(&self) -> Vec<String> {
        if is_loopback(&self.url) {
            ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"]
                .map(str::to_owned)
                .to_vec()
        } else {
            let host = self.url.host_str().unwrap_or_default();
            let port = self.url.port_or_known_default().unwrap_or(443);
            vec![format!("https://{host}:{port}")]
        }
    }

    /// The metadata: who issues tokens for this, and how they are asked for.
    pub(super) fn document(&self, issuers: &[String]) -> Value {
        let mut document = json!({
            "resource": format!("{}{PATH}", self.address),
            "resource_name": "Portcullis",
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
        });
        if !self.scopes.is_empty() {
            document["scopes_supported"] = json!(self.scopes);
        }
        document
    }

    /// An answer that there is no valid token, with where to get one.
    pub(super) fn challenge(&self, mut answer: Response) -> Response {
        let Some(challenge) = answer.headers_mut().get_mut(header::WWW_AUTHENTICATE) else {
            return answer;
        };
        let said = challenge.to_str().unwrap_or("Bearer");
        let comma = if said == "Bearer" { "" } else { "," };
        let [_, document] = DOCUMENTS;
        let mut all = format!(
            "{said}{comma} resource_metadata=\"{}{document}\"",
            self.address
        );
        if !self.scopes.is_empty() {
            all.push_str(&format!(", scope=\"{}\"", self.scopes.join(" ")));
        }
        if let Ok(all) = HeaderValue::from_str(&all) {
            *challenge = all;
        }
        answer
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_at_a_host_and_over_tls() {
        let site = |address| Site::new(address, &[]);
        let address = |address| site(address).map(|site| site.address);
        let found = address("https://gate.example.com");
        assert_eq!(found.unwrap(), "https://gate.example.com");
        assert_eq!(
            address("http://127.0.0.1:7171/").unwrap(),
            "http://127.0.0.1:7171"
        );
        for wrong in [
            "gate.example.com",
            "http://gate.example.com",
            "https://gate.example.com/mcp",
            "https://gate.example.com?x",
            "https://me@gate.example.com",
            "ftp://127.0.0.1",
        ] {
            assert!(site(wrong).is_err(), "{wrong}");
        }
        let scopes = ["a b".to_owned()];
        assert!(Site::new("https://gate.example.com", &scopes).is_err());
    }

    #[test]
    fn pages_of_this_machine_may_ask_only_a_gateway_of_this_machine() {
        let origins = |address| Site::new(address, &[]).unwrap().origins();
        assert_eq!(
            origins("https://gate.example.com"),
            ["https://gate.example.com:443"]
        );
        assert_eq!(
            origins("https://gate.example.com:8443"),
            ["https://gate.example.com:8443"]
        );
        assert!(origins("http://localhost:7171").contains(&"http://localhost:*".to_owned()));
    }
}
