//! The audit finds what somebody with the database's password has done to the books; nobody else can do it.

use balance::domain::{Adjustment, BooksReport, Capital, Violation};
use balance::store::postgres::audit::{
    balances_of, check_books, funding, transfers_of_adjustments, transfers_of_deposits, transfers_of_orders,
};
use contracts::Asset;
use contracts::ledger::{Leg, Owner};

use crate::given::postgres::{Given, fresh_books};
use crate::given::{POSTED, at, btc, eth, hold, insufficient, order, pay_in, usd, user, wallet_of};

/// Entries 1 to 4: two payments, a hold, a correction; and a refused hold.
async fn some_books() -> Given {
    let given = fresh_books().await;
    given.ledger.open_wallet(at(0), user(2)).await.unwrap();
    let batch = vec![
        pay_in(1, 2, usd("10")),
        pay_in(2, 2, usd("1")),
        hold(1, 2, usd("5")),
        hold(2, 2, usd("50")),
    ];
    let too_little = insufficient(wallet_of(2), Asset::USD);
    let outcomes = given.ledger.post(at(1), batch).await.unwrap();
    assert_eq!(outcomes, [POSTED, POSTED, POSTED, too_little]);
    let adjustment = Adjustment {
        user: user(2),
        fiat: Some(usd("1")),
        crypto: None,
        reason: "goodwill".to_owned(),
        actor: "operator:ann".to_owned(),
        request: None,
    };
    given.ledger.adjust(at(1), adjustment).await.unwrap();
    given
}

/// What the audit says of these books after a statement that nothing held back.
async fn report_after(tampering: &str) -> BooksReport {
    let given = some_books().await;
    let sound = given.ledger.check_books().await.unwrap();
    assert!(sound.is_sound(), "{:?}", sound.violations);
    assert_eq!((sound.accounts, sound.transfers), (4, 4));
    let owner = given.owner().await;
    let checks = "SELECT conrelid::regclass::text, conname::text FROM pg_constraint
         WHERE contype = 'c' AND connamespace = 'balance'::regnamespace";
    for check in owner.query(checks, &[]).await.unwrap() {
        let (table, name): (&str, &str) = (check.get(0), check.get(1));
        let drop = format!("ALTER TABLE {table} DROP CONSTRAINT {name}");
        owner.batch_execute(&drop).await.unwrap();
    }
    let unheld = format!("SET session_replication_role = replica; {tampering}");
    owner.batch_execute(&unheld).await.unwrap();
    given.ledger.check_books().await.unwrap()
}

async fn assert_finds(tampering: &str, expected: &[Violation]) {
    let report = report_after(tampering).await;
    for violation in expected {
        assert!(
            report.violations.contains(violation),
            "{tampering}: {violation:?} is not among {:?}",
            report.violations
        );
    }
    assert_eq!(report.violations.len(), expected.len(), "{:?}", report.violations);
}

fn account() -> String {
    "user:2 USD".to_owned()
}

fn flawed(entry_id: i64, detail: &'static str) -> Violation {
    Violation::Transfer { entry_id, detail }
}

#[tokio::test]
async fn a_changed_balance_is_found() {
    let (stored, booked) = (701, Some(700));
    let account = account();
    let asset = Asset::USD;
    assert_finds(
        "UPDATE balance.accounts SET balance = balance + 1 WHERE owner = 'user:2'",
        &[
            Violation::Balance {
                account,
                stored,
                booked,
            },
            Violation::Conservation { asset },
        ],
    )
    .await;
}

#[tokio::test]
async fn a_deleted_transfer_breaks_the_chains_of_both_sides() {
    let report = report_after("DELETE FROM balance.transfers WHERE entry_id = 1").await;
    let account = account();
    let chain = Violation::Chain { entry_id: 2, account };
    assert!(report.violations.contains(&chain), "{:?}", report.violations);
    let bank = Violation::Balance {
        account: "external:bank USD".to_owned(),
        stored: -1_100,
        booked: Some(-100),
    };
    assert!(report.violations.contains(&bank), "{:?}", report.violations);
}

#[tokio::test]
async fn whoever_was_below_zero_is_found_with_the_first_transfer_that_did_it() {
    let report = report_after(
        "UPDATE balance.transfers SET amount = 5000, debit_balance_after = -3900, credit_balance_after = 5000
         WHERE entry_id = 3",
    )
    .await;
    let account = account();
    let deficit = Violation::Insolvent { entry_id: 3, account };
    assert!(report.violations.contains(&deficit), "{:?}", report.violations);
}

#[tokio::test]
async fn a_transfer_that_could_not_have_been_booked_is_found() {
    for (tampering, expected) in [
        ("origin_kind = 'gift'", vec![flawed(2, "what it belongs to is nothing")]),
        ("leg = 99", vec![flawed(2, "its leg is none")]),
        (
            "origin_kind = 'adjustment', origin_id = 9",
            vec![flawed(2, "it belongs to an adjustment that is not there")],
        ),
    ] {
        let sql = format!("UPDATE balance.transfers SET {tampering} WHERE entry_id = 2");
        assert_finds(&sql, &expected).await;
    }
    for (tampering, detail) in [
        ("amount = 0", "its amount is not greater than zero"),
        ("credit_account = debit_account", "debit and credit are one account"),
        ("credit_account = 99", "one of its accounts is not there"),
    ] {
        let sql = format!("UPDATE balance.transfers SET {tampering} WHERE entry_id = 2");
        let report = report_after(&sql).await;
        assert!(
            report.violations.contains(&flawed(2, detail)),
            "{:?}",
            report.violations
        );
    }
}

#[tokio::test]
async fn accounts_refusals_and_corrections_must_agree_with_the_transfers() {
    let report = report_after("UPDATE balance.accounts SET owner = 'user:1' WHERE owner = 'user:2'").await;
    let nobody =
        |violation: &Violation| matches!(violation, Violation::Account { detail, .. } if detail.contains("owner"));
    assert!(report.violations.iter().any(nobody), "{:?}", report.violations);
    let report = report_after("DELETE FROM balance.wallets").await;
    let homeless =
        |violation: &Violation| matches!(violation, Violation::Account { detail, .. } if detail.contains("wallet"));
    assert!(report.violations.iter().any(homeless), "{:?}", report.violations);
    assert_finds(
        "UPDATE balance.refusals SET origin_id = 1",
        &[Violation::RefusedHoldBooked { origin: order(1) }],
    )
    .await;
    assert_finds(
        "INSERT INTO balance.adjustments (id, user_id, wallet_after, adjusted_at) VALUES (2, 2, '{}', 0)",
        &[Violation::EmptyAdjustment { id: 2 }],
    )
    .await;
}

#[tokio::test]
async fn what_is_booked_or_refused_stays_even_for_the_service() {
    let given = some_books().await;
    let owner = given.owner().await;
    owner
        .batch_execute("DO $$ BEGIN EXECUTE format('SET ROLE %I', current_database() || '_balance'); END $$")
        .await
        .unwrap();
    for (sql, why) in [
        ("UPDATE balance.transfers SET amount = 1", "for good"),
        ("DELETE FROM balance.transfers", "for good"),
        ("DELETE FROM balance.refusals", "for good"),
        ("UPDATE balance.adjustments SET id = 9", "for good"),
        ("DELETE FROM balance.accounts", "for good"),
        (
            "UPDATE balance.accounts SET balance = -1 WHERE owner = 'user:2'",
            "check",
        ),
        (
            "UPDATE balance.accounts SET balance = -1 WHERE owner = 'hot_wallet'",
            "check",
        ),
        ("TRUNCATE balance.transfers", "permission denied"),
    ] {
        let refused = owner.batch_execute(sql).await.unwrap_err();
        let said = refused.as_db_error().unwrap().message().to_owned();
        assert!(said.contains(why), "{sql}: {said}");
    }
}

#[tokio::test]
async fn an_auditor_reads_transfers_by_what_they_belong_to_on_one_snapshot() {
    let given = some_books().await;
    let capital = Capital {
        fiat: usd("1000"),
        crypto: btc("1000"),
    };
    given.ledger.fund(at(2), capital).await.unwrap();
    let mut snapshot = given.snapshot().await;
    assert!(check_books(&mut snapshot).await.unwrap().is_sound());
    // Whatever is booked meanwhile, the auditor sees the books as they were.
    let later = vec![hold(3, 2, usd("1")), pay_in(3, 2, eth("1"))];
    assert_eq!(given.ledger.post(at(9), later).await.unwrap(), [POSTED, POSTED]);
    let orders = transfers_of_orders(&mut snapshot, 1, i64::MAX).await.unwrap();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].transfer, hold(1, 2, usd("5")).transfers[0]);
    assert_eq!((orders[0].entry_id, orders[0].posted_at), (3, at(1)));
    assert_eq!(
        (orders[0].debit_balance_after, orders[0].credit_balance_after),
        (usd("6"), usd("5"))
    );
    let deposits = transfers_of_deposits(&mut snapshot, 1, 9).await.unwrap();
    let paid_in: Vec<_> = deposits.iter().map(|posted| posted.transfer.amount).collect();
    assert_eq!(paid_in, [usd("10"), usd("1")]);
    let adjustments = transfers_of_adjustments(&mut snapshot, 1, 1).await.unwrap();
    assert_eq!(adjustments[0].transfer.reason, "goodwill");
    let legs = funding(&mut snapshot).await.unwrap();
    let legs: Vec<_> = legs.iter().map(|posted| posted.transfer.id.leg).collect();
    assert_eq!(legs, [Leg::FundFiat, Leg::FundCrypto]);
    assert_eq!(check_books(&mut snapshot).await.unwrap().transfers, 6);
    let mut after = given.snapshot().await;
    assert_eq!(check_books(&mut after).await.unwrap().transfers, 8);
    assert_eq!(transfers_of_orders(&mut after, 2, 3).await.unwrap().len(), 1);
    assert_eq!(transfers_of_orders(&mut after, 4, 9).await.unwrap(), []);
    assert_eq!(
        balances_of(&mut after, &Owner::Treasury).await.unwrap(),
        [btc("-1000"), usd("-1001")]
    );
}
