//! The queue port. Delivery is at least once and unordered.

use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::{Message, Queue};
use thiserror::Error;

/// What became of what was to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// It arrived.
    Yes,
    /// It did not, or nobody knows; again later, without end: the other side will be back.
    NotYet {
        /// Why, for the log.
        reason: String,
    },
    /// It never will: the other side does not take it, whenever it comes.
    Never {
        /// Why.
        error: String,
    },
}

/// That not all messages were published.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the queue {queue} takes no messages: {reason}")]
pub struct PublishError {
    /// Which queue.
    pub queue: Queue,
    /// Why, of the first that was not.
    pub reason: String,
    /// What became of each message.
    pub outcomes: Vec<Delivered>,
}

impl PublishError {
    /// Tells what became of each message, if it was not that all were published.
    ///
    /// # Errors
    /// That.
    pub fn unless_all(queue: Queue, outcomes: Vec<Delivered>) -> Result<(), Self> {
        let reason = outcomes.iter().find_map(|outcome| match outcome {
            Delivered::Yes => None,
            Delivered::NotYet { reason } | Delivered::Never { error: reason } => Some(reason.clone()),
        });
        reason.map_or(Ok(()), |reason| {
            Err(Self {
                queue,
                reason,
                outcomes,
            })
        })
    }
}

/// Carries messages between processes, or between the parts of one.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Publishes messages; on success all of them will be delivered unless the transport loses its state. Waits a bounded
    /// time when the queue is full.
    ///
    /// # Errors
    /// What became of each message. One that the queue never takes holds up none of the others.
    async fn publish(&self, queue: Queue, messages: Vec<Message>) -> Result<(), PublishError>;

    /// Listens on a queue. Several listeners of one queue share its messages. A listener goes on listening whatever becomes
    /// of the connection.
    async fn subscribe(&self, queue: Queue) -> Result<Box<dyn Subscription>, PublishError>;

    /// Whether messages can be published and received now, for `/readyz`.
    ///
    /// # Errors
    /// Why not, in a few words.
    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }

    /// Ends all listening, and waits until what listeners hold is settled, for `patience` at most. Whether it was in time; what
    /// was not is delivered again, if not by this process then by others. Publishing goes on.
    async fn close(&self, _patience: Duration) -> bool {
        true
    }
}

/// One listener's end of a queue.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for at least one message and takes at most `max`. Empty when the queue is closed for good.
    /// Cancel-safe: a message is either returned or still in the queue.
    async fn receive(&mut self, max: usize) -> Vec<Delivery>;
}

/// A message in the hands of a listener. Dropping it without a word leaves it to the transport to deliver again
/// or to lose; the sweeps find what is lost.
pub struct Delivery {
    /// The message.
    pub message: Message,
    receipt: Option<Box<dyn Receipt>>,
}

/// How a transport is told what became of a message.
#[async_trait]
pub trait Receipt: Send {
    /// The message's effect is committed; it needs no further delivery.
    async fn done(self: Box<Self>);

    /// Deliver it again, not before `after`.
    async fn again(self: Box<Self>, after: Duration);
}

impl Delivery {
    /// A delivery whose transport needs no word.
    #[must_use]
    pub fn unreceipted(message: Message) -> Self {
        Self { message, receipt: None }
    }

    /// A delivery whose transport waits for a word.
    #[must_use]
    pub fn receipted(message: Message, receipt: Box<dyn Receipt>) -> Self {
        Self {
            message,
            receipt: Some(receipt),
        }
    }

    /// The effect is committed.
    pub async fn done(self) {
        if let Some(receipt) = self.receipt {
            receipt.done().await;
        }
    }

    /// Not handled; again after a while.
    pub async fn again(self, after: Duration) {
        if let Some(receipt) = self.receipt {
            receipt.again(after).await;
        }
    }
}
