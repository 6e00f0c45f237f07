//! Approvals, and the record.

use axum::{
    Json,
    body::Body as HttpBody,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::header,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ApiState, Caller,
    body::{self, Body},
};
use crate::{
    domain::{
        classify::Effect,
        connection::ConnectionName,
        id::{ApprovalId, SessionId},
        principal::PrincipalId,
        record::Hash,
        session::{Action, Answer, Event},
    },
    door::Problem,
    gateway::{
        Answering, ApprovalView, ExactPreview, Found, Ports, SessionView,
        ports::{Cursor, Query as Search},
    },
};

/// Query parameters of `GET /v1/approvals`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalFilter {
    /// `pending` (the default) or `all`.
    #[serde(default)]
    state: ApprovalState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ApprovalState {
    #[default]
    Pending,
    All,
}

/// Approvals.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Approvals {
    approvals: Vec<ApprovalView>,
}

/// What the caller is asked, or has asked others.
pub(super) async fn approvals<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
    filter: Result<Query<ApprovalFilter>, QueryRejection>,
) -> Result<Json<Approvals>, Problem> {
    let pending = body::query(filter)?.state == ApprovalState::Pending;
    let approvals = api.gateway.approvals(&principal, pending).await?;
    Ok(Json(Approvals { approvals }))
}

/// One approval.
pub(super) async fn approval<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
    path: Result<Path<ApprovalId>, PathRejection>,
) -> Result<Json<ApprovalView>, Problem> {
    Ok(Json(
        api.gateway.approval(&principal, &body::path(path)?).await?,
    ))
}

/// An approver's answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionRequest {
    decision: Answer,
    /// The digest the approval showed.
    digest: Hash,
    /// Goes on record.
    #[serde(default)]
    comment: Option<String>,
}

/// A human's, or a named pipeline's, decision.
pub(super) async fn decide<P: Ports>(
    State(api): ApiState<P>,
    Caller(approver): Caller,
    path: Result<Path<ApprovalId>, PathRejection>,
    Body(request): Body<DecisionRequest>,
) -> Result<Json<ApprovalView>, Problem> {
    let answering = Answering {
        approver,
        approval: body::path(path)?,
        answer: request.decision,
        digest: request.digest,
        comment: request.comment,
        enqueued: None,
    };
    Ok(Json(api.gateway.resume(answering).await?))
}

/// What an approved statement would change, exactly.
pub(super) async fn preview<P: Ports>(
    State(api): ApiState<P>,
    Caller(approver): Caller,
    path: Result<Path<ApprovalId>, PathRejection>,
) -> Result<Json<ExactPreview>, Problem> {
    Ok(Json(
        api.gateway.preview(approver, body::path(path)?).await?,
    ))
}

/// Query parameters of `GET /v1/sessions`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionFilter {
    /// Who asked, such as `agent:crm-bot`.
    principal: Option<PrincipalId>,
    /// Where.
    connection: Option<ConnectionName>,
    /// Highest effect.
    effect: Option<Effect>,
    /// Name of an object it touches.
    object: Option<String>,
    /// What policy said.
    decision: Option<Action>,
    /// Asked at or after, RFC 3339.
    #[schemars(with = "Option<String>")]
    since: Option<Timestamp>,
    /// Asked before, RFC 3339.
    #[schemars(with = "Option<String>")]
    until: Option<Timestamp>,
    /// Text in the masked statement or the reason.
    q: Option<String>,
    /// Where the previous page ended.
    after: Option<String>,
    /// At most this many requests, up to 200.
    limit: Option<usize>,
}

/// The record, searched.
pub(super) async fn sessions<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
    filter: Result<Query<SessionFilter>, QueryRejection>,
) -> Result<Json<Found>, Problem> {
    let filter = body::query(filter)?;
    let search = Search {
        principal: filter.principal,
        connection: filter.connection,
        effect: filter.effect,
        object: filter.object,
        decision: filter.decision,
        asked: false,
        status: None,
        since: filter.since,
        until: filter.until,
        text: filter.q,
        after: filter.after.map(Cursor),
        limit: filter.limit.unwrap_or(50).clamp(1, 200),
    };
    Ok(Json(api.gateway.search(&principal, search).await?))
}

/// One session.
pub(super) async fn session<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
    path: Result<Path<SessionId>, PathRejection>,
) -> Result<Json<SessionView>, Problem> {
    Ok(Json(
        api.gateway.session(&principal, &body::path(path)?).await?,
    ))
}

/// A session's events.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Events {
    events: Vec<Event>,
}

/// A session's events, as they are on record.
pub(super) async fn events<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
    path: Result<Path<SessionId>, PathRejection>,
) -> Result<Json<Events>, Problem> {
    let (_, events) = api
        .gateway
        .session_events(&principal, &body::path(path)?)
        .await?;
    Ok(Json(Events { events }))
}

/// A session as a file that anyone can verify offline.
pub(super) async fn export<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
    path: Result<Path<SessionId>, PathRejection>,
) -> Result<Response, Problem> {
    let id = body::path(path)?;
    let lines = api.gateway.export(&principal, &id).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{id}.jsonl\""),
        ),
    ];
    Ok((headers, HttpBody::from(lines)).into_response())
}
