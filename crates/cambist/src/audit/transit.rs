//! What customers have paid for transfers on the chain: each payment into transit has exactly one end once its transfer has
//! one, arrived or given back, and none before it was paid.

use balance::domain::PostedTransfer;
use bc_gateway::domain::movement::{Movement, Passage};
use bc_gateway::store::sqlite::audit::WithdrawalFact;
use contracts::ledger::{Leg, Posting};
use contracts::messages::StepResult;
use storage::commands::State;

use super::nets::Nets;

/// What of an order's bookings the records of its transfers do not explain, in the words of a finding.
pub(super) fn problems(booked: &[PostedTransfer], facts: &[WithdrawalFact]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut explained = Vec::new();
    for fact in facts.iter().filter(|fact| fact.movement.is_prepaid()) {
        let passed = Passed::of(booked, fact.movement);
        explained.extend(passed.movement.payment().transfers);
        explained.extend(passed.movement.undoing().transfers);
        if !passed.fits(fact) {
            let (step, state) = (fact.movement.step, fact.state.as_str());
            problems.push(format!("has a {step} that is {state} and is {passed} in the books"));
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
    let open = facts
        .iter()
        .filter(|fact| fact.movement.is_prepaid() && matches!(fact.state, State::Open | State::Dead));
    let of_open: Vec<PostedTransfer> = open
        .flat_map(|fact| {
            let movement = Passed::of(booked, fact.movement).movement;
            let legs = [movement.payment(), movement.arrival(), movement.undoing()];
            legs.map(|posting| booked.iter().find(|posted| is(posted, &posting)).cloned())
        })
        .flatten()
        .collect();
    Nets::of(&of_open)
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
        // As an earlier program booked it.
        let direct = Movement {
            passage: Passage::Direct,
            ..movement
        };
        let movement = if has(direct.arrival()) { direct } else { movement };
        Self {
            movement,
            paid: has(movement.payment()),
            arrived: has(movement.arrival()),
            undone: has(movement.undoing()),
        }
    }

    fn fits(&self, fact: &WithdrawalFact) -> bool {
        // What goes directly arrives by being paid, and may be given back all the same.
        let arrived = self.arrived && self.movement.passage == Passage::InTransit;
        let ends = u8::from(arrived) + u8::from(self.undone);
        match (fact.state, &fact.result) {
            (State::Done, Some(StepResult::Transferred { .. })) => self.paid && self.arrived && !self.undone,
            // Refused, cancelled, or nothing to take back.
            (State::Done | State::Failed, _) => self.paid == self.undone && !arrived,
            (State::Open | State::Dead, _) if fact.begun => ends == 0 || (self.paid && ends == 1),
            (State::Open | State::Dead, _) => !self.paid && !self.arrived && !self.undone,
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
