//! Commands: run as they are given, with what their connection gives them and nothing else.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::geteuid;
use serde_json::{Value, json};

use super::{Caller, shared, word};
use crate::support::{gateway::PORTCULLIS, http::Reply};

fn exec(caller: &Caller<'_>, argv: &[&str]) -> Reply {
    caller.post("/v1/connections/tools/exec", &json!({"argv": argv}))
}

/// What a command that only reads printed.
fn printed(argv: &[&str]) -> String {
    let outcome = exec(&shared().agent(), argv).expect(200);
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
    assert_eq!(outcome["result"]["exit_code"], 0, "{outcome}");
    word(&outcome["result"]["stdout"]).to_owned()
}

/// Held, approved by dana, and as it then stands.
fn approved(argv: &[&str]) -> Value {
    let gateway = shared();
    let (agent, dana) = (gateway.agent(), gateway.person("dana", &["db-admins"]));
    let held = exec(&agent, argv).expect(202);
    dana.decide(&held, "approve").expect(200);
    let path = format!("/v1/requests/{}?wait=20", word(&held["request_id"]));
    agent.get(&path).json()
}

#[test]
fn arguments_reach_the_program_as_they_are_and_no_shell_reads_them() {
    let odd = "$(id) `id` ; id | id > x && * ~ \\ 'one' \"two\"\nthree";
    assert_eq!(printed(&["cat", "--", "notes/plan.txt"]).lines().count(), 1);
    let agent = shared().agent();
    let body = json!({"argv": ["cat"], "stdin": odd});
    let outcome = agent.post("/v1/connections/tools/exec", &body).expect(200);
    assert_eq!(outcome["result"]["stdout"], odd);
    let missing = exec(&agent, &["cat", odd]).expect(200);
    assert_eq!(missing["status"], "succeeded");
    assert_eq!(missing["result"]["exit_code"], 1);
    assert!(
        word(&missing["result"]["stderr"]).contains("$(id)"),
        "{missing}"
    );
}

#[test]
fn what_a_command_prints_is_masked_and_the_record_has_no_more_of_it() {
    let agent = shared().agent();
    let outcome = exec(&agent, &["cat", "notes/plan.txt"]).expect(200);
    assert!(
        !outcome.to_string().contains("ada@example.org"),
        "{outcome}"
    );
    assert_eq!(outcome["masked"]["by"]["personal:email"], 1, "{outcome}");
    assert_eq!(agent.request(&outcome).expect(200), outcome);
    let export = format!("/v1/sessions/{}/export", word(&outcome["session_id"]));
    assert!(!agent.get(&export).text().contains("ada@example.org"));
}

#[test]
fn a_command_sees_its_connections_environment_and_none_of_the_gateways() {
    let outcome = approved(&["env"]);
    let mut names: Vec<_> = word(&outcome["result"]["stdout"])
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        // What `sh` sets by itself.
        .filter(|name| !matches!(*name, "PWD" | "OLDPWD" | "SHLVL" | "_"))
        .collect();
    names.sort_unstable();
    // It shows what there is and changes nothing: that is the read credential's.
    let wanted = ["HOME", "LANG", "PATH", "SHOP_REGION"];
    assert_eq!(names, wanted, "{outcome}");
}

/// A program without what root may do beyond its own user.
fn as_its_user(program: &str, arguments: &[&str]) -> Command {
    let line = match geteuid().is_root() {
        true => &["setpriv", "--bounding-set=-all", program][..],
        false => &[program],
    };
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).args(arguments);
    command
}

#[test]
fn a_process_of_the_gateways_own_user_cannot_look_into_it() {
    // It has begun, and goes on, once it has masked the first line.
    let (mut lines, line) = (std::io::pipe().unwrap(), "begun\n");
    let mut gateway = as_its_user(PORTCULLIS, &["mask", "--text"])
        .env("SHOP_PASSWORD", "hunter22hunter22")
        .stdin(lines.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    lines.1.write_all(line.as_bytes()).unwrap();
    let mut begun = vec![0; line.len()];
    let masked = gateway.stdout.as_mut().unwrap();
    masked.read_exact(&mut begun).unwrap();
    let environment = format!("/proc/{}/environ", gateway.id());
    let looked = as_its_user("cat", &[&environment]).output().unwrap();
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    let said = String::from_utf8_lossy(&looked.stderr);
    assert!(looked.stdout.is_empty(), "{looked:?}");
    assert!(said.contains("ermission denied"), "{looked:?}");
}

#[test]
fn each_command_has_a_home_of_its_own_that_is_gone_after_it() {
    let outcome = approved(&["sh", "-c", "pwd; touch left; ls -A"]);
    let printed = word(&outcome["result"]["stdout"]);
    let home = Path::new(printed.lines().next().unwrap());
    assert!(home.is_absolute() && !home.exists(), "{outcome}");
    let again = approved(&["sh", "-c", "ls -A; pwd; touch here"]);
    assert!(
        !word(&again["result"]["stdout"]).contains("left"),
        "{again}"
    );
}

#[test]
fn a_program_that_the_connection_does_not_name_does_not_run() {
    let agent = shared().agent();
    for argv in [
        &["ls"][..],
        &["/bin/cat", "notes/plan.txt"],
        &["git", "status"],
    ] {
        let outcome = exec(&agent, argv).expect(403);
        assert_eq!(outcome["status"], "denied");
        let message = word(&outcome["decision"]["message"]);
        assert!(message.contains("cat, env, head"), "{outcome}");
    }
}

#[test]
fn a_command_with_no_end_is_stopped_with_all_that_it_started() {
    let agent = shared().agent();
    // Nobody else sleeps for just as long.
    let long = |number: u32| format!("471{number}.{}", std::process::id());
    let outcome = exec(&agent, &["sleep", &long(1)]).expect(200);
    assert_eq!(outcome["error"]["failure"], "timeout", "{outcome}");
    let script = format!("touch here; sleep {} & sleep {}", long(2), long(3));
    let held = approved(&["sh", "-c", &script]);
    assert_eq!(held["status"], "outcome_unknown", "{held}");
    // A background process that keeps the output open does not keep its caller waiting, and does not live on.
    let left = approved(&[
        "sh",
        "-c",
        &format!("touch here; sleep {} & echo done", long(4)),
    ]);
    assert_eq!(left["result"]["stdout"], "done\n", "{left}");
    thread::sleep(Duration::from_millis(100));
    let running = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let running = String::from_utf8_lossy(&running.stdout).into_owned();
    for number in 1..=4 {
        let sleeping = format!("sleep {}", long(number));
        assert!(!running.lines().any(|line| line == sleeping), "{running}");
    }
}

#[test]
fn output_without_end_is_cut_at_the_budget() {
    let outcome = approved(&["cat", "/dev/zero"]);
    assert_eq!(
        outcome["result"]["truncated"], true,
        "{}",
        outcome["status"]
    );
    assert!(word(&outcome["result"]["stdout"]).len() <= 64 << 10);
}

#[test]
fn a_change_is_held_shown_as_it_would_be_typed_and_run_once_with_the_write_credential() {
    let gateway = shared();
    let (agent, dana) = (gateway.agent(), gateway.person("dana", &["db-admins"]));
    let held = exec(&agent, &["touch", "a b", "$HOME"]).expect(202);
    assert_eq!(held["effect"], "write");
    let approval = format!("/v1/approvals/{}", word(&held["approval"]["id"]));
    let shown = dana.get(&approval).expect(200);
    assert_eq!(shown["statement"], "touch 'a b' '$HOME'");
    dana.decide(&held, "approve").expect(200);
    let outcome = agent.request(&held).expect(200);
    assert_eq!(outcome["result"]["exit_code"], 0, "{outcome}");
    let events = format!("/v1/sessions/{}/events", word(&outcome["session_id"]));
    let events = agent.get(&events).expect(200);
    let started = events["events"].as_array().unwrap().iter();
    let started: Vec<_> = started
        .filter(|event| event["type"] == "execution.started")
        .collect();
    assert_eq!(started.len(), 1);
    assert_eq!(started[0]["data"]["access"], "write");
}

#[test]
fn a_program_that_is_not_known_runs_as_far_as_policy_says_by_its_first_words() {
    let agent = shared().agent();
    let outcome = exec(&agent, &["numfmt", "2048"]).expect(200);
    assert_eq!(outcome["effect"], "unknown");
    assert_eq!(outcome["decision"]["rule"], "known-tools");
    assert_eq!(outcome["result"]["stdout"], "2048\n", "{outcome}");
    exec(&agent, &["shuf"]).expect(403);
    exec(&agent, &["sh", "-c", "numfmt 2048; $0"]).expect(403);
}

#[test]
fn what_is_no_command_is_refused_with_the_reason() {
    let agent = shared().agent();
    let refused = |connection: &str, body: Value| {
        let path = format!("/v1/connections/{connection}/exec");
        word(&agent.post(&path, &body).expect(422)["detail"]).to_owned()
    };
    assert!(refused("tools", json!({"argv": []})).contains("names no program"));
    assert!(refused("tools", json!({"argv": ["cat", "a\u{0}b"]})).contains("NUL"));
    let many = vec!["x"; 2000];
    assert!(refused("tools", json!({"argv": many})).contains("2000 arguments"));
    let long = "x".repeat(2 << 20);
    assert!(refused("tools", json!({"argv": ["cat"], "stdin": long})).contains("`stdin`"));
    assert!(refused("crm", json!({"argv": ["cat"]})).contains("takes SQL"));
    let reply = agent.query("tools", "SELECT 1").expect(422);
    assert!(word(&reply["detail"]).contains("takes commands"), "{reply}");
}
