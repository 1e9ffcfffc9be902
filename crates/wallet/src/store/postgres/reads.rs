//! Orders, the reading side. Every list is bounded by its caller and by an index; what belongs together is read by one
//! statement, which sees one moment.

use contracts::{OrderId, UserId};
use storage::StoreError;
use storage::postgres::{TxError, text};
use tokio_postgres::Row;

use super::rows::{self, ORDER_COLUMNS, event_columns, order_columns};
use super::{PostgresWallet, limit_of};
use crate::domain::{LogEntry, Order, OrderState};
use crate::ports::SagaFilter;
use crate::store::audit::OrderFacts;

/// An order with its log: one row for each entry.
pub(super) const ORDER: &str = concat!(
    "SELECT ",
    order_columns!(),
    ", ",
    event_columns!(),
    " FROM wallet.orders LEFT JOIN wallet.order_events USING (order_id)
    WHERE order_id = $1 AND user_id = coalesce($2, user_id) ORDER BY seq"
);
const NAMED: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet.orders WHERE user_id = $1 AND client_reference = $2"
);
const LOG_AFTER: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM wallet.order_events WHERE order_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
);
const ORDERS: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet.orders WHERE user_id = $1 AND order_id < $2 ORDER BY order_id DESC LIMIT $3"
);
/// Open orders are few, so they are found by their index and sorted, whatever the filter. The condition repeats that of the
/// partial index.
const OPEN: &str = concat!(
    "SELECT * FROM (SELECT ",
    order_columns!(),
    " FROM wallet.orders WHERE state NOT IN ('completed', 'failed') OFFSET 0) AS unfinished
    WHERE order_id > $1 AND created_at <= $2 AND ($3::text[] IS NULL OR state = ANY ($3)) ORDER BY order_id LIMIT $4"
);
/// Along the partial index, of which the order reminds the planner.
const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM wallet.orders WHERE state NOT IN ('completed', 'failed')
    ORDER BY next_attempt_at LIMIT $1) AS unfinished";

impl PostgresWallet {
    pub(super) async fn read_order(
        &self,
        user: UserId,
        id: OrderId,
    ) -> Result<Option<(Order, Vec<LogEntry>)>, StoreError> {
        let rows = self.database.query(ORDER, &[&id.get(), &Some(user.get())]).await?;
        let found = with_logs(&rows)?.pop();
        Ok(found.map(|OrderFacts { order, log }| (order, log)))
    }

    pub(super) async fn read_orders(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Order>, StoreError> {
        let before = before.unwrap_or(i64::MAX);
        let rows = self
            .database
            .query(ORDERS, &[&user.get(), &before, &limit_of(limit)])
            .await?;
        to_orders(&rows)
    }

    pub(super) async fn read_order_named(
        &self,
        user: UserId,
        client_reference: String,
    ) -> Result<Option<Order>, StoreError> {
        let rows = self
            .database
            .query(NAMED, &[&user.get(), &text(client_reference)])
            .await?;
        Ok(to_orders(&rows)?.pop())
    }

    pub(super) async fn read_log_after(
        &self,
        id: OrderId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let rows = self
            .database
            .query(LOG_AFTER, &[&id.get(), &after, &limit_of(limit)])
            .await?;
        let entries = rows.iter().map(|row| rows::log_entry(row, 0));
        Ok(entries.collect::<Result<_, TxError>>()?)
    }

    pub(super) async fn read_open_orders(
        &self,
        filter: SagaFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Order>, StoreError> {
        let states: Option<Vec<&str>> = filter
            .state
            .map(|filter| filter.states().into_iter().map(OrderState::as_str).collect());
        let until = filter.created_until.map_or(i64::MAX, jiff::Timestamp::as_microsecond);
        let rows = self
            .database
            .query(OPEN, &[&after.unwrap_or(0), &until, &states, &limit_of(limit)])
            .await?;
        to_orders(&rows)
    }

    pub(super) async fn count_open_orders(&self, limit: usize) -> Result<u64, StoreError> {
        Ok(rows::count(&self.database.query(COUNT, &[&limit_of(limit)]).await?)?)
    }
}

fn to_orders(rows: &[Row]) -> Result<Vec<Order>, StoreError> {
    let orders = rows.iter().map(|row| rows::order(row, 0));
    Ok(orders.collect::<Result<_, TxError>>()?)
}

/// Orders with their logs, from rows of one entry each that are sorted by order and entry. An order without a log has a row
/// all the same. The length of a log is bounded by the table of the saga.
pub(super) fn with_logs(rows: &[Row]) -> Result<Vec<OrderFacts>, TxError> {
    let mut found: Vec<OrderFacts> = Vec::new();
    for row in rows {
        let id = rows::order_id(row, 0)?;
        if found.last().is_none_or(|facts| facts.order.id != id) {
            let order = rows::order(row, 0)?;
            found.push(OrderFacts { order, log: Vec::new() });
        }
        let has_entry = row.try_get::<_, Option<i64>>(ORDER_COLUMNS)?.is_some();
        if let (Some(facts), true) = (found.last_mut(), has_entry) {
            facts.log.push(rows::log_entry(row, ORDER_COLUMNS)?);
        }
    }
    Ok(found)
}
