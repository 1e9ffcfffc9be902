//! The dispatcher: what is committed arrives, again and again if need be, and nobody waits for a neighbour.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use storage::outbox::{Destination, HAND_OVER, OutboxStore};
use storage::sqlite::OutboxRows;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use transport::dispatcher::{Courier, Delivered, Dispatcher};
use transport::metrics::DispatcherMetrics;

use crate::couriers::{a_good_courier, all, courier};
use crate::given::{Given, SWEEP_EVERY, TO_BALANCE, TO_WALLET, a_fresh_store, entropy, soon};
use crate::watched::Watched;

/// A dispatcher that runs.
pub(crate) struct Running {
    pub(crate) outbox: Arc<Watched>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    metrics: DispatcherMetrics,
}

impl Running {
    pub(crate) async fn end(self) {
        self.stop.cancel();
        soon(self.task).await.unwrap();
    }
}

impl Given {
    pub(crate) fn dispatch(
        &self,
        rows: OutboxRows,
        couriers: impl Into<BTreeMap<Destination, Arc<dyn Courier>>>,
    ) -> Running {
        let outbox = Arc::new(Watched::new(self.outbox.clone()));
        let couriers = couriers.into();
        let metrics = DispatcherMetrics::new(couriers.keys().copied());
        let dispatcher = Dispatcher {
            outbox: outbox.clone(),
            couriers,
            metrics: metrics.clone(),
            clock: self.clock.clone(),
            entropy: entropy(),
            sweep_every: SWEEP_EVERY,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(dispatcher.run(rows, stop.clone()));
        Running {
            outbox,
            stop,
            task,
            metrics,
        }
    }
}

fn not_yet() -> Delivered {
    Delivered::NotYet {
        reason: "as arranged".to_owned(),
    }
}

#[tokio::test]
async fn a_row_is_delivered_after_its_commit_and_leaves_the_table() {
    let (given, rows) = a_fresh_store();
    let (courier, mut seen) = a_good_courier();
    let running = given.dispatch(rows, [(TO_WALLET, courier)]);
    let outbox = given.outbox.clone();
    let rolled_back = given.database.writer().run(move |tx| {
        outbox.put(tx, crate::given::noon(), TO_WALLET, "never".to_owned());
        tx.execute("INSERT INTO no_such_table VALUES (1)", ()).map(drop)
    });
    assert!(rolled_back.await.is_err());
    given.put(TO_WALLET, ["hello"]).await;
    assert_eq!(seen.next().await, ["hello"]);
    running.outbox.settled(1).await;
    assert_eq!(given.outbox.backlog().await, Ok(0));
    running.end().await;
    assert_eq!(seen.rest(), [""; 0], "once");
}

#[tokio::test]
async fn what_comes_together_is_delivered_together_a_hundred_at_a_time() {
    let (given, rows) = a_fresh_store();
    given.put(TO_WALLET, 0..250).await;
    let (courier, mut seen) = a_good_courier();
    let running = given.dispatch(rows, [(TO_WALLET, courier)]);
    let mut delivered = Vec::new();
    while delivered.len() < 250 {
        let payloads = seen.next().await;
        assert!(payloads.len() <= 100, "{}", payloads.len());
        delivered.extend(payloads);
    }
    running.outbox.settled(250).await;
    running.end().await;
    delivered.sort_by_key(|payload| payload.parse::<u32>().unwrap());
    assert_eq!(
        delivered,
        (0..250).map(|n| n.to_string()).collect::<Vec<_>>(),
        "each once"
    );
}

#[tokio::test]
async fn what_does_not_arrive_is_tried_again_after_a_pause_that_grows() {
    let (given, rows) = a_fresh_store();
    let (courier, mut seen) = courier(|rows| async move { all(&rows, &not_yet()) });
    let running = given.dispatch(rows, [(TO_WALLET, courier)]);
    given.put(TO_WALLET, ["hello"]).await;
    // Between half of 100 ms, 200 ms, 400 ms … and all of it.
    let (mut settled, mut longest) = (0, Duration::from_millis(100));
    for _ in 0..5 {
        assert_eq!(seen.next().await, ["hello"]);
        settled += 1;
        running.outbox.settled(settled).await;
        given.clock.advance(longest / 2 - Duration::from_millis(1));
        running.outbox.some_sweeps().await;
        assert_eq!(seen.rest(), [""; 0], "too early");
        given.clock.advance(longest / 2 + Duration::from_millis(1));
        longest *= 2;
    }
    running.end().await;
    assert_eq!(given.outbox.backlog().await, Ok(1), "without end");
}

#[tokio::test]
async fn what_can_never_arrive_becomes_a_dead_letter() {
    let (given, rows) = a_fresh_store();
    let never = Delivered::Never {
        error: "makes no sense".to_owned(),
    };
    let (courier, mut seen) = courier(move |rows| {
        let never = never.clone();
        async move { all(&rows, &never) }
    });
    let running = given.dispatch(rows, [(TO_WALLET, courier)]);
    given.put(TO_WALLET, ["nonsense"]).await;
    seen.next().await;
    running.outbox.settled(1).await;
    let letter = ("nonsense".to_owned(), "makes no sense".to_owned());
    assert_eq!(given.dead_letters().await, [letter]);
    assert_eq!(given.outbox.backlog().await, Ok(0));
    running.end().await;
}

#[tokio::test]
async fn what_becomes_of_rows_is_counted_by_destination() {
    let (given, rows) = a_fresh_store();
    let (fickle, mut seen) = courier(|rows| async move {
        rows.iter()
            .map(|row| match row.payload.as_str() {
                "nonsense" => Delivered::Never {
                    error: "makes no sense".to_owned(),
                },
                "early" => not_yet(),
                _ => Delivered::Yes,
            })
            .collect()
    });
    let (good, mut also_seen) = a_good_courier();
    let running = given.dispatch(rows, [(TO_WALLET, fickle), (TO_BALANCE, good)]);
    given.put(TO_WALLET, ["nonsense", "early", "well", "good"]).await;
    given.put(TO_BALANCE, ["hello"]).await;
    seen.next().await;
    also_seen.next().await;
    running.outbox.settled(5).await;
    let counted: Vec<_> = running
        .metrics
        .lanes()
        .map(|(to, lane)| (to, lane.delivered.get(), lane.retried.get(), lane.dead.get()))
        .collect();
    assert_eq!(counted, [(TO_WALLET, 2, 1, 1), (TO_BALANCE, 1, 0, 0)]);
    running.end().await;
}

#[tokio::test]
async fn a_destination_that_hangs_holds_up_no_other() {
    let (given, rows) = a_fresh_store();
    let (hanging, mut stuck) = courier(|_| std::future::pending());
    let (good, mut seen) = a_good_courier();
    let running = given.dispatch(rows, [(TO_WALLET, hanging), (TO_BALANCE, good)]);
    given.put(TO_WALLET, 0..900).await;
    stuck.next().await;
    given.put(TO_BALANCE, ["hello"]).await;
    assert_eq!(seen.next().await, ["hello"], "handed over");

    // More of them than one sweep takes are due, and older than the neighbour's row, whose hand-over got lost.
    let outbox = given.outbox.clone();
    let long_ago = crate::given::noon();
    for batch in 0..3 {
        let outbox = outbox.clone();
        let lost = move |tx: &mut storage::sqlite::Tx<'_>| {
            (0..1_000).for_each(|n| outbox.put(tx, long_ago, TO_WALLET, format!("{batch}-{n}")));
            Ok(())
        };
        given.database.writer().run(lost).await.unwrap();
    }
    let sql = "INSERT INTO exchanger_outbox (destination, payload, next_attempt_at)
               SELECT 'service:balance', 'lost', max(next_attempt_at) FROM exchanger_outbox";
    given
        .database
        .writer()
        .run(move |tx| tx.execute(sql, ()).map(drop))
        .await
        .unwrap();
    given.clock.advance(HAND_OVER);
    assert_eq!(seen.next().await, ["lost"], "swept");
    running.task.abort();
}

#[tokio::test]
async fn a_row_under_way_is_not_taken_a_second_time_by_the_sweep() {
    let (given, rows) = a_fresh_store();
    let gate = Arc::new(Semaphore::new(0));
    let (slow, mut seen) = courier({
        let gate = Arc::clone(&gate);
        move |rows| {
            let gate = Arc::clone(&gate);
            async move {
                let _open = gate.acquire().await.unwrap();
                all(&rows, &Delivered::Yes)
            }
        }
    });
    let running = given.dispatch(rows, [(TO_WALLET, slow)]);
    given.put(TO_WALLET, ["slow"]).await;
    seen.next().await;
    given.clock.advance(HAND_OVER);
    running.outbox.found(1).await;
    running.outbox.some_sweeps().await;
    gate.add_permits(1);
    running.outbox.settled(1).await;
    running.end().await;
    assert_eq!(seen.rest(), [""; 0]);
    assert_eq!(given.outbox.backlog().await, Ok(0));
}

#[tokio::test]
async fn after_a_crash_the_next_dispatcher_finds_the_rows() {
    let (given, rows) = a_fresh_store();
    given.put(TO_WALLET, ["committed, handed over to nobody"]).await;
    drop(rows);
    let (given, rows) = given.crash_and_restart().await;
    let (hanging, mut stuck) = courier(|_| std::future::pending());
    let running = given.dispatch(rows, [(TO_WALLET, hanging)]);
    given.clock.advance(HAND_OVER);
    assert_eq!(stuck.next().await, ["committed, handed over to nobody"]);

    // Dies again, in the middle of the delivery.
    running.task.abort();
    assert!(running.task.await.unwrap_err().is_cancelled());
    drop(running.outbox);
    let (given, rows) = given.crash_and_restart().await;
    let (good, mut seen) = a_good_courier();
    let running = given.dispatch(rows, [(TO_WALLET, good)]);
    running.outbox.some_sweeps().await;
    assert_eq!(seen.rest(), [""; 0], "another dispatcher may still be at it");
    given.clock.advance(Duration::from_secs(10));
    assert_eq!(seen.next().await, ["committed, handed over to nobody"]);
    running.outbox.settled(1).await;
    assert_eq!(given.outbox.backlog().await, Ok(0));
    running.end().await;
}

#[tokio::test]
async fn a_courier_that_panics_over_one_row_delivers_its_neighbours() {
    let (given, rows) = a_fresh_store();
    given.put(TO_WALLET, ["one", "poison", "three"]).await;
    let healed = Arc::new(AtomicBool::new(false));
    let (panicking, mut seen) = courier({
        let healed = Arc::clone(&healed);
        move |rows| {
            let healed = healed.load(Ordering::SeqCst);
            async move {
                assert!(
                    healed || rows.iter().all(|row| row.payload != "poison"),
                    "panics as arranged"
                );
                all(&rows, &Delivered::Yes)
            }
        }
    });
    let running = given.dispatch(rows, [(TO_WALLET, panicking)]);
    running.outbox.settled(3).await;
    assert_eq!(given.outbox.backlog().await, Ok(1), "the neighbours arrived");
    // More panics than deliveries may be under way: none of them takes a place with it.
    for settled in 4..12 {
        given.clock.advance(Duration::from_secs(10));
        running.outbox.settled(settled).await;
    }
    healed.store(true, Ordering::SeqCst);
    given.clock.advance(Duration::from_secs(10));
    running.outbox.settled(12).await;
    assert_eq!(given.outbox.backlog().await, Ok(0));
    given.put(TO_WALLET, ["after"]).await;
    running.outbox.settled(13).await;
    assert!(seen.rest().contains(&"after".to_owned()), "the lane lives on");
    running.end().await;
}

#[tokio::test]
async fn a_courier_that_miscounts_is_given_its_rows_one_by_one() {
    for outcomes in [0, 1, 4] {
        let (given, rows) = a_fresh_store();
        given.put(TO_WALLET, ["one", "two", "three"]).await;
        let (miscounting, mut seen) = courier(move |rows| async move {
            let outcomes = if rows.len() == 1 { 1 } else { outcomes };
            vec![Delivered::Yes; outcomes]
        });
        let running = given.dispatch(rows, [(TO_WALLET, miscounting)]);
        running.outbox.settled(3).await;
        assert_eq!(given.outbox.backlog().await, Ok(0));
        assert_eq!(seen.next_rows(6).await, ["one", "two", "three", "one", "two", "three"]);
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_courier_that_hangs_is_given_up_after_ten_seconds_and_its_rows_come_again() {
    let (given, rows) = a_fresh_store();
    let hangs = Arc::new(AtomicBool::new(true));
    let (courier, mut seen) = courier(move |rows| {
        let hangs = hangs.swap(false, Ordering::SeqCst);
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            all(&rows, &Delivered::Yes)
        }
    });
    given.put(TO_WALLET, ["hello"]).await;
    let running = given.dispatch(rows, [(TO_WALLET, courier)]);
    assert_eq!(seen.next_without_end().await, ["hello"]);
    let mut settled = running.outbox.settlements();
    settled.wait_for(|rows| *rows == 1).await.unwrap();
    assert_eq!(given.outbox.backlog().await, Ok(1));
    given.clock.advance(Duration::from_millis(100));
    settled.wait_for(|rows| *rows == 2).await.unwrap();
    assert_eq!(given.outbox.backlog().await, Ok(0));
}

#[tokio::test]
async fn a_delivery_that_could_not_be_recorded_at_once_is_recorded_later_and_not_repeated() {
    let (given, rows) = a_fresh_store();
    let (courier, mut seen) = a_good_courier();
    let running = given.dispatch(rows, [(TO_WALLET, courier)]);
    running.outbox.refusals.store(2, Ordering::SeqCst);
    given.put(TO_WALLET, ["hello"]).await;
    running.outbox.settled(1).await;
    assert_eq!(given.outbox.backlog().await, Ok(0));
    running.end().await;
    assert_eq!(seen.rest(), ["hello"]);
}

#[tokio::test]
async fn at_the_end_what_is_under_way_is_finished_and_the_rest_is_left() {
    let (given, rows) = a_fresh_store();
    let gate = Arc::new(Semaphore::new(0));
    let (slow, mut seen) = courier({
        let gate = Arc::clone(&gate);
        move |rows| {
            let gate = Arc::clone(&gate);
            async move {
                let _open = gate.acquire().await.unwrap();
                all(&rows, &Delivered::Yes)
            }
        }
    });
    let running = given.dispatch(rows, [(TO_WALLET, slow)]);
    given.put(TO_WALLET, ["under way"]).await;
    seen.next().await;
    running.stop.cancel();
    // Whether it is in the channel or in the lane by now, nobody carries it.
    given.put(TO_WALLET, ["too late"]).await;
    assert!(!running.task.is_finished());
    gate.add_permits(10);
    running.end().await;
    assert_eq!(given.outbox.backlog().await, Ok(1));
    assert_eq!(seen.rest(), [""; 0]);
}

#[tokio::test]
async fn rows_that_nobody_carries_stay_and_disturb_nobody() {
    let (given, rows) = a_fresh_store();
    let (courier, mut seen) = a_good_courier();
    let running = given.dispatch(rows, [(TO_BALANCE, courier)]);
    given.put(TO_WALLET, ["no courier"]).await;
    given.put(TO_BALANCE, ["hello"]).await;
    assert_eq!(seen.next().await, ["hello"]);
    running.outbox.settled(1).await;
    assert_eq!(given.outbox.backlog().await, Ok(1));
    running.end().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_put_off_what_waits() {
    let (given, rows) = a_fresh_store();
    let (courier, mut seen) = courier(|rows| async move { all(&rows, &not_yet()) });
    let running = given.dispatch(rows, [(TO_WALLET, courier)]);
    given.put(TO_WALLET, ["hello"]).await;
    assert_eq!(seen.next().await, ["hello"]);
    running.outbox.settled(1).await;
    running.outbox.some_sweeps().await;
    assert_eq!(seen.rest(), [""; 0], "its pause is not over");
    given.clock.set_back(Duration::from_secs(1));
    running.outbox.some_sweeps().await;
    assert_eq!(seen.rest(), [""; 0], "a second is nothing");
    given.clock.set_back(Duration::from_secs(60 * 60));
    assert_eq!(seen.next().await, ["hello"]);
    running.end().await;
}
