//! Idempotency keys: repeating a request has no second effect, whenever and however often it is repeated.

use std::collections::BTreeSet;

use reqwest::Method;
use test_kit::api::{Answer, User, placed};
use test_kit::system::TestSystem;
use tokio::task::JoinSet;

/// Sends the same request many times at once.
async fn all_at_once(user: &User, times: usize, method: Method, path: &str, body: &str, key: &str) -> Vec<Answer> {
    let mut requests = JoinSet::new();
    for _ in 0..times {
        let (user, method) = (user.clone(), method.clone());
        let (path, body, key) = (path.to_owned(), body.to_owned(), key.to_owned());
        requests.spawn(async move { user.try_send(method, &path, Some(&body), Some(&key)).await.unwrap() });
    }
    requests.join_all().await
}

#[tokio::test]
async fn a_repeated_order_is_one_order_and_answers_as_before() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let first = user.buy("30", Some("lunch")).await;
    let id = placed(&first);
    assert!(!first.replayed());
    let again = user.buy("30", Some("lunch")).await;
    assert_eq!((again.status, &again.text, again.replayed()), (202, &first.text, true));
    user.order_at_its_end(id).await;
    // Now that it is completed, too: the answer is that of the request, not of the order.
    let again = user.buy("30", Some("lunch")).await;
    assert_eq!((again.status, &again.text, again.replayed()), (202, &first.text, true));
    assert_eq!(user.orders().await.len(), 1);
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
    system.assert_at_rest();
}

#[tokio::test]
async fn a_repeated_deposit_is_one_deposit_and_answers_as_before() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user("ada").await;
    let first = user.deposit("600", Some("salary")).await;
    let again = user.deposit("600", Some("salary")).await;
    assert_eq!((again.status, &again.text, again.replayed()), (200, &first.text, true));
    assert!(!first.replayed());
    user.deposit("600.00", Some("salary"))
        .await
        .assert_problem(422, "idempotency_key_reused");
    assert_eq!(user.balances().await, ("600".into(), "0".into()));
    let answers = all_at_once(&user, 50, Method::PATCH, "/wallet/2", r#"{"fiat_amount": 1}"#, "tip").await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
    assert_eq!(user.balances().await, ("601".into(), "0".into()));
    assert_eq!(system.audit().deposits, 2);
    system.assert_at_rest();
}

#[tokio::test]
async fn a_key_that_comes_with_another_request_is_refused() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let id = placed(&user.buy("30", Some("lunch")).await);
    user.order_at_its_end(id).await;
    let others = [
        ("/buy/2", r#"{"fiat_amount": 31}"#),
        ("/buy/2", r#"{"fiat_amount": 30, "asset": "BTC"}"#),
        ("/buy/2", r#"{"fiat_amount": 30.00}"#),
        ("/sell/2", r#"{"crypto_amount": 1}"#),
        // The same words at another door.
        ("/sell/2", r#"{"crypto_amount": 3}"#),
    ];
    for (path, body) in others {
        let refused = user.post(path, Some(body), Some("lunch")).await;
        refused.assert_problem(422, "idempotency_key_reused");
        assert!(!refused.replayed());
    }
    // What makes no sense does not use a key up.
    let nonsense = user
        .post("/buy/2", Some(r#"{"fiat_amount": -1}"#), Some("dinner"))
        .await;
    nonsense.assert_problem(422, "invalid");
    user.order_at_its_end(placed(&user.buy("30", Some("dinner")).await))
        .await;
    assert_eq!(user.orders().await.len(), 2);
    system.assert_clean();
}

#[tokio::test]
async fn fifty_at_once_with_one_key_are_one_order() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let answers = all_at_once(&user, 50, Method::POST, "/buy/2", r#"{"fiat_amount": 30}"#, "lunch").await;
    let ids: BTreeSet<i64> = answers.iter().map(placed).collect();
    assert_eq!(ids, BTreeSet::from([1]));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
    user.order_at_its_end(1).await;
    assert_eq!(user.orders().await.len(), 1);
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
    assert_eq!(system.executions().await.len(), 1);

    // And fifty that are refused are refused once.
    let answers = all_at_once(&user, 50, Method::POST, "/buy/2", r#"{"fiat_amount": 3000}"#, "yacht").await;
    for answer in &answers {
        answer.assert_problem(423, "insufficient_funds");
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
    assert_eq!(user.orders().await.len(), 2);
    system.assert_at_rest();
}

#[tokio::test]
async fn keys_and_references_of_different_users_have_nothing_to_do_with_each_other() {
    let system = TestSystem::start().await;
    let ada = system.api.given_a_user_with("ada", "600").await;
    let bob = system.api.given_a_user_with("bob", "600").await;
    let body = r#"{"fiat_amount": 30, "client_reference": "r-1"}"#;
    let of_ada = ada.post("/buy/2", Some(body), Some("k-1")).await;
    let of_bob = bob.post("/buy/3", Some(body), Some("k-1")).await;
    assert_ne!(placed(&of_ada), placed(&of_bob));
    assert!(!of_bob.replayed());
    for (user, answer) in [(&ada, of_ada), (&bob, of_bob)] {
        let order = user.order_at_its_end(placed(&answer)).await;
        assert_eq!(order["client_reference"], "r-1");
        assert_eq!(user.balances().await, ("570".into(), "3".into()));
        let again = user.post(&format!("/buy/{}", user.id), Some(body), None).await;
        again.assert_problem(409, "conflict");
        assert_eq!(
            again.body["order_id"], answer.body["order_id"],
            "it says which order has it"
        );
    }
    system.assert_at_rest();
}

#[tokio::test]
async fn keys_and_references_survive_a_restart() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let body = r#"{"fiat_amount": 30, "client_reference": "r-1"}"#;
    let bought = user.post("/buy/2", Some(body), Some("k-1")).await;
    user.order_at_its_end(placed(&bought)).await;
    let deposited = user.deposit("5", Some("k-1")).await;
    let refused = user.buy("3000", Some("k-2")).await;
    refused.assert_problem(423, "insufficient_funds");

    let system = system.restart().await;
    let user = user.at(&system.api);
    let again = user.post("/buy/2", Some(body), Some("k-1")).await;
    assert_eq!((again.status, &again.text, again.replayed()), (202, &bought.text, true));
    let again = user.deposit("5", Some("k-1")).await;
    assert_eq!(
        (again.status, &again.text, again.replayed()),
        (200, &deposited.text, true)
    );
    let again = user.buy("3000", Some("k-2")).await;
    again.assert_problem(423, "insufficient_funds");
    assert_eq!((&again.text, again.replayed()), (&refused.text, true));
    user.buy("3001", Some("k-2"))
        .await
        .assert_problem(422, "idempotency_key_reused");
    user.post("/buy/2", Some(body), None)
        .await
        .assert_problem(409, "conflict");
    assert_eq!(user.orders().await.len(), 2);
    assert_eq!(user.balances().await, ("575".into(), "3".into()));
    system.assert_at_rest();
}
