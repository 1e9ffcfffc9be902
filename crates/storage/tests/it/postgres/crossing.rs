//! Callers whose batches overlap, in every order: each waits for the others, and none for ever.

use std::time::Duration;

use contracts::messages::{FailureCode, Queue};
use contracts::operators::{DeadLetters as _, Instruction};
use contracts::random::{Entropy as _, SeededEntropy};
use storage::commands::{Amendment, CommandStore as _, Intervention, Settlement};
use storage::outbox::{Destination, OutboxStore as _, Settlement as Delivery};
use storage::postgres::Options;

use super::{Given, a_fresh_store, a_replica, administer};
use crate::given::{command, key, noon_plus};

const CALLERS: u64 = 8;
const ROUNDS: u64 = 30;
const ORDERS: u64 = 12;

/// Numbers from 1 to [`ORDERS`], some of them, in any order.
fn some(dice: &SeededEntropy) -> Vec<i64> {
    let count = 2 + dice.next_u64() % ORDERS;
    (0..count)
        .map(|_| i64::try_from(1 + dice.next_u64() % ORDERS).unwrap())
        .collect()
}

async fn call(given: &Given, dice: &SeededEntropy, round: u64) {
    let now = noon_plus(round * 40);
    let keys = || some(dice).into_iter().map(key).collect::<Vec<_>>();
    let commands = some(dice).into_iter().map(|order| command(order, "buy")).collect();
    given.commands.accept(now, commands, false).await.unwrap();
    let mut claimed = given.commands.claim(now, keys()).await.unwrap();
    claimed.extend(given.commands.claim_due(now, 3).await.unwrap());
    // In another order than they were claimed in, and some that are others'.
    let mut settlements: Vec<_> = keys().into_iter().map(|key| (key, 1, postponed(round))).collect();
    settlements.extend(claimed.into_iter().rev().map(|claimed| {
        let dead = dice.next_u64().is_multiple_of(3);
        let settlement = if dead { dies() } else { postponed(round) };
        (claimed.key, claimed.epoch, settlement)
    }));
    given.commands.settle(now, settlements).await.unwrap();
    let buried = command(some(dice)[0], "buy");
    given
        .commands
        .entomb(now, buried, FailureCode::Cancelled, |_| true)
        .await
        .unwrap();
    given.commands.bring_forward(now).await.unwrap();

    let by_ann = || Instruction {
        operator: "operator:ann".to_owned(),
        reason: "in a hurry".to_owned(),
    };
    for letter in given.letters().list(None, 3).await.unwrap() {
        given.letters().replay(now, letter.id, by_ann()).await.unwrap();
    }
    let reopened = Intervention {
        key: key(some(dice)[0]),
        verb: "retry",
        once: None,
        instruction: by_ann(),
        decide: Box::new(|standing| Amendment::Reopen {
            progress: standing.record.progress.clone(),
        }),
    };
    given.commands.intervene(now, reopened).await.unwrap();

    let wake_ups = Destination::Queue(Queue::ExchangeOrders);
    let rows = given.outbox.claim_due(now, wake_ups, 20, Duration::ZERO).await.unwrap();
    let fates = rows.into_iter().rev().map(|row| match dice.next_u64() % 3 {
        0 => (row.id, Delivery::Retry { at: now }),
        1 => (row.id, Delivery::Dead { error: "no".to_owned() }),
        _ => (row.id, Delivery::Delivered),
    });
    given.outbox.settle(now, fates.collect()).await.unwrap();
    given.outbox.bring_forward(now, wake_ups).await.unwrap();
}

fn postponed(round: u64) -> Settlement {
    Settlement::Postponed {
        until: noon_plus(round * 40 + 5),
        reason: "as arranged".to_owned(),
        answer_missing: false,
        progress: None,
    }
}

fn dies() -> Settlement {
    Settlement::Dead {
        error: "as arranged".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_callers_whose_batches_overlap_never_block_each_other_for_good() {
    let given = a_fresh_store().await;
    // With nobody to look for deadlocks, one lasts until its statements have taken too long, and is an error to its callers.
    let name = given.texts("SELECT current_database()::text").await.remove(0);
    let never = format!("ALTER DATABASE {name} SET deadlock_timeout = '1h'");
    administer(&given.url, &[never]).await;
    let options = Options {
        connections: 2,
        statement: Duration::from_secs(8),
        ..Options::default()
    };
    let callers = (0..CALLERS).map(|caller| {
        let url = given.url.clone();
        tokio::spawn(async move {
            let replica = a_replica(&url, Some(Queue::SagaSteps), options).await;
            let dice = SeededEntropy::new(caller);
            for round in 0..ROUNDS {
                call(&replica, &dice, round).await;
            }
        })
    });
    for ended in futures::future::join_all(callers).await {
        ended.unwrap();
    }
    let timeout = given.texts("SELECT count(*)::text FROM {}commands").await;
    assert_eq!(timeout, [ORDERS.to_string()]);
}
