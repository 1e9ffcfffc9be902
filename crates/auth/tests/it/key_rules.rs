//! The rules about keys, against any sequence of rotations.

use std::time::Duration;

use auth::domain::keys::{Change, KeyRecord, KeyRules, MAX_KEYS, PUBLISH_AHEAD, Wish, plan, published, signer};
use contracts::time::later;
use jiff::Timestamp;
use proptest::prelude::*;

use crate::given::noon;

const RULES: KeyRules = KeyRules {
    token_ttl: Duration::from_secs(900),
    max_age: Duration::from_secs(3_600),
};

fn apply(keys: &mut Vec<KeyRecord>, wish: Wish, number: u8, now: Timestamp) -> Change {
    let fresh = KeyRecord {
        kid: format!("key-{number:03}"),
        seed: [number; 32],
        created_at: now,
        retired_at: None,
    };
    let plan = plan(keys, wish, fresh, RULES, now);
    keys.retain(|key| !plan.forget.contains(&key.kid));
    if let Some((kid, at)) = &plan.retire {
        let key = keys.iter_mut().find(|key| key.kid == *kid).unwrap();
        assert_eq!(key.retired_at.replace(*at), None, "a key retires once");
    }
    keys.extend(plan.insert);
    plan.change
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("CAMBIST_TEST_FULL").is_some() { 10_000 } else { 300 }))]

    /// Whatever is wished for, and when: there is a key that signs, one key that has no successor, never too many;
    /// a key that signs was published for a while, unless it is the first; and it stays published as long as any
    /// token it signed is valid.
    #[test]
    fn whoever_signs_is_known_before_and_after(steps in prop::collection::vec((0_u64..2_000, 0_u8..3), 1..60)) {
        let (mut now, mut keys) = (noon(), Vec::new());
        let mut signatures: Vec<(String, Timestamp)> = Vec::new();
        for (number, (seconds, wish)) in (0_u8..).zip(steps) {
            now = later(now, Duration::from_secs(seconds));
            let wish = [Wish::Ensure, Wish::RotateIfDue, Wish::Rotate][usize::from(wish)];
            apply(&mut keys, wish, number, now);
            prop_assert!(keys.len() <= MAX_KEYS);
            prop_assert_eq!(keys.iter().filter(|key| key.retired_at.is_none()).count(), 1);
            let signing = signer(&keys, now).unwrap();
            let first = signing.kid == "key-000";
            prop_assert!(first || now >= later(signing.created_at, PUBLISH_AHEAD));
            signatures.push((signing.kid.clone(), now));
            signatures.retain(|(_, at)| now < later(*at, RULES.token_ttl));
            let known: Vec<_> = published(&keys, RULES, now).map(|key| key.kid.clone()).collect();
            for (kid, _) in &signatures {
                prop_assert!(known.contains(kid));
            }
        }
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_let_a_new_key_sign_early() {
    let mut keys = Vec::new();
    apply(&mut keys, Wish::Ensure, 1, later(noon(), Duration::from_secs(3_600)));
    assert_eq!(apply(&mut keys, Wish::Rotate, 0, noon()), Change::Rotated);
    assert_eq!(
        signer(&keys, later(noon(), Duration::from_secs(60))).unwrap().seed,
        [1; 32]
    );
    let handover = keys[0].retired_at.unwrap();
    assert_eq!(signer(&keys, handover).unwrap().seed, [0; 32]);
}

#[test]
fn secrets_are_not_printed() {
    let mut keys = Vec::new();
    apply(&mut keys, Wish::Ensure, 173, noon());
    assert!(!format!("{keys:?}").contains("173, 173"));
}
