//! The command store and the outbox of `notification` on PostgreSQL, and what an auditor may read.

pub mod audit;

use contracts::ServiceName;
use contracts::messages::Queue;
use storage::commands::CommandTimes;
use storage::migrations::Migrations;
use storage::outbox::OutboxRows;
use storage::postgres::{COMMANDS_SCHEMA, Database, OPERATORS_SCHEMA, OUTBOX_SCHEMA, PostgresCommands, PostgresOutbox};

/// The schema on PostgreSQL, in order.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Notification)
        .then("outbox", OUTBOX_SCHEMA)
        .then("commands", COMMANDS_SCHEMA)
        .then("operators", OPERATORS_SCHEMA)
}

/// The stores of `notification` on PostgreSQL.
#[derive(Clone)]
pub struct PostgresNotifications {
    /// The notifications.
    pub commands: PostgresCommands,
    /// Their outbox: wake-ups for the worker, nothing else, as nobody waits for results.
    pub outbox: PostgresOutbox,
}

impl PostgresNotifications {
    /// The stores in `database`, which has [`migrations`] applied and is this service's, and the outbox rows that leave this
    /// process after each commit, for [`crate::Service::start_dispatcher`]; at most `capacity` of those wait, the others are
    /// found in the table.
    #[must_use]
    pub fn new(database: Database, times: CommandTimes, capacity: usize) -> (Self, OutboxRows) {
        let (outbox, rows) = PostgresOutbox::new(database.clone(), capacity.max(1));
        let commands = PostgresCommands::new(database, outbox.clone(), Queue::Notifications, None, times);
        (Self { commands, outbox }, rows)
    }
}
