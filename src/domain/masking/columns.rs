//! Which columns of a result are masked whole, decided once per result.
//!
//! Two witnesses say where a column comes from: the statement's own text ([`Facts::outputs`]) and the server
//! ([`ServerColumn::origin`]). A label proves nothing, whoever wrote the statement chose it.
//!
//! INVARIANT: a column is clear only where every witness there is says so; where neither can tell, it is masked if
//! anything sensitive could be in scope.

use std::collections::BTreeSet;

use super::{BaseColumn, Masking, ServerColumn, rules::How};
use crate::domain::classify::{ColumnRef, Effect, Facts, OutputSource, Outputs, name};

/// What happens to one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Detectors look at each value.
    Detect,
    /// Every value is replaced.
    Whole {
        how: How,
        /// The rule it is counted under; `None`: it could hold anything the statement reads.
        rule: Option<usize>,
    },
}

const UNPROVEN: Treatment = Treatment::Whole {
    how: How::Redact,
    rule: None,
};

/// A value computed from a sensitive column: what a rule would show of the column says too much of it.
fn computed(rule: usize) -> Treatment {
    Treatment::Whole {
        how: How::Redact,
        rule: Some(rule),
    }
}

/// Decides for each column of a result.
pub(super) fn decide(masking: &Masking, facts: &Facts, columns: &[ServerColumn]) -> Vec<Treatment> {
    if !masking.has_column_rules() {
        return vec![Treatment::Detect; columns.len()];
    }
    let scope = Scope::new(masking, facts);
    columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let source = source_of(&facts.outputs, index, columns.len());
            scope.decide(source, column)
        })
        .collect()
}

/// The output expression behind a column. Stars make positions in the middle unknowable, but not those before the
/// first and after the last star.
fn source_of(outputs: &Outputs, index: usize, columns: usize) -> &OutputSource {
    const STAR: &OutputSource = &OutputSource::Star(None);
    const UNPROVEN: &OutputSource = &OutputSource::Unproven;
    const NO_COLUMN: &OutputSource = &OutputSource::From(BTreeSet::new());
    let sources = match outputs {
        Outputs::Known(sources) => sources,
        Outputs::Described => return NO_COLUMN,
        Outputs::Unproven => return UNPROVEN,
    };
    let is_star = |source: &OutputSource| matches!(source, OutputSource::Star(_));
    let Some(first_star) = sources.iter().position(is_star) else {
        // As many expressions as columns, or the text and the server do not speak of the same result.
        return if sources.len() == columns {
            &sources[index]
        } else {
            UNPROVEN
        };
    };
    let after_last_star = sources
        .iter()
        .rev()
        .take_while(|source| !is_star(source))
        .count();
    if first_star + after_last_star > columns {
        UNPROVEN
    } else if index < first_star {
        &sources[index]
    } else if index >= columns - after_last_star {
        &sources[sources.len() - (columns - index)]
    } else {
        STAR
    }
}

/// What the statement reads, seen with the eyes of the policy.
struct Scope<'a> {
    masking: &'a Masking,
    facts: &'a Facts,
    /// Whether anything it reads has a sensitive column. A statement we know nothing of could read anything.
    sensitive: bool,
}

impl<'a> Scope<'a> {
    fn new(masking: &'a Masking, facts: &'a Facts) -> Self {
        // Settings, and what a PRAGMA or SHOW tells: proven to read, from no table and by no function.
        let reads_no_table = facts.class == Effect::Read && facts.functions.is_empty();
        let sensitive = facts.runs_unjudged
            || facts.objects.is_empty() && !reads_no_table
            || facts
                .objects
                .iter()
                .any(|object| masking.relation_is_sensitive(&object.name));
        Self {
            masking,
            facts,
            sensitive,
        }
    }

    fn decide(&self, source: &OutputSource, column: &ServerColumn) -> Treatment {
        let rule_of = |schema: &Option<String>, relation: &str, column: &str| {
            let relation = match schema {
                Some(schema) => name::dotted(&[schema.as_str(), relation]),
                None => name::dotted(&[relation]),
            };
            self.masking.compiled_column(Some(&relation), column)
        };
        if let Some(origin) = &column.origin {
            // The server names a column only where the value is that column's, unchanged.
            if let Some(rule) = rule_of(&origin.schema, &origin.relation, &origin.column) {
                return self.unchanged(rule, &origin.column);
            }
            // What lies behind it may have been computed with.
            let behind = |base: &BaseColumn| rule_of(&base.schema, &base.relation, &base.column);
            if let Some(rule) = origin.also.iter().find_map(behind) {
                return computed(rule);
            }
        }
        let by_server = &column.origin;
        match source {
            OutputSource::Column(columns) => {
                let found = columns
                    .iter()
                    .find_map(|column| Some((self.rule_for(column)?, column)));
                match found {
                    Some((rule, column)) => self.unchanged(rule, &column.column),
                    None => Treatment::Detect,
                }
            }
            OutputSource::From(columns) => {
                let computed_from = columns.iter().find_map(|column| self.rule_for(column));
                computed_from.map_or(Treatment::Detect, computed)
            }
            // A star is whatever the server says it is; what the server cannot name could be anything.
            OutputSource::Star(_) if by_server.is_some() => Treatment::Detect,
            OutputSource::Star(_) | OutputSource::Unproven if self.sensitive => UNPROVEN,
            OutputSource::Star(_) | OutputSource::Unproven => Treatment::Detect,
        }
    }

    /// A value that is a column's own; a whole row is more than a column.
    fn unchanged(&self, rule: usize, column: &str) -> Treatment {
        if column == "*" {
            return computed(rule);
        }
        let how = self.masking.columns[rule].rule().as_;
        Treatment::Whole {
            how,
            rule: Some(rule),
        }
    }

    fn rule_for(&self, column: &ColumnRef) -> Option<usize> {
        if let Some(relation) = &column.relation {
            return self.masking.compiled_column(Some(relation), &column.column);
        }
        if self.facts.objects.is_empty() {
            return self.masking.compiled_column(None, &column.column);
        }
        self.facts.objects.iter().find_map(|object| {
            self.masking
                .compiled_column(Some(&object.name), &column.column)
        })
    }
}
