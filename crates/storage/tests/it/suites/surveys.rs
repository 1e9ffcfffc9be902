//! What is told to whoever watches: how much waits, where, since when, and how much of it for a person.

use contracts::ServiceName;
use contracts::messages::Queue;
use storage::commands::{CommandStore as _, Settlement};
use storage::outbox::Destination;

use super::a_fresh_store;
use crate::given::{command, key, noon_plus};

const TO_WALLET: Destination = Destination::Service(ServiceName::Wallet);
const WAKE_UPS: Destination = Destination::Queue(Queue::ExchangeOrders);

#[tokio::test]
async fn nothing_waits_in_a_fresh_store() {
    let given = a_fresh_store().await;
    let (outbox, commands) = given.survey().await;
    assert_eq!(outbox.waiting, []);
    assert!(outbox.dead.iter().all(|(_, count)| *count == 0));
    assert_eq!((commands.open, commands.dead, commands.oldest), (0, 0, None));
    assert_eq!(given.under_way(TO_WALLET).await, (0, 0));
}

#[tokio::test]
async fn what_waits_is_counted_by_where_it_goes_and_what_is_dead_by_where_it_died() {
    let given = a_fresh_store().await;
    for order in 1..=3 {
        let commands = vec![command(order, "buy")];
        given
            .commands
            .accept(noon_plus(order.unsigned_abs()), commands, false)
            .await
            .unwrap();
    }
    given
        .put_all([7, 5].map(|second| (noon_plus(second), TO_WALLET, "{}".to_owned())))
        .await;
    given
        .execute(
            "INSERT INTO {}outbox (destination, payload, next_attempt_at, created_at) VALUES ('service:tax', '', 0, 0)",
        )
        .await;
    given
        .bury(&[
            ("service:wallet", "no"),
            ("queue:exchange_orders", "no"),
            ("pigeon post", "no"),
        ])
        .await;
    let claimed = given.commands.claim(noon_plus(9), vec![key(1), key(2)]).await.unwrap();
    let silent = Settlement::Postponed {
        until: noon_plus(99),
        reason: "no answer".to_owned(),
        answer_missing: true,
        progress: None,
    };
    let dead = Settlement::Dead { error: "no".to_owned() };
    let settlements = claimed.iter().zip([silent, dead]);
    let settlements = settlements
        .map(|(claimed, settlement)| (claimed.key, claimed.epoch, settlement))
        .collect();
    given.commands.settle(noon_plus(9), settlements).await.unwrap();

    let (outbox, commands) = given.survey().await;
    let waiting: Vec<_> = outbox
        .waiting
        .iter()
        .map(|(destination, count, _)| (*destination, *count))
        .collect();
    let results = Destination::Queue(Queue::SagaSteps);
    assert_eq!(waiting, [(WAKE_UPS, 3), (results, 1), (TO_WALLET, 2)]);
    assert_eq!(outbox.waiting[0].2, Some(noon_plus(1)), "the oldest of them");
    assert_eq!(
        outbox.dead,
        [("queue", 1), ("service", 1), ("command", 1), ("other", 1)]
    );
    assert_eq!((commands.open, commands.answer_missing, commands.dead), (2, 1, 1));
    assert_eq!(commands.oldest, Some(noon_plus(1)));
    assert_eq!(given.under_way(TO_WALLET).await, (2, 2));
}
