//! Disks that fail between two steps, commits that may be there all the same, and threads that die.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use rusqlite::Connection;

use super::super::super::group::Group;
use super::{Disk, Duration, Force, Forced, Job, StoreError, Writer, WriterMetrics, a_slow_disk};

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
async fn a_commit_that_fails_and_may_be_written_is_a_disk_that_has_failed() {
    let progress = Forced::new();
    let (asks, asked) = sync_channel(10);
    let to_disk: Force = Box::new(move || {
        let _ = asks.send(());
        Ok(())
    });
    let mut disk = Disk::start(to_disk, progress.clone(), Arc::new(WriterMetrics::new())).unwrap();
    let mut jobs = Vec::new();
    let undone = || Err(StoreError::Unavailable("as arranged".to_owned()));
    disk.commit(&mut jobs, undone).await.unwrap_err();
    disk.is_free().await;
    assert!(!progress.has_failed());
    assert_eq!(asked.try_iter().count(), 1, "whoever reads may wait for it");
    let perhaps = || Err(StoreError::Unknown("as arranged".to_owned()));
    disk.commit(&mut jobs, perhaps).await.unwrap_err();
    disk.finish();
    assert!(progress.has_failed());
    assert_eq!(
        asked.try_iter().count(),
        0,
        "what is told to be undone is forced to disk"
    );
}
