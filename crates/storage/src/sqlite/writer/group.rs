//! The transaction of a group: the statements that open, mark, keep, undo and commit, prepared once, and the guard
//! that lets nothing else commit.
//!
//! SQLite rolls back a whole transaction on its own when the disk is full or fails, and then takes every further
//! statement for a transaction of its own (SQLite documentation, "Transaction", section 3.1). A job that ignores
//! the error and goes on would write outside of its group, piecemeal. The guard refuses those commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, ErrorCode, Statement};

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

    /// Commits what the jobs did.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it is sure not to be in the log; [`StoreError::Unknown`] when it may be.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        let commit = &mut self.commit;
        self.guard
            .let_pass(|| commit.execute(()))
            .map(drop)
            .map_err(|error| why_not(&error))
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

/// The last frame makes a commit of those before it, and SQLite has more to do when that is written: it notes them in the
/// index that connections share. What fails there leaves a commit in the log which this process takes for undone, and the
/// next one for done. Where the disk had no room for a frame, or something objected before, the last one is not whole.
fn why_not(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::ConstraintViolation | ErrorCode::DatabaseBusy) => {
            StoreError::Unavailable(error.to_string())
        }
        _ => StoreError::Unknown(error.to_string()),
    }
}

fn execute(statement: &mut Statement<'_>) -> Result<(), StoreError> {
    statement.execute(()).map(drop).map_err(StoreError::from)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn a_commit_is_undone_for_sure_only_where_its_last_frame_cannot_be_whole() {
        let failed = |code| why_not(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [
            ffi::SQLITE_FULL,
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY,
            ffi::SQLITE_CONSTRAINT_COMMITHOOK,
            ffi::SQLITE_BUSY,
        ] {
            assert!(matches!(failed(code), StoreError::Unavailable(_)), "{code}");
        }
        for code in [
            ffi::SQLITE_IOERR_SHMSIZE,
            ffi::SQLITE_IOERR_SHMMAP,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_NOMEM,
        ] {
            assert!(matches!(failed(code), StoreError::Unknown(_)), "{code}");
        }
    }
}
