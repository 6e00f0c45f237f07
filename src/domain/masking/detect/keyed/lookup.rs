//! A default beside a lookup: `env('NAME', 'value')`, `process.env.NAME || "value"`, `${NAME:-value}`.

use super::super::keys;
use super::super::values::{self, ALNUM, DIGIT, DOT, JOIN, LOWER, UPPER, is, mix, run};
use super::closing_quote;

/// The longest expression looked through.
const MAX_LOOKUP: usize = 192;

/// What looks something up where it may be missing.
const LOOKUPS: [&[u8]; 6] = [
    b"env",
    b".get(",
    b"fetch(",
    b"config(",
    b"ordefault(",
    b"setting(",
];

/// What comes before a default that is no further argument.
const DEFAULTS: [&[u8]; 13] = [
    b"{{",
    b"||",
    b"??",
    b"?:",
    b" or",
    b"default(",
    b"default=",
    b"unwrap_or(",
    b"unwrap_or_else(||",
    b"unwrap_or_else(|_|",
    b"orElse(",
    b"or_else(||",
    b"or_else(|_|",
];

/// The literal that stands for a value where looking it up finds none; the expression begins at `at`.
pub(super) fn fallback(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let near = &line[..line.len().min(at + MAX_LOOKUP)];
    memchr::memchr3(b'"', b'\'', b'}', &near[at..])?;
    if let Some(name) = near[at..].strip_prefix(b"${") {
        return reference(name).map(|(from, to)| (at + 2 + from, at + 2 + to));
    }
    // The last further argument of a call.
    let mut last = None;
    let mut depth = 0_usize;
    let mut place = at;
    while let Some(&byte) = near.get(place) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            // The next of a list, or of an object.
            b')' | b']' | b'}' | b',' | b';' if depth == 0 => break,
            b')' | b']' | b'}' => depth -= 1,
            b'"' | b'\'' | b'`' => {
                let from = place + 1;
                let Some(end) = closing_quote(near, from, byte, 0) else {
                    break;
                };
                let before = near[at..place].trim_ascii_end();
                let argument = || {
                    let looks = |name: &&[u8]| values::contains_ignore_case(before, name);
                    matches!(before.last(), Some(b',' | b'{')) && LOOKUPS.iter().any(looks)
                };
                let value = &near[from..end];
                if value.contains(&b' ') {
                    return last;
                }
                if DEFAULTS.iter().any(|word| before.ends_with(word)) {
                    return Some((from, end));
                }
                // The name of what is looked up.
                let named = keys::is_name(value) || keys::promise(value).is_some();
                if !named && argument() {
                    last = Some((from, end));
                }
                place = end;
            }
            _ => {}
        }
        place += 1;
    }
    last
}

/// The default in what follows `${`: `NAME:-value}`, `NAME:value}`, `NAME-value}`.
fn reference(name: &[u8]) -> Option<(usize, usize)> {
    let end = memchr::memchr(b'}', name)?;
    let of_name = |byte: &&u8| is(**byte, ALNUM | DOT) || **byte == b'_';
    let sign = name.iter().take_while(of_name).count();
    let from = match name.get(sign..end)? {
        [b':', b'-' | b'=', ..] => sign + 2,
        [b':' | b'-', ..] => sign + 1,
        _ => return None,
    };
    let value = name.get(from..end).filter(|_| sign > 0)?;
    let constant = |byte: &u8| is(*byte, UPPER | DIGIT) || *byte == b'_';
    let constant = name[..sign].iter().all(constant);
    // ${ssm:name}, ${env:NAME} say where it is; ${VALUE:?message} what is wrong.
    let property = constant || name[..sign].iter().any(|byte| !is(*byte, LOWER | DIGIT));
    let mix = mix(value);
    let told = constant || property && mix.digits > 0 && mix.upper + mix.lower > 0;
    let other = matches!(value.first(), Some(b'?' | b'+' | b'/' | b'$' | b'~'))
        || value.contains(&b'/')
        || run(value, 0, UPPER | DIGIT | JOIN) == value.len() && mix.upper > 0 && !constant;
    (told && !other && !values::is_placeholder(value)).then_some((from, end))
}
