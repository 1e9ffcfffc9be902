//! withdrawing → reversing → releasing: the chain refuses before anything is signed, the trade is undone, and the user is
//! exactly where they were. What that costs or brings is the treasury's.

use contracts::ledger::Owner;
use contracts::messages::Step;
use contracts::{Asset, BasisPoints, Price};
use exchanger::venue::simulated::{Conduct, Market};
use test_kit::api::{User, placed};
use test_kit::system::{Scene, TestSystem};

use super::{REVERSED, order, stuck_sagas, until};
use crate::ending::ending;

fn market(price: u128) -> Market {
    Market {
        price: Price::from_units(price, 0).unwrap(),
        ..Market::default()
    }
}

/// A buy of 30 that is executed and cannot be sent; the chain says so when [`let_it_be_refused`] lets it.
async fn given_a_buy_that_cannot_be_sent(system: &TestSystem, user: &User) -> i64 {
    system.chain_manners.silence(true);
    system.chain_manners.refuse_all(true);
    let buy = placed(&user.buy("30", None).await);
    until(system, user, buy, "withdrawing").await;
    assert_eq!(system.balance(&Owner::HotWallet, Asset::BTC), "1003");
    buy
}

fn let_it_be_refused(system: &TestSystem) {
    system.chain_manners.silence(false);
}

#[tokio::test]
async fn a_trade_that_cannot_be_delivered_is_undone_at_whatever_price() {
    let system = TestSystem::start().await;
    // Selling 3 crypto back brings 30, 24 or 36, less the fee; 30 were spent.
    let fee = BasisPoints::try_new(100).unwrap();
    let cases = [
        ("ann", market(10), "-1000", "0"),
        ("bob", market(8), "-1006", "0"),
        ("cat", market(12), "-1000", "0"),
        ("dan", Market { fee, ..market(10) }, "-1000.3", "0.3"),
    ];
    for (name, later, treasury, fees) in cases {
        let user = system.api.given_a_user_with(name, "600").await;
        system.venue.set_market(market(10));
        let buy = given_a_buy_that_cannot_be_sent(&system, &user).await;
        system.venue.set_market(later);
        let_it_be_refused(&system);
        let end = ending(&system, &user, buy).await;
        let end = end.failed_by("withdrawal_refused", REVERSED).leaving("600", "0");
        assert!(end.mail.contains("could not be sent to your address"), "{}", end.mail);
        assert_eq!(system.balance(&Owner::Treasury, Asset::USD), treasury, "{name}");
        assert_eq!(system.balance(&Owner::Fees, Asset::USD), fees, "{name}");
        assert_eq!(system.coins(user.id, Asset::BTC).await, "0");
        system.assert_at_rest();
    }
}

#[tokio::test]
async fn what_was_bought_in_part_is_undone_and_given_back_as_a_whole() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let half = BasisPoints::try_new(5_000).unwrap();
    system
        .venue_manners
        .set(order(1), Step::Exchange, 1, Conduct::Partial(half));
    system.chain_manners.refuse_all(true);
    let buy = placed(&user.buy("30", None).await);
    let end = ending(&system, &user, buy).await;
    end.failed_by("withdrawal_refused", REVERSED).leaving("600", "0");
    assert_eq!(system.balance(&Owner::Treasury, Asset::USD), "-1000");
    system.assert_at_rest();
}

#[tokio::test]
async fn a_reversal_goes_on_until_all_is_sold() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let half = BasisPoints::try_new(5_000).unwrap();
    system
        .venue_manners
        .set(order(1), Step::Reverse, 1, Conduct::Partial(half));
    system
        .venue_manners
        .set(order(1), Step::Reverse, 2, Conduct::ExecuteThenTimeOut);
    system.chain_manners.refuse_all(true);
    let buy = placed(&user.buy("30", None).await);
    let end = ending(&system, &user, buy).await;
    end.failed_by("withdrawal_refused", REVERSED).leaving("600", "0");
    let undone_in_two = ["1-exchange-1", "1-reverse-1", "1-reverse-2"];
    assert_eq!(system.executed().await, undone_in_two);
    system.assert_at_rest();
}

#[tokio::test]
async fn a_reversal_that_is_refused_too_often_asks_an_operator() {
    let system = Scene::default().with("max_attempts", "2").start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    for attempt in [1, 2] {
        system
            .venue_manners
            .set(order(1), Step::Reverse, attempt, Conduct::Refuse);
    }
    system.chain_manners.refuse_all(true);
    let buy = placed(&user.buy("30", None).await);
    let stuck = until(&system, &user, buy, "stuck_reversing").await;
    assert_eq!(stuck["status"], "pending", "to the user it is under way");
    assert_eq!(stuck_sagas(&system).await, [(buy, "stuck_reversing".to_owned())]);
    // Nothing is given back, and nothing is lost: the house has the crypto for the user's 30.
    assert_eq!(user.balances().await, ("570".into(), "0".into()));
    assert_eq!(system.balance(&Owner::HotWallet, Asset::USD), "1000");
    assert_eq!(system.balance(&Owner::HotWallet, Asset::BTC), "1003");
    assert_eq!(system.mails(), 0);
    let report = system.audit();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.orders.stuck(), 1);
}
