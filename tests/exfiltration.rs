//! Ways to get at masked values, and that none leads there.

use portcullis::domain::{
    classify::{Dialect, Effect, sql},
    masking::{ColumnRule, How, InPredicates, Masking, MaskingRules},
};

fn masking(columns: &[(&str, How)]) -> Masking {
    let rule = |(pattern, how): &(&str, How)| ColumnRule {
        pattern: (*pattern).into(),
        as_: *how,
        domain: None,
        in_predicates: InPredicates::default(),
    };
    Masking::compile(MaskingRules {
        columns: columns.iter().map(rule).collect(),
        ..MaskingRules::default()
    })
    .unwrap()
}

#[test]
fn a_masked_value_can_be_put_only_where_it_stays_masked() {
    let rules = masking(&[
        ("*.customers.email", How::Pseudonym),
        ("*.archive.contact", How::Redact),
        ("*.archive.short", How::KeepLast(4)),
        ("*.*.ssn", How::Redact),
    ]);
    let stays = [
        "UPDATE customers SET town = 'Jena' WHERE id = 1",
        "UPDATE customers SET email = lower(email)",
        "INSERT INTO customers (id, email) SELECT id + 100, email FROM customers",
        "INSERT INTO archive (contact) SELECT email FROM customers",
        "CREATE TABLE archive AS SELECT email AS contact FROM customers",
        "CREATE TABLE numbers AS SELECT ssn FROM staff",
        "CREATE TABLE towns AS SELECT town FROM customers",
        "DELETE FROM customers WHERE email = 'x'",
        "ALTER TABLE customers ADD CONSTRAINT one UNIQUE (email)",
        "DROP TABLE customers",
        "CREATE VIEW contacts AS SELECT email FROM customers",
        "CREATE INDEX ON customers (lower(email))",
        "SELECT set_config('a.b', (SELECT town FROM customers LIMIT 1), false)",
    ];
    for statement in stays {
        let facts = sql::classify(Dialect::Postgres, statement);
        assert_eq!(rules.unmasked_by(&facts), None, "{statement}");
    }
    let gets_out = [
        "CREATE TABLE copy AS SELECT email FROM customers",
        "CREATE TABLE copy AS TABLE customers",
        "SELECT email AS e INTO TEMP copy FROM customers",
        "INSERT INTO archive (short) SELECT email FROM customers",
        "INSERT INTO archive SELECT email FROM customers",
        "UPDATE customers SET town = email",
        "UPDATE copy SET n = (SELECT ascii(email) FROM customers LIMIT 1)",
        "WITH kept AS (INSERT INTO copy SELECT email FROM customers) SELECT 1",
        "SELECT set_config('a.b', (SELECT email FROM customers LIMIT 1), false)",
        "SELECT pg_notify('a', email) FROM customers",
        "ALTER TABLE customers RENAME COLUMN email TO note",
        "ALTER TABLE public.customers RENAME TO folk",
        "ALTER TABLE customers SET SCHEMA other",
        "ALTER TABLE customers ADD n text GENERATED ALWAYS AS (email) STORED",
    ];
    for statement in gets_out {
        let facts = sql::classify(Dialect::Postgres, statement);
        assert!(
            rules.unmasked_by(&facts).is_some(),
            "{statement}: {facts:?}"
        );
    }
    for (dialect, statement) in [
        (Dialect::Mysql, "RENAME TABLE customers TO folk"),
        (
            Dialect::Mysql,
            "SET @a = (SELECT email FROM customers LIMIT 1)",
        ),
        (Dialect::Mssql, "EXEC sp_rename 'customers.email', 'note'"),
        (Dialect::Mssql, "UPDATE customers SET town = email"),
        (
            Dialect::Sqlite,
            "CREATE TABLE copy AS SELECT * FROM customers",
        ),
    ] {
        let facts = sql::classify(dialect, statement);
        let escapes = rules.unmasked_by(&facts).is_some() || facts.class >= Effect::Admin;
        assert!(escapes, "{statement}: {facts:?}");
    }
    let plain = sql::classify(
        Dialect::Mssql,
        "UPDATE customers SET town = 'Jena' WHERE id = 1",
    );
    assert_eq!(rules.unmasked_by(&plain), None);
}
