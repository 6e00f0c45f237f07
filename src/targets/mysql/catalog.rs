//! What users have made on a MySQL or MariaDB server, for the judgement of statements that name it: in every database this
//! credential sees but the server's own.
//!
//! A credential is shown the columns it has a right on, and triggers only if it may make them, which one that reads may
//! not. So the one that writes is asked for these as well; a table whose triggers neither of them sees has one nobody
//! knows.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Mysql,
    grants::{Grant, Granted, covers, name_of},
    names::OWN_SCHEMAS,
    own::OwnRow,
};
use crate::{
    domain::classify::server::{Relation, RelationColumn, Routine, ServerCatalog, ServerName},
    gateway::ports::RunError,
};

/// Engines that hold the rows of their tables. What others show may be another table's, a file's or another server's.
const HOLD_THEIR_ROWS: [&str; 11] = [
    "innodb",
    "myisam",
    "aria",
    "memory",
    "heap",
    "archive",
    "csv",
    "blackhole",
    "rocksdb",
    "ndbcluster",
    "columnstore",
];
/// What stands for the triggers of a table that nobody is shown.
const UNSEEN: &str = "(any: neither credential has TRIGGER on it)";
/// With any of these a routine's text is read otherwise than its judge reads it.
const OTHER_GRAMMARS: [&str; 5] = [
    "ANSI_QUOTES",
    "PIPES_AS_CONCAT",
    "NO_BACKSLASH_ESCAPES",
    "IGNORE_SPACE",
    "ORACLE",
];

type Question = fn() -> String;
type Take = fn(&mut Reading, OwnRow) -> Option<()>;

/// What is asked, and who takes each row of the answer, in this order.
const QUESTIONS: [(Question, Take); 8] = [
    (relations, Reading::relation),
    (columns, Reading::column),
    (views, Reading::view),
    (checks, Reading::check),
    (defaults, Reading::default_value),
    (keys, Reading::key),
    (routines, Reading::routine),
    (triggers, Reading::trigger),
];

impl Mysql {
    /// Everything users have made there, as this credential sees it; triggers as `writer` does.
    pub(in crate::targets) async fn catalog(
        &self,
        writer: Option<Arc<Self>>,
    ) -> Result<ServerCatalog, RunError> {
        let texts = QUESTIONS.map(|(question, _)| question());
        let answers = self.ask(&texts.each_ref().map(String::as_str)).await?;
        let mut reading = Reading::default();
        reading.catalog.search_path = vec![self.database().to_owned()];
        for (rows, (_, take)) in answers.into_iter().zip(QUESTIONS) {
            for row in rows {
                // Of what was made or dropped between two questions one answer knows nothing.
                let _gone = take(&mut reading, row);
            }
        }
        let seen = match &writer {
            // Who cannot be reached changes nothing, so that it is not known what a change would run does no harm.
            Some(writer) => writer.seen().await.unwrap_or_else(|error| {
                tracing::debug!(%error, "what the credential that writes sees could not be asked for");
                Seen::default()
            }),
            None => Seen::default(),
        };
        for row in seen.columns {
            let _gone = reading.column(row);
        }
        for row in seen.triggers {
            let _gone = reading.trigger(row);
        }
        let mut catalog = reading.finished();
        for (name, relation) in &mut catalog.relations {
            let is_shown = seen.grants.iter().any(|grant| shows_triggers(grant, name));
            if !is_shown && relation.triggers.is_empty() {
                relation.triggers.push(UNSEEN.into());
            }
        }
        Ok(catalog)
    }

    async fn seen(&self) -> Result<Seen, RunError> {
        let mut answers = self.ask(&[&columns(), &triggers()]).await?;
        Ok(Seen {
            triggers: answers.pop().unwrap_or_default(),
            columns: answers.pop().unwrap_or_default(),
            grants: self.grants().await?,
        })
    }
}

/// What the credential that writes may see and the other not.
#[derive(Default)]
struct Seen {
    columns: Vec<OwnRow>,
    triggers: Vec<OwnRow>,
    grants: Vec<Grant>,
}

fn shows_triggers(grant: &Grant, table: &ServerName) -> bool {
    let Granted::Rights { rights, on } = &grant.what else {
        return false;
    };
    let shows = |right: &String| matches!(name_of(right), "TRIGGER" | "ALL PRIVILEGES");
    rights.iter().any(shows) && covers(on, &table.schema, &table.name)
}

// ---------------------------------------------------------------------------------------------- questions

fn relations() -> String {
    format!(
        "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES t
           LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE WHERE t.TABLE_SCHEMA NOT IN {OWN_SCHEMAS}"
    )
}

/// What virtual columns call is left aside: built-in functions alone. A default may be computed of other columns as well.
fn columns() -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, DATA_TYPE, EXTRA,
             CASE WHEN COLUMN_DEFAULT LIKE '%`%' THEN COLUMN_DEFAULT ELSE GENERATION_EXPRESSION END
           FROM information_schema.COLUMNS
           WHERE TABLE_SCHEMA NOT IN {OWN_SCHEMAS}"
    )
}

fn views() -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS
           WHERE TABLE_SCHEMA NOT IN {OWN_SCHEMAS}"
    )
}

/// In MySQL checks and defaults call built-in functions alone, and its catalog escapes them in a way of its own: for MariaDB
/// the comment is part of the question.
fn checks() -> String {
    format!(
        "SELECT NULL, NULL, NULL FROM DUAL WHERE 1 = 0
           /*M! UNION ALL SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
             WHERE CONSTRAINT_SCHEMA NOT IN {OWN_SCHEMAS} */ ORDER BY 1, 2, 3"
    )
}

fn defaults() -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS
           WHERE 1 = 0 /*M! OR TABLE_SCHEMA NOT IN {OWN_SCHEMAS} AND COLUMN_DEFAULT <> 'NULL' */ ORDER BY 1, 2, 3"
    )
}

fn keys() -> String {
    format!(
        "SELECT DISTINCT CONSTRAINT_SCHEMA, TABLE_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, DELETE_RULE, UPDATE_RULE
           FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA NOT IN {OWN_SCHEMAS}"
    )
}

fn routines() -> String {
    format!(
        "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, SQL_DATA_ACCESS, ROUTINE_DEFINITION, SQL_MODE,
             CASE ROUTINE_BODY WHEN 'SQL' THEN 'sql' ELSE LOWER(COALESCE(EXTERNAL_LANGUAGE, ROUTINE_BODY)) END
           FROM information_schema.ROUTINES
           WHERE ROUTINE_SCHEMA NOT IN {OWN_SCHEMAS} AND ROUTINE_TYPE IN ('FUNCTION', 'PROCEDURE')"
    )
}

fn triggers() -> String {
    format!(
        "SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS
           WHERE EVENT_OBJECT_SCHEMA NOT IN {OWN_SCHEMAS}"
    )
}

// ---------------------------------------------------------------------------------------------- answers

#[derive(Default)]
struct Reading {
    catalog: ServerCatalog,
    /// By relation and position, as far as they are seen.
    columns: BTreeMap<ServerName, BTreeMap<usize, Column>>,
}

struct Column {
    column: RelationColumn,
    hidden: bool,
}

impl Reading {
    fn relation(&mut self, row: OwnRow) -> Option<()> {
        let [schema, name, kind, engine, transactions] = <[_; 5]>::try_from(row).ok()?;
        let engine = engine.unwrap_or_default().to_lowercase();
        let is_view = kind? == "VIEW";
        let relation = Relation {
            // A view is, until its definition is seen.
            opaque: is_view || !HOLD_THEIR_ROWS.contains(&&*engine),
            lasting: !is_view && transactions.as_deref() != Some("YES"),
            ..Relation::default()
        };
        let name = ServerName {
            schema: schema?,
            name: name?,
        };
        self.catalog.relations.insert(name, relation);
        Some(())
    }

    fn column(&mut self, row: OwnRow) -> Option<()> {
        let [schema, relation, name, position, data_type, extra, computed] =
            <[_; 7]>::try_from(row).ok()?;
        let (name, position) = (name?, position?.parse().ok()?);
        let id = ServerName {
            schema: schema?,
            name: relation?,
        };
        // Empty for the others in MySQL.
        if let Some(text) = computed.filter(|text| !text.is_empty()) {
            let relation = self.catalog.relations.get_mut(&id)?;
            relation.computed.insert(name.clone(), text);
        }
        let schema = String::new();
        let type_name = ServerName {
            schema,
            name: data_type?,
        };
        let column = Column {
            column: RelationColumn { name, type_name },
            hidden: extra?.contains("INVISIBLE"),
        };
        self.columns.entry(id).or_default().insert(position, column);
        Some(())
    }

    fn view(&mut self, row: OwnRow) -> Option<()> {
        let (relation, definition) = self.of_relation(row)?;
        if !definition.is_empty() {
            relation.definition = Some(definition);
            relation.opaque = false;
        }
        Some(())
    }

    fn check(&mut self, row: OwnRow) -> Option<()> {
        let (relation, check) = self.of_relation(row)?;
        relation.on_write.push(check);
        Some(())
    }

    fn default_value(&mut self, row: OwnRow) -> Option<()> {
        let (relation, value) = self.of_relation(row)?;
        relation.defaults.push(value);
        Some(())
    }

    fn key(&mut self, row: OwnRow) -> Option<()> {
        let [schema, name, of_schema, of, on_delete, on_update] = <[_; 6]>::try_from(row).ok()?;
        let refers = ServerName {
            schema: schema?,
            name: name?,
        };
        let referred = ServerName {
            schema: of_schema?,
            name: of?,
        };
        let acts =
            |rule: Option<String>| !matches!(rule.as_deref(), Some("NO ACTION" | "RESTRICT"));
        let referred = self.catalog.relations.get_mut(&referred)?;
        if acts(on_delete) {
            referred.on_delete.push(refers.clone());
        }
        if acts(on_update) {
            referred.on_update.push(refers);
        }
        Some(())
    }

    fn trigger(&mut self, row: OwnRow) -> Option<()> {
        let (relation, trigger) = self.of_relation(row)?;
        if !relation.triggers.contains(&trigger) {
            relation.triggers.push(trigger);
        }
        Some(())
    }

    /// A row of schema, relation, and something of it.
    fn of_relation(&mut self, row: OwnRow) -> Option<(&mut Relation, String)> {
        let [schema, relation, of_it] = <[_; 3]>::try_from(row).ok()?;
        let name = ServerName {
            schema: schema?,
            name: relation?,
        };
        Some((self.catalog.relations.get_mut(&name)?, of_it?))
    }

    fn routine(&mut self, row: OwnRow) -> Option<()> {
        let [schema, name, access, body, mode, language] = <[_; 6]>::try_from(row).ok()?;
        let mode = mode?;
        let is_read_as_judged = !mode.split(',').any(|mode| OTHER_GRAMMARS.contains(&mode));
        let routine = Routine {
            schema: schema?,
            language: language?,
            promises_to_read: matches!(access?.as_str(), "READS SQL DATA" | "NO SQL"),
            body: body.filter(|_| is_read_as_judged),
            calls: Vec::new(),
        };
        let overloads = self.catalog.routines.entry(name?).or_default();
        overloads.push(routine);
        Some(())
    }

    fn finished(mut self) -> ServerCatalog {
        for (name, columns) in self.columns {
            let Some(relation) = self.catalog.relations.get_mut(&name) else {
                continue;
            };
            let last = columns
                .last_key_value()
                .map_or(0, |(position, _)| *position);
            if last != columns.len() {
                // Between them there are some that neither credential sees.
                continue;
            }
            let (hidden, shown) = columns
                .into_values()
                .partition::<Vec<_>, _>(|column| column.hidden);
            let columns = |columns: Vec<Column>| columns.into_iter().map(|column| column.column);
            relation.columns = columns(shown).collect();
            relation.hidden = columns(hidden).collect();
        }
        self.catalog
    }
}
