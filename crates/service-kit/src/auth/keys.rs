//! The published keys, fetched when a token names one that is not known, and refreshed now and then.
//!
//! Bounds: one fetch at a time, and no two within [`RETRY_AFTER`], so that made-up key ids cost `auth` nothing. A key
//! that `auth` withdraws is forgotten within [`FRESH_FOR`].

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use contracts::Clock;
use contracts::clients::{Auth, ClientError};
use contracts::time::{later, until};
use jiff::Timestamp;
use jsonwebtoken::DecodingKey;
use tokio::sync::Mutex;

/// Fetches are at least this far apart.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long `auth` may take to answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Known keys are trusted this long without asking again.
const FRESH_FOR: Duration = Duration::from_secs(300);
/// More keys than this are not published by any `auth` of ours.
const MAX_KEYS: usize = 16;

type ByKid = HashMap<String, DecodingKey>;

#[derive(Clone)]
struct Fetched {
    keys: Arc<ByKid>,
    fresh_until: Timestamp,
}

struct Attempt {
    retry_from: Timestamp,
    error: Option<ClientError>,
}

/// The keys of `auth`, as last seen.
pub(super) struct Keys {
    auth: Arc<dyn Auth>,
    clock: Arc<dyn Clock>,
    fetched: RwLock<Option<Fetched>>,
    attempt: Mutex<Option<Attempt>>,
}

impl Keys {
    pub(super) fn new(auth: Arc<dyn Auth>, clock: Arc<dyn Clock>) -> Self {
        Self {
            auth,
            clock,
            fetched: RwLock::new(None),
            attempt: Mutex::new(None),
        }
    }

    /// The key of this id; `None` when `auth` publishes no such key.
    ///
    /// # Errors
    /// The key is not known, and `auth` could not be asked: then nobody can say whether it exists.
    pub(super) async fn get(&self, kid: &str) -> Result<Option<DecodingKey>, ClientError> {
        if let Some(key) = self.fresh(kid) {
            return Ok(Some(key));
        }
        // Whose key is known but not fresh does not wait for somebody else's fetch.
        let mut attempt = match (self.known(kid), self.attempt.try_lock()) {
            (_, Ok(attempt)) => attempt,
            (Some(key), Err(_)) => return Ok(Some(key)),
            (None, Err(_)) => self.attempt.lock().await,
        };
        // Somebody else may have fetched while this one waited.
        if let Some(key) = self.fresh(kid) {
            return Ok(Some(key));
        }
        let now = self.clock.now();
        let recent = attempt.as_ref().filter(|last| !until(now, last.retry_from).is_zero());
        let error = match recent {
            Some(last) => last.error.clone(),
            None => {
                let error = self.fetch(now).await.err();
                *attempt = Some(Attempt {
                    retry_from: later(now, RETRY_AFTER),
                    error: error.clone(),
                });
                error
            }
        };
        // A key that was published once is better than turning everybody away while `auth` is down.
        match (self.known(kid), error) {
            (Some(key), _) => Ok(Some(key)),
            (None, None) => Ok(None),
            (None, Some(error)) => Err(error),
        }
    }

    async fn fetch(&self, now: Timestamp) -> Result<(), ClientError> {
        let answer = tokio::time::timeout(FETCH_TIMEOUT, self.auth.jwks()).await;
        let answer = answer.unwrap_or_else(|_| Err(ClientError::Unavailable("auth did not answer in time".into())));
        let published = answer.inspect_err(|error| tracing::warn!(%error, "the keys of auth cannot be fetched"))?;
        let usable = published
            .keys
            .into_iter()
            .take(MAX_KEYS)
            .filter(|key| key.kty == "OKP" && key.crv == "Ed25519");
        let keys = usable
            .filter_map(|key| Some((key.kid, DecodingKey::from_ed_components(&key.x).ok()?)))
            .collect();
        let fetched = Fetched {
            keys: Arc::new(keys),
            fresh_until: later(now, FRESH_FOR),
        };
        *self.fetched.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(fetched);
        Ok(())
    }

    fn fresh(&self, kid: &str) -> Option<DecodingKey> {
        let fetched = self.last()?;
        let stale = until(self.clock.now(), fetched.fresh_until).is_zero();
        if stale { None } else { fetched.keys.get(kid).cloned() }
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.last()?.keys.get(kid).cloned()
    }

    fn last(&self) -> Option<Fetched> {
        self.fetched
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}
