//! How dangerous an operation is, and what it touches. Facts, not rules: what follows from them is `policy`'s.
//!
//! INVARIANT: doubt ranks as danger. Whatever is not proven to be a read is not a read; what cannot be parsed is
//! [`Effect::Unknown`], above everything else.

use std::{collections::BTreeSet, fmt, ops::Range};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod command;
pub mod http;
pub mod name;
pub mod server;
pub mod sql;

/// From harmless to harmful. A batch takes its highest effect.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Changes nothing, anywhere.
    Read,
    /// Changes nothing, but what comes back holds a credential.
    Secret,
    /// Changes or locks data, a sequence, a setting or a session.
    Write,
    /// Removes data: DELETE, TRUNCATE, and what amounts to it.
    Destructive,
    /// Changes what exists: CREATE, ALTER, DROP.
    Schema,
    /// Changes who may do what, or how the server runs; reaches files, programs or other servers.
    Admin,
    /// We could not tell.
    Unknown,
}

impl Effect {
    /// Every effect, from harmless to harmful.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Secret,
        Self::Write,
        Self::Destructive,
        Self::Schema,
        Self::Admin,
        Self::Unknown,
    ];

    /// The word for it in policy, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Secret => "secret",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::Schema => "schema",
            Self::Admin => "admin",
            Self::Unknown => "unknown",
        }
    }

    /// Whether running it could change anything: then its intent goes on record first.
    pub fn changes_something(self) -> bool {
        self >= Self::Write
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose grammar and built-ins a statement is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
    /// MySQL and MariaDB.
    #[serde(alias = "mariadb")]
    Mysql,
    /// SQL Server.
    #[serde(alias = "tsql", alias = "sqlserver")]
    Mssql,
}

/// What is done to an object.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ObjectAccess {
    /// Looked at.
    Read,
    /// Changed, created, removed, locked.
    Write,
}

/// A table, view or other named thing a statement touches.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Object {
    /// As the server would resolve it, folded as the server folds it: `schema.name` where the text or the server's
    /// catalog says the schema, `name` where neither does; written as [`name::dotted`] does.
    pub name: String,
    /// Looked at or changed.
    pub access: ObjectAccess,
}

/// A column a statement refers to: `relation.column`, or a bare column that could belong to any relation in scope.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct ColumnRef {
    /// The relation's real name (aliases resolved), schema-qualified as an [`Object`]'s; `None`: any in scope.
    pub relation: Option<String>,
    /// The column, folded as the server folds it; `*` for all of them.
    pub column: String,
}

/// Where one column of the result comes from, as far as the text shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OutputSource {
    /// Proven to be the value of one of the listed columns, unchanged. Several where the text alone cannot tell which.
    Column(BTreeSet<ColumnRef>),
    /// Proven to hold nothing but constants, counts, or values computed from the listed columns.
    From(BTreeSet<ColumnRef>),
    /// Several columns, unchanged, each under its own name. `Some`: all of that relation's, in its order. `None`: as many
    /// as the server says there are, from any relation the statement reads.
    Star(Option<String>),
    /// Not proven: whatever the statement reads may be in it.
    Unproven,
}

/// The result's columns, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outputs {
    /// One entry per output expression (a star stands for several columns). A result with another number of columns
    /// than the entries say was not understood after all.
    Known(Vec<OutputSource>),
    /// However many there are, they describe: names, types, keys, a plan. None shows a value of a row.
    Described,
    /// Not proven at all: treat every column as if it came from anything the statement reads.
    Unproven,
}

/// Values a statement brings itself which stand for nothing but a value of a column: they are compared with it for
/// equality, or written to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GivenValues {
    /// The column; several where the text alone cannot tell which.
    pub columns: BTreeSet<ColumnRef>,
    /// Where in the text literals stand, as bytes with their quotes and prefix. What is between the quotes is a string's
    /// text as long as it holds neither quote nor backslash.
    pub literals: Vec<Range<usize>>,
    /// Numbers of parameters, from 1. They stand in no other place of the statement.
    pub parameters: BTreeSet<usize>,
}

/// A value that is put somewhere to stay: whoever reads it there no longer sees whose it was.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Flow {
    /// The column it comes from; `*` for all of a relation's, and of no relation for any the statement reads.
    pub from: ColumnRef,
    /// The column it ends up in, `*` where the text does not say in which; `None`: anywhere, such as a setting, a
    /// file or another server.
    pub into: Option<ColumnRef>,
}

/// What a statement, a command or an HTTP call would do, as a fact. Columns, functions and flows are SQL's alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// The highest effect found; `unknown` if anything could not be judged.
    pub class: Effect,
    /// Every effect found.
    pub effects: BTreeSet<Effect>,
    /// What kinds of statement or command it holds: `select`, `create table`, `kubectl delete`. Empty, or with
    /// [`UNTOLD`] among them, where that could not be told.
    pub kinds: Vec<String>,
    /// What it touches.
    pub objects: BTreeSet<Object>,
    /// Functions it calls, folded, as written.
    pub functions: BTreeSet<String>,
    /// A write or a removal with no condition on which rows.
    pub unbounded: bool,
    /// Columns in WHERE, JOIN, GROUP BY, HAVING, ORDER BY, CASE: places where a value can be inferred without being
    /// shown.
    pub predicates: BTreeSet<ColumnRef>,
    /// Values of columns that the statement brings itself. May miss some, never holds one that is used in another way.
    pub given: Vec<GivenValues>,
    /// The highest number of a parameter in its text.
    pub highest_parameter: usize,
    /// Where each output column comes from.
    pub outputs: Outputs,
    /// It runs code that was not judged, such as a function of the users' own: what that reads, and prints, is not known.
    pub runs_unjudged: bool,
    /// Where it puts values it reads, beside its answer. Empty for what changes nothing, and for what is `unknown`.
    pub flows: BTreeSet<Flow>,
    /// One sentence a person understands.
    pub why: String,
}

/// The kind of a part whose kind could not be told.
pub const UNTOLD: &str = "unknown";

impl Facts {
    /// What is known about something that could not be judged: nothing, so the worst is assumed.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self {
            class: Effect::Unknown,
            effects: BTreeSet::from([Effect::Unknown]),
            kinds: Vec::new(),
            objects: BTreeSet::new(),
            functions: BTreeSet::new(),
            unbounded: true,
            predicates: BTreeSet::new(),
            given: Vec::new(),
            highest_parameter: 0,
            outputs: Outputs::Unproven,
            runs_unjudged: true,
            flows: BTreeSet::new(),
            why: why.into(),
        }
    }

    /// What is known about one call that has just this effect.
    pub(in crate::domain::classify) fn of(
        effect: Effect,
        kind: &str,
        why: impl Into<String>,
    ) -> Self {
        Self {
            class: effect,
            effects: BTreeSet::from([effect]),
            kinds: vec![kind.to_owned()],
            unbounded: effect == Effect::Unknown,
            runs_unjudged: effect == Effect::Unknown,
            ..Self::unknown(why)
        }
    }

    /// What is known about doing both: every effect of either, and the reason for the worst.
    #[must_use]
    pub(in crate::domain::classify) fn and(mut self, mut other: Self) -> Self {
        for part in [&mut self, &mut other] {
            if part.kinds.is_empty() {
                part.kinds.push(UNTOLD.to_owned());
            }
        }
        if other.class > self.class {
            (self.class, self.why) = (other.class, other.why);
        }
        self.effects.extend(other.effects);
        for kind in other.kinds {
            if !self.kinds.contains(&kind) {
                self.kinds.push(kind);
            }
        }
        self.objects.extend(other.objects);
        self.functions.extend(other.functions);
        self.unbounded |= other.unbounded;
        self.runs_unjudged |= other.runs_unjudged;
        self.predicates.extend(other.predicates);
        self.flows.extend(other.flows);
        // Where literals and outputs stand is said of one text.
        self.given.clear();
        self.highest_parameter = self.highest_parameter.max(other.highest_parameter);
        self.outputs = Outputs::Unproven;
        self
    }

    /// Names of the objects it touches, each once.
    pub fn object_names(&self) -> BTreeSet<&str> {
        self.objects
            .iter()
            .map(|object| object.name.as_str())
            .collect()
    }
}
