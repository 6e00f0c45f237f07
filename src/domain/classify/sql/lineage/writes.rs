//! What INSERT, UPDATE, DELETE and MERGE give back. A value just written comes from what was written, not only from
//! the column it now stands in.

use std::rc::Rc;

use sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Delete, Expr, FromTable, Insert, Merge,
    MergeAction, MergeInsertKind, MergeUpdateKind, ObjectName, ObjectNamePart, OnConflictAction,
    OnInsert, OutputClause, SelectInto, SelectItem, SetExpr, TableFactor, TableObject,
    TableWithJoins, Update, UpdateTableFromKind, Values,
};

use super::{
    Walk,
    names::{Name, Names, identifiers},
    scope::{Binding, Bindings, Place, Scope, View, is_variable},
    shape::{Item, Shape, Sources, is_closed},
};
use crate::domain::classify::Dialect;

/// What a statement writes into its target's columns. `None`: into any of them.
#[derive(Default)]
struct Written(Vec<(Option<Name>, Sources)>);

impl<'a> Walk<'a> {
    pub(super) fn insert(&mut self, insert: &'a Insert, place: &Place<'a>) -> Rc<Shape> {
        let TableObject::TableName(table) = &insert.table else {
            return self.not_walked();
        };
        if insert.partitioned.is_some()
            || !insert.after_columns.is_empty()
            || insert.settings.is_some()
            || insert.format_clause.is_some()
            || insert.multi_table_insert_type.is_some()
            || !insert.multi_table_into_clauses.is_empty()
            || !insert.multi_table_when_clauses.is_empty()
            || insert.multi_table_else_clause.is_some()
            || self.names_a_query(table, place)
        {
            return self.not_walked();
        }
        let alias = insert.table_alias.as_ref().map(|alias| &alias.alias);
        let (relation, target) = self.target(table, alias);
        let mut rows = Sources::default();
        let mut written = Written::default();
        if let Some(source) = &insert.source {
            if let SetExpr::Values(values) = &*source.body {
                self.put_rows(relation, &insert.columns, values);
            }
            let given = self.query(source, place);
            self.join(&mut rows, &given.rows);
            self.written_columns(&insert.columns, &given.items, &mut written);
        }
        self.put(relation, &insert.assignments);
        self.assigned(&insert.assignments, place, &mut written);

        let proposed = self.overlaid(relation, &target, &written);
        if let Some(on) = &insert.on {
            match on {
                OnInsert::DuplicateKeyUpdate(assignments) => {
                    self.put(relation, assignments);
                    let here = self.on_duplicate(insert, &proposed, place);
                    self.assigned(assignments, &here, &mut written);
                }
                OnInsert::OnConflict(conflict) => match &conflict.action {
                    OnConflictAction::DoNothing => {}
                    OnConflictAction::DoUpdate(update) => {
                        let excluded = Binding {
                            name: Some(self.names.name("excluded")),
                            ..proposed.clone()
                        };
                        let here = self.scope_of([target.clone(), excluded], place);
                        self.put(relation, &update.assignments);
                        self.assigned(&update.assignments, &here, &mut written);
                        self.deciders(&update.selection, &here, &mut rows);
                    }
                },
                _ => return self.not_walked(),
            }
        }
        self.stored(Some(relation), &written);
        let after = self.overlaid(relation, &target, &written);
        self.returned(
            insert.returning.as_deref(),
            insert.output.as_ref(),
            vec![after],
            rows,
            place,
        )
    }

    /// What MySQL's ON DUPLICATE KEY UPDATE may name: the row, its alias, and what the inserted query reads.
    fn on_duplicate(
        &mut self,
        insert: &'a Insert,
        proposed: &Binding,
        place: &Place<'a>,
    ) -> Place<'a> {
        let mut bindings = Bindings::default();
        bindings.push(proposed.clone());
        if let Some(alias) = &insert.insert_alias {
            let mut everything = Sources::default();
            self.all_of(&proposed.shape.items, &mut everything);
            let shape = match alias.col_aliases.as_deref() {
                None | Some([]) => proposed.shape.clone(),
                Some(_) => {
                    let blur = vec![Item::Blur(everything.settle())];
                    Rc::new(Shape::new(blur, Rc::default()))
                }
            };
            let name = match identifiers(&alias.row_alias).as_deref() {
                Some([name]) => Some(self.names.identifier(name)),
                _ => None,
            };
            bindings.push(Binding::result(name, shape));
        }
        match insert.source.as_deref() {
            None => {}
            Some(source) => match (&*source.body, &source.with) {
                (SetExpr::Values(_), _) => {}
                (SetExpr::Select(select), None) => {
                    let mut rows = Sources::default();
                    let (read, _) = self.from(&select.from, place, &mut rows);
                    for binding in read.list {
                        bindings.push(binding);
                    }
                }
                _ => bindings.push(Binding::result(None, Rc::new(Shape::unproven()))),
            },
        }
        place.with_scope(Rc::new(Scope {
            from: Rc::new(bindings),
            parent: place.scope.clone(),
            inclusive: true,
            ..Scope::default()
        }))
    }

    /// Whether SQL Server would write through a common table of this name.
    fn names_a_query(&mut self, name: &ObjectName, place: &Place<'a>) -> bool {
        self.dialect == Dialect::Mssql
            && name.0.len() == 1
            && self
                .names
                .relation(name)
                .is_none_or(|name| place.view.find(name).is_some())
    }

    /// UPDATE where it may join: MySQL's joined tables are all targets; SQL Server's target may be named by what FROM calls
    /// it.
    fn update_joined(&mut self, update: &'a Update, place: &Place<'a>) -> Rc<Shape> {
        let mut rows = Sources::default();
        let from = match &update.from {
            None => &[][..],
            Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => {
                from.as_slice()
            }
        };
        let (mut bindings, _) = self.from(from, place, &mut rows);
        let mut targets = self.named_in_from(&update.table, &bindings);
        if targets.is_empty() {
            let (own, _) = self.from(std::slice::from_ref(&update.table), place, &mut rows);
            targets.clone_from(&own.list);
            bindings.natural |= own.natural;
            bindings.merged.extend(&own.merged);
            for binding in own.list {
                bindings.push(binding);
            }
        }
        let here = place.with_scope(Rc::new(Scope {
            from: Rc::new(bindings),
            parent: place.scope.clone(),
            ..Scope::default()
        }));
        let mut written = Written::default();
        for (column, value) in each(&update.assignments) {
            let sources = self.sources(value, &here);
            match identifiers(column).as_deref() {
                Some([variable]) if is_variable(self.dialect, variable) => {
                    self.put_into_variable(&sources);
                    // `SET @v = c = 1` writes c.
                    self.flows_lost |= matches!(
                        value,
                        Expr::BinaryOp {
                            op: BinaryOperator::Eq,
                            ..
                        }
                    );
                }
                _ => {
                    self.stored_in(&targets, column, &sources);
                    self.written_to(column, &sources, &mut written);
                }
            }
        }
        self.deciders(&update.selection, &here, &mut rows);
        self.deciders(
            update.order_by.iter().map(|term| &term.expr),
            &here,
            &mut rows,
        );
        self.deciders(&update.limit, &here, &mut rows);
        match targets.as_slice() {
            [
                target @ Binding {
                    base: Some(relation),
                    ..
                },
            ] => {
                let after = self.overlaid(*relation, target, &written);
                self.returned(
                    update.returning.as_deref(),
                    update.output.as_ref(),
                    vec![after],
                    rows,
                    &here,
                )
            }
            _ => self.returned_unproven(&update.returning, &update.output, rows),
        }
    }

    /// The relations in FROM that `UPDATE name` or `DELETE name` of SQL Server means.
    fn named_in_from(&mut self, table: &TableWithJoins, bindings: &Bindings) -> Vec<Binding> {
        match &table.relation {
            TableFactor::Table { name, .. } if self.dialect == Dialect::Mssql => {
                match identifiers(name).as_deref() {
                    Some([name]) => {
                        let name = self.names.identifier(name);
                        bindings.called(name).cloned().collect()
                    }
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    /// Values of `sources` are put into `column` of one of `targets`: all that could be meant.
    fn stored_in(&mut self, targets: &[Binding], column: &ObjectName, sources: &Sources) {
        let parts = identifiers(column).unwrap_or_default();
        let [qualifier @ .., column] = parts.as_slice() else {
            return self.flow(sources, None);
        };
        let column = self.names.identifier(column);
        let qualifier = qualifier.last().map(|name| self.names.identifier(name));
        let mut meant = targets
            .iter()
            .filter(|target| qualifier.is_none_or(|name| target.name == Some(name)))
            .peekable();
        if meant.peek().is_none() {
            return self.flow(sources, None);
        }
        for target in meant {
            let into = target
                .base
                .map(|relation| self.names.column(Some(relation), column));
            self.flow(sources, into);
        }
    }

    pub(super) fn update(&mut self, update: &'a Update, place: &Place<'a>) -> Rc<Shape> {
        if matches!(self.dialect, Dialect::Mysql | Dialect::Mssql) {
            return self.update_joined(update, place);
        }
        let mut rows = Sources::default();
        let table = std::slice::from_ref(&update.table);
        let (mut bindings, _) = self.from(table, &targeting(table, place), &mut rows);
        let targets = bindings.list.len();
        let others = match &update.from {
            None => Bindings::default(),
            Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => {
                // UPDATE's FROM may refer to its target where it is lateral.
                let around = self.scope_of(bindings.list.iter().cloned(), place);
                self.from(from, &around, &mut rows).0
            }
        };
        bindings.natural |= others.natural;
        bindings.merged.extend(&others.merged);
        for binding in others.list {
            bindings.push(binding);
        }
        let here = place.with_scope(Rc::new(Scope {
            from: Rc::new(bindings.clone()),
            parent: place.scope.clone(),
            ..Scope::default()
        }));
        let mut written = Written::default();
        self.assigned(&update.assignments, &here, &mut written);
        self.deciders(&update.selection, &here, &mut rows);
        self.deciders(
            update.order_by.iter().map(|term| &term.expr),
            &here,
            &mut rows,
        );
        self.deciders(&update.limit, &here, &mut rows);

        let target = match (&update.table.relation, targets) {
            (
                TableFactor::Table {
                    name,
                    alias,
                    args: None,
                    ..
                },
                1,
            ) => {
                let alias = alias.as_ref().map(|alias| &alias.name);
                let (relation, target) = self.target(name, alias);
                self.put(relation, &update.assignments);
                self.stored(Some(relation), &written);
                self.overlaid(relation, &target, &written)
            }
            // Several targets, or one behind a query: what lands where is not followed.
            _ => {
                self.stored(None, &written);
                return self.returned_unproven(&update.returning, &update.output, rows);
            }
        };
        let mut after = vec![target];
        // SQLite's RETURNING sees the target alone.
        if self.dialect == Dialect::Postgres {
            after.extend(bindings.list.into_iter().skip(1));
        }
        self.returned(
            update.returning.as_deref(),
            update.output.as_ref(),
            after,
            rows,
            place,
        )
    }

    pub(super) fn delete(&mut self, delete: &'a Delete, place: &Place<'a>) -> Rc<Shape> {
        let mut rows = Sources::default();
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let target = match self.dialect {
            // A common table may be its target.
            Dialect::Mssql => place.clone(),
            Dialect::Postgres | Dialect::Sqlite | Dialect::Mysql => targeting(from, place),
        };
        let (mut bindings, _) = self.from(from, &target, &mut rows);
        if let Some(using) = &delete.using {
            let around = self.scope_of(bindings.list.iter().cloned(), place);
            let (others, _) = self.from(using, &around, &mut rows);
            bindings.natural |= others.natural;
            bindings.merged.extend(&others.merged);
            for binding in others.list {
                bindings.push(binding);
            }
        }
        let list = bindings.list.clone();
        let here = place.with_scope(Rc::new(Scope {
            from: Rc::new(bindings),
            parent: place.scope.clone(),
            ..Scope::default()
        }));
        self.deciders(&delete.selection, &here, &mut rows);
        self.deciders(
            delete.order_by.iter().map(|term| &term.expr),
            &here,
            &mut rows,
        );
        self.deciders(&delete.limit, &here, &mut rows);
        self.returned(
            delete.returning.as_deref(),
            delete.output.as_ref(),
            list,
            rows,
            place,
        )
    }

    pub(super) fn merge(&mut self, merge: &'a Merge, place: &Place<'a>) -> Rc<Shape> {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = &merge.table
        else {
            return self.not_walked();
        };
        if self.names_a_query(name, place) {
            return self.not_walked();
        }
        let alias = alias.as_ref().map(|alias| &alias.name);
        let (relation, target) = self.target(name, alias);
        let mut rows = Sources::default();
        let source = self.one_relation(&merge.source, place, &mut rows).list;
        let mut both = source.clone();
        both.push(target.clone());
        let here = self.scope_of(both, place);
        self.deciders([&*merge.on], &here, &mut rows);
        let mut written = Written::default();
        for clause in &merge.clauses {
            self.deciders(&clause.predicate, &here, &mut rows);
            match &clause.action {
                MergeAction::Delete { .. } | MergeAction::DoNothing { .. } => {}
                MergeAction::Insert(insert) => {
                    self.deciders(&insert.insert_predicate, &here, &mut rows);
                    match &insert.kind {
                        MergeInsertKind::Values(values) => {
                            self.put_rows(relation, &insert.columns, values);
                            let items = self.row_items(values, &here);
                            self.written_columns(&insert.columns, &items, &mut written);
                        }
                        MergeInsertKind::Row | MergeInsertKind::Wildcard => {
                            written.0.push((None, Sources::unproven()));
                        }
                    }
                }
                MergeAction::Update(update) => {
                    self.deciders(&update.update_predicate, &here, &mut rows);
                    self.deciders(&update.delete_predicate, &here, &mut rows);
                    match &update.kind {
                        MergeUpdateKind::Set(assignments) => {
                            self.put(relation, assignments);
                            self.assigned(assignments, &here, &mut written);
                        }
                        MergeUpdateKind::Wildcard => {
                            written.0.push((None, Sources::unproven()));
                        }
                    }
                }
            }
        }
        self.stored(Some(relation), &written);
        let mut after = source;
        after.push(self.overlaid(relation, &target, &written));
        self.returned(None, merge.output.as_ref(), after, rows, place)
    }

    fn row_items(&mut self, values: &'a Values, place: &Place<'a>) -> Vec<Item> {
        let mut items = Vec::new();
        for row in &values.rows {
            for (index, expression) in row.content.iter().enumerate() {
                let mut sources = Sources::default();
                if let Some(Item::Column { sources: known, .. }) = items.get(index) {
                    self.join(&mut sources, known);
                }
                self.expression(expression, place, &mut sources);
                let item = Item::Column {
                    name: None,
                    sources: sources.settle(),
                    unchanged: false,
                };
                match items.get_mut(index) {
                    Some(known) => *known = item,
                    None => items.push(item),
                }
            }
        }
        items
    }

    fn written_columns(&mut self, columns: &[ObjectName], items: &[Item], written: &mut Written) {
        let mut anything = Sources::default();
        if columns.is_empty() || !is_closed(items) {
            self.all_of(items, &mut anything);
        }
        if columns.is_empty() {
            written.0.push((None, anything));
            return;
        }
        for (index, column) in columns.iter().enumerate() {
            let sources = match items.get(index) {
                Some(Item::Column { sources, .. }) if is_closed_up_to(items, index) => {
                    let mut copied = Sources::default();
                    self.join(&mut copied, sources);
                    copied
                }
                _ => {
                    let mut copied = Sources::default();
                    self.join(&mut copied, &anything);
                    copied
                }
            };
            self.written_to(column, &sources, written);
        }
    }

    /// `SET a.b = ..` may be column b of a or, in PostgreSQL, field b of a.
    fn written_to(&mut self, column: &ObjectName, sources: &Sources, written: &mut Written) {
        let parts = match (self.dialect, column.0.as_slice()) {
            (Dialect::Postgres | Dialect::Sqlite, parts) => parts,
            (Dialect::Mysql | Dialect::Mssql, [.., column]) => std::slice::from_ref(column),
            (Dialect::Mysql | Dialect::Mssql, []) => &[],
        };
        for part in parts {
            let name = match part {
                ObjectNamePart::Identifier(identifier) => Some(self.names.identifier(identifier)),
                ObjectNamePart::Function(_) => None,
            };
            self.spend(sources.columns.len());
            written.0.push((name, sources.clone()));
        }
    }

    fn assigned(
        &mut self,
        assignments: &'a [Assignment],
        place: &Place<'a>,
        written: &mut Written,
    ) {
        for (column, value) in each(assignments) {
            let sources = self.sources(value, place);
            self.written_to(column, &sources, written);
        }
    }

    /// What is written stays in its columns.
    fn stored(&mut self, relation: Option<Name>, written: &Written) {
        for (column, sources) in &written.0 {
            let into = relation.map(|relation| match column {
                Some(column) => self.names.column(Some(relation), *column),
                None => self.names.every_column(Some(relation)),
            });
            self.flow(sources, into);
        }
    }

    /// `target` as it stands once `written` is in it.
    fn overlaid(&mut self, relation: Name, target: &Binding, written: &Written) -> Binding {
        let mut items = Vec::new();
        let mut anything = Sources::default();
        let mut by_name: std::collections::BTreeMap<Name, Sources> = Default::default();
        let mut mixed = false;
        for (name, sources) in &written.0 {
            match name {
                None => {
                    mixed |= !sources.is_constant();
                    self.join(&mut anything, sources);
                }
                Some(name) => {
                    let own = self.names.column(Some(relation), *name);
                    let foreign =
                        sources.unproven || sources.columns.iter().any(|source| *source != own);
                    if foreign {
                        mixed = true;
                        let into = by_name.entry(*name).or_default();
                        into.columns.push(own);
                        self.join(into, sources);
                    }
                }
            }
        }
        for (name, sources) in by_name {
            items.push(Item::Column {
                name: Some(name),
                sources: sources.settle(),
                unchanged: false,
            });
        }
        items.extend(target.shape.items.iter().cloned());
        if !anything.is_constant() {
            items.push(Item::Blur(anything.settle()));
        }
        let expansion: Option<Rc<[Item]>> = mixed.then(|| {
            let mut everything = Sources::default();
            self.all_of(&items, &mut everything);
            [Item::Blur(everything.settle())].into()
        });
        Binding {
            shape: Rc::new(Shape::new(items, Rc::default())),
            expansion,
            ..target.clone()
        }
    }

    pub(super) fn scope_of(
        &mut self,
        list: impl IntoIterator<Item = Binding>,
        place: &Place<'a>,
    ) -> Place<'a> {
        let mut bindings = Bindings::default();
        for binding in list {
            bindings.push(binding);
        }
        self.spend(bindings.list.len());
        place.with_scope(Rc::new(Scope {
            from: Rc::new(bindings),
            parent: place.scope.clone(),
            ..Scope::default()
        }))
    }

    /// The columns of RETURNING or OUTPUT over `relations`.
    fn returned(
        &mut self,
        returning: Option<&'a [SelectItem]>,
        output: Option<&'a OutputClause>,
        relations: Vec<Binding>,
        rows: Sources,
        place: &Place<'a>,
    ) -> Rc<Shape> {
        let items = match (returning, output) {
            (None, None) => return Rc::new(Shape::new(Vec::new(), rows.settle())),
            (Some(items), None) => items,
            (
                None,
                Some(
                    OutputClause::Returning { select_items, .. }
                    | OutputClause::Output {
                        select_items,
                        into_table: None,
                        ..
                    },
                ),
            ) => select_items,
            (
                None,
                Some(OutputClause::Output {
                    select_items,
                    into_table: Some(into),
                    ..
                }),
            ) => {
                let versions = versions(&mut self.names, &relations);
                let here = self.scope_of(versions, place);
                let items = self.projection(select_items, &[], &here);
                self.output_into(into, &items);
                return Rc::new(Shape::new(Vec::new(), rows.settle()));
            }
            (Some(_), Some(_)) => return self.not_walked(),
        };
        let star: Vec<Item> = relations
            .iter()
            .flat_map(|binding| match &binding.expansion {
                Some(expansion) => expansion.to_vec(),
                None => binding.shape.items.clone(),
            })
            .collect();
        let versions = versions(&mut self.names, &relations);
        let here = self.scope_of(versions, place);
        let items = self.projection(items, &star, &here);
        Rc::new(Shape::new(items, rows.settle()))
    }

    /// OUTPUT … INTO fills a table's columns in their order, which is the server's to know.
    fn output_into(&mut self, into: &SelectInto, items: &[Item]) {
        let mut everything = Sources::default();
        self.all_of(items, &mut everything);
        for target in &into.targets {
            let parts = match target {
                Expr::Identifier(identifier) => vec![identifier.clone()],
                Expr::CompoundIdentifier(parts) => parts.clone(),
                _ => {
                    self.flows_lost = true;
                    continue;
                }
            };
            let (table, _) = self.target(&ObjectName::from(parts), None);
            let into = self.names.every_column(Some(table));
            self.flow(&everything, Some(into));
        }
    }

    fn returned_unproven(
        &mut self,
        returning: &Option<Vec<SelectItem>>,
        output: &Option<OutputClause>,
        rows: Sources,
    ) -> Rc<Shape> {
        if returning.is_none() && output.is_none() {
            return Rc::new(Shape::new(Vec::new(), rows.settle()));
        }
        self.not_walked()
    }

    pub(super) fn not_walked(&mut self) -> Rc<Shape> {
        self.flows_lost = true;
        self.doubt_predicates();
        Rc::new(Shape::unproven())
    }
}

/// `relations`, and each as it was and as it is now.
fn versions(names: &mut Names, relations: &[Binding]) -> Vec<Binding> {
    let mut all = relations.to_vec();
    for relation in relations {
        for version in ["old", "new", "inserted", "deleted"] {
            all.push(Binding {
                name: Some(names.name(version)),
                written: None,
                ..relation.clone()
            });
        }
    }
    all
}

/// Each column that is assigned to, with its value, or a value that it is a part of.
fn each(assignments: &[Assignment]) -> impl Iterator<Item = (&ObjectName, &Expr)> {
    assignments.iter().flat_map(|assignment| {
        let columns = match &assignment.target {
            AssignmentTarget::ColumnName(column) => std::slice::from_ref(column),
            AssignmentTarget::Tuple(columns) => columns.as_slice(),
        };
        let values = match (&assignment.target, &assignment.value) {
            (AssignmentTarget::Tuple(columns), Expr::Tuple(values))
                if columns.len() == values.len() =>
            {
                values.as_slice()
            }
            (_, value) => std::slice::from_ref(value),
        };
        let last = values.len().saturating_sub(1);
        columns
            .iter()
            .enumerate()
            .map(move |(index, column)| (column, &values[index.min(last)]))
    })
}

/// A table that is written is one of the database, even where a common table has its name.
fn targeting<'a>(tables: &[TableWithJoins], place: &Place<'a>) -> Place<'a> {
    match tables {
        [table] if table.joins.is_empty() => Place {
            scope: place.scope.clone(),
            view: View::default(),
        },
        _ => place.clone(),
    }
}

fn is_closed_up_to(items: &[Item], index: usize) -> bool {
    items
        .iter()
        .take(index + 1)
        .all(|item| matches!(item, Item::Column { .. }))
}
