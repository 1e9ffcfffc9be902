//! The suites on SQLite, and what they start from there: a fresh database with one service's tables in a folder of its own.

#[path = "suites/at_work.rs"]
mod at_work;
#[path = "suites/commands.rs"]
mod commands;
#[path = "suites/migrations.rs"]
mod migrations;
#[path = "suites/operators.rs"]
mod operators;
#[path = "suites/outbox.rs"]
pub(crate) mod outbox;
#[path = "suites/surveys.rs"]
mod surveys;
#[path = "suites/told.rs"]
mod told;

use std::path::Path;

use contracts::ServiceName;
use contracts::messages::Queue;
use jiff::Timestamp;
use rusqlite::Connection;
use storage::StoreError;
use storage::commands::CommandStore as _;
use storage::migrations::{Migration, Migrations, SchemaError};
use storage::outbox::{Destination, OutboxRows};
use storage::sqlite::{
    COMMANDS_SCHEMA, DEAD_COMMANDS_INDEX, Database, Durability, OPERATORS_SCHEMA, OUTBOX_SCHEMA, OUTBOX_TIMES,
    OUTBOX_TOGETHER, OpenError, Options, SqliteCommands, SqliteLetters, SqliteOutbox, check, dead_commands,
    dead_letters, effects_under_way, migrate, open_commands, survey_commands, survey_outbox,
};
use storage::survey::{CommandsSurvey, OutboxSurvey};
use tempfile::TempDir;

use crate::given::{TIMES, key, noon, noon_plus};

/// A store under test, with everything it needs to live.
pub(crate) struct Given {
    pub(crate) database: Database,
    pub(crate) outbox: SqliteOutbox,
    pub(crate) rows: OutboxRows,
    pub(crate) commands: SqliteCommands,
    _folder: TempDir,
}

pub(crate) fn open_fresh() -> Given {
    given(Some(Queue::SagaSteps))
}

pub(crate) async fn a_fresh_store() -> Given {
    open_fresh()
}

/// One whose commands' results go nowhere.
async fn a_store_that_tells_nobody() -> Given {
    given(None)
}

fn given(results: Option<Queue>) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path(), Options::default()).unwrap();
    let (outbox, rows) = SqliteOutbox::new(ServiceName::Exchanger, database.clone(), 1_000);
    let commands = SqliteCommands::new(
        ServiceName::Exchanger,
        database.clone(),
        outbox.clone(),
        Queue::ExchangeOrders,
        results,
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

impl Given {
    fn letters(&self) -> SqliteLetters {
        SqliteLetters::new(
            ServiceName::Exchanger,
            self.database.clone(),
            self.outbox.clone(),
            Some(self.commands.clone()),
        )
    }

    /// Puts effects in one transaction.
    async fn put_all(&self, effects: impl IntoIterator<Item = (Timestamp, Destination, String)>) {
        let (outbox, effects) = (self.outbox.clone(), effects.into_iter().collect::<Vec<_>>());
        let put = self.database.writer().run(move |tx| {
            for (now, destination, payload) in effects {
                outbox.put(tx, now, destination, payload);
            }
            Ok(())
        });
        put.await.unwrap();
    }

    /// Puts an effect in a transaction that fails after it.
    async fn put_and_fail(&self, destination: Destination, payload: &str) -> Result<(), StoreError> {
        let (outbox, payload) = (self.outbox.clone(), payload.to_owned());
        let put = self.database.writer().run(move |tx| {
            outbox.put(tx, noon(), destination, payload);
            tx.execute("INSERT INTO no_such_table VALUES (1)", ()).map(drop)
        });
        put.await
    }

    /// Buries letters: where they come from, and why.
    async fn bury(&self, letters: &'static [(&'static str, &'static str)]) {
        let outbox = self.outbox.clone();
        let bury = self.database.writer().run(move |tx| {
            letters
                .iter()
                .try_for_each(|(source, error)| outbox.bury(tx, noon(), source, "{}", error))
        });
        bury.await.unwrap();
    }

    /// Runs a statement in which `{}` stands before the names of the service's tables.
    async fn execute(&self, sql: &str) {
        let sql = sql.replace("{}", "exchanger_");
        let done = self.database.writer().run(move |tx| tx.execute(&sql, ()).map(drop));
        done.await.unwrap();
    }

    /// The first column of all rows, as texts.
    async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = sql.replace("{}", "exchanger_");
        let read = self.database.readers().run(move |connection| {
            let mut statement = connection.prepare(&sql)?;
            statement.query_map((), |row| row.get(0))?.collect()
        });
        read.await.unwrap()
    }

    /// How many dead letters and dead commands wait for a person.
    async fn waiting(&self) -> (u64, u64) {
        let counts = self.database.readers().run(|connection| {
            let letters = dead_letters(connection, ServiceName::Exchanger)?;
            Ok((letters, dead_commands(connection, ServiceName::Exchanger)?))
        });
        counts.await.unwrap()
    }

    /// How many commands are open, and how many effects go to `destination`.
    async fn under_way(&self, destination: Destination) -> (u64, u64) {
        let counts = self.database.readers().run(move |connection| {
            let commands = open_commands(connection, ServiceName::Exchanger)?;
            Ok((
                commands,
                effects_under_way(connection, ServiceName::Exchanger, destination)?,
            ))
        });
        counts.await.unwrap()
    }

    async fn survey(&self) -> (OutboxSurvey, CommandsSurvey) {
        let surveyed = self.database.readers().run(|connection| {
            let outbox = survey_outbox(connection, ServiceName::Exchanger)?;
            Ok((outbox, survey_commands(connection, ServiceName::Exchanger)?))
        });
        surveyed.await.unwrap()
    }
}

/// A database without any tables.
struct Schema(Connection);

async fn an_empty_database() -> Schema {
    Schema(Connection::open_in_memory().unwrap())
}

impl Schema {
    async fn migrate(&mut self, services: &[Migrations]) -> Result<Vec<Migration>, SchemaError> {
        migrate(&mut self.0, services, noon())
    }

    async fn check(&mut self, services: &[Migrations]) -> Result<(), SchemaError> {
        check(&self.0, services)
    }

    async fn has(&mut self, service: ServiceName, table: &str) -> bool {
        self.0.prepare(&format!("SELECT * FROM {service}_{table}")).is_ok()
    }
}

/// A migration that makes a table.
fn creates(table: &str) -> String {
    format!("CREATE TABLE {{service}}_{table} (n INTEGER) STRICT")
}

fn migrations() -> Migrations {
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

#[tokio::test]
async fn after_a_crash_of_the_only_process_nothing_waits_for_a_dead_workers_lease() {
    let given = a_fresh_store().await;
    let orders = || [1, 2, 3].into_iter();
    let commands = orders().map(|order| crate::given::command(order, "buy")).collect();
    given.commands.accept(noon(), commands, false).await.unwrap();
    given.commands.claim(noon(), orders().map(key).collect()).await.unwrap();
    assert_eq!(given.commands.release_leases(noon_plus(1)).await, Ok(3));
    assert_eq!(
        given.commands.claim_due(noon_plus(1), 2).await.unwrap().len(),
        2,
        "at most what was asked for"
    );
    assert_eq!(given.commands.claim_due(noon_plus(1), 10).await.unwrap().len(), 1);
}
