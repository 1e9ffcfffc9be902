//! Dead letters that did not come from this service's own outbox: what arrived and cannot be read.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::StoreError;
use crate::outbox::Destination;

/// Keeps what arrived and cannot be read, for a person to look at, beside what could not be sent.
#[async_trait]
pub trait DeadLetterStore: Send + Sync {
    /// Stores a letter that came over `source`, with why it is dead. After an error nobody knows whether it is stored, so
    /// whoever tries again may store it twice; letters are looked at by people, who see that.
    ///
    /// # Errors
    /// What the store says.
    async fn bury(&self, now: Timestamp, source: Destination, payload: String, error: String)
    -> Result<(), StoreError>;
}
