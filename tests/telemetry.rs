//! What a gateway says of itself: its log, and what it sends to a collector of OpenTelemetry, received by one.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use crate::{
    messages::{agent, answer, ended, policy},
    support::{
        collector::{Collector, label},
        gateway::{Gateway, Said, folder, portcullis, word},
        oidc::{AUDIENCE, Provider},
        postgres,
        service_bus::ServiceBus,
        serving::{self, Serving},
    },
};

/// What nobody may find anywhere.
const SECRET: &str = "hunter2-planted";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// What one trace holds from asking to running.
const STAGES: [&str; 8] = [
    "POST /v1/connections/{name}/query",
    "submit",
    "judge",
    "append",
    "publish",
    "execute",
    "resume",
    "answer",
];

fn trace_of(span: &Span) -> String {
    span.trace_id
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn labels(span: &Span) -> BTreeSet<String> {
    span.attributes.iter().map(label).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_asking_approving_and_running_and_nothing_that_is_sent_or_logged_holds_content()
 {
    let (collector, mut bus) = (Collector::start().await, ServiceBus::start());
    let mut environment = bus.environment();
    environment.extend(collector.environment());
    environment.push(("RUST_LOG", "warn,portcullis=trace".into()));
    let gateway = Gateway::serve_with(folder(&policy()), &environment);
    let agent = gateway.bearer(&agent().await);
    let row = gateway.row();
    gateway
        .database()
        .execute(
            "UPDATE customers SET note = ?1, email = ?1 || '@example.org' WHERE id = ?2",
            (SECRET, row),
        )
        .unwrap();

    // A secret in every place where a caller, a target or an approver can put one.
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let hidden = [
        ("traceparent", parent.as_str()),
        ("tracestate", "v=hunter2-planted"),
        ("baggage", "v=hunter2-planted"),
        ("User-Agent", SECRET),
        ("Idempotency-Key", SECRET),
    ];
    let path = "/v1/connections/crm/query";
    let read = format!("SELECT note, email FROM customers WHERE id = {row} AND note = '{SECRET}'");
    let read = agent
        .post_with(path, &json!({"sql": read, "reason": SECRET}), &hidden)
        .expect(200);
    assert!(read.to_string().contains(SECRET), "{read}");
    agent
        .query("crm", &format!("SELECT \"{SECRET}\" FROM customers"))
        .json();
    agent
        .query("crm", &format!("DROP TABLE \"{SECRET}\""))
        .expect(403);
    agent.query(SECRET, "SELECT 1").refused(404);
    agent.get(&format!("/v1/{SECRET}?q={SECRET}")).refused(404);
    agent.send(SECRET, "/v1/connections", &[], b"").refused(405);
    let change = format!("DELETE FROM customers WHERE id = {row} AND note <> '{SECRET}{SECRET}'");
    let more = [("traceparent", parent.as_str())];
    let held = agent
        .post_with(path, &json!({"sql": change, "reason": SECRET}), &more)
        .expect(202);

    let approval = &held["approval"]["id"];
    let question = bus.until(|event| event["body"]["approval_id"] == *approval);
    assert_eq!(question["properties"]["traceparent"], parent.as_str());
    let mut forged = answer(&question["body"], "approve", "carla");
    forged["proof"] = json!(SECRET);
    let mut approve = answer(&question["body"], "approve", "carla");
    approve["comment"] = json!(SECRET);
    let with_trace = json!({"traceparent": parent});
    for (id, answer) in [
        ("forged", &forged),
        ("junk", &json!(SECRET)),
        ("yes", &approve),
        ("again", &approve),
    ] {
        bus.put_with(
            "approval-decisions",
            &format!("{row}-{id}"),
            answer.to_string().as_bytes(),
            &with_trace,
        );
    }
    assert_eq!(ended(|| agent.request(&held))["status"], "succeeded");
    gateway.until_log("an answer was delivered again", |_| ());

    // One trace from the caller to the run.
    let spans = collector.until(|received| {
        let of_trace: Vec<Span> = received
            .spans
            .iter()
            .filter(|span| trace_of(span) == TRACE)
            .cloned()
            .collect();
        // Each is sent when it has ended, and nobody waits for the approvers to be told.
        let has = |name: &&str| of_trace.iter().any(|span| span.name == *name);
        let executed = of_trace.iter().filter(|span| span.name == "execute");
        let enough = STAGES.iter().all(has) && executed.count() == 2;
        enough.then_some(of_trace)
    });
    let resume = spans.iter().find(|span| span.name == "resume").unwrap();
    assert!(
        spans
            .iter()
            .any(|span| span.name == "execute" && span.parent_span_id == resume.span_id)
    );
    for (key, value) in [
        ("session", &held["session_id"]),
        ("request", &held["request_id"]),
    ] {
        assert!(
            labels(resume).contains(&format!("{key}={}", word(value))),
            "{resume:?}"
        );
    }
    // Who brings no trace begins one here, and the record knows it.
    let alone = agent.query("crm", "SELECT 1").expect(200);
    let events = agent
        .get(&format!(
            "/v1/sessions/{}/events",
            word(&alone["session_id"])
        ))
        .expect(200);
    let decided = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["type"] == "request.decided")
        .unwrap();
    let begun = word(&decided["data"]["traceparent"])
        .split('-')
        .nth(1)
        .unwrap()
        .to_owned();
    collector.until(|received| {
        received
            .spans
            .iter()
            .any(|span| trace_of(span) == begun && span.name == "execute")
            .then_some(())
    });

    // Every instrument, and labels that are words of ours or of the policy.
    let counted = [
        (
            "portcullis.decisions",
            "action=allow connection=crm effect=read",
            3.0,
        ),
        (
            "portcullis.decisions",
            "action=deny connection=crm effect=schema",
            1.0,
        ),
        (
            "portcullis.decisions",
            "action=require_approval connection=crm effect=destructive",
            1.0,
        ),
        ("portcullis.executions", "ended=finished", 3.0),
        ("portcullis.approvals", "became=requested", 1.0),
        ("portcullis.approvals", "became=approved", 1.0),
        ("portcullis.answers", "became=set aside", 2.0),
        ("portcullis.answers", "became=taken", 1.0),
        ("portcullis.redeliveries", "", 1.0),
        ("portcullis.masked", "kind=column", 1.0),
        ("portcullis.approvals.pending", "", 0.0),
    ];
    for (instrument, labels, at_least) in counted {
        collector.until(|received| {
            received
                .metrics
                .get(instrument)?
                .get(labels)
                .filter(|value| **value >= at_least)
                .map(|_| ())
        });
    }
    for stage in ["judge", "append", "execute", "mask", "publish"] {
        collector.until(|received| {
            received
                .metrics
                .get("portcullis.stage.duration")?
                .get(&format!("stage={stage}"))
                .filter(|count| **count > 0.0)
                .map(|_| ())
        });
    }
    // It sends what it has left when it is told to end.
    gateway.signal("TERM");
    assert!(gateway.ended().success());
    collector.until(|received| {
        assert!(received.resource.contains("service.name=the-gate"));
        let allowed = [
            "action",
            "became",
            "connection",
            "effect",
            "ended",
            "kind",
            "stage",
        ];
        for (name, keys) in received
            .keys
            .iter()
            .filter(|(name, _)| name.starts_with("portcullis."))
        {
            assert!(
                keys.iter().all(|key| allowed.contains(&key.as_str())),
                "{name}: {keys:?}"
            );
        }
        for span in &received.spans {
            assert!(span.events.is_empty(), "{span:?}");
        }
        for (what, text) in [
            ("sent", received.raw.as_slice()),
            ("logged", gateway.log().as_bytes()),
        ] {
            let found = text
                .windows(SECRET.len())
                .position(|part| part == SECRET.as_bytes());
            let found = found.map(|at| {
                String::from_utf8_lossy(&text[at.saturating_sub(300)..at + 100]).into_owned()
            });
            assert_eq!(found, None, "{what}");
        }
        Some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_a_services_log_is_json_and_names_its_session_and_request() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    drop(collector);
    let gateway = Gateway::serve_json(
        folder(&policy()),
        &[("RUST_LOG", "portcullis=debug".into())],
    );
    let agent = gateway.bearer(&agent().await);
    let row = gateway.row();
    let held = agent.held(&format!("DELETE FROM customers WHERE id = {row}"));
    gateway.until_log("asked to approve", |_| ());
    let log = gateway.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let asked = lines
        .iter()
        .find(|line| word(&line["message"]).contains("asked to approve"))
        .unwrap();
    let spans = asked["spans"].as_array().unwrap();
    let submit = spans.iter().find(|span| span["name"] == "submit").unwrap();
    for (name, value) in [
        ("session", &held["session_id"]),
        ("request", &held["request_id"]),
        ("connection", &json!("crm")),
    ] {
        assert_eq!(&submit[name], value, "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_or_silent_holds_up_no_request_and_what_is_lost_is_counted() {
    // It takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for address in [silent.local_addr().unwrap(), gone] {
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500".into()),
            ("OTEL_BSP_SCHEDULE_DELAY", "10".into()),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "8".into()),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8".into()),
        ];
        let gateway = Gateway::serve_with(folder(&policy()), &environment);
        let agent = gateway.bearer(&agent().await);
        let began = Instant::now();
        for _ in 0..20 {
            agent.query("crm", "SELECT 1").expect(200);
        }
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        let began = Instant::now();
        gateway.signal("TERM");
        assert!(gateway.ended().success());
        assert!(
            began.elapsed() < Duration::from_secs(12),
            "{:?}",
            began.elapsed()
        );
        let log = gateway.log();
        let lost = log
            .lines()
            .find(|line| line.contains("not all telemetry arrived"));
        let lost = lost.unwrap_or_else(|| panic!("{log}"));
        assert!(lost.contains("lost=") && !lost.contains("lost=0"), "{lost}");
    }
}

#[test]
fn a_collector_that_cannot_be_sent_to_is_refused_at_the_start() {
    for (setting, value, says) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "not an address",
            "http://127.0.0.1:4318",
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "milliseconds"),
    ] {
        let data = folder(&policy());
        let mut command = portcullis(&["serve"]);
        command
            .env("PORTCULLIS_DATA", data.join("record"))
            .env("PORTCULLIS_POLICY", data.join("policy.yaml"))
            .env("PORTCULLIS_LISTEN", "127.0.0.1:0")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
            .env(setting, value);
        let done = command.output().unwrap();
        assert_eq!(done.code(), 2, "{}", done.err());
        assert!(
            done.err().contains(setting) && done.err().contains(says),
            "{}",
            done.err()
        );
        fs::remove_dir_all(data).unwrap();
    }
}

/// What the alert on effects of unknown outcome looks for in the log.
pub(crate) fn alert_of_unknown_outcome() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("infra/modules/telemetry.bicep");
    let template = fs::read_to_string(file).unwrap();
    let (_, query) = template
        .split_once("traces | where message contains \"")
        .unwrap();
    query.split_once('"').unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_of_unknown_outcome_is_logged_in_the_words_that_its_alert_looks_for() {
    let database = postgres::database().await;
    database
        .prepare("CREATE TABLE accounts (id integer PRIMARY KEY); INSERT INTO accounts VALUES (1)")
        .await;
    let (provider, collector) = (Provider::shared(), Collector::start().await);
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    fs::write(&policy, format!("version: 1
identity: {{ issuers: [{{ issuer: \"{}\", audience: \"{AUDIENCE}\", agents: {{ app_roles: [Agent] }} }}] }}
connections:
  crm:
    kind: postgres
    read: {{ url: \"${{secret:CRM_READ_URL}}\" }}
    write: {{ url: \"${{secret:CRM_WRITE_URL}}\" }}
    allow: {{ app_roles: [Agent] }}
    budget: {{ timeout: 5s }}
rules: [{{ name: all, when: {{ effect: [read, write, destructive] }}, then: allow }}]
", provider.issuer())).unwrap();
    let write = database.write_url();
    let port: u16 = write
        .rsplit_once(':')
        .unwrap()
        .1
        .split('/')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let cut = cutting("COMMIT", port);
    let write = write.replace(&format!(":{port}/"), &format!(":{cut}/"));
    let read = database.read_url();
    let mut environment = vec![("CRM_READ_URL", read), ("CRM_WRITE_URL", write)];
    environment.extend(collector.environment());
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let data = folder.path().join("data");
    let serving = Serving::start_in(&policy, &data, &environment).await;
    let caller = serving.caller(&serving::agent(provider).await);
    let answer = caller.query("DELETE FROM accounts WHERE id = 1").await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert_eq!(answer.body["status"], "outcome_unknown");
    let log = fs::read_to_string(data.join("log")).unwrap();
    let words = alert_of_unknown_outcome();
    let line = log
        .lines()
        .find(|line| line.contains(&words))
        .unwrap_or_else(|| panic!("`{words}`: {log}"));
    assert!(
        line.contains("ERROR") && line.contains(word(&answer.body["request_id"])),
        "{line}"
    );
    collector.until(|received| {
        received
            .metrics
            .get("portcullis.executions")?
            .get("ended=outcome_unknown")
            .map(|_| ())
    });
}

/// A way to the server at `port` that breaks as soon as `words` have passed. Returns its port.
fn cutting(words: &'static str, port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || {
                let (mut client, mut server) = (client, server);
                let mut part = [0; 4096];
                while let Ok(read @ 1..) = client.read(&mut part) {
                    if server.write_all(&part[..read]).is_err()
                        || part[..read]
                            .windows(words.len())
                            .any(|part| part == words.as_bytes())
                    {
                        break;
                    }
                }
                for end in [client, server] {
                    let _ = end.shutdown(std::net::Shutdown::Both);
                }
            });
        }
    });
    address.port()
}
