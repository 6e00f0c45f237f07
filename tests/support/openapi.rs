//! Holds answers against the gateway's own `/openapi.json`.
//!
//! Knows the keywords of JSON Schema that the document uses and refuses every other, so that nothing passes unchecked.
//! Stricter than the standard in one thing: an object has no property its schema does not name.

use serde_json::{Map, Value};

/// The operation `method path` leads to, with the path as the document writes it.
pub(crate) fn operation<'a>(
    document: &'a Value,
    method: &str,
    path: &str,
) -> Option<(&'a str, &'a Value)> {
    let path = path.split('?').next().unwrap_or_default();
    let asked: Vec<_> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<_> = template.split('/').collect();
        parts.len() == asked.len()
            && parts
                .iter()
                .zip(&asked)
                .all(|(part, asked)| part.starts_with('{') || part == asked)
    };
    let paths = document["paths"].as_object().expect("paths");
    let (template, item) = paths.iter().find(|(template, _)| fits(template))?;
    let operation = item.get(method.to_ascii_lowercase())?;
    Some((template, operation))
}

/// What is wrong with this answer to `method path`, if anything.
pub(crate) fn check(
    document: &Value,
    method: &str,
    path: &str,
    status: u16,
    media_type: &str,
    body: &[u8],
) -> Result<(), String> {
    // What is not in the document is answered with a problem.
    let default = || {
        let any = document["paths"].as_object().into_iter().flatten();
        any.flat_map(|(_, item)| item.as_object().into_iter().flatten())
            .find_map(|(_, operation)| operation["responses"].get("default"))
            .expect("a default response")
    };
    let responses = operation(document, method, path).map(|(_, operation)| &operation["responses"]);
    let declared = responses.and_then(|responses| responses.get(status.to_string()));
    let problem = media_type == "application/problem+json";
    let response = match declared {
        Some(response) if !problem => response,
        _ => responses.map_or_else(default, |responses| &responses["default"]),
    };
    let schema = &response["content"][media_type]["schema"];
    if schema.is_null() {
        return Err(format!(
            "the document knows no {status} with `{media_type}` for {method} {path}"
        ));
    }
    if media_type == "application/jsonl" {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Checker { document }.value(schema, &value, "$")
}

struct Checker<'a> {
    document: &'a Value,
}

impl Checker<'_> {
    fn value(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Object(schema) => schema,
            other => return Err(format!("{at}: no schema: {other}")),
        };
        for (keyword, argument) in schema {
            self.keyword(schema, keyword, argument, value, at)?;
        }
        Ok(())
    }

    fn keyword(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        argument: &Value,
        value: &Value,
        at: &str,
    ) -> Result<(), String> {
        let wrong = |why: String| Err(format!("{at}: {why}"));
        let list = || argument.as_array().map(Vec::as_slice).unwrap_or_default();
        match keyword {
            "description" | "title" | "default" | "format" | "examples" => Ok(()),
            "$ref" => {
                let pointer = argument
                    .as_str()
                    .unwrap_or_default()
                    .trim_start_matches('#');
                match self.document.pointer(pointer) {
                    Some(target) => self.value(target, value, at),
                    None => wrong(format!("`{argument}` leads nowhere")),
                }
            }
            "type" => {
                let one = std::slice::from_ref(argument);
                let types = argument.as_array().map_or(one, Vec::as_slice);
                if types.iter().any(|name| is(value, name)) {
                    Ok(())
                } else {
                    wrong(format!("not {argument}"))
                }
            }
            "const" if argument == value => Ok(()),
            "const" => wrong(format!("not {argument}")),
            "enum" if list().contains(value) => Ok(()),
            "enum" => wrong(format!("none of {argument}")),
            "minimum" | "maximum" => {
                let (number, bound) = (value.as_f64(), argument.as_f64());
                let fits = match keyword {
                    "minimum" => number >= bound,
                    _ => number <= bound,
                };
                if number.is_none() || fits {
                    Ok(())
                } else {
                    wrong(format!("{keyword} {argument}"))
                }
            }
            "pattern" => {
                let regex = regex::Regex::new(argument.as_str().unwrap_or_default()).unwrap();
                match value.as_str() {
                    Some(text) if !regex.is_match(text) => wrong(format!("not like {argument}")),
                    _ => Ok(()),
                }
            }
            "uniqueItems" => Ok(()),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.value(argument, item, &format!("{at}[{index}]"))?;
                }
                Ok(())
            }
            "required" => {
                let missing =
                    |name: &&Value| value.get(name.as_str().unwrap_or_default()).is_none();
                match list().iter().find(missing) {
                    Some(name) if value.is_object() => wrong(format!("{name} is missing")),
                    _ => Ok(()),
                }
            }
            "properties" => {
                for (name, inside) in value.as_object().into_iter().flatten() {
                    let at = format!("{at}.{name}");
                    match argument.get(name) {
                        Some(schema) => self.value(schema, inside, &at)?,
                        None if schema.contains_key("additionalProperties")
                            || schema.contains_key("oneOf") => {}
                        None => return Err(format!("{at} is not in the document")),
                    }
                }
                Ok(())
            }
            "additionalProperties" => {
                for (name, inside) in value.as_object().into_iter().flatten() {
                    let named = schema.get("properties").and_then(|named| named.get(name));
                    match argument {
                        _ if named.is_some() => {}
                        Value::Bool(false) => {
                            return Err(format!("{at}.{name} is not in the document"));
                        }
                        schema => self.value(schema, inside, &format!("{at}.{name}"))?,
                    }
                }
                Ok(())
            }
            "allOf" => list()
                .iter()
                .try_for_each(|schema| self.value(schema, value, at)),
            "anyOf" | "oneOf" => {
                // What stands beside the choice is checked there; the choice is about the rest.
                let mut rest = value.clone();
                if let (Some(named), Some(rest)) = (schema.get("properties"), rest.as_object_mut())
                {
                    rest.retain(|name, _| named.get(name).is_none());
                }
                let failures: Vec<_> = list()
                    .iter()
                    .filter_map(|schema| self.value(schema, &rest, at).err())
                    .collect();
                let fitting = list().len() - failures.len();
                if fitting == 1 || (fitting > 0 && keyword == "anyOf") {
                    Ok(())
                } else {
                    Err(format!("{at}: {fitting} of {keyword} fit: {failures:?}"))
                }
            }
            unknown => Err(format!("{at}: this checker does not know `{unknown}`")),
        }
    }
}

fn is(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}
