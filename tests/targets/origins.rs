//! The server's word on where a column comes from, whatever it is called.

use super::*;
use crate::support::postgres::database;

/// `schema.relation.column`, then what else it may show.
async fn origins(target: &Target, sql: &str) -> Vec<Option<(String, Vec<String>)>> {
    let (_, gathered) = target
        .read(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    gathered
        .columns
        .into_iter()
        .map(|column| {
            column.origin.map(|origin| {
                let name = |schema: &Option<String>, relation: &str, column: &str| {
                    format!("{}.{relation}.{column}", schema.as_deref().unwrap_or("-"))
                };
                let also = origin.also.iter();
                (
                    name(&origin.schema, &origin.relation, &origin.column),
                    also.map(|base| name(&base.schema, &base.relation, &base.column))
                        .collect(),
                )
            })
        })
        .collect()
}

fn from(origin: &str, also: &[&str]) -> Option<(String, Vec<String>)> {
    Some((
        origin.into(),
        also.iter().map(|base| (*base).to_owned()).collect(),
    ))
}

#[tokio::test]
async fn an_output_column_leads_back_to_its_base_columns_through_aliases_joins_and_views() {
    let database = database().await;
    database
        .prepare(
            "CREATE SCHEMA app;
             GRANT USAGE ON SCHEMA app TO PUBLIC;
             CREATE TABLE users (id int PRIMARY KEY, email text, name text);
             CREATE TABLE app.orders (id int, user_id int, total numeric);
             CREATE VIEW people (nr, contact, shout) AS SELECT id, email, upper(name) FROM users;
             CREATE VIEW app.report AS
               SELECT p.contact AS who, o.total, p.shout || o.id AS mixed FROM people p JOIN app.orders o ON o.user_id = p.nr;
             CREATE MATERIALIZED VIEW cached AS SELECT email AS e, count(*) AS n FROM users GROUP BY email;
             CREATE VIEW mixture AS SELECT email AS x FROM users UNION ALL SELECT name FROM users;
             CREATE VIEW rows_of AS SELECT u AS whole, 1 AS one FROM users u;
             CREATE TABLE measures (at date, secret text) PARTITION BY RANGE (at);
             CREATE TABLE measures_2024 PARTITION OF measures FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
             GRANT SELECT ON ALL TABLES IN SCHEMA app, public TO PUBLIC",
        )
        .await;
    let target = Target::postgres(&database);
    for _known in [false, true] {
        assert_eq!(
            origins(&target, "SELECT u.email AS harmless, o.total, 1, lower(u.email), u.ctid FROM users u JOIN app.orders o ON true").await,
            vec![
                from("public.users.email", &[]),
                from("app.orders.total", &[]),
                None,
                None,
                from("public.users.ctid", &[]),
            ]
        );
        assert_eq!(
            origins(
                &target,
                "WITH w AS (SELECT email AS a FROM users) SELECT s.b FROM (SELECT a AS b FROM w) s"
            )
            .await,
            vec![from("public.users.email", &[])]
        );
        assert_eq!(
            origins(&target, "SELECT contact, shout, nr FROM people").await,
            vec![
                from("public.people.contact", &["public.users.email"]),
                from("public.people.shout", &["public.users.name"]),
                from("public.people.nr", &["public.users.id"]),
            ]
        );
        assert_eq!(
            origins(&target, "SELECT who, total FROM app.report").await,
            vec![
                from(
                    "app.report.who",
                    &["public.people.contact", "public.users.email"]
                ),
                from("app.report.total", &["app.orders.total"]),
            ]
        );
        let mixed = origins(&target, "SELECT mixed FROM app.report").await;
        let (_, also) = mixed[0].as_ref().unwrap();
        for base in ["public.users.name", "app.orders.id", "public.people.shout"] {
            assert!(also.iter().any(|found| found == base), "{base} in {also:?}");
        }
        assert_eq!(
            origins(&target, "SELECT x FROM mixture").await,
            vec![from(
                "public.mixture.x",
                &["public.users.email", "public.users.name"]
            )]
        );
        assert_eq!(
            origins(&target, "SELECT secret FROM measures_2024").await,
            vec![from(
                "public.measures_2024.secret",
                &["public.measures.secret"]
            )]
        );
        assert_eq!(
            origins(&target, "SELECT secret FROM measures").await,
            vec![from("public.measures.secret", &[])]
        );
        // A count tells nothing of what is counted.
        let cached = origins(&target, "SELECT e, n FROM cached").await;
        assert_eq!(
            cached,
            vec![
                from("public.cached.e", &["public.users.email"]),
                from("public.cached.n", &[]),
            ]
        );
    }
}

#[tokio::test]
async fn a_whole_row_names_every_column_it_holds() {
    let database = database().await;
    database
        .prepare(
            "CREATE TABLE users (id int, email text);
             CREATE TYPE box_of AS (label text, who users);
             CREATE VIEW rows_of AS SELECT u AS whole, 1 AS one FROM users u",
        )
        .await;
    let target = Target::postgres(&database);
    for sql in [
        "SELECT u FROM users u",
        "SELECT array_agg(u) FROM users u",
        "SELECT ROW('x', u)::box_of FROM users u",
        "SELECT whole FROM rows_of",
        "SELECT one FROM rows_of WHERE false UNION ALL SELECT 1 WHERE false",
    ] {
        let found = origins(&target, sql).await;
        if sql.contains("UNION") {
            assert_eq!(found, vec![None]);
            continue;
        }
        let (name, also) = found[0].clone().unwrap();
        assert!(
            also.iter().any(|base| base == "public.users.email"),
            "{sql}: {name} {also:?}"
        );
    }
    assert_eq!(
        origins(&target, "SELECT u FROM users u").await[0]
            .as_ref()
            .unwrap()
            .0,
        "public.users.*"
    );
}

#[tokio::test]
async fn statements_that_differ_only_between_quotes_have_their_own_columns() {
    let database = database().await;
    database
        .prepare(
            "CREATE TABLE one (a text); INSERT INTO one VALUES ('first');
             CREATE TABLE two (b text); INSERT INTO two VALUES ('second');
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC",
        )
        .await;
    let target = Target::postgres(&database);
    // To a glance, what is between the two quotes is a string.
    let alike = |column: &str, table: &str, not: &str| {
        format!("/* it's */ SELECT {column} FROM {table} WHERE {column} <> '{not}'")
    };
    for _ in 0..2 {
        for (column, table, holds) in [("a", "one", "first"), ("b", "two", "second")] {
            let sql = alike(column, table, "");
            let origin = format!("public.{table}.{column}");
            assert_eq!(origins(&target, &sql).await, [from(&origin, &[])], "{sql}");
            let (_, gathered) = target.read(&alike(column, table, "no")).await.unwrap();
            assert_eq!(gathered.rows.len(), 1, "{sql}");
            assert!(format!("{:?}", gathered.rows).contains(holds), "{sql}");
        }
    }
}
