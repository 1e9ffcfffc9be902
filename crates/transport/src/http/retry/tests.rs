//! Pauses: bounded, drawn from nothing on, never before the peer wants it, never of what must not happen twice.

use proptest::prelude::*;

use super::*;
use crate::http::failure::FailureKind;

const AMPLE: Duration = Duration::from_secs(60);

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "a test")
}

#[test]
fn the_last_attempt_is_the_last() {
    let rules = Rules::default();
    let lost = failure(FailureKind::TimedOut);
    assert!(rules.pause(2, AMPLE, &lost, Repeat::Always, 0).is_some());
    assert_eq!(rules.pause(3, AMPLE, &lost, Repeat::Always, 0), None);
}

#[test]
fn what_only_settings_cure_is_not_tried_again() {
    for kind in [FailureKind::Denied, FailureKind::NotAsked] {
        assert_eq!(
            Rules::default().pause(1, AMPLE, &failure(kind), Repeat::Always, 0),
            None
        );
    }
}

#[test]
fn what_must_not_be_told_twice_is_repeated_only_where_nothing_was_done() {
    let again = |kind| {
        let rules = Rules::default();
        rules
            .pause(1, AMPLE, &failure(kind), Repeat::IfNothingWasDone, 0)
            .is_some()
    };
    let repeated: Vec<_> = FailureKind::ALL.into_iter().filter(|kind| again(*kind)).collect();
    assert_eq!(repeated, [FailureKind::Unreachable, FailureKind::Overloaded]);
}

proptest! {
    #[test]
    fn pauses_are_within_their_bounds(
        made in 0..10_u32, left in 0..20_000_u64, kind in prop::sample::select(FailureKind::ALL.to_vec()),
        after in prop::option::of(0..30_u64), draw: u64,
    ) {
        let rules = Rules::default();
        let retry_after = after.map(Duration::from_secs);
        let failure = Failure { retry_after, ..failure(kind) };
        let left = Duration::from_millis(left);
        if let Some(pause) = rules.pause(made, left, &failure, Repeat::Always, draw) {
            prop_assert!(made < rules.attempts && kind.may_pass());
            prop_assert!(pause < left, "it would end after the call");
            let asked = retry_after.unwrap_or_default();
            prop_assert!(pause >= asked, "before the peer wants it");
            prop_assert!(pause - asked <= rules.longest_pause);
        }
    }

    #[test]
    fn jitter_is_full(made in 1..3_u32, draw: u64) {
        let rules = Rules { attempts: 4, ..Rules::default() };
        let bound = rules.first_pause * 2_u32.pow(made - 1);
        let micros = u64::try_from(bound.as_micros()).unwrap() + 1;
        let pause = rules.pause(made, AMPLE, &failure(FailureKind::Broken), Repeat::Always, draw);
        prop_assert_eq!(pause, Some(Duration::from_micros(draw % micros)));
    }
}
