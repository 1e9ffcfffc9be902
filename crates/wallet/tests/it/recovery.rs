//! Whatever gets lost, doubled or cut off costs time and nothing else.

use std::time::Duration;

use contracts::clients::{ExchangeCommand, Exchanger as _, Side};
use contracts::messages::{FailureCode, Status, Step, StepResult};
use contracts::{Amount, Asset, UserId};
use serde_json::json;
use tokio::time::Instant;
use wallet::Settings;
use wallet::domain::{OrderState, Stage};

use crate::samples::order_id;
use crate::world::{LedgerMode, Venue, World, message, settings};

fn impatient() -> Settings {
    Settings {
        hold_wait: Duration::ZERO,
        ..settings()
    }
}

#[tokio::test]
async fn a_result_that_is_lost_is_asked_for_again() {
    let world = World::awake().await;
    world.with_600().await;
    *world.exchanger.lose.lock().unwrap() = 2;
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    world.until(id, OrderState::Completed).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn an_answer_of_the_ledger_that_is_lost_books_nothing_twice() {
    let world = World::awake().await;
    world.with_600().await;
    world.ledger.set(LedgerMode::LosesAnswers);
    let buy = world.accepted("/buy/2", json!({"fiat_amount": 30}));
    let recovers = async {
        world.ledger.called(3).await;
        world.ledger.set(LedgerMode::Works);
    };
    let (id, ()) = tokio::join!(buy, recovers);
    world.until(id, OrderState::Completed).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn an_order_waits_for_a_service_that_is_away() {
    let world = World::awake().await;
    world.with_600().await;
    world.exchanger.set(Venue::IsUnreachable);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    assert_eq!(world.order(id).await.saga.state, OrderState::Exchanging);
    world.exchanger.set(Venue::Fills);
    world.until(id, OrderState::Completed).await;
    world.everything_is_explained();
}

#[tokio::test]
async fn an_order_accepted_right_before_a_crash_is_carried_out_after_it() {
    let mut world = World::awake().await;
    world.with_600().await;
    world.crash(impatient()).await;
    let answer = world
        .request("POST", "/buy/2")
        .key("k")
        .json(json!({"fiat_amount": 30}))
        .send()
        .await;
    assert_eq!(answer.status, 202, "undecided, as nobody has asked the ledger");
    let id = answer.order_id();
    assert_eq!(world.order(id).await.saga.state, OrderState::Created);
    world.crash(settings()).await;
    assert_eq!(world.in_flight(), 1, "counted from the store");
    world.wake();
    world.mailbox.mail(id).await;
    world.until_idle().await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn a_retry_after_a_crash_asks_for_the_hold_itself() {
    let mut world = World::awake().await;
    world.with_600().await;
    world.crash(impatient()).await;
    let buy = |amount: u32| world_request(amount);
    let first = buy(30).send(&world).await;
    world.crash(settings()).await;
    let second = buy(30).send(&world).await;
    assert_eq!((second.status.as_u16(), second.replayed()), (202, true));
    assert_eq!(first.order_id(), second.order_id());
    assert_eq!(world.order(first.order_id()).await.saga.state, OrderState::Exchanging);
}

#[tokio::test]
async fn a_retry_of_an_order_that_cannot_be_paid_is_answered_like_the_first() {
    let mut world = World::awake().await;
    world.with_600().await;
    for _ in 0..2 {
        let answer = world_request(601).send(&world).await;
        assert_eq!(answer.problem(), (423, "insufficient_funds".to_owned()));
    }
    world.crash(impatient()).await;
    let promised = async |world: &World| {
        world
            .request("POST", "/buy/2")
            .key("p")
            .json(json!({"fiat_amount": 601}))
            .send()
            .await
    };
    assert_eq!(promised(&world).await.status, 202, "undecided, and so promised");
    world.crash(settings()).await;
    for _ in 0..2 {
        let answer = promised(&world).await;
        assert_eq!((answer.status.as_u16(), answer.replayed()), (202, true));
    }
    assert_eq!(world_request(601).send(&world).await.problem().0, 423);
}

/// A buy with the key `k`, to be sent to whichever process is alive.
struct KeyedBuy(u32);

fn world_request(amount: u32) -> KeyedBuy {
    KeyedBuy(amount)
}

impl KeyedBuy {
    async fn send(self, world: &World) -> crate::world::Answer {
        let body = json!({"fiat_amount": self.0});
        world.request("POST", "/buy/2").key("k").json(body).send().await
    }
}

#[tokio::test]
async fn a_crash_while_the_venue_works_loses_neither_the_trade_nor_the_money() {
    let mut world = World::awake().await;
    world.with_600().await;
    world.exchanger.set(Venue::IsSilent);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    world.exchanger.hears_of(id).await;
    world.crash(settings()).await;
    world.exchanger.set(Venue::Fills);
    *world.exchanger.lose.lock().unwrap() = 1;
    world.exchanger.resolve(id).await;
    world.wake();
    world.mailbox.mail(id).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    world.everything_is_explained();
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_undecided_for_two_seconds_is_202_and_may_still_fail_visibly() {
    let two_seconds = Settings {
        hold_wait: Duration::from_secs(2),
        ..settings()
    };
    let mut world = World::asleep(two_seconds).await;
    world.wake();
    assert_eq!(world.request("POST", "/wallet/2").send().await.status, 201);
    world.ledger.set(LedgerMode::Hangs);
    let started = Instant::now();
    let answer = world
        .request("POST", "/buy/2")
        .key("k")
        .json(json!({"fiat_amount": 30}))
        .send()
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (202, &json!("pending"))
    );
    assert!(started.elapsed() >= Duration::from_secs(2));
    // What follows waits for the store's thread, whose time is real.
    tokio::time::resume();
    world.ledger.set(LedgerMode::Works);
    world.until(answer.order_id(), OrderState::Failed).await;
    let again = world
        .request("POST", "/buy/2")
        .key("k")
        .json(json!({"fiat_amount": 30}))
        .send()
        .await;
    assert_eq!(
        (again.status.as_u16(), again.replayed()),
        (202, true),
        "a replay keeps its answer"
    );
    world.mailbox.mail(answer.order_id()).await;
    assert_eq!(world.mailbox.count(), 1, "what was promised is told");
}

/// Nothing can be promised from now on.
const NO_PROMISES: &str = "CREATE TRIGGER no_promises BEFORE UPDATE OF promised ON wallet_orders WHEN NEW.promised
    BEGIN SELECT RAISE(ABORT, 'not now'); END";

#[tokio::test]
async fn whoever_can_repeat_a_request_is_promised_nothing_that_cannot_be_recorded() {
    let mut world = World::awake().await;
    assert_eq!(world.request("POST", "/wallet/2").send().await.status, 201);
    world.crash(impatient()).await;
    world.execute(NO_PROMISES);
    let buy = async |world: &World| {
        let buy = world.request("POST", "/buy/2").key("k");
        buy.json(json!({"fiat_amount": 30})).send().await
    };
    let unknown = buy(&world).await;
    let said = (unknown.status.as_u16(), &unknown.body["code"]);
    assert_eq!(
        said,
        (503, &json!("unavailable")),
        "the order is stored, and was looked at"
    );
    world.crash(settings()).await;
    let decided = buy(&world).await;
    assert_eq!(
        (decided.status.as_u16(), decided.replayed()),
        (423, true),
        "its hold is asked for"
    );
    world.wake();
    assert_eq!(buy(&world).await.status, 423);
    assert_eq!(world.mailbox.count(), 0, "it was refused to their face");
}

#[tokio::test]
async fn an_order_without_a_key_whose_promise_cannot_be_recorded_is_accepted_all_the_same() {
    let mut world = World::awake().await;
    world.with_600().await;
    world.crash(impatient()).await;
    world.execute(NO_PROMISES);
    let answer = world.post("/buy/2", json!({"fiat_amount": 30})).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (202, &json!("pending")),
        "who hears that there is no order orders again"
    );
    let id = answer.order_id();
    assert!(!world.order(id).await.saga.promised, "it could not be recorded");
    world.execute("DROP TRIGGER no_promises");
    world.crash(settings()).await;
    world.wake();
    world.mailbox.mail(id).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn a_result_for_an_order_of_a_newer_program_is_no_dead_letter() {
    let world = World::awake().await;
    world.with_600().await;
    for (newer, as_it_was) in [
        ("asset = 'NEW'", "asset = 'BTC'"),
        ("definition = 999", "definition = 1"),
    ] {
        world.exchanger.set(Venue::IsSilent);
        let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
        world.execute(&format!("UPDATE wallet_orders SET {newer} WHERE order_id = {id}"));
        let code = FailureCode::VenueRejected;
        let detail = String::new();
        let result = StepResult::Failure { code, detail };
        world
            .publish(message(id, Step::Exchange, Status::Failed, Some(result)))
            .await;
        // Behind it, so that it was looked at before.
        let buried = world.dead_letters().len() + 1;
        world.publish(message(id, Step::Release, Status::Done, None)).await;
        world.until_buried(buried).await;
        world.execute(&format!("UPDATE wallet_orders SET {as_it_was} WHERE order_id = {id}"));
        world.exchanger.set(Venue::Fails(FailureCode::VenueRejected));
        world.exchanger.resolve(id).await;
        world.until(id, OrderState::Failed).await;
        assert_eq!(world.dead_letters().len(), buried, "only the nonsense");
    }
    assert_eq!(world.wallet(), ("600".to_owned(), "0".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn strangers_and_nonsense_move_nothing_and_do_not_stop_the_queue() {
    let world = World::awake().await;
    world.with_600().await;
    world.exchanger.set(Venue::IsSilent);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let failure = || {
        Some(StepResult::Failure {
            code: FailureCode::VenueRejected,
            detail: String::new(),
        })
    };
    let done = |step, result| message(id, step, Status::Done, result);
    let strange = [
        message(order_id(999), Step::Exchange, Status::Failed, failure()),
        done(Step::Exchange, Some(StepResult::Reversed)),
        done(Step::Hold, None),
        done(Step::Release, None),
        message(id, Step::Exchange, Status::Accepted, None),
        contracts::messages::Message {
            schema_version: 2,
            ..message(id, Step::Exchange, Status::Failed, failure())
        },
    ];
    let early = [
        message(id, Step::Withdraw, Status::Failed, failure()),
        done(Step::Reverse, Some(StepResult::Reversed)),
        message(id, Step::Withdraw, Status::Unresolved, None),
        done(Step::Notify, Some(StepResult::Notified)),
    ];
    let dead = strange.len();
    for message in strange.into_iter().chain(early) {
        world.publish(message).await;
    }
    world.exchanger.set(Venue::Fails(FailureCode::VenueRejected));
    world.exchanger.resolve(id).await;
    let order = world.until(id, OrderState::Failed).await;
    assert_eq!(order.revision, 4, "placed, held, failed at the venue, released");
    assert_eq!(world.dead_letters().len(), dead, "{:?}", world.dead_letters());
    world.everything_is_explained();
}

#[tokio::test]
async fn an_order_whose_command_will_never_be_taken_is_stuck_and_not_forgotten() {
    let world = World::awake().await;
    world.with_600().await;
    world.exchanger.set(Venue::IsSilent);
    let by_hand = ExchangeCommand {
        order_id: order_id(1),
        acquirer_user_id: UserId::try_new(2).unwrap(),
        side: Side::Buy,
        asset: Asset::BTC,
        currency: Asset::USD,
        amount: Amount::parse("29", Asset::USD).unwrap(),
        compensate: false,
    };
    world.exchanger.submit(vec![by_hand]).await.unwrap();
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let from = Stage::Exchanging;
    world.until(id, OrderState::Stuck { from }).await;
    assert_eq!(
        world.wallet(),
        ("570".to_owned(), "0".to_owned()),
        "the hold stands until an operator decides"
    );
}
