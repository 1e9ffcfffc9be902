//! Each service has its schema, and reads no other's.

use std::sync::Arc;

use contracts::ServiceName;
use contracts::random::SeededEntropy;
use storage::migrations::Migrations;
use storage::postgres::{Database, Numeric, Options, migrate};
use test_servers::postgres::TestDatabase;

use super::{SERVICE, a_fresh_store, administer, connect, creates, migrations};
use crate::given::noon;

fn neighbour() -> Migrations {
    Migrations::new(ServiceName::Wallet).then("orders", &creates("orders"))
}

#[tokio::test]
async fn a_service_reads_its_own_tables_and_no_others() {
    let given = TestDatabase::create();
    migrate(&given.url(), &[migrations(), neighbour()], noon())
        .await
        .unwrap();
    let exchanger = connect(&given.url(), SERVICE, Options::default()).await;
    let wallet = connect(&given.url(), ServiceName::Wallet, Options::default()).await;
    let may = async |database: &Database, sql: &str| match database.query(sql, &[]).await {
        Ok(_) => true,
        Err(error) => {
            assert!(error.to_string().contains("permission denied"), "{error}");
            false
        }
    };
    for (sql, exchanger_may, wallet_may) in [
        ("SELECT * FROM exchanger.commands", true, false),
        ("SELECT * FROM exchanger.outbox", true, false),
        ("SELECT * FROM exchanger.dead_letters", true, false),
        ("SELECT * FROM exchanger.operator_acts", true, false),
        (
            "INSERT INTO exchanger.outbox (destination, payload, next_attempt_at, created_at) VALUES ('', '', 0, 0)",
            true,
            false,
        ),
        ("SELECT * FROM wallet.orders", false, true),
        ("UPDATE wallet.orders SET n = 1", false, true),
        ("DELETE FROM wallet.orders", false, true),
        ("SELECT * FROM cambist.schema_migrations", true, true),
        ("DELETE FROM cambist.schema_migrations", false, false),
        ("TRUNCATE exchanger.commands", false, false),
        ("CREATE TABLE exchanger.more (n integer)", false, false),
        ("CREATE SCHEMA more", false, false),
        ("CREATE ROLE more", false, false),
    ] {
        assert_eq!(may(&exchanger, sql).await, exchanger_may, "exchanger: {sql}");
        assert_eq!(may(&wallet, sql).await, wallet_may, "wallet: {sql}");
    }
}

#[tokio::test]
async fn a_login_that_is_a_member_of_one_role_runs_that_service_and_no_other() {
    let given = TestDatabase::create();
    migrate(&given.url(), &[migrations(), neighbour()], noon())
        .await
        .unwrap();
    let login = format!("{}_login", given.name());
    let admin = [
        format!("CREATE ROLE {login} LOGIN"),
        format!("GRANT {}_exchanger TO {login}", given.name()),
    ];
    administer(&given.url(), &admin).await;
    let url = given.url().replace("cambist@", &format!("{login}@"));
    let exchanger = connect(&url, SERVICE, Options::default()).await;
    assert!(exchanger.query("SELECT * FROM exchanger.commands", &[]).await.is_ok());
    let entropy = Arc::new(SeededEntropy::new(1));
    let wallet = Database::connect(&url, ServiceName::Wallet, Options::default(), entropy).await;
    let refused = wallet.err().unwrap().to_string();
    let grant = format!(r#"GRANT "{name}_wallet" TO "{login}""#, name = given.name());
    assert!(refused.ends_with(&grant), "{refused}");
}

#[tokio::test]
async fn a_database_that_was_never_migrated_is_refused_with_the_command_that_helps() {
    let given = TestDatabase::create();
    let entropy = Arc::new(SeededEntropy::new(1));
    let refused = Database::connect(&given.url(), SERVICE, Options::default(), entropy).await;
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("cambist migrate"), "{refused}");
}

#[tokio::test]
async fn two_that_migrate_at_once_are_safe() {
    let given = TestDatabase::create();
    let url = given.url();
    let services = [migrations(), neighbour()];
    let four = (0..4).map(|_| migrate(&url, &services, noon()));
    let applied = futures::future::join_all(four).await;
    let mut counts: Vec<_> = applied.into_iter().map(|applied| applied.unwrap().len()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 0, 4], "one does all, the others find it done");
}

#[tokio::test]
async fn what_the_database_is_set_to_does_not_disturb_two_that_migrate_at_once() {
    let given = TestDatabase::create();
    let settings = [
        "default_transaction_isolation = 'repeatable read'",
        "statement_timeout = '200ms'",
    ];
    let settings = settings.map(|setting| format!("ALTER DATABASE {} SET {setting}", given.name()));
    administer(&given.url(), &settings).await;
    let url = given.url();
    let slow = format!("SELECT pg_sleep(0.5); {}", creates("slow"));
    let services = [Migrations::new(SERVICE).then("slow", &slow)];
    let (one, two) = futures::join!(migrate(&url, &services, noon()), migrate(&url, &services, noon()));
    assert_eq!(one.unwrap().len() + two.unwrap().len(), 1, "the other finds it done");
}

#[tokio::test]
async fn amounts_are_stored_and_added_exactly() {
    let given = a_fresh_store().await;
    let largest = 10_i128.pow(38);
    for (amount, more) in [
        (i128::MAX, 0),
        (i128::MIN, 1),
        (1 << 64, 1),
        (-largest, largest),
        (largest / 9 * 7, -1),
    ] {
        let sql = "SELECT ($1::numeric(39,0) + $2::numeric(39,0))::numeric(39,0), ($1::numeric(39,0))::text";
        let rows = given
            .database
            .query(sql, &[&Numeric(amount), &Numeric(more)])
            .await
            .unwrap();
        assert_eq!(rows[0].get::<_, Numeric>(0), Numeric(amount + more));
        assert_eq!(rows[0].get::<_, String>(1), amount.to_string());
    }
}
