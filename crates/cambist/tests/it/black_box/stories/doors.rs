//! Who is not let in, and what is not taken.

use reqwest::Method;
use serde_json::json;
use test_kit::api::User;
use test_servers::cluster::Service;

use crate::black_box::world::World;

pub(crate) async fn strangers_and_neighbours_are_kept_out(world: &World) {
    let api = world.api();
    let (ada, bob) = (
        api.given_a_user_with("door-ada", "600").await,
        api.given_a_user_with("door-bob", "600").await,
    );
    let nobody = User {
        token: "e30.e30.e30".to_owned(),
        ..ada.clone()
    };
    let (wallet, buy) = (format!("/wallet/{}", ada.id), format!("/buy/{}", ada.id));
    let orders = format!("/orders/{}", ada.id);
    for path in [&wallet, &orders] {
        let stranger = api.send(api.request(Method::GET, path)).await.unwrap();
        stranger.assert_problem(401, "unauthorized");
        nobody.get(path).await.assert_problem(401, "unauthorized");
        bob.get(path).await.assert_problem(403, "forbidden");
    }
    // Neither the body nor whether there is such a user is looked at before that.
    bob.post(&buy, Some("}{"), None).await.assert_problem(403, "forbidden");
    bob.get("/wallet/999999").await.assert_problem(403, "forbidden");
    assert_eq!(ada.balances().await, ("600".into(), "0".into()));
}

pub(crate) async fn what_makes_no_sense_or_is_not_there_is_refused(world: &World) {
    let user = world.api().given_a_user_with("nina", "600").await;
    let at = |path: &str| format!("/{path}/{}", user.id);
    for body in [
        r#"{"fiat_amount": 0}"#,
        r#"{"fiat_amount": -1}"#,
        r#"{"fiat_amount": 0.001}"#,
        r#"{"fiat_amount": 1, "asset": "XYZ"}"#,
        r#"{"crypto_amount": 1}"#,
    ] {
        let refused = user.post(&at("buy"), Some(body), None).await;
        refused.assert_problem(422, "invalid");
    }
    let malformed = user.post(&at("buy"), Some("{"), None).await;
    malformed.assert_problem(400, "malformed_json");
    let unknown = user.get(&format!("/orders/{}/999999", user.id)).await;
    unknown.assert_problem(404, "not_found");
    user.get("/nowhere").await.assert_problem(404, "not_found");
    let method = user.try_send(Method::DELETE, &at("wallet"), None, None).await.unwrap();
    method.assert_problem(405, "method_not_allowed");
    let no_wallet = world.api().given_a_registered("nora").await;
    let deposit = no_wallet.deposit("600", None).await;
    deposit.assert_problem(404, "not_found");
    assert_eq!(user.balances().await, ("600".into(), "0".into()));
    assert!(user.orders().await.is_empty());
}

pub(crate) async fn what_is_not_covered_is_refused_for_good(world: &World) {
    let user = world.api().given_a_user_with("ivo", "20").await;
    let refused = user.buy("20.01", Some("yacht")).await;
    refused.assert_problem(423, "insufficient_funds");
    user.sell("0.00000001", None)
        .await
        .assert_problem(423, "insufficient_funds");
    assert_eq!(user.deposit("100", None).await.status, 200);
    // It could be covered now; what was refused stays so, and whoever wants it asks anew.
    let again = user.buy("20.01", Some("yacht")).await;
    again.assert_problem(423, "insufficient_funds");
    assert!(again.replayed());
    let orders = user.orders().await;
    assert_eq!(orders.len(), 2);
    for order in orders {
        assert_eq!(
            (&order["status"], &order["failure_code"]),
            (&json!("failed"), &json!("insufficient_funds"))
        );
    }
    assert_eq!(user.balances().await, ("120".into(), "0".into()));
}

pub(crate) async fn a_frozen_user_is_kept_out_until_let_in_again(world: &World) {
    let user = world.api().given_a_user_with("fred", "600").await;
    let (freeze, reason) = (format!("/freezes/{}", user.id), json!({"reason": "a phone call"}));
    let frozen = world.operator(Service::Wallet, &freeze, Some(reason.clone())).await;
    assert_eq!(frozen.status, 201, "{frozen:?}");
    user.buy("30", None).await.assert_problem(403, "user_frozen");
    let wallet = format!("/wallet/{}", user.id);
    user.get(&wallet).await.assert_problem(403, "user_frozen");
    let lifted = world
        .operator(Service::Wallet, &format!("{freeze}/lift"), Some(reason))
        .await;
    assert_eq!(lifted.status, 200, "{lifted:?}");
    assert_eq!(user.balances().await, ("600".into(), "0".into()));
}
