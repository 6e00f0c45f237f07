//! What users have made in a SQLite file, for the judgement of statements that name it.
//!
//! There are no functions of users' own here, and an expression in the schema may call none that do anything: of tables
//! their columns and triggers are read, of views what they select.

use std::{sync::Arc, time::Duration};

use rusqlite::{
    Connection,
    hooks::{AuthContext, Authorization},
};

use super::{Sqlite, unopened, words_of};
use crate::{
    domain::{
        classify::server::{Relation, RelationColumn, ServerCatalog, ServerName},
        connection::Budget,
    },
    gateway::ports::RunError,
};

/// The one schema there is: other files cannot be attached.
const MAIN: &str = "main";

impl Sqlite {
    /// Everything users have made there.
    pub(in crate::targets) async fn catalog(self: Arc<Self>) -> Result<ServerCatalog, RunError> {
        let _slot = self.slot().await?;
        let endpoint = Arc::clone(&self);
        let read = tokio::task::spawn_blocking(move || {
            let budget = Budget {
                timeout: Duration::from_secs(5),
                ..Budget::default()
            };
            let opened = endpoint.handle(&budget);
            let connection = opened.map_err(|error| RunError::Unreachable(unopened(&error)))?;
            loaded(connection).map_err(|error| RunError::Refused {
                code: None,
                message: words_of(&error),
                second_wall: false,
                unread: false,
            })
        });
        read.await.map_err(|_| RunError::Refused {
            code: None,
            message: "reading it failed inside the gateway".into(),
            second_wall: false,
            unread: false,
        })?
    }
}

fn loaded(mut connection: Connection) -> rusqlite::Result<ServerCatalog> {
    // What follows is the gateway's own, on a handle that only it uses.
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    // One snapshot for all of it.
    let connection = connection.unchecked_transaction()?;
    let mut catalog = ServerCatalog {
        search_path: vec![MAIN.into()],
        ..ServerCatalog::default()
    };
    let mut tables: Vec<(String, String)> = Vec::new();
    connection.pragma_query(None, "table_list", |row| {
        let (schema, name): (String, String) = (row.get("schema")?, row.get("name")?);
        if schema == MAIN && !name.starts_with("sqlite_") {
            tables.push((name, row.get("type")?));
        }
        Ok(())
    })?;
    for (name, kind) in tables {
        let mut columns = Vec::new();
        let mut on_write = Vec::new();
        // A view that reads what is no longer there, a virtual table whose module is not: nobody can read them either.
        let described = connection.pragma(Some(MAIN), "table_xinfo", &name, |row| {
            columns.push(RelationColumn {
                name: row.get("name")?,
                type_name: ServerName {
                    schema: String::new(),
                    name: row.get::<_, String>("type")?.to_lowercase(),
                },
            });
            on_write.extend(row.get::<_, Option<String>>("dflt_value")?);
            Ok(())
        });
        let relation = Relation {
            columns,
            opaque: kind == "virtual" || kind == "view" || described.is_err(),
            on_write,
            ..Relation::default()
        };
        let schema = MAIN.into();
        catalog
            .relations
            .insert(ServerName { schema, name }, relation);
    }
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type IN ('view', 'trigger')",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = ServerName {
            schema: MAIN.into(),
            name: row.get(2)?,
        };
        let Some(relation) = catalog.relations.get_mut(&name) else {
            continue;
        };
        if row.get::<_, String>(0)? == "trigger" {
            relation.triggers.push(row.get(1)?);
        } else if let Some(definition) = selected(&row.get::<_, String>(3)?)
            && !relation.columns.is_empty()
        {
            relation.definition = Some(definition.to_owned());
            relation.opaque = false;
        }
    }
    drop(rows);
    drop(statement);
    Ok(catalog)
}

/// What a view selects: of its text, which is kept as it was written, all that follows `AS`.
fn selected(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut depth = 0usize;
    let mut word = None;
    while at < bytes.len() {
        let rest = &text[at..];
        if let Some(from) = word
            && !is_in_word(bytes[at])
        {
            if depth == 0 && text[from..at].eq_ignore_ascii_case("as") {
                return Some(rest.trim().trim_end_matches(';'));
            }
            word = None;
        }
        at += match bytes[at] {
            b'-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            // A doubled quote is the end of one text and the beginning of the next.
            quote @ (b'\'' | b'"' | b'`') => 2 + rest[1..].find(char::from(quote))?,
            b'[' => 1 + rest.find(']')?,
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
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
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
            ("CREATE VIEW `it``s as`AS(SELECT 4)", Some("(SELECT 4)")),
            ("CREATE VIEW 'a''s AS ' AS VALUES (5)", Some("VALUES (5)")),
            ("CREATE VIEW basé AS SELECT 6", Some("SELECT 6")),
            ("CREATE VIEW v", None),
            ("CREATE VIEW \"v AS SELECT 7", None),
        ] {
            assert_eq!(selected(text), select, "{text}");
        }
    }
}
