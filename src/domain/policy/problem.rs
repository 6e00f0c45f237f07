//! What is wrong with a policy file, and where: told so that it can be mended without reading anything else.
//!
//! Every problem of every file is collected, not only the first. A policy file should hold no password, but one that
//! is refused may well do: whatever is shown of its text goes through [`scrub`] first.

use std::fmt;

use serde::Serialize;

use super::credential::literal_start;

/// More problems than anyone reads; a file with this many is not a policy.
const MOST_PROBLEMS: usize = 100;
/// How much of a long line is shown around the caret.
const WIDEST_EXCERPT: usize = 100;

/// Lines longer than this are not shown at all.
const LONGEST_LINE: usize = 4096;

/// A stretch of one file's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the files.
    pub(super) file: usize,
    /// The first byte.
    pub(super) start: usize,
    /// The byte after the last.
    pub(super) end: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named when it was read.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub suggestion: Option<String>,
    /// The line with what is wrong underlined, without anything secret in it.
    #[serde(skip)]
    excerpt: Option<Excerpt>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    text: String,
    caret: usize,
    width: usize,
}

impl Problem {
    /// A problem with a file as a whole.
    pub(crate) fn of_file(
        file: &str,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) -> Self {
        Self {
            file: file.into(),
            line: 1,
            column: 1,
            message: message.into(),
            suggestion,
            excerpt: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = " ".repeat(self.line.to_string().len());
        writeln!(f, "error: {}", self.message)?;
        write!(f, "{gutter}--> {}:{}:{}", self.file, self.line, self.column)?;
        if let Some(Excerpt { text, caret, width }) = &self.excerpt {
            write!(f, "\n{gutter} |\n{} | {text}", self.line)?;
            write!(
                f,
                "\n{gutter} | {}{}",
                " ".repeat(*caret),
                "^".repeat(*width)
            )?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n{gutter} = {suggestion}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a policy, in the order of its files; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", told(.0))]
pub struct PolicyErrors(Vec<Problem>);

impl PolicyErrors {
    /// One or more problems.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Vec<Problem>> for PolicyErrors {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

fn told(problems: &[Problem]) -> String {
    let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
    told.join("\n\n")
}

/// Collects problems while files are read.
pub(super) struct Problems<'a> {
    files: &'a [(String, String)],
    found: Vec<(Place, Problem)>,
}

impl<'a> Problems<'a> {
    pub(super) fn of(files: &'a [(String, String)]) -> Self {
        Self {
            files,
            found: Vec::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// Whether nothing more will be shown: then there is no point in finding out what a word might have meant.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() > MOST_PROBLEMS
    }

    pub(super) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.report(place, message.into(), None);
    }

    pub(super) fn suggest(
        &mut self,
        place: Place,
        message: impl Into<String>,
        suggestion: impl Into<String>,
    ) {
        self.report(place, message.into(), Some(suggestion.into()));
    }

    /// `file:line` of a place, for a problem that names another one.
    pub(super) fn whereabouts(&self, place: Place) -> String {
        if self.is_full() {
            // No one will read it, and finding a line in a long text a hundred thousand times takes long.
            return String::new();
        }
        let (name, text) = &self.files[place.file];
        format!("{name}:{}", position(text, place.start).line)
    }

    fn report(&mut self, place: Place, message: String, suggestion: Option<String>) {
        if self.is_full() {
            return;
        }
        let (name, text) = &self.files[place.file];
        let Position { line, column, .. } = position(text, place.start);
        let problem = if self.found.len() == MOST_PROBLEMS {
            Problem {
                line,
                column,
                ..Problem::of_file(
                    name,
                    "there are more problems than are shown",
                    Some("mend these first".into()),
                )
            }
        } else {
            Problem {
                file: name.clone(),
                line,
                column,
                message,
                suggestion,
                excerpt: excerpt(text, place),
            }
        };
        self.found.push((place, problem));
    }

    /// All problems, in the order of the text, or `value` if there are none.
    pub(super) fn none_or<T>(mut self, value: Option<T>) -> Result<T, PolicyErrors> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => {
                self.found
                    .sort_by_key(|(place, _)| (place.file, place.start));
                let mut found: Vec<Problem> =
                    self.found.into_iter().map(|(_, problem)| problem).collect();
                if found.is_empty() {
                    // Whoever gives up on a policy has said why; this keeps a mistake there from reading as success.
                    found.push(Problem::of_file("policy", "it cannot be read", None));
                }
                Err(PolicyErrors(found))
            }
        }
    }
}

struct Position {
    line: usize,
    column: usize,
    line_start: usize,
}

fn position(text: &str, offset: usize) -> Position {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        line_start,
    }
}

/// The line a place begins in; `None`: it is so long that showing a part of it would help nobody.
fn excerpt(text: &str, place: Place) -> Option<Excerpt> {
    let Position {
        column, line_start, ..
    } = position(text, place.start);
    let line = text[line_start..].lines().next().unwrap_or("");
    if line.len() > LONGEST_LINE {
        return None;
    }
    let length = text
        .get(place.start..place.end)
        .map_or(1, |marked| {
            marked
                .lines()
                .next()
                .unwrap_or("")
                .trim_end()
                .chars()
                .count()
        })
        .max(1);
    let shown: Vec<char> = scrub(line).chars().map(printable).collect();
    let caret = (column - 1).min(shown.len());
    let first = if shown.len() > WIDEST_EXCERPT {
        caret.saturating_sub(WIDEST_EXCERPT / 2)
    } else {
        0
    };
    let last = shown.len().min(first + WIDEST_EXCERPT);
    Some(Excerpt {
        text: shown[first..last].iter().collect(),
        caret: caret - first,
        width: length.min((last - caret).max(1)),
    })
}

/// A terminal obeys control characters; a reader should not have to.
fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        _ if character.is_control() => char::REPLACEMENT_CHARACTER,
        _ => character,
    }
}

/// What may be shown of a piece of a policy file: everything up to where a credential may begin.
pub(super) fn scrub(text: &str) -> String {
    match literal_start(text) {
        Some(start) => format!("{}…", &text[..start]),
        None => text.into(),
    }
}

/// A value as it appears in a message: scrubbed, in one line, not too long.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = scrub(text).chars().map(printable).take(80).collect();
    let rest = if text.chars().count() > 80 { "…" } else { "" };
    format!("`{shown}{rest}`")
}

/// The candidate a misspelt word most likely stands for.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word: String = word.chars().take(64).collect::<String>().to_lowercase();
    let furthest = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 128)
        .map(|candidate| {
            (
                strsim::osa_distance(&word, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= furthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean", and what there is: `what` says what the candidates are, such as `allowed`.
pub(super) fn choices<'a>(
    word: &str,
    what: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let all: Vec<&str> = candidates.clone().into_iter().take(40).collect();
    let all = if all.is_empty() {
        format!("nothing is {what}")
    } else {
        format!("{what}: {}", all.join(", "))
    };
    match nearest(word, candidates) {
        Some(candidate) => format!("did you mean `{candidate}`? {all}"),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_its_neighbour_and_a_strange_one_finds_none() {
        let words = ["effect", "tables", "unbounded"];
        assert_eq!(nearest("tabels", words), Some("tables"));
        assert_eq!(nearest("Effect", words), Some("effect"));
        assert_eq!(nearest("colour", words), None);
    }
}
