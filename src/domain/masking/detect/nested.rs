//! Text inside text: base64, percent-encoding. What is found inside hides the whole of the encoding.

use super::{
    Finding, Sets, Sink,
    keys::{Place, Promise, judge},
    kinds::Kind,
    tokens,
    values::{ALNUM, BASE64, EQUALS, JOIN, is_hex, is_uuid, run},
};

/// The shortest value that is decoded.
pub(super) const SHORTEST: usize = 16;
/// The longest.
const LONGEST: usize = 64 << 10;
/// How deep encodings are opened.
const DEPTH: u8 = 3;

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
    match base64(value).or_else(|| percent(value)) {
        Some(decoded) => {
            let Some(kind) = inside(&decoded, promise, sink.sets, sink.depth + 1) else {
                return false;
            };
            sink.push(at, at + value.len(), kind);
            true
        }
        None => false,
    }
}

/// The text a value is the base64 of, if it is.
fn base64(value: &[u8]) -> Option<Vec<u8>> {
    let body = run(value, 0, ALNUM | BASE64 | JOIN);
    if run(value, body, EQUALS) != value.len()
        || value.len() - body > 2
        || body % 4 == 1
        || is_hex(value)
        || is_uuid(value)
    {
        return None;
    }
    // Random bytes fail within the first few characters.
    let probe = &value[..12.min(body) / 4 * 4];
    if !tokens::decodes_to_text(probe) {
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
            let hex = |byte: u8| match byte {
                b'0'..=b'9' => byte - b'0',
                _ => (byte | 0x20) - b'a' + 10,
            };
            out.push(hex(value[at + 1]) << 4 | hex(value[at + 2]));
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
