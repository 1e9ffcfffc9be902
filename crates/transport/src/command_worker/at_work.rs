//! What a worker is at, from the beginning of a command until what came of it is stored.
//!
//! Leases are times of a clock that can be set forward: then all of them are over at once, and the worker would claim from
//! itself what it is working on, and do it twice. What it keeps true: of one claim only one handler is at work.

use std::sync::{Mutex, PoisonError};

use storage::commands::{CommandKey, Held};

/// The claims under which handlers of this worker work.
#[derive(Default)]
pub(super) struct AtWork(Mutex<Held>);

impl AtWork {
    /// Notes a claim. An earlier one of the same command is forgotten: only the latest can be claimed from.
    pub(super) fn begin(&self, key: CommandKey, epoch: i64) {
        self.lock().insert(key, epoch);
    }

    /// Forgets claims. One that was followed by another one of the same command was forgotten before.
    pub(super) fn end(&self, claims: impl IntoIterator<Item = (CommandKey, i64)>) {
        let mut held = self.lock();
        for (key, epoch) in claims {
            if held.get(&key) == Some(&epoch) {
                held.remove(&key);
            }
        }
    }

    /// All that are noted.
    pub(super) fn held(&self) -> Held {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
