//! Data about people that carries its own proof: check digits, formats, an `@`.

use super::{
    Sink,
    keys::{Place, Promise, judge},
    kinds::Kind,
    national,
    values::{ALNUM, DIGIT, DOT, JOIN, LOWER, UPPER, is, luhn, run},
};

/// Finds e-mail addresses.
pub(super) fn emails(text: &[u8], sink: &mut Sink<'_>) {
    for at in memchr::memchr_iter(b'@', text) {
        if let Some((start, end)) = email(text, at)
            && !names_message(text, start)
        {
            sink.push(start, end, Kind::Email);
        }
    }
}

/// Whether what looks like an address there names a message, in the head of one.
fn names_message(text: &[u8], start: usize) -> bool {
    if start == 0 || text[start - 1] != b'<' {
        return false;
    }
    let near = &text[start.saturating_sub(256)..start];
    let line = memchr::memrchr(b'\n', near).map_or(near, |end| &near[end + 1..]);
    [b"message-id:".as_slice(), b"in-reply-to:", b"references:"]
        .iter()
        .any(|name| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name))
}

pub(super) fn email(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut start = at;
    while start > 0
        && (is(text[start - 1], ALNUM | JOIN | DOT)
            || matches!(text[start - 1], b'+' | b'%' | b'\'' | b'!' | b'&')
            || text[start - 1] >= 0x80)
    {
        start -= 1;
    }
    // Quotes and dots around an address are not of it; neither is the letter of an escape.
    while start < at && matches!(text[start], b'\'' | b'.' | b'&' | b'!' | b'%') {
        start += 1;
    }
    if start > 0
        && text[start - 1] == b'\\'
        && start < at
        && matches!(text[start], b'n' | b'r' | b't')
    {
        start += 1;
    }
    let mut end = at + 1;
    let mut label = end;
    let mut last_label = end;
    while end < text.len() && (is(text[end], ALNUM | DOT) || text[end] == b'-' || text[end] >= 0x80)
    {
        if text[end] == b'.' {
            if end == label {
                return None;
            }
            label = end + 1;
        }
        end += 1;
    }
    if label == end && end > at + 1 {
        // The full stop of a sentence.
        end -= 1;
        label = text[at + 1..end]
            .iter()
            .rposition(|byte| *byte == b'.')
            .map_or(at + 1, |dot| at + 2 + dot);
    }
    last_label = last_label.max(label);
    let top = &text[last_label..end];
    let local = &text[start..at];
    let domain = &text[at + 1..end];
    let real = !local.is_empty()
        && local.len() <= 64
        && last_label > at + 1
        && (2..=24).contains(&top.len())
        && top
            .iter()
            .all(|byte| is(*byte, UPPER | LOWER) || *byte >= 0x80)
        && !local
            .iter()
            .all(|byte| matches!(byte, b'x' | b'X' | b'*' | b'.'));
    if !real || nobody(local, domain) {
        return None;
    }
    // scheme://user@host and git@host:path are addresses of machines.
    let after = text.get(end).copied();
    if after == Some(b':')
        && (local == b"git" || text.get(end + 1).is_some_and(|byte| is(*byte, ALNUM)))
        && local.len() <= 12
        && start >= 3
        && text[..start].ends_with(b"://")
    {
        return None;
    }
    // The password and host of an address with a user in it.
    let mut at_scheme = start;
    while at_scheme > 0
        && !matches!(
            text[at_scheme - 1],
            b' ' | b'\t' | b'\n' | b'"' | b'\'' | b'`' | b'<'
        )
    {
        at_scheme -= 1;
        if text[at_scheme] == b':'
            && text[at_scheme + 1..].starts_with(b"//")
            && at_scheme + 2 < start
        {
            return None;
        }
        if start - at_scheme > 256 {
            break;
        }
    }
    if text[..start].ends_with(b"://") || (local == b"git" && matches!(after, Some(b':' | b'/'))) {
        return None;
    }
    Some((start, end))
}

/// Whether the whole of a value is the address of nobody.
pub(super) fn is_nobody(value: &[u8], at: usize) -> bool {
    nobody(&value[..at], &value[at + 1..])
}

/// Addresses that belong to no person: those documentation uses.
fn nobody(local: &[u8], domain: &[u8]) -> bool {
    let example = [
        b"example.com".as_slice(),
        b"example.org",
        b"example.net",
        b"domain.com",
        b"email.com",
        b"yourcompany.com",
        b"yourdomain.com",
    ]
    .iter()
    .any(|name| domain.eq_ignore_ascii_case(name));
    // What is before a plus may belong to the text.
    let end = || local.rsplit(|byte| *byte == b'+').next().unwrap_or(local);
    let role = |local: &[u8]| {
        [
            b"user".as_slice(),
            b"you",
            b"your",
            b"name",
            b"your.name",
            b"your-email",
            b"youremail",
            b"email",
            b"me",
            b"test",
            b"username",
            b"someone",
            b"noreply",
            b"no-reply",
            b"first.last",
            b"firstname.lastname",
        ]
        .iter()
        .any(|name| local.eq_ignore_ascii_case(name))
    };
    let machine = domain.ends_with(b".invalid") || domain.ends_with(b".iam.gserviceaccount.com");
    let noreply = local.eq_ignore_ascii_case(b"noreply")
        || local.eq_ignore_ascii_case(b"no-reply")
        || domain.ends_with(b"users.noreply.github.com");
    (example && (role(local) || role(end()))) || machine || noreply
}

/// One group of digits or a run of them with single separators between.
struct Cluster {
    start: usize,
    end: usize,
    digits: [u8; 40],
    count: usize,
    /// Lengths of the groups between separators.
    groups: [u8; 12],
    group_count: usize,
    /// The separators seen: bit 0 space, 1 dash, 2 dot, 3 slash, 4 parenthesis.
    separators: u8,
    plus: bool,
}

/// Finds what the zones of a passport or an identity card say that machines read (ICAO 9303, parts 4 to 6), where their
/// check digits hold.
pub(super) fn machine_readable(line: &[u8], start: usize, sink: &mut Sink<'_>) {
    let of_zone = |byte: &u8| is(*byte, UPPER | DIGIT) || *byte == b'<';
    let mut at = 0;
    for zone in line.split(|byte| !of_zone(byte)) {
        let from = start + at;
        at += zone.len() + 1;
        let holds = |from: usize, to: usize| zone[to] == check_digit(&zone[from..to]);
        let mut say = |place: usize, to: usize, kind: Kind| {
            let length = zone[place..to]
                .iter()
                .take_while(|byte| **byte != b'<')
                .count();
            sink.push(from + place, from + place + length, kind);
        };
        match zone.len() {
            // The second line of a passport or a visa, and of a card of two lines.
            36 | 44 if holds(13, 19) && holds(21, 27) => {
                say(0, 9, Kind::Passport);
                say(13, 19, Kind::BirthDate);
                say(28, zone.len() - 2, Kind::NationalId);
            }
            // The first and the second line of a card of three.
            30 if matches!(zone[0], b'I' | b'A' | b'C') && holds(5, 14) => {
                say(5, 14, Kind::Passport);
                say(15, 30, Kind::NationalId);
            }
            30 if holds(0, 6) && holds(8, 14) => {
                say(0, 6, Kind::BirthDate);
                say(18, 29, Kind::NationalId);
            }
            _ => {}
        }
    }
}

/// Weights 7, 3, 1, again and again; letters count from ten.
fn check_digit(field: &[u8]) -> u8 {
    let weights = [7_u32, 3, 1].into_iter().cycle();
    let sum: u32 = field
        .iter()
        .zip(weights)
        .map(|(byte, weight)| match byte {
            b'0'..=b'9' => u32::from(byte - b'0') * weight,
            b'A'..=b'Z' => (u32::from(byte - b'A') + 10) * weight,
            _ => 0,
        })
        .sum();
    b'0' + (sum % 10) as u8
}

/// Who a message between hospitals is about (HL7 version 2, PID): fields by their place.
pub(super) fn patient(line: &[u8], start: usize, sink: &mut Sink<'_>) {
    let mut at = start;
    for (index, field) in line.split(|byte| *byte == b'|').enumerate() {
        let promise = match index {
            7 => Some(Promise::BirthDate),
            13 | 14 => Some(Promise::Phone),
            19 => Some(Promise::Ssn),
            _ => None,
        };
        // Its first part: what comes after says more about it.
        let part = field.split(|byte| *byte == b'^').next().unwrap_or(field);
        if let Some((from, to, kind)) =
            promise.and_then(|promise| judge(promise, part, Place::Enclosed))
        {
            sink.push(at + from, at + to, kind);
        }
        at += field.len() + 1;
    }
}

/// Finds cards, phones, accounts and national identifiers: whatever starts with `digit`, or right before it. Says where to
/// go on.
pub(super) fn number(text: &[u8], digit: usize, sink: &mut Sink<'_>) -> usize {
    let before = if digit == 0 { b' ' } else { text[digit - 1] };
    if is(before, UPPER | LOWER)
        && !(digit >= 2 && text[digit - 2] == b'\\' && matches!(before, b'n' | b'r' | b't'))
    {
        // Most letters before digits are those of hashes and ids. Two alone may be an account's country; upper case may be
        // a document's.
        let pair = digit >= 2
            && is(text[digit - 2], UPPER | LOWER)
            && (digit == 2 || !is(text[digit - 3], ALNUM));
        let known = is(before, UPPER) || pair;
        if known && let Some(end) = national::after_letters(text, digit, sink) {
            return end;
        }
        return run(text, digit, ALNUM);
    }
    if before == b'_' {
        return run(text, digit, ALNUM);
    }
    if before == b' '
        && digit >= 3
        && let Some(end) = national::after_letters(text, digit, sink)
    {
        return end;
    }
    // A few digits that end there are a count, a port, a year.
    let end = run(text, digit, DIGIT);
    // Nor is one longer than any number of a person's.
    if end - digit > 40 {
        return run(text, end, ALNUM);
    }
    let next = text.get(end).copied().unwrap_or(0);
    // Most numbers with dashes are dates.
    if end - digit == 4
        && next == b'-'
        && let Some([a, b, b'-', c, d, after]) = text.get(end + 1..end + 7)
        && [a, b, c, d].into_iter().all(|byte| is(*byte, DIGIT))
        && (*after == b'T' || *after == b' ' || *after == b'"')
        && !(digit > 0 && text[digit - 1] == b'+')
    {
        return end + 6;
    }
    if end - digit < 7 && !matches!(next, b' ' | b'-' | b'.' | b'/' | b')') {
        return if is(next, ALNUM) {
            run(text, end, ALNUM)
        } else {
            end
        };
    }
    classify(text, &cluster(text, digit), sink)
}

fn cluster(text: &[u8], digit: usize) -> Cluster {
    let mut start = digit;
    let mut plus = false;
    let mut separators = 0;
    if start > 0 && text[start - 1] == b'(' {
        start -= 1;
        separators |= 16;
    }
    if start > 0 && text[start - 1] == b'+' {
        start -= 1;
        plus = true;
    }
    let mut cluster = Cluster {
        start,
        end: digit,
        digits: [0; 40],
        count: 0,
        groups: [0; 12],
        group_count: 0,
        separators,
        plus,
    };
    let mut at = digit;
    loop {
        let group_end = run(text, at, DIGIT);
        if cluster.group_count == cluster.groups.len()
            || cluster.count + (group_end - at) > cluster.digits.len()
        {
            break;
        }
        for &byte in &text[at..group_end] {
            cluster.digits[cluster.count] = byte;
            cluster.count += 1;
        }
        cluster.groups[cluster.group_count] = (group_end - at) as u8;
        cluster.group_count += 1;
        cluster.end = group_end;
        // One separator, or a closing parenthesis and a space, then digits again.
        let mut next = group_end;
        let mut mark = 0;
        while next < text.len() && next < group_end + 2 {
            mark |= match text[next] {
                b' ' => 1,
                b'-' => 2,
                b'.' => 4,
                b'/' => 8,
                b'(' | b')' => 16,
                _ => break,
            };
            next += 1;
        }
        let apart = next - group_end;
        if apart == 0
            || next >= text.len()
            || !is(text[next], DIGIT)
            || (apart == 2 && mark & 16 == 0)
        {
            break;
        }
        cluster.separators |= mark;
        at = next;
    }
    cluster
}

/// Names the cluster, if it has a name, and says where to go on.
fn classify(text: &[u8], cluster: &Cluster, sink: &mut Sink<'_>) -> usize {
    let end = cluster.end;
    if cluster.count < 7 {
        return end;
    }
    let after = text.get(end).copied().unwrap_or(b' ');
    let glued = is(after, ALNUM) || after == b'_';
    let before = if cluster.start == 0 {
        b' '
    } else {
        text[cluster.start - 1]
    };
    if glued && cluster.count < 8 {
        return run(text, end, ALNUM);
    }
    let inside = before == b'.'
        || before == b'-' && cluster.start >= 2 && is(text[cluster.start - 2], ALNUM)
        || before == b'/' && cluster.separators == 0
        || after == b'-'
            && text
                .get(end + 1)
                .is_some_and(|byte| is(*byte, UPPER | LOWER));
    let free = !glued && !inside;
    if free {
        if let Some((to, kind)) = card(text, cluster) {
            sink.push(cluster.start, to, kind);
            return to;
        }
        if let Some((to, kind)) =
            ssn(cluster).or_else(|| national::digits(text, cluster.start, &as_view(cluster)))
        {
            sink.push(cluster.start, to, kind);
            return to;
        }
        if let Some(to) = phone(text, cluster) {
            sink.push(cluster.start, to, Kind::Phone);
            return to;
        }
    }
    if let Some((to, kind)) = national::before_letter(text, cluster.start, &as_view(cluster)) {
        sink.push(cluster.start, to, kind);
        return to;
    }
    end
}

fn as_view(cluster: &Cluster) -> national::View<'_> {
    national::View {
        digits: &cluster.digits[..cluster.count],
        groups: &cluster.groups[..cluster.group_count],
        separators: cluster.separators,
        end: cluster.end,
    }
}

/// A card: an issuer's range, a length it uses, Luhn, and groups as cards are printed. Groups that follow without belonging
/// to it are left out.
fn card(text: &[u8], cluster: &Cluster) -> Option<(usize, Kind)> {
    if cluster.plus || cluster.separators & !(1 | 2) != 0 || cluster.count < 13 {
        return None;
    }
    let mut groups = cluster.group_count;
    loop {
        let count: usize = cluster.groups[..groups]
            .iter()
            .map(|group| usize::from(*group))
            .sum();
        if count < 13 {
            return None;
        }
        let digits = &cluster.digits[..count];
        let shape = &cluster.groups[..groups];
        let printed = matches!(
            shape,
            [_] | [4, 4, 4, 4]
                | [4, 6, 5]
                | [4, 6, 4]
                | [4, 4, 4, 2]
                | [4, 4, 4, 3]
                | [4, 4, 4, 1]
                | [4, 4, 4, 4, 1..=3]
                | [6, 4, 4..=5]
        );
        if printed
            && issuer(digits)
            && luhn(digits)
            && digits.iter().any(|digit| *digit != digits[0])
        {
            let mut end = cluster.start;
            let mut left = count;
            while left > 0 {
                left -= usize::from(is(text[end], DIGIT));
                end += 1;
            }
            return Some((end, Kind::Card));
        }
        if groups <= 1 {
            return None;
        }
        groups -= 1;
    }
}

/// Whether digits begin as an issuer's do, and are as many as it uses.
fn issuer(digits: &[u8]) -> bool {
    let number = |count: usize| {
        digits[..count]
            .iter()
            .fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'))
    };
    let (two, three, four) = (number(2), number(3), number(4));
    match digits.len() {
        13 => digits[0] == b'4',
        14 => matches!(two, 36 | 38 | 39) || (300..=305).contains(&three),
        15 => matches!(two, 34 | 37),
        16 => {
            digits[0] == b'4'
                || (51..=55).contains(&two)
                || (2221..=2720).contains(&four)
                || four == 6011
                || matches!(two, 65 | 62 | 60 | 81 | 82)
                || (644..=649).contains(&three)
                || (3528..=3589).contains(&four)
                || matches!(two, 50 | 56..=58 | 63 | 67)
        }
        17..=19 => {
            matches!(two, 62 | 65 | 67) || digits[0] == b'4' && digits.len() == 19 || four == 6011
        }
        _ => false,
    }
}

/// A US social security number, written with its dashes.
fn ssn(cluster: &Cluster) -> Option<(usize, Kind)> {
    let shape = &cluster.groups[..cluster.group_count];
    if shape != [3, 2, 4] || !matches!(cluster.separators, 1 | 2) || cluster.plus {
        return None;
    }
    let digits = &cluster.digits[..9];
    let area = &digits[..3];
    let real = area != b"000"
        && area != b"666"
        && digits[0] != b'9'
        && &digits[3..5] != b"00"
        && &digits[5..] != b"0000"
        && digits != b"123456789"
        && digits != b"078051120";
    real.then_some((cluster.end, Kind::UsSsn))
}

/// A phone number: international with its plus, or in a format only phones have.
fn phone(text: &[u8], cluster: &Cluster) -> Option<usize> {
    let shape = &cluster.groups[..cluster.group_count];
    let digits = &cluster.digits[..cluster.count];
    let varied = digits[1..].iter().any(|digit| *digit != digits[1]);
    if !varied || cluster.separators & 8 != 0 && !cluster.plus {
        return None;
    }
    if cluster.plus {
        let single = shape.len() == 1;
        let before = if cluster.start == 0 {
            b' '
        } else {
            text[cluster.start - 1]
        };
        let free =
            !is(before, ALNUM) && !matches!(before, b'+' | b'/' | b'=' | b'.') || before == b'=';
        return ((8..=15).contains(&cluster.count)
            && digits[0] != b'0'
            && free
            && (single || shape.len() <= 7))
            .then_some(cluster.end);
    }
    let north_america =
        |digits: &[u8]| matches!(digits[0], b'2'..=b'9') && matches!(digits[3], b'2'..=b'9');
    match shape {
        // 06-xxxxxxxx, 0xx xxx xxxx
        [2, 8] if digits.starts_with(b"06") && matches!(cluster.separators, 1 | 2) => {
            Some(cluster.end)
        }
        [3, 3, 4]
            if digits[0] == b'0' && digits[1] != b'0' && matches!(cluster.separators, 1 | 2) =>
        {
            Some(cluster.end)
        }
        // What is dialled instead of a plus: 00 31 6 …
        [3..=5, _, ..]
            if digits.starts_with(b"00")
                && digits[2] != b'0'
                && (11..=15).contains(&cluster.count)
                && cluster.separators == 1 =>
        {
            Some(cluster.end)
        }
        [3, 3, 4] if cluster.separators & 16 != 0 || matches!(cluster.separators, 1 | 2 | 4) => {
            (north_america(digits) || cluster.separators & 16 != 0 || cluster.separators == 2)
                .then_some(cluster.end)
        }
        [1, 3, 3, 4] if digits[0] == b'1' => north_america(&digits[1..]).then_some(cluster.end),
        // 0xxxx xxxxxx, 0xxx xxx xxxx, 0xx xxxx xxxx
        [5, 6] | [4, 3, 4] | [3, 4, 4] | [5, 3, 3]
            if digits[0] == b'0'
                && digits[1] != b'0'
                && cluster.separators & !(1 | 2 | 16) == 0 =>
        {
            Some(cluster.end)
        }
        // 0x xx xx xx xx
        [2, 2, 2, 2, 2]
            if digits[0] == b'0'
                && digits[1] != b'0'
                && matches!(cluster.separators, 1 | 2 | 4) =>
        {
            Some(cluster.end)
        }
        _ => None,
    }
}

const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];

/// The longest of all names of months, in bytes.
const LONGEST_MONTH: usize = 10;

/// What follows a day: 1st, 2nd.
const ORDINALS: [&[u8]; 4] = [b"st", b"nd", b"rd", b"th"];

/// How the months are called elsewhere, where that is not as in English.
const OTHER_MONTHS: [&str; 54] = [
    // German, Dutch
    "januar",
    "februar",
    "märz",
    "mai",
    "juni",
    "juli",
    "oktober",
    "dezember",
    "januari",
    "februari",
    "maart",
    "mei",
    "augustus", // French
    "janvier",
    "février",
    "mars",
    "avril",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "décembre",
    // Spanish, Portuguese
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "septiembre",
    "setiembre",
    "octubre",
    "noviembre",
    "diciembre",
    "janeiro",
    "fevereiro",
    "março",
    "maio",
    "junho",
    "julho",
    "setembro",
    "outubro",
    "novembro",
    "dezembro",
    // Italian
    "gennaio",
    "febbraio",
    "aprile",
    "maggio",
    "giugno",
    "luglio",
    "settembre",
    "ottobre",
    "dicembre",
];

/// How long the date at the start of `text` is; `None`: there is none.
pub(super) fn date_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let end = run(text, from, DIGIT);
        (end - from, end)
    };
    let (first, mut at) = digits(0);
    let value = |from: usize, to: usize| {
        text[from..to].iter().fold(0_u32, |value, digit| {
            value
                .saturating_mul(10)
                .saturating_add(u32::from(digit - b'0'))
        })
    };
    if first == 0 {
        // March 3, 1980
        let word = run(text, 0, UPPER | LOWER);
        if !is_month(&text[..word]) {
            return None;
        }
        let day = word + usize::from(text.get(word) == Some(&b'.')) + 1;
        let (length, end) = digits(day.min(text.len()));
        let mut year = end;
        while year < text.len()
            && (matches!(text[year], b',' | b' ')
                || ORDINALS.iter().any(|end| text[year..].starts_with(end)))
        {
            year += if matches!(text[year], b',' | b' ') {
                1
            } else {
                2
            };
        }
        let (year_length, year_end) = digits(year.min(text.len()));
        return ((1..=2).contains(&length) && year_length == 4).then_some(year_end);
    }
    if first == 8 {
        let year = value(0, 4);
        let month = value(4, 6);
        let day = value(6, 8);
        return ((1900..=2035).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day))
        .then_some(8);
    }
    let separator = *text.get(at)?;
    if matches!(separator, b'-' | b'/' | b'.') {
        let (second, second_end) = digits(at + 1);
        if text.get(second_end) == Some(&separator) && (1..=2).contains(&second) {
            let (third, third_end) = digits(second_end + 1);
            let parts = (
                value(0, at),
                value(at + 1, second_end),
                value(second_end + 1, third_end),
            );
            let real = match (first, third) {
                (4, 1..=2) => {
                    (1880..=2035).contains(&parts.0)
                        && (1..=12).contains(&parts.1)
                        && (1..=31).contains(&parts.2)
                }
                (1..=2, 4) => {
                    (1880..=2035).contains(&parts.2)
                        && (1..=31).contains(&parts.0)
                        && (1..=31).contains(&parts.1)
                        && (parts.0 <= 12 || parts.1 <= 12)
                }
                (2, 2) => (1..=31).contains(&parts.0) && (1..=31).contains(&parts.1),
                _ => false,
            };
            return real.then_some(third_end);
        }
        // 03-Jan-1980
    }
    if !(1..=2).contains(&first) {
        return None;
    }
    while at < text.len() && matches!(text[at], b' ' | b'-' | b'.' | b'/') {
        at += 1;
    }
    if text[at..].starts_with(b"th ")
        || text[at..].starts_with(b"st ")
        || text[at..].starts_with(b"nd ")
        || text[at..].starts_with(b"rd ")
    {
        at += 3;
    }
    // 11 de febrero de 1984
    let of = |at: usize| {
        if text[at..].starts_with(b"de ") {
            at + 3
        } else {
            at
        }
    };
    at = of(at);
    let letters = text[at..]
        .iter()
        .take_while(|byte| is(**byte, UPPER | LOWER) || **byte >= 0x80);
    let word = at + letters.count();
    if !is_month(&text[at..word]) {
        return None;
    }
    let mut year = word + usize::from(text[word..].starts_with(b" de "));
    year = of(year);
    while year < text.len() && matches!(text[year], b' ' | b'-' | b'.' | b',' | b'/') {
        year += 1;
    }
    let (length, end) = digits(year);
    (matches!(length, 2 | 4) && year > word).then_some(end)
}

pub(super) fn is_month(word: &[u8]) -> bool {
    (3..=LONGEST_MONTH).contains(&word.len())
        && matches!(word[0] | 0x20, b'a' | b'd'..=b'g' | b'j' | b'l'..=b'o' | b's')
        && (MONTHS.iter().any(|month| {
            word.len() <= month.len() && month[..word.len()].eq_ignore_ascii_case(word)
        }) || OTHER_MONTHS
            .iter()
            .any(|month| month.as_bytes().eq_ignore_ascii_case(word)))
}

/// Whether a value is a date, possibly with a time after it.
pub(super) fn is_date(value: &[u8]) -> bool {
    date_length(value)
        .is_some_and(|length| length == value.len() || matches!(value[length], b'T' | b' '))
}
