//! What the numbers in a result's description stand for: types by their oid, columns by relation and position.
//!
//! The answers come from the server's catalog and are kept for some seconds, so that the common read asks nothing. A number
//! that is not known, or known for too long, is always looked up before anything is run.
//!
//! INVARIANT: a column's origin may name more columns than it shows, never fewer. A view's column names the base columns
//! it may show, a partition's its parents', a whole row all columns of its relation.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::domain::{
    classify::{ColumnRef, Dialect, OutputSource, Outputs, name, sql},
    masking::{BaseColumn, ServerColumn, ServerOrigin},
};

use super::{
    values::{Shape, built_in},
    wire::{Field, OwnRow as Row, Reply, ServerMessage, Wire, WireError},
};

/// How long an answer is believed.
const FRESH: Duration = Duration::from_secs(15);
/// Answers kept; beyond it all are forgotten, which costs a look-up and nothing else.
const MOST: usize = 20_000;
/// A view that is built on views deeper than this is traced to all columns of what is below.
const DEEPEST_VIEW: usize = 8;

/// What one endpoint's server has told.
#[derive(Default)]
pub(super) struct Names {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    types: HashMap<u32, Known<TypeName>>,
    relations: HashMap<u32, Known<Relation>>,
}

struct Known<T> {
    what: Arc<T>,
    since: Instant,
}

#[derive(Debug)]
struct TypeName {
    name: String,
    shape: Shape,
    /// Relations whose rows a value of this type may hold.
    rows_of: Vec<u32>,
}

#[derive(Debug)]
struct Relation {
    schema: String,
    name: String,
    columns: HashMap<i16, RelationColumn>,
}

#[derive(Debug)]
struct RelationColumn {
    name: String,
    also: Vec<BaseColumn>,
}

/// A result's columns, ready to be shown and read.
pub(super) struct Described {
    pub(super) columns: Vec<ServerColumn>,
    pub(super) shapes: Vec<Shape>,
}

/// Why a name is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the server's catalog could not be read (SQLSTATE {})", .0.code)]
    Refused(Box<ServerMessage>),
    #[error("the server's catalog is not as expected: {0}")]
    Unexpected(&'static str),
}

/// What was told of a number, if it may be believed at `now`.
fn believed<T>(told: &HashMap<u32, Known<T>>, oid: u32, now: Instant) -> Option<&T> {
    let known = told.get(&oid)?;
    (now < known.since + FRESH).then_some(&*known.what)
}

impl Names {
    /// Describes a result by what could be believed `then`; `None` if something must be looked up first.
    pub(super) fn describe(&self, fields: &[Field], then: Instant) -> Option<Described> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut columns = Vec::with_capacity(fields.len());
        let mut shapes = Vec::with_capacity(fields.len());
        for field in fields {
            let (type_name, shape, rows_of) = match built_in(field.type_oid) {
                Some((name, shape)) => (name.to_owned(), shape, &[][..]),
                None => {
                    let known = believed(&inner.types, field.type_oid, then)?;
                    (known.name.clone(), known.shape.clone(), &*known.rows_of)
                }
            };
            let mut origin = match field.relation {
                0 => None,
                oid => {
                    let relation = believed(&inner.relations, oid, then)?;
                    Some(if field.attribute == 0 {
                        relation.whole_row()
                    } else {
                        let column = relation.columns.get(&field.attribute)?;
                        ServerOrigin {
                            schema: Some(relation.schema.clone()),
                            relation: relation.name.clone(),
                            column: column.name.clone(),
                            also: column.also.clone(),
                        }
                    })
                }
            };
            for oid in rows_of {
                let row = believed(&inner.relations, *oid, then)?.whole_row();
                match &mut origin {
                    None => origin = Some(row),
                    Some(origin) => origin.also.extend(row.also),
                }
            }
            if let Some(origin) = &mut origin {
                origin.also.sort();
                origin.also.dedup();
            }
            columns.push(ServerColumn {
                name: field.name.clone(),
                type_name,
                origin,
            });
            shapes.push(shape);
        }
        Some(Described { columns, shapes })
    }

    /// Looks up, on an idle connection, what of `fields` is not known or known for too long. Returns how long the
    /// whole description may be believed.
    pub(super) async fn learn(
        &self,
        wire: &mut Wire,
        fields: &[Field],
    ) -> Result<Instant, LookupError> {
        let now = Instant::now();
        let types: BTreeSet<u32> = fields
            .iter()
            .map(|field| field.type_oid)
            .filter(|oid| built_in(*oid).is_none())
            .collect();
        let missing = self.missing(now, &types, |inner| &inner.types);
        if !missing.is_empty() {
            let learned = look_up_types(wire, &missing).await?;
            self.remember(now, learned, |inner| &mut inner.types);
        }
        let mut relations: BTreeSet<u32> = fields
            .iter()
            .map(|field| field.relation)
            .filter(|oid| *oid != 0)
            .collect();
        {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            for oid in &types {
                if let Some(known) = inner.types.get(oid) {
                    relations.extend(&known.what.rows_of);
                }
            }
        }
        self.forget_outgrown(fields);
        let missing = self.missing(now, &relations, |inner| &inner.relations);
        if !missing.is_empty() {
            let learned = look_up_relations(wire, &missing).await?;
            self.remember(now, learned, |inner| &mut inner.relations);
        }
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = types
            .iter()
            .filter_map(|oid| inner.types.get(oid).map(|known| known.since))
            .chain(
                relations
                    .iter()
                    .filter_map(|oid| inner.relations.get(oid).map(|known| known.since)),
            )
            .min();
        Ok(oldest.unwrap_or(now) + FRESH)
    }

    /// Forgets relations of which a column is asked for that they did not have.
    fn forget_outgrown(&self, fields: &[Field]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for field in fields {
            let outgrown = inner
                .relations
                .get(&field.relation)
                .is_some_and(|known| !known.what.columns.contains_key(&field.attribute))
                && field.attribute != 0;
            if outgrown {
                inner.relations.remove(&field.relation);
            }
        }
    }

    fn missing<T>(
        &self,
        now: Instant,
        wanted: &BTreeSet<u32>,
        table: impl Fn(&Inner) -> &HashMap<u32, Known<T>>,
    ) -> Vec<u32> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |oid: u32| believed(table(&inner), oid, now).is_some();
        wanted.iter().copied().filter(|oid| !fresh(*oid)).collect()
    }

    fn remember<T>(
        &self,
        since: Instant,
        learned: Vec<(u32, T)>,
        table: impl Fn(&mut Inner) -> &mut HashMap<u32, Known<T>>,
    ) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let table = table(&mut inner);
        if table.len() + learned.len() > MOST {
            table.clear();
        }
        table.extend(learned.into_iter().map(|(oid, what)| {
            let what = Arc::new(what);
            (oid, Known { what, since })
        }));
    }
}

impl Relation {
    fn whole_row(&self) -> ServerOrigin {
        ServerOrigin {
            schema: Some(self.schema.clone()),
            relation: self.name.clone(),
            column: "*".into(),
            also: self.all_columns().collect(),
        }
    }

    fn all_columns(&self) -> impl Iterator<Item = BaseColumn> {
        self.columns.values().flat_map(|column| {
            std::iter::once(BaseColumn {
                schema: Some(self.schema.clone()),
                relation: self.name.clone(),
                column: column.name.clone(),
            })
            .chain(column.also.iter().cloned())
        })
    }
}

// ---------------------------------------------------------------------------------------------- types

struct TypeRow {
    name: String,
    kind: String,
    element: u32,
    delimiter: u8,
    base: u32,
    relation: u32,
    is_array: bool,
    has_rows: bool,
    fields: Vec<(String, u32)>,
}

async fn look_up_types(wire: &mut Wire, oids: &[u32]) -> Result<Vec<(u32, TypeName)>, LookupError> {
    let query = format!(
        "WITH RECURSIVE wanted(oid) AS (
           SELECT oid FROM pg_catalog.pg_type WHERE oid IN ({})
           UNION
           SELECT part.oid FROM wanted JOIN pg_catalog.pg_type t ON t.oid = wanted.oid
             CROSS JOIN LATERAL (
               SELECT t.typelem UNION ALL SELECT t.typbasetype
               UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
             ) part(oid) WHERE part.oid <> 0)
         SELECT t.oid, t.typname, t.typtype, t.typelem, coalesce(e.typdelim, ','), t.typbasetype, t.typrelid,
           t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc,
           coalesce(c.relkind IN ('r','p','v','m','f'), false),
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, a.atttypid::bigint) ORDER BY a.attnum)
              FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
         FROM wanted JOIN pg_catalog.pg_type t ON t.oid = wanted.oid
           LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
           LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid",
        list(oids)
    );
    let mut rows = HashMap::new();
    for row in answered(wire.own_rows(&query).await?)? {
        let (oid, row) = type_row(&row)?;
        rows.insert(oid, row);
    }
    Ok(oids
        .iter()
        .filter_map(|oid| {
            let row = rows.get(oid)?;
            let mut rows_of = BTreeSet::new();
            let shape = shape_of(*oid, &rows, &mut rows_of, 0);
            let name = match rows.get(&row.element) {
                Some(element) if row.is_array => format!("{}[]", element.name),
                _ => row.name.clone(),
            };
            let known = TypeName {
                name,
                shape,
                rows_of: rows_of.into_iter().collect(),
            };
            Some((*oid, known))
        })
        .collect())
}

fn type_row(row: &Row) -> Result<(u32, TypeRow), LookupError> {
    let fields: Option<Vec<(String, u32)>> = match row.get(9) {
        Some(Some(json)) => serde_json::from_str(json)
            .map_err(|_| LookupError::Unexpected("the fields of a composite type"))?,
        _ => None,
    };
    Ok((
        number(row, 0)?,
        TypeRow {
            name: word(row, 1)?.to_owned(),
            kind: word(row, 2)?.to_owned(),
            element: number(row, 3)?,
            delimiter: word(row, 4)?.bytes().next().unwrap_or(b','),
            base: number(row, 5)?,
            relation: number(row, 6)?,
            is_array: word(row, 7)? == "t",
            has_rows: word(row, 8)? == "t",
            fields: fields.unwrap_or_default(),
        },
    ))
}

/// Types cannot contain themselves but through arrays; what is nested deeper than a person would is shown as text.
fn shape_of(
    oid: u32,
    rows: &HashMap<u32, TypeRow>,
    rows_of: &mut BTreeSet<u32>,
    depth: usize,
) -> Shape {
    if let Some((_, shape)) = built_in(oid) {
        return shape;
    }
    let Some(row) = rows.get(&oid) else {
        return Shape::Text;
    };
    // Relations are noted however deep they are, even where the value is then shown as text.
    if row.has_rows && !rows_of.insert(row.relation) && depth > 0 {
        return Shape::Text;
    }
    let too_deep = depth > 16;
    let part = |oid: u32, rows_of: &mut BTreeSet<u32>| {
        if too_deep {
            Shape::Text
        } else {
            shape_of(oid, rows, rows_of, depth + 1)
        }
    };
    if row.is_array {
        return Shape::Array {
            element: Arc::new(part(row.element, rows_of)),
            delimiter: row.delimiter,
        };
    }
    match &*row.kind {
        "d" => part(row.base, rows_of),
        "c" => Shape::Composite(
            row.fields
                .iter()
                .map(|(name, oid)| (name.clone(), part(*oid, rows_of)))
                .collect(),
        ),
        _ => Shape::Text,
    }
}

// ---------------------------------------------------------------------------------------------- relations

struct RelationRow {
    schema: String,
    name: String,
    is_view: bool,
    definition: Option<String>,
    columns: Vec<(i16, String)>,
    /// What a view reads: relation and column, 0 for one of which no single column is named.
    reads: Vec<(u32, i16)>,
    parents: Vec<u32>,
}

impl RelationRow {
    /// The numbers of its columns, in order.
    fn positions(&self) -> Vec<i16> {
        let mut positions: Vec<i16> = self.columns.iter().map(|(number, _)| *number).collect();
        positions.retain(|number| *number > 0);
        positions.sort_unstable();
        positions
    }
}

async fn look_up_relations(
    wire: &mut Wire,
    oids: &[u32],
) -> Result<Vec<(u32, Relation)>, LookupError> {
    let query = format!(
        "WITH RECURSIVE reached(oid) AS (
           SELECT oid FROM pg_catalog.pg_class WHERE oid IN ({})
           UNION
           SELECT below.oid FROM reached CROSS JOIN LATERAL (
             SELECT d.refobjid FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d
               ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid
               AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
               WHERE w.ev_class = reached.oid AND w.ev_type = '1'
             UNION ALL SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = reached.oid
           ) below(oid))
         SELECT c.oid, n.nspname, c.relname, c.relkind IN ('v', 'm'),
           CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END,
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, a.attname))
              FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped),
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(d.refobjid::bigint, d.refobjsubid))
              FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d
               ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid
               AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> c.oid
               WHERE w.ev_class = c.oid AND w.ev_type = '1'),
           (SELECT pg_catalog.json_agg(i.inhparent::bigint) FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)
         FROM reached JOIN pg_catalog.pg_class c ON c.oid = reached.oid
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
        list(oids)
    );
    let mut rows = HashMap::new();
    for row in answered(wire.own_rows(&query).await?)? {
        rows.insert(number(&row, 0)?, relation_row(&row)?);
    }
    // The server itself says which base column each of a view's columns shows unchanged.
    let mut shown: HashMap<(u32, i16), (u32, i16)> = HashMap::new();
    for (oid, row) in &rows {
        let Some(definition) = row.definition.as_deref() else {
            continue;
        };
        let fields = describe_view(wire, definition).await?;
        let positions = row.positions();
        if positions.len() == fields.len() {
            for (position, field) in positions.into_iter().zip(&fields) {
                if field.relation != 0 && field.attribute != 0 {
                    shown.insert((*oid, position), (field.relation, field.attribute));
                }
            }
        }
    }
    let made_of = rows
        .iter()
        .flat_map(|(oid, row)| made_of(*oid, row, &rows))
        .collect();
    let tracer = Tracer {
        rows: &rows,
        shown,
        made_of,
    };
    Ok(oids
        .iter()
        .filter_map(|oid| {
            let row = rows.get(oid)?;
            let columns = row.columns.iter().map(|(number, name)| {
                let mut found = HashSet::new();
                tracer.trace(*oid, *number, 0, &mut found);
                found.remove(&(*oid, *number));
                let column = RelationColumn {
                    name: name.clone(),
                    also: tracer.named(found),
                };
                (*number, column)
            });
            let relation = Relation {
                schema: row.schema.clone(),
                name: row.name.clone(),
                columns: columns.collect(),
            };
            Some((*oid, relation))
        })
        .collect())
}

/// Parses a view's own definition, which runs nothing, and takes the server's word on its columns.
async fn describe_view(wire: &mut Wire, definition: &str) -> Result<Vec<Field>, LookupError> {
    wire.queue_describe(definition.trim_end().trim_end_matches(';'), &[])?;
    wire.send().await?;
    let mut fields = Vec::new();
    loop {
        match wire.next().await? {
            Reply::Columns(found) => fields = found,
            // Then nothing is known of single columns, and each is taken to show all that the view reads.
            Reply::Refused(_) => fields.clear(),
            Reply::Ready(_) => return Ok(fields),
            _ => {}
        }
    }
}

/// A relation's oid, and the number of a column of it.
type Column = (u32, i16);

/// What each column of a view is proven to be computed from, by the text of its definition.
fn made_of(
    oid: u32,
    view: &RelationRow,
    rows: &HashMap<u32, RelationRow>,
) -> Vec<(Column, Vec<Column>)> {
    let Some(definition) = view.definition.as_deref() else {
        return Vec::new();
    };
    let Outputs::Known(outputs) = sql::classify(Dialect::Postgres, definition).outputs else {
        return Vec::new();
    };
    let positions = view.positions();
    let stars = |output: &OutputSource| matches!(output, OutputSource::Star(_));
    if positions.len() != outputs.len() || outputs.iter().any(stars) {
        return Vec::new();
    }
    // Names stand unqualified where the search path finds them: what the view depends on tells which they are.
    let read: HashSet<u32> = view.reads.iter().map(|(below, _)| *below).collect();
    let below = |source: &ColumnRef| -> Option<Vec<Column>> {
        let parts = name::parts(source.relation.as_deref()?)?;
        let mut meant = read.iter().filter(|below| {
            rows.get(below).is_some_and(|row| match parts.as_slice() {
                [relation] => relation.text == row.name,
                [schema, relation] => schema.text == row.schema && relation.text == row.name,
                _ => false,
            })
        });
        let (Some(below), None) = (meant.next(), meant.next()) else {
            return None;
        };
        let row = rows.get(below)?;
        if source.column == "*" {
            return Some(row.positions().into_iter().map(|at| (*below, at)).collect());
        }
        let (number, _) = row
            .columns
            .iter()
            .find(|(_, name)| *name == source.column)?;
        Some(vec![(*below, *number)])
    };
    positions
        .into_iter()
        .zip(outputs)
        .filter_map(|(position, output)| {
            let (OutputSource::Column(sources) | OutputSource::From(sources)) = output else {
                return None;
            };
            let found: Option<Vec<_>> = sources.iter().map(below).collect();
            Some(((oid, position), found?.concat()))
        })
        .collect()
}

struct Tracer<'a> {
    rows: &'a HashMap<u32, RelationRow>,
    /// The column a view's column shows unchanged.
    shown: HashMap<Column, Column>,
    /// The columns a view's column is computed from, where that is known.
    made_of: HashMap<Column, Vec<Column>>,
}

impl Tracer<'_> {
    /// Adds every column whose values this one may show, itself included.
    fn trace(&self, oid: u32, number: i16, depth: usize, found: &mut HashSet<(u32, i16)>) {
        if !found.insert((oid, number)) {
            return;
        }
        let Some(row) = self.rows.get(&oid) else {
            return;
        };
        if let Some((_, name)) = row.columns.iter().find(|(known, _)| *known == number) {
            for parent in &row.parents {
                let same = self.rows.get(parent).and_then(|parent| {
                    let same = parent.columns.iter().find(|(_, other)| other == name);
                    same.map(|(number, _)| *number)
                });
                if let Some(number) = same {
                    self.trace(*parent, number, depth, found);
                }
            }
        }
        if !row.is_view {
            return;
        }
        let known = match self.shown.get(&(oid, number)) {
            Some(shown) => Some(std::slice::from_ref(shown)),
            None => self.made_of.get(&(oid, number)).map(Vec::as_slice),
        };
        match known {
            Some(columns) if depth < DEEPEST_VIEW => {
                for (below, column) in columns {
                    self.trace(*below, *column, depth + 1, found);
                }
            }
            _ => {
                for (below, column) in &row.reads {
                    if *column == 0 || depth >= DEEPEST_VIEW {
                        let columns = self.rows.get(below).map(|row| &*row.columns);
                        for (column, _) in columns.unwrap_or_default() {
                            if *column > 0 {
                                self.trace(*below, *column, depth + 1, found);
                            }
                        }
                    } else {
                        self.trace(*below, *column, depth + 1, found);
                    }
                }
            }
        }
    }

    fn named(&self, found: HashSet<(u32, i16)>) -> Vec<BaseColumn> {
        let mut named: Vec<BaseColumn> = found
            .into_iter()
            .filter_map(|(oid, number)| {
                let row = self.rows.get(&oid)?;
                let (_, column) = row.columns.iter().find(|(known, _)| *known == number)?;
                Some(BaseColumn {
                    schema: Some(row.schema.clone()),
                    relation: row.name.clone(),
                    column: column.clone(),
                })
            })
            .collect();
        named.sort();
        named.dedup();
        named
    }
}

fn relation_row(row: &Row) -> Result<RelationRow, LookupError> {
    fn parsed<T: serde::de::DeserializeOwned + Default>(
        row: &Row,
        at: usize,
    ) -> Result<T, LookupError> {
        match row.get(at) {
            Some(Some(json)) => serde_json::from_str(json)
                .map_err(|_| LookupError::Unexpected("the columns of a relation")),
            _ => Ok(T::default()),
        }
    }
    Ok(RelationRow {
        schema: word(row, 1)?.to_owned(),
        name: word(row, 2)?.to_owned(),
        is_view: word(row, 3)? == "t",
        definition: row.get(4).cloned().flatten(),
        columns: parsed(row, 5)?,
        reads: parsed(row, 6)?,
        parents: parsed(row, 7)?,
    })
}

// ---------------------------------------------------------------------------------------------- rows of the catalog

fn answered(rows: Result<Vec<Row>, Box<ServerMessage>>) -> Result<Vec<Row>, LookupError> {
    rows.map_err(LookupError::Refused)
}

pub(super) fn word(row: &Row, at: usize) -> Result<&str, LookupError> {
    row.get(at)
        .and_then(Option::as_deref)
        .ok_or(LookupError::Unexpected("a NULL where a name should be"))
}

pub(super) fn number(row: &Row, at: usize) -> Result<u32, LookupError> {
    word(row, at)?
        .parse()
        .map_err(|_| LookupError::Unexpected("an oid that is no number"))
}

fn list(oids: &[u32]) -> String {
    let mut out = String::new();
    for oid in oids {
        let separator = if out.is_empty() { "" } else { "," };
        let _infallible = write!(out, "{separator}{oid}");
    }
    out
}
