//! Opening a user's wallet. Nothing is booked for a user who has none.

use contracts::clients::Opened;
use contracts::{Clock, UserId};
use storage::StoreError;
use thiserror::Error;

use crate::ports::LedgerStore;

/// Why it is not known whether the wallet is open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The books do not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the wallet of `user`; idempotent, and says whether it is new.
///
/// # Errors
/// [`OpenError::Store`]: ask again.
pub async fn open_wallet(ledger: &dyn LedgerStore, clock: &dyn Clock, user: UserId) -> Result<Opened, OpenError> {
    Ok(ledger.open_wallet(clock.now(), user).await?)
}
