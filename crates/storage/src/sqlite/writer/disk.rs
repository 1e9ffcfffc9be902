//! Forcing commits to disk, while the next group is being written.
//!
//! A commit puts its frames into the write-ahead log; it counts once the log is forced to disk. That takes as long as the
//! writing itself, and needs no processor, so a thread of its own does it, one group at a time. Commits are forced in
//! their order: what was written on top of another commit is never on disk without it.
//!
//! What it keeps true: nobody hears of a commit before it is on disk, neither whoever wrote it nor whoever reads it
//! ([`Forced::catch_up`]); after a disk that failed to keep what it was given nothing is accepted and nothing is told any
//! more, because nobody knows what of it is there (PostgreSQL wiki, "Fsync Errors"). The next start reads what is.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contracts::metrics::Stopwatch;
use tokio::sync::{mpsc, watch};

use super::metrics::WriterMetrics;
use super::{Job, text_of};
use crate::StoreError;

/// Forces to disk whatever was written.
pub(super) type Force = Box<dyn Fn() -> io::Result<()> + Send>;

/// A group whose frames are written.
struct Written {
    number: u64,
    jobs: Vec<Box<dyn Job>>,
    commit: Stopwatch,
}

/// How far the commits have got.
#[derive(Debug, Clone)]
pub(in crate::sqlite) struct Forced(Arc<Progress>);

#[derive(Debug)]
struct Progress {
    /// The number of the last commit that has begun: readers can see no later one.
    begun: AtomicU64,
    /// The number of the last commit that is on disk; none after the disk has failed.
    forced: watch::Sender<Option<u64>>,
}

impl Forced {
    pub(super) fn new() -> Self {
        Self(Arc::new(Progress {
            begun: AtomicU64::new(0),
            forced: watch::Sender::new(Some(0)),
        }))
    }

    /// Waits until all that a reader can have seen by now is on disk.
    ///
    /// # Errors
    /// When the disk has failed.
    pub(in crate::sqlite) async fn catch_up(&self) -> Result<(), StoreError> {
        let seen = self.0.begun.load(Ordering::SeqCst);
        let on_disk = |forced: &Option<u64>| forced.is_none_or(|forced| forced >= seen);
        if self.0.forced.borrow().is_some_and(|forced| forced >= seen) {
            return Ok(());
        }
        let mut forced = self.0.forced.subscribe();
        match forced.wait_for(on_disk).await.map(|forced| forced.is_some()) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(failed()),
        }
    }
}

/// The writer's side of the thread that forces.
pub(super) struct Disk {
    groups: mpsc::Sender<Written>,
    done: mpsc::Receiver<()>,
    progress: Forced,
    busy: bool,
    thread: std::thread::JoinHandle<()>,
}

impl Disk {
    /// Starts the thread; `to_disk` forces the write-ahead log.
    pub(super) fn start(to_disk: Force, progress: Forced, metrics: Arc<WriterMetrics>) -> io::Result<Self> {
        let (groups, mut written) = mpsc::channel::<Written>(1);
        let (told, done) = mpsc::channel(1);
        let theirs = progress.clone();
        let thread = std::thread::Builder::new()
            .name("sqlite-disk".to_owned())
            .spawn(move || {
                while let Some(group) = written.blocking_recv() {
                    force(&to_disk, group, &theirs, &metrics);
                    // Whoever writes is there for as long as groups come.
                    let _ = told.blocking_send(());
                }
            })?;
        Ok(Self {
            groups,
            done,
            progress,
            busy: false,
            thread,
        })
    }

    /// Whether a group is on its way to disk.
    pub(super) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Whether the disk has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.progress.0.forced.borrow().is_none()
    }

    /// Waits until no group is on its way.
    pub(super) async fn is_free(&mut self) {
        if self.busy {
            self.done.recv().await;
            self.busy = false;
        }
    }

    /// Commits by `commit`, and has `jobs` forced to disk and answered; to be called when the disk is free. When the commit
    /// fails, the jobs stay where they are.
    pub(super) async fn commit(
        &mut self,
        jobs: &mut Vec<Box<dyn Job>>,
        commit: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // Before the commit: whoever reads sees it from its end on.
        let number = self.progress.0.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let watch = Stopwatch::start();
        if let Err(error) = commit() {
            self.progress.0.forced.send_if_modified(|forced| {
                // There is nothing to wait for.
                forced.as_mut().map(|forced| *forced = number).is_some()
            });
            return Err(error);
        }
        let written = Written {
            number,
            jobs: std::mem::take(jobs),
            commit: watch,
        };
        self.busy = true;
        // The thread lives for as long as this.
        self.groups.send(written).await.map_err(|_| failed())
    }

    /// Waits until all is on disk.
    pub(super) fn finish(self) {
        drop(self.groups);
        drop(self.done);
        if let Err(panic) = self.thread.join() {
            tracing::error!(
                panic = text_of(panic.as_ref()),
                "the thread that forces to disk panicked"
            );
        }
    }
}

fn force(to_disk: &Force, group: Written, progress: &Forced, metrics: &WriterMetrics) {
    let Written { number, jobs, commit } = group;
    let forced = if progress.0.forced.borrow().is_none() {
        Err(failed())
    } else {
        to_disk().map_err(|error| {
            tracing::error!(%error, jobs = jobs.len(), "the disk did not keep a commit; restart the process once it is well");
            failed()
        })
    };
    progress.0.forced.send_replace(forced.as_ref().ok().map(|()| number));
    if forced.is_ok() {
        metrics.commit.record_time(commit.elapsed());
        metrics.jobs.record(u64::try_from(jobs.len()).unwrap_or(u64::MAX));
    } else {
        metrics.failed_groups.one();
    }
    answer(jobs, &forced);
}

/// Tells everybody what became of their jobs.
pub(super) fn answer(jobs: impl IntoIterator<Item = Box<dyn Job>>, committed: &Result<(), StoreError>) {
    for job in jobs {
        let committed = committed.clone();
        // What follows a commit belongs to the callers, and must not take the thread along.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.answer(committed))) {
            tracing::error!(panic = text_of(panic.as_ref()), "what follows a commit panicked");
        }
    }
}

fn failed() -> StoreError {
    StoreError::Unavailable("the disk failed to keep what was written; nothing is stored until a restart".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use rusqlite::Connection;
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
        _folder: tempfile::TempDir,
    }

    fn a_slow_disk() -> Given {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let connection = Connection::open(&path).unwrap();
        let schema = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE t (n INTEGER)";
        connection.execute_batch(schema).unwrap();
        let (disk, told) = sync_channel::<io::Result<()>>(10);
        let (asks, asked) = sync_channel(10);
        let to_disk: Force = Box::new(move || {
            let _ = asks.send(());
            told.recv().unwrap_or(Ok(()))
        });
        let lock = Arc::new(tempfile::tempfile().unwrap());
        let writer = Writer::start(connection, 100, to_disk, lock).unwrap();
        let readers = Readers::new(vec![Connection::open(&path).unwrap()], writer.forced().clone());
        Given {
            writer,
            readers,
            disk,
            asked,
            _folder: folder,
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

        async fn disk_is_asked(self) -> Self {
            let waits = tokio::task::spawn_blocking(move || {
                self.asked.recv().unwrap();
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
        for written in [first, second, given.write(3).0] {
            assert!(matches!(written.await.unwrap(), Err(StoreError::Unavailable(_))));
        }
        assert!(matches!(
            given.count().0.await.unwrap(),
            Err(StoreError::Unavailable(_))
        ));
        assert!(given.asked.try_recv().is_err(), "nobody tries the disk again");
    }
}
