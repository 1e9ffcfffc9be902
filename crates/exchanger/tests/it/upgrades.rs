//! Orders that were under way when this version was installed: their names have no installation, and they come to their end
//! like all others.

use contracts::messages::{FailureCode, Step, StepResult};
use contracts::operators::{Retried, RulingOutcome, VenueVerdict};
use exchanger::venue::simulated::Conduct;
use storage::commands::{Acceptance, NewCommand, State};

use crate::rulings::{instruction, rule, until_in_doubt};
use crate::scene::{Scene, btc, buy, exchange, order, trade};

/// As it was written by versions that did not name orders after their installation.
const NAME: &str = "cambist-1-exchange-1";
const PROGRESS: &str = r#"{"attempts":[{"client_order_id":"cambist-1-exchange-1","expires_at":"2026-01-01T12:00:05Z","sendable_in":1,"state":{"kind":"pending"}}]}"#;

async fn given_an_order_of_before() -> Scene {
    let scene = Scene::new();
    let command = buy(1, "30");
    scene
        .books
        .hold(command.order_id, command.acquirer_user_id, command.amount);
    let stored = NewCommand {
        key: exchange(1),
        content: serde_json::to_string(&command).unwrap(),
        progress: PROGRESS.to_owned(),
    };
    let now = contracts::Clock::now(&*scene.clock);
    let accepted = scene.store.accept(now, vec![stored], false).await.unwrap();
    assert_eq!(accepted, [Acceptance::New(None)]);
    scene
}

/// Executed once, under one of the names of before, and booked.
async fn assert_bought_as(scene: &Scene, name: &str) {
    assert_eq!(trade(scene.finish(exchange(1)).await).filled, btc("3"));
    let executions = scene.executions().await;
    let names: Vec<String> = executions
        .iter()
        .map(|execution| execution.client_order_id.to_string())
        .collect();
    assert_eq!(names, [name]);
    assert_eq!(scene.balances(), ["0", "0", "0", "3"]);
}

#[tokio::test]
async fn what_was_not_sent_before_the_upgrade_is_sent_after_it() {
    let scene = given_an_order_of_before().await;
    assert_bought_as(&scene, NAME).await;
}

#[tokio::test]
async fn what_was_executed_before_the_upgrade_is_found_and_not_sent_again() {
    let scene = given_an_order_of_before().await;
    let conduct = Conduct::ExecuteThenTimeOut;
    scene.manners.set(order(1), Step::Exchange, 1, conduct);
    drop(scene.handle(scene.claim(exchange(1)).await).await);
    assert_bought_as(&scene, NAME).await;
}

#[tokio::test]
async fn what_the_venue_never_had_is_tried_again_under_the_next_name() {
    let scene = given_an_order_of_before().await;
    let conduct = Conduct::TimeOutWithoutExecuting;
    scene.manners.set(order(1), Step::Exchange, 1, conduct);
    assert_bought_as(&scene, "cambist-1-exchange-2").await;
}

#[tokio::test]
async fn an_attempt_of_before_the_upgrade_can_be_ruled_on() {
    let scene = given_an_order_of_before().await;
    assert_eq!(until_in_doubt(&scene, exchange(1)).await, NAME);
    let ruled = rule(&scene, NAME, VenueVerdict::NotExecuted {}).await;
    assert_eq!(ruled, RulingOutcome::Recorded { replayed: false });
    let end = scene.finish(exchange(1)).await;
    assert!(
        matches!(
            end,
            StepResult::Failure {
                code: FailureCode::NotExecuted,
                ..
            }
        ),
        "{end:?}"
    );
}

#[tokio::test]
async fn what_a_version_in_between_gave_up_on_is_taken_up_by_a_retry() {
    let scene = given_an_order_of_before().await;
    let claimed = scene.claim(exchange(1)).await;
    let dead = storage::commands::Settlement::Dead {
        error: "the stored record cannot be read: not a client order id".to_owned(),
    };
    scene.settle(exchange(1), claimed.epoch, dead).await;
    assert_eq!(scene.record(exchange(1)).await.state, State::Dead);
    let retried = scene.client().retry(order(1), Step::Exchange, instruction()).await;
    assert_eq!(retried.unwrap(), Retried::Reopened);
    // Nobody can know that it was not sent, so the venue has to deny it first.
    assert_bought_as(&scene, "cambist-1-exchange-2").await;
}
