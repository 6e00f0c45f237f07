//! What users have made in a SQL Server database, for the judgement of statements that name it.
//!
//! A server shows a credential only what it has some right to. What it does not show would be taken for harmless, so
//! nothing is read unless the credential may see every definition in the database (VIEW DEFINITION).
//!
//! Alias types and the rules bound to them are left out: a rule calls no function of users' own.

use std::collections::HashMap;

use super::{
    Mssql,
    own::{NoAnswer, OwnRow},
};
use crate::{
    domain::classify::{
        Dialect,
        server::{Relation, RelationColumn, Routine, ServerCatalog, ServerName},
    },
    gateway::ports::RunError,
    targets::definition::behind,
};

impl Mssql {
    /// Everything users have made there.
    pub(in crate::targets) async fn catalog(&self) -> Result<ServerCatalog, RunError> {
        let mut read = Reading::default();
        let questions = QUESTIONS.map(|(question, _)| question);
        self.ask(&questions, |index, row| QUESTIONS[index].1(&mut read, row))
            .await?;
        if !read.is_whole {
            return Err(NoAnswer::Unexpected(
                "the read credential does not see every definition: GRANT VIEW DEFINITION TO its user",
            )
            .into());
        }
        Ok(read.finished())
    }
}

type Take = fn(&mut Reading, &OwnRow) -> Option<()>;

/// What is asked, and who takes each row of the answer, in this order.
const QUESTIONS: [(&str, Take); 8] = [
    (PLACE, Reading::place),
    (RELATIONS, Reading::relation),
    (COLUMNS, Reading::column),
    (EXPRESSIONS, Reading::expression),
    (KEYS, Reading::key),
    (TRIGGERS, Reading::trigger),
    (ROUTINES, Reading::routine),
    (SYNONYMS, Reading::synonym),
];

const PLACE: &str = "SELECT DB_NAME(), SCHEMA_NAME(), COUNT(*) \
     FROM sys.fn_my_permissions(NULL, N'DATABASE') WHERE permission_name = N'VIEW DEFINITION'";

const RELATIONS: &str = "SELECT o.object_id, SCHEMA_NAME(o.schema_id), o.name, RTRIM(o.type), t.is_external, m.definition \
     FROM sys.objects o LEFT JOIN sys.tables t ON t.object_id = o.object_id \
     LEFT JOIN sys.sql_modules m ON m.object_id = o.object_id WHERE o.type IN ('U', 'V', 'ET')";

const COLUMNS: &str = "SELECT c.object_id, c.name, CASE WHEN t.is_user_defined = 1 THEN SCHEMA_NAME(t.schema_id) ELSE N'' END, t.name \
     FROM sys.columns c JOIN sys.objects o ON o.object_id = c.object_id \
     LEFT JOIN sys.types t ON t.user_type_id = c.user_type_id \
     WHERE o.type IN ('U', 'V', 'ET') ORDER BY c.object_id, c.column_id";

/// Computed columns (with their names), defaults, checks, the conditions of indexes and of row security.
const EXPRESSIONS: &str = "SELECT e.id, e.reads, e.expression, e.computed FROM ( \
       SELECT object_id, CASE WHEN is_persisted = 1 THEN 0 ELSE 1 END, definition, name FROM sys.computed_columns \
       UNION ALL SELECT parent_object_id, 0, definition, NULL FROM sys.default_constraints \
       UNION ALL SELECT parent_object_id, 0, definition, NULL FROM sys.check_constraints \
       UNION ALL SELECT object_id, 0, filter_definition, NULL FROM sys.indexes WHERE has_filter = 1 \
       UNION ALL SELECT p.target_object_id, CASE WHEN p.predicate_type = 0 THEN 1 ELSE 0 END, p.predicate_definition, NULL \
         FROM sys.security_predicates p JOIN sys.security_policies s ON s.object_id = p.object_id \
         WHERE s.is_enabled = 1 \
     ) e (id, reads, expression, computed) ORDER BY 1, 2, 3";

/// What changes rows of another table: which one's key refers to which, and whether it acts on a DELETE and on an UPDATE.
const KEYS: &str = "SELECT referenced_object_id, parent_object_id, \
       CASE WHEN delete_referential_action <> 0 THEN 1 ELSE 0 END, \
       CASE WHEN update_referential_action <> 0 THEN 1 ELSE 0 END \
     FROM sys.foreign_keys WHERE is_disabled = 0 ORDER BY referenced_object_id, parent_object_id";

const TRIGGERS: &str = "SELECT parent_id, name FROM sys.triggers \
     WHERE parent_class = 1 AND is_disabled = 0 ORDER BY parent_id, name";

const ROUTINES: &str = "SELECT SCHEMA_NAME(o.schema_id), o.name, RTRIM(o.type), m.definition FROM sys.objects o \
     LEFT JOIN sys.sql_modules m ON m.object_id = o.object_id \
     WHERE o.type IN ('FN', 'IF', 'TF', 'FS', 'FT', 'AF', 'P', 'PC', 'X', 'RF')";

/// Its own name, and what it stands for where that is in this database.
const SYNONYMS: &str = "SELECT SCHEMA_NAME(schema_id), name, \
       CASE WHEN PARSENAME(base_object_name, 4) IS NULL AND ISNULL(PARSENAME(base_object_name, 3), DB_NAME()) = DB_NAME() \
         THEN OBJECT_ID(base_object_name) END \
     FROM sys.synonyms";

/// What has been read so far.
#[derive(Default)]
struct Reading {
    catalog: ServerCatalog,
    is_whole: bool,
    relations: HashMap<String, (ServerName, Relation)>,
}

fn word(row: &OwnRow, at: usize) -> Option<&str> {
    row.get(at)?.as_deref()
}

fn name(row: &OwnRow, at: usize) -> Option<ServerName> {
    Some(ServerName {
        schema: word(row, at)?.to_owned(),
        name: word(row, at + 1)?.to_owned(),
    })
}

impl Reading {
    fn place(&mut self, row: &OwnRow) -> Option<()> {
        self.catalog.database = Some(word(row, 0)?.to_owned());
        self.catalog.search_path.push(word(row, 1)?.to_owned());
        self.is_whole = word(row, 2)? != "0";
        Some(())
    }

    fn relation(&mut self, row: &OwnRow) -> Option<()> {
        let kind = word(row, 3)?;
        let is_external = kind == "ET" || word(row, 4) == Some("true");
        let definition = word(row, 5).and_then(selected);
        let relation = Relation {
            opaque: is_external || kind == "V" && definition.is_none(),
            definition: definition.map(str::to_owned),
            ..Relation::default()
        };
        let id = word(row, 0)?.to_owned();
        self.relations.insert(id, (name(row, 1)?, relation));
        Some(())
    }

    /// The relation that `row` begins with. Triggers and expressions of another kind of thing are not ours.
    fn of(&mut self, row: &OwnRow) -> Option<&mut Relation> {
        Some(&mut self.relations.get_mut(word(row, 0)?)?.1)
    }

    fn column(&mut self, row: &OwnRow) -> Option<()> {
        let column = RelationColumn {
            name: word(row, 1)?.to_owned(),
            type_name: name(row, 2)?,
        };
        if let Some(relation) = self.of(row) {
            relation.columns.push(column);
        }
        Some(())
    }

    fn expression(&mut self, row: &OwnRow) -> Option<()> {
        let reads = word(row, 1)? == "1";
        let expression = word(row, 2).map(str::to_owned);
        let computed = word(row, 3).zip(word(row, 2));
        let computed = computed.map(|(column, text)| (column.to_owned(), text.to_owned()));
        if let Some(relation) = self.of(row) {
            relation.computed.extend(computed);
            match expression {
                Some(expression) if reads => relation.on_read.push(expression),
                Some(expression) => relation.on_write.push(expression),
                None => relation.opaque = true,
            }
        }
        Some(())
    }

    fn key(&mut self, row: &OwnRow) -> Option<()> {
        let refers = self.relations.get(word(row, 1)?)?.0.clone();
        let acts = (word(row, 2)? == "1", word(row, 3)? == "1");
        if let Some(relation) = self.of(row) {
            relation.on_delete.extend(acts.0.then(|| refers.clone()));
            relation.on_update.extend(acts.1.then_some(refers));
        }
        Some(())
    }

    fn trigger(&mut self, row: &OwnRow) -> Option<()> {
        let name = word(row, 1)?.to_owned();
        if let Some(relation) = self.of(row) {
            relation.triggers.push(name);
        }
        Some(())
    }

    /// The body of a table function that is one query is judged; of all others nobody has looked into what they do.
    fn routine(&mut self, row: &OwnRow) -> Option<()> {
        let kind = word(row, 2)?;
        let body = word(row, 3).filter(|_| kind == "IF").and_then(returned);
        let language = match kind {
            "IF" if body.is_some() => "sql",
            "FN" | "IF" | "TF" | "P" | "RF" => "tsql",
            _ => "external",
        };
        self.called(name(row, 0)?, language, body);
        Some(())
    }

    fn called(&mut self, name: ServerName, language: &str, body: Option<&str>) {
        let overloads = self.catalog.routines.entry(name.name).or_default();
        overloads.push(Routine {
            schema: name.schema,
            language: language.into(),
            promises_to_read: false,
            body: body.map(str::to_owned),
            calls: Vec::new(),
        });
    }

    /// A view of all columns of what it stands for, if that is here and has any; else nobody knows what it is, and it may
    /// be a function.
    fn synonym(&mut self, row: &OwnRow) -> Option<()> {
        let of = word(row, 2).and_then(|id| self.relations.get(id));
        let relation = match of {
            Some((base, relation)) if !relation.columns.is_empty() => Relation {
                columns: relation.columns.clone(),
                definition: Some(all_of(base, relation)),
                ..Relation::default()
            },
            _ => Relation {
                opaque: true,
                ..Relation::default()
            },
        };
        let name = name(row, 0)?;
        if relation.opaque {
            self.called(name.clone(), "synonym", None);
        }
        self.catalog.relations.insert(name, relation);
        Some(())
    }

    fn finished(mut self) -> ServerCatalog {
        self.catalog.relations.extend(self.relations.into_values());
        self.catalog
    }
}

/// What a view selects. What its check says of writes is no part of it.
fn selected(definition: &str) -> Option<&str> {
    let select = behind(Dialect::Mssql, definition, "as")?;
    let mut rest = select;
    for word in ["option", "check", "with"] {
        let at = rest.len().checked_sub(word.len())?;
        match rest.split_at_checked(at) {
            Some((before, last)) if last.eq_ignore_ascii_case(word) => rest = before.trim_end(),
            _ => return Some(select),
        }
    }
    Some(rest)
}

/// The one query of a table function.
fn returned(definition: &str) -> Option<&str> {
    behind(Dialect::Mssql, definition, "return")
}

fn all_of(base: &ServerName, relation: &Relation) -> String {
    let quoted = |name: &str| format!("[{}]", name.replace(']', "]]"));
    let columns = relation.columns.iter().map(|column| quoted(&column.name));
    format!(
        "SELECT {} FROM {}.{}",
        columns.collect::<Vec<_>>().join(", "),
        quoted(&base.schema),
        quoted(&base.name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_views_check_is_no_part_of_what_it_selects() {
        for (definition, select) in [
            (
                "CREATE VIEW v WITH SCHEMABINDING AS SELECT a FROM dbo.t",
                "SELECT a FROM dbo.t",
            ),
            (
                "CREATE OR ALTER VIEW [as].v(a) AS\r\nSELECT a FROM dbo.t WITH  CHECK\nOPTION;\n",
                "SELECT a FROM dbo.t",
            ),
            (
                "CREATE VIEW v AS SELECT 1 AS [with check option]",
                "SELECT 1 AS [with check option]",
            ),
        ] {
            assert_eq!(selected(definition), Some(select));
        }
        let function = "CREATE FUNCTION f(@a int = 7) RETURNS TABLE AS RETURN (SELECT 1 AS a)";
        assert_eq!(returned(function), Some("(SELECT 1 AS a)"));
    }

    #[test]
    fn what_the_gateway_asks_itself_is_a_query_and_nothing_else() {
        for (question, _) in QUESTIONS {
            crate::targets::mssql::own::assert_only_asks(question);
        }
    }
}
