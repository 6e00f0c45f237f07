//! Where a result's columns come from, by the server's word, before the statement runs.
//!
//! `sys.dm_exec_describe_first_result_set` is asked twice at once: in its mode 1 it names the base column behind an
//! output, through views, and in its mode 2 the view's. It parses and binds the text and runs nothing. Its alternative,
//! `SET NO_BROWSETABLE ON`, tells the same with the rows; but it adds key columns to every result and changes how a query
//! is planned, so what ran would not be what was judged.
//!
//! INVARIANT: an origin may name more columns than it shows. Where a view computes its column, the server names only the
//! view; then every column of what the view is made of is named with it, as far as the credential may see that
//! (VIEW DEFINITION). What it may not see is left to the connection's catalog, which calls such a view opaque.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Call, Failed, lost,
    own::rows,
    types::Column,
    wire::{Wire, WireError},
};
use crate::domain::masking::{BaseColumn, ServerColumn, ServerOrigin};

/// How long a description is believed.
const FRESH: Duration = Duration::from_secs(15);
/// Descriptions kept; beyond it all are forgotten, which costs a round trip and nothing else.
const MOST: usize = 4_096;

const DESCRIBE: &str = "SELECT 1 AS mode, column_ordinal, is_hidden, name, source_schema, source_table, source_column, error_number \
     FROM sys.dm_exec_describe_first_result_set(@P1, @P2, 1) \
     UNION ALL \
     SELECT 2, column_ordinal, is_hidden, name, source_schema, source_table, source_column, error_number \
     FROM sys.dm_exec_describe_first_result_set(@P1, @P2, 2) \
     ORDER BY 1, 2";
/// Every column of what a view is made of, view by view.
const BEHIND: &str = "WITH behind (id, depth) AS ( \
       SELECT d.referenced_id, 1 FROM sys.sql_expression_dependencies d \
       JOIN sys.views v ON v.object_id = d.referencing_id \
       WHERE SCHEMA_NAME(v.schema_id) = @P1 AND v.name = @P2 AND d.referenced_id IS NOT NULL \
       UNION ALL \
       SELECT d.referenced_id, behind.depth + 1 FROM behind \
       JOIN sys.sql_expression_dependencies d ON d.referencing_id = behind.id \
       WHERE d.referenced_id IS NOT NULL AND behind.depth < 32) \
     SELECT DISTINCT SCHEMA_NAME(o.schema_id), o.name, c.name FROM behind \
     JOIN sys.objects o ON o.object_id = behind.id \
     JOIN sys.columns c ON c.object_id = o.object_id";

/// What one endpoint's server has told.
#[derive(Default)]
pub(super) struct Origins {
    known: Mutex<HashMap<u64, Known>>,
    hasher: RandomState,
}

struct Known {
    described: Described,
    until: Instant,
}

/// What the server says of a statement's result.
#[derive(Clone, Default)]
pub(super) struct Described {
    /// `None`: the server cannot tell before it runs.
    columns: Option<Arc<[Output]>>,
}

struct Output {
    label: String,
    origin: Option<ServerOrigin>,
}

impl Described {
    /// The columns of the result that comes; `None`: it is not what was described.
    pub(super) fn of(&self, layout: &Arc<[Column]>) -> Option<(Vec<ServerColumn>, Arc<[Column]>)> {
        if let Some(described) = &self.columns {
            let labels = described.iter().map(|output| &output.label);
            if !labels.eq(layout.iter().map(|column| &column.name)) {
                return None;
            }
        }
        let origin = |index: usize| self.columns.as_ref()?.get(index)?.origin.clone();
        let columns = layout
            .iter()
            .enumerate()
            .map(|(index, column)| ServerColumn {
                name: column.name.clone(),
                type_name: column.info.type_name.to_string(),
                origin: origin(index),
            });
        Some((columns.collect(), layout.clone()))
    }
}

impl Origins {
    /// What is known of the call's result, asked on an idle connection if it was not lately. A server that cannot tell
    /// is no failure: it will say why when the statement runs.
    pub(super) async fn describe(
        &self,
        wire: &mut Wire,
        call: &Call<'_>,
    ) -> Result<Described, Failed> {
        let key = self.key(call);
        let now = Instant::now();
        if let Some(known) = self.lock().get(&key)
            && now < known.until
        {
            return Ok(known.described.clone());
        }
        let described = ask(wire, call).await?;
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(
            key,
            Known {
                described: described.clone(),
                until: now + FRESH,
            },
        );
        Ok(described)
    }

    pub(super) fn forget(&self, call: &Call<'_>) {
        self.lock().remove(&self.key(call));
    }

    pub(super) fn forget_all(&self) {
        self.lock().clear();
    }

    fn key(&self, call: &Call<'_>) -> u64 {
        self.hasher.hash_one((call.statement, &call.declaration))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line of [`DESCRIBE`].
struct Told {
    name: String,
    source: Option<BaseColumn>,
}

async fn ask(wire: &mut Wire, call: &Call<'_>) -> Result<Described, Failed> {
    let declaration = (!call.declaration.is_empty()).then_some(&*call.declaration);
    let rows = rows(wire, DESCRIBE, &[Some(call.statement), declaration]).await?;
    let (mut base, mut view) = (Vec::new(), Vec::new());
    for row in rows {
        let Ok(
            [
                mode,
                _ordinal,
                hidden,
                name,
                schema,
                relation,
                column,
                error,
            ],
        ) = <[Option<String>; 8]>::try_from(row)
        else {
            return Err(lost(WireError::Protocol("a description of another shape")));
        };
        if error.is_some() {
            return Ok(Described::default());
        }
        if hidden.as_deref() == Some("true") {
            continue;
        }
        let told = Told {
            name: name.unwrap_or_default(),
            source: relation.zip(column).map(|(relation, column)| BaseColumn {
                schema,
                relation,
                column,
            }),
        };
        match mode.as_deref() {
            Some("1") => base.push(told),
            _ => view.push(told),
        }
    }
    if base.len() != view.len() {
        return Ok(Described::default());
    }
    let mut columns = Vec::with_capacity(base.len());
    let mut behind: HashMap<(Option<String>, String), Vec<BaseColumn>> = HashMap::new();
    for (base, view) in base.into_iter().zip(view) {
        let origin = match (view.source, base.source) {
            (Some(view), Some(base)) if view == base => Some(origin_of(view, Vec::new())),
            (Some(view), Some(base)) => Some(origin_of(view, vec![base])),
            (Some(view), None) => {
                let key = (view.schema.clone(), view.relation.clone());
                let also = match behind.get(&key) {
                    Some(known) => known.clone(),
                    None => {
                        let found = made_of(wire, &view).await?;
                        behind.insert(key, found.clone());
                        found
                    }
                };
                Some(origin_of(view, also))
            }
            (None, Some(base)) => Some(origin_of(base, Vec::new())),
            (None, None) => None,
        };
        columns.push(Output {
            label: base.name,
            origin,
        });
    }
    Ok(Described {
        columns: Some(columns.into()),
    })
}

fn origin_of(column: BaseColumn, also: Vec<BaseColumn>) -> ServerOrigin {
    ServerOrigin {
        schema: column.schema,
        relation: column.relation,
        column: column.column,
        also,
    }
}

/// The columns of everything a view is made of.
async fn made_of(wire: &mut Wire, view: &BaseColumn) -> Result<Vec<BaseColumn>, Failed> {
    let found = rows(
        wire,
        BEHIND,
        &[view.schema.as_deref(), Some(&view.relation)],
    )
    .await?;
    let mut seen = HashSet::new();
    let columns = found.into_iter().filter_map(|row| {
        let [schema, relation, column] = <[Option<String>; 3]>::try_from(row).ok()?;
        let column = BaseColumn {
            schema,
            relation: relation?,
            column: column?,
        };
        seen.insert(column.clone()).then_some(column)
    });
    Ok(columns.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_asks_itself_is_a_query_and_nothing_else() {
        for question in [DESCRIBE, BEHIND] {
            crate::targets::mssql::own::assert_only_asks(question);
        }
    }
}
