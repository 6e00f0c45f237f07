//! Policy, as operators write it and as it decides.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may fail a test as tests may"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use portcullis::domain::policy::{
    ApproverGroupName, ApproverKind, Consequence, Endpoint, Policy, RecordedResults, schema,
};
use proptest::prelude::*;
use serde_json::Value;

/// The policy of the contract, as it stands there.
const EXAMPLE: &str = include_str!("../examples/policy.yaml");

fn parse(text: &str) -> Result<Policy, String> {
    parse_all(&[("policy.yaml", text)])
}

fn parse_all(files: &[(&str, &str)]) -> Result<Policy, String> {
    let files: Vec<(String, String)> = files
        .iter()
        .map(|(name, text)| ((*name).into(), (*text).into()))
        .collect();
    Policy::parse(&files).map_err(|errors| errors.to_string())
}

#[test]
fn the_example_of_the_contract_means_what_it_says() {
    let policy = parse(EXAMPLE).unwrap();
    let issuer = &policy.issuers[0];
    assert_eq!(issuer.audience, ["00000000-0000-0000-0000-000000000000"]);
    assert!(issuer.agents.app_roles.contains("Agent"));
    let dba = &policy.approvers[&ApproverGroupName("dba".into())];
    assert_eq!((dba.kind, dba.count), (ApproverKind::Human, 1));
    assert_eq!(dba.expires_in, Duration::from_secs(1800));
    let release = &policy.approvers[&ApproverGroupName("release".into())];
    assert_eq!(release.kind, ApproverKind::Pipeline);
    let crm = &policy.connections[&"crm".parse().unwrap()];
    assert_eq!(crm.read, Endpoint::url("${secret:CRM_READ_URL}"));
    let write = Endpoint::url("${secret:CRM_WRITE_URL}");
    assert_eq!(crm.write.as_ref(), Some(&write));
    assert_eq!((crm.budget.rows, crm.budget.bytes), (10_000, 8 << 20));
    assert_eq!(crm.budget.requests_per_minute, 120);
    let names: Vec<&str> = policy
        .rules
        .iter()
        .map(|rule| rule.name.0.as_ref())
        .collect();
    assert_eq!(
        names,
        [
            "reads",
            "customer-writes",
            "quiet-hours",
            "no-unbounded-writes"
        ]
    );
    assert_eq!(policy.rules[1].when.unbounded, Some(false));
    let zone = &policy.rules[2].between.as_ref().unwrap().zone;
    assert_eq!(zone.iana_name(), Some("Europe/Berlin"));
    assert!(
        matches!(&policy.rules[2].then, Consequence::Deny(why) if why == "No changes at night.")
    );
    let masking = &policy.masking_rules;
    let hows = format!("{:?}", masking.columns);
    let places: Vec<Option<usize>> = ["Pseudonym", "KeepLast(4)", "Redact"]
        .iter()
        .map(|how| hows.find(how))
        .collect();
    assert!(places.is_sorted() && places[0].is_some(), "{hows}");
    assert_eq!(hows.matches("in_predicates: RequireApproval").count(), 3);
    assert_eq!(masking.detect.len(), 2);
    assert_eq!(masking.patterns[0].regex, r"EMP-\d{6}");
    assert_eq!(
        policy.record.retain,
        Some(Duration::from_secs(400 * 86_400))
    );
    assert_eq!(
        (policy.record.results, policy.record.max_result),
        (RecordedResults::Masked, 4 << 20)
    );
}

#[test]
fn every_form_of_every_key_is_taken() {
    let policy = parse(
        r#"
version: 1
identity:
  issuers:
    - issuer: http://127.0.0.1:8080/
      audience: [one, two]
      tenants: [t]
      clients: [c]
      agents: { app_roles: [r], groups: [g], clients: [c] }
    - { issuer: "https://login.example/v2.0", audience: one }
approvers:
  owners: { principals: ["user:ada@example.com", "user:grace"], groups: [owners], count: 2, expires_in: 1h30m }
connections:
  crm:
    kind: postgres
    read: { url: "postgres://reader:${secret:READ}@db.example:5432/crm?sslmode=require" }
    allow: { groups: [a], app_roles: [b], principals: ["agent:c", "app:d", "user:e"] }
    budget: { rows: 10_000, bytes: 1048576, timeout: 500ms }
  notes: { kind: sqlite, read: { url: "sqlite:notes.db" }, write: { url: "sqlite:notes.db" }, allow: { groups: [a] } }
rules:
  - name: one
    who: { app_roles: [b] }
    connections: crm
    between: "18:00-24:00 America/New_York"
    when: { effect: [read, secret], tables: "*.customers" }
    then: allow
  - { name: two, when: { effect: unknown, tables: ['"Mixed.Case"', public.*] }, then: { require_approval: owners } }
  - name: three
    between: "08:00-09:00 UTC"
    then:
      deny: |
        Two lines
        of reason.
masking:
  columns:
    - { match: users.email, as: "null", in_predicates: deny }
    - { match: customers.email, as: null, in_predicates: allow }
    - { match: "*.*.*", as: hash }
  detect: secrets
record: { results: none, max_result: 10MB }
"#,
    )
    .unwrap();
    assert_eq!(policy.issuers.len(), 2);
    let columns = format!("{:?}", policy.masking_rules.columns);
    assert_eq!(columns.matches("Null").count(), 2);
    assert_eq!(policy.masking_rules.detect.len(), 1);
    assert_eq!(policy.record.max_result, 10_000_000);
    assert!(policy.connections[&"crm".parse().unwrap()].write.is_none());
    let deny = &policy.rules[2].then;
    assert_eq!(deny, &Consequence::Deny("Two lines\nof reason.".into()));
}

#[test]
fn a_file_from_another_system_is_taken_as_it_is() {
    let windows = EXAMPLE.replace('\n', "\r\n");
    assert_eq!(parse(&windows).unwrap().rules.len(), 4);
    let marked = format!("\u{feff}{EXAMPLE}");
    assert_eq!(parse(&marked).unwrap().rules.len(), 4);
    let told = parse(&marked.replace("version", "versoin")).unwrap_err();
    assert!(
        told.contains("policy.yaml:1:") && told.contains("did you mean `version`?"),
        "{told}"
    );
}

#[test]
fn a_file_that_is_no_text_is_refused_with_the_place() {
    let bytes = b"version: 1\nrules: [\xff]\n".to_vec();
    let told = Policy::from_bytes(vec![("policy.yaml".into(), bytes)])
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("policy.yaml:2:9") && told.contains("save the file as UTF-8"),
        "{told}"
    );
}

#[test]
fn a_policy_that_is_silent_about_masking_still_detects() {
    let policy = parse("version: 1").unwrap();
    assert_eq!(policy.masking_rules.detect.len(), 2);
    assert_eq!(policy.record.results, RecordedResults::Masked);
    assert!(
        parse("version: 1\nmasking: { detect: [] }")
            .unwrap()
            .masking_rules
            .detect
            .is_empty()
    );
}

#[test]
fn the_version_of_a_policy_is_the_hash_of_its_text() {
    let policy = parse("version: 1\n").unwrap();
    // printf 'version: 1\n' | sha256sum
    let expected = "sha256:09bfcc6a14b83e2192b8673677725c84883ee9cd0c70e45c9ec09daa8f2b2847";
    assert_eq!(policy.version.to_string(), expected);
    assert_ne!(policy.version, parse("version: 1 \n").unwrap().version);
    let two =
        |first: &str, second: &str| parse_all(&[("a", first), ("b", second)]).unwrap().version;
    let commented = "version: 1 # two\n";
    assert_ne!(
        two("version: 1\n", commented),
        two(commented, "version: 1\n")
    );
}

/// What is wrong, by file.
const BROKEN: &[(&str, &[&str])] = &[
    ("nothing", &[""]),
    ("only a comment", &["# version: 1\n"]),
    ("not a mapping", &["- version: 1"]),
    ("no version", &["rules: []"]),
    ("another version", &["version: 2"]),
    ("no YAML", &["version: 1\nrules: [\n"]),
    (
        "tabs for indentation",
        &["version: 1\nrecord:\n\tretain: 1d\n"],
    ),
    (
        "anchors and aliases",
        &["version: 1\nrules: &all\n  - *all\nrecord: *none\n"],
    ),
    (
        "merge key",
        &["version: 1\nrecord: { <<: { retain: 1d } }\n"],
    ),
    ("tag", &["version: !!int 1\n"]),
    ("two documents", &["version: 1\n---\nversion: 1\n"]),
    ("directive", &["%YAML 1.2\n---\nversion: 1\n"]),
    (
        "key that is no word",
        &["version: 1\n[a, b]: 1\n? { c: d }\n: 1\n"],
    ),
    (
        "unknown keys",
        &["version: 1\nrule: []\nconection: {}\nzebra: 1\n"],
    ),
    (
        "duplicate keys",
        &["version: 1\nrecord: { retain: 1d, retain: 2d }\nversion: 1\n"],
    ),
    (
        "keys without values",
        &["version: 1\nrules:\nmasking: { detect: ~ }\n"],
    ),
    (
        "issuers",
        &[r#"version: 1
identity:
  issuers:
    - { issuer: "http://login.example", audience: [] , tenants: [], agents: {} }
    - { issuer: "https://login.example", audience: a }
    - { issuer: "https://login.example", audience: a, agent: { app_roles: [Agent] } }
    - { audience: a }
"#],
    ),
    (
        "approvers",
        &[r#"version: 1
approvers:
  nobody: {}
  pipeline-by-group: { kind: pipeline, groups: [ci] }
  pipeline-by-person: { kind: pipeline, principals: ["user:ada"] }
  program-as-human: { principals: ["app:ci"] }
  agent: { principals: ["agent:bot"] }
  bare: { principals: [ada], count: 0 }
  too-many: { principals: ["user:ada"], count: 2, expires_in: 30 }
  robot: { groups: [a], kind: robot }
  forever: { groups: [a], expires_in: 900000000d }
"#],
    ),
    (
        "connections",
        &[r#"version: 1
connections:
  CRM: { kind: postgres, read: { url: "postgres://h/d" }, allow: { groups: [a] } }
  kind: { kind: postgre, read: { url: "postgres://h/d" }, allow: { groups: [a] } }
  command: { kind: command, read: { url: "sh://h/d" }, allow: { groups: [a] } }
  nothing: { kind: command, read: {}, allow: { groups: [a] } }
  elsewhere: { kind: postgres, read: { env: { A: b } }, programs: { az: /usr/bin/az }, allow: { groups: [a] } }
  unsaid: { kind: postgres, read: {}, allow: { groups: [a] } }
  programs:
    kind: command
    programs: { kubectl: bin/kubectl, ls: /bin/rm, "a b": /bin/a, up: /bin/../up }
    read: { env: { PATH: /tmp, 1A: x, API_TOKEN: abc123, OK: "${secret:OK}" }, files: { "../up": x, /etc/x: y, ok: "password=hunter2" } }
    allow: { groups: [a] }
  bare: { kind: command, programs: { id: /usr/bin/id }, ssh: { host: h }, read: { user: a, private_key: "${secret:K}" }, allow: { groups: [a] } }
  hashed: { kind: command, programs: { id: /usr/bin/id }, ssh: { host: "h:22", port: 70000, host_keys: ["SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8", ssh-rsa AAAAB3NzaC1yc2E, ssh-ed25519 AAAA] }, read: {}, allow: { groups: [a] } }
  logins:
    kind: command
    programs: { id: /usr/bin/id }
    ssh: { host: h, host_keys: "h ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ root@h" }
    read: { private_key: "-----BEGIN OPENSSH PRIVATE KEY-----", password: "${secret:P}", files: { a: b }, env: { SHOP: "${secret:S}" } }
    write: { user: a, certificate: "${secret:C}" }
    allow: { groups: [a] }
  here: { kind: command, programs: { id: /usr/bin/id }, read: { user: a, password: "${secret:P}" }, allow: { groups: [a] } }
  there: { kind: sqlite, ssh: { host: h, host_keys: [] }, read: { url: "sqlite:a", user: a }, allow: { groups: [a] } }
  http: { kind: http, api: azur, read: { url: "http://h/" }, allow: { groups: [a] } }
  secret: { kind: http, read: { url: "https://${secret:HOST}/" }, allow: { groups: [a] } }
  odd: { kind: http, read: { url: "https://h/a%2fb?x" }, allow: { groups: [a] } }
  fields:
    kind: http
    on_finding: hide
    read: { url: "https://h/", headers: { host: x, x-api-key: abc, "a b": c, ok: "${secret:OK}", date: "a\tb" } }
    allow: { groups: [a] }
  tokens: { kind: http, read: { url: "https://h/", token: entra }, write: { url: "https://i/", scope: s }, allow: { groups: [a] } }
  both: { kind: http, read: { url: "https://h/" }, write: { url: "https://i/" }, allow: { groups: [a] } }
  twice: { kind: http, read: { url: "https://h/", token: entra, scope: s, headers: { Authorization: "${secret:A}" } }, allow: { groups: [a] } }
  misplaced: { kind: sqlite, api: model, mask_requests: true, read: { url: "sqlite:a", headers: { a: b }, sslrootcert: /x }, allow: { groups: [a] } }
  missing: { kind: postgres }
  nobody: { kind: sqlite, read: { url: "sqlite:a.db" }, allow: {} }
  nobody-either: { kind: sqlite, read: { url: "sqlite:a.db" }, allow: { groups: [] } }
  other-scheme: { kind: postgres, read: { url: "sqlite:a.db" }, allow: { groups: [a] } }
  nowhere: { kind: sqlite, read: { url: "sqlite:" }, allow: { groups: [a] } }
  budget:
    kind: sqlite
    read: { url: "sqlite:a.db" }
    allow: { groups: [a] }
    budget: { rows: 0, bytes: 8 MIB, requests_per_minute: -1, timeout: 30sec, row: 1 }
"#],
    ),
    (
        "secrets in the clear",
        &[r#"version: 1
connections:
  a: { kind: postgres, read: { url: "postgres://u:hunter2@h/d" }, allow: { groups: [a] } }
  b: { kind: postgres, read: { url: "postgres://h/d?password=hunter2" }, allow: { groups: [a] } }
  c: { kind: nonsense, read: { url: "postgres://u:hunter2@h/d" }, allow: { groups: [a] } }
  d: { kind: postgres, read: { url: "${env:URL}" }, allow: { groups: [a] } }
  e: { kind: postgres, read: { url: "${secret:}" }, allow: { groups: [a] } }
  f: { kind: postgres, read: { url: "${secret:URL" }, allow: { groups: [a] } }
  g: { kind: postgres, read: { url: "host=h password=hunter2" }, allow: { groups: [a] } }
  h: { kind: postgres, read: { url: x, password: hunter2 }, allow: { groups: [a] } }
"#],
    ),
    (
        "rules",
        &[r#"version: 1
approvers: { dba: { groups: [dba] } }
connections: { crm: { kind: sqlite, read: { url: "sqlite:a.db" }, allow: { groups: [a] } } }
rules:
  - { when: { effect: read }, then: allow }
  - { name: no-then }
  - { name: no-when, then: allow }
  - { name: twice, when: { effect: write }, then: { require_approval: dba } }
  - { name: twice, when: { effect: schema }, then: { require_approval: dba } }
  - { name: then, when: {}, then: denny }
  - { name: silent, when: {}, then: deny }
  - { name: both, when: {}, then: { deny: no, require_approval: dba } }
  - { name: whose, when: {}, then: { require_approval: db } }
  - { name: where, connections: [crm, crn], when: {}, then: { deny: no } }
  - { name: empty, connections: [], who: {}, when: { effect: [], tables: [] }, then: { deny: no } }
  - { name: effects, when: { effect: [reads, drop] }, then: { deny: no } }
  - { name: tables, when: { effect: read, tables: ["a.b.c", "cust*", "", "a b", "a..b", '"a'] }, then: allow }
  - { name: unbounded, when: { effect: write, unbounded: yes }, then: { deny: no } }
  - { name: who, who: { group: [a], principals: [bot] }, when: { effect: secret }, then: allow }
  - just a text
"#],
    ),
    (
        "hours",
        &[r#"version: 1
rules:
  - { name: a, between: "22:00-06:00", then: { deny: no } }
  - { name: b, between: "22:00-06:00 Europe/Berln", then: { deny: no } }
  - { name: c, between: "22-06 UTC", then: { deny: no } }
  - { name: d, between: "25:00-06:00 UTC", then: { deny: no } }
  - { name: e, between: "06:00-06:00 UTC", then: { deny: no } }
  - { name: f, between: night, then: { deny: no } }
  - { name: g, between: "22:00-06:00 Atlantis", then: { deny: no } }
"#],
    ),
    (
        "rules that can never decide",
        &[r#"version: 1
approvers: { dba: { groups: [dba] } }
connections:
  crm: { kind: postgres, read: { url: "postgres://h/d" }, allow: { principals: ["agent:bot"] } }
  erp: { kind: postgres, read: { url: "postgres://h/d" }, allow: { groups: [erp] } }
rules:
  - { name: covered-by-deny, when: { effect: schema, tables: [public.a] }, then: allow }
  - { name: no-schema, when: { effect: [schema, admin] }, then: { deny: no } }
  - { name: no-schema-again, connections: [crm], when: { effect: schema }, then: { deny: "no!" } }
  - { name: held-anyway, when: { effect: write, tables: [public.a] }, then: allow }
  - { name: hold, when: { effect: [write, destructive], tables: ["*.a"] }, then: { require_approval: dba } }
  - { name: hold-again, when: { effect: write, tables: [public.a] }, then: { require_approval: dba } }
  - { name: at-night, between: "22:00-06:00 UTC", when: { effect: secret }, then: { deny: no } }
  - { name: at-midnight, between: "23:00-01:00 UTC", when: { effect: secret }, then: allow }
  - { name: not-here, who: { principals: ["agent:cat"] }, connections: [crm], when: { effect: read }, then: allow }
  - { name: group-of-erp, who: { groups: [erp] }, connections: [erp], when: { effect: unknown }, then: { deny: no } }
  - { name: all-of-erp, connections: [erp], when: { effect: unknown }, then: allow }
"#],
    ),
    (
        "names nobody uses",
        &[r#"version: 1
approvers: { dba: { groups: [dba] }, owner: { groups: [owner] } }
rules:
  - { name: hold, when: { effect: write }, then: { require_approval: dba } }
"#],
    ),
    (
        "tokens",
        &[r#"version: 1
connections:
  a: { kind: postgres, read: { url: "postgres://u:${secret:P}@h/d", token: entra }, allow: { groups: [x] } }
  b: { kind: postgres, read: { url: "postgres://u@h/d", token: entrra }, allow: { groups: [x] } }
  c: { kind: sqlite, read: { url: "sqlite:c.db", token: entra }, allow: { groups: [x] } }
  d: { kind: postgres, read: { url: "postgres://${secret:U}@h/d", token: entra }, allow: { groups: [x] } }
"#],
    ),
    (
        "masking",
        &[r#"version: 1
masking:
  columns:
    - { match: "a.b.c.d", as: redact }
    - { match: "*.cust*.email", as: hide }
    - { match: "*.*.ssn", as: { keep_last: 0 } }
    - { match: "*.*.ssn", as: { keep_last: 100 }, in_predicates: refuse }
    - { match: "*.*.ssn" }
    - { match: "*.ssn", as: redact }
    - { match: ssn, as: redact }
    - { match: "*.t.a", as: hash, domain: people }
    - { match: "*.t.b", as: pseudonym, domain: "E mail" }
  detect: [secret, personal]
  patterns:
    - { name: a, regex: "EMP-\\d{6", as: redact }
    - { name: a, regex: "(?=x)", as: redact }
    - { name: "B b", regex: "x*", as: redact }
    - { name: c, regex: '(\w{1000}){1000}', as: redact }
    - { name: d, regex: '((((((((((((((((((((((((((((((((((x))))))))))))))))))))))))))))))))))', as: redact }
    - { regex: x, as: {} }
"#],
    ),
    (
        "record",
        &["version: 1\nrecord: { retain: 400, results: raw, max_result: 0MiB, keep: all }\n"],
    ),
    (
        "names in two files",
        &[
            "version: 1\nconnections: { crm: { kind: sqlite, read: { url: 'sqlite:a' }, allow: { groups: [a] } } }\n\
         rules: [{ name: r, when: { effect: read }, then: allow }]\nrecord: { results: none }\nmasking: { detect: [] }\n",
            "version: 1\nconnections: { crm: { kind: sqlite, read: { url: 'sqlite:a' }, allow: { groups: [a] } } }\n\
         rules: [{ name: r, when: { effect: write }, then: allow }]\nrecord: { results: none }\nmasking: { detect: [] }\n",
        ],
    ),
    (
        "what one file breaks the other is not blamed for",
        &[
            "version: 1\nconnections: {\n",
            "version: 1\nrules: [{ name: r, connections: [crm], when: { effect: reed }, then: { require_approval: dba } }]\n",
        ],
    ),
];

#[test]
fn every_mistake_is_told_with_its_place_and_how_to_mend_it() {
    let names = ["policy.yaml", "rules.yaml"];
    let told: Vec<String> = BROKEN
        .iter()
        .map(|(title, texts)| {
            let files: Vec<(&str, &str)> = names.into_iter().zip(texts.iter().copied()).collect();
            let told = parse_all(&files).expect_err(title);
            assert!(!told.contains("hunter2"), "a secret is shown: {told}");
            format!("=== {title}\n\n{told}\n")
        })
        .collect();
    insta::assert_snapshot!("broken", told.join("\n"));
}

#[test]
fn the_schema_of_the_file_is_the_one_on_record() {
    insta::assert_json_snapshot!("schema", schema());
}

/// Checks `value` against the parts of JSON Schema the policy's schema uses; `Err`: where and why it does not fit.
fn fits(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{at}: {why}"));
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let found = root
            .pointer(name.trim_start_matches('#'))
            .ok_or(format!("{name} is not there"))?;
        return fits(root, found, value, at);
    }
    for any in ["anyOf", "oneOf"] {
        if let Some(options) = schema.get(any).and_then(Value::as_array)
            && !options
                .iter()
                .any(|option| fits(root, option, value, at).is_ok())
        {
            return fail("fits none of the forms");
        }
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return fail("is another constant");
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        return fail("is not one of the words");
    }
    let is = match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some(other) => {
            return fail(&format!(
                "the schema has a type this does not know: {other}"
            ));
        }
        None => true,
    };
    if !is {
        return fail("is of another type");
    }
    if let (Some(least), Some(number)) = (schema.get("minimum"), value.as_u64())
        && least.as_u64().is_some_and(|least| number < least)
    {
        return fail("is too small");
    }
    for required in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if value.get(required.as_str().unwrap()).is_none() {
            return fail(&format!("{required} is missing"));
        }
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let known = schema.get("properties").and_then(|all| all.get(key));
        match known.or(schema.get("additionalProperties")) {
            Some(Value::Bool(false)) => return fail(&format!("{key} is unknown")),
            Some(known) => fits(root, known, inner, &format!("{at}.{key}"))?,
            None => {}
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for inner in values {
            fits(root, items, inner, &format!("{at}[]"))?;
        }
    }
    Ok(())
}

#[test]
fn the_schema_takes_the_example_and_no_unknown_key() {
    let schema = schema();
    let json = |change: fn(&mut Value)| {
        // The example as JSON, which is YAML too: what the schema takes, the reader must take.
        let mut value: Value = serde_json::from_str(include_str!("policy_example.json")).unwrap();
        change(&mut value);
        (
            fits(&schema, &schema, &value, "$"),
            parse(&value.to_string()).map(|policy| policy.rules.len()),
        )
    };
    let (fits, parses) = json(|_| {});
    assert_eq!(
        (fits, parses),
        (Ok(()), Ok(parse(EXAMPLE).unwrap().rules.len()))
    );
    for change in [
        |value: &mut Value| value["rulez"] = Value::Null,
        |value: &mut Value| value["version"] = 2.into(),
        |value: &mut Value| value["rules"][0]["when"]["efect"] = "read".into(),
        |value: &mut Value| value["rules"][0]["when"]["effect"] = "reed".into(),
        |value: &mut Value| value["rules"][0]["then"] = "alow".into(),
        |value: &mut Value| value["connections"]["crm"]["kind"] = "kommand".into(),
        |value: &mut Value| value["connections"]["crm"]["allow"] = Value::Null,
        |value: &mut Value| value["approvers"]["dba"]["count"] = 0.into(),
        |value: &mut Value| value["masking"]["columns"][0]["as"] = "hide".into(),
    ] as [fn(&mut Value); 9]
    {
        let (fits, parses) = json(change);
        assert!(fits.is_err() && parses.is_err(), "{fits:?} {parses:?}");
    }
}

// ------------------------------------------------------------------------------------------ hostile files

fn is_quick(text: &str) -> Result<Policy, String> {
    let began = Instant::now();
    let parsed = parse(text);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?} for {:.60}", text);
    parsed
}

#[test]
fn a_hostile_file_is_refused_and_quickly() {
    const LARGE: usize = 1 << 16;
    let filled = |head: &str, piece: &str| {
        head.to_owned() + &piece.repeat((LARGE - head.len()) / piece.len())
    };
    let unique = |head: &str, line: fn(usize) -> String| {
        let mut text = head.to_owned();
        let mut index = 0;
        while text.len() < LARGE - 200 {
            text += &line(index);
            index += 1;
        }
        text
    };
    let laughs = (1..30).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        text + &format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}]\n", n - 1)
    });
    for text in [
        laughs,
        filled("", "["),
        filled("", "{a: "),
        filled("", "- "),
        filled("", "? "),
        filled("", "a:\n "),
        filled("version: 1\nrules: [", "{},"),
        filled("version: 1\nrules: [", "[],"),
        filled("version: 1\nx: \"", "\\\"") + "\"",
        filled("version: 1\nx: '", "''"),
        filled("version: 1\nx: |\n ", "é"),
        filled("#", "#"),
        filled("", "\t"),
        filled("", "&a "),
        filled("", "!!a "),
        filled("a: ", "*b "),
        filled("version: 1\nrules: [", "*b,"),
        filled("", "a: 1\n"),
        filled("", "%TAG ! !\n"),
        filled("", "---\n"),
        filled("version: 1\n", "connections: {}\n"),
        unique("version: 1\n", |n| format!("k{n}: {n}\n")),
        unique("version: 1\nconnections:\n", |n| format!(" c{n}: {{}}\n")),
        unique("version: 1\nrules:\n", |n| {
            format!(" - {{name: r{n}, connections: [c{n}], when: {{}}, then: {{deny: x}}}}\n")
        }),
        "a".repeat((1 << 20) + 1),
    ] {
        assert!(is_quick(&text).is_err(), "{:.60}", text);
    }
    // Large, and a policy: a thousand rules with many tables each, which nothing proves unreachable.
    let tables: Vec<String> = (0..40).map(|n| format!("s.t{n}")).collect();
    let rule = |n: usize| {
        format!(
            " - {{ name: r{n}, when: {{ effect: read, tables: [u{n}, {}] }}, then: allow }}\n",
            tables.join(", ")
        )
    };
    let text = "version: 1\nrules:\n".to_owned() + &(0..1000).map(rule).collect::<String>();
    assert_eq!(is_quick(&text).unwrap().rules.len(), 1000);
    let tables = unique(
        "version: 1\nrules:\n - { name: r, then: allow, when: { tables: [",
        |n| format!("t{n}, "),
    );
    let policy = is_quick(&(tables + "t] } }\n")).unwrap();
    assert!(policy.rules[0].when.tables.len() > 8_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Policy::from_bytes(vec![("policy.yaml".into(), bytes)]);
    }

    #[test]
    fn no_damage_to_a_policy_makes_the_loader_panic_or_change_what_it_says_unnoticed(
        at in any::<prop::sample::Index>(), length in 0..40usize, with in "[ \n{}\\[\\]:,'\"&*!|>#%@`a-z0-9é-]{0,8}",
    ) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        let start = at.index(text.len());
        let end = (start + length).min(text.len());
        text.splice(start..end, with.chars());
        let text: String = text.into_iter().collect();
        match parse(&text) {
            Ok(policy) => prop_assert_eq!(policy.version == parse(EXAMPLE).unwrap().version, text == EXAMPLE),
            Err(told) => prop_assert!(told.contains("policy.yaml:")),
        }
    }
}

// ----------------------------------------------------------------------------------------- command line

fn portcullis(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn check_lists_every_mistake_for_a_person_and_for_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "policy.yaml", EXAMPLE);
    let checked = portcullis(&["policy", "check", &good]);
    assert_eq!(checked.status.code(), Some(0));
    assert!(
        text(&checked.stdout).contains("4 rules, 1 connection, sha256:"),
        "{checked:?}"
    );

    let broken = EXAMPLE
        .replace("effect: read }", "efect: read }")
        .replace("4MiB", "4MIB");
    write(folder.path(), "policy.yaml", &broken);
    let checked = portcullis(&["policy", "check", &good]);
    assert_eq!(checked.status.code(), Some(1));
    let told = text(&checked.stdout);
    assert!(
        told.contains("policy.yaml:21:13") && told.contains("did you mean `effect`?"),
        "{told}"
    );
    assert!(
        told.contains("21 |     when: { efect: read } ")
            && told.contains("\n   |             ^^^^^\n"),
        "{told}"
    );
    let checked = portcullis(&["policy", "check", &good, "--format", "json"]);
    assert_eq!(checked.status.code(), Some(1));
    let problems: Vec<Value> = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(problems.len(), 2);
    assert_eq!(
        (&problems[0]["line"], &problems[0]["column"]),
        (&21.into(), &13.into())
    );
    assert!(
        problems
            .iter()
            .all(|one| one["message"].is_string() && one["suggestion"].is_string())
    );

    let missing = portcullis(&["policy", "check", "/nonexistent/policy.yaml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing.stderr).contains("cannot read the policy"),
        "{missing:?}"
    );
}

#[test]
fn test_asks_every_case_and_fails_with_the_reasons() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "policy.yaml", EXAMPLE);
    let cases = folder.path().join("cases");
    fs::create_dir(&cases).unwrap();
    let run = |extra: &[&str]| {
        let arguments = ["policy", "test", cases.to_str().unwrap()];
        portcullis(&[&arguments, extra].concat())
    };
    assert_eq!(
        run(&[]).status.code(),
        Some(1),
        "an empty folder tests nothing"
    );
    let case = |name: &str, groups: &str, rest: &str| {
        format!(
            "  - {{ name: {name}, as: {{ id: bot, groups: [{groups}] }}, connection: crm, {rest} }}\n"
        )
    };
    let head = "policy: ../policy.yaml\ncases:\n";
    let good = head.to_owned()
        + &case(
            "outsiders are refused",
            "sales",
            "sql: SELECT 1, expect: deny",
        )
        + &case(
            "garbage is refused",
            "ai-agents",
            "sql: SELEC, expect: deny",
        );
    write(&cases, "good.yaml", &good);
    let ran = run(&[]);
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert_eq!(text(&ran.stdout), "2 cases: 2 passed, 0 failed\n");

    let bad = head.to_owned()
        + &case(
            "all may",
            "ai-agents",
            "sql: SELEC, expect: allow, rule: reads",
        )
        + &case("nowhere", "ai-agents", "sql: SELECT 1, expect: allow")
            .replace("connection: crm", "connection: crn");
    write(&cases, "bad.yaml", &bad);
    let ran = run(&[]);
    assert_eq!(ran.status.code(), Some(1));
    let told = text(&ran.stdout);
    assert!(
        told.contains("FAILED all may") && told.contains("bad.yaml:3"),
        "{told}"
    );
    assert!(
        told.contains("expected allow, got deny") && told.contains(" - reads: "),
        "{told}"
    );
    assert!(told.contains("did you mean `crm`?"), "{told}");
    assert!(told.ends_with("4 cases: 2 passed, 2 failed\n"), "{told}");
    let report: Value = serde_json::from_slice(&run(&["--format", "json"]).stdout).unwrap();
    assert_eq!(
        (&report["passed"], &report["failed"]),
        (&2.into(), &2.into())
    );

    write(
        &cases,
        "bad.yaml",
        "policy: ../policy.yaml\ncases:\n  - { nam: x, as: { id: a }, expect: perhaps }\n",
    );
    let ran = run(&[]);
    assert_eq!(ran.status.code(), Some(1));
    let told = text(&ran.stderr);
    assert!(
        told.contains("did you mean `name`?") && told.contains("`sql` is missing"),
        "{told}"
    );
}

#[test]
fn a_case_that_depends_on_the_hour_must_say_which() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "policy.yaml",
        "version: 1\nconnections: { crm: { kind: sqlite, read: { url: 'sqlite:a' }, allow: { groups: [g] } } }\n\
         rules:\n  - { name: day, between: \"08:00-18:00 Europe/Berlin\", when: { effect: unknown }, then: allow }\n",
    );
    let case = |rest: &str| {
        let head = "policy: policy.yaml\ncases:\n  - { name: c, as: { id: b, groups: [g] }, connection: crm, sql: '???', ";
        let path = write(folder.path(), "cases.yaml", &format!("{head}{rest} }}\n"));
        portcullis(&["policy", "test", &path])
    };
    let told = text(&case("expect: allow").stdout);
    assert!(
        told.contains("depends on the hour") && told.contains("say `at`"),
        "{told}"
    );
    // The clocks go forward on 2026-03-29: eight in the morning is an hour earlier in UTC from then on.
    for (at, expected) in [
        ("2026-03-28T06:59:59Z", "deny"),
        ("2026-03-28T07:00:00Z", "allow"),
        ("2026-03-29T05:59:59Z", "deny"),
        ("2026-03-29T06:00:00Z", "allow"),
        ("2026-03-29T15:59:59Z", "allow"),
        ("2026-03-29T16:00:00Z", "deny"),
    ] {
        let ran = case(&format!("at: {at}, expect: {expected}"));
        assert_eq!(ran.status.code(), Some(0), "{at}: {ran:?}");
    }
}

#[test]
fn explain_names_the_deciding_rule_and_why_the_others_did_not_match() {
    let folder = tempfile::tempdir().unwrap();
    let policy = write(
        folder.path(),
        "policy.yaml",
        "version: 1\napprovers: { dba: { groups: [dba] } }\nconnections: { crm: { kind: sqlite, read: { url: 'sqlite:a' }, \
         allow: { groups: [a, h], principals: ['user:eve'] } } }\nrules:\n\
         - { name: people, who: { groups: [h] }, when: { effect: unknown }, then: allow }\n\
         - { name: night, between: \"22:00-06:00 UTC\", when: {}, then: { deny: Asleep. } }\n\
         - { name: held, who: { groups: [a] }, when: {}, then: { require_approval: dba } }\n",
    );
    let explain = |arguments: &[&str], format: &str| {
        let fixed = [
            "policy",
            "explain",
            "--policy",
            &policy,
            "--connection",
            "crm",
            "--format",
            format,
        ];
        portcullis(&[&fixed, arguments, &["???"]].concat())
    };
    let noon = ["--at", "2026-01-15T12:00:00Z"];
    let person = explain(
        &[&noon[..], &["--as", "ada", "--groups", "h", "--human"]].concat(),
        "text",
    );
    assert_eq!(person.status.code(), Some(0));
    let told = text(&person.stdout);
    assert!(
        told.starts_with("allow, by `people`\n") && told.contains("`user:ada`"),
        "{told}"
    );
    assert!(told.contains("=> people: it matches, and allows"), "{told}");
    assert!(
        told.contains(" - night: it holds from 22:00 to 06:00 UTC, and there it is 12:00"),
        "{told}"
    );
    let agent = explain(
        &[&noon[..], &["--as", "bot", "--groups", "a,b"]].concat(),
        "json",
    );
    assert_eq!(agent.status.code(), Some(4));
    let told: Value = serde_json::from_slice(&agent.stdout).unwrap();
    assert_eq!(told["decision"]["action"], "require_approval");
    assert_eq!(
        (&told["decision"]["rule"], &told["decision"]["from"][0]),
        (&"held".into(), &"dba".into())
    );
    assert_eq!(told["rules"][0]["matched"], false);
    let night = explain(
        &[
            "--as",
            "bot",
            "--groups",
            "a",
            "--at",
            "2026-01-15T23:00:00Z",
        ],
        "text",
    );
    assert_eq!(night.status.code(), Some(3));
    assert!(text(&night.stdout).starts_with("deny, by `night`: Asleep."));
    let outsider = explain(&["--as", "eve", "--agent"], "text");
    assert_eq!(outsider.status.code(), Some(3));
    assert!(text(&outsider.stdout).contains("`agent:eve` may not use connection `crm`"));
    let person = explain(&[&noon[..], &["--as", "eve", "--human"]].concat(), "text");
    assert!(text(&person.stdout).contains("no rule matches: this is unknown on connection `crm`"));
    let written_whole = explain(&[&noon[..], &["--as", "user:eve"]].concat(), "text");
    assert_eq!(text(&written_whole.stdout), text(&person.stdout));
    let neither = explain(&["--as", "user:eve", "--agent"], "text");
    assert_eq!(neither.status.code(), Some(2));
    let elsewhere = portcullis(&[
        "policy",
        "explain",
        "--policy",
        &policy,
        "--connection",
        "crn",
        "--as",
        "x",
        "y",
    ]);
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(
        text(&elsewhere.stderr).contains("did you mean `crm`?"),
        "{elsewhere:?}"
    );
}

#[test]
fn the_schema_is_printed_as_it_is() {
    let printed: Value = serde_json::from_slice(&portcullis(&["policy", "schema"]).stdout).unwrap();
    assert_eq!(printed, schema());
}
