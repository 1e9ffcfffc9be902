//! The connection breaks, and callers wait together: everybody hears how it ended, and asking again books nothing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::Entropy as _;
use contracts::ledger::PostingOutcome;
use contracts::random::SeededEntropy;
use storage::StoreError;
use tokio::task::JoinSet;

use crate::given::postgres::{Given, fresh_books, wait_for_waiters};
use crate::given::{POSTED, REPLAYED, at, btc, hold, pay_in, usd, user};

/// Books in which user 2 has this much.
async fn with_money(money: &str) -> Given {
    let given = fresh_books().await;
    given.ledger.open_wallet(at(0), user(2)).await.unwrap();
    let paid = given.ledger.post(at(0), vec![pay_in(1, 2, usd(money))]).await;
    assert_eq!(paid.unwrap(), [POSTED]);
    given
}

/// Holds of orders 1 to `count`, all brought while the first of them waits for a lock.
async fn bring_together(given: &Given, count: i64) -> Vec<Result<Vec<PostingOutcome>, StoreError>> {
    let (mut owner, watcher) = (given.owner().await, given.owner().await);
    let locked = owner.transaction().await.unwrap();
    locked
        .execute("SELECT 1 FROM balance.accounts WHERE owner = 'user:2' FOR UPDATE", &[])
        .await
        .unwrap();
    let mut callers = JoinSet::new();
    for number in 1..=count {
        let ledger = Arc::clone(&given.ledger);
        callers.spawn(async move { ledger.post(at(1), vec![hold(number, 2, usd("1"))]).await });
        // From the second on they find somebody at work: a runtime of one thread runs them before this returns.
        wait_for_waiters(&watcher, 1).await;
    }
    locked.rollback().await.unwrap();
    callers.join_all().await
}

#[tokio::test]
async fn callers_who_wait_are_booked_in_one_transaction() {
    let given = with_money("100").await;
    let answers = bring_together(&given, 50).await;
    assert!(answers.into_iter().all(|answer| answer == Ok(vec![POSTED])));
    let transactions = given.owner().await;
    let sql = "SELECT count(DISTINCT xmin::text) FROM balance.transfers WHERE origin_kind = 'order'";
    let transactions = transactions.query_one(sql, &[]).await.unwrap();
    assert_eq!(transactions.get::<_, i64>(0), 2, "the first, and all others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_posting_whose_connections_are_killed_at_any_moment_is_booked_once() {
    let given = with_money("100").await;
    let done = Arc::new(AtomicBool::new(false));
    let killer = given.owner().await;
    let killing = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let entropy = SeededEntropy::new(11);
            let mut killed = 0;
            while !done.load(Ordering::Relaxed) {
                // A moment of some round trips, never the same.
                for _ in 0..entropy.next_u64() % 40 {
                    killer.query("SELECT 1", &[]).await.unwrap();
                }
                let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND usename = current_user AND query LIKE '%balance.%'
                     AND pid <> pg_backend_pid()";
                killed += killer.query(sql, &[]).await.unwrap().len();
            }
            killed
        }
    });
    let mut asked_again = 0;
    for number in 1..=100 {
        loop {
            match given.ledger.post(at(1), vec![hold(number, 2, usd("1"))]).await {
                Ok(outcomes) => {
                    assert!(outcomes == [POSTED] || outcomes == [REPLAYED], "{outcomes:?}");
                    break;
                }
                Err(_) => asked_again += 1,
            }
            assert!(asked_again < 10_000, "nothing gets through");
        }
    }
    done.store(true, Ordering::Relaxed);
    assert!(killing.await.unwrap() > 0, "nobody was killed");
    let wallet = given.ledger.wallet(user(2)).await.unwrap().unwrap();
    assert_eq!(wallet.balances, [btc("0"), usd("0")]);
    let report = given.ledger.check_books().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.violations);
    assert_eq!(report.transfers, 101);
}
