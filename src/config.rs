//! Environment to [`Config`], parsed once. Every error names the setting and how to mend it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// The policy file or folder.
pub const POLICY: &str = "PORTCULLIS_POLICY";
/// The folder for the record and the keys.
pub const DATA: &str = "PORTCULLIS_DATA";
/// Address and port to listen on.
pub const LISTEN: &str = "PORTCULLIS_LISTEN";
/// The port the Functions host gives its custom handler; wins over [`LISTEN`].
pub const HANDLER_PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";
/// The name of this process among others.
pub const INSTANCE: &str = "PORTCULLIS_INSTANCE";

/// The message broker that approvers are told by.
pub const SERVICE_BUS: &str = "PORTCULLIS_SERVICE_BUS";

/// The gateway's address from outside: an origin.
pub const PUBLIC_URL: &str = "PORTCULLIS_PUBLIC_URL";
/// What the Functions host says of it.
const HOST_NAME: &str = "WEBSITE_HOSTNAME";

/// The scopes that a client asks a token for the gateway with, separated by spaces.
pub const SCOPES: &str = "PORTCULLIS_SCOPES";

/// Where `serve` listens when nothing says otherwise.
const DEFAULT_PORT: u16 = 7171;

/// What `serve` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The policy file or folder.
    pub policy: PathBuf,
    /// The folder for the record and the keys.
    pub data: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The name of this process among others.
    pub instance: String,
    /// Whether the Functions host runs this process, and brings messages and the time.
    pub hosted: bool,
    /// The message broker's address, which may hold a password; `None`: approvers list what is pending.
    pub service_bus: Option<Secret>,
    /// The gateway's address from outside; `None`: where it listens.
    pub public_url: Option<String>,
    /// The scopes that a token for the gateway is asked for with.
    pub scopes: Vec<String>,
}

/// A setting that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What it is.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A setting that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}; {mend}")]
pub struct BadConfig {
    setting: &'static str,
    problem: String,
    mend: String,
}

impl Config {
    /// Reads the settings with `get`, which is the environment outside of tests.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, BadConfig> {
        let required = |setting, what: &str, example: &str| {
            get(setting)
                .filter(|value| !value.trim().is_empty())
                .ok_or_else(|| BadConfig {
                    setting,
                    problem: format!("is not set, and {what} is needed"),
                    mend: format!("set it, for example {setting}={example}"),
                })
        };
        let policy = required(
            POLICY,
            "a policy file or folder",
            "/etc/portcullis/policy.yaml",
        )?;
        let data = required(
            DATA,
            "a folder for the record and the keys",
            "/var/lib/portcullis",
        )?;
        let instance = get(INSTANCE).unwrap_or_else(|| format!("pid-{}", std::process::id()));
        let hosted = get(HANDLER_PORT).is_some();
        let service_bus = get(SERVICE_BUS).filter(|address| !address.trim().is_empty());
        let host_name = || get(HOST_NAME).filter(|name| hosted && !name.is_empty());
        let public_url = get(PUBLIC_URL).filter(|address| !address.trim().is_empty());
        let public_url = public_url.or_else(|| host_name().map(|name| format!("https://{name}")));
        let scopes = get(SCOPES).unwrap_or_default();
        let listen = match (get(HANDLER_PORT), get(LISTEN)) {
            (Some(port), _) => {
                let port = port.parse().map_err(|_| BadConfig {
                    setting: HANDLER_PORT,
                    problem: format!("`{port}` is not a port"),
                    mend: "it is the Functions host that sets it: unset it elsewhere".into(),
                })?;
                // The host dials 127.0.0.1 and nothing else.
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
            }
            (None, Some(listen)) => listen.parse().map_err(|_| BadConfig {
                setting: LISTEN,
                problem: format!("`{listen}` is not an address and port"),
                mend: format!("write it like 127.0.0.1:{DEFAULT_PORT}"),
            })?,
            (None, None) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
        };
        Ok(Self {
            policy: policy.into(),
            data: data.into(),
            listen,
            instance,
            hosted,
            service_bus: service_bus.map(Secret),
            public_url,
            scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(settings: &[(&str, &str)]) -> Result<Config, BadConfig> {
        Config::from_env(|name| {
            let found = settings.iter().find(|(setting, _)| *setting == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_missing_setting_is_named_with_an_example() {
        let error = from(&[(POLICY, "p.yaml")]).unwrap_err().to_string();
        assert!(
            error.contains("PORTCULLIS_DATA=/var/lib/portcullis"),
            "{error}"
        );
    }

    #[test]
    fn the_address_from_outside_is_what_is_set_or_what_the_functions_host_says() {
        let base = [(POLICY, "p"), (DATA, "d"), (HOST_NAME, "gate.example.net")];
        let address = |more: &[_]| from(&[&base, more].concat()).unwrap().public_url;
        assert_eq!(address(&[]), None);
        let hosted = (HANDLER_PORT, "4711");
        let by_host = Some("https://gate.example.net".to_owned());
        assert_eq!(address(&[hosted]), by_host);
        let own = (PUBLIC_URL, "https://gate.example.com");
        let set = Some("https://gate.example.com".to_owned());
        assert_eq!(address(&[hosted, own]), set);
    }

    #[test]
    fn the_functions_hosts_port_wins_and_is_loopback() {
        let settings = [
            (POLICY, "p"),
            (DATA, "d"),
            (LISTEN, "0.0.0.0:80"),
            (HANDLER_PORT, "4711"),
        ];
        assert_eq!(
            from(&settings).unwrap().listen.to_string(),
            "127.0.0.1:4711"
        );
        let error = from(&[(POLICY, "p"), (DATA, "d"), (LISTEN, "localhost")]).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1:7171"), "{error}");
    }
}
