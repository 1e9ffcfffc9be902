//! Copies the log back into the database beside the writer, on a thread and a connection of its own.
//!
//! SQLite lets one connection copy while another one appends: what is copied is the log up to its length at that moment,
//! and both the log and the database are forced to disk on the way (SQLite documentation, "Write-Ahead Logging", section
//! 3). Only the log's new beginning needs the writer.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::{Copied, copy_what_is_free};

/// The writer's side of the thread that copies. Dropped, it waits for a copy that is under way.
pub(super) struct Copier {
    asked: Option<SyncSender<()>>,
    done: Receiver<rusqlite::Result<Copied>>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

/// What has come of a copy.
pub(super) enum Progress {
    /// None is under way.
    Idle,
    /// It is not done yet.
    UnderWay,
    /// It is done: so far.
    Done(Copied),
}

impl Copier {
    /// Starts the thread, which owns `connection`.
    pub(super) fn start(connection: Connection) -> io::Result<Self> {
        let (asked, asks) = sync_channel::<()>(1);
        let (tell, done) = sync_channel(1);
        let copy = move || {
            while asks.recv().is_ok() {
                if tell.send(copy_what_is_free(&connection)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("sqlite-copy".to_owned()).spawn(copy)?;
        Ok(Self {
            asked: Some(asked),
            done,
            busy: false,
            thread: Some(thread),
        })
    }

    /// Has the log copied as far as it goes now; to be called when no copy is under way.
    ///
    /// # Errors
    /// When the thread is dead.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        let asked = self.asked.as_ref().is_some_and(|asked| asked.try_send(()).is_ok());
        self.busy = asked;
        if asked { Ok(()) } else { Err(dead()) }
    }

    /// Whether a copy is under way whose outcome was not told yet.
    #[cfg(test)]
    pub(super) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// How far it is. An outcome is told once.
    ///
    /// # Errors
    /// When SQLite, the disk or the thread failed at it.
    pub(super) fn progress(&mut self) -> rusqlite::Result<Progress> {
        if !self.busy {
            return Ok(Progress::Idle);
        }
        match self.done.try_recv() {
            Ok(copied) => {
                self.busy = false;
                copied.map(Progress::Done)
            }
            Err(TryRecvError::Empty) => Ok(Progress::UnderWay),
            Err(TryRecvError::Disconnected) => Err(dead()),
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        drop(self.asked.take());
        if let Some(thread) = self.thread.take() {
            // Whoever opens the database next finds every connection closed.
            let _ = thread.join();
        }
    }
}

fn dead() -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure("the thread that copies the log is dead".into())
}
