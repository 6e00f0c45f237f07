//! HTTP APIs behind a connection. The APIs are stand-ins: small servers of the tests that speak their shapes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Mutex, OnceLock,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{Caller, Gateway, http, word};
use crate::support::{
    gateway::folder,
    http::Reply,
    upstream::{Answering, Call, Upstream},
};

/// What the connection sends, and no caller ever sees.
pub(crate) const KEY: &str = "upstream-credential-4711";
/// A value every detector knows.
pub(crate) const SECRET: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
const PATIENCE: Duration = Duration::from_secs(20);

const POLICY: &str = r#"
version: 1
approvers:
  dba: { groups: [db-admins] }
  hasty: { groups: [db-admins], expires_in: 1s }
connections:
  api: { kind: http, api: generic, READ, WRITE, allow: { groups: [ai-agents] }, budget: { requests_per_minute: 100000, bytes: 1MiB, timeout: 5s } }
  below: { kind: http, api: generic, read: { url: "http://127.0.0.1:{PORT}/base/v1" }, allow: { groups: [ai-agents] } }
  cluster: { kind: http, api: kubernetes, READ, WRITE, allow: { groups: [ai-agents] }, budget: { requests_per_minute: 100000 } }
  arm: { kind: http, api: azure, READ, WRITE, allow: { groups: [ai-agents] } }
  vault: { kind: http, api: key_vault, READ, WRITE, allow: { groups: [ai-agents] } }
  blobs: { kind: http, api: storage, READ, WRITE, allow: { groups: [ai-agents] } }
  cosmos: { kind: http, api: cosmos, READ, WRITE, allow: { groups: [ai-agents] } }
  graphql: { kind: http, api: graphql, READ, WRITE, allow: { groups: [ai-agents] } }
  model: { kind: http, api: model, READ, WRITE, allow: { groups: [ai-agents] }, budget: { requests_per_minute: 100000 } }
  strict: { kind: http, api: model, on_finding: deny, READ, WRITE, allow: { groups: [ai-agents] } }
  hasty: { kind: http, api: generic, READ, WRITE, allow: { groups: [ai-agents] } }
  only-reads: { kind: http, api: generic, READ, allow: { groups: [ai-agents] } }
  down: { kind: http, api: kubernetes, read: { url: "http://127.0.0.1:1" }, allow: { groups: [ai-agents] } }
  neighbour: { kind: http, api: generic, read: { url: "https://{NEIGHBOUR}" }, allow: { groups: [ai-agents] } }
rules:
  - { name: reads, when: { effect: read }, then: allow }
  - { name: small-writes, connections: [api, below, only-reads], when: { effect: write }, then: allow }
  - { name: inference, connections: [model, strict], when: { effect: unknown }, then: allow }
  - { name: removals, connections: [api, cluster, arm, vault, blobs, cosmos, graphql, model], when: { effect: [destructive, secret] }, then: { require_approval: dba } }
  - { name: hasty-removals, connections: [hasty], when: { effect: destructive }, then: { require_approval: hasty } }
  - { name: changes, connections: [cluster, arm, blobs, cosmos, graphql, vault], when: { effect: [write] }, then: { require_approval: dba } }
"#;

pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Upstream,
}

/// The gateway and the API that these tests share: each uses paths of its own.
pub(crate) fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(|| {
        let upstream = Upstream::start(answer);
        let credential = format!(
            "url: \"http://127.0.0.1:{}\", headers: {{ authorization: \"Bearer ${{secret:API_KEY}}\" }}",
            upstream.port
        );
        let policy = POLICY
            .replace("READ", &format!("read: {{ {credential} }}"))
            .replace("WRITE", &format!("write: {{ {credential} }}"))
            .replace("{NEIGHBOUR}", "localhost.localdomain")
            .replace("{PORT}", &upstream.port.to_string());
        let key = format!("API_KEY={KEY}");
        House {
            gateway: Gateway::dev_in(folder(&policy), &["/usr/bin/env", &key]),
            upstream,
        }
    })
}

/// What a test holds back, by the path of the call.
fn held() -> &'static Mutex<Vec<(String, Receiver<()>)>> {
    static HELD: Mutex<Vec<(String, Receiver<()>)>> = Mutex::new(Vec::new());
    &HELD
}

/// The API holds back the second half of its answer to `path` until something is sent.
fn hold(path: &str) -> Sender<()> {
    let (sender, receiver) = channel();
    held().lock().unwrap().push((path.into(), receiver));
    sender
}

fn wait_for(path: &str) {
    let found = {
        let mut held = held().lock().unwrap();
        let index = held.iter().position(|(held, _)| held == path);
        index.map(|index| held.remove(index).1)
    };
    if let Some(receiver) = found {
        let _ = receiver.recv_timeout(PATIENCE);
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The stand-in's answers.
fn answer(call: &Call, back: &mut Answering) {
    let path = call.target().split('?').next().unwrap();
    let elsewhere = "https://evil.example/stolen";
    match path {
        "/people" => back.answer(
            200,
            &[
                ("Content-Type", "application/json"),
                ("X-Token", SECRET),
                ("Set-Cookie", "session=abc"),
                ("ETag", "\"1\""),
            ],
            format!(r#"{{"name": "Ada", "email": "ada@example.org", "key": "{SECRET}"}}"#).as_bytes(),
        ),
        "/seen" => {
            // Nothing about it says what it is.
            let encoded = BASE64.encode(format!("you sent {KEY}!"));
            let told = format!("you sent {KEY} to us, or {encoded} in short");
            back.answer(200, &[("X-Seen", KEY), ("Content-Type", "text/plain")], told.as_bytes());
        }
        "/gzip" => back.answer(
            200,
            &[("Content-Encoding", "gzip"), ("Content-Type", "text/plain")],
            &gzip(&format!("my key is {SECRET}\n")),
        ),
        "/brotli" => back.answer(200, &[("Content-Encoding", "br")], b"\x0b\x02\x80text\x03"),
        "/image" => back.answer(200, &[("Content-Type", "image/png")], b"\x89PNG\r\n\x1a\n\0\xff"),
        "/long-people" => back.answer(200, &[], format!("{SECRET} {}", "x y ".repeat(25_000)).as_bytes()),
        "/zip" => back.answer(200, &[], b"PK\x03\x04 whatever is in it"),
        "/moved/near" => back.answer(302, &[("Location", "/people?x=1")], b""),
        "/moved/away" => back.answer(302, &[("Location", elsewhere)], b"gone"),
        "/moved/own" => back.answer(
            307,
            &[("Location", &format!("http://{}/people", call.header("host").unwrap()))],
            b"",
        ),
        "/base/v1/out" => back.answer(302, &[("Location", "/base/v2/x")], b""),
        "/base/v1/in" => back.answer(302, &[("Location", "x/y")], b""),
        "/created" => back.answer(201, &[("Location", elsewhere)], b"made"),
        "/nothing" => back.answer(204, &[], b""),
        "/missing" => back.json(404, &json!({"message": format!("no {SECRET}")})),
        "/long" => back.answer(200, &[("Content-Type", "text/plain")], &b"abc def\n".repeat(400_000)),
        "/half" => {
            back.begin(200, "text/plain");
            back.chunk(b"the first half\n");
        }
        "/stream" | "/v1/chat/completions" | "/v1/messages" if !call.text().contains("whole") => {
            back.begin(200, "text/event-stream");
            for piece in ["The key ", "is ghp_16C7e42F29", "2c6912E7710c8383", "47Ae178B4a, keep", " it.\\n"] {
                let event = match path {
                    "/v1/messages" => format!("event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{piece}\"}}}}\n\n"),
                    _ => format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{piece}\"}}}}]}}\n\n"),
                };
                back.chunk(event.as_bytes());
                if piece == "The key " {
                    wait_for(path);
                }
            }
            back.chunk(b"data: [DONE]\n\n");
            back.end();
        }
        "/endless" => {
            back.begin(200, "text/plain");
            while back.chunk(b"on and on\n") {
                std::thread::sleep(Duration::from_millis(5));
            }
            left().lock().unwrap().push(path.into());
        }
        "/slow-change" => {
            wait_for(path);
            back.json(200, &json!({"changed": true}));
        }
        // The cluster's: what `kubectl` asks before it asks for anything.
        "/api" => back.json(200, &json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => back.json(200, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
        "/api/v1" => back.json(
            200,
            &json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [{
                "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "shortNames": ["po"],
                "verbs": ["get", "list", "delete", "create"],
            }]}),
        ),
        "/api/v1/namespaces/default/pods" => back.json(
            200,
            &json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod()]}),
        ),
        "/api/v1/namespaces/default/pods/web-0" => back.json(200, &pod()),
        "/v1/chat/completions" => back.json(
            200,
            &json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "plain"}}]}),
        ),
        _ => back.json(200, &json!({"path": call.target(), "method": call.method()})),
    }
}

fn pod() -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web-0", "namespace": "default"}, "spec": {
        "containers": [{"name": "web", "image": "web"}],
    }})
}

/// Paths whose caller was seen to leave.
fn left() -> &'static Mutex<Vec<String>> {
    static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    &LEFT
}

/// One call, and all of its answer; chunks joined.
pub(super) fn send(
    caller: &Caller<'_>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let bearer = format!("Bearer {}", caller.token);
    let headers = [&[("Authorization", bearer.as_str())], headers].concat();
    let path = format!("/v1/connections/{path}");
    let mut reply = http::call(caller.gateway.port, method, &path, &headers, body);
    if reply.header("transfer-encoding") == Some("chunked") {
        reply.body = joined(&reply.body).expect("an answer that ends");
    }
    reply
}

fn get(path: &str) -> Reply {
    send(&house().gateway.agent(), "GET", path, &[], b"")
}

/// The content of chunks; `None`: they do not end.
fn joined(mut chunked: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let end = chunked.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&chunked[..end]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(out);
        }
        out.extend_from_slice(chunked.get(end + 2..end + 2 + length)?);
        chunked = chunked.get(end + 4 + length..)?;
    }
}

/// The events on record of the request that a reply names.
pub(super) fn events(caller: &Caller<'_>, reply: &Reply) -> Vec<Value> {
    let session = reply.header("portcullis-session").expect("a session");
    let events = caller
        .get(&format!("/v1/sessions/{session}/events"))
        .expect(200);
    events["events"].as_array().unwrap().clone()
}

pub(super) fn of_type<'e>(events: &'e [Value], kind: &str) -> &'e Value {
    let found = events.iter().find(|event| event["type"] == kind);
    &found.unwrap_or_else(|| panic!("no {kind}: {events:?}"))["data"]
}

#[test]
fn a_call_goes_through_with_the_connections_credential_and_comes_back_masked() {
    let (house, agent) = (house(), house().gateway.agent());
    let sent = [
        ("Accept", "application/json"),
        ("X-Api-Key", "of the caller"),
        ("Cookie", "of=the-caller"),
        ("X-Forwarded-Host", "elsewhere"),
        ("If-None-Match", "\"0\""),
    ];
    let reply = send(&agent, "GET", "api/http/people?who=one", &sent, b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("etag"), Some("\"1\""));
    assert_eq!(reply.header("set-cookie"), None);
    let all = format!("{reply:?}{}", reply.text());
    assert!(
        !all.contains(SECRET) && !all.contains("ada@example.org") && !all.contains(KEY),
        "{all}"
    );
    assert_eq!(reply.json()["name"], "Ada");
    let call = house.upstream.only("who=one");
    assert_eq!(
        call.header("authorization"),
        Some(&*format!("Bearer {KEY}"))
    );
    assert_eq!(
        call.header("host"),
        Some(&*format!("127.0.0.1:{}", house.upstream.port))
    );
    assert_eq!(call.header("if-none-match"), Some("\"0\""));
    for none in [
        "cookie",
        "x-api-key",
        "x-forwarded-host",
        "portcullis-session",
    ] {
        assert_eq!(call.header(none), None, "{call:?}");
    }
    let events = events(&agent, &reply);
    let kinds: Vec<_> = events.iter().map(|event| word(&event["type"])).collect();
    assert_eq!(
        kinds,
        [
            "session.opened",
            "request.decided",
            "execution.started",
            "execution.finished"
        ]
    );
    let finished = of_type(&events, "execution.finished");
    let hash = portcullis::domain::record::Hash::of(&reply.body).to_string();
    assert_eq!(finished["answer"]["sha256"], hash, "{finished}");
    assert_eq!(finished["answer"]["bytes"], reply.body.len());
    assert_eq!(finished["answer"]["status"], 200);
    assert_eq!(finished["masked"]["by"]["personal:email"], 1, "{finished}");
    assert!(finished.get("result").is_none(), "{finished}");
}

#[test]
fn the_connections_own_credential_is_masked_wherever_an_api_says_it() {
    let agent = house().gateway.agent();
    let reply = send(&agent, "GET", "api/http/seen", &[], b"");
    assert_eq!(reply.status, 200);
    let text = reply.text();
    assert!(text.starts_with("you sent ____"), "{text}");
    let encoded = BASE64.encode(format!("you sent {KEY}!"));
    assert!(!text.contains(KEY) && !text.contains(&encoded), "{text}");
    assert!(
        reply.header("x-seen").unwrap().starts_with("____"),
        "{reply:?}"
    );
    let request = reply.header("portcullis-request").unwrap();
    let outcome = agent.get(&format!("/v1/requests/{request}")).expect(200);
    assert_eq!(
        outcome["masked"]["by"]["secrets:connection"], 3,
        "{outcome}"
    );
}

#[test]
fn what_the_api_says_is_said_whatever_its_status() {
    let reply = get("api/http/missing");
    assert_eq!(reply.status, 404);
    assert!(!reply.text().contains(SECRET), "{}", reply.text());
    let reply = get("api/http/nothing");
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    let agent = house().gateway.agent();
    let reply = send(&agent, "HEAD", "api/http/people", &[], b"");
    assert_eq!(reply.status, 200);
    let reply = send(
        &agent,
        "PUT",
        "api/http/things/1",
        &[("Content-Type", "text/plain")],
        b"content",
    );
    assert_eq!(reply.json()["method"], "PUT");
    assert_eq!(house().upstream.only("/things/1").text(), "content");
    assert_eq!(get("api/http").json()["path"], "/");
    assert_eq!(get("below/http/x?y=1").json()["path"], "/base/v1/x?y=1");
}

/// A caller that reads an answer while it comes.
struct Reading(TcpStream, Vec<u8>);

impl Reading {
    fn new(caller: &Caller<'_>, method: &str, path: &str, body: &str) -> Self {
        let bearer = format!("Bearer {}", caller.token);
        let path = format!("/v1/connections/{path}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        let call = http::request(method, &path, &headers, body.as_bytes());
        let mut stream = TcpStream::connect(("127.0.0.1", caller.gateway.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&call).unwrap();
        Self(stream, Vec::new())
    }

    /// Reads until `words` have come.
    #[track_caller]
    fn until(&mut self, words: &str) {
        while !self.text().contains(words) {
            let mut piece = [0; 4096];
            let read = self.0.read(&mut piece).unwrap_or(0);
            assert!(read > 0, "`{words}` did not come: {}", self.text());
            self.1.extend_from_slice(&piece[..read]);
        }
    }

    /// Reads to the end of the connection; whether the answer ended before it.
    fn all_of_it(&mut self) -> bool {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = self.0.read(&mut piece) {
            self.1.extend_from_slice(&piece[..read]);
        }
        let head = self
            .1
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        joined(&self.1[head + 4..]).is_some()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.1).into_owned()
    }

    fn session(&self) -> String {
        let text = self.text();
        let (_, rest) = text.split_once("portcullis-session: ").unwrap();
        rest.split_once("\r\n").unwrap().0.to_owned()
    }
}

#[test]
fn an_answer_streams_while_it_comes_and_a_secret_cut_over_its_events_is_masked() {
    let agent = house().gateway.agent();
    let go_on = hold("/stream");
    let mut reading = Reading::new(&agent, "GET", "api/http/stream", "");
    // The API holds the rest back: what came leaves at once, and its intent was on record before.
    reading.until("The key ");
    let session = reading.session();
    let path = format!("/v1/sessions/{session}/events");
    let so_far = agent.get(&path).expect(200);
    let kinds: Vec<_> = so_far["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| word(&event["type"]))
        .collect();
    assert_eq!(
        kinds,
        ["session.opened", "request.decided", "execution.started"]
    );
    go_on.send(()).unwrap();
    assert!(reading.all_of_it(), "{}", reading.text());
    let text = reading.text();
    for part in ["16C7e42F29", "2c6912E7710c8383", "47Ae178B4a"] {
        assert!(!text.contains(part), "{text}");
    }
    assert!(text.contains("keep") && text.contains("[DONE]"), "{text}");
    let done = agent.get(&path).expect(200);
    let finished = of_type(done["events"].as_array().unwrap(), "execution.finished").clone();
    assert_eq!(finished["truncated"], false, "{finished}");
}

#[test]
fn an_answer_that_breaks_off_is_cut_and_not_ended() {
    let agent = house().gateway.agent();
    for (path, why) in [
        ("api/http/half", "breaks off"),
        ("api/http/long", "budget"),
        ("api/http/zip", "zip"),
    ] {
        let mut reading = Reading::new(&agent, "GET", path, "");
        assert!(!reading.all_of_it(), "{path}: it ended");
        let events = agent
            .get(&format!("/v1/sessions/{}/events", reading.session()))
            .expect(200);
        let finished = of_type(events["events"].as_array().unwrap(), "execution.finished").clone();
        assert_eq!(finished["truncated"], true, "{finished}");
        assert!(finished["notices"].to_string().contains(why), "{finished}");
        assert!(reading.1.len() < 1_200_000);
    }
}

#[test]
fn what_is_compressed_is_read_and_masked_and_what_cannot_be_read_is_not_passed_on() {
    let reply = get("api/http/gzip?read");
    assert_eq!(reply.header("content-encoding"), None);
    assert!(
        reply.text().starts_with("my key is ") && !reply.text().contains("ghp_16"),
        "{}",
        reply.text()
    );
    let reply = get("api/http/brotli");
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(
        reply.text().contains("br, which is not decoded"),
        "{}",
        reply.text()
    );
    let asked = house().upstream.only("/gzip?read");
    assert_eq!(asked.header("accept-encoding"), Some("gzip, deflate"));
}

#[test]
fn a_redirect_is_never_followed_and_leads_nowhere_else() {
    let reply = get("api/http/moved/near");
    assert_eq!(reply.status, 302);
    assert_eq!(
        reply.header("location"),
        Some("/v1/connections/api/http/people?x=1")
    );
    let reply = get("api/http/moved/own");
    assert_eq!(
        reply.header("location"),
        Some("/v1/connections/api/http/people")
    );
    for path in ["api/http/moved/away", "below/http/out"] {
        let reply = get(path);
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert!(
            !reply.text().contains("evil") && reply.text().contains("not followed"),
            "{}",
            reply.text()
        );
    }
    assert_eq!(
        get("below/http/in").header("location"),
        Some("/v1/connections/below/http/x/y")
    );
    let agent = house().gateway.agent();
    let reply = send(&agent, "POST", "api/http/created", &[], b"");
    assert_eq!((reply.status, reply.header("location")), (201, None));
    assert!(house().upstream.calls("/people?x=1").is_empty());
}

#[test]
fn a_name_that_leads_to_this_machine_leads_nowhere() {
    // The only name every machine has for itself beside `localhost` may not be there: then it is no name at all.
    let reply = get("neighbour/http/latest/meta-data");
    assert_eq!(reply.status, 503, "{}", reply.text());
}

#[test]
fn what_is_not_allowed_is_refused_in_the_words_of_its_api() {
    let agent = house().gateway.agent();
    let pod = "cluster/http/api/v1/namespaces/default/pods/web";
    let refused = |method: &str, path: &str, more: &[(&str, &str)], body: &str| {
        let reply = send(&agent, method, path, more, body.as_bytes());
        assert_eq!(reply.status, 403, "{}", reply.text());
        assert!(reply.header("portcullis-request").is_some(), "{reply:?}");
        reply
    };
    let status = refused("DELETE", pod, &[], "");
    let approval = status.header("portcullis-approval").unwrap().to_owned();
    let status = status.json();
    assert_eq!(
        (&status["kind"], &status["reason"]),
        (&json!("Status"), &json!("Forbidden"))
    );
    for part in [
        "`removals`",
        &approval,
        "`dba`",
        "make exactly this call again",
    ] {
        assert!(word(&status["message"]).contains(part), "{status}");
    }
    let arm = "arm/http/subscriptions/1/resourceGroups/a?api-version=2024-03-01";
    let error = refused("DELETE", arm, &[], "").json();
    assert_eq!(error["error"]["code"], "ApprovalRequired");
    let error = refused("GET", "vault/http/secrets/a?api-version=7.4", &[], "").json();
    assert_eq!(error["error"]["code"], "ApprovalRequired", "{error}");
    let error = refused("DELETE", "cosmos/http/dbs/a/colls/b/docs/c", &[], "").json();
    assert_eq!(error["code"], "ApprovalRequired");
    let xml = refused("DELETE", "blobs/http/container/blob", &[], "");
    assert!(
        xml.text().contains("<Code>ApprovalRequired</Code>"),
        "{}",
        xml.text()
    );
    assert_eq!(xml.header("x-ms-error-code"), Some("ApprovalRequired"));
    let query = json!({"query": "mutation { deleteUser(id: 1) { id } }"}).to_string();
    let json_type = [("Content-Type", "application/json")];
    let error = refused("POST", "graphql/http/graphql", &json_type, &query).json();
    assert_eq!(
        error["errors"][0]["extensions"]["code"], "ApprovalRequired",
        "{error}"
    );
    let problem = refused("PATCH", "only-reads/http/x", &[], "{}").json();
    assert_eq!(problem["type"], "urn:portcullis:problem:policy-denied");
    assert!(
        word(&problem["detail"]).contains("no write credential"),
        "{problem}"
    );
    let openai = refused("DELETE", "model/http/v1/files/1", &[], "").json();
    assert_eq!(openai["error"]["code"], "ApprovalRequired", "{openai}");
    let anthropic = [("anthropic-version", "2023-06-01")];
    let error = refused("DELETE", "model/http/v1/files/1", &anthropic, "").json();
    assert_eq!(error["error"]["type"], "permission_error", "{error}");
    let down = send(&agent, "GET", "down/http/api/v1/pods", &[], b"");
    assert_eq!(down.expect(503)["reason"], "ServiceUnavailable");
    for unasked in [
        "/pods/web ",
        "DELETE /subscriptions/1/resourceGroups/a",
        "/secrets/a",
        "/colls/b",
        "/container/blob",
        "/graphql",
        "/files/1",
    ] {
        assert!(house().upstream.calls(unasked).is_empty(), "{unasked}");
    }
}

#[test]
fn nothing_that_servers_read_in_different_ways_reaches_the_api() {
    let house = house();
    let agent = house.gateway.agent();
    let paths = [
        "smuggled/../../x",
        "smuggled/%2e%2e/%2e%2e/x",
        "smuggled%2fx",
        "smuggled%5cx",
        "smuggled%252e",
        "smuggled;a=b/x",
        "smuggled%00",
        "smuggled%0d%0aHost:%20x",
        "smuggled?a=1&a=2",
        "smuggled?a=%zz",
    ];
    for path in paths {
        let reply = send(&agent, "GET", &format!("api/http/{path}"), &[], b"");
        assert_eq!(reply.status, 422, "{path}: {}", reply.text());
        assert!(reply.text().contains("no one form"), "{}", reply.text());
    }
    for headers in [
        &[("X-A", "1"), ("X-A", "2")][..],
        &[("Content-Encoding", "gzip"), ("Content-Length", "1")],
    ] {
        let reply = send(&agent, "POST", "api/http/smuggled", headers, b"");
        assert!(
            matches!(reply.status, 400 | 422),
            "{headers:?}: {}",
            reply.text()
        );
    }
    for (headers, body) in [
        (
            &[("Connection", "Upgrade"), ("Upgrade", "websocket")][..],
            "",
        ),
        (&[("Upgrade", "h2c")], ""),
    ] {
        let reply = send(&agent, "GET", "api/http/smuggled", headers, body.as_bytes());
        assert_eq!(reply.status, 422, "{}", reply.text());
        assert!(
            reply.text().contains("another protocol"),
            "{}",
            reply.text()
        );
    }
    // To another host, two lengths at once, and a line end within a line.
    let token = &agent.token;
    let absolute = format!(
        "GET http://evil.example/v1/connections/api/http/smuggled HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let reply = http::raw(house.gateway.port, absolute.as_bytes(), PATIENCE).unwrap();
    assert_eq!(reply.status, 400, "{}", reply.text());
    let twice = format!(
        "POST /v1/connections/api/http/smuggled HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\nGET /v1/connections/api/http/smuggled HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    http::raw(house.gateway.port, twice.as_bytes(), Duration::from_secs(2));
    assert!(
        house
            .upstream
            .calls("smuggled")
            .iter()
            .all(|call| call.method() == "POST" && call.body.is_empty())
    );
    let long = vec![b'x'; (4 << 20) + 1];
    let reply = send(&agent, "POST", "api/http/too-long", &[], &long);
    assert_eq!(reply.status, 413, "{}", reply.text());
    // What has one form is sent in that form, and in no other.
    let reply = send(
        &agent,
        "GET",
        "api/http//formed/./a/%7e//b/?x=%41",
        &[],
        b"",
    );
    assert_eq!(reply.json()["path"], "/formed/a/~/b/?x=A");
    let expect = [
        ("Expect", "100-continue"),
        ("Trailer", "X-T"),
        ("Host", "127.0.0.1"),
    ];
    let reply = send(&agent, "POST", "api/http/expected", &expect[..2], b"hello");
    // Its own word first, since it is asked for it.
    assert!(
        reply.status == 100 && reply.text().contains("200 OK"),
        "{reply:?}"
    );
    let call = house.upstream.only("/expected");
    assert_eq!(
        (call.header("expect"), call.header("trailer"), call.text()),
        (None, None, "hello")
    );
    assert!(house.upstream.calls("too-long").is_empty());
}

#[test]
fn a_method_that_a_field_asks_for_instead_is_judged_too() {
    let agent = house().gateway.agent();
    let asks = [("X-HTTP-Method-Override", "DELETE")];
    let reply = send(&agent, "POST", "api/http/overridden", &asks, b"");
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(house().upstream.calls("overridden").is_empty());
}

#[test]
fn a_caller_who_leaves_ends_a_read_and_never_a_change() {
    let (house, agent) = (house(), house().gateway.agent());
    let mut reading = Reading::new(&agent, "GET", "api/http/endless", "");
    reading.until("on and on");
    let session = reading.session();
    drop(reading);
    let until = |done: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !done() {
            assert!(began.elapsed() < PATIENCE, "it went on");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until(&|| left().lock().unwrap().contains(&"/endless".to_owned()));
    let path = format!("/v1/sessions/{session}/events");
    let ended = |kind: &str, path: &str| {
        let events = agent.get(path).expect(200);
        events["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["type"] == kind)
    };
    until(&|| ended("execution.failed", &path));
    let events = agent.get(&path).expect(200);
    let failed = of_type(events["events"].as_array().unwrap(), "execution.failed").clone();
    assert_eq!(failed["failure"], "cancelled", "{failed}");
    assert!(failed["answer"]["bytes"].as_u64().unwrap() > 0, "{failed}");

    let go_on = hold("/slow-change");
    let changing = Reading::new(&agent, "POST", "api/http/slow-change", "{}");
    until(&|| !house.upstream.calls("/slow-change").is_empty());
    drop(changing);
    std::thread::sleep(Duration::from_millis(50));
    go_on.send(()).unwrap();
    let mine = || {
        let found = agent.get("/v1/sessions").expect(200);
        let text = found.to_string();
        text.contains("/slow-change") && !text.contains("\"executing\"")
    };
    until(&mine);
    let found = agent.get("/v1/sessions").expect(200).to_string();
    assert!(found.contains("\"succeeded\""), "{found}");
}

#[test]
fn who_can_wait_gets_an_outcome_and_the_answer_once_it_is_approved() {
    let (house, agent) = (house(), house().gateway.agent());
    let dana = house.gateway.person("dana", &["db-admins"]);
    let waits = [("Prefer", "respond-async")];
    let read = send(&agent, "GET", "api/http/people", &waits, b"").expect(200);
    assert_eq!(read["result"]["status"], 200, "{read}");
    assert!(word(&read["result"]["body"]).contains("Ada"), "{read}");
    assert!(!read.to_string().contains(SECRET), "{read}");
    assert_eq!(agent.request(&read).expect(200), read);
    let held = send(&agent, "DELETE", "api/http/waited-for", &waits, b"").expect(202);
    assert_eq!(held["effect"], "destructive");
    let shown = dana
        .get(&format!("/v1/approvals/{}", word(&held["approval"]["id"])))
        .expect(200);
    assert_eq!(shown["statement"], "DELETE /waited-for", "{shown}");
    dana.decide(&held, "approve").expect(200);
    let done = agent.request(&held).expect(200);
    assert!(word(&done["result"]["body"]).contains("DELETE"), "{done}");
    assert_eq!(house.upstream.only("/waited-for").method(), "DELETE");
}

#[test]
fn what_is_sent_to_a_model_is_masked_and_so_is_what_it_says() {
    let (house, agent) = (house(), house().gateway.agent());
    let body = json!({"model": "m", "messages": [{"role": "user", "content": format!("whole: {SECRET}, ada@example.org")}]});
    let reply = send(
        &agent,
        "POST",
        "model/http/v1/chat/completions?n=1",
        &[("Content-Type", "application/json")],
        body.to_string().as_bytes(),
    );
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "plain");
    let sent = house.upstream.only("completions?n=1");
    let sent: Value = serde_json::from_slice(&sent.body).unwrap();
    let content = word(&sent["messages"][0]["content"]);
    assert!(
        content.starts_with("whole: ") && !content.contains("ghp_16") && !content.contains("ada@"),
        "{sent}"
    );
    for path in ["model/http/v1/chat/completions", "model/http/v1/messages"] {
        let mut reading = Reading::new(&agent, "POST", path, r#"{"stream": true}"#);
        assert!(reading.all_of_it());
        let text = reading.text();
        assert!(
            text.contains("keep") && !text.contains("2c6912E7710c8383") && !text.contains("ghp_"),
            "{text}"
        );
    }
}

#[test]
fn an_answer_with_something_to_mask_is_kept_back_where_policy_says_so() {
    let agent = house().gateway.agent();
    let json_type = [("Content-Type", "application/json")];
    let ask = |body: &[u8]| {
        send(
            &agent,
            "POST",
            "strict/http/v1/chat/completions",
            &json_type,
            body,
        )
    };
    let reply = ask(br#"{"stream": true}"#);
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert_eq!(reply.json()["error"]["code"], "AnswerWithheld");
    assert!(!reply.text().contains("The key"), "{}", reply.text());
    let events = events(&agent, &reply);
    let finished = of_type(&events, "execution.finished");
    assert_eq!(finished["answer"]["withheld"], true, "{finished}");
    let reply = ask(br#"{"content": "whole"}"#);
    assert_eq!(
        reply.json()["choices"][0]["message"]["content"],
        "plain",
        "{}",
        reply.text()
    );
}

/// The approval that a refusal names.
pub(super) fn approval_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 403, "{}", reply.text());
    reply
        .header("portcullis-approval")
        .expect("an approval")
        .to_owned()
}

pub(crate) fn approve(approval: &str) -> Value {
    approve_at(&house().gateway, approval)
}

fn approve_at(gateway: &Gateway, approval: &str) -> Value {
    let dana = gateway.person("dana", &["db-admins"]);
    let path = format!("/v1/approvals/{approval}");
    let asked = dana.get(&path).expect(200);
    let decision = json!({"decision": "approve", "digest": asked["digest"]});
    dana.post(&format!("{path}/decision"), &decision)
        .expect(200)
}

#[test]
fn a_call_that_was_approved_runs_once_when_its_caller_makes_it_again() {
    let (house, agent) = (house(), house().gateway.agent());
    let call = |who: &Caller<'_>, body: &str| {
        let numbered = [
            ("X-Request-Id", "another one each time"),
            ("Content-Type", "text/plain"),
        ];
        send(
            who,
            "DELETE",
            "api/http/granted",
            &numbered,
            body.as_bytes(),
        )
    };
    let approval = approval_of(&call(&agent, "this"));
    // Asked again, nobody is asked a second time; asked by another, or for something else, it is another question.
    assert_eq!(approval_of(&call(&agent, "this")), approval);
    assert_ne!(approval_of(&call(&agent, "that")), approval);
    let other = house.gateway.agent();
    assert_ne!(approval_of(&call(&other, "this")), approval);
    let approved = approve(&approval);
    assert_eq!(approved["status"], "approved", "{approved}");
    assert!(
        house.upstream.calls("/granted").is_empty(),
        "it ran by itself"
    );
    assert_ne!(approval_of(&call(&agent, "that")), approval);
    assert_ne!(approval_of(&call(&other, "this")), approval);
    // Of those who claim it at once, one gets it.
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let claims: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| call(&agent, "this")))
            .collect();
        claims
            .into_iter()
            .map(|claim| claim.join().unwrap())
            .collect()
    });
    let (ran, held): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!(ran.len(), 1, "{replies:?}");
    assert!(held.iter().all(|reply| approval_of(reply) != approval));
    assert_eq!(house.upstream.only("/granted").text(), "this");
    let events = events(&agent, ran[0]);
    let kinds: Vec<_> = events.iter().map(|event| word(&event["type"])).collect();
    assert_eq!(
        kinds,
        [
            "session.opened",
            "request.decided",
            "approval.requested",
            "approval.published",
            "approval.decided",
            "approval.granted",
            "execution.started",
            "execution.finished"
        ]
    );
}

#[test]
fn what_was_granted_lapses_with_its_question() {
    let (house, agent) = (house(), house().gateway.agent());
    let call = || send(&agent, "DELETE", "hasty/http/lapsing", &[], b"");
    let first = call();
    let approval = approval_of(&first);
    assert_eq!(approve(&approval)["status"], "approved");
    std::thread::sleep(Duration::from_millis(1100));
    assert_ne!(approval_of(&call()), approval);
    let request = format!(
        "/v1/requests/{}?wait=5",
        first.header("portcullis-request").unwrap()
    );
    let began = std::time::Instant::now();
    while agent.get(&request).json()["status"] != "approval_expired" {
        assert!(began.elapsed() < PATIENCE, "it does not lapse");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(house.upstream.calls("/lapsing").is_empty());
}

/// Puts another policy in force, and waits until it is.
pub(super) fn replace_policy(gateway: &Gateway, policy: &str) {
    let agent = gateway.agent();
    let version = || {
        let waits = [("Prefer", "respond-async")];
        let read = send(&agent, "GET", "api/http/version", &waits, b"").json();
        word(&read["decision"]["policy"]).to_owned()
    };
    let before = version();
    std::fs::write(gateway.data.join("policy.yaml"), policy).unwrap();
    let began = std::time::Instant::now();
    while version() == before {
        assert!(began.elapsed() < PATIENCE, "{}", gateway.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_was_granted_gives_nothing_that_a_newer_policy_refuses() {
    let upstream = &house().upstream;
    let policy = format!(
        r#"
version: 1
approvers:
  dba: {{ groups: [db-admins] }}
  owners: {{ groups: [owners] }}
connections:
  api: {{ kind: http, api: generic, read: {{ url: "http://127.0.0.1:{port}" }}, write: {{ url: "http://127.0.0.1:{port}" }}, allow: {{ groups: [ai-agents] }}, budget: {{ requests_per_minute: 100000 }} }}
rules:
  - {{ name: reads, when: {{ effect: read }}, then: allow }}
  - {{ name: removals, when: {{ effect: destructive }}, then: {{ require_approval: dba }} }}
  - {{ name: owned, when: {{ effect: schema }}, then: {{ require_approval: owners }} }}
"#,
        port = upstream.port
    );
    let gateway = Gateway::dev(&policy);
    let agent = gateway.agent_named("cleaner");
    let call = |path: &str| send(&agent, "DELETE", path, &[], b"");
    let status = |reply: &Reply| {
        let request = reply.header("portcullis-request").unwrap();
        word(&agent.get(&format!("/v1/requests/{request}?wait=0")).json()["status"]).to_owned()
    };
    let granted = |path: &str| {
        let first = call(path);
        let approved = approve_at(&gateway, &approval_of(&first));
        assert_eq!(approved["status"], "approved", "{approved}");
        let events = events(&agent, &first);
        assert_eq!(events.last().unwrap()["type"], "approval.granted");
        first
    };

    // A deny added since wins over the grant, and says so on record.
    let first = granted("api/http/denied-since");
    let deny = "  - { name: freeze, who: { principals: [\"agent:cleaner\"] }, when: { effect: destructive }, then: { deny: \"Nothing is removed today.\" } }\n";
    replace_policy(&gateway, &format!("{policy}{deny}"));
    let refused = call("api/http/denied-since");
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(
        refused.text().contains("Nothing is removed today.") && refused.text().contains("freeze"),
        "{}",
        refused.text()
    );
    let events_of = events(&agent, &refused);
    let decision = &of_type(&events_of, "request.decided")["decision"];
    assert_eq!(decision["action"], "deny", "{events_of:?}");
    assert_eq!(decision["rule"], "freeze");
    assert_eq!(events_of.len(), 2, "{events_of:?}");
    assert_eq!(status(&first), "approved");
    assert!(upstream.calls("/denied-since").is_empty());

    // Whom today's policy asks must be asked; the grant ends with that.
    replace_policy(&gateway, &policy);
    let first = granted("api/http/asked-since");
    let owners = policy
        .replace(
            "effect: destructive }, then: { require_approval: dba",
            "effect: destructive }, then: { require_approval: owners",
        )
        .replace(
            "effect: schema }, then: { require_approval: owners",
            "effect: schema }, then: { require_approval: dba",
        );
    replace_policy(&gateway, &owners);
    let refused = call("api/http/asked-since");
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(
        refused.text().contains("now asks `owners` as well"),
        "{}",
        refused.text()
    );
    let events_of = events(&agent, &first);
    let refusal = of_type(&events_of, "request.refused");
    assert_eq!(refusal["decision"]["rule"], "removals", "{refusal}");
    assert_eq!(status(&first), "denied");
    let asked = call("api/http/asked-since");
    assert_ne!(approval_of(&asked), approval_of(&first));
    assert!(upstream.calls("/asked-since").is_empty());
}
