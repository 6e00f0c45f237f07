//! Where a call goes, in one form. Servers disagree about doubled and encoded slashes, dot segments, backslashes and
//! double encoding; what they could read in two ways that matter has no form, and is refused.

/// Why a call has no one form, as a half-sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotCanonical(pub(super) &'static str);

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) is_https: bool,
    /// In lower case, without a port.
    pub(super) host: String,
    /// The host with its port, if there is one.
    pub(super) authority: String,
    /// Decoded, without empty and dot segments.
    pub(super) path: Vec<String>,
    /// Decoded, in order.
    pub(super) query: Vec<(String, String)>,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, NotCanonical> {
        if url
            .bytes()
            .any(|b| b <= b' ' || b >= 0x7f || b == b'\\' || b == b'"' || b == b'<' || b == b'>')
        {
            return Err(NotCanonical(
                "its URL has characters that no URL has, such as a backslash or a blank",
            ));
        }
        let (scheme, rest) = url
            .split_once("://")
            .ok_or(NotCanonical("its URL is not absolute"))?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(NotCanonical("it is neither http nor https")),
        };
        if rest.contains('#') {
            return Err(NotCanonical("its URL has a fragment"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains(['@', '%']) {
            return Err(NotCanonical(
                "its URL names a user, or a host that is encoded",
            ));
        }
        let authority = authority.to_ascii_lowercase();
        let host = host_of(&authority)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(Self {
            is_https,
            host,
            authority,
            path: segments(path)?,
            query: pairs(query)?,
        })
    }

    /// Path and query of a URL that has a form, as RFC 3986 normalises them, and without what the judgement does not see:
    /// empty and dot segments, empty parameters. What is encoded and would mean something else bare stays encoded; a `;`
    /// in the query becomes so, since some servers end a parameter there.
    pub(super) fn canonical(url: &str) -> Result<String, NotCanonical> {
        Self::parse(url)?;
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let rest = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut segments: Vec<String> = Vec::new();
        for raw in path.split('/') {
            let segment = normalised(raw, b"!$&'()*+,=:@");
            match segment.as_str() {
                "" | "." => {}
                ".." => drop(segments.pop()),
                _ => segments.push(segment),
            }
        }
        let mut out = String::with_capacity(rest.len() + 1);
        for segment in &segments {
            out.push('/');
            out.push_str(segment);
        }
        let names_a_folder = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
        if segments.is_empty() || names_a_folder {
            out.push('/');
        }
        let mut mark = '?';
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            out.push(mark);
            out.push_str(&normalised(pair, b"!$()*+,=:@/?"));
            mark = '&';
        }
        Ok(out)
    }

    /// The path's segments.
    pub(super) fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The last segment in lower case.
    pub(super) fn action(&self) -> String {
        self.path
            .last()
            .map(|last| last.to_ascii_lowercase())
            .unwrap_or_default()
    }

    /// The value of a parameter, by its exact name.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// `host/path`, as the object a call is about.
    pub(super) fn name(&self) -> String {
        let mut name = self.authority.clone();
        for segment in &self.path {
            name.push('/');
            name.push_str(segment);
        }
        name
    }

    /// The method that a parameter of the query asks for.
    pub(super) fn override_in_query(&self) -> Vec<String> {
        self.query
            .iter()
            .filter(|(key, _)| is_override(key))
            .map(|(_, value)| value.to_ascii_uppercase())
            .collect()
    }

    pub(super) fn is_metadata_service(&self) -> bool {
        // Another way to write an address is another way past a list of addresses.
        let parts: Vec<&str> = self.host.split('.').collect();
        let is_number = |part: &&str| {
            part.starts_with("0x") || !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
        };
        let is_usual = |part: &&str| *part == "0" || !part.starts_with('0');
        let is_odd_address =
            parts.iter().all(is_number) && !(parts.len() == 4 && parts.iter().all(is_usual));
        matches!(
            self.host.as_str(),
            "169.254.169.254"
                | "169.254.170.2"
                | "metadata.google.internal"
                | "metadata"
                | "100.100.100.200"
                | "168.63.129.16"
                | "[fd00:ec2::254]"
                | "[::ffff:169.254.169.254]"
                | "[::ffff:a9fe:a9fe]"
        ) || self.host.contains("169.254.")
            || is_odd_address
    }

    /// Whether a name of Microsoft's stands in the host where it proves nothing.
    pub(super) fn imitates_microsoft(&self) -> bool {
        let inside = MICROSOFTS.iter().any(|name| {
            self.host
                .contains(&format!("{}.", name.trim_start_matches('.')))
        }) || MICROSOFTS.iter().any(|name| {
            let name = name.trim_start_matches('.');
            self.host.ends_with(name)
                && self.host != name
                && !self.host.ends_with(&format!(".{name}"))
        });
        inside || self.host.contains("xn--") && self.host.contains("azure")
    }
}

/// Names under which only Microsoft's services are.
const MICROSOFTS: &[&str] = &[
    "management.azure.com",
    "graph.microsoft.com",
    "graph.windows.net",
    ".vault.azure.net",
    ".managedhsm.azure.net",
    ".core.windows.net",
    ".documents.azure.com",
    ".servicebus.windows.net",
    ".openai.azure.com",
    ".azconfig.io",
    ".azurecr.io",
    ".database.windows.net",
    ".batch.azure.com",
    ".dev.azuresynapse.net",
    ".api.loganalytics.io",
    "api.loganalytics.azure.com",
    "management.core.windows.net",
    "management.usgovcloudapi.net",
    "management.chinacloudapi.cn",
    ".search.windows.net",
    ".kusto.windows.net",
    "dev.azure.com",
    ".monitor.azure.com",
];
/// Whether an https URL, or a bare host, is one of Microsoft's own management or data APIs.
pub fn is_microsofts(url: &str) -> bool {
    let url = if url.contains("://") {
        url.to_owned()
    } else {
        format!("https://{url}")
    };
    let Ok(target) = Target::parse(&url) else {
        return false;
    };
    target.is_https
        && target.authority == target.host
        && MICROSOFTS.iter().any(|name| {
            target.host == *name || name.starts_with('.') && target.host.ends_with(name)
        })
}

fn host_of(authority: &str) -> Result<String, NotCanonical> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest
                .split_once(']')
                .ok_or(NotCanonical("its host is malformed"))?;
            (format!("[{host}]"), port)
        }
        None => match authority.find(':') {
            Some(at) => (authority[..at].to_owned(), &authority[at..]),
            None => (authority.to_owned(), ""),
        },
    };
    let port_is_right = port.is_empty()
        || port.len() > 1 && port.starts_with(':') && port[1..].bytes().all(|b| b.is_ascii_digit());
    let host = host.strip_suffix('.').map(str::to_owned).unwrap_or(host);
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b))
        && !host.contains("..");
    if !port_is_right || !is_host {
        return Err(NotCanonical("its host is malformed"));
    }
    Ok(host)
}

fn segments(path: &str) -> Result<Vec<String>, NotCanonical> {
    let mut segments: Vec<String> = Vec::new();
    for raw in path.split('/') {
        if raw.contains(';') {
            return Err(NotCanonical(
                "a segment of its path has parameters, which some servers drop",
            ));
        }
        let segment = decoded(raw, false)?;
        match segment.as_str() {
            "" | "." => {}
            ".." => {
                segments
                    .pop()
                    .ok_or(NotCanonical("its path leads above the root"))?;
            }
            _ => segments.push(segment),
        }
    }
    Ok(segments)
}

/// RFC 3986, 6.2.2: what needs no encoding has none, what has one has it in upper case, and what is neither unreserved nor
/// one of `bare` is encoded.
fn normalised(text: &str, bare: &[u8]) -> String {
    use std::fmt::Write;
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let encoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match encoded {
            Some(encoded) if unreserved(encoded) => out.push(char::from(encoded)),
            Some(encoded) => drop(write!(out, "%{encoded:02X}")),
            None if unreserved(byte) || bare.contains(&byte) => out.push(char::from(byte)),
            None => drop(write!(out, "%{byte:02X}")),
        }
        at += if encoded.is_some() { 3 } else { 1 };
    }
    out
}

/// Decodes `%41`. What decodes to a separator, or to another encoding, has no one form in a path.
fn decoded(text: &str, plus_is_blank: bool) -> Result<String, NotCanonical> {
    if !text.contains(['%', '+']) {
        return Ok(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte != b'%' {
            out.push(if plus_is_blank && byte == b'+' {
                b' '
            } else {
                byte
            });
            at += 1;
            continue;
        }
        let hex = text
            .get(at + 1..at + 3)
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = hex
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .ok_or(NotCanonical("an encoded character is malformed"))?;
        if value == 0
            || !plus_is_blank
                && matches!(
                    value,
                    b'/' | b'\\' | b'%' | b';' | b'?' | b'#' | 0x01..=0x1f | 0x7f
                )
        {
            return Err(NotCanonical(
                "its path has an encoded separator, which servers decode at different times",
            ));
        }
        out.push(value);
        at += 3;
    }
    String::from_utf8(out).map_err(|_| NotCanonical("its URL is not UTF-8"))
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, NotCanonical> {
    let mut found: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name, true)?, decoded(value, true)?);
        let again = found.iter().any(|(known, other)| {
            known.eq_ignore_ascii_case(&name) && (known != &name || other != &value)
        });
        if again && !is_list(&name) {
            return Err(NotCanonical(
                "a parameter comes twice, and servers take the first or the last",
            ));
        }
        found.push((name, value));
    }
    Ok(found)
}

/// Parameters that are a list wherever they are known.
fn is_list(name: &str) -> bool {
    matches!(name, "command" | "fieldManager") || name.ends_with("[]")
}

fn is_override(name: &str) -> bool {
    matches!(
        name.to_ascii_lowercase().as_str(),
        "_method"
            | "x-http-method-override"
            | "x-http-method"
            | "x-method-override"
            | "$method"
            | "http_method"
    )
}

/// The method that a form asks for.
pub(super) fn override_in(form: &str) -> Result<Vec<String>, NotCanonical> {
    Ok(pairs(form)?
        .into_iter()
        .filter(|(name, _)| is_override(name))
        .map(|(_, value)| value.to_ascii_uppercase())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_form_or_none() {
        let urls = [
            "https://h/a/b?x=1",
            "HTTPS://H:443//a/./b/../c/",
            "https://h/%61%2e%2e/%2e%2e/b",
            "https://h/a%2fb",
            "https://h/a%252fb",
            "https://h/a\\b",
            "https://h/a;v=1/b",
            "https://h/../a",
            "https://h@evil/a",
            "https://h/a#b",
            "https://h/a?x=1&x=2",
            "https://h/a?x=1&X=1",
            "https://h/a?x=1&x=1",
            "https://h/a?a%20b=c+d%2fe",
            "https://h:x/a",
            "https:///a",
            "//h/a",
            "ftp://h/a",
            "https://h/%ff",
            "https://h/%zz",
            "https://[::1]:8/a",
            "https://h./a",
        ];
        let table: String = urls
            .iter()
            .map(|url| match Target::parse(url) {
                Ok(target) => format!(
                    "{url}\n    {} {:?} {:?}\n",
                    target.host, target.path, target.query
                ),
                Err(NotCanonical(why)) => format!("{url}\n    refused: {why}\n"),
            })
            .collect();
        insta::assert_snapshot!(table);
    }

    #[test]
    fn only_microsofts_own_hosts_are_taken_for_them() {
        for (url, expected) in [
            ("https://management.azure.com/x", true),
            ("https://graph.microsoft.com/v1.0/me", true),
            ("https://a.vault.azure.net", true),
            ("https://management.azure.com@evil.example/x", false),
            ("https://management.azure.com.evil.example/x", false),
            ("https://evilmanagement.azure.com/x", false),
            ("http://management.azure.com/x", false),
            ("https://management.azure.com:8443/x", false),
            ("https://evil.azurewebsites.net/x", false),
        ] {
            assert_eq!(is_microsofts(url), expected, "{url}");
        }
    }
}
