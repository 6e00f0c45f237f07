//! What a server's own catalog says about the names a statement may use: what the text alone cannot tell.
//!
//! Plain data, filled by `targets` with the connection's read credential and read here as a fact. It holds what users
//! of the server have made; what the server ships with is in the reviewed lists of `sql/data`.

use std::collections::{BTreeMap, BTreeSet};

use super::sql::JudgedCatalog;

/// What is known of the place a statement is for, beside its dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// The server's catalog; `None`: only the text can be judged, and what only a catalog could tell stays in doubt.
    pub catalog: Option<&'a JudgedCatalog>,
    /// What policy vouches for: functions of users' own, and relations of which nobody can see what is behind them.
    /// `schema.name`, or for a function on the search path `name`, as [`dotted`](super::name::dotted) writes them.
    pub harmless: Option<&'a BTreeSet<String>>,
}

/// A snapshot of one database's catalog. Names are as the server stores them, not quoted and not folded again.
///
/// Definitions are read as their server prints them. Where it leaves schemas out for what its search path finds, as
/// PostgreSQL does, they are best loaded with no schema on that path, so that every name of users' own is qualified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerCatalog {
    /// The database it is of, where a name of three parts could name another: SQL Server's.
    pub database: Option<String>,
    /// Where an unqualified name is looked for, in order: PostgreSQL's `search_path`, the database of a MySQL session,
    /// the default schema of a SQL Server login, `main` for SQLite.
    pub search_path: Vec<String>,
    /// Tables, views and what else can stand in FROM.
    pub relations: BTreeMap<ServerName, Relation>,
    /// Functions, procedures and aggregates, by their name without schema; each overload is one.
    pub routines: BTreeMap<String, Vec<Routine>>,
    /// Operators that users have made, by symbol.
    pub operators: BTreeMap<String, Vec<Operator>>,
    /// Casts that call a function.
    pub casts: Vec<Cast>,
    /// Types that run something of their users' when a value becomes one: domains with checks.
    pub domains: BTreeMap<ServerName, Domain>,
}

/// The name of something in a schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName {
    /// Its schema; for MySQL its database.
    pub schema: String,
    /// Its own name.
    pub name: String,
}

/// Something that rows can be read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// Its columns in the order `*` shows them in; none: which they are, or in which order, is not known.
    pub columns: Vec<RelationColumn>,
    /// Columns that can be named and that `*` does not show.
    pub hidden: Vec<RelationColumn>,
    /// Columns the server itself fills from others of the row, each with the text that says how: an expression as the
    /// server prints it, or more than that.
    pub computed: BTreeMap<String, String>,
    /// What a view reads, as the server prints it: one SELECT. A materialized view's too: its columns are its query's.
    /// `None`: it holds its rows itself, or its definition may not be seen, which `opaque` tells apart.
    pub definition: Option<String>,
    /// A view whose definition may not be seen, a foreign table, a virtual table: what is behind it is not known.
    pub opaque: bool,
    /// What else runs when rows are written to it: the texts of rules, without `CREATE RULE … DO`.
    pub rules: Vec<String>,
    /// Expressions the server evaluates when rows are written to it: checks, stored columns, indexes.
    pub on_write: Vec<String>,
    /// Expressions the server evaluates for columns that a new row leaves out, or where a statement says DEFAULT.
    pub defaults: Vec<String>,
    /// Relations whose rows the server changes or deletes, by what a foreign key says, when rows of this one are deleted.
    pub on_delete: Vec<ServerName>,
    /// The same when rows of this one are changed.
    pub on_update: Vec<ServerName>,
    /// What becomes of its rows stays so, whatever becomes of the transaction: its engine has none.
    pub lasting: bool,
    /// Names of triggers, for people: what they do is not judged.
    pub triggers: Vec<String>,
    /// Expressions the server evaluates whenever rows are read: row security policies, virtual columns.
    pub on_read: Vec<String>,
    /// Relations whose rows it shows beside its own: partitions and children by inheritance.
    pub children: Vec<ServerName>,
    /// Relations it is a part of, whose masking holds for it: partitioned parents.
    pub parents: Vec<ServerName>,
}

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Its name.
    pub name: String,
    /// Its type, or an array's element type: the schema is empty for built-in types.
    pub type_name: ServerName,
}

/// A function, procedure or aggregate that users have made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routine {
    /// Where it is.
    pub schema: String,
    /// What it is written in: `sql`, `plpgsql`, `c`, lowercase.
    pub language: String,
    /// Whether the server has been promised that it changes nothing (PostgreSQL's STABLE and IMMUTABLE, MySQL's READS SQL
    /// DATA and NO SQL). A promise, not a proof.
    pub promises_to_read: bool,
    /// Its body in `sql`, where the server shows it: statements separated by semicolons, or as PostgreSQL prints it,
    /// `RETURN …` or `BEGIN ATOMIC … END`. Default values of its parameters run too: as a SELECT each, before it.
    pub body: Option<String>,
    /// The functions it is made of, for an aggregate.
    pub calls: Vec<ServerName>,
}

/// An operator that users have made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Where it is.
    pub schema: String,
    /// The types of its operands: the schema is empty for built-in types.
    pub operands: Vec<ServerName>,
    /// What it calls.
    pub function: ServerName,
}

/// A cast that calls a function. The schema of a built-in type or function is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    /// From which type.
    pub source: ServerName,
    /// To which.
    pub target: ServerName,
    /// What it calls.
    pub function: ServerName,
    /// Whether it happens without being written.
    pub implicit: bool,
}

/// A type over another type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// What it is over.
    pub base: ServerName,
    /// The expressions of its checks and its default, as the server prints them.
    pub checks: Vec<String>,
}

impl ServerCatalog {
    /// The relation a name means: one part is looked for along the search path, the last two of several are taken as
    /// schema and name.
    pub fn relation(&self, parts: &[&str]) -> Option<(&ServerName, &Relation)> {
        let find = |schema: &str, name: &str| {
            let key = ServerName {
                schema: schema.to_owned(),
                name: name.to_owned(),
            };
            self.relations.get_key_value(&key)
        };
        match parts {
            [.., schema, name] => find(schema, name),
            [name] => self
                .search_path
                .iter()
                .find_map(|schema| find(schema, name)),
            [] => None,
        }
    }
}
