//! Messages on the queues. A message is a wake-up or a result; the truth is in the databases.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use crate::{Amount, OrderId, Price};

/// The version of the message format that this code writes and reads.
pub const SCHEMA_VERSION: u16 = 1;

/// The queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    /// Results for the sagas; read by wallet's worker.
    SagaSteps,
    /// Wake-ups for exchanger's worker.
    ExchangeOrders,
    /// Wake-ups for bc_gateway's worker.
    BcgatewayOrders,
    /// Wake-ups for notification's worker.
    Notifications,
}

impl Queue {
    /// All queues.
    pub const ALL: [Self; 4] = [
        Self::SagaSteps,
        Self::ExchangeOrders,
        Self::BcgatewayOrders,
        Self::Notifications,
    ];

    /// The name of the queue and of its stream.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SagaSteps => "saga_steps",
            Self::ExchangeOrders => "exchange_orders",
            Self::BcgatewayOrders => "bcgateway_orders",
            Self::Notifications => "notifications",
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A step of an order's saga. (order id, step) names a command for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Move what the order may cost to the hot wallet.
    Hold,
    /// Trade at the venue.
    Exchange,
    /// Send the crypto to the user's address.
    Withdraw,
    /// Undo the trade.
    Reverse,
    /// Give back what is still held.
    Release,
    /// Tell the user.
    Notify,
    /// Take a withdrawal back; asked for by an operator, never by a saga.
    WithdrawBack,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 7] = [
        Self::Hold,
        Self::Exchange,
        Self::Withdraw,
        Self::Reverse,
        Self::Release,
        Self::Notify,
        Self::WithdrawBack,
    ];

    /// The name in messages and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Exchange => "exchange",
            Self::Withdraw => "withdraw",
            Self::Reverse => "reverse",
            Self::Release => "release",
            Self::Notify => "notify",
            Self::WithdrawBack => "withdraw_back",
        }
    }
}

impl Step {
    /// The queue of the worker that carries it out; none for the steps that the ledger answers at once.
    #[must_use]
    pub const fn queue(self) -> Option<Queue> {
        match self {
            Self::Exchange | Self::Reverse => Some(Queue::ExchangeOrders),
            Self::Withdraw | Self::WithdrawBack => Some(Queue::BcgatewayOrders),
            Self::Notify => Some(Queue::Notifications),
            Self::Hold | Self::Release => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a step")]
pub struct UnknownStep;

impl FromStr for Step {
    type Err = UnknownStep;

    fn from_str(text: &str) -> Result<Self, UnknownStep> {
        Self::ALL
            .into_iter()
            .find(|step| step.as_str() == text)
            .ok_or(UnknownStep)
    }
}

/// How far the step of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Stored and waiting for its worker.
    Accepted,
    /// Done; `result` says what came of it.
    Done,
    /// Ended without effect; `result` says why.
    Failed,
    /// An outside party's answer cannot be had for longer than is normal. Neither done nor failed.
    Unresolved,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The same for every delivery of this message.
    pub message_id: String,
    /// Whose step it is.
    pub order_id: OrderId,
    /// Which step.
    pub step: Step,
    /// How far it is.
    pub status: Status,
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u16,
    /// When the fact that it tells became true.
    pub occurred_at: Timestamp,
    /// W3C trace context of the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What came of the step; absent while `status` is `accepted` or `unresolved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<StepResult>,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StepResult {
    /// A trade that filled at least in part, and is booked.
    Traded(Trade),
    /// A transfer on the chain that is confirmed, and is booked.
    Transferred {
        /// The chain's hash of the transfer.
        transaction: String,
    },
    /// The trade is undone, and that is booked: the hot wallet holds again what the trade had taken.
    Reversed,
    /// The message reached the mail system.
    Notified,
    /// The step ended without effect.
    Failure {
        /// Why, for programs.
        code: FailureCode,
        /// Why, for people.
        detail: String,
    },
}

/// A trade as it was booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trade {
    /// Crypto bought or sold; greater than zero.
    pub filled: Amount,
    /// Fiat paid or received for it, before the fee.
    pub value: Amount,
    /// Fiat charged on top of (buy) or taken from (sell) `value`.
    pub fee: Amount,
    /// What of the hold went back to the user: fiat not spent (buy) or crypto not sold (sell).
    pub returned: Amount,
    /// Fiat per unit of crypto, averaged over the fills.
    pub price: Price,
}

/// Why an order or a step failed; stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The user's balance did not cover the order.
    InsufficientFunds,
    /// The venue refused the order.
    VenueRejected,
    /// The venue took the order and filled none of it.
    NothingFilled,
    /// It is proven that the venue never executed the order, and no further attempt is allowed.
    NotExecuted,
    /// The transfer was refused before it was signed.
    WithdrawalRefused,
    /// The step was cancelled before it took effect.
    Cancelled,
    /// The mail system refused the message for good.
    Undeliverable,
}

impl FailureCode {
    /// All codes.
    pub const ALL: [Self; 7] = [
        Self::InsufficientFunds,
        Self::VenueRejected,
        Self::NothingFilled,
        Self::NotExecuted,
        Self::WithdrawalRefused,
        Self::Cancelled,
        Self::Undeliverable,
    ];

    /// The code as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::VenueRejected => "venue_rejected",
            Self::NothingFilled => "nothing_filled",
            Self::NotExecuted => "not_executed",
            Self::WithdrawalRefused => "withdrawal_refused",
            Self::Cancelled => "cancelled",
            Self::Undeliverable => "undeliverable",
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no failure code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a failure code")]
pub struct UnknownFailureCode;

impl FromStr for FailureCode {
    type Err = UnknownFailureCode;

    fn from_str(text: &str) -> Result<Self, UnknownFailureCode> {
        Self::ALL
            .into_iter()
            .find(|code| code.as_str() == text)
            .ok_or(UnknownFailureCode)
    }
}
