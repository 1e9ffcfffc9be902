//! The suites on PostgreSQL, what they start from there, and what only replicas have to promise.

mod crossing;
mod lost;
mod replicas;
#[path = "suites/store.rs"]
mod store;
#[path = "suites/stories.rs"]
mod stories;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bc_gateway::postgres_migrations;
use bc_gateway::store::audit::{ExpectedCoins, WithdrawalFact};
use bc_gateway::store::postgres::{PostgresBcGateway, audit};
use contracts::{OrderId, SeededEntropy, ServiceName};
use jiff::Timestamp;
use storage::StoreError;
use storage::migrations::Migrations;
use storage::postgres::{Database, Options, migrate};
use test_servers::postgres::TestDatabase;
use tokio_postgres::{Client, NoTls};

use crate::stores::{Audit, CAPACITY, Stores, TIMES};

/// A database of a test's own.
struct Given {
    database: Database,
    url: String,
    /// Last, so that nobody is connected to it any more when it goes.
    _test_database: TestDatabase,
}

async fn a_fresh_store() -> Given {
    let test_database = TestDatabase::create();
    let url = test_database.url();
    migrate(&url, &[postgres_migrations()], Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    Given {
        database: connect(&url, ServiceName::BcGateway).await,
        url,
        _test_database: test_database,
    }
}

async fn connect(url: &str, service: ServiceName) -> Database {
    let options = Options {
        // However busy the machine is.
        wait: Duration::from_secs(60),
        statement: Duration::from_secs(60),
        answer: Duration::from_secs(70),
        ..Options::default()
    };
    let entropy = Arc::new(SeededEntropy::new(7));
    Database::connect(url, service, options, entropy).await.unwrap()
}

fn stores(database: &Database) -> Stores {
    let (stores, rows) = PostgresBcGateway::new(database.clone(), TIMES, CAPACITY);
    Stores {
        commands: Arc::new(stores.commands),
        transfers: Arc::new(stores.transfers),
        outbox: Arc::new(stores.outbox),
        rows,
        audit: Arc::new(Auditor(database.clone())),
    }
}

impl Given {
    fn stores(&self) -> Stores {
        stores(&self.database)
    }

    /// Another process, with connections of its own.
    async fn beside(&self) -> Stores {
        stores(&connect(&self.url, ServiceName::BcGateway).await)
    }

    /// The database's owner, who may do what no service may.
    async fn owner(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

struct Auditor(Database);

#[async_trait]
impl Audit for Auditor {
    async fn expected_coins(&self) -> Vec<ExpectedCoins> {
        let mut tx = self.0.snapshot().await.unwrap();
        let expected = audit::expected_coins(&mut tx).await.unwrap();
        tx.roll_back().await;
        expected
    }

    async fn withdrawals(&self, first: OrderId, last: OrderId) -> Vec<WithdrawalFact> {
        let mut tx = self.0.snapshot().await.unwrap();
        let facts = audit::withdrawals_of_orders(&mut tx, first, last).await.unwrap();
        tx.roll_back().await;
        facts
    }
}

#[tokio::test]
async fn no_other_service_reads_or_writes_a_table_of_this_one() {
    let given = a_fresh_store().await;
    let neighbour = Migrations::new(ServiceName::Wallet).then("orders", "CREATE TABLE {service}.orders (n integer)");
    migrate(&given.url, &[neighbour], Timestamp::UNIX_EPOCH).await.unwrap();
    let wallet = connect(&given.url, ServiceName::Wallet).await;
    let tables = given.owner().await;
    let tables = tables
        .query(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'bc_gateway'",
            &[],
        )
        .await
        .unwrap();
    assert!(tables.len() >= 10, "{tables:?}");
    for table in tables {
        let table: &str = table.get(0);
        for sql in [
            format!("SELECT 1 FROM bc_gateway.{table}"),
            format!("DELETE FROM bc_gateway.{table}"),
        ] {
            let refused = wallet.query(&sql, &[]).await;
            assert!(
                matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("permission denied")),
                "{sql}: {refused:?}"
            );
        }
        let own = given
            .database
            .query(&format!("SELECT 1 FROM bc_gateway.{table}"), &[])
            .await;
        assert!(own.is_ok(), "{own:?}");
    }
}

#[tokio::test]
async fn what_is_there_for_good_cannot_be_changed_by_the_service_itself() {
    let given = a_fresh_store().await;
    let (bank, user) = ("'a', 1", "'paper', 1, 'a', 0");
    for sql in [
        format!("INSERT INTO bc_gateway.nonces (address, next_nonce) VALUES ({bank})"),
        format!("INSERT INTO bc_gateway.addresses (chain, user_id, address, created_at) VALUES ({user})"),
        "INSERT INTO bc_gateway.transfers (order_id, step, from_user, to_user, asset, amount, nonce, hash, signed_at)
         VALUES (1, 'withdraw', 1, 2, 'BTC', 1, 0, 'h', 0)"
            .to_owned(),
    ] {
        given.database.query(&sql, &[]).await.unwrap();
    }
    for sql in [
        "DELETE FROM bc_gateway.nonces",
        "DELETE FROM bc_gateway.addresses",
        "UPDATE bc_gateway.addresses SET address = 'b'",
        "DELETE FROM bc_gateway.transfers",
        "UPDATE bc_gateway.transfers SET nonce = 1",
    ] {
        let refused = given.database.query(sql, &[]).await;
        assert!(
            matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("for good")),
            "{sql}: {refused:?}"
        );
    }
}
