//! The writing thread: takes what is queued, commits it together, and answers each.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::{Trouble, Weight};
use crate::{
    domain::{
        id::{RequestId, SessionId},
        record::{Hash, Head, NotCanonical, line},
        session::{Action, Event, EventBody, RequestDecided},
    },
    gateway::ports::{Batch, RequestStatus},
    store::projection::{Standing, nanoseconds, searched_objects, searched_text},
};

/// The most appends one transaction takes: enough to spread an fsync thin, few enough that none waits long.
const TOGETHER: usize = 256;
/// The longest an append waits for company.
const LONGEST_WAIT: Duration = Duration::from_millis(1);

/// A pause in which the log is made longer.
const IDLE: Duration = Duration::from_millis(50);
/// How long the log gets between two checkpoints: `wal_autocheckpoint` pages, each with its header.
const LOG: u64 = 8192 * (4096 + 24);
/// How much longer it is made at once: little enough that an append that comes meanwhile hardly waits.
const STEP: usize = 1 << 20;

/// Something to write.
pub(super) enum Job {
    Append {
        batch: Box<Batch>,
        prepared: Prepared,
        #[expect(dead_code, reason = "counts for as long as the job is there")]
        weight: Weight,
        reply: oneshot::Sender<Outcome>,
    },
    EraseKey {
        session: SessionId,
        reply: oneshot::Sender<Result<(), Trouble>>,
    },
}

/// What became of an append.
pub(super) enum Outcome {
    Durable,
    Conflict,
    Failed(Trouble),
}

/// What can be done before the writing thread has its turn: the lines as they are stored.
pub(super) struct Prepared {
    lines: Vec<String>,
}

impl Prepared {
    pub(super) fn new(batch: &Batch) -> Result<Self, NotCanonical> {
        let line = |event| {
            let bytes = line(event)?;
            String::from_utf8(bytes).map_err(|error| NotCanonical::Value(error.to_string()))
        };
        let lines = batch.events.iter().map(line).collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }

    /// What they weigh in the queue.
    pub(super) fn bytes(&self) -> usize {
        self.lines.iter().map(String::len).sum()
    }
}

/// Runs until nobody can send any more, then leaves the file whole by itself: the WAL is written back.
pub(super) fn run(mut connection: Connection, path: &Path, queue: &mpsc::Receiver<Job>) {
    let mut waiting = Vec::with_capacity(TOGETHER);
    let mut company = Company::default();
    let mut room = Room::beside(path);
    let mut next = room.wait(queue);
    while let Some(job) = next.take() {
        match job {
            Job::EraseKey { session, reply } => {
                let erased =
                    erase(&connection, &session).map_err(|error| Trouble::new(path, error));
                // Whoever asked may have left.
                let _ = reply.send(erased);
                // Erasing has cut the log short.
                room = Room::beside(path);
            }
            append => {
                waiting.push(append);
                next = company.gather(&mut waiting, queue);
                let (together, began) = (waiting.len(), Instant::now());
                commit(&mut connection, path, &mut waiting);
                company.seen(together, began.elapsed());
            }
        }
        if next.is_none() {
            next = room.wait(queue);
        }
    }
    // The next opening would do it too: only slower.
    let _ = checkpoint(&connection);
}

/// How many appends to expect together, from how many came together before.
///
/// Callers that were answered together ask again together, a little later: without a short wait the first of them would
/// have a commit to itself, and all others would wait for two. A caller that is alone never waits.
#[derive(Default)]
struct Company {
    last: usize,
    before: usize,
    commit: Duration,
}

impl Company {
    /// Takes what is queued, and waits for as many as came of late: a fraction of what a commit takes, at the most.
    /// Returns the job that is none of these, if one came.
    fn gather(&self, waiting: &mut Vec<Job>, queue: &mpsc::Receiver<Job>) -> Option<Job> {
        let expected = self.last.max(self.before).min(TOGETHER);
        let until = Instant::now() + (self.commit / 4).min(LONGEST_WAIT);
        while waiting.len() < TOGETHER {
            let job = match queue.try_recv() {
                Ok(job) => job,
                Err(_) if waiting.len() >= expected => return None,
                Err(_) => queue
                    .recv_timeout(until.saturating_duration_since(Instant::now()))
                    .ok()?,
            };
            match job {
                append @ Job::Append { .. } => waiting.push(append),
                other => return Some(other),
            }
        }
        None
    }

    fn seen(&mut self, together: usize, commit: Duration) {
        (self.before, self.last) = (self.last, together);
        self.commit = commit;
    }
}

/// The log's file, made as long as it will get while nothing else is to be done.
///
/// A sync of a file that has grown waits for the file system's own journal too, and takes several times as long as one of
/// bytes written over others. SQLite writes the log from its beginning after each checkpoint, so this is needed once.
/// Only this thread writes the log, and what follows its last frame is never read: no zero is ever taken for one.
struct Room {
    log: PathBuf,
    enough: bool,
}

impl Room {
    fn beside(path: &Path) -> Self {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Self {
            log: log.into(),
            enough: false,
        }
    }

    /// The next job; `None`: there will be no more.
    fn wait(&mut self, queue: &mpsc::Receiver<Job>) -> Option<Job> {
        while !self.enough {
            match queue.recv_timeout(IDLE) {
                Ok(job) => return Some(job),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                // Where it cannot be made longer, appends are as slow as they are.
                Err(mpsc::RecvTimeoutError::Timeout) => self.enough = self.grow().unwrap_or(true),
            }
        }
        queue.recv().ok()
    }

    /// One step; whether it was the last.
    fn grow(&self) -> io::Result<bool> {
        let mut log = OpenOptions::new().append(true).open(&self.log)?;
        let length = log.metadata()?.len();
        if length >= LOG {
            return Ok(true);
        }
        log.write_all(&vec![0; STEP])?;
        log.sync_data()?;
        Ok(false)
    }
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, i64>(0).map(|busy| busy == 0)
    })
}

/// Writes all of `waiting` in one transaction, and answers.
fn commit(connection: &mut Connection, path: &Path, waiting: &mut Vec<Job>) {
    // Immediate: only a transaction that begins as a writer waits its turn when another program holds the lock.
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let written = begun.and_then(|transaction| {
        let mut outcomes = Vec::with_capacity(waiting.len());
        for job in waiting.iter() {
            if let Job::Append {
                batch, prepared, ..
            } = job
            {
                outcomes.push(alone(&transaction, batch, prepared)?);
            }
        }
        transaction.commit()?;
        Ok(outcomes)
    });
    // A reply nobody waits for is no failure: whoever asked has left.
    match written {
        Ok(outcomes) => {
            let replies = waiting.drain(..).filter_map(|job| match job {
                Job::Append { reply, .. } => Some(reply),
                Job::EraseKey { .. } => None,
            });
            for (reply, outcome) in replies.zip(outcomes) {
                let _ = reply.send(match outcome {
                    Alone::Written => Outcome::Durable,
                    Alone::Lost => Outcome::Conflict,
                });
            }
        }
        Err(error) => {
            let trouble = Trouble::new(path, error);
            for job in waiting.drain(..) {
                if let Job::Append { reply, .. } = job {
                    let _ = reply.send(Outcome::Failed(trouble.clone()));
                }
            }
        }
    }
}

enum Alone {
    Written,
    Lost,
}

/// Writes one batch of several, or finds that it lost its race. The transaction holds the write lock, so the head that is
/// checked here is the head that is written after: no batch needs a savepoint of its own, which would copy every page
/// it touches. An error ends the whole transaction.
fn alone(connection: &Connection, batch: &Batch, prepared: &Prepared) -> rusqlite::Result<Alone> {
    if head(connection, &batch.session)?.unwrap_or(Head::GENESIS) != batch.after {
        return Ok(Alone::Lost);
    }
    insert(connection, batch, prepared)?;
    Ok(Alone::Written)
}

/// Where a session's chain stands.
pub(super) fn head(connection: &Connection, session: &SessionId) -> rusqlite::Result<Option<Head>> {
    connection
        .prepare_cached(
            "SELECT seq, hash FROM events WHERE session = ?1 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row([session.as_str()], |row| {
            Ok(Head {
                seq: row.get::<_, i64>(0)?.unsigned_abs(),
                hash: Hash::from_bytes(row.get(1)?),
            })
        })
        .optional()
}

/// One request's row as the batch changes it.
struct Row<'a> {
    id: i64,
    asked: Option<(&'a RequestDecided, Timestamp)>,
    standing: Standing,
    approval: Option<i64>,
}

fn insert(connection: &Connection, batch: &Batch, prepared: &Prepared) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO events (session, seq, hash, type, request, time, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut rows: HashMap<&RequestId, Row<'_>> = HashMap::new();
    for (event, line) in batch.events.iter().zip(&prepared.lines) {
        let request = event.body.request();
        // Looked up before its own events of this batch are there.
        if let Some(request) = request
            && batch.after.seq > 0
            && !rows.contains_key(request)
            && let Some(row) = stored(connection, request)?
        {
            rows.insert(request, row);
        }
        let id = statement.insert(params![
            batch.session.as_str(),
            // More events than this cannot be counted up to.
            i64::try_from(event.seq).unwrap_or(i64::MAX),
            event.hash.as_bytes(),
            event.body.kind(),
            request.map(RequestId::as_str),
            nanoseconds(event.time),
            line,
        ])?;
        if let Some(request) = request {
            project(&mut rows, request, event, id);
        }
        if let (1, Some(key)) = (event.seq, &batch.key) {
            connection
                .prepare_cached("INSERT INTO keys (id, wrapped_by, wrapped) VALUES (?1, ?2, ?3)")?
                .execute(params![id, key.by, key.wrapped])?;
        }
    }
    for (request, row) in rows {
        save(connection, request, &row)?;
    }
    Ok(())
}

fn project<'a>(
    rows: &mut HashMap<&'a RequestId, Row<'a>>,
    request: &'a RequestId,
    event: &'a Event,
    id: i64,
) {
    if let Some(row) = rows.get_mut(request) {
        row.standing = row.standing.after(event);
        if matches!(event.body, EventBody::ApprovalRequested(_)) {
            row.approval = Some(id);
        }
    } else if let EventBody::RequestDecided(decided) = &event.body {
        let row = Row {
            id,
            asked: Some((decided, event.time)),
            standing: Standing::decided(decided),
            approval: None,
        };
        rows.insert(request, row);
    }
}

fn stored<'a>(connection: &Connection, request: &RequestId) -> rusqlite::Result<Option<Row<'a>>> {
    connection
        .prepare_cached(
            "SELECT id, status, expires_at, due_at, approval FROM requests
             WHERE id = (SELECT min(id) FROM events WHERE request = ?1)",
        )?
        .query_row([request.as_str()], |row| {
            Ok(Row {
                id: row.get(0)?,
                asked: None,
                standing: Standing {
                    status: status(row.get_ref(1)?.as_str()?).ok_or_else(|| {
                        rusqlite::Error::InvalidColumnName("requests.status".into())
                    })?,
                    expires_at: time(row.get(2)?),
                    due_at: time(row.get(3)?),
                },
                approval: row.get(4)?,
            })
        })
        .optional()
}

fn save(connection: &Connection, request: &RequestId, row: &Row<'_>) -> rusqlite::Result<()> {
    let standing = &row.standing;
    let Some((decided, asked_at)) = row.asked else {
        connection
            .prepare_cached(
                "UPDATE requests SET status = ?2, expires_at = ?3, due_at = ?4, approval = ?5 WHERE id = ?1",
            )?
            .execute(params![
                row.id,
                standing.status.as_str(),
                standing.expires_at.map(nanoseconds),
                standing.due_at.map(nanoseconds),
                row.approval,
            ])?;
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT INTO requests (id, request, asked_at, principal, connection, effect, decision, status, expires_at,
                                   due_at, approval, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            row.id,
            request.as_str(),
            nanoseconds(asked_at),
            decided.principal.id.as_str(),
            decided.connection.as_str(),
            decided.effect.as_str(),
            decision(decided.decision.action),
            standing.status.as_str(),
            standing.expires_at.map(nanoseconds),
            standing.due_at.map(nanoseconds),
            row.approval,
            searched_text(decided),
        ])?;
    if !decided.objects.is_empty() {
        let mut statement =
            connection.prepare_cached("INSERT INTO objects (name, request) VALUES (?1, ?2)")?;
        for name in searched_objects(decided) {
            statement.execute(params![name, row.id])?;
        }
    }
    Ok(())
}

/// The key is gone from the file and from the WAL when this returns.
fn erase(connection: &Connection, session: &SessionId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM keys WHERE id = (SELECT id FROM events WHERE session = ?1 AND seq = 1)",
        )?
        .execute([session.as_str()])?;
    if checkpoint(connection)? {
        Ok(())
    } else {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        Err(rusqlite::Error::SqliteFailure(busy, None))
    }
}

/// The word for what policy said.
pub(super) fn decision(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::RequireApproval => "require_approval",
    }
}

/// The status a word stands for.
pub(super) fn status(word: &str) -> Option<RequestStatus> {
    RequestStatus::ALL
        .into_iter()
        .find(|status| status.as_str() == word)
}

pub(super) fn time(nanoseconds: Option<i64>) -> Option<Timestamp> {
    nanoseconds.and_then(|nanoseconds| Timestamp::from_nanosecond(nanoseconds.into()).ok())
}
