//! Group commit.
//!
//! One thread owns the only writing connection. It takes the first job that waits, begins a transaction, runs that
//! job and every other one that is waiting already, each in a savepoint of its own, and commits once. A lonely job
//! never waits for company: under little load a commit carries one job, under much load hundreds. While one group is
//! being forced to disk ([`disk`]) the next one is written, and takes in whoever comes, because it could not be forced
//! yet anyway, and for two milliseconds at least.
//!
//! What it keeps true: a job's answer is given after the commit that carries it is on disk; a job that fails or panics
//! changes nothing and harms no neighbour; the order of jobs is the order of their effects; only this file
//! commits.

mod disk;
mod group;
mod log;
mod metrics;

use std::any::Any;
use std::fs::File;
use std::ops::{ControlFlow, Deref};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use contracts::metrics::Stopwatch;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub(super) use self::disk::Forced;
use self::disk::{Disk, Force, answer};
use self::group::{CommitGuard, Group};
use self::log::Log;
pub use self::metrics::WriterMetrics;
use super::outbox::{self, Envelope};
use crate::StoreError;

/// The most jobs that share a commit: bounds the time until the first of them is answered.
const MAX_JOBS_PER_COMMIT: usize = 1_024;

/// How long a group stays open that began while another was on its way to disk. Then there is load, and the next commit has
/// the more to carry: 7 % more orders a second with two milliseconds, no more with four, fewer with ten (measured with every
/// group held open).
pub(super) const COMPANY: Duration = Duration::from_millis(2);

/// How long a caller waits for room in the queue before it is told that the store is overloaded.
const MAX_WAIT_FOR_ROOM: Duration = Duration::from_secs(1);

type Effect = Box<dyn FnOnce() + Send>;

/// The transaction as a job sees it: a connection inside the job's savepoint.
///
/// A job neither commits nor rolls back; the attempt fails it. A constraint that is checked at the commit only
/// (`DEFERRABLE INITIALLY DEFERRED`) must not be used: one job's breach would undo its neighbours.
pub struct Tx<'a> {
    connection: &'a Connection,
    once_written: Vec<Effect>,
    after_commit: Vec<Effect>,
    /// What the job has to say to others, stored at its end.
    pub(super) outgoing: Vec<Envelope>,
}

impl Tx<'_> {
    /// Registers what happens as soon as the transaction is written, before it is on disk: for what leads to further
    /// transactions of this database and to nothing else (ADR 011). Nothing happens if this job fails or the commit does.
    /// It must not block: the commit waits to be forced.
    pub(super) fn once_written(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.once_written.push(Box::new(effect));
    }

    /// Registers what happens once the transaction is on disk. Nothing happens if this job fails or the commit
    /// does. It runs on the writer thread: it must not block.
    pub fn after_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(effect));
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// A caller's work on its way through the writer.
trait Job: Send {
    /// Works inside the group's open transaction, in a savepoint.
    ///
    /// # Errors
    /// When the group as a whole can no longer be committed.
    fn run(&mut self, group: &mut Group<'_>) -> Result<(), StoreError>;

    /// Hands on what may be handed on once the commit is written, and before it is on disk.
    fn hand_on(&mut self);

    /// Tells the caller, after the commit, whether that succeeded.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// The way to the writer thread; clones share it. When the last one goes, the thread finishes what is queued and
/// ends.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    metrics: Arc<WriterMetrics>,
    forced: Forced,
}

impl Writer {
    /// Starts the thread that owns `connection`; `beside` is another one to the same database, for copying its log. At most `capacity` jobs wait. `to_disk` forces a commit to disk; a
    /// group stays open for `company` that began while another was on its way there ([`COMPANY`], but for tests); `lock` is
    /// held until the last of them is done.
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
        let length = Log::watch(&mut connection, beside)?;
        let (jobs, queue) = mpsc::channel(capacity);
        let metrics = Arc::new(WriterMetrics::new());
        let forced = Forced::new();
        let disk = Disk::start(to_disk, forced.clone(), Arc::clone(&metrics))?;
        let waits = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let counted = Arc::clone(&metrics);
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                if let Err(error) = waits.block_on(write(&connection, &guard, length, disk, queue, company, &counted)) {
                    tracing::error!(%error, "the writer could not start; nothing can be stored");
                }
                // The connection first: whoever gets the lock next finds a closed database.
                drop(connection);
                drop(lock);
            })?;
        Ok(Self { jobs, metrics, forced })
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
    /// or the commit failed.
    pub async fn run<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Box<dyn Job> = Box::new(Pending {
            work: Some(job),
            done: None,
            early: Vec::new(),
            effects: Vec::new(),
            sender,
        });
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
        receiver.await.unwrap_or_else(|_| Err(closed()))
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
        }
        if !disk.has_failed() && log.keep_short(connection).is_err() {
            // The system may take pages for clean that are not on disk; the next copy would let the log go that has them.
            disk.fail();
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
    // A lonely job finds the disk free, and is committed at once.
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

struct Pending<T, F> {
    work: Option<F>,
    done: Option<Result<T, StoreError>>,
    early: Vec<Effect>,
    effects: Vec<Effect>,
    sender: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Pending<T, F>
where
    T: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    fn run(&mut self, group: &mut Group<'_>) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        group.mark()?;
        let mut tx = Tx {
            connection: group.connection(),
            once_written: Vec::new(),
            after_commit: Vec::new(),
            outgoing: Vec::new(),
        };
        // The savepoint is rolled back below, so no half-done work is seen after a panic.
        let whole = || {
            let value = work(&mut tx)?;
            outbox::store(&mut tx)?;
            Ok(value)
        };
        let done = catch_unwind(AssertUnwindSafe(whole))
            .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
            .map_err(StoreError::from);
        match done {
            Ok(value) => {
                self.early = tx.once_written;
                self.effects = tx.after_commit;
                self.done = Some(Ok(value));
                group.keep()
            }
            Err(error) => {
                tracing::error!(%error, "a transaction failed and was rolled back");
                self.done = Some(Err(error.clone()));
                // What broke the whole group is what broke this job.
                group.undo().map_err(|_| error)
            }
        }
    }

    fn hand_on(&mut self) {
        carry_out(self.early.drain(..));
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self {
            done, effects, sender, ..
        } = *self;
        let answer = match (committed, done) {
            // A job that failed knows better why than its group does.
            (_, Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(()), Some(Ok(value))) => {
                carry_out(effects);
                Ok(value)
            }
            (Ok(()), None) => Err(closed()),
        };
        // Nobody listens any more when the caller gave up waiting; the work is done all the same.
        let _ = sender.send(answer);
    }
}

/// The commit stands, whatever its effects come to: the next ones and the caller's answer follow all the same.
fn carry_out(effects: impl IntoIterator<Item = Effect>) {
    for effect in effects {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(effect)) {
            tracing::error!(panic = text_of(panic.as_ref()), "what follows a commit panicked");
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(format!("a transaction panicked: {}", text_of(panic)).into())
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
