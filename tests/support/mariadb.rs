//! A real MariaDB server for the tests: one per test process, on a free port, in a folder of its own. It ends with the
//! test process however that ends, as the PostgreSQL one does.
//!
//! `PORTCULLIS_TEST_MYSQL=mysql://root:password@host:port` points the same tests at another MySQL or MariaDB, whose
//! account there may create databases and accounts.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{ChildStdin, Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use url::Url;

use super::postgres::{as_user, certificates, run, unprivileged_user};

/// The password of every account. It has in it what a URL must escape.
pub(crate) const PASSWORD: &str = "p/w d@%41?#:";
const PASSWORD_IN_URL: &str = "p%2Fw%20d%40%2541%3F%23%3A";

/// The server.
pub(crate) struct Server {
    admin: Url,
    /// Where the authority is that signed the server's certificate for `localhost`, and one that did not.
    pub(crate) folder: Option<PathBuf>,
    _keeper: Option<ChildStdin>,
}

/// A database of its own, with an account that may read it and one that may do everything with it.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) reader: String,
    pub(crate) writer: String,
}

/// A fresh, empty database.
pub(crate) fn database() -> Database {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let database = Database {
        name: format!("db{number}"),
        reader: format!("reader{number}"),
        writer: format!("writer{number}"),
    };
    let Database {
        name,
        reader,
        writer,
    } = &database;
    ask(
        &url(server().admin.as_str(), "mysql"),
        &format!(
            "DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4;
             DROP USER IF EXISTS {reader}, {writer};
             CREATE USER {reader} IDENTIFIED BY '{PASSWORD}';
             CREATE USER {writer} IDENTIFIED BY '{PASSWORD}';
             GRANT SELECT, SHOW VIEW ON {name}.* TO {reader};
             GRANT ALL ON {name}.* TO {writer}"
        ),
    );
    database
}

impl Database {
    pub(crate) fn read_url(&self) -> String {
        self.url_of(&self.reader)
    }

    pub(crate) fn write_url(&self) -> String {
        self.url_of(&self.writer)
    }

    /// As the superuser, who exists in tests only.
    pub(crate) fn admin_url(&self) -> String {
        url(server().admin.as_str(), &self.name)
    }

    fn url_of(&self, user: &str) -> String {
        let admin = &server().admin;
        let (host, port) = (admin.host_str().unwrap(), admin.port().unwrap_or(3306));
        format!(
            "mysql://{user}:{PASSWORD_IN_URL}@{host}:{port}/{}",
            self.name
        )
    }

    /// Runs statements as the account that may do everything, in another client; its output.
    pub(crate) fn prepare(&self, statements: &str) -> String {
        ask(&self.write_url(), statements)
    }

    /// The same as the superuser.
    pub(crate) fn admin(&self, statements: &str) -> String {
        ask(&self.admin_url(), statements)
    }

    /// The rows of a query, as the account that may do everything sees them.
    pub(crate) fn rows(&self, query: &str) -> Vec<Vec<Option<String>>> {
        let output = client(&self.write_url(), &[], query);
        assert!(output.status.success(), "{query}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let rows = text.lines();
        rows.map(|row| row.split('\t').map(unescaped).collect())
            .collect()
    }

    /// Everything the server has to say about a statement: rows, warnings, errors. Rolled back where it can be.
    pub(crate) fn tells(&self, statement: &str) -> String {
        let options = ["--show-warnings", "--init-command=SET autocommit = 0"];
        let output = client(&self.write_url(), &options, statement);
        let told = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&told).into_owned()
    }

    /// How many rows there are `of` something, as another client sees it.
    pub(crate) fn count(&self, of: &str) -> u64 {
        let counted = self.admin(&format!("SELECT COUNT(*) FROM {of}"));
        counted.trim().parse().unwrap()
    }
}

/// What the server's own client prints, without names of columns; tabs between columns.
pub(crate) fn ask(url: &str, statements: &str) -> String {
    let output = client(url, &["--raw"], statements);
    assert!(
        output.status.success(),
        "{statements}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What the server says to statements it refuses.
pub(crate) fn refused(url: &str, statements: &str) -> String {
    let output = client(url, &[], statements);
    assert!(!output.status.success(), "{statements}");
    String::from_utf8(output.stderr).unwrap()
}

fn client(url: &str, options: &[&str], statements: &str) -> Output {
    let url = Url::parse(url).unwrap();
    let password = percent_decoded(url.password().unwrap_or_default());
    Command::new("mariadb")
        .args(["--no-defaults", "--batch", "--skip-column-names"])
        .args(["--delimiter=//", "--comments", "--binary-mode"])
        .args(["--protocol=tcp", "--default-character-set=utf8mb4"])
        .args(["-h", url.host_str().unwrap(), "-u", url.username()])
        .args(["-P", &url.port().unwrap_or(3306).to_string()])
        .args(options)
        .args(["-e", statements, url.path().trim_start_matches('/')])
        .env("MYSQL_PWD", password)
        .output()
        .expect("mariadb: run tests/install")
}

/// A cell as the client escapes it.
fn unescaped(cell: &str) -> Option<String> {
    let mut characters = cell.chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('0') => '\0',
                other => other.unwrap_or('\\'),
            },
            other => other,
        });
    }
    (cell != "NULL").then_some(text)
}

fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("p={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .unwrap()
        .1
        .into_owned()
}

fn url(base: &str, database: &str) -> String {
    let mut url = Url::parse(base).unwrap();
    url.set_path(database);
    url.into()
}

/// The one server of this process, started by whoever asks first.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| match std::env::var("PORTCULLIS_TEST_MYSQL") {
        Ok(url) => Server {
            admin: Url::parse(&url).unwrap(),
            folder: None,
            _keeper: None,
        },
        Err(_) => start(),
    })
}

#[expect(
    clippy::zombie_processes,
    reason = "it lives for as long as this process, and ends with it"
)]
fn start() -> Server {
    let folder = tempfile::Builder::new()
        .prefix("portcullis-mariadb-")
        .tempdir()
        .unwrap()
        .keep();
    let user = unprivileged_user();
    let data = folder.join("data");
    certificates(&folder);
    if let Some(user) = &user {
        run(Command::new("chown").args(["-R", user]).arg(&folder));
    }
    let mut install = as_user(&user, &binary("mariadb-install-db"));
    install
        .args([
            "--no-defaults",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ])
        .args(["--innodb-log-file-size=4M", "--innodb-flush-method=nosync"])
        .arg(format!("--datadir={}", data.display()))
        .current_dir(&folder);
    run(&mut install);
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut served = as_user(&user, &binary("mariadbd"));
    served
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--socket={}", folder.join("socket").display()))
        .arg(format!("--port={port}"))
        .args([
            "--bind-address=127.0.0.1",
            "--max-connections=400",
            "--skip-log-bin",
        ])
        .args(["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M"])
        .args(["--innodb-flush-method=nosync", "--skip-name-resolve"])
        .arg(format!(
            "--ssl-cert={}",
            folder.join("server.crt").display()
        ))
        .arg(format!("--ssl-key={}", folder.join("server.key").display()));
    // The server is the shell's child; the shell waits for the end of its input, which is our end.
    let mut keeper = Command::new("sh")
        .arg("-c")
        .arg(
            "trap '' INT; folder=$1; shift; \"$@\" & server=$!; read _; kill -KILL $server; wait $server; rm -rf \"$folder\"",
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
        admin: Url::parse(&format!("mysql://root@127.0.0.1:{port}")).unwrap(),
        _keeper: keeper.stdin.take(),
        folder: Some(folder.clone()),
    };
    let began = Instant::now();
    let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
    while !log().contains("ready for connections") {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "MariaDB did not start: {}",
            log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn binary(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("`{name}` of MariaDB was not found: run tests/install"))
}
