//! Text that looks like other text: invisible characters, full-width forms, letters of other scripts.
//!
//! Detectors read the folded text, masks go over the text as it is. Folding looks at one character at a time, so it does not
//! matter how a stream was cut.

/// What a character is read as.
enum Folded {
    Itself,
    Nothing,
    Ascii(u8),
}

/// Whether a text has a character that would be read as another. Names and words with accents have none.
pub(super) fn needed(text: &[u8]) -> bool {
    // Every such character starts with one of these.
    let lead = |byte: &u8| matches!(byte, 0 | 0xc2 | 0xcd..=0xd1 | 0xd9 | 0xdb | 0xe1..=0xe3 | 0xef | 0xf0);
    text.iter().any(lead) && characters(text).any(|(_, _, c)| !matches!(fold(c), Folded::Itself))
}

/// The folded text, and for each of its bytes where it stands in the original; the last entry is the original's end.
pub(super) fn text(line: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let mut text = Vec::with_capacity(line.len());
    let mut places = Vec::with_capacity(line.len() + 1);
    for (at, length, c) in characters(line) {
        match fold(c) {
            Folded::Nothing => {}
            Folded::Ascii(byte) => {
                text.push(byte);
                places.push(at);
            }
            Folded::Itself => {
                for offset in 0..length {
                    text.push(line[at + offset]);
                    places.push(at + offset);
                }
            }
        }
    }
    places.push(line.len());
    (text, places)
}

/// Characters with their places and lengths; a byte that belongs to none stands for itself.
fn characters(line: &[u8]) -> impl Iterator<Item = (usize, usize, char)> {
    line.utf8_chunks()
        .scan(0, |at, chunk| {
            let start = *at;
            let valid = chunk.valid();
            *at += valid.len() + chunk.invalid().len();
            let invalid = start + valid.len();
            let broken = (0..chunk.invalid().len())
                .map(move |offset| (invalid + offset, 1, char::REPLACEMENT_CHARACTER));
            Some(
                valid
                    .char_indices()
                    .map(move |(offset, c)| (start + offset, c.len_utf8(), c))
                    .chain(broken),
            )
        })
        .flatten()
}

fn fold(c: char) -> Folded {
    // Every second byte of UTF-16.
    if c == '\0' {
        return Folded::Nothing;
    }
    if c.is_ascii() {
        return Folded::Itself;
    }
    let code = c as u32;
    let ascii = |byte: u32| u8::try_from(byte).map_or(Folded::Itself, Folded::Ascii);
    match code {
        // Soft hyphen, joiners, zero-width spaces, directional marks, byte order mark, variation selectors.
        0xad
        | 0x34f
        | 0x180e
        | 0x200b..=0x200f
        | 0x202a..=0x202e
        | 0x2060..=0x2064
        | 0x2066..=0x2069
        | 0xfe00..=0xfe0f
        | 0xfeff => Folded::Nothing,
        // Spaces.
        0xa0 | 0x2000..=0x200a | 0x202f | 0x205f | 0x3000 => Folded::Ascii(b' '),
        // Dashes, quotes, dots.
        0x2010..=0x2015 | 0x2212 | 0xfe63 => Folded::Ascii(b'-'),
        0x2018 | 0x2019 | 0x201b => Folded::Ascii(b'\''),
        0x201c | 0x201d => Folded::Ascii(b'"'),
        0x2024 => Folded::Ascii(b'.'),
        0xfe6b => Folded::Ascii(b'@'),
        // Full-width forms.
        0xff01..=0xff5e => ascii(code - 0xff01 + 0x21),
        // Digits of other scripts.
        0x660..=0x669 => ascii(code - 0x660 + 0x30),
        0x6f0..=0x6f9 => ascii(code - 0x6f0 + 0x30),
        0x966..=0x96f => ascii(code - 0x966 + 0x30),
        // Mathematical letters and digits: alphabets of 52, then digits.
        0x1d400..=0x1d6a3 => {
            let letter = (code - 0x1d400) % 52;
            ascii(if letter < 26 {
                0x41 + letter
            } else {
                0x61 + letter - 26
            })
        }
        0x1d7ce..=0x1d7ff => ascii((code - 0x1d7ce) % 10 + 0x30),
        _ => lookalike(c).map_or(Folded::Itself, Folded::Ascii),
    }
}

/// Cyrillic and Greek letters that look like Latin ones.
fn lookalike(c: char) -> Option<u8> {
    const PAIRS: &[(&str, &str)] = &[
        ("АВЕЅІЈКМНОРСТУХЗ", "ABESIJKMHOPCTYX3"),
        ("аеѕіјорсухԁһԛԝ", "aesijopcyxdhqw"),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
        ("ονρϲ", "ovpc"),
    ];
    PAIRS.iter().find_map(|(others, latin)| {
        let place = others.chars().position(|other| other == c)?;
        latin.as_bytes().get(place).copied()
    })
}
