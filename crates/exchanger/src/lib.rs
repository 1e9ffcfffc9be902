//! Exchanger: orders at the external venue.
//!
//! It exists because a venue is somebody else's computer: it may execute an order and never say so. This service owns the
//! commands to trade, their orders' names and ends in time, and the booking of what was filled. What it keeps true:
//! **unknown is not failed**; an order is sent at most once under its name; what is booked is what was filled, once.
//!
//! - [`domain`]: the decision, pure; [`use_cases`]: taking commands in and carrying them out
//! - [`ports`]: the venue; [`venue`]: its simulator
//! - [`store`]: the command store and outbox, on SQLite and on PostgreSQL; [`worker`]: the tasks
//! - [`api`]: internally `POST /buy/{order_id}` and `POST /sell/{order_id}`, and both with an array; nothing in public
//!
//! Queue: `exchange_orders` wakes the worker, results go to `saga_steps`.

pub mod api;
pub mod domain;
mod metrics;
pub mod ports;
pub mod store;
pub mod use_cases;
pub mod venue;
pub mod worker;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use contracts::clients::{Balance, Exchanger};
use contracts::{Clock, Entropy};
use service_kit::internal::InternalTokens;
use service_kit::openapi::Routes;
use storage::StoreError;
use storage::commands::CommandStore;
use storage::outbox::OutboxStore;
use transport::command_worker::{CommandHandler, Lane};
use transport::queue::Transport;

pub use crate::domain::decision::Rules;
use crate::metrics::Metrics;
use crate::ports::{Installation, Venue};
pub use crate::store::postgres::migrations as postgres_migrations;
pub use crate::store::sqlite::migrations;
use crate::use_cases::execute::Execute;
use crate::use_cases::submit::Submit;

/// Exchanger's knobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The knobs of the decision: lives, pauses, numbers of attempts.
    pub rules: Rules,
    /// How long an answer of the venue is waited for.
    pub venue_timeout: Duration,
    /// How many commands the worker carries out at once.
    pub concurrency: usize,
    /// How many commands wait between this process's API and its worker; the others go by the queue.
    pub lane_capacity: usize,
    /// How often the worker looks for commands, and the dispatcher for rows, that are due or got lost.
    pub sweep_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            venue_timeout: Duration::from_secs(3),
            concurrency: 512,
            lane_capacity: 4_096,
            sweep_every: Duration::from_millis(500),
        }
    }
}

/// What exchanger needs from outside.
#[derive(Clone)]
pub struct Dependencies {
    /// Its commands.
    pub commands: Arc<dyn CommandStore>,
    /// Which installation this is, to the venue.
    pub installation: Arc<dyn Installation>,
    /// Its outbox, through which the commands publish.
    pub outbox: Arc<dyn OutboxStore>,
    /// The ledger.
    pub balance: Arc<dyn Balance>,
    /// The venue.
    pub venue: Arc<dyn Venue>,
    /// The queues.
    pub transport: Arc<dyn Transport>,
    /// Who may call the internal routes.
    pub internal_tokens: Arc<InternalTokens>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
    /// The knobs.
    pub settings: Settings,
}

/// The service. Clones are the same one.
#[derive(Clone)]
pub struct Service {
    dependencies: Arc<Dependencies>,
    submit: Arc<Submit>,
    /// The way to this process's worker, once it is started; without one everything goes by the queue.
    lane: Arc<OnceLock<Lane>>,
    metrics: Arc<Metrics>,
}

impl Service {
    /// The service; nothing runs yet.
    #[must_use]
    pub fn new(dependencies: Dependencies) -> Self {
        let lane = Arc::new(OnceLock::new());
        let metrics: Arc<Metrics> = Arc::default();
        let submit = Submit {
            store: Arc::clone(&dependencies.commands),
            installation: Arc::clone(&dependencies.installation),
            venue: Arc::clone(&dependencies.venue),
            clock: Arc::clone(&dependencies.clock),
            lane: Arc::clone(&lane),
            rules: dependencies.settings.rules,
            venue_timeout: dependencies.settings.venue_timeout,
            metrics: Arc::clone(&metrics),
        };
        Self {
            dependencies: Arc::new(dependencies),
            submit: Arc::new(submit),
            lane,
            metrics,
        }
    }

    /// The service as others of this process see it.
    #[must_use]
    pub fn client(&self) -> Arc<dyn Exchanger> {
        Arc::clone(&self.submit) as Arc<dyn Exchanger>
    }

    /// No route of this service is for users.
    pub fn public_routes(&self) -> Routes {
        Routes::new()
    }

    /// What the worker does with one command; for simulations that run their own loop.
    #[must_use]
    pub fn handler(&self) -> Arc<dyn CommandHandler> {
        let dependencies = &self.dependencies;
        Arc::new(Execute {
            store: Arc::clone(&dependencies.commands),
            venue: Arc::clone(&dependencies.venue),
            balance: Arc::clone(&dependencies.balance),
            clock: Arc::clone(&dependencies.clock),
            entropy: Arc::clone(&dependencies.entropy),
            rules: dependencies.settings.rules,
            venue_timeout: dependencies.settings.venue_timeout,
            metrics: Arc::clone(&self.metrics),
        })
    }

    /// Makes every open command due now, so that nothing waits for the lease of a worker that died. Only before
    /// [`Service::start_worker`], and only where no other process works on the same database.
    ///
    /// # Errors
    /// What the store says.
    pub async fn release_leases(&self) -> Result<u64, StoreError> {
        let dependencies = &self.dependencies;
        dependencies.commands.release_leases(dependencies.clock.now()).await
    }

    /// The internal routes, for wallet and operators. Fallbacks and guard are the listener's.
    pub fn internal_routes(&self) -> Routes {
        api::routes(self.client(), &self.dependencies.internal_tokens)
    }
}
