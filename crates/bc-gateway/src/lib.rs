//! The blockchain gateway: addresses, and transfers between them.
//!
//! It owns the customers' addresses (one per user and chain, each with a key derived from one seed), the nonces, and
//! whatever is signed. Others hand it commands by (order id, step); it carries each out once, books it on the ledger and
//! publishes the result. What it keeps true:
//!
//! - at most one transfer on the chain succeeds for a command: the bytes are signed once, committed with their nonce
//!   before they are sent, and the same bytes are sent until they are confirmed;
//! - `failed` comes only from checks before that commit, or from an operator once the chain shows that the bytes are void;
//! - what a customer pays is in transit until the coins have arrived, and goes back to them when they never do;
//! - unknown is not failed: what the chain does not answer is asked again;
//! - the ledger is told exactly once of each transfer, by the transfer's own name (order, leg).
//!
//! Routes: internal `POST /withdraw/{user_id}` (wallet, operators), `/transfers` (operators). Worker: `bc_gateway_worker` on
//! `bcgateway_orders`, and a sweep that brings coins which are no longer their users' back to the hot wallet's address.

pub mod chain;
pub mod domain;
pub mod ports;
pub mod store;
pub mod use_cases;

mod api;
mod metrics;
mod worker;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use contracts::clients::{Balance, BcGateway};
use contracts::{Clock, Entropy, ServiceName, UserId};
use service_kit::internal::InternalTokens;
use service_kit::openapi::Routes;
use storage::StoreError;
use storage::commands::CommandStore;
use storage::migrations::Migrations;
use storage::outbox::OutboxStore;
use storage::sqlite::{
    COMMANDS_SCHEMA, DEAD_COMMANDS_INDEX, OPERATORS_SCHEMA, OUTBOX_SCHEMA, OUTBOX_TIMES, OUTBOX_TOGETHER,
};
use thiserror::Error;
use transport::command_worker::{CommandHandler, Lane};
use transport::queue::Transport;

pub use crate::domain::custody::{Custody, InvalidSeed, Keys};
use crate::metrics::Metrics;
pub use crate::ports::Address;
use crate::ports::{Chain, TransferStore};
pub use crate::store::postgres::migrations as postgres_migrations;
use crate::use_cases::sign::SigningDesk;
use crate::use_cases::submit::Submit;
use crate::use_cases::sweep::Sweep;
use crate::use_cases::transfer::{Patience, Transfer};

/// The schema on SQLite, in order.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::BcGateway)
        .then("transfers", include_str!("../migrations/sqlite/0001_transfers.sql"))
        .then("outbox", OUTBOX_SCHEMA)
        .then("commands", COMMANDS_SCHEMA)
        .then("operators", OPERATORS_SCHEMA)
        .then("dead commands", DEAD_COMMANDS_INDEX)
        .then("outbox times", OUTBOX_TIMES)
        .then("messages together", OUTBOX_TOGETHER)
        .then(
            "reservations",
            include_str!("../migrations/sqlite/0008_reservations.sql"),
        )
        .then(
            "reservations seen",
            include_str!("../migrations/sqlite/0009_reservations_seen.sql"),
        )
}

/// This service's knobs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many confirmations make a transfer final, at least 1. The simulated chain shows 1 for what a reorganisation
    /// is about to undo, so 1 means to trust every block.
    pub confirmations: u32,
    /// The pause before an unanswered question to the chain or the ledger is asked again; doubled each time, jittered.
    pub first_pause: Duration,
    /// The longest such pause.
    pub longest_pause: Duration,
    /// How long one call to the chain may take. A command makes at most four of them under one claim (can it be sent,
    /// with which nonce, here it is, has it come), so the claim's lease
    /// ([`CommandTimes::lease`](storage::commands::CommandTimes::lease)) should be longer than five times this; the
    /// settings of the program see to it. Nothing but time depends on it: nothing is begun once a lease has run out, and
    /// what is signed under an old claim is fenced off.
    pub call_timeout: Duration,
    /// How many commands are worked on at once.
    pub concurrency: usize,
    /// How often the worker looks for commands, and the dispatcher for rows, that are due or got lost. Also how precisely
    /// pauses are kept.
    pub sweep_every: Duration,
    /// How often coins are looked for that belong back to the hot wallet's address; jittered.
    pub sweep_coins_every: Duration,
    /// How many commands wait between this process's API and its worker; the others go by the queue.
    pub lane_capacity: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            confirmations: 2,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            call_timeout: Duration::from_secs(5),
            concurrency: 256,
            sweep_every: Duration::from_millis(500),
            sweep_coins_every: Duration::from_secs(10),
            lane_capacity: 4_096,
        }
    }
}

/// What this service is made of.
#[derive(Clone)]
pub struct Dependencies {
    /// Its commands.
    pub commands: Arc<dyn CommandStore>,
    /// Its signed transfers.
    pub transfers: Arc<dyn TransferStore>,
    /// Its outbox.
    pub outbox: Arc<dyn OutboxStore>,
    /// The ledger.
    pub balance: Arc<dyn Balance>,
    /// The chain.
    pub chain: Arc<dyn Chain>,
    /// The keys.
    pub custody: Custody,
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

/// Why the worker must not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The stored address of the hot wallet is not the one that its key has.
    #[error(
        "the custody seed is not the one that made this database's addresses: the hot wallet's address is {stored}, and \
         this seed makes {derived}; bring the right seed back"
    )]
    WrongSeed {
        /// What is stored.
        stored: Address,
        /// What the seed makes.
        derived: Address,
    },
    /// The chain has transfers of the hot wallet that this database does not know: it is older than they are, most likely a
    /// restored backup. Whatever it signed would use their nonces and be refused by the chain for ever, and it may hold
    /// commands as unsigned that were carried out.
    #[error(
        "this database is older than the chain: it has used the hot wallet's nonces below {recorded}, the chain has seen \
         those below {on_chain}; restore the newer database"
    )]
    DatabaseBehindChain {
        /// The next nonce by this database.
        recorded: u64,
        /// The next nonce by the chain.
        on_chain: u64,
    },
    /// It was started before.
    #[error("the worker was started before")]
    StartedBefore,
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The service. Clones are the same service.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

struct Parts {
    dependencies: Dependencies,
    chain: Arc<dyn Chain>,
    desk: Arc<SigningDesk>,
    gateway: Arc<Submit>,
    /// The way to this process's worker, once it is started; without one everything goes by the queue.
    lane: Arc<OnceLock<Lane>>,
    metrics: Arc<Metrics>,
}

impl Service {
    /// The service made of these parts. Nothing runs yet.
    #[must_use]
    pub fn new(dependencies: Dependencies) -> Self {
        let metrics: Arc<Metrics> = Arc::default();
        let chain: Arc<dyn Chain> = Arc::new(chain::Bounded {
            chain: Arc::clone(&dependencies.chain),
            limit: dependencies.settings.call_timeout,
            metrics: Arc::clone(&metrics),
        });
        let desk = Arc::new(SigningDesk::new(
            Arc::clone(&chain),
            dependencies.custody.clone(),
            Arc::clone(&dependencies.transfers),
            Arc::clone(&dependencies.clock),
        ));
        let lane = Arc::new(OnceLock::new());
        let gateway = Submit {
            store: Arc::clone(&dependencies.commands),
            clock: Arc::clone(&dependencies.clock),
            lane: Arc::clone(&lane),
            chain: Arc::clone(&chain),
            desk: Arc::clone(&desk),
            confirmations: dependencies.settings.confirmations.max(1),
        };
        Self(Arc::new(Parts {
            dependencies,
            chain,
            desk,
            gateway: Arc::new(gateway),
            lane,
            metrics,
        }))
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// The service, for callers in this process.
    #[must_use]
    pub fn client(&self) -> Arc<dyn BcGateway> {
        Arc::clone(&self.0.gateway) as _
    }

    /// No route of this service is public.
    pub fn public_routes(&self) -> Routes {
        Routes::new()
    }

    /// `POST /withdraw/{user_id}` and `POST /withdraw`, for wallet and operators; `/transfers`, for operators.
    pub fn internal_routes(&self) -> Routes {
        let parts = &self.0.dependencies;
        api::internal_routes(self.client(), Arc::clone(&parts.transfers), &parts.internal_tokens)
    }

    /// The address of a user's wallet, whether it was used already or not.
    #[must_use]
    pub fn address(&self, user: UserId) -> Address {
        self.0.desk.party(user).address
    }

    /// The decision about one command, as the worker uses it.
    #[must_use]
    pub fn handler(&self) -> Arc<dyn CommandHandler> {
        let parts = &self.0.dependencies;
        Arc::new(Transfer {
            chain: Arc::clone(&self.0.chain),
            desk: Arc::clone(&self.0.desk),
            commands: Arc::clone(&parts.commands),
            store: Arc::clone(&parts.transfers),
            balance: Arc::clone(&parts.balance),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
            patience: self.patience(),
        })
    }

    /// The sweep of coins, as the worker uses it.
    #[must_use]
    pub fn coin_sweep(&self) -> Sweep {
        let parts = &self.0.dependencies;
        Sweep {
            chain: Arc::clone(&self.0.chain),
            desk: Arc::clone(&self.0.desk),
            store: Arc::clone(&parts.transfers),
            balance: Arc::clone(&parts.balance),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
            patience: self.patience(),
        }
    }

    fn patience(&self) -> Patience {
        let settings = self.0.dependencies.settings;
        Patience {
            confirmations: settings.confirmations.max(1),
            first_pause: settings.first_pause,
            longest_pause: settings.longest_pause,
        }
    }
}
