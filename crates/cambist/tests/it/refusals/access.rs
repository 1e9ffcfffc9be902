//! Who may ask what: every public route, with every kind of token.

use std::time::Duration;

use contracts::UserId;
use jiff::Timestamp;
use reqwest::Method;
use service_kit::auth::{Claims, SigningKey};
use test_kit::api::User;
use test_kit::system::{Scene, TestSystem};

use super::{given_ada_and_bob, json, send, snapshot};

/// Every route of a user, with a body that would have an effect.
static ROUTES: [(Method, &str, &str); 8] = [
    (Method::GET, "/wallet/{}", ""),
    (Method::POST, "/wallet/{}", ""),
    (Method::PATCH, "/wallet/{}", r#"{"fiat_amount": 5}"#),
    (Method::GET, "/wallet/{}/transactions", ""),
    (Method::POST, "/buy/{}", r#"{"fiat_amount": 5}"#),
    (Method::POST, "/sell/{}", r#"{"crypto_amount": 0.5}"#),
    (Method::GET, "/orders/{}", ""),
    (Method::GET, "/orders/{}/1", ""),
];

fn id(user: &User) -> UserId {
    UserId::try_new(user.id).unwrap()
}

/// The key with which this system signs: whoever has the database can do this, nobody else.
fn signing_key(system: &TestSystem) -> SigningKey {
    let database = storage::sqlite::reader(&system.database()).unwrap();
    let key = database.query_row(
        "SELECT kid, private_key FROM auth_signing_keys WHERE retired_at IS NULL LIMIT 1",
        (),
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?)),
    );
    let (kid, seed) = key.unwrap();
    SigningKey::from_seed(kid, &seed)
}

/// Tokens for `user` that must not open anything, each with what is wrong with it.
fn bad_tokens(system: &TestSystem, user: &User) -> Vec<(&'static str, String)> {
    let key = signing_key(system);
    let (now, ttl) = (Timestamp::now(), Duration::from_secs(900));
    let hour_ago = now - Duration::from_secs(3_600);
    let claims = |issuer, audience, at| Claims::new(id(user), issuer, audience, at, ttl, "t".to_owned());
    let mint = |key: &SigningKey, claims: &Claims| key.mint(claims).unwrap();
    let good = claims("cambist", "cambist", now);
    let parts: Vec<&str> = user.token.split('.').collect();
    let [header, body, signature] = parts[..] else {
        panic!("a token has three parts");
    };
    // {"alg":"none","typ":"JWT"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let altered: String = signature.chars().rev().collect();
    vec![
        ("no token at all", String::new()),
        ("not a token", "let-me-in".to_owned()),
        ("a broken token", format!("{header}.{body}")),
        ("another signature", format!("{header}.{body}.{altered}")),
        ("no signature", format!("{none}.{body}.")),
        ("unsigned by its own word", format!("{none}.{body}.{signature}")),
        ("expired", mint(&key, &claims("cambist", "cambist", hour_ago))),
        ("another issuer", mint(&key, &claims("somebody", "cambist", now))),
        ("another audience", mint(&key, &claims("cambist", "somebody", now))),
        (
            "another key of this name",
            mint(&SigningKey::from_seed(key.kid(), &[7; 32]), &good),
        ),
        (
            "a key nobody knows",
            mint(&SigningKey::from_seed("unknown", &[7; 32]), &good),
        ),
    ]
}

#[tokio::test]
async fn nothing_of_a_user_opens_without_a_sound_token() {
    let system = TestSystem::start().await;
    let (ada, _) = given_ada_and_bob(&system).await;
    let before = snapshot(&system);
    for (what, token) in bad_tokens(&system, &ada) {
        for (method, path, body) in &ROUTES {
            let path = path.replace("{}", "2");
            let mut request = ada.api.request(method.clone(), &path).body(*body);
            request = request.header("content-type", "application/json");
            if !token.is_empty() {
                request = request.bearer_auth(&token);
            }
            let answer = send(&ada, request).await;
            assert_eq!(answer.status, 401, "{what}: {method} {path}: {answer:?}");
            answer.assert_problem(401, "unauthorized");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    // The same token counts in the right place only.
    for header in [
        format!("Basic {}", ada.token),
        ada.token.clone(),
        format!("Bearer  {} x", ada.token),
    ] {
        let request = ada
            .api
            .request(Method::GET, "/wallet/2")
            .header("authorization", header);
        send(&ada, request).await.assert_problem(401, "unauthorized");
    }
    let in_query = ada.api.request(Method::GET, &format!("/wallet/2?token={}", ada.token));
    send(&ada, in_query).await.assert_problem(401, "unauthorized");
    let sound = signing_key(&system).mint(&Claims::new(
        id(&ada),
        "cambist",
        "cambist",
        Timestamp::now(),
        Duration::from_secs(60),
        "t".to_owned(),
    ));
    let minted = User {
        token: sound.unwrap(),
        ..ada.clone()
    };
    assert_eq!(
        minted.get("/wallet/2").await.status,
        200,
        "the forgeries fail for what is wrong with them"
    );
    assert_eq!(snapshot(&system), before);
}

#[tokio::test]
async fn nobody_reaches_what_is_somebody_elses() {
    let system = TestSystem::start().await;
    let (ada, bob) = given_ada_and_bob(&system).await;
    let before = snapshot(&system);
    for (method, path, body) in &ROUTES {
        // Ada's, the hot wallet's, nobody's, and what is no id at all.
        for owner in ["2", "1", "99", "0", "-2", "abc", "03", "9223372036854775808"] {
            let path = path.replace("{}", owner);
            let answer = send(&bob, json(&bob, method.clone(), &path, body)).await;
            assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
            answer.assert_problem(403, "forbidden");
        }
        let own = path.replace("{}", "2");
        let answer = send(&ada, json(&ada, Method::GET, &own, "")).await;
        assert!(![401, 403].contains(&answer.status), "{own}: {answer:?}");
    }
    assert_eq!(snapshot(&system), before);
    assert_eq!(ada.balances().await, ("570".into(), "3".into()));
}

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
async fn a_wrong_password_and_a_wrong_user_get_one_and_the_same_answer() {
    let system = TestSystem::start().await;
    let ada = system.api.given_a_registered("ada").await;
    let log_in = |name: &str, password: &str| {
        let body = format!(r#"{{"username": "{name}", "password": "{password}"}}"#);
        ada.api
            .request(Method::POST, "/login")
            .header("content-type", "application/json")
            .body(body)
    };
    let wrong_password = send(&ada, log_in("ada", "not-hers")).await;
    wrong_password.assert_problem(401, "wrong_credentials");
    let wrong_user = send(&ada, log_in("eve", "password")).await;
    assert_eq!(wrong_user.text, wrong_password.text);
    let hot_wallet = send(&ada, log_in("hot_wallet", "password")).await;
    assert_eq!(hot_wallet.text, wrong_password.text, "nobody logs in as the hot wallet");
    let answer = send(&ada, log_in("ADA", "password")).await;
    assert_eq!(answer.status, 200);
    let header = answer.headers["authorization"].to_str().unwrap();
    assert_eq!(header.strip_prefix("Bearer "), answer.body["token"].as_str());
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["expires_in"], 900);
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
