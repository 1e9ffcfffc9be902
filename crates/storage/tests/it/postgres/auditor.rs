//! An auditor sees one moment of what services know of money, and can change nothing.

use std::time::Duration;

use contracts::ServiceName;
use contracts::random::SeededEntropy;
use storage::migrations::{Migrations, SchemaError};
use storage::postgres::{ConnectError, Tx, TxError, auditor, check_snapshot, migrate};
use test_servers::postgres::TestDatabase;

use super::{SERVICE, administer, creates, migrations};
use crate::given::noon;

fn services() -> [Migrations; 3] {
    let of = |service, table| Migrations::new(service).then(table, &creates(table));
    [
        migrations(),
        of(ServiceName::Wallet, "orders"),
        of(ServiceName::Auth, "users"),
    ]
}

async fn a_migrated_database() -> TestDatabase {
    let given = TestDatabase::create();
    migrate(&given.url(), &services(), noon()).await.unwrap();
    given
}

/// Makes a login that may do nothing; its URL.
async fn a_login(given: &TestDatabase) -> String {
    let login = format!("{}_login", given.name());
    administer(&given.url(), &[format!("CREATE ROLE {login} LOGIN")]).await;
    given.url().replace("cambist@", &format!("{login}@"))
}

async fn begin(url: &str) -> Result<Tx, ConnectError> {
    auditor(url, Duration::ZERO, &SeededEntropy::new(1)).await
}

/// How many rows there are in a table.
async fn count(tx: &mut Tx, table: &str) -> Result<i64, TxError> {
    let rows = tx.query(&format!("SELECT count(*) FROM {table}"), &[]).await?;
    Ok(rows[0].get(0))
}

#[tokio::test]
async fn an_auditor_sees_one_moment_of_all_schemas() {
    let given = a_migrated_database().await;
    let mut tx = begin(&given.url()).await.unwrap();
    assert_eq!(count(&mut tx, "wallet.orders").await.unwrap(), 0);
    let later = [
        "INSERT INTO wallet.orders VALUES (1)",
        "INSERT INTO exchanger.dead_letters (source, payload, error, died_at) VALUES ('', '', '', 0)",
    ];
    administer(&given.url(), &later.map(str::to_owned)).await;
    assert_eq!(count(&mut tx, "wallet.orders").await.unwrap(), 0);
    assert_eq!(count(&mut tx, "exchanger.dead_letters").await.unwrap(), 0);
    tx.roll_back().await;
    let mut tx = begin(&given.url()).await.unwrap();
    assert_eq!(count(&mut tx, "exchanger.dead_letters").await.unwrap(), 1);
    assert_eq!(count(&mut tx, "wallet.orders").await.unwrap(), 1);
}

#[tokio::test]
async fn an_auditor_reads_what_services_know_of_money_and_writes_nothing() {
    let given = a_migrated_database().await;
    for (sql, may) in [
        ("SELECT FROM wallet.orders", true),
        ("SELECT FROM exchanger.commands", true),
        ("SELECT FROM cambist.schema_migrations", true),
        ("SELECT FROM auth.users", false),
        ("INSERT INTO wallet.orders VALUES (1)", false),
        ("UPDATE wallet.orders SET n = 1", false),
        ("DELETE FROM exchanger.commands", false),
        ("TRUNCATE exchanger.commands", false),
        ("DELETE FROM cambist.schema_migrations", false),
        ("CREATE TABLE wallet.more (n integer)", false),
    ] {
        let (client, connection) = tokio_postgres::connect(&given.url(), tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        // Without what keeps the auditor's own transaction from writing.
        let role = format!("SET ROLE {}_audit", given.name());
        client.batch_execute(&role).await.unwrap();
        match client.batch_execute(sql).await {
            Ok(()) => assert!(may, "{sql}"),
            Err(error) => {
                let said = error.as_db_error().unwrap().message();
                assert!(!may && said.contains("permission denied"), "{sql}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_login_that_may_only_audit_needs_one_grant_which_is_named_when_it_is_missing() {
    let given = a_migrated_database().await;
    let url = a_login(&given).await;
    let refused = begin(&url).await.err().unwrap().to_string();
    let name = given.name();
    let grant = format!(r#"GRANT "{name}_audit" TO "{name}_login""#);
    assert!(refused.ends_with(&grant), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
    administer(&given.url(), &[grant]).await;
    let mut tx = begin(&url).await.unwrap();
    assert_eq!(count(&mut tx, "wallet.orders").await.unwrap(), 0);
    check_snapshot(&mut tx, &services()).await.unwrap();
}

#[tokio::test]
async fn what_a_later_version_adds_can_be_audited_once_it_is_migrated() {
    let given = a_migrated_database().await;
    // As an earlier version of the program left it, which knew of no auditors.
    let name = given.name();
    let earlier = [format!("DROP OWNED BY {name}_audit"), format!("DROP ROLE {name}_audit")];
    administer(&given.url(), &earlier).await;
    let refused = begin(&given.url()).await.err().unwrap().to_string();
    assert!(refused.contains("cambist migrate"), "{refused}");
    let [exchanger, wallet, auth] = services();
    let wallet = wallet.then("deposits", &creates("deposits"));
    let newer = [exchanger, wallet, auth];
    migrate(&given.url(), &newer, noon()).await.unwrap();
    let mut tx = begin(&given.url()).await.unwrap();
    assert_eq!(count(&mut tx, "wallet.deposits").await.unwrap(), 0);
    check_snapshot(&mut tx, &newer).await.unwrap();
    let ahead = check_snapshot(&mut tx, &services()).await;
    assert!(matches!(ahead, Err(SchemaError::Ahead { number: 2, .. })), "{ahead:?}");
}

#[tokio::test]
async fn a_database_that_was_never_migrated_has_nothing_to_audit() {
    let given = TestDatabase::create();
    let refused = begin(&given.url()).await.err().unwrap().to_string();
    assert!(refused.contains("cambist migrate"), "{refused}");
    // Half of it is not enough.
    migrate(&given.url(), &[migrations()], noon()).await.unwrap();
    let mut tx = begin(&given.url()).await.unwrap();
    let behind = check_snapshot(&mut tx, &services()).await.unwrap_err();
    assert!(
        matches!(behind, SchemaError::Behind { service, number: 1, .. } if service != SERVICE),
        "{behind}"
    );
}

#[tokio::test]
async fn a_statement_that_reads_everything_gets_the_time_that_takes() {
    let given = a_migrated_database().await;
    let settings = format!("ALTER DATABASE {} SET statement_timeout = '1s'", given.name());
    administer(&given.url(), &[settings]).await;
    let mut tx = begin(&given.url()).await.unwrap();
    for (setting, expected) in [
        ("statement_timeout", "1h"),
        ("idle_in_transaction_session_timeout", "1min"),
    ] {
        let rows = tx.query(&format!("SHOW {setting}"), &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, &str>(0), expected, "{setting}");
    }
}
