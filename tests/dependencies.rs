//! What the product is built from: licences, bans and duplicates, from the lock file alone, so that it works offline.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// Licences that the project's own (MIT) can be combined with without conditions beyond naming them.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// One TLS stack, and one source of cryptography beside what SSH is made of; nothing unmaintained.
const BANNED: &[&str] = &[
    "ring",
    "openssl",
    "openssl-sys",
    "native-tls",
    "rsa",
    "serde_yaml",
    "atty",
    "chrono",
    "async-std",
    "hyper-tls",
];

/// Banned crates that are there nevertheless, each because of someone we cannot do without.
const SUFFERED: &[(&str, &str)] = &[(
    "chrono",
    "rmcp writes the times of its own tasks with it, which are not used here",
)];

/// Account keys are signed with them, and none is ever used here.
const OLDER_HASHES: &str = "azure_core has not moved on, postgres-protocol has";

/// Crates that are there in two versions, each because of someone we cannot move.
const TWICE: &[(&str, &str)] = &[
    (
        "base64",
        "hyper-util and reqwest have moved on, jsonwebtoken and postgres-protocol have not",
    ),
    ("block-buffer", OLDER_HASHES),
    ("cpufeatures", OLDER_HASHES),
    ("crypto-common", OLDER_HASHES),
    ("digest", OLDER_HASHES),
    ("generic-array", "as the older hashes; russh has moved on"),
    ("hmac", OLDER_HASHES),
    (
        "fallible-iterator",
        "postgres-protocol and rusqlite show different ones in their interfaces",
    ),
    (
        "object",
        "the Cosmos DB client's backtraces; and build time only: stacker's compiler",
    ),
    ("sha2", OLDER_HASHES),
    (
        "getrandom",
        "opentelemetry_sdk has not moved on with the rest; so has rand, which it draws the ids of spans from, with rand_core",
    ),
    ("rand", "as getrandom"),
    ("rand_core", "as getrandom"),
    ("signature", "russh has moved on, jsonwebtoken has not"),
    (
        "syn",
        "build time only: half of the derive macros have moved on",
    ),
    ("untrusted", "aws-lc-rs and rustls-webpki"),
];

#[test]
fn every_dependency_is_licensed_and_none_is_banned_or_there_twice() {
    let packages = packages();
    let mut wrong = Vec::new();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in &packages {
        let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        let (name, version, licence) = (text("name"), text("version"), text("license"));
        let is_suffered = SUFFERED.iter().any(|(suffered, _)| *suffered == name);
        if BANNED.contains(&name.as_str()) && !is_suffered {
            wrong.push(format!("{name} {version} is banned"));
        }
        if !is_licensed(&licence) {
            wrong.push(format!(
                "{name} {version}: licence `{licence}` is not on the list"
            ));
        }
        if package["source"]
            .as_str()
            .is_some_and(|source| !source.starts_with("registry+"))
        {
            wrong.push(format!("{name} {version} does not come from the registry"));
        }
        versions.entry(name).or_default().push(version);
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !TWICE.iter().any(|(known, _)| known == name) {
            wrong.push(format!(
                "{name} is there {} times: {}",
                versions.len(),
                versions.join(", ")
            ));
        }
    }
    for (name, why) in TWICE {
        let still = versions
            .get(*name)
            .is_some_and(|versions| versions.len() > 1);
        if !still {
            wrong.push(format!(
                "{name} is not there twice any more ({why}): take it off the list"
            ));
        }
    }
    for (name, why) in SUFFERED {
        if !versions.contains_key(*name) {
            wrong.push(format!("{name} is gone ({why}): take it off the list"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An SPDX expression of which one alternative has only licences of the list.
fn is_licensed(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    expression.split(" OR ").any(|alternative| {
        alternative
            .split(" AND ")
            .all(|licence| LICENCES.contains(&licence.trim()))
    })
}

/// The packages that end up in the product on this platform: normal and build dependencies, no tests.
fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&cargo);
        command
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let tree = run(&[
        "tree",
        "--offline",
        "--locked",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let mut wanted: Vec<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?.strip_prefix('v')?))
        })
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let metadata = run(&[
        "metadata",
        "--offline",
        "--locked",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
        "--format-version",
        "1",
    ]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let all = metadata["packages"].as_array().unwrap();
    let packages: Vec<_> = all
        .iter()
        .filter(|package| {
            let text = |name: &str| package[name].as_str().unwrap();
            wanted.contains(&(text("name"), text("version")))
        })
        .cloned()
        .collect();
    assert!(packages.len() > 100, "the dependency tree was not found");
    packages
}
