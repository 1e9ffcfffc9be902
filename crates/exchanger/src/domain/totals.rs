//! Fills added up and rounded once, and checked against what was ordered.
//!
//! What it keeps true: nothing is booked that the venue had no right to execute. A venue that bought for more than the
//! ceiling or sold more than was asked is wrong or misunderstood, and only people can tell which.

use contracts::clients::Side;
use contracts::money::{MoneyError, value_of};
use contracts::{Amount, Asset, Rounding};
use thiserror::Error;

use crate::ports::{Fill, Limit};

/// Why a command cannot be carried on with. None of these is ever the user's doing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// A fill of nothing, or of less.
    #[error("the venue reports a fill of {0:?}")]
    EmptyFill(Amount),
    /// A fee below zero.
    #[error("the venue reports a fee of {0:?}")]
    NegativeFee(Amount),
    /// A fill or a fee in another asset than the order's.
    #[error("the venue reports {found} where the order is about {expected}")]
    ForeignAsset {
        /// What the order is about.
        expected: Asset,
        /// What the venue reports.
        found: Asset,
    },
    /// A buy cost more than its ceiling.
    #[error("the venue spent {spent:?} where {ceiling:?} was the ceiling")]
    Overspent {
        /// Cost and fees, rounded up.
        spent: Amount,
        /// What was allowed.
        ceiling: Amount,
    },
    /// More was sold than was asked for.
    #[error("the venue sold {sold:?} where {asked:?} was asked for")]
    Oversold {
        /// What was executed.
        sold: Amount,
        /// What was ordered.
        asked: Amount,
    },
    /// A sell's fee is more than it brought.
    #[error("the venue charged {fee:?} for a sell that brought {proceeds:?}")]
    FeeAboveProceeds {
        /// The fees.
        fee: Amount,
        /// The proceeds, rounded up.
        proceeds: Amount,
    },
    /// The command's record lacks an attempt, or what a reversal owes.
    #[error("the command's record is incomplete")]
    IncompleteRecord,
    /// The amounts are beyond what can be computed with.
    #[error("the venue's fills cannot be added up: {0}")]
    Money(#[from] MoneyError),
}

/// What fills come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Crypto bought or sold.
    pub filled: Amount,
    /// The fills' value in fiat, rounded down.
    pub floor: Amount,
    /// The fills' value in fiat, rounded up: `floor`, or one unit more.
    pub ceiling: Amount,
    /// The fees the venue reports.
    pub fee: Amount,
}

impl Totals {
    /// Adds fills up: exactly, then rounds once.
    ///
    /// # Errors
    /// [`Violation`] for fills that make no sense, whatever was ordered.
    pub fn of(fills: &[Fill], base: Asset, quote: Asset) -> Result<Self, Violation> {
        let mut filled = Amount::zero(base);
        let mut fee = Amount::zero(quote);
        for fill in fills {
            expect_asset(base, fill.quantity)?;
            expect_asset(quote, fill.fee)?;
            if !fill.quantity.is_positive() {
                return Err(Violation::EmptyFill(fill.quantity));
            }
            if fill.fee.is_negative() {
                return Err(Violation::NegativeFee(fill.fee));
            }
            filled = filled.checked_add(fill.quantity)?;
            fee = fee.checked_add(fill.fee)?;
        }
        let value = |rounding| value_of(fills.iter().map(|fill| (fill.quantity, fill.price)), quote, rounding);
        Ok(Self {
            filled,
            floor: value(Rounding::Down)?,
            ceiling: value(Rounding::Up)?,
            fee,
        })
    }

    /// What lies between the two roundings: nothing or one unit.
    ///
    /// # Errors
    /// [`Violation::Money`], which cannot happen for what [`Totals::of`] made.
    pub fn residue(&self) -> Result<Amount, Violation> {
        Ok(self.ceiling.checked_sub(self.floor)?)
    }

    /// What a buyer pays, fee included: rounded up.
    ///
    /// # Errors
    /// [`Violation::Money`] beyond 128 bits.
    pub fn cost(&self) -> Result<Amount, Violation> {
        Ok(self.ceiling.checked_add(self.fee)?)
    }

    /// What a seller is charged: the fee, but never more than the proceeds that were rounded down against them.
    ///
    /// # Errors
    /// [`Violation::Money`], which cannot happen for what [`Totals::of`] made.
    pub fn charged(&self, side: Side) -> Result<Amount, Violation> {
        match side {
            Side::Buy => Ok(self.fee),
            Side::Sell => Ok(self.fee.min(self.floor)?),
        }
    }
}

/// Adds fills up and makes sure that they stay within what was ordered.
///
/// # Errors
/// [`Violation`].
pub fn check(fills: &[Fill], limit: Limit, base: Asset, quote: Asset) -> Result<Totals, Violation> {
    let totals = Totals::of(fills, base, quote)?;
    match limit {
        Limit::Spend(ceiling) => {
            let spent = totals.cost()?;
            if spent.compare(ceiling)?.is_gt() {
                return Err(Violation::Overspent { spent, ceiling });
            }
        }
        Limit::Quantity(asked) => {
            if totals.filled.compare(asked)?.is_gt() {
                return Err(Violation::Oversold {
                    sold: totals.filled,
                    asked,
                });
            }
            if totals.fee.compare(totals.ceiling)?.is_gt() {
                return Err(Violation::FeeAboveProceeds {
                    fee: totals.fee,
                    proceeds: totals.ceiling,
                });
            }
        }
    }
    Ok(totals)
}

fn expect_asset(expected: Asset, amount: Amount) -> Result<(), Violation> {
    if amount.asset() == expected {
        Ok(())
    } else {
        Err(Violation::ForeignAsset {
            expected,
            found: amount.asset(),
        })
    }
}
