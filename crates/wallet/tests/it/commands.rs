//! The commands that states ask for, to the letter: their receivers compare them with what they have.

use contracts::clients::Side;
use contracts::messages::{FailureCode, Trade};
use contracts::money::DecimalText;
use contracts::{Asset, UserId};
use storage::outbox::Destination;
use wallet::domain::{Command, Effect, Fact, MAX_UNITS, OrderState, Saga, Terms, command};

use crate::samples::*;

fn json(side: Side, state: OrderState, effect: Effect) -> (String, serde_json::Value) {
    let order = order_with(saga_in(side, state).unwrap());
    let command = command(&order, effect).unwrap();
    let value = serde_json::from_str(&command.to_json().unwrap()).unwrap();
    (command.destination().to_string(), value)
}

#[test]
fn a_hold_moves_the_users_money_to_the_hot_wallet() {
    let (destination, posting) = json(Side::Buy, OrderState::Created, Effect::Hold);
    assert_eq!(destination, "service:balance");
    let expected = serde_json::json!({"transfers": [{
        "id": {"origin": {"order": 7}, "leg": "hold"},
        "debit": "user:2", "credit": "hot_wallet",
        "amount": {"amount": "30", "asset": "USD"},
        "reason": "hold for order 7", "actor": "wallet",
    }]});
    assert_eq!(posting, expected);
}

#[test]
fn a_release_moves_what_is_left_back() {
    let (_, posting) = json(Side::Sell, OrderState::Releasing, Effect::Release);
    let expected = serde_json::json!({"transfers": [{
        "id": {"origin": {"order": 7}, "leg": "release"},
        "debit": "hot_wallet", "credit": "user:2",
        "amount": {"amount": "1.5", "asset": "BTC"},
        "reason": "release for order 7", "actor": "wallet",
    }]});
    assert_eq!(posting, expected);
}

#[test]
fn a_trade_is_asked_for_with_the_hold_as_its_ceiling_and_undone_by_what_it_filled() {
    let (destination, trade) = json(Side::Buy, OrderState::Exchanging, Effect::Exchange);
    assert_eq!(destination, "service:exchanger");
    let expected = serde_json::json!({
        "order_id": 7, "acquirer_user_id": 2, "side": "buy", "asset": "BTC", "currency": "USD",
        "amount": {"amount": "30", "asset": "USD"}, "compensate": false,
    });
    assert_eq!(trade, expected);
    let (_, reversal) = json(Side::Buy, OrderState::Reversing, Effect::Reverse);
    assert_eq!(reversal["compensate"], true);
    assert_eq!(reversal["side"], "buy");
    assert_eq!(reversal["amount"], serde_json::json!({"amount": "3", "asset": "BTC"}));
}

#[test]
fn what_was_filled_is_withdrawn_from_the_hot_wallet() {
    let order = order_with(saga_in(Side::Buy, OrderState::Withdrawing).unwrap());
    let Some(Command::Withdraw(withdraw)) = command(&order, Effect::Withdraw) else {
        panic!("a withdrawal");
    };
    assert_eq!(withdraw.source_user_id, UserId::HOT_WALLET);
    assert_eq!((withdraw.acquirer_user_id, withdraw.amount), (user(2), btc("3")));
    assert!(!withdraw.compensate);
}

#[test]
fn every_current_effect_has_a_command_and_an_alert_has_none() {
    for side in [Side::Buy, Side::Sell] {
        for state in OrderState::ALL {
            let Some(saga) = saga_in(side, state) else { continue };
            let effect = saga.current_effect();
            let order = order_with(saga);
            assert_eq!(effect.is_none(), state.is_end());
            assert!(effect.is_none_or(|effect| command(&order, effect).is_some()), "{state}");
            assert_eq!(command(&order, Effect::AlertOperator), None);
        }
    }
}

fn notice(saga: Saga) -> String {
    match command(&order_with(saga), Effect::Notify) {
        Some(Command::Notify(notice)) => {
            assert_eq!((notice.order_id, notice.user_id), (order_id(7), user(2)));
            assert!(notice.payload.len() < 4_096);
            notice.payload
        }
        other => panic!("a notice, not {other:?}"),
    }
}

#[test]
fn a_buyer_reads_what_was_bought_for_how_much() {
    let text = notice(saga_in(Side::Buy, OrderState::Completed).unwrap());
    assert_eq!(text.lines().next(), Some("You bought 3 BTC for 30 USD"));
    assert!(text.contains("The price was 10 USD for 1 BTC."), "{text}");
    assert!(text.contains("order number 7"), "{text}");
}

#[test]
fn a_seller_of_a_part_reads_the_fee_and_what_is_back() {
    let trade = partial_trade(Side::Sell);
    let text = notice(walk(Side::Sell, [Fact::Held, Fact::Exchanged { trade }]));
    assert_eq!(
        text.lines().next(),
        Some("You sold 0.7 BTC for 7 USD, less a fee of 0.7 USD")
    );
    assert!(
        text.contains("Of the 1.5 BTC you set aside, 0.8 BTC were not sold and are back in your wallet."),
        "{text}"
    );
}

#[test]
fn a_buyer_with_a_fee_reads_what_was_charged_on_top() {
    let trade = Trade {
        ..partial_trade(Side::Buy)
    };
    let text = notice(walk(Side::Buy, [Fact::Held, Fact::Exchanged { trade }, withdrawn()]));
    assert_eq!(
        text.lines().next(),
        Some("You bought 1.4 BTC for 14 USD and a fee of 0.7 USD")
    );
    assert!(
        text.contains("Of the 30 USD you set aside, 15.3 USD were not needed"),
        "{text}"
    );
}

#[test]
fn who_is_failed_reads_that_nothing_was_charged_whatever_the_reason() {
    for code in FailureCode::ALL {
        let text = notice(walk(
            Side::Buy,
            [Fact::Held, Fact::ExchangeFailed { code }, Fact::Released],
        ));
        assert_eq!(text.lines().next(), Some("Your order to buy BTC was not carried out"));
        assert!(
            text.contains("Nothing was charged: your 30 USD are back in your wallet."),
            "{text}"
        );
        assert!(!text.contains('_'), "a word for programs: {text}");
    }
}

#[test]
fn terms_are_exact_and_refuse_what_makes_no_sense() {
    let read = |side, asset, currency, text: &str| {
        Terms::try_new(side, asset, currency, &DecimalText::try_new(text).unwrap()).map_err(|error| error.field)
    };
    let ok = read(Side::Buy, Asset::ETH, Asset::EUR, "0.01").unwrap();
    assert_eq!((ok.hold.units(), ok.hold.asset()), (1, Asset::EUR));
    assert_eq!(
        read(Side::Sell, Asset::ETH, Asset::EUR, "1e-18").unwrap().hold.units(),
        1
    );
    for text in ["0", "-1", "0.001", "x", "", "1e40", "1e29"] {
        assert_eq!(
            read(Side::Buy, Asset::BTC, Asset::USD, text),
            Err("fiat_amount"),
            "{text}"
        );
    }
    assert_eq!(
        read(Side::Sell, Asset::BTC, Asset::USD, "0.000000001"),
        Err("crypto_amount")
    );
    assert_eq!(read(Side::Buy, Asset::EUR, Asset::USD, "1"), Err("asset"));
    assert_eq!(read(Side::Buy, Asset::BTC, Asset::ETH, "1"), Err("currency"));
    assert_eq!(
        read(Side::Buy, Asset::BTC, Asset::USD, "1e28").unwrap().hold.units(),
        MAX_UNITS
    );
}

#[test]
fn destinations_are_the_services() {
    let order = order_with(saga_in(Side::Buy, OrderState::Completed).unwrap());
    let notify = command(&order, Effect::Notify).unwrap().destination();
    assert_eq!(notify, Destination::Service(contracts::ServiceName::Notification));
}
