//! The record from outside: sessions, searches, events, exports, and who may read which.

use std::{process::Command, thread};

use serde_json::{Value, json};

use super::{Caller, Gateway, shared, word};
use crate::support::gateway::{Said, portcullis};

/// A session of `agent` with a read, a denial and a held deletion.
fn story(agent: &Caller<'_>) -> (String, Value) {
    let gateway = agent.gateway;
    let opened = agent.query("crm", "SELECT 1 AS one").expect(200);
    let session = word(&opened["session_id"]).to_owned();
    let header = [("Portcullis-Session", session.as_str())];
    agent
        .query_with("crm", "DROP TABLE orders", &header)
        .expect(403);
    let sql = format!("DELETE FROM customers WHERE id = {}", gateway.row());
    let held = agent.query_with("crm", &sql, &header).expect(202);
    assert_eq!(held["session_id"], opened["session_id"]);
    (session, held)
}

fn requests(found: &Value) -> Vec<Value> {
    let sessions = found["sessions"].as_array().unwrap();
    sessions
        .iter()
        .flat_map(|session| session["requests"].as_array().unwrap().clone())
        .collect()
}

#[test]
fn a_session_is_continued_by_its_owner_alone() {
    let gateway = shared();
    let agent = gateway.agent();
    let reply = agent.query("crm", "SELECT 1");
    let session = reply.header("portcullis-session").unwrap().to_owned();
    let header = [("Portcullis-Session", session.as_str())];
    let again = agent.query_with("crm", "SELECT 2", &header);
    assert_eq!(again.expect(200)["session_id"], session.as_str());
    assert_eq!(again.header("portcullis-session"), Some(session.as_str()));
    gateway
        .agent()
        .query_with("crm", "SELECT 3", &header)
        .problem(403, "foreign-session");
    let unknown = format!("ses_{}", "0".repeat(32));
    let header = [("Portcullis-Session", unknown.as_str())];
    agent
        .query_with("crm", "SELECT 4", &header)
        .problem(404, "unknown-session");
    for malformed in ["", "ses_", "ses_XYZ", "../../etc/passwd", "ses_\u{e9}"] {
        let header = [("Portcullis-Session", malformed)];
        let detail = agent
            .query_with("crm", "SELECT 5", &header)
            .problem(422, "invalid");
        assert!(detail.contains("Portcullis-Session"), "{detail}");
    }
    let kept = agent.get(&format!("/v1/sessions/{session}")).expect(200);
    assert_eq!(kept["requests"].as_array().unwrap().len(), 2);
}

#[test]
fn a_repeated_call_is_the_same_request_and_runs_once_even_at_the_same_time() {
    let gateway = shared();
    let (agent, row) = (gateway.agent(), gateway.row());
    let sql = format!("UPDATE orders SET note = note || '+' WHERE id = {row}");
    let header = [("Idempotency-Key", "order-4711")];
    let outcomes: Vec<_> = thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| agent.query_with("crm", &sql, &header).json()))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    for outcome in &outcomes {
        assert_eq!(outcome["request_id"], outcomes[0]["request_id"]);
    }
    let again = agent.query_with("crm", &sql, &header).expect(200);
    assert_eq!(again["status"], "succeeded");
    assert_eq!(gateway.note("orders", row).as_deref(), Some("before+"));
    let other = format!("UPDATE orders SET note = 'other' WHERE id = {row}");
    agent
        .query_with("crm", &other, &header)
        .problem(422, "idempotency-key-reused");
    assert_eq!(gateway.note("orders", row).as_deref(), Some("before+"));
    // Somebody else's key of the same name is another key.
    let stranger = gateway.agent().query_with("crm", &sql, &header).expect(200);
    assert_ne!(stranger["request_id"], again["request_id"]);
}

#[test]
fn a_held_request_repeated_is_still_one_request() {
    let gateway = shared();
    let (agent, row) = (gateway.agent(), gateway.row());
    let sql = format!("DELETE FROM customers WHERE id = {row}");
    let header = [("Idempotency-Key", "forget-me")];
    let first = agent.query_with("crm", &sql, &header).expect(202);
    assert_eq!(agent.query_with("crm", &sql, &header).expect(202), first);
    gateway
        .person("dana", &["db-admins"])
        .decide(&first, "approve")
        .expect(200);
    let done = agent.query_with("crm", &sql, &header).expect(200);
    assert_eq!(done["status"], "succeeded");
    assert_eq!(done["request_id"], first["request_id"]);
}

#[test]
fn a_key_or_session_that_cannot_be_read_is_refused_and_not_ignored() {
    let gateway = shared();
    let (agent, row) = (gateway.agent(), gateway.row());
    let sql = format!("UPDATE orders SET note = 'run' WHERE id = {row}");
    let long = "k".repeat(201);
    for key in ["", long.as_str(), "sch\u{f6}n"] {
        let detail = agent
            .query_with("crm", &sql, &[("Idempotency-Key", key)])
            .problem(422, "invalid");
        assert!(detail.contains("Idempotency-Key"), "{detail}");
    }
    for name in ["Idempotency-Key", "Portcullis-Session"] {
        let session = format!("ses_{}", "0".repeat(32));
        let twice = [(name, session.as_str()), (name, session.as_str())];
        let detail = agent
            .query_with("crm", &sql, &twice)
            .problem(422, "invalid");
        assert!(detail.contains(name), "{detail}");
    }
    assert_eq!(gateway.note("orders", row).as_deref(), Some("before"));
}

#[test]
fn a_trace_is_carried_onto_the_record_and_nothing_else_that_says_it_is_one() {
    let agent = shared().agent();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (sent, kept) in [(trace, json!(trace)), ("<script>", json!(null))] {
        let outcome = agent
            .query_with("crm", "SELECT 1", &[("traceparent", sent)])
            .expect(200);
        let path = format!("/v1/sessions/{}/events", word(&outcome["session_id"]));
        let events = agent.get(&path).expect(200);
        let events = events["events"].as_array().unwrap();
        let decided = events
            .iter()
            .find(|event| event["type"] == "request.decided")
            .unwrap();
        assert_eq!(decided["data"]["traceparent"], kept);
    }
}

#[test]
fn every_filter_of_the_search_finds_what_it_names_and_nothing_else() {
    let gateway = shared();
    let agent = gateway.agent_named("searched");
    let dana = gateway.person("dana", &["db-admins"]);
    let (session, held) = story(&agent);
    let mine = "principal=agent:searched";
    let statements = |filter: &str| -> Vec<String> {
        let found = dana
            .get(&format!("/v1/sessions?{mine}&{filter}"))
            .expect(200);
        for one in found["sessions"].as_array().unwrap() {
            assert_eq!(one["session_id"], session.as_str());
        }
        let found = requests(&found);
        found
            .iter()
            .map(|request| word(&request["statement"])[..6].to_owned())
            .collect()
    };
    assert_eq!(statements("").len(), 3);
    assert_eq!(statements("connection=crm").len(), 3);
    assert!(statements("connection=small").is_empty());
    assert_eq!(statements("effect=read"), ["SELECT"]);
    assert_eq!(statements("effect=schema"), ["DROP T"]);
    assert_eq!(statements("effect=destructive"), ["DELETE"]);
    assert_eq!(statements("object=customers"), ["DELETE"]);
    assert_eq!(statements("object=orders"), ["DROP T"]);
    assert_eq!(statements("decision=deny"), ["DROP T"]);
    assert_eq!(statements("decision=require_approval"), ["DELETE"]);
    assert_eq!(statements("decision=allow"), ["SELECT"]);
    assert_eq!(statements("q=DROP"), ["DROP T"]);
    assert!(statements("q=100%25").is_empty());
    let shown = agent.get(&format!("/v1/sessions/{session}")).expect(200);
    let asked_at = word(&shown["requests"][2]["asked_at"]);
    assert_eq!(statements(&format!("since={asked_at}")), ["DELETE"]);
    assert_eq!(statements(&format!("until={asked_at}")).len(), 2);
    assert_eq!(shown["requests"][2]["request_id"], held["request_id"]);
    assert_eq!(shown["principal"]["id"], "agent:searched");
}

#[test]
fn a_search_is_read_page_by_page_without_losing_or_repeating_anything() {
    let gateway = shared();
    let agent = gateway.agent();
    let mut asked: Vec<_> = (0..7)
        .map(|number| {
            let outcome = agent.query("crm", &format!("SELECT {number}")).expect(200);
            word(&outcome["request_id"]).to_owned()
        })
        .collect();
    asked.reverse();
    let mut found = Vec::new();
    let mut path = "/v1/sessions?limit=3".to_owned();
    loop {
        let page = agent.get(&path).expect(200);
        let ids = requests(&page);
        assert!(ids.len() <= 3);
        found.extend(ids.iter().map(|one| word(&one["request_id"]).to_owned()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/v1/sessions?limit=3&after={next}");
    }
    assert_eq!(found, asked);
}

#[test]
fn a_search_that_cannot_be_read_says_so() {
    let agent = shared().agent();
    for filter in [
        "effect=everything",
        "decision=maybe",
        "since=yesterday",
        "until=2026-13-01T00:00:00Z",
        "limit=-1",
        "limit=all",
        "connection=a/b",
        "after=somewhere",
        "colour=blue",
    ] {
        agent
            .get(&format!("/v1/sessions?{filter}"))
            .problem(422, "invalid");
    }
    agent
        .get("/v1/approvals?state=sometimes")
        .problem(422, "invalid");
    agent.get("/v1/requests/nothing").problem(404, "not-found");
    let request = format!("/v1/requests/req_{}", "0".repeat(48));
    agent.get(&request).problem(404, "unknown-request");
    for wait in ["soon", "-1", "1e9", "18446744073709551616"] {
        agent
            .get(&format!("{request}?wait={wait}"))
            .problem(422, "invalid");
    }
}

#[test]
fn an_agent_reads_its_own_and_approvers_and_readers_read_all() {
    let gateway = shared();
    let agent = gateway.agent_named("observed");
    let (session, held) = story(&agent);
    let paths = [
        format!("/v1/sessions/{session}"),
        format!("/v1/sessions/{session}/events"),
        format!("/v1/sessions/{session}/export"),
    ];
    let request = format!("/v1/requests/{}", word(&held["request_id"]));
    let readers = [
        agent,
        gateway.person("dana", &["db-admins"]),
        gateway.person("audrey", &["auditors"]),
    ];
    for reader in &readers {
        for path in &paths {
            assert_eq!(reader.get(path).status, 200, "{path}");
        }
        assert_eq!(reader.get(&request).status, 202);
        let found = reader
            .get("/v1/sessions?principal=agent:observed")
            .expect(200);
        assert_eq!(requests(&found).len(), 3);
    }
    for other in [gateway.agent(), gateway.person("sam", &["sales"])] {
        for path in &paths {
            other.get(path).problem(404, "unknown-session");
        }
        other.get(&request).problem(404, "unknown-request");
        other
            .get("/v1/sessions?principal=agent:observed")
            .problem(403, "not-a-reader");
        assert!(requests(&other.get("/v1/sessions").expect(200)).is_empty());
        let approvals = other.get("/v1/approvals").expect(200);
        assert_eq!(approvals["approvals"], json!([]));
    }
}

#[test]
fn an_export_verifies_offline_and_a_changed_one_does_not() {
    let gateway = shared();
    let agent = gateway.agent();
    let (session, _) = story(&agent);
    let reply = agent.get(&format!("/v1/sessions/{session}/export"));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/jsonl"));
    assert!(
        reply
            .header("content-disposition")
            .unwrap()
            .contains(&session)
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.jsonl");
    std::fs::write(&file, &reply.body).unwrap();
    let verify =
        |file: &std::path::Path| -> Command { portcullis(&["verify", file.to_str().unwrap()]) };
    let said = verify(&file).output().unwrap();
    assert_eq!(said.code(), 0, "{}{}", said.out(), said.err());
    let changed = reply
        .text()
        .replacen("DROP TABLE orders", "DROP TABLE others", 1);
    assert_ne!(changed, reply.text());
    std::fs::write(&file, changed).unwrap();
    let said = verify(&file).output().unwrap();
    assert_ne!(said.code(), 0, "{}", said.out());
}

#[test]
fn connections_are_listed_to_those_who_may_use_them() {
    let gateway = shared();
    let names = |who: &Caller<'_>| -> Vec<String> {
        let listed = who.get("/v1/connections").expect(200);
        let listed = listed["connections"].as_array().unwrap().clone();
        listed
            .iter()
            .map(|connection| word(&connection["name"]).to_owned())
            .collect()
    };
    assert_eq!(
        names(&gateway.agent()),
        ["busy", "crm", "down", "small", "tools"]
    );
    assert!(names(&gateway.person("sam", &["sales"])).is_empty());
    let listed = gateway.agent().get("/v1/connections").expect(200);
    let crm = &listed["connections"][1];
    assert_eq!(crm["kind"], "sqlite");
    assert_eq!(crm["writable"], true);
    assert_eq!(crm["budget"]["rows"], 1000);
    assert_eq!(listed["connections"][3]["writable"], false);
}

#[test]
fn the_statement_of_another_gateways_session_is_nobodys() {
    let gateway: &Gateway = shared();
    let agent = gateway.agent();
    let elsewhere = format!("/v1/sessions/ses_{}", "ab".repeat(16));
    for path in ["", "/events", "/export"] {
        agent
            .get(&format!("{elsewhere}{path}"))
            .problem(404, "unknown-session");
    }
}
