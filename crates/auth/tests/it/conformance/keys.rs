//! What every store of signing keys must do.

use std::sync::Arc;
use std::time::Duration;

use auth::domain::keys::{Change, KeyRecord, KeyRules, MAX_KEYS, PUBLISH_AHEAD, Wish};
use auth::ports::KeyStore;
use contracts::time::later;
use futures::future::join_all;
use jiff::Timestamp;

use crate::given::noon;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const RULES: KeyRules = KeyRules {
    token_ttl: Duration::from_secs(900),
    max_age: DAY,
};

fn fresh(number: u8, now: Timestamp) -> KeyRecord {
    KeyRecord {
        kid: format!("key-{number}"),
        seed: [number; 32],
        created_at: now,
        retired_at: None,
    }
}

async fn amend(store: &dyn KeyStore, now: Timestamp, wish: Wish, number: u8) -> (Change, Vec<KeyRecord>) {
    store.amend(now, wish, fresh(number, now), RULES).await.unwrap()
}

pub(super) async fn the_first_to_ask_makes_the_key_and_all_others_get_it(store: Arc<dyn KeyStore>) {
    let asking = (0..50).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { amend(&*store, noon(), Wish::Ensure, number).await })
    });
    let answers: Vec<_> = join_all(asking).await.into_iter().map(Result::unwrap).collect();
    let first = answers.iter().filter(|(change, _)| *change == Change::First).count();
    assert_eq!(first, 1);
    for (_, keys) in &answers {
        assert_eq!(keys.len(), 1);
        assert_eq!(keys, &answers[0].1);
    }
}

pub(super) async fn an_old_key_is_replaced_once_however_many_look(store: Arc<dyn KeyStore>) {
    amend(&*store, noon(), Wish::Ensure, 0).await;
    let almost = later(noon(), DAY - Duration::from_micros(1));
    assert_eq!(amend(&*store, almost, Wish::RotateIfDue, 1).await.0, Change::None);
    let due = later(noon(), DAY);
    let looking = (1..20).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { amend(&*store, due, Wish::RotateIfDue, number).await })
    });
    let answers: Vec<_> = join_all(looking).await.into_iter().map(Result::unwrap).collect();
    let rotated = answers.iter().filter(|(change, _)| *change == Change::Rotated).count();
    assert_eq!(rotated, 1);
    let (change, keys) = amend(&*store, due, Wish::Ensure, 99).await;
    assert_eq!(change, Change::None);
    let [old, new] = &keys[..] else { panic!("{keys:?}") };
    assert_eq!((old.seed, old.retired_at), ([0; 32], Some(later(due, PUBLISH_AHEAD))));
    assert_eq!((new.created_at, new.retired_at), (due, None));
    assert_eq!(new.kid, format!("key-{}", new.seed[0]));
}

pub(super) async fn a_retired_key_goes_after_its_last_token(store: Arc<dyn KeyStore>) {
    amend(&*store, noon(), Wish::Ensure, 0).await;
    let rotated = later(noon(), Duration::from_secs(1));
    amend(&*store, rotated, Wish::Rotate, 1).await;
    let retired = later(rotated, PUBLISH_AHEAD);
    let expired = later(retired, RULES.token_ttl);
    assert_eq!(amend(&*store, expired, Wish::Ensure, 2).await.1.len(), 2);
    let skewed = later(expired, Duration::from_secs(60));
    let (change, keys) = amend(&*store, skewed, Wish::Ensure, 2).await;
    assert_eq!(change, Change::None);
    assert_eq!(keys, [fresh(1, rotated)]);
}

pub(super) async fn keys_are_bounded(store: Arc<dyn KeyStore>) {
    amend(&*store, noon(), Wish::Ensure, 0).await;
    let mut number = 0;
    let changes: Vec<_> = loop {
        number += 1;
        let (change, keys) = amend(&*store, noon(), Wish::Rotate, number).await;
        if change == Change::TooMany {
            break keys;
        }
    };
    assert_eq!(changes.len(), MAX_KEYS);
    assert_eq!(changes.iter().filter(|key| key.retired_at.is_none()).count(), 1);
}
