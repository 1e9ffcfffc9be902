//! The tasks that run beside the API: the dispatcher of the outbox, the saga worker, the sweep.

mod gauge;
mod sagas;
mod sweep;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use contracts::messages::Queue;
use service_kit::shutdown::Shutdown;
use storage::StoreError;
use storage::outbox::{Destination, OutboxRow};
use tokio::sync::mpsc;
use transport::dispatcher::{Courier, Dispatcher, QueueCourier};
use transport::queue::PublishError;

use crate::Service;
use crate::use_cases::CALLED;
use crate::use_cases::admit::recount;
use crate::use_cases::carry::ServiceCourier;
use crate::use_cases::re_issue::recover;

impl Service {
    /// Takes up what is in the store: in a single process all that is under way is due at once. To be awaited before
    /// routes are served and tasks started.
    ///
    /// # Errors
    /// What the store says; nothing can be served then.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        if self.wallet.ports.settings.single_process {
            recover(&self.wallet).await?;
        }
        Ok(())
    }

    /// Counts the orders under way, for admission, and goes on counting until `shutdown`. To be awaited before routes are
    /// served; where there are none it is not needed.
    ///
    /// # Errors
    /// What the store says; nothing can be served then.
    pub async fn start_gauge(&self, shutdown: &Shutdown) -> Result<(), StoreError> {
        recount(&self.wallet).await?;
        let (wallet, stop) = (Arc::clone(&self.wallet), shutdown.token());
        shutdown.spawn("wallet gauge", async move {
            gauge::run(&wallet, &stop).await;
            Ok::<(), Infallible>(())
        });
        Ok(())
    }

    /// Starts the dispatcher of the outbox whose rows arrive by `committed`: the way to the ledger, the exchanger, the
    /// gateway and the notifications. It ends with `shutdown`, after the deliveries that are under way.
    pub fn start_dispatcher(&self, committed: mpsc::Receiver<OutboxRow>, shutdown: &Shutdown) {
        let ports = &self.wallet.ports;
        let courier = |service| -> (Destination, Arc<dyn Courier>) {
            let wallet = Arc::clone(&self.wallet);
            (
                Destination::Service(service),
                Arc::new(ServiceCourier { wallet, service }),
            )
        };
        let mut couriers = BTreeMap::from(CALLED.map(courier));
        // Results that were dead letters go back to the worker when an operator wants so.
        let (transport, queue) = (Arc::clone(&ports.transport), Queue::SagaSteps);
        couriers.insert(Destination::Queue(queue), Arc::new(QueueCourier { transport, queue }));
        let dispatcher = Dispatcher {
            outbox: Arc::clone(&ports.outbox),
            couriers,
            clock: Arc::clone(&ports.clock),
            entropy: Arc::clone(&ports.entropy),
            sweep_every: ports.settings.sweep_every,
            metrics: self.wallet.dispatcher.clone(),
        };
        let stop = shutdown.token();
        shutdown.spawn("wallet dispatcher", async move {
            dispatcher.run(committed, stop).await;
            Ok::<(), Infallible>(())
        });
    }

    /// Starts the saga worker on `saga_steps` and the sweep. They end with `shutdown`, after what is under way.
    pub fn start_worker(&self, shutdown: &Shutdown) {
        let (wallet, stop) = (Arc::clone(&self.wallet), shutdown.token());
        shutdown.spawn("wallet saga worker", async move {
            let steps = wallet.ports.transport.subscribe(Queue::SagaSteps).await?;
            sagas::run(wallet, steps, stop).await;
            Ok::<(), PublishError>(())
        });
        let (wallet, stop) = (Arc::clone(&self.wallet), shutdown.token());
        shutdown.spawn("wallet sweep", async move {
            sweep::run(&wallet, &stop).await;
            Ok::<(), Infallible>(())
        });
    }
}
