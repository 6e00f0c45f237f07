//! The gateway's own questions to a server: several in one flight, in one transaction that can only read.
//!
//! Only `pg_catalog` is searched for their names, so that nothing users have made is called instead of what was meant,
//! and definitions come printed with every name of users' own qualified.

use std::time::Duration;

use super::{
    Postgres,
    names::LookupError,
    wire::{OwnRow, ServerMessage},
};
use crate::gateway::ports::RunError;

/// How long one question may take.
const LONGEST: Duration = Duration::from_secs(20);
/// How long a lock is waited for: printing a view's definition locks what it reads.
const LONGEST_LOCK_WAIT: Duration = Duration::from_secs(2);
/// All answers together.
const MOST_BYTES: usize = 256 << 20;

/// The search path of the session, asked before it is emptied.
pub(super) const SEARCH_PATH: &str =
    "SELECT s FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) s";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("{0}")]
    Unreachable(String),
    #[error("the server refused with {}", .0.code)]
    Refused(Box<ServerMessage>),
    #[error("{0}")]
    Unexpected(String),
}

impl From<NoAnswer> for RunError {
    fn from(error: NoAnswer) -> Self {
        let refused = |code, message| Self::Refused {
            code,
            message,
            second_wall: false,
            unread: false,
        };
        match error {
            NoAnswer::Unreachable(why) => Self::Unreachable(why),
            NoAnswer::Refused(message) => refused(Some(message.code.clone()), message.raw()),
            NoAnswer::Unexpected(why) => refused(None, why),
        }
    }
}

impl From<LookupError> for NoAnswer {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Refused(message) => Self::Refused(message),
            LookupError::Wire(error) => Self::Unreachable(error.to_string()),
            other @ LookupError::Unexpected(_) => Self::Unexpected(other.to_string()),
        }
    }
}

impl Postgres {
    /// Asks what `questions` says to a server of this major version. The answers' rows go to `take`, each with the number of its
    /// question; 0 is [`SEARCH_PATH`], which is asked before the others.
    pub(super) async fn ask(
        &self,
        questions: impl FnOnce(u32) -> Vec<String>,
        mut take: impl FnMut(usize, OwnRow) -> Result<(), LookupError> + Send,
    ) -> Result<(), NoAnswer> {
        let lent = self.pool.lend().await;
        let mut lease = lent.map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
        let unreachable = |error| NoAnswer::from(LookupError::Wire(error));
        let wire = lease.wire().map_err(unreachable)?;
        wire.limit_messages(MOST_BYTES);
        let questions = questions(wire.version());
        let opening = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}",
            LONGEST.as_millis(),
            LONGEST_LOCK_WAIT.as_millis()
        );
        // No row comes from any of these but the second.
        let before = [opening.as_str(), SEARCH_PATH, "SET LOCAL search_path = ''"];
        let flight = before
            .into_iter()
            .chain(questions.iter().map(String::as_str))
            .chain(["ROLLBACK"]);
        for message in flight {
            wire.queue_own(message).map_err(unreachable)?;
        }
        wire.send().await.map_err(unreachable)?;
        let (mut refused, mut wrong, mut bytes) = (None, None, 0);
        for index in 0..before.len() + questions.len() + 1 {
            let question = index.saturating_sub(before.len() - 1);
            let answered = wire.own_answer(|row| {
                bytes += row.iter().flatten().map(String::len).sum::<usize>();
                if wrong.is_none() && bytes <= MOST_BYTES {
                    wrong = take(question, row).err();
                }
            });
            let answered = answered.await.map_err(unreachable)?;
            // After the first, the transaction refuses everything else.
            refused = refused.or(answered);
        }
        if let Some(refused) = refused {
            lease.discard();
            return Err(NoAnswer::Refused(refused));
        }
        lease.give_back();
        match wrong {
            Some(wrong) => Err(wrong.into()),
            None if bytes > MOST_BYTES => Err(NoAnswer::Unexpected(format!(
                "it is longer than {} MiB",
                MOST_BYTES >> 20
            ))),
            None => Ok(()),
        }
    }
}
