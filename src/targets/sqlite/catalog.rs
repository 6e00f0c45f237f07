//! What users have made in a SQLite file, for the judgement of statements that name it.
//!
//! There are no functions of users' own here, and an expression in the schema may call none that do anything: of tables
//! their columns and triggers are read, of views what they select.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rusqlite::{
    Connection,
    hooks::{AuthContext, Authorization},
};

use super::{Sqlite, unopened, words_of};
use crate::{
    domain::{
        classify::{
            Dialect,
            server::{Relation, RelationColumn, ServerCatalog, ServerName},
        },
        connection::Budget,
    },
    gateway::ports::RunError,
    targets::definition::behind,
};

/// The one schema there is: other files cannot be attached.
const MAIN: &str = "main";
/// Of generated columns, in `table_xinfo`'s `hidden`.
const VIRTUAL: i64 = 2;
const STORED: i64 = 3;

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
    let main = |name: String| ServerName {
        schema: MAIN.into(),
        name,
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
        let (mut defaults, mut generated) = (Vec::new(), Vec::new());
        // A view that reads what is no longer there, a virtual table whose module is not: nobody can read them either.
        let described = connection.pragma(Some(MAIN), "table_xinfo", &name, |row| {
            columns.push(RelationColumn {
                name: row.get("name")?,
                type_name: ServerName {
                    schema: String::new(),
                    name: row.get::<_, String>("type")?.to_lowercase(),
                },
            });
            defaults.extend(row.get::<_, Option<String>>("dflt_value")?);
            if matches!(row.get("hidden")?, VIRTUAL | STORED) {
                generated.push(row.get("name")?);
            }
            Ok(())
        });
        // The definition has their expressions in it, and is told nowhere in parts.
        let mut computed = BTreeMap::new();
        if !generated.is_empty() {
            let text: String = connection.query_row(
                "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1",
                [&name],
                |row| row.get(0),
            )?;
            computed.extend(generated.into_iter().map(|column| (column, text.clone())));
        }
        let relation = Relation {
            columns,
            computed,
            opaque: kind == "virtual" || kind == "view" || described.is_err(),
            defaults,
            ..Relation::default()
        };
        catalog.relations.insert(main(name), relation);
    }
    // The names a key was written with need not be spelled as the tables are.
    let mut keys = connection.prepare(
        "SELECT t.name, p.name, max(k.on_delete NOT IN ('NO ACTION', 'RESTRICT')),
             max(k.on_update NOT IN ('NO ACTION', 'RESTRICT')) FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) k
           JOIN sqlite_schema p ON p.type = 'table' AND p.name = k.\"table\" COLLATE NOCASE
           WHERE t.type = 'table' GROUP BY t.name, p.name ORDER BY t.name, p.name",
    )?;
    let mut rows = keys.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(referred) = catalog.relations.get_mut(&main(row.get(1)?)) {
            if row.get(2)? {
                referred.on_delete.push(main(row.get(0)?));
            }
            if row.get(3)? {
                referred.on_update.push(main(row.get(0)?));
            }
        }
    }
    drop(rows);
    drop(keys);
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type IN ('view', 'trigger')",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Some(relation) = catalog.relations.get_mut(&main(row.get(2)?)) else {
            continue;
        };
        if row.get::<_, String>(0)? == "trigger" {
            relation.triggers.push(row.get(1)?);
        } else if let Some(definition) = behind(Dialect::Sqlite, &row.get::<_, String>(3)?, "as")
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
