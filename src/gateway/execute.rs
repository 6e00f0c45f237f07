//! Spends a permit: run, mask, and say what happened in an event.

use std::{borrow::Cow, ops::ControlFlow, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::{
    GateError, Gateway, Ports, Responder,
    answer::{Coming, Stop},
    judge::Assessed,
    outcome::Printed,
    ports::{
        AnswerHead, AppendError, Clock, Completion, EventStore, Execution, Output, ResultSink,
        RunError, Targets,
    },
    seal::{Purpose, SealError, SessionKey},
};
use crate::domain::{
    classify::{Effect, Facts},
    connection::{Access, ConnectionName, Ending},
    id::RequestId,
    masking::{Cell, MaskedColumn, MaskedCounts, MaskedText, Masking, RowMasker, ServerColumn},
    operation::Operation,
    policy::{ConnectionRules, OnFinding, Policy, RecordedResults},
    record::Head,
    session::{
        AnswerRecord, ApprovalRequested, EventBody, ExecutionFailed, ExecutionFinished, Failure,
        LEASE_GRACE, OutcomeUnknown, Permit, Request, RequestDecided, RequestStatus, Sealed, Spent,
        ask_about_answer, ask_again,
    },
};

/// Beyond a statement's time limit, how long the target may take to confirm that it stopped.
const CONFIRM: Duration = Duration::from_secs(8);

/// What is said before the target's words where it refused what had been judged a read.
const SECOND_WALL: &str = "The second wall held: what was judged a read wants more than the read credential may do, \
    so nothing was changed. The target says: ";

/// Whoever waits for an execution; the default: nobody.
#[derive(Debug, Default)]
pub(super) struct Caller {
    /// Fires when they leave.
    pub(super) left: CancellationToken,
    /// Takes an HTTP answer while it comes.
    pub(super) responder: Option<Responder>,
}

/// How an execution went: withheld from everyone until `event` is on record.
#[derive(Debug)]
pub(super) struct Ran {
    /// What goes on record.
    pub(super) event: EventBody,
    /// The masked result: a table's rows, or a command's output.
    pub(super) result: Option<Box<RawValue>>,
    /// Why nothing was sent, if nothing was.
    pub(super) unreachable: Option<String>,
    /// How many rows it changed before it was rolled back, and how many were agreed to, if that is why.
    pub(super) exceeded: Option<(u64, u64)>,
}

impl Ran {
    /// Whether people are asked something because of it.
    pub(super) fn asks(&self) -> bool {
        self.exceeded.is_some() || self.is_held()
    }

    /// Whether its answer is kept back until people agree to give it.
    pub(super) fn is_held(&self) -> bool {
        matches!(&self.event, EventBody::ExecutionFinished(finished) if finished.held_answer().is_some())
    }

    /// What they are asked about its answer.
    pub(super) fn question(
        &self,
        decided: &RequestDecided,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<ApprovalRequested> {
        match &self.event {
            EventBody::ExecutionFinished(finished) => {
                ask_about_answer(decided, finished, policy, now)
            }
            _ => None,
        }
    }
}

impl<P: Ports> Gateway<P> {
    /// Runs what `permit` allows, once. A caller who leaves ends a read; a change goes on.
    pub(super) async fn execute(
        &self,
        permit: Permit,
        assessed: &Assessed,
        policy: &Policy,
        key: &SessionKey,
        caller: Caller,
    ) -> Ran {
        let spent = permit.spend();
        let (request, budget) = (spent.request.clone(), spent.budget);
        let left = match spent.access {
            Access::Read => caller.left,
            Access::Write => CancellationToken::new(),
        };
        let rules = policy.connections.get(&spent.connection);
        let on_finding = rules.map(ConnectionRules::on_finding).unwrap_or_default();
        let is_undone = spent.access == Access::Read || spent.ending == Ending::RollBack;
        let max_rows = (spent.operation.sql())
            .and_then(|sql| sql.max_rows)
            .map_or(budget.rows, |asked| asked.min(budget.rows));
        let mut sink = Sink::new(
            &request,
            &policy.masking,
            &assessed.facts,
            max_rows,
            budget.bytes,
        );
        sink.on_finding = on_finding;
        // What may have to be kept from its caller is seen whole first.
        sink.responder = (caller.responder).filter(|_| on_finding == OnFinding::Mask);
        let (result, took_us) = self
            .dispatch(spent, assessed, policy, &mut sink, &left)
            .await;
        if result.is_ok() {
            tokio::select! {
                biased;
                () = sink.end() => {}
                () = self.parts.clock.sleep(CONFIRM) => sink.cut("its caller takes it too slowly"),
            }
        }
        match result {
            Ok(completion) => self.finished(request, policy, key, sink, completion, took_us),
            Err(error) => failed(request, is_undone, sink, error, budget.timeout),
        }
    }

    /// Runs what was permitted into `sink`, with values in place of its pseudonyms, and says how long it took, in
    /// microseconds.
    #[tracing::instrument(level = "debug", name = "execute", skip_all)]
    pub(super) async fn dispatch(
        &self,
        spent: Spent,
        assessed: &Assessed,
        policy: &Policy,
        sink: &mut Sink<'_>,
        left: &CancellationToken,
    ) -> (Result<Completion, RunError>, u64) {
        let sink = &mut super::measured::Timed::new(sink);
        let (access, budget, connection) = (spent.access, spent.budget, spent.connection.clone());
        let exact = with_values(&connection, &spent.operation, &assessed.facts, policy);
        let began = self.parts.clock.now();
        let late = spent.begin_before.is_some_and(|end| began >= end);
        let result = match exact {
            _ if late => Err(RunError::Unreachable(
                "this process was held up for too long before it could begin".into(),
            )),
            _ if let Some(why) = &assessed.unreachable => {
                Err(RunError::Unreachable(why.to_string()))
            }
            Err(why) => Err(RunError::Unreachable(why)),
            Ok(exact) => {
                let revealed = match exact {
                    Cow::Owned(revealed) => Some(revealed),
                    Cow::Borrowed(_) => None,
                };
                let has_values = revealed.is_some();
                let execution = Execution {
                    request: spent.request,
                    connection: spent.connection,
                    operation: revealed.unwrap_or(spent.operation),
                    access,
                    budget,
                    ending: spent.ending,
                };
                tokio::select! {
                    result = self.parts.targets.run(execution, sink, left) => {
                        result.map_err(|error| if has_values { quoting(error) } else { error })
                    }
                    () = self.parts.clock.sleep(budget.timeout.saturating_add(CONFIRM)) => {
                        Err(match access {
                            Access::Read => RunError::Cancelled { timeout: true },
                            Access::Write => RunError::Unknown("the target stopped answering".into()),
                        })
                    }
                }
            }
        };
        // However it ended: what is not known to have changed nothing may have changed what names mean.
        if assessed.facts.class >= Effect::Destructive {
            self.parts.targets.catalog_changed(&connection);
        }
        let took = self.parts.clock.now().as_microsecond() - began.as_microsecond();
        (result, u64::try_from(took).unwrap_or(0))
    }

    fn finished(
        &self,
        request: RequestId,
        policy: &Policy,
        key: &SessionKey,
        sink: Sink<'_>,
        completion: Completion,
        took_us: u64,
    ) -> Ran {
        let mut sink = sink;
        if let Some(why) = &completion.cut {
            sink.cut(why);
        }
        let Taken {
            columns,
            result,
            row_count,
            truncated,
            mut notices,
            masked,
            answer,
        } = sink.finish();
        let kept = result.as_ref().filter(|result| {
            policy.record.results == RecordedResults::Masked
                && result.len() as u64 <= policy.record.max_result
        });
        // A result that cannot be sealed is not kept; it is no reason to forget that the operation ran.
        let sealed =
            kept.map(|result| self.seal(key, &request, Purpose::Result, result.as_bytes()));
        let sealed = sealed.and_then(|sealed| {
            sealed
                .inspect_err(|error| tracing::error!(%request, %error, "result not kept"))
                .ok()
        });
        let withheld = answer.as_ref().is_some_and(|answer| answer.withheld);
        if withheld && result.is_some() && sealed.is_none() {
            notices.push(
                "something was found in the answer, and it is too large to be kept until people agree to give it \
                 (`record.max_result`): ask for less at once"
                    .into(),
            );
        }
        let event = EventBody::ExecutionFinished(Box::new(ExecutionFinished {
            request_id: request,
            row_count,
            affected: completion.affected,
            truncated,
            masked,
            columns,
            notices,
            exit_code: completion.exit_code,
            answer,
            result: sealed,
            took_us,
        }));
        Ran {
            event,
            // INVARIANT: what is kept back leaves by way of the record alone, once people have agreed.
            result: result
                .filter(|_| !withheld)
                .and_then(|result| RawValue::from_string(result).ok()),
            unreachable: None,
            exceeded: None,
        }
    }

    /// Runs what `permit` allows, and puts its outcome on record.
    pub(super) async fn run_and_record(
        &self,
        permit: Permit,
        assessed: &Assessed,
        policy: &Arc<Policy>,
        key: &SessionKey,
        caller: Caller,
    ) -> Result<Ran, GateError> {
        let ran = self.execute(permit, assessed, policy, key, caller).await;
        let Some(request) = ran.event.request().cloned() else {
            return Err(GateError::Internal);
        };
        self.record_outcome(&request, &ran, policy).await?;
        if ran.asks() {
            // Its approvers are asked again; if telling them fails, `reconcile` does it.
            if let Err(error) = self.settle(&request).await {
                tracing::warn!(%request, %error, "approvers not told yet");
            }
        }
        Ok(ran)
    }

    /// Puts an outcome on record, trying for as long as its lease would have lasted: it is the one thing that cannot
    /// be found out again.
    async fn record_outcome(
        &self,
        request: &RequestId,
        ran: &Ran,
        policy: &Policy,
    ) -> Result<(), GateError> {
        let now = self.parts.clock.now();
        let unfinished = |request: &Request| {
            let news = match request.status() {
                RequestStatus::Executing => true,
                // `reconcile` was first; only someone who knows better has something to add.
                RequestStatus::OutcomeUnknown => {
                    !matches!(ran.event, EventBody::ExecutionOutcomeUnknown(_))
                }
                _ => false,
            };
            if !news {
                return Vec::new();
            }
            let asked = match ran.exceeded {
                Some(rows) => ask_again(request, rows, policy, now),
                None => ran.question(&request.decided, policy, now),
            };
            let asked = asked.map(|asked| EventBody::ApprovalRequested(Box::new(asked)));
            std::iter::once(ran.event.clone()).chain(asked).collect()
        };
        self.note_surely(request, unfinished).await
    }

    /// Notes what cannot be found out again, trying for as long as a lease lasts beyond its execution.
    pub(super) async fn note_surely(
        &self,
        request: &RequestId,
        what: impl Fn(&Request) -> Vec<EventBody>,
    ) -> Result<(), GateError> {
        let mut pause = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        loop {
            match self.note(request, &what).await {
                Ok(()) => return Ok(()),
                Err(error @ (GateError::RecordUnavailable(_) | GateError::Busy(_)))
                    if waited < LEASE_GRACE =>
                {
                    tracing::warn!(%request, %error, "outcome not on record yet; trying again");
                }
                Err(error) => {
                    tracing::error!(%request, %error, "outcome could not be put on record");
                    return Err(GateError::OutcomeNotRecorded(request.clone()));
                }
            }
            self.parts.clock.sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Appends the events that `what` finds right for the request as it stands, if any, after whatever others append
    /// meanwhile.
    pub(super) async fn note(
        &self,
        request: &RequestId,
        what: impl Fn(&Request) -> Vec<EventBody>,
    ) -> Result<(), GateError> {
        let session = request.session();
        for _ in 0..32 {
            let head: Option<Head> = self.parts.store.head(&session).await?;
            let events = self.parts.store.request(request).await?;
            let (Some(head), Some(folded)) = (head, Request::fold(&events)?) else {
                return Err(GateError::UnknownRequest(request.clone()));
            };
            let events = what(&folded);
            if events.is_empty() {
                return Ok(());
            }
            match self.append(&session, head, events, None).await {
                Ok(_) => return Ok(()),
                Err(AppendError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(GateError::Busy(session))
    }

    /// Seals `text` under a fresh nonce, bound to its request and purpose.
    pub(super) fn seal(
        &self,
        key: &SessionKey,
        request: &RequestId,
        purpose: Purpose,
        text: &[u8],
    ) -> Result<Sealed, SealError> {
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&self.parts.clock.entropy()[..12]);
        key.seal(request, purpose, nonce, text)
    }
}

/// The operation with values in place of its pseudonyms, for the target alone. It was judged to have none that cannot be
/// turned back; whoever finds one now runs nothing.
fn with_values<'o>(
    connection: &ConnectionName,
    operation: &'o Operation,
    facts: &Facts,
    policy: &Policy,
) -> Result<Cow<'o, Operation>, String> {
    let Some(rules) = policy.connections.get(connection) else {
        return Err("the connection is gone from the policy".into());
    };
    let revealed = policy.masking.reveal(rules.kind, facts, operation);
    revealed.map_err(|refused| refused.to_string())
}

/// An error of a statement that the gate has put values into: it can quote them before any row was looked at.
fn quoting(error: RunError) -> RunError {
    match error {
        RunError::Refused {
            code,
            message,
            second_wall,
            unread: _,
        } => RunError::Refused {
            code,
            message,
            second_wall,
            unread: false,
        },
        other => other,
    }
}

fn failed(
    request: RequestId,
    is_undone: bool,
    sink: Sink<'_>,
    error: RunError,
    limit: Duration,
) -> Ran {
    let (unreachable, exceeded) = match &error {
        RunError::Unreachable(_) => (true, None),
        RunError::TooMany { affected, at_most } => (false, Some((*affected, *at_most))),
        _ => (false, None),
    };
    if let RunError::Unknown(why) = &error
        && !is_undone
    {
        let why = sink
            .masking
            .text(why, &mut MaskedCounts::default())
            .into_inner();
        let event = OutcomeUnknown {
            request_id: request,
            why,
        };
        return Ran {
            event: EventBody::ExecutionOutcomeUnknown(event),
            result: None,
            unreachable: None,
            exceeded,
        };
    }
    let Unfinished {
        failure,
        code,
        message,
        notices,
        masked,
        answer,
    } = sink.unfinished(error, limit);
    Ran {
        unreachable: unreachable.then(|| message.clone()),
        event: EventBody::ExecutionFailed(Box::new(ExecutionFailed {
            request_id: request,
            failure,
            code,
            message,
            notices,
            masked,
            answer,
        })),
        result: None,
        exceeded,
    }
}

/// Why something has no completion, masked.
pub(super) struct Unfinished {
    pub(super) failure: Failure,
    pub(super) code: Option<String>,
    pub(super) message: String,
    notices: Vec<String>,
    pub(super) masked: MaskedCounts,
    answer: Option<AnswerRecord>,
}

/// Masks what streams in, within the budget.
pub(super) struct Sink<'a> {
    request: RequestId,
    masking: &'a Masking,
    facts: &'a Facts,
    /// Where an HTTP answer goes while it comes; `None`: it is kept until it is there.
    responder: Option<Responder>,
    on_finding: OnFinding,
    result: Incoming<'a>,
    rows: u64,
    bytes: u64,
    max_rows: u64,
    max_bytes: u64,
    truncated: bool,
    notices: Vec<String>,
    masked: MaskedCounts,
}

/// What comes back, as far as it has.
enum Incoming<'a> {
    /// Nothing has.
    Nothing,
    /// Rows.
    Table(Box<RowMasker<'a>>),
    /// A command's two outputs.
    Printed {
        stdout: Box<MaskedText<'a>>,
        stderr: Box<MaskedText<'a>>,
    },
    /// An HTTP answer; `refused`: it cannot be handed on.
    Answer {
        coming: Box<Coming<'a>>,
        refused: bool,
    },
}

/// The most notices kept of one statement.
const MAX_NOTICES: usize = 50;

/// What has come, masked.
pub(super) struct Taken {
    pub(super) columns: Vec<MaskedColumn>,
    /// `None`: its caller has had it, or is not to have it.
    pub(super) result: Option<String>,
    row_count: u64,
    truncated: bool,
    notices: Vec<String>,
    pub(super) masked: MaskedCounts,
    answer: Option<AnswerRecord>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        request: &RequestId,
        masking: &'a Masking,
        facts: &'a Facts,
        max_rows: u64,
        max_bytes: u64,
    ) -> Self {
        Self {
            request: request.clone(),
            masking,
            facts,
            responder: None,
            on_finding: OnFinding::Mask,
            result: Incoming::Nothing,
            rows: 0,
            bytes: 0,
            max_rows,
            max_bytes,
            truncated: false,
            notices: Vec::new(),
            masked: MaskedCounts::default(),
        }
    }

    pub(super) fn finish(self) -> Taken {
        let Self {
            result,
            rows: row_count,
            truncated,
            notices,
            mut masked,
            on_finding,
            ..
        } = self;
        let mut answer = None;
        let (columns, result) = match result {
            Incoming::Table(masker) => {
                let (rows, counts) = masker.finish();
                masked.add(&counts);
                let rows = rows.into_inner();
                (rows.columns, Some(rows.rows))
            }
            Incoming::Printed { stdout, stderr } => {
                let printed = Printed {
                    stdout: stdout.finish(&mut masked).into_inner(),
                    stderr: stderr.finish(&mut masked).into_inner(),
                };
                (Vec::new(), Some(printed.to_json()))
            }
            Incoming::Answer { coming, refused } => {
                let found = masked.cells > 0;
                let lost = refused || found && on_finding == OnFinding::Deny;
                answer = Some(coming.record(lost || found && on_finding != OnFinding::Mask));
                let kept = coming.kept().filter(|_| !lost);
                (
                    Vec::new(),
                    kept.and_then(|kept| serde_json::to_string(&kept).ok()),
                )
            }
            Incoming::Nothing => (Vec::new(), Some("[]".into())),
        };
        Taken {
            columns,
            result,
            row_count,
            truncated,
            notices,
            masked,
            answer,
        }
    }

    /// No more comes of an HTTP answer.
    pub(super) async fn end(&mut self) {
        let Incoming::Answer {
            coming,
            refused: false,
        } = &mut self.result
        else {
            return;
        };
        if let Err(stop) = coming.end(self.responder.as_ref(), &mut self.masked).await {
            self.cut(&stop.to_string());
        }
    }

    /// What came is not whole, for this reason.
    pub(super) fn cut(&mut self, why: &str) {
        self.truncated = true;
        self.notice(&format!("the answer breaks off: {why}"));
    }
}

impl Sink<'_> {
    /// What is to be said of an execution that changed nothing.
    pub(super) fn unfinished(self, error: RunError, limit: Duration) -> Unfinished {
        let (masking, facts) = (self.masking, self.facts);
        let Taken {
            notices,
            mut masked,
            answer,
            ..
        } = self.finish();
        let (failure, code, message) = match error {
            RunError::Unreachable(why) => {
                let why = masking.text(&why, &mut masked);
                (Failure::Unreachable, None, why.into_inner())
            }
            RunError::Refused {
                code,
                message,
                second_wall,
                unread,
            } => {
                let failure = if second_wall {
                    Failure::SecondWall
                } else {
                    Failure::Target
                };
                let said = masking.message(facts, unread, &message, &mut masked);
                let said = said.into_inner();
                let said = if second_wall {
                    format!("{SECOND_WALL}{said}")
                } else {
                    said
                };
                (failure, code, said)
            }
            RunError::TooMany { affected, at_most } => (
                Failure::TooManyRows,
                None,
                format!(
                    "It would have changed {affected} rows, and at most {at_most} were agreed to: it was rolled back."
                ),
            ),
            RunError::Cancelled { timeout: true } => (
                Failure::Timeout,
                None,
                format!(
                    "It took longer than this connection's budget of {} s and was cancelled; narrow \
                     it down.",
                    limit.as_secs()
                ),
            ),
            RunError::Cancelled { timeout: false } => (
                Failure::Cancelled,
                None,
                "The caller left, and it was cancelled.".into(),
            ),
            // What is rolled back in any case has changed nothing, even if it was lost on the way.
            RunError::Unknown(why) => {
                let why = masking.text(&why, &mut masked);
                (Failure::Target, None, why.into_inner())
            }
        };
        Unfinished {
            failure,
            code,
            message,
            notices,
            masked,
            answer,
        }
    }
}

impl ResultSink for Sink<'_> {
    fn columns(&mut self, columns: &[ServerColumn]) {
        self.result = Incoming::Table(Box::new(self.masking.rows(self.facts, columns)));
    }

    fn output(&mut self, from: Output, bytes: &[u8]) -> ControlFlow<()> {
        if let Incoming::Nothing = self.result {
            self.result = Incoming::Printed {
                stdout: Box::new(self.masking.incoming()),
                stderr: Box::new(self.masking.incoming()),
            };
        }
        let Incoming::Printed { stdout, stderr } = &mut self.result else {
            return ControlFlow::Break(());
        };
        let room = self.max_bytes.saturating_sub(self.bytes);
        let fits = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
        match from {
            Output::Stdout => stdout.push(&bytes[..fits]),
            Output::Stderr => stderr.push(&bytes[..fits]),
        }
        self.bytes += fits as u64;
        if fits < bytes.len() {
            self.truncated = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn head(&mut self, head: AnswerHead) -> BoxFuture<'_, ControlFlow<()>> {
        Box::pin(async move {
            let refused = head.refused.clone();
            let to = self.responder.as_ref().filter(|_| refused.is_none());
            let (coming, handed) = Coming::begin(
                self.masking,
                &self.request,
                head,
                self.max_bytes,
                to,
                &mut self.masked,
            )
            .await;
            self.result = Incoming::Answer {
                coming: Box::new(coming),
                refused: refused.is_some(),
            };
            let stop = match (&refused, handed) {
                (None, Ok(())) => return ControlFlow::Continue(()),
                (None, Err(gone)) => Stop::from(gone).to_string(),
                (Some(why), _) => why.clone(),
            };
            self.cut(&stop);
            ControlFlow::Break(())
        })
    }

    fn body<'s>(&'s mut self, bytes: &'s [u8]) -> BoxFuture<'s, ControlFlow<()>> {
        Box::pin(async move {
            let Incoming::Answer { coming, .. } = &mut self.result else {
                return ControlFlow::Break(());
            };
            match coming
                .take(bytes, self.responder.as_ref(), &mut self.masked)
                .await
            {
                Ok(()) => ControlFlow::Continue(()),
                Err(stop) => {
                    self.cut(&stop.to_string());
                    ControlFlow::Break(())
                }
            }
        })
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> ControlFlow<()> {
        let Incoming::Table(masker) = &mut self.result else {
            return ControlFlow::Break(());
        };
        if self.rows >= self.max_rows || self.bytes > self.max_bytes {
            self.truncated = true;
            return ControlFlow::Break(());
        }
        self.bytes = masker.row(cells) as u64;
        self.rows += 1;
        ControlFlow::Continue(())
    }

    fn notice(&mut self, message: &str) {
        if self.notices.len() < MAX_NOTICES {
            let notice = self.masking.notice(self.facts, message, &mut self.masked);
            self.notices.push(notice.into_inner());
        }
    }
}
