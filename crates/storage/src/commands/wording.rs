//! How commands are named and what is said of them, on every database alike.

use contracts::messages::{Message, Queue, SCHEMA_VERSION, Status, StepResult};
use contracts::operators::Instruction;
use contracts::{OrderId, traces};
use jiff::Timestamp;

use super::{Amended, Amendment, CommandKey, Intervention, State};
use crate::outbox::Destination;

/// The state in which a result leaves its command.
pub(crate) const fn end_of(result: &StepResult) -> State {
    match result {
        StepResult::Failure { .. } => State::Failed,
        StepResult::Traded(_) | StepResult::Transferred { .. } | StepResult::Reversed | StepResult::Notified => {
            State::Done
        }
    }
}

/// How a result is told.
pub(crate) fn status_of(result: &StepResult) -> Status {
    if end_of(result) == State::Failed {
        Status::Failed
    } else {
        Status::Done
    }
}

/// What a queue hears of a command.
pub(crate) fn message(
    queue: Queue,
    now: Timestamp,
    key: CommandKey,
    status: Status,
    result: Option<StepResult>,
) -> Message {
    let name = match status {
        Status::Accepted => "accepted",
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Unresolved => "unresolved",
    };
    let CommandKey { order_id, step } = key;
    Message {
        message_id: format!("{queue}-{order_id}-{step}-{name}-{}", now.as_microsecond()),
        order_id,
        step,
        status,
        schema_version: SCHEMA_VERSION,
        occurred_at: now,
        // Stored with its row: it is known after a crash as well.
        traceparent: traces::cause_of(order_id).map(|cause| cause.to_string()),
        result,
    }
}

/// The name of a stored command, unless it is of a kind that this program does not know.
pub(crate) fn key_of(order_id: i64, step: &str) -> Option<CommandKey> {
    Some(CommandKey {
        order_id: OrderId::try_new(order_id).ok()?,
        step: step.parse().ok()?,
    })
}

/// How a command is called in the record of acts.
pub(crate) fn subject_of(key: CommandKey) -> String {
    format!("order:{}:{}", key.order_id, key.step)
}

/// Where the letters come from that a command leaves when it dies.
pub(crate) fn letter_of(key: CommandKey) -> String {
    format!("command:{}:{}", key.order_id, key.step)
}

/// Where a dead letter goes back to.
pub(crate) enum Way {
    Outbox(Destination),
    Command(CommandKey),
}

/// `queue:…` and `service:…` were on their way out, `command:7:exchange` was being worked on.
pub(crate) fn way(source: &str) -> Option<Way> {
    let Some(rest) = source.strip_prefix("command:") else {
        return source.parse().ok().map(Way::Outbox);
    };
    let (order, step) = rest.split_once(':')?;
    key_of(order.parse().ok()?, step).map(Way::Command)
}

/// Opens a dead command again, or a failed one of which nobody was told; any other needs nothing. Where a saga was told of
/// a failure, it has gone on from there.
pub(crate) fn revival(key: CommandKey, instruction: &Instruction, unheard: bool) -> Intervention {
    Intervention {
        key,
        verb: "replay",
        once: None,
        instruction: instruction.clone(),
        decide: Box::new(move |standing| match standing.record.state {
            State::Dead => Amendment::Reopen {
                progress: standing.record.progress.clone(),
            },
            State::Failed if unheard => Amendment::Reopen {
                progress: standing.record.progress.clone(),
            },
            State::Open | State::Done | State::Failed => Amendment::Nudge,
        }),
    }
}

/// Why a [`revival`] did not come about, if so.
pub(crate) fn not_revived(amended: Amended) -> Option<String> {
    match amended {
        Amended::Unknown => Some("its command does not exist".to_owned()),
        Amended::Refused { detail } => Some(detail),
        Amended::Reopened | Amended::Ended | Amended::Nudged | Amended::Replayed | Amended::Contradicted => None,
    }
}
