//! Which adapter stands behind which port, for each service: the one place that knows both kinds of databases.

use std::sync::Arc;

use auth::ports::{KeyStore as SigningKeys, LoginFailureStore as FailureStore, UserStore};
use auth::store::postgres::PostgresAuth;
use auth::store::sqlite::SqliteAuth;
use balance::ports::LedgerStore;
use balance::store::postgres::PostgresLedger;
use balance::store::sqlite::SqliteLedger;
use bc_gateway::ports::TransferStore;
use bc_gateway::store::postgres::PostgresBcGateway;
use bc_gateway::store::sqlite::SqliteBcGateway;
use contracts::ServiceName;
use contracts::operators::DeadLetters;
use exchanger::ports::Installation;
use exchanger::store::postgres::PostgresExchanger;
use exchanger::store::sqlite::SqliteExchanger;
use notification::store::postgres::PostgresNotifications;
use notification::store::sqlite::SqliteNotifications;
use service_kit::metrics::Survey;
use storage::commands::{CommandStore, CommandTimes};
use storage::letters::DeadLetterStore;
use storage::outbox::{OutboxRows, OutboxStore};
use storage::postgres::{self, PostgresCommands, PostgresLetters, PostgresOutbox};
use storage::sqlite::{self, SqliteCommands, SqliteLetters, SqliteOutbox};
use wallet::ports::{DepositStore, FreezeStore, KeyStore, OrderStore};
use wallet::store::postgres::PostgresWallet;
use wallet::store::sqlite::SqliteWallet;

use super::databases::{Books, Databases};

/// What `auth` keeps.
pub(super) struct AuthStores {
    pub(super) users: Arc<dyn UserStore>,
    pub(super) keys: Arc<dyn SigningKeys>,
    pub(super) failures: Arc<dyn FailureStore>,
}

/// What a service keeps that carries out commands.
pub(super) struct CommandStores {
    pub(super) commands: Arc<dyn CommandStore>,
    pub(super) outbox: Arc<dyn OutboxStore>,
    /// The outbox's rows on their way to the dispatcher.
    pub(super) rows: OutboxRows,
    pub(super) letters: Arc<dyn DeadLetters>,
}

/// What the wallet keeps.
pub(super) struct WalletStores {
    pub(super) orders: Arc<dyn OrderStore>,
    pub(super) deposits: Arc<dyn DepositStore>,
    pub(super) freezes: Arc<dyn FreezeStore>,
    pub(super) keys: Arc<dyn KeyStore>,
    pub(super) outbox: Arc<dyn OutboxStore>,
    pub(super) rows: OutboxRows,
    pub(super) letters: Arc<dyn DeadLetters>,
}

fn on_file(
    service: ServiceName,
    database: &sqlite::Database,
    (commands, outbox, rows): (SqliteCommands, SqliteOutbox, OutboxRows),
) -> CommandStores {
    let letters = SqliteLetters::new(service, database.clone(), outbox.clone(), Some(commands.clone()));
    CommandStores {
        commands: Arc::new(commands),
        outbox: Arc::new(outbox),
        rows,
        letters: Arc::new(letters),
    }
}

fn on_server(
    database: &postgres::Database,
    (commands, outbox, rows): (PostgresCommands, PostgresOutbox, OutboxRows),
) -> CommandStores {
    let letters = PostgresLetters::new(database.clone(), outbox.clone(), Some(commands.clone()));
    CommandStores {
        commands: Arc::new(commands),
        outbox: Arc::new(outbox),
        rows,
        letters: Arc::new(letters),
    }
}

impl Databases {
    pub(super) fn auth(&self) -> AuthStores {
        match self.of(ServiceName::Auth) {
            Books::File(database) => {
                let stores = Arc::new(SqliteAuth::new(database.clone()));
                AuthStores {
                    users: stores.clone(),
                    keys: stores.clone(),
                    failures: stores,
                }
            }
            Books::Server(database) => {
                let stores = Arc::new(PostgresAuth::new(database.clone()));
                AuthStores {
                    users: stores.clone(),
                    keys: stores.clone(),
                    failures: stores,
                }
            }
        }
    }

    pub(super) fn ledger(&self) -> Arc<dyn LedgerStore> {
        match self.of(ServiceName::Balance) {
            Books::File(database) => Arc::new(SqliteLedger::new(database.clone())),
            Books::Server(database) => Arc::new(PostgresLedger::new(database.clone())),
        }
    }

    pub(super) fn exchanger(&self, times: CommandTimes, capacity: usize) -> (CommandStores, Arc<dyn Installation>) {
        let service = ServiceName::Exchanger;
        match self.of(service) {
            Books::File(database) => {
                let (stores, rows) = SqliteExchanger::new(database.clone(), times, capacity);
                let commands = on_file(service, database, (stores.commands, stores.outbox, rows));
                (commands, Arc::new(stores.installation))
            }
            Books::Server(database) => {
                let (stores, rows) = PostgresExchanger::new(database.clone(), times, capacity);
                let commands = on_server(database, (stores.commands, stores.outbox, rows));
                (commands, Arc::new(stores.installation))
            }
        }
    }

    pub(super) fn bc_gateway(&self, times: CommandTimes, capacity: usize) -> (CommandStores, Arc<dyn TransferStore>) {
        let service = ServiceName::BcGateway;
        match self.of(service) {
            Books::File(database) => {
                let (stores, rows) = SqliteBcGateway::new(database.clone(), times, capacity);
                let commands = on_file(service, database, (stores.commands, stores.outbox, rows));
                (commands, Arc::new(stores.transfers))
            }
            Books::Server(database) => {
                let (stores, rows) = PostgresBcGateway::new(database.clone(), times, capacity);
                let commands = on_server(database, (stores.commands, stores.outbox, rows));
                (commands, Arc::new(stores.transfers))
            }
        }
    }

    pub(super) fn notification(&self, times: CommandTimes, capacity: usize) -> CommandStores {
        let service = ServiceName::Notification;
        match self.of(service) {
            Books::File(database) => {
                let (stores, rows) = SqliteNotifications::new(database.clone(), times, capacity);
                on_file(service, database, (stores.commands, stores.outbox, rows))
            }
            Books::Server(database) => {
                let (stores, rows) = PostgresNotifications::new(database.clone(), times, capacity);
                on_server(database, (stores.commands, stores.outbox, rows))
            }
        }
    }

    pub(super) fn wallet(&self, capacity: usize) -> WalletStores {
        let service = ServiceName::Wallet;
        match self.of(service) {
            Books::File(database) => {
                let (outbox, rows) = SqliteOutbox::new(service, database.clone(), capacity);
                let letters = SqliteLetters::new(service, database.clone(), outbox.clone(), None);
                let stores = Arc::new(SqliteWallet::new(database.clone(), outbox.clone()));
                WalletStores {
                    orders: stores.clone(),
                    deposits: stores.clone(),
                    freezes: stores.clone(),
                    keys: stores,
                    outbox: Arc::new(outbox),
                    rows,
                    letters: Arc::new(letters),
                }
            }
            Books::Server(database) => {
                let (outbox, rows) = PostgresOutbox::new(database.clone(), capacity);
                let letters = PostgresLetters::new(database.clone(), outbox.clone(), None);
                let stores = Arc::new(PostgresWallet::new(database.clone(), outbox.clone()));
                WalletStores {
                    orders: stores.clone(),
                    deposits: stores.clone(),
                    freezes: stores.clone(),
                    keys: stores,
                    outbox: Arc::new(outbox),
                    rows,
                    letters: Arc::new(letters),
                }
            }
        }
    }

    /// Where a service's queues leave what cannot be read. Letters come in here and go out by the service's own stores.
    pub(super) fn buried(&self, service: ServiceName) -> Arc<dyn DeadLetterStore> {
        match self.of(service) {
            Books::File(database) => {
                let (outbox, _) = SqliteOutbox::new(service, database.clone(), 1);
                Arc::new(SqliteLetters::new(service, database.clone(), outbox, None))
            }
            Books::Server(database) => {
                let (outbox, _) = PostgresOutbox::new(database.clone(), 1);
                Arc::new(PostgresLetters::new(database.clone(), outbox, None))
            }
        }
    }

    pub(super) fn survey_of_the_ledger(&self) -> Arc<dyn Survey> {
        match self.of(ServiceName::Balance) {
            Books::File(database) => Arc::new(SqliteLedger::new(database.clone())),
            Books::Server(database) => Arc::new(PostgresLedger::new(database.clone())),
        }
    }

    pub(super) fn survey_of_sagas(&self) -> Arc<dyn Survey> {
        match self.of(ServiceName::Wallet) {
            Books::File(database) => Arc::new(wallet::store::sqlite::SagaSurvey::new(database.clone())),
            Books::Server(database) => Arc::new(wallet::store::postgres::SagaSurvey::new(database.clone())),
        }
    }
}
