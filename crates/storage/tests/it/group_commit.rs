//! One writer, many jobs, one commit: nobody harms a neighbour, and an answer means that it is on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use storage::StoreError;
use storage::sqlite::{Database, Options, Tx};
use tokio::task::JoinHandle;

use crate::sqlite::{Failure, open, open_fresh};

pub(crate) async fn set(database: &Database, number: i64) -> Result<(), StoreError> {
    database
        .writer()
        .run(move |tx: &mut Tx<'_>| tx.execute("INSERT INTO numbers VALUES (?)", [number]).map(drop))
        .await
}

pub(crate) async fn numbers(database: &Database) -> Vec<i64> {
    database
        .readers()
        .run(|connection| {
            connection
                .prepare("SELECT n FROM numbers ORDER BY n")?
                .query_map((), |row| row.get(0))?
                .collect()
        })
        .await
        .unwrap()
}

pub(crate) async fn with_a_table(database: &Database) {
    database
        .writer()
        .run(|tx| tx.execute_batch("CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refused_job_changes_nothing_and_its_neighbours_are_committed() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let half_done = given.database.writer().run(|tx| {
        tx.execute("INSERT INTO numbers VALUES (100)", ())?;
        tx.execute("INSERT INTO numbers VALUES (1)", ()).map(drop)
    });
    let (first, half_done, third) = tokio::join!(set(&given.database, 1), half_done, set(&given.database, 3));
    assert_eq!((first, third), (Ok(()), Ok(())));
    assert!(matches!(half_done, Err(StoreError::Unavailable(_))));
    assert_eq!(numbers(&given.database).await, [1, 3]);
}

#[tokio::test]
async fn a_job_that_panics_changes_nothing_and_the_writer_lives_on() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let panicking = given.database.writer().run(|tx| -> rusqlite::Result<()> {
        tx.execute("INSERT INTO numbers VALUES (100)", ())?;
        panic!("as arranged")
    });
    let (panicked, neighbour) = tokio::join!(panicking, set(&given.database, 2));
    assert!(panicked.unwrap_err().to_string().contains("as arranged"));
    assert_eq!(neighbour, Ok(()));
    assert_eq!(numbers(&given.database).await, [2]);
}

#[tokio::test]
async fn what_follows_a_commit_happens_only_for_jobs_that_were_committed() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let (committed, rolled_back) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (flag, other) = (Arc::clone(&committed), Arc::clone(&rolled_back));
    let good = given.database.writer().run(move |tx| {
        tx.after_commit(move || flag.store(true, Ordering::SeqCst));
        tx.execute("INSERT INTO numbers VALUES (1)", ()).map(drop)
    });
    let bad = given.database.writer().run(move |tx| {
        tx.after_commit(move || other.store(true, Ordering::SeqCst));
        tx.execute("INSERT INTO numbers VALUES ('no number')", ()).map(drop)
    });
    let (good, bad) = tokio::join!(good, bad);
    assert!(good.is_ok() && bad.is_err());
    assert!(committed.load(Ordering::SeqCst), "before the answer is given");
    assert!(!rolled_back.load(Ordering::SeqCst));
}

#[tokio::test]
async fn what_follows_a_commit_may_panic_without_taking_the_writer_along() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let told = given.database.writer().run(|tx| {
        tx.after_commit(|| panic!("as arranged"));
        tx.execute("INSERT INTO numbers VALUES (1)", ()).map(drop)
    });
    assert!(told.await.is_ok(), "it is on disk");
    set(&given.database, 2).await.unwrap();
    assert_eq!(numbers(&given.database).await, [1, 2]);
}

#[tokio::test]
async fn a_job_that_commits_by_itself_is_undone_with_its_group() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let job = given.database.writer().run(|tx| {
        tx.execute("INSERT INTO numbers VALUES (1)", ())?;
        tx.execute_batch("COMMIT; INSERT INTO numbers VALUES (2)")
    });
    assert!(matches!(job.await, Err(StoreError::Unavailable(_))));
    set(&given.database, 3).await.unwrap();
    assert_eq!(numbers(&given.database).await, [3]);
}

#[tokio::test]
async fn a_job_that_rolls_back_by_itself_writes_nothing_outside_of_its_group() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let job = given.database.writer().run(|tx| {
        tx.execute_batch("ROLLBACK")?;
        // From here on each statement is a transaction of its own.
        let outside = tx.execute("INSERT INTO numbers VALUES (1)", ());
        assert!(outside.is_err(), "refused");
        Ok(())
    });
    assert!(matches!(job.await, Err(StoreError::Unavailable(_))));
    set(&given.database, 3).await.unwrap();
    assert_eq!(numbers(&given.database).await, [3]);
}

#[tokio::test]
async fn a_full_queue_is_said_to_be_full_and_nothing_of_the_job_happens() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(
        folder.path(),
        Options {
            queue: 1,
            ..Options::default()
        },
    )
    .unwrap();
    with_a_table(&database).await;
    let (blocking, release) = a_writer_held_up(&database).await;
    let waiting = tokio::spawn({
        let database = database.clone();
        async move { set(&database, 1).await }
    });
    while database.writer().waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(set(&database, 2).await, Err(StoreError::Overloaded));
    release.send(()).unwrap();
    assert_eq!((blocking.await.unwrap(), waiting.await.unwrap()), (Ok(()), Ok(())));
    assert_eq!(numbers(&database).await, [1]);
}

#[tokio::test]
async fn a_job_runs_even_when_its_caller_stops_waiting() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let (blocking, release) = a_writer_held_up(&given.database).await;
    tokio::select! {
        biased;
        _ = set(&given.database, 7) => panic!("the writer is held up"),
        () = std::future::ready(()) => {}
    }
    release.send(()).unwrap();
    blocking.await.unwrap().unwrap();
    set(&given.database, 8).await.unwrap();
    assert_eq!(numbers(&given.database).await, [7, 8]);
}

/// Occupies the writer with a job that ends when told to.
pub(crate) async fn a_writer_held_up(database: &Database) -> (JoinHandle<Result<(), StoreError>>, SyncSender<()>) {
    let (release, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let (entered, inside) = tokio::sync::oneshot::channel();
    let database = database.clone();
    let held_up = tokio::spawn(async move {
        let job = move |_: &mut Tx<'_>| {
            let _ = entered.send(());
            let _ = gate.recv();
            Ok(())
        };
        database.writer().run(job).await
    });
    inside.await.unwrap();
    (held_up, release)
}

#[tokio::test]
async fn a_second_process_is_kept_out_until_the_first_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), Options::default()).unwrap();
    let Err(Failure::Open(refusal)) = open(folder.path(), Options::default()) else {
        panic!("two writers")
    };
    assert!(
        refusal.to_string().contains("in use by another cambist process"),
        "{refusal}"
    );
    drop(first);
    open(folder.path(), Options::default()).unwrap();
}

#[tokio::test]
async fn the_next_process_waits_until_the_last_job_of_the_first_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), Options::default()).unwrap();
    with_a_table(&first).await;
    let (blocking, release) = a_writer_held_up(&first).await;
    let writer = first.writer().clone();
    let last = tokio::spawn(async move {
        writer
            .run(|tx| tx.execute("INSERT INTO numbers VALUES (1)", ()).map(drop))
            .await
    });
    while first.writer().waiting() == 0 {
        tokio::task::yield_now().await;
    }
    // All handles are gone, and so is everybody who waited; the job is still in the queue.
    last.abort();
    blocking.abort();
    drop(first);
    let path = folder.path().to_owned();
    let second = tokio::task::spawn_blocking(move || open(&path, Options::default()));
    tokio::task::yield_now().await;
    release.send(()).unwrap();
    assert_eq!(numbers(&second.await.unwrap().unwrap()).await, [1]);
}

#[tokio::test]
async fn nobody_else_on_the_machine_reads_the_files() {
    use std::os::unix::fs::PermissionsExt as _;

    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let database = open(&folder, Options::default()).unwrap();
    with_a_table(&database).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
