//! A clean stop in the middle of anything, and a start on the same data: every order goes on where it was.

use std::time::{Duration, Instant};

use contracts::Asset;
use exchanger::venue::simulated::Conduct;
use test_kit::api::placed;
use test_kit::system::{Scene, TestSystem};
use test_kit::waiting::{PATIENCE, eventually};
use tokio::task::JoinSet;

use crate::ending::ending;

#[tokio::test]
async fn an_order_at_a_silent_venue_is_finished_after_a_restart() {
    let system = Scene::default().with_short_orders().start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.venue_manners.set_silent(true);
    let buy = placed(&user.buy("30", None).await);
    user.order_when(buy, |order| order["state"] == "exchanging").await;
    let system = system.restart().await;
    let user = user.at(&system.api);
    let states = ["created", "exchanging", "withdrawing", "completed"];
    let end = ending(&system, &user, buy).await;
    end.completed_by(&states).leaving("570", "3");
    assert_eq!(system.executions().await.len(), 1);
    system.assert_at_rest();
}

#[tokio::test]
async fn what_was_executed_before_a_restart_is_booked_after_it_and_not_sent_again() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    // Executed, but for the rest of this run nobody gets to know.
    let hidden = Conduct::NotYetVisible(Duration::from_secs(2));
    system.venue_manners.set_default(hidden);
    let buy = placed(&user.buy("30", None).await);
    eventually(PATIENCE, "the venue executes it", async || {
        let executions = system.executions().await;
        if executions.is_empty() { Err(executions) } else { Ok(()) }
    })
    .await;
    let system = system.restart().await;
    let user = user.at(&system.api);
    let states = ["created", "exchanging", "withdrawing", "completed"];
    let end = ending(&system, &user, buy).await;
    end.completed_by(&states).leaving("570", "3");
    assert_eq!(system.executions().await.len(), 1);
    system.assert_at_rest();
}

#[tokio::test]
async fn an_order_at_a_silent_chain_is_finished_after_a_restart() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.chain_manners.silence(true);
    let buy = placed(&user.buy("30", None).await);
    user.order_when(buy, |order| order["state"] == "withdrawing").await;
    let system = system.restart().await;
    let user = user.at(&system.api);
    let states = ["created", "exchanging", "withdrawing", "completed"];
    let end = ending(&system, &user, buy).await;
    end.completed_by(&states).leaving("570", "3");
    assert_eq!(system.coins(user.id, Asset::BTC).await, "3");
    system.assert_at_rest();
}

#[tokio::test]
async fn a_reversal_is_finished_after_a_restart() {
    let system = Scene::default().with_short_orders().start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.chain_manners.silence(true);
    system.chain_manners.refuse_all(true);
    let buy = placed(&user.buy("30", None).await);
    user.order_when(buy, |order| order["state"] == "withdrawing").await;
    system.venue_manners.set_silent(true);
    system.chain_manners.silence(false);
    user.order_when(buy, |order| order["state"] == "reversing").await;
    let system = system.restart().await;
    let user = user.at(&system.api);
    let states = [
        "created",
        "exchanging",
        "withdrawing",
        "reversing",
        "releasing",
        "failed",
    ];
    let end = ending(&system, &user, buy).await;
    end.failed_by("withdrawal_refused", &states).leaving("600", "0");
    assert_eq!(system.coins(user.id, Asset::BTC).await, "0");
    system.assert_at_rest();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_under_way_at_a_stop_is_finished_after_the_next_start() {
    let mut system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let mut accepted = Vec::new();
    // Three stops, each in the middle of a crowd. Whoever is not answered, or refused, has no order.
    for _ in 0..3 {
        let mut requests = JoinSet::new();
        for _ in 0..20 {
            let user = user.at(&system.api);
            requests.spawn(async move {
                user.try_send(reqwest::Method::POST, "/buy/2", Some(r#"{"fiat_amount": 10}"#), None)
                    .await
            });
        }
        // The first answers are there, the others on their way.
        for _ in 0..5 {
            accepted.extend(requests.join_next().await.unwrap().unwrap());
        }
        let asked = Instant::now();
        system = system.restart().await;
        // Requests that wait for their hold (9 s at most, here) get it: the workers go on until the last is answered.
        assert!(
            asked.elapsed() < Duration::from_secs(8),
            "stopping took {:?}",
            asked.elapsed()
        );
        accepted.extend(requests.join_all().await.into_iter().flatten());
    }
    let user = user.at(&system.api);
    accepted.retain(|answer| answer.status == 202);
    assert!(accepted.len() >= 15, "{accepted:?}");
    for answer in &accepted {
        let order = user.order_at_its_end(placed(answer)).await;
        assert_eq!(order["status"], "completed", "{order}");
    }
    // An order whose request was never answered is an order all the same, and ends.
    let orders = user.orders().await;
    for order in &orders {
        user.order_at_its_end(order["order_id"].as_i64().unwrap()).await;
    }
    let completed = orders.len();
    let fiat = 600 - 10 * i64::try_from(completed).unwrap();
    assert_eq!(user.balances().await, (fiat.to_string(), completed.to_string()));
    for order in &orders {
        system.mail_about(order["order_id"].as_i64().unwrap()).await;
    }
    assert_eq!(system.mails(), completed, "nobody is told twice");
    system.assert_at_rest();
}
