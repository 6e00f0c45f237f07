//! Which files hold credentials, by their names.

use crate::domain::classify::Effect;

/// Names of folders that hold credentials, and of files that are one.
const SECRET_PARTS: &[&str] = &[
    ".ssh",
    ".kube",
    ".azure",
    ".aws",
    ".gnupg",
    ".docker",
    ".config",
    ".netrc",
    ".pgpass",
    ".my.cnf",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    ".vault-token",
    ".bash_history",
    ".zsh_history",
    ".psql_history",
    ".git",
    "proc",
    "etc",
    "root",
    "secrets",
    "credentials",
    "keys",
    "shadow",
    "environ",
    "kubeconfig",
    "dev",
    "sys",
    "run",
    "boot",
];
/// Words inside the name of a file that say the same.
const SECRET_WORDS: &[&str] = &[
    "secret",
    "passw",
    "token",
    "credential",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa",
    "id_dsa",
    ".pem",
    ".key",
    ".pfx",
    ".p12",
    ".jks",
    ".kdbx",
    ".tfstate",
    ".tfvars",
    ".env",
    "apikey",
    "api_key",
    "private",
];
/// Files of the system that say nothing but what it is.
const HARMLESS: &[&str] = &[
    "/etc/os-release",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/timezone",
    "/etc/debian_version",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/version",
    "/dev/null",
    "/dev/stdin",
    "-",
];

/// What showing the content of the file would be: a read, or a secret.
pub(super) fn showing(path: &str) -> Effect {
    if HARMLESS.contains(&path) {
        return Effect::Read;
    }
    let lower = path.to_ascii_lowercase();
    // A whole home, or everything, holds some.
    let is_too_much = matches!(lower.trim_end_matches('/'), "" | "~" | "/home" | "/var");
    let is_secret = lower
        .split(['/', '\\', ':'])
        .any(|part| SECRET_PARTS.contains(&part))
        || SECRET_WORDS.iter().any(|word| lower.contains(word));
    if !path.is_empty() && (is_too_much || is_secret) {
        Effect::Secret
    } else {
        Effect::Read
    }
}
