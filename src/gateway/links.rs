//! Where an answer's body says to go on: `nextLink`, which clients follow to the letter. It names the API's own host, to which
//! its caller has no way and should send no token, so it is told as the caller reaches it: through the gateway.

use url::Url;

/// The most of a link that is kept back while it comes, in bytes; a longer one stays as it is.
const LONGEST: usize = 16 << 10;
/// What stands before a link: `"nextLink"` and `"@odata.nextLink"`, by Microsoft's guidelines for REST APIs.
const NAME: &[u8] = b"nextLink\"";

/// The url of a connection's API.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiUrl(Url);

impl ApiUrl {
    /// An API at this url.
    pub fn new(url: Url) -> Self {
        Self(url)
    }

    /// Path and query, below this url, of an address that the API named when it was called at `called`; `None`: it leads
    /// elsewhere.
    pub fn below(&self, called: &Url, address: &str) -> Option<String> {
        let target = called.join(address).ok()?;
        if target.origin() != self.0.origin() || !target.username().is_empty() {
            return None;
        }
        let base = self.0.path().trim_end_matches('/');
        let path = target.path().strip_prefix(base)?;
        if !path.starts_with('/') && !path.is_empty() {
            return None;
        }
        let query = target
            .query()
            .map_or(String::new(), |query| format!("?{query}"));
        let slash = if path.is_empty() { "/" } else { "" };
        Some(format!("{slash}{path}{query}"))
    }
}

/// Turns the links of one JSON body while it comes.
pub(super) struct Links {
    api: ApiUrl,
    /// Where the caller reaches the API, without a slash at its end.
    address: String,
    at: At,
    /// The link that is coming.
    link: Vec<u8>,
}

/// What was read last.
#[derive(Clone, Copy)]
enum At {
    /// So many bytes of [`NAME`].
    Name(usize),
    /// All of it, and perhaps blanks and a colon.
    Named { colon: bool },
    /// A part of the link, with a backslash last or not.
    Link { escaped: bool },
}

impl Links {
    pub(super) fn new(api: ApiUrl, address: String) -> Self {
        Self {
            api,
            address,
            at: At::Name(0),
            link: Vec::new(),
        }
    }

    /// Takes what came next, and adds to `out` what can be told of it.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            // Most of a body is nowhere near a name.
            if matches!(self.at, At::Name(0)) {
                let plain = memchr::memchr(NAME[0], rest).unwrap_or(rest.len());
                out.extend_from_slice(&rest[..plain]);
                rest = &rest[plain..];
            }
            if let Some((&byte, after)) = rest.split_first() {
                self.take(byte, out);
                rest = after;
            }
        }
    }

    /// Adds to `out` what was kept back of a link that never ended.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.link);
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        let again = |byte| At::Name(usize::from(byte == NAME[0]));
        self.at = match self.at {
            At::Name(matched) if byte == NAME[matched] => {
                out.push(byte);
                match matched + 1 {
                    all if all == NAME.len() => At::Named { colon: false },
                    some => At::Name(some),
                }
            }
            // The one place where a part of the name is its beginning: its last `n`.
            At::Name(7) if byte == NAME[1] => {
                out.push(byte);
                At::Name(2)
            }
            At::Name(_) => {
                out.push(byte);
                again(byte)
            }
            At::Named { colon: true } if byte == b'"' => {
                out.push(byte);
                At::Link { escaped: false }
            }
            At::Named { colon } => {
                out.push(byte);
                match byte {
                    b' ' | b'\t' | b'\r' | b'\n' => At::Named { colon },
                    b':' if !colon => At::Named { colon: true },
                    _ => again(byte),
                }
            }
            At::Link { escaped: false } if byte == b'"' => {
                match self.turned() {
                    Some(turned) => out.extend_from_slice(turned.as_bytes()),
                    None => out.extend_from_slice(&self.link),
                }
                self.link.clear();
                out.push(byte);
                At::Name(0)
            }
            At::Link { .. } if self.link.len() == LONGEST => {
                out.append(&mut self.link);
                out.push(byte);
                again(byte)
            }
            At::Link { escaped } => {
                self.link.push(byte);
                At::Link {
                    escaped: !escaped && byte == b'\\',
                }
            }
        };
    }

    /// The link as its caller can follow it, without quotes; `None`: it leads elsewhere.
    fn turned(&self) -> Option<String> {
        let quoted = [b"\"", &*self.link, b"\""].concat();
        let link: String = serde_json::from_slice(&quoted).ok()?;
        // Only a whole address: what a client makes of a part of one is its own affair.
        Url::parse(&link).ok()?;
        let path = self.api.below(&self.api.0, &link)?;
        let told = serde_json::to_string(&format!("{}{path}", self.address)).ok()?;
        Some(told.trim_matches('"').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GATE: &str = "https://gate/v1/connections/arm/http";

    fn turned(body: &str, at: &[usize]) -> String {
        let api = ApiUrl::new(Url::parse("https://management.azure.com/").unwrap());
        let mut links = Links::new(api, GATE.into());
        let (mut out, mut rest) = (Vec::new(), body.as_bytes());
        for at in at {
            let (piece, after) = rest.split_at((*at).min(rest.len()));
            links.push(piece, &mut out);
            rest = after;
        }
        links.push(rest, &mut out);
        links.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    const BODIES: &[(&str, &str)] = &[
        (
            r#"{"value":[],"nextLink":"https://management.azure.com/subscriptions?a=1&$skiptoken=x"}"#,
            r#"{"value":[],"nextLink":"https://gate/v1/connections/arm/http/subscriptions?a=1&$skiptoken=x"}"#,
        ),
        (
            r#"{"@odata.nextLink" : "https:\/\/MANAGEMENT.azure.com:443\/x", "y": 1}"#,
            r#"{"@odata.nextLink" : "https://gate/v1/connections/arm/http/x", "y": 1}"#,
        ),
        (
            r#"{"nextLinext": 1, "nextLinnextLink":"https://management.azure.com"}"#,
            r#"{"nextLinext": 1, "nextLinnextLink":"https://gate/v1/connections/arm/http/"}"#,
        ),
        (r#"{"nextLink": null}"#, r#"{"nextLink": null}"#),
        (r#"{"nextLink": "/x"}"#, r#"{"nextLink": "/x"}"#),
        (
            r#"{"nextLink":"https://management.azure.com.evil/x"}"#,
            r#"{"nextLink":"https://management.azure.com.evil/x"}"#,
        ),
        (
            r#"{"nextLink":"http://management.azure.com/x"}"#,
            r#"{"nextLink":"http://management.azure.com/x"}"#,
        ),
        (
            r#"{"id":"https://management.azure.com/x","nextLink""#,
            r#"{"id":"https://management.azure.com/x","nextLink""#,
        ),
        (
            r#"{"nextLink":"https://management.azure.com/brea"#,
            r#"{"nextLink":"https://management.azure.com/brea"#,
        ),
    ];

    proptest! {
        #[test]
        fn links_to_the_own_api_and_no_others_are_turned_however_the_body_comes(
            at in prop::collection::vec(0_usize..40, 0..12)
        ) {
            for (body, expected) in BODIES {
                prop_assert_eq!(&turned(body, &at), expected);
            }
        }

        #[test]
        fn a_body_without_a_link_stays_as_it_is(
            body in "(nextLink|\"|:|n|e|next|https://management.azure.com/| |\\\\|x){0,12}",
            at in prop::collection::vec(0_usize..9, 0..12)
        ) {
            prop_assume!(!body.contains("nextLink\""));
            prop_assert_eq!(turned(&body, &at), body);
        }
    }

    #[test]
    fn a_link_without_end_is_not_kept_back_without_end() {
        let body = format!("{{\"nextLink\":\"{}", "x".repeat(3 * LONGEST));
        assert_eq!(turned(&body, &[]), body);
    }
}
