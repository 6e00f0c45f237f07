//! One pass over whole lines, and what a line leaves behind for those after it.
//!
//! INVARIANT: everything that depends on more than one line is in [`Context`], so the same lines give the same findings in
//! however many pieces they come.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{
    Finding, Sets, Sink, fold, keyed,
    kinds::Kind,
    personal, tables, tokens, told,
    values::{ALNUM, BASE64, EQUALS, is},
};

/// What earlier lines say about the next.
#[derive(Clone, Debug, Default)]
pub(in crate::domain::masking) struct Context {
    pair: keyed::Pair,
    /// Inside the armour of a private key, and for how many lines.
    armour: Option<u16>,
    /// Lines after an AWS access key id in which its secret is still looked for.
    aws: u8,
    tables: tables::Tables,
}

/// An access key id and its secret are at most this many lines apart.
const AWS_LINES: u8 = 6;

/// No private key has more lines.
const ARMOUR_LINES: u16 = 200;

/// What a text may have somewhere.
#[derive(Clone, Copy)]
struct Rare {
    armour: bool,
    aws: bool,
}

static ARMOUR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("PRIVATE KEY"));

impl Context {
    /// Finds everything in whole lines of text.
    pub(in crate::domain::masking) fn find(
        &mut self,
        text: &[u8],
        sets: Sets,
        found: &mut Vec<Finding>,
    ) {
        if !sets.any() {
            return;
        }
        let mut sink = Sink {
            found,
            sets,
            depth: 0,
            base: 0,
        };
        self.scan(text, &mut sink);
    }

    /// Scans whole lines. A last line without its newline counts as one.
    pub(super) fn scan(&mut self, text: &[u8], sink: &mut Sink<'_>) {
        if text.is_ascii() || !fold::needed(text) {
            return self.scan_folded(text, sink);
        }
        let before = sink.found.len();
        let base = std::mem::take(&mut sink.base);
        let (folded, places) = fold::text(text);
        self.scan_folded(&folded, sink);
        for finding in &mut sink.found[before..] {
            finding.start = base + places[finding.start];
            // What is invisible after the last character goes with it.
            finding.end = base + places[finding.end];
        }
        sink.base = base;
    }

    fn scan_folded(&mut self, text: &[u8], sink: &mut Sink<'_>) {
        if sink.sets.secrets {
            tokens::scan(text, sink);
            told::after_words(text, sink);
        }
        if sink.sets.personal {
            personal::emails(text, sink);
            personal::numbers(text, sink);
        }
        // What most texts do not have is looked for once, not in every line.
        let rare = Rare {
            armour: self.armour.is_some() || ARMOUR.find(text).is_some(),
            aws: self.aws > 0 || tokens::has_aws_id(text),
        };
        let mut start = 0;
        while start < text.len() {
            let end =
                memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |found| start + found);
            self.line(text, start, end, rare, sink);
            start = end + 1;
        }
    }

    fn line(&mut self, text: &[u8], start: usize, end: usize, rare: Rare, sink: &mut Sink<'_>) {
        if rare.armour {
            self.private_key(text, start, end, sink);
        }
        if rare.aws {
            self.aws_secret(&text[..end], start, sink);
        }
        self.tables.line(text, start, end, sink);
        keyed::scan(text, start, end, &mut self.pair, sink);
        self.pair.next_line();
    }

    fn aws_secret(&mut self, line: &[u8], start: usize, sink: &mut Sink<'_>) {
        let id = tokens::first_aws_id(line, start);
        if id.is_none() && self.aws == 0 {
            return;
        }
        self.aws = if id.is_some() {
            AWS_LINES
        } else {
            self.aws.saturating_sub(1)
        };
        tokens::aws_secret(line, id.unwrap_or(start), sink);
    }

    /// Masks what is between the armour's lines, on one line or many.
    fn private_key(&mut self, text: &[u8], start: usize, end: usize, sink: &mut Sink<'_>) {
        let line = &text[..end];
        let mut at = start;
        loop {
            if let Some(lines) = self.armour {
                let close = memchr::memmem::find(&line[at..], b"-----END").map(|found| at + found);
                let body_end = close.unwrap_or(end);
                let body = &line[at..body_end];
                let single = close.is_none() && body.len() > 100 && body.contains(&b'"');
                let body = if single {
                    // A truncated key in a string ends with the string.
                    &body[..memchr::memchr(b'"', body).unwrap_or(body.len())]
                } else {
                    body
                };
                let key_text = |byte: &u8| {
                    is(*byte, ALNUM | BASE64 | EQUALS)
                        || matches!(
                            byte,
                            b' ' | b'\t'
                                | b'\r'
                                | b'\\'
                                | b'"'
                                | b'\''
                                | b','
                                | b':'
                                | b'-'
                                | b'.'
                                | b'|'
                                | b'>'
                                | b'+'
                                | b'('
                                | b')'
                        )
                };
                if !body.iter().all(key_text) || lines > ARMOUR_LINES {
                    self.armour = None;
                    return;
                }
                let first = body.iter().position(|byte| is(*byte, ALNUM | BASE64));
                let last = body
                    .iter()
                    .rposition(|byte| is(*byte, ALNUM | BASE64 | EQUALS));
                if let (Some(mut first), Some(mut last)) = (first, last) {
                    // `\n` before and after the body stay.
                    if body[first] == b'n' && first > 0 && body[first - 1] == b'\\' {
                        first += 1;
                    }
                    if body[last] == b'n' && last > 0 && body[last - 1] == b'\\' {
                        last = last.saturating_sub(2);
                    }
                    if last + 1 > first {
                        sink.push(at + first, at + last + 1, Kind::PrivateKey);
                    }
                }
                match close {
                    Some(close) => {
                        self.armour = None;
                        at = close + 8;
                    }
                    None => {
                        self.armour = if single { None } else { Some(lines + 1) };
                        return;
                    }
                }
            } else {
                let Some(found) = ARMOUR.find(&line[at..]) else {
                    return;
                };
                let name = at + found;
                let opens = line[at..name].windows(5).any(|five| five == b"BEGIN");
                at = name + b"PRIVATE KEY".len();
                if !opens {
                    continue;
                }
                // -----, or BLOCK----- of an OpenPGP key.
                let Some(dashes) = memchr::memmem::find(&line[at..(at + 16).min(end)], b"-----")
                else {
                    continue;
                };
                at += dashes + 5;
                self.armour = Some(0);
            }
        }
    }
}
