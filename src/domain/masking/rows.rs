//! Rows in, masked JSON out: one row at a time, straight into the result's buffer.

use std::fmt;

use super::{
    Cell, Masked, MaskedColumn, MaskedCounts, MaskedRows, Masking, ServerColumn,
    columns::{self, Treatment},
    detect::{self, Finding, Promise, Rule},
    replace,
};
use crate::domain::classify::Facts;

/// What masked columns are counted under when no rule names them.
const UNPROVEN: &str = "column:unproven";

/// Turns raw rows into masked JSON, one at a time, without keeping the raw ones.
pub struct RowMasker<'a> {
    masking: &'a Masking,
    columns: Vec<Column>,
    /// `[row,row,…`: rows as they are complete, without the closing bracket.
    json: Vec<u8>,
    rows: u64,
    cells: u64,
    /// How often each column was masked whole.
    whole: Vec<u64>,
    /// How often each rule found something, few enough to be looked through.
    by_rule: Vec<(Rule, u64)>,
    /// Findings of the cell at hand, kept for its memory.
    found: Vec<Finding>,
}

struct Column {
    name: String,
    type_name: String,
    treatment: Treatment,
    /// What its label promises. It proves nothing, but it may warn.
    promise: Option<Promise>,
}

/// Without the rows.
impl fmt::Debug for RowMasker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowMasker")
            .field("columns", &self.columns.len())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl<'a> RowMasker<'a> {
    pub(super) fn new(masking: &'a Masking, facts: &Facts, columns: &[ServerColumn]) -> Self {
        let treatments = columns::decide(masking, facts, columns);
        let columns: Vec<Column> = columns
            .iter()
            .zip(treatments)
            .map(|(column, treatment)| Column {
                promise: detect::promise(column.name.as_bytes()).or_else(|| {
                    let origin = column.origin.as_ref()?;
                    detect::promise(origin.column.as_bytes())
                }),
                name: column.name.clone(),
                type_name: column.type_name.clone(),
                treatment,
            })
            .collect();
        Self {
            masking,
            whole: vec![0; columns.len()],
            columns,
            json: vec![b'['],
            rows: 0,
            cells: 0,
            by_rule: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Masks one row and appends it to the result as a JSON array; returns the result's size in bytes so far.
    ///
    /// A row of more cells than the result has columns loses them, one of fewer is filled with NULL: what nobody decided
    /// about is not shown.
    pub fn row(&mut self, cells: &[Cell<'_>]) -> usize {
        debug_assert_eq!(cells.len(), self.columns.len());
        if self.rows > 0 {
            self.json.push(b',');
        }
        self.json.push(b'[');
        for index in 0..self.columns.len() {
            if index > 0 {
                self.json.push(b',');
            }
            self.cell(index, cells.get(index).copied().unwrap_or(Cell::Null));
        }
        self.json.push(b']');
        self.rows += 1;
        // The bracket that closes the whole is part of its size.
        self.json.len() + 1
    }

    /// The rows as one JSON array of arrays, what their columns are, and what was masked.
    pub fn finish(mut self) -> (Masked<MaskedRows>, MaskedCounts) {
        self.json.push(b']');
        let mut counts = MaskedCounts {
            cells: self.cells,
            ..MaskedCounts::default()
        };
        for (column, count) in self.columns.iter().zip(&self.whole) {
            if let (Treatment::Whole { rule, .. }, 1..) = (column.treatment, *count) {
                let label = rule.map_or(UNPROVEN, |rule| &self.masking.columns[rule].label);
                *counts.by.entry(label.into()).or_default() += count;
            }
        }
        for (rule, count) in &self.by_rule {
            *counts
                .by
                .entry(self.masking.label(*rule).into())
                .or_default() += count;
        }
        let columns = self
            .columns
            .into_iter()
            .map(|column| MaskedColumn {
                name: column.name,
                type_name: column.type_name,
                masked: matches!(column.treatment, Treatment::Whole { .. })
                    .then(|| "column".into()),
            })
            .collect();
        let rows = MaskedRows {
            columns,
            // Only text and JSON made of text was appended.
            rows: String::from_utf8(self.json).unwrap_or_else(|_| "[]".into()),
            row_count: self.rows,
        };
        (Masked(rows), counts)
    }

    fn cell(&mut self, index: usize, cell: Cell<'_>) {
        match self.columns[index].treatment {
            Treatment::Whole { how, rule } => {
                if cell != Cell::Null {
                    self.whole[index] += 1;
                    self.cells += 1;
                }
                let domain = rule.map_or("", |rule| self.masking.columns[rule].domain());
                replace::cell(self.masking, how, domain, cell, &mut self.json);
            }
            Treatment::Detect => self.detect(index, cell),
        }
    }

    fn detect(&mut self, index: usize, cell: Cell<'_>) {
        let promise = self.columns[index].promise;
        match cell {
            Cell::Null => self.json.extend_from_slice(b"null"),
            Cell::Bool(value) => {
                let word: &[u8] = if value { b"true" } else { b"false" };
                self.json.extend_from_slice(word);
            }
            Cell::Number(digits) => {
                // No number that means something to its owner is shorter, unless its column says so.
                if digits.len() < 9 && promise.is_none() || !self.find(digits, promise) {
                    self.json.extend_from_slice(digits.as_bytes());
                } else {
                    self.json.push(b'"');
                    self.masking
                        .write_text(digits.as_bytes(), &self.found, &mut self.json);
                    self.json.push(b'"');
                }
            }
            Cell::Text(text) => {
                self.json.push(b'"');
                if self.find(text, promise) {
                    let mut from = 0;
                    let mut mask = Vec::new();
                    for finding in &self.found {
                        replace::json_text(&text[from..finding.start], &mut self.json);
                        mask.clear();
                        self.masking.write_mask(text.as_bytes(), finding, &mut mask);
                        replace::json_text(&String::from_utf8_lossy(&mask), &mut self.json);
                        from = finding.end;
                    }
                    replace::json_text(&text[from..], &mut self.json);
                } else {
                    replace::json_text(text, &mut self.json);
                }
                self.json.push(b'"');
            }
            Cell::Json(text) => self.detect_json(text, promise),
        }
    }

    /// JSON stays JSON, whatever is masked in it; what only claims to be JSON becomes a string.
    fn detect_json(&mut self, text: &str, promise: Option<Promise>) {
        let valid = |json: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(json).is_ok();
        if !valid(text.as_bytes()) {
            let cell = Cell::Text(text);
            // Its columns' treatment is the same; only its kind was wrong.
            self.json.push(b'"');
            let found = self.find(text, promise);
            let mut masked = Vec::new();
            if found {
                self.masking
                    .write_text(text.as_bytes(), &self.found, &mut masked);
            }
            let shown = if found {
                String::from_utf8_lossy(&masked)
            } else {
                text.into()
            };
            debug_assert!(matches!(cell, Cell::Text(_)));
            replace::json_text(&shown, &mut self.json);
            self.json.push(b'"');
            return;
        }
        let start = self.json.len();
        if self.find(text, promise) {
            self.masking
                .write_text(text.as_bytes(), &self.found, &mut self.json);
            if !valid(&self.json[start..]) {
                self.json.truncate(start);
                self.json.extend_from_slice(b"\"********\"");
            }
        } else {
            self.json.extend_from_slice(text.as_bytes());
        }
    }

    /// Whether anything was found in a value; it is then in `found`, and counted.
    fn find(&mut self, text: &str, promise: Option<Promise>) -> bool {
        self.found.clear();
        if self.masking.sets.any() {
            detect::cell(text, promise, self.masking.sets, &mut self.found);
        }
        self.masking
            .find_patterns(text.as_bytes(), 0, &mut self.found);
        if self.found.is_empty() {
            return false;
        }
        detect::settle(text.as_bytes(), &mut self.found);
        self.cells += 1;
        for finding in &self.found {
            match self
                .by_rule
                .iter_mut()
                .find(|(rule, _)| *rule == finding.rule)
            {
                Some((_, count)) => *count += 1,
                None => self.by_rule.push((finding.rule, 1)),
            }
        }
        true
    }
}
