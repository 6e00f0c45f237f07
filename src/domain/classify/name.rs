//! Names of relations as one text: `schema.name`, each part folded as its server folds it.
//!
//! INVARIANT: [`dotted`] and [`parts`] are each other's inverse, so no quoted name can pass for a qualified one: a part
//! that holds a dot or a quote, or is a lone star, stands in double quotes, whatever the dialect.

/// One part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePart {
    /// Without its quotes. Empty where the name leaves a part out, as T-SQL's `db..t` does.
    pub text: String,
    /// Whether it stood in double quotes: then `*` in it is a character.
    pub quoted: bool,
}

/// The text of a name made of `parts`.
pub fn dotted<S: AsRef<str>>(parts: &[S]) -> String {
    let mut text = String::with_capacity(parts.iter().map(|part| part.as_ref().len() + 1).sum());
    for (index, part) in parts.iter().enumerate() {
        let part = part.as_ref();
        if index > 0 {
            text.push('.');
        }
        if part == "*" || part.bytes().any(|byte| matches!(byte, b'.' | b'"')) {
            text.push('"');
            text.push_str(&part.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(part);
        }
    }
    text
}

/// The parts of a dotted name. A part in double quotes may hold dots; `None`: it is no name.
pub fn parts(text: &str) -> Option<Vec<NamePart>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let part = NamePart {
                    text: rest[..end].into(),
                    quoted: false,
                };
                (part, &rest[end..])
            }
        };
        parts.push(part);
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

/// The part whose opening quote stands before `inside`, and what follows its closing one.
fn quoted(mut inside: &str) -> Option<(NamePart, &str)> {
    let mut text = String::new();
    loop {
        let end = inside.find('"')?;
        text.push_str(&inside[..end]);
        inside = &inside[end + 1..];
        match inside.strip_prefix('"') {
            Some(more) => {
                text.push('"');
                inside = more;
            }
            None => return Some((NamePart { text, quoted: true }, inside)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_read_as_it_was_written(
            written in prop::collection::vec(r#"[a-z.*"é ]{0,6}"#, 1..4)
        ) {
            let read: Vec<String> = parts(&dotted(&written))
                .unwrap()
                .into_iter()
                .map(|part| part.text)
                .collect();
            prop_assert_eq!(read, written);
        }
    }
}
