//! What is asked twice.

use std::collections::BTreeSet;

use reqwest::Method;
use test_kit::api::placed;
use tokio::task::JoinSet;

use crate::black_box::world::World;

pub(crate) async fn a_repeated_request_is_answered_as_before_and_has_no_second_effect(world: &World) {
    let user = world.api().given_a_user("rita").await;
    let deposit = user.deposit("600", Some("salary")).await;
    let again = user.deposit("600", Some("salary")).await;
    assert_eq!(
        (again.status, &again.text, again.replayed()),
        (200, &deposit.text, true)
    );
    let first = user.buy("30", Some("lunch")).await;
    let buy = placed(&first);
    assert!(!first.replayed());
    user.order_at_its_end(buy).await;
    let again = user.buy("30", Some("lunch")).await;
    assert_eq!((again.status, &again.text, again.replayed()), (202, &first.text, true));
    for (path, body) in [("buy", r#"{"fiat_amount": 31}"#), ("sell", r#"{"crypto_amount": 1}"#)] {
        let reused = user
            .post(&format!("/{path}/{}", user.id), Some(body), Some("lunch"))
            .await;
        reused.assert_problem(422, "idempotency_key_reused");
    }
    assert_eq!(user.orders().await.len(), 1);
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
}

pub(crate) async fn many_at_once_with_one_key_are_one_order(world: &World) {
    let user = world.api().given_a_user_with("olga", "600").await;
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let user = user.clone();
        requests.spawn(async move { user.buy("30", Some("lunch")).await });
    }
    let answers = requests.join_all().await;
    let orders: BTreeSet<i64> = answers.iter().map(placed).collect();
    assert_eq!(orders.len(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
    for order in orders {
        user.order_at_its_end(order).await;
    }
    assert_eq!(user.orders().await.len(), 1);
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
}

pub(crate) async fn a_reference_is_the_name_of_one_order_of_its_user(world: &World) {
    let api = world.api();
    let (ada, bob) = (
        api.given_a_user_with("ref-ada", "600").await,
        api.given_a_user_with("ref-bob", "600").await,
    );
    let body = r#"{"fiat_amount": 30, "client_reference": "r-1"}"#;
    let mut orders = Vec::new();
    for user in [&ada, &bob] {
        let path = format!("/buy/{}", user.id);
        let bought = user.post(&path, Some(body), None).await;
        let order = user.order_at_its_end(placed(&bought)).await;
        assert_eq!(order["client_reference"], "r-1");
        let again = user.post(&path, Some(body), None).await;
        again.assert_problem(409, "conflict");
        assert_eq!(again.body["order_id"], bought.body["order_id"], "it says which has it");
        orders.push(placed(&bought));
    }
    assert_ne!(orders[0], orders[1]);
    let deposit = r#"{"fiat_amount": 1, "client_reference": "pay"}"#;
    let path = format!("/wallet/{}", ada.id);
    let first = ada.try_send(Method::PATCH, &path, Some(deposit), None).await.unwrap();
    assert_eq!(first.status, 200, "{first:?}");
    let again = ada.try_send(Method::PATCH, &path, Some(deposit), None).await.unwrap();
    again.assert_problem(409, "conflict");
    assert_eq!(ada.balances().await, ("571".into(), "3".into()));
}
