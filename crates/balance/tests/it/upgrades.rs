//! Books that an earlier program kept: they are read as before.

use contracts::{ServiceName, UserId};
use rusqlite::Connection;
use storage::migrations::Migrations;
use storage::sqlite::migrate;

use crate::audit::a_day;
use crate::given::{Given, at, open, user};

/// What `given` holds, as the first program kept it.
fn in_the_first_schema(given: &Given) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = Connection::open(folder.path().join("cambist.db")).unwrap();
    let first =
        Migrations::new(ServiceName::Balance).then("ledger", include_str!("../../migrations/sqlite/0001_ledger.sql"));
    migrate(&mut connection, &[first], at(0)).unwrap();
    connection
        .execute("ATTACH ? AS later", [given.path.to_str().unwrap()])
        .unwrap();
    for (table, columns) in [
        ("balance_wallets", "user_id, opened_at"),
        ("balance_accounts", "id, owner, asset, balance"),
        (
            "balance_transfers",
            "entry_id, origin_kind, origin_id, leg, debit_account, credit_account, amount, debit_balance_after,
             credit_balance_after, reason, actor, posted_at",
        ),
        (
            "balance_refusals",
            "origin_kind, origin_id, leg, debit, credit, asset, amount, reason, actor, refused_at",
        ),
        (
            "balance_adjustments",
            "id, user_id, idempotency_key, fingerprint, wallet_after, adjusted_at",
        ),
    ] {
        let copy = format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM later.{table}");
        connection.execute(&copy, ()).unwrap();
    }
    drop(connection);
    open(folder)
}

#[tokio::test]
async fn the_books_of_the_first_program_give_the_same_statements() {
    let given = a_day().await;
    let upgraded = in_the_first_schema(&given);
    let report = upgraded.ledger.check_books().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.violations);
    assert_eq!(report, given.ledger.check_books().await.unwrap());
    for owner in [user(2), UserId::HOT_WALLET] {
        let lines = upgraded.ledger.statement(owner, None, 100).await.unwrap().unwrap();
        assert!(lines.len() >= 3, "{lines:?}");
        assert_eq!(given.ledger.statement(owner, None, 100).await.unwrap(), Some(lines));
    }
}
