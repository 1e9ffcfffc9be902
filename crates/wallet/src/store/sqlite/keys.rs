//! Idempotency keys on SQLite: for how long programs have run on this database, and which keys are old by that.
//!
//! Numbers of orders and deposits only ascend, so one row says of all of them whether they were there when so much was
//! counted, and none of them carries a time of its own for it.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};
use storage::StoreError;
use storage::sqlite::Tx;

use super::{SqliteWallet, limit_of};
use crate::ports::KeyStore;

const RAN: &str = "SELECT coalesce(max(ran), 0) FROM wallet_key_marks";
const COUNT: &str = "INSERT INTO wallet_key_marks (ran, last_order, last_deposit)
    SELECT ?2, (SELECT coalesce(max(order_id), 0) FROM wallet_orders),
        (SELECT coalesce(max(deposit_id), 0) FROM wallet_deposits)
    WHERE ?1 = (SELECT coalesce(max(ran), 0) FROM wallet_key_marks)
    ON CONFLICT DO NOTHING";
const THERE_BY: &str = "SELECT ran, last_order, last_deposit FROM wallet_key_marks WHERE ran <= ?1
    ORDER BY ran DESC LIMIT 1";
/// Whoever asks for less later asks for what is forgotten already.
const DROP_BEFORE: &str = "DELETE FROM wallet_key_marks WHERE ran < ?1";
const FORGET_OF_ORDERS: &str = "UPDATE wallet_orders SET idempotency_key = NULL, fingerprint = NULL WHERE order_id IN (
    SELECT order_id FROM wallet_orders INDEXED BY wallet_orders_keyed
    WHERE idempotency_key IS NOT NULL AND order_id <= ?1 AND (state = 'completed' OR state = 'failed')
    ORDER BY order_id LIMIT ?2)";
const FORGET_OF_DEPOSITS: &str =
    "UPDATE wallet_deposits SET idempotency_key = NULL, fingerprint = NULL WHERE deposit_id IN (
    SELECT deposit_id FROM wallet_deposits INDEXED BY wallet_deposits_keyed
    WHERE idempotency_key IS NOT NULL AND deposit_id <= ?1 AND status = 'booked'
    ORDER BY deposit_id LIMIT ?2)";

#[async_trait]
impl KeyStore for SqliteWallet {
    async fn running_time(&self) -> Result<Duration, StoreError> {
        self.database.writer().run(|tx: &mut Tx<'_>| ran(tx)).await
    }

    async fn count_running_time(&self, seen: Duration, more: Duration) -> Result<Duration, StoreError> {
        let job = move |tx: &mut Tx<'_>| {
            tx.prepare_cached(COUNT)?
                .execute(params![micros_of(seen), micros_of(seen.saturating_add(more))])?;
            ran(tx)
        };
        self.database.writer().run(job).await
    }

    async fn forget_keys(&self, until: Duration, limit: usize) -> Result<usize, StoreError> {
        let job = move |tx: &mut Tx<'_>| {
            let there_by = tx
                .prepare_cached(THERE_BY)?
                .query_row([micros_of(until)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((mark, order, deposit)): Option<(i64, i64, i64)> = there_by else {
                return Ok(0);
            };
            tx.prepare_cached(DROP_BEFORE)?.execute([mark])?;
            let limit = limit_of(limit);
            let orders = tx.prepare_cached(FORGET_OF_ORDERS)?.execute([order, limit])?;
            let deposits = tx.prepare_cached(FORGET_OF_DEPOSITS)?.execute([deposit, limit])?;
            Ok(orders + deposits)
        };
        self.database.writer().run(job).await
    }
}

fn ran(connection: &Connection) -> rusqlite::Result<Duration> {
    let micros: i64 = connection.prepare_cached(RAN)?.query_row((), |row| row.get(0))?;
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
