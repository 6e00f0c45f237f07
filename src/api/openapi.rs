//! `/openapi.json`, made from the table of endpoints and their types: OpenAPI 3.1, whose schemas are JSON Schema
//! 2020-12 as `schemars` writes it.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::endpoints::{ANY, Endpoint};
use crate::{door::Problem, gateway::Ports};

/// What answers without a token.
const OPEN: &[(&str, &str)] = &[
    ("/healthz", "Whether it runs"),
    ("/openapi.json", "This document"),
];

fn open(summary: &str) -> Value {
    json!({"get": {
        "summary": summary,
        "security": [],
        "responses": {
            "200": {
                "description": "As asked.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
        },
    }})
}

/// The OpenAPI document for `endpoints`.
pub fn document<P: Ports>(endpoints: &[Endpoint<P>]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    // What may be left out differs: a caller may omit what has a default, an answer omits what it does not have.
    let mut asked = SchemaGenerator::new(settings.clone());
    let mut answered = SchemaGenerator::new(settings.for_serialize());
    let problem = answered.subschema_for::<Problem>();
    let mut paths = Map::new();
    let mut inlined = Vec::new();
    for endpoint in endpoints {
        let mut operation = json!({
            "summary": endpoint.summary,
            "parameters": parameters(endpoint, &mut asked, &mut inlined),
            "responses": {
                "default": {
                    "description": "What went wrong, and what to do.",
                    "content": {"application/problem+json": {"schema": problem}},
                },
            },
        });
        let answer = (endpoint.answer)(&mut answered);
        for (status, description) in endpoint.answers {
            operation["responses"][status.to_string()] = json!({
                "description": description,
                "content": {endpoint.media_type: {"schema": answer}},
            });
        }
        if let Some(body) = endpoint.body {
            operation["requestBody"] = json!({
                "required": true,
                "content": {"application/json": {"schema": body(&mut asked)}},
            });
        }
        let path = endpoint.path.replace("{*", "{");
        let path = paths.entry(path).or_insert_with(|| json!({}));
        if endpoint.method == ANY {
            // What the API answers is the API's own.
            operation["responses"]["default"]["content"]["*/*"] = json!({"schema": {}});
            for method in ["get", "put", "post", "delete", "options", "patch"] {
                path[method] = operation.clone();
            }
        } else {
            path[endpoint.method] = operation;
        }
    }
    for (path, summary) in OPEN {
        paths.insert((*path).into(), open(summary));
    }
    let mut schemas = asked.take_definitions(true);
    schemas.retain(|name, _| !inlined.contains(name));
    schemas.extend(answered.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The gate between AI agents and production.",
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    })
}

/// The parameters of `endpoint`; the types that became parameters go to `inlined`.
fn parameters<P: Ports>(
    endpoint: &Endpoint<P>,
    generator: &mut SchemaGenerator,
    inlined: &mut Vec<String>,
) -> Vec<Value> {
    let mut parameters: Vec<_> = endpoint
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*'))
        .map(|name| {
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
        })
        .collect();
    if let Some(of) = endpoint.parameters {
        // Inlined: each property of the type is a parameter of its own.
        let reference = of(generator);
        let name = reference.as_value()["$ref"]
            .as_str()
            .and_then(|path| path.rsplit('/').next())
            .unwrap_or_default();
        let definitions = generator.definitions();
        let definition = definitions.get(name).cloned().unwrap_or_default();
        inlined.push(name.to_owned());
        for (name, schema) in definition["properties"].as_object().into_iter().flatten() {
            let description = schema.get("description").cloned().unwrap_or_default();
            parameters.push(json!({
                "name": name, "in": "query", "description": description, "schema": schema,
            }));
        }
    }
    if matches!(endpoint.method, "post" | ANY) && endpoint.path.starts_with("/v1/connections/") {
        for (name, description) in [
            (
                "Portcullis-Session",
                "Continue this session; without it one is opened.",
            ),
            ("Idempotency-Key", "Makes a repeated call the same request."),
            ("traceparent", "W3C trace context."),
        ] {
            parameters.push(json!({
                "name": name, "in": "header", "description": description,
                "schema": {"type": "string"},
            }));
        }
    }
    parameters
}
