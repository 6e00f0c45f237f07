//! What the tools say of themselves, what they do, and what they refuse.

use serde_json::{Value, json};

use super::{Client, VERSION, client, done, error, http, shared, word};
use crate::support::gateway::{Gateway, POLICY, folder};

#[test]
fn the_list_of_tools_is_always_the_same_and_says_what_each_does() {
    let agent = client(shared().agent());
    let list = agent.ask("tools/list", &json!({}));
    assert_eq!(list["cacheScope"], "private");
    assert!(list["ttlMs"].is_u64(), "{list}");
    let other = client(shared().person("hana", &["staff"]));
    assert_eq!(other.ask("tools/list", &json!({})), list);
    let tools = list["tools"].as_array().unwrap();
    let told: Vec<_> = tools
        .iter()
        .map(|tool| {
            let mut tool = tool.clone();
            // The shape of an outcome is the API's, and its document has it.
            let output = tool
                .as_object_mut()
                .unwrap()
                .remove("outputSchema")
                .unwrap();
            assert_eq!(output["type"], "object", "{output}");
            tool
        })
        .collect();
    insta::assert_json_snapshot!("tools", told);
}

#[test]
fn the_server_says_who_it_is_and_which_versions_it_speaks() {
    let agent = client(shared().agent());
    let found = agent.ask("server/discover", &json!({}));
    assert_eq!(
        found["supportedVersions"],
        json!(["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"])
    );
    assert_eq!(
        found["capabilities"],
        json!({"tools": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}})
    );
    let server = &found["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(server["name"], "portcullis");
    assert_eq!(server["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn what_is_not_offered_is_not_there() {
    let agent = client(shared().agent());
    for method in [
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "completion/complete",
        "tasks/list",
        "tasks/result",
        "logging/setLevel",
        "subscriptions/listen",
        "no/such",
    ] {
        let mut params = json!({});
        if method == "completion/complete" {
            params = json!({"ref": {"type": "ref/prompt", "name": "x"}, "argument": {"name": "a", "value": "b"}});
        }
        if method == "subscriptions/listen" {
            params = json!({"notifications": {"toolsListChanged": true}});
        }
        if method == "logging/setLevel" {
            params = json!({"level": "debug"});
        }
        let reply = agent.send(&agent.request(method, &params, &[]));
        assert_eq!(reply.expect(404)["error"]["code"], -32601, "{method}");
    }
    let unknown = agent.call("run_anything", &json!({}));
    assert_eq!(unknown["code"], -32602, "{unknown}");
}

#[test]
fn a_client_of_any_version_that_is_spoken_is_served() {
    let agent = client(shared().agent());
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let legacy = |method: &str, params: Value| {
            let bearer = format!("Bearer {}", agent.caller.token);
            let headers = [
                ("Authorization", bearer.as_str()),
                ("Content-Type", "application/json"),
                ("Accept", "application/json, text/event-stream"),
                ("MCP-Protocol-Version", version),
            ];
            let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
            let body = body.to_string();
            let reply = http::call(shared().port, "POST", "/mcp", &headers, body.as_bytes());
            reply.expect(200)["result"].clone()
        };
        let me = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}});
        let begun = legacy("initialize", me);
        assert_eq!(begun["protocolVersion"], version);
        assert_eq!(begun["serverInfo"]["name"], "portcullis");
        let call =
            json!({"name": "query", "arguments": {"connection": "crm", "sql": "SELECT 1 AS one"}});
        let answer = legacy("tools/call", call);
        assert_eq!(done(&answer)["result"]["rows"], json!([[1]]), "{version}");
        // What only the newest version has is not sent to who speaks another.
        assert_eq!(answer.get("resultType"), None);
    }
    let unsupported = agent.request("tools/list", &json!({}), &[]);
    let unsupported = String::from_utf8(unsupported)
        .unwrap()
        .replace(VERSION, "2099-01-01");
    let reply = agent.send(unsupported.as_bytes()).expect(400);
    assert_eq!(reply["error"]["code"], -32022, "{reply}");
}

#[test]
fn connections_are_those_the_caller_may_use() {
    let names = |client: &Client<'_>| {
        let answer = client.call("list_connections", &json!({}));
        let connections = done(&answer)["connections"].as_array().unwrap().clone();
        let names = connections
            .iter()
            .map(|connection| word(&connection["name"]).to_owned());
        names.collect::<Vec<_>>()
    };
    let agent = client(shared().agent());
    assert_eq!(names(&agent), ["busy", "crm", "down", "small", "tools"]);
    assert!(names(&client(shared().person("hana", &["staff"]))).is_empty());
}

#[test]
fn a_description_marks_what_is_masked_also_behind_a_view() {
    let data = folder(POLICY);
    let views = "CREATE VIEW contacts AS SELECT id, email AS reach, length(email) AS size, note FROM customers";
    let database = rusqlite::Connection::open(data.join("shop.db")).unwrap();
    database.execute_batch(views).unwrap();
    let gateway = Gateway::dev_in(data, &[]);
    let agent = client(gateway.agent());
    let ask = json!({"connection": "crm", "relations": ["Contacts", "main.customers", "nothing"]});
    let answer = agent.call("describe", &ask);
    let described = done(&answer);
    assert_eq!(described["kind"], "sqlite");
    assert_eq!(described["search_path"], json!(["main"]));
    let marks = |relation: &Value| {
        let columns = relation["columns"].as_array().unwrap().iter();
        let marks =
            columns.map(|column| (word(&column["name"]).to_owned(), column["masked"].clone()));
        (
            word(&relation["name"]).to_owned(),
            marks.collect::<Vec<_>>(),
        )
    };
    let plain = |name: &str| (name.to_owned(), Value::Null);
    let masked = |name: &str| (name.to_owned(), json!("column"));
    let relations: Vec<_> = described["relations"]
        .as_array()
        .unwrap()
        .iter()
        .map(marks)
        .collect();
    assert_eq!(
        relations,
        [
            (
                "contacts".to_owned(),
                vec![plain("id"), masked("reach"), masked("size"), plain("note")]
            ),
            (
                "customers".to_owned(),
                vec![plain("id"), masked("email"), plain("note")]
            ),
        ]
    );
    // What it says of the view is what reading the view does.
    let read = agent.query("crm", "SELECT * FROM contacts LIMIT 1");
    let columns = done(&read)["result"]["columns"].as_array().unwrap().clone();
    let read: Vec<_> = columns
        .iter()
        .map(|column| column["masked"].clone())
        .collect();
    assert_eq!(
        read,
        [Value::Null, json!("column"), json!("column"), Value::Null]
    );

    // What was told is on record.
    let session = word(&described["session_id"]);
    let events = agent
        .caller
        .get(&format!("/v1/sessions/{session}/events"))
        .expect(200);
    let told =
        json!({"connection": "crm", "relations": ["main.contacts", "main.customers"], "others": 0});
    assert_eq!(
        events["events"][1]["type"], "connection.described",
        "{events}"
    );
    assert_eq!(events["events"][1]["data"], told, "{events}");

    let all = agent.call("describe", &json!({"connection": "crm"}));
    assert_eq!(
        done(&all)["relations"].as_array().unwrap().len(),
        6,
        "{all}"
    );
    for hidden in ["private", "nowhere"] {
        let refused = agent.call("describe", &json!({"connection": hidden}));
        assert!(error(&refused).contains("unknown-connection"), "{refused}");
    }
    let down = agent.call("describe", &json!({"connection": "down"}));
    assert!(error(&down).contains("cannot be reached"), "{down}");
}

#[test]
fn a_query_that_is_not_proven_to_read_is_refused_on_record_and_execute_is_named() {
    let gateway = shared();
    let (row, agent) = (gateway.row(), client(gateway.agent()));
    // Policy allows this very change: it is the way in that does not.
    let change = format!("UPDATE orders SET note = 'after' WHERE id = {row}");
    let refused = agent.query("crm", &change);
    assert!(
        error(&refused).contains("use the tool `execute`"),
        "{refused}"
    );
    let outcome = &refused["structuredContent"];
    assert_eq!(outcome["status"], "denied");
    assert_eq!(outcome["effect"], "write");
    assert_eq!(gateway.note("orders", row).as_deref(), Some("before"));
    let on_record = agent.caller.request(outcome).expect(403);
    assert_eq!(on_record["status"], "denied");

    let executed = agent.execute(&change);
    assert_eq!(done(&executed)["result"]["affected"], 1, "{executed}");
    assert_eq!(gateway.note("orders", row).as_deref(), Some("after"));

    for doubtful in [
        "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
        "SELECT load_extension('x')",
        "DROP TABLE orders",
        "SELECT 1; DELETE FROM orders",
        "SELEC 1",
    ] {
        let refused = agent.query("crm", doubtful);
        error(&refused);
        let outcome = &refused["structuredContent"];
        assert_eq!(outcome["status"], "denied", "{doubtful}: {refused}");
        assert_ne!(outcome["effect"], "read", "{doubtful}");
    }
}

#[test]
fn what_comes_back_is_masked_and_exact() {
    let gateway = shared();
    let (row, agent) = (gateway.row(), client(gateway.agent()));
    let answer = agent.query(
        "crm",
        &format!("SELECT id, email FROM customers WHERE id = {row}"),
    );
    let outcome = done(&answer);
    assert_eq!(outcome["result"]["columns"][1]["masked"], "column");
    let shown = answer.to_string();
    assert!(
        !shown.contains(&format!("person{row}@example.org")),
        "{shown}"
    );

    // A number that clients would round comes as text in the structure, and as it is in the text.
    let arguments =
        json!({"connection": "crm", "sql": "SELECT ?1 AS n, 0.5 AS half", "params": ["$"]});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "query", "arguments": arguments,
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }});
    let body = body.to_string().replace("\"$\"", "9007199254740993");
    let request = agent.raw("tools/call", &json!({"name": "query"}), &body, &[]);
    let answer = agent.send(&request).expect(200)["result"].clone();
    assert_eq!(
        done(&answer)["result"]["rows"],
        json!([["9007199254740993", 0.5]])
    );
    let text = word(&answer["content"][0]["text"]);
    assert!(text.contains("[[9007199254740993,0.5]]"), "{text}");
}

#[test]
fn a_command_runs_without_a_shell_and_what_it_prints_is_masked() {
    let agent = client(shared().agent());
    let ask = |argv: &[&str]| json!({"connection": "tools", "argv": argv, "wait_seconds": 0});
    let read = agent.call("run_command", &ask(&["cat", "notes/plan.txt"]));
    let printed = word(&done(&read)["result"]["stdout"]);
    assert!(printed.starts_with("ring "), "{read}");
    assert!(!read.to_string().contains("ada@example.org"), "{read}");
    let held = agent.call("run_command", &ask(&["sh", "-c", "touch left"]));
    assert_eq!(done(&held)["status"], "pending_approval", "{held}");
    let again = agent.call("run_command", &ask(&["sh", "-c", "touch left"]));
    assert_eq!(done(&again)["request_id"], done(&held)["request_id"]);
    let elsewhere = agent.query("tools", "SELECT 1");
    assert!(error(&elsewhere).contains("`run_command`"), "{elsewhere}");
    let described = agent.call("describe", &json!({"connection": "tools"}));
    assert_eq!(done(&described)["relations"], json!([]));
}

#[test]
fn what_policy_denies_is_an_error_that_says_why_and_names_no_way_around() {
    let agent = client(shared().agent());
    let denied = agent.execute("DELETE FROM orders");
    let said = error(&denied);
    assert!(
        said.contains("Say which rows: add a WHERE clause."),
        "{said}"
    );
    assert!(said.contains("tell the person you work for"), "{said}");
    assert_eq!(
        denied["structuredContent"]["decision"]["rule"],
        "no-unbounded-writes"
    );
    let failed = agent.query("crm", "SELECT nothing FROM orders");
    assert_eq!(failed["structuredContent"]["status"], "failed", "{failed}");
    assert!(error(&failed).contains("correct it"), "{failed}");
}

#[test]
fn arguments_that_cannot_be_meant_are_told_to_the_model() {
    let agent = client(shared().agent());
    for (tool, arguments, said) in [
        ("query", json!({"connection": "crm"}), "missing field `sql`"),
        (
            "query",
            json!({"connection": "crm", "sql": "SELECT 1", "force": true}),
            "unknown field `force`",
        ),
        (
            "query",
            json!({"connection": "CRM!", "sql": "SELECT 1"}),
            "cannot name a connection",
        ),
        (
            "query",
            json!({"connection": "crm", "sql": "SELECT 1", "max_rows": 0}),
            "ask for at least one row",
        ),
        (
            "query",
            json!({"connection": "nowhere", "sql": "SELECT 1"}),
            "list the connections",
        ),
        (
            "list_connections",
            json!({"all": true}),
            "unknown field `all`",
        ),
        (
            "get_result",
            json!({"request_id": "req_1"}),
            "is no request id",
        ),
        (
            "get_result",
            json!({"request_id": format!("req_{}", "0".repeat(48))}),
            "there is no request",
        ),
    ] {
        let answer = agent.call(tool, &arguments);
        let told = error(&answer);
        assert!(
            told.contains("urn:portcullis:problem:") && told.contains(said),
            "{told}"
        );
    }
    let params = json!({"name": "query"});
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query","arguments":{"connection":"crm","sql":"SELECT 1"},"arguments":{"connection":"crm","sql":"SELECT 2"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let twice = agent
        .send(&agent.raw("tools/call", &params, twice, &[]))
        .json();
    assert!(
        twice["result"]["isError"] == true || twice["error"].is_object(),
        "{twice}"
    );
    assert!(!twice.to_string().contains("succeeded"), "{twice}");
}

#[test]
fn the_budget_of_a_connection_holds_at_this_door_too() {
    let agent = client(shared().agent());
    let limited = (0..6)
        .map(|_| agent.query("busy", "SELECT 1"))
        .find(|answer| answer["isError"] == true);
    let limited = limited.expect("a limit");
    assert!(error(&limited).contains("over-budget"), "{limited}");
}

#[test]
fn calls_go_into_the_session_that_is_named_with_the_trace_that_is_carried() {
    let agent = client(shared().agent());
    let first = agent.query("crm", "SELECT 1");
    let session = word(&done(&first)["session_id"]).to_owned();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let params = json!({
        "name": "query",
        "arguments": {"connection": "crm", "sql": "SELECT 2"},
        "_meta": {"traceparent": trace},
    });
    let headers = [("Portcullis-Session", session.as_str())];
    let second = agent
        .send(&agent.request("tools/call", &params, &headers))
        .expect(200);
    assert_eq!(done(&second["result"])["session_id"], session.as_str());
    let events = agent
        .caller
        .get(&format!("/v1/sessions/{session}/events"))
        .expect(200);
    assert!(events.to_string().contains(trace), "{events}");

    let other = client(shared().agent());
    let params = json!({"name": "query", "arguments": {"connection": "crm", "sql": "SELECT 3"}});
    let foreign = other
        .send(&other.request("tools/call", &params, &headers))
        .expect(200);
    assert!(
        error(&foreign["result"]).contains("foreign-session"),
        "{foreign}"
    );
}
