//! What policy makes of a statement before it lets it through.

use std::sync::OnceLock;

use serde_json::json;

use super::{Caller, Gateway, word};

const POLICY: &str = r#"version: 1
approvers:
  dba: { groups: [db-admins] }
connections:
  crm:
    kind: sqlite
    read: { url: "sqlite:{DATABASE}" }
    write: { url: "sqlite:{DATABASE}" }
    allow: { groups: [ai-agents] }
    budget: { requests_per_minute: 100000 }
rules:
  - { name: few-rows, when: { effect: read }, then: { rewrite: { limit: 3 } } }
  - { name: try-first, when: { effect: [write, destructive], tables: ["*.customers"] }, then: { rewrite: dry_run } }
  - { name: plan-only, when: { effect: [write, destructive], tables: ["*.orders"] }, then: { rewrite: explain } }
  - { name: others, when: { effect: [write, destructive], tables: ["*.hasty"] }, then: allow }
  - { name: hands-off, when: { tables: ["*.releases"] }, then: { deny: "Not these." } }
masking:
  approvers: dba
  columns: [{ match: "*.customers.email", as: pseudonym }]
"#;

fn gateway() -> &'static Gateway {
    static GATEWAY: OnceLock<Gateway> = OnceLock::new();
    GATEWAY.get_or_init(|| Gateway::dev(POLICY))
}

fn session(outcome: &serde_json::Value, agent: &Caller<'_>) -> String {
    let path = format!("/v1/sessions/{}/events", word(&outcome["session_id"]));
    agent.get(&path).expect(200).to_string()
}

#[test]
fn a_read_gets_the_limit_that_policy_sets_and_says_so() {
    let agent = gateway().agent();
    let read = agent
        .query("crm", "SELECT id, note FROM customers ORDER BY id -- all")
        .expect(200);
    assert_eq!(read["result"]["row_count"], 3, "{read}");
    let rewritten = &read["rewritten"];
    assert_eq!(rewritten["rule"], "few-rows");
    assert_eq!(rewritten["into"], json!({"limit": 3}));
    assert_eq!(
        rewritten["statement"],
        "SELECT id, note FROM customers ORDER BY id\nLIMIT 3"
    );
    assert!(session(&read, &agent).contains("ORDER BY id -- all"));
    let small = agent
        .query("crm", "SELECT id FROM customers LIMIT 2")
        .expect(200);
    assert_eq!(small["result"]["row_count"], 2);
    assert!(small["rewritten"].is_null(), "{small}");
    let unsure = agent
        .query("crm", "SELECT id FROM customers LIMIT -1")
        .expect(403);
    assert_eq!(unsure["decision"]["rule"], "few-rows", "{unsure}");
    assert!(word(&unsure["decision"]["message"]).contains("plain number"));
    let denied = agent.query("crm", "SELECT id FROM releases").expect(403);
    assert_eq!(denied["decision"]["rule"], "hands-off");
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let (gateway, agent) = (gateway(), gateway().agent());
    let row = gateway.row();
    let sql = format!(
        "UPDATE customers SET note = 'tried' WHERE id IN ({row}, {})",
        gateway.row()
    );
    let tried = agent.query("crm", &sql).expect(200);
    assert_eq!(tried["status"], "succeeded", "{tried}");
    assert_eq!(tried["rewritten"]["into"], "dry_run");
    let note = word(&tried["rewritten"]["note"]);
    assert!(note.contains("2 rows would change"), "{note}");
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
    let shown = format!("UPDATE customers SET note = 'x' WHERE id = {row} RETURNING email");
    let shown = agent.query("crm", &shown).expect(200);
    assert!(
        !shown
            .to_string()
            .contains(&format!("person{row}@example.org")),
        "{shown}"
    );
    // A condition on a masked column is asked about, and what was approved is the dry run.
    let probe = format!("DELETE FROM customers WHERE email = 'person{row}@example.org'");
    let held = agent.query("crm", &probe).expect(202);
    let dana = gateway.person("dana", &["db-admins"]);
    dana.decide(&held, "approve").expect(200);
    let done = agent.request(&held).expect(200);
    assert_eq!(
        (&done["status"], &done["rewritten"]["into"]),
        (&json!("succeeded"), &json!("dry_run"))
    );
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
    let drop = agent.query("crm", "DROP TABLE customers").expect(403);
    assert!(drop["rewritten"].is_null());
}

#[test]
fn an_explained_change_shows_its_plan_and_changes_nothing() {
    let (gateway, agent) = (gateway(), gateway().agent());
    let row = gateway.row();
    let sql = format!("DELETE FROM orders WHERE id = {row}");
    let plan = agent.query("crm", &sql).expect(200);
    assert_eq!(plan["effect"], "read", "{plan}");
    assert_eq!(
        plan["rewritten"]["statement"],
        format!("EXPLAIN QUERY PLAN {sql}")
    );
    assert!(
        plan["result"]["rows"].to_string().contains("orders"),
        "{plan}"
    );
    assert_eq!(gateway.note("orders", row).as_deref(), Some("before"));
}

#[test]
fn a_repeated_call_is_the_same_request_and_a_changed_one_is_not() {
    let agent = gateway().agent();
    let key = [("Idempotency-Key", "rewritten-once")];
    let sql = "SELECT id FROM customers";
    let first = agent.query_with("crm", sql, &key).expect(200);
    let again = agent.query_with("crm", sql, &key).expect(200);
    assert_eq!(first["request_id"], again["request_id"]);
    // What it became is another call.
    let became = word(&first["rewritten"]["statement"]);
    let other = agent.query_with("crm", became, &key);
    other.problem(422, "idempotency-key-reused");
}
