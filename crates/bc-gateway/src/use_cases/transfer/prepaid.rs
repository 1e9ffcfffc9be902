//! Transfers that a customer pays: paid first, signed then.
//!
//! What is signed uses up a nonce of its address and must be sent some day, so it must be paid for by then. What it keeps
//! true: before the ledger is asked it is on disk that the customer may have paid, and their coins are reserved; what is
//! given up after that ends only once the payment is given back, or can never be made.

use contracts::UserId;
use contracts::clients::WalletBalances;
use contracts::ledger::{PostingOutcome, Refusal};
use storage::commands::{Claimed, Fencing};

use super::{End, Transfer, in_other_hands, refuses};
use crate::domain::movement::{Movement, Passage};
use crate::domain::progress::Progress;
use crate::domain::ruling::NEVER_CONFIRMS;
use crate::domain::transfer::SignedTransfer;
use crate::ports::{CoinReservation, Funds, Reservation};

impl Transfer {
    /// The movement as it was begun.
    pub(super) async fn as_begun(
        &self,
        movement: Movement,
        progress: &Progress,
        claimed: &Claimed,
    ) -> Result<Movement, End> {
        if !movement.is_prepaid() || *progress == Progress::Unsigned {
            return Ok(movement);
        }
        let reserved = self
            .store
            .was_reserved(claimed.key)
            .await
            .map_err(|error| End::wait(error.to_string()))?;
        Ok(movement.as_begun(progress.phase(), reserved))
    }

    /// A customer's balance must pay before their coins are signed away (the payment decides; this refuses without one),
    /// and what is sent must be bookable when it arrives: a wallet that is there stays there.
    pub(super) async fn check_wallets(&self, movement: &Movement) -> Result<(), End> {
        let payer = self.wallet(movement.from).await?;
        let asset = movement.amount.asset();
        let owned = payer
            .into_iter()
            .flat_map(|wallet| wallet.balances)
            .find(|owned| owned.asset() == asset);
        if owned.is_none_or(|owned| owned.units() < movement.amount.units()) {
            let reason = format!("the balance of user {} does not cover it", movement.from);
            return Err(End::Refused(reason));
        }
        if movement.to != UserId::HOT_WALLET && self.wallet(movement.to).await?.is_none() {
            return Err(End::Refused(format!("user {} has no wallet", movement.to)));
        }
        Ok(())
    }

    async fn wallet(&self, user: UserId) -> Result<Option<WalletBalances>, End> {
        let wallet = self.balance.wallet(user).await;
        wallet.map_err(|error| End::wait(error.to_string()))
    }

    /// Stores that the ledger is about to be asked, and keeps the payer's coins from sweeps and from others.
    pub(super) async fn reserve(&self, claimed: &Claimed, movement: &Movement) -> Result<(), End> {
        let reservation = CoinReservation {
            key: claimed.key,
            epoch: claimed.epoch,
            from: movement.from,
            amount: movement.amount,
        };
        match self.store.reserve(self.clock.now(), reservation).await {
            Ok(Reservation::Reserved) => Ok(()),
            Ok(Reservation::CoinsMissing) => Err(End::coins_missing()),
            Ok(Reservation::Fenced) => Err(in_other_hands()),
            Err(error) => Err(End::wait(error.to_string())),
        }
    }

    /// Has a customer pay, and signs what they paid for. Whoever refuses it from here on, nothing is signed, and the
    /// payment is given back. `funds` are what the chain answered under this claim.
    pub(super) async fn pay_and_sign(
        &self,
        claimed: &Claimed,
        movement: Movement,
        funds: Option<Funds>,
    ) -> Result<SignedTransfer, End> {
        let signed = async {
            self.pay(claimed, &movement).await?;
            let draft = self.desk.draft(&movement);
            let funds = match funds {
                Some(funds) => funds,
                None => self.can_send(claimed, &draft).await?,
            };
            self.sign(claimed, movement, draft, funds).await
        };
        match signed.await {
            Err(End::Refused(reason)) => {
                let given_up = Progress::Undoing {
                    reason: reason.clone(),
                    signed: None,
                };
                self.store_progress(claimed, &given_up).await?;
                Err(self.undo(&movement, reason).await)
            }
            signed => signed,
        }
    }

    async fn pay(&self, claimed: &Claimed, movement: &Movement) -> Result<(), End> {
        self.lease(claimed)?;
        match self.post(movement.payment()).await? {
            PostingOutcome::Posted { .. } => Ok(()),
            PostingOutcome::Refused {
                refusal: refusal @ (Refusal::InsufficientFunds { .. } | Refusal::NoWallet { .. }),
            } => Err(End::Refused(refusal.to_string())),
            PostingOutcome::Refused { refusal } => Err(refuses(movement, &refusal)),
        }
    }

    /// Sees to it that what was given up is not paid and never will be, and ends it. A payment may still be on its way
    /// from a claim that is over: where there is none yet, it is made together with its opposite.
    pub(super) async fn undo(&self, movement: &Movement, reason: String) -> End {
        let undone = async {
            match self.preclude(movement).await? {
                PostingOutcome::Posted { .. } => Ok(()),
                // Only one of the two is booked, which is the payment; and only once that is certain it is given back.
                PostingOutcome::Refused {
                    refusal: Refusal::Invalid { .. },
                } => {
                    self.book(movement, movement.payment()).await?;
                    self.book(movement, movement.undoing()).await
                }
                // The payment's name is another booking's for good, so there is none and never will be. That cannot be, so
                // a person has to have looked; the audit names the other one.
                PostingOutcome::Refused {
                    refusal: Refusal::Conflict { id },
                } if reason == NEVER_CONFIRMS && movement.payment().transfers.iter().any(|own| own.id == id) => Ok(()),
                // Nor is a missing wallet an end: there was one, and a ledger that forgot it may forget more.
                PostingOutcome::Refused { refusal } => Err(refuses(movement, &refusal)),
            }
        };
        match undone.await {
            Ok(()) => End::Refused(reason),
            // Whoever pays has nothing until this succeeds: where it does not, people hear of it.
            Err(End::Wait { reason, .. }) => End::Wait {
                reason,
                answer_missing: true,
            },
            Err(end) => end,
        }
    }

    /// Books a payment and its opposite together. Of one that goes directly the receiver would have to give first what they
    /// may never have had; whoever is asked to pay then had it.
    async fn preclude(&self, movement: &Movement) -> Result<PostingOutcome, End> {
        let outcome = self.post(movement.precluding()).await?;
        let receiver_has_too_little = matches!(
            outcome,
            PostingOutcome::Refused {
                refusal: Refusal::InsufficientFunds { .. }
            }
        );
        if receiver_has_too_little && movement.passage == Passage::Direct {
            return self.post(movement.precluding_by_payer()).await;
        }
        Ok(outcome)
    }

    /// Stores how far the command is, under its claim.
    pub(super) async fn store_progress(&self, claimed: &Claimed, progress: &Progress) -> Result<(), End> {
        let stored = self
            .commands
            .checkpoint(self.clock.now(), claimed.key, claimed.epoch, progress.to_json());
        match stored.await {
            Ok(Fencing::Written) => Ok(()),
            Ok(Fencing::Fenced) => Err(in_other_hands()),
            Err(error) => Err(End::wait(error.to_string())),
        }
    }
}
