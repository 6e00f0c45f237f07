//! Everything that cannot be taken: told as a problem that says what to do, on no database and on no record.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Caller, http, shared, word};

const QUERY: &str = "/v1/connections/crm/query";
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Nothing of this caller's is on record.
#[track_caller]
fn nothing_recorded(agent: &Caller<'_>) {
    let found = agent.get("/v1/sessions").expect(200);
    assert_eq!(found["sessions"], json!([]));
}

#[test]
fn a_body_that_is_no_json_is_refused_with_the_place_of_its_mistake() {
    let agent = shared().agent();
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let inside = format!("{{\"sql\": {nested}}}");
    for body in [
        "",
        "{",
        "{\"sql\": \"SELECT 1\"",
        "{\"sql\": \"SELECT 1\",}",
        "{\"sql\": \"SELECT 1\"} trailing",
        "SELECT 1",
    ] {
        let detail = agent
            .send("POST", QUERY, &[JSON], body.as_bytes())
            .refused(400);
        assert!(detail.contains("at line 1 column"), "{detail}");
        assert!(detail.len() < 300, "{detail}");
    }
    for body in [inside.as_str(), &nested, "{\"sql\": \"\\ud800\"}"] {
        agent
            .send("POST", QUERY, &[JSON], body.as_bytes())
            .problem(422, "invalid");
    }
    let detail = agent
        .send("POST", QUERY, &[JSON], b"{\"sql\": \"SELECT '\xff\xfe'\"}")
        .problem(400, "bad-request");
    assert!(detail.contains("UTF-8"), "{detail}");
    nothing_recorded(&agent);
}

#[test]
fn a_body_of_another_shape_is_refused_with_what_is_wrong() {
    let agent = shared().agent();
    let sql = "SELECT 1";
    for (body, named) in [
        (json!({}), "sql"),
        (json!({"sql": 1}), "integer"),
        (json!({"sql": null}), "null"),
        (json!({"sql": [sql]}), "sequence"),
        (json!({"sql": ""}), "empty"),
        (json!({"sql": " \n\t "}), "empty"),
        (json!({"sql": "SELECT '\u{0}'"}), "NUL"),
        (json!({"sql": sql, "params": "none"}), "sequence"),
        (json!({"sql": sql, "params": {"a": 1}}), "sequence"),
        (json!({"sql": sql, "params": ["\u{0}"]}), "NUL"),
        (json!({"sql": sql, "max_rows": 0}), "max_rows"),
        (json!({"sql": sql, "max_rows": -1}), "integer"),
        (json!({"sql": sql, "max_rows": "all"}), "string"),
        (json!({"sql": sql, "max_rows": 1.5}), "floating"),
        (json!({"sql": sql, "reason": 7}), "integer"),
        (json!({"sql": sql, "reason": "r".repeat(2001)}), "reason"),
        (json!({"sql": sql, "dry_run": true}), "dry_run"),
        (json!([sql]), "object"),
        (json!(sql), "object"),
    ] {
        let detail = agent.post(QUERY, &body).problem(422, "invalid");
        assert!(detail.contains(named), "{body}: {detail}");
        assert!(!detail.contains("SqlRequest"), "a name of ours: {detail}");
    }
    let twice = br#"{"sql": "SELECT 1", "sql": "SELECT 2"}"#;
    let detail = agent
        .send("POST", QUERY, &[JSON], twice)
        .problem(422, "invalid");
    assert!(detail.contains("duplicate"), "{detail}");
    nothing_recorded(&agent);
}

#[test]
fn a_statement_or_body_over_the_limit_is_too_large() {
    let agent = shared().agent();
    let statement = format!("SELECT '{}'", "x".repeat(1 << 20));
    agent.query("crm", &statement).problem(413, "too-large");
    let body = format!("{{\"sql\": \"SELECT '{}'\"}}", "x".repeat(10 << 20));
    let detail = agent
        .send("POST", QUERY, &[JSON], body.as_bytes())
        .problem(413, "too-large");
    assert!(detail.contains("bytes"), "{detail}");
    nothing_recorded(&agent);
    let under = format!("SELECT length('{}') AS n", "x".repeat(1_000_000));
    let outcome = agent.query("crm", &under).json();
    assert!(outcome["request_id"].is_string(), "{outcome}");
}

#[test]
fn more_parameters_than_a_target_can_count_are_refused() {
    let agent = shared().agent();
    let params = vec![1; 65_536];
    let detail = agent
        .post(QUERY, &json!({"sql": "SELECT ?1", "params": params}))
        .problem(422, "invalid");
    assert!(detail.contains("65535"), "{detail}");
    nothing_recorded(&agent);
    let params = vec![1; 65_535];
    let outcome = agent
        .post(QUERY, &json!({"sql": "SELECT ?1", "params": params}))
        .expect(200);
    assert!(outcome["request_id"].is_string());
}

#[test]
fn deep_and_strange_statements_are_judged_and_never_harm_the_gateway() {
    let gateway = shared();
    let agent = gateway.agent();
    let mut deep = vec![
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT {}1", "NOT ".repeat(50_000)),
        format!("SELECT 1{}", " + 1".repeat(100_000)),
        format!(
            "SELECT {}1{}",
            "CASE WHEN 1 THEN ".repeat(5_000),
            " END".repeat(5_000)
        ),
        format!(
            "{}SELECT 1{}",
            "SELECT * FROM (".repeat(5_000),
            ")".repeat(5_000)
        ),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(20_000)),
        format!("SELECT {}", "-".repeat(100_000)),
        format!("SELECT {}1", "/*".repeat(100_000)),
        "SELECT '".into(),
        "\u{feff}SELECT 1".into(),
        "SELECT 1; DROP TABLE orders".into(),
        "\u{202e}SELECT 1".into(),
    ];
    let mut wide = String::from("SELECT 1 WHERE 1 IN (1");
    (0..100_000).for_each(|number| write!(wide, ",{number}").unwrap());
    deep.push(wide + ")");
    let began = Instant::now();
    for sql in &deep {
        let reply = agent.query("crm", sql);
        assert!(
            matches!(reply.status, 200 | 202 | 403 | 413 | 422),
            "{}: {}",
            &sql[..40.min(sql.len())],
            reply.text()
        );
    }
    println!("{} deep statements: {:?}", deep.len(), began.elapsed());
    assert!(gateway.note("orders", 1).is_some());
    let params = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let body = format!("{{\"sql\": \"SELECT ?1\", \"params\": [{params}]}}");
    let reply = agent.send("POST", QUERY, &[JSON], body.as_bytes());
    assert!(matches!(reply.status, 200 | 400 | 422), "{}", reply.text());
    agent.query("crm", "SELECT 1").expect(200);
}

#[test]
fn only_json_by_its_name_is_taken_as_json() {
    let agent = shared().agent();
    let body = br#"{"sql": "SELECT 1"}"#;
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
    ] {
        let detail = agent
            .send("POST", QUERY, &[("Content-Type", media_type)], body)
            .problem(415, "not-json");
        assert!(detail.contains("application/json"), "{detail}");
    }
    agent
        .send("POST", QUERY, &[], body)
        .problem(415, "not-json");
    nothing_recorded(&agent);
    for media_type in ["Application/JSON", "application/json; charset=utf-8"] {
        let reply = agent.send("POST", QUERY, &[("Content-Type", media_type)], body);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[test]
fn unknown_paths_and_methods_are_told_where_to_look() {
    let gateway = shared();
    let agent = gateway.agent();
    for path in [
        "/v1",
        "/v2/connections",
        "/v1/connections/crm",
        "/admin",
        "//",
        "/v1/sessions/",
    ] {
        let detail = agent.get(path).problem(404, "not-found");
        assert!(detail.contains("/openapi.json"), "{detail}");
    }
    for (method, path) in [
        ("GET", QUERY),
        ("DELETE", "/v1/sessions"),
        ("PUT", "/v1/approvals"),
        ("POST", "/v1/connections"),
        ("PATCH", "/healthz"),
        ("TRACE", "/v1/sessions"),
    ] {
        let reply = agent.send(method, path, &[], b"");
        reply.problem(405, "method-not-allowed");
        assert!(
            reply.header("allow").is_some(),
            "{method} {path}: {reply:?}"
        );
    }
    for name in ["nowhere", "a%2Fb", "CRM", "..", "%00", "crm%20"] {
        let reply = agent.query(name, "SELECT 1");
        reply.refused(404);
    }
    // Not UTF-8 once decoded: no name of anything.
    agent.query("%ff", "SELECT 1").refused(404);
    nothing_recorded(&agent);
}

#[test]
fn a_connection_one_may_not_use_is_refused_by_policy_and_on_record() {
    let gateway = shared();
    let agent = gateway.agent();
    let outcome = agent.query("private", "SELECT 1").expect(403);
    assert_eq!(outcome["status"], "denied");
    assert!(!word(&outcome["decision"]["message"]).is_empty());
    let found = agent
        .get("/v1/sessions?connection=private&decision=deny")
        .expect(200);
    assert_eq!(found["sessions"][0]["session_id"], outcome["session_id"]);
}

#[test]
fn without_a_token_that_counts_nothing_is_told_and_nothing_runs() {
    let gateway = shared();
    let row = gateway.row();
    let sql = format!("UPDATE orders SET note = 'run' WHERE id = {row}");
    let body = json!({"sql": sql}).to_string();
    let good = gateway.agent().token;
    let (head, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{head}.{flipped}{}", &signature[1..]);
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    let bearer = |token: &str| format!("Bearer {token}");
    for header in [
        None,
        Some(String::new()),
        Some("Bearer".into()),
        Some("Bearer ".into()),
        Some("Basic YWdlbnQ6YWdlbnQ=".into()),
        Some(good.clone()),
        Some(bearer("nonsense")),
        Some(bearer(&forged)),
        Some(bearer(&unsigned)),
        Some(bearer(&format!("{good}{good}"))),
        Some(bearer(&"x".repeat(30_000))),
        Some(bearer("t\u{f6}ken")),
    ] {
        let mut headers = vec![JSON];
        if let Some(value) = &header {
            headers.push(("Authorization", value.as_str()));
        }
        for (method, path) in [
            ("POST", QUERY),
            ("GET", "/v1/sessions"),
            ("GET", "/v1/approvals"),
        ] {
            let body = if method == "POST" {
                body.as_bytes()
            } else {
                b""
            };
            let reply = gateway.call(method, path, &headers, body);
            let detail = reply.problem(401, "unauthenticated");
            let challenge = reply.header("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Bearer"), "{challenge}");
            assert!(!detail.contains(signature), "{detail}");
        }
    }
    let twice = [
        JSON,
        ("Authorization", &bearer(&good)),
        ("Authorization", &bearer(&forged)),
    ];
    let reply = gateway.call("POST", QUERY, &twice, body.as_bytes());
    reply.problem(401, "unauthenticated");
    assert_eq!(gateway.note("orders", row).as_deref(), Some("before"));
}

#[test]
fn garbage_on_the_wire_is_refused_and_the_gateway_goes_on() {
    let gateway = shared();
    let endless = format!(
        "GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n",
        "y".repeat(2 << 20)
    );
    let many: String = (0..5_000).fold("GET /healthz HTTP/1.1\r\n".into(), |mut head, number| {
        write!(head, "X-{number}: y\r\n").unwrap();
        head
    });
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"HELO there\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nBad\x00Name: x\r\n\r\n",
        b"POST /v1/connections/crm/query HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"POST /v1/connections/crm/query HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        endless.as_bytes(),
        many.as_bytes(),
    ] {
        if let Some(reply) = http::raw(gateway.port, garbage, Duration::from_millis(300)) {
            assert!(
                (400..500).contains(&reply.status) || reply.status == 505,
                "{} to {:?}",
                reply.status,
                String::from_utf8_lossy(&garbage[..40.min(garbage.len())])
            );
        }
    }
    assert_eq!(
        gateway.call("GET", "/healthz", &[], b"").expect(200)["status"],
        "ok"
    );
}

#[test]
fn over_the_request_budget_one_is_told_when_to_come_back() {
    let agent = shared().agent();
    for _ in 0..3 {
        agent.query("busy", "SELECT 1").expect(200);
    }
    let reply = agent.query("busy", "SELECT 1");
    let detail = reply.problem(429, "over-budget");
    assert!(detail.contains("3 requests per minute"), "{detail}");
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&seconds), "{seconds}");
    agent.query("crm", "SELECT 1").expect(200);
    let found = agent.get("/v1/sessions?connection=busy").expect(200);
    assert_eq!(found["sessions"].as_array().unwrap().len(), 3);
}

#[test]
fn a_result_over_its_budget_is_cut_and_says_so() {
    let agent = shared().agent();
    let outcome = agent.query("small", "SELECT id FROM orders").expect(200);
    assert_eq!(outcome["result"]["row_count"], 5);
    assert_eq!(outcome["result"]["truncated"], true);
    let wide = "SELECT hex(zeroblob(600)) AS zeros FROM orders LIMIT 4";
    let outcome = agent.query("small", wide).expect(200);
    assert_eq!(outcome["result"]["truncated"], true, "{outcome}");
    assert!(outcome["result"]["row_count"].as_u64().unwrap() < 4);
    let body = json!({"sql": "SELECT id FROM orders", "max_rows": 2});
    let outcome = agent.post(QUERY, &body).expect(200);
    assert_eq!(outcome["result"]["row_count"], 2);
    assert_eq!(outcome["result"]["truncated"], true);
    let body = json!({"sql": "SELECT id FROM orders LIMIT 2", "max_rows": 2});
    assert_eq!(
        agent.post(QUERY, &body).expect(200)["result"]["truncated"],
        false
    );
    let none = "UPDATE orders SET note = 'x' WHERE id = 1";
    let outcome = agent.query("small", none).expect(403);
    assert!(word(&outcome["decision"]["message"]).contains("only reads"));
}

#[test]
fn a_database_that_takes_too_long_is_stopped_at_its_time_budget() {
    let agent = shared().agent();
    let endless =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let began = Instant::now();
    let outcome = agent.query("small", endless).expect(200);
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert_eq!(outcome["error"]["failure"], "timeout", "{outcome}");
    assert!(
        word(&outcome["error"]["message"]).contains("1"),
        "{outcome}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    agent.query("small", "SELECT 1").expect(200);
}

#[test]
fn a_database_that_is_down_is_a_503_and_on_record_as_not_run() {
    let agent = shared().agent();
    for sql in [
        "SELECT 1 AS one",
        "UPDATE public.things SET a = 1 WHERE id = 2",
    ] {
        let reply = agent.query("down", sql);
        let detail = reply.problem(503, "target-unreachable");
        assert!(detail.contains("nothing was run"), "{detail}");
        assert!(reply.header("retry-after").is_some());
        let problem: Value = reply.json();
        let path = format!("/v1/requests/{}", word(&problem["request_id"]));
        let outcome = agent.get(&path).expect(200);
        assert_eq!(outcome["status"], "failed");
        assert_eq!(outcome["error"]["failure"], "unreachable", "{outcome}");
    }
}

#[test]
fn a_decision_that_cannot_be_read_decides_nothing() {
    let gateway = shared();
    let row = gateway.row();
    let held = gateway
        .agent()
        .held(&format!("DELETE FROM customers WHERE id = {row}"));
    let dana = gateway.person("dana", &["db-admins"]);
    let path = format!("/v1/approvals/{}/decision", word(&held["approval"]["id"]));
    let digest = &held["approval"]["digest"];
    for body in [
        json!({"decision": "approve"}),
        json!({"decision": "yes", "digest": digest}),
        json!({"decision": true, "digest": digest}),
        json!({"digest": digest}),
        json!({"decision": "approve", "digest": "sha256:abc"}),
        json!({"decision": "approve", "digest": digest, "and": "more"}),
        json!({"decision": "approve", "digest": digest, "comment": "c".repeat(2001)}),
    ] {
        dana.post(&path, &body).problem(422, "invalid");
    }
    dana.send("POST", &path, &[JSON], b"approve")
        .problem(400, "bad-request");
    dana.post(
        "/v1/approvals/none/decision",
        &json!({"decision": "deny", "digest": digest}),
    )
    .problem(404, "not-found");
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
    assert_eq!(
        dana.request(&held).expect(202)["status"],
        "pending_approval"
    );
}
