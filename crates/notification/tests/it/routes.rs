//! The internal routes.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use service_kit::problem::with_fallbacks;
use tower::ServiceExt as _;

use crate::given::{self, Given, ToldMailer};

struct Answer {
    status: StatusCode,
    replayed: bool,
    body: Value,
}

async fn post_as(given: &Given, caller: &str, path: &str, body: Option<Value>) -> Answer {
    let mut request = Request::post(path).header("authorization", format!("Bearer token-of-{caller}"));
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let routes = with_fallbacks(given.service.internal_routes().into());
    let response = routes.oneshot(request.body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        replayed: parts.headers.contains_key("idempotency-replayed"),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

async fn post(given: &Given, path: &str, body: Value) -> Answer {
    post_as(given, "wallet", path, Some(body)).await
}

fn given() -> Given {
    given::notification(ToldMailer::new([]).0)
}

#[tokio::test]
async fn a_notification_is_accepted_and_known_afterwards() {
    let given = given();
    let body = json!({"email": "ada@example.com", "payload": "Order 7 is completed"});
    let answer = post(&given, "/send/7", body.clone()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(
        answer.body,
        json!({"order_id": 7, "outcome": "accepted", "replayed": false})
    );
    assert!(!answer.replayed);

    // What is left out comes from the notification that is known.
    for body in [
        Some(body),
        Some(json!({})),
        Some(json!({"email": "ada@example.com"})),
        None,
    ] {
        let answer = post_as(&given, "operator:ann", "/send/7", body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        assert_eq!(
            answer.body,
            json!({"order_id": 7, "outcome": "accepted", "replayed": true})
        );
        assert!(answer.replayed);
    }
    let answer = post(&given, "/send/7", json!({"payload": "Something else"})).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (StatusCode::CONFLICT, &json!("conflict"))
    );
}

#[tokio::test]
async fn of_an_unknown_order_nothing_can_be_left_out() {
    let given = given();
    for (body, pointers) in [
        (json!({}), vec!["/email", "/payload"]),
        (json!({"email": "ada@example.com"}), vec!["/payload"]),
        (json!({"payload": "Order 7"}), vec!["/email"]),
        (json!({"email": "nowhere", "payload": ""}), vec!["/email", "/payload"]),
    ] {
        let answer = post(&given, "/send/7", body.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        let errors = answer.body["errors"].as_array().unwrap();
        let blamed: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(blamed, pointers, "{body}");
    }
    assert_eq!(given.record(7).await, None);
}

#[tokio::test]
async fn an_array_has_an_outcome_for_each() {
    let given = given();
    post(
        &given,
        "/send/1",
        json!({"email": "ada@example.com", "payload": "Order 1"}),
    )
    .await;
    let items = json!([
        {"order_id": 1},
        {"order_id": 1, "payload": "Something else"},
        {"order_id": 2, "email": "ada@example.com", "payload": "Order 2"},
        {"order_id": 3},
    ]);
    let answer = post(&given, "/send", items).await;
    assert_eq!(answer.status, StatusCode::OK);
    let outcomes = answer.body.as_array().unwrap();
    assert_eq!(
        outcomes[0],
        json!({"order_id": 1, "outcome": "accepted", "replayed": true})
    );
    assert_eq!(outcomes[1], json!({"order_id": 1, "outcome": "conflict"}));
    assert_eq!(
        outcomes[2],
        json!({"order_id": 2, "outcome": "accepted", "replayed": false})
    );
    assert_eq!(
        (&outcomes[3]["order_id"], &outcomes[3]["outcome"]),
        (&json!(3), &json!("invalid"))
    );
    assert_eq!(post(&given, "/send", json!([])).await.body, json!([]));
}

#[tokio::test]
async fn a_hundred_full_texts_fit_and_one_more_does_not() {
    let given = given();
    let item = |number: i64| json!({"order_id": number, "email": "ada@example.com", "payload": "x".repeat(4_096)});
    let hundred: Vec<_> = (1..=100).map(item).collect();
    let answer = post(&given, "/send", json!(hundred)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(
        answer
            .body
            .as_array()
            .unwrap()
            .iter()
            .all(|outcome| outcome["outcome"] == "accepted")
    );
    let more: Vec<_> = (1..=101).map(|number| json!({"order_id": number})).collect();
    assert_eq!(
        post(&given, "/send", json!(more)).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let huge = json!({"payload": "x".repeat(40_000)});
    assert_eq!(
        post(&given, "/send/7", huge).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn a_request_of_another_form_is_refused() {
    let given = given();
    let (malformed, invalid) = (StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY);
    let whole = json!({"email": "ada@example.com", "payload": "Order 7"});
    for (path, body, status) in [
        ("/send/0", whole.clone(), malformed),
        ("/send/seven", whole.clone(), malformed),
        ("/send/7", json!({"email": 7, "payload": "Order 7"}), invalid),
        (
            "/send/7",
            json!({"email": "ada@example.com", "payload": "Order 7", "subject": "x"}),
            invalid,
        ),
        ("/send/7", json!([whole]), invalid),
        ("/send", whole.clone(), invalid),
        (
            "/send",
            json!([{"email": "ada@example.com", "payload": "Order 7"}]),
            invalid,
        ),
        ("/send", json!([{"order_id": 0}]), invalid),
    ] {
        let answer = post(&given, path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}");
    }
}

#[tokio::test]
async fn only_wallet_and_operators_may_send_and_no_user_may() {
    let given = given();
    let body = json!({"email": "ada@example.com", "payload": "Order 7"});
    for path in ["/send/7", "/send"] {
        let answer = post_as(&given, "exchanger", path, Some(body.clone())).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        let answer = post_as(&given, "nobody", path, Some(body.clone())).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let request = Request::post(path).body(Body::empty()).unwrap();
        let outside = with_fallbacks(given.service.public_routes().into())
            .oneshot(request)
            .await
            .unwrap();
        assert_eq!(outside.status(), StatusCode::NOT_FOUND);
    }
}
