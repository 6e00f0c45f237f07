//! What can be asked for, and where.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Problem;
use crate::{
    domain::{
        connection::{ConnectionKind, ConnectionName},
        operation::{CommandOperation, HttpOperation, Operation, Param, SqlOperation},
        policy::Policy,
        principal::Principal,
    },
    gateway::GateError,
};

/// One statement with its parameters, `$1` first. They come as their own text, so that no digit of theirs is lost.
pub(crate) fn sql(
    statement: String,
    params: &[Box<RawValue>],
    max_rows: Option<u64>,
) -> Result<Operation, Problem> {
    let params: Result<Vec<_>, _> = params.iter().map(|param| Param::from_json(param)).collect();
    let params =
        params.map_err(|error| Problem::unprocessable(format!("In `params`: {error}.")))?;
    SqlOperation::new(statement, params, max_rows)
        .map(Operation::Sql)
        .map_err(|bad| Problem::from(GateError::BadOperation(bad)))
}

/// One command: a program and its arguments, and what it can read.
pub(crate) fn command(argv: Vec<String>, stdin: Option<String>) -> Result<Operation, Problem> {
    CommandOperation::new(argv, stdin)
        .map(Operation::Command)
        .map_err(|bad| Problem::from(GateError::BadOperation(bad)))
}

/// One call to an API: its method, path and query below the connection's url, header fields as they were written, and body.
pub(crate) fn http(
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: String,
) -> Result<Operation, Problem> {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    HttpOperation::new(method, target, &headers, body.into())
        .map(Operation::Http)
        .map_err(|bad| Problem::from(GateError::BadOperation(bad)))
}

/// One connection a caller may use.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConnectionView {
    name: ConnectionName,
    kind: ConnectionKind,
    /// What it takes, and where that is sent.
    usage: String,
    /// Whether it has a write credential at all.
    writable: bool,
    budget: BudgetView,
}

/// How much may be taken.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BudgetView {
    rows: u64,
    bytes: u64,
    requests_per_minute: u32,
    timeout_seconds: u64,
}

/// Connections.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Connections {
    connections: Vec<ConnectionView>,
}

impl Connections {
    /// Those that `principal` may use.
    pub(crate) fn of(policy: &Policy, principal: &Principal) -> Self {
        let connections = policy.connections.values();
        let connections = connections
            .filter(|connection| connection.allow.includes(principal))
            .map(|connection| ConnectionView {
                name: connection.name.clone(),
                kind: connection.kind,
                usage: connection.kind.usage(),
                writable: connection.write.is_some(),
                budget: BudgetView {
                    rows: connection.budget.rows,
                    bytes: connection.budget.bytes,
                    requests_per_minute: connection.budget.requests_per_minute,
                    timeout_seconds: connection.budget.timeout.as_secs(),
                },
            })
            .collect();
        Self { connections }
    }
}
