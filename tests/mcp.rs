//! The MCP door from outside: the built binary, spoken to as clients do, and by clients that are not ours.

mod auth;
mod fixture;
mod http_calls;
mod peers;
mod tools;
mod waiting;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    gateway::{Caller, Gateway, shared, word},
    http::{self, Reply},
};

const VERSION: &str = "2026-07-28";
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A client of protocol 2026-07-28 with a token.
pub(crate) struct Client<'a> {
    caller: Caller<'a>,
    /// What it says it can do.
    capabilities: Value,
}

/// A client that can do nothing in particular.
fn client(caller: Caller<'_>) -> Client<'_> {
    Client {
        caller,
        capabilities: json!({}),
    }
}

/// A client that knows tasks.
fn with_tasks(caller: Caller<'_>) -> Client<'_> {
    Client {
        caller,
        capabilities: json!({"extensions": {TASKS: {}}}),
    }
}

impl Client<'_> {
    /// The bytes of one request.
    fn request(&self, method: &str, params: &Value, more: &[(&str, &str)]) -> Vec<u8> {
        let mut params = params.clone();
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(VERSION);
        params["_meta"]["io.modelcontextprotocol/clientInfo"] =
            json!({"name": "test", "version": "1"});
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.raw(method, &params, &body.to_string(), more)
    }

    fn raw(&self, method: &str, params: &Value, body: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let bearer = format!("Bearer {}", self.caller.token);
        let name = params["name"].as_str().or(params["taskId"].as_str());
        let mut headers = vec![
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", VERSION),
            ("Mcp-Method", method),
        ];
        headers.extend(name.map(|name| ("Mcp-Name", name)));
        headers.extend(more);
        http::request("POST", "/mcp", &headers, body.as_bytes())
    }

    #[track_caller]
    fn send(&self, request: &[u8]) -> Reply {
        let patience = Duration::from_secs(70);
        http::raw(self.caller.gateway.port, request, patience).expect("an answer")
    }

    /// What a method answers: its result, or its error.
    #[track_caller]
    fn ask(&self, method: &str, params: &Value) -> Value {
        let answer = self.send(&self.request(method, params, &[])).json();
        match answer.get("result") {
            Some(result) => result.clone(),
            None => answer["error"].clone(),
        }
    }

    /// What a tool answers.
    #[track_caller]
    fn call(&self, tool: &str, arguments: &Value) -> Value {
        self.ask("tools/call", &json!({"name": tool, "arguments": arguments}))
    }

    /// One statement of a read, and its outcome.
    #[track_caller]
    fn query(&self, connection: &str, sql: &str) -> Value {
        self.call("query", &json!({"connection": connection, "sql": sql}))
    }

    /// One statement of a change, not waited for.
    #[track_caller]
    fn execute(&self, sql: &str) -> Value {
        let arguments = json!({"connection": "crm", "sql": sql, "wait_seconds": 0});
        self.call("execute", &arguments)
    }
}

/// The structure of a result that is no error.
#[track_caller]
fn done(result: &Value) -> &Value {
    assert_eq!(result["isError"], false, "{result}");
    &result["structuredContent"]
}

/// The first text of a result that is an error.
#[track_caller]
fn error(result: &Value) -> &str {
    assert_eq!(result["isError"], true, "{result}");
    word(&result["content"][0]["text"])
}

fn dana(gateway: &Gateway) -> Caller<'_> {
    gateway.person("dana", &["db-admins"])
}
