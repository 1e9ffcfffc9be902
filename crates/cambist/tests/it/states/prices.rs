//! exchanging → done: what is booked is what was filled, at the venue's price and for its fee, and what rounding leaves
//! over has an account of its own.

use contracts::ledger::Owner;
use contracts::{Asset, BasisPoints, Price};
use exchanger::venue::simulated::Market;
use serde_json::json;
use test_kit::api::placed;
use test_kit::system::Scene;

use super::{BOUGHT, SOLD};
use crate::ending::ending;

#[tokio::test]
async fn spread_and_fee_are_charged_to_the_cent() {
    let market = Market {
        spread: BasisPoints::try_new(100).unwrap(),
        fee: BasisPoints::try_new(50).unwrap(),
        ..Market::default()
    };
    let system = Scene::default().with_market(market).start().await;
    let user = system.api.given_a_user_with("ada", "600").await;

    // At 10.10, 2.95453425 cost 29.840795925: 29.85, and half a percent of that is a fee of 0.15.
    let buy = placed(&user.buy("30", None).await);
    let end = ending(&system, &user, buy).await.completed_by(BOUGHT);
    let end = end.leaving("570", "2.95453425");
    assert_eq!(end.order["filled"], json!({"amount": "2.95453425", "asset": "BTC"}));
    assert_eq!(end.order["price"], json!({"amount": "10.1", "asset": "USD"}));
    assert_eq!(end.order["fee"], json!({"amount": "0.15", "asset": "USD"}));
    assert!(end.mail.contains("and a fee of 0.15 USD"), "{}", end.mail);
    assert_eq!(system.balance(&Owner::Fees, Asset::USD), "0.15");
    assert_eq!(system.balance(&Owner::Rounding, Asset::USD), "0.01");

    // At 9.90, 1.5 bring 14.85, less a fee of 0.08.
    let sell = placed(&user.sell("1.5", None).await);
    let end = ending(&system, &user, sell).await.completed_by(SOLD);
    let end = end.leaving("584.77", "1.45453425");
    assert_eq!(end.order["price"], json!({"amount": "9.9", "asset": "USD"}));
    assert_eq!(end.order["fee"], json!({"amount": "0.08", "asset": "USD"}));
    assert!(end.mail.contains("less a fee of 0.08 USD"), "{}", end.mail);
    assert_eq!(system.balance(&Owner::Fees, Asset::USD), "0.23");
    assert_eq!(system.balance(&Owner::Rounding, Asset::USD), "0.01");
    assert_eq!(
        system.balance(&Owner::Treasury, Asset::USD),
        "-1000",
        "the house's capital is untouched"
    );
    system.assert_at_rest();
}

#[tokio::test]
async fn what_rounding_leaves_over_goes_to_its_own_account() {
    let market = Market {
        price: Price::from_units(7, 0).unwrap(),
        ..Market::default()
    };
    let system = Scene::default().with_market(market).start().await;
    let user = system.api.given_a_user_with("ada", "600").await;

    // 4.28571428 at 7 are 29.99999996: the user pays 30, the venue gets 29.99.
    let buy = placed(&user.buy("30", None).await);
    let end = ending(&system, &user, buy).await.completed_by(BOUGHT);
    end.leaving("570", "4.28571428");
    assert_eq!(system.balance(&Owner::Rounding, Asset::USD), "0.01");
    let venue = Owner::Venue("sim".to_owned());
    assert_eq!(system.balance(&venue, Asset::USD), "29.99");

    // 1.00000001 at 7 are 7.00000007: the user gets 7, the venue gives 7.01.
    let sell = placed(&user.sell("1.00000001", None).await);
    let end = ending(&system, &user, sell).await.completed_by(SOLD);
    end.leaving("577", "3.28571427");
    assert_eq!(system.balance(&Owner::Rounding, Asset::USD), "0.02");
    assert_eq!(system.balance(&venue, Asset::USD), "22.98");

    // A satoshi is worth less than a cent: it is sold, and the proceeds are rounded against the seller.
    let dust = placed(&user.sell("0.00000001", None).await);
    let end = ending(&system, &user, dust).await.completed_by(SOLD);
    end.leaving("577", "3.28571426");
    assert_eq!(system.balance(&Owner::Rounding, Asset::USD), "0.03");
    assert_eq!(system.balance(&Owner::Fees, Asset::USD), "0");
    system.assert_at_rest();
}
