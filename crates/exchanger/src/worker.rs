//! The tasks that run beside the API: the worker on `exchange_orders`, and the dispatcher that empties the outbox.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use contracts::messages::Queue;
use service_kit::shutdown::Shutdown;
use storage::outbox::{Destination, OutboxRow};
use tokio::sync::mpsc;
use transport::command_worker::{CommandWorker, Lane};
use transport::dispatcher::{Courier, Dispatcher, QueueCourier};
use transport::queue::PublishError;

use crate::Service;
use crate::metrics::QUEUES;

impl Service {
    /// Starts the worker. From now on commands of this process's API come to it without a detour; those of others by
    /// the queue. It ends with `shutdown`, after the commands that are under way. Once per service; a second worker would
    /// get its share by the queue only.
    pub fn start_worker(&self, shutdown: &Shutdown) {
        let dependencies = &self.dependencies;
        let settings = dependencies.settings;
        let (lane, granted) = Lane::new(settings.lane_capacity);
        if self.lane.set(lane).is_err() {
            tracing::warn!("exchanger has a worker in this process already; the second one listens on the queue only");
        }
        let worker = CommandWorker {
            store: Arc::clone(&dependencies.commands),
            handler: self.handler(),
            clock: Arc::clone(&dependencies.clock),
            entropy: Arc::clone(&dependencies.entropy),
            concurrency: settings.concurrency,
            sweep_every: settings.sweep_every,
            metrics: Arc::clone(&self.metrics.worker),
        };
        let transport = Arc::clone(&dependencies.transport);
        let stop = shutdown.token();
        shutdown.spawn("exchanger worker", async move {
            let wake_ups = transport.subscribe(Queue::ExchangeOrders).await?;
            worker.run(wake_ups, granted, stop).await;
            Ok::<(), PublishError>(())
        });
    }

    /// Starts the dispatcher of the outbox whose rows arrive by `committed`. It ends with `shutdown`.
    pub fn start_dispatcher(&self, committed: mpsc::Receiver<OutboxRow>, shutdown: &Shutdown) {
        let dependencies = &self.dependencies;
        let courier = |queue| -> (Destination, Arc<dyn Courier>) {
            let transport = Arc::clone(&dependencies.transport);
            (Destination::Queue(queue), Arc::new(QueueCourier { transport, queue }))
        };
        let dispatcher = Dispatcher {
            outbox: Arc::clone(&dependencies.outbox),
            couriers: BTreeMap::from(QUEUES.map(courier)),
            clock: Arc::clone(&dependencies.clock),
            entropy: Arc::clone(&dependencies.entropy),
            sweep_every: dependencies.settings.sweep_every,
            metrics: self.metrics.dispatcher.clone(),
        };
        let stop = shutdown.token();
        shutdown.spawn("exchanger dispatcher", async move {
            dispatcher.run(committed, stop).await;
            Ok::<(), Infallible>(())
        });
    }
}
