//! Answers that got lost, and what was done a second time because of it.

use std::time::Duration;

use contracts::ServiceName;
use contracts::messages::Step;
use exchanger::venue::simulated::Conduct;
use reqwest::Method;
use test_kit::api::placed;
use test_kit::system::{Scene, TestSystem};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ending::ending;
use crate::states::{BOUGHT, order};

/// The order went through after a reported time-out, and the client ordered again (ccxt 2599, 2698; catalyst 317).
///
/// Fails if `learn` in `exchanger`'s decision took `Answer::Unknown` for the end of an attempt, or if `place_order` in
/// `wallet` did not look its idempotency key up.
#[tokio::test]
async fn complaint_03_an_order_that_went_through_after_a_time_out_is_not_placed_again() {
    let system = Scene::default().with("venue_timeout", "300ms").start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    // We are the venue's client: it executes and lets us wait, or never says so.
    let late = Conduct::Slow(Duration::from_secs(20));
    system.venue_manners.set(order(1), Step::Exchange, 1, late);
    system
        .venue_manners
        .set(order(2), Step::Exchange, 1, Conduct::ExecuteThenTimeOut);
    // And others are ours: this one hangs up before it has an answer, and asks again.
    let impatient = timeout(Duration::from_millis(1), user.buy("30", Some("lunch"))).await;
    drop(impatient);
    let first = placed(&user.buy("30", Some("lunch")).await);
    let second = placed(&user.buy("30", Some("dinner")).await);
    for id in [first, second] {
        ending(&system, &user, id).await.completed_by(BOUGHT);
    }
    assert_eq!((first, second, user.orders().await.len()), (1, 2, 2));
    assert_eq!(system.executed().await, ["1-exchange-1", "2-exchange-1"]);
    assert_eq!(user.balances().await, ("540".into(), "6".into()));
    system.assert_at_rest();
}

/// A tracked order read "does not exist" for a moment, and was placed a second time; lost orders were forgotten
/// (hummingbot 601, 6107).
///
/// Fails if `learn` in `exchanger`'s decision closed an attempt on `Answer::NotFound` before proof of absence, or if an
/// order that never arrived had no further attempt.
#[tokio::test]
async fn complaint_04_an_order_the_venue_denies_for_a_moment_is_neither_repeated_nor_forgotten() {
    let scene = Scene::default().with_short_orders().with("venue_engine_timeout", "1s");
    let system = scene.start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let denied = Conduct::NotYetVisible(Duration::from_millis(900));
    system.venue_manners.set(order(1), Step::Exchange, 1, denied);
    let lost = Conduct::TimeOutWithoutExecuting;
    system.venue_manners.set(order(2), Step::Exchange, 1, lost);
    let first = placed(&user.buy("30", None).await);
    let second = placed(&user.buy("30", None).await);
    for id in [first, second] {
        ending(&system, &user, id).await.completed_by(BOUGHT);
    }
    let never_twice = ["1-exchange-1", "2-exchange-2"];
    assert_eq!(system.executed().await, never_twice);
    assert_eq!(user.balances().await, ("540".into(), "6".into()));
    system.assert_at_rest();
}

/// A client's retry posted twice; the same webhook was handled twice (midaz 1974; formancehq/stack 1464).
///
/// Fails if the unique index of `wallet_orders` or `wallet_deposits` on (user, idempotency key) were missing, or if
/// `advance` in `wallet`'s saga accepted a result of a step that is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complaint_05_what_is_sent_or_told_twice_counts_once() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user("ada").await;
    let mut retries = JoinSet::new();
    for _ in 0..10 {
        let user = user.clone();
        retries.spawn(async move { user.deposit("600", Some("salary")).await });
    }
    for answer in retries.join_all().await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let mut retries = JoinSet::new();
    for _ in 0..10 {
        let user = user.clone();
        retries.spawn(async move { placed(&user.buy("30", Some("lunch")).await) });
    }
    assert!(retries.join_all().await.into_iter().all(|order| order == 1));
    ending(&system, &user, 1).await.completed_by(BOUGHT);
    let statement = user.statement().await;
    let before = user.order(1).await;

    // Our webhooks are the results of commands: asked again, a finished one tells its result again.
    for _ in 0..5 {
        let buy = r#"{"acquirer_user_id": 2, "order_id": 1, "fiat_amount": 30}"#;
        let withdraw = r#"{"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3}"#;
        for (path, body) in [("/exchanger/buy/1", buy), ("/bc_gateway/withdraw/1", withdraw)] {
            let told_again = system.service(ServiceName::Wallet, path, body).await;
            assert_eq!(
                (told_again.status, told_again.replayed()),
                (202, true),
                "{told_again:?}"
            );
        }
    }
    // An order that comes after them has seen all of them pass.
    let next = placed(&user.buy("30", None).await);
    ending(&system, &user, next).await.completed_by(BOUGHT);
    assert_eq!(user.order(1).await, before);
    assert!(
        user.statement().await.ends_with(&statement),
        "bookings of the first order were added"
    );
    assert_eq!(user.balances().await, ("540".into(), "6".into()));
    assert_eq!(system.mails(), 2);
    let sagas = system.operator(Method::GET, "/wallet/sagas?state=stuck", None).await;
    assert_eq!(sagas.body["items"].as_array().map(Vec::len), Some(0), "{sagas:?}");
    system.assert_at_rest();
}
