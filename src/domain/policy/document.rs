//! What a policy file may say: one type per mapping of the file, from which the reader and the JSON Schema both come.
//!
//! What the names in it mean is `compile`'s business.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value as Json, json};

use super::{
    Api, ApproverKind, Endpoint, Host, Hours, KindPattern, Login, OnFinding, Programs, Proof,
    RecordedResults, TablePattern, Upstream,
    problem::{Place, Problems, choices, quoted},
    read::{At, ByName, FromNode, Needed, OneOrMore, Positive, mapping, scalar, wanted, word},
    units,
    yaml::{Key, Node, Value},
};
use crate::domain::{
    classify::{Effect, http::Family},
    connection::{ConnectionKind, Token},
    masking::{DetectorSet, How, InPredicates},
    rewrite::Rewrite,
};

mapping! {
    /// A policy: who may do what, where and when, who must agree, and what of a result may be seen. Deny wins; what no
    /// rule allows is denied.
    struct PolicyDocument: "a policy" {
        /// The version of this format.
        #[expect(dead_code, reason = "there is one version, and reading it is all there is to it")]
        version: Needed<FormatVersion>,
        /// Whose tokens count.
        identity: Option<IdentityDocument>,
        /// Who may decide, by the name rules use for them.
        approvers: Option<ByName<ApproverDocument>>,
        /// What can be reached, by the name agents use for it.
        connections: Option<ByName<ConnectionDocument>>,
        /// Who may do what. Deny wins over approval, approval over allow; the order only says which rule is named.
        rules: Option<Vec<At<RuleDocument>>>,
        /// What of a result may be seen. Without it, secrets and personal data are still detected.
        masking: Option<At<MaskingSection>>,
        /// What is kept.
        record: Option<At<RecordDocument>>,
    }

    /// Whose tokens count.
    struct IdentityDocument: "`identity`" {
        /// Each issuer whose tokens are taken.
        issuers: Needed<Vec<At<IssuerDocument>>>,
    }

    /// Someone whose tokens are taken.
    struct IssuerDocument: "an issuer" {
        /// `iss`, exactly as the tokens have it.
        issuer: Needed<At<String>>,
        /// `aud`: any of these.
        audience: Needed<At<OneOrMore<String>>>,
        /// `tid`: any of these. Without it, tenants are not checked.
        tenants: Option<At<Vec<String>>>,
        /// `azp` or `appid`: any of these. Without it, clients are not checked.
        clients: Option<At<Vec<String>>>,
        /// Who is an agent; everyone else with a user's token is a human.
        agents: Option<At<AgentsDocument>>,
    }

    /// Marks of an agent in a token; any one is enough.
    struct AgentsDocument: "`agents`" {
        /// App roles.
        app_roles: Option<Vec<String>>,
        /// Groups.
        groups: Option<Vec<String>>,
        /// Client ids.
        clients: Option<Vec<String>>,
    }

    /// Who may decide, how many of them it takes, and how long they have.
    struct ApproverDocument: "an approver group" {
        /// Humans in any of these groups.
        groups: Option<At<Vec<String>>>,
        /// Principals one by one: `user:NAME`, or `app:NAME` for a pipeline.
        principals: Option<At<Vec<At<String>>>>,
        /// People, or CI jobs that are named one by one. `human` if not given.
        kind: Option<At<ApproverKind>>,
        /// How many different ones must agree. 1 if not given.
        count: Option<At<Positive>>,
        /// How long after asking an approval is too late. `30m` if not given.
        expires_in: Option<At<DurationText>>,
        /// What they approve may change this many times the rows they were shown, counted exactly or estimated by the
        /// planner; with more it is rolled back and asked again. 10 if not given, and only where they asked for an
        /// exact count.
        rows_factor: Option<Positive>,
    }

    /// Something that can be reached.
    struct ConnectionDocument: "a connection" {
        /// What speaks there.
        kind: Needed<At<KindText>>,
        /// Where reads go, with a credential that can only read.
        read: Needed<At<EndpointDocument>>,
        /// Where everything else goes. Without it the connection is read-only.
        write: Option<At<EndpointDocument>>,
        /// For `kind: command`: the programs that may be run, by the name a command calls them by, and where each is, such
        /// as `kubectl: /usr/bin/kubectl`. No other runs.
        programs: Option<At<ByName<String>>>,
        /// For `kind: command`: the host the programs run at, over SSH. Beside the gateway if not given.
        ssh: Option<At<SshDocument>>,
        /// For `kind: http`: whose API it is, and so what its calls do. Told by the url's host and path if not given.
        api: Option<At<Family>>,
        /// For `kind: http`: whether what is sent there is masked. For `api: model` if not given: what an agent tells a model
        /// leaves the house.
        mask_requests: Option<At<bool>>,
        /// For `kind: http`: what becomes of an answer in which something was masked. `mask` if not given.
        on_finding: Option<At<OnFinding>>,
        /// Who may use it at all; rules say for what.
        allow: Needed<At<WhoDocument>>,
        /// How much one principal may take from it.
        budget: Option<BudgetDocument>,
        /// Functions of your own, or of extensions, that only read, which their callers' text cannot show:
        /// `schema.function`, or `function` for every schema. None if not given.
        functions: Option<Vec<FunctionText>>,
    }

    /// A host that commands run at.
    struct SshDocument: "`ssh`" {
        /// Its name or address.
        host: Needed<At<HostText>>,
        /// Where its server listens. 22 if not given.
        port: Option<At<Positive>>,
        /// Its public keys, such as `ssh-keyscan -t ed25519 HOST` prints them: `ssh-ed25519 AAAA…`. A server that proves
        /// to have none of them is sent nothing.
        host_keys: Option<At<OneOrMore<HostKeyText>>>,
    }

    /// An address and a credential.
    struct EndpointDocument: "an endpoint" {
        /// `postgres://USER:${secret:PASSWORD}@HOST/DATABASE`, `sqlite:PATH`, or `${secret:NAME}` for all of it. For
        /// `kind: http` `https://HOST` with or without a path, without a secret; without encryption this machine alone is
        /// called. Every kind but `command` needs it.
        url: Option<At<String>>,
        /// `entra`: log in with an access token of the identity the gateway runs as, in place of a password. The url then names
        /// a user and no password, and the server has to prove itself by TLS.
        token: Option<At<Token>>,
        /// For `kind: http` with `token`: what the token is for, such as `https://management.azure.com/.default`.
        scope: Option<At<String>>,
        /// For `kind: http`: header fields that every call is given, such as `authorization: "Bearer ${secret:API_TOKEN}"`.
        headers: Option<At<ByName<String>>>,
        /// For `kind: http`: a PEM file of the authorities that prove the server. Those of the machine if not given; for
        /// databases it is a parameter of the url.
        sslrootcert: Option<At<String>>,
        /// For `kind: command`: variables of the programs' environment. They get no others but `HOME`, `PATH` and `LANG`.
        env: Option<At<ByName<String>>>,
        /// For `kind: command`: files in the folder that is the programs' home and where they run, by their path from there,
        /// such as `kubeconfig: "${secret:KUBECONFIG_READ}"`. The folder is made for one command and removed after it.
        files: Option<At<ByName<String>>>,
        /// For `ssh`: the account at the host.
        user: Option<At<String>>,
        /// For `ssh`: the account's private key, as `ssh-keygen -t ed25519` writes it without a passphrase:
        /// `${secret:NAME}`.
        private_key: Option<At<String>>,
        /// For `ssh` with `private_key`: the certificate that an authority signed for it, if hosts ask for one.
        certificate: Option<At<String>>,
        /// For `ssh`: the account's password, in place of a key: `${secret:NAME}`.
        password: Option<At<String>>,
    }

    /// Principals: whoever is in any of these.
    struct WhoDocument: "`who` and `allow`" {
        /// In any of these groups.
        groups: Option<At<Vec<String>>>,
        /// With any of these app roles.
        app_roles: Option<At<Vec<String>>>,
        /// One of these: `agent:NAME`, `app:NAME`, `user:NAME`.
        principals: Option<At<Vec<At<String>>>>,
    }

    /// How much one principal may take from one connection.
    struct BudgetDocument: "`budget`" {
        /// Rows of one result. 10000 if not given.
        rows: Option<Positive>,
        /// Bytes of one result. `8MiB` if not given.
        bytes: Option<SizeText>,
        /// Requests in a minute. 120 if not given.
        requests_per_minute: Option<Positive>,
        /// How long one statement may run. `30s` if not given.
        timeout: Option<DurationText>,
    }

    /// Conditions that must all hold, and what follows.
    struct RuleDocument: "a rule" {
        /// Its name: decisions and the record call it by it.
        name: Needed<At<String>>,
        /// Whom it is about. Everyone its connections allow if not given.
        who: Option<At<WhoDocument>>,
        /// Which connections it is about. All if not given.
        connections: Option<At<OneOrMore<At<String>>>>,
        /// When it holds, by the clock of a place. Always if not given.
        between: Option<At<HoursText>>,
        /// What must be true of the operation. Only `allow` must have it.
        when: Option<At<ConditionDocument>>,
        /// What follows.
        then: Needed<At<ThenDocument>>,
    }

    /// What must be true of an operation. To let something through, all of it must be covered; to refuse it, any part
    /// of it is enough.
    struct ConditionDocument: "`when`" {
        /// Effects, as `portcullis classify` names them. Any if not given; but `allow` never takes `unknown` unless
        /// it names it.
        effect: Option<At<OneOrMore<Effect>>>,
        /// Kinds of statement or command, as `portcullis classify --text` names them, by their first words: `create index`,
        /// `kubectl get`, `terraform plan`, `*` for any one word. Any if not given. Of a program that is not known, such as
        /// `terraform`, what it would do stays `unknown`, and a rule that lets it through names both.
        kinds: Option<At<OneOrMore<KindsText>>>,
        /// Tables: `schema.table`, `table`, `*` for a whole part. Any if not given.
        tables: Option<At<OneOrMore<PatternText>>>,
        /// Whether a write or removal says which rows. Either if not given.
        unbounded: Option<bool>,
    }

    /// What of a result may be seen.
    struct MaskingSection: "`masking`" {
        /// Who is asked when a statement compares, sorts or groups by a masked column (`in_predicates:
        /// require_approval`). The only group of people if not given; with several, such a statement is refused.
        approvers: Option<At<String>>,
        /// Columns, and how each is masked. The first that matches counts.
        columns: Option<Vec<At<ColumnDocument>>>,
        /// Which built-in detectors look at everything that comes back. All of them if not given.
        detect: Option<OneOrMore<DetectorSet>>,
        /// Expressions of your own.
        patterns: Option<Vec<At<PatternDocument>>>,
    }

    /// A column and how it is masked.
    struct ColumnDocument: "a masked column" {
        /// `schema.table.column` or `table.column`, with `*` for a whole part.
        r#match: Needed<At<ColumnPatternText>>,
        /// How.
        r#as: Needed<How>,
        /// For pseudonyms: columns of one domain show equal values as equal pseudonyms, so that they can be joined, and take each
        /// other's. The column's name if not given.
        domain: Option<At<String>>,
        /// What becomes of a statement that compares, sorts or groups by it. `require_approval` if not given.
        in_predicates: Option<InPredicates>,
    }

    /// An expression and how what it finds is masked.
    struct PatternDocument: "a masking pattern" {
        /// Its name: findings are counted under it.
        name: Needed<At<String>>,
        /// A regular expression, without look-around.
        regex: Needed<At<RegexText>>,
        /// How.
        r#as: Needed<How>,
    }

    /// What is kept of a request.
    struct RecordDocument: "`record`" {
        /// For how long. For ever if not given.
        retain: Option<DurationText>,
        /// Whether masked results are kept, sealed. `masked` if not given.
        results: Option<RecordedResults>,
        /// The largest result kept. `4MiB` if not given.
        max_result: Option<SizeText>,
        /// Who may read the whole record, beside people who may approve something. Everyone reads their own.
        readers: Option<At<WhoDocument>>,
    }
}

/// The JSON Schema of a policy file.
pub fn schema() -> Json {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<PolicyDocument>()
        .to_value();
    without_null(&mut schema);
    schema["title"] = json!("Portcullis policy");
    schema
}

/// An optional key may be left out; it may not be there without a value.
fn without_null(schema: &mut Json) {
    if let Some(object) = schema.as_object_mut() {
        if let Some(types) = object.get_mut("type")
            && let Some(list) = types.as_array_mut()
        {
            list.retain(|name| name != "null");
            if let [only] = list.as_slice() {
                *types = only.clone();
            }
        }
        if let Some(list) = object.get_mut("anyOf").and_then(Json::as_array_mut) {
            list.retain(|one| one != &json!({"type": "null"}));
            if list.len() == 1 {
                let only = list.remove(0);
                object.remove("anyOf");
                if let Json::Object(only) = only {
                    for (key, value) in only {
                        object.entry(key).or_insert(value);
                    }
                }
            }
        }
        object.values_mut().for_each(without_null);
    } else if let Some(list) = schema.as_array_mut() {
        list.iter_mut().for_each(without_null);
    }
}

/// `1`.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormatVersion;

impl FromNode for FormatVersion {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        match scalar(node, "a version", problems)? {
            "1" => Some(Self),
            other => {
                problems.suggest(
                    node.place,
                    format!(
                        "this program does not know version {} of a policy",
                        quoted(other)
                    ),
                    "write `version: 1`",
                );
                None
            }
        }
    }
}

impl JsonSchema for FormatVersion {
    fn schema_name() -> Cow<'static, str> {
        "FormatVersion".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"const": 1})
    }
}

/// A text with a meaning of its own, read by a function of `units`.
macro_rules! text {
    ($($name:ident($type:ty), $read:path, $what:literal, $schema:tt;)*) => {$(
        #[derive(Clone, Debug)]
        pub(super) struct $name(pub(super) $type);

        impl FromNode for $name {
            fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
                let text = scalar(node, $what, problems)?;
                if text.trim().is_empty() {
                    problems.add(node.place, concat!("this is empty; ", $what, " is wanted"));
                    return None;
                }
                match $read(text) {
                    Ok(value) => Some(Self(value)),
                    Err((message, suggestion)) => {
                        problems.suggest(node.place, message, suggestion);
                        None
                    }
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schemars::json_schema!($schema)
            }
        }
    )*};
}

text! {
    DurationText(Duration), units::duration, "a duration",
        {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$", "examples": ["30s", "1h30m", "400d"]};
    SizeText(u64), units::size, "a size",
        {"anyOf": [
            {"type": "string", "pattern": "^[0-9]+ ?(B|kB|KiB|MB|MiB|GB|GiB)?$", "examples": ["8MiB"]},
            {"type": "integer", "minimum": 1}
        ]};
    HoursText(Hours), units::hours, "a span of hours",
        {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2} .+$",
         "examples": ["22:00-06:00 Europe/Berlin"]};
    PatternText(TablePattern), units::table_pattern, "a pattern of tables",
        {"type": "string", "examples": ["public.customers", "*.customers", "customers"]};
    KindsText(KindPattern), units::kind, "a kind of statement or command",
        {"type": "string", "examples": ["create index", "kubectl get", "terraform plan"]};
    FunctionText(String), units::function, "the name of a function",
        {"type": "string", "examples": ["public.similarity", "similarity"]};
    ColumnPatternText(String), units::column_pattern, "a pattern of columns",
        {"type": "string", "examples": ["*.customers.email"]};
    HostText(String), units::host, "a host",
        {"type": "string", "examples": ["web-1.example.com"]};
    HostKeyText(String), units::host_key, "the public key of a host",
        {"type": "string", "examples": ["ssh-ed25519 AAAA…"]};
    RegexText(String), units::regex, "a regular expression",
        {"type": "string", "format": "regex", "maxLength": 1000};
}

/// A kind of connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct KindText(pub(super) ConnectionKind);

impl FromNode for KindText {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        const KINDS: [(&str, ConnectionKind); 7] = [
            ("postgres", ConnectionKind::Postgres),
            ("mysql", ConnectionKind::Mysql),
            ("mariadb", ConnectionKind::Mysql),
            ("sqlite", ConnectionKind::Sqlite),
            ("mssql", ConnectionKind::Mssql),
            ("command", ConnectionKind::Command),
            ("http", ConnectionKind::Http),
        ];
        let text = scalar(node, "a kind of connection", problems)?;
        let known = KINDS.iter().find(|(name, _)| *name == text);
        if known.is_none() {
            let allowed = choices(text, "allowed", KINDS.iter().map(|(name, _)| *name));
            let message = format!("{} is not a kind of connection", quoted(text));
            problems.suggest(node.place, message, allowed);
        }
        known.map(|(_, kind)| Self(*kind))
    }
}

impl JsonSchema for KindText {
    fn schema_name() -> Cow<'static, str> {
        ConnectionKind::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        ConnectionKind::json_schema(generator)
    }
}

/// What an endpoint has keys for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Database,
    Command,
    Http,
}

impl Sort {
    pub(super) fn of(kind: ConnectionKind) -> Self {
        match kind {
            ConnectionKind::Command => Self::Command,
            ConnectionKind::Http => Self::Http,
            ConnectionKind::Postgres
            | ConnectionKind::Mysql
            | ConnectionKind::Sqlite
            | ConnectionKind::Mssql => Self::Database,
        }
    }
}

impl EndpointDocument {
    /// What it says, if it fits the kind as far as that is known. `None`: it does not, and has been reported.
    pub(super) fn endpoint(
        given: &At<Self>,
        kind: Option<ConnectionKind>,
        programs: &Arc<BTreeMap<String, String>>,
        host: Option<&Host>,
        api: &Api,
        problems: &mut Problems<'_>,
    ) -> Option<Endpoint> {
        let Self {
            url,
            token,
            scope,
            headers,
            sslrootcert,
            env,
            files,
            user: _,
            private_key: _,
            certificate: _,
            password: _,
        } = &given.value;
        let sort = kind.map(Sort::of);
        let before = problems.count();
        let mut only = |there: Option<Place>, key: &str, of: &[Sort]| {
            if let (Some(place), Some(sort)) = (there, sort)
                && !of.contains(&sort)
            {
                let (for_what, how) = match of {
                    [Sort::Command] => ("commands", "remove it, or write `kind: command`"),
                    [Sort::Http] => ("HTTP APIs", "remove it, or write `kind: http`"),
                    _ => (
                        "databases",
                        "remove it; a command's credential is in `env` and `files`",
                    ),
                };
                problems.suggest(place, format!("`{key}` is for {for_what}"), how);
            }
        };
        only(
            url.as_ref().map(|at| at.place),
            "url",
            &[Sort::Database, Sort::Http],
        );
        only(
            token.as_ref().map(|at| at.place),
            "token",
            &[Sort::Database, Sort::Http],
        );
        only(scope.as_ref().map(|at| at.place), "scope", &[Sort::Http]);
        only(
            headers.as_ref().map(|at| at.place),
            "headers",
            &[Sort::Http],
        );
        only(
            sslrootcert.as_ref().map(|at| at.place),
            "sslrootcert",
            &[Sort::Http],
        );
        only(env.as_ref().map(|at| at.place), "env", &[Sort::Command]);
        only(files.as_ref().map(|at| at.place), "files", &[Sort::Command]);
        if sort.is_some_and(|sort| sort != Sort::Command) {
            for (place, key) in given.value.of_login() {
                if let Some(place) = place {
                    let how = "remove it; a database's credential is in its `url`, that of an API in `headers`";
                    problems.suggest(place, format!("`{key}` is for commands at a host"), how);
                }
            }
        }
        if problems.count() > before {
            return None;
        }
        if sort == Some(Sort::Command) {
            let host = match host {
                Some(host) => Some((host.clone(), given.value.login(given.place, problems)?)),
                None => {
                    for (place, key) in given.value.of_login() {
                        if let Some(place) = place {
                            let how = "remove it, or say which host with `ssh`, beside `programs`";
                            problems.suggest(
                                place,
                                format!("`{key}` is for commands at a host"),
                                how,
                            );
                        }
                    }
                    None
                }
            };
            let variable = match host {
                Some(_) => units::seen_variable,
                None => units::variable,
            };
            let programs = Programs {
                programs: Arc::clone(programs),
                env: named(env.as_ref(), variable, problems)?,
                files: named(files.as_ref(), units::file, problems)?,
                host,
            };
            return (problems.count() == before).then_some(Endpoint::Programs(programs));
        }
        let Some(url) = url else {
            problems.suggest(
                given.place,
                "this endpoint has no `url`",
                "say where it leads; its secrets as ${secret:NAME}",
            );
            return None;
        };
        let mut wrong = |place, (message, suggestion): (String, String)| {
            problems.suggest(place, message, suggestion);
        };
        let address = units::address(kind, &url.value)
            .map_err(|told| wrong(url.place, told))
            .ok()?;
        if sort == Some(Sort::Http) {
            let token = match (token, scope) {
                (None, None) => None,
                (Some(token), Some(scope)) => {
                    let sent = headers.iter().flat_map(|headers| &headers.value.0);
                    let sent = sent.map(|(name, _)| name);
                    if let Some(twice) = sent
                        .into_iter()
                        .find(|name| name.value.eq_ignore_ascii_case("authorization"))
                    {
                        wrong(
                            twice.place,
                            (
                                "the token is the authorization already".into(),
                                "remove one of them".into(),
                            ),
                        );
                        return None;
                    }
                    Some((token.value, scope.value.clone()))
                }
                (Some(token), None) => {
                    let how = "add `scope`, such as https://management.azure.com/.default";
                    wrong(
                        token.place,
                        ("this does not say what the token is for".into(), how.into()),
                    );
                    return None;
                }
                (None, Some(scope)) => {
                    wrong(
                        scope.place,
                        (
                            "there is no token for this scope".into(),
                            "add `token: entra`".into(),
                        ),
                    );
                    return None;
                }
            };
            let headers = named(headers.as_ref(), units::header, problems)?;
            let headers = headers.into_iter();
            return Some(Endpoint::Http(Upstream {
                api: Arc::new(Api {
                    url: address,
                    ..api.clone()
                }),
                headers: headers
                    .map(|(name, value)| (name.to_ascii_lowercase(), value))
                    .collect(),
                token,
                sslrootcert: sslrootcert.as_ref().map(|at| at.value.clone()),
            }));
        }
        if let Some(token) = token {
            units::with_token(kind, &address)
                .map_err(|told| wrong(token.place, told))
                .ok()?;
        }
        Some(Endpoint::Database {
            url: address,
            token: token.as_ref().map(|token| token.value),
        })
    }

    /// The keys that say who someone is to a host, and where they stand.
    fn of_login(&self) -> [(Option<Place>, &'static str); 4] {
        let place = |given: &Option<At<String>>| given.as_ref().map(|at| at.place);
        [
            (place(&self.user), "user"),
            (place(&self.private_key), "private_key"),
            (place(&self.certificate), "certificate"),
            (place(&self.password), "password"),
        ]
    }

    /// Who it is to a host. `None`: it does not say, and that has been reported.
    fn login(&self, place: Place, problems: &mut Problems<'_>) -> Option<Login> {
        let before = problems.count();
        if let Some(files) = &self.files {
            let how = "remove it, and keep the file in the account's own folder at the host";
            problems.suggest(files.place, "`files` are not sent to another host", how);
        }
        for credential in [&self.private_key, &self.password].into_iter().flatten() {
            if let Err((message, suggestion)) = units::credential(&credential.value) {
                problems.suggest(credential.place, message, suggestion);
            }
        }
        if let Some(certificate) = &self.certificate {
            if self.private_key.is_none() {
                let how = "add the `private_key` it was signed for, or remove it";
                problems.suggest(certificate.place, "this certificate is of no key", how);
            } else if let Err((message, suggestion)) = units::references(&certificate.value) {
                problems.suggest(certificate.place, message, suggestion);
            }
        }
        let text = |given: &At<String>| given.value.trim().to_owned();
        let proof = match (&self.private_key, &self.password) {
            (Some(key), None) => Some(Proof::Key {
                private: text(key),
                certificate: self.certificate.as_ref().map(text),
            }),
            (None, Some(password)) => Some(Proof::Password(text(password))),
            (Some(_), Some(password)) => {
                let how = "remove one of them";
                problems.suggest(password.place, "there is a key already", how);
                None
            }
            (None, None) => {
                let how = "add `private_key: \"${secret:NAME}\"`";
                problems.suggest(place, "this does not say how to log in to the host", how);
                None
            }
        };
        if self.user.is_none() {
            let how = "add `user`, an account at the host that may do no more than this needs";
            problems.suggest(place, "this does not say who logs in to the host", how);
        }
        (problems.count() == before).then_some(Login {
            user: text(self.user.as_ref()?),
            proof: proof?,
        })
    }
}

/// Texts by name, each checked by `check`. `None`: one of them is wrong, and has been reported.
pub(super) fn named(
    given: Option<&At<ByName<String>>>,
    check: impl Fn(&str, &str) -> Result<(), (String, String)>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<String, String>> {
    let before = problems.count();
    let mut texts = BTreeMap::new();
    for (name, text) in given.iter().flat_map(|given| &given.value.0) {
        let Some(text) = text else { continue };
        if let Err((message, suggestion)) = check(&name.value, &text.value) {
            problems.suggest(name.place, message, suggestion);
        }
        texts.insert(name.value.clone(), text.value.clone());
    }
    let sound = given.is_none_or(|given| given.sound) && problems.count() == before;
    sound.then_some(texts)
}

/// What follows when a rule matches.
#[derive(Clone, Debug, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ThenDocument {
    /// Let it through.
    Allow,
    /// Hold it until this approver group has agreed.
    RequireApproval(At<String>),
    /// Refuse it, with this message for whoever asked.
    Deny(String),
    /// Let it through rewritten: `{ limit: ROWS }`, `explain` or `dry_run`. What it becomes is judged again, run and
    /// recorded; what cannot be rewritten surely is refused.
    Rewrite(Rewrite),
}

impl FromNode for ThenDocument {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        const HOW: &str = "write `allow`, `{ require_approval: GROUP }`, `{ rewrite: dry_run }` or `{ deny: \"why, and what to do\" }`";
        match single_entry(node) {
            Entry::Word("allow") => Some(Self::Allow),
            Entry::Word("deny") => {
                problems.suggest(node.place, "this denies without saying why", HOW);
                None
            }
            Entry::Word("require_approval") => {
                problems.suggest(node.place, "this does not say whose approval", HOW);
                None
            }
            Entry::Pair("require_approval", value) => {
                At::read(value, problems).map(Self::RequireApproval)
            }
            Entry::Pair("deny", value) => String::read(value, problems).map(Self::Deny),
            Entry::Word("rewrite") => {
                problems.suggest(node.place, "this does not say into what", HOW);
                None
            }
            Entry::Pair("rewrite", value) => Rewrite::read(value, problems).map(Self::Rewrite),
            Entry::Word(other) | Entry::Pair(other, _) => {
                let known = ["allow", "require_approval", "rewrite", "deny"];
                let hint = choices(other, "allowed", known);
                let message = format!("{} is not something that can follow", quoted(other));
                problems.suggest(node.place, message, format!("{hint}; {HOW}"));
                None
            }
            Entry::Several => {
                problems.suggest(node.place, "only one thing can follow", HOW);
                None
            }
            Entry::Other => {
                wanted(node, "what follows", problems);
                None
            }
        }
    }
}

impl FromNode for Rewrite {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        const HOW: &str = "write { limit: 1000 }, explain or dry_run";
        match single_entry(node) {
            Entry::Word("explain") => Some(Self::Explain),
            Entry::Word("dry_run") => Some(Self::DryRun),
            Entry::Pair("limit", value) => {
                Positive::read(value, problems).map(|Positive(rows)| Self::Limit(rows.into()))
            }
            Entry::Word(other) | Entry::Pair(other, _) => {
                let hint = choices(other, "allowed", ["limit", "explain", "dry_run"]);
                let message = format!("{} is not a way to rewrite", quoted(other));
                problems.suggest(node.place, message, format!("{hint}; {HOW}"));
                None
            }
            Entry::Several => {
                problems.suggest(node.place, "a statement is rewritten in one way", HOW);
                None
            }
            Entry::Other => {
                wanted(node, "a way to rewrite", problems);
                None
            }
        }
    }
}

impl FromNode for How {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        const HOW: &str = "write redact, null, hash, pseudonym or { keep_last: 4 }";
        match single_entry(node) {
            Entry::Word("redact") => Some(Self::Redact),
            Entry::Word("null") => Some(Self::Null),
            Entry::Word("hash") => Some(Self::Hash),
            Entry::Word("pseudonym") => Some(Self::Pseudonym),
            Entry::Pair("keep_last", value) => match Positive::read(value, problems)? {
                Positive(count @ ..=64) => Some(Self::KeepLast(count)),
                Positive(_) => {
                    let message = "this keeps more than 64 characters";
                    problems.suggest(value.place, message, "keep fewer, such as 4");
                    None
                }
            },
            Entry::Word(other) | Entry::Pair(other, _) => {
                let known = ["redact", "null", "hash", "pseudonym", "keep_last"];
                let hint = choices(other, "allowed", known);
                let message = format!("{} is not a way to mask", quoted(other));
                problems.suggest(node.place, message, format!("{hint}; {HOW}"));
                None
            }
            Entry::Several => {
                problems.suggest(node.place, "a value is masked in one way", HOW);
                None
            }
            Entry::Other => {
                wanted(node, "a way to mask", problems);
                None
            }
        }
    }
}

/// A word alone, or one key with its value.
enum Entry<'n> {
    Word(&'n str),
    Pair(&'n str, &'n Node),
    Several,
    Other,
}

fn single_entry(node: &Node) -> Entry<'_> {
    match &node.value {
        Value::Scalar { text, .. } if text == "null" || !node.is_empty() => Entry::Word(text),
        Value::Map(entries) => match entries.as_slice() {
            [(Key { text, .. }, value)] => Entry::Pair(text, value),
            _ => Entry::Several,
        },
        _ => Entry::Other,
    }
}

macro_rules! words {
    ($($type:ty, $what:literal: $($word:literal => $value:expr),*;)*) => {$(
        impl FromNode for $type {
            fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
                word(node, $what, &[$(($word, $value)),*], problems)
            }
        }
    )*};
}

words! {
    Effect, "an effect":
        "read" => Self::Read, "secret" => Self::Secret, "write" => Self::Write,
        "destructive" => Self::Destructive, "schema" => Self::Schema, "admin" => Self::Admin,
        "unknown" => Self::Unknown;
    ApproverKind, "a kind of approver":
        "human" => Self::Human, "pipeline" => Self::Pipeline;
    RecordedResults, "something to keep of results":
        "masked" => Self::Masked, "none" => Self::None;
    Family, "an API":
        "azure" => Self::Arm, "graph" => Self::MicrosoftGraph, "kubernetes" => Self::Kubernetes,
        "storage" => Self::Storage, "key_vault" => Self::KeyVault, "cosmos" => Self::Cosmos,
        "service_bus" => Self::ServiceBus, "model" => Self::Model, "graphql" => Self::GraphQl,
        "generic" => Self::Generic;
    OnFinding, "something that can become of an answer":
        "mask" => Self::Mask, "deny" => Self::Deny;
    Token, "a kind of token":
        "entra" => Self::Entra;
    DetectorSet, "a set of detectors":
        "secrets" => Self::Secrets, "personal" => Self::Personal;
    InPredicates, "something that can follow":
        "allow" => Self::Allow, "require_approval" => Self::RequireApproval, "deny" => Self::Deny;
}
