//! The connection breaks while a transaction is committed: nobody knows what became of it, nobody is told otherwise, and
//! whoever asks again finds out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::random::{Entropy as _, SeededEntropy};
use futures::future::join_all;
use storage::StoreError;
use storage::outbox::OutboxStore as _;
use storage::postgres::PostgresOutbox;
use test_servers::postgres::Way;
use wallet::domain::Fact;
use wallet::ports::{Advanced, NewOrder, Placement};

use super::{connect, given, replica};
use crate::conformance::{after, key, listen, new_order, start};
use crate::samples::*;

fn keyed(number: usize) -> NewOrder {
    NewOrder {
        idempotency: key(&format!("k{number}"), 1),
        ..new_order(2)
    }
}

#[tokio::test]
async fn a_commit_that_never_came_is_unknown_to_all_who_waited_for_it_and_nobody_waits_for_its_holds() {
    let given = given().await;
    let owner = given.owner().await;
    let dies_at_commit = "
        CREATE FUNCTION wallet.die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON wallet.orders DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wallet.die()";
    owner.batch_execute(dies_at_commit).await.unwrap();
    let (heard, _) = listen();
    let create = |number| {
        let ear = Arc::clone(&heard);
        let announce = Box::new(move |undecided| ear.lock().unwrap().push(undecided));
        given
            .one
            .orders
            .create_orders(start(), after(3), vec![keyed(number)], announce)
    };
    for answer in join_all((0..5).map(create)).await {
        assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    }
    assert!(heard.lock().unwrap().is_empty());
    owner.batch_execute("DROP TRIGGER dies ON wallet.orders").await.unwrap();
    for answer in join_all((0..5).map(create)).await {
        assert!(matches!(answer.unwrap().as_slice(), [Placement::Created(_)]));
    }
    assert_eq!(heard.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn what_was_done_by_a_commit_whose_answer_is_lost_is_found_by_asking_again() {
    let given = given().await;
    let url = given.home.url();
    let way = Way::to(&url);
    let far = replica(connect(way.url()).await);
    let (outbox, _rows) = PostgresOutbox::new(connect(&url).await, 1);

    let create = || {
        far.orders
            .create_orders(start(), after(3), vec![keyed(1)], Box::new(|_| {}))
    };
    way.break_at_commit(1);
    let lost = create().await;
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    assert!(
        far.rows.lock().unwrap().try_recv().is_err(),
        "its hold waits in the table"
    );
    assert_eq!(outbox.backlog().await, Ok(1));
    let again = create().await.unwrap();
    let [Placement::Replayed(order)] = again.as_slice() else {
        panic!("{again:?}")
    };
    assert_eq!(outbox.backlog().await, Ok(1));

    let held = || {
        far.orders
            .advance(after(1), after(4), vec![(order.id, event(Fact::Held))])
    };
    way.break_at_commit(1);
    let lost = held().await;
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    assert_eq!(outbox.backlog().await, Ok(2));
    let again = held().await.unwrap();
    assert!(matches!(again.as_slice(), [Advanced::Ignored { .. }]), "{again:?}");
    assert_eq!(outbox.backlog().await, Ok(2), "one hold and one trade");
}

#[tokio::test]
async fn callers_who_wait_are_served_in_one_transaction() {
    let given = given().await;
    let create = |number| {
        given
            .one
            .orders
            .create_orders(start(), after(3), vec![keyed(number)], Box::new(|_| {}))
    };
    let placed = join_all((0..50).map(create)).await;
    assert!(
        placed
            .into_iter()
            .all(|placed| matches!(placed.unwrap().as_slice(), [Placement::Created(_)]))
    );
    let transactions = "SELECT count(DISTINCT xmin::text) FROM wallet.orders";
    let transactions = given.owner().await.query_one(transactions, &[]).await.unwrap();
    assert!(transactions.get::<_, i64>(0) <= 2, "the first, and all others");
}

/// Asks until there is an answer.
async fn at_last<T>(mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    for _ in 0..10_000 {
        if let Ok(answer) = ask().await {
            return answer;
        }
    }
    panic!("nothing gets through");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_connections_are_killed_at_any_moment_is_stored_and_moved_once() {
    const ORDERS: usize = 60;
    let given = given().await;
    let (outbox, _rows) = PostgresOutbox::new(connect(&given.home.url()).await, 1);
    let done = Arc::new(AtomicBool::new(false));
    let killer = given.owner().await;
    let killing = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let dice = SeededEntropy::new(11);
            let mut killed = 0;
            while !done.load(Ordering::Relaxed) {
                // A moment of some round trips, never the same.
                for _ in 0..dice.next_u64() % 40 {
                    killer.query("SELECT 1", &[]).await.unwrap();
                }
                let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND query LIKE '%wallet.%' AND pid <> pg_backend_pid()";
                killed += killer.query(sql, &[]).await.unwrap().len();
            }
            killed
        }
    });
    let store = &given.one.orders;
    let mut placed = BTreeSet::new();
    for number in 0..ORDERS {
        let create = async || {
            store
                .create_orders(start(), after(3), vec![keyed(number)], Box::new(|_| {}))
                .await
        };
        let answer = at_last(create).await;
        let [Placement::Created(order) | Placement::Replayed(order)] = answer.as_slice() else {
            panic!("{answer:?}")
        };
        assert!(placed.insert(order.id), "it is another request's");
        let held = async || {
            store
                .advance(after(1), after(4), vec![(order.id, event(Fact::Held))])
                .await
        };
        let answer = at_last(held).await;
        assert!(
            matches!(answer.as_slice(), [Advanced::Moved { .. } | Advanced::Ignored { .. }]),
            "{answer:?}"
        );
    }
    done.store(true, Ordering::Relaxed);
    assert!(killing.await.unwrap() > 0, "nobody was killed");
    let stored = at_last(async || store.orders(user(2), None, 1_000).await).await;
    assert_eq!(stored.iter().map(|order| order.id).collect::<BTreeSet<_>>(), placed);
    assert!(stored.iter().all(|order| order.revision == 2));
    assert_eq!(
        at_last(async || outbox.backlog().await).await,
        2 * 60,
        "a hold and a trade of each"
    );
}
