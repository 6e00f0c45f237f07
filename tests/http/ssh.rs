//! Commands at another host: an OpenSSH server, for the account that runs the tests.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use super::{Caller, Gateway, word};
use crate::support::{
    gateway::{Said, folder, portcullis},
    http::Reply,
    sshd::{Sshd, account},
};

const POLICY: &str = r#"
version: 1
approvers:
  dba: { groups: [db-admins] }
connections:
  host: { COMMON, HOST, read: { READ, env: { SHOP_REGION: "no'rth" } }, write: { WRITE, env: { SHOP_MAY: change } } }
  free: { COMMON, HOST, read: { READ }, write: { WRITE } }
  certified: { COMMON, HOST, read: { user: USER, private_key: "${secret:CERTIFIED_KEY}", certificate: "${secret:CERTIFICATE}" } }
  stranger: { COMMON, ssh: { host: 127.0.0.1, port: PORT, host_keys: "UNKNOWN_PUBLIC" }, read: { user: never-told, private_key: "${secret:UNKNOWN_KEY}" } }
  nameless: { COMMON, HOST, read: { user: told-and-unknown, private_key: "${secret:VIEWER}" } }
  unwelcome: { COMMON, HOST, read: { user: USER, private_key: "${secret:UNKNOWN_KEY}" }, write: { WRITE } }
  gone: { COMMON, ssh: { host: 127.0.0.1, port: 1, host_keys: "HOST_PUBLIC" }, read: { READ } }
rules:
  - { name: reads, when: { effect: read }, then: allow }
  - { name: changes, connections: [host], when: { effect: [write, secret] }, then: { require_approval: dba } }
  - { name: anything, connections: [free], when: { effect: [write, destructive, secret, unknown] }, then: allow }
"#;

const COMMON: &str = "kind: command, allow: { groups: [ai-agents] }, budget: { bytes: 64KiB, requests_per_minute: 100000, timeout: 2s }, \
    programs: { cat: /bin/cat, env: /usr/bin/env, sh: /bin/sh, sleep: /bin/sleep, touch: /usr/bin/touch, nowhere: /no/such/nowhere }";

struct House {
    gateway: Gateway,
    host: Sshd,
}

fn policy(host: &Sshd) -> String {
    let public = |name: &str| host.file(&format!("{name}.pub")).trim().to_owned();
    POLICY
        .replace("COMMON", COMMON)
        .replace(
            "HOST,",
            "ssh: { host: 127.0.0.1, port: PORT, host_keys: [\"HOST_PUBLIC\"] },",
        )
        .replace("READ", "user: USER, private_key: \"${secret:VIEWER}\"")
        .replace("WRITE", "user: USER, private_key: \"${secret:CHANGER}\"")
        .replace("HOST_PUBLIC", &public("host"))
        .replace("UNKNOWN_PUBLIC", &public("unknown"))
        .replace("PORT", &host.port.to_string())
        .replace("USER", &account())
}

/// The secrets of the policy, as variables.
fn secrets(host: &Sshd) -> [String; 5] {
    [
        format!("VIEWER={}", host.file("read")),
        format!("CHANGER={}", host.file("write")),
        format!("UNKNOWN_KEY={}", host.file("unknown")),
        format!("CERTIFIED_KEY={}", host.file("certified")),
        format!("CERTIFICATE={}", host.file("certified-cert.pub")),
    ]
}

impl House {
    fn new() -> Self {
        let host = Sshd::start();
        let secrets = secrets(&host);
        let mut under = vec!["/usr/bin/env"];
        under.extend(secrets.iter().map(String::as_str));
        Self {
            gateway: Gateway::dev_in(folder(&policy(&host)), &under),
            host,
        }
    }
}

/// The gateway and the host that these tests share.
fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(House::new)
}

fn exec(caller: &Caller<'_>, connection: &str, argv: &[&str]) -> Reply {
    let path = format!("/v1/connections/{connection}/exec");
    caller.post(&path, &json!({"argv": argv}))
}

/// What an agent gets who may do anything.
fn free(argv: &[&str]) -> Value {
    exec(&house().gateway.agent(), "free", argv).expect(200)
}

/// Held, approved by dana, and as it then stands.
fn approved(argv: &[&str]) -> Value {
    let gateway = &house().gateway;
    let (agent, dana) = (gateway.agent(), gateway.person("dana", &["db-admins"]));
    let held = exec(&agent, "host", argv).expect(202);
    dana.decide(&held, "approve").expect(200);
    let path = format!("/v1/requests/{}?wait=20", word(&held["request_id"]));
    agent.get(&path).json()
}

/// Whether someone sleeps for just this long.
fn is_running(number: &str) -> bool {
    let running = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let sleeping = format!("sleep {number}");
    String::from_utf8_lossy(&running.stdout)
        .lines()
        .any(|line| line == sleeping || line == format!("/bin/{sleeping}"))
}

#[track_caller]
fn until(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(10), "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_read_runs_at_the_host_with_the_read_key_and_what_it_prints_is_masked() {
    let House { gateway, host } = house();
    let plan = host.folder.join("plan.txt");
    let token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    fs::write(&plan, format!("ring ada@example.org, {token}\n")).unwrap();
    let agent = gateway.agent();
    let outcome = exec(&agent, "host", &["cat", plan.to_str().unwrap()]).expect(200);
    assert_eq!(outcome["effect"], "read", "{outcome}");
    assert_eq!(outcome["result"]["exit_code"], 0, "{outcome}");
    assert!(word(&outcome["result"]["stdout"]).starts_with("ring "));
    assert!(!outcome.to_string().contains("ada@example.org"));
    assert!(!outcome.to_string().contains(token));
    let body = json!({"argv": ["cat"], "stdin": "$(id) `id`\n\\ 'one'\n"});
    let outcome = agent.post("/v1/connections/host/exec", &body).expect(200);
    assert_eq!(outcome["result"]["stdout"], "$(id) `id`\n\\ 'one'\n");
    let exit = free(&["sh", "-c", "echo no >&2; exit 7"]);
    assert_eq!(exit["result"]["exit_code"], 7, "{exit}");
    assert_eq!(exit["result"]["stderr"], "no\n", "{exit}");
    let ended = free(&["sh", "-c", "kill -KILL $$"]);
    assert_eq!(ended["result"]["exit_code"], 128 + 9, "{ended}");
    let absent = exec(&agent, "free", &["nowhere"]).expect(200);
    assert_eq!(absent["result"]["exit_code"], 127, "{absent}");
}

#[test]
fn a_change_waits_for_approval_and_runs_in_the_connections_environment_alone_with_the_write_key() {
    let outcome = approved(&["sh", "-c", "env; pwd; touch left; ls -A"]);
    let printed = word(&outcome["result"]["stdout"]);
    let mut names: Vec<_> = printed
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        // What `sh` sets by itself.
        .filter(|name| !matches!(*name, "PWD" | "OLDPWD" | "SHLVL" | "_"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LANG", "PATH", "SHOP_MAY"], "{outcome}");
    let home = printed.lines().rev().nth(1).unwrap();
    assert!(Path::new(home).is_absolute() && !Path::new(home).exists());
    assert_eq!(printed.lines().next_back(), Some("left"), "{outcome}");
    let environment = approved(&["env"]);
    let printed = word(&environment["result"]["stdout"]);
    assert!(printed.contains("SHOP_REGION=no'rth"), "{environment}");
    // The host knows them apart.
    let log = house().host.log();
    for name in ["read", "write"] {
        let key = Command::new("ssh-keygen")
            .args([
                "-lf",
                &format!("{}.pub", house().host.folder.join(name).display()),
            ])
            .output()
            .unwrap();
        let fingerprint = key.out().split(' ').nth(1).unwrap().to_owned();
        assert!(log.contains(&fingerprint), "{name} {fingerprint}: {log}");
    }
}

#[test]
fn every_argument_arrives_as_it_is() {
    let house = house();
    let arrived = house.host.folder.join("arrived");
    let script = r#"printf '%s\0' "$@" >"$0""#;
    let fixed = [
        "", "-n", "--", "-c", "$(id)", "`id`", "$HOME", "*", "~", "a b", "'", "''", "\"", "\\",
        "\\'", "\\0101", "\n", "a\n\n", "\r\n", "\t", "!", "!!", ";", "| id", "> x", "&&", "#",
        "%s", "%b", "{a,b}", "[a]", "é", "\u{202e}", "\u{7f}", "\u{1}", "=", "A=b",
    ];
    let arrives = |arguments: &[String]| {
        let mut argv = vec!["sh", "-c", script, arrived.to_str().unwrap()];
        argv.extend(arguments.iter().map(String::as_str));
        let outcome = free(&argv);
        assert_eq!(outcome["result"]["exit_code"], 0, "{outcome}");
        let wanted: String = arguments.iter().map(|word| format!("{word}\0")).collect();
        assert_eq!(fs::read_to_string(&arrived).unwrap(), wanted);
    };
    arrives(&fixed.map(str::to_owned));
    let word = any::<String>().prop_map(|word| word.replace('\0', "\u{1}"));
    let some = proptest::collection::vec(word, 1..40);
    let config = ProptestConfig {
        cases: 16,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&some, |arguments| {
            arrives(&arguments);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_host_that_shows_another_key_is_sent_nothing() {
    let House { gateway, host } = house();
    let agent = gateway.agent();
    let refused = exec(&agent, "stranger", &["cat"]).expect(503);
    let told = word(&refused["detail"]);
    assert!(told.contains("shows the key ssh-ed25519 SHA256:"), "{told}");
    // Whom it is told of, it writes down.
    exec(&agent, "nameless", &["cat"]).expect(503);
    until("it is written down", || {
        host.log().contains("told-and-unknown")
    });
    assert!(!host.log().contains("never-told"), "{}", host.log());
}

#[test]
fn a_key_that_the_host_does_not_take_runs_nothing_and_a_certificate_does() {
    let agent = house().gateway.agent();
    for (connection, why) in [("unwelcome", "does not let"), ("gone", "port 1")] {
        let refused = exec(&agent, connection, &["cat"]).expect(503);
        assert!(word(&refused["detail"]).contains(why), "{refused}");
    }
    let outcome = exec(&agent, "certified", &["cat"]).expect(200);
    assert_eq!(outcome["result"]["exit_code"], 0, "{outcome}");
}

#[test]
fn a_command_with_no_end_is_stopped_at_the_host_with_all_that_it_started() {
    // Nobody else sleeps for just as long.
    let long = |number: u32| format!("481{number}.{}", std::process::id());
    let agent = house().gateway.agent();
    let outcome = exec(&agent, "host", &["sleep", &long(1)]).expect(200);
    assert_eq!(outcome["error"]["failure"], "timeout", "{outcome}");
    let script = format!("touch here; sleep {} & sleep {}", long(2), long(3));
    let stopped = exec(&agent, "free", &["sh", "-c", &script]).expect(409);
    assert_eq!(stopped["status"], "outcome_unknown", "{stopped}");
    let stubborn = format!("trap '' TERM; sleep {} & wait", long(4));
    let left = format!("sleep {} & echo done", long(5));
    let left = free(&["sh", "-c", &left]);
    assert_eq!(left["result"]["stdout"], "done\n", "{left}");
    let stopped = exec(&agent, "free", &["sh", "-c", &stubborn]).expect(409);
    assert_eq!(stopped["status"], "outcome_unknown", "{stopped}");
    for number in 1..=5 {
        assert!(!is_running(&long(number)), "{number}");
    }
    let endless = free(&["cat", "/dev/zero"]);
    assert_eq!(
        endless["result"]["truncated"], true,
        "{}",
        endless["status"]
    );
    assert!(word(&endless["result"]["stdout"]).len() <= 64 << 10);
}

#[test]
fn a_connection_that_is_cut_leaves_nothing_running_and_an_outcome_nobody_knows() {
    let house = House::new();
    let agent = house.gateway.agent();
    let long = format!("4820.{}", std::process::id());
    let begun = house.host.folder.join("begun");
    let script = format!("touch {}; sleep {long}", begun.display());
    let outcome = thread::scope(|scope| {
        let asked = scope.spawn(|| exec(&agent, "free", &["sh", "-c", &script]));
        until("it begins", || begun.exists() && is_running(&long));
        house.host.cut();
        asked.join().unwrap().expect(409)
    });
    assert_eq!(outcome["status"], "outcome_unknown", "{outcome}");
    until("it ends", || !is_running(&long));
}

#[test]
fn the_credentials_of_a_host_can_be_tried_before_they_are_needed() {
    let host = &house().host;
    let folder = folder(&policy(host));
    let file = folder.join("policy.yaml");
    let mut command = portcullis(&["policy", "check", file.to_str().unwrap(), "--connect"]);
    for secret in secrets(host) {
        let (name, value) = secret.split_once('=').unwrap();
        command.env(name, value);
    }
    let said = command.output().unwrap();
    assert_eq!(said.code(), 1, "{}", said.out());
    let told = said.out();
    for (connection, why) in [
        ("stranger", "shows the key"),
        ("unwelcome", "does not let"),
        ("gone", "port 1"),
    ] {
        let about = told
            .lines()
            .find(|line| line.starts_with(&format!("{connection}:")));
        assert!(about.is_some_and(|line| line.contains(why)), "{told}");
    }
    for fine in ["host:", "free:", "certified:"] {
        assert!(!told.lines().any(|line| line.starts_with(fine)), "{told}");
    }
    fs::remove_dir_all(folder).unwrap();
}
