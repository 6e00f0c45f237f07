//! YAML text to a tree of nodes that know where they stand.
//!
//! The text is not trusted: it is bounded in size, depth and number of nodes. Anchors, aliases, tags, directives and
//! further documents are refused: a policy says what it says where it says it, so that whoever reviews a change sees
//! all of it.

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::problem::{Place, Problems, quoted};

/// The largest policy file, in bytes.
pub const MAX_FILE: usize = 1 << 20;
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 100_000;

/// One value in the text.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// Text, and whether it was written without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys that are no text are reported and left out.
    Map(Vec<(Key, Node)>),
    /// Something that has been reported already.
    Refused,
}

/// A key of a mapping.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) text: String,
}

impl Node {
    /// Whether the text gives a key but no value.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What this is, for a message that wanted something else.
    pub(super) fn described(&self) -> &'static str {
        match &self.value {
            _ if self.is_empty() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Refused => "something else",
        }
    }
}

/// Reads one file. `None`: it is not YAML we take at all, and `problems` says why.
pub(super) fn read(file: usize, text: &str, problems: &mut Problems<'_>) -> Option<Node> {
    let whole = Place {
        file,
        start: 0,
        end: 0,
    };
    if text.len() > MAX_FILE {
        problems.suggest(
            whole,
            format!("the file is larger than {} KiB", MAX_FILE >> 10),
            "split it into a folder of files",
        );
        return None;
    }
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder {
        file,
        open: Vec::new(),
        root: None,
        nodes: 0,
    };
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => builder.take(event, span, problems)?,
            Err(error) => {
                let start = error.marker().byte_offset().unwrap_or(0);
                let place = Place {
                    file,
                    start,
                    end: start,
                };
                let reason = error.info();
                problems.add(
                    place,
                    format!("this is not YAML a policy can have: {reason}"),
                );
                return None;
            }
        }
    }
    if builder.root.as_ref().is_none_or(Node::is_empty) {
        problems.suggest(
            whole,
            "the file is empty",
            "a policy begins with `version: 1`",
        );
        return None;
    }
    builder.root
}

struct Builder {
    file: usize,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    place: Place,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        key: Option<Option<Key>>,
    },
}

impl Builder {
    /// Takes one event; `None`: no use going on.
    fn take(&mut self, event: Event<'_>, span: Span, problems: &mut Problems<'_>) -> Option<()> {
        if problems.is_full() {
            return None;
        }
        let place = self.place(span);
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(_, anchor, tag)
            | Event::MappingStart(_, anchor, tag) => (*anchor != 0, tag.is_some()),
            _ => (false, false),
        };
        if anchor {
            problems.suggest(
                place,
                "anchors are not taken in a policy",
                "write the value out where it is used",
            );
        }
        if tag {
            problems.suggest(place, "tags are not taken in a policy", "remove the tag");
        }
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                problems.suggest(
                    place,
                    "a second document begins here",
                    "one file holds one document: put it into another file of the same folder",
                );
                return None;
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                problems.suggest(
                    place,
                    "aliases are not taken in a policy",
                    "write the value out where it is used",
                );
                self.add(place, Value::Refused, problems)?;
            }
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                let text = text.into_owned();
                self.add(place, Value::Scalar { text, plain }, problems)?;
            }
            Event::SequenceStart(..) => self.open.push(Open {
                place,
                kind: OpenKind::List(Vec::new()),
            }),
            Event::MappingStart(..) => self.open.push(Open {
                place,
                kind: OpenKind::Map {
                    entries: Vec::new(),
                    key: None,
                },
            }),
            Event::SequenceEnd | Event::MappingEnd => {
                let Open {
                    place: from, kind, ..
                } = self.open.pop()?;
                let whole = Place {
                    end: place.end.max(from.end),
                    ..from
                };
                let value = match kind {
                    OpenKind::List(items) => Value::List(items),
                    OpenKind::Map { entries, .. } => Value::Map(entries),
                };
                self.add(whole, value, problems)?;
            }
            _ => {}
        }
        Some(())
    }

    fn add(&mut self, place: Place, value: Value, problems: &mut Problems<'_>) -> Option<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            problems.suggest(
                place,
                format!("the file holds more than {MAX_NODES} values"),
                "split it into a folder of files",
            );
            return None;
        }
        let node = Node { place, value };
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Map { entries, key }) => match key.take() {
                None => *key = Some(as_key(node, problems)),
                Some(Some(name)) => entries.push((name, node)),
                Some(None) => {}
            },
        }
        Some(())
    }

    fn place(&self, span: Span) -> Place {
        let start = span.start.byte_offset().unwrap_or(0);
        Place {
            file: self.file,
            start,
            end: span.end.byte_offset().unwrap_or(start),
        }
    }
}

fn as_key(node: Node, problems: &mut Problems<'_>) -> Option<Key> {
    let place = node.place;
    match node.value {
        Value::Scalar { text, .. } => Some(Key { place, text }),
        Value::Refused => None,
        Value::List(_) | Value::Map(_) => {
            problems.add(
                place,
                format!("a key is a word here, not {}", node_kind(&node.value)),
            );
            None
        }
    }
}

fn node_kind(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        _ => "a mapping",
    }
}

/// Reports every key that is given twice, and gives each key once: the first.
pub(super) fn once_each<'n>(
    entries: &'n [(Key, Node)],
    problems: &mut Problems<'_>,
) -> Vec<&'n (Key, Node)> {
    let mut seen = std::collections::BTreeMap::new();
    let mut kept = Vec::with_capacity(entries.len());
    for entry in entries {
        let (key, _) = entry;
        match seen.get(key.text.as_str()) {
            None => {
                seen.insert(key.text.as_str(), key.place);
                kept.push(entry);
            }
            Some(first) => {
                let first = problems.whereabouts(*first);
                problems.suggest(
                    key.place,
                    format!("{} is given twice", quoted(&key.text)),
                    format!("it is already at {first}: keep one of the two"),
                );
            }
        }
    }
    kept
}
