//! A job: the work of one caller, what it sees of the group's transaction, and what follows it.
//!
//! What it keeps true: a job that fails or panics changes nothing, and its caller hears why; what follows it happens only if
//! it is committed, and what that comes to harms nobody.

use std::any::Any;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::closed;
use super::group::Group;
use crate::StoreError;
use crate::sqlite::outbox::{self, Envelope};

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
    pub(in crate::sqlite) outgoing: Vec<Envelope>,
}

impl Tx<'_> {
    /// Registers what happens as soon as the transaction is written, before it is on disk: for what leads to further
    /// transactions of this database and to nothing else (ADR 011). Nothing happens if this job fails or the commit does.
    /// It must not block: the commit waits to be forced. Effects follow one another as they were registered; the outbox's
    /// rows, which are stored at a job's end, come last.
    pub fn once_written(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.once_written.push(Box::new(effect));
    }

    /// Registers what happens once the transaction is on disk. Nothing happens if this job fails or the commit
    /// does. It runs on the thread that forces to disk: it must not block.
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
pub(super) trait Job: Send {
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

/// When a caller hears that the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Once it is written: the caller only writes on top of it (ADR 011).
    AheadOfTheDisk,
    /// Once it is on disk.
    FromTheDisk,
}

/// The work of a caller who waits.
pub(super) struct Pending<T, F> {
    work: Option<F>,
    answer: Answer,
    done: Option<Result<T, StoreError>>,
    early: Vec<Effect>,
    effects: Vec<Effect>,
    /// None once the caller is answered.
    sender: Option<oneshot::Sender<Result<T, StoreError>>>,
}

impl<T, F> Pending<T, F> {
    /// The work, and where its caller is answered.
    pub(super) fn new(work: F, answer: Answer) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (sender, receiver) = oneshot::channel();
        let pending = Self {
            work: Some(work),
            answer,
            done: None,
            early: Vec::new(),
            effects: Vec::new(),
            sender: Some(sender),
        };
        (pending, receiver)
    }

    fn tell(&mut self, answer: Result<T, StoreError>) {
        if let Some(sender) = self.sender.take() {
            // Nobody listens any more when the caller gave up waiting; the work is done all the same.
            let _ = sender.send(answer);
        }
    }
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
        // Last, as from the disk: whoever is answered finds done what follows.
        if self.answer == Answer::AheadOfTheDisk
            && let Some(done) = self.done.take_if(|done| done.is_ok())
        {
            self.tell(done);
        }
    }

    fn answer(mut self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (committed, self.done.take()) {
            // A job that failed knows better why than its group does.
            (_, Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(()), done) => {
                carry_out(self.effects.drain(..));
                // Without: it never ran, or its caller is answered.
                done.unwrap_or_else(|| Err(closed()))
            }
        };
        self.tell(answer);
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

pub(super) fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
