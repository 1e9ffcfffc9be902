//! What goes ahead of the disk (ADR 011): it waits for the commit, and nothing on top of it is there without it.

use std::future::Future as _;
use std::pin::pin;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use contracts::ServiceName;
use contracts::messages::Queue;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Duration, Given, StoreError, Told, Tx, a_disk, a_slow_disk};
use crate::outbox::Destination;
use crate::sqlite::{Database, Desk, OUTBOX_SCHEMA, OUTBOX_TIMES, OUTBOX_TOGETHER, OutboxRows, SqliteOutbox};

impl Given {
    /// Writes a number; the second is told ahead of the disk.
    fn write_ahead(&self, number: i64) -> (Told<usize>, oneshot::Receiver<()>) {
        let writer = self.writer.clone();
        let (ahead, written) = oneshot::channel();
        let job = move |tx: &mut Tx<'_>| {
            tx.once_written(move || {
                let _ = ahead.send(());
            });
            tx.execute("INSERT INTO t VALUES (?)", [number])
        };
        (tokio::spawn(async move { writer.run(job).await }), written)
    }

    fn database(&self) -> Database {
        Database::of(self.writer.clone(), self.readers.clone(), &self.path)
    }

    /// The numbers in the file after a power cut that left this of the log.
    fn after_a_power_cut(&self, log: &[u8]) -> Vec<i64> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        std::fs::copy(&self.path, &path).unwrap();
        std::fs::write(path.with_extension("db-wal"), log).unwrap();
        let connection = Connection::open(&path).unwrap();
        let mut numbers = connection.prepare("SELECT n FROM t ORDER BY n").unwrap();
        let numbers = numbers.query_map((), |row| row.get(0)).unwrap();
        numbers.map(Result::unwrap).collect()
    }
}

#[tokio::test]
async fn what_goes_ahead_of_the_disk_waits_for_the_commit_and_not_for_the_disk() {
    let given = a_slow_disk();
    let (answer, written) = given.write_ahead(1);
    written.await.unwrap();
    assert_eq!(given.file().query_row("SELECT n FROM t", (), |row| row.get(0)), Ok(1));
    let given = given.disk_is_asked().await;
    assert!(!answer.is_finished(), "the answer waits for the disk");
    given.disk.send(Ok(())).unwrap();
    assert_eq!(answer.await.unwrap(), Ok(1));
}

#[tokio::test]
async fn nothing_goes_ahead_of_a_commit_that_fails() {
    let given = a_slow_disk();
    let (ahead, written) = oneshot::channel();
    let orphan = |tx: &mut Tx<'_>| {
        tx.once_written(move || {
            let _ = ahead.send(());
        });
        tx.execute("INSERT INTO orphans VALUES (2)", ())
    };
    assert!(given.writer.run(orphan).await.is_err());
    assert!(written.await.is_err(), "it was dropped");
}

#[tokio::test]
async fn after_a_power_cut_no_step_is_there_without_the_one_that_led_to_it() {
    const STEPS: i64 = 8;
    const BLOCK: usize = 4_096;
    let given = a_slow_disk();
    // The log holds nothing but the steps.
    let emptied = given
        .file()
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
    emptied.unwrap();
    let mut answers = Vec::new();
    for step in 1..=STEPS {
        // Each is written because the one before it was, which is not on disk yet.
        let (answer, written) = given.write_ahead(step);
        answers.push(answer);
        written.await.unwrap();
        if step < STEPS {
            given.disk.send(Ok(())).unwrap();
        }
    }
    let log = std::fs::read(given.path.with_extension("db-wal")).unwrap();
    let steps_in = |log: &[u8], what: &str| {
        let found = given.after_a_power_cut(log);
        let steps: Vec<i64> = (1..).take(found.len()).collect();
        assert_eq!(found, steps, "with {what}");
        i64::try_from(found.len()).unwrap()
    };
    assert_eq!(steps_in(&log, "all of it"), STEPS);
    for left in (0..log.len()).step_by(512) {
        assert!(steps_in(&log[..left], &format!("{left} bytes of the log")) < STEPS);
    }
    // A disk keeps blocks in any order: later ones may be there, and an earlier one not.
    for block in 0..log.len().div_ceil(BLOCK) {
        let mut holed = log.clone();
        let end = log.len().min((block + 1) * BLOCK);
        holed[block * BLOCK..end].fill(0);
        assert!(steps_in(&holed, &format!("a hole at block {block}")) < STEPS);
    }
    given.disk.send(Ok(())).unwrap();
    for answer in answers {
        assert_eq!(answer.await.unwrap(), Ok(1));
    }
}

#[tokio::test]
async fn whoever_need_not_wait_is_answered_when_it_is_written_and_hears_of_what_failed() {
    let given = a_slow_disk();
    let one = |tx: &mut Tx<'_>| tx.execute("INSERT INTO t VALUES (1)", ());
    assert_eq!(
        given.writer.run_ahead(one).await,
        Ok(1),
        "the disk has said nothing yet"
    );
    given.disk.send(Ok(())).unwrap();
    let orphan = |tx: &mut Tx<'_>| tx.execute("INSERT INTO orphans VALUES (2)", ());
    for fails in [one, orphan] {
        given.disk.send(Ok(())).unwrap();
        let failed = given.writer.run_ahead(fails).await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    }
}

/// Whoever is woken by an answer, and looks at once for what the outbox has for the dispatcher.
struct Looks {
    rows: Mutex<OutboxRows>,
    finds: SyncSender<Option<String>>,
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let row = self.rows.lock().unwrap().try_recv().ok();
        self.finds.send(row.map(|row| row.payload)).unwrap();
    }
}

#[tokio::test]
async fn who_is_answered_ahead_of_the_disk_finds_done_what_follows_the_job() {
    let given = a_slow_disk();
    let tables = [OUTBOX_SCHEMA, OUTBOX_TIMES, OUTBOX_TOGETHER].concat();
    let tables = tables.replace("{service}", "wallet");
    given.file().execute_batch(&tables).unwrap();
    let (outbox, rows) = SqliteOutbox::new(ServiceName::Wallet, given.database(), 10);
    let (finds, found) = sync_channel(1);
    let waker = Waker::from(Arc::new(Looks {
        rows: Mutex::new(rows),
        finds,
    }));
    // Until it asks for the answer, nobody gives it.
    let (open, inside) = given.write_slowly();
    inside.await.unwrap();
    let mut answer = pin!(given.writer.run_ahead(move |tx| {
        let queue = Destination::Queue(Queue::SagaSteps);
        outbox.put(tx, Timestamp::UNIX_EPOCH, queue, "its next step".to_owned());
        Ok(())
    }));
    assert!(answer.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    given.go_on.send(()).unwrap();
    let found = found.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(found.as_deref(), Some("its next step"));
    assert_eq!(answer.await, Ok(()));
    assert!(!open.is_finished(), "the disk has said nothing yet");
    given.disk.send(Ok(())).unwrap();
    assert_eq!(open.await.unwrap(), Ok(1));
}

#[tokio::test]
async fn the_next_step_of_a_lonely_order_waits_for_no_company() {
    let given = a_disk(Duration::from_secs(60 * 60));
    for step in 0..8 {
        let insert = move |tx: &mut Tx<'_>| tx.execute("INSERT INTO t VALUES (?)", [step]);
        let written = tokio::time::timeout(Duration::from_secs(60), given.writer.run_ahead(insert));
        assert_eq!(written.await.expect("an hour of company"), Ok(1));
        given.disk.send(Ok(())).unwrap();
    }
}

/// A desk that writes numbers, and answers with how many were written together.
fn a_desk(given: &Given) -> Desk<i64, usize> {
    Desk::new(given.database(), |tx, numbers: &[Arc<i64>]| {
        for number in numbers {
            tx.execute("INSERT INTO t VALUES (?)", [**number])?;
        }
        Ok(vec![numbers.len(); numbers.len()])
    })
}

#[tokio::test]
async fn at_a_desk_nobody_takes_for_refused_what_the_disk_may_have_kept() {
    let given = a_slow_disk();
    let desk = a_desk(&given);
    let (open, inside) = given.write_slowly();
    inside.await.unwrap();
    let brought = [1, 2].map(|number| {
        let desk = desk.clone();
        tokio::spawn(async move { desk.bring(number).await })
    });
    while given.writer.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    given.go_on.send(()).unwrap();
    let given = given.disk_is_asked().await;
    given.disk.send(Err(std::io::Error::other("as arranged"))).unwrap();
    assert!(matches!(open.await.unwrap(), Err(StoreError::Unknown(_))));
    for brought in brought {
        let told = brought.await.unwrap();
        assert!(matches!(told, Err(StoreError::Unknown(_))), "{told:?}");
    }
    let written = given.file().query_row("SELECT count(*) FROM t", (), |row| row.get(0));
    assert_eq!(written, Ok(3), "and nobody tried again");
}

#[tokio::test]
async fn at_a_desk_those_who_wait_for_the_disk_do_and_the_others_do_not() {
    let given = a_slow_disk();
    let desk = a_desk(&given);
    let (open, inside) = given.write_slowly();
    inside.await.unwrap();
    let patient = tokio::spawn({
        let desk = desk.clone();
        async move { desk.bring(1).await }
    });
    let hasty = tokio::spawn(async move { desk.bring_ahead(2).await });
    while given.writer.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    given.go_on.send(()).unwrap();
    assert_eq!(hasty.await.unwrap(), Ok(2), "served together");
    let given = given.disk_is_asked().await;
    assert!(!patient.is_finished() && !open.is_finished());
    given.disk.send(Ok(())).unwrap();
    assert_eq!(patient.await.unwrap(), Ok(2));
    assert_eq!(open.await.unwrap(), Ok(1));
}
