//! The facts that the audit checks, read from a snapshot it hands in, so that they fit the ledger's and each other.
//!
//! Nothing is judged here. The audit compares each order's row with [`crate::domain::replay()`] of its log, and both with
//! what the ledger booked.

use contracts::{DepositId, OrderId};
use storage::postgres::{Tx, TxError};

use super::limit_of;
use super::reads::with_logs;
use super::rows::{self, count, deposit_columns, event_columns, order_columns};
use crate::domain::Deposit;
use crate::store::audit::OrderFacts;

/// A page of orders with their logs: one row for each entry.
const ORDERS: &str = concat!(
    "SELECT ",
    order_columns!(),
    ", ",
    event_columns!(),
    " FROM (SELECT * FROM wallet.orders WHERE order_id > $1 ORDER BY order_id LIMIT $2) AS page
    LEFT JOIN wallet.order_events USING (order_id) ORDER BY order_id, seq"
);
const DEPOSITS: &str = concat!(
    "SELECT ",
    deposit_columns!(),
    " FROM wallet.deposits WHERE deposit_id > $1 ORDER BY deposit_id LIMIT $2"
);
/// The condition repeats that of the partial index, so that only what is under way is looked at.
const OPEN: &str = "SELECT order_id FROM wallet.orders WHERE state NOT IN ('completed', 'failed')";
const COMPLETED: &str = "SELECT count(*) FROM wallet.orders WHERE order_id >= $1 AND state = 'completed'";
const LAST: &str = "SELECT coalesce(max(order_id), 0) FROM wallet.orders";
const STUCK: &str = "SELECT count(*) FROM wallet.orders
    WHERE state NOT IN ('completed', 'failed') AND state LIKE 'stuck%'";

/// How many orders are stuck: they wait for an outside answer, or for an operator.
///
/// # Errors
/// What the database says.
pub async fn stuck_orders(tx: &mut Tx) -> Result<u64, TxError> {
    count(&tx.query(STUCK, &[]).await?)
}

/// At most `limit` orders with an id above `after`, by id, each with its log.
///
/// # Errors
/// What the database says, and a row that this program cannot have written.
pub async fn orders(tx: &mut Tx, after: Option<OrderId>, limit: usize) -> Result<Vec<OrderFacts>, TxError> {
    let after = after.map_or(0, OrderId::get);
    with_logs(&tx.query(ORDERS, &[&after, &limit_of(limit)]).await?)
}

/// At most `limit` deposits with an id above `after`, by id.
///
/// # Errors
/// What the database says, and a row that this program cannot have written.
pub async fn deposits(tx: &mut Tx, after: Option<DepositId>, limit: usize) -> Result<Vec<Deposit>, TxError> {
    let after = after.map_or(0, DepositId::get);
    let rows = tx.query(DEPOSITS, &[&after, &limit_of(limit)]).await?;
    rows.iter().map(|row| rows::deposit(row, 0)).collect()
}

/// The numbers of all orders that are not at their end, in no order. Their count is bounded by admission.
///
/// # Errors
/// What the database says.
pub async fn open_orders(tx: &mut Tx) -> Result<Vec<i64>, TxError> {
    let rows = tx.query(OPEN, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The number of the newest order; 0 when there is none. Numbers may be missing before it: one that was drawn for a request
/// that came again, or for a transaction that failed, is given to nobody.
///
/// # Errors
/// What the database says.
pub async fn last_order(tx: &mut Tx) -> Result<i64, TxError> {
    let rows = tx.query(LAST, &[]).await?;
    let row = rows.first().ok_or_else(|| rows::bad("nobody knows the last order"))?;
    Ok(row.try_get(0)?)
}

/// How many orders are completed, from number `first` on. Reads all of those.
///
/// # Errors
/// What the database says.
pub async fn completed_orders(tx: &mut Tx, first: i64) -> Result<u64, TxError> {
    count(&tx.query(COMPLETED, &[&first]).await?)
}
