//! RFC 9457: what went wrong, in a form programs can act on.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    auth::AuthError,
    domain::{approval::NotEligible, operation::BadOperation, session::Refusal},
    gateway::{GateError, seal::SealError},
};

/// An error body: `application/problem+json`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// Which problem: `urn:portcullis:problem:` and a name that stays.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The same for every occurrence.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
    /// The request on record, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip)]
    headers: Vec<(header::HeaderName, String)>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(
        status: StatusCode,
        name: &str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            problem_type: format!("urn:portcullis:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            request_id: None,
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request cannot be read",
            detail,
        )
    }

    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(
            status,
            "invalid",
            "The request says something that cannot be",
            detail,
        )
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let detail = "This path takes another method; /openapi.json says which.";
        Self::new(status, "method-not-allowed", "Method not allowed", detail)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("The body is larger than {limit} bytes; send less per request.");
        Self::larger(detail)
    }

    fn larger(detail: String) -> Self {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(status, "too-large", "The request is too large", detail)
    }

    pub(crate) fn not_json() -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "Send a JSON body with `Content-Type: application/json`.";
        Self::new(status, "not-json", "The body is not JSON", detail)
    }

    pub(crate) fn starting() -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(
            status,
            "starting",
            "The gateway is starting",
            "Try again in a second.",
        )
        .with(header::RETRY_AFTER, "1")
    }

    pub(crate) fn later(detail: &str) -> Self {
        Self::unavailable("later", "Not now", detail.into())
    }

    fn internal() -> Self {
        let detail = "The gateway failed inside while handling this. Look the request up before repeating it.";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal failure",
            detail,
        )
    }

    fn unavailable(name: &str, title: &'static str, detail: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, name, title, detail)
            .with(header::RETRY_AFTER, "5")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (
            status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            body,
        )
            .into_response();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl From<GateError> for Problem {
    fn from(error: GateError) -> Self {
        let detail = error.to_string();
        match error {
            GateError::UnknownConnection(_) => Self::new(
                StatusCode::NOT_FOUND,
                "unknown-connection",
                "No such connection",
                detail,
            ),
            GateError::UnknownSession(_) => Self::new(
                StatusCode::NOT_FOUND,
                "unknown-session",
                "No such session",
                detail,
            ),
            GateError::UnknownRequest(_) => Self::new(
                StatusCode::NOT_FOUND,
                "unknown-request",
                "No such request",
                detail,
            ),
            GateError::UnknownApproval(_) => Self::new(
                StatusCode::NOT_FOUND,
                "unknown-approval",
                "No such approval",
                detail,
            ),
            GateError::ForeignSession(_) => Self::new(
                StatusCode::FORBIDDEN,
                "foreign-session",
                "Not your session",
                detail,
            ),
            GateError::NotAReader(_) => Self::new(
                StatusCode::FORBIDDEN,
                "not-a-reader",
                "Not yours to read",
                detail,
            ),
            GateError::BadOperation(bad) => match bad {
                BadOperation::StatementTooLong(_) | BadOperation::BodyTooLong => Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too-large",
                    "The request is too large",
                    detail,
                ),
                _ => Self::unprocessable(detail),
            },
            GateError::BadCursor(_) => Self::unprocessable(detail),
            GateError::KeyReused(request) => {
                let mut problem = Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "idempotency-key-reused",
                    "The Idempotency-Key means another request",
                    detail,
                );
                problem.request_id = Some(request.to_string());
                problem
            }
            GateError::RateLimited { retry_after, .. } => {
                let seconds = retry_after.as_secs().max(1).to_string();
                Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "over-budget",
                    "Over the request budget",
                    detail,
                )
                .with(header::RETRY_AFTER, seconds)
            }
            GateError::TargetUnreachable { request, .. } => {
                let mut problem =
                    Self::unavailable("target-unreachable", "The target cannot be reached", detail);
                problem.request_id = Some(request.to_string());
                problem
            }
            GateError::NotDescribed { .. } => {
                Self::unavailable("target-unreachable", "The target cannot be reached", detail)
            }
            GateError::Refused(refusal) => refused(&refusal, detail),
            GateError::RecordUnavailable(source) => {
                tracing::error!(error = %source, "record unavailable");
                Self::unavailable("record-unavailable", "The record is unavailable", detail)
            }
            GateError::TooLarge { .. } => Self::larger(detail),
            GateError::OutcomeNotRecorded(request) => {
                let mut problem = Self::new(
                    StatusCode::CONFLICT,
                    "outcome-unknown",
                    "The outcome is unknown",
                    detail,
                );
                problem.request_id = Some(request.to_string());
                problem
            }
            GateError::Damaged(why) => {
                tracing::error!(why, "record damaged");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Self::new(status, "record-damaged", "The record is damaged", detail)
            }
            GateError::Seal(SealError::Vault(error)) => {
                tracing::error!(%error, "sealing");
                Self::unavailable(
                    "keys-unavailable",
                    "The gateway's keys are unavailable",
                    detail,
                )
            }
            GateError::Seal(_) => {
                tracing::error!(detail, "sealing");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Self::new(status, "sealing", "The gateway cannot use its keys", detail)
            }
            GateError::Busy(_) => Self::unavailable("busy", "The session is busy", detail),
            GateError::Stopping => Self::unavailable("stopping", "The gateway is stopping", detail),
            GateError::Internal => Self::internal(),
        }
    }
}

fn refused(refusal: &Refusal, detail: String) -> Problem {
    let (status, name, title) = match refusal {
        Refusal::Closed(_) => (StatusCode::CONFLICT, "approval-closed", "Already decided"),
        Refusal::Expired(_) => (StatusCode::CONFLICT, "approval-expired", "Too late"),
        Refusal::NoPreview(_) => (StatusCode::CONFLICT, "no-exact-preview", "No exact preview"),
        Refusal::PreviewRunning => (StatusCode::CONFLICT, "preview-running", "Under way"),
        Refusal::PreviewedEnough => (
            StatusCode::CONFLICT,
            "previewed-enough",
            "Seen often enough",
        ),
        Refusal::PreviewForPeople(_) => (StatusCode::FORBIDDEN, "preview-for-people", "For people"),
        Refusal::OtherDigest => (StatusCode::CONFLICT, "other-digest", "Not what is asked"),
        Refusal::AnsweredBefore(_) => (StatusCode::CONFLICT, "answered-before", "Answered before"),
        Refusal::NotEligible(NotEligible::Agent(_)) => (
            StatusCode::FORBIDDEN,
            "agents-approve-nothing",
            "Agents approve nothing",
        ),
        Refusal::NotEligible(NotEligible::Requester(_)) => (
            StatusCode::FORBIDDEN,
            "own-request",
            "Nobody approves for themselves",
        ),
        Refusal::NotEligible(NotEligible::NotAsked { .. }) => (
            StatusCode::FORBIDDEN,
            "not-an-approver",
            "Not an approver of this",
        ),
        Refusal::Damaged => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "record-damaged",
            "The record is damaged",
        ),
    };
    Problem::new(status, name, title, detail)
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let detail = error.to_string();
        match error.challenge() {
            Some(challenge) => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "No valid token",
                detail,
            )
            .with(header::WWW_AUTHENTICATE, challenge),
            None => {
                let title = "The identity provider is unavailable";
                Self::unavailable("identity-unavailable", title, detail)
            }
        }
    }
}
