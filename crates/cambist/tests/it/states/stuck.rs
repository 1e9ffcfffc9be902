//! stuck: an outside silence that lasts is shown to operators, moves no money, and ends by the normal event when the
//! answer comes.

use std::time::Duration;

use bc_gateway::chain::simulated::Manner;
use contracts::Asset;
use exchanger::venue::simulated::Conduct;
use test_kit::api::placed;
use test_kit::system::Scene;

use super::{buy_and_sell, given_an_owner, stuck_sagas, until, withdrawal_of};
use crate::ending::ending;

#[tokio::test]
async fn a_venue_that_is_silent_for_long_makes_orders_stuck_until_it_is_back() {
    let scene = Scene::default().with_short_orders().with_little_patience();
    let system = scene.start().await;
    let user = given_an_owner(&system, "ada").await;
    system.venue_manners.set_silent(true);
    let (buy, sell) = buy_and_sell(&user).await;
    for id in [buy, sell] {
        until(&system, &user, id, "stuck_exchanging").await;
    }
    let stuck = ["stuck_exchanging"; 2].map(str::to_owned);
    assert_eq!(
        stuck_sagas(&system).await,
        [buy, sell].into_iter().zip(stuck).collect::<Vec<_>>()
    );
    assert_eq!(
        user.balances().await,
        ("540".into(), "1.5".into()),
        "held, not released"
    );
    assert_eq!(system.audit().orders.stuck(), 2);

    system.venue_manners.set_silent(false);
    let bought = ["created", "exchanging", "stuck_exchanging", "withdrawing", "completed"];
    ending(&system, &user, buy).await.completed_by(&bought);
    let sold = ["created", "exchanging", "stuck_exchanging", "completed"];
    ending(&system, &user, sell).await.completed_by(&sold);
    assert_eq!(user.balances().await, ("555".into(), "4.5".into()));
    assert_eq!(system.executions().await.len(), 3, "each order is executed once");
    assert_eq!(stuck_sagas(&system).await, []);
    system.assert_at_rest();
}

#[tokio::test]
async fn an_execution_that_shows_only_after_the_alarm_still_counts() {
    let system = Scene::default().with_little_patience().start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let hidden = Conduct::NotYetVisible(Duration::from_millis(2_500));
    system.venue_manners.set_default(hidden);
    let buy = placed(&user.buy("30", None).await);
    until(&system, &user, buy, "stuck_exchanging").await;
    let path = ["created", "exchanging", "stuck_exchanging", "withdrawing", "completed"];
    ending(&system, &user, buy)
        .await
        .completed_by(&path)
        .leaving("570", "3");
    assert_eq!(system.executions().await.len(), 1);
    system.assert_at_rest();
}

#[tokio::test]
async fn a_chain_that_is_silent_for_long_makes_orders_stuck_until_it_is_back() {
    let system = Scene::default().with_little_patience().start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.chain_manners.silence(true);
    let unsigned = placed(&user.buy("30", None).await);
    until(&system, &user, unsigned, "stuck_withdrawing").await;
    assert_eq!(stuck_sagas(&system).await, [(unsigned, "stuck_withdrawing".to_owned())]);
    assert_eq!(
        user.balances().await,
        ("570".into(), "0".into()),
        "nothing is given back"
    );
    system.chain_manners.silence(false);
    let path = ["created", "exchanging", "withdrawing", "stuck_withdrawing", "completed"];
    let end = ending(&system, &user, unsigned).await;
    end.completed_by(&path).leaving("570", "3");

    // The same once the bytes are out: a block that does not come.
    let late = Manner::LateConfirmation(Duration::from_millis(2_500));
    system.chain_manners.next_broadcasts(withdrawal_of(2), [late]);
    let signed = placed(&user.buy("30", None).await);
    until(&system, &user, signed, "stuck_withdrawing").await;
    ending(&system, &user, signed)
        .await
        .completed_by(&path)
        .leaving("540", "6");

    assert_eq!(system.coins(user.id, Asset::BTC).await, "6", "one transfer each");
    system.assert_at_rest();
}

#[tokio::test]
async fn a_venue_that_is_silent_during_a_reversal_makes_it_stuck_until_it_is_back() {
    let scene = Scene::default().with_short_orders().with_little_patience();
    let system = scene.start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.chain_manners.silence(true);
    system.chain_manners.refuse_all(true);
    let buy = placed(&user.buy("30", None).await);
    until(&system, &user, buy, "withdrawing").await;
    system.venue_manners.set_silent(true);
    system.chain_manners.silence(false);
    until(&system, &user, buy, "stuck_reversing").await;
    assert_eq!(
        user.balances().await,
        ("570".into(), "0".into()),
        "not released before it is undone"
    );

    system.venue_manners.set_silent(false);
    let end = ending(&system, &user, buy).await.leaving("600", "0");
    assert_eq!(end.order["failure_code"], "withdrawal_refused");
    let states = test_kit::api::path(&end.order);
    assert!(
        states.ends_with(&["reversing", "stuck_reversing", "releasing", "failed"]),
        "{states:?}"
    );
    assert_eq!(system.executions().await.len(), 2, "bought once, sold back once");
    system.assert_at_rest();
}
