//! What a value is made of. An expression is the sum of its parts, and of what decides between them.
//!
//! INVARIANT: every kind of expression is named here. What sqlparser learns next does not compile until it is judged.

use std::rc::Rc;

use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, Expr, Ident, JsonPathElem, ObjectName, Query,
    Subscript, TypedString, UnaryOperator, Value,
};

use super::{
    Walk,
    beside::is_equality,
    names::identifiers,
    scope::{Meaning, Place},
    shape::Sources,
};
use crate::domain::classify::Dialect;

impl<'a> Walk<'a> {
    /// What `expression` is made of, and whether it is one column's value as it is.
    pub(super) fn value(&mut self, expression: &'a Expr, place: &Place<'a>) -> (Rc<Sources>, bool) {
        let mut bare = expression;
        while let Expr::Nested(inner) = bare {
            bare = inner;
        }
        let meaning = match bare {
            Expr::Identifier(identifier) => self.bare(identifier, place.scope.as_ref()),
            Expr::CompoundIdentifier(parts) => self.compound(parts, place),
            _ => {
                let mut sources = Sources::default();
                self.expression(bare, place, &mut sources);
                return (sources.settle(), false);
            }
        };
        self.remember_unicode_prefix(bare);
        let unchanged =
            !meaning.computed && !meaning.sources.unproven && !meaning.sources.columns.is_empty();
        (meaning.sources.settle(), unchanged)
    }

    /// As [`Walk::value`], where only the sources matter.
    pub(super) fn sources(&mut self, expression: &'a Expr, place: &Place<'a>) -> Rc<Sources> {
        let mut sources = Sources::default();
        self.expression(expression, place, &mut sources);
        sources.settle()
    }

    fn compound(&mut self, parts: &'a [Ident], place: &Place<'a>) -> Meaning {
        let Some((column, qualifier)) = parts.split_last() else {
            let mut meaning = Meaning::default();
            self.doubt(&mut meaning.sources);
            return meaning;
        };
        let qualifier: Vec<&Ident> = qualifier.iter().collect();
        self.qualified(&qualifier, column, place.scope.as_ref())
    }

    /// Adds everything `expression`'s value depends on. Chains of operators lean to the left and may be as long as
    /// the statement, so their left side is followed in a loop.
    pub(super) fn expression(
        &mut self,
        expression: &'a Expr,
        place: &Place<'a>,
        into: &mut Sources,
    ) {
        if !self.descend() {
            return self.doubt(into);
        }
        let mut next = Some(expression);
        while let Some(expression) = next {
            if !self.spend(1) {
                self.doubt(into);
                break;
            }
            next = self.step(expression, place, into);
        }
        self.ascend();
    }

    fn all<'e>(
        &mut self,
        expressions: impl IntoIterator<Item = &'a Expr>,
        place: &Place<'a>,
        into: &mut Sources,
    ) where
        'a: 'e,
    {
        for expression in expressions {
            self.expression(expression, place, into);
        }
    }

    /// An expression that decides: part of the value, and a place where values can be inferred.
    pub(super) fn decider(&mut self, expression: &'a Expr, place: &Place<'a>, into: &mut Sources) {
        let start = into.columns.len();
        let doubted = std::mem::take(&mut into.unproven);
        self.expression(expression, place, into);
        self.note_predicates(&into.columns[start..], into.unproven);
        into.unproven |= doubted;
    }

    /// Adds one node, all its children but one, and returns that one.
    fn step(
        &mut self,
        expression: &'a Expr,
        place: &Place<'a>,
        into: &mut Sources,
    ) -> Option<&'a Expr> {
        match expression {
            Expr::Identifier(identifier) => {
                self.remember_unicode_prefix(expression);
                let meaning = self.bare(identifier, place.scope.as_ref());
                self.join(into, &meaning.sources);
                None
            }
            Expr::CompoundIdentifier(parts) => {
                let meaning = self.compound(parts, place);
                self.join(into, &meaning.sources);
                None
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.field_access(root, access_chain, place, into)
            }
            Expr::JsonAccess { value, path } => {
                for element in &path.path {
                    match element {
                        JsonPathElem::Dot { .. } => {}
                        JsonPathElem::Bracket { key } | JsonPathElem::ColonBracket { key } => {
                            self.expression(key, place, into);
                        }
                    }
                }
                Some(value)
            }

            Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Nested(inner) => Some(inner),
            Expr::IsJson { expr, .. }
            | Expr::IsNormalized { expr, .. }
            | Expr::Extract { expr, .. }
            | Expr::Ceil { expr, .. }
            | Expr::Floor { expr, .. }
            | Expr::Collate { expr, .. }
            | Expr::Named { expr, .. } => Some(expr),
            Expr::Cast {
                kind,
                expr,
                data_type,
                ..
            } => {
                // `geography::Parse(email)`: what sqlparser takes for a type is a call.
                if *kind == CastKind::DoubleColon && self.dialect == Dialect::Mssql {
                    self.doubt(into);
                }
                self.cast(data_type, into);
                Some(expr)
            }
            Expr::Prefixed { value, .. } => Some(value),
            Expr::UnaryOp { op, expr } => {
                if self.is_overloaded(op) {
                    self.doubt(into);
                }
                match op {
                    UnaryOperator::Plus
                    | UnaryOperator::Minus
                    | UnaryOperator::Not
                    | UnaryOperator::PGSquareRoot
                    | UnaryOperator::PGCubeRoot
                    | UnaryOperator::PGPostfixFactorial
                    | UnaryOperator::PGPrefixFactorial
                    | UnaryOperator::PGAbs
                    | UnaryOperator::BitwiseNot
                    | UnaryOperator::BangNot
                    | UnaryOperator::Hash
                    | UnaryOperator::AtDashAt
                    | UnaryOperator::DoubleAt
                    | UnaryOperator::QuestionDash
                    | UnaryOperator::QuestionPipe => {}
                }
                Some(expr)
            }

            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.equated(left, right, place);
                self.expression(right, place, into);
                Some(left)
            }
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Assignment,
                right,
            } => {
                let sources = self.sources(right, place);
                self.put_into_variable(&sources);
                self.doubt(into);
                self.join(into, &sources);
                Some(left)
            }
            Expr::BinaryOp { left, op, right } => {
                if is_equality(op) {
                    self.equated(left, right, place);
                }
                self.operator(op, into);
                self.expression(right, place, into);
                Some(left)
            }
            Expr::AnyOp {
                left,
                compare_op,
                right,
                ..
            }
            | Expr::AllOp {
                left,
                compare_op,
                right,
            } => {
                self.operator(compare_op, into);
                if let (true, Expr::Array(array)) = (is_equality(compare_op), &**right) {
                    for element in &array.elem {
                        self.equated(left, element, place);
                    }
                }
                match &**right {
                    Expr::Subquery(subquery) => {
                        self.subquery(subquery, place, into, Shown::Decides);
                    }
                    right => self.expression(right, place, into),
                }
                Some(left)
            }
            Expr::InList { expr, list, .. } => {
                for value in list {
                    self.equated(expr, value, place);
                }
                self.all(list, place, into);
                Some(expr)
            }
            Expr::InSubquery { expr, subquery, .. } => {
                self.subquery(subquery, place, into, Shown::Decides);
                Some(expr)
            }
            Expr::InUnnest {
                expr, array_expr, ..
            } => {
                self.expression(array_expr, place, into);
                Some(expr)
            }
            Expr::Between {
                expr, low, high, ..
            } => {
                self.all([&**low, &**high], place, into);
                Some(expr)
            }
            Expr::Like {
                expr,
                pattern,
                escape_char,
                ..
            }
            | Expr::ILike {
                expr,
                pattern,
                escape_char,
                ..
            }
            | Expr::SimilarTo {
                expr,
                pattern,
                escape_char,
                ..
            } => {
                self.expression(pattern, place, into);
                self.all(escape_char.as_deref(), place, into);
                Some(expr)
            }
            Expr::RLike { expr, pattern, .. } => {
                self.expression(pattern, place, into);
                Some(expr)
            }

            Expr::Convert {
                expr,
                data_type,
                styles,
                ..
            } => {
                if let Some(data_type) = data_type {
                    self.cast(data_type, into);
                }
                self.all(styles, place, into);
                Some(expr)
            }
            Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => {
                self.expression(time_zone, place, into);
                Some(timestamp)
            }
            Expr::Position { expr, r#in } => {
                self.expression(r#in, place, into);
                Some(expr)
            }
            Expr::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                self.all(substring_from.as_deref(), place, into);
                self.all(substring_for.as_deref(), place, into);
                Some(expr)
            }
            Expr::Trim {
                trim_what,
                expr,
                trim_characters,
                ..
            } => {
                self.all(trim_what.as_deref(), place, into);
                self.all(trim_characters.iter().flatten(), place, into);
                Some(expr)
            }
            Expr::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                self.all([&**overlay_what, &**overlay_from], place, into);
                self.all(overlay_for.as_deref(), place, into);
                Some(expr)
            }
            Expr::Value(value) => {
                match value.value {
                    // To SQLite `true` is a column, wherever there is one of that name.
                    Value::Boolean(is) if self.dialect == Dialect::Sqlite => {
                        let word = Ident::new(if is { "true" } else { "false" });
                        let meaning = self.named(&word, place.scope.as_ref());
                        self.join(into, &meaning.sources);
                    }
                    _ => self.literal(&value.value, into),
                }
                None
            }
            Expr::TypedString(typed) => {
                if !self.has_typed_strings(typed) {
                    self.doubt(into);
                }
                self.cast(&typed.data_type, into);
                self.literal(&typed.value.value, into);
                None
            }
            Expr::Interval(interval) => {
                // A column called interval, and its alias.
                if matches!(self.dialect, Dialect::Sqlite | Dialect::Mssql) {
                    self.doubt(into);
                }
                Some(&interval.value)
            }

            Expr::Function(function) => {
                self.function(function, place, into);
                None
            }
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                if let Some(operand) = operand {
                    self.decider(operand, place, into);
                }
                for case in conditions {
                    if let Some(operand) = operand {
                        self.equated(operand, &case.condition, place);
                    }
                    self.decider(&case.condition, place, into);
                    self.expression(&case.result, place, into);
                }
                else_result.as_deref()
            }
            Expr::Exists { subquery, .. } => {
                self.subquery(subquery, place, into, Shown::Exists);
                None
            }
            Expr::Subquery(subquery) => {
                self.subquery(subquery, place, into, Shown::Value);
                None
            }
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                self.all(sets.iter().flatten(), place, into);
                None
            }
            Expr::Tuple(values) => {
                self.all(values, place, into);
                None
            }
            Expr::Struct { values, .. } => {
                self.all(values, place, into);
                None
            }
            Expr::Dictionary(fields) => {
                // `{x email}` of ODBC, misread.
                if matches!(self.dialect, Dialect::Mysql | Dialect::Mssql) {
                    self.doubt(into);
                }
                self.all(fields.iter().map(|field| &*field.value), place, into);
                None
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    self.all([&*entry.key, &*entry.value], place, into);
                }
                None
            }
            Expr::Array(array) => {
                self.all(&array.elem, place, into);
                None
            }
            Expr::MatchAgainst {
                columns,
                match_value,
                ..
            } => {
                for column in columns {
                    self.dotted(column, place, into);
                }
                self.literal(&match_value.value, into);
                None
            }
            Expr::Wildcard(_) => {
                self.everything_in(place.scope.as_ref(), into);
                None
            }
            Expr::QualifiedWildcard(name, _) => {
                self.whole_row(name, place, into);
                None
            }
            Expr::OuterJoin(inner) => Some(inner),
            Expr::MemberOf(member) => {
                self.expression(&member.array, place, into);
                Some(&member.value)
            }
            // What PRIOR and a lambda's parameters stand for is not followed.
            Expr::Prior(inner) => {
                self.doubt(into);
                Some(inner)
            }
            Expr::Lambda(lambda) => {
                self.doubt(into);
                Some(&lambda.body)
            }
        }
    }

    /// `(t).c`, `c[1]`, `t.c[1].d`: the leading names may be a relation and its column, or a column and its field.
    fn field_access(
        &mut self,
        root: &'a Expr,
        chain: &'a [AccessExpr],
        place: &Place<'a>,
        into: &mut Sources,
    ) -> Option<&'a Expr> {
        for access in chain {
            match access {
                AccessExpr::Dot(Expr::Identifier(_)) => {}
                // `t.f(x)` where t is no schema: what f sees of t is not known.
                AccessExpr::Dot(other) => {
                    self.doubt(into);
                    self.expression(other, place, into);
                }
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    self.expression(index, place, into);
                }
                AccessExpr::Subscript(Subscript::Slice {
                    lower_bound,
                    upper_bound,
                    stride,
                }) => {
                    self.all(lower_bound, place, into);
                    self.all(upper_bound, place, into);
                    self.all(stride, place, into);
                }
            }
        }
        let mut bare = root;
        while let Expr::Nested(inner) = bare {
            bare = inner;
        }
        let (Expr::Identifier(first), Some(AccessExpr::Dot(Expr::Identifier(second)))) =
            (bare, chain.first())
        else {
            return Some(root);
        };
        if self
            .relations_called(&[first], place.scope.as_ref())
            .is_empty()
        {
            // A field, or in PostgreSQL a function, of a column.
            return Some(root);
        }
        let column = self.qualified(&[first], second, place.scope.as_ref());
        self.join(into, &column.sources);
        self.column_only(first, place, into);
        None
    }

    /// `first` as a column, where it is known to name a relation too.
    fn column_only(&mut self, first: &Ident, place: &Place<'a>, into: &mut Sources) {
        let name = self.names.identifier(first);
        let Some(scope) = &place.scope else { return };
        let mut relations = Vec::new();
        for binding in &scope.from.list {
            for item in binding.shape.named(name) {
                self.all_of(std::slice::from_ref(item), into);
            }
            for item in binding.shape.open() {
                if let super::shape::Item::Star {
                    relations: stars, ..
                } = item
                {
                    relations.extend(stars.iter().copied());
                }
            }
        }
        self.spend(relations.len());
        for relation in relations {
            let column = self.names.column(Some(relation), name);
            into.columns.push(column);
        }
    }

    /// `t.*` as one value.
    pub(super) fn whole_row(
        &mut self,
        name: &'a ObjectName,
        place: &Place<'a>,
        into: &mut Sources,
    ) {
        let bindings = match identifiers(name) {
            Some(parts) => self.relations_called(&parts, place.scope.as_ref()),
            None => Vec::new(),
        };
        if bindings.is_empty() {
            self.doubt(into);
        }
        for binding in bindings {
            self.all_of(&binding.shape.items, into);
        }
    }

    /// A dotted name where only a column can stand.
    fn dotted(&mut self, name: &'a ObjectName, place: &Place<'a>, into: &mut Sources) {
        let meaning = match identifiers(name).as_deref() {
            Some([column]) => self.bare(column, place.scope.as_ref()),
            Some([qualifier @ .., column]) => {
                self.qualified(qualifier, column, place.scope.as_ref())
            }
            Some([]) | None => return self.doubt(into),
        };
        self.join(into, &meaning.sources);
    }

    /// A subquery as a value: what it shows, and what decides which rows it finds.
    pub(super) fn subquery(
        &mut self,
        query: &'a Query,
        place: &Place<'a>,
        into: &mut Sources,
        shown: Shown,
    ) {
        let shape = self.query(query, place);
        self.join(into, &shape.rows);
        match shown {
            Shown::Exists => {}
            Shown::Value => self.all_of(&shape.items, into),
            Shown::Decides => {
                let start = into.columns.len();
                let doubted = std::mem::take(&mut into.unproven);
                self.all_of(&shape.items, into);
                self.note_predicates(&into.columns[start..], into.unproven);
                into.unproven |= doubted;
            }
        }
    }

    fn operator(&mut self, operator: &BinaryOperator, into: &mut Sources) {
        if self.is_overloaded(operator) {
            self.doubt(into);
        }
        match operator {
            BinaryOperator::BitwiseAnd => self.saw_ampersand = true,
            // Someone's own operator runs someone's own function; an assignment outlives the statement.
            // No server has a binary @: it is what sqlparser makes of the beginning of one's own.
            BinaryOperator::Custom(_)
            | BinaryOperator::PGCustomBinaryOperator(_)
            | BinaryOperator::At
            | BinaryOperator::Assignment => self.doubt(into),
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
            | BinaryOperator::StringConcat
            | BinaryOperator::Gt
            | BinaryOperator::Lt
            | BinaryOperator::GtEq
            | BinaryOperator::LtEq
            | BinaryOperator::Spaceship
            | BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::And
            | BinaryOperator::Or
            | BinaryOperator::Xor
            | BinaryOperator::BitwiseOr
            | BinaryOperator::BitwiseXor
            | BinaryOperator::DuckIntegerDivide
            | BinaryOperator::MyIntegerDivide
            | BinaryOperator::Match
            | BinaryOperator::Regexp
            | BinaryOperator::Glob
            | BinaryOperator::PGBitwiseXor
            | BinaryOperator::PGBitwiseShiftLeft
            | BinaryOperator::PGBitwiseShiftRight
            | BinaryOperator::PGExp
            | BinaryOperator::PGOverlap
            | BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch
            | BinaryOperator::PGLikeMatch
            | BinaryOperator::PGILikeMatch
            | BinaryOperator::PGNotLikeMatch
            | BinaryOperator::PGNotILikeMatch
            | BinaryOperator::PGStartsWith
            | BinaryOperator::Arrow
            | BinaryOperator::LongArrow
            | BinaryOperator::HashArrow
            | BinaryOperator::HashLongArrow
            | BinaryOperator::AtAt
            | BinaryOperator::AtArrow
            | BinaryOperator::ArrowAt
            | BinaryOperator::HashMinus
            | BinaryOperator::AtQuestion
            | BinaryOperator::Question
            | BinaryOperator::QuestionAnd
            | BinaryOperator::QuestionPipe
            | BinaryOperator::Overlaps
            | BinaryOperator::DoubleHash
            | BinaryOperator::LtDashGt
            | BinaryOperator::AndLt
            | BinaryOperator::AndGt
            | BinaryOperator::LtLtPipe
            | BinaryOperator::PipeGtGt
            | BinaryOperator::AndLtPipe
            | BinaryOperator::PipeAndGt
            | BinaryOperator::LtCaret
            | BinaryOperator::GtCaret
            | BinaryOperator::QuestionHash
            | BinaryOperator::QuestionDash
            | BinaryOperator::QuestionDashPipe
            | BinaryOperator::QuestionDoublePipe
            | BinaryOperator::TildeEq => {}
        }
    }

    /// A conversion keeps the sources; text turned into a query's answer does not exist as a type.
    fn cast(&mut self, data_type: &DataType, into: &mut Sources) {
        // `TABLE(..)` and the like describe results of procedures, not values.
        if matches!(data_type, DataType::Table(_) | DataType::Trigger) {
            self.doubt(into);
        }
    }

    /// Whether a word before a string says its type there. Elsewhere it is a column, and the string its alias.
    fn has_typed_strings(&self, typed: &TypedString) -> bool {
        typed.uses_odbc_syntax
            || match self.dialect {
                Dialect::Postgres => true,
                Dialect::Mysql => matches!(
                    typed.data_type,
                    DataType::Date | DataType::Time(..) | DataType::Timestamp(..)
                ),
                Dialect::Sqlite | Dialect::Mssql => false,
            }
    }

    fn literal(&mut self, value: &Value, into: &mut Sources) {
        match value {
            Value::Placeholder(text) => match self.dialect {
                Dialect::Sqlite => {}
                // A variable may hold anything.
                Dialect::Mysql | Dialect::Mssql => {
                    if text != "?" {
                        self.doubt(into);
                    }
                }
                // `$1`; anything else could be a variable another statement has filled.
                Dialect::Postgres => {
                    if !text.starts_with('$') && text != "?" {
                        self.doubt(into);
                    }
                }
            },
            Value::Number(..)
            | Value::SingleQuotedString(_)
            | Value::DollarQuotedString(_)
            | Value::TripleSingleQuotedString(_)
            | Value::TripleDoubleQuotedString(_)
            | Value::EscapedStringLiteral(_)
            | Value::UnicodeStringLiteral(_)
            | Value::SingleQuotedByteStringLiteral(_)
            | Value::DoubleQuotedByteStringLiteral(_)
            | Value::TripleSingleQuotedByteStringLiteral(_)
            | Value::TripleDoubleQuotedByteStringLiteral(_)
            | Value::SingleQuotedRawStringLiteral(_)
            | Value::DoubleQuotedRawStringLiteral(_)
            | Value::TripleSingleQuotedRawStringLiteral(_)
            | Value::TripleDoubleQuotedRawStringLiteral(_)
            | Value::NationalStringLiteral(_)
            | Value::QuoteDelimitedStringLiteral(_)
            | Value::NationalQuoteDelimitedStringLiteral(_)
            | Value::HexStringLiteral(_)
            | Value::DoubleQuotedString(_)
            | Value::Boolean(_)
            | Value::Null => {}
        }
    }

    /// PostgreSQL's `U&"\0065mail"` is the column email, and to sqlparser the column u and something else.
    fn remember_unicode_prefix(&mut self, expression: &Expr) {
        if let Expr::Identifier(identifier) = expression {
            self.saw_unicode_prefix |=
                identifier.quote_style.is_none() && identifier.value.eq_ignore_ascii_case("u");
        }
    }
}

/// What of a subquery becomes part of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    /// What it shows.
    Value,
    /// Whether what it shows matches: a predicate.
    Decides,
    /// Whether it has rows.
    Exists,
}
