//! The real `az`, for which the gateway is a cloud of its own: it signs in as a managed identity, reads pages, is told whose
//! approval it needs, and waits for operations that take their time.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Caller, Gateway, api_clients::ran, word};
use crate::support::{
    gateway::{Said, folder},
    oidc::{AUDIENCE, Provider, TENANT},
    tls::TlsFront,
    upstream::{Answering, Call, Upstream},
};

const POLICY: &str = r#"
version: 1
identity:
  issuers:
    - { issuer: "{ISSUER}", audience: "{AUDIENCE}", tenants: ["{TENANT}"], agents: { app_roles: [Agent] } }
approvers:
  dba: { groups: [db-admins] }
connections:
  arm:
    kind: http
    api: azure
    read: { url: "http://127.0.0.1:{PORT}", headers: { authorization: "Bearer ${secret:ARM_TOKEN}" } }
    write: { url: "http://127.0.0.1:{PORT}", headers: { authorization: "Bearer ${secret:ARM_TOKEN}" } }
    allow: { app_roles: [Agent] }
rules:
  - { name: reads, when: { effect: read }, then: allow }
  - { name: removals, when: { effect: destructive }, then: { require_approval: dba } }
"#;
const SUBSCRIPTION: &str = "/subscriptions/11111111-0000-4000-8000-000000000001";
/// What a machine in Azure asks its own identity with.
const IDENTITY_HEADER: &str = "the-machine-itself";

/// Azure Resource Manager: it says where it goes on by its own address, pages and operations alike.
fn arm(call: &Call, back: &mut Answering, polls: &AtomicUsize) {
    let at = format!("http://{}", call.header("host").unwrap());
    let (path, query) = call.target().split_once('?').unwrap();
    let group = |name: &str| json!({"id": format!("{SUBSCRIPTION}/resourceGroups/{name}"), "name": name, "location": "westeurope"});
    let under = path.strip_prefix(SUBSCRIPTION);
    match (call.method(), path, under) {
        ("GET", "/subscriptions", _) => back.json(
            200,
            &json!({"value": [{"id": SUBSCRIPTION, "subscriptionId": &SUBSCRIPTION[15..], "displayName": "Shop", "state": "Enabled", "tenantId": TENANT}]}),
        ),
        ("GET", _, Some("/resourcegroups")) if query.contains("skiptoken") => {
            assert!(query.contains("skiptoken=eyJuZXh0Um93S2V5IjoiMSExMjgifQ"), "{query}");
            back.json(200, &json!({"value": [group("second-page")]}));
        }
        ("GET", _, Some("/resourcegroups")) => {
            let next = format!("{at}{path}?{query}&%24skiptoken=eyJuZXh0Um93S2V5IjoiMSExMjgifQ");
            back.json(200, &json!({"value": [group("first-page")], "nextLink": next}));
        }
        ("DELETE", _, Some("/resourcegroups/by-location")) => {
            let told = format!("{at}{SUBSCRIPTION}/operationresults/by-location?{query}");
            back.answer(202, &[("Location", &told), ("Retry-After", "1")], b"");
        }
        ("DELETE", _, Some("/resourcegroups/by-status")) => {
            let told = format!("{at}{SUBSCRIPTION}/operationstatuses/by-status?{query}");
            back.answer(202, &[("Azure-AsyncOperation", &told), ("Retry-After", "1")], b"");
        }
        ("GET", _, Some("/operationresults/by-location")) => {
            let told = format!("{at}{path}?{query}");
            match polls.fetch_add(1, Ordering::SeqCst) {
                0 => back.answer(202, &[("Location", &told), ("Retry-After", "1")], b""),
                _ => back.answer(200, &[], b""),
            }
        }
        ("GET", _, Some("/operationstatuses/by-status")) => {
            back.json(200, &json!({"status": "Succeeded"}));
        }
        ("GET", _, Some(under)) => {
            let name = under.strip_prefix("/resourcegroups/").unwrap_or("unknown");
            back.json(200, &group(name));
        }
        _ => back.json(404, &json!({"error": {"code": "NotFound", "message": call.line}})),
    }
}

/// What gives a program in Azure a token of its own: it asks no more than whether the program is on the machine.
fn managed_identity(token: String) -> Upstream {
    Upstream::start(move |call, back| {
        assert_eq!(call.header("x-identity-header"), Some(IDENTITY_HEADER));
        let asked = call.target();
        let resource = asked.contains("resource=api%3A%2F%2Fportcullis&")
            || asked.ends_with("resource=api%3A%2F%2Fportcullis");
        assert!(resource, "{asked}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let expires = now.unwrap() + Duration::from_secs(300);
        back.json(
            200,
            &json!({"access_token": token, "expires_on": expires.as_secs().to_string(), "resource": AUDIENCE, "token_type": "Bearer"}),
        );
    })
}

/// `az` with a configuration of its own.
struct Az<'a> {
    home: &'a Path,
    front: &'a TlsFront,
    identity: u16,
}

impl Az<'_> {
    fn says(&self, arguments: &[&str]) -> Output {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/az/.venv/bin/python");
        let mut az = Command::new(program);
        az.args(["-m", "azure.cli"])
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOME", self.home)
            .env("AZURE_CONFIG_DIR", self.home.join("azure"))
            .env("AZURE_CORE_COLLECT_TELEMETRY", "no")
            .env("REQUESTS_CA_BUNDLE", &self.front.authority)
            .env(
                "IDENTITY_ENDPOINT",
                format!("http://127.0.0.1:{}/msi", self.identity),
            )
            .env("IDENTITY_HEADER", IDENTITY_HEADER);
        ran(&mut az)
    }

    #[track_caller]
    fn told(&self, arguments: &[&str]) -> Value {
        let said = self.says(arguments);
        assert_eq!(
            said.code(),
            0,
            "{arguments:?}: {}{}",
            said.out(),
            said.err()
        );
        serde_json::from_str(&said.out()).unwrap_or(Value::Null)
    }
}

struct Cloud {
    gateway: Gateway,
    front: TlsFront,
    home: TempDir,
    arm: Upstream,
}

/// The gateway in front of the API, found at an https address that it was told.
fn cloud() -> Cloud {
    let polls = Arc::new(AtomicUsize::new(0));
    let arm = Upstream::start(move |call, back| arm(call, back, &polls));
    let home = tempfile::tempdir().unwrap();
    let front = TlsFront::open(home.path());
    let policy = POLICY
        .replace("{ISSUER}", Provider::shared().issuer())
        .replace("{AUDIENCE}", AUDIENCE)
        .replace("{TENANT}", TENANT)
        .replace("{PORT}", &arm.port.to_string());
    let data = folder("");
    fs::write(data.join("policy.yaml"), policy).unwrap();
    let address = format!("https://127.0.0.1:{}", front.port);
    let environment = [
        ("PORTCULLIS_PUBLIC_URL", address),
        ("ARM_TOKEN", "the-gateways-own".to_owned()),
    ];
    let gateway = Gateway::serve_with(data, &environment);
    front.lead_to(gateway.port);
    Cloud {
        gateway,
        front,
        home,
        arm,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn az_works_with_the_gateway_as_its_cloud() {
    let Cloud {
        gateway,
        front,
        home,
        arm,
    } = &cloud();
    let provider = Provider::shared();
    let token = provider.entra_app("ai-agent", &["Agent"]).token().await;
    let dana = provider.entra_person("dana", "ops-console", &["db-admins"]);
    let dana = gateway.bearer(&dana.token().await);
    let identity = managed_identity(token);
    let az = Az {
        home: home.path(),
        front,
        identity: identity.port,
    };
    let resource_manager = format!("https://127.0.0.1:{}/v1/connections/arm/http", front.port);
    az.told(&[
        "cloud",
        "register",
        "--name",
        "gate",
        "--skip-endpoint-discovery",
        "--endpoint-resource-manager",
        &resource_manager,
        "--endpoint-active-directory",
        "https://login.microsoftonline.com",
        "--endpoint-active-directory-resource-id",
        AUDIENCE,
    ]);
    az.told(&["cloud", "set", "--name", "gate"]);
    let found = az.told(&["login", "--identity"]);
    assert_eq!(found[0]["name"], "Shop", "{found}");
    assert_eq!(az.told(&["account", "show"])["environmentName"], "gate");

    let listed = az.told(&["group", "list", "--query", "[].name"]);
    assert_eq!(listed, json!(["first-page", "second-page"]));
    assert_eq!(az.told(&["group", "show", "--name", "x"])["name"], "x");
    for group in ["by-location", "by-status"] {
        let delete = ["group", "delete", "--yes", "--name", group];
        let refused = az.says(&delete);
        assert_ne!(refused.code(), 0);
        let said = refused.err();
        assert!(
            said.contains("holds this call for approval (rule `removals`)"),
            "{said}"
        );
        let path = format!("DELETE {SUBSCRIPTION}/resourcegroups/{group}");
        assert!(arm.calls(&path).is_empty());
        approve(&dana, &said);
        az.told(&delete);
        assert_eq!(arm.calls(&path).len(), 1);
    }
    assert_eq!(arm.calls("/operationresults/by-location").len(), 2);
    assert_eq!(arm.calls("/operationstatuses/by-status").len(), 1);
    let own = Some("Bearer the-gateways-own");
    assert!(
        arm.calls("/")
            .iter()
            .all(|call| call.header("authorization") == own)
    );
}

/// The approval that an agent was told of.
fn approve(dana: &Caller<'_>, said: &str) {
    let asked = dana.get("/v1/approvals?state=pending").expect(200);
    let pending = asked["approvals"].as_array().unwrap();
    assert_eq!(pending.len(), 1, "{asked}");
    let approval = word(&pending[0]["id"]);
    assert!(said.contains(approval), "{said}");
    let decision = json!({"decision": "approve", "digest": pending[0]["digest"]});
    dana.post(&format!("/v1/approvals/{approval}/decision"), &decision)
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn az_rest_works_with_a_token_alone() {
    let Cloud {
        gateway,
        front,
        home,
        ..
    } = &cloud();
    let token = Provider::shared().entra_app("ai-agent", &["Agent"]);
    let bearer = format!("Authorization=Bearer {}", token.token().await);
    let az = Az {
        home: home.path(),
        front,
        identity: 0,
    };
    let url = format!(
        "http://127.0.0.1:{}/v1/connections/arm/http{SUBSCRIPTION}/resourcegroups/mine?api-version=2024-03-01",
        gateway.port
    );
    let shown = az.told(&[
        "rest",
        "--url",
        &url,
        "--skip-authorization-header",
        "--headers",
        &bearer,
    ]);
    assert_eq!(shown["name"], "mine");
}
