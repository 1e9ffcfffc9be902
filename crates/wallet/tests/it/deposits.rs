//! Fiat on its way in: a row first, booked once.

use std::time::Duration;

use serde_json::json;
use wallet::{Deposits, Settings};

use crate::world::{LedgerMode, World, settings};

#[tokio::test]
async fn a_deposit_is_booked_and_says_what_it_is() {
    let world = World::awake().await;
    world.with_600().await;
    let body = json!({"fiat_amount": "0.01", "client_reference": "a cent"});
    let answer = world.request("PATCH", "/wallet/2").json(body).send().await;
    assert_eq!(answer.status, 200);
    let expected = json!({
        "deposit_id": 2, "status": "booked", "amount": {"amount": "0.01", "asset": "USD"}, "reference": "a cent",
    });
    assert_eq!(answer.body, expected);
    assert_eq!(world.wallet().0, "600.01");
}

#[tokio::test]
async fn a_deposit_with_a_key_is_made_once() {
    let world = World::awake().await;
    world.with_600().await;
    let deposit = async |amount: u32| {
        let body = json!({"fiat_amount": amount});
        world
            .request("PATCH", "/wallet/2")
            .key("salary")
            .json(body)
            .send()
            .await
    };
    let first = deposit(100).await;
    let second = deposit(100).await;
    assert_eq!((first.status.as_u16(), first.replayed()), (200, false));
    assert_eq!((second.status.as_u16(), second.replayed()), (200, true));
    assert_eq!(first.body, second.body);
    assert_eq!(deposit(101).await.problem(), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(world.wallet().0, "700");
}

#[tokio::test]
async fn two_deposits_of_one_reference_are_a_conflict() {
    let world = World::awake().await;
    world.with_600().await;
    let body = json!({"fiat_amount": 1, "client_reference": "rent"});
    assert_eq!(
        world
            .request("PATCH", "/wallet/2")
            .json(body.clone())
            .send()
            .await
            .status,
        200
    );
    let second = world.request("PATCH", "/wallet/2").json(body).send().await;
    assert_eq!(second.problem(), (409, "conflict".to_owned()));
    assert_eq!(second.body["deposit_id"], 2);
    assert_eq!(world.wallet().0, "601");
}

#[tokio::test]
async fn a_deposit_the_ledger_does_not_answer_for_is_202_and_booked_later() {
    let impatient = Settings {
        hold_wait: Duration::ZERO,
        ..settings()
    };
    let mut world = World::awake().await;
    world.with_600().await;
    world.crash(impatient).await;
    let body = json!({"fiat_amount": 50});
    let deposit = async |world: &World| {
        let request = world.request("PATCH", "/wallet/2").key("k");
        request.json(body.clone()).send().await
    };
    let answer = deposit(&world).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (202, &json!("pending"))
    );
    assert_eq!(world.wallet().0, "600");
    world.crash(settings()).await;
    let answer = deposit(&world).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (200, &json!("booked"))
    );
    assert!(answer.replayed());
    assert_eq!(world.wallet().0, "650");
}

#[tokio::test]
async fn a_deposit_is_booked_by_itself_after_a_crash() {
    let mut world = World::awake().await;
    world.with_600().await;
    world.ledger.set(LedgerMode::LosesAnswers);
    let impatient = Settings {
        hold_wait: Duration::ZERO,
        ..settings()
    };
    world.crash(impatient).await;
    let body = json!({"fiat_amount": 50});
    assert_eq!(world.request("PATCH", "/wallet/2").json(body).send().await.status, 202);
    world.crash(settings()).await;
    world.wake();
    world.ledger.called(3).await;
    world.ledger.set(LedgerMode::Works);
    world.ledger.called(4).await;
    assert_eq!(world.wallet().0, "650", "booked once, however often it was asked for");
}

#[tokio::test]
async fn where_the_operator_books_a_user_is_told_so() {
    let operated = Settings {
        deposits: Deposits::Operator,
        ..settings()
    };
    let world = World::asleep(operated).await;
    let body = json!({"fiat_amount": 600});
    let answer = world.request("PATCH", "/wallet/2").json(body).send().await;
    assert_eq!(answer.problem(), (403, "deposits_closed".to_owned()));
    assert!(answer.body["detail"].as_str().unwrap().contains("operator"));
}

#[tokio::test]
async fn nobody_can_push_an_account_to_the_end_of_its_range() {
    let world = World::awake().await;
    world.with_600().await;
    for amount in ["1e29", "170141183460469231731687303715884105727", "-5", "0", "0.001"] {
        let body = json!({"fiat_amount": amount});
        let answer = world.request("PATCH", "/wallet/2").json(body).send().await;
        assert_eq!(answer.problem(), (422, "invalid".to_owned()), "{amount}");
        assert_eq!(answer.body["errors"][0]["pointer"], "/fiat_amount");
    }
}
