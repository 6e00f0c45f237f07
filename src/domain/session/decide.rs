//! What may happen next: state and command in, events and an effect out.
//!
//! INVARIANT: [`Permit`] has private fields and is made here alone; a permit for anything that could have an effect is
//! inside a [`OnceRecorded`], which opens only with the receipt for the very events that announce it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{
    event::{
        Action, Answer, ApprovalDecided, ApprovalRequested, EventBody, ExecutionFinished,
        ExecutionStarted, Preview, PreviewStarted, RequestDecided, RequestRef, RequestRefused,
    },
    state::{Previewed, Request, RequestStatus, Stage},
    verdict::{denied, still_agreed, still_given},
};
use crate::domain::{
    approval::{ApprovalTerms, AskedAgain, NotEligible, Quorum},
    classify::{Effect, Facts},
    connection::{Access, Budget, ConnectionName, Ending},
    id::RequestId,
    operation::Operation,
    policy::{ApproverGroupName, ConnectionRules, Policy},
    principal::{Person, Principal, PrincipalKind},
    record::{Hash, Head},
    rewrite::Revisited,
};

/// How much longer than its time limit an execution may go without an outcome before it counts as interrupted:
/// cancelling, answering and recording take time too.
pub const LEASE_GRACE: Duration = Duration::from_secs(15);

/// How long after its intent went on record an effect may still begin. Later it could outlive its lease: others would have
/// given it up, and someone who looked at the target since would have found that nothing happened.
pub const BEGIN_WITHIN: Duration = Duration::from_secs(5);

/// How many times the rows that an approver has seen counted exactly an execution may change, where policy does not say.
pub const DEFAULT_ROWS_FACTOR: u32 = 10;

/// How often approvers are asked about one request: a table that grows faster than they answer is not for them.
pub const MOST_QUESTIONS: u32 = 3;

/// How many exact previews one request can have: each of them locks what it changes.
pub const MOST_PREVIEWS: u32 = 5;

/// How long an exact preview may take at the target.
pub const PREVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// The rows an exact preview shows, at most, and their bytes.
pub const PREVIEW_SAMPLE: (u64, u64) = (5, 64 << 10);

/// Leave to run one operation once. Neither `Clone` nor `Deserialize`: executing spends it.
#[derive(Debug)]
pub struct Permit {
    request: RequestId,
    connection: ConnectionName,
    operation: Operation,
    access: Access,
    budget: Budget,
    ending: Ending,
    begin_before: Option<Timestamp>,
}

/// What a spent permit was for.
#[derive(Debug)]
pub struct Spent {
    /// The request.
    pub request: RequestId,
    /// Where.
    pub connection: ConnectionName,
    /// What, exactly.
    pub operation: Operation,
    /// With which credential.
    pub access: Access,
    /// How much.
    pub budget: Budget,
    /// What becomes of its transaction.
    pub ending: Ending,
    /// From when on it is too late to begin; `None`: nobody waits for it.
    pub begin_before: Option<Timestamp>,
}

impl Permit {
    /// Spends it.
    pub fn spend(self) -> Spent {
        let Self {
            request,
            connection,
            operation,
            access,
            budget,
            ending,
            begin_before,
        } = self;
        Spent {
            request,
            connection,
            operation,
            access,
            budget,
            ending,
            begin_before,
        }
    }

    /// The credential it is for.
    pub fn access(&self) -> Access {
        self.access
    }
}

/// Something that becomes available once the events that announce it are on record.
#[derive(Debug)]
#[must_use]
pub struct OnceRecorded<T>(T);

impl<T> OnceRecorded<T> {
    /// INVARIANT: nothing happens before it is on record. `announced` is where the announcing events end and
    /// `recorded` where the store says the chain stands after appending them; if these differ, nothing is released.
    pub fn release(self, announced: Head, recorded: Head) -> Option<T> {
        (announced == recorded).then_some(self.0)
    }
}

/// Everything known about a request at the moment it is asked.
#[derive(Debug)]
pub struct Asked<'a> {
    /// What goes on record about it; its `decision` is what `verdict` says.
    pub decided: RequestDecided,
    /// The operation, exactly.
    pub operation: Operation,
    /// What it would do.
    pub facts: &'a Facts,
    /// Where.
    pub connection: &'a ConnectionRules,
    /// The policy it is judged by.
    pub policy: &'a Policy,
    /// The groups that must approve, when they must.
    pub from: &'a [ApproverGroupName],
    /// What it would touch, when humans will be asked.
    pub preview: Option<Preview>,
    /// Whether its answer is handed over while it comes: then even of a read the intent goes on record first, and an
    /// approval is a grant, since whoever takes the answer does not wait for one.
    pub streams: bool,
    /// The process that would run it.
    pub instance: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// What follows from a request.
#[derive(Debug)]
pub enum Next {
    /// Nothing runs; on record it goes.
    Refuse(Vec<EventBody>),
    /// Run it with the read credential, then record question and outcome together, then disclose.
    Read(Vec<EventBody>, Permit),
    /// Record the intent, then run it.
    Act(Vec<EventBody>, OnceRecorded<Permit>),
    /// Record it, then ask.
    Hold(Vec<EventBody>, OnceRecorded<ApprovalRequested>),
}

/// The credential an operation gets. What is rolled back whatever it does gets that of a change: a server does not even
/// plan a change for who may only read.
fn access_for(effect: Effect, operation: &Operation) -> Access {
    if effect.changes_something() || is_dry_run(operation) {
        Access::Write
    } else {
        Access::Read
    }
}

fn is_dry_run(operation: &Operation) -> bool {
    operation.sql().is_some_and(|sql| sql.dry_run)
}

/// What follows from a request that policy has judged.
pub fn ask(asked: Asked<'_>) -> Next {
    let Asked {
        decided,
        operation,
        facts,
        connection,
        policy,
        from,
        preview,
        streams,
        instance,
        now,
    } = asked;
    let request = decided.request_id.clone();
    let access = access_for(facts.class, &operation);
    let digest = decided.digest;
    let action = decided.decision.action;
    let mut events = vec![EventBody::RequestDecided(Box::new(decided))];
    let ending = ending(&operation, None);
    let permit = |request: &RequestId, begin_before| Permit {
        request: request.clone(),
        connection: connection.name.clone(),
        operation,
        access,
        budget: connection.budget,
        ending,
        begin_before,
    };
    match action {
        Action::Deny => Next::Refuse(events),
        Action::Allow if access == Access::Read && !streams => {
            let permit = permit(&request, None);
            Next::Read(events, permit)
        }
        Action::Allow => {
            let started = started(&request, access, connection, policy, instance, now);
            events.push(EventBody::ExecutionStarted(started));
            let permit = permit(&request, Some(begin_before(now)));
            Next::Act(events, OnceRecorded(permit))
        }
        Action::RequireApproval => {
            let terms = terms(policy, from, digest, now);
            let requested = ApprovalRequested {
                request_id: request,
                terms,
                preview,
                grants: streams,
            };
            events.push(EventBody::ApprovalRequested(Box::new(requested.clone())));
            Next::Hold(events, OnceRecorded(requested))
        }
    }
}

/// What these groups are asked from `now` on: whether `operation` may run, unless whoever asks makes another question of it.
fn terms(
    policy: &Policy,
    from: &[ApproverGroupName],
    operation: Hash,
    now: Timestamp,
) -> ApprovalTerms {
    let groups = || {
        from.iter()
            .filter_map(|name| Some((name, policy.approvers.get(name)?)))
    };
    // The shortest patience of all groups asked.
    let patience = groups()
        .map(|(_, group)| group.expires_in)
        .min()
        .unwrap_or_default();
    ApprovalTerms {
        from: groups()
            .map(|(name, group)| Quorum {
                group: name.clone(),
                count: group.count,
            })
            .collect(),
        digest: operation,
        expires_at: now.checked_add(patience).unwrap_or(Timestamp::MAX),
        policy: policy.version,
        rows_factor: groups().filter_map(|(_, group)| group.rows_factor).min(),
        again: None,
        answer: None,
    }
}

fn started(
    request: &RequestId,
    access: Access,
    connection: &ConnectionRules,
    policy: &Policy,
    instance: &str,
    now: Timestamp,
) -> ExecutionStarted {
    let lease = connection.budget.timeout.saturating_add(LEASE_GRACE);
    ExecutionStarted {
        request_id: request.clone(),
        access,
        instance: instance.into(),
        lease_until: now.checked_add(lease).unwrap_or(Timestamp::MAX),
        policy: policy.version,
        at_most: None,
    }
}

/// What becomes of the operation's transaction: a dry run is never committed.
fn ending(operation: &Operation, at_most: Option<u64>) -> Ending {
    if is_dry_run(operation) {
        Ending::RollBack
    } else {
        Ending::Commit { at_most }
    }
}

fn begin_before(now: Timestamp) -> Timestamp {
    now.checked_add(BEGIN_WITHIN).unwrap_or(Timestamp::MAX)
}

/// Someone's answer to the question whether a request may run, or its caller have what an API answered.
#[derive(Debug)]
pub struct Answered<'a> {
    /// The request as it stands.
    pub request: &'a Request,
    /// Its operation, unsealed.
    pub operation: Operation,
    /// What it would do, judged again.
    pub facts: &'a Facts,
    /// What was asked, where policy rewrote it.
    pub asked: Option<&'a Revisited>,
    /// Today's policy.
    pub policy: &'a Policy,
    /// Who answers.
    pub approver: &'a Principal,
    /// What they say.
    pub answer: Answer,
    /// The digest of what they were shown.
    pub digest: Hash,
    /// What they add, as it may be shown.
    pub comment: Option<String>,
    /// The process that would run it.
    pub instance: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// What follows from an answer.
#[derive(Debug)]
pub enum AfterAnswer {
    /// Nothing runs (yet, or ever).
    Noted(Vec<EventBody>),
    /// Everyone needed has said yes, and today's policy still agrees.
    Act(Vec<EventBody>, Box<OnceRecorded<Permit>>),
}

/// Why an answer does not count. Nothing has happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was decided, has expired or has run already.
    #[error("this approval is closed: the request is {}", .0.as_str())]
    Closed(RequestStatus),
    /// The time is up, whether or not that is on record yet.
    #[error("this approval expired at {0}; the request has to be made again")]
    Expired(Timestamp),
    /// They were shown something else.
    #[error(
        "the digest does not match: you are deciding on something other than what is asked; \
         fetch the approval again and decide on the digest it shows"
    )]
    OtherDigest,
    /// They may not.
    #[error(transparent)]
    NotEligible(#[from] NotEligible),
    /// It cannot be rolled back wholly, so it is not run to be seen.
    #[error("there is no exact preview of this: {0}")]
    NoPreview(String),
    /// One is under way.
    #[error("an exact preview of this is under way; fetch the approval again in a moment")]
    PreviewRunning,
    /// Enough is enough.
    #[error(
        "this was previewed {MOST_PREVIEWS} times, which is the most: each of them locks what it changes"
    )]
    PreviewedEnough,
    /// A program needs no sample.
    #[error("an exact preview is for people who are to decide; `{0}` is none")]
    PreviewForPeople(String),
    /// They have answered already.
    #[error("you have answered this already; someone else in {0} has to answer")]
    AnsweredBefore(String),
    /// The sealed operation is not what the digest on record was made of.
    #[error("what is on record does not match its digest; it will not run")]
    Damaged,
}

/// What follows from an answer.
pub fn answer(answered: Answered<'_>) -> Result<AfterAnswer, Refusal> {
    let Answered {
        request,
        operation,
        facts,
        asked,
        policy,
        approver,
        answer,
        digest,
        comment,
        instance,
        now,
    } = answered;
    let now = request.time(now);
    let (Stage::Pending | Stage::Withheld(_), Some(approval)) = (&request.stage, &request.approval)
    else {
        return Err(Refusal::Closed(request.status()));
    };
    let terms = &approval.requested.terms;
    let decided = &request.decided;
    let described = approver.described();
    let groups = terms.eligible(policy, &decided.principal, &described)?;
    if now >= terms.expires_at {
        return Err(Refusal::Expired(terms.expires_at));
    }
    if digest != terms.digest {
        return Err(Refusal::OtherDigest);
    }
    let actual = operation.digest(&decided.connection, &decided.principal.id);
    if actual != decided.digest || terms.digest != terms.asks(actual) {
        return Err(Refusal::Damaged);
    }
    if approval
        .answers
        .iter()
        .any(|other| other.approver.person() == described.person())
    {
        return Err(Refusal::AnsweredBefore(terms.groups()));
    }

    let noted = ApprovalDecided {
        request_id: decided.request_id.clone(),
        approver: described.clone(),
        answer,
        digest,
        groups: groups.clone(),
        comment,
    };
    let mut events = vec![EventBody::ApprovalDecided(Box::new(noted))];
    if answer == Answer::Deny {
        return Ok(AfterAnswer::Noted(events));
    }

    let mut yes = still_yes(request, policy);
    yes.insert(described.person(), groups);
    if !terms.satisfied(policy, &yes) {
        return Ok(AfterAnswer::Noted(events));
    }

    let asker = Principal::remembered(&decided.principal);
    if let Stage::Withheld(_) = request.stage {
        let request_id = decided.request_id.clone();
        let given = still_given(request, (&operation, facts), policy, &asker, now);
        events.push(match given {
            Ok(()) => EventBody::AnswerReleased(RequestRef { request_id }),
            Err(decision) => EventBody::RequestRefused(RequestRefused {
                request_id,
                decision,
            }),
        });
        return Ok(AfterAnswer::Noted(events));
    }
    match still_agreed(request, (&operation, facts), asked, policy, &asker, now) {
        Ok(_) if approval.requested.grants => {
            let request_id = decided.request_id.clone();
            events.push(EventBody::ApprovalGranted(RequestRef { request_id }));
            Ok(AfterAnswer::Noted(events))
        }
        Ok(connection) => {
            let at_most = agreed_rows(request, terms, policy);
            let begun = begin(
                request,
                (operation, facts),
                connection,
                at_most,
                policy,
                (instance, now),
            );
            events.push(EventBody::ExecutionStarted(begun.0));
            Ok(AfterAnswer::Act(events, Box::new(begun.1)))
        }
        Err(decision) => {
            let request_id = decided.request_id.clone();
            events.push(EventBody::RequestRefused(RequestRefused {
                request_id,
                decision,
            }));
            Ok(AfterAnswer::Noted(events))
        }
    }
}

/// Everyone who has said yes and may still decide by today's policy.
fn still_yes(request: &Request, policy: &Policy) -> BTreeMap<Person, Vec<ApproverGroupName>> {
    let answers = request.approval.iter().flat_map(|approval| {
        let terms = &approval.requested.terms;
        let yes = approval
            .answers
            .iter()
            .filter(|one| one.answer == Answer::Approve);
        yes.filter_map(|one| {
            let groups = terms.eligible(policy, &request.decided.principal, &one.approver);
            Some((one.approver.person(), groups.ok()?))
        })
    });
    answers.collect()
}

/// The start of what was approved, and leave for it once that is on record.
fn begin(
    request: &Request,
    (operation, facts): (Operation, &Facts),
    connection: &ConnectionRules,
    at_most: Option<u64>,
    policy: &Policy,
    (instance, now): (&str, Timestamp),
) -> (ExecutionStarted, OnceRecorded<Permit>) {
    let access = access_for(facts.class, &operation);
    let at_most = at_most.filter(|_| access == Access::Write);
    let id = &request.decided.request_id;
    let started = ExecutionStarted {
        at_most,
        ..started(id, access, connection, policy, instance, now)
    };
    let permit = Permit {
        request: id.clone(),
        connection: connection.name.clone(),
        ending: ending(&operation, at_most),
        operation,
        access,
        budget: connection.budget,
        begin_before: Some(begin_before(now)),
    };
    (started, OnceRecorded(permit))
}

/// The same call, made again on the strength of an approval.
#[derive(Debug)]
pub struct Claimed<'a> {
    /// The request as it stands, folded from its session's verified chain.
    pub request: &'a Request,
    /// What is asked now.
    pub operation: Operation,
    /// What it would do, judged now.
    pub facts: &'a Facts,
    /// Today's policy.
    pub policy: &'a Policy,
    /// Who asks now.
    pub principal: &'a Principal,
    /// The process that would run it.
    pub instance: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// What follows from a call that was granted before. INVARIANT: a grant is for whoever asked and for exactly what they
/// asked; it is used up by the first execution, lapses with its question, and gives nothing that today's policy would
/// refuse, or have others approve.
pub fn claim(claimed: Claimed<'_>) -> Result<AfterAnswer, Refusal> {
    let Claimed {
        request,
        operation,
        facts,
        policy,
        principal,
        instance,
        now,
    } = claimed;
    let now = request.time(now);
    let decided = &request.decided;
    let (Stage::Granted, Some(approval)) = (&request.stage, &request.approval) else {
        return Err(Refusal::Closed(request.status()));
    };
    let terms = &approval.requested.terms;
    if operation.digest(&decided.connection, principal.id()) != decided.digest
        || decided.principal.person() != principal.person()
    {
        return Err(Refusal::OtherDigest);
    }
    if now >= terms.expires_at {
        return Err(Refusal::Expired(terms.expires_at));
    }
    let agreed = still_agreed(request, (&operation, facts), None, policy, principal, now);
    let agreed = agreed.and_then(|connection| {
        if terms.satisfied(policy, &still_yes(request, policy)) {
            return Ok(connection);
        }
        let message = "Not all who approved it may do so by today's policy; make the call again.";
        Err(denied(policy, None, message.into()))
    });
    Ok(match agreed {
        Ok(connection) => {
            let at_most = agreed_rows(request, terms, policy);
            let what = (operation, facts);
            let (started, permit) =
                begin(request, what, connection, at_most, policy, (instance, now));
            AfterAnswer::Act(vec![EventBody::ExecutionStarted(started)], Box::new(permit))
        }
        Err(decision) => {
            let request_id = decided.request_id.clone();
            AfterAnswer::Noted(vec![EventBody::RequestRefused(RequestRefused {
                request_id,
                decision,
            })])
        }
    })
}

/// The most rows that everyone who said yes has agreed to: what had been shown by then, times the factor of the group
/// that is strictest, when it was asked or today. An estimate of the planner's binds only where policy names a factor.
fn agreed_rows(request: &Request, terms: &ApprovalTerms, policy: &Policy) -> Option<u64> {
    let groups = terms.from.iter();
    let today = groups.filter_map(|quorum| policy.approvers.get(&quorum.group)?.rows_factor);
    let named = today.chain(terms.rows_factor).min();
    let estimated = || {
        request
            .approval
            .as_ref()?
            .requested
            .preview
            .as_ref()?
            .estimated_rows
    };
    let agreed = |counted: Option<u64>| {
        let (rows, factor) = match (counted, named) {
            (Some(rows), factor) => (rows, factor.unwrap_or(DEFAULT_ROWS_FACTOR)),
            (None, Some(factor)) => (estimated()?, factor),
            (None, None) => return None,
        };
        Some(rows.saturating_mul(factor.into()))
    };
    // A later count is none that an earlier answer agreed to.
    let earlier = request
        .approval
        .iter()
        .flat_map(|approval| &approval.counted);
    earlier
        .copied()
        .chain([request.exact_rows()])
        .filter_map(agreed)
        .min()
}

/// The question that follows from an execution that changed `rows` rows, where at most `at_most` were agreed to. `None`:
/// it was asked often enough, or policy does not know all of those groups any more.
pub fn ask_again(
    request: &Request,
    (rows, at_most): (u64, u64),
    policy: &Policy,
    now: Timestamp,
) -> Option<ApprovalRequested> {
    let before = &request.approval.as_ref()?.requested.terms;
    let question = before.question() + 1;
    let groups = before.from.iter().map(|quorum| &quorum.group);
    let from: Vec<_> = groups
        .filter(|group| policy.approvers.contains_key(*group))
        .cloned()
        .collect();
    if question > MOST_QUESTIONS || from.len() < before.from.len() {
        return None;
    }
    let again = AskedAgain {
        question,
        rows,
        at_most,
    };
    let decided = &request.decided;
    let terms = ApprovalTerms {
        again: Some(again),
        ..terms(policy, &from, decided.digest, now)
    };
    Some(ApprovalRequested {
        request_id: decided.request_id.clone(),
        terms: terms.about(decided.digest),
        grants: request.approval.as_ref()?.requested.grants,
        preview: Some(Preview {
            estimated_rows: None,
            note: format!(
                "it was approved and run, changed {rows} rows where at most {at_most} were agreed to, and was rolled back"
            ),
        }),
    })
}

/// The question that follows from an answer in which something was found, where policy has people asked whether its caller
/// may have it. `None`: there is nothing to give, or nobody to ask.
pub fn ask_about_answer(
    decided: &RequestDecided,
    finished: &ExecutionFinished,
    policy: &Policy,
    now: Timestamp,
) -> Option<ApprovalRequested> {
    let answer = finished.held_answer()?;
    let from = policy.asked_about_answers(&decided.connection)?;
    let terms = ApprovalTerms {
        rows_factor: None,
        answer: Some(answer),
        ..terms(policy, std::slice::from_ref(from), decided.digest, now)
    };
    Some(ApprovalRequested {
        request_id: decided.request_id.clone(),
        terms: terms.about(decided.digest),
        preview: None,
        grants: false,
    })
}

/// An approver's wish to see exactly what a request would change.
#[derive(Debug)]
pub struct PreviewAsked<'a> {
    /// The request as it stands.
    pub request: &'a Request,
    /// Its operation, unsealed.
    pub operation: &'a Operation,
    /// What it would do, judged again.
    pub facts: &'a Facts,
    /// What was asked, where policy rewrote it.
    pub before_rewriting: Option<&'a Revisited>,
    /// How it is run to be seen; or why it cannot be rolled back wholly.
    pub rehearsal: Result<Rehearsed, String>,
    /// Today's policy.
    pub policy: &'a Policy,
    /// Who wants to see it.
    pub approver: &'a Principal,
    /// The process that would run it.
    pub instance: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// What is run so that a change can be seen.
#[derive(Debug)]
pub struct Rehearsed {
    /// Reads rows that the change will find.
    pub before: Option<Operation>,
    /// The change, showing rows where its dialect can.
    pub change: Operation,
}

/// Leave to run a change once, to be rolled back. It is never leave to run it for good.
#[derive(Debug)]
pub struct Rehearsal {
    /// Reads rows that the change will find: with the read credential, as any read.
    pub before: Option<Permit>,
    /// The change, to be rolled back.
    pub change: Permit,
    /// Which of the request's exact previews.
    pub number: u32,
}

/// What follows from the wish to see exactly what a request would change. It answers nothing and uses nothing up but one
/// of [`MOST_PREVIEWS`].
pub fn preview(
    asked: PreviewAsked<'_>,
) -> Result<(PreviewStarted, OnceRecorded<Rehearsal>), Refusal> {
    let PreviewAsked {
        request,
        operation,
        facts,
        before_rewriting,
        rehearsal,
        policy,
        approver,
        instance,
        now,
    } = asked;
    let now = request.time(now);
    if let Stage::Withheld(_) = request.stage {
        let why = "the call was made already, and whether its answer may be given is asked";
        return Err(Refusal::NoPreview(why.into()));
    }
    let (Stage::Pending, Some(approval)) = (&request.stage, &request.approval) else {
        return Err(Refusal::Closed(request.status()));
    };
    let terms = &approval.requested.terms;
    let decided = &request.decided;
    let described = approver.described();
    let _groups = terms.eligible(policy, &decided.principal, &described)?;
    if described.kind != PrincipalKind::Human {
        return Err(Refusal::PreviewForPeople(described.id.to_string()));
    }
    if now >= terms.expires_at {
        return Err(Refusal::Expired(terms.expires_at));
    }
    if operation.digest(&decided.connection, &decided.principal.id) != decided.digest {
        return Err(Refusal::Damaged);
    }
    let running =
        |preview: &Previewed| preview.ended.is_none() && now < preview.started.lease_until;
    if request.previews.iter().any(running) {
        return Err(Refusal::PreviewRunning);
    }
    let number = u32::try_from(request.previews.len())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    if number > MOST_PREVIEWS {
        return Err(Refusal::PreviewedEnough);
    }
    // What today's policy would not run is not run to be seen either.
    let asker = Principal::remembered(&decided.principal);
    let connection = still_agreed(
        request,
        (operation, facts),
        before_rewriting,
        policy,
        &asker,
        now,
    )
    .map_err(|denied| {
        Refusal::NoPreview(
            denied
                .message
                .unwrap_or_else(|| "policy now denies it".into()),
        )
    })?;
    let Rehearsed { before, change } = rehearsal.map_err(Refusal::NoPreview)?;
    let (rows, bytes) = PREVIEW_SAMPLE;
    let budget = Budget {
        rows,
        bytes,
        timeout: connection.budget.timeout.min(PREVIEW_TIMEOUT),
        ..connection.budget
    };
    let lease = budget.timeout.saturating_mul(2).saturating_add(LEASE_GRACE);
    let started = PreviewStarted {
        request_id: decided.request_id.clone(),
        number,
        question: terms.question(),
        approver: described,
        instance: instance.into(),
        lease_until: now.checked_add(lease).unwrap_or(Timestamp::MAX),
        policy: policy.version,
    };
    let permit = |operation, access| Permit {
        request: decided.request_id.clone(),
        connection: connection.name.clone(),
        operation,
        access,
        budget,
        ending: Ending::RollBack,
        begin_before: Some(begin_before(now)),
    };
    let rehearsal = Rehearsal {
        before: before.map(|operation| permit(operation, Access::Read)),
        change: permit(change, Access::Write),
        number,
    };
    Ok((started, OnceRecorded(rehearsal)))
}

/// What time alone has brought about.
#[derive(Debug)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// The question has not left for the approvers.
    Publish(Box<ApprovalRequested>),
    /// Nobody answered in time, or nobody brought the outcome.
    Note(EventBody),
}

/// What is due for a request at `now`.
pub fn due(request: &Request, now: Timestamp) -> Due {
    let request_id = request.decided.request_id.clone();
    let now = request.time(now);
    match (&request.stage, &request.approval) {
        (Stage::Pending | Stage::Granted | Stage::Withheld(_), Some(approval))
            if now >= approval.requested.terms.expires_at =>
        {
            Due::Note(EventBody::ApprovalExpired(RequestRef { request_id }))
        }
        (Stage::Pending | Stage::Withheld(_), Some(approval)) if !approval.published => {
            Due::Publish(Box::new(approval.requested.clone()))
        }
        (Stage::Executing(started), _) if now >= started.lease_until => Due::Note(
            EventBody::ExecutionOutcomeUnknown(super::event::OutcomeUnknown {
                request_id,
                why: format!(
                    "`{}` started it and never said how it ended; look at the target before \
                     anyone does it again",
                    started.instance
                ),
            }),
        ),
        _ => Due::Nothing,
    }
}
