//! Orders, the writing side. The two verbs on the path of every order, [`accept`] and [`moves`], serve all who wait at once.

use std::time::Duration;

use async_trait::async_trait;
use contracts::operators::Instruction;
use contracts::time::later;
use contracts::{OrderId, UserId};
use jiff::Timestamp;
use storage::postgres::{Param, Tx, TxError};
use storage::{StoreError, in_transaction};
use tokio_postgres::Row;

use super::rows::{self, ORDER_COLUMNS, order_columns};
use super::{PostgresWallet, accept, limit_of, make_due, moves};
use crate::domain::{Event, LogEntry, Order};
use crate::ports::{Advanced, Announce, DeadLetter, NewOrder, OrderStore, Placement, SagaFilter, SagaRecord};

/// The condition repeats that of the partial index. The rows come as they are after it, and when they were due in the last
/// column.
const CLAIM: &str = concat!(
    "WITH due AS MATERIALIZED (
        SELECT order_id, next_attempt_at FROM wallet.orders
        WHERE state NOT IN ('completed', 'failed') AND next_attempt_at <= $1
        ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    UPDATE wallet.orders AS claimed SET tries = tries + 1,
        next_attempt_at = coalesce(($3::bigint[])[least(tries + 1, cardinality($3::bigint[]))], $1)
    WHERE order_id = ANY (ARRAY (SELECT order_id FROM due))
    RETURNING ",
    order_columns!(),
    ", (SELECT next_attempt_at FROM due WHERE due.order_id = claimed.order_id)"
);
/// Nobody has tried them; and they do not come back together: up to five seconds lie between them.
const LEAVE_ASIDE: &str = "UPDATE wallet.orders SET tries = tries - 1,
    next_attempt_at = $2 + (random() * 5000000)::bigint WHERE order_id = ANY ($1)";
/// Those that are due at $3 or later, the first of them, found along the partial index, and locked in the order of their
/// numbers. How many there were, and when the last of them was due.
const MAKE_DUE: &str = "WITH turn AS MATERIALIZED (
        SELECT order_id, next_attempt_at FROM wallet.orders
        WHERE state NOT IN ('completed', 'failed') AND next_attempt_at >= $3 ORDER BY next_attempt_at LIMIT $2),
    locked AS MATERIALIZED (
        SELECT order_id FROM wallet.orders WHERE order_id = ANY (ARRAY (SELECT order_id FROM turn))
        AND state NOT IN ('completed', 'failed') AND next_attempt_at > $1 ORDER BY order_id FOR UPDATE),
    made AS (
        UPDATE wallet.orders SET next_attempt_at = $1 WHERE order_id = ANY (ARRAY (SELECT order_id FROM locked)))
    SELECT count(*), max(next_attempt_at) FROM turn";
const OPEN: &str = "SELECT count(*) FROM wallet.orders WHERE state NOT IN ('completed', 'failed')";

#[async_trait]
impl OrderStore for PostgresWallet {
    async fn create_orders(
        &self,
        now: Timestamp,
        due: Timestamp,
        orders: Vec<NewOrder>,
        announce: Announce<OrderId>,
    ) -> Result<Vec<Placement<Box<Order>, OrderId>>, StoreError> {
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        self.accepting
            .bring(accept::Call::new(now, due, orders, announce))
            .await
    }

    async fn advance(
        &self,
        now: Timestamp,
        due: Timestamp,
        events: Vec<(OrderId, Event)>,
    ) -> Result<Vec<Advanced>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        self.moving.bring(moves::Call::new(now, due, events)).await
    }

    async fn claim_due(&self, now: Timestamp, limit: usize, pauses: Vec<Duration>) -> Result<Vec<Order>, StoreError> {
        in_transaction!(self.database, tx => claim(&mut tx, now, limit, &pauses))
    }

    async fn make_due(&self, now: Timestamp) -> Result<u64, StoreError> {
        make_due(&self.database, MAKE_DUE, OPEN, now.as_microsecond()).await
    }

    async fn order(&self, user: UserId, id: OrderId) -> Result<Option<(Order, Vec<LogEntry>)>, StoreError> {
        self.read_order(user, id).await
    }

    async fn orders(&self, user: UserId, before: Option<i64>, limit: usize) -> Result<Vec<Order>, StoreError> {
        self.read_orders(user, before, limit).await
    }

    async fn order_named(&self, user: UserId, client_reference: String) -> Result<Option<Order>, StoreError> {
        self.read_order_named(user, client_reference).await
    }

    async fn log_after(&self, id: OrderId, after: i64, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.read_log_after(id, after, limit).await
    }

    async fn open_orders(
        &self,
        filter: SagaFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Order>, StoreError> {
        self.read_open_orders(filter, after, limit).await
    }

    async fn count_open(&self, limit: usize) -> Result<u64, StoreError> {
        self.count_open_orders(limit).await
    }

    async fn saga(&self, id: OrderId) -> Result<Option<SagaRecord>, StoreError> {
        self.read_saga(id).await
    }

    async fn hurry(&self, now: Timestamp, id: OrderId, instruction: Instruction) -> Result<Option<Order>, StoreError> {
        in_transaction!(self.database, tx => self.hurry_in(&mut tx, now, id, &instruction))
    }

    async fn bury(&self, now: Timestamp, letters: Vec<DeadLetter>) -> Result<(), StoreError> {
        in_transaction!(self.database, tx => self.bury_in(&mut tx, now, &letters))
    }
}

impl PostgresWallet {
    async fn bury_in(&self, tx: &mut Tx, now: Timestamp, letters: &[DeadLetter]) -> Result<(), TxError> {
        for letter in letters {
            self.outbox
                .bury(tx, now, &letter.source, &letter.payload, &letter.error);
        }
        Ok(())
    }
}

async fn claim(tx: &mut Tx, now: Timestamp, limit: usize, pauses: &[Duration]) -> Result<Vec<Order>, TxError> {
    let found = tx
        .query(CLAIM, &[&now.as_microsecond(), &limit_of(limit), &times(now, pauses)])
        .await?;
    let due = |row: &Row| Ok((row.try_get(ORDER_COLUMNS)?, rows::order(row, 0)));
    let (orders, unreadable) = sorted(&found, due)?;
    if !unreadable.is_empty() {
        tx.write(LEAVE_ASIDE, left_aside(now, unreadable), None);
    }
    Ok(orders)
}

/// How long a row that this program cannot read is left aside at least: while a newer program takes its place both are at
/// work, and the newer one shall find it soon.
const LEFT_ASIDE: Duration = Duration::from_secs(5);

/// What leaving rows aside takes.
pub(super) fn left_aside(now: Timestamp, ids: Vec<i64>) -> Vec<Param> {
    vec![Box::new(ids), Box::new(later(now, LEFT_ASIDE).as_microsecond())]
}

/// The ends of pauses that begin now.
pub(super) fn times(now: Timestamp, pauses: &[Duration]) -> Vec<i64> {
    let ends = pauses.iter().map(|pause| later(now, *pause).as_microsecond());
    ends.collect()
}

/// What was claimed, the longest due first, and the numbers of what this program cannot read: a newer one wrote it, and it
/// must not keep its neighbours from being found. The first column is the number.
pub(super) fn sorted<T>(
    claimed: &[Row],
    read: impl Fn(&Row) -> Result<(i64, Result<T, TxError>), TxError>,
) -> Result<(Vec<T>, Vec<i64>), TxError> {
    let (mut readable, mut unreadable) = (Vec::with_capacity(claimed.len()), Vec::new());
    for row in claimed {
        let id: i64 = row.try_get(0)?;
        match read(row)? {
            (due, Ok(item)) => readable.push((due, id, item)),
            (_, Err(error)) => {
                tracing::error!(id, %error, "a row cannot be read by this program; it is left to the newer one that wrote it");
                unreadable.push(id);
            }
        }
    }
    readable.sort_unstable_by_key(|(due, id, _)| (*due, *id));
    Ok((readable.into_iter().map(|(.., item)| item).collect(), unreadable))
}
