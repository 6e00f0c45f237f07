//! What a policy says about masking, and what it becomes once checked.
//!
//! Plain data goes in ([`MaskingRules`]), a [`Masking`] that cannot fail any more comes out. This file knows how a column
//! is named and matched; it does not know results, lineage or detectors' insides.

use std::{collections::BTreeSet, fmt};

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::{
    ParserBuilder,
    hir::{Hir, HirKind, Repetition},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Masking, detect, known::Known, pseudonym::Pseudonyms};
use crate::domain::classify::{ColumnRef, Facts, Flow, name};

/// Columns in which servers show values of other tables' columns, or the text of others' statements: statistics about
/// what a column holds, and what sessions run. Where any column is masked, these are too.
const SHOWING_OTHERS: &[(&str, &[&str])] = &[
    // PostgreSQL.
    (
        "pg_stats",
        &[
            "most_common_vals",
            "histogram_bounds",
            "most_common_elems",
            "range_length_histogram",
            "range_bounds_histogram",
        ],
    ),
    ("pg_stats_ext", &["most_common_vals"]),
    (
        "pg_stats_ext_exprs",
        &[
            "expr",
            "most_common_vals",
            "histogram_bounds",
            "most_common_elems",
        ],
    ),
    (
        "pg_statistic",
        &[
            "stavalues1",
            "stavalues2",
            "stavalues3",
            "stavalues4",
            "stavalues5",
        ],
    ),
    ("pg_statistic_ext_data", &["stxdmcv", "stxdexpr"]),
    ("pg_stat_activity", &["query"]),
    ("pg_stat_statements", &["query"]),
    ("pg_prepared_statements", &["statement"]),
    ("pg_cursors", &["statement"]),
    // The keys of advisory locks.
    ("pg_locks", &["classid", "objid"]),
    // MySQL and MariaDB.
    (
        "column_stats",
        &["min_value", "max_value", "histogram", "hist_data"],
    ),
    ("column_statistics", &["histogram"]),
    ("optimizer_trace", &["query", "trace"]),
    ("processlist", &["info", "info_binary"]),
    ("general_log", &["argument"]),
    ("slow_log", &["sql_text"]),
    ("threads", &["processlist_info"]),
    ("session", &["current_statement", "last_statement"]),
    ("x$session", &["current_statement", "last_statement"]),
    ("innodb_trx", &["trx_query"]),
    (
        "events_statements_current",
        &["sql_text", "digest_text", "message_text"],
    ),
    (
        "events_statements_history",
        &["sql_text", "digest_text", "message_text"],
    ),
    (
        "events_statements_history_long",
        &["sql_text", "digest_text", "message_text"],
    ),
    (
        "events_statements_summary_by_digest",
        &["query_sample_text"],
    ),
    ("prepared_statements_instances", &["sql_text"]),
    ("user_variables_by_thread", &["variable_value"]),
    ("user_variables", &["variable_value"]),
    // The names of user locks.
    ("metadata_locks", &["object_name"]),
    ("metadata_lock_info", &["table_schema", "table_name"]),
    // SQL Server.
    ("dm_exec_sql_text", &["text"]),
    ("dm_exec_input_buffer", &["event_info"]),
    ("dm_db_stats_histogram", &["range_high_key"]),
    ("query_store_query_text", &["query_sql_text"]),
    // SQLite.
    ("sqlite_stat3", &["sample"]),
    ("sqlite_stat4", &["sample"]),
];

/// The longest regex taken, in bytes.
const MAX_REGEX: usize = 1_000;
/// The most memory one compiled regex may take.
const MAX_REGEX_PROGRAM: usize = 1 << 20;
/// The most patterns and column rules taken: each pattern is one more pass over what is masked.
const MAX_RULES: usize = 1_000;

/// What a policy document says about masking.
#[derive(Clone)]
pub struct MaskingRules {
    /// Columns that are masked whatever they hold.
    pub columns: Vec<ColumnRule>,
    /// Which built-in detectors look at everything else.
    pub detect: BTreeSet<DetectorSet>,
    /// The policy's own detectors.
    pub patterns: Vec<Pattern>,
    /// Values that are masked wherever they stand: what connections log in with. Those of fewer than 8 characters or of
    /// several lines are not looked for.
    pub known: BTreeSet<String>,
    /// The secret behind `hash` and `pseudonym`: without it nobody can compute one from a guessed value.
    pub key: [u8; 32],
}

/// No column rules, no patterns, nothing known, every detector.
impl Default for MaskingRules {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            detect: DetectorSet::ALL.into(),
            patterns: Vec::new(),
            known: BTreeSet::new(),
            key: [0; 32],
        }
    }
}

/// The key and what is known stay out of it.
impl fmt::Debug for MaskingRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskingRules")
            .field("columns", &self.columns)
            .field("detect", &self.detect)
            .field("patterns", &self.patterns)
            .finish_non_exhaustive()
    }
}

/// One rule about a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnRule {
    /// `schema.table.column` or `table.column`; `*` stands for any part.
    pub pattern: String,
    /// What is shown instead.
    pub as_: How,
    /// Columns of one domain show equal values as equal pseudonyms; `None`: those of the same name.
    pub domain: Option<String>,
    /// Whether its values may be inferred by filtering on it.
    pub in_predicates: InPredicates,
}

/// What is shown instead of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// A mask that says nothing of the value.
    Redact,
    /// Stars, then the last characters; only stars when that would show the whole value.
    KeepLast(#[schemars(range(min = 1, max = 64))] u32),
    /// NULL.
    Null,
    /// A keyed hash: equal values stay equal, and nothing else can be told.
    Hash,
    /// An invented value of the same kind: an e-mail address stays one. The same for the same value, and turned back into it
    /// where a statement compares it with the column or writes it there.
    Pseudonym,
}

impl How {
    /// How little it shows.
    fn strictness(self) -> u64 {
        match self {
            Self::Redact => u64::MAX,
            Self::Null => u64::MAX - 1,
            Self::Hash => u64::MAX - 2,
            Self::Pseudonym => u64::MAX - 3,
            Self::KeepLast(shown) => u64::from(u32::MAX - shown),
        }
    }
}

/// What happens to a statement that filters, joins, groups or sorts by a masked column.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum InPredicates {
    /// It runs.
    Allow,
    /// A human is asked first.
    #[default]
    RequireApproval,
    /// It is refused.
    Deny,
}

/// A set of built-in detectors.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DetectorSet {
    /// Credentials: keys, tokens, passwords, private keys, cookies.
    Secrets,
    /// Data about people: e-mail, phone, cards, accounts, national identifiers, dates of birth.
    Personal,
}

impl DetectorSet {
    /// Every set.
    pub const ALL: [Self; 2] = [Self::Secrets, Self::Personal];

    /// The word for it in policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::Personal => "personal",
        }
    }
}

/// A detector of the policy's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What findings are counted as: `pattern:NAME`.
    pub name: String,
    /// What is masked: its whole match.
    pub regex: String,
    /// What is shown instead.
    pub as_: How,
}

/// Why rules were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskingError {
    /// A column pattern that is not two or three parts.
    #[error(
        "masking column `{0}` is not `schema.table.column` or `table.column`: write two or three parts separated by dots, `*` for any"
    )]
    Column(String),
    /// A domain that says nothing, or could be taken for something else.
    #[error(
        "masking domain `{0}` is not 1 to 64 of a-z, 0-9, `-` and `_`, on a column masked `as: pseudonym`: name the \
         columns' common meaning, such as `email`"
    )]
    Domain(String),
    /// Two rules for the same columns.
    #[error("masking column `{0}` has two rules: keep one")]
    ColumnTwice(String),
    /// A pattern without a usable name.
    #[error(
        "masking pattern name `{0}` is not 1 to 64 of a-z, 0-9, `-` and `_`: it is counted under this name"
    )]
    PatternName(String),
    /// Two patterns of one name.
    #[error("masking pattern `{0}` is there twice: rename one")]
    PatternTwice(String),
    /// A regex that does not compile, or not within the limits.
    #[error("masking pattern `{name}` has a regex that cannot be used: {reason}")]
    Regex {
        /// The pattern.
        name: String,
        /// What the compiler of regexes says.
        reason: String,
    },
    /// Too many.
    #[error(
        "{0} masking rules, the limit is {MAX_RULES}: join patterns with `|` and columns with `*`"
    )]
    TooMany(usize),
}

/// One part of a column pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Any,
    Is(Box<str>),
}

impl Part {
    fn new(text: &str) -> Self {
        match text {
            "*" => Self::Any,
            name => Self::Is(name.to_lowercase().into()),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Is(own) => {
                own.eq_ignore_ascii_case(name) || (!name.is_ascii() && **own == name.to_lowercase())
            }
        }
    }
}

/// A column rule ready to be matched.
#[derive(Debug)]
pub(super) struct CompiledColumn {
    rule: ColumnRule,
    schema: Part,
    table: Part,
    column: Part,
    /// `column:table.column`, as findings of this rule are counted.
    pub(super) label: Box<str>,
    /// What its pseudonyms are bound to.
    domain: Box<str>,
}

/// Whether a name is 1 to 64 of a-z, 0-9, `-` and `_`.
pub fn is_plain_name(name: &str) -> bool {
    let named = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(named)
}

impl CompiledColumn {
    fn new(rule: ColumnRule) -> Result<Self, MaskingError> {
        let parts: Vec<&str> = rule.pattern.split('.').map(str::trim).collect();
        let (schema, table, column) = match parts[..] {
            [table, column] => ("*", table, column),
            [schema, table, column] => (schema, table, column),
            _ => return Err(MaskingError::Column(rule.pattern)),
        };
        let bad = |part: &str| part.is_empty() || (part.contains('*') && part != "*");
        if [schema, table, column].into_iter().any(bad) {
            return Err(MaskingError::Column(rule.pattern));
        }
        let label = if schema == "*" {
            format!("column:{table}.{column}")
        } else {
            format!("column:{schema}.{table}.{column}")
        };
        let domain = match &rule.domain {
            Some(domain) if rule.as_ != How::Pseudonym || !is_plain_name(domain) => {
                return Err(MaskingError::Domain(domain.clone()));
            }
            Some(domain) => domain.clone(),
            None => column.to_lowercase(),
        };
        Ok(Self {
            domain: domain.into(),
            schema: Part::new(schema),
            table: Part::new(table),
            column: Part::new(column),
            label: label.to_lowercase().into(),
            rule,
        })
    }

    pub(super) fn rule(&self) -> &ColumnRule {
        &self.rule
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether it is about `relation` beyond doubt: a schema the text does not name could be one the rule is not about.
    pub(super) fn surely_about(&self, relation: &str) -> bool {
        self.matches_relation(Some(relation))
            && (self.schema == Part::Any || relation.contains('.'))
    }

    /// A relation the text does not name could be any; a schema it does not name could be any.
    fn matches_relation(&self, relation: Option<&str>) -> bool {
        let Some(relation) = relation else {
            return true;
        };
        // A database before the schema narrows nothing a pattern could say.
        match name::parts(relation).as_deref() {
            Some([table]) => self.table.matches(&table.text),
            Some([.., schema, table]) => {
                self.table.matches(&table.text)
                    && (schema.text.is_empty() || self.schema.matches(&schema.text))
            }
            Some([]) | None => true,
        }
    }

    fn matches_column(&self, column: &str) -> bool {
        column == "*" || self.column.matches(column)
    }
}

/// A detector beside the built-in ones, ready to run.
#[derive(Debug)]
pub(super) struct CompiledPattern {
    /// `pattern:NAME`, or `secrets:connection`.
    pub(super) label: Box<str>,
    search: Search,
    pub(super) how: How,
}

/// What is looked for.
#[derive(Debug)]
enum Search {
    /// Matches of a policy's pattern.
    Regex {
        whole: Regex,
        /// What a match may begin as, at the end of a text that is not complete.
        begun: Regex,
    },
    /// Known values.
    Known(Known),
}

impl CompiledPattern {
    fn new(pattern: &Pattern) -> Result<Self, MaskingError> {
        if !is_plain_name(&pattern.name) {
            return Err(MaskingError::PatternName(pattern.name.clone()));
        }
        let wrong = |reason: String| MaskingError::Regex {
            name: pattern.name.clone(),
            reason,
        };
        if pattern.regex.len() > MAX_REGEX {
            return Err(wrong(format!(
                "it is {} bytes long, the limit is {MAX_REGEX}",
                pattern.regex.len()
            )));
        }
        let regex = RegexBuilder::new(&pattern.regex)
            .size_limit(MAX_REGEX_PROGRAM)
            .dfa_size_limit(MAX_REGEX_PROGRAM)
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        if regex.is_match(b"") {
            return Err(wrong(
                "it matches the empty text, so it would match everywhere".into(),
            ));
        }
        let begun = ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(&pattern.regex)
            .map_err(|error| wrong(error.to_string()))?;
        let begun = RegexBuilder::new(&format!(r"(?:{})\z", begun_as(&begun)))
            .size_limit(2 * MAX_REGEX_PROGRAM)
            .dfa_size_limit(2 * MAX_REGEX_PROGRAM)
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            label: format!("pattern:{}", pattern.name).into(),
            search: Search::Regex {
                whole: regex,
                begun,
            },
            how: pattern.as_,
        })
    }

    fn known(known: Known) -> Self {
        Self {
            label: "secrets:connection".into(),
            search: Search::Known(known),
            how: How::Redact,
        }
    }

    /// Every match in a line, as start and end, in order.
    pub(super) fn each(&self, line: &[u8], mut found: impl FnMut(usize, usize)) {
        match &self.search {
            Search::Regex { whole, .. } => {
                let hits = whole.find_iter(line);
                hits.for_each(|hit| found(hit.start(), hit.end()));
            }
            Search::Known(known) => known
                .find_iter(line)
                .for_each(|(start, end)| found(start, end)),
        }
    }

    /// Where in a line that is not complete a match starts that what comes next may still end, or make longer.
    pub(super) fn open_from(&self, line: &[u8]) -> usize {
        match &self.search {
            Search::Regex { begun, .. } => {
                let found = begun.find(line);
                found.map_or(line.len(), |found| found.start())
            }
            Search::Known(known) => known.open_from(line),
        }
    }

    /// Whether a match could be made of such bytes alone.
    pub(super) fn any_of(&self, byte: impl Fn(&u8) -> bool) -> bool {
        match &self.search {
            Search::Regex { .. } => true,
            Search::Known(known) => known.any_of(byte),
        }
    }
}

/// What matches all that matches of `regex` begin as, and perhaps more: the whole of one, part of one, nothing.
fn begun_as(regex: &Hir) -> Hir {
    let begun = match regex.kind() {
        HirKind::Empty | HirKind::Look(_) => Hir::empty(),
        HirKind::Class(_) => regex.clone(),
        HirKind::Literal(literal) => {
            let bytes = literal.0.iter().rev();
            bytes.fold(Hir::empty(), |rest, byte| {
                Hir::concat(vec![Hir::literal([*byte]), maybe(rest)])
            })
        }
        HirKind::Capture(capture) => begun_as(&capture.sub),
        HirKind::Repetition(repetition) => {
            // As often as it may be, then once more begun.
            let whole = Hir::repetition(Repetition {
                min: 0,
                ..repetition.clone()
            });
            Hir::concat(vec![without_looks(&whole), begun_as(&repetition.sub)])
        }
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(begun_as).collect()),
        HirKind::Concat(parts) => parts.iter().rev().fold(Hir::empty(), |rest, part| {
            Hir::alternation(vec![
                Hir::concat(vec![without_looks(part), rest]),
                begun_as(part),
            ])
        }),
    };
    maybe(begun)
}

fn maybe(regex: Hir) -> Hir {
    Hir::repetition(Repetition {
        min: 0,
        max: Some(1),
        greedy: true,
        sub: Box::new(regex),
    })
}

/// The same, but wherever it stands: what is around the end of a text that is not complete, nobody knows.
fn without_looks(regex: &Hir) -> Hir {
    match regex.kind() {
        HirKind::Look(_) => Hir::empty(),
        HirKind::Empty | HirKind::Class(_) | HirKind::Literal(_) => regex.clone(),
        HirKind::Capture(capture) => without_looks(&capture.sub),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(without_looks(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(without_looks).collect()),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(without_looks).collect()),
    }
}

impl Masking {
    /// Checks rules and makes them ready to run.
    pub fn compile(rules: MaskingRules) -> Result<Self, MaskingError> {
        let count = rules.columns.len() + rules.patterns.len();
        if count > MAX_RULES {
            return Err(MaskingError::TooMany(count));
        }
        let mut columns: Vec<CompiledColumn> = Vec::with_capacity(rules.columns.len());
        for rule in rules.columns {
            let column = CompiledColumn::new(rule)?;
            if columns.iter().any(|other| other.label == column.label) {
                return Err(MaskingError::ColumnTwice(column.rule.pattern));
            }
            columns.push(column);
        }
        if !columns.is_empty() {
            let shown = SHOWING_OTHERS
                .iter()
                .flat_map(|(table, names)| names.iter().map(move |name| format!("{table}.{name}")));
            for pattern in shown {
                let column = CompiledColumn::new(ColumnRule {
                    pattern,
                    as_: How::Redact,
                    in_predicates: InPredicates::default(),
                    domain: None,
                })?;
                if !columns.iter().any(|other| other.label == column.label) {
                    columns.push(column);
                }
            }
        }
        let mut patterns: Vec<CompiledPattern> = Vec::with_capacity(rules.patterns.len());
        for pattern in &rules.patterns {
            let pattern = CompiledPattern::new(pattern)?;
            if patterns.iter().any(|other| other.label == pattern.label) {
                return Err(MaskingError::PatternTwice(
                    pattern.label.trim_start_matches("pattern:").into(),
                ));
            }
            patterns.push(pattern);
        }
        patterns.extend(Known::new(&rules.known).map(CompiledPattern::known));
        Ok(Self {
            columns,
            patterns,
            sets: detect::Sets {
                secrets: rules.detect.contains(&DetectorSet::Secrets),
                personal: rules.detect.contains(&DetectorSet::Personal),
            },
            pseudonyms: Pseudonyms::new(&rules.key),
            key: rules.key,
        })
    }

    /// The rule for a column, if it has one: the strictest of those that match.
    ///
    /// `relation` is `schema.table` or `table`, without regard to case; `None` stands for any relation. `column` may be
    /// `*` for any column of the relation. Where a part is not known, every rule it could be under counts.
    pub fn column_rule(&self, relation: Option<&str>, column: &str) -> Option<&ColumnRule> {
        self.compiled_column(relation, column)
            .map(|index| self.columns[index].rule())
    }

    /// Whether any column of `relation` has a rule.
    pub fn relation_is_sensitive(&self, relation: &str) -> bool {
        self.column_rule(Some(relation), "*").is_some()
    }

    /// Whether any column of any relation has a rule.
    pub fn has_column_rules(&self) -> bool {
        !self.columns.is_empty()
    }

    /// The strictest thing policy says about `column` in a predicate; `None`: it is not sensitive.
    pub fn in_predicates(&self, relation: Option<&str>, column: &str) -> Option<InPredicates> {
        self.columns
            .iter()
            .filter(|rule| rule.matches_column(column) && rule.matches_relation(relation))
            .map(|rule| rule.rule().in_predicates)
            .max()
    }

    /// The column whose values would end up, by one of the statement's flows, where no rule masks them as strictly as
    /// its own does; with where that is.
    pub fn unmasked_by<'f>(&self, facts: &'f Facts) -> Option<(&ColumnRule, &'f Flow)> {
        let all = facts.flows.iter().flat_map(|flow| {
            let rules = self.columns.iter();
            rules.map(move |rule| (rule, flow))
        });
        all.filter(|(rule, flow)| self.can_show(rule, &flow.from, facts))
            .find(|(rule, flow)| !self.covers(rule, flow))
            .map(|(rule, flow)| (rule.rule(), flow))
    }

    fn can_show(&self, rule: &CompiledColumn, from: &ColumnRef, facts: &Facts) -> bool {
        if !rule.matches_column(&from.column) {
            return false;
        }
        match &from.relation {
            Some(relation) => rule.matches_relation(Some(relation)),
            // What names no relation, or runs code nobody has judged, could reach any.
            None if facts.objects.is_empty() || facts.runs_unjudged => true,
            None => facts
                .objects
                .iter()
                .any(|object| rule.matches_relation(Some(&object.name))),
        }
    }

    fn covers(&self, rule: &CompiledColumn, flow: &Flow) -> bool {
        let Some(into) = &flow.into else {
            return false;
        };
        if *into == flow.from {
            return true;
        }
        // All columns under their own names keep the one the rule names; otherwise nobody knows which becomes which.
        let column = match (&rule.column, &*flow.from.column, &*into.column) {
            (Part::Is(name), "*", "*") => name,
            (_, _, "*") => return false,
            (_, _, name) => name,
        };
        let strict = rule.rule.as_.strictness();
        self.columns.iter().any(|other| {
            other.matches_relation(into.relation.as_deref())
                && other.column.matches(column)
                && other.rule.as_.strictness() >= strict
        })
    }

    /// INVARIANT: adding a rule never shows more, so of several rules the strictest counts.
    pub(super) fn compiled_column(&self, relation: Option<&str>, column: &str) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (index, rule) in self.columns.iter().enumerate() {
            // A column's name is soon compared; a relation's has parts.
            if rule.matches_column(column) && rule.matches_relation(relation) {
                let stricter = best.is_none_or(|best| {
                    rule.rule.as_.strictness() > self.columns[best].rule.as_.strictness()
                });
                if stricter {
                    best = Some(index);
                }
            }
        }
        best
    }
}
