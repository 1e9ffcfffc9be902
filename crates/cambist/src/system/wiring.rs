//! Each service with its stores, its ports and its settings: one method a service, so that what it gets can be read.

use std::sync::Arc;

use bc_gateway::Custody;
use bc_gateway::ports::Chain;
use contracts::clients::{Auth, Balance, BcGateway, Exchanger, Notification};
use contracts::{Clock, Entropy, ServiceName};
use exchanger::ports::Venue;
use notification::ports::Mailer;
use service_kit::auth::TokenVerifier;
use service_kit::http::RateLimit;
use service_kit::internal::InternalTokens;
use service_kit::openapi::Routes;
use service_kit::operators::dead_letter_routes;
use service_kit::settings::Settings;
use storage::commands::CommandStore;
use storage::sqlite::{Database, OutboxRows, SqliteCommands, SqliteLetters, SqliteOutbox};
use transport::queue::Transport;

use super::translate;

/// What all services have in common.
pub(super) struct Wiring {
    pub(super) settings: Settings,
    pub(super) database: Database,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) tokens: Arc<InternalTokens>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// A service that carries out commands, with these, and with the rows of its outbox on their way to its dispatcher.
pub(super) struct Wired<S> {
    pub(super) service: S,
    pub(super) commands: Arc<dyn CommandStore>,
    pub(super) rows: OutboxRows,
    /// The routes of its dead letters.
    pub(super) letters: Routes,
}

/// Whom the wallet calls.
pub(super) struct Neighbours {
    pub(super) auth: Arc<dyn Auth>,
    pub(super) balance: Arc<dyn Balance>,
    pub(super) exchanger: Arc<dyn Exchanger>,
    pub(super) bc_gateway: Arc<dyn BcGateway>,
    pub(super) notification: Arc<dyn Notification>,
}

impl Wiring {
    /// The routes of a service's dead letters, which go back to `outbox` or to one of its `commands`.
    fn letters(&self, service: ServiceName, outbox: SqliteOutbox, commands: Option<SqliteCommands>) -> Routes {
        let letters = SqliteLetters::new(service, self.database.clone(), outbox, commands);
        dead_letter_routes(Arc::new(letters), Arc::clone(&self.clock), &self.tokens)
    }

    fn capacity(&self) -> usize {
        self.settings.queue_capacity.get()
    }

    pub(super) fn auth(&self) -> auth::Service {
        let users = Arc::new(auth::store::sqlite::SqliteAuth::new(self.database.clone()));
        let hasher = auth::Argon2Pool::new(translate::hashing(&self.settings), Arc::clone(&self.entropy));
        let rate_limit = RateLimit::per_minute(self.settings.requests_per_minute, Arc::clone(&self.clock));
        auth::Service::new(auth::Dependencies {
            users: users.clone(),
            keys: users.clone(),
            failures: users,
            hasher: Arc::new(hasher),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            rate_limit: Arc::new(rate_limit),
            internal_tokens: Arc::clone(&self.tokens),
            settings: translate::auth(&self.settings),
        })
    }

    pub(super) fn balance(&self) -> balance::Service {
        balance::Service::new(balance::Dependencies {
            ledger: Arc::new(balance::store::sqlite::SqliteLedger::new(self.database.clone())),
            clock: Arc::clone(&self.clock),
            internal_tokens: Arc::clone(&self.tokens),
        })
    }

    pub(super) fn exchanger(&self, balance: Arc<dyn Balance>, venue: Arc<dyn Venue>) -> Wired<exchanger::Service> {
        let times = translate::command_times(&self.settings);
        let (stores, rows) =
            exchanger::store::sqlite::SqliteExchanger::new(self.database.clone(), times, self.capacity());
        let letters = self.letters(
            ServiceName::Exchanger,
            stores.outbox.clone(),
            Some(stores.commands.clone()),
        );
        let commands: Arc<dyn CommandStore> = Arc::new(stores.commands);
        let service = exchanger::Service::new(exchanger::Dependencies {
            commands: Arc::clone(&commands),
            installation: Arc::new(stores.installation),
            outbox: Arc::new(stores.outbox),
            balance,
            venue,
            transport: Arc::clone(&self.transport),
            internal_tokens: Arc::clone(&self.tokens),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            settings: translate::exchanger(&self.settings),
        });
        Wired {
            service,
            commands,
            rows,
            letters,
        }
    }

    pub(super) fn bc_gateway(
        &self,
        balance: Arc<dyn Balance>,
        chain: Arc<dyn Chain>,
        custody: Custody,
    ) -> Wired<bc_gateway::Service> {
        let times = translate::command_times(&self.settings);
        let (stores, rows) =
            bc_gateway::store::sqlite::SqliteBcGateway::new(self.database.clone(), times, self.capacity());
        let letters = self.letters(
            ServiceName::BcGateway,
            stores.outbox.clone(),
            Some(stores.commands.clone()),
        );
        let commands: Arc<dyn CommandStore> = Arc::new(stores.commands);
        let service = bc_gateway::Service::new(bc_gateway::Dependencies {
            commands: Arc::clone(&commands),
            transfers: Arc::new(stores.transfers),
            outbox: Arc::new(stores.outbox),
            balance,
            chain,
            custody,
            transport: Arc::clone(&self.transport),
            internal_tokens: Arc::clone(&self.tokens),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            settings: translate::bc_gateway(&self.settings),
        });
        Wired {
            service,
            commands,
            rows,
            letters,
        }
    }

    pub(super) fn notification(&self, mailer: Arc<dyn Mailer>) -> anyhow::Result<Wired<notification::Service>> {
        let times = translate::command_times(&self.settings);
        let (stores, rows) =
            notification::store::sqlite::SqliteNotifications::new(self.database.clone(), times, self.capacity());
        let letters = self.letters(
            ServiceName::Notification,
            stores.outbox.clone(),
            Some(stores.commands.clone()),
        );
        let commands: Arc<dyn CommandStore> = Arc::new(stores.commands);
        let service = notification::Service::new(notification::Dependencies {
            commands: Arc::clone(&commands),
            outbox: Arc::new(stores.outbox),
            transport: Arc::clone(&self.transport),
            mailer,
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            internal_tokens: Arc::clone(&self.tokens),
            settings: translate::notification(&self.settings)?,
        });
        Ok(Wired {
            service,
            commands,
            rows,
            letters,
        })
    }

    pub(super) fn wallet(&self, neighbours: Neighbours) -> (wallet::Service, OutboxRows, Routes) {
        let (outbox, rows) = SqliteOutbox::new(ServiceName::Wallet, self.database.clone(), self.capacity());
        let letters = self.letters(ServiceName::Wallet, outbox.clone(), None);
        let orders = wallet::store::sqlite::SqliteWallet::new(self.database.clone(), outbox.clone());
        let orders = Arc::new(orders);
        let Neighbours {
            auth,
            balance,
            exchanger,
            bc_gateway,
            notification,
        } = neighbours;
        let settings = &self.settings;
        let verifier = TokenVerifier::new(
            Arc::clone(&auth),
            Arc::clone(&self.clock),
            &settings.token_issuer,
            &settings.token_audience,
            settings.token_cache,
        );
        let service = wallet::Service::new(wallet::Dependencies {
            orders: orders.clone(),
            deposits: orders.clone(),
            freezes: orders.clone(),
            keys: orders,
            outbox: Arc::new(outbox),
            auth,
            balance,
            exchanger,
            bc_gateway,
            notification,
            transport: Arc::clone(&self.transport),
            verifier: Arc::new(verifier),
            internal_tokens: Arc::clone(&self.tokens),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            settings: translate::wallet(settings),
        });
        (service, rows, letters)
    }
}
