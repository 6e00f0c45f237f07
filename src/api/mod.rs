//! The HTTP door: routes, bodies, problem+json. It parses once, calls the gateway, and renders what comes back.
//!
//! `endpoints` is the one table from which both the router and `/openapi.json` are made, so neither can say something
//! the other does not.

mod body;
mod decisions;
mod endpoints;
mod openapi;
mod proxy;
mod query;
mod record;
mod refusal;
mod triggers;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequestParts, State},
    http::request::Parts,
    middleware,
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};

use crate::{
    auth::Authenticator,
    domain::principal::Principal,
    door::{self, MAX_BODY, Problem},
    gateway::{Gateway, Ports},
};

pub use openapi::document;
pub use triggers::{TRIGGERS, triggers};

/// What the HTTP door needs.
pub struct Api<P: Ports> {
    /// The pipeline.
    pub gateway: Arc<Gateway<P>>,
    /// Who asks.
    pub auth: Arc<Authenticator>,
    /// The gateway's address from outside, without a slash at its end; empty: paths alone say where things are.
    pub address: String,
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
        .layer(middleware::from_fn(door::traced))
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
        match door::caller(&api.auth, &parts.headers).await {
            Ok(principal) => Ok(Self(principal)),
            Err(error) => Err(Problem::from(error).into_response()),
        }
    }
}

/// State of every handler.
pub(crate) type ApiState<P> = State<Arc<Api<P>>>;
