//! The record of this process, wherever it is kept.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Cosmos, Sqlite};
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

/// Where this process keeps its record.
#[derive(Debug)]
pub enum Record {
    /// In a file, alone.
    File(Sqlite),
    /// In Azure, with others.
    Shared(Arc<Cosmos>),
}

/// Asks whichever it is.
macro_rules! ask {
    ($record:expr, $store:ident => $asked:expr) => {
        match $record {
            Record::File($store) => $asked.await,
            Record::Shared($store) => $asked.await,
        }
    };
}

impl EventStore for Record {
    fn most_bytes(&self) -> Option<usize> {
        match self {
            Self::File(store) => store.most_bytes(),
            Self::Shared(store) => store.most_bytes(),
        }
    }

    async fn append(&self, batch: Batch) -> Result<Appended, AppendError> {
        ask!(self, store => store.append(batch))
    }

    async fn head(&self, session: &SessionId) -> Result<Option<Head>, ReadError> {
        ask!(self, store => store.head(session))
    }

    async fn session(&self, session: &SessionId) -> Result<Vec<Event>, ReadError> {
        ask!(self, store => store.session(session))
    }

    async fn request(&self, request: &RequestId) -> Result<Vec<Event>, ReadError> {
        ask!(self, store => store.request(request))
    }

    async fn key(&self, session: &SessionId) -> Result<Option<WrappedKey>, ReadError> {
        ask!(self, store => store.key(session))
    }

    async fn erase_key(&self, session: &SessionId) -> Result<(), AppendError> {
        ask!(self, store => store.erase_key(session))
    }

    async fn search(&self, query: &Query) -> Result<Page, ReadError> {
        ask!(self, store => store.search(query))
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RequestId>, ReadError> {
        ask!(self, store => store.due(now, limit))
    }
}
