//! Clocks that jump: nothing sleeps longer for it, nothing is done twice, and nothing takes longer than it may.

use std::sync::Arc;
use std::time::Duration;

use contracts::Clock as _;
use contracts::messages::{Message, Queue, Status};
use contracts::time::later;
use storage::commands::{CommandStore as _, Settlement};
use storage::sqlite::OutboxRows;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use transport::command_worker::{Lane, accept};
use transport::local::LocalTransport;
use transport::queue::{Subscription, Transport as _};

use crate::couriers::a_good_courier;
use crate::given::{Given, HAND_OVER, LEASE, TO_WALLET, a_fresh_store, command, key, soon, wake_up};
use crate::handlers::{finished, handler, start};

const QUEUE: Queue = Queue::ExchangeOrders;
const AN_HOUR: Duration = Duration::from_secs(60 * 60);

async fn a_queue() -> (LocalTransport, Box<dyn Subscription>) {
    let transport = LocalTransport::new(100);
    let listener = transport.subscribe(QUEUE).await.unwrap();
    (transport, listener)
}

/// The next message to the sagas; wake-ups on the way are passed over.
async fn said(rows: &mut OutboxRows) -> (i64, Status) {
    loop {
        let row = soon(rows.recv()).await.unwrap();
        let message: Message = serde_json::from_str(&row.payload).unwrap();
        if message.status != Status::Accepted {
            return (message.order_id.get(), message.status);
        }
    }
}

async fn accept_for_the_sweep(given: &Given, orders: &[i64]) {
    let commands = orders.iter().copied().map(command).collect();
    accept(&given.commands, given.clock.as_ref(), None, commands)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_silence_from_before_a_clock_was_set_back_and_the_program_restarted_is_reported_in_time() {
    let (given, mut rows) = a_fresh_store();
    let clock = Arc::clone(&given.clock);
    let (silent, mut begun) = handler(move |_| {
        let until = later(clock.now(), Duration::from_secs(1));
        async move {
            Settlement::Postponed {
                until,
                reason: "no answer".to_owned(),
                answer_missing: true,
                progress: None,
            }
        }
    });
    let (transport, wake_ups) = a_queue().await;
    accept_for_the_sweep(&given, &[1]).await;
    let running = start(given.worker(Arc::clone(&silent), 4), wake_ups);
    given.clock.advance(HAND_OVER);
    begun.next().await;
    running.end().await;

    given.clock.set_back(AN_HOUR);
    // As every process does at its start: nobody else is alive.
    given.commands.release_leases(given.clock.now()).await.unwrap();
    let running = start(given.worker(silent, 4), transport.subscribe(QUEUE).await.unwrap());
    begun.next().await;
    for _ in 0..4 {
        given.clock.advance(Duration::from_secs(10));
        begun.next().await;
    }
    assert_eq!(said(&mut rows).await, (1, Status::Unresolved));
    running.end().await;
}

#[tokio::test]
async fn a_clock_that_is_set_forward_does_not_begin_again_what_is_under_way() {
    let (given, mut rows) = a_fresh_store();
    let gate = Arc::new(Semaphore::new(0));
    let (handler, mut begun) = handler({
        let gate = Arc::clone(&gate);
        move |claimed| {
            let gate = Arc::clone(&gate);
            async move {
                if claimed.key == key(1) {
                    let _open = gate.acquire().await.unwrap();
                }
                finished()
            }
        }
    });
    let (transport, wake_ups) = a_queue().await;
    let worker = given.worker(handler, 4);
    let metrics = Arc::clone(&worker.metrics);
    let running = start(worker, wake_ups);
    let granted = accept(
        &given.commands,
        given.clock.as_ref(),
        Some(&running.lane),
        vec![command(1)],
    );
    granted.await.unwrap();
    assert_eq!(begun.next().await.key, key(1));
    accept_for_the_sweep(&given, &[2]).await;
    given.clock.advance(AN_HOUR);
    // By the clock the first one's lease is over, and the sweep that finds the second finds it as well.
    assert_eq!(said(&mut rows).await, (2, Status::Done));
    accept_for_the_sweep(&given, &[3]).await;
    transport.publish(QUEUE, vec![wake_up(1), wake_up(3)]).await.unwrap();
    assert_eq!(said(&mut rows).await, (3, Status::Done));
    gate.add_permits(1);
    assert_eq!(said(&mut rows).await, (1, Status::Done));
    running.end().await;
    assert_eq!((begun.next().await.key, begun.next().await.key), (key(2), key(3)));
    assert_eq!((begun.rest(), metrics.fenced.get()), (0, 0));
}

#[tokio::test]
async fn what_is_under_way_is_begun_again_where_an_operator_has_reopened_it() {
    let (given, mut rows) = a_fresh_store();
    let (handler, mut begun) = handler(|claimed| async move {
        if claimed.epoch == 1 {
            std::future::pending::<()>().await;
        }
        finished()
    });
    let (_transport, wake_ups) = a_queue().await;
    let running = start(given.worker(handler, 4), wake_ups);
    let granted = accept(
        &given.commands,
        given.clock.as_ref(),
        Some(&running.lane),
        vec![command(1)],
    );
    granted.await.unwrap();
    assert_eq!(begun.next().await.epoch, 1);
    // What an operator's word does: whoever is at it is fenced off, and it is due.
    let reopened = given.database.writer().run(|tx| {
        tx.execute(
            "UPDATE exchanger_commands SET epoch = epoch + 1, next_attempt_at = 0",
            (),
        )
        .map(drop)
    });
    reopened.await.unwrap();
    assert_eq!(begun.next().await.epoch, 3);
    assert_eq!(said(&mut rows).await, (1, Status::Done));
    running.task.abort();
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_nobody_more_time_than_a_lease() {
    let (given, _rows) = a_fresh_store();
    let (hanging, mut begun) = handler(|claimed| async move {
        if claimed.key == key(1) {
            std::future::pending::<()>().await;
        }
        finished()
    });
    let (lane, granted) = Lane::new(10);
    accept(
        &given.commands,
        given.clock.as_ref(),
        Some(&lane),
        vec![command(1), command(2)],
    )
    .await
    .unwrap();
    given.clock.set_back(AN_HOUR);
    let (_transport, wake_ups) = a_queue().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(given.worker(hanging, 1).run(wake_ups, granted, stop.clone()));
    assert_eq!(begun.next().await.key, key(1));
    // Its neighbour has to wait until it is given up.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    assert_eq!(begun.0.recv().await.unwrap().key, key(2));
    assert!(began.elapsed() < 2 * LEASE, "{:?}", began.elapsed());
    tokio::time::resume();
    stop.cancel();
    soon(running).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_was_set_back_before_the_start_does_not_put_off_what_waits() {
    let (given, rows) = a_fresh_store();
    given.put(TO_WALLET, ["from before, handed over to nobody"]).await;
    drop(rows);
    given.clock.set_back(AN_HOUR);
    let (given, rows) = given.crash_and_restart().await;
    let (courier, mut seen) = a_good_courier();
    let running = given.dispatch(rows, [(TO_WALLET, courier)]);
    running.outbox.some_sweeps().await;
    // Not put off for longer than anything here is.
    given.clock.advance(Duration::from_secs(10));
    assert_eq!(seen.next().await, ["from before, handed over to nobody"]);
    running.end().await;
}
