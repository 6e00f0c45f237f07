//! Accounts and national identifiers, each with the arithmetic that proves it.
//!
//! An identifier is taken without a name beside it only where its format is its own and its check digit holds; bare runs of
//! nine or eleven digits, which any counter may reach, are left to the name they are kept under.

use super::{
    Sink,
    kinds::Kind,
    values::{ALNUM, DIGIT, LOWER, UPPER, is, luhn, run, starts_word},
};

/// A cluster of digits, as others see it.
pub(super) struct View<'a> {
    pub(super) digits: &'a [u8],
    pub(super) groups: &'a [u8],
    /// Bit 0 space, 1 dash, 2 dot, 3 slash, 4 parenthesis.
    pub(super) separators: u8,
    pub(super) end: usize,
}

/// Country and length of its accounts (ISO 13616 registry).
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

/// For each letter which others follow it in a country of accounts.
static COUNTRIES: [u32; 32] = {
    let mut table = [0; 32];
    let mut index = 0;
    while index < IBAN_LENGTHS.len() {
        let [first, second] = *IBAN_LENGTHS[index].0;
        table[(first & 31) as usize] |= 1 << (second & 31);
        index += 1;
    }
    table
};

/// Whether digits after two letters, which stand alone or after the letter of an escape, may be an account's, or those of a
/// national insurance number.
#[inline]
pub(super) fn may_follow_pair(text: &[u8], digit: usize) -> bool {
    let Some([first, second]) = text[..digit].last_chunk() else {
        return false;
    };
    let third = text[..digit].iter().rev().nth(2).copied().unwrap_or(b' ');
    let country = COUNTRIES[usize::from(first & 31)] >> (second & 31) & 1 == 1;
    (country | (first.is_ascii_uppercase() & second.is_ascii_uppercase()))
        & (!is(third, UPPER | LOWER) | (matches!(third, b'n' | b'r' | b't')))
}

/// Identifiers that begin with letters. `digit` is the first digit; its letters are right before it or one space away.
/// Says where to go on if one was found.
pub(super) fn after_letters(text: &[u8], digit: usize, sink: &mut Sink<'_>) -> Option<usize> {
    let gap = usize::from(text[digit - 1] == b' ');
    let letters_end = digit - gap;
    let mut start = letters_end;
    while start > 0 && letters_end - start < 7 && is(text[start - 1], UPPER | LOWER) {
        start -= 1;
    }
    // The letter of an escape is not of the identifier.
    if start > 0 && text[start - 1] == b'\\' && matches!(text[start], b'n' | b'r' | b't') {
        start += 1;
    }
    let letters = letters_end - start;
    if !starts_word(text, start) {
        return None;
    }
    let found = match letters {
        2 => iban(text, start, digit)
            .map(|end| (end, Kind::Iban))
            .or_else(|| nino(text, start, digit).map(|end| (end, Kind::UkNino))),
        1 if gap == 0 => one_letter(text, start, digit).map(|end| (end, Kind::NationalId)),
        4..=6 if gap == 0 => {
            many_letters(text, start, digit, letters).map(|end| (end, Kind::NationalId))
        }
        _ => None,
    }?;
    sink.push(start, found.0, found.1);
    Some(found.0)
}

fn iban(text: &[u8], start: usize, digit: usize) -> Option<usize> {
    if digit != start + 2 || !is(*text.get(digit + 1)?, DIGIT) {
        return None;
    }
    let country = [
        text[start].to_ascii_uppercase(),
        text[start + 1].to_ascii_uppercase(),
    ];
    let (_, length) = IBAN_LENGTHS.iter().find(|(name, _)| **name == country)?;
    let mut remainder = 0_u32;
    let mut head = [0_u8; 4];
    let mut count = 0;
    let mut at = start;
    let mut add = |byte: u8| {
        let value = match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            _ => u32::from(byte.to_ascii_uppercase() - b'A') + 10,
        };
        remainder = if value > 9 {
            remainder * 100 + value
        } else {
            remainder * 10 + value
        } % 97;
    };
    while count < *length {
        let byte = *text.get(at)?;
        if is(byte, ALNUM) {
            if count < 4 {
                head[count] = byte;
            } else {
                add(byte);
            }
            count += 1;
        } else if !(matches!(byte, b' ' | b'-') && count >= 4 && is(*text.get(at + 1)?, ALNUM)) {
            return None;
        }
        at += 1;
    }
    head.into_iter().for_each(add);
    (remainder == 1 && !text.get(at).is_some_and(|byte| is(*byte, ALNUM))).then_some(at)
}

/// Two letters, six digits, A to D, in pairs or not.
fn nino(text: &[u8], start: usize, digit: usize) -> Option<usize> {
    let letters = [text[start], text[start + 1]];
    if !letters.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    // Never issued as a first or second letter; BG, GB, KN, NK, NT, TN and ZZ are not used either, but masked all the same.
    let spaced = text.get(digit + 2) == Some(&b' ');
    let mut at = digit;
    for pair in 0..3 {
        if pair > 0 && spaced {
            if text.get(at) != Some(&b' ') {
                return None;
            }
            at += 1;
        }
        if run(text, at, DIGIT).min(at + 2) != at + 2 {
            return None;
        }
        at += 2;
    }
    if spaced && text.get(at) == Some(&b' ') {
        at += 1;
    }
    let last = *text.get(at)?;
    (matches!(last, b'A'..=b'D')
        && !text
            .get(at + 1)
            .is_some_and(|byte| is(*byte, ALNUM) || *byte == b'_'))
    .then_some(at + 1)
}

/// Spain's NIE: X, Y or Z, seven digits, a check letter. Singapore's NRIC: S, T, F, G or M, seven digits, a check letter.
fn one_letter(text: &[u8], start: usize, digit: usize) -> Option<usize> {
    let end = run(text, digit, DIGIT);
    let check = *text.get(end)?;
    if end - digit != 7
        || !check.is_ascii_uppercase()
        || text
            .get(end + 1)
            .is_some_and(|byte| is(*byte, ALNUM) || *byte == b'_')
    {
        return None;
    }
    let digits = &text[digit..end];
    let spain = match text[start] {
        b'X' | b'Y' | b'Z' => Some(u32::from(text[start] - b'X') * 10_000_000 + number(digits)),
        _ => None,
    };
    if let Some(value) = spain {
        return (DNI[(value % 23) as usize] == check).then_some(end + 1);
    }
    let weights = [2, 7, 6, 5, 4, 3, 2];
    let sum: u32 = digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    let letter = |offset: u32, table: &[u8; 11]| table[((sum + offset) % 11) as usize] == check;
    let real = match text[start] {
        b'S' => letter(0, b"JZIHGFEDCBA"),
        b'T' => letter(4, b"JZIHGFEDCBA"),
        b'F' => letter(0, b"XWUTRQPNMLK"),
        b'G' => letter(4, b"XWUTRQPNMLK"),
        b'M' => letter(3, b"KLJNPQRTUWX"),
        _ => false,
    };
    real.then_some(end + 1)
}

/// Italy's codice fiscale (16), Mexico's CURP (18), India's PAN (10).
fn many_letters(text: &[u8], start: usize, digit: usize, letters: usize) -> Option<usize> {
    let end = run(text, digit, ALNUM);
    let token = &text[start..end];
    if token.iter().any(u8::is_ascii_lowercase) {
        return None;
    }
    let real = match (letters, token.len()) {
        (6, 16) => codice_fiscale(token),
        (4, 18) => curp(token),
        (5, 10) => {
            token[5..9].iter().all(u8::is_ascii_digit)
                && token[9].is_ascii_uppercase()
                && matches!(
                    token[3],
                    b'P' | b'C' | b'H' | b'F' | b'A' | b'T' | b'B' | b'L' | b'J' | b'G'
                )
        }
        _ => false,
    };
    real.then_some(end)
}

fn codice_fiscale(token: &[u8]) -> bool {
    const ODD: [u32; 36] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, // 0-9
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23, // A-Z
    ];
    let index = |byte: u8| match byte {
        b'0'..=b'9' => usize::from(byte - b'0'),
        _ => usize::from(byte - b'A') + 10,
    };
    let shape = token[..6].iter().all(u8::is_ascii_uppercase)
        && matches!(token[8], b'A'..=b'E' | b'H' | b'L' | b'M' | b'P' | b'R'..=b'T')
        && token[15].is_ascii_uppercase();
    if !shape {
        return false;
    }
    let sum: u32 = token[..15]
        .iter()
        .enumerate()
        .map(|(position, byte)| {
            let index = index(*byte);
            if position % 2 == 0 {
                ODD[index]
            } else if index >= 10 {
                index as u32 - 10
            } else {
                index as u32
            }
        })
        .sum();
    (sum % 26) as u8 == token[15] - b'A'
}

fn curp(token: &[u8]) -> bool {
    let shape = token[..4].iter().all(u8::is_ascii_uppercase)
        && token[4..10].iter().all(u8::is_ascii_digit)
        && matches!(token[10], b'H' | b'M' | b'X')
        && token[11..16].iter().all(u8::is_ascii_uppercase)
        && token[17].is_ascii_digit();
    if !shape {
        return false;
    }
    // 0-9, A-N, Ñ, O-Z: letters after N count one more.
    let value = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'N' => u32::from(byte - b'A') + 10,
        _ => u32::from(byte - b'A') + 11,
    };
    let sum: u32 = token[..17]
        .iter()
        .zip((2..=18).rev())
        .map(|(byte, weight)| value(*byte) * weight)
        .sum();
    (10 - sum % 10) % 10 == u32::from(token[17] - b'0')
}

const DNI: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0_u32, |value, digit| {
        value.wrapping_mul(10).wrapping_add(u32::from(digit - b'0'))
    })
}

/// Identifiers that end in a letter: Spain's DNI, Finland's HETU, China's resident identity with an X.
pub(super) fn before_letter(text: &[u8], start: usize, view: &View<'_>) -> Option<(usize, Kind)> {
    let last = *text.get(view.end)?;
    if !last.is_ascii_uppercase() && last != b'-' && last != b'+' {
        return None;
    }
    let ends = |at: usize| {
        !text
            .get(at)
            .is_some_and(|byte| is(*byte, ALNUM) || *byte == b'_')
    };
    let digits = view.digits;
    if start > 0 && (is(text[start - 1], ALNUM) || matches!(text[start - 1], b'_' | b'-')) {
        return None;
    }
    if digits.len() == 8
        && view.groups.len() == 1
        && ends(view.end + 1)
        && DNI[(number(digits) % 23) as usize] == last
    {
        return Some((view.end + 1, Kind::NationalId));
    }
    // Finland: ddmmyy, the century's sign, three digits, a check letter.
    if view.groups == [6, 3] && view.separators == 2 && ends(view.end + 1) && finland(digits, last)
    {
        return Some((view.end + 1, Kind::NationalId));
    }
    if digits.len() == 17
        && view.groups.len() == 1
        && last == b'X'
        && ends(view.end + 1)
        && china(digits, 10)
    {
        return Some((view.end + 1, Kind::NationalId));
    }
    None
}

fn finland(digits: &[u8], check: u8) -> bool {
    const CHECK: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    CHECK[(number(digits) % 31) as usize] == check
        && month_day(&[digits[2], digits[3], digits[0], digits[1]])
}

fn china(digits: &[u8], check: u32) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits
        .iter()
        .zip(WEIGHTS)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    let year = number(&digits[6..10]);
    (1900..=2035).contains(&year)
        && (1..=12).contains(&number(&digits[10..12]))
        && (12 - sum % 11) % 11 == check
}

/// Identifiers of digits alone, in formats of their own.
pub(super) fn digits(_text: &[u8], _start: usize, view: &View<'_>) -> Option<(usize, Kind)> {
    let digits = view.digits;
    if digits.iter().all(|digit| *digit == digits[0]) {
        return None;
    }
    let real = match (view.groups, view.separators) {
        // Brazil: ddd.ddd.ddd-dd
        ([3, 3, 3, 2], 6) => brazil(digits),
        // Switzerland: 756.dddd.dddd.dd
        ([3, 4, 4, 2], 4) => digits.starts_with(b"756") && ean13(digits),
        // Belgium: yy.mm.dd-ddd.dd
        ([2, 2, 2, 3, 2], 6) => belgium(digits),
        // Sweden: yymmdd-dddd or yyyymmdd-dddd; Denmark: ddmmyy-dddd
        ([6, 4], 2) => {
            (month_day(&digits[2..6]) && luhn(digits))
                || (month_day(&[digits[2], digits[3], digits[0], digits[1]]) && denmark(digits))
        }
        ([8, 4], 2) => {
            matches!(&digits[..2], b"19" | b"20") && month_day(&digits[4..8]) && luhn(&digits[2..])
        }
        // Korea: yymmdd-ddddddd
        ([6, 7], 2) => {
            month_day(&digits[2..6]) && matches!(digits[6], b'1'..=b'4') && korea(digits)
        }
        // France: d dd dd dd ddd ddd dd
        ([1, 2, 2, 2, 3, 3, 2], 1) => france(digits),
        ([15], 0) => {
            matches!(digits[0], b'1' | b'2')
                && (1..=12).contains(&number(&digits[3..5]))
                && france(digits)
        }
        // Norway: ddmmyy ddddd
        ([6, 5], 1) | ([11], 0) => norway(digits),
        // India: dddd dddd dddd
        ([4, 4, 4], 1 | 2) => matches!(digits[0], b'2'..=b'9') && verhoeff(digits),
        // China
        ([18], 0) => china(&digits[..17], u32::from(digits[17] - b'0')),
        // Canada: ddd-ddd-ddd
        ([3, 3, 3], 1 | 2) => !matches!(digits[0], b'0' | b'8') && luhn(digits),
        _ => false,
    };
    real.then_some((view.end, Kind::NationalId))
}

fn month_day(digits: &[u8]) -> bool {
    (1..=12).contains(&number(&digits[..2])) && (1..=31).contains(&number(&digits[2..4]))
}

fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum()
}

fn brazil(digits: &[u8]) -> bool {
    let check = |count: usize| {
        let sum: u32 = digits[..count]
            .iter()
            .enumerate()
            .map(|(index, digit)| u32::from(digit - b'0') * (count + 1 - index) as u32)
            .sum();
        let rest = sum * 10 % 11 % 10;
        rest == u32::from(digits[count] - b'0')
    };
    digits.len() == 11 && check(9) && check(10)
}

fn ean13(digits: &[u8]) -> bool {
    digits.len() == 13
        && weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

fn belgium(digits: &[u8]) -> bool {
    let body = u64::from(number(&digits[..9]));
    let check = u64::from(number(&digits[9..11]));
    97 - body % 97 == check || 97 - (2_000_000_000 + body) % 97 == check
}

fn denmark(digits: &[u8]) -> bool {
    weighted(digits, &[4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

fn korea(digits: &[u8]) -> bool {
    let sum = weighted(&digits[..12], &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    (11 - sum % 11) % 10 == u32::from(digits[12] - b'0')
}

fn france(digits: &[u8]) -> bool {
    let value = digits[..13]
        .iter()
        .fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    digits.len() == 15
        && matches!(digits[0], b'1' | b'2')
        && 97 - value % 97 == u64::from(number(&digits[13..15]))
}

fn norway(digits: &[u8]) -> bool {
    digits.len() == 11
        && month_day(&[digits[2], digits[3], digits[0], digits[1]])
        && weighted(digits, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        && weighted(digits, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

fn verhoeff(digits: &[u8]) -> bool {
    const D: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const P: [[u8; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    digits
        .iter()
        .rev()
        .enumerate()
        .fold(0_u8, |check, (index, digit)| {
            D[usize::from(check)][usize::from(P[index % 8][usize::from(digit - b'0')])]
        })
        == 0
}
