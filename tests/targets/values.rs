//! Every type comes back as what it is.

use tokio_postgres::SimpleQueryMessage;

use super::*;
use crate::support::postgres::database;

/// What PostgreSQL itself prints for it, asked by another client.
async fn printed(client: &tokio_postgres::Client, expression: &str) -> Option<String> {
    let answer = client
        .simple_query(&format!("SELECT {expression}"))
        .await
        .unwrap_or_else(|error| panic!("{expression}: {error:?}"));
    answer.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

#[tokio::test]
async fn a_value_whose_form_is_text_is_what_postgresql_prints() {
    let database = database().await;
    database
        .prepare(
            "CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
             CREATE DOMAIN address AS text CHECK (VALUE LIKE '%@%');
             CREATE TYPE pairs AS RANGE (subtype = int8)",
        )
        .await;
    database
        .admin()
        .await
        .batch_execute("CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree")
        .await
        .unwrap();
    let client = database.owner().await;
    client
        .batch_execute("SET TimeZone = 'UTC'; SET lc_monetary = 'C'")
        .await
        .unwrap();
    let target = Target::postgres(&database);
    for expression in [
        "'plain'::text",
        "''::text",
        "E'line\\nnext \"quoted\" \\\\ ünïcödé 🦀'::text",
        "'x'::varchar(10)",
        "'ab'::char(5)",
        "'x'::\"char\"",
        "'relname'::name",
        "'MiXed'::citext",
        "'so so'::mood",
        "'a@b'::address",
        "'<a b=\"1\">x</a>'::xml",
        "'\\x00ff10'::bytea",
        "''::bytea",
        "'2024-02-29'::date",
        "'infinity'::date",
        "'0044-03-15 BC'::date",
        "'23:59:59.123456'::time",
        "'04:05:06.789-08'::timetz",
        "'24:00:00'::time",
        "'1 year 2 mons -3 days 04:05:06.789'::interval",
        "'-00:00:01'::interval",
        "'P0Y'::interval",
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
        "'192.168.0.1/24'::inet",
        "'::1'::inet",
        "'10.0.0.0/8'::cidr",
        "'08:00:2b:01:02:03'::macaddr",
        "'08:00:2b:01:02:03:04:05'::macaddr8",
        "B'10101'",
        "B''::varbit",
        "'1234567.89'::money",
        "'-0.01'::money",
        "'16/B374D848'::pg_lsn",
        "'4294967295'::xid",
        "'18446744073709551615'::xid8",
        "'(42,7)'::tid",
        "'7'::cid",
        "'(1.5,-2)'::point",
        "'{1,2,3}'::line",
        "'[(0,0),(1,1)]'::lseg",
        "'(2,2),(0,0)'::box",
        "'((0,0),(1,1),(2,0))'::path",
        "'((0,0),(1,1),(2,0))'::polygon",
        "'<(0,0),2>'::circle",
        "'a fat cat'::tsvector",
        "'fat & (rat | cat:*)'::tsquery",
        "'$.a[*] ? (@ > 1)'::jsonpath",
        "'[1,10)'::int4range",
        "'empty'::int8range",
        "'(,5]'::numrange",
        "'[2024-01-01 00:00:00,)'::tsrange",
        "'[2024-01-01 00:00:00+02,infinity]'::tstzrange",
        "'[2024-01-01,2024-02-01)'::daterange",
        "'{[1,3),[7,9)}'::int4multirange",
        "'[3,9)'::pairs",
        "'a=>1, b=>NULL'::hstore",
        "'top.science.astronomy'::ltree",
        "'pg_class'::regclass",
        "'int4'::regtype",
        "'now()'::regprocedure",
        "'pg_catalog'::regnamespace",
        "'1 2'::int2vector",
        "'1 2 3'::oidvector",
        "'NaN'::float8",
        "'-Infinity'::float4",
        "'NaN'::numeric",
        "'Infinity'::numeric",
        "'infinity'::timestamptz",
        "'-infinity'::timestamp",
        "'0044-03-15 12:00:00 BC'::timestamp",
        "'10000-01-01 00:00:00+00'::timestamptz",
    ] {
        let expected = printed(&client, expression).await.unwrap();
        assert_eq!(
            target.value(&format!("SELECT {expression}")).await,
            text(&expected),
            "{expression}"
        );
    }
}

#[tokio::test]
async fn numbers_keep_every_digit_and_booleans_and_json_their_kind() {
    let database = database().await;
    let client = database.owner().await;
    let target = Target::postgres(&database);
    for expression in [
        "0::int2",
        "'-32768'::int2",
        "2147483647::int4",
        "'-9223372036854775808'::int8",
        "4294967295::oid",
        "0.1::float8",
        "1e300::float8",
        "1.17549435e-38::float4",
        "'-0.0'::float8",
        "1.10::numeric",
        "'-0.000000000000000000000000000001'::numeric",
        "123456789012345678901234567890123456789012345678901234567890.0000::numeric",
    ] {
        let expected = printed(&client, expression).await.unwrap();
        let value = target.value(&format!("SELECT {expression}")).await;
        assert_eq!(value, number(&expected), "{expression}");
        let Kept::Number(digits) = value else {
            unreachable!()
        };
        serde_json::from_str::<&serde_json::value::RawValue>(&digits).unwrap();
    }
    assert_eq!(
        target
            .row("SELECT true, false, NULL::bool, NULL, NULL::int[]")
            .await,
        vec![
            Kept::Bool(true),
            Kept::Bool(false),
            Kept::Null,
            Kept::Null,
            Kept::Null
        ]
    );
    assert_eq!(
        target
            .row(r#"SELECT '{"b": [1, 2.50], "a":null}'::json, '{"b":[1,2.50],"a":null}'::jsonb"#)
            .await,
        vec![
            json(r#"{"b": [1, 2.50], "a":null}"#),
            json(r#"{"a": null, "b": [1, 2.50]}"#)
        ]
    );
}

#[tokio::test]
async fn timestamps_are_iso_8601_and_with_a_zone_rfc_3339_in_utc() {
    let target = Target::postgres(&database().await);
    assert_eq!(
        target
            .row(
                "SELECT '2024-02-29 12:34:56.789'::timestamp, '2024-02-29 23:30:00-02:30'::timestamptz,
                 ARRAY['2024-02-29 00:00:00+00'::timestamptz, NULL]"
            )
            .await,
        vec![
            text("2024-02-29T12:34:56.789"),
            text("2024-03-01T02:00:00Z"),
            json(r#"["2024-02-29T00:00:00Z",null]"#)
        ]
    );
}

#[tokio::test]
async fn arrays_and_composites_become_json_of_their_elements() {
    let database = database().await;
    database
        .prepare(
            "CREATE TYPE coin AS ENUM ('a b', 'c');
             CREATE DOMAIN positive AS int CHECK (VALUE > 0);
             CREATE TYPE part AS (\"the id\" positive, label text, coins coin[], at timestamptz);
             CREATE TYPE whole AS (first part, others part[], ok bool, extra jsonb)",
        )
        .await;
    let target = Target::postgres(&database);
    for (expression, expected) in [
        ("'{}'::int[]", "[]"),
        ("'{1,NULL,3}'::int8[]", "[1,null,3]"),
        ("'{{1,2},{3,4}}'::int[]", "[[1,2],[3,4]]"),
        ("'[0:1][5:6]={{1,2},{3,4}}'::int[]", "[[1,2],[3,4]]"),
        (
            "ARRAY['NULL', NULL, '', 'a,b', '{}', 'q\"\\', E'\\n ']",
            r#"["NULL",null,"","a,b","{}","q\"\\","\n "]"#,
        ),
        ("'{NaN,1.50}'::numeric[]", r#"["NaN",1.50]"#),
        ("'{t,f}'::bool[]", "[true,false]"),
        ("ARRAY['{\"a\":[1]}'::jsonb]", r#"[{"a": [1]}]"#),
        (
            "'{\"(1,1),(0,0)\";\"(2,2),(0,0)\"}'::box[]",
            r#"["(1,1),(0,0)","(2,2),(0,0)"]"#,
        ),
        ("ARRAY['a b','c']::coin[]", r#"["a b","c"]"#),
        ("'{1,2}'::positive[]", "[1,2]"),
        ("ARRAY['\\x00ff'::bytea]", r#"["\\x00ff"]"#),
        ("ROW(1, 'a,\"b', NULL, '')", r#"["1","a,\"b",null,""]"#),
        (
            "ROW(1, 'l,\"1', '{a b,c}', '2024-01-01 00:00:00+00')::part",
            r#"{"the id":1,"label":"l,\"1","coins":["a b","c"],"at":"2024-01-01T00:00:00Z"}"#,
        ),
        (
            "ROW(ROW(1,NULL,'{}',NULL)::part, ARRAY[ROW(2,'x (y)',NULL,NULL)::part], true, '{\"k\": 1}')::whole",
            r#"{"first":{"the id":1,"label":null,"coins":[],"at":null},"others":[{"the id":2,"label":"x (y)","coins":null,"at":null}],"ok":true,"extra":{"k": 1}}"#,
        ),
    ] {
        assert_eq!(
            target.value(&format!("SELECT {expression}")).await,
            json(expected),
            "{expression}"
        );
        serde_json::from_str::<serde_json::Value>(expected).unwrap();
    }
    let (_, gathered) = target
        .read("SELECT 1::int4, ARRAY[1], 'c'::coin, ROW(1), ARRAY['c'::coin], NULL::whole")
        .await
        .unwrap();
    let names: Vec<&str> = gathered
        .columns
        .iter()
        .map(|column| &*column.type_name)
        .collect();
    assert_eq!(
        names,
        ["int4", "int4[]", "coin", "record", "coin[]", "whole"]
    );
}

#[tokio::test]
async fn every_type_of_the_server_can_be_shown() {
    let database = database().await;
    let target = Target::postgres(&database);
    let types = target
        .read(
            "SELECT format_type(oid, NULL) FROM pg_type WHERE typtype IN ('b', 'r', 'm', 'd', 'e', 'c')
             AND typname NOT LIKE 'pg\\_toast%' AND typname <> 'gtsvector'",
        )
        .await
        .unwrap()
        .1;
    assert!(types.rows.len() > 400);
    let nulls: Vec<String> = types
        .rows
        .iter()
        .map(|row| match &row[0] {
            Kept::Text(name) => format!("NULL::{name}"),
            other => panic!("{other:?}"),
        })
        .collect();
    let row = target.row(&format!("SELECT {}", nulls.join(", "))).await;
    assert!(row.iter().all(|value| *value == Kept::Null));
}

#[tokio::test]
async fn parameters_are_read_by_the_server_as_literals_would_be() {
    let target = Target::postgres(&database().await);
    let given = vec![
        Param::Number("42".into()),
        Param::Number("1.10".into()),
        Param::Text("it's".into()),
        Param::Bool(true),
        Param::Null,
        Param::Json("{\"a\": [1]}".into()),
        Param::Text("2024-02-29".into()),
        Param::Text("{1,2}".into()),
        Param::Number("123456789012345678901234567890.5".into()),
    ];
    let (_, gathered) = target
        .run(
            Access::Read,
            "SELECT $1::int + 1, $2::numeric, $3::text, $4::bool, $5::int, $6::jsonb, $7::date, $8::int[], $9::numeric",
            given,
        )
        .await
        .unwrap();
    assert_eq!(
        gathered.rows[0],
        vec![
            number("43"),
            number("1.10"),
            text("it's"),
            Kept::Bool(true),
            Kept::Null,
            json("{\"a\": [1]}"),
            text("2024-02-29"),
            json("[1,2]"),
            number("123456789012345678901234567890.5"),
        ]
    );
    let injected = vec![Param::Text("'; DROP TABLE x; --".into())];
    let (_, gathered) = target
        .run(Access::Read, "SELECT $1::text", injected)
        .await
        .unwrap();
    assert_eq!(gathered.rows[0], vec![text("'; DROP TABLE x; --")]);
    let wrong = target
        .run(
            Access::Read,
            "SELECT $1::int",
            vec![Param::Text("x".into())],
        )
        .await;
    assert_eq!(refusal(wrong).0, "22P02");
}

#[tokio::test]
async fn a_wrong_number_of_parameters_is_refused_before_anything_runs() {
    let database = database().await;
    database.prepare("CREATE TABLE t (id int)").await;
    let target = Target::postgres(&database);
    let one = || vec![Param::Number("1".into())];
    for _ in 0..2 {
        let (_, message, _) = refusal(
            target
                .run(Access::Read, "SELECT $1::int, $2::int", one())
                .await,
        );
        assert!(message.contains("2 parameters, 1 were given"), "{message}");
    }
    target
        .run(Access::Read, "SELECT $1::int", one())
        .await
        .unwrap();
    let (_, message, _) = refusal(target.run(Access::Read, "SELECT $1::int", vec![]).await);
    assert!(message.contains("1 parameters, 0 were given"), "{message}");
    let (_, message, _) = refusal(
        target
            .run(Access::Write, "INSERT INTO t VALUES (1)", one())
            .await,
    );
    assert!(message.contains("0 parameters, 1 were given"), "{message}");
    assert_eq!(target.value("SELECT count(*) FROM t").await, number("0"));
}
