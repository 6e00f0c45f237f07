//! The issuer of `portcullis dev`: real tokens, really signed, believed on this machine alone.
//!
//! It owns one ES256 key in the data folder, readable by its owner only. Whoever can read that file can be anybody to the
//! `dev` gateway, so there is no such issuer without a [`LoopbackOnly`], and `serve`, which listens for others, makes
//! none. `portcullis dev token` runs in another process and mints with the same file.
//!
//! | file | holds |
//! |---|---|
//! | `dev-issuer.key` | the private key, PKCS#8, mode 0600 |
//! | `dev-issuer.address` | where the gateway of this folder last listened: the issuer's address is made of it |

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::{
    digest, rand,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::domain::{
    policy::{AgentRules, Issuer},
    principal::PrincipalKind,
};

/// Where the gateway serves the issuer, below its own address.
pub const ISSUER_PATH: &str = "/dev-issuer";
/// The path of [`DevIssuer::discovery`].
pub const DISCOVERY_PATH: &str = "/dev-issuer/.well-known/openid-configuration";
/// The path of [`DevIssuer::jwks`].
pub const JWKS_PATH: &str = "/dev-issuer/jwks";
/// The app role that makes a token of this issuer an agent's.
pub const AGENT_ROLE: &str = "Agent";
/// No token of this issuer lives longer.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

const AUDIENCE: &str = "portcullis-dev";
const CLIENT_OF_PEOPLE: &str = "portcullis-dev-token";
const KEY_FILE: &str = "dev-issuer.key";
const ADDRESS_FILE: &str = "dev-issuer.address";
const MAX_NAME_BYTES: usize = 64;

/// Proof that a gateway can be reached from its own machine only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopbackOnly(SocketAddr);

impl LoopbackOnly {
    /// The proof, if `address`, which the gateway listens on, is one of the loopback interface.
    pub fn prove(address: SocketAddr) -> Result<Self, DevIssuerError> {
        if address.ip().is_loopback() && address.port() != 0 {
            return Ok(Self(address));
        }
        Err(DevIssuerError::NotLoopback(address))
    }
}

/// Why there is no local issuer, or no token of it.
#[derive(Debug, thiserror::Error)]
pub enum DevIssuerError {
    /// Anybody could ask it for a token.
    #[error(
        "`{0}` is not a loopback address with a port: the local token issuer works on 127.0.0.1 or [::1] only"
    )]
    NotLoopback(SocketAddr),
    /// No gateway was started with this folder.
    #[error("no local issuer in `{0}`: start `portcullis dev` with this --data folder first")]
    Absent(PathBuf),
    /// Others can be anybody, too.
    #[error("`{0}` can be read by others: `chmod 600` it, or delete it to get a new one")]
    Exposed(PathBuf),
    /// Not what was written there.
    #[error("`{0}` is damaged: delete it to get a new one")]
    Damaged(PathBuf),
    /// The folder cannot be read or written.
    #[error("cannot use `{0}`")]
    Io(PathBuf, #[source] io::Error),
    /// A name that could be taken for something else.
    #[error(
        "`{}` cannot be a name or group: 1 to 64 printable ASCII characters without spaces, quotes and `#`",
        .0.escape_debug()
    )]
    Name(String),
    /// Key generation or signing failed.
    #[error("the local issuer cannot {0}")]
    Crypto(&'static str),
}

/// Issues tokens to whoever may read its key file.
pub struct DevIssuer {
    at: LoopbackOnly,
    key: EncodingKey,
    jwk: Value,
    key_id: String,
}

impl DevIssuer {
    /// For the gateway that listens there: the issuer of this data folder, with a new key if it has none.
    pub fn open(data: &Path, at: LoopbackOnly) -> Result<Self, DevIssuerError> {
        let key_file = data.join(KEY_FILE);
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| DevIssuerError::Io(path, error)
        };
        fs::create_dir_all(data).map_err(io(data))?;
        if !key_file.try_exists().map_err(io(&key_file))? {
            let generated = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .and_then(|key| key.to_pkcs8v1())
                .map_err(|_| DevIssuerError::Crypto("generate a key"))?;
            write_private(&key_file, generated.as_ref()).map_err(io(&key_file))?;
        }
        let issuer = Self::load(&key_file, at)?;
        let address_file = data.join(ADDRESS_FILE);
        write_private(&address_file, at.0.to_string().as_bytes()).map_err(io(&address_file))?;
        Ok(issuer)
    }

    /// For another process: the issuer of the gateway that was last started with this data folder.
    pub fn of_running(data: &Path) -> Result<Self, DevIssuerError> {
        let address_file = data.join(ADDRESS_FILE);
        let address = match fs::read_to_string(&address_file) {
            Ok(address) => address,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DevIssuerError::Absent(data.to_owned()));
            }
            Err(error) => return Err(DevIssuerError::Io(address_file, error)),
        };
        let address = address
            .trim()
            .parse()
            .map_err(|_| DevIssuerError::Damaged(address_file))?;
        Self::load(&data.join(KEY_FILE), LoopbackOnly::prove(address)?)
    }

    fn load(key_file: &Path, at: LoopbackOnly) -> Result<Self, DevIssuerError> {
        let pkcs8 = read_private(key_file)?;
        let damaged = || DevIssuerError::Damaged(key_file.to_owned());
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| damaged())?;
        // An uncompressed point: 0x04, then the two coordinates.
        let (x, y) = match pair.public_key().as_ref().split_first() {
            Some((4, point)) if point.len() == 64 => point.split_at(32),
            _ => return Err(damaged()),
        };
        let [x, y] = [x, y].map(|number| BASE64_URL_SAFE_NO_PAD.encode(number));
        // RFC 7638: the required members in lexicographic order.
        let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = digest::digest(&digest::SHA256, thumbprint.as_bytes());
        let key_id = BASE64_URL_SAFE_NO_PAD.encode(thumbprint);
        Ok(Self {
            at,
            key: EncodingKey::from_ec_der(&pkcs8),
            jwk: json!({
                "kty": "EC", "crv": "P-256", "x": x, "y": y,
                "kid": key_id, "alg": "ES256", "use": "sig",
            }),
            key_id,
        })
    }

    /// `iss`, below the gateway's own address.
    pub fn issuer(&self) -> String {
        format!("http://{}{ISSUER_PATH}", self.at.0)
    }

    /// `aud`.
    pub fn audience(&self) -> &'static str {
        AUDIENCE
    }

    /// The issuer as a policy would name it.
    pub fn as_policy_issuer(&self) -> Issuer {
        Issuer {
            issuer: self.issuer(),
            audience: vec![AUDIENCE.to_owned()],
            tenants: BTreeSet::new(),
            clients: BTreeSet::new(),
            agents: AgentRules {
                app_roles: BTreeSet::from([AGENT_ROLE.to_owned()]),
                ..AgentRules::default()
            },
        }
    }

    /// What the gateway serves at [`DISCOVERY_PATH`].
    pub fn discovery(&self) -> Value {
        json!({
            "issuer": self.issuer(),
            "jwks_uri": format!("http://{}{JWKS_PATH}", self.at.0),
            "id_token_signing_alg_values_supported": ["ES256"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
        })
    }

    /// What the gateway serves at [`JWKS_PATH`].
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    /// A token for `name`, good for `ttl` and never longer than [`MAX_TTL`]. A human, an agent and a service of the same
    /// name are three subjects.
    pub fn mint<'a>(
        &self,
        name: &str,
        groups: impl IntoIterator<Item = &'a str>,
        kind: PrincipalKind,
        ttl: Duration,
    ) -> Result<String, DevIssuerError> {
        let name = plain(name)?;
        let groups: Vec<_> = groups.into_iter().map(plain).collect::<Result<_, _>>()?;
        let now = Timestamp::now().as_second();
        let ttl = i64::try_from(ttl.min(MAX_TTL).as_secs()).unwrap_or_default();
        let mut unique = [0; 16];
        rand::fill(&mut unique).map_err(|_| DevIssuerError::Crypto("draw random bytes"))?;
        let mut claims = json!({
            "iss": self.issuer(),
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + ttl,
            "jti": BASE64_URL_SAFE_NO_PAD.encode(unique),
            "groups": groups,
            "sub": format!("{kind}:{name}"),
        });
        let who = match kind {
            PrincipalKind::Human => json!({
                "idtyp": "user", "scp": "access",
                "client_id": CLIENT_OF_PEOPLE, "preferred_username": name,
            }),
            PrincipalKind::Agent => json!({
                "idtyp": "app", "client_id": name, "roles": [AGENT_ROLE],
            }),
            PrincipalKind::Service => json!({ "idtyp": "app", "client_id": name }),
        };
        if let (Value::Object(claims), Value::Object(who)) = (&mut claims, who) {
            claims.extend(who);
        }
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.key_id.clone());
        jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| DevIssuerError::Crypto("sign a token"))
    }
}

/// Never the key.
impl fmt::Debug for DevIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevIssuer")
            .field("issuer", &self.issuer())
            .finish_non_exhaustive()
    }
}

fn plain(name: &str) -> Result<&str, DevIssuerError> {
    let allowed =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'\'' | b'\\');
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name);
    }
    Err(DevIssuerError::Name(name.to_owned()))
}

/// Writes a file of mode 0600, whole or not at all.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    use io::Write;

    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&unfinished).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| fs::rename(&unfinished, path));
    if placed.is_err() {
        // What could not be placed is of no use; that it cannot be removed either changes nothing.
        let _leftover = fs::remove_file(&unfinished);
    }
    placed
}

/// Reads a file that only its owner may read, through the handle whose mode was checked.
fn read_private(path: &Path) -> Result<Vec<u8>, DevIssuerError> {
    use io::Read;

    let io = |error| DevIssuerError::Io(path.to_owned(), error);
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path);
            return Err(DevIssuerError::Absent(folder.to_owned()));
        }
        Err(error) => return Err(io(error)),
    };
    #[cfg(unix)]
    {
        let metadata = file.metadata().map_err(io)?;
        let mode = std::os::unix::fs::MetadataExt::mode(&metadata);
        if mode & 0o077 != 0 {
            return Err(DevIssuerError::Exposed(path.to_owned()));
        }
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(io)?;
    Ok(content)
}
