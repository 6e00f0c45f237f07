//! What does not go through, said as the API itself would say it: its clients know how to show that.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Problem;
use crate::{
    domain::{
        approval::HeldAnswer,
        classify::http::Family,
        connection::ConnectionName,
        policy::{Endpoint, Policy},
        session::{Failure, RequestStatus},
    },
    gateway::{GateError, Outcome, ResultBody},
};

/// Whose words a caller understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// `{"error": {"code", "message"}}`, of Azure and of OData.
    Azure,
    /// `{"code", "message"}`.
    Cosmos,
    /// A `Status` object.
    Kubernetes,
    /// XML of Azure Storage.
    Storage,
    /// XML of Service Bus.
    ServiceBus,
    /// `{"type": "error", …}`.
    Anthropic,
    /// `{"error": {"message", "type", "code"}}`.
    OpenAi,
    /// `{"errors": […]}`.
    GraphQl,
    /// RFC 9457.
    Problem,
}

/// Why a call is not answered by its API.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    /// One word.
    code: &'static str,
    message: String,
    approval: Option<String>,
    retry_after: Option<u64>,
    /// Whether the same call may be repeated without a thought.
    repeatable: bool,
}

impl Speaks {
    /// What callers of `target` below this connection's url speak.
    pub(super) fn of(
        policy: &Policy,
        connection: &ConnectionName,
        target: &str,
        headers: &HeaderMap,
    ) -> Self {
        let endpoint = policy.connections.get(connection).map(|rules| &rules.read);
        let Some(Endpoint::Http(upstream)) = endpoint else {
            return Self::Problem;
        };
        match upstream.family(target) {
            Family::Arm | Family::MicrosoftGraph | Family::KeyVault => Self::Azure,
            Family::Cosmos => Self::Cosmos,
            Family::Kubernetes => Self::Kubernetes,
            Family::Storage => Self::Storage,
            Family::ServiceBus => Self::ServiceBus,
            Family::Model if headers.contains_key("anthropic-version") => Self::Anthropic,
            Family::Model => Self::OpenAi,
            Family::GraphQl => Self::GraphQl,
            Family::Metadata | Family::Generic => Self::Problem,
        }
    }

    /// The refusal in these words.
    pub(super) fn refuse(self, refusal: &Refusal) -> Response {
        let Refusal {
            status,
            code,
            message,
            approval,
            ..
        } = refusal;
        let json_of = |body: Value| ("application/json", body.to_string());
        let xml = |text: &str| {
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
        };
        let (media_type, body) = match self {
            Self::Azure => json_of(json!({"error": {"code": code, "message": message}})),
            Self::Cosmos => json_of(json!({"code": code, "message": message})),
            Self::Kubernetes => json_of(json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": reason(*status), "code": status.as_u16(),
            })),
            Self::Storage => (
                "application/xml",
                format!(
                    "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{}</Message></Error>",
                    xml(message)
                ),
            ),
            Self::ServiceBus => (
                "application/xml",
                format!(
                    "<Error><Code>{}</Code><Detail>{}</Detail></Error>",
                    status.as_u16(),
                    xml(message)
                ),
            ),
            Self::Anthropic => json_of(json!({
                "type": "error", "error": {"type": anthropic(*status), "message": message},
            })),
            Self::OpenAi => json_of(json!({
                "error": {"message": message, "type": "portcullis", "param": null, "code": code},
            })),
            Self::GraphQl => json_of(json!({
                "data": null, "errors": [{"message": message, "extensions": {"code": code}}],
            })),
            Self::Problem => {
                let problem = Problem::new(
                    *status,
                    &word(code),
                    "The call was not passed on",
                    message.clone(),
                );
                return with_headers(problem.into_response(), refusal, approval.as_deref());
            }
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = *status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if self == Self::Storage {
            fields.insert("x-ms-error-code", HeaderValue::from_static(code));
        }
        with_headers(response, refusal, approval.as_deref())
    }
}

fn with_headers(mut response: Response, refusal: &Refusal, approval: Option<&str>) -> Response {
    let fields = response.headers_mut();
    if let Some(seconds) = refusal.retry_after {
        fields.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if !refusal.repeatable {
        // The model providers' clients repeat what they think failed by chance, unless they are told not to.
        fields.insert(
            HeaderName::from_static("x-should-retry"),
            HeaderValue::from_static("false"),
        );
    }
    if let Some(approval) = approval.and_then(|id| HeaderValue::from_str(id).ok()) {
        fields.insert(HeaderName::from_static("portcullis-approval"), approval);
    }
    response
}

/// `ApprovalRequired` as a problem's name has it.
fn word(code: &str) -> String {
    let mut name = String::new();
    for character in code.chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

/// Kubernetes' word for a status.
fn reason(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BadRequest",
        404 => "NotFound",
        409 => "Conflict",
        413 => "RequestEntityTooLarge",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        500..=599 => "InternalError",
        _ => "Forbidden",
    }
}

/// Anthropic's word for a status.
fn anthropic(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 409 | 422 | 424 => "invalid_request_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        500..=599 => "api_error",
        _ => "permission_error",
    }
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: String) -> Self {
        Self {
            status,
            code,
            message,
            approval: None,
            retry_after: None,
            repeatable: false,
        }
    }

    /// Why this outcome has no answer to give.
    pub(super) fn of(outcome: &Outcome) -> Self {
        let rule = outcome.decision.rule.as_ref();
        let by = rule.map_or(String::new(), |rule| format!(" (rule `{rule}`)"));
        let said = outcome
            .decision
            .message
            .as_deref()
            .unwrap_or("it is not allowed");
        let request = &outcome.request_id;
        let forbidden = StatusCode::FORBIDDEN;
        if let Some(held) = &outcome.held_answer {
            return Self::about_answer(outcome, held);
        }
        match outcome.status {
            RequestStatus::PendingApproval => {
                let until = waits(outcome);
                let message = format!(
                    "Portcullis holds this call for approval{by}: {}.{until} Nothing was sent. Once it is approved, \
                     make exactly this call again: it then runs, once.",
                    outcome.why
                );
                Self {
                    approval: outcome.approval.as_ref().map(|brief| brief.id.to_string()),
                    ..Self::new(forbidden, "ApprovalRequired", message)
                }
            }
            RequestStatus::Approved => Self::new(
                forbidden,
                "Approved",
                format!(
                    "This call is approved: make exactly it again, and it runs, once. Request `{request}`."
                ),
            ),
            RequestStatus::Denied => Self::new(
                forbidden,
                "PolicyDenied",
                format!(
                    "Portcullis denies this call{by}: {said} It was judged: {}. Nothing was sent; request `{request}`.",
                    outcome.why
                ),
            ),
            RequestStatus::ApprovalDenied => Self::new(
                forbidden,
                "ApprovalDenied",
                format!(
                    "This call was not approved: {said} Nothing was sent; request `{request}`."
                ),
            ),
            RequestStatus::ApprovalExpired => Self::new(
                forbidden,
                "ApprovalExpired",
                format!(
                    "Nobody approved this call in time. Nothing was sent; make it again to ask again. Request `{request}`."
                ),
            ),
            RequestStatus::OutcomeUnknown => Self::new(
                StatusCode::FAILED_DEPENDENCY,
                "OutcomeUnknown",
                format!(
                    "It is not known whether this call did anything ({}). Look at the API before you repeat it; request `{request}`.",
                    outcome.why
                ),
            ),
            RequestStatus::Executing => Self::new(
                StatusCode::CONFLICT,
                "StillRunning",
                format!("This call is running. Do not repeat it; ask for request `{request}`."),
            ),
            RequestStatus::Failed => {
                let error = outcome.error.as_ref();
                let said = error.map_or("", |error| error.message.as_str());
                let status = match error.map(|error| error.failure) {
                    Some(Failure::Timeout) => StatusCode::GATEWAY_TIMEOUT,
                    _ => StatusCode::BAD_GATEWAY,
                };
                Self::new(
                    status,
                    "CallFailed",
                    format!("The call failed and changed nothing: {said} Request `{request}`."),
                )
            }
            RequestStatus::Succeeded => {
                let withheld = matches!(
                    &outcome.result,
                    Some(ResultBody::Answer(answer)) if answer.record.withheld && !answer.truncated
                );
                let found: Vec<_> = outcome.masked.by.keys().map(String::as_str).collect();
                let why = match outcome.notices.as_slice() {
                    [] if withheld => format!(
                        "something in the answer was masked ({}), and policy (`on_finding`) then gives none of it",
                        found.join(", ")
                    ),
                    [] => "its answer is not kept any more".into(),
                    notices => notices.join("; "),
                };
                let status = if withheld {
                    forbidden
                } else {
                    StatusCode::BAD_GATEWAY
                };
                Self::new(
                    status,
                    "AnswerWithheld",
                    format!(
                        "The call was made, and what the API answered is not passed on: {why}. Request `{request}`."
                    ),
                )
            }
        }
    }

    /// Why an answer in which something was found is not given, or not yet.
    fn about_answer(outcome: &Outcome, held: &HeldAnswer) -> Self {
        let request = &outcome.request_id;
        let found = held.kinds();
        let made =
            format!("The call was made, and something in the answer was masked ({found}), so that");
        let said = outcome.decision.message.as_deref().unwrap_or_default();
        let (code, message) = match outcome.status {
            RequestStatus::PendingApproval => (
                "AnswerHeld",
                format!(
                    "{made} people are asked before it is given.{} Do not make the call again: once they agree, the masked \
                     answer is at `/v1/requests/{request}`.",
                    waits(outcome)
                ),
            ),
            RequestStatus::ApprovalExpired => (
                "ApprovalExpired",
                format!(
                    "{made} people were asked before it is given, and nobody agreed in time. Request `{request}`."
                ),
            ),
            _ => (
                "AnswerWithheld",
                format!("{made} it is not given: {said} Request `{request}`."),
            ),
        };
        Self {
            approval: outcome.approval.as_ref().map(|brief| brief.id.to_string()),
            ..Self::new(StatusCode::FORBIDDEN, code, message)
        }
    }
}

/// For whom an approval waits, in a sentence after a blank.
fn waits(outcome: &Outcome) -> String {
    outcome.approval.as_ref().map_or(String::new(), |brief| {
        let groups = brief.from.iter().map(|group| format!("`{group}`"));
        format!(
            " Approval `{}` waits for {} until {}.",
            brief.id,
            groups.collect::<Vec<_>>().join(" and "),
            brief.expires_at
        )
    })
}

impl From<GateError> for Refusal {
    fn from(error: GateError) -> Self {
        let (code, repeatable) = match &error {
            GateError::BadOperation(_) => ("CallRefused", false),
            GateError::RateLimited { .. } => ("OverBudget", true),
            GateError::TargetUnreachable { .. } => ("Unreachable", true),
            GateError::OutcomeNotRecorded(_) | GateError::Internal => ("OutcomeUnknown", false),
            _ => ("NotNow", false),
        };
        let retry_after = match &error {
            GateError::RateLimited { retry_after, .. } => Some(retry_after.as_secs().max(1)),
            GateError::TargetUnreachable { .. } => Some(5),
            _ => None,
        };
        let problem = Problem::from(error);
        let status = match code {
            // What is an error of the server's own is repeated without a thought.
            "OutcomeUnknown" => StatusCode::FAILED_DEPENDENCY,
            _ => StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY),
        };
        Self {
            retry_after,
            repeatable,
            ..Self::new(status, code, format!("Portcullis: {}", problem.detail))
        }
    }
}
