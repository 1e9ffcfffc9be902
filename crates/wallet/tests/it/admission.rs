//! No more orders are accepted than can be under way, and who is turned away is turned away unseen.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use contracts::Clock as _;
use contracts::messages::FailureCode;
use serde_json::json;
use wallet::Settings;
use wallet::domain::{Fact, OrderState};
use wallet::ports::OrderStore as _;

use crate::samples::{event, exchange_failed};
use crate::world::{PATIENCE, Venue, World, settings};

fn room_for(orders: usize) -> Settings {
    Settings {
        max_in_flight: NonZeroUsize::new(orders).unwrap(),
        ..settings()
    }
}

async fn world_with_room_for(orders: usize) -> World {
    let mut world = World::asleep(room_for(orders)).await;
    world.wake();
    world.with_600().await;
    world
}

#[tokio::test]
async fn a_full_process_turns_orders_away_before_it_looks_at_token_or_body() {
    let world = world_with_room_for(1).await;
    world.exchanger.set(Venue::IsSilent);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    assert_eq!(world.in_flight(), 1);
    let stranger = world
        .request("POST", "/sell/2")
        .without("authorization")
        .text("not JSON");
    let answer = stranger.send().await;
    assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(world.get("/wallet/2").await.status, 200, "reading goes on");

    world.exchanger.set(Venue::Fails(FailureCode::VenueRejected));
    world.exchanger.resolve(id).await;
    world.until_idle().await;
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    world.until(id, OrderState::Failed).await;
}

#[tokio::test]
async fn a_place_comes_back_whatever_becomes_of_the_request() {
    let world = world_with_room_for(1).await;
    for _ in 0..3 {
        let refused = world.post("/buy/2", json!({"fiat_amount": 601})).await;
        assert_eq!(refused.status, 423);
        world.until_idle().await;
        assert_eq!(world.post("/buy/2", json!({"fiat_amount": 0})).await.status, 422);
        let stranger = world.request("POST", "/buy/2").without("authorization");
        assert_eq!(stranger.send().await.status, 401);
        assert_eq!(world.in_flight(), 0);
    }
}

#[tokio::test]
async fn a_replay_takes_no_second_place() {
    let world = world_with_room_for(2).await;
    world.exchanger.set(Venue::IsSilent);
    for _ in 0..5 {
        let request = world.request("POST", "/buy/2").key("k");
        assert_eq!(request.json(json!({"fiat_amount": 30})).send().await.status, 202);
        assert_eq!(world.in_flight(), 1);
    }
}

#[tokio::test]
async fn orders_of_the_process_before_count() {
    let mut world = world_with_room_for(2).await;
    world.exchanger.set(Venue::IsSilent);
    for _ in 0..2 {
        world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    }
    world.crash(room_for(2)).await;
    assert_eq!(world.in_flight(), 2);
    assert_eq!(world.post("/buy/2", json!({"fiat_amount": 30})).await.status, 503);
}

#[tokio::test]
async fn orders_that_end_in_other_processes_give_their_places_back_here() {
    let mut world = World::asleep(Settings {
        single_process: false,
        sweep_every: Duration::from_secs(60 * 60),
        ..room_for(1)
    })
    .await;
    world.wake();
    world.with_600().await;
    world.exchanger.set(Venue::IsSilent);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    assert_eq!(world.post("/buy/2", json!({"fiat_amount": 30})).await.status, 503);

    // As another process would, of which this one hears nothing.
    let events = vec![(id, event(exchange_failed())), (id, event(Fact::Released))];
    let now = world.clock.now();
    world.store().advance(now, now, events).await.unwrap();
    let ended = Instant::now();
    while world.post("/buy/2", json!({"fiat_amount": 30})).await.status != 202 {
        assert!(ended.elapsed() < PATIENCE, "there is room");
    }
}
