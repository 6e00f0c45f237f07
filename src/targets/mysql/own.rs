//! The gateway's own questions to a server: one after the other, in a transaction that can only read.

use std::time::Duration;

use super::{
    LONGEST_LOCK_WAIT_TO_ROLL_BACK, Mysql, limits,
    names::LookupError,
    session::{Lease, give_back},
    wire::WireError,
};
use crate::{domain::connection::Budget, gateway::ports::RunError};

/// How long one question may take.
const LONGEST: Duration = Duration::from_secs(20);
/// One row of an answer.
const LONGEST_ROW: usize = 64 << 20;
/// All answers together.
const MOST_BYTES: usize = 256 << 20;

/// A row of an answer.
pub(super) type OwnRow = Vec<Option<String>>;

impl From<LookupError> for RunError {
    fn from(error: LookupError) -> Self {
        let refused = |code, message| Self::Refused {
            code,
            message,
            second_wall: false,
            unread: false,
        };
        match error {
            LookupError::Wire(error) => Self::Unreachable(error.to_string()),
            LookupError::Refused(message) => refused(Some(message.code()), message.message),
            other @ LookupError::Hidden(..) => refused(None, other.to_string()),
        }
    }
}

impl Mysql {
    /// The rows of each of `questions`.
    pub(super) async fn ask(&self, questions: &[&str]) -> Result<Vec<Vec<OwnRow>>, RunError> {
        let mut lease = self.lend().await?;
        let answers = answers(&mut lease, questions).await?;
        give_back(lease);
        answers
    }

    /// The same, on a connection that is not lent again: they change what the session may do.
    pub(super) async fn ask_apart(&self, questions: &[&str]) -> Result<Vec<Vec<OwnRow>>, RunError> {
        let mut lease = self.lend().await?;
        let answers = answers(&mut lease, questions).await?;
        lease.discard();
        answers
    }

    async fn lend(&self) -> Result<Lease, RunError> {
        let lent = self.pool.lend().await;
        lent.map_err(|error| RunError::Unreachable(error.to_string()))
    }
}

/// Fails outside where the connection did, inside where the server refused.
async fn answers(
    lease: &mut Lease,
    questions: &[&str],
) -> Result<Result<Vec<Vec<OwnRow>>, RunError>, RunError> {
    let unreachable = |error: WireError| RunError::Unreachable(error.to_string());
    let refused = |message| Ok(Err(LookupError::Refused(message).into()));
    let wire = lease.wire().map_err(unreachable)?;
    wire.limit_packets(LONGEST_ROW);
    let budget = Budget {
        timeout: LONGEST,
        ..Budget::default()
    };
    let limits = limits(wire.flavour(), &budget, LONGEST_LOCK_WAIT_TO_ROLL_BACK);
    wire.queue_own(&limits);
    wire.queue_own("START TRANSACTION READ ONLY");
    wire.send().await.map_err(unreachable)?;
    if let Some(message) = wire.settle().await.map_err(unreachable)? {
        return refused(message);
    }
    let (mut answers, mut bytes) = (Vec::with_capacity(questions.len()), 0);
    for question in questions {
        let rows: Vec<OwnRow> = match wire.own_rows(question).await.map_err(unreachable)? {
            Ok(rows) => rows,
            Err(message) => return refused(message),
        };
        let cells = rows.iter().flatten().flatten();
        bytes += cells.map(String::len).sum::<usize>();
        if bytes > MOST_BYTES {
            return Ok(Err(RunError::Refused {
                code: None,
                message: format!("it is longer than {} MiB", MOST_BYTES >> 20),
                second_wall: false,
                unread: false,
            }));
        }
        answers.push(rows);
    }
    Ok(Ok(answers))
}
