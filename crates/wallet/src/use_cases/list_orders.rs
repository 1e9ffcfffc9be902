//! Lists a user's orders, newest first; or finds the one of a client reference.

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

/// The user's order of this client reference, as a page of a list: there is one at most.
pub(crate) async fn list_named(
    wallet: &Wallet,
    user: UserId,
    client_reference: String,
    query: PageQuery,
) -> Result<Page<Order>, StoreError> {
    let order = wallet.ports.orders.order_named(user, client_reference).await?;
    let before = query.cursor.unwrap_or(i64::MAX);
    let rows = order.into_iter().filter(|order| order.id.get() < before).collect();
    Ok(Page::cut(rows, query.limit, |order| order.id.get()))
}
