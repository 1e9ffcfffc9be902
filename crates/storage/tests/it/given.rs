//! What the tests start from: a fresh database with one service's tables in a folder of its own.

use std::path::Path;
use std::time::Duration;

use contracts::messages::{Message, Queue, Step, StepResult};
use contracts::time::later;
use contracts::{OrderId, ServiceName};
use jiff::Timestamp;
use storage::commands::{CommandKey, CommandTimes, NewCommand};
use storage::migrations::{Migrations, SchemaError};
use storage::outbox::OutboxRow;
use storage::sqlite::{
    COMMANDS_SCHEMA, DEAD_COMMANDS_INDEX, Database, Durability, OPERATORS_SCHEMA, OUTBOX_SCHEMA, OUTBOX_TIMES,
    OUTBOX_TOGETHER, OpenError, Options, OutboxRows, SqliteCommands, SqliteOutbox, migrate,
};
use tempfile::TempDir;

pub(crate) const TIMES: CommandTimes = CommandTimes {
    lease: Duration::from_secs(30),
    hand_over: Duration::from_secs(5),
    stuck_after: Duration::from_secs(20),
};

/// A store under test, with everything it needs to live.
pub(crate) struct Given {
    pub(crate) database: Database,
    pub(crate) outbox: SqliteOutbox,
    pub(crate) rows: OutboxRows,
    pub(crate) commands: SqliteCommands,
    _folder: TempDir,
}

pub(crate) fn a_fresh_store() -> Given {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path(), Options::default()).unwrap();
    let (outbox, rows) = SqliteOutbox::new(ServiceName::Exchanger, database.clone(), 1_000);
    let commands = SqliteCommands::new(
        ServiceName::Exchanger,
        database.clone(),
        outbox.clone(),
        Queue::ExchangeOrders,
        Some(Queue::SagaSteps),
        TIMES,
    );
    Given {
        database,
        outbox,
        rows,
        commands,
        _folder: folder,
    }
}

pub(crate) fn migrations() -> Migrations {
    Migrations::new(ServiceName::Exchanger)
        .then("outbox", OUTBOX_SCHEMA)
        .then("commands", COMMANDS_SCHEMA)
        .then("operators", OPERATORS_SCHEMA)
        .then("dead commands", DEAD_COMMANDS_INDEX)
        .then("outbox times", OUTBOX_TIMES)
        .then("messages together", OUTBOX_TOGETHER)
}

#[derive(Debug)]
pub(crate) enum Failure {
    Open(OpenError),
    Schema(#[expect(dead_code, reason = "shown by Debug when a test fails")] SchemaError),
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

pub(crate) fn open(folder: &Path, options: Options) -> Result<Database, Failure> {
    Database::open(
        &folder.join("test.db"),
        Options {
            durability: Durability::ProcessCrash,
            ..options
        },
        |connection| {
            migrate(connection, &[migrations()], noon())
                .map(drop)
                .map_err(Failure::Schema)
        },
    )
}

pub(crate) fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub(crate) fn noon_plus(seconds: u64) -> Timestamp {
    later(noon(), Duration::from_secs(seconds))
}

pub(crate) fn key(order: i64) -> CommandKey {
    CommandKey {
        order_id: OrderId::try_new(order).unwrap(),
        step: Step::Exchange,
    }
}

pub(crate) fn command(order: i64, content: &str) -> NewCommand {
    NewCommand {
        key: key(order),
        content: content.to_owned(),
        progress: "attempt 1".to_owned(),
    }
}

pub(crate) fn success() -> StepResult {
    StepResult::Reversed
}

/// The message in an outbox row.
pub(crate) fn message(row: &OutboxRow) -> Message {
    serde_json::from_str(&row.payload).unwrap()
}
