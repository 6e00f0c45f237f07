//! Credentials that stand in a policy file as they are, where `${secret:NAME}` should stand.
//!
//! The same eye serves two ends: an address with a credential in it is refused, and no message or excerpt shows text
//! from where one may begin. When in doubt there is one.

/// Keys and parameters whose value is a credential.
const NAMES: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "apikey",
    "api_key",
    "access_key",
    "private_key",
    "secret",
];

/// Where a literal credential may begin: after the user in an address, or after a key or parameter that names one.
pub(super) fn literal_start(text: &str) -> Option<usize> {
    in_address(text).into_iter().chain(after_name(text)).min()
}

fn in_address(text: &str) -> Option<usize> {
    text.match_indices("://").find_map(|(at, scheme)| {
        let start = at + scheme.len();
        // Up to the last `@`: a password may hold `/`, `?` and `@` as they are.
        let user = &text[start..start + text[start..].rfind('@')?];
        let password = colon_outside_references(user)? + 1;
        (!is_one_reference(&user[password..])).then_some(start + password)
    })
}

fn colon_outside_references(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    text.char_indices().find_map(|(at, character)| {
        match character {
            '{' if text[..at].ends_with('$') => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (character == ':' && depth == 0).then_some(at)
    })
}

fn after_name(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let values = NAMES
        .iter()
        .flat_map(|name| lower.match_indices(name))
        .filter_map(|(at, name)| {
            let after = &text[at + name.len()..];
            let value = after.trim_start_matches(['"', '\'', ' ']);
            let value = value.strip_prefix([':', '='])?.trim_start();
            let is_the_reference_itself = text[..at].ends_with("${");
            let word = value
                .trim_matches(['"', '\''])
                .split(['&', ';', ' ', ',', '"', '\''])
                .next()?;
            let is_literal = !value.is_empty() && !is_one_reference(word);
            (is_literal && !is_the_reference_itself).then(|| text.len() - value.len())
        });
    values.min()
}

/// Whether `text` is `${…}` and nothing else, or nothing at all.
fn is_one_reference(text: &str) -> bool {
    text.is_empty() || text.starts_with("${") && text.find('}') == Some(text.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_seen_wherever_it_stands_and_a_reference_is_none() {
        for (line, shown) in [
            ("url: postgres://u:pw@h/db", "url: postgres://u:"),
            ("url: postgres://u:p/w@h/db", "url: postgres://u:"),
            ("url: postgres://u:p@w?x@h/db", "url: postgres://u:"),
            (
                "url: postgres://${secret:U}:pw@h/db",
                "url: postgres://${secret:U}:",
            ),
            ("url: postgres://u:${secret:P}x@h/db", "url: postgres://u:"),
            (
                "url: postgres://h/db?password=x",
                "url: postgres://h/db?password=",
            ),
            ("dsn: host=h PASSWORD=x", "dsn: host=h PASSWORD="),
            ("password: hunter2", "password: "),
            ("\"password\" : 'hunter2'", "\"password\" : "),
            ("client_secret: abc", "client_secret: "),
            ("private_key: \"-----BEGIN …\"", "private_key: "),
        ] {
            assert_eq!(literal_start(line).map(|at| &line[..at]), Some(shown));
        }
        for line in [
            "url: postgres://u:${secret:P}@h/db",
            "url: postgres://${secret:U}:${secret:P}@h/db",
            "url: postgres://${secret:U}@h/db",
            "url: postgres://u@h:5432/db",
            "url: postgres://u:@h:5432/db",
            "url: postgres://h:5432/db",
            "url: \"${secret:CRM_READ_URL}\"",
            "url: \"postgres://h/db?password=${secret:P}&sslmode=require\"",
            "password: ${secret:P}",
            "private_key: \"${secret:P}\", certificate: a",
            "password: \"${secret:P}\"",
            "detect: [secrets, personal]",
            "principals: [\"user:ada@example.com\"]",
        ] {
            assert_eq!(literal_start(line), None, "{line}");
        }
    }
}
