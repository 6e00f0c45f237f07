//! What can be reached: a name an agent may say, and the bounds of what it may take from there.
//!
//! Addresses and credentials are not here: only `targets` ever holds them.

use std::{fmt, str::FromStr, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What could mean something else in an address than it says: all but what RFC 3986, section 2.3 leaves as it is.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a credential has in place of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Token {
    /// An access token of Microsoft Entra ID, for the identity the gateway runs as.
    Entra,
}

/// The name of a connection: a lowercase letter, then up to 62 lowercase letters, digits, `-` or `_`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ConnectionName(Box<str>);

/// Text that cannot name a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a connection: use a lowercase letter, then up to 62 lowercase letters, digits, `-` or `_`"
)]
pub struct BadConnectionName(String);

impl ConnectionName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConnectionName {
    type Err = BadConnectionName;

    fn from_str(text: &str) -> Result<Self, BadConnectionName> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if text.len() <= 63
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(allowed)
        {
            Ok(Self(text.into()))
        } else {
            Err(BadConnectionName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for ConnectionName {
    type Error = BadConnectionName;
    fn try_from(text: String) -> Result<Self, BadConnectionName> {
        text.parse()
    }
}

impl From<ConnectionName> for String {
    fn from(name: ConnectionName) -> String {
        name.0.into()
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What speaks at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionKind {
    /// PostgreSQL, over its extended protocol.
    Postgres,
    /// MySQL or MariaDB, over the protocol they share.
    #[serde(alias = "mariadb")]
    Mysql,
    /// A SQLite file.
    Sqlite,
    /// SQL Server or Azure SQL, over TDS.
    Mssql,
    /// Programs, run beside the gateway.
    Command,
    /// An HTTP API.
    Http,
}

impl ConnectionKind {
    /// The SQL dialect its statements are judged in; `None`: it takes no SQL.
    pub fn dialect(self) -> Option<super::classify::Dialect> {
        match self {
            Self::Postgres => Some(super::classify::Dialect::Postgres),
            Self::Mysql => Some(super::classify::Dialect::Mysql),
            Self::Sqlite => Some(super::classify::Dialect::Sqlite),
            Self::Mssql => Some(super::classify::Dialect::Mssql),
            Self::Command | Self::Http => None,
        }
    }
}

/// How much one principal may take from one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Rows of one result; what is beyond is not fetched and the result says `truncated`.
    pub rows: u64,
    /// Bytes of one masked result as JSON; beyond it the result is `truncated`.
    pub bytes: u64,
    /// Requests per minute, per principal and connection; beyond it 429.
    pub requests_per_minute: u32,
    /// How long one statement may run at the target before it is cancelled.
    pub timeout: Duration,
}

impl Default for Budget {
    /// 10,000 rows, 8 MiB, 120 requests a minute, 30 seconds.
    fn default() -> Self {
        Self {
            rows: 10_000,
            bytes: 8 << 20,
            requests_per_minute: 120,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Which of a connection's credentials an execution gets: the least one that does the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// The read credential, inside a read-only transaction.
    Read,
    /// The write credential.
    Write,
}

/// How an effect's transaction ends once its statement has succeeded. A read's is rolled back in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Committed; but where it changed more rows than `at_most`, or the target cannot say how many, rolled back.
    Commit {
        /// The most rows it may change; `None`: any number.
        at_most: Option<u64>,
    },
    /// Rolled back whatever it did: a dry run, or a preview. Waits for locks only shortly, since nobody depends on it
    /// and others would wait behind it. What cannot be rolled back wholly is refused before it is begun.
    RollBack,
}
