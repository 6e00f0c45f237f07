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
    lex::{self, Kind, Reading, Token},
};

/// A tree is as deep as its statement has operators in a row; dropping one walks it.
const MOST_OPERATORS: usize = 1_000;
const MOST_TOKENS: usize = 50_000;
const DEEPEST: usize = 60;

/// A text's statements, and the tokens they are made of.
pub(super) struct Tree {
    pub(super) statements: Vec<Statement>,
    pub(super) tokens: Vec<Token>,
}

/// The statement that `text` is, alone.
pub(super) fn lone_statement(dialect: Dialect, text: &str) -> Option<Statement> {
    let mut tree = syntax_tree(dialect, text)?;
    (tree.statements.len() == 1)
        .then(|| tree.statements.pop())
        .flatten()
}

/// The statements of `text` as sqlparser sees our tokens of them. `None`: too large, read differently under different
/// settings or versions, or not in its grammar.
pub(super) fn syntax_tree(dialect: Dialect, text: &str) -> Option<Tree> {
    let lexed = lex::lex(dialect, Reading::usual(dialect), text).ok()?;
    let operators = lexed
        .tokens
        .iter()
        .filter(|token| token.kind == Kind::Operator || is_connective(text, token))
        .count();
    let doubtful =
        lexed.depends_on_server || (dialect == Dialect::Postgres && lexed.backslash_before_quote);
    if doubtful
        || lexed.tokens.len() > MOST_TOKENS
        || lexed.depth > DEEPEST
        || operators > MOST_OPERATORS
    {
        return None;
    }
    let tokens = lexed
        .tokens
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
    let statements = Parser::new(grammar)
        .with_recursion_limit(DEEPEST * 4)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .ok()?;
    Some(Tree {
        statements,
        tokens: lexed.tokens,
    })
}

/// Where in the text a token of the tree begins.
pub(super) fn start_of(span: Span) -> Option<u32> {
    u32::try_from(span.start.column.checked_sub(1)?).ok()
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
            let quote = match source.as_bytes().first() {
                Some(b'`') => '`',
                Some(b'[') => '[',
                _ => '"',
            };
            Tree::make_word(&lex::name(dialect, source), Some(quote))
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
            let trees = syntax_tree(dialect, text);
            assert_eq!(trees.map(|tree| tree.statements.len()), Some(1), "{text}");
        }
    }

    #[test]
    fn what_servers_may_read_differently_has_no_tree() {
        assert!(syntax_tree(Dialect::Postgres, r"SELECT 'a\', b FROM t --'").is_none());
        assert!(syntax_tree(Dialect::Mysql, "SELECT /*!80000 a, */ b FROM t").is_none());
    }
}
