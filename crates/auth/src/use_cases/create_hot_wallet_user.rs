//! The hot wallet is a user, so that it has a number and a wallet like everybody; but nobody is it.

use contracts::Clock;
use storage::StoreError;

use crate::ports::UserStore;

/// Makes sure that user 1, the hot wallet, exists: what `migrate` calls once the schema is there. It has no
/// credentials, so nobody can log in as it, and its name is refused at registration. Idempotent; answers whether it
/// was made just now. Users who register before it was called get numbers from 2 all the same.
///
/// # Errors
/// What the store says.
pub async fn create_hot_wallet_user(users: &dyn UserStore, clock: &dyn Clock) -> Result<bool, StoreError> {
    users.insert_hot_wallet(clock.now()).await
}
