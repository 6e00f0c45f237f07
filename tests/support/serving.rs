//! `portcullis serve`, the built program, on a free loopback port, and callers of its HTTP API.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{oidc::Provider, postgres::Database};

/// Set to anything, there is no timer in the gateway: the host strikes the time.
pub(crate) const HOSTED: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// The gateway's process. It ends with this value.
pub(crate) struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    /// Starts it, and waits until it is ready.
    pub(crate) async fn start(policy: &Path, data: &Path, database: &Database) -> Self {
        let (read, write) = (database.read_url(), database.write_url());
        let urls = [("CRM_READ_URL", &*read), ("CRM_WRITE_URL", &*write)];
        Self::start_in(policy, data, &urls).await
    }

    /// Starts it with more in its environment, and waits until it is ready. Its log is in `data`, and its record too where the
    /// environment names no other place.
    pub(crate) async fn start_in(policy: &Path, data: &Path, environment: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        fs::create_dir_all(data).unwrap();
        let log = data.join("log");
        let append = fs::OpenOptions::new().create(true).append(true).open(&log);
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        if environment
            .iter()
            .all(|(name, _)| *name != "PORTCULLIS_COSMOS")
        {
            command.env("PORTCULLIS_DATA", data);
        }
        let child = command
            .arg("serve")
            .env("PORTCULLIS_POLICY", policy)
            .env("PORTCULLIS_LISTEN", address.to_string())
            .env_remove(HOSTED)
            .envs(environment.iter().map(|(name, value)| match *name {
                // As the Functions host would run it: it says which port.
                HOSTED => (HOSTED, address.port().to_string()),
                name => (name, (*value).to_owned()),
            }))
            .stdin(Stdio::null())
            .stdout(append.unwrap())
            .spawn()
            .unwrap();
        let mut serving = Self { child, address };
        let began = Instant::now();
        let health = format!("http://{address}/healthz");
        loop {
            let answer = Client::new().get(&health).send().await;
            if let Ok(answer) = answer
                && answer.text().await.is_ok_and(|text| text.contains("ok"))
            {
                return serving;
            }
            let ended = serving.child.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < Duration::from_secs(20),
                "the gateway did not start ({ended:?}): {}",
                fs::read_to_string(log).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Someone who has this token.
    pub(crate) fn caller(&self, token: &str) -> Caller {
        Caller {
            client: Client::builder()
                .timeout(Duration::from_secs(40))
                .build()
                .unwrap(),
            url: format!("http://{}", self.address),
            token: token.to_owned(),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token for an agent.
pub(crate) async fn agent(provider: &Provider) -> String {
    provider.entra_app("ai-agent", &["Agent"]).token().await
}

/// A token for a person in `groups`.
pub(crate) async fn person(provider: &Provider, name: &str, groups: &[&str]) -> String {
    provider
        .entra_person(name, "ops-console", groups)
        .token()
        .await
}

/// Someone who calls the API.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    url: String,
    token: String,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Answer {
    /// Its rows, as they are shown.
    pub(crate) fn rows(&self) -> &Value {
        assert_eq!(self.body["status"], "succeeded", "{}", self.body);
        &self.body["result"]["rows"]
    }
}

impl Caller {
    /// Asks for one statement.
    pub(crate) async fn query(&self, sql: &str) -> Answer {
        self.try_query(&json!({"sql": sql}), &[]).await.unwrap()
    }

    /// Asks for one statement of a gateway that may not live to answer.
    pub(crate) async fn try_query(
        &self,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let path = format!("{}/v1/connections/crm/query", self.url);
        let mut request = self.client.post(path).bearer_auth(&self.token).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request).await
    }

    /// Approves what an approval shows.
    pub(crate) async fn approve(&self, approval: &Value) -> Answer {
        self.try_approve(approval).await.unwrap()
    }

    /// Approves at a gateway that may not live to answer.
    pub(crate) async fn try_approve(&self, approval: &Value) -> reqwest::Result<Answer> {
        let id = approval["id"].as_str().unwrap();
        let path = format!("{}/v1/approvals/{id}/decision", self.url);
        let decision = json!({"decision": "approve", "digest": approval["digest"]});
        let request = self.client.post(path).bearer_auth(&self.token);
        answer(request.json(&decision)).await
    }

    /// Asks to see exactly what an approval would change.
    pub(crate) async fn preview(&self, approval: &Value) -> Answer {
        let id = approval["id"].as_str().unwrap();
        let path = format!("{}/v1/approvals/{id}/preview", self.url);
        let request = self.client.post(path).bearer_auth(&self.token);
        answer(request).await.unwrap()
    }

    /// Has a gateway do what is due, as the Functions host does once in a while.
    pub(crate) async fn sweep(&self) {
        let timer = json!({
            "Data": {"timer": {"IsPastDue": false}},
            "Metadata": {"sys": {"MethodName": "sweep"}},
        });
        let request = self.client.post(format!("{}/sweep", self.url));
        let request = request
            .header("User-Agent", "Azure-Functions-Host/4.1041.200.0")
            .header("X-Azure-Functions-InvocationId", "1");
        let done = request.json(&timer).send().await.unwrap();
        assert_eq!(done.status(), StatusCode::OK);
    }

    /// Reads something.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = self.client.get(format!("{}{path}", self.url));
        answer(request.bearer_auth(&self.token)).await.unwrap()
    }

    /// Reads a file.
    pub(crate) async fn text(&self, path: &str) -> String {
        let request = self.client.get(format!("{}{path}", self.url));
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let status = response.status();
    let body = response.json().await?;
    Ok(Answer { status, body })
}
