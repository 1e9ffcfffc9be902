//! Carrying out a command: check, sign, send, confirm, book; where a customer pays: check, reserve, pay, sign, send,
//! confirm, book.
//!
//! What it keeps true: the signed bytes are on disk before anything is sent, and they are all that is ever sent; a
//! command is refused only before that, and leaves nothing paid then; what the chain does not answer is asked again and
//! never taken for a failure. Every step can be repeated: dying before or after any of them costs time and nothing else.

mod prepaid;

use std::sync::Arc;
use std::time::Duration;

use contracts::clients::{Balance, WithdrawCommand};
use contracts::ledger::{Posting, PostingOutcome, Refusal};
use contracts::messages::{FailureCode, StepResult};
use contracts::random::backoff;
use contracts::time::later;
use contracts::{Clock, Entropy};
use storage::commands::{Claimed, CommandStore, Entombment, Settlement, State};
use transport::command_worker::CommandHandler;

use crate::domain::movement::{Movement, Passage};
use crate::domain::progress::{NextMove, Progress, beyond_recall, next_move};
use crate::domain::ruling;
use crate::domain::transfer::{SignedTransfer, TransferDraft};
use crate::ports::{BroadcastAnswer, Chain, Funds, SendCheck, TransferStore};
use crate::use_cases::sign::{Signature, SigningDesk, SigningRequest};
use crate::use_cases::submit::{to_stored, withdrawal_of};

/// The patience of a transfer.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How many confirmations make a transfer final; at least 1. Fewer are waited out.
    pub confirmations: u32,
    /// The pause before the chain is asked again for the first time; doubled each time, jittered.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

/// The decision about one command; see [`CommandHandler`].
pub struct Transfer {
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) desk: Arc<SigningDesk>,
    pub(crate) commands: Arc<dyn CommandStore>,
    pub(crate) store: Arc<dyn TransferStore>,
    pub(crate) balance: Arc<dyn Balance>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) patience: Patience,
}

/// How far a command came.
enum End {
    /// The transfer is confirmed and booked.
    Transferred(SignedTransfer),
    /// There was nothing to take back: the withdrawal never took effect, and never will.
    NothingMoved,
    /// Refused before anything was signed.
    Refused(String),
    /// Not now.
    Wait {
        /// Why, for people.
        reason: String,
        /// Whether it is the chain that does not answer.
        answer_missing: bool,
    },
    /// A person has to look.
    Dead(String),
}

impl End {
    fn wait(reason: impl Into<String>) -> Self {
        Self::Wait {
            reason: reason.into(),
            answer_missing: false,
        }
    }

    fn coins_missing() -> Self {
        Self::Refused("coins are missing at the source".to_owned())
    }

    fn chain_silent(reason: impl Into<String>) -> Self {
        Self::Wait {
            reason: reason.into(),
            answer_missing: true,
        }
    }
}

#[async_trait::async_trait]
impl CommandHandler for Transfer {
    async fn handle(&self, claimed: Claimed) -> Settlement {
        // An early end is no error: `?` leaves where the command cannot go further now.
        let end = match self.carry_out(&claimed).await {
            Ok(transfer) => End::Transferred(transfer),
            Err(end) => end,
        };
        self.settlement(&claimed, end)
    }
}

impl Transfer {
    fn settlement(&self, claimed: &Claimed, end: End) -> Settlement {
        let finished = |result| Settlement::Finished { result, progress: None };
        match end {
            End::Transferred(transfer) => finished(StepResult::Transferred {
                transaction: transfer.hash,
            }),
            End::NothingMoved => finished(StepResult::Reversed),
            End::Refused(detail) => finished(StepResult::Failure {
                code: FailureCode::WithdrawalRefused,
                detail,
            }),
            End::Wait { reason, answer_missing } => {
                let pause = backoff(self.patience.first_pause, claimed.tries, self.patience.longest_pause);
                Settlement::Postponed {
                    until: later(self.clock.now(), self.entropy.jitter(pause)),
                    reason,
                    answer_missing,
                    progress: None,
                }
            }
            End::Dead(error) => Settlement::Dead { error },
        }
    }

    async fn carry_out(&self, claimed: &Claimed) -> Result<SignedTransfer, End> {
        let command: WithdrawCommand = serde_json::from_str(&claimed.content)
            .map_err(|error| End::Dead(format!("the content is no command: {error}")))?;
        let progress = Progress::from_json(&claimed.progress)
            .map_err(|error| End::Dead(format!("the progress cannot be read: {error}")))?;
        let movement = self.as_begun(Movement::of(&command), &progress, claimed).await?;
        let (transfer, fresh) = match progress {
            Progress::Signed(transfer) => {
                // An earlier program may have signed it first, to have it booked then.
                if movement.is_prepaid() && movement.passage == Passage::Direct {
                    self.book(&movement, movement.payment()).await?;
                    // Nothing leaves before the payment is on disk, which this is written after (ADR 011).
                    self.store_progress(claimed, &Progress::Signed(transfer.clone()))
                        .await?;
                }
                (transfer, false)
            }
            Progress::Confirmed(transfer) => {
                self.book(&movement, movement.arrival()).await?;
                return Ok(transfer);
            }
            // Its command has ended; nobody works on it.
            Progress::Void(_) => return Err(End::Refused(ruling::NEVER_CONFIRMS.to_owned())),
            Progress::Undoing { reason, .. } => return Err(self.undo(&movement, reason).await),
            Progress::Paying => (self.pay_and_sign(claimed, movement, None).await?, true),
            Progress::Unsigned => {
                if command.compensate {
                    self.stop_withdrawal(&command).await?;
                }
                let draft = self.desk.draft(&movement);
                let funds = self.check(claimed, &movement, &draft).await?;
                let signed = if movement.is_prepaid() {
                    self.reserve(claimed, &movement).await?;
                    self.pay_and_sign(claimed, movement, Some(funds)).await?
                } else {
                    self.sign(claimed, movement, draft, funds).await?
                };
                (signed, true)
            }
        };
        self.confirm(claimed, &transfer, fresh).await?;
        self.book(&movement, movement.arrival()).await?;
        Ok(transfer)
    }

    /// Makes sure that the withdrawal is over, one way or the other. Goes on only if it took effect.
    async fn stop_withdrawal(&self, compensation: &WithdrawCommand) -> Result<(), End> {
        let withdrawal = to_stored(&withdrawal_of(compensation));
        let content = withdrawal.content.clone();
        let entombed = self
            .commands
            .entomb(self.clock.now(), withdrawal, FailureCode::Cancelled, beyond_recall)
            .await
            .map_err(|error| End::wait(error.to_string()))?;
        let record = match entombed {
            Entombment::Entombed => return Err(End::NothingMoved),
            Entombment::TooLate(record) => record,
        };
        match record.state {
            State::Failed => Err(End::NothingMoved),
            State::Open => Err(End::chain_silent("the withdrawal is under way and not at its end yet")),
            State::Dead => Err(End::Dead("the withdrawal itself is dead".to_owned())),
            State::Done if record.content != content => {
                Err(End::Refused("the order's withdrawal was another one".to_owned()))
            }
            State::Done => Ok(()),
        }
    }

    /// What can be known before anything is paid or signed.
    async fn check(&self, claimed: &Claimed, movement: &Movement, draft: &TransferDraft) -> Result<Funds, End> {
        if movement.is_prepaid() {
            self.check_wallets(movement).await?;
        }
        self.can_send(claimed, draft).await
    }

    /// The last moment at which the chain can refuse the transfer. What it has for it, the signing reserves.
    async fn can_send(&self, claimed: &Claimed, draft: &TransferDraft) -> Result<Funds, End> {
        self.lease(claimed)?;
        match self.chain.can_send(draft).await {
            SendCheck::Sendable { funds } => Ok(funds),
            SendCheck::Refused { reason } => Err(End::Refused(reason)),
            SendCheck::Unknown { reason } => Err(End::chain_silent(reason)),
        }
    }

    async fn sign(
        &self,
        claimed: &Claimed,
        movement: Movement,
        draft: TransferDraft,
        funds: Funds,
    ) -> Result<SignedTransfer, End> {
        self.lease(claimed)?;
        let request = SigningRequest {
            key: claimed.key,
            epoch: claimed.epoch,
            movement,
            draft,
            funds,
        };
        match self.desk.sign(request).await {
            Signature::Stored(transfer) => Ok(transfer),
            Signature::Fenced => Err(in_other_hands()),
            Signature::CoinsMissing => Err(End::coins_missing()),
            Signature::NotNow { reason, chain_silent } => Err(End::Wait {
                reason,
                answer_missing: chain_silent,
            }),
        }
    }

    /// Sends the bytes if the chain does not have them, and goes on only once they are there for good.
    async fn confirm(&self, claimed: &Claimed, transfer: &SignedTransfer, fresh: bool) -> Result<(), End> {
        // Bytes that were never sent need no question.
        if !fresh {
            match self.ask(claimed, transfer).await? {
                NextMove::Rest => return Ok(()),
                NextMove::Wait { reason } => return Err(End::chain_silent(reason)),
                NextMove::Broadcast => {}
            }
        }
        self.lease(claimed)?;
        match self.chain.broadcast(transfer).await {
            BroadcastAnswer::Taken => {}
            BroadcastAnswer::Unknown { reason } => {
                tracing::info!(order_id = %claimed.key.order_id, reason, "unknown whether a broadcast arrived");
            }
            BroadcastAnswer::Refused { reason } => {
                tracing::error!(
                    order_id = %claimed.key.order_id, step = %claimed.key.step, hash = transfer.hash,
                    nonce = transfer.nonce, reason, "the chain refuses a signed transfer; it is sent again"
                );
            }
        }
        match self.ask(claimed, transfer).await? {
            NextMove::Rest => Ok(()),
            NextMove::Wait { reason } => Err(End::chain_silent(reason)),
            NextMove::Broadcast => Err(End::chain_silent("the broadcast did not arrive")),
        }
    }

    async fn ask(&self, claimed: &Claimed, transfer: &SignedTransfer) -> Result<NextMove, End> {
        self.lease(claimed)?;
        Ok(next_move(
            self.chain.find(&transfer.hash).await,
            self.patience.confirmations,
        ))
    }

    /// Books what must be booked.
    async fn book(&self, movement: &Movement, posting: Posting) -> Result<(), End> {
        match self.post(posting).await? {
            PostingOutcome::Posted { .. } => Ok(()),
            PostingOutcome::Refused { refusal } => Err(refuses(movement, &refusal)),
        }
    }

    async fn post(&self, posting: Posting) -> Result<PostingOutcome, End> {
        let outcomes = self
            .balance
            .post(vec![posting])
            .await
            .map_err(|error| End::wait(format!("the ledger gave no answer: {error}")))?;
        outcomes
            .into_iter()
            .next()
            .ok_or_else(|| End::wait("the ledger left its answer out"))
    }

    /// Nothing is begun outside once the lease has run out: somebody else may be at it.
    fn lease(&self, claimed: &Claimed) -> Result<(), End> {
        if self.clock.now() < claimed.lease_until {
            Ok(())
        } else {
            Err(End::wait("the lease ran out"))
        }
    }
}

/// The ledger refuses what it must not refuse.
fn refuses(movement: &Movement, refusal: &Refusal) -> End {
    tracing::error!(
        order_id = %movement.order_id, step = %movement.step, %refusal,
        "the ledger refuses a booking that has to be made; it is asked again"
    );
    End::wait(format!("the ledger refuses: {refusal}"))
}

/// Whoever has it now settles it; what is said here is fenced off as well.
fn in_other_hands() -> End {
    End::wait("the command is in other hands")
}
