//! Programs other than az, kubectl and curl: those that run another, those with a language of their own, and the rest,
//! which `data/tools.txt` knows.

use super::{
    Known, Word, by_table, is_harmless_variable, judge as judge_command, judge_script,
    options::{self, Arguments, NotUnderstood, Style, Takes},
    paths, sets_variable, shows_file,
    table::{Command, TOOLS},
};
use crate::domain::classify::{
    Dialect, Effect, Facts, Outputs,
    http::{self, Family, HttpCall},
    sql,
};

pub(super) fn judge(name: &str, words: &[Word], depth: usize) -> Facts {
    match name {
        "sh" | "bash" | "dash" | "zsh" | "ksh" => shell(words, depth),
        "env" => env(words, depth),
        "set" if stops_at_errors(words) => {
            Facts::of(Effect::Read, "set", "it only says when the script ends")
        }
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
        "mysql" | "mariadb" => mysql(words),
        "sqlite3" => sqlite(words),
        "cd" => changes_folder(words),
        "tar" => tar(words),
        "service" if tells_of_services(words) => {
            Facts::of(Effect::Read, "service", "it only tells how services are")
        }
        "jq" => tool(name, &without_variables(words)),
        "git" => git(words),
        "ip" => leading(
            name,
            words,
            &[],
            &["-4", "-6", "-br", "-brief", "-s", "-d", "-j", "-o"],
        ),
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

/// `set -euo pipefail`: what makes a script end early, or print what it runs.
fn stops_at_errors(words: &[Word]) -> bool {
    let mut words = words.iter();
    let mut any = false;
    while let Some(word) = words.next() {
        let Some(letters) = word
            .text
            .strip_prefix(['-', '+'])
            .filter(|_| word.is_literal())
        else {
            return false;
        };
        let is_known =
            !letters.is_empty() && letters.bytes().all(|letter| b"euxo".contains(&letter));
        let options = letters.matches('o').count();
        let values = words.by_ref().take(options);
        let are_known = values.fold(0, |known, word| {
            let is_one = matches!(
                word.text.as_str(),
                "errexit" | "nounset" | "pipefail" | "xtrace"
            );
            known + usize::from(is_one && word.is_literal())
        });
        if !is_known || are_known < options {
            return false;
        }
        any = true;
    }
    any
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
        "null,0! no-run-if-empty,r! max-args,n max-procs,P max-lines,L delimiter,d replace,I arg-file,a@ verbose,t! exit,x! max-chars,s",
    );
    let mut at = 0;
    let mut placeholder = None;
    let mut facts = None;
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
        facts = parsed
            .shown
            .first()
            .map(|file| shows_file(&Word::literal(*file)))
            .or(facts);
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
    let inner = judge_command(&command, depth + 1);
    match facts {
        Some(facts) => facts.and(inner),
        None => inner,
    }
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
    let mut facts = Facts::of(Effect::Read, "find", "`find` only lists files");
    let mut places = Vec::new();
    let mut names = Vec::new();
    // Each with how many of the names are asked for before it runs.
    let mut commands: Vec<(Vec<Word>, usize)> = Vec::new();
    let mut has_tests = false;
    let mut has_alternatives = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !word.is_literal() {
            return Facts::unknown("an argument of find is not known until it runs");
        }
        let text = word.text.as_str();
        match text {
            "-L" | "-H" | "-P" => {}
            "-delete" => {
                facts = facts.and(Facts::of(
                    Effect::Destructive,
                    "find",
                    "`find -delete` removes files",
                ))
            }
            "-exec" | "-execdir" => {
                let command = words
                    .by_ref()
                    .take_while(|word| !matches!(word.text.as_str(), ";" | "+"));
                commands.push((command.cloned().collect(), names.len()));
            }
            _ if VALUED_TESTS.contains(&text) => match words.next() {
                Some(value) if value.is_literal() => {
                    if matches!(text, "-name" | "-iname" | "-path" | "-ipath" | "-wholename") {
                        names.push(value.text.as_str());
                    }
                }
                _ => return Facts::unknown("an argument of find is not known until it runs"),
            },
            "-not" | "!" | "-o" | "-or" | "(" | ")" => has_alternatives = true,
            "-print" | "-print0" | "-ls" | "-empty" | "-a" | "-and" | "-prune" | "-follow"
            | "-xdev" | "-mount" | "-depth" | "-quit" | "-executable" | "-readable"
            | "-writable" | "-true" | "-false" => {}
            _ if text.starts_with('-') || has_tests => {
                return Facts::unknown("`find` has an action or test that is not reviewed");
            }
            place => places.push(place),
        }
        has_tests |= text.starts_with(['-', '(', '!']) && !matches!(text, "-L" | "-H" | "-P");
    }
    if places.is_empty() {
        places.push(".");
    }
    for (command, asked) in &commands {
        // Of alternatives, and of what is denied, a name does not say what is found.
        let names = if has_alternatives {
            &[][..]
        } else {
            &names[..*asked]
        };
        for found in places.iter().flat_map(|place| found_in(place, names)) {
            let mut command = command.clone();
            for word in &mut command {
                if word.text == "{}" {
                    *word = found.clone();
                } else if word.text.contains("{}") {
                    word.printed();
                }
            }
            facts = facts.and(judge_command(&command, depth + 1));
        }
    }
    facts
}

/// The files that find gives a command, as far as where it looks and the names it asks for tell. They begin with the place,
/// so they are no options.
fn found_in(place: &str, names: &[&str]) -> Vec<Word> {
    let whole = Word::literal(place);
    if paths::showing(place) != Effect::Read {
        return vec![whole];
    }
    if names.is_empty() {
        let mut any = whole;
        if paths::is_here_or_above(place) {
            any.printed();
        }
        return vec![any];
    }
    let files = names.iter().map(|name| {
        let mut file = Word::literal(format!("{}/{name}", place.trim_end_matches('/')));
        if paths::showing(name) == Effect::Read && !paths::is_harmless_kind(name) {
            file.printed();
        }
        file
    });
    files.collect()
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
    files("sed", &arguments.operands)
}

/// Whether each command of a script prints lines, leaves them out, ends, or replaces text.
fn is_plain_sed(script: &str) -> bool {
    let mut rest = script;
    loop {
        rest = rest.trim_start_matches([' ', ';', '\n']);
        if rest.is_empty() {
            return true;
        }
        match sed_command(rest) {
            Some(after) if after.is_empty() || after.starts_with([';', '\n']) => rest = after,
            _ => return false,
        }
    }
}

/// What follows the command that `text` begins with; `None`: it is no plain one.
fn sed_command(text: &str) -> Option<&str> {
    let mut rest = sed_address(text)?;
    if let Some(second) = rest.strip_prefix(',') {
        rest = sed_address(second)?;
    }
    rest = rest.trim_start_matches([' ', '!']);
    let after = if let Some(replacing) = rest.strip_prefix('s') {
        let separator = replacing.chars().next()?;
        if !matches!(separator, '/' | '|' | '#' | ',' | ':' | '@' | '%') {
            return None;
        }
        let pattern = sed_part(&replacing[1..], separator)?;
        let replaced = sed_part(pattern, separator)?;
        replaced.trim_start_matches(|flag: char| {
            matches!(flag, 'g' | 'p' | 'i' | 'I') || flag.is_ascii_digit()
        })
    } else {
        rest.strip_prefix(['p', 'd', 'q', '='])?
            .trim_start_matches(|code: char| code.is_ascii_digit())
    };
    Some(after.trim_start_matches(' '))
}

/// A line's number, the last line, or a pattern between slashes; none is all lines.
fn sed_address(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(' ');
    match text.strip_prefix('/') {
        Some(pattern) => sed_part(pattern, '/').map(|rest| rest.trim_start_matches('I')),
        None => Some(
            text.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '$' | '~' | '+')),
        ),
    }
}

/// What follows the first `separator` that ends a part. Whether one in brackets does, programs see differently.
fn sed_part(text: &str, separator: char) -> Option<&str> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == separator => {
                let part = &text[..at];
                let is_closed = part
                    .rfind('[')
                    .is_none_or(|open| part.rfind(']') > Some(open));
                let whole = is_closed
                    && part.matches('[').count() <= part.matches(']').count()
                    && !part.contains("[]")
                    && !part.contains("[^]");
                return whole.then(|| &text[at + c.len_utf8()..]);
            }
            _ => {}
        }
    }
    None
}

/// awk with programs that only select and print.
fn awk(words: &[Word]) -> Facts {
    let arguments =
        match options::parse(&[Takes("field-separator,F assign,v")], Style::Getopt, words) {
            Ok(arguments) => arguments,
            Err(NotUnderstood(why)) => return Facts::unknown(format!("awk: {why}")),
        };
    let Some((program, rest)) = arguments.operands.split_first() else {
        return Facts::unknown("awk is given no program");
    };
    let text = program.text.as_str();
    let reaches_out = [
        "system", "getline", "|", "@", "close", "fflush", "printf >", "print >", "load", "include",
        "SYMTAB", "FUNCTAB",
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
    files("awk", rest)
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
        if describes(text) {
            Facts::of(Effect::Read, "psql", "it only tells what there is")
        } else {
            of_client("psql", Dialect::Postgres, text)
        }
    });
    let list = arguments
        .has("list")
        .then(|| Facts::of(Effect::Read, "psql", "it only lists databases"));
    judged
        .chain(list)
        .reduce(Facts::and)
        .unwrap_or_else(|| Facts::unknown("psql runs statements that are not in its arguments"))
}

/// Whether it is one of psql's own commands that show what there is: `\dt public.*`.
fn describes(text: &str) -> bool {
    let mut words = text.trim().split(' ').filter(|word| !word.is_empty());
    let Some(command) = words.next().and_then(|word| word.strip_prefix('\\')) else {
        return false;
    };
    let command = command.trim_end_matches(['+', 'S']);
    let is_one = matches!(command, "l" | "conninfo" | "encoding" | "z" | "sf" | "sv")
        || command.starts_with('d') && command.bytes().all(|byte| byte.is_ascii_alphabetic());
    // User mappings hold passwords.
    is_one
        && command != "deu"
        && words.all(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._*\"".contains(&byte))
        })
}

/// mysql with statements in its arguments. Its own commands are no SQL, or have a backslash.
fn mysql(words: &[Word]) -> Facts {
    const TAKES: Takes = Takes(
        "execute,e host,h port,P user,u password,p? database,D batch,B! skip-column-names,N! table,t! raw,r! silent,s! vertical,E! \
         html,H! xml,X! force,f! version,V! ssl-mode default-character-set",
    );
    let arguments = match options::parse(&[TAKES], Style::Getopt, words) {
        Ok(arguments) => arguments,
        Err(NotUnderstood(why)) => return Facts::unknown(format!("mysql: {why}")),
    };
    if arguments.has("version") {
        return Facts::of(Effect::Read, "mysql", "mysql only tells its version");
    }
    let judged = arguments.values("execute").map(|text| {
        let text = text.trim_end();
        of_client(
            "mysql",
            Dialect::Mysql,
            text.strip_suffix("\\G").unwrap_or(text),
        )
    });
    judged
        .reduce(Facts::and)
        .unwrap_or_else(|| Facts::unknown("mysql runs statements that are not in its arguments"))
}

/// A statement as its client sends it.
fn of_client(name: &'static str, dialect: Dialect, text: &str) -> Facts {
    if text.contains('\\') {
        return Facts::unknown("the client's own commands, with a backslash, can run programs");
    }
    let mut facts = sql::classify(dialect, text);
    facts.kinds.insert(0, name.to_owned());
    // What was said of the statement's text does not hold for the command's, nor for what the client prints.
    facts.given.clear();
    facts.outputs = Outputs::Unproven;
    facts
}

/// sqlite3 with a statement after its file, or one of its own commands that tell what there is.
fn sqlite(words: &[Word]) -> Facts {
    const MODES: &[&str] = &[
        "-readonly",
        "-json",
        "-csv",
        "-header",
        "-noheader",
        "-column",
        "-line",
        "-list",
        "-box",
        "-table",
        "-markdown",
        "-html",
        "-tabs",
        "-quote",
        "-batch",
    ];
    let rest = words
        .iter()
        .position(|word| !MODES.contains(&word.text.as_str()))
        .map_or(&[][..], |at| &words[at..]);
    let [file, statement] = rest else {
        return Facts::unknown("sqlite3 runs statements that are not in its arguments");
    };
    if !file.is_literal() || !statement.is_literal() || file.text.starts_with('-') {
        return Facts::unknown("an argument of sqlite3 is not known until it runs");
    }
    let text = statement.text.trim();
    let shown = shows_file(file);
    if text.starts_with('.') {
        let facts = match text.split(' ').next().unwrap_or_default() {
            ".tables" | ".schema" | ".databases" | ".indexes" | ".indices" | ".fullschema"
            | ".dbinfo"
                if !text.contains(['|', '\n', '"', '\'']) =>
            {
                Facts::of(Effect::Read, "sqlite3", "it only tells what there is")
            }
            _ => Facts::unknown("sqlite3's own commands can run programs"),
        };
        return shown.and(facts);
    }
    // Functions that the program has and the database does not.
    let own = [
        "readfile",
        "writefile",
        "edit",
        "fsdir",
        "lsmode",
        "load_extension",
        "zipfile",
    ];
    let lower = text.to_ascii_lowercase();
    if own.iter().any(|function| lower.contains(function)) {
        return Facts::unknown("functions of sqlite3 itself read and write files");
    }
    of_client("sqlite3", Dialect::Sqlite, text).and(shown)
}

/// cd only matters to what follows, which is judged by the names it gives: no place from where harmless names lead to
/// credentials.
fn changes_folder(words: &[Word]) -> Facts {
    match words {
        [] => Facts::of(Effect::Read, "cd", "it only changes the folder"),
        [folder] if folder.is_literal() && !folder.text.starts_with('-') => {
            // One up is where projects are; further up is everything.
            let is_project = folder.text == ".."
                || paths::showing(&folder.text) == Effect::Read
                    && !folder.text.trim_matches(['.', '/']).is_empty();
            if is_project {
                Facts::of(Effect::Read, "cd", "it only changes the folder")
            } else {
                Facts::unknown("from this folder, harmless names lead to credentials")
            }
        }
        _ => Facts::unknown("the folder it changes to is not known until it runs"),
    }
}

/// tar, when it lists what is in a local archive.
fn tar(words: &[Word]) -> Facts {
    let lists = |flags: &str| {
        let flags = flags.strip_prefix('-').unwrap_or(flags);
        flags.contains('t')
            && flags.ends_with('f')
            && flags.bytes().all(|flag| b"tvzjJf".contains(&flag))
    };
    match words {
        [flags, archive, members @ ..]
            if words.iter().all(Word::is_literal)
                && lists(&flags.text)
                && !archive.text.contains(':')
                && !members.iter().any(|word| word.text.starts_with('-')) =>
        {
            Facts::of(Effect::Read, "tar", "it only lists an archive")
        }
        _ => tool("tar", words),
    }
}

/// `service NAME status`, where the name leads to no other folder.
fn tells_of_services(words: &[Word]) -> bool {
    let is_name = |word: &Word| {
        word.is_literal()
            && word
                .text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
    };
    match words {
        [all] => all.text == "--status-all",
        [name, status] => is_name(name) && !name.text.starts_with('-') && status.text == "status",
        _ => false,
    }
}

/// Without `--arg NAME VALUE`, which only gives a filter a text.
fn without_variables(words: &[Word]) -> Vec<Word> {
    let mut rest = Vec::with_capacity(words.len());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if matches!(word.text.as_str(), "--arg" | "--argjson") && word.is_literal() {
            // As one they are two words, or more.
            let given = [words.next(), words.next()];
            rest.extend(
                given
                    .into_iter()
                    .flatten()
                    .filter(|word| !word.is_literal())
                    .cloned(),
            );
        } else {
            rest.push(word.clone());
        }
    }
    rest
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
    let asks_help = (words.last())
        .is_some_and(|word| word.text == "--help" || name == "terraform" && word.text == "-help");
    if asks_help && length + 1 == all.len() {
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
    // As JSON it has the values that it else calls sensitive.
    if kind == "terraform show"
        && words
            .iter()
            .any(|word| word.text.trim_start_matches('-').starts_with("json"))
    {
        return by_table(Effect::Secret, kind);
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
    match operands {
        // With `-v` it prints into a variable, `PATH` among them, and evaluates its subscript.
        "<printf>" => {
            let is_text = (words.first()).is_none_or(|word| {
                word.is_literal() && (!word.text.starts_with('-') || word.text == "--")
            });
            return if is_text {
                by_table(Effect::Read, kind)
            } else {
                Facts::unknown("`printf` may print into a variable")
            };
        }
        // `-v NAME` and `-R NAME` evaluate a subscript, and what it runs; some shells do in any number.
        "<test>" => {
            let evaluates =
                |word: &Word| matches!(word.text.as_str(), "-v" | "-R") || word.text.contains('[');
            return if words.iter().any(evaluates) {
                Facts::unknown("what the name of a variable runs is not judged")
            } else {
                by_table(Effect::Read, kind)
            };
        }
        _ => {}
    }
    let style = if matches!(name, "terraform" | "openssl") {
        Style::Go
    } else {
        Style::Getopt
    };
    if matches!(operands, "<files>" | "<names>" | "<git>") {
        for word in &mut all {
            let is_filter =
                word.text.starts_with("--include=") || word.text.starts_with("--exclude");
            // A file may be called like an option; of these programs none writes or runs anything.
            let is_harmless = matches!(
                kind,
                "cat"
                    | "head"
                    | "tail"
                    | "grep"
                    | "egrep"
                    | "fgrep"
                    | "nl"
                    | "tac"
                    | "md5sum"
                    | "sha256sum"
            );
            let is_kind = paths::is_of_a_kind(&word.text)
                && (is_harmless || paths::begins_with_name(&word.text));
            if word.known == Known::AsPattern && (is_filter || is_kind) {
                *word = Word::literal(std::mem::take(&mut word.text));
            }
        }
    }
    match options::parse(&[command.takes], style, &all[length..]) {
        Err(_)
            if operands == "<or-write>"
                || operands == "<list-or-write>"
                || kind == "git config" =>
        {
            by_table(Effect::Write, kind)
        }
        Err(NotUnderstood(why)) => Facts::unknown(format!("`{kind}`: {why}")),
        Ok(mut arguments) => {
            let shown = std::mem::take(&mut arguments.shown);
            let facts = with_operands(kind, operands, arguments);
            shown
                .iter()
                .map(|file| shows_file(&Word::literal(*file)))
                .fold(facts, Facts::and)
        }
    }
}

/// A command that only reads with the options it is given, and what its operands make of it: see `data/tools.txt`.
fn with_operands(kind: &str, operands: &str, arguments: Arguments<'_>) -> Facts {
    match operands {
        "<files>" => {
            let skip = usize::from(
                is_pattern_first(kind) && !arguments.has("regexp") && !arguments.has("e"),
            );
            files(kind, arguments.operands.iter().skip(skip))
        }
        "<git>" => {
            let skip = usize::from(kind == "git grep" && !arguments.has("e"));
            files(kind, arguments.operands.iter().skip(skip))
        }
        "<manual>" => files(
            kind,
            (arguments.operands.iter())
                .filter(|word| word.text.contains('/') || word.text.starts_with('.')),
        ),
        "<copy>" if arguments.operands.len() < 2 => files(kind, &arguments.operands),
        "<one>" if arguments.operands.len() < 2 => by_table(Effect::Read, kind),
        "<in>" if arguments.operands.is_empty() => by_table(Effect::Read, kind),
        "<pager>"
            if !arguments
                .operands
                .iter()
                .any(|word| word.text.starts_with('+')) =>
        {
            files(kind, &arguments.operands)
        }
        "<no-assignment>" => {
            let assigns = (arguments.operands.iter()).any(|word| word.text.contains('='));
            let effect = if assigns { Effect::Write } else { Effect::Read };
            by_table(effect, kind)
        }
        "<remote>" if arguments.operands.iter().all(|word| is_remote(&word.text)) => {
            by_table(Effect::Read, kind)
        }
        "<setting>" => setting(kind, &arguments),
        "<path>" => called_path(kind, &arguments),
        "<list-or-write>" if arguments.has("list") => by_table(Effect::Read, kind),
        "<or-write>" | "<list-or-write>" if !arguments.operands.is_empty() => {
            by_table(Effect::Write, kind)
        }
        "<names>" => by_table(Effect::Read, kind),
        "<jq>" => jq(kind, &arguments),
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
fn files<'a>(kind: &str, files: impl IntoIterator<Item = &'a &'a Word>) -> Facts {
    let shown = files.into_iter().map(|word| shows_file(word));
    shown.fold(by_table(Effect::Read, kind), Facts::and)
}

/// A place of a repository: the name of one, a folder, or a URL. `ext::sh -c …` is a program.
fn is_remote(place: &str) -> bool {
    place
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._/@:+~%".contains(&byte))
        && !place.contains("::")
}

/// git's own settings: one is asked for by its name alone, and changed by a value after it.
fn setting(kind: &str, arguments: &Arguments<'_>) -> Facts {
    const SECRET: &[&str] = &[
        "extraheader",
        "credential",
        "pass",
        "token",
        "secret",
        "cookie",
        "proxy",
        "apikey",
    ];
    let [name] = arguments.operands.as_slice() else {
        return by_table(Effect::Write, kind);
    };
    if !name.text.contains('.') {
        return Facts::unknown("it is no name of a setting");
    }
    let lower = name.text.to_ascii_lowercase();
    if SECRET.iter().any(|word| lower.contains(word)) {
        return by_table(Effect::Secret, kind);
    }
    by_table(Effect::Read, kind)
}

/// `gh api PATH`: a GET, with a token, at the host that the token is for.
fn called_path(kind: &str, arguments: &Arguments<'_>) -> Facts {
    let [path] = arguments.operands.as_slice() else {
        return Facts::unknown(format!("`{kind}` is given more than a path"));
    };
    if path.text.contains("://") {
        return Facts::unknown(format!("`{kind}` is given another host"));
    }
    let url = format!(
        "https://api.github.com/{}",
        path.text.trim_start_matches('/')
    );
    let call = HttpCall {
        method: "GET",
        url: &url,
        headers: &[],
        body: None,
    };
    let mut facts = http::classify_as(Family::Generic, &call);
    facts.kinds.insert(0, kind.to_owned());
    facts
}

/// Whether a filter calls the function or reads the variable of this name; fields may be called so.
fn calls(filter: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    filter.match_indices(name).any(|(at, _)| {
        let before = filter[..at].chars().next_back();
        let after = filter[at + name.len()..].chars().next();
        let is_text = before == Some('"') && after == Some('"');
        !is_text && !before.is_some_and(|c| is_part(c) || c == '.') && !after.is_some_and(is_part)
    })
}

fn jq(kind: &str, arguments: &Arguments<'_>) -> Facts {
    let operands = match arguments.operands.as_slice() {
        // yq has commands, and this is the one it runs when none is given.
        [first, rest @ ..]
            if kind == "yq" && matches!(first.text.as_str(), "e" | "eval" | "ea" | "eval-all") =>
        {
            rest
        }
        all => all,
    };
    let Some((filter, rest)) = operands.split_first() else {
        return by_table(Effect::Read, "jq");
    };
    if ["env", "$ENV", "ENV", "strenv", "envsubst"]
        .iter()
        .any(|name| calls(&filter.text, name))
    {
        return Facts::of(Effect::Secret, "jq", "it shows the environment");
    }
    if [
        "import",
        "include",
        "input_",
        "get_search_list",
        "$__prog",
        "load",
        "eval",
    ]
    .iter()
    .any(|word| filter.text.contains(word))
        || calls(&filter.text, "system")
    {
        return Facts::unknown("the filter loads code from a file");
    }
    let secret = rest
        .iter()
        .any(|word| paths::showing(&word.text) != Effect::Read);
    by_table(if secret { Effect::Secret } else { Effect::Read }, "jq")
}
