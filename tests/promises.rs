//! The nine promises, each shown on the simplest real thing: the gateway with its record in SQLite and a SQLite shop
//! behind it. That they hold whatever fails is for `simulation` to show.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use portcullis::{
    api::{self, Api},
    app::SystemClock,
    bus::InProcess,
    catalog::Catalog,
    domain::policy::Endpoint,
    domain::{
        classify::{Effect, sql::JudgedCatalog},
        connection::{Access, Budget, ConnectionKind, ConnectionName},
        id::{Entropy, RequestId, SessionId},
        operation::{Operation, SqlOperation},
        policy::Policy,
        record::{Head, verify::Verifier, verify_chain},
        session::{Action, Answer, Event, Preview, Refusal, RequestStatus},
    },
    gateway::{
        Answering, ApprovalBrief, Ask, GateError, Gateway, Outcome, Parts, Ports,
        ports::{
            AppendError, Appended, Batch, CatalogError, Clock, Completion, Ending, EventStore,
            Execution, Page, Query, ReadError, ResultSink, RunError, Targets, WrappedKey,
        },
        seal::{ExportKey, Sealer},
    },
    store::Sqlite,
    targets::{LiveTargets, TargetEndpoint},
};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::support::people::{authenticator, authorization, principal};

// ---------------------------------------------------------------------------------------------- the promises

#[test]
fn nothing_with_an_effect_runs_before_its_intent_is_on_record() {
    let house = House::new(POLICY);
    run(async {
        let outcome = house
            .ask("bot", "UPDATE stock SET n = n - 1 WHERE id = 1")
            .await;
        assert_eq!(outcome.unwrap().status, RequestStatus::Succeeded);
        let seen = house.seen.lock().unwrap().pop().unwrap();
        assert_eq!(seen.on_record, ["request.decided", "execution.started"]);
        assert_eq!(house.stock(), 9);

        // What is run only to be seen locks rows too.
        let held = house.ask("bot", "DELETE FROM books WHERE id = 1").await;
        let approval = held.unwrap().approval.unwrap().id;
        let carla = || principal("carla");
        let shown = house.gateway.preview(carla(), approval.clone()).await;
        assert_eq!(shown.unwrap().rows, Some(1));
        let seen = house.seen.lock().unwrap().drain(..).next_back().unwrap();
        assert!(seen.on_record.contains(&"preview.started"), "{seen:?}");
        assert_eq!(house.books(), 3);
        house.record_is_down.store(true, Ordering::SeqCst);
        let refused = house.gateway.preview(carla(), approval).await;
        assert!(matches!(refused, Err(GateError::RecordUnavailable(_))));

        house.record_is_down.store(true, Ordering::SeqCst);
        let refused = house
            .ask("bot", "UPDATE stock SET n = n - 1 WHERE id = 1")
            .await;
        assert!(matches!(refused, Err(GateError::RecordUnavailable(_))));
        assert!(house.seen.lock().unwrap().is_empty());
        assert_eq!(house.stock(), 9);
    });
}

#[test]
fn nothing_is_disclosed_before_its_record_is_durable() {
    let house = House::new(POLICY);
    run(async {
        house.record_is_down.store(true, Ordering::SeqCst);
        let withheld = house
            .ask("bot", "SELECT title FROM books")
            .await
            .unwrap_err();
        assert_eq!(house.seen.lock().unwrap().len(), 1, "it was read");
        assert!(!format!("{withheld:?} {withheld}").contains("Dune"));

        house.record_is_down.store(false, Ordering::SeqCst);
        let outcome = house.ask("bot", "SELECT title FROM books").await.unwrap();
        assert!(json(&outcome).contains("Dune"));
        let events = house.record.request(&outcome.request_id).await.unwrap();
        assert_eq!(kinds(&events), ["request.decided", "execution.finished"]);
        // Another program that opens the file at this moment finds as much.
        let read_only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let file = Connection::open_with_flags(house.path("record.db"), read_only).unwrap();
        let rows = file.query_row("SELECT count(*) FROM events", [], |row| row.get(0));
        assert_eq!(rows, Ok(3));
    });
}

#[test]
fn nothing_runs_twice() {
    let house = House::new(POLICY);
    run(async {
        let call = || {
            house.ask_as(
                "bot",
                "UPDATE stock SET n = n - 1 WHERE id = 1",
                Some("once"),
            )
        };
        let outcomes = tokio::join!(call(), call(), call(), call());
        let first = outcomes.0.unwrap().request_id;
        for other in [outcomes.1, outcomes.2, outcomes.3] {
            assert_eq!(other.unwrap().request_id, first);
        }
        assert_eq!(house.stock(), 9);

        let held = house
            .ask("bot", "DELETE FROM books WHERE id = 1")
            .await
            .unwrap();
        let approval = held.approval.unwrap();
        let other = house.another_process();
        let deliver = |gateway, who| answer(gateway, who, &approval, Answer::Approve);
        let here = &house.gateway;
        let _ = tokio::join!(
            deliver(here, "carla"),
            deliver(&other, "carla"),
            deliver(here, "erik"),
            deliver(&other, "erik"),
        );
        let dispatched = house.seen.lock().unwrap();
        let deletions = dispatched
            .iter()
            .filter(|seen| seen.request == held.request_id);
        assert_eq!(deletions.count(), 1);
    });
}

#[test]
fn doubt_ranks_as_danger() {
    let house = House::new(POLICY);
    run(async {
        for doubtful in [
            "DELEET FROM books",
            "SELECT 1; SELECT (",
            "DROP TABLE books",
        ] {
            let outcome = house.ask("bot", doubtful).await.unwrap();
            assert_eq!(outcome.status, RequestStatus::Denied, "{doubtful}");
            assert!(outcome.effect > Effect::Destructive, "{doubtful}");
        }
        // Allowed nowhere is denied.
        let outcome = house.ask("hana", "SELECT title FROM books").await.unwrap();
        assert_eq!(outcome.decision.action, Action::Deny);
        // What cannot be put on record is not done.
        house.record_is_down.store(true, Ordering::SeqCst);
        let refused = house
            .ask("bot", "UPDATE stock SET n = 0 WHERE id = 1")
            .await;
        assert!(refused.is_err());
        assert!(house.seen.lock().unwrap().is_empty());
        assert_eq!(house.stock(), 10);
    });
    // No policy, no start.
    assert!(Catalog::load(house.path("no-such-policy.yaml")).is_err());
    assert!(Policy::parse(&[("policy.yaml".into(), String::new())]).is_err());
}

#[test]
fn an_approval_is_for_one_thing() {
    let house = House::new(POLICY);
    run(async {
        let hold = async |who: &str, id: u32| {
            let statement = format!("DELETE FROM books WHERE id = {id}");
            let held = house.ask(who, &statement).await.unwrap();
            assert_eq!(held.status, RequestStatus::PendingApproval);
            held.approval.unwrap()
        };
        let say = async |who: &str, approval: &ApprovalBrief| {
            answer(&house.gateway, who, approval, Answer::Approve).await
        };
        let (first, second) = (hold("bot", 1).await, hold("bot", 2).await);

        // By nobody but those asked, and never by an agent.
        for nobody in ["bot", "overlord", "hana", "cron", "release"] {
            assert!(say(nobody, &first).await.is_err(), "{nobody}");
        }
        // Never by the requester.
        let own = hold("dan", 3).await;
        assert!(matches!(
            say("dan", &own).await,
            Err(GateError::Refused(Refusal::NotEligible(_)))
        ));
        // Of exactly what was shown.
        let swapped = ApprovalBrief {
            id: first.id.clone(),
            digest: second.digest,
            expires_at: first.expires_at,
            from: Vec::new(),
        };
        assert!(matches!(
            say("carla", &swapped).await,
            Err(GateError::Refused(Refusal::OtherDigest))
        ));
        assert_eq!(house.books(), 3);

        // Once.
        say("carla", &first).await.unwrap();
        assert_eq!(house.books(), 2);
        assert!(matches!(
            say("erik", &first).await,
            Err(GateError::Refused(Refusal::Closed(_)))
        ));

        // Not after its time.
        house.ahead.fetch_add(30 * 60, Ordering::SeqCst);
        assert!(matches!(
            say("carla", &second).await,
            Err(GateError::Refused(Refusal::Expired(_)))
        ));

        // Not of more than was shown.
        let held = house
            .ask("bot", "DELETE FROM books WHERE id > 100")
            .await
            .unwrap();
        let asked = held.approval.unwrap();
        let shown = house.gateway.preview(principal("carla"), asked.id.clone());
        assert_eq!(shown.await.unwrap().rows, Some(0));
        house
            .ask("bot", "INSERT INTO books VALUES (101, 'Nana')")
            .await
            .unwrap();
        say("carla", &asked).await.unwrap();
        assert_eq!(house.books(), 3, "it was rolled back");
        assert!(matches!(
            say("carla", &asked).await,
            Err(GateError::Refused(Refusal::OtherDigest))
        ));
        let again = house.look_up("bot", &asked.id.request()).await;
        assert_eq!(again.status, RequestStatus::PendingApproval);
        say("carla", &again.approval.unwrap()).await.unwrap();
        assert_eq!(house.books(), 2);

        // And not if policy says no by then.
        let third = hold("bot", 3).await;
        let stricter = POLICY.replace(
            "then: { require_approval: dba }",
            "then: { deny: \"No more.\" }",
        );
        let stricter = format!(
            "{stricter}  - {{ name: other, connections: [crm], when: {{ effect: admin }}, then: {{ require_approval: dba }} }}\n"
        );
        house.set_policy(&stricter);
        say("carla", &third).await.unwrap();
        let outcome = house.look_up("bot", &third.id.request()).await;
        assert_eq!(outcome.status, RequestStatus::Denied);
        assert_eq!(house.books(), 2);
    });
}

#[test]
fn raw_values_have_one_way_out_which_is_masking() {
    let house = House::new(POLICY);
    run(async {
        let read = house
            .ask("bot", "SELECT id, email, note FROM customers")
            .await
            .unwrap();
        let refused = house
            .ask("bot", "UPDATE customers SET name = 'x' WHERE id = 1")
            .await
            .unwrap();
        assert_eq!(read.result.as_ref().unwrap().table().unwrap().row_count, 1);
        assert_eq!(refused.status, RequestStatus::Failed);
        let mut seen = vec![json(&read), json(&refused)];
        for session in [&read.session_id, &refused.session_id] {
            let export = house
                .gateway
                .export(&principal("bot"), session)
                .await
                .unwrap();
            seen.push(String::from_utf8(export).unwrap());
        }
        for file in ["record.db", "record.db-wal"] {
            if let Ok(bytes) = std::fs::read(house.path(file)) {
                seen.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        for raw in [
            "ada@planted.example",
            "ada.home@planted.example",
            "ada.error@planted.example",
        ] {
            for text in &seen {
                assert!(!text.contains(raw), "{raw} in {text}");
            }
        }
        assert!(read.masked.cells >= 2, "{:?}", read.masked);
    });
}

#[test]
fn the_agent_never_holds_a_credential_and_a_read_gets_one_that_cannot_write() {
    let house = House::new(POLICY);
    run(async {
        let read = house.ask("bot", "SELECT title FROM books").await.unwrap();
        let write = house
            .ask("bot", "UPDATE stock SET n = 5 WHERE id = 1")
            .await
            .unwrap();
        let access: Vec<_> = house
            .seen
            .lock()
            .unwrap()
            .iter()
            .map(|seen| seen.access)
            .collect();
        assert_eq!(access, [Access::Read, Access::Write]);

        // However wrong a judgement were: with the read credential nothing changes.
        let delete = Execution {
            request: read.request_id.clone(),
            connection: crm(),
            operation: sql("DELETE FROM books"),
            access: Access::Read,
            budget: Budget::default(),
            ending: Ending::Commit { at_most: None },
        };
        let never = CancellationToken::new();
        let walled = house.targets.run(delete, &mut Nowhere, &never).await;
        assert!(
            matches!(
                walled,
                Err(RunError::Refused {
                    second_wall: true,
                    unread: false,
                    ..
                })
            ),
            "{walled:?}"
        );
        assert_eq!(house.books(), 3);

        // It is on nothing an agent gets, even when it leads nowhere.
        let password = |access| TargetEndpoint {
            name: crm(),
            kind: ConnectionKind::Postgres,
            access,
            endpoint: Endpoint::url("postgres://reader:s3cret-credential@127.0.0.1:1/crm"),
        };
        let nowhere = vec![password(Access::Read), password(Access::Write)];
        house.targets.live.configure(nowhere).unwrap();
        let gone = house.ask("bot", "SELECT title FROM books").await;
        let told = match &gone {
            Ok(outcome) => json(outcome),
            Err(error) => format!("{error:?} {error}"),
        };
        for text in [
            json(&read),
            json(&write),
            told,
            format!("{:?}", house.targets),
        ] {
            assert!(!text.contains("s3cret-credential"), "{text}");
        }
    });
}

#[test]
fn the_record_only_grows() {
    let house = House::new(POLICY);
    run(async {
        let session = house
            .ask("bot", "SELECT title FROM books")
            .await
            .unwrap()
            .session_id;
        let mut before: Vec<Event> = Vec::new();
        for statement in [
            "UPDATE stock SET n = 1 WHERE id = 1",
            "DROP TABLE books",
            "DELETE FROM books WHERE id = 2",
            "SELECT title FROM books",
        ] {
            house
                .ask_in("bot", statement, Some(&session), None)
                .await
                .unwrap();
            let events = house.record.session(&session).await.unwrap();
            assert!(events.len() > before.len() && events.starts_with(&before));
            verify_chain(&session, &events).unwrap();
            before = events;
        }
        // Nobody who writes through the product's own connection can change or take back a line, and whoever changes
        // the file itself is found out by anyone.
        let export = house
            .gateway
            .export(&principal("bot"), &session)
            .await
            .unwrap();
        let verdict = |export: &[u8]| {
            let mut verifier = Verifier::new(None);
            for line in export.split_inclusive(|byte| *byte == b'\n') {
                verifier.line(line);
            }
            verifier.finish().verdict().is_none()
        };
        assert!(verdict(&export));
        let without_one: Vec<_> = export.split_inclusive(|byte| *byte == b'\n').collect();
        let without_one = [&without_one[..2], &without_one[3..]].concat().concat();
        assert!(!verdict(&without_one));
        let text = String::from_utf8(export).unwrap();
        let altered = text.replacen("\"deny\"", "\"allow\"", 1);
        assert_ne!(altered, text);
        assert!(!verdict(altered.as_bytes()));
    });
}

#[test]
fn there_is_one_pipeline() {
    let house = House::new(POLICY);
    run(async {
        let router = api::router(Arc::new(Api {
            gateway: Arc::clone(&house.gateway),
            auth: authenticator(),
            address: String::new(),
            documents: Vec::new(),
        }));
        let post = |who: Option<&str>, statement: &str| {
            let mut request = axum::http::Request::post("/v1/connections/crm/query")
                .header("content-type", "application/json");
            if let Some(who) = who {
                request = request.header("authorization", authorization(who));
            }
            let body = serde_json::json!({ "sql": statement }).to_string();
            router
                .clone()
                .oneshot(request.body(axum::body::Body::from(body)).unwrap())
        };
        for statement in [
            "SELECT title FROM books",
            "UPDATE stock SET n = 2 WHERE id = 1",
            "DELETE FROM books WHERE id = 2",
            "DROP TABLE books",
        ] {
            let direct = house.ask("bot", statement).await.unwrap();
            let response = post(Some("bot"), statement).await.unwrap();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20)
                .await
                .unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let id: RequestId = body["request_id"].as_str().unwrap().parse().unwrap();
            assert_eq!(body["status"], direct.status.as_str());
            // The same story is on record, whichever door it came through.
            let story = async |id: &RequestId| {
                let mut told = kinds(&house.record.request(id).await.unwrap());
                // Approvers are told beside the answer, so this may still be on its way.
                told.retain(|kind| *kind != "approval.published");
                told
            };
            assert_eq!(story(&id).await, story(&direct.request_id).await);
        }
        let dispatched = house.seen.lock().unwrap().len();
        let response = post(None, "UPDATE stock SET n = 3 WHERE id = 1")
            .await
            .unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(house.seen.lock().unwrap().len(), dispatched);
    });
}

// ---------------------------------------------------------------------------------------------- the house

const POLICY: &str = r#"version: 1
approvers:
  dba: { groups: [db-admins], count: 1, expires_in: 30m }
connections:
  crm:
    kind: sqlite
    read: { url: "sqlite:/srv/crm.db" }
    write: { url: "sqlite:/srv/crm.db" }
    allow: { groups: [ai-agents] }
masking:
  columns:
    - { match: "*.customers.email", as: pseudonym }
rules:
  - { name: reads, when: { effect: read }, then: allow }
  - { name: writes, when: { effect: write }, then: allow }
  - { name: deletions, when: { effect: destructive }, then: { require_approval: dba } }
"#;

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

fn crm() -> ConnectionName {
    "crm".parse().unwrap()
}

fn sql(statement: &str) -> Operation {
    Operation::Sql(SqlOperation::new(statement.into(), Vec::new(), None).unwrap())
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.body.kind()).collect()
}

fn json(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).unwrap()
}

async fn answer(
    gateway: &Arc<Gateway<House>>,
    who: &str,
    approval: &ApprovalBrief,
    answer: Answer,
) -> Result<(), GateError> {
    let answering = Answering {
        approver: principal(who),
        approval: approval.id.clone(),
        answer,
        digest: approval.digest,
        comment: None,
        enqueued: None,
    };
    gateway.resume(answering).await.map(|_| ())
}

/// A gateway, its record, and what it guards.
struct House {
    folder: TempDir,
    gateway: Arc<Gateway<House>>,
    record: Ledger,
    targets: Watched,
    policy: Arc<Mutex<Arc<Policy>>>,
    record_is_down: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Dispatched>>>,
    ahead: Arc<AtomicI64>,
}

/// What the target got, and what was on record about it at that moment.
#[derive(Debug)]
struct Dispatched {
    request: RequestId,
    access: Access,
    on_record: Vec<&'static str>,
}

impl House {
    fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shop = Connection::open(folder.path().join("shop.db")).unwrap();
        shop.execute_batch(
            "CREATE TABLE stock (id INTEGER PRIMARY KEY, n INTEGER);
             INSERT INTO stock VALUES (1, 10);
             CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT);
             INSERT INTO books VALUES (1, 'Dune'), (2, 'Emma'), (3, 'Ulysses');
             CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT, note TEXT);
             INSERT INTO customers VALUES (1, 'Ada', 'ada@planted.example', 'or ada.home@planted.example');
             CREATE TRIGGER guard BEFORE UPDATE ON customers
               BEGIN SELECT RAISE(ABORT, 'locked by ada.error@planted.example'); END;",
        )
        .unwrap();
        let record_is_down = Arc::new(AtomicBool::new(false));
        let record = Ledger {
            file: Arc::new(Sqlite::open(&folder.path().join("record.db")).unwrap()),
            down: Arc::clone(&record_is_down),
        };
        let seen = Arc::default();
        let targets = Watched {
            live: Arc::new(LiveTargets::new()),
            record: record.clone(),
            seen: Arc::clone(&seen),
        };
        let ahead = Arc::new(AtomicI64::new(0));
        let policy = Policy::parse(&[("policy.yaml".into(), policy.into())]).unwrap();
        let policy = Arc::new(Mutex::new(Arc::new(policy)));
        let gateway = gateway(&folder, &record, &targets, &policy, &ahead);
        let house = Self {
            folder,
            gateway,
            record,
            targets,
            policy,
            record_is_down,
            seen,
            ahead,
        };
        house
            .targets
            .live
            .configure(house.endpoints("shop.db"))
            .unwrap();
        house
    }

    fn endpoints(&self, file: &str) -> Vec<TargetEndpoint> {
        let endpoint = |access| TargetEndpoint {
            name: crm(),
            kind: ConnectionKind::Sqlite,
            access,
            endpoint: Endpoint::url(self.path(file).to_str().unwrap()),
        };
        vec![endpoint(Access::Read), endpoint(Access::Write)]
    }

    fn another_process(&self) -> Arc<Gateway<House>> {
        gateway(
            &self.folder,
            &self.record,
            &self.targets,
            &self.policy,
            &self.ahead,
        )
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn set_policy(&self, text: &str) {
        let policy = Policy::parse(&[("policy.yaml".into(), text.into())]);
        *self.policy.lock().unwrap() = Arc::new(policy.unwrap_or_else(|error| panic!("{error}")));
    }

    fn count(&self, query: &str) -> i64 {
        let shop = Connection::open(self.path("shop.db")).unwrap();
        shop.query_row(query, [], |row| row.get(0)).unwrap()
    }

    fn stock(&self) -> i64 {
        self.count("SELECT n FROM stock WHERE id = 1")
    }

    fn books(&self) -> i64 {
        self.count("SELECT count(*) FROM books")
    }

    async fn ask(&self, who: &str, statement: &str) -> Result<Outcome, GateError> {
        self.ask_as(who, statement, None).await
    }

    async fn ask_as(
        &self,
        who: &str,
        statement: &str,
        key: Option<&str>,
    ) -> Result<Outcome, GateError> {
        self.ask_in(who, statement, None, key).await
    }

    async fn ask_in(
        &self,
        who: &str,
        statement: &str,
        session: Option<&SessionId>,
        key: Option<&str>,
    ) -> Result<Outcome, GateError> {
        let ask = Ask {
            principal: principal(who),
            connection: crm(),
            operation: sql(statement),
            reason: None,
            session: session.cloned(),
            idempotency_key: key.map(Into::into),
            traceparent: None,
            responder: None,
        };
        self.gateway.submit(ask).await
    }

    async fn look_up(&self, who: &str, request: &RequestId) -> Outcome {
        let now = Duration::ZERO;
        self.gateway
            .request(&principal(who), request, now)
            .await
            .unwrap()
    }
}

fn gateway(
    folder: &TempDir,
    record: &Ledger,
    targets: &Watched,
    policy: &Arc<Mutex<Arc<Policy>>>,
    ahead: &Arc<AtomicI64>,
) -> Arc<Gateway<House>> {
    let policy = Arc::clone(policy);
    Gateway::new(Parts {
        store: record.clone(),
        bus: InProcess::default(),
        targets: targets.clone(),
        clock: Ahead(Arc::clone(ahead)),
        policy: Arc::new(move || Arc::clone(&policy.lock().unwrap())),
        sealer: Sealer::open_or_create(&folder.path().join("master.key")).unwrap(),
        export_key: ExportKey::open_or_create(&folder.path().join("export.key")).unwrap(),
        source: "portcullis".into(),
        instance: "house".into(),
    })
}

impl Ports for House {
    type Store = Ledger;
    type Bus = InProcess;
    type Targets = Watched;
    type Clock = Ahead;
}

/// The machine's clock, some seconds ahead.
struct Ahead(Arc<AtomicI64>);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        let ahead = self.0.load(Ordering::SeqCst).unsigned_abs();
        SystemClock.now() + Duration::from_secs(ahead)
    }
    fn entropy(&self) -> Entropy {
        SystemClock.entropy()
    }
    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration).await;
    }
}

/// The record in its file, unless it is down for writing.
#[derive(Clone)]
struct Ledger {
    file: Arc<Sqlite>,
    down: Arc<AtomicBool>,
}

impl EventStore for Ledger {
    async fn append(&self, batch: Batch) -> Result<Appended, AppendError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(AppendError::Unavailable("the disk is full".into()));
        }
        self.file.append(batch).await
    }
    async fn head(&self, session: &SessionId) -> Result<Option<Head>, ReadError> {
        self.file.head(session).await
    }
    async fn session(&self, session: &SessionId) -> Result<Vec<Event>, ReadError> {
        self.file.session(session).await
    }
    async fn request(&self, request: &RequestId) -> Result<Vec<Event>, ReadError> {
        self.file.request(request).await
    }
    async fn key(&self, session: &SessionId) -> Result<Option<WrappedKey>, ReadError> {
        self.file.key(session).await
    }
    async fn erase_key(&self, session: &SessionId) -> Result<(), AppendError> {
        self.file.erase_key(session).await
    }
    async fn search(&self, query: &Query) -> Result<Page, ReadError> {
        self.file.search(query).await
    }
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RequestId>, ReadError> {
        self.file.due(now, limit).await
    }
}

/// The shop, and a note of everything that reaches it.
#[derive(Clone)]
struct Watched {
    live: Arc<LiveTargets>,
    record: Ledger,
    seen: Arc<Mutex<Vec<Dispatched>>>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.live.fmt(f)
    }
}

impl Targets for Watched {
    async fn run(
        &self,
        execution: Execution,
        sink: &mut dyn ResultSink,
        cancel: &CancellationToken,
    ) -> Result<Completion, RunError> {
        let events = self.record.request(&execution.request).await;
        self.seen.lock().unwrap().push(Dispatched {
            request: execution.request.clone(),
            access: execution.access,
            on_record: kinds(&events.unwrap_or_default()),
        });
        self.live.run(execution, sink, cancel).await
    }

    async fn preview(
        &self,
        connection: &ConnectionName,
        operation: &Operation,
        limit: Duration,
    ) -> Preview {
        self.live.preview(connection, operation, limit).await
    }

    async fn catalog(
        &self,
        connection: &ConnectionName,
    ) -> Result<Option<Arc<JudgedCatalog>>, CatalogError> {
        self.live.catalog(connection).await
    }

    fn catalog_changed(&self, connection: &ConnectionName) {
        self.live.catalog_changed(connection);
    }
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl ResultSink for Nowhere {
    fn columns(&mut self, _: &[portcullis::domain::masking::ServerColumn]) {}
    fn row(&mut self, _: &[portcullis::domain::masking::Cell<'_>]) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }
    fn notice(&mut self, _: &str) {}
}
