//! A user gets a token for a name and a password.
//!
//! The same is done for every name, whether it exists or not, and whether or not one can log in with it: count, look
//! up, hash, count. Only then is anything told.

use std::sync::Arc;
use std::time::Duration;

use contracts::time::until;
use contracts::{Clock, Entropy, UserId};
use service_kit::auth::{Claims, MintError};
use storage::StoreError;
use thiserror::Error;

use super::KeyRing;
use super::manage_keys::KeyError;
use crate::domain::logins::{Account, FailurePolicy, Verdict};
use crate::domain::user::{Password, folded};
use crate::metrics::Logins;
use crate::ports::{HashError, LoginFailureStore, PasswordHasher, UserStore};

/// A login that succeeded.
#[derive(Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Who.
    pub user_id: UserId,
    /// The access token.
    pub token: String,
    /// How long it is valid.
    pub expires_in: Duration,
}

impl std::fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoggedIn")
            .field("user_id", &self.user_id)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Debug, Error)]
pub enum LogInError {
    /// Name and password do not belong together, or there is no such user: nobody is told which.
    #[error("wrong user name or password")]
    WrongCredentials,
    /// Too many failures for this name, whether it exists or not.
    #[error("too many failed logins")]
    Closed {
        /// When to come back.
        retry_after: Duration,
    },
    /// Too many are registering and logging in.
    #[error("too many passwords wait to be hashed")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The hasher failed.
    #[error("{0}")]
    Hashing(String),
    /// A store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no key to sign with.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The token could not be made.
    #[error(transparent)]
    Mint(#[from] MintError),
}

impl From<HashError> for LogInError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy { retry_after } => Self::Busy { retry_after },
            HashError::Failed(_) => Self::Hashing(error.to_string()),
        }
    }
}

/// Logs users in.
pub(crate) struct LogIn {
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) failures: Arc<dyn LoginFailureStore>,
    pub(crate) hasher: Arc<dyn PasswordHasher>,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) token_ttl: Duration,
    pub(crate) policy: FailurePolicy,
    pub(crate) counted: Logins,
}

impl LogIn {
    pub(crate) async fn execute(&self, username: &str, password: Password) -> Result<LoggedIn, LogInError> {
        let outcome = self.attempt(username, password).await;
        self.counted.count(&outcome);
        outcome
    }

    async fn attempt(&self, username: &str, password: Password) -> Result<LoggedIn, LogInError> {
        let account = Account::of(username);
        // Asked first, so that no hash is spent on an account that is closed; decided once the hash is known.
        let now = self.clock.now();
        if let Some(closed_until) = self.failures.closed_until(now, account, self.policy).await? {
            let retry_after = until(now, closed_until);
            return Err(LogInError::Closed { retry_after });
        }
        let user = self.verified(username, password).await?;
        let now = self.clock.now();
        let verdict = self
            .failures
            .conclude(now, account, user.is_some(), self.policy)
            .await?;
        match (verdict, user) {
            (Verdict::Right, Some(user)) => self.mint(user).await,
            (Verdict::Right | Verdict::Wrong, _) => Err(LogInError::WrongCredentials),
            (Verdict::Closed { until: closed_until }, _) => Err(LogInError::Closed {
                retry_after: until(now, closed_until),
            }),
        }
    }

    /// The user whose name and password these are. One hash is computed in every case.
    async fn verified(&self, username: &str, password: Password) -> Result<Option<UserId>, LogInError> {
        let credentials = self.users.credentials(folded(username)).await?;
        let known = credentials.and_then(|known| Some((known.user_id, known.password_hash?)));
        let (user, hash) = match known {
            Some((user, hash)) => (Some(user), hash),
            None => (None, self.hasher.decoy().to_owned()),
        };
        let right = self.hasher.verify(password, hash).await?;
        Ok(user.filter(|_| right))
    }

    async fn mint(&self, user_id: UserId) -> Result<LoggedIn, LogInError> {
        let key = self.ring.signer().await?;
        let claims = Claims::new(
            user_id,
            &self.issuer,
            &self.audience,
            self.clock.now(),
            self.token_ttl,
            self.entropy.next_id(),
        );
        Ok(LoggedIn {
            user_id,
            token: key.mint(&claims)?,
            expires_in: self.token_ttl,
        })
    }
}
