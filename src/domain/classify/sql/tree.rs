//! A syntax tree of a statement, for whoever has to trace columns. sqlparser builds it, but from our tokens: so it cannot
//! disagree with the judgement about where a string or a comment ends. What it does not know has no tree, and whoever
//! needed one assumes the worst.

use sqlparser::{
    ast::Statement,
    dialect::{Dialect as Grammar, MsSqlDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect},
    parser::Parser,
    tokenizer::{self, Location, Span, TokenWithSpan},
};

use super::{
    Dialect,
    lex::{self, Kind, Lexed, Reading, Token},
    other_readings, words,
};

/// A tree is as deep as its statement has operators in a row; dropping one walks it.
const MOST_OPERATORS: usize = 1_000;
pub(super) const MOST_TOKENS: usize = 50_000;
const DEEPEST: usize = 60;

/// The statement that `text` is, alone, and cut alike by every server.
pub(super) fn lone_statement(dialect: Dialect, text: &str) -> Option<Statement> {
    let usual = Reading::usual(dialect);
    let lexed = lex::lex(dialect, usual, text).ok()?;
    // Whether `"…"` is a name or a text moves no token.
    let is_alike = |other: &Reading| {
        *other
            == Reading {
                ansi_quotes: true,
                ..usual
            }
    };
    let others = other_readings(dialect, text, &lexed).ok()?;
    if !others.iter().all(is_alike) {
        return None;
    }
    let mut statements = syntax_tree(dialect, text, &lexed)?;
    (statements.len() == 1).then(|| statements.pop()).flatten()
}

/// The statements of `text` as sqlparser sees our tokens of them. `None`: too large, or not in its grammar.
pub(super) fn syntax_tree(dialect: Dialect, text: &str, lexed: &Lexed) -> Option<Vec<Statement>> {
    let operators = lexed
        .tokens
        .iter()
        .filter(|token| token.kind == Kind::Operator || is_connective(text, token))
        .count();
    if lexed.tokens.len() > MOST_TOKENS
        || lexed.depth > DEEPEST
        || operators > MOST_OPERATORS
        || calls_a_stored_function(dialect, text, &lexed.tokens)
    {
        return None;
    }
    let tokens = without_hints(dialect, text, &lexed.tokens)
        .iter()
        .map(|token| {
            let place = |at: u32| Location::new(1, u64::from(at) + 1);
            Some(TokenWithSpan {
                token: translate(dialect, text, token)?,
                span: Span::new(place(token.start), place(token.end)),
            })
        })
        .collect::<Option<Vec<_>>>()?;
    let grammar: &dyn Grammar = match dialect {
        Dialect::Postgres => &PostgreSqlDialect {},
        Dialect::Sqlite => &SQLiteDialect {},
        Dialect::Mysql => &MySqlDialect {},
        Dialect::Mssql => &MsSqlDialect {},
    };
    Parser::new(grammar)
        .with_recursion_limit(DEEPEST * 4)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .ok()
}

/// Where in the text a token of the tree begins.
pub(super) fn start_of(span: Span) -> Option<u32> {
    u32::try_from(span.start.column.checked_sub(1)?).ok()
}

/// The tokens without the hints that end a statement of T-SQL: `OPTION (…)`. Nothing else begins so, as the word is
/// reserved.
fn without_hints<'t>(dialect: Dialect, text: &str, tokens: &'t [Token]) -> &'t [Token] {
    let end = match tokens {
        [rest @ .., last] if last.kind == Kind::Semicolon => rest,
        all => all,
    };
    let mut depth = 0usize;
    let opening = end.iter().rposition(|token| {
        match token.kind {
            Kind::Close => depth += 1,
            Kind::Open => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    match opening.and_then(|opening| opening.checked_sub(1)) {
        Some(at)
            if dialect == Dialect::Mssql
                && end[at].kind == Kind::Word
                && end[at + 1].kind == Kind::Open
                && text[end[at].start as usize..end[at].end as usize]
                    .eq_ignore_ascii_case("option") =>
        {
            &tokens[..at]
        }
        _ => tokens,
    }
}

/// Whether MySQL would, for the blank before its parenthesis, take a built-in function's name for a stored function's.
fn calls_a_stored_function(dialect: Dialect, text: &str, tokens: &[Token]) -> bool {
    dialect == Dialect::Mysql
        && tokens.windows(2).any(|pair| {
            let name = &text[pair[0].start as usize..pair[0].end as usize];
            pair[0].kind == Kind::Word
                && pair[1].kind == Kind::Open
                && pair[1].spaced
                && words::needs_its_parenthesis_at_once(&name.to_ascii_lowercase())
        })
}

/// Words that chain expressions, and so deepen the tree, as operators do.
fn is_connective(text: &str, token: &Token) -> bool {
    token.kind == Kind::Word
        && matches!(token.end - token.start, 2..=9)
        && [
            "and",
            "or",
            "not",
            "union",
            "except",
            "intersect",
            "is",
            "like",
            "join",
            "xor",
            "collate",
            "at",
            "in",
            "between",
            "case",
        ]
        .iter()
        .any(|word| text[token.start as usize..token.end as usize].eq_ignore_ascii_case(word))
}

fn translate(dialect: Dialect, text: &str, token: &Token) -> Option<tokenizer::Token> {
    use tokenizer::Token as Tree;
    let source = &text[token.start as usize..token.end as usize];
    Some(match token.kind {
        Kind::Word if source.eq_ignore_ascii_case("uescape") => return None,
        Kind::Word => Tree::make_word(source, None),
        Kind::Quoted => {
            let (quote, closing) = match source.as_bytes().first() {
                Some(b'`') => ('`', '`'),
                Some(b'[') => ('[', ']'),
                _ => ('"', '"'),
            };
            let name = match dialect {
                // Whether its case matters is a setting there.
                Dialect::Mysql | Dialect::Mssql => {
                    lex::unquote(&source[1..source.len() - 1], closing)
                }
                Dialect::Postgres | Dialect::Sqlite => lex::name(dialect, source),
            };
            Tree::make_word(&name, Some(quote))
        }
        Kind::Text => literal(source),
        Kind::Number if source == "\\N" => Tree::make_word("NULL", None),
        Kind::Number => Tree::Number(source.to_owned(), false),
        Kind::Operator => operator(dialect, source)?,
        Kind::Open => Tree::LParen,
        Kind::Close => Tree::RParen,
        Kind::OpenBracket => Tree::LBracket,
        Kind::CloseBracket => Tree::RBracket,
        Kind::OpenBrace => Tree::LBrace,
        Kind::CloseBrace => Tree::RBrace,
        Kind::Comma => Tree::Comma,
        Kind::Dot => Tree::Period,
        Kind::Semicolon => Tree::SemiColon,
        Kind::Parameter => Tree::Placeholder(source.to_owned()),
        Kind::Variable => Tree::make_word(source, None),
    })
}

/// A literal keeps its kind and its text as written: what it says does not matter to where columns come from.
fn literal(source: &str) -> tokenizer::Token {
    use tokenizer::Token as Tree;
    let inner = |prefix: usize| {
        source
            .get(prefix + 1..source.len().saturating_sub(1))
            .unwrap_or_default()
            .to_owned()
    };
    match source.as_bytes() {
        [b'e' | b'E', b'\'', ..] => Tree::EscapedStringLiteral(inner(1)),
        [b'n' | b'N', b'\'', ..] => Tree::NationalStringLiteral(inner(1)),
        [b'x' | b'X' | b'b' | b'B', b'\'', ..] => Tree::HexStringLiteral(inner(1)),
        [b'u' | b'U', b'&', ..] => Tree::UnicodeStringLiteral(inner(2)),
        _ => Tree::SingleQuotedString(inner(0)),
    }
}

fn operator(dialect: Dialect, source: &str) -> Option<tokenizer::Token> {
    use tokenizer::Token as Tree;
    Some(match source {
        "=" => Tree::Eq,
        "==" => Tree::DoubleEq,
        "<>" | "!=" => Tree::Neq,
        "<" => Tree::Lt,
        ">" => Tree::Gt,
        "<=" => Tree::LtEq,
        ">=" => Tree::GtEq,
        "<=>" => Tree::Spaceship,
        "+" => Tree::Plus,
        "-" => Tree::Minus,
        "*" => Tree::Mul,
        "/" => Tree::Div,
        "%" => Tree::Mod,
        "||" => Tree::StringConcat,
        "::" => Tree::DoubleColon,
        ":" => Tree::Colon,
        ":=" => Tree::Assignment,
        "=>" => Tree::RArrow,
        "->" => Tree::Arrow,
        "->>" => Tree::LongArrow,
        "#>" => Tree::HashArrow,
        "#>>" => Tree::HashLongArrow,
        "#-" => Tree::HashMinus,
        "@>" => Tree::AtArrow,
        "<@" => Tree::ArrowAt,
        "@?" => Tree::AtQuestion,
        "@@" => Tree::AtAt,
        "?" if dialect == Dialect::Postgres => Tree::Question,
        "?&" => Tree::QuestionAnd,
        "?|" => Tree::QuestionPipe,
        "~" => Tree::Tilde,
        "~*" => Tree::TildeAsterisk,
        "!~" => Tree::ExclamationMarkTilde,
        "!~*" => Tree::ExclamationMarkTildeAsterisk,
        "~~" => Tree::DoubleTilde,
        "~~*" => Tree::DoubleTildeAsterisk,
        "!~~" => Tree::ExclamationMarkDoubleTilde,
        "!~~*" => Tree::ExclamationMarkDoubleTildeAsterisk,
        "&&" => Tree::Overlap,
        "&" => Tree::Ampersand,
        "|" => Tree::Pipe,
        "^" => Tree::Caret,
        "<<" => Tree::ShiftLeft,
        ">>" => Tree::ShiftRight,
        "!" => Tree::ExclamationMark,
        "#" => Tree::Sharp,
        "@" => Tree::AtSign,
        _ if dialect == Dialect::Postgres => Tree::CustomBinaryOperator(source.to_owned()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_made_of_the_tokens_that_were_judged() {
        for (dialect, text) in [
            (
                Dialect::Postgres,
                "SELECT a$$, 'x' AS \"B\" FROM s.t WHERE d->>'k' ~* $1",
            ),
            (Dialect::Sqlite, "SELECT [a b], `c` FROM t WHERE x = ?1"),
            (
                Dialect::Mysql,
                "SELECT `a`, \"text\", @x FROM t WHERE b <=> 1 -- end",
            ),
            (
                Dialect::Mssql,
                "SELECT TOP 3 [a b] FROM dbo.t AS t WHERE x = @p",
            ),
        ] {
            let trees = usual_tree(dialect, text);
            assert_eq!(trees.map(|trees| trees.len()), Some(1), "{text}");
        }
    }

    #[test]
    fn what_mysql_takes_for_a_stored_function_has_no_tree() {
        assert!(usual_tree(Dialect::Mysql, "SELECT count(*) FROM t").is_some());
        assert!(usual_tree(Dialect::Mysql, "SELECT count (*) FROM t").is_none());
    }

    fn usual_tree(dialect: Dialect, text: &str) -> Option<Vec<Statement>> {
        let lexed = lex::lex(dialect, Reading::usual(dialect), text).ok()?;
        syntax_tree(dialect, text, &lexed)
    }

    #[test]
    fn what_servers_may_cut_differently_is_no_lone_statement() {
        for (dialect, text) in [
            (Dialect::Postgres, r"SELECT 'a\', b FROM t --'"),
            (Dialect::Mysql, "SELECT /*!80000 a, */ b FROM t"),
            (Dialect::Mysql, r"SELECT 'a\'b' FROM t"),
        ] {
            assert!(lone_statement(dialect, text).is_none(), "{text}");
        }
        assert!(lone_statement(Dialect::Mysql, "SELECT \"a\" FROM t").is_some());
    }
}
