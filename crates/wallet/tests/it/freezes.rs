//! What a freeze does: nothing of the user's is answered any more, and what is under way goes on.

use serde_json::json;

use crate::world::{Venue, World, settings};

#[tokio::test]
async fn a_frozen_user_gets_403_everywhere_and_their_orders_go_on() {
    let world = World::awake().await;
    world.with_600().await;
    world.exchanger.set(Venue::IsUnreachable);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let frozen = world
        .ask("POST", "/freezes/2", Some(json!({"reason": "card stolen"})))
        .await;
    assert_eq!(frozen.status, 201, "{}", frozen.text);
    assert_eq!(frozen.body["operator"], "operator:ann");
    let again = world
        .ask("POST", "/freezes/2", Some(json!({"reason": "another"})))
        .await;
    assert_eq!(
        (again.status.as_u16(), &again.body["reason"]),
        (200, &json!("card stolen"))
    );

    let order = format!("/orders/2/{id}");
    let events = format!("{order}/events");
    let routes = [
        ("GET", "/wallet/2"),
        ("POST", "/wallet/2"),
        ("PATCH", "/wallet/2"),
        ("GET", "/wallet/2/transactions"),
        ("GET", "/orders/2"),
        ("GET", &order),
        ("GET", &events),
        ("POST", "/buy/2"),
        ("POST", "/sell/2"),
    ];
    for (method, path) in routes {
        let answer = world.request(method, path).send().await;
        assert_eq!(answer.problem(), (403, "user_frozen".to_owned()), "{method} {path}");
        let stranger = world
            .request(method, path)
            .header("authorization", "Bearer nobody")
            .send()
            .await;
        assert_eq!(stranger.problem().0, 401, "{method} {path}: who you are comes first");
        let other = path.replace("/2", "/3");
        let foreign = world.request(method, &other).send().await;
        assert_eq!(foreign.problem(), (403, "forbidden".to_owned()), "{method} {other}");
    }
    world.exchanger.set(Venue::Fills);
    world.mailbox.mail(id).await;

    let listed = world.ask("GET", "/freezes", None).await;
    assert_eq!(listed.body["items"][0]["user_id"], 2);
    let lift = async || {
        world
            .ask("POST", "/freezes/2/lift", Some(json!({"reason": "found"})))
            .await
    };
    let lifted = lift().await;
    assert_eq!((lifted.status.as_u16(), lifted.replayed()), (200, false));
    assert!(lift().await.replayed());
    assert_eq!(world.get("/wallet/2").await.status, 200);
    let history = world.ask("GET", "/freezes/2", None).await;
    assert_eq!(history.body["frozen"], false);
    let verbs: Vec<_> = history.body["acts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|act| act["verb"].clone())
        .collect();
    assert_eq!(verbs, ["freeze", "unfreeze"]);
    let hot = world.ask("POST", "/freezes/1", Some(json!({"reason": "no"}))).await;
    assert_eq!(hot.problem().0, 422);
    world.everything_is_explained();
}

#[tokio::test]
async fn a_body_that_takes_its_time_does_not_get_past_a_freeze() {
    let world = World::awake().await;
    world.with_600().await;
    let requests = [
        ("POST", "/buy/2", json!({"fiat_amount": 30})),
        ("POST", "/sell/2", json!({"crypto_amount": 1})),
        ("PATCH", "/wallet/2", json!({"fiat_amount": 30})),
    ];
    for (method, path, body) in requests {
        let freeze = async {
            let frozen = world.ask("POST", "/freezes/2", Some(json!({"reason": "r"}))).await;
            assert_eq!(frozen.status, 201, "{}", frozen.text);
        };
        let answer = world.request(method, path).json(body).send_slowly(freeze).await;
        assert_eq!(answer.problem(), (403, "user_frozen".to_owned()), "{method} {path}");
        world.ask("POST", "/freezes/2/lift", Some(json!({"reason": "r"}))).await;
    }
    assert_eq!((world.in_flight(), world.wallet().0), (0, "600".to_owned()));
    let listed = world.get("/orders/2").await;
    assert_eq!(listed.body["items"], json!([]));
    let slow = world.request("POST", "/buy/2").json(json!({"fiat_amount": 30}));
    assert_eq!(slow.send_slowly(async {}).await.status, 202, "slow alone is no crime");
}

#[tokio::test]
async fn a_payment_reaches_a_user_who_is_frozen() {
    let world = World::awake().await;
    world.with_600().await;
    world.ask("POST", "/freezes/2", Some(json!({"reason": "r"}))).await;
    let body = json!({"fiat_amount": 5, "reference": "SEPA-1", "reason": "bank statement"});
    let paid = world.ask("POST", "/deposits/2", Some(body)).await;
    assert_eq!(paid.status, 200, "{}", paid.text);
    assert_eq!(world.wallet().0, "605");
}

#[tokio::test]
async fn a_freeze_survives_the_process() {
    let mut world = World::awake().await;
    world.with_600().await;
    world.ask("POST", "/freezes/2", Some(json!({"reason": "r"}))).await;
    world.crash(settings()).await;
    assert_eq!(world.get("/wallet/2").await.problem(), (403, "user_frozen".to_owned()));
}
