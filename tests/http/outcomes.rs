//! What becomes of a request: its statuses, its body, its headers.

use std::thread;

use serde_json::json;

use super::{shared, word};

#[test]
fn a_read_comes_back_masked_and_says_why_it_was_let_through() {
    let agent = shared().agent();
    let reply = agent.query("crm", "SELECT id, email FROM customers ORDER BY id LIMIT 2");
    let outcome = reply.expect(200);
    assert_eq!(outcome["status"], "succeeded");
    assert_eq!(outcome["effect"], "read");
    assert_eq!(outcome["decision"]["action"], "allow");
    assert_eq!(outcome["decision"]["rule"], "reads");
    assert!(word(&outcome["decision"]["policy"]).starts_with("sha256:"));
    let result = &outcome["result"];
    assert_eq!(result["columns"][0]["name"], "id");
    assert_eq!(result["columns"][1]["masked"], "column");
    assert_eq!(result["rows"][0][0], 1);
    assert!(!reply.text().contains("person1@example.org"), "{outcome}");
    assert_eq!(result["row_count"], 2);
    assert_eq!(result["truncated"], false);
    assert_eq!(outcome["masked"]["cells"], 2);
    assert_eq!(
        reply.header("portcullis-session"),
        outcome["session_id"].as_str()
    );
}

#[test]
fn what_the_target_refuses_is_a_failed_outcome_and_no_error_of_ours() {
    let agent = shared().agent();
    let outcome = agent.query("crm", "SELECT absent FROM nowhere").expect(200);
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(word(&outcome["error"]["message"]).contains("nowhere"));
    assert_eq!(agent.request(&outcome).expect(200), outcome);
}

#[test]
fn a_denial_names_its_rule_and_what_to_do_and_nothing_has_run() {
    let gateway = shared();
    let agent = gateway.agent();
    let outcome = agent.query("crm", "DELETE FROM orders").expect(403);
    assert_eq!(outcome["status"], "denied");
    assert_eq!(outcome["decision"]["rule"], "no-unbounded-writes");
    assert_eq!(
        outcome["decision"]["message"],
        "Say which rows: add a WHERE clause."
    );
    let outcome = agent.query("crm", "DROP TABLE orders").expect(403);
    assert_eq!(outcome["decision"]["rule"], "no-schema-changes");
    assert_eq!(gateway.note("orders", 1).as_deref(), Some("before"));
    assert_eq!(agent.request(&outcome).expect(403), outcome);
}

#[test]
fn an_allowed_write_runs_and_says_how_many_rows_it_changed() {
    let gateway = shared();
    let row = gateway.row();
    let sql = format!("UPDATE orders SET note = 'after' WHERE id = {row}");
    let outcome = gateway.agent().query("crm", &sql).expect(200);
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
    assert_eq!(outcome["result"]["affected"], 1);
    assert_eq!(gateway.note("orders", row).as_deref(), Some("after"));
}

#[test]
fn a_held_request_says_where_to_ask_again_and_what_is_asked_of_whom() {
    let gateway = shared();
    let (agent, row) = (gateway.agent(), gateway.row());
    let sql = format!("DELETE FROM customers WHERE id = {row}");
    let reply = agent.query("crm", &sql);
    let outcome = reply.expect(202);
    assert_eq!(outcome["status"], "pending_approval");
    let location = format!("/v1/requests/{}", word(&outcome["request_id"]));
    assert_eq!(reply.header("location"), Some(location.as_str()));
    assert!(reply.header("retry-after").is_some());
    let approval = &outcome["approval"];
    assert!(word(&approval["id"]).starts_with("apr_"));
    assert!(word(&approval["digest"]).starts_with("sha256:"));
    assert_eq!(approval["from"], json!(["dba"]));
    assert!(approval["expires_at"].is_string());
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
    assert_eq!(agent.get(&location).expect(202), outcome);
}

#[test]
fn whoever_waits_for_a_request_is_told_as_soon_as_it_is_decided() {
    let gateway = shared();
    let (agent, dana) = (gateway.agent(), gateway.person("dana", &["db-admins"]));
    let held = agent.held(&format!(
        "DELETE FROM customers WHERE id = {}",
        gateway.row()
    ));
    let path = format!("/v1/requests/{}?wait=50", word(&held["request_id"]));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| agent.get(&path).expect(200));
        thread::sleep(std::time::Duration::from_millis(100));
        assert!(!waiting.is_finished(), "it did not wait");
        let decided = std::time::Instant::now();
        dana.decide(&held, "approve").expect(200);
        let outcome = waiting.join().unwrap();
        assert_eq!(outcome["status"], "succeeded", "{outcome}");
        assert_eq!(outcome["result"]["affected"], 1);
        assert!(decided.elapsed() < std::time::Duration::from_secs(5));
    });
    let began = std::time::Instant::now();
    let held = agent.held(&format!(
        "DELETE FROM customers WHERE id = {}",
        gateway.row()
    ));
    let path = format!("/v1/requests/{}?wait=1", word(&held["request_id"]));
    assert_eq!(agent.get(&path).expect(202)["status"], "pending_approval");
    assert!(began.elapsed() >= std::time::Duration::from_millis(900));
}

#[test]
fn a_running_request_is_seen_running() {
    let gateway = shared();
    let (agent, row) = (gateway.agent_named("runner"), gateway.row());
    let database = gateway.database();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sql = format!("UPDATE orders SET note = 'slow' WHERE id = {row}");
    thread::scope(|scope| {
        let asked = scope.spawn(|| agent.query("crm", &sql).expect(200));
        let running = loop {
            let found = agent.get("/v1/sessions?effect=write").expect(200);
            let request = &found["sessions"][0]["requests"][0];
            if request["status"] == "executing" {
                break request.clone();
            }
        };
        let reply = agent.request(&running);
        assert_eq!(reply.expect(202)["status"], "executing");
        assert!(reply.header("location").is_some() && reply.header("retry-after").is_some());
        database.execute_batch("ROLLBACK").unwrap();
        assert_eq!(asked.join().unwrap()["status"], "succeeded");
    });
    assert_eq!(gateway.note("orders", row).as_deref(), Some("slow"));
}
