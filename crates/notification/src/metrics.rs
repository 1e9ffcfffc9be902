//! What notification counts: what became of the tries to hand over a mail, and what its tasks do.

use std::sync::Arc;

use contracts::messages::Queue;
use contracts::metrics::{Counter, Histogram};
use service_kit::metrics::{Family, LATENCIES, Registry};
use storage::outbox::Destination;
use transport::metrics::{DispatcherMetrics, WorkerMetrics};

use crate::Service;
use crate::ports::MailAnswer;

const TRIES: Family = Family::counter(
    "cambist_mail_tries_total",
    &["outcome"],
    "Tries to hand a mail to the mail system: `sent` once for each mail; `later` and `unconfirmed` are tried again; \
     `refused` never.",
);
const UNDELIVERABLE: Family = Family::counter(
    "cambist_mails_undeliverable_total",
    &[],
    "Mails that were given up: refused, or tried too often. Their users were not told of their orders' ends.",
);
const DURATION: Family = Family::histogram(
    "cambist_mail_try_duration_seconds",
    &[],
    "How long the mail system took to answer.",
)
.in_seconds();

/// What wakes the worker up; nobody waits for results.
pub(crate) const QUEUE: Queue = Queue::Notifications;

/// What this process counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    sent: Counter,
    later: Counter,
    unconfirmed: Counter,
    refused: Counter,
    pub(crate) undeliverable: Counter,
    pub(crate) took: Histogram,
    pub(crate) worker: Arc<WorkerMetrics>,
    pub(crate) dispatcher: DispatcherMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            sent: Counter::new(),
            later: Counter::new(),
            unconfirmed: Counter::new(),
            refused: Counter::new(),
            undeliverable: Counter::new(),
            took: Histogram::new(LATENCIES),
            worker: Arc::default(),
            dispatcher: DispatcherMetrics::new([Destination::Queue(QUEUE)]),
        }
    }
}

impl Metrics {
    pub(crate) fn tried(&self, answer: &MailAnswer) {
        match answer {
            MailAnswer::Delivered => self.sent.one(),
            MailAnswer::TryLater { .. } => self.later.one(),
            MailAnswer::Unconfirmed { .. } => self.unconfirmed.one(),
            MailAnswer::Refused { .. } => self.refused.one(),
        }
    }
}

impl Service {
    /// Shows what this service counts.
    ///
    /// # Panics
    /// As [`Registry::value`].
    pub fn register_metrics(&self, registry: &mut Registry) {
        type Which = fn(&Metrics) -> &Counter;
        let outcomes: [(&str, Which); 4] = [
            ("sent", |metrics| &metrics.sent),
            ("later", |metrics| &metrics.later),
            ("unconfirmed", |metrics| &metrics.unconfirmed),
            ("refused", |metrics| &metrics.refused),
        ];
        for (outcome, of) in outcomes {
            let metrics = Arc::clone(&self.0.metrics);
            registry.value(&TRIES, &[outcome], move || of(&metrics).get());
        }
        let metrics = Arc::clone(&self.0.metrics);
        registry.value(&UNDELIVERABLE, &[], move || metrics.undeliverable.get());
        let metrics = Arc::clone(&self.0.metrics);
        registry.distribution(&DURATION, &[], move || metrics.took.distribution());
    }

    /// What its worker counts.
    #[must_use]
    pub fn worker_metrics(&self) -> &Arc<WorkerMetrics> {
        &self.0.metrics.worker
    }

    /// What its dispatcher counts.
    #[must_use]
    pub fn dispatcher_metrics(&self) -> &DispatcherMetrics {
        &self.0.metrics.dispatcher
    }
}
