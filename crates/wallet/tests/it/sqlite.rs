//! What the suites start from on SQLite, and what only this adapter has: upgrades of its schema.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::{DepositId, OrderId, ServiceName};
use jiff::Timestamp;
use rusqlite::Connection;
use service_kit::metrics::Survey;
use storage::migrations::SchemaError;
use storage::sqlite::{Database, Durability, OpenError, Options, SqliteOutbox, migrate};
use tempfile::TempDir;
use wallet::domain::Deposit;
use wallet::store::audit::OrderFacts;
use wallet::store::sqlite::{SagaSurvey, SqliteWallet, audit};

use crate::conformance::{Beside, Counts, Replica, Subject};

#[derive(Debug)]
#[allow(
    dead_code,
    reason = "only its Debug form is of use, when a test cannot open its database"
)]
pub(crate) enum Refused {
    Open(OpenError),
    Schema(SchemaError),
}

impl From<OpenError> for Refused {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// A database with the wallet's schema. Tests are about logic, not about power cuts.
pub(crate) fn open(path: &Path) -> Database {
    let options = Options {
        durability: Durability::ProcessCrash,
        ..Options::default()
    };
    let prepare = |connection: &mut Connection| {
        migrate(connection, &[wallet::migrations()], Timestamp::UNIX_EPOCH)
            .map(drop)
            .map_err(Refused::Schema)
    };
    Database::open(path, options, prepare).unwrap()
}

/// A fresh store, in the one process that a database of SQLite has.
pub(crate) fn subject() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("wallet.db"));
    let (outbox, rows) = SqliteOutbox::new(ServiceName::Wallet, database.clone(), 4_096);
    let store = Arc::new(SqliteWallet::new(database.clone(), outbox));
    let process = Replica {
        orders: Arc::clone(&store) as _,
        deposits: Arc::clone(&store) as _,
        freezes: Arc::clone(&store) as _,
        keys: store,
        rows: Mutex::new(rows),
    };
    Subject::new(
        vec![process],
        Box::new(BesideIt {
            database,
            _folder: folder,
        }),
    )
}

struct BesideIt {
    database: Database,
    _folder: TempDir,
}

impl BesideIt {
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> T {
        self.database.readers().run(query).await.unwrap()
    }
}

#[async_trait]
impl Beside for BesideIt {
    async fn execute(&self, sql: &str) {
        let sql = sql.replace("{}", "wallet_");
        let done = self.database.writer().run(move |tx| tx.execute(&sql, ()).map(drop));
        done.await.unwrap();
    }

    async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = sql.replace("{}", "wallet_");
        self.read(move |connection| {
            let mut statement = connection.prepare(&sql)?;
            statement.query_map((), |row| row.get(0))?.collect()
        })
        .await
    }

    async fn order_facts(&self, after: Option<OrderId>, limit: usize) -> Vec<OrderFacts> {
        self.read(move |connection| audit::orders(connection, after, limit))
            .await
    }

    async fn deposit_facts(&self, after: Option<DepositId>, limit: usize) -> Vec<Deposit> {
        self.read(move |connection| audit::deposits(connection, after, limit))
            .await
    }

    async fn counts(&self, first: i64) -> Counts {
        self.read(move |connection| {
            let mut open = audit::open_orders(connection)?;
            open.sort_unstable();
            Ok(Counts {
                stuck: audit::stuck_orders(connection)?,
                open,
                last: audit::last_order(connection)?,
                completed: audit::completed_orders(connection, first)?,
            })
        })
        .await
    }

    fn survey(&self) -> Arc<dyn Survey> {
        Arc::new(SagaSurvey::new(self.database.clone()))
    }
}

#[test]
fn the_cheaper_check_of_a_state_takes_the_place_of_the_old_one_and_refuses_as_much() {
    let mut connection = Connection::open_in_memory().unwrap();
    let insert = |connection: &Connection, state: &str| {
        connection.execute(
            "INSERT INTO wallet_orders (user_id, side, asset, currency, requested, definition, state, revision,
             next_attempt_at, created_at, updated_at) VALUES (2, 'buy', 'BTC', 'USD', x'00', 1, ?, 1, 0, 0, 0)",
            [state],
        )
    };
    let migrations = wallet::migrations();
    for migration in migrations.list() {
        if migration.name == "cheaper checks" {
            for state in ["created", "stuck_releasing", "completed"] {
                insert(&connection, state).unwrap();
            }
        }
        let transaction = connection.transaction().unwrap();
        transaction.execute_batch(&migration.sql).unwrap();
        transaction.commit().unwrap();
    }
    let text = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, String>(0)).unwrap();
    let schema = text("SELECT sql FROM sqlite_schema WHERE name = 'wallet_orders'");
    assert!(schema.contains("CHECK (state = 'created' OR"), "{schema}");
    assert!(!schema.contains("state IN"), "{schema}");
    for state in ["failed", "exchanging", "stuck_withdrawing"] {
        insert(&connection, state).unwrap();
    }
    for state in ["", "stuck", "Created"] {
        insert(&connection, state).unwrap_err();
    }
    assert_eq!(text("SELECT count(*) || '' FROM wallet_orders"), "6");
    assert_eq!(text("PRAGMA integrity_check"), "ok");
}
