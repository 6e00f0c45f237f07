//! `POST /v1/connections/{name}/query` and `…/exec`, and what becomes of them.

use std::time::Duration;

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    ApiState, Caller,
    body::{self, Body},
};
use crate::{
    domain::{connection::ConnectionName, id::RequestId, session::RequestStatus},
    door::{self, Connections, Problem, SESSION},
    gateway::{Outcome, Ports},
};

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
    let operation = door::sql(request.sql, &request.params, request.max_rows)?;
    let ask = door::asked(principal, connection, operation, request.reason, &headers)?;
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
    let operation = door::command(request.argv, request.stdin)?;
    let ask = door::asked(principal, connection, operation, request.reason, &headers)?;
    Ok(respond(api.gateway.submit(ask).await?))
}

pub(super) fn parse_name(text: &str) -> Result<ConnectionName, Problem> {
    // Nothing that cannot name a connection is one.
    text.parse()
        .map_err(|bad: crate::domain::connection::BadConnectionName| {
            Problem::not_found(bad.to_string())
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

/// The connections a caller may use.
pub(super) async fn connections<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
) -> Json<Connections> {
    Json(Connections::of(&api.gateway.policy(), &principal))
}
