//! A real PostgreSQL server for the tests: one per test process, on a free port, in a folder of its own.
//!
//! It ends with the test process however that ends: its keeper is a shell that reads from a pipe only we hold, and the
//! end of the pipe is the end of the server and its folder.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_postgres::NoTls;

/// The password of every role. It has in it what a URL must escape.
pub(crate) const PASSWORD: &str = "p/w d@%41?#:";
const PASSWORD_IN_URL: &str = "p%2Fw%20d%40%2541%3F%23%3A";

/// The server.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// Authority that signed the server's certificate for `localhost`.
    pub(crate) authority: PathBuf,
    /// An authority that did not.
    pub(crate) stranger: PathBuf,
    _keeper: ChildStdin,
}

/// A database of its own, with a role that may read and one that owns it.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) reader: String,
    pub(crate) writer: String,
}

/// A fresh, empty database.
pub(crate) async fn database() -> Database {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let database = Database {
        name: format!("db{number}"),
        reader: format!("reader{number}"),
        writer: format!("writer{number}"),
    };
    let admin = connect(&url("postgres", "postgres")).await;
    let Database {
        name,
        reader,
        writer,
    } = &database;
    for statement in [
        format!("CREATE ROLE {reader} LOGIN PASSWORD '{PASSWORD}'"),
        format!("CREATE ROLE {writer} LOGIN PASSWORD '{PASSWORD}'"),
        format!("CREATE DATABASE {name} OWNER {writer}"),
    ] {
        admin.batch_execute(&statement).await.unwrap();
    }
    let inside = connect(&database.admin_url()).await;
    inside
        .batch_execute(&format!(
            "ALTER SCHEMA public OWNER TO {writer};
             GRANT USAGE ON SCHEMA public TO {reader};
             ALTER DEFAULT PRIVILEGES FOR ROLE {writer} GRANT SELECT ON TABLES TO {reader}"
        ))
        .await
        .unwrap();
    database
}

impl Database {
    pub(crate) fn read_url(&self) -> String {
        url(&self.reader, &self.name)
    }

    pub(crate) fn write_url(&self) -> String {
        url(&self.writer, &self.name)
    }

    /// As the superuser, who exists in tests only.
    pub(crate) fn admin_url(&self) -> String {
        url("postgres", &self.name)
    }

    /// Another client, of another make, as the owner.
    pub(crate) async fn owner(&self) -> tokio_postgres::Client {
        connect(&self.write_url()).await
    }

    /// Another client, with the credential for reading.
    pub(crate) async fn reader(&self) -> tokio_postgres::Client {
        connect(&self.read_url()).await
    }

    /// Another client, as the superuser.
    pub(crate) async fn admin(&self) -> tokio_postgres::Client {
        connect(&self.admin_url()).await
    }

    /// Runs statements as the owner.
    pub(crate) async fn prepare(&self, statements: &str) {
        self.owner().await.batch_execute(statements).await.unwrap();
    }
}

fn url(user: &str, database: &str) -> String {
    let port = server().port;
    format!("postgres://{user}:{PASSWORD_IN_URL}@127.0.0.1:{port}/{database}")
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The one server of this process, started by whoever asks first.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start)
}

#[expect(
    clippy::zombie_processes,
    reason = "it lives for as long as this process, and ends with it"
)]
fn start() -> Server {
    let (postgres, initdb) = (binary("postgres"), binary("initdb"));
    let folder = tempfile::Builder::new()
        .prefix("portcullis-postgres-")
        .tempdir()
        .unwrap()
        .keep();
    let user = unprivileged_user();
    let data = folder.join("data");
    fs::write(folder.join("password"), PASSWORD).unwrap();
    certificates(&folder);
    if let Some(user) = &user {
        run(Command::new("chown").args(["-R", user]).arg(&folder));
    }
    run(as_user(&user, &initdb)
        .args(["--no-sync", "--auth=scram-sha-256", "--username=postgres"])
        .args(["--encoding=UTF8", "--locale=C.UTF-8", "-D"])
        .arg(&data)
        .arg(format!(
            "--pwfile={}",
            folder.join("password").to_str().unwrap()
        )));
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let settings = format!(
        "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = on\n\
         shared_buffers = 32MB\nmax_connections = 200\nmax_prepared_transactions = 5\n\
         lc_messages = 'C'\nlogging_collector = off\n\
         ssl = on\nssl_cert_file = '../server.crt'\nssl_key_file = '../server.key'\n"
    );
    let file = data.join("postgresql.conf");
    fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap()
        .write_all(settings.as_bytes())
        .unwrap();
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut served = as_user(&user, &postgres);
    served.arg("-D").arg(&data);
    // The server is the shell's child; the shell waits for the end of its input, which is our end.
    let mut keeper = Command::new("sh")
        .arg("-c")
        .arg(
            "trap '' INT; folder=$1; shift; \"$@\" & server=$!; read _; kill -QUIT $server; wait $server; rm -rf \"$folder\"",
        )
        .arg("keeper")
        .arg(&folder)
        .arg(served.get_program())
        .args(served.get_args())
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let server = Server {
        port,
        authority: folder.join("authority.crt"),
        stranger: folder.join("stranger.crt"),
        _keeper: keeper.stdin.take().unwrap(),
    };
    wait_until_ready(port, &folder.join("log"));
    server
}

/// A server that is up answers a request for TLS; one that is not refuses the connection, or answers once it is.
fn wait_until_ready(port: u16, log: &Path) {
    let began = Instant::now();
    let ready = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        Ok(answer[0] == b'S')
    };
    let started = || fs::read_to_string(log).is_ok_and(|log| log.contains("ready to accept"));
    while !(started() && ready().unwrap_or(false)) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "PostgreSQL did not start: {}",
            fs::read_to_string(log).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn binary(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/local/bin".into());
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<PathBuf> = versions.flatten().map(|entry| entry.path()).collect();
        versions.sort();
        folders.extend(
            versions
                .into_iter()
                .rev()
                .map(|version| version.join("bin")),
        );
    }
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("`{name}` of PostgreSQL was not found: run tests/install"))
}

/// Database servers refuse to run as root.
pub(crate) fn unprivileged_user() -> Option<String> {
    let id = |user: &[&str]| {
        let output = Command::new("id").arg("-u").args(user).output().unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    if id(&[]).as_deref() != Some("0") {
        return None;
    }
    let user = ["postgres", "nobody"]
        .into_iter()
        .find(|user| id(&[user]).is_some());
    Some(
        user.expect("a user `postgres` or `nobody` to run PostgreSQL as")
            .to_owned(),
    )
}

pub(crate) fn as_user(user: &Option<String>, program: &Path) -> Command {
    match user {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", user, "--clear-groups", "--"])
                .arg(program);
            command
        }
    }
}

/// An authority, a certificate it signed for `localhost`, and an authority that signed nothing here.
pub(crate) fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        run(Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder));
    };
    for name in ["authority", "stranger"] {
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN={name} -keyout {name}.key -out {name}.crt"
        ));
    }
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
         -subj /CN=localhost -keyout server.key -out server.csr",
    );
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2 \
         -extfile names -out server.crt",
    );
    fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) fn run(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: run tests/install"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
