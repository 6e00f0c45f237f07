//! Where a statement puts the values it reads: into columns of tables it writes, and by functions that change something
//! anywhere at all.

use std::collections::BTreeSet;

use sqlparser::{
    ast::{
        AlterColumnOperation, AlterTable, AlterTableOperation, ColumnOption, Declare,
        DeclareAssignment, Expr, Ident, ObjectName, ObjectNamePart, RenameTableNameKind,
        SelectInto, Set,
    },
    tokenizer::Token,
};

use super::{
    Walk,
    names::{Column, Name},
    scope::Place,
    shape::{Item, Sources},
};
use crate::domain::classify::{Dialect, Flow};

impl<'a> Walk<'a> {
    /// Values of `sources` are put into a column; `None`: anywhere.
    pub(super) fn flow(&mut self, sources: &Sources, into: Option<Column>) {
        self.spend(sources.columns.len());
        let own = |source: &Column| into == Some(*source);
        let others = sources.columns.iter().filter(|source| !own(source));
        self.flows.extend(others.map(|source| (*source, into)));
        if sources.unproven {
            let any = self.names.every_column(None);
            self.flows.insert((any, into));
        }
    }

    /// Values of `sources` are put into a variable, which the next statement may read.
    pub(super) fn put_into_variable(&mut self, sources: &Sources) {
        self.variables_hold |= !sources.is_constant();
        self.flow(sources, None);
    }

    /// What a variable holds. MySQL's live as long as the session. SQL Server's live as long as the batch: one that nothing
    /// in it is put into is a parameter.
    pub(super) fn variable(&mut self, variable: &Ident, into: &mut Sources) {
        let name = variable.value.as_str();
        match self.dialect {
            Dialect::Mssql if name.eq_ignore_ascii_case("$action") => {}
            Dialect::Mssql if name.starts_with('@') && !name.starts_with("@@") => {
                self.variables_read = true;
            }
            _ => self.doubt(into),
        }
    }

    /// The rows of a query become those of `table`; `None`: they are put into variables.
    pub(super) fn kept(&mut self, items: &[Item], table: Option<Name>) {
        for item in items {
            let mut sources = Sources::default();
            self.all_of(std::slice::from_ref(item), &mut sources);
            let Some(table) = table else {
                self.put_into_variable(&sources);
                continue;
            };
            let into = match item {
                Item::Column {
                    name: Some(name), ..
                } => self.names.column(Some(table), *name),
                _ => self.names.every_column(Some(table)),
            };
            self.flow(&sources, Some(into));
        }
    }

    pub(super) fn select_into(&mut self, into: &SelectInto) {
        for target in &into.targets {
            if self.dialect == Dialect::Mysql {
                self.made.push(None);
                continue;
            }
            let parts = match target {
                Expr::Identifier(identifier) => vec![identifier.clone()],
                Expr::CompoundIdentifier(parts) => parts.clone(),
                _ => {
                    self.flows_lost = true;
                    continue;
                }
            };
            let table = ObjectName(parts.into_iter().map(ObjectNamePart::Identifier).collect());
            let (table, _) = self.target(&table, None);
            self.made.push(Some(table));
        }
    }

    /// Settings and variables that are given values.
    pub(super) fn set(&mut self, set: &'a Set) {
        let values: Vec<&Expr> = match set {
            Set::SingleAssignment { values, .. } | Set::ParenthesizedAssignments { values, .. } => {
                values.iter().collect()
            }
            Set::MultipleAssignments { assignments } => assignments
                .iter()
                .map(|assignment| &assignment.value)
                .collect(),
            Set::SetTimeZone { value, .. } => vec![value],
            Set::SetSessionAuthorization(_)
            | Set::SetSessionParam(_)
            | Set::SetRole { .. }
            | Set::SetNames { .. }
            | Set::SetNamesDefault {}
            | Set::SetTransaction { .. } => Vec::new(),
        };
        for value in values {
            // A word, or another variable, which holds nothing that may not be put into one.
            if !matches!(value, Expr::Identifier(_)) {
                let sources = self.sources(value, &Place::default());
                self.put_into_variable(&sources);
            }
        }
    }

    /// Variables and cursors of a batch.
    pub(super) fn declared(&mut self, declared: &'a [Declare]) {
        for declare in declared {
            match &declare.assignment {
                None => {}
                Some(
                    DeclareAssignment::Expr(value)
                    | DeclareAssignment::Default(value)
                    | DeclareAssignment::DuckAssignment(value)
                    | DeclareAssignment::For(value)
                    | DeclareAssignment::MsSqlAssignment(value),
                ) => {
                    let sources = self.sources(value, &Place::default());
                    self.put_into_variable(&sources);
                }
            }
            if let Some(query) = &declare.for_query {
                let shape = self.query(query, &Place::default());
                self.kept(&shape.items, None);
            }
        }
    }

    /// A column of `table` that the server may compute from others whenever a row is written.
    pub(super) fn computed_column(
        &mut self,
        table: Name,
        column: &Ident,
        options: impl IntoIterator<Item = &'a ColumnOption>,
        here: &Place<'a>,
    ) {
        for option in options {
            let sources = match option {
                // Only MySQL's defaults may name other columns.
                ColumnOption::Default(value) if self.dialect == Dialect::Mysql => {
                    self.sources(value, here)
                }
                ColumnOption::Generated {
                    generation_expr: Some(value),
                    ..
                } => self.sources(value, here),
                ColumnOption::Null
                | ColumnOption::NotNull
                | ColumnOption::Default(_)
                | ColumnOption::PrimaryKey(_)
                | ColumnOption::Unique(_)
                | ColumnOption::ForeignKey(_)
                | ColumnOption::Check(_)
                | ColumnOption::Comment(_)
                | ColumnOption::Collation(_)
                | ColumnOption::CharacterSet(_)
                | ColumnOption::Identity(_)
                | ColumnOption::Generated {
                    generation_expr: None,
                    ..
                } => continue,
                // AUTO_INCREMENT and the like.
                ColumnOption::DialectSpecific(words)
                    if words.iter().all(|word| matches!(word, Token::Word(_))) =>
                {
                    continue;
                }
                _ => {
                    self.flows_lost = true;
                    continue;
                }
            };
            let name = self.names.identifier(column);
            let into = self.names.column(Some(table), name);
            self.flow(&sources, Some(into));
        }
    }

    /// A table or column that gets another name leaves the rules that name it behind.
    pub(super) fn altered(&mut self, alter: &'a AlterTable) {
        let (table, binding) = self.target(&alter.name, None);
        let here = self.scope_of([binding], &Place::default());
        for operation in &alter.operations {
            match operation {
                AlterTableOperation::RenameColumn {
                    old_column_name,
                    new_column_name,
                } => {
                    let [old, new] =
                        [old_column_name, new_column_name].map(|name| self.names.identifier(name));
                    let from = self.names.column(Some(table), old);
                    let into = self.names.column(Some(table), new);
                    self.flows.insert((from, Some(into)));
                }
                AlterTableOperation::RenameTable {
                    table_name: RenameTableNameKind::As(new) | RenameTableNameKind::To(new),
                } => {
                    let (new, _) = self.target(new, None);
                    let from = self.names.every_column(Some(table));
                    let into = self.names.every_column(Some(new));
                    self.flows.insert((from, Some(into)));
                }
                AlterTableOperation::AlterColumn { column_name, op } => match op {
                    AlterColumnOperation::SetDataType {
                        using: Some(using), ..
                    } => {
                        let sources = self.sources(using, &here);
                        let name = self.names.identifier(column_name);
                        let into = self.names.column(Some(table), name);
                        self.flow(&sources, Some(into));
                    }
                    AlterColumnOperation::SetDefault { value }
                        if self.dialect == Dialect::Mysql =>
                    {
                        let sources = self.sources(value, &here);
                        let name = self.names.identifier(column_name);
                        let into = self.names.column(Some(table), name);
                        self.flow(&sources, Some(into));
                    }
                    AlterColumnOperation::SetDataType { using: None, .. }
                    | AlterColumnOperation::SetNotNull
                    | AlterColumnOperation::DropNotNull
                    | AlterColumnOperation::SetDefault { .. }
                    | AlterColumnOperation::DropDefault
                    | AlterColumnOperation::AddGenerated { .. } => {}
                },
                AlterTableOperation::AddColumn { column_def, .. } => {
                    let options = column_def.options.iter().map(|option| &option.option);
                    self.computed_column(table, &column_def.name, options, &here);
                }
                AlterTableOperation::ModifyColumn {
                    col_name, options, ..
                } => self.computed_column(table, col_name, options, &here),
                AlterTableOperation::ChangeColumn {
                    old_name,
                    new_name,
                    options,
                    ..
                } => {
                    let [old, new] = [old_name, new_name].map(|name| self.names.identifier(name));
                    let from = self.names.column(Some(table), old);
                    let into = self.names.column(Some(table), new);
                    if from != into {
                        self.flows.insert((from, Some(into)));
                    }
                    self.computed_column(table, new_name, options, &here);
                }
                AlterTableOperation::AddConstraint { .. }
                | AlterTableOperation::DropConstraint { .. }
                | AlterTableOperation::RenameConstraint { .. }
                | AlterTableOperation::DropColumn { .. }
                | AlterTableOperation::DropPrimaryKey { .. }
                | AlterTableOperation::DropForeignKey { .. }
                | AlterTableOperation::DropIndex { .. }
                | AlterTableOperation::EnableRowLevelSecurity
                | AlterTableOperation::ForceRowLevelSecurity
                | AlterTableOperation::OwnerTo { .. } => {}
                _ => self.flows_lost = true,
            }
        }
    }

    /// Where values are put; `None`: that could not be followed.
    pub(super) fn flows(&self) -> Option<BTreeSet<Flow>> {
        if self.flows_lost || self.is_confused() || !self.made.is_empty() {
            return None;
        }
        let named = self.flows.iter().map(|(from, into)| Flow {
            from: self.names.column_ref(*from),
            into: into.map(|into| self.names.column_ref(into)),
        });
        Some(named.collect())
    }
}
