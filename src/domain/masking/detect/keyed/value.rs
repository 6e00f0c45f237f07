//! Where the value after a name stands: between quotes, in what wraps a literal, to the end of its line, or in the middle of
//! something.

use super::super::{
    keys::{self, Place},
    values::{ALNUM, DIGIT, DOT, EQUALS, JOIN, LOWER, UPPER, is, run, run_within},
};

/// A value's extent in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) place: Place,
}

/// What follows a name as PHP writes down strings: `s:8:"password";s:5:"value";`, `password|s:5:"value";`.
pub(super) fn serialized(line: &[u8], at: usize) -> Option<(usize, usize)> {
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
pub(super) fn with_parameters(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let parameter =
        |byte: &u8| is(*byte, ALNUM | JOIN | EQUALS) || matches!(byte, b';' | b',' | b'"');
    let colon = at + line[at..].iter().take_while(|byte| parameter(byte)).count();
    let typed = line[at..colon].contains(&b'=') && line.get(colon) == Some(&b':');
    let from = colon + 1;
    typed.then(|| (from, from + line[from..].trim_ascii_end().len()))
}

/// The longest type between a name and its value.
pub(super) const MAX_TYPE: usize = 48;

/// Where the `=` of `name: type = value` is; `colon` is where the type starts.
pub(super) fn typed(line: &[u8], colon: usize) -> Option<usize> {
    let from = colon + 1;
    let near = &line[from..line.len().min(from + MAX_TYPE)];
    let equals = from + near.iter().position(|byte| !is_of_type(byte))?;
    (line[equals] == b'=' && line.get(equals + 1) != Some(&b'=')).then_some(equals)
}

/// What is in the quotes that a name is declared with further on: `by lazy { "…" }`, `As String = "…"`.
pub(in crate::domain::masking::detect) fn declared(
    line: &[u8],
    from: usize,
) -> Option<(usize, usize)> {
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

pub(super) fn is_of_type(byte: &u8) -> bool {
    OF_TYPE[usize::from(*byte)]
}

static OF_TYPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = matches!(
            byte as u8,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'-' | b'.'
                | b' ' | b'&' | b'\'' | b'<' | b'>' | b'[' | b']' | b'?' | b'*'
        );
        byte += 1;
    }
    table
};

/// Quotes as HTML and XML write them.
pub(super) const QUOTES: [&[u8]; 4] = [b"&quot;", b"&#34;", b"&#39;", b"&apos;"];

/// A date by its parts, as Python shows one: `datetime.date(1984, 2, 11)`.
pub(super) fn constructed(line: &[u8], from: usize) -> Option<(usize, usize)> {
    let value = line[from..].trim_ascii_start();
    let parts = value
        .strip_prefix(b"datetime.date(")
        .or_else(|| value.strip_prefix(b"datetime.datetime("))?;
    let from = line.len() - parts.len();
    let to = from + memchr::memchr(b')', parts)?;
    let parts = |byte: &u8| is(*byte, DIGIT) || matches!(byte, b' ' | b',');
    line[from..to].iter().all(parts).then_some((from, to))
}

/// The value after a separator.
pub(super) fn value_after(
    line: &[u8],
    start: usize,
    name_start: usize,
    separator: usize,
) -> Option<Value> {
    let mut at = separator + 1;
    // name => value, name == value; name:: value, where it is in base64
    if matches!(line.get(at), Some(b'>' | b'=' | b'~')) || line[separator..].starts_with(b":: ") {
        at += 1;
    }
    let spaced = at;
    while at < line.len() && matches!(line[at], b' ' | b'\t') {
        at += 1;
    }
    // *Password:* value
    if line.get(spaced) == Some(&b'*') && line.get(spaced + 1) == Some(&b' ') {
        at = spaced + 2;
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
    if let Some((start, end)) = emphasised(line, at) {
        let place = Place::Enclosed;
        return Some(Value { start, end, place });
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

/// What is in an element that emphasises it, or in a value's type: `<b>value</b>`, `Str(value)`.
pub(in crate::domain::masking::detect) fn emphasised(
    line: &[u8],
    at: usize,
) -> Option<(usize, usize)> {
    if let Some(rest) = line[at..].strip_prefix(b"Str(") {
        let from = line.len() - rest.len();
        let end = line.trim_ascii_end().len();
        return (line[..end].ends_with(b")") && from < end - 1).then_some((from, end - 1));
    }
    let tag = line[at..].strip_prefix(b"<")?;
    let name = run(tag, 0, LOWER);
    let marks = matches!(
        &tag[..name],
        b"b" | b"i" | b"u" | b"em" | b"strong" | b"code" | b"tt" | b"kbd" | b"mark" | b"span"
    );
    let from = at + 1 + memchr::memchr(b'>', tag).filter(|_| marks)? + 1;
    let end = from + memchr::memmem::find(&line[from..], b"</")?;
    (from < end && !line[from..end].contains(&b'<')).then_some((from, end))
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
const TYPE_NAMES: [&[u8]; 8] = [
    b"$date",
    b"$numberLong",
    b"S",
    b"N",
    b"string",
    b"stringValue",
    b"value",
    b"plain",
];

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
pub(in crate::domain::masking::detect) fn closing_quote(
    line: &[u8],
    from: usize,
    mark: u8,
    escapes: usize,
) -> Option<usize> {
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
pub(super) fn heads_line(line: &[u8], start: usize, name_start: usize) -> bool {
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
    // name=value other=value
    if line[at - 1] == b'='
        && let Some(space) = memchr::memchr(b' ', &line[at..end])
    {
        let next = run(line, at + space + 1, ALNUM | JOIN | DOT);
        if next > at + space + 1
            && line.get(next) == Some(&b'=')
            && line.get(next + 1) != Some(&b'=')
        {
            end = at + space;
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
pub(super) const MAX_BARE: usize = 4096;

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
                let mut next = run(line, end + 1, ALNUM | JOIN | DOT);
                // helm --set env[0].name=…,env[0].value=…
                if line.get(next) == Some(&b'[') && next > end + 1 {
                    let close = run(line, next + 1, DIGIT);
                    next = run(line, close + 1, ALNUM | JOIN | DOT);
                }
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
