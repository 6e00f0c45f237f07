//! Where in a line that is not complete a candidate may still be open.

use super::{
    keys,
    values::{ALNUM, DIGIT, JOIN, LOWER, UPPER, is, run_back},
};

/// Groups of digits that may be one number stand in at most this many bytes.
const LONGEST_GROUPS: usize = 64;

/// The first byte that what comes next may still change the meaning of.
pub(in crate::domain::masking) fn open_from(line: &[u8]) -> usize {
    let word = line
        .iter()
        .rposition(|byte| matches!(byte, b' ' | b'\t'))
        .map_or(0, |space| space + 1);
    let mut open = word;
    // Numbers, accounts and dates have spaces in them.
    while open > 0 && word - open < LONGEST_GROUPS {
        let end = open - 1;
        let start = line[..end]
            .iter()
            .rposition(|byte| matches!(byte, b' ' | b'\t'))
            .map_or(0, |space| space + 1);
        let group = &line[start..end];
        let grouped = group.iter().any(|byte| is(*byte, DIGIT))
            || group.len() <= 4 && group.iter().all(|byte| is(*byte, UPPER))
            || super::personal::is_month(group);
        if !grouped || group.is_empty() {
            break;
        }
        open = start;
    }
    open.min(open_quote(line))
}

/// Where the value of a promising name starts whose quote is not closed.
fn open_quote(line: &[u8]) -> usize {
    let mut opened = None;
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &line[at..]) {
        let place = at + found;
        if line[place] == b'\\' {
            at = (place + 2).min(line.len());
            continue;
        }
        opened = match opened {
            None => Some(place + 1),
            Some(_) => None,
        };
        at = place + 1;
    }
    let Some(value) = opened else {
        return line.len();
    };
    let mut name_end = value - 1;
    while name_end > 0
        && matches!(
            line[name_end - 1],
            b' ' | b':' | b'=' | b'"' | b'\'' | b'\\'
        )
    {
        name_end -= 1;
    }
    let name = run_back(line, name_end, ALNUM | JOIN | LOWER);
    if keys::promise(&line[name..name_end]).is_some() {
        value
    } else {
        line.len()
    }
}
