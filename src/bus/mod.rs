//! The way to approvers.
//!
//! In one local process an approver learns of a question by listing what is pending; the bus says on the log that
//! there is one, and to whoever listens inside the process.

use tokio::sync::broadcast;

use crate::gateway::ports::{ApprovalBus, ApprovalNotice, BoxError};

/// How many notices a slow listener may lag behind before it loses the oldest.
const KEPT: usize = 256;

/// Notices inside one process.
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
}
