//! The way to approvers, and back.
//!
//! | file | owns |
//! |---|---|
//! | here | notices inside one process; which way this process has |
//! | `address` | where a broker is and how to log in there |
//! | `connection` | one AMQP connection: TLS, login, tokens and their renewal, links |
//! | `broker` | questions out, over one long-lived connection |
//! | `receiver` | answers in, where no Functions host brings them |
//! | `lock` | a session of Service Bus, locked for as long as an answer takes |
//!
//! AMQP 1.0 with `fe2o3-amqp` from 0.18.2 on, and no other client: before that (and so in `azure_core_amqp` and
//! `azservicebus`, which are built on it) a send could wait for ever on an answer that had come; `azure_messaging_servicebus`
//! knows shared keys alone, and there are none here. Even so, nothing here is awaited without a limit.

mod address;
mod broker;
mod connection;
mod lock;
mod receiver;

use tokio::sync::broadcast;

use crate::gateway::ports::{ApprovalBus, ApprovalNotice, BoxError, RefusedAnswer};

pub use address::{Address, BadAddress};
pub use broker::Broker;
pub use connection::BusError;
pub use receiver::{Incoming, Receiver, Settlement};

/// Questions to approvers.
pub const REQUESTS: &str = "approval-requests";
/// Answers of approvers.
pub const DECISIONS: &str = "approval-decisions";
/// Answers that will never be taken.
pub const REFUSED: &str = "approval-decisions-refused";

/// How many notices a slow listener may lag behind before it loses the oldest.
const KEPT: usize = 256;

/// The way this process has.
#[derive(Debug)]
pub enum Bus {
    /// Approvers list what is pending.
    InProcess(InProcess),
    /// They are told by messages.
    Broker(Box<Broker>),
}

impl ApprovalBus for Bus {
    async fn publish(&self, notice: &ApprovalNotice) -> Result<(), BoxError> {
        match self {
            Self::InProcess(bus) => bus.publish(notice).await,
            Self::Broker(bus) => bus.publish(notice).await,
        }
    }

    async fn set_aside(&self, refused: &RefusedAnswer) -> Result<(), BoxError> {
        match self {
            Self::InProcess(bus) => bus.set_aside(refused).await,
            Self::Broker(bus) => bus.set_aside(refused).await,
        }
    }
}

/// Notices inside one process. An approver learns of a question by listing what is pending; the bus says on the log that
/// there is one, and to whoever listens inside the process.
#[derive(Debug)]
pub struct InProcess {
    notices: broadcast::Sender<ApprovalNotice>,
}

impl Default for InProcess {
    fn default() -> Self {
        Self {
            notices: broadcast::Sender::new(KEPT),
        }
    }
}

impl InProcess {
    /// Every notice from now on.
    pub fn listen(&self) -> broadcast::Receiver<ApprovalNotice> {
        self.notices.subscribe()
    }
}

impl ApprovalBus for InProcess {
    async fn publish(&self, notice: &ApprovalNotice) -> Result<(), BoxError> {
        let groups = notice.approval.terms.groups();
        tracing::info!(
            approval = %notice.request.request_id.approval(),
            request = %notice.request.request_id,
            "{groups} asked to approve"
        );
        // Nobody listening is no failure: the record holds the question, and approvers list it.
        let _ = self.notices.send(notice.clone());
        Ok(())
    }

    /// The log is where they look.
    async fn set_aside(&self, refused: &RefusedAnswer) -> Result<(), BoxError> {
        tracing::warn!(why = refused.why, message = %refused.message, "an answer was refused");
        Ok(())
    }
}
