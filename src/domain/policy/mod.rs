//! What the operators want: who may do what, where, when, and who must agree.
//!
//! Text becomes a [`Policy`] in three steps: `yaml` reads nodes that know where they stand, `document` says what a
//! policy file may say, `compile` resolves names and refuses what cannot be meant. `evaluate` answers one question with
//! the result. None of them knows a store, a clock or a target.

pub mod cases;
mod compile;
mod credential;
mod document;
mod evaluate;
mod pattern;
mod problem;
mod reach;
mod read;
mod units;
mod yaml;

#[cfg(test)]
mod laws;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    classify::{
        Effect, Facts, command,
        http::{self, Family},
        server::Surroundings,
        sql,
    },
    connection::{Budget, ConnectionKind, ConnectionName, Token},
    masking::{Masking, MaskingRules},
    operation::HttpOperation,
    principal::Principal,
    record::Hash,
    rewrite::Rewrite,
};

pub use document::schema;
pub use evaluate::evaluate;
pub use pattern::{KindPattern, TablePattern};
pub use problem::{PolicyErrors, Problem};
pub use yaml::MAX_FILE;

/// The name of a rule, as the policy file has it.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct RuleName(pub Box<str>);

/// The name of an approver group, as the policy file has it.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct ApproverGroupName(pub Box<str>);

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ApproverGroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A policy that has been checked whole: every name in it means something, every pattern compiles.
#[derive(Debug)]
pub struct Policy {
    /// SHA-256 of the text it came from; every decision on record names it.
    pub version: Hash,
    /// Whose tokens count.
    pub issuers: Vec<Issuer>,
    /// Who may approve.
    pub approvers: BTreeMap<ApproverGroupName, ApproverGroup>,
    /// What can be reached.
    pub connections: BTreeMap<ConnectionName, ConnectionRules>,
    /// Rules in the order of the file.
    pub rules: Vec<Rule>,
    /// What of a result may be seen, as the file says it.
    pub masking_rules: MaskingRules,
    /// What of a result may be seen, ready for use: made from `masking_rules` and a key, which no file holds.
    pub masking: Masking,
    /// Who is asked about conditions on masked columns; `None`: such statements are refused.
    pub masking_approvers: Option<ApproverGroupName>,
    /// What is kept.
    pub record: RecordRules,
}

/// Someone whose tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// `iss`, exactly.
    pub issuer: String,
    /// `aud`, any of these.
    pub audience: Vec<String>,
    /// `tid`, any of these; empty: not checked.
    pub tenants: BTreeSet<String>,
    /// `azp` or `appid`, any of these; empty: not checked.
    pub clients: BTreeSet<String>,
    /// Who is an agent.
    pub agents: AgentRules,
}

/// Marks of an agent in a token; any one is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentRules {
    /// App roles.
    pub app_roles: BTreeSet<String>,
    /// Groups.
    pub groups: BTreeSet<String>,
    /// Client ids.
    pub clients: BTreeSet<String>,
}

/// Who may decide, how many of them it takes, and for how long they may think.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApproverGroup {
    /// Humans in any of these groups.
    pub groups: BTreeSet<String>,
    /// Principals by id.
    pub principals: BTreeSet<String>,
    /// Whether its members are people or pipelines.
    pub kind: ApproverKind,
    /// How many distinct members must approve; at least 1.
    pub count: u32,
    /// How long after asking an approval is too late.
    pub expires_in: Duration,
    /// How many times the rows they were shown an execution may change, at least 1; `None`: not said.
    pub rows_factor: Option<u32>,
}

/// What kind of principal a group's members are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApproverKind {
    /// People.
    Human,
    /// CI jobs that policy names one by one.
    Pipeline,
}

/// One connection, without its credentials' values.
#[derive(Clone, Debug)]
pub struct ConnectionRules {
    /// Its name.
    pub name: ConnectionName,
    /// What speaks there.
    pub kind: ConnectionKind,
    /// Where reads go. A template: `${secret:NAME}` is resolved by `catalog`, never here.
    pub read: Endpoint,
    /// Where effects go; without it the connection is read-only.
    pub write: Option<Endpoint>,
    /// Who may use it at all.
    pub allow: Who,
    /// How much.
    pub budget: Budget,
    /// Functions of users' own that only read, which no text can show: `schema.name` or `name`, folded as the server
    /// folds them.
    pub functions: Arc<BTreeSet<String>>,
}

impl ConnectionRules {
    /// What `text` would do here, as far as it and this policy tell: without the server's catalog. A statement, a command
    /// as a person would type it, or an HTTP call as a person would write it.
    pub fn facts_by_text(&self, text: &str) -> Facts {
        if let Endpoint::Http(upstream) = &self.read {
            return match HttpOperation::from_text(text) {
                Ok(call) => upstream.facts(&call),
                Err(bad) => Facts::unknown(bad.to_string()),
            };
        }
        let Some(dialect) = self.kind.dialect() else {
            return command::classify_shell(text);
        };
        let surroundings = Surroundings {
            catalog: None,
            harmless: Some(&self.functions),
        };
        sql::classify_in(dialect, text, surroundings)
    }
}

/// Where a connection leads with one of its credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A database.
    Database {
        /// `postgres://…`, `mysql://…`, `mssql://…` or `sqlite:PATH`, credential included.
        url: String,
        /// What is used in place of a password.
        token: Option<Token>,
    },
    /// Programs beside the gateway, or at another host.
    Programs(Programs),
    /// An HTTP API.
    Http(Upstream),
}

/// An HTTP API, and what a call to it is given on its way.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    /// What it is, whichever credential it is called with.
    pub api: Arc<Api>,
    /// Header fields that every call is given, by name in lower case; a caller's own of these names are dropped.
    pub headers: BTreeMap<String, String>,
    /// What is used as `Authorization`, and what for.
    pub token: Option<(Token, String)>,
    /// A PEM file of the authorities that prove the server, where they are not the machine's.
    pub sslrootcert: Option<String>,
}

/// What an HTTP API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Where it is: `https://HOST` with or without a path, ending without a slash, normalised.
    pub url: String,
    /// Whose rules its calls are judged by; `None`: its host and the path of each call tell.
    pub family: Option<Family>,
    /// Whether what is sent there is masked.
    pub mask_requests: bool,
    /// What becomes of an answer in which something was masked.
    pub on_finding: OnFinding,
}

/// What becomes of an answer in which something was masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFinding {
    /// It is given, masked.
    #[default]
    Mask,
    /// It is not given.
    Deny,
}

impl Upstream {
    /// What a call would do there. How it is carried is for whoever wrote the policy: it was checked for that.
    pub fn facts(&self, call: &HttpOperation) -> Facts {
        let host = self.api.url.split_once("://").map_or("", |(_, host)| host);
        let base = format!("https://{host}");
        match self.api.family {
            Some(family) => call.with_call(&base, |call| http::classify_as(family, call)),
            None => call.with_call(&base, http::classify),
        }
    }

    /// The family that a call to this path belongs to.
    pub fn family(&self, target: &str) -> Family {
        let told = || http::family(&format!("{}{target}", self.api.url));
        self.api.family.or_else(told).unwrap_or(Family::Generic)
    }
}

/// Programs, and what they find when they run: this and nothing else of the gateway's own.
#[derive(Clone, PartialEq, Eq)]
pub struct Programs {
    /// Those that may be run: the name a command calls one by, and where it is, absolute.
    pub programs: Arc<BTreeMap<String, String>>,
    /// Their whole environment, beside `HOME`, `PATH` and `LANG`.
    pub env: BTreeMap<String, String>,
    /// Files in their home and working folder, by path from there. None at another host.
    pub files: BTreeMap<String, String>,
    /// Where they run; `None`: beside the gateway.
    pub host: Option<(Host, Login)>,
}

/// A host that programs run at, over SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name or address.
    pub name: String,
    /// Where its server listens.
    pub port: u16,
    /// Its public keys as OpenSSH writes them, `ssh-ed25519 AAAA…`; it proves that it has one of them. Never empty.
    pub keys: Vec<String>,
}

/// Who someone is to a host.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub user: String,
    /// What shows that it is theirs.
    pub proof: Proof,
}

/// What shows to a host whose account it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// A private key.
    Key {
        /// As `ssh-keygen` writes it, without a passphrase.
        private: String,
        /// What an authority signed of it, as OpenSSH writes it.
        certificate: Option<String>,
    },
    /// A password.
    Password(String),
}

impl Endpoint {
    /// A database without a token.
    pub fn url(url: impl Into<String>) -> Self {
        Self::Database {
            url: url.into(),
            token: None,
        }
    }

    /// The same with every text that may name a secret replaced by what `fill` makes of it. `fill` is told the setting.
    pub fn try_map<E>(
        &self,
        mut fill: impl FnMut(&str, &str) -> Result<String, E>,
    ) -> Result<Self, E> {
        let mut all = |setting: &str, texts: &BTreeMap<String, String>| {
            let texts = texts.iter();
            texts
                .map(|(name, text)| Ok((name.clone(), fill(&format!("{setting}.{name}"), text)?)))
                .collect::<Result<_, E>>()
        };
        Ok(match self {
            Self::Programs(Programs {
                programs,
                env,
                files,
                host,
            }) => Self::Programs(Programs {
                programs: Arc::clone(programs),
                env: all("env", env)?,
                files: all("files", files)?,
                host: match host {
                    Some((host, login)) => Some((host.clone(), login.try_map(fill)?)),
                    None => None,
                },
            }),
            Self::Http(upstream) => Self::Http(Upstream {
                headers: all("headers", &upstream.headers)?,
                ..upstream.clone()
            }),
            Self::Database { url, token } => Self::Database {
                url: fill("url", url)?,
                token: *token,
            },
        })
    }
}

impl Login {
    fn try_map<E>(&self, mut fill: impl FnMut(&str, &str) -> Result<String, E>) -> Result<Self, E> {
        let proof = match &self.proof {
            Proof::Key {
                private,
                certificate,
            } => Proof::Key {
                private: fill("private_key", private)?,
                certificate: match certificate {
                    Some(certificate) => Some(fill("certificate", certificate)?),
                    None => None,
                },
            },
            Proof::Password(password) => Proof::Password(fill("password", password)?),
        };
        Ok(Self {
            user: self.user.clone(),
            proof,
        })
    }
}

/// An endpoint may hold a credential.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint(..)")
    }
}

/// A set of principals. Empty: nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// In any of these groups.
    pub groups: BTreeSet<String>,
    /// Or with any of these app roles.
    pub app_roles: BTreeSet<String>,
    /// Or one of these ids.
    pub principals: BTreeSet<String>,
}

impl Who {
    /// Whether `principal` is one of them.
    pub fn includes(&self, principal: &Principal) -> bool {
        self.principals.contains(principal.id().as_str())
            || !self.groups.is_disjoint(principal.groups())
            || !self.app_roles.is_disjoint(principal.app_roles())
    }
}

/// One rule: conditions that must all hold, and what follows.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, unique in the policy.
    pub name: RuleName,
    /// Whom it is about; `None`: everyone the connection allows.
    pub who: Option<Who>,
    /// Which connections; empty: all.
    pub connections: BTreeSet<ConnectionName>,
    /// When it holds; `None`: always.
    pub between: Option<Hours>,
    /// What must be true of the operation.
    pub when: Condition,
    /// What follows.
    pub then: Consequence,
}

/// What must be true of an operation for a rule to match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Effects; empty: any.
    pub effects: BTreeSet<Effect>,
    /// Kinds of statement or command; empty: any.
    pub kinds: Vec<KindPattern>,
    /// Table patterns; empty: any.
    pub tables: Vec<TablePattern>,
    /// Bounded or not; `None`: either.
    pub unbounded: Option<bool>,
}

/// A daily span of wall-clock time in a place, possibly over midnight.
#[derive(Clone, Debug)]
pub struct Hours {
    /// From, inclusive.
    pub from: jiff::civil::Time,
    /// Until, exclusive.
    pub until: jiff::civil::Time,
    /// Where.
    pub zone: jiff::tz::TimeZone,
}

/// What a matching rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Let it through.
    Allow,
    /// Refuse it, with this message.
    Deny(String),
    /// Hold it for this group.
    RequireApproval(ApproverGroupName),
    /// Let it through, rewritten.
    Rewrite(Rewrite),
}

/// What is kept of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRules {
    /// For how long; the store never deletes by itself, `portcullis` says what is older.
    pub retain: Option<Duration>,
    /// Whether masked results are kept, sealed, to be fetched later.
    pub results: RecordedResults,
    /// The largest result kept, in bytes.
    pub max_result: u64,
    /// Who may read the whole record, beside people who may approve something.
    pub readers: Who,
}

/// What is kept of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordedResults {
    /// The masked result, sealed.
    Masked,
    /// Only counts. The result of an approved request then cannot be fetched.
    None,
}

/// One question for policy.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// Where.
    pub connection: &'a ConnectionRules,
    /// What it would do.
    pub facts: &'a Facts,
    /// When.
    pub now: jiff::Timestamp,
}

/// What policy says about one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let it through.
    Allow {
        /// The rule that said so.
        rule: RuleName,
    },
    /// Refuse.
    Deny {
        /// The rule that said so; `None`: no rule matched.
        rule: Option<RuleName>,
        /// What the caller is told.
        message: String,
    },
    /// Let through what it becomes when it is rewritten, if policy agrees to that too.
    Rewrite {
        /// The first rule that said so.
        rule: RuleName,
        /// How: of several, the one that leaves least.
        into: Rewrite,
    },
    /// Hold it until each of these groups has approved, by different people.
    RequireApproval {
        /// The first rule that said so.
        rule: RuleName,
        /// Every group asked for by a matching rule, in the order of the file.
        from: Vec<ApproverGroupName>,
    },
}

/// A decision and how it came about.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What follows.
    pub decision: Decision,
    /// Every rule, in the order of the file, and why it matched or did not.
    pub trace: Vec<RuleTrace>,
}

/// Why one rule matched or did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleTrace {
    /// The rule.
    pub rule: RuleName,
    /// Whether all its conditions held.
    pub matched: bool,
    /// The first condition that did not hold, or what the rule says.
    pub why: String,
}
