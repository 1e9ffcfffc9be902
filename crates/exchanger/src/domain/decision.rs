//! What to do next with a command, and what an answer of the venue teaches.
//!
//! What it keeps true:
//!
//! - unknown is not failed: only a final answer, or proof of absence, closes an attempt;
//! - there is never more than one open attempt, and a further one is stored before it is sent;
//! - an order's time ends before the claim under which it is sent, so that whoever claims next can wait for proof;
//! - everything ends: attempts are counted, pauses are bounded.

use std::time::Duration;

use contracts::Amount;
use contracts::clients::{ExchangeCommand, Side};
use contracts::messages::FailureCode;
use contracts::random::backoff;
use contracts::time::{later, until};
use jiff::Timestamp;

use super::progress::{Attempt, AttemptState, Progress};
use super::totals::{Totals, Violation, check};
use crate::ports::{Answer, ClientOrderId, Limit, VenueOrder};

/// The most bytes of a venue's words that are kept.
const MAX_REASON: usize = 200;

/// The knobs of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long an order may live at the venue, from when it is stored. Shorter than a worker's lease.
    pub order_life: Duration,
    /// The least that must be left of an order's life when it is sent; below that it gets a new expiry first. Counts as
    /// half of `order_life` at most, and must be shorter than a worker's lease.
    pub shortest_life: Duration,
    /// How long after its expiry an order the venue had accepted may still be invisible: the engine's own time-out.
    pub engine_timeout: Duration,
    /// How far the clocks of the venue's own computers may be apart: one executes orders, another tells the time.
    pub clock_skew: Duration,
    /// The first pause before a question is asked again; doubled each time.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How many orders a trade may send, each after proof that the one before was not executed.
    pub max_attempts: u32,
    /// How many orders in a row that sell nothing a reversal may send before it counts as refused.
    pub max_reverse_attempts: u32,
    /// The pause after a reversal's first order that left something unsold; doubled each time.
    pub reverse_pause: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            order_life: Duration::from_secs(5),
            shortest_life: Duration::from_secs(1),
            engine_timeout: Duration::from_secs(5),
            clock_skew: Duration::from_secs(2),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            max_attempts: 3,
            max_reverse_attempts: 5,
            reverse_pause: Duration::from_secs(1),
        }
    }
}

impl Rules {
    /// From when on, by the venue's clock, [`Answer::NotFound`] proves that an order was never executed.
    #[must_use]
    pub fn proof_of_absence(&self, expires_at: Timestamp) -> Timestamp {
        later(later(expires_at, self.engine_timeout), self.clock_skew)
    }

    /// An order could never be sent if it had to live longer than it may.
    fn least_life(&self) -> Duration {
        self.shortest_life.min(self.order_life / 2)
    }

    /// The pause before question number `tries` (from 0), without jitter.
    #[must_use]
    pub fn pause(&self, tries: u32) -> Duration {
        backoff(self.first_pause, tries, self.longest_pause)
    }
}

/// Under which claim a decision is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its number.
    pub epoch: i64,
    /// When it ends.
    pub lease_until: Timestamp,
    /// How many times the command was postponed before.
    pub tries: u32,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Store this record under the claim, then plan again. The intent of an order that is sent next.
    Store(Progress),
    /// Send this order; its attempt is stored.
    Place(VenueOrder),
    /// Ask what became of this order; it may have been sent before.
    Find(ClientOrderId),
    /// Book what was filled.
    Book,
    /// End. Nothing is booked; of a reversal, what it sold before stays in its record.
    Fail {
        /// Why, for programs.
        code: FailureCode,
        /// Why, for people.
        detail: String,
    },
    /// Too little is left of the lease to send anything; later, with this record.
    Later(Progress),
}

/// What an answer teaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lesson {
    /// The attempt is closed. Plan again with this record.
    Closed(Progress),
    /// The attempt is closed, and the next one has to wait.
    Paused {
        /// The record.
        progress: Progress,
        /// How long, without jitter.
        pause: Duration,
        /// Why.
        reason: String,
    },
    /// The outcome is still unknown. Ask again.
    Missing {
        /// After this long, without jitter …
        pause: Duration,
        /// … or after this long, if that is sooner: what is then still missing is absent.
        proof_in: Option<Duration>,
        /// Why.
        reason: String,
    },
}

/// A question to the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// An order was sent.
    Placed,
    /// It was asked about.
    Asked,
}

/// How far the command's next order may go: what it asks for, less what earlier orders filled of a reversal.
///
/// # Errors
/// [`Violation`] for a record whose fills make no sense.
pub fn limit_of(command: &ExchangeCommand, progress: &Progress) -> Result<Limit, Violation> {
    Ok(match (command.compensate, command.side) {
        (false, Side::Buy) => Limit::Spend(command.amount),
        (false, Side::Sell) => Limit::Quantity(command.amount),
        (true, _) => Limit::Quantity(unsold(command, progress)?),
    })
}

/// What is left of a reversal.
pub(super) fn unsold(command: &ExchangeCommand, progress: &Progress) -> Result<Amount, Violation> {
    let sold = Totals::of(&progress.fills, command.asset, command.currency)?.filled;
    Ok(command.amount.checked_sub(sold)?)
}

/// What to do next, at `now`, with a command of this record.
///
/// # Errors
/// [`Violation`] for a record that makes no sense.
pub fn plan(
    command: &ExchangeCommand,
    progress: &Progress,
    claim: Claim,
    now: Timestamp,
    rules: &Rules,
) -> Result<Plan, Violation> {
    let last = progress.last().ok_or(Violation::IncompleteRecord)?;
    match &last.state {
        AttemptState::Pending if last.sendable_in != claim.epoch => Ok(Plan::Find(last.client_order_id)),
        AttemptState::Pending => send(command, progress, last, claim, now, rules),
        closed if command.compensate => after_reversal(command, progress, last, closed, claim, now, rules),
        AttemptState::Done if progress.fills.is_empty() => Ok(Plan::Fail {
            code: FailureCode::NothingFilled,
            detail: "the venue took the order and filled none of it".to_owned(),
        }),
        AttemptState::Done => Ok(Plan::Book),
        AttemptState::Rejected { reason } => Ok(refused(reason)),
        // A person's word ends the trade; it never sends another order.
        AttemptState::RuledOut => Ok(Plan::Fail {
            code: FailureCode::NotExecuted,
            detail: "an operator established that the venue did not execute it".to_owned(),
        }),
        AttemptState::Absent if last.client_order_id.attempt >= rules.max_attempts => Ok(never_executed()),
        AttemptState::Absent => Ok(next_attempt(progress, last, claim, now, rules)),
    }
}

/// Sends an attempt that nobody has sent, if its time and the claim's allow it; renews its time if only that is short.
fn send(
    command: &ExchangeCommand,
    progress: &Progress,
    attempt: &Attempt,
    claim: Claim,
    now: Timestamp,
    rules: &Rules,
) -> Result<Plan, Violation> {
    if attempt.expires_at <= claim.lease_until && is_alive(now, attempt.expires_at, rules) {
        return Ok(Plan::Place(VenueOrder {
            client_order_id: attempt.client_order_id,
            side: if command.compensate {
                command.side.opposite()
            } else {
                command.side
            },
            base: command.asset,
            quote: command.currency,
            limit: limit_of(command, progress)?,
            expires_at: attempt.expires_at,
        }));
    }
    let progress = progress.clone();
    Ok(match expiry(claim, now, rules) {
        Some(expires_at) => Plan::Store(progress.with_last(|attempt| attempt.expires_at = expires_at)),
        // It was not sent under this claim, so the next one, and only that, may send it.
        None => Plan::Later(progress.with_last(|attempt| attempt.sendable_in = claim.epoch.saturating_add(1))),
    })
}

/// When an order sent now expires: within the lease, or not at all.
fn expiry(claim: Claim, now: Timestamp, rules: &Rules) -> Option<Timestamp> {
    let expires_at = later(now, rules.order_life).min(claim.lease_until);
    is_alive(now, expires_at, rules).then_some(expires_at)
}

fn is_alive(now: Timestamp, expires_at: Timestamp, rules: &Rules) -> bool {
    expires_at > now && until(now, expires_at) >= rules.least_life()
}

fn next_attempt(progress: &Progress, last: &Attempt, claim: Claim, now: Timestamp, rules: &Rules) -> Plan {
    let progress = progress.clone();
    match expiry(claim, now, rules) {
        Some(expires_at) => Plan::Store(progress.with_next(last.client_order_id, expires_at, claim.epoch)),
        None => Plan::Later(progress),
    }
}

fn after_reversal(
    command: &ExchangeCommand,
    progress: &Progress,
    last: &Attempt,
    closed: &AttemptState,
    claim: Claim,
    now: Timestamp,
    rules: &Rules,
) -> Result<Plan, Violation> {
    let unsold = unsold(command, progress)?;
    if unsold.is_zero() {
        return Ok(Plan::Book);
    }
    if !is_refused(progress, rules) {
        return Ok(next_attempt(progress, last, claim, now, rules));
    }
    let reason = match closed {
        AttemptState::Rejected { reason } => reason,
        AttemptState::Done => "there is nobody to buy it",
        AttemptState::Pending | AttemptState::Absent | AttemptState::RuledOut => "it never took the order",
    };
    Ok(Plan::Fail {
        code: FailureCode::VenueRejected,
        detail: format!("the venue leaves {unsold:?} unsold: {reason}"),
    })
}

/// Whether the venue has had its chances with a reversal, whatever it sold before. More orders would only go on for ever: it
/// ends, with what was sold in its record, and people decide whether it is tried again or the rest is sold elsewhere.
fn is_refused(progress: &Progress, rules: &Rules) -> bool {
    progress.counted_attempts() >= rules.max_reverse_attempts
}

fn refused(reason: &str) -> Plan {
    Plan::Fail {
        code: FailureCode::VenueRejected,
        detail: format!("the venue refused the order: {reason}"),
    }
}

fn never_executed() -> Plan {
    Plan::Fail {
        code: FailureCode::NotExecuted,
        detail: "no attempt reached the venue in time".to_owned(),
    }
}

/// What the venue's answer means for the record. `tries` is the claim's, `asked` what was asked.
///
/// # Errors
/// [`Violation`] for fills beyond what was ordered, or that make no sense: nothing may be booked then.
pub fn learn(
    command: &ExchangeCommand,
    progress: Progress,
    question: Question,
    answer: Answer,
    tries: u32,
    rules: &Rules,
) -> Result<Lesson, Violation> {
    let missing = |proof_in, reason: String| Lesson::Missing {
        pause: rules.pause(tries),
        proof_in,
        reason,
    };
    let state = match answer {
        Answer::Unknown { reason } => return Ok(missing(None, format!("the venue did not answer: {}", short(reason)))),
        Answer::Open => return Ok(missing(None, "the venue is still executing the order".to_owned())),
        // The venue's clock is the one by which it executes, and so the only one that proves anything: ours may be wrong.
        Answer::NotFound { at } => {
            let proof_in = progress
                .last()
                .map(|last| until(at, rules.proof_of_absence(last.expires_at)));
            match (question, proof_in) {
                (Question::Asked, Some(Duration::ZERO)) => AttemptState::Absent,
                (Question::Asked | Question::Placed, proof_in) => {
                    let reason = "the venue does not know the order yet".to_owned();
                    return Ok(missing(proof_in.filter(|wait| !wait.is_zero()), reason));
                }
            }
        }
        Answer::Rejected { reason } => AttemptState::Rejected { reason: short(reason) },
        Answer::Done(fills) => {
            check(&fills, limit_of(command, &progress)?, command.asset, command.currency)?;
            return after(command, progress.executed(fills), rules);
        }
    };
    after(command, progress.with_last(|last| last.state = state), rules)
}

/// A trade goes on at once; a reversal that left something unsold gives the market time.
fn after(command: &ExchangeCommand, progress: Progress, rules: &Rules) -> Result<Lesson, Violation> {
    if !command.compensate || is_refused(&progress, rules) {
        return Ok(Lesson::Closed(progress));
    }
    let unsold = unsold(command, &progress)?;
    if unsold.is_zero() {
        return Ok(Lesson::Closed(progress));
    }
    let in_vain = progress.counted_attempts();
    Ok(Lesson::Paused {
        progress,
        pause: backoff(rules.reverse_pause, in_vain.saturating_sub(1), rules.longest_pause),
        reason: format!("the venue left {unsold:?} unsold"),
    })
}

fn short(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_REASON));
    text
}
