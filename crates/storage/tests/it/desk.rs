//! A desk: who waits together is served together, and nobody suffers for a neighbour.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use storage::StoreError;
use storage::sqlite::Desk;

use crate::group_commit::{numbers, with_a_table};
use crate::sqlite::{Given, open_fresh};

/// A desk that stores numbers, refuses to store 13, and answers with how many it was asked to store at once.
fn a_desk(given: &Given) -> Desk<i64, usize> {
    Desk::new(given.database.clone(), |tx, numbers| {
        for number in numbers {
            tx.execute("INSERT INTO numbers VALUES (?)", [**number])?;
            assert_ne!(**number, 26, "a number that nobody expects");
            if **number == 13 {
                return Err(rusqlite::Error::QueryReturnedNoRows);
            }
        }
        Ok(vec![numbers.len(); numbers.len()])
    })
}

/// Keeps the writer busy until the sender is used or dropped.
fn an_occupied_writer(given: &Given) -> std::sync::mpsc::SyncSender<()> {
    let (go, wait) = sync_channel(1);
    let writer = given.database.writer().clone();
    tokio::spawn(async move { writer.run(move |_| Ok(wait.recv().ok())).await });
    go
}

#[tokio::test]
async fn those_who_wait_are_served_in_one_batch_and_each_is_answered() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let desk = a_desk(&given);
    let go = an_occupied_writer(&given);
    tokio::task::yield_now().await;
    let brought = tokio::join!(desk.bring(1), desk.bring(2), desk.bring(3), async { go.send(()) });
    assert_eq!((brought.0, brought.1, brought.2), (Ok(3), Ok(3), Ok(3)));
    assert_eq!(desk.bring(4).await, Ok(1), "and the line begins anew");
    assert_eq!(numbers(&given.database).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn whoever_need_not_wait_for_the_disk_is_served_in_the_same_batch() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let desk = a_desk(&given);
    let go = an_occupied_writer(&given);
    tokio::task::yield_now().await;
    let brought = tokio::join!(desk.bring_ahead(1), desk.bring(2), desk.bring_ahead(3), async {
        go.send(())
    });
    assert_eq!((brought.0, brought.1, brought.2), (Ok(3), Ok(3), Ok(3)));
    assert_eq!(numbers(&given.database).await, [1, 2, 3]);
    let alone = tokio::join!(desk.bring_ahead(4), desk.bring_ahead(13));
    assert_eq!(alone.0, Ok(1));
    assert!(matches!(alone.1, Err(StoreError::Unavailable(_))));
    assert_eq!(numbers(&given.database).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn nothing_of_an_item_is_left_at_the_desk_when_its_caller_is_answered() {
    let given = open_fresh();
    let desk = Desk::new(given.database.clone(), |_, items: &[Arc<Arc<()>>]| {
        Ok(vec![(); items.len()])
    });
    let taken = Arc::new(());
    // Whoever answers is another thread, and only seldom slower than who is answered.
    for _ in 0..1_000 {
        let brought = tokio::join!(desk.bring(Arc::clone(&taken)), desk.bring(Arc::clone(&taken)));
        assert_eq!(brought, (Ok(()), Ok(())));
        assert_eq!(Arc::strong_count(&taken), 1);
        assert_eq!(desk.bring_ahead(Arc::clone(&taken)).await, Ok(()));
        assert_eq!(Arc::strong_count(&taken), 1);
    }
}

#[tokio::test]
async fn one_whose_work_fails_or_panics_fails_alone() {
    for bad in [13, 26] {
        let given = open_fresh();
        with_a_table(&given.database).await;
        let desk = a_desk(&given);
        let go = an_occupied_writer(&given);
        tokio::task::yield_now().await;
        let brought = tokio::join!(desk.bring(1), desk.bring(bad), desk.bring(3), async { go.send(()) });
        assert_eq!((brought.0, brought.2), (Ok(1), Ok(1)));
        assert!(matches!(brought.1, Err(StoreError::Unavailable(_))));
        assert_eq!(numbers(&given.database).await, [1, 3]);
    }
}

#[tokio::test]
async fn those_in_line_behind_one_who_leaves_are_served_all_the_same() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let desk = a_desk(&given);
    let mut first = Box::pin(desk.bring(1));
    let mut second = Box::pin(desk.bring(2));
    for waiting in [&mut first, &mut second] {
        tokio::select! {
            biased;
            _ = waiting => panic!("nothing is on disk yet"),
            () = std::future::ready(()) => {}
        }
    }
    drop(first);
    assert_eq!(second.await, Ok(1));
    assert_eq!(numbers(&given.database).await, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_come_at_once_are_all_answered_after_their_commit() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let desk = a_desk(&given);
    let answered = Arc::new(AtomicUsize::new(0));
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let callers: Vec<_> = (100..600)
        .map(|number| {
            let (desk, answered, sizes) = (desk.clone(), Arc::clone(&answered), Arc::clone(&sizes));
            tokio::spawn(async move {
                let size = desk.bring(number).await.unwrap();
                answered.fetch_add(1, Ordering::SeqCst);
                sizes.lock().unwrap().push(size);
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(answered.load(Ordering::SeqCst), 500);
    assert_eq!(numbers(&given.database).await, (100..600).collect::<Vec<_>>());
}
