//! Many at once: no balance is spent twice, none goes below zero, and every order ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::{Amount, Asset};
use serde_json::Value;
use test_kit::api::{Answer, User};
use test_kit::system::TestSystem;
use tokio::task::JoinSet;

#[derive(Clone, Copy)]
enum Want {
    Buy(&'static str),
    Sell(&'static str),
}

/// Places all of these at once.
async fn place_all(wants: Vec<(User, Want)>) -> Vec<(User, Answer)> {
    let mut requests = JoinSet::new();
    for (user, want) in wants {
        requests.spawn(async move {
            let answer = match want {
                Want::Buy(fiat) => user.buy(fiat, None).await,
                Want::Sell(crypto) => user.sell(crypto, None).await,
            };
            (user, answer)
        });
    }
    requests.join_all().await
}

/// Looks at a wallet again and again while others change it.
fn watch(user: &User, over: &Arc<AtomicBool>) -> tokio::task::JoinHandle<usize> {
    let (user, over) = (user.clone(), Arc::clone(over));
    tokio::spawn(async move {
        let mut looks = 0;
        while !over.load(Ordering::Relaxed) {
            let (fiat, crypto) = user.balances().await;
            assert!(!fiat.starts_with('-') && !crypto.starts_with('-'), "{fiat} {crypto}");
            looks += 1;
        }
        looks
    })
}

fn accepted(answers: &[(User, Answer)]) -> usize {
    let refused = answers.iter().filter(|(_, answer)| answer.status != 202);
    for (_, answer) in refused {
        answer.assert_problem(423, "insufficient_funds");
    }
    answers.iter().filter(|(_, answer)| answer.status == 202).count()
}

async fn all_end(answers: &[(User, Answer)]) -> Vec<Value> {
    let mut orders = Vec::new();
    for (user, answer) in answers {
        orders.push(user.order_at_its_end(answer.body["order_id"].as_i64().unwrap()).await);
    }
    orders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_buys_at_once_exactly_those_that_are_covered_succeed() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let over = Arc::new(AtomicBool::new(false));
    let watching = watch(&user, &over);
    let answers = place_all(vec![(user.clone(), Want::Buy("10")); 100]).await;
    assert_eq!(accepted(&answers), 60);
    let orders = all_end(&answers).await;
    over.store(true, Ordering::Relaxed);
    assert!(watching.await.unwrap() > 0);

    let ended = |status: &str| orders.iter().filter(|order| order["status"] == status).count();
    assert_eq!((ended("completed"), ended("failed")), (60, 40));
    assert_eq!(user.balances().await, ("0".into(), "60".into()));
    assert_eq!(user.orders().await.len(), 100);
    assert_eq!(system.executions().await.len(), 60);
    assert_eq!(system.coins(user.id, Asset::BTC).await, "60");
    for order in orders.iter().filter(|order| order["status"] == "completed") {
        system.mail_about(order["order_id"].as_i64().unwrap()).await;
    }
    assert_eq!(system.mails(), 60);
    system.assert_at_rest();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buys_and_sells_at_once_add_up() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "300").await;
    let stock = place_all(vec![(user.clone(), Want::Buy("200"))]).await;
    all_end(&stock).await;
    assert_eq!(user.balances().await, ("100".into(), "20".into()));

    let buys = vec![(user.clone(), Want::Buy("15")); 20];
    let sells = vec![(user.clone(), Want::Sell("1.25")); 20];
    let interleaved = buys
        .into_iter()
        .zip(sells)
        .flat_map(|(buy, sell)| [buy, sell])
        .collect();
    let answers = place_all(interleaved).await;
    accepted(&answers);
    let orders = all_end(&answers).await;

    let mut fiat = Amount::parse("100", Asset::USD).unwrap();
    let mut crypto = Amount::parse("20", Asset::BTC).unwrap();
    let change = |amount: Amount, by: &str| amount.checked_add(Amount::parse(by, amount.asset()).unwrap()).unwrap();
    for order in &orders {
        if order["status"] == "completed" {
            let buy = order["side"] == "buy";
            fiat = change(fiat, if buy { "-15" } else { "12.5" });
            crypto = change(crypto, if buy { "1.5" } else { "-1.25" });
        } else {
            assert_eq!(order["failure_code"], "insufficient_funds", "{order}");
        }
    }
    assert_eq!(user.balances().await, (fiat.to_string(), crypto.to_string()));
    system.assert_at_rest();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_users_race_is_not_anothers_loss() {
    let system = TestSystem::start().await;
    let ada = system.api.given_a_user_with("ada", "100").await;
    let bob = system.api.given_a_user_with("bob", "250").await;
    let of = |user: &User| vec![(user.clone(), Want::Buy("10")); 30];
    let interleaved = of(&ada)
        .into_iter()
        .zip(of(&bob))
        .flat_map(|(ada, bob)| [ada, bob])
        .collect();
    let answers = place_all(interleaved).await;
    assert_eq!(accepted(&answers), 35);
    all_end(&answers).await;
    assert_eq!(ada.balances().await, ("0".into(), "10".into()));
    assert_eq!(bob.balances().await, ("0".into(), "25".into()));
    assert_eq!(ada.orders().await.len(), 30);
    assert_eq!(bob.orders().await.len(), 30);
    system.assert_at_rest();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wallets_are_opened_and_names_are_taken_once() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_registered("ada").await;
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let user = user.clone();
        requests.spawn(async move { user.post("/wallet/2", None, None).await.status });
    }
    let mut statuses = requests.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");

    let mut requests = JoinSet::new();
    for number in 0..6 {
        let api = system.api.clone();
        let body = format!(
            r#"{{"username": "bob", "first_name": "B", "last_name": "B", "email": "{number}@example.com", "password": "password"}}"#
        );
        requests.spawn(async move {
            let request = api.request(reqwest::Method::POST, "/register").body(body);
            let answer = api.send(request.header("content-type", "application/json")).await;
            answer.unwrap().status
        });
    }
    let mut statuses = requests.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
    system.assert_at_rest();
}
