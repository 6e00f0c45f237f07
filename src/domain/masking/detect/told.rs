//! Values that follow a word rather than a separator: flags, sentences, calls, files of credentials.

use std::sync::LazyLock;

use aho_corasick::packed::{Config, MatchKind, Searcher};

use super::{
    Sink,
    keyed::closing_quote,
    keys::{self, Place, Promise, judge},
    kinds::Kind,
    personal,
    values::{
        ALNUM, BASE64, DIGIT, DOT, EQUALS, JOIN, LOWER, TILDE, UPPER, is, is_hex, is_placeholder,
        is_uuid, looks_random, mix, run, run_back, run_back_within, run_within, starts_word,
    },
};

/// Words after which a value may follow without a separator.
static WORDS: &[&str] = &[
    "assword",
    "ASSWORD",
    "asswd",
    "ecret",
    "ECRET",
    "oken",
    "OKEN",
    "redential",
    "pi key",
    "PI key",
    "PI Key",
    "ccess key",
    "keys are",
    "assphrase",
    "asscode",
    " -p",
    " --",
    "\"--",
    "'--",
    "born",
    "Born",
    "birth",
    "Birth",
    "DOB",
    "pat ",
    "-u ",
    "PIN",
    "CVV",
    "SSN",
    "BSN",
    "PESEL",
    "ocial security",
    "@tcp(",
    "%3D",
    "%40",
    "REG_SZ",
    "SecureString ",
    " -a ",
    "pin ",
    "pwd ",
    "ENTIFIED BY",
    "entified by",
    "assport",
];

static SEARCHER: LazyLock<Option<Searcher>> = LazyLock::new(|| {
    let mut builder = Config::new().match_kind(MatchKind::LeftmostFirst).builder();
    builder.extend(WORDS);
    builder.build()
});

/// Finds values that follow a word: flags, sentences, files of credentials.
pub(super) fn after_words(text: &[u8], sink: &mut Sink<'_>) {
    let mut each = |start: usize, end: usize| {
        if let Some((from, to, kind)) = after_word(text, start, end) {
            sink.push(from, to, kind);
        }
    };
    match &*SEARCHER {
        Some(searcher) => searcher
            .find_iter(text)
            .for_each(|hit| each(hit.start(), hit.end())),
        None => WORDS.iter().for_each(|word| {
            memchr::memmem::find_iter(text, word).for_each(|start| each(start, start + word.len()));
        }),
    }
}

fn after_word(text: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let line_end = memchr::memchr(b'\n', &text[end..]).map_or(text.len(), |found| end + found);
    let line = &text[..line_end];
    let hit = &text[start..end];
    if hit.ends_with(b"--") {
        return flag(line, start + 1, end);
    }
    if hit == b" -p" || hit == b"-u " {
        return flag(line, start, end);
    }
    match hit {
        b" -a " => return redis(line, start, end),
        b"@tcp(" => return mysql(line, start),
        b"%3D" => return encoded(line, start, end),
        b"%40" => return encoded_email(line, start, end),
        b"REG_SZ" => return registry(line, start, end),
        _ => {}
    }
    if matches!(hit, b"born" | b"Born" | b"birth" | b"Birth" | b"DOB") {
        return birth(line, end);
    }
    // The rest of the word.
    let word_end = if hit.ends_with(b" ") {
        end - 1
    } else {
        run_within(line, end, ALNUM | JOIN, keys::MAX_NAME)
    };
    let word_start = run_back_within(line, start, ALNUM | JOIN, keys::MAX_NAME);
    let promise = match hit {
        b"keys are" | b"pi key" | b"PI key" | b"PI Key" | b"ccess key" => Promise::Key,
        b"ENTIFIED BY" | b"entified by" | b"SecureString " => Promise::Password,
        b"assport" => Promise::Passport,
        b"PIN" | b"CVV" => Promise::CardCode,
        b"SSN" | b"ocial security" => Promise::Ssn,
        b"BSN" | b"PESEL" => Promise::NationalId,
        _ => keys::promise(line[word_start..word_end].trim_ascii())?,
    };
    // An acronym is a word of its own.
    let acronym = matches!(hit, b"PIN" | b"CVV" | b"SSN" | b"BSN" | b"PESEL");
    if acronym && (word_start, word_end) != (start, end) {
        return None;
    }
    let told = matches!(
        promise,
        Promise::Password
            | Promise::Secret
            | Promise::Key
            | Promise::Passport
            | Promise::CardCode
            | Promise::Ssn
            | Promise::NationalId
    );
    if !told {
        return None;
    }
    sentence(line, word_start, word_end, promise)
}

/// Where the line of `at` starts, or what is near enough to it: a command is not longer.
fn line_start(text: &[u8], at: usize) -> usize {
    let near = at.saturating_sub(512);
    text[near..at]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(near, |found| near + found + 1)
}

/// The value a sentence names: "the password is …", "password for app: …", `password …`.
fn sentence(
    line: &[u8],
    word_start: usize,
    word_end: usize,
    promise: Promise,
) -> Option<(usize, usize, Kind)> {
    if line.get(word_end) == Some(&b'(')
        || matches!(line.get(word_end), Some(b'"' | b'\'')) && line.get(word_end + 1) == Some(&b',')
    {
        return argument(line, word_start, word_end, promise);
    }
    if !line[word_end..].trim_ascii_start().is_empty()
        && !matches!(line[word_end], b' ' | b'\t' | b'"' | b'`' | b'*')
    {
        return None;
    }
    let mut at = word_end;
    let mut linked = false;
    let mut named = false;
    for _ in 0..7 {
        let before = at;
        while at < line.len()
            && matches!(line[at], b' ' | b'\t' | b'*' | b'"' | b'\'' | b'`' | b',')
        {
            at += 1;
        }
        if at >= line.len() || (at == before && at != word_end) {
            return None;
        }
        let mut to = at;
        while to < line.len() && !matches!(line[to], b' ' | b'\t' | b'"' | b'`' | b'\r' | b'<') {
            to += 1;
        }
        let token = &line[at..to];
        let link = [
            b"is".as_slice(),
            b"are",
            b"was",
            b"be",
            b"to",
            b":",
            b"=",
            b"->",
            b"=>",
            b"provided:",
            b"is:",
            b"as",
            b"number",
            b"No.",
            b"no.",
            b"no",
            b"\xe2\x86\x92",
            b"key",
            b"BY",
            b"provided",
        ];
        let filler = [
            b"for".as_slice(),
            b"of",
            b"the",
            b"a",
            b"an",
            b"now",
            b"set",
            b"new",
            b"value",
            b"currently",
            b"here",
            b"user",
            b"has",
            b"been",
            b"changed",
            b"reset",
            b"updated",
            b"account",
            b"admin",
            b"and",
            b"my",
            b"your",
            b"our",
            b"using",
            b"used",
            b"with",
            b"it",
            b"still",
            b"just",
            b"temporary",
            b"code",
            b"from",
            b"on",
            b"in",
        ];
        if link.contains(&token)
            || token.ends_with(b":")
                && token.len() <= 24
                && run(token, 0, LOWER | UPPER) == token.len() - 1
        {
            linked = true;
            at = to;
            continue;
        }
        if filler.contains(&token) {
            named = matches!(
                token,
                b"for" | b"of" | b"user" | b"account" | b"on" | b"from" | b"in"
            );
            at = to;
            continue;
        }
        // "password for root is …"
        if named && !linked && keys::is_name(token) {
            named = false;
            at = to;
            continue;
        }
        // A passphrase in quotes.
        if promise == Promise::Password && linked && at > 0 && line[at - 1] == b'"' {
            let close = at + memchr::memchr(b'"', &line[at..])?;
            let (from, to, kind) = judge(promise, &line[at..close], Place::Enclosed)?;
            return Some((at + from, at + to, kind));
        }
        let heads = line[line_start(line, word_start)..word_start]
            .trim_ascii()
            .is_empty();
        // machine HOST login USER password VALUE
        let netrc = line[line_start(line, word_start)..word_start].trim_ascii_start();
        let heads = heads || netrc.starts_with(b"machine ") || netrc.starts_with(b"login ");
        // PowerShell's flags have one dash.
        let heads = heads
            || line[word_start] == b'-'
                && line[word_start + 1..]
                    .first()
                    .is_some_and(u8::is_ascii_uppercase);
        let direct = heads
            && line[word_end..at]
                .iter()
                .all(|byte| matches!(byte, b' ' | b'\t'));
        let securestring = line[..word_end].ends_with(b"SecureString");
        let quoted = securestring || at > 0 && matches!(line[at - 1], b'"' | b'\'' | b'`');
        let mut value_end = to;
        while value_end > at
            && matches!(
                line[value_end - 1],
                b'.' | b',' | b';' | b':' | b')' | b'\'' | b'*'
            )
        {
            // A password may end in a sign; a sentence does.
            value_end -= 1;
        }
        let value = &line[at..value_end];
        // NAME=value is found by its own name.
        if run(value, 0, ALNUM | JOIN) > 1
            && value.get(run(value, 0, ALNUM | JOIN)) == Some(&b'=')
            && value.len() > run(value, 0, ALNUM | JOIN) + 2
        {
            return None;
        }
        return said(promise, value, linked || quoted, direct).map(|kind| (at, value_end, kind));
    }
    None
}

/// Whether a value named in words is one: words lie more often than configuration does.
fn said(promise: Promise, value: &[u8], linked: bool, direct: bool) -> Option<Kind> {
    let all_digits = value.iter().all(|byte| is(*byte, DIGIT) || *byte == b'-');
    match promise {
        Promise::CardCode => {
            return ((3..=8).contains(&value.len())
                && all_digits
                && linked_or(linked, direct, value))
            .then_some(Kind::Card);
        }
        Promise::Ssn | Promise::NationalId => {
            let (_, _, kind) = judge(promise, value, Place::Enclosed)?;
            return all_digits.then_some(kind);
        }
        _ => {}
    }
    let mix = mix(value);
    let scrambled =
        value.len() >= 10 && mix.upper > 2 && mix.lower > 2 && mix.turns * 6 >= value.len();
    if value.len() < 4
        || is_placeholder(value)
        || is_uuid(value)
        || keys::is_name(value) && !scrambled
    {
        return None;
    }
    match promise {
        Promise::Password => {
            let strong = mix.digits > 0 && mix.upper + mix.lower > 0 && value.len() >= 6
                || mix.symbols > 1 && mix.upper + mix.lower > 3 && value.len() >= 8
                || scrambled;
            let expression = super::values::is_code(value)
                || value.contains(&b'=') && !linked
                || value.starts_with(b"-")
                || value.starts_with(b"/")
                || value.starts_with(b"http");
            ((linked && strong && !expression) || (direct && mix.digits > 0 && !expression))
                .then_some(Kind::Password)
        }
        Promise::Secret | Promise::Key => {
            let body = run(value, 0, ALNUM | JOIN | BASE64 | EQUALS | DOT | TILDE) == value.len();
            let marked = linked
                && value.len() >= 12
                && mix.symbols > 1
                && mix.digits > 1
                && mix.upper > 1
                && mix.lower > 1
                && !super::values::is_code(value);
            (marked
                || (linked || direct)
                    && value.len() >= 16
                    && body
                    && (looks_random(value) || is_hex(value) && value.len() >= 32))
                .then_some(Kind::GenericSecret)
        }
        Promise::Passport => ((7..=10).contains(&value.len())
            && (mix.digits >= 5 || linked && mix.digits >= 2)
            && mix.lower == 0
            && mix.symbols == 0)
            .then_some(Kind::Passport),
        _ => None,
    }
}

/// `--password value`, `--token value`, `-p value`, `-u user:value`.
fn flag(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let hit = &line[start..end];
    if hit == b"-u " {
        if start > 0 && !matches!(line[start - 1], b' ' | b'\n') {
            return None;
        }
        let from = end + usize::from(matches!(line.get(end), Some(b'"' | b'\'')));
        let to = bare_end(line, from);
        let user = &line[from..to];
        let colon = user.iter().position(|byte| *byte == b':')?;
        let value = &user[colon + 1..];
        return (value.len() >= 3 && !is_placeholder(value) && !user.starts_with(b"http"))
            .then_some((from + colon + 1, to, Kind::Password));
    }
    if hit == b" -p" {
        // mysql -pSECRET, sshpass -p SECRET, docker login -p SECRET; but mkdir -p and ports.
        let line_start = line_start(line, start);
        let command = &line[line_start..start];
        let takes = [
            b"mysql".as_slice(),
            b"mariadb",
            b"sshpass",
            b"login",
            b"mongo",
            b"curl",
            b"psql",
            b"7z",
            b"redis",
        ]
        .iter()
        .any(|name| memchr::memmem::find(command, name).is_some());
        if !takes {
            return None;
        }
        let from = end
            + line[end..]
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'=' | b'"' | b'\''))
                .count();
        let to = bare_end(line, from);
        let value = &line[from..to];
        return (value.len() >= 4
            && !is_placeholder(value)
            && !value.starts_with(b"-")
            && !value.iter().all(|byte| is(*byte, DIGIT) || *byte == b':'))
        .then_some((from, to, Kind::Password));
    }
    if start > 0
        && !matches!(
            line[start - 1],
            b' ' | b'\t' | b'\n' | b'"' | b'\'' | b'`' | b'[' | b','
        )
    {
        return None;
    }
    let name_end = run(line, end, ALNUM | JOIN);
    if name_end == end {
        return None;
    }
    let promise = keys::promise(&line[end..name_end])
        .filter(|promise| matches!(promise, Promise::Password | Promise::Secret | Promise::Key))?;
    // `--flag=value` is a pair like any other.
    if !matches!(line.get(name_end), Some(b' ' | b'"' | b'\'')) {
        return None;
    }
    let mut from = name_end;
    while from < line.len() && matches!(line[from], b' ' | b',' | b'"' | b'\'') {
        from += 1;
    }
    let quoted = from > 0 && matches!(line[from - 1], b'"' | b'\'');
    let to = if quoted {
        closing_quote(line, from, line[from - 1], 0).unwrap_or(line.len())
    } else {
        bare_end(line, from)
    };
    let value = &line[from..to.max(from)];
    if value.starts_with(b"-") {
        return None;
    }
    let place = if promise == Promise::Password {
        Place::Line
    } else {
        Place::Inline
    };
    let (a, b, kind) = judge(promise, value, place)?;
    (!keys::is_name(value) || quoted).then_some((from + a, from + b, kind))
}

fn bare_end(line: &[u8], from: usize) -> usize {
    let mut end = from;
    while end < line.len()
        && !matches!(
            line[end],
            b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\r' | b'\\'
        )
    {
        end += 1;
    }
    end
}

/// A date after "born" or "date of birth".
fn birth(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    let limit = (end + 24).min(line.len());
    let mut at = end;
    while at < limit {
        let begins = is(line[at], DIGIT) || is(line[at], UPPER);
        if begins
            && starts_word(line, at)
            && let Some(length) = personal::date_length(&line[at..])
        {
            let after = line.get(at + length).copied().unwrap_or(b' ');
            return (!is(after, ALNUM)).then_some((at, at + length, Kind::BirthDate));
        }
        at += 1;
    }
    None
}

/// A code of three or four digits after its name; more digits need a word between.
fn linked_or(linked: bool, direct: bool, value: &[u8]) -> bool {
    linked || direct || value.len() <= 4
}

/// `define('DB_PASSWORD', 'value')`, `setPassword("value")`.
fn argument(
    line: &[u8],
    word_start: usize,
    word_end: usize,
    promise: Promise,
) -> Option<(usize, usize, Kind)> {
    let mut at;
    if line[word_end] == b'(' {
        let word = &line[word_start..word_end];
        let reads = [
            b"get".as_slice(),
            b"read",
            b"find",
            b"input",
            b"fetch",
            b"load",
            b"ask",
            b"prompt",
            b"is",
            b"has",
            b"validate",
            b"check",
            b"hash",
            b"reset",
        ]
        .iter()
        .any(|verb| word.len() > verb.len() && word[..verb.len()].eq_ignore_ascii_case(verb));
        if reads {
            return None;
        }
        at = word_end + 1;
    } else {
        // The name is the first argument of a call.
        let opened = word_start >= 3
            && line[word_start - 1] == line[word_end]
            && line[word_start - 2] == b'('
            && is(line[word_start - 3], LOWER);
        if !opened {
            return None;
        }
        at = word_end + 2;
    }
    while line.get(at) == Some(&b' ') {
        at += 1;
    }
    let mark = *line.get(at).filter(|byte| matches!(byte, b'"' | b'\''))?;
    let from = at + 1;
    let to = closing_quote(line, from, mark, 0)?;
    let value = &line[from..to];
    if keys::is_name(value) || value.contains(&b' ') {
        return None;
    }
    let (start, end, kind) = judge(promise, value, Place::Enclosed)?;
    Some((from + start, from + end, kind))
}

/// `redis-cli -a value`.
fn redis(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let line_start = line_start(line, start);
    memchr::memmem::find(&line[line_start..start], b"redis-cli")?;
    let to = bare_end(line, end);
    let value = &line[end..to];
    (value.len() >= 4 && !is_placeholder(value) && !value.starts_with(b"-")).then_some((
        end,
        to,
        Kind::Password,
    ))
}

/// `user:value@tcp(host:port)/database`.
fn mysql(line: &[u8], at: usize) -> Option<(usize, usize, Kind)> {
    let mut from = at;
    while from > 0 && !matches!(line[from - 1], b' ' | b'"' | b'\'' | b'`' | b'\n' | b'=') {
        from -= 1;
    }
    let colon = from + memchr::memchr(b':', &line[from..at])?;
    let value = &line[colon + 1..at];
    (!value.is_empty() && !is_placeholder(value)).then_some((colon + 1, at, Kind::UriPassword))
}

/// `name%3Dvalue%26…`.
fn encoded(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let name = run_back(line, start, ALNUM | JOIN);
    // The last two characters of `%26name` are an escape's.
    let escaped = name > 0 && line[name - 1] == b'%';
    let promise = keys::promise(&line[(name + if escaped { 2 } else { 0 }).min(start)..start])?;
    let mut to = end;
    while to < line.len()
        && !matches!(line[to], b' ' | b'&' | b'"' | b'\'' | b'<' | b'>')
        && !line[to..].starts_with(b"%26")
        && !line[to..].starts_with(b"%20")
        && !line[to..].starts_with(b"%22")
    {
        to += 1;
    }
    let (a, b, kind) = judge(promise, &line[end..to], Place::Attribute)?;
    Some((end + a, end + b, kind))
}

/// `name%40example.com`.
fn encoded_email(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let mut from = run_back(line, start, ALNUM | JOIN | DOT);
    if from > 0 && line[from - 1] == b'%' {
        from = (from + 2).min(start);
    }
    let to = run(line, end, ALNUM | JOIN | DOT);
    let dot = line[end..to].iter().rposition(|byte| *byte == b'.')?;
    let top = &line[end + dot + 1..to];
    let real = start > from
        && dot > 0
        && top.len() >= 2
        && top.iter().all(|byte| is(*byte, LOWER | UPPER));
    // A URL's password may have one too; the host after it is not an address.
    let in_authority = line[..from].ends_with(b":") || line[..from].ends_with(b"//");
    (real && !in_authority).then_some((from, to, Kind::Email))
}

/// `Name    REG_SZ    value`.
fn registry(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let line_start = line_start(line, start);
    let promise = keys::promise(line[line_start..start].trim_ascii())?;
    let value = &line[end..];
    let (a, b, kind) = judge(promise, value, Place::Line)?;
    (a > 0).then_some((end + a, end + b, kind))
}
