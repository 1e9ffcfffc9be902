//! Amounts in JSON documents: the same digits in and out, wherever they stand, and no float on the way.

use std::collections::BTreeMap;

use contracts::money::{Amount, AmountError, Asset, BasisPoints, DecimalText, JsonNumber, Price};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::samples;

/// A body as the API has them.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    crypto_amount: Option<DecimalText>,
    fiat_amount: DecimalText,
}

/// A message as the queues have them.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Message {
    Filled {
        quantity: Amount,
        price: Price,
        fee: BasisPoints,
    },
}

#[derive(Serialize)]
struct WalletView {
    user_id: u64,
    crypto_amount: JsonNumber,
    fiat_amount: JsonNumber,
    pending: Option<JsonNumber>,
    held: Option<JsonNumber>,
}

fn change(json: &str) -> Result<Change, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn an_amount_survives_json(amount in samples::amount()) {
        let json = serde_json::to_string(&amount).unwrap();
        prop_assert_eq!(&json, &format!(r#"{{"amount":"{amount}","asset":"{}"}}"#, amount.asset()));
        prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
        prop_assert_eq!(serde_json::from_reader::<_, Amount>(json.as_bytes()).unwrap(), amount);
        // It is a string there, so even a detour through a tree of values keeps it.
        let tree = serde_json::to_value(amount).unwrap();
        prop_assert_eq!(serde_json::from_value::<Amount>(tree).unwrap(), amount);
    }

    #[test]
    fn a_json_number_has_exactly_the_digits_of_the_amount(amount in samples::amount()) {
        let json = serde_json::to_string(&JsonNumber(amount)).unwrap();
        prop_assert_eq!(&json, &amount.to_string());
        let text: DecimalText = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(text.text(), &json);
        prop_assert_eq!(text.amount(amount.asset()), Ok(amount));
        prop_assert_eq!(serde_json::to_string(&DecimalText::from(amount)).unwrap(), json);
    }

    #[test]
    fn a_number_keeps_its_text_as_number_and_as_string(
        text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
    ) {
        let number = change(&format!(r#"{{"fiat_amount":{text}}}"#)).unwrap();
        let string = change(&format!(r#"{{ "fiat_amount" : "{text}" }}"#)).unwrap();
        prop_assert_eq!(number.fiat_amount.text(), &text);
        prop_assert_eq!(&number, &string);
        prop_assert_eq!(serde_json::to_string(&number).unwrap(), format!(r#"{{"fiat_amount":{text}}}"#));
    }

    #[test]
    fn no_text_is_changed_by_being_written_and_read(text in any::<String>()) {
        if let Ok(decimal) = DecimalText::try_new(&text) {
            let json = serde_json::to_string(&decimal).unwrap();
            prop_assert_eq!(serde_json::from_str::<DecimalText>(&json).unwrap(), decimal);
        }
    }
}

#[test]
fn digits_that_a_float_would_lose_are_kept() {
    let read = change(r#"{"crypto_amount":0.100000000000000001,"fiat_amount":9007199254740993.01}"#).unwrap();
    let crypto = read.crypto_amount.unwrap().amount(Asset::ETH).unwrap();
    assert_eq!(crypto.units(), 100_000_000_000_000_001);
    assert_eq!(
        read.fiat_amount.amount(Asset::USD).unwrap().units(),
        900_719_925_474_099_301
    );
    assert_eq!(
        serde_json::to_string(&JsonNumber(crypto)).unwrap(),
        "0.100000000000000001"
    );

    let longest = "-170141183460469231731.687303715884105728";
    let read: DecimalText = serde_json::from_str(longest).unwrap();
    assert_eq!(read.amount(Asset::ETH), Ok(Amount::new(i128::MIN, Asset::ETH)));
}

#[test]
fn an_optional_number_may_be_absent_or_null() {
    for json in [r#"{"fiat_amount":30}"#, r#"{"crypto_amount":null,"fiat_amount":30}"#] {
        let read = change(json).unwrap();
        assert_eq!(read.crypto_amount, None);
        assert_eq!(read.fiat_amount.text(), "30");
    }
    let read = change(r#"{"crypto_amount":-0.5,"fiat_amount":"30"}"#).unwrap();
    assert_eq!(read.crypto_amount.unwrap().text(), "-0.5");
    assert!(
        change(r#"{"crypto_amount":1}"#)
            .unwrap_err()
            .contains("missing field `fiat_amount`")
    );
    assert!(
        change(r#"{"fiat_amount":1,"fee":1}"#)
            .unwrap_err()
            .contains("unknown field `fee`")
    );
    assert!(
        change(r#"{"fiat_amount":1,"fiat_amount":2}"#)
            .unwrap_err()
            .contains("duplicate field")
    );
}

#[test]
fn numbers_are_kept_in_lists_and_maps_and_from_any_source() {
    let json = r#"{"a":[1.10,"2.20"],"b":[]}"#;
    let from_text: BTreeMap<String, Vec<DecimalText>> = serde_json::from_str(json).unwrap();
    let from_bytes: BTreeMap<String, Vec<DecimalText>> = serde_json::from_slice(json.as_bytes()).unwrap();
    let from_stream: BTreeMap<String, Vec<DecimalText>> = serde_json::from_reader(json.as_bytes()).unwrap();
    assert_eq!(
        from_text["a"].iter().map(DecimalText::text).collect::<Vec<_>>(),
        ["1.10", "2.20"]
    );
    assert_eq!(from_text, from_bytes);
    assert_eq!(from_text, from_stream);
}

#[test]
fn only_numbers_and_strings_are_numbers() {
    for json in ["null", "true", "false", "[]", "[1]", "{}", r#"{"amount":1}"#] {
        let error = change(&format!(r#"{{"fiat_amount":{json}}}"#)).unwrap_err();
        assert!(error.contains("expected a number"), "{json}: {error}");
    }
    for json in [
        "", "01", "1.", ".5", "+1", "-", "1e", "NaN", "Infinity", "0x1", "1_0", "'1'", "\"1",
    ] {
        assert!(change(&format!(r#"{{"fiat_amount":{json}}}"#)).is_err(), "{json}");
    }
    // A string that is no number is a readable document, but no amount.
    let read = change(r#"{"fiat_amount":"thirty"}"#).unwrap();
    assert_eq!(read.fiat_amount.amount(Asset::USD), Err(AmountError::Malformed));
    assert_eq!(
        change(r#"{"fiat_amount":""}"#).unwrap().fiat_amount.amount(Asset::USD),
        Err(AmountError::Malformed)
    );
}

#[test]
fn a_number_of_64_characters_is_read_and_a_longer_one_is_not() {
    let longest = format!("0.{}", "1".repeat(62));
    let too_long = format!("{longest}1");
    for (open, close) in [("", ""), ("\"", "\"")] {
        assert_eq!(
            change(&format!(r#"{{"fiat_amount":{open}{longest}{close}}}"#))
                .unwrap()
                .fiat_amount
                .text(),
            longest
        );
        let error = change(&format!(r#"{{"fiat_amount":{open}{too_long}{close}}}"#)).unwrap_err();
        assert!(error.contains("more than 64 characters"), "{error}");
        let huge = "1".repeat(1_000_000);
        let error = change(&format!(r#"{{"fiat_amount":{open}{huge}{close}}}"#)).unwrap_err();
        assert!(
            error.contains("more than 64 characters") && error.len() < 100,
            "{error}"
        );
    }
    assert_eq!(DecimalText::try_new(&too_long), Err(AmountError::TooLong));
}

#[test]
fn what_is_not_quite_a_number_is_written_as_a_string() {
    for (text, json) in [
        ("1", "1"),
        ("-0.50e+3", "-0.50e+3"),
        ("1 ", "\"1 \""),
        (" 1", "\" 1\""),
        ("01", "\"01\""),
        ("1.", "\"1.\""),
        ("-", "\"-\""),
        ("", "\"\""),
        ("null", "\"null\""),
        ("{}", "\"{}\""),
        ("1,2", "\"1,2\""),
    ] {
        let written = serde_json::to_string(&DecimalText::try_new(text).unwrap()).unwrap();
        assert_eq!(written, json);
    }
}

#[test]
fn a_string_may_be_written_with_escapes() {
    let escaped: String = "0."
        .chars()
        .chain(std::iter::repeat_n('1', 62))
        .map(|c| format!("\\u{:04x}", u32::from(c)))
        .collect();
    let read = change(&format!(r#"{{"fiat_amount":"{escaped}"}}"#)).unwrap();
    assert_eq!(read.fiat_amount.text(), format!("0.{}", "1".repeat(62)));
}

#[test]
fn where_serde_makes_floats_a_number_is_an_error_and_not_a_guess() {
    #[derive(Debug, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Buy {
            #[expect(dead_code, reason = "it is never read, which is the point")]
            fiat_amount: DecimalText,
        },
    }

    assert!(serde_json::from_str::<Tagged>(r#"{"kind":"Buy","fiat_amount":0.1}"#).is_err());
    assert!(serde_json::from_str::<Tagged>(r#"{"kind":"Buy","fiat_amount":"0.1"}"#).is_err());
}

#[test]
fn messages_carry_amounts_prices_and_fees_exactly() {
    let message = Message::Filled {
        quantity: Amount::new(1, Asset::ETH),
        price: Price::parse("0.000000000000000001").unwrap(),
        fee: BasisPoints::try_new(25).unwrap(),
    };
    let json = r#"{"kind":"filled","quantity":{"amount":"0.000000000000000001","asset":"ETH"},"price":"0.000000000000000001","fee":25}"#;
    assert_eq!(serde_json::to_string(&message).unwrap(), json);
    assert_eq!(serde_json::from_str::<Message>(json).unwrap(), message);
}

#[test]
fn an_amount_is_read_in_either_order_and_refused_with_anything_else() {
    let read = |json: &str| serde_json::from_str::<Amount>(json).map_err(|error| error.to_string());
    let half = Amount::new(50_000_000, Asset::BTC);
    assert_eq!(read(r#"{"asset":"BTC","amount":"0.50"}"#), Ok(half));
    assert_eq!(read("{\"amount\":\"\\u0030.5\",\"asset\":\"\\u0042TC\"}"), Ok(half));
    for (json, reason) in [
        (r#"{"amount":"0.5"}"#, "missing field `asset`"),
        (r#"{"asset":"BTC"}"#, "missing field `amount`"),
        (r#"{"amount":"0.5","asset":"BTC","scale":8}"#, "unknown field `scale`"),
        (
            r#"{"amount":"0.5","asset":"BTC","asset":"BTC"}"#,
            "duplicate field `asset`",
        ),
        (r#"{"amount":0.5,"asset":"BTC"}"#, "invalid type: floating point"),
        (r#"{"amount":"0.5","asset":"btc"}"#, "unknown asset code"),
        (r#"{"amount":"0.5","asset":1}"#, "the code of an asset"),
        (
            r#"{"amount":"0.000000001","asset":"BTC"}"#,
            "more decimals than the asset has",
        ),
        (r#"{"amount":"1e40","asset":"BTC"}"#, "out of range"),
        (r#"{"amount":"half","asset":"BTC"}"#, "not a decimal number"),
        (r#""0.5 BTC""#, "an amount"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(reason), "{json}: {error}");
    }
    let error = read(r#"{"amount":"1","asset":"correct horse battery staple"}"#).unwrap_err();
    assert!(!error.contains("horse"), "{error}");
}

#[test]
fn a_wallet_shows_numbers_as_documented() {
    let view = WalletView {
        user_id: 2,
        crypto_amount: JsonNumber(Amount::new(50_000_000, Asset::BTC)),
        fiat_amount: Amount::new(1_377, Asset::USD).into(),
        pending: None,
        held: Some(JsonNumber(Amount::new(-1, Asset::ETH))),
    };
    assert_eq!(
        serde_json::to_string(&view).unwrap(),
        r#"{"user_id":2,"crypto_amount":0.5,"fiat_amount":13.77,"pending":null,"held":-0.000000000000000001}"#
    );
    assert_eq!(serde_json::to_string_pretty(&view.crypto_amount).unwrap(), "0.5");
}

#[test]
fn assets_are_their_codes_as_values_and_as_keys() {
    for asset in Asset::KNOWN {
        let json = format!("\"{asset}\"");
        assert_eq!(serde_json::to_string(asset).unwrap(), json);
        assert_eq!(serde_json::from_str::<Asset>(&json).unwrap(), *asset);
    }
    let balances: BTreeMap<Asset, u8> = serde_json::from_str(r#"{"USD":1,"BTC":2}"#).unwrap();
    assert_eq!(serde_json::to_string(&balances).unwrap(), r#"{"BTC":2,"USD":1}"#);
    assert!(serde_json::from_str::<Asset>("null").is_err());
}

#[test]
fn basis_points_are_whole_numbers_up_to_everything() {
    for points in [0, 1, 25, 10_000] {
        let share = BasisPoints::try_new(points).unwrap();
        assert_eq!(serde_json::to_string(&share).unwrap(), points.to_string());
        assert_eq!(serde_json::from_str::<BasisPoints>(&points.to_string()).unwrap(), share);
        assert_eq!(points.to_string().parse(), Ok(share));
        assert_eq!((share.get(), share.to_string()), (points, points.to_string()));
    }
    assert_eq!(BasisPoints::default(), BasisPoints::ZERO);
    for json in ["10001", "4294967296", "-1", "0.5", "\"25\"", "null"] {
        assert!(serde_json::from_str::<BasisPoints>(json).is_err(), "{json}");
    }
    for text in ["10001", "-1", "", "0.5", "1e2"] {
        assert!(text.parse::<BasisPoints>().is_err(), "{text}");
    }
    assert!(BasisPoints::try_new(u32::MAX).is_err());
}
