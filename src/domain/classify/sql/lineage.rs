//! Which columns of which relations each output of a statement can show, and which ones decide its rows.
//!
//! Where no catalog says which columns a table has, a name that could mean several columns means all of them. Refuses to know which columns are sensitive; that is masking's.
//!
//! INVARIANT: an output is clean only when proven so. A construct, function or name this walk does not understand makes
//! the output [`OutputSource::Unproven`] (or the whole result [`Outputs::Unproven`]) and the predicates
//! `*` of any relation; so does a statement too large to walk in bounded time.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use sqlparser::ast::Statement;

use self::{
    names::{Column, Name, Names},
    scope::Place,
    shape::{Item, Shape, Sources},
};
use super::{
    super::{ColumnRef, Dialect, Flow, OutputSource, Outputs, server::ServerName},
    catalog::{Behind, JudgedCatalog},
};
use server::Server;
pub(crate) use server::Trees;

mod call;
mod expression;
mod flows;
mod from;
mod functions;
mod join;
mod names;
mod query;
mod scope;
mod select;
mod server;
mod sets;
mod shape;
mod writes;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

/// What a statement shows, and what can be inferred from it without being shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// Where each output column comes from.
    pub(crate) outputs: Outputs,
    /// Columns that decide which rows there are, in which order, or between values. `*` of no relation: any column.
    pub(crate) predicates: BTreeSet<ColumnRef>,
    /// Where values are put, beside the answer; `None`: not followed.
    pub(crate) flows: Option<BTreeSet<Flow>>,
}

/// The lineage of `statements`, as `dialect`'s server would resolve their names.
pub(crate) fn lineage(dialect: Dialect, statements: &[Statement]) -> Lineage {
    traced(Walk::new(dialect, None), statements)
}

/// The same, through what stands behind the statements' names; `trees` are the definitions of the views among it.
pub(crate) fn lineage_behind(
    known: &JudgedCatalog,
    behind: &Behind,
    trees: &Trees,
    statements: &[Statement],
) -> Lineage {
    let server = Server {
        known,
        behind,
        trees,
    };
    traced(Walk::new(known.dialect(), Some(server)), statements)
}

fn traced<'a>(mut walk: Walk<'a>, statements: &'a [Statement]) -> Lineage {
    let mut shape = None;
    for statement in statements {
        shape = Some(walk.statement(statement));
    }
    let outputs = match (statements, shape) {
        ([_], Some(shape)) if !walk.is_confused() && !walk.runs_anything() => walk.outputs(&shape),
        _ => Outputs::Unproven,
    };
    Lineage {
        outputs,
        flows: walk.flows(),
        predicates: walk.into_predicates(),
    }
}

/// Steps a statement may take. The largest useful statement takes a few hundred thousand; common tables that double
/// each other could take any number.
const FUEL: usize = 2_000_000;

/// How deep expressions and queries may nest; what is deeper is not proven.
const DEPTH: usize = 100;

/// One pass over a statement.
#[derive(Debug)]
struct Walk<'a> {
    dialect: Dialect,
    /// What the server's catalog says, where there is one.
    server: Option<Server<'a>>,
    /// Relations of the database met so far; `None`: at the moment being walked.
    relations: HashMap<&'a ServerName, Option<Rc<Shape>>>,
    names: Names,
    fuel: usize,
    depth: usize,
    /// In the order they were first met.
    predicates: Vec<Column>,
    known_predicates: HashSet<Column>,
    predicates_doubted: bool,
    /// Anything was not proven, anywhere.
    doubted: bool,
    /// Columns the select list at hand lets decide which of its rows bare columns are taken from.
    extremes: Vec<Column>,
    /// Columns the select list at hand lets decide how many rows there are.
    multipliers: Vec<Column>,
    /// From where to where values are put.
    flows: BTreeSet<(Column, Option<Column>)>,
    flows_lost: bool,
    /// The tables SELECT … INTO makes.
    made: Vec<Name>,
    saw_unicode_prefix: bool,
    saw_ampersand: bool,
    _statement: std::marker::PhantomData<&'a Statement>,
}

impl<'a> Walk<'a> {
    fn new(dialect: Dialect, server: Option<Server<'a>>) -> Self {
        Self {
            dialect,
            server,
            relations: HashMap::new(),
            names: Names::new(dialect),
            fuel: FUEL,
            depth: 0,
            predicates: Vec::new(),
            known_predicates: HashSet::new(),
            predicates_doubted: false,
            doubted: false,
            extremes: Vec::new(),
            multipliers: Vec::new(),
            flows: BTreeSet::new(),
            flows_lost: false,
            made: Vec::new(),
            saw_unicode_prefix: false,
            saw_ampersand: false,
            _statement: std::marker::PhantomData,
        }
    }

    fn statement(&mut self, statement: &'a Statement) -> Rc<Shape> {
        let place = Place::default();
        match statement {
            Statement::Query(query) => {
                let shape = self.query(query, &place);
                for table in std::mem::take(&mut self.made) {
                    self.kept(&shape.items, table);
                }
                shape
            }
            Statement::Insert(insert) => self.insert(insert, &place),
            Statement::Update(update) => self.update(update, &place),
            Statement::Delete(delete) => self.delete(delete, &place),
            Statement::Merge(merge) => self.merge(merge, &place),
            Statement::CreateView(view) => {
                self.query(&view.query, &place);
                Rc::new(Shape::new(Vec::new(), Rc::default()))
            }
            Statement::CreateTable(table) => {
                if let Some(query) = &table.query {
                    let shape = self.query(query, &place);
                    let (table, _) = self.target(&table.name, None);
                    self.kept(&shape.items, table);
                }
                Rc::new(Shape::new(Vec::new(), Rc::default()))
            }
            Statement::AlterTable(alter) => {
                self.altered(alter);
                Rc::new(Shape::unproven())
            }
            Statement::Explain {
                statement,
                query_plan,
                ..
            } => self.explained(statement, *query_plan),
            // These hold no expression over columns; what they give back is not a query's.
            Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Savepoint { .. }
            | Statement::ReleaseSavepoint { .. }
            | Statement::ShowVariable { .. }
            | Statement::ShowTables { .. }
            | Statement::ShowColumns { .. }
            | Statement::ShowDatabases { .. }
            | Statement::ShowSchemas { .. }
            | Statement::ExplainTable { .. }
            | Statement::Pragma { .. }
            | Statement::Use(_)
            | Statement::Truncate(_)
            | Statement::Drop { .. }
            | Statement::Vacuum(_)
            | Statement::Analyze(_)
            | Statement::Grant(_)
            | Statement::Revoke(_) => Rc::new(Shape::unproven()),
            Statement::Set(_) => {
                // Elsewhere a setting is given a word; MySQL's takes any query.
                self.flows_lost |= matches!(self.dialect, Dialect::Mysql | Dialect::Mssql);
                Rc::new(Shape::unproven())
            }
            _ => {
                self.flows_lost = true;
                self.not_walked()
            }
        }
    }

    /// A plan shows the statement's own constants, and how many rows its conditions find.
    fn explained(&mut self, statement: &'a Statement, query_plan: bool) -> Rc<Shape> {
        let doubted = std::mem::take(&mut self.doubted);
        let shape = self.statement(statement);
        // Planning runs functions, and a plan shows what they returned.
        let proven = !self.doubted
            && !shape.rows.unproven
            && matches!(
                statement,
                Statement::Query(_)
                    | Statement::Insert(_)
                    | Statement::Update(_)
                    | Statement::Delete(_)
                    | Statement::Merge(_)
            );
        self.doubted |= doubted;
        if !proven {
            return Rc::new(Shape::unproven());
        }
        let width = match (self.dialect, query_plan) {
            (Dialect::Postgres, _) => 1,
            // No more is known of how many columns these describe a plan in.
            (Dialect::Mysql | Dialect::Mssql, _) => return Rc::new(Shape::unproven()),
            (Dialect::Sqlite, true) => 4,
            (Dialect::Sqlite, false) => 8,
        };
        let column = Item::Column {
            name: None,
            sources: Rc::default(),
            unchanged: false,
        };
        Rc::new(Shape::new(vec![column; width], Rc::default()))
    }

    fn outputs(&self, shape: &Shape) -> Outputs {
        let refs = |sources: &Sources| -> BTreeSet<ColumnRef> {
            sources
                .columns
                .iter()
                .map(|column| self.names.column_ref(*column))
                .collect()
        };
        shape
            .items
            .iter()
            .map(|item| match item {
                Item::Column { sources, .. } if sources.unproven => Some(OutputSource::Unproven),
                Item::Column {
                    sources,
                    unchanged: true,
                    ..
                } => Some(OutputSource::Column(refs(sources))),
                Item::Column { sources, .. } => Some(OutputSource::From(refs(sources))),
                Item::Star { relations, whole } => {
                    Some(OutputSource::Star(match (&**relations, whole) {
                        ([relation], true) => Some(self.names.text(*relation).to_owned()),
                        _ => None,
                    }))
                }
                // How many columns, and which, is not known: nothing can be said by position.
                Item::Blur(_) => None,
            })
            .collect::<Option<Vec<_>>>()
            .map_or(Outputs::Unproven, Outputs::Known)
    }

    /// Whether a function runs that the text does not show and nobody has looked into.
    fn runs_anything(&self) -> bool {
        self.server.is_some_and(|server| server.behind.anywhere)
    }

    fn is_confused(&self) -> bool {
        self.fuel == 0
            || self.names.misread
            || self.dialect == Dialect::Postgres && self.saw_unicode_prefix && self.saw_ampersand
    }

    fn into_predicates(mut self) -> BTreeSet<ColumnRef> {
        if self.predicates_doubted || self.is_confused() {
            let any = self.names.every_column(None);
            self.predicates.push(any);
        }
        self.predicates
            .iter()
            .map(|column| self.names.column_ref(*column))
            .collect()
    }

    // -- Bookkeeping ----------------------------------------------------------------------------------------------

    /// Takes `steps`; `false` once there are none left, and everything after that is not proven.
    fn spend(&mut self, steps: usize) -> bool {
        self.fuel = self.fuel.saturating_sub(steps);
        self.fuel > 0
    }

    fn descend(&mut self) -> bool {
        self.depth += 1;
        if self.depth > DEPTH {
            self.depth -= 1;
            return false;
        }
        true
    }

    fn ascend(&mut self) {
        self.depth -= 1;
    }

    fn join(&mut self, into: &mut Sources, other: &Sources) {
        if self.spend(other.columns.len()) {
            into.columns.extend(&other.columns);
        }
        into.unproven |= other.unproven;
    }

    fn doubt(&mut self, sources: &mut Sources) {
        sources.unproven = true;
        self.doubted = true;
    }

    fn doubt_predicates(&mut self) {
        self.predicates_doubted = true;
        self.doubted = true;
    }

    fn note_predicates(&mut self, columns: &[Column], unproven: bool) {
        self.spend(columns.len());
        for column in columns {
            if self.known_predicates.insert(*column) {
                self.predicates.push(*column);
            }
        }
        self.predicates_doubted |= unproven;
    }

    /// Takes back predicates noted since there were `count`.
    fn forget_predicates(&mut self, count: usize, doubted: bool) {
        for column in self.predicates.drain(count..) {
            self.known_predicates.remove(&column);
        }
        self.predicates_doubted = doubted;
    }
}
