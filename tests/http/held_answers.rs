//! Answers in which something is found and which people are asked about: `on_finding: require_approval`.

use std::{
    fs,
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Caller, Gateway,
    proxy::{SECRET, approval_of, events, house, of_type, replace_policy, send},
    word,
};
use crate::support::{
    gateway::{Said, folder, portcullis},
    http::Reply,
};

fn policy(count: u32, expires_in: &str, on_finding: &str) -> String {
    let at = format!("{{ url: \"http://127.0.0.1:{}\" }}", house().upstream.port);
    format!(
        r#"
version: 1
approvers:
  dba: {{ groups: [db-admins] }}
  privacy: {{ groups: [privacy], count: {count}, expires_in: {expires_in} }}
connections:
  api: {{ kind: http, api: generic, on_finding: {on_finding}, read: {at}, write: {at}, allow: {{ groups: [ai-agents] }}, budget: {{ requests_per_minute: 100000 }} }}
  model: {{ kind: http, api: model, on_finding: {on_finding}, read: {at}, write: {at}, allow: {{ groups: [ai-agents] }} }}
rules:
  - {{ name: reads, when: {{ effect: read }}, then: allow }}
  - {{ name: inference, connections: [model], when: {{ effect: unknown }}, then: allow }}
  - {{ name: removals, when: {{ effect: destructive }}, then: {{ require_approval: dba }} }}
  - {{ name: administration, when: {{ effect: admin }}, then: {{ require_approval: privacy }} }}
masking: {{ approvers: privacy }}
record: {{ max_result: 64KiB }}
"#
    )
}

/// A gateway of these tests: two people must agree.
pub(crate) fn gateway() -> &'static Gateway {
    static GATEWAY: OnceLock<Gateway> = OnceLock::new();
    GATEWAY.get_or_init(|| Gateway::dev(&policy(2, "30m", "require_approval")))
}

const WAITS: [(&str, &str); 1] = [("Prefer", "respond-async")];

pub(crate) fn people(gateway: &Gateway) -> [Caller<'_>; 2] {
    ["pia", "paul"].map(|name| gateway.person(name, &["privacy"]))
}

pub(crate) fn decide(who: &Caller<'_>, approval: &str, decision: &str) -> Reply {
    let path = format!("/v1/approvals/{approval}");
    let asked = who.get(&path).expect(200);
    let decision = json!({"decision": decision, "digest": asked["digest"]});
    who.post(&format!("{path}/decision"), &decision)
}

fn request_of(who: &Caller<'_>, reply: &Reply) -> Reply {
    let request = reply.header("portcullis-request").expect("a request");
    who.get(&format!("/v1/requests/{request}?wait=0"))
}

/// Nothing of what the stand-ins answer, masked or not.
fn tells_nothing(text: &str) {
    let parts = ["The key ", ", keep", ": \"Ada", ": \\\"Ada", "ada@", SECRET];
    for part in parts.into_iter().chain(["2c6912E7710c8383"]) {
        assert!(!text.contains(part), "{text}");
    }
}

#[test]
fn an_answer_in_which_something_is_found_is_given_once_those_whom_policy_names_agree() {
    let gateway = gateway();
    let agent = gateway.agent();
    let [pia, paul] = people(gateway);
    let call = || {
        let json_type = [("Content-Type", "application/json")];
        let path = "model/http/v1/chat/completions?case=streamed";
        send(&agent, "POST", path, &json_type, br#"{"stream": true}"#)
    };
    let made = || house().upstream.calls("case=streamed").len();
    let held = call();
    let approval = approval_of(&held);
    assert_eq!(
        held.json()["error"]["code"],
        "AnswerHeld",
        "{}",
        held.text()
    );
    assert!(held.text().contains("/v1/requests/"), "{}", held.text());
    tells_nothing(held.text());
    // Made again, it is not made: the answer that there is waits.
    assert_eq!(approval_of(&call()), approval);
    assert_eq!(made(), 1);

    let waiting = request_of(&agent, &held).expect(202);
    assert_eq!(waiting["status"], "pending_approval");
    assert_eq!(waiting["held_answer"]["status"], 200);
    assert!(waiting.get("result").is_none(), "{waiting}");
    tells_nothing(&waiting.to_string());
    let shown = pia.get(&format!("/v1/approvals/{approval}")).expect(200);
    assert_eq!(shown["answer"], waiting["held_answer"]);
    let found = shown["answer"]["found"]["by"].as_object().unwrap();
    assert!(
        found.keys().any(|kind| kind.starts_with("secrets:")),
        "{shown}"
    );
    tells_nothing(&shown.to_string());
    let shown_by_hand = gateway
        .cli(&pia, &["approvals", "show", &approval])
        .output()
        .unwrap()
        .out();
    assert!(
        shown_by_hand.contains("the call was made") && shown_by_hand.contains("of secrets:"),
        "{shown_by_hand}"
    );
    tells_nothing(&shown_by_hand);
    let listed = |who: &Caller<'_>, path: &str| {
        let approvals = who.get(path).expect(200)["approvals"].clone();
        let mut approvals = approvals.as_array().unwrap().iter();
        approvals.any(|one| one["id"] == approval.as_str())
    };
    assert!(listed(&pia, "/v1/approvals"));
    assert!(!listed(&gateway.person("sam", &["staff"]), "/v1/approvals"));
    let recorded = events(&agent, &held);
    tells_nothing(&json!(recorded).to_string());
    let asked = of_type(&recorded, "approval.requested");
    assert_eq!(asked["terms"]["answer"], waiting["held_answer"]);
    assert_ne!(
        asked["terms"]["digest"],
        of_type(&recorded, "request.decided")["digest"]
    );

    // Neither whoever asked, nor those asked about other things, nor one person alone.
    for who in [&agent, &gateway.person("dana", &["db-admins"])] {
        let path = format!("/v1/approvals/{approval}/decision");
        let yes = json!({"decision": "approve", "digest": shown["digest"]});
        let refused = who.post(&path, &yes);
        assert!(matches!(refused.status, 403 | 404), "{}", refused.text());
    }
    let once = decide(&pia, &approval, "approve").expect(200);
    assert_eq!(once["status"], "pending_approval");
    assert_eq!(decide(&pia, &approval, "approve").status, 409);
    let to_run =
        json!({"decision": "approve", "digest": of_type(&recorded, "request.decided")["digest"]});
    let path = format!("/v1/approvals/{approval}/decision");
    assert_eq!(
        paul.post(&path, &to_run).status,
        409,
        "a yes to the call is none to its answer"
    );
    assert!(
        request_of(&agent, &held)
            .expect(202)
            .get("result")
            .is_none()
    );
    let agreed = decide(&paul, &approval, "approve").expect(200);
    assert_eq!(agreed["status"], "succeeded");

    let given = request_of(&agent, &held).expect(200);
    assert_eq!(given["status"], "succeeded");
    assert_eq!(given["result"]["status"], 200);
    assert!(given["result"].get("withheld").is_none(), "{given}");
    let body = word(&given["result"]["body"]);
    assert!(
        body.contains("keep") && !body.contains("2c6912E7710c8383"),
        "{body}"
    );
    assert_eq!(request_of(&agent, &held).expect(200), given);
    assert!(listed(&pia, "/v1/approvals?state=all") && !listed(&pia, "/v1/approvals"));
    let recorded = events(&agent, &held);
    let kinds: Vec<_> = recorded.iter().map(|event| word(&event["type"])).collect();
    assert_eq!(
        kinds,
        [
            "session.opened",
            "request.decided",
            "execution.started",
            "execution.finished",
            "approval.requested",
            "approval.published",
            "approval.decided",
            "approval.decided",
            "answer.released"
        ]
    );
    assert_eq!(made(), 1);
    // What is exported proves itself, and tells no more than before.
    let session = held.header("portcullis-session").unwrap();
    let export = agent.get(&format!("/v1/sessions/{session}/export"));
    tells_nothing(export.text());
    let file = folder("version: 1").join("export.jsonl");
    fs::write(&file, &export.body).unwrap();
    let verified = portcullis(&["verify", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(verified.code(), 0, "{}{}", verified.out(), verified.err());
    // A yes was to one answer: the same call is a new one now.
    assert_ne!(approval_of(&call()), approval);
    assert_eq!(made(), 2);
}

#[test]
fn what_is_clean_is_given_at_once_and_what_cannot_be_kept_never() {
    let agent = gateway().agent();
    let clean = send(&agent, "GET", "api/http/clean", &[], b"");
    assert_eq!(clean.expect(200)["path"], "/clean");
    let long = send(&agent, "GET", "api/http/long-people", &[], b"");
    assert_eq!(long.status, 403, "{}", long.text());
    assert!(
        long.text().contains("too large to be kept"),
        "{}",
        long.text()
    );
    assert_eq!(long.header("portcullis-approval"), None);
    let outcome = request_of(&agent, &long).expect(200);
    assert_eq!(outcome["result"]["withheld"], true, "{outcome}");
    tells_nothing(&outcome.to_string());
}

#[test]
fn an_answer_that_someone_refuses_or_that_nobody_agrees_to_in_time_is_given_to_nobody() {
    let nobody_gets = |gateway: &Gateway, agent: &Caller<'_>, held: &Value, status: &str| {
        let [pia, _] = people(gateway);
        for who in [agent, &pia] {
            let outcome = who.request(held).expect(403);
            assert_eq!(outcome["status"], status, "{outcome}");
            assert!(outcome.get("result").is_none(), "{outcome}");
            tells_nothing(&outcome.to_string());
        }
        let session = word(&held["session_id"]);
        for path in ["", "/events", "/export"] {
            tells_nothing(agent.get(&format!("/v1/sessions/{session}{path}")).text());
        }
    };
    let agent = gateway().agent();
    let held = send(&agent, "GET", "api/http/people?refused", &WAITS, b"").expect(202);
    tells_nothing(&held.to_string());
    let [pia, paul] = people(gateway());
    let approval = word(&held["approval"]["id"]);
    decide(&pia, approval, "approve").expect(200);
    let refused = decide(&paul, approval, "deny").expect(200);
    assert_eq!(refused["status"], "approval_denied");
    nobody_gets(gateway(), &agent, &held, "approval_denied");
    assert_eq!(house().upstream.calls("people?refused").len(), 1);

    let hasty = Gateway::dev(&policy(1, "1s", "require_approval"));
    let agent = hasty.agent();
    let held = send(&agent, "GET", "api/http/people?late", &WAITS, b"").expect(202);
    std::thread::sleep(Duration::from_millis(1100));
    let [pia, _] = people(&hasty);
    let late = decide(&pia, word(&held["approval"]["id"]), "approve");
    assert_eq!(late.status, 409, "{}", late.text());
    let began = Instant::now();
    while agent.request(&held).json()["status"] != "approval_expired" {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it does not lapse"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    nobody_gets(&hasty, &agent, &held, "approval_expired");

    // A policy that gives no such answer any more wins over those who agree.
    let turned = Gateway::dev(&policy(1, "30m", "require_approval"));
    let agent = turned.agent();
    let held = send(&agent, "GET", "api/http/people?stricter", &WAITS, b"").expect(202);
    replace_policy(&turned, &policy(1, "30m", "deny"));
    let [pia, _] = people(&turned);
    let decided = decide(&pia, word(&held["approval"]["id"]), "approve").expect(200);
    assert_eq!(decided["status"], "denied", "{decided}");
    nobody_gets(&turned, &agent, &held, "denied");
}

#[test]
fn a_call_that_needed_an_approval_to_run_needs_another_for_its_answer() {
    let gateway = gateway();
    let agent = gateway.agent();
    let dana = gateway.person("dana", &["db-admins"]);
    let call = || send(&agent, "DELETE", "api/http/people?removed", &[], b"");
    let held = call();
    let approval = approval_of(&held);
    assert!(held.text().contains("Nothing was sent"), "{}", held.text());
    decide(&dana, &approval, "approve").expect(200);
    let ran = call();
    assert_eq!(approval_of(&ran), approval);
    assert!(ran.text().contains("The call was made"), "{}", ran.text());
    tells_nothing(ran.text());
    // Those who agreed that it runs are not asked whether its answer may be given.
    assert_eq!(decide(&dana, &approval, "approve").status, 404);
    assert_eq!(approval_of(&call()), approval);
    for who in people(gateway) {
        decide(&who, &approval, "approve").expect(200);
    }
    let given = request_of(&agent, &held).expect(200);
    assert!(word(&given["result"]["body"]).contains("Ada"), "{given}");
    assert!(!given.to_string().contains(SECRET), "{given}");
    assert_eq!(house().upstream.calls("people?removed").len(), 1);
}
