//! What humans are asked, and what becomes of their answers.

use std::{thread, time::Duration};

use serde_json::json;

use super::{Caller, Gateway, shared, word};

fn deletion(gateway: &Gateway, table: &str) -> (i64, String) {
    let row = gateway.row();
    (row, format!("DELETE FROM {table} WHERE id = {row}"))
}

fn dana(gateway: &Gateway) -> Caller<'_> {
    gateway.person("dana", &["db-admins"])
}

#[test]
fn an_approver_is_shown_exactly_what_is_asked_and_by_whom() {
    let gateway = shared();
    let (row, sql) = deletion(gateway, "customers");
    let agent = gateway.agent_named("asker");
    let held = agent
        .post(
            "/v1/connections/crm/query",
            &json!({"sql": sql, "reason": "asked to be forgotten"}),
        )
        .expect(202);
    let id = word(&held["approval"]["id"]);
    let shown = dana(gateway)
        .get(&format!("/v1/approvals/{id}"))
        .expect(200);
    assert_eq!(shown["statement"], sql);
    assert_eq!(shown["principal"]["id"], "agent:asker");
    assert_eq!(shown["reason"], "asked to be forgotten");
    assert_eq!(shown["connection"], "crm");
    assert_eq!(shown["digest"], held["approval"]["digest"]);
    assert_eq!(shown["status"], "pending_approval");
    assert_eq!(shown["unbounded"], false);
    assert!(shown["preview"].is_object(), "{shown}");
    let listed = dana(gateway).get("/v1/approvals?state=pending").expect(200);
    let listed = listed["approvals"].as_array().unwrap();
    assert!(listed.iter().any(|approval| approval["id"] == id));
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
    dana(gateway).decide(&held, "deny").expect(200);
    let listed = dana(gateway).get("/v1/approvals").expect(200);
    let listed = listed["approvals"].as_array().unwrap();
    assert!(listed.iter().all(|approval| approval["id"] != id));
    let all = dana(gateway).get("/v1/approvals?state=all").expect(200);
    let all = all["approvals"].as_array().unwrap();
    assert!(all.iter().any(|approval| approval["id"] == id));
}

#[test]
fn an_approved_request_runs_once_however_often_the_decision_is_delivered() {
    let gateway = shared();
    let (row, sql) = (
        gateway.row(),
        "UPDATE customers SET note = note || '+' WHERE id =",
    );
    let agent = gateway.agent();
    let held = agent.held(&format!("{sql} {row}"));
    let done = dana(gateway).decide(&held, "approve").expect(200);
    assert_eq!(done["status"], "succeeded");
    assert_eq!(done["answers"][0]["approver"]["id"], "user:dana");
    dana(gateway)
        .decide(&held, "approve")
        .problem(409, "approval-closed");
    let other = gateway.person("omar", &["db-admins"]);
    other.decide(&held, "deny").problem(409, "approval-closed");
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before+"));
}

#[test]
fn of_many_decisions_delivered_at_once_one_runs() {
    let gateway = shared();
    let row = gateway.row();
    let held = gateway.agent().held(&format!(
        "UPDATE customers SET note = note || '+' WHERE id = {row}"
    ));
    let statuses: Vec<_> = thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|number| {
                let held = &held;
                let approver = gateway.person(&format!("approver-{number}"), &["db-admins"]);
                scope.spawn(move || approver.decide(held, "approve").status)
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7);
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before+"));
}

#[test]
fn a_decision_for_another_digest_decides_nothing() {
    let gateway = shared();
    let (row, sql) = deletion(gateway, "customers");
    let held = gateway.agent().held(&sql);
    let mut other = held.clone();
    other["approval"]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    dana(gateway)
        .decide(&other, "approve")
        .problem(409, "other-digest");
    let elsewhere = gateway.agent().held(&deletion(gateway, "customers").1);
    other["approval"]["digest"] = elsewhere["approval"]["digest"].clone();
    dana(gateway)
        .decide(&other, "approve")
        .problem(409, "other-digest");
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
}

#[test]
fn people_who_may_decide_see_exactly_what_would_change() {
    let gateway = shared();
    let row = gateway.row();
    let sql = format!("UPDATE customers SET note = 'after' WHERE id = {row}");
    let held = gateway.agent().held(&sql);
    let path = format!("/v1/approvals/{}/preview", word(&held["approval"]["id"]));
    gateway
        .agent()
        .post(&path, &json!({}))
        .problem(403, "agents-approve-nothing");
    let stranger = gateway.person("sam", &["sales"]);
    stranger
        .post(&path, &json!({}))
        .problem(404, "unknown-approval");
    let seen = dana(gateway).post(&path, &json!({})).expect(200);
    assert_eq!(seen["rows"], 1, "{seen}");
    assert_eq!(seen["before"]["rows"][0][2], "before", "{seen}");
    assert_eq!(seen["after"]["rows"][0][2], "after", "{seen}");
    for sample in ["before", "after"] {
        let email = word(&seen[sample]["rows"][0][1]);
        assert_ne!(email, format!("person{row}@example.org"), "{seen}");
    }
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
    dana(gateway).decide(&held, "approve").expect(200);
    assert_eq!(gateway.note("customers", row).as_deref(), Some("after"));
    dana(gateway)
        .post(&path, &json!({}))
        .problem(409, "approval-closed");
}

#[test]
fn a_pipeline_that_may_decide_is_shown_no_rows() {
    let gateway = shared();
    let row = gateway.row();
    let held = gateway
        .agent()
        .held(&format!("DELETE FROM releases WHERE id = {row}"));
    let path = format!("/v1/approvals/{}/preview", word(&held["approval"]["id"]));
    let pipeline = gateway.service("release-pipeline");
    pipeline
        .post(&path, &json!({}))
        .problem(403, "preview-for-people");
}

#[test]
fn only_those_who_are_asked_may_decide() {
    let gateway = shared();
    let (row, sql) = deletion(gateway, "customers");
    let agent = gateway.agent();
    let held = agent.held(&sql);
    agent
        .decide(&held, "approve")
        .problem(403, "agents-approve-nothing");
    let privileged = gateway.bearer(&gateway.token(
        "clever-bot",
        &["db-admins"],
        portcullis::domain::principal::PrincipalKind::Agent,
    ));
    privileged
        .decide(&held, "approve")
        .problem(403, "agents-approve-nothing");
    let stranger = gateway.person("stranger", &["sales"]);
    stranger
        .decide(&held, "approve")
        .problem(404, "unknown-approval");
    let path = format!("/v1/approvals/{}", word(&held["approval"]["id"]));
    stranger.get(&path).problem(404, "unknown-approval");
    gateway
        .service("release-pipeline")
        .decide(&held, "approve")
        .problem(404, "unknown-approval");
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));

    // A person in both groups: they may use the connection, and may not agree with themselves.
    let (row, sql) = deletion(gateway, "customers");
    let both = gateway.person("both", &["ai-agents", "db-admins"]);
    let held = both.held(&sql);
    both.decide(&held, "approve").problem(403, "own-request");
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
}

#[test]
fn a_denial_reaches_the_requester_with_its_comment() {
    let gateway = shared();
    let (row, sql) = deletion(gateway, "customers");
    let agent = gateway.agent();
    let held = agent.held(&sql);
    let path = format!("/v1/approvals/{}/decision", word(&held["approval"]["id"]));
    let body = json!({
        "decision": "deny", "digest": held["approval"]["digest"],
        "comment": "still under a legal hold",
    });
    let shown = dana(gateway).post(&path, &body).expect(200);
    assert_eq!(shown["status"], "approval_denied");
    let outcome = agent.request(&held).expect(403);
    assert_eq!(outcome["status"], "approval_denied");
    assert_eq!(
        outcome["decision"]["message"],
        "user:dana said no: still under a legal hold"
    );
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
}

#[test]
fn an_approval_after_its_time_runs_nothing() {
    let gateway = shared();
    let (row, sql) = deletion(gateway, "hasty");
    let agent = gateway.agent();
    let held = agent.held(&sql);
    thread::sleep(Duration::from_millis(1100));
    dana(gateway).decide(&held, "approve").refused(409);
    let path = format!("/v1/requests/{}?wait=5", word(&held["request_id"]));
    let outcome = agent.get(&path).expect(403);
    assert_eq!(outcome["status"], "approval_expired");
    dana(gateway).decide(&held, "approve").refused(409);
    assert_eq!(gateway.note("hasty", row).as_deref(), Some("before"));
}

#[test]
fn a_group_that_wants_two_wants_two_different_people() {
    let gateway = shared();
    let (row, sql) = deletion(gateway, "pairs");
    let agent = gateway.agent();
    let held = agent.held(&sql);
    let (lea, leo) = (
        gateway.person("lea", &["leads"]),
        gateway.person("leo", &["leads"]),
    );
    let noted = lea.decide(&held, "approve").expect(200);
    assert_eq!(noted["status"], "pending_approval");
    lea.decide(&held, "approve").problem(409, "answered-before");
    assert_eq!(gateway.note("pairs", row).as_deref(), Some("before"));
    assert_eq!(
        agent.request(&held).expect(202)["status"],
        "pending_approval"
    );
    let done = leo.decide(&held, "approve").expect(200);
    assert_eq!(done["status"], "succeeded");
    assert_eq!(gateway.note("pairs", row), None);
}

#[test]
fn a_pipeline_decides_what_policy_gives_to_it_by_name() {
    let gateway = shared();
    let (row, sql) = deletion(gateway, "releases");
    let held = gateway.agent().held(&sql);
    gateway
        .service("other-pipeline")
        .decide(&held, "approve")
        .problem(404, "unknown-approval");
    gateway
        .person("release-pipeline", &[])
        .decide(&held, "approve")
        .problem(404, "unknown-approval");
    assert_eq!(gateway.note("releases", row).as_deref(), Some("before"));
    let done = gateway
        .service("release-pipeline")
        .decide(&held, "approve")
        .expect(200);
    assert_eq!(done["status"], "succeeded");
    assert_eq!(gateway.note("releases", row), None);
}
