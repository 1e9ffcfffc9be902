//! Orders, the writing side: every verb is one transaction of load → `domain` decides → apply. The two on the path of
//! every order, [`accept`] and [`moves`], serve all who wait at once.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use contracts::operators::Instruction;
use contracts::time::later;
use contracts::{OrderId, UserId};
use jiff::Timestamp;
use rusqlite::params;
use storage::StoreError;
use storage::sqlite::{Tx, micros};

use super::rows::{self, order_columns};
use super::{SqliteWallet, accept, collect_readable, moves};
use crate::domain::{Event, LogEntry, Order};
use crate::ports::{Advanced, Announce, DeadLetter, NewOrder, OrderStore, Placement, SagaFilter, SagaRecord};

const DUE: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet_orders INDEXED BY wallet_orders_due
    WHERE state NOT IN ('completed', 'failed') AND next_attempt_at <= ?1 ORDER BY next_attempt_at LIMIT ?2"
);
const POSTPONE: &str = "UPDATE wallet_orders SET tries = tries + 1, next_attempt_at = ?2 WHERE order_id = ?1";
const MAKE_DUE: &str =
    "UPDATE wallet_orders INDEXED BY wallet_orders_due SET next_attempt_at = min(next_attempt_at, ?1)
    WHERE state NOT IN ('completed', 'failed')";

#[async_trait]
impl OrderStore for SqliteWallet {
    async fn create_orders(
        &self,
        now: Timestamp,
        due: Timestamp,
        orders: Vec<NewOrder>,
        announce: Announce<OrderId>,
    ) -> Result<Vec<Placement<Box<Order>, OrderId>>, StoreError> {
        let call = accept::Call {
            now,
            due,
            orders,
            announce: Mutex::new(announce),
        };
        self.accepting.bring(call).await
    }

    async fn advance(
        &self,
        now: Timestamp,
        due: Timestamp,
        events: Vec<(OrderId, Event)>,
    ) -> Result<Vec<Advanced>, StoreError> {
        self.moving.bring(moves::Call { now, due, events }).await
    }

    async fn claim_due(&self, now: Timestamp, limit: usize, pauses: Vec<Duration>) -> Result<Vec<Order>, StoreError> {
        let job = move |tx: &mut Tx<'_>| {
            let orders = collect_readable(tx, DUE, (now, limit), POSTPONE, rows::order)?;
            let mut postpone = tx.prepare_cached(POSTPONE)?;
            for order in &orders {
                let again = again(now, order.tries, &pauses);
                postpone.execute(params![order.id.get(), micros(again)])?;
            }
            Ok(orders)
        };
        self.database.writer().run(job).await
    }

    async fn make_due(&self, now: Timestamp) -> Result<u64, StoreError> {
        let job = move |tx: &mut Tx<'_>| tx.execute(MAKE_DUE, [micros(now)]).map(to_u64);
        self.database.writer().run(job).await
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
        let store = self.clone();
        let job = move |tx: &mut Tx<'_>| store.hurry_in(tx, now, id, &instruction);
        self.database.writer().run(job).await
    }

    async fn bury(&self, now: Timestamp, letters: Vec<DeadLetter>) -> Result<(), StoreError> {
        let outbox = self.outbox.clone();
        let job = move |tx: &mut Tx<'_>| {
            letters
                .iter()
                .try_for_each(|letter| outbox.bury(tx, now, &letter.source, &letter.payload, &letter.error))
        };
        self.database.writer().run(job).await
    }
}

/// When something that was tried `tries` times is due again.
pub(super) fn again(now: Timestamp, tries: u32, pauses: &[Duration]) -> Timestamp {
    let tries = usize::try_from(tries).unwrap_or(usize::MAX);
    let pause = pauses.get(tries).or(pauses.last()).copied().unwrap_or_default();
    later(now, pause)
}

pub(super) fn to_u64(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
