//! What of a result may be seen.
//!
//! INVARIANT: raw values have one way out. [`Masked`] has private fields and is made in this module alone; every
//! answer, event, log line and export that carries text from a target or a statement carries a `Masked`.

mod columns;
mod detect;
mod encoded;
mod events;
mod known;
mod message;
mod pseudonym;
mod replace;
mod reveal;
mod rows;
mod rules;
mod stream;

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::classify::Facts;
use detect::{Finding, Rule};
pub use encoded::{Decoder, EncodedError, Encoding};
pub use reveal::BadPseudonym;
pub use rows::RowMasker;
pub use rules::{
    ColumnRule, DetectorSet, How, InPredicates, MaskingError, MaskingRules, Pattern, is_plain_name,
};
pub use stream::{Stream, TextFinding};

/// Something that went through masking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Masked<T>(T);

impl<T> Masked<T> {
    /// What may be seen.
    pub fn as_inner(&self) -> &T {
        &self.0
    }

    /// What may be seen, taken out.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// How many values were masked, and by what: `column:customers.email`, `secrets:jwt`, `personal:iban`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MaskedCounts {
    /// Cells (or places in text) something was masked in.
    pub cells: u64,
    /// Per rule.
    pub by: BTreeMap<String, u64>,
}

/// A column of a table or view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseColumn {
    /// The schema, where the server has them.
    pub schema: Option<String>,
    /// The table or view.
    pub relation: String,
    /// The column.
    pub column: String,
}

/// Where the server says an output column comes from: the second witness beside the statement's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOrigin {
    /// The schema, where the server has them.
    pub schema: Option<String>,
    /// The table or view.
    pub relation: String,
    /// The column; `*` where the value is a whole row of the relation.
    pub column: String,
    /// Further columns whose values it may show: what a view reads, a partition's parent, the columns of a whole row.
    /// Whatever rule holds for one of them holds here. May name more than it shows, never less.
    pub also: Vec<BaseColumn>,
}

/// One column of a result, as the target describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerColumn {
    /// Its label. Chosen by whoever wrote the statement, so it proves nothing.
    pub name: String,
    /// The target's name for its type.
    pub type_name: String,
    /// Where the server says it comes from; `None`: computed.
    pub origin: Option<ServerOrigin>,
}

/// One value as it came from the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number by its digits, valid as a JSON number.
    Number(&'a str),
    /// Text, and every type whose canonical form is text.
    Text(&'a str),
    /// JSON text.
    Json(&'a str),
}

/// A column of a masked result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MaskedColumn {
    /// Its label.
    pub name: String,
    /// The target's name for its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// `column` where policy masks the whole column, absent where only detectors look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<String>,
}

/// Compiled masking rules. The default masks with every built-in detector.
pub struct Masking {
    columns: Vec<rules::CompiledColumn>,
    patterns: Vec<rules::CompiledPattern>,
    sets: detect::Sets,
    key: [u8; 32],
    pseudonyms: pseudonym::Pseudonyms,
}

impl Default for Masking {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            patterns: Vec::new(),
            sets: detect::Sets::default(),
            key: [0; 32],
            pseudonyms: pseudonym::Pseudonyms::new(&[0; 32]),
        }
    }
}

/// The key stays out of it.
impl fmt::Debug for Masking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masking")
            .field("columns", &self.columns)
            .field("patterns", &self.patterns)
            .field("sets", &self.sets)
            .finish_non_exhaustive()
    }
}

/// A text that comes in pieces, masked as it does.
#[derive(Debug)]
pub struct MaskedText<'a> {
    stream: Stream<'a>,
    out: Vec<u8>,
    findings: Vec<TextFinding>,
}

impl MaskedText<'_> {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.stream.push(bytes, &mut self.out, &mut self.findings);
    }

    /// All of it, with `U+FFFD` for what is no UTF-8. Masks end between characters, so this is what went in with some of its
    /// characters replaced.
    pub fn finish(mut self, counts: &mut MaskedCounts) -> Masked<String> {
        self.stream.finish(&mut self.out, &mut self.findings);
        counts.found(self.findings);
        let text = String::from_utf8(self.out);
        Masked(text.unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned()))
    }
}

/// Bytes that come in pieces, masked as they do and let out as soon as they may be.
#[derive(Debug)]
pub struct MaskedBytes<'a> {
    stream: Stream<'a>,
    findings: Vec<TextFinding>,
}

impl MaskedBytes<'_> {
    /// Takes the next bytes; gives what may leave by now.
    pub fn push(&mut self, bytes: &[u8], counts: &mut MaskedCounts) -> Masked<Vec<u8>> {
        let mut out = Vec::with_capacity(bytes.len());
        self.stream.push(bytes, &mut out, &mut self.findings);
        counts.found(self.findings.drain(..));
        Masked(out)
    }

    /// The rest.
    pub fn finish(mut self, counts: &mut MaskedCounts) -> Masked<Vec<u8>> {
        let mut out = Vec::new();
        self.stream.finish(&mut out, &mut self.findings);
        counts.found(self.findings);
        Masked(out)
    }
}

impl MaskedCounts {
    fn found(&mut self, findings: impl IntoIterator<Item = TextFinding>) {
        for finding in findings {
            self.count(&finding.rule);
        }
    }
}

impl Masking {
    /// Masks bytes that come in pieces and leave in pieces.
    pub fn passing(&self) -> MaskedBytes<'_> {
        MaskedBytes {
            stream: self.stream(),
            findings: Vec::new(),
        }
    }

    /// Masks bytes that are wholly there.
    pub fn bytes(&self, bytes: &[u8], counts: &mut MaskedCounts) -> Masked<Vec<u8>> {
        let mut passing = self.passing();
        let Masked(mut out) = passing.push(bytes, counts);
        out.extend(passing.finish(counts).into_inner());
        Masked(out)
    }

    /// Masks free text: an error message, a notice, a statement's rendering.
    pub fn text(&self, text: &str, counts: &mut MaskedCounts) -> Masked<String> {
        let mut incoming = self.incoming();
        incoming.push(text.as_bytes());
        incoming.finish(counts)
    }

    /// Masks one text that comes in pieces and is kept whole.
    pub fn incoming(&self) -> MaskedText<'_> {
        MaskedText {
            stream: self.stream(),
            out: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Decides, once per result, how each of its columns is masked.
    pub fn rows(&self, facts: &Facts, columns: &[ServerColumn]) -> RowMasker<'_> {
        RowMasker::new(self, facts, columns)
    }

    /// Everything in whole lines of text, in order, without overlaps.
    fn find(&self, text: &[u8], context: &mut detect::Context, found: &mut Vec<Finding>) {
        context.find(text, self.sets, found);
        if !self.patterns.is_empty() {
            // Line by line, as everything else that could see where a stream was cut.
            let mut start = 0;
            while start < text.len() {
                let end =
                    memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |found| start + found);
                self.find_patterns(&text[start..end], start, found);
                start = end + 1;
            }
        }
        detect::settle(text, found);
    }

    fn find_patterns(&self, text: &[u8], base: usize, found: &mut Vec<Finding>) {
        let inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        for (index, pattern) in self.patterns.iter().enumerate() {
            pattern.each(text, |mut start, mut end| {
                // A byte regex may match within a character; a mask may not.
                while start > 0 && inside(start) {
                    start -= 1;
                }
                while inside(end) {
                    end += 1;
                }
                found.push(Finding {
                    start: base + start,
                    end: base + end,
                    rule: Rule::Pattern(u16::try_from(index).unwrap_or(u16::MAX)),
                });
            });
        }
    }

    /// Where in a line that is not complete a match of a pattern starts that may still go on.
    fn open_pattern(&self, line: &[u8]) -> usize {
        self.patterns
            .iter()
            .map(|pattern| pattern.open_from(line))
            .min()
            .unwrap_or(line.len())
    }

    fn label(&self, rule: Rule) -> &str {
        match rule {
            Rule::BuiltIn(kind) => kind.label(),
            Rule::Pattern(index) => &self.patterns[usize::from(index)].label,
        }
    }

    /// What stands for a finding in text.
    fn write_mask(&self, text: &[u8], finding: &Finding, out: &mut Vec<u8>) {
        let hidden = &text[finding.range()];
        match finding.rule {
            _ if replace::is_json_number(text, &finding.range()) => {
                replace::hide(hidden, replace::HIDDEN_DIGIT, out);
            }
            Rule::BuiltIn(_) => replace::hide(hidden, replace::HIDDEN, out),
            Rule::Pattern(_) => {
                out.extend_from_slice(self.mask_of(hidden, finding.rule).as_bytes());
            }
        }
    }

    /// What stands for `hidden` where text may stand.
    fn mask_of(&self, hidden: &[u8], rule: Rule) -> String {
        // A pattern's label is no column's domain: what it masks cannot be sent back.
        let (how, label) = match rule {
            Rule::BuiltIn(kind) => (How::Redact, kind.label()),
            Rule::Pattern(index) => {
                let pattern = &self.patterns[usize::from(index)];
                (pattern.how, &*pattern.label)
            }
        };
        replace::text(self, how, label, &String::from_utf8_lossy(hidden))
    }

    fn write_text(&self, text: &[u8], found: &[Finding], out: &mut Vec<u8>) {
        let mut from = 0;
        for finding in found {
            out.extend_from_slice(&text[from..finding.start]);
            self.write_mask(text, finding, out);
            from = finding.end;
        }
        out.extend_from_slice(&text[from..]);
    }
}

/// Rows after masking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedRows {
    /// Their columns.
    pub columns: Vec<MaskedColumn>,
    /// A JSON array of arrays.
    pub rows: String,
    /// How many.
    pub row_count: u64,
}
