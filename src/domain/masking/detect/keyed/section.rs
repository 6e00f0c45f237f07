//! What a line leaves behind for those after it: a name whose value is to come, a list, a block, a form's field.

use super::super::{
    Sink,
    keys::{self, Place, Promise, judge},
    kinds::Kind,
    told,
    values::{
        self, ALNUM, DIGIT, DOT, JOIN, LOWER, UPPER, is, is_hex, is_strong, mix, run, run_within,
    },
};
use super::{
    closing_quote, enclosed,
    manifest::{self, Says},
    value::MAX_BARE,
};
use std::ops::Range;

/// What earlier lines say about the next: `"name": "DB_PASSWORD"`, then `"value": …`.
#[derive(Clone, Debug, Default)]
pub(in crate::domain::masking::detect) struct Pair {
    pub(super) promise: Option<Promise>,
    pub(in crate::domain::masking::detect) names: keys::Names,
    /// What the next line is to keep: `password: >-`.
    pub(super) block: Option<Block>,
    /// What the lines further in are to keep, each.
    pub(super) section: Option<Section>,
    /// In the head of a form's field.
    pub(super) form: bool,
    /// Where in the text the first name of this line is that stands as a value and promises something.
    pub(super) described: Option<usize>,
    /// Lines in which a value is a vault's.
    pub(super) vault: u8,
    /// What somebody was asked for, and in how many lines an answer may still come.
    asked: Option<(Promise, u8)>,
    /// The next line is the name of an account, the one after it its password.
    login: bool,
    /// Lines since it was said.
    age: u8,
    /// In how many lines the data of an object of Kubernetes may still begin.
    manifest: u8,
}

/// The data of a secret begins in as many lines after its kind.
const SECRET_LINES: u8 = 40;

/// Tools write the data of an object right after its version. The line of the version counts.
const VERSION_LINES: u8 = 3;

/// How many lines a name waits for its value.
pub(super) const PAIR_LINES: u8 = 6;

/// An answer comes in as many lines: who gives it, and when, may stand in one of its own.
const ANSWER_LINES: u8 = 3;

/// The name of an account and its password follow, in a line each.
const LOGIN: &[u8] = b"<auth-user-pass>";

/// What a name promises of all of the next line.
#[derive(Clone, Copy, Debug)]
pub(in crate::domain::masking::detect) struct Block {
    pub(super) promise: Promise,
    pub(super) form: Form,
}

/// How a value stands in a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is: the name says so.
    Plain,
    /// Marked as a value, or it looks like nothing else: the name may have none.
    Marked,
    /// The same, or an item of a list.
    Item,
    /// After the name of an account: `root:value`.
    Accounts,
    /// The same where it can be nothing else; or an item of a list.
    Logins,
    /// Under a name that says whose it is: `ann: value`.
    Named,
    /// The same in the data of an object of Kubernetes.
    Data,
}

/// A list, or a block with names of its own, under a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) block: Block,
    /// How far in its name stands; `None`: it has no end but where another begins, `[users]`.
    indent: Option<usize>,
    lines: u8,
}

/// The most lines of a list.
const SECTION_LINES: u8 = 100;

impl Pair {
    /// Ends a line. `named`: it has a word that ends as a promising name does, and no value right after it.
    #[inline]
    pub(in crate::domain::masking::detect) fn end_line(&mut self, line: &[u8], named: bool) {
        // What neither begins nor ends as these do says nothing of the next.
        let begins = matches!(line.first(), Some(b'v' | b'C' | b'<' | b'$'));
        let ends = matches!(line.last(), Some(b'?' | b' ' | b'\t' | b'\r' | 0x0c));
        if named | begins | ends | self.form | self.waits() {
            self.end_marked_line(line, named);
        }
    }

    /// The same. A block may declare a name: `variable "db_password" {`.
    #[inline(never)]
    fn end_marked_line(&mut self, line: &[u8], named: bool) {
        let first = line.first();
        if first == Some(&b'v')
            && let Some(rest) = line.strip_prefix(b"variable \"")
            && let Some(end) = memchr::memchr(b'"', rest)
        {
            self.set(keys::promise(&rest[..end]));
        }
        // The value of a form's field is the line after an empty one.
        if self.form && line.trim_ascii_end().is_empty() {
            self.form = false;
            let form = Form::Plain;
            self.block = self.promise.take().map(|promise| Block { promise, form });
        } else if first == Some(&b'C') && line.starts_with(b"Content-Disposition: form-data;") {
            self.form = true;
        }
        if self.block.is_none() {
            let announced = named
                .then(|| announced(line).or_else(|| headline(line)))
                .flatten();
            self.block = announced.or_else(|| self.of_section(line));
        }
        if std::mem::take(&mut self.login) {
            let (promise, form) = (Promise::Password, Form::Plain);
            self.block = Some(Block { promise, form });
        }
        self.login = first == Some(&b'<') && line.starts_with(LOGIN);
        self.asked = match asks(line) {
            Some(promise) => Some((promise, ANSWER_LINES)),
            None => self
                .asked
                .and_then(|(promise, lines)| Some((promise, lines.checked_sub(1)?))),
        };
        if named
            && first == Some(&b'[')
            && let Some(promise) = headed(line)
        {
            self.named(promise, None);
        }
        self.vault = self.vault.saturating_sub(1);
        if self.manifest > 0 || named && line.ends_with(b"Secret") {
            self.of_manifest(line);
        }
        if self.promise.is_some() {
            self.age += 1;
            if self.age > PAIR_LINES {
                self.promise = None;
            }
        }
    }

    /// Whether a line's end changes anything, whatever is in the line.
    pub(in crate::domain::masking::detect) fn waits(&self) -> bool {
        self.promise.is_some()
            | (self.vault > 0)
            | self.section.is_some()
            | self.asked.is_some()
            | self.login
            | (self.manifest > 0)
    }

    /// What comes next is an object of Kubernetes that may be a secret.
    pub(super) fn manifest(&mut self) {
        self.manifest = VERSION_LINES;
    }

    fn of_manifest(&mut self, line: &[u8]) {
        self.manifest = self.manifest.saturating_sub(1);
        match manifest::says(line) {
            Says::Secret => self.manifest = SECRET_LINES,
            Says::OtherKind => self.manifest = 0,
            Says::Data if self.manifest > 0 => {
                let (promise, form) = (Promise::Key, Form::Data);
                let block = Block { promise, form };
                self.begins(block, Some(indent(line, 0)));
                self.block = Some(block);
            }
            Says::Data | Says::Nothing => {}
        }
    }

    /// Masks the answer to what was asked, if the line is one.
    #[inline]
    pub(in crate::domain::masking::detect) fn answer(
        &mut self,
        line: &[u8],
        start: usize,
        sink: &mut Sink<'_>,
    ) {
        if let Some((promise, _)) = self.asked
            && let Some((from, to, kind)) = told::answer(promise, line)
        {
            sink.push(start + from, start + to, kind);
            self.asked = None;
        }
    }

    /// Takes the place of the line's first name that stands as a value, as the names of columns do.
    pub(in crate::domain::masking::detect) fn take_described(&mut self) -> Option<usize> {
        self.described.take()
    }

    /// Takes the promise an earlier line made of all of this one.
    pub(in crate::domain::masking::detect) fn take_block(&mut self) -> Option<Block> {
        self.block.take()
    }

    /// Keeps one that was taken before its line came.
    pub(in crate::domain::masking::detect) fn keep_block(&mut self, block: Block) {
        self.block = Some(block);
    }

    /// What the section that `line` is in, or begins, promises of the next.
    fn of_section(&mut self, line: &[u8]) -> Option<Block> {
        let section = self.section.as_mut()?;
        let indent = line.len() - line.trim_ascii_start().len();
        let first = line.get(indent).copied();
        let logins = section.block.form == Form::Logins;
        let login = logins && told::name_and_value(line, indent).is_some();
        let item = first == Some(b'-') && !matches!(section.block.form, Form::Data | Form::Named);
        let further = match section.indent {
            Some(own) => indent > own,
            None => first != Some(b'['),
        };
        let inside = first.is_none() || further || item || login;
        // Names of its own make it no list.
        let mapped = section.block.form == Form::Item && line[indent..].contains(&b':')
            || logins && memchr::memmem::find(line, b": ").is_some();
        if mapped && first != Some(b'<') {
            section.block.form = Form::Named;
        }
        let ends = !inside
            // A list of objects.
            || first == Some(b'{')
            || line[indent..].starts_with(b"</")
            || section.lines == 0;
        if ends {
            self.section = None;
            return None;
        }
        section.lines -= 1;
        Some(section.block)
    }

    /// A name without a value on its line: what comes next may be one, or have names of its own.
    pub(super) fn heads(&mut self, promise: Promise, name: &[u8], indent: usize) {
        let form = match name {
            b"chpasswd" => Form::Accounts,
            _ if [b"reds".as_slice(), b"redentials", b"ogins"]
                .iter()
                .any(|end| name.ends_with(end)) =>
            {
                Form::Logins
            }
            _ if is_plural(name) => Form::Item,
            _ => Form::Marked,
        };
        let block = Block { promise, form };
        if form != Form::Marked {
            self.begins(block, Some(indent));
        }
        // Of a list none has a name of its own.
        if keys::opens(promise) && form != Form::Item {
            self.set(Some(promise));
        }
        self.block = Some(block);
    }

    /// Names follow that say whose each value is.
    pub(super) fn named(&mut self, promise: Promise, indent: Option<usize>) {
        let form = Form::Named;
        let block = Block { promise, form };
        self.begins(block, indent);
        self.block = Some(block);
    }

    fn begins(&mut self, block: Block, indent: Option<usize>) {
        let lines = SECTION_LINES;
        self.section = Some(Section {
            block,
            indent,
            lines,
        });
    }

    pub(super) fn set(&mut self, promise: Option<Promise>) {
        self.promise = promise;
        self.age = 0;
    }
}

/// What a line promises of an answer to it: a question, or a command.
fn asks(line: &[u8]) -> Option<Promise> {
    let question = line.trim_ascii_end().strip_suffix(b"?");
    question.and_then(asked).or_else(|| shows(line))
}

/// What the names promise that stand under a heading: `[passwords]`, `[users]`.
fn headed(line: &[u8]) -> Option<Promise> {
    let name = line
        .trim_ascii_end()
        .strip_prefix(b"[")?
        .strip_suffix(b"]")?;
    if let Some(promise) = of_several(name) {
        return Some(promise);
    }
    keys::promise(name).filter(|promise| is_plural(name) && keys::opens(*promise))
}

/// What names promise under one that promises nothing itself: what people log in with, and what is called secret.
pub(super) fn of_several(name: &[u8]) -> Option<Promise> {
    let (_, users) = name.split_last_chunk::<5>()?;
    if users.eq_ignore_ascii_case(b"users") {
        Some(Promise::Password)
    } else {
        name.eq_ignore_ascii_case(b"secrets")
            .then_some(Promise::Key)
    }
}

/// How far in a line begins.
pub(super) fn indent(line: &[u8], start: usize) -> usize {
    line[start..].len() - line[start..].trim_ascii_start().len()
}

/// Whether a name is one of several.
pub(super) fn is_plural(name: &[u8]) -> bool {
    matches!(name.last(), Some(b's' | b'S')) && !matches!(name, [.., b's' | b'S', _])
}

/// A name with its value, by their places.
pub(super) struct Entry {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

/// The name and its value that stand from `at` on: `name: value`, `"name": "value"`, `name => value`. An object or a list is no
/// value.
pub(super) fn entry(line: &[u8], at: usize) -> Option<Entry> {
    let skip = |at: usize, these: &[u8]| {
        let skipped = line[at..].iter().take_while(|byte| these.contains(byte));
        at + skipped.count()
    };
    let from = skip(at, b" \t");
    let from = from + 2 * usize::from(line[from..].starts_with(b"- "));
    let from = skip(from, QUOTED);
    let name = from..run_within(line, from, ALNUM | JOIN | DOT, keys::MAX_NAME);
    let separator = skip(skip(name.end, QUOTED), b" \t");
    if name.is_empty() || !matches!(line.get(separator)?, b':' | b'=') {
        return None;
    }
    let after = separator + 1 + usize::from(line.get(separator + 1) == Some(&b'>'));
    let at = skip(after, b" \t");
    let escapes = skip(at, b"\\") - at;
    let value = match line.get(at + escapes)? {
        b'{' | b'[' => return None,
        mark @ (b'"' | b'\'') => {
            let from = at + escapes + 1;
            from..closing_quote(line, from, *mark, escapes)?
        }
        _ => {
            let ends = |byte: &u8| matches!(byte, b' ' | b',' | b'}' | b'\r');
            let near = &line[at..line.len().min(at + MAX_BARE)];
            at..at + near.iter().position(ends).unwrap_or(near.len())
        }
    };
    Some(Entry { name, value })
}

/// What may stand around a name, or a value.
const QUOTED: &[u8] = b"\"'\\";

/// Each name and value of an object in one line, from `at` on up to where it ends, or another begins.
pub(super) fn entries_of(line: &[u8], mut at: usize, mut found: impl FnMut(Entry)) {
    while let Some(entry) = entry(line, at) {
        let end = entry.value.end;
        found(entry);
        let closes = |byte: &&u8| QUOTED.contains(byte) || **byte == b' ';
        at = end + line[end..].iter().take_while(closes).count();
        if line.get(at) != Some(&b',') {
            return;
        }
        at += 1;
    }
}

/// Masks what stands in an object under names that say whose it is: `"tokens": {"ann": "…"}`.
pub(super) fn entries(promise: Promise, line: &[u8], at: usize, sink: &mut Sink<'_>) {
    entries_of(line, at, |entry| named(promise, line, &entry, 0, sink));
}

/// Masks a value under a name that promises nothing, but is one of several that open something.
fn named(promise: Promise, line: &[u8], entry: &Entry, start: usize, sink: &mut Sink<'_>) {
    let value = &line[entry.value.clone()];
    let name = &line[entry.name.clone()];
    // Keys that promise nothing sort, or are public.
    let other = keys::promise(name).is_some() || name.ends_with(b"key");
    if other || manifest::is_open(name) {
        return;
    }
    // Beside credentials stand hashes and references, too.
    let random = || is_hex(value) || mix(value).turns * 4 >= value.len();
    let key = || {
        promise != Promise::Key && judge(Promise::Key, value, Place::Enclosed).is_some() && random()
    };
    let kind = match promise {
        Promise::Password if is_strong(value) => Kind::Password,
        _ if is_strong(value) || key() => Kind::GenericSecret,
        _ => return,
    };
    sink.push(start + entry.value.start, start + entry.value.end, kind);
}

/// What a command prints: `$ gcloud secrets versions access latest --secret=db-password`.
fn shows(line: &[u8]) -> Option<Promise> {
    const COMMANDS: [&[u8]; 8] = [
        b"gcloud secrets versions access",
        b"az keyvault secret show",
        b"get-secret-value",
        b"get-parameter",
        b"kv get -field",
        b"pass show ",
        b"op read ",
        b"print-access-token",
    ];
    let command = line.strip_prefix(b"$ ")?;
    COMMANDS
        .iter()
        .any(|of| memchr::memmem::find(command, of).is_some())
        .then_some(Promise::Password)
}

/// No question is longer that asks for one thing.
const MAX_QUESTION: usize = 200;

/// Words of which a question that wants a value has one.
const ASKING: [&[u8]; 17] = [
    b"and", b"can", b"could", b"what", b"whats", b"which", b"when", b"send", b"share", b"give",
    b"tell", b"remind", b"know", b"have", b"need", b"post", b"enter",
];

/// What a question asks somebody for: `What's the password for the VPN`
fn asked(question: &[u8]) -> Option<Promise> {
    let question = &question[question.len().saturating_sub(MAX_QUESTION)..];
    let mut asks = false;
    let mut found = None;
    // Up to the end of the last word but one, for names of two.
    let mut at = 0;
    let mut before = 0;
    while at < question.len() {
        let of_word = |byte: &&u8| is(**byte, ALNUM | JOIN) || **byte >= 0x80;
        let end = at + question[at..].iter().take_while(of_word).count();
        let word = &question[at..end];
        asks |= ASKING.iter().any(|ask| word.eq_ignore_ascii_case(ask));
        found = found
            .or_else(|| keys::promise(word))
            .or_else(|| keys::promise(&question[before..end]))
            .or_else(|| {
                word.eq_ignore_ascii_case(b"born")
                    .then_some(Promise::BirthDate)
            });
        (before, at) = (at, end + 1);
    }
    found.filter(|promise| asks && !matches!(promise, Promise::Name | Promise::Value))
}

/// What a line promises of the next that is nothing but a name, marked as an item: `- --password`, `3) "password"`,
/// `<key>Password</key>`.
fn announced(line: &[u8]) -> Option<Block> {
    let begin = line.trim_ascii_start();
    let item = begin.strip_prefix(b"- ").unwrap_or(begin);
    let flag = item.starts_with(b"--") || item.get(1..3) == Some(b"--");
    let quoted = begin.first() == Some(&b'"')
        && begin.ends_with(b"\",")
        && memchr::memchr(b'"', &begin[1..]) == Some(begin.len() - 3);
    if !flag
        && !quoted
        && !begin
            .first()
            .is_some_and(|first| *first == b'<' || is(*first, DIGIT))
    {
        return None;
    }
    // A flag may have its line for itself.
    let alone = || {
        begin
            .starts_with(b"--")
            .then_some((Mark::Item, (line.len() - begin.len(), line.len())))
    };
    let (mark, (from, to)) = scalar(line).or_else(alone)?;
    let name = line[from..to].trim_ascii();
    // Most lists of names are no more than that.
    let flag = name.strip_prefix(b"--");
    let name = match mark {
        // A pair over two lines, of a list.
        Mark::Item if quoted && flag.is_none() => {
            let promise = keys::promise(name).filter(|promise| keys::opens(*promise))?;
            return (promise != Promise::Password).then_some(Block {
                promise: Promise::Key,
                form: Form::Item,
            });
        }
        Mark::Item => flag?,
        Mark::Value => flag.unwrap_or(name),
    };
    let named = name.len() <= keys::MAX_NAME
        && name
            .iter()
            .all(|byte| is(*byte, ALNUM | JOIN | DOT) || *byte == b' ');
    let promise = named.then(|| keys::promise(name))??;
    let form = Form::Item;
    (!matches!(promise, Promise::Name | Promise::Value)).then_some(Block { promise, form })
}

/// What a line promises of the next that is nothing but the name of something personal, as forms are read from paper. What
/// opens something may be any word, so its name must be marked.
fn headline(line: &[u8]) -> Option<Block> {
    let marks = line.iter().take_while(|byte| **byte == b'#').count();
    let name = line[marks..].trim_ascii();
    let plain = name.len() <= keys::MAX_NAME
        && name
            .iter()
            .all(|byte| is(*byte, UPPER | LOWER) || matches!(byte, b' ' | b'.' | b'-'));
    let promise = plain.then(|| keys::promise(name))??;
    let form = Form::Marked;
    let personal = matches!(
        promise,
        Promise::BirthDate
            | Promise::Passport
            | Promise::NationalId
            | Promise::Nino
            | Promise::Ssn
            | Promise::Iban
            | Promise::Card
    );
    (personal || marks > 0 && keys::opens(promise)).then_some(Block { promise, form })
}

/// What marks an item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A dash, or nothing but quotes: most lists have them.
    Item,
    /// A number, a tag, or a type.
    Value,
}

/// What is in an item that has a line of its own, where something marks it as one: `- value`, `4) "value"`,
/// `<string>value</string>`, `string(5) "value"`, `"value",`.
fn scalar(line: &[u8]) -> Option<(Mark, (usize, usize))> {
    let mut from = line.len() - line.trim_ascii_start().len();
    let mut to = from + line[from..].trim_ascii_end().len();
    let begin = from;
    let mut mark = Mark::Item;
    let number = run(line, from, DIGIT);
    if line[from..].starts_with(b"- ") {
        from += 2;
    } else if number > from && line[number..].starts_with(b") ") {
        (mark, from) = (Mark::Value, number + 2);
    } else if line[from..].starts_with(b"string(") {
        mark = Mark::Value;
        from += memchr::memchr(b' ', &line[from..])? + 1;
    }
    if line.get(from) == Some(&b'<') {
        mark = Mark::Value;
        from += memchr::memchr(b'>', &line[from..])? + 1;
        let end = from + memchr::memmem::find(line.get(from..to)?, b"</")?;
        // It has the line for itself.
        let close = memchr::memchr(b'>', &line[end..])?;
        if end + close + 1 != to {
            return None;
        }
        to = end;
    }
    if from < to && matches!(line[to - 1], b',' | b';') {
        to -= 1;
    }
    if to >= from + 2 && matches!(line[from], b'"' | b'\'') && line[to - 1] == line[from] {
        (from, to) = (from + 1, to - 1);
    }
    (from < to && from != begin).then_some((mark, (from, to)))
}

/// Masks a line whose all an earlier one made a promise of.
pub(in crate::domain::masking::detect) fn block(
    block: Block,
    line: &[u8],
    start: usize,
    sink: &mut Sink<'_>,
) {
    let several = matches!(block.form, Form::Item | Form::Logins | Form::Named);
    if several && let Some(entry) = entry(line, 0) {
        named(block.promise, line, &entry, start, sink);
    }
    let marked = scalar(line);
    let (from, to) = marked.map_or((0, line.len()), |(_, place)| place);
    let value = line[from..to].trim_ascii();
    match block.form {
        Form::Data => manifest::data(line, start, sink),
        Form::Named => {}
        Form::Plain => enclosed(block.promise, &line[from..to], start + from, sink),
        Form::Logins
            if let Some((from, to, kind)) =
                told::name_and_value(line, line.len() - line[from..].trim_ascii_start().len()) =>
        {
            sink.push(start + from, start + to, kind);
        }
        Form::Marked | Form::Item | Form::Logins => {
            let quoted = from > 0 && matches!(line[from - 1], b'"' | b'\'');
            let item = marked.is_some_and(|(mark, _)| mark == Mark::Item) && !quoted;
            if item && block.form == Form::Marked {
                return;
            }
            let marked = marked.is_some();
            let named = keys::promise(value).is_some();
            let other = |byte: &u8| matches!(byte, b' ' | b':' | b'=');
            let alone = !value
                .iter()
                .rev()
                .skip_while(|byte| **byte == b'=')
                .any(other)
                && !values::is_code(value);
            let strong = mix(value).digits > 0 && (alone || !keys::opens(block.promise));
            if !named && (marked && !value.contains(&b':') || strong) {
                enclosed(block.promise, &line[from..to], start + from, sink);
            }
        }
        Form::Accounts => {
            let from = from + (line[from..to].len() - line[from..to].trim_ascii_start().len());
            let user = run(line, from, ALNUM | JOIN | DOT);
            let value = line.get(user + 1..to).unwrap_or_default();
            // To be drawn by lot, or no account at all.
            let other = matches!(value, b"R" | b"RANDOM") || value.starts_with(b" ");
            if user > from && line.get(user) == Some(&b':') && !other {
                enclosed(block.promise, value, start + user + 1, sink);
            }
        }
    }
}
