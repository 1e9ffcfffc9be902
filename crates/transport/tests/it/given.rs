//! What the tests start from: a fresh database with exchanger's outbox and commands, a clock that the test moves,
//! and an end to every wait.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contracts::messages::{Message, Queue, SCHEMA_VERSION, Status, Step, StepResult};
use contracts::random::SeededEntropy;
use contracts::time::ManualClock;
use contracts::{Clock, OrderId, ServiceName};
use jiff::Timestamp;
use storage::commands::{CommandKey, CommandTimes, NewCommand};
use storage::migrations::{Migrations, SchemaError};
use storage::outbox::Destination;
use storage::sqlite::{
    COMMANDS_SCHEMA, Database, Durability, OUTBOX_SCHEMA, OUTBOX_TIMES, OUTBOX_TOGETHER, OpenError, Options,
    OutboxRows, SqliteCommands, SqliteOutbox, migrate,
};
use tempfile::TempDir;

/// How often workers and dispatchers sweep in tests: all the time.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_millis(2);
pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const HAND_OVER: Duration = Duration::from_secs(5);
pub(crate) const TO_WALLET: Destination = Destination::Service(ServiceName::Wallet);
pub(crate) const TO_BALANCE: Destination = Destination::Service(ServiceName::Balance);

/// A store under test, with everything it needs to live.
pub(crate) struct Given {
    pub(crate) database: Database,
    pub(crate) outbox: SqliteOutbox,
    pub(crate) commands: SqliteCommands,
    pub(crate) clock: Arc<ManualClock>,
    folder: TempDir,
}

pub(crate) fn a_fresh_store() -> (Given, OutboxRows) {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    on(folder, database, Arc::new(ManualClock::new(noon())))
}

impl Given {
    /// The process dies, and another one opens what it left, once whoever still holds the store is gone.
    pub(crate) async fn crash_and_restart(self) -> (Self, OutboxRows) {
        let Self {
            database,
            outbox,
            commands,
            clock,
            folder,
        } = self;
        drop((database, outbox, commands));
        let path = folder.path().to_owned();
        let database = tokio::task::spawn_blocking(move || open(&path)).await.unwrap();
        on(folder, database, clock)
    }

    /// Stores effects, as one transaction of a service would.
    pub(crate) async fn put(&self, destination: Destination, payloads: impl IntoIterator<Item = impl ToString>) {
        let (outbox, now) = (self.outbox.clone(), self.clock.now());
        let payloads: Vec<String> = payloads.into_iter().map(|payload| payload.to_string()).collect();
        self.database
            .writer()
            .run(move |tx| {
                payloads
                    .into_iter()
                    .for_each(|payload| outbox.put(tx, now, destination, payload));
                Ok(())
            })
            .await
            .unwrap();
    }

    /// The dead letters, as (payload, error).
    pub(crate) async fn dead_letters(&self) -> Vec<(String, String)> {
        self.database
            .readers()
            .run(|connection| {
                connection
                    .prepare("SELECT payload, error FROM exchanger_dead_letters ORDER BY id")?
                    .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .await
            .unwrap()
    }
}

fn on(folder: TempDir, database: Database, clock: Arc<ManualClock>) -> (Given, OutboxRows) {
    let (outbox, rows) = SqliteOutbox::new(ServiceName::Exchanger, database.clone(), 1_000);
    let commands = SqliteCommands::new(
        ServiceName::Exchanger,
        database.clone(),
        outbox.clone(),
        Queue::ExchangeOrders,
        Some(Queue::SagaSteps),
        CommandTimes {
            lease: LEASE,
            hand_over: HAND_OVER,
            stuck_after: Duration::from_secs(20),
        },
    );
    let given = Given {
        database,
        outbox,
        commands,
        clock,
        folder,
    };
    (given, rows)
}

#[derive(Debug)]
enum Failure {
    Open(#[expect(dead_code, reason = "shown by Debug when a test fails")] OpenError),
    Schema(#[expect(dead_code, reason = "shown by Debug when a test fails")] SchemaError),
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

fn open(folder: &Path) -> Database {
    let options = Options {
        durability: Durability::ProcessCrash,
        ..Options::default()
    };
    let migrations = Migrations::new(ServiceName::Exchanger)
        .then("outbox", OUTBOX_SCHEMA)
        .then("commands", COMMANDS_SCHEMA)
        .then("outbox times", OUTBOX_TIMES)
        .then("messages together", OUTBOX_TOGETHER);
    Database::open(&folder.join("test.db"), options, |connection| {
        migrate(connection, &[migrations], noon())
            .map(drop)
            .map_err(Failure::Schema)
    })
    .unwrap()
}

pub(crate) fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub(crate) fn entropy() -> Arc<SeededEntropy> {
    Arc::new(SeededEntropy::new(7))
}

pub(crate) fn key(order: i64) -> CommandKey {
    CommandKey {
        order_id: OrderId::try_new(order).unwrap(),
        step: Step::Exchange,
    }
}

pub(crate) fn command(order: i64) -> NewCommand {
    NewCommand {
        key: key(order),
        content: "buy".to_owned(),
        progress: "attempt 1".to_owned(),
    }
}

/// A wake-up for an order's command.
pub(crate) fn wake_up(order: i64) -> Message {
    Message {
        message_id: format!("wake-up-{order}"),
        order_id: key(order).order_id,
        step: Step::Exchange,
        status: Status::Accepted,
        schema_version: SCHEMA_VERSION,
        occurred_at: noon(),
        traceparent: None,
        result: None,
    }
}

pub(crate) fn success() -> StepResult {
    StepResult::Reversed
}

/// What must happen, and soon: a test that would wait for ever fails instead.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event)
        .await
        .expect("it did not happen")
}
