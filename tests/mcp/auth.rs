//! Who is let in: by a real OpenID provider, at a gateway with an address of its own.

use std::{fs, time::Duration};

use serde_json::json;

use super::{client, done, http, shared, word};
use crate::support::{
    gateway::{Gateway, POLICY, folder},
    oidc::{AUDIENCE, OTHER_AUDIENCE, Provider, TENANT},
};

/// A gateway that is `https://gate.example.com` to its clients, and believes the shared provider.
fn public() -> Gateway {
    let data = folder(POLICY);
    let file = data.join("policy.yaml");
    let identity = format!(
        "version: 1\nidentity:\n  issuers:\n    - issuer: \"{}\"\n      audience: \"{AUDIENCE}\"\n      \
         tenants: [\"{TENANT}\"]\n      agents: {{ app_roles: [Agent] }}\n",
        Provider::shared().issuer()
    );
    let policy = fs::read_to_string(&file).unwrap();
    let policy = policy
        .replacen("version: 1\n", &identity, 1)
        .replace("{ groups: [ai-agents] }", "{ app_roles: [Agent] }");
    fs::write(file, policy).unwrap();
    let environment = [
        (
            "PORTCULLIS_PUBLIC_URL",
            "https://gate.example.com".to_owned(),
        ),
        (
            "PORTCULLIS_SCOPES",
            "https://gate.example.com/mcp/use".to_owned(),
        ),
    ];
    Gateway::serve_with(data, &environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_for_the_gateway_is_told_where_to_get_one() {
    let gateway = public();
    let metadata = "https://gate.example.com/.well-known/oauth-protected-resource/mcp";
    let (resource, scope) = (
        format!("resource_metadata=\"{metadata}\""),
        "scope=\"https://gate.example.com/mcp/use\"",
    );
    let nobody = http::call(gateway.port, "POST", "/mcp", &[], b"{}");
    nobody.problem(401, "unauthenticated");
    let challenge = nobody.header("www-authenticate").unwrap();
    assert_eq!(challenge, format!("Bearer {resource}, {scope}"));

    let provider = Provider::shared();
    let other = provider.entra_app("ai-agent", &["Agent"]);
    let other = format!("Bearer {}", other.audience(OTHER_AUDIENCE).token().await);
    let headers = [("Authorization", other.as_str())];
    let other = http::call(gateway.port, "POST", "/mcp", &headers, b"{}");
    other.problem(401, "unauthenticated");
    let challenge = other.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer error=\"invalid_token\""));
    assert!(challenge.contains("token_audience"), "{challenge}");
    assert!(challenge.ends_with(&format!(", {resource}, {scope}")));

    let path = metadata.strip_prefix("https://gate.example.com").unwrap();
    let document = http::call(gateway.port, "GET", path, &[], b"").expect(200);
    assert_eq!(
        document,
        json!({
            "resource": "https://gate.example.com/mcp",
            "resource_name": "Portcullis",
            "authorization_servers": [provider.issuer()],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["https://gate.example.com/mcp/use"],
        })
    );
    let root = "/.well-known/oauth-protected-resource";
    assert_eq!(
        http::call(gateway.port, "GET", root, &[], b"").expect(200),
        document
    );

    let token = provider.entra_app("ai-agent", &["Agent"]).token().await;
    let agent = client(gateway.bearer(&token));
    let answer = agent.query("crm", "SELECT 1");
    assert_eq!(done(&answer)["status"], "succeeded", "{answer}");

    // To whom it is `gate.example.com`, to whom it is this machine, and to nobody else; to pages of its own alone.
    let request = |host: &str, origin: Option<&str>| {
        let origin: Vec<_> = origin
            .map(|origin| ("Origin", origin))
            .into_iter()
            .collect();
        let request = agent.request("tools/list", &json!({}), &origin);
        let request = String::from_utf8(request).unwrap();
        let request = request.replacen("Host: 127.0.0.1\r\n", &format!("Host: {host}\r\n"), 1);
        let reply = http::raw(gateway.port, request.as_bytes(), Duration::from_secs(30));
        reply.unwrap().status
    };
    assert_eq!(request("gate.example.com", None), 200);
    assert_eq!(
        request("gate.example.com", Some("https://gate.example.com")),
        200
    );
    assert_eq!(request("127.0.0.1", None), 200);
    assert_eq!(request("evil.example.com", None), 403);
    for origin in [
        "https://evil.example.com",
        "http://gate.example.com",
        "null",
        "http://localhost:6274",
    ] {
        assert_eq!(request("gate.example.com", Some(origin)), 403, "{origin}");
    }
}

#[test]
fn a_gateway_of_this_machine_speaks_with_pages_of_this_machine() {
    let agent = client(shared().agent());
    let from = |origin: &str| {
        let request = agent.request("tools/list", &json!({}), &[("Origin", origin)]);
        agent.send(&request).status
    };
    assert_eq!(from("http://localhost:6274"), 200);
    assert_eq!(from("https://evil.example.com"), 403);
}

#[test]
fn an_address_that_cannot_be_one_is_refused_with_what_to_write() {
    let data = folder(POLICY);
    let mut command = crate::support::gateway::portcullis(&["serve"]);
    let identity = "version: 1\nidentity: { issuers: [{ issuer: \"https://login.example.com\", audience: x }] }\n";
    let file = data.join("policy.yaml");
    let policy = fs::read_to_string(&file).unwrap();
    fs::write(&file, policy.replacen("version: 1\n", identity, 1)).unwrap();
    command
        .env("PORTCULLIS_DATA", data.join("record"))
        .env("PORTCULLIS_POLICY", &file)
        .env("PORTCULLIS_LISTEN", "127.0.0.1:0")
        .env("PORTCULLIS_PUBLIC_URL", "http://gate.example.com");
    let said = command.output().unwrap();
    fs::remove_dir_all(&data).unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("PORTCULLIS_PUBLIC_URL"), "{said}");
    assert!(said.contains("https://portcullis.example.com"), "{said}");
}

#[test]
fn only_posts_are_taken() {
    let agent = client(shared().agent());
    let bearer = format!("Bearer {}", agent.caller.token);
    for method in ["GET", "DELETE"] {
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Accept", "text/event-stream"),
        ];
        let reply = http::call(shared().port, method, "/mcp", &headers, b"");
        assert_eq!(reply.status, 405);
        assert_eq!(reply.header("allow"), Some("POST"));
    }
    assert_eq!(
        word(&agent.ask("server/discover", &json!({}))["resultType"]),
        "complete"
    );
}
