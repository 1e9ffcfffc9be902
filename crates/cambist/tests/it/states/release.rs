//! releasing: what is still held goes back to the user; when the ledger refuses, it is tried again, then an operator is
//! asked, and it ends all the same when the reason is gone.

use exchanger::venue::simulated::Conduct;
use reqwest::Method;
use test_kit::api::placed;
use test_kit::system::{Scene, TestSystem};

use super::{stuck_sagas, until};
use crate::ending::ending;

/// The refusals of a release that end in `stuck`.
const REFUSALS: usize = 5;

async fn correct_the_hot_wallet(system: &TestSystem, change: &str) {
    let body = format!(r#"{{"fiat_amount": {change}, "reason": "moved to and from the safe"}}"#);
    let corrected = system.operator(Method::PATCH, "/balance/wallet/1", Some(&body)).await;
    assert_eq!(corrected.status, 200, "{corrected:?}");
}

fn refusals(order: &serde_json::Value) -> usize {
    let events = order["events"].as_array().unwrap();
    let refused = |event: &&serde_json::Value| event["event"]["fact"] == "release_refused";
    events.iter().filter(refused).count()
}

#[tokio::test]
async fn a_release_that_the_ledger_refuses_is_tried_again_then_stuck_and_ends_when_the_money_is_back() {
    let system = Scene::default().with_short_orders().start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    // While the venue is silent the hold lies in the hot wallet, and somebody takes out more than is theirs.
    system.venue_manners.set_silent(true);
    system.venue_manners.set_default(Conduct::Refuse);
    let buy = placed(&user.buy("30", None).await);
    until(&system, &user, buy, "exchanging").await;
    correct_the_hot_wallet(&system, "-1010").await;
    system.venue_manners.set_silent(false);

    let mut system = system;
    let mut refused = 0;
    while refused < REFUSALS {
        let here = user.at(&system.api);
        let order = here.order_when(buy, |order| refusals(order) > refused).await;
        refused = refusals(&order);
        let state = if refused < REFUSALS {
            "releasing"
        } else {
            "stuck_releasing"
        };
        assert_eq!(order["state"], state, "after {refused} refusals: {order}");
        assert_eq!(here.balances().await, ("570".into(), "0".into()));
        system.assert_clean();
        // A start takes up at once what would otherwise wait for its pause, which doubles.
        system = system.restart().await;
    }
    let here = user.at(&system.api);
    assert_eq!(stuck_sagas(&system).await, [(buy, "stuck_releasing".to_owned())]);

    correct_the_hot_wallet(&system, "1010").await;
    let system = system.restart().await;
    let here = here.at(&system.api);
    let states = ["created", "exchanging", "releasing", "stuck_releasing", "failed"];
    let end = ending(&system, &here, buy).await;
    end.failed_by("venue_rejected", &states).leaving("600", "0");
    system.assert_at_rest();
}
