//! A real OpenID provider (npm `oidc-provider`) on a free loopback port: `tests/oidc-provider/issuer.mjs`.
//!
//! It ends when its stdin closes, so it never outlives the test process, however that dies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock},
};

use portcullis::domain::policy::{AgentRules, Issuer};
use serde_json::{Value, json};

/// What the gateway's tokens are for.
pub(crate) const AUDIENCE: &str = "api://portcullis";
/// What tokens for someone else are for.
pub(crate) const OTHER_AUDIENCE: &str = "api://other";
/// `tid` of the tokens shaped like Entra's.
pub(crate) const TENANT: &str = "7e9a3b52-0000-4000-8000-000000000000";

/// The provider, running.
pub(crate) struct Provider {
    issuer: String,
    process: Mutex<Process>,
}

struct Process {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// How often the provider was asked for its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fetches {
    /// Discovery documents.
    pub(crate) discovery: u64,
    /// Key sets.
    pub(crate) keys: u64,
    /// Where redirects lead.
    pub(crate) elsewhere: u64,
}

impl Provider {
    /// One for all tests that only need tokens.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Provider> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One for a test that rotates its keys, takes it down or counts.
    pub(crate) fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc-provider");
        assert!(
            folder.join("node_modules/oidc-provider").is_dir(),
            "the test issuer is not installed: run tests/install"
        );
        let mut child = Command::new("node")
            .arg(folder.join("issuer.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is not installed: run tests/install");
        let mut process = Process {
            commands: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        let ready = process.answer();
        Self {
            issuer: ready["issuer"].as_str().unwrap().to_owned(),
            process: Mutex::new(process),
        }
    }

    /// `iss`.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The provider as a policy names it: an agent is who has the app role `Agent`.
    pub(crate) fn as_policy_issuer(&self) -> Issuer {
        Issuer {
            issuer: self.issuer.clone(),
            audience: vec![AUDIENCE.to_owned()],
            tenants: BTreeSet::new(),
            clients: BTreeSet::new(),
            agents: AgentRules {
                app_roles: BTreeSet::from(["Agent".to_owned()]),
                ..AgentRules::default()
            },
        }
    }

    /// New keys sign from now on; the old ones stay published.
    pub(crate) fn rotate(&self) {
        self.command(json!({"do": "rotate"}));
    }

    /// Only the newest keys stay published.
    pub(crate) fn withdraw_old_keys(&self) {
        self.command(json!({"do": "withdraw"}));
    }

    /// Nothing listens any more.
    pub(crate) fn down(&self) {
        self.command(json!({"do": "down"}));
    }

    /// Listens again, on the same port.
    pub(crate) fn up(&self) {
        self.command(json!({"do": "up"}));
    }

    /// Answers differently: `well`, `redirect`, `other-issuer`, `remote-keys`, `endless-keys`, `silence`, `error`,
    /// `no-keys`.
    pub(crate) fn behave(&self, how: &str) {
        self.command(json!({"do": "behave", "as": how}));
    }

    /// How often it was asked so far.
    pub(crate) fn fetches(&self) -> Fetches {
        let counted = self.command(json!({"do": "fetches"}));
        let count = |name: &str| counted[name].as_u64().unwrap_or(0);
        Fetches {
            discovery: count("discovery"),
            keys: count("keys"),
            elsewhere: count("elsewhere"),
        }
    }

    /// Anything at all, signed with the provider's current key for `header.alg`.
    pub(crate) fn sign(&self, header: Value, payload: Value) -> String {
        let signed = self.command(json!({"do": "sign", "header": header, "payload": payload}));
        signed["token"].as_str().unwrap().to_owned()
    }

    /// A token for a program's own credential.
    pub(crate) fn program(&self, client: &str) -> TokenRequest<'_> {
        TokenRequest {
            provider: self,
            form: vec![
                ("grant_type", "client_credentials".to_owned()),
                ("client_id", client.to_owned()),
                ("client_secret", format!("{client}-secret")),
                ("scope", "access".to_owned()),
                ("resource", AUDIENCE.to_owned()),
            ],
            header: json!({}),
            payload: json!({}),
            without: Vec::new(),
        }
    }

    /// A token for a person who signed in to `client`.
    pub(crate) fn person(&self, account: &str, client: &str) -> TokenRequest<'_> {
        let mut request = self.program(client);
        request.form[0].1 = "urn:portcullis:sign-in".to_owned();
        request.form.push(("account", account.to_owned()));
        request
    }

    /// A person's delegated access token the way Entra writes it.
    pub(crate) fn entra_person(
        &self,
        name: &str,
        client: &str,
        groups: &[&str],
    ) -> TokenRequest<'_> {
        self.person(&format!("pairwise-{name}"), client)
            .header("typ", json!("JWT"))
            .claim("tid", json!(TENANT))
            .claim("oid", json!(object_id(name)))
            .claim("preferred_username", json!(format!("{name}@example.com")))
            .claim("azp", json!(client))
            .claim("scp", json!("access"))
            .claim("ver", json!("2.0"))
            .claim("groups", json!(groups))
            .without("client_id")
            .without("scope")
    }

    /// An application's own access token the way Entra writes it.
    pub(crate) fn entra_app(&self, client: &str, roles: &[&str]) -> TokenRequest<'_> {
        self.program(client)
            .header("typ", json!("JWT"))
            .claim("tid", json!(TENANT))
            .claim("oid", json!(object_id(client)))
            .claim("sub", json!(object_id(client)))
            .claim("azp", json!(client))
            .claim("ver", json!("2.0"))
            .claim("roles", json!(roles))
            .without("client_id")
            .without("scope")
    }

    fn command(&self, command: Value) -> Value {
        let mut process = self.process.lock().unwrap();
        writeln!(process.commands, "{command}").unwrap();
        process.answer()
    }
}

impl Process {
    fn answer(&mut self) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.answers.read_line(&mut line).unwrap();
            assert!(
                read > 0,
                "the test issuer has ended: {:?}",
                self.child.try_wait()
            );
            // The library writes its own notices to stdout.
            if line.starts_with('{') {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A made-up object id, the same for the same name.
pub(crate) fn object_id(name: &str) -> String {
    let sum = name.bytes().fold(7_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    format!("00000000-0000-4000-8000-{:012x}", sum & 0xffff_ffff_ffff)
}

/// A token to be asked for.
pub(crate) struct TokenRequest<'a> {
    provider: &'a Provider,
    form: Vec<(&'static str, String)>,
    header: Value,
    payload: Value,
    without: Vec<&'static str>,
}

/// What a sign-in gives.
pub(crate) struct Tokens {
    /// For the API.
    pub(crate) access: String,
    /// For the application the person signed in to.
    pub(crate) identity: Option<String>,
}

impl TokenRequest<'_> {
    /// For whom.
    pub(crate) fn audience(mut self, audience: &str) -> Self {
        for (name, value) in &mut self.form {
            if *name == "resource" {
                audience.clone_into(value);
            }
        }
        self
    }

    /// For how many seconds.
    pub(crate) fn seconds(mut self, seconds: u32) -> Self {
        self.form.push(("ttl", seconds.to_string()));
        self
    }

    /// Signed how.
    pub(crate) fn algorithm(mut self, algorithm: &str) -> Self {
        self.form.push(("alg", algorithm.to_owned()));
        self
    }

    /// A header parameter beside or instead of the provider's.
    pub(crate) fn header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    /// A claim beside or instead of the provider's.
    pub(crate) fn claim(mut self, name: &str, value: Value) -> Self {
        self.payload[name] = value;
        self
    }

    /// Without this claim of the provider's.
    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.without.push(name);
        self
    }

    /// The access token.
    pub(crate) async fn token(self) -> String {
        self.tokens().await.access
    }

    /// Everything the sign-in gives.
    pub(crate) async fn tokens(mut self) -> Tokens {
        let shape =
            json!({"header": self.header, "payload": self.payload, "without": self.without});
        self.form.push(("shape", shape.to_string()));
        let mut form = reqwest::Url::parse("http://form").unwrap();
        form.query_pairs_mut().extend_pairs(self.form);
        let answer: Value = reqwest::Client::new()
            .post(format!("{}/token", self.provider.issuer))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.query().unwrap().to_owned())
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let token = |name: &str| answer[name].as_str().map(str::to_owned);
        Tokens {
            access: token("access_token").unwrap_or_else(|| panic!("no token: {answer}")),
            identity: token("id_token"),
        }
    }
}
