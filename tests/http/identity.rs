//! Who asks, by the tokens of a real OpenID provider, at a gateway started with `serve`.

use std::{fs, sync::OnceLock};

use serde_json::json;

use super::{Caller, Gateway, word};
use crate::support::{
    gateway::{POLICY, folder},
    oidc::{AUDIENCE, OTHER_AUDIENCE, Provider, TENANT},
};

/// One gateway that believes the shared provider.
fn gateway() -> &'static Gateway {
    static GATEWAY: OnceLock<Gateway> = OnceLock::new();
    GATEWAY.get_or_init(|| {
        let data = folder(POLICY);
        let file = data.join("policy.yaml");
        let identity = format!(
            "identity:\n  issuers:\n    - issuer: \"{}\"\n      audience: \"{AUDIENCE}\"\n      \
             tenants: [\"{TENANT}\"]\n      agents: {{ app_roles: [Agent] }}\n",
            Provider::shared().issuer()
        );
        let policy = fs::read_to_string(&file).unwrap();
        let policy = policy
            .replacen("version: 1\n", &format!("version: 1\n{identity}"), 1)
            .replace("{ groups: [ai-agents] }", "{ app_roles: [Agent] }");
        fs::write(file, policy).unwrap();
        Gateway::serve_in(data)
    })
}

async fn agent() -> Caller<'static> {
    let token = Provider::shared().entra_app("ai-agent", &["Agent"]);
    gateway().bearer(&token.token().await)
}

async fn person(name: &str, groups: &[&str]) -> Caller<'static> {
    let token = Provider::shared().entra_person(name, "ops-console", groups);
    gateway().bearer(&token.token().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_asks_and_a_human_of_the_right_group_approves() {
    let gateway = gateway();
    let row = gateway.row();
    let agent = agent().await;
    let held = agent.held(&format!("DELETE FROM customers WHERE id = {row}"));
    agent
        .decide(&held, "approve")
        .problem(403, "agents-approve-nothing");
    let sam = person("sam", &["sales"]).await;
    sam.decide(&held, "approve")
        .problem(404, "unknown-approval");
    assert_eq!(gateway.note("customers", row).as_deref(), Some("before"));
    let dana = person("dana", &["db-admins"]).await;
    let done = dana.decide(&held, "approve").expect(200);
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(done["principal"]["kind"], "agent");
    assert_eq!(done["answers"][0]["approver"]["kind"], "human");
    assert_eq!(gateway.note("customers", row), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_known_by_its_application_decides() {
    let gateway = gateway();
    let row = gateway.row();
    let held = agent()
        .await
        .held(&format!("DELETE FROM releases WHERE id = {row}"));
    for (client, status) in [("ops-console", 404), ("release-pipeline", 200)] {
        let token = Provider::shared().entra_app(client, &["Release"]);
        let service = gateway.bearer(&token.token().await);
        let reply = service.decide(&held, "approve");
        assert_eq!(reply.status, status, "{client}: {}", reply.text());
    }
    assert_eq!(gateway.note("releases", row), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_wrong_audience_tenant_time_or_key_counts_for_nothing() {
    let gateway = gateway();
    let provider = Provider::shared();
    let bot = || provider.entra_app("ai-agent", &["Agent"]);
    let good = bot().token().await;
    let middle = good.split('.').nth(1).unwrap();
    let tampered = good.replacen(middle, &middle.to_ascii_uppercase(), 1);
    let table = [
        ("audience", bot().audience(OTHER_AUDIENCE).token().await),
        ("tenant", bot().claim("tid", json!("another")).token().await),
        (
            "expired",
            bot().claim("exp", json!(1_700_000_000)).token().await,
        ),
        (
            "future",
            bot().claim("nbf", json!(4_000_000_000_u32)).token().await,
        ),
        (
            "issuer",
            bot()
                .claim("iss", json!("https://evil.example"))
                .token()
                .await,
        ),
        ("key", bot().header("kid", json!("unknown")).token().await),
        ("tampered", tampered),
    ];
    let row = gateway.row();
    let sql = format!("UPDATE orders SET note = 'run' WHERE id = {row}");
    for (what, token) in table {
        let reply = gateway.bearer(&token).query("crm", &sql);
        let detail = reply.problem(401, "unauthenticated");
        let challenge = reply.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{what}: {challenge}");
        assert!(!detail.contains(&token), "{what}: {detail}");
    }
    assert_eq!(gateway.note("orders", row).as_deref(), Some("before"));
    let outcome = gateway.bearer(&good).query("crm", "SELECT 1").expect(200);
    assert!(word(&outcome["status"]) == "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_issues_no_tokens_of_its_own() {
    let gateway = gateway();
    for path in [
        "/dev-issuer/jwks",
        "/.well-known/openid-configuration",
        "/dev-issuer",
    ] {
        gateway.call("GET", path, &[], b"").refused(404);
    }
    let dev = super::shared().agent().token;
    gateway
        .bearer(&dev)
        .query("crm", "SELECT 1")
        .problem(401, "unauthenticated");
}
