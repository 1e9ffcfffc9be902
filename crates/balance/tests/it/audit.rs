//! The audit finds what is wrong, whoever made it wrong; and the database itself refuses the worst.

use balance::domain::{Adjustment, Capital};
use balance::domain::{AssetTotals, BooksReport, MAX_VIOLATIONS, Violation};
use balance::store::sqlite::audit::{
    balances_of, check_books, funding, transfers_of_adjustments, transfers_of_deposits, transfers_of_orders,
};
use contracts::ledger::{Leg, Owner};
use contracts::{Amount, Asset};
use rusqlite::Connection;

use crate::given::{Given, at, btc, eth, fresh_books, hold, order, pay_in, usd, user};

/// Entries: 1 and 2 the funding, 3 a pay-in, 4 a hold, 5 an adjustment. Accounts: 1 treasury USD, 2 hot wallet USD,
/// 3 treasury BTC, 4 hot wallet BTC, 5 bank USD, 6 user 2 USD. The hold of order 2 was refused.
pub(crate) async fn a_day() -> Given {
    let given = fresh_books();
    let ledger = &given.ledger;
    ledger
        .fund(
            at(0),
            Capital {
                fiat: usd("1000"),
                crypto: btc("1000"),
            },
        )
        .await
        .unwrap();
    ledger.open_wallet(at(1), user(2)).await.unwrap();
    ledger
        .post(
            at(2),
            vec![pay_in(1, 2, usd("600")), hold(1, 2, usd("30")), hold(2, 2, usd("700"))],
        )
        .await
        .unwrap();
    let adjustment = Adjustment {
        user: user(2),
        fiat: Some(usd("5")),
        crypto: None,
        reason: "goodwill".to_owned(),
        actor: "operator:ann".to_owned(),
        request: None,
    };
    ledger.adjust(at(3), adjustment).await.unwrap();
    given
}

/// What the audit says after somebody who respects nothing was at the database.
async fn after(meddling: &str) -> BooksReport {
    let given = a_day().await;
    let connection = Connection::open(&given.path).unwrap();
    connection
        .execute_batch(
            "PRAGMA ignore_check_constraints = ON;
             DROP TRIGGER balance_transfers_never_change; DROP TRIGGER balance_transfers_never_go;
             DROP TRIGGER balance_accounts_never_go; DROP TRIGGER balance_refusals_never_go;",
        )
        .unwrap();
    connection.execute_batch(meddling).unwrap();
    drop(connection);
    given.ledger.check_books().await.unwrap()
}

/// A column's bytes for so many units.
fn blob(units: i128) -> String {
    format!("x'{:032x}'", units.cast_unsigned() ^ (1 << 127))
}

fn account(name: &str) -> String {
    name.to_owned()
}

#[tokio::test]
async fn sound_books_are_told_with_their_totals() {
    let report = after("").await;
    assert!(report.is_sound(), "{:?}", report.violations);
    assert_eq!((report.accounts, report.transfers), (6, 5));
    let totals = |customers: Amount, hot_wallet: Amount, system: Amount| AssetTotals {
        asset: customers.asset(),
        customers: Some(customers),
        hot_wallet: Some(hot_wallet),
        system: Some(system),
    };
    let expected = [
        totals(btc("0"), btc("1000"), btc("-1000")),
        totals(usd("575"), usd("1030"), usd("-1605")),
    ];
    assert_eq!(report.totals, expected);
}

#[tokio::test]
async fn empty_books_are_sound() {
    let report = fresh_books().ledger.check_books().await.unwrap();
    assert_eq!(report, BooksReport::default());
}

#[tokio::test]
async fn a_changed_balance_is_found() {
    let report = after(&format!(
        "UPDATE balance_accounts SET balance = {} WHERE id = 6",
        blob(57_501)
    ))
    .await;
    let account = account("user:2 USD");
    let balance = Violation::Balance {
        account,
        stored: 57_501,
        booked: Some(57_500),
    };
    assert_eq!(
        report.violations,
        [Violation::Conservation { asset: Asset::USD }, balance]
    );
}

#[tokio::test]
async fn a_changed_amount_is_found() {
    let report = after(&format!(
        "UPDATE balance_transfers SET amount = {} WHERE entry_id = 4",
        blob(2_999)
    ))
    .await;
    let chain = |name| Violation::Chain {
        entry_id: 4,
        account: account(name),
    };
    let balance = |name, stored, booked| Violation::Balance {
        account: account(name),
        stored,
        booked: Some(booked),
    };
    assert_eq!(
        report.violations,
        [
            chain("user:2 USD"),
            chain("hot_wallet USD"),
            balance("hot_wallet USD", 103_000, 102_999),
            balance("user:2 USD", 57_500, 57_501),
        ]
    );
}

#[tokio::test]
async fn a_missing_transfer_is_found() {
    let report = after("DELETE FROM balance_transfers WHERE entry_id = 3").await;
    // The user's hold now comes out of nothing.
    assert!(report.violations.contains(&Violation::Chain {
        entry_id: 4,
        account: account("user:2 USD")
    }));
    let bank = Violation::Balance {
        account: account("external:bank USD"),
        stored: -60_000,
        booked: Some(0),
    };
    assert!(report.violations.contains(&bank), "{:?}", report.violations);
}

#[tokio::test]
async fn a_moment_below_zero_is_found_though_it_passed() {
    // The hold is moved before the pay-in that covered it, with balances and entries to match.
    let meddling = format!(
        "UPDATE balance_transfers SET entry_id = 0, debit_balance_after = {}, credit_balance_after = {} WHERE entry_id = 4;
         UPDATE balance_transfers SET credit_balance_after = {} WHERE entry_id = 1;
         UPDATE balance_transfers SET credit_balance_after = {} WHERE entry_id = 3;
         UPDATE balance_transfers SET debit_previous = 0, credit_previous = 0 WHERE entry_id = 0;
         UPDATE balance_transfers SET credit_previous = 3 WHERE entry_id = 5;
         UPDATE balance_accounts SET newest_entry = 1 WHERE id = 2;",
        blob(-3_000),
        blob(3_000),
        blob(103_000),
        blob(57_000)
    );
    let report = after(&meddling).await;
    assert_eq!(
        report.violations,
        [Violation::Insolvent {
            entry_id: 0,
            account: account("user:2 USD")
        }]
    );
}

#[tokio::test]
async fn a_statement_that_would_leave_an_entry_out_is_found() {
    let skipped = Violation::Transfer {
        entry_id: 5,
        detail: "it does not name the entry before it",
    };
    let report = after("UPDATE balance_transfers SET credit_previous = 3 WHERE entry_id = 5").await;
    assert_eq!(report.violations, [skipped]);
    let cut = Violation::Account {
        id: 6,
        detail: "its newest entry is another one",
    };
    let report = after("UPDATE balance_accounts SET newest_entry = 4 WHERE id = 6").await;
    assert_eq!(report.violations, [cut]);
}

#[tokio::test]
async fn a_transfer_that_makes_no_sense_is_found() {
    for (meddling, expected) in [
        ("debit_account = 4", "debit and credit are of different assets"),
        ("debit_account = 99", "one of its accounts is not there"),
        ("debit_account = credit_account", "debit and credit are one account"),
        ("leg = 99", "its leg is none"),
        ("leg = -1", "its leg is none"),
        ("origin_kind = 'gift'", "what it belongs to is nothing"),
        ("origin_id = 0", "what it belongs to is nothing"),
        (
            "amount = x'80000000000000000000000000000000'",
            "its amount is not greater than zero",
        ),
    ] {
        let report = after(&format!("UPDATE balance_transfers SET {meddling} WHERE entry_id = 4")).await;
        let violation = Violation::Transfer {
            entry_id: 4,
            detail: expected,
        };
        assert!(
            report.violations.contains(&violation),
            "{meddling}: {:?}",
            report.violations
        );
    }
}

#[tokio::test]
async fn an_account_that_makes_no_sense_is_found() {
    let none = "its owner or its asset is none";
    for (meddling, detail) in [
        ("UPDATE balance_accounts SET owner = 'somebody' WHERE id = 6", none),
        ("UPDATE balance_accounts SET asset = 'XXX' WHERE id = 6", none),
        (
            "UPDATE balance_accounts SET id = 8 WHERE id = 6",
            "its number is not the next one",
        ),
        ("DELETE FROM balance_wallets", "its user has no wallet"),
    ] {
        let report = after(meddling).await;
        let found = |violation: &Violation| matches!(violation, Violation::Account { id: 6 | 8, detail: said } if *said == detail);
        assert!(
            report.violations.iter().any(found),
            "{meddling}: {:?}",
            report.violations
        );
    }
}

#[tokio::test]
async fn neighbours_that_disagree_with_the_transfers_are_found() {
    let report = after("UPDATE balance_refusals SET origin_id = 1").await;
    assert_eq!(report.violations, [Violation::RefusedHoldBooked { origin: order(1) }]);
    let report = after("UPDATE balance_adjustments SET id = 2").await;
    let stray = Violation::Transfer {
        entry_id: 5,
        detail: "it belongs to an adjustment that is not there",
    };
    assert_eq!(report.violations, [Violation::EmptyAdjustment { id: 2 }, stray]);
}

#[tokio::test]
async fn a_report_is_bounded_and_says_so() {
    let report = after(
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 1509)
         INSERT INTO balance_adjustments (id, user_id, wallet_after, adjusted_at) SELECT i, 2, '', 0 FROM n",
    )
    .await;
    assert_eq!((report.violations.len(), report.unlisted), (MAX_VIOLATIONS, 500));
    assert!(!report.is_sound());
    assert_eq!(report.violations[0].to_string(), "adjustment 10 has no transfers");
}

#[tokio::test]
async fn the_database_itself_refuses_the_worst() {
    let given = a_day().await;
    let connection = Connection::open(&given.path).unwrap();
    for (meddling, answer) in [
        ("UPDATE balance_transfers SET reason = ''".to_owned(), "never changes"),
        ("DELETE FROM balance_transfers".to_owned(), "never deleted"),
        ("DELETE FROM balance_accounts".to_owned(), "never deleted"),
        ("DELETE FROM balance_refusals".to_owned(), "final"),
        (
            format!("UPDATE balance_accounts SET balance = {} WHERE id = 6", blob(-1)),
            "CHECK",
        ),
        (
            format!("UPDATE balance_accounts SET balance = {} WHERE id = 2", blob(-1)),
            "CHECK",
        ),
        (
            "UPDATE balance_accounts SET balance = x'80' WHERE id = 5".to_owned(),
            "CHECK",
        ),
    ] {
        let error = connection.execute_batch(&meddling).unwrap_err().to_string();
        assert!(error.contains(answer), "{meddling}: {error}");
    }
    assert!(given.ledger.check_books().await.unwrap().is_sound());
}

#[tokio::test]
async fn an_auditor_reads_transfers_by_what_they_belong_to_on_one_snapshot() {
    let given = a_day().await;
    let connection = storage::sqlite::reader(&given.path).unwrap();
    let snapshot = connection.unchecked_transaction().unwrap();
    assert!(check_books(&snapshot).unwrap().is_sound());
    // Whatever is booked meanwhile, the auditor sees the books as they were.
    given
        .ledger
        .post(at(9), vec![hold(3, 2, usd("1")), pay_in(2, 2, eth("1"))])
        .await
        .unwrap();
    let orders = transfers_of_orders(&snapshot, 1, i64::MAX).unwrap();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].transfer, hold(1, 2, usd("30")).transfers[0]);
    assert_eq!((orders[0].entry_id, orders[0].posted_at), (4, at(2)));
    assert_eq!(
        (orders[0].debit_balance_after, orders[0].credit_balance_after),
        (usd("570"), usd("1030"))
    );
    assert_eq!(transfers_of_deposits(&snapshot, 1, 9).unwrap().len(), 1);
    assert_eq!(
        transfers_of_adjustments(&snapshot, 1, 1).unwrap()[0].transfer.reason,
        "goodwill"
    );
    let legs: Vec<_> = funding(&snapshot)
        .unwrap()
        .iter()
        .map(|posted| posted.transfer.id.leg)
        .collect();
    assert_eq!(legs, [Leg::FundFiat, Leg::FundCrypto]);
    assert_eq!(check_books(&snapshot).unwrap().transfers, 5);
    snapshot.finish().unwrap();
    assert_eq!(check_books(&connection).unwrap().transfers, 7);
    assert_eq!(transfers_of_orders(&connection, 2, 3).unwrap().len(), 1);
    assert_eq!(transfers_of_orders(&connection, 4, 9).unwrap(), []);
    assert_eq!(
        balances_of(&connection, &Owner::Treasury).unwrap(),
        [btc("-1000"), usd("-1005")]
    );
}
