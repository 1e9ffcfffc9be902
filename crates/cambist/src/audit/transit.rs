//! What customers have paid for transfers on the chain: each payment into transit has exactly one end once its transfer has
//! one, arrived or given back, and none before it was paid; until then it is in the books as far as the transfer's record
//! says, or one step further than that.

use balance::domain::PostedTransfer;
use bc_gateway::domain::movement::{Movement, Passage};
use bc_gateway::domain::progress::Phase;
use bc_gateway::store::audit::{Withdrawal, WithdrawalFact};
use contracts::ledger::{Leg, Posting};
use contracts::messages::StepResult;
use storage::commands::State;

use super::nets::Nets;

/// What of an order's bookings the records of its transfers do not explain, in the words of a finding.
pub(super) fn problems(booked: &[PostedTransfer], facts: &[WithdrawalFact]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut explained = Vec::new();
    for WithdrawalFact { key, withdrawal } in facts {
        let withdrawal = match withdrawal {
            Ok(withdrawal) if withdrawal.movement.is_prepaid() => withdrawal,
            Ok(_) => continue,
            Err(why) => {
                problems.push(format!("has a {} that cannot be read, {why}", key.step));
                continue;
            }
        };
        let passed = Passed::of(booked, withdrawal.movement);
        explained.extend(passed.movement.payment().transfers);
        explained.extend(passed.movement.undoing().transfers);
        if !passed.fits(withdrawal) {
            let (step, standing) = (key.step, standing(withdrawal));
            problems.push(format!("has a {step} that is {standing} and is {passed} in the books"));
        }
    }
    for PostedTransfer { transfer, .. } in booked.iter().filter(|posted| is_of_transit(posted.transfer.id.leg)) {
        if !explained.contains(transfer) {
            problems.push(format!(
                "has a leg {} that no transfer on the chain explains",
                transfer.id.leg
            ));
        }
    }
    problems
}

/// What of an order's bookings is to be in transit: payments of transfers that have no end yet.
pub(super) fn under_way(booked: &[PostedTransfer], facts: &[WithdrawalFact]) -> Nets {
    let legible = facts.iter().filter_map(|fact| fact.withdrawal.as_ref().ok());
    let open = legible
        .filter(|withdrawal| withdrawal.movement.is_prepaid() && matches!(withdrawal.state, State::Open | State::Dead));
    let of_open: Vec<PostedTransfer> = open
        .flat_map(|Withdrawal { movement, .. }| {
            let legs = [movement.payment(), movement.arrival(), movement.undoing()];
            legs.map(|posting| booked.iter().find(|posted| is(posted, &posting)).cloned())
        })
        .flatten()
        .collect();
    Nets::of(&of_open)
}

/// Where it stands, for people: of what has no end, how far it is too.
fn standing(withdrawal: &Withdrawal) -> String {
    let state = withdrawal.state.as_str();
    let phase = match withdrawal.phase {
        _ if matches!(withdrawal.state, State::Done | State::Failed) => return state.to_owned(),
        Phase::Unsigned => "not begun",
        Phase::Paying => "to be paid",
        Phase::Undoing => "given up",
        Phase::Signed => "signed",
        Phase::Confirmed => "confirmed",
        Phase::Void => "void",
    };
    format!("{state}, {phase},")
}

/// How far a transfer that a customer pays came in the books.
struct Passed {
    movement: Movement,
    paid: bool,
    arrived: bool,
    undone: bool,
}

impl Passed {
    fn of(booked: &[PostedTransfer], movement: Movement) -> Self {
        let has = |posting: Posting| booked.iter().any(|posted| is(posted, &posting));
        Self {
            movement,
            paid: has(movement.payment()),
            arrived: has(movement.arrival()),
            undone: has(movement.undoing()),
        }
    }

    fn fits(&self, withdrawal: &Withdrawal) -> bool {
        // What goes directly, as an earlier program began it, arrives by being paid, perhaps only once it is signed, and may
        // be given back all the same.
        let direct = self.movement.passage == Passage::Direct;
        let arrived = self.arrived && !direct;
        match (withdrawal.state, &withdrawal.result) {
            (State::Done, Some(StepResult::Transferred { .. })) => self.paid && self.arrived && !self.undone,
            // Refused, cancelled, or nothing to take back.
            (State::Done | State::Failed, _) => self.paid == self.undone && !arrived,
            // Each is recorded before it is done, but the arrival, which has no record of its own.
            (State::Open | State::Dead, _) => match withdrawal.phase {
                Phase::Unsigned => !self.paid && !self.arrived && !self.undone,
                Phase::Paying => !arrived && !self.undone,
                Phase::Signed | Phase::Confirmed => (self.paid || direct) && !self.undone,
                Phase::Undoing | Phase::Void => !arrived && (self.paid || !self.undone),
            },
        }
    }
}

impl std::fmt::Display for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.paid, "paid"),
            (self.arrived, "arrived"),
            (self.undone, "given back"),
        ];
        let parts: Vec<&str> = parts.iter().filter(|(is, _)| *is).map(|(_, part)| *part).collect();
        f.write_str(&if parts.is_empty() {
            "not there".to_owned()
        } else {
            parts.join(" and ")
        })
    }
}

/// Whether this is a posting's one transfer, to the letter.
fn is(posted: &PostedTransfer, posting: &Posting) -> bool {
    posting.transfers.first() == Some(&posted.transfer)
}

const fn is_of_transit(leg: Leg) -> bool {
    matches!(
        leg,
        Leg::WithdrawSent | Leg::WithdrawBackSent | Leg::WithdrawUndone | Leg::WithdrawBackUndone
    )
}

#[cfg(test)]
mod tests;
