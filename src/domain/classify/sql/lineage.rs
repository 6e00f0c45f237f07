//! Which columns of which relations each output of a statement can show, and which ones decide its rows.
//!
//! Where no catalog says which columns a table has, a name that could mean several columns means all of them. Refuses to know which columns are sensitive; that is masking's.
//!
//! INVARIANT: an output is clean only when proven so. A construct, function or name this walk does not understand makes
//! the output [`OutputSource::Unproven`] (or the whole result [`Outputs::Unproven`]) and the predicates
//! `*` of any relation; so does a statement too large to walk in bounded time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use sqlparser::ast::{
    Ident, ShowStatementFilter, ShowStatementFilterPosition, ShowStatementOptions, Statement,
};

use self::{
    beside::Beside,
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

mod beside;
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
    /// By where their token begins, literals and parameters that stand for nothing but a value of one of these columns.
    pub(crate) beside: BTreeMap<u32, BTreeSet<ColumnRef>>,
    /// Where values are put, beside the answer; `None`: not followed.
    pub(crate) flows: Option<BTreeSet<Flow>>,
}

impl Lineage {
    /// The lineage of a text that may be read in two ways.
    pub(crate) fn or(mut self, other: Self) -> Self {
        self.outputs = match (self.outputs, other.outputs) {
            (Outputs::Known(these), Outputs::Known(others)) if these.len() == others.len() => {
                let either = these.into_iter().zip(others);
                either
                    .map(|(this, other)| either_source(this, other))
                    .collect::<Option<Vec<_>>>()
                    .map_or(Outputs::Unproven, Outputs::Known)
            }
            (Outputs::Described, Outputs::Described) => Outputs::Described,
            _ => Outputs::Unproven,
        };
        self.predicates.extend(other.predicates);
        // What is a literal to one may be a name to the other.
        self.beside.clear();
        self.flows = self
            .flows
            .zip(other.flows)
            .map(|(these, others)| &these | &others);
        self
    }
}

/// `None`: one is a single column, the other several.
fn either_source(this: OutputSource, other: OutputSource) -> Option<OutputSource> {
    use OutputSource::{Column, From, Star, Unproven};
    Some(match (this, other) {
        (this, other) if this == other => this,
        (Star(_), _) | (_, Star(_)) => return None,
        (Unproven, _) | (_, Unproven) => Unproven,
        (Column(these), Column(others)) => Column(&these | &others),
        (Column(these) | From(these), Column(others) | From(others)) => From(&these | &others),
    })
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
        ([_], Some(shape)) if !walk.is_confused() && !walk.runs_anything() => {
            match walk.describes {
                true => Outputs::Described,
                false => walk.outputs(&shape),
            }
        }
        _ => Outputs::Unproven,
    };
    Lineage {
        outputs,
        beside: walk.beside(statements),
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
    /// The statement shows what things are made of, or a plan, and no value of a row.
    describes: bool,
    /// Anything was not proven, anywhere.
    doubted: bool,
    /// Columns the select list at hand lets decide which of its rows bare columns are taken from.
    extremes: Vec<Column>,
    /// Columns the select list at hand lets decide how many rows there are.
    multipliers: Vec<Column>,
    beside: Beside,
    /// From where to where values are put.
    flows: BTreeSet<(Column, Option<Column>)>,
    flows_lost: bool,
    /// The tables SELECT … INTO makes; `None`: variables.
    made: Vec<Option<Name>>,
    /// A variable of the batch is given something of a row, or something not understood.
    variables_hold: bool,
    variables_read: bool,
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
            describes: false,
            doubted: false,
            extremes: Vec::new(),
            multipliers: Vec::new(),
            beside: Beside::default(),
            flows: BTreeSet::new(),
            flows_lost: false,
            made: Vec::new(),
            variables_hold: false,
            variables_read: false,
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
                let (name, binding) = self.target(&table.name, None);
                let here = self.scope_of([binding], &place);
                for column in &table.columns {
                    let options = column.options.iter().map(|option| &option.option);
                    self.computed_column(name, &column.name, options, &here);
                }
                if let Some(query) = &table.query {
                    let shape = self.query(query, &place);
                    self.kept(&shape.items, Some(name));
                }
                Rc::new(Shape::new(Vec::new(), Rc::default()))
            }
            Statement::AlterTable(alter) => {
                self.altered(alter);
                Rc::new(Shape::unproven())
            }
            Statement::Explain {
                analyze,
                statement,
                query_plan,
                format,
                ..
            } => {
                let as_table = !analyze && format.is_none();
                self.explained(statement, *query_plan, as_table)
            }
            Statement::ShowTables { show_options, .. }
            | Statement::ShowColumns { show_options, .. }
            | Statement::ShowDatabases { show_options, .. }
            | Statement::ShowSchemas { show_options, .. } => {
                if has_condition(show_options) {
                    self.doubt_predicates();
                }
                self.description()
            }
            Statement::ExplainTable { .. } | Statement::ShowCreate { .. } => self.description(),
            Statement::ShowVariable { variable } if shows_keys(variable) => self.description(),
            // These hold no expression over columns; what they give back is not a query's.
            Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Savepoint { .. }
            | Statement::ReleaseSavepoint { .. }
            | Statement::ShowVariable { .. }
            | Statement::Pragma { .. }
            | Statement::Use(_)
            | Statement::Truncate(_)
            | Statement::Drop { .. }
            | Statement::Vacuum(_)
            | Statement::Analyze(_)
            | Statement::Grant(_)
            | Statement::Revoke(_) => Rc::new(Shape::unproven()),
            Statement::Set(set) => {
                // Elsewhere a setting is given a word.
                if matches!(self.dialect, Dialect::Mysql | Dialect::Mssql) {
                    self.set(set);
                }
                Rc::new(Shape::unproven())
            }
            Statement::Declare { stmts } if self.dialect == Dialect::Mssql => {
                self.declared(stmts);
                Rc::new(Shape::new(Vec::new(), Rc::default()))
            }
            _ => {
                self.flows_lost = true;
                self.not_walked()
            }
        }
    }

    /// What MySQL tells of a thing, in columns of its own.
    fn description(&mut self) -> Rc<Shape> {
        self.describes = self.dialect == Dialect::Mysql;
        Rc::new(Shape::unproven())
    }

    /// A plan shows the statement's own constants, and how many rows its conditions find.
    fn explained(
        &mut self,
        statement: &'a Statement,
        query_plan: bool,
        as_table: bool,
    ) -> Rc<Shape> {
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
            // Its table names tables and keys, and counts; in other forms a plan quotes what was read while it was made.
            (Dialect::Mysql, _) if as_table => return self.description(),
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
            || self.variables_hold && self.variables_read
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

/// Whether a SHOW has a WHERE, which can ask anything.
fn has_condition(options: &ShowStatementOptions) -> bool {
    use ShowStatementFilterPosition::{Infix, Suffix};
    matches!(
        options.filter_position,
        Some(Infix(ShowStatementFilter::Where(_)) | Suffix(ShowStatementFilter::Where(_)))
    )
}

/// MySQL's `SHOW INDEX FROM table`, which has a tree for settings.
fn shows_keys(words: &[Ident]) -> bool {
    let word = |index: usize| words.get(index).map(|word| word.value.to_ascii_lowercase());
    matches!(word(0).as_deref(), Some("index" | "indexes" | "keys"))
        && matches!(word(1).as_deref(), Some("from" | "in"))
        && words.len() == 3
}
