//! Lists a user's orders, newest first.

use contracts::UserId;
use service_kit::extract::{Page, PageQuery};
use storage::StoreError;

use super::Wallet;
use crate::domain::Order;

/// A page of the user's orders.
pub(crate) async fn list_orders(wallet: &Wallet, user: UserId, query: PageQuery) -> Result<Page<Order>, StoreError> {
    let rows = wallet
        .ports
        .orders
        .orders(user, query.cursor, query.limit.rows())
        .await?;
    Ok(Page::cut(rows, query.limit, |order| order.id.get()))
}
