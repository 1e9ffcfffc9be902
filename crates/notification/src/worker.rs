//! What runs beside the requests: the worker that delivers, and the dispatcher that wakes it up.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use service_kit::shutdown::Shutdown;
use storage::outbox::{Destination, OutboxRow};
use tokio::sync::mpsc;
use transport::command_worker::{CommandHandler, CommandWorker, Lane};
use transport::dispatcher::{Courier, Dispatcher, QueueCourier};
use transport::queue::PublishError;

use crate::Parts;
use crate::metrics::QUEUE;

pub(crate) fn start_worker(parts: &Parts, shutdown: &Shutdown) {
    let (lane, granted) = Lane::new(parts.settings.lane_capacity);
    if parts.lane.set(lane).is_err() {
        tracing::warn!("notification has a worker in this process already; the second one listens on the queue only");
    }
    let worker = CommandWorker {
        store: Arc::clone(&parts.commands),
        handler: Arc::clone(&parts.deliver) as Arc<dyn CommandHandler>,
        clock: Arc::clone(&parts.clock),
        entropy: Arc::clone(&parts.entropy),
        concurrency: parts.settings.concurrency,
        sweep_every: parts.settings.sweep_every,
        metrics: Arc::clone(&parts.metrics.worker),
    };
    let (transport, stop) = (Arc::clone(&parts.transport), shutdown.token());
    shutdown.spawn("notification: worker", async move {
        let wake_ups = transport.subscribe(QUEUE).await?;
        worker.run(wake_ups, granted, stop).await;
        Ok::<_, PublishError>(())
    });
}

pub(crate) fn start_dispatcher(parts: &Parts, committed: mpsc::Receiver<OutboxRow>, shutdown: &Shutdown) {
    let courier: Arc<dyn Courier> = Arc::new(QueueCourier {
        transport: Arc::clone(&parts.transport),
        queue: QUEUE,
    });
    let dispatcher = Dispatcher {
        outbox: Arc::clone(&parts.outbox),
        couriers: BTreeMap::from([(Destination::Queue(QUEUE), courier)]),
        clock: Arc::clone(&parts.clock),
        entropy: Arc::clone(&parts.entropy),
        sweep_every: parts.settings.sweep_every,
        metrics: parts.metrics.dispatcher.clone(),
    };
    let stop = shutdown.token();
    shutdown.spawn("notification: dispatcher", async move {
        dispatcher.run(committed, stop).await;
        Ok::<_, Infallible>(())
    });
}
