//! `POST /v1/connections/{name}/query` and `…/exec`, and what becomes of them.

use std::time::Duration;

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    ApiState, Caller, Problem,
    body::{self, Body},
    the_header,
    traced::traceparent,
};
use crate::{
    domain::{
        connection::{ConnectionKind, ConnectionName},
        id::{RequestId, SessionId},
        operation::{CommandOperation, Operation, Param, SqlOperation},
        principal::Principal,
        session::RequestStatus,
    },
    gateway::{Ask, GateError, Outcome, Ports},
};

/// Names a session, in both directions.
static SESSION: HeaderName = HeaderName::from_static("portcullis-session");
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const LONGEST_KEY: usize = 200;

/// One SQL request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlRequest {
    /// One statement.
    sql: String,
    /// Its parameters, `$1` first.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Value>")]
    params: Vec<Box<RawValue>>,
    /// Why, in a sentence; approvers see it.
    #[serde(default)]
    reason: Option<String>,
    /// At most this many rows, below the connection's budget.
    #[serde(default)]
    max_rows: Option<u64>,
}

/// One SQL request.
pub(super) async fn query<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    Body(request): Body<SqlRequest>,
) -> Result<Response, Problem> {
    let connection: ConnectionName = parse_name(&body::path(path)?)?;
    let params: Result<Vec<_>, _> = request
        .params
        .iter()
        .map(|param| Param::from_json(param))
        .collect();
    let params =
        params.map_err(|error| Problem::unprocessable(format!("In `params`: {error}.")))?;
    let operation = SqlOperation::new(request.sql, params, request.max_rows)
        .map_err(|bad| Problem::from(GateError::BadOperation(bad)))?;
    let operation = Operation::Sql(operation);
    let ask = asked(principal, connection, operation, request.reason, &headers)?;
    Ok(respond(api.gateway.submit(ask).await?))
}

/// One command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandRequest {
    /// The program and its arguments, each as one string. There is no shell: nothing in them is expanded.
    argv: Vec<String>,
    /// What the program can read.
    #[serde(default)]
    stdin: Option<String>,
    /// Why, in a sentence; approvers see it.
    #[serde(default)]
    reason: Option<String>,
}

/// One command.
pub(super) async fn exec<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    Body(request): Body<CommandRequest>,
) -> Result<Response, Problem> {
    let connection: ConnectionName = parse_name(&body::path(path)?)?;
    let operation = CommandOperation::new(request.argv, request.stdin)
        .map_err(|bad| Problem::from(GateError::BadOperation(bad)))?;
    let operation = Operation::Command(operation);
    let ask = asked(principal, connection, operation, request.reason, &headers)?;
    Ok(respond(api.gateway.submit(ask).await?))
}

/// What is asked, with all that header fields say about it.
pub(super) fn asked(
    principal: Principal,
    connection: ConnectionName,
    operation: Operation,
    reason: Option<String>,
    headers: &HeaderMap,
) -> Result<Ask, Problem> {
    let idempotency_key = the_header(headers, IDEMPOTENCY_KEY)?.map(str::to_owned);
    if idempotency_key
        .as_ref()
        .is_some_and(|key| key.is_empty() || key.len() > LONGEST_KEY)
    {
        let detail = format!("`Idempotency-Key` must have 1 to {LONGEST_KEY} characters.");
        return Err(Problem::unprocessable(detail));
    }
    Ok(Ask {
        principal,
        connection,
        operation,
        reason,
        session: session_of(headers)?,
        idempotency_key,
        traceparent: traceparent(headers),
        responder: None,
    })
}

pub(super) fn parse_name(text: &str) -> Result<ConnectionName, Problem> {
    // Nothing that cannot name a connection is one.
    text.parse()
        .map_err(|bad: crate::domain::connection::BadConnectionName| {
            Problem::not_found(bad.to_string())
        })
}

fn session_of(headers: &HeaderMap) -> Result<Option<SessionId>, Problem> {
    let Some(text) = the_header(headers, "Portcullis-Session")? else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|bad: crate::domain::id::BadId| {
            Problem::unprocessable(format!("In `Portcullis-Session`: {bad}."))
        })
}

/// The outcome with the status CONTRACTS gives it.
pub(super) fn respond(outcome: Outcome) -> Response {
    let status = match outcome.status {
        RequestStatus::Succeeded | RequestStatus::Failed => StatusCode::OK,
        RequestStatus::PendingApproval | RequestStatus::Approved | RequestStatus::Executing => {
            StatusCode::ACCEPTED
        }
        RequestStatus::Denied | RequestStatus::ApprovalDenied | RequestStatus::ApprovalExpired => {
            StatusCode::FORBIDDEN
        }
        RequestStatus::OutcomeUnknown => StatusCode::CONFLICT,
    };
    let session = outcome.session_id.to_string();
    let location = format!("/v1/requests/{}", outcome.request_id);
    let mut response = (status, Json(outcome)).into_response();
    let headers = response.headers_mut();
    if let Ok(session) = HeaderValue::from_str(&session) {
        headers.insert(SESSION.clone(), session);
    }
    if status == StatusCode::ACCEPTED {
        if let Ok(location) = HeaderValue::from_str(&location) {
            headers.insert(header::LOCATION, location);
        }
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

/// Query parameters of `GET /v1/requests/{id}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// Seconds to wait for it to end, at most 50.
    #[serde(default)]
    wait: u64,
}

/// A request's state and, once there is one, its result.
pub(super) async fn request<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
    path: Result<Path<RequestId>, PathRejection>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Response, Problem> {
    let (id, wait) = (body::path(path)?, body::query(wait)?);
    let outcome = api
        .gateway
        .request(&principal, &id, Duration::from_secs(wait.wait))
        .await?;
    Ok(respond(outcome))
}

/// One connection a caller may use.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ConnectionView {
    name: ConnectionName,
    kind: ConnectionKind,
    /// Whether it has a write credential at all.
    writable: bool,
    budget: BudgetView,
}

/// How much may be taken.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BudgetView {
    rows: u64,
    bytes: u64,
    requests_per_minute: u32,
    timeout_seconds: u64,
}

/// Connections.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Connections {
    connections: Vec<ConnectionView>,
}

/// The connections a caller may use.
pub(super) async fn connections<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
) -> Json<Connections> {
    let policy = api.gateway.policy();
    let connections = policy.connections.values();
    let connections = connections
        .filter(|connection| connection.allow.includes(&principal))
        .map(|connection| ConnectionView {
            name: connection.name.clone(),
            kind: connection.kind,
            writable: connection.write.is_some(),
            budget: BudgetView {
                rows: connection.budget.rows,
                bytes: connection.budget.bytes,
                requests_per_minute: connection.budget.requests_per_minute,
                timeout_seconds: connection.budget.timeout.as_secs(),
            },
        })
        .collect();
    Json(Connections { connections })
}
