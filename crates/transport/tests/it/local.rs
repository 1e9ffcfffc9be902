//! What the queues inside one process do beyond what every transport promises: they keep the order, take a batch as a whole
//! or not at all, and are gone with the process.

use std::time::Duration;

use contracts::messages::Queue;
use transport::local::LocalTransport;
use transport::queue::Transport;

use crate::queues::{QUEUE, orders, received};

#[tokio::test]
async fn messages_arrive_in_batches_on_their_own_queue() {
    let transport = LocalTransport::new(10);
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 5)).await.unwrap();
    transport.publish(Queue::SagaSteps, orders(9, 9)).await.unwrap();
    assert_eq!(received(&mut listener, 3).await, [1, 2, 3]);
    assert_eq!(received(&mut listener, 3).await, [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_takes_nothing_more_and_says_so_within_a_second() {
    let transport = LocalTransport::new(3);
    transport.publish(QUEUE, orders(1, 2)).await.unwrap();
    let began = tokio::time::Instant::now();
    let refusal = transport.publish(QUEUE, orders(3, 4)).await.unwrap_err();
    assert_eq!(refusal.queue, QUEUE);
    assert!(refusal.reason.contains("full"), "{refusal}");
    assert_eq!(began.elapsed(), Duration::from_secs(1), "for all messages together");
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    assert_eq!(received(&mut listener, 10).await, [1, 2], "all of a batch or none");
}

#[tokio::test]
async fn more_messages_than_a_queue_holds_flow_through_it_in_order() {
    let transport = LocalTransport::new(3);
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    let listen = async {
        let mut seen = Vec::new();
        while seen.len() < 10 {
            seen.extend(received(&mut listener, 2).await);
        }
        seen
    };
    let (published, seen) = tokio::join!(transport.publish(QUEUE, orders(1, 10)), listen);
    assert_eq!(published, Ok(()));
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_listener_that_stops_waiting_loses_nothing_and_blocks_nobody() {
    let transport = LocalTransport::new(10);
    let mut impatient = transport.subscribe(QUEUE).await.unwrap();
    let mut patient = transport.subscribe(QUEUE).await.unwrap();
    tokio::select! {
        biased;
        _ = impatient.receive(10) => panic!("there is nothing"),
        () = tokio::task::yield_now() => {}
    }
    transport.publish(QUEUE, orders(1, 1)).await.unwrap();
    assert_eq!(received(&mut patient, 10).await, [1]);
}

#[tokio::test]
async fn what_is_queued_is_lost_with_the_process_and_its_listeners_hear_that_it_is_over() {
    let transport = LocalTransport::new(10);
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 2)).await.unwrap();
    drop(transport);
    // This listener outlived its process's transport: it may finish what is there, and then it is over.
    assert_eq!(received(&mut listener, 10).await, [1, 2]);
    assert_eq!(received(&mut listener, 10).await, [] as [i64; 0]);

    let transport = LocalTransport::new(10);
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(3, 3)).await.unwrap();
    assert_eq!(received(&mut listener, 10).await, [3], "the next process starts empty");
}
