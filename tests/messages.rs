//! Approvers told and heard by messages: the built gateway at a real RabbitMQ, and at a stand-in for Azure Service Bus with
//! its tokens.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use portcullis::bus::{Address, Incoming, Receiver, Settlement};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    http::proxy::SECRET,
    support::{
        gateway::{Caller, Gateway, folder, word},
        http::Reply,
        oidc::{AUDIENCE, Provider, TENANT, object_id},
        rabbitmq::{Client, rabbitmq},
        service_bus::ServiceBus,
        upstream::Upstream,
    },
};

/// Carla and Erik decide, by name; people of `db-admins` too, by their tokens.
pub(crate) const POLICY: &str = r#"version: 1
identity:
  issuers: [{ issuer: "ISSUER", audience: "AUDIENCE", tenants: ["TENANT"], agents: { app_roles: [Agent] } }]
approvers:
  dba: { groups: [db-admins], principals: ["user:carla@example.com", "user:ada@example.com"], expires_in: 30m }
  hasty: { principals: ["user:carla@example.com"], expires_in: 1s }
connections:
  crm:
    kind: sqlite
    read: { url: "sqlite:{DATABASE}" }
    write: { url: "sqlite:{DATABASE}" }
    allow: { app_roles: [Agent], groups: [staff] }
    budget: { requests_per_minute: 100000, timeout: 10s }
rules:
  - { name: reads, when: { effect: read }, then: allow }
  - name: customer-changes
    when: { effect: [write, destructive], tables: ["*.customers"], unbounded: false }
    then: { require_approval: dba }
  - name: hasty-changes
    when: { effect: [write, destructive], tables: ["*.hasty"], unbounded: false }
    then: { require_approval: hasty }
  - { name: no-schema-changes, when: { effect: [schema, admin] }, then: { deny: "By migration only." } }
masking: { approvers: dba, columns: [{ match: "*.customers.email", as: pseudonym }] }
record: { readers: { groups: [auditors] } }
"#;

/// This policy for the shared issuer of tokens.
pub(crate) fn policy() -> String {
    POLICY
        .replace("ISSUER", Provider::shared().issuer())
        .replace("AUDIENCE", AUDIENCE)
        .replace("TENANT", TENANT)
}

/// A decision as the Logic App sends it.
pub(crate) fn answer(question: &Value, decision: &str, by: &str) -> Value {
    json!({
        "approval_id": question["approval_id"],
        "digest": question["digest"],
        "proof": question["proof"],
        "decision": decision,
        "comment": null,
        "responder": {
            "via": "teams",
            "tenant_id": TENANT,
            "object_id": object_id(by),
            "name": format!("{by}@example.com"),
        },
    })
}

/// Answers that nobody gave, or that nobody may give, and a word of why not.
pub(crate) fn forgeries(question: &Value) -> Vec<(&'static str, Value)> {
    let good = answer(question, "approve", "carla");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut forged = good.clone();
        change(&mut forged);
        forged
    };
    let other_digest = format!("sha256:{}", "7".repeat(64));
    let other_proof = "A".repeat(44);
    let mut elsewhere = answer(question, "approve", "carla");
    elsewhere["responder"]["tenant_id"] = json!("00000000-0000-4000-8000-000000000000");
    vec![
        ("no proof", with(&|answer| answer["proof"] = json!(""))),
        (
            "another proof",
            with(&|answer| answer["proof"] = json!(other_proof)),
        ),
        (
            "the digest for a proof",
            with(&|answer| answer["proof"] = answer["digest"].clone()),
        ),
        (
            "another digest",
            with(&|answer| answer["digest"] = json!(other_digest)),
        ),
        (
            "someone who was not asked",
            answer(question, "approve", "erik"),
        ),
        ("another tenant", elsewhere),
        (
            "a mailbox",
            with(&|answer| answer["responder"]["object_id"] = Value::Null),
        ),
        (
            "nobody",
            with(&|answer| drop(answer.as_object_mut().unwrap().remove("responder"))),
        ),
        (
            "more than an answer",
            with(&|answer| answer["also"] = json!(1)),
        ),
        ("no JSON", json!("approve")),
    ]
}

pub(crate) async fn agent() -> String {
    Provider::shared()
        .entra_app("ai-agent", &["Agent"])
        .token()
        .await
}

/// Waits until a request has ended.
pub(crate) fn ended(get: impl Fn() -> Reply) -> Value {
    for _ in 0..400 {
        let request = get().json();
        if !["pending_approval", "executing"].contains(&word(&request["status"])) {
            return request;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never ended: {}", get().text());
}

/// Whoever asks people.
enum Mail {
    RabbitMq(Client),
    ServiceBus(ServiceBus),
}

impl Mail {
    async fn until(&mut self, queue: &str, field: &str, value: &Value) -> Value {
        match self {
            Self::RabbitMq(client) => client.until(queue, |body| &body[field] == value).await,
            Self::ServiceBus(bus) => {
                let sent =
                    bus.until(|event| event["queue"] == queue && &event["body"][field] == value);
                sent["body"].clone()
            }
        }
    }

    async fn put(&mut self, id: &str, body: &Value) {
        let body = body.to_string();
        match self {
            Self::RabbitMq(client) => client.put("approval-decisions", id, body.as_bytes()).await,
            Self::ServiceBus(bus) => bus.put("approval-decisions", id, body.as_bytes()),
        }
    }
}

/// Asked, told, answered falsely in every way and then rightly.
async fn story(gateway: &Gateway, mail: &mut Mail) {
    let agent = gateway.bearer(&agent().await);
    let row = gateway.row();
    let held = agent.held(&format!("DELETE FROM customers WHERE id = {row}"));
    let approval = held["approval"]["id"].clone();
    let question = mail
        .until("approval-requests", "approval_id", &approval)
        .await;
    has_the_schema_of_a_question(&question);
    assert_eq!(question["digest"], held["approval"]["digest"]);
    assert_eq!(
        (&question["asks"], &question["found"]),
        (&json!("run"), &json!(""))
    );
    assert_eq!(question["seats"], json!([{"id": "1", "group": "dba"}]));

    let shown = everything_shown(&agent, &held);
    assert!(!shown.contains(word(&question["proof"])), "{shown}");

    for (number, (why, forged)) in forgeries(&question).into_iter().enumerate() {
        mail.put(&format!("{row}-{number}"), &forged).await;
        let field = if forged["approval_id"].is_null() || why == "more than an answer" {
            // It could not be read.
            ("approval_id", Value::Null)
        } else {
            ("approval_id", approval.clone())
        };
        let aside = mail
            .until("approval-decisions-refused", field.0, &field.1)
            .await;
        assert!(
            !aside.to_string().contains(word(&question["proof"])),
            "{aside}"
        );
        assert!(word(&aside["why"]).len() > 10, "{why}: {aside}");
        let status = agent.request(&held).json();
        assert_eq!(status["status"], "pending_approval", "{why}");
    }
    assert!(gateway.note("customers", row).is_some());

    let approve = answer(&question, "approve", "carla");
    mail.put(&format!("{row}-yes"), &approve).await;
    let outcome = ended(|| agent.request(&held));
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
    assert_eq!(gateway.note("customers", row), None);
    // It came twice, as messages do, and someone else said something different.
    mail.put(&format!("{row}-again"), &approve).await;
    mail.put(&format!("{row}-late"), &answer(&question, "deny", "ada"))
        .await;
    gateway.until_log("an answer was delivered again", |_| ());
    gateway.until_log("an answer came too late", |_| ());
    assert_eq!(agent.request(&held).json(), outcome);
}

/// An API in whose answers something is found.
fn talkative() -> Upstream {
    Upstream::start(|_, back| {
        back.json(200, &json!({"email": "ada@example.org", "key": SECRET}));
    })
}

/// The policy with that API, about whose answers people are asked.
fn with_api(upstream: &Upstream) -> String {
    let api = format!(
        "  api: {{ kind: http, api: generic, on_finding: require_approval, read: {{ url: \"http://127.0.0.1:{}\" }}, allow: {{ app_roles: [Agent] }} }}\nrules:\n",
        upstream.port
    );
    policy().replace("rules:\n", &api)
}

/// What they are asked then is not whether it may run: it did.
async fn held_answer(gateway: &Gateway, mail: &mut Mail, upstream: &Upstream) {
    let agent = gateway.bearer(&agent().await);
    let path = format!("/people?row={}", gateway.row());
    let called = agent.get(&format!("/v1/connections/api/http{path}"));
    let approval = json!(called.header("portcullis-approval").expect("held"));
    let held = json!({"request_id": called.header("portcullis-request")});
    let question = mail
        .until("approval-requests", "approval_id", &approval)
        .await;
    has_the_schema_of_a_question(&question);
    assert_eq!(question["asks"], "answer");
    assert_eq!(question["effect"], "read");
    let found = word(&question["found"]);
    assert!(found.contains("1 of secrets:"), "{found}");
    assert!(found.contains("(status 200, "), "{found}");
    let waiting = agent.request(&held).expect(202);
    assert_eq!(waiting["held_answer"]["status"], 200);
    for value in ["ada@", &SECRET[4..12]] {
        assert!(!question.to_string().contains(value), "{question}");
    }
    // Whoever decides is asked about this answer: a yes to the call is none.
    let mut other = answer(&question, "approve", "carla");
    other["digest"] = json!(format!("sha256:{}", "7".repeat(64)));
    mail.put(&format!("{path}-other"), &other).await;
    mail.until("approval-decisions-refused", "approval_id", &approval)
        .await;
    assert_eq!(agent.request(&held).json()["status"], "pending_approval");
    let approve = answer(&question, "approve", "carla");
    mail.put(&format!("{path}-yes"), &approve).await;
    let outcome = ended(|| agent.request(&held));
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
    assert_eq!(outcome["result"]["status"], 200, "{outcome}");
    assert!(!outcome.to_string().contains(&SECRET[4..12]), "{outcome}");
    assert_eq!(upstream.calls(&path).len(), 1);
}

fn everything_shown(agent: &Caller<'_>, held: &Value) -> String {
    let session = word(&held["session_id"]);
    let paths = [
        format!("/v1/sessions/{session}/events"),
        format!("/v1/sessions/{session}/export"),
        "/v1/approvals".to_owned(),
    ];
    let shown: String = paths
        .iter()
        .map(|path| agent.get(path).text().to_owned())
        .collect();
    assert!(shown.contains("approval.requested"), "{shown}");
    shown + &agent.gateway.log()
}

/// The Logic App reads exactly this.
pub(crate) fn has_the_schema_of_a_question(question: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("infra/approvals/question.schema.json");
    let schema: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let names =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(names(question), names(&schema["properties"]));
    for (name, property) in schema["properties"].as_object().unwrap() {
        let is = match &question[name] {
            Value::String(text) => {
                let shortest = property["minLength"].as_u64().unwrap_or(0);
                assert!(text.len() as u64 >= shortest, "{name}: {text}");
                "string"
            }
            Value::Array(_) => "array",
            other => panic!("{name}: {other}"),
        };
        assert_eq!(property["type"], is, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_are_asked_and_heard_over_rabbitmq_and_no_forged_answer_counts() {
    let address = ("PORTCULLIS_SERVICE_BUS", rabbitmq().address());
    let upstream = talkative();
    let gateway = Gateway::serve_with(folder(&with_api(&upstream)), &[address]);
    let mut mail = Mail::RabbitMq(rabbitmq().client().await);
    story(&gateway, &mut mail).await;
    held_answer(&gateway, &mut mail, &upstream).await;
    assert!(!gateway.log().contains("guest:guest"));
    drop(gateway);

    // What is in hand when it is to stop is there again.
    let (taken, in_hand) = tokio::sync::oneshot::channel();
    let taken = Mutex::new(Some(taken));
    let take = move |_: Incoming| {
        taken.lock().unwrap().take().map(|taken| taken.send(()));
        std::future::pending()
    };
    let stop = CancellationToken::new();
    let receiver = Receiver::new(Address::parse(&rabbitmq().address()).unwrap());
    let receiving = tokio::spawn(receiver.run(take, stop.clone()));
    mail.put("left", &json!({"left": true})).await;
    in_hand.await.unwrap();
    stop.cancel();
    receiving.await.unwrap();
    let again = mail.until("approval-decisions", "left", &json!(true));
    assert_eq!(again.await, json!({"left": true}));
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_are_asked_and_heard_over_a_service_bus_that_takes_tokens_alone() {
    let bus = ServiceBus::start();
    let upstream = talkative();
    let gateway = Gateway::serve_with(folder(&with_api(&upstream)), &bus.environment());
    let mut mail = Mail::ServiceBus(bus);
    story(&gateway, &mut mail).await;
    held_answer(&gateway, &mut mail, &upstream).await;
    let Mail::ServiceBus(bus) = &mut mail else {
        return;
    };
    for queue in [
        "approval-requests",
        "approval-decisions",
        "approval-decisions-refused",
    ] {
        let audience = format!("amqps://localhost/{queue}");
        let put = bus.until(|event| event["put_token"] == audience);
        assert_eq!(put["ok"], true, "{put}");
    }
    assert!(!gateway.log().contains("token-1"), "{}", gateway.log());

    // The broker goes away and comes back: nobody has to start anything again, and nothing is lost.
    bus.command(json!({"down": true}));
    let agent = gateway.bearer(&agent().await);
    let row = gateway.row();
    let held = agent.held(&format!("DELETE FROM customers WHERE id = {row}"));
    gateway.until_log("approvers not told yet", |_| ());
    bus.command(json!({"up": true}));
    let approval = &held["approval"]["id"];
    let sent = bus.until(|event| event["body"]["approval_id"] == *approval);
    assert_eq!(sent["id"], format!("{}:1", word(approval)));
    assert_eq!(sent["durable"], true);
    let deny = answer(&sent["body"], "deny", "carla").to_string();
    bus.put("approval-decisions", &format!("{row}-no"), deny.as_bytes());
    assert_eq!(ended(|| agent.request(&held))["status"], "approval_denied");
    assert!(gateway.note("customers", row).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_on_the_connection_before_it_expires() {
    let mut bus = ServiceBus::start();
    bus.command(json!({"lifetime": 4 * 60 + 2}));
    // Also where there is nothing to receive: there is no session for anyone, time and again.
    bus.command(json!({"patience": 400}));
    let gateway = Gateway::serve_with(folder(&policy()), &bus.environment());
    let renewed = |event: &Value| event["put_token"] == "amqps://localhost/approval-decisions";
    for session in 0..3 {
        bus.put("approval-decisions", &format!("{session}-junk"), b"1");
        bus.until(|event| event["settled"] == "completed");
        assert_eq!(bus.until(renewed)["ok"], true);
    }
    // One to hear, one to put aside what was heard.
    assert!(bus.connections() == 2, "renewed by connecting anew");
    assert!(
        !gateway.log().contains("cannot be received"),
        "{}",
        gateway.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_clock_is_behind_takes_no_answer_that_was_late_when_the_broker_had_it() {
    let mut bus = ServiceBus::start();
    let gateway = Gateway::serve_with(folder(&policy()), &bus.environment());
    let agent = gateway.bearer(&agent().await);
    let row = gateway.row();
    let held = agent.held(&format!("DELETE FROM customers WHERE id = {row}"));
    let approval = &held["approval"]["id"];
    let question = bus.until(|event| event["body"]["approval_id"] == *approval);
    let put = |bus: &mut ServiceBus, minutes: i64, by: &str| {
        bus.command(json!({"ahead": minutes * 60_000}));
        let approve = answer(&question["body"], "approve", by).to_string();
        bus.put(
            "approval-decisions",
            &format!("{row}-{by}"),
            approve.as_bytes(),
        );
        bus.until(|event| event["settled"] == "completed");
    };
    // Half an hour is what there was; by this machine's clock no minute has passed.
    put(&mut bus, 31, "ada");
    gateway.until_log("an answer came too late", |_| ());
    assert_eq!(agent.request(&held).json()["status"], "pending_approval");
    assert!(gateway.note("customers", row).is_some());
    // A broker that is behind makes nothing late, and nothing else of it either.
    put(&mut bus, -600, "carla");
    assert_eq!(ended(|| agent.request(&held))["status"], "succeeded");
    assert_eq!(gateway.note("customers", row), None);
}

/// The stand-in's reading of sessions: a lock on each, lost when it is not renewed at `$management` (AMQP 1.0 in Azure Service
/// Bus: protocol guide, and its request-response operations).
#[tokio::test(flavor = "multi_thread")]
async fn the_lock_on_a_session_is_renewed_for_as_long_as_an_answer_takes() {
    let mut bus = ServiceBus::start();
    bus.command(json!({"lock": 4000}));
    let gateway = Gateway::serve_with(folder(&policy()), &bus.environment());
    let agent = gateway.bearer(&agent().await);
    let row = gateway.row();
    let held = agent.held(&format!("DELETE FROM customers WHERE id = {row}"));
    let approval = &held["approval"]["id"];
    let question = bus.until(|event| event["body"]["approval_id"] == *approval);
    // Whoever else writes there keeps the change waiting, longer than the lock lasts.
    let mut busy = gateway.database();
    let writing = busy.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
    let writing = writing.unwrap();
    let approve = answer(&question["body"], "approve", "carla").to_string();
    bus.put(
        "approval-decisions",
        &format!("{row}-yes"),
        approve.as_bytes(),
    );
    for _ in 0..2 {
        let renewed = bus.until(|event| !event["renewed"].is_null());
        assert_eq!(renewed, json!({"renewed": row.to_string(), "ok": true}));
    }
    writing.rollback().unwrap();
    let settled =
        bus.until(|event| event["queue"] == "approval-decisions" && !event["settled"].is_null());
    assert_eq!(
        settled["settled"],
        "completed",
        "{settled} {}",
        gateway.log()
    );
    assert_eq!(ended(|| agent.request(&held))["status"], "succeeded");
    assert_eq!(gateway.note("customers", row), None);
}

/// Set for the process that receives: its identity is in its environment.
const RECEIVING: &str = "PORTCULLIS_TEST_RECEIVES";

/// A process of this program that does nothing but receive, until its input ends.
struct Receiving(Child);

impl Receiving {
    fn start(bus: &ServiceBus) -> Self {
        let mut environment = bus.environment();
        let (_, address) = environment.remove(0);
        let receiving = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "messages::a_process_that_does_nothing_but_receive",
            ])
            .envs(environment)
            .env(RECEIVING, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Self(receiving.unwrap())
    }

    /// Tells it to stop, and waits until it has.
    fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does with a message what it says.
async fn obey(message: Incoming) -> Settlement {
    match &message.body[..] {
        b"\"refuse\"" => Settlement::Abandon("the record is away".into()),
        b"\"hang\"" => std::future::pending().await,
        b"\"dawdle\"" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Settlement::Complete
        }
        _ => Settlement::Complete,
    }
}

/// Is one where [`Receiving`] starts it, and proves that it goes away when it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_nothing_but_receive() {
    // Without a broker it tries, and stops all the same.
    let address = std::env::var(RECEIVING).unwrap_or("amqp://a:b@127.0.0.1:1".into());
    let receiver = Receiver::new(Address::parse(&address).unwrap());
    let stop = CancellationToken::new();
    let running = tokio::spawn(receiver.run(obey, stop.clone()));
    if std::env::var(RECEIVING).is_ok() {
        let told = || std::io::stdin().read_to_end(&mut Vec::new());
        tokio::task::spawn_blocking(told).await.unwrap().unwrap();
    }
    stop.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(5), running);
    stopped.await.expect("it goes on").unwrap();
}

fn put_all(bus: &mut ServiceBus, messages: &[(&str, &str)]) {
    for (id, does) in messages {
        bus.put("approval-decisions", id, json!(does).to_string().as_bytes());
    }
}

#[test]
fn a_message_given_back_ten_times_is_a_dead_letter_that_says_why_and_the_next_is_taken() {
    let mut bus = ServiceBus::start();
    let _receiving = Receiving::start(&bus);
    let messages = [("a-poison", "refuse"), ("a-next", "go"), ("b-other", "go")];
    put_all(&mut bus, &messages);
    for deliveries in 1..10 {
        let given_back = bus.until(|event| event["settled"] == "abandoned");
        assert_eq!(
            (&given_back["id"], &given_back["deliveries"]),
            (&json!("a-poison"), &json!(deliveries))
        );
    }
    let dead = bus.until(|event| event["settled"] == "dead_letter");
    assert_eq!(dead["id"], "a-poison");
    assert_eq!(dead["condition"], "com.microsoft:dead-letter");
    assert_eq!(
        dead["info"],
        json!({"DeadLetterReason": "GivenUp", "DeadLetterErrorDescription": "the record is away"})
    );
    for id in ["a-next", "b-other"] {
        bus.until(|event| event["settled"] == "completed" && event["id"] == id);
    }
}

#[test]
fn an_answer_that_takes_its_time_holds_up_its_own_session_alone_and_each_is_in_order() {
    let mut bus = ServiceBus::start();
    let _receiving = Receiving::start(&bus);
    // Every session but the last that is worked on at once has an answer that does not end.
    let stuck: Vec<String> = (1..=7).map(|session| format!("stuck{session}")).collect();
    for session in &stuck {
        put_all(&mut bus, &[(&format!("{session}-hangs"), "hang")]);
        put_all(&mut bus, &[(&format!("{session}-next"), "go")]);
    }
    for session in &stuck {
        bus.until(|event| event["locked"] == session.as_str());
    }
    let in_order = ["b-1", "b-2", "b-3", "c-1", "c-2"];
    let messages = in_order.map(|id| (id, if id.ends_with('1') { "dawdle" } else { "go" }));
    put_all(&mut bus, &messages);
    for session in ["b", "c"] {
        let of_this = in_order.iter().filter(|id| id.starts_with(session));
        for id in of_this {
            let of_this = |event: &Value| {
                let settled = event["id"].as_str().unwrap_or_default();
                event["settled"] == "completed" && settled.starts_with(session)
            };
            assert_eq!(bus.until(of_this)["id"], *id);
        }
    }
    // All are taken: the next session is nobody's, until one of them is free.
    put_all(&mut bus, &[("last-hangs", "hang")]);
    bus.until(|event| event["locked"] == "last");
    put_all(&mut bus, &[("d-1", "go")]);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(bus.count(|event| event["locked"] == "d"), 0);
    assert_eq!(bus.count(|event| !event["lock_lost"].is_null()), 0);

    // One whose lock is lost ends, and its answers come again; the others do not notice.
    bus.command(json!({"lose": {"queue": "approval-decisions", "session": "stuck1"}}));
    bus.until(|event| event["locked"] == "stuck1");
    assert_eq!(bus.count(|event| event["locked"] == "d"), 0);
    assert_eq!(bus.count(|event| !event["settled"].is_null()), 0);
    assert_eq!(bus.connections(), 1);
}

#[test]
fn what_is_held_when_it_stops_is_handed_back_for_the_next() {
    let mut bus = ServiceBus::start();
    let receiving = Receiving::start(&bus);
    put_all(&mut bus, &[("a-1", "hang"), ("b-1", "hang")]);
    for session in ["a", "b"] {
        bus.until(|event| event["locked"] == session);
    }
    // In hand, not merely on its way.
    std::thread::sleep(Duration::from_millis(300));
    receiving.stop();
    for (session, id) in [("a", "a-1"), ("b", "b-1")] {
        bus.until(|event| event["settled"] == "abandoned" && event["id"] == id);
        bus.until(|event| event["unlocked"] == session);
    }
    let next = Receiving::start(&bus);
    for session in ["a", "b"] {
        bus.until(|event| event["locked"] == session);
    }
    next.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_had_in_hand_when_it_died_is_delivered_to_the_next_and_runs_once() {
    let mut bus = ServiceBus::start();
    let data = folder(&policy());
    let gateway = Gateway::serve_with(data, &bus.environment());
    let token = agent().await;
    let row = gateway.row();
    let held = gateway
        .bearer(&token)
        .held(&format!("DELETE FROM customers WHERE id = {row}"));
    let approval = &held["approval"]["id"];
    let question = bus.until(|event| event["body"]["approval_id"] == *approval);
    let mut busy = gateway.database();
    let writing = busy.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
    let writing = writing.unwrap();
    let approve = answer(&question["body"], "approve", "carla").to_string();
    bus.put(
        "approval-decisions",
        &format!("{row}-yes"),
        approve.as_bytes(),
    );
    bus.until(|event| event["renewed"] == row.to_string().as_str());
    gateway.signal("KILL");
    gateway.ended();
    writing.rollback().unwrap();
    let next = gateway.serve_again(&bus.environment());
    let settled =
        bus.until(|event| event["queue"] == "approval-decisions" && !event["settled"].is_null());
    assert_eq!(settled["settled"], "completed", "{settled} {}", next.log());
    let agent = next.bearer(&token);
    let events = agent
        .get(&format!(
            "/v1/sessions/{}/events",
            word(&held["session_id"])
        ))
        .expect(200);
    let events = events["events"].as_array().unwrap();
    let started = events
        .iter()
        .filter(|event| event["type"] == "execution.started");
    assert_eq!(started.count(), 1);
    next.until_log("an answer was delivered again", |_| ());
}

#[test]
fn a_broker_whose_certificate_is_nobodys_gets_no_token() {
    let mut bus = ServiceBus::start();
    let mut environment = bus.environment();
    environment.retain(|(name, _)| *name != "SSL_CERT_FILE");
    let gateway = Gateway::serve_with(folder(&policy()), &environment);
    gateway.until_log("answers of approvers cannot be received", |rest| {
        assert!(rest.contains("greeting over TLS"), "{rest}");
    });
    assert_eq!(bus.connections(), 0);
}
