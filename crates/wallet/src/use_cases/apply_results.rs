//! The saga worker's verb: results from the queue become events.
//!
//! A message that makes no sense becomes a dead letter, with its error, and the queue goes on. A result that cannot be
//! true of its order (a trade beyond the hold) is no answer at all: the order gets stuck and an operator is asked. A result
//! for an order that only a newer program understands is left to that one: both are at work while one replaces the other.

use std::collections::BTreeSet;

use contracts::OrderId;
use contracts::messages::{Message, Queue, SCHEMA_VERSION, Status, Step, StepResult};
use storage::StoreError;

use super::Wallet;
use super::apply::apply;
use crate::domain::{Event, Fact, Why};
use crate::ports::{Advanced, DeadLetter};

/// What a message says.
enum Said {
    Fact(Fact),
    /// Something that moves no saga.
    Nothing,
    Nonsense(&'static str),
}

/// Applies the results in these messages, in one transaction. After `Ok` none of them is needed any more but those at the
/// places it names, which are to be delivered again, to a newer program; after an error all of them are to be delivered
/// again, which does no harm.
pub(crate) async fn apply_results(wallet: &Wallet, messages: &[&Message]) -> Result<BTreeSet<usize>, StoreError> {
    let mut letters = Vec::new();
    let mut events = Vec::new();
    let mut origins = Vec::new();
    for (place, &message) in messages.iter().enumerate() {
        match said(message) {
            Said::Fact(fact) => {
                events.push((message.order_id, event(message, fact)));
                origins.push((place, message));
            }
            Said::Nothing => {}
            Said::Nonsense(error) => letters.push(letter(message, error)),
        }
    }
    let advanced = apply(wallet, events).await?;
    let (mut disbelieved, mut for_newer) = (Vec::new(), BTreeSet::new());
    for ((place, message), outcome) in origins.into_iter().zip(advanced) {
        match outcome {
            Advanced::Unknown => letters.push(letter(message, "there is no such order")),
            Advanced::Ignored {
                why: Why::Contradiction,
                ..
            } => disbelieved.push(message),
            Advanced::Ignored {
                why: Why::UnknownDefinition,
                ..
            }
            | Advanced::Unreadable => {
                tracing::warn!(order_id = %message.order_id, step = %message.step, "a result is left to a newer program");
                for_newer.insert(place);
            }
            Advanced::Ignored { state, why } => {
                tracing::debug!(order_id = %message.order_id, step = %message.step, %state, ?why, "a result changes nothing");
            }
            Advanced::Moved { .. } => {}
        }
    }
    letters.extend(disbelieve(wallet, disbelieved).await?);
    if letters.is_empty() {
        return Ok(for_newer);
    }
    for letter in &letters {
        tracing::error!(error = letter.error, "a message on saga_steps cannot be used");
    }
    wallet.ports.orders.bury(wallet.now(), letters).await?;
    Ok(for_newer)
}

/// Takes results that cannot be true for the missing answers they are. Only those that are news become dead letters:
/// their command publishes them again and again.
async fn disbelieve(wallet: &Wallet, messages: Vec<&Message>) -> Result<Vec<DeadLetter>, StoreError> {
    let unresolved = |message: &Message| {
        let event = Event {
            cause: format!("message {} cannot be true of this order", message.message_id),
            ..event(message, Fact::Unresolved { step: message.step })
        };
        (message.order_id, event)
    };
    let events: Vec<(OrderId, Event)> = messages.iter().map(|message| unresolved(message)).collect();
    let advanced = apply(wallet, events).await?;
    let news = messages.into_iter().zip(advanced);
    Ok(news
        .filter(|(_, outcome)| matches!(outcome, Advanced::Moved { .. }))
        .map(|(message, _)| letter(message, "the trade cannot be this order's"))
        .collect())
}

fn event(message: &Message, fact: Fact) -> Event {
    let actor = match message.step {
        Step::Exchange | Step::Reverse => "exchanger",
        Step::Withdraw | Step::WithdrawBack => "bc_gateway",
        Step::Notify => "notification",
        Step::Hold | Step::Release => "balance",
    };
    let detail = match &message.result {
        Some(StepResult::Failure { detail, .. }) if !detail.is_empty() => format!(": {}", shortened(detail)),
        Some(
            StepResult::Failure { .. }
            | StepResult::Traded(_)
            | StepResult::Transferred { .. }
            | StepResult::Reversed
            | StepResult::Notified,
        )
        | None => String::new(),
    };
    Event {
        fact,
        cause: format!("message {}{detail}", message.message_id),
        actor: actor.to_owned(),
    }
}

fn said(message: &Message) -> Said {
    if message.schema_version != SCHEMA_VERSION {
        return Said::Nonsense("another version of the message format");
    }
    let step = message.step;
    match step {
        // An order's end does not wait for the message about it; what an operator takes back is theirs.
        Step::Notify | Step::WithdrawBack => return Said::Nothing,
        Step::Hold | Step::Release => return Said::Nonsense("the ledger does not answer by the queue"),
        Step::Exchange | Step::Withdraw | Step::Reverse => {}
    }
    match (step, message.status, message.result.clone()) {
        (_, Status::Unresolved, None) => Said::Fact(Fact::Unresolved { step }),
        (Step::Exchange, Status::Done, Some(StepResult::Traded(trade))) => Said::Fact(Fact::Exchanged { trade }),
        (Step::Withdraw, Status::Done, Some(StepResult::Transferred { transaction })) => {
            Said::Fact(Fact::Withdrawn { transaction })
        }
        (Step::Reverse, Status::Done, Some(StepResult::Reversed)) => Said::Fact(Fact::Reversed),
        (Step::Exchange, Status::Failed, Some(StepResult::Failure { code, .. })) => {
            Said::Fact(Fact::ExchangeFailed { code })
        }
        (Step::Withdraw, Status::Failed, Some(StepResult::Failure { code, .. })) => {
            Said::Fact(Fact::WithdrawFailed { code })
        }
        (Step::Reverse, Status::Failed, Some(StepResult::Failure { code, .. })) => {
            Said::Fact(Fact::ReverseRefused { code })
        }
        _ => Said::Nonsense("step, status and result do not belong together"),
    }
}

fn letter(message: &Message, error: &str) -> DeadLetter {
    DeadLetter {
        source: format!("queue:{}", Queue::SagaSteps),
        payload: serde_json::to_string(message).unwrap_or_else(|error| error.to_string()),
        error: error.to_owned(),
    }
}

/// As much of a text as a log entry keeps.
fn shortened(text: &str) -> &str {
    let end = (0..=text.len().min(200)).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
