//! Exchanger's tables on PostgreSQL: the generic command store and outbox, and the id of the installation. What is particular
//! to exchanger's commands is the JSON of their records, which `domain::progress` defines.

pub mod audit;

use std::sync::Arc;

use async_trait::async_trait;
use contracts::ServiceName;
use contracts::messages::Queue;
use storage::StoreError;
use storage::commands::CommandTimes;
use storage::migrations::Migrations;
use storage::outbox::OutboxRows;
use storage::postgres::{
    COMMANDS_SCHEMA, Database, OPERATORS_SCHEMA, OUTBOX_SCHEMA, PostgresCommands, PostgresOutbox, Tx, TxError,
};
use tokio::sync::OnceCell;

use crate::ports::{Installation, InstallationId};

/// Exchanger's schema on PostgreSQL.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Exchanger)
        .then("outbox", OUTBOX_SCHEMA)
        .then("commands", COMMANDS_SCHEMA)
        .then(
            "installation",
            include_str!("../../migrations/postgres/0003_installation.sql"),
        )
        .then("operators", OPERATORS_SCHEMA)
}

/// Exchanger's stores on PostgreSQL.
#[derive(Clone)]
pub struct PostgresExchanger {
    /// The commands.
    pub commands: PostgresCommands,
    /// The outbox they publish through: wake-ups for the worker, results for the sagas.
    pub outbox: PostgresOutbox,
    /// Which installation this is.
    pub installation: PostgresInstallation,
}

/// Which installation the database is of. Clones share what was read.
#[derive(Clone)]
pub struct PostgresInstallation {
    database: Database,
    known: Arc<OnceCell<InstallationId>>,
}

#[async_trait]
impl Installation for PostgresInstallation {
    async fn id(&self) -> Result<InstallationId, StoreError> {
        let read = || async {
            let read: Result<_, StoreError> = storage::in_transaction!(self.database, tx => installation(&mut tx));
            read
        };
        self.known.get_or_try_init(read).await.copied()
    }
}

async fn installation(tx: &mut Tx) -> Result<InstallationId, TxError> {
    let rows = tx.query("SELECT id FROM exchanger.installation", &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| TxError::Value("the database does not know which installation it is of".to_owned()))?;
    row.try_get::<_, &str>(0)?
        .parse()
        .map_err(|error| TxError::Value(format!("{error}")))
}

impl PostgresExchanger {
    /// The stores in `database`, which has [`migrations`] applied and is exchanger's, and the outbox rows that leave this
    /// process after each commit, for [`crate::Service::start_dispatcher`]; at most `capacity` of those wait, the others are
    /// found in the table.
    #[must_use]
    pub fn new(database: Database, times: CommandTimes, capacity: usize) -> (Self, OutboxRows) {
        let (outbox, rows) = PostgresOutbox::new(database.clone(), capacity.max(1));
        let installation = PostgresInstallation {
            database: database.clone(),
            known: Arc::default(),
        };
        let commands = PostgresCommands::new(
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
