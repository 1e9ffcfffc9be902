//! What exchanger does with its stores: an order goes its whole way, what others hear of it and what an auditor reads; and
//! which installation the database is of.

use contracts::clients::Submission;
use contracts::messages::{FailureCode, Message, Queue, Status, Step, StepResult};
use contracts::operators::{RulingOutcome, VenueVerdict};
use exchanger::store::audit::TradeFact;
use exchanger::venue::simulated::Conduct;
use storage::commands::State;
use storage::outbox::Destination;

use super::a_fresh_store;
use crate::rulings::{rule, until_in_doubt};
use crate::scene::{Scene, btc, buy, exchange, order, reverse, sell, trade, undo};

/// Where messages went and what they said, and forgets them.
fn said(scene: &mut Scene) -> Vec<(Destination, i64, Step, Status)> {
    let to_fact = |row: storage::outbox::OutboxRow| {
        let message: Message = serde_json::from_str(&row.payload).unwrap();
        (row.destination, message.order_id.get(), message.step, message.status)
    };
    scene.published().into_iter().map(to_fact).collect()
}

const TO_WORKER: Destination = Destination::Queue(Queue::ExchangeOrders);
const TO_SAGAS: Destination = Destination::Queue(Queue::SagaSteps);

#[tokio::test]
async fn an_order_wakes_its_worker_and_its_end_goes_to_the_sagas() {
    let given = a_fresh_store().await;
    let mut scene = Scene::on(given.stores());
    scene.order(buy(1, "30")).await;
    assert_eq!(said(&mut scene), [(TO_WORKER, 1, Step::Exchange, Status::Accepted)]);
    let bought = trade(scene.finish(exchange(1)).await);
    assert_eq!(bought.filled, btc("3"));
    assert_eq!(said(&mut scene), [(TO_SAGAS, 1, Step::Exchange, Status::Done)]);
    assert_eq!(scene.balances(), ["0", "0", "0", "3"]);
}

#[tokio::test]
async fn an_order_whose_answer_got_lost_is_executed_and_booked_once() {
    let given = a_fresh_store().await;
    let scene = Scene::on(given.stores());
    scene
        .manners
        .set(order(1), Step::Exchange, 1, Conduct::ExecuteThenTimeOut);
    scene.order(sell(1, "1.5")).await;
    // One worker dies with the order sent, and the next one is told what became of it.
    drop(scene.handle(scene.claim(exchange(1)).await).await);
    trade(scene.finish(exchange(1)).await);
    assert_eq!(scene.executions().await.len(), 1);
    assert_eq!(scene.balances(), ["15", "0", "0", "0"]);
}

#[tokio::test]
async fn of_an_attempt_in_doubt_a_ruling_counts_once() {
    let given = a_fresh_store().await;
    let scene = Scene::on(given.stores());
    scene.order(buy(1, "30")).await;
    let attempt = until_in_doubt(&scene, exchange(1)).await;
    for replayed in [false, true] {
        let ruled = rule(&scene, &attempt, VenueVerdict::NotExecuted {}).await;
        assert_eq!(ruled, RulingOutcome::Recorded { replayed });
    }
    let StepResult::Failure { code, .. } = scene.finish(exchange(1)).await else {
        panic!("it was not executed");
    };
    assert_eq!(code, FailureCode::NotExecuted);
    let standing = scene.store.standing(exchange(1)).await.unwrap().unwrap();
    assert_eq!(standing.acts.len(), 1, "{standing:?}");
}

#[tokio::test]
async fn an_auditor_reads_each_trade_of_the_orders_asked_for_and_how_it_ended() {
    let given = a_fresh_store().await;
    let scene = Scene::on(given.stores());
    for number in [3, 4, 9] {
        scene.order(buy(number, "30")).await;
    }
    let traded = scene.finish(exchange(3)).await;
    let submitted = scene.submit(undo(3, "3")).await;
    assert!(matches!(submitted, Submission::Accepted { .. }), "{submitted:?}");
    let reversed = scene.finish(reverse(3)).await;
    let fact = |number, step, result| TradeFact {
        order_id: order(number),
        step,
        result,
    };
    let all = [
        fact(3, Step::Exchange, Some(traded)),
        fact(3, Step::Reverse, Some(reversed)),
        fact(4, Step::Exchange, None),
        fact(9, Step::Exchange, None),
    ];
    assert_eq!(given.facts(1, 100).await, all);
    assert_eq!(given.facts(3, 4).await, all[..3]);
    assert_eq!(given.facts(9, 9).await, all[3..]);
    assert_eq!(given.facts(5, 8).await, []);
    assert_eq!(given.facts(9, 3).await, []);
    assert_eq!(scene.record(exchange(9)).await.state, State::Open);
}

#[tokio::test]
async fn all_who_ask_at_once_hear_of_one_installation_and_another_database_is_another_one() {
    let given = a_fresh_store().await;
    let (one, two) = (given.stores().installation, given.beside().await.installation);
    let (first, second) = tokio::join!(one.id(), two.id());
    assert_eq!(first, second);
    assert_eq!(one.id().await, first, "remembered");
    let other = a_fresh_store().await.stores().installation.id().await;
    assert_ne!(other.unwrap(), first.unwrap());
}
