//! The package on a double of the Functions host: what callers outside reach, what messages do, and that no process of the
//! handler needs another.

mod double;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use rusqlite::Connection;
use serde_json::{Value, json};

use double::{
    After, App, Argument, Handler, Invocation, Queue, Strike, encoded, forward, judged, package,
};

use crate::{
    messages::{agent, answer, ended, forgeries, policy},
    shared_record::TOKEN,
    support::{
        cosmos::{Account, Emulator, Fault},
        gateway::{folder, word},
        http::Reply,
        identity::{self, Identity, Shared},
        key_vault::KeyVault,
        oidc::Provider,
        service_bus::ServiceBus,
    },
};

/// What the host makes of a handler that cannot now.
fn not_now() -> Invocation {
    Invocation::Failed("EnsureSuccessStatusCode: 503".into())
}

/// A deployed app, and what it is connected to.
struct Deployed {
    app: &'static App,
    bus: ServiceBus,
    settings: Vec<(&'static str, String)>,
    data: PathBuf,
    agent: String,
}

impl Drop for Deployed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.data);
    }
}

impl Deployed {
    async fn new() -> Self {
        let data = folder(&policy());
        // As on Azure: the policy is in the package, and what differs from place to place is a secret.
        let app = App::deployed(&policy().replace("sqlite:{DATABASE}", "${secret:CRM_URL}"));
        let bus = ServiceBus::start();
        let mut settings = bus.environment();
        settings.push(("PORTCULLIS_POLICY", "policy.yaml".into()));
        settings.push((
            "CRM_URL",
            format!("sqlite:{}", data.join("shop.db").display()),
        ));
        settings.push(("PORTCULLIS_DATA", data.join("record").display().to_string()));
        Self {
            app,
            bus,
            settings,
            data,
            agent: agent().await,
        }
    }

    fn start(&self) -> Handler {
        self.app.start(&self.settings)
    }

    /// Has its record in Cosmos DB, as on Azure.
    fn records_in(&mut self, account: &Account) {
        self.settings.retain(|(name, _)| *name != "PORTCULLIS_DATA");
        let place = account.environment();
        let place = place.map(|(name, value)| (name, value.to_owned()));
        self.settings.extend(place);
        let keys = self.data.join("keys").display().to_string();
        self.settings.push(("PORTCULLIS_SEALING_KEY", keys));
    }

    /// A call through the host's front door.
    fn call(&self, handler: &Handler, method: &str, path: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {}", self.agent);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let reply = self.app.http(handler, method, path, &headers, &body);
        reply.unwrap_or_else(|| panic!("no route for {method} {path}"))
    }

    fn query(&self, handler: &Handler, sql: &str) -> Reply {
        self.call(
            handler,
            "POST",
            "/v1/connections/crm/query",
            &json!({"sql": sql}),
        )
    }

    fn request(&self, handler: &Handler, held: &Value) -> Reply {
        let path = format!("/v1/requests/{}", word(&held["request_id"]));
        self.call(handler, "GET", &path, &Value::Null)
    }

    /// The question that approvers were sent.
    fn question(&mut self, held: &Value) -> Value {
        let approval = &held["approval"]["id"];
        let sent = self
            .bus
            .until(|event| &event["body"]["approval_id"] == approval);
        assert_eq!(sent["queue"], "approval-requests");
        sent["body"].clone()
    }

    fn rows(&self, table: &str, row: i64) -> i64 {
        let database = Connection::open(self.data.join("shop.db")).unwrap();
        let sql = format!("SELECT count(*) FROM {table} WHERE id = ?1");
        database.query_row(&sql, [row], |row| row.get(0)).unwrap()
    }

    /// Held by whoever else writes there: a change waits for it at the target, after it is announced.
    fn busy(&self) -> Connection {
        let database = Connection::open(self.data.join("shop.db")).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        database
    }

    /// Waits until the record has an event of this kind for a request.
    fn until_recorded(&self, held: &Value, kind: &str) {
        let record = Connection::open(self.data.join("record/record.db")).unwrap();
        let sql = "SELECT count(*) FROM events WHERE request = ?1 AND type = ?2";
        for _ in 0..1000 {
            let found = record.query_row(sql, (word(&held["request_id"]), kind), |row| row.get(0));
            if found == Ok(1) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no {kind} on record");
    }

    /// What the clock does, every minute.
    fn sweep(&self, handler: &Handler) {
        let done = self.app.strike(handler, "sweep", Strike::InTime);
        assert_eq!(done, Invocation::Succeeded, "{}", handler.log());
    }

    /// The decision that approves what was held, on its queue.
    fn approved(&self, held: &Value, question: &Value) -> Queue {
        let mut queue = Queue::default();
        let decision = answer(question, "approve", "carla").to_string();
        queue.put("decision", word(&held["session_id"]), decision.as_bytes());
        queue
    }

    fn kinds(&self, handler: &Handler, held: &Value) -> Vec<String> {
        let path = format!("/v1/sessions/{}/events", word(&held["session_id"]));
        let events = self.call(handler, "GET", &path, &Value::Null).expect(200);
        let events = events["events"].as_array().unwrap().iter();
        events
            .map(|event| word(&event["type"]).to_owned())
            .collect()
    }
}

#[test]
fn the_package_is_the_same_bytes_whenever_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new("/bin/true");
    let first = fs::read(package(folder.path(), program, "version: 1", "first.zip")).unwrap();
    // Longer than a zip's clock ticks.
    std::thread::sleep(Duration::from_millis(2100));
    let second = fs::read(package(folder.path(), program, "version: 1", "second.zip")).unwrap();
    assert!(first == second);
}

#[test]
fn the_double_encodes_and_judges_as_the_host_does() {
    // HttpScriptInvocationContextExtensionsTests and what was seen of it.
    let other = |value| encoded(&Argument::Other(value));
    assert_eq!(other(json!("stringTest")), json!("\"stringTest\""));
    assert_eq!(other(json!(1)), json!("1"));
    assert_eq!(encoded(&Argument::Object(json!({"a": 1}))), json!({"a": 1}));
    assert_eq!(encoded(&Argument::Bytes(b"{}".to_vec())), json!("e30="));
    let whole = br#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#;
    let json = Some("application/json");
    assert_eq!(judged(200, json, whole), Invocation::Succeeded);
    assert_eq!(judged(204, None, b""), Invocation::Hangs);
    assert_eq!(judged(200, json, b"null"), Invocation::Hangs);
    for (status, media, body) in [
        (500, json, &whole[..]),
        (503, json, whole),
        (429, json, whole),
        (404, json, whole),
        (200, Some("text/plain"), whole),
        (200, json, b"ok"),
    ] {
        assert!(matches!(judged(status, media, body), Invocation::Failed(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_story_passes_through_the_host_with_another_process_at_every_step() {
    let mut deployed = Deployed::new().await;
    let (first, row) = (deployed.start(), 4001);
    println!("ready after {:?}", first.ready_after);
    let read = deployed
        .query(&first, "SELECT email FROM customers WHERE id = 7")
        .expect(200);
    assert!(!read.to_string().contains("person7@"), "{read}");
    deployed.query(&first, "DROP TABLE customers").expect(403);
    let held = deployed
        .query(&first, &format!("DELETE FROM customers WHERE id = {row}"))
        .expect(202);
    let question = deployed.question(&held);
    first.kill();

    let second = deployed.start();
    let decision = answer(&question, "approve", "carla").to_string();
    let mut queue = Queue::default();
    queue.put("decision", word(&held["session_id"]), decision.as_bytes());
    // It ran, and the host was gone before it had settled the message.
    let done = queue.deliver(deployed.app, &second, "approval_decided", After::Lost);
    assert_eq!(done, [Invocation::Succeeded], "{}", second.log());
    assert_eq!(deployed.rows("customers", row), 0);
    let errors = second.errors();
    second.kill();

    let third = deployed.start();
    let outcome = deployed.request(&third, &held).expect(200);
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
    assert_eq!(outcome["result"]["affected"], 1, "{outcome}");
    let again = queue.deliver(deployed.app, &third, "approval_decided", After::Complete);
    assert_eq!(again, [Invocation::Succeeded], "{}", third.log());
    let kinds = deployed.kinds(&third, &held);
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| *kind == "execution.started")
            .count(),
        1,
        "{kinds:?}"
    );
    assert!(queue.dead.is_empty());
    assert_eq!(
        errors + &third.errors(),
        "",
        "on standard error all is an error to the host"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_delivered_at_once_run_it_once() {
    let mut deployed = Deployed::new().await;
    let (handler, row) = (deployed.start(), 4002);
    let held = deployed
        .query(&handler, &format!("DELETE FROM customers WHERE id = {row}"))
        .expect(202);
    let question = deployed.question(&held);
    let bodies: Vec<Value> = ["carla", "ada", "carla", "ada"]
        .map(|by| double::Message {
            id: "x".into(),
            session: "x".into(),
            body: answer(&question, "approve", by).to_string().into_bytes(),
            deliveries: 0,
            enqueued: jiff::Timestamp::now(),
        })
        .iter()
        .map(|message| deployed.app.message("approval_decided", message))
        .collect();
    let app = deployed.app;
    std::thread::scope(|scope| {
        for body in &bodies {
            scope.spawn(|| {
                let done = app.invoke(&handler, "approval_decided", body);
                assert_eq!(done, Invocation::Succeeded);
            });
        }
    });
    let kinds = deployed.kinds(&handler, &held);
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| *kind == "execution.started")
            .count(),
        1,
        "{kinds:?}"
    );
    assert_eq!(
        ended(|| deployed.request(&handler, &held))["status"],
        "succeeded"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_outside_reaches_a_trigger() {
    let deployed = Deployed::new().await;
    let handler = deployed.start();
    let triggers = deployed.app.triggers();
    assert_eq!(triggers, portcullis::api::TRIGGERS);
    for trigger in &triggers {
        // No spelling of it is a route.
        for path in [
            format!("/{trigger}"),
            format!("/{trigger}/"),
            format!("//{trigger}"),
            format!("/{}", trigger.to_uppercase()),
            format!("/v1/../{trigger}"),
            format!("/v1/%2e%2e/{trigger}"),
            format!("/.well-known/../{trigger}"),
            format!("/api/{trigger}"),
            format!("/admin/functions/{trigger}"),
        ] {
            let reply = deployed.app.http(&handler, "POST", &path, &[], b"{}");
            assert!(reply.is_none(), "{path}");
        }
        // What is a route stays under it, whatever the handler might make of the path.
        for path in [
            format!("/v1/{trigger}"),
            format!("/v1/x/..%2f..%2f{trigger}"),
        ] {
            let reply = deployed
                .app
                .http(&handler, "POST", &path, &[], b"{}")
                .unwrap();
            assert_eq!(reply.status, 404, "{path}");
        }
        // And were there a route for it, the handler would not take it from there, whoever the caller says to be.
        let host = [
            ("User-Agent", "Azure-Functions-Host/4.1041.200.0"),
            ("Content-Type", "application/json"),
        ];
        for headers in [&host[..], &[]] {
            let path = format!("/{trigger}");
            let reply = forward(&handler, "POST", &path, headers, b"{}");
            reply.problem(404, "not-found");
            let get = forward(&handler, "GET", &path, headers, b"");
            get.problem(404, "not-found");
        }
    }
    // A gateway that no host runs has none.
    let alone = crate::support::gateway::shared();
    for trigger in &triggers {
        let headers = [
            ("User-Agent", "Azure-Functions-Host/4.1041.200.0"),
            ("X-Azure-Functions-InvocationId", "1"),
        ];
        let path = format!("/{trigger}");
        let reply = crate::support::http::call(alone.port, "POST", &path, &headers, b"{}");
        reply.problem(404, "not-found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_decision_is_set_aside_and_decides_nothing() {
    let mut deployed = Deployed::new().await;
    let (handler, row) = (deployed.start(), 4003);
    let held = deployed
        .query(&handler, &format!("DELETE FROM customers WHERE id = {row}"))
        .expect(202);
    let question = deployed.question(&held);
    let deliver = |deployed: &Deployed, body: &[u8]| {
        let mut queue = Queue::default();
        queue.put("one", word(&held["session_id"]), body);
        queue.deliver(deployed.app, &handler, "approval_decided", After::Complete)
    };
    for (why, forged) in forgeries(&question) {
        let done = deliver(&deployed, forged.to_string().as_bytes());
        assert_eq!(done, [Invocation::Succeeded], "{why}: {}", handler.log());
        deployed
            .bus
            .until(|event| event["queue"] == "approval-decisions-refused");
    }
    // Proofs are for one question each: another's is none, however genuine.
    let more = deployed
        .query(&handler, "DELETE FROM customers WHERE id = 4013")
        .expect(202);
    let others = deployed.question(&more);
    for (part, from) in [("proof", &others), ("approval_id", &others)] {
        let mut swapped = answer(&question, "approve", "carla");
        swapped[part] = from[part].clone();
        let done = deliver(&deployed, swapped.to_string().as_bytes());
        assert_eq!(done, [Invocation::Succeeded], "{part}: {}", handler.log());
        deployed
            .bus
            .until(|event| event["queue"] == "approval-decisions-refused");
    }
    assert_eq!(deployed.rows("customers", 4013), 1);
    // What a sender writes where the host keeps what the broker said: as text, the body would go over it.
    let mut trick = answer(&question, "approve", "carla");
    for (name, value) in [
        ("MessageId", "trusted"),
        ("DeliveryCount", "0"),
        ("SessionId", "other"),
    ] {
        trick[name] = json!(value);
    }
    assert_eq!(
        deliver(&deployed, trick.to_string().as_bytes()),
        [Invocation::Succeeded]
    );
    deployed
        .bus
        .until(|event| event["queue"] == "approval-decisions-refused");
    // And what a host would post whose binding lost `dataType: binary`.
    let text = answer(&question, "approve", "carla").to_string();
    let posted = json!({
        "Data": {"decision": encoded(&Argument::Other(json!(text)))},
        "Metadata": serde_json::from_str::<Value>(&text).unwrap(),
    });
    let done = deployed.app.invoke(&handler, "approval_decided", &posted);
    assert_eq!(done, Invocation::Succeeded);
    deployed
        .bus
        .until(|event| event["queue"] == "approval-decisions-refused");
    assert_eq!(
        deployed.request(&handler, &held).expect(202)["status"],
        "pending_approval"
    );
    assert_eq!(deployed.rows("customers", row), 1);
    // None of that spoilt the question.
    let deny = answer(&question, "deny", "ada").to_string();
    assert_eq!(deliver(&deployed, deny.as_bytes()), [Invocation::Succeeded]);
    assert_eq!(
        deployed.request(&handler, &held).json()["status"],
        "approval_denied"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_their_own_request_by_message_nor_after_its_time() {
    let mut deployed = Deployed::new().await;
    let handler = deployed.start();
    let ada = Provider::shared()
        .entra_person("ada", "ops-console", &["staff"])
        .token()
        .await;
    let agent = std::mem::replace(&mut deployed.agent, ada);
    let own = deployed
        .query(&handler, "DELETE FROM customers WHERE id = 4004")
        .expect(202);
    let question = deployed.question(&own);
    let post = |deployed: &Deployed, decision: &Value| {
        let mut queue = Queue::default();
        queue.put("one", "ses", decision.to_string().as_bytes());
        let done = queue.deliver(deployed.app, &handler, "approval_decided", After::Complete);
        assert_eq!(done, [Invocation::Succeeded], "{}", handler.log());
    };
    post(&deployed, &answer(&question, "approve", "ada"));
    let aside = deployed
        .bus
        .until(|event| event["queue"] == "approval-decisions-refused");
    assert!(
        word(&aside["body"]["why"]).contains("someone else"),
        "{aside}"
    );
    assert_eq!(
        deployed.request(&handler, &own).expect(202)["status"],
        "pending_approval"
    );

    deployed.agent = agent;
    let held = deployed
        .query(&handler, "DELETE FROM hasty WHERE id = 4005")
        .expect(202);
    let question = deployed.question(&held);
    std::thread::sleep(Duration::from_millis(1100));
    post(&deployed, &answer(&question, "approve", "carla"));
    // What time has made due, the timer's function does; and once more, for hosts that strike twice.
    let other = deployed
        .query(&handler, "DELETE FROM hasty WHERE id = 4006")
        .expect(202);
    std::thread::sleep(Duration::from_millis(1100));
    for strike in [Strike::PastDue, Strike::InTime] {
        let done = deployed.app.strike(&handler, "sweep", strike);
        assert_eq!(done, Invocation::Succeeded, "{}", handler.log());
    }
    for (held, row) in [(&held, 4005), (&other, 4006)] {
        assert_eq!(
            deployed.request(&handler, held).json()["status"],
            "approval_expired"
        );
        assert_eq!(deployed.rows("hasty", row), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_whose_clock_is_behind_hears_from_the_broker_that_a_decision_is_late() {
    let mut deployed = Deployed::new().await;
    let (handler, row) = (deployed.start(), 4007);
    let held = deployed
        .query(&handler, &format!("DELETE FROM customers WHERE id = {row}"))
        .expect(202);
    let question = deployed.question(&held);
    let decision = answer(&question, "approve", "carla").to_string();
    let mut queue = Queue::default();
    queue.ahead = Duration::from_secs(31 * 60);
    queue.put("late", word(&held["session_id"]), decision.as_bytes());
    let done = queue.drain(deployed.app, &handler, "approval_decided");
    assert_eq!(done, [Invocation::Succeeded], "{}", handler.log());
    assert!(handler.log().contains("an answer came too late"));
    assert_eq!(
        deployed.request(&handler, &held).json()["status"],
        "pending_approval"
    );
    assert_eq!(deployed.rows("customers", row), 1);
    queue.ahead = Duration::ZERO;
    queue.put("in time", word(&held["session_id"]), decision.as_bytes());
    let done = queue.drain(deployed.app, &handler, "approval_decided");
    assert_eq!(done, [Invocation::Succeeded], "{}", handler.log());
    assert_eq!(deployed.rows("customers", row), 0);
}

/// A decision that cannot be dealt with yet is waited with for as long as the process lives.
fn killed_while_it_waits(app: &App, handler: &Handler, queue: &mut Queue) {
    let killed = std::thread::scope(|scope| {
        let delivered =
            scope.spawn(|| queue.deliver(app, handler, "approval_decided", After::Complete));
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!delivered.is_finished(), "{}", handler.log());
        handler.signal_kill();
        delivered.join().unwrap()
    });
    assert_eq!(killed, [Invocation::Failed("no answer".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_cannot_be_dealt_with_now_is_waited_for_and_survives_the_process() {
    let mut deployed = Deployed::new().await;
    let handler = deployed.start();
    // It is no good, and there is nowhere to put it aside: neither done nor lost.
    deployed.bus.command(json!({"down": true}));
    let mut queue = Queue::default();
    queue.put("one", "ses", b"no answer");
    killed_while_it_waits(deployed.app, &handler, &mut queue);
    drop(handler);

    let handler = deployed.start();
    let (app, waiting, bus) = (deployed.app, &handler, &mut deployed.bus);
    let done = std::thread::scope(|scope| {
        let delivered =
            scope.spawn(|| queue.deliver(app, waiting, "approval_decided", After::Complete));
        std::thread::sleep(Duration::from_millis(800));
        bus.command(json!({"up": true}));
        delivered.join().unwrap()
    });
    assert_eq!(done, [Invocation::Succeeded], "{}", handler.log());
    let aside = bus.until(|event| event["queue"] == "approval-decisions-refused");
    assert_eq!(aside["body"]["approval_id"], Value::Null);
    assert!(queue.dead.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_append_and_the_publishing_it_asks_once_the_broker_is_back() {
    let mut deployed = Deployed::new().await;
    let first = deployed.start();
    deployed.bus.command(json!({"down": true}));
    // The broker's absence is no reason to keep the caller.
    let held = deployed
        .query(&first, "DELETE FROM customers WHERE id = 4021")
        .expect(202);
    first.kill();
    let second = deployed.start();
    for _ in 0..3 {
        deployed.sweep(&second);
    }
    deployed.bus.command(json!({"up": true}));
    let mut tries = 0;
    while deployed
        .bus
        .count(|event| event["queue"] == "approval-requests")
        == 0
    {
        deployed.sweep(&second);
        std::thread::sleep(Duration::from_millis(250));
        tries += 1;
        assert!(tries < 80, "{}", second.log());
    }
    deployed.sweep(&second);
    let question = deployed.question(&held);
    assert_eq!(
        deployed
            .bus
            .count(|event| event["queue"] == "approval-requests"),
        0,
        "asked twice"
    );
    let mut queue = deployed.approved(&held, &question);
    let done = queue.drain(deployed.app, &second, "approval_decided");
    assert_eq!(done, [Invocation::Succeeded], "{}", second.log());
    assert_eq!(deployed.rows("customers", 4021), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_publishing_and_its_record_it_asks_again_under_the_same_id() {
    let mut deployed = Deployed::new().await;
    let first = deployed.start();
    deployed.bus.command(json!({"withhold": true}));
    let held = deployed
        .query(&first, "DELETE FROM customers WHERE id = 4022")
        .expect(202);
    let approval = held["approval"]["id"].clone();
    let asked = |event: &Value| event["body"]["approval_id"] == approval;
    let before = deployed.bus.until(asked);
    assert_eq!(before["duplicate"], false);
    first.kill();
    deployed.bus.command(json!({"withhold": false}));
    let second = deployed.start();
    deployed.sweep(&second);
    let again = deployed.bus.until(asked);
    assert_eq!(
        (&again["id"], &again["duplicate"]),
        (&before["id"], &json!(true))
    );
    assert_eq!(again["body"], before["body"]);
    let kinds = deployed.kinds(&second, &held);
    let told = kinds.iter().filter(|kind| *kind == "approval.published");
    assert_eq!(told.count(), 1, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_its_announcement_and_the_effect_it_is_not_run_by_another() {
    let mut deployed = Deployed::new().await;
    let (first, row) = (deployed.start(), 4023);
    let held = deployed
        .query(&first, &format!("DELETE FROM customers WHERE id = {row}"))
        .expect(202);
    let question = deployed.question(&held);
    let mut queue = deployed.approved(&held, &question);
    let busy = deployed.busy();
    std::thread::scope(|scope| {
        let app = deployed.app;
        let (queue, first) = (&mut queue, &first);
        let delivered =
            scope.spawn(move || queue.deliver(app, first, "approval_decided", After::Complete));
        deployed.until_recorded(&held, "execution.started");
        first.signal_kill();
        let killed = delivered.join().unwrap();
        assert_eq!(killed, [Invocation::Failed("no answer".into())]);
    });
    drop(busy);
    let second = deployed.start();
    let again = queue.drain(deployed.app, &second, "approval_decided");
    assert_eq!(again, [Invocation::Succeeded], "{}", second.log());
    deployed.sweep(&second);
    assert_eq!(deployed.rows("customers", row), 1);
    let status = deployed.request(&second, &held).json()["status"].clone();
    assert!(
        status == "executing" || status == "outcome_unknown",
        "{status}"
    );
    let kinds = deployed.kinds(&second, &held);
    let started = kinds.iter().filter(|kind| *kind == "execution.started");
    assert_eq!(started.count(), 1, "{kinds:?}");
    assert!(queue.dead.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_effect_and_its_record_it_is_not_run_again() {
    let mut deployed = Deployed::new().await;
    let (first, row) = (deployed.start(), 4024);
    let held = deployed
        .query(&first, &format!("DELETE FROM customers WHERE id = {row}"))
        .expect(202);
    let question = deployed.question(&held);
    let mut queue = deployed.approved(&held, &question);
    let busy = deployed.busy();
    std::thread::scope(|scope| {
        let app = deployed.app;
        let (queue, first) = (&mut queue, &first);
        let delivered =
            scope.spawn(move || queue.deliver(app, first, "approval_decided", After::Complete));
        deployed.until_recorded(&held, "execution.started");
        let record = Connection::open(deployed.data.join("record/record.db")).unwrap();
        record.busy_timeout(Duration::from_secs(5)).unwrap();
        record.execute_batch("BEGIN IMMEDIATE").unwrap();
        drop(busy);
        let began = std::time::Instant::now();
        while deployed.rows("customers", row) == 1 {
            assert!(began.elapsed() < Duration::from_secs(20), "{}", first.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        first.signal_kill();
        let killed = delivered.join().unwrap();
        assert_eq!(killed, [Invocation::Failed("no answer".into())]);
    });
    // Were it run again, the row would be gone again.
    let database = Connection::open(deployed.data.join("shop.db")).unwrap();
    let back = "INSERT INTO customers VALUES (?1, 'back@example.org', 'back')";
    database.execute(back, [row]).unwrap();
    let second = deployed.start();
    let again = queue.drain(deployed.app, &second, "approval_decided");
    assert_eq!(again, [Invocation::Succeeded], "{}", second.log());
    deployed.sweep(&second);
    assert_eq!(deployed.rows("customers", row), 1);
    let kinds = deployed.kinds(&second, &held);
    let started = kinds.iter().filter(|kind| *kind == "execution.started");
    assert_eq!(started.count(), 1, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ten_deliveries_did_not_bring_is_a_dead_letter_and_approves_nothing() {
    let mut deployed = Deployed::new().await;
    let (first, row) = (deployed.start(), 4025);
    let held = deployed
        .query(&first, &format!("DELETE FROM hasty WHERE id = {row}"))
        .expect(202);
    let question = deployed.question(&held);
    let mut queue = deployed.approved(&held, &question);
    // An instance of the host that lost its handler burns them in no time.
    first.signal_kill();
    let all = queue.drain(deployed.app, &first, "approval_decided");
    let refused = Invocation::Failed("connection refused".into());
    assert_eq!(all, vec![refused; 10]);
    assert_eq!(queue.dead.len(), 1);
    drop(first);
    let second = deployed.start();
    std::thread::sleep(Duration::from_millis(1100));
    deployed.sweep(&second);
    assert_eq!(
        deployed.request(&second, &held).json()["status"],
        "approval_expired"
    );
    assert_eq!(deployed.rows("hasty", row), 1);

    // One that the handler will not even read goes the same way, and holds its session up until then and no longer.
    let mut queue = Queue::default();
    queue.put("huge", "ses", &vec![b' '; 3 << 20]);
    queue.put("other", "ses", b"no answer");
    let mut all = queue.drain(deployed.app, &second, "approval_decided");
    assert_eq!(all.pop(), Some(Invocation::Succeeded), "{}", second.log());
    let too_large = Invocation::Failed("EnsureSuccessStatusCode: 413".into());
    assert_eq!(all, vec![too_large; 10]);
    assert_eq!(queue.dead.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_the_front_end_cuts_off_has_not_stopped_what_they_approved() {
    let deployed = Deployed::new().await;
    let (handler, row) = (deployed.start(), 4026);
    let held = deployed
        .query(&handler, &format!("DELETE FROM customers WHERE id = {row}"))
        .expect(202);
    let dana = Provider::shared()
        .entra_person("dana", "ops-console", &["db-admins"])
        .token()
        .await;
    let busy = deployed.busy();
    let bearer = format!("Bearer {dana}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
    ];
    let approval = &held["approval"];
    let path = format!("/v1/approvals/{}/decision", word(&approval["id"]));
    let body = json!({"decision": "approve", "digest": approval["digest"]}).to_string();
    let decide = |cut: Duration| {
        let app = deployed.app;
        let reply = app.http_within(&handler, "POST", &path, &headers, body.as_bytes(), cut);
        reply.unwrap()
    };
    // In place of 230 seconds.
    assert_eq!(decide(Duration::from_secs(1)).status, 502);
    drop(busy);
    let outcome = ended(|| deployed.request(&handler, &held));
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
    assert_eq!(deployed.rows("customers", row), 0);
    // Saying it again changes nothing.
    assert_ne!(decide(double::CUT).status, 502);
    let kinds = deployed.kinds(&handler, &held);
    let started = kinds.iter().filter(|kind| *kind == "execution.started");
    assert_eq!(started.count(), 1, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_alone_ends_what_nobody_answered_also_where_nobody_was_there_to_hear_it_strike() {
    let deployed = Deployed::new().await;
    let app = deployed.app;
    // Every minute; and once for the ten minutes that nobody was there.
    let in_time: Vec<_> = (1..=3)
        .map(|minute| (minute * 60, Strike::InTime))
        .collect();
    assert_eq!(app.strikes("sweep", 1, 181), in_time);
    let after = app.strikes_after("sweep", 1, 630, 661);
    assert_eq!(after, [(630, Strike::PastDue), (660, Strike::InTime)]);
    let first = deployed.start();
    let held = deployed
        .query(&first, "DELETE FROM hasty WHERE id = 4027")
        .expect(202);
    first.kill();
    std::thread::sleep(Duration::from_millis(1100));
    let second = deployed.start();
    for (_, strike) in after {
        let done = app.strike(&second, "sweep", strike);
        assert_eq!(done, Invocation::Succeeded, "{}", second.log());
    }
    let kinds = deployed.kinds(&second, &held);
    let expired = kinds.iter().filter(|kind| *kind == "approval.expired");
    assert_eq!(expired.count(), 1, "{kinds:?}");
    assert_eq!(deployed.rows("hasty", 4027), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_cannot_start_ends_as_the_host_counts_it() {
    let deployed = Deployed::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut broken = deployed.settings.clone();
    broken.retain(|(name, _)| *name != "CRM_URL");
    let mut nowhere = deployed.settings.clone();
    nowhere.retain(|(name, _)| *name != "PORTCULLIS_POLICY");
    for (settings, port) in [(&deployed.settings, port), (&broken, 0), (&nowhere, 0)] {
        let code = deployed.app.exit_code(settings, port);
        assert!(![0, 200].contains(&code), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mcp_client_comes_in_through_the_host_and_is_told_its_name() {
    let mut deployed = Deployed::new().await;
    let name = ("WEBSITE_HOSTNAME", "gate.example.net".to_owned());
    deployed.settings.push(name);
    let handler = deployed.start();
    let path = "/.well-known/oauth-protected-resource/mcp";
    let document = deployed.call(&handler, "GET", path, &Value::Null);
    let resource = &document.expect(200)["resource"];
    assert_eq!(resource, "https://gate.example.net/mcp");
    let bearer = format!("Bearer {}", deployed.agent);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
    ];
    let call =
        json!({"name": "query", "arguments": {"connection": "crm", "sql": "SELECT 1 AS one"}});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call});
    let call = call.to_string().into_bytes();
    let reply = (deployed.app).http(&handler, "POST", "/mcp", &headers, &call);
    let answer = reply.unwrap().expect(200);
    let rows = &answer["result"]["structuredContent"]["result"]["rows"];
    assert_eq!(rows, &json!([[1]]), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_comes_while_the_handler_is_starting_comes_again_and_is_not_lost() {
    let mut deployed = Deployed::new().await;
    let (first, row) = (deployed.start(), 4031);
    let held = deployed
        .query(&first, &format!("DELETE FROM customers WHERE id = {row}"))
        .expect(202);
    let question = deployed.question(&held);
    let mut queue = deployed.approved(&held, &question);
    first.kill();

    // Where the database is, only a vault knows: two are asked for, and it leaves two attempts of each unanswered.
    let identity = Identity {
        token: TOKEN.into(),
        lives: 3600,
        ..Identity::default()
    };
    let identity = identity::serve(&Shared::new(Mutex::new(identity))).await;
    let mut vault = KeyVault::start(TOKEN);
    let database = format!("sqlite:{}", deployed.data.join("shop.db").display());
    vault.command("secret", json!({"name": "CRM-URL", "value": database}));
    for (status, times) in [(0, 2), (200, 1), (0, 2)] {
        vault.command("fault", json!({"status": status, "times": times}));
    }
    let kept = ["PORTCULLIS_POLICY", "PORTCULLIS_DATA"];
    deployed.settings.retain(|(name, _)| kept.contains(name));
    let own = identity::environment(&identity).map(|(name, value)| (name, value.to_owned()));
    deployed.settings.extend(own);
    deployed.settings.extend([
        ("PORTCULLIS_KEY_VAULT", vault.address.clone()),
        ("SSL_CERT_FILE", vault.authority.display().to_string()),
    ]);
    let second = deployed.start();
    let done = queue.drain(deployed.app, &second, "approval_decided");
    assert_eq!(done, [not_now(), Invocation::Succeeded], "{}", second.log());
    assert!(queue.dead.is_empty());
    assert_eq!(deployed.rows("customers", row), 0);
    let kinds = deployed.kinds(&second, &held);
    let started = kinds.iter().filter(|kind| *kind == "execution.started");
    assert_eq!(started.count(), 1, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_record_puts_off_or_leaves_unanswered_a_decision_delivered_twice_runs_once() {
    let emulator = Emulator::start();
    let account = emulator.database().await;
    let mut deployed = Deployed::new().await;
    deployed.records_in(&account);
    let handler = deployed.start();
    let faults = [
        (Fault::Throttled, 3),
        (Fault::Unavailable, 3),
        (Fault::Lost, 2),
        (Fault::Silent, 1),
    ];
    for (row, (fault, times)) in (4041..).zip(faults) {
        let held = deployed
            .query(&handler, &format!("DELETE FROM customers WHERE id = {row}"))
            .expect(202);
        let question = deployed.question(&held);
        let mut queue = deployed.approved(&held, &question);
        emulator.spoils(fault, times).await;
        // And the host is gone before it has settled the message.
        let done = queue.deliver(deployed.app, &handler, "approval_decided", After::Lost);
        assert_eq!(done, [Invocation::Succeeded], "{fault:?}");
        let again = queue.drain(deployed.app, &handler, "approval_decided");
        assert_eq!(again, [Invocation::Succeeded], "{fault:?}");
        let outcome = ended(|| deployed.request(&handler, &held));
        // Who waited too long for its start to be on record does not begin.
        let left = match word(&outcome["status"]) {
            "failed" if matches!(fault, Fault::Silent) => 1,
            status => {
                assert_eq!(status, "succeeded", "{fault:?}: {outcome}");
                0
            }
        };
        assert_eq!(deployed.rows("customers", row), left, "{fault:?}");
        let kinds = deployed.kinds(&handler, &held);
        let started = kinds.iter().filter(|kind| *kind == "execution.started");
        assert_eq!(started.count(), 1, "{fault:?}: {kinds:?}");
        assert!(queue.dead.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_record_is_away_the_host_hears_of_a_failure_and_nothing_runs() {
    let emulator = Emulator::start();
    let account = emulator.database().await;
    let mut deployed = Deployed::new().await;
    deployed.records_in(&account);
    let (first, row) = (deployed.start(), 4051);
    let held = deployed
        .query(&first, &format!("DELETE FROM customers WHERE id = {row}"))
        .expect(202);
    let question = deployed.question(&held);
    let mut queue = deployed.approved(&held, &question);
    emulator.wants("another").await;
    // A timer's failure is not tried again: the next strike is the next chance.
    let strike = deployed.app.strike(&first, "sweep", Strike::InTime);
    assert_eq!(strike, not_now(), "{}", first.log());
    // A decision is waited with, for it would come again at once, and ten times at most.
    killed_while_it_waits(deployed.app, &first, &mut queue);
    assert_eq!(deployed.rows("customers", row), 1);

    emulator.wants_nothing().await;
    let second = deployed.start();
    deployed.sweep(&second);
    let done = queue.drain(deployed.app, &second, "approval_decided");
    assert_eq!(done, [Invocation::Succeeded], "{}", second.log());
    assert_eq!(deployed.rows("customers", row), 0);
    let kinds = deployed.kinds(&second, &held);
    let started = kinds.iter().filter(|kind| *kind == "execution.started");
    assert_eq!(started.count(), 1, "{kinds:?}");
}
