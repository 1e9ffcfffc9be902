//! Amounts as text: exact both ways, at every scale, over all of `i128`; and everything that is not an amount refused.

use std::fmt;

use contracts::money::{Amount, AmountError, Asset, AssetKind, decimal};
use proptest::prelude::*;

use super::model::Natural;
use super::samples;

/// The codec at a scale of its own, since the assets have only some of the scales.
struct Shown(i128, u8);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal::format_units(f, self.0, self.1)
    }
}

/// Formats with paper and pencil: pad with zeros, put in the point, take the zeros off again.
fn format_by_hand(units: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", units.unsigned_abs().to_string(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let sign = if units < 0 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// Reads with paper and pencil what the grammar in the documentation allows.
fn parse_by_hand(text: &str, scale: u8) -> Result<String, AmountError> {
    let (sign, number) = text.strip_prefix('-').map_or(("", text), |number| ("-", number));
    let lower = number.to_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = Natural::from_digits(&format!("{whole}{fraction}"));
    if digits.is_zero() {
        return Ok("0".to_owned());
    }
    let shift = exponent.parse::<i64>().unwrap() + i64::from(scale) - i64::try_from(fraction.len()).unwrap();
    let places = usize::try_from(shift.unsigned_abs()).unwrap();
    let units = if shift >= 0 {
        digits.times_power_of_ten(places)
    } else {
        digits.divided_by_power_of_ten(places).ok_or(AmountError::TooPrecise)?
    };
    let limit = if sign.is_empty() { i128::MAX } else { i128::MIN };
    if units > Natural::of(limit.unsigned_abs()) {
        return Err(AmountError::OutOfRange);
    }
    Ok(format!("{sign}{}", units.digits()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_is_written_is_read_as_the_same(units in samples::units(), scale in samples::scale()) {
        let text = Shown(units, scale).to_string();
        prop_assert_eq!(decimal::units_from_text(&text, scale), Ok(units));
        prop_assert_eq!(text, format_by_hand(units, scale));
    }

    #[test]
    fn every_amount_of_every_asset_survives_its_text(amount in samples::amount()) {
        prop_assert_eq!(Amount::parse(&amount.to_string(), amount.asset()), Ok(amount));
    }

    #[test]
    fn any_number_is_read_as_on_paper(
        text in "-?[0-9]{1,40}(\\.[0-9]{1,17})?([eE][+-]?[0-9]{1,3})?",
        scale in samples::scale(),
    ) {
        let read = decimal::units_from_text(&text, scale).map(|units| units.to_string());
        prop_assert_eq!(read, parse_by_hand(&text, scale));
    }

    #[test]
    fn small_numbers_with_exponents_are_read_as_on_paper(
        text in "-?0{0,2}[0-9]{1,6}(\\.[0-9]{1,6}0{0,9})?([eE][+-]?[0-9]{1,2})?",
        scale in samples::scale(),
    ) {
        let read = decimal::units_from_text(&text, scale).map(|units| units.to_string());
        prop_assert_eq!(read, parse_by_hand(&text, scale));
    }

    #[test]
    fn zeros_and_exponents_do_not_change_a_number(units in samples::units(), scale in samples::scale(), move_by in 0..9_usize) {
        let text = Shown(units, scale).to_string();
        let zeros = "0".repeat(move_by);
        let point = if text.contains('.') { "" } else { "." };
        let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
        prop_assert_eq!(decimal::units_from_text(&format!("{sign}{zeros}{digits}"), scale), Ok(units));
        prop_assert_eq!(decimal::units_from_text(&format!("{text}{point}0{zeros}"), scale), Ok(units));
        prop_assert_eq!(decimal::units_from_text(&format!("{units}e-{scale}"), scale), Ok(units));
        prop_assert_eq!(decimal::units_from_text(&format!("{units}{zeros}E-{}", usize::from(scale) + move_by), scale), Ok(units));
    }

    #[test]
    fn no_text_whatsoever_panics_or_is_read_as_two_things(text in any::<String>(), scale in samples::scale()) {
        if let Ok(units) = decimal::units_from_text(&text, scale) {
            prop_assert_eq!(decimal::units_from_text(&Shown(units, scale).to_string(), scale), Ok(units));
        }
    }

    #[test]
    fn nothing_that_looks_a_bit_like_a_number_panics(text in "[-+.eE0-9]{0,70}", scale in samples::scale()) {
        let number = text.strip_prefix('-').unwrap_or(&text);
        let starts_like_one = number.starts_with(|first: char| first.is_ascii_digit());
        let read = decimal::units_from_text(&text, scale);
        prop_assert_eq!(read == Err(AmountError::TooLong), text.len() > decimal::MAX_TEXT_LEN);
        prop_assert!(starts_like_one || read.is_err());
    }
}

#[test]
fn the_limits_survive_at_every_scale() {
    for scale in 0..=Asset::MAX_SCALE {
        let one = 10_i128.pow(u32::from(scale));
        for units in [
            i128::MIN,
            i128::MIN + 1,
            -one,
            1 - one,
            -1,
            0,
            1,
            one - 1,
            one,
            i128::MAX - 1,
            i128::MAX,
        ] {
            let text = Shown(units, scale).to_string();
            assert_eq!(
                decimal::units_from_text(&text, scale),
                Ok(units),
                "{text} at scale {scale}"
            );
            assert!(text.len() <= 41, "{text}");
        }
    }
    assert_eq!(
        Shown(i128::MIN, 18).to_string(),
        "-170141183460469231731.687303715884105728"
    );
    assert_eq!(
        Shown(i128::MIN, 0).to_string(),
        "-170141183460469231731687303715884105728"
    );
    for text in [
        "170141183460469231731.687303715884105728",
        "-170141183460469231731.687303715884105729",
    ] {
        assert_eq!(Amount::parse(text, Asset::ETH), Err(AmountError::OutOfRange));
    }
}

#[test]
fn an_amount_is_shown_as_the_shortest_exact_number() {
    let shown = |units, asset| Amount::new(units, asset).to_string();
    assert_eq!(shown(3_000, Asset::USD), "30");
    assert_eq!(shown(50_000_000, Asset::BTC), "0.5");
    assert_eq!(shown(-1_377, Asset::USD), "-13.77");
    assert_eq!(shown(-5, Asset::USD), "-0.05");
    assert_eq!(shown(1, Asset::ETH), "0.000000000000000001");
    assert_eq!(shown(0, Asset::ETH), "0");
    assert_eq!(shown(100, Asset::JPY), "100");
    let beyond_64_bits = Amount::new((1 << 64) * 10_i128.pow(18) + 1, Asset::ETH);
    assert_eq!(beyond_64_bits.to_string(), "18446744073709551616.000000000000000001");
    assert_eq!(
        Amount::parse("18446744073709551616.000000000000000001", Asset::ETH),
        Ok(beyond_64_bits)
    );
}

#[test]
fn columns_line_up_and_a_precision_cuts_nothing_off() {
    let amount = Amount::new(-1_377, Asset::USD);
    assert_eq!(
        format!("{amount:>8}|{amount:<8}|{amount:.0}"),
        "  -13.77|-13.77  |-13.77"
    );
    assert_eq!(format!("{amount:?}"), "-13.77 USD");
    assert_eq!(format!("{:>5}|", Asset::BTC), "  BTC|");
}

#[test]
fn a_number_may_be_written_in_every_way_json_has() {
    for (text, cents) in [
        ("30", 3_000),
        ("30.0", 3_000),
        ("30.00000000000000000000", 3_000),
        ("3e1", 3_000),
        ("3E+1", 3_000),
        ("300e-1", 3_000),
        ("0.3e2", 3_000),
        ("1.5E-1", 15),
        ("1.500", 150),
        ("0.01", 1),
        ("1e-2", 1),
        ("007", 700),
        ("-13.77", -1_377),
        ("0", 0),
        ("-0", 0),
        ("-0.0e0", 0),
        ("0e999999999", 0),
        ("0.000e-999999999", 0),
        ("1000000000000000000000e-21", 100),
        ("0.000000000000000000000001e24", 100),
    ] {
        assert_eq!(
            Amount::parse(text, Asset::USD),
            Ok(Amount::new(cents, Asset::USD)),
            "{text}"
        );
    }
}

#[test]
fn what_is_not_an_amount_is_refused_and_never_rounded() {
    use AmountError::{Malformed, OutOfRange, TooLong, TooPrecise};
    let long_zero = "0".repeat(65);
    let longest = "9".repeat(64);
    let longest_exponent = format!("1e{}", "9".repeat(62));
    for (text, error) in [
        ("", Malformed),
        ("-", Malformed),
        (".", Malformed),
        (".5", Malformed),
        ("5.", Malformed),
        ("-.5", Malformed),
        ("+5", Malformed),
        ("--5", Malformed),
        ("5-", Malformed),
        ("1.2.3", Malformed),
        ("1e", Malformed),
        ("1e+", Malformed),
        ("1e-", Malformed),
        ("1e1.5", Malformed),
        ("1e1e1", Malformed),
        ("e5", Malformed),
        ("1.e5", Malformed),
        (" 1", Malformed),
        ("1 ", Malformed),
        ("1\n", Malformed),
        ("1,5", Malformed),
        ("1_000", Malformed),
        ("1'000", Malformed),
        ("0x10", Malformed),
        ("NaN", Malformed),
        ("nan", Malformed),
        ("inf", Malformed),
        ("Infinity", Malformed),
        ("-Infinity", Malformed),
        ("null", Malformed),
        ("\"1\"", Malformed),
        ("\u{0}", Malformed),
        ("1\u{0}", Malformed),
        ("٣", Malformed),
        ("１", Malformed),
        ("½", Malformed),
        ("−1", Malformed),
        ("$1", Malformed),
        ("1 USD", Malformed),
        ("0.001", TooPrecise),
        ("1.005", TooPrecise),
        ("-0.009", TooPrecise),
        ("30.000000000000000000001", TooPrecise),
        ("1e-3", TooPrecise),
        ("1e-999999999", TooPrecise),
        ("1e-99999999999999999999", TooPrecise),
        ("1e999999999", OutOfRange),
        ("-1e99999999999999999999", OutOfRange),
        ("1e37", OutOfRange),
        ("1701411834604692317316873037158841057.28", OutOfRange),
        ("-1701411834604692317316873037158841057.29", OutOfRange),
        (&longest, OutOfRange),
        (&longest_exponent, OutOfRange),
        (&long_zero, TooLong),
    ] {
        assert_eq!(Amount::parse(text, Asset::USD), Err(error), "{text:?}");
    }
    assert_eq!(Amount::parse("0.5", Asset::JPY), Err(TooPrecise));
    assert_eq!(Amount::parse(&"1".repeat(10_000_000), Asset::USD), Err(TooLong));
}

#[test]
fn errors_do_not_repeat_what_was_sent() {
    for error in [
        AmountError::Malformed,
        AmountError::TooLong,
        AmountError::TooPrecise,
        AmountError::OutOfRange,
    ] {
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(
        "hunter2".parse::<Asset>().unwrap_err().to_string(),
        "unknown asset code"
    );
}

#[test]
fn assets_are_found_by_their_code_and_ordered_by_it() {
    let table = [
        ("BTC", 8, AssetKind::Crypto),
        ("ETH", 18, AssetKind::Crypto),
        ("LTC", 8, AssetKind::Crypto),
        ("SOL", 9, AssetKind::Crypto),
        ("XRP", 6, AssetKind::Crypto),
        ("USD", 2, AssetKind::Fiat),
        ("EUR", 2, AssetKind::Fiat),
        ("GBP", 2, AssetKind::Fiat),
        ("CHF", 2, AssetKind::Fiat),
        ("JPY", 0, AssetKind::Fiat),
    ];
    assert_eq!(Asset::KNOWN.len(), table.len());
    for (code, scale, kind) in table {
        let asset = Asset::from_code(code).unwrap();
        assert_eq!((asset.code(), asset.scale(), asset.kind()), (code, scale, kind));
        assert_eq!(asset.to_string(), code);
        assert_eq!(code.parse(), Ok(asset));
    }
    for unknown in ["", "btc", "BTC ", "XBT", "BTCX", "DOGE"] {
        assert_eq!(Asset::from_code(unknown), None, "{unknown:?}");
    }
    let mut sorted = Asset::KNOWN.to_vec();
    sorted.sort();
    assert!(sorted.windows(2).all(|pair| pair[0].code() < pair[1].code()));
    let distinct: std::collections::HashSet<Asset> = Asset::KNOWN.iter().chain(Asset::KNOWN).copied().collect();
    assert_eq!(distinct.len(), table.len());
}
