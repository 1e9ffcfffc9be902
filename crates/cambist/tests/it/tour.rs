//! Money goes round, as a new user would try it: register, deposit, buy, sell, and every figure is exact.

use contracts::{Amount, Asset};
use reqwest::Method;
use serde_json::{Value, json};
use test_kit::api::{path, placed};
use test_kit::system::TestSystem;

#[tokio::test]
async fn money_goes_round_exactly() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user("ada").await;
    assert_eq!(user.id, 2, "user 1 is the hot wallet, so the first person is user 2");
    assert_eq!(user.balances().await, ("0".into(), "0".into()));

    let deposited = user.deposit("600", None).await;
    assert_eq!(deposited.status, 200);
    assert_eq!(deposited.body["status"], "booked");
    assert_eq!(deposited.body["amount"], json!({"amount": "600", "asset": "USD"}));

    let buy = placed(&user.buy("30", None).await);
    assert_eq!(buy, 1);
    let bought = user.order_at_its_end(buy).await;
    assert_eq!(path(&bought), ["created", "exchanging", "withdrawing", "completed"]);
    assert_eq!(bought["filled"], json!({"amount": "3", "asset": "BTC"}));
    assert_eq!(bought["price"], json!({"amount": "10", "asset": "USD"}));
    assert_eq!(bought["fee"], json!({"amount": "0", "asset": "USD"}));
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
    assert_eq!(
        system.coins(user.id, Asset::BTC).await,
        "3",
        "bought coins are on the chain"
    );

    let sell = placed(&user.sell("1.5", None).await);
    let sold = user.order_at_its_end(sell).await;
    assert_eq!(path(&sold), ["created", "exchanging", "completed"]);
    assert_eq!(user.balances().await, ("585".into(), "1.5".into()));

    let mail = system.mail_about(buy).await;
    assert!(mail.contains("Subject: You bought 3 BTC for 30 USD"), "{mail}");
    assert!(mail.contains("To: ada@example.com"), "{mail}");
    assert!(mail.contains("The price was 10 USD for 1 BTC."), "{mail}");
    assert!(mail.contains("This was your order number 1."), "{mail}");
    let mail = system.mail_about(sell).await;
    assert!(mail.contains("Subject: You sold 1.5 BTC for 15 USD"), "{mail}");
    assert!(mail.contains("The money is in your wallet"), "{mail}");
    assert_eq!(system.mails(), 2, "one mail for each order");
    system.assert_at_rest();
}

#[tokio::test]
async fn the_three_documented_numbers_are_json_numbers_with_exactly_their_digits() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    user.order_at_its_end(placed(&user.buy("30", None).await)).await;
    let wallet = user.get("/wallet/2").await;
    assert!(wallet.text.contains(r#""crypto_amount":3,"#), "{}", wallet.text);
    assert!(wallet.text.contains(r#""fiat_amount":570,"#), "{}", wallet.text);

    // 2⁵³ + 1 cents and a satoshi: the first numbers that a float would lose.
    user.deposit("90071992547409.93", None).await;
    user.order_at_its_end(placed(&user.sell("2.00000001", None).await))
        .await;
    let wallet = user.get("/wallet/2").await;
    let number = r#""fiat_amount":90071992547999.93"#;
    assert!(wallet.text.contains(number), "{}", wallet.text);
    assert!(
        wallet.text.contains(r#""crypto_amount":0.99999999,"#),
        "{}",
        wallet.text
    );
    system.assert_at_rest();
}

#[tokio::test]
async fn amounts_may_be_written_as_numbers_or_as_text() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user("ada").await;
    for body in [
        r#"{"fiat_amount": 600}"#,
        r#"{"fiat_amount": "0.10"}"#,
        r#"{"fiat_amount": 1e2}"#,
        r#"{"fiat_amount": 0.25, "currency": "EUR"}"#,
    ] {
        let deposited = user
            .try_send(Method::PATCH, "/wallet/2", Some(body), None)
            .await
            .unwrap();
        // An exponent may be refused, but never misread.
        assert!([200, 422].contains(&deposited.status), "{body}: {deposited:?}");
    }
    let wallet = user.get("/wallet/2").await.body;
    let balances = wallet["balances"].as_array().unwrap();
    let of = |asset: &str| {
        let found = balances.iter().find(|amount| amount["asset"] == asset);
        found.and_then(|amount| amount["amount"].as_str()).unwrap_or("none")
    };
    assert!(["600.1", "700.1"].contains(&of("USD")), "{wallet}");
    assert_eq!(of("EUR"), "0.25");
    system.assert_at_rest();
}

#[tokio::test]
async fn a_statement_explains_every_cent_of_the_balance() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    user.order_at_its_end(placed(&user.buy("30", None).await)).await;
    user.order_at_its_end(placed(&user.sell("1.5", None).await)).await;

    let statement = user.statement().await;
    let legs: Vec<(&str, &str, &str)> = statement
        .iter()
        .map(|line| {
            let text = |value: &Value| value.as_str().unwrap().to_owned().leak();
            (
                &*text(&line["leg"]),
                &*text(&line["amount"]["amount"]),
                &*text(&line["balance_after"]["amount"]),
            )
        })
        .collect();
    let newest_first = [
        ("trade_receive", "15", "585"),
        ("hold", "-1.5", "1.5"),
        ("withdraw", "3", "3"),
        ("hold", "-30", "570"),
        ("deposit", "600", "600"),
    ];
    assert_eq!(legs, newest_first);
    assert!(
        statement.iter().all(|line| !line["reason"].as_str().unwrap().is_empty()
            && line["counter_account"].is_string()
            && line["time"].is_string()),
        "{statement:?}"
    );
    for (asset, balance) in [(Asset::USD, "585"), (Asset::BTC, "1.5")] {
        let of_asset = statement.iter().filter(|line| line["amount"]["asset"] == asset.code());
        let sum = of_asset.fold(Amount::zero(asset), |sum, line| {
            let amount = line["amount"]["amount"].as_str().unwrap();
            sum.checked_add(Amount::parse(amount, asset).unwrap()).unwrap()
        });
        assert_eq!(sum.to_string(), balance, "of {asset}");
    }
    // Pages: the same lines, two at a time.
    let mut paged = Vec::new();
    let mut cursor = String::new();
    while paged.len() < 10 {
        let page = user.get(&format!("/wallet/2/transactions?limit=2{cursor}")).await.body;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        paged.extend(items.iter().cloned());
        match page["next_cursor"].as_i64() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, statement);
}

#[tokio::test]
async fn orders_are_listed_newest_first_and_each_tells_its_story() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let body = r#"{"fiat_amount": 30, "client_reference": "groceries"}"#;
    let buy = placed(&user.post("/buy/2", Some(body), None).await);
    user.order_at_its_end(buy).await;
    let sell = placed(&user.sell("1.5", None).await);
    user.order_at_its_end(sell).await;

    let orders = user.orders().await;
    let ids: Vec<i64> = orders.iter().map(|order| order["order_id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [sell, buy]);
    assert!(orders.iter().all(|order| order.get("events").is_none()));

    let order = user.order(buy).await;
    assert_eq!(order["client_reference"], "groceries");
    assert_eq!(order["side"], "buy");
    assert_eq!(order["asset"], "BTC");
    assert_eq!(order["currency"], "USD");
    assert_eq!(order["requested"], json!({"amount": "30", "asset": "USD"}));
    assert_eq!(order["status"], "completed");
    assert_eq!(order["failure_code"], Value::Null);
    let events = order["events"].as_array().unwrap();
    let facts: Vec<&str> = events
        .iter()
        .filter_map(|event| event["event"]["fact"].as_str())
        .collect();
    assert_eq!(facts, ["placed", "held", "exchanged", "withdrawn"]);
    let actors: Vec<&str> = events.iter().filter_map(|event| event["actor"].as_str()).collect();
    assert_eq!(actors, ["user:2", "balance", "exchanger", "bc_gateway"]);
    let numbers: Vec<i64> = events.iter().filter_map(|event| event["seq"].as_i64()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let times: Vec<&str> = events.iter().filter_map(|event| event["time"].as_str()).collect();
    assert!(
        times.is_sorted() && times.iter().all(|time| time.ends_with('Z')),
        "{times:?}"
    );
}

#[tokio::test]
async fn coins_of_eighteen_decimals_are_bought_and_sold_to_the_last_one() {
    let system = TestSystem::start().await;
    system
        .operator(
            Method::PATCH,
            "/balance/wallet/1",
            Some(r#"{"crypto_amount": 5, "asset": "ETH", "reason": "stock"}"#),
        )
        .await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let bought = user
        .post("/buy/2", Some(r#"{"fiat_amount": 30, "asset": "ETH"}"#), None)
        .await;
    user.order_at_its_end(placed(&bought)).await;
    let one_wei_less = r#"{"crypto_amount": 2.999999999999999999, "asset": "ETH"}"#;
    let sold = user
        .order_at_its_end(placed(&user.post("/sell/2", Some(one_wei_less), None).await))
        .await;
    assert_eq!(sold["filled"]["amount"], "2.999999999999999999");
    let wallet = user.get("/wallet/2").await.body;
    let eth = json!({"amount": "0.000000000000000001", "asset": "ETH"});
    assert!(wallet["balances"].as_array().unwrap().contains(&eth), "{wallet}");
    // 29.99999999999999999 is not a whole number of cents: the house keeps what is left over, once.
    assert_eq!(user.balances().await.0, "599.99");
    system.assert_clean();
}
