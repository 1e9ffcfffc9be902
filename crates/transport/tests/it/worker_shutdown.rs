//! The end of a worker: what is under way is finished, what is not begun is handed back, nothing is lost.

use std::sync::Arc;

use contracts::Clock as _;
use contracts::messages::Queue;
use storage::commands::{Acceptance, CommandStore as _, State};
use tokio::sync::Semaphore;
use transport::command_worker::accept;
use transport::local::LocalTransport;
use transport::queue::Transport as _;

use crate::given::{a_fresh_store, command, key};
use crate::handlers::{Begun, Running, finished, handler, start};

/// A worker with room for one command, whose handler waits at the gate.
async fn a_slow_worker(given: &crate::given::Given) -> (Running, Begun, Arc<Semaphore>, LocalTransport) {
    let gate = Arc::new(Semaphore::new(0));
    let (slow, begun) = handler({
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                let _open = gate.acquire().await.unwrap();
                finished()
            }
        }
    });
    let transport = LocalTransport::new(100);
    let wake_ups = transport.subscribe(Queue::ExchangeOrders).await.unwrap();
    (start(given.worker(slow, 1), wake_ups), begun, gate, transport)
}

#[tokio::test]
async fn a_worker_that_is_stopped_finishes_what_is_under_way() {
    let (given, _rows) = a_fresh_store();
    let (running, mut begun, gate, _transport) = a_slow_worker(&given).await;
    let clock = given.clock.as_ref();
    accept(&given.commands, clock, Some(&running.lane), vec![command(1)])
        .await
        .unwrap();
    begun.next().await;
    running.stop.cancel();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!running.task.is_finished(), "it waits for its handler");
    gate.add_permits(1);
    running.end().await;
    let record = given.commands.record(key(1)).await.unwrap().unwrap();
    assert_eq!(record.state, State::Done);
}

#[tokio::test]
async fn a_worker_that_is_stopped_hands_back_what_it_has_not_begun() {
    let (given, _rows) = a_fresh_store();
    let (running, mut begun, gate, _transport) = a_slow_worker(&given).await;
    let clock = given.clock.as_ref();
    let commands = vec![command(1), command(2), command(3)];
    accept(&given.commands, clock, Some(&running.lane), commands)
        .await
        .unwrap();
    assert_eq!(begun.next().await.key, key(1));
    running.stop.cancel();
    gate.add_permits(10);
    running.end().await;
    assert_eq!(begun.rest(), 0);
    // At once, not when the leases of the dead are over.
    let next = given.commands.claim_due(given.clock.now(), 10).await.unwrap();
    let told = |claimed: &storage::commands::Claimed| claimed.progress == "attempt 1, not begun";
    assert!(next.iter().all(told), "the next worker knows: {next:?}");
    let next: Vec<_> = next.into_iter().map(|claimed| (claimed.key, claimed.epoch)).collect();
    assert_eq!(next, [(key(2), 2), (key(3), 2)]);
}

#[tokio::test]
async fn commands_that_come_after_the_end_wait_for_the_next_worker() {
    let (given, _rows) = a_fresh_store();
    let (running, _begun, _gate, _transport) = a_slow_worker(&given).await;
    let lane = running.lane.clone();
    running.end().await;
    let outcomes = accept(&given.commands, given.clock.as_ref(), Some(&lane), vec![command(1)]).await;
    assert_eq!(outcomes, Ok(vec![Acceptance::New(None)]));
    let free = given.commands.claim(given.clock.now(), vec![key(1)]).await.unwrap();
    assert_eq!(free[0].epoch, 1, "not granted to a lane that nobody empties");
}
