//! How MCP is spoken: each request for itself, answered as JSON, and only with those who mean to speak with this host.

use std::sync::Arc;

use rmcp::{
    ServerHandler,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};

use super::Site;
use crate::door::MAX_BODY;

/// MCP over streamable HTTP, without sessions.
pub type Transport<H> = StreamableHttpService<H, NeverSessionManager>;

/// Serves `handler` at `site`. A request for another host, or from a page of another origin, gets 403.
pub fn service<H: ServerHandler + Clone>(handler: H, site: &Site) -> Transport<H> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_hosts(site.hosts())
        .with_allowed_origins(site.origins())
        .enforce_origin_validation()
        .with_max_request_body_bytes(MAX_BODY);
    StreamableHttpService::new(move || Ok(handler.clone()), Arc::default(), config)
}
