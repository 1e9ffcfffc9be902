//! The ports through which services call each other: function calls in one process, HTTP apart.
//!
//! Who may call whom: wallet → auth, balance, exchanger, bc_gateway, notification; exchanger → balance;
//! bc_gateway → balance. Every command is idempotent by (order id, step) or transfer id, so a caller that does
//! not know what became of a call makes it again.

mod auth;
mod balance;
mod bc_gateway;
mod exchanger;
mod notification;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

pub use auth::{Auth, Jwk, Jwks, User};
pub use balance::{Balance, Opened, WalletBalances};
pub use bc_gateway::{BcGateway, WithdrawCommand};
pub use exchanger::{ExchangeCommand, Exchanger, Side, UnknownSide};
pub use notification::{Notification, NotifyCommand};

/// The most commands one call may carry.
pub const MAX_COMMANDS: usize = 100;
/// The most bytes of a request between services that every one of them reads, 256 KiB.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

/// Why a call to another service has no answer. None of these says that the call had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The service is full; it did nothing.
    #[error("the service is overloaded, try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// How long to wait at least.
        retry_after: Duration,
    },
    /// No usable answer: not reachable, timed out, storage trouble. The effect is unknown.
    #[error("the service is unavailable: {0}")]
    Unavailable(String),
    /// The service does not let this process in, or is not at the address that is set for it. It did nothing; says which
    /// setting helps. Nothing is lost meanwhile: what was to be done is done once it is corrected.
    #[error("{0}")]
    Denied(String),
}

/// What became of a submitted command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[schema(examples(json!({"outcome": "accepted", "replayed": false})))]
pub enum Submission {
    /// Stored, now or before, and will come to its end by itself; its result arrives as a message.
    Accepted {
        /// Whether an earlier call had stored it. Its result, if there is one, is published once more.
        replayed: bool,
    },
    /// There is a command of this (order id, step) with other content. Nothing changed.
    Conflict,
    /// The command makes no sense. Nothing changed.
    Invalid {
        /// What is wrong with it.
        detail: String,
    },
}
