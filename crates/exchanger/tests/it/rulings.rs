//! Rulings: what operators may say about an attempt, and that of a ruling and an answer exactly one is booked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::{FailureCode, Step, StepResult};
use contracts::operators::{Instruction, ReportedFill, RulingOutcome, VenueRuling, VenueVerdict};
use exchanger::domain::progress::{AttemptState, Progress};
use exchanger::domain::ruling;
use exchanger::ports::{Answer, ClientOrderId, Venue, VenueName, VenueOrder};
use exchanger::venue::simulated::SimulatedVenue;
use exchanger::{Dependencies, Service, Settings};
use jiff::Timestamp;
use storage::commands::{CommandKey, Fencing, Record, Settlement, Standing, State};
use tokio::sync::Notify;

use crate::books::Mood;
use crate::scene::{INSTALLATION, Scene, TIMES, btc, buy, client_order_id, exchange, order, price, trade, usd};

pub(crate) fn instruction() -> Instruction {
    Instruction {
        operator: "operator:ann".to_owned(),
        reason: "their statement".to_owned(),
    }
}

pub(crate) async fn rule(scene: &Scene, attempt: &str, verdict: VenueVerdict) -> RulingOutcome {
    let ruling = VenueRuling {
        order_id: order(1),
        attempt: attempt.to_owned(),
        verdict,
        instruction: instruction(),
    };
    scene.client().rule(ruling).await.unwrap()
}

/// The venue falls silent, and stays so until the saga has heard of it; with the name of the attempt in doubt.
pub(crate) async fn until_in_doubt(scene: &Scene, key: CommandKey) -> String {
    scene.manners.set_silent(true);
    for _ in 0..100 {
        while scene.try_work(key).await {}
        let standing = scene.store.standing(key).await.unwrap().unwrap();
        if standing.is_in_doubt() {
            return ruling::attempt_of(&standing).unwrap();
        }
        scene.clock.advance(Duration::from_secs(1));
    }
    panic!("nobody is told of the silence");
}

fn executed(quantity: &str, fee: &str) -> VenueVerdict {
    VenueVerdict::Executed {
        fills: vec![ReportedFill {
            quantity: btc(quantity),
            price: price("10"),
            fee: usd(fee),
        }],
        venue_reference: "V-1".to_owned(),
    }
}

fn verdicts() -> [VenueVerdict; 2] {
    [VenueVerdict::NotExecuted {}, executed("2.9", "0.1")]
}

const NAME: &str = "cambist-5eed0001-1-exchange-1";

fn standing(attempt: AttemptState, state: State, missing_reported: bool) -> Standing {
    let command = buy(1, "30");
    let progress = Progress::new(&command, INSTALLATION, Timestamp::UNIX_EPOCH, None);
    Standing {
        record: Record {
            key: exchange(1),
            content: serde_json::to_string(&command).unwrap(),
            progress: serde_json::to_string(&progress.with_last(|last| last.state = attempt)).unwrap(),
            state,
            result: None,
        },
        tries: 3,
        last_reason: None,
        answer_missing_since: None,
        missing_reported,
        next_attempt_at: Timestamp::UNIX_EPOCH,
        acts: Vec::new(),
    }
}

#[test]
fn only_an_attempt_in_doubt_is_ruled_on() {
    let ruled = |standing: &Standing, verdict: &VenueVerdict| {
        ruling::rule(standing, client_order_id(1, Step::Exchange, 1), verdict)
    };
    let rejected = AttemptState::Rejected {
        reason: "no".to_owned(),
    };
    for verdict in verdicts() {
        for (state, reported) in [(State::Open, true), (State::Dead, false)] {
            let progress = ruled(&standing(AttemptState::Pending, state, reported), &verdict).unwrap();
            let (expected, fills) = match verdict {
                VenueVerdict::NotExecuted {} => (AttemptState::RuledOut, 0),
                VenueVerdict::Executed { .. } => (AttemptState::Done, 1),
            };
            assert_eq!(
                (&progress.last().unwrap().state, progress.fills.len()),
                (&expected, fills)
            );
            for (known, told) in [
                (AttemptState::Done, "the venue executed it"),
                (rejected.clone(), "the venue refused it"),
                (AttemptState::Absent, "the venue never had it"),
                (AttemptState::RuledOut, "not executed"),
            ] {
                let refused = ruled(&standing(known, state, reported), &verdict).unwrap_err();
                assert!(refused.contains(told), "{refused}");
            }
        }
        for (state, reported) in [(State::Open, false), (State::Done, true), (State::Failed, true)] {
            let refused = ruled(&standing(AttemptState::Pending, state, reported), &verdict).unwrap_err();
            assert!(refused.contains(state.as_str()), "{refused}");
        }
        for (step, attempt) in [(Step::Exchange, 2), (Step::Reverse, 1)] {
            let other = client_order_id(1, step, attempt);
            let in_doubt = standing(AttemptState::Pending, State::Open, true);
            let refused = ruling::rule(&in_doubt, other, &verdict).unwrap_err();
            assert!(refused.contains(NAME), "{refused}");
        }
    }
}

#[test]
fn nothing_beyond_the_order_and_nothing_senseless_is_ruled_to_be_executed() {
    let in_doubt = standing(AttemptState::Pending, State::Open, true);
    let ruled = |verdict| ruling::rule(&in_doubt, client_order_id(1, Step::Exchange, 1), &verdict);
    assert!(ruled(executed("3", "0")).is_ok(), "the whole of it");
    for (quantity, fee) in [
        ("3.00000001", "0"),
        ("3", "0.01"),
        ("0", "0"),
        ("-1", "0"),
        ("1", "-0.01"),
    ] {
        let refused = ruled(executed(quantity, fee)).unwrap_err();
        assert!(refused.contains("the fills cannot be this order's"), "{refused}");
    }
    let mut unreadable = standing(AttemptState::Pending, State::Dead, false);
    unreadable.record.progress = "{".to_owned();
    let refused = ruling::rule(&unreadable, client_order_id(1, Step::Exchange, 1), &executed("3", "0"));
    assert!(refused.unwrap_err().contains("cannot be read"));
}

#[tokio::test]
async fn a_ruling_is_answered_as_before_and_another_one_contradicts_it() {
    let [first, second] = [verdicts(), verdicts()];
    for (verdict, other) in first.into_iter().zip(second.into_iter().rev()) {
        let scene = Scene::new();
        scene.order(buy(1, "30")).await;
        assert_eq!(until_in_doubt(&scene, exchange(1)).await, NAME);
        let replayed = |replayed| RulingOutcome::Recorded { replayed };
        assert_eq!(rule(&scene, NAME, verdict.clone()).await, replayed(false));
        for _ in 0..2 {
            assert_eq!(rule(&scene, NAME, verdict.clone()).await, replayed(true));
            let contradicted = rule(&scene, NAME, other.clone()).await;
            assert!(
                matches!(contradicted, RulingOutcome::Contradicted { .. }),
                "{contradicted:?}"
            );
            assert_ended_by(&scene, &verdict).await;
        }
    }
}

#[tokio::test]
async fn a_ruling_that_makes_no_sense_changes_nothing() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    until_in_doubt(&scene, exchange(1)).await;
    let before = scene.record(exchange(1)).await;
    let many = |count: usize, venue_reference: &str| VenueVerdict::Executed {
        fills: vec![
            ReportedFill {
                quantity: btc("0.001"),
                price: price("10"),
                fee: usd("0"),
            };
            count
        ],
        venue_reference: venue_reference.to_owned(),
    };
    let invalid = [
        ("cambist-1", VenueVerdict::NotExecuted {}),
        ("cambist-5eed0001-2-exchange-1", VenueVerdict::NotExecuted {}),
        (NAME, many(0, "V-1")),
        (NAME, many(1_001, "V-1")),
        (NAME, many(1, "")),
        (NAME, many(1, "V\n1")),
        (NAME, many(1, &"V".repeat(129))),
    ];
    for (attempt, verdict) in invalid {
        let ruled = rule(&scene, attempt, verdict).await;
        assert!(matches!(ruled, RulingOutcome::Invalid { .. }), "{ruled:?}");
    }
    let unknown = rule(&scene, "cambist-5eed0001-1-reverse-1", VenueVerdict::NotExecuted {}).await;
    assert_eq!(unknown, RulingOutcome::Unknown);
    assert_eq!(scene.record(exchange(1)).await, before);
    let most = rule(&scene, NAME, many(1_000, &"V".repeat(128))).await;
    assert_eq!(most, RulingOutcome::Recorded { replayed: false });
}

/// By the verdict and by nothing else: the books have what it says, once.
async fn assert_ended_by(scene: &Scene, verdict: &VenueVerdict) {
    let end = scene.finish(exchange(1)).await;
    match verdict {
        VenueVerdict::Executed { .. } => {
            assert_eq!(trade(end).filled, btc("2.9"));
            assert_eq!(scene.balances(), ["0.9", "0", "0", "2.9"]);
        }
        VenueVerdict::NotExecuted {} => {
            let StepResult::Failure { code, .. } = end else {
                panic!("{end:?}");
            };
            assert_eq!(code, FailureCode::NotExecuted);
            assert_eq!(
                scene.books.transfers(order(1)).len(),
                1,
                "only the hold, to be released"
            );
        }
    }
}

/// The first claim's answer is on disk before it is booked: no ruling comes between, and no answer is needed any more.
#[tokio::test]
async fn what_a_worker_booked_before_it_died_cannot_be_ruled_on_and_ends_without_the_venue() {
    for (mood, booked) in [(Mood::BooksAndHangs, 3), (Mood::Hangs, 1)] {
        let scene = Scene::new();
        scene.order(buy(1, "30")).await;
        let claimed = scene.claim(exchange(1)).await;
        scene.books.set(mood);
        tokio::select! {
            settlement = scene.handle(claimed) => panic!("it survived: {settlement:?}"),
            () = scene.books.reached.notified() => {}
        }
        scene.manners.set_silent(true);
        assert_eq!(scene.books.transfers(order(1)).len(), booked);
        // While the ledger is out of reach the command stays open for long, and nothing can be ruled all the same.
        scene.books.set(Mood::Overloaded);
        for _ in 0..3 {
            for verdict in verdicts() {
                let ruled = rule(&scene, NAME, verdict).await;
                let RulingOutcome::Contradicted { detail } = ruled else {
                    panic!("{ruled:?}");
                };
                assert!(detail.contains("the venue executed it"), "{detail}");
            }
            scene.clock.advance(TIMES.stuck_after);
            while scene.try_work(exchange(1)).await {}
        }
        scene.books.set(Mood::Fine);
        assert_eq!(trade(scene.finish(exchange(1)).await).filled, btc("3"));
        assert_eq!(scene.balances(), ["0", "0", "0", "3"]);
    }
}

/// A venue whose answers to orders are held back on their way.
struct Held {
    venue: SimulatedVenue,
    executed: Notify,
    go_on: Notify,
}

#[async_trait]
impl Venue for Held {
    fn name(&self) -> &VenueName {
        self.venue.name()
    }

    async fn place(&self, order: &VenueOrder) -> Answer {
        let answer = self.venue.place(order).await;
        self.executed.notify_one();
        self.go_on.notified().await;
        answer
    }

    async fn find(&self, id: &ClientOrderId) -> Answer {
        self.venue.find(id).await
    }
}

#[tokio::test]
async fn an_answer_that_comes_to_its_worker_after_the_ruling_is_booked_by_nobody() {
    for verdict in verdicts() {
        let scene = Scene::new();
        let held = Arc::new(Held {
            venue: scene.venue.clone(),
            executed: Notify::new(),
            go_on: Notify::new(),
        });
        let patient = Service::new(Dependencies {
            venue: held.clone(),
            settings: Settings {
                venue_timeout: Duration::from_secs(3_600),
                ..scene.dependencies.settings
            },
            ..scene.dependencies.clone()
        });
        scene.order(buy(1, "30")).await;
        let claimed = scene.claim(exchange(1)).await;
        let first_claim = claimed.epoch;
        let late = tokio::spawn(async move { patient.handler().handle(claimed).await });
        held.executed.notified().await;
        scene.clock.advance(TIMES.lease);
        assert_eq!(until_in_doubt(&scene, exchange(1)).await, NAME);
        let ruled = rule(&scene, NAME, verdict.clone()).await;
        assert_eq!(ruled, RulingOutcome::Recorded { replayed: false });
        // Now it has the venue's word that everything was filled, and the ruling says something else.
        held.go_on.notify_one();
        let settlement = late.await.unwrap();
        assert!(matches!(settlement, Settlement::Postponed { .. }), "{settlement:?}");
        assert_eq!(scene.books.transfers(order(1)).len(), 1, "only the hold");
        assert_eq!(
            scene.settle(exchange(1), first_claim, settlement).await,
            Fencing::Fenced
        );
        assert_ended_by(&scene, &verdict).await;
        assert_eq!(scene.executions().await.len(), 1, "the venue did execute it");
    }
}
