//! What every transport promises: at least once, in no order, shared, bounded, and nothing lost by whoever stops waiting.

use std::collections::BTreeSet;
use std::sync::Arc;

use contracts::messages::Queue;
use tokio::time::Instant;

use crate::given::soon;
use crate::queues::{Kind, QUEUE, on_both_transports, order_of, orders, received, received_in_all};

on_both_transports! {
    messages_arrive_on_their_own_queue_as_they_were_sent,
    no_batch_is_larger_than_it_may_be,
    a_full_queue_takes_nothing_more_and_says_so_in_a_bounded_time,
    a_publisher_that_waits_gets_in_when_there_is_room,
    more_messages_than_a_queue_holds_flow_through_it,
    several_listeners_share_the_messages,
    what_is_done_does_not_come_again,
    a_listener_that_stops_waiting_loses_nothing,
    a_listener_that_goes_away_takes_nothing_with_it,
    listeners_hear_that_the_transport_is_closed_after_what_they_hold,
    what_is_published_before_anybody_listens_waits,
    publishing_nothing_is_nothing,
}

async fn messages_arrive_on_their_own_queue_as_they_were_sent(kind: Kind) {
    let queues = kind.queues(10).await;
    let mut steps = queues.subscribe(Queue::SagaSteps).await.unwrap();
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    queues.publish(QUEUE, orders(1, 5)).await.unwrap();
    queues.publish(Queue::SagaSteps, orders(9, 9)).await.unwrap();
    assert_eq!(received_in_all(&mut listener, 5).await, [1, 2, 3, 4, 5]);
    let [step] = soon(steps.receive(10)).await.try_into().ok().unwrap();
    assert_eq!([step.message], orders(9, 9)[..]);
}

async fn no_batch_is_larger_than_it_may_be(kind: Kind) {
    let queues = kind.queues(10).await;
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    queues.publish(QUEUE, orders(1, 10)).await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < 10 {
        let batch = received(&mut listener, 3).await;
        assert!((1..=3).contains(&batch.len()), "{batch:?}");
        seen.extend(batch);
    }
}

async fn a_full_queue_takes_nothing_more_and_says_so_in_a_bounded_time(kind: Kind) {
    let queues = kind.queues(3).await;
    queues.publish(QUEUE, orders(1, 3)).await.unwrap();
    let began = Instant::now();
    let refusal = soon(queues.publish(QUEUE, orders(4, 4))).await.unwrap_err();
    assert_eq!(refusal.queue, QUEUE);
    assert!(refusal.reason.contains("full"), "{refusal}");
    assert!(began.elapsed().as_secs() >= 1, "it waited for room");
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    assert_eq!(received_in_all(&mut listener, 3).await, [1, 2, 3]);
    queues.publish(QUEUE, orders(5, 5)).await.unwrap();
    assert_eq!(received(&mut listener, 10).await, [5], "what was refused is not in it");
}

async fn a_publisher_that_waits_gets_in_when_there_is_room(kind: Kind) {
    let queues = kind.queues(2).await;
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    queues.publish(QUEUE, orders(1, 2)).await.unwrap();
    let (published, first) = tokio::join!(queues.publish(QUEUE, orders(3, 3)), received(&mut listener, 1));
    assert_eq!(published, Ok(()));
    let mut seen = received_in_all(&mut listener, 2).await;
    seen.extend(first);
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3]);
}

async fn more_messages_than_a_queue_holds_flow_through_it(kind: Kind) {
    let queues = kind.queues(3).await;
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    let (published, seen) = tokio::join!(queues.publish(QUEUE, orders(1, 10)), received_in_all(&mut listener, 10));
    assert_eq!(published, Ok(()));
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
}

async fn several_listeners_share_the_messages(kind: Kind) {
    let queues = kind.queues(100).await;
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(queues.subscribe(QUEUE).await.unwrap());
    }
    let (seen, mut all) = tokio::sync::mpsc::channel(100);
    for mut listener in listeners {
        let seen = seen.clone();
        tokio::spawn(async move {
            loop {
                for delivery in listener.receive(1).await {
                    let order = order_of(&delivery);
                    delivery.done().await;
                    let _ = seen.send(order).await;
                }
            }
        });
    }
    queues.publish(QUEUE, orders(1, 60)).await.unwrap();
    let mut orders = Vec::new();
    while orders.len() < 60 {
        orders.push(soon(all.recv()).await.unwrap());
    }
    orders.sort_unstable();
    assert_eq!(orders, (1..=60).collect::<Vec<_>>(), "each went to one of them");
}

async fn what_is_done_does_not_come_again(kind: Kind) {
    let queues = kind.queues(100).await;
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    queues.publish(QUEUE, orders(1, 20)).await.unwrap();
    received_in_all(&mut listener, 20).await;
    drop(listener);
    let mut other = queues.subscribe(QUEUE).await.unwrap();
    queues.publish(QUEUE, orders(21, 21)).await.unwrap();
    assert_eq!(received(&mut other, 100).await, [21]);
}

async fn a_listener_that_stops_waiting_loses_nothing(kind: Kind) {
    let queues = kind.queues(100).await;
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    let transport = Arc::clone(&queues.transport);
    let publishing = tokio::spawn(async move {
        for order in 1..=50 {
            transport.publish(QUEUE, orders(order, order)).await.unwrap();
        }
    });
    let mut seen = Vec::new();
    soon(async {
        while seen.len() < 50 {
            tokio::select! {
                biased;
                batch = listener.receive(3) => {
                    seen.extend(batch.iter().map(order_of));
                    for delivery in batch {
                        delivery.done().await;
                    }
                }
                () = tokio::task::yield_now() => {}
            }
        }
    })
    .await;
    publishing.await.unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (1..=50).collect::<Vec<_>>());
}

async fn a_listener_that_goes_away_takes_nothing_with_it(kind: Kind) {
    let queues = kind.queues(100).await;
    let mut leaving = queues.subscribe(QUEUE).await.unwrap();
    queues.publish(QUEUE, orders(1, 10)).await.unwrap();
    let first = received(&mut leaving, 1).await;
    drop(leaving);
    let mut staying = queues.subscribe(QUEUE).await.unwrap();
    let mut seen = received_in_all(&mut staying, 9).await;
    seen.extend(first);
    seen.sort_unstable();
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
}

async fn listeners_hear_that_the_transport_is_closed_after_what_they_hold(kind: Kind) {
    let queues = kind.queues(10).await;
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    queues.publish(QUEUE, orders(1, 2)).await.unwrap();
    let held = received(&mut listener, 1).await;
    assert_eq!(held.len(), 1);
    let publisher = Arc::downgrade(&queues.transport);
    drop(queues);
    assert!(publisher.upgrade().is_none());
    // It may finish what it holds, and then it is over.
    let mut rest = 0;
    while !received(&mut listener, 10).await.is_empty() {
        rest += 1;
    }
    assert!(rest <= 1);
    assert_eq!(received(&mut listener, 10).await, [0; 0]);
}

async fn what_is_published_before_anybody_listens_waits(kind: Kind) {
    let queues = kind.queues(10).await;
    queues.publish(QUEUE, orders(1, 3)).await.unwrap();
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    assert_eq!(received_in_all(&mut listener, 3).await, [1, 2, 3]);
    assert_eq!(queues.readiness(), Ok(()));
}

async fn publishing_nothing_is_nothing(kind: Kind) {
    let queues = kind.queues(1).await;
    queues.publish(QUEUE, Vec::new()).await.unwrap();
    queues.publish(QUEUE, orders(1, 1)).await.unwrap();
    let mut listener = queues.subscribe(QUEUE).await.unwrap();
    assert_eq!(received(&mut listener, 10).await, [1]);
}
