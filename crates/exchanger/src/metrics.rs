//! What exchanger counts: what it asked of the venue and how that answered, and what its tasks do.

use std::sync::Arc;

use contracts::messages::Queue;
use contracts::metrics::{Counter, Histogram};
use service_kit::metrics::{Family, LATENCIES, Registry};
use storage::outbox::Destination;
use transport::metrics::{DispatcherMetrics, WorkerMetrics};

use crate::Service;
use crate::ports::Answer;

const CALLS: Family = Family::counter(
    "cambist_venue_calls_total",
    &["call", "outcome"],
    "Calls of the venue by answer: `place` sends an order, `find` asks what became of one. `unknown` is followed by a \
     `find`, never by a second order.",
);
const DURATION: Family = Family::histogram(
    "cambist_venue_call_duration_seconds",
    &["call"],
    "How long the venue took to answer; a call that was cut off took `venue_timeout`.",
)
.in_seconds();

/// Where the outbox's rows go.
pub(crate) const QUEUES: [Queue; 2] = [Queue::ExchangeOrders, Queue::SagaSteps];

const OUTCOMES: [&str; 5] = ["done", "open", "rejected", "not_found", "unknown"];

/// What this process counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) place: Calls,
    pub(crate) find: Calls,
    pub(crate) worker: Arc<WorkerMetrics>,
    pub(crate) dispatcher: DispatcherMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            place: Calls::default(),
            find: Calls::default(),
            worker: Arc::default(),
            dispatcher: DispatcherMetrics::new(QUEUES.map(Destination::Queue)),
        }
    }
}

/// Calls of one kind.
#[derive(Debug)]
pub(crate) struct Calls {
    outcomes: [Counter; OUTCOMES.len()],
    pub(crate) took: Histogram,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            outcomes: std::array::from_fn(|_| Counter::new()),
            took: Histogram::new(LATENCIES),
        }
    }
}

impl Calls {
    pub(crate) fn count(&self, answer: &Answer) {
        let [done, open, rejected, not_found, unknown] = &self.outcomes;
        match answer {
            Answer::Done(_) => done.one(),
            Answer::Open => open.one(),
            Answer::Rejected { .. } => rejected.one(),
            Answer::NotFound { .. } => not_found.one(),
            Answer::Unknown { .. } => unknown.one(),
        }
    }
}

impl Service {
    /// Shows what this service counts.
    ///
    /// # Panics
    /// As [`Registry::value`].
    pub fn register_metrics(&self, registry: &mut Registry) {
        type Which = fn(&Metrics) -> &Calls;
        let kinds: [(&str, Which); 2] = [("place", |metrics| &metrics.place), ("find", |metrics| &metrics.find)];
        for (call, of) in kinds {
            for (place, outcome) in OUTCOMES.into_iter().enumerate() {
                let metrics = Arc::clone(&self.metrics);
                registry.value(&CALLS, &[call, outcome], move || {
                    of(&metrics).outcomes.get(place).map_or(0, Counter::get)
                });
            }
            let metrics = Arc::clone(&self.metrics);
            registry.distribution(&DURATION, &[call], move || of(&metrics).took.distribution());
        }
    }

    /// What its worker counts.
    #[must_use]
    pub fn worker_metrics(&self) -> &Arc<WorkerMetrics> {
        &self.metrics.worker
    }

    /// What its dispatcher counts.
    #[must_use]
    pub fn dispatcher_metrics(&self) -> &DispatcherMetrics {
        &self.metrics.dispatcher
    }
}
