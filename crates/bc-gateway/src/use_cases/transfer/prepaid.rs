//! Transfers that a customer pays: booked first, signed then.
//!
//! What is signed uses up a nonce of its address and must be sent some day, so it must be paid for by then. What it keeps
//! true: before the ledger is asked it is on disk that it may have booked; what is refused after that ends only once the
//! booking is undone, or can never be made.

use contracts::ledger::{PostingOutcome, Refusal};
use storage::commands::{Claimed, Fencing};

use super::{End, Transfer, in_other_hands, refuses};
use crate::domain::movement::Movement;
use crate::domain::progress::Progress;
use crate::domain::transfer::{SignedTransfer, TransferDraft};
use crate::ports::Funds;

impl Transfer {
    /// Has a customer pay, and signs what they paid for. Whoever refuses it from here on, nothing is signed, and the
    /// booking is undone. `funds` are what the chain answered under this claim.
    pub(super) async fn book_and_sign(
        &self,
        claimed: &Claimed,
        movement: Movement,
        draft: TransferDraft,
        funds: Option<Funds>,
    ) -> Result<SignedTransfer, End> {
        let refused = match self.pay_and_sign(claimed, movement, draft, funds).await {
            Err(End::Refused(reason)) => reason,
            signed => return signed,
        };
        let given_up = Progress::Undoing {
            reason: refused.clone(),
        };
        self.store(claimed, &given_up).await?;
        Err(self.undo(&movement, refused).await)
    }

    async fn pay_and_sign(
        &self,
        claimed: &Claimed,
        movement: Movement,
        draft: TransferDraft,
        funds: Option<Funds>,
    ) -> Result<SignedTransfer, End> {
        self.lease(claimed)?;
        match self.post(movement.posting()).await? {
            PostingOutcome::Posted { .. } => {}
            PostingOutcome::Refused {
                refusal: refusal @ Refusal::InsufficientFunds { .. },
            } => return Err(End::Refused(refusal.to_string())),
            PostingOutcome::Refused { refusal } => return Err(refuses(&movement, &refusal)),
        }
        let funds = match funds {
            Some(funds) => funds,
            None => self.can_send(claimed, &draft).await?,
        };
        self.sign(claimed, movement, draft, funds).await
    }

    /// Sees to it that what was given up is not booked and never will be, and ends it. A booking may still be on its way
    /// from a claim that is over: where there is none yet, it is made together with its opposite.
    pub(super) async fn undo(&self, movement: &Movement, reason: String) -> End {
        let undone = async {
            match self.post(movement.precluding()).await? {
                PostingOutcome::Posted { .. } => Ok(()),
                // Only one of the two is booked, which is the first; and only once that is certain it is undone.
                PostingOutcome::Refused {
                    refusal: Refusal::Invalid { .. },
                } => {
                    self.book(movement).await?;
                    match self.post(movement.undoing()).await? {
                        PostingOutcome::Posted { .. } => Ok(()),
                        PostingOutcome::Refused { refusal } => Err(refuses(movement, &refusal)),
                    }
                }
                PostingOutcome::Refused { refusal } => Err(refuses(movement, &refusal)),
            }
        };
        match undone.await {
            Ok(()) => End::Refused(reason),
            Err(end) => end,
        }
    }

    /// Stores how far the command is, under its claim.
    pub(super) async fn store(&self, claimed: &Claimed, progress: &Progress) -> Result<(), End> {
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
