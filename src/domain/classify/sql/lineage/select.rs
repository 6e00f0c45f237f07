//! SELECT, and the column lists it shares with RETURNING.

use std::{collections::HashMap, rc::Rc};

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, GroupByWithModifier, NamedWindowExpr, Select, SelectFlavor,
    SelectItem, SelectItemQualifiedWildcardKind, TopQuantity, WildcardAdditionalOptions,
};

use super::{
    Walk, functions,
    names::{Name, identifiers},
    query::{Body, output_names},
    scope::{Place, Scope, is_variable},
    shape::{Item, Sources},
};
use crate::domain::classify::Dialect;

impl<'a> Walk<'a> {
    pub(super) fn select(&mut self, select: &'a Select, place: &Place<'a>) -> Body {
        if let Some(into) = &select.into {
            self.select_into(into);
        }
        let mut rows = Sources::default();
        let (bindings, star) = self.from(&select.from, place, &mut rows);
        let mut scope = Scope {
            from: Rc::new(bindings),
            parent: place.scope.clone(),
            ..Scope::default()
        };
        if !select.named_window.is_empty() {
            scope.windows = Rc::new(self.named_windows(select, &scope, place));
        }
        let inputs = place.with_scope(Rc::new(scope.clone()));

        let outer_extremes = std::mem::take(&mut self.extremes);
        let outer_multipliers = std::mem::take(&mut self.multipliers);
        let items = self.projection(&select.projection, &star, &inputs);
        let extremes = std::mem::replace(&mut self.extremes, outer_extremes);
        let mut columns = std::mem::replace(&mut self.multipliers, outer_multipliers);
        if select.projection.len() > 1 {
            columns.extend(extremes);
        }
        let effects = Sources {
            columns,
            unproven: false,
        };
        self.decide(&effects, &mut rows);

        scope.aliases = Rc::new(output_names(&items));
        scope.computed = self.computed(&items);
        let clauses = place.with_scope(Rc::new(scope));
        self.deciders(&select.prewhere, &clauses, &mut rows);
        self.deciders(&select.selection, &clauses, &mut rows);
        self.group_by(&select.group_by, &items, &clauses, &mut rows);
        self.deciders(&select.having, &clauses, &mut rows);
        self.deciders(&select.qualify, &clauses, &mut rows);
        match &select.distinct {
            None | Some(Distinct::All) => {}
            Some(Distinct::Distinct) => {
                let mut compared = Sources::default();
                self.all_of(&items, &mut compared);
                self.decide(&compared, &mut rows);
            }
            Some(Distinct::On(expressions)) => {
                self.positions(expressions, &items, &clauses, &mut rows);
            }
        }
        if let Some(top) = &select.top
            && let Some(TopQuantity::Expr(quantity)) = &top.quantity
        {
            self.deciders([quantity], &clauses, &mut rows);
        }

        if !is_understood(select) {
            self.doubt_predicates();
            self.flows_lost = true;
            return self.unproven_body();
        }
        Body {
            items,
            rows,
            clauses: clauses.scope,
        }
    }

    fn named_windows(
        &mut self,
        select: &'a Select,
        scope: &Scope,
        place: &Place<'a>,
    ) -> HashMap<Name, Rc<Sources>> {
        let mut scope = scope.clone();
        for definition in &select.named_window {
            let here = place.with_scope(Rc::new(scope.clone()));
            let mut sources = Sources::default();
            match &definition.1 {
                NamedWindowExpr::NamedWindow(name) => {
                    self.named_window(name, &here, &mut sources);
                }
                NamedWindowExpr::WindowSpec(window) => self.window(window, &here, &mut sources),
            }
            let name = self.names.identifier(&definition.0);
            self.spend(scope.windows.len());
            let mut windows = (*scope.windows).clone();
            windows.insert(name, sources.settle());
            scope.windows = Rc::new(windows);
        }
        (*scope.windows).clone()
    }

    /// The columns of a select list, or of RETURNING; `star` is what `*` stands for.
    pub(super) fn projection(
        &mut self,
        projection: &'a [SelectItem],
        star: &[Item],
        place: &Place<'a>,
    ) -> Vec<Item> {
        let mut items = Vec::with_capacity(projection.len());
        let mut place = place.clone();
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expression) => {
                    let name = self.own_name(expression);
                    let (sources, unchanged) = self.value(expression, &place);
                    items.push(Item::Column {
                        name,
                        sources,
                        unchanged,
                    });
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let (sources, unchanged) = self.value(expr, &place);
                    if self.dialect == Dialect::Mssql && is_variable(self.dialect, alias) {
                        // `SELECT @v = c`
                        self.put_into_variable(&sources);
                    }
                    items.push(Item::Column {
                        name: Some(self.names.identifier(alias)),
                        sources,
                        unchanged,
                    });
                }
                SelectItem::ExprWithAliases { expr, .. } => {
                    let (sources, _) = self.value(expr, &place);
                    items.push(Item::Blur(sources));
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    let expansion = self.qualified_star(kind, &place);
                    self.push_star(&mut items, &expansion, options);
                }
                SelectItem::Wildcard(options) => self.push_star(&mut items, star, options),
            }
            if let (Dialect::Mysql, Some(item)) = (self.dialect, items.last()) {
                self.see_output(&mut place, item);
            }
        }
        items
    }

    /// MySQL lets a subquery in the select list use the outputs before it, by their aliases or their own text.
    fn see_output(&mut self, place: &mut Place<'a>, item: &Item) {
        let (Some(scope), Item::Column { name, sources, .. }) = (&mut place.scope, item) else {
            return;
        };
        self.spend(sources.columns.len());
        let scope = Rc::make_mut(scope);
        let known = match name {
            Some(name) => {
                let known = Rc::make_mut(&mut scope.aliases).entry(*name).or_default();
                &mut known.sources
            }
            None => &mut scope.computed,
        };
        let known = Rc::make_mut(known);
        known.columns.extend(&sources.columns);
        known.unproven |= sources.unproven;
    }

    /// What the outputs are made of that have no plain name.
    fn computed(&mut self, items: &[Item]) -> Rc<Sources> {
        let mut computed = Sources::default();
        if self.dialect == Dialect::Mysql {
            for item in items {
                if let Item::Column {
                    name: None,
                    sources,
                    ..
                } = item
                {
                    self.join(&mut computed, sources);
                }
            }
        }
        computed.settle()
    }

    fn push_star(
        &mut self,
        items: &mut Vec<Item>,
        expansion: &[Item],
        options: &WildcardAdditionalOptions,
    ) {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike: None,
            opt_exclude: None,
            opt_except: None,
            opt_replace: None,
            opt_rename: None,
            opt_alias: None,
        } = options
        else {
            items.push(Item::Blur(Rc::new(Sources::unproven())));
            return;
        };
        if !self.spend(expansion.len()) {
            items.push(Item::Blur(Rc::new(Sources::unproven())));
            return;
        }
        items.extend_from_slice(expansion);
    }

    fn qualified_star(
        &mut self,
        kind: &'a SelectItemQualifiedWildcardKind,
        place: &Place<'a>,
    ) -> Vec<Item> {
        match kind {
            SelectItemQualifiedWildcardKind::ObjectName(name) => {
                let bindings = match identifiers(name) {
                    Some(parts) => self.relations_called(&parts, place.scope.as_ref()),
                    None => Vec::new(),
                };
                match bindings.as_slice() {
                    [binding] => match &binding.expansion {
                        Some(expansion) => expansion.to_vec(),
                        None => binding.shape.items.clone(),
                    },
                    [] => vec![Item::Blur(Rc::new(Sources::unproven()))],
                    several => {
                        let mut sources = Sources::default();
                        for binding in several {
                            self.all_of(&binding.shape.items, &mut sources);
                        }
                        vec![Item::Blur(sources.settle())]
                    }
                }
            }
            SelectItemQualifiedWildcardKind::Expr(expression) => {
                vec![Item::Blur(self.sources(expression, place))]
            }
        }
    }

    /// The name an unaliased output surely has.
    fn own_name(&mut self, expression: &Expr) -> Option<Name> {
        match expression {
            Expr::Identifier(identifier)
                if self.dialect == Dialect::Mssql && functions::is_bare_in_mssql(identifier) =>
            {
                None
            }
            Expr::Identifier(identifier) => Some(self.names.identifier(identifier)),
            Expr::CompoundIdentifier(parts) => parts.last().map(|last| self.names.identifier(last)),
            _ => None,
        }
    }

    fn group_by(
        &mut self,
        group_by: &'a GroupByExpr,
        items: &[Item],
        place: &Place<'a>,
        rows: &mut Sources,
    ) {
        let modifiers = match group_by {
            GroupByExpr::All(modifiers) => {
                let mut everything = Sources::default();
                self.all_of(items, &mut everything);
                self.decide(&everything, rows);
                modifiers
            }
            GroupByExpr::Expressions(expressions, modifiers) => {
                self.positions(expressions, items, place, rows);
                modifiers
            }
        };
        for modifier in modifiers {
            match modifier {
                GroupByWithModifier::Rollup
                | GroupByWithModifier::Cube
                | GroupByWithModifier::Totals => {}
                GroupByWithModifier::GroupingSets(expression) => {
                    self.deciders([expression], place, rows);
                }
            }
        }
    }
}

/// Whether `select` has nothing but clauses walked here.
fn is_understood(select: &Select) -> bool {
    let Select {
        select_token: _,
        optimizer_hints: _,
        distinct: _,
        select_modifiers: _,
        top: _,
        top_before_distinct: _,
        projection: _,
        exclude,
        into: _,
        from: _,
        lateral_views,
        prewhere: _,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    exclude.is_none()
        && lateral_views.is_empty()
        && connect_by.is_empty()
        && cluster_by.is_empty()
        && distribute_by.is_empty()
        && sort_by.is_empty()
        && value_table_mode.is_none()
        && match flavor {
            SelectFlavor::Standard | SelectFlavor::FromFirst => true,
            SelectFlavor::FromFirstNoSelect => false,
        }
}
