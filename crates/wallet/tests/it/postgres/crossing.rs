//! Callers whose batches overlap, in every order: each waits for the others, and none for ever. The server looks for
//! deadlocks so seldom that one would not be helped out of.

use contracts::OrderId;
use contracts::random::{Entropy as _, SeededEntropy};
use futures::future::join_all;
use wallet::domain::{Fact, replay};
use wallet::ports::{NewDeposit, NewOrder, Placement};

use super::{Given, connect, given, replica};
use crate::conformance::{Replica, after, key, new_order, start};
use crate::samples::*;

const CALLERS: u64 = 6;
const ROUNDS: u64 = 25;
const USERS: u64 = 6;

/// Up to eight numbers of things of which there are a few.
fn some(dice: &SeededEntropy, of: u64) -> Vec<i64> {
    let count = 2 + dice.next_u64() % 7;
    (0..count)
        .map(|_| i64::try_from(1 + dice.next_u64() % of).unwrap())
        .collect()
}

async fn call(replica: &Replica, dice: &SeededEntropy, round: u64) {
    let orders = some(dice, USERS).into_iter().map(|user| NewOrder {
        client_reference: Some(format!("r{}", some(dice, 4)[0])),
        idempotency: key(&format!("k{}", some(dice, 4)[0]), 1),
        ..new_order(user + 1)
    });
    let orders: Vec<_> = orders.collect();
    replica
        .orders
        .create_orders(start(), after(3), orders, Box::new(|_| {}))
        .await
        .unwrap();
    let facts = [Fact::Held, exchange_failed(), Fact::Released, Fact::HoldRefused];
    let events = some(dice, 12).into_iter().map(|id| {
        let fact = &facts[usize::try_from(dice.next_u64() % 4).unwrap()];
        (order_id(id), event(fact.clone()))
    });
    let events: Vec<_> = events.collect();
    replica.orders.advance(after(1), after(4), events).await.unwrap();

    let deposits = some(dice, USERS).into_iter().map(|user_id| NewDeposit {
        user_id: user(user_id + 1),
        amount: usd("1"),
        reference: format!("r{}", some(dice, 4)[0]),
        idempotency: key(&format!("k{}", some(dice, 4)[0]), 1),
        instruction: None,
    });
    let placed = replica
        .deposits
        .create_deposits(start(), after(3), deposits.collect(), Box::new(|_| {}))
        .await
        .unwrap();
    let mut booked: Vec<_> = placed
        .iter()
        .filter_map(|placed| match placed {
            Placement::Created(deposit) | Placement::Replayed(deposit) => Some(deposit.id),
            Placement::ReferenceTaken(id) => Some(*id),
            Placement::KeyReused | Placement::Frozen => None,
        })
        .collect();
    if round.is_multiple_of(2) {
        booked.reverse();
    }
    replica.deposits.book_deposits(after(2), booked).await.unwrap();

    let now = after(3 + round);
    replica.orders.claim_due(now, 5, vec![]).await.unwrap();
    replica.deposits.claim_due(now, 5, vec![]).await.unwrap();
    replica.orders.make_due(now).await.unwrap();
    replica.deposits.make_due(now).await.unwrap();
    let seen = replica.keys.running_time().await.unwrap();
    // Whoever finds the gate taken for too long counts the next time.
    let _ = replica
        .keys
        .count_running_time(seen, std::time::Duration::from_secs(1))
        .await;
    replica.keys.forget_keys(seen, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_whose_batches_cross_all_come_to_their_end() {
    let given: Given = given().await;
    let owner = given.owner().await;
    let never = format!("ALTER DATABASE {} SET deadlock_timeout = '1h'", given.home.name());
    owner.batch_execute(&never).await.unwrap();
    let mut callers = Vec::new();
    for number in 0..CALLERS {
        let replica = replica(connect(&given.home.url()).await);
        callers.push(tokio::spawn(async move {
            let dice = SeededEntropy::new(number);
            for round in 0..ROUNDS {
                call(&replica, &dice, round).await;
            }
        }));
    }
    for ended in join_all(callers).await {
        ended.unwrap();
    }
    let mut seen = 0;
    for id in 1..=1_000 {
        let Some(record) = given.one.orders.saga(OrderId::try_new(id).unwrap()).await.unwrap() else {
            continue;
        };
        seen += 1;
        assert_eq!(record.order.revision, i64::try_from(record.log.len()).unwrap());
        assert_eq!(replay(&record.log), Ok(record.order.saga));
    }
    assert!(seen > 0);
}
