//! What is shown instead of a value.
//!
//! In free text a mask has as many characters as what it hides, so tables keep their columns, offsets stay true and a
//! secret spread over the pieces of a stream can be masked piece by piece. Its character is one that YAML, shells,
//! URLs and XML take as plain text. Cells of a rule's column have no such neighbours and do not show their length.

use std::fmt::Write as _;

use aws_lc_rs::hmac;

use super::{Cell, Masking, rules::How};

/// Stands for one hidden character in text.
pub(super) const HIDDEN: char = '_';
/// Stands for one hidden digit where only a number may stand.
pub(super) const HIDDEN_DIGIT: char = '1';
/// Stands for a hidden cell.
const HIDDEN_CELL: &str = "\"********\"";
/// The longest part of a value that `keep_last` draws stars for.
const MAX_STARS: usize = 64;

/// Appends what stands for a masked cell, as JSON.
pub(super) fn cell(masking: &Masking, how: How, cell: Cell<'_>, json: &mut Vec<u8>) {
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
        How::KeepLast(shown) => json_string(&keep_last(text, shown), json),
        How::Hash => json_string(&hash(&masking.key, text), json),
        How::Pseudonym => {
            let invented = pseudonym(&masking.key, text);
            match cell {
                // An exponent's letter became another one.
                Cell::Number(text) if text.bytes().all(|byte| !byte.is_ascii_alphabetic()) => {
                    json.extend_from_slice(invented.as_bytes());
                }
                _ => json_string(&invented, json),
            }
        }
    }
}

/// What stands for a match of a policy's own pattern in text.
pub(super) fn text(masking: &Masking, how: How, value: &str) -> String {
    match how {
        How::Redact | How::Null => value.chars().map(|_| HIDDEN).collect(),
        How::KeepLast(shown) => keep_last(value, shown),
        How::Hash => hash(&masking.key, value),
        How::Pseudonym => pseudonym(&masking.key, value),
    }
}

/// Stars, then the last `shown` characters; nothing but stars where that would be the whole value.
fn keep_last(value: &str, shown: u32) -> String {
    let length = value.chars().count();
    let shown = usize::try_from(shown).unwrap_or(usize::MAX);
    let shown = if length <= shown { 0 } else { shown };
    let mut out = "*".repeat((length - shown).min(MAX_STARS));
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

fn derive(key: &[u8; 32], purpose: &[u8], value: &[u8]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(purpose);
    context.update(&[0]);
    context.update(value);
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// An invented value of the same kind. Letters become letters, digits digits, everything else stays where it is; an
/// e-mail address stays one, at a domain nobody can own.
fn pseudonym(key: &[u8; 32], value: &str) -> String {
    let mut bytes = Keystream::new(key, value);
    if let Some((local, domain)) = value.split_once('@')
        && !local.is_empty()
        && domain.contains('.')
    {
        let name: String = (0..10)
            .map(|_| char::from(b'a' + bytes.below(26)))
            .collect();
        return format!("{name}@example.invalid");
    }
    let mut out = String::with_capacity(value.len());
    let mut first_digit = true;
    for c in value.chars() {
        out.push(match c {
            '0'..='9' if first_digit => {
                first_digit = false;
                char::from(b'1' + bytes.below(9))
            }
            '0'..='9' => char::from(b'0' + bytes.below(10)),
            c if c.is_uppercase() => char::from(b'A' + bytes.below(26)),
            c if c.is_alphabetic() => char::from(b'a' + bytes.below(26)),
            c => c,
        });
    }
    out
}

/// Bytes that follow from a key and a value, as many as are asked for.
struct Keystream<'a> {
    key: &'a [u8; 32],
    block: [u8; 32],
    used: usize,
}

impl<'a> Keystream<'a> {
    fn new(key: &'a [u8; 32], value: &str) -> Self {
        Self {
            key,
            block: derive(key, b"portcullis-mask-pseudonym-v1", value.as_bytes()),
            used: 0,
        }
    }

    fn below(&mut self, bound: u8) -> u8 {
        if self.used == self.block.len() {
            self.block = derive(self.key, b"portcullis-mask-pseudonym-next-v1", &self.block);
            self.used = 0;
        }
        let byte = self.block[self.used];
        self.used += 1;
        byte % bound
    }
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
    let continued = hidden.iter().filter(|byte| **byte & 0xc0 == 0x80).count();
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
