//! Relations of the database, as its server's catalog knows them: a table by its columns, a view as the query it is.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use sqlparser::ast::{ObjectName, Statement};

use super::{
    Walk, functions,
    names::{Column, Name, fold, identifiers},
    scope::{CANDIDATES, Place},
    shape::{Item, Shape, Sources},
};
use crate::domain::classify::{
    Dialect, name,
    server::{Relation, RelationColumn, ServerName},
    sql::catalog::{Behind, JudgedCatalog, Lookup},
    sql::lex::{self, Kind, Reading},
    sql::parser,
};

/// The definitions of views, read.
pub(crate) type Trees = BTreeMap<ServerName, Arc<Option<Vec<Statement>>>>;

/// What stands behind the names of a statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server<'a> {
    pub(super) known: &'a JudgedCatalog,
    pub(super) behind: &'a Behind,
    pub(super) trees: &'a Trees,
}

impl<'a> Walk<'a> {
    /// A relation of the database: its name as policy knows it, and what it is made of.
    pub(super) fn base(&mut self, object: &ObjectName, written: Name) -> (Name, Rc<Shape>) {
        let Some((id, relation)) = self.server.and_then(|server| {
            let parts: Vec<String> = identifiers(object)?
                .iter()
                .map(|part| fold(self.dialect, part))
                .collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let sure = server.behind.path_holds || parts.len() > 1;
            server.known.catalog().relation(&parts).filter(|_| sure)
        }) else {
            return (written, Rc::new(Shape::base(written)));
        };
        let own = match self.dialect {
            // A session's database is no name that policy knows.
            Dialect::Mysql => written,
            Dialect::Postgres | Dialect::Sqlite | Dialect::Mssql => {
                self.names.name(&name::dotted(&[&id.schema, &id.name]))
            }
        };
        if let Some(known) = self.relations.get(id) {
            let shape = match known {
                Some(shape) => shape.clone(),
                // It is defined by itself: no server would run it.
                None => Rc::new(Shape::unproven()),
            };
            return (own, shape);
        }
        self.relations.insert(id, None);
        let shape = Rc::new(self.shape_of(id, relation, own));
        self.relations.insert(id, Some(shape.clone()));
        (own, shape)
    }

    fn shape_of(&mut self, id: &'a ServerName, relation: &'a Relation, own: Name) -> Shape {
        if !self.spend(relation.columns.len()) {
            return Shape::unproven();
        }
        let behind = match (&relation.definition, relation.opaque) {
            (Some(_), _) => Some(self.view(id)),
            (None, true) => Some(Rc::new(Shape::unproven())),
            // Of which columns others are computed cannot be told then.
            (None, false) if relation.columns.is_empty() => {
                return match relation.computed.is_empty() {
                    true => Shape::base(own),
                    false => Shape::unproven(),
                };
            }
            (None, false) => None,
        };
        let family = self.family(relation);
        let in_order = behind.as_ref().is_some_and(|behind| {
            behind.items.len() == relation.columns.len()
                && behind
                    .items
                    .iter()
                    .all(|item| matches!(item, Item::Column { .. }))
        });
        let mut items = Vec::with_capacity(relation.columns.len());
        for (index, column) in relation.columns.iter().enumerate() {
            let name = self.names.name(&column.name);
            let mut sources = Sources::default();
            sources.columns.push(self.names.column(Some(own), name));
            sources.columns.extend(self.of_family(&family, name));
            let mut unchanged = true;
            match &behind {
                None => {
                    unchanged = !self.add_computed(relation, column, own, &family, &mut sources)
                }
                Some(behind) if in_order => {
                    if let Item::Column {
                        sources: from,
                        unchanged: is,
                        ..
                    } = &behind.items[index]
                    {
                        unchanged = *is;
                        self.join(&mut sources, from);
                    }
                }
                Some(behind) => {
                    unchanged = false;
                    self.all_of(&behind.items, &mut sources);
                }
            }
            items.push(Item::Column {
                name: Some(name),
                sources: sources.settle(),
                unchanged,
            });
        }
        let hidden = match behind {
            None => {
                let mut hidden = self.system_columns(own);
                for column in &relation.hidden {
                    let name = self.names.name(&column.name);
                    let mut sources = Sources::default();
                    sources.columns.push(self.names.column(Some(own), name));
                    let computed = self.add_computed(relation, column, own, &family, &mut sources);
                    hidden.push(Item::Column {
                        name: Some(name),
                        sources: sources.settle(),
                        unchanged: !computed,
                    });
                }
                hidden
            }
            Some(_) => Vec::new(),
        };
        // What decides a view's rows was decided by whoever made it, and no statement can ask otherwise.
        Shape::with_hidden(items, Rc::default(), hidden)
    }

    /// Adds to `sources` what `column` is computed of; whether it is.
    fn add_computed(
        &mut self,
        relation: &'a Relation,
        column: &RelationColumn,
        own: Name,
        family: &[Name],
        sources: &mut Sources,
    ) -> bool {
        let computed_of = self.computed_of(relation, &column.name);
        for of in &computed_of {
            let of = self.names.name(of);
            sources.columns.push(self.names.column(Some(own), of));
            sources.columns.extend(self.of_family(family, of));
        }
        !computed_of.is_empty()
    }

    /// The columns of `relation` that the values of `column` are computed of, itself left out.
    fn computed_of(&mut self, relation: &'a Relation, column: &str) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut waiting: Vec<&str> = relation
            .computed
            .get(column)
            .into_iter()
            .map(|text| &**text)
            .collect();
        while let Some(text) = waiting.pop() {
            let lexed = lex::lex(self.dialect, Reading::usual(self.dialect), text).ok();
            let names: Option<BTreeSet<Cow<'_, str>>> = lexed.map(|lexed| {
                let tokens = lexed.tokens.iter();
                let named = tokens.filter(|token| matches!(token.kind, Kind::Word | Kind::Quoted));
                named
                    .map(|token| {
                        lex::name(
                            self.dialect,
                            &text[token.start as usize..token.end as usize],
                        )
                    })
                    .collect()
            });
            for of in relation.columns.iter().chain(&relation.hidden) {
                // Of a text that cannot be read it may be any.
                let is_named = names.as_ref().is_none_or(|names| names.contains(&*of.name));
                if is_named && self.spend(1) && of.name != column && found.insert(&*of.name) {
                    waiting.extend(relation.computed.get(&of.name).map(|text| &**text));
                }
            }
        }
        found
    }

    /// What the query behind a view gives.
    fn view(&mut self, id: &ServerName) -> Rc<Shape> {
        let tree = self.server.and_then(|server| server.trees.get(id));
        let Some(Some([Statement::Query(query)])) =
            tree.map(|tree| tree.as_ref().as_ref().map(Vec::as_slice))
        else {
            return Rc::new(Shape::unproven());
        };
        let (count, doubted) = (self.predicates.len(), self.predicates_doubted);
        let shape = self.query(query, &Place::default());
        self.forget_predicates(count, doubted);
        shape
    }

    /// Tables whose rows this one shows, and those it is a part of: a rule for one holds for the other.
    fn family(&mut self, relation: &Relation) -> Vec<Name> {
        let mut family = Vec::new();
        let mut waiting: Vec<(&ServerName, bool)> = relation
            .parents
            .iter()
            .map(|id| (id, true))
            .chain(relation.children.iter().map(|id| (id, false)))
            .collect();
        while let Some((id, up)) = waiting.pop() {
            let name = self.names.name(&name::dotted(&[&id.schema, &id.name]));
            if !self.spend(1) || family.contains(&name) {
                continue;
            }
            family.push(name);
            if family.len() > CANDIDATES {
                break;
            }
            if let Some(relation) = self
                .server
                .and_then(|server| server.known.catalog().relations.get(id))
            {
                let further = if up {
                    &relation.parents
                } else {
                    &relation.children
                };
                waiting.extend(further.iter().map(|id| (id, up)));
            }
        }
        family
    }

    fn of_family(&mut self, family: &[Name], column: Name) -> Vec<Column> {
        if family.len() > CANDIDATES {
            return vec![self.names.column(None, column)];
        }
        self.spend(family.len());
        family
            .iter()
            .map(|relation| self.names.column(Some(*relation), column))
            .collect()
    }

    /// Columns every table has that `*` does not show.
    fn system_columns(&mut self, relation: Name) -> Vec<Item> {
        let names: &[&str] = match self.dialect {
            Dialect::Postgres => &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"],
            Dialect::Sqlite => &["rowid", "oid", "_rowid_"],
            Dialect::Mysql | Dialect::Mssql => &[],
        };
        names
            .iter()
            .map(|text| {
                let name = self.names.name(text);
                let column = match self.dialect {
                    // Another name of an INTEGER PRIMARY KEY, whatever that is called.
                    Dialect::Sqlite => self.names.every_column(Some(relation)),
                    Dialect::Postgres | Dialect::Mysql | Dialect::Mssql => {
                        self.names.column(Some(relation), name)
                    }
                };
                Item::Column {
                    name: Some(name),
                    sources: Sources {
                        columns: vec![column],
                        unproven: false,
                    }
                    .settle(),
                    unchanged: self.dialect != Dialect::Sqlite,
                }
            })
            .collect()
    }

    /// What is known of the function called `name`: nothing, where users have made one by that name.
    pub(super) fn known(&self, name: &ObjectName) -> functions::Known {
        let known = functions::known(self.dialect, name);
        let Some(server) = self.server else {
            return known;
        };
        let parts = identifiers(name).unwrap_or_default();
        let parts = parser::Name(parts.iter().map(|part| fold(self.dialect, part)).collect());
        let lookup = if server.behind.path_holds {
            Lookup::Path
        } else {
            Lookup::Anywhere
        };
        let users = server
            .known
            .routines(&parts, lookup)
            .iter()
            .any(|routine| routine.language != "c");
        if users {
            functions::Known::Unknown
        } else {
            known
        }
    }

    /// Whether a function nobody has looked into stands behind an operator.
    pub(super) fn is_overloaded(&self, operator: &impl ToString) -> bool {
        self.server.is_some_and(|server| {
            let operators = &server.behind.operators;
            !operators.is_empty() && operators.contains(&operator.to_string())
        })
    }
}
