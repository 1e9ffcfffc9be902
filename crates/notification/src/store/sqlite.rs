//! The command store and the outbox of `notification` on the embedded database, and what an auditor may read.

pub mod audit;

use contracts::ServiceName;
use contracts::messages::Queue;
use storage::commands::CommandTimes;
use storage::sqlite::{Database, OutboxRows, SqliteCommands, SqliteOutbox};

/// The stores of `notification` on SQLite.
#[derive(Clone)]
pub struct SqliteNotifications {
    /// The notifications.
    pub commands: SqliteCommands,
    /// Their outbox: wake-ups for the worker, nothing else, as nobody waits for results.
    pub outbox: SqliteOutbox,
}

impl SqliteNotifications {
    /// The stores in `database`, which has [`crate::migrations`] applied, and the outbox rows that leave it after each
    /// commit, for [`crate::Service::start_dispatcher`]; at most `capacity` of those wait.
    #[must_use]
    pub fn new(database: Database, times: CommandTimes, capacity: usize) -> (Self, OutboxRows) {
        let (outbox, rows) = SqliteOutbox::new(ServiceName::Notification, database.clone(), capacity);
        let commands = SqliteCommands::new(
            ServiceName::Notification,
            database,
            outbox.clone(),
            Queue::Notifications,
            None,
            times,
        );
        (Self { commands, outbox }, rows)
    }
}
