//! Argon2id in a bounded pool.
//!
//! A hash takes 19 MiB and some twenty milliseconds of a core, on purpose. So few are computed at once, on threads of
//! their own, and few wait; one more is refused. Whatever floods `/login`, orders keep their cores.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::password_hash::{Error, PasswordHasher as _, PasswordVerifier as _};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use contracts::Entropy;
use tokio::sync::Semaphore;

use crate::domain::user::Password;
use crate::ports::{HashError, PasswordHash, PasswordHasher};

/// Memory of a hash in KiB, passes over it, and lanes: OWASP's Password Storage Cheat Sheet, and DESIGN 8.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// When those are asked to come back for whom there is no place.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How much of the machine passwords may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// How many are hashed at the same time; each takes 19 MiB and a core.
    pub concurrent: NonZeroUsize,
    /// How many more may wait for that. 256 wait some three seconds where two are hashed at a time.
    pub waiting: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            concurrent: NonZeroUsize::MIN.saturating_add(1),
            waiting: 256,
        }
    }
}

/// Hashes passwords with argon2id (RFC 9106).
pub struct Argon2Pool {
    argon2: Argon2<'static>,
    entropy: Arc<dyn Entropy>,
    /// One for everybody who is in here, hashing or waiting.
    places: Semaphore,
    /// One for each hash under way. Held by the hash, not by the caller, who may go away.
    cores: Arc<Semaphore>,
    decoy: PasswordHash,
}

impl Argon2Pool {
    /// A pool with these limits; salts are drawn from `entropy`.
    #[must_use]
    pub fn new(limits: PoolLimits, entropy: Arc<dyn Entropy>) -> Self {
        let (memory, passes, lanes) = COST;
        let params = Params::new(memory, passes, lanes, None).expect("these costs are within argon2's bounds");
        let places = limits.concurrent.get().saturating_add(limits.waiting);
        Self {
            decoy: decoy(&params, entropy.as_ref()),
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            entropy,
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)),
            cores: Arc::new(Semaphore::new(limits.concurrent.get().min(Semaphore::MAX_PERMITS))),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, HashError> {
        let _place = self.places.try_acquire().map_err(|_| HashError::Busy {
            retry_after: RETRY_AFTER,
        })?;
        let core = Arc::clone(&self.cores)
            .acquire_owned()
            .await
            .map_err(|error| HashError::Failed(error.to_string()))?;
        let work = tokio::task::spawn_blocking(move || {
            let _core = core;
            work()
        });
        let done = work.await.map_err(|error| HashError::Failed(error.to_string()))?;
        done.map_err(|error| HashError::Failed(error.to_string()))
    }
}

#[async_trait]
impl PasswordHasher for Argon2Pool {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        let mut salt = [0; argon2::RECOMMENDED_SALT_LEN];
        self.entropy.fill(&mut salt);
        let argon2 = self.argon2.clone();
        self.run(move || Ok(argon2.hash_password_with_salt(password.as_bytes(), &salt)?.to_string()))
            .await
    }

    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        let argon2 = self.argon2.clone();
        self.run(move || {
            let hash = Phc::new(&hash)?;
            match argon2.verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(true),
                Err(Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    fn decoy(&self) -> &str {
        &self.decoy
    }
}

/// The costs of a real hash around random bytes instead of an output: whoever could find a password to it would have
/// found a preimage.
fn decoy(params: &Params, entropy: &dyn Entropy) -> PasswordHash {
    let mut salt = [0; argon2::RECOMMENDED_SALT_LEN];
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    entropy.fill(&mut salt);
    entropy.fill(&mut output);
    Phc {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).expect("three numbers fit into a PHC string"),
        salt: Some(Salt::new(&salt).expect("a salt of the recommended length")),
        hash: Some(Output::new(&output).expect("an output of the default length")),
    }
    .to_string()
}
