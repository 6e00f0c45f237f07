//! Values by the name they stand under: `key=value`, `key: value`, attributes of connection strings, elements, cookies,
//! flags, and the sentence "the password is …".

use super::{
    Sink,
    keys::{self, Place, Promise, judge},
    kinds::Kind,
    nested,
    tokens::is_old_devops_pat,
    values::{
        ALNUM, ANY, BASE64, DIGIT, DOT, EQUALS, JOIN, LOWER, TILDE, UPPER, is, is_hex,
        is_placeholder, looks_random, run, run_back, run_within,
    },
};

/// What earlier lines say about the next: `"name": "DB_PASSWORD"`, then `"value": …`.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    promise: Option<Promise>,
    pub(super) names: keys::Names,
    /// What the next line is to keep: `password: >-`.
    block: Option<Promise>,
    /// Lines in which a value is a vault's.
    vault: u8,
    /// Lines since it was said.
    age: u8,
}

/// How many lines a name waits for its value.
const PAIR_LINES: u8 = 6;

impl Pair {
    /// Ends a line. A block may declare a name: `variable "db_password" {`.
    pub(super) fn end_line(&mut self, line: &[u8]) {
        if let Some(rest) = line.strip_prefix(b"variable \"")
            && let Some(end) = memchr::memchr(b'"', rest)
        {
            self.set(keys::promise(&rest[..end]));
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
        self.promise.is_some() | (self.vault > 0)
    }

    /// Takes the promise an earlier line made of all of this one.
    pub(super) fn take_block(&mut self) -> Option<Promise> {
        self.block.take()
    }

    fn set(&mut self, promise: Option<Promise>) {
        self.promise = promise;
        self.age = 0;
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
    // name ||= value, name ??= value
    if matches!(line.get(at..at + 2), Some(b"||" | b"??")) {
        at += 1;
    }
    match *line.get(at)? {
        b'=' => at_separator(line, start, at, None, pair, sink),
        b'+' | b'?' | b'|' if line.get(at + 1) == Some(&b'=') => {
            at_separator(line, start, at + 1, None, pair, sink)
        }
        b':' => {
            let next = line.get(at + 1).copied().unwrap_or(b' ');
            let clock = is(next, DIGIT) && is(line[at - 1], DIGIT);
            if clock || line[at..].starts_with(b"://") {
                return None;
            }
            at_separator(line, start, at, None, pair, sink)
                .or_else(|| at_separator(line, start, typed(line, at)?, None, pair, sink))
        }
        b'>' if at == after => element(line, start, at, sink),
        // Attributes may stand between the name and the end of the tag.
        _ if line.get(after) == Some(&b' ') => {
            let name = run_back(line, end, ALNUM | JOIN | DOT);
            if name <= start || !matches!(line[name - 1], b'<' | b':') {
                return None;
            }
            let close = memchr::memchr(b'>', &line[after..line.len().min(after + MAX_TAG)])?;
            element(line, start, after + close, sink)
        }
        _ => None,
    }
}

/// The longest type between a name and its value.
const MAX_TYPE: usize = 48;

/// Where the `=` of `name: type = value` is; `colon` is where the type starts.
fn typed(line: &[u8], colon: usize) -> Option<usize> {
    let from = colon + 1;
    let equals = from + memchr::memchr(b'=', &line[from..line.len().min(from + MAX_TYPE)])?;
    let typed = line[from..equals].iter().all(is_of_type);
    (typed && line.get(equals + 1) != Some(&b'=')).then_some(equals)
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
                if let Some(next) = element(line, start, separator, sink) {
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
    if end > start && matches!(line[end - 1], b':' | b'+' | b'?' | b'|') && line[separator] == b'='
    {
        while end > start && matches!(line[end - 1], b':' | b'+' | b'?' | b'|') {
            end -= 1;
        }
        while end > start && line[end - 1] == b' ' {
            end -= 1;
        }
    }
    if end > start && matches!(line[end - 1], b']' | b'}') {
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
    while from > start && end - from < keys::MAX_NAME && (is(line[from - 1], ALNUM | JOIN | DOT)) {
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

fn at_separator(
    line: &[u8],
    start: usize,
    separator: usize,
    looked: Option<&mut usize>,
    pair: &mut Pair,
    sink: &mut Sink<'_>,
) -> Option<usize> {
    let end = name_end(line, start, separator);
    let (name_start, name_end) = name_before(line, start, separator, end)?;
    let name = &line[name_start..name_end];
    let mut promise = pair.names.promise(name);
    // "API key: …", "card number: …": the word before says which.
    if matches!(promise, None | Some(Promise::Key))
        && name_start > start + 2
        && line[name_start - 1] == b' '
    {
        let word = run_back(line, name_start - 1, ALNUM).max(start);
        if word < name_start - 1 {
            promise = pair.names.promise(&line[word..name_end]).or(promise);
        }
    }
    let value_of = || value_after(line, start, name_start, separator);
    let Some(promise) = promise else {
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
    let value = value_of()?;
    let body = &line[value.start..value.end];
    if matches!(body, b">" | b">-" | b">+" | b"|" | b"|-" | b"|+") {
        pair.block = Some(promise);
        return None;
    }
    match promise {
        Promise::Name => {
            pair.set(keys::promise(body));
            None
        }
        Promise::Value => {
            let promise = match pair.promise.take() {
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
        Promise::Key if name == b"key" && body.len() < 40 && keys::promise(body).is_some() => {
            pair.set(keys::promise(body));
            None
        }
        promise => give(promise, line, value, sink),
    }
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
    if matches!(line.get(at), Some(b'>' | b'=' | b'~')) {
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

/// `scheme://user:password@host`. Says where to go on if it masked something.
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
        return None;
    }
    sink.push(secret_start, secret_start + secret.len(), Kind::UriPassword);
    Some(from + sign)
}

/// The longest opening tag looked at.
const MAX_TAG: usize = 256;

/// `<password>…</password>`.
fn element(line: &[u8], start: usize, close: usize, sink: &mut Sink<'_>) -> Option<usize> {
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
    let promise = keys::promise(&line[open + 1..name_end])?;
    let from = close + 1;
    let to = from + memchr::memchr(b'<', &line[from..])?;
    if line.get(to + 1) != Some(&b'/') {
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
        && !is_placeholder(password)
    {
        let end = from + body.len();
        sink.push(end - password.len(), end, Kind::Password);
    }
}
