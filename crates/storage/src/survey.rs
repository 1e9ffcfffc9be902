//! How outboxes and commands stand, for whoever watches.

use jiff::Timestamp;

use crate::outbox::Destination;

/// The most rows that are counted; more are told as so many.
pub const SURVEYED: u32 = 100_000;

/// What waits in a service's outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxSurvey {
    /// For each destination that has any: how many messages wait, of at most [`SURVEYED`] rows, and since when the oldest of
    /// them.
    pub waiting: Vec<(Destination, u64, Option<Timestamp>)>,
    /// Dead letters that wait for a person, by where they died (`queue`, `service`, `command` or `other`).
    pub dead: [(&'static str, u64); 4],
}

/// How a service's commands stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandsSurvey {
    /// How many are open, at most [`SURVEYED`].
    pub open: u64,
    /// Of how many of these an outside party's answer is missing.
    pub answer_missing: u64,
    /// How many are dead.
    pub dead: u64,
    /// Since when the oldest open one is there.
    pub oldest: Option<Timestamp>,
}

/// Dead letters by where they died.
pub(crate) fn by_source<'a>(sources: impl Iterator<Item = &'a str>) -> [(&'static str, u64); 4] {
    let mut counts = [("queue", 0), ("service", 0), ("command", 0), ("other", 0)];
    for source in sources {
        let kind = source.split_once(':').map_or("other", |(kind, _)| kind);
        let place = counts
            .iter()
            .position(|(name, _)| *name == kind)
            .unwrap_or(counts.len() - 1);
        if let Some((_, count)) = counts.get_mut(place) {
            *count += 1;
        }
    }
    counts
}
