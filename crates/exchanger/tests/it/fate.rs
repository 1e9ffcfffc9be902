//! The same seed and the same orders meet the same fate: in whatever order they come, after a restart, and at any hour.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contracts::clients::Side;
use contracts::messages::Step;
use contracts::time::later;
use contracts::{Clock, ManualClock, Price};
use exchanger::ports::{Answer, ClientOrderId, Limit, Venue, VenueOrder};
use exchanger::venue::simulated::{Course, Manners, Market, RandomManners, Rates, SimulatedVenue};
use proptest::prelude::*;

use crate::booking::cases;
use crate::scene::{basis_points, btc, client_order_id, name, price, usd};

const COURSE: Course = Course {
    seed: 7,
    drift: -2,
    volatility: contracts::BasisPoints::MAX,
};

/// Sixty orders, some of them at their second attempt, some of them reversals.
fn orders() -> Vec<ClientOrderId> {
    (1..=60)
        .map(|number| match number % 5 {
            0 => client_order_id(number, Step::Reverse, 1),
            1 => client_order_id(number, Step::Exchange, 2),
            _ => client_order_id(number, Step::Exchange, 1),
        })
        .collect()
}

fn manners(seed: u64) -> RandomManners {
    let often = basis_points(1_200);
    let rates = Rates {
        refuse: often,
        partial: often,
        fill_nothing: often,
        executed_but_timed_out: often,
        timed_out_not_executed: often,
        not_yet_visible: often,
        hidden_for: Duration::from_secs(1),
        slow: often,
        slow_by: Duration::ZERO,
    };
    let course = Course {
        seed,
        drift: 5,
        volatility: basis_points(80),
    };
    RandomManners::try_new(seed, rates, Duration::ZERO, course).unwrap()
}

/// What the venue answers at once, and when it is asked a minute later.
async fn fates(seed: u64, folder: &Path, hour: i64, ids: &[ClientOrderId]) -> BTreeMap<ClientOrderId, [Answer; 2]> {
    let midnight: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::new(midnight));
    clock.advance(Duration::from_secs(hour.unsigned_abs() * 3_600));
    let market = Market {
        spread: basis_points(20),
        fee: basis_points(10),
        ..Market::default()
    };
    let path = folder.join("venue.db");
    let venue = SimulatedVenue::try_open(&path, name(), market, Arc::new(manners(seed)), clock.clone()).unwrap();
    let mut fates = BTreeMap::new();
    for id in ids {
        let (side, limit) = if id.step == Step::Reverse {
            (Side::Sell, Limit::Quantity(btc("1.5")))
        } else {
            (Side::Buy, Limit::Spend(usd("30")))
        };
        let answer = venue
            .place(&VenueOrder {
                client_order_id: *id,
                side,
                base: contracts::Asset::BTC,
                quote: contracts::Asset::USD,
                limit,
                expires_at: later(clock.now(), Duration::from_secs(5)),
            })
            .await;
        fates.insert(*id, answer);
    }
    clock.advance(Duration::from_secs(60));
    let mut both = BTreeMap::new();
    for (id, answer) in fates {
        both.insert(id, [answer, venue.find(&id).await]);
    }
    both
}

#[tokio::test]
async fn in_any_order_after_a_restart_and_at_any_hour_an_order_meets_the_same_fate() {
    let folders: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let ids = orders();
    let straight = fates(1, folders[0].path(), 0, &ids).await;

    let backwards: Vec<_> = ids.iter().rev().copied().collect();
    let without_time = |answer: &Answer| !matches!(answer, Answer::NotFound { .. });
    let known = |fates: &BTreeMap<ClientOrderId, [Answer; 2]>| -> Vec<(ClientOrderId, [Option<Answer>; 2])> {
        let of = |answer: &Answer| without_time(answer).then(|| answer.clone());
        fates
            .iter()
            .map(|(id, [now, then])| (*id, [of(now), of(then)]))
            .collect()
    };
    assert_eq!(
        known(&straight),
        known(&fates(1, folders[1].path(), 9, &backwards).await)
    );

    // Half of them before a restart, the others after it.
    let (evening, morning) = ids.split_at(30);
    let mut restarted = fates(1, folders[2].path(), 0, evening).await;
    restarted.extend(fates(1, folders[2].path(), 12, morning).await);
    assert_eq!(known(&straight), known(&restarted));

    let otherwise = fates(2, folders[3].path(), 0, &ids).await;
    assert_ne!(known(&straight), known(&otherwise), "another seed is another day");
}

#[test]
fn the_course_returns_to_its_middle_and_never_leaps() {
    let manners = manners(3);
    let at = |number| manners.price_shift(&client_order_id(number, Step::Exchange, 1));
    assert_eq!((at(2_000), at(4_000), at(6_000)), (0, 0, 0));
    let steps = (1..6_000).map(|number| at(number + 1) - at(number));
    assert!(
        steps.into_iter().all(|step| step.abs() <= 85),
        "drift and volatility together"
    );
    let farthest = (1..1_000).map(|number| at(number).abs()).max().unwrap();
    assert!(farthest > 500, "a market that does not move: {farthest}");
    assert_eq!(
        at(5),
        manners.price_shift(&client_order_id(4, Step::Exchange, 2)),
        "an attempt later, a step on"
    );
    assert_eq!(at(15), manners.price_shift(&client_order_id(5, Step::Reverse, 1)));
}

#[test]
fn without_chance_the_price_goes_a_straight_line_and_back() {
    let course = Course {
        seed: 9,
        drift: 3,
        volatility: basis_points(0),
    };
    let at = |number| course.at(&client_order_id(number, Step::Exchange, 1));
    assert_eq!((at(1), at(2), at(1_000), at(1_001), at(1_999)), (3, 6, 3_000, 2_997, 3));
}

#[tokio::test]
async fn orders_trade_where_the_course_is() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
    let course = Course {
        seed: 0,
        drift: 100,
        volatility: basis_points(0),
    };
    let manners = RandomManners::try_new(0, Rates::default(), Duration::ZERO, course).unwrap();
    let path = folder.path().join("venue.db");
    let venue = SimulatedVenue::try_open(&path, name(), Market::default(), Arc::new(manners), clock.clone()).unwrap();
    let mut prices: Vec<Price> = Vec::new();
    for number in [1, 2, 1_998] {
        let order = VenueOrder {
            client_order_id: client_order_id(number, Step::Exchange, 1),
            side: Side::Buy,
            base: contracts::Asset::BTC,
            quote: contracts::Asset::USD,
            limit: Limit::Spend(usd("30")),
            expires_at: later(clock.now(), Duration::from_secs(5)),
        };
        let Answer::Done(fills) = venue.place(&order).await else {
            panic!("a polite venue fills it");
        };
        prices.push(fills[0].price);
    }
    assert_eq!(prices, [price("10.1"), price("10.2"), price("10.2")]);
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_price_stays_above_nothing_and_below_its_double(seed: u64, drift: i16, number in 1..i64::MAX, attempt: u32) {
        let course = Course { seed, drift, ..COURSE };
        let shift = course.at(&client_order_id(number, Step::Reverse, attempt));
        prop_assert!((-9_000..=9_000).contains(&shift), "{shift}");
    }
}
