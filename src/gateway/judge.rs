//! Facts about operations, remembered: agents send the same statements again and again.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use crate::domain::{
    classify::{Dialect, Facts, sql},
    connection::ConnectionKind,
    operation::Operation,
};

/// How many statements are remembered before all are forgotten.
const REMEMBERED: usize = 4_096;
/// Longer statements are judged each time: they are rarely the same twice.
const LONGEST_REMEMBERED: usize = 4_096;
/// Longer statements are judged on a thread of their own, so that they hold nobody else up.
const LONGEST_INLINE: usize = 32 << 10;

type Remembered = HashMap<(Dialect, Box<str>), Arc<Facts>>;

#[derive(Debug, Default)]
pub(super) struct Judge {
    remembered: Mutex<Remembered>,
}

impl Judge {
    /// What `operation` would do on a connection of this kind.
    pub(super) async fn facts(&self, kind: ConnectionKind, operation: &Operation) -> Arc<Facts> {
        let Operation::Sql(sql) = operation;
        let (dialect, statement) = (kind.dialect(), sql.statement.as_str());
        if statement.len() > LONGEST_INLINE {
            let statement = statement.to_owned();
            let judged = tokio::task::spawn_blocking(move || classify(dialect, &statement)).await;
            return Arc::new(judged.unwrap_or_else(|_| failed()));
        }
        if statement.len() > LONGEST_REMEMBERED {
            return Arc::new(classify(dialect, statement));
        }
        let key = (dialect, Box::from(statement));
        if let Some(facts) = self.lock().get(&key) {
            return Arc::clone(facts);
        }
        let facts = Arc::new(classify(dialect, statement));
        let mut remembered = self.lock();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key, Arc::clone(&facts));
        facts
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A parser that panics on what an agent wrote has not proven it to be a read.
fn classify(dialect: Dialect, statement: &str) -> Facts {
    catch_unwind(AssertUnwindSafe(|| sql::classify(dialect, statement)))
        .unwrap_or_else(|_| failed())
}

fn failed() -> Facts {
    Facts::unknown("the statement could not be judged: the classifier failed on it")
}
