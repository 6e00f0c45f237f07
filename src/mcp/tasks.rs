//! A request on record, as a task of the extension `io.modelcontextprotocol/tasks`.
//!
//! The id of a task is the id of its request: nobody can guess it, and whoever names it is asked for their right to see it,
//! each time. It is `working` until it ends, and never `input_required`: that would put the approvers' question to the one
//! who asks. What ends is `completed`, whatever came of it; the result says what that was.

use rmcp::model::{DetailedTask, Task, TaskPayload, TaskStatus};
use serde_json::Value;

use super::results;
use crate::gateway::Standing;

/// How often it is worth asking, in milliseconds: people take minutes.
const POLL_INTERVAL: u64 = 5_000;

/// A request that has just been held.
pub(super) fn begun(standing: &Standing) -> Task {
    let task = Task::new(
        standing.outcome.request_id.as_str(),
        TaskStatus::Working,
        standing.asked_at.to_string(),
        standing.moved_at.to_string(),
    );
    // The record outlives every client, so no time to live is said.
    let task = task.with_poll_interval_ms(POLL_INTERVAL);
    match results::advice(&standing.outcome) {
        Some(advice) => task.with_status_message(advice),
        None => task,
    }
}

/// A request as it stands.
pub(super) fn detailed(standing: Standing) -> DetailedTask {
    let task = begun(&standing);
    if !standing.outcome.status.is_final() {
        return DetailedTask::new(task, TaskPayload::Working);
    }
    let result = serde_json::to_value(results::outcome(standing.outcome));
    let result = match result {
        Ok(Value::Object(result)) => result,
        _ => rmcp::model::JsonObject::new(),
    };
    DetailedTask::new(task, TaskPayload::Completed { result })
}
