//! Names folded once, as the server folds them, and columns as small numbers. Knows no scopes.

use std::{collections::HashMap, rc::Rc};

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
        Dialect::Sqlite | Dialect::Mysql | Dialect::Mssql => identifier.value.to_lowercase(),
    }
}

/// Every name and column met so far.
#[derive(Debug)]
pub(super) struct Names {
    dialect: Dialect,
    by_text: HashMap<Rc<str>, Name>,
    texts: Vec<Rc<str>>,
    by_parts: HashMap<(Option<Name>, Name), Column>,
    columns: Vec<(Option<Name>, Name)>,
    /// A relation's name was none the server would take for one, so the text was not read as the server reads it.
    pub(super) misread: bool,
}

impl Names {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            by_text: HashMap::new(),
            texts: Vec::new(),
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
        self.by_text.insert(text, name);
        name
    }

    pub(super) fn identifier(&mut self, identifier: &Ident) -> Name {
        let folded = fold(self.dialect, identifier);
        self.name(&folded)
    }

    /// `schema.table` as one name; `None` where a part is computed or cannot be a name.
    pub(super) fn relation(&mut self, object: &ObjectName) -> Option<Name> {
        let readable = identifiers(object)
            .filter(|parts| parts.iter().all(|part| !is_reserved(self.dialect, part)));
        let Some(parts) = readable else {
            self.misread = true;
            return None;
        };
        let folded: Vec<String> = parts.iter().map(|part| fold(self.dialect, part)).collect();
        Some(self.name(&name::dotted(&folded)))
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
            // Nothing can be named: no column of these dialects is traced.
            Dialect::Mysql | Dialect::Mssql => true,
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
