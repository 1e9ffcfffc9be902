//! The courier to a queue: what gets there, and what it says of what does not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use contracts::messages::Queue;
use storage::outbox::{Destination, OutboxStore as _, Settlement};
use transport::dispatcher::{Courier, Delivered, QueueCourier};
use transport::local::LocalTransport;
use transport::queue::Transport as _;

use crate::given::{a_fresh_store, noon, soon, wake_up};
use crate::queues::{Kind, QUEUE, Queues, on_both_transports, received, received_in_all};

on_both_transports! {
    messages_reach_their_queue_and_what_is_none_becomes_a_dead_letter,
    what_a_full_queue_does_not_take_is_tried_again_until_it_does,
}

async fn messages_reach_their_queue_and_what_is_none_becomes_a_dead_letter(kind: Kind) {
    let (given, rows) = a_fresh_store();
    let queues = kind.queues(10).await;
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    let destination = Destination::Queue(QUEUE);
    let message = |order| serde_json::to_string(&wake_up(order)).unwrap();
    let newer = message(3).replace("\"exchange\"", "\"hedge\"");
    let payloads = [message(1), "not JSON".to_owned(), newer.clone(), message(2)];
    given.put(destination, payloads).await;
    let running = given.dispatch(rows, [(destination, to_queue(&queues))]);
    running.outbox.settled(4).await;
    assert_eq!(received_in_all(&mut listener, 2).await, [1, 2]);
    let letters: Vec<_> = given
        .dead_letters()
        .await
        .into_iter()
        .map(|(payload, _)| payload)
        .collect();
    assert_eq!(letters, ["not JSON".to_owned(), newer]);
    running.end().await;
}

async fn what_a_full_queue_does_not_take_is_tried_again_until_it_does(kind: Kind) {
    let (given, rows) = a_fresh_store();
    let queues = kind.queues(2).await;
    let destination = Destination::Queue(QUEUE);
    let payloads = (1..=5).map(|order| serde_json::to_string(&wake_up(order)).unwrap());
    given.put(destination, payloads).await;
    let running = given.dispatch(rows, [(destination, to_queue(&queues))]);
    running.outbox.settled(5).await;
    assert!(given.outbox.backlog().await.unwrap() > 0, "there is room for two");
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    let mut missing: BTreeSet<i64> = (1..=5).collect();
    while !missing.is_empty() {
        given.clock.advance(Duration::from_secs(10));
        for order in received(&mut listener, 10).await {
            missing.remove(&order);
        }
    }
    soon(async { while given.outbox.backlog().await != Ok(0) {} }).await;
    running.end().await;
}

fn to_queue(queues: &Queues) -> Arc<dyn Courier> {
    Arc::new(QueueCourier {
        transport: Arc::clone(&queues.transport),
        queue: QUEUE,
    })
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_leaves_its_messages_to_the_outbox() {
    let (given, mut rows) = a_fresh_store();
    let (transport, queue) = (Arc::new(LocalTransport::new(1)), Queue::ExchangeOrders);
    transport.publish(queue, vec![wake_up(1)]).await.unwrap();
    let courier = QueueCourier { transport, queue };
    let payloads = [serde_json::to_string(&wake_up(2)).unwrap(), "nonsense".to_owned()];
    given.put(Destination::Queue(queue), payloads).await;
    let rows = [rows.recv().await.unwrap(), rows.recv().await.unwrap()];
    let outcomes = courier.deliver(&rows).await;
    assert!(
        matches!(&outcomes[..], [Delivered::NotYet { .. }, Delivered::Never { .. }]),
        "{outcomes:?}"
    );
    // Recorded as the dispatcher would.
    let at = noon();
    given
        .outbox
        .settle(at, vec![(rows[0].id, Settlement::Retry { at })])
        .await
        .unwrap();
    assert_eq!(given.outbox.backlog().await, Ok(2));
}
