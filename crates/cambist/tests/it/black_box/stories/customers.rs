//! What a customer does on a good day.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::Method;
use serde_json::{Value, json};
use test_kit::api::{path, placed};
use test_kit::following::{follow, names, told};

use crate::black_box::world::World;

pub(crate) async fn who_registers_can_log_in_and_their_token_is_proven_by_the_published_keys(world: &World) {
    let api = world.api();
    let user = api.given_a_registered("kim").await;
    let again = json!({
        "username": "kim", "first_name": "Kim", "last_name": "Two", "email": "kim2@example.com", "password": "password"
    });
    let again = api.send(api.request(Method::POST, "/register").json(&again)).await;
    again.unwrap().assert_problem(409, "already_exists");
    let wrong = json!({"username": "kim", "password": "passwort"});
    let wrong = api.send(api.request(Method::POST, "/login").json(&wrong)).await;
    wrong.unwrap().assert_problem(401, "wrong_credentials");

    let keys = api
        .send(api.request(Method::GET, "/.well-known/jwks.json"))
        .await
        .unwrap();
    let keys: JwkSet = serde_json::from_str(&keys.text).unwrap();
    let header = decode_header(&user.token).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).expect("its key is published");
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_audience(&["cambist"]);
    rules.set_issuer(&["cambist"]);
    let claims = decode::<Value>(&user.token, &DecodingKey::from_jwk(key).unwrap(), &rules).unwrap();
    assert_eq!(claims.claims["sub"], user.id.to_string(), "{:?}", claims.claims);
}

pub(crate) async fn a_wallet_is_opened_once_and_holds_what_was_deposited(world: &World) {
    let user = world.api().given_a_registered("wanda").await;
    let wallet = format!("/wallet/{}", user.id);
    user.get(&wallet).await.assert_problem(404, "not_found");
    assert_eq!(user.post(&wallet, None, None).await.status, 201);
    user.post(&wallet, None, None)
        .await
        .assert_problem(409, "already_exists");
    assert_eq!(user.balances().await, ("0".into(), "0".into()));
    let deposited = user.deposit("600", None).await;
    assert_eq!((deposited.status, &deposited.body["status"]), (200, &json!("booked")));
    // 2⁵³ + 1 cents: the first number that a float would lose.
    user.deposit("90071992547409.93", None).await;
    let shown = user.get(&wallet).await;
    assert!(
        shown.text.contains(r#""fiat_amount":90071992548009.93"#),
        "{}",
        shown.text
    );
}

pub(crate) async fn money_goes_round_exactly_and_each_order_is_told_by_mail(world: &World) {
    let user = world.api().given_a_user_with("rosa", "600").await;
    let buy = placed(&user.buy("30", None).await);
    let bought = user.order_at_its_end(buy).await;
    assert_eq!(path(&bought), ["created", "exchanging", "withdrawing", "completed"]);
    assert_eq!(bought["filled"], json!({"amount": "3", "asset": "BTC"}));
    assert_eq!(bought["price"], json!({"amount": "10", "asset": "USD"}));
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
    let sell = placed(&user.sell("1.5", None).await);
    let sold = user.order_at_its_end(sell).await;
    assert_eq!(path(&sold), ["created", "exchanging", "completed"]);
    assert_eq!(user.balances().await, ("585".into(), "1.5".into()));

    let mail = world.mail_about(buy).await;
    assert!(mail.contains("Subject: You bought 3 BTC for 30 USD"), "{mail}");
    assert!(mail.contains("To: rosa@example.com"), "{mail}");
    let mail = world.mail_about(sell).await;
    assert!(mail.contains("Subject: You sold 1.5 BTC for 15 USD"), "{mail}");
    let orders = user.orders().await;
    let listed: Vec<i64> = orders.iter().filter_map(|order| order["order_id"].as_i64()).collect();
    assert_eq!(listed, [sell, buy], "the newest first");
}

pub(crate) async fn a_statement_explains_every_cent(world: &World) {
    let user = world.api().given_a_user_with("stella", "600").await;
    let buy = placed(&user.buy("30", None).await);
    user.order_at_its_end(buy).await;
    let sell = placed(&user.sell("1.5", None).await);
    user.order_at_its_end(sell).await;
    let statement = user.statement().await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines: Vec<(String, String, String)> = statement
        .iter()
        .rev()
        .map(|line| {
            let (amount, after) = (&line["amount"], &line["balance_after"]["amount"]);
            let moved = format!("{} {}", text(&amount["amount"]), text(&amount["asset"]));
            (text(&line["kind"]), moved, text(after))
        })
        .collect();
    let line = |kind: &str, moved: &str, after: &str| (kind.to_owned(), moved.to_owned(), after.to_owned());
    let expected = [
        line("deposit", "600 USD", "600"),
        line("order", "-30 USD", "570"),
        line("order", "3 BTC", "3"),
        line("order", "-1.5 BTC", "1.5"),
        line("order", "15 USD", "585"),
    ];
    assert_eq!(lines, expected);
}

pub(crate) async fn an_order_is_followed_live_to_its_end(world: &World) {
    let user = world.api().given_a_user_with("lea", "600").await;
    let buy = placed(&user.buy("30", None).await);
    let (events, comment) = told(follow(&user, buy, None).await).await;
    assert_eq!(names(&events), ["placed", "held", "exchanged", "withdrawn", "end"]);
    assert_eq!(comment, None);
    let (rest, _) = told(follow(&user, buy, Some("2")).await).await;
    assert_eq!(
        names(&rest),
        ["exchanged", "withdrawn", "end"],
        "it goes on where one left"
    );
}
