//! A NATS server that dies, loses what it had, stands still, or has somebody else's hands in it: nothing is lost but time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use contracts::messages::Message;
use storage::commands::CommandStore as _;
use storage::outbox::{Destination, OutboxStore as _};
use transport::command_worker::accept;
use transport::dispatcher::{Courier, QueueCourier};
use transport::nats::{NatsTransport, Times};
use transport::queue::{Subscription, Transport};

use crate::given::{HAND_OVER, a_fresh_store, command, key, soon};
use crate::handlers::{a_good_handler, start};
use crate::queues::{GivenNats, QUEUE, given_nats, impatient, orders, received, received_in_all};

impl GivenNats {
    async fn impatient_transport(&self) -> Arc<dyn Transport> {
        Arc::new(self.transport_with(|settings| settings.times = impatient()).await)
    }
}

/// Publishes as the dispatcher does: again and again until the server has it.
async fn published(transport: &dyn Transport, messages: Vec<Message>) {
    soon(async { while transport.publish(QUEUE, messages.clone()).await.is_err() {} }).await;
}

/// Takes and settles messages until each of these orders was there.
async fn all_arrive(listener: &mut Box<dyn Subscription>, mut missing: BTreeSet<i64>) {
    while !missing.is_empty() {
        for order in received(listener, 7).await {
            missing.remove(&order);
        }
    }
}

#[tokio::test]
async fn a_killed_server_comes_back_and_all_that_was_in_flight_arrives() {
    let mut given = given_nats();
    let transport = given.impatient_transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    let publishing: Vec<_> = (0..40)
        .map(|batch| {
            let transport = Arc::clone(&transport);
            tokio::spawn(async move { published(transport.as_ref(), orders(batch * 5 + 1, batch * 5 + 5)).await })
        })
        .collect();
    let mut missing: BTreeSet<i64> = (1..=200).collect();
    while missing.len() > 150 {
        let deliveries = soon(listener.receive(7)).await;
        for delivery in deliveries {
            missing.remove(&delivery.message.order_id.get());
            delivery.done().await;
        }
    }
    // In hand while the server dies: told late, or delivered twice.
    let held = soon(listener.receive(7)).await;
    given.server.kill();
    given.server.start_again();
    for delivery in held {
        missing.remove(&delivery.message.order_id.get());
        delivery.done().await;
    }
    all_arrive(&mut listener, missing).await;
    for publishing in publishing {
        soon(publishing).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_wiped_store_had_is_found_by_the_sweeps_and_the_queue_is_made_again_without_a_restart() {
    let mut nats = given_nats();
    let transport = nats.impatient_transport().await;
    let mut wake_ups = transport.subscribe(QUEUE).await.unwrap();
    let (given, rows) = a_fresh_store();
    let to_queue: Arc<dyn Courier> = Arc::new(QueueCourier {
        transport: Arc::clone(&transport),
        queue: QUEUE,
    });
    let dispatching = given.dispatch(rows, BTreeMap::from([(Destination::Queue(QUEUE), to_queue)]));
    let accepted = |orders: std::ops::RangeInclusive<i64>| {
        let commands = orders.map(command).collect();
        accept(&given.commands, given.clock.as_ref(), None, commands)
    };
    accepted(1..=100).await.unwrap();
    dispatching.outbox.settled(100).await;
    assert_eq!(
        given.outbox.backlog().await,
        Ok(0),
        "the server has them, and nobody else"
    );
    // A listener that holds some of them dies with the store.
    drop(soon(wake_ups.receive(10)).await);
    drop(wake_ups);
    nats.server.kill();
    nats.server.wipe();
    let wake_ups = transport.subscribe(QUEUE).await.unwrap();
    nats.server.start_again();

    accepted(101..=200).await.unwrap();
    let (handler, mut begun) = a_good_handler();
    let working = start(given.worker(handler, 16), wake_ups);
    let mut orders = BTreeSet::new();
    while orders.len() < 100 {
        orders.insert(begun.next().await.key);
    }
    assert_eq!(
        orders,
        (101..=200).map(key).collect(),
        "over the queue that was made again"
    );
    given.clock.advance(HAND_OVER);
    while orders.len() < 200 {
        orders.insert(begun.next().await.key);
    }
    soon(async { while given.commands.open_count().await != Ok(0) {} }).await;
    working.end().await;
    dispatching.end().await;
}

#[tokio::test]
async fn a_listener_outlives_a_wiped_store() {
    let mut given = given_nats();
    let transport = given.impatient_transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    published(transport.as_ref(), orders(1, 1)).await;
    assert_eq!(received(&mut listener, 10).await, [1]);
    given.server.kill();
    given.server.wipe();
    given.server.start_again();
    published(transport.as_ref(), orders(2, 2)).await;
    assert_eq!(received(&mut listener, 10).await, [2]);
    assert_eq!(given.metrics.rebuilt.get(), 1);
}

#[tokio::test]
async fn a_consumer_that_somebody_deletes_is_made_again() {
    let given = given_nats();
    let transport = given.impatient_transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    published(transport.as_ref(), orders(1, 1)).await;
    assert_eq!(received(&mut listener, 10).await, [1]);
    // A word that is on its way when the consumer goes is not heard, and what it was about comes again.
    given.emptied().await;
    let stranger = given.stranger().await;
    stranger
        .delete_consumer_from_stream(QUEUE.as_str(), QUEUE.as_str())
        .await
        .unwrap();
    published(transport.as_ref(), orders(2, 2)).await;
    assert_eq!(received(&mut listener, 10).await, [2]);
    assert_eq!(given.metrics.rebuilt.get(), 1);
}

#[tokio::test]
async fn a_stream_that_somebody_deletes_is_made_again() {
    let given = given_nats();
    let transport = given.impatient_transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    published(transport.as_ref(), orders(1, 1)).await;
    assert_eq!(received(&mut listener, 10).await, [1]);
    given.stranger().await.delete_stream(QUEUE.as_str()).await.unwrap();
    published(transport.as_ref(), orders(2, 2)).await;
    assert_eq!(received_in_all(&mut listener, 1).await, [2]);
    assert!(given.metrics.rebuilt.get() >= 1);
}

#[tokio::test]
async fn a_server_that_stands_still_costs_a_publisher_a_bounded_wait() {
    let mut given = given_nats();
    let times = Times {
        publish: Duration::from_millis(500),
        ..impatient()
    };
    let transport: NatsTransport = given.transport_with(|settings| settings.times = times).await;
    given.server.freeze();
    let refusal = soon(transport.publish(QUEUE, orders(1, 1))).await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the queue exchange_orders takes no messages: no answer in time"
    );
    given.server.thaw();
    published(&transport, orders(2, 2)).await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    all_arrive(&mut listener, BTreeSet::from([2])).await;
    assert!(given.metrics.refused.get() >= 1);
}

#[tokio::test]
async fn while_the_server_is_away_the_transport_is_not_ready_and_says_so() {
    let mut given = given_nats();
    let times = Times {
        publish: Duration::from_millis(300),
        ..impatient()
    };
    let transport = given.transport_with(|settings| settings.times = times).await;
    assert_eq!(transport.readiness(), Ok(()));
    given.server.kill();
    soon(async {
        while transport.readiness().is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let refusal = soon(transport.publish(QUEUE, orders(1, 1))).await.unwrap_err();
    assert!(refusal.reason.contains("no connection"), "{refusal}");
    given.server.start_again();
    soon(async {
        while transport.readiness().is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    published(&transport, orders(2, 2)).await;
}
