//! Values by the column they stand in: CSV and its kin, boxed and aligned tables, expanded records, SQL.
//!
//! A header is remembered only where one of its names promises something; a row is one only if it has as many fields.

use super::{
    Sink, keyed,
    keys::{self, Promise},
    values::{ALNUM, LOWER, UPPER, is, looks_random, mix, run, run_back},
};

/// The most columns of a table that is followed.
const MAX_COLUMNS: usize = 512;
/// Lines that are no rows before a table is forgotten.
const PATIENCE: u8 = 8;
/// The most lines of one record, whose quoted cells have line ends in them.
const RECORD_LINES: u8 = 200;

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
    marked_up: MarkedUp,
}

#[derive(Clone, Debug)]
struct Table {
    layout: Layout,
    columns: Vec<Option<Promise>>,
    strangers: u8,
    /// The record at hand goes on in the next line.
    open: Option<Open>,
}

/// A record whose last quoted cell had a line end in it.
#[derive(Clone, Copy, Debug)]
struct Open {
    column: usize,
    lines: u8,
}

#[derive(Clone, Debug)]
enum Layout {
    /// Fields between these; `spaced`: with a space after each.
    Delimited { by: u8, spaced: bool },
    /// Columns whose headers are from here to there.
    Aligned(Vec<(usize, usize)>),
    /// Columns as wide as the ruler under each header.
    Ruled(Vec<(usize, usize)>),
}

/// Whether a statement, a row of its values, or the end of its columns may begin so.
const fn begins_sql(first: u8) -> bool {
    matches!(first, b'C' | b'c' | b'I' | b'i' | b'(' | b')' | b',')
}

impl Tables {
    /// Whether a line without a name may begin something: most do not.
    #[inline]
    pub(super) fn may_begin(&self, line: &[u8]) -> bool {
        let mut from = 0;
        while let Some(eight) = line.get(from..).and_then(<[u8]>::first_chunk::<8>) {
            let others = u64::from_le_bytes(*eight) ^ u64::from_le_bytes([b' '; 8]);
            if others != 0 {
                from += others.trailing_zeros() as usize / 8;
                break;
            }
            from += 8;
        }
        let white = |byte: &&u8| byte.is_ascii_whitespace();
        from += line[from..].iter().take_while(white).count();
        let second = line.get(from + 1).copied().unwrap_or(b' ');
        match line.get(from) {
            // `create`, `copy`, `insert`
            Some(b'C' | b'c') => matches!(second | 0x20, b'r' | b'o'),
            Some(b'I' | b'i') => second | 0x20 == b'n',
            Some(b'(' | b',') => self.sql.is_some(),
            // `-[ RECORD`
            Some(b'-') => second == b'[',
            Some(b'<') => true,
            _ => false,
        }
    }

    /// Whether the next line may be of a table, whatever is in it.
    pub(super) fn follows(&self) -> bool {
        self.table.is_some() | self.expanded | self.creating | self.marked_up.open.is_some()
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
            if self.table.as_ref().is_none_or(|table| table.open.is_none()) {
                self.table = None;
            }
            self.expanded = false;
            return;
        };
        if first == b'<' || self.marked_up.open.is_some() {
            self.marked_up.line(&text[start..end], start, sink);
        }
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
            if matches!(first, b'-' | b'=') && table.rule(line) {
                return;
            }
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
                        layout: Layout::Delimited {
                            by: b'\t',
                            spaced: false,
                        },
                        columns,
                        strangers: 0,
                        open: None,
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
        name += usize::from(line.get(name + 1) == Some(&b'|'));
        name += 1 + line[name + 1..]
            .iter()
            .take_while(|byte| **byte == b' ')
            .count();
    }
    // A file's header may be one of its comments.
    if line[name..].starts_with(b"# ") {
        name += 2;
    }
    name += usize::from(matches!(line.get(name), Some(b'"' | b'\'')));
    if !line
        .get(name)
        .is_some_and(|byte| is(*byte, UPPER | LOWER) || matches!(byte, b'_' | b'#' | 0x80..))
    {
        return None;
    }
    let word = |from: usize| {
        let length = line[from..]
            .iter()
            .take_while(|byte| is(**byte, ALNUM_) || **byte >= 0x80);
        from + length.count()
    };
    let mut end = word(name);
    end += usize::from(matches!(line.get(end), Some(b'"' | b'\'')));
    // A name may have words.
    let mut words = 1;
    while line.get(end) == Some(&b' ')
        && line.get(end + 1).is_some_and(|byte| is(*byte, ALNUM))
        && words < 3
    {
        end = word(end + 1);
        words += 1;
    }
    let gap = line[end..].iter().take_while(|byte| **byte == b' ').count();
    match line.get(end + gap)? {
        by @ (b'|' | b'&') => delimited(line, *by),
        by @ (b',' | b';' | b'\t' | b'~' | b'^' | 0x01 | 0x1f) if gap == 0 => delimited(line, *by),
        _ if gap >= 2 => aligned(line),
        _ => None,
    }
}

fn delimited(line: &[u8], by: u8) -> Option<Table> {
    let line = row_of(line, by);
    // ||Name||Password||, with one bar between cells.
    let single = (line.starts_with(b"||")).then(|| {
        let bars = line
            .windows(2)
            .filter(|two| *two != b"||")
            .map(|two| two[0]);
        bars.chain(line.last().copied()).collect::<Vec<_>>()
    });
    let line = single.as_deref().unwrap_or(line);
    let unquoted = |field: &'_ [u8]| -> (usize, usize) {
        let start = field.len() - field.trim_ascii_start().len();
        let end = start + field.trim_ascii().len();
        let quoted = end - start >= 2
            && matches!(field[start], b'"' | b'\'')
            && field[end - 1] == field[start];
        (start + usize::from(quoted), end - usize::from(quoted))
    };
    let boxed = matches!(by, b'|' | b'&');
    let mut any = false;
    let (mut count, mut spaced) = (0, 0);
    for field in line.split(|byte| *byte == by) {
        let (start, end) = unquoted(field);
        let name = &field[start..end];
        spaced += usize::from(field.first() == Some(&b' ') && !boxed);
        let words = name.split(|byte| *byte == b' ').count();
        // The sides of a box are empty fields.
        if !is_header(name) || words > 4 || name.is_empty() && !boxed {
            return None;
        }
        any |= of_column(name).is_some();
        count += 1;
    }
    // A sentence has spaces after its commas, too, but more words between them.
    let listed = count > 2 && spaced == count - 1 && memchr::memmem::find(line, b" ").is_some();
    let listed = listed && line.iter().filter(|byte| **byte == b' ').count() == spaced;
    if !any || spaced > 0 && !listed || !(2..=MAX_COLUMNS).contains(&count) {
        return None;
    }
    let columns = line
        .split(|byte| *byte == by)
        .map(|field| {
            let (start, end) = unquoted(field);
            of_column(&field[start..end])
        })
        .collect();
    Some(Table {
        layout: Layout::Delimited {
            by,
            spaced: spaced > 0,
        },
        columns,
        strangers: 0,
        open: None,
    })
}

/// What a column's name promises. What is the default of something is no value of it.
fn of_column(name: &[u8]) -> Option<Promise> {
    keys::promise(name).filter(|_| !name.eq_ignore_ascii_case(b"default"))
}

/// A row without what ends it.
fn row_of(line: &[u8], by: u8) -> &[u8] {
    if by == b'&' {
        let line = line.trim_ascii_end();
        line.strip_suffix(b"\\\\").unwrap_or(line)
    } else {
        line
    }
}

/// Whether a field may be a column's name rather than a value.
fn is_header(name: &[u8]) -> bool {
    const VALUES: [&[u8]; 5] = [b"true", b"false", b"null", b"yes", b"none"];
    name.len() <= keys::MAX_NAME
        && name.iter().all(|byte| {
            is(*byte, ALNUM_) || matches!(byte, b' ' | b'.' | b'(' | b')' | b'#' | b'/' | 0x80..)
        })
        && mix(name).digits <= 3
        && !(name.len() >= 12 && looks_random(name))
        && !VALUES.iter().any(|value| name.eq_ignore_ascii_case(value))
}

/// `NAME   PASSWORD   AGE`: names two or more spaces apart.
fn aligned(line: &[u8]) -> Option<Table> {
    let mut places = Vec::new();
    let mut columns = Vec::new();
    for (from, to) in Cells::new(line) {
        let name = &line[from..to];
        if name.len() > 40 || !is_header(name) {
            return None;
        }
        places.push((from, to));
        columns.push(of_column(name));
    }
    (columns.len() >= 2 && columns.iter().any(Option::is_some)).then_some(Table {
        layout: Layout::Aligned(places),
        columns,
        strangers: 0,
        open: None,
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
    /// Takes the widths of the columns from the ruler under the header; `false`: the line is none.
    fn rule(&mut self, line: &[u8]) -> bool {
        if !matches!(self.layout, Layout::Aligned(_))
            || !line.iter().all(|byte| matches!(byte, b'-' | b'=' | b' '))
        {
            return false;
        }
        let mut places = Vec::new();
        let mut at = 0;
        for group in line.split(|byte| *byte == b' ') {
            if !group.is_empty() {
                places.push((at, at + group.len()));
            }
            at += group.len() + 1;
        }
        let fits = places.len() == self.columns.len();
        if fits {
            self.layout = Layout::Ruled(places);
        }
        fits
    }

    /// Masks a row's fields; `false`: it is none.
    fn row(&mut self, line: &[u8], start: usize, sink: &mut Sink<'_>) -> bool {
        match &self.layout {
            Layout::Delimited { by, spaced } => {
                let (by, spaced) = (*by, *spaced);
                let goes_on = self
                    .open
                    .take()
                    .is_some_and(|open| self.goes_on(open, line, start, by, sink));
                let line = row_of(line, by);
                // A delimiter in quotes delimits nothing.
                let (count, open) = if memchr::memchr(b'"', line).is_none() {
                    (memchr::memchr_iter(by, line).count() + 1, false)
                } else {
                    let mut fields = Fields::new(line, by);
                    (fields.by_ref().count(), fields.open)
                };
                let whole = count == self.columns.len();
                let open = open && count <= self.columns.len();
                if !goes_on && open {
                    self.open = Some(Open {
                        column: count - 1,
                        lines: 0,
                    });
                }
                if whole || !goes_on && open {
                    let plain = |(from, to): &(usize, usize)| {
                        !spaced || !line[*from..*to].trim_ascii().contains(&b' ')
                    };
                    let fields = Fields::new(line, by).enumerate();
                    self.cells(fields.filter(|(_, field)| plain(field)), line, start, sink);
                }
                whole || goes_on || open
            }
            Layout::Aligned(places) => {
                let column_of = |(from, to): (usize, usize)| {
                    places
                        .iter()
                        .position(|(start, end)| *start == from || *end == to)
                };
                // What numbers the rows has no header.
                let unnamed = Cells::new(line)
                    .take_while(|cell| column_of(*cell).is_none())
                    .count();
                // A cell too wide for its column moves those after it. One cell in place is chance.
                let placed = Cells::new(line)
                    .skip(unnamed)
                    .take_while(|cell| column_of(*cell).is_some())
                    .count();
                let count = Cells::new(line).count();
                // Sentences have two spaces between them, too.
                let words = |(from, to): (usize, usize)| {
                    let cell = &line[from..to];
                    let number = || cell.iter().all(|byte| !is(*byte, UPPER | LOWER));
                    !cell.ends_with(b".")
                        && (cell.split(|byte| *byte == b' ').count() <= 3 || number())
                };
                let alike = || count > 2 && Cells::new(line).all(words);
                let numbered = || {
                    let first = Cells::new(line).next();
                    first.is_some_and(|(from, to)| line[from..to].iter().all(u8::is_ascii_digit))
                };
                if count == self.columns.len() && (placed >= 2 || alike()) {
                    self.cells(Cells::new(line).enumerate(), line, start, sink);
                } else if unnamed <= 1 && placed >= 2 {
                    let cells = Cells::new(line).skip(unnamed).take(placed);
                    let cells = cells.filter_map(|cell| Some((column_of(cell)?, cell)));
                    self.cells(cells, line, start, sink);
                } else if count == self.columns.len() + 1 && numbered() && alike() {
                    self.cells(Cells::new(line).skip(1).enumerate(), line, start, sink);
                } else {
                    return false;
                }
                true
            }
            Layout::Ruled(places) => {
                let apart = |(from, _): &(usize, usize)| {
                    *from == 0 || line.get(from - 1).is_none_or(|byte| *byte == b' ')
                };
                if Cells::new(line).count() == self.columns.len() {
                    self.cells(Cells::new(line).enumerate(), line, start, sink);
                } else if places.iter().all(apart) {
                    let ends = places.iter().skip(1).map(|(from, _)| from - 1);
                    let ends = ends.chain([line.len()]);
                    let cells = places
                        .iter()
                        .zip(ends)
                        .map(|((from, _), to)| (*from.min(&line.len()), to.min(line.len())));
                    self.cells(cells.enumerate(), line, start, sink);
                } else {
                    return false;
                }
                true
            }
        }
    }

    /// Masks the fields of a line that begins in a quoted cell of an `open` record; `false`: it does not.
    fn goes_on(
        &mut self,
        open: Open,
        line: &[u8],
        start: usize,
        by: u8,
        sink: &mut Sink<'_>,
    ) -> bool {
        let Some(close) = closing(line, 0) else {
            self.cells([(open.column, (0, line.len()))], line, start, sink);
            if open.lines < RECORD_LINES {
                let lines = open.lines + 1;
                self.open = Some(Open { lines, ..open });
            }
            return true;
        };
        let rest = match line.get(close + 1) {
            None => line.len() + 1,
            Some(byte) if *byte == by => close + 2,
            Some(_) => return false,
        };
        let column = open.column + 1;
        let fields = || Fields {
            at: (rest <= line.len()).then_some(rest),
            ..Fields::new(line, by)
        };
        let mut all = fields();
        let count = column + all.by_ref().count();
        if count > self.columns.len() || count < self.columns.len() && !all.open {
            return false;
        }
        self.cells([(open.column, (0, close))], line, start, sink);
        let cells = fields().enumerate();
        self.cells(
            cells.map(|(index, field)| (column + index, field)),
            line,
            start,
            sink,
        );
        if all.open {
            let lines = open.lines + 1;
            self.open = (lines <= RECORD_LINES).then_some(Open {
                column: count - 1,
                lines,
            });
        }
        true
    }

    /// Masks cells by what their columns promise, or in a column of values by what the row's name does.
    fn cells(
        &self,
        cells: impl IntoIterator<Item = (usize, (usize, usize))>,
        line: &[u8],
        start: usize,
        sink: &mut Sink<'_>,
    ) {
        let pairs = self.columns.contains(&Some(Promise::Value));
        let mut named = None;
        for (column, (from, to)) in cells {
            let cell = &line[from..to];
            let promise = match self.columns.get(column).copied().flatten() {
                Some(Promise::Value) => named,
                promise => promise,
            };
            // A name is no value.
            let names = (pairs || promise.is_some_and(keys::opens))
                .then(|| keys::promise(cell.trim_ascii()))
                .flatten();
            named = named.or(names);
            if let Some(promise) = promise
                && names.is_none()
            {
                let plain = cell
                    .strip_prefix(b"'")
                    .and_then(|cell| cell.strip_suffix(b"'"));
                let from = from + usize::from(plain.is_some());
                keyed::enclosed(promise, plain.unwrap_or(cell), start + from, sink);
            }
        }
    }
}

/// Tables and lists of names in HTML, and what else is marked up as they are.
#[derive(Clone, Debug, Default)]
struct MarkedUp {
    /// Of the row of headers.
    columns: Vec<Option<Promise>>,
    /// The cell at hand in its row.
    column: usize,
    /// What the cell before promises, of this row.
    named: Option<Promise>,
    /// The row at hand has a header.
    headed: bool,
    /// What the cell promises whose text starts in the next line.
    open: Option<Cell>,
}

/// What a cell is for.
#[derive(Clone, Copy, Debug)]
enum Cell {
    Header,
    Data(Option<Promise>),
}

impl MarkedUp {
    fn line(&mut self, line: &[u8], start: usize, sink: &mut Sink<'_>) {
        let mut at = 0;
        if let Some(cell) = self.open.take() {
            let to = memchr::memchr(b'<', line).unwrap_or(line.len());
            self.cell(cell, (0, to), line, start, sink);
            at = to;
        }
        while let Some(found) = memchr::memchr(b'<', &line[at..]) {
            let tag = at + found + 1;
            let name_end = run(line, tag, ALNUM);
            let name = &line[tag..name_end];
            let Some(close) = memchr::memchr(b'>', &line[tag..]) else {
                return;
            };
            at = tag + close + 1;
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            if is(b"input") {
                input(&line[..at], name_end, start, sink);
                continue;
            }
            let cell = if is(b"tr") {
                (self.column, self.named, self.headed) = (0, None, false);
                continue;
            } else if is(b"table") {
                *self = Self::default();
                continue;
            } else if is(b"th") || is(b"dt") {
                Cell::Header
            } else if is(b"td") || is(b"dd") {
                let of_row = self.headed || self.columns.is_empty();
                Cell::Data(match self.columns.get(self.column).copied().flatten() {
                    promise if !of_row && promise != Some(Promise::Value) => promise,
                    _ => self.named,
                })
            } else {
                continue;
            };
            // What is emphasised in it is of it.
            while line.get(at) == Some(&b'<')
                && line.get(at + 1).is_some_and(|byte| *byte != b'/')
                && let Some(end) = memchr::memchr(b'>', &line[at..])
            {
                at += end + 1;
            }
            let to = memchr::memchr(b'<', &line[at..]).map_or(line.len(), |found| at + found);
            if line[at..to].trim_ascii().is_empty() && to == line.len() {
                self.open = Some(cell);
                return;
            }
            self.cell(cell, (at, to), line, start, sink);
            at = to;
        }
    }

    fn cell(
        &mut self,
        cell: Cell,
        (from, to): (usize, usize),
        line: &[u8],
        start: usize,
        sink: &mut Sink<'_>,
    ) {
        let text = line[from..to].trim_ascii();
        let text = text.strip_suffix(b":").unwrap_or(text);
        let names = (text.len() <= keys::MAX_NAME)
            .then(|| keys::promise(text))
            .flatten();
        match cell {
            Cell::Header => {
                if self.column == 0 {
                    self.columns.clear();
                }
                self.headed = true;
                if self.columns.len() < MAX_COLUMNS {
                    self.columns.push(names);
                }
            }
            Cell::Data(promise) => {
                // A row with a header of its own is no row of a table with columns.
                if std::mem::take(&mut self.headed) {
                    self.columns.clear();
                }
                if let Some(promise) = promise
                    && names.is_none()
                {
                    keyed::enclosed(promise, &line[from..to], start + from, sink);
                }
            }
        }
        // Any cell may be a row's name where the columns have theirs; else the one before is.
        self.named = match cell {
            Cell::Data(_) if !self.columns.is_empty() => self.named.or(names),
            _ => names,
        };
        self.column += 1;
    }
}

/// A form's field whose other attributes say what its value is: `<input type="password" value="…" name="…">`.
fn input(tag: &[u8], from: usize, start: usize, sink: &mut Sink<'_>) {
    let mut promise = None;
    let mut value = None;
    let mut at = from;
    while let Some(equals) = memchr::memchr(b'=', &tag[at..]) {
        let equals = at + equals;
        let name = &tag[run_back(tag, equals, ALNUM_)..equals];
        let Some(mark @ (b'"' | b'\'')) = tag.get(equals + 1).copied() else {
            at = equals + 1;
            continue;
        };
        let open = equals + 2;
        let Some(close) = memchr::memchr(mark, &tag[open..]) else {
            break;
        };
        at = open + close + 1;
        match name.to_ascii_lowercase().as_slice() {
            b"value" => value = Some((open, open + close)),
            b"name" | b"id" | b"type" => {
                promise = promise.or_else(|| keys::promise(&tag[open..open + close]));
            }
            _ => {}
        }
    }
    if let (Some(promise), Some((from, to))) = (promise, value) {
        keyed::enclosed(promise, &tag[from..to], start + from, sink);
    }
}

/// The fields of a delimited line, without the quotes around them.
struct Fields<'a> {
    line: &'a [u8],
    by: u8,
    at: Option<usize>,
    /// The last one's quote is not closed.
    open: bool,
}

impl<'a> Fields<'a> {
    fn new(line: &'a [u8], by: u8) -> Self {
        Self {
            line,
            by,
            at: Some(0),
            open: false,
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
        if line.get(at) == Some(&b'"') && !matches!(self.by, b'|' | b'&') {
            let Some(close) = closing(line, at + 1) else {
                (self.at, self.open) = (None, true);
                return Some((at + 1, line.len()));
            };
            field = Some((at + 1, close));
            end = close + 1;
        }
        let next = memchr::memchr(self.by, &line[end.min(line.len())..]).map(|found| end + found);
        let end = next.unwrap_or(line.len());
        self.at = next.map(|next| next + 1);
        Some(field.unwrap_or((at, end)))
    }
}

/// The quote that closes a quoted field; two of them are one of its characters.
fn closing(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let quote = at + memchr::memchr(b'"', &line[at..])?;
        if line.get(quote + 1) != Some(&b'"') {
            return Some(quote);
        }
        at = quote + 2;
    }
}
