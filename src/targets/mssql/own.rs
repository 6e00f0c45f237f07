//! The gateway's own questions to a server: what a result's columns are, what its catalog holds, what its credential may.
//!
//! Their names are all in the schema `sys`, where nobody can put anything.

use std::{sync::Arc, time::Duration};

use super::{
    After, Failed, Failure, Mssql, SETTINGS, login,
    login::Value,
    lost,
    types::Column,
    wire::{Reply, ServerMessage, Wire, WireError},
};
use crate::{domain::masking::Cell, gateway::ports::RunError};

/// How long all questions of one kind may take together.
const LONGEST: Duration = Duration::from_secs(20);
/// Someone who changes the schema holds what is asked about.
const PREPARE: &str = "SET DEADLOCK_PRIORITY LOW; SET LOCK_TIMEOUT 2000";
/// The longest row: a definition may be long.
const LONGEST_ROW: usize = 16 << 20;
/// The answer to one question.
const MOST_BYTES: usize = 256 << 20;

/// A row, each value as text.
pub(super) type OwnRow = Vec<Option<String>>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    Refused(Box<ServerMessage>),
    Wire(WireError),
    Unexpected(&'static str),
    /// The caller left, or the time was up.
    Stopped,
}

impl From<WireError> for NoAnswer {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<NoAnswer> for Failed {
    fn from(no: NoAnswer) -> Self {
        match no {
            NoAnswer::Refused(message) => (Failure::Server(message), After::Discard),
            NoAnswer::Wire(error) => lost(error),
            NoAnswer::Unexpected(what) => lost(WireError::Protocol(what)),
            NoAnswer::Stopped => (Failure::Stopped, After::Discard),
        }
    }
}

impl From<NoAnswer> for RunError {
    fn from(no: NoAnswer) -> Self {
        let refused = |code, message| Self::Refused {
            code,
            message,
            second_wall: false,
            unread: false,
        };
        match no {
            NoAnswer::Refused(message) => refused(Some(message.code()), message.raw()),
            NoAnswer::Wire(error) => Self::Unreachable(error.to_string()),
            NoAnswer::Unexpected(what) => refused(None, what.to_owned()),
            NoAnswer::Stopped => Self::Cancelled { timeout: true },
        }
    }
}

impl Mssql {
    /// Asks `questions`, one after the other. The answers' rows go to `take`, each with the number of its question; where it
    /// finds a row of another shape, there is no answer.
    pub(super) async fn ask(
        &self,
        questions: &[&str],
        take: impl FnMut(usize, &OwnRow) -> Option<()> + Send,
    ) -> Result<(), RunError> {
        let asked = tokio::time::timeout(LONGEST, self.ask_for_long(questions, take)).await;
        asked.unwrap_or(Err(NoAnswer::Stopped.into()))
    }

    async fn ask_for_long(
        &self,
        questions: &[&str],
        mut take: impl FnMut(usize, &OwnRow) -> Option<()> + Send,
    ) -> Result<(), RunError> {
        let lent = self.pool.lend().await;
        let mut lease = lent.map_err(|error| RunError::Unreachable(error.to_string()))?;
        let answered = async {
            let wire = lease.wire()?;
            wire.stop_on(None);
            wire.limit_tokens(LONGEST_ROW);
            wire.send_own(&format!("{SETTINGS}; {PREPARE}")).await?;
            if let Some(refused) = wire.settle().await? {
                return Err(NoAnswer::Refused(refused));
            }
            for (index, question) in questions.iter().enumerate() {
                for row in rows(wire, question, &[]).await? {
                    take(index, &row).ok_or(NoAnswer::Unexpected("a catalog of another shape"))?;
                }
            }
            Ok(())
        };
        match answered.await {
            Ok(()) => lease.give_back(),
            Err(no) => {
                lease.discard();
                return Err(no.into());
            }
        }
        Ok(())
    }
}

/// The rows of a question.
pub(super) async fn rows(
    wire: &mut Wire,
    question: &str,
    params: &[Option<&str>],
) -> Result<Vec<OwnRow>, NoAnswer> {
    let values: Vec<_> = (1..)
        .zip(params)
        .map(|(number, text)| (format!("@P{number}"), Value::Text(*text)))
        .collect();
    let declared = (1..=params.len()).map(|number| format!("@P{number} nvarchar(max)"));
    let declaration = declared.collect::<Vec<_>>().join(", ");
    let call = login::execute(question, &declaration, &values);
    wire.send_call(&call).await?;
    let mut layout: Arc<[Column]> = Arc::new([]);
    let (mut found, mut bytes) = (Vec::new(), 0);
    let mut refused: Option<Box<ServerMessage>> = None;
    loop {
        match wire.next().await? {
            Reply::Columns(columns) => layout = columns,
            Reply::Row(row) => {
                let mut texts = Vec::with_capacity(layout.len());
                for (value, column) in row.values(&layout).zip(layout.iter()) {
                    texts.push(match value? {
                        None => None,
                        Some(value) => Some(text_of(column, &value)?),
                    });
                }
                bytes += texts.iter().flatten().map(String::len).sum::<usize>();
                if bytes > MOST_BYTES {
                    return Err(NoAnswer::Unexpected("a catalog without end"));
                }
                found.push(texts);
            }
            Reply::Refused(message) => {
                refused.get_or_insert(message);
            }
            Reply::Ready if wire.was_stopped() => return Err(NoAnswer::Stopped),
            Reply::Ready => break,
            _ => {}
        }
    }
    refused.map_or(Ok(found), |message| Err(NoAnswer::Refused(message)))
}

fn text_of(column: &Column, value: &[u8]) -> Result<String, NoAnswer> {
    let mut text = String::new();
    let shown = column.info.kind.write(value, &mut text);
    let shown = shown.map_err(|_| NoAnswer::Unexpected("a catalog that cannot be read"))?;
    Ok(match shown.cell(&text) {
        Cell::Bool(value) => value.to_string(),
        _ => text,
    })
}

/// A server is not needed to see that a question is in its grammar and changes nothing; which of the server's own functions
/// it calls may well be more than an agent is let.
#[cfg(test)]
pub(super) fn assert_only_asks(question: &str) {
    use crate::domain::classify::{Dialect, Effect, sql};
    let facts = sql::classify(Dialect::Mssql, question);
    let asks = |kind: &String| matches!(&**kind, "select" | "values");
    assert!(facts.kinds.iter().all(asks), "{question}: {facts:?}");
    assert_ne!(facts.class, Effect::Unknown, "{question}: {facts:?}");
}
