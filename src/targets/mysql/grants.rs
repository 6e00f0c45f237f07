//! What an account may do, as `SHOW GRANTS` tells it: the one list in which both servers show everybody his own rights.

use super::{Mysql, own::OwnRow};
use crate::gateway::ports::RunError;

/// One line: this, for that account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) what: Granted,
    /// To whom, as it is written in GRANT: an account, a role, everyone.
    pub(super) to: String,
    /// Whether it may be passed on.
    pub(super) passable: bool,
}

/// What is granted; names as they are written in GRANT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Granted {
    /// Rights, each with its columns, on a place.
    Rights { rights: Vec<String>, on: String },
    /// Acting as another account.
    Proxy(String),
    /// Membership of a role.
    Role(String),
    /// A line in a form not known here.
    Unreadable,
}

impl Mysql {
    /// What this account may do, with the roles it begins with.
    pub(super) async fn grants(&self) -> Result<Vec<Grant>, RunError> {
        Ok(granted(self.ask(&["SHOW GRANTS"]).await?))
    }

    /// What it may do once it has taken `role`, or `NONE`; its own rights included.
    pub(super) async fn grants_as(&self, role: &str) -> Result<Vec<Grant>, RunError> {
        let take = format!("SET ROLE {role}");
        Ok(granted(self.ask_apart(&[&take, "SHOW GRANTS"]).await?))
    }
}

fn granted(answers: Vec<Vec<OwnRow>>) -> Vec<Grant> {
    let lines = answers.iter().flatten();
    let lines = lines.filter_map(|row| row.first()?.as_deref());
    lines.filter_map(grant).collect()
}

/// One line of the list; `None`: it gives nothing.
fn grant(line: &str) -> Option<Grant> {
    // A default role has a line of its own as well; MySQL's partial revokes only take away.
    if line.starts_with("SET ") || line.starts_with("REVOKE ") {
        return None;
    }
    let unreadable = Grant {
        what: Granted::Unreadable,
        to: String::new(),
        passable: false,
    };
    let known = line
        .strip_prefix("GRANT ")
        .and_then(|rest| split(rest, " TO "));
    let Some((what, rest)) = known else {
        return Some(unreadable);
    };
    // What follows may be a password's hash, and is nobody's business.
    let (to, options) = split(rest, " ").unwrap_or((rest, ""));
    let what = match split(what, " ON ") {
        Some(("PROXY", whom)) => Granted::Proxy(whom.to_owned()),
        Some((rights, on)) => Granted::Rights {
            rights: listed(rights).map(str::to_owned).collect(),
            on: on.to_owned(),
        },
        None => Granted::Role(what.to_owned()),
    };
    Some(Grant {
        what,
        to: to.to_owned(),
        passable: options.contains("WITH GRANT OPTION"),
    })
}

/// `text` before and after the first `separator` that is in no quotes and no parentheses.
fn split<'t>(text: &'t str, separator: &str) -> Option<(&'t str, &'t str)> {
    let (mut quote, mut depth) = (None, 0usize);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            // A doubled quote ends one and begins the next.
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '`' | '\'' | '"') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 && text[at..].starts_with(separator) => {
                return Some((&text[..at], &text[at + separator.len()..]));
            }
            (None, _) => {}
        }
    }
    None
}

/// What commas stand between.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (part, after) = match split(text, ",") {
            Some((part, after)) => (part, Some(after)),
            None => (text, None),
        };
        rest = after;
        Some(part.trim())
    })
}

/// The name of a right, without its columns.
pub(super) fn name_of(right: &str) -> &str {
    right.split('(').next().unwrap_or(right).trim()
}

/// Whether a right on the place `on` is one on a table of `database`.
pub(super) fn covers(on: &str, database: &str, table: &str) -> bool {
    match split(on, ".") {
        Some(("*", "*")) => true,
        Some((pattern, "*")) => is_like(&unquoted(pattern), database),
        Some((of, one)) => unquoted(of) == database && unquoted(one) == table,
        None => false,
    }
}

fn unquoted(name: &str) -> String {
    let inner = name
        .strip_prefix('`')
        .and_then(|name| name.strip_suffix('`'));
    inner.map_or_else(|| name.to_owned(), |name| name.replace("``", "`"))
}

/// A database in a grant is a pattern: `_` is any character, `%` any number of them, a backslash takes that away.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut pattern_chars = pattern.chars();
    let mut name_chars = name.chars();
    match pattern_chars.next() {
        None => name.is_empty(),
        Some('%') => {
            let rest = pattern_chars.as_str();
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| is_like(rest, &name[at..]))
        }
        Some('_') => {
            name_chars.next().is_some() && is_like(pattern_chars.as_str(), name_chars.as_str())
        }
        Some(literal) => {
            let literal = match literal {
                '\\' => pattern_chars.next().unwrap_or('\\'),
                other => other,
            };
            name_chars.next() == Some(literal)
                && is_like(pattern_chars.as_str(), name_chars.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(rights: &[&str], on: &str) -> Granted {
        Granted::Rights {
            rights: rights.iter().map(ToString::to_string).collect(),
            on: on.into(),
        }
    }

    #[test]
    fn every_line_both_servers_print_is_read_and_no_hash_is_kept() {
        let reader = "`r`@`%`";
        for (line, what, to, passable) in [
            (
                "GRANT PROCESS, FILE ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*B69027' WITH GRANT OPTION",
                rights(&["PROCESS", "FILE"], "*.*"),
                reader,
                true,
            ),
            (
                "GRANT APPLICATION_PASSWORD_ADMIN,AUDIT_ADMIN ON *.* TO `r`@`%`",
                rights(&["APPLICATION_PASSWORD_ADMIN", "AUDIT_ADMIN"], "*.*"),
                reader,
                false,
            ),
            (
                "GRANT SELECT (`id`, `a)`), INSERT (`id`) ON `sh``op`.` ON ` TO `r`@`%`",
                rights(&["SELECT (`id`, `a)`)", "INSERT (`id`)"], "`sh``op`.` ON `"),
                reader,
                false,
            ),
            (
                "GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `r`@`%`",
                rights(&["EXECUTE"], "PROCEDURE `shop`.`p`"),
                reader,
                false,
            ),
            (
                "GRANT `writers`@`%` TO `r`@`%` WITH ADMIN OPTION",
                Granted::Role("`writers`@`%`".into()),
                reader,
                false,
            ),
            (
                "GRANT PROXY ON 'root'@'localhost' TO 'r'@'%'",
                Granted::Proxy("'root'@'localhost'".into()),
                "'r'@'%'",
                false,
            ),
            ("ALLOW ALL", Granted::Unreadable, "", false),
        ] {
            let to = to.to_owned();
            let expected = Grant { what, to, passable };
            assert_eq!(grant(line), Some(expected), "{line}");
        }
        assert_eq!(grant("REVOKE SELECT ON `mysql`.* FROM `r`@`%`"), None);
        assert_eq!(grant("SET DEFAULT ROLE `writers` FOR `r`@`%`"), None);
    }

    #[test]
    fn a_right_on_a_pattern_of_databases_covers_those_it_is_like() {
        for (on, covered) in [
            ("*.*", true),
            ("`shop`.*", true),
            ("`sh__`.*", true),
            ("`%o%`.*", true),
            (r"`sho\_`.*", false),
            (r"`sho\%`.*", false),
            ("`sho`.*", false),
            ("`shop`.`t.`", true),
            ("`shop`.`u`", false),
            ("PROCEDURE `shop`.`t.`", false),
        ] {
            assert_eq!(covers(on, "shop", "t."), covered, "{on}");
        }
    }
}
