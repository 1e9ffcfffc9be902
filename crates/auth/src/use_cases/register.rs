//! Somebody becomes a user.

use std::sync::Arc;
use std::time::Duration;

use contracts::{Clock, UserId};
use storage::StoreError;
use thiserror::Error;

use crate::domain::user::{Flaw, Profile, Registration, Taken};
use crate::metrics::Registrations;
use crate::ports::{HashError, Insertion, PasswordHasher, UserStore};

/// Why somebody did not become a user. Nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// What was given makes no sense.
    #[error("{} fields are not acceptable", .0.len())]
    Invalid(Vec<Flaw>),
    /// Somebody has the name or the address.
    #[error("the user name or the e-mail address is taken")]
    Taken(Taken),
    /// Too many are registering and logging in.
    #[error("too many passwords wait to be hashed")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The hasher failed.
    #[error("{0}")]
    Hashing(String),
    /// The store gave no answer. The user may have been stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<HashError> for RegisterError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy { retry_after } => Self::Busy { retry_after },
            HashError::Failed(_) => Self::Hashing(error.to_string()),
        }
    }
}

/// Registers users.
pub(crate) struct Register {
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) hasher: Arc<dyn PasswordHasher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counted: Registrations,
}

impl Register {
    pub(crate) async fn execute(&self, registration: Registration) -> Result<UserId, RegisterError> {
        let outcome = self.attempt(registration).await;
        self.counted.count(&outcome);
        outcome
    }

    async fn attempt(&self, registration: Registration) -> Result<UserId, RegisterError> {
        let (profile, password) = Profile::try_new(registration).map_err(RegisterError::Invalid)?;
        // Asked first, so that no hash is spent on a name that is taken; decided when the user is stored.
        let taken = self.users.taken(profile.identity()).await?;
        if taken.any() {
            return Err(RegisterError::Taken(taken));
        }
        let hash = self.hasher.hash(password).await?;
        match self.users.insert(self.clock.now(), profile, hash).await? {
            Insertion::Created(user) => Ok(user),
            Insertion::Taken(taken) => Err(RegisterError::Taken(taken)),
        }
    }
}
