//! A session of SQL Server as its pool keeps it: the server resets it before the first request of its next use.

use std::sync::Arc;

use super::{
    address::Address,
    wire::{ConnectError, Reply, Wire, WireError},
};
use crate::{
    domain::connection::Access,
    targets::pool::{self, SETTLING, Session},
};

pub(super) type Pool = pool::Pool<Wire>;
pub(super) type Lease = pool::Lease<Wire>;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSession {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(
        "names without a schema would not mean dbo's, as policy reads them: ALTER USER the user of this credential WITH DEFAULT_SCHEMA = dbo"
    )]
    DefaultSchema,
}

impl Session for Wire {
    type Address = Address;
    type Refused = NoSession;
    type Error = WireError;

    async fn open(address: &Address, access: Access) -> Result<Self, NoSession> {
        let mut wire = Self::connect(address, access == Access::Read).await?;
        match uses_dbo(&mut wire).await.map_err(ConnectError::Wire)? {
            true => Ok(wire),
            false => Err(NoSession::DefaultSchema),
        }
    }

    async fn settled(&mut self) -> bool {
        self.stop_on(None);
        let is_ready = matches!(self.settle().await, Ok(None)) && self.is_quiet();
        self.reset_first();
        is_ready
    }

    async fn abandon(mut self, _: Arc<Address>) {
        match tokio::time::timeout(SETTLING, self.stop()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an abandoned statement"),
            Err(_elapsed) => {
                tracing::warn!("the server did not say that it stopped an abandoned statement");
            }
        }
    }

    fn given_away() -> WireError {
        WireError::Protocol("the connection was given away")
    }
}

/// Whether a name without a schema means dbo's. The server lets no session choose.
async fn uses_dbo(wire: &mut Wire) -> Result<bool, WireError> {
    wire.send_own("IF SCHEMA_NAME() <> N'dbo' SELECT 1 AS other")
        .await?;
    let mut found = true;
    loop {
        match wire.next().await? {
            Reply::Row(_) | Reply::Refused(_) => found = false,
            Reply::Ready => return Ok(found),
            _ => {}
        }
    }
}
