//! What an approved statement would change, exactly: it is run, counted, shown, and rolled back.
//!
//! The planner's estimate comes with every question; this is asked for by someone who may answer it. It locks what it
//! changes for a moment, so its intent goes on record first, as any effect's does; what it saw is sealed and on record
//! before anyone sees it. It decides nothing: the question, its digest and its answers stay as they are.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::{
    GateError, Gateway, Ports,
    execute::{Sink, Unfinished},
    outcome::TargetError,
    ports::{AppendError, Clock},
    resume::Considered,
    seal::{Purpose, SessionKey},
};
use crate::domain::{
    classify::sql::{self, Returned},
    id::{ApprovalId, RequestId},
    masking::{MaskedColumn, MaskedCounts},
    operation::{Operation, Param, SqlOperation},
    policy::{ConnectionRules, Policy, RecordedResults},
    principal::{Principal, PrincipalId},
    record::Head,
    session::{
        Event, EventBody, Failure, PREVIEW_SAMPLE, Permit, PreviewAsked, PreviewEnd, PreviewFailed,
        PreviewFinished, Previewed, Rehearsal, Rehearsed, Request, preview,
    },
};

/// What a statement would have changed, when someone looked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExactPreview {
    /// Which of the request's exact previews, from 1.
    pub number: u32,
    /// Who wanted to see it.
    pub approver: PrincipalId,
    /// Whether there is something to see.
    pub status: PreviewStatus,
    /// How many rows it changed before it was rolled back; those that triggers and foreign keys changed count as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// A few of them, masked; only for who may decide, and only while the record keeps them.
    #[serde(flatten)]
    pub samples: Samples,
    /// Why there is nothing to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TargetError>,
}

/// How far an exact preview has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreviewStatus {
    /// It is under way.
    Running,
    /// It was counted.
    Finished,
    /// The target refused, or could not be reached.
    Failed,
    /// Nobody knows what it would have shown. It was rolled back all the same.
    Interrupted,
}

/// Some rows, masked. They need not be the same ones: nothing orders them.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Samples {
    /// As they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Sample>,
    /// As they would be; absent where the target cannot show them, and for what would be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Sample>,
}

/// Rows of one table.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Its columns.
    pub columns: Vec<MaskedColumn>,
    /// At most five rows, each an array with one value per column.
    #[schemars(with = "Vec<Vec<serde_json::Value>>")]
    pub rows: Box<RawValue>,
}

impl ExactPreview {
    /// As far as everyone who sees the approval may see it.
    pub(super) fn of(previewed: &Previewed, now: Timestamp) -> Self {
        let started = &previewed.started;
        let (status, rows, error) = match &previewed.ended {
            Some(PreviewEnd::Finished(finished)) => {
                (PreviewStatus::Finished, Some(finished.rows), None)
            }
            Some(PreviewEnd::Failed(failed)) => {
                let error = TargetError {
                    failure: failed.failure,
                    code: failed.code.clone(),
                    message: failed.message.clone(),
                };
                (PreviewStatus::Failed, None, Some(error))
            }
            None if now < started.lease_until => (PreviewStatus::Running, None, None),
            None => (PreviewStatus::Interrupted, None, None),
        };
        Self {
            number: started.number,
            approver: started.approver.id.clone(),
            status,
            rows,
            samples: Samples::default(),
            error,
        }
    }
}

/// How an exact preview ended, and what it shows: withheld until `event` is on record.
struct Seen {
    event: EventBody,
    samples: Samples,
}

impl<P: Ports> Gateway<P> {
    /// Runs what an approval is about, to be rolled back, and shows who may decide what it would change. Goes on to its end
    /// and its record if the caller leaves.
    pub async fn preview(
        self: &Arc<Self>,
        approver: Principal,
        approval: ApprovalId,
    ) -> Result<ExactPreview, GateError> {
        if self.running.is_closed() {
            return Err(GateError::Stopping);
        }
        let gateway = Arc::clone(self);
        let work = self
            .running
            .spawn(async move { Box::pin(gateway.rehearse(&approver, &approval)).await });
        work.await.unwrap_or(Err(GateError::Internal))
    }

    async fn rehearse(
        &self,
        approver: &Principal,
        approval: &ApprovalId,
    ) -> Result<ExactPreview, GateError> {
        let id = approval.request();
        let session = id.session();
        for _ in 0..32 {
            let Considered {
                request,
                events,
                policy,
                key,
                operation,
                assessed,
                asked,
            } = self.consider(approver, approval).await?;
            let connection = policy.connections.get(&request.decided.connection);
            let connection = connection
                .ok_or_else(|| GateError::UnknownConnection(request.decided.connection.clone()))?;
            let (rehearsal, params) = match (connection.kind.dialect(), &operation) {
                (Some(dialect), Operation::Sql(sql)) => {
                    let (facts, catalog) = (&assessed.facts, assessed.catalog());
                    let rehearsal = sql::rehearse(dialect, &sql.statement, facts, catalog);
                    (rehearsal, &*sql.params)
                }
                _ => (Err("only SQL can be run and rolled back".into()), &[][..]),
            };
            let returned = rehearsal
                .as_ref()
                .map_or(Returned::After, |one| one.returned);
            let next = preview(PreviewAsked {
                request: &request,
                operation: &operation,
                facts: &assessed.facts,
                before_rewriting: asked.as_ref(),
                rehearsal: rehearsal.and_then(|rehearsal| rehearsed(rehearsal, params)),
                policy: &policy,
                approver,
                instance: &self.parts.instance,
                now: self.parts.clock.now(),
            });
            let (started, rehearsal) = next?;
            let head = events.last().map_or(Head::GENESIS, Event::head);
            let intent = EventBody::PreviewStarted(Box::new(started.clone()));
            match self.append(&session, head, vec![intent], None).await {
                Ok(on_record) => {
                    let rehearsal = on_record.release(rehearsal)?;
                    let seen = self
                        .look(&id, rehearsal, connection, returned, &policy, &key)
                        .await;
                    let event = seen.event.clone();
                    // INVARIANT: nothing is disclosed before its record is durable.
                    let open = |request: &Request| {
                        let own = |preview: &&Previewed| preview.started.number == started.number;
                        let own = request.previews.iter().find(own);
                        let open = own.is_some_and(|preview| preview.ended.is_none());
                        open.then(|| event.clone()).into_iter().collect()
                    };
                    self.note_surely(&id, open).await?;
                    let ended = match seen.event {
                        EventBody::PreviewFinished(finished) => {
                            Some(PreviewEnd::Finished(finished))
                        }
                        EventBody::PreviewFailed(failed) => Some(PreviewEnd::Failed(failed)),
                        _ => None,
                    };
                    let view =
                        ExactPreview::of(&Previewed { started, ended }, self.parts.clock.now());
                    return Ok(ExactPreview {
                        samples: seen.samples,
                        ..view
                    });
                }
                // Someone answered, or looks as well: see what there is to look at now.
                Err(AppendError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(GateError::Busy(session))
    }

    /// Spends the leave to look.
    async fn look(
        &self,
        request: &RequestId,
        rehearsal: Rehearsal,
        connection: &ConnectionRules,
        returned: Returned,
        policy: &Policy,
        key: &SessionKey,
    ) -> Seen {
        let Rehearsal {
            before,
            change,
            number,
        } = rehearsal;
        let mut masked = MaskedCounts::default();
        let mut samples = Samples::default();
        let mut took_us = 0;
        if let Some(before) = before {
            match self.watched(before, connection, policy).await {
                Ok(watched) => {
                    samples.before = watched.sample;
                    masked.add(&watched.masked);
                    took_us += watched.took_us;
                }
                Err(unfinished) => return failed(request, number, unfinished),
            }
        }
        let watched = match self.watched(change, connection, policy).await {
            Ok(watched) => watched,
            Err(unfinished) => return failed(request, number, unfinished),
        };
        match returned {
            Returned::Before => samples.before = watched.sample,
            Returned::After => samples.after = watched.sample,
        }
        masked.add(&watched.masked);
        took_us += watched.took_us;
        let Some(rows) = watched.changed else {
            let message = "the target does not say how many rows it changed".to_owned();
            let event = PreviewFailed {
                request_id: request.clone(),
                number,
                failure: Failure::Target,
                code: None,
                message,
                masked,
            };
            return Seen {
                event: EventBody::PreviewFailed(Box::new(event)),
                samples: Samples::default(),
            };
        };
        let sealed = (policy.record.results == RecordedResults::Masked)
            .then(|| serde_json::to_vec(&samples).ok())
            .flatten()
            .map(|text| self.seal(key, request, Purpose::Samples, &text));
        let sealed = sealed.and_then(|sealed| {
            sealed
                .inspect_err(|error| tracing::error!(%request, %error, "samples not kept"))
                .ok()
        });
        let event = PreviewFinished {
            request_id: request.clone(),
            number,
            rows,
            masked,
            samples: sealed,
            took_us,
        };
        Seen {
            event: EventBody::PreviewFinished(Box::new(event)),
            samples,
        }
    }

    /// Runs one of the statements, judged for what it is: what it shows is masked as any result of it would be.
    async fn watched(
        &self,
        permit: Permit,
        connection: &ConnectionRules,
        policy: &Policy,
    ) -> Result<Watched, Unfinished> {
        let spent = permit.spend();
        let assessed = self.assess(connection, &spent.operation).await;
        let (rows, bytes) = PREVIEW_SAMPLE;
        let limit = spent.budget.timeout;
        let request = spent.request.clone();
        let mut sink = Sink::new(&request, &policy.masking, &assessed.facts, rows, bytes);
        let nobody_leaves = CancellationToken::new();
        let (result, took_us) = self
            .dispatch(spent, &assessed, policy, &mut sink, &nobody_leaves)
            .await;
        let completion = match result {
            Ok(completion) => completion,
            Err(error) => return Err(sink.unfinished(error, limit)),
        };
        let taken = sink.finish();
        let rows = taken
            .result
            .and_then(|rows| RawValue::from_string(rows).ok());
        Ok(Watched {
            changed: completion.changed,
            sample: rows
                .filter(|_| !taken.columns.is_empty())
                .map(|rows| Sample {
                    columns: taken.columns,
                    rows,
                }),
            masked: taken.masked,
            took_us,
        })
    }

    /// The exact previews of a request, the samples of the latest that has any with them, for who may decide.
    pub(super) async fn exact_previews(
        &self,
        request: &Request,
        may_decide: bool,
    ) -> Result<Vec<ExactPreview>, GateError> {
        let now = self.parts.clock.now();
        let all = request.previews.iter();
        let mut views: Vec<_> = all.map(|one| ExactPreview::of(one, now)).collect();
        let latest = request
            .previews
            .iter()
            .rev()
            .find_map(|one| match &one.ended {
                Some(PreviewEnd::Finished(finished)) => Some(finished),
                _ => None,
            });
        let Some((finished, sealed)) = latest
            .filter(|_| may_decide)
            .and_then(|finished| Some((finished, finished.samples.as_ref()?)))
        else {
            return Ok(views);
        };
        let id = &request.decided.request_id;
        // An erased key is a legitimate end of a sample.
        let Some(key) = self.session_key(&id.session()).await? else {
            return Ok(views);
        };
        let samples = key.open(id, Purpose::Samples, sealed)?;
        let samples = serde_json::from_slice(&samples)
            .map_err(|error| GateError::Damaged(error.to_string()))?;
        let own = views.iter_mut().find(|view| view.number == finished.number);
        if let Some(view) = own {
            view.samples = samples;
        }
        Ok(views)
    }
}

struct Watched {
    changed: Option<u64>,
    sample: Option<Sample>,
    masked: MaskedCounts,
    took_us: u64,
}

fn failed(request: &RequestId, number: u32, unfinished: Unfinished) -> Seen {
    let Unfinished {
        failure,
        code,
        message,
        masked,
        ..
    } = unfinished;
    let event = PreviewFailed {
        request_id: request.clone(),
        number,
        failure,
        code,
        message,
        masked,
    };
    Seen {
        event: EventBody::PreviewFailed(Box::new(event)),
        samples: Samples::default(),
    }
}

/// The operations of a rehearsal, with the change's own parameters.
fn rehearsed(rehearsal: sql::Rehearsal, asked: &[Param]) -> Result<Rehearsed, String> {
    let operation = |statement, params| {
        SqlOperation::new(statement, params, None)
            .map(Operation::Sql)
            .map_err(|error| error.to_string())
    };
    let before = rehearsal.before.and_then(|sample| {
        let params = sample.params.iter().map(|index| asked.get(*index).cloned());
        let params: Option<Vec<_>> = params.collect();
        Some(operation(sample.statement, params?))
    });
    Ok(Rehearsed {
        before: before.transpose()?,
        change: operation(rehearsal.change, asked.to_vec())?,
    })
}
