//! An outcome as an agent gets it: what to do next, and the whole of it twice, as text for the model and as structure for
//! programs.
//!
//! INVARIANT: what is said of a refusal names no other way to the same end.

use rmcp::model::{CallToolResult, ContentBlock};
use serde::Serialize;
use serde_json::{Map, Number, Value, value::RawValue};

use crate::{
    domain::{approval::HeldAnswer, session::RequestStatus},
    door::Problem,
    gateway::{GateError, Outcome, ResultBody},
};

/// An outcome. It is an error to the agent's client where what was asked for did not happen.
pub(super) fn outcome(mut outcome: Outcome) -> CallToolResult {
    let advice = advice(&outcome);
    let is_error = match outcome.status {
        RequestStatus::Succeeded
        | RequestStatus::PendingApproval
        | RequestStatus::Approved
        | RequestStatus::Executing => false,
        RequestStatus::Failed
        | RequestStatus::Denied
        | RequestStatus::ApprovalDenied
        | RequestStatus::ApprovalExpired
        | RequestStatus::OutcomeUnknown => true,
    };
    let text = serde_json::to_string(&outcome);
    let rows = match &mut outcome.result {
        Some(ResultBody::Table(table)) => table.rows.take(),
        Some(ResultBody::Command(_) | ResultBody::Answer(_)) | None => None,
    };
    let (Ok(text), Ok(mut structure)) = (text, serde_json::to_value(&outcome)) else {
        return problem(&GateError::Internal.into());
    };
    if let Some(rows) = rows {
        structure["result"]["rows"] = exact(&rows);
    }
    let blocks = advice.into_iter().chain([text]);
    let content = blocks.map(ContentBlock::text).collect();
    let mut result = match is_error {
        true => CallToolResult::error(content),
        false => CallToolResult::success(content),
    };
    result.structured_content = Some(structure);
    result
}

/// Anything else that a tool gives.
pub(super) fn plain(given: &impl Serialize) -> CallToolResult {
    match serde_json::to_value(given) {
        Ok(value) => CallToolResult::structured(value),
        Err(_) => problem(&GateError::Internal.into()),
    }
}

/// What went wrong, in a form both people and programs can read.
pub(super) fn problem(problem: &Problem) -> CallToolResult {
    let text = serde_json::to_string(problem).unwrap_or_else(|_| problem.detail.clone());
    CallToolResult::error(vec![ContentBlock::text(text)])
}

/// What to do next, where the outcome itself does not make it plain.
pub(super) fn advice(outcome: &Outcome) -> Option<String> {
    let request = &outcome.request_id;
    let why = outcome.decision.message.as_deref().unwrap_or_default();
    Some(match outcome.status {
        RequestStatus::Approved => format!(
            "Approved, and not run: request `{request}` was made through the connection's HTTP door, and runs once when \
             exactly the same call is made there again."
        ),
        // What has run is not told of as if it had not.
        _ if let Some(held) = &outcome.held_answer => about_answer(outcome, held),
        RequestStatus::PendingApproval => {
            let approval = outcome.approval.as_ref();
            let (from, until) = match approval {
                Some(approval) => {
                    let groups: Vec<_> = approval.from.iter().map(ToString::to_string).collect();
                    (groups.join(", "), approval.expires_at.to_string())
                }
                None => ("a person".into(), "its expiry".into()),
            };
            format!(
                "Waiting for approval by {from}, until {until}. Nothing has run. Tell the person you work for, and call \
                 `get_result` with request_id `{request}` later; calling again with the same arguments while it waits \
                 asks nobody twice."
            )
        }
        RequestStatus::Executing => format!(
            "It is running. Call `get_result` with request_id `{request}` for its result; do not send it again."
        ),
        RequestStatus::Denied => format!(
            "Denied, and nothing was run. {why} If this is needed, tell the person you work for what was denied and why."
        ),
        RequestStatus::ApprovalDenied => format!(
            "A person refused it, and nothing was run. {why} Tell the person you work for; ask again only if they want it."
        ),
        RequestStatus::ApprovalExpired => {
            "Nobody approved it in time, and nothing was run. Tell the person you work for; ask again when someone can \
             answer."
                .into()
        }
        RequestStatus::OutcomeUnknown => format!(
            "It was interrupted and may or may not have happened. Do not send it again. Tell the person you work for to \
             look at the target, and name request `{request}`."
        ),
        RequestStatus::Failed => {
            "The target refused it, and nothing changed. Read `error`, correct it and call again.".into()
        }
        RequestStatus::Succeeded => {
            match &outcome.result {
                Some(ResultBody::Table(table)) if table.truncated => format!(
                    "Only the first {} rows fit the connection's budget: narrow the question down.",
                    table.row_count
                ),
                Some(ResultBody::Command(command)) if command.truncated => {
                    "Only the beginning of the output fits the connection's budget: narrow the question down.".into()
                }
                Some(ResultBody::Answer(answer)) if answer.record.withheld => {
                    let kinds: Vec<_> = outcome.masked.by.keys().map(String::as_str).collect();
                    let why = match outcome.notices.as_slice() {
                        [] => format!("policy gives none of an answer in which it finds {}", kinds.join(", ")),
                        notices => notices.join("; "),
                    };
                    format!(
                        "The call was made, and its answer is kept back: {why}. Sending it again makes the call again. If \
                         the answer is needed, tell the person you work for."
                    )
                }
                Some(ResultBody::Answer(answer)) if answer.truncated => {
                    "The call was made, and its answer is not whole: `notices` says why.".into()
                }
                _ => return None,
            }
        }
    })
}

/// What became of a call whose answer people are, or were, asked about: it was made.
fn about_answer(outcome: &Outcome, held: &HeldAnswer) -> String {
    let request = &outcome.request_id;
    let said = outcome.decision.message.as_deref().unwrap_or_default();
    let found = held.kinds();
    match (outcome.status, &outcome.approval) {
        (RequestStatus::PendingApproval, Some(approval)) => {
            let groups: Vec<_> = approval.from.iter().map(ToString::to_string).collect();
            format!(
                "The call was made. Its answer is kept back because of what was found in it ({found}), and waits for {} to \
                 let you have it, masked, until {}. Do not send it again. Tell the person you work for, and call \
                 `get_result` with request_id `{request}` later.",
                groups.join(", "),
                approval.expires_at
            )
        }
        (RequestStatus::ApprovalExpired, _) => format!(
            "The call was made, and nobody agreed in time that you get its answer, in which {found} was found. Sending it \
             again makes the call again. Tell the person you work for."
        ),
        _ => format!(
            "The call was made, and its answer, in which {found} was found, is not given to you. {said} Tell the person you \
             work for; do not send it again unless they want it."
        ),
    }
}

/// JSON for programs that read every number as a double: one that would be rounded is given as text. The text block has
/// all of them as they are.
fn exact(json: &RawValue) -> Value {
    let text = json.get();
    match text.as_bytes().first() {
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(text)
            .map_or(Value::Null, |items| items.into_iter().map(exact).collect()),
        Some(b'{') => {
            let fields =
                serde_json::from_str::<std::collections::BTreeMap<String, &RawValue>>(text);
            fields.map_or(Value::Null, |fields| {
                let fields = fields.into_iter().map(|(name, value)| (name, exact(value)));
                Value::Object(fields.collect::<Map<_, _>>())
            })
        }
        Some(b'-' | b'0'..=b'9') => match serde_json::from_str::<Number>(text) {
            Ok(number) if is_exact(&number, text) => Value::Number(number),
            _ => Value::String(text.to_owned()),
        },
        _ => serde_json::from_str(text).unwrap_or_default(),
    }
}

/// Whether a double is this number: up to 15 significant digits always are, and what a double is written as.
fn is_exact(number: &Number, text: &str) -> bool {
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = digits.bytes().filter(u8::is_ascii_digit);
    let significant = digits.skip_while(|digit| *digit == b'0').count();
    let as_double = || number.is_f64() && number.to_string() == text;
    significant <= 15 || as_double()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_would_be_rounded_is_text() {
        let given = r#"[[1, -0.10, 9007199254740993, 12345678901234567890.123456789, 0.30000000000000004, 1e400],
            [{"n": 9007199254740993}, "9", null, true, []]]"#;
        let given: Box<RawValue> = serde_json::from_str(given).unwrap();
        assert_eq!(
            exact(&given).to_string(),
            r#"[[1,-0.1,"9007199254740993","12345678901234567890.123456789",0.30000000000000004,"1e400"],[{"n":"9007199254740993"},"9",null,true,[]]]"#
        );
    }
}
