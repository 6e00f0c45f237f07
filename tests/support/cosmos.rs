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

    async fn call(&self, path: &str) {
        let client = reqwest::Client::new();
        let answer = client.post(format!("{}{path}", self.address)).send().await;
        assert!(answer.unwrap().status().is_success());
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
