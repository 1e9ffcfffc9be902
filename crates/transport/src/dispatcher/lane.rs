//! The way to one destination: what waits for it, the deliveries under way, and the sweep that finds what got lost.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contracts::random::backoff;
use contracts::time::later;
use contracts::{Clock, Entropy};
use futures::FutureExt as _;
use storage::outbox::{Destination, OutboxRow, OutboxStore, Settlement};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::traced::Spans;
use super::{Courier, Delivered, Dispatcher, MAX_ROWS, UnderWay};
use crate::metrics::LaneMetrics;
use crate::panic_text;
use crate::steps::Steps;

/// The most deliveries of one lane that are under way at once.
const MAX_DELIVERIES: usize = 4;
/// How long one delivery may take.
const MAX_DELIVERY: Duration = Duration::from_secs(10);
/// The most rows one sweep takes.
const MAX_SWEEP: usize = 1_000;
/// How long a sweep's rows are kept from other dispatchers.
const SWEEP_LEASE: Duration = Duration::from_secs(10);
/// The first pause after a failed delivery; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause. Nothing here is put off for longer, a sweep's lease and a hand-over included.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Lane {
    destination: Destination,
    courier: Arc<dyn Courier>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    queue: mpsc::Sender<OutboxRow>,
    settled: mpsc::Sender<(i64, Settlement)>,
    under_way: Arc<UnderWay>,
    metrics: Arc<LaneMetrics>,
    /// Whether the last delivery got anything across.
    reachable: AtomicBool,
}

/// Why there are no outcomes of a delivery.
enum Failure {
    /// The other side is too slow, or away.
    TimedOut,
    /// The courier is at fault, or one of its rows is.
    Broken(String),
}

impl Lane {
    pub(super) fn new(
        dispatcher: &Dispatcher,
        destination: Destination,
        courier: &Arc<dyn Courier>,
        queue: mpsc::Sender<OutboxRow>,
        settled: mpsc::Sender<(i64, Settlement)>,
        under_way: &Arc<UnderWay>,
    ) -> Self {
        Self {
            destination,
            courier: Arc::clone(courier),
            clock: Arc::clone(&dispatcher.clock),
            entropy: Arc::clone(&dispatcher.entropy),
            queue,
            settled,
            under_way: Arc::clone(under_way),
            metrics: dispatcher.metrics.lane(destination),
            reachable: AtomicBool::new(true),
        }
    }

    /// Puts a row into the lane if there is room. A full lane loses nothing: the row is still in the table.
    pub(super) fn offer(&self, row: OutboxRow) {
        let id = row.id;
        if self.under_way.enter(id) && self.queue.try_send(row).is_err() {
            self.under_way.leave([id]);
        }
    }

    /// Delivers what comes until `stop`, then finishes what is under way.
    pub(super) async fn carry(self: Arc<Self>, mut rows: mpsc::Receiver<OutboxRow>, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(MAX_DELIVERIES));
        let mut deliveries = JoinSet::new();
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                break;
            };
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                taken = rows.recv_many(&mut batch, MAX_ROWS) => if taken == 0 { break },
            }
            let lane = Arc::clone(&self);
            deliveries.spawn(async move {
                lane.deliver(batch).await;
                drop(permit);
            });
            while deliveries.try_join_next().is_some() {}
        }
        while deliveries.join_next().await.is_some() {}
    }

    /// Looks for rows that got lost on the way, or whose pause is over: at start and now and again until `stop`.
    pub(super) async fn sweep(self: Arc<Self>, outbox: Arc<dyn OutboxStore>, every: Duration, stop: CancellationToken) {
        let mut steps = Steps::default();
        loop {
            let more = match self.take_due(outbox.as_ref(), &mut steps, &stop).await {
                Ok(more) => more,
                Err(error) => {
                    tracing::warn!(%error, destination = %self.destination, "the outbox could not be swept; again shortly");
                    false
                }
            };
            // While the destination is away, its rows are only tried at the pace of the sweeps.
            let pause = if more && self.reachable.load(Ordering::Relaxed) {
                Duration::ZERO
            } else {
                self.entropy.jitter(every)
            };
            if timeout(pause, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    /// Whether there may be more.
    async fn take_due(
        &self,
        outbox: &dyn OutboxStore,
        steps: &mut Steps,
        stop: &CancellationToken,
    ) -> Result<bool, storage::StoreError> {
        let now = self.clock.now();
        // Before the first look another dispatcher may have put a row off, and be at it; only what is put off for longer
        // than anybody does it was put off by another clock.
        let latest = if steps.is_first() {
            later(now, LONGEST_PAUSE)
        } else {
            now
        };
        // What is due is found all the same.
        if let Err(error) = steps.watch(now, outbox.bring_forward(latest, self.destination)).await {
            let destination = self.destination;
            tracing::warn!(%error, %destination, "rows that were put off could not be brought forward; again shortly");
        }
        let rows = outbox.claim_due(now, self.destination, MAX_SWEEP, SWEEP_LEASE).await?;
        let full = rows.len() >= MAX_SWEEP;
        let mut found = false;
        for row in rows {
            if !self.under_way.enter(row.id) {
                continue;
            }
            found = true;
            let id = row.id;
            // A sweep waits for room, so that a backlog flows as fast as the destination takes it.
            if !matches!(stop.run_until_cancelled(self.queue.send(row)).await, Some(Ok(()))) {
                self.under_way.leave([id]);
                return Ok(false);
            }
        }
        Ok(full && found)
    }

    async fn deliver(&self, rows: Vec<OutboxRow>) {
        let mut spans = Spans::begin(&rows);
        match self.attempt(&rows).await {
            Ok(outcomes) => {
                self.note(
                    outcomes
                        .iter()
                        .any(|outcome| !matches!(outcome, Delivered::NotYet { .. })),
                );
                for (place, (row, outcome)) in rows.into_iter().zip(outcomes).enumerate() {
                    spans.end(place, &outcome);
                    self.settle(row, outcome).await;
                }
            }
            Err(Failure::TimedOut) => {
                self.note(false);
                for (place, row) in rows.into_iter().enumerate() {
                    spans.end(place, &timed_out());
                    self.settle(row, timed_out()).await;
                }
            }
            Err(Failure::Broken(reason)) => {
                tracing::error!(destination = %self.destination, reason, rows = rows.len(), "a courier failed");
                self.deliver_singly(rows, reason, spans).await;
            }
        }
    }

    /// One row may be what the courier stumbles over; its neighbours must not share its fate.
    async fn deliver_singly(&self, rows: Vec<OutboxRow>, reason: String, mut spans: Spans) {
        let alone = rows.len() == 1;
        let mut away = false;
        for (place, row) in rows.into_iter().enumerate() {
            let outcome = if alone {
                Delivered::NotYet { reason: reason.clone() }
            } else if away {
                timed_out()
            } else {
                match self.attempt(std::slice::from_ref(&row)).await {
                    Ok(mut outcomes) => outcomes.swap_remove(0),
                    Err(Failure::Broken(reason)) => Delivered::NotYet { reason },
                    Err(Failure::TimedOut) => {
                        away = true;
                        timed_out()
                    }
                }
            };
            spans.end(place, &outcome);
            self.settle(row, outcome).await;
        }
    }

    /// On success there is an outcome for each row.
    async fn attempt(&self, rows: &[OutboxRow]) -> Result<Vec<Delivered>, Failure> {
        // A courier keeps nothing that a panic could leave half done: rows may come twice.
        let delivery = AssertUnwindSafe(async { self.courier.deliver(rows).await }).catch_unwind();
        let outcomes = timeout(MAX_DELIVERY, delivery)
            .await
            .map_err(|_| Failure::TimedOut)?
            .map_err(|panic| Failure::Broken(format!("the courier panicked: {}", panic_text(panic.as_ref()))))?;
        if outcomes.len() == rows.len() {
            Ok(outcomes)
        } else {
            Err(Failure::Broken(format!(
                "the courier told of {} rows when it had {}",
                outcomes.len(),
                rows.len()
            )))
        }
    }

    fn note(&self, reachable: bool) {
        if self.reachable.swap(reachable, Ordering::Relaxed) != reachable {
            if reachable {
                tracing::info!(destination = %self.destination, "deliveries arrive again");
            } else {
                tracing::warn!(destination = %self.destination, "deliveries do not arrive; their rows wait in the outbox");
            }
        }
    }

    async fn settle(&self, row: OutboxRow, outcome: Delivered) {
        self.metrics.count(&outcome);
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
        // It is received for as long as there are lanes.
        let _ = self.settled.send((row.id, settlement)).await;
    }
}

fn timed_out() -> Delivered {
    Delivered::NotYet {
        reason: "no answer in time".to_owned(),
    }
}
