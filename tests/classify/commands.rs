//! Commands and HTTP calls. `commands.jsonl` holds what each really does: found by running the tools against servers that
//! record, from the tools' own code, and by reading. Its truth is a class, or `doubt`: nobody can say, and nothing is changed.

use std::{collections::BTreeMap, time::Duration};

use portcullis::domain::classify::{
    Effect, Facts,
    command::{classify, classify_shell},
    http::{self, HttpCall},
};
use proptest::prelude::*;
use serde::Deserialize;

use super::{answers, portcullis};

#[derive(Clone, Debug, Deserialize)]
struct Case {
    truth: String,
    #[serde(flatten)]
    input: Input,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", content = "input", rename_all = "lowercase")]
enum Input {
    Argv(Vec<String>),
    Shell(String),
    Http(Call),
}

#[derive(Clone, Debug, Deserialize)]
struct Call {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

fn cases() -> Vec<Case> {
    include_str!("commands.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a case"))
        .collect()
}

fn judge(input: &Input) -> Facts {
    match input {
        Input::Argv(argv) => classify(argv),
        Input::Shell(script) => classify_shell(script),
        Input::Http(call) => call_of(call, &call.url),
    }
}

fn call_of(call: &Call, url: &str) -> Facts {
    let headers: Vec<(&str, &str)> = call
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    http::classify(&HttpCall {
        method: &call.method,
        url,
        headers: &headers,
        body: call.body.as_deref().map(str::as_bytes),
    })
}

#[test]
fn nothing_that_changes_something_or_shows_a_credential_is_a_plain_read() {
    let mut escapes = Vec::new();
    for case in cases() {
        let class = judge(&case.input).class;
        let is_escape = match case.truth.as_str() {
            "read" | "doubt" => false,
            "secret" => class == Effect::Read,
            // An effect must not pass for a mere look at a credential either.
            _ => class <= Effect::Secret && !(case.truth == "unknown" && class == Effect::Secret),
        };
        if is_escape {
            escapes.push(format!("{} {class}: {:?}", case.truth, case.input));
        }
    }
    assert_eq!(escapes, Vec::<String>::new());
}

#[test]
fn at_most_three_in_a_hundred_reads_are_refused() {
    let reads: Vec<Case> = cases()
        .into_iter()
        .filter(|case| case.truth == "read")
        .collect();
    let refused: Vec<String> = reads
        .iter()
        .map(|case| (case, judge(&case.input)))
        .filter(|(_, facts)| facts.class != Effect::Read)
        .map(|(case, facts)| format!("{} ({}): {:?}", facts.class, facts.why, case.input))
        .collect();
    assert!(reads.len() > 250, "{}", reads.len());
    assert!(refused.len() * 100 <= reads.len() * 3, "{refused:#?}");
}

#[test]
fn every_command_and_call_has_its_class_objects_and_reason() {
    let table: String = cases()
        .iter()
        .filter(|case| !matches!(&case.input, Input::Argv(argv) if argv.first().is_some_and(|first| first == "az")))
        .map(|case| {
            let facts = judge(&case.input);
            let input = match &case.input {
                Input::Argv(argv) => format!("{argv:?}"),
                Input::Shell(script) => format!("{script:?}"),
                Input::Http(call) => format!("{} {}", call.method, call.url),
            };
            let objects: Vec<&str> = facts.object_names().into_iter().collect();
            format!("{input}\n    {} [{}] {}\n", facts.class, objects.join(", "), facts.why)
        })
        .collect();
    insta::assert_snapshot!("commands", table);
}

#[test]
fn a_why_never_repeats_an_argument() {
    for script in [
        "az keyvault secret list --vault-name hunter2/x",
        "az group list --hunter2",
        "kubectl get hunter2 --hunter2",
        "hunter2 x",
        "git hunter2",
        "git log --hunter2",
        "cat /etc/hunter2",
        "curl --hunter2 https://hunter2/",
        "curl https://hunter2:hunter2@x/",
        "helm hunter2",
        "az rest --url https://hunter2/",
    ] {
        let why = classify_shell(script).why;
        assert!(!why.contains("hunter2"), "{script}: {why}");
    }
}

/// How long this thread has had a processor, however busy the machine is with others.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

#[test]
fn depth_and_length_neither_overflow_the_stack_nor_take_long() {
    let scripts = [
        "$(".repeat(100_000),
        "(".repeat(100_000),
        "echo $(".repeat(30) + "ls" + &")".repeat(30),
        "ls;".repeat(300_000),
        "sh -c \"".repeat(1000),
        "x".repeat(1 << 20),
        "[".repeat(10_000),
        "a <<b\n".repeat(1000),
        format!("az group list {}", "--query a ".repeat(50_000)),
        format!("kubectl get pods {}", "-n a ".repeat(50_000)),
        format!("find . {}", "-exec ".repeat(20_000)),
        "env ".repeat(50_000),
        "command ".repeat(50_000),
        "xargs ".repeat(50_000),
    ];
    for script in scripts {
        let before = worked();
        std::hint::black_box(classify_shell(&script));
        let took = worked() - before;
        assert!(
            took < Duration::from_secs(3),
            "{took:?}: {}…",
            &script[..20.min(script.len())]
        );
    }
    let call = Call {
        method: "POST".into(),
        url: "https://x/graphql".into(),
        headers: BTreeMap::new(),
        body: Some("[".repeat(200_000)),
    };
    call_of(&call, &call.url);
    call_of(&call, &format!("https://x/{}", "a/../".repeat(100_000)));
    call_of(
        &call,
        &format!(
            "https://x/?{}",
            (0..2_000).map(|n| format!("a{n}=1&")).collect::<String>()
        ),
    );
}

/// The word, quoted in one of the ways a shell has.
fn quoted(word: &str, way: u8) -> String {
    match way % 3 {
        0 => format!("'{}'", word.replace('\'', "'\\''")),
        1 => {
            let mut text = String::from("\"");
            for c in word.chars() {
                if matches!(c, '"' | '\\' | '$' | '`') {
                    text.push('\\');
                }
                text.push(c);
            }
            text + "\""
        }
        _ => word
            .chars()
            .map(|c| {
                if c == '\n' {
                    "'\n'".to_owned()
                } else {
                    format!("\\{c}")
                }
            })
            .collect(),
    }
}

fn argvs() -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = cases()
        .into_iter()
        .filter_map(|case| match case.input {
            Input::Argv(argv) if !argv.is_empty() => Some(argv),
            _ => None,
        })
        .collect();
    all.dedup();
    all
}

fn changers() -> Vec<Vec<String>> {
    let words = |case: Case| match case.input {
        Input::Argv(argv) if matches!(case.truth.as_str(), "write" | "destructive") => Some(argv),
        _ => None,
    };
    cases()
        .into_iter()
        .filter_map(words)
        .filter(|argv| matches!(argv[0].as_str(), "az" | "kubectl"))
        // A dry run and a call for help are reads, and are what they are by their place.
        .filter(|argv| {
            !argv
                .iter()
                .any(|word| word.contains("dry-run") || word.contains("help") || word == "-h")
        })
        .collect()
}

fn calls() -> Vec<(String, Call)> {
    cases()
        .into_iter()
        .filter_map(|case| match case.input {
            Input::Http(call) => Some((case.truth, call)),
            _ => None,
        })
        .collect()
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        classify_shell(&text);
        classify(&text.split(' ').collect::<Vec<_>>());
        http::classify(&HttpCall { method: &text, url: &text, headers: &[(&text, &text)], body: Some(&bytes) });
        http::classify(&HttpCall { method: "POST", url: "https://x/graphql", headers: &[], body: Some(&bytes) });
    }

    #[test]
    fn any_heap_of_shell_is_judged_without_a_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "'", "\"", "\\", "$(", ")", "(", "`", "${", "}", "{", "<<", "EOF", "\n", "<", ">", "&", "|", ";", " ", "az ", "ls ",
            "kubectl ", "get ", "-", "--", "=", "@", "*", "?", "[", "]", "#", "~", "!", "if ", "do ", "sh -c ", "xargs ", "find ",
            "sed ", "s/a/b/", "env ", "é", "1", "2>", "curl ", "https://", "git ", "-c", "psql ",
        ]), 0..40)
    ) {
        classify_shell(&pieces.concat());
    }

    #[test]
    fn quoting_changes_nothing(argv in prop::sample::select(argvs()), ways in prop::collection::vec(any::<u8>(), 40)) {
        // A shell has a word for words of its own and for variables; an argument list does not.
        prop_assume!(!matches!(argv[0].as_str(), "bash" | "sh"));
        let script: Vec<String> = argv.iter().zip(ways.iter().cycle()).map(|(word, way)| quoted(word, *way)).collect();
        prop_assert_eq!(classify_shell(&script.join(" ")).class, classify(&argv).class, "{}", script.join(" "));
    }

    #[test]
    fn no_order_of_its_arguments_makes_a_change_a_read(argv in prop::sample::select(changers()), seed in any::<u64>()) {
        let words = argv.iter().skip(1).take_while(|word| !word.starts_with('-')).count();
        let mut rest: Vec<String> = argv[1 + words..].to_vec();
        let mut state = seed;
        for at in (1..rest.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            rest.swap(at, (state >> 33) as usize % (at + 1));
        }
        let shuffled: Vec<String> = argv[..=words].iter().cloned().chain(rest).collect();
        prop_assert!(classify(&shuffled).class > Effect::Secret, "{:?}", shuffled);
    }

    #[test]
    fn a_script_is_as_dangerous_as_its_worst_command(
        first in prop::sample::select(argvs()),
        second in prop::sample::select(argvs()),
        between in prop::sample::select(vec![" ; ", " && ", " || ", " | ", "\n", " & "]),
    ) {
        let script = |argv: &[String]| argv.iter().map(|word| quoted(word, 0)).collect::<Vec<_>>().join(" ");
        let (first, second) = (script(&first), script(&second));
        let worst = classify_shell(&first).class.max(classify_shell(&second).class);
        for script in [format!("{first}{between}{second}"), format!("({first}{between}{second}\n)"), format!("{first} \"$({second})\"")] {
            prop_assert!(classify_shell(&script).class >= worst, "{}", script);
        }
    }

    #[test]
    fn no_spelling_of_a_url_makes_a_change_or_a_secret_a_read(
        (truth, call) in prop::sample::select(calls()),
        spelling in prop::sample::select(vec!["case", "encoded", "dots", "slashes", "slash", "port", "detour"]),
        at in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!matches!(truth.as_str(), "read" | "doubt"));
        let Some((scheme, rest)) = call.url.split_once("://") else { return Ok(()) };
        let (head, query) = rest.split_once('?').map_or((rest, None), |(head, query)| (head, Some(query)));
        let (host, path) = head.split_once('/').unwrap_or((head, ""));
        let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let index = at.index(segments.len());
        let mut host = host.to_owned();
        match spelling {
            "case" => host = host.to_uppercase(),
            "encoded" => {
                if let Some(first) = segments[index].chars().next().filter(char::is_ascii_alphanumeric) {
                    segments[index] = format!("%{:02x}{}", first as u32, &segments[index][1..]);
                }
            }
            "dots" => segments.insert(index, ".".into()),
            "slashes" => segments.insert(index, String::new()),
            "slash" => segments.push(String::new()),
            "port" if !host.contains(':') => host.push_str(":443"),
            _ => {
                segments.insert(index, "validate".into());
                segments.insert(index + 1, "%2e%2e".into());
            }
        }
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{scheme}://{host}/{}{query}", segments.join("/"));
        prop_assert_ne!(call_of(&call, &url).class, Effect::Read, "{}", url);
    }
}

#[test]
fn the_command_answers_for_commands_and_calls() {
    let input = concat!(
        r#"{"id": 1, "kind": "argv", "input": ["kubectl", "delete", "ns", "prod"]}"#,
        "\n",
        r#"{"id": 2, "kind": "shell", "input": "kubectl get pods | wc -l"}"#,
        "\n",
        r#"{"id": 3, "kind": "http", "input": {"method": "GET", "url": "https://v.vault.azure.net/secrets/s", "headers": null}}"#,
        "\n",
        r#"{"id": 4, "kind": "http", "input": {"method": "GET", "url": "https://x/", "headers": {"a": "1", "a": "2"}}}"#,
        "\n",
        r#"{"id": 5, "kind": "argv", "input": "ls"}"#,
    );
    let output = portcullis(&["classify"], input);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_json_snapshot!(answers(&output));
}

#[test]
fn the_command_explains_a_shell_string_and_a_call() {
    let shell = portcullis(
        &[
            "classify",
            "--kind",
            "shell",
            "--text",
            "kubectl -n prod delete pod web; ls",
        ],
        "",
    );
    let http = portcullis(
        &[
            "classify",
            "--kind",
            "http",
            "--text",
            "POST https://management.azure.com/subscriptions/s/providers/Microsoft.Compute/virtualMachines/v/start",
        ],
        "",
    );
    insta::assert_snapshot!(format!(
        "{}\n{}",
        String::from_utf8_lossy(&shell.stdout),
        String::from_utf8_lossy(&http.stdout)
    ));
}
