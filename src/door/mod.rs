//! What all doors do in the same way: who asks, in which session, for what, and how it is said that something is wrong.
//! A door adds its protocol, and nothing that another could do without.

mod problem;
mod requests;
mod traced;

use axum::http::{HeaderMap, HeaderName, header};

use crate::{
    auth::{AuthError, Authenticator},
    domain::{
        connection::ConnectionName,
        id::{BadId, SessionId},
        operation::Operation,
        principal::Principal,
    },
    gateway::Ask,
};

pub use problem::Problem;
pub(crate) use requests::{Connections, command, http, sql};
pub(crate) use traced::{from_caller, traced, traceparent};

/// Names a session, in both directions.
pub(crate) static SESSION: HeaderName = HeaderName::from_static("portcullis-session");

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const LONGEST_KEY: usize = 200;

/// The largest request body: a statement of a megabyte, its parameters and their JSON.
pub const MAX_BODY: usize = 4 << 20;

/// Whoever sent these headers, proven by their bearer token.
pub(crate) async fn caller(
    auth: &Authenticator,
    headers: &HeaderMap,
) -> Result<Principal, AuthError> {
    let header = match the_header(headers, header::AUTHORIZATION.as_str()) {
        Ok(header) => header,
        // Not even ASCII, or two of them and no telling whose call this is: no token looks like that.
        Err(_) => Some(""),
    };
    auth.verify(header).await
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

/// What is asked, with all that header fields say about it.
pub(crate) fn asked(
    principal: Principal,
    connection: ConnectionName,
    operation: Operation,
    reason: Option<String>,
    headers: &HeaderMap,
) -> Result<Ask, Problem> {
    let idempotency_key = the_header(headers, IDEMPOTENCY_KEY)?;
    if idempotency_key.is_some_and(|key| key.is_empty() || key.len() > LONGEST_KEY) {
        let detail = format!("`{IDEMPOTENCY_KEY}` must have 1 to {LONGEST_KEY} characters.");
        return Err(Problem::unprocessable(detail));
    }
    Ok(Ask {
        principal,
        connection,
        operation,
        reason,
        session: session_of(headers)?,
        idempotency_key: idempotency_key.map(str::to_owned),
        traceparent: traceparent(headers),
        responder: None,
    })
}

/// The session that the headers name.
pub(crate) fn session_of(headers: &HeaderMap) -> Result<Option<SessionId>, Problem> {
    let Some(text) = the_header(headers, "Portcullis-Session")? else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|bad: BadId| Problem::unprocessable(format!("In `Portcullis-Session`: {bad}.")))
}
