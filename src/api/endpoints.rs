//! The one table of what the HTTP door offers.

use std::sync::Arc;

use axum::routing::{MethodRouter, any, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{Api, proxy, query, record};
use crate::{
    door::Connections,
    gateway::{ApprovalView, ExactPreview, Found, Outcome, Ports, SessionView},
};

/// Makes the schema of one type.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Every method.
pub(super) const ANY: &str = "any";

/// One endpoint: how it is reached, what it does, and what handles it.
pub struct Endpoint<P: Ports> {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Type of the query parameters.
    pub(super) parameters: Option<SchemaOf>,
    /// Type of the JSON body.
    pub(super) body: Option<SchemaOf>,
    /// Statuses it answers with beside problems, and the type of their body.
    pub(super) answers: &'static [(u16, &'static str)],
    pub(super) answer: SchemaOf,
    /// The media type of its answer.
    pub(super) media_type: &'static str,
    pub(super) handler: MethodRouter<Arc<Api<P>>>,
}

impl<P: Ports> std::fmt::Debug for Endpoint<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const OUTCOME: &[(u16, &str)] = &[
    (
        200,
        "It ran (`succeeded`), or the target said no (`failed`).",
    ),
    (
        202,
        "Held for approval, or still running; `Location` says where to ask again.",
    ),
    (
        403,
        "Denied by policy, denied by an approver, or no approver answered in time.",
    ),
    (409, "It was interrupted; whether it happened is unknown."),
];
const OK: &[(u16, &str)] = &[(200, "As asked.")];

/// A connection's HTTP API, by every method.
fn proxied<P: Ports>(path: &'static str) -> Endpoint<P> {
    Endpoint {
        method: ANY,
        path,
        summary: "Call the connection's HTTP API: what it answers is passed on, masked, while it comes; what is not passed on \
                  is refused in the API's own words. With `Prefer: respond-async` the answer is an outcome",
        parameters: None,
        body: None,
        answers: OUTCOME,
        answer: schema::<Outcome>,
        media_type: "application/json",
        handler: any(proxy::proxy::<P>),
    }
}

/// All of them.
pub(super) fn all<P: Ports>() -> Vec<Endpoint<P>> {
    vec![
        Endpoint {
            method: "post",
            path: "/v1/connections/{name}/query",
            summary: "Run one SQL statement",
            parameters: None,
            body: Some(schema::<query::SqlRequest>),
            answers: OUTCOME,
            answer: schema::<Outcome>,
            media_type: "application/json",
            handler: post(query::query::<P>),
        },
        Endpoint {
            method: "post",
            path: "/v1/connections/{name}/exec",
            summary: "Run one command, without a shell",
            parameters: None,
            body: Some(schema::<query::CommandRequest>),
            answers: OUTCOME,
            answer: schema::<Outcome>,
            media_type: "application/json",
            handler: post(query::exec::<P>),
        },
        proxied("/v1/connections/{name}/http"),
        proxied("/v1/connections/{name}/http/"),
        proxied("/v1/connections/{name}/http/{*path}"),
        Endpoint {
            method: "get",
            path: "/v1/requests/{id}",
            summary: "A request's state, and its masked result once there is one",
            parameters: Some(schema::<query::Wait>),
            body: None,
            answers: OUTCOME,
            answer: schema::<Outcome>,
            media_type: "application/json",
            handler: get(query::request::<P>),
        },
        Endpoint {
            method: "get",
            path: "/v1/connections",
            summary: "The connections the caller may use",
            parameters: None,
            body: None,
            answers: OK,
            answer: schema::<Connections>,
            media_type: "application/json",
            handler: get(query::connections::<P>),
        },
        Endpoint {
            method: "get",
            path: "/v1/approvals",
            summary: "What the caller is asked to decide, or has asked others",
            parameters: Some(schema::<record::ApprovalFilter>),
            body: None,
            answers: OK,
            answer: schema::<record::Approvals>,
            media_type: "application/json",
            handler: get(record::approvals::<P>),
        },
        Endpoint {
            method: "get",
            path: "/v1/approvals/{id}",
            summary: "One approval: what is asked, by whom, why, and what it would touch",
            parameters: None,
            body: None,
            answers: OK,
            answer: schema::<ApprovalView>,
            media_type: "application/json",
            handler: get(record::approval::<P>),
        },
        Endpoint {
            method: "post",
            path: "/v1/approvals/{id}/decision",
            summary: "Approve or deny exactly what an approval shows",
            parameters: None,
            body: Some(schema::<record::DecisionRequest>),
            answers: OK,
            answer: schema::<ApprovalView>,
            media_type: "application/json",
            handler: post(record::decide::<P>),
        },
        Endpoint {
            method: "post",
            path: "/v1/approvals/{id}/preview",
            summary: "Run what an approval is about, to be rolled back, and see exactly what it would change: for people who \
                      may decide, a few times, and only for what a rollback undoes wholly",
            parameters: None,
            body: None,
            answers: OK,
            answer: schema::<ExactPreview>,
            media_type: "application/json",
            handler: post(record::preview::<P>),
        },
        Endpoint {
            method: "get",
            path: "/v1/sessions",
            summary: "Search the record",
            parameters: Some(schema::<record::SessionFilter>),
            body: None,
            answers: OK,
            answer: schema::<Found>,
            media_type: "application/json",
            handler: get(record::sessions::<P>),
        },
        Endpoint {
            method: "get",
            path: "/v1/sessions/{id}",
            summary: "One session and its requests",
            parameters: None,
            body: None,
            answers: OK,
            answer: schema::<SessionView>,
            media_type: "application/json",
            handler: get(record::session::<P>),
        },
        Endpoint {
            method: "get",
            path: "/v1/sessions/{id}/events",
            summary: "A session's events as they are on record",
            parameters: None,
            body: None,
            answers: OK,
            answer: schema::<record::Events>,
            media_type: "application/json",
            handler: get(record::events::<P>),
        },
        Endpoint {
            method: "get",
            path: "/v1/sessions/{id}/export",
            summary: "A session as JSON Lines that `portcullis verify` checks offline",
            parameters: None,
            body: None,
            answers: OK,
            answer: schema::<String>,
            media_type: "application/jsonl",
            handler: get(record::export::<P>),
        },
    ]
}
