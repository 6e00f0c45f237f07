//! A span for each call at the door, as part of its caller's trace.
//!
//! INVARIANT: nothing a caller wrote is in it, but for a well-formed `traceparent`: of the path the route alone, and of the
//! method one of those that HTTP knows.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, Method},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, field};

use crate::{domain::trace, telemetry};

/// Puts what follows into a span.
pub(crate) async fn traced(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let route = path.map_or("unknown", MatchedPath::as_str);
    // The Functions host asks this again and again to see whether there is anybody.
    if matches!(route, "/" | "/healthz") {
        return next.run(request).await;
    }
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    };
    // For collectors: what follows is logged with its session and request, which say more than the path.
    let span = tracing::debug_span!(
        "call",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
        traceparent = from_caller(request.headers()),
    );
    async move {
        let response = next.run(request).await;
        let status = response.status();
        let span = tracing::Span::current();
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        response
    }
    .instrument(span)
    .await
}

/// The trace that a request is part of: its caller's, or one that begins here.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let from_caller = from_caller(headers).map(str::to_owned);
    from_caller.or_else(telemetry::traceparent)
}

/// The trace that its caller says in the header.
pub(crate) fn from_caller(headers: &HeaderMap) -> Option<&str> {
    trace::traceparent(headers.get("traceparent")?.to_str().ok()?)
}
