//! What a command moves, and how the ledger hears of it.
//!
//! What it keeps true: nobody's coins leave before their balance has paid for them, and nobody's balance grows before
//! the coins are there. The hot wallet's balance is paid by the trade that came before, so its transfers are booked
//! when they are confirmed; a customer could spend theirs at any moment, so a customer's are booked before they are
//! signed: what is signed must be sent some day, and what is not can still be given up.

use contracts::clients::WithdrawCommand;
use contracts::ledger::{Leg, Origin, Owner, Posting, Transfer, TransferId};
use contracts::messages::Step;
use contracts::{Amount, AssetKind, OrderId, UserId};

use super::transfer::Purpose;

/// The ledger's name for this service.
pub const ACTOR: &str = "bc_gateway";

/// When a movement is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booking {
    /// Before anything is signed.
    BeforeSigning,
    /// Once the chain has confirmed them.
    OnConfirmation,
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
}

impl Movement {
    /// What `command` asks for: the withdrawal, or the way back.
    #[must_use]
    pub const fn of(command: &WithdrawCommand) -> Self {
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
        }
    }

    /// When it is booked.
    #[must_use]
    pub fn booking(&self) -> Booking {
        if self.from == UserId::HOT_WALLET {
            Booking::OnConfirmation
        } else {
            Booking::BeforeSigning
        }
    }

    /// What it is for, on the chain.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        Purpose::Order {
            order_id: self.order_id,
            step: self.step,
        }
    }

    /// Its booking. The same for ever: the ledger compares the content.
    #[must_use]
    pub fn posting(&self) -> Posting {
        let (leg, reason) = if self.step == Step::WithdrawBack {
            (Leg::WithdrawBack, "withdrawal taken back")
        } else {
            (Leg::Withdraw, "withdrawal")
        };
        Posting::single(self.transfer(leg, self.from, self.to, reason))
    }

    /// What undoes its booking, under a name of its own.
    #[must_use]
    pub fn undoing(&self) -> Posting {
        Posting::single(self.transfer(Leg::WithdrawUndone, self.to, self.from, "withdrawal given up"))
    }

    /// What makes its booking impossible, where it is not booked: both at once, so that nothing has changed, and whoever
    /// books it late books what is booked already. In this order it needs nothing from the side that could not pay.
    #[must_use]
    pub fn precluding(&self) -> Posting {
        let mut transfers = self.undoing().transfers;
        transfers.extend(self.posting().transfers);
        Posting { transfers }
    }

    fn transfer(&self, leg: Leg, debit: UserId, credit: UserId, reason: &str) -> Transfer {
        Transfer {
            id: TransferId {
                origin: Origin::Order(self.order_id),
                leg,
            },
            debit: Owner::wallet(debit),
            credit: Owner::wallet(credit),
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
