//! A full disk: whoever was told yes finds it there, whoever was told no does not, and it goes on when there is room.

use std::path::Path;
use std::time::Duration;

use storage::StoreError;
use storage::sqlite::{Database, Options, Tx};

use crate::group_commit::{a_writer_held_up, numbers, set, with_a_table};
use crate::sqlite::open;

/// A database that may grow by some hundred kilobytes and no more.
async fn on_a_small_disk(folder: &tempfile::TempDir) -> Database {
    let database = open(folder.path(), Options::default()).unwrap();
    with_a_table(&database).await;
    database
        .writer()
        .run(|tx| {
            tx.execute_batch("CREATE TABLE ballast (content BLOB) STRICT")?;
            let pages: i64 = tx.query_row("PRAGMA page_count", (), |row| row.get(0))?;
            tx.query_row(&format!("PRAGMA max_page_count = {}", pages + 50), (), |_| Ok(()))
        })
        .await
        .unwrap();
    database
}

fn heavy(tx: &Tx<'_>) -> rusqlite::Result<()> {
    tx.execute("INSERT INTO ballast VALUES (zeroblob(1000000))", ())
        .map(drop)
}

#[tokio::test]
async fn on_a_full_disk_a_yes_is_on_disk_and_a_no_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let database = on_a_small_disk(&folder).await;
    let (blocking, release) = a_writer_held_up(&database).await;
    // All of these wait, and share the next groups; every third one is more than the disk holds.
    let jobs: Vec<_> = (0..30)
        .map(|number| {
            let database = database.clone();
            tokio::spawn(async move {
                let job = move |tx: &mut Tx<'_>| {
                    tx.execute("INSERT INTO numbers VALUES (?)", [number])?;
                    if number % 3 == 2 { heavy(tx) } else { Ok(()) }
                };
                (number, database.writer().run(job).await)
            })
        })
        .collect();
    while database.writer().waiting() < 30 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    // It shares its group with the first that is too heavy, and is told no as well.
    assert!(matches!(blocking.await.unwrap(), Err(StoreError::Unavailable(_))));
    let mut on_disk = Vec::new();
    for job in jobs {
        let (number, answer) = job.await.unwrap();
        match answer {
            Ok(()) => on_disk.push(number),
            Err(StoreError::Unavailable(reason)) => assert!(reason.contains("full"), "{reason}"),
            Err(error @ (StoreError::Overloaded | StoreError::Unknown(_))) => {
                panic!("it is the disk that is full: {error}")
            }
        }
    }
    assert_eq!(numbers(&database).await, on_disk);
    assert!(on_disk.iter().all(|number| number % 3 != 2));

    set(&database, 1_000).await.unwrap();
    assert!(numbers(&database).await.contains(&1_000), "what fits is still taken");
}

#[tokio::test]
async fn a_job_that_shrugs_off_the_full_disk_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let database = on_a_small_disk(&folder).await;
    let careless = database.writer().run(|tx| {
        tx.execute("INSERT INTO numbers VALUES (1)", ())?;
        // SQLite has rolled back everything by now, the first number too.
        let _ = heavy(tx);
        let _ = tx.execute("INSERT INTO numbers VALUES (2)", ());
        Ok(())
    });
    assert!(matches!(careless.await, Err(StoreError::Unavailable(_))));
    assert_eq!(numbers(&database).await, [] as [i64; 0]);
}

#[tokio::test]
async fn when_there_is_room_again_everything_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = on_a_small_disk(&folder).await;
    assert!(database.writer().run(|tx| heavy(tx)).await.is_err());
    database
        .writer()
        .run(|tx| tx.query_row("PRAGMA max_page_count = 1000000", (), |_| Ok(())))
        .await
        .unwrap();
    database.writer().run(|tx| heavy(tx)).await.unwrap();
}

/// What tells a log from the one before it (SQLite documentation, "Database File Format", section 4.1).
fn salt_of_the_log(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("test.db-wal")).unwrap()[16..24].to_vec()
}

#[tokio::test]
async fn where_there_is_no_room_the_log_begins_anew_in_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let database = on_a_small_disk(&folder).await;
    let before = salt_of_the_log(folder.path());
    let begins_anew = async {
        for number in 0.. {
            // While nothing can be stored it is copied.
            for _ in 0..50 {
                assert!(database.writer().run(|tx| heavy(tx)).await.is_err());
            }
            set(&database, number).await.unwrap();
            if salt_of_the_log(folder.path()) != before {
                break;
            }
        }
    };
    let begun = tokio::time::timeout(Duration::from_secs(60), begins_anew).await;
    begun.expect("the log, which is short, goes on growing");
}
