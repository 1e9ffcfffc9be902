//! What is said of a route follows from what is done to it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use contracts::{ServiceName, UserId};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use service_kit::extract::{IdempotencyKey, JsonBody, PathId};
use service_kit::internal::{Allowed, InternalTokens};
use service_kit::openapi::{About, Routes, answers, publish, routes};
use tower::ServiceExt as _;
use utoipa::ToSchema;

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"fiat_amount": 30})))]
struct Payment {
    #[expect(dead_code, reason = "it is only described")]
    fiat_amount: i64,
}

/// Pay.
#[utoipa::path(post, path = "/pay/{user_id}", operation_id = "pay", params(IdempotencyKey), request_body = Payment,
    responses((status = 202, description = "Paid."), answers::Conflict, answers::AlreadyExists))]
async fn pay(_: PathId<UserId>, _: Option<IdempotencyKey>, _: JsonBody<Payment>) {}

/// Look.
#[utoipa::path(get, path = "/look", operation_id = "look", responses((status = 200, description = "Seen.")))]
async fn look() {}

const ABOUT: About = About {
    title: "Test",
    version: "1",
    description: "A test.",
    tags: &[("wallet", "Wallets.")],
};

async fn document(guarded: Routes, beside: Routes) -> Value {
    let (router, _): (Router, Router) = publish(ABOUT, guarded, beside);
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

fn codes(operation: &Value, status: &str) -> Value {
    let answer = &operation["responses"][status]["content"]["application/problem+json"];
    answer["schema"]["allOf"][1]["properties"]["code"]["enum"].clone()
}

async fn paying() -> Value {
    let tokens = Arc::new(InternalTokens::try_new([]).unwrap());
    let routes = Routes::new().with(routes!(pay)).allowed(&tokens, &[Allowed::Operator]);
    let document = document(Routes::new().nest(ServiceName::Wallet, routes), Routes::new()).await;
    document["paths"]["/wallet/pay/{user_id}"]["post"].clone()
}

#[tokio::test]
async fn a_status_has_one_answer_with_all_its_problems() {
    let pay = paying().await;
    assert_eq!(codes(&pay, "409"), json!(["already_exists", "conflict"]));
    let examples = &pay["responses"]["409"]["content"]["application/problem+json"]["examples"];
    assert_eq!(examples["conflict"]["value"]["code"], "conflict");
    assert_eq!(examples["already_exists"]["value"]["status"], 409);
}

#[tokio::test]
async fn layers_and_extractors_say_what_they_may_answer() {
    let pay = paying().await;
    assert_eq!(pay["security"], json!([{"caller": []}]));
    assert_eq!(codes(&pay, "401"), json!(["unauthorized"]));
    assert_eq!(codes(&pay, "403"), json!(["forbidden"]));
    assert_eq!(
        codes(&pay, "400"),
        json!(["malformed_json", "malformed_path", "malformed_header"])
    );
    assert_eq!(codes(&pay, "422"), json!(["invalid", "idempotency_key_reused"]));
    assert_eq!(codes(&pay, "503"), json!(["overloaded", "unavailable", "timeout"]));
    assert!(pay["responses"]["503"]["headers"]["Retry-After"].is_object());
    assert!(pay["responses"]["401"]["headers"]["WWW-Authenticate"].is_object());
    assert!(pay["responses"]["202"]["headers"]["Idempotency-Replayed"].is_object());
    assert!(pay["responses"]["429"].is_null(), "nothing limits it");
}

#[tokio::test]
async fn a_path_s_ids_and_a_type_s_example_are_said_once_and_shown_where_they_are_used() {
    let pay = paying().await;
    let parameters = pay["parameters"].as_array().unwrap();
    let id = parameters.iter().find(|it| it["name"] == "user_id").unwrap();
    assert_eq!((&id["in"], &id["required"]), (&json!("path"), &json!(true)));
    assert_eq!(id["schema"]["minimum"], 1);
    assert_eq!(
        pay["requestBody"]["content"]["application/json"]["example"],
        json!({"fiat_amount": 30})
    );
}

#[tokio::test]
async fn a_service_s_operations_bear_its_name() {
    let pay = paying().await;
    assert_eq!(pay["operationId"], "wallet_pay");
    assert_eq!(pay["tags"], json!(["wallet"]));
}

#[tokio::test]
async fn what_is_beside_the_guard_is_never_overloaded() {
    let document = document(Routes::new(), Routes::new().with(routes!(look))).await;
    let answers = document["paths"]["/look"]["get"]["responses"].as_object().unwrap();
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["200"]);
    let itself = &document["paths"]["/openapi.json"]["get"];
    assert_eq!(codes(itself, "503"), json!(["overloaded", "unavailable", "timeout"]));
}
