//! The promises as invariants: each looks at the world from outside, at the record as the store has it, at the target's own
//! log, and at what callers were told.

use std::collections::{BTreeMap, BTreeSet};

use portcullis::domain::{
    classify::Effect,
    connection::Access,
    id::{RequestId, SessionId},
    principal::PrincipalKind,
    record::{Hash, verify_chain},
    session::{Action, Answer, ApprovalDecided, Event, EventBody, Request, RequestStatus},
};

use crate::support::people::principal;

use super::{
    rules::{Say, Statement, seated},
    wire::PLANTED,
    world::{World, crm},
};

type Kept = Result<(), String>;
type Promise = (&'static str, fn(&World, &Seen) -> Kept);

const PROMISES: [Promise; 15] = [
    (
        "every effect's intent was on record before it",
        every_effects_intent_was_on_record_before_it,
    ),
    (
        "nothing was disclosed before its record was durable",
        nothing_was_disclosed_before_its_record_was_durable,
    ),
    ("nothing ran twice", nothing_ran_twice),
    (
        "what was refused has no effect",
        what_was_refused_has_no_effect,
    ),
    (
        "today's policy had the last word",
        todays_policy_had_the_last_word,
    ),
    (
        "what ran was agreed to by those needed",
        what_ran_was_agreed_to_by_those_needed,
    ),
    (
        "no more rows changed than were agreed to",
        no_more_rows_changed_than_were_agreed_to,
    ),
    ("no raw value was seen", no_raw_value_was_seen),
    (
        "what ran is what was asked, with the credential for it",
        what_ran_is_what_was_asked,
    ),
    ("the record tells the truth", the_record_tells_the_truth),
    ("one ask is one request", one_ask_is_one_request),
    (
        "what was granted runs in time",
        what_was_granted_runs_in_time,
    ),
    ("the record only grew", the_record_only_grew),
    ("nobody acts on what is over", nobody_acts_on_what_is_over),
    ("nothing broke inside", nothing_broke_inside),
];

/// What there is to look at: the sessions that have grown, and their requests.
pub(super) struct Seen {
    sessions: BTreeMap<SessionId, Vec<Event>>,
    requests: BTreeMap<RequestId, (Request, Vec<Event>)>,
}

impl World {
    /// Holds every promise against what has changed since the last look.
    pub(super) fn check(&mut self) {
        let grown = std::mem::take(&mut self.hub.state().grown);
        self.check_those(&grown);
    }

    /// Holds every promise against everything.
    pub(super) fn check_all(&mut self) {
        let all = self.hub.state().sessions.clone();
        self.check_those(&all);
    }

    fn check_those(&mut self, sessions: &BTreeSet<SessionId>) {
        let seen = match Seen::read(self, sessions) {
            Ok(seen) => seen,
            Err(why) => self.fail("every history folds", &why),
        };
        for (promise, kept) in PROMISES {
            if let Err(why) = kept(self, &seen) {
                self.fail(promise, &why);
            }
        }
        self.before.extend(seen.sessions);
        // What was told has been looked at; what is kept longer is looked at again for nothing.
        let mut state = self.hub.state();
        state.told.clear();
        self.notices_seen = state.notices.len();
    }

    /// Where every request on record stands.
    pub(super) fn requests(&self) -> BTreeMap<RequestId, Request> {
        let all = self.hub.state().sessions.clone();
        let seen = Seen::read(self, &all).unwrap();
        let only = |(id, (request, _))| (id, request);
        seen.requests.into_iter().map(only).collect()
    }

    /// How many effects a request had.
    pub(super) fn effects_of(&self, request: &RequestId) -> usize {
        let state = self.hub.state();
        let own = |effect: &&super::wire::Effect| effect.request == *request;
        state.effects.iter().filter(own).count()
    }
}

impl Seen {
    fn read(world: &World, of: &BTreeSet<SessionId>) -> Result<Self, String> {
        let mut sessions = BTreeMap::new();
        let mut requests = BTreeMap::new();
        for id in of {
            let events = world.hub.session(id);
            let mut own: BTreeMap<RequestId, Vec<Event>> = BTreeMap::new();
            for event in &events {
                if let Some(request) = event.body.request() {
                    own.entry(request.clone()).or_default().push(event.clone());
                }
            }
            for (id, events) in own {
                let folded = Request::fold(&events).map_err(|error| format!("{id}: {error}"))?;
                let request = folded.ok_or_else(|| format!("{id}: nothing"))?;
                requests.insert(id, (request, events));
            }
            sessions.insert(id.clone(), events);
        }
        Ok(Self { sessions, requests })
    }
}

fn every_effects_intent_was_on_record_before_it(world: &World, _: &Seen) -> Kept {
    let state = world.hub.state();
    match state.effects.iter().find(|effect| !effect.intent_on_record) {
        Some(effect) => Err(format!("{} was not", effect.request)),
        None => Ok(()),
    }
}

fn nothing_was_disclosed_before_its_record_was_durable(world: &World, _: &Seen) -> Kept {
    let state = world.hub.state();
    let early = |told: &&super::wire::Told| told.rows && !told.finished_on_record;
    match state.told.iter().find(early) {
        Some(told) => Err(format!("{:?} was", told.request)),
        None => Ok(()),
    }
}

fn nothing_ran_twice(world: &World, _: &Seen) -> Kept {
    let mut ran = BTreeSet::new();
    for effect in &world.hub.state().effects {
        if !ran.insert(effect.request.clone()) {
            return Err(format!("{} ran again", effect.request));
        }
    }
    Ok(())
}

fn what_was_refused_has_no_effect(world: &World, seen: &Seen) -> Kept {
    use RequestStatus::{ApprovalDenied, ApprovalExpired, Approved, Denied, PendingApproval};
    for (id, (request, events)) in &seen.requests {
        let status = request.status();
        if matches!(
            status,
            Denied | ApprovalDenied | ApprovalExpired | Approved | PendingApproval
        ) {
            if world.effects_of(id) > 0 {
                return Err(format!("{id} is {} and took effect", status.as_str()));
            }
            let since = events
                .iter()
                .rposition(|event| event.body.kind() == "approval.requested");
            let started = |event: &Event| event.body.kind() == "execution.started";
            if events[since.unwrap_or(0)..].iter().any(started) {
                return Err(format!("{id} is {} and was started", status.as_str()));
            }
        }
    }
    Ok(())
}

fn todays_policy_had_the_last_word(world: &World, seen: &Seen) -> Kept {
    for (id, (request, events)) in &seen.requests {
        let asked = &world.asked[&request.decided.digest];
        let first = &world.rules_of[&request.decided.decision.policy];
        // A statement whose names could not be looked up is judged as one that cannot be read.
        let unseen = request.decided.effect == Effect::Unknown;
        if unseen && asked.statement != Statement::Nonsense {
            let hidden = world.hub.state().happened.get("catalog not shown").copied();
            if hidden.unwrap_or(0) == 0 {
                return Err(format!("{id} was not understood"));
            }
        }
        let judged = if unseen {
            Statement::Nonsense
        } else {
            asked.statement
        };
        let expected = first.say(&request.decided.principal, judged);
        let action = match expected {
            Say::Allow => Action::Allow,
            Say::Deny => Action::Deny,
            Say::Ask(_) => Action::RequireApproval,
        };
        if request.decided.decision.action != action {
            return Err(format!("{id} was to be {expected:?}"));
        }
        let approval = request.approval.as_ref();
        let asked_groups: Vec<&str> = approval.map_or(Vec::new(), |approval| {
            let groups = approval.requested.terms.from.iter();
            groups.map(|quorum| &*quorum.group.0).collect()
        });
        if let Say::Ask(groups) = expected
            && asked_groups != groups
        {
            return Err(format!("{id} was asked of {asked_groups:?}"));
        }
        for event in events {
            let EventBody::ExecutionStarted(started) = &event.body else {
                continue;
            };
            let today = &world.rules_of[&started.policy];
            match today.say(&request.decided.principal, asked.statement) {
                Say::Allow => {}
                Say::Ask(groups) if groups.iter().all(|group| asked_groups.contains(group)) => {}
                say => return Err(format!("{id} ran, and the policy of that day says {say:?}")),
            }
        }
    }
    Ok(())
}

fn what_ran_was_agreed_to_by_those_needed(world: &World, seen: &Seen) -> Kept {
    for (id, (request, events)) in &seen.requests {
        let mut answers: Vec<&ApprovalDecided> = Vec::new();
        let mut asking = None;
        // Clocks may differ: it is never earlier than whoever wrote before said.
        let mut latest = request.asked_at;
        for event in events {
            latest = latest.max(event.time);
            match &event.body {
                // What was said to an earlier question says nothing to this one.
                EventBody::ApprovalRequested(asked) => {
                    answers.clear();
                    asking = Some(&asked.terms);
                }
                EventBody::ApprovalDecided(answer) => {
                    let Some(terms) = asking else {
                        return Err(format!("{id}: an answer that nobody asked for"));
                    };
                    let given = world.sent.iter().any(|mail| {
                        mail.approval == id.approval()
                            && mail.answer == answer.answer
                            && mail.digest == answer.digest
                            && principal(mail.who).described() == answer.approver
                            // Whoever's clock is behind knows from the broker when it came.
                            && mail.enqueued.is_none_or(|at| at < terms.expires_at)
                    });
                    if !given {
                        return Err(format!(
                            "{id}: {} never said that, or not in time",
                            answer.approver.id
                        ));
                    }
                    if answer.digest != terms.digest {
                        return Err(format!("{id}: an answer to something else"));
                    }
                    if latest >= terms.expires_at {
                        return Err(format!("{id}: an answer after its time"));
                    }
                    if answer.approver.kind == PrincipalKind::Agent {
                        return Err(format!("{id}: an agent decided"));
                    }
                    if answer.approver.person() == request.decided.principal.person() {
                        return Err(format!("{id}: the requester decided"));
                    }
                    answers.push(answer);
                }
                EventBody::ExecutionStarted(started) => {
                    let Some(terms) = asking else {
                        continue;
                    };
                    if latest >= terms.expires_at {
                        return Err(format!("{id}: started after its time"));
                    }
                    let asked = &world.rules_of[&terms.policy];
                    let today = &world.rules_of[&started.policy];
                    let mut seats = Vec::new();
                    let groups: Vec<&str> =
                        terms.from.iter().map(|quorum| &*quorum.group.0).collect();
                    for group in &groups {
                        for _ in 0..asked.count(group).max(today.count(group)) {
                            seats.push(*group);
                        }
                    }
                    let mut people = BTreeMap::new();
                    for answer in answers
                        .iter()
                        .filter(|answer| answer.answer == Answer::Approve)
                    {
                        let may = |group: &&str| {
                            today.may_decide(group, &request.decided.principal, &answer.approver)
                        };
                        let for_groups: Vec<&str> = groups.iter().copied().filter(may).collect();
                        people.insert(answer.approver.person(), for_groups);
                    }
                    let people: Vec<_> = people.into_values().collect();
                    if seats.is_empty() || !seated(&seats, &people) {
                        return Err(format!("{id} ran on {people:?} where it takes {seats:?}"));
                    }
                    if answers.iter().any(|answer| answer.answer == Answer::Deny) {
                        return Err(format!("{id} ran although someone said no"));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// What was shown, counted or estimated, times what policy said when it was asked and says today.
fn no_more_rows_changed_than_were_agreed_to(world: &World, seen: &Seen) -> Kept {
    for (id, (request, events)) in &seen.requests {
        let (mut terms, mut exact, mut estimated) = (None, None, None);
        let mut questions = 0;
        let mut of_question = BTreeMap::new();
        let mut agreed = None;
        let mut shown = Vec::new();
        for event in events {
            match &event.body {
                EventBody::ApprovalRequested(asked) => {
                    questions += 1;
                    terms = Some(&asked.terms);
                    exact = asked.terms.again.map(|again| again.rows);
                    shown.clear();
                    estimated = asked
                        .preview
                        .as_ref()
                        .and_then(|shown| shown.estimated_rows);
                }
                EventBody::PreviewStarted(started) => {
                    of_question.insert(started.number, questions);
                }
                EventBody::PreviewFinished(finished)
                    if of_question[&finished.number] == questions =>
                {
                    exact = Some(finished.rows);
                }
                EventBody::ApprovalDecided(_) => shown.push(exact),
                EventBody::ExecutionStarted(started) => {
                    let factor = terms.and_then(|terms| {
                        let of = |rules: Hash| {
                            let groups = terms.from.iter();
                            groups
                                .filter_map(move |one| world.rules_of[&rules].factor(&one.group.0))
                        };
                        of(terms.policy).chain(of(started.policy)).min()
                    });
                    let each = shown.iter().filter_map(|exact| match (exact, factor) {
                        (Some(rows), factor) => Some(rows * u64::from(factor.unwrap_or(10))),
                        (None, Some(factor)) => estimated.map(|rows: u64| rows * u64::from(factor)),
                        (None, None) => None,
                    });
                    agreed = each.min();
                    agreed = agreed.filter(|_| request.decided.effect.changes_something());
                    if started.at_most != agreed {
                        return Err(format!("{id}: {agreed:?} were agreed to: {started:?}"));
                    }
                }
                _ => {}
            }
        }
        for effect in &world.hub.state().effects {
            if effect.request == *id && agreed.is_some_and(|most| effect.rows > most) {
                return Err(format!("{id}: {} rows, {agreed:?} agreed", effect.rows));
            }
        }
    }
    Ok(())
}

fn no_raw_value_was_seen(world: &World, seen: &Seen) -> Kept {
    let raw = |text: &str| {
        PLANTED
            .iter()
            .copied()
            .find(|planted| text.contains(planted))
    };
    let state = world.hub.state();
    for told in &state.told {
        if let Some(value) = raw(&told.text) {
            return Err(format!("a caller was told `{value}`: {}", told.text));
        }
    }
    for notice in &state.notices[world.notices_seen..] {
        if let Some(value) = raw(&format!("{notice:?}")) {
            return Err(format!("approvers were told `{value}`"));
        }
    }
    for event in seen.sessions.values().flatten() {
        if let Some(value) = raw(&serde_json::to_string(event).unwrap()) {
            return Err(format!("`{value}` is on record in {}", event.id));
        }
    }
    Ok(())
}

fn what_ran_is_what_was_asked(world: &World, _: &Seen) -> Kept {
    for effect in &world.hub.state().effects {
        if effect.access != Access::Write {
            return Err(format!("{} wrote with the read credential", effect.request));
        }
        let events = world.hub.request(&effect.request);
        let Some(EventBody::RequestDecided(decided)) = events.first().map(|event| &event.body)
        else {
            return Err(format!("{} was never asked", effect.request));
        };
        let digest = effect.operation.digest(&crm(), &decided.principal.id);
        if digest != decided.digest || !world.asked.contains_key(&digest) {
            return Err(format!("{} did something else", effect.request));
        }
    }
    Ok(())
}

/// The record may lag behind the target, and may not know; it never says what is not so.
fn the_record_tells_the_truth(world: &World, seen: &Seen) -> Kept {
    for (id, (request, _)) in &seen.requests {
        let changes = request.decided.effect.changes_something();
        let effects = world.effects_of(id);
        let true_of = match request.status() {
            RequestStatus::Succeeded if changes => effects == 1,
            RequestStatus::Executing | RequestStatus::OutcomeUnknown => effects <= 1,
            _ => effects == 0,
        };
        if !true_of {
            let status = request.status().as_str();
            return Err(format!("{id} is {status} and had {effects} effects"));
        }
    }
    Ok(())
}

fn one_ask_is_one_request(world: &World, seen: &Seen) -> Kept {
    let mut known = BTreeMap::new();
    let all = world.before.iter().chain(&seen.sessions);
    for event in all.flat_map(|(_, events)| events) {
        let EventBody::RequestDecided(decided) = &event.body else {
            continue;
        };
        let Some(asked) = world.asked.get(&decided.digest) else {
            return Err(format!("nobody asked {}", decided.request_id));
        };
        if decided.principal != principal(asked.who).described() {
            return Err(format!("{} is not of who asked it", decided.request_id));
        }
        // Who cannot wait asks again, and is asked about anew once what was granted is used up.
        if asked.passing {
            continue;
        }
        let first = known.entry(decided.digest).or_insert(&decided.request_id);
        if *first != &decided.request_id {
            return Err(format!("{first} and {} are one ask", decided.request_id));
        }
    }
    Ok(())
}

fn what_was_granted_runs_in_time(_: &World, seen: &Seen) -> Kept {
    for (id, (request, events)) in &seen.requests {
        let Some(approval) = request
            .approval
            .as_ref()
            .filter(|asked| asked.requested.grants)
        else {
            continue;
        };
        let at = |kind: &str| events.iter().position(|event| event.body.kind() == kind);
        let Some(started) = at("execution.started") else {
            continue;
        };
        if at("approval.granted").is_none_or(|granted| granted > started) {
            return Err(format!("{id} ran before it was granted"));
        }
        if events[started].time >= approval.requested.terms.expires_at {
            return Err(format!("{id} ran on a grant that had lapsed"));
        }
    }
    Ok(())
}

fn the_record_only_grew(world: &World, seen: &Seen) -> Kept {
    for (id, events) in &seen.sessions {
        verify_chain(id, events).map_err(|error| error.to_string())?;
        let before = world.before.get(id).map_or(&[][..], Vec::as_slice);
        if !events.starts_with(before) {
            return Err(format!("{id} was changed"));
        }
    }
    Ok(())
}

/// What the ports noticed themselves: a policy that was outdated, an effect that had been given up.
fn nobody_acts_on_what_is_over(world: &World, _: &Seen) -> Kept {
    world.hub.state().seen.first().cloned().map_or(Ok(()), Err)
}

fn nothing_broke_inside(world: &World, _: &Seen) -> Kept {
    for told in &world.hub.state().told {
        if told.text.starts_with("Internal") || told.text.starts_with("Damaged(\"a request") {
            return Err(told.text.clone());
        }
    }
    Ok(())
}
