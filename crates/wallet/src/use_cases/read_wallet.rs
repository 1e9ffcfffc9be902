//! Reads a user's balances, as the ledger has them now.

use contracts::UserId;
use contracts::clients::{ClientError, WalletBalances};

use super::Wallet;

/// The balances; `None` when the user has no wallet.
pub(crate) async fn read_wallet(wallet: &Wallet, user: UserId) -> Result<Option<WalletBalances>, ClientError> {
    wallet.ports.balance.wallet(user).await
}
