//! What others may ask the notification service.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ClientError, Submission};
use crate::OrderId;

/// Tell a user how an order ended. Its step is [`crate::messages::Step::Notify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"order_id": 1, "email": "ada@example.com", "payload": "Your order 1 is completed."})))]
pub struct NotifyCommand {
    /// The order.
    pub order_id: OrderId,
    /// The receiver's address; at most 254 bytes (RFC 5321).
    #[schema(max_length = 254)]
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
