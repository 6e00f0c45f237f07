//! Where the record is kept. Every store holds the same promises (`tests/store.rs` asks all of them the same questions):
//! append after a head or not at all, durable when it says so, read what was written, never change or delete an event.

mod cosmos;
mod memory;
mod place;
pub mod projection;
mod sqlite;

pub use cosmos::{Cosmos, CosmosAccount};
pub use memory::Memory;
pub use place::Record;
pub use sqlite::{OpenError, Sqlite, Trouble};

use crate::gateway::ports::{AppendError, Batch};

/// Why a batch is none: a mistake of whoever made it, found before it reaches the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the batch was not made for its place in the record: {0}")]
struct Malformed(&'static str);

/// A store refuses what would break a chain, whoever made it.
fn check(batch: &Batch) -> Result<(), AppendError> {
    let refuse = |why| Err(AppendError::Unavailable(Box::new(Malformed(why))));
    if batch.events.is_empty() {
        return refuse("it holds no event");
    }
    if batch.key.is_some() && batch.after.seq != 0 {
        return refuse("a session's key comes with the batch that opens it");
    }
    let mut head = batch.after;
    for event in &batch.events {
        if event.subject != batch.session {
            return refuse("an event is of another session");
        }
        if event.seq != head.seq + 1 || event.prevhash != head.hash {
            return refuse("an event does not follow the one before it");
        }
        if let Some(request) = event.body.request()
            && request.session() != batch.session
        {
            return refuse("an event is about a request of another session");
        }
        head = event.head();
    }
    Ok(())
}
