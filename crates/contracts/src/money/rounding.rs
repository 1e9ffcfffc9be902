//! The only place where money is rounded.
//!
//! # Why the direction favours the house
//!
//! A trade's exact value is seldom a whole number of cents. Whichever way the fraction goes, somebody gains less than one
//! unit by it. If it could go to the customer, a customer could place a million orders of one satoshi and be paid the
//! fraction a million times, out of money that belongs to others. So what a customer pays (a cost, a fee) is rounded
//! [`Rounding::Up`], what a customer gets (proceeds, a quantity of coins) [`Rounding::Down`]. The customer loses less than
//! one atomic unit, once per trade, and the residue is not kept silently: it is booked to the `rounding` account.
//!
//! # Why once
//!
//! Rounding every fill of an order would lose up to a unit per fill, and make the result depend on how the venue cut the
//! order up. [`value_of`] therefore adds the fills exactly and rounds the sum.
//!
//! # Why nothing overflows silently
//!
//! Amounts and mantissas are at most 128 bits, each power of ten that is multiplied at most 60 (two of them 120). A
//! term is at most 128 + 128 + 60 bits, a sum of 2^64 of them at 380, brought to the quote's scale 440: within 512. The
//! operations are checked all the same, and what does not fit the result is [`MoneyError::Overflow`].

use ruint::aliases::U512;

use super::{Amount, Asset, BasisPoints, MoneyError, Price};

/// The direction in which an inexact result is rounded. Defined for values of at least zero only, because for a
/// negative one "up" would favour the other side; the functions here refuse those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// Away from zero: for what a customer pays.
    Up,
    /// Towards zero: for what a customer gets.
    Down,
}

/// `numerator / denominator` as a whole number: exact if it is one, else the next one in the direction.
///
/// **The** function that rounds; every other one calls it, once.
pub(super) fn divide(numerator: U512, denominator: U512, rounding: Rounding) -> Result<U512, MoneyError> {
    let quotient = numerator.checked_div(denominator).ok_or(MoneyError::Overflow)?;
    let remainder = numerator.checked_rem(denominator).ok_or(MoneyError::Overflow)?;
    match rounding {
        Rounding::Up if !remainder.is_zero() => quotient.checked_add(U512::ONE).ok_or(MoneyError::Overflow),
        Rounding::Up | Rounding::Down => Ok(quotient),
    }
}

/// The value of fills in `quote`: Σ quantity × price, added exactly and rounded once.
///
/// Up for what a buyer pays, Down for what a seller gets. No fills are worth zero.
///
/// # Errors
///
/// [`MoneyError::Negative`] for a negative quantity, [`MoneyError::AssetMismatch`] if the quantities are not all of one
/// asset, [`MoneyError::Overflow`].
pub fn value_of(
    fills: impl IntoIterator<Item = (Amount, Price)>,
    quote: Asset,
    rounding: Rounding,
) -> Result<Amount, MoneyError> {
    let mut base: Option<Asset> = None;
    let mut sum = U512::ZERO;
    for (quantity, price) in fills {
        let expected = *base.get_or_insert(quantity.asset());
        if quantity.asset() != expected {
            return Err(MoneyError::AssetMismatch {
                left: expected,
                right: quantity.asset(),
            });
        }
        // In units of 10^-(base scale + 18), whatever the price's own scale.
        let term = product(&[
            magnitude(quantity)?,
            price.mantissa(),
            power_of_ten(Asset::MAX_SCALE - price.scale()),
        ])?;
        sum = sum.checked_add(term).ok_or(MoneyError::Overflow)?;
    }
    let base_scale = base.map_or(0, Asset::scale);
    let numerator = sum
        .checked_mul(U512::from(power_of_ten(quote.scale())))
        .ok_or(MoneyError::Overflow)?;
    amount(
        divide(
            numerator,
            U512::from(power_of_ten(base_scale + Asset::MAX_SCALE)),
            rounding,
        )?,
        quote,
    )
}

/// The price that all fills together amount to: Σ quantity × price / Σ quantity, rounded once.
///
/// Exact when all fills have one price. Otherwise to 18 decimals, or as many as can be held. For people and reports: what
/// is booked is [`value_of`], never this price times a quantity.
///
/// # Errors
///
/// [`MoneyError::Negative`] for a negative quantity, [`MoneyError::AssetMismatch`] if the quantities are not all of one
/// asset, [`MoneyError::PriceNotPositive`] when the quantities add up to nothing, [`MoneyError::Overflow`].
pub fn average_price(
    fills: impl IntoIterator<Item = (Amount, Price)>,
    rounding: Rounding,
) -> Result<Price, MoneyError> {
    let mut filled: Option<Amount> = None;
    let mut sum = U512::ZERO;
    for (quantity, price) in fills {
        // As in `value_of`; the quantity's own scale cancels out below.
        let term = product(&[
            magnitude(quantity)?,
            price.mantissa(),
            power_of_ten(Asset::MAX_SCALE - price.scale()),
        ])?;
        sum = sum.checked_add(term).ok_or(MoneyError::Overflow)?;
        filled = Some(filled.map_or(Ok(quantity), |so_far| so_far.checked_add(quantity))?);
    }
    let filled = filled
        .filter(|filled| filled.is_positive())
        .ok_or(MoneyError::PriceNotPositive)?;
    for dropped in 0..=Asset::MAX_SCALE {
        let divisor = product(&[magnitude(filled)?, power_of_ten(dropped)])?;
        if let Ok(mantissa) = u128::try_from(divide(sum, divisor, rounding)?) {
            return Price::from_units(mantissa, Asset::MAX_SCALE - dropped).map_err(|_| MoneyError::PriceNotPositive);
        }
    }
    Err(MoneyError::Overflow)
}

/// How much of `base` a value buys at a price: value / price, rounded once.
///
/// Down for what a buyer gets for a budget: the quantity's [`value_of`] then never exceeds the budget.
///
/// # Errors
///
/// [`MoneyError::Negative`] for a negative value, [`MoneyError::Overflow`].
pub fn quantity_for(value: Amount, price: Price, base: Asset, rounding: Rounding) -> Result<Amount, MoneyError> {
    let numerator = product(&[
        magnitude(value)?,
        power_of_ten(price.scale()),
        power_of_ten(base.scale()),
    ])?;
    let denominator = product(&[price.mantissa(), power_of_ten(value.asset().scale())])?;
    amount(divide(numerator, denominator, rounding)?, base)
}

/// A share of an amount, rounded once. Up for a fee; never more than the amount itself.
///
/// # Errors
///
/// [`MoneyError::Negative`] for a negative amount.
pub fn share_of(whole: Amount, share: BasisPoints, rounding: Rounding) -> Result<Amount, MoneyError> {
    let numerator = product(&[magnitude(whole)?, u128::from(share.get())])?;
    amount(
        divide(numerator, U512::from(BasisPoints::MAX.get()), rounding)?,
        whole.asset(),
    )
}

/// `10^exponent`, for exponents up to the sum of two scales.
pub(super) const fn power_of_ten(exponent: u8) -> u128 {
    assert!(
        exponent <= 2 * Asset::MAX_SCALE,
        "no exponent is larger than two scales"
    );
    10_u128.pow(exponent as u32)
}

fn magnitude(amount: Amount) -> Result<u128, MoneyError> {
    u128::try_from(amount.units()).map_err(|_| MoneyError::Negative)
}

fn product(factors: &[u128]) -> Result<U512, MoneyError> {
    factors
        .iter()
        .try_fold(U512::ONE, |product, factor| product.checked_mul(U512::from(*factor)))
        .ok_or(MoneyError::Overflow)
}

fn amount(units: U512, asset: Asset) -> Result<Amount, MoneyError> {
    i128::try_from(units)
        .map(|units| Amount::new(units, asset))
        .map_err(|_| MoneyError::Overflow)
}
