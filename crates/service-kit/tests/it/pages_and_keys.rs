//! Pages, ids in paths, and idempotency keys.

use axum::Router;
use axum::routing::{get, post};
use contracts::{OrderId, UserId};
use service_kit::extract::{IdempotencyKey, JsonBody, Page, PageLimit, PageQuery, PathId, fingerprint};

use crate::support::{Answer, Server, client};

async fn server() -> Server {
    let routes = Router::new()
        .route(
            "/orders",
            get(|page: PageQuery| async move { format!("{} {:?}", page.limit.get(), page.cursor) }),
        )
        .route(
            "/orders/{user_id}/{order_id}",
            get(
                |PathId(user): PathId<UserId>, PathId(order): PathId<OrderId>| async move { format!("{user} {order}") },
            ),
        )
        .route(
            "/buy/{user_id}",
            post(
                |key: Option<IdempotencyKey>, _: PathId<UserId>, body: JsonBody<serde_json::Value>| async move {
                    format!(
                        "{} {:?}",
                        key.map_or_else(|| "none".into(), |key| key.to_string()),
                        body.fingerprint.0
                    )
                },
            ),
        );
    Server::start(routes).await
}

#[tokio::test]
async fn a_page_has_20_items_unless_told_and_never_more_than_100() {
    let server = server().await;
    for (query, answer) in [
        ("", "20 None"),
        ("?limit=1", "1 None"),
        ("?limit=100&cursor=17", "100 Some(17)"),
    ] {
        assert_eq!(server.get(&format!("/orders{query}")).await.text, answer);
    }
    for query in [
        "?limit=0",
        "?limit=101",
        "?limit=-1",
        "?limit=many",
        "?limit=",
        "?cursor=x",
        "?page=2",
        "?limit=1&limit=2",
    ] {
        let answer = server.get(&format!("/orders{query}")).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "malformed_query"),
            "{query}"
        );
    }
}

#[test]
fn a_page_is_continued_after_its_last_item_as_long_as_there_is_more() {
    let limit = PageLimit::try_new(2).unwrap();
    assert_eq!(limit.rows(), 3);
    let more = Page::cut(vec![9, 7, 5], limit, |item| *item);
    assert_eq!((more.items.as_slice(), more.next_cursor), (&[9, 7][..], Some(7)));
    let last = Page::cut(vec![5, 3], limit, |item| *item);
    assert_eq!((last.items.as_slice(), last.next_cursor), (&[5, 3][..], None));
    let empty = Page::cut(Vec::<i64>::new(), limit, |item| *item);
    assert_eq!(
        serde_json::to_string(&empty).unwrap(),
        r#"{"items":[],"next_cursor":null}"#
    );
}

#[tokio::test]
async fn an_id_in_a_path_has_one_spelling() {
    let server = server().await;
    assert_eq!(
        server.get("/orders/2/9223372036854775807").await.text,
        "2 9223372036854775807"
    );
    for path in [
        "/orders/2/0",
        "/orders/2/-1",
        "/orders/2/+1",
        "/orders/2/01",
        "/orders/2/x",
        "/orders/2/1.0",
        "/orders/2/%20",
        "/orders/2/%ff",
        "/orders/x/1",
        "/orders/2/9223372036854775808",
    ] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "malformed_path"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_idempotency_key_is_optional_but_must_be_sound() {
    let server = server().await;
    let buy = |keys: Vec<String>| {
        let request = client()
            .post(server.url("/buy/2"))
            .header("content-type", "application/json")
            .body("{}");
        let request = keys
            .into_iter()
            .fold(request, |request, key| request.header("idempotency-key", key));
        async move { Answer::of(request.send().await.unwrap()).await }
    };
    assert!(buy(vec![]).await.text.starts_with("none "));
    assert!(buy(vec!["order-17".into()]).await.text.starts_with("order-17 "));
    assert!(buy(vec!["x".repeat(128)]).await.text.starts_with("xxx"));
    let unsound = [
        vec![String::new()],
        vec!["x".repeat(129)],
        vec!["a b".into()],
        vec!["é".into()],
        vec!["a".into(), "a".into()],
    ];
    for keys in unsound {
        let answer = buy(keys.clone()).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "malformed_header"),
            "{keys:?}"
        );
    }
}

#[tokio::test]
async fn the_same_key_with_another_request_has_another_fingerprint() {
    let server = server().await;
    let buy = |path: &'static str, body: &'static str| {
        let request = client()
            .post(server.url(path))
            .header("content-type", "application/json")
            .body(body);
        async move { Answer::of(request.send().await.unwrap()).await.text }
    };
    let first = buy("/buy/2", r#"{"fiat_amount": 30}"#).await;
    assert_eq!(first, buy("/buy/2", r#"{"fiat_amount": 30}"#).await);
    assert_ne!(first, buy("/buy/2", r#"{"fiat_amount": 31}"#).await);
    assert_ne!(first, buy("/buy/3", r#"{"fiat_amount": 30}"#).await);
    let of = |method: &str, path: &str, body: &str| fingerprint(&method.parse().unwrap(), path, body.as_bytes());
    assert_ne!(of("POST", "/a", "b"), of("PATCH", "/a", "b"));
    assert_ne!(
        of("POST", "/ab", ""),
        of("POST", "/a", "b"),
        "where a part ends is part of it"
    );
}
