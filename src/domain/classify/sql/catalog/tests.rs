//! Statements before a catalog that hides an effect behind every kind of name.

use std::collections::BTreeSet;

use super::*;
use crate::domain::classify::{
    Facts, OutputSource, Outputs,
    server::{Cast, Domain, RelationColumn},
    sql::{classify, classify_in},
};

fn id(name: &str) -> ServerName {
    let (schema, name) = name.split_once('.').unwrap_or(("", name));
    ServerName {
        schema: schema.into(),
        name: name.into(),
    }
}

/// A table of `name type, name type`.
fn table(columns: &str) -> Relation {
    let column = |text: &str| {
        let (name, type_name) = text.trim().split_once(' ').unwrap_or((text.trim(), "text"));
        RelationColumn {
            name: name.into(),
            type_name: id(type_name),
        }
    };
    Relation {
        columns: columns.split(',').map(column).collect(),
        ..Relation::default()
    }
}

fn view(columns: &str, definition: &str) -> Relation {
    Relation {
        definition: Some(definition.into()),
        ..table(columns)
    }
}

fn routine(schema: &str, language: &str, body: Option<&str>) -> Routine {
    Routine {
        schema: schema.into(),
        language: language.into(),
        promises_to_read: true,
        body: body.map(str::to_owned),
        calls: Vec::new(),
    }
}

fn one(text: &str) -> Vec<String> {
    vec![text.into()]
}

fn catalog() -> ServerCatalog {
    let relations = [
        ("public.customers", table("id, email, name")),
        ("public.orders", table("id, customer_id, total, card")),
        ("public.notes", table("id, body")),
        ("hidden.notes", table("id, body")),
        ("public.hidden.notes", table("id, body")),
        (
            "public.people",
            view(
                "id, mail",
                " SELECT customers.id,\n    customers.email AS mail\n   FROM public.customers\n  WHERE (customers.name IS NOT NULL);",
            ),
        ),
        (
            "public.loud_people",
            view(
                "shout",
                " SELECT upper(people.mail) AS shout\n   FROM public.people;",
            ),
        ),
        (
            "public.ticking",
            view("id", " SELECT nextval('s'::regclass) AS id;"),
        ),
        (
            "public.clearing_view",
            view("id", " SELECT public.clearing() AS id;"),
        ),
        (
            "public.one_of_two",
            view("id", "SELECT id FROM public.two_of_one;"),
        ),
        (
            "public.two_of_one",
            view("id", "SELECT id FROM public.one_of_two;"),
        ),
        (
            "public.unseen",
            Relation {
                opaque: true,
                ..table("id")
            },
        ),
        ("public.unreadable", view("id", "SELECT (id FROM")),
        (
            "public.remote_orders",
            Relation {
                opaque: true,
                ..table("id, card")
            },
        ),
        (
            "public.guarded",
            Relation {
                on_read: one("(owner = CURRENT_USER)"),
                ..table("id, owner")
            },
        ),
        (
            "public.guarded_by_stranger",
            Relation {
                on_read: one("public.in_plpgsql(id)"),
                ..table("id")
            },
        ),
        (
            "public.computing",
            Relation {
                on_read: one("(EXISTS ( SELECT 1\n   FROM hidden.notes))"),
                ..table("id")
            },
        ),
        (
            "public.ruled",
            Relation {
                rules: one("INSTEAD  DELETE FROM public.customers;"),
                ..table("id")
            },
        ),
        (
            "public.triggered",
            Relation {
                triggers: vec!["audit".into(), "notify".into()],
                ..table("id")
            },
        ),
        (
            "public.defaulting",
            Relation {
                on_write: one("public.clearing()"),
                ..table("id")
            },
        ),
        (
            "public.orders_all",
            Relation {
                children: vec![id("public.orders_2024")],
                ..table("card, note")
            },
        ),
        (
            "public.orders_2024",
            Relation {
                parents: vec![id("public.orders_all")],
                ..table("card, note")
            },
        ),
        ("public.places", table("id int4, spot public.point3")),
        ("public.with_checked", table("amount public.checked")),
        ("public.priced", table("price public.fine")),
    ];
    let routines = [
        (
            "harmless_sum",
            routine("public", "sql", Some("SELECT greatest($1, $2)")),
        ),
        (
            "total_of",
            routine(
                "public",
                "sql",
                Some("RETURN (SELECT sum(total) FROM orders WHERE id = $1)"),
            ),
        ),
        (
            "clearing",
            routine("public", "sql", Some("DELETE FROM customers; SELECT 1")),
        ),
        (
            "calls_clearing",
            routine(
                "public",
                "sql",
                Some("BEGIN ATOMIC\n SELECT public.clearing();\nEND"),
            ),
        ),
        (
            "in_plpgsql",
            routine("public", "plpgsql", Some("BEGIN RETURN 1; END")),
        ),
        ("vouched_for", routine("public", "plpgsql", None)),
        ("vouched_for", routine("other", "plpgsql", None)),
        ("lower", routine("public", "plpgsql", None)),
        ("upper", routine("away", "plpgsql", None)),
        ("away", routine("away", "plpgsql", None)),
        ("similarity", routine("public", "c", None)),
        (
            "best",
            Routine {
                calls: vec![id("int4larger")],
                ..routine("public", "internal", None)
            },
        ),
        (
            "worst",
            Routine {
                calls: vec![id("int4larger"), id("public.in_plpgsql")],
                ..routine("public", "internal", None)
            },
        ),
        ("email", routine("public", "plpgsql", None)),
        ("pg_catalog.lower", routine("public", "plpgsql", None)),
        (
            "with_own_path",
            routine("public", "sql", Some("SELECT body FROM notes")),
        ),
        (
            "looping",
            routine("public", "sql", Some("SELECT public.looping($1 - 1)")),
        ),
        ("point3_add", routine("public", "plpgsql", None)),
        ("point3_lt", routine("public", "plpgsql", None)),
        ("point3_text", routine("public", "plpgsql", None)),
    ];
    let operator = |operands: [&str; 2], function: &str| Operator {
        schema: "public".into(),
        operands: operands.map(id).into(),
        function: id(function),
    };
    let mut catalog = ServerCatalog {
        search_path: vec!["public".into()],
        operators: BTreeMap::from([
            (
                "+".into(),
                vec![operator(["public.point3", "int4"], "public.point3_add")],
            ),
            (
                "<".into(),
                vec![operator(
                    ["public.point3", "public.point3"],
                    "public.point3_lt",
                )],
            ),
            ("@@@".into(), vec![operator(["int4", "int4"], "int4pl")]),
        ]),
        casts: vec![Cast {
            source: id("public.point3"),
            target: id("text"),
            function: id("public.point3_text"),
            implicit: false,
        }],
        domains: BTreeMap::from([
            (
                id("public.checked"),
                Domain {
                    base: id("int4"),
                    checks: one("public.in_plpgsql(VALUE)"),
                },
            ),
            (
                id("public.fine"),
                Domain {
                    base: id("int4"),
                    checks: one("(VALUE > 0)"),
                },
            ),
        ]),
        ..ServerCatalog::default()
    };
    for (name, relation) in relations {
        catalog.relations.insert(id(name), relation);
    }
    for (name, routine) in routines {
        catalog
            .routines
            .entry(name.into())
            .or_default()
            .push(routine);
    }
    catalog
}

fn text(facts: &Facts) -> String {
    let objects: Vec<String> = facts
        .objects
        .iter()
        .map(|object| match object.access {
            ObjectAccess::Read => object.name.clone(),
            ObjectAccess::Write => format!("{}!", object.name),
        })
        .collect();
    let columns = |columns: &BTreeSet<crate::domain::classify::ColumnRef>| {
        columns
            .iter()
            .map(|column| {
                let relation = column.relation.as_deref().unwrap_or("?");
                format!("{relation}.{}", column.column)
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    let outputs = match &facts.outputs {
        Outputs::Unproven => "anything".to_owned(),
        Outputs::Described => "a description".to_owned(),
        Outputs::Known(outputs) => outputs
            .iter()
            .map(|output| match output {
                OutputSource::Column(from) => columns(from),
                OutputSource::From(from) => format!("({})", columns(from)),
                OutputSource::Star(relation) => format!("*{}", relation.as_deref().unwrap_or("?")),
                OutputSource::Unproven => "!".to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", "),
    };
    let predicates = match columns(&facts.predicates) {
        predicates if predicates.is_empty() => predicates,
        predicates => format!(" if {predicates}"),
    };
    format!(
        "{} of {}: {}\n    shows {outputs}{predicates}",
        facts.class,
        objects.join(", "),
        facts.why
    )
}

fn before(known: &JudgedCatalog, statement: &str) -> Facts {
    let harmless = BTreeSet::from(["public.vouched_for".to_owned()]);
    let place = Surroundings {
        catalog: Some(known),
        harmless: Some(&harmless),
    };
    classify_in(known.dialect(), statement, place)
}

#[test]
fn what_stands_behind_a_name_is_judged_with_it() {
    let known = JudgedCatalog::new(Dialect::Postgres, catalog());
    let mut table = String::new();
    for line in include_str!("cases.sql").lines() {
        table.push_str(line);
        table.push('\n');
        if !line.is_empty() && !line.starts_with("--") {
            let facts = before(&known, line);
            table.push_str(&format!("    {}\n", text(&facts)));
            // Judged again from memory, it is the same.
            assert_eq!(facts, before(&known, line), "{line}");
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_catalog_makes_nothing_milder_but_a_call_whose_body_shows_all_it_does() {
    let known = JudgedCatalog::new(Dialect::Postgres, catalog());
    let empty = JudgedCatalog::new(Dialect::Postgres, ServerCatalog::default());
    let lineage = include_str!("../lineage/cases.sql").lines();
    let statements = include_str!("cases.sql").lines().chain(lineage);
    for statement in statements.filter(|line| !line.is_empty() && !line.starts_with("--")) {
        let alone = classify(Dialect::Postgres, statement);
        assert_eq!(
            before(&empty, statement).effects,
            alone.effects,
            "{statement}"
        );
        let unknown_call = alone.why.contains("could do anything");
        let facts = before(&known, statement);
        assert!(
            facts.class >= alone.class || unknown_call,
            "{statement}: {facts:?}"
        );
        if !unknown_call {
            assert!(facts.effects.is_superset(&alone.effects) || alone.class == Effect::Read);
        }
        for object in &alone.objects {
            let of_this_name = |known: &Object| {
                known.access == object.access
                    && (known.name == object.name
                        || known.name.ends_with(&format!(".{}", object.name)))
            };
            assert!(
                facts.objects.iter().any(of_this_name),
                "{statement}: {object:?} is lost"
            );
        }
    }
}

#[test]
fn definitions_without_end_or_number_are_judged_in_bounded_time() {
    // Each view reads the one before it twice.
    let mut catalog = ServerCatalog {
        search_path: vec!["public".into()],
        ..ServerCatalog::default()
    };
    catalog.relations.insert(id("public.v0"), table("x"));
    for level in 1..40 {
        let below = level - 1;
        catalog.relations.insert(
            id(&format!("public.v{level}")),
            view(
                "x",
                &format!("SELECT a.x FROM public.v{below} a, public.v{below} b"),
            ),
        );
    }
    let known = JudgedCatalog::new(Dialect::Postgres, catalog);
    let facts = before(&known, "SELECT x FROM v39");
    assert_eq!(facts.class, Effect::Read);
    assert_eq!(facts.objects.len(), 40);
    let Outputs::Known(outputs) = facts.outputs else {
        panic!("not traced");
    };
    let [OutputSource::Column(from)] = outputs.as_slice() else {
        panic!("{outputs:?}");
    };
    assert_eq!(from.len(), 40);
}

#[test]
fn sqlite_views_are_seen_through_whatever_case_they_are_called_in() {
    let mut catalog = ServerCatalog {
        search_path: vec!["main".into()],
        ..ServerCatalog::default()
    };
    catalog
        .relations
        .insert(id("main.Customers"), table("Id, Email"));
    catalog.relations.insert(
        id("main.People"),
        view("Mail", "SELECT Email AS Mail FROM Customers"),
    );
    catalog.relations.insert(
        id("main.Loaded"),
        view("x", "SELECT load_extension('x') AS x"),
    );
    let known = JudgedCatalog::new(Dialect::Sqlite, catalog);
    insta::assert_snapshot!(
        [
            "SELECT mail FROM PEOPLE",
            "SELECT rowid, * FROM customers",
            "SELECT x FROM loaded"
        ]
        .map(|statement| format!("{statement}\n    {}", text(&before(&known, statement))))
        .join("\n")
    );
}

#[test]
fn policy_can_vouch_for_a_function_without_a_catalog() {
    let harmless = BTreeSet::from(["mine".to_owned(), "s.other".to_owned()]);
    let place = Surroundings {
        catalog: None,
        harmless: Some(&harmless),
    };
    let class = |statement| classify_in(Dialect::Postgres, statement, place).class;
    assert_eq!(class("SELECT mine(1), s.other(2)"), Effect::Read);
    assert_eq!(class("SELECT s.mine(1)"), Effect::Write);
    assert_eq!(class("SELECT other(1)"), Effect::Write);
    assert_eq!(class("SELECT \"s.other\"(1)"), Effect::Write);
}
