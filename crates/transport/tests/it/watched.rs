//! An outbox whose uses a test can wait for, and whose settling it can make fail.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use storage::StoreError;
use storage::outbox::{Destination, OutboxRow, OutboxStore, Settlement};
use storage::sqlite::SqliteOutbox;
use tokio::sync::watch;

use crate::given::soon;

pub(crate) struct Watched {
    outbox: SqliteOutbox,
    sweeps: watch::Sender<u64>,
    /// How many rows the sweeps found.
    found: watch::Sender<usize>,
    settled: watch::Sender<usize>,
    /// How many settlements will be refused.
    pub(crate) refusals: AtomicU32,
}

impl Watched {
    pub(crate) fn new(outbox: SqliteOutbox) -> Self {
        Self {
            outbox,
            sweeps: watch::Sender::new(0),
            found: watch::Sender::new(0),
            settled: watch::Sender::new(0),
            refusals: AtomicU32::new(0),
        }
    }

    /// Waits until so many rows are settled since the beginning.
    pub(crate) async fn settled(&self, rows: usize) {
        soon(self.settled.subscribe().wait_for(|settled| *settled >= rows))
            .await
            .unwrap();
    }

    /// How many rows are settled since the beginning, as it grows.
    pub(crate) fn settlements(&self) -> watch::Receiver<usize> {
        self.settled.subscribe()
    }

    /// Waits until sweeps found so many rows since the beginning.
    pub(crate) async fn found(&self, rows: usize) {
        soon(self.found.subscribe().wait_for(|found| *found >= rows))
            .await
            .unwrap();
    }

    /// Waits for some more sweeps: what is due is found by then.
    pub(crate) async fn some_sweeps(&self) {
        let later = *self.sweeps.borrow() + 6;
        soon(self.sweeps.subscribe().wait_for(|sweeps| *sweeps >= later))
            .await
            .unwrap();
    }
}

#[async_trait]
impl OutboxStore for Watched {
    async fn claim_due(
        &self,
        now: Timestamp,
        destination: Destination,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = self.outbox.claim_due(now, destination, limit, lease).await?;
        self.found.send_modify(|found| *found += rows.len());
        self.sweeps.send_modify(|sweeps| *sweeps += 1);
        Ok(rows)
    }

    async fn bring_forward(&self, now: Timestamp, destination: Destination) -> Result<u64, StoreError> {
        self.outbox.bring_forward(now, destination).await
    }

    async fn settle(&self, now: Timestamp, settlements: Vec<(i64, Settlement)>) -> Result<(), StoreError> {
        let refuse = |left: u32| left.checked_sub(1);
        if self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse)
            .is_ok()
        {
            return Err(StoreError::Overloaded);
        }
        let rows = settlements.len();
        self.outbox.settle(now, settlements).await?;
        self.settled.send_modify(|settled| *settled += rows);
        Ok(())
    }

    async fn backlog(&self) -> Result<u64, StoreError> {
        self.outbox.backlog().await
    }
}
