//! Reading: a few connections that cannot write, on threads that may block.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params_from_iter, types::Value};
use tokio::sync::Semaphore;

use super::{
    OpenError, Trouble, open,
    write::{self, decision},
};
use crate::{
    domain::{
        id::{RequestId, SessionId},
        record::Head,
        session::{Event, EventBody},
    },
    gateway::ports::{Page, Query, ReadError, RequestSummary, WrappedKey},
    store::projection::{MAX_PAGE, Place, folded, nanoseconds},
};

/// Reads at the same time. More would only wait for each other's turn at the processor.
const READERS: usize = 4;

/// Why a read failed, before it is told to anyone.
pub(super) enum Failed {
    Sqlite(rusqlite::Error),
    Told(ReadError),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The read-only connections.
pub(super) struct Readers {
    pool: Arc<Pool>,
    turns: Arc<Semaphore>,
}

struct Pool {
    path: Box<Path>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let idle = (0..READERS)
            .map(|_| open::reader(path))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            pool: Arc::new(Pool {
                path: path.into(),
                idle: Mutex::new(idle),
            }),
            turns: Arc::new(Semaphore::new(READERS)),
        })
    }

    /// Runs `read` with one of the connections. Whoever leaves while it runs does not take the connection along.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, ReadError> {
        let unavailable = |error| ReadError::Unavailable(Box::new(error));
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|closed| ReadError::Unavailable(Box::new(closed)))?;
        let pool = self.pool.clone();
        let done = tokio::task::spawn_blocking(move || {
            let reader = match pool.take() {
                Some(reader) => reader,
                // One was lost to a panic; its place is not.
                None => open::reader(&pool.path)
                    .map_err(|error| ReadError::Unavailable(Box::new(error)))?,
            };
            let found = read(&reader);
            pool.put_back(reader);
            drop(turn);
            found.map_err(|failed| match failed {
                Failed::Sqlite(error) => Trouble::new(&pool.path, error).into_read_error(),
                Failed::Told(error) => error,
            })
        });
        done.await.map_err(unavailable)?
    }
}

impl Pool {
    fn take(&self) -> Option<Connection> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    fn put_back(&self, reader: Connection) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reader);
    }
}

pub(super) fn head(reader: &Connection, session: &SessionId) -> Result<Option<Head>, Failed> {
    Ok(write::head(reader, session)?)
}

pub(super) fn session(reader: &Connection, session: &SessionId) -> Result<Vec<Event>, Failed> {
    events(
        reader,
        "SELECT body FROM events WHERE session = ?1 ORDER BY seq",
        session.as_str(),
    )
}

pub(super) fn request(reader: &Connection, request: &RequestId) -> Result<Vec<Event>, Failed> {
    events(
        reader,
        "SELECT body FROM events WHERE request = ?1 ORDER BY id",
        request.as_str(),
    )
}

fn events(reader: &Connection, sql: &str, of: &str) -> Result<Vec<Event>, Failed> {
    let mut statement = reader.prepare_cached(sql)?;
    let mut rows = statement.query([of])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event(row, 0)?);
    }
    Ok(events)
}

fn event(row: &rusqlite::Row<'_>, column: usize) -> Result<Event, Failed> {
    let damaged = |what: String| Failed::Told(ReadError::Damaged(what));
    let text = row.get_ref(column)?;
    let text = text.as_str().map_err(|error| damaged(error.to_string()))?;
    serde_json::from_str(text)
        .map_err(|error| damaged(format!("an event cannot be read back: {error}")))
}

pub(super) fn key(reader: &Connection, session: &SessionId) -> Result<Option<WrappedKey>, Failed> {
    Ok(reader
        .prepare_cached(
            "SELECT wrapped_by, wrapped FROM keys
             WHERE id = (SELECT id FROM events WHERE session = ?1 AND seq = 1)",
        )?
        .query_row([session.as_str()], |row| {
            Ok(WrappedKey {
                by: row.get(0)?,
                wrapped: row.get(1)?,
            })
        })
        .optional()?)
}

pub(super) fn due(
    reader: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<RequestId>, Failed> {
    let mut statement = reader.prepare_cached(
        "SELECT request FROM requests WHERE due_at IS NOT NULL AND due_at <= ?1 ORDER BY due_at, id LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query((nanoseconds(now), limit))?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        due.push(id(row, 0)?);
    }
    Ok(due)
}

fn id(row: &rusqlite::Row<'_>, column: usize) -> Result<RequestId, Failed> {
    row.get_ref(column)?
        .as_str()
        .map_err(|error| error.to_string())
        .and_then(|text| {
            text.parse()
                .map_err(|error: crate::domain::id::BadId| error.to_string())
        })
        .map_err(|what| Failed::Told(ReadError::Damaged(what)))
}

pub(super) fn search(reader: &Connection, query: &Query) -> Result<Page, Failed> {
    let after = query.after.as_ref().map(Place::of).transpose();
    let after = after.map_err(|bad| Failed::Told(ReadError::Unavailable(Box::new(bad))))?;
    let limit = query.limit.clamp(1, MAX_PAGE);

    // The rows are found and ordered first, and only those of the page bring their events along.
    let mut sql = String::from(
        "SELECT r.id, r.asked_at, r.status, e.body, a.body
         FROM (SELECT id, asked_at, status, approval FROM requests r WHERE true",
    );
    let mut values: Vec<Value> = Vec::new();
    let mut and = |condition: &str, value: Value| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    };
    let text = |text: &str| Value::from(text.to_owned());
    if let Some(principal) = &query.principal {
        and("r.principal = ?", text(principal.as_str()));
    }
    if let Some(connection) = &query.connection {
        and("r.connection = ?", text(connection.as_str()));
    }
    if let Some(effect) = query.effect {
        and("r.effect = ?", text(effect.as_str()));
    }
    if let Some(action) = query.decision {
        and("r.decision = ?", text(decision(action)));
    }
    if let Some(since) = query.since {
        and("r.asked_at >= ?", nanoseconds(since).into());
    }
    if let Some(until) = query.until {
        and("r.asked_at < ?", nanoseconds(until).into());
    }
    if let Some(object) = &query.object {
        and(
            "r.id IN (SELECT request FROM objects WHERE name = ?)",
            text(&folded(object)),
        );
    }
    if let Some(wanted) = query.text.as_deref().filter(|text| !text.is_empty()) {
        // `instr` and not LIKE: nothing in the text is special.
        and("instr(r.text, ?) > 0", text(&folded(wanted)));
    }
    if let Some(after) = after {
        and("(r.asked_at, r.id) < (?, ?)", after.asked_at.into());
        values.push(after.number.into());
    }
    if query.asked {
        sql.push_str(" AND r.approval IS NOT NULL");
    }
    if let Some(status) = query.status {
        // Written out, so that the planner can see the partial index for what is pending.
        sql.push_str(&format!(" AND r.status = '{}'", status.as_str()));
    }
    sql.push_str(
        " ORDER BY asked_at DESC, id DESC LIMIT ?) r
         JOIN events e ON e.id = r.id LEFT JOIN events a ON a.id = r.approval
         ORDER BY r.asked_at DESC, r.id DESC",
    );
    values.push(Value::from(i64::try_from(limit + 1).unwrap_or(i64::MAX)));

    let mut statement = reader.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut page = Page::default();
    let mut last = None;
    while let Some(row) = rows.next()? {
        if page.requests.len() == limit {
            page.next = last.map(Place::cursor);
            break;
        }
        last = Some(Place {
            number: row.get(0)?,
            asked_at: row.get(1)?,
        });
        page.requests.push(summary(row)?);
    }
    Ok(page)
}

fn summary(row: &rusqlite::Row<'_>) -> Result<RequestSummary, Failed> {
    let damaged = |what: &str| Failed::Told(ReadError::Damaged(what.into()));
    let word = row.get_ref(2)?;
    let status = word.as_str().ok().and_then(write::status);
    let asked = event(row, 3)?;
    let approval = match row.get_ref(4)? {
        rusqlite::types::ValueRef::Null => None,
        _ => match event(row, 4)?.body {
            EventBody::ApprovalRequested(approval) => Some(*approval),
            _ => {
                return Err(damaged(
                    "a request's row names another event as its approval",
                ));
            }
        },
    };
    match asked.body {
        EventBody::RequestDecided(decided) => Ok(RequestSummary {
            decided: *decided,
            asked_at: asked.time,
            approval,
            status: status.ok_or_else(|| damaged("a request's row has an unknown status"))?,
        }),
        _ => Err(damaged(
            "a request's row names an event that is no decision",
        )),
    }
}
