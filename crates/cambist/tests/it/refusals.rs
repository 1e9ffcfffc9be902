//! Refusals: each is a problem document with its status and code, and changes nothing. What no decent client sends is in
//! `abuse`.

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use test_kit::api::{Answer, User, placed};
use test_kit::system::TestSystem;

mod access;
mod internal;

/// Everything a refusal could have changed: the books, deposits and orders by state, the number of users.
fn snapshot(system: &TestSystem) -> (Value, i64) {
    let report = system.audit();
    assert!(report.is_clean(), "{report}");
    let database = storage::sqlite::reader(&system.database()).unwrap();
    let users = database.query_row("SELECT count(*) FROM auth_users", (), |row| row.get(0));
    let mut report = report.to_json();
    // A mail arrives when it arrives.
    report.as_object_mut().unwrap().remove("notifications_on_their_way");
    (report, users.unwrap())
}

/// A request with a JSON body.
fn json(user: &User, method: Method, path: &str, body: &str) -> RequestBuilder {
    let request = user.api.request(method, path).bearer_auth(&user.token);
    request.header("content-type", "application/json").body(body.to_owned())
}

async fn send(user: &User, request: RequestBuilder) -> Answer {
    user.api.send(request).await.unwrap()
}

/// Ada, user 2, with 570 fiat, 3 crypto and order 1 behind her; Bob, user 3, without a wallet.
async fn given_ada_and_bob(system: &TestSystem) -> (User, User) {
    let ada = system.api.given_a_user_with("ada", "600").await;
    let body = r#"{"fiat_amount": 30, "client_reference": "first"}"#;
    ada.order_at_its_end(placed(&ada.post("/buy/2", Some(body), Some("first-key")).await))
        .await;
    let bob = system.api.given_a_registered("bob").await;
    (ada, bob)
}

/// Sends each request as `user`, and expects the problem next to it.
async fn assert_refused(system: &TestSystem, user: &User, cases: &[(&str, &str, &str, u16, &str)]) {
    let before = snapshot(system);
    for (method, path, body, status, code) in cases {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = send(user, json(user, method, path, body)).await;
        assert_eq!(
            (answer.status, answer.code()),
            (*status, *code),
            "{path} {body}: {answer:?}"
        );
        answer.assert_problem(*status, code);
        let elsewhere = answer.body["errors"].as_array().is_none_or(Vec::is_empty);
        assert!(
            *code != "invalid" || !elsewhere,
            "names no field: {path} {body}: {answer:?}"
        );
    }
    assert_eq!(snapshot(system), before, "a refusal changed something");
}

/// Amounts that are none, as JSON; whatever is ordered or deposited.
const NO_AMOUNTS: [&str; 13] = [
    "0",
    "-1",
    "0.001",
    r#""""#,
    r#""abc""#,
    "true",
    "null",
    "[30]",
    "{}",
    "1e-3",
    r#"" 30""#,
    r#""0x1""#,
    "1000000000000000000000000000000000000000000",
];

/// Requests that make no sense for another reason: method, path, body.
const NONSENSE: [(&str, &str, &str); 17] = [
    ("POST", "/sell/2", r#"{"crypto_amount": 0.000000001}"#),
    ("POST", "/sell/2", r#"{"crypto_amount": 0}"#),
    ("POST", "/sell/2", r#"{"crypto_amount": -1}"#),
    ("POST", "/sell/2", r#"{"fiat_amount": 1}"#),
    ("POST", "/buy/2", "{}"),
    ("POST", "/buy/2", "[30]"),
    ("POST", "/buy/2", "30"),
    ("POST", "/buy/2", r#"{"fiat_amount": 30, "fiat_amount": 30}"#),
    ("POST", "/buy/2", r#"{"fiat_amount": 30, "crypto_amount": 3}"#),
    ("POST", "/buy/2", r#"{"fiat_amount": 30, "user_id": 1}"#),
    ("POST", "/buy/2", r#"{"fiat_amount": 30, "asset": "USD"}"#),
    ("POST", "/buy/2", r#"{"fiat_amount": 30, "asset": "btc"}"#),
    ("POST", "/buy/2", r#"{"fiat_amount": 30, "currency": "BTC"}"#),
    ("POST", "/buy/2", r#"{"fiat_amount": 30, "client_reference": ""}"#),
    ("PATCH", "/wallet/2", r#"{"fiat_amount": 30, "currency": "BTC"}"#),
    ("PATCH", "/wallet/2", r#"{"fiat_amount": 30.5, "currency": "JPY"}"#),
    ("POST", "/wallet/2", r#"{"fiat_amount": 1000000}"#),
];

#[tokio::test]
async fn what_makes_no_sense_is_422_and_names_the_field() {
    let system = TestSystem::start().await;
    let (ada, _) = given_ada_and_bob(&system).await;
    let long = format!(r#"{{"fiat_amount": 30, "client_reference": "{}"}}"#, "x".repeat(65));
    let bodies = NO_AMOUNTS.map(|amount| format!(r#"{{"fiat_amount": {amount}}}"#));
    let bodies: Vec<&str> = bodies.iter().chain([&long]).map(String::as_str).collect();
    let orders = bodies.iter().map(|body| ("POST", "/buy/2", *body));
    let deposits = bodies.iter().map(|body| ("PATCH", "/wallet/2", *body));
    let all = orders.chain(deposits).chain(NONSENSE);
    let cases: Vec<_> = all
        .map(|(method, path, body)| (method, path, body, 422, "invalid"))
        .collect();
    assert_refused(&system, &ada, &cases).await;
}

#[tokio::test]
async fn what_is_malformed_is_400() {
    let system = TestSystem::start().await;
    let (ada, _) = given_ada_and_bob(&system).await;
    let before = snapshot(&system);
    for body in [
        "",
        "{",
        r#"{"fiat_amount": }"#,
        r#"{"fiat_amount": 30} x"#,
        r#"{"fiat_amount": NaN}"#,
        "\u{0}",
    ] {
        for (method, path) in [(Method::POST, "/buy/2"), (Method::PATCH, "/wallet/2")] {
            send(&ada, json(&ada, method, path, body))
                .await
                .assert_problem(400, "malformed_json");
        }
    }
    let latin = vec![b'{', b'"', 0xe4, b'"', b':', b'1', b'}'];
    let request = json(&ada, Method::POST, "/buy/2", "").body(latin);
    send(&ada, request).await.assert_problem(400, "malformed_json");
    let nested = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
    let answer = send(&ada, json(&ada, Method::POST, "/buy/2", &nested)).await;
    assert!([400, 422].contains(&answer.status), "{answer:?}");

    for path in [
        "/orders/2/abc",
        "/orders/2/0",
        "/orders/2/-1",
        "/orders/2/1.0",
        "/orders/2/01",
        "/orders/2/+1",
    ] {
        ada.get(path).await.assert_problem(400, "malformed_path");
    }
    for query in [
        "limit=0",
        "limit=101",
        "limit=ten",
        "cursor=x",
        "page=2",
        "limit=1&limit=2",
    ] {
        for list in ["/orders/2", "/wallet/2/transactions"] {
            ada.get(&format!("{list}?{query}"))
                .await
                .assert_problem(400, "malformed_query");
        }
    }
    let long = "k".repeat(129);
    for key in ["", "two words", long.as_str(), "schlüssel"] {
        let request = json(&ada, Method::POST, "/buy/2", r#"{"fiat_amount": 30}"#);
        let request = request.header("idempotency-key", key.as_bytes());
        send(&ada, request).await.assert_problem(400, "malformed_header");
    }
    let twice = json(&ada, Method::POST, "/buy/2", r#"{"fiat_amount": 30}"#);
    let twice = twice.header("idempotency-key", "a").header("idempotency-key", "b");
    send(&ada, twice).await.assert_problem(400, "malformed_header");
    assert_eq!(snapshot(&system), before);
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let system = TestSystem::start().await;
    let (ada, bob) = given_ada_and_bob(&system).await;
    let cases = [
        ("GET", "/wallet/3", "", 404, "not_found"),
        ("GET", "/wallet/3/transactions", "", 404, "not_found"),
        ("PATCH", "/wallet/3", r#"{"fiat_amount": 600}"#, 404, "not_found"),
        ("POST", "/buy/3", r#"{"fiat_amount": 30}"#, 404, "not_found"),
        ("POST", "/sell/3", r#"{"crypto_amount": 1}"#, 404, "not_found"),
        // Ada's order, asked for as one of Bob's.
        ("GET", "/orders/3/1", "", 404, "not_found"),
        ("GET", "/", "", 404, "not_found"),
        ("GET", "/wallets/3", "", 404, "not_found"),
        ("GET", "/wallet/3/", "", 404, "not_found"),
        ("POST", "/register/", "{}", 404, "not_found"),
    ];
    assert_refused(&system, &bob, &cases).await;
    assert_refused(&system, &ada, &[("GET", "/orders/2/99", "", 404, "not_found")]).await;
    assert_eq!(bob.orders().await, <[Value; 0]>::default(), "no orders is not an error");
}

#[tokio::test]
async fn what_exists_already_is_409() {
    let system = TestSystem::start().await;
    let (ada, _) = given_ada_and_bob(&system).await;
    ada.try_send(
        Method::PATCH,
        "/wallet/2",
        Some(r#"{"fiat_amount": 1, "client_reference": "pay"}"#),
        None,
    )
    .await
    .unwrap();
    let ada_again = |username, email| {
        format!(
            r#"{{"username": "{username}", "first_name": "A", "last_name": "B", "email": "{email}", "password": "password"}}"#
        )
    };
    let (name, mail) = (
        ada_again("ADA", "other@example.com"),
        ada_again("other", "Ada@Example.com"),
    );
    let cases = [
        ("POST", "/wallet/2", "", 409, "already_exists"),
        ("POST", "/register", &name, 409, "already_exists"),
        ("POST", "/register", &mail, 409, "already_exists"),
        (
            "POST",
            "/buy/2",
            r#"{"fiat_amount": 30, "client_reference": "first"}"#,
            409,
            "conflict",
        ),
        (
            "POST",
            "/sell/2",
            r#"{"crypto_amount": 1, "client_reference": "first"}"#,
            409,
            "conflict",
        ),
        (
            "PATCH",
            "/wallet/2",
            r#"{"fiat_amount": 1, "client_reference": "pay"}"#,
            409,
            "conflict",
        ),
    ];
    assert_refused(&system, &ada, &cases).await;
}

#[tokio::test]
async fn what_is_not_covered_is_423_and_moves_nothing() {
    let system = TestSystem::start().await;
    let (ada, _) = given_ada_and_bob(&system).await;
    let transfers = |report: &Value| report["transfers"].as_i64().unwrap();
    let (before, _) = snapshot(&system);
    ada.buy("570.01", None).await.assert_problem(423, "insufficient_funds");
    ada.sell("3.00000001", None)
        .await
        .assert_problem(423, "insufficient_funds");
    let in_ether = r#"{"crypto_amount": 1, "asset": "ETH"}"#;
    let refused = ada.post("/sell/2", Some(in_ether), None).await;
    refused.assert_problem(423, "insufficient_funds");
    let (after, _) = snapshot(&system);
    assert_eq!(transfers(&after), transfers(&before));
    assert_eq!(after["orders"]["failed"], 3, "each is listed as failed");
    assert_eq!(ada.balances().await, ("570".into(), "3".into()));
    system.assert_at_rest();
}
