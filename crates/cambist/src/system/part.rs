//! A service in this process: its routes, its tasks, its figures. Six of them in one process, or one.

use anyhow::Context as _;
use async_trait::async_trait;
use contracts::ServiceName;
use jiff::Timestamp;
use service_kit::metrics::Registry;
use service_kit::openapi::Routes;
use service_kit::shutdown::Shutdown;
use std::sync::Arc;
use storage::commands::CommandStore;
use storage::outbox::OutboxRows;
use transport::metrics::{DispatcherMetrics, WorkerMetrics};

/// Which of a service's tasks run in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tasks {
    /// What an API needs beside its routes.
    pub(super) api: bool,
    /// The worker.
    pub(super) worker: bool,
}

/// A service in this process.
#[async_trait]
pub(super) trait Part: Send + Sync {
    fn service(&self) -> ServiceName;

    /// What users may call.
    fn public_routes(&self) -> Routes;

    /// What services and operators may call.
    fn internal_routes(&self) -> Routes;

    /// What it counts.
    fn register_metrics(&self, registry: &mut Registry);

    /// What its dispatcher counts, if it has an outbox.
    fn dispatcher_metrics(&self) -> Option<&DispatcherMetrics> {
        None
    }

    /// What its worker counts, if it carries out commands.
    fn worker_metrics(&self) -> Option<&Arc<WorkerMetrics>> {
        None
    }

    /// Takes up what an earlier run left. Before anything runs.
    async fn take_up(&self, now: Timestamp) -> anyhow::Result<()>;

    /// Starts its tasks. They end with `work`.
    async fn start(self: Box<Self>, tasks: Tasks, work: &Shutdown) -> anyhow::Result<()>;
}

#[async_trait]
impl Part for auth::Service {
    fn service(&self) -> ServiceName {
        ServiceName::Auth
    }

    fn public_routes(&self) -> Routes {
        self.public_routes()
    }

    fn internal_routes(&self) -> Routes {
        self.internal_routes()
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.register_metrics(registry);
    }

    async fn take_up(&self, _: Timestamp) -> anyhow::Result<()> {
        Ok(())
    }

    async fn start(self: Box<Self>, tasks: Tasks, work: &Shutdown) -> anyhow::Result<()> {
        if tasks.api {
            (*self).start(work);
        }
        Ok(())
    }
}

#[async_trait]
impl Part for balance::Service {
    fn service(&self) -> ServiceName {
        ServiceName::Balance
    }

    fn public_routes(&self) -> Routes {
        self.public_routes()
    }

    fn internal_routes(&self) -> Routes {
        self.internal_routes()
    }

    fn register_metrics(&self, _: &mut Registry) {}

    async fn take_up(&self, _: Timestamp) -> anyhow::Result<()> {
        Ok(())
    }

    async fn start(self: Box<Self>, _: Tasks, _: &Shutdown) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A service with an outbox: with the rows on their way to its dispatcher, and the routes of its dead letters.
pub(super) struct Sending<S> {
    pub(super) service: S,
    pub(super) rows: OutboxRows,
    pub(super) letters: Routes,
}

#[async_trait]
impl Part for Sending<wallet::Service> {
    fn service(&self) -> ServiceName {
        ServiceName::Wallet
    }

    fn public_routes(&self) -> Routes {
        self.service.public_routes()
    }

    fn internal_routes(&self) -> Routes {
        self.service.internal_routes().merge(self.letters.clone())
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.service.register_metrics(registry);
    }

    fn dispatcher_metrics(&self) -> Option<&DispatcherMetrics> {
        Some(self.service.dispatcher_metrics())
    }

    async fn take_up(&self, _: Timestamp) -> anyhow::Result<()> {
        self.service
            .prepare()
            .await
            .context("unfinished orders cannot be taken up")
    }

    async fn start(self: Box<Self>, tasks: Tasks, work: &Shutdown) -> anyhow::Result<()> {
        if tasks.api {
            let counted = self.service.start_gauge(work).await;
            counted.context("orders under way cannot be counted")?;
        }
        self.service.start_dispatcher(self.rows, work);
        if tasks.worker {
            self.service.start_worker(work);
        }
        Ok(())
    }
}

/// A service that carries out commands.
pub(super) struct Commanded<S> {
    pub(super) sending: Sending<S>,
    pub(super) commands: Arc<dyn CommandStore>,
}

macro_rules! commanded {
    ($name:expr, $service:ty, |$it:ident| $check:expr, |$this:ident, $work:ident| $start_worker:block) => {
        #[async_trait]
        impl Part for Commanded<$service> {
            fn service(&self) -> ServiceName {
                $name
            }

            fn public_routes(&self) -> Routes {
                self.sending.service.public_routes()
            }

            fn internal_routes(&self) -> Routes {
                self.sending
                    .service
                    .internal_routes()
                    .merge(self.sending.letters.clone())
            }

            fn register_metrics(&self, registry: &mut Registry) {
                self.sending.service.register_metrics(registry);
            }

            fn dispatcher_metrics(&self) -> Option<&DispatcherMetrics> {
                Some(self.sending.service.dispatcher_metrics())
            }

            fn worker_metrics(&self) -> Option<&Arc<WorkerMetrics>> {
                Some(self.sending.service.worker_metrics())
            }

            async fn take_up(&self, now: Timestamp) -> anyhow::Result<()> {
                let $it = &self.sending.service;
                let checked: anyhow::Result<()> = $check;
                checked?;
                // Does nothing where others may be at work on the same database.
                let released = self.commands.release_leases(now).await;
                released.map(drop).context("unfinished work cannot be taken up")
            }

            async fn start(self: Box<Self>, tasks: Tasks, $work: &Shutdown) -> anyhow::Result<()> {
                let $this = &self.sending.service;
                $this.start_dispatcher(self.sending.rows, $work);
                if tasks.worker {
                    $start_worker
                }
                Ok(())
            }
        }
    };
}

commanded!(
    ServiceName::Exchanger,
    exchanger::Service,
    |_service| Ok(()),
    |service, work| {
        service.start_worker(work);
    }
);
commanded!(
    ServiceName::BcGateway,
    bc_gateway::Service,
    |service| Ok(service.check_seed().await?),
    |service, work| {
        service.start_worker(work).await?;
    }
);
commanded!(
    ServiceName::Notification,
    notification::Service,
    |_service| Ok(()),
    |service, work| {
        service.start_worker(work);
    }
);
