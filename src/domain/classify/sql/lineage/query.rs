//! What a query's columns are made of, and what decides its rows: WITH, the body, ORDER BY and LIMIT.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use sqlparser::ast::{
    Expr, ForClause, LimitClause, OrderBy, OrderByKind, Query, SetExpr, TableAlias, Value, With,
};

use super::{
    Walk,
    names::Name,
    scope::{CommonTable, Environment, Output, Place, Scope, State, View},
    shape::{Item, Shape, Sources},
};
use crate::domain::classify::Dialect;

/// A query body's result, and the scope its ORDER BY is read in.
pub(super) struct Body {
    pub(super) items: Vec<Item>,
    pub(super) rows: Sources,
    pub(super) clauses: Option<Rc<Scope>>,
}

impl<'a> Walk<'a> {
    /// The shape of `query`'s result.
    pub(super) fn query(&mut self, query: &'a Query, place: &Place<'a>) -> Rc<Shape> {
        if !self.descend() || !self.spend(1) {
            self.doubt_predicates();
            return Rc::new(Shape::unproven());
        }
        let view = match &query.with {
            Some(with) => self.with(with, place),
            None => place.view.clone(),
        };
        let place = Place {
            scope: place.scope.clone(),
            view,
        };
        let shape = self.query_body(query, &place);
        self.ascend();
        shape
    }

    fn query_body(&mut self, query: &'a Query, place: &Place<'a>) -> Rc<Shape> {
        let mut body = self.set_expression(&query.body, place);
        if let Some(order_by) = &query.order_by {
            let clauses = Place {
                scope: body.clauses.clone(),
                view: place.view.clone(),
            };
            self.order_by(order_by, &body.items, &clauses, &mut body.rows);
        }
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) => {
                let bounds = limit
                    .iter()
                    .chain(offset.iter().map(|offset| &offset.value));
                self.deciders(bounds, place, &mut body.rows);
                let clauses = Place {
                    scope: body.clauses.clone(),
                    view: place.view.clone(),
                };
                self.deciders(limit_by, &clauses, &mut body.rows);
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                self.deciders([offset, limit], place, &mut body.rows);
            }
        }
        if let Some(fetch) = &query.fetch {
            self.deciders(&fetch.quantity, place, &mut body.rows);
        }
        match query.for_clause {
            None => {}
            // One column, of everything.
            Some(ForClause::Json { .. } | ForClause::Xml { .. }) => {
                let mut everything = Sources::default();
                self.all_of(&body.items, &mut everything);
                body.items = vec![Item::Column {
                    name: None,
                    sources: everything.settle(),
                    unchanged: false,
                }];
            }
            // It adds columns.
            Some(ForClause::Browse) => {
                body.items = vec![Item::Blur(Rc::new(Sources::unproven()))];
            }
        }
        if query.format_clause.is_some() {
            body.items = vec![Item::Blur(Rc::new(Sources::unproven()))];
        }
        if !query.pipe_operators.is_empty() || query.settings.is_some() {
            self.doubt_predicates();
            return Rc::new(Shape::unproven());
        }
        Rc::new(Shape::new(body.items, body.rows.settle()))
    }

    // -- Common table expressions ---------------------------------------------------------------------------------

    pub(super) fn with(&mut self, with: &'a With, place: &Place<'a>) -> View<'a> {
        let tables = with
            .cte_tables
            .iter()
            .map(|cte| CommonTable {
                cte,
                name: self.names.bare_relation(&cte.alias.name),
                state: RefCell::new(State::Waiting),
            })
            .collect();
        // SQLite lets every one see every other, in any order, and does not look at RECURSIVE.
        let all_visible = with.recursive || self.dialect == Dialect::Sqlite;
        let environment =
            Environment::new(tables, all_visible, place.scope.clone(), place.view.clone());
        for index in 0..environment.tables.len() {
            self.common_table(&environment, index);
        }
        environment.whole()
    }

    /// The shape of one common table expression, walked when first needed.
    pub(super) fn common_table(
        &mut self,
        environment: &Rc<Environment<'a>>,
        index: usize,
    ) -> Rc<Shape> {
        let table = &environment.tables[index];
        if let State::Done(shape) = &*table.state.borrow() {
            return shape.clone();
        }
        if let State::Running {
            approximation,
            referred_to,
        } = &mut *table.state.borrow_mut()
        {
            *referred_to = true;
            return match approximation {
                Some(shape) => shape.clone(),
                None => Rc::new(Shape::unproven()),
            };
        }
        let shape = self.fixpoint(environment, index);
        table.state.replace(State::Done(shape.clone()));
        shape
    }

    /// Walks a table until what is known of it no longer grows; once, if it does not refer to itself.
    fn fixpoint(&mut self, environment: &Rc<Environment<'a>>, index: usize) -> Rc<Shape> {
        let table = &environment.tables[index];
        let start = self.predicates.len();
        let doubted = self.predicates_doubted;
        table.state.replace(State::Running {
            approximation: None,
            referred_to: false,
        });
        let first = self.common_table_once(environment, index, Arms::All);
        if !matches!(
            &*table.state.borrow(),
            State::Running {
                referred_to: true,
                ..
            }
        ) {
            return first;
        }
        // It does refer to itself, and was taken for anything there: begin with what does not.
        self.forget_predicates(start, doubted);
        table.state.replace(State::Running {
            approximation: None,
            referred_to: false,
        });
        let mut known = self.common_table_once(environment, index, Arms::First);
        loop {
            table.state.replace(State::Running {
                approximation: Some(known.clone()),
                referred_to: false,
            });
            let next = self.common_table_once(environment, index, Arms::All);
            if next == known {
                return known;
            }
            if !self.spend(1) {
                self.doubt_predicates();
                return Rc::new(Shape::unproven());
            }
            known = next;
        }
    }

    fn common_table_once(
        &mut self,
        environment: &Rc<Environment<'a>>,
        index: usize,
        arms: Arms,
    ) -> Rc<Shape> {
        let cte = environment.tables[index].cte;
        let place = Place {
            scope: environment.scope.clone(),
            view: environment.seen_by(index),
        };
        let shape = match arms {
            Arms::All => self.query(&cte.query, &place),
            Arms::First => self.first_arm(&cte.query, &place),
        };
        if cte.from.is_some() {
            return Rc::new(Shape::unproven());
        }
        self.renamed(shape, Some(&cte.alias))
    }

    /// The part of a recursive query it begins with.
    fn first_arm(&mut self, query: &'a Query, place: &Place<'a>) -> Rc<Shape> {
        if !self.descend() || !self.spend(1) {
            return Rc::new(Shape::unproven());
        }
        let view = match &query.with {
            Some(with) => self.with(with, place),
            None => place.view.clone(),
        };
        let place = Place {
            scope: place.scope.clone(),
            view,
        };
        let mut arm = &*query.body;
        while let SetExpr::SetOperation { left, .. } = arm {
            arm = left;
        }
        let shape = match arm {
            SetExpr::Query(inner) => self.first_arm(inner, &place),
            _ => {
                let body = self.set_expression(arm, &place);
                Rc::new(Shape::new(body.items, body.rows.settle()))
            }
        };
        self.ascend();
        shape
    }

    /// `shape` under the column names of `alias`.
    pub(super) fn renamed(&mut self, shape: Rc<Shape>, alias: Option<&TableAlias>) -> Rc<Shape> {
        let Some(alias) = alias else { return shape };
        if alias.at.is_some() {
            return Rc::new(Shape::unproven());
        }
        if alias.columns.is_empty() {
            return shape;
        }
        let names: Vec<Name> = alias
            .columns
            .iter()
            .map(|column| self.names.identifier(&column.name))
            .collect();
        let items = self.rename_items(&shape.items, &names);
        Rc::new(Shape::new(items, shape.rows.clone()))
    }

    fn rename_items(&mut self, items: &[Item], names: &[Name]) -> Vec<Item> {
        let known = items
            .iter()
            .position(|item| !matches!(item, Item::Column { .. }))
            .unwrap_or(items.len());
        let mut renamed: Vec<Item> = Vec::with_capacity(items.len());
        for (index, item) in items[..known].iter().enumerate() {
            renamed.push(match (item, names.get(index)) {
                (
                    Item::Column {
                        sources, unchanged, ..
                    },
                    Some(name),
                ) => Item::Column {
                    name: Some(*name),
                    sources: sources.clone(),
                    unchanged: *unchanged,
                },
                (item, _) => item.clone(),
            });
        }
        let rest = &items[known..];
        if names.len() <= known {
            renamed.extend(rest.iter().cloned());
            return renamed;
        }
        // The further names fall on columns only the server could count.
        let mut sources = Sources::default();
        self.all_of(rest, &mut sources);
        let sources = sources.settle();
        for name in &names[known..] {
            renamed.push(Item::Column {
                name: Some(*name),
                sources: sources.clone(),
                unchanged: false,
            });
        }
        match rest {
            [star @ Item::Star { .. }] => renamed.push(star.clone().partly()),
            _ => renamed.push(Item::Blur(sources)),
        }
        renamed
    }

    // -- What decides ----------------------------------------------------------------------------------------------

    pub(super) fn order_by(
        &mut self,
        order_by: &'a OrderBy,
        items: &[Item],
        place: &Place<'a>,
        rows: &mut Sources,
    ) {
        match &order_by.kind {
            OrderByKind::All(_) => {
                let mut everything = Sources::default();
                self.all_of(items, &mut everything);
                self.decide(&everything, rows);
            }
            OrderByKind::Expressions(terms) => {
                for term in terms {
                    self.position(&term.expr, items, place, rows);
                    if term.with_fill.is_some() {
                        self.doubt_predicates();
                    }
                }
            }
        }
        if order_by.interpolate.is_some() {
            self.doubt_predicates();
        }
    }

    pub(super) fn positions(
        &mut self,
        expressions: &'a [Expr],
        items: &[Item],
        place: &Place<'a>,
        rows: &mut Sources,
    ) {
        for expression in expressions {
            self.position(expression, items, place, rows);
        }
    }

    /// An expression of GROUP BY or ORDER BY: a bare number is an output's position.
    pub(super) fn position(
        &mut self,
        expression: &'a Expr,
        items: &[Item],
        place: &Place<'a>,
        rows: &mut Sources,
    ) {
        let mut bare = expression;
        while let Expr::Nested(inner) | Expr::Collate { expr: inner, .. } = bare {
            bare = inner;
        }
        if let Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) = bare {
            for element in sets.iter().flatten() {
                self.position(element, items, place, rows);
            }
            return;
        }
        if let Expr::Value(value) = bare
            && let Value::Number(digits, _) = &value.value
            && let Some(index) = digits
                .parse::<usize>()
                .ok()
                .and_then(|position| position.checked_sub(1))
        {
            let mut sources = Sources::default();
            let column = self.at_position(items, index);
            self.all_of(&[column], &mut sources);
            self.decide(&sources, rows);
        } else {
            self.deciders([expression], place, rows);
        }
    }

    /// Expressions that decide which rows there are, or in which order.
    pub(super) fn deciders(
        &mut self,
        expressions: impl IntoIterator<Item = &'a Expr>,
        place: &Place<'a>,
        rows: &mut Sources,
    ) {
        for expression in expressions {
            let sources = self.sources(expression, place);
            self.decide(&sources, rows);
        }
    }

    pub(super) fn decide(&mut self, sources: &Sources, rows: &mut Sources) {
        self.note_predicates(&sources.columns, sources.unproven);
        self.join(rows, sources);
    }
}

/// How much of a recursive query to walk.
#[derive(Clone, Copy, Debug)]
enum Arms {
    First,
    All,
}

/// Output names a clause may use.
pub(super) fn output_names(items: &[Item]) -> HashMap<Name, Output> {
    let mut names: HashMap<Name, (Sources, bool)> = HashMap::with_capacity(items.len());
    for item in items {
        if let Item::Column {
            name: Some(name),
            sources,
            unchanged,
        } = item
        {
            let (known, all_unchanged) = names.entry(*name).or_insert((Sources::default(), true));
            known.columns.extend(&sources.columns);
            known.unproven |= sources.unproven;
            *all_unchanged &= unchanged;
        }
    }
    names
        .into_iter()
        .map(|(name, (sources, unchanged))| {
            let sources = sources.settle();
            (name, Output { sources, unchanged })
        })
        .collect()
}
