//! Decimals that were rounded, lost or mangled.

use std::time::Duration;

use contracts::{Asset, Price};
use exchanger::venue::simulated::Market;
use reqwest::Method;
use serde_json::json;
use test_kit::api::placed;
use test_kit::system::{Scene, TestSystem};
use tokio::time::{Instant, sleep};

use crate::ending::ending;
use crate::states::{BOUGHT, SOLD};

/// Amounts with 18 decimals were rounded up; the deposit could not be collected (peatio 2851, 2648).
///
/// Fails if an amount passed through a float, which has 17 digits at most, or if `quantity_for` rounded up: the user would
/// own more than lies at their address, and the sweep of it could never be paid.
#[tokio::test]
async fn complaint_09_eighteen_decimals_stay_what_they_are_and_can_be_collected() {
    let market = Market {
        price: Price::from_units(3, 0).unwrap(),
        ..Market::default()
    };
    let system = Scene::default().with_market(market).start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let buy = r#"{"fiat_amount": 100, "asset": "ETH"}"#;
    let buy = placed(&user.post("/buy/2", Some(buy), None).await);
    ending(&system, &user, buy).await.completed_by(BOUGHT);
    let exactly = "33.333333333333333333";
    let owned = |wallet: &serde_json::Value, amount: &str| {
        let balances = wallet["balances"].as_array().unwrap();
        balances.contains(&json!({"amount": amount, "asset": "ETH"}))
    };
    let wallet = user.get("/wallet/2").await;
    assert!(owned(&wallet.body, exactly), "{}", wallet.text);
    assert_eq!(
        system.coins(user.id, Asset::ETH).await,
        exactly,
        "what is owed is there"
    );

    // One unit more than there is cannot be sold; exactly what there is can, in one piece.
    let more = r#"{"crypto_amount": 33.333333333333333334, "asset": "ETH"}"#;
    let more = user.post("/sell/2", Some(more), None).await;
    more.assert_problem(423, "insufficient_funds");
    let finer = r#"{"crypto_amount": 0.0000000000000000001, "asset": "ETH"}"#;
    user.post("/sell/2", Some(finer), None)
        .await
        .assert_problem(422, "invalid");
    let all = format!(r#"{{"crypto_amount": {exactly}, "asset": "ETH"}}"#);
    let sell = placed(&user.post("/sell/2", Some(&all), None).await);
    ending(&system, &user, sell).await.completed_by(SOLD);
    let wallet = user.get("/wallet/2").await;
    assert!(!owned(&wallet.body, exactly), "{}", wallet.text);

    // What was sold is collected from their address, to the last unit.
    let give_up = Instant::now() + Duration::from_secs(60);
    while system.coins(user.id, Asset::ETH).await != "0" {
        assert!(Instant::now() < give_up, "it was never collected");
        // sleep: the sweep of coins is seen in the chain's books only, and those are polled
        sleep(Duration::from_millis(100)).await;
    }
    system.assert_at_rest();
}

/// Balances without their precision, decimals mangled in JSON (blnk 323; Bittrex/beta 15).
///
/// Fails if a body's number were read as a float (`JsonNumber` in `contracts`), or written as one: 0.1 + 0.2 would be
/// 0.30000000000000004, and of nineteen digits the last ones others.
#[tokio::test]
async fn complaint_10_amounts_come_out_digit_by_digit_and_with_their_asset() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user("ada").await;
    for part in ["0.1", "0.2"] {
        assert_eq!(user.deposit(part, None).await.status, 200);
    }
    let wallet = user.get("/wallet/2").await;
    assert!(wallet.text.contains(r#""fiat_amount":0.3,"#), "{}", wallet.text);

    // Beyond what a float can tell apart.
    let much = "12345678901234567.89";
    assert_eq!(user.deposit(much, None).await.status, 200);
    let wallet = user.get("/wallet/2").await;
    let sum = "12345678901234568.19";
    assert!(
        wallet.text.contains(&format!(r#""fiat_amount":{sum},"#)),
        "{}",
        wallet.text
    );
    assert!(
        wallet.text.contains(&format!(r#"{{"amount":"{sum}","asset":"USD"}}"#)),
        "{}",
        wallet.text
    );
    let correction = r#"{"crypto_amount": 12345678901.12345678, "reason": "a test"}"#;
    let corrected = system
        .operator(Method::PATCH, "/balance/wallet/2", Some(correction))
        .await;
    assert_eq!(corrected.status, 200, "{corrected:?}");
    assert!(
        corrected.text.contains(r#""crypto_amount":12345678901.12345678,"#),
        "{}",
        corrected.text
    );

    // More decimals than there are, and other ways to write: never rounded, never guessed.
    for too_fine in ["0.001", "1e-3", "0.29999999999999998"] {
        user.deposit(too_fine, None).await.assert_problem(422, "invalid");
    }
    assert_eq!(user.deposit("1e1", None).await.status, 200, "ten is ten");
    let statement = user.statement().await;
    let amounts: Vec<&str> = statement
        .iter()
        .filter_map(|line| line["amount"]["amount"].as_str())
        .collect();
    assert!(amounts.contains(&much), "{amounts:?}");
    assert_eq!(
        user.balances().await,
        ("12345678901234578.19".into(), "12345678901.12345678".into())
    );
    system.assert_clean();
}
