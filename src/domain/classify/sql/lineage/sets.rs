//! Set operations and what stands in their arms.

use std::rc::Rc;

use sqlparser::ast::{
    Ident, ObjectName, SetExpr, SetOperator, SetQuantifier, Statement, Table, Values,
};

use super::{
    Walk,
    names::{Name, identifiers},
    query::{Body, output_names},
    scope::{Place, Scope, View},
    shape::{Item, Shape, Sources, is_closed},
};
use crate::domain::classify::Dialect;

impl<'a> Walk<'a> {
    pub(super) fn set_expression(&mut self, expression: &'a SetExpr, place: &Place<'a>) -> Body {
        // UNIONs lean to the left and may be as many as the statement is long.
        let mut arms = Vec::new();
        let mut first = expression;
        while let SetExpr::SetOperation {
            left,
            op,
            set_quantifier,
            right,
        } = first
        {
            arms.push((*op, *set_quantifier, &**right));
            first = left;
        }
        let mut body = self.arm(first, place);
        if arms.is_empty() {
            return body;
        }
        for (operator, quantifier, right) in arms.into_iter().rev() {
            if !self.spend(1) {
                self.doubt_predicates();
                return self.unproven_body();
            }
            let right = self.set_operand(right, place);
            body = self.combined(body, operator, quantifier, right);
        }
        // ORDER BY may name the outputs of any arm.
        let mut everything = Sources::default();
        self.all_of(&body.items, &mut everything);
        body.clauses = Some(Rc::new(Scope {
            aliases: Rc::new(output_names(&body.items)),
            outputs: Some(everything.settle()),
            parent: place.scope.clone(),
            ..Scope::default()
        }));
        body
    }

    fn set_operand(&mut self, expression: &'a SetExpr, place: &Place<'a>) -> Body {
        if !self.descend() {
            self.doubt_predicates();
            return self.unproven_body();
        }
        let body = self.set_expression(expression, place);
        self.ascend();
        body
    }

    fn arm(&mut self, expression: &'a SetExpr, place: &Place<'a>) -> Body {
        match expression {
            SetExpr::Select(select) => self.select(select, place),
            SetExpr::Query(query) => {
                let shape = self.query(query, place);
                self.body_of(&shape, place)
            }
            SetExpr::SetOperation { .. } => self.set_operand(expression, place),
            SetExpr::Values(values) => self.values(values, place),
            SetExpr::Insert(statement)
            | SetExpr::Update(statement)
            | SetExpr::Delete(statement)
            | SetExpr::Merge(statement) => match statement {
                Statement::Insert(insert) => {
                    let shape = self.insert(insert, place);
                    self.body_of(&shape, place)
                }
                Statement::Update(update) => {
                    let shape = self.update(update, place);
                    self.body_of(&shape, place)
                }
                Statement::Delete(delete) => {
                    let shape = self.delete(delete, place);
                    self.body_of(&shape, place)
                }
                Statement::Merge(merge) => {
                    let shape = self.merge(merge, place);
                    self.body_of(&shape, place)
                }
                _ => {
                    self.doubt_predicates();
                    self.unproven_body()
                }
            },
            SetExpr::Table(table) => self.table_command(table, place),
        }
    }

    fn body_of(&mut self, shape: &Shape, place: &Place<'a>) -> Body {
        let mut everything = Sources::default();
        self.all_of(&shape.items, &mut everything);
        Body {
            items: shape.items.clone(),
            rows: (*shape.rows).clone(),
            clauses: Some(Rc::new(Scope {
                aliases: Rc::new(output_names(&shape.items)),
                outputs: Some(everything.settle()),
                parent: place.scope.clone(),
                ..Scope::default()
            })),
        }
    }

    pub(super) fn unproven_body(&mut self) -> Body {
        let shape = Shape::unproven();
        self.body_of(&shape, &Place::default())
    }

    fn combined(
        &mut self,
        left: Body,
        operator: SetOperator,
        quantifier: SetQuantifier,
        right: Body,
    ) -> Body {
        let mut rows = left.rows;
        self.join(&mut rows, &right.rows);
        let by_name = match quantifier {
            SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None => false,
            SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => {
                true
            }
        };
        let compares = match operator {
            SetOperator::Union => quantifier != SetQuantifier::All,
            SetOperator::Intersect | SetOperator::Except | SetOperator::Minus => true,
        };
        if compares {
            let mut compared = Sources::default();
            self.all_of(&left.items, &mut compared);
            self.all_of(&right.items, &mut compared);
            self.decide(&compared, &mut rows);
        }
        let items = if by_name {
            vec![Item::Blur(Rc::new(Sources::unproven()))]
        } else {
            match operator {
                SetOperator::Union | SetOperator::Intersect => self.both(&left.items, &right.items),
                SetOperator::Except | SetOperator::Minus => left.items,
            }
        };
        Body {
            items,
            rows,
            clauses: None,
        }
    }

    /// Columns that hold values of `left` or of `right`, position by position.
    fn both(&mut self, left: &[Item], right: &[Item]) -> Vec<Item> {
        let alike = left.len() == right.len()
            && left.iter().zip(right).all(|pair| match pair {
                (Item::Column { .. }, Item::Column { .. }) => true,
                (Item::Star { whole: true, .. }, Item::Star { whole: true, .. }) => {
                    pair.0 == pair.1
                }
                _ => false,
            });
        if alike {
            return left
                .iter()
                .zip(right)
                .map(|(left, right)| self.either(left, right))
                .collect();
        }
        let width = if is_closed(left) {
            left.len()
        } else if is_closed(right) {
            right.len()
        } else {
            let mut sources = Sources::default();
            self.all_of(left, &mut sources);
            self.all_of(right, &mut sources);
            return vec![Item::Blur(sources.settle())];
        };
        (0..width)
            .map(|index| {
                let left = self.at_position(left, index);
                let right = self.at_position(right, index);
                self.either(&left, &right)
            })
            .collect()
    }

    fn either(&mut self, left: &Item, right: &Item) -> Item {
        match (left, right) {
            (
                Item::Column {
                    name,
                    sources,
                    unchanged,
                },
                Item::Column {
                    sources: other,
                    unchanged: other_unchanged,
                    ..
                },
            ) => {
                let mut joined = Sources::default();
                self.join(&mut joined, sources);
                self.join(&mut joined, other);
                Item::Column {
                    name: *name,
                    sources: joined.settle(),
                    unchanged: *unchanged && *other_unchanged,
                }
            }
            (left, _) => left.clone(),
        }
    }

    /// The column at `index`, or everything it could be.
    pub(super) fn at_position(&mut self, items: &[Item], index: usize) -> Item {
        let known = items
            .iter()
            .position(|item| !matches!(item, Item::Column { .. }))
            .unwrap_or(items.len());
        if index < known {
            return items[index].clone();
        }
        let mut sources = Sources::default();
        self.spend(items.len() - known);
        self.all_of(&items[known..], &mut sources);
        Item::Column {
            name: None,
            sources: sources.settle(),
            unchanged: false,
        }
    }

    fn values(&mut self, values: &'a Values, place: &Place<'a>) -> Body {
        let width = values.rows.iter().map(|row| row.content.len()).max();
        let mut columns: Vec<Sources> = vec![Sources::default(); width.unwrap_or(0)];
        for row in &values.rows {
            for (column, expression) in columns.iter_mut().zip(&row.content) {
                self.expression(expression, place, column);
            }
        }
        let items = columns
            .into_iter()
            .enumerate()
            .map(|(index, sources)| Item::Column {
                name: match self.dialect {
                    Dialect::Postgres | Dialect::Sqlite => {
                        Some(self.names.name(&format!("column{}", index + 1)))
                    }
                    // MariaDB calls them by the text of the first row.
                    Dialect::Mysql | Dialect::Mssql => None,
                },
                sources: sources.settle(),
                unchanged: false,
            })
            .collect();
        let shape = Shape::new(items, Rc::default());
        self.body_of(&shape, place)
    }

    /// `TABLE t`.
    fn table_command(&mut self, table: &'a Table, place: &Place<'a>) -> Body {
        let Some(name) = &table.table_name else {
            self.doubt_predicates();
            return self.unproven_body();
        };
        // sqlparser keeps no quotes here, so the name as written may not be the name meant.
        let plain = |text: &String| !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let parts: Vec<Ident> = table
            .schema_name
            .iter()
            .chain([name])
            .map(Ident::new)
            .collect();
        if !plain(name) && self.dialect == Dialect::Postgres {
            self.doubt_predicates();
            return self.unproven_body();
        }
        let (_, shape) = self.relation(&ObjectName::from(parts), &place.view);
        self.body_of(&shape, place)
    }

    /// A relation by name: a common table, or one of the database under the name policy knows.
    pub(super) fn relation(
        &mut self,
        name: &ObjectName,
        view: &View<'a>,
    ) -> (Option<Name>, Rc<Shape>) {
        let Some(relation) = self.names.relation(name) else {
            return (None, Rc::new(Shape::unproven()));
        };
        if name.0.len() == 1
            && let Some((environment, index)) = view.find(relation)
        {
            let defined = &environment.tables[index].cte.alias.name.value;
            let called = identifiers(name).and_then(|parts| parts.last().copied());
            let is_called = called.is_some_and(|name| name.value == *defined);
            if matches!(self.dialect, Dialect::Mysql | Dialect::Mssql) && !is_called {
                // Whether case makes them two is a setting: it may be a table of the database.
                self.doubt_predicates();
                return (None, Rc::new(Shape::unproven()));
            }
            return (None, self.common_table(&environment, index));
        }
        let (base, shape) = self.base(name, relation);
        (Some(base), shape)
    }
}
