//! What operators do to a withdrawal: say what became of it, have it tried again, look.

use contracts::OrderId;
use contracts::clients::{ClientError, WithdrawCommand};
use contracts::messages::Step;
use contracts::operators::{ChainRuling, ChainVerdict, Instruction, Retried, RulingOutcome, StepView};
use storage::commands::{Amendment, CommandKey, Intervention, Standing, State};

use super::submit::Submit;
use crate::domain::progress::{FindAnswer, Progress};
use crate::domain::ruling::rule as ruled;
use crate::domain::transfer::SignedTransfer;
use crate::ports::NonceAnswer;

/// Records what became of a withdrawal; see [`contracts::clients::BcGateway::rule`].
pub(super) async fn rule(gateway: &Submit, ruling: ChainRuling) -> Result<RulingOutcome, ClientError> {
    let ChainRuling {
        order_id,
        verdict,
        instruction,
    } = ruling;
    let Some(standing) = gateway.store.standing(key(order_id)).await? else {
        return Ok(RulingOutcome::Unknown);
    };
    let seen = match Progress::from_json(&standing.record.progress) {
        Ok(progress) => progress,
        Err(error) => {
            let detail = format!("the stored record cannot be read: {error}");
            return Ok(RulingOutcome::Contradicted { detail });
        }
    };
    // Only of what is open can the outcome still change; of what has ended the store knows the answer.
    let undecided = matches!(standing.record.state, State::Open | State::Dead);
    if let (ChainVerdict::NeverConfirms {}, Progress::Signed(transfer), true) = (&verdict, &seen, undecided)
        && let Some(detail) = objection_of_chain(gateway, &standing, transfer).await
    {
        return Ok(RulingOutcome::Contradicted { detail });
    }
    let content = serde_json::to_string(&verdict).map_err(|error| ClientError::Unavailable(error.to_string()))?;
    let intervention = Intervention {
        key: key(order_id),
        verb: "resolve",
        once: Some((format!("resolve:{order_id}:{}", Step::Withdraw), content)),
        instruction,
        decide: Box::new(move |standing| ruled(standing, &seen, &verdict)),
    };
    let amended = gateway.store.intervene(gateway.clock.now(), intervention).await?;
    Ok(amended.into_ruling_outcome())
}

/// Has a withdrawal tried again at once; see [`contracts::clients::BcGateway::retry`].
pub(super) async fn retry(
    gateway: &Submit,
    order_id: OrderId,
    instruction: Instruction,
) -> Result<Retried, ClientError> {
    let intervention = Intervention {
        key: key(order_id),
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

/// The withdrawal as it stands.
pub(super) async fn view(gateway: &Submit, order_id: OrderId) -> Result<Option<StepView>, ClientError> {
    let standing = gateway.store.standing(key(order_id)).await?;
    Ok(standing.map(|standing| {
        let hash = hash_of(&standing);
        standing.into_view(hash)
    }))
}

/// What speaks against a signed transfer's being lost for good. Whoever has its bytes can send them, so that is so only
/// once its nonce is used up by another one.
async fn objection_of_chain(gateway: &Submit, standing: &Standing, transfer: &SignedTransfer) -> Option<String> {
    let silent = |reason: &str| format!("the chain has to show that it is lost, and does not answer: {reason}");
    let command: WithdrawCommand = match serde_json::from_str(&standing.record.content) {
        Ok(command) => command,
        Err(error) => return Some(format!("the stored command cannot be read: {error}")),
    };
    match gateway.chain.find(&transfer.hash).await {
        FindAnswer::Confirmed { .. } => return Some("the chain has confirmed it".to_owned()),
        FindAnswer::Pending => return Some("the chain has it, and it waits for its block".to_owned()),
        FindAnswer::Unknown { reason } => return Some(silent(&reason)),
        FindAnswer::NotFound => {}
    }
    let source = gateway.desk.party(command.source_user_id).address;
    match gateway.chain.next_nonce(&source).await {
        NonceAnswer::Next(next) if next > transfer.nonce => None,
        NonceAnswer::Next(_) => Some(format!(
            "its nonce {} of {source} is still free, so it can be confirmed at any time; let another transfer use that \
             nonce first",
            transfer.nonce
        )),
        NonceAnswer::Unknown { reason } => Some(silent(&reason)),
    }
}

fn hash_of(standing: &Standing) -> Option<String> {
    match Progress::from_json(&standing.record.progress).ok()? {
        Progress::Unsigned => None,
        Progress::Signed(transfer) | Progress::Confirmed(transfer) | Progress::Void(transfer) => Some(transfer.hash),
    }
}

const fn key(order_id: OrderId) -> CommandKey {
    CommandKey {
        order_id,
        step: Step::Withdraw,
    }
}
