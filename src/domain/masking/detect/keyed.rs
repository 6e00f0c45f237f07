//! Values by the name they stand under: `key=value`, `key: value`, attributes of connection strings, elements, cookies,
//! flags, and the sentence "the password is …".

use super::{
    Sink,
    keys::{self, Place, Promise, judge},
    kinds::Kind,
    nested, personal,
    tokens::is_old_devops_pat,
    told,
    values::{
        ALNUM, ANY, BASE64, DIGIT, DOT, EQUALS, JOIN, LOWER, TILDE, UPPER, is, is_hex,
        is_placeholder, looks_random, mix, run, run_back, run_within,
    },
};

/// What earlier lines say about the next: `"name": "DB_PASSWORD"`, then `"value": …`.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    promise: Option<Promise>,
    pub(super) names: keys::Names,
    /// What the next line is to keep: `password: >-`.
    block: Option<Block>,
    /// What the lines further in are to keep, each.
    section: Option<Section>,
    /// In the head of a form's field.
    form: bool,
    /// Lines in which a value is a vault's.
    vault: u8,
    /// Lines since it was said.
    age: u8,
}

/// How many lines a name waits for its value.
const PAIR_LINES: u8 = 6;

/// What a name promises of all of the next line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    promise: Promise,
    form: Form,
}

/// How a value stands in a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As it is: the name says so.
    Plain,
    /// Marked as a value, or it looks like nothing else: the name may have none.
    Marked,
    /// The same, or an item of a list.
    Item,
    /// After the name of an account: `root:value`.
    Accounts,
    /// The same where it can be nothing else; or an item of a list.
    Logins,
}

/// A list, or a block with names of its own, under a name.
#[derive(Clone, Copy, Debug)]
struct Section {
    block: Block,
    /// How far in its name stands.
    indent: usize,
    lines: u8,
}

/// The most lines of a list.
const SECTION_LINES: u8 = 100;

impl Pair {
    /// Ends a line. A block may declare a name: `variable "db_password" {`. `named`: it has a word that ends as a promising
    /// name does, and no value right after it.
    pub(super) fn end_line(&mut self, line: &[u8], named: bool) {
        if let Some(rest) = line.strip_prefix(b"variable \"")
            && let Some(end) = memchr::memchr(b'"', rest)
        {
            self.set(keys::promise(&rest[..end]));
        }
        // The value of a form's field is the line after an empty one.
        if line.trim_ascii_end().is_empty() && std::mem::take(&mut self.form) {
            let form = Form::Plain;
            self.block = self.promise.take().map(|promise| Block { promise, form });
        } else if line.starts_with(b"Content-Disposition: form-data;") {
            self.form = true;
        }
        if self.block.is_none() {
            let announced = named
                .then(|| announced(line).or_else(|| headline(line)))
                .flatten();
            self.block = announced.or_else(|| self.of_section(line));
        }
        self.vault = self.vault.saturating_sub(1);
        if self.promise.is_some() {
            self.age += 1;
            if self.age > PAIR_LINES {
                self.promise = None;
            }
        }
    }

    /// Whether a line's end changes anything, whatever is in the line.
    pub(super) fn waits(&self) -> bool {
        self.promise.is_some() | (self.vault > 0) | self.section.is_some()
    }

    /// Takes the promise an earlier line made of all of this one.
    pub(super) fn take_block(&mut self) -> Option<Block> {
        self.block.take()
    }

    /// Keeps one that was taken before its line came.
    pub(super) fn keep_block(&mut self, block: Block) {
        self.block = Some(block);
    }

    /// What the section that `line` is in, or begins, promises of the next.
    fn of_section(&mut self, line: &[u8]) -> Option<Block> {
        let section = self.section.as_mut()?;
        let indent = line.len() - line.trim_ascii_start().len();
        let first = line.get(indent).copied();
        let logins = section.block.form == Form::Logins;
        let login = logins && told::name_and_value(line, indent).is_some();
        let inside = first.is_none() || indent > section.indent || first == Some(b'-') || login;
        // Names of its own make it no list.
        let mapped = section.block.form == Form::Item && line[indent..].contains(&b':')
            || logins && memchr::memmem::find(line, b": ").is_some();
        let ends = !inside
            || mapped && first != Some(b'<')
            || line[indent..].starts_with(b"</")
            || section.lines == 0;
        if ends {
            self.section = None;
            return None;
        }
        section.lines -= 1;
        Some(section.block)
    }

    /// A name without a value on its line: what comes next may be one, or have names of its own.
    fn heads(&mut self, promise: Promise, name: &[u8], indent: usize) {
        let form = match name {
            b"chpasswd" => Form::Accounts,
            _ if [b"reds".as_slice(), b"redentials", b"ogins"]
                .iter()
                .any(|end| name.ends_with(end)) =>
            {
                Form::Logins
            }
            _ if name.ends_with(b"s") && !name.ends_with(b"ss") => Form::Item,
            _ => Form::Marked,
        };
        let block = Block { promise, form };
        if form != Form::Marked {
            let lines = SECTION_LINES;
            self.section = Some(Section {
                block,
                indent,
                lines,
            });
        }
        if keys::opens(promise) {
            self.set(Some(promise));
        }
        self.block = Some(block);
    }

    fn set(&mut self, promise: Option<Promise>) {
        self.promise = promise;
        self.age = 0;
    }
}

/// What a line promises of the next that is nothing but a name, marked as an item: `- --password`, `3) "password"`,
/// `<key>Password</key>`.
fn announced(line: &[u8]) -> Option<Block> {
    let begin = line.trim_ascii_start();
    let item = begin.strip_prefix(b"- ").unwrap_or(begin);
    let flag = item.starts_with(b"--") || item.get(1..3) == Some(b"--");
    if !flag
        && !begin
            .first()
            .is_some_and(|first| *first == b'<' || is(*first, DIGIT))
    {
        return None;
    }
    // A flag may have its line for itself.
    let alone = || {
        begin
            .starts_with(b"--")
            .then_some((Mark::Item, (line.len() - begin.len(), line.len())))
    };
    let (mark, (from, to)) = scalar(line).or_else(alone)?;
    let name = line[from..to].trim_ascii();
    // Most lists of names are no more than that.
    let flag = name.strip_prefix(b"--");
    let name = match mark {
        Mark::Item => flag?,
        Mark::Value => flag.unwrap_or(name),
    };
    let named = name.len() <= keys::MAX_NAME
        && name
            .iter()
            .all(|byte| is(*byte, ALNUM | JOIN | DOT) || *byte == b' ');
    let promise = keys::promise(name).filter(|_| named)?;
    let form = Form::Item;
    (!matches!(promise, Promise::Name | Promise::Value)).then_some(Block { promise, form })
}

/// What a line promises of the next that is nothing but the name of something personal, as forms are read from paper. What
/// opens something may be any word, so its name must be marked.
fn headline(line: &[u8]) -> Option<Block> {
    let name = line.trim_ascii();
    let plain = name.len() <= keys::MAX_NAME
        && name
            .iter()
            .all(|byte| is(*byte, UPPER | LOWER) || matches!(byte, b' ' | b'.' | b'-'));
    let promise = keys::promise(name).filter(|_| plain)?;
    let form = Form::Marked;
    matches!(
        promise,
        Promise::BirthDate
            | Promise::Passport
            | Promise::NationalId
            | Promise::Nino
            | Promise::Ssn
            | Promise::Iban
            | Promise::Card
    )
    .then_some(Block { promise, form })
}

/// What marks an item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A dash, or nothing but quotes: most lists have them.
    Item,
    /// A number, a tag, or a type.
    Value,
}

/// What is in an item that has a line of its own, where something marks it as one: `- value`, `4) "value"`,
/// `<string>value</string>`, `string(5) "value"`, `"value",`.
fn scalar(line: &[u8]) -> Option<(Mark, (usize, usize))> {
    let mut from = line.len() - line.trim_ascii_start().len();
    let mut to = from + line[from..].trim_ascii_end().len();
    let begin = from;
    let mut mark = Mark::Item;
    let number = run(line, from, DIGIT);
    if line[from..].starts_with(b"- ") {
        from += 2;
    } else if number > from && line[number..].starts_with(b") ") {
        (mark, from) = (Mark::Value, number + 2);
    } else if line[from..].starts_with(b"string(") {
        mark = Mark::Value;
        from += memchr::memchr(b' ', &line[from..])? + 1;
    }
    if line.get(from) == Some(&b'<') {
        mark = Mark::Value;
        from += memchr::memchr(b'>', &line[from..])? + 1;
        let end = from + memchr::memmem::find(line.get(from..to)?, b"</")?;
        // It has the line for itself.
        let close = memchr::memchr(b'>', &line[end..])?;
        if end + close + 1 != to {
            return None;
        }
        to = end;
    }
    if from < to && matches!(line[to - 1], b',' | b';') {
        to -= 1;
    }
    if to >= from + 2 && matches!(line[from], b'"' | b'\'') && line[to - 1] == line[from] {
        (from, to) = (from + 1, to - 1);
    }
    (from < to && from != begin).then_some((mark, (from, to)))
}

/// Masks a line whose all an earlier one made a promise of.
pub(super) fn block(block: Block, line: &[u8], start: usize, sink: &mut Sink<'_>) {
    let marked = scalar(line);
    let (from, to) = marked.map_or((0, line.len()), |(_, place)| place);
    let value = line[from..to].trim_ascii();
    match block.form {
        Form::Plain => enclosed(block.promise, &line[from..to], start + from, sink),
        Form::Logins
            if let Some((from, to, kind)) =
                told::name_and_value(line, line.len() - line[from..].trim_ascii_start().len()) =>
        {
            sink.push(start + from, start + to, kind);
        }
        Form::Marked | Form::Item | Form::Logins => {
            let quoted = from > 0 && matches!(line[from - 1], b'"' | b'\'');
            let item = marked.is_some_and(|(mark, _)| mark == Mark::Item) && !quoted;
            if item && block.form == Form::Marked {
                return;
            }
            let marked = marked.is_some();
            let named = keys::promise(value).is_some();
            let other = |byte: &u8| matches!(byte, b' ' | b':' | b'=');
            let alone = !value
                .iter()
                .rev()
                .skip_while(|byte| **byte == b'=')
                .any(other)
                && !super::values::is_code(value);
            let strong = mix(value).digits > 0 && (alone || !keys::opens(block.promise));
            if !named && (marked && !value.contains(&b':') || strong) {
                enclosed(block.promise, &line[from..to], start + from, sink);
            }
        }
        Form::Accounts => {
            let from = from + (line[from..to].len() - line[from..to].trim_ascii_start().len());
            let user = run(line, from, ALNUM | JOIN | DOT);
            let value = line.get(user + 1..to).unwrap_or_default();
            // To be drawn by lot, or no account at all.
            let other = matches!(value, b"R" | b"RANDOM") || value.starts_with(b" ");
            if user > from && line.get(user) == Some(&b':') && !other {
                enclosed(block.promise, value, start + user + 1, sink);
            }
        }
    }
}

/// A value's extent in the text.
#[derive(Clone, Copy, Debug)]
struct Value {
    start: usize,
    end: usize,
    place: Place,
}

/// What the address of a vault's secret has in it.
const VAULT: &[u8] = b".vault.azure.net/secrets/";

/// Whether a line ends in the address of a vault's secrets there.
pub(super) fn is_vault(line: &[u8], end: usize) -> bool {
    line.get(end) == Some(&b'/') && line[..end].ends_with(&VAULT[..VAULT.len() - 1])
}

/// Finds the value of the name whose last letter is before `end`, in a line that starts at `start`. Says where to go on if
/// it found one.
pub(super) fn after_name(
    line: &[u8],
    start: usize,
    end: usize,
    pair: &mut Pair,
    sink: &mut Sink<'_>,
) -> Option<usize> {
    let after = run(line, end, DIGIT | JOIN);
    let mut at = after;
    while matches!(line.get(at), Some(b'"' | b'\'' | b'`' | b'\\' | b'*')) {
        at += 1;
    }
    if line.get(at) == Some(&b'&')
        && let Some(quote) = QUOTES.iter().find(|quote| line[at..].starts_with(quote))
    {
        at += quote.len();
    }
    at += usize::from(matches!(line.get(at), Some(b']' | b'}')));
    while matches!(line.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    // Unseal Key 1: …, Passport #: …, Password (old): …
    if at > after {
        let extra = match line.get(at) {
            Some(b'(') => {
                let near = &line[at..line.len().min(at + MAX_NOTE)];
                memchr::memchr(b')', near).map_or(at, |close| at + close + 1)
            }
            Some(b'#') => at + 1,
            _ => run_within(line, at, DIGIT, 2),
        };
        if line.get(extra) == Some(&b':') {
            at = extra;
        }
    }
    // name ||= value, name ??= value, name || "value"
    if matches!(line.get(at..at + 2), Some(b"||" | b"??")) {
        at += 1;
        let value = line.get(at + 1..).map(<[u8]>::trim_ascii_start)?;
        if matches!(value.first(), Some(b'"' | b'\'' | b'`')) {
            return at_separator(line, start, at, None, pair, sink);
        }
    }
    match *line.get(at)? {
        b'=' => at_separator(line, start, at, None, pair, sink),
        b'+' | b'?' | b'|' if line.get(at + 1) == Some(&b'=') => {
            at_separator(line, start, at + 1, None, pair, sink)
        }
        b':' => {
            let next = line.get(at + 1).copied().unwrap_or(b' ');
            let clock = is(next, DIGIT) && is(line[at - 1], DIGIT);
            // Password::new(…), but `userPassword:: …` of a directory.
            let path = next == b':' && line.get(at + 2) != Some(&b' ');
            if clock || path || line[at..].starts_with(b"://") {
                return None;
            }
            at_separator(line, start, at, None, pair, sink)
                .or_else(|| at_separator(line, start, typed(line, at)?, None, pair, sink))
                .or_else(|| {
                    let name = run_back(line, after, ALNUM | JOIN).max(start);
                    let promise = pair.names.promise(&line[name..after])?;
                    let (from, to) = declared(line, at)?;
                    enclosed(promise, &line[from..to], from, sink);
                    Some(to)
                })
        }
        // Passport no.: …
        b'.' if line.get(at + 1) == Some(&b':') => {
            at_separator(line, start, at + 1, None, pair, sink)
        }
        b')' if line[at..].starts_with(b")=(") => listed(line, start, at, sink),
        b';' | b'|' => {
            let name = run_back(line, after, ALNUM | JOIN).max(start);
            let parameters = || (line[at] == b';').then(|| with_parameters(line, at))?;
            let (from, to) = serialized(line, at).or_else(parameters)?;
            let promise = pair.names.promise(&line[name..after])?;
            enclosed(promise, &line[from..to], from, sink);
            Some(to)
        }
        b'>' if at == after => element(line, start, at, pair, sink),
        // Attributes may stand between the name and the end of the tag.
        _ if line.get(after) == Some(&b' ') => {
            let name = run_back(line, end, ALNUM | JOIN | DOT);
            if name <= start || !matches!(line[name - 1], b'<' | b':') {
                return None;
            }
            let close = memchr::memchr(b'>', &line[after..line.len().min(after + MAX_TAG)])?;
            element(line, start, after + close, pair, sink)
        }
        _ => None,
    }
}

/// What follows a name as PHP writes down strings: `s:8:"password";s:5:"value";`, `password|s:5:"value";`.
fn serialized(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let length = at + 1 + line[at + 1..].strip_prefix(b"s:").map(|_| 2)?;
    let colon = run_within(line, length, DIGIT, 6);
    let rest = line[colon..]
        .strip_prefix(b":")
        .filter(|_| colon > length)?;
    let escapes = rest.iter().take_while(|byte| **byte == b'\\').count();
    let from = colon + 1 + escapes + 1;
    rest.get(escapes).filter(|byte| **byte == b'"')?;
    Some((from, closing_quote(line, from, b'"', escapes)?))
}

/// What has parameters before its value, as in a calendar or a card: `BDAY;VALUE=date:…`.
fn with_parameters(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let parameter =
        |byte: &u8| is(*byte, ALNUM | JOIN | EQUALS) || matches!(byte, b';' | b',' | b'"');
    let colon = at + line[at..].iter().take_while(|byte| parameter(byte)).count();
    let typed = line[at..colon].contains(&b'=') && line.get(colon) == Some(&b':');
    let from = colon + 1;
    typed.then(|| (from, from + line[from..].trim_ascii_end().len()))
}

/// The longest note between a name and its separator, with its parentheses.
const MAX_NOTE: usize = 24;

/// The longest type between a name and its value.
const MAX_TYPE: usize = 48;

/// Where the `=` of `name: type = value` is; `colon` is where the type starts.
fn typed(line: &[u8], colon: usize) -> Option<usize> {
    let from = colon + 1;
    let equals = from + memchr::memchr(b'=', &line[from..line.len().min(from + MAX_TYPE)])?;
    let typed = line[from..equals].iter().all(is_of_type);
    (typed && line.get(equals + 1) != Some(&b'=')).then_some(equals)
}

/// What is in the quotes that a name is declared with further on: `by lazy { "…" }`, `As String = "…"`.
pub(super) fn declared(line: &[u8], from: usize) -> Option<(usize, usize)> {
    let near = &line[..line.len().min(from + MAX_TYPE)];
    let mark = from
        + near[from..]
            .iter()
            .position(|byte| !is_of_type(byte) && *byte != b':' || *byte == b'\'')?;
    let words = line[from..mark].trim_ascii_end();
    let declares = match line[mark] {
        b'{' => words.ends_with(b" by lazy"),
        b'=' => line[from..mark].trim_ascii_start().starts_with(b"As "),
        _ => false,
    };
    if !declares {
        return None;
    }
    let quote = mark
        + 1
        + line[mark + 1..]
            .iter()
            .take_while(|byte| **byte == b' ')
            .count();
    let close = *line
        .get(quote)
        .filter(|byte| matches!(byte, b'"' | b'\''))?;
    Some((quote + 1, closing_quote(line, quote + 1, close, 0)?))
}

fn is_of_type(byte: &u8) -> bool {
    is(*byte, ALNUM | JOIN | DOT)
        || matches!(
            byte,
            b' ' | b'&' | b'\'' | b'<' | b'>' | b'[' | b']' | b'?' | b'*'
        )
}

/// What a colon may be of that follows no name: `scheme://user:password@host`, or the fields of a file of passwords.
pub(super) fn after_colon(
    line: &[u8],
    start: usize,
    colon: usize,
    sink: &mut Sink<'_>,
) -> Option<usize> {
    if line[colon..].starts_with(b"://") {
        return uri(line, start, colon, sink).or(Some(colon + 3));
    }
    // A host is the first of the fields.
    let first = memchr::memchr_iter(b':', &line[start..colon]).all(|before| {
        !is(line[start + before + 1], ANY) || line[start + before..].starts_with(b"://")
    });
    if !first {
        return None;
    }
    // A port, or a star for any, and the next field.
    let port = colon + 1;
    let end = match line.get(port)? {
        b'*' => port + 1,
        _ => run_within(line, port, DIGIT, 6),
    };
    let long = line.get(port) == Some(&b'*') || end - port >= 3;
    if long && line.get(end) == Some(&b':') {
        pgpass(line, start, colon, sink);
    }
    None
}

/// Finds what stands under any name, or in an encoding, in one line of `text`, `start..end`: for lines that have percent
/// signs or a vault's address, in which values are looked into whatever their name is.
pub(super) fn every_value(
    text: &[u8],
    start: usize,
    end: usize,
    pair: &mut Pair,
    sink: &mut Sink<'_>,
) {
    let line = &text[..end];
    let mut at = start;
    let mut looked = start;
    while let Some(found) = line[at..]
        .iter()
        .position(|byte| matches!(byte, b':' | b'=' | b'>'))
    {
        let separator = at + found;
        at = separator + 1;
        match line[separator] {
            b':' => {
                if let Some(next) = after_colon(line, start, separator, sink) {
                    at = next;
                    continue;
                }
                let next = line.get(separator + 1).copied().unwrap_or(b' ');
                if is(next, DIGIT) && separator > start && is(line[separator - 1], DIGIT) {
                    continue;
                }
            }
            b'>' => {
                if let Some(next) = element(line, start, separator, pair, sink) {
                    at = next;
                }
                continue;
            }
            _ => {}
        }
        if let Some(next) = at_separator(line, start, separator, Some(&mut looked), pair, sink) {
            at = next.max(at);
        }
    }
}

/// Where the name before a separator ends. Quotes around it are not of it.
fn name_end(line: &[u8], start: usize, separator: usize) -> usize {
    let mut end = separator;
    // `+=`, `:=`, `?=`, `!=` and `password => x` have the separator behind another sign.
    while end > start && (line[end - 1] == b' ' || line[end - 1] == b'\t') {
        end -= 1;
    }
    let signs = matches!(line[separator], b'=' | b'|' | b'?');
    if end > start && matches!(line[end - 1], b':' | b'+' | b'?' | b'|') && signs {
        while end > start && matches!(line[end - 1], b':' | b'+' | b'?' | b'|') {
            end -= 1;
        }
        while end > start && line[end - 1] == b' ' {
            end -= 1;
        }
    }
    if end > start && matches!(line[end - 1], b']' | b'}' | b'.') {
        end -= 1;
    }
    while end > start && matches!(line[end - 1], b'"' | b'\'' | b'`' | b'\\' | b'*') {
        end -= 1;
    }
    if end > start
        && line[end - 1] == b';'
        && let Some(quote) = QUOTES
            .iter()
            .find(|quote| line[start..end].ends_with(quote))
    {
        end -= quote.len();
    }
    end
}

/// Quotes as HTML and XML write them.
const QUOTES: [&[u8]; 4] = [b"&quot;", b"&#34;", b"&#39;", b"&apos;"];

/// The name before a separator that ends at `end`.
fn name_before(line: &[u8], start: usize, separator: usize, end: usize) -> Option<(usize, usize)> {
    let mut from = end;
    while from > start && end - from < keys::MAX_NAME && is_of_name(line[from - 1]) {
        from -= 1;
    }
    // The letter of an escape is not of the name.
    if from > start
        && line[from - 1] == b'\\'
        && from + 1 < end
        && matches!(line[from], b'n' | b'r' | b't')
        && !(from >= start + 2 && line[from - 2] == b'\\')
    {
        from += 1;
    }
    // name: type = value
    if line[separator] == b'=' && from >= start + 2 {
        let near = from.saturating_sub(MAX_TYPE).max(start);
        let colon = memchr::memrchr(b':', &line[near..from]).map_or(start, |found| near + found);
        if colon > start
            && is(line[colon - 1], ALNUM | JOIN)
            && line[colon + 1..from].iter().all(is_of_type)
            && keys::promise(&line[from..end]).is_none()
        {
            let typed = run_back(line, colon, ALNUM | JOIN).max(start);
            return Some((typed, colon));
        }
    }
    (from < end).then_some((from, end))
}

/// Letters that are not of ASCII are of words, too.
pub(super) fn is_of_name(byte: u8) -> bool {
    is(byte, ALNUM | JOIN | DOT) || byte >= 0x80
}

fn at_separator(
    line: &[u8],
    start: usize,
    separator: usize,
    looked: Option<&mut usize>,
    pair: &mut Pair,
    sink: &mut Sink<'_>,
) -> Option<usize> {
    let mut end = name_end(line, start, separator);
    // Unseal Key 1: …, Passport #: …, Password (old): …
    let extra = match line[..end].last() {
        Some(b')') => {
            let near = end.saturating_sub(MAX_NOTE).max(start);
            memchr::memrchr(b'(', &line[near..end]).map_or(end, |open| near + open)
        }
        Some(b'#') => end - 1,
        _ => run_back(line, end, DIGIT).max(start),
    };
    if extra < end && extra > start && line[extra - 1] == b' ' {
        end = extra - 1;
    }
    let (name_start, name_end) = name_before(line, start, separator, end)?;
    let name = &line[name_start..name_end];
    let mut promise = pair.names.promise(name);
    // "type": "passport", "number": …
    if name == b"number" && of_passport(&line[start..name_start]) {
        promise = Some(Promise::Passport);
    }
    // "API key: …", "card number: …": the word before says which. So it does of a type: `password string = …`.
    if matches!(promise, None | Some(Promise::Key))
        && name_start > start + 2
        && line[name_start - 1] == b' '
    {
        let word = run_back(line, name_start - 1, ALNUM).max(start);
        if word < name_start - 1 {
            let typed = line[separator] == b'=' && matches!(name, b"string" | b"String");
            let until = if typed { name_start - 1 } else { name_end };
            promise = pair.names.promise(&line[word..until]).or(promise);
        }
    }
    let value_of = || value_after(line, start, name_start, separator);
    let Some(promise) = promise else {
        identified(name, &line[separator + 1..], pair);
        // What is inside a value that was looked into needs no second look.
        let looked = looked.filter(|looked| separator >= **looked)?;
        let value = value_of()?;
        *looked = value.end;
        if value.end - value.start >= nested::SHORTEST {
            if line[value.start..value.end].starts_with(b"https://")
                && memchr::memmem::find(&line[value.start..value.end], VAULT).is_some()
            {
                pair.vault = PAIR_LINES;
            }
            nested::value(&line[value.start..value.end], None, value.start, sink);
        }
        return None;
    };
    if promise == Promise::BirthDate
        && let Some((from, to)) = constructed(line, separator + 1)
    {
        sink.push(from, to, Kind::BirthDate);
        return Some(to);
    }
    let Some(value) = value_of() else {
        let indent = line[start..].len() - line[start..].trim_ascii_start().len();
        let head = &line[start..name_start];
        let label =
            |byte: &u8| is(*byte, ALNUM | JOIN) || matches!(byte, b' ' | b'*' | b'#' | 0x80..);
        let empty = match line[separator + 1..].trim_ascii() {
            b"" => heads_line(line, start, name_start) || head.iter().all(label),
            b">" => true,
            _ => false,
        };
        if empty
            && !matches!(
                promise,
                Promise::Name | Promise::Value | Promise::Cookies | Promise::Authorization
            )
        {
            pair.heads(promise, name, indent);
        }
        return None;
    };
    // A date has spaces in it, where nothing else says how far it goes.
    if promise == Promise::BirthDate
        && value.place != Place::Enclosed
        && let Some(length) = personal::date_length(&line[value.start..])
        && !line
            .get(value.start + length)
            .is_some_and(|byte| is(*byte, ALNUM))
    {
        let end = value.start + length;
        sink.push(value.start, end, Kind::BirthDate);
        return Some(end);
    }
    let body = &line[value.start..value.end];
    // Where a shell is, not what opens it.
    if matches!(name, b"PWD" | b"OLDPWD") && matches!(body.first(), Some(b'/' | b'~')) {
        return None;
    }
    // A number of something else: POWER_PW=1200.
    let number = || body.iter().all(|byte| is(*byte, DIGIT | DOT));
    if is_outcome(line, name_start, name, body)
        || name.ends_with(b"pw") | name.ends_with(b"PW") && number()
    {
        return None;
    }
    // An object of which one name is the value's: {"value": …}.
    if body.trim_ascii_end() == b"{" && (keys::opens(promise) || promise == Promise::Value) {
        if keys::opens(promise) {
            pair.set(Some(promise));
        }
        return None;
    }
    if matches!(body, b">" | b">-" | b">+" | b"|" | b"|-" | b"|+") {
        let form = Form::Plain;
        pair.block = Some(Block { promise, form });
        return None;
    }
    if body.first() == Some(&b'[')
        && let Some(end) = list(promise, line, value.start, sink)
    {
        return Some(end);
    }
    match promise {
        Promise::Name => {
            pair.set(keys::promise(body));
            content(line, value.end, pair, sink)
        }
        Promise::Value => {
            let of_section = pair.section.map(|section| section.block.promise);
            let promise = match pair.promise.take().or(of_section) {
                Some(promise) => promise,
                // A connection string in a vault has its secret under a name of its own.
                None if pair.vault > 0
                    && !body.contains(&b';')
                    && !body.contains(&b',')
                    && memchr::memmem::find(body, b"://").is_none() =>
                {
                    Promise::Password
                }
                None => return None,
            };
            give(promise, line, value, sink)
        }
        Promise::Cookies => Some(cookies(line, name, value, sink)),
        Promise::Authorization => authorization(line, value, sink),
        Promise::Key
            if name.eq_ignore_ascii_case(b"key")
                && body.len() < 40
                && keys::promise(body).is_some() =>
        {
            pair.set(keys::promise(body));
            content(line, value.end, pair, sink)
        }
        promise => give(promise, line, value, sink),
    }
}

/// What the next value is by its code or its kind in a record of health (FHIR): a passport, ways to call somebody.
fn identified(name: &[u8], value: &[u8], pair: &mut Pair) {
    match name {
        b"code" if value.trim_ascii_start().starts_with(b"\"PPN\"") => {
            pair.set(Some(Promise::Passport));
        }
        b"telecom" => pair.set(Some(Promise::Phone)),
        _ => {}
    }
}

/// Whether what comes before a name says right there that it is a passport's.
fn of_passport(before: &[u8]) -> bool {
    let near = &before[before.len().saturating_sub(32)..];
    super::values::contains_ignore_case(near, b"\"passport\"")
}

/// Whether it is a test's: `PASS: TestLogin2 (0.00s)`, `PASS: tests/login.sh`.
fn is_outcome(line: &[u8], name_start: usize, name: &[u8], body: &[u8]) -> bool {
    matches!(name, b"PASS" | b"XPASS")
        && (line[..name_start].ends_with(b"--- ")
            || body.contains(&b' ')
            || body.len() > 4 && body[..4].eq_ignore_ascii_case(b"test")
            || memchr::memmem::find(body, b"::").is_some()
            || body.contains(&b'/') && is(body[0], ALNUM) && body.contains(&b'.'))
}

/// A date by its parts, as Python shows one: `datetime.date(1984, 2, 11)`.
fn constructed(line: &[u8], from: usize) -> Option<(usize, usize)> {
    let value = line[from..].trim_ascii_start();
    let parts = value
        .strip_prefix(b"datetime.date(")
        .or_else(|| value.strip_prefix(b"datetime.datetime("))?;
    let from = line.len() - parts.len();
    let to = from + memchr::memchr(b')', parts)?;
    let parts = |byte: &u8| is(*byte, DIGIT) || matches!(byte, b' ' | b',');
    line[from..to].iter().all(parts).then_some((from, to))
}

/// The content of an element whose name stands in its last attribute: `<entry key="password">…</entry>`.
fn content(line: &[u8], end: usize, pair: &mut Pair, sink: &mut Sink<'_>) -> Option<usize> {
    let start = end + 2;
    let to = start
        + line
            .get(end..)?
            .strip_prefix(b"\">")
            .or_else(|| line[end..].strip_prefix(b"'>"))
            .and_then(|text| memchr::memchr(b'<', text))?;
    let place = Place::Enclosed;
    let value = Value {
        start,
        end: to,
        place,
    };
    let promise = pair.promise.filter(|_| start < to)?;
    pair.promise = None;
    give(promise, line, value, sink)
}

/// The literals of a list, each: `["…", "…"]`. Says where it ends if it has any.
fn list(promise: Promise, line: &[u8], open: usize, sink: &mut Sink<'_>) -> Option<usize> {
    let mut at = open + 1;
    let mut any = None;
    loop {
        at += line[at..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b','))
            .count();
        let escapes = line[at..].iter().take_while(|byte| **byte == b'\\').count();
        let quote = at + escapes;
        let Some(mark @ (b'"' | b'\'')) = line.get(quote).copied() else {
            return any;
        };
        let end = closing_quote(line, quote + 1, mark, escapes)?;
        let value = &line[quote + 1..end];
        // What says something about it has spaces.
        if !keys::opens(promise) || !value.contains(&b' ') {
            enclosed(promise, value, quote + 1, sink);
        }
        at = end + escapes + 1;
        any = Some(at);
    }
}

/// `Key (name, name)=(value, value)`, as databases say which key is there already; `close` is where the names end.
fn listed(line: &[u8], start: usize, close: usize, sink: &mut Sink<'_>) -> Option<usize> {
    let open = start + memchr::memrchr(b'(', &line[start..close])? + 1;
    let mut at = close + b")=(".len();
    let end = at + memchr::memchr(b')', &line[at..])?;
    for name in line[open..close].split(|byte| *byte == b',') {
        let to = memchr::memmem::find(&line[at..end], b", ").map_or(end, |found| at + found);
        if let Some(promise) = keys::promise(name.trim_ascii()) {
            enclosed(promise, &line[at..to], at, sink);
        }
        at = (to + 2).min(end);
    }
    Some(end)
}

/// Masks a value whose extent is certain, such as a cell, if it keeps its column's promise.
pub(super) fn enclosed(promise: Promise, body: &[u8], start: usize, sink: &mut Sink<'_>) {
    if let Some((from, to, kind)) = judge(promise, body, Place::Enclosed) {
        sink.push(start + from, start + to, refine(kind, &body[from..to]));
    } else if body.len() >= nested::SHORTEST {
        let from = body.len() - body.trim_ascii_start().len();
        nested::value(body.trim_ascii(), Some(promise), start + from, sink);
    }
}

/// Masks the value if it keeps the promise; says where to go on.
fn give(promise: Promise, line: &[u8], value: Value, sink: &mut Sink<'_>) -> Option<usize> {
    let body = &line[value.start..value.end];
    if let Some((from, to, kind)) = judge(promise, body, value.place) {
        let query = value.start >= 5 && &line[value.start - 5..value.start] == b"&sig=";
        let kind = if query {
            Kind::AzureSas
        } else {
            refine(kind, &body[from..to])
        };
        sink.push(value.start + from, value.start + to, kind);
        // What it changes to: "old" -> "new".
        let change = line[value.end..].strip_prefix(b"\" -> \"");
        if value.place == Place::Enclosed
            && let Some(change) = change
        {
            let start = line.len() - change.len();
            let end = closing_quote(line, start, b'"', 0).unwrap_or(line.len());
            let new = Value {
                start,
                end,
                place: Place::Enclosed,
            };
            return give(promise, line, new, sink).or(Some(end));
        }
        return Some(value.end);
    }
    if body.len() >= nested::SHORTEST && nested::value(body, Some(promise), value.start, sink) {
        return Some(value.end);
    }
    // NAME=value command
    if value.place == Place::Line
        && value.start > 0
        && line[value.start - 1] == b'='
        && let Some(length) = memchr::memchr(b' ', body)
    {
        let first = Value {
            end: value.start + length,
            place: Place::Inline,
            ..value
        };
        return give(promise, line, first, sink);
    }
    None
}

fn refine(kind: Kind, value: &[u8]) -> Kind {
    if kind == Kind::GenericSecret && is_old_devops_pat(value) {
        Kind::DevopsPat
    } else if kind == Kind::GenericSecret
        && value.len() > 100
        && (value.starts_with(b"0.A") || value.starts_with(b"1.A"))
    {
        Kind::EntraRefresh
    } else {
        kind
    }
}

/// The value after a separator.
fn value_after(line: &[u8], start: usize, name_start: usize, separator: usize) -> Option<Value> {
    let mut at = separator + 1;
    // name => value, name == value; name:: value, where it is in base64
    if matches!(line.get(at), Some(b'>' | b'=' | b'~')) || line[separator..].starts_with(b":: ") {
        at += 1;
    }
    let spaced = at;
    while at < line.len() && matches!(line[at], b' ' | b'\t') {
        at += 1;
    }
    // **Password:** `value`
    if line.get(spaced) == Some(&b'*') && line.get(spaced + 1) == Some(&b'*') {
        at = spaced
            + 2
            + line[spaced + 2..]
                .iter()
                .take_while(|byte| **byte == b' ')
                .count();
    }
    let mut spaced = at > spaced;
    // `\n` of a document inside a string.
    while line.get(at) == Some(&b'\\') && matches!(line.get(at + 1), Some(b'n' | b't' | b'r')) {
        at += 2;
        spaced = true;
    }
    if at >= line.len() {
        return None;
    }
    if line[at] == b'&'
        && let Some(quote) = QUOTES.iter().find(|quote| line[at..].starts_with(quote))
    {
        let from = at + quote.len();
        let to = memchr::memmem::find(&line[from..], quote).map_or(line.len(), |end| from + end);
        return (from < to).then_some(Value {
            start: from,
            end: to,
            place: Place::Enclosed,
        });
    }
    // "${NAME:-value}"
    if line[separator] == b':'
        && line[at] == b'-'
        && name_start > start
        && line[name_start - 1] == b'{'
    {
        at += 1;
    }
    if line[separator] == b':' {
        at += annotation(&line[at..]);
    } else if let Some((start, end)) = long_string(line, at) {
        let place = Place::Enclosed;
        return Some(Value { start, end, place });
    }
    // What a driver's string keeps together: PWD={…};
    let attribute = name_start > start && line[name_start - 1] == b';' && line[separator] == b'=';
    if attribute && line[at] == b'{' && line.get(at + 1) != Some(&b'{') {
        let braces = |from: usize| memchr::memmem::find(&line[from..], b"}").map(|end| from + end);
        let mut end = braces(at + 1)?;
        while line.get(end + 1) == Some(&b'}') {
            end = braces(end + 2)?;
        }
        let (start, place) = (at + 1, Place::Enclosed);
        return (start < end).then_some(Value { start, end, place });
    }
    at += wrapper(&line[at..]);
    if at >= line.len() {
        return None;
    }
    let mut quote = at;
    // b"…", f"…", $"…", @"…"
    if (is(line[quote], UPPER | LOWER) || matches!(line[quote], b'$' | b'@'))
        && matches!(line.get(quote + 1), Some(b'"' | b'\''))
    {
        quote += 1;
    }
    let escapes = line[quote..]
        .iter()
        .take_while(|byte| **byte == b'\\')
        .count();
    quote += escapes;
    if let Some(mark @ (b'"' | b'\'' | b'`')) = line.get(quote).copied() {
        let from = quote + 1;
        let to = closing_quote(line, from, mark, escapes).unwrap_or(line.len());
        return (from < to).then_some(Value {
            start: from,
            end: to,
            place: Place::Enclosed,
        });
    }
    let to = if heads_line(line, start, name_start)
        && (line[separator] == b'=' || spaced)
        && !inside_string(line, start, name_start)
    {
        return Some(line_value(line, at));
    } else {
        inline_end(line, at)
    };
    let attribute = line[separator] == b'='
        && !spaced
        && (line.get(to) == Some(&b';') || name_start > start && line[name_start - 1] == b';');
    // A number under a quoted name is a value of JSON.
    let quoted_name = name_start > start && matches!(line[name_start - 1], b'"' | b'\'');
    let number = quoted_name && line[at..to].iter().all(|byte| is(*byte, DIGIT));
    (at < to).then_some(Value {
        start: at,
        end: to,
        place: match (attribute, number) {
            (_, true) => Place::Enclosed,
            (true, _) => Place::Attribute,
            _ => Place::Inline,
        },
    })
}

/// How long a tag or an anchor of YAML is, with the space after it: `!!str value`, `&name value`.
fn annotation(value: &[u8]) -> usize {
    let signs = match value {
        [b'!', b'!', ..] => 2,
        [b'&', ..] => 1,
        _ => return 0,
    };
    let end = run(value, signs, ALNUM | JOIN);
    if end > signs && value.get(end) == Some(&b' ') && end + 1 < value.len() {
        end + 1
    } else {
        0
    }
}

/// What is in a long string of Lua: `[[…]]`, `[==[…]==]`.
fn long_string(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = line[at..].strip_prefix(b"[")?;
    let level = rest.iter().take_while(|byte| **byte == b'=').count();
    if rest.get(level) != Some(&b'[') {
        return None;
    }
    let from = at + level + 2;
    let mut close = from;
    loop {
        close += memchr::memchr(b']', &line[close..])?;
        let signs = run(line, close + 1, EQUALS);
        if signs - close - 1 == level && line.get(signs) == Some(&b']') {
            let value = line[from..close].trim_ascii();
            // Lists in a list, and templates.
            let other = value
                .iter()
                .any(|byte| matches!(byte, b'"' | b'\'' | b',' | b'['));
            return (!other && !keys::is_name(value)).then_some((from, close));
        }
        close += 1;
    }
}

/// How databases and serializers name the type of a value that stands in an object of its own.
const TYPE_NAMES: [&[u8]; 6] = [b"S", b"N", b"string", b"stringValue", b"value", b"plain"];

/// How long what wraps a literal is that stands alone in it: `{ "…" }`, `{"S": "…"}`, `Some("…")`, `SecretStr('…')`, `[[…]]`.
fn wrapper(value: &[u8]) -> usize {
    let call = run(value, 0, ALNUM | JOIN | DOT).max(
        // A path: String::from
        value
            .iter()
            .take_while(|byte| is(**byte, ALNUM | JOIN | DOT) || **byte == b':')
            .count(),
    );
    let (open, close) = match value.get(call) {
        Some(b'{') if call == 0 => (1, b'}'),
        Some(b'(') if call > 0 => {
            let keeps = [
                b"SecretStr".as_slice(),
                b"SecretString",
                b"Secret",
                b"Sensitive",
                b"SecureString",
                b"Some",
                b"from",
                b"new",
                b"of",
                b"just",
                b"ISODate",
                b"Date",
                b"parse",
            ]
            .iter()
            .any(|name| {
                value[..call]
                    .strip_suffix(*name)
                    .is_some_and(|path| path.last().is_none_or(|byte| !is(*byte, ALNUM | JOIN)))
            });
            if !keeps {
                return 0;
            }
            (call + 1, b')')
        }
        _ => return 0,
    };
    let blank = |from: usize| {
        from + value[from..]
            .iter()
            .take_while(|byte| **byte == b' ')
            .count()
    };
    let mut from = blank(open);
    if close == b'}'
        && value.get(from) == Some(&b'"')
        && let Some(end) = closing_quote(value, from + 1, b'"', 0)
        && TYPE_NAMES.contains(&&value[from + 1..end])
        && value.get(end + 1) == Some(&b':')
    {
        from = blank(end + 2);
    }
    let alone = value
        .get(from)
        .filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))
        .and_then(|quote| closing_quote(value, from + 1, *quote, 0))
        .is_some_and(|end| value[end + 1..].trim_ascii_start().first() == Some(&close));
    if alone { from } else { 0 }
}

/// Where a quoted value ends: the same mark with as many escapes before it as the opening one had.
pub(super) fn closing_quote(line: &[u8], from: usize, mark: u8, escapes: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = memchr::memchr(mark, &line[at..]) {
        let quote = at + found;
        let before = line[from..quote]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        let closes = if escapes == 0 {
            before.is_multiple_of(2)
        } else {
            before <= escapes
        };
        if closes {
            // SQL doubles a quote that is part of the value.
            if mark == b'\'' && escapes == 0 && line.get(quote + 1) == Some(&b'\'') && quote > from
            {
                at = quote + 2;
                continue;
            }
            return Some(quote - before.min(escapes));
        }
        at = quote + 1;
    }
    None
}

/// Whether a name is the first thing of its line, as in configuration.
fn heads_line(line: &[u8], start: usize, name_start: usize) -> bool {
    let head = line[start..name_start].trim_ascii_start();
    let head = head
        .strip_suffix(b"\"")
        .or_else(|| head.strip_suffix(b"'"))
        .unwrap_or(head);
    head.is_empty()
        || matches!(head.trim_ascii_end(), b"export" | b"set" | b"SET" | b"setx" | b"-" | b"ENV" | b"ARG" | b"-e" | b"--env" | b"$env:" | b"+" | b"#" | b";" | b"declare" | b"declare -x" | b"//" | b"+ export" | b"*" | b"readonly" | b"local")
        || head.eq_ignore_ascii_case(b"$env:")
        // An npm registry's settings: //registry/:_authToken=…
        || head.starts_with(b"//") && head.ends_with(b":")
}

/// Whether the line opened a quote before the name: then it is part of a string, not configuration.
fn inside_string(line: &[u8], start: usize, name_start: usize) -> bool {
    line[start..name_start]
        .iter()
        .filter(|byte| **byte == b'"')
        .count()
        % 2
        == 1
}

/// A bare value that has the rest of its line.
fn line_value(line: &[u8], at: usize) -> Value {
    let mut end = line.len();
    // A comment after white space is not of it.
    for place in at + 1..line.len() {
        let comment = match line[place] {
            b'#' | b';' => true,
            b'/' => line.get(place + 1) == Some(&b'/'),
            _ => false,
        };
        if comment && matches!(line[place - 1], b' ' | b'\t') {
            end = place - 1;
            break;
        }
    }
    let body = line[at..end].trim_ascii_end();
    let mut length = body.len();
    while length > 0 && matches!(body[length - 1], b';' | b',') {
        length -= 1;
    }
    Value {
        start: at,
        end: at + length,
        place: Place::Line,
    }
}

/// The longest bare value taken whole; a longer one is a document, and has marks of its own.
const MAX_BARE: usize = 4096;

/// Where a bare value in the middle of something ends.
fn inline_end(line: &[u8], at: usize) -> usize {
    let line = &line[..line.len().min(at + MAX_BARE)];
    let mut end = at;
    while end < line.len() {
        match line[end] {
            b' ' | b'\t' | b';' | b'&' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'|' | b'\\'
            | b'\r' => break,
            b',' => {
                // A comma ends a value where another attribute or a space follows.
                let next = run(line, end + 1, ALNUM | JOIN | DOT);
                if end + 1 >= line.len()
                    || matches!(line[end + 1], b' ' | b'"' | b'\'')
                    || (next > end + 1 && matches!(line.get(next), Some(b'=' | b':')))
                {
                    break;
                }
            }
            _ => {}
        }
        end += 1;
    }
    // What closes a parenthesis or a sentence is not of the value.
    loop {
        match line[at..end].last() {
            Some(b',' | b'.' | b':') => end -= 1,
            Some(close @ (b')' | b']' | b'}')) => {
                let open = match close {
                    b')' => b'(',
                    b']' => b'[',
                    _ => b'{',
                };
                if line[at..end].contains(&open) {
                    break;
                }
                end -= 1;
            }
            _ => break,
        }
    }
    end
}

/// `scheme://user:password@host`. Says where to go on if that is what it is.
fn uri(line: &[u8], start: usize, colon: usize, sink: &mut Sink<'_>) -> Option<usize> {
    let from = colon + 3;
    let line = &line[..line.len().min(from + MAX_BARE)];
    memchr::memchr(b'@', line.get(from..)?)?;
    if colon == start || !is(line[colon - 1], ALNUM | JOIN | DOT | BASE64) {
        return None;
    }
    let mut end = from;
    while end < line.len()
        && !matches!(
            line[end],
            b' ' | b'\t' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'\r' | b'|'
        )
    {
        end += 1;
    }
    let rest = &line[from..end];
    let authority = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let sign = match rest[..authority].iter().rposition(|byte| *byte == b'@') {
        Some(sign) => sign,
        // A password with an unescaped slash: databases take it.
        None => {
            let colon = rest[..authority].iter().position(|byte| *byte == b':')?;
            let sign = rest.iter().position(|byte| *byte == b'@')?;
            let port = rest[colon + 1..authority]
                .iter()
                .all(|byte| is(*byte, DIGIT));
            if port || rest[..sign].contains(&b'?') {
                return None;
            }
            sign
        }
    };
    let user = &rest[..sign];
    let (secret_start, secret) = match user.iter().position(|byte| *byte == b':') {
        Some(colon) => (from + colon + 1, &user[colon + 1..]),
        None if user.len() >= 20 && looks_random(user) => (from, user),
        None => return None,
    };
    if secret.is_empty() || is_placeholder(secret) || secret.iter().all(|byte| *byte == b'x') {
        // Its user is no key either.
        return Some(from + sign);
    }
    sink.push(secret_start, secret_start + secret.len(), Kind::UriPassword);
    Some(from + sign)
}

/// What is between these is text as it stands.
const CDATA: &[u8] = b"<![CDATA[";

/// The longest opening tag looked at.
const MAX_TAG: usize = 256;

/// `<password>…</password>`.
fn element(
    line: &[u8],
    start: usize,
    close: usize,
    pair: &mut Pair,
    sink: &mut Sink<'_>,
) -> Option<usize> {
    // Attributes may stand between the name and the end of the tag.
    let near = close.saturating_sub(MAX_TAG).max(start);
    let open = near + memchr::memrchr(b'<', &line[near..close])?;
    let name_end = line[open + 1..close]
        .iter()
        .position(|byte| !(is(*byte, ALNUM | JOIN | DOT) || *byte == b':'))
        .map_or(close, |length| open + 1 + length);
    let attributes = name_end < close && line[name_end] == b' ';
    if name_end == open + 1 || name_end < close && !attributes {
        return None;
    }
    let name = &line[open + 1..name_end];
    let mut promise = keys::promise(name)?;
    let mut from = close + 1;
    if line[from..].trim_ascii().is_empty() && !line[..close].ends_with(b"/") {
        if !matches!(promise, Promise::Name | Promise::Value) {
            pair.heads(promise, name, open - start);
        }
        return None;
    }
    if promise == Promise::Value {
        promise = pair.promise?;
    }
    let data = line[from..].starts_with(CDATA);
    from += if data { CDATA.len() } else { 0 };
    let to = if data {
        from + memchr::memmem::find(&line[from..], b"]]>")?
    } else {
        from + memchr::memchr(b'<', &line[from..])?
    };
    if !data && line.get(to + 1) != Some(&b'/') {
        if keys::opens(promise) {
            pair.set(Some(promise));
        }
        return None;
    }
    let value = Value {
        start: from,
        end: to,
        place: Place::Enclosed,
    };
    give(promise, line, value, sink)
}

/// Each cookie's value, if it is one that means something to whoever holds it.
fn cookies(line: &[u8], name: &[u8], value: Value, sink: &mut Sink<'_>) -> usize {
    let set = name.len() >= 3 && name[..3].eq_ignore_ascii_case(b"set");
    // The header has the rest of its line, or of its string.
    let end = line[value.start..]
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\'' | b'`'))
        .map_or(line.len(), |quote| value.start + quote)
        .max(value.end);
    let mut at = value.start;
    while at < end {
        let to = memchr::memchr(b';', &line[at..end]).map_or(end, |found| at + found);
        let cookie = &line[at..to];
        if let Some(equals) = memchr::memchr(b'=', cookie) {
            let label = cookie[..equals].trim_ascii();
            let secret = cookie[equals + 1..].trim_ascii_end();
            let session = [
                b"sess".as_slice(),
                b"sid",
                b"auth",
                b"token",
                b"jwt",
                b"login",
                b"cookie",
                b"remember",
                b"identity",
                b"csrf",
                b"xsrf",
            ]
            .iter()
            .any(|word| super::values::contains_ignore_case(label, word));
            if secret.len() >= 8
                && !is_placeholder(secret)
                && (session
                    || (secret.len() >= 16
                        && (looks_random(secret) || (is_hex(secret) && secret.len() >= 32))))
            {
                sink.push(
                    at + equals + 1,
                    at + equals + 1 + secret.len(),
                    Kind::Cookie,
                );
            }
        }
        if set {
            break;
        }
        at = to + 1;
    }
    end
}

/// A credential after its scheme, where the scheme is none of those found everywhere.
fn authorization(line: &[u8], value: Value, sink: &mut Sink<'_>) -> Option<usize> {
    let end = line[value.start..]
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\'' | b'`' | b',' | b'\r'))
        .map_or(line.len(), |quote| value.start + quote);
    let body = &line[value.start..end];
    let from = body
        .iter()
        .position(|byte| *byte == b' ')
        .map_or(0, |space| space + 1);
    let token_end = run(body, from, ALNUM | JOIN | BASE64 | DOT | TILDE | EQUALS);
    let token = &body[from..token_end];
    let known = body.starts_with(b"Bearer")
        || body.starts_with(b"bearer")
        || body.starts_with(b"Basic")
        || body.starts_with(b"basic");
    if known || token_end != body.trim_ascii_end().len() {
        return None;
    }
    let (start, end, kind) = judge(Promise::Secret, token, Place::Inline)?;
    (token.len() >= 16)
        .then(|| sink.push(value.start + from + start, value.start + from + end, kind));
    None
}

/// `host:port:database:user:password`, a line of `.pgpass`, alone or in a string; `colon` is its first.
fn pgpass(line: &[u8], start: usize, colon: usize, sink: &mut Sink<'_>) {
    let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\\');
    let from = line[start..colon]
        .iter()
        .rposition(ends)
        .map_or(start, |found| start + found + 1);
    let to = line[colon..]
        .iter()
        .position(ends)
        .map_or(line.len(), |found| colon + found);
    let body = line[from..to].trim_ascii_end();
    let mut fields = body.splitn(5, |byte| *byte == b':');
    let (Some(host), Some(port), Some(_), Some(_), Some(password)) = (
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
    ) else {
        return;
    };
    // An address of IPv6 has colons and digits, too.
    let host_ok = !host.is_empty()
        && run(host, 0, ALNUM | JOIN | DOT) == host.len()
        && (from == start && to == line.len() || !is_hex(host))
        || host == b"*";
    let port_ok =
        port == b"*" || (3..=5).contains(&port.len()) && port.iter().all(|byte| is(*byte, DIGIT));
    if host_ok
        && port_ok
        && password.len() >= 3
        && !password.contains(&b'/')
        && !password.contains(&b':')
        && !is_placeholder(password)
    {
        let end = from + body.len();
        sink.push(end - password.len(), end, Kind::Password);
    }
}
