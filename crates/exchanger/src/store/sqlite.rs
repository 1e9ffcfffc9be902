//! Exchanger's tables on SQLite: the generic command store and outbox, nothing else. What is particular to exchanger is the
//! JSON of its records, which `domain::progress` defines.

pub mod audit;

use contracts::ServiceName;
use contracts::messages::Queue;
use storage::commands::CommandTimes;
use storage::migrations::Migrations;
use storage::sqlite::{COMMANDS_SCHEMA, Database, OUTBOX_SCHEMA, OutboxRows, SqliteCommands, SqliteOutbox};

/// Exchanger's schema.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Exchanger)
        .then("outbox", OUTBOX_SCHEMA)
        .then("commands", COMMANDS_SCHEMA)
}

/// Exchanger's stores on SQLite.
#[derive(Clone)]
pub struct SqliteExchanger {
    /// The commands.
    pub commands: SqliteCommands,
    /// The outbox they publish through: wake-ups for the worker, results for the sagas.
    pub outbox: SqliteOutbox,
}

impl SqliteExchanger {
    /// The stores in `database`, which has [`migrations`] applied, and the outbox rows that leave it after each commit,
    /// for [`crate::Service::start_dispatcher`]; at most `capacity` of those wait, the others are found in the table.
    #[must_use]
    pub fn new(database: Database, times: CommandTimes, capacity: usize) -> (Self, OutboxRows) {
        let (outbox, rows) = SqliteOutbox::new(ServiceName::Exchanger, database.clone(), capacity.max(1));
        let commands = SqliteCommands::new(
            ServiceName::Exchanger,
            database,
            outbox.clone(),
            Queue::ExchangeOrders,
            Some(Queue::SagaSteps),
            times,
        );
        (Self { commands, outbox }, rows)
    }
}
