//! Why a store gave no answer. What a store decided (a conflict, a refusal) is an outcome, not an error.

use std::time::Duration;

use contracts::clients::ClientError;
use thiserror::Error;

/// No answer from a store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The queue in front of the store is full; nothing was done.
    #[error("the store's queue is full")]
    Overloaded,
    /// Trouble with the database, or it is shutting down. The transaction is not committed as far as the
    /// database says; a caller that must know asks again.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The database or its disk was lost before it could say what became of it: everything is done, or nothing, and nobody can
    /// say which. A caller asks again, or leaves it to whoever sweeps; to take it for refused would be to lose what was done.
    #[error("the store went away during a commit, which may have been done: {0}")]
    Unknown(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// How long a caller that met a full queue waits before it tries again.
const FULL_QUEUE_PAUSE: Duration = Duration::from_secs(1);

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::Overloaded {
                retry_after: FULL_QUEUE_PAUSE,
            },
            StoreError::Unavailable(detail) => Self::Unavailable(detail),
            StoreError::Unknown(_) => Self::Unavailable(error.to_string()),
        }
    }
}
