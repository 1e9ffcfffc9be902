//! Where a world's commands and transfers lie, and what an auditor reads of them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bc_gateway::ports::TransferStore;
use bc_gateway::store::audit::{ExpectedCoins, WithdrawalFact};
use bc_gateway::store::sqlite::{SqliteBcGateway, audit};
use contracts::OrderId;
use jiff::Timestamp;
use rusqlite::Connection;
use storage::commands::{CommandStore, CommandTimes};
use storage::outbox::{OutboxRows, OutboxStore};
use storage::sqlite::{Database, Durability, OpenError, Options, migrate};

/// How long a claim holds in these tests.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// How long an accepted command is left to its wake-up.
pub(crate) const HAND_OVER: Duration = Duration::from_secs(3);

pub(crate) const TIMES: CommandTimes = CommandTimes {
    lease: LEASE,
    hand_over: HAND_OVER,
    stuck_after: Duration::from_secs(60),
};

/// The most outbox rows that wait for somebody to look.
pub(crate) const CAPACITY: usize = 10_000;

/// What an auditor reads.
#[async_trait]
pub(crate) trait Audit: Send + Sync {
    async fn expected_coins(&self) -> Vec<ExpectedCoins>;
    async fn withdrawals(&self, first: OrderId, last: OrderId) -> Vec<WithdrawalFact>;
}

pub(crate) struct Stores {
    pub(crate) commands: Arc<dyn CommandStore>,
    pub(crate) transfers: Arc<dyn TransferStore>,
    pub(crate) outbox: Arc<dyn OutboxStore>,
    pub(crate) rows: OutboxRows,
    pub(crate) audit: Arc<dyn Audit>,
}

/// The database in this file, which is made if it is not there.
pub(crate) fn open(path: &Path) -> Database {
    // Only the process dies in these tests.
    let options = Options {
        durability: Durability::ProcessCrash,
        ..Options::default()
    };
    Database::open(path, options, prepare).unwrap()
}

/// The same, whose commits are on disk when `to_disk` says so.
pub(crate) fn open_on(path: &Path, to_disk: impl Fn() -> io::Result<()> + Send + 'static) -> Database {
    Database::open_on(path, Options::default(), to_disk, prepare).unwrap()
}

fn prepare(connection: &mut Connection) -> Result<(), OpenError> {
    migrate(connection, &[bc_gateway::migrations()], Timestamp::UNIX_EPOCH).unwrap();
    Ok(())
}

/// A process's stores in this database.
pub(crate) fn on_file(database: &Database) -> Stores {
    let (stores, rows) = SqliteBcGateway::new(database.clone(), TIMES, CAPACITY);
    Stores {
        commands: Arc::new(stores.commands),
        transfers: Arc::new(stores.transfers),
        outbox: Arc::new(stores.outbox),
        rows,
        audit: Arc::new(database.clone()),
    }
}

#[async_trait]
impl Audit for Database {
    async fn expected_coins(&self) -> Vec<ExpectedCoins> {
        self.readers().run(audit::expected_coins).await.unwrap()
    }

    async fn withdrawals(&self, first: OrderId, last: OrderId) -> Vec<WithdrawalFact> {
        let read = move |snapshot: &_| audit::withdrawals_of_orders(snapshot, first, last);
        self.readers().run(read).await.unwrap()
    }
}
