//! Tokens, and the keys behind them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use auth::domain::keys::{Change, KeyRecord, KeyRules, PUBLISH_AHEAD, Wish};
use auth::ports::KeyStore;
use auth::{Dependencies, Service};
use axum::http::StatusCode;
use contracts::{Clock, SeededEntropy, UserId};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use service_kit::auth::{Refusal, VerifyError};
use service_kit::shutdown::Shutdown;
use storage::StoreError;
use tokio::sync::mpsc;

use crate::given::{self, Given};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn published(given: &Given) -> BTreeSet<String> {
    let answer = given.get("/.well-known/jwks.json").await;
    assert_eq!(answer.status, StatusCode::OK);
    let keys = answer.body["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn ada_is_registered() -> (Given, UserId) {
    let given = given::auth();
    given.register("ada").await;
    (given, UserId::try_new(2).unwrap())
}

#[tokio::test]
async fn a_token_proves_its_user_for_fifteen_minutes() {
    let (given, ada) = ada_is_registered().await;
    let (token, verifier) = (given.token("ada").await, given.verifier());
    assert_eq!(verifier.verify(&token).await, Ok(ada));
    given.clock.advance(Duration::from_secs(899));
    assert_eq!(verifier.verify(&token).await, Ok(ada));
    given.clock.advance(Duration::from_secs(1));
    assert_eq!(
        verifier.verify(&token).await,
        Err(VerifyError::Refused(Refusal::Expired))
    );
}

#[tokio::test]
async fn the_published_keys_have_no_private_half() {
    let (given, _) = ada_is_registered().await;
    let answer = given.get("/.well-known/jwks.json").await;
    let key = answer.body["keys"][0].as_object().unwrap();
    let names: Vec<_> = key.keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
    let word = |name: &str| key.get(name).and_then(Value::as_str).unwrap();
    assert_eq!(
        [word("kty"), word("crv"), word("alg"), word("use")],
        ["OKP", "Ed25519", "EdDSA", "sig"]
    );
}

#[tokio::test]
async fn keys_survive_a_restart() {
    let (given, ada) = ada_is_registered().await;
    let (token, keys) = (given.token("ada").await, published(&given).await);
    let given = given.restarted();
    assert_eq!(published(&given).await, keys);
    assert_eq!(given.verifier().verify(&token).await, Ok(ada));
    assert_eq!(given.verifier().verify(&given.token("ada").await).await, Ok(ada));
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_agree_on_one_key() {
    let given = given::auth();
    let processes = (0..10).map(|_| {
        let process = given.another_process();
        tokio::spawn(async move { published(&process).await })
    });
    let seen: BTreeSet<_> = join_all(processes).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen.first().unwrap().len(), 1);
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_an_old_one_after() {
    let (given, ada) = ada_is_registered().await;
    let other = given.another_process();
    let verifier = other.verifier();
    let old_keys = published(&given).await;
    assert_eq!(published(&other).await, old_keys);

    assert_eq!(given.service.rotate_keys().await.unwrap(), Change::Rotated);
    let both = published(&given).await;
    assert_eq!(both.len(), 2);
    // The old key signs on until every copy of the keys is newer than the rotation; at any time, tokens of both
    // processes are verified by both.
    let mut tokens = Vec::new();
    let step = Duration::from_secs(20);
    let steps = (PUBLISH_AHEAD + Duration::from_secs(60)).as_secs() / step.as_secs();
    for _ in 0..steps {
        for process in [&given, &other] {
            let token = process.token("ada").await;
            assert_eq!(verifier.verify(&token).await, Ok(ada));
            assert_eq!(given.verifier().verify(&token).await, Ok(ada));
            tokens.push(token);
        }
        given.clock.advance(step);
    }
    assert_eq!(published(&other).await, both);

    // The last token of the old key expires: one that was signed just before the handover.
    let last = &tokens[usize::try_from(PUBLISH_AHEAD.as_secs() / step.as_secs() * 2).unwrap() - 1];
    assert_eq!(verifier.verify(last).await, Ok(ada));
    given.clock.advance(Duration::from_secs(900 - 60));
    assert_eq!(
        published(&given).await,
        both,
        "the old key's last tokens are just expiring"
    );
    given.clock.advance(Duration::from_secs(61));
    let new_keys = published(&given).await;
    assert_eq!(new_keys.len(), 1);
    assert!(new_keys.is_disjoint(&old_keys));
    let token = given.token("ada").await;
    assert_eq!(other.verifier().verify(&token).await, Ok(ada));
}

#[tokio::test]
async fn a_key_is_replaced_at_the_age_of_thirty_days() {
    let (given, _) = ada_is_registered().await;
    let first = published(&given).await;
    assert_eq!(given.service.rotate_keys_if_due().await.unwrap(), Change::None);
    given.clock.advance(30 * DAY - Duration::from_secs(1));
    assert_eq!(given.service.rotate_keys_if_due().await.unwrap(), Change::None);
    assert_eq!(published(&given).await, first);
    given.clock.advance(Duration::from_secs(1));
    assert_eq!(given.service.rotate_keys_if_due().await.unwrap(), Change::Rotated);
    assert_eq!(given.service.rotate_keys_if_due().await.unwrap(), Change::None);
}

/// Tells the test what the store was asked, and what came of it.
struct Observed {
    store: Arc<dyn KeyStore>,
    seen: mpsc::Sender<(Wish, Change)>,
}

#[async_trait]
impl KeyStore for Observed {
    async fn amend(
        &self,
        now: Timestamp,
        wish: Wish,
        fresh: KeyRecord,
        rules: KeyRules,
    ) -> Result<(Change, Vec<KeyRecord>), StoreError> {
        let (change, keys) = self.store.amend(now, wish, fresh, rules).await?;
        let _ = self.seen.try_send((wish, change));
        Ok((change, keys))
    }
}

#[tokio::test]
async fn the_age_of_keys_is_looked_at_again_and_again_until_the_end() {
    let given = given::auth();
    let (seen, mut looks) = mpsc::channel(1);
    let settings = auth::Settings {
        key_check_every: Duration::from_millis(1),
        ..auth::Settings::default()
    };
    let service = Service::new(Dependencies {
        users: Arc::new(given.store.clone()),
        keys: Arc::new(Observed {
            store: Arc::new(given.store.clone()),
            seen,
        }),
        failures: Arc::new(given.store.clone()),
        hasher: Arc::clone(&given.hasher) as _,
        clock: Arc::clone(&given.clock) as Arc<dyn Clock>,
        entropy: Arc::new(SeededEntropy::new(7)),
        rate_limit: Arc::clone(&given.rate_limit),
        internal_tokens: Arc::new(service_kit::internal::InternalTokens::try_new([]).unwrap()),
        settings,
    });
    let shutdown = Shutdown::new();
    service.start(&shutdown);
    assert_eq!(looks.recv().await, Some((Wish::RotateIfDue, Change::First)));
    assert_eq!(looks.recv().await, Some((Wish::RotateIfDue, Change::None)));
    given.clock.advance(31 * DAY);
    while let Some((_, change)) = looks.recv().await {
        if change == Change::Rotated {
            break;
        }
    }
    shutdown.request();
    shutdown.wait(Duration::from_secs(10)).await.unwrap();
}
