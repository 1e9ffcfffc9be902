//! The internal routes: who may, what is answered, and every refusal as a problem.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use balance::ports::LedgerStore;
use contracts::ledger::Posting;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use service_kit::internal::{Caller, InternalTokens};
use service_kit::problem::with_fallbacks;
use service_kit::settings::Secret;
use tower::ServiceExt as _;

use crate::client::{overloaded, service};
use crate::given::{Given, at, fresh_books, hold, pay_in, usd};

const CALLERS: [&str; 6] = [
    "wallet",
    "exchanger",
    "bc_gateway",
    "notification",
    "auth",
    "operator:ann",
];

struct Api {
    router: Router,
    _given: Option<Given>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Status and code of a problem.
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let code = self.json()["code"].as_str().unwrap().to_owned();
        (self.status.as_u16(), code)
    }
}

fn api_of(ledger: Arc<dyn LedgerStore>, given: Option<Given>) -> Api {
    let tokens = CALLERS.map(|name| {
        (
            name.parse::<Caller>().unwrap(),
            Secret::new(&format!("token-of-{name}")),
        )
    });
    let routes = service(ledger, InternalTokens::try_new(tokens).unwrap()).internal_routes();
    Api {
        router: with_fallbacks(routes.into()),
        _given: given,
    }
}

fn api() -> Api {
    let given = fresh_books();
    api_of(Arc::clone(&given.ledger), Some(given))
}

impl Api {
    async fn send(&self, caller: &str, request: axum::http::request::Builder, body: String) -> Answer {
        let request = request
            .header("authorization", format!("Bearer token-of-{caller}"))
            .header("content-type", "application/json");
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    async fn ask(&self, caller: &str, method: &str, path: &str, body: impl Into<String>) -> Answer {
        let request = Request::builder().method(method).uri(path);
        self.send(caller, request, body.into()).await
    }

    async fn adjust_with_key(&self, key: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method("PATCH")
            .uri("/wallet/2")
            .header("idempotency-key", key);
        self.send("operator:ann", request, body.to_owned()).await
    }

    async fn post(&self, postings: &[Posting]) -> Answer {
        self.ask("wallet", "POST", "/transfers", serde_json::to_string(postings).unwrap())
            .await
    }
}

#[tokio::test]
async fn a_wallet_is_opened_adjusted_and_read() {
    let api = api();
    let empty = r#"{"user_id":2,"crypto_amount":0,"fiat_amount":0,"balances":[{"amount":"0","asset":"BTC"},{"amount":"0","asset":"USD"}]}"#;
    assert_eq!(
        api.ask("wallet", "GET", "/wallet/2", "").await.problem(),
        (404, "not_found".to_owned())
    );
    let opened = api.ask("wallet", "POST", "/wallet/2", "").await;
    assert_eq!((opened.status.as_u16(), opened.text.as_str()), (201, empty));
    assert_eq!(
        api.ask("wallet", "POST", "/wallet/2", "").await.problem(),
        (409, "already_exists".to_owned())
    );
    assert_eq!(
        api.ask("wallet", "POST", "/wallet/1", "").await.problem(),
        (409, "already_exists".to_owned())
    );
    assert_eq!(api.ask("wallet", "GET", "/wallet/2", "").await.text, empty);
    let body = r#"{"crypto_amount": 0.5, "fiat_amount": "13.77", "reason": "goodwill"}"#;
    let adjusted = api.ask("operator:ann", "PATCH", "/wallet/2", body).await;
    let balances = r#""user_id":2,"crypto_amount":0.5,"fiat_amount":13.77,"balances":[{"amount":"0.5","asset":"BTC"},{"amount":"13.77","asset":"USD"}]}"#;
    assert_eq!(adjusted.status, StatusCode::OK);
    assert_eq!(adjusted.text, format!("{{\"adjustment_id\":1,{balances}"));
    assert_eq!(
        api.ask("exchanger", "GET", "/wallet/2", "").await.text,
        format!("{{{balances}")
    );
    assert_eq!(api.ask("wallet", "GET", "/wallet/1", "").await.json()["user_id"], 1);
}

#[tokio::test]
async fn an_adjustment_takes_other_assets_exactly() {
    let api = api();
    api.ask("wallet", "POST", "/wallet/2", "").await;
    let body = r#"{"crypto_amount": 18446744073709551616.000000000000000001, "asset": "ETH", "fiat_amount": 7, "currency": "JPY", "reason": "r"}"#;
    let adjusted = api.ask("wallet", "PATCH", "/wallet/2", body).await.json();
    let eth = json!({"amount": "18446744073709551616.000000000000000001", "asset": "ETH"});
    assert_eq!(adjusted["balances"][1], eth);
    assert_eq!(adjusted["balances"][2], json!({"amount": "7", "asset": "JPY"}));
    let refund = r#"{"fiat_amount": -7, "currency": "JPY", "reason": "r"}"#;
    assert_eq!(
        api.ask("wallet", "PATCH", "/wallet/2", refund).await.status,
        StatusCode::OK
    );
    assert_eq!(
        api.ask("wallet", "PATCH", "/wallet/2", refund).await.problem(),
        (423, "insufficient_funds".to_owned())
    );
}

#[tokio::test]
async fn an_adjustment_that_makes_no_sense_names_the_field() {
    let api = api();
    api.ask("wallet", "POST", "/wallet/2", "").await;
    for (body, pointer) in [
        (r#"{"reason": "r"}"#, ""),
        (r#"{"fiat_amount": null, "reason": "r"}"#, ""),
        (r#"{"fiat_amount": 0, "reason": "r"}"#, "/fiat_amount"),
        (r#"{"fiat_amount": 0.001, "reason": "r"}"#, "/fiat_amount"),
        (r#"{"fiat_amount": "ten", "reason": "r"}"#, "/fiat_amount"),
        (r#"{"crypto_amount": 1e99, "reason": "r"}"#, "/crypto_amount"),
        (r#"{"crypto_amount": 1, "asset": "USD", "reason": "r"}"#, "/asset"),
        (r#"{"crypto_amount": 1, "asset": "XYZ", "reason": "r"}"#, "/asset"),
        (r#"{"fiat_amount": 1, "currency": "BTC", "reason": "r"}"#, "/currency"),
        (r#"{"fiat_amount": 1, "reason": " "}"#, "/reason"),
        (r#"{"fiat_amount": 1}"#, ""),
        (r#"{"fiat_amount": 1, "reason": "r", "more": 1}"#, "/more"),
    ] {
        let answer = api.ask("wallet", "PATCH", "/wallet/2", body).await;
        assert_eq!(answer.problem(), (422, "invalid".to_owned()), "{body}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    let long = json!({"fiat_amount": 1, "reason": "r".repeat(201)}).to_string();
    assert_eq!(api.ask("wallet", "PATCH", "/wallet/2", long).await.problem().0, 422);
    assert_eq!(api.ask("wallet", "PATCH", "/wallet/2", "{").await.problem().0, 400);
    assert_eq!(api.ask("wallet", "PATCH", "/wallet/02", "{}").await.problem().0, 400);
    let body = r#"{"fiat_amount": 1, "reason": "r"}"#;
    assert_eq!(
        api.ask("wallet", "PATCH", "/wallet/3", body).await.problem(),
        (404, "not_found".to_owned())
    );
    assert_eq!(api.ask("wallet", "GET", "/wallet/2", "").await.json()["fiat_amount"], 0);
}

#[tokio::test]
async fn a_repeated_adjustment_answers_as_the_first_time() {
    let api = api();
    api.ask("wallet", "POST", "/wallet/2", "").await;
    let body = r#"{"fiat_amount": 5, "reason": "r"}"#;
    let first = api.adjust_with_key("k", body).await;
    assert_eq!(
        (first.status, first.headers.get("idempotency-replayed")),
        (StatusCode::OK, None)
    );
    api.adjust_with_key("another", body).await;
    let again = api.adjust_with_key("k", body).await;
    assert_eq!((again.status, &again.text), (StatusCode::OK, &first.text));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let other = api.adjust_with_key("k", r#"{"fiat_amount": 6, "reason": "r"}"#).await;
    assert_eq!(other.problem(), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(
        api.ask("wallet", "GET", "/wallet/2", "").await.json()["fiat_amount"],
        10
    );
}

#[tokio::test]
async fn transfers_are_posted_in_a_batch_and_listed_page_by_page() {
    let api = api();
    api.ask("wallet", "POST", "/wallet/2", "").await;
    let answer = api
        .post(&[
            pay_in(1, 2, usd("600")),
            hold(1, 2, usd("30")),
            hold(2, 2, usd("900")),
            hold(3, 3, usd("1")),
        ])
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let refused = |refusal: Value| json!({"outcome": "refused", "refusal": refusal});
    assert_eq!(
        answer.json(),
        json!([
            {"outcome": "posted", "replayed": false},
            {"outcome": "posted", "replayed": false},
            refused(json!({"reason": "insufficient_funds", "owner": "user:2", "asset": "USD"})),
            refused(json!({"reason": "no_wallet", "owner": "user:3"})),
        ])
    );
    let page = api
        .ask("wallet", "GET", "/wallet/2/transactions?limit=1", "")
        .await
        .json();
    let line = json!({
        "entry_id": 2, "time": at(0).to_string(), "origin": {"order": 1}, "leg": "hold",
        "amount": {"amount": "-30", "asset": "USD"}, "counter_account": "hot_wallet",
        "balance_after": {"amount": "570", "asset": "USD"}, "reason": "hold of a test",
    });
    assert_eq!(page, json!({"items": [line], "next_cursor": 2}));
    let last = api
        .ask("wallet", "GET", "/wallet/2/transactions?limit=1&cursor=2", "")
        .await
        .json();
    assert_eq!(
        (last["items"][0]["entry_id"].as_i64(), &last["next_cursor"]),
        (Some(1), &Value::Null)
    );
    assert_eq!(
        api.ask("wallet", "GET", "/wallet/3/transactions", "").await.problem().0,
        404
    );
    assert_eq!(
        api.ask("wallet", "GET", "/wallet/2/transactions?limit=101", "")
            .await
            .problem()
            .0,
        400
    );
}

#[tokio::test]
async fn the_largest_batch_fits_and_a_larger_one_does_not() {
    let api = api();
    api.ask("wallet", "POST", "/wallet/2", "").await;
    let batch = |count| {
        let postings = (1..=count).map(|number| {
            let mut posting = pay_in(number, 2, usd("1"));
            posting.transfers[0].reason = "r".repeat(200);
            posting
        });
        postings.collect::<Vec<_>>()
    };
    let answer = api.post(&batch(100)).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 100);
    assert!(serde_json::to_string(&batch(100)).unwrap().len() > 16 * 1024);
    let too_many = api.post(&batch(101)).await;
    assert_eq!(too_many.problem(), (422, "invalid".to_owned()));
    let too_large = api.ask("wallet", "POST", "/transfers", " ".repeat(1_100_000)).await;
    assert_eq!(too_large.problem(), (413, "body_too_large".to_owned()));
    assert_eq!(api.ask("wallet", "POST", "/transfers", "[]").await.json(), json!([]));
    assert_eq!(
        api.ask("wallet", "POST", "/transfers", r#"[{"transfers": 1}]"#)
            .await
            .problem()
            .0,
        422
    );
    assert_eq!(
        api.ask("wallet", "GET", "/wallet/2", "").await.json()["fiat_amount"],
        100
    );
}

#[tokio::test]
async fn each_route_is_for_its_callers_only() {
    let api = api();
    let everyone = ["wallet", "exchanger", "bc_gateway", "operator:ann"];
    let few = ["wallet", "operator:ann"];
    for (method, path, admitted) in [
        ("GET", "/wallet/2", &everyone[..]),
        ("POST", "/transfers", &everyone[..]),
        ("POST", "/wallet/2", &few[..]),
        ("PATCH", "/wallet/2", &few[..]),
        ("GET", "/wallet/2/transactions", &few[..]),
    ] {
        for caller in CALLERS {
            let status = api.ask(caller, method, path, "").await.status;
            let admitted = admitted.contains(&caller);
            assert_eq!(
                status != StatusCode::FORBIDDEN,
                admitted,
                "{caller} {method} {path}: {status}"
            );
        }
        assert_eq!(api.ask("stranger", method, path, "").await.problem().0, 401);
    }
    assert_eq!(api.ask("wallet", "DELETE", "/wallet/2", "").await.problem().0, 405);
    assert_eq!(api.ask("wallet", "GET", "/nowhere", "").await.problem().0, 404);
}

#[tokio::test]
async fn an_operator_cannot_book_under_another_name() {
    let api = api();
    api.ask("wallet", "POST", "/wallet/2", "").await;
    let mut posting = pay_in(1, 2, usd("1"));
    let body = serde_json::to_string(&[&posting]).unwrap();
    let answer = api.ask("operator:ann", "POST", "/transfers", body).await;
    assert_eq!(answer.json()[0]["refusal"]["reason"], "invalid");
    posting.transfers[0].actor = "operator:ann".to_owned();
    let body = serde_json::to_string(&[&posting]).unwrap();
    let answer = api.ask("operator:ann", "POST", "/transfers", body).await;
    assert_eq!(answer.json()[0]["outcome"], "posted");
}

#[tokio::test]
async fn a_full_store_answers_503_and_when_to_come_back() {
    let api = api_of(overloaded(), None);
    let body = serde_json::to_string(&[hold(1, 2, usd("1"))]).unwrap();
    for (method, path, body) in [
        ("GET", "/wallet/2", String::new()),
        ("POST", "/wallet/2", String::new()),
        ("PATCH", "/wallet/2", r#"{"fiat_amount": 1, "reason": "r"}"#.to_owned()),
        ("GET", "/wallet/2/transactions", String::new()),
        ("POST", "/transfers", body),
    ] {
        let answer = api.ask("wallet", method, path, body).await;
        assert_eq!(answer.problem(), (503, "overloaded".to_owned()), "{method} {path}");
        assert_eq!(answer.headers["retry-after"], "1");
    }
}
