//! A shell string, cut into every command it would run, in whatever order and under whatever condition.
//!
//! This is the part of the POSIX shell's grammar whose meaning the text alone gives. Variables, arithmetic, loops over
//! names, functions and the like make commands that are not in the text; a script that has any is refused as a whole.

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
    /// Output to a file.
    To(Word),
}

/// Why a script is not judged, as a half-sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotJudged(pub(super) &'static str);

/// How deep substitutions and groups may nest.
const DEEPEST: usize = 40;
/// The most commands of one script.
const MOST: usize = 1000;

/// Every command of `script`, those inside substitutions before those they are part of.
pub(super) fn commands(script: &str) -> Result<Vec<Simple>, NotJudged> {
    let mut parser = Parser {
        text: script,
        at: 0,
        depth: 0,
        documents: Vec::new(),
        found: Vec::new(),
    };
    parser.list(Until::End)?;
    Ok(parser.found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    End,
    Parenthesis,
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
        loop {
            self.blanks();
            match self.peek() {
                None if until == Until::End => break,
                None => return Err(NotJudged("a parenthesis is never closed")),
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
                Some(_) => self.simple()?,
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

    fn simple(&mut self) -> Result<(), NotJudged> {
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
                        "if" | "then" | "elif" | "else" | "fi" | "while" | "until" | "do"
                        | "done" | "{" | "}" | "!" | "time" => return Ok(()),
                        "for" | "case" | "select" | "function" | "[[" | "coproc" | "in"
                        | "esac" => {
                            return Err(NotJudged(
                                "it loops over names, chooses between cases or defines a function",
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
        Ok(())
    }

    fn redirection(&mut self, command: &mut Simple) -> Result<(), NotJudged> {
        let operators = ["<<<", "<<-", "<<", "<>", "<&", ">>", ">|", ">&", "<", ">"];
        let operator = operators
            .into_iter()
            .find(|operator| self.eat(operator))
            .ok_or(NotJudged("a redirection is not understood"))?;
        self.blanks();
        let Piece { word, plain, .. } = self.word()?;
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
            _ => command.redirections.push(Redirection::To(word)),
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
                    piece.word.printed();
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
                '$' => self.dollar(&mut piece.word)?,
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
            Some('{' | '[' | '\'' | '"') => {
                return Err(NotJudged("a word is put together when it runs"));
            }
            Some(next) if next.is_ascii_alphanumeric() || "_@*#?-$!".contains(next) => {
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
