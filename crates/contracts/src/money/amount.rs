//! An amount of an asset, as a whole number of its atomic units.
//!
//! Two amounts meet only if they are of the same asset, and no operation wraps, saturates or rounds.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::de::{Deserializer, Error};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::{AmountError, Asset, MoneyError, decimal};

/// An exact amount of an [`Asset`], of any sign, in `i128` atomic units.
///
/// Shown as the shortest exact decimal (`30`, `0.5`, `-13.77`), without the asset. In JSON it is
/// `{"amount": "0.5", "asset": "BTC"}`; unknown fields are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    units: i128,
    asset: Asset,
}

impl Amount {
    /// `units` atomic units of `asset`: `Amount::new(1, Asset::BTC)` is one satoshi.
    #[must_use]
    pub const fn new(units: i128, asset: Asset) -> Self {
        Self { units, asset }
    }

    /// Nothing of `asset`.
    #[must_use]
    pub const fn zero(asset: Asset) -> Self {
        Self::new(0, asset)
    }

    /// Reads a decimal number of whole `asset`s exactly: `parse("0.5", Asset::BTC)` is 50,000,000 units.
    ///
    /// Inverse of `Display` for every amount. The grammar is in [`decimal::units_from_text`].
    ///
    /// # Errors
    ///
    /// [`AmountError::Malformed`], [`AmountError::TooLong`], [`AmountError::OutOfRange`], or
    /// [`AmountError::TooPrecise`] if `text` has non-zero digits beyond the asset's scale.
    pub fn parse(text: &str, asset: Asset) -> Result<Self, AmountError> {
        decimal::units_from_text(text, asset.scale()).map(|units| Self::new(units, asset))
    }

    /// The number of atomic units.
    #[must_use]
    pub const fn units(self) -> i128 {
        self.units
    }

    /// What it is an amount of.
    #[must_use]
    pub const fn asset(self) -> Asset {
        self.asset
    }

    /// Exactly zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.units == 0
    }

    /// More than zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.units.is_positive()
    }

    /// Less than zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.units.is_negative()
    }

    /// The sum.
    ///
    /// # Errors
    ///
    /// [`MoneyError::AssetMismatch`] or [`MoneyError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_asset(other)?;
        self.with_units(self.units.checked_add(other.units))
    }

    /// The difference; it may be negative.
    ///
    /// # Errors
    ///
    /// [`MoneyError::AssetMismatch`] or [`MoneyError::Overflow`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_asset(other)?;
        self.with_units(self.units.checked_sub(other.units))
    }

    /// The same amount with the other sign.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Overflow`] for `i128::MIN` units, which has no positive counterpart.
    pub fn checked_neg(self) -> Result<Self, MoneyError> {
        self.with_units(self.units.checked_neg())
    }

    /// The smaller of two amounts of one asset.
    ///
    /// # Errors
    ///
    /// [`MoneyError::AssetMismatch`].
    pub fn min(self, other: Self) -> Result<Self, MoneyError> {
        Ok(match self.compare(other)? {
            Ordering::Less | Ordering::Equal => self,
            Ordering::Greater => other,
        })
    }

    /// How two amounts of one asset compare. There is no `Ord`, because amounts of two assets have no order.
    ///
    /// # Errors
    ///
    /// [`MoneyError::AssetMismatch`].
    pub fn compare(self, other: Self) -> Result<Ordering, MoneyError> {
        self.same_asset(other)?;
        Ok(self.units.cmp(&other.units))
    }

    fn same_asset(self, other: Self) -> Result<(), MoneyError> {
        if self.asset == other.asset {
            Ok(())
        } else {
            Err(MoneyError::AssetMismatch {
                left: self.asset,
                right: other.asset,
            })
        }
    }

    fn with_units(self, units: Option<i128>) -> Result<Self, MoneyError> {
        units
            .map(|units| Self::new(units, self.asset))
            .ok_or(MoneyError::Overflow)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal::format_units(f, self.units, self.asset.scale())
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {}", self.asset)
    }
}

/// What `{self}` prints, for serializers that want a value and not a formatter.
struct Text(Amount);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Amount", 2)?;
        object.serialize_field("amount", &Text(*self))?;
        object.serialize_field("asset", &self.asset)?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text is kept until the asset is known, since the two fields may come in either order. It is a string and
        // not a `DecimalText`, so that amounts also work inside tagged enums and flattened structs.
        #[derive(Deserialize)]
        #[serde(
            deny_unknown_fields,
            expecting = "an amount: {\"amount\": \"0.5\", \"asset\": \"BTC\"}"
        )]
        struct Object<'a> {
            #[serde(borrow)]
            amount: Cow<'a, str>,
            asset: Asset,
        }

        let object = Object::deserialize(deserializer)?;
        Self::parse(&object.amount, object.asset).map_err(D::Error::custom)
    }
}
