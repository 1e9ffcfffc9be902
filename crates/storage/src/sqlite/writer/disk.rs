//! Forcing commits to disk, while the next group is being written.
//!
//! A commit puts its frames into the write-ahead log; it counts once the log is forced to disk. That takes as long as the
//! writing itself, and needs no processor, so a thread of its own does it, one group at a time. Commits are forced in
//! their order: what was written on top of another commit is never on disk without it.
//!
//! What it keeps true: nobody hears of a commit before it is on disk, neither whoever wrote it nor whoever reads it
//! ([`Forced::catch_up`]), but for what stays in this process and leads to commits on top of it (ADR 011). After a disk that
//! failed to keep what it was given, and after a commit that failed and may be in the log all the same, nothing is stored and
//! nothing is told any more, because nobody knows what of it is there (PostgreSQL wiki, "Fsync Errors"). The process ends,
//! and the next one writes what it can still read once more before it trusts it (`Database::open`).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contracts::metrics::Stopwatch;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

use super::job::{Job, text_of};
use super::metrics::WriterMetrics;
use crate::StoreError;

/// Forces to disk whatever was written.
pub(in crate::sqlite) type Force = Box<dyn Fn() -> io::Result<()> + Send>;

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

    /// Waits until the disk has failed.
    pub(in crate::sqlite) async fn failure(&self) -> StoreError {
        let mut forced = self.0.forced.subscribe();
        // It is there for as long as this is.
        let _ = forced.wait_for(Option::is_none).await;
        failed()
    }

    /// Whether the disk has failed.
    pub(in crate::sqlite) fn has_failed(&self) -> bool {
        self.0.forced.borrow().is_none()
    }

    /// Takes what was written for lost: nothing is stored or told any more.
    pub(super) fn fail(&self) {
        self.0.forced.send_replace(None);
    }

    /// Everything up to this commit is on disk.
    fn publish(&self, number: u64) {
        self.0.forced.send_if_modified(|forced| {
            let later = forced.as_mut().filter(|forced| **forced < number);
            later.map(|forced| *forced = number).is_some()
        });
    }
}

/// Takes a thread that dies for a disk that has failed: nobody else would force anything.
pub(super) struct Watch(pub(super) Forced);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail();
        }
    }
}

/// The writer's side of the thread that forces.
pub(super) struct Disk {
    groups: mpsc::Sender<Written>,
    done: mpsc::Receiver<()>,
    progress: Forced,
    busy: bool,
    /// Whether the group that is or was on its way carried several jobs.
    company: bool,
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
                let _watch = Watch(theirs.clone());
                while let Some(mut group) = written.blocking_recv() {
                    // It may have failed since this group was committed: then nothing is told any more.
                    if !theirs.has_failed() {
                        // Here and not by whoever writes: that thread is the one that everybody waits for.
                        group.jobs.iter_mut().for_each(|job| job.hand_on());
                    }
                    let forced = force(&to_disk, &theirs);
                    // The disk is free before anybody is answered: whoever asks for the next thing at once is alone again.
                    // Whoever writes is there for as long as groups come.
                    let _ = told.blocking_send(());
                    tell(group, &forced, &theirs, &metrics);
                }
            })?;
        Ok(Self {
            groups,
            done,
            progress,
            busy: false,
            company: false,
            thread,
        })
    }

    /// Whether a group is on its way to disk.
    pub(super) fn is_busy(&mut self) -> bool {
        if self.busy && !matches!(self.done.try_recv(), Err(TryRecvError::Empty)) {
            self.busy = false;
        }
        self.busy
    }

    /// Whether it is worth while to wait for company: the group before had some.
    pub(super) const fn had_company(&self) -> bool {
        self.company
    }

    /// Whether the disk has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.progress.has_failed()
    }

    /// Waits until no group is on its way.
    pub(super) async fn is_free(&mut self) {
        if self.busy {
            self.done.recv().await;
            self.busy = false;
        }
    }

    /// Commits by `commit`, and has `jobs` forced to disk and answered; to be called when the disk is free. When the commit
    /// fails, the jobs stay where they are, and an empty group takes their place in the line: whoever reads may still wait
    /// for the group before it to be answered. One that fails and may be written ([`StoreError::Unknown`]) is a failed disk.
    pub(super) async fn commit(
        &mut self,
        jobs: &mut Vec<Box<dyn Job>>,
        commit: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // Before the commit: whoever reads sees it from its end on.
        let number = self.progress.0.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let watch = Stopwatch::start();
        let committed = commit();
        if matches!(committed, Err(StoreError::Unknown(_))) {
            // What may be in the log would be forced with what comes next, and the next process acts upon it.
            self.progress.fail();
        }
        self.company = jobs.len() > 1;
        let written = Written {
            number,
            jobs: if committed.is_ok() {
                std::mem::take(jobs)
            } else {
                Vec::new()
            },
            commit: watch,
        };
        self.busy = true;
        if self.groups.send(written).await.is_err() {
            // The thread is dead. Nothing that was written is ever forced.
            self.progress.fail();
        }
        committed
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

fn force(to_disk: &Force, progress: &Forced) -> Result<(), StoreError> {
    if progress.has_failed() {
        return Err(perhaps_stored());
    }
    to_disk().map_err(|error| {
        // Before anybody hears of it, and tries again.
        progress.fail();
        tracing::error!(%error, "the disk did not keep a commit; nothing is stored any more");
        perhaps_stored()
    })
}

fn tell(group: Written, forced: &Result<(), StoreError>, progress: &Forced, metrics: &WriterMetrics) {
    let Written { number, jobs, commit } = group;
    if forced.is_err() {
        metrics.failed_groups.one();
    } else if !jobs.is_empty() {
        metrics.commit.record_time(commit.elapsed());
        metrics.jobs.record(u64::try_from(jobs.len()).unwrap_or(u64::MAX));
    }
    answer(jobs, forced);
    if forced.is_ok() {
        // What follows the commit is done before anybody reads it: what is kept in memory is never behind.
        progress.publish(number);
    }
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

/// For whoever wrote it: the next process may find the commit, and act upon it.
fn perhaps_stored() -> StoreError {
    StoreError::Unknown("the disk failed before it had kept what was written".to_owned())
}

/// For whoever only asks.
fn failed() -> StoreError {
    StoreError::Unavailable("the disk did not keep what was written; nothing is stored until a restart".to_owned())
}

#[cfg(test)]
mod tests;
