//! One request, from the door to its outcome.

use std::{borrow::Cow, sync::Arc};

use futures_util::future;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    GateError, Gateway, Outcome, Ports, Responder,
    claim::Claim,
    execute::{Caller, Ran},
    joining::Held,
    judge::Assessed,
    measured,
    ports::{ApprovalBus, ApprovalNotice, Clock, EventStore, Targets},
    seal::Purpose,
    sessions::{Place, Placed},
};
use crate::domain::{
    classify::Facts,
    connection::ConnectionName,
    id::{RequestId, SessionId},
    masking::MaskedCounts,
    operation::{BadOperation, HttpOperation, MAX_REASON, Operation},
    policy::{ApproverGroupName, ConnectionRules, Decision, Endpoint, Policy, Question, RuleName},
    principal::Principal,
    record::Hash,
    rewrite::{Rewrite, is_no_worse, rewrite},
    session::{
        Action, ApprovalRequested, Asked, DecisionRecord, EventBody, Next, Preview, Request,
        RequestDecided, RequestRef, RequestStatus, Rewritten, verdict, verdict_on_rewritten,
    },
};

/// How long the planner may take to say what a statement would touch.
const PREVIEW_LIMIT: std::time::Duration = std::time::Duration::from_secs(3);

/// What a caller asks for.
#[derive(Debug)]
pub struct Ask {
    /// Who.
    pub principal: Principal,
    /// Where.
    pub connection: ConnectionName,
    /// What.
    pub operation: Operation,
    /// Why, in their words.
    pub reason: Option<String>,
    /// In which session; `None`: a new one.
    pub session: Option<SessionId>,
    /// Makes a repeated call the same request.
    pub idempotency_key: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Takes an HTTP answer while it comes; `None`: it is part of the outcome.
    pub responder: Option<Responder>,
}

/// How a door wants a request taken. The default: as policy says, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// What is not proven to only read is denied, on record, whatever policy says; these words say what to do instead.
    pub only_reads: Option<&'static str>,
    /// What would be held joins the caller's same operation that is held already, rather than asking approvers again.
    pub joins: bool,
}

impl<P: Ports> Gateway<P> {
    /// Judges, records and, where policy lets it, runs one operation. If the caller goes away, a read is cancelled at
    /// the target; an effect runs to its end and is recorded.
    pub async fn submit(self: &Arc<Self>, ask: Ask) -> Result<Outcome, GateError> {
        self.submit_as(ask, Manner::default()).await
    }

    /// The same, taken in a manner of the door's.
    pub async fn submit_as(
        self: &Arc<Self>,
        ask: Ask,
        manner: Manner,
    ) -> Result<Outcome, GateError> {
        if self.running.is_closed() {
            return Err(GateError::Stopping);
        }
        let left = CancellationToken::new();
        let _leaves_when_dropped = left.clone().drop_guard();
        let gateway = Arc::clone(self);
        let work = self.running.spawn(
            async move { Box::pin(gateway.admit(ask, manner, left)).await }.in_current_span(),
        );
        work.await.unwrap_or(Err(GateError::Internal))
    }

    #[tracing::instrument(name = "submit", skip_all, fields(session, request, connection))]
    async fn admit(
        self: &Arc<Self>,
        mut ask: Ask,
        manner: Manner,
        left: CancellationToken,
    ) -> Result<Outcome, GateError> {
        let policy = self.policy();
        let caller = Caller {
            left,
            responder: ask.responder.take(),
        };
        if let Some(masked) = outgoing(&policy, &ask) {
            ask.operation = masked;
        }
        let Ask {
            principal,
            connection: name,
            operation,
            reason,
            ..
        } = &ask;
        if let Some(reason) = reason.as_ref().filter(|reason| reason.len() > MAX_REASON) {
            return Err(BadOperation::ReasonTooLong(reason.len()).into());
        }
        let connection = policy
            .connections
            .get(name)
            .ok_or_else(|| GateError::UnknownConnection(name.clone()))?;
        operation.suits(name, connection.kind)?;
        let limit = connection.budget.requests_per_minute;
        self.rates
            .take(principal.id(), name, limit, self.parts.clock.now())
            .map_err(|retry_after| GateError::RateLimited {
                connection: name.clone(),
                limit,
                retry_after,
            })?;
        let (session, key) = (ask.session.as_ref(), ask.idempotency_key.as_deref());
        let place = self.place(principal, name, session, key).await?;
        measured::placed(&place.request, name);
        let digest = operation.digest(name, principal.id());
        if place.repeatable
            && let Some(outcome) = self.repeated(&place, digest).await?
        {
            return Ok(outcome);
        }

        let Shaped {
            operation,
            assessed,
            judged,
            rewritten,
        } = self
            .shape(principal, connection, operation, &policy)
            .await
            .within(manner, policy.version);
        let facts = &*assessed.facts;
        let mut caller = caller;
        // What waits to be given is not called for a second time.
        if judged.record.action != Action::Deny
            && !place.repeatable
            && policy.asked_about_answers(name).is_some()
            && let Some(outcome) = self
                .held_alike(principal, name, digest, Held::Answer)
                .await?
        {
            return Ok(outcome);
        }
        if judged.record.action == Action::RequireApproval && !place.repeatable {
            // Whoever takes an answer while it comes did not wait for the approval of the same call made before.
            let grants = caller.responder.is_some();
            if grants {
                let what = (&operation, &assessed);
                match self.claimed(&ask, what, &policy, caller).await? {
                    Claim::Ran(outcome) => return Ok(*outcome),
                    Claim::Nothing(unused) => caller = unused,
                }
            }
            if (grants || manner.joins)
                && let Some(outcome) = self
                    .held_alike(principal, name, digest, Held::Call { grants })
                    .await?
            {
                return Ok(outcome);
            }
        }
        let preview = match judged.record.action {
            Action::RequireApproval if facts.class.changes_something() => Some(
                self.preview_of(connection, &operation, facts, &policy)
                    .await,
            ),
            _ => None,
        };
        let judged_as = (&operation, facts);
        let decided = self.describe(&ask, judged_as, rewritten, &place, &policy, judged.record)?;
        let effect_next = crate::domain::session::ask(Asked {
            decided: decided.clone(),
            operation,
            facts,
            connection,
            policy: &policy,
            from: &judged.from,
            preview,
            streams: caller.responder.is_some(),
            instance: &self.parts.instance,
            now: self.parts.clock.now(),
        });
        let (place, policy) = (&place, &policy);
        self.follow(
            place,
            digest,
            &decided,
            effect_next,
            &assessed,
            policy,
            caller,
        )
        .await
    }

    /// What `operation` would touch, as an approver may see it.
    async fn preview_of(
        &self,
        connection: &ConnectionRules,
        operation: &Operation,
        facts: &Facts,
        policy: &Policy,
    ) -> Preview {
        let masking = &policy.masking;
        let exact = match masking.reveal(connection.kind, facts, operation) {
            Ok(exact) => exact,
            Err(refused) => {
                return Preview {
                    estimated_rows: None,
                    note: refused.to_string(),
                };
            }
        };
        let preview = self
            .parts
            .targets
            .preview(&connection.name, &exact, PREVIEW_LIMIT);
        let Preview {
            estimated_rows,
            note,
        } = preview.await;
        // A planner that fails may quote a value, even one that only the gate put there.
        let counts = &mut MaskedCounts::default();
        let note = match exact {
            Cow::Borrowed(_) => masking.text(&note, counts),
            Cow::Owned(_) => masking.message(facts, false, &note, counts),
        };
        Preview {
            estimated_rows,
            note: note.into_inner(),
        }
    }

    /// Does what follows from a judged request: record, run, disclose, in the order each kind needs.
    #[expect(
        clippy::too_many_arguments,
        reason = "one request's whole context, used once"
    )]
    async fn follow(
        self: &Arc<Self>,
        place: &Place,
        digest: Hash,
        decided: &RequestDecided,
        next: Next,
        assessed: &Assessed,
        policy: &Arc<Policy>,
        caller: Caller,
    ) -> Result<Outcome, GateError> {
        match next {
            Next::Refuse(events) => match self.record_new(place, events.clone()).await? {
                Placed::OnRecord(_) => self.outcome_now(&events, None),
                Placed::Repeated => self.repeated_surely(place, digest).await,
            },
            // INVARIANT: nothing is disclosed before its record is durable: what `ran` becomes is withheld until the append.
            Next::Read(mut events, permit) => {
                let ran = self
                    .execute(permit, assessed, policy, &place.key, caller)
                    .await;
                events.push(ran.event.clone());
                let asked = ran.question(decided, policy, self.parts.clock.now());
                events.extend(asked.map(|asked| EventBody::ApprovalRequested(Box::new(asked))));
                let is_held = ran.is_held();
                // What would be disclosed is made while the disk is at work.
                let recorded = self.record_new(place, events.clone());
                let disclosed = async { self.disclose(decided, &events, ran) };
                let (recorded, disclosed) = future::join(recorded, disclosed).await;
                match recorded? {
                    Placed::OnRecord(_) if is_held => {
                        let request = &decided.request_id;
                        if let Err(error) = self.settle(request).await {
                            tracing::warn!(%request, %error, "approvers not told yet");
                        }
                        self.outcome_on_record(request, None).await
                    }
                    Placed::OnRecord(_) => disclosed,
                    Placed::Repeated => self.repeated_surely(place, digest).await,
                }
            }
            Next::Act(mut events, permit) => {
                let on_record = match self.record_new(place, events.clone()).await? {
                    Placed::OnRecord(on_record) => on_record,
                    Placed::Repeated => return self.repeated_surely(place, digest).await,
                };
                let permit = on_record.release(permit)?;
                let ran = self
                    .run_and_record(permit, assessed, policy, &place.key, caller)
                    .await?;
                if ran.is_held() {
                    return self.outcome_on_record(&decided.request_id, None).await;
                }
                events.push(ran.event.clone());
                self.disclose(decided, &events, ran)
            }
            Next::Hold(events, requested) => {
                let on_record = match self.record_new(place, events.clone()).await? {
                    Placed::OnRecord(on_record) => on_record,
                    Placed::Repeated => return self.repeated_surely(place, digest).await,
                };
                let requested = on_record.release(requested)?;
                let outcome = self.outcome_now(&events, None)?;
                let gateway = Arc::clone(self);
                let decided = decided.clone();
                // The caller need not wait for the approvers to be told; if it fails, `reconcile` tells them.
                self.running.spawn(async move {
                    if let Err(error) = gateway.publish(&decided, &requested).await {
                        tracing::warn!(request = %decided.request_id, %error, "approvers not told yet");
                    }
                }.in_current_span());
                Ok(outcome)
            }
        }
    }

    /// What policy makes of what is asked: the operation as it is to run, what that would do, and what policy says to it.
    async fn shape(
        &self,
        principal: &Principal,
        connection: &ConnectionRules,
        asked: &Operation,
        policy: &Policy,
    ) -> Shaped {
        let before = self.assess(connection, asked).await;
        let question = Question {
            principal,
            connection,
            facts: &before.facts,
            now: self.parts.clock.now(),
        };
        let (rule, into) = match verdict(policy, &question, asked) {
            Decision::Rewrite { rule, into } => (rule, into),
            decision => {
                return Shaped {
                    judged: Judged::new(decision, policy.version),
                    operation: asked.clone(),
                    assessed: before,
                    rewritten: None,
                };
            }
        };
        let refused = |why: String| {
            let deny = Decision::Deny {
                rule: Some(rule.clone()),
                message: format!("Policy lets this through as {into} only, and {why}."),
            };
            Shaped {
                judged: Judged::new(deny, policy.version),
                operation: asked.clone(),
                assessed: before.clone(),
                rewritten: None,
            }
        };
        let kind = connection.kind;
        let becomes = rewrite(into, kind, asked, &before.facts, before.catalog());
        let (operation, after, rewritten) = match becomes {
            Err(why) => return refused(why),
            Ok(None) => (asked.clone(), before.clone(), None),
            Ok(Some(operation)) => {
                let after = self.assess(connection, &operation).await;
                if !is_no_worse(into, &after.facts, &before.facts) {
                    return refused("it is not certain that it would do no more then".into());
                }
                (operation, after, Some((rule.clone(), into)))
            }
        };
        let question = Question {
            facts: &after.facts,
            ..question
        };
        Shaped {
            judged: Judged::new(
                verdict_on_rewritten(policy, &question, &operation, &rule),
                policy.version,
            ),
            operation,
            assessed: after,
            rewritten,
        }
    }

    fn describe(
        &self,
        asked: &Ask,
        (operation, facts): (&Operation, &Facts),
        rewritten: Option<(RuleName, Rewrite)>,
        place: &Place,
        policy: &Policy,
        decision: DecisionRecord,
    ) -> Result<RequestDecided, GateError> {
        // Counted for results only: what the caller sent is no disclosure.
        let mut counts = MaskedCounts::default();
        let mut shown = |text: &str| policy.masking.text(text, &mut counts).into_inner();
        let digest =
            |operation: &Operation| operation.digest(&asked.connection, asked.principal.id());
        let sealed = |operation: &Operation, purpose| {
            let exact = serde_json::to_vec(operation).map_err(|_| GateError::Internal)?;
            Ok::<_, GateError>(self.seal(&place.key, &place.request, purpose, &exact)?)
        };
        let rewritten = match rewritten {
            Some((rule, into)) => Some(Rewritten {
                rule,
                into,
                asked: shown(&asked.operation.shown()),
                sealed: sealed(&asked.operation, Purpose::Asked)?,
                digest: digest(&asked.operation),
            }),
            None => None,
        };
        Ok(RequestDecided {
            request_id: place.request.clone(),
            principal: asked.principal.described(),
            connection: asked.connection.clone(),
            statement: shown(&operation.shown()),
            params: (operation.sql().into_iter())
                .flat_map(|sql| &sql.params)
                .map(|param| param.as_text().map(&mut shown))
                .collect(),
            sealed: sealed(operation, Purpose::Operation)?,
            digest: digest(operation),
            reason: asked.reason.as_deref().map(&mut shown),
            effect: facts.class,
            objects: facts.objects.iter().cloned().collect(),
            unbounded: facts.unbounded,
            why: shown(&facts.why),
            decision,
            rewritten,
            traceparent: asked.traceparent.clone(),
        })
    }

    fn disclose(
        &self,
        decided: &RequestDecided,
        events: &[EventBody],
        ran: Ran,
    ) -> Result<Outcome, GateError> {
        if let Some(why) = ran.unreachable {
            return Err(GateError::TargetUnreachable {
                request: decided.request_id.clone(),
                connection: decided.connection.clone(),
                why,
            });
        }
        self.outcome_now(events, ran.result)
    }

    /// The outcome of a request as the record has it; `result` is what it gave, masked.
    pub(super) async fn outcome_on_record(
        &self,
        request: &RequestId,
        result: Option<Box<serde_json::value::RawValue>>,
    ) -> Result<Outcome, GateError> {
        let events = self.parts.store.request(request).await?;
        let request = Request::fold(&events)?.ok_or(GateError::Internal)?;
        Ok(Outcome::of(&request, result))
    }

    fn outcome_now(
        &self,
        events: &[EventBody],
        result: Option<Box<serde_json::value::RawValue>>,
    ) -> Result<Outcome, GateError> {
        let now = self.parts.clock.now();
        let request = Request::fold_bodies(events.iter().map(|body| (now, body)))?;
        let request = request.ok_or(GateError::Internal)?;
        Ok(Outcome::of(&request, result))
    }

    /// The outcome of the same call made before; `None`: it was not.
    async fn repeated(&self, place: &Place, digest: Hash) -> Result<Option<Outcome>, GateError> {
        let events = self.parts.store.request(&place.request).await?;
        let Some(request) = Request::fold(&events)? else {
            return Ok(None);
        };
        if request.decided.asked_digest() != digest {
            return Err(GateError::KeyReused(place.request.clone()));
        }
        let result = self.result_of(&request).await?;
        Ok(Some(Outcome::of(&request, result)))
    }

    async fn repeated_surely(&self, place: &Place, digest: Hash) -> Result<Outcome, GateError> {
        self.repeated(place, digest)
            .await?
            .ok_or(GateError::Busy(place.request.session()))
    }

    /// Tells the approvers, and puts on record that they were told.
    #[tracing::instrument(level = "debug", name = "publish", skip_all)]
    pub(super) async fn publish(
        &self,
        decided: &RequestDecided,
        requested: &ApprovalRequested,
    ) -> Result<(), super::ports::BoxError> {
        let notice = ApprovalNotice {
            request: decided.clone(),
            approval: requested.clone(),
            proof: self
                .parts
                .sealer
                .proof(&decided.request_id.approval(), &requested.terms.digest)?,
        };
        self.parts.bus.publish(&notice).await?;
        let request_id = decided.request_id.clone();
        let published = EventBody::ApprovalPublished(RequestRef { request_id });
        self.note(&decided.request_id, |request| {
            let told = request
                .approval
                .as_ref()
                .is_none_or(|approval| approval.published);
            // Whoever was told may have been faster than this note: nothing is left to say about the telling.
            let open = request.status() == RequestStatus::PendingApproval;
            let news = open && !told;
            news.then(|| published.clone()).into_iter().collect()
        })
        .await?;
        Ok(())
    }
}

/// The operation with what it would send out masked, where policy wants that. It is what is judged, approved, run and put on
/// record: what the caller wrote instead is nowhere.
fn outgoing(policy: &Policy, ask: &Ask) -> Option<Operation> {
    let rules = policy.connections.get(&ask.connection)?;
    match (&ask.operation, &rules.read) {
        (Operation::Http(call), Endpoint::Http(upstream)) if upstream.api.mask_requests => {
            let counts = &mut MaskedCounts::default();
            let body = policy.masking.bytes(&call.body, counts).into_inner();
            Some(Operation::Http(HttpOperation {
                body: body.into(),
                ..call.clone()
            }))
        }
        _ => None,
    }
}

/// What policy makes of what is asked.
struct Shaped {
    /// As it is to run.
    operation: Operation,
    /// What that would do.
    assessed: Assessed,
    /// What policy says to that.
    judged: Judged,
    /// By which rule, and how, it is another than what was asked.
    rewritten: Option<(RuleName, Rewrite)>,
}

impl Shaped {
    /// What a way in that only reads leaves of it. On the same facts as the rest, so that what it lets through is what runs.
    fn within(mut self, manner: Manner, policy: Hash) -> Self {
        let class = self.assessed.facts.class;
        if let Some(instead) = manner.only_reads
            && class.changes_something()
            && self.judged.record.action != Action::Deny
        {
            let deny = Decision::Deny {
                rule: None,
                message: format!("It was asked for as a read and is judged `{class}`: {instead}."),
            };
            self.judged = Judged::new(deny, policy);
        }
        self
    }
}

/// A decision, as it goes on record, and whom it asks.
struct Judged {
    record: DecisionRecord,
    from: Vec<ApproverGroupName>,
}

impl Judged {
    fn new(decision: Decision, policy: Hash) -> Self {
        let (action, rule, message, from) = match decision {
            Decision::Allow { rule } => (Action::Allow, Some(rule), None, Vec::new()),
            Decision::Deny { rule, message } => (Action::Deny, rule, Some(message), Vec::new()),
            // Of what a rewriting leaves, policy has said something else; nothing is let through as it stands.
            Decision::Rewrite { rule, into } => {
                let message = format!("Policy lets this through as {into} only.");
                (Action::Deny, Some(rule), Some(message), Vec::new())
            }
            Decision::RequireApproval { rule, from } => {
                (Action::RequireApproval, Some(rule), None, from)
            }
        };
        Self {
            record: DecisionRecord {
                action,
                rule,
                policy,
                message,
            },
            from,
        }
    }
}
