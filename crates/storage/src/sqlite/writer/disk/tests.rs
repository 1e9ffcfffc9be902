//! A disk that takes its time, or fails: who hears of what, and what is in the file afterwards.

mod ahead;
mod company;
mod deaths;

use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::{Tx, Writer};
use super::*;
use crate::sqlite::Readers;

type Told<T> = JoinHandle<Result<T, StoreError>>;

/// A writer whose disk takes what it is given when it is told to, well or not.
struct Given {
    writer: Writer,
    readers: Readers,
    disk: SyncSender<io::Result<()>>,
    asked: Receiver<()>,
    /// Lets [`Given::write_slowly`] come to its end.
    go_on: SyncSender<()>,
    gate: Arc<Mutex<Receiver<()>>>,
    path: PathBuf,
    /// Gone when the writer has ended.
    lock: Weak<File>,
    folder: tempfile::TempDir,
}

fn a_slow_disk() -> Given {
    a_disk(Duration::ZERO)
}

/// A slow disk, and a writer that keeps a group open for `company` while that is busy.
fn a_disk(company: Duration) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let connection = Connection::open(&path).unwrap();
    let schema = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;
        CREATE TABLE t (n INTEGER PRIMARY KEY);
        CREATE TABLE orphans (n INTEGER REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)";
    connection.execute_batch(schema).unwrap();
    let (disk, told) = sync_channel::<io::Result<()>>(10);
    let (asks, asked) = sync_channel(10);
    let to_disk: Force = Box::new(move || {
        let _ = asks.send(());
        let told = told.recv().unwrap_or(Ok(()));
        let dies = told
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
        assert!(!dies, "as arranged");
        told
    });
    let (go_on, gate) = sync_channel(1);
    let lock = Arc::new(tempfile::tempfile().unwrap());
    let held = Arc::downgrade(&lock);
    let writer = Writer::start(
        connection,
        Connection::open(&path).unwrap(),
        100,
        to_disk,
        company,
        lock,
    )
    .unwrap();
    // As the real ones: only a connection that may write takes the log away when it is the last to close.
    let reading = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let readers = Readers::new(vec![reading], writer.forced().clone());
    Given {
        writer,
        readers,
        disk,
        asked,
        go_on,
        gate: Arc::new(Mutex::new(gate)),
        path,
        lock: held,
        folder,
    }
}

impl Given {
    /// Writes a number; the second is told once it is in the transaction.
    fn write(&self, number: i64) -> (Told<usize>, oneshot::Receiver<()>) {
        let writer = self.writer.clone();
        let (entered, inside) = oneshot::channel();
        let job = move |tx: &mut Tx<'_>| {
            let _ = entered.send(());
            tx.execute("INSERT INTO t VALUES (?)", [number])
        };
        (tokio::spawn(async move { writer.run(job).await }), inside)
    }

    /// Writes a number when it is let go on; the second is told once it is in the transaction.
    fn write_slowly(&self) -> (Told<usize>, oneshot::Receiver<()>) {
        let (writer, gate) = (self.writer.clone(), Arc::clone(&self.gate));
        let (entered, inside) = oneshot::channel();
        let job = move |tx: &mut Tx<'_>| {
            let _ = entered.send(());
            let _ = gate.lock().unwrap().recv();
            tx.execute("INSERT INTO t VALUES (100)", ())
        };
        (tokio::spawn(async move { writer.run(job).await }), inside)
    }

    /// The file as another program sees it, which waits for no disk.
    fn file(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    /// Counts the numbers; the second is told once it has seen them.
    fn count(&self) -> (Told<i64>, oneshot::Receiver<()>) {
        let readers = self.readers.clone();
        let (left, seen) = oneshot::channel();
        let count = move |connection: &Connection| {
            let count = connection.query_row("SELECT count(*) FROM t", (), |row| row.get(0));
            let _ = left.send(());
            count
        };
        (tokio::spawn(async move { readers.run(count).await }), seen)
    }

    /// The disk is asked for the next group, before an hour of company has passed.
    async fn disk_is_asked(self) -> Self {
        let waits = tokio::task::spawn_blocking(move || {
            let asked = self.asked.recv_timeout(Duration::from_secs(60));
            asked.expect("the disk is not asked");
            self
        });
        waits.await.unwrap()
    }
}

#[tokio::test]
async fn neither_a_writer_nor_a_reader_hears_of_a_commit_before_it_is_on_disk() {
    let given = a_slow_disk();
    let (first, _) = given.write(1);
    let given = given.disk_is_asked().await;
    let (read, seen) = given.count();
    seen.await.unwrap();
    // Whoever comes now joins the next group, which is written but cannot be forced yet.
    let (second, inside) = given.write(2);
    inside.await.unwrap();
    assert!(!first.is_finished() && !read.is_finished() && !second.is_finished());
    given.disk.send(Ok(())).unwrap();
    assert_eq!(first.await.unwrap(), Ok(1));
    let given = given.disk_is_asked().await;
    assert!(!second.is_finished());
    given.disk.send(Ok(())).unwrap();
    assert_eq!(second.await.unwrap(), Ok(1));
    assert_eq!(read.await.unwrap(), Ok(1), "of the moment in which it was read");
    assert_eq!(given.count().0.await.unwrap(), Ok(2));
}

#[tokio::test]
async fn after_a_disk_that_failed_nothing_is_stored_or_told_any_more() {
    let given = a_slow_disk();
    let (first, _) = given.write(1);
    let given = given.disk_is_asked().await;
    let (second, inside) = given.write(2);
    inside.await.unwrap();
    given.disk.send(Err(io::Error::other("as arranged"))).unwrap();
    let first = first.await.unwrap();
    assert!(
        matches!(first, Err(StoreError::Unknown(_))),
        "the next process may find it: {first:?}"
    );
    for unwritten in [second, given.write(3).0] {
        assert!(matches!(unwritten.await.unwrap(), Err(StoreError::Unavailable(_))));
    }
    assert!(matches!(
        given.count().0.await.unwrap(),
        Err(StoreError::Unavailable(_))
    ));
    assert!(given.asked.try_recv().is_err(), "nobody tries the disk again");
    let stored = given.file();
    let only: i64 = stored.query_row("SELECT sum(n) FROM t", (), |row| row.get(0)).unwrap();
    assert_eq!(only, 1, "what came after it is not even written");
    drop(stored);
    let Given {
        writer,
        readers,
        path,
        lock,
        folder,
        ..
    } = given;
    drop((writer, readers));
    let ended = async {
        while lock.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
    assert!(
        path.with_extension("db-wal").exists(),
        "the next process writes the log once more"
    );
    drop(folder);
}

#[tokio::test]
async fn what_is_tried_again_because_the_disk_failed_is_not_stored_beside_the_first_try() {
    let given = a_slow_disk();
    let (first, _) = given.write(1);
    let given = given.disk_is_asked().await;
    // It keeps the next group open, so that whoever tries again finds room in it.
    let (open, inside) = given.write_slowly();
    inside.await.unwrap();
    given.disk.send(Err(io::Error::other("as arranged"))).unwrap();
    assert!(first.await.unwrap().is_err());
    let (again, _) = given.write(1);
    while given.writer.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    given.go_on.send(()).unwrap();
    assert!(open.await.unwrap().is_err() && again.await.unwrap().is_err());
    let count: i64 = given
        .file()
        .query_row("SELECT count(*) FROM t", (), |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_thread_that_dies_counts_as_a_disk_that_has_failed() {
    let given = a_slow_disk();
    let (written, _) = given.write(1);
    let given = given.disk_is_asked().await;
    given
        .disk
        .send(Err(io::Error::from(io::ErrorKind::Interrupted)))
        .unwrap();
    assert!(matches!(written.await.unwrap(), Err(StoreError::Unknown(_))));
    assert!(matches!(
        given.writer.forced().failure().await,
        StoreError::Unavailable(_)
    ));
    assert!(matches!(
        given.count().0.await.unwrap(),
        Err(StoreError::Unavailable(_))
    ));
}

#[tokio::test]
async fn no_commit_is_written_while_the_one_before_it_is_not_on_disk() {
    let given = a_slow_disk();
    let (first, _) = given.write(1);
    let given = given.disk_is_asked().await;
    let (second, inside) = given.write(2);
    inside.await.unwrap();
    // It would come into a group of its own if the second were committed already.
    let (third, inside) = given.write(3);
    inside.await.unwrap();
    let written = given
        .file()
        .query_row("SELECT group_concat(n) FROM t", (), |row| row.get::<_, String>(0));
    assert_eq!(written.as_deref(), Ok("1"));
    for _ in 0..2 {
        given.disk.send(Ok(())).unwrap();
    }
    for written in [first, second, third] {
        assert_eq!(written.await.unwrap(), Ok(1));
    }
}

#[tokio::test]
async fn a_commit_that_fails_lets_no_reader_past_what_the_one_before_it_has_still_to_do() {
    let given = a_slow_disk();
    let (entered, inside) = oneshot::channel();
    let gate = Arc::clone(&given.gate);
    let writer = given.writer.clone();
    let first = tokio::spawn(async move {
        let job = move |tx: &mut Tx<'_>| {
            tx.after_commit(move || {
                let _ = entered.send(());
                let _ = gate.lock().unwrap().recv();
            });
            tx.execute("INSERT INTO t VALUES (1)", ())
        };
        writer.run(job).await
    });
    let given = given.disk_is_asked().await;
    given.disk.send(Ok(())).unwrap();
    inside.await.unwrap();
    let orphan = |tx: &mut Tx<'_>| tx.execute("INSERT INTO orphans VALUES (2)", ());
    assert!(given.writer.run(orphan).await.is_err());
    let progress = given.writer.forced().clone();
    assert!(progress.catch_up().now_or_never().is_none(), "a reader is let past");
    given.go_on.send(()).unwrap();
    given.disk.send(Ok(())).unwrap();
    assert_eq!(first.await.unwrap(), Ok(1));
    assert_eq!(progress.catch_up().await, Ok(()));
}
