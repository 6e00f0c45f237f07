//! The policy in force: read from files, its secrets resolved, replaced while running when the files change.
//!
//! INVARIANT: there is always one whole policy. A request reads one [`Snapshot`] and is judged by it alone; a new policy
//! that cannot be read, or that names a secret the environment does not have, is refused loudly and the last good one
//! stays.
//!
//! What a policy means is `domain::policy`'s business; what is at the end of an address is `targets`'.

mod endpoints;
mod files;
mod watcher;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use crate::domain::policy::{Policy, PolicyErrors};

pub use endpoints::{Endpoints, MissingSecrets};
pub use files::{ReadFailed, read_files};
pub use watcher::Watcher;

/// Looks a secret up by its name; `None`: there is none. An error says why nobody can tell, and how to mend it. May block.
pub type Secrets = Box<dyn Fn(&str) -> Result<Option<String>, String> + Send + Sync>;
/// Finishes a policy with what no file holds, such as the key masking needs. Its error refuses the policy.
pub type Finish = Box<dyn Fn(&mut Policy) -> Result<(), String> + Send + Sync>;

/// One policy with everything it needs, from one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Where its connections lead. For targets only.
    pub endpoints: Endpoints,
}

/// Why there is no policy, or no new one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The files could not be read.
    #[error(transparent)]
    Unreadable(#[from] ReadFailed),
    /// They do not say a policy.
    #[error("{0}")]
    Wrong(#[from] PolicyErrors),
    /// It names secrets there are not.
    #[error(transparent)]
    Secrets(#[from] MissingSecrets),
    /// It could not be finished.
    #[error("{0}")]
    Unfinished(String),
}

/// Where a policy comes from.
pub struct Source {
    path: PathBuf,
    secrets: Secrets,
    finish: Finish,
    /// How long a secret is good for; `None`: for as long as the process is.
    refresh: Option<Duration>,
}

impl Source {
    /// A file, or a folder of files; secrets come from the environment.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            secrets: Box::new(|name| Ok(std::env::var(name).ok())),
            finish: Box::new(|_| Ok(())),
            refresh: None,
        }
    }

    /// Takes secrets from elsewhere.
    pub fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// Looks every secret up again after so long.
    pub fn with_refresh(self, refresh: Duration) -> Self {
        Self {
            refresh: Some(refresh),
            ..self
        }
    }

    /// Finishes every policy with `finish` before it is used.
    pub fn with_finish(self, finish: Finish) -> Self {
        Self { finish, ..self }
    }

    fn snapshot(&self, files: files::Files) -> Result<Snapshot, LoadError> {
        let mut policy = Policy::from_bytes(files.into_inner())?;
        let (endpoints, known) = Endpoints::resolve(&policy, &self.secrets)?;
        policy.masking_rules.known = known;
        (self.finish)(&mut policy).map_err(LoadError::Unfinished)?;
        Ok(Snapshot {
            policy: Arc::new(policy),
            endpoints,
        })
    }
}

/// The policy in force.
pub struct Catalog {
    source: Source,
    current: watch::Sender<Arc<Snapshot>>,
    /// The files it began with, for the watcher to compare with.
    loaded: crate::domain::record::Hash,
}

impl Catalog {
    /// Loads the policy at `path`, a file or a folder, with secrets from the environment. No policy, no start.
    pub fn load(path: impl Into<PathBuf>) -> Result<Arc<Self>, LoadError> {
        Self::load_from(Source::new(path))
    }

    /// Loads the policy of `source`.
    pub fn load_from(source: Source) -> Result<Arc<Self>, LoadError> {
        let files = files::Files::read(&source.path)?;
        let loaded = files.fingerprint();
        let (current, _) = watch::channel(Arc::new(source.snapshot(files)?));
        Ok(Arc::new(Self {
            source,
            current,
            loaded,
        }))
    }

    /// The policy in force now. Cheap; hold on to it for as long as one request takes.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.borrow().clone()
    }

    /// Tells whoever listens that another policy has come into force.
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.current.subscribe()
    }

    /// Where it was loaded from.
    pub fn path(&self) -> &Path {
        &self.source.path
    }
}
