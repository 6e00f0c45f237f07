//! Where a statement puts the values it reads: into columns of tables it writes, and by functions that change something
//! anywhere at all.

use std::collections::BTreeSet;

use sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, ColumnOption, Expr, ObjectName,
    ObjectNamePart, RenameTableNameKind, SelectInto,
};

use super::{
    Walk,
    names::{Column, Name},
    scope::Place,
    shape::{Item, Sources},
};
use crate::domain::classify::Flow;

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

    /// The rows of a query become those of `table`.
    pub(super) fn kept(&mut self, items: &[Item], table: Name) {
        for item in items {
            let mut sources = Sources::default();
            self.all_of(std::slice::from_ref(item), &mut sources);
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
            self.made.push(table);
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
                    AlterColumnOperation::SetDataType { using: None, .. }
                    | AlterColumnOperation::SetNotNull
                    | AlterColumnOperation::DropNotNull
                    | AlterColumnOperation::SetDefault { .. }
                    | AlterColumnOperation::DropDefault
                    | AlterColumnOperation::AddGenerated { .. } => {}
                },
                AlterTableOperation::AddColumn { column_def, .. } => {
                    let computed = |option: &ColumnOption| {
                        !matches!(
                            option,
                            ColumnOption::Null
                                | ColumnOption::NotNull
                                | ColumnOption::Default(_)
                                | ColumnOption::PrimaryKey(_)
                                | ColumnOption::Unique(_)
                                | ColumnOption::ForeignKey(_)
                                | ColumnOption::Check(_)
                                | ColumnOption::Comment(_)
                                | ColumnOption::Collation(_)
                                | ColumnOption::Identity(_)
                        )
                    };
                    self.flows_lost |= column_def
                        .options
                        .iter()
                        .any(|option| computed(&option.option));
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
        if self.flows_lost || self.is_confused() {
            return None;
        }
        let named = self.flows.iter().map(|(from, into)| Flow {
            from: self.names.column_ref(*from),
            into: into.map(|into| self.names.column_ref(into)),
        });
        Some(named.collect())
    }
}
