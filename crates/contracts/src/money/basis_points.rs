//! Hundredths of a percent: the unit of spreads and fees.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::BasisPointsError;

/// A share in basis points, 0 to 10,000 (0 % to 100 %). In JSON and settings it is a whole number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct BasisPoints(u32);

impl BasisPoints {
    /// No share at all, which is also the default.
    pub const ZERO: Self = Self(0);
    /// All of it.
    pub const MAX: Self = Self(10_000);

    /// `points` hundredths of a percent.
    ///
    /// # Errors
    ///
    /// [`BasisPointsError`] above [`BasisPoints::MAX`].
    pub const fn try_new(points: u32) -> Result<Self, BasisPointsError> {
        if points > Self::MAX.0 {
            Err(BasisPointsError)
        } else {
            Ok(Self(points))
        }
    }

    /// The number of basis points, 0 to 10,000.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for BasisPoints {
    type Err = BasisPointsError;

    fn from_str(text: &str) -> Result<Self, BasisPointsError> {
        text.parse().map_err(|_| BasisPointsError).and_then(Self::try_new)
    }
}

impl<'de> Deserialize<'de> for BasisPoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_new(u32::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
