//! A user's day, and every way it can go wrong: through HTTP, with the balances and the books looked at after each.

use contracts::messages::FailureCode;
use serde_json::json;
use wallet::domain::{OrderState, Stage};

use crate::world::{Chain, LedgerMode, Reversal, Venue, World};

#[tokio::test]
async fn a_user_with_600_buys_for_30_and_sells_1_5() {
    let world = World::awake().await;
    world.with_600().await;
    let bought = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let mail = world.mailbox.mail(bought).await;
    assert_eq!(mail.email, "user2@example.com");
    assert_eq!(mail.payload.lines().next(), Some("You bought 3 BTC for 30 USD"));
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));

    let sold = world.accepted("/sell/2", json!({"crypto_amount": 1.5})).await;
    let mail = world.mailbox.mail(sold).await;
    assert_eq!(mail.payload.lines().next(), Some("You sold 1.5 BTC for 15 USD"));
    assert_eq!(world.wallet(), ("585".to_owned(), "1.5".to_owned()));
    world.everything_is_explained();

    let wallet = world.get("/wallet/2").await;
    assert!(
        wallet.text.contains("\"crypto_amount\":1.5,\"fiat_amount\":585,"),
        "{}",
        wallet.text
    );
}

#[tokio::test]
async fn who_cannot_pay_is_refused_at_once_listed_as_failed_and_not_written_to() {
    let world = World::awake().await;
    world.with_600().await;
    let answer = world.post("/buy/2", json!({"fiat_amount": "600.01"})).await;
    assert_eq!(answer.problem(), (423, "insufficient_funds".to_owned()));
    let order = world.order(answer.order_id()).await;
    assert!(order.saga.refused_at_hold());
    let path = format!("/orders/2/{}", order.id);
    let listed = world.get(&path).await.body;
    assert_eq!(
        (&listed["status"], &listed["failure_code"]),
        (&json!("failed"), &json!("insufficient_funds"))
    );
    assert_eq!(world.wallet(), ("600".to_owned(), "0".to_owned()));
    let later = world.accepted("/buy/2", json!({"fiat_amount": 600})).await;
    world.mailbox.mail(later).await;
    assert_eq!(world.mailbox.count(), 1, "only the second order sends a message");
    world.everything_is_explained();
}

#[tokio::test]
async fn a_partial_fill_charges_what_was_filled_and_returns_the_rest() {
    let world = World::awake().await;
    world.with_600().await;
    world.exchanger.set(Venue::FillsHalf);
    let bought = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let order = world.until(bought, OrderState::Completed).await;
    assert_eq!(order.saga.trade.unwrap().filled.to_string(), "1.49");
    assert_eq!(world.wallet(), ("585".to_owned(), "1.49".to_owned()));
    let sold = world.accepted("/sell/2", json!({"crypto_amount": "1.4"})).await;
    world.until(sold, OrderState::Completed).await;
    assert_eq!(world.wallet(), ("591.9".to_owned(), "0.79".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn an_order_the_venue_does_not_execute_leaves_the_user_where_they_were() {
    let codes = [
        FailureCode::VenueRejected,
        FailureCode::NothingFilled,
        FailureCode::NotExecuted,
    ];
    let world = World::awake().await;
    world.with_600().await;
    for code in codes {
        world.exchanger.set(Venue::Fails(code));
        let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
        let order = world.until(id, OrderState::Failed).await;
        assert_eq!(order.saga.failure, Some(code));
        let mail = world.mailbox.mail(id).await;
        assert!(mail.payload.contains("Nothing was charged"), "{}", mail.payload);
        assert_eq!(world.wallet(), ("600".to_owned(), "0".to_owned()));
    }
    world.everything_is_explained();
}

#[tokio::test]
async fn a_sell_the_venue_does_not_execute_gives_the_crypto_back() {
    let world = World::awake().await;
    world.with_600().await;
    let bought = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    world.until(bought, OrderState::Completed).await;
    world.exchanger.set(Venue::Fails(FailureCode::VenueRejected));
    let id = world.accepted("/sell/2", json!({"crypto_amount": 3})).await;
    world.until(id, OrderState::Failed).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn a_withdrawal_that_is_refused_is_undone_at_the_houses_cost() {
    let world = World::awake().await;
    world.with_600().await;
    world.gateway.set(Chain::Refuses);
    for venue in [Venue::Fills, Venue::FillsHalf] {
        world.exchanger.set(venue);
        let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
        let order = world.until(id, OrderState::Failed).await;
        assert_eq!(order.saga.failure, Some(FailureCode::WithdrawalRefused));
        world.mailbox.mail(id).await;
        assert_eq!(world.wallet(), ("600".to_owned(), "0".to_owned()));
    }
    world.everything_is_explained();
}

#[tokio::test]
async fn a_trade_that_cannot_be_undone_is_stuck_and_releases_nothing() {
    let world = World::awake().await;
    world.with_600().await;
    world.gateway.set(Chain::Refuses);
    *world.exchanger.reversal.lock().unwrap() = Reversal::Refused;
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let from = Stage::Reversing;
    world.until(id, OrderState::Stuck { from }).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "0".to_owned()));
    assert_eq!(world.mailbox.count(), 0, "it is not at its end");
}

#[tokio::test]
async fn while_the_venues_answer_is_missing_nothing_is_released_and_it_still_counts() {
    let world = World::awake().await;
    world.with_600().await;
    for (venue, state, wallet) in [
        (Venue::Fills, OrderState::Completed, ("570", "3")),
        (Venue::Fails(FailureCode::NotExecuted), OrderState::Failed, ("570", "3")),
    ] {
        world.exchanger.set(Venue::IsUnresolved);
        let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
        let from = Stage::Exchanging;
        world.until(id, OrderState::Stuck { from }).await;
        assert!(world.ledger.posted(id, contracts::ledger::Leg::Release).is_none());
        world.exchanger.set(venue);
        world.exchanger.resolve(id).await;
        world.until(id, state).await;
        assert_eq!(world.wallet(), (wallet.0.to_owned(), wallet.1.to_owned()));
    }
    world.everything_is_explained();
}

#[tokio::test]
async fn a_withdrawal_nobody_can_tell_of_is_stuck_until_the_chain_answers() {
    let world = World::awake().await;
    world.with_600().await;
    world.gateway.set(Chain::IsUnresolved);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let from = Stage::Withdrawing;
    world.until(id, OrderState::Stuck { from }).await;
    world.gateway.set(Chain::Confirms);
    world.gateway.resolve(id).await;
    world.until(id, OrderState::Completed).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn a_release_that_is_refused_is_tried_again_and_goes_through_even_from_stuck() {
    let world = World::awake().await;
    world.with_600().await;
    world.exchanger.set(Venue::Fails(FailureCode::VenueRejected));
    world.ledger.set(LedgerMode::RefusesReleases);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let from = Stage::Releasing;
    let order = world.until(id, OrderState::Stuck { from }).await;
    assert_eq!(order.saga.refusals, wallet::domain::MAX_RELEASE_REFUSALS);
    assert_eq!(world.wallet(), ("570".to_owned(), "0".to_owned()));
    world.ledger.set(LedgerMode::Works);
    world.until(id, OrderState::Failed).await;
    assert_eq!(world.wallet(), ("600".to_owned(), "0".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn a_trade_beyond_the_hold_is_not_believed_and_an_operator_is_asked() {
    let world = World::awake().await;
    world.with_600().await;
    world.exchanger.set(Venue::Lies);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let from = Stage::Exchanging;
    let order = world.until(id, OrderState::Stuck { from }).await;
    assert_eq!(order.saga.trade, None);
    let stuck = world.operator("/sagas?state=stuck", "Bearer ann-ann-ann-ann-ann").await;
    assert_eq!(stuck.body["items"][0]["order_id"], json!(id));
}

#[tokio::test]
async fn many_users_orders_at_once_all_end_and_add_up() {
    let world = World::awake().await;
    world.with_600().await;
    let buys = (0..40).map(|_| world.accepted("/buy/2", json!({"fiat_amount": 10})));
    let ids = futures::future::join_all(buys).await;
    for id in ids {
        world.until(id, OrderState::Completed).await;
    }
    assert_eq!(world.wallet(), ("200".to_owned(), "40".to_owned()));
    world.until_idle().await;
    world.everything_is_explained();
}
