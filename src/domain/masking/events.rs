//! Event streams of language models: which strings of an event are pieces of one longer text.
//!
//! Knows the shapes of OpenAI and Anthropic (and what others copied from them) by the path of a string in the event's JSON.
//! Knows nothing of masking.

/// A piece of a longer text: where its raw JSON string stands in the event's line, and which text it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Pieces of one text have one channel.
    pub(super) channel: u64,
    /// Which of an answer's texts this is.
    pub(super) place: Place,
}

/// Which of several texts, by the numbers that the objects around it say they have, wherever they say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    all: u64,
    outermost: u64,
}

impl Place {
    /// Whether what is complete here has the text at `text` in it. What says no number is the whole answer.
    pub(super) fn has(self, text: Self) -> bool {
        self == Self::default() || self.all == text.all || self.all == text.outermost
    }

    fn within(self, number: u64) -> Self {
        Self {
            all: mix(self.all, &number.to_le_bytes()),
            outermost: mix(0, &number.to_le_bytes()),
        }
    }
}

/// Deeper than any event.
const MAX_DEPTH: usize = 32;

/// Names under which a string is a piece.
fn is_piece(name: &[u8], parent: &[u8]) -> bool {
    match name {
        b"content" | b"text" | b"partial_json" | b"thinking" | b"reasoning_content"
        | b"reasoning" | b"refusal" | b"arguments" => {
            matches!(
                parent,
                b"delta" | b"function" | b"parts" | b"choices" | b"audio" | b"function_call"
            )
        }
        // OpenAI's responses: {"type": "response.output_text.delta", "delta": "…"}
        b"delta" => true,
        // Older completions: {"completion": "…"} and {"choices": [{"text": "…"}]}
        b"completion" => parent.is_empty(),
        _ => false,
    }
}

/// The JSON of an event's line, if it is one that may have pieces.
pub(super) fn payload(line: &[u8]) -> Option<usize> {
    let rest = line.strip_prefix(b"data:")?;
    let space = usize::from(rest.first() == Some(&b' '));
    (rest.get(space) == Some(&b'{')).then_some(5 + space)
}

/// Whether a line that has no payload says that all texts are complete.
pub(super) fn is_last(line: &[u8]) -> bool {
    line.strip_prefix(b"data:")
        .is_some_and(|rest| rest.trim_ascii() == b"[DONE]")
}

/// Appends the pieces of an event to `pieces`, in order, and says which texts it tells to be complete. JSON that breaks off
/// has what is before the break.
pub(super) fn read(line: &[u8], from: usize, pieces: &mut Vec<Piece>) -> Vec<Place> {
    let mut walk = Walk {
        line,
        at: from,
        pieces,
        ends: Vec::new(),
    };
    walk.value(&[], 0, 0);
    walk.ends
}

/// Whether a string under this name says that a text is complete.
fn ends(name: &[u8], value: &[u8]) -> bool {
    match name {
        b"type" => [&b"_stop"[..], b".done", b".completed"]
            .iter()
            .any(|end| value.ends_with(end)),
        // Some say in every event that there is none yet.
        b"finish_reason" => !value.is_empty(),
        _ => false,
    }
}

struct Walk<'a> {
    line: &'a [u8],
    at: usize,
    pieces: &'a mut Vec<Piece>,
    ends: Vec<Place>,
}

impl Walk<'_> {
    fn space(&mut self) {
        while self.line.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// Whether something comes before `close`, which is passed.
    fn more(&mut self, close: u8) -> Option<bool> {
        loop {
            self.space();
            match *self.line.get(self.at)? {
                b',' => self.at += 1,
                byte if byte == close => {
                    self.at += 1;
                    return Some(false);
                }
                _ => return Some(true),
            }
        }
    }

    /// The raw string at the cursor.
    fn string(&mut self) -> Option<(usize, usize)> {
        if self.line.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.line.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Some((start, at))
    }

    /// Walks one value. `None`: the text broke off or is no JSON.
    fn value(&mut self, name: &[u8], channel: u64, depth: usize) -> Option<()> {
        self.space();
        if depth > MAX_DEPTH {
            return None;
        }
        match self.line.get(self.at)? {
            b'{' => {
                self.at += 1;
                let (pieces, ends) = (self.pieces.len(), self.ends.len());
                let mut number = 0;
                let whole = self.fields(name, mix(channel, name), depth, &mut number);
                // Which of several texts this object is about may stand before or after its pieces.
                if number != 0 {
                    for piece in &mut self.pieces[pieces..] {
                        piece.channel = mix(piece.channel, &number.to_le_bytes());
                        piece.place = piece.place.within(number);
                    }
                    for end in &mut self.ends[ends..] {
                        *end = end.within(number);
                    }
                }
                whole
            }
            b'[' => {
                self.at += 1;
                while self.more(b']')? {
                    match self.line.get(self.at)? {
                        b'"' => self.string().map(|_| ())?,
                        _ => self.value(name, channel, depth + 1)?,
                    }
                }
                Some(())
            }
            b'"' => self.string().map(|_| ()),
            _ => {
                let end = self.line[self.at..]
                    .iter()
                    .position(|byte| {
                        matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace()
                    })
                    .map_or(self.line.len(), |found| self.at + found);
                if end == self.at {
                    return None;
                }
                self.at = end;
                Some(())
            }
        }
    }

    /// The fields of an object that is called `name`; its numbers are added up in `number`.
    fn fields(&mut self, name: &[u8], channel: u64, depth: usize, number: &mut u64) -> Option<()> {
        while self.more(b'}')? {
            let (start, end) = self.string()?;
            self.space();
            if self.line.get(self.at) != Some(&b':') {
                return None;
            }
            self.at += 1;
            self.space();
            let line = self.line;
            let own = &line[start..end];
            if self.line.get(self.at) == Some(&b'"') {
                let (from, to) = self.string()?;
                if ends(own, &line[from..to]) {
                    self.ends.push(Place::default());
                }
                if is_piece(own, name) && from < to {
                    self.pieces.push(Piece {
                        start: from,
                        end: to,
                        channel: mix(channel, own),
                        place: Place::default(),
                    });
                }
            } else {
                let before = self.at;
                self.value(own, channel, depth + 1)?;
                if matches!(own, b"index" | b"output_index" | b"content_index") {
                    // In any order.
                    let own = mix(mix(0, own), &line[before..self.at]);
                    *number = number.wrapping_add(own);
                }
            }
        }
        Some(())
    }
}

fn mix(hash: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// The text of a raw JSON string, and for every byte of it where it stands in the string; the last entry is the end.
pub(super) fn unescape(raw: &[u8], text: &mut Vec<u8>, places: &mut Vec<u32>) {
    let mut at = 0;
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    while at < raw.len() {
        if raw[at] != b'\\' {
            text.push(raw[at]);
            places.push(place(at));
            at += 1;
            continue;
        }
        let start = at;
        let c = match raw.get(at + 1) {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => {
                let unit = |at: usize| {
                    let digits = raw.get(at + 2..at + 6)?;
                    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
                };
                let high = unit(at).unwrap_or(0xfffd);
                at += 4;
                match (high, unit(at + 2)) {
                    (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff))
                        if raw.get(at + 2) == Some(&b'\\') =>
                    {
                        at += 6;
                        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                            .unwrap_or('\u{fffd}')
                    }
                    _ => char::from_u32(high).unwrap_or('\u{fffd}'),
                }
            }
            Some(other) => char::from(*other),
            None => '\\',
        };
        at = (at + 2).min(raw.len());
        let mut buffer = [0; 4];
        for byte in c.encode_utf8(&mut buffer).bytes() {
            text.push(byte);
            places.push(place(start));
        }
    }
    places.push(place(raw.len()));
}
