//! What is asked: parsed and bounded once, then carried whole.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{
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

/// What an agent asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Operation {
    /// A SQL statement.
    Sql(SqlOperation),
    /// A command.
    Command(CommandOperation),
}

impl Operation {
    /// Checks that a connection of this kind can take it.
    pub fn suits(
        &self,
        connection: &ConnectionName,
        kind: ConnectionKind,
    ) -> Result<(), BadOperation> {
        let (takes, instead) = match kind {
            ConnectionKind::Command => (
                "commands",
                "send `argv` to its `exec`, which is `run_command` in MCP",
            ),
            ConnectionKind::Postgres
            | ConnectionKind::Mysql
            | ConnectionKind::Sqlite
            | ConnectionKind::Mssql => ("SQL", "send `sql` to its `query`"),
        };
        let sent = match self {
            Self::Sql(_) => "SQL",
            Self::Command(_) => "a command",
        };
        let fits = match self {
            Self::Sql(_) => kind.dialect().is_some(),
            Self::Command(_) => kind == ConnectionKind::Command,
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
        }
    }

    /// The statement, if it is SQL.
    pub fn sql(&self) -> Option<&SqlOperation> {
        match self {
            Self::Sql(sql) => Some(sql),
            Self::Command(_) => None,
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
