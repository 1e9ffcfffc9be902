//! Death and stops at every point, and workers that come back from the dead: one execution, one booking, one end.

use std::time::Duration;

use contracts::Clock;
use contracts::messages::{Step, StepResult};
use exchanger::venue::simulated::Conduct;
use storage::commands::{Claimed, Fencing, Settlement};

use crate::books::Mood;
use crate::scene::{Scene, TIMES, btc, buy, exchange, order, trade};

/// Carries a claimed command out until it reaches the ledger, and dies there.
async fn die_at_the_ledger(scene: &Scene, claimed: Claimed, mood: Mood) {
    scene.books.set(mood);
    tokio::select! {
        settlement = scene.handle(claimed) => panic!("it survived: {settlement:?}"),
        () = scene.books.reached.notified() => {}
    }
    scene.books.set(Mood::Fine);
}

async fn assert_bought_once(scene: &Scene) {
    assert_eq!(trade(scene.finish(exchange(1)).await).filled, btc("3"));
    assert_eq!(scene.executions().await.len(), 1);
    assert_eq!(scene.balances(), ["0", "0", "0", "3"]);
}

#[tokio::test]
async fn death_before_the_order_is_sent_costs_time_only() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    drop(scene.claim(exchange(1)).await);
    assert_bought_once(&scene).await;
    // Nobody could know that it had not been sent, so that attempt had to be given up for the next one.
    assert_eq!(scene.executions().await[0].client_order_id.attempt, 2);
}

/// As a worker does that is stopped.
async fn hand_back(scene: &Scene, claimed: &Claimed) {
    let settlement = Settlement::Postponed {
        until: scene.clock.now(),
        reason: "stopped".to_owned(),
        answer_missing: false,
        progress: scene.service.handler().hand_back(claimed),
    };
    let settled = scene.settle(exchange(1), claimed.epoch, settlement).await;
    assert_eq!(settled, Fencing::Written);
}

#[tokio::test]
async fn stops_before_the_order_is_sent_cost_it_neither_time_nor_an_attempt() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    for _ in 0..3 {
        hand_back(&scene, &scene.claim(exchange(1)).await).await;
    }
    let settlement = scene.work(exchange(1)).await;
    assert!(matches!(settlement, Settlement::Finished { .. }), "{settlement:?}");
    assert_eq!(scene.executions().await[0].client_order_id.attempt, 1);
    assert_bought_once(&scene).await;
}

#[tokio::test]
async fn an_order_that_may_have_been_sent_is_asked_for_after_a_stop_and_not_sent_again() {
    let scene = Scene::new();
    let conduct = Conduct::ExecuteThenTimeOut;
    scene.manners.set(order(1), Step::Exchange, 1, conduct);
    scene.order(buy(1, "30")).await;
    // One worker dies after it sent the order; the next one is stopped before it begins.
    drop(scene.handle(scene.claim(exchange(1)).await).await);
    scene.clock.advance(TIMES.lease);
    let claimed = scene.claim(exchange(1)).await;
    assert_eq!(scene.service.handler().hand_back(&claimed), None);
    hand_back(&scene, &claimed).await;
    assert_bought_once(&scene).await;
}

#[tokio::test]
async fn death_between_the_venues_answer_and_the_booking_books_once() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    let claimed = scene.claim(exchange(1)).await;
    die_at_the_ledger(&scene, claimed, Mood::Hangs).await;
    assert_eq!(scene.executions().await.len(), 1);
    assert_eq!(scene.books.transfers(order(1)).len(), 1, "only the hold");
    assert_bought_once(&scene).await;
}

#[tokio::test]
async fn death_between_the_booking_and_its_answer_books_once() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    let claimed = scene.claim(exchange(1)).await;
    die_at_the_ledger(&scene, claimed, Mood::BooksAndHangs).await;
    assert_eq!(scene.books.transfers(order(1)).len(), 3, "booked, and nobody knows");
    assert_bought_once(&scene).await;
}

#[tokio::test]
async fn death_after_the_booking_and_before_the_settlement_books_once() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    let claimed = scene.claim(exchange(1)).await;
    let settlement = scene.handle(claimed).await;
    assert!(matches!(settlement, Settlement::Finished { .. }), "{settlement:?}");
    drop(settlement);
    assert_bought_once(&scene).await;
}

#[tokio::test]
async fn death_at_every_claim_in_a_row_still_ends() {
    let scene = Scene::new();
    scene
        .manners
        .set(order(1), Step::Exchange, 1, Conduct::ExecuteThenTimeOut);
    scene.order(buy(1, "30")).await;
    for _ in 0..10 {
        let claimed = scene.claim(exchange(1)).await;
        drop(scene.handle(claimed).await);
        scene.clock.advance(TIMES.lease);
    }
    assert_bought_once(&scene).await;
}

#[tokio::test]
async fn a_worker_that_slept_through_its_lease_sends_nothing() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    let asleep = scene.claim(exchange(1)).await;
    scene.clock.advance(TIMES.lease);
    let awake = scene.claim(exchange(1)).await;
    assert_eq!(awake.epoch, 2);
    // The sleeper's order has not been sent, but nobody else can know that.
    let settlement = scene.handle(awake).await;
    scene.settle(exchange(1), 2, settlement).await;
    let settlement = scene.handle(asleep).await;
    assert!(matches!(settlement, Settlement::Postponed { .. }), "{settlement:?}");
    assert_eq!(scene.settle(exchange(1), 1, settlement).await, Fencing::Fenced);
    assert_bought_once(&scene).await;
}

#[tokio::test]
async fn a_worker_that_died_at_the_ledger_and_comes_back_books_the_same() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    let claimed = scene.claim(exchange(1)).await;
    let zombie = claimed.clone();
    die_at_the_ledger(&scene, claimed, Mood::Hangs).await;
    assert_bought_once(&scene).await;
    // It goes on where it stood: with the venue's answer in its hands, on its way to the ledger.
    let settlement = scene.handle(zombie).await;
    assert_eq!(scene.settle(exchange(1), 1, settlement).await, Fencing::Fenced);
    assert_bought_once(&scene).await;
}

#[tokio::test]
async fn a_checkpoint_under_a_lost_claim_sends_nothing() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    // Long enough in the queue that its expiry has to be renewed first.
    scene.clock.advance(scene.rules.order_life);
    let zombie = scene.claim(exchange(1)).await;
    scene.store.release_leases(scene.clock.now()).await.unwrap();
    let awake = scene.claim(exchange(1)).await;
    let settlement = scene.handle(zombie).await;
    assert!(matches!(settlement, Settlement::Postponed { .. }), "{settlement:?}");
    assert_eq!(scene.executions().await.len(), 0);
    let settlement = scene.handle(awake).await;
    scene.settle(exchange(1), 2, settlement).await;
    assert_bought_once(&scene).await;
}

#[tokio::test]
async fn too_little_lease_postpones_the_order_to_the_next_claim_which_may_send_it() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    let claimed = scene.claim(exchange(1)).await;
    let left = scene.rules.shortest_life / 2;
    scene.clock.advance(TIMES.lease.saturating_sub(left));
    let settlement = scene.handle(claimed).await;
    assert!(
        matches!(
            &settlement,
            Settlement::Postponed {
                answer_missing: false,
                progress: Some(_),
                ..
            }
        ),
        "{settlement:?}"
    );
    scene.settle(exchange(1), 1, settlement).await;
    scene.clock.advance(Duration::from_secs(1));
    let settlement = scene.work(exchange(1)).await;
    assert!(
        matches!(
            settlement,
            Settlement::Finished {
                result: StepResult::Traded(_),
                ..
            }
        ),
        "{settlement:?}"
    );
    assert_eq!(
        scene.executions().await[0].client_order_id.attempt,
        1,
        "no attempt was given up"
    );
    assert!(scene.executions().await[0].executed_at <= scene.clock.now());
}
