//! The MCP door: `POST /mcp`, stateless streamable HTTP, for protocol 2026-07-28 and clients of the three versions before.
//!
//! It turns tool calls into what every door submits and outcomes into tool results, and knows nothing of what either
//! means. There is no MCP session and nothing is kept between calls: a task is a request on record, which any process that
//! shares the record can tell about.
//!
//! | file | owns |
//! |---|---|
//! | [`transport`] | which hosts and origins are spoken with, and how |
//! | `resource` | where a client gets a token: RFC 9728, and the challenge that leads there |
//! | `server` | what a method of the protocol does |
//! | `tools` | the tools: what they are for, what they take and give, what they are said to do |
//! | `results` | an outcome as an agent gets it, with what to do next |
//! | `tasks` | a request on record, as a task |

mod resource;
mod results;
mod server;
mod tasks;
mod tools;
pub mod transport;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    auth::Authenticator,
    domain::principal::Principal,
    door::{self, MAX_BODY, Problem},
    gateway::{Gateway, Ports},
};

pub use resource::{BadSite, Site};
use server::Server;

/// The path of the door.
pub const PATH: &str = "/mcp";

/// What the MCP door needs.
pub struct Mcp<P: Ports> {
    /// The pipeline.
    pub gateway: Arc<Gateway<P>>,
    /// Who asks.
    pub auth: Arc<Authenticator>,
    /// Where it is found from outside.
    pub site: Site,
}

impl<P: Ports> std::fmt::Debug for Mcp<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mcp({:?})", self.site)
    }
}

/// The routes of the door.
pub fn router<P: Ports>(mcp: Mcp<P>) -> Router {
    let server = Server::new(Arc::clone(&mcp.gateway));
    let transport = transport::service(server, &mcp.site);
    let mcp = Arc::new(mcp);
    let guarded = middleware::from_fn_with_state(Arc::clone(&mcp), admit::<P>);
    let mut router = Router::new()
        .route_service(PATH, transport)
        .route_layer(guarded);
    for path in resource::DOCUMENTS {
        let mcp = Arc::clone(&mcp);
        let document = move || {
            let document = mcp.site.document(&mcp.auth.issuers());
            std::future::ready(Json(document))
        };
        router = router.route(path, get(document));
    }
    router.layer(middleware::from_fn(door::traced))
}

/// What came with a call, as it came: the protocol's own reading of the body rounds numbers and drops what is there twice.
#[derive(Clone)]
struct Sent {
    principal: Principal,
    body: Bytes,
    span: tracing::Span,
}

/// Lets in whoever has a token, and keeps what they sent for the tools.
async fn admit<P: Ports>(State(mcp): State<Arc<Mcp<P>>>, request: Request, next: Next) -> Response {
    let principal = match door::caller(&mcp.auth, request.headers()).await {
        Ok(principal) => principal,
        Err(error) => return mcp.site.challenge(Problem::from(error).into_response()),
    };
    let (mut head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return Problem::too_large(MAX_BODY).into_response();
    };
    head.extensions.insert(Sent {
        principal,
        body: body.clone(),
        span: tracing::Span::current(),
    });
    next.run(Request::from_parts(head, Body::from(body))).await
}

impl Sent {
    /// The arguments of the tool call that this is, in their own words.
    fn arguments(&self) -> Result<&str, Problem> {
        #[derive(Deserialize)]
        struct Call<'a> {
            #[serde(borrow)]
            params: Params<'a>,
        }
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow)]
            arguments: Option<&'a RawValue>,
        }
        let call: Call<'_> = serde_json::from_slice(&self.body)
            .map_err(|error| Problem::bad_request(format!("The call cannot be read: {error}.")))?;
        Ok(call.params.arguments.map_or("{}", RawValue::get))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::{
        auth::dev::{DevIssuer, LoopbackOnly},
        domain::principal::PrincipalKind,
    };

    fn sent(body: &str) -> Sent {
        let data = tempfile::tempdir().unwrap();
        let at = LoopbackOnly::prove("127.0.0.1:7777".parse().unwrap()).unwrap();
        let issuer = DevIssuer::open(data.path(), at).unwrap();
        let auth = Authenticator::new(Vec::new()).unwrap();
        let auth = auth.with_local_keys(&issuer).unwrap();
        let minute = Duration::from_secs(60);
        let token = issuer
            .mint("bot", [], PrincipalKind::Agent, minute)
            .unwrap();
        let bearer = format!("Bearer {token}");
        let principal = auth.verify(Some(&bearer)).now_or_never().unwrap().unwrap();
        Sent {
            principal,
            body: Bytes::copy_from_slice(body.as_bytes()),
            span: tracing::Span::none(),
        }
    }

    #[test]
    fn arguments_are_taken_as_they_were_written_and_only_where_there_is_one_of_them() {
        let once =
            sent(r#"{"id":1,"params":{"name":"query","arguments":{"params":[1e400, 0.10]}}}"#);
        assert_eq!(once.arguments().unwrap(), r#"{"params":[1e400, 0.10]}"#);
        let none = sent(r#"{"params":{"name":"list_connections"}}"#);
        assert_eq!(none.arguments().unwrap(), "{}");
        let twice = sent(r#"{"params":{"name":"query","arguments":{"a":1},"arguments":{"a":2}}}"#);
        assert!(twice.arguments().is_err());
    }
}
