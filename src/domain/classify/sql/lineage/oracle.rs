//! Non-interference, judged by a real database: random queries run over two small tables; one column's values change;
//! whatever changes in the result must have that column among its sources, or among the predicates.

use std::collections::BTreeSet;

use rusqlite::{Connection, types::Value};

use super::tests::try_read;
use crate::domain::classify::{ColumnRef, Dialect, OutputSource, Outputs};

const TABLES: [(&str, [&str; 4]); 2] = [("t", ["id", "k", "s", "n"]), ("u", ["id", "k", "v", "w"])];
const ROWS: usize = 4;

/// A small generator of numbers, so that a failing query is found again by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    fn pick<'p, T: ?Sized>(&mut self, from: &[&'p T]) -> &'p T {
        from[self.roll(from.len())]
    }
}

/// A relation an expression may refer to.
#[derive(Clone)]
struct Visible {
    alias: String,
    columns: Vec<String>,
}

/// Writes queries.
struct Writer {
    dice: Dice,
    aliases: usize,
    /// What the name of every relation begins with.
    prefix: &'static str,
    /// Common tables in scope.
    common: Vec<Visible>,
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Plain,
    Aggregate,
}

impl Writer {
    fn alias(&mut self, prefix: &str) -> String {
        self.aliases += 1;
        format!("{}{prefix}{}", self.prefix, self.aliases)
    }

    fn column(&mut self, scope: &[Visible]) -> String {
        if scope.is_empty() {
            return "1".into();
        }
        let relation = &scope[self.dice.roll(scope.len())];
        if relation.columns.is_empty() {
            return "2".into();
        }
        let column = &relation.columns[self.dice.roll(relation.columns.len())];
        if self.dice.one_in(6) {
            column.clone()
        } else {
            format!("{}.{column}", relation.alias)
        }
    }

    fn literal(&mut self) -> String {
        self.dice
            .pick(&["1", "2", "'x'", "'y'", "NULL", "'s1'", "3.5", "''"])
            .to_owned()
    }

    fn expression(&mut self, scope: &[Visible], depth: usize, inside: Inside) -> String {
        if depth == 0 {
            return if self.dice.one_in(5) {
                self.literal()
            } else {
                self.column(scope)
            };
        }
        let d = depth - 1;
        macro_rules! e {
            () => {
                self.expression(scope, d, inside)
            };
        }
        if inside == Inside::Aggregate && self.dice.one_in(2) {
            let argument = self.expression(scope, d, Inside::Plain);
            return match self.dice.roll(9) {
                0 => "count(*)".into(),
                1 => format!("sum({argument})"),
                2 => format!("max({argument})"),
                3 => format!("min({argument})"),
                4 => format!("group_concat({argument})"),
                5 => format!("count(DISTINCT {argument})"),
                6 => {
                    let condition = self.condition(scope, d);
                    format!("count(*) FILTER (WHERE {condition})")
                }
                7 => {
                    let by = self.column(scope);
                    format!("group_concat({argument}, '-' ORDER BY {by})")
                }
                _ => format!("total({argument})"),
            };
        }
        match self.dice.roll(26) {
            0..=6 => self.column(scope),
            7 => self.literal(),
            8 => format!("({} || {})", e!(), e!()),
            9 => format!("({} + {})", e!(), e!()),
            10 => format!("length({})", e!()),
            11 => format!("upper({})", e!()),
            12 => format!("substr({}, 1, 2)", e!()),
            13 => format!("coalesce({}, {})", e!(), e!()),
            14 => format!("nullif({}, {})", e!(), e!()),
            15 => {
                let condition = self.condition(scope, d);
                format!("iif({condition}, {}, {})", e!(), e!())
            }
            16 => {
                let condition = self.condition(scope, d);
                format!("CASE WHEN {condition} THEN {} ELSE {} END", e!(), e!())
            }
            17 => format!("CASE {} WHEN {} THEN {} END", e!(), e!(), e!()),
            18 => format!("({} = {})", e!(), e!()),
            19 => format!("CAST({} AS TEXT)", e!()),
            20 => format!("printf('%s-%s', {}, {})", e!(), e!()),
            21 => format!("max({}, {})", e!(), e!()),
            22 => format!("json_array({}, {})", e!(), e!()),
            23 => {
                let query = self.select(scope, d, Some(1));
                format!("({query})")
            }
            24 => {
                let query = self.query(scope, d, None);
                format!("EXISTS ({query})")
            }
            _ if inside == Inside::Plain => self.windowed(scope, d),
            _ => e!(),
        }
    }

    fn windowed(&mut self, scope: &[Visible], depth: usize) -> String {
        let argument = self.expression(scope, depth.min(1), Inside::Aggregate);
        // Aggregates inside a window's argument would group the whole select; keep it plain.
        let argument = if argument.contains('(') {
            self.column(scope)
        } else {
            argument
        };
        let function = match self.dice.roll(6) {
            0 => "row_number()".into(),
            1 => format!("sum({argument})"),
            2 => format!("lag({argument})"),
            3 => format!("first_value({argument})"),
            4 => "rank()".into(),
            _ => "count(*)".into(),
        };
        let by = self.column(scope);
        let order = self.column(scope);
        match self.dice.roll(4) {
            0 => format!("{function} OVER (PARTITION BY {by})"),
            1 => format!("{function} OVER (ORDER BY {order})"),
            2 => format!("{function} OVER (PARTITION BY {by} ORDER BY {order} DESC)"),
            _ => format!("{function} OVER ()"),
        }
    }

    fn condition(&mut self, scope: &[Visible], depth: usize) -> String {
        let d = depth.saturating_sub(1);
        let left = self.expression(scope, d, Inside::Plain);
        let right = self.expression(scope, d, Inside::Plain);
        // Windows may not stand in a condition.
        if left.contains("OVER") || right.contains("OVER") {
            return format!("{} IS NOT NULL", self.column(scope));
        }
        match self.dice.roll(10) {
            0 => format!("{left} = {right}"),
            1 => format!("{left} < {right}"),
            2 => format!("{left} IS NULL"),
            3 => format!("{left} IN ({right}, 'x', 1)"),
            4 if depth > 0 => {
                let query = self.query(scope, d, Some(1));
                format!("{left} IN ({query})")
            }
            5 if depth > 0 => {
                let query = self.query(scope, d, None);
                format!("NOT EXISTS ({query})")
            }
            6 => format!("{left} LIKE 's%'"),
            7 => format!("({left} = {right} OR {right} > 2)"),
            8 => format!("{left} BETWEEN 1 AND {right}"),
            _ => format!("{left} <> {right}"),
        }
    }

    /// A relation for FROM: its text, and what it makes visible.
    fn relation(&mut self, outer: &[Visible], depth: usize) -> (String, Visible) {
        if !self.common.is_empty() && self.dice.one_in(3) {
            let common = self.common[self.dice.roll(self.common.len())].clone();
            if self.dice.one_in(2) {
                return (common.alias.clone(), common);
            }
            let alias = self.alias("c");
            return (
                format!("{} AS {alias}", common.alias),
                Visible {
                    alias,
                    columns: common.columns,
                },
            );
        }
        if depth > 0 && self.dice.one_in(3) {
            let alias = self.alias("d");
            let (query, columns) = self.named_query(outer, depth - 1);
            return (format!("({query}) AS {alias}"), Visible { alias, columns });
        }
        if self.dice.one_in(12) {
            let alias = self.alias("v");
            let (first, second) = (self.literal(), self.expression(outer, 1, Inside::Plain));
            let columns = vec!["column1".to_owned(), "column2".to_owned()];
            return (
                format!("(VALUES ({first}, {second}), (1, 'x')) AS {alias}"),
                Visible { alias, columns },
            );
        }
        if self.dice.one_in(16) {
            let (left, first) = self.relation(&[], 0);
            let (right, second) = self.relation(&[], 0);
            let alias = self.alias("j");
            let on = format!(
                "{} = {}",
                self.column(std::slice::from_ref(&first)),
                self.column(&[second])
            );
            return (
                format!("({left} LEFT JOIN {right} ON {on}) AS {alias}"),
                Visible {
                    alias,
                    columns: first.columns,
                },
            );
        }
        let (table, mut columns) = {
            let (table, columns) = TABLES[self.dice.roll(TABLES.len())];
            (table, columns.to_vec())
        };
        if self.dice.one_in(12) {
            columns.push("rowid");
        }
        let alias = self.alias("r");
        let columns = columns.into_iter().map(str::to_owned).collect();
        (format!("{table} AS {alias}"), Visible { alias, columns })
    }

    fn from(&mut self, outer: &[Visible], depth: usize) -> (String, Vec<Visible>) {
        let (mut text, first) = self.relation(outer, depth);
        let mut scope = vec![first];
        while scope.len() < 3 && self.dice.one_in(3) {
            let (relation, visible) = self.relation(outer, depth);
            let shared = scope[0]
                .columns
                .iter()
                .find(|column| visible.columns.contains(column))
                .cloned();
            let left_alias = scope[self.dice.roll(scope.len())].clone();
            let kind = self
                .dice
                .pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
                .to_owned();
            match (self.dice.roll(5), shared) {
                (0, _) => text.push_str(&format!(", {relation}")),
                (1, Some(column)) => {
                    text.push_str(&format!(" {kind} {relation} USING ({column})"));
                }
                (2, Some(_)) => text.push_str(&format!(" NATURAL {kind} {relation}")),
                _ => {
                    let (mut left, mut right) = (
                        self.column(&[left_alias]),
                        self.column(std::slice::from_ref(&visible)),
                    );
                    // Mostly a condition that finds rows.
                    if self.dice.one_in(2) {
                        (left, right) = ("1".into(), "1".into());
                    }
                    text.push_str(&format!(" {kind} {relation} ON {left} = {right}"));
                }
            }
            scope.push(visible);
        }
        if self.dice.one_in(12) {
            let alias = self.alias("e");
            let array = format!(
                "json_array({}, {})",
                self.column(&scope),
                self.column(&scope)
            );
            text.push_str(&format!(", json_each({array}) AS {alias}"));
            scope.push(Visible {
                alias,
                columns: vec!["value".into(), "key".into()],
            });
        }
        (text, scope)
    }

    /// A query whose outputs all have names.
    fn named_query(&mut self, outer: &[Visible], depth: usize) -> (String, Vec<String>) {
        // SQLite's derived tables do not see their siblings, but may see an outer query.
        if self.dice.one_in(4) {
            let (from, scope) = self.from(outer, depth);
            let mut columns: Vec<String> = Vec::new();
            for relation in &scope {
                columns.extend(relation.columns.iter().cloned());
            }
            let condition = if self.dice.one_in(2) {
                let mut all = scope.clone();
                all.extend_from_slice(outer);
                format!(" WHERE {}", self.condition(&all, 1))
            } else {
                String::new()
            };
            return (format!("SELECT * FROM {from}{condition}"), columns);
        }
        let width = 1 + self.dice.roll(3);
        let mut text = self.query(outer, depth, Some(width));
        if self.dice.one_in(8) {
            let alias = self.alias("n");
            text = format!("WITH {alias} AS ({text}) SELECT * FROM {alias}");
        }
        // The names are those of the first SELECT; `query` gives every output one.
        (text, (0..width).map(|index| format!("o{index}")).collect())
    }

    fn query(&mut self, outer: &[Visible], depth: usize, width: Option<usize>) -> String {
        if depth == 0 || !self.dice.one_in(4) {
            return self.select(outer, depth, width);
        }
        let width = width.unwrap_or(1 + self.dice.roll(2));
        let left = self.select(outer, depth - 1, Some(width));
        let right = self.select(outer, depth - 1, Some(width));
        let operator = self
            .dice
            .pick(&["UNION", "UNION ALL", "UNION ALL", "EXCEPT", "INTERSECT"]);
        let plain = |text: &str| {
            !text.contains(" ORDER BY ") && !text.contains(" LIMIT ") && !text.starts_with("WITH")
        };
        if plain(&left) && plain(&right) {
            let order = match self.dice.roll(6) {
                0 => " ORDER BY o0".to_owned(),
                1 => format!(" ORDER BY {width} LIMIT 2"),
                _ => String::new(),
            };
            format!("{left} {operator} {right}{order}")
        } else {
            format!("SELECT * FROM ({left}) {operator} SELECT * FROM ({right})")
        }
    }

    fn select(&mut self, outer: &[Visible], depth: usize, width: Option<usize>) -> String {
        let (from, scope) = self.from(outer, depth.saturating_sub(1));
        let mut all = scope.clone();
        if !outer.is_empty() && self.dice.one_in(2) {
            all.extend_from_slice(outer);
        }
        let inside = if self.dice.one_in(4) {
            Inside::Aggregate
        } else {
            Inside::Plain
        };
        let width_here = width.unwrap_or(1 + self.dice.roll(3));
        let mut outputs: Vec<String> = (0..width_here)
            .map(|index| {
                let expression = self.expression(&all, depth.min(2), inside);
                format!("{expression} AS o{index}")
            })
            .collect();
        if width.is_none() && self.dice.one_in(5) {
            let star = if self.dice.one_in(2) {
                "*".to_owned()
            } else {
                format!("{}.*", scope[self.dice.roll(scope.len())].alias)
            };
            let at = self.dice.roll(outputs.len() + 1);
            outputs.insert(at, star);
        }
        let distinct = if self.dice.one_in(8) { "DISTINCT " } else { "" };
        let mut text = format!("SELECT {distinct}{} FROM {from}", outputs.join(", "));
        if self.dice.one_in(4) {
            text.push_str(&format!(" WHERE {}", self.condition(&all, depth.min(2))));
        } else if self.dice.one_in(12) {
            text.push_str(" WHERE o0 IS NOT NULL");
        }
        if inside == Inside::Aggregate && self.dice.one_in(2) {
            let by = match self.dice.roll(4) {
                0 => "1".to_owned(),
                1 => "o0".to_owned(),
                _ => self.column(&scope),
            };
            text.push_str(&format!(" GROUP BY {by}"));
            if self.dice.one_in(3) {
                text.push_str(&format!(" HAVING count({}) > 1", self.column(&scope)));
            }
        }
        if self.dice.one_in(5) {
            match self.dice.roll(3) {
                0 => text.push_str(" ORDER BY 1"),
                _ => text.push_str(&format!(" ORDER BY o{}", self.dice.roll(width_here))),
            }
            if self.dice.one_in(2) {
                text.push_str(&format!(", {}", self.column(&scope)));
            }
            if self.dice.one_in(2) {
                text.push_str(" LIMIT 2");
            }
        }
        text
    }

    /// A write that gives rows back.
    fn write(&mut self) -> String {
        let (table, columns) = TABLES[self.dice.roll(TABLES.len())];
        let target = Visible {
            alias: table.to_owned(),
            columns: columns.map(str::to_owned).to_vec(),
        };
        let scope = [target];
        let set = columns[self.dice.roll(columns.len())];
        let value = self.expression(&scope, 2, Inside::Plain);
        let returned = match self.dice.roll(4) {
            0 => "*".to_owned(),
            1 => format!("{}, *", self.expression(&scope, 1, Inside::Plain)),
            2 => format!("{set}, {}", self.column(&scope)),
            _ => self.expression(&scope, 2, Inside::Plain),
        };
        let condition = if self.dice.one_in(2) {
            format!(" WHERE {}", self.condition(&scope, 1))
        } else {
            String::new()
        };
        match self.dice.roll(4) {
            0 => format!("DELETE FROM {table}{condition} RETURNING {returned}"),
            1 => {
                let other = columns[self.dice.roll(columns.len())];
                let query = self.select(&[], 2, Some(2));
                format!("INSERT INTO {table} ({set}, {other}) {query} RETURNING {returned}")
            }
            2 => {
                let (from, source) = self.from(&[], 1);
                let value = self.column(&source);
                format!(
                    "UPDATE {table} SET {set} = {value} FROM {from}{condition} RETURNING {returned}"
                )
            }
            _ => format!("UPDATE {table} SET {set} = {value}{condition} RETURNING {returned}"),
        }
    }

    fn statement(&mut self) -> String {
        if self.dice.one_in(8) {
            return self.write();
        }
        let mut common = Vec::new();
        if self.dice.one_in(3) {
            for _ in 0..1 + self.dice.roll(2) {
                let alias = self.alias("w");
                if self.dice.one_in(3) {
                    let (seed, scope) = self.from(&[], 0);
                    let first = self.expression(&scope, 1, Inside::Plain);
                    let second = self.expression(&scope, 1, Inside::Plain);
                    let column = self.column(&[Visible {
                        alias: "r0".into(),
                        columns: vec!["id".into(), "k".into()],
                    }]);
                    common.push(format!(
                        "{alias}(i, a, b) AS (SELECT 0, {first}, {second} FROM {seed} UNION ALL \
                         SELECT i + 1, b, a || {column} FROM {alias}, t AS r0 WHERE i < 2 AND r0.id = i)"
                    ));
                    self.common.push(Visible {
                        alias,
                        columns: vec!["i".into(), "a".into(), "b".into()],
                    });
                } else {
                    let (query, columns) = self.named_query(&[], 1);
                    common.push(format!("{alias} AS ({query})"));
                    self.common.push(Visible { alias, columns });
                }
            }
        }
        let query = self.query(&[], 3, None);
        if common.is_empty() {
            query
        } else {
            format!("WITH {} {query}", common.join(", "))
        }
    }
}

/// The tables with one column's values replaced; `None`: as they are.
fn database(changed: Option<(usize, usize, usize)>) -> Connection {
    let database = Connection::open_in_memory().unwrap();
    // An automatic index would order equal rows by columns the query does not order by.
    database
        .pragma_update(None, "automatic_index", false)
        .unwrap();
    for (table, (name, columns)) in TABLES.iter().enumerate() {
        // No INTEGER PRIMARY KEY and no index: the order of rows must not depend on values.
        database
            .execute_batch(&format!("CREATE TABLE {name} ({})", columns.join(", ")))
            .unwrap();
        for row in 0..ROWS {
            let values: Vec<Value> = (0..columns.len())
                .map(|column| match changed {
                    Some((t, c, variant)) if (t, c) == (table, column) => {
                        replacement(table, column, row, variant)
                    }
                    _ => original(table, column, row),
                })
                .collect();
            let marks = vec!["?"; columns.len()].join(", ");
            database
                .execute(
                    &format!("INSERT INTO {name} VALUES ({marks})"),
                    rusqlite::params_from_iter(values),
                )
                .unwrap();
        }
    }
    database
}

fn original(table: usize, column: usize, row: usize) -> Value {
    match column {
        0 => Value::Integer(row as i64),
        1 => Value::Text(["x", "y"][(row + table) % 2].into()),
        2 => Value::Text(format!("s{}{}", table, row)),
        _ => Value::Integer((table * 10 + row * 3 % 5) as i64),
    }
}

fn replacement(table: usize, column: usize, row: usize, variant: usize) -> Value {
    match variant {
        0 => Value::Text(format!("changed {table}{column}{}", ROWS - row)),
        1 => match row {
            0 => Value::Null,
            1 => Value::Text("x".into()),
            2 => Value::Integer(2),
            _ => Value::Text("s1".into()),
        },
        _ => original(table, column, (row + 1) % ROWS),
    }
}

const VARIANTS: usize = 3;

type Rows = Vec<Vec<Value>>;

fn writes(sql: &str) -> bool {
    !sql.starts_with("SELECT") && !sql.starts_with("WITH")
}

/// Runs `sql` and takes back what it wrote.
fn run(database: &Connection, sql: &str) -> Option<(usize, Rows)> {
    if !writes(sql) {
        return run_in_transaction(database, sql);
    }
    database.execute_batch("BEGIN").unwrap();
    let result = run_in_transaction(database, sql);
    database.execute_batch("ROLLBACK").unwrap();
    result
}

fn run_in_transaction(database: &Connection, sql: &str) -> Option<(usize, Rows)> {
    let mut statement = database.prepare_cached(sql).ok()?;
    let width = statement.column_count();
    let mut rows = statement.query([]).ok()?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().ok()? {
        all.push((0..width).map(|index| row.get(index).unwrap()).collect());
        if all.len() > 500 {
            return None;
        }
    }
    Some((width, all))
}

fn covers(columns: &BTreeSet<ColumnRef>, table: &str, column: &str) -> bool {
    columns.iter().any(|known| {
        known.relation.as_deref().is_none_or(|name| name == table)
            && (known.column == "*" || known.column == column)
    })
}

fn width_of(output: &OutputSource) -> usize {
    match output {
        OutputSource::Star(Some(_)) => TABLES[0].1.len(),
        OutputSource::Star(None) => 0,
        OutputSource::Column(_) | OutputSource::From(_) | OutputSource::Unproven => 1,
    }
}

/// What may be in each column the server returns; `None`: not proven.
fn by_position(outputs: &[OutputSource], width: usize) -> Vec<Option<BTreeSet<ColumnRef>>> {
    let column = |relation: Option<&str>, column: &str| {
        Some(BTreeSet::from([ColumnRef {
            relation: relation.map(str::to_owned),
            column: column.to_owned(),
        }]))
    };
    let unknown_widths = outputs
        .iter()
        .filter(|output| matches!(output, OutputSource::Star(None)))
        .count();
    if unknown_widths > 1 {
        return vec![None; width];
    }
    let mut positions = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        match output {
            OutputSource::Column(columns) | OutputSource::From(columns) => {
                positions.push(Some(columns.clone()));
            }
            OutputSource::Unproven => positions.push(None),
            OutputSource::Star(Some(relation)) => {
                let (_, columns) = TABLES
                    .iter()
                    .find(|(name, _)| name == relation)
                    .unwrap_or_else(|| panic!("a star over {relation}, which is no table"));
                positions.extend(columns.iter().map(|name| column(Some(relation), name)));
            }
            OutputSource::Star(None) => {
                let rest: usize = outputs[index + 1..].iter().map(width_of).sum();
                let here = width.saturating_sub(rest + positions.len());
                positions.extend((0..here).map(|_| column(None, "*")));
            }
        }
    }
    positions
}

struct Databases {
    plain: Connection,
    changed: Vec<(usize, usize, Connection)>,
}

impl Databases {
    fn new() -> Self {
        let mut changed = Vec::new();
        for (table, (_, columns)) in TABLES.iter().enumerate() {
            for column in 0..columns.len() {
                for variant in 0..VARIANTS {
                    let database = database(Some((table, column, variant)));
                    changed.push((table, column, database));
                }
            }
        }
        Self {
            plain: database(None),
            changed,
        }
    }
}

/// What one query showed.
#[derive(Default)]
struct Tally {
    ran: usize,
    proven_columns: usize,
    columns: usize,
    effects: usize,
    explained_by_source_alone: usize,
}

fn check(databases: &Databases, sql: &str, tally: &mut Tally) -> Result<(), String> {
    let Some((width, rows)) = run(&databases.plain, sql) else {
        return Ok(());
    };
    // What sqlparser cannot read never gets here.
    let Ok(lineage) = try_read(Dialect::Sqlite, sql) else {
        return Ok(());
    };
    tally.ran += 1;
    tally.columns += width;
    let positions = match &lineage.outputs {
        Outputs::Known(outputs) => by_position(outputs, width),
        Outputs::Unproven | Outputs::Described => vec![None; width],
    };
    if positions.len() != width {
        return Err(format!(
            "{} outputs of {width}: {sql}\n{}",
            positions.len(),
            super::tests::text(&lineage)
        ));
    }
    tally.proven_columns += positions.iter().flatten().count();
    if let Outputs::Known(outputs) = &lineage.outputs
        && outputs.len() == width
        && !writes(sql)
    {
        for (index, output) in outputs.iter().enumerate() {
            if let OutputSource::Column(columns) = output {
                for row in &rows {
                    if !is_unchanged(&row[index], columns) {
                        return Err(format!(
                            "output {index} shows {:?}, which is in none of its columns: {sql}\n{}",
                            row[index],
                            super::tests::text(&lineage)
                        ));
                    }
                }
            }
        }
    }
    for (table, column, database) in &databases.changed {
        let Some((_, after)) = run(database, sql) else {
            continue;
        };
        if after == rows {
            continue;
        }
        tally.effects += 1;
        let (table, columns) = TABLES[*table];
        let column = columns[*column];
        if covers(&lineage.predicates, table, column) {
            continue;
        }
        let fail = |what: &str| {
            Err(format!(
                "{table}.{column} changes {what}, and is neither its source nor a predicate: \
                 {sql}\n{}\nbefore {rows:?}\nafter  {after:?}",
                super::tests::text(&lineage)
            ))
        };
        if after.len() != rows.len() {
            return fail("how many rows there are");
        }
        for (index, sources) in positions.iter().enumerate() {
            let changed = rows
                .iter()
                .zip(&after)
                .any(|(before, after)| before[index] != after[index]);
            if let (true, Some(sources)) = (changed, sources) {
                if !covers(sources, table, column) {
                    return fail(&format!("output {index}"));
                }
                tally.explained_by_source_alone += 1;
            }
        }
    }
    Ok(())
}

fn is_unchanged(value: &Value, columns: &BTreeSet<ColumnRef>) -> bool {
    *value == Value::Null
        || TABLES.iter().enumerate().any(|(table, (name, names))| {
            names.iter().enumerate().any(|(column, column_name)| {
                covers(columns, name, column_name)
                    && (0..ROWS).any(|row| original(table, column, row) == *value)
            })
        })
}

impl Writer {
    fn new(seed: u64, prefix: &'static str) -> Self {
        Self {
            dice: Dice(seed),
            aliases: 0,
            prefix,
            common: Vec::new(),
        }
    }
}

/// A random statement: a query, or now and then a write that gives rows back.
pub(super) fn random_statement(seed: u64) -> String {
    Writer::new(seed, "").statement()
}

/// A random query of `width` outputs called o0, o1, .., whose relations' names begin with `prefix`.
pub(super) fn random_query(seed: u64, width: usize, prefix: &'static str) -> String {
    Writer::new(seed, prefix).query(&[], 3, Some(width))
}

#[test]
fn what_changes_with_a_column_has_it_among_its_sources_or_predicates() {
    let databases = Databases::new();
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    for seed in 0..QUERIES {
        let sql = random_statement(seed);
        if let Err(failure) = check(&databases, &sql, &mut tally) {
            failures.push(format!("seed {seed}: {failure}"));
        }
    }
    failures.sort_by_key(String::len);
    assert!(
        failures.is_empty(),
        "{} failures, the shortest:\n{}",
        failures.len(),
        failures[..failures.len().min(12)].join("\n\n")
    );
    // The test means something only while most queries run, most outputs are proven, and changes have effects.
    println!(
        "{} of {} ran, {}/{} columns proven, {} effects, {} explained by a source alone",
        tally.ran,
        QUERIES,
        tally.proven_columns,
        tally.columns,
        tally.effects,
        tally.explained_by_source_alone
    );
    assert!(tally.ran * 10 > QUERIES as usize * 6);
    assert!(tally.proven_columns * 10 > tally.columns * 9);
    assert!(tally.explained_by_source_alone * 2 > QUERIES as usize);
}

/// Tens of thousands find no more than these do, in a hundred times the time.
const QUERIES: u64 = 600;
