//! The clients people have, unchanged, through the gateway to stand-ins for their APIs: `kubectl`, the model providers' own
//! SDKs, `curl`.

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::{Value, json};

use super::{
    Gateway,
    proxy::{House, house},
    word,
};
use crate::support::{gateway::Said, tls::TlsFront};

pub(super) fn ran(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

#[test]
fn kubectl_reads_is_told_whose_approval_it_needs_and_deletes_once_it_is_there() {
    let House { gateway, upstream } = house();
    let home = tempfile::tempdir().unwrap();
    let front = TlsFront::of(gateway.port, home.path());
    let agent = gateway.agent_named("kube-bot");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "gate",
        "clusters": [{"name": "gate", "cluster": {
            "server": format!("https://127.0.0.1:{}/v1/connections/cluster/http", front.port),
            "certificate-authority": front.authority,
        }}],
        "users": [{"name": "bot", "user": {"token": agent.token}}],
        "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "bot"}}],
    });
    fs::write(home.path().join("config"), config.to_string()).unwrap();
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new("kubectl");
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOME", home.path())
            .env("KUBECONFIG", home.path().join("config"));
        ran(&mut command)
    };
    let listed = kubectl(&["get", "pods"]);
    assert!(
        listed.out().contains("web-0"),
        "{}{}",
        listed.out(),
        listed.err()
    );
    let deletes = &["delete", "pod", "web-0", "--wait=false"];
    let refused = kubectl(deletes);
    assert!(!refused.status.success());
    let said = refused.err();
    assert!(
        said.contains("Portcullis holds this call for approval (rule `removals`)"),
        "{said}"
    );
    approve_only(gateway, "kube-bot", &said);
    assert!(
        upstream
            .calls("DELETE /api/v1/namespaces/default/pods/web-0")
            .is_empty()
    );
    let deleted = kubectl(deletes);
    assert!(
        deleted.out().contains("pod \"web-0\" deleted"),
        "{}{}",
        deleted.out(),
        deleted.err()
    );
    let again = kubectl(deletes);
    assert!(
        again.err().contains("holds this call for approval"),
        "{}",
        again.err()
    );
    assert_eq!(
        upstream
            .calls("DELETE /api/v1/namespaces/default/pods/web-0")
            .len(),
        1
    );
    let inside = kubectl(&["exec", "web-0", "--", "id"]);
    assert!(
        inside.err().contains("another protocol"),
        "{}",
        inside.err()
    );
}

#[test]
fn the_model_providers_own_clients_ask_and_stream_through_the_gateway() {
    let House { gateway, upstream } = house();
    let agent = gateway.agent_named("sdk-bot");
    let url = format!(
        "http://127.0.0.1:{}/v1/connections/model/http",
        gateway.port
    );
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/model-sdks");
    let mut node = Command::new("node");
    node.args(["ask.mjs", &url, &agent.token])
        .current_dir(folder);
    let ran = ran(&mut node);
    assert!(ran.status.success(), "{}", ran.err());
    let told: Value = serde_json::from_str(&ran.out()).unwrap();
    assert_eq!(told["whole"], "plain");
    for client in ["openai", "anthropic"] {
        let text = word(&told[client]);
        assert!(
            text.starts_with("The key is ") && text.ends_with(" it.\n"),
            "{told}"
        );
        assert!(!text.contains("2c6912E7710c8383"), "{told}");
    }
    for (client, of) in [
        ("refusedByOpenai", "file-1"),
        ("refusedByAnthropic", "file-2"),
    ] {
        assert_eq!(told[client]["status"], 403, "{told}");
        assert!(
            word(&told[client]["message"]).contains("holds this call for approval"),
            "{told}"
        );
        assert!(upstream.calls(of).is_empty());
    }
    let asked = upstream.calls("POST /v1/messages");
    assert!(
        asked.iter().all(|call| !call.text().contains("ghp_16C7")),
        "{asked:?}"
    );
}

#[test]
fn curl_reads_what_the_api_compressed() {
    let House { gateway, .. } = house();
    let url = format!(
        "http://127.0.0.1:{}/v1/connections/api/http/gzip",
        gateway.port
    );
    let bearer = format!(
        "Authorization: Bearer {}",
        gateway.agent_named("curl-bot").token
    );
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--compressed", "--header", &bearer, &url]);
    assert!(ran(&mut curl).out().starts_with("my key is "));
}

/// Dana approves what an agent waits for, which it was told.
fn approve_only(gateway: &Gateway, agent: &str, told: &str) {
    let dana = gateway.person("dana", &["db-admins"]);
    let asked = dana.get("/v1/approvals?state=pending").expect(200);
    let mine = asked["approvals"].as_array().unwrap().iter();
    let mine: Vec<&Value> = mine
        .filter(|one| word(&one["principal"]["id"]).contains(agent))
        .collect();
    assert_eq!(mine.len(), 1, "{asked}");
    let approval = word(&mine[0]["id"]);
    assert!(told.contains(approval), "{told}");
    let decision = json!({"decision": "approve", "digest": mine[0]["digest"]});
    dana.post(&format!("/v1/approvals/{approval}/decision"), &decision)
        .expect(200);
}

#[test]
fn an_api_is_believed_under_the_authority_that_its_connection_names_and_no_other() {
    let House { upstream, .. } = house();
    let folder = tempfile::tempdir().unwrap();
    let front = TlsFront::of(upstream.port, folder.path());
    let policy = format!(
        r#"
version: 1
connections:
  known: {{ kind: http, api: generic, read: {{ url: "https://localhost:{port}", sslrootcert: "{authority}" }}, allow: {{ groups: [ai-agents] }} }}
  unknown: {{ kind: http, api: generic, read: {{ url: "https://localhost:{port}" }}, allow: {{ groups: [ai-agents] }} }}
rules:
  - {{ name: reads, when: {{ effect: read }}, then: allow }}
"#,
        port = front.port,
        authority = front.authority.display(),
    );
    let gateway = Gateway::dev(&policy);
    let agent = gateway.agent();
    let reply = super::proxy::send(&agent, "GET", "known/http/over-tls", &[], b"");
    assert_eq!(reply.json()["path"], "/over-tls", "{}", reply.text());
    let reply = super::proxy::send(&agent, "GET", "unknown/http/not-believed", &[], b"");
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(upstream.calls("/not-believed").is_empty());
}
