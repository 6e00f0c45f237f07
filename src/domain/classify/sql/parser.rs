//! Walks tokens and finds what they would do. Here are the tokens and the steps; the walks themselves are in `query`,
//! `from`, `expression`, `call` and `change`. They know only as much grammar as that takes, and no statement verbs;
//! those are each dialect's own.
//!
//! INVARIANT: a name with an opening parenthesis behind it is a function call unless the grammar says that no function
//! can stand there. What the walk does not understand ends it with a [`Doubt`], never with a guess.

use std::borrow::Cow;

use super::{
    super::{name, server::Surroundings},
    Dialect,
    findings::Findings,
    lex::{self, Kind, Token},
    words,
};

/// Why a statement could not be judged.
#[derive(Clone, Debug)]
pub(super) struct Doubt(pub(super) String);

/// The walk went well, or ended in doubt.
pub(super) type Walk = Result<(), Doubt>;

/// Parentheses within parentheses, at most: the walk calls itself once for each.
pub(super) const DEEPEST: usize = 200;

/// Names that WITH defines, at most: each table is looked up among them.
pub(super) const MOST_CTES: usize = 500;

/// Where an expression stands, which says what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a clause of a query or statement: the next clause ends it.
    Clause,
    /// In ON: a comma or the next join ends it too.
    Join,
    /// In parentheses: only their end ends it.
    Parens,
}

/// A name as written, part by part, folded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(pub(super) Vec<String>);

impl Name {
    pub(super) fn dotted(&self) -> String {
        name::dotted(&self.0)
    }

    pub(super) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

/// A walk over the tokens of one statement (in T-SQL: of one batch).
pub(super) struct Parser<'a> {
    pub(super) dialect: Dialect,
    pub(super) text: &'a str,
    /// `text` in lower case (ASCII), byte for byte.
    pub(super) lower: &'a str,
    pub(super) tokens: &'a [Token],
    pub(super) at: usize,
    pub(super) found: Findings,
    /// Names of common table expressions in scope.
    pub(super) ctes: Vec<String>,
    /// Aliases of the FROM lists walked so far, and what they stand for.
    pub(super) aliases: Vec<(String, Option<String>)>,
    /// Relations named so far, in order, common table expressions included.
    pub(super) relations: Vec<String>,
    /// Relations with columns that are credentials, and those columns.
    pub(super) credentials: Vec<(String, &'static [&'static str])>,
    /// CUBE (…) and ROLLUP (…) are no functions here.
    pub(super) in_group_by: bool,
    /// How many walks within walks this is.
    pub(super) depth: usize,
    /// In definitions, `name (` is mostly no call: only functions we know are noted.
    pub(super) only_known_calls: bool,
    /// What is known of the place the statement is for.
    pub(super) place: Surroundings<'a>,
    /// Names with a field in them, `qualifier.field`, that could also be calls.
    pub(super) fields: Vec<(Option<String>, String)>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(
        dialect: Dialect,
        text: &'a str,
        lower: &'a str,
        tokens: &'a [Token],
        place: Surroundings<'a>,
    ) -> Self {
        Self {
            dialect,
            text,
            lower,
            tokens,
            at: 0,
            found: Findings::default(),
            ctes: Vec::new(),
            aliases: Vec::new(),
            relations: Vec::new(),
            credentials: Vec::new(),
            in_group_by: false,
            depth: 0,
            only_known_calls: false,
            place,
            fields: Vec::new(),
        }
    }

    /// Walks something that may hold another of its kind. What nests without parentheses is bounded here.
    pub(super) fn nested(&mut self, walk: impl FnOnce(&mut Self) -> Walk) -> Walk {
        if self.depth > DEEPEST * 2 {
            return self.doubt("it is nested too deep to be judged");
        }
        self.depth += 1;
        let walked = walk(self);
        self.depth -= 1;
        walked
    }

    // Looking at tokens.

    pub(super) fn kind(&self, ahead: usize) -> Option<Kind> {
        self.tokens.get(self.at + ahead).map(|token| token.kind)
    }

    pub(super) fn source(&self, index: usize) -> &'a str {
        let token = &self.tokens[index];
        &self.text[token.start as usize..token.end as usize]
    }

    pub(super) fn lowered(&self, index: usize) -> &'a str {
        let token = &self.tokens[index];
        &self.lower[token.start as usize..token.end as usize]
    }

    /// The unquoted word at `ahead`, in lower case; empty if there is none.
    pub(super) fn word(&self, ahead: usize) -> &'a str {
        match self.tokens.get(self.at + ahead) {
            Some(token) if token.kind == Kind::Word => self.lowered(self.at + ahead),
            _ => "",
        }
    }

    pub(super) fn word_at(&self, index: usize) -> &'a str {
        match self.tokens.get(index) {
            Some(token) if token.kind == Kind::Word => self.lowered(index),
            _ => "",
        }
    }

    /// The unquoted word behind the parentheses that open at `ahead`.
    pub(super) fn word_behind_parens(&self, ahead: usize) -> &'a str {
        let mut depth = 0usize;
        for index in self.at + ahead..self.tokens.len() {
            match self.tokens[index].kind {
                Kind::Open => depth += 1,
                Kind::Close if depth <= 1 => return self.word_at(index + 1),
                Kind::Close => depth -= 1,
                _ => {}
            }
        }
        ""
    }

    pub(super) fn word_before(&self) -> &'a str {
        match self.at.checked_sub(1).and_then(|at| self.tokens.get(at)) {
            Some(token) if token.kind == Kind::Word => self.lowered(self.at - 1),
            _ => "",
        }
    }

    /// Whether what stands before ends an operand, so that no function call can begin here.
    pub(super) fn behind_operand(&self) -> bool {
        match self.kind_before() {
            Some(
                Kind::Text
                | Kind::Number
                | Kind::Close
                | Kind::CloseBracket
                | Kind::Quoted
                | Kind::Parameter
                | Kind::Variable,
            ) => true,
            Some(Kind::Word) => !words::awaits_operand(self.word_before()),
            _ => false,
        }
    }

    pub(super) fn kind_before(&self) -> Option<Kind> {
        self.at
            .checked_sub(1)
            .and_then(|at| self.tokens.get(at))
            .map(|token| token.kind)
    }

    pub(super) fn operator(&self, ahead: usize) -> &'a str {
        match self.tokens.get(self.at + ahead) {
            Some(token) if token.kind == Kind::Operator => self.source(self.at + ahead),
            _ => "",
        }
    }

    pub(super) fn ended(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn eat(&mut self, word: &str) -> bool {
        let matches = self.word(0) == word;
        self.at += usize::from(matches);
        matches
    }

    pub(super) fn eat_any(&mut self, words: &[&str]) -> bool {
        let matches = words.contains(&self.word(0)) && !self.word(0).is_empty();
        self.at += usize::from(matches);
        matches
    }

    pub(super) fn eat_kind(&mut self, kind: Kind) -> bool {
        let matches = self.kind(0) == Some(kind);
        self.at += usize::from(matches);
        matches
    }

    pub(super) fn doubt<T>(&self, what: &str) -> Result<T, Doubt> {
        let near = self
            .tokens
            .get(self.at)
            .map_or("its end".to_owned(), |token| {
                let source: String = self.text[token.start as usize..token.end as usize]
                    .chars()
                    .take(30)
                    .collect();
                format!("`{source}`")
            });
        // A literal may be a secret; a message shows only words.
        let near = match self.kind(0) {
            Some(Kind::Text | Kind::Number) => "a literal".to_owned(),
            // By default a string.
            Some(Kind::Quoted) if self.dialect == Dialect::Mysql && near.starts_with("`\"") => {
                "a literal".to_owned()
            }
            _ => near,
        };
        Err(Doubt(format!("{what}, at {near}")))
    }

    pub(super) fn folded(&self, index: usize) -> Cow<'a, str> {
        match self.tokens[index].kind {
            Kind::Word if self.tokens[index].end - self.tokens[index].start <= 63 => {
                Cow::Borrowed(self.lowered(index))
            }
            Kind::Quoted
                if self.dialect == Dialect::Postgres
                    && matches!(self.source(index).as_bytes()[0], b'u' | b'U')
                    && self.word_at(index + 1) == "uescape" =>
            {
                // The escape character comes behind the name.
                let escape = self
                    .tokens
                    .get(index + 2)
                    .map_or("", |_| self.source(index + 2));
                let escape = escape.trim_matches('\'').chars().next().unwrap_or('\\');
                let source = self.source(index);
                let inner = source[3..source.len() - 1].replace("\"\"", "\"");
                Cow::Owned(lex::unicode_escapes(&inner, escape))
            }
            _ => lex::name(self.dialect, self.source(index)),
        }
    }

    /// Takes a name of one or more parts, if one stands here.
    pub(super) fn name(&mut self) -> Option<Name> {
        let mut parts = Vec::new();
        // T-SQL may leave parts out: `db..t`, `..t`.
        while self.dialect == Dialect::Mssql && self.kind(0) == Some(Kind::Dot) {
            self.at += 1;
        }
        loop {
            match self.kind(0)? {
                Kind::Word | Kind::Quoted => {
                    parts.push(self.folded(self.at).into_owned());
                    self.at += 1;
                }
                _ => return (!parts.is_empty()).then_some(Name(parts)),
            }
            if self.kind(0) != Some(Kind::Dot) {
                break;
            }
            let dots = (0..)
                .take_while(|n| self.kind(*n) == Some(Kind::Dot))
                .count();
            match self.kind(dots) {
                Some(Kind::Word | Kind::Quoted) if dots == 1 || self.dialect == Dialect::Mssql => {
                    parts.extend((1..dots).map(|_| String::new()));
                    self.at += dots;
                }
                _ => break,
            }
        }
        self.unicode_escape();
        Some(Name(parts))
    }

    /// `U&"…" UESCAPE '!'`: the escape character comes behind the name, so the name is read again with it.
    pub(super) fn unicode_escape(&mut self) {
        if self.dialect == Dialect::Postgres
            && self.word(0) == "uescape"
            && self.kind(1) == Some(Kind::Text)
        {
            self.at += 2;
        }
    }

    /// Skips a balanced pair of parentheses that holds nothing that runs.
    pub(super) fn skip_parens(&mut self) -> Walk {
        let mut depth = 0usize;
        while let Some(kind) = self.kind(0) {
            match kind {
                Kind::Open => depth += 1,
                Kind::Close => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        self.doubt("a parenthesis is never closed")
    }
}
