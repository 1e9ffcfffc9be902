//! What the suites start from on PostgreSQL, and what only a database of several processes has to promise.

mod crossing;
mod lost;
mod plans;
mod replicas;
mod roles;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::{DepositId, OrderId, SeededEntropy, ServiceName};
use jiff::Timestamp;
use service_kit::metrics::Survey;
use storage::postgres::{Database, Options, PostgresOutbox, migrate};
use test_servers::postgres::TestDatabase;
use tokio_postgres::{Client, NoTls};
use wallet::domain::Deposit;
use wallet::postgres_migrations;
use wallet::store::audit::OrderFacts;
use wallet::store::postgres::{PostgresWallet, SagaSurvey, audit};

use crate::conformance::{Beside, Counts, Replica, Subject};

/// A database without anything in it, and the processes on it.
struct Given {
    one: Replica,
    two: Replica,
    home: TestDatabase,
}

async fn given() -> Given {
    let home = fresh_database().await;
    Given {
        one: replica(connect(&home.url()).await),
        two: replica(connect(&home.url()).await),
        home,
    }
}

impl Given {
    /// The database's owner, who may do what no service may.
    async fn owner(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.home.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// Returns when as many callers wait for a lock in the database of `owner`.
async fn wait_for_waiters(owner: &Client, wanted: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while owner.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) < wanted {
        tokio::task::yield_now().await;
    }
}

async fn fresh_database() -> TestDatabase {
    let home = TestDatabase::create();
    migrate(&home.url(), &[postgres_migrations()], Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    home
}

async fn connect(url: &str) -> Database {
    let options = Options {
        statement: Duration::from_secs(60),
        answer: Duration::from_secs(70),
        ..Options::default()
    };
    connect_with(url, options).await
}

async fn connect_with(url: &str, options: Options) -> Database {
    let options = Options {
        // However busy the machine is.
        wait: Duration::from_secs(60),
        ..options
    };
    let entropy = Arc::new(SeededEntropy::new(7));
    Database::connect(url, ServiceName::Wallet, options, entropy)
        .await
        .unwrap()
}

/// One process on the database.
fn replica(database: Database) -> Replica {
    let (outbox, rows) = PostgresOutbox::new(database.clone(), 4_096);
    let store = Arc::new(PostgresWallet::new(database, outbox));
    Replica {
        orders: Arc::clone(&store) as _,
        deposits: Arc::clone(&store) as _,
        freezes: Arc::clone(&store) as _,
        keys: store,
        rows: Mutex::new(rows),
    }
}

/// A fresh store, shared by as many processes, each with connections of its own.
pub(crate) async fn subject(processes: usize) -> Subject {
    let home = fresh_database().await;
    let mut replicas = Vec::new();
    for _ in 0..processes {
        replicas.push(replica(connect(&home.url()).await));
    }
    let database = connect(&home.url()).await;
    Subject::new(replicas, Box::new(BesideIt { database, _home: home }))
}

struct BesideIt {
    database: Database,
    /// Last, so that nobody is connected to it any more when it goes.
    _home: TestDatabase,
}

#[async_trait]
impl Beside for BesideIt {
    async fn execute(&self, sql: &str) {
        self.database.query(&sql.replace("{}", "wallet."), &[]).await.unwrap();
    }

    async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self.database.query(&sql.replace("{}", "wallet."), &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn order_facts(&self, after: Option<OrderId>, limit: usize) -> Vec<OrderFacts> {
        let mut tx = self.database.snapshot().await.unwrap();
        let facts = audit::orders(&mut tx, after, limit).await.unwrap();
        tx.roll_back().await;
        facts
    }

    async fn deposit_facts(&self, after: Option<DepositId>, limit: usize) -> Vec<Deposit> {
        let mut tx = self.database.snapshot().await.unwrap();
        let facts = audit::deposits(&mut tx, after, limit).await.unwrap();
        tx.roll_back().await;
        facts
    }

    async fn counts(&self, first: i64) -> Counts {
        let mut tx = self.database.snapshot().await.unwrap();
        let mut open = audit::open_orders(&mut tx).await.unwrap();
        open.sort_unstable();
        let counts = Counts {
            stuck: audit::stuck_orders(&mut tx).await.unwrap(),
            open,
            last: audit::last_order(&mut tx).await.unwrap(),
            completed: audit::completed_orders(&mut tx, first).await.unwrap(),
        };
        tx.roll_back().await;
        counts
    }

    fn survey(&self) -> Arc<dyn Survey> {
        Arc::new(SagaSurvey::new(self.database.clone()))
    }
}
