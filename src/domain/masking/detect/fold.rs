//! Text that looks like other text: invisible characters, full-width forms, letters of other scripts.
//!
//! Detectors read the folded text, masks go over the text as it is. Folding looks at one character at a time, so it does not
//! matter how a stream was cut.

use wide::u8x16;

use super::bits::{BLOCK, LANES};

/// What a character is read as.
enum Folded {
    Itself,
    Nothing,
    Ascii(u8),
}

/// A text as detectors read it.
pub(super) struct FoldedText {
    pub(super) text: Vec<u8>,
    /// From which place in it on, up to the next, which place of the original is meant.
    places: Vec<(usize, usize)>,
}

impl FoldedText {
    /// Where in the original the byte at `place` stands; the end's is the original's end.
    pub(super) fn original(&self, place: usize) -> usize {
        let after = self.places.partition_point(|(folded, _)| *folded <= place);
        after.checked_sub(1).map_or(place, |index| {
            let (folded, original) = self.places[index];
            original + (place - folded)
        })
    }
}

/// The folded text; `None`: it is the text as it is. Names and words with accents have nothing to fold.
pub(super) fn text(line: &[u8]) -> Option<FoldedText> {
    let mut folded: Option<FoldedText> = None;
    // Up to here it is copied.
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = next_special(line, at) {
        let (length, c) = character(&line[found..]);
        at = found + length;
        let (byte, count) = match fold(c) {
            Folded::Itself => continue,
            Folded::Nothing => (0, 0),
            Folded::Ascii(byte) => (byte, 1),
        };
        let own = folded.get_or_insert_with(|| FoldedText {
            text: Vec::with_capacity(line.len()),
            places: Vec::new(),
        });
        own.text.extend_from_slice(&line[copied..found]);
        own.text.extend(std::iter::repeat_n(byte, count));
        copied = at;
        if own
            .places
            .last()
            .is_some_and(|(place, _)| *place == own.text.len())
        {
            own.places.pop();
        }
        own.places.push((own.text.len(), copied));
    }
    if let Some(own) = &mut folded {
        own.text.extend_from_slice(&line[copied..]);
    }
    folded
}

/// The next byte, from `from` on, that could begin a character to fold: zero, or none of ASCII.
fn next_special(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    let special = |lanes: &[u8; LANES]| {
        let bytes = u8x16::from(*lanes);
        bytes | bytes.simd_eq(u8x16::ZERO)
    };
    // Most of a text is ASCII: one question for a whole block.
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        let (lanes, _) = block.as_chunks();
        let any = lanes
            .iter()
            .map(special)
            .fold(u8x16::ZERO, |any, lane| any | lane);
        if any.to_bitmask() != 0 {
            break;
        }
        at += BLOCK;
    }
    while let Some(lanes) = text.get(at..).and_then(<[u8]>::first_chunk::<LANES>) {
        let found = special(lanes).to_bitmask();
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += LANES;
    }
    text[at.min(text.len())..]
        .iter()
        .position(|byte| *byte == 0 || *byte >= 0x80)
        .map(|found| at + found)
}

/// The first character and its length; a byte that belongs to none stands for itself.
fn character(text: &[u8]) -> (usize, char) {
    let first = &text[..text.len().min(4)];
    first
        .utf8_chunks()
        .next()
        .and_then(|chunk| chunk.valid().chars().next())
        .map_or((1, char::REPLACEMENT_CHARACTER), |c| (c.len_utf8(), c))
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
        // The sides, rulers and corners of boxes around tables.
        0x2502 | 0x2503 | 0x2506 | 0x250a | 0x2551 => Folded::Ascii(b'|'),
        0x2500 | 0x2501 | 0x2504 | 0x2508 | 0x2550 => Folded::Ascii(b'-'),
        0x250c..=0x254b | 0x2552..=0x256c => Folded::Ascii(b'+'),
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
        0x370..=0x52f => lookalike(c).map_or(Folded::Itself, Folded::Ascii),
        _ => Folded::Itself,
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
