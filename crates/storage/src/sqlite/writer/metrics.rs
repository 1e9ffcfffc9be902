//! What the writer counts of itself.

use contracts::metrics::{Counter, Histogram};

/// Where the numbers of jobs in a commit are divided.
const JOBS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024];

/// Where times are divided, in microseconds: from a write to a cache to a disk that hangs.
const TIMES: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000,
];

/// The writer's groups and jobs.
#[derive(Debug)]
pub struct WriterMetrics {
    /// How many jobs shared a commit.
    pub jobs: Histogram,
    /// How long the work of a group took, from its beginning to its commit, in microseconds.
    pub work: Histogram,
    /// How long a commit took until it was on disk, in microseconds.
    pub commit: Histogram,
    /// Groups that could not be committed.
    pub failed_groups: Counter,
    /// Jobs that failed and were rolled back, alone or with their group.
    pub failed_jobs: Counter,
    /// Jobs that were turned away because the queue stayed full.
    pub refused: Counter,
}

impl WriterMetrics {
    pub(super) fn new() -> Self {
        Self {
            jobs: Histogram::new(JOBS),
            work: Histogram::new(TIMES),
            commit: Histogram::new(TIMES),
            failed_groups: Counter::new(),
            failed_jobs: Counter::new(),
            refused: Counter::new(),
        }
    }
}
