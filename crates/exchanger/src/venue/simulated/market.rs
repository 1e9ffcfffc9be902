//! The simulated market: one price, a spread, a fee, and as much of everything as anybody wants. Pure.

use contracts::clients::Side;
use contracts::money::{MoneyError, quantity_for, share_of, value_of};
use contracts::{Amount, BasisPoints, Price, Rounding};

use crate::ports::{Fill, Limit, VenueOrder};

/// The most units by which rounding can lift cost and fee over a budget that covers them exactly.
///
/// Cost and fee are rounded up each, by less than a unit, and the fee also on the rounded part of the cost: less than
/// three units together.
const ROUNDING_UNITS: i128 = 3;

/// What the venue trades at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Market {
    /// Fiat per unit of crypto, in the middle.
    pub price: Price,
    /// How far buyers pay above it, and sellers get below it.
    pub spread: BasisPoints,
    /// What the venue charges of an order's value, rounded up once.
    pub fee: BasisPoints,
}

impl Default for Market {
    /// 10 fiat per unit of crypto, no spread, no fee.
    fn default() -> Self {
        Self {
            price: Price::from_units(10, 0).expect("10 is positive and has no decimals"),
            spread: BasisPoints::ZERO,
            fee: BasisPoints::ZERO,
        }
    }
}

impl Market {
    /// The market after its price has moved by this many basis points, −10,000 to 10,000.
    ///
    /// # Errors
    /// A price that does not fit, or moved to nothing.
    pub(super) fn moved(self, by: i64) -> Result<Self, MoneyError> {
        if by == 0 {
            return Ok(self);
        }
        let points = u32::try_from(by.unsigned_abs()).unwrap_or(u32::MAX);
        let distance = BasisPoints::try_new(points).unwrap_or(BasisPoints::MAX);
        let direction = if by < 0 { Rounding::Down } else { Rounding::Up };
        Ok(Self {
            price: self.price.with_spread(distance, direction)?,
            ..self
        })
    }

    /// Executes `share` of the most that the order allows. No fills when that is less than one atomic unit.
    ///
    /// # Errors
    /// Why the venue refuses the order.
    pub(super) fn execute(&self, order: &VenueOrder, share: BasisPoints) -> Result<Vec<Fill>, String> {
        let fill = match (order.side, order.limit) {
            (Side::Buy, Limit::Spend(ceiling)) => self.buy(order, ceiling, share),
            (Side::Sell, Limit::Quantity(quantity)) => self.sell(order, quantity, share),
            (Side::Buy, Limit::Quantity(_)) => return Err("a buy is limited by what it may spend".to_owned()),
            (Side::Sell, Limit::Spend(_)) => return Err("a sell is limited by its quantity".to_owned()),
        };
        fill.map(|fill| fill.into_iter().collect())
            .map_err(|error| error.to_string())
    }

    fn buy(&self, order: &VenueOrder, ceiling: Amount, share: BasisPoints) -> Result<Option<Fill>, MoneyError> {
        let ask = self.price.with_spread(self.spread, Rounding::Up)?;
        let with_fee = ask.with_spread(self.fee, Rounding::Up)?;
        for spared in 0..=ROUNDING_UNITS {
            let budget = ceiling.checked_sub(Amount::new(spared, ceiling.asset()))?;
            if !budget.is_positive() {
                break;
            }
            let most = quantity_for(budget, with_fee, order.base, Rounding::Down)?;
            let quantity = share_of(most, share, Rounding::Down)?;
            let value = value_of([(quantity, ask)], order.quote, Rounding::Up)?;
            let fee = share_of(value, self.fee, Rounding::Up)?;
            if value.checked_add(fee)?.compare(ceiling)?.is_le() {
                let fill = Fill {
                    quantity,
                    price: ask,
                    fee,
                };
                return Ok(quantity.is_positive().then_some(fill));
            }
        }
        Ok(None)
    }

    fn sell(&self, order: &VenueOrder, most: Amount, share: BasisPoints) -> Result<Option<Fill>, MoneyError> {
        let bid = self.price.with_spread(self.spread, Rounding::Down)?;
        let quantity = share_of(most, share, Rounding::Down)?;
        let proceeds = value_of([(quantity, bid)], order.quote, Rounding::Down)?;
        let fill = Fill {
            quantity,
            price: bid,
            fee: share_of(proceeds, self.fee, Rounding::Up)?,
        };
        Ok(quantity.is_positive().then_some(fill))
    }
}
