//! How the command line speaks to a gateway: the HTTP API, as anyone else would.

use std::{fs, net::IpAddr, path::PathBuf, time::Duration};

use reqwest::{Method, StatusCode, header};
use serde_json::Value;

use super::{Failure, output::visible};

/// Which gateway, and as whom.
#[derive(Debug, clap::Args)]
pub(super) struct Gateway {
    /// The gateway's base URL
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_URL",
        default_value = "http://127.0.0.1:7171",
        value_name = "URL"
    )]
    url: String,

    /// A bearer token; better kept out of the process list with PORTCULLIS_TOKEN or --token-file
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,

    /// A file that holds the bearer token; wins over PORTCULLIS_TOKEN
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Gateway {
    /// A client for it.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let token = match (&self.token_file, &self.token) {
            (Some(file), _) => fs::read_to_string(file).map_err(|error| {
                Failure::Failed(format!("the token file {}: {error}", file.display()))
            })?,
            (None, Some(token)) => token.clone(),
            (None, None) => {
                return Err(Failure::Usage(
                    "no token: set PORTCULLIS_TOKEN, or pass --token-file FILE \
                     (with `portcullis dev` running: export PORTCULLIS_TOKEN=$(portcullis dev \
                     token --as you --groups db-admins --human))"
                        .into(),
                ));
            }
        };
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::Usage(
                "what was given as the token is none: it is empty, or has white space or other \
                 characters that no token has"
                    .into(),
            ));
        }
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            return Err(Failure::Usage(format!(
                "`{}` is no URL of a gateway; it looks like http://127.0.0.1:7171",
                self.url
            )));
        }
        Client::new(&self.url, token)
    }
}

/// An authenticated caller of one gateway.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// An answer: its status and its JSON.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Answer {
    /// The JSON of a success; a problem becomes the failure it describes.
    pub(super) fn ok(self) -> Result<Value, Failure> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let text = |name: &str| self.body.get(name).and_then(Value::as_str);
        let title = visible(text("title").unwrap_or("The gateway refused"));
        let mut said = format!("{title} ({})", self.status.as_u16());
        if let Some(detail) = text("detail") {
            said.push_str(": ");
            said.push_str(&visible(detail));
        }
        Err(match self.status {
            StatusCode::FORBIDDEN => Failure::Denied(said),
            _ => Failure::Failed(said),
        })
    }
}

impl Client {
    pub(super) fn new(base: &str, token: &str) -> Result<Self, Failure> {
        // Longer than the longest wait the API offers.
        let mut http = reqwest::Client::builder().timeout(Duration::from_secs(70));
        // No proxy knows this machine's loopback, whatever the environment says.
        if is_loopback(base) {
            http = http.no_proxy();
        }
        let http = http.build();
        let http = http.map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').into(),
            token: token.into(),
        })
    }

    /// `GET path`, with query parameters.
    pub(super) async fn get(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Answer, Failure> {
        let request = self.http.request(Method::GET, self.at(path)).query(query);
        Self::answer(self.sent(request).await?).await
    }

    /// `GET path` as text.
    pub(super) async fn get_text(&self, path: &str) -> Result<String, Failure> {
        let response = self
            .sent(self.http.request(Method::GET, self.at(path)))
            .await?;
        if response.status().is_success() {
            return response
                .text()
                .await
                .map_err(|error| Failure::Failed(error.to_string()));
        }
        let refused = Self::answer(response).await?.ok();
        Err(refused
            .err()
            .unwrap_or_else(|| Failure::Failed("an empty answer".into())))
    }

    /// `POST path` with a JSON body.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &Value,
        session: Option<&str>,
    ) -> Result<Answer, Failure> {
        let mut request = self.http.request(Method::POST, self.at(path)).json(body);
        if let Some(session) = session {
            request = request.header("Portcullis-Session", session);
        }
        Self::answer(self.sent(request).await?).await
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn sent(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Failure> {
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        request.send().await.map_err(|error| {
            let why = if error.is_timeout() {
                "does not answer"
            } else {
                "cannot be reached"
            };
            Failure::Failed(format!(
                "the gateway at {} {why}; is it running, and is PORTCULLIS_URL (or --url) right?",
                self.base
            ))
        })
    }

    async fn answer(response: reqwest::Response) -> Result<Answer, Failure> {
        let status = response.status();
        let body = response
            .bytes()
            .await
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let body = serde_json::from_slice(&body).map_err(|_| {
            Failure::Failed(format!(
                "what answers there is no Portcullis gateway (status {}, no JSON)",
                status.as_u16()
            ))
        })?;
        Ok(Answer { status, body })
    }
}

fn is_loopback(base: &str) -> bool {
    let url = base.parse::<reqwest::Url>().ok();
    let host = url.as_ref().and_then(reqwest::Url::host_str);
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// Runs a command's future on a runtime of its own.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // Large enough that judging a statement never has to grow it; only what is used is ever allocated.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(16 << 20)
        .enable_all()
        .build()?;
    runtime.block_on(future)
}
