//! What a target says in words: error messages and notices.
//!
//! A message can quote a value (`invalid input syntax for type integer: "bob@example.org"`, `Key (email)=(…) already
//! exists`). Detectors know an address when they see one, but nobody knows a name or a salary; so where a statement
//! touches a relation with masked columns, whatever a message quotes is left out of it.

use super::{Masked, MaskedCounts, Masking};
use crate::domain::classify::Facts;

impl Masking {
    /// Masks a target's error message. `unread`: it was raised before any row was looked at, so that all it can quote
    /// is the statement's own text and the names of the schema.
    pub fn message(
        &self,
        facts: &Facts,
        unread: bool,
        text: &str,
        counts: &mut MaskedCounts,
    ) -> Masked<String> {
        if unread || !self.touches_masked_columns(facts) {
            return self.text(text, counts);
        }
        // Code of the users' own says what it likes, in any words.
        let shown = if facts.runs_unjudged {
            ""
        } else {
            before_values(text)
        };
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
            && (facts.runs_unjudged
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

    pub(super) fn count(&mut self, rule: &str) {
        self.cells += 1;
        *self.by.entry(rule.into()).or_default() += 1;
    }
}

/// `text` up to the first quotation mark, parenthesis, colon, digit or line break. What a value holds can look like the
/// end of its quotation, so nothing after the beginning of one is trusted. A type's length, as in `varchar(5)`, quotes
/// nothing.
fn before_values(text: &str) -> &str {
    let mut from = 0;
    while let Some(found) = text[from..].find(begins_a_value) {
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

fn begins_a_value(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '`' | '(' | '\n' | ':' | '«' | '„' | '“' | '‘'
    ) || c.is_numeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_quotes_is_left_out() {
        let cases = [
            (
                r#"invalid input syntax for type integer: "Bob""#,
                "invalid input syntax for type integer",
            ),
            (r#"invalid input: "x" Bob"#, "invalid input"),
            ("Key (name)=(Bob (senior)) already exists.", "Key "),
            (
                "value too long for type character varying(5)",
                "value too long for type character varying(5)",
            ),
            ("bad JSON path: 'Bob", "bad JSON path"),
            ("Failing row contains (1, Bob", "Failing row contains "),
            ("something (12) and (Bob)", "something (12) and "),
            ("one line\nDETAIL: Bob", "one line"),
            ("date out of range: 1731-01-01", "date out of range"),
            ("character 1731 is too large", "character "),
            ("division by zero", "division by zero"),
        ];
        for (text, expected) in cases {
            assert_eq!(before_values(text), expected);
        }
    }
}
