//! Forgets idempotency keys that are older than their promise. The rows they stood in stay.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use storage::StoreError;

use super::Wallet;

/// The most keys in one transaction, so that none waits long behind it.
const MAX_KEYS: usize = 500;
/// The most transactions in one purge; what is left is for the next one.
const MAX_ROUNDS: usize = 200;

/// Forgets keys older than [`crate::Settings::key_lifetime`]. Returns how many.
pub(crate) async fn purge_keys(wallet: &Wallet) -> Result<usize, StoreError> {
    let before = earlier(wallet.now(), wallet.ports.settings.key_lifetime);
    let ports = &wallet.ports;
    let mut forgotten = 0;
    for _ in 0..MAX_ROUNDS {
        let orders = ports.orders.forget_keys(before, MAX_KEYS).await?;
        let deposits = ports.deposits.forget_keys(before, MAX_KEYS).await?;
        forgotten += orders + deposits;
        if orders < MAX_KEYS && deposits < MAX_KEYS {
            break;
        }
    }
    Ok(forgotten)
}

fn earlier(now: Timestamp, lifetime: Duration) -> Timestamp {
    let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
    now.checked_sub(lifetime).unwrap_or(Timestamp::MIN)
}
