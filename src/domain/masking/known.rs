//! Values that are secret wherever they stand: those that connections log in with.
//!
//! A detector knows a password by what stands around it; these are known by themselves, so that a server, a command or an API
//! that says one of them in passing says it to nobody.

use std::{collections::BTreeSet, fmt, ops::Bound};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use percent_encoding::utf8_percent_encode;

use super::replace::json_text;
use crate::domain::connection::RESERVED;

/// The fewest characters of a value that is looked for: shorter ones are words that stand elsewhere by chance.
const SHORTEST: usize = 8;
/// The fewest characters of a value in Base64 that are its own, whatever stands around it.
const SHORTEST_ENCODED: usize = 10;

/// What finds known values in text: as they are, and as JSON, URLs and Base64 write them.
pub(super) struct Known {
    search: AhoCorasick,
    forms: BTreeSet<Vec<u8>>,
    /// The length of the longest.
    longest: usize,
    /// Whether one begins with a byte: the end of a stream's text is asked about with every piece.
    begins: Box<[bool; 256]>,
}

/// What it knows stays out of it.
impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Known({} forms)", self.forms.len())
    }
}

impl Known {
    /// Looks for `values`; `None`: none of them can be looked for. Values of several lines are left to the detectors: they are
    /// files, most of whose lines are no secrets.
    pub(super) fn new(values: &BTreeSet<String>) -> Option<Self> {
        let forms: BTreeSet<Vec<u8>> = values
            .iter()
            .map(|value| value.trim())
            .filter(|value| value.chars().count() >= SHORTEST && !value.contains('\n'))
            .flat_map(forms)
            .collect();
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&forms)
            .ok()?;
        let longest = forms.iter().map(Vec::len).max()?;
        let mut begins = Box::new([false; 256]);
        for form in &forms {
            begins[usize::from(form[0])] = true;
        }
        Some(Self {
            search,
            forms,
            longest,
            begins,
        })
    }

    /// Where one stands.
    pub(super) fn find_iter(&self, text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
        let hits = self.search.find_iter(text);
        hits.map(|hit| (hit.start(), hit.end()))
    }

    /// Where in a line that is not complete one starts that what comes next may still end, or make longer.
    pub(super) fn open_from(&self, line: &[u8]) -> usize {
        let first = line.len().saturating_sub(self.longest);
        (first..line.len())
            .find(|&from| self.begins[usize::from(line[from])] && self.is_begun(&line[from..]))
            .unwrap_or(line.len())
    }

    /// Whether `text` is what one of them begins with.
    fn is_begun(&self, text: &[u8]) -> bool {
        // In order, what begins with a text comes right after it.
        let from_it_on = (Bound::Included(text), Bound::Unbounded);
        let mut after = self.forms.range::<[u8], _>(from_it_on);
        after.next().is_some_and(|form| form.starts_with(text))
    }

    /// Whether one of them could be made of such bytes alone.
    pub(super) fn any_of(&self, byte: impl Fn(&u8) -> bool) -> bool {
        self.forms.iter().any(|form| form.iter().all(&byte))
    }
}

/// How a value may be written.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut json = Vec::new();
    json_text(value, &mut json);
    let url = utf8_percent_encode(value, RESERVED).to_string();
    let mut forms = vec![value.into(), json, url.into()];
    for before in 0..3 {
        let encoded = in_base64(value, before);
        if encoded.len() >= SHORTEST_ENCODED {
            forms.push(encoded.replace('+', "-").replace('/', "_").into());
            forms.push(encoded.into());
        }
    }
    forms
}

/// The characters that `value` has in Base64 after so many bytes of something else, whatever these and those after it are.
fn in_base64(value: &str, before: usize) -> String {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(value.as_bytes());
    let encoded = STANDARD_NO_PAD.encode(&bytes);
    // A character is six bits: those of the first that are not all of the value's, and the last if it is not full.
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    encoded[first..last].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(values: &[&str]) -> Known {
        Known::new(&values.iter().map(|value| (*value).to_owned()).collect()).unwrap()
    }

    proptest! {
        #[test]
        fn a_value_is_found_whatever_it_is_encoded_together_with(
            value in "[!-~]{8,40}", before in "[ -~]{0,9}", after in "[ -~]{0,9}",
        ) {
            let encoded = STANDARD_NO_PAD.encode(format!("{before}{value}{after}"));
            prop_assert!(known(&[&value]).find_iter(encoded.as_bytes()).next().is_some());
        }

        #[test]
        fn what_may_go_on_is_never_let_out(
            values in proptest::collection::btree_set("[ab]{8,12}", 1..5), text in "[ab]{0,30}", rest in "[ab]{1,12}",
        ) {
            let known = Known::new(&values).unwrap();
            let whole = format!("{text}{rest}");
            let open = known.open_from(text.as_bytes());
            for (start, end) in known.find_iter(whole.as_bytes()) {
                prop_assert!(end <= text.len() || start >= open, "{whole}: {start}..{end}, open from {open}");
            }
        }
    }

    #[test]
    fn short_values_and_files_are_not_looked_for() {
        let none = ["secret", "  short  ", "kind: Config\nname: crm\n"];
        assert!(Known::new(&none.iter().map(|value| (*value).to_owned()).collect()).is_none());
    }
}
