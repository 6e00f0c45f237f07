//! Commands: what an argument list, or a shell string, would do. Arguments are read as the program reads them, never as
//! words: a pod may be called `delete`, and `r""m` is rm.
//!
//! What a program's commands do is data ([`table`]), what its options are is read from the same data ([`options`]), and
//! only what options and operands change is code: [`az`], [`kubectl`], [`curl`] and the few in [`programs`]. A program,
//! a command or an option that is in no table is unknown.

mod az;
mod curl;
mod kubectl;
mod options;
mod paths;
mod programs;
mod shell;
mod table;

use self::shell::{NotJudged, Redirection, Simple};
use super::{Effect, Facts, Object, ObjectAccess};

/// Longer commands are not judged, in bytes over all arguments.
const LONGEST: usize = 1 << 20;
/// How deep commands may run commands: `sh -c "env sh -c …"`.
const DEEPEST: usize = 8;

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    known: Known,
}

/// How much of an argument the text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// All of it.
    Literally,
    /// A pattern: the names of the files it fits, or itself where it fits none.
    AsPattern,
    /// What a command prints, or what xargs adds. It may be several arguments.
    WhenItRuns,
}

impl Word {
    fn literal(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            known: Known::Literally,
        }
    }

    fn is_literal(&self) -> bool {
        self.known == Known::Literally
    }

    /// From here on it is known only when it runs.
    fn printed(&mut self) {
        self.known = Known::WhenItRuns;
    }

    /// A special character of patterns stands in it, unquoted.
    fn pattern(&mut self) {
        if self.is_literal() {
            self.known = Known::AsPattern;
        }
    }

    /// A pattern that stands for itself whatever files there are: a URL whose `?` was left unquoted, as no file is called so,
    /// and a format of kubectl's, as what fits begins like one.
    fn as_written(&self) -> Self {
        const FORMATS: &[&str] = &["jsonpath=", "custom-columns=", "go-template="];
        let is_url = (self.text.starts_with("https://") || self.text.starts_with("/subscriptions"))
            && !self.text.contains(['*', '[', '{']);
        let given = ["--output=", "-o=", "-o", "--template="]
            .iter()
            .find_map(|option| self.text.strip_prefix(option))
            .unwrap_or(&self.text);
        let is_format = FORMATS.iter().any(|format| given.starts_with(format));
        if self.known == Known::AsPattern && (is_url || is_format) {
            Self::literal(self.text.clone())
        } else {
            self.clone()
        }
    }
}

/// Judges one program with its arguments, run without a shell.
pub fn classify<S: AsRef<str>>(argv: &[S]) -> Facts {
    if argv.iter().map(|word| word.as_ref().len()).sum::<usize>() > LONGEST {
        return too_long();
    }
    let words: Vec<Word> = argv
        .iter()
        .map(|word| Word::literal(word.as_ref()))
        .collect();
    if argv.iter().any(|word| word.as_ref().chars().any(hides)) {
        return hidden();
    }
    judge(&words, 0)
}

/// Judges every command of a shell string.
pub fn classify_shell(script: &str) -> Facts {
    if script.len() > LONGEST {
        return too_long();
    }
    judge_script(script, 0)
}

fn too_long() -> Facts {
    Facts::unknown("the command is longer than 1 MiB, more than is judged")
}

fn hidden() -> Facts {
    Facts::unknown(
        "the command has characters that are not seen or change the order of what is seen",
    )
}

/// Whether a character makes a text look like another: controls, direction marks, blanks of no or unusual width.
fn hides(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{a0}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{180e}' | '\u{2000}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
        || c.is_control() && !matches!(c, '\n' | '\t')
}

fn judge_script(script: &str, depth: usize) -> Facts {
    if script.chars().any(hides) {
        return hidden();
    }
    let commands = match shell::commands(script) {
        Ok(commands) => commands,
        Err(NotJudged(why)) => {
            return Facts::unknown(format!("the shell string is not judged: {why}"));
        }
    };
    let judged = commands.iter().map(|command| judge_simple(command, depth));
    judged
        .reduce(Facts::and)
        .unwrap_or_else(|| Facts::unknown("there is no command in it"))
}

fn judge_simple(command: &Simple, depth: usize) -> Facts {
    let mut parts = Vec::new();
    if !command.words.is_empty() {
        parts.push(judge(&command.words, depth));
    }
    if command
        .assigned
        .iter()
        .any(|name| !is_harmless_variable(name))
    {
        parts.push(sets_variable());
    }
    for redirection in &command.redirections {
        parts.extend(match redirection {
            Redirection::Over(word) if prints_nothing(&command.words) => {
                redirected_to(word).map(|facts| {
                    facts.and(Facts::of(
                        Effect::Destructive,
                        "redirection",
                        "it empties a file",
                    ))
                })
            }
            Redirection::To(word) | Redirection::Over(word) => redirected_to(word),
            Redirection::From(word) => Some(shows_file(word)),
        });
    }
    parts.into_iter().reduce(Facts::and).unwrap_or_else(|| {
        Facts::of(
            Effect::Read,
            "assignment",
            "it only gives a variable a value",
        )
    })
}

/// Whether a command is there for its redirections alone.
fn prints_nothing(words: &[Word]) -> bool {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    matches!(
        texts.as_slice(),
        [] | [":" | "true" | "false", ..]
            | ["cat", "/dev/null"]
            | ["echo", "-n"]
            | ["echo", "-n", ""]
            | ["printf", ""]
    )
}

/// Variables that change how a program prints, and nothing else.
fn is_harmless_variable(name: &str) -> bool {
    matches!(
        name,
        "LANG" | "TZ" | "TERM" | "COLUMNS" | "LINES" | "NO_COLOR"
    ) || name.starts_with("LC_")
}

fn sets_variable() -> Facts {
    Facts::unknown(
        "it sets a variable of the environment, and programs run other code because of some",
    )
}

fn redirected_to(word: &Word) -> Option<Facts> {
    if !word.is_literal() {
        return Some(Facts::unknown(
            "the file it writes to is not known until it runs",
        ));
    }
    match word.text.as_str() {
        "/dev/null" | "/dev/stdout" | "/dev/stderr" => None,
        file if file.starts_with("/dev/") => {
            Some(Facts::unknown("it writes to a device or to the network"))
        }
        _ => Some(Facts::of(Effect::Write, "redirection", "it writes a file")),
    }
}

/// What showing the content of a file is.
fn shows_file(word: &Word) -> Facts {
    if !word.is_literal() {
        return Facts::unknown("the file it reads is not known until it runs");
    }
    match paths::showing(&word.text) {
        Effect::Read => Facts::of(Effect::Read, "file", "it only reads a file"),
        effect => Facts::of(effect, "file", "it shows a file that may hold a credential"),
    }
}

/// Judges one command.
fn judge(words: &[Word], depth: usize) -> Facts {
    let Some((program, arguments)) = words.split_first() else {
        return Facts::unknown("there is no command: the argument list is empty");
    };
    if depth > DEEPEST {
        return Facts::unknown("commands run commands, nested too deep");
    }
    if !program.is_literal() {
        return Facts::unknown("which program runs is not known until it runs");
    }
    let Some(name) = program_name(&program.text) else {
        return Facts::unknown("it runs a program that is not one of the system's");
    };
    let mut facts = match name {
        "az" => az::judge(&as_written(arguments)),
        "kubectl" => kubectl::judge(&as_written(arguments)),
        "curl" => curl::judge_curl(&as_written(arguments)),
        "wget" => curl::judge_wget(&as_written(arguments)),
        _ => programs::judge(name, arguments, depth),
    };
    if facts.kinds.is_empty() {
        facts.kinds.push(as_called(name, arguments));
    }
    facts
}

/// The program and the plain words right after it, as far as they could be the name of what it is to do: `terraform plan`.
fn as_called(name: &str, arguments: &[Word]) -> String {
    let is_plain = |word: &&Word| {
        word.is_literal()
            && word
                .text
                .starts_with(|first: char| first.is_ascii_lowercase())
            && (word.text.bytes())
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let words = arguments.iter().take_while(is_plain).take(3);
    let words = words.map(|word| word.text.as_str());
    std::iter::once(name)
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

fn as_written(words: &[Word]) -> Vec<Word> {
    words.iter().map(Word::as_written).collect()
}

/// The program's own name, if it is found where the system keeps its programs.
fn program_name(path: &str) -> Option<&str> {
    let Some((folder, name)) = path.rsplit_once('/') else {
        return Some(path);
    };
    let is_systems = matches!(
        folder,
        "/bin" | "/sbin" | "/usr/bin" | "/usr/sbin" | "/usr/local/bin" | "/usr/local/sbin"
    );
    is_systems.then_some(name)
}

/// The facts of a command that is `effect` by its table.
fn by_table(effect: Effect, kind: &str) -> Facts {
    let why = match effect {
        Effect::Read => format!("`{kind}` only reads"),
        Effect::Secret => format!("`{kind}` shows a credential"),
        Effect::Write => format!("`{kind}` changes something"),
        Effect::Destructive => format!("`{kind}` removes or stops something"),
        Effect::Schema | Effect::Admin => {
            format!("`{kind}` changes who may do what, or how it runs")
        }
        Effect::Unknown => {
            format!("`{kind}` is reviewed, and what it does cannot be told from its arguments")
        }
    };
    Facts::of(effect, kind, why)
}

fn touching(mut facts: Facts, names: impl IntoIterator<Item = String>) -> Facts {
    let access = if facts.class.changes_something() {
        ObjectAccess::Write
    } else {
        ObjectAccess::Read
    };
    facts
        .objects
        .extend(names.into_iter().map(|name| Object { name, access }));
    facts
}
