//! What others may ask the exchanger.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use super::{ClientError, Submission};
use crate::messages::Step;
use crate::operators::{Instruction, Retried, RulingOutcome, StepView, VenueRuling};
use crate::{Amount, Asset, OrderId, UserId};

/// Whether crypto is bought or sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Fiat for crypto.
    Buy,
    /// Crypto for fiat.
    Sell,
}

impl Side {
    /// `buy` or `sell`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is neither `buy` nor `sell`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a side is buy or sell")]
pub struct UnknownSide;

impl FromStr for Side {
    type Err = UnknownSide;

    fn from_str(text: &str) -> Result<Self, UnknownSide> {
        match text {
            "buy" => Ok(Self::Buy),
            "sell" => Ok(Self::Sell),
            _ => Err(UnknownSide),
        }
    }
}

/// Trade for an order, or undo that trade. Its step is [`crate::messages::Step::Exchange`], or
/// [`crate::messages::Step::Reverse`] when `compensate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"order_id": 1, "acquirer_user_id": 2, "side": "buy", "asset": "BTC", "currency": "USD",
    "amount": {"amount": "30", "asset": "USD"}, "compensate": false})))]
pub struct ExchangeCommand {
    /// The order.
    pub order_id: OrderId,
    /// For whom.
    pub acquirer_user_id: UserId,
    /// The order's side; a compensation trades the other way round.
    pub side: Side,
    /// The crypto.
    pub asset: Asset,
    /// The fiat.
    pub currency: Asset,
    /// Of a buy: fiat, the ceiling on cost and fees together. Of a sell: crypto, the quantity. Of a
    /// compensated buy: crypto, exactly what the trade had filled. Greater than zero.
    pub amount: Amount,
    /// Whether the order's trade is to be undone.
    pub compensate: bool,
}

/// The `exchanger` service, as others see it.
#[async_trait]
pub trait Exchanger: Send + Sync {
    /// Hands over commands, at most [`super::MAX_COMMANDS`]; `outcomes[i]` answers `commands[i]`. Idempotent by
    /// (order id, step); a finished command publishes its result again.
    async fn submit(&self, commands: Vec<ExchangeCommand>) -> Result<Vec<Submission>, ClientError>;

    /// Records what an operator established about an attempt whose outcome the venue does not tell when it is asked, or what
    /// people got elsewhere for all that a refused reversal had left. The step goes on from it as if the venue had answered so:
    /// fills are booked, and the result is published. Idempotent by attempt and verdict.
    async fn rule(&self, ruling: VenueRuling) -> Result<RulingOutcome, ClientError>;

    /// Tries [`Step::Exchange`] or [`Step::Reverse`] of an order again at once, because an operator wants so: a dead command
    /// and a reversal that was refused are opened again. Harmless when nothing is wrong.
    async fn retry(&self, order: OrderId, step: Step, instruction: Instruction) -> Result<Retried, ClientError>;

    /// The step as it stands; `None` when it was never asked for.
    async fn view(&self, order: OrderId, step: Step) -> Result<Option<StepView>, ClientError>;
}
