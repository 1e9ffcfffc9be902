//! Group commit.
//!
//! One thread owns the only writing connection. It takes the first job that waits, begins a transaction, runs that
//! job and every other one that is waiting already, each in a savepoint of its own, and commits once. It never
//! waits for company: under little load a commit carries one job, under much load hundreds.
//!
//! What it keeps true: a job's answer is given after the commit that carries it; a job that fails or panics
//! changes nothing and harms no neighbour; the order of jobs is the order of their effects.

use std::any::Any;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;

/// The most jobs that share a commit: bounds the time until the first of them is answered.
const MAX_JOBS_PER_COMMIT: usize = 1_024;

/// How long a caller waits for room in the queue before it is told that the store is overloaded.
const MAX_WAIT_FOR_ROOM: Duration = Duration::from_secs(1);

type Effect = Box<dyn FnOnce() + Send>;

/// The transaction as a job sees it: a connection inside the job's savepoint.
pub struct Tx<'a> {
    connection: &'a Connection,
    after_commit: Vec<Effect>,
}

impl Tx<'_> {
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

/// Told after the commit, with whether it succeeded.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

type Job = Box<dyn FnOnce(&Connection) -> Outcome + Send>;

struct Outcome {
    effects: Vec<Effect>,
    answer: Answer,
}

/// The way to the writer thread; clones share it. When the last one goes, the thread finishes what is queued and
/// ends.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread that owns `connection`. At most `capacity` jobs wait.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn start(connection: Connection, capacity: usize) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, queue) = mpsc::channel(capacity);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || write(&connection, queue))?;
        Ok((Self { jobs }, thread))
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
        let job: Job = Box::new(move |connection| run_in_savepoint(connection, job, sender));
        if let Err(error) = self.jobs.try_send(job) {
            match error {
                mpsc::error::TrySendError::Full(job) => match self.jobs.send_timeout(job, MAX_WAIT_FOR_ROOM).await {
                    Ok(()) => {}
                    Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(StoreError::Overloaded),
                    Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(closed()),
                },
                mpsc::error::TrySendError::Closed(_) => return Err(closed()),
            }
        }
        receiver.await.unwrap_or_else(|_| Err(closed()))
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

fn write(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    let mut outcomes = Vec::with_capacity(MAX_JOBS_PER_COMMIT);
    while let Some(first) = queue.blocking_recv() {
        let committed = execute(connection, "BEGIN IMMEDIATE").and_then(|()| {
            outcomes.push(first(connection));
            while outcomes.len() < MAX_JOBS_PER_COMMIT && !connection.is_autocommit() {
                match queue.try_recv() {
                    Ok(job) => outcomes.push(job(connection)),
                    Err(_) => break,
                }
            }
            // A full disk makes SQLite roll back the whole transaction on its own; COMMIT then fails, as it must.
            execute(connection, "COMMIT")
        });
        if let Err(error) = &committed {
            tracing::error!(%error, jobs = outcomes.len(), "a group of transactions could not be committed");
            // After a failed COMMIT the transaction may still be open, or not: both are fine here.
            let _ = execute(connection, "ROLLBACK");
        }
        for Outcome { effects, answer } in outcomes.drain(..) {
            if committed.is_ok() {
                effects.into_iter().for_each(|effect| effect());
            }
            answer(committed.clone());
        }
    }
}

fn run_in_savepoint<T, F>(connection: &Connection, job: F, sender: oneshot::Sender<Result<T, StoreError>>) -> Outcome
where
    T: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T>,
{
    let mut tx = Tx {
        connection,
        after_commit: Vec::new(),
    };
    let done = execute(connection, "SAVEPOINT job").and_then(|()| {
        // The savepoint is rolled back below, so no half-done work is seen after a panic.
        catch_unwind(AssertUnwindSafe(|| job(&mut tx)))
            .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
            .map_err(StoreError::from)
    });
    let (done, effects) = match done {
        Ok(value) => (execute(connection, "RELEASE job").map(|()| value), tx.after_commit),
        Err(error) => {
            tracing::error!(%error, "a transaction failed and was rolled back");
            let undone = execute(connection, "ROLLBACK TO job").and_then(|()| execute(connection, "RELEASE job"));
            (undone.and(Err(error)), Vec::new())
        }
    };
    let answer: Answer = Box::new(move |committed| {
        // Nobody listens any more when the caller gave up waiting; the work is done all the same.
        let _ = sender.send(committed.and(done));
    });
    Outcome { effects, answer }
}

fn panicked(panic: &(dyn Any + Send)) -> rusqlite::Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    rusqlite::Error::ToSqlConversionFailure(format!("a transaction panicked: {text}").into())
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached(sql)?
        .execute(())
        .map(|_| ())
        .map_err(StoreError::from)
}
