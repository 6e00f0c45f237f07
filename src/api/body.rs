//! Bodies and parameters become types here, or a problem that says where they do not.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, Path, Query, Request,
        rejection::{PathRejection, QueryRejection},
    },
    http::header,
};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::door::{MAX_BODY, Problem};

/// A JSON body of exactly the shape asked for.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(header::CONTENT_TYPE);
        let media_type = media_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::not_json());
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| Problem::too_large(MAX_BODY))?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::bad_request(format!(
            "The body is not UTF-8 from byte {} on.",
            error.valid_up_to()
        ))
    })?;
    // Skips over everything without recursing: what fails here is no JSON at all.
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| Problem::bad_request(format!("The body is not JSON: {error}.")))?;
    // serde would take an array for a struct, its fields in order: nobody means that.
    if !text.trim_start().starts_with('{') {
        return Err(Problem::unprocessable(
            "The body must be a JSON object; /openapi.json says of which shape.",
        ));
    }
    // The message may quote a value, back to whoever sent it and to nobody else: it is not logged.
    serde_json::from_str(text)
        .map_err(|error| Problem::unprocessable(format!("In the JSON body: {error}.")))
}

/// What a path parameter that does not parse comes to.
pub(super) fn path<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Problem> {
    path.map(|Path(value)| value)
        .map_err(|rejection| Problem::not_found(rejection.body_text()))
}

/// What query parameters that do not parse come to.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query
        .map(|Query(value)| value)
        .map_err(|rejection| Problem::unprocessable(rejection.body_text()))
}
