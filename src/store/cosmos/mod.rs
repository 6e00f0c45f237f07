//! The record in Azure Cosmos DB: several gateways on one record, none of which can change or delete an event.
//!
//! Three containers, because each needs other rights (`infra/modules/record.bicep`):
//!
//! | container | partition | document | the gateway may |
//! |---|---|---|---|
//! | `events` | `/subject`, the session | one event, named by session and sequence number | create, read |
//! | `keys` | `/session` | the wrapped key of one session; in a partition of their own, the gateways' own keys | create, read; erasing is for whoever is given that |
//! | `requests` | `/session` | one request as searches see it | create, read, replace |
//!
//! **Append.** Creating a document that is there is a conflict, so of two appends after one head one wins. A batch is created in one
//! transaction, and it arrives as a success with status 207 when it failed. Before it, the event it follows is read: events never
//! change, so what was seen then still holds when the batch is created.
//!
//! **Doubt.** A time-out may come after the commit. Every attempt of one append carries the same token, so that a conflict with
//! one's own earlier attempt is told from a conflict with another gateway's append, and is a success.
//!
//! **Reading what others wrote.** The account's consistency is `Session`, which promises nothing across processes. Every
//! read here asks for the latest committed version instead, at twice the price of a read: a session is moved on by whichever
//! gateway an approver reached.
//!
//! **The read model** is written after its events and outside their transaction. What a crash keeps out of it comes from the
//! change feed whenever someone asks what is due ([`requests`]).

mod requests;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use azure_core::credentials::TokenCredential;
use azure_data_cosmos::{
    AccountEndpoint, AccountReference, CosmosClient, CosmosRuntime, Query as CosmosQuery,
    RoutingStrategy, TransactionalBatch,
    clients::ContainerClient,
    error::CosmosError,
    feed::FeedScope,
    options::{OperationOptions, ReadConsistencyStrategy},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{FutureExt, TryFutureExt, TryStreamExt, future::BoxFuture};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{check, projection::MAX_PAGE};
use crate::{
    domain::{
        id::{RequestId, SessionId},
        record::{Hash, Head},
        session::Event,
    },
    gateway::{
        keyring::Shelf,
        ports::{
            AppendError, Appended, Batch, BoxError, EventStore, Page, Query, ReadError, WrappedKey,
        },
    },
};

/// How long an append may take with everything it tries again; it is done while a Service Bus lock of a minute is held.
const APPEND_LIMIT: Duration = Duration::from_secs(20);
/// How long one attempt of it may take: a connection on which nobody answers is left before the append's time is up.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// How long anything else may take.
const LIMIT: Duration = Duration::from_secs(15);
/// What a transaction takes, by Cosmos DB's documented limits.
const MOST_EVENTS: usize = 100;
/// A document and a transaction are at most 2 MB, of which this is left for what goes around the events.
const MOST_BYTES: usize = 1_900_000;

/// Where the record is, and as whom to reach it.
#[derive(Clone)]
pub struct CosmosAccount {
    /// `https://….documents.azure.com/`.
    pub endpoint: AccountEndpoint,
    /// The database that holds the three containers.
    pub database: String,
    /// Whose role assignments count.
    pub credential: Arc<dyn TokenCredential>,
}

/// The record in Azure Cosmos DB. Connects when it is first used.
pub struct Cosmos {
    account: CosmosAccount,
    containers: OnceCell<Containers>,
    /// The last number given to a request, so that requests of one time are in the order they came.
    numbered: AtomicI64,
}

struct Containers {
    events: ContainerClient,
    keys: ContainerClient,
    requests: ContainerClient,
}

/// Why Cosmos DB did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("Cosmos DB: {0}")]
    Cosmos(#[from] CosmosError),
    #[error("Cosmos DB did not answer in time")]
    Slow,
    #[error("the operating system gives no random numbers")]
    NoEntropy,
    #[error(
        "a batch of {0} events is too large for one transaction of Cosmos DB, which takes {MOST_EVENTS}"
    )]
    TooMany(usize),
    #[error("Cosmos DB refused a transaction with status {0}")]
    Refused(u16),
    #[error("what Cosmos DB holds cannot be read: {0}")]
    Damaged(String),
}

impl Trouble {
    /// Whether the same may succeed in a moment. A commit may have happened all the same.
    fn passes(&self) -> bool {
        match self {
            Self::Cosmos(error) => error.status().is_transient() || error.status().is_gone(),
            Self::Refused(status) => matches!(status, 408 | 410 | 429 | 449 | 503),
            Self::Slow => true,
            Self::NoEntropy | Self::TooMany(_) | Self::Damaged(_) => false,
        }
    }
}

impl From<Trouble> for ReadError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Damaged(why) => Self::Damaged(why),
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

impl From<Trouble> for AppendError {
    fn from(trouble: Trouble) -> Self {
        Self::Unavailable(Box::new(trouble))
    }
}

/// An event, and what is kept beside it. Neither changes the event: its hash covers its own attributes alone.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    event: &'a Event,
    /// Which append it came with.
    append: &'a str,
    /// Which document of `keys` holds the session's key, beside the event that opens the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct KeyDocument {
    id: String,
    session: SessionId,
    #[serde(flatten)]
    key: WrappedKey,
}

/// One of the gateways' own keys, wrapped.
#[derive(Serialize, Deserialize)]
struct ShelfDocument {
    id: String,
    /// The partition, which is no session.
    session: String,
    document: String,
}

/// The partition of the gateways' own keys.
const SHELF: &str = "gateway";

/// What an append has to know of an event that is there.
#[derive(Deserialize)]
struct Standing {
    hash: Hash,
    append: String,
}

impl std::fmt::Debug for Cosmos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cosmos")
            .field("database", &self.account.database)
            .finish_non_exhaustive()
    }
}

impl Cosmos {
    /// The record of `account`. Nothing is sent before it is used.
    pub fn new(account: CosmosAccount) -> Self {
        Self {
            account,
            containers: OnceCell::new(),
            numbered: AtomicI64::new(0),
        }
    }

    async fn containers(&self) -> Result<&Containers, Trouble> {
        self.containers
            .get_or_try_init(|| async {
                let account = AccountReference::with_credential(
                    self.account.endpoint.clone(),
                    Arc::clone(&self.account.credential),
                );
                let mut latest = OperationOptions::default();
                latest.read_consistency_strategy = Some(ReadConsistencyStrategy::LatestCommitted);
                let client = CosmosClient::builder()
                    .with_runtime(CosmosRuntime::builder().build().await?)
                    .with_default_operation_options(latest)
                    // There is one region: another could not be read for the latest version.
                    .build(account, RoutingStrategy::PreferredRegions(Vec::new()))
                    .await?;
                let database = client.database_client(&self.account.database);
                Ok(Containers {
                    events: database.container_client("events", None).await?,
                    keys: database.container_client("keys", None).await?,
                    requests: database.container_client("requests", None).await?,
                })
            })
            .await
    }

    async fn create(
        &self,
        batch: &Batch,
        append: &str,
        key: Option<&str>,
    ) -> Result<Created, Trouble> {
        let containers = self.containers().await?;
        let session = batch.session.to_string();
        let mut all = TransactionalBatch::new(session.clone());
        for event in &batch.events {
            let key = key.filter(|_| event.seq == 1);
            all = all.create_item(Document { event, append, key })?;
        }
        let answer = containers
            .events
            .execute_transactional_batch(all, None)
            .await?;
        let answer = answer.into_model()?;
        let refused = answer
            .results()
            .iter()
            .map(|result| result.status_code())
            .find(|status| !(200..300).contains(status) && *status != FAILED_DEPENDENCY);
        match refused {
            None => Ok(Created::All),
            Some(CONFLICT) => Ok(Created::Taken),
            Some(status) => Err(Trouble::Refused(status)),
        }
    }

    /// Creates the batch, however often that has to be tried until `deadline`.
    async fn create_surely(
        &self,
        batch: &Batch,
        append: &str,
        key: Option<&str>,
        deadline: Instant,
    ) -> Result<Created, Trouble> {
        let mut pause = Duration::from_millis(50);
        loop {
            let attempt = deadline.min(Instant::now() + ATTEMPT_LIMIT);
            let created = within(attempt, self.create(batch, append, key)).await;
            let trouble = match created {
                Ok(Created::All) => return Ok(Created::All),
                Ok(Created::Taken) => match within(deadline, self.is_ours(batch, append)).await {
                    Ok(true) => return Ok(Created::All),
                    Ok(false) => return Ok(Created::Taken),
                    Err(trouble) => trouble,
                },
                Err(trouble) => trouble,
            };
            if !trouble.passes() || Instant::now() + pause >= deadline {
                return Err(trouble);
            }
            tracing::debug!(error = %trouble, session = %batch.session, "appending again");
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// Whether what stands in the batch's place is the batch: an earlier attempt got through after all.
    async fn is_ours(&self, batch: &Batch, append: &str) -> Result<bool, Trouble> {
        let Some(first) = batch.events.first() else {
            return Ok(false);
        };
        let standing = self.standing(&batch.session, first.seq).await?;
        Ok(standing.is_some_and(|standing| standing.append == append))
    }

    async fn standing(&self, session: &SessionId, seq: u64) -> Result<Option<Standing>, Trouble> {
        let id = format!("{session}:{seq:010}");
        read(&self.containers().await?.events, session, &id).await
    }

    /// Everything that `query` finds in the partition of `session`.
    async fn events(&self, session: &SessionId, query: CosmosQuery) -> Result<Vec<Event>, Trouble> {
        let events = &self.containers().await?.events;
        let scope = FeedScope::partition(session.to_string());
        let found = events.query_items::<Event>(query, scope, None).await?;
        Ok(found.try_collect().await?)
    }

    async fn events_of(&self, request: &RequestId) -> Result<Vec<Event>, Trouble> {
        let query = CosmosQuery::from(
            "SELECT * FROM c WHERE c.subject = @session AND c.data.request_id = @request ORDER BY c.seq",
        )
        .with_parameter("@session", request.session())?
        .with_parameter("@request", request)?;
        self.events(&request.session(), query).await
    }

    /// Puts the key of a session that is about to be opened on record, under a name of its own: of a batch that then fails, it
    /// is left behind, and no event names it.
    async fn keep_key(&self, session: &SessionId, key: &WrappedKey) -> Result<String, Trouble> {
        let id = token()?;
        let document = KeyDocument {
            id: id.clone(),
            session: session.clone(),
            key: key.clone(),
        };
        let keys = &self.containers().await?.keys;
        keys.create_item(session.to_string(), &id, &document, None)
            .await?;
        Ok(id)
    }

    /// A number that is greater than all before it, of this process; and nearly always than those of others.
    fn number(&self) -> i64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
            });
        let last = self
            .numbered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(now.max(last.saturating_add(1)))
            });
        last.map_or(now, |last| now.max(last.saturating_add(1)))
    }
}

/// Within a transaction that another operation of it failed.
const FAILED_DEPENDENCY: u16 = 424;
const CONFLICT: u16 = 409;

enum Created {
    All,
    /// Another append was first.
    Taken,
}

/// 128 random bits, as text.
fn token() -> Result<String, Trouble> {
    let mut bits = [0; 16];
    rand::fill(&mut bits).map_err(|_| Trouble::NoEntropy)?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

/// Boxed: what the client does takes tens of kilobytes, and most of the time nobody waits for it.
fn within<'a, T: 'a>(
    deadline: Instant,
    what: impl Future<Output = Result<T, Trouble>> + Send + 'a,
) -> BoxFuture<'a, Result<T, Trouble>> {
    Box::pin(async move {
        let done = timeout_at(deadline, what).await;
        done.unwrap_or(Err(Trouble::Slow))
    })
}

fn in_time<'a, T: 'a, E: From<Trouble> + 'a>(
    what: impl Future<Output = Result<T, E>> + Send + 'a,
) -> BoxFuture<'a, Result<T, E>> {
    Box::pin(async move {
        let done = timeout(LIMIT, what).await;
        done.unwrap_or_else(|_elapsed| Err(Trouble::Slow.into()))
    })
}

/// One document; `None`: there is none.
async fn read<T: DeserializeOwned>(
    container: &ContainerClient,
    partition: impl ToString,
    id: &str,
) -> Result<Option<T>, Trouble> {
    match container.read_item(partition.to_string(), id, None).await {
        Ok(found) => Ok(Some(found.into_model()?)),
        Err(error) if error.status().is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl EventStore for Cosmos {
    fn most_bytes(&self) -> Option<usize> {
        Some(MOST_BYTES)
    }

    async fn append(&self, batch: Batch) -> Result<Appended, AppendError> {
        check(&batch)?;
        if batch.events.len() > MOST_EVENTS {
            return Err(Trouble::TooMany(batch.events.len()).into());
        }
        let deadline = Instant::now() + APPEND_LIMIT;
        if batch.after != Head::GENESIS {
            let before = self.standing(&batch.session, batch.after.seq);
            let before = within(deadline, before).await?;
            if before.is_none_or(|before| before.hash != batch.after.hash) {
                return Err(AppendError::Conflict(batch.session));
            }
        }
        let key = match &batch.key {
            Some(key) => Some(within(deadline, self.keep_key(&batch.session, key)).await?),
            None => None,
        };
        let append = token()?;
        match self
            .create_surely(&batch, &append, key.as_deref(), deadline)
            .await?
        {
            Created::Taken => Err(AppendError::Conflict(batch.session)),
            Created::All => {
                let appended = Appended::durable(&batch);
                // It is on record whatever becomes of this.
                if let Err(trouble) = in_time(self.project(&batch.events)).await {
                    tracing::warn!(error = %trouble, session = %batch.session, "searches do not show it yet");
                }
                Ok(appended)
            }
        }
    }

    async fn head(&self, session: &SessionId) -> Result<Option<Head>, ReadError> {
        in_time(async {
            let query = CosmosQuery::from(
                "SELECT TOP 1 c.seq, c.hash FROM c WHERE c.subject = @session ORDER BY c.seq DESC",
            );
            let query = query
                .with_parameter("@session", session)
                .map_err(Trouble::from)?;
            let events = &self.containers().await?.events;
            let scope = FeedScope::partition(session.to_string());
            let found = events.query_items::<Head>(query, scope, None).await;
            let found: Vec<Head> = found
                .map_err(Trouble::from)?
                .try_collect()
                .await
                .map_err(Trouble::from)?;
            Ok(found.first().copied())
        })
        .await
    }

    async fn session(&self, session: &SessionId) -> Result<Vec<Event>, ReadError> {
        in_time(async {
            let query =
                CosmosQuery::from("SELECT * FROM c WHERE c.subject = @session ORDER BY c.seq");
            let query = query
                .with_parameter("@session", session)
                .map_err(Trouble::from)?;
            Ok(self.events(session, query).await?)
        })
        .await
    }

    async fn request(&self, request: &RequestId) -> Result<Vec<Event>, ReadError> {
        in_time(async { Ok(self.events_of(request).await?) }).await
    }

    async fn key(&self, session: &SessionId) -> Result<Option<WrappedKey>, ReadError> {
        #[derive(Deserialize)]
        struct Opening {
            #[serde(default)]
            key: Option<String>,
        }
        in_time(async {
            let Containers { events, keys, .. } = self.containers().await?;
            let first = format!("{session}:{:010}", 1);
            let opening: Option<Opening> = read(events, session, &first).await?;
            let Some(id) = opening.and_then(|opening| opening.key) else {
                return Ok(None);
            };
            let found: Option<KeyDocument> = read(keys, session, &id).await?;
            Ok(found.map(|found| found.key))
        })
        .await
    }

    async fn erase_key(&self, session: &SessionId) -> Result<(), AppendError> {
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        in_time(async {
            let keys = &self.containers().await?.keys;
            let scope = FeedScope::partition(session.to_string());
            // Also what an append that failed left behind.
            let query = CosmosQuery::from("SELECT c.id FROM c WHERE c.session = @session");
            let query = query
                .with_parameter("@session", session)
                .map_err(Trouble::from)?;
            let found = keys.query_items::<Id>(query, scope, None).await;
            let found: Vec<Id> = found
                .map_err(Trouble::from)?
                .try_collect()
                .await
                .map_err(Trouble::from)?;
            for Id { id } in found {
                match keys.delete_item(session.to_string(), &id, None).await {
                    Err(error) if !error.status().is_not_found() => {
                        return Err(Trouble::from(error).into());
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .await
    }

    async fn search(&self, query: &Query) -> Result<Page, ReadError> {
        let after = query.after.as_ref().map(super::projection::Place::of);
        let after = after.transpose();
        let after = after.map_err(|bad| ReadError::Unavailable(Box::new(bad)))?;
        in_time(async {
            let limit = query.limit.clamp(1, MAX_PAGE);
            Ok(self.find(query, after, limit).await?)
        })
        .await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RequestId>, ReadError> {
        in_time(async {
            self.catch_up().await?;
            Ok(self.due_at(now, limit).await?)
        })
        .await
    }
}

impl Shelf for Cosmos {
    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, BoxError>> {
        in_time::<_, Trouble>(async move {
            let keys = &self.containers().await?.keys;
            let found: Option<ShelfDocument> = read(keys, SHELF, name).await?;
            Ok(found.map(|found| found.document))
        })
        .map_err(Into::into)
        .boxed()
    }

    fn create<'a>(
        &'a self,
        name: &'a str,
        document: String,
    ) -> BoxFuture<'a, Result<bool, BoxError>> {
        in_time::<_, Trouble>(async move {
            let document = ShelfDocument {
                id: name.into(),
                session: SHELF.into(),
                document,
            };
            let keys = &self.containers().await?.keys;
            match keys.create_item(SHELF, name, &document, None).await {
                Ok(_) => Ok(true),
                Err(error) if error.status().is_conflict() => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .map_err(Into::into)
        .boxed()
    }
}
