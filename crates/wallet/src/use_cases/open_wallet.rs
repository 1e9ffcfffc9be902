//! Opens a user's wallet. That the user exists is known from their token.

use contracts::UserId;
use contracts::clients::{ClientError, Opened};

use super::Wallet;

/// Opens the wallet, or finds that it is open. Idempotent.
pub(crate) async fn open_wallet(wallet: &Wallet, user: UserId) -> Result<Opened, ClientError> {
    wallet.ports.balance.open_wallet(user).await
}
