//! Text inside text: base64, hexadecimal, percent-encoding. What is found inside hides the whole of the encoding.

use super::{
    Finding, Sets, Sink,
    keys::{Place, Promise, judge},
    kinds::Kind,
    tokens,
    values::{ALNUM, BASE64, EQUALS, JOIN, is_hex, is_uuid, run, run_within},
};

/// The shortest value that is decoded.
pub(super) const SHORTEST: usize = 16;
/// The longest.
const LONGEST: usize = 64 << 10;
/// How deep encodings are opened.
const DEPTH: u8 = 3;

/// Whether the part of a token that begins at `from`, which has at least the shortest's characters, may be an encoding of
/// text: random characters hardly ever begin as one. `digits`: which of its characters are.
#[inline]
pub(super) fn may_begin(text: &[u8], from: usize, digits: u64) -> bool {
    let Some(probe) = text[from..].first_chunk::<8>() else {
        return false;
    };
    // The first digit of each byte is one of ten, where it is of text; before them `x`, `0x` or nothing.
    const FIRSTS: u64 = 0b101_0101_0101;
    let begins = |from: u32| digits >> from & FIRSTS == FIRSTS;
    tokens::may_decode_to_text(*probe) | begins(0) | begins(1) | begins(2)
}

/// Looks into such a part.
#[inline(never)]
pub(super) fn part(text: &[u8], from: usize, sink: &mut Sink<'_>) {
    // What is neither is hardly ever like either for so long.
    let begins = &text[from..][..SHORTEST];
    if !tokens::decodes_to_text(&begins[..SHORTEST - 4]) && !begins_hex(hex_digits(begins)) {
        return;
    }
    let end = run(text, from, ALNUM | BASE64 | JOIN);
    let end = run_within(text, end, EQUALS, 2);
    value(&text[from..end], None, from, sink);
}

/// Looks into a value that may be an encoding of text. Says whether it was masked.
pub(super) fn value(
    value: &[u8],
    promise: Option<Promise>,
    at: usize,
    sink: &mut Sink<'_>,
) -> bool {
    if sink.depth >= DEPTH || value.len() < SHORTEST || value.len() > LONGEST {
        return false;
    }
    let decoded = base64(value)
        .or_else(|| hex(value))
        .or_else(|| percent(value));
    let Some(decoded) = decoded else {
        return false;
    };
    let Some(kind) = inside(&decoded, promise, sink.sets, sink.depth + 1) else {
        return false;
    };
    sink.push(at, at + value.len(), kind);
    true
}

/// The text a value is the base64 of, if it is.
fn base64(value: &[u8]) -> Option<Vec<u8>> {
    // Its last part may be shorter than four characters, or padded.
    let probe = &value[..24.min(value.len() - 4) / 4 * 4];
    if !tokens::decodes_to_text(probe) {
        return None;
    }
    let body = run(value, 0, ALNUM | BASE64 | JOIN);
    if run(value, body, EQUALS) != value.len() || value.len() - body > 2 || body % 4 == 1 {
        return None;
    }
    if is_hex(value) || is_uuid(value) {
        return None;
    }
    let decoded = tokens::decode(value)?;
    (is_text(&decoded) && std::str::from_utf8(&decoded).is_ok()).then_some(decoded)
}

pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..=0xf4))
}

/// The text a value is the hexadecimal of, as databases write bytes, if it is.
fn hex(value: &[u8]) -> Option<Vec<u8>> {
    let digits = hex_digits(value);
    if !digits.len().is_multiple_of(2) || !begins_hex(digits) || !is_hex(digits) {
        return None;
    }
    let decoded: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| hex_digit(pair[0]) << 4 | hex_digit(pair[1]))
        .collect();
    (is_text(&decoded) && std::str::from_utf8(&decoded).is_ok()).then_some(decoded)
}

/// A value without what databases put before hexadecimal; a backslash is of no token.
fn hex_digits(value: &[u8]) -> &[u8] {
    [b"\\x".as_slice(), b"0x", b"x"]
        .iter()
        .find_map(|prefix| value.strip_prefix(*prefix))
        .unwrap_or(value)
}

/// Whether a value begins as the hexadecimal of text.
fn begins_hex(value: &[u8]) -> bool {
    // Letters and signs, or white space.
    matches!(value.first(), Some(b'0' | b'2'..=b'7'))
        && value
            .chunks_exact(2)
            .take(8)
            .all(|pair| is_hex(pair) && is_text(&[hex_digit(pair[0]) << 4 | hex_digit(pair[1])]))
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20).wrapping_sub(b'a') + 10,
    }
}

/// A percent-encoded value, if it is one that hides structure.
fn percent(value: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'%', value)?;
    // A query or a sentence with some escapes in it is read as it stands.
    if value
        .iter()
        .any(|byte| matches!(byte, b' ' | b'&' | b'=' | b'?' | b'"' | b'/' | b':'))
    {
        return None;
    }
    let escapes = value
        .windows(3)
        .filter(|three| three[0] == b'%' && is_hex(&three[1..]))
        .count();
    if escapes < 2
        || !value
            .windows(3)
            .any(|three| matches!(three, b"%3D" | b"%3d" | b"%3A" | b"%3a" | b"%22" | b"%40"))
    {
        return None;
    }
    let mut out = Vec::with_capacity(value.len());
    let mut at = 0;
    while at < value.len() {
        if value[at] == b'%' && at + 2 < value.len() && is_hex(&value[at + 1..at + 3]) {
            out.push(hex_digit(value[at + 1]) << 4 | hex_digit(value[at + 2]));
            at += 3;
        } else {
            out.push(value[at]);
            at += 1;
        }
    }
    is_text(&out).then_some(out)
}

/// What is in decoded text, if anything.
fn inside(decoded: &[u8], promise: Option<Promise>, sets: Sets, depth: u8) -> Option<Kind> {
    if let Some(promise) = promise
        && let Some((_, _, kind)) = judge(promise, decoded, Place::Enclosed)
    {
        return Some(kind);
    }
    let mut found: Vec<Finding> = Vec::new();
    super::scan_at_depth(decoded, sets, depth, &mut found);
    found.first().and_then(|finding| finding.kind())
}
