//! The suites on PostgreSQL, what they start from there, and what only replicas have to promise.

#[path = "suites/stores.rs"]
mod stores;

use std::sync::Arc;
use std::time::Duration;

use contracts::clients::Submission;
use contracts::{SeededEntropy, ServiceName};
use exchanger::postgres_migrations;
use exchanger::store::audit::TradeFact;
use exchanger::store::postgres::PostgresExchanger;
use exchanger::store::postgres::audit::trades_of_orders;
use jiff::Timestamp;
use storage::postgres::{Database, Options, check, migrate};
use test_servers::postgres::TestDatabase;

use crate::scene::{Scene, Stores, TIMES, buy, exchange, order, trade};

/// A database of a test's own.
struct Given {
    database: Database,
    test_database: TestDatabase,
}

async fn a_fresh_store() -> Given {
    let test_database = TestDatabase::create();
    migrate(&test_database.url(), &[postgres_migrations()], Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    Given {
        database: connect(&test_database).await,
        test_database,
    }
}

async fn connect(test_database: &TestDatabase) -> Database {
    let options = Options {
        // However busy the machine is.
        wait: Duration::from_secs(60),
        statement: Duration::from_secs(60),
        answer: Duration::from_secs(70),
        ..Options::default()
    };
    let entropy = Arc::new(SeededEntropy::new(7));
    Database::connect(&test_database.url(), ServiceName::Exchanger, options, entropy)
        .await
        .unwrap()
}

fn stores(database: &Database) -> Stores {
    let (stores, rows) = PostgresExchanger::new(database.clone(), TIMES, 1_000);
    Stores {
        commands: Arc::new(stores.commands),
        outbox: Arc::new(stores.outbox),
        installation: Arc::new(stores.installation),
        rows,
    }
}

impl Given {
    fn stores(&self) -> Stores {
        stores(&self.database)
    }

    /// Another process, with connections of its own.
    async fn beside(&self) -> Stores {
        stores(&connect(&self.test_database).await)
    }

    async fn facts(&self, from: i64, to: i64) -> Vec<TradeFact> {
        let mut tx = self.database.snapshot().await.unwrap();
        let facts = trades_of_orders(&mut tx, order(from), order(to)).await.unwrap();
        tx.roll_back().await;
        facts
    }
}

#[tokio::test]
async fn the_tables_are_made_once_however_many_make_them() {
    let test_database = TestDatabase::create();
    let url = test_database.url();
    let services = [postgres_migrations()];
    let (one, two) = tokio::join!(
        migrate(&url, &services, Timestamp::UNIX_EPOCH),
        migrate(&url, &services, Timestamp::UNIX_EPOCH)
    );
    assert_eq!(one.unwrap().len() + two.unwrap().len(), services[0].list().len());
    check(&connect(&test_database).await, &services).await.unwrap();
}

#[tokio::test]
async fn one_order_that_reaches_two_replicas_at_once_is_one_order() {
    let given = a_fresh_store().await;
    let (one, two) = (Scene::on(given.stores()), Scene::on(given.beside().await));
    let command = buy(1, "30");
    one.books
        .hold(command.order_id, command.acquirer_user_id, command.amount);
    let (first, second) = tokio::join!(one.submit(command.clone()), two.submit(command));
    let replayed = |submission| matches!(submission, Submission::Accepted { replayed: true });
    assert_eq!(
        [first, second]
            .into_iter()
            .filter(|submission| replayed(submission.clone()))
            .count(),
        1
    );
    assert_eq!(one.record(exchange(1)).await, two.record(exchange(1)).await);
    trade(one.finish(exchange(1)).await);
    assert!(
        two.try_claim(exchange(1)).await.is_none(),
        "it is at its end everywhere"
    );
}
