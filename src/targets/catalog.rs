//! A server's catalog, remembered, so that judging a request costs it no round trip.
//!
//! INVARIANT: what is handed out began to be read less than [`FRESH`] ago, and after the last change that this gateway
//! itself made had ended.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use crate::{
    domain::classify::{Dialect, server::ServerCatalog, sql::JudgedCatalog},
    gateway::ports::{CatalogError, RunError},
};

/// How old a catalog may be that is judged by. Agents change it through this gateway alone, which then forgets it at
/// once; this is how long a migration beside the gateway may go unseen.
const FRESH: Duration = Duration::from_secs(30);
/// From this age on it is read again beside the requests, so that on a busy connection none of them waits for it.
const AGING: Duration = Duration::from_secs(15);
/// A server that takes longer is treated as one that does not show its catalog.
const LONGEST_LOAD: Duration = Duration::from_secs(20);

/// The catalog of one endpoint.
#[derive(Default)]
pub(super) struct CatalogCache {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The last one read. An equal one is handed out as this same one, whose judgements are remembered.
    last: Option<Arc<JudgedCatalog>>,
    /// When reading `last` began; `None`: something has been changed since.
    since: Option<Instant>,
    /// How often it was changed.
    changes: u64,
    loading: Option<Loading>,
}

/// What everyone who waits for the same catalog awaits.
type Loading = Shared<BoxFuture<'static, Result<Arc<JudgedCatalog>, CatalogError>>>;

impl CatalogCache {
    /// The catalog in `dialect`, read by `load` if the one at hand is too old. However many ask, it is read once; whoever asked
    /// while it was being read shares what came of it, failure included.
    pub(super) async fn get<F>(
        &self,
        dialect: Dialect,
        now: Instant,
        load: impl FnOnce() -> F,
    ) -> Result<Arc<JudgedCatalog>, CatalogError>
    where
        F: Future<Output = Result<ServerCatalog, RunError>> + Send + 'static,
    {
        let loading = {
            let mut state = lock(&self.state);
            let age = state
                .since
                .map(|since| now.saturating_duration_since(since));
            let within = |limit| age.is_some_and(|age| age < limit);
            let usable = state.last.clone().filter(|_| within(FRESH));
            if within(AGING)
                && let Some(catalog) = usable
            {
                return Ok(catalog);
            }
            let loading = match &state.loading {
                Some(loading) => loading.clone(),
                None => self.begin(&mut state, dialect, now, load()),
            };
            if let Some(catalog) = usable {
                return Ok(catalog);
            }
            loading
        };
        loading.await
    }

    /// Something may have changed it: the next who asks gets one read after this.
    pub(super) fn changed(&self) {
        let mut state = lock(&self.state);
        state.changes += 1;
        state.since = None;
        state.loading = None;
    }

    /// Begins to read, on a task of its own: whoever asked first may leave.
    fn begin(
        &self,
        state: &mut State,
        dialect: Dialect,
        now: Instant,
        load: impl Future<Output = Result<ServerCatalog, RunError>> + Send + 'static,
    ) -> Loading {
        let under_way = UnderWay {
            state: Arc::clone(&self.state),
            changes: state.changes,
        };
        let task = tokio::spawn(async move {
            let late = Err(RunError::Cancelled { timeout: true });
            let read = tokio::time::timeout(LONGEST_LOAD, load).await;
            let read = read.unwrap_or(late)?;
            Ok(under_way.ended(dialect, now, read))
        });
        let failed = |_| CatalogError::Unreadable("reading it failed inside the gateway".into());
        let loading = task
            .map(move |ended| ended.map_err(failed).flatten())
            .boxed()
            .shared();
        state.loading = Some(loading.clone());
        loading
    }
}

/// A reading that goes on. Dropped, it is over, however it ended.
struct UnderWay {
    state: Arc<Mutex<State>>,
    changes: u64,
}

impl UnderWay {
    fn ended(&self, dialect: Dialect, began: Instant, read: ServerCatalog) -> Arc<JudgedCatalog> {
        // Compared outside the lock: it may be long.
        let last = lock(&self.state).last.clone();
        let catalog = last
            .filter(|last| *last.catalog() == read)
            .unwrap_or_else(|| Arc::new(JudgedCatalog::new(dialect, read)));
        let mut state = lock(&self.state);
        if state.changes == self.changes {
            state.last = Some(Arc::clone(&catalog));
            state.since = Some(began);
        }
        catalog
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if state.changes == self.changes {
            state.loading = None;
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the pipeline is told. The server's words stay here: a code is enough to look them up.
impl From<RunError> for CatalogError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Unreachable(why) | RunError::Unknown(why) => Self::Unreachable(why.into()),
            RunError::Refused {
                code: Some(code), ..
            } => Self::Unreadable(format!("the server refuses with {code}").into()),
            RunError::Refused { message, .. } => Self::Unreadable(message.into()),
            RunError::TooMany { .. } => Self::Unreadable("reading it changed rows".into()),
            RunError::Cancelled { .. } => Self::Unreadable(
                format!("the server takes longer than {} s", LONGEST_LOAD.as_secs()).into(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// A server whose catalog is the number of schemas on its path.
    #[derive(Default)]
    struct Server {
        schemas: AtomicUsize,
        read: AtomicUsize,
        down: AtomicUsize,
        slow: Option<Notify>,
    }

    impl Server {
        async fn catalog(self: Arc<Self>) -> Result<ServerCatalog, RunError> {
            self.read.fetch_add(1, Ordering::SeqCst);
            let schemas = self.schemas.load(Ordering::SeqCst);
            if let Some(slow) = &self.slow {
                slow.notified().await;
            }
            if self.down.load(Ordering::SeqCst) > 0 {
                return Err(RunError::Unreachable("down".into()));
            }
            Ok(ServerCatalog {
                search_path: vec!["public".into(); schemas],
                ..ServerCatalog::default()
            })
        }

        fn times_read(&self) -> usize {
            self.read.load(Ordering::SeqCst)
        }
    }

    async fn get(
        cache: &CatalogCache,
        server: &Arc<Server>,
        now: Instant,
    ) -> Result<Arc<JudgedCatalog>, CatalogError> {
        let server = Arc::clone(server);
        cache
            .get(Dialect::Postgres, now, move || server.catalog())
            .await
    }

    async fn settled() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_catalog_is_read_once_and_again_beside_the_requests_before_it_is_too_old() {
        let (cache, server, start) = (CatalogCache::default(), Arc::default(), Instant::now());
        let first = get(&cache, &server, start).await.unwrap();
        let again = get(&cache, &server, start + AGING / 2).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(server.times_read(), 1);
        server.schemas.store(1, Ordering::SeqCst);
        let aging = get(&cache, &server, start + AGING).await.unwrap();
        assert!(Arc::ptr_eq(&first, &aging), "nobody waits for the new one");
        settled().await;
        assert_eq!(server.times_read(), 2);
        let next = get(&cache, &server, start + AGING).await.unwrap();
        assert_eq!(next.catalog().search_path.len(), 1);
    }

    #[tokio::test]
    async fn an_equal_catalog_is_handed_out_as_the_same_one() {
        let (cache, server, start) = (CatalogCache::default(), Arc::default(), Instant::now());
        let first = get(&cache, &server, start).await.unwrap();
        cache.changed();
        let second = get(&cache, &server, start).await.unwrap();
        assert_eq!(server.times_read(), 2);
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[tokio::test]
    async fn no_catalog_is_older_than_it_may_be_and_its_failure_is_told() {
        let (cache, server, start) = (CatalogCache::default(), Arc::default(), Instant::now());
        get(&cache, &server, start).await.unwrap();
        server.down.store(1, Ordering::SeqCst);
        let aging = get(&cache, &server, start + AGING).await;
        assert!(aging.is_ok(), "it may still be used");
        settled().await;
        let old = get(&cache, &server, start + FRESH).await;
        assert!(matches!(old, Err(CatalogError::Unreachable(_))), "{old:?}");
        server.down.store(0, Ordering::SeqCst);
        assert!(get(&cache, &server, start + FRESH).await.is_ok());
    }

    #[tokio::test]
    async fn what_was_being_read_when_something_changed_is_not_kept() {
        let server = Arc::new(Server {
            slow: Some(Notify::new()),
            ..Server::default()
        });
        let (cache, start) = (Arc::new(CatalogCache::default()), Instant::now());
        let before = tokio::spawn({
            let (cache, server) = (Arc::clone(&cache), Arc::clone(&server));
            async move { get(&cache, &server, start).await.unwrap() }
        });
        settled().await;
        server.schemas.store(1, Ordering::SeqCst);
        cache.changed();
        let after: Vec<_> = (0..5)
            .map(|_| {
                let (cache, server) = (Arc::clone(&cache), Arc::clone(&server));
                tokio::spawn(async move { get(&cache, &server, start).await.unwrap() })
            })
            .collect();
        settled().await;
        assert_eq!(server.times_read(), 2, "all five wait for the same one");
        let slow = server.slow.as_ref().unwrap();
        slow.notify_waiters();
        assert_eq!(before.await.unwrap().catalog().search_path.len(), 0);
        for after in after {
            assert_eq!(after.await.unwrap().catalog().search_path.len(), 1);
        }
        let kept = get(&cache, &server, start).await.unwrap();
        assert_eq!(kept.catalog().search_path.len(), 1);
        assert_eq!(server.times_read(), 2);
    }
}
