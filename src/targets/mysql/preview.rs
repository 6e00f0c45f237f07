//! How many rows a statement would touch, by the optimizer's estimate: `EXPLAIN`, with the read credential, in a session
//! that is read-only.
//!
//! There no change may be explained, though nothing would run; so the rows that an `UPDATE` or `DELETE` would find are
//! estimated as the `SELECT` that finds them, and those of an `INSERT` as the query they come from.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use sqlparser::{
    ast::{Expr, FromTable, LimitClause, SetExpr, Statement, Value},
    dialect::MySqlDialect,
    parser::Parser,
};

use crate::{
    domain::{
        connection::Budget,
        masking::{Cell, ServerColumn},
        operation::{Param, SqlOperation},
        session::Preview,
    },
    gateway::ports::ResultSink,
    targets::unknown_reach,
};

use super::{
    Failure, LONGEST_LOCK_WAIT, Mysql, Ready, Rest, changes_rows, limits, names, run_it,
    wire::{Flavour, Wire},
};

/// What is to be estimated.
enum Question {
    /// The rows of this query, and never more than the limit.
    Rows { query: String, most: Option<u64> },
    /// Nothing: the statement says itself.
    Exactly(u64),
}

impl Mysql {
    pub(in crate::targets) async fn preview(
        &self,
        operation: &SqlOperation,
        limit: Duration,
    ) -> Preview {
        let question = changes_rows(&operation.statement)
            .then(|| question(&operation.statement))
            .flatten();
        let Some(question) = question else {
            return unknown_reach("the optimizer estimates only queries and plain changes of rows");
        };
        let (query, most) = match question {
            Question::Exactly(rows) => {
                return Preview {
                    estimated_rows: Some(rows),
                    note: "the rows the statement lists".into(),
                };
            }
            Question::Rows { query, most } => (query, most),
        };
        match tokio::time::timeout(limit, self.estimate(&query, operation, limit)).await {
            Ok(Ok(rows)) => Preview {
                estimated_rows: Some(most.map_or(rows, |most| rows.min(most))),
                note: "the optimizer's estimate".into(),
            },
            Ok(Err(why)) => unknown_reach(why),
            Err(_elapsed) => unknown_reach("the optimizer did not answer in time"),
        }
    }

    async fn estimate(
        &self,
        query: &str,
        operation: &SqlOperation,
        limit: Duration,
    ) -> Result<u64, String> {
        let unreached = |_| "the database could not be reached to estimate".to_owned();
        let mut lease = self.pool.lend().await.map_err(|error| {
            tracing::debug!(%error, "no estimate");
            unreached(())
        })?;
        let wire = lease.wire().map_err(|_| unreached(()))?;
        let mut plan = Plan::default();
        match explain(wire, query, &operation.params, limit, &mut plan).await {
            Ok(()) => {
                super::give_back(lease);
                plan.rows()
                    .ok_or_else(|| "the optimizer's answer could not be read".into())
            }
            Err(Failure::Server(message)) => {
                super::give_back(lease);
                Err(format!(
                    "the optimizer could not estimate (error {})",
                    message.code()
                ))
            }
            Err(_) => Err("the connection was lost while estimating".into()),
        }
    }
}

async fn explain(
    wire: &mut Wire,
    query: &str,
    params: &[Param],
    limit: Duration,
    plan: &mut Plan,
) -> Result<(), Failure> {
    let budget = Budget {
        timeout: limit,
        ..Budget::default()
    };
    // MySQL always says how much of what it finds it keeps, MariaDB when asked to.
    let verb = match wire.flavour() {
        Flavour::MariaDb => "EXPLAIN EXTENDED",
        Flavour::MySql => "EXPLAIN",
    };
    let statement = format!("{verb} {query}");
    wire.limit_packets(16 << 20);
    wire.queue_own(&limits(wire.flavour(), &budget, LONGEST_LOCK_WAIT));
    wire.queue_own("START TRANSACTION READ ONLY");
    wire.queue_prepare(&statement);
    wire.send().await?;
    if let Some(refused) = wire.settle().await? {
        return Err(Failure::Server(refused));
    }
    let prepared = wire.prepared().await?.map_err(Failure::Server)?;
    // What the statement says before its condition comes before in its parameters.
    let Some(first) = params.len().checked_sub(prepared.params) else {
        return Err(Failure::Own(
            "it has more parameters than were given".into(),
        ));
    };
    let operation = SqlOperation {
        statement,
        params: params[first..].to_vec(),
        max_rows: None,
        dry_run: false,
    };
    let described = super::Described {
        columns: names::undescribed(&prepared.columns),
        fields: prepared.columns,
    };
    let ready = Ready::Prepared(prepared.id, Arc::new(described));
    run_it(wire, &ready, &operation, plan, Rest::Await).await?;
    Ok(())
}

/// The plan, as its table comes in: one line for each table of each query in it.
#[derive(Default)]
struct Plan {
    id: Option<usize>,
    rows: Option<usize>,
    filtered: Option<usize>,
    /// Query and rows of each line.
    lines: Vec<(String, f64)>,
}

impl Plan {
    /// The rows of the outermost query: as many as its tables have together, in a nested loop.
    fn rows(&self) -> Option<u64> {
        let (first, _) = self.lines.first()?;
        let outermost = self.lines.iter().filter(|(id, _)| id == first);
        let rows: f64 = outermost.map(|(_, rows)| rows).product();
        // A float's digits beyond u64 saturate; estimates are not exact anyway.
        Some(rows.max(0.0).round() as u64)
    }
}

impl ResultSink for Plan {
    fn columns(&mut self, columns: &[ServerColumn]) {
        let find = |name: &str| {
            columns
                .iter()
                .position(|column| column.name.eq_ignore_ascii_case(name))
        };
        (self.id, self.rows, self.filtered) = (find("id"), find("rows"), find("filtered"));
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> ControlFlow<()> {
        let text = |at: Option<usize>| match cells.get(at?)? {
            Cell::Number(text) | Cell::Text(text) => Some(*text),
            _ => None,
        };
        let number = |at| text(at).and_then(|text| text.parse::<f64>().ok());
        let id = text(self.id).unwrap_or_default().to_owned();
        // A line without rows is one of an impossible condition or of a table optimized away.
        let rows =
            number(self.rows).unwrap_or(0.0) * number(self.filtered).unwrap_or(100.0) / 100.0;
        self.lines.push((id, rows));
        ControlFlow::Continue(())
    }

    fn notice(&mut self, _message: &str) {}
}

/// What to ask the optimizer about a statement.
fn question(statement: &str) -> Option<Question> {
    let mut statements = Parser::parse_sql(&MySqlDialect {}, statement).ok()?;
    let (tables, condition, limit): (Vec<String>, _, _) =
        match (statements.pop()?, statements.is_empty()) {
            (Statement::Query(_), true) => {
                return Some(Question::Rows {
                    query: statement.to_owned(),
                    most: None,
                });
            }
            (Statement::Insert(insert), true) => {
                let source = insert.source?;
                return match &*source.body {
                    SetExpr::Values(values) => {
                        Some(Question::Exactly(u64::try_from(values.rows.len()).ok()?))
                    }
                    _ => Some(Question::Rows {
                        query: source.to_string(),
                        most: limit_of(source.limit_clause.as_ref()),
                    }),
                };
            }
            (Statement::Delete(delete), true) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) =
                    delete.from;
                let using = delete.using.unwrap_or_default();
                // With USING the tables of FROM are among its own.
                let tables = if using.is_empty() { from } else { using };
                let tables = tables.iter().map(ToString::to_string).collect();
                (tables, delete.selection, delete.limit)
            }
            (Statement::Update(update), true) => (
                vec![update.table.to_string()],
                update.selection,
                update.limit,
            ),
            _ => return None,
        };
    let condition = condition.map(|condition| format!(" WHERE {condition}"));
    Some(Question::Rows {
        query: format!(
            "SELECT 1 FROM {}{}",
            tables.join(", "),
            condition.unwrap_or_default()
        ),
        most: limit.as_ref().and_then(number),
    })
}

fn limit_of(clause: Option<&LimitClause>) -> Option<u64> {
    match clause? {
        LimitClause::LimitOffset { limit, .. } => number(limit.as_ref()?),
        LimitClause::OffsetCommaLimit { limit, .. } => number(limit),
    }
}

fn number(expression: &Expr) -> Option<u64> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}
