//! Names of the things on record.
//!
//! A request id contains its session's, and an approval id its request's: whoever holds one finds the stream it
//! belongs to without an index, on any instance and in any store.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sixteen bytes no one can guess, made at the edge and passed in.
pub type Entropy = [u8; 16];

const SESSION_HEX: usize = 32;
const REQUEST_HEX: usize = SESSION_HEX + 16;

/// Text that is not an id of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no {kind} id; one looks like `{prefix}_` and {digits} lowercase hexadecimal digits"
)]
pub struct BadId {
    text: String,
    kind: &'static str,
    prefix: &'static str,
    digits: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal, $digits:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The id as it is written everywhere, prefix included.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            fn hex(&self) -> &str {
                &self.0[$prefix.len() + 1..]
            }

            fn from_hex(hex: &str) -> Self {
                Self(format!("{}_{hex}", $prefix).into())
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let hex = text.strip_prefix(concat!($prefix, "_")).unwrap_or("");
                let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                if hex.len() == $digits && hex.bytes().all(is_hex) {
                    Ok(Self(text.into()))
                } else {
                    let text = text.chars().take(80).collect();
                    Err(BadId { text, kind: $kind, prefix: $prefix, digits: $digits })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// One append-only stream: `ses_` and 32 hexadecimal digits.
    SessionId, "session", "ses", SESSION_HEX
);
id!(
    /// One operation inside a session: `req_`, the session's 32 digits and 16 of its own.
    RequestId, "request", "req", REQUEST_HEX
);
id!(
    /// What a human is asked about one request: `apr_` and the request's digits.
    ApprovalId, "approval", "apr", REQUEST_HEX
);

impl SessionId {
    /// A session named by fresh entropy, or by a digest when a repeated call must find the same one.
    pub fn new(entropy: Entropy) -> Self {
        Self::from_hex(&hex(&entropy))
    }
}

impl RequestId {
    /// A request inside `session`.
    pub fn new(session: &SessionId, entropy: Entropy) -> Self {
        Self::from_hex(&format!(
            "{}{}",
            session.hex(),
            &hex(&entropy)[..REQUEST_HEX - SESSION_HEX]
        ))
    }

    /// The session this request belongs to.
    pub fn session(&self) -> SessionId {
        SessionId::from_hex(&self.hex()[..SESSION_HEX])
    }

    /// The one approval this request can have.
    pub fn approval(&self) -> ApprovalId {
        ApprovalId::from_hex(self.hex())
    }
}

impl ApprovalId {
    /// The request this approval is for.
    pub fn request(&self) -> RequestId {
        RequestId::from_hex(self.hex())
    }
}

/// Lowercase hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_leads_to_its_request_and_session() {
        let session = SessionId::new([7; 16]);
        let request = RequestId::new(&session, [9; 16]);
        assert_eq!(request.approval().request(), request);
        assert_eq!(request.session(), session);
        assert_eq!(request.as_str().parse::<RequestId>().unwrap(), request);
    }

    #[test]
    fn text_of_another_shape_is_no_id() {
        for text in [
            "",
            "req_",
            "ses_00",
            "req_zz",
            "ses_0000000000000000000000000000000G",
            "é",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
            assert!(text.parse::<RequestId>().is_err(), "{text}");
        }
    }
}
