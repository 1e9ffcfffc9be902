//! exchanging, when the venue's answer gets lost or comes late. Unknown is not failed: it is asked after, nothing is sent
//! twice, and nothing is released before it is proven that nothing happened.

use std::time::Duration;

use contracts::messages::Step;
use exchanger::venue::simulated::Conduct;
use jiff::Timestamp;
use serde_json::Value;
use test_kit::api::placed;
use test_kit::system::{Scene, TestSystem};

use super::{BOUGHT, NOT_TRADED, SOLD, buy_and_sell, given_an_owner, order, until};
use crate::ending::ending;

/// When an order's log has this fact.
fn time_of(order: &Value, fact: &str) -> Timestamp {
    let events = order["events"].as_array().unwrap();
    let event = events.iter().find(|event| event["event"]["fact"] == fact);
    event.unwrap()["time"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_was_executed_although_it_timed_out_is_booked_once() {
    let system = TestSystem::start().await;
    let user = given_an_owner(&system, "ada").await;
    system.venue_manners.set_default(Conduct::ExecuteThenTimeOut);
    let (buy, sell) = buy_and_sell(&user).await;
    ending(&system, &user, buy).await.completed_by(BOUGHT);
    ending(&system, &user, sell).await.completed_by(SOLD);
    assert_eq!(user.balances().await, ("555".into(), "4.5".into()));
    let once_each = ["1-exchange-1", "2-exchange-1", "3-exchange-1"];
    assert_eq!(system.executed().await, once_each);
    system.assert_at_rest();
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_anybody_waits_is_booked_once() {
    let system = Scene::default().with("venue_timeout", "50ms").start().await;
    let user = given_an_owner(&system, "ada").await;
    system.venue_manners.set_default(Conduct::Slow(Duration::from_secs(20)));
    let (buy, sell) = buy_and_sell(&user).await;
    ending(&system, &user, buy).await.completed_by(BOUGHT);
    ending(&system, &user, sell).await.completed_by(SOLD);
    assert_eq!(user.balances().await, ("555".into(), "4.5".into()));
    assert_eq!(system.executed().await.len(), 3);
    system.assert_at_rest();
}

#[tokio::test]
async fn what_is_not_visible_at_first_is_neither_given_up_nor_sent_again() {
    let system = TestSystem::start().await;
    let user = given_an_owner(&system, "ada").await;
    let hidden = Conduct::NotYetVisible(Duration::from_millis(500));
    system.venue_manners.set_default(hidden);
    let (buy, sell) = buy_and_sell(&user).await;
    ending(&system, &user, buy).await.completed_by(BOUGHT);
    ending(&system, &user, sell).await.completed_by(SOLD);
    assert_eq!(user.balances().await, ("555".into(), "4.5".into()));
    let once_each = ["1-exchange-1", "2-exchange-1", "3-exchange-1"];
    assert_eq!(system.executed().await, once_each);
    system.assert_at_rest();
}

#[tokio::test]
async fn what_was_not_executed_is_tried_again_only_after_proof() {
    let system = Scene::default().with_short_orders().start().await;
    let user = given_an_owner(&system, "ada").await;
    for id in [2, 3] {
        let nothing = Conduct::TimeOutWithoutExecuting;
        system.venue_manners.set(order(id), Step::Exchange, 1, nothing);
    }
    let (buy, sell) = buy_and_sell(&user).await;
    let waiting = until(&system, &user, buy, "exchanging").await;
    assert_eq!(waiting["filled"], Value::Null);
    assert_eq!(
        user.balances().await,
        ("540".into(), "1.5".into()),
        "held, not released"
    );

    let bought = ending(&system, &user, buy).await.completed_by(BOUGHT);
    let waited = time_of(&bought.order, "exchanged").duration_since(time_of(&bought.order, "held"));
    // The order's life of 800 ms, the engine's time-out of 50 ms, and the clocks' skew of 50 ms.
    assert!(waited.as_millis() >= 900, "only {waited:?} of proof");
    ending(&system, &user, sell).await.completed_by(SOLD);
    assert_eq!(user.balances().await, ("555".into(), "4.5".into()));
    let second_attempts = ["1-exchange-1", "2-exchange-2", "3-exchange-2"];
    assert_eq!(system.executed().await, second_attempts);
    system.assert_at_rest();
}

#[tokio::test]
async fn what_is_proven_never_to_have_been_executed_is_given_back_in_full() {
    let scene = Scene::default().with_short_orders().with("max_attempts", "2");
    let system = scene.start().await;
    let user = given_an_owner(&system, "ada").await;
    system.venue_manners.set_default(Conduct::TimeOutWithoutExecuting);
    let (buy, sell) = buy_and_sell(&user).await;
    for id in [buy, sell] {
        let end = ending(&system, &user, id).await.failed_by("not_executed", NOT_TRADED);
        let waited = time_of(&end.order, "exchange_failed").duration_since(time_of(&end.order, "held"));
        assert!(waited.as_millis() >= 2 * 900, "two attempts within {waited:?}");
    }
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
    assert_eq!(system.executed().await, ["1-exchange-1"]);
    system.assert_at_rest();
}

#[tokio::test]
async fn a_refusal_that_got_lost_is_asked_for_and_believed() {
    let system = Scene::default().with_short_orders().start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    // The first order gets lost on the way, the second one is refused.
    system.venue_manners.set_default(Conduct::Refuse);
    let nothing = Conduct::TimeOutWithoutExecuting;
    system.venue_manners.set(order(1), Step::Exchange, 1, nothing);
    let buy = placed(&user.buy("30", None).await);
    let end = ending(&system, &user, buy).await;
    end.failed_by("venue_rejected", NOT_TRADED).leaving("600", "0");
    assert_eq!(system.executed().await, <[&str; 0]>::default());
    system.assert_at_rest();
}
