//! Carries outbox rows to where they go.
//!
//! Rows arrive straight after the commit that wrote them. Each destination has a lane of its own, so that a slow
//! one holds up no other; a lane takes whatever waits (at most [`MAX_ROWS`]) in one delivery, and several deliveries
//! may be under way. What gets lost on the way (a full lane, a crash) is found in the table by the lane's sweep.
//!
//! What it keeps true: a row leaves the table only when it was delivered or can never be; no courier, whether it
//! hangs, panics or miscounts, stops its lane; a row is not carried twice at the same time by one dispatcher.

mod lane;
mod traced;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::Message;
use contracts::random::backoff;
use contracts::{Clock, Entropy, traces};
use storage::outbox::{Destination, OutboxRow, OutboxStore, Settlement};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::lane::Lane;
use crate::gather::receive_together;
use crate::metrics::DispatcherMetrics;
pub use crate::queue::Delivered;
use crate::queue::Transport;

/// The most rows in one delivery.
pub const MAX_ROWS: usize = 100;
/// The most fresh rows that are handed to their lanes at once.
const MAX_TAKEN: usize = 1_000;
/// The most rows that wait in one lane.
const LANE_CAPACITY: usize = 8_192;
/// The most rows that are settled in one transaction.
const MAX_SETTLED: usize = 1_000;
/// How often a settlement that could not be stored is tried, and the first pause between two tries, which doubles.
const SETTLE_TRIES: u32 = 5;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// Carries rows to one destination.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Delivers at most [`MAX_ROWS`] rows; `outcomes[i]` tells of `rows[i]`. Rows may come twice.
    ///
    /// After ten seconds, the call is dropped and its rows are delivered again later. A courier that panics or tells
    /// of more or fewer rows than it got, gets the same rows one by one.
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
        let read = rows.iter().map(|row| serde_json::from_str::<Message>(&row.payload));
        let mut outcomes = Vec::with_capacity(rows.len());
        let messages: Vec<Message> = read
            .filter_map(|read| {
                outcomes.push(match &read {
                    Ok(_) => Delivered::Yes,
                    Err(error) => Delivered::Never {
                        error: format!("not a message: {error}"),
                    },
                });
                let mut message = read.ok()?;
                // Whoever receives it goes on from its way here, and not from what caused its row.
                if let Some(way) = traces::cause_of(message.order_id) {
                    message.traceparent = Some(way.to_string());
                }
                Some(message)
            })
            .collect();
        if messages.is_empty() {
            return outcomes;
        }
        if let Err(error) = self.transport.publish(self.queue, messages).await {
            let mut became = error.outcomes.into_iter();
            for outcome in outcomes.iter_mut().filter(|outcome| **outcome == Delivered::Yes) {
                // Of which nothing is said is not said to have arrived.
                *outcome = became.next().unwrap_or_else(|| Delivered::NotYet {
                    reason: error.reason.clone(),
                });
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
    /// Where it counts, for these destinations.
    pub metrics: DispatcherMetrics,
}

impl Dispatcher {
    /// Runs until `stop`; then finishes the deliveries that are under way. What is not delivered stays in the table.
    ///
    /// Returns before `stop` only if a part of it broke, which its caller should not take lightly.
    pub async fn run(self, mut committed: mpsc::Receiver<OutboxRow>, stop: CancellationToken) {
        let under_way = Arc::new(UnderWay::default());
        let (settled, settlements) = mpsc::channel(LANE_CAPACITY);
        let mut tasks = JoinSet::new();
        let mut lanes = BTreeMap::new();
        for (destination, courier) in &self.couriers {
            let (queue, rows) = mpsc::channel(LANE_CAPACITY);
            let lane = Arc::new(Lane::new(
                &self,
                *destination,
                courier,
                queue,
                settled.clone(),
                &under_way,
            ));
            tasks.spawn(Arc::clone(&lane).carry(rows, stop.clone()));
            tasks.spawn(Arc::clone(&lane).sweep(Arc::clone(&self.outbox), self.sweep_every, stop.clone()));
            lanes.insert(*destination, lane);
        }
        tasks.spawn(settle(
            Arc::clone(&self.outbox),
            Arc::clone(&self.clock),
            Arc::clone(&self.entropy),
            under_way,
            settlements,
        ));
        let (mut rows, mut writers) = (Vec::new(), true);
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = tasks.join_next() => {
                    tracing::error!("a part of the dispatcher ended early");
                    return;
                }
                // When nobody writes here any more, what is in the table is still swept.
                taken = receive_together(&mut committed, &mut rows, MAX_TAKEN), if writers => taken,
            };
            writers = taken > 0;
            for row in rows.drain(..) {
                match lanes.get(&row.destination) {
                    Some(lane) => lane.offer(row),
                    None => tracing::error!(
                        destination = %row.destination,
                        "no courier goes there; the row stays in the outbox"
                    ),
                }
            }
        }
        drop((lanes, settled));
        while tasks.join_next().await.is_some() {}
    }
}

/// The rows that are in a lane or on their way out of it: what the sweep finds of them is no news.
#[derive(Default)]
struct UnderWay(Mutex<HashSet<i64>>);

impl UnderWay {
    /// Whether the row was not under way before.
    fn enter(&self, id: i64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }

    fn leave(&self, ids: impl IntoIterator<Item = i64>) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            under_way.remove(&id);
        }
    }
}

/// Settles whatever has come together in one transaction.
async fn settle(
    outbox: Arc<dyn OutboxStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    under_way: Arc<UnderWay>,
    mut settlements: mpsc::Receiver<(i64, Settlement)>,
) {
    let mut batch = Vec::new();
    while receive_together(&mut settlements, &mut batch, MAX_SETTLED).await > 0 {
        for tried in 0..SETTLE_TRIES {
            let Err(error) = outbox.settle(clock.now(), batch.clone()).await else {
                break;
            };
            // After the last try the rows are left to the sweep: they are delivered again, which receivers expect.
            tracing::warn!(%error, tried, rows = batch.len(), "deliveries could not be recorded");
            // sleep: nothing tells when a store is well again
            tokio::time::sleep(entropy.jitter(backoff(SETTLE_PAUSE, tried, LONGEST_SETTLE_PAUSE))).await;
        }
        under_way.leave(batch.drain(..).map(|(id, _)| id));
    }
}
