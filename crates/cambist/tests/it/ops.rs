//! Operators, on the whole system: what is stuck gets to its end by their word, and the books stay in order.

mod program;
mod transfers;

use bc_gateway::chain::simulated::Manner;
use contracts::Asset;
use contracts::messages::Step;
use exchanger::venue::simulated::Conduct;
use reqwest::Method;
use serde_json::{Value, json};
use test_kit::api::{Answer, User, placed};
use test_kit::system::{Scene, TestSystem};
use test_kit::waiting::{PATIENCE, eventually};

use crate::ending::ending;

async fn ask(system: &TestSystem, path: &str, body: Option<Value>) -> Answer {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let body = body.map(|body| body.to_string());
    system.operator(method, path, body.as_deref()).await
}

async fn saga(system: &TestSystem, id: i64) -> Value {
    let shown = ask(system, &format!("/wallet/sagas/{id}"), None).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    shown.body
}

async fn resolve(system: &TestSystem, id: i64, body: Value) -> Answer {
    ask(system, &format!("/wallet/sagas/{id}/resolve"), Some(body)).await
}

async fn stuck(system: &TestSystem, user: &User, id: i64, state: &str) -> String {
    user.order_when(id, |order| order["state"] == state).await;
    system.assert_clean();
    let shown = saga(system, id).await;
    shown["step"]["attempt"].as_str().unwrap_or_default().to_owned()
}

/// A buy of 30 of a user with 600, of which the venue says nothing; with the attempt's name.
async fn given_a_silent_venue(system: &TestSystem) -> (User, i64, String) {
    let user = system.api.given_a_user_with("ada", "600").await;
    system.venue_manners.set_silent(true);
    let buy = placed(&user.buy("30", None).await);
    let attempt = stuck(system, &user, buy, "stuck_exchanging").await;
    (user, buy, attempt)
}

fn impatient() -> Scene {
    Scene::default().with_short_orders().with_little_patience()
}

#[tokio::test]
async fn an_order_that_an_operator_saw_executed_completes_by_what_they_saw() {
    let system = impatient().start().await;
    let (user, buy, attempt) = given_a_silent_venue(&system).await;
    let executed = |quantity: &str| {
        json!({
            "outcome": "executed", "attempt": attempt, "venue_reference": "V-1", "evidence": "statement, line 4",
            "fills": [{"quantity": quantity, "price": "10", "fee": "0.1"}]
        })
    };
    let too_much = resolve(&system, buy, executed("3")).await;
    too_much.assert_problem(409, "conflict");
    assert!(
        too_much.body["detail"].as_str().unwrap().contains("ceiling"),
        "{too_much:?}"
    );
    let answer = resolve(&system, buy, executed("2.9")).await;
    assert_eq!((answer.status, answer.replayed()), (202, false), "{answer:?}");
    let path = ["created", "exchanging", "stuck_exchanging", "withdrawing", "completed"];
    ending(&system, &user, buy)
        .await
        .completed_by(&path)
        .leaving("570.9", "2.9");
    let again = resolve(&system, buy, executed("2.9")).await;
    assert_eq!((again.status, again.replayed()), (202, true), "{again:?}");
    resolve(&system, buy, executed("2.8"))
        .await
        .assert_problem(409, "conflict");
    system.venue_manners.set_silent(false);
    let system = system.restart().await;
    let user = user.at(&system.api);
    assert_eq!(user.balances().await, ("570.9".into(), "2.9".into()));
    system.assert_at_rest();
}

#[tokio::test]
async fn an_order_that_was_filled_in_a_thousand_parts_is_ruled_on_at_once() {
    let system = impatient().start().await;
    let (user, buy, attempt) = given_a_silent_venue(&system).await;
    let part = json!({"quantity": "0.0029", "price": "10"});
    let mut fills = vec![part; 1_000];
    fills[0]["fee"] = json!("0.1");
    let body = json!({
        "outcome": "executed", "attempt": attempt, "venue_reference": "V-1", "evidence": "statement, page 4", "fills": fills
    });
    let answer = resolve(&system, buy, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    ending(&system, &user, buy).await.leaving("570.9", "2.9");
    system.venue_manners.set_silent(false);
    system.assert_at_rest();
}

#[tokio::test]
async fn what_an_operator_ruled_out_is_booked_by_nobody_even_if_the_venue_did_it() {
    let system = impatient().start().await;
    // It executes, its answer gets lost, and whoever asks what became of the order hears nothing.
    system.venue_manners.set_default(Conduct::ExecuteThenTimeOut);
    system.venue_manners.set_mute(true);
    let user = system.api.given_a_user_with("ada", "600").await;
    let buy = placed(&user.buy("30", None).await);
    let attempt = stuck(&system, &user, buy, "stuck_exchanging").await;
    assert_eq!(
        system.executions().await.len(),
        1,
        "it is executed, and nobody can know"
    );
    let body = json!({"outcome": "not_executed", "attempt": attempt, "evidence": "their support said so"});
    assert_eq!(resolve(&system, buy, body.clone()).await.status, 202);
    let path = ["created", "exchanging", "stuck_exchanging", "releasing", "failed"];
    ending(&system, &user, buy)
        .await
        .failed_by("not_executed", &path)
        .leaving("600", "0");
    system.venue_manners.set_mute(false);
    let retried = ask(
        &system,
        &format!("/wallet/sagas/{buy}/retry"),
        Some(json!({"reason": "to see"})),
    )
    .await;
    assert_eq!(retried.body["did"], "nothing", "{retried:?}");
    assert!(resolve(&system, buy, body).await.replayed());
    let system = system.restart().await;
    let user = user.at(&system.api);
    assert_eq!(system.executions().await.len(), 1, "the venue did execute it");
    assert_eq!(user.balances().await, ("600".into(), "0".into()));
    system.assert_at_rest();
}

#[tokio::test]
async fn a_transfer_that_is_seen_confirmed_elsewhere_completes_its_order() {
    let system = impatient().start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let late = Manner::LateConfirmation(std::time::Duration::from_secs(2));
    system
        .chain_manners
        .next_broadcasts(crate::states::withdrawal_of(1), [late]);
    let buy = placed(&user.buy("30", None).await);
    let hash = stuck(&system, &user, buy, "stuck_withdrawing").await;
    system.chain_manners.silence(true);
    let confirmed = |hash: &str| json!({"outcome": "confirmed", "transaction": hash, "evidence": "two explorers"});
    let lost = json!({"outcome": "never_confirms", "evidence": "it is nowhere"});
    resolve(&system, buy, lost).await.assert_problem(409, "conflict");
    resolve(&system, buy, confirmed("another"))
        .await
        .assert_problem(409, "conflict");
    assert_eq!(resolve(&system, buy, confirmed(&hash)).await.status, 202);
    let path = ["created", "exchanging", "withdrawing", "stuck_withdrawing", "completed"];
    ending(&system, &user, buy)
        .await
        .completed_by(&path)
        .leaving("570", "3");
    system.chain_manners.silence(false);
    system.assert_at_rest();
}

#[tokio::test]
async fn a_withdrawal_that_was_never_signed_is_given_up_and_its_trade_undone() {
    let system = impatient().start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.chain_manners.silence(true);
    let buy = placed(&user.buy("30", None).await);
    let hash = stuck(&system, &user, buy, "stuck_withdrawing").await;
    assert_eq!(hash, "", "nothing is signed");
    let body = json!({"outcome": "never_confirms", "evidence": "nothing was ever sent"});
    assert_eq!(resolve(&system, buy, body).await.status, 202);
    let end = ending(&system, &user, buy).await.leaving("600", "0");
    assert_eq!(end.order["failure_code"], "withdrawal_refused");
    system.chain_manners.silence(false);
    let system = system.restart().await;
    assert_eq!(
        system.coins(user.id, Asset::BTC).await,
        "0",
        "and nothing is sent later"
    );
    system.assert_at_rest();
}

#[tokio::test]
async fn a_reversal_that_was_refused_too_often_ends_when_an_operator_has_it_tried_again() {
    let system = Scene::default().with("max_attempts", "2").start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    for attempt in [1, 2, 3, 4] {
        let order = contracts::OrderId::FIRST;
        system.venue_manners.set(order, Step::Reverse, attempt, Conduct::Refuse);
    }
    system.chain_manners.refuse_all(true);
    let buy = placed(&user.buy("30", None).await);
    stuck(&system, &user, buy, "stuck_reversing").await;
    let retry = async || {
        let path = format!("/wallet/sagas/{buy}/retry");
        ask(&system, &path, Some(json!({"reason": "the venue is open again"}))).await
    };
    // The first time it is refused as often again, and stays where it is; the second time it succeeds.
    assert_eq!(retry().await.body["did"], "reopened");
    let twice = |shown: &Value| {
        let attempt = shown["step"]["attempt"].as_str().unwrap_or_default();
        // What people could do is named as the attempt after the four.
        attempt.ends_with("-5") && shown["step"]["state"] == "failed"
    };
    eventually(PATIENCE, "the reversal is refused as often again", async || {
        let shown = saga(&system, buy).await;
        if twice(&shown) { Ok(()) } else { Err(shown) }
    })
    .await;
    system.assert_clean();
    assert_eq!(retry().await.body["did"], "reopened");
    let end = ending(&system, &user, buy).await.leaving("600", "0");
    assert_eq!(end.order["failure_code"], "withdrawal_refused");
    system.assert_at_rest();
}

#[tokio::test]
async fn what_a_reversal_could_not_sell_at_the_venue_ends_by_what_people_got_for_it_elsewhere() {
    let system = Scene::default().with("max_attempts", "2").start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let half = Conduct::Partial(contracts::BasisPoints::try_new(5_000).unwrap());
    for (attempt, conduct) in [(1, half), (2, Conduct::Refuse), (3, Conduct::Refuse)] {
        let order = contracts::OrderId::FIRST;
        system.venue_manners.set(order, Step::Reverse, attempt, conduct);
    }
    system.chain_manners.refuse_all(true);
    let buy = placed(&user.buy("30", None).await);
    let attempt = stuck(&system, &user, buy, "stuck_reversing").await;
    let sold = |quantity: &str| {
        json!({
            "outcome": "executed", "attempt": attempt, "venue_reference": "desk 4711", "evidence": "their confirmation",
            "fills": [{"quantity": quantity, "price": "10"}]
        })
    };
    resolve(&system, buy, sold("1")).await.assert_problem(409, "conflict");
    assert_eq!(resolve(&system, buy, sold("1.5")).await.status, 202);
    let end = ending(&system, &user, buy).await.leaving("600", "0");
    assert_eq!(end.order["failure_code"], "withdrawal_refused");
    assert!(resolve(&system, buy, sold("1.5")).await.replayed());
    system.assert_at_rest();
}

#[tokio::test]
async fn a_dead_letter_is_put_on_its_way_and_listed_again_when_it_dies_again() {
    let system = TestSystem::start().await;
    let connection = rusqlite::Connection::open(system.database()).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let letter =
        "INSERT INTO wallet_dead_letters (source, payload, error, died_at) VALUES ('queue:saga_steps', '{', 'no', 1)";
    connection.execute(letter, ()).unwrap();
    let listed = async || {
        let page = ask(&system, "/wallet/dead_letters", None).await;
        let items = page.body["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [1]);
    let health = test_kit::api::Api::new(system.internal.clone());
    let health = health.send(health.request(Method::GET, "/health")).await.unwrap();
    assert!(
        health.text.contains("cambist ops dead-letters wallet"),
        "{}",
        health.text
    );
    let replay = async || {
        let body = Some(json!({"reason": "perhaps now"}));
        ask(&system, "/wallet/dead_letters/1/replay", body).await
    };
    assert_eq!(replay().await.status, 202);
    eventually(PATIENCE, "it is listed again", async || {
        let list = listed().await;
        if list == [2] { Ok(()) } else { Err(list) }
    })
    .await;
    assert!(replay().await.replayed(), "the first letter is on its way for good");
    assert_eq!(listed().await, [2]);
    ask(&system, "/wallet/dead_letters/9/replay", Some(json!({"reason": "r"})))
        .await
        .assert_problem(404, "not_found");
    ask(&system, "/wallet/dead_letters/02/replay", Some(json!({"reason": "r"})))
        .await
        .assert_problem(400, "malformed_path");
    system.assert_clean();
}
