//! Commands that are put off.

use std::sync::Arc;
use std::time::Duration;

use contracts::messages::Status;
use contracts::time::later;
use contracts::{Clock, SystemClock};
use storage::commands::{CommandStore, Settlement};
use transport::command_worker::CommandWorker;

use super::{a_queue, said};
use crate::given::{a_fresh_store, key, soon, wake_up};
use crate::handlers::{finished, handler, start};
use crate::queues::{Kind, QUEUE, on_both_transports};

on_both_transports! {
    a_postponed_command_comes_again_at_its_time_with_what_was_noted,
    a_postponed_command_comes_again_before_the_next_sweep_if_it_is_due_by_then,
}

async fn a_postponed_command_comes_again_before_the_next_sweep_if_it_is_due_by_then(kind: Kind) {
    let (given, mut rows) = a_fresh_store();
    let (handler, _begun) = handler(|claimed| async move {
        if claimed.tries > 0 {
            return finished();
        }
        Settlement::Postponed {
            until: later(SystemClock.now(), Duration::from_millis(100)),
            reason: "as arranged".to_owned(),
            answer_missing: false,
            progress: None,
        }
    });
    let (_transport, wake_ups) = a_queue(kind).await;
    given.accept([1]).await;
    let worker = CommandWorker {
        clock: Arc::new(SystemClock),
        sweep_every: Duration::from_secs(3_600),
        ..given.worker(handler, 4)
    };
    let running = start(worker, wake_ups);
    assert_eq!(said(&mut rows).await, (1, Status::Done));
    running.end().await;
}

async fn a_postponed_command_comes_again_at_its_time_with_what_was_noted(kind: Kind) {
    let (given, mut rows) = a_fresh_store();
    let until = later(given.clock.now(), Duration::from_secs(7));
    let (handler, mut begun) = handler(move |claimed| async move {
        if claimed.tries > 0 {
            return finished();
        }
        Settlement::Postponed {
            until,
            reason: "as arranged".to_owned(),
            answer_missing: false,
            progress: Some("attempt 2".to_owned()),
        }
    });
    let (transport, wake_ups) = a_queue(kind).await;
    let running = start(given.worker(handler, 4), wake_ups);
    given.accept([1]).await;
    transport.publish(QUEUE, vec![wake_up(1)]).await.unwrap();
    assert_eq!(begun.next().await.progress, "attempt 1");
    soon(async {
        while given.commands.record(key(1)).await.unwrap().unwrap().progress != "attempt 2" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    given.clock.advance(Duration::from_secs(7));
    let again = begun.next().await;
    assert_eq!((again.progress.as_str(), again.tries, again.epoch), ("attempt 2", 1, 2));
    assert_eq!(said(&mut rows).await, (1, Status::Done));
    running.end().await;
}
