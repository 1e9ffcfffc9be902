//! The courier to a queue: what gets there, and what it says of what does not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::{Message, Queue};
use storage::outbox::{Destination, OutboxStore as _, Settlement};
use transport::dispatcher::{Courier, Delivered, QueueCourier};
use transport::local::LocalTransport;
use transport::queue::{PublishError, Subscription, Transport};

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

/// A transport that fails, and says of too few messages what became of them.
struct Taciturn(Vec<Delivered>);

#[async_trait]
impl Transport for Taciturn {
    async fn publish(&self, queue: Queue, _: Vec<Message>) -> Result<(), PublishError> {
        Err(PublishError {
            queue,
            reason: "as arranged".to_owned(),
            outcomes: self.0.clone(),
        })
    }

    async fn subscribe(&self, _: Queue) -> Result<Box<dyn Subscription>, PublishError> {
        unreachable!("nobody listens here")
    }
}

#[tokio::test]
async fn a_message_of_which_the_transport_says_nothing_has_not_arrived() {
    let (given, mut rows) = a_fresh_store();
    let message = |order| serde_json::to_string(&wake_up(order)).unwrap();
    let payloads = [message(1), "nonsense".to_owned(), message(2), message(3)];
    given.put(Destination::Queue(QUEUE), payloads).await;
    let mut four = Vec::new();
    while four.len() < 4 {
        four.push(rows.recv().await.unwrap());
    }
    for told in [vec![], vec![Delivered::Yes]] {
        let transport = Arc::new(Taciturn(told.clone()));
        let outcomes = QueueCourier {
            transport,
            queue: QUEUE,
        }
        .deliver(&four)
        .await;
        let arrived: Vec<_> = outcomes.iter().map(|outcome| *outcome == Delivered::Yes).collect();
        assert_eq!(arrived, [told.len() == 1, false, false, false], "{outcomes:?}");
        assert!(matches!(outcomes[1], Delivered::Never { .. }), "{outcomes:?}");
    }
}
