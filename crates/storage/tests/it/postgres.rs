//! The suites on PostgreSQL, what they start from there, and what only a shared database has to promise.

#[path = "suites/at_work.rs"]
mod at_work;
mod auditor;
#[path = "suites/commands.rs"]
mod commands;
mod crossing;
mod desk;
mod failed;
mod lost;
#[path = "suites/migrations.rs"]
mod migrations;
#[path = "suites/operators.rs"]
mod operators;
#[path = "suites/outbox.rs"]
mod outbox;
mod plans;
mod replicas;
mod roles;
#[path = "suites/surveys.rs"]
mod surveys;
mod tls;
#[path = "suites/told.rs"]
mod told;

use std::sync::Arc;
use std::time::Duration;

use contracts::ServiceName;
use contracts::messages::Queue;
use contracts::random::SeededEntropy;
use jiff::Timestamp;
use storage::StoreError;
use storage::commands::CommandStore as _;
use storage::in_transaction;
use storage::migrations::{Migration, Migrations, SchemaError};
use storage::outbox::{Destination, OutboxRows};
use storage::postgres::{
    COMMANDS_SCHEMA, Database, OPERATORS_SCHEMA, OUTBOX_SCHEMA, Options, PostgresCommands, PostgresLetters,
    PostgresOutbox, Tx, TxError, check, dead_commands, dead_letters, effects_under_way, migrate, open_commands,
    survey_commands, survey_outbox,
};
use storage::survey::{CommandsSurvey, OutboxSurvey};
use test_servers::postgres::TestDatabase;

use crate::given::{TIMES, command, key, noon, noon_plus};

const SERVICE: ServiceName = ServiceName::Exchanger;

/// A store under test, with everything it needs to live.
struct Given {
    outbox: PostgresOutbox,
    rows: OutboxRows,
    commands: PostgresCommands,
    database: Database,
    url: String,
    /// Last, so that nobody is connected to it any more when it goes.
    _test_database: Option<TestDatabase>,
}

async fn a_fresh_store() -> Given {
    given(Some(Queue::SagaSteps)).await
}

/// One whose commands' results go nowhere.
async fn a_store_that_tells_nobody() -> Given {
    given(None).await
}

async fn given(results: Option<Queue>) -> Given {
    let test_database = TestDatabase::create();
    let url = test_database.url();
    migrate(&url, &[migrations()], noon()).await.unwrap();
    let mut given = a_replica(&url, results, patient()).await;
    given._test_database = Some(test_database);
    given
}

/// Another process on a database that was migrated.
async fn a_replica(url: &str, results: Option<Queue>, options: Options) -> Given {
    let database = connect(url, SERVICE, options).await;
    let (outbox, rows) = PostgresOutbox::new(database.clone(), 1_000);
    let commands = PostgresCommands::new(database.clone(), outbox.clone(), Queue::ExchangeOrders, results, TIMES);
    Given {
        outbox,
        rows,
        commands,
        database,
        url: url.to_owned(),
        _test_database: None,
    }
}

async fn connect(url: &str, service: ServiceName, options: Options) -> Database {
    let entropy = Arc::new(SeededEntropy::new(7));
    Database::connect(url, service, options, entropy).await.unwrap()
}

impl Given {
    fn letters(&self) -> PostgresLetters {
        PostgresLetters::new(self.database.clone(), self.outbox.clone(), Some(self.commands.clone()))
    }

    /// Another process beside this one.
    async fn beside(&self) -> Given {
        a_replica(&self.url, Some(Queue::SagaSteps), patient()).await
    }

    /// Puts effects in one transaction.
    async fn put_all(&self, effects: impl IntoIterator<Item = (Timestamp, Destination, String)>) {
        let effects: Vec<_> = effects.into_iter().collect();
        let put = async |tx: &mut Tx| {
            for (now, destination, payload) in &effects {
                self.outbox.put(tx, *now, *destination, payload.clone());
            }
            Ok::<(), TxError>(())
        };
        in_transaction!(self.database, tx => put(&mut tx)).unwrap();
    }

    /// Puts an effect in a transaction that fails after it.
    async fn put_and_fail(&self, destination: Destination, payload: &str) -> Result<(), StoreError> {
        let put = async |tx: &mut Tx| {
            self.outbox.put(tx, noon(), destination, payload.to_owned());
            tx.write("INSERT INTO no_such_table VALUES (1)", vec![], None);
            Ok::<(), TxError>(())
        };
        in_transaction!(self.database, tx => put(&mut tx))
    }

    /// Buries letters: where they come from, and why.
    async fn bury(&self, letters: &[(&str, &str)]) {
        let bury = async |tx: &mut Tx| {
            for (source, error) in letters {
                self.outbox.bury(tx, noon(), source, "{}", error);
            }
            Ok::<(), TxError>(())
        };
        in_transaction!(self.database, tx => bury(&mut tx)).unwrap();
    }

    /// Runs a statement in which `{}` stands before the names of the service's tables.
    async fn execute(&self, sql: &str) {
        self.texts(sql).await;
    }

    /// The first column of all rows, as texts.
    async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = sql.replace("{}", "exchanger.");
        let rows = self.database.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// How many dead letters and dead commands wait for a person.
    async fn waiting(&self) -> (u64, u64) {
        let mut tx = self.database.snapshot().await.unwrap();
        let letters = dead_letters(&mut tx, SERVICE).await.unwrap();
        (letters, dead_commands(&mut tx, SERVICE).await.unwrap())
    }

    /// How many commands are open, and how many effects go to `destination`.
    async fn under_way(&self, destination: Destination) -> (u64, u64) {
        let mut tx = self.database.snapshot().await.unwrap();
        let commands = open_commands(&mut tx, SERVICE).await.unwrap();
        (
            commands,
            effects_under_way(&mut tx, SERVICE, destination).await.unwrap(),
        )
    }

    async fn survey(&self) -> (OutboxSurvey, CommandsSurvey) {
        let mut tx = self.database.snapshot().await.unwrap();
        let outbox = survey_outbox(&mut tx, SERVICE).await.unwrap();
        (outbox, survey_commands(&mut tx, SERVICE).await.unwrap())
    }
}

/// A database without any tables.
struct Schema(TestDatabase);

async fn an_empty_database() -> Schema {
    let database = TestDatabase::create();
    // Services have their roles before they have their tables, so that they may ask whether these are there.
    let roles = [SERVICE, ServiceName::Auth].map(Migrations::new);
    migrate(&database.url(), &roles, noon()).await.unwrap();
    Schema(database)
}

impl Schema {
    async fn migrate(&mut self, services: &[Migrations]) -> Result<Vec<Migration>, SchemaError> {
        migrate(&self.0.url(), services, noon()).await
    }

    async fn check(&mut self, services: &[Migrations]) -> Result<(), SchemaError> {
        let database = connect(&self.0.url(), services[0].service(), Options::default()).await;
        check(&database, services).await
    }

    async fn has(&mut self, service: ServiceName, table: &str) -> bool {
        let database = connect(&self.0.url(), service, Options::default()).await;
        let sql = format!("SELECT * FROM {service}.{table}");
        database.query(&sql, &[]).await.is_ok()
    }
}

/// A migration that makes a table.
fn creates(table: &str) -> String {
    format!("CREATE TABLE {{service}}.{table} (n integer)")
}

fn migrations() -> Migrations {
    Migrations::new(SERVICE)
        .then("outbox", OUTBOX_SCHEMA)
        .then("commands", COMMANDS_SCHEMA)
        .then("operators", OPERATORS_SCHEMA)
}

/// Runs statements as the database's owner.
async fn administer(url: &str, statements: &[String]) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    for statement in statements {
        client.batch_execute(statement).await.unwrap();
    }
    drop(client);
    connection.await.unwrap().unwrap();
}

/// However busy the machine is.
fn patient() -> Options {
    Options {
        wait: Duration::from_secs(60),
        statement: Duration::from_secs(60),
        answer: Duration::from_secs(70),
        ..Options::default()
    }
}

/// Short waits, for tests in which something does not answer.
fn impatient() -> Options {
    Options {
        patience: Duration::ZERO,
        wait: Duration::from_millis(200),
        statement: Duration::from_millis(500),
        ..Options::default()
    }
}

#[tokio::test]
async fn where_others_may_be_at_work_no_lease_ends_before_its_time() {
    let given = a_fresh_store().await;
    given
        .commands
        .accept(noon(), vec![command(1, "buy")], false)
        .await
        .unwrap();
    given.commands.claim(noon(), vec![key(1)]).await.unwrap();
    assert_eq!(given.commands.release_leases(noon_plus(1)).await, Ok(0));
    assert_eq!(given.commands.claim_due(noon_plus(29), 10).await, Ok(vec![]));
    assert_eq!(given.commands.claim_due(noon_plus(30), 10).await.unwrap().len(), 1);
}
