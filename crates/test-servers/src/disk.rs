//! A disk that takes its time: for tests of what must wait for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// A test's side of the disk. It keeps at once what it is given, until it is told to [hold](SlowDisk::hold).
#[derive(Debug)]
pub struct SlowDisk {
    holds: Arc<AtomicBool>,
    asked: Receiver<()>,
    keep: SyncSender<()>,
}

/// The disk, and what a database forces its log to disk by; nobody forces before what was forced before is kept.
pub fn slow() -> (SlowDisk, impl Fn() -> io::Result<()> + Send + 'static) {
    let holds = Arc::new(AtomicBool::new(false));
    let (ask, asked) = sync_channel(1);
    let (keep, kept) = sync_channel::<()>(1);
    let held = Arc::clone(&holds);
    let force = move || {
        if held.load(Ordering::SeqCst) {
            // What was said when nothing waited is over.
            while kept.try_recv().is_ok() {}
            let _ = ask.send(());
            // A test that is over holds nobody up.
            let _ = kept.recv();
        }
        Ok(())
    };
    (SlowDisk { holds, asked, keep }, force)
}

impl SlowDisk {
    /// From now on whatever it is given waits.
    pub fn hold(&self) {
        self.holds.store(true, Ordering::SeqCst);
    }

    /// Whether it was given something that waits now; said once of each.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.try_recv().is_ok()
    }

    /// Keeps what waits.
    pub fn keep(&self) {
        let _ = self.keep.send(());
    }

    /// Keeps what waits, and whatever follows at once.
    pub fn keep_all(&self) {
        self.holds.store(false, Ordering::SeqCst);
        self.keep();
    }
}
