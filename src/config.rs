//! Environment to [`Config`], parsed once. Every error names the setting and how to mend it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// The policy file or folder.
pub const POLICY: &str = "PORTCULLIS_POLICY";
/// The folder for the record and the keys of one gateway.
pub const DATA: &str = "PORTCULLIS_DATA";
/// The account of Azure Cosmos DB that holds the record of any number of gateways.
pub const COSMOS: &str = "PORTCULLIS_COSMOS";
/// Which database of it.
pub const COSMOS_DATABASE: &str = "PORTCULLIS_COSMOS_DATABASE";
/// Where the keys are, where they are not in [`DATA`]: a folder, or the address of a Key Vault's key.
pub const SEALING_KEY: &str = "PORTCULLIS_SEALING_KEY";
/// The Key Vault with the secrets that policy names and the environment does not have.
pub const KEY_VAULT: &str = "PORTCULLIS_KEY_VAULT";
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
    /// Where the record is kept.
    pub record: RecordPlace,
    /// The vault of secrets that the environment does not have.
    pub key_vault: Option<String>,
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

/// Where the record is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordPlace {
    /// In this folder, by one gateway.
    Folder {
        /// The folder.
        data: PathBuf,
        /// The folder with its keys.
        keys: PathBuf,
    },
    /// In Azure Cosmos DB, by any number of gateways.
    Cosmos {
        /// `https://….documents.azure.com/`.
        account: String,
        /// The name of the database.
        database: String,
        /// Where their keys are kept.
        keys: KeysPlace,
    },
}

/// Where the keys of gateways that share a record are kept: those that seal, and the one that signs exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysPlace {
    /// In files of this folder, the same for every one of them.
    Folder(PathBuf),
    /// Beside the record, wrapped by the key at this address of a Key Vault.
    Vault(String),
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
        let get = |setting: &str| get(setting).filter(|value| !value.trim().is_empty());
        let policy = get(POLICY).ok_or_else(|| BadConfig {
            setting: POLICY,
            problem: "is not set, and a policy file or folder is needed".into(),
            mend: format!("set it, for example {POLICY}=/etc/portcullis/policy.yaml"),
        })?;
        let record = record(&get)?;
        let instance = get(INSTANCE).unwrap_or_else(|| format!("pid-{}", std::process::id()));
        let hosted = get(HANDLER_PORT).is_some();
        let service_bus = get(SERVICE_BUS);
        let host_name = || get(HOST_NAME).filter(|_| hosted);
        let public_url =
            get(PUBLIC_URL).or_else(|| host_name().map(|name| format!("https://{name}")));
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
            record,
            key_vault: key_vault(get),
            listen,
            instance,
            hosted,
            service_bus: service_bus.map(Secret),
            public_url,
            scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        })
    }
}

/// The vault of secrets that the environment does not have, read with `get`.
pub fn key_vault(get: impl Fn(&str) -> Option<String>) -> Option<String> {
    get(KEY_VAULT).filter(|value| !value.trim().is_empty())
}

/// One place, and no doubt which: a gateway that took the wrong one would find no record where there is one.
fn record(get: &impl Fn(&str) -> Option<String>) -> Result<RecordPlace, BadConfig> {
    let bad = |setting, problem: String, mend: String| {
        Err(BadConfig {
            setting,
            problem,
            mend,
        })
    };
    match (get(DATA), get(COSMOS), get(COSMOS_DATABASE)) {
        (Some(data), None, None) => {
            let keys = match keys(get) {
                None => data.clone().into(),
                Some(KeysPlace::Folder(keys)) => keys,
                Some(KeysPlace::Vault(_)) => {
                    return bad(
                        SEALING_KEY,
                        format!("is in a Key Vault, and what that wraps is kept beside a record at {COSMOS}"),
                        format!("unset it for keys in {DATA}, or keep the record in Cosmos DB"),
                    );
                }
            };
            let data = data.into();
            Ok(RecordPlace::Folder { data, keys })
        }
        (None, Some(account), Some(database)) if is_private(&account) => match keys(get) {
            Some(keys) => Ok(RecordPlace::Cosmos {
                account,
                database,
                keys,
            }),
            None => bad(
                SEALING_KEY,
                format!("is not set, and every gateway of the record at {COSMOS} has to have the same keys"),
                format!(
                    "set it to a key of a Key Vault, for example {SEALING_KEY}=https://NAME.vault.azure.net/keys/sealing, or to a folder"
                ),
            ),
        },
        (None, Some(account), Some(_)) => bad(
            COSMOS,
            format!("`{account}` is not the address of an account"),
            "write it like https://ACCOUNT.documents.azure.com/ (http:// only on loopback, for an emulator)".into(),
        ),
        (None, Some(_), None) => bad(
            COSMOS_DATABASE,
            format!("is not set, and {COSMOS} is"),
            format!("name the database with the record, for example {COSMOS_DATABASE}=portcullis"),
        ),
        (Some(_), ..) => bad(
            DATA,
            format!("is set, and {COSMOS} or {COSMOS_DATABASE} as well: the record is in one place"),
            format!("unset {DATA}, or both of the others"),
        ),
        (None, None, _) => bad(
            DATA,
            format!("is not set, and neither is {COSMOS}: a place for the record is needed"),
            format!(
                "set it, for example {DATA}=/var/lib/portcullis, or {COSMOS}=https://ACCOUNT.documents.azure.com/ and \
                 {COSMOS_DATABASE}"
            ),
        ),
    }
}

/// Whether nobody between here and there reads what is sent.
fn is_private(address: &str) -> bool {
    url::Url::parse(address).is_ok_and(|url| match url.scheme() {
        "https" => url.has_host(),
        "http" => match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        },
        _ => false,
    })
}

fn keys(get: &impl Fn(&str) -> Option<String>) -> Option<KeysPlace> {
    get(SEALING_KEY).map(|place| match place.contains("://") {
        true => KeysPlace::Vault(place),
        false => KeysPlace::Folder(place.into()),
    })
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
    fn the_record_is_in_one_place_and_its_keys_in_another_that_all_gateways_share() {
        const ACCOUNT: &str = "https://crm.documents.azure.com/";
        let told = |settings: &[(&str, &str)]| {
            let all = [&[(POLICY, "p")], settings].concat();
            from(&all).unwrap_err().to_string()
        };
        assert!(told(&[]).contains("neither is PORTCULLIS_COSMOS"));
        assert!(told(&[(COSMOS_DATABASE, "d")]).contains("neither is PORTCULLIS_COSMOS"));
        assert!(told(&[(DATA, "d"), (COSMOS, ACCOUNT)]).contains("unset PORTCULLIS_DATA"));
        assert!(told(&[(COSMOS, ACCOUNT)]).starts_with("PORTCULLIS_COSMOS_DATABASE"));
        let shared = [(COSMOS, ACCOUNT), (COSMOS_DATABASE, "d")];
        assert!(told(&shared).starts_with("PORTCULLIS_SEALING_KEY"));
        for account in ["crm", "http://crm.documents.azure.com/", "ftp://localhost/"] {
            let shared = [
                (COSMOS, account),
                (COSMOS_DATABASE, "d"),
                (SEALING_KEY, "k"),
            ];
            assert!(told(&shared).contains("https://ACCOUNT"), "{account}");
        }
        const KEY: &str = "https://kv.vault.azure.net/keys/sealing";
        assert!(told(&[(DATA, "d"), (SEALING_KEY, KEY)]).contains("beside a record"));
        let placed = |settings: &[(&str, &str)]| {
            let all = [&[(POLICY, "p")], settings].concat();
            from(&all).unwrap().record
        };
        for (text, keys) in [
            ("k", KeysPlace::Folder("k".into())),
            (KEY, KeysPlace::Vault(KEY.into())),
        ] {
            let whole = [&[(SEALING_KEY, text)], &shared[..]].concat();
            let (account, database) = (ACCOUNT.into(), "d".into());
            let wanted = RecordPlace::Cosmos {
                account,
                database,
                keys,
            };
            assert_eq!(placed(&whole), wanted);
        }
        for (settings, keys) in [(&[][..], "d"), (&[(SEALING_KEY, "k")], "k")] {
            let (data, keys) = ("d".into(), keys.into());
            let whole = [&[(DATA, "d")], settings].concat();
            assert_eq!(placed(&whole), RecordPlace::Folder { data, keys });
        }
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
