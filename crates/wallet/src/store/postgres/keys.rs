//! Idempotency keys on PostgreSQL: for how long programs have run on this database, and which keys are old by that.
//!
//! Numbers of orders and deposits only ascend, so one row says of all of them whether they were there when so much was
//! counted. They are committed in another order than drawn: whoever counts waits at the gate (`wallet.lock_gate`) until all
//! that were drawn are committed or given up, so that no key is taken for older than it is. Where that takes long, nothing is
//! counted, and the next turn tries again.

use std::time::Duration;

use async_trait::async_trait;
use storage::postgres::{Tx, TxError};
use storage::{StoreError, in_transaction};
use tokio_postgres::Row;

use super::{PostgresWallet, limit_of, rows};
use crate::ports::KeyStore;

const LOCK_GATE: &str = "SELECT wallet.lock_gate()::text";
const RAN: &str = "SELECT coalesce(max(ran), 0) FROM wallet.key_marks";
const COUNT: &str = "INSERT INTO wallet.key_marks (ran, last_order, last_deposit)
    SELECT $2, (SELECT coalesce(max(order_id), 0) FROM wallet.orders),
        (SELECT coalesce(max(deposit_id), 0) FROM wallet.deposits)
    WHERE $1 = (SELECT coalesce(max(ran), 0) FROM wallet.key_marks)
    ON CONFLICT DO NOTHING RETURNING ran";
const THERE_BY: &str = "SELECT ran, last_order, last_deposit FROM wallet.key_marks WHERE ran <= $1
    ORDER BY ran DESC LIMIT 1";
/// Whoever asks for less later asks for what is forgotten already. What another process is at is left to it.
const DROP_BEFORE: &str = "DELETE FROM wallet.key_marks WHERE ran = ANY (ARRAY (
        SELECT ran FROM wallet.key_marks WHERE ran < $1 ORDER BY ran FOR UPDATE SKIP LOCKED))";
const FORGET_OF_ORDERS: &str = "WITH forgotten AS (
        UPDATE wallet.orders SET idempotency_key = NULL, fingerprint = NULL WHERE order_id = ANY (ARRAY (
            SELECT order_id FROM wallet.orders
            WHERE idempotency_key IS NOT NULL AND order_id <= $1 AND state IN ('completed', 'failed')
            ORDER BY order_id LIMIT $2 FOR UPDATE SKIP LOCKED))
        RETURNING order_id)
    SELECT count(*) FROM forgotten";
const FORGET_OF_DEPOSITS: &str = "WITH forgotten AS (
        UPDATE wallet.deposits SET idempotency_key = NULL, fingerprint = NULL WHERE deposit_id = ANY (ARRAY (
            SELECT deposit_id FROM wallet.deposits
            WHERE idempotency_key IS NOT NULL AND deposit_id <= $1 AND status = 'booked'
            ORDER BY deposit_id LIMIT $2 FOR UPDATE SKIP LOCKED))
        RETURNING deposit_id)
    SELECT count(*) FROM forgotten";

#[async_trait]
impl KeyStore for PostgresWallet {
    async fn running_time(&self) -> Result<Duration, StoreError> {
        Ok(ran(&self.database.query(RAN, &[]).await?)?)
    }

    async fn count_running_time(&self, seen: Duration, more: Duration) -> Result<Duration, StoreError> {
        in_transaction!(self.database, tx => count(&mut tx, seen, more))
    }

    async fn forget_keys(&self, until: Duration, limit: usize) -> Result<usize, StoreError> {
        in_transaction!(self.database, tx => forget(&mut tx, until, limit))
    }
}

async fn count(tx: &mut Tx, seen: Duration, more: Duration) -> Result<Duration, TxError> {
    tx.query(LOCK_GATE, &[]).await?;
    tx.query(COUNT, &[&micros_of(seen), &micros_of(seen.saturating_add(more))])
        .await?;
    ran(&tx.query(RAN, &[]).await?)
}

async fn forget(tx: &mut Tx, until: Duration, limit: usize) -> Result<usize, TxError> {
    let there_by = tx.query(THERE_BY, &[&micros_of(until)]).await?;
    let Some(row) = there_by.first() else {
        return Ok(0);
    };
    let (mark, order, deposit): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    tx.write(DROP_BEFORE, vec![Box::new(mark)], None);
    let limit = limit_of(limit);
    let orders = rows::count(&tx.query(FORGET_OF_ORDERS, &[&order, &limit]).await?)?;
    let deposits = rows::count(&tx.query(FORGET_OF_DEPOSITS, &[&deposit, &limit]).await?)?;
    Ok(usize::try_from(orders.saturating_add(deposits)).unwrap_or(usize::MAX))
}

fn ran(rows: &[Row]) -> Result<Duration, TxError> {
    rows::count(rows).map(Duration::from_micros)
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
