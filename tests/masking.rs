//! What may be seen of a result.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kinds;
mod laws;

use std::collections::{BTreeMap, BTreeSet};

use laws::mask_pieces;
use proptest::prelude::*;

use portcullis::domain::{
    classify::{
        ColumnRef, Dialect, Effect, Facts, Object, ObjectAccess, OutputSource, Outputs,
        sql::classify,
    },
    masking::{
        Cell, ColumnRule, DetectorSet, How, InPredicates, MaskedCounts, MaskedRows, Masking,
        MaskingError, MaskingRules, Pattern, ServerColumn, ServerOrigin,
    },
};

fn rule(pattern: &str, as_: How) -> ColumnRule {
    ColumnRule {
        pattern: pattern.into(),
        as_,
        domain: None,
        in_predicates: InPredicates::default(),
    }
}

fn rules(columns: &[(&str, How)]) -> MaskingRules {
    MaskingRules {
        columns: columns
            .iter()
            .map(|(pattern, how)| rule(pattern, *how))
            .collect(),
        key: [7; 32],
        ..MaskingRules::default()
    }
}

fn masking(columns: &[(&str, How)]) -> Masking {
    Masking::compile(rules(columns)).unwrap()
}

fn reads(objects: &[&str], outputs: Outputs) -> Facts {
    Facts {
        class: Effect::Read,
        unbounded: false,
        objects: objects
            .iter()
            .map(|name| Object {
                name: (*name).into(),
                access: ObjectAccess::Read,
            })
            .collect(),
        outputs,
        runs_unjudged: false,
        ..Facts::unknown("test")
    }
}

fn from(columns: &[(Option<&str>, &str)]) -> OutputSource {
    OutputSource::From(
        columns
            .iter()
            .map(|(relation, column)| ColumnRef {
                relation: relation.map(Into::into),
                column: (*column).into(),
            })
            .collect::<BTreeSet<_>>(),
    )
}

fn column(name: &str, origin: Option<(&str, &str)>) -> ServerColumn {
    ServerColumn {
        name: name.into(),
        type_name: "text".into(),
        origin: origin.map(|(relation, column)| ServerOrigin {
            schema: Some("public".into()),
            relation: relation.into(),
            column: column.into(),
            also: Vec::new(),
        }),
    }
}

fn run(
    masking: &Masking,
    facts: &Facts,
    columns: &[ServerColumn],
    rows: &[&[Cell<'_>]],
) -> (MaskedRows, MaskedCounts) {
    let mut masker = masking.rows(facts, columns);
    for row in rows {
        masker.row(row);
    }
    let (rows, counts) = masker.finish();
    (rows.into_inner(), counts)
}

#[test]
fn a_sensitive_column_is_masked_by_its_rule_whatever_it_is_called() {
    let masking = masking(&[
        ("*.customers.email", How::Redact),
        ("customers.card", How::KeepLast(4)),
    ]);
    let facts = reads(
        &["customers"],
        Outputs::Known(vec![
            from(&[(Some("customers"), "email")]),
            from(&[(Some("customers"), "card")]),
            from(&[(Some("customers"), "city")]),
        ]),
    );
    let columns = [
        column("x", Some(("customers", "email"))),
        column("y", Some(("customers", "card"))),
        column("city", Some(("customers", "city"))),
    ];
    let (rows, counts) = run(
        &masking,
        &facts,
        &columns,
        &[&[
            Cell::Text("ada@contoso.com"),
            Cell::Number("4111111111111111"),
            Cell::Text("Delft"),
        ]],
    );
    assert_eq!(rows.rows, r#"[["********","************1111","Delft"]]"#);
    let marked: Vec<_> = rows
        .columns
        .iter()
        .map(|column| column.masked.as_deref())
        .collect();
    assert_eq!(marked, [Some("column"), Some("column"), None]);
    assert_eq!(counts.cells, 2);
    assert_eq!(counts.by["column:customers.email"], 1);
    assert_eq!(counts.by["column:customers.card"], 1);
}

/// Every way the two witnesses can disagree or be silent.
#[test]
fn a_column_is_clear_only_where_text_and_server_both_say_so() {
    let masking = masking(&[("*.customers.email", How::KeepLast(4))]);
    let email = || from(&[(Some("customers"), "email")]);
    let city = || from(&[(Some("customers"), "city")]);
    let known = |source| Outputs::Known(vec![source]);
    let sensitive = &["customers"][..];
    let harmless = &["cities"][..];
    let clear = "clear";
    let by_rule = "rule";
    let redacted = "redacted";
    let table = [
        (
            "an unchanged column",
            sensitive,
            known(email()),
            Some(("customers", "email")),
            by_rule,
        ),
        (
            "the server alone says so",
            sensitive,
            known(city()),
            Some(("customers", "email")),
            by_rule,
        ),
        (
            "the text alone says so",
            sensitive,
            known(email()),
            Some(("customers", "city")),
            redacted,
        ),
        (
            "computed from it",
            sensitive,
            known(email()),
            None,
            redacted,
        ),
        (
            "computed from a bare name",
            sensitive,
            known(from(&[(None, "email")])),
            None,
            redacted,
        ),
        (
            "computed from a whole row",
            sensitive,
            known(from(&[(Some("customers"), "*")])),
            None,
            redacted,
        ),
        (
            "case is not an escape",
            sensitive,
            known(from(&[(Some("CUSTOMERS"), "EMail")])),
            None,
            redacted,
        ),
        ("a constant", sensitive, known(from(&[])), None, clear),
        (
            "computed from something else",
            sensitive,
            known(city()),
            None,
            clear,
        ),
        (
            "unproven, beside a sensitive table",
            sensitive,
            known(OutputSource::Unproven),
            None,
            redacted,
        ),
        (
            "unproven, elsewhere",
            harmless,
            known(OutputSource::Unproven),
            None,
            clear,
        ),
        (
            "a star the server names",
            sensitive,
            known(OutputSource::Star(None)),
            Some(("customers", "city")),
            clear,
        ),
        (
            "a star that is sensitive",
            sensitive,
            known(OutputSource::Star(None)),
            Some(("customers", "email")),
            by_rule,
        ),
        (
            "a star the server cannot name",
            sensitive,
            known(OutputSource::Star(None)),
            None,
            redacted,
        ),
        (
            "a statement nobody understood",
            &[][..],
            Outputs::Unproven,
            None,
            redacted,
        ),
        (
            "more columns than expressions",
            sensitive,
            Outputs::Known(vec![]),
            None,
            redacted,
        ),
    ];
    for (case, objects, outputs, origin, expected) in table {
        // What nobody understood is no read.
        let facts = match objects {
            [] => Facts {
                outputs,
                runs_unjudged: false,
                ..Facts::unknown("test")
            },
            objects => reads(objects, outputs),
        };
        let (rows, _) = run(
            &masking,
            &facts,
            &[column("c", origin)],
            &[&[Cell::Text("plain words")]],
        );
        let seen = match rows.rows.as_str() {
            r#"[["plain words"]]"# => clear,
            r#"[["*******ords"]]"# => by_rule,
            r#"[["********"]]"# => redacted,
            other => other,
        };
        assert_eq!(seen, expected, "{case}");
    }
}

#[test]
fn stars_between_expressions_leave_the_expressions_their_places() {
    let masking = masking(&[("customers.email", How::Redact)]);
    let facts = reads(
        &["customers"],
        Outputs::Known(vec![
            from(&[(Some("customers"), "city")]),
            OutputSource::Star(None),
            from(&[(Some("customers"), "email")]),
        ]),
    );
    let columns = [
        column("lower", None),
        column("id", Some(("customers", "id"))),
        column("email", Some(("customers", "email"))),
        column("upper", None),
    ];
    let cells = [
        Cell::Text("a"),
        Cell::Text("b"),
        Cell::Text("c"),
        Cell::Text("d"),
    ];
    let (rows, counts) = run(&masking, &facts, &columns, &[&cells]);
    assert_eq!(rows.rows, r#"[["a","b","********","********"]]"#);
    assert_eq!(counts.by["column:customers.email"], 2);
}

#[test]
fn without_column_rules_nothing_is_masked_whole_and_detectors_look_at_everything() {
    let facts = Facts::unknown("what is this");
    let card = ["4111 1111", "1111 1111"].join(" ");
    let (rows, counts) = run(
        &Masking::default(),
        &facts,
        &[column("a", None), column("b", None), column("c", None)],
        &[&[Cell::Text(&card), Cell::Null, Cell::Number("42")]],
    );
    assert_eq!(rows.rows, r#"[["___________________",null,42]]"#);
    assert_eq!(counts.by["personal:card"], 1);
    assert_eq!(rows.columns[0].masked, None);
}

#[test]
fn a_header_warns_of_what_its_values_do_not_show() {
    let (rows, _) = run(
        &Masking::default(),
        &Facts::unknown("test"),
        &[
            column("password", None),
            column("token_type", None),
            column("dob", None),
            column("passport_no", None),
        ],
        &[&[
            Cell::Text("Tulip1997_"),
            Cell::Text("Bearer"),
            Cell::Text("1944-09-07"),
            Cell::Text("C5VT2Y496"),
        ]],
    );
    assert_eq!(
        rows.rows,
        r#"[["__________","Bearer","__________","_________"]]"#
    );
}

#[test]
fn json_in_a_cell_stays_json_and_is_looked_into() {
    let (rows, counts) = run(
        &Masking::default(),
        &Facts::unknown("test"),
        &[column("payload", None)],
        &[
            &[Cell::Json(
                r#"{"password":"a\"b\\c9!","n":[1,2],"card":4012888888881881}"#,
            )],
            &[Cell::Json("not json: password=hunter2")],
        ],
    );
    let parsed: serde_json::Value = serde_json::from_str(&rows.rows).unwrap();
    assert_eq!(parsed[0][0]["n"], serde_json::json!([1, 2]));
    assert!(
        !rows.rows.contains("b\\\\c9") && !rows.rows.contains("8888"),
        "{}",
        rows.rows
    );
    assert!(parsed[0][0]["card"].is_number());
    assert_eq!(parsed[1][0], "not json: password=_______");
    assert_eq!(counts.cells, 2);
}

#[test]
fn every_way_of_masking_a_column_hides_the_value() {
    let ways = [
        (How::Redact, r#""********""#),
        (How::KeepLast(2), r#""*************om""#),
        (How::KeepLast(15), r#""***************""#),
        (How::KeepLast(99), r#""***************""#),
        (How::Null, "null"),
    ];
    let facts = reads(&["t"], Outputs::Unproven);
    let columns = [column("c", Some(("t", "c")))];
    for (how, expected) in ways {
        let (rows, _) = run(
            &masking(&[("t.c", how)]),
            &facts,
            &columns,
            &[&[Cell::Text("ada@contoso.com")]],
        );
        assert_eq!(rows.rows, format!("[[{expected}]]"), "{how:?}");
    }
}

#[test]
fn hashes_and_pseudonyms_are_equal_for_equal_values_and_only_under_one_key() {
    let facts = reads(&["t"], Outputs::Unproven);
    let columns = [column("c", Some(("t", "c")))];
    for how in [How::Hash, How::Pseudonym] {
        let show = |key: u8, text: &str| {
            let rules = MaskingRules {
                key: [key; 32],
                ..rules(&[("t.c", how)])
            };
            run(
                &Masking::compile(rules).unwrap(),
                &facts,
                &columns,
                &[&[Cell::Text(text)]],
            )
            .0
            .rows
        };
        assert_eq!(show(1, "ada@contoso.com"), show(1, "ada@contoso.com"));
        assert_ne!(show(1, "ada@contoso.com"), show(1, "bob@contoso.com"));
        assert_ne!(show(1, "ada@contoso.com"), show(2, "ada@contoso.com"));
        assert!(!show(1, "ada@contoso.com").contains("ada"));
    }
}

#[test]
fn a_pseudonym_keeps_its_kind_and_can_be_told_from_everything_else() {
    let facts = reads(&["t"], Outputs::Unproven);
    let columns = [column("c", Some(("t", "c")))];
    let masking = masking(&[("t.c", How::Pseudonym)]);
    let show = |cell: Cell<'_>| run(&masking, &facts, &columns, &[&[cell]]).0.rows;
    assert_eq!(show(Cell::Null), "[[null]]");
    assert_eq!(show(Cell::Bool(true)), "[[\"********\"]]");
    assert_eq!(show(Cell::Json("{\"a\":1}")), "[[\"********\"]]");
    let address = show(Cell::Text("ada@contoso.com"));
    assert!(address.ends_with("pseudonym.invalid\"]]"), "{address}");
    let number = show(Cell::Text("+49 30 1234567"));
    assert!(number.starts_with("[[\"+999"), "{number}");
    for cell in [
        Cell::Text("Ada"),
        Cell::Text("1980-02-29"),
        Cell::Text("6f2a41d3-9c58-4e07-b1f2-3d4c5b6a7980"),
        Cell::Number("4012888888881881"),
    ] {
        let shown = show(cell);
        assert!(shown.starts_with("[[\"pseudonym"), "{shown}");
    }
}

#[test]
fn a_pseudonym_is_not_masked_again_where_a_statement_is_shown() {
    let facts = reads(&["t"], Outputs::Unproven);
    let columns = [column("c", Some(("t", "c")))];
    let masking = masking(&[("t.c", How::Pseudonym)]);
    for value in [
        "ada@contoso.com",
        "ada.lovelace.of.somewhere@contoso.com",
        "+49 30 1234567",
        "Ada Lovelace",
        "4012888888881881",
        "1980-02-29",
    ] {
        let rows = run(&masking, &facts, &columns, &[&[Cell::Text(value)]]);
        let rows = rows.0.rows;
        let pseudonym = rows.trim_matches(['[', ']', '"']);
        for text in [
            pseudonym.to_owned(),
            format!("SELECT * FROM t WHERE c = '{pseudonym}'"),
            format!("UPDATE t SET c = '{pseudonym}', d = 1"),
        ] {
            let mut counts = MaskedCounts::default();
            assert_eq!(masking.text(&text, &mut counts).into_inner(), text);
        }
    }
}

#[test]
fn a_policy_pattern_masks_its_matches_and_is_counted_by_name() {
    let rules = MaskingRules {
        patterns: vec![Pattern {
            name: "employee-id".into(),
            regex: r"EMP-\d{6}".into(),
            as_: How::KeepLast(2),
        }],
        detect: BTreeSet::new(),
        ..MaskingRules::default()
    };
    let masking = Masking::compile(rules).unwrap();
    let mut counts = MaskedCounts::default();
    let masked = masking.text("EMP-123456 asked; ada@contoso.com", &mut counts);
    assert_eq!(masked.as_inner(), "********56 asked; ada@contoso.com");
    assert_eq!(counts.by["pattern:employee-id"], 1);
}

#[test]
fn a_policy_pattern_over_several_pieces_of_a_stream_is_masked_in_each_of_them() {
    let masking = |as_: How| {
        let pattern = Pattern {
            name: "more".into(),
            regex: "pass.*".into(),
            as_,
        };
        let rules = MaskingRules {
            patterns: vec![pattern],
            ..MaskingRules::default()
        };
        Masking::compile(rules).unwrap()
    };
    let event = |content: &str| {
        let event = serde_json::json!({"choices": [{"index": 0, "delta": {"content": content}}]});
        format!("data: {event}\n\n")
    };
    let key =
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END PRIVATE KEY-----\n";
    let pieces = ["ld, password: Tul", "ld, password: Tül"];
    let text = format!("{}{key}{}", event(pieces[0]), event(pieces[1]));
    // Each piece has its part of the one mask, so that everything else stays in its place.
    let hidden_key = key.replace("MIIEvQIBADANBgkqhkiG9w0BAQ", &"_".repeat(26));
    for (shown, end) in [(0, "***"), (3, "Tül")] {
        let parts = [format!("ld, {}", "*".repeat(13)), "*".repeat(14) + end];
        assert_eq!(
            mask(&masking(How::KeepLast(shown)), &text),
            format!("{}{hidden_key}{}", event(&parts[0]), event(&parts[1]))
        );
    }
    // Words are words for built-in detectors alone.
    let words = format!("{}{}", event("it will pass the"), event(" old gate"));
    let parts = ["it will ********", &"*".repeat(9)];
    assert_eq!(
        mask(&masking(How::KeepLast(0)), &words),
        format!("{}{}", event(parts[0]), event(parts[1]))
    );
    // A mask of another length stands where the match begins.
    let masked = mask(&masking(How::Hash), &text);
    assert!(masked.ends_with(&event("")), "{masked}");
    assert!(
        !masked.contains("pass") && !masked.contains("Tul"),
        "{masked}"
    );
}

#[test]
fn a_policy_pattern_of_several_words_is_held_back_from_its_first() {
    let event = |content: &str| {
        let event = serde_json::json!({"choices": [{"index": 0, "delta": {"content": content}}]});
        format!("data: {event}\n\n")
    };
    let cases: [(&str, &[&str], &[&str]); 4] = [
        (
            r"EMP [0-9]{4}",
            &["see EMP", " 12", "34 now", " EMP 1"],
            &["see ___", "___", "__ now", " EMP 1"],
        ),
        (
            r"(?i)\bproject (blue|red) \w+\b",
            &["Pro", "ject ", "Blue", " owl", " and project green"],
            &["___", "_____", "____", "____", " and project green"],
        ),
        (
            r"(ab c){2,3}",
            &["xab ca", "b", " c", "d ab c"],
            &["x_____", "_", "__", "d ab c"],
        ),
        (
            r"[a-z]+ of [a-z]+",
            &["12 king of", " hearts 3"],
            &["12 _______", "_______ 3"],
        ),
    ];
    for (regex, pieces, shown) in cases {
        let pattern = Pattern {
            name: "words".into(),
            regex: regex.into(),
            as_: How::Redact,
        };
        let masking = Masking::compile(MaskingRules {
            patterns: vec![pattern],
            ..MaskingRules::default()
        })
        .unwrap();
        let text: String = pieces.iter().map(|piece| event(piece)).collect();
        let masked: String = shown.iter().map(|piece| event(piece)).collect();
        assert_eq!(mask(&masking, &text), masked, "{regex}");
    }
}

#[test]
fn rules_that_cannot_work_are_refused_by_name() {
    let pattern = |name: &str, regex: &str| MaskingRules {
        patterns: vec![Pattern {
            name: name.into(),
            regex: regex.into(),
            as_: How::Redact,
        }],
        ..MaskingRules::default()
    };
    let refusal = |rules| Masking::compile(rules).unwrap_err().to_string();
    assert!(refusal(pattern("id", "(")).contains("`id`"));
    assert!(refusal(pattern("huge", r"(\w{500}){500}")).contains("`huge`"));
    assert!(refusal(pattern("empty", "a*")).contains("empty text"));
    assert!(refusal(pattern("Bad Name", "a")).contains("Bad Name"));
    assert!(refusal(rules(&[("email", How::Redact)])).contains("`email`"));
    assert!(refusal(rules(&[("a.b.c.d", How::Redact)])).contains("`a.b.c.d`"));
    assert!(refusal(rules(&[("t.pass*", How::Redact)])).contains("`t.pass*`"));
    assert_eq!(
        Masking::compile(rules(&[("t.c", How::Redact), ("*.T.c", How::Null)])).unwrap_err(),
        MaskingError::ColumnTwice("*.T.c".into())
    );
}

#[test]
fn a_rule_is_found_from_whatever_part_of_a_name_is_known() {
    let masking = masking(&[("hr.people.ssn", How::Redact), ("*.*.iban", How::Redact)]);
    assert!(masking.column_rule(Some("hr.people"), "ssn").is_some());
    assert!(masking.column_rule(Some("HR.People"), "SSN").is_some());
    assert!(
        masking.column_rule(Some("people"), "ssn").is_some(),
        "the schema may be hr"
    );
    assert!(masking.column_rule(Some("app.people"), "ssn").is_none());
    assert!(masking.column_rule(None, "ssn").is_some());
    assert!(masking.column_rule(None, "name").is_none());
    assert!(
        masking.relation_is_sensitive("anything"),
        "any relation may have an iban"
    );
    assert_eq!(
        masking.in_predicates(Some("hr.people"), "ssn"),
        Some(InPredicates::RequireApproval)
    );
    assert!(!Masking::default().has_column_rules());
}

#[test]
fn of_several_rules_for_a_column_the_strictest_counts() {
    for order in [[0, 1], [1, 0]] {
        let both = [("*.t.c", How::KeepLast(4)), ("public.t.c", How::Redact)];
        let masking = masking(&order.map(|index| both[index]));
        assert_eq!(
            masking.column_rule(Some("public.t"), "c").unwrap().as_,
            How::Redact
        );
    }
    let detectors: Vec<_> = DetectorSet::ALL.iter().map(|set| set.as_str()).collect();
    assert_eq!(detectors, ["secrets", "personal"]);
}

/// Secrets as they are planted: a template and the part that must not survive.
/// Which columns of a statement's result are masked whole, where the server names no origin.
fn masked_columns(
    masking: &Masking,
    dialect: Dialect,
    statement: &str,
    columns: usize,
) -> Vec<bool> {
    let facts = classify(dialect, statement);
    let columns = vec![column("x", None); columns];
    let (rows, _) = run(masking, &facts, &columns, &[]);
    rows.columns
        .iter()
        .map(|column| column.masked.is_some())
        .collect()
}

#[test]
fn what_servers_keep_of_other_tables_values_and_others_statements_is_masked() {
    let masking = masking(&[("*.customers.email", How::Redact)]);
    for (dialect, statement, masked) in [
        (
            Dialect::Postgres,
            "SELECT attname, most_common_vals::text FROM pg_stats",
            vec![false, true],
        ),
        (
            Dialect::Postgres,
            "SELECT s.starelid, array_to_string(stavalues1, ',') FROM pg_catalog.pg_statistic s",
            vec![false, true],
        ),
        (
            Dialect::Postgres,
            "SELECT pid, left(query, 10) FROM pg_stat_activity",
            vec![false, true],
        ),
        (
            Dialect::Postgres,
            "SELECT c.relname, a.query FROM pg_class c, pg_stat_get_activity(NULL) a",
            vec![false, true],
        ),
        (Dialect::Postgres, "TABLE pg_stats", vec![true, true]),
        (
            Dialect::Postgres,
            "SELECT relname FROM pg_class",
            vec![false],
        ),
        (
            Dialect::Sqlite,
            "SELECT tbl, sample FROM sqlite_stat4",
            vec![false, true],
        ),
        (Dialect::Mysql, "SHOW FULL PROCESSLIST", vec![true, true]),
        (
            Dialect::Mysql,
            "SELECT info FROM information_schema.processlist",
            vec![true],
        ),
        (
            Dialect::Mysql,
            "SELECT min_value FROM mysql.column_stats",
            vec![true],
        ),
        (
            Dialect::Mssql,
            "SELECT t.text FROM sys.dm_exec_requests r CROSS APPLY sys.dm_exec_sql_text(r.sql_handle) t",
            vec![true],
        ),
    ] {
        assert_eq!(
            masked_columns(&masking, dialect, statement, masked.len()),
            masked,
            "{statement}"
        );
    }
}

#[test]
fn a_quoted_name_with_a_dot_is_no_qualified_name() {
    let masking = masking(&[("secret.notes.body", How::Redact)]);
    let masked = |statement| masked_columns(&masking, Dialect::Postgres, statement, 1);
    assert_eq!(masked(r#"SELECT body FROM secret.notes"#), [true]);
    assert_eq!(masked(r#"SELECT body FROM "secret"."notes""#), [true]);
    assert_eq!(masked(r#"SELECT body FROM "secret.notes""#), [false]);
    assert_eq!(masked(r#"SELECT body FROM "x.secret"."notes""#), [false]);
    assert_eq!(
        masked(r#"WITH "a.b" AS (SELECT body FROM secret.notes) SELECT body FROM "a.b""#),
        [true]
    );
}

#[test]
fn a_value_of_a_call_that_could_do_anything_is_masked_beside_any_table() {
    let masking = masking(&[("*.customers.email", How::Redact)]);
    let masked = |statement| masked_columns(&masking, Dialect::Postgres, statement, 2);
    assert_eq!(
        masked("SELECT relname, somebodys(oid) FROM pg_class"),
        [false, true]
    );
}

fn planted(seed: u64) -> Vec<(String, String)> {
    let mut state = seed | 1;
    let mut random = |count: usize| -> String {
        (0..count)
            .map(|index| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let alphabet: &[u8] = if index % 3 == 1 {
                    b"0123456789"
                } else {
                    b"ABCDEFGHJKLMNPQRSTUVWYZabcdefghijkmnpqrstuvwyz"
                };
                char::from(alphabet[(state >> 33) as usize % alphabet.len()])
            })
            .collect()
    };
    let templates = [
        ("DB_PASSWORD=§\n", 14),
        ("{\"user\": \"bob\", \"password\": \"§\", \"age\": 4}\n", 12),
        ("  apiToken: §\n", 40),
        ("Authorization: Bearer §\n", 40),
        ("connecting to postgres://app:§@db.internal:5432/x\n", 16),
        ("Server=db;User Id=sa;Password=§;Encrypt=True\n", 15),
        ("--password § --verbose\n", 12),
        ("<password>§</password>\n", 12),
        ("The token is sk-proj-§ according to the log.\n", 48),
        ("id,name,password\n1,bob,§\n\n", 13),
        (" id | password\n----+-----\n 1  | §\n\n", 13),
        ("ghp_§\n", 36),
        ("Set-Cookie: session=§; Path=/\n", 43),
    ];
    templates
        .iter()
        .map(|(template, length)| {
            let secret = random(*length);
            (template.replace('§', &secret), secret)
        })
        .collect()
}

const FILLER: &[&str] = &[
    "The deployment finished without errors.\n",
    "{\"id\": 5, \"sku\": \"AB-1\"}\n",
    "\n",
    "2026-03-07T17:51:53Z INFO GET /api/items/5 200 12ms\n",
    "Żółć 漢字 — naïve café\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello wor\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ld, password: Tul\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ip1997_ \\nbye\"}}]}\n\n",
    "data: [DONE]\n\n",
    "key sk-proj-abcDEF123ghi\nJKL456mno789PQR\n",
    "ｐａｓｓｗｏｒｄ＝Ｔｕｌｉｐ１９９７\n",
    "name  password\nbob   Tulip1997_\n",
    "CREATE TABLE t (id int, password text);\nINSERT INTO t VALUES (1, 'Tulip1997_');\n",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END PRIVATE KEY-----\n",
    "no newline at the end ann@contoso.com",
];

fn mask(masking: &Masking, text: &str) -> String {
    String::from_utf8(mask_pieces(masking, [text.as_bytes()]).0).unwrap()
}

/// Documents of filler with secrets in them, and the secrets.
fn documents() -> impl Strategy<Value = (String, Vec<String>)> {
    let part = prop_oneof![
        (0..FILLER.len()).prop_map(|index| (FILLER[index].to_string(), None)),
        (any::<u64>(), 0..13_usize).prop_map(|(seed, index)| {
            let (text, secret) = planted(seed).swap_remove(index);
            (format!("\n{text}"), Some(secret))
        }),
    ];
    prop::collection::vec(part, 1..12).prop_map(|parts| {
        let text = parts.iter().map(|(text, _)| text.as_str()).collect();
        (
            text,
            parts.into_iter().filter_map(|(_, secret)| secret).collect(),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_stream_is_masked_the_same_however_it_is_cut((text, _) in documents(), cuts in prop::collection::vec(1..80_usize, 1..40)) {
        let masking = Masking::default();
        let whole = mask_pieces(&masking, [text.as_bytes()]);
        let mut pieces = Vec::new();
        let mut rest = text.as_bytes();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        prop_assert_eq!(mask_pieces(&masking, pieces), whole);
    }

    #[test]
    fn masking_twice_is_masking_once((text, _) in documents()) {
        let masking = Masking::default();
        let once = mask(&masking, &text);
        prop_assert_eq!(mask(&masking, &once), once);
    }

    #[test]
    fn no_planted_secret_survives((text, secrets) in documents()) {
        let masked = mask(&Masking::default(), &text);
        for secret in secrets {
            prop_assert!(!masked.contains(&secret), "{} is in {}", secret, masked);
        }
    }

    #[test]
    fn any_bytes_are_masked_without_growing(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let (out, _) = mask_pieces(&Masking::default(), [bytes.as_slice()]);
        prop_assert!(out.len() <= bytes.len());
    }

    #[test]
    fn text_made_of_marks_is_masked_without_growing(marks in prop::collection::vec(prop::sample::select(vec!["password", "=", ":", "\"", "'", "\\", " ", "\n", "://", "@", "sk-", "AKIA", "-----BEGIN PRIVATE KEY-----", "(", ",", "|", "data: {\"delta\":\"", "\"}", "eyJ", "4012", "é", "％", "--", "%3D", "INSERT INTO t VALUES (", "\t", "DE89", "1", "."]), 0..60)) {
        let text = marks.concat();
        let masked = mask(&Masking::default(), &text);
        prop_assert!(masked.chars().count() <= text.chars().count());
    }

    #[test]
    fn adding_a_rule_never_shows_more((text, _) in documents(), regex in prop::sample::select(vec![r"\d+", "[a-z]{3}", "pass.*", "Tulip", "@", "[A-Za-z0-9]{10,}"]), shown in 0..6_u32) {
        let plain = mask(&Masking::default(), &text);
        let more = Masking::compile(MaskingRules {
            patterns: vec![Pattern { name: "more".into(), regex: regex.into(), as_: How::KeepLast(shown) }],
            ..MaskingRules::default()
        }).unwrap();
        // Where the first hides a character, so does the second.
        for ((before, after), original) in plain.chars().zip(mask(&more, &text).chars()).zip(text.chars()) {
            prop_assert!(before == original || after != original || after == '_' || after == '1');
        }
    }
}

/// What the fuzzer holds against everything, held on every run against documents of every kind, whole and damaged.
#[test]
fn the_laws_hold_for_documents_cut_mixed_and_damaged() {
    let masking = Masking::default();
    let mut inventor = kinds::Inventor::new(7);
    let mut documents: Vec<Vec<u8>> = Vec::new();
    for (_, template) in kinds::KINDS {
        documents.push(kinds::dirty(template, 3).0.into_bytes());
    }
    for _ in 0..400 {
        let mut text = documents[inventor.below(documents.len())].clone();
        match inventor.below(4) {
            // The end of another one after a part of this.
            0 => {
                text.truncate(inventor.below(text.len()));
                let other = &documents[inventor.below(documents.len())];
                text.extend_from_slice(&other[inventor.below(other.len())..]);
            }
            1 => {
                for _ in 0..8 {
                    let at = inventor.below(text.len());
                    text[at] = inventor.one(b"\"'\\ \n=:,|<>@%{}[]()-_.\0\xff7a");
                }
            }
            2 => {
                let event = serde_json::json!({"choices": [{"index": 0, "delta": {"content": String::from_utf8_lossy(&text)}}]});
                text = format!("data: {event}\n\n").into_bytes();
            }
            _ => {
                let from = inventor.below(text.len());
                text = text[from..].repeat(2);
            }
        }
        let cuts = [1, 0, inventor.below(200) as u8, 40];
        laws::hold(&masking, &text, &cuts);
    }
}

#[test]
fn a_document_may_end_anywhere() {
    let masking = Masking::default();
    for (kind, template) in kinds::KINDS {
        let text = kinds::dirty(template, 5).0;
        for end in 0..text.len() {
            let (masked, _) = laws::mask_pieces(&masking, [&text.as_bytes()[..end]]);
            assert!(masked.len() <= end, "{kind} grew at {end}");
        }
    }
}

/// Kinds of document no detector was written for, each with places for secrets.
#[test]
fn every_kind_of_document_loses_its_secrets_and_keeps_the_rest() {
    let masking = Masking::default();
    let mut by_type: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let (mut leaks, mut touched, mut documents) = (Vec::new(), Vec::new(), 0);
    for (kind, template) in kinds::KINDS {
        for seed in 1..=8 {
            let (text, planted) = kinds::dirty(template, seed);
            let masked = mask(&masking, &text);
            assert_eq!(mask(&masking, &masked), masked, "{kind} is masked again");
            assert_eq!(masked.lines().count(), text.lines().count(), "{kind}");
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                let json = serde_json::from_str::<serde_json::Value>(&masked);
                assert!(json.is_ok(), "{kind} is no JSON any more: {masked}");
            }
            for secret in planted {
                let (found, all) = by_type.entry(secret.of.clone()).or_default();
                *all += 1;
                if kinds::survives(&secret, &masked, template) {
                    leaks.push(format!("{} in {kind}: {masked}", secret.of));
                } else {
                    *found += 1;
                }
            }
            let text = kinds::clean(template, seed);
            documents += 1;
            if mask(&masking, &text) != text {
                touched.push(format!("{kind}: {}", mask(&masking, &text)));
            }
        }
    }
    let reach = |personal: bool| {
        let of = by_type
            .iter()
            .filter(|(of, _)| kinds::is_personal(of) == personal);
        let (found, all) = of.fold((0, 0), |(found, all), (_, of)| (found + of.0, all + of.1));
        f64::from(found) / f64::from(all)
    };
    assert!(reach(false) >= 0.99 && reach(true) >= 0.99, "{leaks:#?}");
    for (of, (found, all)) in &by_type {
        assert!(
            f64::from(*found) / f64::from(*all) >= 0.9,
            "{of}: {leaks:#?}"
        );
    }
    assert!(touched.len() * 200 <= documents, "{touched:#?}");
}

#[test]
fn json_keeps_its_shape() {
    let text = r#"{"rows":[{"id":1,"card_number":4012888888881881,"password":"a\"b\\c9!","note":"x\nAKIA","email":"ann@contoso.com","nested":"{\"api_key\":\"k9Qz7Lm2Xw4Rt8Vb\"}","iban":null,"pin":1234}]}"#;
    let masked = mask(&Masking::default(), text);
    let kinds = |text: &str| laws::shape(&serde_json::from_str::<serde_json::Value>(text).unwrap());
    assert_eq!(kinds(&masked), kinds(text));
    for secret in ["8888", "c9!", "ann@", "k9Qz", "1234"] {
        assert!(!masked.contains(secret), "{secret} in {masked}");
    }
}

/// A secret in pieces of a few characters, in each shape of event.
#[test]
fn a_secret_split_over_tokens_is_masked_before_its_first_piece_leaves() {
    let secret = format!("sk-proj-{}", "a1B2c3D4e5F6g7H8".repeat(3));
    let text = format!("Sure, the key is {secret} as you asked for it.");
    let openai = |piece: &str| {
        format!(
            "data: {}\n\n",
            serde_json::json!({"id": "c1", "choices": [{"index": 0, "delta": {"content": piece}}]})
        )
    };
    let tool = |piece: &str| {
        format!(
            "data: {}\n\n",
            serde_json::json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 1, "function": {"arguments": piece}}]}}]})
        )
    };
    let anthropic = |piece: &str| {
        let event = serde_json::json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}});
        format!("event: content_block_delta\ndata: {event}\n\n")
    };
    let responses = |piece: &str| {
        format!(
            "data: {}\n\n",
            serde_json::json!({"type": "response.output_text.delta", "output_index": 0, "delta": piece})
        )
    };
    let unfinished = |piece: &str| {
        let choice =
            serde_json::json!({"index": 0, "delta": {"content": piece}, "finish_reason": ""});
        format!("data: {}\n\n", serde_json::json!({"choices": [choice]}))
    };
    let shapes: [&dyn Fn(&str) -> String; 5] =
        [&openai, &tool, &anthropic, &responses, &unfinished];
    for shape in shapes {
        let masking = Masking::default();
        let mut stream = masking.stream();
        let (mut out, mut findings) = (Vec::new(), Vec::new());
        for piece in text.as_bytes().chunks(3) {
            stream.push(
                shape(std::str::from_utf8(piece).unwrap()).as_bytes(),
                &mut out,
                &mut findings,
            );
            assert!(
                !String::from_utf8_lossy(&out).contains("sk-"),
                "the secret's first piece left"
            );
        }
        stream.finish(&mut out, &mut findings);
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains("a1B") && out.contains("___"), "{out}");
        assert_eq!(
            out.matches("data: ").count(),
            text.len().div_ceil(3),
            "framing changed"
        );
        assert!(
            out.lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .all(|json| serde_json::from_str::<serde_json::Value>(json).is_ok())
        );
        assert!(!findings.is_empty());
    }
}

/// Answers with several choices: what ends one of them says nothing of the others, wherever an event says which it is about.
#[test]
fn the_end_of_one_choice_shows_nothing_of_another() {
    let secret = format!("sk-proj-{}", "a1B2c3D4e5F6g7H8".repeat(3));
    let choice = |index: u8, content: &str, finish: &str| {
        let delta = serde_json::json!({"content": content});
        [
            format!(
                r#"data: {{"choices":[{{"index":{index},"delta":{delta},"finish_reason":{finish}}}]}}"#
            ),
            format!(
                r#"data: {{"choices":[{{"delta":{delta},"finish_reason":{finish},"index":{index}}}]}}"#
            ),
        ]
    };
    for order in [0, 1] {
        let masking = Masking::default();
        let mut stream = masking.stream();
        let (mut out, mut findings) = (Vec::new(), Vec::new());
        let mut push = |event: [String; 2]| {
            stream.push(event[order].as_bytes(), &mut out, &mut findings);
            stream.push(b"\n\n", &mut out, &mut findings);
        };
        for (index, piece) in secret.as_bytes().chunks(5).enumerate() {
            push(choice(0, std::str::from_utf8(piece).unwrap(), "null"));
            let finish = if index == 4 { r#""stop""# } else { "null" };
            push(choice(1, "words ", finish));
        }
        push(choice(0, ".", r#""stop""#));
        assert!(
            !findings.is_empty(),
            "the end of a choice lets all of it out"
        );
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains("a1B") && !out.contains("sk-"), "{out}");
        assert_eq!(out.matches("words ").count(), secret.len().div_ceil(5));
    }
}

/// An answer in ever more texts costs no more memory.
#[test]
fn texts_of_an_answer_are_told_apart_up_to_a_number() {
    let masking = Masking::default();
    let mut stream = masking.stream();
    let (mut out, mut findings) = (Vec::new(), Vec::new());
    for index in 0..5_000 {
        let event =
            format!(r#"data: {{"choices":[{{"index":{index},"delta":{{"content":"sk-pro"}}}}]}}"#);
        stream.push(event.as_bytes(), &mut out, &mut findings);
        stream.push(b"\n\n", &mut out, &mut findings);
        assert!(stream.held_back() < 32 << 10);
    }
}

#[test]
fn a_stream_holds_back_no_more_than_what_is_open() {
    let masking = Masking::default();
    let mut stream = masking.stream();
    let (mut out, mut findings) = (Vec::new(), Vec::new());
    let mut most = 0;
    for word in "the quick brown fox jumps over the lazy dog and runs "
        .repeat(200)
        .split_inclusive(' ')
    {
        let event = serde_json::json!({"choices": [{"index": 0, "delta": {"content": word}}]});
        stream.push(
            format!("data: {event}\n\n").as_bytes(),
            &mut out,
            &mut findings,
        );
        most = most.max(stream.held_back());
    }
    assert!(most < 300, "{most} bytes were held back for plain words");
    // A line without end does not grow the buffer either.
    let mut stream = masking.stream();
    for _ in 0..100 {
        stream.push(&[b'a'; 10_000], &mut out, &mut findings);
        assert!(stream.held_back() <= 80 << 10);
    }
}

#[test]
fn what_looks_like_other_letters_is_read_as_them() {
    let masking = Masking::default();
    for text in [
        "ｐａｓｓｗｏｒｄ＝Ｔｕｌｉｐ１９９７",
        "pass\u{200b}word=Tulip\u{200b}1997",
        "раѕѕword=Tulip1997",
        "card 4012\u{a0}8888\u{a0}8888\u{a0}1881",
        "ann＠contoso.com",
        "٤٠١٢٨٨٨٨٨٨٨٨١٨٨١",
    ] {
        let masked = mask(&masking, text);
        assert_ne!(masked, text);
        assert!(
            !masked.contains("1997")
                && !masked.contains("８")
                && !masked.contains("8888")
                && !masked.contains("contoso"),
            "{masked}"
        );
    }
    assert_eq!(
        mask(&masking, "Ærø, Łódź, 東京, Москва"),
        "Ærø, Łódź, 東京, Москва"
    );
}

#[test]
fn no_text_makes_masking_hang() {
    let masking = Masking::default();
    let units = [
        "=",
        "a=",
        "a='",
        ":",
        "://",
        "a://b:",
        "@",
        "a@",
        "sk-",
        "eyJ",
        "eyJ-",
        "password",
        "password=",
        "password ",
        "\\\"",
        "\"",
        "'",
        "((",
        "1",
        "1 ",
        "1-",
        "12.",
        "GB82 ",
        "--",
        " --password ",
        " -p",
        "| ",
        ",",
        "x,",
        "<a>",
        "AKIA",
        "Q~",
        "==",
        "%3D",
        "%40",
        "-----BEGIN PRIVATE KEY-----",
        "data: {\"delta\":\"",
        "[",
        "{\"a\":",
        "INSERT INTO t VALUES (",
        "CREATE TABLE t (a",
        "SG.",
        "Bearer ",
        "token=eyJhbGciOiJIUzI1NiJ9.",
        "A",
        "\u{200b}",
        "é",
        "Cookie: a=b;",
    ];
    let begin = std::time::Instant::now();
    for unit in units {
        let text = unit.repeat(20_000 / unit.len());
        assert!(mask(&masking, &text).chars().count() <= text.chars().count());
        let event = serde_json::json!({"choices": [{"index": 0, "delta": {"content": unit}}]});
        mask(&masking, &format!("data: {event}\n\n").repeat(200));
        let took = begin.elapsed();
        assert!(took.as_secs() < 20, "{unit} is too slow: {took:?}");
    }
}

fn portcullis_mask(arguments: &[&str], input: impl AsRef<[u8]>) -> (String, i32) {
    use std::io::Write as _;
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("mask")
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_ref())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.code().unwrap(),
    )
}

#[test]
fn the_command_masks_json_lines_and_goes_on_after_a_bad_one() {
    let input = "{\"id\": 1, \"text\": \"é password=hunter2x\"}\nnonsense\n{\"id\": \"b\", \"chunks\": [\"pass\", \"word=hunter2x\"]}\n{\"id\": 3}\n";
    let (output, code) = portcullis_mask(&[], input);
    let lines: Vec<serde_json::Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines[0],
        serde_json::json!({"id": 1, "masked": "é password=________", "findings": [{"type": "secrets:password", "start": 11, "end": 19}]})
    );
    assert_eq!(lines[1]["line"], 2);
    assert_eq!(lines[2]["masked"], "password=________");
    assert_eq!(lines[3]["line"], 4);
    assert_eq!(code, 1);
}

#[test]
fn the_command_unpacks_what_is_compressed_and_refuses_what_it_cannot_read() {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(b"a\npassword: hunter2x\n").unwrap();
    let packed = packed.finish().unwrap();
    assert_eq!(
        portcullis_mask(&["--text"], &packed),
        ("a\npassword: ________\n".into(), 0)
    );
    assert_eq!(
        portcullis_mask(&["--text"], b"\x28\xb5\x2f\xfd\x04\x00password: hunter2x\n"),
        (String::new(), 1)
    );
}

#[test]
fn the_command_masks_text_as_it_streams_by() {
    assert_eq!(
        portcullis_mask(&["--text"], "a\npassword: hunter2x\n"),
        ("a\npassword: ________\n".into(), 0)
    );
}
