//! What holds whatever is answered, claimed and decided, in whatever order, while policies come and go.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*, sample};

use super::*;
use crate::domain::{
    connection::ConnectionName,
    id::{RequestId, SessionId},
    operation::{HttpOperation, Operation},
    policy::{ConnectionRules, Decision, Endpoint, Policy, Question},
    principal::{Principal, PrincipalKind},
    record::Hash,
};

/// What an API answered, masked.
const HELD: &[u8] = b"[secret]";

/// Minutes an approval is good for.
const PATIENCE: i64 = 30;

/// Everyone there is: the one who asks, another agent, two who may approve, and one who may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Bot,
    Cat,
    Dana,
    Erik,
    Hana,
}

impl Who {
    const ALL: [Self; 5] = [Self::Bot, Self::Cat, Self::Dana, Self::Erik, Self::Hana];

    fn principal(self) -> Principal {
        let (kind, name, group) = match self {
            Self::Bot => (PrincipalKind::Agent, "bot", "ai-agents"),
            Self::Cat => (PrincipalKind::Agent, "cat", "ai-agents"),
            Self::Dana => (PrincipalKind::Human, "dana", "db-admins"),
            Self::Erik => (PrincipalKind::Human, "erik", "db-admins"),
            Self::Hana => (PrincipalKind::Human, "hana", "staff"),
        };
        let groups = BTreeSet::from([group.to_owned()]);
        Principal::hypothetical(kind, name, groups, BTreeSet::new())
    }

    fn may_approve(self) -> bool {
        matches!(self, Self::Dana | Self::Erik)
    }
}

/// What policy says of the call on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    /// As many of the database's people must agree.
    Asks(u32),
    AsksOthers,
    Allows,
    Denies,
    /// The people who may agree are others.
    Strangers,
    /// The connection is gone.
    Gone,
    /// No answer is given in which something was masked.
    GivesNone,
}

impl Day {
    fn policy(self) -> Policy {
        let (group, count) = match self {
            Self::Strangers => ("new-admins", 1),
            Self::Asks(count) => ("db-admins", count),
            _ => ("db-admins", 1),
        };
        let then = match self {
            Self::Asks(_) | Self::Strangers | Self::Gone | Self::GivesNone => {
                "{ require_approval: dba }"
            }
            Self::AsksOthers => "{ require_approval: owners }",
            Self::Allows => "allow",
            Self::Denies => "{ deny: \"Not today.\" }",
        };
        let looking = match self {
            Self::Denies => "{ deny: \"Not today.\" }",
            _ => "allow",
        };
        let on_finding = match self {
            Self::GivesNone => "deny",
            _ => "require_approval",
        };
        let name = if self == Self::Gone { "other" } else { "api" };
        let text = format!(
            r#"
version: 1
approvers:
  dba: {{ groups: [{group}], count: {count}, expires_in: {PATIENCE}m }}
  owners: {{ groups: [owners] }}
connections:
  {name}: {{ kind: http, api: generic, on_finding: {on_finding}, read: {{ url: "https://api.example" }}, write: {{ url: "https://api.example" }}, allow: {{ groups: [ai-agents] }} }}
rules:
  - {{ name: looking, when: {{ effect: read }}, then: {looking} }}
  - {{ name: removals, when: {{ effect: destructive }}, then: {then} }}
  - {{ name: schema, when: {{ effect: schema }}, then: {{ require_approval: dba }} }}
  - {{ name: administration, when: {{ effect: admin }}, then: {{ require_approval: owners }} }}
masking: {{ approvers: dba }}
"#
        );
        Policy::parse(&[("policy.yaml".into(), text)]).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn days() -> impl Strategy<Value = Day> {
    sample::select(vec![
        Day::Asks(1),
        Day::Asks(2),
        Day::AsksOthers,
        Day::Allows,
        Day::Denies,
        Day::Strangers,
        Day::Gone,
        Day::GivesNone,
    ])
}

/// What can happen next.
#[derive(Clone, Debug)]
enum Move {
    Minutes(i64),
    Day(Day),
    Answer {
        who: Who,
        yes: bool,
        to_this: bool,
    },
    /// The same call, or another one, is made again.
    Claim {
        who: Who,
        same: bool,
    },
    Reconcile,
    Finish,
}

fn yes(who: Who) -> Move {
    Move::Answer {
        who,
        yes: true,
        to_this: true,
    }
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let who = || sample::select(Who::ALL.to_vec());
    let likely = |one: Who| prop_oneof![3 => Just(one), 1 => who()];
    let approver = prop_oneof![3 => Just(Who::Dana), 3 => Just(Who::Erik), 1 => who()];
    let one = prop_oneof![
        2 => prop_oneof![4 => 0..8i64, 1 => 25..40i64].prop_map(Move::Minutes),
        1 => days().prop_map(Move::Day),
        4 => (approver, prop::bool::weighted(0.85), prop::bool::weighted(0.9))
            .prop_map(|(who, yes, to_this)| Move::Answer { who, yes, to_this }),
        4 => (likely(Who::Bot), prop::bool::weighted(0.85))
            .prop_map(|(who, same)| Move::Claim { who, same }),
        1 => Just(Move::Reconcile),
        1 => Just(Move::Finish),
    ];
    vec(one, 0..16)
}

fn call(method: &str, path: &str) -> Operation {
    Operation::Http(HttpOperation::new(method, path, &[], Default::default()).unwrap())
}

fn connection() -> ConnectionName {
    "api".parse().unwrap()
}

/// One request, and the world around it.
struct Life {
    operation: Operation,
    journal: Vec<(Timestamp, EventBody)>,
    now: Timestamp,
    day: Day,
    policy: Policy,
    /// How many people it takes, by the policy it was asked under.
    asked_for: u32,
}

impl Life {
    /// Held, for `count` of the database's people.
    fn held(count: u32) -> Self {
        let (life, next) = Self::asked(call("DELETE", "/thing"), count);
        match next {
            Next::Hold(events, _) => life.with(events),
            next => panic!("it is not held: {next:?}"),
        }
    }

    /// Run, and its answer kept back, for `count` of the database's people.
    fn answered(count: u32) -> Self {
        let (life, next) = Self::asked(call("GET", "/thing"), count);
        let Next::Act(events, _) = next else {
            panic!("it does not run: {next:?}");
        };
        let life = life.with(events);
        let finished = life.finished(Some(HELD));
        let (request, EventBody::ExecutionFinished(held)) = (life.request(), &finished) else {
            panic!("it has not finished");
        };
        let asked = ask_about_answer(&request.decided, held, &life.policy, life.now).unwrap();
        life.with(vec![
            finished,
            EventBody::ApprovalRequested(Box::new(asked)),
        ])
    }

    fn asked(operation: Operation, count: u32) -> (Self, Next) {
        let day = Day::Asks(count);
        let life = Self {
            operation: operation.clone(),
            journal: Vec::new(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            day,
            policy: day.policy(),
            asked_for: count,
        };
        let rules = &life.policy.connections[&connection()];
        let facts = facts(rules, &operation);
        let bot = Who::Bot.principal();
        let question = Question {
            principal: &bot,
            connection: rules,
            facts: &facts,
            now: life.now,
        };
        let (action, rule, from) = match verdict(&life.policy, &question, &operation) {
            Decision::Allow { rule } => (Action::Allow, rule, Vec::new()),
            Decision::RequireApproval { rule, from } => (Action::RequireApproval, rule, from),
            decision => panic!("{decision:?}"),
        };
        let session = SessionId::new([7; 16]);
        let decided = RequestDecided {
            request_id: RequestId::new(&session, [8; 16]),
            principal: bot.described(),
            connection: connection(),
            statement: operation.shown().into_owned(),
            params: Vec::new(),
            sealed: sealed(),
            digest: operation.digest(&connection(), bot.id()),
            reason: None,
            effect: facts.class,
            objects: Vec::new(),
            unbounded: facts.unbounded,
            why: facts.why.clone(),
            decision: DecisionRecord {
                action,
                rule: Some(rule),
                policy: life.policy.version,
                message: None,
            },
            rewritten: None,
            traceparent: None,
        };
        let next = ask(Asked {
            decided,
            operation,
            facts: &facts,
            connection: rules,
            policy: &life.policy,
            from: &from,
            preview: None,
            streams: true,
            instance: "here",
            now: life.now,
        });
        (life, next)
    }

    fn with(mut self, events: Vec<EventBody>) -> Self {
        self.happens(events);
        self
    }

    fn happens(&mut self, events: Vec<EventBody>) {
        let now = self.now;
        self.journal
            .extend(events.into_iter().map(|event| (now, event)));
        // What is decided can always be told again.
        self.request();
    }

    fn request(&self) -> Request {
        let journal = self.journal.iter().map(|(time, body)| (*time, body));
        Request::fold_bodies(journal).unwrap().unwrap()
    }

    fn count(&self, kind: &str) -> usize {
        let kinds = self.journal.iter().map(|(_, body)| body.kind());
        kinds.filter(|other| *other == kind).count()
    }

    /// Whoever has said yes on record.
    fn agreed(&self) -> BTreeSet<Who> {
        let answers = self.journal.iter().filter_map(|(_, body)| match body {
            EventBody::ApprovalDecided(said) if said.answer == Answer::Approve => {
                let by = |who: &Who| who.principal().id() == &said.approver.id;
                Who::ALL.into_iter().find(by)
            }
            _ => None,
        });
        answers.collect()
    }

    fn facts_of(&self, operation: &Operation) -> crate::domain::classify::Facts {
        // A connection that is gone judges nothing; whatever was judged before says it.
        let rules = Day::Asks(1).policy().connections[&connection()].clone();
        facts(&rules, operation)
    }

    fn answers(&mut self, who: Who, yes: bool, to_this: bool) {
        let request = self.request();
        let operation = self.operation.clone();
        let facts = self.facts_of(&operation);
        let asked = request.approval.as_ref().unwrap();
        let digest = match (asked.requested.terms.digest, request.decided.digest) {
            (digest, _) if to_this => digest,
            // A yes to the call is none to its answer.
            (digest, to_run) if to_run != digest => to_run,
            _ => Hash::of(b"something else"),
        };
        let answered = answer(Answered {
            request: &request,
            operation,
            facts: &facts,
            asked: None,
            policy: &self.policy,
            approver: &who.principal(),
            answer: if yes { Answer::Approve } else { Answer::Deny },
            digest,
            comment: None,
            instance: "here",
            now: self.now,
        });
        match answered {
            Err(_) => {}
            Ok(AfterAnswer::Noted(events)) => {
                assert!(to_this && who.may_approve(), "{who:?} counted");
                let was_over = self.is_over();
                self.happens(events);
                let given = self.count("answer.released") > 0;
                assert_eq!(given, yes && !was_over && self.may_be_given());
            }
            Ok(AfterAnswer::Act(..)) => panic!("a grant ran by itself"),
        }
    }

    fn in_time(&self) -> bool {
        self.now < self.journal[0].0 + SignedDuration::from_mins(PATIENCE)
    }

    /// Whether nothing follows from anyone's answer any more.
    fn is_over(&self) -> bool {
        let ends = ["request.refused", "approval.expired", "answer.released"];
        let refused = |(_, body): &(Timestamp, EventBody)| matches!(body, EventBody::ApprovalDecided(said) if said.answer == Answer::Deny);
        ends.iter().any(|end| self.count(end) > 0) || self.journal.iter().any(refused)
    }

    /// Whether those who have said yes are enough for the answer, and today's policy gives it: said without the code that
    /// decides it.
    fn may_be_given(&self) -> bool {
        let needed = match self.day {
            Day::Asks(count) => count.max(self.asked_for),
            Day::Allows | Day::AsksOthers => self.asked_for,
            Day::Denies | Day::Strangers | Day::Gone | Day::GivesNone => return false,
        };
        self.count("execution.finished") > 0
            && self.in_time()
            && self.agreed().len() >= needed as usize
    }

    /// Whether the same call, made by the one who was granted it, may run now: said without the code that decides it.
    fn may_run(&self) -> bool {
        let granted = self.count("approval.granted") > 0;
        let used = ["execution.started", "request.refused", "approval.expired"]
            .iter()
            .any(|over| self.count(over) > 0);
        let needed = match self.day {
            Day::Asks(count) => count.max(self.asked_for),
            Day::Allows | Day::GivesNone => self.asked_for,
            Day::AsksOthers | Day::Denies | Day::Strangers | Day::Gone => return false,
        };
        granted && !used && self.in_time() && self.agreed().len() >= needed as usize
    }

    fn claims(&mut self, who: Who, same: bool) {
        let request = self.request();
        let operation = match same {
            true => self.operation.clone(),
            false => call("DELETE", "/other"),
        };
        let facts = self.facts_of(&operation);
        let may = self.may_run() && who == Who::Bot && same;
        let claimed = claim(Claimed {
            request: &request,
            operation,
            facts: &facts,
            policy: &self.policy,
            principal: &who.principal(),
            instance: "here",
            now: self.now,
        });
        let was = request.status();
        match claimed {
            Ok(AfterAnswer::Act(events, _)) => {
                assert!(may, "{who:?} ran it when it was {was:?} on {:?}", self.day);
                self.happens(events);
            }
            Ok(AfterAnswer::Noted(events)) => {
                assert!(!may, "it was refused");
                // Nobody but the one who was granted it ends a grant by asking.
                assert!(who == Who::Bot && same && was == RequestStatus::Approved);
                self.happens(events);
                assert_eq!(self.request().status(), RequestStatus::Denied);
            }
            Err(refused) => {
                assert!(!may, "{refused}");
                if who == Who::Bot && same {
                    assert!(
                        matches!(refused, Refusal::Closed(_) | Refusal::Expired(_)),
                        "{refused}"
                    );
                }
            }
        }
    }

    fn moves(&mut self, next: Move) {
        match next {
            Move::Minutes(minutes) => self.now += SignedDuration::from_mins(minutes),
            Move::Day(day) => (self.day, self.policy) = (day, day.policy()),
            Move::Answer { who, yes, to_this } => self.answers(who, yes, to_this),
            Move::Claim { who, same } => self.claims(who, same),
            Move::Reconcile => {
                if let Due::Note(event) = due(&self.request(), self.now) {
                    self.happens(vec![event]);
                }
            }
            Move::Finish => {
                if self.request().status() == RequestStatus::Executing {
                    let finished = self.finished(None);
                    self.happens(vec![finished]);
                }
            }
        }
    }

    fn finished(&self, body: Option<&[u8]>) -> EventBody {
        let answer = body.map(|body| AnswerRecord {
            status: 200,
            content_type: None,
            bytes: body.len() as u64,
            sha256: Hash::of(body),
            withheld: true,
        });
        EventBody::ExecutionFinished(Box::new(ExecutionFinished {
            request_id: self.request().decided.request_id,
            row_count: 0,
            affected: None,
            truncated: false,
            masked: Default::default(),
            columns: Vec::new(),
            notices: Vec::new(),
            exit_code: None,
            result: answer.is_some().then(sealed),
            answer,
            took_us: 1,
        }))
    }
}

fn sealed() -> Sealed {
    Sealed {
        nonce: String::new(),
        ciphertext: String::new(),
    }
}

fn facts(rules: &ConnectionRules, operation: &Operation) -> crate::domain::classify::Facts {
    let (Operation::Http(call), Endpoint::Http(upstream)) = (operation, &rules.read) else {
        panic!("no call to an API");
    };
    upstream.facts(call)
}

proptest! {
    #[test]
    fn a_grant_runs_once_for_its_asker_alone_in_time_and_as_todays_policy_agrees(
        count in 1..=2u32,
        moves in moves(),
    ) {
        let mut life = Life::held(count);
        for next in moves {
            life.moves(next);
            prop_assert!(life.count("execution.started") <= 1);
        }
    }

    #[test]
    fn an_answer_is_given_once_enough_agree_in_time_and_as_todays_policy_agrees_and_never_runs_again(
        count in 1..=2u32,
        moves in moves(),
    ) {
        let mut life = Life::answered(count);
        for next in moves {
            life.moves(next);
            let given = life.count("answer.released");
            prop_assert!(given <= 1);
            prop_assert_eq!(life.count("execution.started"), 1);
            let shown = match life.request().stage {
                Stage::Succeeded(finished) => !finished.answer.unwrap().withheld,
                _ => false,
            };
            prop_assert_eq!(shown, given == 1);
        }
    }
}

#[test]
fn a_question_about_an_answer_is_about_that_answer_and_nobody_gives_it_unasked() {
    let life = Life::answered(1);
    let fold = |bodies: &[&EventBody]| {
        let bodies = bodies.iter().map(|body| (life.now, *body));
        Request::fold_bodies(bodies).is_ok()
    };
    let [decided, started, finished, asked] = &life.journal[..] else {
        panic!("{:?}", life.journal);
    };
    let [decided, started, finished, asked] = [&decided.1, &started.1, &finished.1, &asked.1];
    assert!(fold(&[decided, started, finished, asked]));
    let request_id = life.request().decided.request_id;
    let released = EventBody::AnswerReleased(RequestRef { request_id });
    for impossible in [
        &[decided, started, finished, &released][..],
        &[decided, started, finished, asked, &released],
        &[decided, started, finished, asked, asked],
        &[decided, started, &life.finished(None), asked],
        &[decided, started, &life.finished(Some(b"another")), asked],
        &[decided, started, asked],
        &[decided, started, finished, asked, started],
    ] {
        assert!(!fold(impossible), "{impossible:?}");
    }
    let mut life = Life::answered(1);
    life.moves(yes(Who::Dana));
    assert_eq!(life.request().status(), RequestStatus::Succeeded);
    let mut life = Life::answered(2);
    for who in [Who::Bot, Who::Cat, Who::Hana, Who::Dana, Who::Erik] {
        assert_eq!(life.request().status(), RequestStatus::PendingApproval);
        life.moves(yes(who));
    }
    assert_eq!(life.request().status(), RequestStatus::Succeeded);
}

#[test]
fn a_grant_is_used_up_by_its_first_use_and_lapses_with_its_question() {
    let granted = || {
        let mut life = Life::held(1);
        life.answers(Who::Dana, true, true);
        assert_eq!(life.request().status(), RequestStatus::Approved);
        life
    };
    let mut life = granted();
    for (who, same) in [(Who::Cat, true), (Who::Dana, true), (Who::Bot, false)] {
        life.claims(who, same);
        assert_eq!(life.request().status(), RequestStatus::Approved);
    }
    life.claims(Who::Bot, true);
    assert_eq!(life.request().status(), RequestStatus::Executing);
    life.claims(Who::Bot, true);
    assert_eq!(life.count("execution.started"), 1);

    let mut life = granted();
    life.moves(Move::Minutes(PATIENCE));
    life.claims(Who::Bot, true);
    assert_eq!(life.count("execution.started"), 0);
    life.moves(Move::Reconcile);
    assert_eq!(life.request().status(), RequestStatus::ApprovalExpired);

    for day in [
        Day::Denies,
        Day::AsksOthers,
        Day::Strangers,
        Day::Gone,
        Day::Asks(2),
    ] {
        let mut life = granted();
        life.moves(Move::Day(day));
        life.claims(Who::Bot, true);
        assert_eq!(life.request().status(), RequestStatus::Denied, "{day:?}");
        life.moves(Move::Day(Day::Asks(1)));
        life.claims(Who::Bot, true);
        assert_eq!(life.count("execution.started"), 0, "{day:?}");
    }
}
