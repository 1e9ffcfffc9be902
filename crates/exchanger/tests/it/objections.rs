//! A venue that answers is believed, whatever an operator says: a word stands only for an answer that cannot be had.

use std::sync::Arc;
use std::time::Duration;

use contracts::ManualClock;
use contracts::messages::{FailureCode, Step, StepResult};
use contracts::operators::{ReportedFill, RulingOutcome, VenueVerdict};
use contracts::time::later;
use exchanger::Rules;
use exchanger::domain::progress::Progress;
use exchanger::domain::ruling;
use exchanger::ports::{Answer, Fill};
use exchanger::venue::simulated::Conduct;
use jiff::Timestamp;
use storage::commands::{Record, Standing, State};

use crate::rulings::{rule, until_in_doubt};
use crate::scene::{INSTALLATION, Scene, TIMES, btc, buy, exchange, order, price, reverse, trade, undo, usd};

fn executed(quantity: &str) -> VenueVerdict {
    VenueVerdict::Executed {
        fills: vec![ReportedFill {
            quantity: btc(quantity),
            price: price("10"),
            fee: usd("0"),
        }],
        venue_reference: "V-1".to_owned(),
    }
}

/// A buy of 30 that expires at the epoch's fifth second.
fn standing(state: State) -> Standing {
    let expires_at = later(Timestamp::UNIX_EPOCH, Duration::from_secs(5));
    Standing {
        record: Record {
            key: exchange(1),
            content: serde_json::to_string(&buy(1, "30")).unwrap(),
            progress: serde_json::to_string(&Progress::new(&buy(1, "30"), INSTALLATION, expires_at, None)).unwrap(),
            state,
            result: None,
        },
        tries: 3,
        last_reason: None,
        answer_missing_since: None,
        missing_reported: true,
        next_attempt_at: Timestamp::UNIX_EPOCH,
        acts: Vec::new(),
    }
}

#[test]
fn what_each_answer_leaves_to_an_operators_word() {
    let done = |quantity: &str| {
        let fill = Fill {
            quantity: btc(quantity),
            price: price("10"),
            fee: usd("0"),
        };
        Answer::Done(vec![fill])
    };
    let words = || "words".to_owned();
    let rules = Rules::default();
    let proof = rules.proof_of_absence(later(Timestamp::UNIX_EPOCH, Duration::from_secs(5)));
    let before = later(Timestamp::UNIX_EPOCH, Duration::from_secs(11));
    // Whether "executed" and "not executed" may be said.
    let table = [
        (Answer::Unknown { reason: words() }, [true, true]),
        (Answer::Open, [false, false]),
        (Answer::Rejected { reason: words() }, [false, false]),
        (done("3"), [false, false]),
        (Answer::Done(Vec::new()), [false, false]),
        // More than was ordered: it will never be booked as it is, so people have to say what is.
        (done("3.1"), [true, false]),
        (Answer::NotFound { at: before }, [true, false]),
        (Answer::NotFound { at: proof }, [false, true]),
    ];
    for (answer, expected) in table {
        for (state, advice) in [(State::Open, "goes on"), (State::Dead, "tried again")] {
            let says = |verdict| ruling::objection(&standing(state), &verdict, answer.clone(), &rules);
            let objections = [says(executed("2.9")), says(VenueVerdict::NotExecuted {})];
            assert_eq!(objections.each_ref().map(Option::is_none), expected, "{answer:?}");
            let all_advise = objections.iter().flatten().all(|objection| objection.contains(advice));
            assert!(all_advise, "{objections:?}");
        }
    }
}

async fn assert_refused(scene: &Scene, name: &str, verdict: VenueVerdict, why: &str) {
    let ruled = rule(scene, name, verdict).await;
    let RulingOutcome::Contradicted { detail } = ruled else {
        panic!("{why}: {ruled:?}");
    };
    assert!(detail.contains(why), "{detail}");
}

#[tokio::test]
async fn a_venue_that_is_back_before_the_ruling_is_believed_and_its_fills_are_booked() {
    let scene = Scene::new();
    let conduct = Conduct::ExecuteThenTimeOut;
    scene.manners.set(order(1), Step::Exchange, 1, conduct);
    scene.order(buy(1, "30")).await;
    scene.work(exchange(1)).await;
    let name = until_in_doubt(&scene, exchange(1)).await;
    scene.manners.set_silent(false);
    let before = scene.record(exchange(1)).await;
    for verdict in [VenueVerdict::NotExecuted {}, executed("2.9")] {
        assert_refused(&scene, &name, verdict, "it executed the order").await;
    }
    assert_eq!(scene.record(exchange(1)).await, before);
    assert_eq!(trade(scene.finish(exchange(1)).await).filled, btc("3"));
    assert_eq!(scene.balances(), ["0", "0", "0", "3"]);
}

#[tokio::test]
async fn an_order_that_may_only_be_hidden_is_not_ruled_out_before_the_venues_clock_proves_it() {
    let noon: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let (venue_clock, clock) = (Arc::new(ManualClock::new(noon)), Arc::new(ManualClock::new(noon)));
    let scene = Scene::beside_a_venue_with(venue_clock.clone(), clock);
    let conduct = Conduct::TimeOutWithoutExecuting;
    scene.manners.set(order(1), Step::Exchange, 1, conduct);
    scene.order(buy(1, "30")).await;
    let name = until_in_doubt(&scene, exchange(1)).await;
    scene.manners.set_silent(false);
    let not_executed = || VenueVerdict::NotExecuted {};
    assert_refused(&scene, &name, not_executed(), "too little time has passed there").await;
    venue_clock.advance(TIMES.lease);
    assert_refused(&scene, &name, executed("2.9"), "it never had the order").await;
    for replayed in [false, true] {
        let ruled = rule(&scene, &name, not_executed()).await;
        assert_eq!(ruled, RulingOutcome::Recorded { replayed });
    }
    // What was recorded is answered as before, whatever the venue says by now.
    scene.manners.set_silent(true);
    let ruled = rule(&scene, &name, not_executed()).await;
    assert_eq!(ruled, RulingOutcome::Recorded { replayed: true });
    let StepResult::Failure { code, .. } = scene.finish(exchange(1)).await else {
        panic!("it was not executed");
    };
    assert_eq!(code, FailureCode::NotExecuted);
}

#[tokio::test]
async fn a_reversal_whose_order_is_hidden_is_not_sold_again_on_an_operators_word() {
    let noon: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let (venue_clock, clock) = (Arc::new(ManualClock::new(noon)), Arc::new(ManualClock::new(noon)));
    let scene = Scene::beside_a_venue_with(venue_clock.clone(), clock);
    scene.order(buy(1, "30")).await;
    scene.finish(exchange(1)).await;
    let hidden = Conduct::NotYetVisible(Duration::from_secs(4));
    scene.manners.set(order(1), Step::Reverse, 1, hidden);
    scene.submit(undo(1, "3")).await;
    scene.work(reverse(1)).await;
    let name = until_in_doubt(&scene, reverse(1)).await;
    scene.manners.set_silent(false);
    let not_executed = VenueVerdict::NotExecuted {};
    assert_refused(&scene, &name, not_executed, "it does not know the order yet").await;
    venue_clock.advance(Duration::from_secs(4));
    assert_eq!(scene.finish(reverse(1)).await, StepResult::Reversed);
    assert_eq!(scene.executions().await.len(), 2, "bought once, sold once");
}
