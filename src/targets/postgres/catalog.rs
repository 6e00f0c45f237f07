//! What users have made in a PostgreSQL database, for the judgement of statements that name it.
//!
//! Users' own is what has an oid of 16384 or more, wherever it is: what an extension brought, or what somebody put into
//! `pg_catalog`, counts. All of it is read, or the reading fails: 20,000 tables of twenty columns are some 25 MB.

use std::collections::HashMap;

use super::{
    Postgres,
    names::{LookupError, number, word},
    own::NoAnswer,
    wire::OwnRow,
};
use crate::{
    domain::classify::server::{
        Cast, Domain, Operator, Relation, RelationColumn, Routine, ServerCatalog, ServerName,
    },
    gateway::ports::RunError,
};

/// Whether definitions are printed, which takes a lock on all that they read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Definitions {
    Shown,
    Hidden,
}

impl Postgres {
    /// Everything users have made there, as this credential sees it.
    pub(in crate::targets) async fn catalog(&self) -> Result<ServerCatalog, RunError> {
        let loaded = match self.load(Definitions::Shown).await {
            // Someone holds a table that a view reads. Nothing is known of any view then, which is still more than of
            // nothing at all.
            Err(NoAnswer::Refused(message)) if message.code == "55P03" => {
                self.load(Definitions::Hidden).await
            }
            // Something was dropped while it was being printed.
            Err(NoAnswer::Refused(message))
                if ["XX000", "42P01", "42704"].contains(&&*message.code) =>
            {
                self.load(Definitions::Shown).await
            }
            other => other,
        };
        Ok(loaded?)
    }

    async fn load(&self, definitions: Definitions) -> Result<ServerCatalog, NoAnswer> {
        let mut read = Reading::default();
        self.ask(
            |version| {
                let questions = QUESTIONS
                    .iter()
                    .map(|(question, _)| question(version, definitions));
                questions.collect()
            },
            |index, row| match index.checked_sub(1).and_then(|index| QUESTIONS.get(index)) {
                Some((_, take)) => take(&mut read, &row),
                None => {
                    read.catalog.search_path.push(word(&row, 0)?.to_owned());
                    Ok(())
                }
            },
        )
        .await?;
        Ok(read.finished())
    }
}

type Question = fn(u32, Definitions) -> String;
type Take = fn(&mut Reading, &OwnRow) -> Result<(), LookupError>;

/// What is asked, and who takes each row of the answer, in this order.
const QUESTIONS: [(Question, Take); 12] = [
    (types, Reading::type_name),
    (relations, Reading::relation),
    (columns, Reading::column),
    (expressions, Reading::expression),
    (rules, Reading::rule),
    (triggers, Reading::trigger),
    (inheritance, Reading::inheritance),
    (foreign_keys, Reading::foreign_key),
    (routines, Reading::routine),
    (operators, Reading::operator),
    (casts, Reading::cast),
    (domains, Reading::domain),
];

/// Which rows of `pg_class c` are relations of users' own that can stand in FROM. Temporary ones belong to one session.
const OWN: &str =
    "c.oid >= 16384 AND c.relpersistence <> 't' AND c.relkind IN ('r','p','v','m','f','S')";

fn types(_: u32, _: Definitions) -> String {
    "SELECT t.oid, CASE WHEN e.oid >= 16384 THEN n.nspname ELSE '' END, e.typname FROM pg_type t
       JOIN pg_type e ON e.oid = CASE WHEN t.typelem <> 0 AND t.typlen = -1 THEN t.typelem ELSE t.oid END
       JOIN pg_namespace n ON n.oid = e.typnamespace"
        .into()
}

fn relations(_: u32, definitions: Definitions) -> String {
    let definition = match definitions {
        Definitions::Shown => "pg_get_viewdef(c.oid)",
        Definitions::Hidden => "NULL",
    };
    format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind, CASE WHEN c.relkind IN ('v','m') THEN {definition} END
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OWN}"
    )
}

fn columns(_: u32, _: Definitions) -> String {
    format!(
        "SELECT a.attrelid, a.attname, a.atttypid, CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
           LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
           WHERE {OWN} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"
    )
}

/// What the server evaluates when rows are read (`r`), written (`w`), or made without all their columns (`d`). Who a policy is for is left aside: effects run under another
/// role than reads.
fn expressions(_: u32, _: Definitions) -> String {
    format!(
        "SELECT e.relation, e.moment, e.expression FROM (
           SELECT d.adrelid, CASE a.attgenerated WHEN '' THEN 'd' WHEN 'v' THEN 'r' ELSE 'w' END,
               pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
             JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
           UNION ALL SELECT a.attrelid, 'd', format('nextval(%L::regclass)',
               pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)) FROM pg_attribute a
             WHERE a.attidentity <> ''
           UNION ALL SELECT k.conrelid, 'w', pg_get_expr(k.conbin, k.conrelid) FROM pg_constraint k
             WHERE k.contype = 'c' AND k.conrelid <> 0
           UNION ALL SELECT i.indrelid, 'w', pg_get_expr(i.indexprs, i.indrelid) FROM pg_index i
           UNION ALL SELECT i.indrelid, 'w', pg_get_expr(i.indpred, i.indrelid) FROM pg_index i
           UNION ALL SELECT t.partrelid, 'w', pg_get_expr(t.partexprs, t.partrelid) FROM pg_partitioned_table t
           UNION ALL SELECT p.polrelid, CASE WHEN p.polcmd IN ('r','*') THEN 'r' ELSE 'w' END,
               pg_get_expr(p.polqual, p.polrelid) FROM pg_policy p
             JOIN pg_class r ON r.oid = p.polrelid AND r.relrowsecurity
           UNION ALL SELECT p.polrelid, 'w', pg_get_expr(p.polwithcheck, p.polrelid) FROM pg_policy p
             JOIN pg_class r ON r.oid = p.polrelid AND r.relrowsecurity
         ) e(relation, moment, expression) JOIN pg_class c ON c.oid = e.relation
         WHERE {OWN} AND e.expression IS NOT NULL ORDER BY 1, 2, 3"
    )
}

fn rules(_: u32, definitions: Definitions) -> String {
    let definition = match definitions {
        Definitions::Shown => "pg_get_ruledef(w.oid)",
        Definitions::Hidden => "NULL",
    };
    format!(
        "SELECT w.ev_class, {definition} FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class
           WHERE {OWN} AND w.ev_type <> '1' ORDER BY w.ev_class, w.rulename"
    )
}

fn triggers(_: u32, _: Definitions) -> String {
    format!(
        "SELECT t.tgrelid, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
           WHERE {OWN} AND NOT t.tgisinternal ORDER BY t.tgrelid, t.tgname"
    )
}

fn inheritance(_: u32, _: Definitions) -> String {
    format!(
        "SELECT i.inhrelid, i.inhparent FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE {OWN} ORDER BY 1, 2"
    )
}

/// Foreign keys that do more than refuse.
fn foreign_keys(_: u32, _: Definitions) -> String {
    format!(
        "SELECT k.confrelid, k.conrelid, bool_or(k.confdeltype IN ('c','n','d')), bool_or(k.confupdtype IN ('c','n','d'))
           FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid
           WHERE {OWN} AND k.contype = 'f' GROUP BY 1, 2 ORDER BY 1, 2"
    )
}

/// A body as text is read along the search path of whoever calls it, unless the function sets something of its own:
/// then what its names mean is not known. One that was parsed when it was created (from PostgreSQL 14) is printed.
fn routines(version: u32, _: Definitions) -> String {
    let parsed = if version >= 14 {
        "pg_get_function_sqlbody(p.oid)"
    } else {
        "NULL"
    };
    format!(
        "SELECT n.nspname, p.proname, l.lanname, p.provolatile IN ('s','i') AND p.prokind <> 'p',
           CASE WHEN l.lanname = 'sql' THEN coalesce({parsed}, CASE WHEN p.proconfig IS NULL THEN p.prosrc END) END,
           (SELECT json_agg(json_build_array(CASE WHEN f.oid >= 16384 THEN m.nspname ELSE '' END, f.proname)
                     ORDER BY f.oid) FROM pg_aggregate a
              JOIN pg_proc f ON f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
              JOIN pg_namespace m ON m.oid = f.pronamespace WHERE a.aggfnoid = p.oid)
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
         WHERE p.oid >= 16384 AND n.nspname NOT LIKE 'pg\\_temp\\_%' ORDER BY p.oid"
    )
}

fn operators(_: u32, _: Definitions) -> String {
    "SELECT o.oprname, n.nspname, nullif(o.oprleft, 0), nullif(o.oprright, 0),
       CASE WHEN f.oid >= 16384 THEN m.nspname ELSE '' END, f.proname
       FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace JOIN pg_proc f ON f.oid = o.oprcode
       JOIN pg_namespace m ON m.oid = f.pronamespace WHERE o.oid >= 16384 ORDER BY o.oid"
        .into()
}

fn casts(_: u32, _: Definitions) -> String {
    "SELECT k.castsource, k.casttarget, CASE WHEN f.oid >= 16384 THEN m.nspname ELSE '' END, f.proname,
       k.castcontext <> 'e' FROM pg_cast k JOIN pg_proc f ON f.oid = k.castfunc
       JOIN pg_namespace m ON m.oid = f.pronamespace WHERE k.oid >= 16384 ORDER BY k.oid"
        .into()
}

fn domains(_: u32, _: Definitions) -> String {
    "SELECT t.oid, t.typbasetype, d.expression FROM pg_type t LEFT JOIN LATERAL (
         SELECT CASE WHEN k.contypid <> 0 THEN pg_get_expr(k.conbin, 0) END FROM pg_constraint k
           WHERE k.contypid = t.oid AND k.contype = 'c'
         UNION ALL SELECT pg_get_expr(t.typdefaultbin, 0)
       ) d(expression) ON d.expression IS NOT NULL
       WHERE t.typtype = 'd' AND t.oid >= 16384 ORDER BY t.oid, d.expression"
        .into()
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    catalog: ServerCatalog,
    types: HashMap<u32, ServerName>,
    relations: HashMap<u32, (ServerName, Relation)>,
}

impl Reading {
    fn type_name(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        self.types.insert(number(row, 0)?, name(row, 1)?);
        Ok(())
    }

    /// Every type there is has been read, in the same snapshot.
    fn type_of(&self, row: &OwnRow, at: usize) -> Result<ServerName, LookupError> {
        let known = self.types.get(&number(row, at)?).cloned();
        known.ok_or(LookupError::Unexpected("a type that is not there"))
    }

    fn relation(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let kind = word(row, 3)?;
        let definition = row.get(4).cloned().flatten();
        let relation = Relation {
            opaque: kind == "f" || (matches!(kind, "v" | "m") && definition.is_none()),
            definition: definition.map(|text| one_statement(&text).to_owned()),
            ..Relation::default()
        };
        self.relations
            .insert(number(row, 0)?, (name(row, 1)?, relation));
        Ok(())
    }

    /// The relation that `row` begins with. What belongs to another is not of users' own making.
    fn of(&mut self, row: &OwnRow) -> Result<Option<&mut Relation>, LookupError> {
        let known = self.relations.get_mut(&number(row, 0)?);
        Ok(known.map(|(_, relation)| relation))
    }

    fn column(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let column = RelationColumn {
            name: word(row, 1)?.to_owned(),
            type_name: self.type_of(row, 2)?,
        };
        let computed = row.get(3).cloned().flatten();
        if let Some(relation) = self.of(row)? {
            let computed = computed.map(|text| (column.name.clone(), text));
            relation.computed.extend(computed);
            relation.columns.push(column);
        }
        Ok(())
    }

    fn expression(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let (moment, expression) = (word(row, 1)?.to_owned(), word(row, 2)?.to_owned());
        if let Some(relation) = self.of(row)? {
            let evaluated = match moment.as_str() {
                "r" => &mut relation.on_read,
                "d" => &mut relation.defaults,
                _ => &mut relation.on_write,
            };
            evaluated.push(expression);
        }
        Ok(())
    }

    fn rule(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let printed = row.get(1).and_then(Option::as_deref);
        // A rule whose text is not to be had is not understood either, whatever stands here.
        let actions = printed.map_or("RULE", actions).to_owned();
        let condition = printed.and_then(condition).map(str::to_owned);
        if let Some(relation) = self.of(row)? {
            relation.rules.push(actions);
            relation.on_write.extend(condition);
        }
        Ok(())
    }

    fn trigger(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let name = word(row, 1)?.to_owned();
        if let Some(relation) = self.of(row)? {
            relation.triggers.push(name);
        }
        Ok(())
    }

    fn inheritance(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let (child, parent) = (number(row, 0)?, number(row, 1)?);
        let name_of = |oid| self.relations.get(&oid).map(|(name, _)| name.clone());
        if let (Some(child_name), Some(parent_name)) = (name_of(child), name_of(parent)) {
            if let Some((_, relation)) = self.relations.get_mut(&child) {
                relation.parents.push(parent_name);
            }
            if let Some((_, relation)) = self.relations.get_mut(&parent) {
                relation.children.push(child_name);
            }
        }
        Ok(())
    }

    fn foreign_key(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let referring = self.relations.get(&number(row, 1)?);
        let (on_delete, on_update) = (word(row, 2)? == "t", word(row, 3)? == "t");
        if let Some(name) = referring.map(|(name, _)| name.clone())
            && let Some(relation) = self.of(row)?
        {
            relation.on_delete.extend(on_delete.then(|| name.clone()));
            relation.on_update.extend(on_update.then_some(name));
        }
        Ok(())
    }

    fn routine(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let calls: Vec<(String, String)> = match row.get(5).and_then(Option::as_deref) {
            Some(json) => serde_json::from_str(json)
                .map_err(|_| LookupError::Unexpected("the functions of an aggregate"))?,
            None => Vec::new(),
        };
        let routine = Routine {
            schema: word(row, 0)?.to_owned(),
            language: word(row, 2)?.to_lowercase(),
            promises_to_read: word(row, 3)? == "t",
            body: row.get(4).and_then(Option::as_deref).map(body),
            calls: calls
                .into_iter()
                .map(|(schema, name)| ServerName { schema, name })
                .collect(),
        };
        let name = word(row, 1)?.to_owned();
        self.catalog.routines.entry(name).or_default().push(routine);
        Ok(())
    }

    fn operator(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let mut operands = Vec::new();
        for at in [2, 3] {
            if row.get(at).is_some_and(Option::is_some) {
                operands.push(self.type_of(row, at)?);
            }
        }
        let operator = Operator {
            schema: word(row, 1)?.to_owned(),
            operands,
            function: name(row, 4)?,
        };
        let symbol = word(row, 0)?.to_owned();
        let overloads = self.catalog.operators.entry(symbol).or_default();
        overloads.push(operator);
        Ok(())
    }

    fn cast(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let cast = Cast {
            source: self.type_of(row, 0)?,
            target: self.type_of(row, 1)?,
            function: name(row, 2)?,
            implicit: word(row, 4)? == "t",
        };
        self.catalog.casts.push(cast);
        Ok(())
    }

    fn domain(&mut self, row: &OwnRow) -> Result<(), LookupError> {
        let (own, base) = (self.type_of(row, 0)?, self.type_of(row, 1)?);
        let domain = self.catalog.domains.entry(own).or_insert(Domain {
            base,
            checks: Vec::new(),
        });
        domain.checks.extend(row.get(2).cloned().flatten());
        Ok(())
    }

    fn finished(mut self) -> ServerCatalog {
        self.catalog.relations = self.relations.into_values().collect();
        self.catalog
    }
}

/// Schema and name, from two cells.
fn name(row: &OwnRow, at: usize) -> Result<ServerName, LookupError> {
    Ok(ServerName {
        schema: word(row, at)?.to_owned(),
        name: word(row, at + 1)?.to_owned(),
    })
}

fn one_statement(printed: &str) -> &str {
    printed.trim().trim_end_matches(';')
}

/// The body of an SQL function, as statements: what `BEGIN ATOMIC` and `RETURN` are short for is spelled out.
fn body(printed: &str) -> String {
    let text = printed.trim();
    if let Some(expression) = text.strip_prefix("RETURN ") {
        return format!("SELECT {expression}");
    }
    let inside = text.strip_prefix("BEGIN ATOMIC");
    let inside = inside.and_then(|inside| inside.strip_suffix("END"));
    inside.unwrap_or(text).trim().to_owned()
}

/// What a rule does: the rest after `DO`, without the words that say what becomes of the original.
fn actions(printed: &str) -> &str {
    let Some((_, rest)) = split_at_word(printed, "DO") else {
        return printed;
    };
    let rest = rest.trim_start();
    let rest = ["INSTEAD", "ALSO"]
        .iter()
        .find_map(|word| rest.strip_prefix(word))
        .unwrap_or(rest);
    let rest = one_statement(rest);
    let inside = rest
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    match inside {
        Some(inside) => inside.trim(),
        None if rest == "NOTHING" => "",
        None => rest,
    }
}

/// When a rule does it.
fn condition(printed: &str) -> Option<&str> {
    let (head, _) = split_at_word(printed, "DO")?;
    let (_, condition) = split_at_word(head, "WHERE")?;
    Some(condition.trim())
}

/// Splits what the server prints at the first such keyword that is not in quotes or parentheses.
fn split_at_word<'t>(printed: &'t str, keyword: &str) -> Option<(&'t str, &'t str)> {
    let mut quote = None;
    let mut depth = 0usize;
    let mut before = ' ';
    for (at, character) in printed.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if quote.is_none()
            && depth == 0
            && before.is_whitespace()
            && let Some(rest) = printed[at..].strip_prefix(keyword)
            && rest.starts_with(char::is_whitespace)
        {
            return Some((&printed[..at], rest));
        }
        before = character;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_reduced_to_what_it_does_and_when() {
        for (printed, does, when) in [
            (
                "CREATE RULE log AS\n    ON INSERT TO public.t DO  INSERT INTO public.log (v)\n  VALUES (new.v);",
                "INSERT INTO public.log (v)\n  VALUES (new.v)",
                None,
            ),
            (
                "CREATE RULE \"a DO b\" AS\n    ON UPDATE TO public.\"x DO y\"\n   WHERE ((old.v <> ' DO '::text) AND f(new.v)) DO INSTEAD  (DELETE FROM public.a;\n DELETE FROM public.b;\n);",
                "DELETE FROM public.a;\n DELETE FROM public.b;",
                Some("((old.v <> ' DO '::text) AND f(new.v))"),
            ),
            (
                "CREATE RULE no AS\n    ON DELETE TO public.t DO INSTEAD NOTHING;",
                "",
                None,
            ),
        ] {
            assert_eq!(actions(printed).trim(), does, "{printed}");
            assert_eq!(condition(printed), when, "{printed}");
        }
    }

    #[test]
    fn a_body_that_the_server_parsed_is_spelled_out_as_statements() {
        assert_eq!(body("RETURN (1 + x)"), "SELECT (1 + x)");
        assert_eq!(
            body("BEGIN ATOMIC\n SELECT a.b\n    FROM public.a;\nEND"),
            "SELECT a.b\n    FROM public.a;"
        );
        assert_eq!(body(" SELECT 1; SELECT 2 "), "SELECT 1; SELECT 2");
    }
}
