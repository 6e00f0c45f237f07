//! Names of tables, and patterns of them.
//!
//! A statement may leave the schema out, and what it then means is the server's business. So there are two answers:
//! whether a name *surely* is one of the pattern's, which is what letting something through needs, and whether it
//! *could* be, which is enough to refuse it.

use std::fmt;

use crate::domain::classify::{
    Dialect,
    name::{self, NamePart},
};

use super::problem::quoted;

/// `schema.table` with `*` for any part, or a table alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TablePattern {
    text: String,
    schema: Part,
    table: Part,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    /// `*`.
    Any,
    /// Not written: the default schema, or to be on the safe side any.
    Unsaid,
    Is(String),
}

impl TablePattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let not_a_pattern = || format!("{} is not a pattern of tables", quoted(text));
        let parts = split_name(text).ok_or_else(not_a_pattern)?;
        let part = |part: &NamePart| match part {
            NamePart {
                quoted: false,
                text,
            } if text == "*" => Ok(Part::Any),
            NamePart {
                quoted: false,
                text,
            } if text.contains('*') || text.contains(char::is_whitespace) => Err(not_a_pattern()),
            NamePart { text, .. } => Ok(Part::Is(text.clone())),
        };
        let (schema, table) = match parts.as_slice() {
            [table] if table.text == "*" && !table.quoted => (Part::Any, Part::Any),
            [table] => (Part::Unsaid, part(table)?),
            [schema, table] => (part(schema)?, part(table)?),
            _ => return Err(not_a_pattern()),
        };
        Ok(Self {
            text: text.into(),
            schema,
            table,
        })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `object` surely is one of these.
    pub fn surely_matches(&self, object: &str, dialect: Dialect) -> bool {
        let same = |written: &str, named: &str| match dialect {
            Dialect::Postgres => written == named,
            Dialect::Sqlite | Dialect::Mysql | Dialect::Mssql => {
                written.eq_ignore_ascii_case(named)
            }
        };
        let default = default_schema(dialect);
        let Some(parts) = split_name(object) else {
            return false;
        };
        let (schema, table) = match parts.as_slice() {
            [table] => (default, table),
            [schema, table] => (schema.text.as_str(), table),
            _ => return false,
        };
        let schema_matches = match &self.schema {
            Part::Any => true,
            Part::Unsaid => same(default, schema),
            Part::Is(name) => same(name, schema),
        };
        let table_matches = match &self.table {
            Part::Is(name) => same(name, &table.text),
            Part::Any | Part::Unsaid => true,
        };
        schema_matches && table_matches
    }

    /// Whether `object` could be one of these, however the server folds its name and wherever it finds it.
    pub fn could_match(&self, object: &str, dialect: Dialect) -> bool {
        let same = |written: &str, named: &str| written.to_lowercase() == named.to_lowercase();
        let Some(parts) = split_name(object) else {
            return true;
        };
        let matches = |pattern: &Part, names: &[&str]| match pattern {
            Part::Any | Part::Unsaid => true,
            Part::Is(written) => names.iter().any(|name| same(written, name)),
        };
        match parts.as_slice() {
            [] => true,
            [table] => {
                searched_schemas(dialect).is_none_or(|schemas| matches(&self.schema, schemas))
                    && matches(&self.table, &[&table.text])
            }
            [.., schema, table] => {
                matches(&self.schema, &[&schema.text]) && matches(&self.table, &[&table.text])
            }
        }
    }

    /// Whether whatever `other` surely matches, this surely matches too.
    pub(super) fn includes(&self, other: &Self) -> bool {
        let within = |wide: &Part, narrow: &Part| *wide == Part::Any || wide == narrow;
        within(&self.schema, &other.schema) && within(&self.table, &other.table)
    }

    /// Whether whatever `other` could match, or surely matches, this could match: proven from the patterns alone.
    pub(super) fn could_match_all_of(&self, other: &Self) -> bool {
        let loose = |part: &Part| matches!(part, Part::Any | Part::Unsaid);
        let schema = loose(&self.schema) || self.schema == other.schema;
        schema && (self.table == Part::Any || self.table == other.table)
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The first words of a kind of statement, command or call, as [`Facts::kinds`](crate::domain::classify::Facts) has it:
/// `create index`, `kubectl get`, `terraform plan`; `*` for any one word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindPattern(Box<str>);

impl KindPattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.iter().all(|word| *word == "*") {
            return Err(format!("{} is every kind there is", quoted(text)));
        }
        Ok(Self(words.join(" ").into()))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `kind` is one of these.
    pub fn matches(&self, kind: &str) -> bool {
        let mut words = kind.split(' ');
        self.0.split(' ').all(|wanted| {
            words
                .next()
                .is_some_and(|word| wanted == "*" || wanted == word)
        })
    }
}

/// The schema of a name without one. The gateway pins PostgreSQL's search path, so that this is true.
fn default_schema(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "public",
        Dialect::Sqlite => "main",
        Dialect::Mssql => "dbo",
        // Whatever database the connection is in: no name that a pattern could say.
        Dialect::Mysql => "",
    }
}

/// The parts of a name; `None`: it is no name, or leaves one out.
fn split_name(text: &str) -> Option<Vec<NamePart>> {
    let parts = name::parts(text)?;
    (!parts.iter().any(|part| part.text.is_empty())).then_some(parts)
}

/// Every schema in which a name without one may be found; `None`: any.
///
/// INVARIANT: targets pin PostgreSQL's search path to `public, pg_catalog` for every execution and attach nothing to a
/// SQLite database; without that, this and [`default_schema`] would not be true.
fn searched_schemas(dialect: Dialect) -> Option<&'static [&'static str]> {
    if dialect == Dialect::Postgres {
        Some(&["public", "pg_catalog", "pg_temp"])
    } else if dialect == Dialect::Sqlite {
        Some(&["main", "temp"])
    } else {
        None
    }
}
