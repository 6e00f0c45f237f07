//! The envelope of a token: the header's three dots and nothing of what it claims.
//!
//! Strict where JOSE is generous: two algorithms, no critical extensions, no nested tokens, no keys or key addresses
//! from the token itself. What is read here before the signature is checked decides only where to look for the key.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::Validation;
use serde_json::{Map, Value};

use super::{error::AuthError, keys::VerifyingKey};

/// Longer than any sane token, short enough that hashing and parsing it costs nothing.
pub(super) const MAX_TOKEN_BYTES: usize = 16 * 1024;
const MAX_KEY_ID_BYTES: usize = 256;

/// The two ways of signing that are taken. A shared secret or `none` cannot be expressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }

    fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
        }
    }
}

/// What the header says the token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// `at+jwt` (RFC 9068): an access token by its own declaration.
    AccessToken,
    /// `JWT` or nothing: the claims must show it.
    Unsaid,
}

/// The token of an `Authorization` header.
pub(super) fn bearer(authorization: Option<&str>) -> Result<&str, AuthError> {
    let (scheme, token) = authorization
        .and_then(|header| header.trim().split_once(' '))
        .ok_or(AuthError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Missing);
    }
    let token = token.trim_start_matches(' ');
    if token.len() > MAX_TOKEN_BYTES {
        return Err(AuthError::malformed("it is longer than 16 KiB"));
    }
    let jws_alphabet =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if token.is_empty() || !token.bytes().all(jws_alphabet) {
        return Err(AuthError::malformed("it is not a JWT"));
    }
    Ok(token)
}

/// A token as presented: nothing in it is believed yet.
pub(super) struct Presented<'a> {
    token: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) key_id: String,
    pub(super) typed: Typed,
    /// Unverified: good for choosing whose keys to try.
    pub(super) issuer: String,
}

impl<'a> Presented<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, AuthError> {
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(_signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthError::malformed("it is not a JWT of three parts"));
        };
        let header = object(header, "its header is not a JSON object")?;
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(AuthError::malformed(format!("header `{name}` is not text"))),
        };
        let algorithm = text("alg")?
            .and_then(Algorithm::named)
            .ok_or(AuthError::UnsupportedAlgorithm)?;
        if header.contains_key("crit") {
            return Err(AuthError::malformed(
                "its header demands an extension (`crit`) that this gateway does not know",
            ));
        }
        if header.contains_key("cty") || header.contains_key("zip") {
            return Err(AuthError::malformed("it is nested or compressed"));
        }
        let typed = match text("typ")? {
            None => Typed::Unsaid,
            Some(typ) => {
                let typ = typ.to_ascii_lowercase();
                match typ.strip_prefix("application/").unwrap_or(&typ) {
                    "jwt" => Typed::Unsaid,
                    "at+jwt" => Typed::AccessToken,
                    _ => return Err(AuthError::malformed("its header type is not JWT or at+jwt")),
                }
            }
        };
        let key_id = text("kid")?
            .filter(|key_id| !key_id.is_empty() && key_id.len() <= MAX_KEY_ID_BYTES)
            .ok_or_else(|| AuthError::malformed("its header names no key (`kid`)"))?
            .to_owned();
        let Some(Value::String(issuer)) =
            object(payload, "its payload is not a JSON object")?.remove("iss")
        else {
            return Err(AuthError::malformed("claim `iss` is missing or not text"));
        };
        Ok(Self {
            token,
            algorithm,
            key_id,
            typed,
            issuer,
        })
    }

    /// The claims, which from here on are the issuer's word.
    pub(super) fn verified_by(&self, key: &VerifyingKey) -> Result<Map<String, Value>, AuthError> {
        if key.algorithm != self.algorithm {
            return Err(AuthError::UnsupportedAlgorithm);
        }
        // Only the signature is left to the library: the claims are judged in `claims`, against this gateway's clock.
        let mut signature_only = Validation::new(self.algorithm.jose());
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        jsonwebtoken::decode(self.token, &key.key, &signature_only)
            .map(|decoded| decoded.claims)
            .map_err(|_| AuthError::BadSignature)
    }
}

fn object(part: &str, otherwise: &'static str) -> Result<Map<String, Value>, AuthError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| AuthError::malformed(otherwise))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_bearer_token_counts_as_a_token() {
        let cases: [(Option<&str>, Option<&str>, &str); 9] = [
            (None, None, "token_missing"),
            (Some(""), None, "token_missing"),
            (Some("Bearer"), None, "token_missing"),
            (Some("Basic YTpi"), None, "token_missing"),
            (Some("Bearer  "), None, "token_missing"),
            (Some("Bearer a.b.c d"), None, "token_malformed"),
            (Some("Bearer a.b.c, Bearer d.e.f"), None, "token_malformed"),
            (Some("Bearer a.b.c"), Some("a.b.c"), ""),
            (Some("bEARER a.b.c"), Some("a.b.c"), ""),
        ];
        for (header, token, code) in cases {
            match bearer(header) {
                Ok(found) => assert_eq!(Some(found), token, "{header:?}"),
                Err(refused) => assert_eq!(refused.code(), code, "{header:?}"),
            }
        }
    }

    #[test]
    fn a_token_longer_than_16_kib_is_refused_before_anything_is_done_with_it() {
        let header = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1));
        assert_eq!(bearer(Some(&header)).unwrap_err().code(), "token_malformed");
        let header = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES));
        assert!(bearer(Some(&header)).is_ok());
    }

    fn header_code(header: &str) -> String {
        let part = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
        let token = format!(
            "{}.{}.AAAA",
            part(header),
            part(r#"{"iss":"https://issuer"}"#)
        );
        match Presented::parse(&token) {
            Ok(_) => "read".to_owned(),
            Err(refused) => refused.code().to_owned(),
        }
    }

    #[test]
    fn a_header_says_how_to_check_the_token_and_may_not_say_more() {
        let table = [
            (r#"{"alg":"RS256","kid":"k"}"#, "read"),
            (r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#, "read"),
            (r#"{"alg":"ES256","kid":"k","typ":"at+jwt"}"#, "read"),
            (
                r#"{"alg":"ES256","kid":"k","typ":"application/at+JWT"}"#,
                "read",
            ),
            (r#"{"alg":"none","kid":"k"}"#, "token_algorithm"),
            (r#"{"alg":"None","kid":"k"}"#, "token_algorithm"),
            (r#"{"alg":"HS256","kid":"k"}"#, "token_algorithm"),
            (r#"{"alg":"PS256","kid":"k"}"#, "token_algorithm"),
            (r#"{"kid":"k"}"#, "token_algorithm"),
            (r#"{"alg":["RS256"],"kid":"k"}"#, "token_malformed"),
            (r#"{"alg":"RS256"}"#, "token_malformed"),
            (r#"{"alg":"RS256","kid":""}"#, "token_malformed"),
            (r#"{"alg":"RS256","kid":7}"#, "token_malformed"),
            (
                r#"{"alg":"RS256","kid":"k","crit":["exp"]}"#,
                "token_malformed",
            ),
            (r#"{"alg":"RS256","kid":"k","crit":[]}"#, "token_malformed"),
            (
                r#"{"alg":"RS256","kid":"k","cty":"JWT"}"#,
                "token_malformed",
            ),
            (
                r#"{"alg":"RS256","kid":"k","typ":"logout+jwt"}"#,
                "token_malformed",
            ),
            (r#"[]"#, "token_malformed"),
        ];
        for (header, code) in table {
            assert_eq!(header_code(header), code, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_refused(header in "(?s)(Bearer )?.{0,200}", json in "[\\[{\\]}\":,a-z0-9]{0,80}") {
            if let Ok(token) = bearer(Some(&header)) {
                let _read = Presented::parse(token);
            }
            let part = BASE64_URL_SAFE_NO_PAD.encode(&json);
            let _read = Presented::parse(&format!("{part}.{part}.{part}"));
        }
    }
}
