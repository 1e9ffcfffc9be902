//! The facts that the audit checks, read from a snapshot it hands in, so that they fit the ledger's and each other.
//!
//! Nothing is judged here. The audit compares each order's row with [`crate::domain::replay()`] of its log, and both with
//! what the ledger booked.

use contracts::{DepositId, OrderId};
use rusqlite::{Connection, params};

use super::reads::read_log;
use super::rows::{self, deposit_columns, order_columns};
use super::{collect, limit_of};
use crate::domain::Deposit;
pub use crate::store::audit::OrderFacts;

const ORDERS: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet_orders WHERE order_id > ?1 ORDER BY order_id LIMIT ?2"
);
const DEPOSITS: &str = concat!(
    "SELECT ",
    deposit_columns!(),
    " FROM wallet_deposits WHERE deposit_id > ?1 ORDER BY deposit_id LIMIT ?2"
);

/// The condition repeats that of the partial index, so that only what is under way is looked at.
const OPEN: &str = "SELECT order_id FROM wallet_orders INDEXED BY wallet_orders_due
    WHERE state NOT IN ('completed', 'failed')";
const COMPLETED: &str = "SELECT count(*) FROM wallet_orders WHERE order_id >= ?1 AND state = 'completed'";
const LAST: &str = "SELECT coalesce(max(order_id), 0) FROM wallet_orders";

const STUCK: &str = "SELECT count(*) FROM wallet_orders INDEXED BY wallet_orders_due
    WHERE state NOT IN ('completed', 'failed') AND state LIKE 'stuck%'";

/// How many orders are stuck: they wait for an outside answer, or for an operator.
///
/// # Errors
/// What SQLite says.
pub fn stuck_orders(connection: &Connection) -> rusqlite::Result<u64> {
    let count: i64 = connection.prepare_cached(STUCK)?.query_row((), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// At most `limit` orders with an id above `after`, by id, each with its log.
///
/// # Errors
/// What SQLite says, a row that cannot be read included.
pub fn orders(connection: &Connection, after: Option<OrderId>, limit: usize) -> rusqlite::Result<Vec<OrderFacts>> {
    let after = after.map_or(0, OrderId::get);
    let orders = collect(connection, ORDERS, params![after, limit_of(limit)], rows::order)?;
    orders
        .into_iter()
        .map(|order| {
            let log = read_log(connection, order.id)?;
            Ok(OrderFacts { order, log })
        })
        .collect()
}

/// At most `limit` deposits with an id above `after`, by id.
///
/// # Errors
/// What SQLite says, a row that cannot be read included.
pub fn deposits(connection: &Connection, after: Option<DepositId>, limit: usize) -> rusqlite::Result<Vec<Deposit>> {
    let after = after.map_or(0, DepositId::get);
    collect(connection, DEPOSITS, params![after, limit_of(limit)], rows::deposit)
}

/// The numbers of all orders that are not at their end, in no order. Their count is bounded by admission.
///
/// # Errors
/// What SQLite says.
pub fn open_orders(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    connection
        .prepare_cached(OPEN)?
        .query_map((), |row| row.get(0))?
        .collect()
}

/// The number of the newest order; 0 when there is none. Orders are numbered without gaps.
///
/// # Errors
/// What SQLite says.
pub fn last_order(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached(LAST)?.query_row((), |row| row.get(0))
}

/// How many orders are completed, from number `first` on. Reads all of those.
///
/// # Errors
/// What SQLite says.
pub fn completed_orders(connection: &Connection, first: i64) -> rusqlite::Result<u64> {
    let count: i64 = connection
        .prepare_cached(COMPLETED)?
        .query_row([first], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}
