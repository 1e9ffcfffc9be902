//! What went wrong in a transaction, and whether trying it again can help.

use std::error::Error as _;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::error::SqlState;

use crate::StoreError;
use crate::migrations::SchemaError;

/// Why a transaction did not come to its end.
#[derive(Debug, Error)]
pub enum TxError {
    /// What the server said, or the connection to it.
    #[error("{}", told(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// The server says nothing. The connection is given up.
    #[error("the database has not answered for {0:?}")]
    Silent(Duration),
    /// The connection broke before the commit was sent.
    #[error("the connection to the database broke")]
    Lost,
    /// A stored value that this program cannot have written, or one that cannot be stored.
    #[error("a value cannot be read or written: {0}")]
    Value(String),
    /// It is known what to answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TxError {
    /// Whether the same transaction may succeed when it is tried again from its beginning, and has had no effect so far:
    /// somebody else was in the way, or the connection broke before the commit.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Postgres(error) => is_conflict(error) || is_lost(error),
            Self::Lost => true,
            Self::Silent(_) | Self::Value(_) | Self::Store(_) => false,
        }
    }

    /// The same, where it came in place of the answer to a commit: a refusal is one, anything else leaves it open.
    pub(super) fn at_commit(self) -> Self {
        match self {
            Self::Postgres(error) if error.code().is_some() && !is_lost(&error) => Self::Postgres(error),
            Self::Postgres(_) | Self::Silent(_) | Self::Lost | Self::Value(_) => {
                Self::Store(StoreError::Unknown(self.to_string()))
            }
            Self::Store(_) => self,
        }
    }
}

impl From<TxError> for StoreError {
    fn from(error: TxError) -> Self {
        match error {
            TxError::Store(error) => error,
            TxError::Postgres(_) | TxError::Silent(_) | TxError::Lost | TxError::Value(_) => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

impl From<serde_json::Error> for TxError {
    fn from(error: serde_json::Error) -> Self {
        Self::Value(error.to_string())
    }
}

impl From<TxError> for SchemaError {
    fn from(error: TxError) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<tokio_postgres::Error> for SchemaError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(told(&error))
    }
}

/// Somebody else was in the way, or wrote the same thing first, which the next try will find. (PostgreSQL documentation,
/// "Serialization Failure Handling".)
fn is_conflict(error: &tokio_postgres::Error) -> bool {
    let conflicts = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::UNIQUE_VIOLATION,
    ];
    error.code().is_some_and(|code| conflicts.contains(code))
}

/// The connection is gone, or the server is going.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ]
        .contains(code),
        None => error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()),
    }
}

/// All that an error has to say: the library's own text leaves out what the server said.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}
