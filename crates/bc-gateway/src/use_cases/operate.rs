//! What operators do to a withdrawal or its way back: say what became of it, have it tried again, look.

use contracts::clients::{ClientError, WithdrawCommand};
use contracts::operators::{ChainRuling, ChainVerdict, Instruction, Retried, RulingOutcome, StepView};
use storage::commands::{Amendment, CommandKey, Intervention, Standing, State};

use super::submit::Submit;
use crate::domain::movement::Movement;
use crate::domain::progress::{FindAnswer, Progress};
use crate::domain::ruling::{illegible, rule as ruled};
use crate::domain::transfer::SignedTransfer;
use crate::ports::NonceAnswer;

/// Records what became of a withdrawal; see [`contracts::clients::BcGateway::rule`].
pub(super) async fn rule(gateway: &Submit, ruling: ChainRuling) -> Result<RulingOutcome, ClientError> {
    let ChainRuling {
        order_id,
        step,
        verdict,
        instruction,
    } = ruling;
    let key = CommandKey { order_id, step };
    let Some(standing) = gateway.store.standing(key).await? else {
        return Ok(RulingOutcome::Unknown);
    };
    let seen = match Progress::from_json(&standing.record.progress) {
        Ok(progress) => progress,
        Err(error) => {
            let detail = illegible("record", &error);
            return Ok(RulingOutcome::Contradicted { detail });
        }
    };
    // Only of what is open can the outcome still change; of what has ended the store knows the answer.
    let undecided = matches!(standing.record.state, State::Open | State::Dead);
    if let (Progress::Signed(transfer), true) = (&seen, undecided) {
        let objection = match &verdict {
            ChainVerdict::NeverConfirms {} => objection_to_loss(gateway, &standing, transfer).await,
            ChainVerdict::Confirmed { transaction } if *transaction == transfer.hash => {
                objection_to_confirmation(gateway, transfer).await
            }
            // Another hash needs no question.
            ChainVerdict::Confirmed { .. } => None,
        };
        if let Some(detail) = objection {
            return Ok(RulingOutcome::Contradicted { detail });
        }
    }
    let content = serde_json::to_string(&verdict).map_err(|error| ClientError::Unavailable(error.to_string()))?;
    let intervention = Intervention {
        key,
        verb: "resolve",
        once: Some((format!("resolve:{order_id}:{step}"), content)),
        instruction,
        decide: Box::new(move |standing| ruled(standing, &seen, &verdict)),
    };
    let amended = gateway.store.intervene(gateway.clock.now(), intervention).await?;
    Ok(amended.into_ruling_outcome())
}

/// Has a withdrawal tried again at once; see [`contracts::clients::BcGateway::retry`].
pub(super) async fn retry(gateway: &Submit, key: CommandKey, instruction: Instruction) -> Result<Retried, ClientError> {
    let intervention = Intervention {
        key,
        verb: "retry",
        once: None,
        instruction,
        decide: Box::new(|standing| match standing.record.state {
            State::Dead => Amendment::Reopen {
                progress: standing.record.progress.clone(),
            },
            State::Open | State::Done | State::Failed => Amendment::Nudge,
        }),
    };
    let amended = gateway.store.intervene(gateway.clock.now(), intervention).await?;
    Ok(amended.into_retried())
}

/// The step as it stands.
pub(super) async fn view(gateway: &Submit, key: CommandKey) -> Result<Option<StepView>, ClientError> {
    let standing = gateway.store.standing(key).await?;
    Ok(standing.map(|standing| {
        let hash = hash_of(&standing);
        standing.into_view(hash)
    }))
}

/// What speaks against a signed transfer's being lost for good. Whoever has its bytes can send them, so that is so only
/// once its nonce is another one's for good: as deep as our own must lie to count as final.
async fn objection_to_loss(gateway: &Submit, standing: &Standing, transfer: &SignedTransfer) -> Option<String> {
    let silent = |reason: &str| format!("the chain has to show that it is lost, and does not answer: {reason}");
    let command: WithdrawCommand = match serde_json::from_str(&standing.record.content) {
        Ok(command) => command,
        Err(error) => return Some(illegible("command", &error)),
    };
    let source = gateway.desk.party(Movement::of(&command).from).address;
    // The nonce first: were it ours that used it up, `find` would show it after. So where both agree it is another's, and
    // no worker's broadcast before, between or after can confirm ours; nothing is stored yet that a death could strand.
    match gateway.chain.confirmed_nonce(&source, gateway.confirmations).await {
        NonceAnswer::Next(next) if next > transfer.nonce => {}
        NonceAnswer::Next(_) => {
            return Some(format!(
                "no transfer with its nonce {} of {source} is {} blocks deep, so it can be confirmed at any time; let \
                 another one use that nonce for good first",
                transfer.nonce, gateway.confirmations
            ));
        }
        NonceAnswer::Unknown { reason } => return Some(silent(&reason)),
    }
    match gateway.chain.find(&transfer.hash).await {
        FindAnswer::NotFound => None,
        FindAnswer::Confirmed { .. } => Some("the chain has confirmed it".to_owned()),
        FindAnswer::Pending => Some("the chain has it, and it waits for its block".to_owned()),
        FindAnswer::Unknown { reason } => Some(silent(&reason)),
    }
}

/// What speaks against a signed transfer's being confirmed for good. A wrong word would leave its nonce unused, and every
/// later transfer waiting for it; so the operator's evidence stands for the chain's answer only where there is none.
async fn objection_to_confirmation(gateway: &Submit, transfer: &SignedTransfer) -> Option<String> {
    let required = gateway.confirmations;
    match gateway.chain.find(&transfer.hash).await {
        FindAnswer::Confirmed { confirmations } if confirmations >= required => None,
        FindAnswer::Confirmed { confirmations } => Some(format!(
            "the chain shows {confirmations} of {required} confirmations: it can still vanish"
        )),
        FindAnswer::Pending => Some("the chain has it, but it waits for its block".to_owned()),
        FindAnswer::NotFound => Some("the chain answers, and does not have it".to_owned()),
        FindAnswer::Unknown { reason } => {
            tracing::warn!(
                hash = transfer.hash,
                reason,
                "a confirmation rests on an operator's word alone"
            );
            None
        }
    }
}

fn hash_of(standing: &Standing) -> Option<String> {
    let progress = Progress::from_json(&standing.record.progress).ok()?;
    progress.signed().map(|transfer| transfer.hash.clone())
}
