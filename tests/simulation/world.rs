//! The driver: starts and ends processes, asks and answers, moves time, and lets calls through, one step at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use portcullis::{
    domain::{
        connection::ConnectionName,
        id::{ApprovalId, SessionId},
        policy::Policy,
        principal::DescribedPrincipal,
        record::Hash,
        session::{Answer, Event, EventBody},
    },
    gateway::{
        Answering, Ask, GateError, Gateway, Outcome, Parts, PreviewStatus, answer,
        seal::{ExportKey, Sealer},
    },
};
use tempfile::TempDir;
use tokio::task::{JoinHandle, yield_now};

use crate::support::people::principal;

use super::{
    chance::Chance,
    rules::{Rules, Statement},
    wire::{Call, Fate, Hub, Instance, Simulated, State, Wire},
};

/// One thing someone wants done, however often they say so.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) who: &'static str,
    pub(super) statement: Statement,
    pub(super) number: usize,
    pub(super) session: Option<SessionId>,
    pub(super) keyed: bool,
    /// Its caller takes what comes and does not wait for approvers: an approval is then a grant.
    pub(super) passing: bool,
}

/// One answer, however often it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) who: &'static str,
    pub(super) approval: ApprovalId,
    pub(super) answer: Answer,
    pub(super) digest: Hash,
    /// When it came to the queue, by a clock that is right; `None`: it did not come by message.
    pub(super) enqueued: Option<Timestamp>,
}

struct Doing {
    instance: Instance,
    what: String,
    task: JoinHandle<()>,
}

/// What a round of letting calls through may do to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The call fails.
    Fail,
    /// The target refuses or is lost.
    Refuse,
    Lose,
    /// The process ends there and then.
    Crash,
}

pub(super) struct World {
    pub(super) hub: Arc<Hub>,
    gateways: BTreeMap<Instance, Arc<Gateway<Simulated>>>,
    stalled: BTreeSet<Instance>,
    next_instance: Instance,
    doing: Vec<Doing>,
    pub(super) rules: Rules,
    /// Every policy there ever was.
    pub(super) rules_of: BTreeMap<Hash, Rules>,
    /// Every ask by its digest.
    pub(super) asked: BTreeMap<Hash, Asked>,
    /// Every answer anyone gave.
    pub(super) sent: Vec<Mail>,
    /// Each session as it was when it was last looked at.
    pub(super) before: BTreeMap<SessionId, Vec<Event>>,
    /// How many notices have been looked at.
    pub(super) notices_seen: usize,
    /// How far the clocks of processes are off; `None`: they are right.
    clocks: Option<Chance>,
    trace: Vec<String>,
    name: String,
}

static KEYS: LazyLock<TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    ExportKey::open_or_create(&directory.path().join("export.key")).unwrap();
    directory
});

pub(super) fn crm() -> ConnectionName {
    "crm".parse().unwrap()
}

/// Runs a simulation on a runtime of its own; all of its tasks end with it.
pub(super) fn simulate<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}

impl World {
    /// A world of two processes. `name` says how to see it again.
    pub(super) fn new(name: String, seed: u64, rules: Rules) -> Self {
        let mut world = Self {
            hub: Hub::new(seed, rules.policy()),
            gateways: BTreeMap::new(),
            stalled: BTreeSet::new(),
            next_instance: 0,
            doing: Vec::new(),
            rules,
            rules_of: BTreeMap::from([(rules.policy().version, rules)]),
            asked: BTreeMap::new(),
            sent: Vec::new(),
            before: BTreeMap::new(),
            notices_seen: 0,
            clocks: None,
            trace: Vec::new(),
            name,
        };
        world.start();
        world.start();
        world
    }

    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.trace.push(what.into());
    }

    /// Fails, saying how to see it again.
    pub(super) fn fail(&self, promise: &str, why: &str) -> ! {
        let trace = self.trace.join("\n  ");
        panic!(
            "{}: after step {}: {promise}: {why}\n  {trace}\n",
            self.name,
            self.trace.len(),
        );
    }

    pub(super) fn trace(&self) -> &[String] {
        &self.trace
    }

    // ------------------------------------------------------------------------------------------ processes

    fn start(&mut self) -> Instance {
        let instance = self.next_instance;
        self.next_instance += 1;
        let wire = Wire {
            hub: Arc::clone(&self.hub),
            instance,
        };
        let hub = Arc::clone(&self.hub);
        let gateway = Gateway::new(Parts {
            store: wire.clone(),
            bus: wire.clone(),
            targets: wire.clone(),
            clock: wire,
            policy: Arc::new(move || Arc::clone(&hub.state().policy)),
            sealer: Sealer::from_key(&[7; 32]).unwrap(),
            export_key: ExportKey::open_or_create(&KEYS.path().join("export.key")).unwrap(),
            source: "portcullis/simulated".into(),
            instance: format!("process-{instance}"),
        });
        self.gateways.insert(instance, gateway);
        self.set_clock(instance);
        instance
    }

    /// From now on every process has a clock of its own, which is right or up to half an hour off.
    pub(super) fn clocks_differ(&mut self, chance: Chance) {
        self.clocks = Some(chance);
        let running: Vec<Instance> = self.gateways.keys().copied().collect();
        for instance in running {
            self.set_clock(instance);
        }
    }

    /// Every clock is set right, and the time has come that those ahead had shown.
    pub(super) fn clocks_agree(&mut self) {
        if self.clocks.take().is_some() {
            self.hub.state().skews.clear();
            self.advance(30 * Duration::from_secs(60));
        }
    }

    fn set_clock(&mut self, instance: Instance) {
        let Some(chance) = &mut self.clocks else {
            return;
        };
        let minutes = *chance.one_of(&[0, 0, 1, -1, 10, -10, 30, -30]);
        let skew = SignedDuration::from_mins(minutes);
        self.hub.state().skews.insert(instance, skew);
        self.note(format!(
            "the clock of process {instance} is {minutes} minutes off"
        ));
    }

    /// Ends a process in the middle of whatever it does, and starts another.
    pub(super) fn crash(&mut self, instance: Instance) {
        self.hub.state().kill(instance);
        self.hub.state().count("crash");
        self.gateways.remove(&instance);
        self.stalled.remove(&instance);
        for doing in &self.doing {
            if doing.instance == instance {
                doing.task.abort();
            }
        }
        let next = self.start();
        self.note(format!("process {instance} crashes, process {next} starts"));
    }

    pub(super) fn stall(&mut self, instance: Instance) {
        self.note(format!("process {instance} stalls"));
        self.stalled.insert(instance);
    }

    pub(super) fn revive(&mut self) {
        for instance in std::mem::take(&mut self.stalled) {
            self.note(format!("process {instance} goes on"));
        }
        self.hub.state().ring(|_| true);
    }

    pub(super) fn stalled(&self) -> Vec<Instance> {
        self.stalled.iter().copied().collect()
    }

    /// The processes that are alive and awake.
    pub(super) fn awake(&self) -> Vec<Instance> {
        let awake = |instance: &Instance| !self.stalled.contains(instance);
        self.gateways.keys().copied().filter(awake).collect()
    }

    // ------------------------------------------------------------------------------------------ things people do

    fn begin(
        &mut self,
        instance: Instance,
        what: String,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.note(format!("process {instance}: {what}"));
        let mut state = self.hub.state();
        let version = state.policy.version;
        if state.is_busy(instance) {
            let versions = state.acting_on.entry(instance).or_default();
            if !versions.contains(&version) {
                versions.push(version);
            }
        } else {
            state.acting_on.insert(instance, vec![version]);
        }
        drop(state);
        let task = tokio::spawn(work);
        self.doing.push(Doing {
            instance,
            what,
            task,
        });
    }

    /// Someone asks, maybe again.
    pub(super) fn ask(&mut self, instance: Instance, asked: &Asked) {
        let operation = asked.statement.operation(asked.number);
        let who = principal(asked.who);
        let digest = operation.digest(&crm(), who.id());
        self.asked.insert(digest, asked.clone());
        let ask = Ask {
            principal: who,
            connection: crm(),
            operation,
            reason: Some("because".into()),
            session: asked.session.clone(),
            idempotency_key: asked.keyed.then(|| format!("key-{}", asked.number)),
            traceparent: None,
            responder: asked.passing.then(|| answer(None).0),
        };
        let gateway = Arc::clone(&self.gateways[&instance]);
        let hub = Arc::clone(&self.hub);
        let what = format!("{} asks {:?} {}", asked.who, asked.statement, asked.number);
        self.begin(instance, what, async move {
            let outcome = gateway.submit(ask).await;
            tell(&hub, outcome);
        });
    }

    /// Someone answers, or an answer of theirs is delivered again.
    pub(super) fn answer(&mut self, instance: Instance, mail: &Mail) {
        if !self.sent.contains(mail) {
            self.sent.push(mail.clone());
        }
        let answering = Answering {
            approver: principal(mail.who),
            approval: mail.approval.clone(),
            answer: mail.answer,
            digest: mail.digest,
            comment: Some("as agreed".into()),
            enqueued: mail.enqueued,
        };
        let gateway = Arc::clone(&self.gateways[&instance]);
        let hub = Arc::clone(&self.hub);
        let what = format!(
            "{} answers {:?} to {}",
            mail.who, mail.answer, mail.approval
        );
        self.begin(instance, what, async move {
            let text = match gateway.resume(answering).await {
                Ok(view) => serde_json::to_string(&view).unwrap(),
                Err(error) => described(&error),
            };
            hub.tell(None, text, false);
        });
    }

    /// Someone wants to see exactly what a request would change.
    pub(super) fn preview(&mut self, instance: Instance, who: &'static str, approval: &ApprovalId) {
        let gateway = Arc::clone(&self.gateways[&instance]);
        let hub = Arc::clone(&self.hub);
        let (approver, approval) = (principal(who), approval.clone());
        let what = format!("{who} looks at what {approval} would change");
        self.begin(instance, what, async move {
            let text = match gateway.preview(approver, approval.clone()).await {
                Ok(view) => {
                    if view.status == PreviewStatus::Finished {
                        hub.previewed(&approval.request(), view.number);
                    }
                    serde_json::to_string(&view).unwrap()
                }
                Err(error) => described(&error),
            };
            hub.tell(None, text, false);
        });
    }

    /// From now on a change finds so many rows.
    pub(super) fn grow(&mut self, rows: u64) {
        self.note(format!("a change now finds {rows} rows"));
        self.hub.state().rows = rows;
    }

    /// The timer of one process rings.
    pub(super) fn reconcile(&mut self, instance: Instance) {
        let gateway = Arc::clone(&self.gateways[&instance]);
        self.begin(instance, "reconciles".into(), async move {
            // That the record cannot be reached is what the next round is for.
            let _ = gateway.reconcile().await;
        });
    }

    /// Whoever asked looks their request up.
    pub(super) fn look_up(
        &mut self,
        instance: Instance,
        who: &str,
        request: portcullis::domain::id::RequestId,
    ) {
        let gateway = Arc::clone(&self.gateways[&instance]);
        let hub = Arc::clone(&self.hub);
        let who = principal(who);
        let what = format!("looks up {request}");
        self.begin(instance, what, async move {
            let outcome = gateway.request(&who, &request, Duration::ZERO).await;
            tell(&hub, outcome);
        });
    }

    /// Forgets a session's key, by another program that has the same store.
    pub(super) async fn erase_key(&mut self, session: &SessionId) {
        use portcullis::gateway::ports::EventStore;
        self.note(format!("the key of {session} is erased"));
        self.hub.store.erase_key(session).await.unwrap();
    }

    /// Another writer appends to a session, after whatever is there.
    pub(super) async fn append_beside(&mut self, session: &SessionId) {
        use portcullis::{
            domain::{record::extend, session::SessionClosed},
            gateway::ports::{Batch, EventStore},
        };
        self.note(format!("another writer appends to {session}"));
        let after = self.hub.store.head(session).await.unwrap().unwrap();
        let closed = EventBody::SessionClosed(SessionClosed {
            reason: "another writer".into(),
        });
        let batch = Batch {
            session: session.clone(),
            after,
            events: extend(after, session, "another", self.now(), vec![closed]).unwrap(),
            key: None,
        };
        let _ = self.hub.store.append(batch).await.unwrap();
        self.hub.state().grown.insert(session.clone());
    }

    /// Policy changes.
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.note(format!("policy becomes {rules:?}"));
        let policy: Arc<Policy> = rules.policy();
        self.rules = rules;
        self.rules_of.insert(policy.version, rules);
        let mut state = self.hub.state();
        let instances: Vec<_> = self.gateways.keys().copied().collect();
        for instance in instances {
            let busy = state.is_busy(instance);
            let versions = state.acting_on.entry(instance).or_default();
            if !busy {
                versions.clear();
            }
            versions.push(policy.version);
        }
        state.policy = policy;
    }

    /// One of the callers goes away.
    pub(super) fn leave(&mut self, which: usize) {
        let doing = &self.doing[which];
        let what = format!("the caller of `{}` leaves", doing.what);
        doing.task.abort();
        self.note(what);
    }

    pub(super) fn under_way(&mut self) -> usize {
        self.doing.retain(|doing| !doing.task.is_finished());
        self.doing.len()
    }

    // ------------------------------------------------------------------------------------------ time and messages

    /// Lets every process run until it waits for a call, a timer or nothing.
    pub(super) async fn settle(&mut self) {
        // Each turn of the runtime empties its queue; what a task wakes last is in the next.
        for _ in 0..4 {
            yield_now().await;
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.hub.state().now
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.note(format!("{by:?} pass"));
        let stalled = self.stalled.clone();
        let mut state = self.hub.state();
        state.now += by;
        state.ring(|instance| !stalled.contains(&instance));
    }

    /// Moves to the next moment anyone sleeps until. `false`: nobody sleeps.
    pub(super) fn advance_to_timer(&mut self) -> bool {
        let stalled = self.stalled.clone();
        let may = |instance| !stalled.contains(&instance);
        let mut state = self.hub.state();
        let Some(at) = state.next_timer(may) else {
            return false;
        };
        state.now = state.now.max(at);
        state.ring(may);
        drop(state);
        self.note("time passes to the next timer");
        true
    }

    fn state_and_waiting(&mut self) -> (std::sync::MutexGuard<'_, State>, Vec<usize>) {
        let stalled = self.stalled.clone();
        let mut state = self.hub.state();
        let waiting = state.waiting(|instance| !stalled.contains(&instance));
        (state, waiting)
    }

    /// Takes the call that has waited longest.
    pub(super) fn next_call(&mut self) -> Option<Call> {
        let (mut state, waiting) = self.state_and_waiting();
        let first = *waiting.first()?;
        Some(state.take_call(first))
    }

    /// Takes any of the calls in transit.
    pub(super) fn any_call(&mut self, chance: &mut Chance) -> Option<Call> {
        let (mut state, waiting) = self.state_and_waiting();
        if waiting.is_empty() {
            return None;
        }
        let index = *chance.one_of(&waiting);
        Some(state.take_call(index))
    }

    pub(super) fn proceed(&mut self, call: Call, fate: Fate) {
        self.note(format!(
            "process {}: {} {fate:?}",
            call.instance,
            told(&call)
        ));
        call.proceed(fate);
    }

    /// Lets everything through that is under way, in the order it came, and what of it `fault` picks by its number
    /// goes wrong instead. Returns how many calls there were.
    pub(super) async fn drain(
        &mut self,
        first: usize,
        fault: &mut dyn FnMut(usize, &Call) -> Option<Fault>,
    ) -> usize {
        let mut number = first;
        loop {
            self.settle().await;
            self.check();
            let Some(call) = self.next_call() else {
                self.under_way();
                if self.advance_to_timer() {
                    continue;
                }
                if self.under_way() > 0 {
                    let what: Vec<_> = self.doing.iter().map(|doing| &doing.what).collect();
                    self.fail("everything comes to an end", &format!("{what:?} does not"));
                }
                return number;
            };
            let picked = fault(number, &call);
            number += 1;
            match picked {
                None => self.proceed(call, Fate::Go),
                Some(Fault::Fail) => self.proceed(call, Fate::Fail),
                Some(Fault::Refuse) => self.proceed(call, Fate::Refuse),
                Some(Fault::Lose) => self.proceed(call, Fate::Lose),
                Some(Fault::Crash) => {
                    self.note(format!("at: {}", told(&call)));
                    self.crash(call.instance);
                }
            }
        }
    }

    pub(super) async fn drain_well(&mut self) {
        self.drain(0, &mut |_, _| None).await;
    }

    // ------------------------------------------------------------------------------------------ what is on record

    /// The approvals on record: the digest of the question that was asked last, who asked, and the operation's digest.
    pub(super) fn approvals(&self) -> Vec<(ApprovalId, Hash, DescribedPrincipal, Hash)> {
        let sessions = self.hub.state().sessions.clone();
        let mut found = Vec::new();
        for session in &sessions {
            let events = self.hub.session(session);
            for event in &events {
                let EventBody::RequestDecided(decided) = &event.body else {
                    continue;
                };
                let asked = events.iter().rev().find_map(|event| match &event.body {
                    EventBody::ApprovalRequested(asked)
                        if asked.request_id == decided.request_id =>
                    {
                        Some(asked.terms.digest)
                    }
                    _ => None,
                });
                if let Some(question) = asked {
                    found.push((
                        decided.request_id.approval(),
                        question,
                        decided.principal.clone(),
                        decided.digest,
                    ));
                }
            }
        }
        found
    }
}

fn told(call: &Call) -> String {
    format!("{:?} {:?} {}", call.side, call.port, call.about)
}

fn tell(hub: &Hub, outcome: Result<Outcome, GateError>) {
    match outcome {
        Ok(outcome) => {
            let result = outcome.result.as_ref();
            let rows = result
                .and_then(|result| result.table())
                .is_some_and(|table| table.rows.is_some());
            let text = serde_json::to_string(&outcome).unwrap();
            hub.tell(Some(outcome.request_id), text, rows);
        }
        Err(error) => hub.tell(None, described(&error), false),
    }
}

fn described(error: &GateError) -> String {
    format!("{error:?} {error}")
}
