//! Lists the sagas that have not ended, oldest first: what an operator looks at.

use service_kit::extract::{Page, PageQuery};
use storage::StoreError;

use super::Wallet;
use crate::domain::Order;
use crate::ports::SagaFilter;

/// A page of the orders that are not at their end.
pub(crate) async fn list_sagas(
    wallet: &Wallet,
    filter: SagaFilter,
    query: PageQuery,
) -> Result<Page<Order>, StoreError> {
    let rows = wallet
        .ports
        .orders
        .open_orders(filter, query.cursor, query.limit.rows())
        .await?;
    Ok(Page::cut(rows, query.limit, |order| order.id.get()))
}
