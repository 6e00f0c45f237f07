//! Microsoft's in-memory emulator of Cosmos DB, in a process of its own (`tests/cosmos-emulator`). It checks no credential and
//! no role: that is for the real service, and for `infra/`.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use azure_core::{
    credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions},
    time::OffsetDateTime,
};
use portcullis::store::{Cosmos, CosmosAccount};

/// What goes wrong, with transactions unless it says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// 429.
    Throttled,
    /// 503.
    Unavailable,
    /// 503, after the commit.
    Lost,
    /// No answer, after the commit.
    Silent,
    /// 403, for a write to the read model.
    Unseen,
}

pub(crate) struct Emulator {
    address: String,
    _process: Child,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `read`, `create`, `replace`, `upsert`, `batch`, `query` or `changes`, and of which container.
    pub(crate) what: String,
    items: usize,
    sent: usize,
    came: usize,
}

impl Asked {
    fn of(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse().unwrap();
        Self {
            what: format!("{} {}", words[0], words[1]),
            items: number(2),
            sent: number(3),
            came: number(4),
        }
    }

    /// What Azure would charge for it, in request units. The emulator's own charges mean nothing: this is from the figures that
    /// Microsoft publishes for documents of 1, 4 and 64 kB (Session consistency, nothing indexed; "Estimate RU/s", in between
    /// by straight lines), a third of a unit for each indexed path, twice the price for reading the latest committed version, and
    /// 2.3 for a query beside what it reads.
    pub(crate) fn charge(&self) -> f64 {
        let (operation, container) = self.what.split_once(' ').unwrap();
        let paths = match container {
            "events" => 3.0,
            "requests" => 7.0,
            _ => 0.0,
        };
        let items = self.items as f64;
        let each = |bytes: usize| bytes as f64 / items / 1024.0;
        let write = |bytes| items * (between(each(bytes), [5.0, 7.0, 48.0]) + paths / 3.0);
        let read = 2.0 * between(each(self.came), [1.0, 1.3, 10.0]);
        match operation {
            "read" | "changes" => read,
            "query" => read + 2.0 * 2.3,
            // What is replaced is found by its etag first: removed from the index, and put there again.
            "replace" => write(self.sent) + paths / 3.0,
            _ => write(self.sent),
        }
    }
}

/// The price of so many kilobytes, from those of 1, 4 and 64.
fn between(kilobytes: f64, [of_1, of_4, of_64]: [f64; 3]) -> f64 {
    let line = |from: f64, to: f64, low: f64, high: f64| {
        low + (kilobytes - from) / (to - from) * (high - low)
    };
    match kilobytes {
        ..=1.0 => of_1,
        ..=4.0 => line(1.0, 4.0, of_1, of_4),
        _ => line(4.0, 64.0, of_4, of_64),
    }
}

/// A database of one test.
pub(crate) struct Account {
    emulator: String,
    database: String,
}

/// Anyone's.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl TokenCredential for Nobody {
    async fn get_token(
        &self,
        _scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Ok(AccessToken {
            token: Secret::new("nobody"),
            expires_on: OffsetDateTime::now_utc() + azure_core::time::Duration::hours(1),
        })
    }
}

impl Emulator {
    /// One for all tests that have nothing spoilt.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Emulator> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub(crate) fn start() -> Self {
        let built =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/debug/cosmos-emulator");
        let mut process = Command::new(built)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the Cosmos DB emulator is not built: run tests/install");
        let mut address = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut address).unwrap();
        Self {
            address: address.trim().to_owned(),
            _process: process,
        }
    }

    pub(crate) async fn database(&self) -> Account {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let database = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.call(&format!("_database/{database}")).await;
        Account {
            emulator: self.address.clone(),
            database,
        }
    }

    /// From now on nobody is let in without this token.
    pub(crate) async fn wants(&self, token: &str) {
        self.call(&format!("_token/{token}")).await;
    }

    /// From now on everybody is let in.
    pub(crate) async fn wants_nothing(&self) {
        self.wants("any").await;
    }

    /// Spoils what comes next, of whichever database.
    pub(crate) async fn spoils(&self, fault: Fault, times: usize) {
        let kind = format!("{fault:?}").to_lowercase();
        self.call(&format!("_faults/{kind}/{times}")).await;
    }

    /// What it was asked since the last time.
    pub(crate) async fn asked(&self) -> Vec<Asked> {
        let said = self.call("_asked").await;
        said.lines().map(Asked::of).collect()
    }

    async fn call(&self, path: &str) -> String {
        let client = reqwest::Client::new();
        let answer = client.post(format!("{}{path}", self.address)).send().await;
        let answer = answer.unwrap();
        assert!(answer.status().is_success());
        answer.text().await.unwrap()
    }
}

impl Account {
    /// What tells a gateway of it.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 2] {
        [
            ("PORTCULLIS_COSMOS", &self.emulator),
            ("PORTCULLIS_COSMOS_DATABASE", &self.database),
        ]
    }

    /// A store of it, as another gateway would have.
    pub(crate) fn store(&self) -> Cosmos {
        Cosmos::new(CosmosAccount {
            endpoint: self.emulator.parse().unwrap(),
            database: self.database.clone(),
            credential: Arc::new(Nobody),
        })
    }
}
