//! Funding the hot wallet, once in the life of the books.

use contracts::Clock;
use storage::StoreError;
use thiserror::Error;

use crate::domain::{Capital, Funding};
use crate::ports::LedgerStore;

/// Why the hot wallet was not funded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FundError {
    /// The amounts make no sense; nothing was booked.
    #[error("the hot wallet cannot be funded: {0}")]
    Invalid(contracts::ledger::Refusal),
    /// The books do not answer; ask again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Books the first capital from `treasury` to the hot wallet. Idempotent: what was booked first stands, and a call
/// with other amounts is told what that was.
///
/// # Errors
/// [`FundError`].
pub async fn fund(ledger: &dyn LedgerStore, clock: &dyn Clock, capital: Capital) -> Result<Funding, FundError> {
    let funding = ledger.fund(clock.now(), capital).await?;
    match &funding {
        Funding::Refused(refusal) => return Err(FundError::Invalid(refusal.clone())),
        Funding::BeforeOtherwise { booked } => {
            tracing::warn!(
                ?booked,
                "the hot wallet was funded with other amounts before; those stand"
            );
        }
        Funding::Booked | Funding::Before | Funding::Nothing => {}
    }
    Ok(funding)
}
