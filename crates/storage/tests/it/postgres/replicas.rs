//! Several processes work on one database: nothing is done by two of them, and none of them waits for ever.

use std::collections::BTreeSet;

use contracts::ServiceName;
use contracts::messages::Queue;
use storage::commands::{CommandStore as _, Fencing, Settlement};
use storage::outbox::{Destination, OutboxStore as _};
use storage::{StoreError, in_transaction};
use tokio::sync::oneshot;

use super::{Given, a_fresh_store, a_replica, impatient};
use crate::given::{command, key, noon, noon_plus, success};

const TO_WALLET: Destination = Destination::Service(ServiceName::Wallet);

async fn with_commands(orders: impl Iterator<Item = i64>) -> Given {
    let given = a_fresh_store().await;
    let commands = orders.map(|order| command(order, "buy")).collect();
    given.commands.accept(noon(), commands, false).await.unwrap();
    given
}

#[tokio::test]
async fn two_replicas_claim_disjoint_sets_of_commands_and_of_effects() {
    let one = with_commands(1..=100).await;
    one.put_all((0..100).map(|n| (noon(), TO_WALLET, n.to_string()))).await;
    let two = one.beside().await;
    let claim = async |given: &Given| {
        let (mut commands, mut effects) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let due = given.commands.claim_due(noon_plus(9), 10).await.unwrap();
            commands.extend(due.into_iter().map(|claimed| claimed.key));
            let lease = std::time::Duration::from_secs(60);
            let due = given
                .outbox
                .claim_due(noon_plus(9), TO_WALLET, 10, lease)
                .await
                .unwrap();
            effects.extend(due.into_iter().map(|row| row.id));
        }
        (commands, effects)
    };
    let (first, second) = futures::join!(claim(&one), claim(&two));
    let commands: Vec<_> = first.0.into_iter().chain(second.0).collect();
    assert_eq!(commands.len(), 100);
    assert_eq!(commands.into_iter().collect::<BTreeSet<_>>().len(), 100, "none twice");
    let effects: Vec<_> = first.1.into_iter().chain(second.1).collect();
    assert_eq!(effects.len(), 100);
    assert_eq!(effects.into_iter().collect::<BTreeSet<_>>().len(), 100, "none twice");
}

#[tokio::test]
async fn a_wake_up_that_reaches_two_replicas_is_claimed_by_one() {
    let one = with_commands(1..=50).await;
    let two = one.beside().await;
    let keys: Vec<_> = (1..=50).map(key).collect();
    let backwards: Vec<_> = keys.iter().rev().copied().collect();
    let (first, second) = futures::join!(
        one.commands.claim(noon(), keys.clone()),
        two.commands.claim(noon(), backwards)
    );
    let claimed: Vec<_> = [first.unwrap(), second.unwrap()].concat();
    assert_eq!(claimed.len(), 50);
    assert!(claimed.iter().all(|claimed| claimed.epoch == 1));
}

#[tokio::test]
async fn a_replica_whose_lease_ran_out_writes_nothing_after_another_took_over() {
    let mut current = with_commands(1..=1).await;
    let zombie = current.beside().await;
    let claimed = zombie.commands.claim(noon(), vec![key(1)]).await.unwrap().remove(0);
    let again = current.commands.claim_due(noon_plus(30), 1).await.unwrap().remove(0);
    while current.rows.try_recv().is_ok() {}
    let before = current.texts("SELECT c::text FROM {}commands AS c").await;
    let waiting = current.outbox.backlog().await;
    let finished = || Settlement::Finished {
        result: success(),
        progress: Some("of a zombie".to_owned()),
    };
    let late = vec![(key(1), claimed.epoch, finished())];
    assert_eq!(
        zombie.commands.settle(noon_plus(31), late).await,
        Ok(vec![Fencing::Fenced])
    );
    let late = "of a zombie".to_owned();
    assert_eq!(
        zombie
            .commands
            .checkpoint(noon_plus(31), key(1), claimed.epoch, late)
            .await,
        Ok(Fencing::Fenced)
    );
    assert_eq!(current.texts("SELECT c::text FROM {}commands AS c").await, before);
    assert_eq!(current.outbox.backlog().await, waiting);
    let settled = vec![(key(1), again.epoch, finished())];
    assert_eq!(
        current.commands.settle(noon_plus(32), settled).await,
        Ok(vec![Fencing::Written])
    );
}

#[tokio::test]
async fn a_process_that_stands_still_in_a_transaction_holds_nobody_up_for_long() {
    let given = with_commands(1..=1).await;
    let stopped = a_replica(&given.url, Some(Queue::SagaSteps), impatient()).await;
    let (locked, is_locked) = oneshot::channel();
    let (go_on, continued) = oneshot::channel();
    let stands_still = tokio::spawn(async move {
        let (mut locked, mut continued) = (Some(locked), Some(continued));
        let mut tries = 0;
        let mut work = async |tx: &mut storage::postgres::Tx, tries: &mut i32| {
            *tries += 1;
            let sql = "UPDATE exchanger.commands SET progress = 'of a zombie' RETURNING order_id";
            if let (Some(locked), Some(continued)) = (locked.take(), continued.take()) {
                tx.query(sql, &[]).await?;
                locked.send(()).unwrap();
                // As SIGSTOP would, until SIGCONT.
                let _ = continued.await;
                tx.query(sql, &[]).await?;
            }
            Ok::<_, storage::postgres::TxError>(())
        };
        let ended: Result<(), StoreError> = in_transaction!(stopped.database, tx => work(&mut tx, &mut tries));
        (ended, tries)
    });
    is_locked.await.unwrap();
    // Waits for the lock until the server has thrown the other out.
    let claimed = given.commands.claim(noon(), vec![key(1)]).await.unwrap();
    assert_eq!(claimed[0].progress, "attempt 1");
    go_on.send(()).unwrap();
    let (ended, tries) = stands_still.await.unwrap();
    assert_eq!(
        (ended, tries),
        (Ok(()), 2),
        "its first try had no effect, and it was told so"
    );
    assert_eq!(
        given.commands.record(key(1)).await.unwrap().unwrap().progress,
        "attempt 1"
    );
}

#[tokio::test]
async fn bringing_forward_waits_for_nobody_who_is_at_work() {
    let given = with_commands(1..=3).await;
    given.commands.claim(noon(), vec![key(1), key(2)]).await.unwrap();
    let starts = a_replica(&given.url, Some(Queue::SagaSteps), impatient()).await;
    let mut at_work = given.database.tries().begin().await.unwrap();
    let lock = "SELECT 1 FROM exchanger.commands FOR UPDATE";
    assert_eq!(at_work.query(lock, &[]).await.unwrap().len(), 3);
    assert_eq!(starts.commands.bring_forward(noon()).await, Ok(0), "nothing is late");
    at_work.roll_back().await;
}

#[tokio::test]
async fn a_long_backlog_is_brought_forward_to_its_end() {
    let given = with_commands(1..=2_500).await;
    for table in ["commands", "outbox"] {
        given
            .execute(&format!(
                "UPDATE {{}}{table} SET next_attempt_at = next_attempt_at + 3600000000"
            ))
            .await;
    }
    let wake_ups = Destination::Queue(Queue::ExchangeOrders);
    for late in [2_500, 0] {
        assert_eq!(given.commands.bring_forward(noon()).await, Ok(late));
        assert_eq!(given.outbox.bring_forward(noon(), wake_ups).await, Ok(late));
    }
}
