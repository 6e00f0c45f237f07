//! SQL: what a statement would do. Text in, facts out; what only the server's catalog could tell (a view, an operator,
//! a cast or an overload that writes) is seen where the catalog is given ([`catalog`]), and a read still runs in a
//! read-only transaction under a credential that cannot write.
//!
//! Text is cut into tokens as the server cuts it ([`lex`]), split into statements, and each is walked by a small parser
//! of our own ([`parser`] and what it is made of, and a file per dialect). It is not sqlparser's grammar, because that refuses one
//! in thirty of PostgreSQL's reads and two in five of SQL Server's, and takes some writes for queries; sqlparser is
//! asked for a syntax tree only where columns have to be traced ([`syntax_tree`]).

mod call;
mod catalog;
mod change;
mod expression;
mod findings;
mod flows;
mod from;
mod functions;
mod lex;
mod lineage;
mod mssql;
mod mysql;
mod parser;
mod postgres;
mod query;
mod rehearse;
mod rewrite;
mod sqlite;
mod tree;
mod words;

use std::collections::BTreeSet;

use catalog::{Behind, Resolved, resolve};
use findings::Findings;
use lex::{Kind, Lexed, Reading, Server, Token};
use parser::{DEEPEST, Doubt, Parser};
use tree::syntax_tree;

use lineage::{Lineage, lineage, lineage_behind};

use super::{ColumnRef, Dialect, Effect, Facts, Object, server::Surroundings};

pub use catalog::JudgedCatalog;
pub use rehearse::{Rehearsal, Returned, rehearse};
pub use rewrite::{explained, limited};

/// Longer texts are not judged.
const LONGEST: usize = 4 << 20;
const STACK: usize = 6 << 20;

/// Judges one statement, or a batch of them, in `dialect`, by its text alone.
pub fn classify(dialect: Dialect, statement: &str) -> Facts {
    classify_in(dialect, statement, Surroundings::default())
}

/// Judges one statement, or a batch of them, in `dialect`, by its text and what is known of the place it is for.
pub fn classify_in(dialect: Dialect, statement: &str, place: Surroundings<'_>) -> Facts {
    match judge(dialect, statement, place).and_then(|found| resolve(found, place)) {
        // Parsing, walking and dropping a tree recurse as deep as the statement nests, which is bounded; this is more
        // than the deepest takes without optimisation, and costs nothing where the stack is large already.
        Ok(Resolved { found, behind }) => stacker::maybe_grow(STACK, STACK, || {
            traced(dialect, statement, found.into_facts(), place, &behind)
        }),
        Err(Doubt(why)) => Facts::unknown(why),
    }
}

/// `facts` with the columns traced. What cannot be traced may show, and depend on, anything it reads.
fn traced(
    dialect: Dialect,
    text: &str,
    mut facts: Facts,
    place: Surroundings<'_>,
    behind: &Behind,
) -> Facts {
    // Names and functions of the others have not been reviewed: whatever they read may be shown.
    let is_traced = matches!(dialect, Dialect::Postgres | Dialect::Sqlite);
    let mut traced_flows = None;
    match syntax_tree(dialect, text).filter(|_| is_traced) {
        Some(statements) => {
            let Lineage {
                outputs,
                predicates,
                flows,
            } = match place.catalog {
                Some(catalog) => {
                    let trees = catalog.trees(behind);
                    lineage_behind(catalog, behind, &trees, &statements)
                }
                None => lineage(dialect, &statements),
            };
            (facts.outputs, facts.predicates) = (outputs, predicates);
            traced_flows = flows;
            if place.catalog.is_some() && !behind.path_holds {
                facts.predicates.extend(every_column(&facts.objects));
            }
        }
        None => facts.predicates = every_column(&facts.objects).collect(),
    }
    if facts.class.changes_something() && facts.class != Effect::Unknown {
        facts.flows = traced_flows.unwrap_or_else(|| flows::untraced(dialect, text, &facts.kinds));
    }
    facts
}

/// Any column of any of these.
fn every_column(objects: &BTreeSet<Object>) -> impl Iterator<Item = ColumnRef> {
    objects.iter().map(|object| ColumnRef {
        relation: Some(object.name.clone()),
        column: "*".into(),
    })
}

fn judge(dialect: Dialect, text: &str, place: Surroundings<'_>) -> Result<Findings, Doubt> {
    if text.len() > LONGEST {
        return Err(Doubt(format!(
            "it is longer than {} MiB, more than is judged",
            LONGEST >> 20
        )));
    }
    let usual = Reading::usual(dialect);
    let lexed = read(dialect, usual, text)?;
    let mut found = walk(dialect, text, &lexed, place)?;
    if dialect == Dialect::Postgres && lexed.backslash_before_quote {
        // With standard_conforming_strings off the string ends elsewhere. Text that cannot be read so is refused by
        // such a server as a whole.
        let escaping = Reading {
            backslash: true,
            ..usual
        };
        if let Ok(lexed) = lex::lex(dialect, escaping, text) {
            found.merge(walk(dialect, text, &lexed, place)?);
        }
    }
    if lexed.depends_on_server {
        for server in servers(&lexed)? {
            let lexed = read(dialect, Reading { server, ..usual }, text)?;
            found.merge(walk(dialect, text, &lexed, place)?);
        }
    }
    Ok(found)
}

/// Every server that would run another selection of the executable comments.
fn servers(lexed: &Lexed) -> Result<Vec<Server>, Doubt> {
    if lexed.versions.len() > 4 {
        return Err(Doubt(
            "its executable comments are for too many different versions".into(),
        ));
    }
    let newest = lexed.versions.iter().copied().chain([50_503, 100_000]);
    Ok(newest
        .flat_map(|version| {
            [
                Server::MySql(version),
                Server::MariaDb(version.max(100_000)),
            ]
        })
        .collect())
}

fn read(dialect: Dialect, reading: Reading, text: &str) -> Result<Lexed, Doubt> {
    let lexed = lex::lex(dialect, reading, text)
        .map_err(|lex::Unreadable(why)| Doubt(format!("it cannot be read: {why}")))?;
    if lexed.depth > DEEPEST {
        return Err(Doubt(format!(
            "its parentheses are nested {} deep; more than {DEEPEST} are not judged",
            lexed.depth
        )));
    }
    Ok(lexed)
}

/// Walks every statement of the text; the findings are those of all of them.
fn walk(
    dialect: Dialect,
    text: &str,
    lexed: &Lexed,
    place: Surroundings<'_>,
) -> Result<Findings, Doubt> {
    let lower = text.to_ascii_lowercase();
    let mut found = Findings::default();
    if dialect == Dialect::Mssql {
        for batch in mssql::batches(&lexed.tokens, &lower) {
            let mut parser = Parser::new(dialect, text, &lower, batch, place);
            parser.mssql()?;
            parser.settle();
            found.merge(parser.found);
        }
        return Ok(found);
    }
    let mut in_routine = false;
    for statement in statements(dialect, &lower, &lexed.tokens) {
        let mut parser = Parser::new(dialect, text, &lower, statement, place);
        match dialect {
            Dialect::Postgres => parser.postgres(),
            Dialect::Sqlite => parser.sqlite(),
            Dialect::Mysql => {
                let walked = parser.mysql(in_routine);
                in_routine |= parser.found.kinds.iter().any(|kind| opens_routine(kind));
                walked
            }
            Dialect::Mssql => parser.mssql(),
        }?;
        parser.settle();
        found.merge(parser.found);
    }
    Ok(found)
}

fn statements<'t>(
    dialect: Dialect,
    lower: &str,
    tokens: &'t [Token],
) -> impl Iterator<Item = &'t [Token]> {
    // Semicolons in parentheses end nothing in the one statement that may hold them, PostgreSQL's CREATE RULE … DO (…).
    let mut start = 0;
    let mut depth = 0usize;
    tokens
        .split(move |token| {
            let rest = &lower[start..token.start as usize];
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                Kind::Semicolon => {
                    let in_rule = depth > 0 && dialect == Dialect::Postgres && defines_rule(rest);
                    if !in_rule {
                        start = token.end as usize;
                        depth = 0;
                    }
                    return !in_rule;
                }
                _ => {}
            }
            false
        })
        .filter(|statement| !statement.is_empty())
}

fn defines_rule(statement: &str) -> bool {
    let mut words = statement.split_ascii_whitespace();
    matches!(
        (words.next(), words.next(), words.next(), words.next()),
        (Some("create"), Some("rule"), _, _)
            | (Some("create"), Some("or"), Some("replace"), Some("rule"))
    )
}

/// Whether a statement of this kind may hold others, which its semicolons cut off.
fn opens_routine(kind: &str) -> bool {
    kind == "begin"
        || kind.split_once(' ').is_some_and(|(verb, what)| {
            verb == "create"
                && matches!(
                    what,
                    "procedure" | "function" | "trigger" | "event" | "package" | "package body"
                )
        })
}
