//! Where the columns of a result come from.
//!
//! The server says of each column which table it is of, and cannot be believed when it says so of one that the
//! statement itself made up: `SELECT town FROM (SELECT email AS town FROM customers) AS customers` is told as
//! `customers.town`. So its word counts only where the statement, as parsed, gives no table that name. Of a view it names
//! the view, or only what the statement calls it; the base columns behind it are found through the view's definition.
//!
//! INVARIANT: a column's origin may name more columns than it shows, never fewer.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::ControlFlow,
};

use sqlparser::{
    ast::{Query, SetExpr, TableAlias, TableFactor, Visit, Visitor},
    dialect::MySqlDialect,
    parser::Parser,
};

use crate::domain::masking::{BaseColumn, ServerColumn, ServerOrigin};

use super::wire::{Field, ServerMessage, Wire, WireError};

/// A view that is built on views deeper than this is traced to all columns of what is below.
const DEEPEST_VIEW: usize = 8;
/// Databases whose views are the server's own.
pub(super) const OWN_SCHEMAS: &str = "('information_schema', 'mysql', 'performance_schema', 'sys')";

/// Why a column's origin is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the server's catalog could not be read (error {})", .0.code())]
    Refused(Box<ServerMessage>),
    #[error(
        "the definition of the view `{0}`.`{1}` is hidden from the read credential, so what its columns show cannot be \
         known: GRANT SHOW VIEW ON `{0}`.* to it"
    )]
    Hidden(String, String),
}

/// The columns of a result, with their origins. Runs nothing of the statement's.
pub(super) async fn describe(
    wire: &mut Wire,
    statement: &str,
    fields: &[Field],
) -> Result<Vec<ServerColumn>, LookupError> {
    if fields.iter().all(|field| !is_of_a_table(field)) {
        return Ok(undescribed(fields));
    }
    let views = Views::load(wire, statement).await?;
    let made_up = made_up(statement);
    let columns = fields.iter().map(|field| {
        let origin = match named(field, made_up.as_ref()) {
            Some((schema, relation)) => {
                let column = field.org_name.clone();
                let also = views.behind(schema, relation, &column);
                Some(ServerOrigin {
                    schema: Some(schema.to_owned()),
                    relation: relation.to_owned(),
                    column,
                    also: also.into_iter().collect(),
                })
            }
            None if is_of_a_table(field) => views.some_column(&field.org_name),
            None => None,
        };
        shown(field, origin)
    });
    Ok(columns.collect())
}

/// The columns of a result of which the server said nothing before it came.
pub(super) fn undescribed(fields: &[Field]) -> Vec<ServerColumn> {
    fields.iter().map(|field| shown(field, None)).collect()
}

fn shown(field: &Field, origin: Option<ServerOrigin>) -> ServerColumn {
    ServerColumn {
        name: field.name.clone(),
        type_name: field.column_type.name(),
        origin,
    }
}

pub(super) fn is_of_a_table(field: &Field) -> bool {
    !field.table.is_empty() || !field.org_table.is_empty()
}

/// The table or view the server names, where it can be believed.
fn named<'f>(field: &'f Field, made_up: Option<&HashSet<String>>) -> Option<(&'f str, &'f str)> {
    let is_real = made_up.is_some_and(|names| !names.contains(&field.org_table.to_lowercase()));
    (is_real && !field.schema.is_empty() && !field.org_table.is_empty())
        .then_some((&field.schema, &field.org_table))
}

// ---------------------------------------------------------------------------------------------- names made up

/// Every name the statement gives to a table or to what it uses as one, lowercase; `None`: they cannot be told, or a union
/// is among it, of whose columns the server may name the first half's. Text with comments is not tried: which of them the
/// server executes, and where it takes them to end, is not the parser's business.
fn made_up(statement: &str) -> Option<HashSet<String>> {
    if ["--", "/*", "#"]
        .iter()
        .any(|mark| statement.contains(mark))
    {
        return None;
    }
    let statements = Parser::parse_sql(&MySqlDialect {}, statement).ok()?;
    let mut names = Names::default();
    match statements.visit(&mut names) {
        ControlFlow::Continue(()) => Some(names.0),
        ControlFlow::Break(()) => None,
    }
}

#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn add(&mut self, alias: Option<&TableAlias>) {
        self.0
            .extend(alias.map(|alias| alias.name.value.to_lowercase()));
    }
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.add(Some(&table.alias));
        }
        match &*query.body {
            SetExpr::SetOperation { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        match table {
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::JsonTable { alias, .. } => self.add(alias.as_ref()),
            _ => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }
}

// ---------------------------------------------------------------------------------------------- views

type Name = (String, String);

/// The views a statement may use, and those they use.
#[derive(Default)]
struct Views {
    views: BTreeMap<Name, View>,
    /// Those the statement itself may use.
    mentioned: BTreeSet<Name>,
}

struct View {
    columns: Vec<String>,
    /// What the server says the columns of its definition are; `None`: it did not say.
    fields: Option<Vec<Field>>,
    made_up: Option<HashSet<String>>,
    /// Every column that its definition may read.
    reads: Vec<BaseColumn>,
}

impl Views {
    async fn load(wire: &mut Wire, statement: &str) -> Result<Self, LookupError> {
        let query = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA NOT IN {OWN_SCHEMAS}"
        );
        let all: Vec<Name> = rows(wire, &query)
            .await?
            .into_iter()
            .filter_map(|row| match <[_; 2]>::try_from(row).ok()? {
                [Some(schema), Some(name)] => Some((schema, name)),
                _ => None,
            })
            .collect();
        let mut found = Self::default();
        if all.is_empty() {
            return Ok(found);
        }
        let in_text = |text: &str| -> Vec<Name> {
            let text = text.to_lowercase().replace("``", "`");
            let mentioned = all
                .iter()
                .filter(|(_, name)| mentions(&text, &name.to_lowercase()));
            mentioned.cloned().collect()
        };
        let mut wanted = in_text(statement);
        found.mentioned = wanted.iter().cloned().collect();
        while let Some(name) = wanted.pop() {
            if found.views.contains_key(&name) {
                continue;
            }
            let (definition, view) = View::load(wire, &name).await?;
            wanted.extend(in_text(&definition));
            found.views.insert(name, view);
        }
        Ok(found)
    }

    fn get(&self, schema: &str, relation: &str) -> Option<(&Name, &View)> {
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        self.views
            .iter()
            .find(|((in_schema, name), _)| same(in_schema, schema) && same(name, relation))
    }

    /// The columns whose values this one of a view may show, itself left out; none for a table's.
    fn behind(&self, schema: &str, relation: &str, column: &str) -> BTreeSet<BaseColumn> {
        let mut found = BTreeSet::new();
        let start = base(schema, relation, column);
        self.trace(&start, 0, &mut found);
        found.remove(&start);
        found
    }

    fn trace(&self, column: &BaseColumn, depth: usize, found: &mut BTreeSet<BaseColumn>) {
        if !found.insert(column.clone()) {
            return;
        }
        let schema = column.schema.as_deref().unwrap_or_default();
        let Some((_, view)) = self.get(schema, &column.relation) else {
            return;
        };
        match view.shows(&column.column) {
            Some(shown) if depth < DEEPEST_VIEW => self.trace(&shown, depth + 1, found),
            _ => {
                for read in &view.reads {
                    self.trace(read, depth + 1, found);
                }
            }
        }
    }

    /// What a column may be of which only its name is known: one of a view, behind whatever the statement calls it.
    fn some_column(&self, column: &str) -> Option<ServerOrigin> {
        let mentioned = self
            .mentioned
            .iter()
            .filter_map(|name| self.views.get_key_value(name));
        let named = |view: &View| {
            view.columns
                .iter()
                .any(|known| known.eq_ignore_ascii_case(column))
        };
        let is_named = mentioned.clone().any(|(_, view)| named(view));
        let mut also = BTreeSet::new();
        let mut first = None;
        for ((schema, relation), view) in mentioned {
            if is_named && !named(view) {
                continue;
            }
            first.get_or_insert((schema, relation));
            let columns = view.columns.iter();
            for known in columns.filter(|known| !is_named || known.eq_ignore_ascii_case(column)) {
                also.extend(self.behind(schema, relation, known));
            }
        }
        let (schema, relation) = first?;
        Some(ServerOrigin {
            schema: Some(schema.clone()),
            relation: relation.clone(),
            column: if is_named { column } else { "*" }.to_owned(),
            also: also.into_iter().collect(),
        })
    }
}

impl View {
    async fn load(wire: &mut Wire, name: &Name) -> Result<(String, Self), LookupError> {
        let (schema, relation) = (literal(&name.0), literal(&name.1));
        let place = format!("TABLE_SCHEMA = {schema} AND TABLE_NAME = {relation}");
        let query = format!("SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE {place}");
        let definition = first_column(rows(wire, &query).await?)
            .pop()
            .filter(|definition| !definition.is_empty())
            .ok_or_else(|| LookupError::Hidden(name.0.clone(), name.1.clone()))?;
        let query = format!(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE {place} ORDER BY ORDINAL_POSITION"
        );
        let columns = first_column(rows(wire, &query).await?);
        // Parsing it runs nothing; what cannot be parsed here is taken to show everything it reads in each column.
        wire.queue_prepare(&definition);
        wire.send().await?;
        let fields = match wire.prepared().await? {
            Ok(prepared) if prepared.columns.len() == columns.len() => Some(prepared.columns),
            _ => None,
        };
        // The server writes every name in a definition whole and in backquotes.
        let mut names: Vec<String> = quoted(&definition).map(|name| literal(&name)).collect();
        names.sort();
        names.dedup();
        let mut reads = Vec::new();
        if !names.is_empty() {
            let names = names.join(", ");
            let query = format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS \
                 WHERE TABLE_SCHEMA IN ({names}) AND TABLE_NAME IN ({names}) AND COLUMN_NAME IN ({names})"
            );
            for row in rows(wire, &query).await? {
                if let Ok([Some(schema), Some(relation), Some(column)]) = <[_; 3]>::try_from(row) {
                    reads.push(base(&schema, &relation, &column));
                }
            }
        }
        let view = Self {
            columns,
            fields,
            made_up: made_up(&definition),
            reads,
        };
        Ok((definition, view))
    }

    /// The one column whose values a column of this view shows unchanged.
    fn shows(&self, column: &str) -> Option<BaseColumn> {
        let at = self
            .columns
            .iter()
            .position(|known| known.eq_ignore_ascii_case(column))?;
        let field = self.fields.as_ref()?.get(at)?;
        let (schema, relation) = named(field, self.made_up.as_ref())?;
        Some(base(schema, relation, &field.org_name))
    }
}

fn base(schema: &str, relation: &str, column: &str) -> BaseColumn {
    BaseColumn {
        schema: Some(schema.to_owned()),
        relation: relation.to_owned(),
        column: column.to_owned(),
    }
}

/// Whether `name` stands somewhere in `text` as a name could: both lowercase.
pub(super) fn mentions(text: &str, name: &str) -> bool {
    let continues = |character: char| {
        character.is_alphanumeric() || character == '_' || character == '$' || !character.is_ascii()
    };
    text.match_indices(name).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(continues) && !after.is_some_and(continues)
    })
}

/// The names in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut name = String::new();
        let (_, mut inside) = rest.split_once('`')?;
        loop {
            let (part, after) = inside.split_once('`')?;
            name.push_str(part);
            match after.strip_prefix('`') {
                Some(more) => {
                    name.push('`');
                    inside = more;
                }
                None => {
                    rest = after;
                    return Some(name);
                }
            }
        }
    })
}

// ---------------------------------------------------------------------------------------------- rows of the catalog

pub(super) async fn rows(
    wire: &mut Wire,
    query: &str,
) -> Result<Vec<Vec<Option<String>>>, LookupError> {
    wire.own_rows(query).await?.map_err(LookupError::Refused)
}

fn first_column(rows: Vec<Vec<Option<String>>>) -> Vec<String> {
    rows.into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect()
}

/// A string as the pinned `sql_mode` reads it.
pub(super) fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_the_statement_makes_up_is_known_or_nothing_is() {
        let names = |sql: &str| {
            made_up(sql).map(|names| {
                let mut names: Vec<_> = names.into_iter().collect();
                names.sort();
                names
            })
        };
        let some = |of: &[&str]| Some(of.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names("SELECT a FROM t"), some(&[]));
        assert_eq!(
            names("SELECT a FROM (SELECT 1 a) AS Customers JOIN u x"),
            some(&["customers", "x"])
        );
        assert_eq!(
            names("WITH `T` AS (SELECT 1) SELECT * FROM t WHERE a IN (SELECT b FROM c y)"),
            some(&["t", "y"])
        );
        for hidden in [
            "SELECT town FROM /*!(SELECT email town FROM c)*/ c",
            "SELECT 1--1, town FROM (SELECT email town FROM c) c",
            "SELECT 1 # x",
            "SELECT town FROM c UNION ALL SELECT email FROM c",
            "NOT A STATEMENT",
        ] {
            assert_eq!(names(hidden), None, "{hidden}");
        }
    }

    #[test]
    fn names_are_found_whole() {
        assert!(mentions("select * from `d`.`v`", "v"));
        assert!(mentions("select(v.a)from v", "v"));
        assert!(!mentions("select vv, v1, _v from x", "v"));
        let names: Vec<_> = quoted("select `a``b`.`c` from `d`").collect();
        assert_eq!(names, ["a`b", "c", "d"]);
    }
}
