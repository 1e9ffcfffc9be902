//! Drives a command store: one worker serves `exchanger`, `bc_gateway` and `notification` alike.
//!
//! Work comes in three ways: granted by this process's own API (already claimed), by a wake-up on the queue, and by
//! the sweep, which finds what was postponed or left behind. Each claimed command goes to the service's
//! [`CommandHandler`], many at a time, and what the handler says is settled under the claim's epoch.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::{Clock, Entropy};
use storage::StoreError;
use storage::commands::{Acceptance, Claimed, CommandKey, CommandStore, Fencing, NewCommand, Settlement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::queue::{Delivery, Subscription};

/// The most commands in one claim or one settlement.
const MAX_BATCH: usize = 100;
/// The pause before a wake-up is delivered again whose claim could not be stored.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);

/// A service's decision: what to do with a claimed command.
#[async_trait]
pub trait CommandHandler: Send + Sync {
    /// Moves the command as far as it goes now, within its lease. Whatever it does outside must have been stored
    /// before (in the progress, by `accept` or `checkpoint`). May be called again for the same command at any time
    /// later, by another process as well.
    async fn handle(&self, claimed: Claimed) -> Settlement;
}

/// How commands of this process's API reach this process's worker without a detour. Clones share it.
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
/// # Errors
/// What the store says. Nothing is accepted then, as far as is known.
pub async fn accept(
    store: &dyn CommandStore,
    clock: &dyn Clock,
    lane: Option<&Lane>,
    commands: Vec<NewCommand>,
) -> Result<Vec<Acceptance>, StoreError> {
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
}

impl CommandWorker {
    /// Runs until `stop`; then finishes the commands that are under way. Those it has not begun are left to the next
    /// sweep.
    pub async fn run(
        self,
        mut wake_ups: Box<dyn Subscription>,
        mut granted: mpsc::Receiver<Claimed>,
        stop: CancellationToken,
    ) {
        let permits = Arc::new(Semaphore::new(self.concurrency.max(1)));
        let (settled, settlements) = mpsc::channel(MAX_BATCH);
        let settling = tokio::spawn(settle(Arc::clone(&self.store), Arc::clone(&self.clock), settlements));
        let mut under_way = JoinSet::new();
        let mut sweep_at = tokio::time::Instant::now();
        loop {
            // Nothing is claimed that cannot be begun at once: a lease must not run out in a queue.
            let Ok(room) = Arc::clone(&permits).acquire_owned().await else {
                break;
            };
            let mut batch = Vec::new();
            tokio::select! {
                () = stop.cancelled() => break,
                taken = granted.recv_many(&mut batch, MAX_BATCH) => {
                    if taken == 0 { break; }
                }
                wake_ups = wake_ups.receive(MAX_BATCH) => {
                    if wake_ups.is_empty() { break; }
                    batch = self.claim(wake_ups).await;
                }
                () = tokio::time::sleep_until(sweep_at) => {
                    batch = self.sweep().await;
                    // A full sweep means that more is due: no pause then.
                    let pause = if batch.len() < MAX_BATCH { self.entropy.jitter(self.sweep_every) } else { Duration::ZERO };
                    sweep_at = tokio::time::Instant::now() + pause;
                }
            }
            self.begin(batch, room, &permits, &settled, &mut under_way).await;
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
        drop(settled);
        let _ = settling.await;
    }

    async fn begin(
        &self,
        batch: Vec<Claimed>,
        first: OwnedSemaphorePermit,
        permits: &Arc<Semaphore>,
        settled: &mpsc::Sender<(CommandKey, i64, Settlement)>,
        under_way: &mut JoinSet<()>,
    ) {
        let mut first = Some(first);
        for claimed in batch {
            let permit = match first.take() {
                Some(permit) => permit,
                None => match Arc::clone(permits).acquire_owned().await {
                    Ok(permit) => permit,
                    Err(_) => return,
                },
            };
            let (handler, settled) = (Arc::clone(&self.handler), settled.clone());
            under_way.spawn(async move {
                let (key, epoch) = (claimed.key, claimed.epoch);
                let settlement = handler.handle(claimed).await;
                let _ = settled.send((key, epoch, settlement)).await;
                drop(permit);
            });
        }
    }

    async fn claim(&self, wake_ups: Vec<Delivery>) -> Vec<Claimed> {
        let keys = wake_ups
            .iter()
            .map(|wake_up| CommandKey {
                order_id: wake_up.message.order_id,
                step: wake_up.message.step,
            })
            .collect();
        match self.store.claim(self.clock.now(), keys).await {
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

    async fn sweep(&self) -> Vec<Claimed> {
        self.store
            .claim_due(self.clock.now(), MAX_BATCH)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "due commands could not be claimed; again shortly");
                Vec::new()
            })
    }
}

/// Settles whatever has come together in one transaction. A settlement that fails is not repeated: the lease runs
/// out, and the command is worked on again, which its handler expects.
async fn settle(
    store: Arc<dyn CommandStore>,
    clock: Arc<dyn Clock>,
    mut settlements: mpsc::Receiver<(CommandKey, i64, Settlement)>,
) {
    let mut batch = Vec::new();
    while settlements.recv_many(&mut batch, MAX_BATCH).await > 0 {
        match store.settle(clock.now(), std::mem::take(&mut batch)).await {
            Ok(fencings) => {
                let fenced = fencings
                    .into_iter()
                    .filter(|fencing| *fencing == Fencing::Fenced)
                    .count();
                if fenced > 0 {
                    tracing::info!(
                        fenced,
                        "settlements came too late: their commands are in other hands or ended"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(%error, "settlements could not be stored; the commands will be worked on again");
            }
        }
    }
}
