//! Azure's data planes, Microsoft Graph, and the model providers.

use super::{Effect, Facts, Family, Found, Inner, Request, arm, facts, generic, inner, json::Json};

const LOOKS: &str = "it only looks";

fn lower(request: &Request<'_>) -> Vec<String> {
    request
        .target
        .path
        .iter()
        .map(|segment| segment.to_ascii_lowercase())
        .collect()
}

fn parameter<'a>(request: &'a Request<'_>, name: &str) -> Option<&'a str> {
    request
        .target
        .query
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Azure Storage. A queue's messages are taken, for a while, by a GET.
pub(super) fn storage(request: &Request<'_>) -> Found {
    let is_queue = request.target.host.contains(".queue.");
    let takes_messages = is_queue && request.target.action() == "messages";
    match request.method.as_str() {
        "GET" if takes_messages && parameter(request, "peekonly") != Some("true") => Found(
            Effect::Write,
            "getting messages hides them from others, and counts as an attempt",
        ),
        "GET" | "HEAD" | "OPTIONS" => Found(Effect::Read, LOOKS),
        "DELETE" => Found(Effect::Destructive, "it removes stored data"),
        "POST" => match parameter(request, "comp") {
            Some("query") if request.target.host.contains(".blob.") => {
                Found(Effect::Read, "it is a query over a blob")
            }
            Some("userdelegationkey") => Found(Effect::Secret, "it shows a key"),
            Some("batch") => batch_of_text(request),
            _ if request.target.action() == "$batch" => batch_of_text(request),
            _ => Found(Effect::Write, "it stores something"),
        },
        "PUT" | "PATCH" | "MERGE" => {
            let clears = request
                .header("x-ms-page-write")
                .is_some_and(|write| write.eq_ignore_ascii_case("clear"))
                || request
                    .header("x-ms-write")
                    .is_some_and(|write| write.eq_ignore_ascii_case("clear"));
            if clears {
                Found(Effect::Destructive, "it clears stored data")
            } else {
                Found(Effect::Write, "it stores something")
            }
        }
        _ => Found(Effect::Unknown, "Azure Storage knows no such method"),
    }
}

/// A batch as MIME parts: it stores at least, and removes if any of its calls does.
fn batch_of_text(request: &Request<'_>) -> Found {
    match request.body_text() {
        None => Found(Effect::Unknown, "a batch whose calls cannot be read"),
        Some(text)
            if text.lines().any(|line| {
                line.trim_start()
                    .to_ascii_uppercase()
                    .starts_with("DELETE ")
            }) =>
        {
            Found(Effect::Destructive, "a call in the batch removes something")
        }
        Some(_) => Found(Effect::Write, "it is a batch of changes"),
    }
}

/// Key Vault. Secrets are shown by their name; keys never leave, but for those who may decrypt or release.
pub(super) fn key_vault(request: &Request<'_>) -> Found {
    let path = lower(request);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (request.method.as_str(), path.as_slice()) {
        (
            "GET" | "HEAD" | "OPTIONS",
            ["secrets" | "deletedsecrets"] | ["secrets", _, "versions"],
        ) => Found(Effect::Read, "it lists the names of secrets"),
        ("GET" | "HEAD" | "OPTIONS", ["secrets" | "deletedsecrets", ..]) => {
            Found(Effect::Secret, "it shows a secret")
        }
        ("GET" | "HEAD" | "OPTIONS", ["storage", _, "sas", ..]) => {
            Found(Effect::Secret, "it shows a signed token")
        }
        ("GET" | "HEAD" | "OPTIONS", _) => Found(Effect::Read, LOOKS),
        ("DELETE", _) => Found(
            Effect::Destructive,
            "it removes a secret, key or certificate",
        ),
        (
            "POST",
            [
                "keys",
                ..,
                "decrypt" | "unwrapkey" | "release" | "backup" | "export",
            ]
            | [.., "backup"],
        ) => Found(
            Effect::Secret,
            "it shows what a key protects, or the key itself",
        ),
        ("POST", ["keys", .., "verify"]) => Found(Effect::Read, "it checks a signature"),
        ("POST", ["keys", .., "sign" | "encrypt" | "wrapkey"]) => Found(
            Effect::Unknown,
            "it uses a key: what a signature or ciphertext is good for is not known",
        ),
        ("POST" | "PUT" | "PATCH", _) => Found(
            Effect::Write,
            "it creates or changes a secret, key or certificate",
        ),
        _ => Found(Effect::Unknown, "Key Vault knows no such method"),
    }
}

/// Cosmos DB. A query is a POST that says so twice: by a header and by its type.
pub(super) fn cosmos(request: &Request<'_>) -> Found {
    let path = lower(request);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let yes = |name: &str| {
        request
            .header(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    };
    let names = |name: &str| request.header(name).is_some();
    match request.method.as_str() {
        "GET" | "HEAD" | "OPTIONS" if path.contains(&"permissions") => {
            Found(Effect::Secret, "a permission holds a token")
        }
        "GET" | "HEAD" | "OPTIONS" => Found(Effect::Read, LOOKS),
        "DELETE" => Found(Effect::Destructive, "it removes data"),
        "POST" if matches!(path.as_slice(), [.., "sprocs", _]) => Found(
            Effect::Unknown,
            "it runs a stored procedure, which could do anything",
        ),
        "POST" if names("x-ms-cosmos-is-batch-request") => batch_of_operations(request),
        "POST" if names("x-ms-documentdb-is-upsert") => Found(Effect::Write, "it stores an item"),
        "POST"
            if yes("x-ms-documentdb-isquery")
                && request.header("content-type").is_some_and(|kind| {
                    kind.to_ascii_lowercase()
                        .starts_with("application/query+json")
                }) =>
        {
            if path.contains(&"permissions") {
                return Found(Effect::Secret, "a permission holds a token");
            }
            Found(Effect::Read, "it is a query")
        }
        "POST" if yes("x-ms-documentdb-isquery") => Found(
            Effect::Unknown,
            "it is marked as a query, and its type says otherwise",
        ),
        "POST" | "PUT" | "PATCH" => Found(Effect::Write, "it stores something"),
        _ => Found(Effect::Unknown, "Cosmos DB knows no such method"),
    }
}

fn batch_of_operations(request: &Request<'_>) -> Found {
    let body = request.body_text().and_then(Json::read);
    let Some(operations) = body.as_ref().and_then(Json::list) else {
        return Found(Effect::Unknown, "a batch whose operations cannot be read");
    };
    let removes = operations.iter().any(|operation| {
        let kind = operation.get("operationType").and_then(Json::text);
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case("delete"))
    });
    if removes {
        Found(
            Effect::Destructive,
            "an operation in the batch removes an item",
        )
    } else {
        Found(Effect::Write, "it is a batch of changes")
    }
}

/// Service Bus and Event Hubs. Receiving takes a message away, or locks it.
pub(super) fn service_bus(request: &Request<'_>) -> Found {
    let path = lower(request);
    let on_messages = path.iter().any(|segment| segment == "messages");
    match request.method.as_str() {
        "GET" | "HEAD" | "OPTIONS" if !on_messages => Found(Effect::Read, LOOKS),
        "DELETE" => Found(Effect::Destructive, "it removes a message or an entity"),
        "POST" | "PUT" => Found(Effect::Write, "it sends, locks or changes something"),
        _ => Found(Effect::Unknown, "Service Bus knows no such call"),
    }
}

/// Microsoft Graph.
pub(super) fn microsoft_graph(request: &Request<'_>, depth: usize) -> Facts {
    let action = request.target.action();
    if request.is("POST") && action == "$batch" {
        return match graph_batch(request) {
            Some(calls) if depth == 0 => inner(request, Family::MicrosoftGraph, &calls),
            _ => Facts::unknown("a batch whose calls cannot be read"),
        };
    }
    let found = match action.as_str() {
        "getmembergroups"
        | "getmemberobjects"
        | "checkmembergroups"
        | "checkmemberobjects"
        | "getbyids"
        | "getavailableextensionproperties"
            if request.is("POST") =>
        {
            Found(Effect::Read, "this action only answers a question")
        }
        "query"
            if request.is("POST")
                && request
                    .target
                    .segments()
                    .iter()
                    .any(|segment| segment.eq_ignore_ascii_case("search")) =>
        {
            Found(Effect::Read, "it is a query")
        }
        "addpassword" | "addkey" if request.is("POST") => {
            Found(Effect::Write, "it makes and shows a credential")
        }
        _ if request.looks() && lower(request).iter().any(|segment| shows_secret(segment)) => {
            Found(Effect::Secret, "it shows a credential")
        }
        _ => generic::by_method(&request.method),
    };
    facts(request, found)
}

/// Graph's resources whose content is a credential.
const SHOWS_SECRET: &[&str] = &[
    "bitlocker",
    "devicelocalcredentials",
    "localcredentials",
    "passwordmethods",
    "temporaryaccesspassmethods",
    "secrets",
];

/// Whether a part of a path is a resource, or a function with its arguments, that shows a credential.
fn shows_secret(segment: &str) -> bool {
    let name = segment.split('(').next().unwrap_or_default();
    SHOWS_SECRET.contains(&name) || arm::shows_credential(name) || name.ends_with("plaintextvalue")
}

fn graph_batch(request: &Request<'_>) -> Option<Vec<Inner>> {
    // The calls' addresses begin below the version.
    let version = request.target.path.first()?;
    let body = Json::read(request.body_text()?)?;
    body.get("requests")?
        .list()?
        .iter()
        .map(|call| {
            Inner::read(call, |url| {
                format!("/{version}/{}", url.trim_start_matches('/'))
            })
        })
        .collect()
}

/// Model providers. Inference changes nothing and sends out whatever is in the prompt.
pub(super) fn model(request: &Request<'_>) -> Found {
    let path = lower(request);
    let has = |word: &str| path.iter().any(|segment| segment == word);
    if request.looks() {
        return generic::judge(request);
    }
    if !request.is("POST") {
        return generic::by_method(&request.method);
    }
    if has("client_secrets") || has("realtime") && has("sessions") || has("admin_api_keys") {
        return Found(Effect::Secret, "it makes and shows a key");
    }
    let action = request.target.action();
    let infers = [
        "completions",
        "messages",
        "embeddings",
        "generations",
        "transcriptions",
        "translations",
        "speech",
        "moderations",
        "count_tokens",
        "complete",
        "rerank",
        "edits",
        "variations",
        "score",
    ];
    if infers.contains(&action.as_str()) && !has("threads") && !has("batches") {
        return Found(
            Effect::Unknown,
            "inference changes nothing, but sends out what is in the prompt, and costs",
        );
    }
    if matches!(action.as_str(), "cancel") {
        return Found(Effect::Destructive, "it stops something");
    }
    Found(Effect::Write, "it stores or starts something")
}
