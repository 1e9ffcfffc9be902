//! Logging in, and guessing.

use std::sync::Arc;
use std::time::Duration;

use auth::create_hot_wallet_user;
use auth::domain::user::Password;
use auth::ports::{HashError, PasswordHasher as _};
use axum::http::StatusCode;
use futures::future::join_all;
use serde_json::json;

use crate::given::{self, CountingHasher, Given};

async fn ada_is_registered() -> Given {
    let given = given::auth();
    assert_eq!(given.register("Ada").await.status, StatusCode::CREATED);
    given
}

#[tokio::test]
async fn the_token_comes_in_the_header_and_in_the_body() {
    let given = ada_is_registered().await;
    let answer = given.log_in("ada", "password").await;
    assert_eq!(answer.status, StatusCode::OK);
    let token = answer.body["token"].as_str().unwrap();
    assert_eq!(answer.header("authorization"), format!("Bearer {token}"));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.body,
        json!({"token": token, "token_type": "Bearer", "expires_in": 900})
    );
    assert_ne!(given.token("ADA").await, token, "no two tokens are the same");
}

#[tokio::test]
async fn wrong_name_and_wrong_password_cost_and_answer_the_same() {
    let given = ada_is_registered().await;
    create_hot_wallet_user(&given.store, &*given.clock).await.unwrap();
    let mut answers = Vec::new();
    for (username, password, compared_with_decoy) in [
        ("ada", "not the password", false),
        ("nobody", "password", true),
        ("hot_wallet", "password", true),
        ("hot_wallet", "", true),
        ("", "", true),
        ("ada", "", false),
        ("' OR 1=1 --", "password", true),
        (&"x".repeat(5_000), &"y".repeat(5_000), true),
    ] {
        let answer = given.log_in(username, password).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNAUTHORIZED, "wrong_credentials"),
            "{username}"
        );
        let compared = given.hasher.take_verified();
        assert_eq!(compared.len(), 1, "{username}: one hash, whoever it is");
        assert_eq!(compared[0] == CountingHasher::DECOY, compared_with_decoy, "{username}");
        let mut headers: Vec<_> = answer
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        headers.sort();
        answers.push((headers, answer.body));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "no answer differs in anything");
}

#[tokio::test]
async fn ten_failures_close_an_account_whether_it_exists_or_not() {
    let given = ada_is_registered().await;
    for username in ["ada", "nobody"] {
        for _ in 0..10 {
            assert_eq!(given.log_in(username, "guess").await.status, StatusCode::UNAUTHORIZED);
        }
        given.hasher.take_verified();
        let answer = given.log_in(username, "password").await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::TOO_MANY_REQUESTS, "too_many_requests")
        );
        assert_eq!(answer.header("retry-after"), "900");
        assert_eq!(given.hasher.take_verified().len(), 0, "a closed account costs no hash");
    }
    given.clock.advance(Duration::from_secs(899));
    assert_eq!(given.log_in("ADA", "password").await.header("retry-after"), "1");
    given.clock.advance(Duration::from_secs(1));
    assert_eq!(given.log_in("ada", "password").await.status, StatusCode::OK);
    assert_eq!(
        given.log_in("nobody", "password").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_success_lets_the_failures_be_forgotten() {
    let given = ada_is_registered().await;
    for _ in 0..3 {
        for _ in 0..9 {
            given.log_in("ada", "typo").await;
        }
        assert_eq!(given.log_in("ada", "password").await.status, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_at_once_tells_no_more_than_guessing_in_turn() {
    let given = Arc::new(ada_is_registered().await);
    let guesses = (0..100).map(|i| {
        let given = Arc::clone(&given);
        tokio::spawn(async move { given.log_in("ada", &format!("guess {i}")).await.status })
    });
    let told: Vec<_> = join_all(guesses).await.into_iter().map(Result::unwrap).collect();
    let count = |status| told.iter().filter(|told| **told == status).count();
    assert_eq!(count(StatusCode::UNAUTHORIZED), 10);
    assert_eq!(count(StatusCode::TOO_MANY_REQUESTS), 90);
    assert_eq!(
        given.log_in("ada", "password").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_log_in_as_themselves_at_once() {
    let given = Arc::new(ada_is_registered().await);
    let logins = (0..50).map(|_| {
        let given = Arc::clone(&given);
        tokio::spawn(async move { given.log_in("ada", "password").await.status })
    });
    for status in join_all(logins).await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
async fn neither_a_restart_nor_another_process_hands_out_new_guesses() {
    let given = ada_is_registered().await;
    for _ in 0..5 {
        given.log_in("ada", "guess").await;
    }
    let other = given.another_process();
    for _ in 0..5 {
        assert_eq!(other.log_in("ada", "guess").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(given.log_in("ada", "guess").await.status, StatusCode::TOO_MANY_REQUESTS);
    drop(other);
    let given = given.restarted();
    assert_eq!(
        given.log_in("ada", "password").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn a_body_of_another_form_is_refused() {
    let given = ada_is_registered().await;
    for body in [
        json!({"username": "ada"}),
        json!({"username": "ada", "password": 1}),
        json!({"username": "ada", "password": "password", "otp": "1"}),
        json!("ada"),
    ] {
        let answer = given.post("/login", body.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    assert!(given.hasher.take_verified().is_empty());
}

#[tokio::test]
async fn passwords_are_not_printed() {
    let password = Password::new("correct horse".to_owned());
    assert!(!format!("{password:?}").contains("horse"));
    let hasher = CountingHasher::default();
    assert_eq!(
        hasher.verify(password, "else".to_owned()).await,
        Ok::<_, HashError>(false)
    );
}
