//! What operators do to orders on PostgreSQL.

use contracts::OrderId;
use contracts::operators::Instruction;
use jiff::Timestamp;
use storage::StoreError;
use storage::postgres::{Tx, TxError};

use super::PostgresWallet;
use super::reads::{ORDER, with_logs};
use super::rows::{self, order_columns};
use crate::domain::Order;
use crate::ports::{MAX_ACTS, SagaRecord};
use crate::store::audit::OrderFacts;

const LOCK: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet.orders WHERE order_id = $1 FOR UPDATE"
);
const HURRY: &str = "UPDATE wallet.orders SET next_attempt_at = $2, tries = 0 WHERE order_id = $1";

impl PostgresWallet {
    pub(super) async fn read_saga(&self, id: OrderId) -> Result<Option<SagaRecord>, StoreError> {
        let mut tx = self.database.snapshot().await?;
        let record = self.saga_in(&mut tx, id).await;
        tx.roll_back().await;
        Ok(record?)
    }

    async fn saga_in(&self, tx: &mut Tx, id: OrderId) -> Result<Option<SagaRecord>, TxError> {
        let rows = tx.query(ORDER, &[&id.get(), &None::<i64>]).await?;
        let Some(OrderFacts { order, log }) = with_logs(&rows)?.pop() else {
            return Ok(None);
        };
        let acts = self.acts.of(tx, &subject_of(id), MAX_ACTS).await?;
        Ok(Some(SagaRecord { order, log, acts }))
    }

    pub(super) async fn hurry_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        id: OrderId,
        instruction: &Instruction,
    ) -> Result<Option<Order>, TxError> {
        let rows = tx.query(LOCK, &[&id.get()]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let mut order = rows::order(row, 0)?;
        // An order that is at its end is due for nothing.
        if !order.saga.state.is_end() {
            order.tries = 0;
            order.next_attempt_at = order.next_attempt_at.min(now);
            let due = order.next_attempt_at.as_microsecond();
            tx.write(HURRY, vec![Box::new(id.get()), Box::new(due)], Some(1));
        }
        self.acts
            .record(tx, now, ("retry", subject_of(id)), instruction, None, None);
        Ok(Some(order))
    }
}

fn subject_of(id: OrderId) -> String {
    format!("order:{id}")
}
