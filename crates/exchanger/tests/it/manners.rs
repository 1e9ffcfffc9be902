//! Chance that can be repeated.

use std::time::Duration;

use contracts::BasisPoints;
use contracts::messages::Step;
use exchanger::ports::ClientOrderId;
use exchanger::venue::simulated::{Conduct, Course, Manners, RandomManners, Rates};

use crate::scene::{basis_points, client_order_id};

fn id(number: i64, attempt: u32) -> ClientOrderId {
    client_order_id(number, Step::Exchange, attempt)
}

const HIDDEN: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_secs(2);

fn manners(seed: u64) -> RandomManners {
    let rates = Rates {
        refuse: basis_points(1_000),
        partial: basis_points(1_000),
        fill_nothing: basis_points(1_000),
        executed_but_timed_out: basis_points(1_000),
        timed_out_not_executed: basis_points(1_000),
        not_yet_visible: basis_points(1_000),
        hidden_for: HIDDEN,
        slow: basis_points(1_000),
        slow_by: SLOW,
    };
    RandomManners::try_new(seed, rates, Duration::ZERO, Course::default()).unwrap()
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
    let mut counts = [0; 8];
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
            Conduct::Slow(by) => {
                assert_eq!(by, SLOW);
                6
            }
            Conduct::Fill => 7,
        };
        counts[kind] += 1;
    }
    // The seed is fixed, so this is a fact and not a chance; the bounds are five standard deviations.
    assert!(
        counts[..7].iter().all(|count| (850..=1_150).contains(count)),
        "{counts:?}"
    );
    assert!((2_750..=3_250).contains(&counts[7]), "{counts:?}");
}

#[test]
fn without_rates_everything_is_filled_after_the_latency() {
    let polite = RandomManners::try_new(0, Rates::default(), HIDDEN, Course::default()).unwrap();
    assert_eq!((polite.conduct(&id(1, 1)), polite.latency()), (Conduct::Fill, HIDDEN));
    assert_eq!(polite.price_shift(&id(1, 1)), 0);
}

#[test]
fn rates_beyond_all_orders_are_refused() {
    let rates = Rates {
        refuse: BasisPoints::MAX,
        partial: basis_points(1),
        ..Rates::default()
    };
    let error = RandomManners::try_new(0, rates, Duration::ZERO, Course::default()).unwrap_err();
    assert_eq!(error.to_string(), "the venue's rates add up to 10001 of 10000 orders");
}
