//! Bringing coins that are no longer their users' back to the hot wallet's address.
//!
//! A sale moves crypto on the ledger at once; its coins follow here, without a booking. What it keeps true: the row
//! with the signed bytes comes first, the same bytes are sent until they are confirmed, and nothing is swept from an
//! address while anything of it is under way, or where anything was begun since the count: the balance that the count is
//! compared with is read after it, and nothing of this service has changed either of them by the time they count.

use std::sync::Arc;

use contracts::clients::Balance;
use contracts::random::backoff;
use contracts::time::later;
use contracts::{Amount, Clock, Entropy, UserId};
use storage::StoreError;

use crate::domain::progress::{NextMove, next_move};
use crate::domain::sweep::excess;
use crate::ports::{
    BroadcastAnswer, Chain, CountedCoins, NewSweep, NonceAnswer, OpenSweep, Purpose, SendCheck, TransferDraft,
    TransferStore,
};
use crate::use_cases::sign::SigningDesk;
use crate::use_cases::transfer::Patience;

/// The most addresses that are looked at in a round, and the most sweeps that are followed up.
pub const MAX_BATCH: usize = 100;

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// Addresses that were looked at.
    pub checked: usize,
    /// Sweeps that were begun.
    pub begun: usize,
    /// Sweeps that came to their end.
    pub confirmed: usize,
}

/// The sweep of coins.
pub struct Sweep {
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) desk: Arc<SigningDesk>,
    pub(crate) store: Arc<dyn TransferStore>,
    pub(crate) balance: Arc<dyn Balance>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) patience: Patience,
}

impl Sweep {
    /// Follows up the sweeps that are under way, then looks at the addresses that waited longest. May be dropped at any
    /// point and run by several processes at once.
    ///
    /// # Errors
    /// What the store says; the next round goes on where this one ended.
    pub async fn round(&self) -> Result<Round, StoreError> {
        let mut round = Round::default();
        for sweep in self.store.open_sweeps(self.clock.now(), MAX_BATCH).await? {
            round.confirmed += usize::from(self.follow_up(&sweep).await?);
        }
        let addresses = self.store.count_coins(self.clock.now(), MAX_BATCH).await?;
        round.checked = addresses.len();
        for counted in addresses.into_iter().filter(|counted| counted.settled) {
            if let Some(sweep) = self.begin(&counted).await? {
                round.begun += 1;
                round.confirmed += usize::from(self.follow_up(&sweep).await?);
            }
        }
        Ok(round)
    }

    /// Signs and stores a sweep of what is no longer the user's, if that is anything.
    async fn begin(&self, counted: &CountedCoins) -> Result<Option<OpenSweep>, StoreError> {
        let CountedCoins {
            user_id,
            coins,
            reservations,
            settled: _,
        } = *counted;
        let wallet = match self.balance.wallet(user_id).await {
            Ok(wallet) => wallet,
            Err(error) => {
                tracing::warn!(%user_id, %error, "a wallet could not be looked at; its coins are left for later");
                return Ok(None);
            }
        };
        let Some(amount) = excess(coins, wallet.as_ref()) else {
            return Ok(None);
        };
        let from = self.desk.party(user_id);
        let nonce = match self.store.next_nonce(&from.address).await? {
            Some(nonce) => nonce,
            None => match self.chain.next_nonce(&from.address).await {
                NonceAnswer::Next(nonce) => nonce,
                NonceAnswer::Unknown { reason } => {
                    tracing::info!(%user_id, reason, "coins are left for later");
                    return Ok(None);
                }
            },
        };
        let draft = self.draft(user_id, amount, nonce);
        match self.chain.can_send(&draft).await {
            SendCheck::Sendable { .. } => {}
            SendCheck::Refused { reason } => {
                tracing::error!(%user_id, %amount, asset = %amount.asset(), reason, "coins cannot be swept");
                return Ok(None);
            }
            SendCheck::Unknown { reason } => {
                tracing::info!(%user_id, reason, "coins are left for later");
                return Ok(None);
            }
        }
        let keys = self.desk.custody.keys(self.chain.name(), user_id);
        let transfer = self.chain.sign(&keys, &draft, nonce);
        let sweep = NewSweep {
            chain: self.chain.name(),
            from,
            counted: coins,
            reservations,
            amount,
            transfer: transfer.clone(),
        };
        let begun = self.store.begin_sweep(self.clock.now(), sweep).await?;
        Ok(begun.map(|id| OpenSweep {
            id,
            user_id,
            amount,
            transfer,
            tries: 0,
        }))
    }

    fn draft(&self, user_id: UserId, amount: Amount, nonce: u64) -> TransferDraft {
        TransferDraft {
            from: self.desk.party(user_id).address,
            to: self.desk.party(UserId::HOT_WALLET).address,
            amount,
            purpose: Purpose::Sweep { user_id, nonce },
        }
    }

    /// Takes a sweep as far as it goes now; whether it is at its end.
    async fn follow_up(&self, sweep: &OpenSweep) -> Result<bool, StoreError> {
        let required = self.patience.confirmations;
        let mut next = next_move(self.chain.find(&sweep.transfer.hash).await, required);
        if next == NextMove::Broadcast {
            if let BroadcastAnswer::Refused { reason } = self.chain.broadcast(&sweep.transfer).await {
                tracing::error!(
                    sweep = sweep.id, user_id = %sweep.user_id, hash = sweep.transfer.hash, reason,
                    "the chain refuses a signed sweep; it is sent again"
                );
            }
            next = next_move(self.chain.find(&sweep.transfer.hash).await, required);
        }
        if next == NextMove::Rest {
            self.store.finish_sweep(self.clock.now(), sweep.id).await?;
            return Ok(true);
        }
        let pause = backoff(self.patience.first_pause, sweep.tries, self.patience.longest_pause);
        let until = later(self.clock.now(), self.entropy.jitter(pause));
        self.store.postpone_sweep(sweep.id, until).await?;
        Ok(false)
    }
}
