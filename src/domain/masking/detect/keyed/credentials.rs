//! Credentials in a form of their own: in an address, in cookies, after a scheme, in a file of passwords.

use super::super::{
    Sink,
    keys::{Place, Promise, judge},
    kinds::Kind,
    values::{
        self, ALNUM, BASE64, DIGIT, DOT, EQUALS, JOIN, TILDE, is, is_hex, is_placeholder,
        looks_random, run,
    },
};
use super::value::{MAX_BARE, Value};

/// `scheme://user:password@host`. Says where to go on if that is what it is.
pub(super) fn uri(line: &[u8], start: usize, colon: usize, sink: &mut Sink<'_>) -> Option<usize> {
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

/// Each cookie's value, if it is one that means something to whoever holds it.
pub(super) fn cookies(line: &[u8], name: &[u8], value: Value, sink: &mut Sink<'_>) -> usize {
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
            // No cookie has a space in it: something else follows.
            let over = memchr::memchr(b' ', secret);
            let secret = &secret[..over.unwrap_or(secret.len())];
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
            .any(|word| values::contains_ignore_case(label, word));
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
pub(super) fn authorization(line: &[u8], value: Value, sink: &mut Sink<'_>) -> Option<usize> {
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
pub(super) fn pgpass(line: &[u8], start: usize, colon: usize, sink: &mut Sink<'_>) {
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
