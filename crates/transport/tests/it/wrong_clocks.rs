//! Clocks that jump: nothing sleeps longer for it.

use std::sync::Arc;
use std::time::Duration;

use contracts::Clock as _;
use contracts::messages::{Message, Queue, Status};
use contracts::time::later;
use storage::commands::{CommandStore as _, Settlement};
use storage::sqlite::OutboxRows;
use transport::command_worker::accept;
use transport::local::LocalTransport;
use transport::queue::{Subscription, Transport as _};

use crate::couriers::a_good_courier;
use crate::given::{Given, HAND_OVER, TO_WALLET, a_fresh_store, command, soon};
use crate::handlers::{handler, start};

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
