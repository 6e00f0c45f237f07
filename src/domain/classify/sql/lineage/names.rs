//! Names folded once, as the server folds them, and columns as small numbers. Knows no scopes.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::LazyLock,
};

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::super::super::{ColumnRef, Dialect, name};

/// A folded identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(u32);

/// A column of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Column(u32);

/// PostgreSQL cuts every identifier to this many bytes, so a longer one names the same column.
const POSTGRES_IDENTIFIER_BYTES: usize = 63;

/// Folds `identifier` as `dialect`'s server does.
pub(super) fn fold(dialect: Dialect, identifier: &Ident) -> String {
    match dialect {
        Dialect::Postgres => {
            let mut folded = match identifier.quote_style {
                Some(_) => identifier.value.clone(),
                None => identifier.value.to_ascii_lowercase(),
            };
            if folded.len() > POSTGRES_IDENTIFIER_BYTES {
                folded.truncate(folded.floor_char_boundary(POSTGRES_IDENTIFIER_BYTES));
            }
            folded
        }
        Dialect::Sqlite => identifier.value.to_lowercase(),
        // Comparing may pad with blanks.
        Dialect::Mysql | Dialect::Mssql => {
            identifier.value.trim_end_matches(' ').to_ascii_lowercase()
        }
    }
}

/// Every name and column met so far.
#[derive(Debug)]
pub(super) struct Names {
    dialect: Dialect,
    by_text: HashMap<Rc<str>, Name>,
    texts: Vec<Rc<str>>,
    /// How each was written first.
    spellings: Vec<Rc<str>>,
    mixed: HashSet<Name>,
    by_parts: HashMap<(Option<Name>, Name), Column>,
    columns: Vec<(Option<Name>, Name)>,
    /// A name was none the server would take for one, or not surely the one we take it for.
    pub(super) misread: bool,
}

impl Names {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            by_text: HashMap::new(),
            texts: Vec::new(),
            spellings: Vec::new(),
            mixed: HashSet::new(),
            by_parts: HashMap::new(),
            columns: Vec::new(),
            misread: false,
        }
    }

    pub(super) fn name(&mut self, text: &str) -> Name {
        if let Some(name) = self.by_text.get(text) {
            return *name;
        }
        let name = Name(self.texts.len() as u32);
        let text: Rc<str> = text.into();
        self.texts.push(text.clone());
        self.spellings.push(text.clone());
        self.by_text.insert(text, name);
        name
    }

    pub(super) fn identifier(&mut self, identifier: &Ident) -> Name {
        self.misread |= !is_plain(self.dialect, identifier);
        let folded = fold(self.dialect, identifier);
        let is_new = !self.by_text.contains_key(folded.as_str());
        let name = self.name(&folded);
        let spelling = &mut self.spellings[name.0 as usize];
        if is_new {
            *spelling = identifier.value.as_str().into();
        } else if **spelling != *identifier.value
            && matches!(self.dialect, Dialect::Mysql | Dialect::Mssql)
        {
            self.mixed.insert(name);
        }
        name
    }

    /// Whether `name` was written in several ways: whether those name the same is a setting of MySQL (relations) and SQL
    /// Server (everything), so the nearest of that name may not be the one meant.
    pub(super) fn is_mixed(&self, name: Name) -> bool {
        self.mixed.contains(&name)
    }

    /// `schema.table` as one name; `None` where a part is computed or cannot be a name.
    pub(super) fn relation(&mut self, object: &ObjectName) -> Option<Name> {
        let readable =
            identifiers(object).filter(|parts| parts.iter().all(|part| self.can_be_relation(part)));
        let Some(parts) = readable else {
            self.misread = true;
            return None;
        };
        let folded: Vec<String> = parts.iter().map(|part| fold(self.dialect, part)).collect();
        Some(self.name(&name::dotted(&folded)))
    }

    /// To SQL Server a table's name is a text that compares equal, quoted or not; to MySQL a file's.
    fn can_be_relation(&self, part: &Ident) -> bool {
        match self.dialect {
            Dialect::Mssql => is_plain(self.dialect, part),
            Dialect::Postgres | Dialect::Sqlite | Dialect::Mysql => {
                !is_reserved(self.dialect, part)
            }
        }
    }

    /// A relation that goes by one identifier, as [`Names::relation`] has it.
    pub(super) fn bare_relation(&mut self, identifier: &Ident) -> Name {
        self.name(&name::dotted(&[fold(self.dialect, identifier)]))
    }

    /// A column that goes by one identifier; `None`: it goes by something else.
    pub(super) fn bare_column(&mut self, object: &ObjectName) -> Option<Name> {
        self.relation(object)?;
        match identifiers(object)?.as_slice() {
            [identifier] => Some(self.identifier(identifier)),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: Name) -> &str {
        &self.texts[name.0 as usize]
    }

    pub(super) fn column(&mut self, relation: Option<Name>, column: Name) -> Column {
        *self.by_parts.entry((relation, column)).or_insert_with(|| {
            self.columns.push((relation, column));
            Column(self.columns.len() as u32 - 1)
        })
    }

    /// All columns of `relation`; of any relation, if `None`.
    pub(super) fn every_column(&mut self, relation: Option<Name>) -> Column {
        let every = self.name("*");
        self.column(relation, every)
    }

    pub(super) fn column_ref(&self, column: Column) -> ColumnRef {
        let (relation, column) = self.columns[column.0 as usize];
        ColumnRef {
            relation: relation.map(|name| self.text(name).to_owned()),
            column: self.text(column).to_owned(),
        }
    }
}

/// Whether an unquoted word can name no relation. To sqlparser `FROM ONLY customers` is a table called only.
fn is_reserved(dialect: Dialect, identifier: &Ident) -> bool {
    identifier.quote_style.is_none()
        && match dialect {
            Dialect::Mysql | Dialect::Mssql => !is_plain(dialect, identifier),
            Dialect::Postgres => [
                "all",
                "analyse",
                "analyze",
                "array",
                "for",
                "from",
                "lateral",
                "only",
                "returning",
                "select",
                "table",
                "tablesample",
                "unique",
                "using",
                "variadic",
                "where",
                "window",
                "with",
            ]
            .iter()
            .any(|word| identifier.value.eq_ignore_ascii_case(word)),
            Dialect::Sqlite => [
                "from",
                "indexed",
                "not",
                "returning",
                "select",
                "set",
                "using",
            ]
            .iter()
            .any(|word| identifier.value.eq_ignore_ascii_case(word)),
        }
}

/// Whether MySQL or SQL Server surely takes `identifier` for a name, and for no other than we do: sqlparser takes reserved
/// words for columns and aliases (`SELECT SQL_CACHE email`), an alias may be written as a string whose escapes it keeps,
/// and letters beyond ASCII may compare equal.
fn is_plain(dialect: Dialect, identifier: &Ident) -> bool {
    let reserved = match dialect {
        Dialect::Mysql => &MYSQL_RESERVED,
        Dialect::Mssql => &MSSQL_RESERVED,
        Dialect::Postgres | Dialect::Sqlite => return true,
    };
    let text = identifier.value.as_str();
    let is_read_alike = match identifier.quote_style {
        None => text.eq_ignore_ascii_case("default") || !is_word_of(reserved, text),
        Some('\'') => !text.contains(['\\', '\'', '"']),
        Some(_) => true,
    };
    is_read_alike && text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control())
}

fn is_word_of(words: &HashSet<&str>, word: &str) -> bool {
    word.len() <= LONGEST_RESERVED && words.contains(word.to_ascii_lowercase().as_str())
}

const LONGEST_RESERVED: usize = 32;

static MYSQL_RESERVED: LazyLock<HashSet<&str>> =
    LazyLock::new(|| words(include_str!("../data/mysql_reserved.txt")));
static MSSQL_RESERVED: LazyLock<HashSet<&str>> =
    LazyLock::new(|| words(include_str!("../data/mssql_reserved.txt")));

fn words(list: &'static str) -> HashSet<&'static str> {
    list.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_ascii_whitespace)
        .collect()
}

/// The identifiers of a dotted name, unless a part of it is computed.
pub(super) fn identifiers(object: &ObjectName) -> Option<Vec<&Ident>> {
    object
        .0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(identifier) => Some(identifier),
            ObjectNamePart::Function(_) => None,
        })
        .collect()
}
