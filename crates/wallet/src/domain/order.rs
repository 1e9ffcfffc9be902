//! What an order is. Its terms never change once it is accepted; everything else moves by [`super::saga::advance`].

use std::fmt;
use std::str::FromStr;

use contracts::clients::Side;
use contracts::messages::Step;
use contracts::money::DecimalText;
use contracts::{Amount, Asset, AssetKind, OrderId, UserId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use super::saga::Saga;

/// The largest amount of an order or a deposit, in atomic units: 10³⁰. No wallet holds as much, and the ledger's 128
/// bits take a hundred million of them, so that nobody can push an account to the end of its range.
pub const MAX_UNITS: i128 = 10_i128.pow(30);

/// What was agreed when the order was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Terms {
    /// Whether crypto is bought or sold.
    pub side: Side,
    /// The crypto.
    pub asset: Asset,
    /// The fiat.
    pub currency: Asset,
    /// What is held: of a buy fiat, the ceiling on cost and fees together; of a sell the crypto to be sold. Greater
    /// than zero.
    pub hold: Amount,
}

/// Why terms make no sense: the field of the request and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {detail}")]
pub struct InvalidTerms {
    /// The request's field.
    pub field: &'static str,
    /// What is wrong with it, for people.
    pub detail: String,
}

impl Terms {
    /// The terms of a request for `amount`, which is read exactly at the scale of what is held.
    ///
    /// # Errors
    /// [`InvalidTerms`]: `asset` is no crypto, `currency` no fiat, or the amount is not a positive number of at most
    /// [`MAX_UNITS`] with no more decimals than its asset has.
    pub fn try_new(side: Side, asset: Asset, currency: Asset, amount: &DecimalText) -> Result<Self, InvalidTerms> {
        let kind = |field, given: Asset, kind: AssetKind, name| {
            if given.kind() == kind {
                Ok(())
            } else {
                let detail = format!("{given} is no {name}");
                Err(InvalidTerms { field, detail })
            }
        };
        kind("asset", asset, AssetKind::Crypto, "crypto asset")?;
        kind("currency", currency, AssetKind::Fiat, "currency")?;
        let (field, held) = match side {
            Side::Buy => ("fiat_amount", currency),
            Side::Sell => ("crypto_amount", asset),
        };
        let hold = positive(field, held, amount)?;
        Ok(Self {
            side,
            asset,
            currency,
            hold,
        })
    }
}

/// The positive amount of `asset` that `text` stands for.
///
/// # Errors
/// [`InvalidTerms`], blaming `field`.
pub(super) fn positive(field: &'static str, asset: Asset, text: &DecimalText) -> Result<Amount, InvalidTerms> {
    let invalid = |detail: String| InvalidTerms { field, detail };
    let amount = text.amount(asset).map_err(|error| invalid(error.to_string()))?;
    if !amount.is_positive() {
        return Err(invalid("the number must be positive".to_owned()));
    }
    if amount.units() > MAX_UNITS {
        let most = Amount::new(MAX_UNITS, asset);
        return Err(invalid(format!("at most {most} {asset} at once")));
    }
    Ok(amount)
}

/// A state in which something is being done that may take an outside party's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// At the venue.
    Exchanging,
    /// On the chain.
    Withdrawing,
    /// The trade is being undone.
    Reversing,
    /// The hold is being given back.
    Releasing,
}

impl Stage {
    /// The step whose result this stage waits for.
    #[must_use]
    pub const fn step(self) -> Step {
        match self {
            Self::Exchanging => Step::Exchange,
            Self::Withdrawing => Step::Withdraw,
            Self::Reversing => Step::Reverse,
            Self::Releasing => Step::Release,
        }
    }
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum OrderState {
    /// Accepted; the hold is not decided yet.
    Created,
    /// The money is held; the exchanger trades.
    Exchanging,
    /// Bought; the crypto goes to the user's address.
    Withdrawing,
    /// The crypto could not be sent; the trade is being undone.
    Reversing,
    /// Not traded, or undone; what is still held goes back.
    Releasing,
    /// An operator is asked. The results that `from` accepts still count.
    Stuck {
        /// Where it got stuck.
        from: Stage,
    },
    /// The end, with effect.
    Completed,
    /// The end; the user is exactly where they were.
    Failed,
}

impl OrderState {
    /// All states, in the order in which they are met.
    pub const ALL: [Self; 11] = [
        Self::Created,
        Self::Exchanging,
        Self::Withdrawing,
        Self::Reversing,
        Self::Releasing,
        Self::Stuck {
            from: Stage::Exchanging,
        },
        Self::Stuck {
            from: Stage::Withdrawing,
        },
        Self::Stuck { from: Stage::Reversing },
        Self::Stuck { from: Stage::Releasing },
        Self::Completed,
        Self::Failed,
    ];

    /// The name in JSON, tables and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Exchanging => "exchanging",
            Self::Withdrawing => "withdrawing",
            Self::Reversing => "reversing",
            Self::Releasing => "releasing",
            Self::Stuck { from } => match from {
                Stage::Exchanging => "stuck_exchanging",
                Stage::Withdrawing => "stuck_withdrawing",
                Stage::Reversing => "stuck_reversing",
                Stage::Releasing => "stuck_releasing",
            },
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// What the user sees of it.
    #[must_use]
    pub const fn status(self) -> OrderStatus {
        match self {
            Self::Completed => OrderStatus::Completed,
            Self::Failed => OrderStatus::Failed,
            Self::Created
            | Self::Exchanging
            | Self::Withdrawing
            | Self::Reversing
            | Self::Releasing
            | Self::Stuck { .. } => OrderStatus::Pending,
        }
    }

    /// Whether it is an end, which never changes.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// The stage whose results count here, stuck or not.
    #[must_use]
    pub const fn stage(self) -> Option<Stage> {
        match self {
            Self::Exchanging => Some(Stage::Exchanging),
            Self::Withdrawing => Some(Stage::Withdrawing),
            Self::Reversing => Some(Stage::Reversing),
            Self::Releasing => Some(Stage::Releasing),
            Self::Stuck { from } => Some(from),
            Self::Created | Self::Completed | Self::Failed => None,
        }
    }
}

impl fmt::Display for OrderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a state of an order")]
pub struct UnknownState;

impl FromStr for OrderState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownState)
    }
}

impl TryFrom<String> for OrderState {
    type Error = UnknownState;

    fn try_from(text: String) -> Result<Self, UnknownState> {
        text.parse()
    }
}

impl From<OrderState> for String {
    fn from(state: OrderState) -> Self {
        state.as_str().to_owned()
    }
}

/// What a user is told about an order's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Not at its end.
    Pending,
    /// Ended with what was filled and charged.
    Completed,
    /// Ended without any effect.
    Failed,
}

/// An order with its saga, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its number, also the saga's.
    pub id: OrderId,
    /// Whose it is.
    pub user_id: UserId,
    /// The user's own name for it, unique among that user's orders.
    pub client_reference: Option<String>,
    /// Where it stands.
    pub saga: Saga,
    /// How many entries its log has; the compare-and-set goes by it.
    pub revision: i64,
    /// How many times the current step was issued again.
    pub tries: u32,
    /// When the current step is issued again if nothing is heard of it.
    pub next_attempt_at: Timestamp,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it moved last.
    pub updated_at: Timestamp,
}
