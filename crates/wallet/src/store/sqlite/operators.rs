//! What operators do to orders on SQLite.

use contracts::OrderId;
use contracts::operators::Instruction;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use storage::StoreError;
use storage::sqlite::{Tx, micros};

use super::SqliteWallet;
use super::moves::load;
use super::reads::read_log;
use crate::domain::Order;
use crate::ports::{MAX_ACTS, SagaRecord};

/// An order that is at its end is due for nothing.
const HURRY: &str = "UPDATE wallet_orders SET next_attempt_at = min(next_attempt_at, ?2), tries = 0
    WHERE order_id = ?1 AND state NOT IN ('completed', 'failed')";

impl SqliteWallet {
    pub(super) async fn read_saga(&self, id: OrderId) -> Result<Option<SagaRecord>, StoreError> {
        let acts = self.acts.clone();
        let query = move |connection: &Connection| {
            let Some(order) = load(connection, id)? else {
                return Ok(None);
            };
            Ok(Some(SagaRecord {
                log: read_log(connection, id)?,
                acts: acts.of(connection, &subject_of(id), MAX_ACTS)?,
                order,
            }))
        };
        self.database.readers().run(query).await
    }

    pub(super) fn hurry_in(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        id: OrderId,
        instruction: &Instruction,
    ) -> rusqlite::Result<Option<Order>> {
        if load(tx, id)?.is_none() {
            return Ok(None);
        }
        tx.prepare_cached(HURRY)?.execute(params![id.get(), micros(now)])?;
        self.acts
            .record(tx, now, ("retry", &subject_of(id)), instruction, None, None)?;
        load(tx, id)
    }
}

fn subject_of(id: OrderId) -> String {
    format!("order:{id}")
}
