//! The internal routes, as their callers see them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use bc_gateway::chain::simulated::Manner;
use bc_gateway::{Dependencies, Service};
use contracts::messages::Step;
use contracts::{Clock as _, ServiceName};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use service_kit::internal::{Caller, InternalTokens};
use service_kit::settings::Secret;
use storage::commands::{Acceptance, NewCommand};
use tower::ServiceExt as _;

use crate::world::{COIN, World, key, taken_back, user, withdrawal};

fn routes(world: &World) -> Router {
    let tokens = InternalTokens::try_new([
        (Caller::Service(ServiceName::Wallet), Secret::new("wallets")),
        (Caller::Service(ServiceName::Exchanger), Secret::new("exchangers")),
        (Caller::Operator("ann".into()), Secret::new("anns")),
    ])
    .unwrap();
    let dependencies = Dependencies {
        internal_tokens: Arc::new(tokens),
        ..world.dependencies()
    };
    Service::new(dependencies).internal_routes().into()
}

async fn post(routes: &Router, token: &str, path: &str, body: &Value) -> (StatusCode, Value, bool) {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = routes.clone().oneshot(request).await.unwrap();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default(), replayed)
}

#[tokio::test]
async fn the_wallet_asks_for_a_withdrawal_and_it_happens() {
    let world = World::new();
    let routes = routes(&world);
    let body = json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3, "compensate": false});
    let answer = post(&routes, "wallets", "/withdraw/1", &body).await;
    assert_eq!(
        answer,
        (
            StatusCode::ACCEPTED,
            json!({"order_id": 1, "status": "accepted"}),
            false
        )
    );
    let again = post(&routes, "wallets", "/withdraw/1", &body).await;
    assert_eq!((again.0, again.2), (StatusCode::ACCEPTED, true));
    world.finish().await;
    assert_eq!(
        (world.coins_of(user(2)).await, world.ledger.balance(user(2))),
        (3 * COIN, 3 * COIN)
    );
    let other = json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": "3.00000001"});
    let (status, problem, _) = post(&routes, "wallets", "/withdraw/1", &other).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    let back = json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3, "compensate": true});
    assert_eq!(
        post(&routes, "anns", "/withdraw/1", &back).await.0,
        StatusCode::ACCEPTED
    );
    world.finish().await;
    assert_eq!((world.coins_of(user(2)).await, world.ledger.balance(user(2))), (0, 0));
}

async fn get(routes: &Router, token: &str, path: &str) -> (StatusCode, Value) {
    let request = Request::get(path).header("authorization", format!("Bearer {token}"));
    let response = routes
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test]
async fn an_operator_finds_a_way_back_that_hangs_and_says_what_became_of_it() {
    let world = World::withdrawn().await;
    let routes = routes(&world);
    let nothing = json!({"items": [], "next_cursor": null});
    assert_eq!(
        get(&routes, "anns", "/transfers").await,
        (StatusCode::OK, nothing.clone())
    );
    world
        .manners
        .otherwise(Manner::LateConfirmation(Duration::from_secs(1_000)));
    world.accept(taken_back(withdrawal(1))).await;
    for _ in 0..20 {
        world.try_all().await;
        world.clock.advance(Duration::from_secs(7));
    }
    let (_, listed) = get(&routes, "anns", "/transfers").await;
    let listed = &listed["items"][0];
    assert_eq!(
        (&listed["order_id"], &listed["step"], &listed["state"]),
        (&json!(1), &json!("withdraw_back"), &json!("open"))
    );
    assert_eq!((&listed["from_user_id"], &listed["to_user_id"]), (&json!(2), &json!(1)));
    assert_eq!(listed["last_reason"], "waiting for its block");
    assert!(listed["answer_missing_since"].is_string());
    let (_, shown) = get(&routes, "anns", "/transfers/1?step=withdraw_back").await;
    let hash = shown["attempt"].as_str().unwrap();
    let (_, forth) = get(&routes, "anns", "/transfers/1?step=withdraw").await;
    assert_eq!((&forth["step"], &forth["state"]), (&json!("withdraw"), &json!("done")));
    let retry = json!({"step": "withdraw_back", "reason": "the node is back"});
    let (status, did, _) = post(&routes, "anns", "/transfers/1/retry", &retry).await;
    assert_eq!((status, &did["did"]), (StatusCode::ACCEPTED, &json!("nudged")));
    let lost = json!({"step": "withdraw_back", "outcome": "never_confirms", "evidence": "it is nowhere"});
    let (status, problem, _) = post(&routes, "anns", "/transfers/1/resolve", &lost).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    world.manners.silence(true);
    let seen =
        json!({"step": "withdraw_back", "outcome": "confirmed", "transaction": hash, "evidence": "two explorers"});
    for replayed in [false, true] {
        let answer = post(&routes, "anns", "/transfers/1/resolve", &seen).await;
        assert_eq!((answer.0, answer.2), (StatusCode::ACCEPTED, replayed), "{answer:?}");
    }
    world.finish().await;
    assert_eq!((world.ledger.balance(user(2)), world.ledger.in_transit()), (0, 0));
    assert_eq!(get(&routes, "anns", "/transfers").await, (StatusCode::OK, nothing));
    for (body, status) in [
        (
            json!({"step": "withdraw_back", "outcome": "confirmed", "evidence": "e"}),
            422,
        ),
        (
            json!({"outcome": "never_confirms", "transaction": "t", "evidence": "e"}),
            422,
        ),
        (json!({"outcome": "never_confirms", "evidence": " "}), 422),
        (
            json!({"step": "exchange", "outcome": "never_confirms", "evidence": "e"}),
            404,
        ),
    ] {
        let (answered, problem, _) = post(&routes, "anns", "/transfers/1/resolve", &body).await;
        assert_eq!(answered.as_u16(), status, "{body} {problem}");
    }
    let (status, _, _) = post(&routes, "anns", "/transfers/2/retry", &retry).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(
        get(&routes, "anns", "/transfers/2?step=withdraw").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(get(&routes, "wallets", "/transfers").await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_command_that_cannot_be_read_hides_no_other_from_the_operator() {
    let world = World::new();
    let routes = routes(&world);
    let unreadable = NewCommand {
        key: key(1, Step::WithdrawBack),
        content: "no command".into(),
        progress: r#"{"phase":"unsigned"}"#.into(),
    };
    let accepted = world.commands.accept(world.clock.now(), vec![unreadable], false).await;
    assert_eq!(accepted.unwrap(), [Acceptance::New(None)]);
    world.manners.silence(true);
    world.accept(withdrawal(2)).await;
    world.try_all().await;
    let (status, listed) = get(&routes, "anns", "/transfers").await;
    assert_eq!(status, StatusCode::OK, "{listed}");
    let (dead, open) = (&listed["items"][0], &listed["items"][1]);
    assert_eq!(
        (&dead["order_id"], &dead["step"], &dead["state"]),
        (&json!(1), &json!("withdraw_back"), &json!("dead"))
    );
    for unknown in ["from_user_id", "to_user_id", "amount"] {
        assert!(dead[unknown].is_null(), "{dead}");
        assert!(!open[unknown].is_null(), "{open}");
    }
    let reason = dead["last_reason"].as_str().unwrap();
    assert!(reason.contains("no command"), "{reason}");
    assert_eq!((&open["order_id"], &open["state"]), (&json!(2), &json!("open")));
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let world = World::new();
    let routes = routes(&world);
    let body = json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3});
    for path in ["/withdraw/1", "/withdraw"] {
        assert_eq!(post(&routes, "guess", path, &body).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(post(&routes, "exchangers", path, &body).await.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(world.commands.open_count().await.unwrap(), 0);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_field_to_blame() {
    let world = World::new();
    let routes = routes(&world);
    for (path, body, status) in [
        (
            "/withdraw/1",
            json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 0}),
            422,
        ),
        (
            "/withdraw/1",
            json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": -1}),
            422,
        ),
        (
            "/withdraw/1",
            json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 0.000000001}),
            422,
        ),
        (
            "/withdraw/1",
            json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 1, "asset": "USD"}),
            422,
        ),
        (
            "/withdraw/1",
            json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 1, "asset": "DOGE"}),
            422,
        ),
        (
            "/withdraw/1",
            json!({"acquirer_user_id": 1, "order_id": 1, "crypto_amount": 1}),
            422,
        ),
        ("/withdraw/1", json!({"acquirer_user_id": 2, "crypto_amount": 1}), 422),
        (
            "/withdraw/1",
            json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 1, "tip": 1}),
            422,
        ),
        (
            "/withdraw/0",
            json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 1}),
            400,
        ),
        ("/withdraw", json!([]), 422),
        ("/withdraw", json!({}), 422),
    ] {
        let (answered, problem, _) = post(&routes, "wallets", path, &body).await;
        assert_eq!(answered.as_u16(), status, "{path} {body} {problem}");
    }
    assert_eq!(world.commands.open_count().await.unwrap(), 0);
}

#[tokio::test]
async fn an_array_has_an_outcome_for_each() {
    let world = World::new();
    let routes = routes(&world);
    let item = |order: i64, amount: Value| json!({"source_user_id": 1, "acquirer_user_id": 2, "order_id": order, "crypto_amount": amount});
    let body = json!([
        item(1, json!(3)),
        item(2, json!("0.123456789")),
        item(3, json!(0)),
        item(1, json!(4)),
        item(4, json!(1))
    ]);
    let (status, outcomes, _) = post(&routes, "wallets", "/withdraw", &body).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let summary: Vec<_> = outcomes
        .as_array()
        .unwrap()
        .iter()
        .map(|outcome| (outcome["order_id"].as_i64().unwrap(), outcome["status"].clone()))
        .collect();
    let expected = [
        (1, json!("accepted")),
        (2, json!(422)),
        (3, json!(422)),
        (1, json!(409)),
        (4, json!("accepted")),
    ];
    assert_eq!(summary, expected);
    assert_eq!(outcomes[1]["errors"][0]["pointer"], "/1/crypto_amount");
    world.finish().await;
    assert_eq!(world.ledger.balance(user(2)), 4 * COIN);
    assert_eq!(world.commands.record(key(3, Step::Withdraw)).await.unwrap(), None);
    let crowd: Vec<_> = (1..=101).map(|order| item(order, json!(1))).collect();
    assert_eq!(
        post(&routes, "wallets", "/withdraw", &json!(crowd)).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}
