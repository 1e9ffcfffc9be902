//! Plans that were made while the tables were empty: they must do when these are full.

use contracts::messages::Queue;
use contracts::operators::Instruction;
use storage::commands::{Amendment, CommandStore as _, Intervention, Settlement};
use storage::outbox::{Destination, OutboxStore as _, Settlement as Delivery};
use storage::postgres::Options;
use test_servers::plans::that_read_everything;

use super::{Given, a_fresh_store, a_replica, administer};
use crate::given::{command, key, noon, noon_plus, success};

/// Enough for a statement to have a generic plan.
const ROUNDS: i64 = 8;
const FULL: [&str; 3] = [
    "INSERT INTO exchanger.commands
     (order_id, step, content, progress, state, epoch, next_attempt_at, created_at, updated_at)
     SELECT number, 'exchange', '', '', 'open', 1, number, 0, 0 FROM generate_series(1000, 5000) AS number",
    "INSERT INTO exchanger.outbox (destination, payload, next_attempt_at, created_at)
     SELECT 'service:wallet', '', number, 0 FROM generate_series(1, 5000) AS number",
    "INSERT INTO exchanger.dead_letters (source, payload, error, died_at)
     SELECT 'exchange_orders', '', '', 0 FROM generate_series(1, 5000)",
];

/// What the life of an order asks of commands and outbox.
async fn live(given: &Given, order: i64) {
    let now = noon_plus(order.unsigned_abs());
    let commands = vec![command(order, "buy"), command(order + 100, "sell")];
    given.commands.accept(now, commands, false).await.unwrap();
    let claimed = given.commands.claim(now, vec![key(order)]).await.unwrap();
    let epoch = claimed[0].epoch;
    given
        .commands
        .checkpoint(now, key(order), epoch, "attempt 2".to_owned())
        .await
        .unwrap();
    let finished = Settlement::Finished {
        result: success(),
        progress: None,
    };
    given
        .commands
        .settle(now, vec![(key(order), epoch, finished)])
        .await
        .unwrap();
    given.commands.record(key(order)).await.unwrap();
    given.commands.claim_due(noon(), 10).await.unwrap();
    let retry = Intervention {
        key: key(order + 100),
        verb: "retry",
        once: None,
        instruction: Instruction {
            operator: "operator:ann".to_owned(),
            reason: "in a hurry".to_owned(),
        },
        decide: Box::new(|standing| Amendment::Reopen {
            progress: standing.record.progress.clone(),
        }),
    };
    given.commands.intervene(now, retry).await.unwrap();

    let wake_ups = Destination::Queue(Queue::ExchangeOrders);
    let late = noon_plus(1_000);
    let rows = given
        .outbox
        .claim_due(late, wake_ups, 10, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert!(!rows.is_empty());
    let fates = [
        Delivery::Delivered,
        Delivery::Retry { at: now },
        Delivery::Dead { error: "no".to_owned() },
    ];
    let fates = rows.iter().zip(fates).map(|(row, fate)| (row.id, fate));
    given.outbox.settle(now, fates.collect()).await.unwrap();
}

#[tokio::test]
async fn what_was_planned_while_a_table_was_empty_does_not_read_all_of_it_when_it_is_full() {
    let home = a_fresh_store().await;
    let one_connection = Options {
        connections: 1,
        ..Options::default()
    };
    let given = a_replica(&home.url, Some(Queue::SagaSteps), one_connection).await;
    for order in 1..=ROUNDS {
        live(&given, order).await;
    }
    administer(&home.url, &FULL.map(str::to_owned)).await;
    let (seen, found) = that_read_everything("exchanger.", async |sql| given.texts(&sql).await).await;
    assert!(seen >= 15, "{seen}");
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
