//! What every command says of itself, and what it says when it is called wrongly.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::gateway::{PORTCULLIS, Said, portcullis};

/// Every command there is.
const COMMANDS: &[&str] = &[
    "",
    "demo",
    "dev",
    "dev token",
    "serve",
    "approvals",
    "approvals list",
    "approvals preview",
    "approvals show",
    "approvals approve",
    "approvals deny",
    "sessions",
    "sessions list",
    "sessions show",
    "sessions replay",
    "sessions export",
    "classify",
    "mask",
    "policy",
    "policy check",
    "policy test",
    "policy explain",
    "policy schema",
    "verify",
];

fn help(command: &str) -> String {
    let mut words: Vec<_> = command.split_whitespace().collect();
    words.push("--help");
    let said = portcullis(&words).output().unwrap();
    assert_eq!(said.code(), 0, "{command}: {}", said.err());
    assert_eq!(said.err(), "", "{command}");
    said.out()
}

#[test]
fn every_command_says_what_it_does_and_how_it_is_called() {
    for command in COMMANDS {
        let said = help(command);
        let mut lines = said.lines();
        let first = lines.next().unwrap_or_default();
        assert!(first.len() > 20, "`{command}` says: {first}");
        let usage = format!("Usage: portcullis {command}");
        assert!(said.contains(usage.trim_end()), "{said}");
        assert!(said.contains("--format"), "`{command}`: {said}");
        // A usage is one line, to be copied whole.
        for line in said.lines().filter(|line| !line.starts_with("Usage: ")) {
            assert!(line.chars().count() <= 100, "`{command}`: {line}");
        }
    }
}

#[test]
fn no_command_is_missing_from_the_help() {
    for command in COMMANDS {
        let said = help(command);
        let listed = said
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty());
        // A name stands two spaces in; what is further in continues a description.
        for name in listed.filter_map(|line| line.strip_prefix("  ")) {
            let Some(name) = name.split(' ').next().filter(|name| !name.is_empty()) else {
                continue;
            };
            let full = format!("{command} {name}");
            let known = name == "help" || COMMANDS.contains(&full.trim_start());
            assert!(known, "no test knows `portcullis {full}`");
        }
    }
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let said = help("");
    for code in [
        "0 done",
        "1 it failed",
        "2 called wrongly",
        "3 denied",
        "4 a human",
    ] {
        assert!(said.contains(code), "{said}");
    }
}

#[test]
fn a_wrong_call_is_a_2_and_says_what_is_right() {
    for (words, right) in [
        (vec![], "Usage: portcullis"),
        (vec!["aprovals"], "approvals"),
        (vec!["approvals"], "list"),
        (vec!["approvals", "show"], "<ID>"),
        (
            vec!["approvals", "show", "../sessions"],
            "one looks like `apr_`",
        ),
        (vec!["sessions", "show", "req_1"], "one looks like `ses_`"),
        (
            vec!["approvals", "approve", &format!("apr_{}", "0".repeat(48))],
            "--digest",
        ),
        (vec!["sessions", "list", "--limit", "many"], "--limit"),
        (vec!["dev", "--port", "70000"], "--port"),
        (vec!["dev", "token"], "--as"),
        (
            vec!["dev", "token", "--as", "x", "--human", "--service"],
            "cannot be used with",
        ),
        (vec!["verify"], "<FILE>"),
        (vec!["demo", "--format", "yaml"], "text"),
    ] {
        let said = portcullis(&words).output().unwrap();
        assert_eq!(said.code(), 2, "{words:?}: {}", said.err());
        assert!(said.err().contains(right), "{words:?}: {}", said.err());
        assert_eq!(said.out(), "", "{words:?}");
    }
}

#[test]
fn without_a_token_one_is_told_how_to_get_one() {
    for words in [vec!["approvals", "list"], vec!["sessions", "list"]] {
        let said = portcullis(&words).output().unwrap();
        assert_eq!(said.code(), 2);
        assert!(said.err().contains("PORTCULLIS_TOKEN"), "{}", said.err());
        assert!(
            said.err().contains("portcullis dev token"),
            "{}",
            said.err()
        );
    }
    for token in ["", "two words", "line\nbreak"] {
        let said = portcullis(&["approvals", "list"])
            .env("PORTCULLIS_TOKEN", token)
            .output()
            .unwrap();
        assert_eq!(said.code(), 2, "{}", said.err());
        assert!(said.err().contains("token"), "{}", said.err());
        assert!(token.is_empty() || !said.err().contains(token));
    }
    let said = portcullis(&["approvals", "list", "--token-file", "/nowhere/token"])
        .output()
        .unwrap();
    assert_eq!(said.code(), 1);
    assert!(said.err().contains("/nowhere/token"), "{}", said.err());
}

#[test]
fn a_gateway_that_is_not_there_or_is_none_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let at = |url: &str| {
        portcullis(&["approvals", "list", "--token", "t", "--url", url])
            .output()
            .unwrap()
    };
    let said = at(&format!("http://{address}"));
    assert_eq!(said.code(), 1);
    assert!(
        said.err()
            .contains(&format!("http://{address} cannot be reached")),
        "{}",
        said.err()
    );
    let said = at("127.0.0.1:7171");
    assert_eq!(said.code(), 2);
    assert!(
        said.err().contains("http://127.0.0.1:7171"),
        "{}",
        said.err()
    );

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let page = "<h1>It works</h1>";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", page.len());
        stream.write_all((head + page).as_bytes()).unwrap();
    });
    let said = at(&format!("http://{address}"));
    other.join().unwrap();
    assert_eq!(said.code(), 1);
    assert!(
        said.err().contains("no Portcullis gateway"),
        "{}",
        said.err()
    );
}

#[test]
fn the_demo_tells_the_whole_story_without_a_network() {
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    // Every way out leads nowhere, and the home and working folder cannot be counted on.
    let said = portcullis(&["demo"])
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("http_proxy", "http://127.0.0.1:1")
        .env("ALL_PROXY", "http://127.0.0.1:1")
        .env("HOME", "/nonexistent")
        .env("TMPDIR", folder.path())
        .current_dir("/")
        .output()
        .unwrap();
    assert_eq!(said.code(), 0, "{}{}", said.out(), said.err());
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    println!("the demo took {:?}", began.elapsed());
    let out = said.out();
    for scene in [
        "masked: ",
        "denied by `no-schema-changes`",
        "held: apr_",
        "refused: ",
        "succeeded, 1 row changed",
        "execution.finished",
        "intact",
        "altered",
    ] {
        assert!(out.contains(scene), "no `{scene}` in: {out}");
    }
    assert!(!out.contains('\u{1b}'), "colour without a terminal");
    assert_eq!(said.err(), "");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "it left files behind");
}

#[test]
fn the_demo_is_readable_to_programs_too_and_keeps_what_it_is_asked_to_keep() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("kept");
    let said = portcullis(&["demo", "--format", "json", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(said.code(), 0, "{}", said.err());
    for line in said.out().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    let export = data.join("session.jsonl");
    let said = portcullis(&["verify", export.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(said.code(), 0, "{}", said.err());
    // A second demo in the same folder meets a customer who was forgotten already.
    let again = portcullis(&["demo", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(again.code() <= 1, "{}", again.err());
}

#[test]
fn whoever_stops_reading_is_no_failure() {
    for words in [
        vec!["--help"],
        vec!["policy", "schema"],
        vec!["classify", "--text", "SELECT 1", "--dialect", "postgres"],
        vec!["demo"],
    ] {
        let mut process = Command::new(PORTCULLIS)
            .args(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(process.stdout.take());
        let said = process.wait_with_output().unwrap();
        assert_eq!(said.code(), 0, "{words:?}: {}", said.err());
        assert_eq!(said.err(), "", "{words:?}");
    }
}

#[test]
fn what_policy_would_say_is_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    let database = folder.path().join("shop.db");
    let policy = crate::support::gateway::POLICY.replace("{DATABASE}", database.to_str().unwrap());
    std::fs::write(&file, policy).unwrap();
    for (sql, code) in [
        ("SELECT 1", 0),
        ("DROP TABLE orders", 3),
        ("DELETE FROM customers WHERE id = 7", 4),
    ] {
        for format in ["text", "json"] {
            let said = portcullis(&["policy", "explain", "--policy", file.to_str().unwrap()])
                .args([
                    "--connection",
                    "crm",
                    "--as",
                    "bot",
                    "--groups",
                    "ai-agents",
                ])
                .args(["--format", format, sql])
                .output()
                .unwrap();
            assert_eq!(said.code(), code, "{sql}: {}{}", said.out(), said.err());
            if format == "json" {
                serde_json::from_str::<Value>(&said.out()).unwrap();
            }
        }
    }
}
