//! Runs one permitted operation at the thing it is for, and streams back what comes, raw: masking is the caller's.
//!
//! Holds the addresses and credentials, and gives each execution the connection's credential for its access: reads get
//! the read credential in a transaction that cannot write, so a wrong judgement upstream still changes nothing.
//!
//! Refuses to know: policy, masking, the record. Never retries.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        classify::{server::ServerCatalog, sql::JudgedCatalog},
        connection::{Access, ConnectionKind, ConnectionName},
        operation::Operation,
        policy,
        session::Preview,
    },
    gateway::ports::{CatalogError, Completion, Execution, ResultSink, RunError, Targets},
};

use catalog::CatalogCache;

pub use overreach::Overreach;

mod catalog;
mod command;
mod credential;
mod definition;
mod http;
mod mssql;
mod mysql;
mod overreach;
mod pool;
mod postgres;
mod sqlite;
mod trust;

/// Where one connection leads with one of its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetEndpoint {
    /// The connection.
    pub name: ConnectionName,
    /// What speaks there.
    pub kind: ConnectionKind,
    /// Which of its credentials this is.
    pub access: Access,
    /// The address or whatever else it is, credential included: `postgres://user:password@host/database`, `mysql://…` and
    /// `mssql://…` alike, or for SQLite a path, with or without `sqlite:` before it.
    pub endpoint: policy::Endpoint,
}

/// An endpoint that cannot be used. The message never repeats the url.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connection `{name}`, {} credential: {problem}", match .access { Access::Read => "read", Access::Write => "write" })]
pub struct BadEndpoint {
    /// The connection.
    pub name: ConnectionName,
    /// Which of its credentials.
    pub access: Access,
    /// What is wrong and how to mend it.
    pub problem: String,
}

/// Everything that can be reached, by connection and credential.
#[derive(Default)]
pub struct LiveTargets {
    endpoints: RwLock<HashMap<(ConnectionName, Access), Arc<Endpoint>>>,
}

struct Endpoint {
    from: policy::Endpoint,
    target: Target,
    /// As its credential sees it. Only that of a read credential is ever asked for.
    catalog: CatalogCache,
}

#[derive(Clone)]
enum Target {
    Command(Arc<command::Commands>),
    Http(Arc<http::Http>),
    Mssql(Arc<mssql::Mssql>),
    Mysql(Arc<mysql::Mysql>),
    Postgres(Arc<postgres::Postgres>),
    Sqlite(Arc<sqlite::Sqlite>),
}

impl fmt::Debug for LiveTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(endpoints.keys()).finish()
    }
}

impl LiveTargets {
    /// Nothing can be reached yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `endpoints` all there is to be reached, or, if one of them cannot be used, changes nothing. Connects to
    /// nothing. Endpoints that stay the same keep their open connections; what runs on removed ones is left to finish.
    pub fn configure(&self, endpoints: Vec<TargetEndpoint>) -> Result<(), BadEndpoint> {
        let current = self
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut next = HashMap::new();
        for endpoint in endpoints {
            let key = (endpoint.name.clone(), endpoint.access);
            let kept = current
                .get(&key)
                .filter(|known| known.from == endpoint.endpoint && known.kind() == endpoint.kind);
            let endpoint = match kept {
                Some(known) => known.clone(),
                None => Arc::new(Endpoint::open(&endpoint).map_err(|problem| BadEndpoint {
                    name: endpoint.name.clone(),
                    access: endpoint.access,
                    problem,
                })?),
            };
            next.insert(key, endpoint);
        }
        let mut endpoints = self
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *endpoints, next);
        for (key, endpoint) in before {
            let stays = endpoints
                .get(&key)
                .is_some_and(|now| Arc::ptr_eq(now, &endpoint));
            if !stays {
                endpoint.close();
            }
        }
        Ok(())
    }

    /// What the read credential of `connection` could do that a credential for reading should not.
    pub async fn overreach(&self, connection: &ConnectionName) -> Result<Vec<Overreach>, RunError> {
        let Some(read) = self.endpoint(connection, Access::Read) else {
            return Err(no_credential(connection, Access::Read));
        };
        let mut found = Vec::new();
        // Two credentials that are one: whatever is allowed once is allowed to every read. A file has no credentials.
        let write = self.endpoint(connection, Access::Write);
        let has_credentials = read.kind() != ConnectionKind::Sqlite;
        if has_credentials && write.is_some_and(|write| write.from == read.from) {
            found.push(Overreach::new(
                "reads and writes have the same credential",
                format!(
                    "in the policy: give `connections.{connection}.read` the url of a role that may only read"
                ),
            ));
        }
        found.extend(read.target.overreach().await?);
        Ok(found)
    }

    fn endpoint(&self, name: &ConnectionName, access: Access) -> Option<Arc<Endpoint>> {
        let endpoints = self
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        endpoints.get(&(name.clone(), access)).cloned()
    }
}

impl Target {
    /// What users have made there, as this credential sees it; `writer` is the one that may change it.
    async fn catalog(self, writer: Option<Self>) -> Result<ServerCatalog, RunError> {
        match self {
            Self::Mysql(mysql) => {
                let writer = writer.and_then(|writer| match writer {
                    Self::Mysql(writer) => Some(writer),
                    _ => None,
                });
                mysql.catalog(writer).await
            }
            Self::Postgres(postgres) => postgres.catalog().await,
            Self::Sqlite(sqlite) => sqlite.catalog().await,
            Self::Mssql(mssql) => mssql.catalog().await,
            Self::Command(_) | Self::Http(_) => Ok(ServerCatalog::default()),
        }
    }

    async fn overreach(&self) -> Result<Vec<Overreach>, RunError> {
        match self {
            Self::Mysql(mysql) => mysql.overreach().await,
            Self::Postgres(postgres) => postgres.overreach().await,
            Self::Sqlite(sqlite) => sqlite.overreach().await,
            Self::Mssql(mssql) => mssql.overreach().await,
            Self::Command(commands) => commands.overreach().await,
            // What such a credential may do is known to whoever is called with it.
            Self::Http(_) => Ok(Vec::new()),
        }
    }
}

impl Endpoint {
    fn open(endpoint: &TargetEndpoint) -> Result<Self, String> {
        use policy::Endpoint::{Database, Http, Programs};
        let (name, access) = (&endpoint.name, endpoint.access);
        let target = match (endpoint.kind, &endpoint.endpoint) {
            (ConnectionKind::Command, Programs(programs)) => {
                Target::Command(Arc::new(command::Commands::open(programs)?))
            }
            (ConnectionKind::Http, Http(upstream)) => {
                Target::Http(Arc::new(http::Http::open(upstream)?))
            }
            (ConnectionKind::Mssql, Database { url, token }) => {
                Target::Mssql(mssql::Mssql::open(url, *token, access)?)
            }
            (ConnectionKind::Postgres, Database { url, token }) => {
                Target::Postgres(postgres::Postgres::open(url, *token, access)?)
            }
            (ConnectionKind::Mysql, Database { url, token }) => {
                Target::Mysql(mysql::Mysql::open(url, *token, access)?)
            }
            (ConnectionKind::Sqlite, Database { token: Some(_), .. }) => {
                return Err("a SQLite file takes no token: remove it".into());
            }
            (ConnectionKind::Sqlite, Database { url, .. }) => {
                Target::Sqlite(sqlite::Sqlite::open(url, access)?)
            }
            (ConnectionKind::Command | ConnectionKind::Http, Database { .. })
            | (_, Programs(_) | Http(_)) => {
                return Err(format!("`{name}` is of another kind than what it leads to"));
            }
        };
        Ok(Self {
            from: endpoint.endpoint.clone(),
            target,
            catalog: CatalogCache::default(),
        })
    }

    fn kind(&self) -> ConnectionKind {
        match self.target {
            Target::Mssql(_) => ConnectionKind::Mssql,
            Target::Postgres(_) => ConnectionKind::Postgres,
            Target::Mysql(_) => ConnectionKind::Mysql,
            Target::Sqlite(_) => ConnectionKind::Sqlite,
            Target::Command(_) => ConnectionKind::Command,
            Target::Http(_) => ConnectionKind::Http,
        }
    }

    fn close(&self) {
        match &self.target {
            Target::Mssql(mssql) => mssql.close(),
            Target::Postgres(postgres) => postgres.close(),
            Target::Mysql(mysql) => mysql.close(),
            Target::Sqlite(sqlite) => sqlite.close(),
            // Nothing stays open between two commands; what is open to an API closes with the last call.
            Target::Command(_) | Target::Http(_) => {}
        }
    }
}

impl Targets for LiveTargets {
    async fn run(
        &self,
        execution: Execution,
        sink: &mut dyn ResultSink,
        cancel: &CancellationToken,
    ) -> Result<Completion, RunError> {
        let Some(endpoint) = self.endpoint(&execution.connection, execution.access) else {
            return Err(no_credential(&execution.connection, execution.access));
        };
        let (budget, ending) = (&execution.budget, execution.ending);
        match (&endpoint.target, &execution.operation) {
            (Target::Mssql(target), Operation::Sql(operation)) => {
                target.run(operation, budget, ending, sink, cancel).await
            }
            (Target::Postgres(target), Operation::Sql(operation)) => {
                target.run(operation, budget, ending, sink, cancel).await
            }
            (Target::Mysql(target), Operation::Sql(operation)) => {
                target.run(operation, budget, ending, sink, cancel).await
            }
            (Target::Sqlite(target), Operation::Sql(operation)) => {
                target.run(operation, budget, ending, sink, cancel).await
            }
            (Target::Command(target), Operation::Command(operation)) => {
                let access = execution.access;
                target.run(operation, access, budget, sink, cancel).await
            }
            (Target::Http(target), Operation::Http(operation)) => {
                let access = execution.access;
                target.run(operation, access, budget, sink, cancel).await
            }
            (Target::Command(_) | Target::Http(_), Operation::Sql(_))
            | (_, Operation::Command(_) | Operation::Http(_)) => {
                Err(other_kind(&execution.connection))
            }
        }
    }

    async fn catalog(
        &self,
        connection: &ConnectionName,
    ) -> Result<Option<Arc<JudgedCatalog>>, CatalogError> {
        let Some(endpoint) = self.endpoint(connection, Access::Read) else {
            return Err(no_credential(connection, Access::Read).into());
        };
        let Some(dialect) = endpoint.kind().dialect() else {
            return Ok(None);
        };
        let now = Instant::now();
        let writer = self.endpoint(connection, Access::Write);
        let load = || {
            let writer = writer.map(|writer| writer.target.clone());
            endpoint.target.clone().catalog(writer)
        };
        endpoint.catalog.get(dialect, now, load).await.map(Some)
    }

    fn catalog_changed(&self, connection: &ConnectionName) {
        for access in [Access::Read, Access::Write] {
            if let Some(endpoint) = self.endpoint(connection, access) {
                endpoint.catalog.changed();
                if let Target::Mssql(mssql) = &endpoint.target {
                    mssql.catalog_changed();
                }
            }
        }
    }

    async fn preview(
        &self,
        connection: &ConnectionName,
        operation: &Operation,
        limit: Duration,
    ) -> Preview {
        let Some(endpoint) = self.endpoint(connection, Access::Read) else {
            return unknown_reach("the connection has no read credential to estimate with");
        };
        match (&endpoint.target, operation) {
            (Target::Mssql(_), _) => mssql::Mssql::preview(),
            (Target::Postgres(target), Operation::Sql(operation)) => {
                target.preview(operation, limit).await
            }
            (Target::Mysql(target), Operation::Sql(operation)) => {
                target.preview(operation, limit).await
            }
            (Target::Sqlite(_), _) => unknown_reach("SQLite's planner does not estimate rows"),
            (Target::Command(_), _) | (_, Operation::Command(_)) => {
                unknown_reach("what a command reaches is not known before it runs")
            }
            (Target::Http(_), _) | (_, Operation::Http(_)) => {
                unknown_reach("what a call reaches, its API alone knows")
            }
        }
    }
}

/// The policy has changed since this was judged.
fn other_kind(connection: &ConnectionName) -> RunError {
    RunError::Unreachable(format!(
        "connection `{connection}` has become one of another kind since this was asked"
    ))
}

fn no_credential(connection: &ConnectionName, access: Access) -> RunError {
    let credential = match access {
        Access::Read => "read",
        Access::Write => "write",
    };
    RunError::Unreachable(format!(
        "connection `{connection}` has no {credential} credential in the policy"
    ))
}

/// A preview that says why it cannot say.
fn unknown_reach(why: impl Into<String>) -> Preview {
    Preview {
        estimated_rows: None,
        note: why.into(),
    }
}
