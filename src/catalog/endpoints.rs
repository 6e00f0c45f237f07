//! Addresses with their secrets filled in.
//!
//! INVARIANT: no address is ever printed: none of these types shows what it holds.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use percent_encoding::{percent_decode_str, utf8_percent_encode};
use url::Url;

use super::Secrets;
use crate::domain::{
    connection::{Access, ConnectionKind, ConnectionName, RESERVED},
    policy::{Endpoint, Policy},
};

/// Where every connection leads.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Endpoints(BTreeMap<ConnectionName, Resolved>);

#[derive(Clone, PartialEq, Eq)]
struct Resolved {
    read: Endpoint,
    write: Option<Endpoint>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoints({} connections)", self.0.len())
    }
}

impl Endpoints {
    /// Where `connection` leads with this credential; `None`: it has none of the kind.
    pub fn get(&self, connection: &ConnectionName, access: Access) -> Option<&Endpoint> {
        let resolved = self.0.get(connection)?;
        match access {
            Access::Read => Some(&resolved.read),
            Access::Write => resolved.write.as_ref(),
        }
    }

    /// Fills in every secret the policy names, or says which cannot be. With it comes what nobody may see of them.
    pub(super) fn resolve(
        policy: &Policy,
        secrets: &Secrets,
    ) -> Result<(Self, BTreeSet<String>), MissingSecrets> {
        let mut missing = Vec::new();
        let known = RefCell::new(BTreeSet::new());
        let secrets = &|name: &str| {
            let secret = secret(name, secrets)?;
            known.borrow_mut().extend(password(&secret));
            known.borrow_mut().insert(secret.clone());
            Ok(secret)
        };
        let mut endpoints = BTreeMap::new();
        for (name, rules) in &policy.connections {
            let mut fill = |setting: &str, endpoint: &Endpoint| {
                let filled = endpoint.try_map(|part, text| {
                    let filled = match part {
                        "url" => filled(text, percent_encoded, secrets)
                            .and_then(|url| fits(rules.kind, url)),
                        _ => filled(text, str::to_owned, secrets),
                    };
                    filled.map_err(|why| {
                        missing.push(format!("`connections.{name}.{setting}.{part}`: {why}"));
                    })
                });
                filled.ok()
            };
            let read = fill("read", &rules.read);
            let write = rules.write.as_ref().and_then(|write| fill("write", write));
            if let Some(read) = read {
                endpoints.insert(name.clone(), Resolved { read, write });
            }
        }
        if missing.is_empty() {
            Ok((Self(endpoints), known.take()))
        } else {
            Err(MissingSecrets(missing))
        }
    }
}

/// Secrets a policy names and nobody has set, each with the setting that names it and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct MissingSecrets(Vec<String>);

/// The text with every `${secret:NAME}` replaced. A secret that is only a part of it goes through `part` first.
fn filled(
    template: &str,
    part: impl Fn(&str) -> String,
    secret: &impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    const OPENING: &str = "${secret:";
    let mut address = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(OPENING) {
        address.push_str(&rest[..at]);
        let inside = &rest[at + OPENING.len()..];
        let end = inside.find('}').unwrap_or(inside.len());
        let secret = secret(&inside[..end])?;
        rest = inside.get(end + 1..).unwrap_or("");
        if address.is_empty() && rest.is_empty() {
            return Ok(secret);
        }
        address.push_str(&part(&secret));
    }
    address.push_str(rest);
    Ok(address)
}

/// The password in an address that is a secret as a whole.
fn password(secret: &str) -> Option<String> {
    let address = Url::parse(secret).ok()?;
    let decoded = percent_decode_str(address.password()?).decode_utf8();
    decoded.ok().map(Cow::into_owned)
}

fn secret(name: &str, secrets: &Secrets) -> Result<String, String> {
    const KEY_VAULT: &str = "@Microsoft.KeyVault(";
    match secrets(name)? {
        Some(value) if value.starts_with(KEY_VAULT) => Err(format!(
            "the setting {name} is a Key Vault reference that was not resolved; check that the app's identity may read \
             the secret and that it exists"
        )),
        Some(value) if !value.trim().is_empty() => Ok(value.trim_end_matches(['\r', '\n']).into()),
        Some(_) => Err(format!(
            "the environment variable {name} is empty; give it a value"
        )),
        None => Err(format!(
            "there is no secret {name}; set the environment variable {name}, on Azure Functions as an application \
             setting or a Key Vault reference, or set PORTCULLIS_KEY_VAULT to a vault that has the secret {}",
            name.replace('_', "-")
        )),
    }
}

/// What the policy's own text was checked for cannot be seen of a secret that holds all of an address.
fn fits(kind: ConnectionKind, url: String) -> Result<String, String> {
    let (schemes, what): (&[&str], _) = match kind {
        ConnectionKind::Postgres => (&["postgres://", "postgresql://"], "postgres://…"),
        ConnectionKind::Mysql => (&["mysql://", "mariadb://"], "mysql://…"),
        ConnectionKind::Sqlite => (&["sqlite:"], "sqlite:PATH"),
        ConnectionKind::Mssql => (&["mssql://", "sqlserver://"], "mssql://…"),
        ConnectionKind::Http => (&["https://", "http://"], "https://…"),
        // It has no address: the policy was checked for that.
        ConnectionKind::Command => (&[], "none"),
    };
    if schemes.iter().any(|scheme| url.starts_with(scheme)) {
        Ok(url)
    } else {
        Err(format!(
            "with its secret filled in this is not an address like {what}; check the secret's value"
        ))
    }
}

/// Text as a part of an address, so that no character in a password can move the address elsewhere.
fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled_with(template: &str, value: &'static str) -> Result<String, String> {
        let secrets: Secrets = Box::new(move |name| Ok((name == "P").then(|| value.into())));
        filled(template, percent_encoded, &|name| secret(name, &secrets))
    }

    #[test]
    fn no_character_of_a_password_can_move_its_address_elsewhere() {
        let template = "postgres://crm:${secret:P}@db/crm";
        assert_eq!(
            filled_with(template, "p@evil.example/x?y#z:ü").unwrap(),
            "postgres://crm:p%40evil.example%2Fx%3Fy%23z%3A%C3%BC@db/crm"
        );
        assert_eq!(
            filled_with("${secret:P}", "postgres://a:b@c/d\n").unwrap(),
            "postgres://a:b@c/d"
        );
    }

    #[test]
    fn a_secret_that_is_not_there_is_told_with_its_setting_and_never_shows_another() {
        for (value, told) in [
            ("  ", "is empty"),
            (
                "@Microsoft.KeyVault(SecretUri=https://v/s)",
                "was not resolved",
            ),
        ] {
            assert!(
                filled_with("${secret:P}", value)
                    .unwrap_err()
                    .contains(told)
            );
        }
        let missing = filled_with("${secret:Q}", "hunter2").unwrap_err();
        assert!(missing.contains("no secret Q"), "{missing}");
        let wrong = fits(ConnectionKind::Postgres, "hunter2".into()).unwrap_err();
        assert!(!wrong.contains("hunter2"), "{wrong}");
        let shown = format!("{:?}", Endpoint::url("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
