//! Reads one order with its log.

use contracts::{OrderId, UserId};
use storage::StoreError;

use super::Wallet;
use crate::domain::{LogEntry, Order};

/// The user's order; `None` when there is none, or it is another user's.
pub(crate) async fn read_order(
    wallet: &Wallet,
    user: UserId,
    id: OrderId,
) -> Result<Option<(Order, Vec<LogEntry>)>, StoreError> {
    wallet.ports.orders.order(user, id).await
}
