//! What operators see.

use reqwest::Method;
use serde_json::json;
use test_kit::api::placed;
use test_servers::cluster::Service;

use crate::black_box::world::World;

pub(crate) async fn operators_see_orders_and_dead_letters_and_nobody_else_does(world: &World) {
    let user = world.api().given_a_user_with("otto", "600").await;
    let buy = placed(&user.buy("30", None).await);
    user.order_at_its_end(buy).await;
    let saga = world.operator(Service::Wallet, &format!("/sagas/{buy}"), None).await;
    assert_eq!(saga.status, 200, "{saga:?}");
    assert_eq!(world.operator(Service::Wallet, "/sagas", None).await.status, 200);
    for service in Service::WITH_WORKER {
        let letters = world.operator(service, "/dead_letters", None).await;
        assert_eq!(
            (letters.status, &letters.body["items"]),
            (200, &json!([])),
            "{service:?}"
        );
    }
    let person = world.operator(Service::Auth, &format!("/user/{}", user.id), None).await;
    assert_eq!(person.body["email"], "otto@example.com");
    assert!(!person.text.contains("argon2"), "{}", person.text);

    for (service, path) in [
        (Service::Wallet, "/sagas"),
        (Service::Exchanger, "/dead_letters"),
        (Service::Auth, "/user/1"),
    ] {
        let ask = |token| world.internally(service, (Method::GET, path), None, token);
        ask(None).await.assert_problem(401, "unauthorized");
        ask(Some("guessed")).await.assert_problem(401, "unauthorized");
        ask(Some(&user.token)).await.assert_problem(401, "unauthorized");
    }
    // A service's token opens what that service is there for, and nothing that is for people.
    let of_exchanger = world.token_of(Service::Exchanger);
    let balance = world
        .internally(
            Service::Balance,
            (Method::PATCH, &format!("/wallet/{}", user.id)),
            Some(json!({"fiat_amount": 1, "reason": "a gift"})),
            Some(&of_exchanger),
        )
        .await;
    balance.assert_problem(403, "forbidden");

    let corrected = world
        .internally(
            Service::Balance,
            (Method::PATCH, &format!("/wallet/{}", user.id)),
            Some(json!({"fiat_amount": 5, "reason": "a correction"})),
            Some(&world.operators_token()),
        )
        .await;
    assert_eq!(corrected.status, 200, "{corrected:?}");
    assert_eq!(user.balances().await, ("575".into(), "3".into()));
}
