//! What users have made on a MySQL or MariaDB server, for the judgement of statements that name it: in every database this
//! credential sees but the server's own.
//!
//! Triggers are shown only to who may make them, which one that reads may not. So they are asked for with the credential
//! that writes, and a table whose triggers neither of them sees has one nobody knows.

use std::{collections::BTreeSet, sync::Arc};

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
const QUESTIONS: [(Question, Take); 6] = [
    (relations, Reading::relation),
    (columns, Reading::column),
    (views, Reading::view),
    (expressions, Reading::expression),
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
            Some(writer) => writer.seen_triggers().await.unwrap_or_else(|error| {
                tracing::debug!(%error, "the triggers could not be asked for");
                Seen::default()
            }),
            None => Seen::default(),
        };
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

    async fn seen_triggers(&self) -> Result<Seen, RunError> {
        let answers = self.ask(&[&triggers()]).await?;
        Ok(Seen {
            triggers: answers.into_iter().flatten().collect(),
            grants: self.grants().await?,
        })
    }
}

/// What the credential that writes sees of triggers.
#[derive(Default)]
struct Seen {
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
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES
           WHERE TABLE_SCHEMA NOT IN {OWN_SCHEMAS}"
    )
}

/// What virtual columns compute is left aside: built-in functions alone can be called there.
fn columns() -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, DATA_TYPE, EXTRA FROM information_schema.COLUMNS
           WHERE TABLE_SCHEMA NOT IN {OWN_SCHEMAS} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    )
}

fn views() -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS
           WHERE TABLE_SCHEMA NOT IN {OWN_SCHEMAS}"
    )
}

/// What is evaluated when rows are written. In MySQL these too call built-in functions alone, and its catalog escapes them
/// in a way of its own; the comment is part of the question for MariaDB only.
fn expressions() -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS WHERE 1 = 0
           /*M! OR TABLE_SCHEMA NOT IN {OWN_SCHEMAS} AND COLUMN_DEFAULT <> 'NULL'
           UNION ALL SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
             WHERE CONSTRAINT_SCHEMA NOT IN {OWN_SCHEMAS} */
           ORDER BY 1, 2, 3"
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
    /// Relations of which `*` does not show the columns that are known, in their order.
    out_of_order: BTreeSet<ServerName>,
}

impl Reading {
    fn relation(&mut self, row: OwnRow) -> Option<()> {
        let [schema, name, kind, engine] = <[_; 4]>::try_from(row).ok()?;
        let engine = engine.unwrap_or_default().to_lowercase();
        let relation = Relation {
            // A view is, until its definition is seen.
            opaque: kind? == "VIEW" || !HOLD_THEIR_ROWS.contains(&&*engine),
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
        let [schema, relation, name, position, data_type, extra] = <[_; 6]>::try_from(row).ok()?;
        let id = ServerName {
            schema: schema?,
            name: relation?,
        };
        let relation = self.catalog.relations.get_mut(&id)?;
        relation.columns.push(RelationColumn {
            name: name?,
            type_name: ServerName {
                schema: String::new(),
                name: data_type?,
            },
        });
        // Before it there is one this credential may not see, or `*` leaves it out.
        if position?.parse() != Ok(relation.columns.len()) || extra?.contains("INVISIBLE") {
            self.out_of_order.insert(id);
        }
        Some(())
    }

    fn view(&mut self, row: OwnRow) -> Option<()> {
        let (relation, definition) = self.of_relation(row)?;
        if !definition.is_empty() && !relation.columns.is_empty() {
            relation.definition = Some(definition);
            relation.opaque = false;
        }
        Some(())
    }

    fn expression(&mut self, row: OwnRow) -> Option<()> {
        let (relation, expression) = self.of_relation(row)?;
        relation.on_write.push(expression);
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
        for name in &self.out_of_order {
            if let Some(relation) = self.catalog.relations.get_mut(name) {
                relation.columns.clear();
            }
        }
        self.catalog
    }
}
