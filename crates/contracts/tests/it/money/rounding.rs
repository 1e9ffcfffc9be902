//! Rounding: less than one unit, in the named direction, once; and exact wherever exact is possible.

use contracts::money::{
    Amount, Asset, BasisPoints, MoneyError, Price, Rounding, average_price, quantity_for, share_of, value_of,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::model::Natural;
use super::samples;

fn amount(text: &str, asset: Asset) -> Amount {
    Amount::parse(text, asset).unwrap()
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

fn power(scale: u8) -> Natural {
    Natural::power_of_ten(usize::from(scale))
}

/// Whether `result` is `numerator / denominator`, rounded as told: `|result - exact| < 1`, and on the right side.
/// An overflow is right exactly if the result does not fit `i128`.
fn is_rounded(
    result: Result<Amount, MoneyError>,
    asset: Asset,
    numerator: &Natural,
    denominator: &Natural,
    rounding: Rounding,
) -> Result<(), TestCaseError> {
    let largest = Natural::of(i128::MAX).times(denominator);
    let fits = match rounding {
        Rounding::Up => *numerator <= largest,
        Rounding::Down => *numerator < largest.plus(denominator),
    };
    match result {
        Ok(rounded) => {
            prop_assert!(fits);
            prop_assert_eq!(rounded.asset(), asset);
            let below_or_equal = Natural::of(rounded.units()).times(denominator);
            match rounding {
                Rounding::Down => {
                    prop_assert!(below_or_equal <= *numerator, "rounded down is not more than exact");
                    prop_assert!(
                        *numerator < below_or_equal.plus(denominator),
                        "and less than one unit away"
                    );
                }
                Rounding::Up => {
                    prop_assert!(*numerator <= below_or_equal, "rounded up is not less than exact");
                    prop_assert!(
                        below_or_equal < numerator.plus(denominator),
                        "and less than one unit away"
                    );
                }
            }
        }
        Err(error) => prop_assert_eq!((error, fits), (MoneyError::Overflow, false)),
    }
    Ok(())
}

/// Σ quantity × price in units of `10^-(base scale + 18)`, on paper.
fn sum_on_paper(fills: &[(Amount, Price)]) -> Natural {
    fills.iter().fold(Natural::of(0), |sum, (quantity, price)| {
        let term = Natural::of(quantity.units()).times(&Natural::of(price.mantissa()));
        sum.plus(&term.times_power_of_ten(18 - usize::from(price.scale())))
    })
}

fn fills(bits: u32) -> impl Strategy<Value = (Asset, Vec<(Amount, Price)>)> {
    samples::asset().prop_flat_map(move |base| {
        (
            Just(base),
            vec((samples::quantity(base, bits), samples::price(bits)), 0..6),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn fills_are_added_exactly_and_rounded_once(
        (base, fills) in fills(64), quote in samples::asset(), rounding in samples::direction(),
    ) {
        let result = value_of(fills.iter().copied(), quote, rounding);
        let numerator = sum_on_paper(&fills).times(&power(quote.scale()));
        is_rounded(result, quote, &numerator, &power(base.scale() + 18), rounding)?;
    }

    #[test]
    fn even_the_largest_fills_are_exact_or_an_overflow(
        (base, fills) in fills(127), quote in samples::asset(), rounding in samples::direction(),
    ) {
        let result = value_of(fills.iter().copied(), quote, rounding);
        let numerator = sum_on_paper(&fills).times(&power(quote.scale()));
        is_rounded(result, quote, &numerator, &power(base.scale() + 18), rounding)?;
    }

    #[test]
    fn a_quantity_is_the_quotient_rounded_once(
        value in samples::asset().prop_flat_map(|asset| samples::quantity(asset, 127)),
        price in samples::price(128), base in samples::asset(), rounding in samples::direction(),
    ) {
        let numerator = Natural::of(value.units()).times(&power(price.scale())).times(&power(base.scale()));
        let denominator = Natural::of(price.mantissa()).times(&power(value.asset().scale()));
        is_rounded(quantity_for(value, price, base, rounding), base, &numerator, &denominator, rounding)?;
    }

    #[test]
    fn a_share_is_rounded_once_and_never_more_than_the_whole(
        whole in samples::asset().prop_flat_map(|asset| samples::quantity(asset, 127)),
        share in samples::basis_points(), rounding in samples::direction(),
    ) {
        let part = share_of(whole, share, rounding);
        let numerator = Natural::of(whole.units()).times(&Natural::of(share.get()));
        is_rounded(part, whole.asset(), &numerator, &Natural::of(10_000), rounding)?;
        prop_assert!(part.unwrap().units() <= whole.units());
    }

    #[test]
    fn a_budget_is_never_exceeded_by_what_it_buys(
        budget in samples::quantity(Asset::USD, 100), price in samples::price(40), base in samples::asset(),
    ) {
        if let Ok(quantity) = quantity_for(budget, price, base, Rounding::Down) {
            let cost = value_of([(quantity, price)], Asset::USD, Rounding::Up).unwrap();
            prop_assert!(cost.units() <= budget.units(), "{quantity:?} at {price} cost {cost:?} of {budget:?}");
        }
    }

    #[test]
    fn buying_and_selling_the_same_back_never_makes_a_profit(
        quantity in samples::quantity(Asset::BTC, 60), price in samples::price(60), spread in samples::basis_points(),
    ) {
        let ask = price.with_spread(spread, Rounding::Up).unwrap();
        let Ok(bid) = price.with_spread(spread, Rounding::Down) else { return Ok(()) };
        if let Ok(paid) = value_of([(quantity, ask)], Asset::USD, Rounding::Up) {
            let got = value_of([(quantity, bid)], Asset::USD, Rounding::Down).unwrap();
            prop_assert!(got.units() <= paid.units());
        }
    }

    #[test]
    fn how_a_venue_cuts_an_order_up_does_not_change_its_value(
        parts in vec(0..i128::from(u64::MAX), 1..8), price in samples::price(64), rounding in samples::direction(),
    ) {
        let whole = Amount::new(parts.iter().sum(), Asset::ETH);
        let fills = parts.iter().map(|units| (Amount::new(*units, Asset::ETH), price));
        prop_assert_eq!(value_of(fills, Asset::USD, rounding), value_of([(whole, price)], Asset::USD, rounding));
    }

    #[test]
    fn the_two_directions_differ_by_one_unit_or_nothing(
        (_, fills) in fills(60), quote in samples::asset(),
    ) {
        let down = value_of(fills.iter().copied(), quote, Rounding::Down);
        let up = value_of(fills.iter().copied(), quote, Rounding::Up);
        if let (Ok(down), Ok(up)) = (down, up) {
            prop_assert!([0, 1].contains(&(up.units() - down.units())));
        }
    }
}

#[test]
fn thirty_dollars_buy_three_at_ten_and_half_of_them_sell_for_fifteen() {
    let ten = price("10");
    let three = amount("3", Asset::BTC);
    for rounding in [Rounding::Up, Rounding::Down] {
        assert_eq!(
            quantity_for(amount("30", Asset::USD), ten, Asset::BTC, rounding),
            Ok(three)
        );
        assert_eq!(
            value_of([(three, ten)], Asset::USD, rounding),
            Ok(amount("30", Asset::USD))
        );
        let sold = [(amount("1", Asset::BTC), ten), (amount("0.5", Asset::BTC), ten)];
        assert_eq!(value_of(sold, Asset::USD, rounding), Ok(amount("15", Asset::USD)));
    }
}

#[test]
fn a_third_of_a_dollar_goes_to_the_house() {
    let satoshi = Amount::new(1, Asset::BTC);
    assert_eq!(
        value_of([(satoshi, price("10"))], Asset::USD, Rounding::Up),
        Ok(amount("0.01", Asset::USD))
    );
    assert_eq!(
        value_of([(satoshi, price("10"))], Asset::USD, Rounding::Down),
        Ok(Amount::zero(Asset::USD))
    );
    let a_third = quantity_for(amount("1", Asset::USD), price("3"), Asset::BTC, Rounding::Down);
    assert_eq!(a_third, Ok(amount("0.33333333", Asset::BTC)));
    let a_third = quantity_for(amount("1", Asset::USD), price("3"), Asset::BTC, Rounding::Up);
    assert_eq!(a_third, Ok(amount("0.33333334", Asset::BTC)));
    let fee = BasisPoints::try_new(25).unwrap();
    assert_eq!(
        share_of(amount("30", Asset::USD), fee, Rounding::Up),
        Ok(amount("0.08", Asset::USD))
    );
    assert_eq!(
        share_of(amount("30", Asset::USD), fee, Rounding::Down),
        Ok(amount("0.07", Asset::USD))
    );
    assert_eq!(
        share_of(amount("40", Asset::USD), fee, Rounding::Up),
        Ok(amount("0.1", Asset::USD))
    );
}

#[test]
fn three_fills_of_a_third_of_a_cent_cost_one_cent_and_not_three() {
    let fill = (amount("0.001", Asset::BTC), price("3.333333333333333333"));
    let cost = value_of([fill, fill, fill], Asset::USD, Rounding::Up);
    assert_eq!(cost, Ok(amount("0.01", Asset::USD)));
}

#[test]
fn ether_beyond_2_to_the_64_is_exact_to_the_last_wei() {
    let quantity = amount("18446744073709551616.000000000000000001", Asset::ETH);
    let value = value_of([(quantity, price("1"))], Asset::ETH, Rounding::Down);
    assert_eq!(value, Ok(quantity));
    let half = value_of([(quantity, price("0.5"))], Asset::ETH, Rounding::Up);
    assert_eq!(half, Ok(amount("9223372036854775808.000000000000000001", Asset::ETH)));
    let half = value_of([(quantity, price("0.5"))], Asset::ETH, Rounding::Down);
    assert_eq!(half, Ok(amount("9223372036854775808", Asset::ETH)));
}

#[test]
fn what_does_not_fit_is_an_error_and_nothing_panics_at_the_limits() {
    let most = Amount::new(i128::MAX, Asset::ETH);
    let dearest = Price::from_units(u128::MAX, 0).unwrap();
    let cheapest = Price::from_units(1, 18).unwrap();
    assert_eq!(
        value_of([(most, dearest)], Asset::ETH, Rounding::Up),
        Err(MoneyError::Overflow)
    );
    let many = std::iter::repeat_n((most, dearest), 10_000);
    assert_eq!(value_of(many, Asset::ETH, Rounding::Down), Err(MoneyError::Overflow));
    assert_eq!(
        quantity_for(most, cheapest, Asset::ETH, Rounding::Down),
        Err(MoneyError::Overflow)
    );
    assert_eq!(
        quantity_for(most, dearest, Asset::JPY, Rounding::Down),
        Ok(Amount::zero(Asset::JPY))
    );
    assert_eq!(
        quantity_for(most, dearest, Asset::JPY, Rounding::Up),
        Ok(Amount::new(1, Asset::JPY))
    );
    assert_eq!(share_of(most, BasisPoints::MAX, Rounding::Up), Ok(most));
    assert_eq!(
        share_of(most, BasisPoints::ZERO, Rounding::Up),
        Ok(Amount::zero(Asset::ETH))
    );
}

#[test]
fn an_order_without_fills_is_worth_nothing() {
    for rounding in [Rounding::Up, Rounding::Down] {
        assert_eq!(value_of([], Asset::USD, rounding), Ok(Amount::zero(Asset::USD)));
        let nothing = Amount::zero(Asset::BTC);
        assert_eq!(
            value_of([(nothing, price("10"))], Asset::USD, rounding),
            Ok(Amount::zero(Asset::USD))
        );
        assert_eq!(
            quantity_for(Amount::zero(Asset::USD), price("10"), Asset::BTC, rounding),
            Ok(nothing)
        );
    }
}

#[test]
fn negative_amounts_and_mixed_assets_are_refused() {
    let ten = price("10");
    for units in [-1, i128::MIN] {
        let debt = Amount::new(units, Asset::USD);
        let quantity = Amount::new(units, Asset::BTC);
        assert_eq!(
            value_of([(quantity, ten)], Asset::USD, Rounding::Up),
            Err(MoneyError::Negative)
        );
        assert_eq!(
            quantity_for(debt, ten, Asset::BTC, Rounding::Up),
            Err(MoneyError::Negative)
        );
        assert_eq!(
            share_of(debt, BasisPoints::MAX, Rounding::Up),
            Err(MoneyError::Negative)
        );
    }
    let mixed = [(amount("1", Asset::BTC), ten), (amount("1", Asset::ETH), ten)];
    assert_eq!(
        value_of(mixed, Asset::USD, Rounding::Up),
        Err(MoneyError::AssetMismatch {
            left: Asset::BTC,
            right: Asset::ETH
        })
    );
}

#[test]
fn an_average_price_is_exact_where_the_fills_agree_and_lies_between_them_otherwise() {
    let btc = |text| amount(text, Asset::BTC);
    for rounding in [Rounding::Up, Rounding::Down] {
        let same = [
            (btc("0.1"), price("3.141592653589793238")),
            (btc("7"), price("3.141592653589793238")),
        ];
        assert_eq!(average_price(same, rounding), Ok(price("3.141592653589793238")));
        let halves = [(btc("1"), price("10")), (btc("1"), price("11"))];
        assert_eq!(average_price(halves, rounding), Ok(price("10.5")));
    }
    let thirds = [(btc("2"), price("1")), (btc("1"), price("2"))];
    assert_eq!(average_price(thirds, Rounding::Down), Ok(price("1.333333333333333333")));
    assert_eq!(average_price(thirds, Rounding::Up), Ok(price("1.333333333333333334")));
    let huge = Price::from_units(u128::MAX, 0).unwrap();
    assert_eq!(average_price([(btc("1"), huge)], Rounding::Up), Ok(huge));
    let dust = [(Amount::new(i128::MAX, Asset::ETH), huge)];
    assert_eq!(average_price(dust, Rounding::Down), Ok(huge));
}

#[test]
fn nothing_has_no_average_price() {
    let none: [(Amount, Price); 0] = [];
    assert_eq!(average_price(none, Rounding::Up), Err(MoneyError::PriceNotPositive));
    let empty = [(Amount::zero(Asset::BTC), price("10"))];
    assert_eq!(average_price(empty, Rounding::Up), Err(MoneyError::PriceNotPositive));
    let debt = [(Amount::new(-1, Asset::BTC), price("10"))];
    assert_eq!(average_price(debt, Rounding::Up), Err(MoneyError::Negative));
    let mixed = [
        (amount("1", Asset::BTC), price("1")),
        (amount("1", Asset::ETH), price("1")),
    ];
    assert_eq!(
        average_price(mixed, Rounding::Up),
        Err(MoneyError::AssetMismatch {
            left: Asset::BTC,
            right: Asset::ETH
        })
    );
}
