//! Empty books on PostgreSQL, in a database of a test's own, and what a test does there beside the ledger.

use std::sync::Arc;
use std::time::Duration;

use balance::ports::LedgerStore;
use balance::store::postgres::{PostgresLedger, migrations};
use contracts::ServiceName;
use contracts::random::SeededEntropy;
use service_kit::metrics::Survey;
use storage::postgres::{Database, Options, Tx, migrate};
use test_servers::postgres::TestDatabase;
use tokio_postgres::{Client, NoTls};

use super::at;

/// A ledger with everything it needs to live.
pub(crate) struct Given {
    pub(crate) ledger: Arc<dyn LedgerStore>,
    pub(crate) survey: Arc<dyn Survey>,
    url: String,
    /// Last, so that nobody is connected to it any more when it goes.
    _test_database: Option<TestDatabase>,
}

pub(crate) async fn fresh_books() -> Given {
    let test_database = TestDatabase::create();
    let url = test_database.url();
    migrate(&url, &[migrations()], at(0)).await.unwrap();
    let ledger = Arc::new(PostgresLedger::new(connected(&url, 1, patient()).await));
    Given {
        ledger: ledger.clone(),
        survey: ledger,
        url,
        _test_database: Some(test_database),
    }
}

async fn replica(url: &str, seed: u64) -> Arc<dyn LedgerStore> {
    Arc::new(PostgresLedger::new(connected(url, seed, patient()).await))
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

async fn connected(url: &str, seed: u64, options: Options) -> Database {
    let entropy = Arc::new(SeededEntropy::new(seed));
    let database = Database::connect(url, ServiceName::Balance, options, entropy);
    database.await.unwrap()
}

impl Given {
    /// Another process on the same books.
    pub(crate) async fn beside(&self) -> Arc<dyn LedgerStore> {
        replica(&self.url, 2).await
    }

    /// Connections of their own to the same books.
    pub(crate) async fn connected(&self, options: Options) -> Database {
        connected(&self.url, 3, options).await
    }

    /// What an auditor sees from its first read on.
    pub(crate) async fn snapshot(&self) -> Tx {
        self.connected(Options::default()).await.snapshot().await.unwrap()
    }

    /// The database's owner, who may do what no service may.
    pub(crate) async fn owner(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// Returns when as many callers wait for a lock in the database of `owner`.
pub(crate) async fn wait_for_waiters(owner: &Client, wanted: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while owner.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) < wanted {
        tokio::task::yield_now().await;
    }
}
