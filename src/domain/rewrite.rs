//! What policy makes of a statement before it lets it through: with a row limit, as its EXPLAIN, or as a dry run.
//!
//! The rewritten operation is what is judged again, digested, run, recorded and shown; what was asked stays on record
//! beside it. An operation is rewritten once.

use std::{cmp::Reverse, collections::BTreeSet, fmt, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    classify::{Facts, server::ServerCatalog, sql},
    connection::ConnectionKind,
    operation::{Operation, SqlOperation},
};

/// How a statement is rewritten; from what leaves most of it to what leaves least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rewrite {
    /// It returns at most so many rows.
    Limit(#[schemars(range(min = 1))] u64),
    /// It is run and rolled back.
    DryRun,
    /// Its plan is shown, and nothing is run.
    Explain,
}

impl Rewrite {
    /// Orders them by how little they leave: of several that policy names, the one that leaves least is done.
    pub fn strictness(self) -> impl Ord {
        match self {
            Self::Limit(rows) => (0, Reverse(rows)),
            Self::DryRun => (1, Reverse(0)),
            Self::Explain => (2, Reverse(0)),
        }
    }
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(rows) => write!(f, "limit of {rows} rows"),
            Self::DryRun => f.write_str("dry run"),
            Self::Explain => f.write_str("EXPLAIN"),
        }
    }
}

/// `operation` rewritten; `None`: it is so already. `Err`: why it cannot be done surely.
pub fn rewrite(
    into: Rewrite,
    kind: ConnectionKind,
    operation: &Operation,
    facts: &Facts,
    catalog: Option<&ServerCatalog>,
) -> Result<Option<Operation>, String> {
    let (Some(dialect), Some(asked)) = (kind.dialect(), operation.sql()) else {
        return Err("it is no SQL, which is all that can be rewritten".into());
    };
    let changed = match into {
        Rewrite::Limit(rows) => SqlOperation {
            statement: sql::limited(dialect, &asked.statement, facts, rows)?,
            ..asked.clone()
        },
        Rewrite::Explain => SqlOperation {
            statement: sql::explained(dialect, &asked.statement, facts)?,
            // Planned as the change it is, by who may change: and nothing of that stays either.
            dry_run: facts.class.changes_something(),
            ..asked.clone()
        },
        Rewrite::DryRun => {
            sql::rehearse(dialect, &asked.statement, facts, catalog)?;
            SqlOperation {
                dry_run: true,
                ..asked.clone()
            }
        }
    };
    Ok((changed != *asked).then_some(Operation::Sql(changed)))
}

/// What was asked before it was rewritten, looked at again when what it became is to run.
#[derive(Clone, Debug)]
pub struct Revisited {
    /// It.
    pub asked: Operation,
    /// What it would do.
    pub facts: Arc<Facts>,
    /// How it was rewritten.
    pub into: Rewrite,
    /// What that makes of it now.
    pub becomes: Result<Option<Operation>, String>,
}

impl Revisited {
    /// Why rewriting no longer makes `operation` of it, which does what `facts` say.
    pub fn differs(&self, operation: &Operation, facts: &Facts) -> Option<&str> {
        match &self.becomes {
            Ok(Some(becomes))
                if becomes == operation && is_no_worse(self.into, facts, &self.facts) =>
            {
                None
            }
            Ok(_) => Some("it would become something else now"),
            Err(why) => Some(why),
        }
    }
}

/// Whether what was made of a statement does nothing that the statement itself would not do. INVARIANT: only then is it
/// used; a rewriting is never a way to do more. What is only planned must do nothing at all: planning runs functions that
/// claim to be immutable, and nobody may know what those do.
pub fn is_no_worse(into: Rewrite, rewritten: &Facts, asked: &Facts) -> bool {
    let (after, before): (BTreeSet<&str>, BTreeSet<&str>) =
        (rewritten.object_names(), asked.object_names());
    rewritten.class <= asked.class
        && (into != Rewrite::Explain || !rewritten.class.changes_something())
        && rewritten
            .effects
            .iter()
            .all(|effect| *effect <= asked.class)
        && after.is_subset(&before)
        && rewritten.functions.is_subset(&asked.functions)
}
