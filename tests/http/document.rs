//! `/openapi.json`: what the gateway says of itself.

use std::collections::BTreeSet;

use serde_json::Value;

use super::shared;

#[test]
fn the_document_is_open_and_lists_every_route() {
    let gateway = shared();
    let document = gateway.call("GET", "/openapi.json", &[], b"").expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let paths = document["paths"].as_object().unwrap();
    let listed: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    let routes = [
        "get /healthz",
        "get /openapi.json",
        "get /v1/approvals",
        "get /v1/approvals/{id}",
        "get /v1/connections",
        "get /v1/requests/{id}",
        "get /v1/sessions",
        "get /v1/sessions/{id}",
        "get /v1/sessions/{id}/events",
        "get /v1/sessions/{id}/export",
        "post /v1/approvals/{id}/decision",
        "delete /v1/connections/{name}/http/{path}",
        "get /v1/connections/{name}/http/{path}",
        "post /v1/connections/{name}/exec",
        "post /v1/connections/{name}/query",
    ];
    for route in routes {
        assert!(listed.contains(route), "{route} is missing: {listed:?}");
    }
    // And each leads somewhere: to an answer, or to the question who asks.
    let agent = gateway.agent();
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            let place = path.replace("{name}", "crm").replace("{id}", "none");
            let place = place.replace("{path}", "x");
            let reply = agent.send(&method.to_uppercase(), &place, &[], b"");
            assert_ne!(reply.status, 405, "{method} {path}");
            if let Some(detail) = reply.json()["detail"].as_str() {
                assert!(!detail.contains("nothing at this path"), "{method} {path}");
            }
        }
    }
}

#[test]
fn every_part_of_the_document_is_what_openapi_says_it_must_be() {
    let document = shared().document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut used = BTreeSet::new();
    references(document, &mut used);
    for name in &used {
        assert!(schemas.contains_key(name), "`{name}` is nowhere");
    }
    for name in schemas.keys() {
        assert!(used.contains(name), "`{name}` is used nowhere");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{place}");
            let mut names = BTreeSet::new();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                assert!(names.insert(name), "{place}: {name} twice");
                assert!(parameter["schema"].is_object(), "{place}: {name}");
                let described = parameter["description"].as_str();
                match parameter["in"].as_str().unwrap() {
                    "path" => assert_eq!(parameter["required"], true, "{place}: {name}"),
                    "query" | "header" => {
                        assert!(
                            described.is_some_and(|text| !text.is_empty()),
                            "{place}: {name}"
                        );
                    }
                    other => panic!("{place}: {name} in {other}"),
                }
            }
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                assert!(
                    names.contains(part.trim_end_matches('}')),
                    "{place}: {part}"
                );
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(!responses.is_empty(), "{place}");
            for (status, response) in responses {
                let place = format!("{place} -> {status}");
                assert!(
                    status == "default" || status.parse::<u16>().is_ok(),
                    "{place}"
                );
                assert!(response["description"].is_string(), "{place}");
                for media_type in response["content"].as_object().unwrap().values() {
                    assert!(media_type["schema"].is_object(), "{place}");
                }
            }
        }
    }
    assert!(document["components"]["securitySchemes"]["bearer"].is_object());
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(target)) = object.get("$ref") {
                let name = target.strip_prefix("#/components/schemas/").unwrap();
                found.insert(name.to_owned());
            }
            object.values().for_each(|inside| references(inside, found));
        }
        Value::Array(list) => list.iter().for_each(|inside| references(inside, found)),
        _ => {}
    }
}
