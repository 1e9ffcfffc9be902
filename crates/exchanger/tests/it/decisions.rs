//! The decision, question by question.

use std::time::Duration;

use contracts::messages::FailureCode;
use contracts::time::later;
use exchanger::Rules;
use exchanger::domain::decision::{Claim, Lesson, Plan, Question, learn, plan};
use exchanger::domain::progress::{AttemptState, Progress};
use exchanger::domain::totals::Violation;
use exchanger::ports::{Answer, Fill, Limit};
use jiff::Timestamp;

use crate::scene::{INSTALLATION, btc, buy, price, sell, undo, usd};

const RULES: Rules = Rules {
    order_life: Duration::from_secs(5),
    shortest_life: Duration::from_secs(1),
    engine_timeout: Duration::from_secs(5),
    clock_skew: Duration::from_secs(2),
    first_pause: Duration::from_millis(100),
    longest_pause: Duration::from_secs(5),
    max_attempts: 3,
    max_reverse_attempts: 5,
    reverse_pause: Duration::from_secs(1),
};

fn at(seconds: u64) -> Timestamp {
    later(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))
}

fn claim(epoch: i64, lease_until: u64) -> Claim {
    Claim {
        epoch,
        lease_until: at(lease_until),
        tries: 0,
    }
}

fn fresh() -> Progress {
    Progress::new(&buy(1, "30"), INSTALLATION, at(5), None)
}

fn filled(quantity: &str) -> Answer {
    Answer::Done(vec![Fill {
        quantity: btc(quantity),
        price: price("10"),
        fee: usd("0"),
    }])
}

fn learnt(answer: Answer, question: Question) -> Lesson {
    learn(&buy(1, "30"), fresh(), question, answer, 0, &RULES).unwrap()
}

#[test]
fn the_first_claim_sends_and_every_other_one_asks() {
    let first = plan(&buy(1, "30"), &fresh(), claim(1, 30), at(0), &RULES).unwrap();
    let Plan::Place(order) = first else {
        panic!("{first:?}");
    };
    assert_eq!((order.limit, order.expires_at), (Limit::Spend(usd("30")), at(5)));
    for epoch in [0, 2, 3] {
        let later = plan(&buy(1, "30"), &fresh(), claim(epoch, 30), at(0), &RULES).unwrap();
        assert_eq!(later, Plan::Find(order.client_order_id));
    }
}

#[test]
fn an_order_ends_before_the_claim_under_which_it_is_sent() {
    let plan = |lease, now| plan(&buy(1, "30"), &fresh(), claim(1, lease), at(now), &RULES).unwrap();
    let expiry = |plan| match plan {
        Plan::Store(progress) => progress.attempts[0].expires_at,
        other @ (Plan::Place(_) | Plan::Find(_) | Plan::Book | Plan::Fail { .. } | Plan::Later(_)) => {
            panic!("{other:?}")
        }
    };
    // The stored expiry is beyond the lease, or too near: it is renewed first, within the lease.
    assert_eq!(expiry(plan(4, 0)), at(4));
    assert_eq!(expiry(plan(30, 5)), at(10));
    assert_eq!(expiry(plan(30, 27)), at(30));
    // Less than the shortest life is left of the lease: the next claim, and only that, may send it.
    for (lease, now) in [(30, 30), (30, 31), (0, 0)] {
        let Plan::Later(progress) = plan(lease, now) else {
            panic!("{:?}", plan(lease, now));
        };
        assert_eq!(progress.attempts[0].sendable_in, 2);
        assert_eq!(progress.attempts[0].state, AttemptState::Pending);
    }
}

#[test]
fn knobs_that_contradict_each_other_do_not_keep_an_order_from_being_sent() {
    let rules = Rules {
        shortest_life: Duration::from_secs(60),
        ..RULES
    };
    let sent = plan(&buy(1, "30"), &fresh(), claim(1, 30), at(0), &rules).unwrap();
    assert!(matches!(sent, Plan::Place(_)), "{sent:?}");
}

#[test]
fn only_final_answers_and_proof_close_an_attempt() {
    let proof = RULES.proof_of_absence(at(5));
    assert_eq!(proof, at(12));
    let unknown = Answer::Unknown {
        reason: "a cable broke".to_owned(),
    };
    let open = [
        learnt(unknown, Question::Placed),
        learnt(Answer::Open, Question::Placed),
        learnt(Answer::Open, Question::Asked),
        learnt(Answer::NotFound { at: at(100) }, Question::Placed),
        learnt(Answer::NotFound { at: at(11) }, Question::Asked),
    ];
    for lesson in open {
        assert!(matches!(lesson, Lesson::Missing { .. }), "{lesson:?}");
    }
    let rejected = Answer::Rejected {
        reason: "no".to_owned(),
    };
    for (answer, question) in [
        (filled("3"), Question::Placed),
        (Answer::Done(Vec::new()), Question::Placed),
        (rejected, Question::Asked),
        (Answer::NotFound { at: proof }, Question::Asked),
    ] {
        let lesson = learnt(answer, question);
        assert!(matches!(lesson, Lesson::Closed(_)), "{lesson:?}");
    }
}

#[test]
fn what_is_missing_is_asked_for_again_no_later_than_its_absence_could_be_proven() {
    let lesson = learnt(Answer::NotFound { at: at(1) }, Question::Asked);
    let Lesson::Missing { pause, proof_in, .. } = lesson else {
        panic!("{lesson:?}");
    };
    assert_eq!((pause, proof_in), (RULES.first_pause, Some(Duration::from_secs(11))));
}

#[test]
fn attempts_are_counted_and_then_it_ends() {
    let mut progress = fresh().with_last(|last| last.state = AttemptState::Absent);
    for attempt in [2, 3] {
        let next = plan(&buy(1, "30"), &progress, claim(9, 30), at(0), &RULES).unwrap();
        let Plan::Store(stored) = next else {
            panic!("{next:?}");
        };
        let last = stored.last().unwrap();
        assert_eq!((last.client_order_id.attempt, last.sendable_in), (attempt, 9));
        progress = stored.with_last(|last| last.state = AttemptState::Absent);
    }
    let end = plan(&buy(1, "30"), &progress, claim(9, 30), at(0), &RULES).unwrap();
    assert!(
        matches!(
            end,
            Plan::Fail {
                code: FailureCode::NotExecuted,
                ..
            }
        ),
        "{end:?}"
    );
}

#[test]
fn what_the_venue_had_no_right_to_do_closes_nothing() {
    let excess = learn(&buy(1, "29.99"), fresh(), Question::Placed, filled("3"), 0, &RULES);
    assert!(matches!(excess, Err(Violation::Overspent { .. })), "{excess:?}");
    let excess = learn(&sell(1, "2.9"), fresh(), Question::Placed, filled("3"), 0, &RULES);
    assert!(matches!(excess, Err(Violation::Oversold { .. })), "{excess:?}");
    // Of a reversal it counts what earlier attempts have sold.
    let undo = undo(1, "3");
    let first = Progress::new(&undo, INSTALLATION, at(5), Some(usd("30")));
    let lesson = learn(&undo, first, Question::Placed, filled("2"), 0, &RULES).unwrap();
    let Lesson::Paused { progress, pause, .. } = lesson else {
        panic!("{lesson:?}");
    };
    assert_eq!(pause, RULES.reverse_pause);
    let excess = learn(&undo, progress, Question::Placed, filled("1.00000001"), 0, &RULES);
    assert!(matches!(excess, Err(Violation::Oversold { .. })), "{excess:?}");
}

#[test]
fn a_venues_words_are_kept_short() {
    let rejected = Answer::Rejected {
        reason: "é".repeat(10_000),
    };
    let Lesson::Closed(progress) = learnt(rejected, Question::Placed) else {
        panic!("a refusal is final");
    };
    let json = serde_json::to_string(&progress).unwrap();
    assert!(json.len() < 600, "{}", json.len());
    assert_eq!(serde_json::from_str::<Progress>(&json).unwrap(), progress);
}
