//! Waits for the venue, but not for ever.
//!
//! What it keeps true: a venue that keeps us waiting has not answered. What it did all the same is found by asking.

use std::future::Future;
use std::time::Duration;

use contracts::metrics::Stopwatch;

use crate::metrics::Calls;
use crate::ports::Answer;

/// What the venue answers within `patience`, counted with `calls`.
pub(super) async fn bounded(patience: Duration, answer: impl Future<Output = Answer>, calls: &Calls) -> Answer {
    let asked = Stopwatch::start();
    let waited = tokio::time::timeout(patience, answer).await;
    let answer = waited.unwrap_or_else(|_| Answer::Unknown {
        reason: "it took too long".to_owned(),
    });
    calls.took.record_time(asked.elapsed());
    calls.count(&answer);
    answer
}
