//! What a command moves, and how the ledger hears of it.
//!
//! What it keeps true: nobody's coins leave before their balance has paid for them, and nobody's balance grows before
//! the coins are there. The hot wallet's balance is paid by the trade that came before, so its transfers are booked
//! when they are confirmed, in one. A customer could spend theirs at any moment, so a customer pays before anything is
//! signed: into transit, from where it goes to the receiver when the coins have arrived, or back when they are given up.
//! The account in transit may be below zero, so neither of the two can be refused for lack of funds.

use contracts::clients::WithdrawCommand;
use contracts::ledger::{Leg, Origin, Owner, Posting, Transfer, TransferId};
use contracts::messages::Step;
use contracts::{Amount, AssetKind, OrderId, UserId};

use super::progress::Phase;
use super::transfer::Purpose;

/// The ledger's name for this service.
pub const ACTOR: &str = "bc_gateway";

/// How a movement goes through the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// From payer to receiver at once.
    Direct,
    /// From the payer into transit before anything is signed, and from there to its end.
    InTransit,
}

/// Coins of one order from one wallet to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    /// The order.
    pub order_id: OrderId,
    /// [`Step::Withdraw`], or [`Step::WithdrawBack`] for its opposite.
    pub step: Step,
    /// Whose address sends.
    pub from: UserId,
    /// Whose address receives.
    pub to: UserId,
    /// How much; greater than zero.
    pub amount: Amount,
    /// How it is booked.
    pub passage: Passage,
}

impl Movement {
    /// What `command` asks for: the withdrawal, or the way back.
    #[must_use]
    pub fn of(command: &WithdrawCommand) -> Self {
        let (step, from, to) = if command.compensate {
            (Step::WithdrawBack, command.acquirer_user_id, command.source_user_id)
        } else {
            (Step::Withdraw, command.source_user_id, command.acquirer_user_id)
        };
        Self {
            order_id: command.order_id,
            step,
            from,
            to,
            amount: command.amount,
            passage: if from == UserId::HOT_WALLET {
                Passage::Direct
            } else {
                Passage::InTransit
            },
        }
    }

    /// As it was begun, if it was. Earlier programs had a customer pay the receiver directly, and reserved nothing.
    #[must_use]
    pub fn as_begun(self, phase: Phase, reserved: bool) -> Self {
        let direct = self.is_prepaid() && phase != Phase::Unsigned && !reserved;
        let passage = if direct { Passage::Direct } else { self.passage };
        Self { passage, ..self }
    }

    /// Whether a customer pays, before anything is signed.
    #[must_use]
    pub fn is_prepaid(&self) -> bool {
        self.from != UserId::HOT_WALLET
    }

    /// What it is for, on the chain.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        Purpose::Order {
            order_id: self.order_id,
            step: self.step,
        }
    }

    /// The booking once the coins have arrived. The same for ever: the ledger compares the content.
    #[must_use]
    pub fn arrival(&self) -> Posting {
        let (leg, reason) = self.by_step(
            (Leg::Withdraw, "withdrawal"),
            (Leg::WithdrawBack, "withdrawal taken back"),
        );
        let debit = match self.passage {
            Passage::Direct => Owner::wallet(self.from),
            Passage::InTransit => Owner::ExternalChain,
        };
        Posting::single(self.transfer(leg, debit, Owner::wallet(self.to), reason))
    }

    /// What the payer pays; of one that goes directly, the same as its arrival.
    #[must_use]
    pub fn payment(&self) -> Posting {
        let (leg, reason) = self.by_step(
            (Leg::WithdrawSent, "withdrawal sent"),
            (Leg::WithdrawBackSent, "withdrawal sent back"),
        );
        match self.passage {
            Passage::Direct => self.arrival(),
            Passage::InTransit => {
                Posting::single(self.transfer(leg, Owner::wallet(self.from), Owner::ExternalChain, reason))
            }
        }
    }

    /// What gives the payment back, under a name of its own.
    #[must_use]
    pub fn undoing(&self) -> Posting {
        let (leg, debit) = match self.passage {
            Passage::Direct => (Leg::WithdrawUndone, Owner::wallet(self.to)),
            Passage::InTransit => (
                self.by_step(Leg::WithdrawUndone, Leg::WithdrawBackUndone),
                Owner::ExternalChain,
            ),
        };
        Posting::single(self.transfer(leg, debit, Owner::wallet(self.from), "withdrawal given up"))
    }

    /// What makes the payment impossible, where it is not booked: both at once, so that nothing has changed, and whoever
    /// books it late books what is booked already. In this order it needs nothing from a payer who could not pay.
    #[must_use]
    pub fn precluding(&self) -> Posting {
        let mut transfers = self.undoing().transfers;
        transfers.extend(self.payment().transfers);
        Posting { transfers }
    }

    /// The same in the other order, for one that goes directly: where its receiver could not give it back first, having
    /// nothing, its payer pays first.
    #[must_use]
    pub fn precluding_by_payer(&self) -> Posting {
        let mut transfers = self.payment().transfers;
        transfers.extend(self.undoing().transfers);
        Posting { transfers }
    }

    fn by_step<T>(&self, forth: T, back: T) -> T {
        if self.step == Step::WithdrawBack { back } else { forth }
    }

    fn transfer(&self, leg: Leg, debit: Owner, credit: Owner, reason: &str) -> Transfer {
        Transfer {
            id: TransferId {
                origin: Origin::Order(self.order_id),
                leg,
            },
            debit,
            credit,
            amount: self.amount,
            reason: reason.to_owned(),
            actor: ACTOR.to_owned(),
        }
    }
}

/// Why a command makes no sense; `None` when it does.
#[must_use]
pub fn objection(command: &WithdrawCommand) -> Option<&'static str> {
    if !command.amount.is_positive() {
        Some("the amount must be greater than zero")
    } else if command.amount.asset().kind() != AssetKind::Crypto {
        Some("only crypto can be sent on a blockchain")
    } else if command.source_user_id == command.acquirer_user_id {
        Some("source and destination are the same wallet")
    } else {
        None
    }
}
