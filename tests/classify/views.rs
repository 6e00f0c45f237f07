//! What a real PostgreSQL prints of its views is judged and traced like the queries they were made of.

use std::collections::BTreeSet;

use portcullis::domain::classify::{
    ColumnRef, Dialect, Effect, OutputSource, Outputs,
    server::{Relation, RelationColumn, ServerCatalog, ServerName, Surroundings},
    sql::{JudgedCatalog, classify_in},
};

use crate::support::postgres;

const TABLES: &str = "
    CREATE TYPE address AS (street text, town text);
    CREATE TABLE customers (id int, email text, name text, born date, data jsonb, tags text[], score numeric, boss int,
        addr address);
    CREATE TABLE orders (id int, customer_id int, total numeric, placed timestamptz, note text);
    CREATE TABLE items (order_id int, sku text, n int);";

/// Every relation of the schema, its columns and its definition, printed with no schema on the path.
const RELATIONS: &str = "
    SELECT c.relname,
           array_agg(a.attname ORDER BY a.attnum)::text[],
           CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
    GROUP BY c.oid, c.relname, c.relkind";

/// Queries whose views are printed in a form that is not traced (`FETCH FIRST (3) ROWS`, `c.*::customers`), so that
/// whatever they show is not proven.
const BEYOND: [&str; 2] = ["WITH TIES", "c AS whole"];

/// The columns of tables an output may show; `None`: not proven.
fn sources(output: &OutputSource) -> Option<BTreeSet<ColumnRef>> {
    match output {
        OutputSource::Column(columns) | OutputSource::From(columns) => Some(
            columns
                .iter()
                .filter(|column| {
                    let relation = column.relation.as_deref();
                    relation.is_none_or(|relation| !relation.starts_with("public.view_"))
                })
                .cloned()
                .collect(),
        ),
        OutputSource::Star(_) | OutputSource::Unproven => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_as_the_server_prints_it_is_judged_and_traced_like_its_query() {
    let database = postgres::database().await;
    database.prepare(TABLES).await;
    let queries: Vec<&str> = include_str!("views.sql").lines().collect();
    for (index, query) in queries.iter().enumerate() {
        let statement = format!("CREATE VIEW view_{index} AS {query}");
        database.prepare(&statement).await;
    }
    let client = database.owner().await;
    client.batch_execute("SET search_path = ''").await.unwrap();
    let mut catalog = ServerCatalog {
        search_path: vec!["public".into()],
        ..ServerCatalog::default()
    };
    for row in client.query(RELATIONS, &[]).await.unwrap() {
        let columns: Vec<String> = row.get(1);
        let relation = Relation {
            columns: columns
                .into_iter()
                .map(|name| RelationColumn {
                    name,
                    type_name: ServerName {
                        schema: String::new(),
                        name: "text".into(),
                    },
                })
                .collect(),
            definition: row.get(2),
            ..Relation::default()
        };
        let name = ServerName {
            schema: "public".into(),
            name: row.get(0),
        };
        catalog.relations.insert(name, relation);
    }
    let known = JudgedCatalog::new(Dialect::Postgres, catalog);
    let judged = |statement: &str| {
        let place = Surroundings {
            catalog: Some(&known),
            harmless: None,
        };
        classify_in(Dialect::Postgres, statement, place)
    };
    let outputs = |statement: &str| match judged(statement).outputs {
        Outputs::Known(outputs) => outputs.iter().map(sources).collect(),
        Outputs::Unproven | Outputs::Described => vec![None],
    };
    let mut wrong = Vec::new();
    for (index, query) in queries.iter().enumerate() {
        let through = format!("SELECT * FROM view_{index}");
        let facts = judged(&through);
        if facts.class != Effect::Read {
            wrong.push(format!("{query}\n    is no read: {}", facts.why));
        }
        let (plain, seen) = (outputs(query), outputs(&through));
        // The server prints which side of USING it takes, so the view may be known better.
        let is_traced = plain.len() == seen.len()
            && plain.iter().zip(&seen).all(|pair| match pair {
                (Some(plain), Some(seen)) => {
                    seen.is_subset(plain) && plain.is_empty() == seen.is_empty()
                }
                (plain, seen) => plain == seen,
            });
        let is_beyond = BEYOND.iter().any(|part| query.contains(part));
        if is_beyond && seen.iter().any(Option::is_some) {
            wrong.push(format!("{query}\n    is traced by now"));
        }
        if !is_traced && !is_beyond {
            wrong.push(format!(
                "{query}\n    shows {plain:?}\n    as a view {seen:?}"
            ));
        }
        let tables = |statement: &str| -> BTreeSet<String> {
            let facts = judged(statement);
            let names = facts.object_names().into_iter();
            names
                .filter(|name| !name.starts_with("public.view_"))
                .map(str::to_owned)
                .collect()
        };
        if tables(query) != tables(&through) {
            wrong.push(format!("{query}\n    reads other tables as a view"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
