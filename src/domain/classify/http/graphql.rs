//! GraphQL: a query reads, a mutation changes, whatever method or path carries it.

use super::{Effect, Found, Request, json::Json};

pub(super) fn is_one(request: &Request<'_>) -> bool {
    let named = matches!(
        request.target.action().as_str(),
        "graphql" | "gql" | "graphiql"
    );
    let typed = request
        .header("content-type")
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("graphql"));
    // On any path: what is no document after all is unknown.
    let carries = request
        .target
        .parameter("query")
        .is_some_and(|text| text.contains("mutation"));
    named || typed || carries
}

pub(super) fn judge(request: &Request<'_>) -> Found {
    let in_url = request
        .target
        .query
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("query"));
    let document = request.target.parameter("query");
    if request.is("OPTIONS") || request.is("HEAD") {
        return Found(Effect::Read, "its method only looks");
    }
    if !(request.is("GET") || request.is("POST")) {
        return Found(Effect::Unknown, "GraphQL knows no such method");
    }
    if in_url && request.body.is_some() {
        return Found(
            Effect::Unknown,
            "it has a document in its URL and one in its body",
        );
    }
    let names_stored = |name: &str| {
        STORED
            .iter()
            .any(|stored| name.eq_ignore_ascii_case(stored))
    };
    if request
        .target
        .query
        .iter()
        .any(|(name, _)| names_stored(name))
    {
        return BESIDE;
    }
    if let Some(document) = document {
        return operations(document);
    }
    let typed_plain = request.header("content-type").is_some_and(|kind| {
        kind.to_ascii_lowercase().starts_with("application/graphql") && !kind.contains("json")
    });
    let none = Found(
        Effect::Unknown,
        "it has no document that could be read: a stored one could do anything",
    );
    let Some(text) = request.body_text() else {
        return none;
    };
    if typed_plain {
        return operations(text);
    }
    let Some(body) = Json::read(text) else {
        return none;
    };
    let bodies = match &body {
        Json::List(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let judged = bodies
        .iter()
        .map(|body| match body.get("query").and_then(Json::text) {
            Some(_) if names_stored_too(body) => BESIDE,
            Some(document) => operations(document),
            None => Found(
                Effect::Unknown,
                "it has no document: a stored one could do anything",
            ),
        });
    judged.max_by_key(|found| found.0).unwrap_or(none)
}

/// The worst of a document's operations.
fn operations(document: &str) -> Found {
    let mut worst: Option<Found> = None;
    let mut depth = 0usize;
    // A definition has begun, and its selection has not.
    let mut in_definition = false;
    let mut rest = document;
    let broken = || Found(Effect::Unknown, "its document is no GraphQL");
    while let Some(next) = rest.chars().next() {
        match next {
            '#' => {
                rest = rest.find(['\n', '\r']).map_or("", |end| &rest[end..]);
                continue;
            }
            '"' => {
                let Some(end) = string_end(rest) else {
                    return broken();
                };
                rest = &rest[end..];
                continue;
            }
            '{' | '(' | '[' => {
                if next == '{' && depth == 0 && !in_definition {
                    worst = worst.max_by(Found(Effect::Read, QUERY));
                }
                depth += 1;
            }
            '}' | ')' | ']' => {
                let Some(less) = depth.checked_sub(1) else {
                    return broken();
                };
                depth = less;
                if depth == 0 && next == '}' {
                    in_definition = false;
                }
            }
            c if depth == 0 && !in_definition && (c.is_ascii_alphabetic() || c == '_') => {
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                let found = match &rest[..end] {
                    "query" => Found(Effect::Read, QUERY),
                    "mutation" => Found(Effect::Write, "a GraphQL mutation changes something"),
                    "fragment" => Found(Effect::Read, QUERY),
                    "subscription" => Found(Effect::Unknown, "a GraphQL subscription goes on"),
                    _ => return broken(),
                };
                worst = worst.max_by(found);
                in_definition = true;
                rest = &rest[end..];
                continue;
            }
            _ => {}
        }
        rest = &rest[next.len_utf8()..];
    }
    if depth > 0 || in_definition {
        return broken();
    }
    worst.unwrap_or_else(broken)
}

/// What names a document that the server has.
const STORED: &[&str] = &[
    "id",
    "doc_id",
    "docid",
    "documentid",
    "queryid",
    "hash",
    "extensions",
];

/// Whether a body names a stored document beside the one it has. Extensions are harmless but for one.
fn names_stored_too(body: &Json) -> bool {
    STORED
        .iter()
        .filter_map(|name| Some((name, body.get(name)?)))
        .any(|(name, value)| {
            !(*name == "extensions"
                && matches!(value, Json::Object(_))
                && value.get("persistedQuery").is_none())
        })
}

const BESIDE: Found = Found(
    Effect::Unknown,
    "it may name a document that the server has, which could do anything",
);
const QUERY: &str = "a GraphQL query only reads";

trait Worst {
    fn max_by(self, other: Found) -> Self;
}

impl Worst for Option<Found> {
    fn max_by(self, other: Found) -> Self {
        match self {
            Some(found) if found.0 >= other.0 => Some(found),
            _ => Some(other),
        }
    }
}

/// Where the string that `text` begins with ends.
fn string_end(text: &str) -> Option<usize> {
    if let Some(block) = text.strip_prefix("\"\"\"") {
        let mut from = 0;
        loop {
            let at = from + block[from..].find("\"\"\"")?;
            if !block[..at].ends_with('\\') {
                return Some(at + 6);
            }
            from = at + 3;
        }
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' | '\r' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}
