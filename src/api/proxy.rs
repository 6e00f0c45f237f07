//! `ANY /v1/connections/{name}/http/{*path}`: a connection's API, as its own clients call it.
//!
//! What goes through is answered by the API itself, masked, while it comes: its end leaves only after its outcome is on
//! record, and an answer that is not whole is cut, not ended. What does not go through is refused in the words of the API,
//! so that its clients show them.

use std::pin::Pin;

use axum::{
    body::{self as bodies, Body as HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use super::{
    ApiState, Caller, Problem,
    query::respond,
    refusal::{Refusal, Speaks},
};
use crate::{
    domain::{
        connection::ConnectionName,
        id::RequestId,
        operation::{BadOperation, HttpOperation, MAX_HTTP_BODY, Operation},
        principal::Principal,
        session::RequestStatus,
    },
    door::{asked, the_header},
    gateway::{
        AnswerBody, Ask, GateError, Head, Outcome, Ports, Response as Coming, ResultBody, answer,
    },
};

/// What is asked, and what becomes of it.
type Work = Pin<Box<dyn Future<Output = Result<Outcome, GateError>> + Send>>;

/// Why a caller asks, in a header field: bodies are the API's own.
const REASON: &str = "Portcullis-Reason";

/// One call to an API.
pub(super) async fn proxy<P: Ports>(
    State(api): ApiState<P>,
    Caller(principal): Caller,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let (connection, target) = match place(&parts.uri) {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    let policy = api.gateway.policy();
    let speaks = Speaks::of(&policy, &connection, &target, &parts.headers);
    let ask = match ask(principal, &connection, &target, &parts, body).await {
        Ok(ask) => ask,
        Err(Unasked::Bad(bad)) => return speaks.refuse(&GateError::BadOperation(bad).into()),
        Err(Unasked::Problem(problem)) => return problem.into_response(),
    };
    let path = format!("{}/v1/connections/{connection}/http", api.address);
    // Whoever can wait for an outcome gets one, as from every other door.
    if waits(&parts.headers) {
        return match api.gateway.submit(ask).await {
            Ok(outcome) => respond(outcome),
            Err(error) => Problem::from(error).into_response(),
        };
    }
    let api_at = Some(path.clone()).filter(|_| !api.address.is_empty());
    let (responder, mut coming) = answer(api_at);
    let ask = Ask {
        responder: Some(responder),
        ..ask
    };
    let gateway = api.gateway.clone();
    let mut work: Work = Box::pin(async move { gateway.submit(ask).await });
    let ended = tokio::select! {
        biased;
        head = coming.head() => match head {
            Some(head) if has_body(&parts.method, head.status) => {
                return streamed(head, &path, coming, work);
            }
            // Without a body its head is its end.
            Some(head) => match work.await {
                Ok(outcome) if is_whole(&outcome) => return of_head(head, &path),
                ended => ended,
            },
            None => work.await,
        },
        ended = &mut work => ended,
    };
    match ended {
        Ok(outcome) => speaks.outcome(outcome, &path),
        Err(error @ GateError::UnknownConnection(_)) => Problem::from(error).into_response(),
        Err(error) => speaks.refuse(&error.into()),
    }
}

/// Why nothing is asked.
enum Unasked {
    /// It is no call that could be judged.
    Bad(BadOperation),
    /// It is addressed to the gateway in a way the gateway does not know.
    Problem(Problem),
}

impl From<Problem> for Unasked {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<BadOperation> for Unasked {
    fn from(bad: BadOperation) -> Self {
        Self::Bad(bad)
    }
}

async fn ask(
    principal: Principal,
    connection: &ConnectionName,
    target: &str,
    parts: &Parts,
    body: HttpBody,
) -> Result<Ask, Unasked> {
    let mut headers = Vec::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        let value = value.to_str().map_err(|_| {
            BadOperation::NoOneForm("a header field has characters other than visible ASCII")
        })?;
        headers.push((name.as_str(), value));
    }
    let body = bodies::to_bytes(body, MAX_HTTP_BODY)
        .await
        .map_err(|_| BadOperation::BodyTooLong)?;
    let call = HttpOperation::new(parts.method.as_str(), target, &headers, body)?;
    let reason = the_header(&parts.headers, REASON)?.map(str::to_owned);
    let operation = Operation::Http(call);
    let mut ask = asked(
        principal,
        connection.clone(),
        operation,
        reason,
        &parts.headers,
    )?;
    if !waits(&parts.headers) {
        // It is the API's own here.
        ask.idempotency_key = None;
    }
    Ok(ask)
}

/// The connection, and path and query below its url, as they were sent.
fn place(uri: &Uri) -> Result<(ConnectionName, String), Problem> {
    if uri.scheme().is_some() || uri.authority().is_some() {
        let detail =
            "The request line names a host; send the path alone: this is no forward proxy.";
        return Err(Problem::bad_request(detail));
    }
    let nothing = || Problem::not_found(super::NOTHING_HERE);
    let rest = uri
        .path()
        .strip_prefix("/v1/connections/")
        .ok_or_else(nothing)?;
    let (name, rest) = rest.split_once('/').ok_or_else(nothing)?;
    let path = rest.strip_prefix("http").ok_or_else(nothing)?;
    let connection = super::query::parse_name(name)?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let query = uri
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    Ok((connection, format!("{slash}{path}{query}")))
}

/// Whether the caller can come back for an outcome.
fn waits(headers: &HeaderMap) -> bool {
    let preferred = headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok());
    preferred
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case("respond-async"))
}

fn has_body(method: &Method, status: u16) -> bool {
    method != Method::HEAD && !matches!(status, 204 | 205 | 304)
}

/// Whether all of the answer has been handed over.
fn is_whole(outcome: &Outcome) -> bool {
    let cut = match &outcome.result {
        Some(ResultBody::Answer(answer)) => answer.truncated || answer.record.withheld,
        _ => true,
    };
    outcome.status == RequestStatus::Succeeded && !cut
}

fn begun(
    status: u16,
    headers: impl IntoIterator<Item = (String, String)>,
    request: &RequestId,
    path: &str,
) -> Response {
    let mut response = Response::new(HttpBody::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in headers {
        // The places it names are below the connection's url.
        let is_place = value.starts_with('/')
            && matches!(
                name.as_str(),
                "location" | "content-location" | "azure-asyncoperation" | "operation-location"
            );
        let value = if is_place {
            format!("{path}{value}")
        } else {
            value
        };
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            response.headers_mut().append(name, value);
        }
    }
    name_request(&mut response, request);
    response
}

/// Says which request on record it is.
fn name_request(response: &mut Response, request: &RequestId) {
    let named = [
        ("portcullis-request", request.to_string()),
        ("portcullis-session", request.session().to_string()),
    ];
    for (name, value) in named {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
}

fn of_head(head: Head, path: &str) -> Response {
    let headers = head.headers.into_iter();
    let headers = headers.map(|(name, value)| (name, value.into_inner()));
    begun(head.status, headers, &head.request, path)
}

/// An answer that is not whole: the connection is cut, since its end would say that it is.
#[derive(Debug, thiserror::Error)]
#[error("the answer breaks off")]
struct Cut;

/// The answer while it comes. Dropped, it tells the pipeline that its caller has left.
fn streamed(head: Head, path: &str, coming: Coming, work: Work) -> Response {
    let mut response = of_head(head, path);
    let pieces = stream::unfold((coming, Some(work)), |(mut coming, work)| async move {
        let work = work?;
        if let Some(bytes) = coming.bytes().await {
            return Some((Ok(bytes), (coming, Some(work))));
        }
        match work.await {
            Ok(outcome) if is_whole(&outcome) => None,
            _ => Some((Err(Cut), (coming, None))),
        }
    });
    *response.body_mut() = HttpBody::from_stream(pieces);
    response
}

impl Speaks {
    /// What became of a call of which nothing was handed over while it came.
    fn outcome(&self, outcome: Outcome, path: &str) -> Response {
        let request = outcome.request_id.clone();
        let mut response = match outcome.result {
            Some(ResultBody::Answer(AnswerBody {
                record,
                kept: Some(kept),
                truncated: false,
            })) if !record.withheld => {
                let mut response = {
                    let headers = kept.headers.iter();
                    let headers = headers.map(|field| (field.name.clone(), field.value.clone()));
                    begun(record.status, headers, &request, path)
                };
                *response.body_mut() = HttpBody::from(kept.into_bytes());
                response
            }
            _ => self.refuse(&Refusal::of(&outcome)),
        };
        name_request(&mut response, &request);
        response
    }
}
