//! What an operator's word about an attempt does to the command's record.
//!
//! It stands for the venue's answer where that cannot be had, and only there ([`objection`]); and it is bounded like it:
//! fills within what was ordered, of the attempt that is in doubt and of no other. What is booked was stored as the
//! attempt's outcome first, so of an attempt without one nothing is booked, and nobody can book it once the ruling has fenced
//! them off. It is final. Should the venue say something else one day, nothing is booked a second time: the command has
//! ended, and nobody asks about it any more.
//!
//! A reversal that the venue has refused can be ended by people, too: they sell elsewhere what is left, and say so as of the
//! attempt that would come next.

use contracts::clients::ExchangeCommand;
use contracts::messages::Step;
use contracts::operators::{ReportedFill, VenueVerdict};
use storage::commands::{Standing, State};

use super::decision::{Rules, limit_of, unsold};
use super::progress::{AttemptState, Progress, next_name};
use super::totals::{Violation, check};
use crate::ports::{Answer, ClientOrderId, Fill};

/// A claim that nobody ever holds: an attempt of people is not sent.
const NO_CLAIM: i64 = 0;

/// The record after a ruling.
///
/// # Errors
/// Why the ruling cannot be: the attempt is not in doubt, or the fills cannot be true of it.
pub fn rule(standing: &Standing, attempt: ClientOrderId, verdict: &VenueVerdict) -> Result<Progress, String> {
    let (command, progress) = read(standing)?;
    let last = progress
        .last()
        .ok_or_else(|| "the command's record has no attempt".to_owned())?;
    let in_question = in_question(standing, last.client_order_id);
    if in_question != attempt {
        return Err(format!("the attempt in question is {in_question}"));
    }
    if is_refused_reversal(standing) {
        return sold_elsewhere(&command, progress, verdict);
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
            let fills = possible(&command, &progress, fills)?;
            Ok(progress.executed(fills))
        }
    }
}

/// The record of a refused reversal after people sold what was left of it. All of it, in one ruling: for a rest another order
/// would be sent, perhaps while they are selling it.
fn sold_elsewhere(command: &ExchangeCommand, progress: Progress, verdict: &VenueVerdict) -> Result<Progress, String> {
    let VenueVerdict::Executed { fills, .. } = verdict else {
        return Err(
            "the venue refused the reversal, so it is known that nothing more was executed: have it tried again, \
                    or say what was got elsewhere for all that is left"
                .to_owned(),
        );
    };
    let fills = possible(command, &progress, fills)?;
    let last = progress.last().map(|last| (last.client_order_id, last.expires_at));
    let (previous, expires_at) = last.ok_or_else(|| "the command's record has no attempt".to_owned())?;
    let progress = progress.with_next(previous, expires_at, NO_CLAIM).executed(fills);
    let rest = unsold(command, &progress).map_err(|violation| wrong(&violation))?;
    if rest.is_zero() {
        Ok(progress)
    } else {
        Err(format!("the fills must be of all that is left: {rest:?} is missing"))
    }
}

/// The fills of a ruling, if the venue itself might have reported them.
fn possible(command: &ExchangeCommand, progress: &Progress, fills: &[ReportedFill]) -> Result<Vec<Fill>, String> {
    let fills: Vec<Fill> = fills.iter().map(to_fill).collect();
    limit_of(command, progress)
        .and_then(|limit| check(&fills, limit, command.asset, command.currency))
        .map_err(|violation| wrong(&violation))?;
    Ok(fills)
}

fn wrong(violation: &Violation) -> String {
    format!("the fills cannot be this order's: {violation}")
}

/// Whether the venue may know what a ruling says. What is left of a refused reversal it was never sent.
#[must_use]
pub fn is_the_venues_to_know(standing: &Standing) -> bool {
    !is_refused_reversal(standing)
}

/// What speaks against a ruling that is possible, by what the venue answers about the attempt at this moment. Where it gives
/// no answer the operator's evidence counts alone.
#[must_use]
pub fn objection(standing: &Standing, verdict: &VenueVerdict, answer: Answer, rules: &Rules) -> Option<String> {
    let (command, progress) = match read(standing) {
        Ok(read) => read,
        Err(unreadable) => return Some(unreadable),
    };
    let what = match (answer, verdict) {
        (Answer::Unknown { .. }, _) => return None,
        (Answer::Open, _) => "it is still executing the order".to_owned(),
        (Answer::Rejected { .. }, _) => "it refused the order".to_owned(),
        (Answer::Done(fills), _) => {
            let checked =
                limit_of(&command, &progress).and_then(|limit| check(&fills, limit, command.asset, command.currency));
            match (checked, verdict) {
                (Ok(_), _) => "it executed the order".to_owned(),
                // An answer that can never be booked: only people can end it, and not by denying it.
                (Err(_), VenueVerdict::Executed { .. }) => return None,
                (Err(violation), VenueVerdict::NotExecuted {}) => format!("it executed something: {violation}"),
            }
        }
        (Answer::NotFound { at }, verdict) => {
            let proof_at = progress.last().map(|last| rules.proof_of_absence(last.expires_at));
            let proven = proof_at.is_some_and(|proof_at| proof_at <= at);
            match (verdict, proven) {
                (VenueVerdict::Executed { .. }, true) => "it never had the order".to_owned(),
                (VenueVerdict::NotExecuted {}, false) => {
                    "it does not know the order yet, and too little time has passed there to prove that it never will"
                        .to_owned()
                }
                // Hidden from whoever asks, but perhaps not from its own people; or as the operator says.
                (VenueVerdict::Executed { .. }, false) | (VenueVerdict::NotExecuted {}, true) => return None,
            }
        }
    };
    let next = if standing.record.state == State::Dead {
        "have the step tried again"
    } else {
        "the step goes on by it"
    };
    Some(format!("the venue answers that {what}; {next}"))
}

/// A reversal that ended because the venue would not take what is left.
fn is_refused_reversal(standing: &Standing) -> bool {
    standing.record.key.step == Step::Reverse && standing.record.state == State::Failed
}

/// Which attempt a ruling has to name: the latest, or the one that people make in place of the next.
fn in_question(standing: &Standing, last: ClientOrderId) -> ClientOrderId {
    if is_refused_reversal(standing) {
        next_name(last)
    } else {
        last
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
    progress
        .last()
        .map(|last| in_question(standing, last.client_order_id).to_string())
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
