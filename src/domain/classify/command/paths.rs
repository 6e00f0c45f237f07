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
    ".boto",
    ".s3cfg",
    ".dockercfg",
    ".databrickscfg",
    ".snowsql",
    ".oci",
    ".m2",
    ".gradle",
    ".terraformrc",
    ".terraform.d",
    ".authinfo",
    ".password-store",
    ".pki",
    ".mozilla",
    "_netrc",
    "admin.conf",
    "kubelet",
    "keyrings",
    "local.settings.json",
    "wp-config.php",
];
/// Folders that do so at the beginning of a path alone: elsewhere they are what a project calls its own.
const SECRET_BEGINNINGS: &[&str] = &["dev", "run", "boot"];
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
    "kubeconfig",
    "_history",
    ".mylogin",
    ".keytab",
    ".keystore",
    ".ppk",
    ".ovpn",
    "vault_pass",
    "vault-pass",
    "service-account",
    "service_account",
];
/// Of these words, those that the files of a program are called by for what it does.
const SUBJECTS: &[&str] = &["token", "passw", "private"];
/// What those files end in: source code that is built, which configuration is not.
const SOURCES: &[&str] = &[
    ".rs", ".go", ".java", ".kt", ".ts", ".tsx", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs",
    ".swift", ".scala", ".proto", ".css",
];
/// What texts for people, and programs that are not built, end in.
const TEXTS: &[&str] = &[
    ".md", ".rst", ".txt", ".log", ".csv", ".html", ".py", ".js", ".jsx", ".rb", ".sh",
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
    "/proc/mounts",
    "/proc/stat",
    "/proc/vmstat",
    "/proc/diskstats",
    "/proc/partitions",
    "/proc/filesystems",
    "/proc/swaps",
    "/proc/interrupts",
    "/proc/modules",
    "/etc/fstab",
    "/etc/issue",
    "/etc/lsb-release",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/shells",
    "/dev/null",
    "/dev/stdin",
    "-",
];

/// What `/proc/PID` says of a process that is no part of its memory, its environment or its files.
const OF_PROCESS: &[&str] = &[
    "status",
    "stat",
    "statm",
    "limits",
    "io",
    "cgroup",
    "mounts",
    "mountinfo",
    "comm",
    "oom_score",
];

/// What showing the content of the file would be: a read, or a secret.
pub(super) fn showing(path: &str) -> Effect {
    if HARMLESS.contains(&path) || is_of_process(path) {
        return Effect::Read;
    }
    let lower = path.to_ascii_lowercase();
    // A whole home, or everything, holds some.
    let whole = lower.trim_end_matches('/');
    let is_too_much = matches!(whole, "" | "~" | "/home" | "/var" | "/users")
        || ["/home/", "/users/"].iter().any(|homes| {
            whole
                .strip_prefix(homes)
                .is_some_and(|home| !home.contains('/'))
        });
    let parts = || lower.split(['/', '\\', ':']);
    let first = parts().find(|part| !matches!(*part, "" | "." | ".."));
    let is_source = SOURCES.iter().any(|end| lower.ends_with(end));
    let is_secret = parts().any(|part| SECRET_PARTS.contains(&part))
        || first.is_some_and(|first| SECRET_BEGINNINGS.contains(&first))
        || lower.contains("/var/run")
        || SECRET_WORDS
            .iter()
            .any(|word| lower.contains(word) && !(is_source && SUBJECTS.contains(word)));
    if !path.is_empty() && (is_too_much || is_secret) {
        Effect::Secret
    } else {
        Effect::Read
    }
}

/// Whether a pattern of the shell fits nothing but files of a kind that holds no credentials, in one folder: `src/*.rs`. It
/// begins with a name, so that what it fits is no option.
pub(super) fn is_of_a_kind(pattern: &str) -> bool {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let is_plain = |text: &str| !text.contains(['*', '?', '[', ']', '{', '}', '\\']);
    let begins = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '~' | '_');
    let Some((before, ending)) = name.split_once('*') else {
        return false;
    };
    pattern.starts_with(begins)
        && is_plain(folder)
        && is_plain(before)
        && is_plain(ending)
        && (SOURCES.contains(&ending) || TEXTS.contains(&ending))
}

/// `/proc/self/status` and its like.
fn is_of_process(path: &str) -> bool {
    let Some((process, what)) = path
        .strip_prefix("/proc/")
        .and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let is_one = process == "self"
        || !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    is_one && OF_PROCESS.contains(&what)
}
