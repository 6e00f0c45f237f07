//! The Azure CLI. Which of its 6,105 commands read, and which show a credential, is in `data/az.txt`.
//!
//! Seen on the CLI itself: the words of a command come first, in any case; `@file` stands for what is in the file,
//! wherever it is; options may be cut short, glued and bundled; the last value wins; an option that the command does not
//! take, and anything after `--`, is refused.

use super::{
    Word, by_table,
    options::{self, Arguments, NotUnderstood, Style, Takes},
    table::{AZ, Command},
    touching,
};
use crate::domain::classify::{
    Effect, Facts,
    http::{self, HttpCall},
};

/// What every command takes. `--debug` is not among them: it prints requests and answers with their headers.
const GLOBAL: Takes = Takes("help,h! output,o query verbose! only-show-errors! subscription");

/// Options that put a credential into the answer of a command that has none without them.
const REVEALING: &[&str] = &[
    "expose-token",
    "show-values",
    "show-secrets",
    "with-secrets",
    "with-secure-properties",
    "resolve-keyvault",
    "sdk-auth",
    "include-full-endpoint-url",
    "include-static-delivery-attribute-secret",
    "generate-password",
    "show-sensitive-values",
];
/// Options with which a reader writes a local file.
const WRITING: &[&str] = &[
    "file",
    "output-file",
    "result-file",
    "output-folder",
    "output-directory",
    "destination",
    "download-path",
];
/// Options that say where requests, with the caller's token, are sent.
const ENDPOINTS: &[&str] = &[
    "endpoint",
    "-url",
    "connection-string",
    "url-connection",
    "-host",
];
/// Options that become the first part of a host's name.
const HOSTS: &[&str] = &[
    "vault-name",
    "hsm-name",
    "account-name",
    "registry",
    "workspace-name",
    "store-name",
];

pub(super) fn judge(words: &[Word]) -> Facts {
    if let [only] = words
        && matches!(only.text.as_str(), "--version" | "-v")
    {
        return by_table(Effect::Read, "az --version");
    }
    let names = words
        .iter()
        .take_while(|word| word.is_literal() && !word.text.starts_with('-'))
        .count();
    let (named, rest) = words.split_at(names);
    if words.iter().any(|word| !word.is_literal()) {
        return Facts::unknown("an argument of az is not known until it runs");
    }
    if words.iter().any(|word| reads_file(&word.text)) {
        return Facts::unknown("an argument of az is taken from a local file (`@file`)");
    }
    let named: Vec<Word> = named
        .iter()
        .map(|word| Word::literal(word.text.to_ascii_lowercase()))
        .collect();
    // Help is given, and nothing done, wherever it is asked for; after `--` it is not asked for.
    let asks_help = rest
        .iter()
        .any(|word| matches!(word.text.as_str(), "-h" | "--help"))
        && rest.iter().all(|word| word.text != "--");
    let Some((command, length)) = AZ.longest(&named) else {
        let group: Vec<&str> = named.iter().map(|word| word.text.as_str()).collect();
        return if asks_help && AZ.has_group(&group.join(" ")) {
            by_table(Effect::Read, "az --help")
        } else {
            Facts::unknown(
                "it is no command of the Azure CLI itself; one of an extension is not judged",
            )
        };
    };
    let kind = format!("az {}", command.name);
    if asks_help {
        return by_table(Effect::Read, "az --help");
    }
    if length < named.len() {
        return Facts::unknown(format!("`{kind}` takes no further words"));
    }
    if command.name == "rest" {
        return rest_call(command, rest);
    }
    let facts = match command.effect {
        Effect::Read | Effect::Secret => {
            match options::parse(&[command.takes, GLOBAL], Style::Argparse, rest) {
                Err(NotUnderstood(why)) => return Facts::unknown(format!("`{kind}`: {why}")),
                Ok(arguments) if !arguments.operands.is_empty() => {
                    return Facts::unknown(format!(
                        "`{kind}` is given a value that belongs to no option"
                    ));
                }
                Ok(arguments) => reader(command, &kind, &arguments),
            }
        }
        // Whatever its options are, it is no read; those that make it worse are few.
        effect => changer(command, effect, &kind, rest),
    };
    touching(facts, touched(rest))
}

fn reads_file(word: &str) -> bool {
    word.starts_with('@')
        || word.contains("=@")
        || word.starts_with('-') && word.contains('@') && !word.contains('=')
}

fn reader(command: Command, kind: &str, arguments: &Arguments<'_>) -> Facts {
    let mut facts = by_table(command.effect, kind);
    for (name, value) in &arguments.options {
        let value = value.unwrap_or_default();
        if REVEALING.contains(name) {
            facts = facts.and(Facts::of(
                Effect::Secret,
                kind,
                format!("`{kind} --{name}` shows a credential"),
            ));
        }
        if WRITING.contains(name) {
            facts = facts.and(Facts::of(
                Effect::Write,
                kind,
                format!("`{kind} --{name}` writes a local file"),
            ));
        }
        let is_host = HOSTS.contains(name)
            && !value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let is_endpoint = ENDPOINTS.iter().any(|end| name.ends_with(end))
            || *name == "id" && value.contains("://");
        if is_host || is_endpoint && !http::is_microsofts(value) {
            facts = facts.and(Facts::unknown(format!(
                "`{kind} --{name}` sends the request, with a token, to a host that is not known to be Azure's"
            )));
        }
    }
    facts
}

fn changer(command: Command, effect: Effect, kind: &str, rest: &[Word]) -> Facts {
    let says = |option: &str, value: &str| {
        rest.windows(2)
            .any(|pair| pair[0].text == option && pair[1].text.eq_ignore_ascii_case(value))
            || rest.iter().any(|word| {
                word.text
                    .strip_prefix(option)
                    .and_then(|after| after.strip_prefix('='))
                    .is_some_and(|given| given.eq_ignore_ascii_case(value))
            })
    };
    let removes = command.name.starts_with("deployment") && says("--mode", "complete")
        || [
            "--instance-count",
            "--node-count",
            "--replicas",
            "--min-replicas",
            "--number-of-workers",
            "--capacity",
            "-c",
        ]
        .into_iter()
        .any(|option| command.name.ends_with("scale") && says(option, "0"));
    if removes && effect < Effect::Destructive {
        return Facts::of(
            Effect::Destructive,
            kind,
            format!("`{kind}` with these options removes what is there"),
        );
    }
    by_table(effect, kind)
}

/// `az rest`: an HTTP call with the caller's token.
fn rest_call(command: Command, rest: &[Word]) -> Facts {
    let arguments = match options::parse(&[command.takes, GLOBAL], Style::Argparse, rest) {
        Ok(arguments) if arguments.operands.is_empty() => arguments,
        Ok(_) => return Facts::unknown("`az rest` is given a value that belongs to no option"),
        Err(NotUnderstood(why)) => return Facts::unknown(format!("`az rest`: {why}")),
    };
    let Some(url) = arguments.last("url").or_else(|| arguments.last("uri")) else {
        return Facts::unknown("`az rest` is given no URL");
    };
    let url = match url.strip_prefix('/') {
        Some(path) => format!("https://management.azure.com/{path}"),
        None => url.to_owned(),
    };
    if !http::is_microsofts(&url) {
        return Facts::unknown(
            "`az rest` sends a request, with a token, to a host that is not known to be Azure's",
        );
    }
    if arguments.has("uri-parameters")
        || arguments.has("url-parameters")
        || arguments.has("headers")
    {
        return Facts::unknown(
            "`az rest` with headers or parameters of its own is not judged: put them into the URL",
        );
    }
    let method = arguments
        .last("method")
        .unwrap_or("get")
        .to_ascii_uppercase();
    let call = HttpCall {
        method: &method,
        url: &url,
        headers: &[],
        body: arguments.last("body").map(str::as_bytes),
    };
    let mut facts = http::classify(&call);
    facts.kinds.insert(0, "az rest".to_owned());
    if arguments.has("output-file") {
        facts = facts.and(Facts::of(
            Effect::Write,
            "az rest",
            "`az rest --output-file` writes a local file",
        ));
    }
    facts
}

/// The resources it names: ids, or group and name.
fn touched(rest: &[Word]) -> Vec<String> {
    let value = |long: &str, short: &str| {
        rest.iter().enumerate().rev().find_map(|(at, word)| {
            let text = word.text.as_str();
            let glued = text
                .strip_prefix(long)
                .and_then(|after| after.strip_prefix('='));
            glued.or_else(|| {
                (text == long || text == short)
                    .then(|| rest.get(at + 1).map_or("", |next| &next.text))
            })
        })
    };
    match (
        value("--ids", "--ids"),
        value("--resource-group", "-g"),
        value("--name", "-n"),
    ) {
        (Some(id), ..) if !id.is_empty() => vec![id.to_owned()],
        (_, Some(group), Some(name)) => vec![format!("{group}/{name}")],
        (_, Some(one), None) | (_, None, Some(one)) => vec![one.to_owned()],
        _ => Vec::new(),
    }
}
