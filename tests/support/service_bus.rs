//! A stand-in for Azure Service Bus with claims-based security: `tests/service-bus/broker.mjs`. It ends when its stdin closes.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::postgres::certificates;

/// What its identity endpoint wants to hear.
const HEADER: &str = "only this app knows it";

/// The stand-in, running.
pub(crate) struct ServiceBus {
    port: u16,
    identity: String,
    authority: PathBuf,
    commands: ChildStdin,
    lines: mpsc::Receiver<Value>,
    seen: Vec<Value>,
    child: Child,
    _folder: TempDir,
}

impl ServiceBus {
    pub(crate) fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service-bus");
        assert!(
            root.join("node_modules/rhea").is_dir(),
            "the stand-in for Service Bus is not installed: run tests/install"
        );
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let mut child = Command::new("node")
            .arg(root.join("broker.mjs"))
            .arg(folder.path().join("server.crt"))
            .arg(folder.path().join("server.key"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is not installed: run tests/install");
        let (told, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = told.send(serde_json::from_str(&line).unwrap());
            }
        });
        let mut bus = Self {
            port: 0,
            identity: String::new(),
            authority: fs::canonicalize(folder.path().join("authority.crt")).unwrap(),
            commands: child.stdin.take().unwrap(),
            lines,
            seen: Vec::new(),
            child,
            _folder: folder,
        };
        let ready = bus.until(|event| event["port"].is_u64());
        bus.port = ready["port"].as_u64().unwrap().try_into().unwrap();
        bus.identity = ready["identity"].as_str().unwrap().to_owned();
        bus
    }

    /// What a gateway has to be told to use it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "PORTCULLIS_SERVICE_BUS",
                format!("amqps://localhost:{}", self.port),
            ),
            ("IDENTITY_ENDPOINT", self.identity.clone()),
            ("IDENTITY_HEADER", HEADER.to_owned()),
            ("SSL_CERT_FILE", self.authority.display().to_string()),
        ]
    }

    /// Tells it something, and waits until that is done.
    pub(crate) fn command(&mut self, command: Value) {
        let name = command.as_object().unwrap().keys().next().unwrap().clone();
        writeln!(self.commands, "{command}").unwrap();
        self.until(|event| event["done"] == name.as_str());
    }

    /// A message for one of its queues.
    pub(crate) fn put(&mut self, queue: &str, id: &str, body: &[u8]) {
        self.put_with(queue, id, body, &json!({}));
    }

    /// The same with properties of the application. It is in the session of this id's beginning, up to its first `-`.
    pub(crate) fn put_with(&mut self, queue: &str, id: &str, body: &[u8], properties: &Value) {
        let body = std::str::from_utf8(body).unwrap();
        let session = id.split('-').next();
        let put = json!({"queue": queue, "id": id, "body": body, "properties": properties, "session": session});
        self.command(json!({"put": put}));
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&mut self) -> usize {
        self.count(|event| event["connected"] == true)
    }

    /// How many such events there were so far, of those nobody has waited for.
    pub(crate) fn count(&mut self, is: impl Fn(&Value) -> bool) -> usize {
        self.command(json!({"count": true}));
        self.seen.iter().filter(|event| is(event)).count()
    }

    /// Waits for the next event that is one of those.
    #[track_caller]
    pub(crate) fn until(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            if let Some(at) = self.seen.iter().position(&is) {
                return self.seen.remove(at);
            }
            let left = Duration::from_secs(40).checked_sub(began.elapsed());
            let event = left.and_then(|left| self.lines.recv_timeout(left).ok());
            match event {
                Some(event) => self.seen.push(event),
                None => panic!("it never happened; this did: {:#?}", self.seen),
            }
        }
    }
}

impl Drop for ServiceBus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
