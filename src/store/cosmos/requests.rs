//! The read model: one document per request, folded from its events.
//!
//! It is written right after the events it follows, and again from the change feed by whoever asks what is due. Each document
//! says up to which event it was folded, and only gives way to one that knows more: so it does not matter who comes first, or
//! how often.

use std::collections::{BTreeMap, BTreeSet};

use azure_core::http::Etag;
use azure_data_cosmos::{
    Query as CosmosQuery,
    feed::{ContinuationToken, FeedScope},
    models::ChangeFeedItem,
    options::{
        ChangeFeedOptions, ChangeFeedStartFrom, ItemWriteOptions, MaxItemCountHint, Precondition,
        QueryOptions,
    },
};
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cosmos, Trouble, read};
use crate::{
    domain::{
        id::{RequestId, SessionId},
        session::{ApprovalRequested, Event, EventBody, RequestDecided},
    },
    gateway::ports::{Page, Query, RequestStatus, RequestSummary},
    store::projection::{Place, Standing, matches, nanoseconds},
};

/// The document, and the partition, that say how far the change feed was read.
const PROGRESS: &str = "change-feed";
/// The most pages of the change feed that are read at once; what is left comes with the next call.
const MOST_PAGES: usize = 50;
const PAGE: std::num::NonZeroU32 = std::num::NonZeroU32::new(200).unwrap();

/// One request as searches see it.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    id: RequestId,
    session: SessionId,
    /// The sequence number of the last event that it follows.
    through: u64,
    /// Its [`Place`], as text that sorts as it does.
    place: String,
    /// When someone should look after it, as text that sorts by time.
    due: Option<String>,
    status: RequestStatus,
    asked_at: Timestamp,
    decided: RequestDecided,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalRequested>,
    #[serde(rename = "_etag", skip_serializing)]
    etag: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Progress {
    id: String,
    session: String,
    token: String,
}

impl Row {
    /// Folds a request's own events; `None`: the one that decided it is not among them.
    fn fold<'e>(events: impl IntoIterator<Item = &'e Event>, number: i64) -> Option<Self> {
        let mut events = events.into_iter();
        let (first, decided) = events.by_ref().find_map(|event| match &event.body {
            EventBody::RequestDecided(decided) => Some((event, decided)),
            _ => None,
        })?;
        let place = Place {
            asked_at: nanoseconds(first.time),
            number,
        };
        let mut row = Self {
            id: decided.request_id.clone(),
            session: first.subject.clone(),
            through: first.seq,
            place: sortable(place),
            due: None,
            status: RequestStatus::Executing,
            asked_at: first.time,
            decided: (**decided).clone(),
            approval: None,
            etag: None,
        };
        let mut standing = Standing::decided(decided);
        for event in events {
            row.through = event.seq;
            standing = standing.after(event);
            if let EventBody::ApprovalRequested(approval) = &event.body {
                row.approval = Some((**approval).clone());
            }
        }
        row.status = standing.status;
        row.due = standing.due_at.map(|due| sortable_time(nanoseconds(due)));
        Some(row)
    }
}

/// Whether there is a row of a request already.
#[derive(Clone, Copy)]
enum Known {
    /// Its first events were just appended: there is nothing to read.
    New,
    Perhaps,
}

/// Nobody asks before 1970.
fn sortable_time(nanoseconds: i64) -> String {
    format!("{:019}", nanoseconds.max(0))
}

fn sortable(place: Place) -> String {
    format!("{}.{:019}", sortable_time(place.asked_at), place.number)
}

fn place_of(text: &str) -> Result<Place, Trouble> {
    let parts = text.split_once('.');
    let place = parts.and_then(|(asked_at, number)| {
        Some(Place {
            asked_at: asked_at.parse().ok()?,
            number: number.parse().ok()?,
        })
    });
    place.ok_or_else(|| Trouble::Damaged(format!("`{text}` is no place of a request")))
}

impl Cosmos {
    /// Brings the requests that `events`, just appended, are about up to date.
    pub(super) async fn project(&self, events: &[Event]) -> Result<(), Trouble> {
        let requests: BTreeSet<_> = events
            .iter()
            .filter_map(|event| event.body.request())
            .collect();
        for request in requests {
            let own = events
                .iter()
                .filter(|event| event.body.request() == Some(request));
            match Row::fold(own, self.number()) {
                Some(row) => self.put(row, Known::New).await?,
                None => self.refold(request).await?,
            }
        }
        Ok(())
    }

    async fn refold(&self, request: &RequestId) -> Result<(), Trouble> {
        let events = self.events_of(request).await?;
        match Row::fold(&events, self.number()) {
            Some(row) => self.put(row, Known::Perhaps).await,
            None => Ok(()),
        }
    }

    /// Writes `row` unless what is there follows as many events. It keeps the place it was given first.
    async fn put(&self, mut row: Row, mut known: Known) -> Result<(), Trouble> {
        let requests = &self.containers().await?.requests;
        let (session, id) = (row.session.to_string(), row.id.to_string());
        loop {
            let there = match known {
                Known::New => None,
                Known::Perhaps => read::<Row>(requests, &row.session, &id).await?,
            };
            let written = match there {
                Some(there) if there.through >= row.through => return Ok(()),
                Some(there) => {
                    row.place = there.place;
                    let etag = there.etag.unwrap_or_default();
                    let unchanged = ItemWriteOptions::default()
                        .with_precondition(Precondition::IfMatch(Etag::from(etag)));
                    requests
                        .replace_item(session.clone(), &id, &row, Some(unchanged))
                        .await
                }
                None => requests.create_item(session.clone(), &id, &row, None).await,
            };
            match written {
                Ok(_) => return Ok(()),
                // Someone else was first: see what it knows.
                Err(error)
                    if error.status().is_conflict() || error.status().is_precondition_failed() =>
                {
                    known = Known::Perhaps;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Follows the change feed to its end: what a crash kept out of the read model comes in.
    pub(super) async fn catch_up(&self) -> Result<(), Trouble> {
        let containers = self.containers().await?;
        let known = containers
            .requests
            .read_item(PROGRESS, PROGRESS, None)
            .await;
        let known: Option<Progress> = match known {
            Ok(known) => Some(known.into_model()?),
            Err(error) if error.status().is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        let mut options =
            ChangeFeedOptions::default().with_max_item_count(MaxItemCountHint::Limit(PAGE));
        if let Some(known) = known {
            options = options.with_continuation_token(ContinuationToken::from_string(known.token));
        }
        // Each partition says for itself that it has nothing new.
        let ranges = containers.events.read_feed_ranges(None).await?.len();
        let mut pages = containers
            .events
            .query_change_feed::<Changed>(
                FeedScope::full_container(),
                ChangeFeedStartFrom::Beginning,
                Some(options),
            )
            .await?;
        let (mut empty, mut seen) = (0, 0);
        while empty < ranges.max(1) && seen < MOST_PAGES {
            let Some(page) = pages.next().await else {
                break;
            };
            let page = page?;
            let mut changed = BTreeMap::<RequestId, u64>::new();
            for event in page.items().iter().filter_map(ChangeFeedItem::current) {
                if let Some(request) = &event.data.request_id {
                    let last = changed.entry(request.clone()).or_default();
                    *last = event.seq.max(*last);
                }
            }
            if page.items().is_empty() {
                empty += 1;
                continue;
            }
            (empty, seen) = (0, seen + 1);
            for (request, last) in changed {
                // Nearly always whoever appended it has written it here: reading that is a fraction of folding it again.
                let session = request.session();
                let id = request.to_string();
                let known: Option<Row> = read(&containers.requests, &session, &id).await?;
                if known.is_none_or(|known| known.through < last) {
                    self.refold(&request).await?;
                }
            }
        }
        if seen == 0 {
            return Ok(());
        }
        let progress = Progress {
            id: PROGRESS.into(),
            session: PROGRESS.into(),
            token: pages.to_continuation_token()?.as_str().to_owned(),
        };
        // Of two who read it at once the later to write wins; the other's pages are only read again.
        containers
            .requests
            .upsert_item(PROGRESS, PROGRESS, &progress, None)
            .await?;
        Ok(())
    }

    /// Requests something is due for at `now`, the longest due first.
    pub(super) async fn due_at(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<RequestId>, Trouble> {
        #[derive(Deserialize)]
        struct Due {
            id: RequestId,
        }
        let query = CosmosQuery::from("SELECT c.id FROM c WHERE c.due <= @now ORDER BY c.due")
            .with_parameter("@now", sortable_time(nanoseconds(now)))?;
        let requests = &self.containers().await?.requests;
        let found = requests
            .query_items::<Due>(query, FeedScope::full_container(), None)
            .await?;
        let found: Vec<Due> = found.take(limit).try_collect().await?;
        Ok(found.into_iter().map(|due| due.id).collect())
    }

    /// A page of what `query` asks for, beyond `after`. Cosmos DB narrows down what is looked at; what is found is what
    /// every store finds.
    pub(super) async fn find(
        &self,
        query: &Query,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Page, Trouble> {
        let mut asked = CosmosQuery::from("SELECT * FROM c WHERE IS_DEFINED(c.place)");
        macro_rules! only {
            ($condition:literal, $name:literal, $value:expr) => {
                if let Some(value) = $value {
                    asked = asked
                        .append_text(concat!(" AND ", $condition, $name))
                        .with_parameter($name, value)?;
                }
            };
        }
        let time = |time: Timestamp| sortable_time(nanoseconds(time));
        only!("c.place < ", "@after", after.map(sortable));
        only!("c.place >= ", "@since", query.since.map(time));
        only!("c.place < ", "@until", query.until.map(time));
        only!("c.decided.principal.id = ", "@principal", &query.principal);
        only!("c.decided.connection = ", "@connection", &query.connection);
        only!("c.decided.effect = ", "@effect", query.effect);
        only!("c.decided.decision.action = ", "@action", query.decision);
        only!("c.status = ", "@status", query.status);
        if query.asked {
            asked = asked.append_text(" AND IS_DEFINED(c.approval)");
        }
        let asked = asked.append_text(" ORDER BY c.place DESC");
        let pages = QueryOptions::default().with_max_item_count(MaxItemCountHint::Limit(PAGE));
        let requests = &self.containers().await?.requests;
        let mut found = requests
            .query_items::<Row>(asked, FeedScope::full_container(), Some(pages))
            .await?;
        let mut page = Page::default();
        let mut last = None;
        while let Some(row) = found.try_next().await? {
            if !matches(
                query,
                &row.decided,
                row.asked_at,
                row.approval.as_ref(),
                row.status,
            ) {
                continue;
            }
            if page.requests.len() == limit {
                page.next = last.map(Place::cursor);
                break;
            }
            last = Some(place_of(&row.place)?);
            page.requests.push(RequestSummary {
                decided: row.decided,
                asked_at: row.asked_at,
                approval: row.approval,
                status: row.status,
            });
        }
        Ok(page)
    }
}

/// What is looked at of a document in the change feed.
#[derive(Deserialize)]
struct Changed {
    seq: u64,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    request_id: Option<RequestId>,
}
