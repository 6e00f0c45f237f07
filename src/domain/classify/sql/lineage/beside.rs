//! Literals and parameters that stand for nothing but a value of a column: compared with it for equality, or written to
//! it. Whoever puts another value in their place changes which value is looked for or stored, and nothing else.
//!
//! Orders (`<`, BETWEEN) and patterns (LIKE) are left out: they ask something else of another value. So is whatever
//! computes with the literal or with the column.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr,
    ObjectName, Statement, Value, Values,
};

use super::{
    super::{Dialect, tree::start_of},
    ColumnRef, Walk,
    names::{Column, Name, identifiers},
    scope::Place,
};

/// By where their token begins. `None`: it is beside something that is not simply a column.
pub(super) type Beside = BTreeMap<u32, Option<BTreeSet<Column>>>;

/// Whether an operator asks if two values are equal, and nothing else.
pub(super) fn is_equality(operator: &BinaryOperator) -> bool {
    matches!(
        operator,
        BinaryOperator::Eq | BinaryOperator::NotEq | BinaryOperator::Spaceship
    )
}

impl<'a> Walk<'a> {
    /// Two expressions are asked whether they are equal.
    pub(super) fn equated(&mut self, one: &'a Expr, other: &'a Expr, place: &Place<'a>) {
        let (column, at) = match (self.own_value(one), self.own_value(other)) {
            (None, Some(at)) => (one, at),
            (Some(at), None) => (other, at),
            (None, None) | (Some(_), Some(_)) => return,
        };
        // Anything but a name is computed with, and walking it again would double with every level.
        let is_name = matches!(
            without_parentheses(column),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_)
        );
        if is_name {
            let (sources, unchanged) = self.value(column, place);
            let columns = unchanged.then(|| sources.columns.iter().copied().collect());
            self.note_beside(at, columns);
        }
    }

    /// `SET column = …` of `relation`.
    pub(super) fn put(&mut self, relation: Name, assignments: &'a [Assignment]) {
        for assignment in assignments {
            if let AssignmentTarget::ColumnName(column) = &assignment.target {
                self.put_one(relation, column, &assignment.value);
            }
        }
    }

    /// Rows of VALUES for columns of `relation`.
    pub(super) fn put_rows(
        &mut self,
        relation: Name,
        columns: &'a [ObjectName],
        values: &'a Values,
    ) {
        for row in &values.rows {
            if row.content.len() == columns.len() {
                for (column, value) in columns.iter().zip(&row.content) {
                    self.put_one(relation, column, value);
                }
            }
        }
    }

    fn put_one(&mut self, relation: Name, column: &'a ObjectName, value: &'a Expr) {
        let Some(at) = self.own_value(value) else {
            return;
        };
        // `a.b` may be a field of column a.
        let columns = match identifiers(column).as_deref() {
            Some([column]) => {
                let name = self.names.identifier(column);
                Some(BTreeSet::from([self.names.column(Some(relation), name)]))
            }
            _ => None,
        };
        self.note_beside(at, columns);
    }

    fn note_beside(&mut self, at: u32, columns: Option<BTreeSet<Column>>) {
        self.spend(1);
        let known = self
            .beside
            .entry(at)
            .or_insert_with(|| Some(BTreeSet::new()));
        match (known.as_mut(), columns) {
            (Some(known), Some(columns)) => known.extend(columns),
            _ => *known = None,
        }
    }

    /// Where the token of a literal or parameter begins, if `expression` is nothing more than that.
    fn own_value(&self, expression: &Expr) -> Option<u32> {
        match without_parentheses(expression) {
            Expr::Value(value) => match value.value {
                Value::SingleQuotedString(_)
                | Value::EscapedStringLiteral(_)
                | Value::NationalStringLiteral(_)
                | Value::Placeholder(_) => start_of(value.span),
                _ => None,
            },
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr,
                data_type,
                format: None,
            } if self.keeps_values(data_type) => self.own_value(expr),
            _ => None,
        }
    }

    /// Whether text that becomes this type stays the same value, or fails.
    fn keeps_values(&self, data_type: &DataType) -> bool {
        match data_type {
            DataType::Text | DataType::Varchar(None) | DataType::CharacterVarying(None) => true,
            // SQLite takes the digits a text begins with.
            DataType::Uuid
            | DataType::SmallInt(None)
            | DataType::Int(None)
            | DataType::Integer(None)
            | DataType::BigInt(None)
            | DataType::Int4(None)
            | DataType::Int8(None)
            | DataType::Numeric(ExactNumberInfo::None) => self.dialect == Dialect::Postgres,
            _ => false,
        }
    }

    /// What stands beside columns in `statements`. Others than these keep their text (a view), or show it (a plan).
    pub(super) fn beside(&self, statements: &[Statement]) -> BTreeMap<u32, BTreeSet<ColumnRef>> {
        let plain = |statement: &Statement| {
            matches!(
                statement,
                Statement::Query(_)
                    | Statement::Insert(_)
                    | Statement::Update(_)
                    | Statement::Delete(_)
                    | Statement::Merge(_)
            )
        };
        if self.is_confused() || !statements.iter().all(plain) {
            return BTreeMap::new();
        }
        let refs = |columns: &BTreeSet<Column>| {
            columns
                .iter()
                .map(|column| self.names.column_ref(*column))
                .collect()
        };
        self.beside
            .iter()
            .filter_map(|(at, columns)| Some((*at, refs(columns.as_ref()?))))
            .collect()
    }
}

fn without_parentheses(expression: &Expr) -> &Expr {
    let mut bare = expression;
    while let Expr::Nested(inner) = bare {
        bare = inner;
    }
    bare
}
