//! What is shown instead of a value.
//!
//! In free text a mask has as many characters as what it hides, so tables keep their columns, offsets stay true and a
//! secret spread over the pieces of a stream can be masked piece by piece. Its character is one that YAML, shells,
//! URLs and XML take as plain text. Cells of a rule's column have no such neighbours and do not show their length.

use std::fmt::Write as _;

use aws_lc_rs::hmac;

use super::{Cell, Masking, pseudonym::Raw, rules::How};

/// Stands for one hidden character in text.
pub(super) const HIDDEN: char = '_';
/// Stands for one hidden digit where only a number may stand.
pub(super) const HIDDEN_DIGIT: char = '1';
/// Stands for a hidden cell.
const HIDDEN_CELL: &str = "\"********\"";
/// The longest part of a cell that `keep_last` draws stars for.
const MAX_STARS: usize = 64;

/// Appends what stands for a masked cell, as JSON.
///
/// `domain` is the pseudonyms' own.
pub(super) fn cell(masking: &Masking, how: How, domain: &str, cell: Cell<'_>, json: &mut Vec<u8>) {
    let (text, structured) = match cell {
        Cell::Null => return json.extend_from_slice(b"null"),
        Cell::Bool(value) => (if value { "true" } else { "false" }, true),
        Cell::Number(text) | Cell::Text(text) => (text, false),
        Cell::Json(text) => (text, true),
    };
    match how {
        How::Null => json.extend_from_slice(b"null"),
        How::Redact => json.extend_from_slice(HIDDEN_CELL.as_bytes()),
        // The end of a document or of `true` is not the end of a value.
        How::KeepLast(_) | How::Pseudonym if structured => {
            json.extend_from_slice(HIDDEN_CELL.as_bytes());
        }
        How::KeepLast(shown) => json_string(&keep_last(text, shown, MAX_STARS), json),
        How::Hash => json_string(&hash(&masking.key, text), json),
        How::Pseudonym => {
            let raw = match cell {
                Cell::Number(digits) => Raw::Number(digits.to_owned()),
                _ => Raw::Text(text.to_owned()),
            };
            match masking.pseudonyms.of(domain, &raw) {
                Some(pseudonym) => json_string(&pseudonym, json),
                None => json.extend_from_slice(HIDDEN_CELL.as_bytes()),
            }
        }
    }
}

/// What stands for a match of a policy's own pattern in text.
pub(super) fn text(masking: &Masking, how: How, domain: &str, value: &str) -> String {
    match how {
        How::Redact | How::Null => value.chars().map(|_| HIDDEN).collect(),
        How::KeepLast(shown) => keep_last(value, shown, usize::MAX),
        How::Hash => hash(&masking.key, value),
        How::Pseudonym => {
            let pseudonym = masking.pseudonyms.of(domain, &Raw::Text(value.to_owned()));
            pseudonym.unwrap_or_else(|| text(masking, How::Redact, domain, value))
        }
    }
}

/// At most `stars` stars, then the last `shown` characters; nothing but stars where that would be the whole value.
fn keep_last(value: &str, shown: u32, stars: usize) -> String {
    let length = value.chars().count();
    let shown = usize::try_from(shown).unwrap_or(usize::MAX);
    let shown = if length <= shown { 0 } else { shown };
    let mut out = "*".repeat((length - shown).min(stars));
    out.extend(value.chars().skip(length - shown));
    out
}

/// 128 bits of a keyed hash, in hexadecimal.
fn hash(key: &[u8; 32], value: &str) -> String {
    let mut out = String::with_capacity(32);
    for byte in &derive(key, b"portcullis-mask-hash-v1", value.as_bytes())[..16] {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

pub(super) fn derive(key: &[u8; 32], purpose: &[u8], value: &[u8]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(purpose);
    context.update(&[0]);
    context.update(value);
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// Appends `text` as a JSON string.
pub(super) fn json_string(text: &str, json: &mut Vec<u8>) {
    json.push(b'"');
    json_text(text, json);
    json.push(b'"');
}

/// Appends `text` as the inside of a JSON string.
pub(super) fn json_text(text: &str, json: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.extend_from_slice(&bytes[from..index]);
        from = index + 1;
        match byte {
            b'"' => json.extend_from_slice(b"\\\""),
            b'\\' => json.extend_from_slice(b"\\\\"),
            b'\n' => json.extend_from_slice(b"\\n"),
            b'\r' => json.extend_from_slice(b"\\r"),
            b'\t' => json.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                json.extend_from_slice(b"\\u00");
                json.push(HEX[usize::from(byte >> 4)]);
                json.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    json.extend_from_slice(&bytes[from..]);
}

/// Appends a mask of as many characters as `hidden` has.
pub(super) fn hide(hidden: &[u8], with: char, out: &mut Vec<u8>) {
    let continued = if hidden.is_ascii() {
        0
    } else {
        hidden.iter().filter(|byte| **byte & 0xc0 == 0x80).count()
    };
    out.resize(out.len() + hidden.len() - continued, with as u8);
}

/// Whether a place is the whole of a JSON number: digits between a separator and a separator.
pub(super) fn is_json_number(text: &[u8], place: &std::ops::Range<usize>) -> bool {
    if !text[place.clone()].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r');
    let mut before = text[..place.start].iter().rev().skip_while(blank);
    let mut after = text[place.end..].iter().skip_while(blank);
    let opened = match before.next() {
        Some(b':') => matches!(before.find(|byte| !blank(byte)), Some(b'"')),
        Some(b'[' | b',' | b'-' | b'.' | b'\n') | None => true,
        _ => false,
    };
    opened
        && matches!(
            after.next(),
            Some(b',' | b']' | b'}' | b'.' | b'e' | b'E' | b'\n') | None
        )
}
