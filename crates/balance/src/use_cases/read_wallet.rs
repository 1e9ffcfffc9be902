//! Reading a wallet.

use contracts::UserId;
use contracts::clients::WalletBalances;
use storage::StoreError;
use thiserror::Error;

use crate::ports::LedgerStore;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadWalletError {
    /// The user has none.
    #[error("the user has no wallet")]
    NoWallet,
    /// The books do not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The balances of a user's wallet; user 1 is the hot wallet.
///
/// # Errors
/// [`ReadWalletError`].
pub async fn read_wallet(ledger: &dyn LedgerStore, user: UserId) -> Result<WalletBalances, ReadWalletError> {
    ledger.wallet(user).await?.ok_or(ReadWalletError::NoWallet)
}
