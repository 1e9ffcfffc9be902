//! Prices: exact text, one representation per value, and spreads that never end on the customer's side.

use contracts::money::{AmountError, BasisPoints, MoneyError, Price, Rounding};
use proptest::prelude::*;

use super::model::Natural;
use super::samples;

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

fn points(points: u32) -> BasisPoints {
    BasisPoints::try_new(points).unwrap()
}

/// The price in units of `10^-22`, which is enough for every price and for every spread on it.
fn aligned(price: Price) -> Natural {
    Natural::of(price.mantissa()).times_power_of_ten(22 - usize::from(price.scale()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn a_price_survives_its_text_and_json(price in samples::price(128)) {
        prop_assert_eq!(Price::parse(&price.to_string()), Ok(price));
        let json = serde_json::to_string(&price).unwrap();
        prop_assert_eq!(&json, &format!("\"{price}\""));
        prop_assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), price);
        prop_assert_eq!(Price::from_units(price.mantissa(), price.scale()), Ok(price));
    }

    #[test]
    fn equal_prices_are_equal_however_they_are_written(mantissa in 1..u128::MAX / 10_000, scale in 0..15_u8, zeros in 0..4_u8) {
        let longer = Price::from_units(mantissa * 10_u128.pow(u32::from(zeros)), scale + zeros);
        prop_assert_eq!(longer, Price::from_units(mantissa, scale));
    }

    #[test]
    fn prices_are_ordered_by_value(a in samples::price(128), b in samples::price(128)) {
        prop_assert_eq!(a.cmp(&b), aligned(a).cmp(&aligned(b)));
        prop_assert_eq!(a == b, aligned(a) == aligned(b));
    }

    #[test]
    fn a_spread_is_exact_or_off_by_less_than_the_last_decimal_in_its_direction(
        price in samples::price(128), spread in samples::basis_points(), direction in samples::direction(),
    ) {
        let factor = match direction {
            Rounding::Up => 10_000 + spread.get(),
            Rounding::Down => 10_000 - spread.get(),
        };
        // In units of 10^-26: four more decimals than `aligned`.
        let exact = aligned(price).times(&Natural::of(factor));
        match price.with_spread(spread, direction) {
            Ok(moved) => {
                let moved_value = aligned(moved).times_power_of_ten(4);
                let last_decimal = |scale: u8| Natural::power_of_ten(26 - usize::from(scale));
                match direction {
                    Rounding::Up => prop_assert!(exact <= moved_value && moved >= price),
                    Rounding::Down => prop_assert!(moved_value <= exact && moved <= price),
                }
                if moved_value != exact {
                    // Inexact only where another decimal is not to be had: 18 are in use, or the digits do not fit.
                    let (low, high) = if exact < moved_value { (&exact, &moved_value) } else { (&moved_value, &exact) };
                    let mut scale = 18;
                    let limit = Natural::of(u128::MAX);
                    while exact > limit.times(&last_decimal(scale)) {
                        scale -= 1;
                    }
                    prop_assert!(high < &low.plus(&last_decimal(scale)), "{price} {spread} {moved}");
                }
            }
            Err(MoneyError::PriceNotPositive) => {
                prop_assert_eq!(direction, Rounding::Down);
                prop_assert!(exact < Natural::power_of_ten(8));
            }
            Err(error) => {
                prop_assert_eq!(error, MoneyError::Overflow);
                prop_assert!(exact > Natural::of(u128::MAX).times_power_of_ten(26));
            }
        }
    }
}

#[test]
fn a_spread_of_one_percent_around_ten() {
    let ten = price("10");
    assert_eq!(ten.with_spread(points(100), Rounding::Up), Ok(price("10.1")));
    assert_eq!(ten.with_spread(points(100), Rounding::Down), Ok(price("9.9")));
    assert_eq!(ten.with_spread(points(0), Rounding::Up), Ok(ten));
    assert_eq!(ten.with_spread(points(0), Rounding::Down), Ok(ten));
    assert_eq!(ten.with_spread(points(10_000), Rounding::Up), Ok(price("20")));
    assert_eq!(
        ten.with_spread(points(10_000), Rounding::Down),
        Err(MoneyError::PriceNotPositive)
    );
}

#[test]
fn a_spread_beyond_the_last_decimal_goes_its_own_way() {
    let smallest = price("0.000000000000000001");
    assert_eq!(
        smallest.with_spread(points(1), Rounding::Up),
        Ok(price("0.000000000000000002"))
    );
    assert_eq!(
        smallest.with_spread(points(1), Rounding::Down),
        Err(MoneyError::PriceNotPositive)
    );
    assert_eq!(smallest.with_spread(points(0), Rounding::Down), Ok(smallest));
    let largest = Price::from_units(u128::MAX, 0).unwrap();
    assert_eq!(largest.with_spread(points(1), Rounding::Up), Err(MoneyError::Overflow));
    assert_eq!(largest.with_spread(points(0), Rounding::Up), Ok(largest));
    assert!(largest.with_spread(points(1), Rounding::Down).unwrap() < largest);
}

#[test]
fn a_price_is_kept_without_trailing_zeros() {
    let written = price("10.500");
    assert_eq!((written.mantissa(), written.scale()), (105, 1));
    assert_eq!(written, Price::from_units(1_050, 2).unwrap());
    assert_eq!(written.to_string(), "10.5");
    assert_eq!(format!("{written:?}|{written:>6}"), "Price(10.5)|  10.5");
    assert_eq!(price("1e3"), Price::from_units(1_000, 0).unwrap());
    assert_eq!(Price::from_units(10_u128.pow(30), 30), Ok(price("1")));
    assert!(price("9.99") < price("10") && price("10") < price("10.000000000000000001"));
}

#[test]
fn what_is_not_a_positive_exact_number_is_no_price() {
    for (text, error) in [
        ("0", AmountError::NotPositive),
        ("0.00", AmountError::NotPositive),
        ("-1", AmountError::NotPositive),
        ("-0", AmountError::NotPositive),
        ("0.0000000000000000001", AmountError::TooPrecise),
        ("1e-19", AmountError::TooPrecise),
        ("1e-999999999", AmountError::TooPrecise),
        ("1e999999999", AmountError::OutOfRange),
        ("340282366920938463463374607431768211456", AmountError::OutOfRange),
        ("ten", AmountError::Malformed),
        ("", AmountError::Malformed),
        ("+10", AmountError::Malformed),
        (&"1".repeat(65), AmountError::TooLong),
    ] {
        assert_eq!(Price::parse(text), Err(error), "{text:?}");
        assert!(serde_json::from_str::<Price>(&format!("\"{text}\"")).is_err());
    }
    assert_eq!(Price::from_units(0, 0), Err(AmountError::NotPositive));
    assert_eq!(Price::from_units(1, 19), Err(AmountError::TooPrecise));
    assert_eq!(Price::from_units(1, u8::MAX), Err(AmountError::TooPrecise));
    assert!(
        serde_json::from_str::<Price>("10.5").is_err(),
        "a number might have been a float"
    );
}
