//! The adversary keeps the promise of a transport, and does everything else that it may.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use storage::commands::CommandStore as _;
use tokio::time::{Instant, timeout};
use transport::adversary::{Adversary, Malice};
use transport::command_worker::accept;
use transport::local::LocalTransport;
use transport::queue::Transport;

use crate::given::{a_fresh_store, command, entropy, soon};
use crate::handlers::{a_good_handler, start};
use crate::queues::{Kind, QUEUE, on_both_transports, order_of, orders, received};

on_both_transports! {
    a_worker_before_an_adversary_begins_each_command_once,
}

async fn a_worker_before_an_adversary_begins_each_command_once(kind: Kind) {
    let queues = kind.queues(100).await;
    let malice = Malice {
        late: Duration::from_millis(200),
        ..Malice::default()
    };
    let transport = before(Arc::clone(&queues.transport), malice);
    let (given, _rows) = a_fresh_store();
    let (handler, mut begun) = a_good_handler();
    let working = start(given.worker(handler, 8), transport.subscribe(QUEUE).await.unwrap());
    let commands = (1..=60).map(command).collect();
    accept(&given.commands, given.clock.as_ref(), None, commands)
        .await
        .unwrap();
    transport.publish(QUEUE, orders(1, 60)).await.unwrap();
    let mut once = BTreeSet::new();
    while once.len() < 60 {
        assert!(once.insert(begun.next().await.key), "begun twice");
    }
    soon(async { while given.commands.open_count().await != Ok(0) {} }).await;
    working.end().await;
    assert_eq!(begun.rest(), 0);
}

fn before(inner: Arc<dyn Transport>, malice: Malice) -> Adversary {
    Adversary::new(inner, entropy(), malice)
}

#[tokio::test(start_paused = true)]
async fn every_message_comes_three_times_out_of_order_and_some_of_it_late() {
    let malice = Malice {
        late: Duration::from_secs(120),
        ..Malice::default()
    };
    let transport = before(Arc::new(LocalTransport::new(1_000)), malice);
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 100)).await.unwrap();
    let began = Instant::now();
    let (mut seen, mut late) = (Vec::new(), 0);
    while seen.len() < 300 {
        let batch: Vec<_> = listener.receive(10).await.iter().map(order_of).collect();
        assert!((1..=10).contains(&batch.len()));
        if began.elapsed() >= Duration::from_secs(120) {
            late += batch.len();
        }
        seen.extend(batch);
    }
    let mut count = BTreeMap::new();
    for order in &seen {
        *count.entry(*order).or_insert(0) += 1;
    }
    assert!(
        count.len() == 100 && count.values().all(|copies| *copies == 3),
        "{count:?}"
    );
    assert!(!seen.is_sorted());
    assert!((20..=60).contains(&late), "one in eight: {late}");
    assert!(timeout(Duration::from_secs(1_000), listener.receive(1)).await.is_err());
}

#[tokio::test]
async fn a_message_is_settled_with_its_last_copy() {
    let queues = Kind::Nats.queues(1).await;
    let malice = Malice {
        one_late_in: 2,
        late: Duration::from_millis(100),
        ..Malice::default()
    };
    let transport = before(Arc::clone(&queues.transport), malice);
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    for order in 1..=3 {
        // There is room for one: the one before is settled by then.
        transport.publish(QUEUE, orders(order, order)).await.unwrap();
        let mut copies = Vec::new();
        while copies.len() < 3 {
            copies.extend(received(&mut listener, 10).await);
        }
        assert_eq!(copies, [order; 3]);
    }
    assert_eq!(transport.readiness(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_loses_nothing() {
    let transport = before(Arc::new(LocalTransport::new(100)), Malice::default());
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 20)).await.unwrap();
    let mut copies = 0;
    while copies < 60 {
        if let Ok(batch) = timeout(Duration::from_millis(1), listener.receive(3)).await {
            copies += batch.len();
        }
    }
    drop(transport);
    assert!(
        soon(listener.receive(1)).await.is_empty(),
        "it is over when all is handed out"
    );
}
