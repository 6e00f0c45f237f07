//! Nodes to values: each type says once what it looks like in a file, and every value remembers where it stood.
//!
//! Reading goes on after a mistake, so that all of them are reported; what could not be read is `None`, and whoever
//! holds the `None` may rely on its problem having been reported.

use std::{borrow::Cow, collections::BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    problem::{Place, Problems, choices, nearest, quoted},
    yaml::{Key, Node, Value, once_each},
};

/// The longest text taken where a name, a pattern or a message is wanted.
const LONGEST_TEXT: usize = 4096;

/// Something that can stand in a policy file.
pub(super) trait FromNode: Sized {
    /// Reads it; `None`: it is wrong, and has been reported.
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self>;

    /// What it is when its key is not there; `None`: the key is required.
    fn absent() -> Option<Self> {
        None
    }

    /// What to go on with when a required key is not there, after that has been reported.
    fn missing() -> Option<Self> {
        None
    }
}

impl<T: FromNode> FromNode for Option<T> {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        Some(T::read(node, problems))
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// A required value. Where it is missing or wrong, the rest of its mapping is still looked into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needed<T>(pub(super) Option<T>);

impl<T: FromNode> FromNode for Needed<T> {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        Some(Self(T::read(node, problems)))
    }

    fn missing() -> Option<Self> {
        Some(Self(None))
    }
}

impl<T: JsonSchema> JsonSchema for Needed<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A value and where it stood.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
    /// Whether all of it could be read. If not, what was meant is not known.
    pub(super) sound: bool,
}

impl<T: FromNode> FromNode for At<T> {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        let before = problems.count();
        let value = T::read(node, problems)?;
        Some(Self {
            value,
            place: node.place,
            sound: problems.count() == before,
        })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl FromNode for String {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        let text = scalar(node, "text", problems)?;
        let unprintable = |character: char| character.is_control() && character != '\n';
        if text.trim().is_empty() {
            problems.add(node.place, "this is empty");
        } else if text.len() > LONGEST_TEXT {
            problems.add(
                node.place,
                format!("this has {} bytes; the most is {LONGEST_TEXT}", text.len()),
            );
        } else if text.contains(unprintable) {
            problems.add(node.place, "this has a control character in it");
        } else {
            return Some(text.into());
        }
        None
    }
}

impl FromNode for bool {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        match scalar(node, "`true` or `false`", problems)? {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                let message = format!("{} is neither `true` nor `false`", quoted(other));
                problems.suggest(node.place, message, "write `true` or `false`");
                None
            }
        }
    }
}

/// A whole number of at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Positive(pub(super) u32);

impl JsonSchema for Positive {
    fn schema_name() -> Cow<'static, str> {
        "Positive".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "integer", "minimum": 1, "maximum": u32::MAX})
    }
}

impl FromNode for Positive {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        let text = scalar(node, "a whole number", problems)?;
        match text.replace('_', "").parse::<u32>() {
            Ok(0) => problems.suggest(node.place, "this is 0", "use 1 or more"),
            Ok(number) => return Some(Self(number)),
            Err(_) => problems.suggest(
                node.place,
                format!("{} is not a whole number", quoted(text)),
                format!("use one from 1 to {}", u32::MAX),
            ),
        }
        None
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        match &node.value {
            Value::List(items) => Some(
                items
                    .iter()
                    .filter_map(|item| T::read(item, problems))
                    .collect(),
            ),
            Value::Refused => None,
            Value::Scalar { .. } if !node.is_empty() => {
                problems.suggest(
                    node.place,
                    "a list is wanted here, not a single value",
                    "put it into brackets: [..]",
                );
                None
            }
            _ => {
                wanted(node, "a list", problems);
                None
            }
        }
    }
}

/// A list, or one item without the brackets.
#[derive(Clone, Debug)]
pub(super) struct OneOrMore<T>(pub(super) Vec<T>);

impl<T: FromNode> FromNode for OneOrMore<T> {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        match &node.value {
            Value::List(_) => Vec::read(node, problems).map(Self),
            _ => T::read(node, problems).map(|item| Self(vec![item])),
        }
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMore<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMore_{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        schemars::json_schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }
}

/// Things by name. A thing that could not be read keeps its name, so that whoever names it is not reported too.
#[derive(Clone, Debug)]
pub(super) struct ByName<T>(pub(super) Vec<(At<String>, Option<At<T>>)>);

impl<T: FromNode> FromNode for ByName<T> {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            wanted(node, "a mapping of names", problems);
            return None;
        };
        let mut named = Vec::with_capacity(entries.len());
        for (Key { place, text }, value) in once_each(entries, problems) {
            let sound = !text.trim().is_empty() && !text.contains(char::is_control);
            if !sound {
                problems.add(*place, "this cannot be a name");
            }
            let name = At {
                value: text.clone(),
                place: *place,
                sound,
            };
            named.push((name, At::read(value, problems)));
        }
        Some(Self(named))
    }
}

impl<T: JsonSchema> JsonSchema for ByName<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("ByName_{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        schemars::json_schema!({"type": "object", "additionalProperties": one})
    }
}

/// The text of a single value; reports anything else as not being `what`.
pub(super) fn scalar<'n>(
    node: &'n Node,
    what: &str,
    problems: &mut Problems<'_>,
) -> Option<&'n str> {
    match &node.value {
        Value::Scalar { text, .. } if !node.is_empty() => Some(text),
        _ => {
            wanted(node, what, problems);
            None
        }
    }
}

/// Reports that `what` should stand where `node` stands.
pub(super) fn wanted(node: &Node, what: &str, problems: &mut Problems<'_>) {
    match node.value {
        Value::Refused => {}
        _ if node.is_empty() => problems.suggest(
            node.place,
            format!("there is no value here; {what} is wanted"),
            "give it one, or remove the key",
        ),
        _ => problems.add(
            node.place,
            format!("{what} is wanted here, not {}", node.described()),
        ),
    }
}

/// Reads one of a few words.
pub(super) fn word<T: Copy>(
    node: &Node,
    what: &str,
    words: &[(&str, T)],
    problems: &mut Problems<'_>,
) -> Option<T> {
    let text = scalar(node, what, problems)?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        problems.suggest(
            node.place,
            format!("{} is not {what}", quoted(text)),
            choices(text, "allowed", words.iter().map(|(word, _)| *word)),
        );
    }
    found.map(|(_, value)| *value)
}

/// A mapping whose keys are known.
pub(super) struct Fields<'n> {
    place: Place,
    title: &'static str,
    entries: Vec<&'n (Key, Node)>,
}

impl<'n> Fields<'n> {
    /// Reports unknown keys and keys given twice.
    pub(super) fn open(
        node: &'n Node,
        title: &'static str,
        keys: &[&str],
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            wanted(node, &format!("a mapping for {title}"), problems);
            return None;
        };
        let mut known = once_each(entries, problems);
        let before: BTreeSet<&str> = known.iter().map(|(key, _)| key.text.as_str()).collect();
        known.retain(|(key, _)| {
            let is_known = keys.contains(&key.text.as_str());
            if !is_known {
                let others = keys.iter().copied().filter(|key| !before.contains(key));
                let hint = match nearest(&key.text, others) {
                    Some(meant) => format!("did you mean `{meant}`? "),
                    None => String::new(),
                };
                problems.suggest(
                    key.place,
                    format!("{} is not a key of {title}", quoted(&key.text)),
                    format!("{hint}the keys of {title} are: {}", keys.join(", ")),
                );
            }
            is_known
        });
        Some(Self {
            place: node.place,
            title,
            entries: known,
        })
    }

    /// Reads the value of `key`, which may be absent only if its type says so.
    pub(super) fn take<T: FromNode>(&self, key: &str, problems: &mut Problems<'_>) -> Option<T> {
        if let Some((_, node)) = self.entries.iter().find(|(known, _)| known.text == key) {
            return T::read(node, problems);
        }
        let absent = T::absent();
        if absent.is_none() {
            let place = Place {
                end: self.place.start,
                ..self.place
            };
            problems.suggest(
                place,
                format!("`{key}` is missing from {}", self.title),
                format!("add `{key}: …`"),
            );
            return T::missing();
        }
        absent
    }
}

/// A mapping with fixed keys: the struct, its reader and its JSON Schema from one definition.
macro_rules! mapping {
    ($(
        $(#[$meta:meta])*
        struct $name:ident: $title:literal {
            $( $(#[$field_meta:meta])* $field:ident: $type:ty, )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(super) struct $name {
            $( $(#[$field_meta])* pub(super) $field: $type, )*
        }

        impl $crate::domain::policy::read::FromNode for $name {
            fn read(
                node: &$crate::domain::policy::yaml::Node,
                problems: &mut $crate::domain::policy::problem::Problems<'_>,
            ) -> Option<Self> {
                const KEYS: &[&str] =
                    &[$( $crate::domain::policy::read::key(stringify!($field)) ),*];
                let fields = $crate::domain::policy::read::Fields::open(
                    node, $title, KEYS, problems,
                )?;
                $( let $field = fields.take(
                    $crate::domain::policy::read::key(stringify!($field)), problems,
                ); )*
                Some(Self { $( $field: $field?, )* })
            }
        }
    )*};
}
pub(super) use mapping;

/// The key a field is read from: Rust writes `match` and `as` as `r#match` and `r#as`.
pub(super) const fn key(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}
