//! The transaction of a group: the statements that open, mark, keep, undo and commit, prepared once, and the guard
//! that lets nothing else commit.
//!
//! SQLite rolls back a whole transaction on its own when the disk is full or fails, and then takes every further
//! statement for a transaction of its own (SQLite documentation, "Transaction", section 3.1). A job that ignores
//! the error and goes on would write outside of its group, piecemeal. The guard refuses those commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, Statement};

use super::metrics::WriterMetrics;
use crate::StoreError;

/// Turns every commit into a rollback that the writer did not ask for.
pub(super) struct CommitGuard(Arc<AtomicBool>);

impl CommitGuard {
    pub(super) fn install(connection: &mut Connection) -> rusqlite::Result<Self> {
        let open = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&open);
        connection.commit_hook(Some(move || !asked.load(Ordering::Relaxed)))?;
        Ok(Self(open))
    }

    fn let_pass<T>(&self, commit: impl FnOnce() -> T) -> T {
        self.0.store(true, Ordering::Relaxed);
        let done = commit();
        self.0.store(false, Ordering::Relaxed);
        done
    }
}

/// A group's transaction, on the connection whose thread this is.
pub(super) struct Group<'c> {
    connection: &'c Connection,
    guard: &'c CommitGuard,
    metrics: &'c WriterMetrics,
    begin: Statement<'c>,
    commit: Statement<'c>,
    roll_back: Statement<'c>,
    mark: Statement<'c>,
    keep: Statement<'c>,
    undo: Statement<'c>,
}

impl<'c> Group<'c> {
    pub(super) fn prepare(
        connection: &'c Connection,
        guard: &'c CommitGuard,
        metrics: &'c WriterMetrics,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            guard,
            metrics,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            roll_back: connection.prepare("ROLLBACK")?,
            mark: connection.prepare("SAVEPOINT job")?,
            keep: connection.prepare("RELEASE job")?,
            undo: connection.prepare("ROLLBACK TO job")?,
        })
    }

    pub(super) const fn connection(&self) -> &'c Connection {
        self.connection
    }

    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        execute(&mut self.begin)
    }

    /// Marks where a job begins.
    pub(super) fn mark(&mut self) -> Result<(), StoreError> {
        execute(&mut self.mark)
    }

    /// Keeps what the job did. An error says that the mark is gone, and with it the transaction.
    pub(super) fn keep(&mut self) -> Result<(), StoreError> {
        execute(&mut self.keep)
    }

    /// Undoes what the job did. An error says that it could not be undone alone.
    pub(super) fn undo(&mut self) -> Result<(), StoreError> {
        self.metrics.failed_jobs.one();
        execute(&mut self.undo)?;
        execute(&mut self.keep)
    }

    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        let commit = &mut self.commit;
        self.guard.let_pass(|| execute(commit))
    }

    /// After a failure the transaction may still be open, or not: both are fine here.
    pub(super) fn roll_back(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = execute(&mut self.roll_back)
        {
            tracing::error!(%error, "a group of transactions could not be rolled back");
        }
    }
}

fn execute(statement: &mut Statement<'_>) -> Result<(), StoreError> {
    statement.execute(()).map(drop).map_err(StoreError::from)
}
