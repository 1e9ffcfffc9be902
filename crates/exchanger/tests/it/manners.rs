//! Chance that can be repeated.

use std::time::Duration;

use contracts::BasisPoints;
use contracts::messages::Step;
use exchanger::ports::ClientOrderId;
use exchanger::venue::simulated::{Conduct, Manners, RandomManners, Rates};

use crate::scene::{basis_points, order};

fn id(number: i64, attempt: u32) -> ClientOrderId {
    ClientOrderId {
        order_id: order(number),
        step: Step::Exchange,
        attempt,
    }
}

const HIDDEN: Duration = Duration::from_secs(1);

fn manners(seed: u64) -> RandomManners {
    let rates = Rates {
        refuse: basis_points(1_000),
        partial: basis_points(1_000),
        fill_nothing: basis_points(1_000),
        executed_but_timed_out: basis_points(1_000),
        timed_out_not_executed: basis_points(1_000),
        not_yet_visible: basis_points(1_000),
    };
    RandomManners::try_new(seed, rates, Duration::ZERO, HIDDEN).unwrap()
}

#[test]
fn the_same_seed_and_name_meet_the_same_conduct() {
    let conducts = |seed| {
        (1..=100)
            .map(move |number| manners(seed).conduct(&id(number, 1)))
            .collect::<Vec<_>>()
    };
    assert_eq!(conducts(1), conducts(1));
    assert_ne!(conducts(1), conducts(2));
    let second_attempts: Vec<_> = (1..=100).map(|number| manners(1).conduct(&id(number, 2))).collect();
    assert_ne!(conducts(1), second_attempts);
}

#[test]
fn every_conduct_comes_about_as_often_as_it_should() {
    let mut counts = [0; 7];
    for number in 1..=10_000 {
        let kind = match manners(42).conduct(&id(number, 1)) {
            Conduct::Refuse => 0,
            Conduct::Partial(share) => {
                assert!(share > BasisPoints::ZERO && share < BasisPoints::MAX);
                1
            }
            Conduct::FillNothing => 2,
            Conduct::ExecuteThenTimeOut => 3,
            Conduct::TimeOutWithoutExecuting => 4,
            Conduct::NotYetVisible(hidden) => {
                assert_eq!(hidden, HIDDEN);
                5
            }
            Conduct::Fill => 6,
            Conduct::Slow(latency) => panic!("no latency was asked for, and here is {latency:?}"),
        };
        counts[kind] += 1;
    }
    // The seed is fixed, so this is a fact and not a chance; the bounds are five standard deviations.
    assert!(
        counts[..6].iter().all(|count| (850..=1_150).contains(count)),
        "{counts:?}"
    );
    assert!((3_750..=4_250).contains(&counts[6]), "{counts:?}");
}

#[test]
fn without_rates_everything_is_filled_after_the_latency() {
    let polite = |latency| RandomManners::try_new(0, Rates::default(), latency, HIDDEN).unwrap();
    assert_eq!(polite(Duration::ZERO).conduct(&id(1, 1)), Conduct::Fill);
    assert_eq!(polite(HIDDEN).conduct(&id(1, 1)), Conduct::Slow(HIDDEN));
}

#[test]
fn rates_beyond_all_orders_are_refused() {
    let rates = Rates {
        refuse: BasisPoints::MAX,
        partial: basis_points(1),
        ..Rates::default()
    };
    let error = RandomManners::try_new(0, rates, Duration::ZERO, HIDDEN).unwrap_err();
    assert_eq!(error.to_string(), "the venue's rates add up to 10001 of 10000 orders");
}
