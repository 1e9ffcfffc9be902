//! Orders that were under way when this version was installed: their names have no installation, and they come to their end
//! like all others. And a simulated venue whose books an earlier version made.

use std::sync::Arc;
use std::time::Duration;

use contracts::clients::Side;
use contracts::messages::{FailureCode, Step, StepResult};
use contracts::operators::{Retried, RulingOutcome, VenueVerdict};
use contracts::time::later;
use contracts::{Asset, ManualClock, ServiceName};
use exchanger::ports::{Answer, Limit, Venue as _, VenueOrder};
use exchanger::venue::simulated::{Conduct, Execution, Market, ScriptedManners, SimulatedVenue};
use jiff::Timestamp;
use storage::commands::{Acceptance, NewCommand, State};
use storage::migrations::Migrations;

use crate::rulings::{instruction, rule, until_in_doubt};
use crate::scene::{Scene, btc, buy, exchange, name, order, trade, usd};

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

/// The simulated venue's books as an earlier version made them.
const BOOKS: &str = "
CREATE TABLE simulated_venue_orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    client_order_id TEXT NOT NULL UNIQUE,
    side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    rejection TEXT,
    fills TEXT NOT NULL,
    placed_at INTEGER NOT NULL,
    visible_from INTEGER NOT NULL
) STRICT;
";
const ENTRIES: &str = r#"
INSERT INTO simulated_venue_orders VALUES
    (4, 'cambist-1-exchange-1', 'buy', NULL,
     '[{"quantity":{"amount":"3","asset":"BTC"},"price":"10","fee":{"amount":"0","asset":"USD"}}]', 5, 5),
    (7, 'cambist-2-exchange-1', 'sell', 'no', '[]', 6, 6);
"#;

#[tokio::test]
async fn what_a_simulated_venue_executed_before_the_upgrade_it_answers_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("venue.db");
    let mut before = rusqlite::Connection::open(&path).unwrap();
    let schema = Migrations::new(ServiceName::Exchanger).then("simulated_venue", BOOKS);
    storage::sqlite::migrate(&mut before, &[schema], Timestamp::UNIX_EPOCH).unwrap();
    before.execute_batch(ENTRIES).unwrap();
    drop(before);

    let clock = Arc::new(ManualClock::new("2026-01-01T12:00:00Z".parse().unwrap()));
    let manners = Arc::new(ScriptedManners::new(Conduct::Fill));
    let venue = SimulatedVenue::try_open(&path, name(), Market::default(), manners, clock.clone()).unwrap();
    let before: Vec<(i64, String)> = executions(&venue).await;
    assert_eq!(before, [(4, NAME.to_owned())]);
    let order = |name: &str| VenueOrder {
        client_order_id: name.parse().unwrap(),
        side: Side::Buy,
        base: Asset::BTC,
        quote: Asset::USD,
        limit: Limit::Spend(usd("60")),
        expires_at: later(contracts::Clock::now(&*clock), Duration::from_secs(5)),
    };
    let Answer::Done(fills) = venue.place(&order(NAME)).await else {
        panic!("it had been executed");
    };
    assert_eq!(fills[0].quantity, btc("3"), "as it was then");
    let refused = venue.place(&order("cambist-2-exchange-1")).await;
    assert_eq!(
        refused,
        Answer::Rejected {
            reason: "no".to_owned()
        }
    );
    assert!(matches!(
        venue.place(&order("cambist-3-exchange-1")).await,
        Answer::Done(_)
    ));
    let number = executions(&venue).await[1].0;
    assert!(number > 7, "{number} was used before");
}

async fn executions(venue: &SimulatedVenue) -> Vec<(i64, String)> {
    let executions = venue.executions(0, 10).await.unwrap();
    let fact = |execution: Execution| (execution.number, execution.client_order_id.to_string());
    executions.into_iter().map(fact).collect()
}
