//! The whole gateway, `serve` as it is shipped, between HTTP callers and a real PostgreSQL, beside that server asked
//! directly.
//!
//! ```text
//! tests/install                                      # PostgreSQL, if it is not there
//! cargo bench --bench gateway                        # everything
//! RECORD_DIR=/mnt/disk cargo bench --bench gateway   # with the record on the disk that matters
//! ```
//!
//! A read is one row of twenty columns by its key, of which policy masks two; every one is authenticated, judged, run in a
//! read-only transaction, masked, sealed, chained and on the disk before it is answered. Directly, it is a statement
//! that `tokio-postgres` has prepared. Callers keep their connections and each waits for its answer; both ways take
//! turns, so that whatever else the machine does meets both. The driver is the gateway's own way to the server without the
//! gateway: parsed anew, in a transaction that can only read, with its limits and its undoing.
//!
//! Measured on two cores shared with compilers (load 4 to 6), a virtual disk, PostgreSQL on the same two cores:
//!
//! | callers | direct | driver | gateway | of driver | p50 | p99 | one sync | added at p50 beyond it | processor each |
//! |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
//! | 1 | 33,844/s | 10,273/s | 669/s | 7 % | 1.04 ms | 6.9 ms | 0.17 ms | 0.86 ms | 660 us |
//! | 16 | 55,036/s | 16,061/s | 2,579/s | 16 % | 5.37 ms | 32 ms | 0.15 ms | 4.97 ms | 284 us |
//! | 64 | 37,495/s | 14,529/s | 2,638/s | 18 % | 20.2 ms | 89 ms | 0.14 ms | 18.5 ms | 242 us |
//!
//! In process one read takes 23 us beside target and disk (chain 7, mask 6, answer 5, session key 2, the rest 3), 77 us at
//! the target and 420 us in an append of its own. Of the processor time above almost half is the writing thread's: three
//! events, a row and a key, in indexes over random ids. First answer 68 ms after the start, 22 MiB idle before the first
//! load and 46 MiB after it, 16 MiB more at the peak of a million-row SELECT that its budget of 8 MiB ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs::{self, OpenOptions},
    hint::black_box,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    ops::ControlFlow,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, routing::get};
use hdrhistogram::Histogram;
use jiff::Timestamp;
use portcullis::{
    auth::{
        Authenticator,
        dev::{DISCOVERY_PATH, DevIssuer, JWKS_PATH, LoopbackOnly},
    },
    catalog::{Catalog, Source},
    domain::policy::Endpoint,
    domain::{
        classify::sql,
        connection::{Access, ConnectionKind},
        id::{RequestId, SessionId},
        masking::{Cell, Masking, MaskingRules, RowMasker, ServerColumn},
        operation::{Operation, Param, SqlOperation},
        policy::{Policy, Question, evaluate},
        principal::{Principal, PrincipalKind},
        record::{Hash, Head, extend},
        session::*,
    },
    gateway::{
        Outcome,
        ports::{Batch, Ending, EventStore, Execution, ResultSink, Targets},
        seal::{MasterKey, Purpose},
    },
    store::Sqlite,
    targets::{LiveTargets, TargetEndpoint},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

#[allow(dead_code)]
#[path = "../tests/support/postgres.rs"]
mod postgres;

const COLUMNS: &str = "id, name, email, card_number, company, city, region, country, plan, status, currency, balance, \
     credit_limit, orders, open_tickets, language, time_zone, segment, created_at, updated_at";
const CUSTOMERS: u64 = 10_000;
/// One turn of one way.
const TURN: Duration = Duration::from_secs(2);
const TURNS: usize = 3;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let folder = match std::env::var_os("RECORD_DIR") {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    }
    .unwrap();
    let database = postgres::database().await;
    database.prepare(&customers()).await;
    let issuer = Issuer::start(folder.path()).await;
    let place = Place::write(folder.path(), &database, &issuer);

    stages(&place, &issuer, &database).await;

    let gateway = Serving::start(&place, &issuer).await;
    println!("\n{:<44}{:>10}", "gateway", "");
    println!(
        "{:<44}{:>7.1} ms",
        "start to the first masked, recorded answer",
        millis(gateway.first)
    );
    println!("{:<44}{:>7.1} MiB", "memory, idle", gateway.memory("VmRSS"));

    println!(
        "\n{:<8}{:>9}{:>9}{:>9}{:>9}{:>9}{:>8}{:>8}{:>8}{:>8}{:>8}{:>10}{:>10}{:>10}",
        "callers",
        "direct/s",
        "driver/s",
        "gate/s",
        "/direct",
        "/driver",
        "p50 ms",
        "p99",
        "direct",
        "driver",
        "fsync",
        "added p50",
        "fsyncs/s",
        "cpu each"
    );
    for callers in [1, 16, 64] {
        side_by_side(callers, &database, &gateway, &place).await;
    }

    let before = gateway.memory("VmHWM");
    let rows = gateway.big_read().await;
    println!(
        "\n{:<44}{:>7.1} MiB ({rows} rows returned; peak {:.1} MiB before)",
        "a SELECT of a million rows adds, at its peak",
        gateway.memory("VmHWM") - before,
        before
    );
    println!(
        "{:<44}{:>7.1} MiB",
        "memory, at the end",
        gateway.memory("VmRSS")
    );
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

// ---------------------------------------------------------------------------------------------- what is asked

fn customers() -> String {
    format!(
        "CREATE TABLE customers (id bigint PRIMARY KEY, name text, email text, card_number text, company text, city text,
            region text, country text, plan text, status text, currency text, balance numeric(12,2), credit_limit integer,
            orders integer, open_tickets integer, language text, time_zone text, segment text, created_at timestamptz,
            updated_at timestamptz);
         INSERT INTO customers SELECT n, 'Customer ' || n, 'c' || n || '@example.com', '4111 1111 1111 1111',
            'Company ' || n % 977, 'Town ' || n % 311, 'North', 'DE', 'plus', 'active', 'EUR', n * 1.25, 5000, n % 40, n % 3,
            'de', 'Europe/Berlin', 'retail', now() - n * interval '1 minute', now() FROM generate_series(1, {CUSTOMERS}) n;
         CREATE TABLE numbers AS SELECT n AS id, 'number ' || n AS label FROM generate_series(1, 1000000) n;
         ANALYZE"
    )
}

fn statement() -> String {
    format!("SELECT {COLUMNS} FROM customers WHERE id = $1")
}

fn policy(issuer: &Issuer) -> String {
    format!(
        "version: 1
identity: {{ issuers: [{{ issuer: \"{}\", audience: \"{}\", agents: {{ app_roles: [Agent] }} }}] }}
connections:
  crm:
    kind: postgres
    read: {{ url: \"${{secret:CRM_READ_URL}}\" }}
    allow: {{ groups: [ai-agents] }}
    budget: {{ rows: 1000000, bytes: 8MiB, requests_per_minute: 6000000, timeout: 30s }}
rules:
  - {{ name: reads, when: {{ effect: read }}, then: allow }}
masking:
  columns:
    - {{ match: \"*.customers.email\", as: pseudonym, in_predicates: allow }}
    - {{ match: \"*.customers.card_number\", as: {{ keep_last: 4 }} }}
  detect: [secrets, personal]
record: {{ results: masked, max_result: 4MiB }}
",
        issuer.issuer.issuer(),
        issuer.issuer.audience(),
    )
}

/// A token issuer on loopback, with real keys, that the gateway fetches as it would anybody's.
struct Issuer {
    issuer: DevIssuer,
    token: String,
}

impl Issuer {
    async fn start(folder: &Path) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let at = LoopbackOnly::prove(address).unwrap();
        let issuer = DevIssuer::open(&folder.join("issuer"), at).unwrap();
        let (discovery, keys) = (issuer.discovery(), issuer.jwks());
        let router = Router::new()
            .route(DISCOVERY_PATH, get(|| async { Json(discovery) }))
            .route(JWKS_PATH, get(|| async { Json(keys) }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let groups = ["ai-agents"];
        let hour = Duration::from_secs(3600);
        let token = issuer
            .mint("bench-bot", groups, PrincipalKind::Agent, hour)
            .unwrap();
        Self { issuer, token }
    }
}

struct Place {
    read_url: String,
    policy: PathBuf,
    data: PathBuf,
}

impl Place {
    fn write(folder: &Path, database: &postgres::Database, issuer: &Issuer) -> Self {
        let place = Self {
            read_url: database.read_url(),
            policy: folder.join("policy.yaml"),
            data: folder.join("data"),
        };
        fs::write(&place.policy, policy(issuer)).unwrap();
        place
    }
}

// ---------------------------------------------------------------------------------------------- the gateway

struct Serving {
    child: Child,
    address: SocketAddr,
    token: String,
    /// From the start of the process to its first masked row.
    first: Duration,
}

impl Serving {
    async fn start(place: &Place, issuer: &Issuer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let began = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("serve")
            .env("PORTCULLIS_POLICY", &place.policy)
            .env("PORTCULLIS_DATA", &place.data)
            .env("CRM_READ_URL", &place.read_url)
            .env("PORTCULLIS_LISTEN", address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut serving = Self {
            child,
            address,
            token: issuer.token.clone(),
            first: Duration::ZERO,
        };
        loop {
            if let Ok(mut caller) = Caller::connect(address, &issuer.token).await
                && caller.ask(1).await
            {
                break;
            }
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "it did not start"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        serving.first = began.elapsed();
        tokio::time::sleep(Duration::from_secs(2)).await;
        serving
    }

    /// MiB, of `/proc/PID/status`.
    fn memory(&self, what: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<f64>().unwrap() / 1024.0
    }

    /// The processor time it has used, of `/proc/PID/stat`, in hundredths of a second.
    fn processor(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, after_name) = stat.rsplit_once(')').unwrap();
        let ticks = after_name.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    async fn big_read(&self) -> usize {
        let mut caller = Caller::connect(self.address, &self.token).await.unwrap();
        assert!(caller.send("SELECT id, label FROM numbers", "[]").await);
        String::from_utf8_lossy(&caller.inbound)
            .matches("\"number ")
            .count()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// One HTTP connection, kept open; as little of a client as there can be, for it shares the processors.
struct Caller {
    stream: TcpStream,
    head: String,
    statement: String,
    inbound: Vec<u8>,
}

impl Caller {
    async fn connect(address: SocketAddr, token: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            head: format!(
                "POST /v1/connections/crm/query HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: "
            ),
            statement: statement(),
            inbound: Vec::with_capacity(8192),
        })
    }

    async fn ask(&mut self, customer: u64) -> bool {
        let statement = self.statement.clone();
        self.send(&statement, &format!("[{customer}]")).await
            && memchr::memmem::find(&self.inbound, b"\"row_count\":1,").is_some()
    }

    /// Whether the answer is a success.
    async fn send(&mut self, statement: &str, params: &str) -> bool {
        let body = format!("{{\"sql\":\"{statement}\",\"params\":{params}}}");
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.inbound.clear();
        let mut wanted = None;
        loop {
            if wanted.is_none()
                && let Some(end) = memchr::memmem::find(&self.inbound, b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&self.inbound[..end]).to_ascii_lowercase();
                let (_, length) = head.split_once("content-length: ").unwrap();
                let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
                wanted = Some(end + 4 + length);
            }
            if wanted.is_some_and(|wanted| self.inbound.len() >= wanted) {
                return self.inbound.starts_with(b"HTTP/1.1 200");
            }
            if self.stream.read_buf(&mut self.inbound).await.unwrap() == 0 {
                return false;
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------- side by side

/// The gateway's own way to the server, without the gateway: a transaction that can only read, its limits, its undoing.
struct Driver {
    targets: LiveTargets,
    cancel: CancellationToken,
}

impl Driver {
    fn new(database: &postgres::Database) -> Self {
        let targets = LiveTargets::new();
        let endpoint = TargetEndpoint {
            name: "crm".parse().unwrap(),
            kind: ConnectionKind::Postgres,
            access: Access::Read,
            endpoint: Endpoint::url(database.read_url()),
        };
        targets.configure(vec![endpoint]).unwrap();
        Self {
            targets,
            cancel: CancellationToken::new(),
        }
    }

    async fn read(&self, customer: u64) {
        let params = vec![Param::Number(customer.to_string().into())];
        let operation = SqlOperation::new(statement(), params, None).unwrap();
        let execution = Execution {
            request: RequestId::new(&SessionId::new([3; 16]), [4; 16]),
            connection: "crm".parse().unwrap(),
            operation: Operation::Sql(operation),
            access: Access::Read,
            budget: Default::default(),
            ending: Ending::RollBack,
        };
        let mut sink = Unread;
        let ran = self.targets.run(execution, &mut sink, &self.cancel);
        ran.await.unwrap();
    }
}

struct Unread;

impl ResultSink for Unread {
    fn columns(&mut self, _: &[ServerColumn]) {}
    fn row(&mut self, cells: &[Cell<'_>]) -> ControlFlow<()> {
        black_box(cells);
        ControlFlow::Continue(())
    }
    fn notice(&mut self, _: &str) {}
}

struct Measured {
    latency: Histogram<u64>,
    seconds: f64,
}

impl Measured {
    fn new() -> Self {
        Self {
            latency: Histogram::new(3).unwrap(),
            seconds: 0.0,
        }
    }

    fn rate(&self) -> f64 {
        self.latency.len() as f64 / self.seconds
    }

    /// In milliseconds.
    fn at(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}

async fn side_by_side(
    callers: usize,
    database: &postgres::Database,
    gateway: &Serving,
    place: &Place,
) {
    let mut asking = Vec::new();
    let mut reading = Vec::new();
    for _ in 0..callers {
        let caller = Caller::connect(gateway.address, &gateway.token).await;
        asking.push(caller.unwrap());
        let (client, connection) =
            tokio_postgres::connect(&database.read_url(), tokio_postgres::NoTls)
                .await
                .unwrap();
        tokio::spawn(connection);
        let prepared = client.prepare(&statement()).await.unwrap();
        reading.push((client, prepared));
    }
    let driver = Arc::new(Driver::new(database));
    let mut driving: Vec<_> = (0..callers).map(|_| driver.clone()).collect();
    let mut direct = Measured::new();
    let mut driven = Measured::new();
    let mut gated = Measured::new();
    let mut disk = Measured::new();
    let mut processor = Duration::ZERO;
    for turn in 0..=TURNS {
        if turn == 1 {
            // The turn before warmed everything up.
            (direct, driven, gated) = (Measured::new(), Measured::new(), Measured::new());
            processor = gateway.processor();
        }
        let (direct, driven, gated) = (&mut direct, &mut driven, &mut gated);
        driving = repeat(driving, driven, |driver, customer| async move {
            driver.read(customer).await;
            driver
        })
        .await;
        reading = repeat(reading, direct, |(client, prepared), customer| async move {
            let id = i64::try_from(customer).unwrap();
            let row = client.query_one(&prepared, &[&id]).await.unwrap();
            black_box(row.get::<_, &str>(2));
            (client, prepared)
        })
        .await;
        asking = repeat(asking, gated, |mut caller, customer| async move {
            assert!(
                caller.ask(customer).await,
                "{}",
                String::from_utf8_lossy(&caller.inbound)
            );
            caller
        })
        .await;
        if turn > 0 {
            fsyncs(&place.data, &mut disk);
        }
    }
    let processor = (gateway.processor() - processor).as_secs_f64() * 1e6;
    println!(
        "{callers:<8}{:>9.0}{:>9.0}{:>9.0}{:>8.0}%{:>8.0}%{:>8.2}{:>8.2}{:>8.2}{:>8.2}{:>8.2}{:>10.2}{:>10.0}{:>7.0} us",
        direct.rate(),
        driven.rate(),
        gated.rate(),
        100.0 * gated.rate() / direct.rate(),
        100.0 * gated.rate() / driven.rate(),
        gated.at(0.5),
        gated.at(0.99),
        direct.at(0.5),
        driven.at(0.5),
        disk.at(0.5),
        gated.at(0.5) - direct.at(0.5) - disk.at(0.5),
        disk.rate(),
        processor / gated.latency.len() as f64,
    );
}

/// Everyone asks again and again for a turn.
async fn repeat<C, F>(
    callers: Vec<C>,
    into: &mut Measured,
    ask: impl Fn(C, u64) -> F + Clone + Send + Sync + 'static,
) -> Vec<C>
where
    C: Send + 'static,
    F: Future<Output = C> + Send,
{
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let began = Instant::now();
    let tasks: Vec<_> = callers
        .into_iter()
        .map(|mut caller| {
            let ask = ask.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(1 << 14);
                while began.elapsed() < TURN {
                    // A stride that visits all of them, far apart.
                    let customer = NEXT.fetch_add(1, Ordering::Relaxed) * 7_919 % CUSTOMERS + 1;
                    let asked = Instant::now();
                    caller = ask(caller, customer).await;
                    latencies.push(asked.elapsed());
                }
                (caller, latencies)
            })
        })
        .collect();
    let mut callers = Vec::new();
    for task in tasks {
        let (caller, latencies) = task.await.unwrap();
        callers.push(caller);
        for latency in latencies {
            into.latency.record(latency.as_micros() as u64).unwrap();
        }
    }
    into.seconds += began.elapsed().as_secs_f64();
    callers
}

/// How fast this disk takes 16 KiB written over what is there and synced: the least a commit can cost.
fn fsyncs(folder: &Path, into: &mut Measured) {
    let path = folder.join("fsync");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)
        .unwrap();
    let block = vec![1_u8; 16 << 10];
    for _ in 0..64 {
        file.write_all(&block).unwrap();
    }
    file.sync_all().unwrap();
    let began = Instant::now();
    let mut place = 0;
    while began.elapsed() < TURN / 4 {
        let wrote = Instant::now();
        file.write_all_at(&block, place % 64 * block.len() as u64)
            .unwrap();
        file.sync_data().unwrap();
        into.latency
            .record(wrote.elapsed().as_micros() as u64)
            .unwrap();
        place += 1;
    }
    into.seconds += began.elapsed().as_secs_f64();
    fs::remove_file(path).unwrap();
}

// ---------------------------------------------------------------------------------------------- where time goes

/// Takes rows into a masker, as the gateway does.
struct Masks<'a> {
    masking: &'a Masking,
    facts: &'a portcullis::domain::classify::Facts,
    masker: Option<RowMasker<'a>>,
    columns: Vec<ServerColumn>,
    row: Vec<Option<String>>,
}

impl ResultSink for Masks<'_> {
    fn columns(&mut self, columns: &[ServerColumn]) {
        self.columns = columns.to_vec();
        self.masker = Some(self.masking.rows(self.facts, columns));
    }
    fn row(&mut self, cells: &[Cell<'_>]) -> ControlFlow<()> {
        self.row = cells
            .iter()
            .map(|cell| match cell {
                Cell::Text(text) | Cell::Number(text) | Cell::Json(text) => {
                    Some((*text).to_owned())
                }
                Cell::Null | Cell::Bool(_) => None,
            })
            .collect();
        self.masker.as_mut().unwrap().row(cells);
        ControlFlow::Continue(())
    }
    fn notice(&mut self, _: &str) {}
}

fn stage(what: &str, total: &mut f64, micros: f64) {
    *total += micros;
    println!("{what:<44}{micros:>7.1} us");
}

/// The best of several rounds: what it costs when nothing else wants the processor.
fn timed<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        for _ in 0..100 {
            black_box(run());
        }
        best = best.min(began.elapsed().as_secs_f64() * 1e6 / 100.0);
    }
    best
}

async fn timed_async<T, F: Future<Output = T>>(times: usize, mut run: impl FnMut() -> F) -> f64 {
    let mut all = Histogram::<u64>::new(3).unwrap();
    for _ in 0..times {
        let began = Instant::now();
        black_box(run().await);
        all.record(began.elapsed().as_nanos() as u64).unwrap();
    }
    all.value_at_quantile(0.5) as f64 / 1000.0
}

async fn stages(place: &Place, issuer: &Issuer, database: &postgres::Database) {
    println!("{:<44}{:>10}", "one read, stage by stage, in process", "");
    let mut total = 0.0;
    let master = MasterKey::from_key(&[7; 32]).unwrap();
    let policy = load(place);
    let connection = policy.connections.values().next().unwrap();

    let auth = Authenticator::new(policy.issuers.clone()).unwrap();
    let header = format!("Bearer {}", issuer.token);
    let principal: Principal = auth.verify(Some(&header)).await.unwrap();
    let micros = timed_async(2_000, || auth.verify(Some(&header))).await;
    stage("verify a token seen before", &mut total, micros);

    let text = statement();
    let dialect = ConnectionKind::Postgres.dialect().expect("it takes SQL");
    let micros = timed(|| sql::classify(dialect, &text));
    println!(
        "{:<44}{micros:>7.1} us",
        "(classify a statement not seen before)"
    );
    let facts = sql::classify(dialect, &text);

    let question = Question {
        principal: &principal,
        connection,
        facts: &facts,
        now: Timestamp::now(),
    };
    let micros = timed(|| evaluate(&policy, &question));
    stage("policy", &mut total, micros);

    let operation = || {
        let params = vec![Param::Number("42".into())];
        SqlOperation::new(text.clone(), params, None).unwrap()
    };
    let micros = timed(|| Operation::Sql(operation()).digest(&connection.name, principal.id()));
    stage("digest of the operation", &mut total, micros);
    let mut counts = Default::default();
    let micros = timed(|| policy.masking.text(&text, &mut counts));
    stage("mask the statement's text", &mut total, micros);

    let targets = LiveTargets::new();
    let endpoint = TargetEndpoint {
        name: connection.name.clone(),
        kind: ConnectionKind::Postgres,
        access: Access::Read,
        endpoint: Endpoint::url(database.read_url()),
    };
    targets.configure(vec![endpoint]).unwrap();
    let session = SessionId::new([3; 16]);
    let request = RequestId::new(&session, [4; 16]);
    let cancel = CancellationToken::new();
    let mut masks = Masks {
        masking: &policy.masking,
        facts: &facts,
        masker: None,
        columns: Vec::new(),
        row: Vec::new(),
    };
    let mut waited = Histogram::<u64>::new(3).unwrap();
    for _ in 0..2_000 {
        let execution = Execution {
            request: request.clone(),
            connection: connection.name.clone(),
            operation: Operation::Sql(operation()),
            access: Access::Read,
            budget: connection.budget,
            ending: Ending::RollBack,
        };
        let began = Instant::now();
        targets.run(execution, &mut masks, &cancel).await.unwrap();
        waited.record(began.elapsed().as_nanos() as u64).unwrap();
    }
    let run = waited.value_at_quantile(0.5) as f64 / 1000.0;
    let cells: Vec<Cell<'_>> = masks
        .row
        .iter()
        .map(|text| text.as_deref().map_or(Cell::Null, Cell::Text))
        .collect();
    let masked = || {
        let mut masker = policy.masking.rows(&facts, &masks.columns);
        masker.row(&cells);
        masker.finish()
    };
    let micros = timed(masked);
    stage("the target, round trip", &mut total, run - micros);
    stage("mask a row", &mut total, micros);

    let (rows, counts) = masked();
    let rows = rows.into_inner();
    let fresh = |n: u64| {
        SessionId::new(
            Hash::of(&n.to_be_bytes()).as_bytes()[..16]
                .try_into()
                .unwrap(),
        )
    };
    let micros = timed(|| {
        master
            .new_session_key(&session, [[1; 16], [2; 16]])
            .unwrap()
    });
    stage("a session's key, made and wrapped", &mut total, micros);
    let (key, wrapped) = master
        .new_session_key(&session, [[1; 16], [2; 16]])
        .unwrap();
    let exact = serde_json::to_vec(&Operation::Sql(operation())).unwrap();
    let seal = |request: &RequestId| {
        let operation = key
            .seal(request, Purpose::Operation, [1; 12], &exact)
            .unwrap();
        let rows = key
            .seal(request, Purpose::Result, [2; 12], rows.rows.as_bytes())
            .unwrap();
        (operation, rows)
    };
    let micros = timed(|| seal(&request));
    stage("seal operation and rows", &mut total, micros);

    let bodies = |session: &SessionId| {
        let request_id = RequestId::new(session, [7; 16]);
        let (sealed, rows_sealed) = seal(&request_id);
        let verdict = DecisionRecord {
            action: Action::Allow,
            rule: Some(portcullis::domain::policy::RuleName("reads".into())),
            policy: policy.version,
            message: None,
        };
        vec![
            EventBody::SessionOpened(SessionOpened {
                principal: principal.described(),
            }),
            EventBody::RequestDecided(Box::new(RequestDecided {
                request_id: request_id.clone(),
                principal: principal.described(),
                connection: connection.name.clone(),
                statement: text.clone(),
                params: vec![Some("42".into())],
                sealed,
                digest: Hash::of(b"operation"),
                reason: None,
                effect: facts.class,
                objects: facts.objects.iter().cloned().collect(),
                unbounded: facts.unbounded,
                why: facts.why.clone(),
                decision: verdict,
                rewritten: None,
                traceparent: None,
            })),
            EventBody::ExecutionFinished(Box::new(ExecutionFinished {
                request_id,
                row_count: 1,
                affected: None,
                truncated: false,
                masked: counts.clone(),
                columns: rows.columns.clone(),
                notices: vec![],
                exit_code: None,
                answer: None,
                result: Some(rows_sealed),
                took_us: 1234,
            })),
        ]
    };
    let with_bodies = timed(|| bodies(&session));
    let both = timed(|| {
        extend(
            Head::GENESIS,
            &session,
            "gate",
            Timestamp::now(),
            bodies(&session),
        )
        .unwrap()
    });
    stage("chain three events", &mut total, both - with_bodies);

    let events = extend(
        Head::GENESIS,
        &session,
        "gate",
        Timestamp::now(),
        bodies(&session),
    )
    .unwrap();
    let now = Timestamp::now();
    let outcome = || {
        let folded = Request::fold_bodies(events[1..].iter().map(|event| (now, &event.body)));
        let rows = serde_json::value::RawValue::from_string(rows.rows.clone()).unwrap();
        serde_json::to_vec(&Outcome::of(&folded.unwrap().unwrap(), Some(rows))).unwrap()
    };
    let micros = timed(outcome);
    stage("fold and serialise the answer", &mut total, micros);

    let store = Arc::new(Sqlite::open(&place.data.join("stages.db")).unwrap());
    let mut alone = Histogram::<u64>::new(3).unwrap();
    for n in 0..1_000 {
        let session = fresh(n);
        let events = extend(
            Head::GENESIS,
            &session,
            "gate",
            Timestamp::now(),
            bodies(&session),
        )
        .unwrap();
        let key = Some(wrapped.clone());
        let batch = Batch {
            session,
            after: Head::GENESIS,
            events,
            key,
        };
        let began = Instant::now();
        let _ = store.append(batch).await.unwrap();
        alone.record(began.elapsed().as_nanos() as u64).unwrap();
    }
    stage(
        "append, alone, on the disk",
        &mut total,
        alone.value_at_quantile(0.5) as f64 / 1000.0,
    );
    stage("sum", &mut 0.0, total);
}

fn load(place: &Place) -> Arc<Policy> {
    let url = place.read_url.clone();
    let finish = |policy: &mut Policy| {
        let rules = MaskingRules {
            key: [9; 32],
            ..policy.masking_rules.clone()
        };
        policy.masking = Masking::compile(rules).map_err(|error| error.to_string())?;
        Ok(())
    };
    let source = Source::new(&place.policy)
        .with_finish(Box::new(finish))
        .with_secrets(Box::new(move |_| Ok(Some(url.clone()))));
    let catalog = Catalog::load_from(source).unwrap();
    catalog.snapshot().policy.clone()
}
