//! Microsoft's in-memory emulator of Cosmos DB (`azure_data_cosmos_driver`) behind a loopback port. Prints its address, and
//! ends when its stdin closes, so it never outlives the tests.
//!
//! Beside the API of Cosmos DB it answers calls of the tests: `POST /_asked` says what it was asked since the last time, `POST /_database/{name}` makes a database as
//! `infra/modules/record.bicep` does, and `POST /_faults/{kind}/{times}` spoils that many transactions that come next:
//! `throttled` (429), `unavailable` (503), `lost`: it is committed, and 503 is the answer, or `silent`: it is committed, and there
//! is no answer. `unseen` refuses writes to the read model instead (403). After `POST /_token/{token}` whoever comes without
//! this token is refused (401; `any`: nobody is), in the words of `https://learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources`.

use std::{
    error::Error,
    io::{Read, Write},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderName, HeaderValue, Response, StatusCode},
    routing::{any, post},
};
use azure_core::http::{Method, Request as CosmosRequest};
use azure_data_cosmos_driver::{
    in_memory_emulator::{
        ConsistencyLevel, InMemoryEmulatorHttpClient, VirtualAccountConfig, VirtualRegion,
    },
    models::PartitionKeyDefinition,
};
use url::Url;

const CONTAINERS: [(&str, &str); 3] = [
    ("events", "/subject"),
    ("keys", "/session"),
    ("requests", "/session"),
];

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Throttled,
    Unavailable,
    Lost,
    Silent,
    Unseen,
}

struct Host {
    emulator: InMemoryEmulatorHttpClient,
    base: Url,
    faults: Mutex<Vec<Fault>>,
    authorization: Mutex<Option<String>>,
    asked: Mutex<Vec<String>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = Url::parse(&format!("http://{}/", listener.local_addr()?))?;
    let region = VirtualRegion::new("West Europe", base.clone());
    let account =
        VirtualAccountConfig::new(vec![region])?.with_consistency(ConsistencyLevel::Session);
    let host = Arc::new(Host {
        emulator: InMemoryEmulatorHttpClient::try_new(account)?,
        base: base.clone(),
        faults: Mutex::default(),
        authorization: Mutex::default(),
        asked: Mutex::default(),
    });
    let routes = Router::new()
        .route("/_database/{name}", post(database))
        .route("/_asked", post(asked))
        .route("/_token/{token}", post(token))
        .route("/_faults/{kind}/{times}", post(faults))
        .fallback(any(answer))
        .with_state(host);
    println!("{base}");
    std::io::stdout().flush()?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn database(State(host): State<Arc<Host>>, Path(name): Path<String>) {
    let store = host.emulator.store();
    store.create_database(&name);
    for (container, key) in CONTAINERS {
        store.create_container(&name, container, PartitionKeyDefinition::from(key));
    }
}

/// One operation a line: what, of which container (`progress`: how far the change feed was read), how many items, and the bytes
/// that were sent and came back.
async fn asked(State(host): State<Arc<Host>>) -> String {
    let mut asked = host.asked.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *asked).join("\n")
}

async fn token(State(host): State<Arc<Host>>, Path(token): Path<String>) {
    let said = format!("type=aad&ver=1.0&sig={token}");
    let said = url::form_urlencoded::byte_serialize(said.as_bytes()).collect();
    *host
        .authorization
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = (token != "any").then_some(said);
}

async fn faults(
    State(host): State<Arc<Host>>,
    Path((kind, times)): Path<(String, usize)>,
) -> StatusCode {
    let fault = match kind.as_str() {
        "throttled" => Fault::Throttled,
        "unavailable" => Fault::Unavailable,
        "lost" => Fault::Lost,
        "silent" => Fault::Silent,
        "unseen" => Fault::Unseen,
        _ => return StatusCode::NOT_FOUND,
    };
    let mut faults = host.faults.lock().unwrap_or_else(PoisonError::into_inner);
    faults.extend(std::iter::repeat_n(fault, times));
    StatusCode::OK
}

async fn answer(State(host): State<Arc<Host>>, request: Request) -> Response<Body> {
    if !host.knows(&request) {
        let mut response = Response::new(Body::from("{}"));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return response;
    }
    let fault = host.fault_for(&request);
    let refuse = |status: StatusCode| {
        let mut response = Response::new(Body::from("{}"));
        *response.status_mut() = status;
        response
    };
    match fault {
        Some(Fault::Throttled) => return refuse(StatusCode::TOO_MANY_REQUESTS),
        Some(Fault::Unavailable) => return refuse(StatusCode::SERVICE_UNAVAILABLE),
        Some(Fault::Unseen) => return refuse(StatusCode::FORBIDDEN),
        Some(Fault::Lost | Fault::Silent) | None => {}
    }
    let answered = host.execute(request).await.unwrap_or_else(|error| {
        let mut response = Response::new(Body::from(error.to_string()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    });
    match fault {
        Some(Fault::Lost) => refuse(StatusCode::SERVICE_UNAVAILABLE),
        Some(Fault::Silent) => std::future::pending().await,
        _ => answered,
    }
}

impl Host {
    fn knows(&self, request: &Request) -> bool {
        let wanted = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let said = request.headers().get("authorization");
        let said = said.and_then(|said| said.to_str().ok());
        wanted.is_none() || said == wanted.as_deref()
    }

    /// What is to go wrong with this request.
    fn fault_for(&self, request: &Request) -> Option<Fault> {
        let has = |name: &str| request.headers().contains_key(name);
        let is_transaction = has("x-ms-cosmos-is-batch-request");
        let is_seen = request.method() != axum::http::Method::GET
            && request.uri().path().contains("/colls/requests/docs")
            && !has("x-ms-documentdb-isquery")
            && !has("x-ms-documentdb-query-iscontinuationexpected");
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = |fault: &mut Fault| match fault {
            Fault::Unseen => is_seen,
            _ => is_transaction,
        };
        faults.pop_if(meant)
    }

    async fn execute(&self, request: Request) -> Result<Response<Body>, Box<dyn Error>> {
        let what = operation(&request);
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = self.base.join(path.trim_start_matches('/'))?;
        let mut request = CosmosRequest::new(url, parts.method.as_str().parse::<Method>()?);
        for (name, value) in &parts.headers {
            let (name, value) = (name.as_str().to_owned(), value.to_str()?.to_owned());
            request.headers_mut().insert(name, value);
        }
        let body = to_bytes(body, 16 << 20).await?;
        if !body.is_empty() {
            request.set_body(body.to_vec());
        }
        let answer = self.emulator.execute_request(&request).await?;
        let answer = answer.try_into_raw_response().await?;
        if let Some(what) = what {
            let text = String::from_utf8_lossy(&body);
            let items = text.matches("\"operationType\"").count().max(1);
            let (sent, came) = (body.len(), answer.body().as_ref().len());
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.push(format!("{what} {items} {sent} {came}"));
        }
        let mut response = Response::builder().status(u16::from(answer.status()));
        for (name, value) in answer.headers().iter() {
            let name = HeaderName::from_bytes(name.as_str().as_bytes())?;
            response = response.header(name, HeaderValue::from_str(value.as_str())?);
        }
        Ok(response.body(Body::from(answer.body().as_ref().to_vec()))?)
    }
}

/// What a request is, and of which container; `None`: nothing that is charged for.
fn operation(request: &Request) -> Option<String> {
    let path = request.uri().path();
    let (_, rest) = path.split_once("/colls/")?;
    let (container, _) = rest.split_once("/docs")?;
    let partition = request.headers().get("x-ms-documentdb-partitionkey");
    let is_progress = partition.is_some_and(|key| key.as_bytes() == br#"["change-feed"]"#);
    let container = if is_progress { "progress" } else { container };
    let has = |name: &str| request.headers().contains_key(name);
    let what = if has("x-ms-cosmos-is-batch-request") {
        "batch"
    } else if has("a-im") {
        "changes"
    } else if has("x-ms-documentdb-isquery") || has("x-ms-documentdb-query-iscontinuationexpected")
    {
        "query"
    } else {
        match (request.method().as_str(), has("x-ms-documentdb-is-upsert")) {
            ("GET", _) => "read",
            ("POST", true) => "upsert",
            ("POST", false) => "create",
            ("PUT", _) => "replace",
            _ => "other",
        }
    };
    Some(format!("{what} {container}"))
}
