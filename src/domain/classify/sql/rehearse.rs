//! Whether a change can be rolled back wholly, and how it is run so that some of its rows can be seen.
//!
//! What is run is the statement as it stands, with at most `RETURNING` behind it: so what is counted is what it does. Rows
//! as they were are read by a SELECT of their own with the statement's own condition. Both are text again, to be judged
//! and masked as any other statement is.

use sqlparser::ast::{
    Delete, FromTable, ObjectName, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement,
    TableFactor, TableWithJoins, Update, UpdateTableFromKind, WildcardAdditionalOptions,
};

use super::{
    super::{Effect, Facts, ObjectAccess, name, server::ServerCatalog},
    Dialect,
    functions::{self, Call},
    lex::{self, Kind, Reading},
    tree::lone_statement,
};

/// Kinds of statement that change rows, and nothing that a rollback does not give back.
const CHANGES: [&str; 5] = ["insert", "update", "delete", "merge", "replace"];
/// Kinds that may be part of one.
const PARTS: [&str; 3] = ["select", "values", "table"];

/// How a change is run so that it can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// Reads rows that the change will find; `None`: its text does not say how.
    pub before: Option<Sample>,
    /// The change.
    pub change: String,
    /// What the rows are that the change itself returns.
    pub returned: Returned,
}

/// A statement that reads some rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its text.
    pub statement: String,
    /// Which of the change's parameters it takes, from 0, in order.
    pub params: Vec<usize>,
}

/// What the rows are that a change returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// As they were.
    Before,
    /// As they are then.
    After,
}

/// How to run `statement` to see what it would change, or why it cannot be rolled back wholly; without a `catalog`, as far
/// as its text shows.
pub fn rehearse(
    dialect: Dialect,
    statement: &str,
    facts: &Facts,
    catalog: Option<&ServerCatalog>,
) -> Result<Rehearsal, String> {
    is_undone_by_rollback(dialect, facts, catalog)?;
    let tree = lone_statement(dialect, statement);
    let plain = || Rehearsal {
        before: None,
        change: statement.to_owned(),
        returned: Returned::After,
    };
    let Some(mut tree) = tree else {
        return Ok(plain());
    };
    let (target, returned, before) = match &tree {
        Statement::Delete(delete) => (
            deleted(delete).and_then(target),
            Returned::Before,
            before_delete(dialect, delete),
        ),
        Statement::Update(update) => (
            target(&update.table),
            Returned::After,
            before_update(dialect, update),
        ),
        _ => (None, Returned::After, None),
    };
    if dialect == Dialect::Mysql {
        // Only one of its two kinds of server returns rows of changes, and of some: where the statement asks for them itself.
        let asked = returning(&mut tree).is_some_and(|returning| returning.is_some());
        let returned = if asked { returned } else { Returned::After };
        return Ok(Rehearsal {
            before: before.filter(|_| returned == Returned::After),
            returned,
            ..plain()
        });
    }
    if dialect == Dialect::Mssql {
        // Its OUTPUT stands amid the words of a change: rows are returned where the statement asks for them itself.
        let returned = match statement.to_lowercase().contains("deleted") {
            true => Returned::Before,
            false => Returned::After,
        };
        return Ok(Rehearsal {
            before: before.filter(|_| returned == Returned::After),
            returned,
            ..plain()
        });
    }
    // Where it returns the rows as they were, they need not be read first.
    let before_if_needed = before.clone().filter(|_| returned == Returned::After);
    let added = match returning(&mut tree) {
        Some(returning) if returning.is_none() => returning,
        Some(_) => {
            return Ok(Rehearsal {
                before: before_if_needed,
                returned,
                ..plain()
            });
        }
        None => return Ok(plain()),
    };
    // SQLite knows `*` alone there, and means the changed table by it.
    let everything = match target {
        Some(table) if dialect == Dialect::Postgres => {
            let kind = SelectItemQualifiedWildcardKind::ObjectName(table);
            SelectItem::QualifiedWildcard(kind, WildcardAdditionalOptions::default())
        }
        _ => SelectItem::Wildcard(WildcardAdditionalOptions::default()),
    };
    let words = format!("\nRETURNING {everything}");
    *added = Some(vec![everything]);
    let text = without_end(dialect, statement).map(|statement| format!("{statement}{words}"));
    // Only if it reads as the same statement with that one clause behind it.
    let change = text.filter(|text| lone_statement(dialect, text).as_ref() == Some(&tree));
    Ok(match change {
        Some(change) => Rehearsal {
            before: before_if_needed,
            change,
            returned,
        },
        None => Rehearsal { before, ..plain() },
    })
}

fn is_undone_by_rollback(
    dialect: Dialect,
    facts: &Facts,
    catalog: Option<&ServerCatalog>,
) -> Result<(), String> {
    let is = |kinds: &[&str], kind: &String| kinds.contains(&kind.as_str());
    let allowed = |kind: &String| is(&CHANGES, kind) || is(&PARTS, kind);
    let changes = facts.kinds.iter().any(|kind| is(&CHANGES, kind));
    if !changes || !facts.kinds.iter().all(allowed) {
        return Err(format!(
            "only INSERT, UPDATE, DELETE and MERGE are undone wholly by a rollback, and this is {}",
            if facts.kinds.is_empty() {
                "not understood".into()
            } else {
                facts.kinds.join(", ")
            }
        ));
    }
    let mild = [Effect::Read, Effect::Write, Effect::Destructive];
    if let Some(other) = facts.effects.iter().find(|effect| !mild.contains(effect)) {
        return Err(format!(
            "it does more than change rows: {other} ({})",
            facts.why
        ));
    }
    for function in &facts.functions {
        let (schema, name) = function.rsplit_once('.').unwrap_or(("", function));
        let known = matches!(schema, "" | "pg_catalog")
            && functions::builtin(dialect, name) == Call::Harmless;
        if !known {
            return Err(format!(
                "it calls `{function}`, and what that does may outlast a rollback"
            ));
        }
    }
    // Without a catalog this is about the text alone, as on the command line: the gateway sends nothing to a target whose
    // catalog it could not read.
    let Some(catalog) = catalog else {
        return Ok(());
    };
    let written = facts
        .objects
        .iter()
        .filter(|object| object.access == ObjectAccess::Write);
    for object in written {
        let parts = name::parts(&object.name).unwrap_or_default();
        let parts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
        // In T-SQL a longer name may be one of another database, or another server.
        let known = Some(catalog).filter(|_| dialect != Dialect::Mssql || parts.len() <= 2);
        let Some((_, relation)) = known.and_then(|catalog| catalog.relation(&parts)) else {
            return Err(format!(
                "`{}` is not in this database's catalog, so what else a change of it does is not known",
                object.name
            ));
        };
        if let Some(trigger) = relation.triggers.first() {
            return Err(format!(
                "`{}` has a trigger, `{trigger}`, and what that does may outlast a rollback",
                object.name
            ));
        }
        if relation.lasting {
            return Err(format!(
                "`{}` is kept by an engine without transactions: a rollback gives nothing back",
                object.name
            ));
        }
        if relation.opaque || !relation.rules.is_empty() {
            return Err(format!(
                "writing to `{}` does something else as well (a rule, or another server), which may outlast a rollback",
                object.name
            ));
        }
    }
    // Triggers of what is written by way of a view, a partition or a foreign key, and whatever else hides behind a name.
    if facts.runs_unjudged {
        return Err(format!(
            "what it runs besides may outlast a rollback: {}",
            facts.why
        ));
    }
    Ok(())
}

/// The RETURNING clause of the change that a statement is, if it is one that can have it.
fn returning(statement: &mut Statement) -> Option<&mut Option<Vec<SelectItem>>> {
    match statement {
        Statement::Insert(insert) => Some(&mut insert.returning),
        Statement::Update(update) => Some(&mut update.returning),
        Statement::Delete(delete) => Some(&mut delete.returning),
        // WITH … INSERT, UPDATE or DELETE.
        Statement::Query(query) => match query.body.as_mut() {
            SetExpr::Insert(change) | SetExpr::Update(change) | SetExpr::Delete(change) => {
                returning(change)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The text up to its last token, without the semicolons that end it and what comments stand there.
fn without_end(dialect: Dialect, text: &str) -> Option<&str> {
    let lexed = lex::lex(dialect, Reading::usual(dialect), text).ok()?;
    let last = lexed
        .tokens
        .iter()
        .rev()
        .find(|token| token.kind != Kind::Semicolon)?;
    text.get(..last.end as usize)
}

/// What the changed table is called in its statement.
fn target(table: &TableWithJoins) -> Option<ObjectName> {
    match &table.relation {
        TableFactor::Table {
            alias: Some(alias), ..
        } if alias.columns.is_empty() => Some(vec![alias.name.clone()].into()),
        TableFactor::Table {
            name, alias: None, ..
        } => Some(name.clone()),
        _ => None,
    }
}

fn before_delete(dialect: Dialect, delete: &Delete) -> Option<Sample> {
    if !delete.tables.is_empty() || !delete.order_by.is_empty() || delete.limit.is_some() {
        return None;
    }
    let others = delete.using.iter().flatten();
    rows_found(dialect, deleted(delete)?, others, delete.selection.as_ref())
}

fn deleted(delete: &Delete) -> Option<&TableWithJoins> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    match from.as_slice() {
        [table] => Some(table),
        _ => None,
    }
}

fn before_update(dialect: Dialect, update: &Update) -> Option<Sample> {
    if !update.order_by.is_empty() || update.limit.is_some() {
        return None;
    }
    let others = match &update.from {
        Some(UpdateTableFromKind::AfterSet(from)) => from.as_slice(),
        Some(UpdateTableFromKind::BeforeSet(_)) => return None,
        None => &[],
    };
    rows_found(
        dialect,
        &update.table,
        others.iter(),
        update.selection.as_ref(),
    )
}

/// The SELECT that finds the rows of `table` that a change with this condition finds.
fn rows_found<'a>(
    dialect: Dialect,
    table: &TableWithJoins,
    others: impl Iterator<Item = &'a TableWithJoins>,
    condition: Option<&sqlparser::ast::Expr>,
) -> Option<Sample> {
    if !table.joins.is_empty() {
        return None;
    }
    let name = target(table)?;
    let mut others = others.peekable();
    // T-SQL names the changed table again among the others, and its parameters by their names.
    let is_odd = |condition: &sqlparser::ast::Expr| condition.to_string().contains('@');
    if dialect == Dialect::Mssql && (others.peek().is_some() || condition.is_some_and(is_odd)) {
        return None;
    }
    let mut query = format!("SELECT {name}.* FROM {table}");
    for other in others {
        query.push_str(&format!(", {other}"));
    }
    if let Some(condition) = condition {
        query.push_str(&format!(" WHERE {condition}"));
    }
    // A tree printed again does not say which backslashes escaped.
    if dialect == Dialect::Mysql && query.contains('\\') {
        return None;
    }
    let (statement, params) = renumbered(dialect, &query)?;
    Some(Sample { statement, params })
}

/// `query` with the parameters it has numbered from 1, and which they were. Only numbered ones say which they are.
fn renumbered(dialect: Dialect, query: &str) -> Option<(String, Vec<usize>)> {
    let lexed = lex::lex(dialect, Reading::usual(dialect), query).ok()?;
    let (mut text, mut params, mut copied) = (String::new(), Vec::new(), 0);
    for token in lexed
        .tokens
        .iter()
        .filter(|token| token.kind == Kind::Parameter)
    {
        let (start, end) = (token.start as usize, token.end as usize);
        let (sign, digits) = query.get(start..end)?.split_at_checked(1)?;
        let index = digits.parse::<usize>().ok()?.checked_sub(1)?;
        let known = params.iter().position(|param| *param == index);
        let place = known.unwrap_or(params.len());
        if known.is_none() {
            params.push(index);
        }
        text.push_str(query.get(copied..start)?);
        text.push_str(&format!("{sign}{}", place + 1));
        copied = end;
    }
    text.push_str(query.get(copied..)?);
    Some((text, params))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            super::server::{Relation, RelationColumn, ServerName, Surroundings},
            JudgedCatalog, classify, classify_in,
        },
        *,
    };

    /// Where `t` and `u` are tables that nothing hangs on, and some are not so plain.
    fn catalog(dialect: Dialect) -> JudgedCatalog {
        let schema = if dialect == Dialect::Postgres {
            "public"
        } else {
            "main"
        };
        let id = |name: &str| ServerName {
            schema: schema.into(),
            name: name.into(),
        };
        let column = |name: &str| RelationColumn {
            name: name.into(),
            type_name: ServerName {
                schema: String::new(),
                name: "int4".into(),
            },
        };
        let table = || Relation {
            columns: ["id", "a", "b", "i", "n"].map(column).into(),
            ..Relation::default()
        };
        let noted = || vec!["noted".to_owned()];
        let relations = [
            ("t", table()),
            ("u", table()),
            (
                "numbered",
                Relation {
                    defaults: vec!["nextval('s'::regclass)".into()],
                    ..table()
                },
            ),
            (
                "noted",
                Relation {
                    triggers: noted(),
                    ..table()
                },
            ),
            (
                "parent",
                Relation {
                    on_delete: vec![id("child")],
                    on_update: vec![id("u")],
                    ..table()
                },
            ),
            (
                "child",
                Relation {
                    on_delete: vec![id("noted"), id("parent")],
                    ..table()
                },
            ),
            (
                "parted",
                Relation {
                    children: vec![id("noted")],
                    ..table()
                },
            ),
            (
                "seen",
                Relation {
                    definition: Some(format!("SELECT id, a, b, i, n FROM {schema}.noted")),
                    ..table()
                },
            ),
            (
                "checked",
                Relation {
                    on_write: vec!["mine(a)".into()],
                    ..table()
                },
            ),
        ];
        let catalog = ServerCatalog {
            search_path: vec![schema.into()],
            relations: relations
                .map(|(name, relation)| (id(name), relation))
                .into(),
            ..ServerCatalog::default()
        };
        JudgedCatalog::new(dialect, catalog)
    }

    fn rehearsed(dialect: Dialect, statement: &str) -> Result<Rehearsal, String> {
        let judged = catalog(dialect);
        let place = Surroundings {
            catalog: Some(&judged),
            harmless: None,
        };
        let facts = classify_in(dialect, statement, place);
        rehearse(dialect, statement, &facts, Some(judged.catalog()))
    }

    #[test]
    fn a_change_is_rehearsed_as_it_stands_with_its_rows_behind_it() {
        let mut shown = String::new();
        for (dialect, statement) in [
            (
                Dialect::Postgres,
                "UPDATE public.t AS x SET a = $1 WHERE b = $2; -- so",
            ),
            (
                Dialect::Postgres,
                "update t set a = u.a from u where u.id = t.id and u.n = $1",
            ),
            (Dialect::Postgres, "DELETE FROM t USING u WHERE t.id = u.id"),
            (
                Dialect::Postgres,
                "DELETE FROM t WHERE id = $1 RETURNING id",
            ),
            (Dialect::Postgres, "INSERT INTO t (a) SELECT a FROM u"),
            (
                Dialect::Postgres,
                "WITH x AS (SELECT 1 AS n) UPDATE t SET a = n FROM x",
            ),
            (
                Dialect::Postgres,
                "MERGE INTO t USING u ON t.i = u.i WHEN MATCHED THEN DELETE",
            ),
            (Dialect::Sqlite, "UPDATE t SET a = ?1 WHERE b = ?2"),
            (Dialect::Sqlite, "UPDATE t SET a = ? WHERE b = ?"),
            (Dialect::Mysql, "UPDATE t SET a = 1 WHERE b = 'x'"),
            (Dialect::Mysql, "DELETE FROM t WHERE b = 2"),
            (Dialect::Mysql, "DELETE FROM t WHERE b = 2 RETURNING id"),
            (Dialect::Mysql, r"DELETE FROM t WHERE b = 'a\\'"),
            (Dialect::Mysql, "INSERT INTO t (a) SELECT a FROM u"),
            (Dialect::Mysql, "UPDATE t SET a = ? WHERE b = ?"),
        ] {
            shown.push_str(&format!(
                "{statement}\n  {:?}\n",
                rehearsed(dialect, statement)
            ));
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn what_does_not_run_is_no_reason_to_refuse() {
        for statement in [
            "UPDATE numbered SET a = 1",
            "DELETE FROM numbered",
            "INSERT INTO parent (a) VALUES (1)",
            "UPDATE parent SET a = replace(a, 'x', 'y')",
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 2",
            "MERGE INTO t USING u ON t.i = u.i WHEN NOT MATCHED THEN INSERT (a) VALUES (u.a)",
            "UPDATE t SET a = child.a FROM child WHERE child.id = t.id",
        ] {
            let rehearsal = rehearsed(Dialect::Postgres, statement);
            assert!(rehearsal.is_ok(), "{statement}: {rehearsal:?}");
        }
    }

    #[test]
    fn a_change_in_tsql_is_rehearsed_where_its_table_is_known_to_do_nothing_else() {
        let table = |triggers: &[&str]| Relation {
            triggers: triggers.iter().map(|&name| name.to_owned()).collect(),
            ..Relation::default()
        };
        let named = |name: &str| ServerName {
            schema: "dbo".into(),
            name: name.into(),
        };
        let catalog = ServerCatalog {
            search_path: vec!["dbo".into()],
            relations: [(named("t"), table(&[])), (named("noted"), table(&["note"]))].into(),
            ..ServerCatalog::default()
        };
        let mut shown = String::new();
        for statement in [
            "UPDATE t SET a = 1 WHERE b = 2",
            "UPDATE t SET a = 1 WHERE b = @P1",
            "UPDATE x SET a = 1 FROM t AS x WHERE b = 2",
            "DELETE FROM dbo.t WHERE id = 1",
            "DELETE FROM dbo.t OUTPUT deleted.id WHERE id = 1",
            "UPDATE t SET a = 1 UPDATE t SET b = 2",
            "DELETE FROM noted",
            "DELETE FROM #session",
            "DELETE FROM elsewhere.dbo.t",
            "INSERT INTO t EXEC p",
            "DELETE FROM t; COMMIT",
        ] {
            let facts = classify(Dialect::Mssql, statement);
            let rehearsed = rehearse(Dialect::Mssql, statement, &facts, Some(&catalog));
            shown.push_str(&format!("{statement}\n  {rehearsed:?}\n"));
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn what_a_rollback_would_not_undo_is_not_rehearsed() {
        let mut shown = String::new();
        for statement in [
            "UPDATE t SET a = nextval('s')",
            "UPDATE t SET a = mine(b)",
            "UPDATE t SET a = other.now()",
            "SELECT pg_notify('a', 'b')",
            "DROP TABLE t",
            "TRUNCATE t",
            "CALL p()",
            "WITH a AS (DELETE FROM t RETURNING id) SELECT id FROM a FOR UPDATE",
            "COPY t FROM PROGRAM 'x'",
            "DELEET",
            "INSERT INTO t SELECT t.* FROM t JOIN u ON conflict(u.a) WHERE true",
            "UPDATE t SET a = CASE WHEN b = 1 THEN insert(a) END",
            "DELETE FROM nowhere",
            "DELETE FROM noted",
            "DELETE FROM seen",
            "UPDATE parted SET a = 1",
            "DELETE FROM parent",
            "MERGE INTO parent USING u ON parent.id = u.id WHEN MATCHED THEN DELETE",
            "UPDATE checked SET a = 1",
            "INSERT INTO numbered (a) VALUES (1)",
            "UPDATE numbered SET a = DEFAULT",
            "MERGE INTO numbered n USING u ON n.i = u.i WHEN NOT MATCHED THEN INSERT (a) VALUES (1)",
        ] {
            let refused = rehearsed(Dialect::Postgres, statement).unwrap_err();
            shown.push_str(&format!("{statement}\n  {refused}\n"));
        }
        insta::assert_snapshot!(shown);
    }
}
