//! What an operator's word about an attempt does to the command's record.
//!
//! It stands for the venue's answer where that cannot be had, and is bounded like it: fills within what was ordered, of the
//! attempt that is in doubt and of no other. What is booked was stored as the attempt's outcome first, so of an attempt
//! without one nothing is booked, and nobody can book it once the ruling has fenced them off. It is final. Should the venue say something else one day, nothing is booked a
//! second time: the command has ended, and nobody asks about it any more.

use contracts::clients::ExchangeCommand;
use contracts::operators::{ReportedFill, VenueVerdict};
use storage::commands::Standing;

use super::decision::limit_of;
use super::progress::{AttemptState, Progress};
use super::totals::check;
use crate::ports::{ClientOrderId, Fill};

/// The record after a ruling.
///
/// # Errors
/// Why the ruling cannot be: the attempt is not in doubt, or the fills cannot be true of it.
pub fn rule(standing: &Standing, attempt: ClientOrderId, verdict: &VenueVerdict) -> Result<Progress, String> {
    let (command, progress) = read(standing)?;
    let last = progress
        .last()
        .ok_or_else(|| "the command's record has no attempt".to_owned())?;
    if last.client_order_id != attempt {
        return Err(format!("the attempt in question is {}", last.client_order_id));
    }
    if last.state != AttemptState::Pending {
        return Err(format!("the outcome of this attempt is known: {}", told(&last.state)));
    }
    if !standing.is_in_doubt() {
        return Err(format!(
            "the step is {}, and no answer has been missing for long: it may still come",
            standing.record.state.as_str()
        ));
    }
    match verdict {
        VenueVerdict::NotExecuted {} => Ok(progress.with_last(|last| last.state = AttemptState::RuledOut)),
        VenueVerdict::Executed { fills, .. } => {
            let fills: Vec<Fill> = fills.iter().map(to_fill).collect();
            let wrong = |violation: super::totals::Violation| format!("the fills cannot be this order's: {violation}");
            let limit = limit_of(&command, &progress).map_err(wrong)?;
            check(&fills, limit, command.asset, command.currency).map_err(wrong)?;
            let mut progress = progress.with_last(|last| last.state = AttemptState::Done);
            progress.fills.extend(fills);
            Ok(progress)
        }
    }
}

/// The record with which a step that was refused for good is tried again.
///
/// # Errors
/// When it cannot be read.
pub fn forgiven(standing: &Standing) -> Result<Progress, String> {
    read(standing).map(|(_, progress)| progress.forgiving())
}

/// The name of the attempt that a ruling would be about.
#[must_use]
pub fn attempt_of(standing: &Standing) -> Option<String> {
    let (_, progress) = read(standing).ok()?;
    progress.last().map(|last| last.client_order_id.to_string())
}

fn read(standing: &Standing) -> Result<(ExchangeCommand, Progress), String> {
    let unreadable = |error: serde_json::Error| format!("the stored command cannot be read: {error}");
    let command = serde_json::from_str(&standing.record.content).map_err(unreadable)?;
    let progress = serde_json::from_str(&standing.record.progress).map_err(unreadable)?;
    Ok((command, progress))
}

const fn to_fill(fill: &ReportedFill) -> Fill {
    Fill {
        quantity: fill.quantity,
        price: fill.price,
        fee: fill.fee,
    }
}

const fn told(state: &AttemptState) -> &'static str {
    match state {
        AttemptState::Pending => "none yet",
        AttemptState::Done => "the venue executed it",
        AttemptState::Rejected { .. } => "the venue refused it",
        AttemptState::Absent => "the venue never had it",
        AttemptState::RuledOut => "an operator established that it was not executed",
    }
}
