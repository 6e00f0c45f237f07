//! A real OpenSSH server on a free loopback port, with keys of its own, for the account that runs the tests. It ends with
//! the test process however that ends, as PostgreSQL does.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

const PROGRAM: &str = "/usr/sbin/sshd";

/// The server.
pub(crate) struct Sshd {
    pub(crate) port: u16,
    /// Its keys, and those of its users.
    pub(crate) folder: PathBuf,
    keeper: u32,
    _hold: ChildStdin,
}

impl Sshd {
    /// It lets in the keys `read` and `write`, and `certified` with its certificate; not `unknown`.
    #[expect(
        clippy::zombie_processes,
        reason = "it lives for as long as this process, and ends with it"
    )]
    pub(crate) fn start() -> Self {
        assert!(
            Path::new(PROGRAM).is_file(),
            "OpenSSH's server is not installed: run tests/install"
        );
        let folder = tempfile::Builder::new()
            .prefix("portcullis-sshd-")
            .tempdir()
            .unwrap()
            .keep();
        let at = |name: &str| folder.join(name);
        for name in ["host", "read", "write", "certified", "unknown", "authority"] {
            keygen(&["-q", "-t", "ed25519", "-N", "", "-f", text(&at(name))]);
        }
        keygen(&["-q", "-t", "ecdsa", "-N", "", "-f", text(&at("host_ecdsa"))]);
        let (authority, certified) = (at("authority"), at("certified.pub"));
        keygen(&[
            "-q",
            "-s",
            text(&authority),
            "-I",
            "test",
            "-n",
            &account(),
            text(&certified),
        ]);
        let of = |name: &str| fs::read_to_string(at(name)).unwrap();
        fs::write(at("authorized"), of("read.pub") + &of("write.pub")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let folder_text = text(&folder);
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {folder_text}/host\nHostKey {folder_text}/host_ecdsa\nPidFile none\n\
             UsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             AuthorizedKeysFile {folder_text}/authorized\nTrustedUserCAKeys {folder_text}/authority.pub\nLogLevel VERBOSE\n\
             MaxStartups 100\n"
        );
        fs::write(at("config"), config).unwrap();
        // A server of root's has a folder for those who are not in yet; a service would have made it.
        let _ = fs::create_dir_all("/run/sshd");
        // The shell waits for the end of its input, which is our end.
        let script = "\"$1\" -D -f \"$2/config\" -E \"$2/log\" & server=$!; read _; kill -TERM $server; rm -rf \"$2\"";
        let mut keeper = Command::new("sh")
            .args(["-c", script, "keeper", PROGRAM])
            .arg(&folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Self {
            port,
            folder,
            keeper: keeper.id(),
            _hold: keeper.stdin.take().unwrap(),
        };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&self) {
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "sshd did not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A file of its folder, such as a key.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    /// Ends every connection at once, as a host does that loses its power.
    pub(crate) fn cut(&self) {
        let listener = children(self.keeper).pop().unwrap();
        let connections = children(listener);
        assert!(!connections.is_empty(), "nobody is connected");
        for connection in &connections {
            // One that was about to end may be gone by now.
            let mut kill = Command::new("kill");
            kill.args(["-KILL", &connection.to_string()]);
            kill.stderr(Stdio::null()).status().unwrap();
        }
        let began = Instant::now();
        while children(listener)
            .iter()
            .any(|child| connections.contains(child))
        {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whose account it is.
pub(crate) fn account() -> String {
    let said = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// The processes that a process has started.
fn children(of: u32) -> Vec<u32> {
    let said = Command::new("ps")
        .args(["-o", "pid=", "--ppid", &of.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

fn keygen(arguments: &[&str]) {
    let made = Command::new("ssh-keygen").args(arguments).status();
    assert!(made.unwrap().success(), "{arguments:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
