//! Carries outbox rows to where they go.
//!
//! Rows arrive straight after the commit that wrote them. Each destination has a lane of its own, so that a slow
//! one holds up no other; a lane takes whatever waits (at most [`MAX_ROWS`]) in one delivery, and several deliveries
//! may be under way. What gets lost on the way (a full lane, a crash) is found in the table by the sweep.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::random::backoff;
use contracts::time::later;
use contracts::{Clock, Entropy};
use storage::outbox::{Destination, OutboxRow, OutboxStore, Settlement};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::queue::Transport;

/// The most rows in one delivery.
pub const MAX_ROWS: usize = 100;
/// The most deliveries of one lane that are under way at once.
const MAX_DELIVERIES: usize = 4;
/// The most rows that wait in one lane.
const LANE_CAPACITY: usize = 8_192;
/// The most rows one sweep takes.
const MAX_SWEEP: usize = 1_000;
/// How long a sweep's rows are kept from other dispatchers.
const SWEEP_LEASE: Duration = Duration::from_secs(10);
/// The first pause after a failed delivery; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// It arrived.
    Yes,
    /// It did not, or nobody knows; again later, without end: the other side will be back.
    NotYet {
        /// Why, for the log.
        reason: String,
    },
    /// It never will: the content makes no sense to the other side.
    Never {
        /// Why.
        error: String,
    },
}

/// Carries rows to one destination.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Delivers at most [`MAX_ROWS`] rows; `outcomes[i]` tells of `rows[i]`. Rows may come twice.
    async fn deliver(&self, rows: &[OutboxRow]) -> Vec<Delivered>;
}

/// Publishes rows on a queue: their payload is a message.
pub struct QueueCourier {
    /// The transport.
    pub transport: Arc<dyn Transport>,
    /// The queue.
    pub queue: contracts::messages::Queue,
}

#[async_trait]
impl Courier for QueueCourier {
    async fn deliver(&self, rows: &[OutboxRow]) -> Vec<Delivered> {
        let mut messages = Vec::with_capacity(rows.len());
        let mut outcomes = Vec::with_capacity(rows.len());
        for row in rows {
            match serde_json::from_str(&row.payload) {
                Ok(message) => {
                    messages.push(message);
                    outcomes.push(Delivered::Yes);
                }
                Err(error) => outcomes.push(Delivered::Never {
                    error: format!("not a message: {error}"),
                }),
            }
        }
        if let Err(error) = self.transport.publish(self.queue, messages).await {
            for outcome in outcomes.iter_mut().filter(|outcome| **outcome == Delivered::Yes) {
                *outcome = Delivered::NotYet {
                    reason: error.to_string(),
                };
            }
        }
        outcomes
    }
}

/// A service's dispatcher.
pub struct Dispatcher {
    /// The outbox it empties.
    pub outbox: Arc<dyn OutboxStore>,
    /// Who carries to which destination.
    pub couriers: BTreeMap<Destination, Arc<dyn Courier>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
    /// How often the table is looked at for lost rows.
    pub sweep_every: Duration,
}

impl Dispatcher {
    /// Runs until `stop`; then finishes the deliveries that are under way. What is not delivered stays in the table.
    pub async fn run(self, mut committed: mpsc::Receiver<OutboxRow>, stop: CancellationToken) {
        let (settled, settlements) = mpsc::channel(LANE_CAPACITY);
        let mut tasks = JoinSet::new();
        tasks.spawn(settle(Arc::clone(&self.outbox), Arc::clone(&self.clock), settlements));
        let mut lanes = BTreeMap::new();
        for (destination, courier) in &self.couriers {
            let (sender, rows) = mpsc::channel(LANE_CAPACITY);
            lanes.insert(*destination, sender);
            let lane = Lane {
                courier: Arc::clone(courier),
                settled: settled.clone(),
                clock: Arc::clone(&self.clock),
                entropy: Arc::clone(&self.entropy),
            };
            tasks.spawn(lane.run(rows, stop.clone()));
        }
        drop(settled);
        let mut sweep = interval(self.sweep_every);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                row = committed.recv() => match row {
                    Some(row) => route(&lanes, row),
                    None => break,
                },
                _ = sweep.tick() => match self.outbox.claim_due(self.clock.now(), MAX_SWEEP, SWEEP_LEASE).await {
                    Ok(rows) => rows.into_iter().for_each(|row| route(&lanes, row)),
                    Err(error) => tracing::warn!(%error, "the outbox could not be swept; again shortly"),
                },
            }
        }
        drop(lanes);
        while tasks.join_next().await.is_some() {}
    }
}

fn route(lanes: &BTreeMap<Destination, mpsc::Sender<OutboxRow>>, row: OutboxRow) {
    match lanes.get(&row.destination) {
        // A full lane loses nothing: the row is still in the table.
        Some(lane) => drop(lane.try_send(row)),
        None => tracing::error!(destination = %row.destination, "no courier goes there; the row stays in the outbox"),
    }
}

struct Lane {
    courier: Arc<dyn Courier>,
    settled: mpsc::Sender<(i64, Settlement)>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Lane {
    async fn run(self, mut rows: mpsc::Receiver<OutboxRow>, stop: CancellationToken) {
        let lane = Arc::new(self);
        let permits = Arc::new(Semaphore::new(MAX_DELIVERIES));
        let mut deliveries = JoinSet::new();
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                break;
            };
            let mut batch = Vec::new();
            tokio::select! {
                () = stop.cancelled() => break,
                taken = rows.recv_many(&mut batch, MAX_ROWS) => if taken == 0 { break },
            }
            let lane = Arc::clone(&lane);
            deliveries.spawn(async move {
                lane.deliver(batch).await;
                drop(permit);
            });
            while deliveries.try_join_next().is_some() {}
        }
        while deliveries.join_next().await.is_some() {}
    }

    async fn deliver(&self, rows: Vec<OutboxRow>) {
        let outcomes = self.courier.deliver(&rows).await;
        for (row, outcome) in rows.into_iter().zip(outcomes) {
            let settlement = match outcome {
                Delivered::Yes => Settlement::Delivered,
                Delivered::NotYet { reason } => {
                    let pause = self.entropy.jitter(backoff(FIRST_PAUSE, row.attempts, LONGEST_PAUSE));
                    tracing::debug!(destination = %row.destination, reason, "not delivered yet");
                    Settlement::Retry {
                        at: later(self.clock.now(), pause),
                    }
                }
                Delivered::Never { error } => {
                    tracing::error!(destination = %row.destination, error, "a row can never be delivered");
                    Settlement::Dead { error }
                }
            };
            if self.settled.send((row.id, settlement)).await.is_err() {
                return;
            }
        }
    }
}

/// Settles whatever has come together in one transaction. A settlement that fails is not repeated: the row is
/// delivered again, which its receiver expects.
async fn settle(
    outbox: Arc<dyn OutboxStore>,
    clock: Arc<dyn Clock>,
    mut settlements: mpsc::Receiver<(i64, Settlement)>,
) {
    let mut batch = Vec::new();
    while settlements.recv_many(&mut batch, LANE_CAPACITY).await > 0 {
        if let Err(error) = outbox.settle(clock.now(), std::mem::take(&mut batch)).await {
            tracing::warn!(%error, "deliveries could not be recorded; they will be repeated");
        }
    }
}
