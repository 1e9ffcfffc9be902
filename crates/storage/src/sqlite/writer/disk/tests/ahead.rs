//! What goes ahead of the disk (ADR 011): it waits for the commit, and nothing on top of it is there without it.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Duration, Given, StoreError, Told, Tx, a_disk, a_slow_disk};
use crate::sqlite::{Database, Desk};

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

    /// The numbers in the file after a power cut that left so many bytes of the log.
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
    let mut most = 0;
    for left in (0..log.len()).step_by(512).chain([log.len()]) {
        let found = given.after_a_power_cut(&log[..left]);
        let steps: Vec<i64> = (1..).take(found.len()).collect();
        assert_eq!(found, steps, "with {left} bytes of the log");
        most = most.max(found.len());
    }
    assert_eq!(i64::try_from(most), Ok(STEPS));
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

#[tokio::test]
async fn who_is_answered_ahead_of_the_disk_finds_done_what_follows_the_job() {
    let given = a_slow_disk();
    let (told, mut hears) = tokio::sync::mpsc::channel(1);
    for number in 0..200 {
        let told = told.clone();
        let job = move |tx: &mut Tx<'_>| {
            tx.once_written(move || told.try_send(number).unwrap());
            Ok(())
        };
        given.writer.run_ahead(job).await.unwrap();
        assert_eq!(hears.try_recv(), Ok(number));
        given.disk.send(Ok(())).unwrap();
        while given.asked.try_recv().is_ok() {}
    }
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
    let database = Database::of(given.writer.clone(), given.readers.clone(), &given.path);
    Desk::new(database, |tx, numbers: &[std::sync::Arc<i64>]| {
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
