//! The HTTP door: routes, bodies, problem+json. It parses once, calls the gateway, and renders what comes back.
//!
//! `endpoints` is the one table from which both the router and `/openapi.json` are made, so neither can say something
//! the other does not.

mod body;
mod decisions;
mod endpoints;
mod openapi;
mod problem;
mod query;
mod record;
mod traced;
mod triggers;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequestParts, State},
    http::{HeaderMap, header, request::Parts},
    middleware,
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};

use crate::{
    auth::Authenticator,
    domain::principal::Principal,
    gateway::{Gateway, Ports},
};

pub use openapi::document;
pub use problem::Problem;
pub use triggers::{TRIGGERS, triggers};

/// The largest request body: a statement of a megabyte, its parameters and their JSON.
pub const MAX_BODY: usize = 4 << 20;

/// What the HTTP door needs.
pub struct Api<P: Ports> {
    /// The pipeline.
    pub gateway: Arc<Gateway<P>>,
    /// Who asks.
    pub auth: Arc<Authenticator>,
    /// What `dev` adds: its token issuer's public documents, by path.
    pub documents: Vec<(String, Value)>,
}

impl<P: Ports> std::fmt::Debug for Api<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api(..)")
    }
}

/// What is said of a path that leads nowhere.
const NOTHING_HERE: &str = "There is nothing at this path; /openapi.json lists what there is.";

/// The router for everything under the public base URL.
pub fn router<P: Ports>(api: Arc<Api<P>>) -> Router {
    let endpoints = endpoints::all::<P>();
    let openapi = document(&endpoints);
    let mut router = Router::new();
    for endpoint in endpoints {
        router = router.route(endpoint.path, endpoint.handler);
    }
    for (path, document) in &api.documents {
        let document = document.clone();
        router = router.route(
            path,
            get(move || std::future::ready(Json(document.clone()))),
        );
    }
    router
        .route(
            "/openapi.json",
            get(move || std::future::ready(Json(openapi.clone()))),
        )
        .route(
            "/healthz",
            get(|| std::future::ready(Json(json!({"status": "ok"})))),
        )
        .route(
            "/",
            get(|| std::future::ready(Json(json!({"name": "portcullis"})))),
        )
        .fallback(|| std::future::ready(Problem::not_found(NOTHING_HERE)))
        .method_not_allowed_fallback(|| std::future::ready(Problem::method_not_allowed()))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(traced::traced))
        .with_state(api)
}

/// What answers while the rest is still being put together.
pub fn starting() -> Router {
    Router::new()
        .route(
            "/healthz",
            get(|| std::future::ready(Json(json!({"status": "starting"})))),
        )
        .route(
            "/",
            get(|| std::future::ready(Json(json!({"name": "portcullis"})))),
        )
        .fallback(|| std::future::ready(Problem::starting()))
}

/// Whoever sent the request, proven by its bearer token.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) Principal);

impl<P: Ports> FromRequestParts<Arc<Api<P>>> for Caller {
    type Rejection = axum::response::Response;

    async fn from_request_parts(
        parts: &mut Parts,
        api: &Arc<Api<P>>,
    ) -> Result<Self, Self::Rejection> {
        let header = match the_header(&parts.headers, header::AUTHORIZATION.as_str()) {
            Ok(header) => header,
            // Not even ASCII, or two of them and no telling whose call this is: no token looks like that.
            Err(_) => Some(""),
        };
        match api.auth.verify(header).await {
            Ok(principal) => Ok(Self(principal)),
            Err(error) => Err(Problem::from(error).into_response()),
        }
    }
}

/// The one header of this name, as text. What is there twice or is no text is a problem, never ignored: each of them
/// makes a call safe to repeat, or says whose it is.
pub(crate) fn the_header<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Result<Option<&'a str>, Problem> {
    let mut found = headers.get_all(name).iter();
    let Some(value) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        let detail = format!("`{name}` is there more than once; send it once.");
        return Err(Problem::unprocessable(detail));
    }
    value.to_str().map(Some).map_err(|_| {
        Problem::unprocessable(format!("`{name}` has characters other than visible ASCII."))
    })
}

/// State of every handler.
pub(crate) type ApiState<P> = State<Arc<Api<P>>>;
