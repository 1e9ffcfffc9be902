//! The keys in memory: signing and publishing need them at every login, the database does not need to hear of it.
//!
//! A copy is refreshed after [`REFRESH_AFTER`], well before [`crate::domain::keys::PUBLISH_AHEAD`] is over, so no
//! process signs with a key that another has retired, or publishes a list that lacks the key another signs with.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use contracts::clients::{ClientError, Jwk, Jwks};
use contracts::time::later;
use contracts::{Clock, Entropy};
use jiff::Timestamp;
use service_kit::auth::{MintError, SigningKey};
use storage::StoreError;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::domain::keys::{Change, KeyRecord, KeyRules, Wish, published, signer};
use crate::ports::KeyStore;

/// How long a copy of the keys is used before the store is asked again.
const REFRESH_AFTER: Duration = Duration::from_secs(30);

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is no key.
    #[error(transparent)]
    Unusable(#[from] MintError),
    /// The clock stands before every key and after every other: it was set far back.
    #[error("no key signs now; is the clock right?")]
    NoSigner,
}

impl From<KeyError> for ClientError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Store(error) => error.into(),
            KeyError::Unusable(_) | KeyError::NoSigner => Self::Unavailable(error.to_string()),
        }
    }
}

/// The keys, as this process last saw them.
pub(crate) struct KeyRing {
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    rules: KeyRules,
    copy: RwLock<Option<Arc<Snapshot>>>,
    /// Held while the store is asked, so that it is asked once however many wait.
    asking: Mutex<()>,
}

struct Snapshot {
    read_at: Timestamp,
    records: Vec<KeyRecord>,
    /// `keys[i]` is `records[i]`, ready to sign, and its public half.
    keys: Vec<(SigningKey, Jwk)>,
}

impl KeyRing {
    pub(crate) fn new(
        store: Arc<dyn KeyStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        rules: KeyRules,
    ) -> Self {
        Self {
            store,
            clock,
            entropy,
            rules,
            copy: RwLock::new(None),
            asking: Mutex::new(()),
        }
    }

    /// The key that signs now. Made if it would be the first.
    pub(crate) async fn signer(&self) -> Result<SigningKey, KeyError> {
        let copy = self.current().await?;
        let kid = &signer(&copy.records, self.clock.now()).ok_or(KeyError::NoSigner)?.kid;
        let key = copy.keys.iter().find(|(key, _)| key.kid() == kid);
        key.map(|(key, _)| key.clone()).ok_or(KeyError::NoSigner)
    }

    /// The public halves of all keys that some token may need.
    pub(crate) async fn jwks(&self) -> Result<Jwks, KeyError> {
        let copy = self.current().await?;
        let needed: Vec<_> = published(&copy.records, self.rules, self.clock.now()).collect();
        let keys = copy.keys.iter().map(|(_, public)| public);
        let keys = keys.filter(|public| needed.iter().any(|key| key.kid == public.kid));
        Ok(Jwks {
            keys: keys.cloned().collect(),
        })
    }

    /// Has the store do what is wished, and keeps what it answers.
    pub(crate) async fn amend(&self, wish: Wish) -> Result<Change, KeyError> {
        let _one_at_a_time = self.asking.lock().await;
        self.ask(wish).await.map(|(change, _)| change)
    }

    async fn current(&self) -> Result<Arc<Snapshot>, KeyError> {
        if let Some(copy) = self.fresh() {
            return Ok(copy);
        }
        let _one_at_a_time = self.asking.lock().await;
        // Somebody else may have asked while this one waited.
        if let Some(copy) = self.fresh() {
            return Ok(copy);
        }
        match self.ask(Wish::Ensure).await {
            Ok((_, copy)) => Ok(copy),
            // What was read before is still true: handovers are in it before they come.
            Err(error) => self.last().ok_or(error).inspect(|_| {
                tracing::warn!("the signing keys could not be read again; the copy in memory is used");
            }),
        }
    }

    async fn ask(&self, wish: Wish) -> Result<(Change, Arc<Snapshot>), KeyError> {
        let now = self.clock.now();
        let mut seed = [0; 32];
        self.entropy.fill(&mut seed);
        let fresh = KeyRecord {
            kid: self.entropy.next_id(),
            seed,
            created_at: now,
            retired_at: None,
        };
        let (change, records) = self.store.amend(now, wish, fresh, self.rules).await?;
        let keys = records
            .iter()
            .map(|record| {
                let key = SigningKey::from_seed(record.kid.clone(), &record.seed);
                let public = key.public()?;
                Ok((key, public))
            })
            .collect::<Result<_, MintError>>()?;
        let copy = Arc::new(Snapshot {
            read_at: now,
            records,
            keys,
        });
        *self.copy.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&copy));
        Ok((change, copy))
    }

    fn fresh(&self) -> Option<Arc<Snapshot>> {
        let now = self.clock.now();
        // A copy from the future means that the clock was set back: then nobody knows how old it is.
        self.last()
            .filter(|copy| copy.read_at <= now && now < later(copy.read_at, REFRESH_AFTER))
    }

    fn last(&self) -> Option<Arc<Snapshot>> {
        self.copy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
