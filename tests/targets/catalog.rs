//! What a target tells of what its users have made.

use std::collections::BTreeMap;

use portcullis::{
    domain::{
        classify::{
            server::{Relation, RelationColumn, Routine, ServerCatalog, ServerName},
            sql::JudgedCatalog,
        },
        connection::{Access, ConnectionKind},
    },
    gateway::ports::{CatalogError, Targets},
};

use super::{Target, name};
use crate::support::{mariadb, postgres};

impl Target {
    async fn catalog(&self) -> std::sync::Arc<JudgedCatalog> {
        self.targets.catalog(&name()).await.unwrap().unwrap()
    }

    /// The catalog as it is from here on.
    async fn catalog_now(&self) -> std::sync::Arc<JudgedCatalog> {
        self.targets.catalog_changed(&name());
        self.catalog().await
    }
}

fn named(schema: &str, name: &str) -> ServerName {
    ServerName {
        schema: schema.into(),
        name: name.into(),
    }
}

fn relation<'c>(catalog: &'c ServerCatalog, name: &str) -> &'c Relation {
    let (_, relation) = catalog.relation(&[name]).unwrap_or_else(|| {
        panic!("no {name} among {:?}", catalog.relations.keys());
    });
    relation
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One of each thing whose effect a statement's text does not show.
const MADE: &str = r#"
CREATE SCHEMA app;
CREATE TABLE customers (id integer PRIMARY KEY, email text NOT NULL DEFAULT 'none', salary integer,
    CHECK (salary < 900000), twice integer GENERATED ALWAYS AS (salary * 2) STORED);
CREATE INDEX ON customers (lower(email)) WHERE salary > 1;
CREATE VIEW contacts AS SELECT id, email AS contact FROM customers;
CREATE MATERIALIZED VIEW app."Odd Name" AS SELECT count(*) AS n FROM contacts;
CREATE TABLE log (what text);
CREATE RULE noted AS ON DELETE TO customers WHERE old.id > 7 DO ALSO
    (INSERT INTO log VALUES ('gone'); DELETE FROM log WHERE what = ' DO ');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();
CREATE FUNCTION app.sly(integer) RETURNS boolean LANGUAGE sql STABLE AS 'DELETE FROM log RETURNING true';
CREATE FUNCTION app.elsewhere() RETURNS integer LANGUAGE sql STABLE SET search_path = app AS 'SELECT 1';
CREATE FUNCTION plain(x integer) RETURNS integer LANGUAGE sql IMMUTABLE RETURN x + 1;
CREATE FUNCTION atomic() RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*) FROM log; END;
CREATE PROCEDURE clean() LANGUAGE sql AS 'TRUNCATE log';
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON customers FOR SELECT USING (app.sly(id));
CREATE POLICY other ON log USING (app.sly(1));
CREATE TABLE events (at date, note text) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE AGGREGATE app.longest(integer) (SFUNC = int4larger, STYPE = integer);
CREATE FUNCTION app.same(customers, integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR public.=== (LEFTARG = customers, RIGHTARG = integer, FUNCTION = app.same);
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE FUNCTION app.mood_of(integer) RETURNS app.mood LANGUAGE sql IMMUTABLE AS 'SELECT ''good''::app.mood';
CREATE CAST (integer AS app.mood) WITH FUNCTION app.mood_of(integer) AS ASSIGNMENT;
CREATE DOMAIN app.short AS text DEFAULT plain(1)::text CHECK (length(VALUE) < plain(9));
CREATE TABLE app.moods (mood app.mood, moods app.mood[], short app.short);
CREATE SEQUENCE app.numbers;
ALTER TABLE log ADD number integer GENERATED ALWAYS AS IDENTITY, ADD about integer REFERENCES customers ON DELETE SET NULL;
CREATE TABLE app.nodes (id integer PRIMARY KEY, above integer REFERENCES app.nodes ON UPDATE CASCADE,
    customer integer REFERENCES customers);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn everything_users_have_made_in_postgres_is_in_its_catalog() {
    let database = postgres::database().await;
    database.prepare(MADE).await;
    let target = Target::postgres(&database);
    let judged = target.catalog().await;
    let catalog = judged.catalog();

    assert_eq!(catalog.search_path, ["public"]);
    let names: Vec<String> = catalog
        .relations
        .keys()
        .map(|ServerName { schema, name }| format!("{schema}.{name}"))
        .collect();
    assert_eq!(
        names,
        [
            "app.Odd Name",
            "app.moods",
            "app.nodes",
            "app.numbers",
            "public.contacts",
            "public.customers",
            "public.events",
            "public.events_2026",
            "public.log",
            "public.log_number_seq"
        ]
    );

    let customers = relation(catalog, "customers");
    let columns: Vec<_> = customers
        .columns
        .iter()
        .map(|column| (&*column.name, &*column.type_name.name))
        .collect();
    assert_eq!(
        columns,
        [
            ("id", "int4"),
            ("email", "text"),
            ("salary", "int4"),
            ("twice", "int4")
        ]
    );
    assert_eq!(
        (customers.definition.as_ref(), customers.opaque),
        (None, false)
    );
    assert_eq!(customers.triggers, ["touched"]);
    let computed: Vec<_> = customers.computed.iter().collect();
    assert_eq!(computed, [(&"twice".into(), &"(salary * 2)".into())]);
    assert_eq!(customers.on_read, ["app.sly(id)"]);
    assert_eq!(customers.defaults, ["'none'::text"]);
    let numbers = ["nextval('public.log_number_seq'::regclass)"];
    assert_eq!(relation(catalog, "log").defaults, numbers);
    assert_eq!(customers.on_delete, [named("public", "log")]);
    let (_, nodes) = catalog.relation(&["app", "nodes"]).unwrap();
    assert_eq!(nodes.on_update, [named("app", "nodes")]);
    assert!(nodes.on_delete.is_empty() && customers.on_update.is_empty());
    assert_eq!(
        customers.on_write,
        [
            "(salary * 2)",
            "(salary < 900000)",
            "(salary > 1)",
            "lower(email)",
            "(old.id > 7)"
        ]
    );
    let rules: Vec<_> = customers.rules.iter().map(|rule| one_line(rule)).collect();
    assert_eq!(
        rules,
        [
            "INSERT INTO public.log (what) VALUES ('gone'::text); DELETE FROM public.log WHERE (log.what = ' DO '::text);"
        ]
    );
    assert_eq!(
        relation(catalog, "log").on_read,
        Vec::<String>::new(),
        "its row security is off"
    );

    let contacts = relation(catalog, "contacts").definition.as_deref();
    assert_eq!(
        one_line(contacts.unwrap()),
        "SELECT customers.id, customers.email AS contact FROM public.customers"
    );
    let events = relation(catalog, "events");
    assert_eq!(events.children, [named("public", "events_2026")]);
    let part = relation(catalog, "events_2026");
    assert_eq!(part.parents, [named("public", "events")]);
    let moods = &catalog.relations[&named("app", "moods")].columns;
    let types: Vec<_> = moods.iter().map(|column| &column.type_name).collect();
    assert_eq!(
        types,
        [
            &named("app", "mood"),
            &named("app", "mood"),
            &named("app", "short")
        ]
    );

    let bodies: BTreeMap<&str, _> = catalog
        .routines
        .iter()
        .map(|(name, all)| {
            let body = all[0].body.as_deref().map(one_line);
            (&**name, (&*all[0].language, all[0].promises_to_read, body))
        })
        .collect();
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(
        bodies,
        BTreeMap::from([
            (
                "atomic",
                (
                    "sql",
                    true,
                    said("SELECT count(*) AS count FROM public.log;")
                )
            ),
            ("clean", ("sql", false, said("TRUNCATE log"))),
            ("elsewhere", ("sql", true, None)),
            ("longest", ("internal", true, None)),
            ("mood_of", ("sql", true, said("SELECT 'good'::app.mood"))),
            ("plain", ("sql", true, said("SELECT (x + 1)"))),
            ("same", ("sql", true, said("SELECT true"))),
            ("sly", ("sql", true, said("DELETE FROM log RETURNING true"))),
            ("touch", ("plpgsql", false, None)),
        ])
    );
    assert_eq!(
        catalog.routines["longest"][0].calls,
        [named("", "int4larger")]
    );
    let operator = &catalog.operators["==="][0];
    assert_eq!(operator.function, named("app", "same"));
    assert_eq!(
        operator.operands,
        [named("public", "customers"), named("", "int4")]
    );
    let cast = &catalog.casts[0];
    assert_eq!(
        (&cast.source, &cast.target, &cast.function, cast.implicit),
        (
            &named("", "int4"),
            &named("app", "mood"),
            &named("app", "mood_of"),
            true
        )
    );
    let domain = &catalog.domains[&named("app", "short")];
    assert_eq!(domain.base, named("", "text"));
    assert_eq!(
        domain.checks,
        [
            "(length(VALUE) < public.plain(9))",
            "(public.plain(1))::text"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_catalog_is_the_same_one_and_a_changed_one_is_told_at_once() {
    let database = postgres::database().await;
    database.prepare("CREATE TABLE t (a integer)").await;
    let target = Target::postgres(&database);
    let first = target.catalog().await;
    let second = target.catalog_now().await;
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    database.prepare("CREATE VIEW v AS SELECT a FROM t").await;
    let third = target.catalog_now().await;
    assert!(third.catalog().relation(&["v"]).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_table_is_locked_its_views_are_opaque_and_the_rest_is_known() {
    let database = postgres::database().await;
    database
        .prepare("CREATE TABLE t (a integer); CREATE VIEW v AS SELECT a FROM t")
        .await;
    let target = Target::postgres(&database);
    let owner = database.owner().await;
    owner
        .batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let catalog = target.catalog().await;
    assert!(relation(catalog.catalog(), "v").opaque);
    assert!(!relation(catalog.catalog(), "t").opaque);
    owner.batch_execute("ROLLBACK").await.unwrap();
    let catalog = target.catalog_now().await;
    assert!(!relation(catalog.catalog(), "v").opaque);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_the_users_own_cannot_take_part_in_reading_the_catalog() {
    let database = postgres::database().await;
    // Each would be a better match than the server's own, were its schema searched.
    database
        .prepare(
            "CREATE FUNCTION public.trap(\"char\", text) RETURNS boolean LANGUAGE plpgsql
               AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
             CREATE OPERATOR public.= (LEFTARG = \"char\", RIGHTARG = text, FUNCTION = public.trap);
             CREATE FUNCTION public.pg_get_viewdef(oid) RETURNS text LANGUAGE plpgsql
               AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
             CREATE VIEW v AS SELECT 1 AS one",
        )
        .await;
    let catalog = Target::postgres(&database).catalog().await;
    assert!(relation(catalog.catalog(), "v").definition.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_relations_are_read_whole() {
    let database = postgres::database().await;
    let views: String = (0..3_000)
        .map(|n| format!("CREATE VIEW v{n} AS SELECT 1 AS a, 2 AS b, 'x'::text AS c;"))
        .collect();
    database.prepare(&views).await;
    let catalog = Target::postgres(&database).catalog().await;
    assert_eq!(catalog.catalog().relations.len(), 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_out_of_reach_is_told_apart_from_one_that_does_not_show_its_catalog() {
    let nowhere = "postgres://reader:secret@127.0.0.1:1/db";
    let target = Target::of(ConnectionKind::Postgres, nowhere, nowhere);
    let told = target.targets.catalog(&name()).await;
    assert!(
        matches!(told, Err(CatalogError::Unreachable(_))),
        "{told:?}"
    );

    let database = postgres::database().await;
    let admin = database.admin().await;
    let target = Target::postgres(&database);
    target.catalog().await;
    let revoke = "REVOKE SELECT ON pg_catalog.pg_proc FROM PUBLIC";
    admin.batch_execute(revoke).await.unwrap();
    target.targets.catalog_changed(&name());
    let told = target.targets.catalog(&name()).await;
    let Err(CatalogError::Unreadable(why)) = told else {
        panic!("{told:?}");
    };
    assert!(why.contains("42501"), "{why}");
    let (_, read) = target.run(Access::Read, "SELECT 1", vec![]).await.unwrap();
    assert_eq!(read.taken, 1, "its connections are still good");
}

#[tokio::test]
async fn everything_users_have_made_in_a_sqlite_file_is_in_its_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let made = rusqlite::Connection::open(&path).unwrap();
    made.execute_batch(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT DEFAULT (lower('X')), twice AS (id * 2));
         CREATE TABLE \"or'ders\" (of INTEGER REFERENCES Customers (id) ON DELETE CASCADE, other REFERENCES customers);
         CREATE VIEW contacts (c) AS SELECT email FROM customers;
         CREATE VIEW broken AS SELECT * FROM nowhere;
         CREATE TRIGGER noted AFTER DELETE ON customers BEGIN SELECT 1; END;
         CREATE VIRTUAL TABLE texts USING fts5 (body);",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let target = Target::of(ConnectionKind::Sqlite, path, path);
    let judged = target.catalog().await;
    let catalog = judged.catalog();
    assert_eq!(catalog.search_path, ["main"]);
    let customers = relation(catalog, "customers");
    let columns: Vec<_> = customers
        .columns
        .iter()
        .map(|column| (&*column.name, &*column.type_name.name))
        .collect();
    assert_eq!(
        columns,
        [("id", "integer"), ("email", "text"), ("twice", "")]
    );
    assert_eq!(customers.triggers, ["noted"]);
    assert_eq!(customers.defaults, ["lower('X')"]);
    assert_eq!(customers.on_delete, [named("main", "or'ders")]);
    let computed: Vec<_> = customers.computed.keys().collect();
    assert_eq!(computed, ["twice"]);
    assert!(customers.computed["twice"].contains("(id * 2)"));
    assert!(!customers.opaque);
    let contacts = relation(catalog, "contacts");
    assert_eq!(
        contacts.definition.as_deref(),
        Some("SELECT email FROM customers")
    );
    assert_eq!(contacts.columns[0].name, "c");
    assert!(relation(catalog, "broken").opaque);
    assert!(relation(catalog, "texts").opaque);
    assert!(catalog.relation(&["sqlite_schema"]).is_none());
}

/// The same for MariaDB: what the one who administers it makes.
const MADE_IN_MARIADB: &str = r#"
CREATE TABLE customers (id integer PRIMARY KEY, Email varchar(60) NOT NULL DEFAULT 'no`ne', salary integer,
    inside integer INVISIBLE, twice integer AS (salary * 2) VIRTUAL, login varchar(60) DEFAULT (LCASE(Email)),
    at datetime DEFAULT CURRENT_TIMESTAMP, CHECK (salary < 900000));
CREATE VIEW contacts AS SELECT id, Email AS contact FROM customers WHERE Email <> 'it''s';
CREATE TRIGGER touched AFTER UPDATE ON customers FOR EACH ROW SET @touched = NEW.id;
CREATE FUNCTION sly(gone integer) RETURNS integer MODIFIES SQL DATA BEGIN DELETE FROM customers WHERE id = gone; RETURN 1; END;
CREATE FUNCTION plain(x integer) RETURNS integer NO SQL RETURN x + 1;
CREATE PROCEDURE clean() DELETE FROM customers;
CREATE SEQUENCE numbers;
CREATE TABLE part_of (customer integer, FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE SET NULL ON UPDATE RESTRICT);
CREATE TABLE part (id integer) ENGINE=MyISAM;
CREATE TABLE merged (id integer) ENGINE=MERGE UNION=(part);
SET sql_mode = 'ANSI_QUOTES';
CREATE FUNCTION quoted() RETURNS text READS SQL DATA RETURN (SELECT "email" FROM customers LIMIT 1);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn everything_users_have_made_in_mariadb_is_in_its_catalog() {
    let database = mariadb::database();
    database.prepare(MADE_IN_MARIADB);
    database.admin(&format!(
        "GRANT EXECUTE ON {}.* TO {}; GRANT SELECT ON mysql.proc TO {}",
        database.name, database.reader, database.reader
    ));
    let target = Target::mysql(&database);
    let judged = target.catalog().await;
    let catalog = judged.catalog();

    assert_eq!(catalog.search_path, [database.name.as_str()]);
    let names: Vec<&str> = catalog.relations.keys().map(|id| &*id.name).collect();
    assert_eq!(
        names,
        [
            "contacts",
            "customers",
            "merged",
            "numbers",
            "part",
            "part_of"
        ]
    );
    let customers = relation(catalog, "customers");
    let listed = |columns: &[RelationColumn]| -> Vec<String> {
        columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.type_name.name))
            .collect()
    };
    assert_eq!(
        listed(&customers.columns),
        [
            "id int",
            "email varchar",
            "salary int",
            "twice int",
            "login varchar",
            "at datetime"
        ]
    );
    assert_eq!(listed(&customers.hidden), ["inside int"]);
    let computed: Vec<_> = customers
        .computed
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    // The first is a text that has a mark of a name in it: nothing is lost by its being asked about.
    assert_eq!(
        computed,
        [
            ("email", "'no`ne'"),
            ("login", "lcase(`Email`)"),
            ("twice", "`salary` * 2")
        ]
    );
    assert_eq!(
        customers.triggers,
        ["touched"],
        "only the credential that writes sees it"
    );
    assert_eq!(customers.on_write, ["`salary` < 900000"]);
    assert_eq!(
        customers.defaults,
        ["'no`ne'", "current_timestamp()", "lcase(`Email`)"]
    );
    assert_eq!(customers.on_delete, [named(&database.name, "part_of")]);
    assert!(customers.on_update.is_empty());
    assert!(!customers.lasting && relation(catalog, "part").lasting);
    let contacts = relation(catalog, "contacts").definition.as_deref().unwrap();
    assert!(
        contacts.starts_with("select `") && contacts.ends_with(r"<> 'it\'s'"),
        "{contacts}"
    );
    assert!(
        relation(catalog, "merged").opaque,
        "its rows are another table's"
    );
    assert!(!relation(catalog, "part").opaque);

    // Who may read `mysql.proc` sees those of every database.
    let own = |all: &[Routine]| {
        let mut own = all.iter().filter(|routine| routine.schema == database.name);
        own.next().cloned()
    };
    let bodies: BTreeMap<&str, _> = catalog
        .routines
        .iter()
        .filter_map(|(name, all)| {
            let routine = own(all)?;
            let body = routine.body.as_deref().map(one_line);
            Some((&**name, (routine.language, routine.promises_to_read, body)))
        })
        .collect();
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(
        bodies,
        BTreeMap::from([
            (
                "clean",
                ("sql".into(), false, said("DELETE FROM customers"))
            ),
            ("plain", ("sql".into(), true, said("RETURN x + 1"))),
            ("quoted", ("sql".into(), true, None)),
            (
                "sly",
                (
                    "sql".into(),
                    false,
                    said("BEGIN DELETE FROM customers WHERE id = gone; RETURN 1; END")
                )
            ),
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_neither_credential_is_shown_in_mariadb_is_in_doubt() {
    let database = mariadb::database();
    database.prepare(
        "CREATE TABLE t (a integer, b integer, c integer); CREATE TABLE u (a integer); CREATE VIEW v AS SELECT a FROM t",
    );
    let (name, reader, writer) = (&database.name, &database.reader, &database.writer);
    let target = Target::mysql(&database);
    assert!(
        relation(target.catalog().await.catalog(), "t")
            .triggers
            .is_empty()
    );
    database.admin(&format!(
        "REVOKE ALL ON {name}.* FROM {reader}; REVOKE ALL ON {name}.* FROM {writer};
         GRANT SELECT (a, c), UPDATE (a) ON {name}.t TO {reader}, {writer}; GRANT SELECT ON {name}.v TO {reader};
         GRANT SELECT, INSERT, TRIGGER ON {name}.u TO {writer}; GRANT SELECT ON {name}.u TO {reader}"
    ));
    let target = Target::mysql(&database);
    let judged = target.catalog().await;
    let catalog = judged.catalog();
    let t = relation(catalog, "t");
    assert!(t.columns.is_empty(), "what `*` shows is not known");
    assert_eq!(t.triggers.len(), 1, "a trigger nobody is shown");
    assert!(relation(catalog, "u").triggers.is_empty());
    let view = relation(catalog, "v");
    assert!(view.opaque && view.definition.is_none());
}
