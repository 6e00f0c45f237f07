//! Function calls and windows: a known function's value is made of its arguments and of what decides among them.

use sqlparser::ast::{
    Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, HavingBound,
    Ident, ListAggOnOverflow, ObjectNamePart, OrderByExpr, WindowFrameBound, WindowSpec,
    WindowType,
};

use super::{Walk, expression::Shown, functions, scope::Place, shape::Sources};
use crate::domain::classify::Dialect;

impl<'a> Walk<'a> {
    pub(super) fn function(
        &mut self,
        function: &'a Function,
        place: &Place<'a>,
        into: &mut Sources,
    ) {
        let mut known = self.known(&function.name);
        // Without parentheses SQL Server knows few: any other is a column.
        if self.dialect == Dialect::Mssql
            && matches!(function.args, FunctionArguments::None)
            && !matches!(function.name.0.as_slice(), [ObjectNamePart::Identifier(name)]
                if functions::is_bare_in_mssql(name))
        {
            known = functions::Known::Unknown;
        }
        let start = into.columns.len();
        let doubted = std::mem::take(&mut into.unproven);
        match &function.parameters {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(_) | FunctionArguments::List(_) => self.doubt(into),
        }
        let mut arguments = 0;
        match &function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(query) => {
                self.subquery(query, place, into, Shown::Value);
            }
            FunctionArguments::List(list) => {
                arguments = list.args.len();
                for argument in &list.args {
                    self.argument(argument, known, place, into);
                }
                for clause in &list.clauses {
                    self.argument_clause(clause, place, into);
                }
            }
        }
        self.deciding_order(&function.within_group, place, into);
        if let Some(filter) = &function.filter {
            self.decider(filter, place, into);
        }
        match known {
            functions::Known::Rows => self.multipliers.extend(&into.columns[start..]),
            // SQLite: of a bare column beside max(x) it shows the row that has the maximum.
            functions::Known::Extreme => {
                let bare = arguments == 1 && function.over.is_none();
                if self.dialect == Dialect::Sqlite && bare {
                    self.extremes.extend(&into.columns[start..]);
                }
            }
            functions::Known::Value | functions::Known::Count => {}
            functions::Known::Unknown => {
                let given = Sources {
                    columns: into.columns[start..].to_vec(),
                    unproven: into.unproven,
                };
                self.flow(&given, None);
            }
        }
        if known == functions::Known::Unknown || function.uses_odbc_syntax {
            self.doubt(into);
        }
        match &function.over {
            None => {}
            Some(WindowType::WindowSpec(window)) => self.window(window, place, into),
            Some(WindowType::NamedWindow(name)) => self.named_window(name, place, into),
        }
        into.unproven |= doubted;
    }

    pub(super) fn argument(
        &mut self,
        argument: &'a FunctionArg,
        known: functions::Known,
        place: &Place<'a>,
        into: &mut Sources,
    ) {
        let value = match argument {
            FunctionArg::Named { arg, .. } => arg,
            FunctionArg::ExprNamed { name, arg, .. } => {
                self.expression(name, place, into);
                arg
            }
            FunctionArg::Unnamed(arg) => arg,
        };
        match value {
            FunctionArgExpr::Expr(expression) => self.expression(expression, place, into),
            FunctionArgExpr::QualifiedWildcard(name) => self.whole_row(name, place, into),
            FunctionArgExpr::Wildcard => match known {
                functions::Known::Count => {}
                functions::Known::Value
                | functions::Known::Extreme
                | functions::Known::Rows
                | functions::Known::Unknown => self.everything_in(place.scope.as_ref(), into),
            },
            FunctionArgExpr::WildcardWithOptions(_) => self.doubt(into),
        }
    }

    fn argument_clause(
        &mut self,
        clause: &'a FunctionArgumentClause,
        place: &Place<'a>,
        into: &mut Sources,
    ) {
        match clause {
            FunctionArgumentClause::IgnoreOrRespectNulls(_)
            | FunctionArgumentClause::Separator(_)
            | FunctionArgumentClause::JsonNullClause(_)
            | FunctionArgumentClause::JsonReturningClause(_)
            | FunctionArgumentClause::OnOverflow(
                ListAggOnOverflow::Error | ListAggOnOverflow::Truncate { filler: None, .. },
            ) => {}
            FunctionArgumentClause::OnOverflow(ListAggOnOverflow::Truncate {
                filler: Some(filler),
                ..
            }) => self.expression(filler, place, into),
            FunctionArgumentClause::Where(expression)
            | FunctionArgumentClause::Limit(expression)
            | FunctionArgumentClause::Having(HavingBound(_, expression)) => {
                self.decider(expression, place, into);
            }
            FunctionArgumentClause::OrderBy(order) => self.deciding_order(order, place, into),
        }
    }

    fn deciding_order(&mut self, order: &'a [OrderByExpr], place: &Place<'a>, into: &mut Sources) {
        for term in order {
            self.decider(&term.expr, place, into);
            if term.with_fill.is_some() {
                self.doubt(into);
            }
        }
    }

    /// A window decides what its functions see.
    pub(super) fn window(&mut self, window: &'a WindowSpec, place: &Place<'a>, into: &mut Sources) {
        if let Some(name) = &window.window_name {
            self.named_window(name, place, into);
        }
        for expression in &window.partition_by {
            self.decider(expression, place, into);
        }
        self.deciding_order(&window.order_by, place, into);
        if let Some(frame) = &window.window_frame {
            for bound in std::iter::once(&frame.start_bound).chain(&frame.end_bound) {
                match bound {
                    WindowFrameBound::CurrentRow => {}
                    WindowFrameBound::Preceding(distance)
                    | WindowFrameBound::Following(distance) => {
                        if let Some(distance) = distance {
                            self.decider(distance, place, into);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn named_window(&mut self, name: &Ident, place: &Place<'a>, into: &mut Sources) {
        let name = self.names.identifier(name);
        match place
            .scope
            .as_ref()
            .and_then(|scope| scope.windows.get(&name).cloned())
        {
            Some(sources) => self.join(into, &sources),
            None => self.doubt(into),
        }
    }
}
