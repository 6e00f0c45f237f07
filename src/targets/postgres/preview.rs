//! How many rows a statement would touch, by the planner's estimate: `EXPLAIN` without `ANALYZE`, which runs nothing.
//!
//! Planning does evaluate stable and immutable functions of constants, so it is done with the read credential in a
//! read-only transaction, like any read. That credential may not be allowed to plan a change; then the rows that an
//! `UPDATE` or `DELETE` would find are estimated as the `SELECT` that finds them.

use std::time::Duration;

use serde::Deserialize;
use sqlparser::{
    ast::{FromTable, Statement, UpdateTableFromKind},
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use crate::domain::{connection::Budget, operation::SqlOperation, session::Preview};

use super::{
    LONGEST_LOCK_WAIT, Postgres, UNDO, limits, params,
    wire::{Reply, Wire, WireError, cells},
    words,
};
use crate::targets::unknown_reach;

/// The type of a parameter the estimate does not use: any will do, but the server must be told one.
const TEXT: u32 = 25;

enum NoEstimate {
    Sqlstate(String),
    Wire(WireError),
    Plan,
}

impl From<WireError> for NoEstimate {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

#[derive(Deserialize)]
struct Explained {
    #[serde(rename = "Plan")]
    plan: Plan,
}

#[derive(Deserialize)]
struct Plan {
    #[serde(rename = "Node Type")]
    node: String,
    #[serde(rename = "Plan Rows")]
    rows: f64,
    #[serde(rename = "Plans", default)]
    below: Vec<Plan>,
}

impl Plan {
    fn touched(&self) -> u64 {
        let rows = match (&*self.node, &*self.below) {
            ("ModifyTable", [found, ..]) => found.rows,
            _ => self.rows,
        };
        // A float's digits beyond u64 saturate; estimates are not exact anyway.
        rows.max(0.0).round() as u64
    }
}

impl Postgres {
    pub(in crate::targets) async fn preview(
        &self,
        operation: &SqlOperation,
        limit: Duration,
    ) -> Preview {
        let explainable = words(&operation.statement).next().is_some_and(|word| {
            matches!(
                &*word,
                "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "WITH" | "VALUES"
            )
        });
        if !explainable {
            return unknown_reach("the planner estimates only queries and changes of rows");
        }
        match tokio::time::timeout(limit, self.estimate(operation, limit)).await {
            Ok(preview) => preview,
            Err(_elapsed) => unknown_reach("the planner did not answer in time"),
        }
    }

    async fn estimate(&self, operation: &SqlOperation, limit: Duration) -> Preview {
        let mut lease = match self.pool.lend().await {
            Ok(lease) => lease,
            Err(_) => return unknown_reach("the database could not be reached to estimate"),
        };
        let wire = match lease.wire() {
            Ok(wire) => wire,
            Err(_) => return unknown_reach("the database could not be reached to estimate"),
        };
        let mut found = explain(wire, &operation.statement, &[], operation, limit).await;
        if let Err(NoEstimate::Sqlstate(code)) = &found
            && code == "42501"
            && let Some((query, types)) = rows_found(operation)
        {
            found = explain(wire, &query, &types, operation, limit).await;
        }
        match found {
            Ok(rows) => {
                lease.give_back();
                Preview {
                    estimated_rows: Some(rows),
                    note: "the planner's estimate".into(),
                }
            }
            Err(NoEstimate::Sqlstate(code)) => {
                lease.give_back();
                unknown_reach(format!("the planner could not estimate (SQLSTATE {code})"))
            }
            Err(NoEstimate::Plan) => unknown_reach("the planner's answer could not be read"),
            Err(NoEstimate::Wire(error)) => {
                tracing::debug!(%error, "no estimate");
                unknown_reach("the connection was lost while estimating")
            }
        }
    }
}

async fn explain(
    wire: &mut Wire,
    statement: &str,
    types: &[u32],
    operation: &SqlOperation,
    limit: Duration,
) -> Result<u64, NoEstimate> {
    let budget = Budget {
        timeout: limit,
        ..Budget::default()
    };
    wire.limit_messages(16 << 20);
    wire.queue_own(&format!(
        "BEGIN READ ONLY; {}",
        limits(&budget, LONGEST_LOCK_WAIT, "SET LOCAL")
    ))?;
    wire.queue_run(
        &format!("EXPLAIN (FORMAT JSON) {statement}"),
        types,
        params(operation),
    )?;
    wire.queue_own(UNDO)?;
    wire.send().await?;
    let mut refused = None;
    let mut plan = None;
    // Opening, explaining and undoing each end with a `Ready`.
    let mut ready = 0;
    while ready < 3 {
        match wire.next().await? {
            Reply::Ready(_) => ready += 1,
            Reply::Refused(message) => {
                refused.get_or_insert(message.code);
            }
            Reply::Row(row) if ready == 1 => {
                plan = match cells(&row).next() {
                    Some(cell) => cell?.map(<[u8]>::to_vec),
                    None => None,
                };
            }
            _ => {}
        }
    }
    if let Some(code) = refused {
        return Err(NoEstimate::Sqlstate(code));
    }
    let plans: Vec<Explained> =
        serde_json::from_slice(&plan.ok_or(NoEstimate::Plan)?).map_err(|_| NoEstimate::Plan)?;
    plans
        .first()
        .map(|explained| explained.plan.touched())
        .ok_or(NoEstimate::Plan)
}

/// The `SELECT` that finds the rows an `UPDATE` or `DELETE` would change, with a type for each parameter it leaves out.
fn rows_found(operation: &SqlOperation) -> Option<(String, Vec<u32>)> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, &operation.statement).ok()?;
    let (tables, condition) = match (statements.pop()?, statements.is_empty()) {
        (Statement::Delete(delete), true) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = delete.from;
            let using = delete.using.unwrap_or_default();
            let tables: Vec<String> = from.iter().chain(&using).map(ToString::to_string).collect();
            (tables, delete.selection)
        }
        (Statement::Update(update), true) => {
            let from = match update.from {
                Some(
                    UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from),
                ) => from,
                None => Vec::new(),
            };
            let tables = std::iter::once(&update.table).chain(&from);
            (tables.map(ToString::to_string).collect(), update.selection)
        }
        _ => return None,
    };
    let condition = condition.map(|condition| format!(" WHERE {condition}"));
    let query = format!(
        "SELECT 1 FROM {}{}",
        tables.join(", "),
        condition.unwrap_or_default()
    );
    let used: Vec<&str> = query
        .split(|character: char| !character.is_ascii_digit() && character != '$')
        .collect();
    let types = (1..=operation.params.len())
        .map(|number| {
            let placeholder = format!("${number}");
            if used.contains(&&*placeholder) {
                0
            } else {
                TEXT
            }
        })
        .collect();
    Some((query, types))
}
