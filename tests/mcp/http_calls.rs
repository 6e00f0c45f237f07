//! `http_request`: calls to an API, by an agent that has no other way to make them than its tools.

use serde_json::{Value, json};

use super::{Client, client, done, error, shared, with_tasks, word};
use crate::http::{
    held_answers::{decide, gateway, people},
    proxy::{KEY, SECRET, approve, house},
};

/// One call, not waited for.
#[track_caller]
fn request(agent: &Client<'_>, connection: &str, method: &str, path: &str, more: Value) -> Value {
    let mut arguments =
        json!({"connection": connection, "method": method, "path": path, "wait_seconds": 0});
    for (name, value) in more.as_object().unwrap() {
        arguments[name] = value.clone();
    }
    agent.call("http_request", &arguments)
}

/// A header field of an answer.
fn field<'v>(outcome: &'v Value, name: &str) -> Option<&'v str> {
    let fields = outcome["result"]["headers"].as_array().unwrap();
    let found = fields.iter().find(|field| field["name"] == name);
    found.map(|field| word(&field["value"]))
}

#[test]
fn an_api_is_called_with_the_connections_credential_and_its_answer_comes_back_masked() {
    let house = house();
    let agent = client(house.gateway.agent());
    let headers = json!({"headers": {"Accept": "application/json", "X-Api-Key": "of the agent", "Authorization": "Bearer x"}});
    let answer = request(&agent, "api", "get", "/people?who=by-tool", headers);
    let outcome = done(&answer);
    assert_eq!(outcome["status"], "succeeded", "{answer}");
    assert_eq!(outcome["effect"], "read");
    assert_eq!(outcome["result"]["status"], 200);
    assert_eq!(field(outcome, "etag"), Some("\"1\""));
    assert_eq!(field(outcome, "set-cookie"), None);
    let body: Value = serde_json::from_str(word(&outcome["result"]["body"])).unwrap();
    assert_eq!(body["name"], "Ada");
    let shown = answer.to_string();
    for hidden in [SECRET, KEY, "ada@example.org"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    let call = house.upstream.only("who=by-tool");
    assert_eq!(call.method(), "GET");
    let credential = format!("Bearer {KEY}");
    assert_eq!(call.header("authorization"), Some(&*credential));
    assert_eq!(call.header("accept"), Some("application/json"));
    assert_eq!(call.header("x-api-key"), None, "{call:?}");
    // It is fetched again as it was, and the API is not asked again.
    let ask = json!({"request_id": outcome["request_id"]});
    assert_eq!(done(&agent.call("get_result", &ask)), outcome);
    house.upstream.only("who=by-tool");

    let change = json!({"headers": {"Content-Type": "application/json"}, "body": "{\"n\": 1}"});
    let changed = request(&agent, "api", "POST", "/things?by=tool", change);
    assert_eq!(done(&changed)["effect"], "write", "{changed}");
    assert_eq!(house.upstream.only("/things?by=tool").text(), "{\"n\": 1}");
}

#[test]
fn an_answer_that_is_no_text_is_base64_and_one_that_is_not_whole_or_kept_back_says_so() {
    let agent = client(house().gateway.agent());
    let image = request(&agent, "api", "GET", "/image", json!({}));
    let result = &done(&image)["result"];
    assert_eq!(result["body_base64"], "iVBORw0KGgoA/w==", "{image}");
    assert_eq!(result.get("body"), None, "{image}");
    assert_eq!(result["content_type"], "image/png");

    let long = request(&agent, "api", "GET", "/long", json!({}));
    assert_eq!(done(&long)["result"]["truncated"], true);
    let said = word(&long["content"][0]["text"]);
    assert!(said.contains("not whole"), "{said}");
    assert!(done(&long)["notices"].to_string().contains("budget"));

    let missing = request(&agent, "api", "GET", "/missing", json!({}));
    assert_eq!(done(&missing)["result"]["status"], 404, "{missing}");
    assert!(!missing.to_string().contains(SECRET), "{missing}");

    let json_type =
        json!({"headers": {"Content-Type": "application/json"}, "body": "{\"stream\": true}"});
    let strict = request(&agent, "strict", "POST", "/v1/messages", json_type);
    assert_eq!(done(&strict)["result"]["withheld"], true, "{strict}");
    let said = word(&strict["content"][0]["text"]);
    assert!(
        said.contains("kept back") && said.contains("tell the person"),
        "{said}"
    );
    assert!(!strict.to_string().contains("The key"), "{strict}");
}

#[test]
fn a_call_that_needs_a_person_waits_for_one_and_runs_once() {
    let house = house();
    let agent = client(house.gateway.agent());
    let more = json!({"reason": "it hangs"});
    let held = request(&agent, "api", "DELETE", "/held-by-tool", more.clone());
    assert_eq!(done(&held)["status"], "pending_approval", "{held}");
    let said = word(&held["content"][0]["text"]);
    assert!(
        said.contains("`get_result`") && said.contains("Nothing has run"),
        "{said}"
    );
    let again = request(&agent, "api", "DELETE", "/held-by-tool", more);
    assert_eq!(done(&again)["request_id"], done(&held)["request_id"]);
    assert!(house.upstream.calls("/held-by-tool").is_empty());
    approve(word(&done(&held)["approval"]["id"]));
    let ask = json!({"request_id": done(&held)["request_id"]});
    let result = agent.call("get_result", &ask);
    assert_eq!(done(&result)["result"]["status"], 200, "{result}");
    assert!(word(&done(&result)["result"]["body"]).contains("DELETE"));
    house.upstream.only("/held-by-tool");

    let tasks = with_tasks(house.gateway.agent());
    let begun = request(&tasks, "api", "DELETE", "/held-as-a-task", json!({}));
    assert_eq!(begun["resultType"], "task", "{begun}");
    let task = || tasks.ask("tasks/get", &json!({"taskId": begun["taskId"]}));
    assert_eq!(task()["status"], "working");
    approve(&word(&begun["taskId"]).replacen("req_", "apr_", 1));
    let ended = task();
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(done(&ended["result"])["result"]["status"], 200, "{ended}");
    house.upstream.only("/held-as-a-task");
}

#[test]
fn what_is_denied_or_cannot_be_meant_reaches_no_api_and_says_what_to_do() {
    let house = house();
    let agent = client(house.gateway.agent());
    let denied = request(&agent, "only-reads", "DELETE", "/unmeant", json!({}));
    let said = error(&denied);
    assert!(
        said.contains("Denied") && said.contains("tell the person you work for"),
        "{said}"
    );
    let field = |name: &str, value: &str| json!({"headers": {name: value}});
    for (method, path, more, said) in [
        ("GET", "unmeant", json!({}), "does not begin with `/`"),
        (
            "GET",
            "https://evil.example/unmeant",
            json!({}),
            "does not begin with `/`",
        ),
        ("GET", "/../unmeant", json!({}), "no one form"),
        ("GET", "/unmeant#a", json!({}), "no one form"),
        (
            "GET / HTTP/1.1\r\nHost: evil\r\n\r\nGET",
            "/unmeant",
            json!({}),
            "not a word",
        ),
        (
            "GET",
            "/unmeant",
            json!({"body": "x"}),
            "only looks has a body",
        ),
        (
            "POST",
            "/unmeant",
            field("X-A", "1\r\nHost: evil"),
            "visible ASCII",
        ),
        ("POST", "/unmeant", field("X-A", "é"), "visible ASCII"),
        ("POST", "/unmeant", field("X A", "1"), "malformed"),
        (
            "POST",
            "/unmeant",
            json!({"headers": {"X-A": "1", "x-a": "2"}}),
            "comes twice",
        ),
        (
            "GET",
            "/unmeant",
            field("Upgrade", "websocket"),
            "another protocol",
        ),
        (
            "POST",
            "/unmeant",
            json!({"headers": {"X-A": 1}}),
            "invalid type",
        ),
        (
            "POST",
            "/unmeant",
            json!({"body": {"n": 1}}),
            "invalid type",
        ),
        (
            "GET",
            "/unmeant",
            json!({"host": "evil.example"}),
            "unknown field `host`",
        ),
    ] {
        let answer = request(&agent, "api", method, path, more);
        let told = error(&answer);
        assert!(
            told.contains("urn:portcullis:problem:") && told.contains(said),
            "{told}"
        );
    }
    // Of what another server would take instead, the worse counts.
    let method = field("X-HTTP-Method-Override", "DELETE");
    let overridden = request(&agent, "api", "POST", "/unmeant", method);
    assert!(error(&overridden).contains("destructive"), "{overridden}");
    assert!(house.upstream.calls("unmeant").is_empty());

    // Whoever takes the wrong tool is told the right one.
    let sql = agent.query("api", "SELECT 1");
    assert!(error(&sql).contains("`http_request`"), "{sql}");
    let crm = client(shared().agent());
    let call = request(&crm, "crm", "GET", "/", json!({}));
    assert!(error(&call).contains("`query`"), "{call}");
    let connections = agent.call("list_connections", &json!({}));
    let connections = done(&connections)["connections"].as_array().unwrap();
    let api = connections.iter().find(|one| one["name"] == "api").unwrap();
    assert_eq!(api["kind"], "http");
    assert!(word(&api["usage"]).contains("`http_request`"), "{api}");
    let described = agent.call("describe", &json!({"connection": "api"}));
    assert_eq!(done(&described)["relations"], json!([]));
    assert_eq!(done(&described)["usage"], api["usage"]);
}

#[test]
fn an_answer_that_people_are_asked_about_is_fetched_once_they_agree() {
    let agent = client(gateway().agent());
    let held = request(&agent, "api", "GET", "/people?asked-by-tool", json!({}));
    assert_eq!(done(&held)["status"], "pending_approval", "{held}");
    let said = word(&held["content"][0]["text"]);
    for part in [
        "The call was made",
        "privacy",
        "secrets:",
        "Do not send it again",
        "`get_result`",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let ask = json!({"request_id": done(&held)["request_id"], "wait_seconds": 0});
    let fetched = || agent.call("get_result", &ask);
    assert_eq!(done(&fetched()), done(&held));
    assert!(!held.to_string().contains("Ada"), "{held}");
    for who in people(gateway()) {
        decide(&who, word(&done(&held)["approval"]["id"]), "approve").expect(200);
    }
    let given = fetched();
    let body = word(&done(&given)["result"]["body"]);
    assert!(body.contains("Ada") && !body.contains(SECRET), "{given}");
    assert_eq!(house().upstream.calls("asked-by-tool").len(), 1);

    let refused = request(&agent, "api", "GET", "/people?refused-by-tool", json!({}));
    let [pia, _] = people(gateway());
    decide(&pia, word(&done(&refused)["approval"]["id"]), "deny").expect(200);
    let ask = json!({"request_id": done(&refused)["request_id"]});
    let answer = agent.call("get_result", &ask);
    let said = error(&answer);
    assert!(
        said.contains("The call was made") && said.contains("said no"),
        "{said}"
    );
    assert!(!said.contains("nothing was run"), "{said}");
}
