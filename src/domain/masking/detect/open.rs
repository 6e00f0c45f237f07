//! Where in a line that is not complete a candidate may still be open.

use super::{
    keys,
    values::{ALNUM, DIGIT, JOIN, LOWER, UPPER, is, run_back},
};

/// Groups of digits that may be one number stand in at most this many bytes.
const LONGEST_GROUPS: usize = 64;

/// Which quote of a line is open, as the line grows: no byte is looked at twice.
#[derive(Debug, Default)]
pub(in crate::domain::masking) struct Quotes {
    looked: usize,
    /// The byte after the quote.
    opened: Option<usize>,
}

impl Quotes {
    fn open(&mut self, line: &[u8]) -> Option<usize> {
        while let Some(found) = line
            .get(self.looked..)
            .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
        {
            let place = self.looked + found;
            if line[place] == b'\\' {
                self.looked = place + 2;
                continue;
            }
            self.looked = place + 1;
            self.opened = match self.opened {
                None => Some(place + 1),
                Some(_) => None,
            };
        }
        self.looked = self.looked.max(line.len());
        self.opened
    }
}

/// The first byte that what comes next may still change the meaning of. `quotes` are those of this line.
pub(in crate::domain::masking) fn open_from(line: &[u8], quotes: &mut Quotes) -> usize {
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
    open.min(open_quote(line, quotes))
}

/// Where the value of a promising name starts whose quote is not closed.
fn open_quote(line: &[u8], quotes: &mut Quotes) -> usize {
    let Some(value) = quotes.open(line) else {
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
