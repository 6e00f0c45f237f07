//! Statement to lineage, as compact text.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use sqlparser::{
    dialect::{PostgreSqlDialect, SQLiteDialect},
    parser::{Parser, ParserError},
};

use super::super::catalog::Behind;
use super::{Lineage, lineage, oracle::random_query};
use crate::domain::classify::{ColumnRef, Dialect, OutputSource, Outputs};

/// Untraced: all it reads may be shown.
const NO_TREE: &str = "it has no tree";

pub(super) fn try_read(dialect: Dialect, sql: &str) -> Result<Lineage, ParserError> {
    let statements = match dialect {
        Dialect::Postgres => Parser::parse_sql(&PostgreSqlDialect {}, sql),
        Dialect::Sqlite => Parser::parse_sql(&SQLiteDialect {}, sql),
        // From our own tokens, in every reading: sqlparser's lexer is not theirs.
        Dialect::Mysql | Dialect::Mssql => {
            return super::super::trace(dialect, sql, Default::default(), &Behind::default())
                .map(|(lineage, _)| lineage)
                .ok_or_else(|| ParserError::ParserError(NO_TREE.into()));
        }
    }?;
    let mut lineage = lineage(dialect, &statements);
    // By their order: where they begin depends on everything before them.
    lineage.beside = (0..).zip(lineage.beside.into_values()).collect();
    Ok(lineage)
}

pub(super) fn read(dialect: Dialect, sql: &str) -> Lineage {
    try_read(dialect, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn column_text(column: &ColumnRef) -> String {
    let relation = column.relation.as_deref().unwrap_or("?");
    format!("{relation}.{}", column.column)
}

/// `c` unchanged: `t.c`; computed: `(t.c)`; constant: `()`; star: `*t`; not proven: `!`. Then what decides the rows, and
/// what is put where (`into !`: not followed).
pub(super) fn text(lineage: &Lineage) -> String {
    let set = |columns: &std::collections::BTreeSet<ColumnRef>, between: &str| {
        columns
            .iter()
            .map(column_text)
            .collect::<Vec<_>>()
            .join(between)
    };
    let outputs = match &lineage.outputs {
        Outputs::Unproven => "!!".to_owned(),
        Outputs::Described => "--".to_owned(),
        Outputs::Known(outputs) => outputs
            .iter()
            .map(|output| match output {
                OutputSource::Column(columns) => set(columns, "|"),
                OutputSource::From(columns) => format!("({})", set(columns, " ")),
                OutputSource::Star(relation) => format!("*{}", relation.as_deref().unwrap_or("?")),
                OutputSource::Unproven => "!".to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", "),
    };
    let mut text = outputs;
    if !lineage.predicates.is_empty() {
        text.push_str(&format!(" if {}", set(&lineage.predicates, " ")));
    }
    match &lineage.flows {
        None => text.push_str(" into !"),
        Some(flows) => {
            for flow in flows {
                let into = flow.into.as_ref().map_or("?".to_owned(), column_text);
                text.push_str(&format!(" | {} into {into}", column_text(&flow.from)));
            }
        }
    }
    text
}

#[test]
fn every_output_names_the_columns_it_can_show_and_every_predicate_is_noted() {
    let mut table = String::new();
    for line in include_str!("cases.sql").lines() {
        if line.is_empty() || line.starts_with("--") {
            table.push_str(&format!("{line}\n"));
            continue;
        }
        let (dialect, sql) = [
            ("sqlite: ", Dialect::Sqlite),
            ("mysql: ", Dialect::Mysql),
            ("mssql: ", Dialect::Mssql),
        ]
        .into_iter()
        .find_map(|(prefix, dialect)| Some((dialect, line.strip_prefix(prefix)?)))
        .unwrap_or((Dialect::Postgres, line));
        let lineage = match try_read(dialect, sql) {
            Ok(lineage) => text(&lineage),
            Err(ParserError::ParserError(why)) if why == NO_TREE => NO_TREE.to_owned(),
            Err(error) => panic!("{sql}: {error}"),
        };
        table.push_str(&format!("{line}\n    {lineage}\n"));
    }
    insta::assert_snapshot!(table);
}

fn sources(output: &OutputSource) -> BTreeSet<ColumnRef> {
    match output {
        OutputSource::Column(columns) | OutputSource::From(columns) => columns.clone(),
        OutputSource::Star(relation) => BTreeSet::from([ColumnRef {
            relation: relation.clone(),
            column: "*".into(),
        }]),
        OutputSource::Unproven => BTreeSet::new(),
    }
}

/// The one output of `lineage`; `None`: not proven.
fn only(lineage: &Lineage) -> Option<BTreeSet<ColumnRef>> {
    match &lineage.outputs {
        Outputs::Known(outputs) => match outputs.as_slice() {
            [OutputSource::Unproven] => None,
            [output] => Some(sources(output)),
            several => panic!("one output expected, not {several:?}"),
        },
        Outputs::Unproven | Outputs::Described => None,
    }
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::Postgres), Just(Dialect::Sqlite)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn renaming_aliases_changes_nothing(dialect in any_dialect(), seed in any::<u64>()) {
        let one = try_read(dialect, &random_query(seed, 2, ""));
        let other = try_read(dialect, &random_query(seed, 2, "other_"));
        prop_assert_eq!(one.ok(), other.ok());
    }

    #[test]
    fn a_query_around_a_query_keeps_the_sources(dialect in any_dialect(), seed in any::<u64>()) {
        let query = random_query(seed, 3, "");
        let Ok(bare) = try_read(dialect, &query) else { return Ok(()) };
        for around in [
            format!("SELECT * FROM ({query}) around"),
            format!("SELECT around.* FROM ({query}) AS around"),
            format!("SELECT o0, around.o1, o2 FROM ({query}) AS around"),
            format!("WITH around AS ({query}) SELECT * FROM around"),
            format!("WITH around(a, b, c) AS ({query}) SELECT a, again.b, c FROM around AS again"),
        ] {
            prop_assert_eq!(&bare, &read(dialect, &around), "{}", around);
        }
    }

    #[test]
    fn an_expression_around_a_value_never_loses_its_sources(
        dialect in any_dialect(),
        seed in any::<u64>(),
        around in 0..AROUND.len(),
    ) {
        let query = random_query(seed, 1, "");
        let Ok(bare) = try_read(dialect, &query) else { return Ok(()) };
        let expression = AROUND[around].replace('@', "x.o0");
        let wrapped = read(dialect, &format!("SELECT {expression} FROM ({query}) x"));
        prop_assert!(wrapped.predicates.is_superset(&bare.predicates));
        match (only(&bare), only(&wrapped)) {
            (Some(bare), Some(wrapped)) => prop_assert!(wrapped.is_superset(&bare)),
            (None, Some(wrapped)) => prop_assert!(false, "proven once wrapped: {:?}", wrapped),
            (_, None) => {}
        }
    }

    #[test]
    fn a_union_has_the_sources_of_both(
        dialect in any_dialect(),
        left in any::<u64>(),
        right in any::<u64>(),
    ) {
        let (left, right) = (random_query(left, 1, "l_"), random_query(right, 1, "r_"));
        let both = format!("SELECT * FROM ({left}) UNION ALL SELECT * FROM ({right})");
        let (Ok(left), Ok(right), Ok(both)) =
            (try_read(dialect, &left), try_read(dialect, &right), try_read(dialect, &both))
        else {
            return Ok(());
        };
        if let (Some(left), Some(right)) = (only(&left), only(&right)) {
            let expected: BTreeSet<ColumnRef> = left.union(&right).cloned().collect();
            prop_assert_eq!(only(&both), Some(expected));
        } else {
            prop_assert_eq!(only(&both), None);
        }
        let expected: BTreeSet<ColumnRef> =
            left.predicates.union(&right.predicates).cloned().collect();
        prop_assert_eq!(both.predicates, expected);
    }
}

const AROUND: [&str; 12] = [
    "upper(@)",
    "@ || 'x'",
    "length(@)",
    "CASE WHEN @ = 1 THEN 2 END",
    "CAST(@ AS TEXT)",
    "coalesce(NULL, @)",
    "(SELECT @)",
    "count(*) FILTER (WHERE @ > 1)",
    "lag(@) OVER (ORDER BY 1)",
    "row_number() OVER (PARTITION BY @)",
    "EXISTS (SELECT 1 WHERE @ = 2)",
    "@ IN (1, 2) AND NOT @ IS NULL",
];

/// How long the walk of `sql` takes, parsing apart.
fn timed(dialect: Dialect, sql: &str) -> (Lineage, Duration) {
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
    let start = Instant::now();
    let lineage = lineage(dialect, &statements);
    (lineage, start.elapsed())
}

#[test]
fn a_megabyte_of_ten_thousand_columns_is_walked_in_no_time() {
    let columns: Vec<String> = (0..10_000)
        .map(|index| {
            format!(
                "lower(c.column_{index}) || coalesce(a_rather_long_column_name_{index}, 'nothing here') \
                 || ' and more' AS output_{index}"
            )
        })
        .collect();
    let sql = format!(
        "SELECT {} FROM customers c WHERE column_1 = 3",
        columns.join(", ")
    );
    assert!(sql.len() > 1_000_000);
    let (lineage, took) = timed(Dialect::Postgres, &sql);
    match lineage.outputs {
        Outputs::Known(outputs) => assert_eq!(outputs.len(), 10_000),
        Outputs::Unproven | Outputs::Described => panic!("not walked to the end"),
    }
    // Unoptimised, on a busy machine.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn statements_built_to_explode_are_not_proven_and_take_bounded_time() {
    let doubling = (1..60)
        .map(|level| {
            format!(
                "c{level} AS (SELECT * FROM c{} a, c{} b)",
                level - 1,
                level - 1
            )
        })
        .collect::<Vec<_>>()
        .join(", ");
    let shifting = (0..600)
        .map(|index| format!("x{index}"))
        .collect::<Vec<_>>();
    let bombs = [
        format!("WITH c0 AS (SELECT 1 AS x, email FROM customers), {doubling} SELECT * FROM c59"),
        format!(
            "WITH RECURSIVE r({0}) AS (SELECT {0} FROM t UNION ALL SELECT {1}, x0 FROM r) SELECT * FROM r",
            shifting.join(", "),
            shifting[1..].join(", "),
        ),
        format!(
            "SELECT {} FROM {}",
            (0..3_000)
                .map(|index| format!("x{index}"))
                .collect::<Vec<_>>()
                .join(", "),
            (0..3_000)
                .map(|index| format!("t{index}"))
                .collect::<Vec<_>>()
                .join(", "),
        ),
    ];
    for bomb in bombs {
        let (lineage, took) = timed(Dialect::Postgres, &bomb);
        assert_eq!(lineage.outputs, Outputs::Unproven, "{}", &bomb[..80]);
        assert!(lineage.predicates.contains(&ColumnRef {
            relation: None,
            column: "*".into()
        }));
        assert!(took < Duration::from_secs(10), "{took:?}: {}", &bomb[..80]);
    }
}

#[test]
fn long_chains_of_operators_and_unions_do_not_exhaust_the_stack() {
    let chain = vec!["email"; 4_000].join(" || ");
    let (lineage, _) = timed(Dialect::Postgres, &format!("SELECT {chain} FROM customers"));
    assert_eq!(text(&lineage), "(customers.email)");
    let union = vec!["SELECT email FROM customers"; 2_000].join(" UNION ALL ");
    let (lineage, _) = timed(Dialect::Postgres, &union);
    assert_eq!(text(&lineage), "customers.email");
}
