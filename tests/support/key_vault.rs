//! A stand-in for Azure Key Vault: `tests/key-vault/vault.mjs`. It ends when its stdin closes.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::postgres::certificates;

/// The stand-in, running. It has a key `sealing`, in one version.
pub(crate) struct KeyVault {
    pub(crate) address: String,
    pub(crate) authority: PathBuf,
    commands: ChildStdin,
    lines: mpsc::Receiver<Value>,
    asked: Vec<String>,
    child: Child,
    _folder: TempDir,
}

impl KeyVault {
    /// One that lets those in who bring this token.
    pub(crate) fn start(token: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/key-vault/vault.mjs");
        let mut child = Command::new("node")
            .arg(program)
            .arg(folder.path().join("server.crt"))
            .arg(folder.path().join("server.key"))
            .arg(token)
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
        let mut vault = Self {
            address: String::new(),
            authority: fs::canonicalize(folder.path().join("authority.crt")).unwrap(),
            commands: child.stdin.take().unwrap(),
            lines,
            asked: Vec::new(),
            child,
            _folder: folder,
        };
        let ready = vault.until(|event| event["port"].is_u64());
        vault.address = format!("https://localhost:{}", ready["port"]);
        vault
    }

    /// Tells it something, and waits until that is done.
    pub(crate) fn command(&mut self, name: &str, value: Value) {
        writeln!(self.commands, "{}", json!({name: value})).unwrap();
        self.until(|event| event["done"] == name);
    }

    /// What it was asked since it was last looked at.
    pub(crate) fn asked(&mut self) -> Vec<String> {
        self.command("fault", json!({"status": 0, "times": 0}));
        std::mem::take(&mut self.asked)
    }

    fn until(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.lines.recv_timeout(Duration::from_secs(20)).unwrap();
            if let Some(asked) = event["asked"].as_str() {
                self.asked.push(asked.to_owned());
            }
            if is(&event) {
                return event;
            }
        }
    }
}

impl Drop for KeyVault {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
