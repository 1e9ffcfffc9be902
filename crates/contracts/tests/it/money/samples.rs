//! What the property tests draw from: every scale, every order of magnitude, and the edges more often than chance would.

use contracts::money::{Amount, Asset, BasisPoints, Price, Rounding};
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn scale() -> impl Strategy<Value = u8> {
    0..=Asset::MAX_SCALE
}

pub(crate) fn asset() -> impl Strategy<Value = Asset> {
    select(Asset::KNOWN)
}

/// Of every length, with round numbers, their neighbours and the limits.
pub(crate) fn magnitude() -> impl Strategy<Value = u128> {
    prop_oneof![
        4 => (any::<u128>(), 0..128_u32).prop_map(|(bits, shift)| bits >> shift),
        2 => (0..39_u32, 1..10_u128).prop_map(|(zeros, digit)| digit.saturating_mul(10_u128.pow(zeros))),
        1 => (0..39_u32).prop_map(|zeros| 10_u128.pow(zeros) - 1),
        1 => (0..128_u32, 0..3_u128).prop_map(|(bit, off)| ((1 << bit) - 1_u128).saturating_add(off)),
        1 => select(vec![0, 1, i128::MAX.unsigned_abs(), i128::MIN.unsigned_abs(), u128::MAX]),
    ]
}

pub(crate) fn units() -> impl Strategy<Value = i128> {
    (magnitude(), any::<bool>()).prop_map(|(magnitude, negative)| {
        if negative {
            0_i128.checked_sub_unsigned(magnitude).unwrap_or(i128::MIN)
        } else {
            i128::try_from(magnitude).unwrap_or(i128::MAX)
        }
    })
}

pub(crate) fn amount() -> impl Strategy<Value = Amount> {
    (units(), asset()).prop_map(|(units, asset)| Amount::new(units, asset))
}

/// From zero up to about `2^bits` units.
pub(crate) fn quantity(asset: Asset, bits: u32) -> impl Strategy<Value = Amount> {
    magnitude().prop_map(move |magnitude| {
        let units = magnitude >> (magnitude.ilog2_or_zero() + 1).saturating_sub(bits);
        Amount::new(i128::try_from(units).unwrap(), asset)
    })
}

/// A mantissa of up to `bits` bits, with any scale.
pub(crate) fn price(bits: u32) -> impl Strategy<Value = Price> {
    (magnitude(), scale()).prop_map(move |(magnitude, scale)| {
        let mantissa = magnitude >> (magnitude.ilog2_or_zero() + 1).saturating_sub(bits);
        Price::from_units(mantissa.max(1), scale).unwrap()
    })
}

pub(crate) fn basis_points() -> impl Strategy<Value = BasisPoints> {
    prop_oneof![Just(0), Just(10_000), 0..=10_000_u32].prop_map(|points| BasisPoints::try_new(points).unwrap())
}

pub(crate) fn direction() -> impl Strategy<Value = Rounding> {
    select(vec![Rounding::Up, Rounding::Down])
}

trait BitLength {
    fn ilog2_or_zero(self) -> u32;
}

impl BitLength for u128 {
    fn ilog2_or_zero(self) -> u32 {
        self.checked_ilog2().unwrap_or(0)
    }
}
