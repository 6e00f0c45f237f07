//! The only place that names a port and its implementation together.
//!
//! `serve` and `dev` differ in two things alone: where the configuration comes from, and that `dev` has a token issuer
//! of its own, which needs [`LoopbackOnly`], which `serve` never makes.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::Request};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{ServiceExt, service_fn};

use crate::{
    api::{self, Api},
    auth::{
        AuthConfigError, Authenticator,
        dev::{DISCOVERY_PATH, DevIssuer, DevIssuerError, JWKS_PATH, LoopbackOnly},
    },
    bus::{Address, BadAddress, Broker, Bus, InProcess, Incoming, Receiver, Settlement},
    catalog::{Catalog, LoadError, Secrets, Snapshot, Source, Watcher},
    config::{Config, KeysPlace, RecordPlace, Secret},
    domain::{
        connection::Access,
        id::Entropy,
        masking::{Masking, MaskingRules},
        policy::Policy,
    },
    gateway::{
        Gateway, Parts, Ports,
        keyring::WrapError,
        ports::{Clock, EventStore},
        seal::{ExportKey, SealError, Sealer},
    },
    identity::{self, NoToken},
    mcp::{self, BadSite, Mcp, Site},
    store::{Cosmos, CosmosAccount, OpenError, Record, Sqlite},
    targets::{BadEndpoint, LiveTargets, TargetEndpoint},
    vault::{BadVault, Vault, VaultKey},
};

mod privileges;

pub use privileges::Finding;

/// How long a secret from a vault is used before it is looked up again.
const SECRETS_FOR: Duration = Duration::from_secs(10 * 60);
/// How often the timer looks for what is due.
const RECONCILE_EVERY: Duration = Duration::from_secs(1);
/// How long a caller waits for the gateway to be ready.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long what was begun may take to end when the gateway stops.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The real world behind the ports.
#[derive(Debug)]
pub struct Live;

impl Ports for Live {
    type Store = Record;
    type Bus = Bus;
    type Targets = LiveTargets;
    type Clock = SystemClock;
}

/// The machine's clock and random bytes.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn entropy(&self) -> Entropy {
        let mut bytes = Entropy::default();
        // Fails only if the machine has no randomness at all; then nothing this process does is safe.
        if aws_lc_rs::rand::fill(&mut bytes).is_err() {
            tracing::error!("this machine gives no random bytes");
            std::process::abort();
        }
        bytes
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is not to be had.
    #[error(
        "cannot listen on {0}: {1}; another process may have the port: choose another with PORTCULLIS_LISTEN, or with --port for `dev`"
    )]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The data folder cannot be used.
    #[error("cannot use the data folder {0}: {1}")]
    Data(PathBuf, #[source] std::io::Error),
    /// No policy, no start.
    #[error("the policy cannot be used:\n{0}")]
    Policy(#[from] LoadError),
    /// The policy names nobody whose tokens count.
    #[error("the policy names no issuer, so nobody could ask: add `identity.issuers`")]
    NoIssuer,
    /// An issuer cannot be trusted as configured.
    #[error(transparent)]
    Auth(#[from] AuthConfigError),
    /// The local issuer cannot be used.
    #[error(transparent)]
    DevIssuer(#[from] DevIssuerError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(SealError),
    /// The record cannot be used.
    #[error(transparent)]
    Record(#[from] OpenError),
    /// There is nobody to be in Azure.
    #[error("PORTCULLIS_COSMOS: there is no identity to reach it as: {0}")]
    Identity(#[from] NoToken),
    /// The account's address cannot be used.
    #[error("PORTCULLIS_COSMOS: {0}; write it like https://ACCOUNT.documents.azure.com/")]
    Account(String),
    /// The vault's key cannot be used.
    #[error("PORTCULLIS_SEALING_KEY: {0}")]
    SealingKey(#[source] BadVault),
    /// The vault of secrets cannot be used.
    #[error("PORTCULLIS_KEY_VAULT: {0}")]
    KeyVault(#[source] BadVault),
    /// The vault does not give the keys.
    #[error(
        "PORTCULLIS_SEALING_KEY: the keys cannot be had: {0}; the gateway's identity needs the right to read the key, to wrap and to unwrap (Key Vault Crypto Service Encryption User)"
    )]
    Vault(#[source] WrapError),
    /// A bug: it stopped in the middle.
    #[error("the policy could not be loaded: {0}")]
    Broken(#[source] tokio::task::JoinError),
    /// The message broker's address cannot be used.
    #[error("PORTCULLIS_SERVICE_BUS: {0}")]
    Bus(#[from] BadAddress),
    /// The address from outside cannot be one.
    #[error("PORTCULLIS_PUBLIC_URL or PORTCULLIS_SCOPES: {0}")]
    Site(#[from] BadSite),
    /// A target cannot be used.
    #[error(transparent)]
    Target(#[from] BadEndpoint),
}

impl From<SealError> for StartError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Vault(error) => Self::Vault(error),
            error => Self::Keys(error),
        }
    }
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    gateway: Arc<Gateway<Live>>,
    stopping: CancellationToken,
    /// The listener ended, and not because it was told to.
    deaf: CancellationToken,
    background: TaskTracker,
}

/// Why a gateway stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// It could not go on.
    Itself,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until this process is told to end, then stops.
    pub async fn until_signal(self) -> Ended {
        let ended = tokio::select! {
            () = signal() => Ended::Told,
            () = self.deaf.cancelled() => Ended::Itself,
        };
        tracing::info!("stopping: no new requests, waiting for what has begun");
        self.stop().await;
        ended
    }

    /// Takes no new requests, waits for what has begun, closes the record.
    pub async fn stop(self) {
        self.stopping.cancel();
        if !self.gateway.stop(STOP_LIMIT).await {
            tracing::warn!("not everything ended in time; the next start finds it");
        }
        self.background.close();
        // Bounded: a caller that holds its connection open does not hold the process.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.background.wait()).await;
    }
}

/// Starts the gateway of `config`. The port opens first; until the rest is ready, callers are told so.
pub async fn serve(config: &Config) -> Result<Running, StartError> {
    let front = Front::open(config.listen).await?;
    let (store, keys) = match &config.record {
        RecordPlace::Folder { data, keys } => (record_in(data)?, keys_in(keys)?),
        RecordPlace::Cosmos {
            account,
            database,
            keys,
        } => {
            let endpoint = account.parse();
            let cosmos = Arc::new(Cosmos::new(CosmosAccount {
                endpoint: endpoint.map_err(|error| StartError::Account(format!("{error}")))?,
                database: database.clone(),
                credential: identity::credential()?,
            }));
            let keys = match keys {
                KeysPlace::Folder(folder) => keys_in(folder)?,
                KeysPlace::Vault(key) => {
                    let wrapper = VaultKey::at(key).map_err(StartError::SealingKey)?;
                    Sealer::shared(Arc::new(wrapper), Arc::clone(&cosmos) as _).await?
                }
            };
            (Record::Shared(cosmos), keys)
        }
    };
    let source = source(&config.policy, config.key_vault.as_deref())?;
    let parts = Assembly::new(store, keys, source).await?;
    let issuers = parts.catalog.snapshot().policy.issuers.clone();
    if issuers.is_empty() {
        return Err(StartError::NoIssuer);
    }
    let auth = Authenticator::new(issuers)?;
    let way = Way::of(config)?;
    let doors = match &config.public_url {
        Some(address) => {
            let site = Site::new(address, &config.scopes)?;
            Doors {
                address: site.address().to_owned(),
                site,
                documents: Vec::new(),
            }
        }
        None => Doors {
            site: front.site(&config.scopes)?,
            address: String::new(),
            documents: Vec::new(),
        },
    };
    parts.start(front, auth, &config.instance, way, doors)
}

/// What is found at the doors besides the pipeline.
struct Doors {
    /// For clients of MCP, which have to be told some address.
    site: Site,
    /// The gateway's from outside; empty: not known, and whoever calls has found it.
    address: String,
    /// Public documents, by path.
    documents: Vec<(String, serde_json::Value)>,
}

/// How approvers are told and heard beside the API, and who says that time has passed.
struct Way {
    bus: Bus,
    /// Fetches their answers, where nobody brings them.
    receiver: Option<Receiver>,
    /// The Functions host brings answers, and the time.
    hosted: bool,
}

impl Way {
    fn of(config: &Config) -> Result<Self, BadAddress> {
        let address = |text: &Secret| Address::parse(text.expose());
        let broker = config.service_bus.as_ref();
        Ok(Self {
            bus: match broker {
                Some(text) => Bus::Broker(Box::new(Broker::new(address(text)?))),
                None => Bus::InProcess(InProcess::default()),
            },
            receiver: match broker.filter(|_| !config.hosted) {
                Some(text) => Some(Receiver::new(address(text)?)),
                None => None,
            },
            hosted: config.hosted,
        })
    }

    /// Everything in this process.
    fn inside() -> Self {
        Self {
            bus: Bus::InProcess(InProcess::default()),
            receiver: None,
            hosted: false,
        }
    }
}

/// Starts the embedded gateway: the same, with an issuer of its own, on loopback.
pub async fn dev(listen: SocketAddr, data: &Path, policy: &Path) -> Result<Running, StartError> {
    let front = Front::open(listen).await?;
    // The record's lock first: a second start in the same folder must not move the issuer of the first.
    let (store, keys) = (record_in(data)?, keys_in(data)?);
    let parts = Assembly::new(store, keys, Source::new(policy)).await?;
    let issuer = DevIssuer::open(data, LoopbackOnly::prove(front.address)?)?;
    let issuers = parts.catalog.snapshot().policy.issuers.clone();
    let auth = Authenticator::new(issuers)?.with_local_keys(&issuer)?;
    let documents = vec![
        (DISCOVERY_PATH.to_owned(), issuer.discovery()),
        (JWKS_PATH.to_owned(), issuer.jwks()),
    ];
    let doors = Doors {
        site: front.site(&[])?,
        address: String::new(),
        documents,
    };
    parts.start(front, auth, "dev", Way::inside(), doors)
}

/// Asks the servers of the policy at `path` what its read credentials could do beyond reading, and whether they can be
/// reached at all. Its secrets are those that `serve` would find, in the environment and in the vault. Empty: nothing is to
/// be mended.
pub async fn check_credentials(
    path: &Path,
    key_vault: Option<&str>,
) -> Result<Vec<Finding>, StartError> {
    let snapshot = loaded(source(path, key_vault)?).await?.snapshot();
    let targets = LiveTargets::new();
    targets.configure(endpoints(&snapshot))?;
    Ok(privileges::findings(&targets, &snapshot.policy).await)
}

/// The listening port, and what answers on it before and after everything is ready.
struct Front {
    address: SocketAddr,
    ready: watch::Sender<Option<Router>>,
    stopping: CancellationToken,
    deaf: CancellationToken,
    background: TaskTracker,
}

impl Front {
    async fn open(listen: SocketAddr) -> Result<Self, StartError> {
        let failed = |error| StartError::Listen(listen, error);
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let ready = watch::Sender::new(None::<Router>);
        let (stopping, background) = (CancellationToken::new(), TaskTracker::new());
        let starting = api::starting();
        let waiting = ready.subscribe();
        let answer = service_fn(move |request: Request| {
            let (mut waiting, starting) = (waiting.clone(), starting.clone());
            async move {
                // Whoever asks how it is gets an answer at once. Others wait: the Functions host would deliver a message
                // that is sent away again at once, ten times, and then give it up.
                let patience = match request.uri().path() {
                    "/" | "/healthz" => Duration::ZERO,
                    _ => START_LIMIT,
                };
                let ready = waiting.wait_for(Option::is_some);
                let ready = tokio::time::timeout(patience, ready).await;
                let router = ready.ok().and_then(|ready| ready.ok()?.clone());
                router.unwrap_or(starting).oneshot(request).await
            }
        });
        let deaf = CancellationToken::new();
        let (stop, ended) = (stopping.clone(), deaf.clone());
        background.spawn(async move {
            let front = Router::new().fallback_service(answer);
            let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
                // Answers are small; waiting to fill a packet would only add to their latency.
                let _ = stream.set_nodelay(true);
            });
            let served = axum::serve(listener, front)
                .with_graceful_shutdown(stop.clone().cancelled_owned())
                .await;
            if !stop.is_cancelled() {
                tracing::error!(?served, "the listener ended");
                ended.cancel();
            }
        });
        Ok(Self {
            address,
            ready,
            stopping,
            deaf,
            background,
        })
    }

    /// Where it is found by whoever is on this machine.
    fn site(&self, scopes: &[String]) -> Result<Site, BadSite> {
        let mut address = self.address;
        if !address.ip().is_loopback() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        Site::new(&format!("http://{address}"), scopes)
    }
}

/// Everything but the listener and the identity.
struct Assembly {
    catalog: Arc<Catalog>,
    store: Record,
    targets: LiveTargets,
    sealer: Sealer,
    export_key: ExportKey,
}

impl Assembly {
    async fn new(
        store: Record,
        (sealer, export_key): (Sealer, ExportKey),
        source: Source,
    ) -> Result<Self, StartError> {
        let masking_key = sealer.masking_key()?;
        // A sealed result is a third larger, and what is on record with it has to fit in as well.
        let most_result = store.most_bytes().map(|bytes| bytes as u64 * 5 / 8);
        let finish = move |policy: &mut Policy| {
            if let Some(most) = most_result.filter(|most| *most < policy.record.max_result) {
                tracing::warn!(
                    max_result = policy.record.max_result,
                    "`record.max_result` is more than this record takes: results larger than {most} bytes are not kept"
                );
                policy.record.max_result = most;
            }
            policy.masking = Masking::compile(MaskingRules {
                key: *masking_key,
                ..policy.masking_rules.clone()
            })
            .map_err(|error| error.to_string())?;
            Ok(())
        };
        let catalog = loaded(source.with_finish(Box::new(finish))).await?;
        let targets = LiveTargets::new();
        targets.configure(endpoints(&catalog.snapshot()))?;
        Ok(Self {
            catalog,
            store,
            targets,
            sealer,
            export_key,
        })
    }

    fn start(
        self,
        front: Front,
        auth: Authenticator,
        instance: &str,
        way: Way,
        doors: Doors,
    ) -> Result<Running, StartError> {
        let Self {
            catalog,
            store,
            targets,
            sealer,
            export_key,
        } = self;
        let Front {
            address,
            ready,
            stopping,
            deaf,
            background,
        } = front;
        let Way {
            bus,
            receiver,
            hosted,
        } = way;
        let Doors {
            site,
            address: outside,
            documents,
        } = doors;
        let auth = Arc::new(auth);
        let current = Arc::clone(&catalog);
        let gateway = Gateway::new(Parts {
            store,
            bus,
            targets,
            clock: SystemClock,
            policy: Arc::new(move || Arc::clone(&current.snapshot().policy)),
            sealer,
            export_key,
            source: "portcullis".into(),
            instance: instance.into(),
        });
        background.spawn(Watcher::new(Arc::clone(&catalog)).run(stopping.clone()));
        let changes = follow_policy(catalog, Arc::clone(&auth), Arc::clone(&gateway));
        let stop = stopping.clone();
        background.spawn(async move { stop.run_until_cancelled(changes).await });
        let api = Arc::new(Api {
            gateway: Arc::clone(&gateway),
            auth: Arc::clone(&auth),
            address: outside,
            documents,
        });
        let mcp = Mcp {
            gateway: Arc::clone(&gateway),
            auth,
            site,
        };
        let mut router = api::router(Arc::clone(&api)).merge(mcp::router(mcp));
        if hosted {
            router = router.merge(api::triggers(Arc::clone(&api)));
        } else {
            background.spawn(Arc::clone(&gateway).keep_reconciling(RECONCILE_EVERY));
        }
        if let Some(receiver) = receiver {
            background.spawn(receiver.run(
                move |message| settled(Arc::clone(&api), message),
                stopping.clone(),
            ));
        }
        // Set once: this is the only place that does.
        ready.send_replace(Some(router));
        tracing::info!(%address, "listening");
        Ok(Running {
            address,
            gateway,
            stopping,
            deaf,
            background,
        })
    }
}

/// What becomes of an answer that a receiver fetched.
async fn settled(api: Arc<Api<Live>>, Incoming { body, enqueued }: Incoming) -> Settlement {
    match api.take_decision(&body, enqueued).await {
        Ok(_) => Settlement::Complete,
        Err(error) => Settlement::Abandon(error.to_string()),
    }
}

/// Gives identity and targets what a new policy says about them, and says in the log which read credential could do
/// more than read.
async fn follow_policy(
    catalog: Arc<Catalog>,
    auth: Arc<Authenticator>,
    gateway: Arc<Gateway<Live>>,
) {
    let mut changes = catalog.changes();
    let mut policy = Arc::clone(&catalog.snapshot().policy);
    loop {
        let asking = async {
            privileges::warn(gateway.targets(), &policy).await;
            std::future::pending().await
        };
        // Another policy is not kept waiting by a server that takes its time.
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return;
            },
            () = asking => {}
        }
        let snapshot = Arc::clone(&changes.borrow_and_update());
        if let Err(error) = auth.reload(snapshot.policy.issuers.clone()) {
            tracing::error!(%error, "the new policy's issuers are not used, the former ones stay");
        }
        if let Err(error) = gateway.targets().configure(endpoints(&snapshot)) {
            tracing::error!(%error, "the new policy's addresses are not used, the former ones stay");
        }
        policy = Arc::clone(&snapshot.policy);
    }
}

fn endpoints(snapshot: &Snapshot) -> Vec<TargetEndpoint> {
    let mut endpoints = Vec::new();
    for connection in snapshot.policy.connections.values() {
        for access in [Access::Read, Access::Write] {
            if let Some(resolved) = snapshot.endpoints.get(&connection.name, access) {
                endpoints.push(TargetEndpoint {
                    name: connection.name.clone(),
                    kind: connection.kind,
                    access,
                    endpoint: resolved.clone(),
                });
            }
        }
    }
    endpoints
}

/// The keys in the files of a folder, made if there are none.
fn keys_in(folder: &Path) -> Result<(Sealer, ExportKey), StartError> {
    private_folder(folder).map_err(|error| StartError::Data(folder.into(), error))?;
    let sealer = Sealer::open_or_create(&folder.join("master.key"))?;
    Ok((
        sealer,
        ExportKey::open_or_create(&folder.join("export.key"))?,
    ))
}

/// Where the policy at `path` comes from, and its secrets.
fn source(path: &Path, key_vault: Option<&str>) -> Result<Source, StartError> {
    let source = Source::new(path);
    let Some(vault) = key_vault else {
        return Ok(source);
    };
    let vault = Vault::at(vault).map_err(StartError::KeyVault)?;
    let source = source.with_secrets(secrets_of(vault));
    Ok(source.with_refresh(SECRETS_FOR))
}

/// Loads it. Secrets may be on the other side of a network.
async fn loaded(source: Source) -> Result<Arc<Catalog>, StartError> {
    let loading = tokio::task::spawn_blocking(|| Catalog::load_from(source));
    Ok(loading.await.map_err(StartError::Broken)??)
}

/// Secrets from the environment, and where that has none, from `vault`. Called on threads that may wait.
fn secrets_of(vault: Vault) -> Secrets {
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |name| match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(_) => {
            let found = runtime.block_on(vault.secret(name));
            let found = found.map_err(|error| error.to_string())?;
            Ok(found.map(|value| value.to_string()))
        }
    })
}

fn record_in(folder: &Path) -> Result<Record, StartError> {
    private_folder(folder).map_err(|error| StartError::Data(folder.into(), error))?;
    Ok(Record::File(Sqlite::open(&folder.join("record.db"))?))
}

/// Makes the folder, for its owner alone.
fn private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    let mut permissions = std::fs::metadata(path)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o700);
        std::fs::set_permissions(path, permissions)?;
    }
    Ok(())
}

/// Ctrl-C, or the end of the machine.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        // Without the handler the default stands: the process ends at once, and the next start reconciles.
        Err(_) => std::future::pending().await,
    }
}
