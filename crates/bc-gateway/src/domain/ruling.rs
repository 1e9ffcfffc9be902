//! What an operator's word about a withdrawal does to its record.
//!
//! It stands for the chain's answer where that cannot be had, and is final: only the transfer that was signed can be
//! confirmed, never against the chain's answer, and a signed one is given up only where the chain shows that its nonce
//! went to another for good, so that the bytes, wherever copies of them are, can never succeed. What a customer has paid for
//! is given back first, by the worker.

use contracts::clients::WithdrawCommand;
use contracts::messages::{FailureCode, StepResult};
use contracts::operators::ChainVerdict;
use storage::commands::{Amendment, Standing, State};

use super::movement::Movement;
use super::progress::Progress;
use super::transfer::SignedTransfer;

/// Why a withdrawal failed on an operator's word.
pub const NEVER_CONFIRMS: &str = "an operator established that the transfer is not on the chain and never will be";

/// What is to be done. `seen` is the record at which the chain was looked at.
#[must_use]
pub fn rule(standing: &Standing, seen: &Progress, verdict: &ChainVerdict) -> Amendment {
    let refuse = |detail: String| Amendment::Refuse { detail };
    let progress = match Progress::from_json(&standing.record.progress) {
        Ok(progress) if progress == *seen => progress,
        Ok(_) => return refuse("the withdrawal has moved on meanwhile; look at it again".to_owned()),
        Err(error) => return refuse(illegible("record", &error)),
    };
    if !(standing.is_in_doubt() || needs_no_doubt(standing, &progress, verdict)) {
        let state = standing.record.state.as_str();
        return refuse(format!(
            "the withdrawal is {state}, and no answer has been missing for long: it may still come"
        ));
    }
    match (verdict, progress) {
        (ChainVerdict::Confirmed { transaction }, Progress::Signed(transfer)) if transfer.hash == *transaction => {
            Amendment::Reopen {
                progress: Progress::Confirmed(transfer).to_json(),
            }
        }
        (ChainVerdict::Confirmed { .. }, Progress::Signed(transfer)) => {
            refuse(format!("the transfer that was signed is {}", transfer.hash))
        }
        (
            ChainVerdict::Confirmed { .. },
            Progress::Unsigned | Progress::Paying | Progress::Undoing { signed: None, .. },
        ) => refuse("nothing was signed, so nothing of ours can be confirmed".to_owned()),
        (ChainVerdict::NeverConfirms {}, Progress::Undoing { reason, signed }) if reason != NEVER_CONFIRMS => {
            undo(signed)
        }
        (_, Progress::Undoing { reason, .. }) => refuse(format!(
            "it was given up before, and its payment is being given back: {reason}"
        )),
        // Nothing was done for it: it can be given up whether its command can be read or not.
        (ChainVerdict::NeverConfirms {}, Progress::Unsigned) => end(&Progress::Unsigned),
        (ChainVerdict::NeverConfirms {}, Progress::Paying) => undo(None),
        (ChainVerdict::NeverConfirms {}, Progress::Signed(transfer)) => {
            match serde_json::from_str::<WithdrawCommand>(&standing.record.content) {
                Ok(command) if Movement::of(&command).is_prepaid() => undo(Some(transfer)),
                Ok(_) => end(&Progress::Void(transfer)),
                Err(error) => refuse(illegible("command", &error)),
            }
        }
        (_, Progress::Confirmed(_) | Progress::Void(_)) => {
            refuse("an operator has said before what became of it".to_owned())
        }
    }
}

/// Why an operator's word about what cannot be read is not taken: somebody may have to be given back what they paid, or coins
/// may be on their way.
#[must_use]
pub fn illegible(what: &str, error: &serde_json::Error) -> String {
    format!(
        "this program cannot read the stored {what} of this step, so it cannot say what has been paid, signed or sent for it: \
         {error}; resolve it with the program that wrote it"
    )
}

/// Whether the verdict counts even while an answer may be on its way. What is paid, or about to be, and not signed is
/// given up without a word of the chain; whoever is at it is fenced off, and it ends only once a payment of theirs that is
/// still on its way can change nothing. So it can be given up, too, where it is the ledger that never takes it.
fn needs_no_doubt(standing: &Standing, progress: &Progress, verdict: &ChainVerdict) -> bool {
    matches!(verdict, ChainVerdict::NeverConfirms {})
        && matches!(progress, Progress::Paying | Progress::Undoing { .. })
        && matches!(standing.record.state, State::Open | State::Dead)
}

/// Its worker gives the payment back before it ends.
fn undo(signed: Option<SignedTransfer>) -> Amendment {
    let progress = Progress::Undoing {
        reason: NEVER_CONFIRMS.to_owned(),
        signed,
    };
    Amendment::Reopen {
        progress: progress.to_json(),
    }
}

fn end(progress: &Progress) -> Amendment {
    Amendment::End {
        result: StepResult::Failure {
            code: FailureCode::WithdrawalRefused,
            detail: NEVER_CONFIRMS.to_owned(),
        },
        progress: progress.to_json(),
    }
}
