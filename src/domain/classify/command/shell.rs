//! A shell string, cut into every command it would run, in whatever order and under whatever condition.
//!
//! This is the part of the POSIX shell's grammar whose meaning the text alone gives. Variables, arithmetic, functions and the
//! like make commands that are not in the text; a script that has any is refused as a whole. A loop over words is read once
//! for each, and of variables those are known that every shell has and no script may change.

use super::Word;

/// One command a script would run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Simple {
    /// Names given a value, for the command or for all that follow.
    pub(super) assigned: Vec<String>,
    /// The program and its arguments; empty for assignments and redirections alone.
    pub(super) words: Vec<Word>,
    /// Where its input comes from and its output goes.
    pub(super) redirections: Vec<Redirection>,
}

/// Input or output of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Redirection {
    /// Input from a file.
    From(Word),
    /// Output to the end of a file.
    To(Word),
    /// Output to a file in place of what it held.
    Over(Word),
}

/// Why a script is not judged, as a half-sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotJudged(pub(super) &'static str);

/// How deep substitutions and groups may nest.
const DEEPEST: usize = 40;
/// The most commands of one script.
const MOST: usize = 1000;
/// The most bytes that are read again because loops repeat them.
const MOST_AGAIN: usize = 64 << 10;

/// Every command of `script`, those inside substitutions before those they are part of.
pub(super) fn commands(script: &str) -> Result<Vec<Simple>, NotJudged> {
    let mut parser = Parser {
        text: script,
        at: 0,
        depth: 0,
        documents: Vec::new(),
        found: Vec::new(),
        again: 0,
        loops: Vec::new(),
    };
    parser.list(Until::End)?;
    Ok(parser.found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    End,
    Parenthesis,
    /// The `done` of a loop over words.
    Done,
}

/// Where the reading of a command ended.
enum Ended {
    Command,
    /// At this word of the grammar, of those that open or close a loop.
    Word(&'static str),
}

/// A here-document whose text follows the line.
struct Document {
    delimiter: String,
    quoted: bool,
    tabs_stripped: bool,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    documents: Vec<Document>,
    found: Vec<Simple>,
    /// How many bytes were read again, for further rounds of loops.
    again: usize,
    /// The variables of the loops it is in, each with its value in the round that is read.
    loops: Vec<(String, Option<String>)>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn eat(&mut self, text: &str) -> bool {
        let is_there = self.rest().starts_with(text);
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    fn list(&mut self, until: Until) -> Result<(), NotJudged> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(NotJudged("it is nested too deep"));
        }
        // Where the text of a here-document begins, and whose a newline in a group is, shells see differently.
        let together = NotJudged("a here-document and a group begin or end on one line");
        if !self.documents.is_empty() {
            return Err(together);
        }
        let mut inner_loops = 0_usize;
        loop {
            self.blanks();
            match self.peek() {
                None if until == Until::End => break,
                None => return Err(NotJudged("a parenthesis or a loop is never closed")),
                Some('\n') => {
                    self.take();
                    self.documents()?;
                }
                Some(';') => {
                    self.take();
                    if self.peek() == Some(';') {
                        return Err(NotJudged("it chooses between cases"));
                    }
                }
                Some('&') if !self.rest().starts_with("&>") => {
                    self.take();
                }
                Some('|') => {
                    self.take();
                }
                Some('(') => {
                    self.take();
                    if self.peek() == Some('(') {
                        return Err(NotJudged("it calculates"));
                    }
                    self.list(Until::Parenthesis)?;
                }
                Some(')') if until == Until::Parenthesis => {
                    self.take();
                    break;
                }
                Some(')') => {
                    return Err(NotJudged("a parenthesis is closed that was never opened"));
                }
                Some(_) => match self.simple()? {
                    Ended::Word("do") => inner_loops += 1,
                    Ended::Word(_) if until == Until::Done && inner_loops == 0 => break,
                    Ended::Word(_) => inner_loops = inner_loops.saturating_sub(1),
                    Ended::Command => {}
                },
            }
        }
        self.depth -= 1;
        if until == Until::End && !self.documents.is_empty() {
            return Err(NotJudged("a here-document is never closed"));
        }
        Ok(())
    }

    /// Blanks, line continuations and comments.
    fn blanks(&mut self) {
        loop {
            if self.eat("\\\n") {
                continue;
            }
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('#') => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                _ => return,
            }
        }
    }

    fn simple(&mut self) -> Result<Ended, NotJudged> {
        let mut command = Simple::default();
        loop {
            self.blanks();
            let rest = self.rest();
            match self.peek() {
                None | Some('\n' | ';' | '|' | ')') => break,
                Some('&') if !rest.starts_with("&>") => break,
                Some('(') => return Err(NotJudged("it defines a function or an array")),
                Some('&') => {
                    self.at += 1;
                    self.redirection(&mut command)?;
                    continue;
                }
                Some('<' | '>') if !rest.starts_with("<(") => {
                    self.redirection(&mut command)?;
                    continue;
                }
                Some(_) => {}
            }
            let Piece {
                word,
                plain,
                assigns,
            } = self.word()?;
            let is_number = plain && word.text.bytes().all(|byte| byte.is_ascii_digit());
            if is_number && matches!(self.peek(), Some('<' | '>')) && !self.rest().starts_with("<(")
            {
                self.redirection(&mut command)?;
                continue;
            }
            if command.words.is_empty() {
                if let Some(name) = assigns {
                    command.assigned.push(name);
                    continue;
                }
                // After an assignment or a redirection they are no words of the grammar.
                if plain && command.assigned.is_empty() && command.redirections.is_empty() {
                    match word.text.as_str() {
                        "do" => return Ok(Ended::Word("do")),
                        "done" => return Ok(Ended::Word("done")),
                        "if" | "then" | "elif" | "else" | "fi" | "while" | "until" | "{" | "}"
                        | "!" | "time" => return Ok(Ended::Command),
                        "for" => {
                            self.over_words()?;
                            return Ok(Ended::Command);
                        }
                        "case" | "select" | "function" | "[[" | "coproc" | "in" | "esac" => {
                            return Err(NotJudged(
                                "it loops over choices, chooses between cases or defines a function",
                            ));
                        }
                        _ => {}
                    }
                }
            }
            command.words.push(word);
        }
        self.found.push(command);
        if self.found.len() > MOST {
            return Err(NotJudged("it has more than 1,000 commands"));
        }
        Ok(Ended::Command)
    }

    /// `for NAME in WORDS; do …; done`: what is done is read once for each word.
    fn over_words(&mut self) -> Result<(), NotJudged> {
        let unusual = NotJudged("it loops over something else than words");
        self.blanks();
        let name = self.word()?;
        let is_taken = |(taken, _): &(String, _)| *taken == name.word.text;
        if !name.plain
            || !is_name(&name.word.text)
            || name.word.text.ends_with('+')
            || says(&name.word.text).is_some()
            || self.loops.iter().any(is_taken)
        {
            return Err(unusual);
        }
        self.blanks();
        let word = self.word()?;
        if !(word.plain && word.word.text == "in") {
            return Err(unusual);
        }
        let mut values = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                Some(';' | '\n') => break,
                Some('|' | '&' | '<' | '>' | '(' | ')') | None => return Err(unusual),
                Some(_) => {
                    let word = self.word()?.word;
                    let is_one = word.is_literal()
                        && word
                            .text
                            .starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
                        && (word.text.bytes()).all(|byte| {
                            byte.is_ascii_alphanumeric() || b"._/@:+,-".contains(&byte)
                        });
                    values.push(is_one.then_some(word.text));
                }
            }
        }
        self.at += 1;
        loop {
            self.blanks();
            if self.peek() != Some('\n') {
                break;
            }
            self.at += 1;
        }
        let word = self.word()?;
        if !(word.plain && word.word.text == "do" && self.documents.is_empty()) {
            return Err(unusual);
        }
        if values.is_empty() {
            values.push(None);
        }
        let body = self.at;
        for value in values {
            self.at = body;
            self.loops.push((name.word.text.clone(), value));
            self.list(Until::Done)?;
            self.loops.pop();
            self.again += self.at - body;
            if self.again > MOST_AGAIN {
                return Err(NotJudged("its loops are too long"));
            }
        }
        Ok(())
    }

    fn redirection(&mut self, command: &mut Simple) -> Result<(), NotJudged> {
        let operators = ["<<<", "<<-", "<<", "<>", "<&", ">>", ">|", ">&", "<", ">"];
        let operator = operators
            .into_iter()
            .find(|operator| self.eat(operator))
            .ok_or(NotJudged("a redirection is not understood"))?;
        self.blanks();
        let start = self.at;
        let Piece { word, plain, .. } = self.word()?;
        if matches!(operator, "<<" | "<<-") && self.text[start..self.at].contains(['$', '(']) {
            return Err(NotJudged(
                "a here-document ends in a word that is not plain",
            ));
        }
        if word.text.is_empty() && plain {
            return Err(NotJudged("a redirection leads nowhere"));
        }
        match operator {
            "<<" | "<<-" => self.documents.push(Document {
                delimiter: word.text,
                quoted: !plain,
                tabs_stripped: operator == "<<-",
            }),
            "<<<" => {}
            "<" => command.redirections.push(Redirection::From(word)),
            ">&" | "<&" if plain && is_descriptor(&word.text) => {}
            ">>" | "<>" => command.redirections.push(Redirection::To(word)),
            _ => command.redirections.push(Redirection::Over(word)),
        }
        Ok(())
    }

    /// The here-documents that begin after a line. Their text is input; what it would run is refused.
    fn documents(&mut self) -> Result<(), NotJudged> {
        for document in std::mem::take(&mut self.documents) {
            loop {
                if self.rest().is_empty() {
                    return Err(NotJudged("a here-document is never closed"));
                }
                let end = self.rest().find('\n');
                let line = &self.rest()[..end.unwrap_or(self.rest().len())];
                self.at += end.map_or(line.len(), |end| end + 1);
                let line = if document.tabs_stripped {
                    line.trim_start_matches('\t')
                } else {
                    line
                };
                if line == document.delimiter {
                    break;
                }
                if !document.quoted && line.contains(['$', '`', '\\']) {
                    return Err(NotJudged("a here-document is put together when it runs"));
                }
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Piece, NotJudged> {
        let mut piece = Piece {
            word: Word::literal(""),
            plain: true,
            assigns: None,
        };
        let mut ahead = Ahead::default();
        let start = self.at;
        while let Some(next) = self.peek() {
            match next {
                '<' if self.rest().starts_with("<(") => {
                    self.at += 2;
                    self.list(Until::Parenthesis)?;
                    // A file to read from, with what the commands print in it.
                    piece.word.text.push_str("/dev/stdin");
                    piece.plain = false;
                }
                ' ' | '\t' | '\n' | '|' | '&' | ';' | '<' | '>' | '(' | ')' => break,
                '\\' => {
                    self.take();
                    match self.take() {
                        None => return Err(NotJudged("it ends in a backslash")),
                        Some('\n') => {}
                        Some(escaped) => piece.word.text.push(escaped),
                    }
                    piece.plain = false;
                }
                '\'' => {
                    self.take();
                    let end = self
                        .rest()
                        .find('\'')
                        .ok_or(NotJudged("a quote is never closed"))?;
                    piece.word.text.push_str(&self.rest()[..end]);
                    self.at += end + 1;
                    piece.plain = false;
                }
                '"' => {
                    self.take();
                    self.quoted(&mut piece.word)?;
                    piece.plain = false;
                }
                '$' => {
                    self.dollar(&mut piece.word)?;
                    piece.plain = false;
                }
                '`' => return Err(NotJudged("it uses backquotes: write $( ) instead")),
                '*' | '?' => {
                    self.take();
                    piece.word.text.push(next);
                    piece.word.pattern();
                }
                '[' => {
                    self.take();
                    piece.word.text.push('[');
                    // `[` alone is the program of that name, and what is never closed is no pattern. The first `]` of a
                    // set belongs to the set.
                    ahead.reach(self);
                    if ahead.close > Some(self.at) || ahead.quote >= Some(self.at) {
                        piece.word.pattern();
                    }
                }
                '{' => {
                    self.take();
                    piece.word.text.push('{');
                    // Braces are several words where a comma or two dots stand between them.
                    ahead.reach(self);
                    if ahead.comma >= Some(self.at) || ahead.quote >= Some(self.at) {
                        piece.word.pattern();
                    }
                }
                '=' if piece.assigns.is_none() && is_name(&self.text[start..self.at]) => {
                    self.take();
                    piece.assigns = Some(piece.word.text.trim_end_matches('+').to_owned());
                    piece.word.text.push('=');
                }
                _ => {
                    self.take();
                    piece.word.text.push(next);
                }
            }
        }
        Ok(piece)
    }

    fn quoted(&mut self, word: &mut Word) -> Result<(), NotJudged> {
        loop {
            match self.peek().ok_or(NotJudged("a quote is never closed"))? {
                '"' => {
                    self.take();
                    return Ok(());
                }
                '\\' => {
                    self.take();
                    match self.take().ok_or(NotJudged("a quote is never closed"))? {
                        '\n' => {}
                        escaped @ ('$' | '`' | '"' | '\\') => word.text.push(escaped),
                        other => {
                            word.text.push('\\');
                            word.text.push(other);
                        }
                    }
                }
                '$' => self.dollar(word)?,
                '`' => return Err(NotJudged("it uses backquotes: write $( ) instead")),
                other => {
                    self.take();
                    word.text.push(other);
                }
            }
        }
    }

    fn dollar(&mut self, word: &mut Word) -> Result<(), NotJudged> {
        self.take();
        match self.peek() {
            Some('(') => {
                self.take();
                if self.peek() == Some('(') {
                    return Err(NotJudged("it calculates"));
                }
                self.list(Until::Parenthesis)?;
                word.printed();
            }
            // The exit code, and numbers of processes.
            Some('?' | '$' | '!') => {
                self.take();
                word.text.push('0');
            }
            Some('[' | '\'' | '"') => {
                return Err(NotJudged("a word is put together when it runs"));
            }
            Some(next) if next == '{' || next.is_ascii_alphabetic() || next == '_' => {
                let braces = self.eat("{");
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let rest = self.rest();
                let name = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
                self.at += name.len();
                if braces && !self.eat("}") {
                    return Err(NotJudged("a word is put together when it runs"));
                }
                let bound = self.loops.iter().find(|(bound, _)| bound == name);
                match (bound, says(name)) {
                    (Some((_, Some(value))), _) => word.text.push_str(value),
                    (Some((_, None)), _) => word.printed(),
                    (None, Some(Says::Folder(folder))) => word.text.push_str(folder),
                    (None, Some(Says::Something)) => word.printed(),
                    (None, None) => {
                        return Err(NotJudged("a variable's value is not known until it runs"));
                    }
                }
            }
            Some(next) if next.is_ascii_digit() || "@*#-".contains(next) => {
                return Err(NotJudged("a variable's value is not known until it runs"));
            }
            _ => word.text.push('$'),
        }
        Ok(())
    }
}

struct Piece {
    word: Word,
    /// Nothing of it was quoted, so it may be a word of the grammar.
    plain: bool,
    /// The name it would assign to, were it to stand before a command.
    assigns: Option<String>,
}

/// What stands last in what is left of a word, up to the next blank or separator; looked up once for all of it.
#[derive(Default)]
struct Ahead {
    end: usize,
    close: Option<usize>,
    comma: Option<usize>,
    quote: Option<usize>,
}

impl Ahead {
    fn reach(&mut self, parser: &Parser<'_>) {
        if self.end > parser.at {
            return;
        }
        let ends = [' ', '\t', '\n', ';', '|', '&', '<', '>', '(', ')'];
        let rest = parser.rest();
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        let last = |found: Option<usize>| found.map(|at| parser.at + at);
        *self = Self {
            end: parser.at + word.len(),
            close: last(word.rfind(']')),
            comma: last(word.rfind(',').max(word.rfind(".."))),
            quote: last(word.rfind(['"', '\'', '\\', '$'])),
        };
    }
}

/// What a variable that every shell has says; that a script gives none of them another value is judged apart.
enum Says {
    /// A folder, by another name of it.
    Folder(&'static str),
    /// Something that is no credential.
    Something,
}

fn says(name: &str) -> Option<Says> {
    match name {
        "HOME" => Some(Says::Folder("~")),
        "PWD" => Some(Says::Folder(".")),
        "USER" | "LOGNAME" | "HOSTNAME" | "SHELL" | "PATH" | "LANG" | "TERM" | "RANDOM"
        | "SECONDS" | "UID" | "EUID" | "PPID" | "OLDPWD" => Some(Says::Something),
        _ => None,
    }
}

fn is_descriptor(text: &str) -> bool {
    text == "-" || !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('+').unwrap_or(text);
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(script: &str) -> String {
        match commands(script) {
            Err(NotJudged(why)) => format!("not judged: {why}"),
            Ok(commands) => commands.iter().map(shown).collect::<Vec<_>>().join(" ; "),
        }
    }

    fn shown(command: &Simple) -> String {
        let words = command.words.iter().map(|word| {
            if word.is_literal() {
                format!("<{}>", word.text)
            } else {
                "<?>".to_owned()
            }
        });
        let assigned = command.assigned.iter().map(|name| format!("{name}="));
        let redirections = command
            .redirections
            .iter()
            .map(|redirection| match redirection {
                Redirection::From(word) => format!("from {}", word.text),
                Redirection::To(word) => format!("to {}", word.text),
                Redirection::Over(word) => format!("over {}", word.text),
            });
        assigned
            .chain(words)
            .chain(redirections)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_script_is_cut_into_every_command_it_would_run() {
        let scripts = [
            "ls -l",
            "r\"\"m -rf '/da ta' \\\n x",
            "a && b || c & d; e\nf",
            "a | b |& c",
            "(a; b) > f 2>&1",
            "if a; then b; elif c; then d; else e; fi",
            "while ! a; do b; done < f",
            "{ a; b; } 2>/dev/null",
            "X=1 Y= a b=c",
            "X=1",
            "echo \"$(a \"$(b c)\" d)\" e",
            "cat <(a b)",
            "a # b\nc",
            "a <<EOF b\nrm $x\nEOF\nc",
            "a <<'EOF' b\nrm $x\nEOF\nc",
            "a <<< text",
            "a &> f",
            "a 2> f >> g <h",
            "ls *.txt [ab] {a,b} {} ~/x",
            "[ -f x ]",
            "a\\;b \"x\\y\\\"\" '$x' \"$\"",
            "echo $x",
            "echo ${x:-rm}",
            "echo `a`",
            "echo $((1+1))",
            "a $'\\x66'",
            "f() { a; }",
            "for x in a b; do c; done",
            "a 'b",
            "(a",
            "a)",
            "a <<EOF\nb",
            "a <<EOF $(b\nrm x\nEOF\n)",
            "a $(b <<EOF)\nrm x\nEOF",
            "> f time ls",
            "> f if",
            "a >(b)",
            "",
        ];
        let table: String = scripts
            .iter()
            .map(|script| format!("{script:?}\n    {}\n", cut(script)))
            .collect();
        insta::assert_snapshot!(table);
    }
}
