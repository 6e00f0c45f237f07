//! Values by the name they stand under: `key=value`, `key: value`, attributes of connection strings, elements, cookies,
//! flags, and the sentence "the password is …".

mod credentials;
mod lookup;
mod manifest;
mod section;
mod value;

use credentials::{authorization, cookies, pgpass, uri};
pub(super) use section::{Block, Pair, block};
use section::{Form, PAIR_LINES};
use value::{
    MAX_TYPE, QUOTES, Value, constructed, heads_line, is_of_type, serialized, typed, value_after,
    with_parameters,
};
pub(super) use value::{closing_quote, declared, emphasised};

use super::{
    Sink,
    keys::{self, Place, Promise, judge},
    kinds::Kind,
    nested, personal,
    tokens::is_old_devops_pat,
    told,
    values::{self, ALNUM, ANY, DIGIT, DOT, JOIN, is, run, run_back, run_back_within, run_within},
};

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
    let mut after = run(line, end, DIGIT | JOIN);
    // What Salesforce adds to names.
    if line[end..].starts_with(b"__c") {
        after = end + 3;
    }
    let mut at = after;
    while matches!(line.get(at), Some(b'"' | b'\'' | b'`' | b'\\' | b'*')) {
        at += 1;
    }
    if line.get(at) == Some(&b'&')
        && let Some(quote) = QUOTES.iter().find(|quote| line[at..].starts_with(quote))
    {
        at += quote.len();
    }
    // char name[33] = "value"
    if line.get(at) == Some(&b'[') {
        at = run_within(line, at + 1, DIGIT, 6);
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
        } else if line[extra..].starts_with(b" = ") {
            at = extra + 1;
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
                    let (from, to) = declared(line, at)?;
                    let name = run_back(line, after, ALNUM | JOIN).max(start);
                    let promise = pair.names.promise(&line[name..after])?;
                    enclosed(promise, &line[from..to], from, sink);
                    Some(to)
                })
        }
        b'.' => {
            // Passport no.: …, Tél. : …
            let colon = at + 1 + usize::from(line.get(at + 1) == Some(&b' '));
            (line.get(colon) == Some(&b':'))
                .then(|| at_separator(line, start, colon, None, pair, sink))?
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
        // std::string name{"value"}; public string Name { get; set; } = "value";
        b'{' => {
            let name = run_back(line, after, ALNUM | JOIN).max(start);
            let promise = pair.names.promise(&line[name..after])?;
            let rest = &line[at + 1..];
            let quote = match rest.first()? {
                b'"' => at + 1,
                _ => {
                    let accessors = rest.trim_ascii_start().starts_with(b"get;");
                    let near = &rest[..rest.len().min(MAX_TYPE)];
                    at + 1 + memchr::memmem::find(near, b"} = \"").filter(|_| accessors)? + 4
                }
            };
            let to = closing_quote(line, quote + 1, b'"', 0)?;
            let (from, end, kind) = judge(promise, &line[quote + 1..to], Place::Enclosed)?;
            sink.push(quote + 1 + from, quote + 1 + end, kind);
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

/// The longest note between a name and its separator, with its parentheses.
const MAX_NOTE: usize = 24;

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
        let size = run_back_within(line, end, DIGIT, 6).max(start);
        if line[end] == b']' && line[start..size].ends_with(b"[") {
            end = size - 1;
        }
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

/// The name before a separator that ends at `end`.
fn name_before(line: &[u8], start: usize, separator: usize, end: usize) -> Option<(usize, usize)> {
    let near = end.saturating_sub(keys::MAX_NAME).max(start);
    let other = line[near..end].iter().rposition(|byte| !is_of_name(*byte));
    let mut from = other.map_or(near, |other| near + other + 1);
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
        let word = run_back(line, name_start - 1, ALNUM | JOIN).max(start);
        if word < name_start - 1 {
            let typed = line[separator] == b'=' && matches!(name, b"string" | b"String");
            let until = if typed { name_start - 1 } else { name_end };
            promise = pair.names.promise(&line[word..until]).or(promise);
        }
    }
    // userid=NAME/value@host
    if name.eq_ignore_ascii_case(b"userid")
        && line[separator] == b'='
        && let Some((from, to, kind)) = told::at_database(line, separator + 1)
    {
        sink.push(from, to, kind);
        return Some(to);
    }
    // arn:aws:secretsmanager:…:secret:name
    if line[..name_start].ends_with(b":") && is_resource(&line[start..name_start]) {
        return None;
    }
    let value_of = || value_after(line, start, name_start, separator);
    let Some(promise) = promise else {
        identified(name, line, (start, separator), pair, sink);
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
        let indent = section::indent(line, start);
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
    if promise == Promise::Password && of_pair(&line[start..name_start]) {
        if let Some((from, to, kind)) = told::name_and_value(line, value.start) {
            sink.push(from, to, kind);
            return Some(to);
        }
        // ann / <redacted>
        let mut words = line[value.start..].splitn(2, |byte| matches!(byte, b'/' | b':'));
        let second = words.nth(1).unwrap_or_default().trim_ascii_start();
        let second = second.split(|byte| *byte == b' ').next();
        if second.is_some_and(values::is_placeholder) {
            return None;
        }
    }
    // ##vso[task.setvariable variable=…;issecret=true]value
    if name.eq_ignore_ascii_case(b"issecret")
        && let Some(close) = body.strip_prefix(b"true]")
    {
        let from = value.end - close.len();
        enclosed(Promise::Password, line[from..].trim_ascii_end(), from, sink);
        return Some(line.len());
    }
    // What is in a document has names of its own.
    if name.ends_with(b"String") && body.first() == Some(&b'{') && promise == Promise::Password {
        return None;
    }
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
    if body.first() == Some(&b'{')
        && let Some(end) = numbered(promise, line, value.start, sink)
    {
        return Some(end);
    }
    if keys::opens(promise) && section::is_plural(name) {
        match body.first() {
            Some(b'{' | b'[') if body.trim_ascii_end().len() == 1 => {
                pair.heads(promise, name, section::indent(line, start));
                return None;
            }
            // What is in it has names of its own, too.
            Some(b'{') => section::entries(promise, line, value.start + 1, sink),
            _ => {}
        }
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
    // A number goes on after white space.
    if promise == Promise::Phone && value.place != Place::Enclosed {
        let sign = |byte: &&u8| {
            is(**byte, DIGIT) || matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'+' | b'/')
        };
        let near = &line[value.start..line.len().min(value.start + MAX_PHONE)];
        let signs = near.iter().take_while(sign).count();
        let digits = near[..signs].iter().rposition(|byte| is(*byte, DIGIT));
        let end = value.start + digits.map_or(0, |last| last + 1);
        let free = line.get(end).is_none_or(|byte| !is(*byte, ALNUM));
        if free
            && end > value.end
            && let Some((from, to, kind)) = judge(promise, &line[value.start..end], Place::Inline)
        {
            sink.push(value.start + from, value.start + to, kind);
            return Some(end);
        }
    }
    if body.first() == Some(&b'[')
        && let Some(end) = list(promise, line, value.start, sink)
    {
        return Some(end);
    }
    match promise {
        Promise::Name => {
            let promise = keys::promise(body);
            if promise.is_some() {
                pair.described = pair.described.or(Some(value.start));
            }
            pair.set(promise);
            content(line, value.end, pair, sink).or_else(|| meta(promise?, line, value.end, sink))
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
            if [b"key".as_slice(), b"parameterkey", b"outputkey"]
                .iter()
                .any(|key| name.eq_ignore_ascii_case(key))
                && body.len() < 40
                && keys::promise(body).is_some() =>
        {
            pair.set(keys::promise(body));
            content(line, value.end, pair, sink)
        }
        promise => give(promise, line, value, sink).or_else(|| {
            let end = match value.place {
                Place::Enclosed => value.end,
                _ => line.len(),
            };
            // A string has one only where it is a template.
            let template = value.place != Place::Enclosed || matches!(body[0], b'{' | b'$');
            let looks = keys::opens(promise) && template;
            let (from, to) = looks.then(|| lookup::fallback(&line[..end], value.start))??;
            let (a, b, kind) = judge(promise, &line[from..to], Place::Enclosed)?;
            sink.push(from + a, from + b, kind);
            Some(to)
        }),
    }
}

/// What comes next by a name that promises nothing: in a record of health (FHIR) a passport, ways to call somebody; in an
/// object of Kubernetes perhaps secrets.
fn identified(
    name: &[u8],
    line: &[u8],
    (start, separator): (usize, usize),
    pair: &mut Pair,
    sink: &mut Sink<'_>,
) {
    let value = || line[separator + 1..].trim_ascii_start();
    match name {
        b"code" if value().starts_with(b"\"PPN\"") => pair.set(Some(Promise::Passport)),
        b"telecom" => pair.set(Some(Promise::Phone)),
        b"apiVersion" => match manifest::version(value()) {
            manifest::Version::Alone => pair.manifest(),
            manifest::Version::InLine => manifest::in_line(line, separator, sink),
            manifest::Version::Other => {}
        },
        [.., b's' | b'S'] => {
            let Some(promise) = section::of_several(name) else {
                return;
            };
            match value() {
                b"" | b"{" => pair.named(promise, Some(section::indent(line, start))),
                [b'{', object @ ..] => {
                    section::entries(promise, line, line.len() - object.len(), sink);
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// Whether what comes before a name is of the address of a resource: what follows is its name.
fn is_resource(before: &[u8]) -> bool {
    let near = &before[before.len().saturating_sub(96)..];
    let address = memchr::memmem::rfind(near, b"arn:");
    address.is_some_and(|at| {
        !near[at..]
            .iter()
            .any(|byte| matches!(byte, b' ' | b'"' | b'='))
    })
}

/// Whether a name is the second of a pair: `Username/Password: ann/value`.
fn of_pair(before: &[u8]) -> bool {
    let first = before
        .strip_suffix(b"/")
        .or_else(|| before.strip_suffix(b" / "));
    first.is_some_and(|first| {
        [
            b"user".as_slice(),
            b"name",
            b"login",
            b"id",
            b"account",
            b"mail",
        ]
        .iter()
        .any(|word| {
            let own = first
                .len()
                .checked_sub(word.len())
                .map(|from| &first[from..]);
            own.is_some_and(|own| own.eq_ignore_ascii_case(word))
        })
    })
}

/// Whether what comes before a name says right there that it is a passport's.
fn of_passport(before: &[u8]) -> bool {
    let near = &before[before.len().saturating_sub(32)..];
    values::contains_ignore_case(near, b"\"passport\"")
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

/// The content of an element whose name stands in its last attribute: `<entry key="password">…</entry>`.
fn content(line: &[u8], end: usize, pair: &mut Pair, sink: &mut Sink<'_>) -> Option<usize> {
    // More attributes may follow.
    let rest = line.get(end + 1..)?;
    let close = match rest.first()? {
        b' ' => memchr::memchr(b'>', &rest[..rest.len().min(MAX_TYPE)])?,
        _ => 0,
    };
    let text = rest[close..].strip_prefix(b">")?;
    let start = line.len() - text.len();
    let to = start + memchr::memchr(b'<', text).filter(|_| !rest[..close].ends_with(b"/"))?;
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

/// What a page says of itself: `<meta name="api-key" content="…">`; `end` is where the name's value ends.
fn meta(promise: Promise, line: &[u8], end: usize, sink: &mut Sink<'_>) -> Option<usize> {
    let rest = line.get(end + 1..)?.trim_ascii_start();
    let rest = rest.strip_prefix(b"content=")?;
    let mark = *rest.first().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let start = line.len() - rest.len() + 1;
    let end = closing_quote(line, start, mark, 0)?;
    let place = Place::Enclosed;
    give(promise, line, Value { start, end, place }, sink)
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

/// The longest phone number, with what is put between its digits.
const MAX_PHONE: usize = 24;

/// The literals of an object whose names are numbers, as a column with an index: `{"0": "…", "1": "…"}`. Says where it ends if
/// it has any.
fn numbered(promise: Promise, line: &[u8], open: usize, sink: &mut Sink<'_>) -> Option<usize> {
    let mut at = open + 1;
    let mut any = None;
    loop {
        let between = |byte: &&u8| matches!(byte, b' ' | b',' | b'"' | b'\'' | b'\\');
        at += line[at..].iter().take_while(between).count();
        let number = run(line, at, DIGIT);
        let name_end = number + line[number..].iter().take_while(between).count();
        if number == at || line.get(name_end) != Some(&b':') {
            return any;
        }
        at = name_end + 1;
        at += line[at..].iter().take_while(|byte| **byte == b' ').count();
        let escapes = line[at..].iter().take_while(|byte| **byte == b'\\').count();
        let quote = at + escapes;
        let (from, to, next) = match line.get(quote).copied() {
            Some(mark @ (b'"' | b'\'')) => {
                let end = closing_quote(line, quote + 1, mark, escapes)?;
                (quote + 1, end, end + escapes + 1)
            }
            _ => {
                let end = run(line, at, ALNUM | DOT | JOIN);
                (at, end, end)
            }
        };
        let value = &line[from..to];
        if !matches!(value, b"null" | b"None" | b"true" | b"false" | b"NaN") {
            enclosed(promise, value, from, sink);
        }
        at = next;
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
        let change = line[value.end..]
            .strip_prefix(b"\" -> \"")
            .or_else(|| line[value.end..].strip_prefix(b"\" => \""));
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
