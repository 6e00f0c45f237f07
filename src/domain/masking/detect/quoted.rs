//! Documents in strings: what a tool answered, a file's content, a message. A string with line ends in it is read as the lines
//! it stands for, so that a table in it has its columns, and a name the value in the next line.

use super::{
    Context, Finding, Sink,
    keyed::closing_quote,
    values::{ALNUM, is},
};
use crate::domain::masking::events;

/// How deep strings in strings are read.
const DEPTH: u8 = 3;

/// The end of a line, as strings write it.
const LINE_END: &[u8] = b"\\n";

/// Reads each string of a line with backslashes that has lines of its own.
pub(super) fn documents(line: &[u8], start: usize, sink: &mut Sink<'_>) {
    if sink.depth >= DEPTH || memchr::memmem::find(line, LINE_END).is_none() {
        return;
    }
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\'', &line[at..]) {
        let quote = at + found;
        at = quote + 1;
        // An apostrophe opens nothing, nor does a quote in a string that was opened before.
        let before = quote.checked_sub(1).map(|before| line[before]);
        if before.is_some_and(|byte| is(byte, ALNUM) && line[quote] == b'\'' || byte == b'\\') {
            continue;
        }
        let from = at;
        let mut end = closing_quote(line, at, line[quote], 0).unwrap_or(line.len());
        // A list of strings that each end a line, as notebooks have them, is one document.
        while line[from..end].ends_with(LINE_END)
            && let Some(next) = next_of_list(line, end, line[quote])
        {
            end = closing_quote(line, next, line[quote], 0).unwrap_or(line.len());
        }
        if memchr::memmem::find(&line[from..end], LINE_END).is_some() {
            let mut context = Context::default();
            let part = &line[from..end];
            document(part, line[quote], start + from, &mut context, sink);
        }
        at = (end + 1).min(line.len());
    }
}

/// Where the string is that is all of a line and ends one of the document in a list of strings: `"first line\\n",`, and in
/// such a list its last, too.
pub(super) fn of_list(line: &[u8], goes_on: bool) -> Option<(usize, usize)> {
    let from = line.len() - line.trim_ascii_start().len();
    let end = line.trim_ascii_end();
    let end = end.strip_suffix(b",").unwrap_or(end);
    let inside = end.strip_suffix(b"\"")?.get(from..)?.strip_prefix(b"\"")?;
    let alone = closing_quote(end, from + 1, b'"', 0) == Some(end.len() - 1);
    (alone && (goes_on || inside.ends_with(LINE_END))).then_some((from + 1, end.len() - 1))
}

/// Where the next string of a list begins, after the quote at `end`.
fn next_of_list(line: &[u8], end: usize, mark: u8) -> Option<usize> {
    let blank = |at: usize| at + line[at..].iter().take_while(|byte| **byte == b' ').count();
    let comma = blank((end + 1).min(line.len()));
    let quote = (line.get(comma) == Some(&b',')).then(|| blank(comma + 1))?;
    (line.get(quote) == Some(&mark)).then_some(quote + 1)
}

/// Reads the lines that the strings in `raw` stand for, each of which ends in `mark`, after those that `context` has read.
pub(super) fn document(
    raw: &[u8],
    mark: u8,
    start: usize,
    context: &mut Context,
    sink: &mut Sink<'_>,
) {
    let (mut text, mut places) = (Vec::with_capacity(raw.len()), Vec::new());
    let mut at = 0;
    while at < raw.len() {
        let end = closing_quote(raw, at, mark, 0).unwrap_or(raw.len());
        let string = places.len();
        events::unescape(&raw[at..end], &mut text, &mut places);
        // The last is where the string ends.
        places.pop();
        for place in &mut places[string..] {
            *place += u32::try_from(at).unwrap_or(u32::MAX - *place);
        }
        at = next_of_list(raw, end, mark).unwrap_or(raw.len());
    }
    let mut found: Vec<Finding> = Vec::new();
    let mut own = Sink {
        found: &mut found,
        sets: sink.sets,
        depth: sink.depth + 1,
        base: 0,
    };
    context.scan(&text, &mut own);
    super::settle(&text, &mut found);
    let place = |at: usize| {
        let place = places.get(at).map_or(raw.len(), |place| *place as usize);
        sink.base + start + place
    };
    let found = found.into_iter().map(|finding| Finding {
        start: place(finding.start),
        end: place(finding.end),
        rule: finding.rule,
    });
    sink.found.extend(found);
}
