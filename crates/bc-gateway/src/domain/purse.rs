//! What of an address's coins may still be signed away.
//!
//! Of what the chain answers for the hot wallet, everything is taken off that is signed and that the answer does not account
//! for. Whether it does is told by nonces alone, which the chain confirms in order, and not by what this service has noticed
//! of it: an answer may be of any age, and a confirmation not noticed yet is not taken off twice. Customers' coins are this
//! service's own to count.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use contracts::money::MoneyError;
use contracts::{Amount, Asset};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An address's coins of one asset at one moment of the chain, and which of its transfers they are the rest of.
///
/// The two belong together: whoever knows what was signed for the address knows from them what is still to leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Funds {
    /// The confirmed coins.
    pub coins: Amount,
    /// All transfers of the address with smaller nonces have left `coins`. Those with this nonce and greater ones may
    /// have left them or not; where both are read from one block, they have not.
    pub nonce: u64,
}

/// The newest answer for each asset. What is signed with its nonce or a greater one is to be taken off it.
#[must_use]
pub fn newest(answers: impl IntoIterator<Item = Funds>) -> BTreeMap<Asset, Funds> {
    let mut newest: BTreeMap<Asset, Funds> = BTreeMap::new();
    for funds in answers {
        // Of two with the same nonce the smaller: too few coins cost a refusal, too many a nonce that waits.
        let age = |funds: &Funds| (funds.nonce, Reverse(funds.coins.units()));
        let asset = funds.coins.asset();
        if newest.get(&asset).is_none_or(|known| age(&funds) > age(known)) {
            newest.insert(asset, funds);
        }
    }
    newest
}

/// An address's coins that nothing has a claim on, by asset, for the length of a transaction.
#[derive(Debug, Default)]
pub struct Purse(BTreeMap<Asset, Amount>);

impl Purse {
    /// Puts coins in. What is below zero, because more is signed than there is, is owed.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn put(&mut self, coins: Amount) -> Result<(), MoneyError> {
        let free = self.0.entry(coins.asset()).or_insert(Amount::zero(coins.asset()));
        *free = free.checked_add(coins)?;
        Ok(())
    }

    /// Takes `wanted` out, if it is there.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn pay(&mut self, wanted: Amount) -> Result<bool, MoneyError> {
        let Some(free) = self.0.get_mut(&wanted.asset()) else {
            return Ok(false);
        };
        let left = free.checked_sub(wanted)?;
        if left.is_negative() {
            return Ok(false);
        }
        *free = left;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn btc(units: i128) -> Amount {
        Amount::new(units, Asset::BTC)
    }

    #[test]
    fn the_answer_with_the_greatest_nonce_counts_and_of_two_the_smaller() {
        let funds = |coins, nonce| Funds { coins, nonce };
        let eth = Amount::new(7, Asset::ETH);
        let answers = [
            funds(btc(9), 3),
            funds(btc(5), 4),
            funds(btc(4), 4),
            funds(btc(6), 4),
            funds(eth, 1),
        ];
        let newest: Vec<_> = newest(answers).into_values().collect();
        assert_eq!(newest.len(), 2);
        assert!(newest.contains(&funds(btc(4), 4)) && newest.contains(&funds(eth, 1)));
    }

    #[test]
    fn what_is_in_a_purse_is_paid_once_and_what_is_owed_is_made_up_for_first() {
        let mut purse = Purse::default();
        assert_eq!(purse.pay(btc(1)), Ok(false), "there is nothing in it");
        purse.put(btc(-2)).unwrap();
        purse.put(btc(5)).unwrap();
        assert_eq!(purse.pay(btc(4)), Ok(false));
        assert_eq!(purse.pay(btc(3)), Ok(true));
        assert_eq!(purse.pay(btc(1)), Ok(false));
        assert_eq!(purse.pay(Amount::new(1, Asset::ETH)), Ok(false));
    }
}
