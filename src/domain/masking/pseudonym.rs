//! Pseudonyms: what a masked value is shown as, so that whoever sees it can still compare, join and count, and can send
//! it back.
//!
//! A pseudonym is its value, encrypted; so there is no table to keep, and the gate can turn it back
//! ([`Masking::reveal`](super::Masking::reveal)). What it looks like follows from what it stands for:
//!
//! | value | pseudonym |
//! |---|---|
//! | NULL | NULL |
//! | an e-mail address | an address at a domain nobody can own: `k3jx…@pseudonym.invalid` |
//! | `+` or `(`, then 7 to 15 digits with blanks, `-`, `.`, `/` and brackets | `+999` (a code no country has) and digits |
//! | any other text, a UUID, a date | `pseudonym` followed by letters and digits |
//! | a number | the same, as a string: no number a JSON client keeps exactly has room for a proof |
//! | a boolean, JSON | a mask that says nothing: there is little to tell apart, or too much |
//! | text of more than [`LONGEST`] bytes | `pseudonym` and 26 letters and digits: equal for equal values, but not to be turned back |
//!
//! Letters count the same in either case, as databases and people fold them. A value's length shows only in steps of
//! [`BLOCK`] bytes.
//!
//! # Why one nonce for everything is sound here
//!
//! The cipher is AES-256-GCM-SIV (RFC 8452), which is made for nonces that repeat: under a repeated nonce it tells whether two
//! messages of the same associated data are equal and nothing else, and that is what a pseudonym is for. Under one nonce
//! its bounds are those of a 128-bit birthday: 2^40 values of a kilobyte are told from random with a chance below 2^-35. The tag
//! of 128 bits is kept whole, so one guess in 2^128 is taken for a pseudonym: at a thousand guesses a second for a hundred
//! years (2^42 of them), the chance of a single forgery is 2^-86.
//!
//! The associated data is the domain: the name policy gives it (`domain`), or else the name of the column. Columns of one
//! domain show equal values as equal pseudonyms, which is what makes `orders.email = customers.email` join; a pseudonym
//! of one domain is none in another.

use std::sync::LazyLock;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use regex::Regex;

use super::replace::derive;

/// The longest value that can be turned back, in bytes.
pub(super) const LONGEST: usize = 256;
/// Values are padded to a multiple of this many bytes.
const BLOCK: usize = 16;
/// Bytes of the proof that a pseudonym was made here.
const TAG: usize = 16;
/// What pseudonyms of plain text begin with.
const MARK: &str = "pseudonym";
/// Where the addresses are: RFC 2606 lets nobody have it.
const MAIL: &str = "pseudonym.invalid";
/// What pseudonyms of phone numbers begin with: ITU-T E.164 keeps 999 in reserve.
const DIALLED: &str = "+999";
/// The longest local part and the longest label of an address.
const LABEL: usize = 63;
/// The longest address, in characters (RFC 5321).
const ADDRESS: usize = 254;

/// A value before it was masked, or after it was turned back.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// Text, and every type whose canonical form is text.
    Text(String),
    /// A number, by its digits.
    Number(String),
}

/// Why text is not taken for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOurs {
    /// It is no pseudonym of this domain under this key: altered, made up, another column's, or an earlier key's.
    Unproven,
    /// It stands for a value too long to be turned back.
    OneWay,
}

/// Makes pseudonyms and turns them back, under one key.
pub(super) struct Pseudonyms {
    /// `None`: it could not be made, and there are no pseudonyms.
    key: Option<LessSafeKey>,
}

impl Pseudonyms {
    /// Those made with what follows from the key of masking.
    pub(super) fn new(masking_key: &[u8; 32]) -> Self {
        let key = derive(masking_key, b"portcullis-mask-pseudonym-v2", &[]);
        let key = UnboundKey::new(&AES_256_GCM_SIV, &key);
        Self {
            key: key.ok().map(LessSafeKey::new),
        }
    }

    /// What stands for `value` in `domain`. `None`: it cannot be made, and the value is masked in another way.
    pub(super) fn of(&self, domain: &str, value: &Raw) -> Option<String> {
        let (kind, text) = match value {
            Raw::Text(text) => (b't', text),
            Raw::Number(digits) => (b'n', digits),
        };
        let mut bytes = Vec::with_capacity(text.len() + BLOCK + TAG);
        bytes.push(kind);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0x80);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        let tag = self
            .key
            .as_ref()?
            .seal_in_place_separate_tag(nonce(), Aad::from(domain.as_bytes()), &mut bytes)
            .ok()?;
        if text.len() > LONGEST {
            // The tag alone is a keyed hash of the value.
            return Some(format!("{MARK}{}", letters(tag.as_ref())));
        }
        bytes.extend_from_slice(tag.as_ref());
        let shown = match value {
            Raw::Text(text) if is_address(text) => address(&letters(&bytes)),
            Raw::Text(text) if is_dialled(text) => Some(format!("{DIALLED}{}", digits(&bytes))),
            Raw::Text(_) | Raw::Number(_) => None,
        };
        Some(shown.unwrap_or_else(|| format!("{MARK}{}", letters(&bytes))))
    }

    /// The value `pseudonym` stands for in `domain`.
    ///
    /// INVARIANT: only what [`Pseudonyms::of`] makes of the value is taken for it, letter by letter but for their case.
    pub(super) fn value(&self, domain: &str, pseudonym: &str) -> Result<Raw, NotOurs> {
        let mut bytes = payload(&pseudonym.to_ascii_lowercase()).ok_or(NotOurs::Unproven)?;
        if bytes.len() == TAG {
            return Err(NotOurs::OneWay);
        }
        let mut open = || {
            let key = self.key.as_ref()?;
            let aad = Aad::from(domain.as_bytes());
            let plain = key.open_in_place(nonce(), aad, &mut bytes).ok()?;
            let end = plain.iter().rposition(|byte| *byte != 0)?;
            let (kind, text) = plain[..end].split_first()?;
            let text = String::from_utf8(text.to_vec()).ok()?;
            let value = match kind {
                b'n' => Raw::Number(text),
                _ => Raw::Text(text),
            };
            let again = self.of(domain, &value)?;
            again.eq_ignore_ascii_case(pseudonym).then_some(value)
        };
        open().ok_or(NotOurs::Unproven)
    }
}

/// Whether `text` holds anything that could be taken for a pseudonym, or for a piece of one.
pub(super) fn looks_like_one(text: &str) -> bool {
    static LIKE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i-u)pseudonym\.invalid|pseudonym[a-z2-7]{16}|\+999[0-9]{16}").ok()
    });
    // A regex that is not there finds nothing, and so proves nothing.
    LIKE.as_ref().is_none_or(|like| like.is_match(text))
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// The bytes behind a pseudonym in lower case.
fn payload(pseudonym: &str) -> Option<Vec<u8>> {
    if let Some((local, host)) = pseudonym.split_once('@') {
        let labels = host.strip_suffix(MAIL)?;
        return bytes_of_letters(&format!("{local}{}", labels.replace('.', "")));
    }
    match pseudonym.strip_prefix(DIALLED) {
        Some(dialled) => bytes_of_digits(dialled),
        None => bytes_of_letters(pseudonym.strip_prefix(MARK)?),
    }
}

/// Whether mail could be sent to it, more or less.
fn is_address(text: &str) -> bool {
    let blank = |letter: char| letter.is_whitespace() || letter.is_control();
    text.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && host.contains('.') && !text.contains(blank)
    })
}

/// Whether it could be dialled, more or less.
fn is_dialled(text: &str) -> bool {
    let mut digits = 0;
    let plain = text.bytes().all(|byte| {
        digits += usize::from(byte.is_ascii_digit());
        byte.is_ascii_digit() || b"+()-./ ".contains(&byte)
    });
    plain && text.starts_with(['+', '(']) && (7..=15).contains(&digits)
}

/// An address with `letters` in its local part and, where they are too many, in labels of its host.
fn address(letters: &str) -> Option<String> {
    let (local, rest) = letters.split_at(letters.len().min(LABEL));
    let mut shown = format!("{local}@");
    for (at, letter) in rest.char_indices() {
        if at > 0 && at % LABEL == 0 {
            shown.push('.');
        }
        shown.push(letter);
    }
    if !rest.is_empty() {
        shown.push('.');
    }
    shown.push_str(MAIL);
    (shown.len() <= ADDRESS).then_some(shown)
}

/// RFC 4648's base32 in lower case, without padding.
fn letters(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(ALPHABET[(held >> bits & 31) as usize]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(char::from(ALPHABET[(held << (5 - bits) & 31) as usize]));
    }
    out
}

fn bytes_of_letters(letters: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(letters.len() * 5 / 8);
    let (mut held, mut bits) = (0_u32, 0);
    for letter in letters.bytes() {
        let value = match letter {
            b'a'..=b'z' => letter - b'a',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => return None,
        };
        held = held << 5 | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(out)
}

/// Two bytes in five digits each.
fn digits(bytes: &[u8]) -> String {
    bytes
        .chunks(2)
        .map(|pair| {
            let number = pair
                .iter()
                .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
            format!("{number:05}")
        })
        .collect()
}

fn bytes_of_digits(digits: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(digits.len() / 5 * 2);
    for five in digits.as_bytes().chunks(5) {
        let number = std::str::from_utf8(five).ok()?.parse::<u16>().ok()?;
        out.extend_from_slice(&number.to_be_bytes());
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ours() -> Pseudonyms {
        Pseudonyms::new(&[7; 32])
    }

    fn text(value: &str) -> Raw {
        Raw::Text(value.to_owned())
    }

    fn shown(value: &Raw) -> String {
        ours().of("email", value).unwrap()
    }

    impl std::fmt::Debug for Raw {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self {
                Self::Text(text) => write!(f, "text {text:?}"),
                Self::Number(digits) => write!(f, "number {digits}"),
            }
        }
    }

    fn raw() -> impl Strategy<Value = Raw> {
        prop_oneof![
            ".{0,60}".prop_map(Raw::Text),
            "[a-z0-9.]{1,60}@[a-z]{1,20}\\.[a-z]{2,8}".prop_map(Raw::Text),
            "\\+[0-9]{1,3}[ -][0-9]{6,12}".prop_map(Raw::Text),
            "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}".prop_map(Raw::Text),
            "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]".prop_map(Raw::Text),
            "-?[1-9][0-9]{0,30}(\\.[0-9]{1,9})?".prop_map(Raw::Number),
        ]
    }

    proptest! {
        #[test]
        fn a_pseudonym_turns_back_into_its_value_whatever_its_case(value in raw()) {
            let shown = shown(&value);
            prop_assert_eq!(ours().value("email", &shown), Ok(value.clone()));
            prop_assert_eq!(ours().value("email", &shown.to_uppercase()), Ok(value));
            prop_assert!(looks_like_one(&shown), "{}", shown);
        }

        #[test]
        fn equal_values_are_equal_and_distinct_ones_distinct(one in raw(), other in raw()) {
            prop_assert_eq!(shown(&one), shown(&one));
            prop_assert_eq!(shown(&one) == shown(&other), one == other);
        }

        #[test]
        fn a_pseudonym_altered_in_one_character_is_none(
            value in raw(), at in any::<prop::sample::Index>(), to in "[a-z2-7@.+]",
        ) {
            let shown = shown(&value);
            let at = at.index(shown.len());
            for altered in [
                format!("{}{to}{}", &shown[..at], &shown[at + 1..]),
                format!("{}{to}{}", &shown[..at], &shown[at..]),
                format!("{}{}", &shown[..at], &shown[at + 1..]),
            ] {
                if !altered.eq_ignore_ascii_case(&shown) {
                    prop_assert!(ours().value("email", &altered).is_err(), "{}", altered);
                }
            }
        }

        #[test]
        fn another_key_and_another_domain_know_nothing_of_it(value in raw()) {
            let shown = shown(&value);
            prop_assert_eq!(ours().value("name", &shown), Err(NotOurs::Unproven));
            prop_assert_eq!(Pseudonyms::new(&[8; 32]).value("email", &shown), Err(NotOurs::Unproven));
        }

        #[test]
        fn a_pseudonym_has_the_kind_of_its_value(value in raw()) {
            let shown = shown(&value);
            let lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            match &value {
                Raw::Text(text) if is_address(text) && text.len() <= 100 => {
                    let (local, host) = shown.split_once('@').unwrap();
                    prop_assert!(lower(local) && (1..=64).contains(&local.len()));
                    prop_assert!(host.ends_with("pseudonym.invalid") && shown.len() <= 254);
                    prop_assert!(host.split('.').all(|label| lower(label) && (1..=63).contains(&label.len())));
                }
                Raw::Text(text) if is_dialled(text) => {
                    prop_assert!(shown.strip_prefix("+999").unwrap().bytes().all(|b| b.is_ascii_digit()));
                }
                Raw::Text(_) | Raw::Number(_) => {
                    prop_assert!(lower(shown.strip_prefix("pseudonym").unwrap()));
                }
            }
        }
    }

    #[test]
    fn the_same_key_gives_the_same_pseudonyms_in_every_process() {
        let shown = [
            text("ada@contoso.com"),
            text("+49 30 1234567"),
            text("Ada"),
            Raw::Number("731902".into()),
        ]
        .map(|value| shown(&value));
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn the_length_of_a_value_shows_only_in_steps() {
        assert_eq!(shown(&text("A")).len(), shown(&text("Alexandra Bo")).len());
    }

    #[test]
    fn a_value_too_long_to_be_turned_back_can_still_be_counted() {
        let long = |last: char| text(&format!("{}{last}", "x".repeat(LONGEST)));
        assert_eq!(shown(&long('a')), shown(&long('a')));
        assert_ne!(shown(&long('a')), shown(&long('b')));
        assert!(looks_like_one(&shown(&long('a'))));
        let back = ours().value("email", &shown(&long('a')));
        assert_eq!(back, Err(NotOurs::OneWay));
        let longest = text(&"x".repeat(LONGEST));
        assert_eq!(ours().value("email", &shown(&longest)), Ok(longest));
    }

    #[test]
    fn ordinary_text_does_not_look_like_one() {
        for text in [
            "SELECT pseudonymisations FROM pseudonym_table",
            "call +999 123 or +49301234567",
            "a pseudonym abcdefghijklmnopqrstuvwxyz",
            "invalid",
        ] {
            assert!(!looks_like_one(text), "{text}");
        }
    }
}
