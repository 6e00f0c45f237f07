//! The arguments of one program, cut into options and operands as the program itself cuts them. An argument that is not
//! in its table is an error: what it does is not known.

use super::Word;

/// What a program takes: names without dashes, aliases joined by commas, separated by blanks. A name of one letter is a
/// short option. Words in angle brackets are no options. `!` after those that take no value, `?` after those whose value
/// may only follow an equals sign, `@` after those whose value names files that are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takes(pub(super) &'static str);

/// How a program reads its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Python's argparse: any unambiguous beginning of a long option will do; an option takes all values up to the next.
    Argparse,
    /// GNU getopt and Go's pflag: short options may be bundled, with a value glued on.
    Getopt,
    /// Go's own: long options behind one dash or two, never bundled.
    Go,
}

/// Arguments that were understood.
#[derive(Debug, Default)]
pub(super) struct Arguments<'a> {
    /// Each option by its longest name, in order, with its value. Of several, what counts is the program's affair.
    pub(super) options: Vec<(&'static str, Option<&'a str>)>,
    /// Of their values, those that name files whose content is shown, or patterns of such names.
    pub(super) shown: Vec<&'a str>,
    /// What is no option and no option's value.
    pub(super) operands: Vec<&'a Word>,
}

/// Why arguments were not understood, as a half-sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUnderstood(pub(super) &'static str);

impl<'a> Arguments<'a> {
    fn push(&mut self, option: Option_, value: Option<&'a str>) {
        self.options.push((option.name, value));
        if option.kind == Kind::ShownFile {
            self.shown.extend(value);
        }
    }

    /// Whether the option is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| *option == name)
    }

    /// The value that counts where the last one wins.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        let mut values = self
            .options
            .iter()
            .rev()
            .filter(|(option, _)| *option == name);
        values.find_map(|(_, value)| *value)
    }

    /// Every value given for the option.
    pub(super) fn values<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.options
            .iter()
            .filter(move |(option, _)| *option == name)
            .filter_map(|(_, value)| *value)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flag,
    Value,
    GluedValue,
    ShownFile,
}

impl Kind {
    fn takes_next(self) -> bool {
        matches!(self, Self::Value | Self::ShownFile)
    }
}

#[derive(Clone, Copy, Debug)]
struct Option_ {
    name: &'static str,
    kind: Kind,
}

/// Cuts `words`; `tables` are looked in one after the other.
pub(super) fn parse<'a>(
    tables: &[Takes],
    style: Style,
    words: &'a [Word],
) -> Result<Arguments<'a>, NotUnderstood> {
    let mut found = Arguments::default();
    let mut rest = words.iter().peekable();
    // The option that further values belong to.
    let mut open = None;
    while let Some(word) = rest.next() {
        let text = word.text.as_str();
        let is_option = word.is_literal()
            && text.len() > 1
            && text.starts_with('-')
            && !text[1..].starts_with(|c: char| c.is_ascii_digit());
        if !word.is_literal() {
            // Whatever stands there could be an option, or many.
            return Err(NotUnderstood("an argument is not known until it runs"));
        }
        if !is_option {
            match open {
                Some(name) => found.options.push((name, Some(text))),
                None => found.operands.push(word),
            }
            continue;
        }
        open = None;
        if text == "--" {
            if style == Style::Argparse {
                return Err(NotUnderstood("it takes no arguments after `--`"));
            }
            found.operands.extend(rest);
            break;
        }
        let long = match style {
            Style::Go => Some(text.trim_start_matches('-')),
            Style::Argparse | Style::Getopt => text.strip_prefix("--"),
        };
        if let Some(long) = long {
            let (name, glued) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let option = find_long(tables, style, name)?;
            let value = match (option.kind, glued) {
                (Kind::Flag, Some(_)) if style == Style::Argparse => {
                    return Err(NotUnderstood("an option is given a value it does not take"));
                }
                (_, Some(value)) => Some(value),
                (Kind::Flag | Kind::GluedValue, None) => None,
                (Kind::Value | Kind::ShownFile, None) => Some(next_value(style, &mut rest)?),
            };
            if option.kind.takes_next() && style == Style::Argparse && glued.is_none() {
                open = Some(option.name);
            }
            found.push(option, value);
            continue;
        }
        for (at, short) in text[1..].char_indices() {
            let after = &text[1 + at + short.len_utf8()..];
            let option = find_short(tables, short)?;
            if option.kind == Kind::Flag && !after.starts_with('=') {
                found.options.push((option.name, None));
                continue;
            }
            let value = if after.is_empty() {
                match option.kind {
                    Kind::Value | Kind::ShownFile => Some(next_value(style, &mut rest)?),
                    Kind::Flag | Kind::GluedValue => None,
                }
            } else {
                Some(after.strip_prefix('=').unwrap_or(after))
            };
            if option.kind.takes_next() && style == Style::Argparse && after.is_empty() {
                open = Some(option.name);
            }
            found.push(option, value);
            break;
        }
    }
    Ok(found)
}

fn next_value<'a>(
    style: Style,
    rest: &mut std::iter::Peekable<std::slice::Iter<'a, Word>>,
) -> Result<&'a str, NotUnderstood> {
    let missing = NotUnderstood("an option lacks its value");
    let word = rest.next().ok_or(missing)?;
    if !word.is_literal() {
        return Err(NotUnderstood("an argument is not known until it runs"));
    }
    if style == Style::Argparse && word.text.len() > 1 && word.text.starts_with('-') {
        return Err(NotUnderstood("an option lacks its value"));
    }
    Ok(&word.text)
}

fn each(tables: &[Takes]) -> impl Iterator<Item = (Option_, &'static str)> + '_ {
    tables
        .iter()
        .flat_map(|table| table.0.split_ascii_whitespace())
        .filter(|entry| !entry.starts_with('<'))
        .map(|entry| {
            let (names, kind) = match entry.as_bytes().last() {
                Some(b'!') => (&entry[..entry.len() - 1], Kind::Flag),
                Some(b'?') => (&entry[..entry.len() - 1], Kind::GluedValue),
                Some(b'@') => (&entry[..entry.len() - 1], Kind::ShownFile),
                _ => (entry, Kind::Value),
            };
            let name = names
                .split(',')
                .max_by_key(|name| name.len())
                .unwrap_or(names);
            (Option_ { name, kind }, names)
        })
}

fn find_long(tables: &[Takes], style: Style, name: &str) -> Result<Option_, NotUnderstood> {
    let unknown = NotUnderstood("it has an option that is not reviewed");
    // pflag has long options of one letter: `--v`, listed as `v,v`.
    let is_long = |names: &str, candidate: &str| {
        style == Style::Go
            || candidate.len() > 1
            || names.split(',').all(|name| name == candidate) && names.len() > 1
    };
    let mut beginning = None;
    for (option, names) in each(tables) {
        for candidate in names
            .split(',')
            .filter(|candidate| is_long(names, candidate))
        {
            if candidate == name {
                return Ok(option);
            }
            if style == Style::Argparse && !name.is_empty() && candidate.starts_with(name) {
                match beginning {
                    None => beginning = Some(option),
                    Some(first) if first.name == option.name => {}
                    Some(_) => return Err(NotUnderstood("an option is cut short and ambiguous")),
                }
            }
        }
    }
    beginning.ok_or(unknown)
}

fn find_short(tables: &[Takes], short: char) -> Result<Option_, NotUnderstood> {
    let mut buffer = [0; 4];
    let short: &str = short.encode_utf8(&mut buffer);
    each(tables)
        .find(|(_, names)| names.split(',').any(|name| name == short))
        .map(|(option, _)| option)
        .ok_or(NotUnderstood("it has an option that is not reviewed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(takes: &'static str, style: Style, words: &[&str]) -> String {
        let words: Vec<Word> = words.iter().map(|word| Word::literal(*word)).collect();
        match parse(&[Takes(takes)], style, &words) {
            Err(NotUnderstood(why)) => why.to_owned(),
            Ok(found) => {
                let options = found.options.iter().map(|(name, value)| match value {
                    Some(value) => format!("{name}={value}"),
                    None => (*name).to_owned(),
                });
                let operands = found.operands.iter().map(|word| format!("<{}>", word.text));
                options.chain(operands).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn arguments_are_cut_as_each_program_cuts_them() {
        let az = "method,m name,n yes,y! name-prefix";
        let kubectl = "namespace,n output,o watch,w! dry-run? v,v";
        let go = "json! out";
        let cases = [
            (
                az,
                Style::Argparse,
                &["--met", "delete"][..],
                "method=delete",
            ),
            (
                az,
                Style::Argparse,
                &["-mdelete", "-yn", "rg"],
                "method=delete yes name=rg",
            ),
            (
                az,
                Style::Argparse,
                &["--method=get", "-n", "a", "b"],
                "method=get name=a name=b",
            ),
            (
                az,
                Style::Argparse,
                &["--na", "x"],
                "an option is cut short and ambiguous",
            ),
            (
                az,
                Style::Argparse,
                &["-n", "-y"],
                "an option lacks its value",
            ),
            (
                az,
                Style::Argparse,
                &["--", "x"],
                "it takes no arguments after `--`",
            ),
            (
                kubectl,
                Style::Getopt,
                &["-nprod", "-owide", "pods"],
                "namespace=prod output=wide <pods>",
            ),
            (
                kubectl,
                Style::Getopt,
                &["-o=wide", "--watch=false"],
                "output=wide watch=false",
            ),
            (
                kubectl,
                Style::Getopt,
                &["-n", "--dry-run", "a"],
                "namespace=--dry-run <a>",
            ),
            (
                kubectl,
                Style::Getopt,
                &["--dry-run", "client"],
                "dry-run <client>",
            ),
            (
                kubectl,
                Style::Getopt,
                &["a", "--", "--watch"],
                "<a> <--watch>",
            ),
            (
                kubectl,
                Style::Getopt,
                &["--wat"],
                "it has an option that is not reviewed",
            ),
            (go, Style::Go, &["-json", "--out=x", "y"], "json out=x <y>"),
        ];
        for (takes, style, words, expected) in cases {
            assert_eq!(cut(takes, style, words), expected, "{words:?}");
        }
    }
}
