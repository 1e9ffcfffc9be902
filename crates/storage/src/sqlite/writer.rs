//! Group commit.
//!
//! One thread owns the only writing connection. It takes the first job that waits, begins a transaction, runs that
//! job and every other one that is waiting already, each in a savepoint of its own, and commits once. A lonely job
//! never waits for company: under little load a commit carries one job, under much load hundreds. While one group is
//! being forced to disk ([`disk`]) the next one is written, and takes in whoever comes, because it could not be forced
//! yet anyway, and for two milliseconds at least where there is load.
//!
//! What it keeps true: a job's answer is given after the commit that carries it is on disk, but for what stays in the
//! process and its database (ADR 011); a job that fails or panics changes nothing and harms no neighbour; the order of jobs
//! is the order of their effects; only this file commits.

mod disk;
mod group;
mod job;
mod log;
mod metrics;

use std::fs::File;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use contracts::metrics::Stopwatch;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::disk::{Disk, answer};
pub(super) use self::disk::{Force, Forced};
use self::group::{CommitGuard, Group};
pub use self::job::Tx;
use self::job::{Answer, Job, Pending, text_of};
use self::log::Log;
pub use self::metrics::WriterMetrics;
use crate::StoreError;

/// The most jobs that share a commit: bounds the time until the first of them is answered.
const MAX_JOBS_PER_COMMIT: usize = 1_024;

/// How long a group stays open that began while another, of several jobs, was on its way to disk. Then there is load, and
/// the next commit has the more to carry: 7 % more orders a second with two milliseconds, no more with four, fewer with ten
/// (measured with every group held open). What a desk serves together is one job.
pub(super) const COMPANY: Duration = Duration::from_millis(2);

/// How long a caller waits for room in the queue before it is told that the store is overloaded.
const MAX_WAIT_FOR_ROOM: Duration = Duration::from_secs(1);

/// The way to the writer thread; clones share it. When the last one goes, the thread finishes what is queued and
/// ends.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    metrics: Arc<WriterMetrics>,
    forced: Forced,
    _lock: Arc<File>,
}

impl Writer {
    /// Starts the thread that owns `connection`; `beside` is another one to the same database, for copying its log. At most
    /// `capacity` jobs wait. `to_disk` forces a commit to disk; a group stays open for `company` that began while another was
    /// on its way there ([`COMPANY`], but for tests). `lock` is held until the last job is done and the last of these has
    /// gone, also where the thread has died: whoever takes it next takes everybody else for dead.
    ///
    /// # Errors
    /// When SQLite or the operating system refuse.
    pub(super) fn start(
        mut connection: Connection,
        beside: Connection,
        capacity: usize,
        to_disk: Force,
        company: Duration,
        lock: Arc<File>,
    ) -> std::io::Result<Self> {
        let guard = CommitGuard::install(&mut connection).map_err(std::io::Error::other)?;
        let (jobs, queue) = mpsc::channel(capacity);
        let metrics = Arc::new(WriterMetrics::new());
        let forced = Forced::new();
        let length = Log::watch(&mut connection, beside, forced.clone())?;
        let progress = forced.clone();
        let disk = Disk::start(to_disk, forced.clone(), Arc::clone(&metrics))?;
        let waits = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let counted = Arc::clone(&metrics);
        let held = Arc::clone(&lock);
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                let write = write(&connection, &guard, length, disk, queue, company, &counted);
                // Whoever waits hears of it, as when the disk fails: nobody else would write anything.
                match catch_unwind(AssertUnwindSafe(|| waits.block_on(write))) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::error!(%error, "the writer could not start; nothing can be stored");
                        progress.fail();
                    }
                    Err(panic) => {
                        let panic = text_of(panic.as_ref());
                        tracing::error!(panic, "the writer panicked; nothing is stored any more");
                        progress.fail();
                    }
                }
                if progress.has_failed() {
                    leave_log(&connection);
                }
                // The connection first: whoever gets the lock next finds a closed database.
                drop(connection);
                drop(held);
            })?;
        Ok(Self {
            jobs,
            metrics,
            forced,
            _lock: lock,
        })
    }

    /// How far the commits have got.
    pub(super) const fn forced(&self) -> &Forced {
        &self.forced
    }

    /// Runs `job` in the next transaction and answers when that is on disk.
    ///
    /// A job whose `Result` is an error is rolled back alone. Once the job is queued it runs, even if the caller
    /// stops waiting.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when the queue stayed full for a second; [`StoreError::Unavailable`] when the job
    /// or the commit failed; [`StoreError::Unknown`] when it was written, and the disk failed before it was kept.
    pub async fn run<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.queue(job, Answer::FromTheDisk).await
    }

    /// As [`run`](Writer::run), but answers as soon as the transaction is written, ahead of the disk (ADR 011).
    ///
    /// # Errors
    /// As [`run`](Writer::run).
    pub(super) async fn run_ahead<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.queue(job, Answer::AheadOfTheDisk).await
    }

    async fn queue<T, F>(&self, job: F, answer: Answer) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (job, receiver) = Pending::new(job, answer);
        let job: Box<dyn Job> = Box::new(job);
        if let Err(error) = self.jobs.try_send(job) {
            match error {
                mpsc::error::TrySendError::Full(job) => match self.jobs.send_timeout(job, MAX_WAIT_FOR_ROOM).await {
                    Ok(()) => {}
                    Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                        self.metrics.refused.one();
                        return Err(StoreError::Overloaded);
                    }
                    Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(closed()),
                },
                mpsc::error::TrySendError::Closed(_) => return Err(closed()),
            }
        }
        // Unanswered: a thread died that had it in hand.
        let unanswered = |_| StoreError::Unknown("the writer died before it said what it had done".to_owned());
        receiver.await.map_err(unanswered)?
    }

    /// What it counts.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<WriterMetrics> {
        &self.metrics
    }

    /// How many jobs wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.jobs.max_capacity().saturating_sub(self.jobs.capacity())
    }
}

/// Lets the last connection that closes leave the log where it is. What was copied of it may not be on disk, and only the log
/// still has it: the next process writes that once more.
fn leave_log(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::error!(%error, "the write-ahead log may be removed, though the disk has failed");
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the database is closed".to_owned())
}

async fn write(
    connection: &Connection,
    guard: &CommitGuard,
    mut log: Log,
    mut disk: Disk,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    company: Duration,
    metrics: &WriterMetrics,
) -> rusqlite::Result<()> {
    let mut group = Group::prepare(connection, guard, metrics)?;
    let mut jobs = Vec::new();
    while let Some(first) = queue.recv().await {
        jobs.push(first);
        if let Err(error) = run_group(&mut group, &mut jobs, &mut queue, &mut disk, company, metrics).await {
            metrics.failed_groups.one();
            tracing::error!(%error, jobs = jobs.len(), "a group of transactions could not be committed");
            answer(jobs.drain(..), &Err(error));
            log.make_room();
        }
        if !disk.has_failed() {
            log.keep_short(connection);
        }
    }
    disk.finish();
    Ok(())
}

/// Runs the first of `jobs`, and whatever else waits or comes before the disk is free, in one transaction. On an error all
/// of them are undone, and left to be told.
async fn run_group(
    group: &mut Group<'_>,
    jobs: &mut Vec<Box<dyn Job>>,
    queue: &mut mpsc::Receiver<Box<dyn Job>>,
    disk: &mut Disk,
    company: Duration,
    metrics: &WriterMetrics,
) -> Result<(), StoreError> {
    if disk.has_failed() {
        return Err(closed());
    }
    group.begin()?;
    let work = Stopwatch::start();
    // A lonely job finds the disk free, and is committed at once; or it is the next step of a lonely one, which the disk is
    // about to have, and waits for that alone.
    let company = if disk.had_company() { company } else { Duration::ZERO };
    let open_until = disk.is_busy().then(|| Instant::now() + company);
    let mut sound = Ok(());
    while let Some(job) = jobs.last_mut() {
        sound = job.run(group);
        if sound.is_err() || jobs.len() == MAX_JOBS_PER_COMMIT {
            break;
        }
        match next(queue, disk, open_until).await {
            ControlFlow::Continue(job) => jobs.push(job),
            ControlFlow::Break(()) => break,
        }
    }
    metrics.work.record_time(work.elapsed());
    disk.is_free().await;
    let committed = match sound {
        // It may hold what was tried again because the disk has failed meanwhile.
        Ok(()) if disk.has_failed() => Err(closed()),
        Ok(()) => disk.commit(jobs, || group.commit()).await,
        Err(error) => Err(error),
    };
    if committed.is_err() {
        group.roll_back();
    }
    committed
}

/// The next job of a group, if there is one before the group can be forced to disk, and is to be.
async fn next(
    queue: &mut mpsc::Receiver<Box<dyn Job>>,
    disk: &mut Disk,
    open_until: Option<Instant>,
) -> ControlFlow<(), Box<dyn Job>> {
    if let Ok(job) = queue.try_recv() {
        return ControlFlow::Continue(job);
    }
    let Some(open_until) = open_until else {
        return ControlFlow::Break(());
    };
    let its_turn = async {
        disk.is_free().await;
        // sleep: company announces itself to nobody
        tokio::time::sleep_until(open_until).await;
    };
    tokio::select! {
        biased;
        job = queue.recv() => job.map_or(ControlFlow::Break(()), ControlFlow::Continue),
        () = its_turn => ControlFlow::Break(()),
    }
}
