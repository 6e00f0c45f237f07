//! The commands that speak to a gateway.

use std::{
    process::{Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::gateway::{Caller, Gateway, POLICY, Said, portcullis, shared, word};

fn run(who: &Caller<'_>, words: &[&str]) -> Output {
    who.gateway.cli(who, words).output().unwrap()
}

/// What the command printed, which must have done what was asked.
#[track_caller]
fn said(who: &Caller<'_>, words: &[&str]) -> String {
    let said = run(who, words);
    assert_eq!(said.code(), 0, "{words:?}: {}{}", said.out(), said.err());
    assert_eq!(said.err(), "", "{words:?}");
    said.out()
}

#[track_caller]
fn said_json(who: &Caller<'_>, words: &[&str]) -> Value {
    let out = said(who, &[words, &["--format", "json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?}: {error}: {out}"))
}

fn dana(gateway: &Gateway) -> Caller<'_> {
    gateway.person("dana", &["db-admins"])
}

#[test]
fn an_approver_lists_shows_and_approves() {
    let gateway = shared();
    let (dana, row) = (dana(gateway), gateway.row());
    let sql = format!("DELETE FROM customers WHERE id = {row}");
    let held = gateway.agent_named("cli-bot").held(&sql);
    let (id, digest) = (
        word(&held["approval"]["id"]),
        word(&held["approval"]["digest"]),
    );
    let listed = said(&dana, &["approvals", "list"]);
    assert!(listed.contains(id) && listed.contains(&sql), "{listed}");
    let shown = said(&dana, &["approvals", "show", id]);
    for part in [id, digest, &sql, "agent:cli-bot", "destructive", "1 of dba"] {
        assert!(shown.contains(part), "no `{part}` in: {shown}");
    }
    assert_eq!(said_json(&dana, &["approvals", "show", id])["id"], id);
    let listed = said_json(&dana, &["approvals", "list"]);
    assert!(
        listed["approvals"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["id"] == id)
    );

    let other = format!("sha256:{}", "0".repeat(64));
    let refused = run(&dana, &["approvals", "approve", id, "--digest", &other]);
    assert_eq!(refused.code(), 1);
    assert!(refused.err().contains("409"), "{}", refused.err());
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));

    let done = said(&dana, &["approvals", "approve", id, "--digest", digest]);
    assert!(done.contains("succeeded"), "{done}");
    assert_eq!(gateway.note("customers", row), None);
    let again = run(&dana, &["approvals", "approve", id, "--digest", digest]);
    assert_eq!(again.code(), 1, "{}", again.err());
    assert!(said(&dana, &["approvals", "list", "--all"]).contains(id));
    assert!(!said(&dana, &["approvals", "list"]).contains(id));
}

#[test]
fn a_denial_is_noted_and_one_of_two_is_not_enough() {
    let gateway = shared();
    let row = gateway.row();
    let agent = gateway.agent();
    let held = agent.held(&format!("DELETE FROM customers WHERE id = {row}"));
    let (id, digest) = (
        word(&held["approval"]["id"]),
        word(&held["approval"]["digest"]),
    );
    let words = [
        "approvals",
        "deny",
        id,
        "--digest",
        digest,
        "--comment",
        "not today",
    ];
    let noted = said_json(&dana(gateway), &words);
    assert_eq!(noted["status"], "approval_denied");
    let outcome = agent.request(&held).expect(403);
    assert!(word(&outcome["decision"]["message"]).contains("not today"));
    let held = agent.held(&format!("DELETE FROM pairs WHERE id = {row}"));
    let (id, digest) = (
        word(&held["approval"]["id"]),
        word(&held["approval"]["digest"]),
    );
    let lea = gateway.person("lea", &["leads"]);
    let noted = said(&lea, &["approvals", "approve", id, "--digest", digest]);
    assert!(noted.contains("Others still have to agree"), "{noted}");
    assert_eq!(gateway.note("pairs", row).as_deref(), Some("before"));
}

#[test]
fn who_may_not_is_a_3_and_what_is_not_there_is_a_1() {
    let gateway = shared();
    let agent = gateway.agent();
    let held = agent.held(&format!(
        "DELETE FROM customers WHERE id = {}",
        gateway.row()
    ));
    let (id, digest) = (
        word(&held["approval"]["id"]),
        word(&held["approval"]["digest"]),
    );
    let refused = run(&agent, &["approvals", "approve", id, "--digest", digest]);
    assert_eq!(refused.code(), 3, "{}", refused.err());
    assert!(
        refused.err().contains("Agents approve nothing"),
        "{}",
        refused.err()
    );
    let words = [
        "sessions",
        "list",
        "--principal",
        "agent:other",
        "--format",
        "json",
    ];
    let refused = run(&agent, &words);
    assert_eq!(refused.code(), 3);
    let error: Value = serde_json::from_str(&refused.err()).unwrap();
    assert!(word(&error["error"]).contains("record.readers"), "{error}");
    for words in [
        ["approvals", "show", &format!("apr_{}", "0".repeat(48))],
        ["sessions", "show", &format!("ses_{}", "0".repeat(32))],
        ["sessions", "replay", &format!("ses_{}", "0".repeat(32))],
        ["sessions", "export", &format!("ses_{}", "0".repeat(32))],
    ] {
        let absent = run(&agent, &words);
        assert_eq!(absent.code(), 1, "{words:?}");
        assert!(absent.err().contains("404"), "{}", absent.err());
        assert_eq!(absent.out(), "");
    }
    let nobody = gateway.bearer("no.such.token");
    let refused = run(&nobody, &["sessions", "list"]);
    assert_eq!(refused.code(), 1);
    assert!(refused.err().contains("401"), "{}", refused.err());
}

#[test]
fn a_session_is_found_shown_replayed_exported_and_verified() {
    let gateway = shared();
    let agent = gateway.agent_named("cli-reader");
    let outcome = agent
        .query("crm", "SELECT id, email FROM customers WHERE id = 5")
        .expect(200);
    let session = word(&outcome["session_id"]);
    let header = [("Portcullis-Session", session)];
    agent
        .query_with("crm", "DROP TABLE orders", &header)
        .expect(403);
    let listed = said(&agent, &["sessions", "list", "--effect", "schema"]);
    assert!(
        listed.contains(session) && listed.contains("DROP TABLE orders"),
        "{listed}"
    );
    assert!(!listed.contains("SELECT"), "{listed}");
    let none = said(&agent, &["sessions", "list", "-q", "nothing like it"]);
    assert!(none.contains("Nothing on record matches"), "{none}");
    let page = said(&agent, &["sessions", "list", "--limit", "1"]);
    assert!(page.contains("--after"), "{page}");
    let shown = said(&agent, &["sessions", "show", session]);
    assert!(
        shown.contains("agent:cli-reader") && shown.contains("denied"),
        "{shown}"
    );
    let replayed = said(&agent, &["sessions", "replay", session]);
    for part in [
        "session.opened",
        "request.decided",
        "(masked)",
        "1 values masked",
        "deny",
    ] {
        assert!(replayed.contains(part), "no `{part}` in: {replayed}");
    }
    assert!(!replayed.contains("person5@"), "{replayed}");
    for words in [
        ["sessions", "show", session],
        ["sessions", "replay", session],
    ] {
        assert!(said_json(&agent, &words).is_object());
    }
    assert!(said_json(&agent, &["sessions", "list"])["sessions"].is_array());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.jsonl");
    let path = file.to_str().unwrap();
    assert_eq!(
        said(&agent, &["sessions", "export", session, "-o", path]),
        ""
    );
    let printed = said(&agent, &["sessions", "export", session]);
    assert_eq!(
        printed.lines().count(),
        std::fs::read_to_string(&file).unwrap().lines().count()
    );
    let verified = portcullis(&["verify", path]).output().unwrap();
    assert_eq!(verified.code(), 0, "{}", verified.err());
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("DROP TABLE", "KEEP TABLE", 1)).unwrap();
    let verified = portcullis(&["verify", path, "--format", "json"])
        .output()
        .unwrap();
    assert_eq!(verified.code(), 10, "{}", verified.out());
    serde_json::from_str::<Value>(&verified.out()).unwrap();
    let nowhere = run(
        &agent,
        &["sessions", "export", session, "-o", "/nowhere/file"],
    );
    assert_eq!(nowhere.code(), 1);
    assert!(nowhere.err().contains("/nowhere/file"), "{}", nowhere.err());
}

#[test]
fn nothing_on_record_moves_the_cursor_of_whoever_looks() {
    let gateway = shared();
    let (dana, agent) = (dana(gateway), gateway.agent_named("sly"));
    let tricks = "\u{1b}[2K\u{1b}]0;title\u{7}\r\u{8}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{feff}";
    let row = gateway.row();
    let sql = format!("DELETE FROM customers WHERE id = {row} AND note <> '{tricks}' -- {tricks}");
    let body = json!({"sql": sql, "reason": format!("because {tricks}")});
    let held = agent.post("/v1/connections/crm/query", &body).json();
    let session = word(&held["session_id"]);
    let shown = format!("SELECT '{tricks}' AS \"{tricks}\"");
    agent.query_with("crm", &shown, &[("Portcullis-Session", session)]);
    let mut outputs = vec![
        said(&dana, &["approvals", "list", "--all"]),
        said(&dana, &["sessions", "list"]),
        said(&dana, &["sessions", "show", session]),
        said(&dana, &["sessions", "replay", session]),
    ];
    if let Some(id) = held["approval"]["id"].as_str() {
        outputs.push(said(&dana, &["approvals", "show", id]));
    }
    for output in &outputs {
        let acted = output.chars().find(|character| {
            let hidden = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}'];
            (character.is_control() && *character != '\n') || hidden.contains(character)
        });
        assert_eq!(acted, None, "{output:?}");
    }
    assert!(outputs[1].contains("\\u{1b}"), "{}", outputs[1]);
}

#[test]
fn a_token_of_the_running_gateway_is_believed_and_no_other_start_spoils_it() {
    let gateway = Gateway::dev(POLICY);
    let data = gateway.data.to_str().unwrap();
    let token = |more: &[&str]| -> String {
        let mut words = vec!["dev", "token", "--as", "tess", "--data", data];
        words.extend(more);
        let said = portcullis(&words).output().unwrap();
        assert_eq!(said.code(), 0, "{}", said.err());
        said.out().trim().to_owned()
    };
    let agent = gateway.bearer(&token(&["--groups", "ai-agents,others"]));
    let outcome = agent.query("crm", "SELECT 1").expect(200);
    let session = agent
        .get(&format!("/v1/sessions/{}", word(&outcome["session_id"])))
        .expect(200);
    assert_eq!(session["principal"]["id"], "agent:tess");
    let json: Value = serde_json::from_str(&token(&["--human", "--format", "json"])).unwrap();
    assert_eq!(json["expires_in"], 3600);
    let person = gateway.bearer(word(&json["token"]));
    person.get("/v1/connections").expect(200);

    let policy = gateway.data.join("policy.yaml");
    let second = portcullis(&["dev", "--port", "0", "--data", data, "--policy"])
        .arg(policy)
        .output()
        .unwrap();
    assert_eq!(second.code(), 1, "{}", second.out());
    let agent = gateway.bearer(&token(&["--groups", "ai-agents"]));
    agent.query("crm", "SELECT 2").expect(200);

    let nowhere = portcullis(&["dev", "token", "--as", "x", "--data", "/nowhere"]);
    let said = { nowhere }.output().unwrap();
    assert_eq!(said.code(), 1);
    assert!(said.err().contains("portcullis dev"), "{}", said.err());
}

#[test]
fn a_token_from_a_file_is_as_good_and_options_may_stand_last() {
    let gateway = shared();
    let dana = dana(gateway);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{}\n", dana.token)).unwrap();
    let url = format!("http://127.0.0.1:{}/", gateway.port);
    let said = portcullis(&["approvals", "list", "--url", &url, "--token-file"])
        .arg(&file)
        .env("PORTCULLIS_TOKEN", "of.someone.else")
        .output()
        .unwrap();
    assert_eq!(said.code(), 0, "{}", said.err());
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_list_without_a_word() {
    let gateway = shared();
    let agent = gateway.agent();
    for number in 0..3 {
        agent.query("crm", &format!("SELECT {number}")).expect(200);
    }
    for words in [["sessions", "list"], ["approvals", "list"]] {
        let mut process = gateway
            .cli(&agent, &words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(process.stdout.take());
        let said = process.wait_with_output().unwrap();
        assert_eq!((said.code(), said.err().as_str()), (0, ""));
    }
}

#[test]
fn dev_greets_a_person_with_what_to_try_and_a_program_with_json() {
    let gateway = Gateway::demo(&[]);
    // It greets once it serves.
    let began = std::time::Instant::now();
    while !gateway.log().contains("Ctrl-C") && began.elapsed().as_secs() < 10 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let log = gateway.log();
    let url = format!("http://127.0.0.1:{}", gateway.port);
    for part in [
        "portcullis dev token",
        "portcullis approvals list",
        &url,
        "Ctrl-C",
    ] {
        assert!(log.contains(part), "{log}");
    }
    gateway.signal("INT");
    assert!(gateway.ended().success());

    let gateway = Gateway::demo(&["--format", "json"]);
    thread::sleep(Duration::from_millis(200));
    let log = gateway.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let url = format!("http://127.0.0.1:{}", gateway.port);
    assert!(
        lines.iter().any(|line| line["url"] == url.as_str()),
        "{log}"
    );
}
