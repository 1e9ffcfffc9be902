//! The assets Cambist knows, as a closed table.
//!
//! A scale decides what every stored integer means, so it is part of the program and not of its configuration: an
//! asset's scale never changes once an amount of it has been stored.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::UnknownAsset;

/// Whether an asset lives on a blockchain or at a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssetKind {
    /// A coin on a blockchain: can be traded at a venue and withdrawn on chain.
    Crypto,
    /// A currency: what prices are quoted in and deposits are made of.
    Fiat,
}

/// An entry of the table. Only constants of [`Asset`] refer to one.
struct Definition {
    code: &'static str,
    scale: u8,
    kind: AssetKind,
}

const fn crypto(code: &'static str, scale: u8) -> Definition {
    Definition {
        code,
        scale,
        kind: AssetKind::Crypto,
    }
}

const fn fiat(code: &'static str, scale: u8) -> Definition {
    Definition {
        code,
        scale,
        kind: AssetKind::Fiat,
    }
}

/// An asset: its code, its kind, and how many decimals its atomic unit has (BTC 8: one unit is a satoshi).
///
/// As cheap to copy as a pointer. Equality, order and hash are those of the code. In JSON it is the code, and a code
/// that is not in [`Asset::KNOWN`] is an error; codes are case-sensitive.
#[derive(Clone, Copy)]
pub struct Asset(&'static Definition);

impl Asset {
    /// Bitcoin, in satoshi.
    pub const BTC: Self = Self(&const { crypto("BTC", 8) });
    /// Ether, in wei.
    pub const ETH: Self = Self(&const { crypto("ETH", 18) });
    /// Litecoin, in its hundred millionth.
    pub const LTC: Self = Self(&const { crypto("LTC", 8) });
    /// Solana, in lamports.
    pub const SOL: Self = Self(&const { crypto("SOL", 9) });
    /// XRP, in drops.
    pub const XRP: Self = Self(&const { crypto("XRP", 6) });
    /// United States dollar, in cents (the decimals of all currencies are those of ISO 4217).
    pub const USD: Self = Self(&const { fiat("USD", 2) });
    /// Euro, in cents.
    pub const EUR: Self = Self(&const { fiat("EUR", 2) });
    /// Pound sterling, in pence.
    pub const GBP: Self = Self(&const { fiat("GBP", 2) });
    /// Swiss franc, in rappen.
    pub const CHF: Self = Self(&const { fiat("CHF", 2) });
    /// Japanese yen, which has no smaller unit.
    pub const JPY: Self = Self(&const { fiat("JPY", 0) });

    /// Every asset there is, crypto first.
    pub const KNOWN: &'static [Self] = &[
        Self::BTC,
        Self::ETH,
        Self::LTC,
        Self::SOL,
        Self::XRP,
        Self::USD,
        Self::EUR,
        Self::GBP,
        Self::CHF,
        Self::JPY,
    ];

    /// The largest scale an asset (or a price) can have.
    pub const MAX_SCALE: u8 = 18;

    /// The asset with exactly this code, or `None`.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::KNOWN.iter().copied().find(|asset| asset.code() == code)
    }

    /// The code: capital letters, unique in [`Asset::KNOWN`].
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.0.code
    }

    /// How many decimals the atomic unit has: 0 to [`Asset::MAX_SCALE`].
    #[must_use]
    pub const fn scale(self) -> u8 {
        self.0.scale
    }

    /// Crypto or fiat.
    #[must_use]
    pub const fn kind(self) -> AssetKind {
        self.0.kind
    }
}

// The widths in `rounding` rely on this bound, so the compiler checks the table.
const _: () = {
    let mut i = 0;
    while i < Asset::KNOWN.len() {
        assert!(
            Asset::KNOWN[i].scale() <= Asset::MAX_SCALE,
            "an asset has at most 18 decimals"
        );
        i += 1;
    }
};

// By the code and not by the pointer: the compiler may keep more than one copy of a constant.
impl PartialEq for Asset {
    fn eq(&self, other: &Self) -> bool {
        self.code() == other.code()
    }
}

impl Eq for Asset {}

impl PartialOrd for Asset {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Asset {
    fn cmp(&self, other: &Self) -> Ordering {
        self.code().cmp(other.code())
    }
}

impl Hash for Asset {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.code().hash(state);
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Asset {
    type Err = UnknownAsset;

    fn from_str(code: &str) -> Result<Self, UnknownAsset> {
        Self::from_code(code).ok_or(UnknownAsset)
    }
}

impl Serialize for Asset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Code;

        impl Visitor<'_> for Code {
            type Value = Asset;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the code of an asset")
            }

            fn visit_str<E: Error>(self, code: &str) -> Result<Asset, E> {
                code.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Code)
    }
}
