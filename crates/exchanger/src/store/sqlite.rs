//! Exchanger's tables on SQLite: the generic command store and outbox, and the id of the installation. What is particular
//! to exchanger's commands is the JSON of their records, which `domain::progress` defines.

pub mod audit;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use contracts::ServiceName;
use contracts::messages::Queue;
use rusqlite::types::Type;
use storage::StoreError;
use storage::commands::CommandTimes;
use storage::migrations::Migrations;
use storage::sqlite::{
    COMMANDS_SCHEMA, DEAD_COMMANDS_INDEX, Database, OPERATORS_SCHEMA, OUTBOX_SCHEMA, OUTBOX_TIMES, OUTBOX_TOGETHER,
    OutboxRows, SqliteCommands, SqliteOutbox, bad_column,
};

use crate::ports::{Installation, InstallationId};

/// Exchanger's schema.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Exchanger)
        .then("outbox", OUTBOX_SCHEMA)
        .then("commands", COMMANDS_SCHEMA)
        .then(
            "installation",
            include_str!("../../migrations/sqlite/0003_installation.sql"),
        )
        .then("operators", OPERATORS_SCHEMA)
        .then("dead commands", DEAD_COMMANDS_INDEX)
        .then("outbox times", OUTBOX_TIMES)
        .then("messages together", OUTBOX_TOGETHER)
}

/// Exchanger's stores on SQLite.
#[derive(Clone)]
pub struct SqliteExchanger {
    /// The commands.
    pub commands: SqliteCommands,
    /// The outbox they publish through: wake-ups for the worker, results for the sagas.
    pub outbox: SqliteOutbox,
    /// Which installation this is.
    pub installation: SqliteInstallation,
}

/// Which installation the database is of. Clones share what was read.
#[derive(Clone)]
pub struct SqliteInstallation {
    database: Database,
    known: Arc<OnceCell<InstallationId>>,
}

#[async_trait]
impl Installation for SqliteInstallation {
    async fn id(&self) -> Result<InstallationId, StoreError> {
        let read = || {
            self.database.readers().run(|connection| {
                let text: String =
                    connection.query_row("SELECT id FROM exchanger_installation", (), |row| row.get(0))?;
                text.parse().map_err(|error| bad_column(0, Type::Text, error))
            })
        };
        self.known.get_or_try_init(read).await.copied()
    }
}

impl SqliteExchanger {
    /// The stores in `database`, which has [`migrations`] applied, and the outbox rows that leave it after each commit,
    /// for [`crate::Service::start_dispatcher`]; at most `capacity` of those wait, the others are found in the table.
    #[must_use]
    pub fn new(database: Database, times: CommandTimes, capacity: usize) -> (Self, OutboxRows) {
        let (outbox, rows) = SqliteOutbox::new(ServiceName::Exchanger, database.clone(), capacity.max(1));
        let installation = SqliteInstallation {
            database: database.clone(),
            known: Arc::default(),
        };
        let commands = SqliteCommands::new(
            ServiceName::Exchanger,
            database,
            outbox.clone(),
            Queue::ExchangeOrders,
            Some(Queue::SagaSteps),
            times,
        );
        let stores = Self {
            commands,
            outbox,
            installation,
        };
        (stores, rows)
    }
}
