//! Exchanger's tables on SQLite: the generic command store and outbox, nothing else. What is particular to exchanger is the
//! JSON of its records, which `domain::progress` defines.

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

/// Exchanger's stores on one database.
pub struct SqliteExchanger {
    /// The commands.
    pub commands: SqliteCommands,
    /// The outbox they publish through.
    pub outbox: SqliteOutbox,
    /// The outbox's rows after each commit, for the dispatcher.
    pub committed: OutboxRows,
}

impl SqliteExchanger {
    /// The stores in `database`, whose schema is there. At most `outbox_capacity` committed rows wait for the
    /// dispatcher in memory; the others are found in the table.
    #[must_use]
    pub fn new(database: &Database, times: CommandTimes, outbox_capacity: usize) -> Self {
        let (outbox, committed) = SqliteOutbox::new(ServiceName::Exchanger, database.clone(), outbox_capacity.max(1));
        let commands = SqliteCommands::new(
            ServiceName::Exchanger,
            database.clone(),
            outbox.clone(),
            Queue::ExchangeOrders,
            Some(Queue::SagaSteps),
            times,
        );
        Self {
            commands,
            outbox,
            committed,
        }
    }
}
