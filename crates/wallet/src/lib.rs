//! `wallet`: orders, sagas and deposits, the heart of the system.
//!
//! It owns what a user wants (an order), how far that is (its saga), and fiat on its way in (a deposit). Other services
//! trade, transfer, book and tell; this one makes sure that each order reaches exactly one end, whatever gets lost,
//! doubled or late in between. What it keeps true:
//!
//! - an accepted order is on disk, with the command of its hold, before anybody hears of it;
//! - an order moves only along the edges of [`domain::saga`], each move one transaction with its log entry and the
//!   commands it causes; answers to commands move nothing, only their results do;
//! - a failed order leaves its user where they were; unknown is not failed;
//! - whatever is not heard of is issued again, until it is.
//!
//! Rooms: [`domain`] decides, `use_cases` are the verbs, [`ports`] what they need of a store, [`store`] supplies it,
//! `worker` runs dispatcher, gauge, saga worker and sweep, `api` speaks HTTP. Queue: `saga_steps`, read by the saga worker.
//! Routes: the public ones of a user's wallet and orders; internally, for operators: `/sagas` (list, look, retry, resolve),
//! `/freezes` and `/deposits`.

mod api;
pub mod domain;
mod metrics;
pub mod ports;
pub mod store;
mod use_cases;
mod worker;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use contracts::clients::{Auth, Balance, BcGateway, Exchanger, Notification};
use contracts::{Clock, Entropy, ServiceName};
use service_kit::auth::TokenVerifier;
use service_kit::internal::InternalTokens;
use service_kit::openapi::Routes;
use storage::migrations::Migrations;
use storage::outbox::OutboxStore;
use storage::sqlite::{OPERATORS_SCHEMA, OUTBOX_SCHEMA, OUTBOX_TIMES, OUTBOX_TOGETHER};
use transport::metrics::DispatcherMetrics;
use transport::queue::Transport;

use crate::ports::{DepositStore, FreezeStore, KeyStore, OrderStore};
pub use crate::store::postgres::migrations as postgres_migrations;
use crate::use_cases::Wallet;

/// The SQLite migrations, in order.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Wallet)
        .then("orders", include_str!("../migrations/sqlite/0001_orders.sql"))
        .then("outbox", OUTBOX_SCHEMA)
        .then("outbox times", OUTBOX_TIMES)
        .then("promises", include_str!("../migrations/sqlite/0004_promises.sql"))
        .then("operators", OPERATORS_SCHEMA)
        .then(
            "cheaper checks",
            include_str!("../migrations/sqlite/0006_cheaper_checks.sql"),
        )
        .then("key marks", include_str!("../migrations/sqlite/0007_key_marks.sql"))
        .then("messages together", OUTBOX_TOGETHER)
        .then(
            "events as they come",
            include_str!("../migrations/sqlite/0009_events_as_they_come.sql"),
        )
}

/// Who books deposits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deposits {
    /// Users book their own: for trying things out.
    SelfService,
    /// The operator does, through the ledger's internal side; users get 403.
    Operator,
}

/// When a step is issued again of which nothing is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// The first time; doubled each time after. Jitter takes up to half of it away.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

/// Bounds on the streams that follow orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    /// How many may be open in this process; 1,024 by default.
    pub most: NonZeroUsize,
    /// How many of them one user may have; 16 by default.
    pub most_per_user: NonZeroUsize,
    /// After how much silence a comment says that the stream is alive; 15 s by default.
    pub keep_alive: Duration,
    /// How often a stream looks for what another process has committed; 1 s by default, with jitter.
    pub look_again: Duration,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            most: const { NonZeroUsize::new(1_024).expect("not zero") },
            most_per_user: const { NonZeroUsize::new(16).expect("not zero") },
            keep_alive: Duration::from_secs(15),
            look_again: Duration::from_secs(1),
        }
    }
}

/// What can be turned here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Who books deposits; the operator by default.
    pub deposits: Deposits,
    /// How many orders may be under way before new ones are answered 503; 10,000 by default.
    pub max_in_flight: NonZeroUsize,
    /// How long a request waits for its order's hold, or its deposit's booking; 2 s by default.
    pub hold_wait: Duration,
    /// How long an idempotency key is kept at least, counted in time that the worker runs; 7 days by default.
    pub key_lifetime: Duration,
    /// When a step is issued again; after 3 s, doubled up to 30 s, by default.
    pub pacing: Pacing,
    /// How often the sweep and the dispatcher look for what is due; 1 s by default, with jitter.
    pub sweep_every: Duration,
    /// Bounds on the streams that follow orders.
    pub streams: Streams,
    /// Whether this is the only process on its database: then all that is open is due at start, and admission hears of the
    /// end of every order. `false` by default.
    pub single_process: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deposits: Deposits::Operator,
            max_in_flight: const { NonZeroUsize::new(10_000).expect("not zero") },
            hold_wait: Duration::from_secs(2),
            key_lifetime: Duration::from_secs(7 * 24 * 60 * 60),
            pacing: Pacing {
                first: Duration::from_secs(3),
                longest: Duration::from_secs(30),
            },
            sweep_every: Duration::from_secs(1),
            streams: Streams::default(),
            single_process: false,
        }
    }
}

/// Everything this service needs from outside.
#[derive(Clone)]
pub struct Dependencies {
    /// Orders with their sagas: [`store::sqlite::SqliteWallet`], [`store::postgres::PostgresWallet`].
    pub orders: Arc<dyn OrderStore>,
    /// Deposits: the same.
    pub deposits: Arc<dyn DepositStore>,
    /// Who is frozen: the same.
    pub freezes: Arc<dyn FreezeStore>,
    /// The requests' names: the same.
    pub keys: Arc<dyn KeyStore>,
    /// The outbox through which orders and deposits send their effects.
    pub outbox: Arc<dyn OutboxStore>,
    /// Who has which address.
    pub auth: Arc<dyn Auth>,
    /// The ledger.
    pub balance: Arc<dyn Balance>,
    /// Who trades.
    pub exchanger: Arc<dyn Exchanger>,
    /// Who sends crypto.
    pub bc_gateway: Arc<dyn BcGateway>,
    /// Who tells users.
    pub notification: Arc<dyn Notification>,
    /// The queues.
    pub transport: Arc<dyn Transport>,
    /// Whose token it is.
    pub verifier: Arc<TokenVerifier>,
    /// Who may call the internal routes.
    pub internal_tokens: Arc<InternalTokens>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Jitter, and made-up references.
    pub entropy: Arc<dyn Entropy>,
    /// What can be turned.
    pub settings: Settings,
}

/// The service. Clones are the same one.
///
/// To start it: [`Service::new`], [`Service::prepare`], [`Service::start_gauge`] (beside every API), then routes,
/// [`Service::start_dispatcher`] (beside every API and every worker) and [`Service::start_worker`].
#[derive(Clone)]
pub struct Service {
    wallet: Arc<Wallet>,
}

impl Service {
    /// The service made of these parts. Nothing runs yet, and nothing is read.
    #[must_use]
    pub fn new(dependencies: Dependencies) -> Self {
        Self {
            wallet: Arc::new(Wallet::new(dependencies)),
        }
    }

    /// The public routes, behind admission and tokens. Fallbacks, limits and probes are the wiring's.
    pub fn public_routes(&self) -> Routes {
        api::public_routes(&self.wallet)
    }

    /// The internal routes, for operators. Fallbacks, limits and probes are the wiring's.
    pub fn internal_routes(&self) -> Routes {
        api::internal_routes(&self.wallet)
    }

    /// What its dispatcher counts.
    #[must_use]
    pub fn dispatcher_metrics(&self) -> &DispatcherMetrics {
        &self.wallet.dispatcher
    }

    /// How many orders are under way, as far as this process knows: the gauge of admission.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.wallet.admission.orders()
    }

    /// How many streams that follow an order are open in this process.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.wallet.watchers.open()
    }
}
