//! Fiat on its way in: a row with an id, a reference and a status before it is money in anybody's wallet.

use contracts::money::DecimalText;
use contracts::{Amount, Asset, AssetKind, DepositId, UserId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::order::{InvalidTerms, positive};

/// How far a deposit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DepositStatus {
    /// Stored; the ledger has not answered yet.
    Pending,
    /// In the user's wallet.
    Booked,
}

impl DepositStatus {
    /// The name in JSON and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Booked => "booked",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Booked]
            .into_iter()
            .find(|status| status.as_str() == name)
    }
}

/// A deposit as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposit {
    /// Its number.
    pub id: DepositId,
    /// Into whose wallet.
    pub user_id: UserId,
    /// Fiat, greater than zero.
    pub amount: Amount,
    /// What the payment is called, by the depositor or by us; unique among the user's deposits.
    pub reference: String,
    /// How far it is.
    pub status: DepositStatus,
    /// How many times its booking was issued again.
    pub tries: u32,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When the ledger had booked it.
    pub booked_at: Option<Timestamp>,
}

/// The amount of a deposit.
///
/// # Errors
/// [`InvalidTerms`]: `currency` is no fiat, or the amount is not a positive number of at most [`super::MAX_UNITS`] with
/// no more decimals than the currency has.
pub fn deposit_amount(currency: Asset, amount: &DecimalText) -> Result<Amount, InvalidTerms> {
    match currency.kind() {
        AssetKind::Fiat => positive("fiat_amount", currency, amount),
        AssetKind::Crypto => Err(InvalidTerms {
            field: "currency",
            detail: format!("{currency} is no currency"),
        }),
    }
}
