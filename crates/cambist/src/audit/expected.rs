//! What an order must have moved, derived from where it stands and from what the other services recorded, never from its
//! own bookings.
//!
//! The ledger may be one step ahead of the saga: it has booked what the saga has not heard yet. So an order in flight has
//! a few allowed effects, and must have exactly one of them. Where a service has recorded how its step ended, there is
//! no doubt left: services book before they record that.

use contracts::Amount;
use contracts::clients::Side;
use contracts::ledger::Owner;
use contracts::messages::Trade;
use wallet::domain::{OrderState, Saga, Stage, Terms};

use super::nets::Nets;

/// What a trade comes to in the books: as [`Trade`], without the price, which the books do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traded {
    pub(super) filled: Amount,
    pub(super) value: Amount,
    pub(super) fee: Amount,
    pub(super) returned: Amount,
}

impl From<&Trade> for Traded {
    fn from(trade: &Trade) -> Self {
        Self {
            filled: trade.filled,
            value: trade.value,
            fee: trade.fee,
            returned: trade.returned,
        }
    }
}

/// Whether a step of another service is booked, by that service's own record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Booked {
    /// Not asked for, ended without effect, or not far enough to be booked.
    #[default]
    No,
    /// Under way: it may be booked, or not yet.
    Perhaps,
    /// Ended with effect, which is recorded after the booking.
    Yes,
}

/// What the other services know about an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The trade as the exchanger recorded it; while it has not recorded an end, as the ledger has it.
    pub(super) traded: Option<Traded>,
    /// The crypto that was bought, to the user.
    pub(super) withdrawn: Booked,
    /// The same crypto, back to the hot wallet, because an operator wanted so.
    pub(super) taken_back: Booked,
    /// The trade, undone.
    pub(super) reversed: Booked,
}

/// The nets of the user and of the hot wallet that are allowed for an order in this state, the most backward first.
/// Empty for a state that presupposes a trade when there is none.
pub(super) fn allowed(saga: &Saga, user: &Owner, evidence: &Evidence) -> Vec<Nets> {
    let effects = Effects {
        user,
        terms: &saga.terms,
    };
    let nothing = Nets::default();
    let trade = saga.trade.as_ref().map(Traded::from);
    match saga.state {
        OrderState::Created => vec![nothing, effects.held()],
        OrderState::Exchanging
        | OrderState::Stuck {
            from: Stage::Exchanging,
        } => {
            vec![
                evidence
                    .traded
                    .map_or_else(|| effects.held(), |trade| effects.traded(&trade)),
            ]
        }
        OrderState::Withdrawing
        | OrderState::Stuck {
            from: Stage::Withdrawing,
        } => trade.map_or_else(Vec::new, |trade| {
            let traded = || vec![effects.traded(&trade)];
            match evidence.withdrawn {
                Booked::No => traded(),
                Booked::Perhaps => traded().into_iter().chain([effects.withdrawn(&trade)]).collect(),
                Booked::Yes => effects.withdrawn_for_good(&trade, evidence),
            }
        }),
        OrderState::Reversing | OrderState::Stuck { from: Stage::Reversing } => trade.map_or_else(Vec::new, |trade| {
            either(evidence.reversed, effects.traded(&trade), effects.reversed(&trade))
        }),
        // The wallet itself asks for the release: nobody but the ledger knows whether it is booked.
        OrderState::Releasing | OrderState::Stuck { from: Stage::Releasing } => {
            vec![
                trade.map_or_else(|| effects.held(), |trade| effects.reversed(&trade)),
                nothing,
            ]
        }
        OrderState::Completed => trade.map_or_else(Vec::new, |trade| match saga.terms.side {
            Side::Buy => effects.withdrawn_for_good(&trade, evidence),
            Side::Sell => vec![effects.traded(&trade)],
        }),
        // A failed order leaves its user, and the hot wallet, exactly where they were.
        OrderState::Failed => vec![nothing],
    }
}

fn either(booked: Booked, before: Nets, after: Nets) -> Vec<Nets> {
    match booked {
        Booked::No => vec![before],
        Booked::Perhaps => vec![before, after],
        Booked::Yes => vec![after],
    }
}

/// What has been moved since before the order, once it came so far.
struct Effects<'a> {
    user: &'a Owner,
    terms: &'a Terms,
}

impl Effects<'_> {
    /// The hold lies in the hot wallet.
    fn held(&self) -> Nets {
        let mut nets = Nets::default();
        add(&mut nets, self.user, self.terms.hold, -1);
        add(&mut nets, &Owner::HotWallet, self.terms.hold, 1);
        nets
    }

    /// The trade is booked: a seller has the proceeds, a buyer has paid and the crypto lies in the hot wallet.
    fn traded(&self, trade: &Traded) -> Nets {
        let mut nets = Nets::default();
        match self.terms.side {
            Side::Buy => {
                add(&mut nets, self.user, trade.value, -1);
                add(&mut nets, &Owner::HotWallet, trade.filled, 1);
            }
            Side::Sell => {
                add(&mut nets, self.user, trade.value, 1);
                add(&mut nets, self.user, trade.filled, -1);
            }
        }
        add(&mut nets, self.user, trade.fee, -1);
        nets
    }

    /// The crypto that was bought is the user's.
    fn withdrawn(&self, trade: &Traded) -> Nets {
        let mut nets = self.traded(trade);
        add(&mut nets, &Owner::HotWallet, trade.filled, -1);
        add(&mut nets, self.user, trade.filled, 1);
        nets
    }

    /// The crypto that was bought has left the user, and is in transit.
    fn sent_back(&self, trade: &Traded) -> Nets {
        let mut nets = self.withdrawn(trade);
        add(&mut nets, self.user, trade.filled, -1);
        nets
    }

    /// The crypto is the user's, and what an operator may have undone of that afterwards: the withdrawal, and then the trade.
    fn withdrawn_for_good(&self, trade: &Traded, evidence: &Evidence) -> Vec<Nets> {
        let withdrawn = self.withdrawn(trade);
        let taken_back = self.traded(trade);
        match evidence.taken_back {
            Booked::No => vec![withdrawn],
            Booked::Perhaps => vec![withdrawn, self.sent_back(trade), taken_back],
            Booked::Yes => either(evidence.reversed, taken_back, self.reversed(trade)),
        }
    }

    /// The trade is undone: what it had taken of the hold lies in the hot wallet again.
    fn reversed(&self, trade: &Traded) -> Nets {
        let mut nets = self.held();
        add(&mut nets, &Owner::HotWallet, trade.returned, -1);
        add(&mut nets, self.user, trade.returned, 1);
        nets
    }
}

fn add(nets: &mut Nets, owner: &Owner, amount: Amount, sign: i128) {
    nets.add(owner, amount.asset(), amount.units().saturating_mul(sign));
}

#[cfg(test)]
mod tests;
