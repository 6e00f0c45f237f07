//! The built-in detectors: bytes in, findings out.
//!
//! A cheap search finds where something could be, a verifier written for that one thing decides. Nothing is allocated where
//! nothing is found, no regex runs, and every step moves forward.

mod arrays;
mod bits;
#[cfg(test)]
mod examples;
mod fold;
mod keyed;
pub(super) mod keys;
pub(super) mod kinds;
mod lines;
mod national;
mod nested;
mod open;
mod personal;
mod quoted;
mod tables;
mod tokens;
mod told;
mod values;

use std::ops::Range;

pub(super) use keys::{Promise, promise};
use kinds::Kind;
pub(super) use lines::Context;
pub(super) use open::{Quotes, open_from};
pub(super) use tokens::wraps;

use super::rules::DetectorSet;

/// Which detectors look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sets {
    pub(super) secrets: bool,
    pub(super) personal: bool,
}

/// All of them: who configures nothing is protected.
impl Default for Sets {
    fn default() -> Self {
        Self {
            secrets: true,
            personal: true,
        }
    }
}

impl Sets {
    pub(super) fn any(self) -> bool {
        self.secrets || self.personal
    }

    fn has(self, kind: Kind) -> bool {
        match kind.set() {
            DetectorSet::Secrets => self.secrets,
            DetectorSet::Personal => self.personal,
        }
    }
}

/// What found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// A built-in detector.
    BuiltIn(Kind),
    /// A pattern of the policy, by its place there.
    Pattern(u16),
}

/// Something found: where, and by what. Never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) rule: Rule,
}

impl Finding {
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    fn kind(&self) -> Option<Kind> {
        match self.rule {
            Rule::BuiltIn(kind) => Some(kind),
            Rule::Pattern(_) => None,
        }
    }
}

/// Where findings go.
struct Sink<'a> {
    found: &'a mut Vec<Finding>,
    sets: Sets,
    /// How many encodings this text was taken out of.
    depth: u8,
    /// Added to every place.
    base: usize,
}

impl Sink<'_> {
    fn push(&mut self, start: usize, end: usize, kind: Kind) {
        if start < end && self.sets.has(kind) {
            self.found.push(Finding {
                start: self.base + start,
                end: self.base + end,
                rule: Rule::BuiltIn(kind),
            });
        }
    }
}

fn scan_at_depth(text: &[u8], sets: Sets, depth: u8, found: &mut Vec<Finding>) {
    let mut sink = Sink {
        found,
        sets,
        depth,
        base: 0,
    };
    Context::default().scan(text, &mut sink);
}

/// Finds everything in one value that stands alone, under a name that may promise something.
pub(super) fn cell(text: &str, promise: Option<Promise>, sets: Sets, found: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    if let Some(promise) = promise
        && let Some((start, end, kind)) = keys::judge(promise, bytes, keys::Place::Enclosed)
        && sets.has(kind)
    {
        found.push(Finding {
            start,
            end,
            rule: Rule::BuiltIn(kind),
        });
        // What is left of it is white space.
        return;
    }
    if proves_nothing(bytes) {
        return;
    }
    let mut sink = Sink {
        found,
        sets,
        depth: 0,
        base: 0,
    };
    Context::default().scan(bytes, &mut sink);
    if bytes.len() >= nested::SHORTEST && sink.found.is_empty() {
        nested::value(bytes, promise, 0, &mut sink);
    }
}

/// Whether a value has nothing any detector starts from: most cells are words.
fn proves_nothing(value: &[u8]) -> bool {
    if value.len() < 7 {
        return true;
    }
    if value.len() > 256 {
        return false;
    }
    let mut digits = 0_usize;
    let mut capitals = 0_usize;
    let mut marks = false;
    let mut run = 0_usize;
    let mut longest = 0_usize;
    for &byte in value {
        digits += usize::from(byte.is_ascii_digit());
        capitals += usize::from(byte.is_ascii_uppercase());
        marks |= matches!(
            byte,
            b'=' | b':' | b'@' | b'%' | b'~' | b'<' | b'\n' | 0x80..
        );
        run = if byte == b' ' { 0 } else { run + 1 };
        longest = longest.max(run);
    }
    // The shortest token by itself has 20 characters, the shortest number of a person six digits, and a password told in a
    // sentence has digits, signs or capitals of its own.
    let words = digits == 0
        && capitals <= 3
        && value.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'.' | b',' | b'-' | b'_' | b'/')
        });
    !marks && longest < 20 && (words || digits < 6 && value.len() < 20)
}

/// Sorts findings and joins those that overlap. A built-in detector's claim on a value outweighs a pattern's, so a pattern
/// that shows a part never shows what is masked without it.
pub(super) fn settle(text: &[u8], found: &mut Vec<Finding>) {
    for index in 0..found.len() {
        // A token over two lines leaves the line's end and the next line's indentation where they are.
        let finding = found[index];
        if let Some(newline) = memchr::memchr(b'\n', &text[finding.range()]) {
            let first_end = finding.start + newline
                - usize::from(newline > 0 && text[finding.start + newline - 1] == b'\r');
            let second = finding.start + newline + 1;
            let indent = text[second..finding.end]
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\t'))
                .count();
            found[index].end = first_end;
            found.push(Finding {
                start: second + indent,
                ..finding
            });
        }
    }
    for finding in found.iter_mut() {
        keep_escapes_whole(text, finding);
    }
    found.retain(|finding| finding.start < finding.end);
    if found.len() < 2 {
        return;
    }
    found.sort_by_key(|finding| (finding.start, usize::MAX - finding.end, finding.rule));
    let mut kept = 0;
    for index in 1..found.len() {
        let next = found[index];
        let last = &mut found[kept];
        if next.start < last.end {
            let same = next.start == last.start && next.end == last.end;
            last.end = last.end.max(next.end);
            match (last.rule, next.rule) {
                (Rule::Pattern(_), Rule::BuiltIn(_)) => last.rule = next.rule,
                // Two patterns over one place: neither may show its part of the other.
                (Rule::Pattern(_), Rule::Pattern(_)) if !same => {
                    last.rule = Rule::BuiltIn(Kind::GenericSecret)
                }
                _ => {}
            }
        } else {
            kept += 1;
            found[kept] = next;
        }
    }
    found.truncate(kept + 1);
}

/// A mask that took half of `\"` would break the string around it.
fn keep_escapes_whole(text: &[u8], finding: &mut Finding) {
    let backslashes = |at: usize| {
        text[..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count()
    };
    let next = text.get(finding.end).copied();
    if matches!(
        next,
        Some(b'"' | b'\'' | b'\\' | b'n' | b'r' | b't' | b'u' | b'/' | b'b' | b'f')
    ) && text[finding.end - 1] == b'\\'
        && backslashes(finding.end) % 2 == 1
    {
        finding.end -= 1;
    }
    if finding.start > 0
        && text[finding.start - 1] == b'\\'
        && matches!(text[finding.start], b'"' | b'\\' | b'/')
        && backslashes(finding.start) % 2 == 1
    {
        finding.start += 1;
    }
}
