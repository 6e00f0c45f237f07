//! What of a kept definition is its query: servers keep the text with which a view was made, as it was written.

use crate::domain::classify::Dialect;

/// All that follows the first `keyword` outside of parentheses, names, texts and comments. `None`: there is none, or nobody
/// can say where it is.
pub(super) fn behind<'t>(dialect: Dialect, text: &'t str, keyword: &str) -> Option<&'t str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut depth = 0usize;
    let mut word = None;
    while at < bytes.len() {
        let rest = &text[at..];
        if let Some(from) = word
            && !is_in_word(bytes[at])
        {
            if depth == 0 && text[from..at].eq_ignore_ascii_case(keyword) {
                return Some(rest.trim().trim_end_matches(';'));
            }
            word = None;
        }
        at += match bytes[at] {
            b'-' if rest.starts_with("--") => line_comment(dialect, rest)?,
            b'/' if rest.starts_with("/*") => comment(dialect, rest)?,
            // A doubled quote is the end of one text and the beginning of the next.
            quote @ (b'\'' | b'"') => 2 + rest[1..].find(char::from(quote))?,
            b'`' if dialect == Dialect::Sqlite => 2 + rest[1..].find('`')?,
            b'[' => bracketed(dialect, rest)?,
            b'(' => {
                depth += 1;
                1
            }
            b')' => {
                depth = depth.saturating_sub(1);
                1
            }
            byte => {
                if word.is_none() && is_in_word(byte) {
                    word = Some(at);
                }
                rest.chars().next().map_or(1, char::len_utf8)
            }
        };
    }
    None
}

fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'@' | b'#') || !byte.is_ascii()
}

fn line_comment(dialect: Dialect, rest: &str) -> Option<usize> {
    let end = rest.find('\n').unwrap_or(rest.len());
    // Whether a line ends there is not told anywhere.
    let torn = rest[..end].trim_end_matches('\r').contains('\r');
    (dialect == Dialect::Sqlite || !torn).then_some(end)
}

fn comment(dialect: Dialect, rest: &str) -> Option<usize> {
    if dialect == Dialect::Sqlite {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let next = &rest[at..];
        let (open, close) = (next.find("/*"), next.find("*/")?);
        match open {
            Some(open) if open < close => {
                depth += 1;
                at += open + 2;
            }
            _ => {
                depth -= 1;
                at += close + 2;
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// In T-SQL a doubled bracket stands for one.
fn bracketed(dialect: Dialect, rest: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        at += rest[at..].find(']')? + 1;
        if dialect == Dialect::Sqlite || !rest[at..].starts_with(']') {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_view_selects_follows_the_first_as_that_is_one() {
        for (text, select) in [
            ("CREATE VIEW v AS SELECT 1", Some("SELECT 1")),
            (
                "CREATE VIEW [v as x](as_, \"b as c\") as\nSELECT a AS b FROM t;",
                Some("SELECT a AS b FROM t"),
            ),
            (
                "CREATE VIEW v /* AS SELECT 1 */ -- AS SELECT 2\n AS/**/SELECT 3",
                Some("/**/SELECT 3"),
            ),
            ("CREATE VIEW 'a''s AS ' AS VALUES (5)", Some("VALUES (5)")),
            ("CREATE VIEW basé AS SELECT 6", Some("SELECT 6")),
            ("CREATE VIEW v", None),
            ("CREATE VIEW \"v AS SELECT 7", None),
        ] {
            for dialect in [Dialect::Sqlite, Dialect::Mssql] {
                assert_eq!(behind(dialect, text, "as"), select, "{dialect:?}: {text}");
            }
        }
    }

    #[test]
    fn each_server_has_its_own_comments_and_quotes() {
        for (text, sqlite, mssql) in [
            (
                "VIEW `it``s as`AS(SELECT 4)",
                Some("(SELECT 4)"),
                Some("`AS(SELECT 4)"),
            ),
            (
                "VIEW [a]] as b] AS SELECT 5",
                Some("b] AS SELECT 5"),
                Some("SELECT 5"),
            ),
            (
                "VIEW v /* /* */ AS SELECT 6 */ AS SELECT 7",
                Some("SELECT 6 */ AS SELECT 7"),
                Some("SELECT 7"),
            ),
            (
                "VIEW v -- \r AS SELECT 8\n AS SELECT 9",
                Some("SELECT 9"),
                None,
            ),
            ("VIEW v /* AS SELECT 1", None, None),
            ("VIEW v@as AS SELECT 2", Some("SELECT 2"), Some("SELECT 2")),
        ] {
            assert_eq!(behind(Dialect::Sqlite, text, "as"), sqlite, "{text}");
            assert_eq!(behind(Dialect::Mssql, text, "as"), mssql, "{text}");
        }
    }
}
