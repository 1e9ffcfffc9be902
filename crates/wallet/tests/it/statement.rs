//! The statement: the same bookings as JSON and as CSV, page by page; and orders found by their reference.

use serde_json::{Value, json};
use wallet::domain::OrderState;

use crate::world::World;

async fn after_three_orders() -> World {
    let world = World::awake().await;
    world.with_600().await;
    for reference in ["rent", "food, drink", "=1+2"] {
        let body = json!({"fiat_amount": 30, "client_reference": reference});
        let id = world.accepted("/buy/2", body).await;
        world.until(id, OrderState::Completed).await;
    }
    world
}

/// The `Link` to the next page, relative to `path`.
fn next(path: &str, headers: &http::HeaderMap) -> Option<String> {
    let link = headers.get("link")?.to_str().unwrap();
    let query = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    Some(format!("{}{query}", path.split('?').next().unwrap()))
}

#[tokio::test]
async fn every_booking_tells_its_order_its_leg_the_other_side_and_the_balance_after() {
    let world = after_three_orders().await;
    let page = world.get("/wallet/2/transactions").await;
    assert_eq!(page.headers["vary"], "accept");
    assert!(!page.headers.contains_key("link"), "this is all");
    let items = page.body["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 7);
    let withdrawal = &items[0];
    let expected = [
        ("kind", json!("order")),
        ("order_id", json!(3)),
        ("deposit_id", Value::Null),
        ("adjustment_id", Value::Null),
        ("leg", json!("withdraw")),
        ("amount", json!({"amount": "3", "asset": "BTC"})),
        ("counter_account", json!("hot_wallet")),
        ("balance_after", json!({"amount": "9", "asset": "BTC"})),
    ];
    for (field, value) in &expected {
        assert_eq!(&withdrawal[field], value, "{field}");
    }
    assert_eq!(
        withdrawal.as_object().unwrap().len(),
        expected.len() + 3,
        "{withdrawal}"
    );
    let entries: Vec<i64> = items.iter().map(|item| item["entry_id"].as_i64().unwrap()).collect();
    assert!(entries.iter().rev().is_sorted(), "newest first: {entries:?}");
}

#[tokio::test]
async fn the_statement_comes_as_csv_with_links_to_its_next_pages() {
    let world = after_three_orders().await;
    let json = world.get("/wallet/2/transactions").await.body;
    let items = json["items"].as_array().unwrap();
    let mut path = "/wallet/2/transactions?limit=3".to_owned();
    let mut lines = Vec::new();
    loop {
        let page = world.request("GET", &path).header("accept", "text/csv").send().await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert_eq!(page.headers["content-type"], "text/csv; charset=utf-8; header=present");
        let file = "attachment; filename=\"cambist-user-2-transactions.csv\"";
        assert_eq!(page.headers["content-disposition"], file);
        let mut page_lines = page.text.strip_suffix("\r\n").unwrap().split("\r\n");
        let header = "entry_id,time,kind,order_id,deposit_id,adjustment_id,leg,amount,asset,balance_after,counter_account,reason";
        assert_eq!(page_lines.next(), Some(header));
        lines.extend(page_lines.map(str::to_owned));
        match next(&path, &page.headers) {
            Some(link) => path = link,
            None => break,
        }
    }
    assert_eq!(lines.len(), items.len());
    for (line, item) in lines.iter().zip(items) {
        let cells: Vec<&str> = line.split(',').collect();
        let id = |name: &str| item[name].as_i64().map(|id| id.to_string()).unwrap_or_default();
        let expected = [
            id("entry_id"),
            item["time"].as_str().unwrap().to_owned(),
            item["kind"].as_str().unwrap().to_owned(),
            id("order_id"),
            id("deposit_id"),
            id("adjustment_id"),
            item["leg"].as_str().unwrap().to_owned(),
            item["amount"]["amount"].as_str().unwrap().to_owned(),
            item["amount"]["asset"].as_str().unwrap().to_owned(),
            item["balance_after"]["amount"].as_str().unwrap().to_owned(),
            item["counter_account"].as_str().unwrap().to_owned(),
        ];
        assert_eq!(cells[..11], expected, "{line}");
    }
}

#[tokio::test]
async fn pages_of_json_have_the_same_links() {
    let world = after_three_orders().await;
    let mut path = "/wallet/2/transactions?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let page = world.get(&path).await;
        pages += 1;
        let cursor = page.body["next_cursor"].as_i64();
        match next(&path, &page.headers) {
            Some(link) => {
                assert_eq!(
                    link,
                    format!("/wallet/2/transactions?limit=2&cursor={}", cursor.unwrap())
                );
                path = link;
            }
            None => {
                assert_eq!(cursor, None);
                break;
            }
        }
    }
    assert_eq!(pages, 4);
}

#[tokio::test]
async fn what_a_statement_cannot_be_is_refused() {
    let world = after_three_orders().await;
    let path = "/wallet/2/transactions";
    let pdf = world
        .request("GET", path)
        .header("accept", "application/pdf")
        .send()
        .await;
    assert_eq!(pdf.problem(), (406, "not_acceptable".to_owned()));
    for query in [
        "?limit=0",
        "?limit=101",
        "?cursor=x",
        "?order=oldest",
        "?limit=1&limit=2",
    ] {
        let refused = world.get(&format!("{path}{query}")).await;
        assert_eq!(refused.problem(), (400, "malformed_query".to_owned()), "{query}");
    }
}

#[tokio::test]
async fn an_order_is_found_by_its_reference() {
    let world = after_three_orders().await;
    for (query, expected) in [
        ("client_reference=rent", vec![1]),
        ("client_reference=food%2C%20drink", vec![2]),
        ("client_reference=food,+drink&limit=1", vec![2]),
        ("client_reference=%3D1%2B2", vec![3]),
        ("client_reference=rent&cursor=2", vec![1]),
        ("client_reference=rent&cursor=1", vec![]),
        ("client_reference=RENT", vec![]),
        ("client_reference=%25", vec![]),
        ("limit=2", vec![3, 2]),
    ] {
        let page = world.get(&format!("/orders/2?{query}")).await.body;
        let items = page["items"].as_array().unwrap();
        let ids: Vec<i64> = items.iter().map(|item| item["order_id"].as_i64().unwrap()).collect();
        assert_eq!(ids, expected, "{query}: {page}");
    }
    let found = world.get("/orders/2?client_reference=rent").await.body;
    assert_eq!(found["items"][0]["client_reference"], "rent");
    assert_eq!(found["next_cursor"], Value::Null);
    for query in [
        "client_reference=".to_owned(),
        format!("client_reference={}", "x".repeat(65)),
        "client_reference=a%0Ab".to_owned(),
        "client_reference=a&client_reference=b".to_owned(),
        "reference=rent".to_owned(),
    ] {
        let refused = world.get(&format!("/orders/2?{query}")).await;
        assert_eq!(refused.problem(), (400, "malformed_query".to_owned()), "{query}");
    }
}
