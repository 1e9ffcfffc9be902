//! Correcting a wallet by hand, against the treasury.

use contracts::Clock;
use contracts::clients::WalletBalances;
use contracts::ledger::Refusal;
use storage::StoreError;
use thiserror::Error;

use crate::domain::{Adjusted, Adjustment};
use crate::ports::LedgerStore;

/// A booked correction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrected {
    /// Its number: the id of its transfers' origin.
    pub id: i64,
    /// The wallet right after it.
    pub wallet: WalletBalances,
    /// Whether an earlier request with the same key had booked it.
    pub replayed: bool,
}

/// Why a correction was not booked. Except for [`AdjustError::Store`], nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AdjustError {
    /// The user has no wallet.
    #[error("the user has no wallet")]
    NoWallet,
    /// The wallet has less than is to be taken.
    #[error("the wallet has too little {0}")]
    InsufficientFunds(contracts::Asset),
    /// The key came before with another request.
    #[error("the idempotency key came before with another request")]
    KeyReused,
    /// The correction makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The books do not answer; whether it is booked is unknown. Ask again with the same key.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Books a correction: both changes or none. With a request key, asking again answers as the first time.
///
/// # Errors
/// [`AdjustError`].
pub async fn adjust_wallet(
    ledger: &dyn LedgerStore,
    clock: &dyn Clock,
    adjustment: Adjustment,
) -> Result<Corrected, AdjustError> {
    let (user, actor) = (adjustment.user, adjustment.actor.clone());
    match ledger.adjust(clock.now(), adjustment).await? {
        Adjusted::Booked { id, wallet, replayed } => {
            tracing::info!(adjustment = id, %user, actor, replayed, "a wallet was corrected by hand");
            Ok(Corrected { id, wallet, replayed })
        }
        Adjusted::KeyReused => Err(AdjustError::KeyReused),
        Adjusted::Refused(refusal) => Err(match refusal {
            Refusal::InsufficientFunds { asset, .. } => AdjustError::InsufficientFunds(asset),
            Refusal::NoWallet { .. } => AdjustError::NoWallet,
            Refusal::Invalid { detail } => AdjustError::Invalid(detail),
            // The number was the next free one, so this is the store's fault and not the caller's.
            Refusal::Conflict { id } => {
                let detail = format!("{id:?} is booked already, though its number was free");
                AdjustError::Store(StoreError::Unavailable(detail))
            }
        }),
    }
}
