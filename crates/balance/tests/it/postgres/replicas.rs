//! Two replicas book at once: each posting is booked once, nothing is lost, and no caller hears of the other replica.

use std::sync::Arc;

use balance::domain::{Adjusted, Capital, Funding};
use balance::ports::LedgerStore;
use contracts::ledger::{Leg, Owner, Posting, PostingOutcome};
use contracts::{Amount, Asset, UserId};
use tokio::task::JoinSet;

use crate::given::postgres::{Given, fresh_books, wait_for_waiters};
use crate::given::{
    POSTED, REPLAYED, at, btc, conflict, hold, insufficient, order, pay_in, transfer, usd, user, wallet_of,
};

/// Books in which users 2 to 5 have a wallet.
async fn with_wallets() -> Given {
    let given = fresh_books().await;
    for number in 2..=5 {
        given.ledger.open_wallet(at(0), user(number)).await.unwrap();
    }
    given
}

async fn sound(ledger: &dyn LedgerStore, transfers: u64) {
    let report = ledger.check_books().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.violations);
    assert_eq!(report.transfers, transfers);
}

fn post(ledger: &Arc<dyn LedgerStore>, postings: Vec<Posting>) -> impl Future<Output = Vec<PostingOutcome>> + use<> {
    let ledger = Arc::clone(ledger);
    async move { ledger.post(at(1), postings).await.unwrap() }
}

/// One of two copies was booked, the other found it.
fn booked_once(pair: (&PostingOutcome, &PostingOutcome)) {
    assert!([(&POSTED, &REPLAYED), (&REPLAYED, &POSTED)].contains(&pair), "{pair:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_batches_in_both_orders_are_booked_once_and_nobody_hears_of_a_deadlock() {
    let given = with_wallets().await;
    let (one, two) = (Arc::clone(&given.ledger), given.beside().await);
    // Both meet accounts that nobody has opened yet, and later those that exist.
    for round in 0..200 {
        let number = |user: i64| round * 10 + user;
        let there = (2..=5).flat_map(|user| {
            let amount = Amount::new(i128::from(user), if user % 2 == 0 { Asset::USD } else { Asset::BTC });
            [pay_in(number(user), user, amount), hold(number(user), user, amount)]
        });
        let there: Vec<_> = there.collect();
        // A hold must not come before its money: each pair stays, the order of the users turns.
        let back: Vec<_> = there.chunks(2).rev().flatten().cloned().collect();
        let (first, second) = tokio::join!(post(&one, there), post(&two, back));
        let second: Vec<_> = second.chunks(2).rev().flatten().cloned().collect();
        first.iter().zip(&second).for_each(booked_once);
    }
    sound(&*two, 200 * 8).await;
    let hot = one.wallet(UserId::HOT_WALLET).await.unwrap().unwrap();
    let (usd, btc) = (200 * (2 + 4), 200 * (3 + 5));
    assert_eq!(
        hot.balances,
        [Amount::new(btc, Asset::BTC), Amount::new(usd, Asset::USD)]
    );
    let lines = two.statement(UserId::HOT_WALLET, None, 100).await.unwrap().unwrap();
    assert!(lines.is_sorted_by(|newer, older| newer.entry_id > older.entry_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_races_itself_on_two_replicas_is_booked_once() {
    let given = with_wallets().await;
    let (one, two) = (Arc::clone(&given.ledger), given.beside().await);
    assert_eq!(post(&one, vec![pay_in(1, 2, usd("100"))]).await, [POSTED]);
    for number in 1..=100 {
        let hold = || vec![hold(number, 2, usd("1"))];
        let (first, second) = tokio::join!(post(&one, hold()), post(&two, hold()));
        booked_once((&first[0], &second[0]));
    }
    assert_eq!(
        one.wallet(user(2)).await.unwrap().unwrap().balances,
        [btc("0"), usd("0")]
    );
    sound(&*one, 101).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_looked_up_when_the_accounts_are_locked() {
    let given = with_wallets().await;
    let (one, two) = (Arc::clone(&given.ledger), given.beside().await);
    assert_eq!(post(&one, vec![pay_in(1, 2, usd("100"))]).await, [POSTED]);
    let mut owner = given.owner().await;
    let watcher = given.owner().await;
    let locked = owner.transaction().await.unwrap();
    locked
        .execute("SELECT 1 FROM balance.accounts WHERE owner = 'user:2' FOR UPDATE", &[])
        .await
        .unwrap();
    let racing = [
        tokio::spawn(post(&one, vec![pay_in(2, 2, usd("1"))])),
        tokio::spawn(post(&two, vec![pay_in(2, 2, usd("1"))])),
    ];
    wait_for_waiters(&watcher, 2).await;
    let before = watcher
        .query_one("SELECT last_value FROM balance.transfers_entry_id_seq", &[])
        .await
        .unwrap();
    locked.rollback().await.unwrap();
    let [first, second] = racing;
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    booked_once((&first[0], &second[0]));
    // Whoever came second has seen the first, and has not tried to write the same.
    let after = watcher
        .query_one("SELECT last_value FROM balance.transfers_entry_id_seq", &[])
        .await
        .unwrap();
    assert_eq!(after.get::<_, i64>(0), before.get::<_, i64>(0) + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_is_refused_on_one_replica_is_not_booked_on_the_other() {
    let given = with_wallets().await;
    let (one, two) = (Arc::clone(&given.ledger), given.beside().await);
    let money = Amount::new(1_000_000, Asset::EUR);
    assert_eq!(post(&one, vec![pay_in(1, 3, money)]).await, [POSTED]);
    let mut booked = 0;
    for number in 1..=200 {
        // The same name, and not one account in common: no row stands between the two.
        let poor = vec![hold(number, 2, usd("1"))];
        let one_cent = Amount::new(1, Asset::EUR);
        let rich = transfer(order(number), Leg::Hold, wallet_of(3), Owner::Treasury, one_cent);
        let (poor, rich) = tokio::join!(post(&one, poor), post(&two, vec![Posting::single(rich)]));
        let taken = conflict(order(number), Leg::Hold);
        let refused_first = poor == [insufficient(wallet_of(2), Asset::USD)] && rich[0] == taken;
        let booked_first = poor[0] == taken && rich == [POSTED];
        assert!(refused_first || booked_first, "{poor:?} {rich:?}");
        booked += u64::from(booked_first);
    }
    sound(&*one, 1 + booked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_with_two_contents_on_two_replicas_is_booked_with_one_of_them() {
    let given = with_wallets().await;
    let (one, two) = (Arc::clone(&given.ledger), given.beside().await);
    for number in 1..=100 {
        let dollars = vec![pay_in(number, 2, usd("1"))];
        let euros = transfer(
            crate::given::deposit(number),
            Leg::Deposit,
            Owner::Treasury,
            wallet_of(3),
            Amount::new(1, Asset::EUR),
        );
        let (first, second) = tokio::join!(post(&one, dollars), post(&two, vec![Posting::single(euros)]));
        let taken = conflict(crate::given::deposit(number), Leg::Deposit);
        let outcomes = [first, second].concat();
        assert!(outcomes.contains(&POSTED) && outcomes.contains(&taken), "{outcomes:?}");
    }
    sound(&*one, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capital_and_corrections_of_two_replicas_do_not_cross() {
    let given = with_wallets().await;
    let ledgers = [Arc::clone(&given.ledger), given.beside().await];
    let (fiat, crypto) = (usd("5"), btc("0"));
    let capital = [
        Capital { fiat, crypto },
        Capital {
            fiat: usd("0"),
            crypto: btc("1"),
        },
    ];
    let (first, second) = tokio::join!(ledgers[0].fund(at(1), capital[0]), ledgers[1].fund(at(1), capital[1]));
    let outcomes = [first.unwrap(), second.unwrap()];
    assert!(outcomes.contains(&Funding::Booked), "{outcomes:?}");
    let otherwise = |outcome: &Funding| matches!(outcome, Funding::BeforeOtherwise { .. });
    assert!(outcomes.iter().any(otherwise), "{outcomes:?}");
    let mut racers = JoinSet::new();
    for racer in 0..40 {
        let ledger = Arc::clone(&ledgers[racer % 2]);
        let adjustment = balance::domain::Adjustment {
            user: user(2),
            fiat: Some(usd("1")),
            crypto: None,
            reason: "goodwill".to_owned(),
            actor: "operator:ann".to_owned(),
            request: None,
        };
        racers.spawn(async move {
            match ledger.adjust(at(1), adjustment).await.unwrap() {
                Adjusted::Booked { id, wallet, .. } => (id, wallet.balances),
                other @ (Adjusted::KeyReused | Adjusted::Refused(_)) => panic!("{other:?}"),
            }
        });
    }
    let mut booked = racers.join_all().await;
    booked.sort_by_key(|(id, _)| *id);
    let expected: Vec<_> = (1..=40)
        .map(|id| (id, vec![btc("0"), Amount::new(i128::from(id) * 100, Asset::USD)]))
        .collect();
    assert_eq!(booked, expected);
    sound(&*ledgers[0], 41).await;
}
