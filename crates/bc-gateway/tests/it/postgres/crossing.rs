//! Replicas whose batches cross: whoever waits for somebody does not have what that one waits for.

use std::sync::Arc;

use bc_gateway::ports::Commitment;
use contracts::UserId;
use contracts::messages::Step;

use super::replicas::{claims, items, two};
use super::store::{NOW, Suite, party};
use crate::world::{btc, user};

const ROUNDS: i64 = 30;

/// Sends one coin at a time from one address to the other customers, three to a batch, from the first or the last of them on.
async fn keep_sending(suite: Arc<Suite>, from: UserId, base: i64, turned: bool) {
    let mut others: Vec<_> = (2..=5).map(user).filter(|user| *user != from).collect();
    if turned {
        others.reverse();
    }
    for round in 0..ROUNDS {
        let numbers = (0..3).map(|at| base + round * 3 + at);
        let claimed = claims(&suite, numbers, Step::Withdraw).await;
        let mut waiting = claimed.clone();
        while !waiting.is_empty() {
            let next = suite.store.next_nonce(&party(from).address).await.unwrap().unwrap_or(0);
            let batch = items(&waiting, |at| others[at % others.len()], next);
            let written = suite.commit(from, next, batch).await;
            let written = written.iter().filter(|outcome| **outcome == Commitment::Written);
            waiting.drain(..written.count());
        }
        for claimed in &claimed {
            suite.done(claimed).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossing_batches_sweeps_and_counts_do_not_wait_for_each_other_for_ever_and_no_coin_is_miscounted() {
    let both = two().await;
    for at in 2..=5 {
        both.one
            .withdrawn(at, u64::try_from(at).unwrap() - 2, user(at), 1_000)
            .await;
    }
    let count = |suite: Arc<Suite>| async move {
        for _ in 0..ROUNDS {
            suite.store.count_coins(NOW, 10).await.unwrap();
            suite.store.bring_forward(NOW).await.unwrap();
        }
    };
    let senders = [
        (&both.one, UserId::HOT_WALLET, false),
        (&both.two, UserId::HOT_WALLET, true),
        (&both.one, user(2), true),
        (&both.two, user(2), false),
        (&both.two, user(5), true),
        (&both.one, user(4), false),
    ];
    let mut at_work = tokio::task::JoinSet::new();
    for (base, (suite, from, turned)) in (1_000..).step_by(1_000).zip(senders) {
        at_work.spawn(keep_sending(Arc::clone(suite), from, base, turned));
    }
    at_work.spawn(count(Arc::clone(&both.one)));
    at_work.spawn(count(Arc::clone(&both.two)));
    at_work.join_all().await;
    let mut counted = both.one.store.count_coins(NOW, 10).await.unwrap();
    counted.sort_by_key(|counted| counted.user_id);
    let expected = both.two.audit.expected_coins().await;
    assert_eq!(counted.len(), 4);
    assert_eq!(expected[0].coins, btc(-4_000 - 2 * 3 * i128::from(ROUNDS)));
    for (counted, expected) in counted.iter().zip(&expected[1..]) {
        assert_eq!((counted.user_id, counted.coins), (expected.user_id, expected.coins));
        assert!(counted.settled && expected.arriving.is_zero() && expected.leaving.is_zero());
    }
    let next = both
        .one
        .store
        .next_nonce(&party(UserId::HOT_WALLET).address)
        .await
        .unwrap();
    assert_eq!(next, Some(4 + 2 * 3 * u64::try_from(ROUNDS).unwrap()));
}
