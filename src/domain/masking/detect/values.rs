//! What a value looks like: characters, randomness, and the many ways of writing "no secret here".

use super::bits::next_place;

/// Bits of a byte's class.
pub(super) const DIGIT: u8 = 1;
pub(super) const UPPER: u8 = 2;
pub(super) const LOWER: u8 = 4;
/// `_` and `-`.
pub(super) const JOIN: u8 = 8;
/// `+` and `/`.
pub(super) const BASE64: u8 = 16;
pub(super) const EQUALS: u8 = 32;
pub(super) const DOT: u8 = 64;
/// `~`.
pub(super) const TILDE: u8 = 128;
pub(super) const ALNUM: u8 = DIGIT | UPPER | LOWER;

/// Whatever may stand in a token.
pub(super) const ANY: u8 = 255;

static CLASS: [u8; 256] = class_of_each();

const fn class_of_each() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'_' | b'-' => JOIN,
            b'+' | b'/' => BASE64,
            b'=' => EQUALS,
            b'.' => DOT,
            b'~' => TILDE,
            _ => 0,
        };
        byte += 1;
    }
    table
}

#[inline]
pub(super) fn class(byte: u8) -> u8 {
    CLASS[byte as usize]
}

#[inline]
pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

/// Where the run of `class` that starts at `from` ends.
#[inline]
pub(super) fn run(text: &[u8], from: usize, class: u8) -> usize {
    let mut at = from;
    while at < text.len() && is(text[at], class) {
        at += 1;
    }
    at
}

/// The same, but no further than `most` bytes: what is looked at again and again must not be long.
#[inline]
pub(super) fn run_within(text: &[u8], from: usize, class: u8, most: usize) -> usize {
    run(
        &text[..from.saturating_add(most).min(text.len())],
        from,
        class,
    )
}

/// Where the run of `class` that ends at `to` starts, looking back at most `most` bytes.
pub(super) fn run_back_within(text: &[u8], to: usize, class: u8, most: usize) -> usize {
    let limit = to.saturating_sub(most);
    let mut at = to;
    while at > limit && is(text[at - 1], class) {
        at -= 1;
    }
    at
}

/// Where the run of `class` that ends at `to` starts.
#[inline]
pub(super) fn run_back(text: &[u8], to: usize, class: u8) -> usize {
    let mut at = to;
    while at > 0 && is(text[at - 1], class) {
        at -= 1;
    }
    at
}

/// Whether a token may start at `at`. The letter of an escape such as `\n` belongs to no word.
#[inline]
pub(super) fn starts_word(text: &[u8], at: usize) -> bool {
    at == 0
        || !(is(text[at - 1], ALNUM) || text[at - 1] == b'_')
        || (at >= 2 && text[at - 2] == b'\\' && matches!(text[at - 1], b'n' | b'r' | b't'))
}

/// Counts of what a value is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mix {
    pub(super) digits: usize,
    pub(super) upper: usize,
    pub(super) lower: usize,
    /// Everything else but white space.
    pub(super) symbols: usize,
    pub(super) spaces: usize,
    /// How many different bytes, up to 64 kinds.
    pub(super) distinct: u32,
    /// Digit next to letter, lower next to upper: rare in words and names.
    pub(super) turns: usize,
}

pub(super) fn mix(value: &[u8]) -> Mix {
    let mut mix = Mix::default();
    let mut seen = [0_u64; 2];
    let mut before = 0_u8;
    // No more than a count has room for.
    for part in value.chunks(usize::from(u16::MAX)) {
        let mut counts = 0_u64;
        for &byte in part {
            let one = &ONES[usize::from(byte)];
            counts += one.count;
            seen[0] |= one.seen[0];
            seen[1] |= one.seen[1];
            let class = class(byte) & ALNUM;
            mix.turns += (TURNS >> (before << 3 | class) & 1) as usize;
            before = class;
        }
        let count = |lane: u32| usize::from((counts >> (16 * lane)) as u16);
        mix.digits += count(0);
        mix.upper += count(1);
        mix.lower += count(2);
        mix.spaces += count(3);
    }
    mix.symbols = value.len() - mix.digits - mix.upper - mix.lower - mix.spaces;
    mix.distinct = seen[0].count_ones() + seen[1].count_ones();
    mix
}

/// What one byte adds to a mix.
#[derive(Clone, Copy)]
struct One {
    /// A one in the sixteen bits of what it counts as: digits, upper case, lower case, white space.
    count: u64,
    /// A bit of its own; bytes above ASCII share those of the bytes below.
    seen: [u64; 2],
}

static ONES: [One; 256] = {
    let mut table = [One {
        count: 0,
        seen: [0; 2],
    }; 256];
    let mut byte = 0;
    while byte < table.len() {
        let class = CLASS[byte] & ALNUM;
        if class != 0 {
            table[byte].count = 1 << (16 * class.trailing_zeros());
        } else if (byte as u8).is_ascii_whitespace() {
            table[byte].count = 1 << 48;
        }
        table[byte].seen[byte >> 6 & 1] = 1 << (byte & 63);
        byte += 1;
    }
    table
};

/// A bit for each class and the one after it, `before << 3 | after`, that are of different kinds. A capital begins a word.
const TURNS: u64 = {
    let kinds = [DIGIT, UPPER, LOWER];
    let mut bits = 0;
    let mut pair = 0;
    while pair < kinds.len() * kinds.len() {
        let (before, after) = (kinds[pair / kinds.len()], kinds[pair % kinds.len()]);
        if before != after && !(before == UPPER && after == LOWER) {
            bits |= 1 << (before << 3 | after);
        }
        pair += 1;
    }
    bits
};

/// Whether a token of letters and digits is random rather than words: many different characters, changing kind often.
pub(super) fn looks_random(value: &[u8]) -> bool {
    let mix = mix(value);
    let kinds =
        usize::from(mix.digits > 0) + usize::from(mix.upper > 0) + usize::from(mix.lower > 0);
    let length = value.len();
    let distinct = mix.distinct as usize;
    if mix.spaces > 0 || kinds < 2 {
        return false;
    }
    // Hexadecimal and base32 have two kinds and at most 16 or 32 different characters.
    distinct >= 8.min(length * 2 / 3)
        && mix.turns * 8 >= length
        && (mix.digits > 0 || mix.turns * 5 >= length)
}

/// Whether a word is a password where nothing but its place says so: letters and digits with a sign that no name, number or
/// path has, or of both cases and changing kind often.
pub(super) fn is_strong(value: &[u8]) -> bool {
    if !(8..=64).contains(&value.len()) || !value.iter().any(u8::is_ascii_digit) {
        return false;
    }
    let mix = mix(value);
    if mix.lower == 0 || mix.upper + mix.lower < 2 || mix.spaces > 0 || mix.distinct < 6 {
        return false;
    }
    // P@ssword, but user@host. ORDER#12345 counts something.
    let sign = |(at, byte): (usize, &u8)| {
        matches!(byte, b'!' | b'#' | b'$' | b'^' | b'*' | b'?' | b'~' | b'&')
            || *byte == b'@' && at < 3
    };
    let strong = if mix.symbols == 0 {
        mix.digits > 1 && mix.upper > 0 && mix.turns * 4 >= value.len()
    } else {
        let other = |byte: &u8| b"/\\\"<>({[".contains(byte);
        value.iter().enumerate().any(sign) && !value.iter().any(other)
    };
    strong && !is_placeholder(value) && !is_code(value)
}

pub(super) fn is_hex(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_hexdigit)
}

/// `8-4-4-4-12` of hexadecimal.
pub(super) fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

pub(super) fn contains_ignore_case(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window.eq_ignore_ascii_case(needle))
}

fn starts_with_ignore_case(value: &[u8], prefix: &[u8]) -> bool {
    value.len() >= prefix.len() && value[..prefix.len()].eq_ignore_ascii_case(prefix)
}

/// Words that stand where a value would, and say there is none.
const NO_VALUE: &[&[u8]] = &[
    b"null",
    b"none",
    b"nil",
    b"undefined",
    b"true",
    b"false",
    b"yes",
    b"no",
    b"on",
    b"off",
    b"n/a",
    b"na",
    b"empty",
    b"unset",
    b"unknown",
    b"missing",
    b"required",
    b"optional",
    b"string",
    b"str",
    b"text",
    b"varchar",
    b"char",
    b"bytes",
    b"int",
    b"integer",
    b"bool",
    b"boolean",
    b"object",
    b"password",
    b"passwd",
    b"pwd",
    b"pass",
    b"secret",
    b"token",
    b"key",
    b"apikey",
    b"api_key",
    b"value",
    b"changeme",
    b"change_me",
    b"change-me",
    b"todo",
    b"tbd",
    b"fixme",
    b"default",
    b"masked",
    b"hidden",
    b"redacted",
    b"removed",
    b"example",
    b"sample",
    b"dummy",
    b"bearer",
    b"basic",
    b"username",
    b"user",
    b"prompt",
    b"stdin",
    b"ask",
    b"nan",
    b"foo",
    b"bar",
    b"foobar",
];

/// What a placeholder starts with: references to a value that is elsewhere.
const REFERENCE_START: &[&[u8]] = &[
    b"${",
    b"$(",
    b"{{",
    b"{%",
    b"<",
    b"@microsoft.keyvault",
    b"!vault",
    b"vault:",
    b"os.environ",
    b"os.getenv",
    b"process.env",
    b"env.",
    b"env:",
    b"env(",
    b"getenv",
    b"system.getenv",
    b"environment.",
    b"op://",
    b"secret://",
    b"ssm:",
    b"arn:",
    b"ref+",
    b"enc[",
    b"$env:",
    b"keyvault",
    b"#{",
    b"[[",
    b"!ref",
    b"!sub",
    b"!getatt",
    b"file:",
    b"config.",
    b"settings.",
    b"self.",
    b"this.",
    b"args.",
    b"var.",
    b"data.",
    b"local.",
    b"module.",
    b"secrets.",
    b"github.",
    b"your_",
    b"your-",
    b"your ",
    b"<",
    b"insert ",
    b"enter ",
    b"/run/secrets/",
    b"projects/",
    b"gsm://",
    b"awssm://",
    b"azurekv://",
    b"resolve:",
    b"required|",
    b"nullable|",
    b"sometimes|",
    b"[redacted",
    b"(sensitive",
    b"(known after",
    b"(redacted",
    b"[masked",
    b"[hidden",
    b"[filtered",
    b"***",
];

/// What a placeholder has somewhere.
const PLACEHOLDER_INSIDE: &[&[u8]] = &[
    b"example",
    b"placeholder",
    b"changeme",
    b"change_me",
    b"change-me",
    b"redacted",
    b"xxxx",
    b"your_",
    b"your-",
    b"yourpass",
    b"...",
    b"\xe2\x80\xa6",
    b"dummy",
    b"replace_",
    b"replace-",
    b"replaceme",
    b"****",
    b"<your",
    b"_here",
    b"-here",
    b"not-a-real",
    b"notreal",
    b"not_real",
    b"1234567890abcdef",
    b"0123456789abcdef",
    b"abcdefghijkl",
    b"insert-",
    b"insert_",
    b"%env",
    b"no_log",
    b"${",
];

/// No placeholder is longer.
const MAX_PLACEHOLDER: usize = 96;

/// Whether a value says "no secret here": empty, a mask, a reference, an example.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let Some(&first) = value.first() else {
        return true;
    };
    // Masks, and rulers: one character again and again, or nothing but marks.
    if value.iter().all(|&byte| byte == first)
        || value.iter().all(|&byte| {
            matches!(
                byte,
                b'*' | b'x' | b'X' | b'.' | b'-' | b'_' | b'#' | b'?' | 0x80..
            )
        })
    {
        return true;
    }
    if value.len() <= 9
        && may_begin(&NO_VALUE_LETTERS, value)
        && NO_VALUE.iter().any(|word| value.eq_ignore_ascii_case(word))
    {
        return true;
    }
    if (may_begin(&REFERENCE_LETTERS, value) || value.len() == 1)
        && REFERENCE_START
            .iter()
            .any(|start| starts_with_ignore_case(value, start))
    {
        return true;
    }
    // %NAME% and $NAME.
    if first == b'%'
        && value.len() > 2
        && value[value.len() - 1] == b'%'
        && run(value, 1, ALNUM | JOIN) == value.len() - 1
    {
        return true;
    }
    if first == b'$'
        && value.len() > 2
        && value[1..]
            .iter()
            .all(|&byte| is(byte, UPPER | DIGIT) || byte == b'_')
        && is(value[1], UPPER)
    {
        return true;
    }
    // What `kubectl describe` says of a secret.
    if let Some(count) = value
        .strip_suffix(b" bytes")
        .or_else(|| value.strip_suffix(b" byte"))
    {
        return count.iter().all(u8::is_ascii_digit);
    }
    has_placeholder_inside(value)
}

fn has_placeholder_inside(value: &[u8]) -> bool {
    // In more than that anything may stand by chance.
    let value = &value[..value.len().min(MAX_PLACEHOLDER)];
    // Which of them begin with the last byte, and with the last two.
    let (mut one, mut two) = (0, 0);
    for (index, &byte) in value.iter().enumerate() {
        let [first, second, third] = BEGINNINGS[usize::from(byte)];
        let mut three = u64::from(two & third);
        (one, two) = (first, one & second);
        while let Some(place) = next_place(&mut three) {
            if starts_with_ignore_case(&value[index - 2..], PLACEHOLDER_INSIDE[place]) {
                return true;
            }
        }
    }
    value.ends_with(SHORTEST_INSIDE)
}

/// The only one that has no third byte: the last of a value may be its second.
const SHORTEST_INSIDE: &[u8] = b"${";

/// For each byte which placeholders have it, in either case, as their first, their second and their third, a bit each. One that
/// has no third has any.
static BEGINNINGS: [[u32; 3]; 256] = {
    assert!(PLACEHOLDER_INSIDE.len() <= u32::BITS as usize);
    assert!(PLACEHOLDER_INSIDE[PLACEHOLDER_INSIDE.len() - 1].len() == SHORTEST_INSIDE.len());
    let mut table = [[0; 3]; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut place = 0;
        while place < 3 * PLACEHOLDER_INSIDE.len() {
            let (index, inside) = (place % 3, PLACEHOLDER_INSIDE[place / 3]);
            if index >= inside.len() || inside[index].eq_ignore_ascii_case(&(byte as u8)) {
                table[byte][index] |= 1 << (place / 3);
            }
            place += 1;
        }
        byte += 1;
    }
    table
};

/// For each byte which bytes may follow it in one of these, by their lowest five bits: the same for both cases.
const fn second_letters(list: &[&[u8]]) -> [u32; 256] {
    let mut table = [0_u32; 256];
    let mut index = 0;
    while index < list.len() {
        let item = list[index];
        let bits = if item.len() == 1 {
            u32::MAX
        } else {
            1 << (item[1] & 31)
        };
        table[item[0].to_ascii_lowercase() as usize] |= bits;
        table[item[0].to_ascii_uppercase() as usize] |= bits;
        index += 1;
    }
    table
}

static REFERENCE_LETTERS: [u32; 256] = second_letters(REFERENCE_START);
static NO_VALUE_LETTERS: [u32; 256] = second_letters(NO_VALUE);

/// Whether two bytes may begin one of a list.
fn may_begin(letters: &[u32; 256], value: &[u8]) -> bool {
    let second = value.get(1).copied().unwrap_or(0);
    (letters[usize::from(value[0])] >> (second & 31)) & 1 == 1
}

/// Whether a bare value is program text rather than a literal: a call, a path of names, a parameter.
pub(super) fn is_code(value: &[u8]) -> bool {
    let first = value.first().copied().unwrap_or(0);
    if value.ends_with(b"()") || value.ends_with(b"();") || value.ends_with(b"{") {
        return true;
    }
    if !(is(first, ALNUM) || matches!(first, b'_' | b'$' | b'&' | b'*' | b'(' | b'[')) {
        return false;
    }
    let mut name_end = run(value, usize::from(!is(first, ALNUM)), ALNUM | JOIN | DOT);
    // a::b::c
    while value[name_end..].starts_with(b"::") {
        name_end = run(value, name_end + 2, ALNUM | JOIN);
    }
    // name(…), name[…], a.b.c
    if name_end < value.len() && matches!(value[name_end], b'(' | b'[') {
        return true;
    }
    // What a pointer points to, an alias stands for.
    if first == b'*' && name_end == value.len() {
        return true;
    }
    let name = &value[..name_end];
    name_end == value.len() && name.contains(&b'.') && !name.iter().any(u8::is_ascii_digit)
}

pub(super) fn luhn(digits: &[u8]) -> bool {
    let mut sum = 0_u32;
    for (index, digit) in digits.iter().rev().enumerate() {
        let mut value = u32::from(digit - b'0');
        if index % 2 == 1 {
            value *= 2;
            if value > 9 {
                value -= 9;
            }
        }
        sum += value;
    }
    sum.is_multiple_of(10)
}
