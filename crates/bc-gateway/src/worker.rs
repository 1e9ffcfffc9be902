//! What runs beside the API: the worker on `bcgateway_orders`, the sweep of coins, and the dispatcher of the outbox.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use contracts::messages::Queue;
use contracts::{Entropy, UserId};
use service_kit::shutdown::Shutdown;
use storage::StoreError;
use storage::outbox::Destination;
use storage::sqlite::OutboxRows;
use tokio_util::sync::CancellationToken;
use transport::command_worker::{CommandWorker, Lane};
use transport::dispatcher::{Courier, Dispatcher, QueueCourier};
use transport::queue::PublishError;
use transport::steps::Steps;

use crate::metrics::QUEUES;
use crate::ports::{Address, NonceAnswer};
use crate::use_cases::sweep::{Round, Sweep};
use crate::{Service, StartError};

impl Service {
    /// Whether the keys that this process makes are those that hold the coins: to be asked before anything of this service
    /// runs, its API included, which asks the chain about addresses.
    ///
    /// # Errors
    /// [`StartError::WrongSeed`], [`StartError::Store`].
    pub async fn check_seed(&self) -> Result<(), StartError> {
        let derived = self.address(UserId::HOT_WALLET);
        let transfers = &self.0.dependencies.transfers;
        let stored = transfers.address(self.0.chain.name(), UserId::HOT_WALLET).await?;
        match stored.filter(|stored| *stored != derived) {
            Some(stored) => Err(StartError::WrongSeed { stored, derived }),
            None => Ok(()),
        }
    }

    /// Starts the worker and the sweep of coins on `shutdown`. From now on commands of this process's API come to the
    /// worker without a detour; those of others by the queue. Once per process.
    ///
    /// # Errors
    /// [`StartError::WrongSeed`] and [`StartError::DatabaseBehindChain`] before anything is signed. A chain that gives no
    /// answer does not keep the worker from starting.
    pub async fn start_worker(&self, shutdown: &Shutdown) -> Result<(), StartError> {
        let parts = &self.0.dependencies;
        let settings = parts.settings;
        self.check_seed().await?;
        self.compare_nonces(&self.address(UserId::HOT_WALLET)).await?;
        let (lane, granted) = Lane::new(settings.lane_capacity);
        self.0.lane.set(lane).map_err(|_| StartError::StartedBefore)?;
        let worker = CommandWorker {
            store: Arc::clone(&parts.commands),
            handler: self.handler(),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
            concurrency: settings.concurrency,
            sweep_every: settings.sweep_every,
            metrics: Arc::clone(self.worker_metrics()),
        };
        let (transport, stop) = (Arc::clone(&parts.transport), shutdown.token());
        shutdown.spawn("bc_gateway worker", async move {
            let wake_ups = transport.subscribe(Queue::BcgatewayOrders).await?;
            worker.run(wake_ups, granted, stop).await;
            Ok::<(), PublishError>(())
        });
        let (sweep, entropy, stop) = (self.coin_sweep(), Arc::clone(&parts.entropy), shutdown.token());
        shutdown.spawn("bc_gateway sweep of coins", async move {
            sweep_coins(sweep, settings.sweep_coins_every, entropy, stop).await;
            Ok::<(), Infallible>(())
        });
        Ok(())
    }

    /// Whether database and chain are of the same age, by the hot wallet's nonces. Our own record is never behind: a nonce
    /// is on disk before the chain hears of it.
    ///
    /// Other processes may be signing meanwhile, hence the order: what is confirmed by our record is read before the
    /// chain is asked, and what is used by it after.
    async fn compare_nonces(&self, hot_wallet: &Address) -> Result<(), StartError> {
        let transfers = &self.0.dependencies.transfers;
        let confirmed = transfers.confirmed_nonce(UserId::HOT_WALLET).await?.unwrap_or(0);
        let on_chain = match self.0.chain.next_nonce(hot_wallet).await {
            NonceAnswer::Next(nonce) => nonce,
            NonceAnswer::Unknown { reason } => {
                tracing::warn!(
                    reason,
                    "the chain does not say whether this database is as new as it is"
                );
                return Ok(());
            }
        };
        match transfers.next_nonce(hot_wallet).await? {
            Some(recorded) if on_chain > recorded => {
                return Err(StartError::DatabaseBehindChain { recorded, on_chain });
            }
            None if on_chain > 0 => tracing::warn!(
                on_chain,
                "the hot wallet's address was used before and this database is new to it; it goes on from the chain's nonce"
            ),
            Some(_) | None => {}
        }
        if on_chain < confirmed {
            tracing::error!(
                on_chain,
                confirmed,
                "the chain has lost confirmed transfers of the hot wallet; those after them will not be confirmed"
            );
        }
        Ok(())
    }

    /// Starts the dispatcher of this service's outbox, whose rows arrive by `committed`, on `shutdown`.
    pub fn start_dispatcher(&self, committed: OutboxRows, shutdown: &Shutdown) {
        let parts = &self.0.dependencies;
        let courier = |queue| -> (Destination, Arc<dyn Courier>) {
            let transport = Arc::clone(&parts.transport);
            (Destination::Queue(queue), Arc::new(QueueCourier { transport, queue }))
        };
        let dispatcher = Dispatcher {
            outbox: Arc::clone(&parts.outbox),
            couriers: BTreeMap::from(QUEUES.map(courier)),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
            sweep_every: parts.settings.sweep_every,
            metrics: self.dispatcher_metrics().clone(),
        };
        let stop = shutdown.token();
        shutdown.spawn("bc_gateway dispatcher", async move {
            dispatcher.run(committed, stop).await;
            Ok::<(), Infallible>(())
        });
    }
}

/// Sweeps coins until `stop`. A round that is cut off by it is taken up by the next process.
async fn sweep_coins(sweep: Sweep, every: Duration, entropy: Arc<dyn Entropy>, stop: CancellationToken) {
    let mut steps = Steps::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // sleep: coins that were sold have no deadline, and nobody tells this service of a sale
            () = tokio::time::sleep(entropy.jitter(every)) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            round = round(&sweep, &mut steps) => match round {
                Ok(Round { begun: 0, confirmed: 0, .. }) => {}
                Ok(round) => tracing::info!(begun = round.begun, confirmed = round.confirmed, "swept coins"),
                Err(error) => tracing::warn!(%error, "the sweep of coins was interrupted; again shortly"),
            },
        }
    }
}

/// One round; before it, what a clock that was set back has put off is brought forward.
async fn round(sweep: &Sweep, steps: &mut Steps) -> Result<Round, StoreError> {
    let now = sweep.clock.now();
    // What is due is found all the same.
    if let Err(error) = steps.watch(now, sweep.store.bring_forward(now)).await {
        tracing::warn!(%error, "sweeps that were put off could not be brought forward; again shortly");
    }
    sweep.round().await
}
