//! The product itself: the built binary on a free loopback port, with a data folder of its own.
//!
//! A gateway ends with the test process however that ends: its keeper is a shell that reads from a pipe only we hold,
//! and the end of the pipe is the end of the gateway and its folder.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use portcullis::{auth::dev::DevIssuer, domain::principal::PrincipalKind};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    http::{self, Reply},
    openapi,
};

/// The built binary.
pub(crate) const PORTCULLIS: &str = env!("CARGO_BIN_EXE_portcullis");

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The policy most tests are written against.
pub(crate) const POLICY: &str = include_str!("policy.yaml");

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) port: u16,
    /// Its data folder, which also holds `shop.db` and `policy.yaml`.
    pub(crate) data: PathBuf,
    child: Mutex<Child>,
    keeper: Mutex<Child>,
    _hold: ChildStdin,
    log: Arc<Mutex<String>>,
    issuer: Option<DevIssuer>,
    document: OnceLock<Value>,
}

/// The `dev` gateway that tests share: whoever uses it takes rows of their own.
pub(crate) fn shared() -> &'static Gateway {
    static SHARED: OnceLock<Gateway> = OnceLock::new();
    SHARED.get_or_init(|| Gateway::dev(POLICY))
}

/// A command of the built binary, without what this process's environment would tell it.
pub(crate) fn portcullis(arguments: &[&str]) -> Command {
    let mut command = Command::new(PORTCULLIS);
    command.args(arguments).stdin(Stdio::null());
    clean(&mut command);
    command
}

fn clean(command: &mut Command) {
    for (name, _) in std::env::vars() {
        let ours = ["PORTCULLIS_", "FUNCTIONS_", "OTEL_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if ours || name == "RUST_LOG" || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
}

/// What a finished command said.
pub(crate) trait Said {
    /// Its exit code.
    fn code(&self) -> i32;
    /// Its standard output.
    fn out(&self) -> String;
    /// Its standard error.
    fn err(&self) -> String;
}

impl Said for Output {
    fn code(&self) -> i32 {
        self.status.code().expect("an exit code, not a signal")
    }

    fn out(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("output in UTF-8")
    }

    fn err(&self) -> String {
        String::from_utf8(self.stderr.clone()).expect("errors in UTF-8")
    }
}

/// A data folder with the shop's database and this policy, `{DATABASE}` in it replaced.
pub(crate) fn folder(policy: &str) -> PathBuf {
    let data = tempfile::Builder::new()
        .prefix("portcullis-gateway-")
        .tempdir()
        .unwrap()
        .keep();
    let database = data.join("shop.db");
    fill(&Connection::open(&database).unwrap());
    let policy = policy.replace("{DATABASE}", database.to_str().unwrap());
    fs::write(data.join("policy.yaml"), policy).unwrap();
    data
}

/// Ten thousand rows in each table: every test has its own.
fn fill(database: &Connection) {
    let mut batch = String::from("PRAGMA journal_mode = WAL; BEGIN;");
    for table in ["customers", "orders", "hasty", "pairs", "releases"] {
        batch.push_str(&format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, email TEXT NOT NULL, note TEXT NOT NULL);
             WITH RECURSIVE ids (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 10000)
             INSERT INTO {table} SELECT id, 'person' || id || '@example.org', 'before' FROM ids;"
        ));
    }
    batch.push_str("COMMIT");
    database.execute_batch(&batch).unwrap();
}

impl Gateway {
    /// `portcullis dev` with this policy.
    pub(crate) fn dev(policy: &str) -> Self {
        Self::dev_in(folder(policy), &[])
    }

    /// `portcullis dev` in a folder made by [`folder`], run by `under`, such as a shell that limits it.
    pub(crate) fn dev_in(data: PathBuf, under: &[&str]) -> Self {
        Self::dev_on(0, data, under)
    }

    fn dev_on(port: u16, data: PathBuf, under: &[&str]) -> Self {
        let port = port.to_string();
        let policy = data.join("policy.yaml");
        let arguments = [
            "dev",
            "--port",
            &port,
            "--data",
            text(&data),
            "--policy",
            text(&policy),
        ];
        let mut words = [under, &[PORTCULLIS], &arguments].concat().into_iter();
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        clean(&mut command);
        let mut gateway = Self::start(command, data);
        gateway.issuer = Some(DevIssuer::of_running(&gateway.data).unwrap());
        gateway
    }

    /// `portcullis dev` as a new user starts it: with the demo's database and policy.
    pub(crate) fn demo(more: &[&str]) -> Self {
        let data = tempfile::Builder::new()
            .prefix("portcullis-gateway-")
            .tempdir()
            .unwrap()
            .keep();
        let mut command = portcullis(&["dev", "--port", "0", "--data", text(&data)]);
        command.args(more);
        Self::start(command, data)
    }

    /// Another `dev` with the data of this one, which has ended.
    pub(crate) fn again(&self) -> Self {
        let data = self.copied();
        // On the same port, which is in the name of the local issuer.
        Self::dev_on(self.port, data, &[])
    }

    /// Another `serve` with the data of this one, which has ended.
    pub(crate) fn serve_again(&self, more: &[(&str, String)]) -> Self {
        Self::serve_with(self.copied(), more)
    }

    /// A copy of its data: its own folder goes when it does.
    fn copied(&self) -> PathBuf {
        let data = tempfile::Builder::new()
            .prefix("portcullis-gateway-")
            .tempdir()
            .unwrap()
            .keep();
        let copied = Command::new("cp")
            .arg("-r")
            .arg(self.data.join("."))
            .arg(&data)
            .status();
        assert!(copied.unwrap().success());
        let policy = fs::read_to_string(data.join("policy.yaml")).unwrap();
        let policy = policy.replace(text(&self.data), text(&data));
        fs::write(data.join("policy.yaml"), policy).unwrap();
        data
    }

    /// `portcullis serve` in a folder made by [`folder`].
    pub(crate) fn serve_in(data: PathBuf) -> Self {
        Self::serve_with(data, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn serve_with(data: PathBuf, more: &[(&str, String)]) -> Self {
        Self::serve_by(portcullis(&["serve"]), data, more)
    }

    /// The same with a log for programs.
    pub(crate) fn serve_json(data: PathBuf, more: &[(&str, String)]) -> Self {
        Self::serve_by(portcullis(&["serve", "--format", "json"]), data, more)
    }

    fn serve_by(mut command: Command, data: PathBuf, more: &[(&str, String)]) -> Self {
        command.envs(more.iter().map(|(name, value)| (name, value)));
        command
            .env("PORTCULLIS_DATA", data.join("record"))
            .env("PORTCULLIS_POLICY", data.join("policy.yaml"))
            .env("PORTCULLIS_LISTEN", "127.0.0.1:0");
        Self::start(command, data)
    }

    fn start(mut command: Command, data: PathBuf) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        follow(child.stdout.take().unwrap(), &log);
        follow(child.stderr.take().unwrap(), &log);
        let mut keeper = Command::new("sh")
            .args(["-c", "read _; kill -KILL \"$1\"; rm -rf \"$2\"", "keeper"])
            .arg(child.id().to_string())
            .arg(&data)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let hold = keeper.stdin.take().unwrap();
        let mut gateway = Self {
            port: 0,
            data,
            child: Mutex::new(child),
            keeper: Mutex::new(keeper),
            _hold: hold,
            log,
            issuer: None,
            document: OnceLock::new(),
        };
        gateway.port = gateway.until_log("127.0.0.1:", |rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        });
        gateway
    }

    /// What it has logged and printed so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has logged `words`, and gives what follows them to `then`.
    #[track_caller]
    pub(crate) fn until_log<T>(&self, words: &str, then: impl FnOnce(&str) -> T) -> T {
        let began = Instant::now();
        loop {
            let log = self.log();
            if let Some((_, rest)) = log.split_once(words)
                && rest.contains('\n')
            {
                return then(rest);
            }
            let ended = self.child.lock().unwrap().try_wait().unwrap();
            assert!(
                began.elapsed() < PATIENCE && ended.is_none(),
                "`{words}` was not logged ({ended:?}): {log}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it goes on: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The shop's database, as its owner sees it.
    pub(crate) fn database(&self) -> Connection {
        let database = Connection::open(self.data.join("shop.db")).unwrap();
        database.busy_timeout(PATIENCE).unwrap();
        database
    }

    /// A row nobody else uses.
    pub(crate) fn row(&self) -> i64 {
        static NEXT: AtomicI64 = AtomicI64::new(1000);
        NEXT.fetch_add(1, Ordering::SeqCst)
    }

    /// The note of a row of `table`; `None`: the row is gone.
    pub(crate) fn note(&self, table: &str, row: i64) -> Option<String> {
        let sql = format!("SELECT note FROM {table} WHERE id = ?1");
        let database = self.database();
        let mut statement = database.prepare(&sql).unwrap();
        let mut notes = statement.query([row]).unwrap();
        notes.next().unwrap().map(|note| note.get(0).unwrap())
    }

    /// A token of the local issuer.
    pub(crate) fn token(&self, name: &str, groups: &[&str], kind: PrincipalKind) -> String {
        let issuer = self.issuer.as_ref().expect("a `dev` gateway");
        issuer
            .mint(name, groups.iter().copied(), kind, Duration::from_secs(600))
            .unwrap()
    }

    fn caller(&self, name: &str, groups: &[&str], kind: PrincipalKind) -> Caller<'_> {
        self.bearer(&self.token(name, groups, kind))
    }

    /// Whoever has this token.
    pub(crate) fn bearer(&self, token: &str) -> Caller<'_> {
        Caller {
            gateway: self,
            token: token.to_owned(),
        }
    }

    /// An agent that nobody else is, in `ai-agents`.
    pub(crate) fn agent(&self) -> Caller<'_> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        self.caller(
            &format!("bot-{number}"),
            &["ai-agents"],
            PrincipalKind::Agent,
        )
    }

    /// An agent of this name, in `ai-agents`.
    pub(crate) fn agent_named(&self, name: &str) -> Caller<'_> {
        self.caller(name, &["ai-agents"], PrincipalKind::Agent)
    }

    /// A person.
    pub(crate) fn person(&self, name: &str, groups: &[&str]) -> Caller<'_> {
        self.caller(name, groups, PrincipalKind::Human)
    }

    /// A program that is no agent.
    pub(crate) fn service(&self, name: &str) -> Caller<'_> {
        self.caller(name, &[], PrincipalKind::Service)
    }

    /// Its `/openapi.json`.
    pub(crate) fn document(&self) -> &Value {
        self.document
            .get_or_init(|| http::call(self.port, "GET", "/openapi.json", &[], b"").expect(200))
    }

    /// One call, whose answer is held against the document.
    #[track_caller]
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let reply = http::call(self.port, method, path, headers, body);
        let media_type = reply.header("content-type").unwrap_or_default();
        let fits = openapi::check(
            self.document(),
            method,
            path,
            reply.status,
            media_type,
            &reply.body,
        );
        if let Err(why) = fits {
            panic!(
                "{method} {path} -> {}: {why}: {}",
                reply.status,
                reply.text().chars().take(500).collect::<String>()
            );
        }
        reply
    }

    /// A command of the built binary, told of this gateway and whose token to use.
    pub(crate) fn cli(&self, who: &Caller<'_>, arguments: &[&str]) -> Command {
        let mut command = portcullis(arguments);
        command
            .env("PORTCULLIS_URL", format!("http://127.0.0.1:{}", self.port))
            .env("PORTCULLIS_TOKEN", &who.token);
        command
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The keeper first: it must not end a process that has its number later.
        for process in [&self.keeper, &self.child] {
            let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// Someone with a token.
pub(crate) struct Caller<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) token: String,
}

impl Caller<'_> {
    /// A GET.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    /// A POST of JSON.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, body, &[])
    }

    /// A POST of JSON, with more headers.
    #[track_caller]
    pub(crate) fn post_with(&self, path: &str, body: &Value, more: &[(&str, &str)]) -> Reply {
        let headers = [&[("Content-Type", "application/json")], more].concat();
        self.send("POST", path, &headers, body.to_string().as_bytes())
    }

    /// Anything.
    #[track_caller]
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let bearer = format!("Bearer {}", self.token);
        let headers = [&[("Authorization", bearer.as_str())], headers].concat();
        self.gateway.call(method, path, &headers, body)
    }

    /// One statement.
    #[track_caller]
    pub(crate) fn query(&self, connection: &str, sql: &str) -> Reply {
        self.query_with(connection, sql, &[])
    }

    /// One statement, with headers.
    #[track_caller]
    pub(crate) fn query_with(&self, connection: &str, sql: &str, more: &[(&str, &str)]) -> Reply {
        let path = format!("/v1/connections/{connection}/query");
        self.post_with(&path, &json!({"sql": sql}), more)
    }

    /// Asks for a statement that is held, and gives the outcome so far.
    #[track_caller]
    pub(crate) fn held(&self, sql: &str) -> Value {
        let outcome = self.query("crm", sql).expect(202);
        assert_eq!(outcome["status"], "pending_approval", "{outcome}");
        outcome
    }

    /// Answers the approval of an outcome.
    #[track_caller]
    pub(crate) fn decide(&self, outcome: &Value, decision: &str) -> Reply {
        let approval = &outcome["approval"];
        let path = format!("/v1/approvals/{}/decision", word(&approval["id"]));
        self.post(
            &path,
            &json!({"decision": decision, "digest": approval["digest"]}),
        )
    }

    /// A request as it stands.
    #[track_caller]
    pub(crate) fn request(&self, outcome: &Value) -> Reply {
        self.get(&format!("/v1/requests/{}", word(&outcome["request_id"])))
    }
}

/// A JSON string's text.
#[track_caller]
pub(crate) fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn follow(stream: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
}
