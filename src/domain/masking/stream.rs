//! Text of any length, in pieces of any size, masked as it passes.
//!
//! Bytes are kept until a line is complete, because what stands in a line may be judged by all of it; a line without end is
//! cut at a place its own content decides. Pieces of a language model's event stream are read as the text they make up:
//! an event is held while a candidate is open in the text it belongs to, and no longer.
//!
//! INVARIANT: what comes out depends on the bytes that went in, never on how they were cut.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
};

use super::{
    Masking,
    detect::{self, Finding, Rule},
    events::{self, Piece},
    replace,
};

/// How much is taken at once, however much comes.
const PIECE: usize = 32 << 10;
/// The longest line taken whole.
const MAX_LINE: usize = 64 << 10;
/// A longer one is cut after here, at the first place that belongs to no value.
const CUT_FROM: usize = 48 << 10;
/// The most bytes of events held back.
const MAX_HELD: usize = 256 << 10;
/// The most texts of one answer that are told apart at a time.
const MAX_CHANNELS: usize = 256;
/// The longest candidate that holds events back.
const MAX_CANDIDATE: usize = 16 << 10;

/// How much of a text without line ends is looked at again for what names its values.
const LOOK_BACK: usize = 1 << 10;
/// The longest frame of an event that is remembered.
const MAX_FRAME: usize = 4 << 10;

/// Something found in a stream: by which rule, and where in the bytes that went in. Never the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFinding {
    /// `secrets:jwt`, `personal:iban`, `pattern:employee-id`.
    pub rule: String,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// Masks one stream. Made by [`Masking::stream`].
#[derive(Debug)]
pub struct Stream<'a> {
    masking: &'a Masking,
    context: detect::Context,
    /// What is not yet a whole line.
    pending: Vec<u8>,
    /// How far `pending` has been looked through for a line's end.
    looked: usize,
    /// Where `pending` starts in the stream.
    position: usize,
    /// Lines that wait for a text to go on.
    held: VecDeque<Held<'static>>,
    held_bytes: usize,
    channels: BTreeMap<u64, Channel>,
    /// What the last event was around its pieces, if nothing was found in that: most events of a stream differ in their
    /// pieces alone.
    frame: Vec<u8>,
    // Kept for their memory.
    found: Vec<Finding>,
    pieces: Vec<Piece>,
    waiting: Vec<HeldPiece>,
}

/// A line that waits, or could.
#[derive(Debug)]
struct Held<'l> {
    line: Cow<'l, [u8]>,
    position: usize,
    /// Masks of what is not part of a longer text, in the line's own bytes.
    found: Vec<Finding>,
    pieces: Vec<HeldPiece>,
}

#[derive(Debug)]
struct HeldPiece {
    piece: Piece,
    /// Its place in the channel's text.
    start: usize,
    end: usize,
    /// For each byte of the text where it stands in the raw string; `None`: at the same place.
    places: Option<Vec<u32>>,
}

/// One text that arrives in pieces.
#[derive(Debug, Default)]
struct Channel {
    /// Which of the answer's texts it is.
    place: events::Place,
    /// It is complete, and forgotten once its last piece is out.
    closed: bool,
    context: detect::Context,
    /// The text from `base` on.
    text: Vec<u8>,
    base: usize,
    /// Up to here lines are complete and their context is passed on.
    line: usize,
    /// Up to here it is known where lines end.
    looked: usize,
    /// The quotes of the line at hand.
    quotes: detect::Quotes,
    /// Up to here it is decided what is masked.
    done: usize,
    found: Vec<Decided>,
}

/// Something found in a channel's text, which may end in a later piece than it starts in.
#[derive(Debug)]
struct Decided {
    finding: Finding,
    /// What of a policy pattern's mask is not written yet; `None`: nothing of it is.
    rest: Option<String>,
}

impl Masking {
    /// Starts masking a stream.
    pub fn stream(&self) -> Stream<'_> {
        Stream {
            masking: self,
            context: detect::Context::default(),
            pending: Vec::new(),
            looked: 0,
            position: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            channels: BTreeMap::new(),
            frame: Vec::new(),
            found: Vec::new(),
            pieces: Vec::new(),
            waiting: Vec::new(),
        }
    }
}

impl Stream<'_> {
    /// Takes the next bytes; appends to `out` what may leave, and to `findings` what was found in it.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, findings: &mut Vec<TextFinding>) {
        for bytes in bytes.chunks(PIECE) {
            self.pending.extend_from_slice(bytes);
            self.take_lines(out, findings);
        }
    }

    /// Ends the stream; appends the rest.
    pub fn finish(mut self, out: &mut Vec<u8>, findings: &mut Vec<TextFinding>) {
        let rest = std::mem::take(&mut self.pending);
        self.lines(&rest, out, findings);
        self.position += rest.len();
        self.flush(out, findings);
    }

    /// How many bytes wait.
    pub fn held_back(&self) -> usize {
        self.pending.len() + self.held_bytes
    }

    fn take_lines(&mut self, out: &mut Vec<u8>, findings: &mut Vec<TextFinding>) {
        loop {
            let mut whole = memchr::memrchr(b'\n', &self.pending[self.looked..])
                .map_or(0, |found| self.looked + found + 1);
            // A line too long for one look is cut by its own content, wherever the pieces of the stream ended.
            let mut start = 0;
            let mut cut = None;
            while start < self.pending.len() && cut.is_none() {
                let end = if self.pending.len() - start <= MAX_LINE {
                    break;
                } else {
                    memchr::memchr(b'\n', &self.pending[start..])
                };
                match end {
                    Some(end) if end <= MAX_LINE => start += end + 1,
                    _ => cut = Some(start + cut_point(&self.pending[start..start + MAX_LINE])),
                }
            }
            if let Some(cut) = cut {
                whole = cut;
            }
            if cut.is_none() && whole > 0 {
                // A token at the end of the last line may go on in the next.
                let last =
                    memchr::memrchr(b'\n', &self.pending[..whole - 1]).map_or(0, |found| found + 1);
                if detect::wraps(&self.pending[last..whole]) {
                    whole = last;
                }
            }
            if whole == 0 {
                self.looked = self.pending.len();
                return;
            }
            let mut pending = std::mem::take(&mut self.pending);
            self.lines(&pending[..whole], out, findings);
            pending.drain(..whole);
            self.pending = pending;
            self.looked = 0;
            self.position += whole;
            if cut.is_none() {
                self.looked = self.pending.len();
                return;
            }
        }
    }

    /// Masks whole lines.
    fn lines(&mut self, lines: &[u8], out: &mut Vec<u8>, findings: &mut Vec<TextFinding>) {
        if lines.is_empty() {
            return;
        }
        let events =
            lines.starts_with(b"data:") || memchr::memmem::find(lines, b"\ndata:").is_some();
        if !events && self.held.is_empty() {
            self.plain(lines, self.position, out, findings);
            return;
        }
        // Lines between events stay together: a token may go on in the next one.
        let mut start = 0;
        let mut plain = 0;
        while start < lines.len() {
            let end = memchr::memchr(b'\n', &lines[start..])
                .map_or(lines.len(), |found| start + found + 1);
            let line = &lines[start..end];
            if events::payload(line).is_some() || !self.held.is_empty() {
                self.between(&lines[plain..start], self.position + plain, out, findings);
                self.line(line, self.position + start, out, findings);
                plain = end;
            }
            start = end;
        }
        self.between(&lines[plain..], self.position + plain, out, findings);
    }

    /// Masks lines that came before an event, if there are any.
    fn between(
        &mut self,
        lines: &[u8],
        position: usize,
        out: &mut Vec<u8>,
        findings: &mut Vec<TextFinding>,
    ) {
        if !lines.is_empty() {
            self.plain(lines, position, out, findings);
        }
    }

    /// Masks lines that wait for nothing.
    fn plain(
        &mut self,
        lines: &[u8],
        position: usize,
        out: &mut Vec<u8>,
        findings: &mut Vec<TextFinding>,
    ) {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.masking.find(lines, &mut self.context, &mut found);
        self.masking.write_text(lines, &found, out);
        report(self.masking, &found, position, findings);
        self.found = found;
    }

    fn line(
        &mut self,
        line: &[u8],
        position: usize,
        out: &mut Vec<u8>,
        findings: &mut Vec<TextFinding>,
    ) {
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.clear();
        let ends = match events::payload(line) {
            Some(from) => events::read(line, from, &mut pieces),
            None if events::is_last(line) => vec![events::Place::default()],
            None => Vec::new(),
        };
        if pieces.is_empty() && self.held.is_empty() {
            self.pieces = pieces;
            self.plain(line, position, out, findings);
            return;
        }
        let mut held = Held {
            line: Cow::Borrowed(line),
            position,
            found: self.around(line, &pieces),
            pieces: std::mem::take(&mut self.waiting),
        };
        held.pieces.clear();
        for &piece in &pieces {
            let raw = &line[piece.start..piece.end];
            let channel = self.channels.entry(piece.channel).or_default();
            channel.place = piece.place;
            channel.closed = false;
            let start = channel.base + channel.text.len();
            let places = if memchr::memchr(b'\\', raw).is_some() {
                let mut places = Vec::new();
                events::unescape(raw, &mut channel.text, &mut places);
                Some(places)
            } else {
                channel.text.extend_from_slice(raw);
                None
            };
            let end = channel.base + channel.text.len();
            held.pieces.push(HeldPiece {
                piece,
                start,
                end,
                places,
            });
        }
        for piece in &pieces {
            if let Some(channel) = self.channels.get_mut(&piece.channel) {
                channel.advance(self.masking, End::Open);
            }
        }
        self.pieces = pieces;
        let full = self.channels.len() > MAX_CHANNELS;
        if self.held.is_empty() && ends.is_empty() && !full && !self.waits(&held) {
            self.write_held(&held, out, findings);
            self.waiting = held.pieces;
            return;
        }
        self.held_bytes += line.len();
        self.held.push_back(Held {
            line: Cow::Owned(line.to_vec()),
            ..held
        });
        if full || self.held_bytes > MAX_HELD {
            self.close(&[events::Place::default()]);
        } else {
            self.close(&ends);
        }
        self.release(out, findings);
    }

    /// What is masked in an event's line around its pieces: what their text is masked by, only their channel decides. No
    /// value around them is told by a piece: those are under names that no detector takes for the name of a value.
    fn around(&mut self, line: &[u8], pieces: &[Piece]) -> Vec<Finding> {
        let mut found = Vec::new();
        if pieces.is_empty() {
            self.masking.find(line, &mut self.context, &mut found);
            return found;
        }
        let frame = || {
            let starts = std::iter::once(0).chain(pieces.iter().map(|piece| piece.end));
            let ends = pieces.iter().map(|piece| piece.start);
            starts
                .zip(ends.chain([line.len()]))
                .map(|(start, end)| &line[start..end])
        };
        let rest = frame().try_fold(&*self.frame, |rest, part| rest.strip_prefix(part));
        if rest.is_some_and(<[u8]>::is_empty) {
            return found;
        }
        self.masking
            .find(line, &mut detect::Context::default(), &mut found);
        found.retain(|finding| {
            pieces
                .iter()
                .all(|piece| finding.end <= piece.start || finding.start >= piece.end)
        });
        self.frame.clear();
        if found.is_empty() && frame().map(<[u8]>::len).sum::<usize>() <= MAX_FRAME {
            self.frame.extend(frame().flatten());
        }
        found
    }

    /// Whether a line has to wait for a text to go on.
    fn waits(&self, held: &Held<'_>) -> bool {
        held.pieces.iter().any(|piece| {
            self.channels
                .get(&piece.piece.channel)
                .is_some_and(|channel| channel.done < piece.end)
        })
    }

    /// Decides everything and lets it out.
    fn flush(&mut self, out: &mut Vec<u8>, findings: &mut Vec<TextFinding>) {
        self.close(&[events::Place::default()]);
        self.release(out, findings);
    }

    /// Decides all of the texts that are complete.
    fn close(&mut self, complete: &[events::Place]) {
        for channel in self.channels.values_mut() {
            if complete.iter().any(|place| place.has(channel.place)) {
                channel.advance(self.masking, End::Closed);
                channel.closed = true;
            }
        }
    }

    /// Lets out the lines that wait for nothing any more, in order.
    fn release(&mut self, out: &mut Vec<u8>, findings: &mut Vec<TextFinding>) {
        while let Some(held) = self.held.front() {
            if self.waits(held) {
                return;
            }
            let Some(held) = self.held.pop_front() else {
                return;
            };
            self.held_bytes -= held.line.len();
            self.write_held(&held, out, findings);
        }
        self.channels.retain(|_, channel| !channel.closed);
    }

    fn write_held(&mut self, held: &Held<'_>, out: &mut Vec<u8>, findings: &mut Vec<TextFinding>) {
        let masking = self.masking;
        report(masking, &held.found, held.position, findings);
        let mut at = 0;
        let mut own = held.found.iter().peekable();
        for piece in &held.pieces {
            while let Some(finding) = own.next_if(|finding| finding.end <= piece.piece.start) {
                out.extend_from_slice(&held.line[at..finding.start]);
                masking.write_mask(&held.line, finding, out);
                at = finding.end;
            }
            out.extend_from_slice(&held.line[at..piece.piece.start]);
            at = piece.piece.end;
            if let Some(channel) = self.channels.get_mut(&piece.piece.channel) {
                channel.write(masking, held, piece, out, findings);
            }
        }
        for finding in own {
            out.extend_from_slice(&held.line[at..finding.start]);
            masking.write_mask(&held.line, finding, out);
            at = finding.end;
        }
        out.extend_from_slice(&held.line[at..]);
    }
}

fn report(masking: &Masking, found: &[Finding], position: usize, findings: &mut Vec<TextFinding>) {
    findings.extend(found.iter().map(|finding| TextFinding {
        rule: masking.label(finding.rule).into(),
        start: position + finding.start,
        end: position + finding.end,
    }));
}

/// Where to cut a line without end: after something that ends most values, in the last quarter; else anywhere between
/// two characters.
fn cut_point(line: &[u8]) -> usize {
    let soft = line[CUT_FROM..]
        .iter()
        .position(|byte| matches!(byte, b' ' | b',' | b';' | b'}' | b'>' | b'\t'));
    if let Some(soft) = soft {
        return CUT_FROM + soft + 1;
    }
    let mut cut = line.len();
    while cut > CUT_FROM && line[cut - 1] & 0xc0 == 0x80 {
        cut -= 1;
    }
    if cut > CUT_FROM && line[cut - 1] >= 0xc0 {
        cut - 1
    } else {
        line.len()
    }
}

/// Whether more of a text may come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Closed,
}

impl Channel {
    /// Decides as much as can be decided.
    fn advance(&mut self, masking: &Masking, end: End) {
        let length = self.base + self.text.len();
        if self.done == length {
            return;
        }
        // Complete lines first: they are decided whole, and leave their context behind.
        while let Some(found) = memchr::memchr(b'\n', &self.text[self.looked - self.base..]) {
            let line_end = self.looked + found + 1;
            self.decide(masking, line_end, Pass::Whole);
            self.begin_line(line_end);
            self.done = line_end.max(self.done);
        }
        self.looked = length;
        if end == End::Closed {
            self.decide(masking, length, Pass::Whole);
            self.begin_line(length);
            self.done = length;
            return;
        }
        let line = &self.text[self.line - self.base..];
        let open = detect::open_from(line, &mut self.quotes).min(masking.open_pattern(line));
        let open = self.line + open;
        if open > self.done {
            let fresh = &self.text[self.done - self.base..open - self.base];
            // Plain words hide nothing from a built-in detector, and most of what a model says is plain words.
            let plain = |byte: &u8| {
                byte.is_ascii_lowercase() || matches!(byte, b' ' | b'.' | b',' | 0x80..)
            };
            let may_match = masking.patterns.iter().any(|pattern| pattern.any_of(plain));
            if may_match || !fresh.iter().all(plain) {
                self.decide(masking, open, Pass::Part);
            }
            self.done = open;
        }
        // A text without line ends is not looked at from its start for ever.
        if self.done - self.line > MAX_CANDIDATE {
            self.begin_line(self.done - LOOK_BACK);
        }
        if length - self.done > MAX_CANDIDATE {
            self.decide(masking, length, Pass::Part);
            self.done = length;
        }
    }

    /// From here on the text is looked at as a line.
    fn begin_line(&mut self, at: usize) {
        self.line = at;
        self.looked = self.looked.max(at);
        self.quotes = detect::Quotes::default();
    }

    /// Finds what is masked between `done` and `until`, looking at the line from its start.
    fn decide(&mut self, masking: &Masking, until: usize, pass: Pass) {
        let text = &self.text[self.line - self.base..until - self.base];
        let mut found = Vec::new();
        match pass {
            Pass::Whole => masking.find(text, &mut self.context, &mut found),
            Pass::Part => masking.find(text, &mut self.context.clone(), &mut found),
        }
        let (line, done) = (self.line, self.done);
        self.found
            .extend(found.into_iter().filter_map(|mut finding| {
                finding.start = (finding.start + line).max(done);
                finding.end += line;
                let rest = None;
                (finding.start < finding.end).then_some(Decided { finding, rest })
            }));
    }

    /// Appends a piece with its masks, and forgets what is behind it.
    fn write(
        &mut self,
        masking: &Masking,
        held: &Held<'_>,
        piece: &HeldPiece,
        out: &mut Vec<u8>,
        findings: &mut Vec<TextFinding>,
    ) {
        let raw = &held.line[piece.piece.start..piece.piece.end];
        let place = |at: usize| match &piece.places {
            Some(places) => places[at - piece.start] as usize,
            None => at - piece.start,
        };
        let mut at = 0;
        for Decided { finding, rest } in &mut self.found {
            if finding.start >= piece.end || finding.end <= piece.start {
                continue;
            }
            let (from, to) = (finding.start.max(piece.start), finding.end.min(piece.end));
            out.extend_from_slice(&raw[at..place(from)]);
            let text = &self.text[from - self.base..to - self.base];
            if matches!(finding.rule, Rule::BuiltIn(_)) {
                replace::hide(text, replace::HIDDEN, out);
            } else {
                let rest = rest.get_or_insert_with(|| {
                    let whole = &self.text[from - self.base..finding.end - self.base];
                    masking.mask_of(whole, finding.rule)
                });
                // Each piece has its part of a mask as long as what it hides; any other is shown where that starts.
                let whole =
                    String::from_utf8_lossy(&self.text[from - self.base..finding.end - self.base]);
                let part = if rest.chars().count() == whole.chars().count() {
                    let characters = String::from_utf8_lossy(text).chars().count();
                    rest.char_indices()
                        .nth(characters)
                        .map_or(rest.len(), |(at, _)| at)
                } else {
                    rest.len()
                };
                let part: String = rest.drain(..part).collect();
                replace::json_text(&part, out);
            }
            at = place(to);
            findings.push(TextFinding {
                rule: masking.label(finding.rule).into(),
                start: held.position + piece.piece.start + place(from),
                end: held.position + piece.piece.start + place(to),
            });
        }
        out.extend_from_slice(&raw[at..]);
        // What is before both the line at hand and what was written is needed no more.
        self.found.retain(|decided| decided.finding.end > piece.end);
        let keep = self.line.min(piece.end);
        if keep - self.base > 4096 {
            self.text.drain(..keep - self.base);
            self.base = keep;
        }
    }
}

/// Whether a decision is the last about its line.
#[derive(Clone, Copy)]
enum Pass {
    Whole,
    Part,
}
