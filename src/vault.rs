//! Azure Key Vault, by its REST API: a key that stays there wraps others, and secrets are read.
//!
//! Four calls, over the HTTP client that is here anyway. `azure_security_keyvault_keys` and `azure_security_keyvault_secrets` would
//! bring two crates of generated code for them, and try again for longer than anyone who waits for an answer has.
//!
//! INVARIANT: a token goes to the configured vault alone. Of what is read elsewhere only the version of a key gets into an address,
//! redirects are not followed, and the token is one for the service that the vault's host name belongs to.
//! INVARIANT: no key and no secret is printed.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::BoxFuture;
use reqwest::{Client, Method, StatusCode, redirect};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, timeout_at};
use url::{Host, Url};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    gateway::keyring::{KeyWrapper, WrapError},
    identity::Tokens,
};

const API_VERSION: &str = "7.4";
/// RSA with OAEP and SHA-256, the only padding that keys of a vault should be asked for.
const ALGORITHM: &str = "RSA-OAEP-256";
/// How long one attempt may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(4);
/// How long a call may take with everything it tries again.
const LIMIT: Duration = Duration::from_secs(10);
/// More than any answer has: a secret is at most 25 kB.
const MAX_ANSWER: usize = 64 * 1024;

/// An address that is no vault's, or no key's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not {1}")]
pub struct BadVault(String, &'static str);

/// Why the vault did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is no such thing in it.
    #[error("{0}")]
    Missing(String),
    /// It will not.
    #[error("{0}")]
    Refused(String),
    /// It did not answer, or may in a moment.
    #[error("{0}")]
    Unavailable(String),
}

impl From<VaultError> for WrapError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Missing(why) | VaultError::Refused(why) => Self::Refused(why),
            VaultError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// A vault. Nothing is sent before it is used.
pub struct Vault {
    /// Scheme, host and port.
    base: Url,
    http: Client,
    tokens: Tokens,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.base)
    }
}

impl Vault {
    /// The vault at an address like `https://NAME.vault.azure.net`.
    pub fn at(address: &str) -> Result<Self, BadVault> {
        let bad = || {
            BadVault(
                address.to_owned(),
                "the address of a vault, such as https://NAME.vault.azure.net",
            )
        };
        let base = Url::parse(address).map_err(|_| bad())?;
        if base.path() != "/" {
            return Err(bad());
        }
        Self::of(base).ok_or_else(bad)
    }

    fn of(base: Url) -> Option<Self> {
        let plain = base.scheme() == "https"
            && base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        let host = base.host().filter(|_| plain)?;
        let tokens = Tokens::of(format!("{}/.default", service(&host)?));
        let http = Client::builder()
            .https_only(true)
            .redirect(redirect::Policy::none())
            .timeout(ATTEMPT_LIMIT);
        let http = if is_loopback(&host) {
            // The name `localhost` is pinned, and no proxy is asked, so that loopback is what it says.
            let loopback = [
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            ];
            http.no_proxy().resolve_to_addrs("localhost", &loopback)
        } else {
            http
        };
        Some(Self {
            http: http.build().ok()?,
            tokens,
            base,
        })
    }

    /// The secret of this name, in its current version; `None`: there is none. A vault has no underscores in its names, a hyphen
    /// stands for one.
    pub async fn secret(&self, name: &str) -> Result<Option<Zeroizing<String>>, VaultError> {
        #[derive(Deserialize)]
        struct Secret {
            value: String,
        }
        let name = name.replace('_', "-");
        if !is_name(&name) {
            return Err(VaultError::Refused(format!(
                "no vault can have a secret of the name {name}"
            )));
        }
        let path = format!("secrets/{name}");
        match self.call::<Secret>(Method::GET, &path, None).await {
            Ok(secret) => Ok(Some(Zeroizing::new(secret.value))),
            Err(VaultError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Operand>,
    ) -> Result<T, VaultError> {
        let deadline = Instant::now() + LIMIT;
        let mut pause = Duration::from_millis(200);
        loop {
            let attempt = self.attempt(method.clone(), path, body);
            let error = match timeout_at(deadline, attempt).await {
                Ok(Err(VaultError::Unavailable(why))) => why,
                Ok(done) => return done,
                Err(_elapsed) => format!("{} does not answer in time", self.base),
            };
            if Instant::now() + pause >= deadline {
                return Err(VaultError::Unavailable(error));
            }
            tracing::debug!(error, "asking the vault again");
            sleep(pause).await;
            pause *= 3;
        }
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Operand>,
    ) -> Result<T, VaultError> {
        let unavailable = |why: &dyn fmt::Display| {
            VaultError::Unavailable(format!("{} cannot be asked: {why}", self.base))
        };
        let token = self.tokens.current().await;
        let token = token.map_err(|error| unavailable(&error))?;
        let url = self.base.join(path).map_err(|error| unavailable(&error))?;
        let mut request = self
            .http
            .request(method, url)
            .query(&[("api-version", API_VERSION)])
            .bearer_auth(token.token.secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut answer = request
            .send()
            .await
            .map_err(|error| unavailable(&reason(&error)))?;
        let status = answer.status();
        let mut bytes = Zeroizing::new(Vec::new());
        while let Some(part) = answer
            .chunk()
            .await
            .map_err(|error| unavailable(&reason(&error)))?
        {
            if bytes.len() + part.len() > MAX_ANSWER {
                return Err(unavailable(&"its answer is too long"));
            }
            bytes.extend_from_slice(&part);
        }
        if status.is_success() {
            // What it says is no business of an error.
            return serde_json::from_slice(&bytes)
                .map_err(|_| unavailable(&"its answer is not that of a vault"));
        }
        let said = Said::of(status, &bytes);
        Err(match status {
            StatusCode::NOT_FOUND => VaultError::Missing(format!("{}{path}: {said}", self.base)),
            // The token is not taken, which is not for ever; or the vault is busy, or unwell.
            StatusCode::UNAUTHORIZED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS => unavailable(&said),
            _ if status.is_server_error() => unavailable(&said),
            _ => VaultError::Refused(format!("{}{path}: {said}", self.base)),
        })
    }
}

/// What a vault says when it does not do something.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    error: SaidError,
    #[serde(skip)]
    status: u16,
}

#[derive(Default, Deserialize)]
struct SaidError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    innererror: Option<InnerError>,
}

#[derive(Deserialize)]
struct InnerError {
    code: String,
}

impl Said {
    fn of(status: StatusCode, body: &[u8]) -> Self {
        Self {
            status: status.as_u16(),
            ..serde_json::from_slice(body).unwrap_or_default()
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SaidError {
            code,
            message,
            innererror,
        } = &self.error;
        write!(f, "{} {code}", self.status)?;
        if let Some(inner) = innererror {
            write!(f, "/{}", inner.code)?;
        }
        let first = message.lines().next().unwrap_or_default();
        if first.is_empty() {
            Ok(())
        } else {
            write!(f, " ({first})")
        }
    }
}

/// What a key is asked to wrap or unwrap, and what it answers.
#[derive(Serialize, Deserialize)]
struct Operand {
    #[serde(default, skip_deserializing)]
    alg: &'static str,
    value: String,
}

impl Drop for Operand {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

/// A key of a vault.
#[derive(Debug)]
pub struct VaultKey {
    vault: Vault,
    name: String,
    /// The only version that wraps, where one is configured.
    version: Option<String>,
}

impl VaultKey {
    /// The key at an address like `https://NAME.vault.azure.net/keys/KEY`. With a version at its end that one wraps what is new;
    /// otherwise it is always the newest.
    pub fn at(address: &str) -> Result<Self, BadVault> {
        let bad = || {
            BadVault(
                address.to_owned(),
                "the address of a key, such as https://NAME.vault.azure.net/keys/KEY",
            )
        };
        let mut url = Url::parse(address).map_err(|_| bad())?;
        let path = url.path().to_owned();
        let mut parts = path.strip_prefix("/keys/").ok_or_else(bad)?.split('/');
        let name = parts.next().filter(|name| is_name(name)).ok_or_else(bad)?;
        let version = match (parts.next(), parts.next()) {
            (None | Some(""), None) => None,
            (Some(version), None) if is_version(version) => Some(version.to_owned()),
            _ => return Err(bad()),
        };
        url.set_path("/");
        Ok(Self {
            vault: Vault::of(url).ok_or_else(bad)?,
            name: name.to_owned(),
            version,
        })
    }

    /// The address of a version.
    fn address(&self, version: &str) -> String {
        format!("{}keys/{}/{version}", self.vault.base, self.name)
    }

    /// Which version of this key an address names.
    fn version<'a>(&self, address: &'a str) -> Result<&'a str, WrapError> {
        let version = address.strip_prefix(&self.address(""));
        version
            .filter(|version| is_version(version))
            .ok_or_else(|| {
                WrapError::Refused(format!(
                    "`{address}` is no version of {}",
                    self.address("").trim_end_matches('/')
                ))
            })
    }

    async fn ask(
        &self,
        what: &str,
        by: &str,
        value: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        let path = format!("keys/{}/{}/{what}", self.name, self.version(by)?);
        let asked = Operand {
            alg: ALGORITHM,
            value: URL_SAFE_NO_PAD.encode(value),
        };
        let answer: Operand = self.vault.call(Method::POST, &path, Some(&asked)).await?;
        let bytes = URL_SAFE_NO_PAD.decode(&answer.value);
        bytes.map(Zeroizing::new).map_err(|_| {
            WrapError::Unavailable(format!(
                "{}{path}: its answer is no base64url",
                self.vault.base
            ))
        })
    }
}

impl KeyWrapper for VaultKey {
    fn newest(&self) -> BoxFuture<'_, Result<String, WrapError>> {
        #[derive(Deserialize)]
        struct Found {
            key: Key,
            attributes: Attributes,
        }
        #[derive(Deserialize)]
        struct Key {
            kid: String,
        }
        #[derive(Deserialize)]
        struct Attributes {
            enabled: bool,
        }
        Box::pin(async move {
            if let Some(version) = &self.version {
                return Ok(self.address(version));
            }
            let path = format!("keys/{}", self.name);
            let found: Found = self.vault.call(Method::GET, &path, None).await?;
            if !found.attributes.enabled {
                return Err(WrapError::Refused(format!(
                    "the newest version of {}{path} is disabled: enable it, or make a newer one",
                    self.vault.base
                )));
            }
            let version = found.key.kid.rsplit('/').next().unwrap_or_default();
            let newest = self.address(version);
            self.version(&newest)?;
            Ok(newest)
        })
    }

    fn wrap<'a>(&'a self, by: &'a str, key: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, WrapError>> {
        Box::pin(async move { Ok(self.ask("wrapkey", by, key).await?.to_vec()) })
    }

    fn unwrap<'a>(
        &'a self,
        by: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, WrapError>> {
        Box::pin(self.ask("unwrapkey", by, wrapped))
    }
}

/// The service that a vault of this name belongs to: its host without the vault's own name. An emulator on loopback is asked as
/// the public cloud.
fn service(host: &Host<&str>) -> Option<String> {
    if is_loopback(host) {
        return Some("https://vault.azure.net".into());
    }
    match host {
        Host::Domain(name) => {
            let (_, service) = name.split_once('.')?;
            service.contains('.').then(|| format!("https://{service}"))
        }
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=127).contains(&text.len()) && text.bytes().all(fits)
}

fn is_version(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// All that an error of the HTTP client says, without the address it repeats.
fn reason(error: &reqwest::Error) -> String {
    let mut said = String::from(if error.is_timeout() {
        "no answer in time"
    } else {
        "no connection"
    });
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        said.push_str(&format!(": {error}"));
        source = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_the_service_that_the_vault_belongs_to() {
        for (address, wanted) in [
            (
                "https://kv.vault.azure.net",
                Some("https://vault.azure.net"),
            ),
            ("https://kv.vault.azure.cn/", Some("https://vault.azure.cn")),
            (
                "https://hsm.managedhsm.azure.net",
                Some("https://managedhsm.azure.net"),
            ),
            ("https://localhost:8443", Some("https://vault.azure.net")),
            ("https://vault", None),
            ("https://evil.example", None),
            ("https://203.0.113.7", None),
        ] {
            let url = Url::parse(address).unwrap();
            assert_eq!(
                service(&url.host().unwrap()).as_deref(),
                wanted,
                "{address}"
            );
        }
        for address in [
            "http://kv.vault.azure.net",
            "https://user@kv.vault.azure.net",
            "https://kv.vault.azure.net/secrets",
            "https://kv.vault.azure.net/?a=b",
            "kv",
        ] {
            let told = Vault::at(address).unwrap_err().to_string();
            assert!(told.contains("https://NAME.vault.azure.net"), "{told}");
        }
    }

    #[test]
    fn only_a_version_of_the_configured_key_is_ever_asked() {
        let key = VaultKey::at("https://kv.vault.azure.net/keys/sealing").unwrap();
        let version = "0123456789abcdef0123456789abcdef";
        let good = format!("https://kv.vault.azure.net/keys/sealing/{version}");
        assert_eq!(key.version(&good), Ok(version));
        assert_eq!(
            VaultKey::at(&good).unwrap().version.as_deref(),
            Some(version)
        );
        for bad in [
            format!("https://kv.vault.azure.net.evil.example/keys/sealing/{version}"),
            format!("https://other.vault.azure.net/keys/sealing/{version}"),
            format!("https://kv.vault.azure.net/keys/other/{version}"),
            format!("https://kv.vault.azure.net/keys/sealing/../other/{version}"),
            "https://kv.vault.azure.net/keys/sealing/".into(),
        ] {
            assert!(
                matches!(key.version(&bad), Err(WrapError::Refused(_))),
                "{bad}"
            );
        }
        for bad in [
            "https://kv.vault.azure.net/",
            "https://kv.vault.azure.net/keys/",
            "https://kv.vault.azure.net/keys/a_b",
            "https://kv.vault.azure.net/keys/sealing/newest",
            "https://kv.vault.azure.net/secrets/sealing",
        ] {
            assert!(VaultKey::at(bad).is_err(), "{bad}");
        }
    }
}
