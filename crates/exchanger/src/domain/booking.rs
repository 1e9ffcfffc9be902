//! A trade as linked transfers: the one place where fills become money in the books.
//!
//! # Why every leg is a whole number
//!
//! What a trade is worth is seldom a whole number of cents. The user's side is rounded against them once (a cost up,
//! proceeds down; see `contracts::money`), the venue's side the other way, and the unit that may lie between them is a leg
//! of its own, to `rounding`. So every leg is whole, all of them add up, and no residue is hidden in another amount.
//!
//! # What it keeps true
//!
//! - after a trade the hot wallet has nothing of the hold any more, and holds exactly the crypto that is to be withdrawn;
//! - after a reversal it has none of that crypto, and exactly the fiat that `release` gives back: the gain or loss of
//!   trading back is the treasury's;
//! - the same fills make the same posting, whoever books them and however often.

use contracts::clients::{ExchangeCommand, Side};
use contracts::ledger::{Leg, Origin, Owner, Posting, Transfer, TransferId};
use contracts::messages::{StepResult, Trade};
use contracts::money::average_price;
use contracts::{Amount, Rounding};

use super::progress::Progress;
use super::totals::{Totals, Violation};
use crate::ports::VenueName;

/// Who causes these transfers, as the ledger notes it.
pub const ACTOR: &str = "exchanger";

/// What a trade does to the books, and what the saga hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// The transfers, all or none.
    pub posting: Posting,
    /// The result, true once they are booked.
    pub result: StepResult,
}

/// The booking of what a command's orders filled.
///
/// # Errors
/// [`Violation`] for fills that cannot be booked: nothing filled, or amounts beyond 128 bits.
pub fn book(command: &ExchangeCommand, progress: &Progress, venue: &VenueName) -> Result<Booking, Violation> {
    let totals = Totals::of(&progress.fills, command.asset, command.currency)?;
    let mut legs = Legs::new(command, venue);
    match (command.compensate, command.side) {
        (false, Side::Buy) => legs.buy(command, totals)?,
        (false, Side::Sell) => legs.sell(command, totals)?,
        (true, _) => {
            let owed = progress.owed.ok_or(Violation::IncompleteRecord)?;
            legs.reverse(totals, owed)?;
            return Ok(Booking {
                posting: legs.posting,
                result: StepResult::Reversed,
            });
        }
    }
    let fee = totals.charged(command.side)?;
    let (value, returned, rounding) = match command.side {
        Side::Buy => {
            let returned = command.amount.checked_sub(totals.ceiling)?.checked_sub(fee)?;
            (totals.ceiling, returned, Rounding::Up)
        }
        Side::Sell => (totals.floor, command.amount.checked_sub(totals.filled)?, Rounding::Down),
    };
    let fills = progress.fills.iter().map(|fill| (fill.quantity, fill.price));
    Ok(Booking {
        posting: legs.posting,
        result: StepResult::Traded(Trade {
            filled: totals.filled,
            value,
            fee,
            returned,
            price: average_price(fills, rounding)?,
        }),
    })
}

/// The transfers of one command, as they come together.
struct Legs {
    origin: Origin,
    /// What each reason ends with.
    order: String,
    venue: Owner,
    user: Owner,
    posting: Posting,
}

impl Legs {
    fn new(command: &ExchangeCommand, venue: &VenueName) -> Self {
        Self {
            origin: Origin::Order(command.order_id),
            order: format!(" (order {})", command.order_id),
            venue: venue.account().clone(),
            user: Owner::wallet(command.acquirer_user_id),
            posting: Posting { transfers: Vec::new() },
        }
    }

    /// Nothing to move is no leg.
    fn add(&mut self, leg: Leg, debit: Owner, credit: Owner, amount: Amount, what: &str) {
        if amount.is_zero() {
            return;
        }
        self.posting.transfers.push(Transfer {
            id: TransferId {
                origin: self.origin,
                leg,
            },
            debit,
            credit,
            amount,
            reason: [what, &self.order].concat(),
            actor: ACTOR.to_owned(),
        });
    }

    /// The hold lies in the hot wallet and leaves it completely: the exact cost (rounded down) to the venue, the residue to
    /// `rounding`, the fee to `fees`, the rest to the user.
    fn buy(&mut self, command: &ExchangeCommand, totals: Totals) -> Result<(), Violation> {
        let (hot, venue, user) = (Owner::HotWallet, self.venue.clone(), self.user.clone());
        let unspent = command.amount.checked_sub(totals.cost()?)?;
        self.add(
            Leg::TradePay,
            hot.clone(),
            venue.clone(),
            totals.floor,
            "paid to the venue",
        );
        self.add(
            Leg::TradeRounding,
            hot.clone(),
            Owner::Rounding,
            totals.residue()?,
            "rounding",
        );
        self.add(Leg::TradeFee, hot.clone(), Owner::Fees, totals.fee, "fee");
        self.add(
            Leg::TradeReceive,
            venue,
            hot.clone(),
            totals.filled,
            "bought at the venue",
        );
        self.add(Leg::TradeReturn, hot, user, unspent, "not spent");
        Ok(())
    }

    /// The hold lies in the hot wallet and leaves it completely: what was sold to the venue, the rest to the user. The
    /// venue pays what it was worth (rounded up): the proceeds less the fee to the user, the fee, the residue.
    fn sell(&mut self, command: &ExchangeCommand, totals: Totals) -> Result<(), Violation> {
        let (hot, venue, user) = (Owner::HotWallet, self.venue.clone(), self.user.clone());
        let fee = totals.charged(Side::Sell)?;
        let net = totals.floor.checked_sub(fee)?;
        let unsold = command.amount.checked_sub(totals.filled)?;
        self.add(
            Leg::TradePay,
            hot.clone(),
            venue.clone(),
            totals.filled,
            "sold at the venue",
        );
        self.add(Leg::TradeReceive, venue.clone(), user.clone(), net, "paid by the venue");
        self.add(Leg::TradeFee, venue.clone(), Owner::Fees, fee, "fee");
        self.add(
            Leg::TradeRounding,
            venue,
            Owner::Rounding,
            totals.residue()?,
            "rounding",
        );
        self.add(Leg::TradeReturn, hot, user, unsold, "not sold");
        Ok(())
    }

    /// The crypto leaves the hot wallet, and `owed` comes back into it: what selling it brought, and the treasury makes up
    /// the difference or keeps the gain.
    fn reverse(&mut self, totals: Totals, owed: Amount) -> Result<(), Violation> {
        let (hot, venue) = (Owner::HotWallet, self.venue.clone());
        let fee = totals.charged(Side::Sell)?;
        let net = totals.floor.checked_sub(fee)?;
        self.add(
            Leg::ReversePay,
            hot.clone(),
            venue.clone(),
            totals.filled,
            "sold back to the venue",
        );
        self.add(
            Leg::ReverseReceive,
            venue.clone(),
            hot.clone(),
            net,
            "paid by the venue",
        );
        self.add(Leg::ReverseFee, venue.clone(), Owner::Fees, fee, "fee of selling back");
        self.add(
            Leg::ReverseRounding,
            venue,
            Owner::Rounding,
            totals.residue()?,
            "rounding of selling back",
        );
        let loss = owed.checked_sub(net)?;
        if loss.is_negative() {
            let gain = loss.checked_neg()?;
            self.add(Leg::ReverseResult, hot, Owner::Treasury, gain, "gain of selling back");
        } else {
            self.add(Leg::ReverseResult, Owner::Treasury, hot, loss, "loss of selling back");
        }
        Ok(())
    }
}
