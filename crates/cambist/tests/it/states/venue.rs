//! exchanging: what the venue does and says at once.

use contracts::BasisPoints;
use exchanger::venue::simulated::Conduct;
use serde_json::json;
use test_kit::system::TestSystem;

use super::{BOUGHT, NOT_TRADED, SOLD, buy_and_sell, given_an_owner};
use crate::ending::ending;

#[tokio::test]
async fn what_the_venue_refuses_is_given_back() {
    let system = TestSystem::start().await;
    let user = given_an_owner(&system, "ada").await;
    system.venue_manners.set_default(Conduct::Refuse);
    let (buy, sell) = buy_and_sell(&user).await;
    for id in [buy, sell] {
        let end = ending(&system, &user, id).await.failed_by("venue_rejected", NOT_TRADED);
        assert!(end.mail.contains("the market did not accept the order"), "{}", end.mail);
    }
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
    assert_eq!(system.executions().await.len(), 1, "only the buy before it");
    system.assert_at_rest();
}

#[tokio::test]
async fn when_nothing_is_filled_everything_is_given_back() {
    let system = TestSystem::start().await;
    let user = given_an_owner(&system, "ada").await;
    system.venue_manners.set_default(Conduct::FillNothing);
    let (buy, sell) = buy_and_sell(&user).await;
    for id in [buy, sell] {
        ending(&system, &user, id).await.failed_by("nothing_filled", NOT_TRADED);
    }
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
    system.assert_at_rest();
}

#[tokio::test]
async fn what_is_not_filled_goes_back_to_its_owner() {
    let system = TestSystem::start().await;
    let user = given_an_owner(&system, "ada").await;
    let half = BasisPoints::try_new(5_000).unwrap();
    system.venue_manners.set_default(Conduct::Partial(half));
    let (buy, sell) = buy_and_sell(&user).await;

    let end = ending(&system, &user, buy).await.completed_by(BOUGHT);
    assert_eq!(end.order["requested"], json!({"amount": "30", "asset": "USD"}));
    assert_eq!(end.order["filled"], json!({"amount": "1.5", "asset": "BTC"}));
    assert!(end.mail.contains("You bought 1.5 BTC for 15 USD"), "{}", end.mail);
    assert!(end.mail.contains("15 USD were not needed"), "{}", end.mail);

    let end = ending(&system, &user, sell).await.completed_by(SOLD);
    assert_eq!(end.order["filled"], json!({"amount": "0.75", "asset": "BTC"}));
    assert!(end.mail.contains("0.75 BTC were not sold"), "{}", end.mail);

    // 570 − 15 + 7.50, and 3 + 1.5 − 0.75.
    assert_eq!(user.balances().await, ("562.5".into(), "3.75".into()));
    system.assert_at_rest();
}
