//! What the Functions host posts when a queue has a message or the clock strikes: `POST /FUNCTION` with a body of its own,
//! answered as it expects. It takes an empty answer for none and waits until its own time is up, and a status other than
//! 2xx for a failure: then it delivers the message again, at once.
//!
//! INVARIANT: nobody outside reaches these. The host forwards a caller's request with the path it came with, and no HTTP
//! function's route has one of these paths (`functions/*/function.json`). What the host forwards carries marks of that, which
//! a caller can add and cannot take away, and is told here that there is nothing. Were all of that to fail: a decision
//! without the question's proof is none, and a sweep does what time has made due anyway.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::Instrument;

use super::{Api, ApiState, NOTHING_HERE};
use crate::{
    domain::trace,
    door::{MAX_BODY, Problem, traced},
    gateway::Ports,
};

/// The functions the host calls: each a folder of `functions/` whose binding is no `httpTrigger`.
pub const TRIGGERS: [&str; 2] = ["approval_decided", "sweep"];

/// Their routes, for a process that the Functions host runs.
pub fn triggers<P: Ports>(api: Arc<Api<P>>) -> Router {
    let [decided, sweep] = TRIGGERS.map(|function| format!("/{function}"));
    Router::new()
        .route(&decided, post(approval_decided::<P>))
        .route(&sweep, post(self::sweep::<P>))
        .route_layer(middleware::from_fn(only_the_host))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(traced))
        .with_state(api)
}

async fn only_the_host(request: Request, next: Next) -> Response {
    if is_the_host(request.headers()) {
        next.run(request).await
    } else {
        tracing::warn!("somebody outside called a trigger");
        Problem::not_found(NOTHING_HERE).into_response()
    }
}

/// Whether the host made this request itself, rather than passing on somebody's.
fn is_the_host(headers: &HeaderMap) -> bool {
    let forwarded = headers.keys().any(|name| {
        let name = name.as_str();
        // The first is how the host finds the invocation behind what it forwards; the others are from its proxies.
        ["x-ms-invocation-id", "forwarded", "x-original-url"].contains(&name)
            || name.starts_with("x-forwarded-")
    });
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.is_some_and(|agent| agent.as_bytes().starts_with(b"Azure-Functions-Host/"));
    agent && headers.contains_key("x-azure-functions-invocationid") && !forwarded
}

/// What the host posts. By its `Metadata` nothing is allowed: in some configurations a sender can write into it.
#[derive(Deserialize)]
struct Invocation {
    #[serde(rename = "Data")]
    data: Data,
    #[serde(rename = "Metadata", default)]
    metadata: Value,
}

impl Invocation {
    /// Whose trace the message says it is part of: a matter of telemetry, and of nothing else.
    fn traceparent(&self) -> Option<&str> {
        let said = &self.metadata["ApplicationProperties"]["traceparent"];
        // The host puts quotes around texts, or does not.
        trace::traceparent(said.as_str()?.trim_matches('"'))
    }

    /// When Service Bus had the message, by its clock. Whoever could write it could make their own answer late.
    fn enqueued(&self) -> Option<Timestamp> {
        ["EnqueuedTime", "EnqueuedTimeUtc"].iter().find_map(|name| {
            let said = self.metadata[name].as_str()?.trim_matches('"');
            // The second is without a zone in some versions.
            said.parse().or_else(|_| format!("{said}Z").parse()).ok()
        })
    }
}

#[derive(Deserialize)]
struct Data {
    /// `dataType` is `binary`: base64.
    decision: String,
}

/// An approver's answer.
async fn approval_decided<P: Ports>(
    State(api): ApiState<P>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let invocation = serde_json::from_slice::<Invocation>(&body).ok();
    let traceparent = invocation.as_ref().and_then(Invocation::traceparent);
    let span = tracing::info_span!("answer", traceparent);
    let enqueued = invocation.as_ref().and_then(Invocation::enqueued);
    let message = invocation.and_then(|posted| BASE64.decode(posted.data.decision).ok());
    // What is no binary message is as good as an empty one: no answer.
    let message = message.unwrap_or_default();
    let done = api.take_decision(&message, enqueued).instrument(span).await;
    done.map(answered).map_err(|_| {
        Problem::later("The answer cannot be taken now; it is taken when it is delivered again.")
    })
}

/// What time has made due.
async fn sweep<P: Ports>(State(api): ApiState<P>) -> Result<Json<Value>, Problem> {
    let done = api.gateway.reconcile().await?;
    Ok(answered(&format!("{done} requests moved on")))
}

/// All that the host wants to hear.
fn answered(word: &str) -> Json<Value> {
    Json(json!({"Outputs": {}, "Logs": [word], "ReturnValue": null}))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_trace_is_read_from_a_message_however_the_host_writes_it_and_nothing_else_is() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let of = |metadata: Value| {
            let posted = json!({"Data": {"decision": "e30="}, "Metadata": metadata});
            let posted: Invocation = serde_json::from_value(posted).unwrap();
            posted.traceparent().map(str::to_owned)
        };
        for text in [trace.to_owned(), format!("\"{trace}\"")] {
            let said = of(json!({"ApplicationProperties": {"traceparent": text}}));
            assert_eq!(said.as_deref(), Some(trace));
        }
        for other in [
            json!(null),
            json!({"ApplicationProperties": {}}),
            json!({"ApplicationProperties": {"traceparent": "hunter2"}}),
            json!({"traceparent": trace}),
        ] {
            assert_eq!(of(other), None);
        }
        let alone = json!({"Data": {"decision": "e30="}});
        assert!(serde_json::from_value::<Invocation>(alone).is_ok());
    }

    #[test]
    fn when_the_broker_had_a_message_is_read_with_and_without_a_zone() {
        let of = |metadata: Value| {
            let posted = json!({"Data": {"decision": "e30="}, "Metadata": metadata});
            let posted: Invocation = serde_json::from_value(posted).unwrap();
            posted.enqueued().map(|at| at.to_string())
        };
        let at = Some("2023-10-12T20:13:49.64Z".to_owned());
        for said in [
            json!({"EnqueuedTimeUtc": "2023-10-12T20:13:49.640"}),
            json!({"EnqueuedTimeUtc": "2023-10-12T20:13:49.64Z"}),
            json!({"EnqueuedTimeUtc": "nonsense", "EnqueuedTime": "2023-10-12T22:13:49.64+02:00"}),
            json!({"EnqueuedTime": "\"2023-10-12T20:13:49.640+00:00\""}),
        ] {
            assert_eq!(of(said), at);
        }
        for other in [
            json!(null),
            json!({"EnqueuedTimeUtc": 7}),
            json!({"EnqueuedTime": ""}),
        ] {
            assert_eq!(of(other), None);
        }
    }

    #[test]
    fn only_what_the_host_itself_posts_is_a_trigger() {
        let own = [
            ("user-agent", "Azure-Functions-Host/4.1041.200"),
            ("x-azure-functions-invocationid", "1"),
        ];
        let is = |headers: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            };
            is_the_host(&headers.iter().map(pair).collect())
        };
        assert!(is(&own));
        assert!(!is(&own[..1]) && !is(&own[1..]) && !is(&[]));
        for name in ["x-ms-invocation-id", "x-forwarded-for", "forwarded"] {
            assert!(!is(&[own[0], own[1], (name, "")]), "{name}");
        }
    }
}
