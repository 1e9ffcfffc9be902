//! What dispatchers and workers count of themselves. Their owners make these, hand them in, and show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::metrics::Counter;
use storage::commands::{Fencing, Settlement};
use storage::outbox::Destination;

use crate::queue::Delivered;

/// What became of the rows for one destination.
#[derive(Debug, Default)]
pub struct LaneMetrics {
    /// They arrived.
    pub delivered: Counter,
    /// They did not, and are delivered again later.
    pub retried: Counter,
    /// They never will, and became dead letters.
    pub dead: Counter,
}

impl LaneMetrics {
    pub(crate) fn count(&self, outcome: &Delivered) {
        match outcome {
            Delivered::Yes => self.delivered.one(),
            Delivered::NotYet { .. } => self.retried.one(),
            Delivered::Never { .. } => self.dead.one(),
        }
    }
}

/// A dispatcher's lanes. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct DispatcherMetrics(Arc<BTreeMap<Destination, Arc<LaneMetrics>>>);

impl DispatcherMetrics {
    /// For rows to these destinations.
    #[must_use]
    pub fn new(destinations: impl IntoIterator<Item = Destination>) -> Self {
        let lane = |destination| (destination, Arc::default());
        Self(Arc::new(destinations.into_iter().map(lane).collect()))
    }

    /// Each destination with its counters.
    pub fn lanes(&self) -> impl Iterator<Item = (Destination, &Arc<LaneMetrics>)> {
        self.0.iter().map(|(destination, lane)| (*destination, lane))
    }

    /// The counters of a destination; of one that was not named, some that nobody sees.
    pub(crate) fn lane(&self, destination: Destination) -> Arc<LaneMetrics> {
        self.0.get(&destination).cloned().unwrap_or_default()
    }
}

/// What became of the commands that a worker claimed. A command is counted once for each claim.
#[derive(Debug, Default)]
pub struct WorkerMetrics {
    /// They came to their end with an effect.
    pub done: Counter,
    /// They came to their end without one.
    pub failed: Counter,
    /// They are tried again later.
    pub postponed: Counter,
    /// They cannot be worked on; a person has to look.
    pub dead: Counter,
    /// What was done came too late: somebody else has them.
    pub fenced: Counter,
    /// Their handler panicked; these are postponed as well.
    pub panicked: Counter,
    /// Their lease ended before they were begun, or before they were handled.
    pub overdue: Counter,
}

impl WorkerMetrics {
    pub(crate) fn count(&self, settlement: &Settlement, fencing: Fencing) {
        use contracts::messages::StepResult;
        match (fencing, settlement) {
            (Fencing::Fenced, _) => self.fenced.one(),
            (Fencing::Written, Settlement::Finished { result, .. }) => match result {
                StepResult::Failure { .. } => self.failed.one(),
                StepResult::Traded(_)
                | StepResult::Transferred { .. }
                | StepResult::Reversed
                | StepResult::Notified => self.done.one(),
            },
            (Fencing::Written, Settlement::Postponed { .. }) => self.postponed.one(),
            (Fencing::Written, Settlement::Dead { .. }) => self.dead.one(),
        }
    }
}

/// What a transport between processes counts. A message is counted once for each time.
#[derive(Debug, Default)]
pub struct TransportMetrics {
    /// The server took them.
    pub published: Counter,
    /// They could not be published, as far as is known.
    pub refused: Counter,
    /// They arrived.
    pub taken: Counter,
    /// They arrived, and not for the first time.
    pub redelivered: Counter,
    /// Of those that arrived, what became of them is decided.
    pub settled: Counter,
    /// They could not be read, and became dead letters.
    pub dead: Counter,
    /// A consumer was missing or stood still, and was made again.
    pub rebuilt: Counter,
}

impl TransportMetrics {
    /// How many messages are in the hands of listeners now.
    #[must_use]
    pub fn in_hand(&self) -> u64 {
        // Read in this order, so that what is settled meanwhile was not yet counted as taken by mistake.
        let settled = self.settled.get();
        self.taken.get().saturating_sub(settled)
    }
}
