//! Which relation a name in an expression means. Where the text alone cannot tell, every relation it could mean.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
};

use sqlparser::ast::{Cte, Ident};

use super::{
    Walk, functions,
    names::{Name, fold},
    shape::{Item, Shape, Sources},
};
use crate::domain::classify::{Dialect, name};

/// A column that could belong to more relations than this is said to belong to any.
pub(super) const CANDIDATES: usize = 32;

/// A relation under the name expressions call it by.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) name: Option<Name>,
    /// As written in FROM, where that is how expressions may call it too.
    pub(super) written: Option<Name>,
    pub(super) shape: Rc<Shape>,
    /// The relation of the database it is; `None`: a query's result.
    pub(super) base: Option<Name>,
    /// What `name.*` stands for, where that is not simply the shape.
    pub(super) expansion: Option<Rc<[Item]>>,
}

impl Binding {
    /// The result of a query, a function or a join.
    pub(super) fn result(name: Option<Name>, shape: Rc<Shape>) -> Self {
        Self {
            name,
            written: None,
            shape,
            base: None,
            expansion: None,
        }
    }
}

/// What one FROM brings into scope.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    pub(super) list: Vec<Binding>,
    by_name: HashMap<Name, Vec<usize>>,
    /// Columns joined by USING: the bare name means all of them.
    pub(super) merged: HashSet<Name>,
    /// A NATURAL join: any bare name may mean several.
    pub(super) natural: bool,
}

impl Bindings {
    pub(super) fn push(&mut self, binding: Binding) {
        if let Some(name) = binding.name {
            self.by_name.entry(name).or_default().push(self.list.len());
        }
        self.list.push(binding);
    }

    pub(super) fn called(&self, name: Name) -> impl Iterator<Item = &Binding> {
        self.by_name
            .get(&name)
            .into_iter()
            .flatten()
            .map(|index| &self.list[*index])
    }
}

/// What an output name stands for.
#[derive(Clone, Debug, Default)]
pub(super) struct Output {
    pub(super) sources: Rc<Sources>,
    /// Simply a column's value.
    pub(super) unchanged: bool,
}

/// One level of name lookup and those around it.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) from: Rc<Bindings>,
    /// Output names clauses may use.
    pub(super) aliases: Rc<HashMap<Name, Output>>,
    /// All outputs, where a clause may name any of them and the names are not all known.
    pub(super) outputs: Option<Rc<Sources>>,
    /// What outputs are made of that only their own text names, which MySQL lets later expressions use as a name.
    pub(super) computed: Rc<Sources>,
    pub(super) windows: Rc<HashMap<Name, Rc<Sources>>>,
    /// The bindings are more than the server would look at: a sure match does not rule the others out.
    pub(super) inclusive: bool,
    pub(super) parent: Option<Rc<Scope>>,
}

/// The common table expressions of one WITH.
#[derive(Debug)]
pub(super) struct Environment<'a> {
    pub(super) tables: Vec<CommonTable<'a>>,
    by_name: HashMap<Name, usize>,
    /// How many of these tables each may refer to; `None`: all.
    pub(super) all_visible: bool,
    pub(super) scope: Option<Rc<Scope>>,
    parent: View<'a>,
}

#[derive(Debug)]
pub(super) struct CommonTable<'a> {
    pub(super) cte: &'a Cte,
    pub(super) name: Name,
    pub(super) state: RefCell<State>,
}

/// How far a common table expression is understood.
#[derive(Clone, Debug)]
pub(super) enum State {
    Waiting,
    /// Being walked; what is known of it so far.
    Running {
        approximation: Option<Rc<Shape>>,
        referred_to: bool,
    },
    Done(Rc<Shape>),
}

/// The common table expressions one place may refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct View<'a> {
    innermost: Option<(Rc<Environment<'a>>, usize)>,
}

impl<'a> Environment<'a> {
    pub(super) fn new(
        tables: Vec<CommonTable<'a>>,
        all_visible: bool,
        scope: Option<Rc<Scope>>,
        parent: View<'a>,
    ) -> Rc<Self> {
        let mut by_name = HashMap::new();
        for (index, table) in tables.iter().enumerate() {
            by_name.entry(table.name).or_insert(index);
        }
        Rc::new(Self {
            tables,
            by_name,
            all_visible,
            scope,
            parent,
        })
    }

    /// What the body of the query with this WITH may refer to.
    pub(super) fn whole(self: &Rc<Self>) -> View<'a> {
        View {
            innermost: Some((self.clone(), self.tables.len())),
        }
    }

    /// What the table at `index` may refer to.
    pub(super) fn seen_by(self: &Rc<Self>, index: usize) -> View<'a> {
        let visible = if self.all_visible {
            self.tables.len()
        } else {
            index
        };
        View {
            innermost: Some((self.clone(), visible)),
        }
    }
}

impl<'a> View<'a> {
    pub(super) fn find(&self, name: Name) -> Option<(Rc<Environment<'a>>, usize)> {
        let mut view = self;
        while let Some((environment, visible)) = &view.innermost {
            match environment.by_name.get(&name) {
                Some(index) if index < visible => return Some((environment.clone(), *index)),
                _ => view = &environment.parent,
            }
        }
        None
    }
}

/// Where an expression stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Place<'a> {
    pub(super) scope: Option<Rc<Scope>>,
    pub(super) view: View<'a>,
}

impl Place<'_> {
    pub(super) fn with_scope(&self, scope: Rc<Scope>) -> Self {
        Self {
            scope: Some(scope),
            view: self.view.clone(),
        }
    }
}

/// What a reference may mean.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    pub(super) sources: Sources,
    /// Not simply one column's value.
    pub(super) computed: bool,
    found: bool,
    stars: Vec<Name>,
    whole_rows: Vec<Name>,
}

impl<'a> Walk<'a> {
    /// What a bare name means in `scope`.
    pub(super) fn bare(&mut self, identifier: &Ident, scope: Option<&Rc<Scope>>) -> Meaning {
        let mut meaning = self.named(identifier, scope);
        if !meaning.found && !is_default(identifier) {
            self.doubt(&mut meaning.sources);
        }
        meaning
    }

    /// The same, where a word that names nothing is a constant.
    pub(super) fn named(&mut self, identifier: &Ident, scope: Option<&Rc<Scope>>) -> Meaning {
        let mut meaning = Meaning::default();
        if self.dialect == Dialect::Mssql && functions::is_bare_in_mssql(identifier) {
            meaning.found = true;
            meaning.computed = true;
            return meaning;
        }
        let name = self.names.identifier(identifier);
        if is_variable(self.dialect, identifier) {
            meaning.found = true;
            meaning.computed = true;
            self.variable(identifier, &mut meaning.sources);
            return meaning;
        }
        let mixed = self.dialect == Dialect::Mssql && self.names.is_mixed(name);
        let odd = match self.dialect {
            Dialect::Sqlite | Dialect::Mysql => !is_plain(self.names.text(name)),
            Dialect::Postgres | Dialect::Mssql => false,
        };
        let mut level = scope;
        while let Some(scope) = level {
            if !self.spend(scope.from.list.len()) {
                self.doubt(&mut meaning.sources);
                return meaning;
            }
            let mut sure = false;
            for binding in &scope.from.list {
                let mut here = false;
                for item in binding.shape.named(name) {
                    self.add_item(&mut meaning, item);
                    here = true;
                }
                if here && self.dialect == Dialect::Sqlite {
                    // Of two columns of one name SQLite silently takes the first.
                    self.add_items(&mut meaning, binding.shape.open());
                }
                sure |= here;
            }
            if let Some(output) = scope.aliases.get(&name) {
                meaning.found = true;
                meaning.computed |= !output.unchanged;
                self.join(&mut meaning.sources, &output.sources);
            } else if let Some(outputs) = &scope.outputs {
                self.add_sources(&mut meaning, outputs);
            }
            if odd && (scope.computed.unproven || !scope.computed.columns.is_empty()) {
                self.add_sources(&mut meaning, &scope.computed);
            }
            let all =
                scope.inclusive || scope.from.natural || scope.from.merged.contains(&name) || mixed;
            if !sure || all || odd {
                for binding in &scope.from.list {
                    if binding.shape.open_count() > 0 {
                        self.spend(binding.shape.open_count());
                        self.add_items(&mut meaning, binding.shape.open());
                        self.add_items(&mut meaning, binding.shape.unnamed());
                    }
                }
            }
            if !sure || all {
                for binding in scope.from.called(name) {
                    self.add_whole_row(&mut meaning, binding);
                }
            }
            if sure && !scope.inclusive && !mixed {
                break;
            }
            level = scope.parent.as_ref();
        }
        self.finish(&mut meaning, name);
        meaning
    }

    /// What `qualifier.name` means in `scope`.
    pub(super) fn qualified(
        &mut self,
        qualifier: &[&Ident],
        identifier: &Ident,
        scope: Option<&Rc<Scope>>,
    ) -> Meaning {
        let name = self.names.identifier(identifier);
        let mut meaning = Meaning::default();
        for binding in self.relations_called(qualifier, scope) {
            let mut sure = false;
            for item in binding.shape.named(name) {
                self.add_item(&mut meaning, item);
                sure = true;
            }
            let mixed = self.dialect == Dialect::Mssql && self.names.is_mixed(name);
            if !sure || mixed || self.dialect == Dialect::Sqlite {
                self.add_items(&mut meaning, binding.shape.open());
            }
            if !sure {
                self.add_items(&mut meaning, binding.shape.unnamed());
            }
            if self.dialect == Dialect::Postgres && !sure {
                // PostgreSQL reads `t.f` as `f(t)` where t has no column f.
                if functions::takes_a_row(self.names.text(name)) {
                    self.add_whole_row(&mut meaning, &binding);
                } else if !meaning.found {
                    self.add_whole_row(&mut meaning, &binding);
                    self.doubt(&mut meaning.sources);
                }
            }
        }
        self.finish(&mut meaning, name);
        if !meaning.found {
            self.doubt(&mut meaning.sources);
        }
        meaning
    }

    /// The relations a qualifier names, from the innermost scope that has any.
    pub(super) fn relations_called(
        &mut self,
        qualifier: &[&Ident],
        scope: Option<&Rc<Scope>>,
    ) -> Vec<Binding> {
        let Some((last, schema)) = qualifier.split_last() else {
            return Vec::new();
        };
        let called = self.names.identifier(last);
        let written = (!schema.is_empty()).then(|| {
            let parts: Vec<String> = qualifier
                .iter()
                .map(|part| fold(self.dialect, part))
                .collect();
            self.names.name(&name::dotted(&parts))
        });
        let mut level = scope;
        let mut all = Vec::new();
        while let Some(scope) = level {
            let found: Vec<Binding> = scope.from.called(called).cloned().collect();
            if !found.is_empty() {
                let exact: Vec<Binding> = found
                    .iter()
                    .filter(|binding| written.is_some() && binding.written == written)
                    .cloned()
                    .collect();
                all.extend(if exact.is_empty() { found } else { exact });
                if !self.names.is_mixed(called) || !self.spend(all.len()) {
                    break;
                }
            }
            level = scope.parent.as_ref();
        }
        all
    }

    /// Everything in the relations of the innermost scope.
    pub(super) fn everything_in(&mut self, scope: Option<&Rc<Scope>>, into: &mut Sources) {
        let Some(scope) = scope else {
            return self.doubt(into);
        };
        for binding in &scope.from.list {
            self.all_of(&binding.shape.items, into);
        }
    }

    /// Everything any of `items` may hold.
    pub(super) fn all_of(&mut self, items: &[Item], into: &mut Sources) {
        for item in items {
            match item {
                Item::Column { sources, .. } | Item::Blur(sources) => self.join(into, sources),
                Item::Star { relations, .. } => {
                    self.spend(relations.len());
                    for relation in relations.iter() {
                        into.columns.push(self.names.every_column(Some(*relation)));
                    }
                }
            }
        }
    }

    fn add_items<'i>(&mut self, meaning: &mut Meaning, items: impl Iterator<Item = &'i Item>) {
        for item in items {
            self.add_item(meaning, item);
        }
    }

    fn add_item(&mut self, meaning: &mut Meaning, item: &Item) {
        meaning.found = true;
        match item {
            Item::Column {
                sources, unchanged, ..
            } => {
                meaning.computed |= !unchanged;
                self.join(&mut meaning.sources, sources);
            }
            Item::Star { relations, .. } => meaning.stars.extend(relations.iter()),
            Item::Blur(sources) => {
                meaning.computed = true;
                self.join(&mut meaning.sources, sources);
            }
        }
    }

    fn add_sources(&mut self, meaning: &mut Meaning, sources: &Sources) {
        meaning.found = true;
        meaning.computed = true;
        self.join(&mut meaning.sources, sources);
    }

    pub(super) fn add_whole_row(&mut self, meaning: &mut Meaning, binding: &Binding) {
        meaning.found = true;
        meaning.computed = true;
        for item in &binding.shape.items {
            match item {
                Item::Column { sources, .. } | Item::Blur(sources) => {
                    self.join(&mut meaning.sources, sources);
                }
                Item::Star { relations, .. } => meaning.whole_rows.extend(relations.iter()),
            }
        }
    }

    /// Turns the stars met into columns called `name`.
    fn finish(&mut self, meaning: &mut Meaning, name: Name) {
        for relation in &meaning.whole_rows {
            let every = self.names.every_column(Some(*relation));
            meaning.sources.columns.push(every);
        }
        let stars: Vec<Name> = meaning
            .stars
            .iter()
            .filter(|relation| !meaning.whole_rows.contains(relation))
            .copied()
            .collect();
        self.spend(stars.len());
        if stars.len() > CANDIDATES {
            let column = self.names.column(None, name);
            meaning.sources.columns.push(column);
        } else {
            for relation in &stars {
                let column = self.names.column(Some(*relation), name);
                meaning.sources.columns.push(column);
            }
        }
        // SQLite's rowid is another name of an INTEGER PRIMARY KEY, whatever that is called.
        if self.dialect == Dialect::Sqlite
            && matches!(self.names.text(name), "rowid" | "oid" | "_rowid_")
        {
            meaning.computed = true;
            for relation in &stars {
                let every = self.names.every_column(Some(*relation));
                meaning.sources.columns.push(every);
            }
        }
    }
}

/// `DEFAULT` where a value is expected: no column, as it is reserved.
fn is_default(identifier: &Ident) -> bool {
    identifier.quote_style.is_none() && identifier.value.eq_ignore_ascii_case("default")
}

/// `@x` and `@@x`, and the `$action` and `$identity` of SQL Server.
pub(super) fn is_variable(dialect: Dialect, identifier: &Ident) -> bool {
    identifier.quote_style.is_none()
        && match dialect {
            Dialect::Mysql => identifier.value.starts_with('@'),
            Dialect::Mssql => identifier.value.starts_with(['@', '$']),
            Dialect::Postgres | Dialect::Sqlite => false,
        }
}

/// A name no expression's own text could be.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
