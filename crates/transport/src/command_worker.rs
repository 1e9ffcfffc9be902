//! Drives a command store: one worker serves `exchanger`, `bc_gateway` and `notification` alike.
//!
//! Work comes in three ways: granted by this process's own API (already claimed), by a wake-up on the queue, and by
//! the sweep, which finds what was postponed or left behind, and comes early for what this worker postponed. Each claimed command goes to the service's
//! [`CommandHandler`], many at a time, and what the handler says is settled under the claim's epoch.
//!
//! What it keeps true, whatever the clock does: nothing is begun whose lease is over, and nothing goes on for longer
//! than a lease; nothing is claimed that cannot be begun at once, or that is still under way here; a handler that panics
//! or hangs costs its command a pause and the worker nothing.

mod at_work;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::random::backoff;
use contracts::time::{later, until};
use contracts::traces::{self, Span, within};
use contracts::{Clock, Entropy};
use futures::FutureExt as _;
use jiff::Timestamp;
use storage::StoreError;
use storage::commands::{Acceptance, Claimed, CommandKey, CommandStore, Fencing, NewCommand, Settlement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::at_work::AtWork;
use crate::gather::receive_together;
use crate::metrics::WorkerMetrics;
use crate::panic_text;
use crate::queue::{Delivery, Subscription};
use crate::steps::Steps;

/// The most commands in one claim.
const MAX_BATCH: usize = 100;
/// The most commands in one settlement: what came to its end while the last one was being stored.
const MAX_SETTLED: usize = 1_000;
/// How often a settlement that could not be stored is tried, and the first pause between two tries, which doubles.
const SETTLE_TRIES: u32 = 5;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_SETTLE_PAUSE: Duration = Duration::from_secs(1);
/// How long a sweep waits at least for what was postponed: what is due at about the same time is found by the same one.
const SOONEST_SWEEP: Duration = Duration::from_millis(50);
/// How many batches of postponed commands may wait to bring the next sweep forward; more are left to those that come anyway.
const MAX_POSTPONED: usize = 100;
/// The pause before a wake-up is delivered again whose claim could not be stored.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);
/// The first pause of a command whose handler panicked; doubled each time.
const PANIC_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PANIC_PAUSE: Duration = Duration::from_secs(30);

/// A service's decision: what to do with a claimed command.
#[async_trait]
pub trait CommandHandler: Send + Sync {
    /// Moves the command as far as it goes now, within its lease. Whatever it does outside must have been stored
    /// before (in the progress, by `accept` or `checkpoint`; `checkpoint_ahead` is too early for that). May be called again
    /// for the same command at any time later, by another process as well. When the lease ends the call is dropped where it stands, as by a crash.
    async fn handle(&self, claimed: Claimed) -> Settlement;

    /// The service's own record of a command that was claimed and is handed back without having been begun, if that should
    /// be another than the stored one.
    fn hand_back(&self, _claimed: &Claimed) -> Option<String> {
        None
    }
}

/// How commands of this process's API reach this process's worker without a detour. Clones share it.
///
/// A command waits here under its lease: `capacity` commands should be worked off in a fraction of that. One whose
/// lease runs out on the way is not begun, and is claimed anew by the sweep.
#[derive(Clone)]
pub struct Lane(mpsc::Sender<Claimed>);

impl Lane {
    /// A lane that holds at most `capacity` commands, and the worker's end of it.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<Claimed>) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (Self(sender), receiver)
    }
}

/// Accepts commands: with a grant when `lane` has room for all of them, by a wake-up on the queue otherwise.
///
/// A caller that stops waiting leaves granted commands to the sweep, when their lease is over.
///
/// # Errors
/// What the store says. Nothing is accepted then, as far as is known.
pub async fn accept(
    store: &dyn CommandStore,
    clock: &dyn Clock,
    lane: Option<&Lane>,
    commands: Vec<NewCommand>,
) -> Result<Vec<Acceptance>, StoreError> {
    if commands.is_empty() {
        return Ok(Vec::new());
    }
    // Room is reserved before anything is claimed: a granted command has a place to go.
    let permits = lane.and_then(|Lane(sender)| sender.try_reserve_many(commands.len()).ok());
    let mut acceptances = store.accept(clock.now(), commands, permits.is_some()).await?;
    if let Some(mut permits) = permits {
        for acceptance in &mut acceptances {
            if let Acceptance::New(granted) = acceptance
                && let (Some(claimed), Some(permit)) = (granted.take(), permits.next())
            {
                permit.send(claimed);
            }
        }
    }
    Ok(acceptances)
}

/// A service's worker.
pub struct CommandWorker {
    /// The commands.
    pub store: Arc<dyn CommandStore>,
    /// What to do with one.
    pub handler: Arc<dyn CommandHandler>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
    /// How many commands may be worked on at once.
    pub concurrency: usize,
    /// How often the store is looked at for commands that are due.
    pub sweep_every: Duration,
    /// Where it counts.
    pub metrics: Arc<WorkerMetrics>,
}

type Settled = (CommandKey, i64, Settlement);

impl CommandWorker {
    /// Runs until `stop`; then finishes the commands that are under way and hands back those it was granted and has
    /// not begun. A queue or a lane that is closed leaves the worker to the sweep.
    ///
    /// Returns before `stop` only if a part of it broke, which its caller should not take lightly.
    pub async fn run(
        self,
        mut wake_ups: Box<dyn Subscription>,
        mut granted: mpsc::Receiver<Claimed>,
        stop: CancellationToken,
    ) {
        let permits = Arc::new(Semaphore::new(self.concurrency.max(1)));
        let (settled, settlements) = mpsc::channel(MAX_SETTLED);
        let (postponed, mut put_off) = mpsc::channel(MAX_POSTPONED);
        let at_work = Arc::new(AtWork::default());
        let mut settling = tokio::spawn(settle(
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            Arc::clone(&self.entropy),
            settlements,
            postponed,
            Arc::clone(&self.metrics),
            Arc::clone(&at_work),
        ));
        let mut under_way = JoinSet::new();
        let mut steps = Steps::default();
        let mut sweep_at = tokio::time::Instant::now();
        let (mut lane_open, mut queue_open) = (true, true);
        loop {
            let room = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = &mut settling => {
                    tracing::error!("the worker's settling ended early");
                    return;
                }
                room = room(&permits) => room,
            };
            let mut batch = Vec::new();
            tokio::select! {
                () = stop.cancelled() => break,
                taken = granted.recv_many(&mut batch, room.num_permits()), if lane_open => lane_open = taken > 0,
                wake_ups = wake_ups.receive(room.num_permits()), if queue_open => {
                    queue_open = !wake_ups.is_empty();
                    batch = self.claim(wake_ups, &at_work).await;
                }
                Some(due) = put_off.recv() => {
                    let pause = until(self.clock.now(), due).max(SOONEST_SWEEP);
                    sweep_at = sweep_at.min(tokio::time::Instant::now() + pause);
                }
                // sleep: what is due in the store says so to nobody
                () = tokio::time::sleep_until(sweep_at) => {
                    batch = self.sweep(&mut steps, room.num_permits(), &at_work).await;
                    // A full sweep means that more is due: no pause then.
                    let full = batch.len() == room.num_permits();
                    let pause = if full { Duration::ZERO } else { self.entropy.jitter(self.sweep_every) };
                    sweep_at = tokio::time::Instant::now() + pause;
                }
            }
            self.begin(batch, room, &settled, &at_work, &mut under_way);
            while under_way.try_join_next().is_some() {}
        }
        self.hand_back(granted, &settled).await;
        while under_way.join_next().await.is_some() {}
        drop(settled);
        let _ = settling.await;
    }

    /// Starts a task for each command; each takes its share of `room` with it.
    fn begin(
        &self,
        batch: Vec<Claimed>,
        mut room: OwnedSemaphorePermit,
        settled: &mpsc::Sender<Settled>,
        at_work: &Arc<AtWork>,
        under_way: &mut JoinSet<()>,
    ) {
        for claimed in batch {
            let now = self.clock.now();
            if claimed.lease_until <= now {
                self.metrics.overdue.one();
                tracing::info!(key = ?claimed.key, "a lease ended before its command was begun");
                continue;
            }
            // By a clock that was set back since the claim, its end would be far.
            let patience = until(now, claimed.lease_until).min(self.store.lease());
            let permit = room.split(1).expect("no more is taken than there is room for");
            let (handler, settled) = (Arc::clone(&self.handler), settled.clone());
            let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
            let (metrics, at_work) = (Arc::clone(&self.metrics), Arc::clone(at_work));
            let (key, epoch, tries) = (claimed.key, claimed.epoch, claimed.tries);
            at_work.begin(key, epoch);
            under_way.spawn(async move {
                let span = key
                    .step
                    .queue()
                    .and_then(|queue| Span::processing(queue, key.order_id, key.step));
                let cause = span.as_ref().map(Span::context);
                // The store holds all that a panic or a lease's end could leave half done, as after a crash.
                let handling = AssertUnwindSafe(within(cause, handler.handle(claimed))).catch_unwind();
                let settlement = match timeout(patience, handling).await {
                    Ok(Ok(settlement)) => Some(settlement),
                    Ok(Err(panic)) => {
                        metrics.panicked.one();
                        let reason = format!("the handler panicked: {}", panic_text(panic.as_ref()));
                        tracing::error!(?key, reason, "a command could not be handled; again later");
                        let pause = entropy.jitter(backoff(PANIC_PAUSE, tries, LONGEST_PANIC_PAUSE));
                        Some(Settlement::Postponed {
                            until: later(clock.now(), pause),
                            reason,
                            // It may have panicked after it acted.
                            answer_missing: true,
                            progress: None,
                        })
                    }
                    Err(_) => {
                        metrics.overdue.one();
                        tracing::warn!(?key, "a command was not handled within its lease; again soon");
                        None
                    }
                };
                describe(span, settlement.as_ref());
                match settlement {
                    // It is received for as long as there are handlers.
                    Some(settlement) => drop(settled.send((key, epoch, settlement)).await),
                    None => at_work.end([(key, epoch)]),
                }
                drop(permit);
            });
        }
    }

    async fn claim(&self, wake_ups: Vec<Delivery>, at_work: &AtWork) -> Vec<Claimed> {
        if wake_ups.is_empty() {
            return Vec::new();
        }
        let keys = wake_ups
            .iter()
            .map(|wake_up| CommandKey {
                order_id: wake_up.message.order_id,
                step: wake_up.message.step,
            })
            .collect();
        wake_ups.iter().for_each(|wake_up| traces::learn(&wake_up.message));
        match self.store.claim_beside(self.clock.now(), keys, at_work.held()).await {
            Ok(claimed) => {
                for wake_up in wake_ups {
                    wake_up.done().await;
                }
                claimed
            }
            Err(error) => {
                tracing::warn!(%error, "commands could not be claimed; again shortly");
                for wake_up in wake_ups {
                    wake_up.again(self.entropy.jitter(CLAIM_PAUSE)).await;
                }
                Vec::new()
            }
        }
    }

    async fn sweep(&self, steps: &mut Steps, limit: usize, at_work: &AtWork) -> Vec<Claimed> {
        self.claim_due(steps, limit, at_work).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "due commands could not be claimed; again shortly");
            Vec::new()
        })
    }

    async fn claim_due(&self, steps: &mut Steps, limit: usize, at_work: &AtWork) -> Result<Vec<Claimed>, StoreError> {
        let now = self.clock.now();
        // What is due is found all the same.
        if let Err(error) = steps.watch(now, self.store.bring_forward(now)).await {
            tracing::warn!(%error, "commands that were put off could not be brought forward; again shortly");
        }
        self.store.claim_due_beside(now, limit, at_work.held()).await
    }

    /// Makes commands that nobody began due at once, for the next worker. A stop must cost them nothing: the handler says
    /// what the next claim has to know of this one.
    async fn hand_back(&self, mut granted: mpsc::Receiver<Claimed>, settled: &mpsc::Sender<Settled>) {
        granted.close();
        // Ends when those who had reserved a place have used it.
        while let Some(claimed) = granted.recv().await {
            let settlement = Settlement::Postponed {
                until: self.clock.now(),
                reason: "handed back by a worker that ended".to_owned(),
                answer_missing: false,
                progress: self.handler.hand_back(&claimed),
            };
            let _ = settled.send((claimed.key, claimed.epoch, settlement)).await;
        }
    }
}

/// Ends the span of a command that was worked on. One that is tried again later is not at fault.
fn describe(span: Option<Span>, settlement: Option<&Settlement>) {
    let Some(mut span) = span else { return };
    let (outcome, failed) = match settlement {
        Some(Settlement::Finished { .. }) => ("finished", false),
        Some(Settlement::Postponed { .. }) => ("postponed", false),
        Some(Settlement::Dead { .. }) => ("dead", true),
        None => ("overdue", true),
    };
    span.set("outcome", outcome);
    if failed {
        span.fail();
    }
}

/// Waits for room for one command, and takes as much as there is, at most a batch.
async fn room(permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let mut room = Arc::clone(permits).acquire_owned().await.expect("never closed");
    let more = permits.available_permits().min(MAX_BATCH - 1);
    if let Some(more) = u32::try_from(more)
        .ok()
        .and_then(|more| Arc::clone(permits).try_acquire_many_owned(more).ok())
    {
        room.merge(more);
    }
    room
}

fn due_again((_, _, settlement): &Settled) -> Option<Timestamp> {
    match settlement {
        Settlement::Postponed { until, .. } => Some(*until),
        Settlement::Finished { .. } | Settlement::Dead { .. } => None,
    }
}

/// Settles whatever has come together in one transaction, and says when what it postponed is due.
async fn settle(
    store: Arc<dyn CommandStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    mut settlements: mpsc::Receiver<Settled>,
    postponed: mpsc::Sender<Timestamp>,
    metrics: Arc<WorkerMetrics>,
    at_work: Arc<AtWork>,
) {
    let mut batch: Vec<Settled> = Vec::new();
    while receive_together(&mut settlements, &mut batch, MAX_SETTLED).await > 0 {
        for tried in 0..SETTLE_TRIES {
            match store.settle(clock.now(), batch.clone()).await {
                Ok(fencings) => {
                    for ((_, _, settlement), fencing) in batch.iter().zip(&fencings) {
                        metrics.count(settlement, *fencing);
                    }
                    if let Some(due) = batch.iter().filter_map(due_again).min() {
                        // Without room the sweep finds it a little later.
                        let _ = postponed.try_send(due);
                    }
                    let late = fencings.iter().filter(|fencing| **fencing == Fencing::Fenced).count();
                    if late > 0 {
                        tracing::info!(
                            late,
                            "settlements came too late: their commands are in other hands or ended"
                        );
                    }
                    break;
                }
                Err(error) => {
                    // Handlers wait meanwhile. After the last try the commands are worked on again when their leases
                    // are over, which handlers expect.
                    tracing::warn!(%error, tried, commands = batch.len(), "settlements could not be stored");
                    // sleep: nothing tells when a store is well again
                    tokio::time::sleep(entropy.jitter(backoff(SETTLE_PAUSE, tried, LONGEST_SETTLE_PAUSE))).await;
                }
            }
        }
        at_work.end(batch.drain(..).map(|(key, epoch, _)| (key, epoch)));
    }
}
