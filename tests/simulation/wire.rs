//! The four ports as the simulation sees them: every call stops twice, before it is done and after, and goes on when the
//! driver says so and as the driver says.
//!
//! So the driver alone decides what happens in which order: a call that waits is a message in transit, `Before` on its way
//! there and `After` on its way back. What is in here survives crashes, as a database, a queue and a target do.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use portcullis::{
    domain::{
        classify::{
            Dialect,
            server::{Relation, RelationColumn, ServerCatalog, ServerName},
            sql::JudgedCatalog,
        },
        connection::{Access, ConnectionName},
        id::{Entropy, RequestId, SessionId},
        masking::{Cell, ServerColumn, ServerOrigin},
        operation::Operation,
        policy::Policy,
        record::Hash,
        session::{Event, EventBody, Preview},
    },
    gateway::{
        Ports,
        ports::{
            AppendError, Appended, ApprovalBus, ApprovalNotice, Batch, BoxError, CatalogError,
            Clock, Completion, Ending, EventStore, Execution, Page, Query, ReadError,
            RefusedAnswer, ResultSink, RunError, Targets, WrappedKey,
        },
    },
    store::Memory,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::chance::Chance;

/// Where the simulation's clock begins.
pub(super) const BEGINNING: i64 = 1_800_000_000;

/// Values that only the target knows. None of them may be seen anywhere else.
pub(super) const PLANTED: [&str; 6] = [
    "planted.column@secret.example",
    "planted.note@secret.example",
    "planted.error@secret.example",
    "planted.notice@secret.example",
    "planted.lost@secret.example",
    "planted.preview@secret.example",
];

/// A process of the gateway. A new number for each start.
pub(super) type Instance = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Port {
    Append,
    Head,
    Session,
    Request,
    Key,
    EraseKey,
    Search,
    Due,
    Publish,
    Run,
    Preview,
    Catalog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Before,
    After,
}

/// How a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// As asked.
    Go,
    /// It fails: `Before`, nothing was done; `After`, it was done and nobody hears of it.
    Fail,
    /// The target says no.
    Refuse,
    /// The target is never heard of again, and did nothing.
    Lose,
}

/// A call in transit.
pub(super) struct Call {
    pub(super) instance: Instance,
    pub(super) port: Port,
    pub(super) side: Side,
    pub(super) about: String,
    go: oneshot::Sender<Fate>,
}

impl Call {
    pub(super) fn proceed(self, fate: Fate) {
        // Whoever waited may have gone meanwhile: a caller that left, a time limit.
        let _ = self.go.send(fate);
    }
}

struct Timer {
    instance: Instance,
    at: Timestamp,
    go: oneshot::Sender<()>,
}

/// Something the target did that cannot be undone.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub(super) request: RequestId,
    pub(super) operation: Operation,
    pub(super) access: Access,
    /// How many rows it changed.
    pub(super) rows: u64,
    /// Whether `execution.started` of this request was on record at that moment.
    pub(super) intent_on_record: bool,
}

/// Something a caller was told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) request: Option<RequestId>,
    pub(super) text: String,
    pub(super) rows: bool,
    /// Whether `execution.finished` of this request was on record at that moment.
    pub(super) finished_on_record: bool,
}

/// Everything outside of the gateway's processes.
pub(super) struct Hub {
    pub(super) store: Memory,
    tables: Arc<JudgedCatalog>,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) now: Timestamp,
    /// How far each process's clock is from that.
    pub(super) skews: BTreeMap<Instance, SignedDuration>,
    entropy: Chance,
    calls: Vec<Call>,
    timers: Vec<Timer>,
    dead: BTreeSet<Instance>,
    pub(super) policy: Arc<Policy>,
    /// The versions of policy each process may still be acting on.
    pub(super) acting_on: BTreeMap<Instance, Vec<Hash>>,
    pub(super) sessions: BTreeSet<SessionId>,
    pub(super) grown: BTreeSet<SessionId>,
    pub(super) notices: Vec<ApprovalNotice>,
    pub(super) effects: Vec<Effect>,
    /// How many rows a change finds these days.
    pub(super) rows: u64,
    /// How often each request was run to be rolled back.
    rehearsed: BTreeMap<RequestId, usize>,
    pub(super) told: Vec<Told>,
    /// What the wire itself saw that must not be.
    pub(super) seen: Vec<String>,
    /// How often what happened: a simulation in which nothing happens proves nothing.
    pub(super) happened: BTreeMap<&'static str, u64>,
}

impl Hub {
    pub(super) fn new(seed: u64, policy: Arc<Policy>) -> Arc<Self> {
        Arc::new(Self {
            store: Memory::new(),
            tables: Arc::new(tables()),
            state: Mutex::new(State {
                now: Timestamp::from_second(BEGINNING).unwrap(),
                skews: BTreeMap::new(),
                entropy: Chance::new(seed ^ 0x5eed),
                calls: Vec::new(),
                timers: Vec::new(),
                dead: BTreeSet::new(),
                policy,
                acting_on: BTreeMap::new(),
                sessions: BTreeSet::new(),
                grown: BTreeSet::new(),
                notices: Vec::new(),
                effects: Vec::new(),
                rows: 1,
                rehearsed: BTreeMap::new(),
                told: Vec::new(),
                seen: Vec::new(),
                happened: BTreeMap::new(),
            }),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The events of a request, as they are on record now.
    pub(super) fn request(&self, request: &RequestId) -> Vec<Event> {
        self.store.request(request).now_or_never().unwrap().unwrap()
    }

    /// The events of a session, as they are on record now.
    pub(super) fn session(&self, session: &SessionId) -> Vec<Event> {
        self.store.session(session).now_or_never().unwrap().unwrap()
    }

    fn on_record(&self, request: &RequestId, kind: &str) -> bool {
        self.request(request)
            .iter()
            .any(|event| event.body.kind() == kind)
    }

    /// Notes what a caller hears, at the moment they hear it.
    pub(super) fn tell(&self, request: Option<RequestId>, text: String, rows: bool) {
        let finished_on_record = request
            .as_ref()
            .is_some_and(|request| self.on_record(request, "execution.finished"));
        self.state().told.push(Told {
            request,
            text,
            rows,
            finished_on_record,
        });
    }

    fn took_effect(&self, execution: Execution, rows: u64) {
        let intent_on_record = self.on_record(&execution.request, "execution.started");
        let mut state = self.state();
        state.count("effect");
        state.effects.push(Effect {
            request: execution.request,
            operation: execution.operation,
            access: execution.access,
            rows,
            intent_on_record,
        });
    }

    /// Whoever reads that an outcome is unknown looks at the target: nothing may begin there after that.
    fn dispatched(&self, request: &RequestId) {
        if self.on_record(request, "execution.outcome_unknown") {
            let what = format!("`{request}` was begun after it had been given up");
            self.state().seen.push(what);
        }
    }

    /// What is run to be rolled back locks rows as well: its intent comes first, and once each.
    fn rehearsed(&self, request: &RequestId) {
        let events = self.request(request);
        let intents = events
            .iter()
            .filter(|event| event.body.kind() == "preview.started");
        let intents = intents.count();
        let mut state = self.state();
        state.count("rehearsal");
        let times = state.rehearsed.entry(request.clone()).or_default();
        *times += 1;
        if *times > intents {
            let what = format!("`{request}` was rehearsed {times} times on {intents} intents");
            state.seen.push(what);
        }
    }

    /// Whoever is shown an exact preview sees what is on record.
    pub(super) fn previewed(&self, request: &RequestId, number: u32) {
        let shown = self.request(request).iter().any(|event| {
            matches!(&event.body, EventBody::PreviewFinished(finished) if finished.number == number)
        });
        if !shown {
            let what = format!("a preview of `{request}` was disclosed before its record");
            self.state().seen.push(what);
        }
    }

    fn appended(&self, instance: Instance, session: &SessionId, events: &[Event]) {
        let mut state = self.state();
        state.sessions.insert(session.clone());
        state.grown.insert(session.clone());
        for event in events {
            state.count(event.body.kind());
            if let EventBody::ExecutionStarted(started) = &event.body {
                let known = state
                    .acting_on
                    .get(&instance)
                    .is_some_and(|versions| versions.contains(&started.policy));
                if !known {
                    let what =
                        format!("`{}` was started by an outdated policy", started.request_id);
                    state.seen.push(what);
                }
            }
        }
    }

    /// Waits for the driver. A crashed process waits for good: that is what its crash is, and better than dropping it,
    /// for no destructor of a crashed process runs either.
    async fn stop(&self, instance: Instance, port: Port, side: Side, about: &str) -> Fate {
        let wait = {
            let mut state = self.state();
            if state.dead.contains(&instance) {
                None
            } else {
                let (go, wait) = oneshot::channel();
                state.calls.push(Call {
                    instance,
                    port,
                    side,
                    about: about.into(),
                    go,
                });
                Some(wait)
            }
        };
        match wait {
            Some(wait) => match wait.await {
                Ok(fate) => fate,
                Err(_) => pending().await,
            },
            None => pending().await,
        }
    }
}

impl State {
    pub(super) fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    /// Calls that wait and may go on, in the order they came.
    pub(super) fn waiting(&mut self, may: impl Fn(Instance) -> bool) -> Vec<usize> {
        self.calls.retain(|call| !call.go.is_closed());
        (0..self.calls.len())
            .filter(|index| may(self.calls[*index].instance))
            .collect()
    }

    pub(super) fn take_call(&mut self, index: usize) -> Call {
        self.calls.remove(index)
    }

    /// Whether `instance` has anything under way.
    pub(super) fn is_busy(&mut self, instance: Instance) -> bool {
        self.calls.retain(|call| !call.go.is_closed());
        self.timers.retain(|timer| !timer.go.is_closed());
        self.calls.iter().any(|call| call.instance == instance)
            || self.timers.iter().any(|timer| timer.instance == instance)
    }

    pub(super) fn next_timer(&mut self, may: impl Fn(Instance) -> bool) -> Option<Timestamp> {
        self.timers.retain(|timer| !timer.go.is_closed());
        let may = self.timers.iter().filter(|timer| may(timer.instance));
        may.map(|timer| timer.at).min()
    }

    /// Wakes whoever has slept long enough.
    pub(super) fn ring(&mut self, may: impl Fn(Instance) -> bool) {
        let now = self.now;
        let (due, rest) = std::mem::take(&mut self.timers)
            .into_iter()
            .partition(|timer| timer.at <= now && may(timer.instance));
        self.timers = rest;
        for timer in due {
            let Timer { go, .. } = timer;
            let _ = go.send(());
        }
    }

    /// Ends a process. What it had in transit is gone; what was done stays done.
    pub(super) fn kill(&mut self, instance: Instance) {
        self.dead.insert(instance);
        self.calls.retain(|call| call.instance != instance);
        self.timers.retain(|timer| timer.instance != instance);
        self.acting_on.remove(&instance);
    }
}

/// The ports of one process.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) hub: Arc<Hub>,
    pub(super) instance: Instance,
}

pub(super) struct Simulated;

impl Ports for Simulated {
    type Store = Wire;
    type Bus = Wire;
    type Targets = Wire;
    type Clock = Wire;
}

impl Wire {
    async fn stop(&self, port: Port, side: Side, about: &str) -> Fate {
        self.hub.stop(self.instance, port, side, about).await
    }

    async fn read<T>(
        &self,
        port: Port,
        read: impl Future<Output = Result<T, ReadError>> + Send,
    ) -> Result<T, ReadError>
    where
        T: Send,
    {
        let unavailable = || ReadError::Unavailable("simulated".into());
        if self.stop(port, Side::Before, "").await == Fate::Fail {
            return Err(unavailable());
        }
        let answer = read.await;
        // From here on the answer ages.
        if self.stop(port, Side::After, "").await == Fate::Fail {
            return Err(unavailable());
        }
        answer
    }
}

impl EventStore for Wire {
    async fn append(&self, batch: Batch) -> Result<Appended, AppendError> {
        let kinds: Vec<_> = batch.events.iter().map(|event| event.body.kind()).collect();
        let about = kinds.join("+");
        let unavailable = || AppendError::Unavailable("simulated".into());
        if self.stop(Port::Append, Side::Before, &about).await == Fate::Fail {
            return Err(unavailable());
        }
        let (session, events) = (batch.session.clone(), batch.events.clone());
        let done = self.hub.store.append(batch).await;
        match &done {
            Ok(_) => self.hub.appended(self.instance, &session, &events),
            Err(_) => self.hub.state().count("conflict"),
        }
        if self.stop(Port::Append, Side::After, &about).await == Fate::Fail {
            self.hub.state().count("append not acknowledged");
            return Err(unavailable());
        }
        done
    }

    async fn head(
        &self,
        session: &SessionId,
    ) -> Result<Option<portcullis::domain::record::Head>, ReadError> {
        self.read(Port::Head, self.hub.store.head(session)).await
    }

    async fn session(&self, session: &SessionId) -> Result<Vec<Event>, ReadError> {
        self.read(Port::Session, self.hub.store.session(session))
            .await
    }

    async fn request(&self, request: &RequestId) -> Result<Vec<Event>, ReadError> {
        self.read(Port::Request, self.hub.store.request(request))
            .await
    }

    async fn key(&self, session: &SessionId) -> Result<Option<WrappedKey>, ReadError> {
        self.read(Port::Key, self.hub.store.key(session)).await
    }

    async fn erase_key(&self, session: &SessionId) -> Result<(), AppendError> {
        let unavailable = || AppendError::Unavailable("simulated".into());
        if self.stop(Port::EraseKey, Side::Before, "").await == Fate::Fail {
            return Err(unavailable());
        }
        let done = self.hub.store.erase_key(session).await;
        if self.stop(Port::EraseKey, Side::After, "").await == Fate::Fail {
            return Err(unavailable());
        }
        done
    }

    async fn search(&self, query: &Query) -> Result<Page, ReadError> {
        self.read(Port::Search, self.hub.store.search(query)).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RequestId>, ReadError> {
        self.read(Port::Due, self.hub.store.due(now, limit)).await
    }
}

impl ApprovalBus for Wire {
    async fn publish(&self, notice: &ApprovalNotice) -> Result<(), BoxError> {
        if self.stop(Port::Publish, Side::Before, "").await == Fate::Fail {
            return Err("simulated".into());
        }
        self.hub.state().notices.push(notice.clone());
        if self.stop(Port::Publish, Side::After, "").await == Fate::Fail {
            return Err("simulated".into());
        }
        Ok(())
    }

    async fn set_aside(&self, refused: &RefusedAnswer) -> Result<(), BoxError> {
        panic!("nobody sends messages here: {refused:?}");
    }
}

impl Targets for Wire {
    async fn run(
        &self,
        execution: Execution,
        sink: &mut dyn ResultSink,
        cancel: &CancellationToken,
    ) -> Result<Completion, RunError> {
        let changes = changes_something(&execution.operation);
        let ending = execution.ending;
        let about = match (changes, ending) {
            (false, _) => "read",
            (true, Ending::Commit { .. }) => {
                self.hub.dispatched(&execution.request);
                "effect"
            }
            (true, Ending::RollBack) => {
                self.hub.rehearsed(&execution.request);
                "rehearsal"
            }
        };
        let fate = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(RunError::Cancelled { timeout: false }),
            fate = self.stop(Port::Run, Side::Before, about) => fate,
        };
        match fate {
            Fate::Go => {}
            Fate::Fail => {
                return Err(RunError::Unreachable(format!(
                    "no route for {}",
                    PLANTED[4]
                )));
            }
            Fate::Lose => return Err(RunError::Unknown(format!("lost {}", PLANTED[4]))),
            Fate::Refuse => {
                return Err(RunError::Refused {
                    code: Some("23505".into()),
                    message: format!("duplicate key: ({}) already exists", PLANTED[2]),
                    second_wall: false,
                    unread: false,
                });
            }
        }
        // The second wall: the read credential cannot write.
        if changes && execution.access == Access::Read {
            return Err(RunError::Refused {
                code: None,
                message: "attempt to write a readonly database".into(),
                second_wall: true,
                unread: false,
            });
        }
        let rows = self.hub.state().rows;
        if changes && let Some(refused) = ending.refuses(Some(rows)) {
            self.hub.state().count("too many rows");
            return Err(refused);
        }
        if changes && ending != Ending::RollBack {
            self.hub.took_effect(execution, rows);
        }
        let fate = tokio::select! {
            biased;
            () = cancel.cancelled() => Fate::Lose,
            fate = self.stop(Port::Run, Side::After, about) => fate,
        };
        if fate != Fate::Go {
            self.hub.state().count("outcome lost");
            return Err(RunError::Unknown(format!("lost {}", PLANTED[4])));
        }
        sink.notice(&format!("NOTICE: look at {}", PLANTED[3]));
        let affected = changes.then_some(rows);
        if changes && ending != Ending::RollBack {
            return Ok(Completion {
                affected,
                changed: affected,
                ..Completion::default()
            });
        }
        sink.columns(&columns());
        let note = format!("mail {} about it", PLANTED[1]);
        let cells = [Cell::Number("1"), Cell::Text(PLANTED[0]), Cell::Text(&note)];
        let ControlFlow::Continue(()) = sink.row(&cells) else {
            return Err(RunError::Unknown("one row is within every budget".into()));
        };
        Ok(Completion {
            affected,
            changed: affected,
            ..Completion::default()
        })
    }

    async fn preview(&self, _: &ConnectionName, _: &Operation, _: Duration) -> Preview {
        let failed = || Preview {
            estimated_rows: None,
            note: format!("the planner stumbled over {}", PLANTED[5]),
        };
        if self.stop(Port::Preview, Side::Before, "").await != Fate::Go {
            return failed();
        }
        if self.stop(Port::Preview, Side::After, "").await != Fate::Go {
            return failed();
        }
        Preview {
            estimated_rows: Some(1),
            note: "the planner's estimate".into(),
        }
    }

    async fn catalog(
        &self,
        _: &ConnectionName,
    ) -> Result<Option<Arc<JudgedCatalog>>, CatalogError> {
        for side in [Side::Before, Side::After] {
            match self.stop(Port::Catalog, side, "").await {
                Fate::Go => {}
                Fate::Fail | Fate::Lose => {
                    self.hub.state().count("catalog out of reach");
                    return Err(CatalogError::Unreachable("no route".into()));
                }
                Fate::Refuse => {
                    self.hub.state().count("catalog not shown");
                    return Err(CatalogError::Unreadable("simulated".into()));
                }
            }
        }
        Ok(Some(Arc::clone(&self.hub.tables)))
    }

    fn catalog_changed(&self, _: &ConnectionName) {}
}

/// The catalog of the target, whichever process asks.
fn tables() -> JudgedCatalog {
    let table = |name: &str| {
        let name = ServerName {
            schema: "main".into(),
            name: name.into(),
        };
        let column = |column: ServerColumn| RelationColumn {
            name: column.name,
            type_name: ServerName {
                schema: String::new(),
                name: column.type_name,
            },
        };
        let relation = Relation {
            columns: columns().map(column).into(),
            ..Relation::default()
        };
        (name, relation)
    };
    let catalog = ServerCatalog {
        search_path: vec!["main".into()],
        relations: ["customers", "salaries"].map(table).into(),
        ..ServerCatalog::default()
    };
    JudgedCatalog::new(Dialect::Sqlite, catalog)
}

/// The target's own idea of its language, told apart from the gateway's.
fn changes_something(operation: &Operation) -> bool {
    let sql = operation.sql().expect("the simulated target takes SQL");
    !sql.statement.starts_with("SELECT")
}

fn columns() -> [ServerColumn; 3] {
    ["id", "email", "note"].map(|name| ServerColumn {
        name: name.into(),
        type_name: "text".into(),
        origin: Some(ServerOrigin {
            schema: None,
            relation: "customers".into(),
            column: name.into(),
            also: Vec::new(),
        }),
    })
}

impl Clock for Wire {
    fn now(&self) -> Timestamp {
        let state = self.hub.state();
        state.now + state.skews.get(&self.instance).copied().unwrap_or_default()
    }

    fn entropy(&self) -> Entropy {
        let mut state = self.hub.state();
        let (first, second) = (state.entropy.next(), state.entropy.next());
        (u128::from(first) << 64 | u128::from(second)).to_be_bytes()
    }

    async fn sleep(&self, duration: Duration) {
        let wait = {
            let mut state = self.hub.state();
            if state.dead.contains(&self.instance) {
                None
            } else {
                let (go, wait) = oneshot::channel();
                let at = state.now + duration;
                state.timers.push(Timer {
                    instance: self.instance,
                    at,
                    go,
                });
                Some(wait)
            }
        };
        let woken = match wait {
            Some(wait) => wait.await.is_ok(),
            None => false,
        };
        if !woken {
            pending::<()>().await;
        }
    }
}
