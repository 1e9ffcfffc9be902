//! created: held, or refused for good.

use serde_json::Value;
use test_kit::api::{path, placed};
use test_kit::system::{Scene, TestSystem};

use super::{BOUGHT, SOLD};
use crate::ending::ending;

#[tokio::test]
async fn orders_that_are_covered_are_held_and_carried_out() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    // All of it: the balance covers exactly this.
    let buy = placed(&user.buy("600", None).await);
    ending(&system, &user, buy)
        .await
        .completed_by(BOUGHT)
        .leaving("0", "60");
    let sell = placed(&user.sell("60", None).await);
    ending(&system, &user, sell)
        .await
        .completed_by(SOLD)
        .leaving("600", "0");
    system.assert_at_rest();
}

#[tokio::test]
async fn an_order_beyond_the_balance_is_refused_for_good() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    for (path_of_order, body, key) in [
        ("/buy/2", r#"{"fiat_amount": 600.01}"#, "too much"),
        ("/sell/2", r#"{"crypto_amount": 0.00000001}"#, "nothing to sell"),
    ] {
        let key = key.replace(' ', "-");
        let refused = user.post(path_of_order, Some(body), Some(&key)).await;
        refused.assert_problem(423, "insufficient_funds");
        assert!(!refused.replayed());
        let id = refused.body["order_id"].as_i64().unwrap();

        let order = user.order(id).await;
        assert_eq!(order["status"], "failed");
        assert_eq!(order["failure_code"], "insufficient_funds");
        assert_eq!(path(&order), ["created", "failed"]);
        assert_eq!(order["filled"], Value::Null);
        assert_eq!(user.balances().await, ("600".into(), "0".into()));
        system.assert_at_rest();

        let again = user.post(path_of_order, Some(body), Some(&key)).await;
        again.assert_problem(423, "insufficient_funds");
        assert!(again.replayed());
        assert_eq!(again.body["order_id"], id);
    }
    // The refusal is final: money that comes later does not bring the order back to life.
    user.deposit("1000", None).await;
    let again = user
        .post("/buy/2", Some(r#"{"fiat_amount": 600.01}"#), Some("too-much"))
        .await;
    again.assert_problem(423, "insufficient_funds");
    assert_eq!(user.orders().await.len(), 2);

    // Once a later order was told of, a mail about the refused ones would be there as well.
    let covered = placed(&user.buy("30", None).await);
    ending(&system, &user, covered)
        .await
        .completed_by(BOUGHT)
        .leaving("1570", "3");
    assert_eq!(
        system.mails(),
        1,
        "nobody is told of an order that was refused to their face"
    );
    system.assert_at_rest();
}

#[tokio::test]
async fn an_order_whose_hold_takes_long_is_pending_and_may_still_fail_visibly() {
    let system = Scene::default().with("hold_wait", "1ms").start().await;
    let user = system.api.given_a_user("ada").await;
    let answered = user.buy("30", Some("impatient")).await;
    // The ledger may be quicker than a millisecond; then it is the usual refusal. After 202 the user is told of the end.
    assert!([202, 423].contains(&answered.status), "{answered:?}");
    let promised = answered.status == 202;
    let id = answered.body["order_id"].as_i64().unwrap();
    let order = user.order_at_its_end(id).await;
    assert_eq!(order["status"], "failed");
    assert_eq!(order["failure_code"], "insufficient_funds");
    let again = user.buy("30", Some("impatient")).await;
    assert_eq!(
        (again.status, again.replayed()),
        (answered.status, true),
        "a replay keeps its answer"
    );
    assert_eq!(user.balances().await, ("0".into(), "0".into()));
    if promised {
        let mail = system.mail_about(id).await;
        assert!(mail.contains("Nothing was charged."), "{mail}");
    }
    assert_eq!(system.mails(), usize::from(promised));
    system.assert_at_rest();
}
