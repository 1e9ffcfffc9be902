//! Adding and comparing amounts: exact, of one asset only, and never wrapping.

use std::cmp::Ordering;

use contracts::money::{Amount, Asset, MoneyError};
use proptest::prelude::*;

use super::samples;

const MIXED: MoneyError = MoneyError::AssetMismatch {
    left: Asset::BTC,
    right: Asset::USD,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_sum_is_exact_or_an_overflow(a in samples::units(), b in samples::units(), asset in samples::asset()) {
        let (left, right) = (Amount::new(a, asset), Amount::new(b, asset));
        // Halves cannot overflow, and tell whether the sum would.
        let middle = (a >> 1) + (b >> 1) + (a & b & 1);
        let fits = (i128::MIN >> 1..=i128::MAX >> 1).contains(&middle);
        let sum = left.checked_add(right);
        prop_assert_eq!(sum.is_ok(), fits);
        prop_assert_eq!(sum, right.checked_add(left));
        match sum {
            Ok(sum) => {
                prop_assert_eq!(sum.checked_sub(right), Ok(left));
                prop_assert_eq!(sum.checked_sub(left), Ok(right));
            }
            Err(error) => prop_assert_eq!(error, MoneyError::Overflow),
        }
    }

    #[test]
    fn the_smaller_one_is_the_smaller_one(a in samples::units(), b in samples::units(), asset in samples::asset()) {
        let (left, right) = (Amount::new(a, asset), Amount::new(b, asset));
        prop_assert_eq!(left.compare(right), Ok(a.cmp(&b)));
        prop_assert_eq!(left.min(right), Ok(Amount::new(a.min(b), asset)));
    }

    #[test]
    fn the_sign_is_one_of_three(amount in samples::amount()) {
        let signs = [amount.is_negative(), amount.is_zero(), amount.is_positive()];
        prop_assert_eq!(signs.into_iter().filter(|sign| *sign).count(), 1);
        let order = amount.compare(Amount::zero(amount.asset()));
        prop_assert_eq!(order == Ok(Ordering::Less), amount.is_negative());
        prop_assert_eq!(order == Ok(Ordering::Equal), amount.is_zero());
        match amount.checked_neg() {
            Ok(negated) => prop_assert_eq!(negated.checked_add(amount), Ok(Amount::zero(amount.asset()))),
            Err(error) => prop_assert_eq!((amount.units(), error), (i128::MIN, MoneyError::Overflow)),
        }
    }
}

#[test]
fn bitcoin_and_dollars_do_not_mix() {
    let (bitcoin, dollar) = (Amount::new(1, Asset::BTC), Amount::new(1, Asset::USD));
    assert_eq!(bitcoin.checked_add(dollar), Err(MIXED));
    assert_eq!(bitcoin.checked_sub(dollar), Err(MIXED));
    assert_eq!(bitcoin.min(dollar), Err(MIXED));
    // Nor do two assets that happen to have the same scale.
    assert!(bitcoin.checked_add(Amount::new(1, Asset::LTC)).is_err());
    assert!(dollar.compare(Amount::new(1, Asset::EUR)).is_err());
    assert_eq!(bitcoin.compare(dollar), Err(MIXED));
    assert_eq!(MIXED.to_string(), "BTC and USD cannot be combined");
    assert_ne!(bitcoin, dollar);
    assert_ne!(Amount::zero(Asset::BTC), Amount::zero(Asset::LTC));
}

#[test]
fn the_ends_of_the_range_are_errors_and_not_other_numbers() {
    let amount = |units| Amount::new(units, Asset::ETH);
    assert_eq!(amount(i128::MAX).checked_add(amount(1)), Err(MoneyError::Overflow));
    assert_eq!(amount(i128::MIN).checked_sub(amount(1)), Err(MoneyError::Overflow));
    assert_eq!(amount(0).checked_sub(amount(i128::MIN)), Err(MoneyError::Overflow));
    assert_eq!(amount(i128::MIN).checked_neg(), Err(MoneyError::Overflow));
    assert_eq!(amount(i128::MAX).checked_add(amount(i128::MIN)), Ok(amount(-1)));
}
