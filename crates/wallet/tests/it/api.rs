//! What a client sees: every status and every body.

use serde_json::{Value, json};
use wallet::domain::OrderState;

use crate::samples::user;
use crate::world::{LedgerMode, Venue, World};

#[tokio::test]
async fn a_wallet_is_opened_once_and_read() {
    let world = World::awake().await;
    assert_eq!(world.get("/wallet/2").await.problem(), (404, "not_found".to_owned()));
    let opened = world.request("POST", "/wallet/2").send().await;
    assert_eq!((opened.status.as_u16(), opened.body), (201, json!({"user_id": 2})));
    let again = world.request("POST", "/wallet/2").send().await;
    assert_eq!(again.problem(), (409, "already_exists".to_owned()));
    let wallet = world.get("/wallet/2").await;
    let zero = |asset: &str| json!({"amount": "0", "asset": asset});
    let expected = json!({
        "user_id": 2, "crypto_amount": 0, "fiat_amount": 0, "balances": [zero("BTC"), zero("USD")],
    });
    assert_eq!((wallet.status.as_u16(), wallet.body), (200, expected));
}

#[tokio::test]
async fn who_has_no_wallet_can_neither_deposit_nor_trade() {
    let world = World::awake().await;
    for (method, path, body) in [
        ("PATCH", "/wallet/2", json!({"fiat_amount": 600})),
        ("POST", "/buy/2", json!({"fiat_amount": 30})),
        ("POST", "/sell/2", json!({"crypto_amount": 1.5})),
    ] {
        let answer = world.request(method, path).json(body).send().await;
        assert_eq!(answer.problem(), (404, "not_found".to_owned()), "{method} {path}");
    }
    let statement = world.get("/wallet/2/transactions").await;
    assert_eq!(statement.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn an_order_is_shown_with_what_was_traded_and_with_its_log() {
    let world = World::awake().await;
    world.with_600().await;
    let body = json!({"fiat_amount": 30, "client_reference": "first"});
    let answer = world.post("/buy/2", body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body),
        (202, json!({"order_id": 1, "status": "pending"}))
    );
    world.until(crate::samples::order_id(1), OrderState::Completed).await;

    let order = world.get("/orders/2/1").await.body;
    let fields = [
        ("order_id", json!(1)),
        ("client_reference", json!("first")),
        ("side", json!("buy")),
        ("asset", json!("BTC")),
        ("currency", json!("USD")),
        ("status", json!("completed")),
        ("state", json!("completed")),
        ("requested", json!({"amount": "30", "asset": "USD"})),
        ("filled", json!({"amount": "3", "asset": "BTC"})),
        ("price", json!({"amount": "10", "asset": "USD"})),
        ("fee", json!({"amount": "0", "asset": "USD"})),
        ("failure_code", Value::Null),
    ];
    for (name, value) in &fields {
        assert_eq!(&order[name], value, "{name}");
    }
    let events = order["events"].as_array().unwrap();
    let states: Vec<_> = events.iter().map(|event| event["to"].as_str().unwrap()).collect();
    assert_eq!(states, ["created", "exchanging", "withdrawing", "completed"]);
    let facts: Vec<_> = events
        .iter()
        .map(|event| event["event"]["fact"].as_str().unwrap())
        .collect();
    assert_eq!(facts, ["placed", "held", "exchanged", "withdrawn"]);
    let actors: Vec<_> = events.iter().map(|event| event["actor"].as_str().unwrap()).collect();
    assert_eq!(actors, ["user:2", "balance", "exchanger", "bc_gateway"]);
    assert_eq!(
        order.as_object().unwrap().len(),
        fields.len() + 3,
        "and two times and the events: {order}"
    );

    let listed = &world.get("/orders/2").await.body["items"][0];
    assert!(listed.get("events").is_none());
    assert_eq!(listed["filled"], order["filled"]);
}

#[tokio::test]
async fn lists_come_in_pages_newest_first() {
    let world = World::awake().await;
    world.with_600().await;
    for _ in 0..5 {
        let id = world.accepted("/buy/2", json!({"fiat_amount": 1})).await;
        world.until(id, OrderState::Completed).await;
    }
    let ids = |page: &Value| -> Vec<i64> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["order_id"].as_i64().unwrap()).collect()
    };
    let first = world.get("/orders/2?limit=3").await.body;
    assert_eq!((ids(&first), &first["next_cursor"]), (vec![5, 4, 3], &json!(3)));
    let last = world.get("/orders/2?limit=3&cursor=3").await.body;
    assert_eq!((ids(&last), &last["next_cursor"]), (vec![2, 1], &Value::Null));

    let all = world.get("/wallet/2/transactions?limit=100").await.body;
    let all = all["items"].as_array().unwrap().clone();
    assert_eq!(all.len(), 1 + 5 * 2, "the deposit; a hold and the crypto of each order");
    assert_eq!(all.last().unwrap()["leg"], "deposit");
    let deposit = all.last().unwrap();
    assert_eq!(
        (&deposit["kind"], &deposit["deposit_id"]),
        (&json!("deposit"), &json!(1))
    );
    let mut paged = Vec::new();
    let mut path = "/wallet/2/transactions?limit=4".to_owned();
    loop {
        let page = world.get(&path).await.body;
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_i64() {
            Some(cursor) => path = format!("/wallet/2/transactions?limit=4&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn one_users_orders_are_no_business_of_another() {
    let world = World::awake().await;
    world.with_600().await;
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let bob = world.token(user(3));
    let as_bob = |path: String| world.request("GET", &path).header("authorization", &bob).send();
    assert_eq!(
        as_bob(format!("/orders/2/{id}")).await.problem(),
        (403, "forbidden".to_owned())
    );
    assert_eq!(
        as_bob(format!("/orders/3/{id}")).await.problem(),
        (404, "not_found".to_owned())
    );
    assert_eq!(as_bob("/orders/3".to_owned()).await.body["items"], json!([]));
}

#[tokio::test]
async fn first_who_then_whose_then_what() {
    let world = World::awake().await;
    world.with_600().await;
    let routes = [
        ("GET", "/wallet/"),
        ("POST", "/wallet/"),
        ("PATCH", "/wallet/"),
        ("POST", "/buy/"),
        ("POST", "/sell/"),
        ("GET", "/orders/"),
    ];
    for (method, path) in routes {
        let mine = format!("{path}2");
        let request = || world.request(method, &mine).text("not JSON");
        let nobody = request().without("authorization").send().await;
        assert_eq!(nobody.problem(), (401, "unauthorized".to_owned()), "{method} {mine}");
        assert_eq!(nobody.headers["www-authenticate"], "Bearer");
        let forged = request().header("authorization", "Bearer a.b.c").send().await;
        assert_eq!(forged.problem(), (401, "unauthorized".to_owned()), "{method} {mine}");
        for other in ["3", "1", "x", "0"] {
            let theirs = format!("{path}{other}");
            let answer = world.request(method, &theirs).text("not JSON").send().await;
            assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{method} {theirs}");
        }
    }
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_400_413_and_415() {
    let world = World::awake().await;
    world.with_600().await;
    let buy = || world.request("POST", "/buy/2");
    let json = "application/json";
    for broken in ["", "{", "{\"fiat_amount\": 30} x", "{'fiat_amount': 30}"] {
        let answer = buy().text(broken).header("content-type", json).send().await;
        assert_eq!(answer.problem(), (400, "malformed_json".to_owned()), "{broken}");
    }
    let good = "{\"fiat_amount\": 30}";
    let answer = buy().text(good).send().await;
    assert_eq!(answer.problem(), (415, "unsupported_media_type".to_owned()));
    let answer = buy().text(good).header("content-type", "text/plain").send().await;
    assert_eq!(answer.problem(), (415, "unsupported_media_type".to_owned()));
    let large = format!("{{\"client_reference\": \"{}\"}}", "x".repeat(17_000));
    let answer = buy().text(&large).header("content-type", json).send().await;
    assert_eq!(answer.problem(), (413, "body_too_large".to_owned()));
    let answer = buy().key("two words").json(json!({"fiat_amount": 30})).send().await;
    assert_eq!(answer.problem(), (400, "malformed_header".to_owned()));
    assert_eq!(
        world.get("/orders/2/x").await.problem(),
        (400, "malformed_path".to_owned())
    );
    assert_eq!(
        world.get("/orders/2?limit=0").await.problem(),
        (400, "malformed_query".to_owned())
    );
    assert_eq!(
        world.get("/orders/2?page=1").await.problem(),
        (400, "malformed_query".to_owned())
    );
    assert_eq!(
        world.get("/orders/2").await.body["items"],
        json!([]),
        "nothing was accepted"
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let world = World::awake().await;
    assert_eq!(world.get("/nothing").await.problem(), (404, "not_found".to_owned()));
    let answer = world.request("DELETE", "/wallet/2").send().await;
    assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()));
    assert!(answer.headers.contains_key("allow"));
    let answer = world.request("GET", "/buy/2").send().await;
    assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()));
    assert_eq!(world.get("/orders/2/77").await.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn orders_that_make_no_sense_are_422_and_name_the_field() {
    let world = World::awake().await;
    world.with_600().await;
    let cases = [
        ("/buy/2", json!({"fiat_amount": 0}), "/fiat_amount"),
        ("/buy/2", json!({"fiat_amount": -3}), "/fiat_amount"),
        ("/buy/2", json!({"fiat_amount": 0.001}), "/fiat_amount"),
        ("/buy/2", json!({"fiat_amount": "1e40"}), "/fiat_amount"),
        ("/buy/2", json!({"fiat_amount": true}), "/fiat_amount"),
        ("/buy/2", json!({}), ""),
        (
            "/buy/2",
            json!({"fiat_amount": 30, "crypto_amount": 3}),
            "/crypto_amount",
        ),
        ("/buy/2", json!({"fiat_amount": 30, "asset": "DOGE"}), "/asset"),
        ("/buy/2", json!({"fiat_amount": 30, "asset": "USD"}), "/asset"),
        ("/buy/2", json!({"fiat_amount": 30, "currency": "BTC"}), "/currency"),
        (
            "/buy/2",
            json!({"fiat_amount": 30, "currency": "JPY", "asset": "EUR"}),
            "/asset",
        ),
        (
            "/buy/2",
            json!({"fiat_amount": 30.5, "currency": "JPY"}),
            "/fiat_amount",
        ),
        (
            "/buy/2",
            json!({"fiat_amount": 30, "client_reference": ""}),
            "/client_reference",
        ),
        (
            "/buy/2",
            json!({"fiat_amount": 30, "client_reference": "a\nb"}),
            "/client_reference",
        ),
        (
            "/buy/2",
            json!({"fiat_amount": 30, "client_reference": "x".repeat(65)}),
            "/client_reference",
        ),
        ("/sell/2", json!({"crypto_amount": "0.000000001"}), "/crypto_amount"),
        ("/sell/2", json!({"fiat_amount": 15}), "/fiat_amount"),
    ];
    for (path, body, pointer) in cases {
        let answer = world.post(path, body.clone()).await;
        assert_eq!(answer.problem(), (422, "invalid".to_owned()), "{body}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(
        world.get("/orders/2").await.body["items"],
        json!([]),
        "nothing was accepted"
    );
}

#[tokio::test]
async fn a_key_replays_its_answer_and_refuses_another_request() {
    let world = World::awake().await;
    world.with_600().await;
    let buy = async |key: &str, amount: u32| {
        let body = json!({"fiat_amount": amount});
        world.request("POST", "/buy/2").key(key).json(body).send().await
    };
    let first = buy("a", 30).await;
    world.until(first.order_id(), OrderState::Completed).await;
    let second = buy("a", 30).await;
    assert_eq!((second.status.as_u16(), second.replayed()), (202, true));
    assert_eq!(second.body, first.body, "as before, though it has ended since");
    assert_eq!(buy("a", 31).await.problem(), (422, "idempotency_key_reused".to_owned()));
    let refused = buy("b", 601).await;
    let again = buy("b", 601).await;
    assert_eq!((refused.status.as_u16(), refused.replayed()), (423, false));
    assert_eq!((again.status.as_u16(), again.replayed()), (423, true));
    assert_eq!(refused.body, again.body);
    assert_eq!(world.get("/orders/2").await.body["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_client_reference_is_used_once() {
    let world = World::awake().await;
    world.with_600().await;
    let body = json!({"fiat_amount": 30, "client_reference": "rent"});
    let id = world.accepted("/buy/2", body.clone()).await;
    let answer = world.post("/buy/2", body).await;
    assert_eq!(answer.problem(), (409, "conflict".to_owned()));
    assert_eq!(answer.order_id(), id);
}

#[tokio::test]
async fn a_ledger_that_is_away_is_503_with_a_time_to_come_back() {
    let world = World::awake().await;
    world.ledger.set(LedgerMode::Unreachable);
    for answer in [
        world.get("/wallet/2").await,
        world.post("/buy/2", json!({"fiat_amount": 30})).await,
        world
            .request("PATCH", "/wallet/2")
            .json(json!({"fiat_amount": 1}))
            .send()
            .await,
    ] {
        assert_eq!(answer.problem(), (503, "unavailable".to_owned()));
        assert!(answer.headers.contains_key("retry-after"));
        assert!(
            !answer.text.contains("the ledger is away"),
            "what went wrong inside stays inside"
        );
    }
}

#[tokio::test]
async fn operators_see_open_sagas_and_nobody_else_does() {
    let world = World::awake().await;
    world.with_600().await;
    world.exchanger.set(Venue::IsSilent);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let ann = "Bearer ann-ann-ann-ann-ann";
    let sagas = world.operator("/sagas", ann).await;
    assert_eq!(sagas.status, 200);
    let saga = &sagas.body["items"][0];
    assert_eq!((&saga["order_id"], &saga["user_id"]), (&json!(id), &json!(2)));
    assert_eq!((&saga["state"], &saga["held"]), (&json!("exchanging"), &json!(true)));
    for (query, found) in [
        ("state=exchanging", 1),
        ("state=stuck", 0),
        ("state=created", 0),
        ("min_age_seconds=0", 1),
        ("min_age_seconds=3600", 0),
        ("limit=1&cursor=1", 0),
    ] {
        let page = world.operator(&format!("/sagas?{query}"), ann).await.body;
        assert_eq!(page["items"].as_array().unwrap().len(), found, "{query}");
    }
    for query in ["state=completed", "state=lost", "limit=101", "min_age_seconds=-1"] {
        let answer = world.operator(&format!("/sagas?{query}"), ann).await;
        assert_eq!(answer.problem(), (400, "malformed_query".to_owned()), "{query}");
    }
    let service = world.operator("/sagas", "Bearer exchanger-exchanger").await;
    assert_eq!(service.problem(), (403, "forbidden".to_owned()));
    assert_eq!(
        world.operator("/sagas", "Bearer guess").await.problem(),
        (401, "unauthorized".to_owned())
    );
}
