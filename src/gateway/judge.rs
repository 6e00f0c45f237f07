//! Facts about operations, remembered: agents send the same statements again and again.
//!
//! INVARIANT: nothing is sent to a target on the strength of its text alone while a catalog could tell more. Where the catalog cannot
//! be read the facts are unknown; where the target cannot be reached nothing is sent, even if it could be by now.

use std::{
    collections::{BTreeSet, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Gateway, Ports,
    ports::{CatalogError, Targets},
};
use crate::domain::{
    classify::{
        Dialect, Facts, command,
        server::{ServerCatalog, Surroundings},
        sql::{self, JudgedCatalog},
    },
    connection::ConnectionName,
    operation::Operation,
    policy::{ConnectionRules, Endpoint},
};

/// How many statements of one connection are remembered before all are forgotten.
const REMEMBERED: usize = 4_096;
/// Longer statements are judged each time: they are rarely the same twice.
const LONGEST_REMEMBERED: usize = 4_096;
/// Longer statements are judged on a thread of their own, so that they hold nobody else up.
const LONGEST_INLINE: usize = 32 << 10;

/// What an operation would do, and whether it may be sent at all.
#[derive(Clone, Debug)]
pub(super) struct Assessed {
    /// What it would do.
    pub(super) facts: Arc<Facts>,
    /// Why the target could not be asked what the names in it mean: then nothing is sent.
    pub(super) unreachable: Option<Arc<str>>,
    judged_in: Option<Arc<JudgedCatalog>>,
}

impl Assessed {
    /// What the target said of itself, where it was asked.
    pub(super) fn catalog(&self) -> Option<&ServerCatalog> {
        self.judged_in.as_deref().map(JudgedCatalog::catalog)
    }
}

/// Where a statement is judged for.
#[derive(Clone, Debug)]
struct Place {
    dialect: Dialect,
    catalog: Option<Arc<JudgedCatalog>>,
    harmless: Arc<BTreeSet<String>>,
}

impl Place {
    fn is(&self, other: &Self) -> bool {
        let same = match (&self.catalog, &other.catalog) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same && self.dialect == other.dialect && self.harmless == other.harmless
    }

    /// A parser that panics on what an agent wrote has not proven it to be a read.
    fn judge(&self, statement: &str) -> Facts {
        let surroundings = Surroundings {
            catalog: self.catalog.as_deref(),
            harmless: Some(&self.harmless),
        };
        judged(|| sql::classify_in(self.dialect, statement, surroundings))
    }
}

/// The statements of one connection that have been judged, all in the same place.
#[derive(Debug)]
struct Remembered {
    place: Place,
    facts: HashMap<Box<str>, Arc<Facts>>,
}

#[derive(Debug, Default)]
pub(super) struct Judge {
    remembered: Mutex<HashMap<ConnectionName, Remembered>>,
}

impl<P: Ports> Gateway<P> {
    /// What `operation` would do on `connection`, as it is there now.
    #[tracing::instrument(level = "debug", name = "judge", skip_all)]
    pub(super) async fn assess(
        &self,
        connection: &ConnectionRules,
        operation: &Operation,
    ) -> Assessed {
        let Some(dialect) = connection.kind.dialect() else {
            return Assessed {
                facts: Arc::new(by_itself(connection, operation).await),
                unreachable: None,
                judged_in: None,
            };
        };
        let (catalog, unreachable) = match self.parts.targets.catalog(&connection.name).await {
            Ok(catalog) => (catalog, None),
            Err(CatalogError::Unreachable(why)) => (None, Some(why)),
            Err(error @ CatalogError::Unreadable(_)) => {
                tracing::error!(connection = %connection.name, %error, "judging nothing");
                let why = format!(
                    "what its names mean on this server is not known, because {error}; whoever looks after the \
                     connection must let its read credential read the system catalog"
                );
                return Assessed {
                    facts: Arc::new(Facts::unknown(why)),
                    unreachable: None,
                    judged_in: None,
                };
            }
        };
        let place = Place {
            dialect,
            catalog: catalog.clone(),
            harmless: Arc::clone(&connection.functions),
        };
        Assessed {
            facts: self.judge.facts(&connection.name, place, operation).await,
            unreachable,
            judged_in: catalog,
        }
    }
}

impl Judge {
    async fn facts(
        &self,
        connection: &ConnectionName,
        place: Place,
        operation: &Operation,
    ) -> Arc<Facts> {
        let Some(sql) = operation.sql() else {
            return Arc::new(Facts::unknown("the connection takes SQL, and this is none"));
        };
        let statement = sql.statement.as_str();
        if statement.len() > LONGEST_INLINE {
            let statement = statement.to_owned();
            let judged = tokio::task::spawn_blocking(move || place.judge(&statement)).await;
            return Arc::new(judged.unwrap_or_else(|_| failed()));
        }
        if statement.len() > LONGEST_REMEMBERED {
            return Arc::new(place.judge(statement));
        }
        if let Some(remembered) = self.lock().get(connection)
            && remembered.place.is(&place)
            && let Some(facts) = remembered.facts.get(statement)
        {
            return Arc::clone(facts);
        }
        let facts = Arc::new(place.judge(statement));
        let mut all = self.lock();
        let remembered = all.entry(connection.clone()).or_insert_with(|| Remembered {
            place: place.clone(),
            facts: HashMap::new(),
        });
        if !remembered.place.is(&place) || remembered.facts.len() >= REMEMBERED {
            remembered.facts.clear();
            remembered.place = place;
        }
        remembered
            .facts
            .insert(statement.into(), Arc::clone(&facts));
        facts
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionName, Remembered>> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operation would do that means the same whatever is on its server.
async fn by_itself(connection: &ConnectionRules, operation: &Operation) -> Facts {
    match (operation, &connection.read) {
        (Operation::Command(command), _) => judged(|| command::classify(&command.argv)),
        (Operation::Http(call), Endpoint::Http(upstream)) if call.body.len() > LONGEST_INLINE => {
            let (call, upstream) = (call.clone(), upstream.clone());
            let facts = tokio::task::spawn_blocking(move || judged(|| upstream.facts(&call)));
            facts.await.unwrap_or_else(|_| failed())
        }
        (Operation::Http(call), Endpoint::Http(upstream)) => judged(|| upstream.facts(call)),
        (Operation::Sql(_) | Operation::Http(_), _) => {
            Facts::unknown("the connection takes something else")
        }
    }
}

fn judged(judge: impl FnOnce() -> Facts) -> Facts {
    catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|_| failed())
}

fn failed() -> Facts {
    Facts::unknown("it could not be judged: the classifier failed on it")
}
