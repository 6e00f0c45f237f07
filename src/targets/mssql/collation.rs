//! Which bytes are which letters in a `varchar`: the code page of a collation ([MS-TDS] 2.2.5.1.2, [MS-LCID]).
//!
//! INVARIANT: a code page that is not known is an error, never a guess: a wrong letter could be what a detector looks
//! for.

use std::borrow::Cow;

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GBK, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1250, WINDOWS_1251,
    WINDOWS_1252, WINDOWS_1253, WINDOWS_1254, WINDOWS_1255, WINDOWS_1256, WINDOWS_1257,
    WINDOWS_1258,
};

/// A collation as a type's description carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Collation {
    /// Bits 0 to 19: locale; 20 to 27: flags, of which 26 says UTF-8; 28 to 31: version.
    info: u32,
    /// The order of a `SQL_…` collation, or 0.
    sort: u8,
}

impl Collation {
    /// What the gateway's own parameters are sent with: they are UTF-16, which no collation changes.
    pub(super) const OURS: [u8; 5] = [0x09, 0x04, 0xd0, 0x00, 0x34];

    pub(super) fn new([a, b, c, d, sort]: [u8; 5]) -> Self {
        Self {
            info: u32::from_le_bytes([a, b, c, d]),
            sort,
        }
    }

    /// The text that `bytes` are, or nothing.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        if bytes.is_ascii() {
            return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
        }
        self.encoding()?
            .decode_without_bom_handling_and_without_replacement(bytes)
    }

    fn encoding(self) -> Option<&'static Encoding> {
        const IS_UTF8: u32 = 1 << 26;
        if self.info & IS_UTF8 != 0 {
            return Some(UTF_8);
        }
        if self.sort != 0 {
            by_sort_order(self.sort)
        } else {
            by_locale(self.info & 0xffff)
        }
    }
}

/// `SQL_…` collations. Those of the code pages 437 and 850 are not known here.
fn by_sort_order(sort: u8) -> Option<&'static Encoding> {
    Some(match sort {
        50..=54 | 71..=75 | 183..=186 | 210..=217 => WINDOWS_1252,
        80..=98 => WINDOWS_1250,
        104..=108 => WINDOWS_1251,
        112..=114 | 120..=122 | 124 => WINDOWS_1253,
        128..=130 => WINDOWS_1254,
        136..=138 => WINDOWS_1255,
        144..=146 => WINDOWS_1256,
        152..=160 => WINDOWS_1257,
        192 | 193 | 200 => SHIFT_JIS,
        194 | 195 | 201 => EUC_KR,
        196 | 197 | 202 => BIG5,
        198 | 199 | 203 => GBK,
        204..=206 => WINDOWS_874,
        _ => return None,
    })
}

/// Windows collations, by the primary language of their locale where that decides.
fn by_locale(locale: u32) -> Option<&'static Encoding> {
    match locale {
        0x0404 | 0x0c04 | 0x1404 => return Some(BIG5),
        0x0804 | 0x1004 => return Some(GBK),
        // Serbian, Bosnian, Azeri and Uzbek are written in two alphabets.
        0x0c1a | 0x1c1a | 0x201a | 0x082c | 0x0843 => return Some(WINDOWS_1251),
        0x042c | 0x0443 => return Some(WINDOWS_1254),
        _ => {}
    }
    Some(match locale & 0x03ff {
        0x01 | 0x20 | 0x29 | 0x80 | 0x8c => WINDOWS_1256,
        0x02 | 0x19 | 0x22 | 0x23 | 0x28 | 0x2f | 0x3f | 0x40 | 0x44 | 0x50 | 0x6d | 0x85 => {
            WINDOWS_1251
        }
        0x05 | 0x0e | 0x15 | 0x18 | 0x1a | 0x1b | 0x1c | 0x24 | 0x42 => WINDOWS_1250,
        0x08 => WINDOWS_1253,
        0x0d => WINDOWS_1255,
        0x11 => SHIFT_JIS,
        0x12 => EUC_KR,
        0x1e => WINDOWS_874,
        0x1f => WINDOWS_1254,
        0x25..=0x27 => WINDOWS_1257,
        0x2a => WINDOWS_1258,
        // Western European: Catalan, Danish, German, English, Spanish, Finnish, French, Icelandic, Italian, Dutch,
        // Norwegian, Portuguese, Romansh, Swedish, Indonesian, Basque, Afrikaans, Faroese, Irish, Malay, Swahili,
        // Galician, Welsh, Frisian, Filipino, Luxembourgish, Greenlandic, Mapudungun, Mohawk, Breton, Sami, Corsican,
        // Alsatian.
        0x03 | 0x06 | 0x07 | 0x09 | 0x0a | 0x0b | 0x0c | 0x0f | 0x10 | 0x13 | 0x14 | 0x16
        | 0x17 | 0x1d | 0x21 | 0x2d | 0x36 | 0x38 | 0x3b | 0x3c | 0x3e | 0x41 | 0x52 | 0x56
        | 0x62 | 0x64 | 0x6e | 0x6f | 0x7a | 0x7c | 0x7e | 0x83 | 0x84 => WINDOWS_1252,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(locale: u32, flags: u32, sort: u8, bytes: &[u8]) -> Option<String> {
        let [a, b, c, d] = (locale | flags << 20).to_le_bytes();
        Collation::new([a, b, c, d, sort])
            .decode(bytes)
            .map(Cow::into_owned)
    }

    #[test]
    fn text_is_read_in_the_code_page_of_its_collation() {
        for (locale, flags, sort, bytes, text) in [
            (0x0409, 0x0d, 52, &b"caf\xe9 \x80"[..], "café €"),
            (0x0407, 0, 0, b"\xfc", "ü"),
            (0x0419, 0, 0, b"\xef\xf0\xe8", "при"),
            (0x0415, 0, 0, b"\xb9", "ą"),
            (0x0408, 0, 0, b"\xe1", "α"),
            (0x0411, 0, 0, b"\x93\xfa\x96\x7b", "日本"),
            (0x0804, 0, 0, b"\xd6\xd0", "中"),
            (0x0c1a, 0, 0, b"\xe6", "ж"),
            (0x081a, 0, 0, b"\xe6", "ć"),
            (0x0409, 0x40, 0, "日本 é".as_bytes(), "日本 é"),
            (0x0439, 0, 0, b"plain", "plain"),
        ] {
            assert_eq!(decoded(locale, flags, sort, bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error_and_never_a_guess() {
        for (locale, flags, sort, bytes) in [
            (0x0409, 0, 30, &b"\x82"[..]),
            (0x0409, 0, 40, b"\x82"),
            (0x0439, 0, 0, b"\xe9"),
            (0x0409, 0x40, 0, b"caf\xe9"),
            (0x0411, 0, 0, b"\x93"),
        ] {
            assert_eq!(decoded(locale, flags, sort, bytes), None);
        }
    }
}
