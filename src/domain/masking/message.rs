//! What a target says in words: error messages and notices.
//!
//! A message can quote a value (`invalid input syntax for type integer: "bob@example.org"`, `Key (email)=(…) already
//! exists`). Detectors know an address when they see one, but nobody knows a name or a salary; so where a statement
//! touches a relation with masked columns, whatever a message quotes is left out of it.

use super::{Masked, MaskedCounts, Masking};
use crate::domain::classify::{Effect, Facts};

/// SQLSTATE classes raised before any row is looked at, or without looking: what they quote is the statement's own
/// text or a name in the schema (PostgreSQL, appendix A).
const WITHOUT_VALUES: [&str; 9] = ["08", "0A", "25", "28", "3D", "3F", "42", "53", "57"];
/// The same for MySQL and MariaDB, by their own numbers: their classes mix what is in the text with what is in a row
/// (42000 is both a syntax error and `Variable … can't be set to the value of '…'`).
const NUMBERS_WITHOUT_VALUES: [u16; 22] = [
    1044, 1045, 1046, 1049, 1050, 1051, 1052, 1054, 1064, 1142, 1143, 1146, 1205, 1213, 1227, 1290,
    1295, 1305, 1317, 1370, 1792, 1969,
];

impl Masking {
    /// Masks a target's error message; `code` is its SQLSTATE, where it has one, with the server's own number after a
    /// slash where it has that: `42S22/1054`.
    pub fn message(
        &self,
        facts: &Facts,
        code: Option<&str>,
        text: &str,
        counts: &mut MaskedCounts,
    ) -> Masked<String> {
        let without_values = code.is_some_and(|code| match code.split_once('/') {
            Some((_, number)) => number
                .parse()
                .is_ok_and(|number| NUMBERS_WITHOUT_VALUES.contains(&number)),
            None => WITHOUT_VALUES.iter().any(|class| code.starts_with(class)),
        });
        if without_values || !self.touches_masked_columns(facts) {
            return self.text(text, counts);
        }
        let shown = before_quotes(text);
        if shown.len() == text.len() {
            return self.text(text, counts);
        }
        counts.count("message:quoted");
        self.text(
            &format!("{shown}… (what follows may quote a masked column)"),
            counts,
        )
    }

    /// Masks a notice. What raises notices is code in the database that may print anything.
    pub fn notice(&self, facts: &Facts, text: &str, counts: &mut MaskedCounts) -> Masked<String> {
        if self.touches_masked_columns(facts) {
            counts.count("message:notice");
            let withheld = "A notice is withheld: the statement touches masked columns.";
            return self.text(withheld, counts);
        }
        self.text(text, counts)
    }

    fn touches_masked_columns(&self, facts: &Facts) -> bool {
        self.has_column_rules()
            && (facts.class == Effect::Unknown
                || facts
                    .objects
                    .iter()
                    .any(|object| self.relation_is_sensitive(&object.name)))
    }
}

impl MaskedCounts {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.cells += other.cells;
        for (rule, count) in &other.by {
            *self.by.entry(rule.clone()).or_default() += count;
        }
    }

    fn count(&mut self, rule: &str) {
        self.cells += 1;
        *self.by.entry(rule.into()).or_default() += 1;
    }
}

/// `text` up to the first quotation mark, parenthesis or line break. What a value holds can look like the end of its
/// quotation, so nothing after the beginning of one is trusted. A type's length, as in `varchar(5)`, quotes nothing.
fn before_quotes(text: &str) -> &str {
    let mut from = 0;
    while let Some(found) = text[from..].find(['"', '\'', '`', '(', '\n', '«', '„', '“']) {
        let at = from + found;
        let length = text[at..]
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(')'));
        match length {
            Some((digits, _))
                if digits.len() <= 4 && digits.bytes().all(|b| b.is_ascii_digit()) =>
            {
                from = at + digits.len() + 2;
            }
            _ => return &text[..at],
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_quotes_is_left_out() {
        let cases = [
            (
                r#"invalid input syntax for type integer: "Bob""#,
                "invalid input syntax for type integer: ",
            ),
            (r#"invalid input: "x" Bob"#, "invalid input: "),
            ("Key (name)=(Bob (senior)) already exists.", "Key "),
            (
                "value too long for type character varying(5)",
                "value too long for type character varying(5)",
            ),
            ("bad JSON path: 'Bob", "bad JSON path: "),
            ("Failing row contains (1, Bob", "Failing row contains "),
            ("something (12) and (Bob)", "something (12) and "),
            ("one line\nDETAIL: Bob", "one line"),
            ("division by zero", "division by zero"),
        ];
        for (text, expected) in cases {
            assert_eq!(before_quotes(text), expected);
        }
    }
}
