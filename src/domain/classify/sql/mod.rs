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
mod given;
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

use sqlparser::ast::Statement;

use super::{ColumnRef, Dialect, Effect, Facts, Object, name, server::Surroundings};
use catalog::{Behind, Resolved, resolve};
use findings::Findings;
use given::given;
use lex::{Kind, Lexed, Reading, Server, Token, Unreadable};
use lineage::{Lineage, lineage, lineage_behind};
use parser::{DEEPEST, Doubt, Parser};
use tree::{MOST_TOKENS, syntax_tree};

pub use catalog::JudgedCatalog;
pub use rehearse::{Rehearsal, Returned, rehearse};
pub use rewrite::{explained, limited};

/// Longer texts are not judged.
const LONGEST: usize = 4 << 20;
/// What is read in several ways is read no further than this, all readings together.
const MOST_READ: usize = 8 << 20;
const STACK: usize = 6 << 20;

/// Judges one statement, or a batch of them, in `dialect`, by its text alone, and traces its columns.
pub fn classify(dialect: Dialect, statement: &str) -> Facts {
    classify_in(dialect, statement, Surroundings::default())
}

/// Judges one statement, or a batch of them, in `dialect`, by its text and what is known of the place it is for.
pub fn classify_in(dialect: Dialect, statement: &str, place: Surroundings<'_>) -> Facts {
    match judge(dialect, statement, place).and_then(|found| resolve(found, place)) {
        // Parsing, walking and dropping a tree recurse as deep as the statement nests, which is bounded; this is more
        // than the deepest takes without optimisation, and costs nothing where the stack is large already.
        Ok(Resolved { found, behind }) => stacker::maybe_grow(STACK, STACK, || {
            let mut facts = found.into_facts();
            facts.runs_unjudged |= names_by_collation(dialect, &facts.objects, place);
            traced(dialect, statement, facts, place, &behind)
        }),
        Err(Doubt(why)) => Facts::unknown(why),
    }
}

/// As [`classify`], for who does not ask about columns: none is traced, so all are said to be shown and depended on.
pub fn classify_untraced(dialect: Dialect, statement: &str) -> Facts {
    match judge(dialect, statement, Surroundings::default()) {
        Ok(found) => untraced(dialect, statement, found.into_facts()),
        Err(Doubt(why)) => Facts::unknown(why),
    }
}

/// Whether which table a name means is for a collation of SQL Server to say: full-width letters are the usual ones to
/// most, letters with accents those without to some, and a control character is nothing.
fn names_by_collation(
    dialect: Dialect,
    objects: &BTreeSet<Object>,
    place: Surroundings<'_>,
) -> bool {
    let is_known = |name: &str| {
        let parts = name::parts(name).unwrap_or_default();
        let parts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
        let catalog = place.catalog.map(JudgedCatalog::catalog);
        catalog.is_some_and(|catalog| catalog.relation(&parts).is_some())
    };
    dialect == Dialect::Mssql
        && objects.iter().any(|object| {
            let plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_control();
            !object.name.bytes().all(plain) && !is_known(&object.name)
        })
}

/// `facts` with the columns traced. What cannot be traced may show, and depend on, anything it reads.
fn traced(
    dialect: Dialect,
    text: &str,
    mut facts: Facts,
    place: Surroundings<'_>,
    behind: &Behind,
) -> Facts {
    let Some((lineage, tokens)) = trace(dialect, text, place, behind) else {
        return untraced(dialect, text, facts);
    };
    (facts.outputs, facts.predicates) = (lineage.outputs, lineage.predicates);
    // Elsewhere no literal has been reviewed that could be taken for a parameter.
    if matches!(dialect, Dialect::Postgres | Dialect::Sqlite) {
        let beside = lineage.beside;
        (facts.given, facts.highest_parameter) = given(dialect, text, &tokens, beside);
    }
    if place.catalog.is_some() && !behind.path_holds {
        facts.predicates.extend(every_column(&facts.objects));
    }
    if puts_values(&facts) {
        let untraced = || flows::untraced(dialect, text, &facts.kinds);
        facts.flows = lineage.flows.unwrap_or_else(untraced);
    }
    facts
}

fn untraced(dialect: Dialect, text: &str, mut facts: Facts) -> Facts {
    facts.predicates = every_column(&facts.objects).collect();
    if puts_values(&facts) {
        facts.flows = flows::untraced(dialect, text, &facts.kinds);
    }
    facts
}

fn puts_values(facts: &Facts) -> bool {
    facts.class.changes_something() && facts.class != Effect::Unknown
}

/// Any column of any of these.
fn every_column(objects: &BTreeSet<Object>) -> impl Iterator<Item = ColumnRef> {
    objects.iter().map(|object| ColumnRef {
        relation: Some(object.name.clone()),
        column: "*".into(),
    })
}

/// The lineage of `text` however a server reads it, and its tokens as by default; `None`: one of the readings has no
/// tree.
fn trace(
    dialect: Dialect,
    text: &str,
    place: Surroundings<'_>,
    behind: &Behind,
) -> Option<(Lineage, Vec<Token>)> {
    let behind_names = place
        .catalog
        .map(|catalog| (catalog, catalog.trees(behind)));
    let of = |lexed: &Lexed| {
        let statements = syntax_tree(dialect, text, lexed)?;
        Some(match &behind_names {
            Some((catalog, trees)) => lineage_behind(catalog, behind, trees, &statements),
            None => lineage(dialect, &statements),
        })
    };
    let lexed = lex::lex(dialect, Reading::usual(dialect), text).ok()?;
    let mut lineage = of(&lexed)?;
    let readings = other_readings(dialect, text, &lexed).ok()?;
    if readings.len() * lexed.tokens.len() > MOST_TOKENS {
        return None;
    }
    for reading in readings {
        match lex::lex(dialect, reading, text) {
            Ok(lexed) => lineage = lineage.or(of(&lexed)?),
            Err(Unreadable::Refused(_)) => {}
            Err(Unreadable::Doubtful(_)) => return None,
        }
    }
    Some((lineage, lexed.tokens))
}

/// The syntax tree of a text that servers of `dialect` read in one way only.
fn only_tree(dialect: Dialect, text: &str) -> Option<Vec<Statement>> {
    let lexed = lex::lex(dialect, Reading::usual(dialect), text).ok()?;
    let alike = other_readings(dialect, text, &lexed).is_ok_and(|others| others.is_empty());
    alike.then(|| syntax_tree(dialect, text, &lexed)).flatten()
}

fn judge(dialect: Dialect, text: &str, place: Surroundings<'_>) -> Result<Findings, Doubt> {
    if text.len() > LONGEST {
        return Err(Doubt(format!(
            "it is longer than {} MiB, more than is judged",
            LONGEST >> 20
        )));
    }
    let usual = Reading::usual(dialect);
    let lexed = lex::lex(dialect, usual, text).map_err(unreadable)?;
    let mut found = walk(dialect, text, &lexed, place)?;
    for reading in other_readings(dialect, text, &lexed)? {
        match lex::lex(dialect, reading, text) {
            Ok(lexed) => found.merge(walk(dialect, text, &lexed, place)?),
            Err(Unreadable::Refused(_)) => {}
            Err(doubtful) => return Err(unreadable(doubtful)),
        }
    }
    Ok(found)
}

/// How else a server, with other settings or of another version, would cut a text that is `lexed` as by default.
fn other_readings(dialect: Dialect, text: &str, lexed: &Lexed) -> Result<Vec<Reading>, Doubt> {
    let usual = Reading::usual(dialect);
    let mut readings = vec![usual];
    if lexed.backslash_before_quote {
        // PostgreSQL's standard_conforming_strings = off, MySQL's NO_BACKSLASH_ESCAPES.
        readings.push(Reading {
            backslash: !usual.backslash,
            ..usual
        });
    }
    if lexed.double_quotes {
        for index in 0..readings.len() {
            readings.push(Reading {
                ansi_quotes: true,
                ..readings[index]
            });
        }
    }
    if lexed.depends_on_server {
        let servers = servers(lexed)?;
        for index in 0..readings.len() {
            let reading = readings[index];
            readings.extend(servers.iter().map(|server| Reading {
                server: *server,
                ..reading
            }));
        }
    }
    readings.remove(0);
    if readings.len() * text.len() > MOST_READ {
        return Err(Doubt(
            "it is too long to be judged in every way it may be read".into(),
        ));
    }
    Ok(readings)
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

fn unreadable(unreadable: Unreadable) -> Doubt {
    Doubt(format!("it cannot be read: {}", unreadable.why()))
}

/// Walks every statement of the text; the findings are those of all of them.
fn walk(
    dialect: Dialect,
    text: &str,
    lexed: &Lexed,
    place: Surroundings<'_>,
) -> Result<Findings, Doubt> {
    if lexed.depth > DEEPEST {
        return Err(Doubt(format!(
            "its parentheses are nested {} deep; more than {DEEPEST} are not judged",
            lexed.depth
        )));
    }
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
    matches!(
        kind,
        "begin" | "if" | "case" | "loop" | "repeat" | "while" | "for"
    ) || kind.split_once(' ').is_some_and(|(verb, what)| {
        matches!(verb, "create" | "alter")
            && matches!(
                what,
                "procedure" | "function" | "trigger" | "event" | "package" | "package body"
            )
    })
}
