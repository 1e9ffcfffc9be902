//! The house's first capital: booked once, from `treasury` to the hot wallet, and never changed by calling again.

use contracts::ledger::{Leg, Origin, Owner, Posting, Refusal, Transfer, TransferId};
use contracts::{Amount, AssetKind};

use super::posting::invalid;

/// What the hot wallet starts with. An amount of zero is not booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capital {
    /// In a currency.
    pub fiat: Amount,
    /// In a coin.
    pub crypto: Amount,
}

/// What became of a funding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Funding {
    /// Booked by this call.
    Booked,
    /// It was booked before, with these amounts.
    Before,
    /// It was booked before with other amounts; those stand. More capital is an adjustment of user 1's wallet.
    BeforeOtherwise {
        /// What was booked then, one amount for each asset.
        booked: Vec<Amount>,
    },
    /// Both amounts are zero: there is nothing to book.
    Nothing,
    /// Not booked; nothing changed.
    Refused(Refusal),
}

impl Capital {
    /// The posting that books it; `None` when there is nothing to book.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a negative amount or an asset of the wrong kind.
    pub fn posting(&self) -> Result<Option<Posting>, Refusal> {
        let wanted = [
            (self.fiat, AssetKind::Fiat, Leg::FundFiat),
            (self.crypto, AssetKind::Crypto, Leg::FundCrypto),
        ];
        let mut transfers = Vec::with_capacity(2);
        for (amount, kind, leg) in wanted {
            if amount.asset().kind() != kind {
                return Err(invalid("a currency is no coin, and a coin no currency"));
            }
            if amount.is_negative() {
                return Err(invalid("capital is not negative"));
            }
            if amount.is_positive() {
                transfers.push(transfer(leg, amount));
            }
        }
        Ok((!transfers.is_empty()).then_some(Posting { transfers }))
    }

    /// Whether these amounts are the ones that were booked.
    #[must_use]
    pub fn is_what_was(&self, booked: &[Amount]) -> bool {
        let wanted = [self.fiat, self.crypto];
        let wanted = || wanted.iter().filter(|amount| amount.is_positive());
        wanted().count() == booked.len() && wanted().all(|amount| booked.contains(amount))
    }
}

fn transfer(leg: Leg, amount: Amount) -> Transfer {
    Transfer {
        id: TransferId {
            origin: Origin::Funding,
            leg,
        },
        debit: Owner::Treasury,
        credit: Owner::HotWallet,
        amount,
        reason: "the house's first capital".to_owned(),
        actor: "balance".to_owned(),
    }
}
