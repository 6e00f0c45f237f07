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
    // What shells run when they start: where tokens are exported.
    ".bashrc",
    ".bash_profile",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    // Sessions and passwords of browsers.
    "cookies",
    "cookies.sqlite",
    "cookies.db",
    "login data",
    "key4.db",
    "logins.json",
    // What a virtual machine is made with.
    "user-data",
    "user-data.txt",
    "waagent",
    "backups",
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
    "krb5cc",
];
/// Of these words, those that the files of a program are called by for what it does.
const SUBJECTS: &[&str] = &["token", "passw", "private"];
/// What those files end in: source code that is built, which configuration is not.
const SOURCES: &[&str] = &[
    ".rs", ".go", ".java", ".kt", ".ts", ".tsx", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs",
    ".swift", ".scala", ".proto", ".css", ".tf",
];
/// What texts for people, and programs that are not built, end in.
const TEXTS: &[&str] = &[".md", ".rst", ".log", ".html", ".py", ".js", ".jsx", ".rb"];
/// Files that say of what and how a project is built, wherever they stand.
const MANIFESTS: &[&str] = &[
    "package.json",
    "tsconfig.json",
    "Cargo.toml",
    "Cargo.lock",
    "pyproject.toml",
    "requirements.txt",
    "go.mod",
    "go.sum",
    "pom.xml",
    "build.gradle",
    "Gemfile",
    "Makefile",
    "CMakeLists.txt",
    "Dockerfile",
    "LICENSE",
    "README",
    "CODEOWNERS",
    ".gitignore",
    ".dockerignore",
    ".editorconfig",
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
    let (is_absolute, way) = way(&lower);
    // A whole home, everything, or whatever is above, holds some.
    let is_too_much = match (is_absolute, way.as_slice()) {
        (true, []) | (true, ["home" | "var" | "users"]) | (true, ["home" | "users", _]) => true,
        (true, _) => false,
        (false, [home, above @ ..]) => {
            (home.starts_with('~') || *home == "..") && above.iter().all(|part| *part == "..")
        }
        (false, []) => false,
    };
    let parts = || lower.split(['/', '\\', ':']);
    let first = way.iter().find(|part| **part != "..");
    let is_source = SOURCES.iter().any(|end| lower.ends_with(end));
    let is_secret = parts().any(|part| SECRET_PARTS.contains(&part))
        || first.is_some_and(|first| SECRET_BEGINNINGS.contains(first))
        || lower.starts_with("~root")
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

/// Whether a path is absolute, and the folders it leads through: `a/./b/../c` is `a/c`.
fn way(path: &str) -> (bool, Vec<&str>) {
    let is_absolute = path.starts_with('/');
    let mut way: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, way.last()) {
            ("" | ".", _) => {}
            ("..", None) if is_absolute => {}
            ("..", Some(last)) if *last != ".." && !last.starts_with('~') => {
                way.pop();
            }
            _ => way.push(part),
        }
    }
    (is_absolute, way)
}

/// Whether a folder is the one a command runs in, or one above: what it holds is not known by its name.
pub(super) fn is_here_or_above(folder: &str) -> bool {
    let (_, way) = way(folder);
    way.iter().all(|part| *part == "..")
}

/// Whether a name, or a pattern of names, fits nothing but files of a kind that holds no credentials, whatever folder they
/// are found in: `*.rs`, `Cargo.toml`.
pub(super) fn is_harmless_kind(name: &str) -> bool {
    let plain = name.strip_prefix('*').unwrap_or(name);
    let ends = |endings: &[&str]| endings.iter().any(|ending| plain.ends_with(ending));
    !plain.contains(['*', '?', '[', ']', '\\'])
        && (MANIFESTS.contains(&name) || ends(SOURCES) || ends(TEXTS))
}

/// Whether a pattern of the shell fits nothing but files of a kind that holds no credentials, in one folder: `src/*.rs`.
pub(super) fn is_of_a_kind(pattern: &str) -> bool {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let is_plain = |text: &str| !text.contains(['*', '?', '[', ']', '{', '}', '\\']);
    let Some((before, ending)) = name.split_once('*') else {
        return false;
    };
    is_plain(folder)
        && is_plain(before)
        && is_plain(ending)
        && (SOURCES.contains(&ending) || TEXTS.contains(&ending))
}

/// Whether what a pattern fits begins with a name, so that it is no option.
pub(super) fn begins_with_name(pattern: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '~' | '_');
    pattern.starts_with(begins)
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
