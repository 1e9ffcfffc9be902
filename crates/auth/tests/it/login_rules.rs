//! The rule about guesses, against any sequence of them.

use std::num::NonZeroU32;
use std::time::Duration;

use auth::domain::logins::{Account, FailurePolicy, Failures, Record, Verdict, conclude};
use contracts::time::{later, until};
use proptest::prelude::*;

use crate::given::noon;

const POLICY: FailurePolicy = FailurePolicy {
    limit: NonZeroU32::new(4).unwrap(),
    window: Duration::from_secs(60),
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("CAMBIST_TEST_FULL").is_some() { 10_000 } else { 300 }))]

    /// In no stretch of a window's length are more wrong guesses told than the limit, apart from those that a success
    /// in between made forgotten, and those told before a window that ran out by itself: at most twice the limit less
    /// one.
    #[test]
    fn few_guesses_are_told_in_any_window(steps in prop::collection::vec((0_u64..20, prop::bool::weighted(0.05)), 1..200)) {
        let (mut now, mut known, mut told) = (noon(), None, Vec::new());
        for (seconds, right) in steps {
            now = later(now, Duration::from_secs(seconds));
            let (verdict, record) = conclude(known, now, right, POLICY);
            known = match record {
                Record::Keep => known,
                Record::Forget => None,
                Record::Write(failures) => Some(failures),
            };
            match verdict {
                Verdict::Right => told.clear(),
                Verdict::Wrong => told.push(now),
                Verdict::Closed { until: closed_until } => {
                    prop_assert!(until(now, closed_until) <= POLICY.window);
                    prop_assert!(!until(now, closed_until).is_zero());
                }
            }
            told.retain(|guess| until(*guess, now) < POLICY.window);
            prop_assert!(told.len() < 2 * 4);
            prop_assert!(known.is_none_or(|failures| failures.count <= 4));
        }
    }

    /// A clock that jumps never closes an account for longer than a window.
    #[test]
    fn a_clock_that_jumps_locks_nobody_out_for_good(since in -1_000_000_i64..1_000_000, count in 0_u32..10) {
        let since = jiff::Timestamp::from_second(noon().as_second() + since).unwrap();
        let closed = Failures { count, since }.closed_until(noon(), POLICY);
        prop_assert!(closed.is_none_or(|closed| closed <= later(noon(), POLICY.window)));
    }
}

#[test]
fn an_account_is_its_name_whatever_the_case_and_does_not_show_it() {
    assert_eq!(Account::of("Ada"), Account::of("aDA"));
    assert_ne!(Account::of("ada"), Account::of("ada "));
    assert!(!format!("{:?}", Account::of("ada")).contains("ada"));
}
