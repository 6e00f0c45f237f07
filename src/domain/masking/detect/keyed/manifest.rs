//! Objects of Kubernetes: what a `Secret` keeps under its keys, whatever they are called.
//!
//! Tools write an object's data before its kind, so all of it is looked at: of what is no secret's, none is base64.

use super::super::{
    Sink,
    keys::{self, Place, Promise, judge},
    kinds::Kind,
    tokens,
    values::{self, is_strong, is_uuid, mix},
};
use super::section::{Entry, entries_of, entry};

/// How an object says that it is of the kind that may be a secret, which is of the first version.
pub(super) enum Version {
    /// In a line of its own.
    Alone,
    /// More of it follows in the same line.
    InLine,
    Other,
}

/// What the value after `apiVersion` says.
pub(super) fn version(value: &[u8]) -> Version {
    let bare = |byte: &&u8| matches!(byte, b'"' | b'\'' | b'\\');
    let quotes = value.iter().take_while(bare).count();
    let Some(rest) = value[quotes..].strip_prefix(b"v1") else {
        return Version::Other;
    };
    let quotes = rest.iter().take_while(bare).count();
    match rest[quotes..].trim_ascii() {
        b"" | b"," => Version::Alone,
        [b',', ..] => Version::InLine,
        _ => Version::Other,
    }
}

/// What a line says of the object it is in.
pub(super) enum Says {
    /// It is a secret.
    Secret,
    /// It is something else.
    OtherKind,
    /// Its data begins.
    Data,
    Nothing,
}

/// What `line` says of its object, where it is one of the object's own names.
pub(super) fn says(line: &[u8]) -> Says {
    let own = line.trim_ascii();
    let own = own.strip_prefix(b"- ").unwrap_or(own);
    let own = own.strip_suffix(b",").unwrap_or(own);
    match own {
        b"kind: Secret" | b"\"kind\": \"Secret\"" => Says::Secret,
        b"data:" | b"stringData:" | b"\"data\": {" | b"\"stringData\": {" => Says::Data,
        _ if own.starts_with(b"kind:") || own.starts_with(b"\"kind\":") => Says::OtherKind,
        _ => Says::Nothing,
    }
}

/// The longest object looked through that stands in one line.
const MAX_OBJECT: usize = 64 << 10;

/// Masks the data of an object in the line in which its version stands.
pub(super) fn in_line(line: &[u8], separator: usize, sink: &mut Sink<'_>) {
    const VERSION: &[u8] = b"apiVersion";
    let near = &line[..line.len().min(separator + MAX_OBJECT)];
    let end = memchr::memmem::find(&near[separator..], VERSION)
        .map_or(near.len(), |next| separator + next);
    // Its kind may come first.
    let begin = separator.saturating_sub(64);
    if memchr::memmem::find(&line[begin..end], b"Secret").is_none() {
        return;
    }
    let object = &line[..end];
    let mut at = separator;
    while let Some(found) = memchr::memmem::find(&object[at..], b"ata") {
        at += found + b"ata".len();
        let named = object[..at].ends_with(b"\"data") || object[..at].ends_with(b"\"stringData");
        let between = |byte: &&u8| matches!(byte, b'"' | b'\\' | b':' | b' ');
        let open = at + object[at..].iter().take_while(between).count();
        if named && object.get(open) == Some(&b'{') {
            entries_of(object, open + 1, |entry| secret(object, entry, 0, sink));
        }
    }
}

/// Masks what a line of an object's data keeps.
pub(super) fn data(line: &[u8], start: usize, sink: &mut Sink<'_>) {
    if let Some(entry) = entry(line, 0) {
        secret(line, entry, start, sink);
    }
}

/// Masks a value of a secret if it could be one; `start` is where the line does.
fn secret(line: &[u8], entry: Entry, start: usize, sink: &mut Sink<'_>) {
    let value = &line[entry.value.clone()];
    let name = &line[entry.name];
    // What everybody may know.
    let open = [b".crt".as_slice(), b".cert", b"ca", b".pem", b".pub"];
    if open.iter().any(|end| name.ends_with(end)) || is_open(name) {
        return;
    }
    let plain = tokens::decode(value).filter(|_| value.len() >= 8);
    let opens = match plain
        .as_deref()
        .map(|plain| (plain, std::str::from_utf8(plain)))
    {
        Some((plain, Ok(_)))
            if plain
                .iter()
                .all(|byte| !byte.is_ascii_control() || *byte == b'\n') =>
        {
            could_open(plain.trim_ascii_end())
        }
        // A key as it is, in bytes.
        Some((plain, _)) => plain.len() >= 16 && values::looks_random(value) && !is_uuid(value),
        None => false,
    };
    if opens || is_strong(value) || judge(Promise::Key, value, Place::Enclosed).is_some() {
        sink.push(
            start + entry.value.start,
            start + entry.value.end,
            Kind::GenericSecret,
        );
    }
}

/// Whether a name says that its value opens nothing.
pub(super) fn is_open(name: &[u8]) -> bool {
    const OPEN: [&[u8]; 27] = [
        b"identifier",
        b"user",
        b"name",
        b"host",
        b"id",
        b"url",
        b"uri",
        b"port",
        b"mail",
        b"type",
        b"version",
        b"image",
        b"tag",
        b"hash",
        b"sha",
        b"sha1",
        b"sha256",
        b"digest",
        b"checksum",
        b"fingerprint",
        b"thumbprint",
        b"etag",
        b"revision",
        b"commit",
        b"date",
        b"time",
        b"path",
    ];
    let name = name.to_ascii_lowercase();
    OPEN.iter().any(|end| name.ends_with(end))
}

/// Whether what a secret keeps could be one: letters and digits that are of no address.
fn could_open(plain: &[u8]) -> bool {
    let mix = mix(plain);
    let address = plain
        .iter()
        .any(|byte| matches!(byte, b'.' | b'/' | b':' | b'@'));
    is_strong(plain)
        || judge(Promise::Key, plain, Place::Enclosed).is_some()
        || plain.len() >= 8
            && mix.digits > 0
            && mix.upper + mix.lower > 0
            && mix.spaces == 0
            && !address
            && !is_uuid(plain)
            && !values::is_placeholder(plain)
            && !keys::is_name(plain)
}
