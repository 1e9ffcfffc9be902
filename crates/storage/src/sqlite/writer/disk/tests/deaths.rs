//! Disks that fail between two steps, threads that die, and jobs that try to take one along.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use rusqlite::Connection;

use super::super::super::group::Group;
use super::{Disk, Duration, Force, Forced, Job, StoreError, Tx, Writer, WriterMetrics, a_slow_disk};

/// A job that says what becomes of it.
struct Watched(SyncSender<&'static str>);

impl Job for Watched {
    fn run(&mut self, _: &mut Group<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    fn hand_on(&mut self) {
        self.0.send("handed on").unwrap();
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let told = match committed {
            Ok(()) => "stored",
            Err(StoreError::Unknown(_)) => "perhaps stored",
            Err(_) => "not stored",
        };
        self.0.send(told).unwrap();
    }
}

/// What becomes of a job that is committed in this state of the disk, which asks nobody.
async fn what_becomes_of_it(progress: Forced) -> Vec<&'static str> {
    let metrics = Arc::new(WriterMetrics::new());
    let mut disk = Disk::start(Box::new(|| Ok(())), progress, metrics).unwrap();
    let (says, said) = sync_channel(10);
    let mut jobs: Vec<Box<dyn Job>> = vec![Box::new(Watched(says))];
    disk.commit(&mut jobs, || Ok(())).await.unwrap();
    disk.finish();
    said.iter().collect()
}

#[tokio::test]
async fn nothing_is_handed_on_when_the_disk_failed_before_it_could_be() {
    assert_eq!(what_becomes_of_it(Forced::new()).await, ["handed on", "stored"]);
    let failed = Forced::new();
    // As when the log could not be copied meanwhile.
    failed.fail();
    assert_eq!(what_becomes_of_it(failed).await, ["perhaps stored"]);
}

/// A job that the writer has no defence against.
struct Deadly;

impl Job for Deadly {
    fn run(&mut self, _: &mut Group<'_>) -> Result<(), StoreError> {
        panic!("as arranged");
    }

    fn hand_on(&mut self) {}

    fn answer(self: Box<Self>, _: Result<(), StoreError>) {}
}

#[tokio::test]
async fn a_writer_that_dies_counts_as_a_disk_that_has_failed() {
    let given = a_slow_disk();
    given.writer.jobs.send(Box::new(Deadly)).await.unwrap();
    let failure = tokio::time::timeout(Duration::from_secs(60), given.writer.forced().failure());
    failure.await.expect("nobody is told");
    assert!(given.write(1).0.await.unwrap().is_err());
    assert!(given.count().0.await.unwrap().is_err());
}

#[tokio::test]
async fn a_writer_that_cannot_start_counts_as_a_disk_that_has_failed() {
    use rusqlite::hooks::{AuthContext, Authorization};
    let folder = tempfile::tempdir().unwrap();
    let open = || Connection::open(folder.path().join("test.db")).unwrap();
    let mut connection = open();
    connection
        .authorizer(Some(|_: AuthContext<'_>| Authorization::Deny))
        .unwrap();
    let lock = Arc::new(tempfile::tempfile().unwrap());
    let to_disk: Force = Box::new(|| Ok(()));
    let writer = Writer::start(connection, open(), 100, to_disk, Duration::ZERO, lock).unwrap();
    let failure = tokio::time::timeout(Duration::from_secs(60), writer.forced().failure());
    failure.await.expect("nobody is told");
}

#[tokio::test]
async fn what_a_failed_job_leaves_behind_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("as arranged");
        }
    }
    let given = a_slow_disk();
    let job = |tx: &mut Tx<'_>| -> rusqlite::Result<()> {
        let (first, second, third) = (Bomb, Bomb, Bomb);
        tx.once_written(move || drop(first));
        tx.once_written(move || drop(second));
        tx.after_commit(move || drop(third));
        Err(rusqlite::Error::QueryReturnedNoRows)
    };
    given.disk.send(Ok(())).unwrap();
    let failed = given.writer.run(job).await;
    assert!(
        matches!(&failed, Err(StoreError::Unavailable(why)) if why.contains("no rows")),
        "{failed:?}"
    );
    given.disk.send(Ok(())).unwrap();
    assert_eq!(given.write(1).0.await.unwrap(), Ok(1));
}
