//! The internal routes, request by request.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use contracts::clients::ExchangeCommand;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use service_kit::problem::with_fallbacks;
use tower::ServiceExt as _;

use crate::scene::{BALANCE_TOKEN, OPERATOR_TOKEN, Scene, WALLET_TOKEN, buy, exchange, reverse, sell, undo};

struct Answer {
    status: StatusCode,
    replayed: bool,
    body: Value,
}

fn router(scene: &Scene) -> Router {
    with_fallbacks(scene.service.internal_routes().into())
}

async fn post_as(scene: &Scene, token: &str, path: &str, body: &str) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = router(scene).oneshot(request).await.unwrap();
    let status = response.status();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap();
    Answer { status, replayed, body }
}

async fn post(scene: &Scene, path: &str, body: &str) -> Answer {
    post_as(scene, WALLET_TOKEN, path, body).await
}

async fn refused(scene: &Scene, path: &str, body: &str, pointer: &str) {
    let answer = post(scene, path, body).await;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{body}: {}",
        answer.body
    );
    assert_eq!(
        answer.body["errors"][0]["pointer"],
        json!(pointer),
        "{body}: {}",
        answer.body
    );
}

async fn stored(scene: &Scene, key: storage::commands::CommandKey) -> ExchangeCommand {
    serde_json::from_str(&scene.record(key).await.content).unwrap()
}

#[tokio::test]
async fn a_buy_is_accepted_once_and_again() {
    let scene = Scene::new();
    let body = r#"{"acquirer_user_id": 2, "order_id": 1, "fiat_amount": 30, "compensate": false}"#;
    let first = post(&scene, "/buy/1", body).await;
    assert_eq!((first.status, first.replayed), (StatusCode::ACCEPTED, false));
    assert_eq!(first.body, json!({"order_id": 1, "status": "accepted"}));
    assert_eq!(stored(&scene, exchange(1)).await, buy(1, "30"));
    let again = post(
        &scene,
        "/buy/1",
        r#"{"acquirer_user_id": 2, "order_id": 1, "fiat_amount": "30.00"}"#,
    )
    .await;
    assert_eq!((again.status, again.replayed), (StatusCode::ACCEPTED, true));
    assert_eq!(again.body, first.body);
    let other = post(
        &scene,
        "/buy/1",
        r#"{"acquirer_user_id": 2, "order_id": 1, "fiat_amount": 31}"#,
    )
    .await;
    assert_eq!(
        (other.status, &other.body["code"]),
        (StatusCode::CONFLICT, &json!("conflict"))
    );
}

#[tokio::test]
async fn a_sell_and_an_undoing_are_limited_by_crypto() {
    let scene = Scene::new();
    let body = r#"{"acquirer_user_id": 2, "order_id": 5, "crypto_amount": 1.5, "asset": "BTC", "currency": "USD"}"#;
    assert_eq!(post(&scene, "/sell/5", body).await.status, StatusCode::ACCEPTED);
    assert_eq!(stored(&scene, exchange(5)).await, sell(5, "1.5"));
    scene.order(buy(1, "30")).await;
    scene.finish(exchange(1)).await;
    let body = r#"{"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3, "compensate": true}"#;
    assert_eq!(
        post_as(&scene, OPERATOR_TOKEN, "/buy/1", body).await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(stored(&scene, reverse(1)).await, undo(1, "3"));
}

#[tokio::test]
async fn what_makes_no_sense_is_named_by_its_field() {
    let scene = Scene::new();
    let rows = [
        ("/buy/2", r#""fiat_amount": 30"#, "/order_id"),
        ("/buy/1", r#""compensate": false"#, "/fiat_amount"),
        ("/buy/1", r#""crypto_amount": 3"#, "/fiat_amount"),
        ("/buy/1", r#""fiat_amount": 30, "crypto_amount": 3"#, "/crypto_amount"),
        ("/buy/1", r#""fiat_amount": 0"#, "/fiat_amount"),
        ("/buy/1", r#""fiat_amount": -30"#, "/fiat_amount"),
        ("/buy/1", r#""fiat_amount": 30.001"#, "/fiat_amount"),
        ("/buy/1", r#""fiat_amount": 30, "asset": "DOGE""#, "/asset"),
        ("/buy/1", r#""fiat_amount": 30, "asset": "EUR""#, ""),
        ("/buy/1", r#""fiat_amount": 30, "price": 9"#, "/price"),
        ("/buy/1", r#""crypto_amount": 3, "compensate": true"#, ""),
        ("/sell/1", r#""fiat_amount": 30"#, "/crypto_amount"),
        ("/sell/1", r#""crypto_amount": 3, "compensate": true"#, ""),
    ];
    for (path, fields, pointer) in rows {
        let body = format!(r#"{{"acquirer_user_id": 2, "order_id": 1, {fields}}}"#);
        refused(&scene, path, &body, pointer).await;
    }
    let of = |user: u8| format!(r#"{{"acquirer_user_id": {user}, "order_id": 1, "fiat_amount": 30}}"#);
    refused(&scene, "/buy/1", &of(0), "/acquirer_user_id").await;
    refused(&scene, "/buy/1", &of(1), "").await;
    refused(&scene, "/buy", "[]", "").await;
    assert_eq!(scene.store.open_count().await.unwrap(), 0);
}

#[tokio::test]
async fn an_array_gets_an_outcome_each() {
    let scene = Scene::new();
    scene.order(buy(2, "10")).await;
    let body = json!([
        {"acquirer_user_id": 2, "order_id": 1, "fiat_amount": 30},
        {"acquirer_user_id": 2, "order_id": 2, "fiat_amount": 11},
        {"acquirer_user_id": 2, "order_id": 3, "fiat_amount": "0.001"},
        {"acquirer_user_id": 2, "order_id": 2, "fiat_amount": 10},
    ]);
    let answer = post(&scene, "/buy", &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let outcomes = answer.body.as_array().unwrap();
    assert_eq!(outcomes.len(), 4);
    assert_eq!(outcomes[0], json!({"order_id": 1, "status": "accepted"}));
    assert_eq!(
        (&outcomes[1]["code"], &outcomes[1]["order_id"]),
        (&json!("conflict"), &json!(2))
    );
    assert_eq!(
        (&outcomes[2]["code"], &outcomes[2]["order_id"]),
        (&json!("invalid"), &json!(3))
    );
    assert_eq!(outcomes[3], json!({"order_id": 2, "status": "accepted"}));
    let many: Vec<_> = (1..=101)
        .map(|n| json!({"acquirer_user_id": 2, "order_id": n, "crypto_amount": 1}))
        .collect();
    let answer = post(&scene, "/sell", &json!(many).to_string()).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let answer = post(&scene, "/sell", &json!(many[10..]).to_string()).await;
    assert_eq!(answer.body.as_array().unwrap().len(), 91);
}

#[tokio::test]
async fn only_wallet_and_operators_may_trade() {
    let scene = Scene::new();
    let body = r#"{"acquirer_user_id": 2, "order_id": 1, "fiat_amount": 30}"#;
    for path in ["/buy/1", "/sell/1", "/buy", "/sell"] {
        assert_eq!(
            post_as(&scene, "nobody", path, body).await.status,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
        assert_eq!(
            post_as(&scene, BALANCE_TOKEN, path, body).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    assert_eq!(post(&scene, "/buy/01", body).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(post(&scene, "/buy/1", "{").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(post(&scene, "/hold/1", body).await.status, StatusCode::NOT_FOUND);
    assert_eq!(scene.store.open_count().await.unwrap(), 0);
}
