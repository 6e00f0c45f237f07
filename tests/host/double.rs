//! A double of the Azure Functions host, as far as a custom handler can tell the two apart.
//!
//! Each rule names what it stands for in the host's source (azure-functions-host, 4.x, and the extensions it loads):
//! `HttpWorkerProcess`, `DefaultHttpWorkerService`, `HttpWorkerFunctionProvider`, `HttpScriptInvocationContext`, `YARP`,
//! `MessageProcessor`. What it enforces, the real one enforces; what it does not know, it does not claim.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::{Map, Value, json};

use crate::support::{
    gateway::PORTCULLIS,
    http::{self, Reply},
};

/// `customHandler.initializationTimeout`, in the host's code.
const START: Duration = Duration::from_secs(30);
/// `HttpWorkerProcess` looks whether the handler listens every 25 ms.
const POLL: Duration = Duration::from_millis(25);
/// The function timeout of the tests; `host.json` has ten minutes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The front end of Azure gives a caller 502 if no answer has begun by then, whatever the host does ("Function app timeout
/// duration" in the documentation of Functions: 230 seconds).
pub(super) const CUT: Duration = Duration::from_secs(230);
/// `ScriptConstants.DefaultMaxRequestBodySize`.
const LARGEST_BODY: usize = 100 << 20;
/// How often Service Bus delivers a message before it is dead: `maxDeliveryCount` of the queue in `infra/modules/bus.bicep`.
const DELIVERIES: u32 = 10;

/// What was deployed: the package, unzipped.
pub(super) struct App {
    root: PathBuf,
    host: Value,
    functions: BTreeMap<String, Value>,
    _keeper: ChildStdin,
}

impl App {
    /// The built program, packed with this policy and unzipped, once for all tests: nothing writes there.
    pub(super) fn deployed(policy: &str) -> &'static Self {
        static APP: OnceLock<App> = OnceLock::new();
        APP.get_or_init(|| Self::deploy(policy))
    }

    #[expect(
        clippy::zombie_processes,
        reason = "the folder's keeper lives for as long as this process, and ends with it"
    )]
    fn deploy(policy: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("portcullis-app-")
            .tempdir()
            .unwrap()
            .keep();
        let mut keeper = Command::new("sh")
            .args(["-c", "trap '' INT; read _; rm -rf \"$1\"", "keeper"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let zip = package(&folder, Path::new(PORTCULLIS), policy, "app.zip");
        let root = folder.join("wwwroot");
        let unzip = "import os, sys, zipfile\n\
            with zipfile.ZipFile(sys.argv[1]) as archive:\n\
            \x20   for entry in archive.infolist():\n\
            \x20       path = archive.extract(entry, sys.argv[2])\n\
            \x20       os.chmod(path, entry.external_attr >> 16 & 0o777)\n";
        python(&["-c", unzip, text(&zip), text(&root)]);
        let read = |path: &Path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let host: Value = read(&root.join("host.json"));
        let mut functions = BTreeMap::new();
        // HostFunctionMetadataProvider: immediate folders alone, each with a function.json.
        for entry in fs::read_dir(&root).unwrap().flatten() {
            if !entry.path().is_dir() {
                continue;
            }
            let name = entry.file_name().into_string().unwrap();
            let named = name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
            assert!(named && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name != "host");
            let nested = fs::read_dir(entry.path()).unwrap().flatten();
            assert!(
                nested.into_iter().all(|inner| inner.path().is_file()),
                "{name}: nested"
            );
            functions.insert(name, read(&entry.path().join("function.json")));
        }
        // CustomHandler: "Detected both function.json files and custom handler HTTP route configuration".
        assert!(host["customHandler"]["http"]["routes"].is_null());
        assert_eq!(host["customHandler"]["enableProxyingHttpRequest"], true);
        Self {
            root,
            host,
            functions,
            _keeper: keeper.stdin.take().unwrap(),
        }
    }

    fn bindings<'a>(&'a self, name: &str) -> Vec<&'a Value> {
        self.functions[name]["bindings"]
            .as_array()
            .unwrap()
            .iter()
            .collect()
    }

    /// The functions that no HTTP request is meant for.
    pub(super) fn triggers(&self) -> Vec<String> {
        let is_http = |name: &&String| {
            let bindings = self.bindings(name);
            bindings
                .iter()
                .any(|binding| binding["type"] == "httpTrigger")
        };
        self.functions
            .keys()
            .filter(|name| !is_http(name))
            .cloned()
            .collect()
    }

    /// The HTTP function whose route a path has, as ASP.NET routing takes it: without case, `{*rest}` for anything.
    fn http_function(&self, method: &str, path: &str) -> Option<&str> {
        let path = normalized(path)?.to_ascii_lowercase();
        let prefix = self.host["extensions"]["http"]["routePrefix"]
            .as_str()
            .unwrap();
        assert_eq!(prefix, "", "paths reach the handler as callers write them");
        let found = self.functions.keys().find(|name| {
            self.bindings(name).iter().any(|binding| {
                let Some(route) = binding["route"].as_str() else {
                    return false;
                };
                let methods = binding["methods"].as_array().unwrap();
                let method = methods.iter().any(|m| m == &method.to_ascii_lowercase());
                let path = path.trim_start_matches('/');
                let route = route.to_ascii_lowercase();
                method
                    && match route.split_once("{*") {
                        Some((start, _)) => {
                            path == start.trim_end_matches('/') || path.starts_with(start)
                        }
                        None => path == route,
                    }
            })
        })?;
        // IsHttpInAndOutFunction: with any other binding the host would not pass the request on as it is.
        let bindings = self.bindings(found);
        assert_eq!(bindings.len(), 2, "{found}");
        assert_eq!(bindings[1]["type"], "http", "{found}");
        assert_eq!(
            bindings[0]["authLevel"], "anonymous",
            "{found}: this double has no keys"
        );
        Some(found)
    }

    /// Starts a process of the handler.
    pub(super) fn start(&self, settings: &[(&str, String)]) -> Handler {
        let description = &self.host["customHandler"]["description"];
        let program = self
            .root
            .join(description["defaultExecutablePath"].as_str().unwrap());
        let arguments = description["arguments"].as_array().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let began = Instant::now();
        // HttpWorkerProcess.CreateWorkerProcess.
        let mut child = Command::new(program)
            .args(arguments.iter().map(|argument| argument.as_str().unwrap()))
            .current_dir(&self.root)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .env(
                "FUNCTIONS_CUSTOMHANDLER_WORKER_ID",
                "11111111-2222-4333-8444-555555555555",
            )
            .env("FUNCTIONS_HTTPWORKER_PORT", port.to_string())
            .env(
                "FUNCTIONS_HTTPWORKER_ID",
                "11111111-2222-4333-8444-555555555555",
            )
            .env("FUNCTIONS_APP_ROOT_PATH", &self.root)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (log, errors) = (Log::default(), Log::default());
        follow(child.stdout.take().unwrap(), &log);
        follow(child.stderr.take().unwrap(), &errors);
        let mut handler = Handler {
            child,
            port,
            log,
            errors,
            ready_after: Duration::ZERO,
        };
        // DefaultHttpWorkerService.IsWorkerReady: any answer to `GET /` counts.
        loop {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    .unwrap();
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                if answer.starts_with(b"HTTP/1.1 ") {
                    break;
                }
            }
            let ended = handler.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "the handler ended ({ended:?}): {}",
                handler.log()
            );
            assert!(
                began.elapsed() < START,
                "the handler does not listen: {}",
                handler.log()
            );
            std::thread::sleep(POLL);
        }
        handler.ready_after = began.elapsed();
        handler
    }

    /// How a process ends that cannot start, told to listen on `port`. `HttpWorkerProcess` restarts it, three times in half an
    /// hour at most, unless it ends with 0, which older hosts take for no end at all, or with 200, which they do not count.
    pub(super) fn exit_code(&self, settings: &[(&str, String)], port: u16) -> i32 {
        let description = &self.host["customHandler"]["description"];
        let arguments = description["arguments"].as_array().unwrap();
        let program = description["defaultExecutablePath"].as_str().unwrap();
        let ended = Command::new(self.root.join(program))
            .args(arguments.iter().map(|argument| argument.as_str().unwrap()))
            .current_dir(&self.root)
            .env_clear()
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        ended.status.code().unwrap()
    }

    /// A request from outside: nothing but what a route allows reaches the handler.
    pub(super) fn http(
        &self,
        handler: &Handler,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Reply> {
        self.http_within(handler, method, path, headers, body, CUT)
    }

    /// The same, with a front end that cuts after `cut`.
    pub(super) fn http_within(
        &self,
        handler: &Handler,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        cut: Duration,
    ) -> Option<Reply> {
        self.http_function(method, path.split('?').next().unwrap())?;
        if body.len() > LARGEST_BODY {
            return Some(from_the_front(413));
        }
        let headers = forwarded(headers);
        let request = http::request(method, path, &headers, body);
        // The handler sees its caller hang up: the request that the host makes for it is aborted.
        let answer = http::raw(handler.port, &request, cut);
        Some(answer.unwrap_or_else(|| from_the_front(502)))
    }

    /// What the host posts when the clock strikes for a function, and what it makes of the answer. A timer's failure is not
    /// tried again (`TimerListener`): the next strike is the next chance.
    pub(super) fn strike(&self, handler: &Handler, function: &str, strike: Strike) -> Invocation {
        let bindings = self.bindings(function);
        let [binding] = bindings[..] else {
            panic!("{function} is more than a timer");
        };
        assert_eq!(binding["type"], "timerTrigger");
        // TimerInfo, as Newtonsoft writes it; a schedule that never ran has the first moment there is, without a zone.
        let timer = json!({
            "Schedule": {"AdjustForDST": true},
            "ScheduleStatus": {
                "Last": "0001-01-01T00:00:00",
                "Next": "2026-01-01T00:00:00+00:00",
                "LastUpdated": "0001-01-01T00:00:00",
            },
            "IsPastDue": strike == Strike::PastDue,
        });
        let name = binding["name"].as_str().unwrap();
        let posted = json!({
            "Data": {name: encoded(&Argument::Object(timer))},
            "Metadata": {"sys": {"MethodName": function, "UtcNow": "2026-01-01T00:00:00Z", "RandGuid": "4e77a3c1-0000-4000-8000-000000000000"}},
        });
        self.invoke(handler, function, &posted)
    }

    /// When the clock strikes for a function between two moments, in seconds of a day.
    pub(super) fn strikes(&self, function: &str, from: u32, to: u32) -> Vec<(u32, Strike)> {
        let binding = self.bindings(function)[0];
        // NCrontab with seconds: second, minute, hour, and the rest, which no function here restricts.
        let schedule = binding["schedule"].as_str().unwrap();
        let fields: Vec<&str> = schedule.split(' ').collect();
        let [second, minute, hour, "*", "*", "*"] = fields[..] else {
            panic!("{schedule}");
        };
        let is = |field: &str, value: u32| match field.split_once('/') {
            Some(("*" | "0", every)) => value.is_multiple_of(every.parse().unwrap()),
            Some(_) => panic!("{schedule}"),
            None => field == "*" || field.parse() == Ok(value),
        };
        let due = |at: &u32| is(second, at % 60) && is(minute, at / 60 % 60) && is(hour, at / 3600);
        (from..to)
            .filter(due)
            .map(|at| (at, Strike::InTime))
            .collect()
    }

    /// The same after nobody was there from `gone` on: what was missed is made up for once, as past due, where the function
    /// has the host keep its schedule (`useMonitor`).
    pub(super) fn strikes_after(
        &self,
        function: &str,
        gone: u32,
        from: u32,
        to: u32,
    ) -> Vec<(u32, Strike)> {
        let monitored = self.bindings(function)[0]["useMonitor"] == true;
        let missed = monitored && !self.strikes(function, gone, from).is_empty();
        let past_due = missed.then_some((from, Strike::PastDue));
        past_due
            .into_iter()
            .chain(self.strikes(function, from, to))
            .collect()
    }

    /// What the host posts for a message on a Service Bus queue.
    pub(super) fn message(&self, function: &str, message: &Message) -> Value {
        let bindings = self.bindings(function);
        let [binding] = bindings[..] else {
            panic!("an output binding would have its text decoded as base64");
        };
        assert_eq!(binding["type"], "serviceBusTrigger");
        let name = binding["name"].as_str().unwrap();
        // ServiceBusTriggerBindingStrategy.
        let mut metadata = Map::new();
        for (key, value) in [
            ("DeliveryCount", json!(message.deliveries + 1)),
            ("MessageId", json!(message.id)),
            ("SessionId", json!(message.session)),
            ("LockToken", json!("4e77a3c1-0000-4000-8000-000000000000")),
            ("ContentType", json!("application/json")),
            ("SequenceNumber", json!(message.deliveries + 1)),
        ] {
            metadata.insert(key.into(), encoded(&Argument::Other(value)));
        }
        // Dates come without a zone as well; objects of .NET that have no JSON are empty.
        for (key, value) in [
            ("ExpiresAtUtc", json!("1999-10-12T20:13:49")),
            (
                "EnqueuedTimeUtc",
                json!(message.enqueued.to_string().trim_end_matches('Z')),
            ),
            (
                "EnqueuedTime",
                json!(message.enqueued.to_string().replace('Z', "+00:00")),
            ),
            ("MessageReceiver", json!({})),
            ("SessionActions", json!({})),
            (
                "Client",
                json!({"FullyQualifiedNamespace": "ns", "IsClosed": false}),
            ),
            (
                "ApplicationProperties",
                json!({"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}),
            ),
        ] {
            metadata.insert(key.into(), value);
        }
        metadata.insert(
            "sys".into(),
            json!({"MethodName": function, "UtcNow": "2026-01-01T00:00:00Z"}),
        );
        let data = if binding["dataType"] == "binary" {
            Argument::Bytes(message.body.clone())
        } else {
            // Utility.ApplyBindingData: of a text that is JSON, every plain property goes over what the broker said.
            let text = String::from_utf8(message.body.clone()).unwrap();
            if let Ok(Value::Object(body)) = serde_json::from_str(&text) {
                for (key, value) in body.into_iter().filter(|(_, value)| !value.is_array()) {
                    metadata.insert(key, encoded(&Argument::Other(value)));
                }
            }
            Argument::Other(Value::String(text))
        };
        json!({"Data": {name: encoded(&data)}, "Metadata": metadata})
    }

    /// Posts to a function what its trigger brings, and judges the answer as the host does.
    pub(super) fn invoke(&self, handler: &Handler, function: &str, body: &Value) -> Invocation {
        assert!(self.functions.contains_key(function));
        // DefaultHttpWorkerService.ProcessDefaultInvocationRequest; an ObjectContent has no length, so it is chunked.
        let body = body.to_string();
        let mut request = format!(
            "POST /{function} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nX-Azure-Functions-InvocationId: {}\r\n\
             X-Azure-Functions-HostVersion: 4.1041.200.0\r\nUser-Agent: Azure-Functions-Host/4.1041.200.0\r\n\
             Content-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            handler.port, "22222222-2222-4333-8444-555555555555",
        );
        for part in body.as_bytes().chunks(1024) {
            request.push_str(&format!(
                "{:x}\r\n{}\r\n",
                part.len(),
                std::str::from_utf8(part).unwrap()
            ));
        }
        request.push_str("0\r\n\r\n");
        // HttpClient: SocketException.
        if TcpStream::connect(("127.0.0.1", handler.port)).is_err() {
            return Invocation::Failed("connection refused".into());
        }
        match http::raw(handler.port, request.as_bytes(), TIMEOUT) {
            None => Invocation::Failed("no answer".into()),
            Some(reply) => judged(reply.status, reply.header("content-type"), &reply.body),
        }
    }
}

/// The package of a program and a policy.
pub(super) fn package(folder: &Path, program: &Path, policy: &str, name: &str) -> PathBuf {
    let (zip, file) = (folder.join(name), folder.join("policy.yaml"));
    fs::write(&file, policy).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("functions/package");
    python(&[
        text(&script),
        text(program),
        text(&file),
        text(&zip),
        "--runs-here",
    ]);
    zip
}

fn python(arguments: &[&str]) {
    let done = Command::new("python3").args(arguments).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// What ASP.NET Core makes of a path before it looks for its route: dots are resolved, encoded ones too. `None`: refused.
fn normalized(path: &str) -> Option<String> {
    let decoded = path.replace("%2e", ".").replace("%2E", ".");
    let mut parts: Vec<&str> = Vec::new();
    for part in decoded.strip_prefix('/')?.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// YARP: path and query as they came.
pub(super) fn forward(
    handler: &Handler,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    http::call(handler.port, method, path, &forwarded(headers), body)
}

/// `Host` replaced, what came before in `X-Forwarded-*`, and the host's own headers, which nobody else can set.
fn forwarded<'a>(headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [
        (
            "X-Azure-Functions-InvocationId",
            "33333333-2222-4333-8444-555555555555",
        ),
        ("X-Azure-Functions-HostVersion", "4.1041.200.0"),
        ("x-ms-invocation-id", "33333333-2222-4333-8444-555555555555"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Host", "gateway.example"),
        ("X-Forwarded-Proto", "https"),
    ];
    let kept = headers.iter().filter(|(name, _)| {
        !own.iter()
            .any(|(other, _)| name.eq_ignore_ascii_case(other))
            && !name.eq_ignore_ascii_case("host")
    });
    own.iter().chain(kept).copied().collect()
}

/// What the caller gets without the handler.
fn from_the_front(status: u16) -> Reply {
    Reply {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}

/// Why the clock strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    InTime,
    /// Nobody was there when it should have.
    PastDue,
}

/// An argument of a function, as the host's bindings hand it over.
pub(super) enum Argument {
    Bytes(Vec<u8>),
    /// Anything that has no shape of its own in JSON.
    Other(Value),
    /// An object of .NET.
    Object(Value),
}

/// `HttpScriptInvocationContextExtensions.GetHttpScriptInvocationContextValue`.
pub(super) fn encoded(argument: &Argument) -> Value {
    match argument {
        Argument::Bytes(bytes) => Value::String(BASE64.encode(bytes)),
        Argument::Object(object) => object.clone(),
        Argument::Other(value) => Value::String(value.to_string()),
    }
}

/// What the host makes of an answer to a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Invocation {
    Succeeded,
    Failed(String),
    /// Nobody ends it before the function's time is up; then the handler is killed.
    Hangs,
}

/// `DefaultHttpWorkerService.ProcessDefaultInvocationRequest`, after the answer. A handler that is not ready (503) or has too much
/// to do (429) has failed like any other (`EnsureSuccessStatusCode`), and nobody reads when it wants to be asked again: the message
/// is abandoned, delivered again at once, and counts (`MessageProcessor.CompleteProcessingMessageAsync`). The retries on a
/// refused connection are those of what is proxied (`RetryProxyHandler`), and no trigger's.
pub(super) fn judged(status: u16, content_type: Option<&str>, body: &[u8]) -> Invocation {
    if !(200..300).contains(&status) {
        return Invocation::Failed(format!("EnsureSuccessStatusCode: {status}"));
    }
    // No content deserialises to null, and then nobody completes the invocation.
    if body.is_empty() {
        return Invocation::Hangs;
    }
    let is_json = content_type.is_some_and(|media| media.starts_with("application/json"));
    match serde_json::from_slice(body) {
        Ok(Value::Null) if is_json => Invocation::Hangs,
        Ok(Value::Object(answer)) if is_json => {
            assert!(answer.get("Outputs").is_some_and(Value::is_object));
            assert!(answer.get("Logs").is_some_and(Value::is_array));
            assert_eq!(answer.get("ReturnValue"), Some(&Value::Null));
            Invocation::Succeeded
        }
        _ => Invocation::Failed("Invalid HttpResponseMessage".into()),
    }
}

type Log = Arc<Mutex<String>>;

fn follow(stream: impl Read + Send + 'static, log: &Log) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            log.lock().unwrap().push_str(&(line + "\n"));
        }
    });
}

/// One process of the handler. It ends as the host ends it: SIGKILL, without a word.
pub(super) struct Handler {
    child: Child,
    pub(super) port: u16,
    log: Log,
    errors: Log,
    /// How long until it answered.
    pub(super) ready_after: Duration,
}

impl Handler {
    pub(super) fn log(&self) -> String {
        let (log, errors) = (self.log.lock().unwrap(), self.errors.lock().unwrap());
        format!("{log}{errors}")
    }

    /// HttpWorkerProcess: what is on standard error is an error, unless it has `warn` in it.
    pub(super) fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Process.Kill.
    pub(super) fn kill(self) {
        self.signal_kill();
    }

    /// The same while something waits for it: gone when this returns.
    pub(super) fn signal_kill(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::KILL).unwrap();
        let gone = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), gone).unwrap();
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message on a queue.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) session: String,
    pub(super) body: Vec<u8>,
    pub(super) deliveries: u32,
    /// By the broker's clock.
    pub(super) enqueued: Timestamp,
}

/// A queue of Service Bus with sessions and duplicate detection, delivered by the extension: peek-lock, completed when the
/// invocation succeeded, abandoned (which delivers again at once) when not, dead after ten deliveries.
#[derive(Default)]
pub(super) struct Queue {
    sessions: BTreeMap<String, VecDeque<Message>>,
    seen: Vec<String>,
    pub(super) dead: Vec<Message>,
    /// How far this machine's clock is behind the broker's.
    pub(super) ahead: Duration,
}

/// What happens between the handler's answer and the message's completion.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Complete,
    /// The host is gone before it completes the message: it is delivered again.
    Lost,
}

impl Queue {
    pub(super) fn put(&mut self, id: &str, session: &str, body: &[u8]) {
        if self.seen.iter().any(|seen| seen == id) {
            return;
        }
        self.seen.push(id.into());
        self.sessions
            .entry(session.into())
            .or_default()
            .push_back(Message {
                id: id.into(),
                session: session.into(),
                body: body.to_vec(),
                deliveries: 0,
                enqueued: Timestamp::now() + self.ahead,
            });
    }

    /// Delivers again and again, at once, as the host does with what it abandons, until nothing is left.
    pub(super) fn drain(
        &mut self,
        app: &App,
        handler: &Handler,
        function: &str,
    ) -> Vec<Invocation> {
        let mut all = Vec::new();
        while self.sessions.values().any(|messages| !messages.is_empty()) {
            all.extend(self.deliver(app, handler, function, After::Complete));
        }
        all
    }

    /// Delivers the first message of each session once. Returns what became of each.
    pub(super) fn deliver(
        &mut self,
        app: &App,
        handler: &Handler,
        function: &str,
        after: After,
    ) -> Vec<Invocation> {
        let mut all = Vec::new();
        for messages in self.sessions.values_mut() {
            let Some(message) = messages.front_mut() else {
                continue;
            };
            let invocation = app.invoke(handler, function, &app.message(function, message));
            // MessageProcessor.CompleteProcessingMessageAsync.
            if invocation == Invocation::Succeeded && after == After::Complete {
                messages.pop_front();
            } else {
                message.deliveries += 1;
                // MaxDeliveryCountExceeded.
                if message.deliveries >= DELIVERIES {
                    self.dead.extend(messages.pop_front());
                }
            }
            all.push(invocation);
        }
        all
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
