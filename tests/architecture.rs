//! The arrows between the rooms, and the few places that may make a proof, read from the source itself.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each room, and the rooms its `use crate::…` lines may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &["domain"]),
    ("gateway", &["gateway", "domain"]),
    ("store", &["store", "gateway", "domain"]),
    ("bus", &["bus", "gateway", "domain", "identity"]),
    ("targets", &["targets", "gateway", "domain", "identity"]),
    ("auth", &["auth", "gateway", "domain"]),
    ("catalog", &["catalog", "domain"]),
    ("door", &["door", "auth", "gateway", "domain", "telemetry"]),
    ("api", &["api", "door", "auth", "gateway", "domain"]),
    ("mcp", &["mcp", "door", "auth", "gateway", "domain"]),
    ("config", &[]),
    ("identity", &[]),
    ("vault", &["gateway", "identity"]),
    ("telemetry", &[]),
    (
        "app",
        &[
            "api", "auth", "bus", "catalog", "config", "domain", "gateway", "identity", "mcp",
            "store", "targets", "vault",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "auth",
            "catalog",
            "cli",
            "config",
            "domain",
            "telemetry",
        ],
    ),
];

/// Text that only these files may contain: makers of proofs, and the world's own ways in.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("Principal::from_verified(", &["auth/"]),
    (
        "Principal::hypothetical(",
        &["cli/policy.rs", "domain/policy/cases.rs"],
    ),
    ("Principal::remembered(", &["domain/session/decide.rs"]),
    ("Appended::durable(", &["store/"]),
    ("Permit {", &["domain/session/decide.rs"]),
    ("OnceRecorded(", &["domain/session/decide.rs"]),
    ("Execution {", &["gateway/execute.rs", "gateway/ports.rs"]),
    ("Masked(", &["domain/masking/"]),
    ("LoopbackOnly::prove(", &["app.rs", "auth/dev.rs"]),
    ("azure_data_cosmos", &["store/cosmos/"]),
    ("rusqlite", &["store/", "targets/", "cli/dev/data.rs"]),
    ("tokio_postgres", &["targets/"]),
    ("axum", &["api/", "app.rs", "door/", "mcp/"]),
    ("rmcp", &["mcp/"]),
    ("fe2o3_amqp", &["bus/"]),
    ("azure_identity", &["identity.rs"]),
    (".vouched(", &["api/decisions.rs"]),
    (
        "reqwest",
        &["auth/", "cli/", "targets/http.rs", "telemetry/", "vault.rs"],
    ),
    ("opentelemetry", &["telemetry/"]),
    ("Timestamp::now(", &["app.rs", "auth/", "cli/"]),
    ("unsafe {", &[]),
];

/// What the pure core must not touch.
const IMPURE: &[&str] = &[
    "tokio",
    "async fn",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "SystemTime::",
    "rand::",
];

#[test]
fn arrows_between_rooms_point_inwards() {
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        let room = room_of(&path);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            assert!(
                ["lib", "main"].contains(&room.as_str()),
                "{path} belongs to no room"
            );
            continue;
        };
        for named in rooms_named(&code) {
            if !allowed.contains(&named.as_str()) {
                wrong.push(format!("{path}: {room} -> {named}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn proofs_are_made_where_the_check_is() {
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        for (text, places) in ONLY_IN {
            if code.contains(text) && !places.iter().any(|place| path.starts_with(place)) {
                wrong.push(format!("{path}: `{text}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_domain_is_pure() {
    let mut wrong = Vec::new();
    for (path, code) in sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("domain/"))
    {
        for text in IMPURE.iter().filter(|text| code.contains(**text)) {
            wrong.push(format!("{path}: `{text}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every source file's path below `src/`, and its code without comments and tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 50, "the sources were not found");
    let read = |path: &PathBuf| fs::read_to_string(path).unwrap();
    // Modules that are compiled for tests alone.
    let tests: BTreeSet<String> = files
        .iter()
        .flat_map(|path| {
            let code = read(path);
            let parts = code.split("#[cfg(test)]\nmod ").skip(1);
            let named = parts.filter_map(|rest| Some(rest.split_once(';')?.0.to_owned()));
            named
                .filter(|name| !name.contains(char::is_whitespace))
                .collect::<Vec<_>>()
        })
        .collect();
    let named = files.iter().filter(|path| {
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        !tests.contains(stem)
    });
    named
        .map(|path| {
            let code = read(path);
            let code = code
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            let lines = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let code: Vec<_> = lines.collect();
            (
                path.strip_prefix(&root).unwrap().display().to_string(),
                code.join("\n"),
            )
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn room_of(path: &str) -> String {
    let first = path.split('/').next().unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that `crate::room` and `use crate::{room::…, …}` name.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            rooms.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (index, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                _ if start && character.is_ascii_alphabetic() => {
                    rooms.insert(word(&group[index..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    rooms
}
