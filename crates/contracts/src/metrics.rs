//! What is counted on the path of an order, at the price of an atomic addition: no lock, no allocation, no name.
//!
//! A crate that does the work keeps these beside it and counts always; whoever runs the system gives them names and
//! shows them (`service-kit`'s room of the same name). They are whole numbers throughout: times are in microseconds. Nothing
//! is ever decided by them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts events since the process began. Never falls; wraps after 2⁶⁴.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, events: u64) {
        self.0.fetch_add(events, Ordering::Relaxed);
    }

    /// How many by now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How large things were, or how long they took: so many at most at each of a few bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is above the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram whose buckets end at `bounds`, each inclusive, ascending.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// One more, of this size.
    pub fn record(&self, size: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < size);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(size, Ordering::Relaxed);
    }

    /// One more, which took so long: its microseconds, cut off below.
    pub fn record_time(&self, took: Duration) {
        self.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// What was recorded by now. What is being recorded meanwhile may be in the buckets and not yet in the sum.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Distribution {
            bounds: self.bounds,
            counts: self.counts.iter().map(count).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Where the buckets end, each inclusive.
    pub bounds: &'static [u64],
    /// How many fell into each, and above the last: one more than there are bounds.
    pub counts: Vec<u64>,
    /// Of all sizes; wraps after 2⁶⁴.
    pub sum: u64,
}

/// Says how long something took. Not a [`crate::Clock`]: what it says goes into a histogram and nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago that was.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_falls_into_the_first_bucket_that_holds_it() {
        let sizes = Histogram::new(&[1, 10, 100]);
        for size in [0, 1, 2, 10, 11, 100, 101, 5_000] {
            sizes.record(size);
        }
        let distribution = sizes.distribution();
        assert_eq!(distribution.counts, [2, 2, 2, 2]);
        assert_eq!(distribution.sum, 5_225);
    }

    #[test]
    fn a_time_is_recorded_in_microseconds() {
        let times = Histogram::new(&[1_000, 2_000]);
        times.record_time(Duration::from_millis(1));
        times.record_time(Duration::from_nanos(2_000_999));
        times.record_time(Duration::from_micros(2_001));
        assert_eq!(times.distribution().counts, [1, 1, 1]);
        assert_eq!(times.distribution().sum, 1_000 + 2_000 + 2_001);
    }

    #[test]
    fn nothing_is_lost_when_many_count_at_once() {
        let (counter, sizes) = (Counter::new(), Histogram::new(&[5]));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for size in 0..1_000 {
                        counter.one();
                        sizes.record(size % 10);
                    }
                });
            }
        });
        assert_eq!(counter.get(), 4_000);
        assert_eq!(sizes.distribution().counts, [2_400, 1_600]);
    }
}
