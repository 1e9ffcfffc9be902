//! The machine's clock, and somebody who sets it.

use std::sync::atomic::{AtomicI64, Ordering};

use contracts::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};

/// A clock that goes, and is as wrong as a test wants.
#[derive(Default)]
pub(crate) struct SetClock {
    seconds_ahead: AtomicI64,
}

impl SetClock {
    /// Sets it ahead by so many days; back, if they are negative.
    pub(crate) fn turn(&self, days: i64) {
        self.seconds_ahead.fetch_add(days * 24 * 60 * 60, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_secs(self.seconds_ahead.load(Ordering::Relaxed))
    }
}
