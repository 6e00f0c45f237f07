//! Programs other than az, kubectl and curl: those that run another, those with a language of their own, and the rest,
//! which `data/tools.txt` knows.

use super::{
    Word, by_table, is_harmless_variable, judge as judge_command, judge_script,
    options::{self, Arguments, NotUnderstood, Style, Takes},
    paths, sets_variable, shows_file,
    table::{Command, TOOLS},
};
use crate::domain::classify::{Dialect, Effect, Facts, Outputs, sql};

pub(super) fn judge(name: &str, words: &[Word], depth: usize) -> Facts {
    match name {
        "sh" | "bash" | "dash" | "zsh" | "ksh" => shell(words, depth),
        "env" => env(words, depth),
        "sudo" | "doas" => {
            let inner = words
                .iter()
                .position(|word| !word.text.starts_with('-'))
                .unwrap_or(words.len());
            let inner = judge_command(&words[inner..], depth + 1);
            Facts::of(
                Effect::Admin,
                name,
                "it runs a command with another user's rights",
            )
            .and(inner)
        }
        "command"
            if words
                .first()
                .is_some_and(|word| matches!(word.text.as_str(), "-v" | "-V")) =>
        {
            Facts::of(Effect::Read, "command", "it only tells where a program is")
        }
        "command" | "exec" | "builtin" | "busybox" => wrapped(name, words, "", 0, depth),
        "timeout" => wrapped(
            name,
            words,
            "kill-after,k signal,s preserve-status! foreground! verbose,v!",
            1,
            depth,
        ),
        "nice" => wrapped(name, words, "adjustment,n", 0, depth),
        "time" => wrapped(name, words, "portability,p!", 0, depth),
        "xargs" => xargs(words, depth),
        "find" => find(words, depth),
        "sed" => sed(words),
        "awk" | "gawk" | "mawk" => awk(words),
        "psql" => psql(words),
        "git" => git(words),
        "helm" => leading(name, words, &["-n", "--namespace", "--kube-context"], &[]),
        "terraform" => leading(name, words, &[], &["-chdir="]),
        _ => tool(name, words),
    }
}

/// A program whose arguments, after its own options and `operands` of its own, are a command.
fn wrapped(
    name: &str,
    words: &[Word],
    takes: &'static str,
    operands: usize,
    depth: usize,
) -> Facts {
    let mut at = 0;
    while let Some(word) = words
        .get(at)
        .filter(|word| word.text.starts_with('-') && word.is_literal())
    {
        if word.text == "--" {
            at += 1;
            break;
        }
        let one = options::parse(&[Takes(takes)], Style::Getopt, &words[at..=at]);
        let two = words
            .get(at..at + 2)
            .map(|two| options::parse(&[Takes(takes)], Style::Getopt, two));
        at += match (one, two) {
            (Ok(_), _) => 1,
            (Err(_), Some(Ok(_))) => 2,
            _ => return Facts::unknown(format!("`{name}` has an option that is not reviewed")),
        };
    }
    match words.get(at + operands..) {
        Some(inner) if !inner.is_empty() => judge_command(inner, depth + 1),
        _ => Facts::unknown(format!("`{name}` is given no command")),
    }
}

/// A shell runs a script only if it is in the text: after `-c`, with no arguments that it could use.
fn shell(words: &[Word], depth: usize) -> Facts {
    let mut words = words.iter();
    while let Some(word) = words.next().filter(|word| word.is_literal()) {
        match word.text.as_str() {
            "-o" if words.next().is_some_and(|word| {
                matches!(word.text.as_str(), "errexit" | "nounset" | "pipefail")
            }) => {}
            text if text.len() > 1
                && text.starts_with('-')
                && text[1..].bytes().all(|letter| b"euxfc".contains(&letter)) =>
            {
                if !text.contains('c') {
                    continue;
                }
                return match (words.next(), words.next()) {
                    (Some(script), None) if script.is_literal() && depth < super::DEEPEST => {
                        judge_script(&script.text, depth + 1)
                    }
                    _ => Facts::unknown(
                        "a shell is given a script, or arguments for one, that are not judged",
                    ),
                };
            }
            _ => break,
        }
    }
    Facts::unknown("a shell runs a script that is not in the text")
}

fn env(words: &[Word], depth: usize) -> Facts {
    let mut facts = None;
    let mut words = words;
    while let Some((word, rest)) = words.split_first() {
        match word.text.as_str() {
            _ if !word.is_literal() => break,
            "-i" | "-" | "--ignore-environment" | "--" => {}
            "-u" | "--unset" if !rest.is_empty() => {
                words = &rest[1..];
                continue;
            }
            text if text.starts_with('-') => {
                return Facts::unknown("`env` has an option that is not reviewed");
            }
            text => match text.split_once('=') {
                Some((name, _)) if is_harmless_variable(name) => {}
                Some(_) => facts = Some(sets_variable()),
                None => break,
            },
        }
        words = rest;
    }
    let inner = if words.is_empty() {
        Facts::of(
            Effect::Secret,
            "env",
            "it shows the environment, credentials in it among the rest",
        )
    } else {
        judge_command(words, depth + 1)
    };
    match facts {
        Some(facts) => facts.and(inner),
        None => inner,
    }
}

/// xargs adds arguments that are not in the text.
fn xargs(words: &[Word], depth: usize) -> Facts {
    const TAKES: Takes = Takes(
        "null,0! no-run-if-empty,r! max-args,n max-procs,P max-lines,L delimiter,d replace,I arg-file,a verbose,t! exit,x! max-chars,s",
    );
    let mut at = 0;
    let mut placeholder = None;
    while words
        .get(at)
        .is_some_and(|word| word.is_literal() && word.text.starts_with('-'))
    {
        let one = options::parse(&[TAKES], Style::Getopt, &words[at..=at]);
        let (parsed, length) = match one {
            Ok(parsed) => (parsed, 1),
            Err(_) => match words
                .get(at..at + 2)
                .map(|two| options::parse(&[TAKES], Style::Getopt, two))
            {
                Some(Ok(parsed)) => (parsed, 2),
                _ => return Facts::unknown("`xargs` has an option that is not reviewed"),
            },
        };
        placeholder = parsed.last("replace").map(str::to_owned).or(placeholder);
        at += length;
    }
    let mut command = words[at..].to_vec();
    if command.is_empty() {
        command.push(Word::literal("echo"));
    }
    match placeholder {
        Some(placeholder) => {
            for word in command
                .iter_mut()
                .filter(|word| word.text.contains(&placeholder))
            {
                word.printed();
            }
        }
        None => {
            let mut more = Word::literal("");
            more.printed();
            command.push(more);
        }
    }
    judge_command(&command, depth + 1)
}

/// Tests of find that take a value.
const VALUED_TESTS: &[&str] = &[
    "-name",
    "-iname",
    "-path",
    "-ipath",
    "-type",
    "-maxdepth",
    "-mindepth",
    "-mtime",
    "-mmin",
    "-atime",
    "-ctime",
    "-size",
    "-user",
    "-group",
    "-perm",
    "-newer",
    "-regex",
    "-iregex",
    "-regextype",
    "-printf",
    "-amin",
    "-cmin",
    "-links",
    "-inum",
    "-wholename",
];

/// find: tests only select, actions do.
fn find(words: &[Word], depth: usize) -> Facts {
    let listing = Facts::of(Effect::Read, "find", "`find` only lists files");
    let mut facts = listing;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !word.is_literal() {
            return Facts::unknown("an argument of find is not known until it runs");
        }
        match word.text.as_str() {
            "-delete" => {
                facts = facts.and(Facts::of(
                    Effect::Destructive,
                    "find",
                    "`find -delete` removes files",
                ))
            }
            "-exec" | "-execdir" => {
                let mut command: Vec<Word> = Vec::new();
                for word in words.by_ref() {
                    if matches!(word.text.as_str(), ";" | "+") {
                        break;
                    }
                    let mut word = word.clone();
                    if word.text.contains("{}") {
                        word.printed();
                    }
                    command.push(word);
                }
                facts = facts.and(judge_command(&command, depth + 1));
            }
            text if VALUED_TESTS.contains(&text) => {
                let value = words.next();
                if value.is_none_or(|value| !value.is_literal()) {
                    return Facts::unknown("an argument of find is not known until it runs");
                }
            }
            "-print" | "-print0" | "-ls" | "-empty" | "-not" | "!" | "-o" | "-or" | "-a"
            | "-and" | "(" | ")" | "-prune" | "-follow" | "-L" | "-H" | "-P" | "-xdev"
            | "-mount" | "-depth" | "-quit" | "-executable" | "-readable" | "-writable"
            | "-true" | "-false" => {}
            text if text.starts_with('-') => {
                return Facts::unknown("`find` has an action or test that is not reviewed");
            }
            _ => {}
        }
    }
    facts
}

/// sed with the scripts that are plain to see: lines printed or left out, text replaced.
fn sed(words: &[Word]) -> Facts {
    const TAKES: Takes = Takes(
        "quiet,silent,n! regexp-extended,E! r! expression,e separate,s! unbuffered,u! null-data,z! in-place,i? posix! sandbox!",
    );
    let mut arguments = match options::parse(&[TAKES], Style::Getopt, words) {
        Ok(arguments) => arguments,
        Err(NotUnderstood(why)) => return Facts::unknown(format!("sed: {why}")),
    };
    let in_place = arguments.has("in-place");
    let mut scripts: Vec<String> = arguments.values("expression").map(str::to_owned).collect();
    if scripts.is_empty() && !arguments.operands.is_empty() {
        scripts.push(arguments.operands.remove(0).text.clone());
    }
    if scripts.is_empty() || !scripts.iter().all(|script| is_plain_sed(script)) {
        return Facts::unknown(
            "a sed script can write files and run commands, and this one is not plain to see",
        );
    }
    if in_place {
        return Facts::of(Effect::Write, "sed", "`sed -i` changes files");
    }
    files("sed", &arguments)
}

fn is_plain_sed(script: &str) -> bool {
    let script = script.trim();
    let command = script
        .trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ',' | '$' | '!' | ' '));
    if matches!(command, "p" | "d" | "q" | "=") {
        return true;
    }
    if let Some(pattern) = script.strip_prefix('/')
        && let Some((pattern, command)) = pattern.rsplit_once('/')
    {
        return !pattern.contains(['/', '\n', ';', '{'])
            && matches!(command.trim_start_matches('!'), "p" | "d" | "q");
    }
    let Some(rest) = command.strip_prefix('s') else {
        return false;
    };
    let Some(separator) = rest
        .chars()
        .next()
        .filter(|c| matches!(c, '/' | '|' | '#' | ',' | ':'))
    else {
        return false;
    };
    let parts: Vec<&str> = rest.split(separator).collect();
    let flags = |flags: &str| flags.bytes().all(|flag| b"gpiI0123456789".contains(&flag));
    !script.contains(['\n', '\\']) && matches!(parts.as_slice(), ["", _, _, last] if flags(last))
}

/// awk with programs that only select and print.
fn awk(words: &[Word]) -> Facts {
    let arguments = match options::parse(&[Takes("field-separator,F")], Style::Getopt, words) {
        Ok(arguments) => arguments,
        Err(NotUnderstood(why)) => return Facts::unknown(format!("awk: {why}")),
    };
    let Some((program, rest)) = arguments.operands.split_first() else {
        return Facts::unknown("awk is given no program");
    };
    let text = program.text.as_str();
    let reaches_out = [
        "system", "getline", "|", "@", "close", "fflush", "printf >", "print >", "load", "include",
    ]
    .iter()
    .any(|word| text.contains(word))
        || text.contains(">") && text.contains("print") && text.rfind('>') > text.find("print");
    if text.contains("ENVIRON") || text.contains("PROCINFO") {
        return Facts::of(Effect::Secret, "awk", "it shows the environment");
    }
    // `var=value` between the files is an assignment; ARGV and ARGC change which files are read.
    if reaches_out || text.contains("ARG") || rest.iter().any(|word| word.text.contains('=')) {
        return Facts::unknown("an awk program can write files and run commands, and this one may");
    }
    let rest = Arguments {
        options: Vec::new(),
        operands: rest.to_vec(),
    };
    files("awk", &rest)
}

/// psql with statements in its arguments: they are judged as PostgreSQL's.
fn psql(words: &[Word]) -> Facts {
    const TAKES: Takes = Takes(
        "command,c host,h port,p username,U dbname,d no-psqlrc,X! tuples-only,t! no-align,A! quiet,q! csv! html,H! expanded,x! \
         field-separator,F record-separator,R no-password,w! single-transaction,1! echo-errors,b! list,l! version,V!",
    );
    let arguments = match options::parse(&[TAKES], Style::Getopt, words) {
        Ok(arguments) => arguments,
        Err(NotUnderstood(why)) => return Facts::unknown(format!("psql: {why}")),
    };
    if arguments.has("version") {
        return Facts::of(Effect::Read, "psql", "psql only tells its version");
    }
    let judged = arguments.values("command").map(|text| {
        if text.contains('\\') {
            Facts::unknown("psql's own commands, with a backslash, can run programs")
        } else {
            sql::classify(Dialect::Postgres, text)
        }
    });
    let list = arguments
        .has("list")
        .then(|| Facts::of(Effect::Read, "psql", "it only lists databases"));
    match judged.chain(list).reduce(Facts::and) {
        Some(mut facts) => {
            facts.kinds.insert(0, "psql".to_owned());
            // What was said of the statement's text does not hold for the command's, nor for what psql prints.
            facts.given.clear();
            facts.outputs = Outputs::Unproven;
            facts
        }
        None => Facts::unknown("psql runs statements that are not in its arguments"),
    }
}

/// git, with what may stand before its command. `-c` and the places of its files can make any command run a program.
fn git(words: &[Word]) -> Facts {
    leading(
        "git",
        words,
        &["-C"],
        &["--no-pager", "-P", "--no-optional-locks"],
    )
}

/// A program with options before its command: those that take a value, and those that do not.
fn leading(name: &str, words: &[Word], valued: &[&str], flags: &[&str]) -> Facts {
    let mut words = words;
    while let Some((word, rest)) = words.split_first() {
        let text = word.text.as_str();
        words = if valued.contains(&text) && rest.first().is_some_and(Word::is_literal) {
            &rest[1..]
        } else if flags
            .iter()
            .any(|flag| text == *flag || flag.ends_with('=') && text.starts_with(flag))
            || valued.iter().any(|flag| {
                text.strip_prefix(flag)
                    .is_some_and(|rest| flag.starts_with("--") && rest.starts_with('='))
            })
        {
            rest
        } else {
            break;
        };
    }
    tool(name, words)
}

/// A program of the table.
fn tool(name: &str, words: &[Word]) -> Facts {
    let mut all = Vec::with_capacity(words.len() + 1);
    all.push(Word::literal(name));
    all.extend_from_slice(words);
    let Some((command, length)) = TOOLS.longest(&all) else {
        return if TOOLS.has_group(name) {
            Facts::unknown(format!(
                "`{name}` has commands, and which this is is not reviewed"
            ))
        } else {
            Facts::unknown("it runs a program that is not reviewed")
        };
    };
    let kind = command.name;
    if let [only] = words
        && matches!(only.text.as_str(), "--help" | "--version")
    {
        return Facts::of(
            Effect::Read,
            kind,
            format!("`{name}` only tells about itself"),
        );
    }
    if kind == "terraform apply"
        && words
            .iter()
            .any(|word| word.text.trim_start_matches('-').starts_with("destroy"))
    {
        return by_table(Effect::Destructive, "terraform destroy");
    }
    if command.effect != Effect::Read {
        return by_table(command.effect, kind);
    }
    let operands = operands(command);
    if operands == "<any>" {
        // `--files0-from` takes names from a file, and says which of them there are none.
        let names_from_file =
            matches!(kind, "wc" | "du") && words.iter().any(|word| word.text.starts_with("--f"));
        return if names_from_file {
            Facts::unknown(format!("`{kind}` takes names from a file, and shows them"))
        } else {
            by_table(Effect::Read, kind)
        };
    }
    let style = if name == "terraform" {
        Style::Go
    } else {
        Style::Getopt
    };
    match options::parse(&[command.takes], style, &all[length..]) {
        Err(NotUnderstood(why)) => Facts::unknown(format!("`{kind}`: {why}")),
        Ok(arguments) => match operands {
            "<files>" => {
                let skip = usize::from(
                    is_pattern_first(kind) && !arguments.has("regexp") && !arguments.has("e"),
                );
                let rest = Arguments {
                    options: arguments.options,
                    operands: arguments.operands.into_iter().skip(skip).collect(),
                };
                files(kind, &rest)
            }
            "<git>" => files(kind, &arguments),
            "<names>" => by_table(Effect::Read, kind),
            "<jq>" => jq(&arguments),
            "<ps>"
                if arguments
                    .operands
                    .iter()
                    .all(|word| word.text.bytes().all(|b| b"auxwfl0123456789".contains(&b))) =>
            {
                by_table(Effect::Read, kind)
            }
            // A format; without the sign it would be the time to set.
            "<date>"
                if arguments
                    .operands
                    .iter()
                    .all(|word| word.text.starts_with('+')) =>
            {
                by_table(Effect::Read, kind)
            }
            _ if arguments.operands.is_empty() => by_table(Effect::Read, kind),
            _ => Facts::unknown(format!(
                "`{kind}` is given an argument with which it may do more than read"
            )),
        },
    }
}

fn operands(command: Command) -> &'static str {
    command
        .takes
        .0
        .split_ascii_whitespace()
        .find(|word| word.starts_with('<'))
        .unwrap_or_default()
}

fn is_pattern_first(kind: &str) -> bool {
    matches!(kind, "grep" | "egrep" | "fgrep" | "zgrep" | "rg")
}

/// A program that shows the content of its operands.
fn files(kind: &str, arguments: &Arguments<'_>) -> Facts {
    let shown = arguments.operands.iter().map(|word| shows_file(word));
    shown.fold(by_table(Effect::Read, kind), Facts::and)
}

fn jq(arguments: &Arguments<'_>) -> Facts {
    let Some((filter, rest)) = arguments.operands.split_first() else {
        return by_table(Effect::Read, "jq");
    };
    if filter.text.contains("env") || filter.text.contains("ENV") {
        return Facts::of(Effect::Secret, "jq", "it shows the environment");
    }
    if ["import", "include", "input_", "get_search_list", "$__prog"]
        .iter()
        .any(|word| filter.text.contains(word))
    {
        return Facts::unknown("the filter loads code from a file");
    }
    let secret = rest
        .iter()
        .any(|word| paths::showing(&word.text) != Effect::Read);
    by_table(if secret { Effect::Secret } else { Effect::Read }, "jq")
}
