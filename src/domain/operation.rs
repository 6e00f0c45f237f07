//! What is asked: parsed and bounded once, then carried whole.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{
    classify::http::{self, HttpCall},
    connection::{ConnectionKind, ConnectionName},
    principal::PrincipalId,
    record::{Hash, hash_of},
};

/// The longest statement taken, in bytes.
pub const MAX_STATEMENT: usize = 1 << 20;
/// The most parameters taken: PostgreSQL's protocol counts them in 16 bits.
pub const MAX_PARAMS: usize = 65_535;
/// The most arguments taken, the program's name among them.
pub const MAX_ARGUMENTS: usize = 1_024;
/// The longest command taken, in bytes over all arguments.
pub const MAX_COMMAND: usize = 128 << 10;
/// The most that is given to a command to read, in bytes.
pub const MAX_STDIN: usize = 1 << 20;
/// The longest body of an HTTP call taken, in bytes: the longest that is judged.
pub const MAX_HTTP_BODY: usize = http::LONGEST_BODY;
/// The longest path and query of an HTTP call taken, in bytes, and the most of its header fields.
pub const MAX_HTTP_HEAD: usize = 32 << 10;
/// The longest reason taken, in bytes. It is shown to approvers, so it is a sentence, not a document.
pub const MAX_REASON: usize = 2_000;

/// One SQL statement with its parameters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlOperation {
    /// The exact text that is judged, digested and run.
    pub statement: String,
    /// `$1`, `$2`, … (`?1` in SQLite) in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// The caller's own limit on rows, below the connection's budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
    /// To be run as a change and rolled back. Only policy says so; an approval for a dry run is none for the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// One parameter, as the caller's JSON had it. A number keeps its digits: `1.10` and a 30-digit decimal reach the
/// target as they were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Param {
    /// SQL NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number, by its digits.
    Number(Box<str>),
    /// A string.
    Text(String),
    /// An array or object, by its JSON text.
    Json(Box<str>),
}

impl Param {
    /// Reads one JSON value.
    pub fn from_json(raw: &RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b'[' | b'{') => Self::Json(text.into()),
            _ => Self::Number(text.into()),
        })
    }

    /// The parameter as text for the target, `None` for NULL.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(if *value { "true" } else { "false" }),
            Self::Number(text) | Self::Json(text) => Some(text),
            Self::Text(text) => Some(text),
        }
    }
}

/// Why an operation was not taken. Nothing has been judged or recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOperation {
    /// Nothing but white space.
    #[error("`sql` is empty: send one statement")]
    Empty,
    /// Over [`MAX_STATEMENT`].
    #[error(
        "`sql` is {0} bytes long, the limit is {MAX_STATEMENT}: send less data per statement, or use parameters"
    )]
    StatementTooLong(usize),
    /// Over [`MAX_PARAMS`].
    #[error("`params` has {0} entries, the limit is {MAX_PARAMS}")]
    TooManyParams(usize),
    /// Over [`MAX_REASON`].
    #[error("`reason` is {0} bytes long, the limit is {MAX_REASON}: a sentence is enough")]
    ReasonTooLong(usize),
    /// A NUL byte, which no target can carry and which ends text in some of them.
    #[error("`sql` or a parameter contains a NUL character (U+0000): remove it")]
    Nul,
    /// `max_rows` of zero.
    #[error("`max_rows` is 0: leave it out, or ask for at least one row")]
    NoRows,
    /// No program.
    #[error(
        "`argv` names no program: send the program and its arguments, each as one string, such as \
         [\"kubectl\", \"get\", \"pods\"]"
    )]
    NoProgram,
    /// Over [`MAX_ARGUMENTS`] or [`MAX_COMMAND`].
    #[error(
        "`argv` has {count} arguments of {bytes} bytes in all, the limits are {MAX_ARGUMENTS} and {MAX_COMMAND}: give \
         what is long as `stdin`"
    )]
    CommandTooLong {
        /// How many arguments.
        count: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// Over [`MAX_STDIN`].
    #[error("`stdin` is {0} bytes long, the limit is {MAX_STDIN}")]
    InputTooLong(usize),
    /// A NUL byte ends an argument before its end.
    #[error("`argv` contains a NUL character (U+0000): remove it")]
    NulArgument,
    /// An HTTP call that servers could read in different ways.
    #[error("the call has no one form that every server reads alike: {0}; send it without that")]
    NoOneForm(&'static str),
    /// It would become a connection of another protocol.
    #[error(
        "the call asks for another protocol (`Upgrade`, WebSocket, `CONNECT`), whose content could be neither judged nor \
         masked; what needs one, such as `kubectl exec`, does not go through here"
    )]
    Upgrade,
    /// Over [`MAX_HTTP_BODY`].
    #[error(
        "the body is longer than {MAX_HTTP_BODY} bytes, and what is longer is not judged: send less per call"
    )]
    BodyTooLong,
    /// Over [`MAX_HTTP_HEAD`].
    #[error(
        "the path or the header fields are longer than {MAX_HTTP_HEAD} bytes: send what is long as the body"
    )]
    HeadTooLong,
    /// What the connection leads to takes something else.
    #[error("connection `{connection}` takes {takes}, and this is {sent}: {instead}")]
    OtherKind {
        /// The connection.
        connection: ConnectionName,
        /// What it takes.
        takes: &'static str,
        /// What was sent.
        sent: &'static str,
        /// Where to send what.
        instead: &'static str,
    },
}

impl SqlOperation {
    /// Takes a statement within the limits above.
    pub fn new(
        statement: String,
        params: Vec<Param>,
        max_rows: Option<u64>,
    ) -> Result<Self, BadOperation> {
        if statement.trim().is_empty() {
            return Err(BadOperation::Empty);
        }
        if statement.len() > MAX_STATEMENT {
            return Err(BadOperation::StatementTooLong(statement.len()));
        }
        if params.len() > MAX_PARAMS {
            return Err(BadOperation::TooManyParams(params.len()));
        }
        let has_nul = |param: &Param| match param {
            Param::Text(text) => text.contains('\0'),
            Param::Json(text) => text.contains("\\u0000"),
            Param::Null | Param::Bool(_) | Param::Number(_) => false,
        };
        if statement.contains('\0') || params.iter().any(has_nul) {
            return Err(BadOperation::Nul);
        }
        if max_rows == Some(0) {
            return Err(BadOperation::NoRows);
        }
        Ok(Self {
            statement,
            params,
            max_rows,
            dry_run: false,
        })
    }
}

/// Statements are secret: only their masked rendering may be printed.
impl std::fmt::Debug for SqlOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SqlOperation({} bytes, {} params)",
            self.statement.len(),
            self.params.len()
        )
    }
}

/// One program with its arguments, run without a shell.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOperation {
    /// The program, then its arguments.
    pub argv: Vec<String>,
    /// What it can read; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
}

impl CommandOperation {
    /// Takes a command within the limits above.
    pub fn new(argv: Vec<String>, stdin: Option<String>) -> Result<Self, BadOperation> {
        if argv.first().is_none_or(|program| program.is_empty()) {
            return Err(BadOperation::NoProgram);
        }
        let (count, bytes) = (argv.len(), argv.iter().map(String::len).sum());
        if count > MAX_ARGUMENTS || bytes > MAX_COMMAND {
            return Err(BadOperation::CommandTooLong { count, bytes });
        }
        if argv.iter().any(|argument| argument.contains('\0')) {
            return Err(BadOperation::NulArgument);
        }
        if let Some(long) = stdin.as_ref().filter(|input| input.len() > MAX_STDIN) {
            return Err(BadOperation::InputTooLong(long.len()));
        }
        Ok(Self { argv, stdin })
    }

    /// As a person would type it: quoted where a shell would read it otherwise.
    pub fn shown(&self) -> String {
        let words: Vec<_> = self.argv.iter().map(|word| quoted(word)).collect();
        let line = words.join(" ");
        match &self.stdin {
            Some(input) => format!("{line} <<'STDIN'\n{input}\nSTDIN"),
            None => line,
        }
    }
}

/// One word of a shell, in single quotes unless it is plain.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    match word.bytes().all(plain) && !word.is_empty() {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")).into(),
    }
}

/// Commands are secret as statements are.
impl std::fmt::Debug for CommandOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CommandOperation({} arguments)", self.argv.len())
    }
}

/// One call to an HTTP API, in the one form in which it is judged, digested and sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpOperation {
    /// The method, in upper case.
    pub method: String,
    /// Path and query below the connection's url, normalised.
    pub target: String,
    /// The header fields that mean something to the API, by name in lower case and order of names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The body, base64 in JSON.
    #[serde(default, skip_serializing_if = "Bytes::is_empty", with = "in_base64")]
    pub body: Bytes,
}

/// Fields of a caller that never reach the API: credentials, what is about one connection or names who calls from where,
/// what would have another host or path served, what numbers or traces the call (it is another each time the same is
/// asked), and what is chosen for the answer's sake.
const NOT_CARRIED: &[&str] = &[
    "accept-encoding",
    "api-key",
    "authorization",
    "baggage",
    "client-ip",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "date",
    "disguised-host",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "kubectl-command",
    "kubectl-session",
    "max-forwards",
    "origin",
    "ocp-apim-subscription-key",
    "prefer",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "request-id",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "was-default-hostname",
    "x-api-key",
    "x-client-ip",
    "x-correlation-id",
    "x-forwarded",
    "x-goog-api-key",
    "x-host",
    "x-ms-client-request-id",
    "x-ms-correlation-request-id",
    "x-ms-date",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
    "x-site-deployment-id",
];
/// How such fields begin.
const NOT_CARRIED_FAMILIES: &[&str] = &[
    "portcullis-",
    "proxy-",
    "sec-fetch-",
    "sec-websocket-",
    "x-appservice-",
    "x-arr-",
    "x-azure-",
    "x-forwarded-",
    "x-stainless-",
    "x-waws-",
];

/// Whether a header field, by its name in lower case, goes from a caller to an API.
fn is_carried(name: &str) -> bool {
    !NOT_CARRIED.contains(&name)
        && !NOT_CARRIED_FAMILIES
            .iter()
            .any(|family| name.starts_with(family))
}

impl HttpOperation {
    /// Takes a call within the limits above and brings it into its one form. `target`: path and query as they were sent;
    /// `headers`: all that were sent, in order.
    pub fn new(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Self, BadOperation> {
        let lower = |name: &str| name.to_ascii_lowercase();
        if method.eq_ignore_ascii_case("CONNECT")
            || headers.iter().any(|(name, _)| lower(name) == "upgrade")
        {
            return Err(BadOperation::Upgrade);
        }
        if method.eq_ignore_ascii_case("TRACE") {
            return Err(BadOperation::NoOneForm("it asks for itself back"));
        }
        if body.len() > MAX_HTTP_BODY {
            return Err(BadOperation::BodyTooLong);
        }
        let in_head = headers.iter().map(|(name, value)| name.len() + value.len());
        if target.len() > MAX_HTTP_HEAD || in_head.sum::<usize>() > MAX_HTTP_HEAD {
            return Err(BadOperation::HeadTooLong);
        }
        let is_plain = |value: &str| {
            value
                .bytes()
                .all(|b| b == b'\t' || matches!(b, b' '..=b'~'))
        };
        if !headers.iter().all(|(_, value)| is_plain(value)) {
            return Err(BadOperation::NoOneForm(
                "a header field has characters other than visible ASCII",
            ));
        }
        if !target.starts_with('/') {
            return Err(BadOperation::NoOneForm("its path does not begin with `/`"));
        }
        // What a field `Connection` names is about this connection too.
        let of_connection: Vec<String> = headers
            .iter()
            .filter(|(name, _)| lower(name) == "connection")
            .flat_map(|(_, value)| value.split(','))
            .map(|name| lower(name.trim()))
            .collect();
        let mut carried: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| (lower(name), value.trim().to_owned()))
            .filter(|(name, _)| is_carried(name) && !of_connection.contains(name))
            .collect();
        carried.sort_by(|one, other| one.0.cmp(&other.0));
        let mut operation = Self {
            method: method.to_ascii_uppercase(),
            target: target.to_owned(),
            headers: carried,
            body,
        };
        // Whose host it is changes nothing about its form.
        let canonical = operation.with_call("https://api.invalid", http::canonical);
        operation.target = canonical.map_err(BadOperation::NoOneForm)?;
        Ok(operation)
    }

    /// Reads a call as a person writes it: `GET /path`, then header fields, then an empty line and the body.
    pub fn from_text(text: &str) -> Result<Self, BadOperation> {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.trim().lines();
        let first = lines.next().unwrap_or_default();
        let (method, target) = first.split_once(' ').unwrap_or(("GET", first));
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        Self::new(method, target.trim(), &headers, body.to_owned().into())
    }

    /// Where it goes below `base`, which ends without a slash.
    pub fn url(&self, base: &str) -> String {
        format!("{base}{}", self.target)
    }

    /// Gives the call to an API at `base` to a judge.
    pub fn with_call<T>(&self, base: &str, judge: impl FnOnce(&HttpCall<'_>) -> T) -> T {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        judge(&HttpCall {
            method: &self.method,
            url: &self.url(base),
            headers: &headers,
            body: (!self.body.is_empty()).then_some(&self.body),
        })
    }

    /// As a person would write it.
    pub fn shown(&self) -> String {
        use std::fmt::Write;
        let mut text = format!("{} {}", self.method, self.target);
        for (name, value) in &self.headers {
            let _ = write!(text, "\n{name}: {value}");
        }
        match std::str::from_utf8(&self.body) {
            Ok("") => {}
            Ok(body) => {
                let _ = write!(text, "\n\n{body}");
            }
            Err(_) => {
                let hash = super::record::Hash::of(&self.body);
                let _ = write!(
                    text,
                    "\n\n({} bytes that are no text, {hash})",
                    self.body.len()
                );
            }
        }
        text
    }
}

/// Calls are secret as statements are.
impl std::fmt::Debug for HttpOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "HttpOperation({}, {} bytes)",
            self.method,
            self.body.len()
        )
    }
}

/// Bytes as base64.
mod in_base64 {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, into: S) -> Result<S::Ok, S::Error> {
        into.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        Ok(bytes.into())
    }
}

/// What an agent asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Operation {
    /// A SQL statement.
    Sql(SqlOperation),
    /// A command.
    Command(CommandOperation),
    /// A call to an HTTP API.
    Http(HttpOperation),
}

impl Operation {
    /// Checks that a connection of this kind can take it.
    pub fn suits(
        &self,
        connection: &ConnectionName,
        kind: ConnectionKind,
    ) -> Result<(), BadOperation> {
        let (takes, instead) = kind.takes();
        let sent = match self {
            Self::Sql(_) => "SQL",
            Self::Command(_) => "a command",
            Self::Http(_) => "an HTTP call",
        };
        let fits = match self {
            Self::Sql(_) => kind.dialect().is_some(),
            Self::Command(_) => kind == ConnectionKind::Command,
            Self::Http(_) => kind == ConnectionKind::Http,
        };
        if fits {
            return Ok(());
        }
        Err(BadOperation::OtherKind {
            connection: connection.clone(),
            takes,
            sent,
            instead,
        })
    }

    /// Its text as a person reads it: raw, for masking only.
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::Sql(sql) => (&*sql.statement).into(),
            Self::Command(command) => command.shown().into(),
            Self::Http(call) => call.shown().into(),
        }
    }

    /// The statement, if it is SQL.
    pub fn sql(&self) -> Option<&SqlOperation> {
        match self {
            Self::Sql(sql) => Some(sql),
            Self::Command(_) | Self::Http(_) => None,
        }
    }

    /// What an approval binds: SHA-256 over operation, parameters, connection and principal. The reason is not part
    /// of it, it changes nothing at the target.
    pub fn digest(&self, connection: &ConnectionName, principal: &PrincipalId) -> Hash {
        hash_of(
            "portcullis-operation-v1",
            &json!({"connection": connection, "principal": principal, "operation": self}),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(statement: &str, params: Vec<Param>) -> Operation {
        Operation::Sql(SqlOperation::new(statement.into(), params, None).unwrap())
    }

    #[test]
    fn a_digest_changes_with_everything_an_approval_binds() {
        use crate::domain::principal::PrincipalKind::{Agent, Human};
        let crm: ConnectionName = "crm".parse().unwrap();
        let bot = PrincipalId::new(Agent, "bot");
        let base = operation("DELETE FROM t WHERE id = $1", vec![Param::Text("1".into())]);
        let digest = base.digest(&crm, &bot);
        assert_eq!(digest, base.clone().digest(&crm, &bot));
        assert_ne!(digest, base.digest(&"crm2".parse().unwrap(), &bot));
        assert_ne!(digest, base.digest(&crm, &PrincipalId::new(Human, "bot")));
        let other_param = operation("DELETE FROM t WHERE id = $1", vec![Param::Text("2".into())]);
        assert_ne!(digest, other_param.digest(&crm, &bot));
        let other_type = operation(
            "DELETE FROM t WHERE id = $1",
            vec![Param::Number("1".into())],
        );
        assert_ne!(digest, other_type.digest(&crm, &bot));
        let other_text = operation(
            "DELETE FROM t WHERE id = $1 ",
            vec![Param::Text("1".into())],
        );
        assert_ne!(digest, other_text.digest(&crm, &bot));
    }

    fn call(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> HttpOperation {
        HttpOperation::new(method, target, headers, body.to_owned().into()).unwrap()
    }

    #[test]
    fn a_call_has_one_form_however_it_is_written() {
        for (written, form) in [
            ("/", "/"),
            ("/a//b/./c/../d", "/a/b/d"),
            ("/a/b/%2e%2e/c/", "/a/c/"),
            ("/%61/%7Eb%3a?x=%41&&y=%2f", "/a/~b%3A?x=A&y=%2F"),
            ("/a?x=1;y=2|3", "/a?x=1%3By=2%7C3"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a{b}^'?q='z'", "/a%7Bb%7D%5E'?q=%27z%27"),
        ] {
            let once = call("get", written, &[], "");
            assert_eq!(once.target, form, "{written}");
            assert_eq!(once.method, "GET");
            assert_eq!(call("GET", form, &[], ""), once, "{written}");
        }
    }

    #[test]
    fn what_servers_read_in_different_ways_is_no_call() {
        let new = |method: &str, target: &str, headers: &[(&str, &str)], body: &str| {
            HttpOperation::new(method, target, headers, body.to_owned().into()).unwrap_err()
        };
        for target in [
            "/../x",
            "/a/%2e%2e/../x",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0d%0ab",
            "/a;b/c",
            "/a%252e",
            "/a b",
            "/a\r\nHost: x",
            "/a#b",
            "/%zz",
            "/a?x=1&x=2",
            "http://elsewhere/",
            "//elsewhere@x",
            "*",
        ] {
            let told = HttpOperation::new("GET", target, &[], Bytes::new());
            match target {
                // Two slashes are one, and what follows is a name in the path.
                "//elsewhere@x" => assert_eq!(told.unwrap().target, "/elsewhere@x"),
                _ => assert!(
                    matches!(told, Err(BadOperation::NoOneForm(_))),
                    "{target}: {told:?}"
                ),
            }
        }
        for headers in [
            &[("x-a", "1"), ("X-A", "2")][..],
            &[("x a", "1")],
            &[("x-a", "1\r\nhost: x")],
        ] {
            let told = new("GET", "/", headers, "");
            assert!(matches!(told, BadOperation::NoOneForm(_)), "{headers:?}");
        }
        assert!(matches!(
            new("GET", "/", &[], "x"),
            BadOperation::NoOneForm(_)
        ));
        assert!(matches!(
            new("TRACE", "/", &[], ""),
            BadOperation::NoOneForm(_)
        ));
        assert!(matches!(
            new("G T", "/", &[], ""),
            BadOperation::NoOneForm(_)
        ));
        assert_eq!(new("CONNECT", "/", &[], ""), BadOperation::Upgrade);
        let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        assert_eq!(new("GET", "/", &upgrade, ""), BadOperation::Upgrade);
        let long = "x".repeat(MAX_HTTP_BODY + 1);
        assert_eq!(new("POST", "/", &[], &long), BadOperation::BodyTooLong);
    }

    #[test]
    fn nothing_of_who_calls_or_by_which_way_is_part_of_a_call() {
        let sent = [
            ("Host", "gate"),
            ("Authorization", "Bearer gate"),
            ("X-Api-Key", "gate"),
            ("Cookie", "a=b"),
            ("Connection", "keep-alive, X-Mine"),
            ("X-Mine", "1"),
            ("X-Original-URL", "/elsewhere"),
            ("X-Forwarded-Host", "elsewhere"),
            ("Portcullis-Session", "s"),
            ("Kubectl-Session", "1"),
            ("Content-Length", "2"),
            ("Transfer-Encoding", "chunked"),
            ("Expect", "100-continue"),
            ("Trailer", "X-T"),
            ("Accept-Encoding", "br"),
            ("Content-Type", "application/json"),
            ("If-Match", "\"1\""),
        ];
        let one = call("PUT", "/a", &sent, "{}");
        let names: Vec<_> = one.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "if-match"]);
        let text = one.shown();
        assert_eq!(HttpOperation::from_text(&text).unwrap(), one, "{text}");
        let sealed = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<HttpOperation>(&sealed).unwrap(), one);
    }

    #[test]
    fn what_cannot_be_an_operation_is_refused_with_the_reason() {
        let new = |text: &str| SqlOperation::new(text.into(), vec![], None).unwrap_err();
        assert_eq!(new(" \n"), BadOperation::Empty);
        assert_eq!(new("SELECT '\0'"), BadOperation::Nul);
        assert_eq!(
            new(&"x".repeat(MAX_STATEMENT + 1)),
            BadOperation::StatementTooLong(1048577)
        );
        let none = SqlOperation::new("SELECT 1".into(), vec![], Some(0)).unwrap_err();
        assert_eq!(none, BadOperation::NoRows);
    }
}
