//! Waiting for a person: with tasks and without, across processes, and what becomes of it when the client leaves.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Client, client, dana, done, error, shared, with_tasks, word};
use crate::support::gateway::{Caller, Gateway, POLICY};

fn task(client: &Client<'_>, id: &Value) -> Value {
    client.ask("tasks/get", &json!({"taskId": id}))
}

#[test]
fn what_waits_for_a_person_is_told_with_what_to_do_and_its_result_is_fetched() {
    let gateway = shared();
    let (row, agent) = (gateway.row(), client(gateway.agent()));
    let sql = format!("DELETE FROM customers WHERE id = {row}");
    let answer = agent.execute(&sql);
    let held = done(&answer).clone();
    assert_eq!(held["status"], "pending_approval", "{answer}");
    let said = word(&answer["content"][0]["text"]);
    assert!(
        said.contains("`get_result`") && said.contains("dba"),
        "{said}"
    );

    // The same again is the same request; another row, or another agent, is another.
    assert_eq!(done(&agent.execute(&sql))["request_id"], held["request_id"]);
    let other = client(gateway.agent());
    assert_ne!(done(&other.execute(&sql))["request_id"], held["request_id"]);
    let elsewhere = format!("DELETE FROM customers WHERE id = {}", gateway.row());
    assert_ne!(
        done(&agent.execute(&elsewhere))["request_id"],
        held["request_id"]
    );

    let ask = json!({"request_id": held["request_id"], "wait_seconds": 0});
    assert_eq!(
        done(&agent.call("get_result", &ask))["status"],
        "pending_approval"
    );
    let foreign = client(gateway.agent()).call("get_result", &ask);
    assert!(error(&foreign).contains("there is no request"), "{foreign}");
    assert!(gateway.note("customers", row).is_some());

    // Whoever waits hears of it at once.
    let waiting = json!({"request_id": held["request_id"]});
    let result = thread::scope(|scope| {
        let waiting = scope.spawn(|| agent.call("get_result", &waiting));
        dana(gateway).decide(&held, "approve").expect(200);
        waiting.join().unwrap()
    });
    assert_eq!(done(&result)["status"], "succeeded", "{result}");
    assert_eq!(done(&result)["result"]["affected"], 1);
    assert!(gateway.note("customers", row).is_none());
}

#[test]
fn a_call_holds_until_the_person_has_answered() {
    let gateway = shared();
    let (row, agent) = (gateway.row(), client(gateway.agent()));
    let sql = format!("DELETE FROM customers WHERE id = {row}");
    let arguments = json!({"connection": "crm", "sql": sql, "reason": "asked to be forgotten"});
    let refused = thread::scope(|scope| {
        let held = scope.spawn(|| agent.call("execute", &arguments));
        let began = Instant::now();
        let pending = loop {
            // Joins the one that is held, and finds it as the approver does.
            let found = dana(gateway).get("/v1/approvals").expect(200);
            let approvals = found["approvals"].as_array().unwrap();
            let mine = approvals
                .iter()
                .find(|approval| approval["statement"] == sql.as_str());
            if let Some(mine) = mine {
                break mine.clone();
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{found}");
            thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(pending["reason"], "asked to be forgotten");
        let id = word(&pending["id"]);
        let no = json!({"decision": "deny", "digest": pending["digest"], "comment": "keep it"});
        dana(gateway)
            .post(&format!("/v1/approvals/{id}/decision"), &no)
            .expect(200);
        held.join().unwrap()
    });
    assert_eq!(
        refused["structuredContent"]["status"], "approval_denied",
        "{refused}"
    );
    assert!(error(&refused).contains("keep it"), "{refused}");
    assert!(gateway.note("customers", row).is_some());
}

#[test]
fn who_knows_tasks_gets_one_that_works_until_the_person_has_answered() {
    let gateway = shared();
    let (row, agent) = (gateway.row(), with_tasks(gateway.agent()));
    let sql = format!("DELETE FROM customers WHERE id = {row}");
    let begun = agent.execute(&sql);
    assert_eq!(begun["resultType"], "task", "{begun}");
    assert_eq!(begun["status"], "working");
    assert!(
        word(&begun["statusMessage"]).contains("Waiting for approval by dba"),
        "{begun}"
    );
    assert!(
        begun["pollIntervalMs"].is_u64() && begun["ttlMs"].is_null(),
        "{begun}"
    );
    let id = &begun["taskId"];
    assert_eq!(task(&agent, id)["status"], "working");
    // A read that needs nobody is no task.
    assert_eq!(agent.query("crm", "SELECT 1")["resultType"], "complete");

    // Somebody else has no such task, nobody can answer in the approver's place, and a question that was asked stands.
    let foreign = with_tasks(gateway.agent());
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        let params = json!({"taskId": id, "inputResponses": {}});
        let refused = foreign.ask(method, &params);
        assert_eq!(refused["code"], -32602, "{refused}");
    }
    let answers = json!({"taskId": id, "inputResponses": {"approve": {"action": "accept", "content": {"approve": true}}}});
    agent.ask("tasks/update", &answers);
    agent.ask("tasks/cancel", &json!({"taskId": id}));
    assert_eq!(task(&agent, id)["status"], "working");
    assert!(gateway.note("customers", row).is_some());
    // Who does not say that it knows tasks has none, neither as an answer nor by name.
    let plain = Client {
        caller: gateway.bearer(&agent.caller.token),
        capabilities: json!({}),
    };
    assert_eq!(task(&plain, id)["code"], -32021);
    let held = plain.execute(&sql);
    assert_eq!(done(&held)["request_id"], *id, "{held}");

    dana(gateway).decide(done(&held), "approve").expect(200);
    let ended = task(&agent, id);
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(done(&ended["result"])["result"]["affected"], 1);
    assert!(gateway.note("customers", row).is_none());
}

#[test]
fn a_task_is_known_to_the_next_process_with_the_record() {
    let gateway = Gateway::dev(POLICY);
    let row = gateway.row();
    let sql = format!("DELETE FROM customers WHERE id = {row}");
    let begun = with_tasks(gateway.agent_named("patient")).execute(&sql);
    let id = &begun["taskId"];
    gateway.signal("KILL");
    gateway.ended();
    let again = gateway.again();
    let agent = with_tasks(again.agent_named("patient"));
    assert_eq!(task(&agent, id)["status"], "working");
    let held = agent.caller.request(&json!({"request_id": id})).expect(202);
    dana(&again).decide(&held, "approve").expect(200);
    let ended = task(&agent, id);
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(done(&ended["result"])["result"]["affected"], 1);
    assert!(again.note("customers", row).is_none());
}

/// Sends a call and leaves after `patience` without waiting for the answer.
fn leave(client: &Client<'_>, tool: &str, sql: &str, patience: Duration) {
    let arguments = json!({"connection": "crm", "sql": sql});
    let params = json!({"name": tool, "arguments": arguments});
    let mut stream = TcpStream::connect(("127.0.0.1", client.caller.gateway.port)).unwrap();
    stream
        .write_all(&client.request("tools/call", &params, &[]))
        .unwrap();
    thread::sleep(patience);
    stream.shutdown(Shutdown::Both).unwrap();
}

/// The only request of this caller, once it is in one of these states.
#[track_caller]
fn only_request(caller: &Caller<'_>, ends: &str) -> Value {
    let began = Instant::now();
    loop {
        let found = caller.get("/v1/sessions").expect(200);
        let request = found["sessions"][0]["requests"][0].clone();
        if request["status"] == ends {
            return request;
        }
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "not {ends}: {found}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_that_leaves_cancels_its_read_and_no_execution() {
    let gateway = shared();
    let reader = client(gateway.agent());
    let endless =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    leave(&reader, "query", endless, Duration::from_millis(400));
    // Long before its budget of ten seconds ends it.
    let request = only_request(&reader.caller, "failed");
    let session = word(&request["request_id"]).replace("req_", "ses_");
    let session = &session[..36];
    let view = reader
        .caller
        .get(&format!("/v1/sessions/{session}"))
        .expect(200);
    assert_eq!(
        view["requests"][0]["error"]["failure"], "cancelled",
        "{view}"
    );

    // Held up by a writer beside it while its client leaves.
    let (row, writer) = (gateway.row(), client(gateway.agent()));
    let database = gateway.database();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sql = format!("UPDATE orders SET note = 'after' WHERE id = {row}");
    leave(&writer, "execute", &sql, Duration::from_millis(400));
    thread::sleep(Duration::from_millis(100));
    database.execute_batch("COMMIT").unwrap();
    only_request(&writer.caller, "succeeded");
    assert_eq!(gateway.note("orders", row).as_deref(), Some("after"));
}
