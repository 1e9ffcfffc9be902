//! What the database itself sees to: who reads what, and what nobody changes any more.

use std::sync::Arc;

use contracts::{SeededEntropy, ServiceName};
use jiff::Timestamp;
use storage::migrations::Migrations;
use storage::postgres::{Database, OUTBOX_SCHEMA, Options, check, migrate};
use test_servers::postgres::TestDatabase;
use wallet::domain::Fact;
use wallet::ports::Placement;
use wallet::postgres_migrations;

use super::{connect, given, replica};
use crate::conformance::{after, new_order, start};
use crate::samples::*;

#[tokio::test]
async fn the_tables_are_made_once_however_many_make_them() {
    let home = TestDatabase::create();
    let (url, services) = (home.url(), [postgres_migrations()]);
    let migrated = || migrate(&url, &services, Timestamp::UNIX_EPOCH);
    let (one, two) = tokio::join!(migrated(), migrated());
    assert_eq!(one.unwrap().len() + two.unwrap().len(), services[0].list().len());
    check(&connect(&url).await, &services).await.unwrap();
}

#[tokio::test]
async fn another_service_reads_and_changes_nothing_here() {
    let home = TestDatabase::create();
    let neighbour = Migrations::new(ServiceName::Balance).then("outbox", OUTBOX_SCHEMA);
    let services = [postgres_migrations(), neighbour];
    migrate(&home.url(), &services, Timestamp::UNIX_EPOCH).await.unwrap();
    let entropy = Arc::new(SeededEntropy::new(7));
    let (url, wallet) = (home.url(), connect(&home.url()).await);
    let balance = Database::connect(&url, ServiceName::Balance, Options::default(), entropy);
    let balance = balance.await.unwrap();
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'wallet'";
    let tables = wallet.query(tables, &[]).await.unwrap();
    assert_eq!(tables.len(), 8);
    let mut statements = vec![
        "SELECT wallet.lock_users(ARRAY[2::bigint])::text".to_owned(),
        "SELECT wallet.lock_gate()::text".to_owned(),
        "SELECT nextval('wallet.order_ids')".to_owned(),
    ];
    for table in &tables {
        let table: String = table.get(0);
        statements.push(format!("SELECT count(*) FROM wallet.{table}"));
    }
    for sql in statements {
        wallet.query(&sql, &[]).await.unwrap();
        let refused = balance.query(&sql, &[]).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{sql}: {refused}");
    }
    for sql in [
        "DELETE FROM wallet.orders",
        "UPDATE wallet.freezes SET reason = ''",
        "INSERT INTO wallet.key_marks VALUES (1, 1, 1)",
    ] {
        let refused = balance.query(sql, &[]).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn a_log_and_an_end_stay_whoever_wants_them_changed() {
    let given = given().await;
    let store = &given.one;
    let placed = store
        .orders
        .create_orders(start(), after(3), vec![new_order(2)], Box::new(|_| {}))
        .await;
    let placed = placed.unwrap();
    let [Placement::Created(order)] = placed.as_slice() else {
        panic!("{placed:?}")
    };
    let refused = vec![(order.id, event(Fact::HoldRefused))];
    store.orders.advance(after(1), after(4), refused).await.unwrap();
    let before = store.orders.saga(order.id).await.unwrap();
    let wallet = connect(&given.home.url()).await;
    for sql in [
        "UPDATE wallet.order_events SET cause = ''",
        "DELETE FROM wallet.order_events",
        "DELETE FROM wallet.orders",
        "UPDATE wallet.orders SET state = 'completed'",
        "UPDATE wallet.orders SET state = 'created'",
    ] {
        let refused = wallet.query(sql, &[]).await.unwrap_err().to_string();
        assert!(refused.contains("it is there for good"), "{sql}: {refused}");
    }
    let unseen = "TRUNCATE wallet.order_events";
    assert!(
        wallet
            .query(unseen, &[])
            .await
            .unwrap_err()
            .to_string()
            .contains("permission denied")
    );
    assert_eq!(replica(wallet).orders.saga(order.id).await.unwrap(), before);
}
