//! What an auditor reads of `notification`, whatever the database.

use contracts::OrderId;
use storage::commands::State;

/// The notification of an order, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationFact {
    /// The order.
    pub order_id: OrderId,
    /// Where its notification stands: done is delivered, failed is undeliverable.
    pub state: State,
}
