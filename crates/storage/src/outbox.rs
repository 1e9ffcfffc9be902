//! The outbox: every effect that leaves a service is first a row here, written in the transaction of the state
//! change that causes it.
//!
//! After the commit the rows go to the dispatcher through a bounded channel. That hand-over may be lost (the
//! channel is full, the process dies): the row stays, and is found as due a little later. So an effect happens
//! at least once, and never for a state change that was rolled back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use contracts::ServiceName;
use contracts::messages::Queue;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::StoreError;

/// How long a fresh row is left to the dispatcher that got it after the commit, before it counts as lost.
pub const HAND_OVER: Duration = Duration::from_secs(3);

/// Where an effect goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// A message on this queue.
    Queue(Queue),
    /// A call of this service's client port.
    Service(ServiceName),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(queue) => write!(f, "queue:{queue}"),
            Self::Service(service) => write!(f, "service:{service}"),
        }
    }
}

/// A text that names no destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a destination")]
pub struct UnknownDestination;

impl FromStr for Destination {
    type Err = UnknownDestination;

    fn from_str(text: &str) -> Result<Self, UnknownDestination> {
        if let Some(name) = text.strip_prefix("queue:") {
            Queue::ALL
                .into_iter()
                .find(|queue| queue.as_str() == name)
                .map(Self::Queue)
                .ok_or(UnknownDestination)
        } else {
            let name = text.strip_prefix("service:").ok_or(UnknownDestination)?;
            name.parse().map(Self::Service).map_err(|_| UnknownDestination)
        }
    }
}

/// A stored effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number; never used twice, so that settling a row late cannot hit another.
    pub id: i64,
    /// Where it goes.
    pub destination: Destination,
    /// What is said there, as JSON.
    pub payload: String,
    /// How many deliveries failed so far.
    pub attempts: u32,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Delivered; the row goes.
    Delivered,
    /// Not delivered; again at this time.
    Retry {
        /// When.
        at: Timestamp,
    },
    /// Can never be delivered; the row moves to the dead letters, with the error.
    Dead {
        /// Why.
        error: String,
    },
}

/// Rows whose transaction is committed, on their way to the dispatcher.
pub type OutboxRows = mpsc::Receiver<OutboxRow>;

/// A service's outbox, as the dispatcher uses it.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Takes at most `limit` rows for `destination` that are due (and what is stored together with the last of them), oldest
    /// first, and puts their next attempt off by `lease`, so that no other dispatcher takes them meanwhile. By destination,
    /// so that the many rows of one that is away never stand before those of its neighbours.
    async fn claim_due(
        &self,
        now: Timestamp,
        destination: Destination,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<OutboxRow>, StoreError>;

    /// Records what became of rows, in one transaction. Settling a row that is gone changes nothing.
    async fn settle(&self, now: Timestamp, settlements: Vec<(i64, Settlement)>) -> Result<(), StoreError>;

    /// Makes every row for `destination` due at `now` at the latest: for a clock that was set back, by which their pauses
    /// would be as much longer. Returns how many were due later. Rows that another dispatcher has may come twice then.
    async fn bring_forward(&self, now: Timestamp, destination: Destination) -> Result<u64, StoreError>;

    /// How many rows wait.
    async fn backlog(&self) -> Result<u64, StoreError>;
}
