//! Where values could end up of a statement whose columns were not traced: every word of it could name a column, and
//! every column could go anywhere.

use std::collections::BTreeSet;

use super::{
    super::{ColumnRef, Dialect, Flow},
    lex::{self, Kind, Reading},
};

/// What moves no value: the first words of the kinds of statement.
const MOVES_NOTHING: [&str; 32] = [
    "analyze",
    "checkpoint",
    "cluster",
    "comment",
    "deallocate",
    "delete",
    "discard",
    "drop",
    "flush",
    "grant",
    "kill",
    "listen",
    "lock",
    "notify",
    "optimize",
    "pragma",
    "purge",
    "reindex",
    "release",
    "repair",
    "reset",
    "restore",
    "revoke",
    "rollback",
    "savepoint",
    "show",
    "transaction",
    "truncate",
    "unlisten",
    "unlock",
    "use",
    "vacuum",
];
/// What defines something that holds no rows. What a routine, a trigger or a rule then does is in its text, for whoever
/// approves it.
const DEFINES_NO_ROWS: [&str; 22] = [
    "aggregate",
    "cast",
    "collation",
    "database",
    "domain",
    "extension",
    "function",
    "group",
    "index",
    "operator",
    "policy",
    "procedure",
    "role",
    "rule",
    "schema",
    "sequence",
    "statistics",
    "tablespace",
    "trigger",
    "type",
    "user",
    "view",
];
/// Statements that give a table or a column another name, or its rows another owner.
const RENAMES: [&str; 8] = [
    "attach", "change", "exchange", "inherit", "rename", "schema", "switch", "swap",
];

/// What runs something else, which can name anything in a string.
const RUNS_SOMETHING: [&str; 6] = ["call", "copy", "do", "execute", "handler", "prepare"];

/// Every way a value could take in `text`, whose statements are of these `kinds`.
pub(super) fn untraced(dialect: Dialect, text: &str, kinds: &[String]) -> BTreeSet<Flow> {
    if !kinds.is_empty() && kinds.iter().all(|kind| moves_nothing(kind)) {
        return BTreeSet::new();
    }
    let any = || Flow {
        from: ColumnRef {
            relation: None,
            column: "*".into(),
        },
        into: None,
    };
    let runs_something = kinds
        .iter()
        .any(|kind| RUNS_SOMETHING.contains(&kind.as_str()));
    let lexed = match lex::lex(dialect, Reading::usual(dialect), text) {
        // PostgreSQL lets a table's own name stand for its whole rows.
        Ok(lexed)
            if dialect != Dialect::Postgres
                && !runs_something
                && !lexed.backslash_before_quote
                && !lexed.depends_on_server =>
        {
            lexed
        }
        _ => return BTreeSet::from([any()]),
    };
    let mut flows = BTreeSet::new();
    for token in &lexed.tokens {
        let source = &text[token.start as usize..token.end as usize];
        let column = match token.kind {
            Kind::Word | Kind::Quoted => lex::name(dialect, source).into_owned(),
            // A name under MySQL's ANSI_QUOTES.
            Kind::Text if source.starts_with('"') => lex::name(dialect, source).into_owned(),
            Kind::Operator if source == "*" => "*".to_owned(),
            _ => continue,
        };
        if token.kind == Kind::Word && RENAMES.contains(&column.to_ascii_lowercase().as_str()) {
            flows.insert(any());
        }
        flows.insert(Flow {
            from: ColumnRef {
                relation: None,
                column,
            },
            into: None,
        });
    }
    flows
}

fn moves_nothing(kind: &str) -> bool {
    let mut words = kind.split(' ');
    let (verb, what) = (words.next().unwrap_or_default(), words.next());
    MOVES_NOTHING.contains(&verb)
        || verb == "create" && what.is_some_and(|what| DEFINES_NO_ROWS.contains(&what))
}
