//! What a search of the record can see: one row per request, folded from its events as they are appended.
//!
//! Pure, and shared by every store, so that all of them answer a search alike. It is a read model and proves nothing:
//! whoever acts on it folds the request's events first.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    domain::classify::name,
    domain::session::{Action, Answer, ApprovalRequested, Event, EventBody, RequestDecided},
    gateway::ports::{BadCursor, Cursor, Query, RequestStatus},
};

/// The most requests one page of a search holds.
pub const MAX_PAGE: usize = 200;

/// Where a request stands, and when something is due for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: RequestStatus,
    /// When the question to its approvers lapses, if they were asked.
    pub expires_at: Option<Timestamp>,
    /// When someone should look after it; `None`: nothing is due.
    pub due_at: Option<Timestamp>,
}

impl Standing {
    /// Where a request stands once it is decided.
    pub fn decided(decided: &RequestDecided) -> Self {
        let status = match decided.decision.action {
            Action::Allow => RequestStatus::Executing,
            Action::Deny => RequestStatus::Denied,
            Action::RequireApproval => RequestStatus::PendingApproval,
        };
        Self {
            status,
            expires_at: None,
            due_at: None,
        }
    }

    /// Where it stands after `event`, one of its own.
    #[must_use]
    pub fn after(self, event: &Event) -> Self {
        let becomes = |status| Self {
            status,
            due_at: None,
            ..self
        };
        match &event.body {
            EventBody::SessionOpened(_)
            | EventBody::ConnectionDescribed(_)
            | EventBody::SessionClosed(_)
            | EventBody::RequestDecided(_)
            | EventBody::PreviewStarted(_)
            | EventBody::PreviewFinished(_)
            | EventBody::PreviewFailed(_) => self,
            EventBody::ApprovalRequested(asked) => Self {
                status: RequestStatus::PendingApproval,
                expires_at: Some(asked.terms.expires_at),
                // To be published at once.
                due_at: Some(event.time),
            },
            EventBody::ApprovalPublished(_) if self.status == RequestStatus::PendingApproval => {
                Self {
                    due_at: self.expires_at,
                    ..self
                }
            }
            EventBody::ApprovalPublished(_) => self,
            EventBody::ApprovalDecided(decided) => match decided.answer {
                Answer::Approve => self,
                Answer::Deny => becomes(RequestStatus::ApprovalDenied),
            },
            EventBody::ApprovalGranted(_) => Self {
                due_at: self.expires_at,
                ..becomes(RequestStatus::Approved)
            },
            EventBody::ApprovalExpired(_) => becomes(RequestStatus::ApprovalExpired),
            EventBody::RequestRefused(_) => becomes(RequestStatus::Denied),
            EventBody::ExecutionStarted(started) => Self {
                due_at: Some(started.lease_until),
                ..becomes(RequestStatus::Executing)
            },
            EventBody::ExecutionFinished(_) | EventBody::AnswerReleased(_) => {
                becomes(RequestStatus::Succeeded)
            }
            EventBody::ExecutionFailed(_) => becomes(RequestStatus::Failed),
            EventBody::ExecutionOutcomeUnknown(_) => becomes(RequestStatus::OutcomeUnknown),
        }
    }
}

/// What a search for text looks in, folded so that case does not matter.
pub fn searched_text(decided: &RequestDecided) -> String {
    let mut text = folded(&decided.statement);
    if let Some(reason) = &decided.reason {
        // No one searches across this: it cannot be typed into a statement's rendering.
        text.push('\0');
        text.push_str(&folded(reason));
    }
    text
}

/// Text with its case folded, on both sides of a comparison.
pub fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// The names a request's objects are found by: as recorded, and without the schema.
pub fn searched_objects(decided: &RequestDecided) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for object in &decided.objects {
        let name = folded(&object.name);
        if let Some(bare) = name::parts(&name).and_then(|parts| parts.into_iter().next_back()) {
            names.insert(bare.text);
        }
        names.insert(name);
    }
    names
}

/// Whether a request is one `query` asks for, apart from its place among the pages.
pub fn matches(
    query: &Query,
    decided: &RequestDecided,
    asked_at: Timestamp,
    approval: Option<&ApprovalRequested>,
    status: RequestStatus,
) -> bool {
    fn is<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
        wanted.is_none_or(|wanted| wanted == found)
    }
    is(query.principal.as_ref(), &decided.principal.id)
        && is(query.connection.as_ref(), &decided.connection)
        && is(query.effect.as_ref(), &decided.effect)
        && is(query.decision.as_ref(), &decided.decision.action)
        && is(query.status.as_ref(), &status)
        && (approval.is_some() || !query.asked)
        && query.since.is_none_or(|since| asked_at >= since)
        && query.until.is_none_or(|until| asked_at < until)
        && query
            .object
            .as_ref()
            .is_none_or(|name| searched_objects(decided).contains(&folded(name)))
        && query
            .text
            .as_ref()
            .is_none_or(|text| searched_text(decided).contains(&folded(text)))
}

/// A request's place in the order of search results: by the time it was asked, then by when it was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Nanoseconds since 1970.
    pub asked_at: i64,
    /// A number that grows with every append to this store.
    pub number: i64,
}

impl Place {
    /// The place, as a page's reader sends it back.
    pub fn cursor(self) -> Cursor {
        Cursor(format!("{}.{}", self.asked_at, self.number))
    }

    /// The place a cursor stands for.
    pub fn of(cursor: &Cursor) -> Result<Self, BadCursor> {
        let bad = || BadCursor(cursor.0.chars().take(80).collect());
        let (asked_at, number) = cursor.0.split_once('.').ok_or_else(bad)?;
        Ok(Self {
            asked_at: asked_at.parse().map_err(|_| bad())?,
            number: number.parse().map_err(|_| bad())?,
        })
    }
}

/// Nanoseconds since 1970; what is out of their range is at its end.
pub fn nanoseconds(time: Timestamp) -> i64 {
    let nanoseconds = time.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}
