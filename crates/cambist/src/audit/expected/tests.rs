//! Every state with every record of the other services: what an order must have moved, and nothing else.

use contracts::messages::Trade;
use contracts::{Asset, Price, UserId};

use super::*;

fn usd(text: &str) -> Amount {
    Amount::parse(text, Asset::USD).unwrap()
}

fn btc(text: &str) -> Amount {
    Amount::parse(text, Asset::BTC).unwrap()
}

fn ada() -> Owner {
    Owner::wallet(UserId::try_new(2).unwrap())
}

/// A buy of 30 that got 2.5 for 25 and a fee of 1, or a sell of 1.5 of which 1 was sold.
fn saga(side: Side, state: OrderState, traded: bool) -> Saga {
    let terms = Terms {
        side,
        asset: Asset::BTC,
        currency: Asset::USD,
        hold: match side {
            Side::Buy => usd("30"),
            Side::Sell => btc("1.5"),
        },
    };
    Saga {
        state,
        held: true,
        trade: traded.then(|| trade(side)),
        ..Saga::new(terms)
    }
}

fn trade(side: Side) -> Trade {
    let price = Price::parse("10").unwrap();
    match side {
        Side::Buy => Trade {
            filled: btc("2.5"),
            value: usd("25"),
            fee: usd("1"),
            returned: usd("4"),
            price,
        },
        Side::Sell => Trade {
            filled: btc("1"),
            value: usd("10"),
            fee: usd("1"),
            returned: btc("0.5"),
            price,
        },
    }
}

/// The allowed effects as text, for example `user:2 -30 USD, hot_wallet +30 USD`.
fn told(saga: &Saga, evidence: &Evidence) -> Vec<String> {
    let allowed = allowed(saga, &ada(), evidence);
    allowed.iter().map(ToString::to_string).collect()
}

const NOTHING: &str = "nothing";
const HELD: &str = "user:2 -30 USD, hot_wallet +30 USD";
const BOUGHT: &str = "user:2 -26 USD, hot_wallet +2.5 BTC";
const WITHDRAWN: &str = "user:2 +2.5 BTC, user:2 -26 USD";
const SENT_BACK: &str = "user:2 -26 USD";
const UNDONE: &str = "user:2 -26 USD, hot_wallet +26 USD";
const SOLD: &str = "user:2 -1 BTC, user:2 +9 USD";

/// A state, and the same when stuck in it.
fn and_stuck(state: OrderState, from: Stage) -> [OrderState; 2] {
    [state, OrderState::Stuck { from }]
}

#[test]
fn before_the_hold_is_heard_of_it_is_booked_or_not() {
    let saga = saga(Side::Buy, OrderState::Created, false);
    assert_eq!(told(&saga, &Evidence::default()), [NOTHING, HELD]);
}

#[test]
fn at_the_venue_the_hold_lies_in_the_hot_wallet_until_a_trade_takes_its_place() {
    for state in and_stuck(OrderState::Exchanging, Stage::Exchanging) {
        let buy = saga(Side::Buy, state, false);
        assert_eq!(told(&buy, &Evidence::default()), [HELD]);
        let traded = |side| Evidence {
            traded: Some(Traded::from(&trade(side))),
            ..Evidence::default()
        };
        assert_eq!(told(&buy, &traded(Side::Buy)), [BOUGHT]);
        let sell = saga(Side::Sell, state, false);
        assert_eq!(
            told(&sell, &Evidence::default()),
            ["user:2 -1.5 BTC, hot_wallet +1.5 BTC"]
        );
        assert_eq!(told(&sell, &traded(Side::Sell)), [SOLD]);
    }
}

#[test]
fn on_the_chain_the_crypto_lies_in_the_hot_wallet_until_it_is_the_users() {
    for state in and_stuck(OrderState::Withdrawing, Stage::Withdrawing) {
        let buy = saga(Side::Buy, state, true);
        let with = |withdrawn| Evidence {
            withdrawn,
            ..Evidence::default()
        };
        assert_eq!(told(&buy, &with(Booked::No)), [BOUGHT]);
        assert_eq!(told(&buy, &with(Booked::Perhaps)), [BOUGHT, WITHDRAWN]);
        assert_eq!(told(&buy, &with(Booked::Yes)), [WITHDRAWN]);
    }
}

#[test]
fn a_reversal_puts_what_the_trade_took_back_into_the_hot_wallet() {
    for state in and_stuck(OrderState::Reversing, Stage::Reversing) {
        let buy = saga(Side::Buy, state, true);
        let with = |reversed| Evidence {
            reversed,
            ..Evidence::default()
        };
        assert_eq!(told(&buy, &with(Booked::No)), [BOUGHT]);
        assert_eq!(told(&buy, &with(Booked::Perhaps)), [BOUGHT, UNDONE]);
        assert_eq!(told(&buy, &with(Booked::Yes)), [UNDONE]);
    }
}

#[test]
fn a_release_leaves_nothing_with_anybody() {
    for state in and_stuck(OrderState::Releasing, Stage::Releasing) {
        let untraded = saga(Side::Buy, state, false);
        assert_eq!(told(&untraded, &Evidence::default()), [HELD, NOTHING]);
        let undone = saga(Side::Buy, state, true);
        assert_eq!(told(&undone, &Evidence::default()), [UNDONE, NOTHING]);
    }
    for traded in [false, true] {
        let failed = saga(Side::Buy, OrderState::Failed, traded);
        assert_eq!(told(&failed, &Evidence::default()), [NOTHING]);
    }
}

#[test]
fn a_completed_order_changes_its_user_by_what_was_filled_and_charged() {
    let buy = saga(Side::Buy, OrderState::Completed, true);
    assert_eq!(told(&buy, &Evidence::default()), [WITHDRAWN]);
    let sell = saga(Side::Sell, OrderState::Completed, true);
    assert_eq!(told(&sell, &Evidence::default()), [SOLD]);
}

#[test]
fn a_completed_buy_that_an_operator_takes_back_lies_in_the_hot_wallet_again() {
    for state in [OrderState::Completed, OrderState::Withdrawing] {
        let buy = saga(Side::Buy, state, true);
        let with = |taken_back, reversed| Evidence {
            withdrawn: Booked::Yes,
            taken_back,
            reversed,
            ..Evidence::default()
        };
        assert_eq!(
            told(&buy, &with(Booked::Perhaps, Booked::No)),
            [WITHDRAWN, SENT_BACK, BOUGHT]
        );
        assert_eq!(told(&buy, &with(Booked::Yes, Booked::No)), [BOUGHT]);
        assert_eq!(told(&buy, &with(Booked::Yes, Booked::Yes)), [UNDONE]);
        // Nobody may trade back what is still the user's.
        assert_eq!(told(&buy, &with(Booked::No, Booked::Yes)), [WITHDRAWN]);
    }
}

#[test]
fn a_state_that_presupposes_a_trade_allows_nothing_without_one() {
    for state in [OrderState::Withdrawing, OrderState::Reversing, OrderState::Completed] {
        assert!(told(&saga(Side::Buy, state, false), &Evidence::default()).is_empty());
    }
}
