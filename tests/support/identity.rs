//! A stand-in for the identity endpoint of Azure App Service.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use serde_json::{Value, json};

/// Which of the app's identities asks.
pub(crate) const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
const HEADER: &str = "only this app knows it";

/// What the identity endpoint gives, and what it was asked.
#[derive(Default)]
pub(crate) struct Identity {
    pub(crate) token: String,
    /// How long a token is good for, in seconds.
    pub(crate) lives: u64,
    pub(crate) down: bool,
    pub(crate) asked: Vec<HashMap<String, String>>,
}

pub(crate) type Shared = Arc<Mutex<Identity>>;

async fn give(
    State(identity): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, StatusCode> {
    let mut identity = identity.lock().unwrap();
    if headers["x-identity-header"] != HEADER {
        return Err(StatusCode::UNAUTHORIZED);
    }
    if identity.down {
        return Err(StatusCode::BAD_REQUEST);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let expires = now.as_secs() + identity.lives;
    identity.asked.push(query.clone());
    Ok(Json(json!({
        "access_token": identity.token,
        "expires_on": expires.to_string(),
        "resource": query["resource"],
        "token_type": "Bearer",
    })))
}

/// Its address.
pub(crate) async fn serve(identity: &Shared) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/msi/token", listener.local_addr().unwrap());
    let routes = Router::new()
        .route("/msi/token", get(give))
        .with_state(identity.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    endpoint
}

/// What tells an app of it.
pub(crate) fn environment(endpoint: &str) -> [(&'static str, &str); 3] {
    [
        ("IDENTITY_ENDPOINT", endpoint),
        ("IDENTITY_HEADER", HEADER),
        ("AZURE_CLIENT_ID", CLIENT),
    ]
}
