//! Forgets idempotency keys that are older than their promise. The rows they stood in stay.
//!
//! How old a key is must not be read from the clock: one that is set a week ahead would make the key of an order that
//! was placed this minute look old, and the client who repeats the request would get a second order. So processes
//! measure how long they run, by a time that cannot be set, and the store adds that up. When none runs nothing is
//! counted: then keys live longer than promised, and never shorter.

use std::time::Duration;

use storage::StoreError;
use tokio::time::Instant;

use super::Wallet;

/// How often the running time is counted, unless keys live for so short that a thousandth of that is less. A process
/// that ends before counts for nothing.
const COUNT_EVERY: Duration = Duration::from_secs(10 * 60);
/// The most keys of orders, and of deposits, in one transaction, so that none waits long behind it.
const MAX_KEYS: usize = 500;
/// The most transactions in one turn; what is left is for the next one.
const MAX_ROUNDS: usize = 20;

/// What a process knows of the running time.
#[derive(Default)]
pub(crate) struct KeyPurge {
    /// What was counted, and since when it stands, or longer.
    counted: Option<(Duration, Instant)>,
    /// Until when, in running time, keys may be forgotten; `None` when they are.
    due: Option<Duration>,
}

impl KeyPurge {
    /// To be called again and again: counts how long the process runs, and forgets keys that are older than
    /// [`crate::Settings::key_lifetime`] by that, of what has ended.
    pub(crate) async fn turn(&mut self, wallet: &Wallet) -> Result<(), StoreError> {
        let lifetime = wallet.ports.settings.key_lifetime;
        if let Some(ran) = self.count(wallet, COUNT_EVERY.min(lifetime / 1_000)).await? {
            self.due = ran.checked_sub(lifetime);
        }
        for _ in 0..MAX_ROUNDS {
            let Some(until) = self.due else { break };
            if wallet.ports.keys.forget_keys(until, MAX_KEYS).await? < MAX_KEYS {
                self.due = None;
            }
        }
        Ok(())
    }

    /// The running time, if there is news of it.
    async fn count(&mut self, wallet: &Wallet, every: Duration) -> Result<Option<Duration>, StoreError> {
        let keys = &wallet.ports.keys;
        let ran = match self.counted {
            None => keys.running_time().await?,
            Some((seen, since)) => {
                let more = since.elapsed();
                if more < every {
                    return Ok(None);
                }
                keys.count_running_time(seen, more).await?
            }
        };
        // From after the answer on: whoever counted this, it was before.
        self.counted = Some((ran, Instant::now()));
        Ok(Some(ran))
    }
}
