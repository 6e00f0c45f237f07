//! What runs at a target: real PostgreSQL servers and SQLite files, looked at from outside and by other clients; and SQL
//! Server, for which a peer written from the protocol's specification stands in where none is named.

use std::{ops::ControlFlow, time::Duration};

use portcullis::{
    domain::policy::Endpoint,
    domain::{
        connection::{Access, Budget, ConnectionKind, ConnectionName},
        id::{RequestId, SessionId},
        masking::{Cell, ServerColumn},
        operation::{Operation, Param, SqlOperation},
    },
    gateway::ports::{Completion, Ending, Execution, ResultSink, RunError, Targets},
    targets::{LiveTargets, TargetEndpoint},
};
use tokio_util::sync::CancellationToken;

use crate::support::{mariadb, postgres::Database};

mod catalog;
mod effects;
mod endings;
mod limits;
mod losses;
mod mssql;
mod mssql_catalog;
mod mssql_wire;
mod mysql;
mod origins;
mod overreach;
mod reads;
mod sqlite;
mod tls;
mod values;

/// A cell that outlives its row.
#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Json(String),
}

fn text(text: &str) -> Kept {
    Kept::Text(text.into())
}

fn number(digits: &str) -> Kept {
    Kept::Number(digits.into())
}

fn json(json: &str) -> Kept {
    Kept::Json(json.into())
}

/// A sink that keeps what it is given, up to a number of rows.
#[derive(Debug, Default)]
struct Gathered {
    columns: Vec<ServerColumn>,
    rows: Vec<Vec<Kept>>,
    notices: Vec<String>,
    /// Rows taken, of which `rows` holds the first ones only where `keep` says so.
    taken: u64,
    stop_after: Option<u64>,
    drop_rows: bool,
}

impl ResultSink for Gathered {
    fn columns(&mut self, columns: &[ServerColumn]) {
        assert!(self.columns.is_empty(), "columns are told once");
        self.columns = columns.to_vec();
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> ControlFlow<()> {
        assert_eq!(cells.len(), self.columns.len());
        assert!(
            self.stop_after.is_none_or(|limit| self.taken < limit),
            "a row after the sink had enough"
        );
        self.taken += 1;
        if !self.drop_rows {
            self.rows.push(cells.iter().map(keep).collect());
        }
        if self.stop_after == Some(self.taken) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn notice(&mut self, message: &str) {
        self.notices.push(message.to_owned());
    }
}

fn keep(cell: &Cell<'_>) -> Kept {
    match cell {
        Cell::Null => Kept::Null,
        Cell::Bool(value) => Kept::Bool(*value),
        Cell::Number(digits) => number(digits),
        Cell::Text(value) => text(value),
        Cell::Json(value) => json(value),
    }
}

/// One connection, `db`, and a way to ask it things.
struct Target {
    targets: LiveTargets,
    budget: Budget,
    cancel: CancellationToken,
}

type Answer = Result<(Completion, Gathered), RunError>;

impl Target {
    fn of(kind: ConnectionKind, read: &str, write: &str) -> Self {
        let targets = LiveTargets::new();
        let endpoint = |access, url: &str| TargetEndpoint {
            name: name(),
            kind,
            access,
            endpoint: Endpoint::url(url),
        };
        targets
            .configure(vec![
                endpoint(Access::Read, read),
                endpoint(Access::Write, write),
            ])
            .unwrap();
        Self {
            targets,
            budget: Budget::default(),
            cancel: CancellationToken::new(),
        }
    }

    fn postgres(database: &Database) -> Self {
        let (read, write) = (database.read_url(), database.write_url());
        Self::of(ConnectionKind::Postgres, &read, &write)
    }

    /// Reading with a credential that could do anything, so that what holds is the transaction alone.
    fn postgres_unguarded(database: &Database) -> Self {
        let admin = database.admin_url();
        Self::of(ConnectionKind::Postgres, &admin, &admin)
    }

    fn mysql(database: &mariadb::Database) -> Self {
        let (read, write) = (database.read_url(), database.write_url());
        Self::of(ConnectionKind::Mysql, &read, &write)
    }

    /// Reading with a credential that could do anything, so that what holds is the session alone.
    fn mysql_unguarded(database: &mariadb::Database) -> Self {
        let admin = database.admin_url();
        Self::of(ConnectionKind::Mysql, &admin, &admin)
    }

    fn timeout(mut self, millis: u64) -> Self {
        self.budget.timeout = Duration::from_millis(millis);
        self
    }

    async fn run_into(
        &self,
        access: Access,
        sql: &str,
        params: Vec<Param>,
        sink: &mut Gathered,
    ) -> Result<Completion, RunError> {
        let ending = Ending::Commit { at_most: None };
        self.end(access, ending, sql, params, sink).await
    }

    async fn end(
        &self,
        access: Access,
        ending: Ending,
        sql: &str,
        params: Vec<Param>,
        sink: &mut Gathered,
    ) -> Result<Completion, RunError> {
        let execution = Execution {
            request: RequestId::new(&SessionId::new([1; 16]), [2; 16]),
            connection: name(),
            operation: operation(sql, params),
            access,
            budget: self.budget,
            ending,
        };
        self.targets.run(execution, sink, &self.cancel).await
    }

    async fn run(&self, access: Access, sql: &str, params: Vec<Param>) -> Answer {
        let mut sink = Gathered::default();
        let completion = self.run_into(access, sql, params, &mut sink).await?;
        Ok((completion, sink))
    }

    /// A change whose transaction ends as `ending` says.
    async fn change(&self, ending: Ending, sql: &str) -> Answer {
        let mut sink = Gathered::default();
        let ended = self
            .end(Access::Write, ending, sql, vec![], &mut sink)
            .await;
        ended.map(|completion| (completion, sink))
    }

    async fn read(&self, sql: &str) -> Answer {
        self.run(Access::Read, sql, vec![]).await
    }

    async fn write(&self, sql: &str) -> Answer {
        self.run(Access::Write, sql, vec![]).await
    }

    /// The one row of a read.
    async fn row(&self, sql: &str) -> Vec<Kept> {
        let (_, mut gathered) = self
            .read(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(gathered.rows.len(), 1, "{sql}");
        gathered.rows.remove(0)
    }

    /// The one value of a read.
    async fn value(&self, sql: &str) -> Kept {
        let mut row = self.row(sql).await;
        assert_eq!(row.len(), 1, "{sql}");
        row.remove(0)
    }
}

fn name() -> ConnectionName {
    "db".parse().unwrap()
}

fn operation(sql: &str, params: Vec<Param>) -> Operation {
    Operation::Sql(SqlOperation::new(sql.into(), params, None).unwrap())
}

/// What a target said when it refused.
fn refusal<T: std::fmt::Debug>(answer: Result<T, RunError>) -> (String, String, bool) {
    match answer {
        Err(RunError::Refused {
            code,
            message,
            second_wall,
            ..
        }) => (code.unwrap_or_default(), message, second_wall),
        other => panic!("not refused: {other:?}"),
    }
}
