//! Many at once for one balance: it never goes below zero, and exactly as many succeed as fit.

use std::sync::Arc;

use balance::domain::{Adjusted, Adjustment, RequestKey};
use balance::ports::LedgerStore;
use contracts::Asset;
use contracts::ledger::PostingOutcome;
use tokio::task::JoinSet;

use crate::given::{POSTED, REPLAYED, at, btc, hold, insufficient, pay_in, usd, user, wallet_of};

macro_rules! races {
    ($($test:ident;)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                let given = crate::given::fresh_books();
                super::$test(&given.ledger).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                let given = crate::given::postgres::fresh_books().await;
                super::$test(&given.ledger).await;
            })*
        }
    };
}

races! {
    of_a_thousand_racing_holds_exactly_those_that_fit_succeed;
    of_many_copies_sent_at_once_one_is_booked;
    of_many_corrections_with_one_key_one_is_booked;
}

async fn rich(ledger: &dyn LedgerStore, money: &str) {
    ledger.open_wallet(at(0), user(2)).await.unwrap();
    assert_eq!(
        ledger.post(at(0), vec![pay_in(1, 2, usd(money))]).await.unwrap(),
        [POSTED]
    );
}

/// Posts the hold of every order, all at once; the outcomes by order.
async fn race(
    ledger: &Arc<dyn LedgerStore>,
    orders: impl Iterator<Item = i64>,
    each: &'static str,
) -> Vec<(i64, PostingOutcome)> {
    let mut racers = JoinSet::new();
    for number in orders {
        let ledger = Arc::clone(ledger);
        racers.spawn(async move {
            let outcomes = ledger.post(at(1), vec![hold(number, 2, usd(each))]).await.unwrap();
            (number, outcomes.into_iter().next().unwrap())
        });
    }
    let mut outcomes = racers.join_all().await;
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes
}

async fn of_a_thousand_racing_holds_exactly_those_that_fit_succeed(ledger: &Arc<dyn LedgerStore>) {
    rich(&**ledger, "100").await;
    let outcomes = race(ledger, 1..=1_000, "0.3").await;
    let posted: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome == POSTED).collect();
    assert_eq!(posted.len(), 333);
    let too_little = insufficient(wallet_of(2), Asset::USD);
    assert_eq!(
        outcomes.iter().filter(|(_, outcome)| *outcome == too_little).count(),
        667
    );
    let wallet = ledger.wallet(user(2)).await.unwrap().unwrap();
    assert_eq!(wallet.balances, [btc("0"), usd("0.1")]);
    let report = ledger.check_books().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.violations);
    assert_eq!(report.transfers, 334);
    // Money arrives, and everybody asks again: nobody's answer changes.
    ledger.post(at(2), vec![pay_in(2, 2, usd("1000"))]).await.unwrap();
    for ((number, first), (_, second)) in outcomes.iter().zip(race(ledger, 1..=1_000, "0.3").await) {
        let expected = if *first == POSTED { REPLAYED } else { first.clone() };
        assert_eq!(second, expected, "order {number}");
    }
    assert_eq!(ledger.check_books().await.unwrap().transfers, 335);
}

async fn of_many_copies_sent_at_once_one_is_booked(ledger: &Arc<dyn LedgerStore>) {
    rich(&**ledger, "100").await;
    let outcomes = race(ledger, std::iter::repeat_n(7, 200), "1").await;
    assert_eq!(outcomes.iter().filter(|(_, outcome)| *outcome == POSTED).count(), 1);
    assert_eq!(outcomes.iter().filter(|(_, outcome)| *outcome == REPLAYED).count(), 199);
    let wallet = ledger.wallet(user(2)).await.unwrap().unwrap();
    assert_eq!(wallet.balances, [btc("0"), usd("99")]);
}

async fn of_many_corrections_with_one_key_one_is_booked(ledger: &Arc<dyn LedgerStore>) {
    rich(&**ledger, "100").await;
    let mut racers = JoinSet::new();
    for _ in 0..100 {
        let ledger = Arc::clone(ledger);
        racers.spawn(async move {
            let adjustment = Adjustment {
                user: user(2),
                fiat: Some(usd("-60")),
                crypto: None,
                reason: "fee for a lost card".to_owned(),
                actor: "operator:ann".to_owned(),
                request: Some(RequestKey {
                    key: "k".to_owned(),
                    fingerprint: [1; 32],
                }),
            };
            ledger.adjust(at(1), adjustment).await.unwrap()
        });
    }
    let answers = racers.join_all().await;
    let fresh = answers.iter().filter(|answer| {
        matches!(
            answer,
            Adjusted::Booked {
                id: 1,
                replayed: false,
                ..
            }
        )
    });
    assert_eq!(fresh.count(), 1);
    let again = answers.iter().filter(|answer| {
        matches!(
            answer,
            Adjusted::Booked {
                id: 1,
                replayed: true,
                ..
            }
        )
    });
    assert_eq!(again.count(), 99);
    let wallet = ledger.wallet(user(2)).await.unwrap().unwrap();
    assert_eq!(wallet.balances, [btc("0"), usd("40")]);
}
