//! What all tests start from, whatever the database: a time, commands and what is said of them.

use std::time::Duration;

use contracts::OrderId;
use contracts::messages::{Message, Step, StepResult};
use contracts::time::later;
use jiff::Timestamp;
use storage::commands::{CommandKey, CommandTimes, NewCommand};
use storage::outbox::OutboxRow;

pub(crate) const TIMES: CommandTimes = CommandTimes {
    lease: Duration::from_secs(30),
    hand_over: Duration::from_secs(5),
    stuck_after: Duration::from_secs(20),
};

pub(crate) fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub(crate) fn noon_plus(seconds: u64) -> Timestamp {
    later(noon(), Duration::from_secs(seconds))
}

pub(crate) fn key(order: i64) -> CommandKey {
    CommandKey {
        order_id: OrderId::try_new(order).unwrap(),
        step: Step::Exchange,
    }
}

pub(crate) fn command(order: i64, content: &str) -> NewCommand {
    NewCommand {
        key: key(order),
        content: content.to_owned(),
        progress: "attempt 1".to_owned(),
    }
}

pub(crate) fn success() -> StepResult {
    StepResult::Reversed
}

/// The message in an outbox row.
pub(crate) fn message(row: &OutboxRow) -> Message {
    serde_json::from_str(&row.payload).unwrap()
}
