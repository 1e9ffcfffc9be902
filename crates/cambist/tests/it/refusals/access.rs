//! What a token is good for, in the words of the business; the table of who may ask what is in `abuse/doors.rs`.

use std::time::Duration;

use reqwest::Method;
use test_kit::api::User;
use test_kit::system::{Scene, TestSystem};

use super::{given_ada_and_bob, send};

#[tokio::test]
async fn who_you_are_is_asked_before_whose_it_is_and_before_what_you_want() {
    let system = TestSystem::start().await;
    let (ada, bob) = given_ada_and_bob(&system).await;
    let nonsense = "}{".repeat(10_000);
    let request = ada.api.request(Method::POST, "/buy/3").body(nonsense.clone());
    send(&ada, request).await.assert_problem(401, "unauthorized");
    let request = ada
        .api
        .request(Method::POST, "/buy/3")
        .bearer_auth(&ada.token)
        .body(nonsense);
    send(&ada, request).await.assert_problem(403, "forbidden");
    // Whether somebody has a wallet is not told to others.
    assert_eq!(ada.get("/wallet/3").await.text, ada.get("/wallet/99").await.text);
    assert_eq!(bob.get("/orders/2/1").await.status, 403);
}

#[tokio::test]
async fn a_token_ends_when_its_time_is_over() {
    // Tokens end at whole seconds, so this one is good for more than one and at most two.
    let system = Scene::default().with("token_ttl", "2s").start().await;
    let user = system.api.given_a_registered("ada").await;
    let mut user = User {
        token: system.api.log_in("ada").await,
        ..user
    };
    let give_up = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = user.get("/wallet/2").await;
        if answer.status == 401 {
            answer.assert_problem(401, "unauthorized");
            assert_eq!(answer.body["detail"], "the token has expired");
            break;
        }
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(std::time::Instant::now() < give_up);
        // sleep: nothing tells when a second is over
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    user.token = system.api.log_in("ada").await;
    assert_eq!(user.get("/wallet/2").await.status, 404, "a fresh one opens again");
}

#[tokio::test]
async fn where_operators_book_deposits_users_cannot() {
    let system = Scene::default().with("deposits", "operator").start().await;
    let user = system.api.given_a_user("ada").await;
    user.deposit("600", None).await.assert_problem(403, "deposits_closed");
    assert_eq!(user.balances().await, ("0".into(), "0".into()));
    let booked = system
        .operator(
            Method::PATCH,
            "/balance/wallet/2",
            Some(r#"{"fiat_amount": 600, "reason": "transfer of 3 May"}"#),
        )
        .await;
    assert_eq!(booked.status, 200, "{booked:?}");
    assert_eq!(user.balances().await, ("600".into(), "0".into()));
    system.assert_at_rest();
}
