//! `notification`: tells users how their orders ended.
//!
//! Owns one notification per order, as a command (order id, step `notify`) in its command store. What it keeps true:
//!
//! - a notification that was accepted is delivered, however often the process dies, or ends visibly as undeliverable;
//! - an order has one notification: asking again, with the same content, sends no second mail, and other content is
//!   refused;
//! - the same notification is the same mail, byte for byte, so a mail system that saw it before can tell;
//! - nothing a user or a caller writes becomes a header.
//!
//! It never moves a saga: nobody waits for its results. Rooms: [`domain`] decides, `use_cases` are the verbs,
//! [`ports`] what they need, [`mailer`] the outside adapter, [`store`] the tables, `worker` what runs, `api` HTTP.

mod api;
pub mod domain;
pub mod mailer;
mod metrics;
pub mod ports;
pub mod store;
mod use_cases;
mod worker;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use contracts::{Clock, Entropy, ServiceName};
use service_kit::internal::InternalTokens;
use service_kit::openapi::Routes;
use service_kit::shutdown::Shutdown;
use storage::StoreError;
use storage::commands::CommandStore;
use storage::migrations::Migrations;
use storage::outbox::{OutboxRow, OutboxStore};
use storage::sqlite::{
    COMMANDS_SCHEMA, DEAD_COMMANDS_INDEX, OPERATORS_SCHEMA, OUTBOX_SCHEMA, OUTBOX_TIMES, OUTBOX_TOGETHER,
};
use tokio::sync::mpsc;
use transport::command_worker::{CommandHandler, Lane};
use transport::queue::Transport;

use crate::domain::delivery::Patience;
use crate::metrics::Metrics;
use crate::ports::Mailer;
pub use crate::store::postgres::migrations as postgres_migrations;
use crate::use_cases::{Deliver, Submit};

/// The schema, in order.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Notification)
        .then("outbox", OUTBOX_SCHEMA)
        .then("commands", COMMANDS_SCHEMA)
        .then("operators", OPERATORS_SCHEMA)
        .then("dead commands", DEAD_COMMANDS_INDEX)
        .then("outbox times", OUTBOX_TIMES)
        .then("messages together", OUTBOX_TOGETHER)
}

/// What can be turned here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What stands behind the @ of message ids (`<order-7@cambist.localhost>`): a name nobody else uses, or two
    /// installations would send different mails that look like one.
    pub message_host: String,
    /// How often a mail is tried, and with which pauses.
    pub patience: Patience,
    /// How long the mail system may take for one mail. Must end before the lease of a command does.
    pub send_timeout: Duration,
    /// How many mails may be under way at once.
    pub concurrency: usize,
    /// How many accepted notifications may wait inside this process for its own worker; more go by the queue.
    pub lane_capacity: usize,
    /// How often the tables are looked at for what got lost.
    pub sweep_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            message_host: "cambist.localhost".to_owned(),
            patience: Patience::default(),
            send_timeout: Duration::from_secs(10),
            concurrency: 256,
            lane_capacity: 8_192,
            sweep_every: Duration::from_secs(1),
        }
    }
}

/// Everything this service needs from outside.
pub struct Dependencies {
    /// The notifications: [`store::sqlite::SqliteNotifications`], [`store::postgres::PostgresNotifications`].
    pub commands: Arc<dyn CommandStore>,
    /// Its outbox.
    pub outbox: Arc<dyn OutboxStore>,
    /// The queues.
    pub transport: Arc<dyn Transport>,
    /// The way to the users: [`mailer::EmlMailer`].
    pub mailer: Arc<dyn Mailer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Who may call the internal routes.
    pub internal_tokens: Arc<InternalTokens>,
    /// What can be turned.
    pub settings: Settings,
}

/// The service. Clones are the same one.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) submit: Submit,
    pub(crate) commands: Arc<dyn CommandStore>,
    pub(crate) outbox: Arc<dyn OutboxStore>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) deliver: Arc<Deliver>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) lane: Arc<OnceLock<Lane>>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    internal_tokens: Arc<InternalTokens>,
}

impl Service {
    /// The service made of these parts. Nothing runs yet.
    #[must_use]
    pub fn new(dependencies: Dependencies) -> Self {
        let Dependencies {
            commands,
            outbox,
            transport,
            mailer,
            clock,
            entropy,
            internal_tokens,
            settings,
        } = dependencies;
        let lane = Arc::new(OnceLock::new());
        let metrics: Arc<Metrics> = Arc::default();
        Self(Arc::new(Parts {
            submit: Submit {
                commands: Arc::clone(&commands),
                clock: Arc::clone(&clock),
                lane: Arc::clone(&lane),
            },
            deliver: Arc::new(Deliver {
                mailer,
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                message_host: settings.message_host.clone(),
                patience: settings.patience,
                send_timeout: settings.send_timeout,
                metrics: Arc::clone(&metrics),
            }),
            commands,
            outbox,
            transport,
            clock,
            entropy,
            lane,
            settings,
            metrics,
            internal_tokens,
        }))
    }

    /// The service as others see it, by plain calls.
    #[must_use]
    pub fn client(&self) -> Arc<dyn contracts::clients::Notification> {
        Arc::new(use_cases::Client(self.0.submit.clone()))
    }

    /// No route of this service is for users.
    pub fn public_routes(&self) -> Routes {
        Routes::new()
    }

    /// `POST /send/{order_id}` and `POST /send`, for `wallet` and operators. Fallbacks and guard are the listener's.
    pub fn internal_routes(&self) -> Routes {
        api::routes(Arc::clone(&self.0), &self.0.internal_tokens)
    }

    /// Starts the worker that delivers. From now on this process hands what it accepts to that worker directly. Once
    /// per process; a second worker would get its share by the queue only.
    pub fn start_worker(&self, shutdown: &Shutdown) {
        worker::start_worker(&self.0, shutdown);
    }

    /// Starts the dispatcher that carries this service's outbox to the queue; `committed` are the rows of its store.
    pub fn start_dispatcher(&self, committed: mpsc::Receiver<OutboxRow>, shutdown: &Shutdown) {
        worker::start_dispatcher(&self.0, committed, shutdown);
    }

    /// What the worker does with one notification; for simulations that run their own loop.
    #[must_use]
    pub fn handler(&self) -> Arc<dyn CommandHandler> {
        Arc::clone(&self.0.deliver) as Arc<dyn CommandHandler>
    }

    /// Makes every open notification due now, so that nothing waits for the lease of a worker that died. Only before
    /// [`Service::start_worker`], and only where no other process works on the same database.
    ///
    /// # Errors
    /// What the store says.
    pub async fn release_leases(&self) -> Result<u64, StoreError> {
        self.0.commands.release_leases(self.0.clock.now()).await
    }
}
