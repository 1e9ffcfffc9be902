//! Freezes a user, and lifts that again. Orders in flight go on to their end; nothing else of theirs is answered.

use contracts::UserId;
use contracts::clients::ClientError;
use contracts::operators::{Act, Instruction};
use storage::StoreError;
use thiserror::Error;

use super::Wallet;
use crate::ports::{Freeze, Frozen};

/// Why nobody was frozen.
#[derive(Debug, Error)]
pub(crate) enum FreezeError {
    #[error("there is no such user")]
    NoUser,
    #[error("the hot wallet is nobody's")]
    HotWallet,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Freezes a user. One who is frozen already stays so, by whom and why as it was.
pub(crate) async fn freeze(wallet: &Wallet, user: UserId, instruction: Instruction) -> Result<Frozen, FreezeError> {
    if user == UserId::HOT_WALLET {
        return Err(FreezeError::HotWallet);
    }
    if wallet.ports.auth.user(user).await?.is_none() {
        return Err(FreezeError::NoUser);
    }
    Ok(wallet.ports.freezes.freeze(wallet.now(), user, instruction).await?)
}

/// Lifts a freeze. Whether there was one.
pub(crate) async fn unfreeze(wallet: &Wallet, user: UserId, instruction: Instruction) -> Result<bool, StoreError> {
    wallet.ports.freezes.unfreeze(wallet.now(), user, instruction).await
}

/// A user's freeze, if there is one, and what was done before.
pub(crate) async fn freeze_of(wallet: &Wallet, user: UserId) -> Result<(Option<Freeze>, Vec<Act>), StoreError> {
    wallet.ports.freezes.freeze_of(user).await
}
