//! The record in one SQLite file.
//!
//! One thread writes. Whatever is queued while a commit waits for the disk goes into the next transaction together, so
//! one fsync serves many appends; each batch in it stands alone, and the loser of a race takes nobody with it. Reads go
//! to a few read-only connections. WAL with `synchronous=FULL`: an append that was acknowledged survives a power cut.
//!
//! One process at a time: a lock file beside the record says who.

mod open;
mod read;
mod write;

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use self::{
    read::Readers,
    write::{Job, Prepared},
};
use super::check;
use crate::{
    domain::{
        id::{RequestId, SessionId},
        record::Head,
        session::Event,
    },
    gateway::ports::{
        AppendError, Appended, Batch, EventStore, Page, Query, ReadError, WrappedKey,
    },
};

pub use open::OpenError;

/// How many appends may wait for the disk before more are refused.
const QUEUE: usize = 1024;
/// How many bytes of them, for results are as large as policy lets them be. One alone is always taken.
const QUEUED_BYTES: usize = 32 << 20;

/// The record in one SQLite file.
pub struct Sqlite {
    path: Arc<Path>,
    /// `None` only while dropping.
    jobs: Option<mpsc::SyncSender<Job>>,
    queued_bytes: Arc<AtomicUsize>,
    readers: Readers,
    writer: Option<JoinHandle<()>>,
    /// Held for as long as this process may write.
    _lock: File,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sqlite({})", self.path.display())
    }
}

impl Sqlite {
    /// Opens the record at `path`, or makes it, with a directory only its owner may enter. Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, |_| Ok(()))
    }

    /// As [`Self::open`], with a last word on the writing connection: for tests of full disks.
    #[doc(hidden)]
    pub fn open_with(
        path: &Path,
        adjust: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, OpenError> {
        let lock = open::lock(path)?;
        let connection = open::writer(path)?;
        adjust(&connection).map_err(|error| OpenError::from(Trouble::new(path, error)))?;
        let readers = Readers::open(path)?;
        let path: Arc<Path> = path.into();
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("record".into())
            .spawn({
                let path = path.clone();
                move || write::run(connection, &path, &queue)
            })
            .map_err(|source| OpenError::System {
                path: path.to_path_buf(),
                source,
            })?;
        Ok(Self {
            path,
            jobs: Some(jobs),
            queued_bytes: Arc::default(),
            readers,
            writer: Some(writer),
            _lock: lock,
        })
    }

    /// A place for so many bytes among those that wait for the disk.
    fn weigh(&self, bytes: usize) -> Result<Weight, AppendError> {
        let weight = Weight {
            bytes,
            of: self.queued_bytes.clone(),
        };
        let before = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before > 0 && before + bytes > QUEUED_BYTES {
            return Err(self.unavailable(Why::Busy));
        }
        Ok(weight)
    }

    /// Hands a job to the writing thread without waiting for a place in its queue.
    fn enqueue(&self, job: Job) -> Result<(), AppendError> {
        let sent = match &self.jobs {
            Some(jobs) => jobs.try_send(job),
            None => return Err(self.unavailable(Why::Stopped)),
        };
        sent.map_err(|error| {
            self.unavailable(match error {
                mpsc::TrySendError::Full(_) => Why::Busy,
                mpsc::TrySendError::Disconnected(_) => Why::Stopped,
            })
        })
    }

    fn unavailable(&self, why: Why) -> AppendError {
        AppendError::Unavailable(Box::new(Trouble::because(&self.path, why)))
    }
}

/// Bytes that wait for the disk, for as long as they do.
struct Weight {
    bytes: usize,
    of: Arc<AtomicUsize>,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Whatever was queued is written first.
impl Drop for Sqlite {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has already failed every append it held.
            let _ = writer.join();
        }
    }
}

impl EventStore for Sqlite {
    async fn append(&self, batch: Batch) -> Result<Appended, AppendError> {
        check(&batch)?;
        let prepared =
            Prepared::new(&batch).map_err(|error| AppendError::Unavailable(Box::new(error)))?;
        let weight = self.weigh(prepared.bytes())?;
        let (reply, done) = oneshot::channel();
        let session = batch.session.clone();
        let appended = Appended::durable(&batch);
        self.enqueue(Job::Append {
            batch: Box::new(batch),
            prepared,
            weight,
            reply,
        })?;
        match done.await {
            Ok(write::Outcome::Durable) => Ok(appended),
            Ok(write::Outcome::Conflict) => Err(AppendError::Conflict(session)),
            Ok(write::Outcome::Failed(trouble)) => Err(AppendError::Unavailable(Box::new(trouble))),
            Err(_) => Err(self.unavailable(Why::Stopped)),
        }
    }

    async fn head(&self, session: &SessionId) -> Result<Option<Head>, ReadError> {
        let session = session.clone();
        self.readers
            .read(move |reader| read::head(reader, &session))
            .await
    }

    async fn session(&self, session: &SessionId) -> Result<Vec<Event>, ReadError> {
        let session = session.clone();
        self.readers
            .read(move |reader| read::session(reader, &session))
            .await
    }

    async fn request(&self, request: &RequestId) -> Result<Vec<Event>, ReadError> {
        let request = request.clone();
        self.readers
            .read(move |reader| read::request(reader, &request))
            .await
    }

    async fn key(&self, session: &SessionId) -> Result<Option<WrappedKey>, ReadError> {
        let session = session.clone();
        self.readers
            .read(move |reader| read::key(reader, &session))
            .await
    }

    async fn erase_key(&self, session: &SessionId) -> Result<(), AppendError> {
        let (reply, done) = oneshot::channel();
        self.enqueue(Job::EraseKey {
            session: session.clone(),
            reply,
        })?;
        match done.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(trouble)) => Err(AppendError::Unavailable(Box::new(trouble))),
            Err(_) => Err(self.unavailable(Why::Stopped)),
        }
    }

    async fn search(&self, query: &Query) -> Result<Page, ReadError> {
        let query = query.clone();
        self.readers
            .read(move |reader| read::search(reader, &query))
            .await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RequestId>, ReadError> {
        self.readers
            .read(move |reader| read::due(reader, now, limit))
            .await
    }
}

/// What is wrong with the file, and what to do about it.
///
/// One failed commit is told to everyone whose append was in it, so it can be cloned.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Trouble {
    path: PathBuf,
    why: Arc<Why>,
}

impl Trouble {
    fn new(path: &Path, error: rusqlite::Error) -> Self {
        let why = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Why::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Why::Locked,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Why::ReadOnly,
            Some(ErrorCode::CannotOpen) => Why::CannotOpen,
            Some(ErrorCode::DatabaseCorrupt) => Why::Damaged(error.to_string()),
            Some(ErrorCode::NotADatabase) => Why::NotARecord,
            Some(ErrorCode::SystemIoFailure) => Why::Disk(error),
            _ => Why::Other(error),
        };
        Self::because(path, why)
    }

    fn because(path: &Path, why: Why) -> Self {
        Self {
            path: path.into(),
            why: Arc::new(why),
        }
    }

    /// What a read is told: damage is not unavailability.
    fn into_read_error(self) -> ReadError {
        match *self.why {
            Why::Damaged(_) | Why::NotARecord => ReadError::Damaged(self.to_string()),
            _ => ReadError::Unavailable(Box::new(self)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("the disk is full: nothing of this was written; free some space and ask again")]
    Full,
    #[error(
        "another program holds the file locked: close it (a `sqlite3` shell, a backup) and ask again"
    )]
    Locked,
    #[error("the file or its directory cannot be written: give this user write permission to both")]
    ReadOnly,
    #[error(
        "the file cannot be opened: check that its directory exists and that this user may write there"
    )]
    CannotOpen,
    #[error("the file is damaged ({0}): keep a copy of it, and restore the record from a backup")]
    Damaged(String),
    #[error("this is not a record of Portcullis: name another file, or move this one away")]
    NotARecord,
    #[error(
        "too many appends are waiting for the disk: nothing of this was written; ask again in a moment"
    )]
    Busy,
    #[error("the record is closed: the gateway is stopping")]
    Stopped,
    #[error("the disk failed ({0}); check it")]
    Disk(rusqlite::Error),
    #[error("{0}")]
    Other(rusqlite::Error),
}
