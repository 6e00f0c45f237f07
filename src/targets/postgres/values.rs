//! PostgreSQL's text becomes cells.
//!
//! A value is shown as the server prints it (`value::text` under ISO dates, UTC, hex bytes and the C locale), but for:
//! booleans, numbers and JSON, which keep their kind; timestamps, which get ISO 8601's `T`, and with a zone RFC 3339's
//! `Z`; arrays, which become JSON arrays (their lower bounds are dropped) and composites, which become JSON objects by
//! field name. An anonymous record becomes a JSON array of its fields' texts: its text form does not say their types.
//! `NaN` and the infinities are text, since JSON has no such numbers. Intervals keep PostgreSQL's own style, money is
//! what the C locale prints.

use std::sync::Arc;

use crate::domain::masking::Cell;

/// How the text of one type is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As it is.
    Text,
    Bool,
    Number,
    Json,
    Timestamp,
    Array {
        element: Arc<Shape>,
        delimiter: u8,
    },
    Composite(Arc<[(String, Shape)]>),
    Record,
}

/// Text that is not what its type's text looks like.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The types every server has, with the names by which their columns are shown. All others are looked up.
pub(super) fn built_in(type_oid: u32) -> Option<(&'static str, Shape)> {
    Some(match type_oid {
        16 => ("bool", Shape::Bool),
        17 => ("bytea", Shape::Text),
        18 => ("char", Shape::Text),
        19 => ("name", Shape::Text),
        20 => ("int8", Shape::Number),
        21 => ("int2", Shape::Number),
        23 => ("int4", Shape::Number),
        25 => ("text", Shape::Text),
        26 => ("oid", Shape::Number),
        114 => ("json", Shape::Json),
        700 => ("float4", Shape::Number),
        701 => ("float8", Shape::Number),
        705 => ("unknown", Shape::Text),
        1042 => ("bpchar", Shape::Text),
        1043 => ("varchar", Shape::Text),
        1082 => ("date", Shape::Text),
        1083 => ("time", Shape::Text),
        1114 => ("timestamp", Shape::Timestamp),
        1184 => ("timestamptz", Shape::Timestamp),
        1186 => ("interval", Shape::Text),
        1266 => ("timetz", Shape::Text),
        1700 => ("numeric", Shape::Number),
        2249 => ("record", Shape::Record),
        2278 => ("void", Shape::Text),
        2950 => ("uuid", Shape::Text),
        3802 => ("jsonb", Shape::Json),
        _ => return None,
    })
}

impl Shape {
    /// Whether the cell can be taken from the row as it is, without [`Shape::rewrite`].
    pub(super) fn is_direct(&self) -> bool {
        matches!(self, Self::Text | Self::Bool | Self::Number | Self::Json)
    }

    /// The cell for a value of a direct shape, or for one that was rewritten.
    pub(super) fn cell<'a>(&self, text: &'a str) -> Result<Cell<'a>, Unreadable> {
        Ok(match self {
            Self::Bool => Cell::Bool(boolean(text)?),
            Self::Number if is_json_number(text) => Cell::Number(text),
            Self::Number | Self::Text | Self::Timestamp => Cell::Text(text),
            Self::Json | Self::Array { .. } | Self::Composite(_) | Self::Record => Cell::Json(text),
        })
    }

    /// Appends what [`Shape::cell`] then takes for a value of a shape that is not direct.
    pub(super) fn rewrite(&self, text: &str, out: &mut String) -> Result<(), Unreadable> {
        match self {
            Self::Timestamp => timestamp(text, out),
            Self::Text | Self::Bool | Self::Number | Self::Json => out.push_str(text),
            Self::Array { .. } | Self::Composite(_) | Self::Record => self.json(text, out)?,
        }
        Ok(())
    }

    /// Appends the value as JSON.
    fn json(&self, text: &str, out: &mut String) -> Result<(), Unreadable> {
        match self {
            Self::Bool => out.push_str(if boolean(text)? { "true" } else { "false" }),
            Self::Number if is_json_number(text) => out.push_str(text),
            Self::Json => out.push_str(text),
            Self::Number | Self::Text => json_string(text, out),
            Self::Timestamp => {
                let mut iso = String::with_capacity(text.len() + 1);
                timestamp(text, &mut iso);
                json_string(&iso, out);
            }
            Self::Array { element, delimiter } => array(text, element, *delimiter, out)?,
            Self::Composite(fields) => composite(text, Some(fields), out)?,
            Self::Record => composite(text, None, out)?,
        }
        Ok(())
    }
}

fn boolean(text: &str) -> Result<bool, Unreadable> {
    match text {
        "t" => Ok(true),
        "f" => Ok(false),
        _ => Err(Unreadable),
    }
}

/// Whether the text is a number as JSON writes them: what PostgreSQL prints is, unless it is `NaN` or an infinity.
pub(in crate::targets) fn is_json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.starts_with('0')
        && digits
            .as_bytes()
            .get(1)
            .is_some_and(|byte| byte.is_ascii_digit());
    digits.starts_with(|first: char| first.is_ascii_digit())
        && !leading_zero
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
}

/// `2024-01-31 12:00:00+00` to `2024-01-31T12:00:00Z`. What has no such form (BC, the year 10000, infinity) stays.
fn timestamp(text: &str, out: &mut String) {
    let (date, time) = match (text.get(..10), text.get(10..11), text.get(11..)) {
        (Some(date), Some(" "), Some(time))
            if date.as_bytes()[4] == b'-' && !time.ends_with("BC") =>
        {
            (date, time)
        }
        _ => return out.push_str(text),
    };
    out.push_str(date);
    out.push('T');
    match time.strip_suffix("+00") {
        Some(time) => {
            out.push_str(time);
            out.push('Z');
        }
        None => out.push_str(time),
    }
}

fn json_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// `{1,NULL,"a \"b\""}`, nested for more dimensions, with `[2:4]=` before it where the lower bound is not 1.
fn array(text: &str, element: &Shape, delimiter: u8, out: &mut String) -> Result<(), Unreadable> {
    let body = match text.strip_prefix('[') {
        Some(bounds) => bounds.split_once('=').ok_or(Unreadable)?.1,
        None => text,
    };
    let mut chars = body.chars().peekable();
    let delimiter = char::from(delimiter);
    let mut depth = 0_usize;
    // An element may follow: after an opening brace, where a closing one may as well, and after a delimiter.
    let mut separated = true;
    let mut opened = false;
    let mut item = String::new();
    while let Some(next) = chars.next() {
        let after_open = std::mem::replace(&mut opened, next == '{');
        match next {
            '{' if separated => {
                out.push('[');
                depth += 1;
                separated = true;
            }
            '}' if !separated || after_open => {
                out.push(']');
                depth = depth.checked_sub(1).ok_or(Unreadable)?;
                separated = false;
                if depth == 0 {
                    return if chars.next().is_none() {
                        Ok(())
                    } else {
                        Err(Unreadable)
                    };
                }
            }
            separator if separator == delimiter && !separated => {
                out.push(',');
                separated = true;
            }
            other if depth == 0 || !separated || other == delimiter || other == '}' => {
                return Err(Unreadable);
            }
            '"' => {
                item.clear();
                loop {
                    match chars.next().ok_or(Unreadable)? {
                        '"' => break,
                        '\\' => item.push(chars.next().ok_or(Unreadable)?),
                        other => item.push(other),
                    }
                }
                element.json(&item, out)?;
                separated = false;
            }
            first => {
                item.clear();
                item.push(match first {
                    '\\' => chars.next().ok_or(Unreadable)?,
                    other => other,
                });
                while let Some(&peeked) = chars.peek() {
                    if peeked == delimiter || peeked == '}' {
                        break;
                    }
                    chars.next();
                    item.push(match peeked {
                        '\\' => chars.next().ok_or(Unreadable)?,
                        other => other,
                    });
                }
                if item == "NULL" {
                    out.push_str("null");
                } else {
                    element.json(&item, out)?;
                }
                separated = false;
            }
        }
    }
    Err(Unreadable)
}

/// `(1,,"a ""b""")`: nothing is NULL, quotes are doubled.
fn composite(
    text: &str,
    fields: Option<&[(String, Shape)]>,
    out: &mut String,
) -> Result<(), Unreadable> {
    let body = text
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .ok_or(Unreadable)?;
    let mut expected = fields.map(|fields| fields.iter());
    out.push(if fields.is_some() { '{' } else { '[' });
    let mut chars = body.chars().peekable();
    let mut item = String::new();
    let mut first = true;
    let mut more = !(body.is_empty() && fields.is_none_or(|fields| fields.is_empty()));
    while more {
        item.clear();
        let mut is_null = true;
        let mut quoted = false;
        loop {
            match chars.peek().copied() {
                None => break,
                Some(',') if !quoted => break,
                Some('"') => {
                    chars.next();
                    if quoted && chars.peek() == Some(&'"') {
                        chars.next();
                        item.push('"');
                    } else {
                        quoted = !quoted;
                    }
                }
                Some('\\') => {
                    chars.next();
                    item.push(chars.next().ok_or(Unreadable)?);
                }
                Some(other) => {
                    chars.next();
                    item.push(other);
                }
            }
            is_null = false;
        }
        if quoted {
            return Err(Unreadable);
        }
        if !first {
            out.push(',');
        }
        first = false;
        let shape = match &mut expected {
            Some(fields) => {
                let (name, shape) = fields.next().ok_or(Unreadable)?;
                json_string(name, out);
                out.push(':');
                shape
            }
            None => &Shape::Text,
        };
        if is_null {
            out.push_str("null");
        } else {
            shape.json(&item, out)?;
        }
        more = chars.next().is_some();
    }
    if expected.is_some_and(|mut fields| fields.next().is_some()) {
        return Err(Unreadable);
    }
    out.push(if fields.is_some() { '}' } else { ']' });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array_of(element: Shape) -> Shape {
        Shape::Array {
            element: Arc::new(element),
            delimiter: b',',
        }
    }

    fn rewritten(shape: &Shape, text: &str) -> Result<String, Unreadable> {
        let mut out = String::new();
        shape.rewrite(text, &mut out).map(|()| out)
    }

    #[test]
    fn an_array_of_any_dimension_becomes_a_json_array_of_its_elements() {
        for (shape, text, json) in [
            (Shape::Number, "{}", "[]"),
            (Shape::Number, "{1,NULL,NaN}", r#"[1,null,"NaN"]"#),
            (Shape::Number, "[0:1]={1,2}", "[1,2]"),
            (Shape::Number, "[1:1][-2:-1]={{1,2}}", "[[1,2]]"),
            (
                Shape::Bool,
                "{{t,f},{f,NULL}}",
                "[[true,false],[false,null]]",
            ),
            (
                Shape::Text,
                r#"{"NULL","a \"b\" \\ {},","",x y}"#,
                r#"["NULL","a \"b\" \\ {},","","x y"]"#,
            ),
            (Shape::Json, r#"{"{\"a\": [1, 2]}"}"#, r#"[{"a": [1, 2]}]"#),
            (
                Shape::Timestamp,
                r#"{"2024-01-31 12:00:00+00"}"#,
                r#"["2024-01-31T12:00:00Z"]"#,
            ),
        ] {
            assert_eq!(rewritten(&array_of(shape), text).unwrap(), json, "{text}");
        }
    }

    #[test]
    fn a_composite_becomes_an_object_by_field_name_and_a_record_an_array() {
        let fields: Arc<[(String, Shape)]> = Arc::new([
            ("id".into(), Shape::Number),
            ("na\"me".into(), Shape::Text),
            ("tags".into(), array_of(Shape::Text)),
        ]);
        assert_eq!(
            rewritten(
                &Shape::Composite(fields.clone()),
                r#"(1,"a ""b"", \\","{x,""y z""}")"#
            )
            .unwrap(),
            r#"{"id":1,"na\"me":"a \"b\", \\","tags":["x","y z"]}"#
        );
        assert_eq!(
            rewritten(&Shape::Composite(fields.clone()), r#"(,"",)"#).unwrap(),
            r#"{"id":null,"na\"me":"","tags":null}"#
        );
        assert_eq!(
            rewritten(&Shape::Record, "(1,,x)").unwrap(),
            r#"["1",null,"x"]"#
        );
        assert_eq!(rewritten(&Shape::Record, "()").unwrap(), "[]");
        assert_eq!(
            rewritten(&Shape::Composite(fields.clone()), "(1,x)"),
            Err(Unreadable)
        );
        assert_eq!(
            rewritten(&Shape::Composite(fields), "(1,x,{},4)"),
            Err(Unreadable)
        );
    }

    #[test]
    fn a_timestamp_gets_its_iso_form_where_there_is_one() {
        for (text, iso) in [
            ("2024-01-31 12:00:00", "2024-01-31T12:00:00"),
            ("2024-01-31 12:00:00.25+00", "2024-01-31T12:00:00.25Z"),
            ("0044-03-15 00:00:00 BC", "0044-03-15 00:00:00 BC"),
            ("10000-01-01 00:00:00+00", "10000-01-01 00:00:00+00"),
            ("infinity", "infinity"),
        ] {
            assert_eq!(rewritten(&Shape::Timestamp, text).unwrap(), iso);
        }
    }

    #[test]
    fn a_number_keeps_its_digits_and_what_json_has_no_number_for_is_text() {
        for text in [
            "0",
            "-0",
            "1e+20",
            "1.5e-07",
            "123456789012345678901234567890.10",
        ] {
            assert_eq!(Shape::Number.cell(text).unwrap(), Cell::Number(text));
        }
        for text in ["NaN", "Infinity", "-Infinity", ""] {
            assert_eq!(Shape::Number.cell(text).unwrap(), Cell::Text(text));
        }
    }

    /// As PostgreSQL's `array_out` writes it, with every element quoted.
    fn array_text(items: &[Option<String>]) -> String {
        let items: Vec<String> = items
            .iter()
            .map(|item| match item {
                None => "NULL".into(),
                Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            })
            .collect();
        format!("{{{}}}", items.join(","))
    }

    proptest::proptest! {
        #[test]
        fn every_text_survives_an_array(items: Vec<Option<String>>) {
            let json = rewritten(&array_of(Shape::Text), &array_text(&items)).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<Vec<Option<String>>>(&json).unwrap(), items);
        }

        #[test]
        fn no_text_makes_a_reader_panic_or_write_what_is_not_json(text: String) {
            for shape in [array_of(Shape::Text), Shape::Record] {
                if let Ok(json) = rewritten(&shape, &text) {
                    proptest::prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
                }
            }
        }
    }

    #[test]
    fn text_that_is_not_of_its_type_is_an_error_and_never_a_guess() {
        for text in [
            "", "{", "{1", "1", "{1}}", "{1}x", "{\"a", "{1,,2}", "{1,}", "{1}{2}", "{,1}",
        ] {
            assert_eq!(
                rewritten(&array_of(Shape::Number), text),
                Err(Unreadable),
                "{text}"
            );
        }
        assert_eq!(Shape::Bool.cell("yes"), Err(Unreadable));
    }
}
