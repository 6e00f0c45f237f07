//! Values by the column they stand in where columns and rows are arrays of JSON, as services that run queries answer:
//! `{"columns": ["id", "password"], "rows": [[1, "…"]]}`.
//!
//! A list of columns is read where one is named so, and followed only if some column promises something. From there on the
//! document is read token by token: a row is an array in an array, its cells are told by their places.

use super::{
    Sink,
    keyed::{self, closing_quote},
    keys::{self, Promise},
    values::{ALNUM, DIGIT, DOT, JOIN, is, run},
};

/// The most columns of a row that are followed.
const MAX_COLUMNS: usize = 512;
/// The most brackets that are open at once, and that close without having been opened here.
const MAX_DEPTH: u32 = 32;

/// The longest row of headers looked back over.
const MAX_HEADER: usize = 512;

/// What names a list of columns.
const LISTS: [&[u8]; 9] = [
    b"columns",
    b"cols",
    b"fields",
    b"meta",
    b"headers",
    b"column_names",
    b"columnNames",
    b"rowType",
    b"columnInfo",
];

/// What names a column in an object of its own.
const NAMES: [&[u8]; 5] = [b"name", b"columnname", b"column_name", b"column", b"label"];

/// The rows that the lines at hand belong to.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrays {
    reading: Option<Box<Reading>>,
}

/// A document after the name of a list of columns, as far as it was read.
#[derive(Clone, Debug, Default)]
struct Reading {
    columns: Vec<Option<Promise>>,
    /// How deep the list of columns is, until it is closed.
    listing: Option<u32>,
    /// Which of the open brackets are of arrays: the innermost in the lowest bit.
    open: u64,
    depth: u32,
    /// How many brackets closed that were open when this began.
    closed: u32,
    /// How deep the row at hand is, where there is one, and the place of its cell.
    row: Option<u32>,
    column: usize,
    key: Key,
    /// How many backslashes stand before each quote: the document may be in a string of another.
    escapes: usize,
    /// The piece before ended in a string.
    in_string: bool,
    /// There was a row.
    rows: bool,
    /// The columns are the first of the rows: all of them are names.
    header: bool,
    /// They are not.
    others: bool,
}

/// The name of what comes next, if it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Key {
    #[default]
    Other,
    /// A list of columns.
    List,
    /// A column's name.
    Name,
    /// A row, or a cell of one, in an object of its own.
    Cell,
}

impl Key {
    fn of(name: &[u8]) -> Self {
        let is = |other: &&[u8]| name.eq_ignore_ascii_case(other);
        if LISTS.iter().any(is) {
            Self::List
        } else if NAMES.iter().any(is) {
            Self::Name
        } else if matches!(name, b"f" | b"c" | b"v") {
            Self::Cell
        } else {
            Self::Other
        }
    }
}

/// Where the list begins whose name may end before `end`.
pub(super) fn list(text: &[u8], end: usize) -> Option<usize> {
    let named = |name: &&[u8]| {
        let own = end
            .checked_sub(name.len())
            .map(|from| (from, &text[from..end]));
        own.is_some_and(|(from, own)| {
            own.eq_ignore_ascii_case(name) && text[..from].ends_with(b"\"")
        })
    };
    if !LISTS.iter().any(named) {
        return None;
    }
    let escapes = text[end..]
        .iter()
        .take_while(|byte| **byte == b'\\')
        .count();
    let rest = text[end + escapes..].strip_prefix(b"\"")?;
    let rest = rest.trim_ascii_start().strip_prefix(b":")?;
    (escapes < 2 && rest.trim_ascii_start().first() == Some(&b'[')).then_some(end)
}

/// Where the list of columns begins that is open at the end of a line, or in whose objects the name at `place` stands: whatever
/// it is called, if there are rows in the same line.
pub(super) fn described(text: &[u8], (start, end): (usize, usize), place: usize) -> Option<usize> {
    let line = &text[start..end];
    memchr::memmem::find(line, b"[[")?;
    // The brackets that are open at the name.
    let mut open = Vec::new();
    let mut at = 0;
    while at + start < place {
        match line[at] {
            b'"' => at = closing_quote(line, at + 1, b'"', 0)?,
            b'[' | b'{' => open.push(at),
            b']' | b'}' => {
                open.pop()?;
            }
            _ => {}
        }
        at += 1;
    }
    let [.., list, object] = open[..] else {
        return None;
    };
    let name = line[..list].trim_ascii_end().strip_suffix(b":")?;
    let name = name.trim_ascii_end().strip_suffix(b"\"")?;
    (line[list] == b'[' && line[object] == b'{').then_some(start + name.len())
}

/// Where the row begins in which the name that ends at `end` is a header: the first of rows that are in no list of their
/// own, `[["id", "password"], [1, "…"]]`.
pub(super) fn header(text: &[u8], end: usize) -> Option<usize> {
    let near = end.saturating_sub(MAX_HEADER);
    let open = near + memchr::memrchr(b'[', &text[near..end])?;
    let names =
        |byte: &u8| is(*byte, ALNUM | JOIN) || matches!(byte, b' ' | b'"' | b',' | b'\\' | 0x80..);
    let first = text[near..open].trim_ascii_end().ends_with(b"[");
    (first && text[open + 1..end].iter().all(names)).then_some(open)
}

impl Arrays {
    /// Whether the next line is read, whatever is in it.
    pub(super) fn follows(&self) -> bool {
        self.reading.is_some()
    }

    /// Reads a line, or from where in it the first list begins; masks the cells whose columns promise something.
    pub(super) fn line(
        &mut self,
        text: &[u8],
        (start, end): (usize, usize),
        list: Option<usize>,
        sink: &mut Sink<'_>,
    ) {
        let line = &text[start..end];
        let list = list.or_else(|| {
            // "rowType": [
            let name = line
                .strip_suffix(b"[")?
                .trim_ascii_end()
                .strip_suffix(b":")?;
            let name = name.trim_ascii_end().strip_suffix(b"\"")?;
            self::list(text, start + name.len())
        });
        let mut from = 0;
        // A document after the one that was read has headers of its own.
        let over = self
            .reading
            .as_ref()
            .is_none_or(|reading| reading.depth == 0);
        if over && list.is_some() {
            self.reading = None;
        }
        if self.reading.is_none() {
            let Some(list) = list else {
                return;
            };
            let rest = &text[list..end];
            // A row of headers stands in an array, a list after its name's quote.
            let header = rest.first() == Some(&b'[');
            let before = &rest[usize::from(header)..];
            let escapes = before.iter().take_while(|byte| **byte == b'\\').count();
            self.reading = Some(Box::new(Reading {
                key: Key::List,
                open: u64::from(header),
                depth: u32::from(header),
                header,
                escapes,
                ..Reading::default()
            }));
            from = list - start + if header { 0 } else { escapes + 1 };
        }
        if let Some(reading) = &mut self.reading {
            let read = reading.read(line, from, start, sink);
            if from > 0 && !reading.rows {
                reading.before(&line[..from], start, sink);
            }
            if read.is_none() {
                self.reading = None;
            }
        }
    }
}

impl Reading {
    /// Reads the rows that stand before the list of their columns in its line.
    fn before(&self, line: &[u8], start: usize, sink: &mut Sink<'_>) {
        let rows = memchr::memmem::find(line, b"[[")
            .filter(|_| self.columns.iter().any(Option::is_some) && self.listing.is_none());
        if let Some(rows) = rows {
            let mut reading = Self {
                columns: self.columns.clone(),
                escapes: self.escapes,
                ..Self::default()
            };
            // What comes after them is read, too, up to the columns.
            let _end = reading.read(line, rows, start, sink);
        }
    }

    /// Reads on to the end of the line; `None`: what is there is no JSON, or has no columns that promise anything.
    fn read(&mut self, line: &[u8], from: usize, start: usize, sink: &mut Sink<'_>) -> Option<()> {
        let mut at = from;
        if self.in_string {
            let Some(end) = closing_quote(line, 0, b'"', self.escapes) else {
                return Some(());
            };
            self.in_string = false;
            at = end + self.escapes + 1;
        }
        while let Some(&byte) = line.get(at) {
            match byte {
                b' ' | b'\t' | b'\r' | b':' => at += 1,
                b',' => {
                    self.column += usize::from(self.row == Some(self.depth));
                    self.key = Key::Other;
                    at += 1;
                }
                b'[' | b'{' => {
                    self.opens(byte == b'[')?;
                    at += 1;
                }
                b']' | b'}' => {
                    self.closes()?;
                    at += 1;
                }
                b'"' if self.escapes == 0 => at = self.string(line, at + 1, start, sink),
                b'\\' if self.escapes == 1 => match line.get(at + 1)? {
                    b'"' => at = self.string(line, at + 2, start, sink),
                    b'n' | b'r' | b't' => at += 2,
                    _ => return None,
                },
                b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'N' => {
                    let end = run(line, at, ALNUM | JOIN | DOT).max(at + 1);
                    let word = &line[at..end];
                    let literal = matches!(word, b"true" | b"false" | b"null" | b"NaN")
                        || is(word[word.len() - 1], DIGIT);
                    if !literal {
                        return None;
                    }
                    self.value(line, at, end, start, sink);
                    // An exponent: 1e+5.
                    at = end + usize::from(line.get(end) == Some(&b'+'));
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// A string that begins at `from`; says where to go on.
    fn string(&mut self, line: &[u8], from: usize, start: usize, sink: &mut Sink<'_>) -> usize {
        let Some(end) = closing_quote(line, from, b'"', self.escapes) else {
            self.in_string = true;
            return line.len();
        };
        let next = end + self.escapes + 1;
        let after = line.get(next..).unwrap_or_default();
        if after.trim_ascii_start().first() == Some(&b':') {
            self.key = Key::of(&line[from..end]);
        } else {
            self.value(line, from, end, start, sink);
        }
        next
    }

    /// A string's content, or another value that is neither array nor object.
    fn value(&mut self, line: &[u8], from: usize, end: usize, start: usize, sink: &mut Sink<'_>) {
        let value = &line[from..end];
        if let Some(list) = self.listing {
            let name = |byte: &u8| is(*byte, ALNUM | JOIN | DOT) || matches!(byte, b' ' | 0x80..);
            if self.header && !value.iter().all(name) {
                self.others = true;
            } else if self.depth == list && self.columns.len() < MAX_COLUMNS {
                self.columns.push(keys::promise(value));
            } else if self.depth == list + 1
                && self.key == Key::Name
                && let Some(column) = self.columns.last_mut()
            {
                *column = column.or(keys::promise(value));
            }
            return;
        }
        let Some(row) = self.row else {
            return;
        };
        let cell = self.depth == row || self.depth == row + 1 && self.key == Key::Cell;
        if cell && let Some(promise) = self.columns.get(self.column).copied().flatten() {
            keyed::enclosed(promise, value, start + from, sink);
        }
    }

    fn opens(&mut self, array: bool) -> Option<()> {
        let key = std::mem::take(&mut self.key);
        if array && key == Key::List && self.row.is_none() && self.listing.is_none() {
            self.columns.clear();
            self.listing = Some(self.depth + 1);
        }
        let in_array = self.depth > 0 && self.open & 1 == 1;
        self.open = self.open << 1 | u64::from(array);
        self.depth += 1;
        if let Some(list) = self.listing {
            if self.depth == list + 1 && self.columns.len() < MAX_COLUMNS {
                self.columns.push(None);
            }
        } else if self.row.is_none() && array && (in_array || key == Key::Cell) {
            self.row = Some(self.depth);
            self.column = 0;
            self.rows = true;
        }
        (self.depth <= MAX_DEPTH).then_some(())
    }

    fn closes(&mut self) -> Option<()> {
        self.key = Key::Other;
        if self.row == Some(self.depth) {
            self.row = None;
        }
        if self.depth == 0 {
            self.closed += 1;
            return (self.closed <= MAX_DEPTH).then_some(());
        }
        self.open >>= 1;
        self.depth -= 1;
        if self.listing == Some(self.depth + 1) {
            self.listing = None;
            let promised = self.columns.iter().any(Option::is_some) && !self.others;
            promised.then_some(())?;
        }
        Some(())
    }
}
