//! One pass over whole lines, and what a line leaves behind for those after it.
//!
//! INVARIANT: everything that depends on more than one line is in [`Context`], so the same lines give the same findings in
//! however many pieces they come.

use super::{
    Finding, Sets, Sink, arrays,
    bits::{BLOCK, Bits, earlier, from_place, joined, later, next_place},
    fold, keyed, keys,
    kinds::Kind,
    national, nested, personal, quoted, tables,
    tokens::{self, Seen},
    told,
    values::{ALNUM, ANY, BASE64, EQUALS, LOWER, UPPER, is, run},
};

/// What earlier lines say about the next.
#[derive(Clone, Debug, Default)]
pub(in crate::domain::masking) struct Context {
    pair: keyed::Pair,
    /// Inside the armour of a private key, and for how many lines.
    armour: Option<u16>,
    /// Lines after an AWS access key id in which its secret is still looked for.
    aws: u8,
    tables: tables::Tables,
    arrays: arrays::Arrays,
    /// What the lines of a document say that stand in a list of strings, a line in each.
    strings: Option<Box<Self>>,
}

/// How many blocks are searched together.
const BLOCKS: usize = 16;

/// An access key id and its secret are at most this many lines apart.
const AWS_LINES: u8 = 6;

/// What the line before a private key says.
const ARMOUR: &[u8] = b"PRIVATE KEY";
/// What the line before a key of OpenVPN says.
const STATIC: &[u8] = b"OpenVPN Static key";
/// What messages between companies begin with.
const INTERCHANGE: &[u8] = b"UN";
/// What the line begins with that says who a message is about.
const PATIENT: &[u8] = b"PID|";
/// No private key has more lines.
const ARMOUR_LINES: u16 = 200;

/// One pass over a text: what was seen of the line at hand, and how far each search has come.
struct Pass<'a> {
    text: &'a [u8],
    /// Where the line at hand starts.
    start: usize,
    /// Where it ends, once that was asked.
    end: Option<usize>,
    /// The block at hand, and where lines end in it and in the next.
    newlines: (usize, [u64; 2]),
    /// It has a word that ends as a promising name does.
    named: bool,
    /// It has the mark of a private key.
    armour: bool,
    /// Its values are looked into whatever their name is.
    encoded: bool,
    /// Where its first list of columns is named.
    columns: Option<usize>,
    /// What all of it is, by the line before.
    block: Option<keyed::Block>,
    /// Up to here values are found by their names.
    keyed: usize,
    /// Up to here numbers are looked at.
    numbers: usize,
    seen: Seen,
    percent: With,
    tag: With,
    escape: With,
}

/// A byte that few lines have, and where the first line with it starts that does not start before the line at hand; after
/// the text where none has it.
struct With {
    byte: u8,
    line: usize,
}

impl With {
    fn new(byte: u8, text: &[u8]) -> Self {
        let mut with = Self { byte, line: 0 };
        with.find(text, 0);
        with
    }

    #[inline(never)]
    fn find(&mut self, text: &[u8], start: usize) {
        let found = memchr::memchr(self.byte, &text[start..]);
        self.line = found.map_or(text.len() + 1, |found| {
            let end = memchr::memrchr(b'\n', &text[start..start + found]);
            end.map_or(start, |end| start + end + 1)
        });
    }

    /// Goes on to the line that starts at `start`.
    #[inline]
    fn go_on(&mut self, text: &[u8], start: usize) {
        if start > self.line {
            self.find(text, start);
        }
    }
}

impl<'a> Pass<'a> {
    /// The text up to the end of the line at hand; `at` is in it.
    fn line(&mut self, at: usize) -> &'a [u8] {
        let text = self.text;
        let end = *self.end.get_or_insert_with(|| {
            let (from, [block, after]) = self.newlines;
            let near = from_place(block, after, (at - from) & (BLOCK - 1));
            if near != 0 {
                return at + near.trailing_zeros() as usize;
            }
            memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |found| at + found)
        });
        &text[..end]
    }

    #[inline]
    fn next_line(&mut self, start: usize) {
        self.start = start;
        self.end = None;
        self.named = false;
        self.armour = false;
        self.columns = None;
        self.percent.go_on(self.text, start);
        self.tag.go_on(self.text, start);
        self.escape.go_on(self.text, start);
        self.encoded = self.has(&self.percent);
    }

    /// Whether the line at hand has such a byte.
    #[inline]
    fn has(&self, with: &With) -> bool {
        with.line == self.start
    }
}

impl Context {
    /// Finds everything in whole lines of text.
    pub(in crate::domain::masking) fn find(
        &mut self,
        text: &[u8],
        sets: Sets,
        found: &mut Vec<Finding>,
    ) {
        if !sets.any() {
            return;
        }
        let mut sink = Sink {
            found,
            sets,
            depth: 0,
            base: 0,
        };
        self.scan(text, &mut sink);
    }

    /// Scans whole lines. A last line without its newline counts as one.
    pub(super) fn scan(&mut self, text: &[u8], sink: &mut Sink<'_>) {
        let Some(folded) = fold::text(text) else {
            return self.scan_folded(text, sink);
        };
        let before = sink.found.len();
        let base = std::mem::take(&mut sink.base);
        self.scan_folded(&folded.text, sink);
        for finding in &mut sink.found[before..] {
            finding.start = base + folded.original(finding.start);
            // What is invisible after the last character goes with it.
            finding.end = base + folded.original(finding.end);
        }
        sink.base = base;
    }

    fn scan_folded(&mut self, text: &[u8], sink: &mut Sink<'_>) {
        told::percent_encoded(text, sink);
        if sink.sets.personal {
            personal::emails(text, sink);
        }
        let mut pass = Pass {
            text,
            start: 0,
            end: None,
            newlines: (0, [0; 2]),
            named: false,
            armour: false,
            encoded: false,
            columns: None,
            block: self.pair.take_block(),
            keyed: 0,
            numbers: 0,
            seen: Seen::default(),
            percent: With::new(b'%', text),
            tag: With::new(b'<', text),
            escape: With::new(b'\\', text),
        };
        pass.next_line(0);
        // Each search runs over some blocks before the next does: they know nothing of each other, and the processor learns
        // one at a time. The first is the one before those looked at, the last the one after.
        let mut bits = [Bits::default(); BLOCKS + 2];
        bits[1] = Bits::at(text, 0);
        let mut long_before = 0;
        let mut at = 0;
        while at < text.len() {
            let count = (text.len() - at).div_ceil(BLOCK).min(BLOCKS);
            Bits::of_each(text, at + BLOCK, &mut bits[2..count + 2]);
            let blocks = || {
                let around = bits[..count + 2].array_windows();
                around
                    .enumerate()
                    .map(move |(index, around)| (around, at + index * BLOCK))
            };
            for (around, at) in blocks() {
                long_before = tokens_of(around, long_before, at, &mut pass, sink);
            }
            if sink.sets.personal {
                for (around, at) in blocks() {
                    numbers_of(around, at, &mut pass, sink);
                }
            }
            let mut names = [0; BLOCKS];
            for (names, (around, at)) in names.iter_mut().zip(blocks()) {
                *names = names_of(around, text, at);
            }
            for (names, (around, at)) in names.into_iter().zip(blocks()) {
                self.words_of(names, around, at, &mut pass, sink);
            }
            bits[0] = bits[count];
            bits[1] = bits[count + 1];
            at += count * BLOCK;
        }
        if pass.start < text.len() {
            self.line(&pass, text.len(), true, sink);
        } else if let Some(block) = pass.block {
            // Its line is not here yet.
            self.pair.keep_block(block);
        }
    }

    /// Looks at what follows the words of a block, of which `names` may name it, and at each line that ends in it.
    #[inline]
    fn words_of(
        &mut self,
        names: u64,
        [before, block, after]: &[Bits; 3],
        at: usize,
        pass: &mut Pass<'_>,
        sink: &mut Sink<'_>,
    ) {
        let text = pass.text;
        pass.newlines = (at, [block.newlines, after.newlines]);
        let colons = self::colons(block, after);
        // A dash, or a slash, before a letter and after what is of no token.
        let dashes = block.solid
            & block.grouped
            & !block.digits
            & !earlier(block.solid, before.solid, 1)
            & later(block.letters, after.letters, 1);
        let mut rest = names | colons | dashes | block.newlines;
        while let Some(place) = next_place(&mut rest) {
            let place_in_text = at + place;
            match text[place_in_text] {
                b'\n' => {
                    let solid = joined(before.solid, block.solid) >> (place + 1);
                    let run = (solid as u64).leading_ones() as usize;
                    let open = (tokens::SHORTEST_START..tokens::SHORTEST).contains(&run)
                        || place_in_text > 0 && text[place_in_text - 1] == b'\r';
                    self.line(pass, place_in_text, open, sink);
                    pass.next_line(place_in_text + 1);
                    pass.block = self.pair.take_block();
                }
                b':' => {
                    if place_in_text < pass.keyed || pass.encoded {
                        continue;
                    }
                    let line = pass.line(place_in_text);
                    let next = keyed::after_colon(line, pass.start, place_in_text, sink);
                    pass.keyed = next.unwrap_or(pass.keyed);
                }
                b'/' | b'.' => {}
                b'-' => {
                    let line = pass.line(place_in_text);
                    if let Some((from, to, kind)) = told::after_dash(line, place_in_text) {
                        sink.push(from, to, kind);
                    }
                }
                letter => {
                    let end = place_in_text + 1;
                    let next = text.get(end).copied().unwrap_or(b'\n');
                    let second = text.get(end + 1).copied().unwrap_or(b'\n');
                    // A separator comes after it, or the name of a column goes on.
                    let paired = matches!(next, b':' | b'=')
                        || matches!(next, b'"' | b'\'') && second == b':';
                    let goes_on = matches!(next, b' ' | b'_' | b'-' | b'.' | b'/')
                        && is(second, UPPER | LOWER);
                    pass.named |= !paired && !goes_on;
                    if letter == b'Y' && text[..end].ends_with(ARMOUR) {
                        pass.armour = true;
                    }
                    if matches!(letter, b's' | b'a') && matches!(next, b'"' | b'\\') {
                        pass.columns = pass.columns.or_else(|| arrays::list(text, end));
                    }
                    if next == b'"' && matches!(second, b',' | b']') && pass.columns.is_none() {
                        pass.columns = arrays::header(&text[pass.start..], end - pass.start)
                            .map(|open| pass.start + open);
                    }
                    if next == b'/' && keyed::is_vault(text, end) {
                        pass.encoded = true;
                    }
                    // `no.:`, `)=(`, `key[] = …`, `key{"…"}`, `BDAY;VALUE=…`, `D.O.B. …`
                    let follows = keys::may_follow(next)
                        || matches!(
                            (next, second),
                            (b'.', b':') | (b')', b'=') | (b'[', b']' | b'0'..=b'9') | (b'{', b'"')
                        )
                        || next == b';' && is(second, UPPER | LOWER)
                        || next == b'.' && keys::may_be_short(&text[..end]);
                    // A name that goes on is another's part; what has a form of its own may be.
                    let part = goes_on && matches!(next, b'_' | b'-');
                    if !follows || part && !keys::may_have_own_form(keys::last(&text[..end])) {
                        continue;
                    }
                    let line = pass.line(place_in_text);
                    if (!paired || told::before_separator(&text[..end], next))
                        && let Some((from, to, kind)) =
                            told::after_word(line, end, &mut self.pair.names)
                    {
                        sink.push(from, to, kind);
                    }
                    // In a sentence the next word follows; in a tag an attribute may.
                    let sentence = next == b' ' && goes_on && !pass.has(&pass.tag);
                    if place_in_text >= pass.keyed
                        && !sentence
                        && !pass.encoded
                        && let Some(next) =
                            keyed::after_name(line, pass.start, end, &mut self.pair, sink)
                    {
                        pass.keyed = next;
                    }
                }
            }
        }
    }

    /// Looks at a whole line. `open`: it may end in the start of a token.
    #[inline(always)]
    fn line(&mut self, pass: &Pass<'_>, end: usize, open: bool, sink: &mut Sink<'_>) {
        // Most lines are like this; asking takes few branches.
        let own =
            pass.named | pass.armour | pass.encoded | pass.columns.is_some() | pass.block.is_some();
        let left = self.armour.is_some()
            | (self.aws > 0)
            | self.strings.is_some()
            | self.tables.follows()
            | self.arrays.follows()
            | self.pair.waits();
        if own | left | open | (pass.seen.aws > pass.start) || self.begins(pass, end) {
            self.marked_line(pass, end, open, sink);
        }
    }

    /// Whether a line begins as one does that means something, whatever else is in it, or ends so.
    #[inline]
    fn begins(&self, pass: &Pass<'_>, end: usize) -> bool {
        let line = &pass.text[pass.start..end];
        let (Some(first), Some(last)) = (line.first(), line.last()) else {
            return false;
        };
        let first = match first {
            b'*' | b'v' | b'"' => true,
            b'P' => line.starts_with(PATIENT),
            b'U' => line.starts_with(INTERCHANGE),
            _ => false,
        };
        let last = match last {
            // A list of columns begins in the next line, or an answer.
            b'[' | b'?' => true,
            b',' => pass.has(&pass.escape) && line.ends_with(b"\\n\","),
            _ => false,
        };
        // The zone of a passport that machines read ends in a digit, or in what fills it.
        let zone =
            pass.has(&pass.tag) && matches!(line.trim_ascii_end().last(), Some(b'0'..=b'9' | b'<'));
        first | last | zone || self.tables.may_begin(line)
    }

    #[inline(never)]
    fn marked_line(&mut self, pass: &Pass<'_>, end: usize, open: bool, sink: &mut Sink<'_>) {
        let (text, start) = (pass.text, pass.start);
        if let Some(block) = pass.block {
            keyed::block(block, &text[start..end], start, sink);
        }
        let line = &text[start..end];
        let of_vpn = line.first() == Some(&b'-') && line.starts_with(b"-----BEGIN OpenVPN");
        if pass.armour || self.armour.is_some() || of_vpn {
            self.private_key(text, start, end, sink);
        }
        if pass.seen.aws > start || self.aws > 0 {
            self.aws_secret(&text[..end], start, sink);
        }
        let tagged = pass.has(&pass.tag);
        if tagged && memchr::memmem::find(line, b"<<").is_some() {
            personal::machine_readable(line, start, sink);
        }
        match line.first() {
            // A line of `.pgpass` for any host.
            Some(b'*') if line.starts_with(b"*:") => {
                keyed::after_colon(&text[..end], start, start + 1, sink);
            }
            Some(b'P') if line.starts_with(PATIENT) => personal::patient(line, start, sink),
            Some(b'U' | b'C') if line.starts_with(INTERCHANGE) || line.starts_with(b"COM+") => {
                personal::interchange(line, start, sink);
            }
            Some(b'"') => {
                if let Some((from, to, kind)) = told::account(&text[..end], start) {
                    sink.push(from, to, kind);
                }
            }
            _ => {}
        }
        if open {
            tokens::line_end(text, start, end, sink);
        }
        if pass.encoded {
            keyed::every_value(text, start, end, &mut self.pair, sink);
        }
        let escaped = pass.has(&pass.escape);
        let listed = self.strings.is_some() || escaped && line.ends_with(b"\\n\",");
        if let Some((from, to)) = (listed && sink.depth == 0)
            .then(|| quoted::of_list(line, self.strings.is_some()))
            .flatten()
        {
            let context = self.strings.get_or_insert_default();
            quoted::document(&line[from..to], b'"', start + from, context, sink);
        } else {
            self.strings = None;
            if pass.named && escaped {
                quoted::documents(line, start, sink);
            }
        }
        self.tables
            .line(text, (start, end), (pass.named, tagged), sink);
        self.pair.answer(line, start, sink);
        let described = self.pair.take_described();
        let columns = pass
            .columns
            .or_else(|| arrays::described(text, (start, end), described?));
        if columns.is_some() || self.arrays.follows() || line.last() == Some(&b'[') {
            self.arrays.line(text, (start, end), columns, sink);
        }
        self.pair.end_line(line, pass.named);
    }

    fn aws_secret(&mut self, line: &[u8], start: usize, sink: &mut Sink<'_>) {
        let id = tokens::first_aws_id(line, start);
        if id.is_none() && self.aws == 0 {
            return;
        }
        self.aws = if id.is_some() {
            AWS_LINES
        } else {
            self.aws.saturating_sub(1)
        };
        tokens::aws_secret(line, id.unwrap_or(start), sink);
    }

    /// Masks what is between the armour's lines, on one line or many.
    fn private_key(&mut self, text: &[u8], start: usize, end: usize, sink: &mut Sink<'_>) {
        let line = &text[..end];
        let mut at = start;
        loop {
            if let Some(lines) = self.armour {
                let close = memchr::memmem::find(&line[at..], b"-----END").map(|found| at + found);
                let body_end = close.unwrap_or(end);
                let body = &line[at..body_end];
                let single = close.is_none() && body.len() > 100 && body.contains(&b'"');
                let body = if single {
                    // A truncated key in a string ends with the string.
                    &body[..memchr::memchr(b'"', body).unwrap_or(body.len())]
                } else {
                    body
                };
                let key_text = |byte: &u8| {
                    is(*byte, ALNUM | BASE64 | EQUALS)
                        || matches!(
                            byte,
                            b' ' | b'\t'
                                | b'\r'
                                | b'\\'
                                | b'"'
                                | b'\''
                                | b','
                                | b':'
                                | b'-'
                                | b'.'
                                | b'|'
                                | b'>'
                                | b'+'
                                | b'('
                                | b')'
                        )
                };
                if !body.iter().all(key_text) || lines > ARMOUR_LINES {
                    self.armour = None;
                    return;
                }
                let first = body.iter().position(|byte| is(*byte, ALNUM | BASE64));
                let last = body
                    .iter()
                    .rposition(|byte| is(*byte, ALNUM | BASE64 | EQUALS));
                if let (Some(mut first), Some(mut last)) = (first, last) {
                    // `\n` before and after the body stay.
                    if body[first] == b'n' && first > 0 && body[first - 1] == b'\\' {
                        first += 1;
                    }
                    if body[last] == b'n' && last > 0 && body[last - 1] == b'\\' {
                        last = last.saturating_sub(2);
                    }
                    if last + 1 > first {
                        sink.push(at + first, at + last + 1, Kind::PrivateKey);
                    }
                }
                match close {
                    Some(close) => {
                        self.armour = None;
                        at = close + 8;
                    }
                    None => {
                        self.armour = if single { None } else { Some(lines + 1) };
                        return;
                    }
                }
            } else {
                let key = memchr::memmem::find(&line[at..], ARMOUR);
                let Some(found) = key.or_else(|| memchr::memmem::find(&line[at..], STATIC)) else {
                    return;
                };
                let name = at + found;
                let opens = line[at..name].windows(5).any(|five| five == b"BEGIN");
                at = name + ARMOUR.len().min(STATIC.len());
                if !opens {
                    continue;
                }
                // -----, or BLOCK----- of an OpenPGP key.
                let Some(dashes) = memchr::memmem::find(&line[at..(at + 20).min(end)], b"-----")
                else {
                    continue;
                };
                at += dashes + 5;
                self.armour = Some(0);
            }
        }
    }
}

/// Which words of a block, by their last letters, may name something.
#[inline]
fn names_of([before, block, after]: &[Bits; 3], text: &[u8], at: usize) -> u64 {
    let digit = |count: u32| earlier(block.digits, before.digits, count);
    // None ends in fewer than three letters after a digit, as there are many of in hexadecimal.
    let mut ends = block.letters & !later(block.letters, after.letters, 1) & !digit(1) & !digit(2);
    let mut names = 0;
    // The block with what is before it, where there is that.
    let window = at
        .checked_sub(3)
        .and_then(|from| text.get(from..)?.first_chunk::<{ BLOCK + 3 }>());
    match window {
        Some(window) => {
            while let Some(place) = next_place(&mut ends) {
                let from = place & (BLOCK - 1);
                let four = [
                    window[from],
                    window[from + 1],
                    window[from + 2],
                    window[from + 3],
                ];
                names |= u64::from(keys::may_end_name(four)) << place;
            }
        }
        None => {
            while let Some(place) = next_place(&mut ends) {
                let four = keys::last(&text[..=at + place]);
                names |= u64::from(keys::may_end_name(four)) << place;
            }
        }
    }
    // Of the few that are left more is asked.
    let mut rest = names;
    while let Some(place) = next_place(&mut rest) {
        names ^= u64::from(!keys::ends_name(&text[..=at + place])) << place;
    }
    names
}

/// Colons after which a host or a port's digits stand.
#[inline]
fn colons(block: &Bits, after: &Bits) -> u64 {
    if block.colons == 0 {
        return 0;
    }
    // `- . /`
    let signs = |bits: &Bits| bits.solid & bits.grouped & !bits.digits;
    let scheme = at_least(joined(signs(block), signs(after)), 2);
    let port = at_least(joined(block.digits, after.digits), 3);
    block.colons & ((scheme | port) >> 1) as u64
}

/// Looks at the runs of token characters that begin in a block, and at the words in them; `long_before` is where, in the
/// block before, long runs went on. Says the same of this one.
#[inline]
fn tokens_of(
    [before, block, after]: &[Bits; 3],
    long_before: u64,
    at: usize,
    pass: &mut Pass<'_>,
    sink: &mut Sink<'_>,
) -> u64 {
    let solid = joined(block.solid, after.solid);
    // From where on there are as many of them as a token has at least.
    let long = at_least(solid, tokens::SHORTEST);
    let long = long as u64;
    // Everywhere in them.
    let mut inside = joined(long_before, long);
    inside |= inside << 1;
    inside |= inside << 2;
    inside |= inside << 4;
    inside |= inside << (tokens::SHORTEST - 8);
    let inside = (inside >> BLOCK) as u64;
    if inside == 0 {
        return long;
    }
    let words = block.letters
        & !earlier(
            block.letters | block.digits,
            before.letters | before.digits,
            1,
        );
    // The letter of an escape is not of the word after it.
    let starts = |long: u64, solid: u64, before: u64| long & !earlier(solid, before, 1);
    let starts_before = starts(long_before, before.solid, 0);
    let starts = starts(long, block.solid, before.solid);
    let mut rest = words & inside | earlier(starts, starts_before, 1);
    let mut marks = 0;
    while let Some(place) = next_place(&mut rest) {
        marks |= u64::from(tokens::may_start(pass.text, at + place)) << place;
    }
    while let Some(place) = next_place(&mut marks) {
        tokens::word(pass.text, at + place, &mut pass.seen, sink);
    }
    let mut rest = starts;
    while let Some(place) = next_place(&mut rest) {
        let from = at + place;
        let length = (solid >> place).trailing_ones() as usize;
        if length < tokens::SHORTEST_SIGNED {
            continue;
        }
        let (to, upper, marks) = if place + length < 2 * BLOCK {
            let run = (u128::MAX >> (2 * BLOCK - length)) << place;
            let upper = joined(block.upper, after.upper) & run;
            (from + length, upper, joined(block.marks, after.marks) & run)
        } else {
            let to = run(pass.text, from + length, ANY);
            (to, u128::MAX, u128::MAX)
        };
        if upper != 0 {
            let within = tokens::Within {
                signature: upper & (upper >> 1 | upper >> 2) != 0,
                mark: marks != 0,
            };
            tokens::inside_run(pass.text, (from, to), within, &mut pass.seen, sink);
        }
    }
    // What could be an encoding has none of these marks.
    let body = |bits: &Bits| bits.solid & !bits.marks;
    let bodies = at_least(joined(body(block), body(after)), nested::SHORTEST) as u64;
    let mut rest = bodies & !earlier(body(block), body(before), 1);
    while let Some(place) = next_place(&mut rest) {
        let digits = from_place(block.digits, after.digits, place);
        if nested::may_begin(pass.text, at + place, digits) {
            nested::part(pass.text, at + place, sink);
        }
    }
    long
}

/// From where on at least `count` bits are set.
#[inline]
const fn at_least(mut bits: u128, count: usize) -> u128 {
    let mut have = 1;
    while have < count {
        let more = if have <= count - have {
            have
        } else {
            count - have
        };
        bits &= bits >> more;
        have += more;
    }
    bits
}

/// Fewer digits are no number of a person's, unless letters stand before them.
const FEWEST_DIGITS: usize = 7;

/// Fewer digits alone are no number of a person's either, but for a phone's with its plus.
const FEWEST_ALONE: u32 = 11;

fn after_plus(text: &[u8], at: usize) -> bool {
    at > 0 && text[at - 1] == b'+'
}

/// Looks at the numbers that begin in a block.
#[inline]
fn numbers_of(
    [before, block, after]: &[Bits; 3],
    at: usize,
    pass: &mut Pass<'_>,
    sink: &mut Sink<'_>,
) {
    let starts = block.digits & !earlier(block.digits, before.digits, 1);
    if starts == 0 {
        return;
    }
    let mut numbers = 0;
    // Letters before: those of hashes and ids, or a country's or a document's.
    let lettered = starts & earlier(block.letters, before.letters, 1);
    let words =
        |bits: &Bits, before: u64| bits.letters & !earlier(bits.letters | bits.digits, before, 1);
    let first = words(before, 0);
    let words = words(block, before.letters | before.digits);
    let word = |count: u32| earlier(words, first, count);
    let long = at_least(joined(block.grouped, after.grouped), FEWEST_DIGITS) as u64;
    // One letter alone may be that of an escape.
    let mut rest = starts & long & (!lettered | word(1));
    while let Some(place) = next_place(&mut rest) {
        let grouped = from_place(block.grouped, after.grouped, place);
        let digits = from_place(block.digits, after.digits, place);
        // All that are grouped with the first.
        let mut group = digits & (grouped ^ grouped.wrapping_add(1));
        for _ in 1..FEWEST_DIGITS {
            group &= group.wrapping_sub(1);
        }
        // A counter, or a fraction: digits alone, or a full stop among them.
        let goes_on = from_place(
            block.grouped | block.upper,
            after.grouped | after.upper,
            place,
        );
        let marks = from_place(block.marks, after.marks, place);
        let single = digits.trailing_ones();
        let fraction = (digits | marks & 1_u64.checked_shl(single).unwrap_or(0)).trailing_ones();
        let ends = |length: u32| goes_on.checked_shr(length).unwrap_or(0) & 1 == 0;
        let counter =
            single < FEWEST_ALONE && ends(single) || fraction > single + 1 && ends(fraction);
        if group != 0
            && (!counter || after_plus(pass.text, at + place))
            && !is_date(pass.text, at + place, digits)
        {
            numbers |= 1 << place;
        }
    }
    let upper = |count: u32| earlier(block.upper, before.upper, count);
    let second = later(block.digits, after.digits, 1);
    if lettered != 0 {
        let goes_on = |bits: &Bits| bits.letters | bits.grouped;
        let third = later(goes_on(block), goes_on(after), 2);
        let seven = at_least(joined(block.digits, after.digits), 7) as u64;
        let pairs = lettered & (word(2) | word(3)) & second & third;
        // Alone in their word, or after the letter of an escape.
        let alone = upper(1) & (word(1) | word(2)) & seven;
        let capitals = upper(1) & upper(2) & upper(3) & upper(4) & second;
        numbers = numbers & !pairs | lettered & (alone | capitals);
        let mut rest = pairs;
        while let Some(place) = next_place(&mut rest) {
            numbers |= u64::from(national::may_follow_pair(pass.text, at + place)) << place;
        }
    }
    let spaced = starts & earlier(block.grouped, before.grouped, 1) & upper(2) & upper(3);
    let mut rest = spaced & (word(3) | word(4)) & second;
    while let Some(place) = next_place(&mut rest) {
        numbers |= u64::from(pass.text[at + place - 1] == b' ') << place;
    }
    let mut rest = numbers;
    while let Some(place) = next_place(&mut rest) {
        let digit = at + place;
        if digit >= pass.numbers {
            pass.numbers = personal::number(pass.text, digit, sink);
        }
    }
}

/// Whether a date of a time begins there, as most numbers with dashes do: `2026-03-07T…`. `digits` are those from there on.
#[inline]
fn is_date(text: &[u8], at: usize, digits: u64) -> bool {
    const DIGITS: u64 = 0b11_0110_1111;
    digits & DIGITS == DIGITS
        && matches!(
            text.get(at + 4..at + 11),
            Some([b'-', _, _, b'-', _, _, b'T' | b' ' | b'"'])
        )
        && !(at > 0 && (is(text[at - 1], UPPER | LOWER) || matches!(text[at - 1], b'_' | b'+')))
}
