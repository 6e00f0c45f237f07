//! Small texts that mean something: durations, sizes, hours, addresses, patterns of names.
//!
//! Each reader takes the text of one value and gives the value, or what is wrong with it and how to mend it.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::{civil::Time, tz::TimeZoneDatabase};

use super::{
    Hours, KindPattern, TablePattern,
    credential::literal_start,
    problem::{choices, nearest, quoted},
};
use crate::domain::{classify::http, connection::ConnectionKind, masking};

/// What is wrong with a text, and how to mend it.
pub(super) type Wrong = (String, String);

/// The longest duration: what is kept for a hundred years is kept for ever.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);
/// The largest size: beyond it a result does not fit into one answer anyway.
const LARGEST: u64 = 1 << 40;
/// Bounds for patterns in policy: enough for any identifier, little enough to compile at once.
const REGEX_LENGTH: usize = 1000;
const REGEX_SIZE: usize = 1 << 20;
const REGEX_NESTING: u32 = 32;

/// `30s`, `5m`, `1h30m`, `400d`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = |message: String| {
        let how = "write it like 500ms, 30s, 5m, 1h30m, 12h, 400d or 2w";
        Err((message, how.into()))
    };
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() || rest.len() > 40 {
        return wrong(format!("{} is not a duration", quoted(text)));
    }
    while !rest.is_empty() {
        let (digits, tail) = rest.split_at(end_of(rest, |byte| byte.is_ascii_digit()));
        let (unit, tail) = tail.split_at(end_of(tail, |byte| byte.is_ascii_alphabetic()));
        let Ok(count) = digits.parse::<u64>() else {
            return wrong(format!("{} is not a duration", quoted(text)));
        };
        let seconds = |each: u64| count.checked_mul(each).map(Duration::from_secs);
        let part = match unit {
            "ms" => Some(Duration::from_millis(count)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3_600),
            "d" => seconds(86_400),
            "w" => seconds(7 * 86_400),
            "" => return wrong(format!("{} has no unit", quoted(text))),
            _ => return wrong(format!("{} is not a unit of time", quoted(unit))),
        };
        match part.and_then(|part| total.checked_add(part)) {
            Some(sum) if sum <= LONGEST => total = sum,
            _ => return wrong(format!("{} is longer than a hundred years", quoted(text))),
        }
        rest = tail;
    }
    if total.is_zero() {
        return wrong(format!("{} is no time at all", quoted(text)));
    }
    Ok(total)
}

/// `8MiB`, `512KiB`, `10MB`, or plain bytes.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let how = || "write it like 512KiB, 8MiB, 1GiB, or a plain number of bytes".to_owned();
    let not_a_size = || (format!("{} is not a size", quoted(text)), how());
    let trimmed = text.trim();
    let (digits, unit) = trimmed.split_at(end_of(trimmed, |byte| byte.is_ascii_digit()));
    let count = digits.parse::<u64>().map_err(|_| not_a_size())?;
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("B", 1),
        ("kB", 1_000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
    ];
    let unit = unit.trim();
    let Some((_, each)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let meant = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let hint = meant.map_or_else(how, |(name, _)| format!("did you mean `{name}`?"));
        return Err((format!("{} is not a unit of size", quoted(unit)), hint));
    };
    match count.checked_mul(*each) {
        Some(0) => Err((format!("{} is no space at all", quoted(text)), how())),
        Some(bytes) if bytes <= LARGEST => Ok(bytes),
        _ => Err((format!("{} is more than 1024 GiB", quoted(text)), how())),
    }
}

/// `22:00-06:00 Europe/Berlin`.
pub(super) fn hours(text: &str) -> Result<Hours, Wrong> {
    let how = || "write it like \"22:00-06:00 Europe/Berlin\"".to_owned();
    let Some((span, zone)) = text.trim().split_once(char::is_whitespace) else {
        let message = if text.contains('-') && text.contains(':') {
            format!("{} does not say where", quoted(text))
        } else {
            format!("{} is not a span of hours", quoted(text))
        };
        return Err((message, how()));
    };
    let Some((from, until)) = span.split_once('-') else {
        return Err((format!("{} is not a span of hours", quoted(span)), how()));
    };
    let clock = |text: &str| {
        time_of_day(text).ok_or_else(|| (format!("{} is not a time of day", quoted(text)), how()))
    };
    let (from, until) = (clock(from)?, clock(until)?);
    if from == until {
        return Err((
            format!("{} begins when it ends", quoted(span)),
            "leave `between` out for all day".into(),
        ));
    }
    let zone = zone.trim();
    let zones = TimeZoneDatabase::bundled();
    let zone = zones.get(zone).map_err(|_| {
        let known: Vec<String> = zones.available().map(|name| name.to_string()).collect();
        let hint = match nearest(zone, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "use a name like Europe/Berlin, America/New_York or UTC".into(),
        };
        (format!("{} is not a time zone", quoted(zone)), hint)
    })?;
    Ok(Hours { from, until, zone })
}

/// `HH:MM`; `24:00` is the midnight that ends the day.
fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |text: &str| -> Option<i8> {
        let valid = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        valid.then(|| text.parse().ok())?
    };
    match (two_digits(hour)?, two_digits(minute)?) {
        (24, 0) => Some(Time::midnight()),
        (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
    }
}

/// `public.customers`, `*.customers`, `customers`.
pub(super) fn table_pattern(text: &str) -> Result<TablePattern, Wrong> {
    TablePattern::parse(text).map_err(|message| {
        let how = "write `schema.table`, `table`, or `*` for a whole part: `*.customers`, `crm.*`";
        (message, how.into())
    })
}

/// `schema.function` or `function`, folded to lowercase where it is not in double quotes.
pub(super) fn function(text: &str) -> Result<String, Wrong> {
    let wrong = || {
        let message = format!("{} is not the name of a function", quoted(text));
        let how = "write `schema.function` or `function`, without arguments; in double quotes a name keeps its case";
        (message, how.into())
    };
    let part = |part: &str| {
        let inside = part
            .strip_prefix('"')
            .and_then(|part| part.strip_suffix('"'));
        let plain =
            |byte: u8| !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"_$".contains(&byte);
        match inside {
            Some(inside) if !inside.is_empty() && !inside.contains('"') => Some(inside.to_owned()),
            None if !part.is_empty() && part.bytes().all(plain) => Some(part.to_lowercase()),
            _ => None,
        }
    };
    let parts: Option<Vec<String>> = text.split('.').map(part).collect();
    let parts = parts.filter(|parts| parts.len() <= 2).ok_or_else(wrong)?;
    Ok(parts.join("."))
}

/// A name findings are counted under.
pub(super) fn pattern_name(text: &str) -> Result<(), Wrong> {
    if masking::is_plain_name(text) {
        Ok(())
    } else {
        Err((
            format!("{} cannot name a masking pattern", quoted(text)),
            "use up to 64 lowercase letters, digits, `-` or `_`: findings are counted under it"
                .into(),
        ))
    }
}

/// What pseudonyms are bound to.
pub(super) fn domain_name(text: &str) -> Result<(), Wrong> {
    if masking::is_plain_name(text) {
        Ok(())
    } else {
        Err((
            format!("{} cannot name a domain of pseudonyms", quoted(text)),
            "use 1 to 64 lowercase letters, digits, `-` or `_`, such as email: what the columns have in common".into(),
        ))
    }
}

/// `public.customers.email`, `*.customers.email`, `customers.email`.
pub(super) fn column_pattern(text: &str) -> Result<String, Wrong> {
    let parts: Vec<&str> = text.split('.').collect();
    let whole = |part: &&str| !part.is_empty() && (*part == "*" || !part.contains('*'));
    if (2..=3).contains(&parts.len())
        && parts.iter().all(whole)
        && !text.contains(char::is_whitespace)
    {
        Ok(text.into())
    } else {
        Err((
            format!("{} is not a pattern of columns", quoted(text)),
            "write `table.column` or `schema.table.column`, with `*` for a whole part: `*.customers.email`"
                .into(),
        ))
    }
}

/// A regular expression that compiles, within bounds, and finds something rather than nothing.
pub(super) fn regex(text: &str) -> Result<String, Wrong> {
    if text.len() > REGEX_LENGTH {
        return Err((
            format!(
                "this expression has {} bytes; the most is {REGEX_LENGTH}",
                text.len()
            ),
            "split it into several patterns".into(),
        ));
    }
    let compiled = regex::RegexBuilder::new(text)
        .size_limit(REGEX_SIZE)
        .nest_limit(REGEX_NESTING)
        .build();
    match compiled {
        Ok(compiled) if compiled.is_match("") => Err((
            format!("{} matches nothing at all, everywhere", quoted(text)),
            "let it match at least one character: `+` instead of `*`".into(),
        )),
        Ok(_) => Ok(text.into()),
        Err(regex::Error::CompiledTooBig(_)) => Err((
            format!("{} is too large once compiled", quoted(text)),
            "use smaller repetitions".into(),
        )),
        Err(error) => {
            let told = error.to_string();
            let reason = told.lines().last().unwrap_or("it does not compile");
            let reason = reason.trim_start_matches("error: ");
            Err((
                format!("{} is not a regular expression: {reason}", quoted(text)),
                "look-around and back-references are not taken; a backslash needs single quotes in YAML"
                    .into(),
            ))
        }
    }
}

/// A kind of statement or command.
pub(super) fn kind(text: &str) -> Result<KindPattern, Wrong> {
    KindPattern::parse(text)
        .map_err(|message| (message, "name at least a word, or leave `kinds` out".into()))
}

/// A variable of a program's environment, whose value may name secrets.
pub(super) fn variable(name: &str, value: &str) -> Result<(), Wrong> {
    const OURS: [&str; 3] = ["HOME", "PATH", "LANG"];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) || name.as_bytes()[0].is_ascii_digit() {
        return Err((
            format!("{} cannot name a variable", quoted(name)),
            "use letters, digits and `_`".into(),
        ));
    }
    if OURS.contains(&name) {
        return Err((
            format!("{} is set for every command", quoted(name)),
            "remove it: the home is a folder of its own, and programs are named in `programs`"
                .into(),
        ));
    }
    // The name tells whether the value should have been a secret.
    secret_value(&format!("{name}={value}"), value)
}

/// A file for programs, whose content may name secrets.
pub(super) fn file(path: &str, content: &str) -> Result<(), Wrong> {
    let outside = |part: &str| matches!(part, "" | "." | "..");
    if path.split('/').any(outside) {
        return Err((
            format!("{} is no path within the home of a command", quoted(path)),
            "write a path like `kubeconfig` or `.ssh/known_hosts`".into(),
        ));
    }
    secret_value(content, content)
}

fn secret_value(told: &str, value: &str) -> Result<(), Wrong> {
    references(value)?;
    match literal_start(told) {
        Some(_) => Err((
            "this holds a credential in the clear".into(),
            "name it instead and keep it in the environment: ${secret:NAME}".into(),
        )),
        None => Ok(()),
    }
}

/// A program: the name commands call it by, and where it is.
pub(super) fn program(name: &str, path: &str) -> Result<(), Wrong> {
    if name.contains('/') || name.contains(char::is_whitespace) {
        return Err((
            format!("{} cannot name a program", quoted(name)),
            "write the bare name, such as `kubectl: /usr/bin/kubectl`".into(),
        ));
    }
    let is_plain = !path
        .split('/')
        .skip(1)
        .any(|part| matches!(part, "" | "." | ".."));
    if !path.starts_with('/') || !is_plain {
        return Err((
            format!("{} is not where a program is", quoted(path)),
            "write its absolute path, such as `/usr/bin/kubectl`".into(),
        ));
    }
    if path.rsplit('/').next() != Some(name) {
        return Err((
            format!(
                "{} is judged by the name {}, and is another program",
                quoted(path),
                quoted(name)
            ),
            "call it by the last part of its path".into(),
        ));
    }
    Ok(())
}

/// The types of public keys that a host may prove itself with. RSA is not among them: its library leaks by timing
/// (RUSTSEC-2023-0071), and every server of the last ten years has one of these as well.
const HOST_KEYS: [&str; 4] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
];

/// How to get a host's public key.
pub(super) const SCAN: &str = "get it with `ssh-keyscan -t ed25519 HOST`, hold it against what the host's own console says \
     (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`), and write it like \"ssh-ed25519 AAAA…\"";

/// The public key of a host: `TYPE BASE64` with or without what `known_hosts` has before it and a comment after it.
pub(super) fn host_key(text: &str) -> Result<String, Wrong> {
    let wrong = |message: String| (message, SCAN.to_owned());
    if text.trim_start().starts_with("SHA256:") {
        let message = "this is the fingerprint of a key, and the key itself is wanted";
        return Err(wrong(message.into()));
    }
    let mut words = text.split_ascii_whitespace();
    let Some(kind) = words.by_ref().take(2).find(|word| HOST_KEYS.contains(word)) else {
        let message = format!("{} is not the public key of a host", quoted(text));
        let how = format!("its type is one of {}; {SCAN}", HOST_KEYS.join(", "));
        return Err((message, how));
    };
    let key = words.next().unwrap_or_default();
    // It says its type itself.
    let blob = BASE64_STANDARD.decode(key).unwrap_or_default();
    let named = blob
        .get(4..)
        .and_then(|rest| rest.strip_prefix(kind.as_bytes()));
    if named.is_none_or(<[u8]>::is_empty) {
        return Err(wrong(format!(
            "{} is not whole: what follows the type is no key of it",
            quoted(text)
        )));
    }
    Ok(format!("{kind} {key}"))
}

/// The name or the address of a host.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let in_six = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
    let is_name = text.bytes().all(in_name) && !text.starts_with('-');
    let is_six = text.bytes().all(in_six) && text.matches(':').count() > 1;
    if text.len() <= 253 && (is_name || is_six) {
        Ok(text.into())
    } else {
        Err((
            format!("{} is not the name or the address of a host", quoted(text)),
            "write it like web-1.example.com, 10.0.0.7 or fd00::7; the port is in `port`".into(),
        ))
    }
}

/// A credential, which is a secret and nothing else.
pub(super) fn credential(text: &str) -> Result<(), Wrong> {
    references(text)?;
    let text = text.trim();
    if text.starts_with("${") && text.find('}') == Some(text.len() - 1) {
        return Ok(());
    }
    Err((
        "this is a credential in the clear".into(),
        "name it instead and keep it in the environment: ${secret:NAME}".into(),
    ))
}

/// A variable for programs at another host, where every user sees it while its command runs.
pub(super) fn seen_variable(name: &str, value: &str) -> Result<(), Wrong> {
    variable(name, value)?;
    if value.contains("${") {
        return Err((
            "the users of a host see the variables of its commands, and this one holds a secret"
                .into(),
            "remove it, and keep the credential in a file of the account's own at the host".into(),
        ));
    }
    Ok(())
}

/// A header field for every call, whose value may name secrets.
pub(super) fn header(name: &str, value: &str) -> Result<(), Wrong> {
    const OF_THE_CONNECTION: [&str; 9] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let lower = name.to_ascii_lowercase();
    let is_token = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_token || OF_THE_CONNECTION.contains(&lower.as_str()) {
        return Err((
            format!("{} cannot be given to every call", quoted(name)),
            "name a header field of the API, such as `authorization`".into(),
        ));
    }
    if value.bytes().any(|byte| !(b' '..0x7f).contains(&byte)) {
        return Err((
            "this has characters that no header field has".into(),
            "use visible ASCII".into(),
        ));
    }
    references(value)?;
    let is_credential = [
        "authorization",
        "cookie",
        "key",
        "secret",
        "token",
        "password",
    ]
    .iter()
    .any(|word| lower.contains(word));
    if is_credential && !value.contains("${") {
        return Err((
            "this holds a credential in the clear".into(),
            "name it instead and keep it in the environment: ${secret:NAME}".into(),
        ));
    }
    Ok(())
}

/// Where an HTTP API is, normalised.
fn api(text: &str) -> Result<String, Wrong> {
    let how = || "write https://HOST, with or without a path".to_owned();
    if text.contains("${") {
        return Err((
            "the address of an API is no secret: calls are judged by it".into(),
            how() + "; its secrets are in `headers`",
        ));
    }
    let base = http::base(text)
        .map_err(|why| (format!("this is not the address of an API: {why}"), how()))?;
    let is_four = |host: &str| {
        host.starts_with("127.")
            && host
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let is_near = matches!(&*base.host, "localhost" | "[::1]") || is_four(&base.host);
    if !base.is_https && !is_near {
        return Err((
            "what is sent there is not encrypted, credential included".into(),
            how() + "; http:// is for this machine alone",
        ));
    }
    Ok(base.url)
}

/// An address for a connection of this kind, without a password in it.
pub(super) fn address(kind: Option<ConnectionKind>, text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    if kind == Some(ConnectionKind::Http) {
        return api(text);
    }
    references(text)?;
    if literal_start(text).is_some() {
        return Err((
            "this address holds a password in the clear".into(),
            "name it instead and keep it in the environment: ${secret:NAME}".into(),
        ));
    }
    let (example, schemes, what): (_, &[&str], _) = match kind {
        // What kind it is of is not known, or it takes no address, which has been told.
        None | Some(ConnectionKind::Command | ConnectionKind::Http) => ("", &[""], ""),
        Some(ConnectionKind::Postgres) => (
            "postgres://USER:${secret:PASSWORD}@HOST/DATABASE",
            &["postgres://", "postgresql://"],
            "PostgreSQL server",
        ),
        Some(ConnectionKind::Mysql) => (
            "mysql://USER:${secret:PASSWORD}@HOST/DATABASE",
            &["mysql://", "mariadb://"],
            "MySQL or MariaDB server",
        ),
        Some(ConnectionKind::Sqlite) => ("sqlite:PATH", &["sqlite:"], "SQLite file"),
        Some(ConnectionKind::Mssql) => (
            "mssql://USER:${secret:PASSWORD}@HOST/DATABASE",
            &["mssql://", "sqlserver://"],
            "SQL Server",
        ),
    };
    let is_named_whole = text.starts_with("${") && text.find('}') == Some(text.len() - 1);
    match schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) {
        _ if is_named_whole => {}
        Some("") => {
            return Err((
                "this address leads nowhere".into(),
                format!("write {example}"),
            ));
        }
        Some(_) => {}
        None => {
            return Err((
                format!("this is not the address of a {what}"),
                format!("write {example}, or ${{secret:NAME}} for all of it"),
            ));
        }
    }
    Ok(text.into())
}

/// Checks that an address can be logged in to with a token.
pub(super) fn with_token(kind: Option<ConnectionKind>, url: &str) -> Result<(), Wrong> {
    if kind == Some(ConnectionKind::Sqlite) {
        return Err((
            "a SQLite file takes no token".into(),
            "remove `token`".into(),
        ));
    }
    let user = url
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once('@'))
        .map(|(user, _)| user.replace("${secret:", ""));
    if user.is_some_and(|user| user.contains(':')) {
        return Err((
            "this address has a password and a token".into(),
            "remove the password: postgres://USER@HOST/DATABASE".into(),
        ));
    }
    Ok(())
}

/// Checks that every `${…}` is a `${secret:NAME}`.
pub(super) fn references(text: &str) -> Result<(), Wrong> {
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let inside = &rest[at + 2..];
        let how =
            || "write ${secret:NAME}; NAME is the environment variable that holds it".to_owned();
        let Some(end) = inside.find('}') else {
            return Err(("a reference begins here and does not end".into(), how()));
        };
        let Some(name) = inside[..end].strip_prefix("secret:") else {
            let kind = inside[..end].split(':').next().unwrap_or("");
            let message = format!("{} is not a kind of reference", quoted(kind));
            return Err((
                message,
                choices(kind, "allowed", ["secret"]) + "; " + &how(),
            ));
        };
        if name.is_empty() {
            return Err(("this reference names no secret".into(), how()));
        }
        if !is_secret_name(name) {
            return Err((format!("{} cannot name a secret", quoted(name)), how()));
        }
        rest = &inside[end + 1..];
    }
    Ok(())
}

/// Whether `name` can name a secret: letters, digits and `_`, not a digit first, as environment variables are named.
fn is_secret_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.len() <= 128
        && name.bytes().all(allowed)
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

fn end_of(text: &str, belongs: impl Fn(u8) -> bool) -> usize {
    text.bytes()
        .position(|byte| !belongs(byte))
        .unwrap_or(text.len())
}
