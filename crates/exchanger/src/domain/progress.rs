//! A command's own record: its attempts at the venue and what they filled. It lies as JSON in the command's row.
//!
//! What it keeps true:
//!
//! - an order is sent to the venue only under the claim whose number its attempt carries; everybody else has to reckon with
//!   its having been sent, and asks;
//! - orders that sell something cost a reversal none of its attempts, but not without end.

use contracts::clients::ExchangeCommand;
use contracts::messages::Step;
use contracts::{Amount, OrderId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ports::{ClientOrderId, Fill, InstallationId};

/// How many attempts the record keeps; older ones are closed and only their fills matter.
const KEPT_ATTEMPTS: usize = 8;

/// How many orders a reversal may send whose fills forgive what went before. A market that buys crumbs would never come to
/// an end, and nobody would look.
const PATIENT_ORDERS: u32 = 100;

/// The epoch of a command's first claim.
pub const FIRST_CLAIM: i64 = 1;

/// The step that a command is for.
#[must_use]
pub const fn step_of(command: &ExchangeCommand) -> Step {
    if command.compensate {
        Step::Reverse
    } else {
        Step::Exchange
    }
}

/// The name of the attempt after this one.
#[must_use]
pub const fn next_name(previous: ClientOrderId) -> ClientOrderId {
    ClientOrderId {
        attempt: previous.attempt.saturating_add(1),
        ..previous
    }
}

/// What has been tried so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The latest attempts, in order; never empty. All but the last are closed.
    pub attempts: Vec<Attempt>,
    /// What closed attempts filled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fills: Vec<Fill>,
    /// Of a reversal: the fiat the hot wallet has to hold again when it is done, which is what the trade had taken of
    /// the hold (hold − returned).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Amount>,
    /// Of a reversal: how many attempts do not count against its number any more, because the last of them sold something
    /// or an operator wanted it tried again after them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forgiven: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// One order at the venue: what is stored before it is sent, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its name at the venue.
    pub client_order_id: ClientOrderId,
    /// When the venue stops executing it.
    pub expires_at: Timestamp,
    /// The epoch of the only claim under which it may be sent.
    pub sendable_in: i64,
    /// What became of it.
    pub state: AttemptState,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AttemptState {
    /// Not known yet; it may not have been sent.
    Pending,
    /// The venue executed it, as far as it could; the fills are in [`Progress::fills`].
    Done,
    /// The venue refused it.
    Rejected {
        /// In the venue's words, shortened.
        reason: String,
    },
    /// It is proven that the venue never had it.
    Absent,
    /// An operator has established that the venue never executed it. The evidence is with the command's acts.
    RuledOut,
}

impl Progress {
    /// The record of a new command: its first attempt, which the first claim may send.
    #[must_use]
    pub fn new(
        command: &ExchangeCommand,
        installation: InstallationId,
        expires_at: Timestamp,
        owed: Option<Amount>,
    ) -> Self {
        let client_order_id = ClientOrderId {
            installation: Some(installation),
            order_id: command.order_id,
            step: step_of(command),
            attempt: 1,
        };
        Self {
            attempts: vec![Attempt {
                client_order_id,
                expires_at,
                sendable_in: FIRST_CLAIM,
                state: AttemptState::Pending,
            }],
            fills: Vec::new(),
            owed,
            forgiven: 0,
        }
    }

    /// The latest attempt.
    #[must_use]
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// How many attempts count against the number that is allowed.
    #[must_use]
    pub fn counted_attempts(&self) -> u32 {
        let last = self.last().map_or(0, |last| last.client_order_id.attempt);
        last.saturating_sub(self.forgiven)
    }

    /// The record after which what was tried so far does not count any more.
    #[must_use]
    pub fn forgiving(mut self) -> Self {
        self.forgiven = self.last().map_or(0, |last| last.client_order_id.attempt);
        self
    }

    /// The record whose latest attempt was executed, with all its fills.
    #[must_use]
    pub fn executed(mut self, fills: Vec<Fill>) -> Self {
        let orders = self.last().map_or(0, |last| last.client_order_id.attempt);
        let sells_on = self.owed.is_some() && !fills.is_empty() && orders <= PATIENT_ORDERS;
        self.fills.extend(fills);
        let record = self.with_last(|last| last.state = AttemptState::Done);
        if sells_on { record.forgiving() } else { record }
    }

    /// The record of a command that was claimed and never begun: what that claim alone might have sent was not sent, so the
    /// next one may send it. `None` where the claim might have sent nothing.
    #[must_use]
    pub fn handed_back(self, epoch: i64) -> Option<Self> {
        let last = self.last()?;
        let unsent = last.state == AttemptState::Pending && last.sendable_in == epoch;
        unsent.then(|| self.with_last(|last| last.sendable_in = epoch.saturating_add(1)))
    }

    /// Whether the record belongs to this command and is complete.
    #[must_use]
    pub fn is_of(&self, order_id: OrderId, step: Step) -> bool {
        let ours = |attempt: &Attempt| {
            let id = attempt.client_order_id;
            id.order_id == order_id && id.step == step
        };
        !self.attempts.is_empty() && self.attempts.iter().all(ours) && self.owed.is_some() == (step == Step::Reverse)
    }

    /// The record with its latest attempt changed.
    #[must_use]
    pub fn with_last(mut self, change: impl FnOnce(&mut Attempt)) -> Self {
        if let Some(last) = self.attempts.last_mut() {
            change(last);
        }
        self
    }

    /// The record with one more attempt, which may be sent under the claim `epoch`.
    #[must_use]
    pub fn with_next(mut self, previous: ClientOrderId, expires_at: Timestamp, epoch: i64) -> Self {
        self.attempts.push(Attempt {
            client_order_id: next_name(previous),
            expires_at,
            sendable_in: epoch,
            state: AttemptState::Pending,
        });
        let surplus = self.attempts.len().saturating_sub(KEPT_ATTEMPTS);
        self.attempts.drain(..surplus);
        self
    }
}
