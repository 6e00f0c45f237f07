//! Values a statement brings itself, by their places in its text: what the tracing of columns found, held against the
//! tokens.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ColumnRef, Dialect,
    lex::{Kind, Token},
};
use crate::domain::classify::GivenValues;

/// The values beside columns, and the highest number of a parameter.
pub(super) fn given(
    dialect: Dialect,
    text: &str,
    tokens: &[Token],
    beside: BTreeMap<u32, BTreeSet<ColumnRef>>,
) -> (Vec<GivenValues>, usize) {
    let mut all_numbered = true;
    let mut highest = 0;
    // By number, the columns of each place it stands in; `None`: one of them is not beside a column.
    let mut parameters: BTreeMap<usize, Option<BTreeSet<&ColumnRef>>> = BTreeMap::new();
    let mut literals: BTreeMap<&BTreeSet<ColumnRef>, GivenValues> = BTreeMap::new();
    for (index, token) in tokens.iter().enumerate() {
        let columns = beside.get(&token.start);
        match token.kind {
            Kind::Parameter => {
                let number = number(dialect, &text[token.start as usize..token.end as usize]);
                let Some(number) = number else {
                    all_numbered = false;
                    continue;
                };
                highest = highest.max(number);
                let known = parameters
                    .entry(number)
                    .or_insert_with(|| Some(BTreeSet::new()));
                match (known.as_mut(), columns) {
                    (Some(known), Some(columns)) => known.extend(columns),
                    _ => *known = None,
                }
            }
            Kind::Text => {
                // Strings that touch are one string to some servers.
                let is_text = |at: Option<usize>| {
                    at.and_then(|at| tokens.get(at))
                        .is_some_and(|token| token.kind == Kind::Text)
                };
                if let Some(columns) = columns
                    && is_plain(&text[token.start as usize..token.end as usize])
                    && !is_text(index.checked_sub(1))
                    && !is_text(Some(index + 1))
                {
                    let entry = literals
                        .entry(columns)
                        .or_insert_with(|| empty(columns.clone()));
                    entry
                        .literals
                        .push(token.start as usize..token.end as usize);
                }
            }
            _ => {}
        }
    }
    let mut found: Vec<GivenValues> = Vec::new();
    // A new parameter would change the numbers of those that are only counted.
    if all_numbered {
        found.extend(literals.into_values());
    }
    for (number, columns) in parameters {
        if let Some(columns) = columns {
            let columns: BTreeSet<ColumnRef> = columns.into_iter().cloned().collect();
            match found.iter_mut().find(|given| given.columns == columns) {
                Some(given) => {
                    given.parameters.insert(number);
                }
                None => found.push(GivenValues {
                    parameters: BTreeSet::from([number]),
                    ..empty(columns)
                }),
            }
        }
    }
    (found, highest)
}

/// `'…'`, `E'…'` or `N'…'`.
fn is_plain(literal: &str) -> bool {
    literal
        .trim_start_matches(['e', 'E', 'n', 'N'])
        .starts_with('\'')
}

fn empty(columns: BTreeSet<ColumnRef>) -> GivenValues {
    GivenValues {
        columns,
        literals: Vec::new(),
        parameters: BTreeSet::new(),
    }
}

/// The number of `$1` or `?1`.
fn number(dialect: Dialect, parameter: &str) -> Option<usize> {
    let sign = match dialect {
        Dialect::Postgres => '$',
        Dialect::Sqlite => '?',
        Dialect::Mysql | Dialect::Mssql => return None,
    };
    parameter.strip_prefix(sign)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::{Dialect, classify};

    /// What stands for a value of a column, as `text <- columns`.
    fn told(dialect: Dialect, sql: &str) -> String {
        let facts = classify(dialect, sql);
        let mut lines = Vec::new();
        for given in &facts.given {
            let columns: Vec<String> = given
                .columns
                .iter()
                .map(|column| {
                    let relation = column.relation.as_deref().unwrap_or("?");
                    format!("{relation}.{}", column.column)
                })
                .collect();
            let columns = columns.join(" or ");
            for place in &given.literals {
                lines.push(format!("{} is of {columns}", &sql[place.clone()]));
            }
            for number in &given.parameters {
                lines.push(format!("parameter {number} is of {columns}"));
            }
        }
        lines.join("; ")
    }

    #[test]
    fn values_are_given_where_they_are_compared_with_a_column_or_written_to_it() {
        let mut table = String::new();
        for (dialect, statements) in [
            (
                Dialect::Postgres,
                [
                    "SELECT * FROM c WHERE email = 'x'",
                    "SELECT * FROM c WHERE 'x' <> email AND town != E'y' OR note = N'z'",
                    "SELECT * FROM public.c AS d WHERE (d.email) = ('x')",
                    "SELECT * FROM c WHERE email IN ('x', 'y', $1)",
                    "SELECT * FROM c WHERE email NOT IN ('x')",
                    "SELECT * FROM c WHERE email IS NOT DISTINCT FROM 'x'",
                    "SELECT * FROM c WHERE email = ANY(ARRAY['x', 'y'])",
                    "SELECT * FROM c WHERE email = $1::text OR id = '1'::uuid",
                    "SELECT CASE email WHEN 'x' THEN 'y' END FROM c",
                    "SELECT * FROM c JOIN o ON c.email = 'x' AND o.town = 'y'",
                    "SELECT * FROM c, o WHERE email = 'x'",
                    "SELECT * FROM (SELECT email AS e FROM c) AS s WHERE e = 'x'",
                    "WITH s AS (SELECT email FROM c WHERE email = 'x') SELECT * FROM s",
                    "SELECT * FROM c WHERE EXISTS (SELECT FROM o WHERE o.town = 'x')",
                    "SELECT town, count(*) FROM c GROUP BY town HAVING town = 'x'",
                    "INSERT INTO c (id, email) VALUES (1, 'x'), (2, $1) ON CONFLICT (id) DO UPDATE SET email = 'y'",
                    "UPDATE c SET email = 'x', town = upper('y') WHERE email = 'z'",
                    "DELETE FROM c WHERE email = 'x' RETURNING id",
                    "MERGE INTO c USING o ON c.id = o.id AND c.email = 'x' WHEN MATCHED THEN UPDATE SET email = 'y' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (1, 'z')",
                ]
                .as_slice(),
            ),
            (
                Dialect::Sqlite,
                [
                    "SELECT * FROM c WHERE email = 'x' AND id = ?1",
                    "SELECT * FROM c WHERE email == 'x'",
                    "UPDATE c SET email = ?2 WHERE email = ?1",
                ]
                .as_slice(),
            ),
        ] {
            for sql in statements {
                writeln!(table, "{sql}\n    {}", told(dialect, sql)).unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn values_that_are_used_in_another_way_are_not_given() {
        for sql in [
            "SELECT 'x'",
            "SELECT 'x', * FROM c WHERE email = email",
            "SELECT * FROM c WHERE email < 'x'",
            "SELECT * FROM c WHERE email BETWEEN 'x' AND 'y'",
            "SELECT * FROM c WHERE email LIKE 'x'",
            "SELECT * FROM c WHERE email ~ 'x'",
            "SELECT * FROM c WHERE email || 'x' = town",
            "SELECT * FROM c WHERE lower(email) = 'x'",
            "SELECT * FROM c WHERE email = lower('x')",
            "SELECT * FROM c WHERE email = 'x' || ''",
            "SELECT * FROM c WHERE email = 'x' COLLATE \"C\"",
            "SELECT * FROM c WHERE email = 'x'::varchar(3)",
            "SELECT * FROM c WHERE email = CAST('x' AS char(3))",
            "SELECT * FROM c WHERE email = 'x'::date",
            "SELECT * FROM c WHERE email::varchar(3) = 'x'",
            "SELECT * FROM c WHERE NULLIF(email, 'x') IS NULL",
            "SELECT * FROM c WHERE (email, town) = ('x', 'y')",
            "SELECT * FROM c WHERE email = $$x$$",
            "SELECT * FROM c WHERE email = U&'x'",
            "SELECT * FROM c WHERE email = X'78'",
            "SELECT * FROM c WHERE email = 'x\\'' OR town = 'y'",
            "SELECT * FROM c WHERE email = (SELECT 'x')",
            "SELECT * FROM c JOIN (VALUES ('x')) AS v (email) USING (email)",
            "SELECT * FROM (SELECT upper(email) AS email FROM c) AS s WHERE email = 'x'",
            "SELECT * FROM (VALUES ('x')) AS v (e) WHERE e = 'x'",
            "SELECT $1, * FROM c WHERE email = $1",
            "SELECT * FROM c WHERE email = $1 AND town LIKE $1",
            "SELECT * FROM c LIMIT 'x'",
            "SELECT * FROM c ORDER BY 'x'",
            "INSERT INTO c VALUES (1, 'x')",
            "INSERT INTO c (email) SELECT 'x'",
            "UPDATE c SET email = 'x' || email",
            "EXPLAIN SELECT * FROM c WHERE email = 'x'",
            "EXPLAIN ANALYZE UPDATE c SET email = 'x'",
            "CREATE VIEW v AS SELECT * FROM c WHERE email = 'x'",
            "PREPARE p AS SELECT * FROM c WHERE email = 'x'",
            "DECLARE p CURSOR FOR SELECT * FROM c WHERE email = 'x'",
            "COPY (SELECT * FROM c WHERE email = 'x') TO STDOUT",
        ] {
            assert_eq!(told(Dialect::Postgres, sql), "", "{sql}");
        }
        for sql in [
            "SELECT * FROM c WHERE email = \"x\"",
            "SELECT * FROM c WHERE email = 'x' AND id = ?",
            "SELECT * FROM c WHERE email = 'x' AND id = :id",
            "SELECT * FROM c WHERE id = CAST('1' AS INTEGER)",
            "SELECT upper(email) AS email FROM c WHERE email = 'x'",
            "EXPLAIN QUERY PLAN SELECT * FROM c WHERE email = 'x'",
        ] {
            assert_eq!(told(Dialect::Sqlite, sql), "", "{sql}");
        }
    }
}
