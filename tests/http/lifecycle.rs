//! From the start of the process to its end: what it refuses to start with, what answers first, what it finishes,
//! what it does when its own disk or policy fails.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Caller, Gateway, http, word};
use crate::support::gateway::{POLICY, Said, folder, portcullis};

/// A gateway's port answers this soon after its process has begun, with room for a busy machine.
const SOON: Duration = Duration::from_millis(500);

#[test]
fn the_port_answers_as_soon_as_the_process_has_begun() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let data = folder(POLICY);
    let policy = data.join("policy.yaml");
    let mut command = portcullis(&["dev", "--port", &port.to_string()]);
    command
        .arg("--data")
        .arg(&data)
        .arg("--policy")
        .arg(&policy);
    let began = Instant::now();
    let mut process = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut answered = None;
    while answered.is_none() && began.elapsed() < SOON {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            let reply = http::call(port, "GET", "/healthz", &[], b"");
            assert_eq!(reply.status, 200);
            answered = Some(began.elapsed());
        } else {
            thread::sleep(Duration::from_millis(1));
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    fs::remove_dir_all(&data).unwrap();
    println!("from process start to an answer: {answered:?}");
    assert!(answered.is_some(), "no answer within {SOON:?}");
}

/// How `serve` ends with this policy: its exit code and what it says.
fn serve(policy: Option<&str>, more: &[(&str, &str)]) -> (i32, String) {
    let data = tempfile::tempdir().unwrap();
    let mut command = portcullis(&["serve"]);
    command
        .env("PORTCULLIS_DATA", data.path().join("record"))
        .env("PORTCULLIS_LISTEN", "127.0.0.1:0");
    if let Some(policy) = policy {
        let file = data.path().join("policy.yaml");
        fs::write(&file, policy).unwrap();
        command.env("PORTCULLIS_POLICY", file);
    }
    command.envs(more.iter().copied());
    let said = command.output().unwrap();
    (said.code(), said.err())
}

#[test]
fn serve_does_not_start_without_what_it_needs_and_says_how_to_give_it() {
    let (code, said) = serve(None, &[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("PORTCULLIS_POLICY=/"), "{said}");
    let (code, said) = serve(None, &[("PORTCULLIS_POLICY", "/nowhere/policy.yaml")]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/nowhere/policy.yaml"), "{said}");
    let (code, said) = serve(Some("version: 1\nrules: [\n"), &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("policy.yaml:2:"), "{said}");
    let (code, said) = serve(Some("version: 1\nruels: []\n"), &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("ruels") && said.contains("rules"), "{said}");
    let (code, said) = serve(Some("version: 1\n"), &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("identity.issuers"), "{said}");
    let anyone = "version: 1\nidentity: { issuers: [] }\n";
    let (code, said) = serve(Some(anyone), &[]);
    assert_eq!(code, 1, "{said}");
    let (code, said) = serve(Some("version: 1\n"), &[("PORTCULLIS_LISTEN", "nowhere")]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("127.0.0.1:7171"), "{said}");
}

#[test]
fn a_gateway_says_when_its_port_or_its_record_is_taken() {
    let first = Gateway::dev(POLICY);
    let policy = first.data.join("policy.yaml");
    let start = |port: u16, data: &std::path::Path| {
        let mut command = portcullis(&["dev", "--port", &port.to_string()]);
        command.arg("--data").arg(data).arg("--policy").arg(&policy);
        command.output().unwrap()
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let said = start(first.port, elsewhere.path());
    assert_eq!(said.code(), 1);
    assert!(
        said.err().contains("another process may have the port"),
        "{}",
        said.err()
    );
    let said = start(0, &first.data);
    assert_eq!(said.code(), 1);
    assert!(
        said.err().contains("in use by another process"),
        "{}",
        said.err()
    );
    // The second has not spoiled the first.
    first.agent().query("crm", "SELECT 1").expect(200);
}

#[test]
fn a_stop_finishes_and_records_what_was_approved() {
    let gateway = Gateway::dev(POLICY);
    let row = gateway.row();
    let sql = format!("UPDATE customers SET note = 'after' WHERE id = {row}");
    let held = gateway.agent_named("slow").held(&sql);
    let database = gateway.database();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let dana = gateway.person("dana", &["db-admins"]);
    thread::scope(|scope| {
        let approved = scope.spawn(|| dana.decide(&held, "approve"));
        while dana.request(&held).json()["status"] != "executing" {
            thread::sleep(Duration::from_millis(5));
        }
        gateway.signal("TERM");
        gateway.until_log("stopping", |_| ());
        thread::sleep(Duration::from_millis(200));
        database.execute_batch("COMMIT").unwrap();
        assert_eq!(approved.join().unwrap().expect(200)["status"], "succeeded");
    });
    assert!(gateway.ended().success(), "{}", gateway.log());
    assert_eq!(gateway.note("customers", row).as_deref(), Some("after"));
    let again = gateway.again();
    let outcome = again.agent_named("slow").request(&held).expect(200);
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
}

#[test]
fn what_was_running_when_the_process_was_killed_is_unknown_and_not_run_again() {
    let gateway = Gateway::dev(POLICY);
    let row = gateway.row();
    let sql = format!("UPDATE customers SET note = note || '+' WHERE id = {row}");
    let held = gateway.agent_named("unlucky").held(&sql);
    let waiting = gateway.agent_named("unlucky").held(&sql);
    let database = gateway.database();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let dana = gateway.person("dana", &["db-admins"]);
    let decision = http::request(
        "POST",
        &format!("/v1/approvals/{}/decision", word(&held["approval"]["id"])),
        &[
            ("Authorization", &format!("Bearer {}", dana.token)),
            ("Content-Type", "application/json"),
        ],
        json!({"decision": "approve", "digest": held["approval"]["digest"]})
            .to_string()
            .as_bytes(),
    );
    let port = gateway.port;
    let cut = thread::spawn(move || http::raw(port, &decision, Duration::from_secs(20)));
    while dana.request(&held).json()["status"] != "executing" {
        thread::sleep(Duration::from_millis(5));
    }
    gateway.signal("KILL");
    gateway.ended();
    assert!(cut.join().unwrap().is_none(), "it answered");
    database.execute_batch("COMMIT").unwrap();

    let again = gateway.again();
    let agent = again.agent_named("unlucky");
    // Nobody knows yet, and nobody says otherwise; that it ran is neither claimed nor tried again.
    assert_eq!(agent.request(&held).expect(202)["status"], "executing");
    dana_of(&again)
        .decide(&held, "approve")
        .problem(409, "approval-closed");
    assert_eq!(again.note("customers", row).as_deref(), Some("before"));
    // What was waiting still waits, and runs when approved.
    let done = dana_of(&again).decide(&waiting, "approve").expect(200);
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(again.note("customers", row).as_deref(), Some("before+"));
}

fn dana_of(gateway: &Gateway) -> Caller<'_> {
    gateway.person("dana", &["db-admins"])
}

#[test]
fn a_policy_that_does_not_parse_is_refused_loudly_and_the_last_good_one_stays() {
    let gateway = Gateway::dev(POLICY);
    let agent = gateway.agent();
    let before = agent.query("crm", "SELECT 1").expect(200);
    let file = gateway.data.join("policy.yaml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("rules:", "ruels:")).unwrap();
    gateway.until_log("ERROR", |rest| {
        assert!(rest.contains("policy"), "{rest}");
    });
    let log = gateway.log();
    assert!(log.contains("ruels"), "{log}");
    let after = agent.query("crm", "SELECT 1").expect(200);
    assert_eq!(after["decision"], before["decision"]);

    let stricter = good.replace(
        "  - name: reads\n    when: { effect: read }\n    then: allow",
        "  - name: reads\n    when: { effect: read }\n    then: { deny: \"Closed for stocktaking.\" }",
    );
    assert_ne!(stricter, good);
    fs::write(&file, stricter).unwrap();
    let began = Instant::now();
    loop {
        let reply = agent.query("crm", "SELECT 1");
        if reply.status == 403 {
            assert!(reply.text().contains("Closed for stocktaking."));
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "not picked up: {}",
            gateway.log()
        );
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn with_a_full_disk_nothing_runs_and_nothing_is_told() {
    let data = folder(POLICY);
    let gateway = Gateway::dev_in(data, &["sh", "-c", "trap '' XFSZ; exec \"$@\"", "full"]);
    let (agent, row) = (gateway.agent(), gateway.row());
    let held = agent.held(&format!("DELETE FROM customers WHERE id = {row}"));
    let limit = |bytes: &str| {
        let limited = Command::new("prlimit")
            .arg(format!("--fsize={bytes}"))
            .arg(format!("--pid={}", gateway.pid()))
            .status();
        assert!(limited.unwrap().success());
    };
    // No file may be written beyond its first page, not even where the log was made longer in a pause: as if the disk were
    // full. (Not a hard limit, to lift it again.)
    limit("4096:");
    let sql = format!("UPDATE orders SET note = 'run' WHERE id = {row}");
    for (reply, what) in [
        (agent.query("crm", &sql), "a write"),
        (
            agent.query("crm", "SELECT note FROM orders LIMIT 1"),
            "a read",
        ),
        (
            gateway
                .person("dana", &["db-admins"])
                .decide(&held, "approve"),
            "an approval",
        ),
    ] {
        assert!(!reply.text().contains("before"), "{what}: {}", reply.text());
        let detail = reply.problem(503, "record-unavailable");
        assert!(detail.contains("nothing was run"), "{what}: {detail}");
        assert!(reply.header("retry-after").is_some());
    }
    assert_eq!(gateway.note("orders", row).as_deref(), Some("before"));
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
    assert!(
        gateway.log().contains("record unavailable"),
        "{}",
        gateway.log()
    );

    // With room again it goes on, and the record has no trace of what was refused.
    limit("unlimited:");
    let outcome = agent.query("crm", &sql).expect(200);
    assert_eq!(outcome["status"], "succeeded");
    let path = format!("/v1/sessions/{}/events", word(&outcome["session_id"]));
    assert_eq!(agent.get(&path).status, 200);
    let found = agent.get("/v1/sessions?effect=write").expect(200);
    assert_eq!(found["sessions"].as_array().unwrap().len(), 1);
}

#[test]
fn with_the_record_locked_nothing_runs_and_nothing_is_told() {
    let gateway = Gateway::dev(POLICY);
    let (agent, row) = (gateway.agent(), gateway.row());
    agent.query("crm", "SELECT 1").expect(200);
    let other = rusqlite::Connection::open(gateway.data.join("record.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sql = format!("UPDATE orders SET note = 'run' WHERE id = {row}");
    let reply = agent.query("crm", &sql);
    let detail = reply.problem(503, "record-unavailable");
    assert!(detail.contains("nothing was run"), "{detail}");
    let reply = agent.query("crm", "SELECT note FROM orders LIMIT 1");
    reply.problem(503, "record-unavailable");
    assert_eq!(gateway.note("orders", row).as_deref(), Some("before"));
    other.execute_batch("ROLLBACK").unwrap();
    agent.query("crm", &sql).expect(200);
    assert_eq!(gateway.note("orders", row).as_deref(), Some("run"));
}
