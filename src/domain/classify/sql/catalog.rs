//! What a server's catalog adds to what a statement's text shows: views, rules, policies of rows, routines, operators,
//! casts and domains that stand behind its names.
//!
//! The text is walked first and names what it uses; here each name is looked up, and what the server would run for it is
//! walked in turn, once each, until nothing new is met. So definitions that refer to each other end, and what is remembered
//! of a definition is what its own text shows, whoever uses it.
//!
//! INVARIANT: where several definitions could be meant, all of them count. Only a call that the text alone could not
//! judge gets milder by what is found here, and only by a body that shows all it does or by policy's word.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use sqlparser::ast::Statement;

use super::{
    super::{
        Effect, Object, ObjectAccess, name,
        server::{Operator, Relation, Routine, ServerCatalog, ServerName, Surroundings},
    },
    Dialect,
    expression::unknown_operator,
    findings::{Called, Findings, UsedOperator, Uses},
    functions::{self, Call},
    judge,
    lineage::Trees,
    only_tree,
    parser::{Doubt, Name},
};

/// Definitions behind one statement, at most.
const MOST_DEFINITIONS: usize = 10_000;

const CHANGES_ROWS: [&str; 7] = [
    "insert", "update", "delete", "merge", "replace", "copy", "truncate",
];

/// Kinds of statement that make new rows, with defaults in the columns they leave out.
const MAKES_ROWS: [&str; 4] = ["insert", "merge", "replace", "copy"];
/// Kinds that change rows which others may refer to, and kinds that delete them.
const UPDATES: [&str; 2] = ["update", "merge"];
const DELETES: [&str; 3] = ["delete", "merge", "replace"];

/// Operators the server uses where none is written: in ORDER BY, DISTINCT, GROUP BY, IN, BETWEEN, LIKE, USING.
const UNWRITTEN: [&str; 7] = ["=", "<>", "<", ">", "<=", ">=", "~~"];

/// A catalog, with what its definitions do remembered once it has been judged. Immutable: a newer snapshot is a new one.
#[derive(Debug)]
pub struct JudgedCatalog {
    dialect: Dialect,
    catalog: ServerCatalog,
    relation_names: HashSet<String>,
    /// Types that something of users' own is made of, by their names without schema.
    types: HashMap<String, Vec<ServerName>>,
    judged: Remembered<Result<Findings, Doubt>>,
    trees: Remembered<Option<Vec<Statement>>>,
}

/// By the text of the definition.
type Remembered<T> = Mutex<HashMap<Box<str>, Arc<T>>>;

impl JudgedCatalog {
    /// `catalog` as a server of `dialect` tells it. Nothing is judged before a statement needs it.
    pub fn new(dialect: Dialect, catalog: ServerCatalog) -> Self {
        let catalog = match dialect {
            Dialect::Postgres => catalog,
            // Names compare without regard to case there.
            Dialect::Sqlite | Dialect::Mysql | Dialect::Mssql => folded(catalog),
        };
        let relation_names = catalog.relations.keys().map(|id| id.name.clone()).collect();
        let mut types: HashMap<String, Vec<ServerName>> = HashMap::new();
        let operands = catalog
            .operators
            .values()
            .flatten()
            .flat_map(|operator| &operator.operands);
        let cast = catalog
            .casts
            .iter()
            .flat_map(|cast| [&cast.source, &cast.target]);
        for id in catalog.domains.keys().chain(operands).chain(cast) {
            let known = types.entry(id.name.clone()).or_default();
            if !is_builtin(id) && !known.contains(id) {
                known.push(id.clone());
            }
        }
        Self {
            dialect,
            catalog,
            relation_names,
            types,
            judged: Remembered::default(),
            trees: Remembered::default(),
        }
    }

    /// Whose grammar its definitions are in.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What the server told; but for PostgreSQL, in lower case.
    pub fn catalog(&self) -> &ServerCatalog {
        &self.catalog
    }

    pub(super) fn has_routine(&self, name: &str) -> bool {
        self.catalog.routines.contains_key(name)
    }

    pub(super) fn has_relation(&self, name: &str) -> bool {
        self.relation_names.contains(name)
    }

    /// Whether a word is the name of a type users have made something of.
    pub(super) fn has_type(&self, name: &str) -> bool {
        self.types.contains_key(name)
    }

    /// What users have made that a call of `name` could run, beside a built-in.
    pub(super) fn routines(&self, name: &Name, lookup: Lookup) -> Vec<&Routine> {
        let schema = name.0.len().checked_sub(2).map(|at| name.0[at].as_str());
        self.catalog
            .routines
            .get(name.last())
            .into_iter()
            .flatten()
            .filter(|routine| match (schema, lookup) {
                (Some(schema), _) => routine.schema == schema,
                (None, Lookup::Path) => self.is_on_path(&routine.schema),
                (None, Lookup::Anywhere) => true,
            })
            .collect()
    }

    /// Whether T-SQL may look for a relation by this name outside of the database. Nobody can put anything into the
    /// schemas that are the server's own.
    fn is_elsewhere(&self, parts: &[&str]) -> bool {
        match parts {
            _ if self.dialect != Dialect::Mssql => false,
            [database, schema, _] if self.catalog.database.as_deref() == Some(database) => {
                schema.is_empty()
            }
            [_, "sys" | "information_schema", _] => false,
            _ => parts.len() > 2,
        }
    }

    fn is_on_path(&self, schema: &str) -> bool {
        // PostgreSQL always looks there, first where the path does not say when.
        self.catalog.search_path.iter().any(|on| on == schema)
            || self.dialect == Dialect::Postgres && schema == "pg_catalog"
    }

    /// What a name may mean.
    fn relations(&self, parts: &[&str], lookup: Lookup) -> Vec<(&ServerName, &Relation)> {
        match (parts, lookup) {
            ([name], Lookup::Anywhere) if self.has_relation(name) => self
                .catalog
                .relations
                .iter()
                .filter(|(id, _)| id.name == *name)
                .collect(),
            _ => self.catalog.relation(parts).into_iter().collect(),
        }
    }

    /// Where the names in a definition are looked for.
    fn definitions_lookup(&self) -> Lookup {
        match self.dialect {
            // A view's own schema comes first there.
            Dialect::Mssql => Lookup::Anywhere,
            Dialect::Postgres | Dialect::Sqlite | Dialect::Mysql => Lookup::Path,
        }
    }

    /// Whether a function behind an operator or a cast is built in, or in C: only a superuser can make one, as
    /// extensions do, and it is trusted to compute what its operator says.
    fn is_reviewed(&self, function: &ServerName) -> bool {
        let name = Name(vec![function.schema.clone(), function.name.clone()]);
        is_builtin(function)
            || self
                .routines(&name, Lookup::Path)
                .iter()
                .all(|routine| routine.language == "c")
    }

    /// The definitions of the views behind a statement, read, for whoever traces columns through them.
    pub(super) fn trees(&self, behind: &Behind) -> Trees {
        let tree = |id: &ServerName| {
            let definition = self.catalog.relations.get(id)?.definition.as_deref()?;
            let tree = remembered(&self.trees, definition, || {
                only_tree(self.dialect, definition)
            });
            Some((id.clone(), tree))
        };
        behind.views.iter().filter_map(tree).collect()
    }

    /// What a definition's own text shows.
    fn judged(&self, definition: Definition<'_>) -> Arc<Result<Findings, Doubt>> {
        let text = definition.statement();
        remembered(&self.judged, &text, || {
            let place = Surroundings {
                catalog: Some(self),
                harmless: None,
            };
            judge(self.dialect, &text, place)
        })
    }
}

fn remembered<T>(memory: &Remembered<T>, text: &str, find: impl FnOnce() -> T) -> Arc<T> {
    let lock = || memory.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lock().get(text) {
        return Arc::clone(known);
    }
    let found = Arc::new(find());
    lock().insert(text.into(), Arc::clone(&found));
    found
}

/// Where a name without a schema is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lookup {
    /// Along the search path.
    Path,
    /// In every schema: an earlier statement, or a routine's own setting, may have changed the path.
    Anywhere,
}

/// A text the server keeps and runs.
#[derive(Clone, Copy, Debug)]
enum Definition<'a> {
    /// A query, as of a view.
    Query(&'a str),
    Expression(&'a str),
    /// What a rule does.
    Action(&'a str),
    /// What a routine does.
    Body(&'a str),
}

impl<'a> Definition<'a> {
    /// The same as statements that can be judged like any other.
    fn statement(self) -> Cow<'a, str> {
        match self {
            Self::Query(text) => text.into(),
            Self::Expression(text) => format!("SELECT {text}").into(),
            Self::Action(text) => {
                let text = text.trim();
                let text = without_word(text, "instead")
                    .or_else(|| without_word(text, "also"))
                    .unwrap_or(text);
                if text.trim_end_matches(';').eq_ignore_ascii_case("nothing") {
                    return "".into();
                }
                text.strip_prefix('(')
                    .and_then(|inner| inner.trim_end_matches(';').trim_end().strip_suffix(')'))
                    .unwrap_or(text)
                    .into()
            }
            Self::Body(text) => {
                let text = text.trim();
                if let Some(expression) = without_word(text, "return") {
                    return format!("SELECT {expression}").into();
                }
                let atomic =
                    without_word(text, "begin").and_then(|text| without_word(text, "atomic"));
                let Some(body) = atomic else {
                    return text.into();
                };
                let body = body.trim_end_matches(';').trim_end();
                match body
                    .len()
                    .checked_sub(3)
                    .and_then(|at| body.split_at_checked(at))
                {
                    Some((body, end)) if end.eq_ignore_ascii_case("end") => body.into(),
                    _ => text.into(),
                }
            }
        }
    }
}

/// `text` behind a first `word`, if it begins with it.
fn without_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (first, rest) = text.split_at_checked(word.len())?;
    let ends = rest.starts_with(|c: char| c.is_whitespace() || c == '(');
    (first.eq_ignore_ascii_case(word) && ends).then(|| rest.trim_start())
}

impl Surroundings<'_> {
    /// Whether policy vouches for a function by this name.
    pub(super) fn vouches_for(&self, name: &str) -> bool {
        self.harmless
            .is_some_and(|harmless| harmless.contains(name))
    }
}

/// A statement with what stands behind its names.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) found: Findings,
    pub(super) behind: Behind,
}

/// What tracing columns must know of what stands behind a statement's names.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Views, those behind views included.
    pub(super) views: BTreeSet<ServerName>,
    /// Operators behind which stands a function nobody has looked into.
    pub(super) operators: BTreeSet<String>,
    /// Such a function runs where nothing in the text shows it: any value may come from it.
    pub(super) anywhere: bool,
    /// Names are looked for along the search path, and only there.
    pub(super) path_holds: bool,
}

/// Adds to `found` what stands behind the names in it.
pub(super) fn resolve(mut found: Findings, place: Surroundings<'_>) -> Result<Resolved, Doubt> {
    let Some(known) = place.catalog else {
        return Ok(Resolved {
            found,
            behind: Behind::default(),
        });
    };
    let has = |kind: &str| found.kinds.iter().any(|known| known == kind);
    let changes_rows = CHANGES_ROWS.iter().any(|kind| has(kind));
    let path_holds = match known.dialect {
        // Nothing separates statements there, but few kinds of them could change where names are looked for.
        Dialect::Mssql => found.kinds.iter().all(|kind| {
            matches!(kind.as_str(), "select" | "values") || CHANGES_ROWS.contains(&kind.as_str())
        }),
        _ => found.uses.statements <= 1,
    };
    let planned = has("explain") && !has("explain analyze") && path_holds;
    let mut resolver = Resolver {
        known,
        place,
        changes_rows,
        found: Findings::default(),
        behind: Behind {
            path_holds,
            ..Behind::default()
        },
        waiting: Vec::new(),
        met: HashSet::new(),
        in_play: BTreeSet::new(),
        any_type: false,
        operators: BTreeSet::new(),
        casts: false,
        fills_defaults: false,
        defaults: Vec::new(),
        updates: false,
        deletes: false,
        written: Vec::new(),
    };
    resolver.note(&found.kinds, &found.uses);
    let lookup = if path_holds {
        Lookup::Path
    } else {
        Lookup::Anywhere
    };
    resolver.waiting.push(Waiting {
        objects: std::mem::take(&mut found.objects),
        uses: std::mem::take(&mut found.uses),
        lookup,
        planned,
    });
    resolver.found = found;
    resolver.run()?;
    Ok(Resolved {
        found: resolver.found,
        behind: resolver.behind,
    })
}

/// Something met behind a statement, looked into once. What has no name of its own is known by where it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Met<'a> {
    Relation(&'a ServerName, ObjectAccess, bool),
    Domain(&'a ServerName),
    Routine(*const Routine),
    Operator(*const Operator),
    Cast(usize),
}

/// What one text uses, not yet looked up.
#[derive(Debug)]
struct Waiting {
    objects: BTreeSet<Object>,
    uses: Uses,
    lookup: Lookup,
    /// It is only planned: what planning does not run does not happen.
    planned: bool,
}

struct Resolver<'a> {
    known: &'a JudgedCatalog,
    place: Surroundings<'a>,
    /// The statement writes rows, so that rules run, and what a view reads is written.
    changes_rows: bool,
    found: Findings,
    behind: Behind,
    waiting: Vec<Waiting>,
    met: HashSet<Met<'a>>,
    /// Types of users' own that a value in the statement may have.
    in_play: BTreeSet<&'a ServerName>,
    /// A function of users' own gives a value whose type nothing here shows.
    any_type: bool,
    operators: BTreeSet<(UsedOperator, Lookup)>,
    casts: bool,
    /// Something evaluates defaults of columns.
    fills_defaults: bool,
    /// Defaults of what is written, not yet looked into.
    defaults: Vec<(&'a ServerName, &'a str)>,
    /// Something changes rows that foreign keys may refer to.
    updates: bool,
    /// Something deletes them.
    deletes: bool,
    /// What is written, its foreign keys not yet looked into.
    written: Vec<&'a Relation>,
}

impl<'a> Resolver<'a> {
    fn run(&mut self) -> Result<(), Doubt> {
        loop {
            while let Some(next) = self.waiting.pop() {
                if self.met.len() > MOST_DEFINITIONS {
                    return Err(Doubt(format!(
                        "more than {MOST_DEFINITIONS} definitions stand behind its names"
                    )));
                }
                self.look_up(next);
            }
            self.operators();
            self.casts();
            self.actions();
            self.defaults();
            if self.waiting.is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes in what a definition shows; `access` is what is done to what it reads.
    fn take(&mut self, found: &Findings, lookup: Lookup, access: ObjectAccess, planned: bool) {
        let mut found = found.clone();
        self.note(&found.kinds, &found.uses);
        if planned {
            found = found.only_planned();
        }
        let mut objects = std::mem::take(&mut found.objects);
        if access == ObjectAccess::Write {
            objects = objects
                .into_iter()
                .map(|object| Object { access, ..object })
                .collect();
        }
        self.waiting.push(Waiting {
            objects,
            uses: std::mem::take(&mut found.uses),
            lookup,
            planned,
        });
        found.kinds.clear();
        self.found.merge(found);
    }

    fn look_up(&mut self, next: Waiting) {
        let Waiting {
            objects,
            uses,
            lookup,
            planned,
        } = next;
        for object in objects {
            self.object(object, lookup, planned);
        }
        for called in &uses.calls {
            self.call(called, lookup);
        }
        for word in &uses.types {
            for id in self.known.types.get(word).into_iter().flatten() {
                self.value_of(id);
                self.made_into(id);
            }
        }
        for row in &uses.rows {
            let parts: Vec<&str> = row.0.iter().map(String::as_str).collect();
            for (_, relation) in self.known.relations(&parts, lookup) {
                for column in &relation.columns {
                    self.value_of(&column.type_name);
                    self.made_into(&column.type_name);
                }
            }
        }
        self.casts |= uses.casts;
        self.operators
            .extend(uses.operators.into_iter().map(|used| (used, lookup)));
    }

    /// Takes in what a text does to rows.
    fn note(&mut self, kinds: &[String], uses: &Uses) {
        let any = |of: &[&str]| kinds.iter().any(|kind| of.contains(&kind.as_str()));
        self.fills_defaults |= uses.says_default || any(&MAKES_ROWS);
        self.updates |= uses.updates || any(&UPDATES);
        self.deletes |= uses.replaces || any(&DELETES);
    }

    // -- Relations --------------------------------------------------------------------------------------------------

    fn object(&mut self, object: Object, lookup: Lookup, planned: bool) {
        let Object { name, access } = object;
        let parts = name::parts(&name).unwrap_or_default();
        let parts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
        if self.known.is_elsewhere(&parts) {
            if !self.place.vouches_for(&name) {
                self.unknown(format!(
                    "{name} may be in another database, where nobody can see what stands behind it; what is in this one \
                     needs its schema and name alone"
                ));
            }
            self.found.objects.insert(Object { name, access });
            return;
        }
        let meant = self.known.relations(&parts, lookup);
        if meant.is_empty() {
            self.found.objects.insert(Object {
                name: name.clone(),
                access,
            });
        }
        for (id, relation) in meant {
            let name = match (self.known.dialect, lookup) {
                // A session's database is no name that policy knows.
                (Dialect::Mysql, Lookup::Path) => name.clone(),
                _ => qualified(id),
            };
            self.found.objects.insert(Object { name, access });
            self.relation(id, relation, access, planned);
        }
    }

    fn relation(
        &mut self,
        id: &'a ServerName,
        relation: &'a Relation,
        access: ObjectAccess,
        planned: bool,
    ) {
        if !self.met.insert(Met::Relation(id, access, planned)) {
            return;
        }
        let written = access == ObjectAccess::Write && self.changes_rows;
        if relation.opaque && !self.place.vouches_for(&qualified(id)) {
            self.unknown(format!(
                "what stands behind {} cannot be seen; reading it could do anything",
                qualified(id)
            ));
        }
        for column in relation.columns.iter().chain(&relation.hidden) {
            self.value_of(&column.type_name);
            if written {
                self.made_into(&column.type_name);
            }
        }
        if let Some(definition) = &relation.definition {
            self.behind.views.insert(id.clone());
            let access = if written { access } else { ObjectAccess::Read };
            self.definition(id, Definition::Query(definition), access, planned);
        }
        for text in &relation.on_read {
            self.definition(
                id,
                Definition::Expression(text),
                ObjectAccess::Read,
                planned,
            );
        }
        if written {
            for text in &relation.rules {
                self.definition(id, Definition::Action(text), ObjectAccess::Read, planned);
            }
            for text in &relation.on_write {
                self.definition(
                    id,
                    Definition::Expression(text),
                    ObjectAccess::Read,
                    planned,
                );
            }
            self.found
                .triggers
                .extend(relation.triggers.iter().cloned());
            let defaults = relation.defaults.iter().map(|text| (id, text.as_str()));
            self.defaults.extend(defaults);
            self.written.push(relation);
        }
        // What policy says of a table holds for its parts, however they are called.
        let mut above: Vec<&ServerName> = relation.parents.iter().collect();
        while let Some(parent) = above.pop() {
            let name = qualified(parent);
            if self.found.objects.insert(Object { name, access })
                && let Some(relation) = self.known.catalog.relations.get(parent)
            {
                above.extend(&relation.parents);
            }
        }
        for child in &relation.children {
            if let Some((id, relation)) = self.known.catalog.relations.get_key_value(child) {
                self.relation(id, relation, access, planned);
            }
        }
    }

    fn defaults(&mut self) {
        if self.fills_defaults {
            for (id, text) in std::mem::take(&mut self.defaults) {
                let default = Definition::Expression(text);
                self.definition(id, default, ObjectAccess::Read, false);
            }
        }
    }

    /// What a foreign key changes is no object of the statement, but what runs because of it does run.
    fn actions(&mut self) {
        let mut written = self.written.clone();
        while let Some(relation) = written.pop() {
            let on_update = relation.on_update.iter().filter(|_| self.updates);
            let on_delete = relation.on_delete.iter().filter(|_| self.deletes);
            for id in on_update.chain(on_delete).collect::<Vec<_>>() {
                if let Some((id, relation)) = self.known.catalog.relations.get_key_value(id) {
                    let known = self.written.len();
                    self.relation(id, relation, ObjectAccess::Write, false);
                    written.extend(&self.written[known..]);
                }
            }
        }
    }

    /// A definition that belongs to a relation or a type.
    fn definition(
        &mut self,
        of: &ServerName,
        definition: Definition<'_>,
        access: ObjectAccess,
        planned: bool,
    ) {
        match &*self.known.judged(definition) {
            Ok(found) => self.take(found, self.known.definitions_lookup(), access, planned),
            Err(Doubt(why)) => self.found.effect_at_planning(
                Effect::Unknown,
                format!(
                    "what {} is defined by could not be judged: {why}",
                    qualified(of)
                ),
            ),
        }
    }

    // -- Functions --------------------------------------------------------------------------------------------------

    fn call(&mut self, called: &Called, lookup: Lookup) {
        if let Some(relations) = &called.field_of
            && self.is_column(called.name.last(), relations, lookup)
        {
            return;
        }
        let known: &'a JudgedCatalog = self.known;
        let routines = known.routines(&called.name, lookup);
        if routines.is_empty() && !called.builtin && !self.place.vouches_for(&called.name.dotted())
        {
            self.unknown(format!(
                "it calls {}, which is no built-in function known to be harmless; it could do anything",
                called.name.dotted()
            ));
        }
        for routine in routines {
            self.routine(called, routine);
        }
    }

    fn routine(&mut self, called: &Called, routine: &'a Routine) {
        self.any_type = true;
        let name = called.name.last();
        let full = name::dotted(&[routine.schema.as_str(), name]);
        let vouched = self.place.vouches_for(&full)
            || self.known.is_on_path(&routine.schema)
                && self.place.vouches_for(&name::dotted(&[name]));
        // Only a superuser can make one in C: by a name that was reviewed, it is the extension's that was reviewed.
        let reviewed = called.builtin && routine.language == "c";
        // What is vouched for only reads; what it reads nobody has said, but of one in C, which computes.
        self.found.runs_unjudged |= vouched && routine.language != "c";
        if vouched || reviewed || !self.met.insert(Met::Routine(routine)) {
            return;
        }
        if !routine.calls.is_empty() {
            for function in &routine.calls {
                self.function(function);
            }
            return;
        }
        match &routine.body {
            Some(body) if routine.language == "sql" => {
                match &*self.known.judged(Definition::Body(body)) {
                    // Planning runs what is promised to be stable, and all of it.
                    Ok(found) => self.take(found, Lookup::Anywhere, ObjectAccess::Read, false),
                    Err(Doubt(why)) => {
                        self.unknown(format!(
                            "it calls {full}, whose body could not be judged: {why}"
                        ));
                    }
                }
            }
            _ => self.unknown(format!(
                "it calls {full}, which is written in {}, not judged here; it could do anything",
                routine.language
            )),
        }
    }

    /// A function that a definition names.
    fn function(&mut self, function: &ServerName) {
        let verdict = functions::builtin(self.known.dialect, &function.name);
        if is_builtin(function) {
            if verdict != Call::Harmless {
                self.unknown(format!(
                    "it runs {}, not known to be harmless",
                    function.name
                ));
            }
            return;
        }
        let called = Called {
            name: Name(vec![function.schema.clone(), function.name.clone()]),
            builtin: verdict == Call::Harmless,
            field_of: None,
        };
        self.call(&called, Lookup::Path);
    }

    /// Whether every relation of these has a column called `field`.
    fn is_column(&self, field: &str, relations: &[String], lookup: Lookup) -> bool {
        !relations.is_empty()
            && relations.iter().all(|relation| {
                let parts = name::parts(relation).unwrap_or_default();
                let parts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
                let meant = self.known.relations(&parts, lookup);
                !meant.is_empty()
                    && meant.iter().all(|(_, relation)| {
                        relation.columns.iter().any(|column| column.name == field)
                    })
            })
    }

    fn unknown(&mut self, why: String) {
        self.found.unbounded = true;
        self.found.runs_unjudged = true;
        self.found.effect_at_planning(Effect::Write, why);
    }

    // -- Types, and what runs because of them --------------------------------------------------------------------------

    /// A value of this type may be in the statement.
    fn value_of(&mut self, id: &'a ServerName) {
        if !is_builtin(id)
            && self.in_play.insert(id)
            && let Some(domain) = self.known.catalog.domains.get(id)
        {
            self.value_of(&domain.base);
        }
    }

    /// Something may be turned into a value of this type.
    fn made_into(&mut self, id: &'a ServerName) {
        if let Some((id, domain)) = self.known.catalog.domains.get_key_value(id)
            && self.met.insert(Met::Domain(id))
        {
            for check in &domain.checks {
                self.definition(id, Definition::Expression(check), ObjectAccess::Read, false);
            }
            self.made_into(&domain.base);
        }
    }

    fn may_have(&self, type_name: &ServerName) -> bool {
        is_builtin(type_name) || self.in_play.contains(type_name)
    }

    fn operators(&mut self) {
        for (used, lookup) in self.operators.clone() {
            let known: &'a JudgedCatalog = self.known;
            let overloads = known.catalog.operators.get(&used.symbol);
            let meant: Vec<&'a Operator> = overloads
                .into_iter()
                .flatten()
                .filter(|operator| match (&used.schema, lookup) {
                    (Some(schema), _) => operator.schema == *schema,
                    (None, Lookup::Path) => known.is_on_path(&operator.schema),
                    (None, Lookup::Anywhere) => true,
                })
                .collect();
            if meant.is_empty() && !used.builtin {
                self.found.runs_unjudged = true;
                self.found
                    .effect_at_planning(Effect::Write, unknown_operator(&used.symbol));
            }
            for operator in meant {
                if !used.builtin
                    || used.untyped
                    || self.any_type
                    || operator
                        .operands
                        .iter()
                        .all(|operand| self.may_have(operand))
                {
                    self.operator(&used.symbol, operator, used.builtin);
                }
            }
        }
        for symbol in UNWRITTEN {
            let known: &'a JudgedCatalog = self.known;
            for operator in known.catalog.operators.get(symbol).into_iter().flatten() {
                let own = |operand: &ServerName| !is_builtin(operand);
                if operator.operands.iter().any(own)
                    && operator
                        .operands
                        .iter()
                        .all(|operand| self.may_have(operand))
                {
                    self.operator(symbol, operator, true);
                }
            }
        }
    }

    /// `listed`: an extension that ships with the server has one by this symbol.
    fn operator(&mut self, symbol: &str, operator: &'a Operator, listed: bool) {
        let reviewed = listed && self.known.is_reviewed(&operator.function);
        if !reviewed && self.met.insert(Met::Operator(operator)) {
            self.behind.operators.insert(symbol.to_owned());
            self.function(&operator.function);
        }
    }

    fn casts(&mut self) {
        for (index, cast) in self.known.catalog.casts.iter().enumerate() {
            let sides = [&cast.source, &cast.target];
            let own = sides.iter().any(|side| !is_builtin(side));
            let met = sides.iter().all(|side| self.may_have(side)) || self.any_type && self.casts;
            if met
                && (cast.implicit || own || self.casts)
                && !self.known.is_reviewed(&cast.function)
                && self.met.insert(Met::Cast(index))
            {
                self.behind.anywhere = true;
                self.function(&cast.function);
            }
        }
    }
}

fn qualified(id: &ServerName) -> String {
    name::dotted(&[&id.schema, &id.name])
}

fn is_builtin(id: &ServerName) -> bool {
    matches!(id.schema.as_str(), "" | "pg_catalog")
}

/// `catalog` with every name in lower case. Of two that differ in case only, nobody can say which is meant.
fn folded(catalog: ServerCatalog) -> ServerCatalog {
    let lower = |text: &str| text.to_lowercase();
    let id = |id: ServerName| ServerName {
        schema: lower(&id.schema),
        name: lower(&id.name),
    };
    let ids = |list: Vec<ServerName>| list.into_iter().map(id).collect();
    let mut relations: BTreeMap<ServerName, Relation> = BTreeMap::new();
    for (name, relation) in catalog.relations {
        let mut relation = Relation {
            children: ids(relation.children),
            parents: ids(relation.parents),
            on_delete: ids(relation.on_delete),
            on_update: ids(relation.on_update),
            ..relation
        };
        for column in relation.columns.iter_mut().chain(&mut relation.hidden) {
            column.name = lower(&column.name);
        }
        let computed = std::mem::take(&mut relation.computed).into_iter();
        relation.computed = computed.map(|(name, text)| (lower(&name), text)).collect();
        relations
            .entry(id(name))
            .and_modify(|known| known.opaque = true)
            .or_insert(relation);
    }
    let mut routines: BTreeMap<String, Vec<Routine>> = BTreeMap::new();
    for (name, overloads) in catalog.routines {
        let known = routines.entry(lower(&name)).or_default();
        known.extend(overloads.into_iter().map(|routine| Routine {
            schema: lower(&routine.schema),
            calls: ids(routine.calls),
            ..routine
        }));
    }
    ServerCatalog {
        database: catalog.database.as_deref().map(lower),
        search_path: catalog
            .search_path
            .iter()
            .map(|schema| lower(schema))
            .collect(),
        relations,
        routines,
        ..catalog
    }
}

#[cfg(test)]
mod tests;
