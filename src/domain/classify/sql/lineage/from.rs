//! What FROM brings into scope, what `*` over it stands for, and which columns decide its rows.

use std::rc::Rc;

use sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, FunctionArg, FunctionArgExpr, Ident, JsonTableColumn,
    ObjectName, ObjectNamePart, PivotValueSource, TableAlias, TableFactor, TableSampleKind,
    TableVersion, TableWithJoins, Value,
};

use super::{
    Walk, functions,
    names::Name,
    scope::{Binding, Bindings, Place, Scope},
    shape::{Item, Shape, Sources},
};
use crate::domain::classify::Dialect;

/// A FROM while it is read.
pub(super) struct Reading<'a> {
    pub(super) bindings: Bindings,
    /// Join conditions, judged once everything they could name is in scope.
    pub(super) conditions: Vec<&'a Expr>,
    pub(super) rows: Sources,
    /// SQLite only: what stands further right, which a table function may refer to; the nearest last.
    ahead: Vec<Binding>,
    /// How many parentheses around joins are open.
    nested: usize,
}

impl<'a> Walk<'a> {
    /// The relations of a FROM, and what `*` over them stands for. Adds what decides its rows to `rows`.
    pub(super) fn from(
        &mut self,
        from: &'a [TableWithJoins],
        place: &Place<'a>,
        rows: &mut Sources,
    ) -> (Bindings, Vec<Item>) {
        let mut reading = Reading {
            bindings: Bindings::default(),
            conditions: Vec::new(),
            rows: std::mem::take(rows),
            ahead: Vec::new(),
            nested: 0,
        };
        if self.dialect == Dialect::Sqlite {
            for item in from {
                self.look_ahead(item, place, &mut reading.ahead);
            }
            reading.ahead.reverse();
        }
        let mut star = Vec::new();
        for item in from {
            match self.dialect {
                Dialect::Postgres | Dialect::Mysql | Dialect::Mssql => {
                    star.extend(self.joined(Vec::new(), item, place, &mut reading));
                }
                // To SQLite a comma is a join like any other: a later USING also looks left of it.
                Dialect::Sqlite => star = self.joined(star, item, place, &mut reading),
            }
        }
        let conditions = std::mem::take(&mut reading.conditions);
        if !conditions.is_empty() {
            let scope = Scope {
                from: Rc::new(reading.bindings.clone()),
                parent: place.scope.clone(),
                // A condition sees what is joined so far; here it sees everything.
                inclusive: true,
                ..Scope::default()
            };
            let everything = place.with_scope(Rc::new(scope));
            self.deciders(conditions, &everything, &mut reading.rows);
        }
        *rows = reading.rows;
        (reading.bindings, star)
    }

    /// One relation alone, as MERGE's source.
    pub(super) fn one_relation(
        &mut self,
        factor: &'a TableFactor,
        place: &Place<'a>,
        rows: &mut Sources,
    ) -> Bindings {
        let mut reading = Reading {
            bindings: Bindings::default(),
            conditions: Vec::new(),
            rows: std::mem::take(rows),
            ahead: Vec::new(),
            nested: 0,
        };
        self.factor(factor, place, &mut reading, Sees::Around);
        let conditions = std::mem::take(&mut reading.conditions);
        let here = place.with_scope(Rc::new(Scope {
            from: Rc::new(reading.bindings.clone()),
            parent: place.scope.clone(),
            inclusive: true,
            ..Scope::default()
        }));
        self.deciders(conditions, &here, &mut reading.rows);
        *rows = reading.rows;
        reading.bindings
    }

    /// `*` over `star` and what `item` joins to it.
    fn joined(
        &mut self,
        mut star: Vec<Item>,
        item: &'a TableWithJoins,
        place: &Place<'a>,
        reading: &mut Reading<'a>,
    ) -> Vec<Item> {
        star.extend(self.factor(&item.relation, place, reading, Sees::Around));
        for join in &item.joins {
            star = self.join_to(star, join, place, reading);
        }
        star
    }

    // -- One relation -----------------------------------------------------------------------------------------------

    /// Binds one relation, and returns what `*` over it stands for.
    pub(super) fn factor(
        &mut self,
        factor: &'a TableFactor,
        place: &Place<'a>,
        reading: &mut Reading<'a>,
        sees: Sees,
    ) -> Vec<Item> {
        if !self.descend() || !self.spend(1) {
            self.doubt_predicates();
            let nothing = Binding::result(None, Rc::new(Shape::unproven()));
            return self.bind(reading, nothing);
        }
        if reading.nested == 0 {
            reading.ahead.pop();
        }
        let star = match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints: _,
                version,
                with_ordinality,
                partitions: _,
                json_path,
                sample,
                index_hints: _,
            } => {
                let inner = self.seeing_left(place, reading, sees);
                let (base, shape) = match args {
                    Some(args) if args.settings.is_none() => {
                        let shape =
                            self.table_function(name, &args.args, place, alias.as_ref(), reading);
                        (None, shape)
                    }
                    Some(_) => (None, Rc::new(Shape::unproven())),
                    None => self.relation(name, &place.view),
                };
                if let Some(version) = version {
                    self.version(version, &inner, reading);
                }
                self.sample(sample.as_ref(), &inner, reading);
                let shape = if json_path.is_some() {
                    self.doubt_predicates();
                    Rc::new(Shape::unproven())
                } else {
                    shape
                };
                let shape = self.counted(shape, *with_ordinality);
                let result = Binding {
                    base,
                    ..Binding::result(None, shape)
                };
                self.named_factor(name, alias.as_ref(), result, reading)
            }
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                sample,
            } => {
                let sees = if *lateral { Sees::Left } else { sees };
                let inner = self.seeing_left(place, reading, sees);
                let shape = self.query(subquery, &inner);
                self.sample(sample.as_ref(), &inner, reading);
                let shape = self.renamed(shape, alias.as_ref());
                let name = alias
                    .as_ref()
                    .map(|alias| self.names.identifier(&alias.name));
                self.bind(reading, Binding::result(name, shape))
            }
            TableFactor::Function {
                lateral: _,
                name,
                args,
                with_ordinality,
                alias,
            } => {
                let shape = self.table_function(name, args, place, alias.as_ref(), reading);
                let shape = self.counted(shape, *with_ordinality);
                let result = Binding::result(None, shape);
                self.named_factor(name, alias.as_ref(), result, reading)
            }
            TableFactor::TableFunction { expr, alias } => {
                let inner = self.seeing_left(place, reading, Sees::Left);
                self.deciders([expr], &inner, &mut reading.rows);
                self.not_understood(alias.as_ref(), reading)
            }
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset,
                with_offset_alias: _,
                with_ordinality,
            } => {
                let inner = self.seeing_left(place, reading, Sees::Left);
                let mut items = Vec::new();
                for array in array_exprs {
                    let sources = self.sources(array, &inner);
                    self.decide(&sources, &mut reading.rows);
                    items.push(elements(array, sources));
                }
                let shape = Rc::new(Shape::new(items, Rc::default()));
                let shape = self.counted(shape, *with_offset || *with_ordinality);
                let shape = self.renamed(shape, alias.as_ref());
                let name = match alias {
                    Some(alias) => self.names.identifier(&alias.name),
                    None => self.names.name("unnest"),
                };
                self.bind(reading, Binding::result(Some(name), shape))
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let start = reading.bindings.list.len();
                reading.nested += 1;
                let star = self.joined(Vec::new(), table_with_joins, place, reading);
                reading.nested -= 1;
                match alias {
                    None => star,
                    Some(alias) => {
                        self.spend(reading.bindings.list.len() - start);
                        let shape = Rc::new(Shape::new(star, Rc::default()));
                        let shape = self.renamed(shape, Some(alias));
                        let name = self.names.identifier(&alias.name);
                        self.bind(reading, Binding::result(Some(name), shape))
                    }
                }
            }
            TableFactor::JsonTable {
                json_expr,
                json_path: _,
                columns,
                alias,
            } => {
                let mut names = Vec::new();
                json_columns(columns, &mut names);
                let names = names.into_iter().map(|name| self.names.identifier(name));
                let names = names.collect();
                self.json_table(json_expr, names, alias.as_ref(), place, reading)
            }
            TableFactor::OpenJsonTable {
                json_expr,
                json_path: _,
                columns,
                alias,
            } => {
                let mut names: Vec<Name> = columns
                    .iter()
                    .map(|column| self.names.identifier(&column.name))
                    .collect();
                if names.is_empty() {
                    names.extend(["key", "value", "type"].map(|text| self.names.name(text)));
                }
                self.json_table(json_expr, names, alias.as_ref(), place, reading)
            }
            TableFactor::Pivot {
                table,
                aggregate_functions,
                value_column,
                value_source,
                default_on_null,
                alias,
            } => {
                let mut inner = Reading {
                    bindings: Bindings::default(),
                    conditions: Vec::new(),
                    rows: std::mem::take(&mut reading.rows),
                    ahead: Vec::new(),
                    nested: 1,
                };
                let items = self.factor(table, place, &mut inner, sees);
                let here = self.scope_of(inner.bindings.list, place);
                reading.rows = inner.rows;
                let aggregated = aggregate_functions.iter().map(|function| &function.expr);
                self.deciders(aggregated.chain(value_column), &here, &mut reading.rows);
                self.deciders(default_on_null, &here, &mut reading.rows);
                if !matches!(value_source, PivotValueSource::List(_)) {
                    return {
                        self.ascend();
                        self.not_understood(alias.as_ref(), reading)
                    };
                }
                // Which columns are left, and what the new ones are called, is not followed.
                let mut everything = Sources::default();
                self.all_of(&items, &mut everything);
                let blur = vec![Item::Blur(everything.settle())];
                let shape = Rc::new(Shape::new(blur, Rc::default()));
                let shape = self.renamed(shape, alias.as_ref());
                let name = alias
                    .as_ref()
                    .map(|alias| self.names.identifier(&alias.name));
                self.bind(reading, Binding::result(name, shape))
            }
            TableFactor::Unpivot { alias, .. }
            | TableFactor::MatchRecognize { alias, .. }
            | TableFactor::XmlTable { alias, .. }
            | TableFactor::SemanticView { alias, .. } => {
                self.not_understood(alias.as_ref(), reading)
            }
            TableFactor::UnpivotExpr { .. } => self.not_understood(None, reading),
        };
        self.ascend();
        star
    }

    /// A table made of the JSON in one value.
    fn json_table(
        &mut self,
        json: &'a Expr,
        columns: Vec<Name>,
        alias: Option<&TableAlias>,
        place: &Place<'a>,
        reading: &mut Reading<'a>,
    ) -> Vec<Item> {
        let inner = self.seeing_left(place, reading, Sees::Left);
        let sources = self.sources(json, &inner);
        self.decide(&sources, &mut reading.rows);
        let items = columns.into_iter().map(|name| Item::Column {
            name: Some(name),
            sources: sources.clone(),
            unchanged: false,
        });
        let shape = Rc::new(Shape::new(items.collect(), Rc::default()));
        let shape = self.renamed(shape, alias);
        let name = alias.map(|alias| self.names.identifier(&alias.name));
        self.bind(reading, Binding::result(name, shape))
    }

    fn not_understood(
        &mut self,
        alias: Option<&TableAlias>,
        reading: &mut Reading<'a>,
    ) -> Vec<Item> {
        self.doubt_predicates();
        let name = alias.map(|alias| self.names.identifier(&alias.name));
        self.bind(reading, Binding::result(name, Rc::new(Shape::unproven())))
    }

    fn named_factor(
        &mut self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        result: Binding,
        reading: &mut Reading<'a>,
    ) -> Vec<Item> {
        let binding = match alias {
            Some(alias) => Binding {
                name: Some(self.names.identifier(&alias.name)),
                shape: self.renamed(result.shape, Some(alias)),
                base: result.base.filter(|_| alias.columns.is_empty()),
                ..result
            },
            None => Binding {
                name: match name.0.last() {
                    Some(ObjectNamePart::Identifier(last)) => Some(self.names.identifier(last)),
                    Some(ObjectNamePart::Function(_)) | None => None,
                },
                written: self.names.relation(name),
                ..result
            },
        };
        self.bind(reading, binding)
    }

    fn bind(&mut self, reading: &mut Reading<'a>, binding: Binding) -> Vec<Item> {
        self.join(&mut reading.rows, &binding.shape.rows.clone());
        self.spend(binding.shape.items.len());
        let star = binding.shape.items.clone();
        reading.bindings.push(binding);
        star
    }

    /// The place a relation is read in: around the FROM, or also what stands to its left.
    fn seeing_left(&mut self, place: &Place<'a>, reading: &Reading<'a>, sees: Sees) -> Place<'a> {
        match sees {
            Sees::Around => place.clone(),
            Sees::Left => {
                self.spend(reading.bindings.list.len());
                place.with_scope(Rc::new(Scope {
                    from: Rc::new(reading.bindings.clone()),
                    parent: place.scope.clone(),
                    ..Scope::default()
                }))
            }
        }
    }

    /// The place a table function's arguments are read in.
    fn arguments_place(&mut self, place: &Place<'a>, reading: &Reading<'a>) -> Place<'a> {
        if reading.ahead.is_empty() {
            return self.seeing_left(place, reading, Sees::Left);
        }
        self.spend(reading.bindings.list.len() + reading.ahead.len());
        let mut bindings = reading.bindings.clone();
        for binding in &reading.ahead {
            bindings.push(binding.clone());
        }
        place.with_scope(Rc::new(Scope {
            from: Rc::new(bindings),
            parent: place.scope.clone(),
            inclusive: true,
            ..Scope::default()
        }))
    }

    /// SQLite's table functions may refer to relations on their right.
    fn look_ahead(
        &mut self,
        item: &'a TableWithJoins,
        place: &Place<'a>,
        ahead: &mut Vec<Binding>,
    ) {
        let factors =
            std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation));
        for factor in factors {
            let (name, shape) = match factor {
                TableFactor::Table {
                    name,
                    alias,
                    args: None,
                    ..
                } => {
                    let shape = match self.names.relation(name) {
                        Some(relation) if place.view.find(relation).is_none() => {
                            self.base(name, relation).1
                        }
                        Some(_) | None => Rc::new(Shape::unproven()),
                    };
                    let own = match (alias, name.0.last()) {
                        (Some(alias), _) => Some(self.names.identifier(&alias.name)),
                        (None, Some(ObjectNamePart::Identifier(last))) => {
                            Some(self.names.identifier(last))
                        }
                        (None, _) => None,
                    };
                    (own, shape)
                }
                _ => (None, Rc::new(Shape::unproven())),
            };
            ahead.push(Binding::result(name, shape));
        }
    }

    fn table_function(
        &mut self,
        name: &ObjectName,
        arguments: &'a [FunctionArg],
        place: &Place<'a>,
        alias: Option<&TableAlias>,
        reading: &mut Reading<'a>,
    ) -> Rc<Shape> {
        let inner = self.arguments_place(place, reading);
        let known = self.known(name);
        let mut sources = Sources::default();
        for argument in arguments {
            self.argument(argument, known, &inner, &mut sources);
        }
        if known == functions::Known::Unknown {
            self.flow(&sources, None);
            self.doubt(&mut sources);
        }
        self.decide(&sources, &mut reading.rows);
        let sources = sources.settle();
        let column = |name: Option<Name>| Item::Column {
            name,
            sources: sources.clone(),
            unchanged: false,
        };
        let defined = alias.is_some_and(|alias| {
            !alias.columns.is_empty()
                && alias
                    .columns
                    .iter()
                    .all(|column| column.data_type.is_some())
        });
        let items = match functions::table_columns(self.dialect, name) {
            // A column definition list says exactly which there are.
            _ if defined => {
                let width = alias.map_or(0, |alias| alias.columns.len());
                vec![column(None); width]
            }
            _ if known == functions::Known::Unknown => vec![Item::Blur(sources)],
            None => vec![column(None)],
            Some([]) => match arguments {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))] => {
                    vec![elements(array, sources)]
                }
                _ => vec![Item::Blur(sources)],
            },
            Some(names) => names
                .iter()
                .map(|text| {
                    let name = (!text.is_empty()).then(|| self.names.name(text));
                    column(name)
                })
                .collect(),
        };
        Rc::new(Shape::new(items, Rc::default()))
    }

    /// WITH ORDINALITY adds a number.
    fn counted(&mut self, shape: Rc<Shape>, ordinality: bool) -> Rc<Shape> {
        if !ordinality {
            return shape;
        }
        let mut items = shape.items.clone();
        items.push(Item::Column {
            name: Some(self.names.name("ordinality")),
            sources: Rc::default(),
            unchanged: false,
        });
        Rc::new(Shape::new(items, shape.rows.clone()))
    }

    fn version(&mut self, version: &'a TableVersion, place: &Place<'a>, reading: &mut Reading<'a>) {
        match version {
            TableVersion::ForSystemTimeAsOf(expression)
            | TableVersion::TimestampAsOf(expression)
            | TableVersion::VersionAsOf(expression) => {
                self.deciders([expression], place, &mut reading.rows);
            }
            TableVersion::Function(_) | TableVersion::Changes { .. } => self.doubt_predicates(),
        }
    }

    fn sample(
        &mut self,
        sample: Option<&'a TableSampleKind>,
        place: &Place<'a>,
        reading: &mut Reading<'a>,
    ) {
        let Some(
            TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample),
        ) = sample
        else {
            return;
        };
        let expressions = sample
            .quantity
            .iter()
            .map(|quantity| &quantity.value)
            .chain(&sample.offset)
            .chain(sample.bucket.iter().filter_map(|bucket| bucket.on.as_ref()));
        self.deciders(expressions, place, &mut reading.rows);
    }

    /// A base relation or common table of this name, as INSERT, UPDATE and the like have it.
    pub(super) fn target(&mut self, name: &ObjectName, alias: Option<&Ident>) -> (Name, Binding) {
        let written = match self.names.relation(name) {
            Some(relation) => relation,
            None => self.names.name(""),
        };
        let (relation, shape) = self.base(name, written);
        let own = match (alias, name.0.last()) {
            (Some(alias), _) => Some(self.names.identifier(alias)),
            (None, Some(ObjectNamePart::Identifier(last))) => Some(self.names.identifier(last)),
            (None, _) => None,
        };
        let binding = Binding {
            written: alias.is_none().then_some(written),
            base: Some(relation),
            ..Binding::result(own, shape)
        };
        (relation, binding)
    }
}

/// What a relation in FROM may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sees {
    /// What is around the FROM.
    Around,
    /// Also the relations on its left.
    Left,
}

/// The columns JSON_TABLE gives, in order.
fn json_columns<'a>(columns: &'a [JsonTableColumn], names: &mut Vec<&'a Ident>) {
    for column in columns {
        match column {
            JsonTableColumn::Named(column) => names.push(&column.name),
            JsonTableColumn::ForOrdinality(name) => names.push(name),
            JsonTableColumn::Nested(nested) => json_columns(&nested.columns, names),
        }
    }
}

/// What unnesting `array` gives: one column, unless its elements are rows.
fn elements(array: &Expr, sources: Rc<Sources>) -> Item {
    let mut bare = array;
    while let Expr::Nested(inner) = bare {
        bare = inner;
    }
    if let Expr::Cast {
        expr, data_type, ..
    } = bare
    {
        // An array of somebody's own type may unfold into several columns.
        let DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) = data_type else {
            return Item::Blur(sources);
        };
        if matches!(&**element, DataType::Custom(..)) {
            return Item::Blur(sources);
        }
        bare = expr;
    }
    let plain = match bare {
        Expr::Value(value) => !matches!(value.value, Value::Placeholder(_)),
        Expr::Array(array) => array
            .elem
            .iter()
            .all(|element| matches!(element, Expr::Value(_))),
        _ => false,
    };
    if plain {
        Item::Column {
            name: None,
            sources,
            unchanged: false,
        }
    } else {
        Item::Blur(sources)
    }
}
