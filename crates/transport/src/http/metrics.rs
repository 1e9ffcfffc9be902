//! What is counted of the way to a peer. Its owner gives these names.

use std::sync::atomic::{AtomicU8, Ordering};

use contracts::metrics::{Counter, Histogram};

use super::circuit::Position;
use super::failure::FailureKind;

/// Where the buckets of times end, in microseconds.
const TIMES: &[u64] = &[
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
];

/// What became of what was asked of one peer.
#[derive(Debug)]
pub struct PeerMetrics {
    /// Attempts that were sent, whatever came of them.
    pub requests: Counter,
    /// Calls that were repeated, once for each repetition.
    pub retries: Counter,
    /// How often the circuit opened.
    pub opened: Counter,
    /// How long attempts took that were answered.
    pub answered: Histogram,
    failures: [Counter; FailureKind::ALL.len()],
    position: AtomicU8,
}

impl Default for PeerMetrics {
    fn default() -> Self {
        Self {
            requests: Counter::new(),
            retries: Counter::new(),
            opened: Counter::new(),
            answered: Histogram::new(TIMES),
            failures: Default::default(),
            position: AtomicU8::new(0),
        }
    }
}

impl PeerMetrics {
    /// How many attempts failed so.
    #[must_use]
    pub fn failures(&self, kind: FailureKind) -> u64 {
        self.of(kind).map_or(0, Counter::get)
    }

    /// How the circuit stands: 0 closed, 1 half open, 2 open. As of the last request: an open circuit is half open as soon as
    /// somebody asks.
    #[must_use]
    pub fn circuit(&self) -> u64 {
        u64::from(self.position.load(Ordering::Relaxed))
    }

    pub(super) fn failed(&self, kind: FailureKind) {
        if let Some(counter) = self.of(kind) {
            counter.one();
        }
    }

    pub(super) fn stands(&self, position: Position) {
        let number = match position {
            Position::Closed => 0,
            Position::HalfOpen => 1,
            Position::Open => 2,
        };
        self.position.store(number, Ordering::Relaxed);
    }

    fn of(&self, kind: FailureKind) -> Option<&Counter> {
        let index = FailureKind::ALL.iter().position(|known| *known == kind)?;
        self.failures.get(index)
    }
}
