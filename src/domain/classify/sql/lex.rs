//! Cuts text into tokens exactly as each server does. It knows quotes, comments and line ends, and nothing of grammar.
//!
//! INVARIANT: where two servers (or two settings of one) would cut a text differently, the text is either cut in each
//! of those ways and judged by the worst ([`Reading`]), or refused. An attacker needs only one byte that we read as
//! string and the server reads as statement.

use std::{borrow::Cow, collections::BTreeSet};

use super::Dialect;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An unquoted name or keyword.
    Word,
    /// A quoted name. In MySQL `"…"` is one only under ANSI_QUOTES, and [`Kind::Text`] by default; in T-SQL it always is,
    /// as by default.
    Quoted,
    /// A string or binary literal.
    Text,
    Number,
    /// One operator, `::` and `:=` included.
    Operator,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    OpenBrace,
    CloseBrace,
    Comma,
    Dot,
    Semicolon,
    /// A place for a value: `$1`, `?`, `:name`.
    Parameter,
    /// `@name` and `@@name` of MySQL and T-SQL.
    Variable,
}

/// One token: a kind and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
    /// Blank space or a comment stands directly before it.
    pub(super) spaced: bool,
    /// It is the first token on its line.
    pub(super) first_on_line: bool,
}

/// The settings and server versions that decide how text is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Backslash escapes in ordinary strings: MySQL's default, PostgreSQL's `standard_conforming_strings = off`.
    pub(super) backslash: bool,
    /// `"…"` is a name to MySQL too, under ANSI_QUOTES.
    pub(super) ansi_quotes: bool,
    /// Whose executable comments run.
    pub(super) server: Server,
}

/// Who reads executable comments, and as which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    MySql(u32),
    MariaDb(u32),
}

impl Reading {
    /// How `dialect` is read by default.
    pub(super) fn usual(dialect: Dialect) -> Self {
        Self {
            backslash: dialect == Dialect::Mysql,
            ansi_quotes: false,
            server: Server::MariaDb(OLDEST_SERVER),
        }
    }
}

/// An executable comment for this version or older runs on every server still in use.
const OLDEST_SERVER: u32 = 50_503;

/// The tokens of a text, and what made its reading doubtful.
#[derive(Debug)]
pub(super) struct Lexed {
    pub(super) tokens: Vec<Token>,
    /// Parentheses within parentheses, at most.
    pub(super) depth: usize,
    /// An ordinary string holds a backslash before a quote.
    pub(super) backslash_before_quote: bool,
    /// There is a `"…"` that MySQL takes for a string or for a name, as its settings say.
    pub(super) double_quotes: bool,
    /// Versions that decide whether an executable comment runs.
    pub(super) versions: BTreeSet<u32>,
    /// There is an executable comment that not every server runs.
    pub(super) depends_on_server: bool,
}

/// Why a text has no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A server that reads it so refuses it as a whole, and runs none of it.
    Refused(&'static str),
    /// Servers may disagree about it, or run a part of it.
    Doubtful(&'static str),
}

impl Unreadable {
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Refused(why) | Self::Doubtful(why) => why,
        }
    }
}

/// Cuts `text`.
pub(super) fn lex(dialect: Dialect, reading: Reading, text: &str) -> Result<Lexed, Unreadable> {
    let mut lexer = Lexer {
        dialect,
        reading,
        text,
        bytes: text.as_bytes(),
        at: 0,
        spaced: false,
        first_on_line: true,
        in_executable_comment: false,
        open: 0,
        lexed: Lexed {
            tokens: Vec::with_capacity(text.len() / 5 + 4),
            depth: 0,
            backslash_before_quote: false,
            double_quotes: false,
            versions: BTreeSet::new(),
            depends_on_server: false,
        },
    };
    match lexer.run() {
        Ok(()) => Ok(lexer.lexed),
        // PostgreSQL reads the whole text before it runs any; the others run statement after statement.
        Err(Unreadable::Refused(why)) if dialect != Dialect::Postgres && lexer.has_ended_one() => {
            Err(Unreadable::Doubtful(why))
        }
        Err(unreadable) => Err(unreadable),
    }
}

struct Lexer<'a> {
    dialect: Dialect,
    reading: Reading,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    spaced: bool,
    first_on_line: bool,
    in_executable_comment: bool,
    open: usize,
    lexed: Lexed,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn starts_with(&self, prefix: &[u8]) -> bool {
        self.bytes
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(prefix))
    }

    fn push(&mut self, kind: Kind, start: usize) {
        // Texts are bounded far below 4 GiB before they come here.
        self.lexed.tokens.push(Token {
            kind,
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(self.at).unwrap_or(u32::MAX),
            spaced: self.spaced,
            first_on_line: self.first_on_line,
        });
        self.spaced = false;
        self.first_on_line = false;
    }

    fn has_ended_one(&self) -> bool {
        let mut tokens = self.lexed.tokens.iter();
        tokens.any(|token| token.kind == Kind::Semicolon)
    }

    fn single(&mut self, kind: Kind) {
        let start = self.at;
        self.at += 1;
        self.push(kind, start);
    }

    fn run(&mut self) -> Result<(), Unreadable> {
        if self.text.starts_with('\u{feff}')
            && matches!(self.dialect, Dialect::Sqlite | Dialect::Mssql)
        {
            self.at += 3;
        }
        while self.at < self.bytes.len() {
            if self.blank()? {
                continue;
            }
            self.token()?;
        }
        if self.in_executable_comment {
            return Err(Unreadable::Doubtful(
                "an executable comment is never closed",
            ));
        }
        Ok(())
    }

    /// Skips one run of blank space or one comment.
    fn blank(&mut self) -> Result<bool, Unreadable> {
        let byte = self.peek(0);
        match byte {
            b'\n' | b'\r' => {
                self.at += 1;
                self.first_on_line = true;
            }
            b' ' | b'\t' | 0x0b | 0x0c => self.at += 1,
            0 => return Err(Unreadable::Doubtful("it holds a NUL byte")),
            b'-' if self.peek(1) == b'-' && self.dashes_open_comment() => self.line_comment(2)?,
            b'#' if self.dialect == Dialect::Mysql => self.line_comment(1)?,
            b'/' if self.peek(1) == b'*' => self.block_comment()?,
            b'*' if self.in_executable_comment && self.peek(1) == b'/' => {
                self.in_executable_comment = false;
                self.at += 2;
            }
            0x80.. if self.dialect == Dialect::Mssql => {
                let Some(letter) = self.text[self.at..].chars().next() else {
                    return Ok(false);
                };
                if !(letter.is_whitespace() || matches!(letter, '\u{200b}' | '\u{feff}')) {
                    return Ok(false);
                }
                self.at += letter.len_utf8();
            }
            _ => return Ok(false),
        }
        self.spaced = true;
        Ok(true)
    }

    fn dashes_open_comment(&self) -> bool {
        self.dialect != Dialect::Mysql
            || self.at + 2 >= self.bytes.len()
            || self.peek(2) <= b' '
            || self.peek(2) == 0x7f
    }

    /// Skips to the end of the line. Where servers differ on what ends it, only a text that reads the same is read.
    fn line_comment(&mut self, opening: usize) -> Result<(), Unreadable> {
        let rest = &self.bytes[self.at + opening..];
        let length = match self.dialect {
            Dialect::Postgres => rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')),
            Dialect::Sqlite | Dialect::Mysql => rest.iter().position(|byte| *byte == b'\n'),
            Dialect::Mssql => {
                let end = rest.iter().position(|byte| *byte == b'\n');
                let line = &rest[..end.unwrap_or(rest.len())];
                if line
                    .iter()
                    .position(|byte| *byte == b'\r')
                    .is_some_and(|at| at + 1 < line.len())
                {
                    return Err(Unreadable::Doubtful(
                        "a comment holds a carriage return, which may or may not end it",
                    ));
                }
                end
            }
        };
        if rest[..length.unwrap_or(rest.len())].contains(&0) {
            return Err(Unreadable::Doubtful("it holds a NUL byte"));
        }
        self.at += opening + length.unwrap_or(rest.len());
        Ok(())
    }

    fn block_comment(&mut self) -> Result<(), Unreadable> {
        if self.dialect == Dialect::Mysql {
            if self.starts_with(b"/*!") || self.starts_with(b"/*M!") {
                return self.executable_comment();
            }
            if self.in_executable_comment {
                return Err(Unreadable::Doubtful(
                    "a comment stands inside an executable comment, which servers read differently",
                ));
            }
        }
        let nests = matches!(self.dialect, Dialect::Postgres | Dialect::Mssql);
        let mut depth = 0usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') if nests || depth == 0 => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (0, _) => return Err(Unreadable::Doubtful("it holds a NUL byte")),
                (byte, _) => {
                    self.first_on_line |= byte == b'\n';
                    self.at += 1;
                }
            }
        }
        match self.dialect {
            // SQLite takes the end of the text for the end of the comment.
            Dialect::Sqlite => Ok(()),
            _ => Err(Unreadable::Doubtful("a comment is never closed")),
        }
    }

    /// `/*! … */`, `/*!50000 … */`, `/*M!100100 … */`: code to some servers, a comment to others.
    fn executable_comment(&mut self) -> Result<(), Unreadable> {
        if self.in_executable_comment {
            return Err(Unreadable::Doubtful(
                "an executable comment stands inside another, which servers read differently",
            ));
        }
        let mariadb_only = self.peek(2) == b'M';
        self.at += if mariadb_only { 4 } else { 3 };
        let digits = self.bytes[self.at..]
            .iter()
            .take(6)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let version = if digits >= 5 {
            let version = self.text[self.at..self.at + digits].parse().unwrap_or(0);
            self.at += digits;
            version
        } else {
            0
        };
        if mariadb_only || version > OLDEST_SERVER {
            self.lexed.depends_on_server = true;
            self.lexed.versions.insert(version);
        }
        let runs = match self.reading.server {
            Server::MySql(server) => !mariadb_only && version <= server,
            // MariaDB leaves alone what is written for MySQL 5.7 and newer.
            Server::MariaDb(server) => {
                version <= server && (mariadb_only || !(50_700..=99_999).contains(&version))
            }
        };
        if runs {
            self.in_executable_comment = true;
            return Ok(());
        }
        while self.at < self.bytes.len() {
            if self.starts_with(b"*/") {
                self.at += 2;
                return Ok(());
            }
            if self.starts_with(b"/*") {
                return Err(Unreadable::Doubtful(
                    "a comment stands inside an executable comment, which servers read differently",
                ));
            }
            self.at += 1;
        }
        Err(Unreadable::Doubtful(
            "an executable comment is never closed",
        ))
    }

    fn token(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        let byte = self.peek(0);
        match byte {
            b'(' => {
                self.open += 1;
                self.lexed.depth = self.lexed.depth.max(self.open);
                self.single(Kind::Open);
            }
            b')' => {
                self.open = self.open.saturating_sub(1);
                self.single(Kind::Close);
            }
            b',' => self.single(Kind::Comma),
            b';' => self.single(Kind::Semicolon),
            b'{' => self.single(Kind::OpenBrace),
            b'}' => self.single(Kind::CloseBrace),
            b']' => self.single(Kind::CloseBracket),
            b'[' => match self.dialect {
                Dialect::Postgres | Dialect::Mysql => {
                    self.open += 1;
                    self.lexed.depth = self.lexed.depth.max(self.open);
                    self.single(Kind::OpenBracket);
                }
                Dialect::Sqlite => self.quoted(b']', false, false, Kind::Quoted)?,
                Dialect::Mssql => self.quoted(b']', true, false, Kind::Quoted)?,
            },
            b'\'' => self.string(self.reading.backslash)?,
            b'"' => match self.dialect {
                Dialect::Postgres | Dialect::Sqlite | Dialect::Mssql => {
                    self.quoted(b'"', true, false, Kind::Quoted)?;
                }
                Dialect::Mysql => {
                    self.lexed.double_quotes = true;
                    if self.reading.ansi_quotes {
                        self.quoted(b'"', true, false, Kind::Quoted)?;
                    } else {
                        self.quoted(b'"', true, self.reading.backslash, Kind::Text)?;
                    }
                }
            },
            b'`' if matches!(self.dialect, Dialect::Mysql | Dialect::Sqlite) => {
                self.quoted(b'`', true, false, Kind::Quoted)?;
            }
            b'$' => self.dollar()?,
            b'@' | b'#' | b'?' | b':' if self.marked_name()? => {}
            b'.' => {
                let after_name = self.lexed.tokens.last().is_some_and(|token| {
                    matches!(
                        token.kind,
                        Kind::Word | Kind::Quoted | Kind::Variable | Kind::CloseBracket
                    )
                });
                if self.peek(1).is_ascii_digit() && (self.spaced || !after_name) {
                    self.number()?;
                } else if self.dialect == Dialect::Postgres && self.peek(1) == b'.' {
                    self.at += 2;
                    self.push(Kind::Operator, start);
                } else {
                    self.single(Kind::Dot);
                }
            }
            b'0'..=b'9' => self.number()?,
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => self.word()?,
            b'\\' if self.dialect == Dialect::Mysql && matches!(self.peek(1), b'N') => {
                self.at += 2;
                self.push(Kind::Number, start);
            }
            _ => self.operator()?,
        }
        Ok(())
    }

    /// A quoted thing in which the closing quote is doubled to mean itself.
    fn quoted(
        &mut self,
        quote: u8,
        doubles: bool,
        backslash: bool,
        kind: Kind,
    ) -> Result<(), Unreadable> {
        let start = self.at;
        self.at += 1;
        self.closing(quote, doubles, backslash)?;
        self.push(kind, start);
        Ok(())
    }

    fn closing(&mut self, quote: u8, doubles: bool, backslash: bool) -> Result<(), Unreadable> {
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            if byte == 0 {
                return Err(Unreadable::Doubtful("it holds a NUL byte"));
            }
            if byte == b'\\' {
                let escapes = !backslash || self.dialect == Dialect::Mysql;
                if escapes && self.peek(1) == quote {
                    self.lexed.backslash_before_quote = true;
                }
                if backslash {
                    self.at += 2;
                    continue;
                }
            }
            self.at += 1;
            if byte == quote {
                if doubles && self.peek(0) == quote {
                    self.at += 1;
                    continue;
                }
                return Ok(());
            }
        }
        Err(Unreadable::Refused("a quote is never closed"))
    }

    /// A string from its opening quote on, with PostgreSQL's continuation on the next line.
    fn string(&mut self, backslash: bool) -> Result<(), Unreadable> {
        let start = self.at;
        self.string_from(start, backslash)
    }

    fn string_from(&mut self, start: usize, backslash: bool) -> Result<(), Unreadable> {
        self.at += 1;
        self.closing(b'\'', true, backslash)?;
        if self.dialect == Dialect::Postgres {
            while let Some(quote) = self.continuation() {
                self.at = quote + 1;
                self.closing(b'\'', true, backslash)?;
            }
        }
        self.push(Kind::Text, start);
        Ok(())
    }

    /// Where the string that just closed goes on: PostgreSQL joins strings with a line end between them, and goes on
    /// in the same kind of string.
    fn continuation(&self) -> Option<usize> {
        let mut at = self.at;
        let mut line_ended = false;
        loop {
            match self.bytes.get(at)? {
                b'\n' | b'\r' => {
                    line_ended = true;
                    at += 1;
                }
                b' ' | b'\t' | 0x0b | 0x0c => at += 1,
                b'-' if self.bytes.get(at + 1) == Some(&b'-') => {
                    at += self.bytes[at..]
                        .iter()
                        .position(|byte| matches!(byte, b'\n' | b'\r'))?;
                }
                b'\'' => return line_ended.then_some(at),
                _ => return None,
            }
        }
    }

    fn dollar(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        match self.dialect {
            Dialect::Postgres => {
                if self.peek(1).is_ascii_digit() {
                    self.at += 1;
                    while self.peek(0).is_ascii_digit() {
                        self.at += 1;
                    }
                    if is_name_byte(self.peek(0)) {
                        return Err(Unreadable::Doubtful("a parameter runs into a name"));
                    }
                    self.push(Kind::Parameter, start);
                    return Ok(());
                }
                let tag = self.bytes[start + 1..]
                    .iter()
                    .position(|byte| !(is_name_byte(*byte) && *byte != b'$'));
                match tag.map(|length| start + 1 + length) {
                    Some(end) if self.bytes[end] == b'$' => {
                        let delimiter = &self.bytes[start..=end];
                        let Some(length) = memchr::memmem::find(&self.bytes[end + 1..], delimiter)
                        else {
                            return Err(Unreadable::Refused("a dollar quote is never closed"));
                        };
                        self.at = end + 1 + length + delimiter.len();
                        self.push(Kind::Text, start);
                        Ok(())
                    }
                    _ => Err(Unreadable::Doubtful("a dollar sign stands alone")),
                }
            }
            Dialect::Sqlite => {
                self.at += 1;
                self.name_bytes();
                if self.at == start + 1 || self.starts_with(b"::") || self.peek(0) == b'(' {
                    return Err(Unreadable::Doubtful(
                        "a dollar sign opens no plain parameter",
                    ));
                }
                self.push(Kind::Parameter, start);
                Ok(())
            }
            Dialect::Mysql => self.word(),
            Dialect::Mssql => {
                self.at += 1;
                if self.peek(0).is_ascii_digit() || self.peek(0) == b'.' {
                    while self.peek(0).is_ascii_digit() || matches!(self.peek(0), b'.' | b',') {
                        self.at += 1;
                    }
                    self.push(Kind::Number, start);
                    return Ok(());
                }
                self.name_bytes();
                let name = self.text[start + 1..self.at].to_ascii_lowercase();
                if [
                    "action",
                    "identity",
                    "rowguid",
                    "partition",
                    "node_id",
                    "edge_id",
                    "from_id",
                    "to_id",
                ]
                .contains(&name.as_str())
                {
                    self.push(Kind::Word, start);
                    Ok(())
                } else {
                    Err(Unreadable::Doubtful("a dollar sign opens no known name"))
                }
            }
        }
    }

    /// `@x`, `@@x`, `#x`, `?`, `?1`, `:x`, where the dialect has them.
    fn marked_name(&mut self) -> Result<bool, Unreadable> {
        let start = self.at;
        match (self.dialect, self.peek(0)) {
            (Dialect::Mysql, b'@') => {
                self.at += if self.peek(1) == b'@' { 2 } else { 1 };
                match self.peek(0) {
                    quote @ (b'\'' | b'"' | b'`') => {
                        self.at += 1;
                        self.closing(quote, true, quote != b'`' && self.reading.backslash)?;
                    }
                    _ => {
                        while is_name_byte(self.peek(0)) || self.peek(0) == b'.' {
                            self.at += 1;
                        }
                    }
                }
                self.push(Kind::Variable, start);
            }
            (Dialect::Mysql, b'?') => self.single(Kind::Parameter),
            (Dialect::Mssql, b'@') => {
                self.at += 1;
                self.name_bytes();
                self.push(Kind::Variable, start);
            }
            (Dialect::Mssql, b'#') => self.word()?,
            (Dialect::Mssql, b'?') => self.single(Kind::Parameter),
            (Dialect::Sqlite, b'@' | b'#' | b':')
                if is_name_byte(self.peek(1)) && self.peek(1) != b'$' =>
            {
                self.at += 1;
                self.name_bytes();
                self.push(Kind::Parameter, start);
            }
            (Dialect::Sqlite, b'?') => {
                self.at += 1;
                while self.peek(0).is_ascii_digit() {
                    self.at += 1;
                }
                self.push(Kind::Parameter, start);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn name_bytes(&mut self) {
        let dialect = self.dialect;
        while is_name_byte(self.peek(0))
            || (dialect == Dialect::Mssql && matches!(self.peek(0), b'@' | b'#'))
        {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        if self.dialect == Dialect::Mysql {
            let after_dot = !self.spaced
                && self
                    .lexed
                    .tokens
                    .last()
                    .is_some_and(|token| token.kind == Kind::Dot);
            if after_dot {
                self.name_bytes();
                self.push(Kind::Word, start);
                return Ok(());
            }
        }
        if self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'X') {
            self.at += 2;
            while self.peek(0).is_ascii_hexdigit()
                || (self.peek(0) == b'_' && self.dialect != Dialect::Mysql)
            {
                self.at += 1;
            }
            return self.end_number(start);
        }
        let digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
        while digit(self.peek(0)) && !(self.dialect == Dialect::Mysql && self.peek(0) == b'_') {
            self.at += 1;
        }
        let mut plain = true;
        if self.peek(0) == b'.' && !(self.dialect == Dialect::Postgres && self.peek(1) == b'.') {
            plain = false;
            self.at += 1;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if self.peek(1 + sign).is_ascii_digit() {
                plain = false;
                self.at += 1 + sign;
                while self.peek(0).is_ascii_digit() {
                    self.at += 1;
                }
            } else if self.dialect == Dialect::Mssql {
                // T-SQL takes `1e` for a whole number, and goes on with whatever follows.
                self.at += 1 + sign;
            }
        }
        if self.dialect == Dialect::Mysql && plain && is_name_byte(self.peek(0)) {
            self.name_bytes();
            self.push(Kind::Word, start);
            return Ok(());
        }
        self.end_number(start)
    }

    /// Some versions take a name that follows a number at once for a name, some refuse it; with a dollar sign in it
    /// they would disagree on where a quote begins.
    fn end_number(&mut self, start: usize) -> Result<(), Unreadable> {
        self.push(Kind::Number, start);
        let run = self.bytes[self.at..]
            .iter()
            .take_while(|byte| is_name_byte(**byte));
        if self.dialect == Dialect::Postgres
            && is_name_byte(self.peek(0))
            && self.peek(0) != b'$'
            && run.clone().any(|byte| *byte == b'$')
        {
            return Err(Unreadable::Doubtful(
                "a number runs into a name with a dollar sign",
            ));
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        let next_is_quote = self.peek(1) == b'\'';
        match (self.dialect, self.peek(0)) {
            (Dialect::Postgres, b'e' | b'E') if next_is_quote => {
                self.at += 1;
                return self.string_from(start, true);
            }
            (Dialect::Postgres, b'b' | b'B' | b'x' | b'X') if next_is_quote => {
                self.at += 1;
                return self.string_from(start, false);
            }
            (Dialect::Postgres | Dialect::Mysql | Dialect::Mssql, b'n' | b'N') if next_is_quote => {
                self.at += 1;
                let backslash = self.reading.backslash;
                return self.string_from(start, backslash);
            }
            (Dialect::Mysql, b'x' | b'X' | b'b' | b'B') | (Dialect::Sqlite, b'x' | b'X')
                if next_is_quote =>
            {
                self.at += 1;
                return self.string_from(start, false);
            }
            (Dialect::Postgres, b'u' | b'U') if self.peek(1) == b'&' && self.peek(2) == b'\'' => {
                self.at += 2;
                let backslash = self.reading.backslash;
                return self.string_from(start, backslash);
            }
            (Dialect::Postgres, b'u' | b'U') if self.peek(1) == b'&' && self.peek(2) == b'"' => {
                self.at += 3;
                self.closing(b'"', true, false)?;
                self.push(Kind::Quoted, start);
                return Ok(());
            }
            _ => {}
        }
        if self.dialect == Dialect::Mssql {
            let rest = &self.text[self.at..];
            let length = rest
                .find(|letter: char| {
                    !(letter.is_alphanumeric() || matches!(letter, '_' | '@' | '#' | '$'))
                })
                .unwrap_or(rest.len());
            if length == 0 {
                return Err(Unreadable::Doubtful(
                    "it holds a character that is in no name",
                ));
            }
            self.at += length;
        } else {
            self.at += 1;
            self.name_bytes();
        }
        self.push(Kind::Word, start);
        Ok(())
    }

    fn operator(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        if self.dialect == Dialect::Postgres {
            if self.peek(0) == b':' {
                self.at += if matches!(self.peek(1), b':' | b'=') {
                    2
                } else {
                    1
                };
                self.push(Kind::Operator, start);
                return Ok(());
            }
            self.postgres_operator();
            if self.at == start {
                return Err(Unreadable::Refused(
                    "it holds a character that is in no statement",
                ));
            }
            self.push(Kind::Operator, start);
            return Ok(());
        }
        let known: &[&[u8]] = match self.dialect {
            Dialect::Mysql => &[
                b"->>", b"<=>", b":=", b"->", b"<<", b">>", b"<=", b">=", b"<>", b"!=", b"||",
                b"&&", b"..", b"=>",
            ],
            Dialect::Mssql => &[
                b"::", b"+=", b"-=", b"*=", b"/=", b"%=", b"&=", b"|=", b"^=", b"<>", b"!=", b"<=",
                b">=", b"!<", b"!>", b"||", b"<<", b">>",
            ],
            _ => &[
                b"->>", b"->", b"||", b"<<", b">>", b"<=", b">=", b"<>", b"!=", b"==",
            ],
        };
        if let Some(operator) = known.iter().find(|operator| self.starts_with(operator)) {
            self.at += operator.len();
        } else if b"+-*/%<>=&|^~!:".contains(&self.peek(0)) {
            self.at += 1;
        } else {
            return Err(Unreadable::Refused(
                "it holds a character that is in no statement",
            ));
        }
        self.push(Kind::Operator, start);
        Ok(())
    }

    /// The longest run of operator characters, cut at a comment; a trailing sign belongs to what follows unless the
    /// run holds a character that only operators have.
    fn postgres_operator(&mut self) {
        let start = self.at;
        let mut end = start;
        while end < self.bytes.len() && b"~!@#^&|`?+-*/%<>=".contains(&self.bytes[end]) {
            let pair = &self.bytes[end..self.bytes.len().min(end + 2)];
            if pair == b"--" || pair == b"/*" {
                break;
            }
            end += 1;
        }
        let special = |run: &[u8]| run.iter().any(|byte| b"~!@#^&|`?%".contains(byte));
        while end > start + 1
            && matches!(self.bytes[end - 1], b'+' | b'-')
            && !special(&self.bytes[start..end - 1])
        {
            end -= 1;
        }
        self.at = end;
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The name a [`Kind::Word`] or [`Kind::Quoted`] token stands for, folded as the server folds it.
pub(super) fn name(dialect: Dialect, source: &str) -> Cow<'_, str> {
    let bytes = source.as_bytes();
    match bytes.first() {
        Some(b'"') => fold_quoted(dialect, unquote(&source[1..source.len() - 1], '"')),
        Some(b'`') => fold_quoted(dialect, unquote(&source[1..source.len() - 1], '`')),
        Some(b'[') => fold_quoted(dialect, unquote(&source[1..source.len() - 1], ']')),
        Some(b'u' | b'U') if bytes.get(1) == Some(&b'&') => Cow::Owned(unicode_escapes(
            &unquote(&source[3..source.len() - 1], '"'),
            '\\',
        )),
        _ if dialect == Dialect::Postgres => truncate(fold(source)),
        _ => fold(source),
    }
}

fn fold_quoted(dialect: Dialect, name: Cow<'_, str>) -> Cow<'_, str> {
    match dialect {
        // Names compare without regard to case there, quoted or not.
        Dialect::Sqlite | Dialect::Mysql => Cow::Owned(name.to_ascii_lowercase()),
        // Comparing pads with blanks.
        Dialect::Mssql => Cow::Owned(name.trim_end_matches(' ').to_ascii_lowercase()),
        Dialect::Postgres => truncate(name),
    }
}

/// PostgreSQL cuts a name to 63 bytes.
fn truncate(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.len() <= 63 {
        return name;
    }
    let end = (0..=63)
        .rev()
        .find(|at| name.is_char_boundary(*at))
        .unwrap_or(0);
    Cow::Owned(name[..end].to_owned())
}

fn fold(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

pub(super) fn unquote(inner: &str, quote: char) -> Cow<'_, str> {
    if inner.contains(quote) {
        let doubled: String = [quote, quote].iter().collect();
        Cow::Owned(inner.replace(&doubled, quote.encode_utf8(&mut [0; 4])))
    } else {
        Cow::Borrowed(inner)
    }
}

/// Resolves the escapes of `U&"…"`.
pub(super) fn unicode_escapes(text: &str, escape: char) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        if letter != escape {
            plain.push(letter);
            continue;
        }
        let ahead = rest.as_str();
        let (skip, digits) = match ahead.chars().next() {
            Some('+') => (1, ahead.get(1..7)),
            Some(next) if next == escape => {
                plain.push(escape);
                rest.next();
                continue;
            }
            _ => (0, ahead.get(0..4)),
        };
        match digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32)
        {
            Some(letter) => {
                plain.push(letter);
                rest = ahead[skip + digits.map_or(0, str::len)..].chars();
            }
            None => plain.push(letter),
        }
    }
    plain
}
