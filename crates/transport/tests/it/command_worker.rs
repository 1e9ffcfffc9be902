//! The command worker: every accepted command is worked on, by one at a time, within its lease, until it ends.

mod postponed;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contracts::Clock;
use contracts::messages::{Message, Status};
use storage::commands::{Acceptance, CommandStore, Settlement, State};
use storage::outbox::OutboxRow;
use storage::sqlite::OutboxRows;
use tokio::sync::Semaphore;
use transport::command_worker::accept;
use transport::queue::Subscription;

use crate::given::{Given, HAND_OVER, LEASE, a_fresh_store, command, key, soon, wake_up};
use crate::handlers::{a_good_handler, finished, handler, start};
use crate::queues::{Kind, QUEUE, Queues, on_both_transports};

on_both_transports! {
    a_wake_up_brings_its_command_and_its_duplicates_bring_nothing,
    a_command_whose_wake_up_got_lost_is_swept,
    a_worker_whose_queue_and_lane_are_closed_still_sweeps,
    no_more_commands_are_claimed_than_may_be_worked_on_at_once,
    a_zombie_whose_lease_ran_out_changes_nothing,
}

async fn a_queue(kind: Kind) -> (Queues, Box<dyn Subscription>) {
    let queues = kind.queues(100).await;
    let listener = queues.subscribe(QUEUE).await.unwrap();
    (queues, listener)
}

impl Given {
    /// Accepts orders' commands without a lane: they wait for a wake-up.
    async fn accept(&self, orders: impl IntoIterator<Item = i64>) {
        let commands = orders.into_iter().map(command).collect();
        accept(&self.commands, self.clock.as_ref(), None, commands)
            .await
            .unwrap();
    }

    async fn state(&self, order: i64) -> State {
        self.commands.record(key(order)).await.unwrap().unwrap().state
    }
}

/// The status of the next message to the sagas; wake-ups on the way are passed over.
async fn said(rows: &mut OutboxRows) -> (i64, Status) {
    loop {
        let row: OutboxRow = soon(rows.recv()).await.unwrap();
        let message: Message = serde_json::from_str(&row.payload).unwrap();
        if message.status != Status::Accepted {
            return (message.order_id.get(), message.status);
        }
    }
}

#[tokio::test]
async fn a_granted_command_goes_straight_to_the_worker() {
    let (given, mut rows) = a_fresh_store();
    let (handler, mut begun) = a_good_handler();
    let (_transport, wake_ups) = a_queue(Kind::Local).await;
    let running = start(given.worker(handler, 4), wake_ups);
    let clock = given.clock.as_ref();
    let outcomes = accept(
        &given.commands,
        clock,
        Some(&running.lane),
        vec![command(1), command(2)],
    )
    .await;
    assert_eq!(outcomes, Ok(vec![Acceptance::New(None), Acceptance::New(None)]));
    assert_eq!((begun.next().await.key, begun.next().await.key), (key(1), key(2)));
    assert_eq!(said(&mut rows).await, (1, Status::Done));
    assert_eq!(said(&mut rows).await, (2, Status::Done));
    assert_eq!(given.state(1).await, State::Done);
    running.end().await;
}

#[tokio::test]
async fn what_becomes_of_claims_is_counted() {
    let (given, mut rows) = a_fresh_store();
    let (handler, mut begun) = handler(|claimed| async move {
        match claimed.key.order_id.get() {
            1 => finished(),
            2 => Settlement::Dead {
                error: "makes no sense".to_owned(),
            },
            _ => panic!("as arranged"),
        }
    });
    let (_transport, wake_ups) = a_queue(Kind::Local).await;
    let worker = given.worker(handler, 4);
    let metrics = Arc::clone(&worker.metrics);
    let running = start(worker, wake_ups);
    let three = (1..=3).map(command).collect();
    accept(&given.commands, given.clock.as_ref(), Some(&running.lane), three)
        .await
        .unwrap();
    for _ in 0..3 {
        begun.next().await;
    }
    let mut told = [said(&mut rows).await, said(&mut rows).await];
    told.sort_unstable_by_key(|(order, _)| *order);
    assert_eq!(told, [(1, Status::Done), (2, Status::Unresolved)]);
    // Its end waits until all is settled.
    running.end().await;
    let ends = [
        &metrics.done,
        &metrics.dead,
        &metrics.postponed,
        &metrics.panicked,
        &metrics.failed,
        &metrics.fenced,
    ];
    assert_eq!(ends.map(contracts::metrics::Counter::get), [1, 1, 1, 1, 0, 0]);
}

#[tokio::test]
async fn a_lane_without_room_for_all_leaves_the_commands_to_their_wake_ups() {
    let (given, mut rows) = a_fresh_store();
    let (lane, _granted) = transport::command_worker::Lane::new(2);
    let three = vec![command(1), command(2), command(3)];
    accept(&given.commands, given.clock.as_ref(), Some(&lane), three)
        .await
        .unwrap();
    for order in 1..=3 {
        let message: Message = serde_json::from_str(&rows.recv().await.unwrap().payload).unwrap();
        assert_eq!((message.order_id.get(), message.status), (order, Status::Accepted));
    }
}

async fn a_wake_up_brings_its_command_and_its_duplicates_bring_nothing(kind: Kind) {
    let (given, mut rows) = a_fresh_store();
    let (handler, mut begun) = a_good_handler();
    let (transport, wake_ups) = a_queue(kind).await;
    let running = start(given.worker(handler, 4), wake_ups);
    given.accept([1, 2]).await;
    // Twice in one batch, for an order nobody knows, and again when all is over.
    let messages = vec![wake_up(1), wake_up(1), wake_up(99)];
    transport.publish(QUEUE, messages).await.unwrap();
    assert_eq!(said(&mut rows).await, (1, Status::Done));
    transport.publish(QUEUE, vec![wake_up(1), wake_up(2)]).await.unwrap();
    assert_eq!(said(&mut rows).await, (2, Status::Done));
    running.end().await;
    assert_eq!((begun.next().await.key, begun.next().await.key), (key(1), key(2)));
    assert_eq!(begun.rest(), 0);
}

async fn a_command_whose_wake_up_got_lost_is_swept(kind: Kind) {
    let (given, mut rows) = a_fresh_store();
    given.accept(1..=150).await;
    let (handler, _begun) = a_good_handler();
    let (_transport, wake_ups) = a_queue(kind).await;
    let running = start(given.worker(handler, 16), wake_ups);
    given.clock.advance(HAND_OVER);
    for _ in 1..=150 {
        assert_eq!(said(&mut rows).await.1, Status::Done);
    }
    assert_eq!(given.commands.open_count().await, Ok(0));
    running.end().await;
}

async fn a_worker_whose_queue_and_lane_are_closed_still_sweeps(kind: Kind) {
    let (given, mut rows) = a_fresh_store();
    let (handler, _begun) = a_good_handler();
    let (transport, wake_ups) = a_queue(kind).await;
    let mut running = start(given.worker(handler, 4), wake_ups);
    drop(transport);
    running.lane = transport::command_worker::Lane::new(1).0;
    given.accept([1]).await;
    given.clock.advance(HAND_OVER);
    assert_eq!(said(&mut rows).await, (1, Status::Done));
    running.end().await;
}

async fn no_more_commands_are_claimed_than_may_be_worked_on_at_once(kind: Kind) {
    let (given, mut rows) = a_fresh_store();
    let (gate, at_once, most) = (
        Arc::new(Semaphore::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (handler, mut begun) = handler({
        let (gate, at_once, most) = (Arc::clone(&gate), Arc::clone(&at_once), Arc::clone(&most));
        move |_| {
            let (gate, at_once, most) = (Arc::clone(&gate), Arc::clone(&at_once), Arc::clone(&most));
            async move {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                at_once.fetch_sub(1, Ordering::SeqCst);
                finished()
            }
        }
    });
    let (transport, wake_ups) = a_queue(kind).await;
    given.accept(1..=10).await;
    transport.publish(QUEUE, (1..=10).map(wake_up).collect()).await.unwrap();
    let running = start(given.worker(handler, 3), wake_ups);
    for order in 1..=3 {
        assert_eq!(begun.next().await.key, key(order));
    }
    // The other seven are free for anybody: their leases do not run out in a queue.
    let free = given
        .commands
        .claim(given.clock.now(), (1..=10).map(key).collect())
        .await
        .unwrap();
    assert_eq!(free.len(), 7);
    given.clock.advance(LEASE / 2);
    gate.add_permits(100);
    for _ in 1..=3 {
        assert_eq!(said(&mut rows).await.1, Status::Done);
    }
    given.clock.advance(LEASE);
    for _ in 4..=10 {
        assert_eq!(said(&mut rows).await.1, Status::Done);
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    running.end().await;
}

async fn a_zombie_whose_lease_ran_out_changes_nothing(kind: Kind) {
    let (given, mut rows) = a_fresh_store();
    let gate = Arc::new(Semaphore::new(0));
    let (slow, mut zombie) = handler({
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                let _open = gate.acquire().await.unwrap();
                Settlement::Dead {
                    error: "said the zombie".to_owned(),
                }
            }
        }
    });
    let (transport, wake_ups) = a_queue(kind).await;
    let first = start(given.worker(slow, 1), wake_ups);
    given.accept([1]).await;
    transport.publish(QUEUE, vec![wake_up(1)]).await.unwrap();
    assert_eq!(zombie.next().await.epoch, 1);

    given.clock.advance(LEASE);
    let (good, mut begun) = a_good_handler();
    let second = start(given.worker(good, 1), transport.subscribe(QUEUE).await.unwrap());
    assert_eq!(begun.next().await.epoch, 2);
    assert_eq!(said(&mut rows).await, (1, Status::Done));
    gate.add_permits(1);
    first.end().await;
    assert_eq!(given.state(1).await, State::Done);
    assert_eq!(given.dead_letters().await, []);
    second.end().await;
}

#[tokio::test]
async fn a_command_whose_lease_ran_out_in_the_lane_is_begun_by_its_next_claim_only() {
    let (given, mut rows) = a_fresh_store();
    let gate = Arc::new(Semaphore::new(0));
    let (slow, mut begun) = handler({
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                let _open = gate.acquire().await.unwrap();
                finished()
            }
        }
    });
    let (_transport, wake_ups) = a_queue(Kind::Local).await;
    let running = start(given.worker(slow, 1), wake_ups);
    let clock = given.clock.as_ref();
    accept(&given.commands, clock, Some(&running.lane), vec![command(1)])
        .await
        .unwrap();
    assert_eq!(begun.next().await.key, key(1));
    accept(&given.commands, clock, Some(&running.lane), vec![command(2)])
        .await
        .unwrap();
    given.clock.advance(LEASE);
    gate.add_permits(1);
    let begun_late = begun.next().await;
    assert_eq!((begun_late.key, begun_late.epoch), (key(2), 2));
    assert_eq!(
        said(&mut rows).await,
        (1, Status::Done),
        "late, but in nobody else's hands"
    );
    assert_eq!(said(&mut rows).await, (2, Status::Done));
    running.end().await;
    assert_eq!(begun.rest(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_is_given_up_when_its_lease_ends() {
    let (given, mut rows) = a_fresh_store();
    let (hanging, mut begun) = handler(|claimed| async move {
        if claimed.epoch == 1 {
            std::future::pending::<()>().await;
        }
        finished()
    });
    let (_transport, wake_ups) = a_queue(Kind::Local).await;
    let running = start(given.worker(hanging, 1), wake_ups);
    let clock = given.clock.as_ref();
    accept(&given.commands, clock, Some(&running.lane), vec![command(1)])
        .await
        .unwrap();
    assert_eq!(begun.0.recv().await.unwrap().epoch, 1);
    given.clock.advance(LEASE);
    // Its place was the only one.
    assert_eq!(begun.0.recv().await.unwrap().epoch, 2);
    while let Some(row) = rows.recv().await {
        let message: Message = serde_json::from_str(&row.payload).unwrap();
        if message.status == Status::Done {
            break;
        }
    }
    running.stop.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_costs_its_command_a_pause_and_the_worker_nothing() {
    let (given, mut rows) = a_fresh_store();
    let (panicking, mut begun) = handler(|claimed| async move {
        assert!(claimed.key != key(1) || claimed.tries == 3, "panics as arranged");
        finished()
    });
    let (transport, wake_ups) = a_queue(Kind::Local).await;
    let running = start(given.worker(panicking, 1), wake_ups);
    given.accept([1, 2]).await;
    transport.publish(QUEUE, vec![wake_up(1), wake_up(2)]).await.unwrap();
    assert_eq!(
        said(&mut rows).await,
        (2, Status::Done),
        "its neighbour is none the worse"
    );
    assert_eq!((begun.next().await.tries, begun.next().await.key), (0, key(2)));
    for tries in 1..=3 {
        given.clock.advance(Duration::from_secs(10));
        assert_eq!(begun.next().await.tries, tries);
    }
    // It may have acted before it panicked, so the saga hears that the answer is missing, as it is for 20 s now.
    assert_eq!(said(&mut rows).await, (1, Status::Unresolved));
    assert_eq!(said(&mut rows).await, (1, Status::Done));
    running.end().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_put_off_what_is_postponed() {
    let (given, mut rows) = a_fresh_store();
    let clock = Arc::clone(&given.clock);
    let (handler, mut begun) = handler(move |claimed| {
        let until = contracts::time::later(clock.now(), Duration::from_secs(10));
        async move {
            if claimed.tries > 0 {
                return finished();
            }
            Settlement::Postponed {
                until,
                reason: "as arranged".to_owned(),
                answer_missing: true,
                progress: Some("noted".to_owned()),
            }
        }
    });
    let (_transport, wake_ups) = a_queue(Kind::Local).await;
    let running = start(given.worker(handler, 4), wake_ups);
    accept(
        &given.commands,
        given.clock.as_ref(),
        Some(&running.lane),
        vec![command(1)],
    )
    .await
    .unwrap();
    begun.next().await;
    let postponed = async {
        while given.commands.record(key(1)).await.unwrap().unwrap().progress != "noted" {
            tokio::task::yield_now().await;
        }
    };
    soon(postponed).await;
    given.clock.set_back(Duration::from_secs(60 * 60));
    assert_eq!(begun.next().await.key, key(1));
    assert_eq!(said(&mut rows).await, (1, Status::Done));
    running.end().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_takes_no_lease_away_and_makes_none_longer() {
    let (given, _rows) = a_fresh_store();
    given.accept([1]).await;
    let worker = given.commands.claim(given.clock.now(), vec![key(1)]).await.unwrap();
    assert_eq!(worker.len(), 1);
    given.clock.set_back(Duration::from_secs(60 * 60));
    let now = given.clock.now();
    assert_eq!(given.commands.bring_forward(now).await, Ok(1));
    assert_eq!(given.commands.bring_forward(now).await, Ok(1), "as before");
    assert_eq!(
        given.commands.claim_due(now, 10).await,
        Ok(Vec::new()),
        "somebody has it"
    );
    given.clock.advance(LEASE);
    let claimed = given.commands.claim_due(given.clock.now(), 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
}
