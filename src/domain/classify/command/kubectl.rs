//! kubectl. Which of its commands read is in `data/kubectl.txt`, with the options each takes, so that an option, its value
//! and what merely looks like one are told apart as kubectl does. A command that is not there is a plugin's.

use super::{
    Word, by_table,
    options::{self, Arguments, NotUnderstood, Style},
    paths,
    table::{Command, KUBECTL},
    touching,
};
use crate::domain::classify::{
    Effect, Facts,
    http::{self, Family, HttpCall},
};

pub(super) fn judge(words: &[Word]) -> Facts {
    if words.iter().any(|word| !word.is_literal()) {
        return Facts::unknown("an argument of kubectl is not known until it runs");
    }
    let before = match before_command(words) {
        Ok(before) => before,
        Err(NotUnderstood(why)) => return Facts::unknown(format!("kubectl: {why}")),
    };
    let Some((command, length)) = KUBECTL.longest(&words[before..]) else {
        let asks_help = words[before..]
            .iter()
            .all(|word| matches!(word.text.as_str(), "-h" | "--help"));
        return if asks_help {
            by_table(Effect::Read, "kubectl help")
        } else {
            Facts::unknown("it is no command of kubectl itself; one of a plugin is not judged")
        };
    };
    let mut arguments = words[..before].to_vec();
    arguments.extend_from_slice(&words[before + length..]);
    let kind = format!("kubectl {}", command.name);
    let help = options::Takes("help,h!");
    let arguments = match options::parse(
        &[command.takes, KUBECTL.global, help],
        Style::Getopt,
        &arguments,
    ) {
        Ok(arguments) => arguments,
        Err(NotUnderstood(why)) if command.effect <= Effect::Secret => {
            return Facts::unknown(format!("`{kind}`: {why}"));
        }
        Err(_) => return by_table(command.effect, &kind),
    };
    let asks_help = arguments
        .options
        .iter()
        .rev()
        .find(|(name, _)| *name == "help")
        .is_some_and(|(_, value)| is_true(*value));
    if asks_help {
        return by_table(Effect::Read, "kubectl help");
    }
    let facts = match command.name {
        "get" if arguments.has("raw") => raw(&kind, &arguments, "GET"),
        "create" | "delete" | "replace" if arguments.has("raw") => {
            let method = match command.name {
                "create" => "POST",
                "delete" => "DELETE",
                _ => "PUT",
            };
            raw(&kind, &arguments, method)
        }
        "get" => get(&kind, &arguments),
        "apply view-last-applied" | "wait"
            if shows_secret(&arguments, command.name == "apply view-last-applied") =>
        {
            by_table(Effect::Secret, &kind)
        }
        "config view"
            if arguments
                .options
                .iter()
                .any(|(name, value)| *name == "raw" && is_true(*value)) =>
        {
            Facts::of(
                Effect::Secret,
                &kind,
                "`kubectl config view --raw` shows tokens",
            )
        }
        "cluster-info dump" if arguments.has("output-directory") => {
            Facts::of(Effect::Write, &kind, "it writes local files")
        }
        "cluster-info" | "rollout status" | "plugin list" | "explain" => {
            by_table(Effect::Read, &kind)
        }
        _ if command.effect > Effect::Secret => changer(command, &kind, &arguments),
        _ => by_table(command.effect, &kind),
    };
    touching(
        facts.and(surroundings(&kind, &arguments)),
        objects(command, &arguments),
    )
}

/// How many of the words stand before the command: options every command takes.
fn before_command(words: &[Word]) -> Result<usize, NotUnderstood> {
    let mut at = 0;
    while let Some(word) = words
        .get(at)
        .filter(|word| word.text.starts_with('-') && word.text.len() > 1)
    {
        if matches!(word.text.as_str(), "-h" | "--help") {
            break;
        }
        // Alone it lacks its value, or it is whole: then the next word is not part of it.
        let alone = options::parse(&[KUBECTL.global], Style::Getopt, &words[at..=at]);
        at += match alone {
            Ok(_) => 1,
            Err(_) if at + 1 < words.len() => {
                options::parse(&[KUBECTL.global], Style::Getopt, &words[at..at + 2])?;
                2
            }
            Err(error) => return Err(error),
        };
    }
    Ok(at)
}

fn is_true(value: Option<&str>) -> bool {
    value.is_none_or(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// What options that every command takes do.
fn surroundings(kind: &str, arguments: &Arguments<'_>) -> Facts {
    let mut facts = Facts::of(Effect::Read, kind, format!("`{kind}` only reads"));
    for (name, value) in &arguments.options {
        let value = value.unwrap_or_default();
        let also = match *name {
            "server"
            | "kubeconfig"
            | "token"
            | "username"
            | "password"
            | "certificate-authority"
            | "client-key"
            | "client-certificate"
            | "insecure-skip-tls-verify"
            | "tls-server-name"
            | "cache-dir" => Facts::unknown(format!(
                "`kubectl --{name}` changes which server is asked, how it is trusted or what code is loaded to log in"
            )),
            // `--from-file=key=FILE`; what is in it is printed by a dry run.
            "from-file" | "from-env-file" | "filename" | "kustomize"
                if paths::showing(value.rsplit('=').next().unwrap_or_default()) != Effect::Read =>
            {
                Facts::of(
                    Effect::Secret,
                    kind,
                    "it takes a file that may hold a credential",
                )
            }
            "profile" | "profile-output" => {
                Facts::of(Effect::Write, kind, "a profile is written to a local file")
            }
            // From 6 on, requests and answers are printed.
            "v" | "vmodule" if !matches!(value, "0" | "1" | "2" | "3" | "4" | "5") => {
                Facts::unknown(
                    "with this much logging kubectl prints requests and answers, secret values among them",
                )
            }
            _ => continue,
        };
        facts = facts.and(also);
    }
    facts
}

/// Whether it shows all of objects that may be secrets: those it names, or those of a file. `always`: whatever its output.
fn shows_secret(arguments: &Arguments<'_>, always: bool) -> bool {
    let output = arguments.last("output").unwrap_or_default();
    let is_list = matches!(output, "" | "wide" | "name") && !arguments.has("template") && !always;
    let names_secret = arguments.operands.iter().any(|operand| {
        operand.text.split(',').any(|item| {
            let kind = item.split(['/', '.']).next().unwrap_or_default();
            matches!(kind.to_ascii_lowercase().as_str(), "secret" | "secrets")
        })
    });
    let hides_kind = arguments.has("filename") || arguments.has("kustomize");
    // Columns can be chosen by label and sorting by field without showing a value; other output shows all of it.
    let shows = !is_list || arguments.has("sort-by");
    shows && (names_secret || hides_kind)
}

/// `kubectl get`: a read, unless secrets are among what it shows.
fn get(kind: &str, arguments: &Arguments<'_>) -> Facts {
    let output = arguments.last("output").unwrap_or_default();
    if output.contains("-file") || output.starts_with("templatefile") {
        return Facts::unknown("the template of its output is taken from a local file");
    }
    if shows_secret(arguments, false) {
        return Facts::of(
            Effect::Secret,
            kind,
            "`kubectl get` shows the values of secrets, or of what a file names",
        );
    }
    by_table(Effect::Read, kind)
}

/// `--raw`: an HTTP call.
fn raw(kind: &str, arguments: &Arguments<'_>, method: &str) -> Facts {
    let path = arguments.last("raw").unwrap_or_default();
    if !path.starts_with('/') {
        return Facts::unknown("`--raw` is not a path of the API server");
    }
    let url = format!("https://kubernetes.default.svc{path}");
    let call = HttpCall {
        method,
        url: &url,
        headers: &[],
        body: None,
    };
    let mut facts = http::classify_as(Family::Kubernetes, &call);
    facts.kinds.insert(0, kind.to_owned());
    facts
}

fn changer(command: Command, kind: &str, arguments: &Arguments<'_>) -> Facts {
    let given = arguments
        .options
        .iter()
        .rev()
        .find(|(name, _)| *name == "dry-run");
    let is_dry = given.is_some_and(|(_, value)| matches!(*value, Some("client" | "server")));
    if is_dry {
        let of_secret = command.name.starts_with("create secret")
            || command.name == "create token"
            || shows_secret(arguments, false);
        let (effect, why) = if of_secret {
            (
                Effect::Secret,
                "a dry run changes nothing, and prints the secret",
            )
        } else {
            (Effect::Read, "a dry run changes nothing")
        };
        return Facts::of(effect, kind, why);
    }
    let only_lists = matches!(command.name, "label" | "annotate")
        && arguments.has("list")
        && !shows_secret(arguments, false)
        && !(arguments.operands.iter())
            .any(|word| word.text.contains('=') || word.text.ends_with('-'));
    if only_lists {
        return by_table(Effect::Read, kind);
    }
    let removes = command.name == "apply" && arguments.has("prune")
        || arguments.last("replicas") == Some("0")
        || command.name == "replace" && arguments.has("force");
    let effect = if removes {
        command.effect.max(Effect::Destructive)
    } else {
        command.effect
    };
    let mut facts = by_table(effect, kind);
    facts.unbounded |=
        arguments.has("all") || arguments.has("all-namespaces") || arguments.has("selector");
    facts.runs_unjudged |= matches!(command.name, "exec" | "attach" | "cp" | "debug" | "run");
    facts
}

/// `deployments/web` for each resource that is named; what follows `--` is a command, not a resource.
fn objects(command: Command, arguments: &Arguments<'_>) -> Vec<String> {
    let about_resources = matches!(
        command.name.split(' ').next(),
        Some(
            "get"
                | "describe"
                | "delete"
                | "scale"
                | "label"
                | "annotate"
                | "patch"
                | "edit"
                | "rollout"
                | "expose"
                | "autoscale"
                | "wait"
        )
    );
    if !about_resources || arguments.has("raw") {
        return Vec::new();
    }
    let mut operands = arguments.operands.iter().map(|word| word.text.as_str());
    let Some(first) = operands.next() else {
        return Vec::new();
    };
    if first.contains('/') {
        return std::iter::once(first)
            .chain(operands)
            .filter(|name| name.contains('/'))
            .map(str::to_owned)
            .collect();
    }
    let kinds = first.split(',');
    let names: Vec<&str> = operands
        .filter(|name| !name.contains('=') && !name.ends_with('-'))
        .collect();
    kinds
        .flat_map(|kind| {
            let all = names.is_empty().then(|| format!("{kind}/*"));
            let each = names.iter().map(move |name| format!("{kind}/{name}"));
            all.into_iter().chain(each).collect::<Vec<_>>()
        })
        .collect()
}
