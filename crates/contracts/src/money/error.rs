//! What can be wrong with money: one enum for reading it, one for computing with it.
//!
//! No message repeats what the caller sent: these texts end up in problem documents and logs, and the input may be
//! long or not meant for either.

use thiserror::Error;

use super::{Asset, BasisPoints, decimal};

/// Why a text is not an amount (or a price) of what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum AmountError {
    /// The text is not a decimal number: `-`? digits (`.` digits)? (`e` exponent)?
    #[error("not a decimal number")]
    Malformed,
    /// The text is longer than [`decimal::MAX_TEXT_LEN`]; it was not looked at any further.
    #[error("a number of more than {} characters", decimal::MAX_TEXT_LEN)]
    TooLong,
    /// The number has more decimals than the asset (or a price) has. It is refused, never rounded.
    #[error("more decimals than the asset has")]
    TooPrecise,
    /// The number is exact but larger than can be held.
    #[error("number out of range")]
    OutOfRange,
    /// Zero or negative, where only a positive number makes sense.
    #[error("the number must be positive")]
    NotPositive,
}

/// Why a computation with money has no answer. Nothing was changed, wrapped or saturated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum MoneyError {
    /// The exact result does not fit.
    #[error("the result is out of range")]
    Overflow,
    /// Two different assets where one was expected; there is no implicit conversion.
    #[error("{left} and {right} cannot be combined")]
    AssetMismatch {
        /// The asset the computation was about.
        left: Asset,
        /// The asset that turned up.
        right: Asset,
    },
    /// A negative amount where a direction of rounding is only defined for values of at least zero.
    #[error("a negative amount has no value to be rounded")]
    Negative,
    /// A price that would no longer be positive, for instance after a spread of 100 % downwards.
    #[error("the price would not be positive")]
    PriceNotPositive,
}

/// A number of basis points above [`BasisPoints::MAX`], or not a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("basis points are a whole number from 0 to {}", BasisPoints::MAX.get())]
pub struct BasisPointsError;

/// A code that names no asset in [`Asset::KNOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("unknown asset code")]
pub struct UnknownAsset;
