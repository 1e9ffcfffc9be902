//! What others may ask the notification service.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{ClientError, Submission};
use crate::OrderId;

/// Tell a user how an order ended. Its step is [`crate::messages::Step::Notify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyCommand {
    /// The order.
    pub order_id: OrderId,
    /// The receiver's address; at most 254 bytes (RFC 5321).
    pub email: String,
    /// The text for the user; at most 4 KiB. Its first line is the subject.
    pub payload: String,
}

/// The `notification` service, as others see it.
#[async_trait]
pub trait Notification: Send + Sync {
    /// Hands over messages, at most [`super::MAX_COMMANDS`]; `outcomes[i]` answers `commands[i]`. Idempotent by
    /// order id: an order has one notification.
    async fn submit(&self, commands: Vec<NotifyCommand>) -> Result<Vec<Submission>, ClientError>;
}
