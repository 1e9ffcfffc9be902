//! Orders, the reading side: beside the writer, on the last commit. Every list is bounded by its caller and by an index.

use contracts::{OrderId, UserId};
use rusqlite::{Connection, OptionalExtension as _, params};
use storage::StoreError;
use storage::sqlite::micros;

use super::rows::{self, event_columns, order_columns};
use super::{SqliteWallet, collect, limit_of};
use crate::domain::{LogEntry, Order, OrderState};
use crate::ports::SagaFilter;

const ORDER: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet_orders WHERE order_id = ?1 AND user_id = ?2"
);
const NAMED: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet_orders INDEXED BY wallet_orders_reference WHERE user_id = ?1 AND client_reference = ?2"
);
const LOG_AFTER: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM wallet_order_events WHERE order_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"
);
const LOG: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM wallet_order_events WHERE order_id = ?1 ORDER BY seq"
);
const ORDERS: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet_orders INDEXED BY wallet_orders_user WHERE user_id = ?1 AND order_id < ?2
    ORDER BY order_id DESC LIMIT ?3"
);
/// Open orders are few, so they are found by their index and sorted, whatever the filter.
const OPEN: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet_orders INDEXED BY wallet_orders_due
    WHERE state NOT IN ('completed', 'failed') AND order_id > ?1 AND created_at <= ?2
    AND (?3 IS NULL OR instr(?3, ',' || state || ',') > 0) ORDER BY order_id LIMIT ?4"
);
const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM wallet_orders INDEXED BY wallet_orders_due
    WHERE state NOT IN ('completed', 'failed') LIMIT ?1)";

impl SqliteWallet {
    pub(super) async fn read_order(
        &self,
        user: UserId,
        id: OrderId,
    ) -> Result<Option<(Order, Vec<LogEntry>)>, StoreError> {
        let query = move |connection: &Connection| {
            let order = connection
                .prepare_cached(ORDER)?
                .query_row(params![id.get(), user.get()], rows::order)
                .optional()?;
            order.map(|order| Ok((order, read_log(connection, id)?))).transpose()
        };
        self.database.readers().run(query).await
    }

    pub(super) async fn read_orders(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Order>, StoreError> {
        let before = before.unwrap_or(i64::MAX);
        let query = move |connection: &Connection| {
            collect(
                connection,
                ORDERS,
                params![user.get(), before, limit_of(limit)],
                rows::order,
            )
        };
        self.database.readers().run(query).await
    }

    pub(super) async fn read_order_named(
        &self,
        user: UserId,
        client_reference: String,
    ) -> Result<Option<Order>, StoreError> {
        let query = move |connection: &Connection| {
            connection
                .prepare_cached(NAMED)?
                .query_row(params![user.get(), client_reference], rows::order)
                .optional()
        };
        self.database.readers().run(query).await
    }

    pub(super) async fn read_log_after(
        &self,
        id: OrderId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let query = move |connection: &Connection| {
            collect(
                connection,
                LOG_AFTER,
                params![id.get(), after, limit_of(limit)],
                rows::log_entry,
            )
        };
        self.database.readers().run(query).await
    }

    pub(super) async fn read_open_orders(
        &self,
        filter: SagaFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Order>, StoreError> {
        let states = filter.state.map(|filter| {
            let names: Vec<_> = filter.states().into_iter().map(OrderState::as_str).collect();
            format!(",{},", names.join(","))
        });
        let until = filter.created_until.map_or(i64::MAX, micros);
        let query = move |connection: &Connection| {
            collect(
                connection,
                OPEN,
                params![after.unwrap_or(0), until, states, limit_of(limit)],
                rows::order,
            )
        };
        self.database.readers().run(query).await
    }

    pub(super) async fn count_open_orders(&self, limit: usize) -> Result<u64, StoreError> {
        let query = move |connection: &Connection| {
            let mut count = connection.prepare_cached(COUNT)?;
            count.query_row([limit_of(limit)], |row| row.get(0).map(i64::unsigned_abs))
        };
        self.database.readers().run(query).await
    }
}

/// An order's log; its length is bounded by the table of the saga.
pub(super) fn read_log(connection: &Connection, id: OrderId) -> rusqlite::Result<Vec<LogEntry>> {
    collect(connection, LOG, [id.get()], rows::log_entry)
}
