//! Values by the column they stand in: CSV and its kin, boxed and aligned tables, expanded records, SQL.
//!
//! A header is remembered only where one of its names promises something; a row is one only if it has as many fields.

use std::sync::LazyLock;

use super::{
    Sink, keyed,
    keys::{self, Promise},
    values::{ALNUM, DIGIT, LOWER, UPPER, is, looks_random, mix, run, run_back},
};

use memchr::memmem::Finder;

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
    /// How many more lines may come before the first or the next row of what was listed.
    tuples: u8,
    /// Inside a `CREATE TABLE` of many lines.
    creating: bool,
    /// The columns of an `INSERT` begin in the next line.
    inserting: bool,
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
    /// Columns whose headers are from here to there. `head`: the line they stand in, of which a ruler may say more.
    Aligned {
        places: Vec<(usize, usize)>,
        head: Vec<u8>,
    },
    /// Columns as wide as the ruler under each header.
    Ruled(Vec<(usize, usize)>),
    /// Words with white space between.
    Words,
    /// Cells with a bar before each, in one line or in many; `next` is the column of the next. `headers`: more of them may
    /// come.
    Piped { next: usize, headers: bool },
}

impl Layout {
    /// Whether empty lines stand between rows.
    fn has_gaps(&self) -> bool {
        matches!(self, Self::Piped { .. })
    }
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
            Some(b'(' | b',') => self.sql.is_some() | self.inserting,
            // `-[ RECORD`, `-----BEGIN OpenVPN Static key`
            Some(b'-') => second == b'[' || line[from..].starts_with(b"-----BEGIN O"),
            // `! Header` of a wiki's table, `$ command`
            Some(b'!' | b'$') => second == b' ',
            Some(b'<') => true,
            _ => false,
        }
    }

    /// Whether the next line may be of a table, whatever is in it.
    pub(super) fn follows(&self) -> bool {
        self.table.is_some()
            | self.expanded
            | self.creating
            | (self.tuples > 0)
            | self.marked_up.open.is_some()
    }

    /// Looks at one line; masks what its columns promise. `named`: it has a word that ends as a promising name does,
    /// without which it is no header. `tagged`: it has a `<`.
    pub(super) fn line(
        &mut self,
        text: &[u8],
        (start, end): (usize, usize),
        (named, tagged): (bool, bool),
        sink: &mut Sink<'_>,
    ) {
        let line = &text[start..end];
        let Some(&first) = line.iter().find(|byte| !byte.is_ascii_whitespace()) else {
            let goes_on = |table: &Table| table.open.is_some() || table.layout.has_gaps();
            if !self.table.as_ref().is_some_and(goes_on) {
                self.table = None;
            }
            self.expanded = false;
            self.tuples = 0;
            return;
        };
        let headers = || memchr::memmem::find(line, b"<th").is_some();
        if first == b'<' || self.marked_up.open.is_some() || named && tagged && headers() {
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
        if self.tuples > 0 {
            self.listed(line, start, sink);
        }
        let closes = || line.starts_with(b"|}") || line.trim_ascii_end() == b"|===";
        if first == b'|'
            && closes()
            && self
                .table
                .as_ref()
                .is_some_and(|table| table.layout.has_gaps())
        {
            self.table = None;
            return;
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
        if first == b'!'
            && let Some(columns) = wiki_header(line.trim_ascii_start())
        {
            self.wiki(columns);
        } else if named && let Some(table) = header(line) {
            self.table = Some(table);
        } else if named && let Some(columns) = listed_columns(line) {
            self.sql = Some(columns);
            self.tuples = PATIENCE;
        } else if named && !boxed_pair(line, start, sink) && !sql {
            self.sql_within(line, start, sink);
        }
    }

    /// Headers of a wiki's table: all in one line, or each in its own.
    fn wiki(&mut self, mut columns: Vec<Option<Promise>>) {
        if let Some(table) = &mut self.table
            && let Layout::Piped { headers: true, .. } = table.layout
        {
            table.strangers = 0;
            if table.columns.len() + columns.len() <= MAX_COLUMNS {
                table.columns.append(&mut columns);
            }
            return;
        }
        self.table = Some(Table {
            layout: Layout::Piped {
                next: 0,
                headers: true,
            },
            columns,
            strangers: 0,
            open: None,
        });
    }

    /// A row of what was listed, or of several.
    fn listed(&mut self, line: &[u8], start: usize, sink: &mut Sink<'_>) {
        if let Some(place) = memchr::memmem::find(line, BINDING) {
            self.binding(line, place + BINDING.len(), start, sink);
            return;
        }
        if let Some(place) = memchr::memmem::find(line, NUMBERED) {
            self.numbered(line, place, start, sink);
            return;
        }
        let body = line.trim_ascii_start();
        let body = body.strip_prefix(BOUND).unwrap_or(body);
        let row = matches!(body.first(), Some(b'(' | b'[')) || body.starts_with(b"- [");
        self.tuples = if row { PATIENCE } else { self.tuples - 1 };
        if row {
            self.tuples(body, start + (line.len() - body.len()), sink);
        }
    }

    /// `$1 = 'a', $2 = 'b'`: what a statement was given.
    fn numbered(&self, line: &[u8], mut at: usize, start: usize, sink: &mut Sink<'_>) {
        let columns = self.sql.as_deref().unwrap_or_default();
        while let Some(found) = memchr::memchr(b'$', &line[at..]) {
            let index = number(line, at + found + 1);
            let end = run(line, at + found + 1, DIGIT);
            at = end;
            let Some(rest) = line[end..].strip_prefix(b" = ") else {
                continue;
            };
            let value = literal(line, line.len() - rest.len());
            at = value.next;
            let promise = index
                .and_then(|index| columns.get(index - 1).copied())
                .flatten();
            if let Some(promise) = promise
                && value.quoted
            {
                keyed::enclosed(
                    promise,
                    &line[value.from..value.to],
                    start + value.from,
                    sink,
                );
            }
        }
    }

    /// `binding parameter [1] as [VARCHAR] - [value]`: the same, one in a line.
    fn binding(&self, line: &[u8], at: usize, start: usize, sink: &mut Sink<'_>) {
        let columns = self.sql.as_deref().unwrap_or_default();
        let promise = number(line, at)
            .and_then(|number| columns.get(number - 1).copied())
            .flatten();
        let value = memchr::memmem::rfind(line, b"- [").map(|open| open + 3);
        if let (Some(promise), Some(from), true) = (promise, value, line.ends_with(b"]")) {
            keyed::enclosed(promise, &line[from..line.len() - 1], start + from, sink);
        }
    }

    /// The names in a statement that is given its values later: `SET password = $1`, `SET password = ?`.
    fn placeholders(&mut self, line: &[u8]) {
        let mut columns = Vec::new();
        for (index, place) in memchr::memchr2_iter(b'$', b'?', line).enumerate() {
            let number = match line[place] {
                b'$' => number(line, place + 1),
                _ => Some(index + 1),
            };
            let (Some(number), Some(before)) =
                (number, line[..place].trim_ascii_end().strip_suffix(b"="))
            else {
                continue;
            };
            let before = before.trim_ascii_end();
            let name = &before[run_back(before, before.len(), ALNUM_)..];
            if columns.len() < number {
                columns.resize(number, None);
            }
            columns[number - 1] = of_column(name);
        }
        if columns.iter().any(Option::is_some) {
            self.sql = Some(columns);
            self.tuples = PATIENCE;
        }
    }

    /// A statement further on in its line, as logs and errors have them.
    fn sql_within(&mut self, line: &[u8], start: usize, sink: &mut Sink<'_>) {
        // Its columns are in parentheses, or what it is given later has marks.
        if memchr::memchr3(b'(', b'$', b'?', line).is_none() {
            return;
        }
        let place = INSERTS.iter().find_map(|insert| insert.find(line));
        if let Some(place) = place {
            self.sql(&line[place..], start + place, sink);
            self.tuples = PATIENCE;
        } else if memchr::memchr2(b'$', b'?', line)
            .is_some_and(|at| line[..at].trim_ascii_end().ends_with(b"="))
        {
            self.placeholders(line);
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
        if std::mem::take(&mut self.inserting)
            && let Some(columns) = body.strip_prefix(b"(")
        {
            self.sql = Some(column_list(columns));
            return;
        }
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
            } else {
                self.inserting = values.is_none();
            }
            // Its values may be said later.
            if memchr::memchr(b'\'', body).is_none() {
                self.tuples = PATIENCE;
            }
            if let Some(values) = values {
                let offset = start + (line.len() - body.len()) + values + b"values".len();
                self.tuples(&body[values + b"values".len()..], offset, sink);
            }
        } else if body.starts_with(b"(") || body.starts_with(b",(") {
            self.tuples(body, start + (line.len() - body.len()), sink);
        }
    }

    /// `(1, 'a'), (2, 'b')`, `[1, "a"]`.
    fn tuples(&self, text: &[u8], start: usize, sink: &mut Sink<'_>) {
        let Some(columns) = &self.sql else {
            return;
        };
        if !columns.iter().any(Option::is_some) {
            return;
        }
        let mut at = 0;
        while let Some(open) = memchr::memchr2(b'(', b'[', &text[at..]) {
            at += open + 1;
            let mut values: [Literal; 64] = [Literal::default(); 64];
            let mut count = 0;
            loop {
                while at < text.len() && text[at] == b' ' {
                    at += 1;
                }
                // A row in a list of them.
                if count == 0 && matches!(text.get(at), Some(b'(' | b'[')) {
                    break;
                }
                let value = literal(text, at);
                if count < values.len() {
                    values[count] = value;
                }
                count += 1;
                at = value.next;
                if text.get(at) == Some(&b',') {
                    at += 1;
                } else {
                    break;
                }
            }
            if count == columns.len() && count <= values.len() {
                for (promise, value) in columns.iter().zip(values) {
                    let body = &text[value.from..value.to];
                    // What is bound later, or computed, stands without quotes.
                    let said = value.quoted
                        || body.first().is_some_and(u8::is_ascii_digit)
                        || text.starts_with(b"- [");
                    // A row of names is none of values.
                    if let Some(promise) = promise
                        && said
                        && keys::promise(body).is_none()
                    {
                        keyed::enclosed(*promise, body, start + value.from, sink);
                    }
                }
            }
        }
    }
}

/// How statements begin that say which columns they give values.
static INSERTS: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new(b"INSERT INTO "), Finder::new(b"insert into ")]);

/// What a line of SQLAlchemy begins with that says which values a statement was given.
const BOUND: &[u8] = b"[parameters: ";
/// What PostgreSQL says before them.
const NUMBERED: &[u8] = b"arameters: $1 = ";
/// What Hibernate says.
const BINDING: &[u8] = b"binding parameter [";

const ALNUM_: u8 = ALNUM | super::values::JOIN;

/// A literal of SQL, JSON or Python.
#[derive(Clone, Copy, Default)]
struct Literal {
    /// What is in it.
    from: usize,
    to: usize,
    quoted: bool,
    /// Where it ends.
    next: usize,
}

fn literal(text: &[u8], at: usize) -> Literal {
    let quote = match text.get(at) {
        Some(b'\'' | b'"') => at,
        Some(b'N' | b'E' | b'n' | b'e') if text.get(at + 1) == Some(&b'\'') => at + 1,
        _ => {
            let end = text[at..]
                .iter()
                .position(|byte| matches!(byte, b',' | b')' | b']'))
                .map_or(text.len(), |found| at + found);
            return Literal {
                from: at,
                to: end,
                quoted: false,
                next: end,
            };
        }
    };
    let mark = text[quote];
    let from = quote + 1;
    let mut to = from;
    while to < text.len() {
        match text[to] {
            b'\'' if mark == b'\'' && text.get(to + 1) == Some(&b'\'') => to += 2,
            b'\\' if mark == b'"' => to += 2,
            byte if byte == mark => break,
            _ => to += 1,
        }
    }
    let to = to.min(text.len());
    let mut next = (to + 1).min(text.len());
    // A cast: '…'::text
    while next < text.len() && !matches!(text[next], b',' | b')' | b']') {
        next += 1;
    }
    Literal {
        from,
        to,
        quoted: true,
        next,
    }
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

/// The number at `at`, as columns are counted: from one.
fn number(line: &[u8], at: usize) -> Option<usize> {
    let digits = &line[at..super::values::run_within(line, at, DIGIT, 3)];
    let number: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (1..=MAX_COLUMNS).contains(&number).then_some(number)
}

fn find_word(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len())
        .position(|window| window.eq_ignore_ascii_case(word))
}

/// `| password | value |`, in a box of names and values without headers; `false`: it is none.
fn boxed_pair(line: &[u8], start: usize, sink: &mut Sink<'_>) -> bool {
    let body = line.trim_ascii_start();
    let mut at = start + (line.len() - body.len());
    let mut cells = Vec::new();
    if body.first() != Some(&b'|') || !body.trim_ascii_end().ends_with(b"|") {
        return false;
    }
    for cell in body.split(|byte| *byte == b'|') {
        let text = cell.trim_ascii();
        if !text.is_empty() && cells.len() < 3 {
            let from = at + (cell.len() - cell.trim_ascii_start().len());
            cells.push((text, from));
        }
        at += cell.len() + 1;
    }
    let [(name, _), (value, from)] = cells[..] else {
        return false;
    };
    // What documents say about a name has more words.
    let promise = (is_header(name) && !value.contains(&b' ') && mix(value).digits > 0)
        .then(|| of_column(name))
        .flatten();
    if let Some(promise) = promise {
        keyed::enclosed(promise, value, from, sink);
    }
    promise.is_some()
}

/// Names of columns in brackets, or after a word that says so: `["id", "password"]`, `Columns: id, password`.
fn listed_columns(line: &[u8]) -> Option<Vec<Option<Promise>>> {
    const WORDS: [&[u8]; 6] = [
        b"columns", b"cols", b"fields", b"header", b"headers", b"names",
    ];
    let body = line.trim_ascii();
    let begins =
        |byte: &u8| matches!(byte | 0x20, b'c' | b'f' | b'h' | b'n') || matches!(byte, b'(' | b'[');
    if !body.first().is_some_and(begins) {
        return None;
    }
    let word = run(body, 0, ALNUM_);
    let told = matches!(body.get(word), Some(b':' | b'='))
        && WORDS
            .iter()
            .any(|name| body[..word].eq_ignore_ascii_case(name));
    let body = if told {
        body[word + 1..].trim_ascii_start()
    } else {
        body
    };
    let body = match (body.first(), body.last()) {
        (Some(b'('), Some(b')')) | (Some(b'['), Some(b']')) => &body[1..body.len() - 1],
        _ if told => body,
        _ => return None,
    };
    let mut columns = Vec::new();
    for name in body.split(|byte| *byte == b',') {
        let name = name.trim_ascii();
        let name = match (name.first(), name.last()) {
            (Some(a @ (b'"' | b'\'' | b'`')), Some(b)) if a == b && name.len() > 2 => {
                &name[1..name.len() - 1]
            }
            _ => name,
        };
        if name.is_empty() || !is_header(name) || columns.len() == MAX_COLUMNS {
            return None;
        }
        columns.push(of_column(name));
    }
    (columns.len() >= 2 && columns.iter().any(Option::is_some)).then_some(columns)
}

/// `! Login !! Password`, the headers of a wiki's table or some of them.
fn wiki_header(line: &[u8]) -> Option<Vec<Option<Promise>>> {
    let names = line.strip_prefix(b"! ")?;
    let mut columns = Vec::new();
    for name in names.split(|byte| *byte == b'!') {
        // Between two marks.
        if name.is_empty() {
            continue;
        }
        // scope="col" | Name
        let name = name.rsplit(|byte| *byte == b'|').next().unwrap_or(name);
        let name = name.trim_ascii();
        if !is_header(name) || columns.len() == MAX_COLUMNS {
            return None;
        }
        columns.push(of_column(name));
    }
    (!columns.is_empty()).then_some(columns)
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
    if line[at] == b'|' {
        name += line[name..]
            .iter()
            .take_while(|byte| **byte == b'*')
            .count();
    }
    // |_. Name |
    if line[name..].starts_with(b"_. ") {
        name += 3;
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
    if line[at] == b'|' {
        end += line[end..].iter().take_while(|byte| **byte == b'*').count();
    }
    let gap = line[end..].iter().take_while(|byte| **byte == b' ').count();
    match line.get(end + gap)? {
        b'|' if line[at] == b'|' && !line.trim_ascii_end().ends_with(b"|") => piped(&line[at..]),
        by @ (b'|' | b'&') => delimited(line, *by),
        by @ (b',' | b';' | b'\t' | b'~' | b'^' | 0x01 | 0x1f) if gap == 0 => delimited(line, *by),
        _ if gap >= 2 && line[at] == b'#' => commented(&line[name..]),
        _ if gap >= 2 => aligned(line),
        _ => None,
    }
}

/// `# client  server  secret`: names in a comment, two spaces apart, above words that need not stand below them.
fn commented(names: &[u8]) -> Option<Table> {
    let mut columns = Vec::new();
    let mut rest = names.trim_ascii();
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"  ");
        let name = &rest[..end.unwrap_or(rest.len())];
        if !is_header(name) || columns.len() == MAX_COLUMNS {
            return None;
        }
        columns.push(of_column(name));
        rest = rest[name.len()..].trim_ascii_start();
    }
    (columns.len() >= 3 && columns.iter().any(Option::is_some)).then_some(Table {
        layout: Layout::Words,
        columns,
        strangers: 0,
        open: None,
    })
}

/// `|Name |Password`, without a bar at its end: rows may have a line per cell.
fn piped(line: &[u8]) -> Option<Table> {
    let mut columns = Vec::new();
    for name in line[1..].split(|byte| *byte == b'|') {
        let name = name.trim_ascii();
        if !is_header(name) || name.is_empty() || columns.len() == MAX_COLUMNS {
            return None;
        }
        columns.push(of_column(name));
    }
    columns.iter().any(Option::is_some).then_some(Table {
        layout: Layout::Piped {
            next: 0,
            headers: false,
        },
        columns,
        strangers: 0,
        open: None,
    })
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
        // |_. Name |
        let name = field.trim_ascii();
        let name = name.strip_prefix(b"_. ").unwrap_or(name).trim_ascii();
        // |*Name*|, | **Name** |
        let stars = name.iter().take_while(|byte| **byte == b'*').count();
        let plain = name.get(stars..name.len().saturating_sub(stars));
        if let Some(plain) = plain.filter(|plain| stars > 0 && !plain.is_empty()) {
            let start = field.len() - field.trim_ascii_start().len() + stars;
            return (start, start + plain.len());
        }
        let end = field.trim_ascii_end().len();
        let start = end - name.len();
        let quoted = end - start >= 2
            && matches!(field[start], b'"' | b'\'')
            && field[end - 1] == field[start];
        (start + usize::from(quoted), end - usize::from(quoted))
    };
    let boxed = matches!(by, b'|' | b'&');
    let mut columns = Vec::new();
    let mut spaced = 0;
    for field in line.split(|byte| *byte == by) {
        let (start, end) = unquoted(field);
        let name = &field[start..end];
        spaced += usize::from(field.first() == Some(&b' ') && !boxed);
        let words = name.split(|byte| *byte == b' ').count();
        // The sides of a box are empty fields.
        if !is_header(name) || words > 4 || name.is_empty() && !boxed {
            return None;
        }
        columns.push(of_column(name));
    }
    let count = columns.len();
    // A sentence has spaces after its commas, too, but more words between them.
    let listed = count > 2 && spaced == count - 1 && memchr::memmem::find(line, b" ").is_some();
    let listed = listed && line.iter().filter(|byte| **byte == b' ').count() == spaced;
    let any = columns.iter().any(Option::is_some);
    if !any || spaced > 0 && !listed || !(2..=MAX_COLUMNS).contains(&count) {
        return None;
    }
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
        // A rule may follow it: `\\ \hline`.
        let end = memchr::memmem::rfind(line, b"\\\\").filter(|end| {
            let after = line[end + 2..].trim_ascii();
            after.is_empty() || matches!(after[0], b'\\' | b'[')
        });
        &line[..end.unwrap_or(line.len())]
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
        layout: Layout::Aligned {
            places,
            head: line.to_vec(),
        },
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
        let Layout::Aligned { head, .. } = &self.layout else {
            return false;
        };
        if !line.iter().all(|byte| matches!(byte, b'-' | b'=' | b' ')) {
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
        if places.len() != self.columns.len() {
            // Names one space apart: the ruler says where each begins.
            let ends = places.iter().skip(1).map(|(from, _)| *from);
            let names = places.iter().zip(ends.chain([head.len()]));
            let columns = names
                .map(|((from, _), to)| Some(head.get(*from..to.min(head.len()))?.trim_ascii()))
                .collect::<Option<Vec<_>>>()
                .filter(|names| names.iter().all(|name| !name.is_empty() && is_header(name)));
            let Some(columns) = columns else {
                return false;
            };
            self.columns = columns.into_iter().map(of_column).collect();
        }
        self.layout = Layout::Ruled(places);
        true
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
            Layout::Aligned { places, .. } => {
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
                } else if count == self.columns.len() + 1 && numbered() && alike() {
                    self.cells(Cells::new(line).skip(1).enumerate(), line, start, sink);
                } else if unnamed <= 1 && placed >= 2 {
                    let cells = Cells::new(line).skip(unnamed).take(placed);
                    let cells = cells.filter_map(|cell| Some((column_of(cell)?, cell)));
                    self.cells(cells, line, start, sink);
                } else {
                    return false;
                }
                true
            }
            Layout::Words => {
                let mut cells = Vec::new();
                let mut at = 0;
                for word in line.split(|byte| matches!(byte, b' ' | b'\t')) {
                    let quoted = word.len() > 2 && word[0] == b'"' && word.ends_with(b"\"");
                    let inside = usize::from(quoted);
                    if !word.is_empty() {
                        cells.push((at + inside, at + word.len() - inside));
                    }
                    at += word.len() + 1;
                }
                let row = cells.len() == self.columns.len() && line[0] != b'#';
                if row {
                    self.cells(cells.into_iter().enumerate(), line, start, sink);
                }
                row
            }
            Layout::Piped { next, .. } => {
                let next = *next;
                let body = line.trim_ascii_start();
                let Some(row) = body.strip_prefix(b"|") else {
                    return false;
                };
                let mut at = start + (line.len() - row.len());
                let ends = matches!(row.first(), Some(b'-' | b'}' | b'=' | b'+'));
                let (mut column, mut cells) = (if ends { 0 } else { next }, Vec::new());
                for (index, cell) in row.split(|byte| *byte == b'|').enumerate() {
                    // Two bars are one, and what ends a row is no cell.
                    if !(ends || cell.is_empty() && index > 0) {
                        cells.push((column % self.columns.len(), (at, at + cell.len())));
                        column += 1;
                    }
                    at += cell.len() + 1;
                }
                let whole = |(from, to): (usize, usize)| (from - start, to - start);
                let cells = cells
                    .into_iter()
                    .map(|(column, cell)| (column, whole(cell)));
                self.cells(cells, line, start, sink);
                self.layout = Layout::Piped {
                    next: column % self.columns.len(),
                    headers: false,
                };
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
    /// What the text of the element before promises of the next, outside tables.
    beside: Option<Promise>,
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
                let labels = is(b"label")
                    || is(b"strong")
                    || is(b"data")
                    || is(b"key")
                    || is(b"span") && memchr::memmem::find(&line[tag..at], b"label").is_some();
                if labels || self.beside.is_some() {
                    let to =
                        memchr::memchr(b'<', &line[at..]).map_or(line.len(), |found| at + found);
                    self.element(line, (at, to), start, sink);
                }
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

    /// `<label>Password</label><span>value</span>`: what stands alone in an element may be the name of what does in the next.
    fn element(
        &mut self,
        line: &[u8],
        (from, to): (usize, usize),
        start: usize,
        sink: &mut Sink<'_>,
    ) {
        let text = line[from..to].trim_ascii();
        if text.is_empty() || self.beside.is_none() && text.len() > keys::MAX_NAME {
            return;
        }
        let name = text.strip_suffix(b":").unwrap_or(text);
        let label = || is_header(name) && name.split(|byte| *byte == b' ').count() <= 3;
        let names = keys::promise(name).filter(|_| label());
        let promise = std::mem::replace(&mut self.beside, names);
        // Of what opens something forms say more than they have of it.
        let word = !text.contains(&b' ') && mix(text).digits > 0;
        if let Some(promise) = promise
            && names.is_none()
            && (word || !keys::opens(promise))
            && promise != Promise::CardCode
        {
            keyed::enclosed(promise, &line[from..to], start + from, sink);
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
