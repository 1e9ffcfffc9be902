//! Copies the log back into the database beside the writer, on a thread and a connection of its own.
//!
//! SQLite lets one connection copy while another one appends: what is copied is the log up to its length at that moment,
//! after it was forced to disk. If the log has grown meanwhile the database is not forced yet (SQLite documentation,
//! "Write-Ahead Logging", section 3); that is left to whoever copies the rest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, ErrorCode, InterruptHandle};

use super::super::disk::{Forced, Watch};
use super::{Copied, WHAT_IS_FREE, checkpoint};

/// The writer's side of the thread that copies. Dropped, it breaks off a copy that is under way, which harms nothing.
pub(super) struct Copier {
    asked: Option<SyncSender<()>>,
    done: Receiver<Copied>,
    busy: bool,
    ends: Arc<AtomicBool>,
    interrupt: InterruptHandle,
    thread: Option<JoinHandle<()>>,
}

/// What has come of a copy.
#[derive(Debug)]
pub(super) enum Progress {
    /// None is under way.
    Idle,
    /// It is not done yet.
    UnderWay,
    /// It is done: so far.
    Done(Copied),
}

impl Copier {
    /// Starts the thread, which owns `connection`. A copy that fails is a disk that has failed.
    pub(super) fn start(connection: Connection, forced: Forced) -> io::Result<Self> {
        let (asked, asks) = sync_channel::<()>(1);
        let (tell, done) = sync_channel(1);
        let interrupt = connection.get_interrupt_handle();
        let ends = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&ends);
        let copy = move || {
            let _watch = Watch(forced.clone());
            while asks.recv().is_ok() {
                match checkpoint(&connection, WHAT_IS_FREE) {
                    Ok(copied) => drop(tell.send(copied)),
                    Err(error) if is_broken_off(&error) && ending.load(Ordering::SeqCst) => return,
                    Err(error) => {
                        tracing::error!(%error, "the write-ahead log could not be copied; nothing is stored any more");
                        forced.fail();
                        return;
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("sqlite-copy".to_owned()).spawn(copy)?;
        Ok(Self {
            asked: Some(asked),
            done,
            busy: false,
            ends,
            interrupt,
            thread: Some(thread),
        })
    }

    /// Has the log copied as far as it goes now; to be called when no copy is under way.
    pub(super) fn begin(&mut self) {
        self.busy = self.asked.as_ref().is_some_and(|asked| asked.try_send(()).is_ok());
    }

    /// How far it is. An outcome is told once; after a failure there is none.
    pub(super) fn progress(&mut self) -> Progress {
        if !self.busy {
            return Progress::Idle;
        }
        match self.done.try_recv() {
            Ok(copied) => self.ended(Some(copied)),
            Err(TryRecvError::Empty) => Progress::UnderWay,
            Err(TryRecvError::Disconnected) => self.ended(None),
        }
    }

    /// Waits for a copy that is under way.
    pub(super) fn wait(&mut self) -> Progress {
        if !self.busy {
            return Progress::Idle;
        }
        let copied = self.done.recv().ok();
        self.ended(copied)
    }

    fn ended(&mut self, copied: Option<Copied>) -> Progress {
        self.busy = false;
        copied.map_or(Progress::Idle, Progress::Done)
    }

    /// Whether a copy is under way whose outcome was not told yet.
    #[cfg(test)]
    pub(super) const fn is_busy(&self) -> bool {
        self.busy
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        drop(self.asked.take());
        self.ends.store(true, Ordering::SeqCst);
        self.interrupt.interrupt();
        if let Some(thread) = self.thread.take() {
            // Whoever opens the database next finds every connection closed.
            let _ = thread.join();
        }
    }
}

fn is_broken_off(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}
