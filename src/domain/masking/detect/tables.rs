//! Values by the column they stand in: CSV and its kin, boxed and aligned tables, expanded records, SQL.
//!
//! A header is remembered only where one of its names promises something; a row is one only if it has as many fields.

use super::{
    Sink, keyed,
    keys::{self, Promise},
    values::{ALNUM, LOWER, UPPER, is, run},
};

/// The most columns of a table that is followed.
const MAX_COLUMNS: usize = 512;
/// Lines that are no rows before a table is forgotten.
const PATIENCE: u8 = 8;

/// The table that the lines at hand belong to.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    table: Option<Table>,
    /// Columns of the last `CREATE TABLE` or `INSERT` column list.
    sql: Option<Vec<Option<Promise>>>,
    /// Inside a `CREATE TABLE` of many lines.
    creating: bool,
    /// Inside a record of `\x` output.
    expanded: bool,
}

#[derive(Clone, Debug)]
struct Table {
    layout: Layout,
    columns: Vec<Option<Promise>>,
    strangers: u8,
}

#[derive(Clone, Debug)]
enum Layout {
    /// Fields between these.
    Delimited(u8),
    /// Columns that start here.
    Aligned(Vec<usize>),
}

/// Whether a line without a name may begin something: most do not, and asking takes few branches.
#[inline]
pub(super) fn may_begin(line: &[u8]) -> bool {
    const BEGIN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < table.len() {
            // After as much white space the rest is asked.
            table[byte] = begins_sql(byte as u8) || matches!(byte as u8, b'-' | b' ' | b'\t');
            byte += 1;
        }
        table
    };
    let Some(eight) = line.first_chunk::<8>() else {
        return !line.is_empty();
    };
    let others = u64::from_le_bytes(*eight) ^ u64::from_le_bytes([b' '; 8]);
    let first = line.get(others.trailing_zeros() as usize / 8);
    first.is_some_and(|first| BEGIN[usize::from(*first)])
}

/// Whether a statement, a row of its values, or the end of its columns may begin so.
const fn begins_sql(first: u8) -> bool {
    matches!(first, b'C' | b'c' | b'I' | b'i' | b'(' | b')' | b',')
}

impl Tables {
    /// Whether the next line may be of a table, whatever is in it.
    pub(super) fn follows(&self) -> bool {
        self.table.is_some() | self.expanded | self.creating
    }

    /// Looks at one line; masks what its columns promise. `named`: it has a word that ends as a promising name does,
    /// without which it is no header.
    pub(super) fn line(
        &mut self,
        text: &[u8],
        (start, end): (usize, usize),
        named: bool,
        sink: &mut Sink<'_>,
    ) {
        let line = &text[start..end];
        let Some(&first) = line.iter().find(|byte| !byte.is_ascii_whitespace()) else {
            self.table = None;
            self.expanded = false;
            return;
        };
        let sql = self.creating || begins_sql(first);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.expanded && self.record(line, start, sink) {
            return;
        }
        if first == b'-' && line.starts_with(b"-[ RECORD") {
            self.expanded = true;
            self.table = None;
            return;
        }
        if sql {
            self.sql(line, start, sink);
        }
        if let Some(table) = &mut self.table {
            if table.row(line, start, sink) {
                table.strangers = 0;
                return;
            }
            // Rulers between header and rows are no strangers.
            if !matches!(first, b'-' | b'+' | b'=' | b'|') {
                table.strangers += 1;
            }
            if table.strangers > PATIENCE || line == b"\\." {
                self.table = None;
            }
        }
        if named && let Some(table) = header(line) {
            self.table = Some(table);
        }
    }

    /// `column | value` of one record.
    fn record(&mut self, line: &[u8], start: usize, sink: &mut Sink<'_>) -> bool {
        let Some(bar) = memchr::memchr(b'|', line) else {
            return false;
        };
        let name = line[..bar].trim_ascii();
        if name.is_empty() || run(name, 0, ALNUM) == 0 {
            return false;
        }
        if let Some(promise) = keys::promise(name) {
            let from = bar + 1;
            keyed::enclosed(promise, &line[from..], start + from, sink);
        }
        true
    }

    fn sql(&mut self, line: &[u8], start: usize, sink: &mut Sink<'_>) {
        let body = line.trim_ascii_start();
        if self.creating {
            if body.starts_with(b")") {
                self.creating = false;
            } else if let Some(columns) = &mut self.sql
                && columns.len() < MAX_COLUMNS
            {
                let name_end = run(
                    body,
                    usize::from(matches!(body.first(), Some(b'"' | b'`' | b'['))),
                    ALNUM_,
                )
                .max(1);
                let name = &body[..name_end.min(body.len())];
                let constraint = [
                    b"constraint".as_slice(),
                    b"primary",
                    b"foreign",
                    b"unique",
                    b"check",
                    b"key",
                    b"index",
                ]
                .iter()
                .any(|word| name.eq_ignore_ascii_case(word));
                if !constraint {
                    columns.push(keys::promise(name));
                }
            }
            return;
        }
        let lower =
            |word: &[u8]| body.len() >= word.len() && body[..word.len()].eq_ignore_ascii_case(word);
        if lower(b"create table") || lower(b"create temp") {
            let Some(open) = memchr::memchr(b'(', body) else {
                return;
            };
            let rest = &body[open + 1..];
            if rest.trim_ascii().is_empty() {
                self.creating = true;
                self.sql = Some(Vec::new());
            } else {
                self.sql = Some(column_list(rest));
            }
        } else if lower(b"insert into") || lower(b"copy ") {
            let values = find_word(body, b"values");
            let head = &body[..values.unwrap_or(body.len())];
            if let Some(open) = memchr::memchr(b'(', head) {
                let columns = column_list(&head[open + 1..]);
                if lower(b"copy ") {
                    self.table = columns.iter().any(Option::is_some).then_some(Table {
                        layout: Layout::Delimited(b'\t'),
                        columns,
                        strangers: 0,
                    });
                    return;
                }
                self.sql = Some(columns);
            }
            if let Some(values) = values {
                let offset = start + (line.len() - body.len()) + values + b"values".len();
                self.tuples(&body[values + b"values".len()..], offset, sink);
            }
        } else if body.starts_with(b"(") || body.starts_with(b",(") {
            self.tuples(body, start + (line.len() - body.len()), sink);
        }
    }

    /// `(1, 'a'), (2, 'b')`.
    fn tuples(&self, text: &[u8], start: usize, sink: &mut Sink<'_>) {
        let Some(columns) = &self.sql else {
            return;
        };
        if !columns.iter().any(Option::is_some) {
            return;
        }
        let mut at = 0;
        while let Some(open) = memchr::memchr(b'(', &text[at..]) {
            at += open + 1;
            let mut values: [(usize, usize); 64] = [(0, 0); 64];
            let mut count = 0;
            loop {
                while at < text.len() && text[at] == b' ' {
                    at += 1;
                }
                let (from, to, next) = sql_value(text, at);
                if count < values.len() {
                    values[count] = (from, to);
                }
                count += 1;
                at = next;
                if text.get(at) == Some(&b',') {
                    at += 1;
                } else {
                    break;
                }
            }
            if count == columns.len() && count <= values.len() {
                for (promise, (from, to)) in columns.iter().zip(values) {
                    if let Some(promise) = promise {
                        keyed::enclosed(*promise, &text[from..to], start + from, sink);
                    }
                }
            }
        }
    }
}

const ALNUM_: u8 = ALNUM | super::values::JOIN;

/// One SQL literal: what is in it, and where it ends.
fn sql_value(text: &[u8], at: usize) -> (usize, usize, usize) {
    let quoted = match text.get(at) {
        Some(b'\'') => at,
        Some(b'N' | b'E' | b'n' | b'e') if text.get(at + 1) == Some(&b'\'') => at + 1,
        _ => {
            let end = text[at..]
                .iter()
                .position(|byte| matches!(byte, b',' | b')'))
                .map_or(text.len(), |found| at + found);
            return (at, end, end);
        }
    };
    let from = quoted + 1;
    let mut end = from;
    while end < text.len() {
        match text[end] {
            b'\'' if text.get(end + 1) == Some(&b'\'') => end += 2,
            b'\'' => break,
            _ => end += 1,
        }
    }
    let end = end.min(text.len());
    let mut next = (end + 1).min(text.len());
    // A cast: '…'::text
    while next < text.len() && !matches!(text[next], b',' | b')') {
        next += 1;
    }
    (from, end, next)
}

/// The names of a parenthesised list of columns or column definitions.
fn column_list(text: &[u8]) -> Vec<Option<Promise>> {
    let mut columns = Vec::new();
    let mut at = 0;
    while at < text.len() && columns.len() < MAX_COLUMNS {
        while at < text.len() && matches!(text[at], b' ' | b'"' | b'`' | b'[' | b'\n') {
            at += 1;
        }
        let name_end = run(text, at, ALNUM_);
        let name = &text[at..name_end];
        if !name.is_empty() {
            columns.push(keys::promise(name));
        }
        // To the next comma outside parentheses: numeric(10, 2).
        let mut depth = 0_u32;
        at = name_end;
        while at < text.len() {
            match text[at] {
                b'(' => depth += 1,
                b')' if depth == 0 => return columns,
                b')' => depth -= 1,
                b',' if depth == 0 => break,
                _ => {}
            }
            at += 1;
        }
        at += 1;
    }
    columns
}

fn find_word(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len())
        .position(|window| window.eq_ignore_ascii_case(word))
}

/// Whether a line is a header of which some name promises something.
fn header(line: &[u8]) -> Option<Table> {
    let at = line.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    // A header starts with a name, a quote around one, or the side of a box.
    let mut name = at;
    if line[name] == b'|' {
        name += 1 + line[name + 1..]
            .iter()
            .take_while(|byte| **byte == b' ')
            .count();
    }
    name += usize::from(matches!(line.get(name), Some(b'"' | b'\'')));
    if !line
        .get(name)
        .is_some_and(|byte| is(*byte, UPPER | LOWER) || *byte == b'_' || *byte == b'#')
    {
        return None;
    }
    let mut end = run(line, name, ALNUM_);
    end += usize::from(matches!(line.get(end), Some(b'"' | b'\'')));
    // A name may have words.
    let mut words = 1;
    while line.get(end) == Some(&b' ')
        && line.get(end + 1).is_some_and(|byte| is(*byte, ALNUM))
        && words < 3
    {
        end = run(line, end + 1, ALNUM_);
        words += 1;
    }
    let gap = line[end..].iter().take_while(|byte| **byte == b' ').count();
    match line.get(end + gap)? {
        b'|' => delimited(line, b'|'),
        delimiter @ (b',' | b';' | b'\t') if gap == 0 => delimited(line, *delimiter),
        _ if gap >= 2 => aligned(line),
        _ => None,
    }
}

fn delimited(line: &[u8], delimiter: u8) -> Option<Table> {
    let mut any = false;
    let mut count = 0;
    for field in line.split(|byte| *byte == delimiter) {
        let spaced = field.first() == Some(&b' ') && delimiter != b'|';
        let name = field.trim_ascii();
        let name = name
            .strip_prefix(b"\"")
            .and_then(|name| name.strip_suffix(b"\""))
            .unwrap_or(name);
        let words = name.split(|byte| *byte == b' ').count();
        let named = name.iter().all(|byte| {
            is(*byte, ALNUM_) || matches!(byte, b' ' | b'.' | b'(' | b')' | b'#' | b'/' | 0x80..)
        });
        // The sides of a box are empty fields.
        if spaced
            || !named
            || words > 4
            || name.len() > keys::MAX_NAME
            || name.is_empty() && delimiter != b'|'
        {
            return None;
        }
        any |= keys::promise(name).is_some();
        count += 1;
    }
    if !any || !(2..=MAX_COLUMNS).contains(&count) {
        return None;
    }
    let columns = line
        .split(|byte| *byte == delimiter)
        .map(|field| {
            let name = field.trim_ascii();
            keys::promise(
                name.strip_prefix(b"\"")
                    .and_then(|name| name.strip_suffix(b"\""))
                    .unwrap_or(name),
            )
        })
        .collect();
    Some(Table {
        layout: Layout::Delimited(delimiter),
        columns,
        strangers: 0,
    })
}

/// `NAME   PASSWORD   AGE`: names two or more spaces apart.
fn aligned(line: &[u8]) -> Option<Table> {
    let mut starts = Vec::new();
    let mut columns = Vec::new();
    for (from, to) in Cells::new(line) {
        let name = &line[from..to];
        if name.len() > 40
            || !name
                .iter()
                .all(|byte| is(*byte, ALNUM_) || matches!(byte, b' ' | b'.' | b'(' | b')'))
        {
            return None;
        }
        starts.push(from);
        columns.push(keys::promise(name));
    }
    (columns.len() >= 2 && columns.iter().any(Option::is_some)).then_some(Table {
        layout: Layout::Aligned(starts),
        columns,
        strangers: 0,
    })
}

/// Runs of text two or more spaces apart.
struct Cells<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cells<'a> {
    fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }
}

impl Iterator for Cells<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let line = self.line;
        while self.at < line.len() && line[self.at] == b' ' {
            self.at += 1;
        }
        let from = self.at;
        if from >= line.len() {
            return None;
        }
        let mut to = from;
        while to < line.len()
            && !(line[to] == b' ' && line.get(to + 1).is_none_or(|byte| *byte == b' '))
        {
            to += 1;
        }
        self.at = to;
        Some((from, to))
    }
}

impl Table {
    /// Masks a row's fields; `false`: it is none.
    fn row(&self, line: &[u8], start: usize, sink: &mut Sink<'_>) -> bool {
        match &self.layout {
            Layout::Delimited(delimiter) => {
                // A delimiter in quotes delimits nothing.
                let fields = if *delimiter == b'|' || memchr::memchr(b'"', line).is_none() {
                    memchr::memchr_iter(*delimiter, line).count() + 1
                } else {
                    Fields::new(line, *delimiter).count()
                };
                if fields != self.columns.len() {
                    return false;
                }
                for ((from, to), promise) in Fields::new(line, *delimiter).zip(&self.columns) {
                    if let Some(promise) = promise {
                        keyed::enclosed(*promise, &line[from..to], start + from, sink);
                    }
                }
                true
            }
            Layout::Aligned(starts) => {
                let column_of = |from: usize| starts.iter().position(|start| *start == from);
                // A cell too wide for its column moves those after it. One cell in place is chance.
                let placed = Cells::new(line)
                    .take_while(|(from, _)| column_of(*from).is_some())
                    .count();
                if placed < 2 {
                    return false;
                }
                for (from, to) in Cells::new(line).take(placed) {
                    if let Some(promise) = column_of(from).and_then(|column| self.columns[column]) {
                        keyed::enclosed(promise, &line[from..to], start + from, sink);
                    }
                }
                true
            }
        }
    }
}

/// The fields of a delimited line, without the quotes around them.
struct Fields<'a> {
    line: &'a [u8],
    delimiter: u8,
    at: Option<usize>,
}

impl<'a> Fields<'a> {
    fn new(line: &'a [u8], delimiter: u8) -> Self {
        Self {
            line,
            delimiter,
            at: Some(0),
        }
    }
}

impl Iterator for Fields<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let at = self.at?;
        let line = self.line;
        let mut end = at;
        let mut field = None;
        if line.get(at) == Some(&b'"') && self.delimiter != b'|' {
            let mut close = at + 1;
            loop {
                match memchr::memchr(b'"', &line[close..]) {
                    Some(found) if line.get(close + found + 1) == Some(&b'"') => close += found + 2,
                    Some(found) => {
                        close += found;
                        field = Some((at + 1, close));
                        end = close + 1;
                        break;
                    }
                    None => break,
                }
            }
        }
        let next =
            memchr::memchr(self.delimiter, &line[end.min(line.len())..]).map(|found| end + found);
        let end = next.unwrap_or(line.len());
        self.at = next.map(|next| next + 1);
        Some(field.unwrap_or((at, end)))
    }
}
