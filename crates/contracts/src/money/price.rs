//! What one whole unit of crypto costs in fiat, exactly.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use ruint::aliases::{U256, U512};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::rounding::{divide, power_of_ten};
use super::{AmountError, Asset, BasisPoints, MoneyError, Rounding, decimal};

/// Whole units of fiat (dollars, not cents) per whole unit of crypto (bitcoin, not satoshi): exact and positive.
///
/// A `u128` mantissa with up to 18 decimals, kept without trailing zeros, so that equal prices are equal values.
/// Shown as the shortest exact decimal; in JSON it is that text as a string.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Price {
    mantissa: u128,
    scale: u8,
}

impl Price {
    /// The price `mantissa × 10^-scale`: `from_units(105, 1)` is 10.5.
    ///
    /// # Errors
    ///
    /// [`AmountError::NotPositive`] for zero, [`AmountError::TooPrecise`] for more than 18 decimals that are needed.
    pub fn from_units(mut mantissa: u128, mut scale: u8) -> Result<Self, AmountError> {
        if mantissa == 0 {
            return Err(AmountError::NotPositive);
        }
        while scale > 0 && mantissa.is_multiple_of(10) {
            mantissa /= 10;
            scale -= 1;
        }
        if scale > Asset::MAX_SCALE {
            return Err(AmountError::TooPrecise);
        }
        Ok(Self { mantissa, scale })
    }

    /// Reads a positive decimal number exactly. Inverse of `Display`; the grammar is in [`decimal::units_from_text`].
    ///
    /// # Errors
    ///
    /// [`AmountError`]; [`AmountError::TooPrecise`] beyond 18 decimals.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let (mantissa, scale) = decimal::positive_from_text(text, Asset::MAX_SCALE)?;
        Ok(Self { mantissa, scale })
    }

    /// The mantissa, at least 1: the price is `mantissa × 10^-scale`. Not divisible by ten unless the scale is 0.
    #[must_use]
    pub const fn mantissa(self) -> u128 {
        self.mantissa
    }

    /// The number of decimals in use, 0 to 18.
    #[must_use]
    pub const fn scale(self) -> u8 {
        self.scale
    }

    /// The price moved by a spread, up (what we ask of a buyer) or down (what we bid a seller).
    ///
    /// Exact where the result has at most 18 decimals and its digits fit. Otherwise it is rounded once, to as many
    /// decimals as can be held, in the direction of the spread: an ask never ends below its exact value, a bid never above.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Overflow`], or [`MoneyError::PriceNotPositive`] if nothing is left of the price.
    pub fn with_spread(self, spread: BasisPoints, direction: Rounding) -> Result<Self, MoneyError> {
        let whole = BasisPoints::MAX.get();
        let factor = match direction {
            Rounding::Up => whole + spread.get(),
            Rounding::Down => whole - spread.get(),
        };
        // A mantissa of 128 bits times a factor of 15: exact, with the four decimals of a basis point added.
        let exact = U512::from(self.mantissa)
            .checked_mul(U512::from(factor))
            .ok_or(MoneyError::Overflow)?;
        let scale = self.scale + 4;
        let fewest = scale.saturating_sub(Asset::MAX_SCALE);
        for dropped in fewest..=scale {
            let rounded = divide(exact, U512::from(power_of_ten(dropped)), direction)?;
            let Ok(mantissa) = u128::try_from(rounded) else {
                continue;
            };
            return Self::from_units(mantissa, scale - dropped).map_err(|_| MoneyError::PriceNotPositive);
        }
        Err(MoneyError::Overflow)
    }
}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Price {
    fn cmp(&self, other: &Self) -> Ordering {
        // 128 bits times 10^18 (60 bits) fit 256.
        let aligned =
            |price: &Self| U256::from(price.mantissa) * U256::from(power_of_ten(Asset::MAX_SCALE - price.scale));
        aligned(self).cmp(&aligned(other))
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal::format_magnitude(f, false, self.mantissa, self.scale)
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Price({self})")
    }
}

impl FromStr for Price {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::parse(text)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Price;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a price as a decimal number in a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Price, E> {
                Price::parse(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}
