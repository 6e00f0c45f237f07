//! What is said of the pipeline to whoever measures it, with `tracing` alone: an event of the target `portcullis::measured`
//! for each thing counted, named after its instrument, and a span for each stage. `telemetry` lists the instruments and
//! their labels; where nobody measures, none of it costs anything.
//!
//! INVARIANT: a label is a word of ours or a name of the policy. Nothing a caller wrote, or a target answered, is one.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tracing::{Level, Span, field::display};

use super::{
    Gateway, Ports,
    ports::{AnswerHead, AppendError, Clock, EventStore, Output, Query, ResultSink},
};
use crate::domain::{
    classify::Effect,
    connection::ConnectionName,
    id::RequestId,
    masking::{Cell, MaskedCounts, ServerColumn},
    session::{Action, Answer, Event, EventBody, Failure, RequestDecided, RequestStatus},
};

/// How often the questions nobody has answered are counted, in seconds.
const PENDING_EVERY: i64 = 30;
/// How many pages of them are counted at most; there are 200 on each.
const PENDING_PAGES: usize = 10;

/// Says a measurement: its instrument, how much, and its labels.
macro_rules! measure {
    ($name:literal, $value:expr $(, $label:ident = $word:expr)* $(,)?) => {
        tracing::event!(
            name: $name,
            target: "portcullis::measured",
            tracing::Level::TRACE,
            value = $value $(, $label = $word)*
        )
    };
}
pub(crate) use measure;

/// The request that this span is about.
pub(super) fn placed(request: &RequestId, connection: &ConnectionName) {
    Span::current()
        .record("session", display(request.session()))
        .record("request", display(request))
        .record("connection", display(connection));
}

/// A span for what follows from an approver's answer: it goes on with the trace of whoever asked, which is on record.
pub(super) fn resumed(decided: &RequestDecided) -> Span {
    tracing::info_span!(
        "resume",
        session = %decided.request_id.session(),
        request = %decided.request_id,
        connection = %decided.connection,
        traceparent = decided.traceparent.as_deref(),
    )
}

/// What is to be counted once it is on record.
#[derive(Debug)]
pub(super) enum Measurement {
    Decided(&'static str, Effect, ConnectionName),
    /// What became of a question.
    Approval(&'static str),
    /// How an execution ended, and what was masked.
    Ended(&'static str, MaskedCounts),
}

/// What is to be counted of `events`; nothing, where nobody measures.
pub(super) fn of(events: &[Event]) -> Vec<Measurement> {
    if !is_measured() {
        return Vec::new();
    }
    let bodies = events.iter().map(|event| &event.body);
    bodies
        .filter_map(|body| {
            Some(match body {
                EventBody::RequestDecided(decided) => Measurement::Decided(
                    match decided.decision.action {
                        Action::Allow => "allow",
                        Action::Deny => "deny",
                        Action::RequireApproval => "require_approval",
                    },
                    decided.effect,
                    decided.connection.clone(),
                ),
                EventBody::ApprovalRequested(_) => Measurement::Approval("requested"),
                EventBody::ApprovalDecided(decided) => {
                    Measurement::Approval(match decided.answer {
                        Answer::Approve => "approved",
                        Answer::Deny => "denied",
                    })
                }
                EventBody::ApprovalExpired(_) => Measurement::Approval("expired"),
                EventBody::ExecutionFinished(done) => {
                    Measurement::Ended("finished", done.masked.clone())
                }
                EventBody::ExecutionFailed(failed) => {
                    Measurement::Ended(failed_by(failed.failure), failed.masked.clone())
                }
                EventBody::ExecutionOutcomeUnknown(_) => {
                    Measurement::Ended("outcome_unknown", MaskedCounts::default())
                }
                _ => return None,
            })
        })
        .collect()
}

/// It is on record.
pub(super) fn appended(measurement: Measurement) {
    match measurement {
        Measurement::Decided(action, effect, connection) => measure!(
            "portcullis.decisions",
            1_u64,
            action = action,
            effect = effect.as_str(),
            connection = connection.as_str(),
        ),
        Measurement::Approval(became) => measure!("portcullis.approvals", 1_u64, became = became),
        Measurement::Ended(ended, masked) => {
            measure!("portcullis.executions", 1_u64, ended = ended);
            for (rule, count) in &masked.by {
                // Which column it was is the record's to tell.
                let kind = if rule.starts_with("column:") {
                    "column"
                } else {
                    rule
                };
                measure!("portcullis.masked", *count, kind = kind);
            }
        }
    }
}

/// It is not.
pub(super) fn not_appended(error: &AppendError) {
    if matches!(error, AppendError::Conflict(_)) {
        measure!("portcullis.append.conflicts", 1_u64);
    }
}

fn is_measured() -> bool {
    tracing::enabled!(target: "portcullis::measured", Level::TRACE)
}

fn failed_by(failure: Failure) -> &'static str {
    match failure {
        Failure::Target => "target",
        Failure::SecondWall => "second_wall",
        Failure::TooManyRows => "too_many_rows",
        Failure::Timeout => "timeout",
        Failure::Cancelled => "cancelled",
        Failure::Unreachable => "unreachable",
    }
}

/// A sink that says in the end how long it took over all that came: with it, how long masking took.
pub(super) struct Timed<'a> {
    sink: &'a mut dyn ResultSink,
    /// `None`: nobody measures.
    took: Option<Duration>,
}

impl<'a> Timed<'a> {
    pub(super) fn new(sink: &'a mut dyn ResultSink) -> Self {
        Self {
            sink,
            took: is_measured().then_some(Duration::ZERO),
        }
    }

    fn timed<T>(&mut self, take: impl FnOnce(&mut dyn ResultSink) -> T) -> T {
        let Some(before) = self.took else {
            return take(self.sink);
        };
        let began = Instant::now();
        let taken = take(self.sink);
        self.took = Some(before + began.elapsed());
        taken
    }
}

impl ResultSink for Timed<'_> {
    fn columns(&mut self, columns: &[ServerColumn]) {
        self.timed(|sink| sink.columns(columns));
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> ControlFlow<()> {
        self.timed(|sink| sink.row(cells))
    }

    fn output(&mut self, from: Output, bytes: &[u8]) -> ControlFlow<()> {
        self.timed(|sink| sink.output(from, bytes))
    }

    // Handing on an HTTP answer waits for its caller, so that its time says nothing about masking.
    fn head(&mut self, head: AnswerHead) -> BoxFuture<'_, ControlFlow<()>> {
        self.sink.head(head)
    }

    fn body<'s>(&'s mut self, bytes: &'s [u8]) -> BoxFuture<'s, ControlFlow<()>> {
        self.sink.body(bytes)
    }

    fn notice(&mut self, message: &str) {
        self.timed(|sink| sink.notice(message));
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        if let Some(took) = self.took {
            let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            measure!("portcullis.stage.duration", took, stage = "mask");
        }
    }
}

/// When the questions nobody has answered were last counted, in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Pending(AtomicI64);

impl<P: Ports> Gateway<P> {
    /// Counts the questions nobody has answered, if anybody measures and it is time.
    pub(super) async fn measure_pending(&self) {
        let now = self.parts.clock.now().as_second();
        let before = self.pending.0.load(Ordering::Relaxed);
        if !is_measured() || now - before < PENDING_EVERY {
            return;
        }
        self.pending.0.store(now, Ordering::Relaxed);
        let mut query = Query {
            status: Some(RequestStatus::PendingApproval),
            limit: 200,
            ..Query::default()
        };
        let mut pending = 0_u64;
        for _ in 0..PENDING_PAGES {
            let Ok(page) = self.parts.store.search(&query).await else {
                return;
            };
            pending += page.requests.len() as u64;
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        measure!("portcullis.approvals.pending", pending);
    }
}
