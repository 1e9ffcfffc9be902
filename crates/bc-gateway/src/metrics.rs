//! What bc_gateway counts: what it asked of the chain and how that answered, and what its tasks do.

use std::sync::Arc;

use contracts::messages::Queue;
use contracts::metrics::Counter;
use service_kit::metrics::{Family, Registry};
use storage::outbox::Destination;
use transport::metrics::{DispatcherMetrics, WorkerMetrics};

use crate::Service;
use crate::ports::{BroadcastAnswer, FindAnswer, NonceAnswer, SendCheck};

const CALLS: Family = Family::counter(
    "cambist_chain_calls_total",
    &["call", "outcome"],
    "Calls of the chain by answer: `check` before signing, `nonce`, `broadcast`, `find`. `unknown` is asked again and \
     changes nothing.",
);

/// Where the outbox's rows go.
pub(crate) const QUEUES: [Queue; 2] = [Queue::BcgatewayOrders, Queue::SagaSteps];

/// What this process counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) chain: Calls,
    pub(crate) worker: Arc<WorkerMetrics>,
    pub(crate) dispatcher: DispatcherMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            chain: Calls::default(),
            worker: Arc::default(),
            dispatcher: DispatcherMetrics::new(QUEUES.map(Destination::Queue)),
        }
    }
}

/// Calls of the chain by what it answered.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    sendable: Counter,
    unsendable: Counter,
    check_unknown: Counter,
    nonce: Counter,
    nonce_unknown: Counter,
    taken: Counter,
    refused: Counter,
    broadcast_unknown: Counter,
    confirmed: Counter,
    pending: Counter,
    not_found: Counter,
    find_unknown: Counter,
}

impl Calls {
    pub(crate) fn checked(&self, answer: &SendCheck) {
        match answer {
            SendCheck::Sendable { .. } => self.sendable.one(),
            SendCheck::Refused { .. } => self.unsendable.one(),
            SendCheck::Unknown { .. } => self.check_unknown.one(),
        }
    }

    pub(crate) fn counted(&self, answer: &NonceAnswer) {
        match answer {
            NonceAnswer::Next(_) => self.nonce.one(),
            NonceAnswer::Unknown { .. } => self.nonce_unknown.one(),
        }
    }

    pub(crate) fn sent(&self, answer: &BroadcastAnswer) {
        match answer {
            BroadcastAnswer::Taken => self.taken.one(),
            BroadcastAnswer::Refused { .. } => self.refused.one(),
            BroadcastAnswer::Unknown { .. } => self.broadcast_unknown.one(),
        }
    }

    pub(crate) fn found(&self, answer: &FindAnswer) {
        match answer {
            FindAnswer::Confirmed { .. } => self.confirmed.one(),
            FindAnswer::Pending => self.pending.one(),
            FindAnswer::NotFound => self.not_found.one(),
            FindAnswer::Unknown { .. } => self.find_unknown.one(),
        }
    }
}

impl Service {
    /// Shows what this service counts.
    ///
    /// # Panics
    /// As [`Registry::value`].
    pub fn register_metrics(&self, registry: &mut Registry) {
        type Which = fn(&Calls) -> &Counter;
        let calls: [(&str, &str, Which); 12] = [
            ("check", "sendable", |calls| &calls.sendable),
            ("check", "refused", |calls| &calls.unsendable),
            ("check", "unknown", |calls| &calls.check_unknown),
            ("nonce", "known", |calls| &calls.nonce),
            ("nonce", "unknown", |calls| &calls.nonce_unknown),
            ("broadcast", "taken", |calls| &calls.taken),
            ("broadcast", "refused", |calls| &calls.refused),
            ("broadcast", "unknown", |calls| &calls.broadcast_unknown),
            ("find", "confirmed", |calls| &calls.confirmed),
            ("find", "pending", |calls| &calls.pending),
            ("find", "not_found", |calls| &calls.not_found),
            ("find", "unknown", |calls| &calls.find_unknown),
        ];
        for (call, outcome, of) in calls {
            let metrics = Arc::clone(self.metrics());
            registry.value(&CALLS, &[call, outcome], move || of(&metrics.chain).get());
        }
    }

    /// What its worker counts.
    #[must_use]
    pub fn worker_metrics(&self) -> &Arc<WorkerMetrics> {
        &self.metrics().worker
    }

    /// What its dispatcher counts.
    #[must_use]
    pub fn dispatcher_metrics(&self) -> &DispatcherMetrics {
        &self.metrics().dispatcher
    }
}
